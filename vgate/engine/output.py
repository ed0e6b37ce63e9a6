"""The way back to the client: packets of one statement's answer, numbered, with the session's own status flags.

An answer that one server gives is relayed undecoded (``Relay``); answers vgate makes are framed here. It does not know
plans, nor the client's socket beyond ``Downstream``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from vgate.backend.connection import NO_FILE, BackendConnection
from vgate.errors import SqlError, VgateError
from vgate.session.session import Session
from vgate.sql.names import shown
from vgate.wire.constants import MAX_PAYLOAD, Status
from vgate.wire.filters import PacketFilter
from vgate.wire.packets import ColumnDefinition, Ok, err_payload, frame, read_ok, result_set
from vgate.wire.renumber import Renumbering
from vgate.wire.response import Response


class AnswerCut(Exception):
    """A backend was lost when part of a packet or row of its answer had gone to the client: nothing true can follow."""


class Downstream(Protocol):
    """The client's connection as the engine sees it."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Sends bytes to the client."""
        ...

    def attach(self, connection: BackendConnection) -> None:
        """``connection`` answers this client: it is not read while the client is slow."""
        ...

    def attach_all(self, connections: Sequence[BackendConnection]) -> None:
        """These answer the client together, until ``attach_all`` of none: KILL QUERY tells them."""
        ...

    def detach(self) -> None:
        """The attached connection's answer has been read to its end."""
        ...

    async def drained(self) -> None:
        """Wait until the client has taken enough of what was written."""
        ...

    def abort(self) -> None:
        """Cut the client off: its answer cannot be finished."""
        ...

    def begin_midway(self, sequence: int) -> None:
        """The client will send more for the statement at hand; ``sequence`` is the number of its next packet."""
        ...

    async def piece(self) -> tuple[bytes, bool]:
        """The next bytes of what it sends, and whether they end a packet."""
        ...

    def end_midway(self) -> int:
        """Nothing more is awaited; the number of the packet that answers."""
        ...


def error_payload(session: Session, error: SqlError) -> bytes:
    """The payload of an ERR packet that the client can read."""
    return err_payload(error.errno, error.sqlstate, shown(error.message, session.settings.results_charset))


class Output:
    """The answer to one command. ``sequence`` numbers its packets, from behind those of the command; ``more`` is set
    while statements follow, ``binary`` where rows are those of a prepared statement."""

    __slots__ = ("binary", "down", "more", "sequence", "session")

    def __init__(self, down: Downstream, session: Session, sequence: int = 1) -> None:
        self.down = down
        self.session = session
        self.sequence = sequence
        self.more = False
        self.binary = False

    @property
    def status(self) -> int:
        """The status flags of the packet that ends this statement's answer."""
        return self.session.status | (Status.MORE_RESULTS if self.more else 0)

    def send(self, payload: bytes) -> None:
        """One packet."""
        self.down.write(frame(payload, self.sequence))
        self.sequence = (self.sequence + 1 + len(payload) // MAX_PAYLOAD) & 0xFF

    def ok(
        self, affected: int = 0, insert_id: int = 0, warnings: int = 0, info: bytes = b"", flags: int = 0
    ) -> None:
        """An OK packet, with the session's status, and ``flags`` that speak of the statement."""
        self.send(Ok(affected, insert_id, self.status | flags, warnings, info).payload())

    def error(self, error: SqlError) -> None:
        """An ERR packet."""
        self.send(error_payload(self.session, error))

    def rows(
        self, columns: Sequence[ColumnDefinition], rows: Iterable[Sequence[bytes | None]], warnings: int = 0
    ) -> None:
        """A small result set of vgate's own; texts in UTF-8, which become what the client reads."""
        charset = self.session.settings.results_charset
        if charset not in ("utf8mb4", "NULL", "binary"):
            columns = [replace(one, name=_shown(one.name, charset)) for one in columns]
            rows = [[None if cell is None else _shown(cell, charset) for cell in row] for row in rows]
        data, self.sequence = result_set(
            columns, rows, status=self.status, sequence=self.sequence, warnings=warnings, binary=self.binary
        )
        self.down.write(data)

    async def relay(
        self,
        connection: BackendConnection,
        packet: bytes,
        edit_ok: Callable[[Ok], Ok] | None = None,
        *,
        columns_only: bool = False,
        filters: Sequence[PacketFilter] = (),
        no_file: SqlError | None = NO_FILE,
    ) -> Response:
        """Send a framed command and pass its answer on as it comes; returns when it is complete.

        ``edit_ok`` changes an OK packet on its way, ``filters`` what else has to be changed. Raises VgateError if the
        connection is lost before anything was passed on; later than that, the answer ends with that error, as if the
        server had sent it, or AnswerCut is raised where it cannot. ``no_file`` as in ``BackendConnection.relay``: the
        wish for a file is not passed on, but what is to follow has its number.
        """
        # The server counts on from the packets of what it is sent, which may be more than the client's, or fewer.
        plain = self.sequence == 1 and len(packet) < MAX_PAYLOAD + 4 and not self.more and edit_ok is None
        plain = plain and not any(one.removes for one in filters)
        relay = Relay(self, plain=plain, edit_ok=edit_ok, filters=filters)
        self.down.attach(connection)
        try:
            connection.relay(packet, relay, columns_only=columns_only, no_file=no_file)
            response = await relay.done
            if plain and response.file is not None:
                self.sequence = response.file.number
            return response
        except asyncio.CancelledError:
            if connection.sink is relay:
                connection.close()
            raise
        finally:
            self.down.detach()


def _shown(text: bytes, charset: str) -> bytes:
    return text if text.isascii() else shown(text.decode("utf-8", "surrogateescape"), charset)


class Relay:
    """A sink that passes an answer on. ``plain``: byte for byte; else packets are renumbered, and say what follows."""

    __slots__ = ("_edit_ok", "_filters", "_numbering", "_out", "_passed", "_plain", "done")

    def __init__(
        self, out: Output, *, plain: bool, edit_ok: Callable[[Ok], Ok] | None, filters: Sequence[PacketFilter]
    ) -> None:
        self._filters = filters
        self._out = out
        self._plain = plain
        self._edit_ok = edit_ok
        self._numbering = Renumbering(out.sequence)
        self._passed = False
        self.done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def received(self, data: bytes, response: Response) -> None:
        self._passed = True
        out = self._out
        if self._plain:
            for one in self._filters:
                data = one.feed(data)
            out.down.write(data)
            return
        if self._edit_ok is not None and response.ok is not None and response.done:
            edited = self._edit_ok(read_ok(response.ok))
            status = edited.status | (Status.MORE_RESULTS if out.more else 0)
            out.send(replace(edited, status=status).payload())
            return
        patched = bytearray(data)
        if out.more:
            for mark in response.marks:
                flags = int.from_bytes(patched[mark : mark + 2], "little") | Status.MORE_RESULTS
                patched[mark : mark + 2] = flags.to_bytes(2, "little")
        for one in self._filters:
            patched = bytearray(one.feed(bytes(patched)))
        self._numbering.renumber(patched)
        out.sequence = self._numbering.sequence
        out.down.write(bytes(patched))

    def finished(self, connection: BackendConnection) -> None:
        if not self.done.done():
            self.done.set_result(connection.response)

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        if self.done.done():
            return
        if not self._passed:
            self.done.set_exception(error)
            return
        number = connection.next_number()
        if number is None:
            self.done.set_exception(AnswerCut())
            return
        out = self._out
        if self._plain:
            out.sequence = number
        out.error(error)
        connection.response.error = error_payload(out.session, error)
        self.done.set_result(connection.response)
