"""The relay tier: one server answers, and its answer passes through undecoded.

Also keeps the session's books after it: diagnostics, insert id, and whether the server began or ended a transaction of
its own accord. It does not choose the server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.rename import columns_of, text_for
from vgate.errors import BACKEND_LOST, VgateError
from vgate.planner.plan import Access
from vgate.session.session import Diagnostic
from vgate.transactions.scope import Place, Scope
from vgate.wire.constants import Command, Status
from vgate.wire.packets import Ok, frame, read_err, read_ok
from vgate.wire.response import Response

ROLLED_BACK: Final = frozenset({1213, 1614, 3058})
"""Errors after which the server has rolled back the whole transaction: deadlock, XA deadlock, user-lock deadlock."""


async def run_single(
    call: Call, place: Place, text: bytes, access: Access, edit_ok: Callable[[Ok], Ok] | None = None
) -> bool:
    """Run ``text`` on one shard for ``call`` and relay the answer; False if that was an error.

    A read outside a transaction whose connection breaks before anything was sent is tried once more.
    """
    packet = frame(bytes([Command.QUERY]) + text_for(call, place, text))
    retry = access is Access.READ and not call.scope.transactional and place not in call.scope.held
    while True:
        connection = await call.scope.take(place)
        try:
            if call.pins:
                call.scope.pin(place, connection)
            if call.insert_id_read:
                await connection.query(f"SET last_insert_id = {call.session.insert_id}")
            response = await call.out.relay(connection, packet, edit_ok, columns=columns_of(call, place))
            await settle(call, place, connection, response)
            return response.error is None
        except VgateError as error:
            if error.fault is not BACKEND_LOST or not retry:
                raise
            retry = False
        finally:
            call.scope.give_back(place, connection)


async def settle(call: Call, place: Place, connection: BackendConnection, response: Response) -> None:
    """The books after an answer was relayed from ``connection``."""
    session, scope = call.session, call.scope
    session.row_count = -1
    if response.error is not None:
        errno, _, message = read_err(response.error)
        session.diagnostics = [Diagnostic("Error", errno, message)]
        if errno in ROLLED_BACK and scope.transactional:
            scope.begun.discard(place)
            await scope.rollback()
        return
    if response.ok is not None:
        ok = read_ok(response.ok)
        session.row_count = ok.affected
        if ok.insert_id:
            session.insert_id = ok.insert_id
    session.diagnostics = await read_warnings(connection) if response.warnings else []
    await follow_transaction(scope, place, connection, response.status)


async def follow_transaction(scope: Scope, place: Place, connection: BackendConnection, status: int) -> None:
    """Follow what the server says of its transaction, where a statement began or ended one by itself."""
    open_there = bool(status & Status.IN_TRANS)
    if open_there and place not in scope.begun:
        scope.adopt(place, connection)
    elif not open_there and place in scope.begun:
        scope.begun.discard(place)
        await scope.commit()


async def read_warnings(connection: BackendConnection) -> list[Diagnostic]:
    """SHOW WARNINGS, while the connection still has them."""
    rows = await connection.rows("SHOW WARNINGS")
    text = [[(cell or b"").decode("utf-8", "replace") for cell in row] for row in rows]
    return [Diagnostic(level, int(code), message) for level, code, message in text]
