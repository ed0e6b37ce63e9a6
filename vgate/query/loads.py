"""LOAD DATA: who may load a file, and which engine function does it.

It does not know the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgate.engine.call import Call
from vgate.engine.load import run_load
from vgate.errors import LOCAL_DISABLED, LOCAL_DISABLED_MARIADB, UNSUPPORTED
from vgate.planner.plan import Pass
from vgate.planner.references import resolve_name
from vgate.query.cache import Cached
from vgate.query.grants import check
from vgate.session.target import Target
from vgate.sql.lexer import LexError
from vgate.sql.load import LoadHead, read_load
from vgate.sql.versioned import Flavour
from vgate.vschema.model import VSchema
from vgate.wire.constants import Capability

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation


async def load(conversation: Conversation, cached: Cached, call: Call) -> bool:
    """Run a LOAD DATA; False if its answer was an error the server gave. Raises SqlError."""
    session = conversation.session
    try:
        head = read_load(call.text, conversation.mode)
    except LexError:  # the server finds the words for it, or knows more than vgate
        return await conversation.execute(cached, call)
    if not head.local or not isinstance(cached.plan, Pass):
        return await conversation.execute(cached, call)
    if not session.login.capabilities & Capability.LOCAL_FILES:
        mysql = conversation.gate.cluster.facts_for(cached.plan.keyspace).flavour is Flavour.MYSQL
        raise LOCAL_DISABLED() if mysql else LOCAL_DISABLED_MARIADB()
    check(session.login, cached.plan)
    check_ids(head, session.target, conversation.gate.cluster.vschema)
    conversation.check_ties(cached)
    return await run_load(call, conversation.place_of(cached.plan))


def check_ids(head: LoadHead, target: Target, vschema: VSchema) -> None:
    """Raises UNSUPPORTED where a sequence has to give the rows their ids, and the client has not aimed at a shard."""
    if target.shard is not None:
        return
    database = head.name[0] if len(head.name) == 2 else None
    name = resolve_name(database, head.name[-1], target.keyspace, vschema)
    table = vschema.keyspace(name.keyspace).tables.get(name.table)
    if table is not None and table.auto_increment is not None and _leaves_ids(head, table.auto_increment.column):
        raise UNSUPPORTED(construct=f"LOAD DATA into {name} without its ids, which come from a sequence")


def _leaves_ids(head: LoadHead, column: str) -> bool:
    return head.columns is None or column.lower() not in (name.lower() for name in head.columns)
