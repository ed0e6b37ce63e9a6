"""CREATE and DROP DATABASE: databases are the keyspaces of the VSchema, so neither makes nor removes one.

A server would make one that no client of vgate sees, or drop one that is another keyspace's. What one server says of a
database that is there, or is not, is said of keyspaces; who aims at a shard by hand does as the server lets him. It
does not know how a keyspace is added to the VSchema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgate.engine.output import Output
from vgate.engine.single import run_single
from vgate.errors import DATABASE_EXISTS, NO_SUCH_DATABASE, UNSUPPORTED, Fault
from vgate.planner.plan import Access, Pass
from vgate.query.grants import check
from vgate.session.session import Diagnostic
from vgate.sql.statements import DatabaseStatement
from vgate.sql.versioned import Flavour
from vgate.vschema.names import SYSTEM_SCHEMAS

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation


async def answer_database(conversation: Conversation, statement: DatabaseStatement, text: bytes, out: Output) -> None:
    """Answer the statement. Raises SqlError."""
    session = conversation.session
    target = session.target
    await conversation.own.end(commit=True)
    if target.keyspace is not None and target.shard is not None:
        check(session.login, Pass(target.keyspace, Access.WRITE))
        call = conversation.call(text, [], out, None)
        await run_single(call, (target.keyspace, conversation.any_index), text, Access.WRITE)
        return
    cluster = conversation.gate.cluster
    there = statement.name in cluster.vschema.keyspaces or statement.name.lower() in SYSTEM_SCHEMAS
    if statement.creates and not there:
        raise UNSUPPORTED(construct=f"CREATE DATABASE {statement.name}; add a keyspace of that name to vschema.yaml")
    if not statement.creates and there:
        raise UNSUPPORTED(construct=f"DROP DATABASE {statement.name}, which is a keyspace; drop its tables instead")
    fault: Fault = DATABASE_EXISTS if statement.creates else NO_SUCH_DATABASE
    error = fault(name=statement.name)
    if not statement.lenient:
        raise error
    affected = int(statement.creates and cluster.facts_for(target.keyspace).flavour is Flavour.MYSQL)
    out.ok(affected, warnings=1)
    session.diagnostics = [Diagnostic("Note", error.errno, error.message)]
    session.row_count, session.found_rows = affected, None
