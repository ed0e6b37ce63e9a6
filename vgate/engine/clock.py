"""One time for a statement on several shards: NOW() and its kin, and columns filled with the current time.

A server reads its clock once for each statement; the shards are told the time of the first of them, and get their own
clocks back before anything else runs on their connections. SYSDATE() is another moment even within one server. A
client's own SET timestamp is a setting like others, and wins. It does not know which statements ask for the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.errors import SqlError
from vgate.session.session import Session
from vgate.vschema.model import TableName


def needs_time(call: Call, tables: Iterable[TableName]) -> bool:
    """True if a write may store the current time: it asks for it, or a column's default may be it."""
    if call.tells_time:
        return True
    found = map(call.scope.cluster.table, tables)
    return any(one.computed_default or one.on_update for info in found if info is not None for one in info.columns)


@asynccontextmanager
async def one_clock(
    session: Session, connections: Collection[BackendConnection], *, wanted: bool
) -> AsyncIterator[None]:
    """For the one statement inside, all connections have one time, if that is ``wanted``. Raises SqlError."""
    if not wanted or len(connections) < 2 or "timestamp" in session.settings.values:
        yield
        return
    try:
        ((now,),) = await next(iter(connections)).rows("SELECT @@timestamp LIMIT 1")
        await asyncio.gather(*(one.query(b"SET timestamp = %b" % (now or b"0")) for one in connections))
        yield
    finally:
        await asyncio.shield(_let_go(connections))


async def _let_go(connections: Collection[BackendConnection]) -> None:
    """The clocks go on; a connection that cannot be told so serves nobody any more."""
    await asyncio.gather(*map(_let_one_go, connections))


async def _let_one_go(connection: BackendConnection) -> None:
    if not connection.usable:
        return
    if connection.sink is not None:  # the statement was left before its end
        connection.close()
        return
    try:
        await connection.query("SET timestamp = DEFAULT")
    except SqlError:
        connection.close()
