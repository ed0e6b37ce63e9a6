"""The relay tier: one server answers, and its answer passes through undecoded.

Also keeps the session's books after it: diagnostics, insert id, and whether the server began or ended a transaction of
its own accord. It does not choose the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.command import command_for
from vgate.engine.output import AnswerCut
from vgate.engine.rename import columns_of
from vgate.errors import BACKEND_LOST, SqlError, VgateError
from vgate.planner.plan import Access
from vgate.session.session import Diagnostic
from vgate.transactions.scope import Place, Scope
from vgate.wire.constants import Status
from vgate.wire.packets import Ok, read_err, read_ok
from vgate.wire.response import Response

ROLLED_BACK: Final = frozenset({1213, 1614, 3058})
"""Errors after which the server has rolled back the whole transaction: deadlock, XA deadlock, user-lock deadlock."""

_VALUES: Final = re.compile(rb"\s*(?:insert|replace)\s[^()]*(?:\([^()]*\))?\s*values?\s*\(", re.I)
_UNSURE: Final = re.compile(rb"ignore|duplicate|select|[@+*/%&|^~<>-]|0x|x'|b'|[\d.]e", re.I)
_FUNCTION: Final = re.compile(rb"\w\s*\(")
_SHORT: Final = 4096


async def run_single(
    call: Call, place: Place, text: bytes, access: Access, edit_ok: Callable[[Ok], Ok] | None = None
) -> bool:
    """Run ``text`` on one shard for ``call`` and relay the answer; False if that was an error.

    A read outside a transaction whose connection breaks before anything was sent is tried once more. Who passes
    ``edit_ok`` keeps the session's insert id himself.
    """
    retry = access is Access.READ and not call.scope.transactional and place not in call.scope.held
    while True:
        connection = await call.scope.take(place)
        try:
            if call.pins:
                call.scope.pin(place, connection)
            if call.insert_id_read:
                await connection.query(f"SET last_insert_id = {call.session.insert_id}")
            packet = await command_for(call, place, connection, text)
            response = await call.out.relay(connection, packet, edit_ok, columns=columns_of(call, place))
            await settle(call, place, connection, response, insert_id=edit_ok is None)
            return response.error is None
        except VgateError as error:
            if error.fault is not BACKEND_LOST or not retry:
                raise
            retry = False
        finally:
            call.scope.give_back(place, connection)


async def settle(
    call: Call, place: Place, connection: BackendConnection, response: Response, *, insert_id: bool = True
) -> None:
    """The books after an answer was relayed from ``connection``.

    The client has its answer: a connection that is lost now is noticed when it is next used. Raises AnswerCut where
    the answer turned out to be untrue, as a commit that it implied has failed.
    """
    session, scope = call.session, call.scope
    session.row_count = -1
    if response.error is not None:
        errno, _, message = read_err(response.error)
        session.diagnostics = await _warnings_or(connection, [Diagnostic("Error", errno, message)])
        if errno in ROLLED_BACK and scope.transactional:
            scope.begun.discard(place)
            await scope.rollback()
        return
    if response.ok is not None:
        ok = read_ok(response.ok)
        session.row_count = ok.affected
        if ok.insert_id and insert_id and await _is_generated(connection, call.text, ok.insert_id):
            session.insert_id = ok.insert_id
    session.diagnostics = await _warnings_or(connection, []) if response.warnings else []
    try:
        await follow_transaction(scope, place, connection, response.status)
    except SqlError:
        raise AnswerCut from None


def certainly_generated(text: bytes, insert_id: int) -> bool:
    """True if a statement whose OK has this insert id cannot have given the id itself, nor found it in a row.

    Where no id was generated an OK carries the last row's id, but LAST_INSERT_ID() does not change.
    """
    if len(text) > _SHORT or b"%d" % insert_id in text:
        return False
    head = _VALUES.match(text)
    return head is not None and _UNSURE.search(text) is None and _FUNCTION.search(text, head.end()) is None


async def _is_generated(connection: BackendConnection, text: bytes, insert_id: int) -> bool:
    """True if LAST_INSERT_ID() is the insert id of the OK: the statement generated it, or set it."""
    if text and certainly_generated(text, insert_id):
        return True
    try:
        rows = await connection.rows("SELECT LAST_INSERT_ID()")
    except SqlError:
        return True
    return rows == [(b"%d" % insert_id,)]


async def _warnings_or(connection: BackendConnection, otherwise: list[Diagnostic]) -> list[Diagnostic]:
    """SHOW WARNINGS, which has more than the one error after some; ``otherwise`` if the connection is lost."""
    try:
        return await read_warnings(connection) or otherwise
    except SqlError:
        return otherwise


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
