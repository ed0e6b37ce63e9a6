"""FLUSH on every server, and the read lock that it may leave there.

A lock is taken on one server after the other, all of them or none, and held until UNLOCK TABLES, which goes to all. The
session is tied to the servers for as long. It does not know what is flushed.
"""

from __future__ import annotations

from contextlib import suppress

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.engine.single import read_warnings
from vgate.errors import BUG, SqlError
from vgate.planner.plan import Flush
from vgate.session.session import Diagnostic
from vgate.transactions.scope import Place

_UNLOCK = b"UNLOCK TABLES"


async def run_flush(call: Call, plan: Flush) -> None:
    """Run the statement on every server, and answer. Raises the first error, after which there are no locks."""
    keyspaces = call.scope.cluster.keyspaces
    places = [(name, index) for name in plan.keyspaces for index in range(len(keyspaces[name].keyspace.shards))]
    tied = call.scope.pinned - call.scope.locked
    done: list[Place] = []
    notes: dict[Diagnostic, None] = {}
    try:
        for place in places:
            notes |= dict.fromkeys(await _run(call, place, call.text, pins=plan.locks))
            done.append(place)
    except SqlError:
        if plan.locks:
            with suppress(SqlError):
                await _unlock(call, done, tied)
        raise
    except BaseException:  # KILL QUERY, or the client is gone
        for place in done if plan.locks else ():
            call.scope.held[place].close()
            call.scope.drop(place)
        raise
    if plan.locks:
        call.scope.locked |= set(places) - tied
        call.scope.read_locked |= set(plan.keyspaces)
    _give_ok(call, list(notes))


async def unlock_all(call: Call) -> None:
    """UNLOCK TABLES on every server that the session is tied to, and answer. Raises the last error."""
    scope = call.scope
    tied = scope.pinned - scope.locked
    try:
        await _unlock(call, list(scope.pinned), tied)
    finally:  # a server that was lost has none either
        scope.locked.clear()
        scope.read_locked.clear()
    _give_ok(call, [])


async def _unlock(call: Call, places: list[Place], tied: set[Place]) -> None:
    failed: SqlError | None = None
    for place in places:
        try:
            await _run(call, place, _UNLOCK, pins=False)
        except SqlError as error:  # it is lost, and the lock with it; or there is none there
            failed = error
        if place not in tied:
            call.scope.unpin(place)
    if failed is not None:
        raise failed


async def _run(call: Call, place: Place, text: bytes, *, pins: bool) -> list[Diagnostic]:
    connection: BackendConnection = await call.scope.take(place)
    try:
        answer = await connection.query(text_for(call, place, text))
        if pins:
            call.scope.pin(place, connection)
        if isinstance(answer, Rows):
            raise BUG(detail="FLUSH with rows")
        return await read_warnings(connection) if answer.warnings else []
    finally:
        call.scope.give_back(place, connection)


def _give_ok(call: Call, notes: list[Diagnostic]) -> None:
    session = call.session
    session.row_count, session.found_rows = 0, None
    if notes or not session.keeps_warnings:
        session.diagnostics = notes
    call.out.ok(warnings=len(notes))
