"""Cursors of prepared statements: one on each server that has rows, fetched from in the order of the shards.

A server keeps the whole result of a statement that is executed with a cursor, and its connection is free for other
statements in between; so nothing is kept here but whose turn it is. The session holds the connections as long. It does
not know how a cursor was asked for, nor how servers were chosen.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.output import AnswerCut, Output
from vgate.errors import BACKEND_LOST, ServerError, VgateError
from vgate.session.settings import Settings
from vgate.transactions.scope import Place, Scope
from vgate.wire.constants import Command, Status
from vgate.wire.packets import eof_payload, frame, read_err
from vgate.wire.prepare import Handle
from vgate.wire.renumber import Renumbering
from vgate.wire.response import Response

_EOF: Final = 9
"""Bytes of an EOF packet."""


@dataclass(frozen=True, slots=True)
class Part:
    """The cursor on one server: a statement that is prepared there for it alone."""

    place: Place
    connection: BackendConnection
    statement_id: int


@dataclass(slots=True)
class Cursor:
    """See the module. ``parts``: those with rows that have not been fetched."""

    scope: Scope
    parts: list[Part] = field(default_factory=list)

    async def prepare(
        self, place: Place, connection: BackendConnection, text: bytes, reading: Settings | None
    ) -> Handle:
        """A handle of the statement on a connection that nothing else uses. Raises SqlError."""
        handle = await connection.prepare_apart(text, reading)
        self.parts.append(Part(place, connection, handle.id))
        return handle

    def opened(self, place: Place, connection: BackendConnection, status: int) -> None:
        """The server has answered: hold the connection if it has opened a cursor."""
        for part in [part for part in self.parts if part.connection is connection]:
            if status & Status.CURSOR_EXISTS:
                self.scope.hold_cursor(place, connection)
            else:
                self.parts.remove(part)
                part.connection.forget(part.statement_id)

    def close(self) -> None:
        """Close what is open; the session lets go of the connections."""
        while self.parts:
            self._leave(self.parts.pop())

    async def fetch(self, out: Output, count: int) -> bool:
        """Answer a COM_STMT_FETCH of ``count`` rows; False if there are no more. Raises SqlError."""
        warnings = 0
        while self.parts:
            part = self.parts[0]
            if not part.connection.usable or self.scope.held.get(part.place) is not part.connection:
                raise BACKEND_LOST(label=part.connection.label)
            response, rows = await _fetch(out, part, count)
            count -= rows
            warnings += response.warnings
            if not response.status & Status.LAST_ROW_SENT:
                out.send(eof_payload(out.status | Status.CURSOR_EXISTS, warnings))
                return True
            self._leave(self.parts.pop(0))
        out.send(eof_payload(out.status | Status.LAST_ROW_SENT, warnings))
        return False

    def _leave(self, part: Part) -> None:
        part.connection.forget(part.statement_id)
        self.scope.release_cursor(part.place, part.connection)


async def _fetch(out: Output, part: Part, count: int) -> tuple[Response, int]:
    """Pass on up to ``count`` rows of one server; also how many there were."""
    packet = part.statement_id.to_bytes(4, "little") + count.to_bytes(4, "little")
    sink = _Rows(out)
    connection = part.connection
    out.down.attach(connection)
    try:
        connection.relay(frame(bytes([Command.STMT_FETCH]) + packet), sink, columns_only=True)
        return await sink.done, sink.numbering.rows
    except asyncio.CancelledError:
        if connection.sink is sink:
            connection.close()
        raise
    finally:
        out.down.detach()


class _Rows:
    """A sink that passes rows on, without the EOF behind them."""

    def __init__(self, out: Output) -> None:
        self.numbering = Renumbering(out.sequence)
        self.done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._out = out
        self._passed = False

    def received(self, data: bytes, response: Response) -> None:
        end = len(data)
        if response.done:
            end -= _EOF if response.error is None else 4 + len(response.error)
        if end:
            rows = bytearray(data[:end])
            self.numbering.renumber(rows)
            self._out.sequence = self.numbering.sequence
            self._passed = True
            self._out.down.write(bytes(rows))

    def finished(self, connection: BackendConnection) -> None:
        if self.done.done():
            return
        response = connection.response
        if response.error is not None:
            self.done.set_exception(ServerError(*read_err(response.error)))
        else:
            self.done.set_result(response)

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        if not self.done.done():
            cut = self._passed and connection.next_number() is None
            self.done.set_exception(AnswerCut() if cut else error)
