"""What a user may do: which keyspaces, and whether anything but reading. Asked for every plan before it runs.

It does not know how users are configured, nor the privileges that vgate's own account has on the servers.
"""

from __future__ import annotations

from vgate.errors import DATABASE_DENIED, WRITE_DENIED
from vgate.planner.plan import (
    Access,
    Across,
    AnyShard,
    EveryShard,
    Everywhere,
    Flush,
    Insert,
    InsertQuery,
    Maintain,
    NextValue,
    Pass,
    Plan,
    Route,
    Schemas,
    VindexRows,
)
from vgate.session.login import Login


def may_use(login: Login, keyspace: str) -> bool:
    """True for the keyspaces that exist for the user: others are not even shown."""
    return login.keyspaces is None or keyspace in login.keyspaces


def check_keyspace(login: Login, keyspace: str) -> None:
    """Raises DATABASE_DENIED (1044)."""
    if not may_use(login, keyspace):
        raise DATABASE_DENIED(user=login.user, host=login.host, database=keyspace)


def check(login: Login, plan: Plan) -> None:
    """Raises DATABASE_DENIED (1044) or WRITE_DENIED (1142) for what the user may not do."""
    match plan:
        case Pass() | Route() | Across():
            keyspace, writes = plan.keyspace, plan.access is not Access.READ
            for other in () if isinstance(plan, Route) else plan.others:
                check_keyspace(login, other)
        case AnyShard(keyspace=keyspace, access=access):
            writes = access is not Access.READ
        case Flush(keyspaces=keyspaces):
            keyspace, writes = keyspaces[0], True
            for other in keyspaces:
                check_keyspace(login, other)
        case Maintain(keyspace=keyspace, access=access):
            writes = access is not Access.READ
        case VindexRows(keyspace=keyspace):
            writes = False
        case Schemas():  # it shows those that the user may use
            return
        case EveryShard(keyspace=keyspace) | Everywhere(keyspace=keyspace):
            writes = True
        case Insert(table=table):  # its sequence may be anywhere: who may insert may have ids
            keyspace, writes = table.name.keyspace, True
        case InsertQuery(table=name):  # the query is looked at as one
            keyspace, writes = name.keyspace, True
        case NextValue(sequence=sequence):
            keyspace, writes = sequence.keyspace, True
        case _:
            return
    check_keyspace(login, keyspace)
    if writes and login.read_only:
        raise WRITE_DENIED(user=login.user, host=login.host)
