"""LOAD DATA: who may load a file, and which engine function does it.

It does not know the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgate.engine.call import Call
from vgate.engine.load import no_file_of
from vgate.engine.load_shards import LoadRun
from vgate.errors import NO_SUCH_TABLE, UNSUPPORTED, SqlError
from vgate.planner.loads import plan_load
from vgate.planner.plan import Access, Pass
from vgate.planner.references import resolve_name
from vgate.query.cache import Cached
from vgate.query.grants import check
from vgate.session.target import Target
from vgate.sql.lexer import LexError
from vgate.sql.load import LoadHead, read_load
from vgate.vschema.model import Table, VSchema

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation


async def load(conversation: Conversation, cached: Cached, call: Call) -> bool:
    """Run a LOAD DATA; False if its answer was an error the server gave. Raises SqlError."""
    session = conversation.session
    try:
        head = read_load(call.text, conversation.mode)
    except LexError:  # the server finds the words for it, or knows more than vgate
        return await conversation.execute(cached, call)
    sharded, cached = _target(head, session.target, conversation.gate.cluster.vschema, cached)
    if not head.local or (sharded is None and not isinstance(cached.plan, Pass)):
        return await conversation.execute(cached, call)
    keyspace = sharded.name.keyspace if sharded is not None else conversation.keyspace_of(cached.plan)
    refused = no_file_of(call, (keyspace, 0))
    if refused is not None:
        raise refused
    if sharded is not None:
        check(session.login, Pass(keyspace, Access.WRITE))
        return await _load_shards(conversation, head, sharded, call)
    check_ids(head, session.target, conversation.gate.cluster.vschema)
    return await conversation.execute(cached, call)


def divides(conversation: Conversation, text: bytes) -> bool:
    """True for a LOAD DATA LOCAL whose file is divided by shards: it runs as text, be it prepared.

    Raises UNSUPPORTED for one that a server cannot run, as it does not have the ids.
    """
    try:
        head = read_load(text, conversation.mode)
    except LexError:
        return False
    target, vschema = conversation.session.target, conversation.gate.cluster.vschema
    try:
        sharded, _ = _target(head, target, vschema, Cached(Pass("", Access.WRITE)))
    except SqlError:
        return False
    if not head.local:
        return False
    if sharded is None:
        check_ids(head, target, vschema)
    return sharded is not None


def _target(head: LoadHead, target: Target, vschema: VSchema, cached: Cached) -> tuple[Table | None, Cached]:
    """The table, if it is a sharded one and the client has not aimed at a shard; else the plan for where it is."""
    if target.shard is not None:
        return None, cached
    database = head.name[0] if len(head.name) == 2 else None
    name = resolve_name(database, head.name[-1], target.keyspace, vschema)
    keyspace = vschema.keyspace(name.keyspace)
    if keyspace.sharded:
        return keyspace.tables.get(name.table), cached
    return None, cached if isinstance(cached.plan, Pass) else Cached(Pass(name.keyspace, Access.WRITE), cached.found)


async def _load_shards(conversation: Conversation, head: LoadHead, table: Table, call: Call) -> bool:
    if call.pins:
        raise UNSUPPORTED(construct=f"{call.pins} in LOAD DATA into a sharded table")
    gate = conversation.gate
    info = gate.cluster.table(table.name) or await gate.cluster.load_table(table.name)
    if info is None:
        raise NO_SUCH_TABLE(name=str(table.name))
    plan = plan_load(call.text, conversation.mode, head, table, info)
    conversation.begin_waiting(call)
    run = LoadRun(
        call, plan, gate.sequences, largest_row=gate.max_allowed_packet,
        no_auto_value_on_zero=conversation.no_auto_value_on_zero,
    )  # fmt: skip
    return await run.run()


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
