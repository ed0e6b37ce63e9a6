"""FLUSH where no one server is meant: all servers of the keyspace do it, or of all keyspaces where none is in use.

It does not know what servers can flush; they say so.
"""

from __future__ import annotations

from vgate.planner.plan import Flush, Plan
from vgate.planner.statements import Words
from vgate.vschema.model import VSchema


def plan_flush(words: Words, mentioned: list[str], keyspace: str | None, vschema: VSchema) -> Plan | None:
    """The plan of a FLUSH on a sharded keyspace, or without any; None for any other, and where names are in doubt."""
    words.at = 0
    if not words.accept("flush"):
        return None
    words.skip("no_write_to_binlog", "local")
    of_tables = words.accept("tables") or words.accept("table")
    names = words.word() not in ("", ";", "with") if of_tables else False
    locks = of_tables and bool({"lock", "export"} & words.rest())
    if mentioned:
        owner = mentioned[0]
        alone = len(mentioned) == 1 and keyspace is None and vschema.keyspace(owner).sharded
        return Flush((owner,), locks, False) if alone else None
    if keyspace is not None:
        return Flush((keyspace,), locks, not names) if vschema.keyspace(keyspace).sharded else None
    return None if names else Flush(tuple(vschema.keyspaces), locks, True)
