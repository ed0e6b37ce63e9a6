"""The relay tier: one server answers, and its answer passes through undecoded.

Also keeps the session's books after it: diagnostics, insert id, and whether the server began or ended a transaction of
its own accord. It does not choose the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.command import command_for
from vgate.engine.listings import names_at
from vgate.engine.load import no_file_of, pass_file
from vgate.engine.output import AnswerCut
from vgate.engine.own_transaction import use_up
from vgate.engine.program_settings import follow_settings
from vgate.engine.rename import columns_of, own_tables
from vgate.errors import BACKEND_LOST, ServerError, SqlError, VgateError
from vgate.planner.plan import Access
from vgate.session.session import Diagnostic
from vgate.transactions.scope import XA, Place, Scope
from vgate.wire.constants import Capability, Status
from vgate.wire.filters import OutsLeftOut, PacketFilter, RowsLeftOut
from vgate.wire.packets import Ok, read_err, read_ok
from vgate.wire.response import Response
from vgate.wire.schemas import told

ROLLED_BACK: Final = frozenset({1213, 1614, 3058})
"""Errors after which the server has rolled back the whole transaction: deadlock, XA deadlock, user-lock deadlock."""

_VALUES: Final = re.compile(rb"\s*(?:insert|replace)\s[^()]*(?:\([^()]*\))?\s*values?\s*\(", re.I)
_UNSURE: Final = re.compile(rb"ignore|duplicate|select|[@+*/%&|^~<>-]|0x|x'|b'|[\d.]e", re.I)
_FUNCTION: Final = re.compile(rb"\w\s*\(")
_CALL: Final = re.compile(rb"\bcall\b", re.I)
_SHORT: Final = 4096


async def run_single(
    call: Call, place: Place, text: bytes, access: Access, edit_ok: Callable[[Ok], Ok] | None = None
) -> bool:
    """Run ``text`` on one shard for ``call`` and relay the answer; False if that was an error.

    A read outside a transaction whose connection breaks before anything was sent is tried once more. Who passes
    ``edit_ok`` keeps the session's insert id himself.
    """
    retry = access is Access.READ and not call.scope.transactional and place not in call.scope.held
    once = bool(call.session.isolation_once) and call.uses_tables and not call.scope.transactional
    while True:
        connection = await call.scope.take(place, peeks=call.seen_variables)
        try:
            connection.tainted |= call.suspect
            connection.written |= access is not Access.READ
            if call.pins:
                call.scope.pin(place, connection)
                call.scope.home_of(place, call.pins)
            if call.insert_id_read:
                await connection.query(f"SET last_insert_id = {call.session.insert_id}")
            if once:
                await call.scope.characterise(connection)
            packet = await command_for(call, place, connection, text)
            filters = _filters(call, place)
            response = await call.out.relay(
                connection, packet, edit_ok, filters=filters, no_file=no_file_of(call, place)
            )
            while response.file is not None:
                response = await pass_file(call, connection, response.file, filters)
            if call.cursor is not None:
                call.cursor.opened(place, connection, response.status if response.error is None else 0)
            payload = response.error  # the connection's next answer goes into the same object
            await settle(call, place, connection, response, insert_id=edit_ok is None)
            if call.assigns is not None:
                await call.assigns(connection)
            if call.pins == XA:
                call.scope.follow_xa(place)
            if once:
                await use_up(call, place, connection, None if payload is None else ServerError(*read_err(payload)))
            return payload is None
        except VgateError as error:
            if error.fault is not BACKEND_LOST or not retry:
                raise
            retry = False
        finally:
            call.scope.give_back(place, connection)


def _filters(call: Call, place: Place) -> list[PacketFilter]:
    """What the answer has to pass on its way to the client."""
    found: list[PacketFilter] = []
    few = not call.session.login.capabilities & Capability.PS_MULTI_RESULTS
    if few and call.execution is not None and _CALL.search(call.text):
        found.append(OutsLeftOut())
    column = names_at(call.text, call.lexer)
    own = own_tables(call, place) if column is not None else None
    if column is not None and own:
        found.append(RowsLeftOut(own, column, binary=call.execution is not None))
    rename = columns_of(call, place)
    return found if rename is None else [*found, rename]


async def settle(
    call: Call, place: Place, connection: BackendConnection, response: Response, *, insert_id: bool = True
) -> None:
    """The books after an answer was relayed from ``connection``.

    The client has its answer: a connection that is lost now is noticed when it is next used. Raises AnswerCut where
    the answer turned out to be untrue, as a commit that it implied has failed.
    """
    session, scope = call.session, call.scope
    session.row_count = -1
    session.found_rows = None
    if response.error is not None:
        errno, _, message = read_err(response.error)
        if call.insert_id_read and insert_id and b"last_insert_id" in call.text.lower():
            # LAST_INSERT_ID(expression) has its effect all the same.
            await _keep_values(call, connection)
        said = await follow_error(scope, place, connection, errno, commits=bool(call.pins))
        said = said or session.alone(ServerError(errno, "HY000", message))
        session.warned(said, len(said) or 1)
        await follow_settings(call, place, connection)
        await let_go(call, place, connection, connection.response.status)
        return
    status = response.status
    ok = read_ok(response.ok) if response.ok is not None else None
    count = response.warnings  # the connection's next answer goes into the same object
    if count:
        session.warned(await _warnings_or(connection, []), count)
    elif not (session.keeps_warnings and call.names_no_table):
        session.diagnostics = []
    if ok is not None:
        session.row_count = ok.affected
        if ok.insert_id and insert_id and await _is_generated(connection, call.text, ok.insert_id):
            session.insert_id = ok.insert_id
    if call.counts_found_rows or (call.insert_id_read and insert_id):
        await _keep_values(call, connection)
    _follow_autocommit(call, place, connection, status)
    await follow_settings(call, place, connection)
    try:
        await follow_transaction(scope, place, connection, status)
    except SqlError:
        raise AnswerCut from None
    await let_go(call, place, connection, status)


def _follow_autocommit(call: Call, place: Place, connection: BackendConnection, status: int) -> None:
    """A program, or an EXECUTE, may have set autocommit on the server that the session is tied to."""
    session = call.session
    on = status & Status.AUTOCOMMIT != 0
    if on != session.autocommit and place in call.scope.pinned:
        change = {"autocommit": None if on else "0"}
        same = connection.settings is session.settings
        session.settings = session.settings.changed(change)
        connection.settings = session.settings if same else connection.settings.changed(change)


async def _keep_values(call: Call, connection: BackendConnection) -> None:
    """FOUND_ROWS() and LAST_INSERT_ID() as the statement has left them: the next may be run by another server."""
    try:
        ((found, insert_id),) = await connection.rows("SELECT FOUND_ROWS(), LAST_INSERT_ID() LIMIT 1")
    except SqlError:
        return
    if call.counts_found_rows:
        call.session.found_rows = int(found or 0)
    if call.insert_id_read:
        call.session.insert_id = int(insert_id or 0)


async def found_rows(call: Call, connection: BackendConnection) -> int | None:
    """FOUND_ROWS() of the statement that ``connection`` has run, behind its warnings; None if it did not count them."""
    if not call.counts_found_rows:
        return None
    ((found,),) = await connection.rows("SELECT FOUND_ROWS() LIMIT 1")
    return int(found or 0)


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
        rows = await connection.rows("SELECT LAST_INSERT_ID() LIMIT 1")
    except SqlError:
        return True
    return rows == [(b"%d" % insert_id,)]


async def _warnings_or(connection: BackendConnection, otherwise: list[Diagnostic]) -> list[Diagnostic]:
    """SHOW WARNINGS; ``otherwise`` if the connection is lost."""
    try:
        return await read_warnings(connection) or otherwise
    except SqlError:
        return otherwise


async def follow_error(
    scope: Scope, place: Place, connection: BackendConnection, errno: int, *, commits: bool = False
) -> list[Diagnostic]:
    """Follow what an error has made of the transaction; an ERR packet does not say, so the server is asked.

    What it says of the statement comes back: warnings, and the error; nothing if the connection is lost.

    The statement alone has been undone, as a rule, and with autocommit off its transaction is open. Where the server
    has rolled back the whole (a deadlock; a lock wait timeout, under innodb_rollback_on_timeout), the other shards
    follow. ``commits``: the statement may have ended the transaction by a commit of its own (a procedure's DDL).
    """
    try:
        answer = await connection.query("SHOW WARNINGS")  # there may be more than the one error
    except SqlError:
        return []
    said = diagnostics_of(answer, connection)
    if place not in scope.begun or answer.status & Status.IN_TRANS:
        await follow_transaction(scope, place, connection, answer.status)
        return said
    scope.begun.discard(place)
    if commits and errno not in ROLLED_BACK:
        await scope.commit()
    else:
        await scope.rollback()
    return said


async def follow_transaction(scope: Scope, place: Place, connection: BackendConnection, status: int) -> None:
    """Follow what the server says of its transaction, where a statement began or ended one by itself."""
    open_there = bool(status & Status.IN_TRANS)
    if open_there and place not in scope.begun:
        scope.adopt(place, connection)
    elif not open_there and place in scope.begun:
        scope.begun.discard(place)
        await scope.commit()


async def let_go(call: Call, place: Place, connection: BackendConnection, status: int) -> None:
    """End what a statement has left on a connection where, with autocommit off, it began no transaction.

    A server keeps the locks on the tables' names until COMMIT then, though its status tells of no transaction: a
    connection that went back to its pool so would keep others from changing the tables, for as long as it idles.
    """
    ended = status & (Status.IN_TRANS | Status.AUTOCOMMIT) or place in call.scope.begun
    if ended or call.names_no_table or not connection.usable or not call.scope.owns(connection):
        return
    try:
        await connection.query("COMMIT")
    except SqlError:
        return  # it is lost, and its locks with it; or in an XA transaction, which ends otherwise


async def read_warnings(connection: BackendConnection) -> list[Diagnostic]:
    """SHOW WARNINGS, while the connection still has them."""
    return diagnostics_of(await connection.query("SHOW WARNINGS"), connection)


def diagnostics_of(answer: Ok | Rows, connection: BackendConnection) -> list[Diagnostic]:
    """The rows of SHOW WARNINGS, of the keyspace instead of its database."""
    rows = answer.values() if isinstance(answer, Rows) else []
    if connection.names is not None:
        rows = [(level, code, told(message or b"", int(code or 0), *connection.names)) for level, code, message in rows]
    text = [[(cell or b"").decode("utf-8", "surrogateescape") for cell in row] for row in rows]
    return [Diagnostic(level, int(code), message) for level, code, message in text]
