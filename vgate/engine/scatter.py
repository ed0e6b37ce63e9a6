"""The stream tier as far as it needs no merge: the same read on several shards, results concatenated.

Rows are passed on as the servers sent them, in shard order, with new packet numbers; a shard that is not yet being read
is held back by its socket after ``AHEAD`` bytes, so memory is bounded by shards, not by results. It does not know why
several shards are asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.command import command_for
from vgate.engine.output import Output
from vgate.engine.rename import columns_of
from vgate.engine.single import follow_error, read_warnings, use_up
from vgate.engine.write import OF_STATEMENT
from vgate.errors import ServerError, VgateError
from vgate.session.session import Diagnostic
from vgate.transactions.scope import Place
from vgate.wire.constants import MAX_PAYLOAD
from vgate.wire.packets import eof_payload, read_err, read_lenenc
from vgate.wire.renumber import Renumbering
from vgate.wire.response import Response
from vgate.wire.schemas import SchemaRename

AHEAD: Final = 1 << 20
"""Bytes taken from a shard whose turn has not come."""


class ShardStream:
    """A sink that keeps what it receives until asked, and stops the server when that is too much."""

    def __init__(self, connection: BackendConnection) -> None:
        self.connection = connection
        self.response: Response | None = None
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._lost: VgateError | None = None
        self._news = asyncio.Event()

    def received(self, data: bytes, response: Response) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > AHEAD and not self._paused and not response.done:
            self._paused = True
            self.connection.transport.pause_reading()
        self._news.set()

    def finished(self, connection: BackendConnection) -> None:
        self.response = connection.response
        self._news.set()

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        self._lost = error
        self._news.set()

    async def read(self) -> bytes:
        """The next bytes; empty at the response's end. Raises VgateError if the connection was lost."""
        while not self._parts:
            if self._lost is not None:
                raise self._lost
            if self.response is not None:
                return b""
            self._news.clear()
            if self._paused:
                self._paused = False
                self.connection.transport.resume_reading()
            await self._news.wait()
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return data


class RowCutter:
    """Cuts one shard's result set into its description and its rows, from bytes in any pieces."""

    def __init__(self) -> None:
        self._buffer = b""
        self._columns: int | None = None
        self._described = False
        self._continued = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(column count and definition packets, row packets) completed by ``data``; the EOFs are left out."""
        buffer = self._buffer + data
        size = len(buffer)
        at = 0
        if not self._described:
            at = self._describe(buffer)
        head = buffer[:at]
        if self._described and head:
            at += 9  # the EOF after the column definitions
        start = at
        while at + 4 < size or (self._continued and at + 4 <= size):
            length = int.from_bytes(buffer[at : at + 3], "little")
            end = at + 4 + length
            if end > size:
                break
            if not self._continued and length < 9 and length and buffer[at + 4] == 0xFE:
                break  # the final EOF: nothing follows it
            self._continued = length == MAX_PAYLOAD
            at = end
        if not self._described:
            self._buffer = buffer
            return b"", b""
        self._buffer = buffer[at:]
        return head, buffer[start:at]

    def _describe(self, buffer: bytes) -> int:
        """Where the column definitions end in ``buffer``; 0 while they are incomplete."""
        at = 0
        remaining = 1
        while remaining:
            if at + 4 > len(buffer):
                return 0
            length = int.from_bytes(buffer[at : at + 3], "little")
            if at + 4 + length > len(buffer):
                return 0
            if at == 0:
                remaining += read_lenenc(buffer, 4)[0]
            remaining -= 1
            at += 4 + length
        if at + 9 > len(buffer):
            return 0
        self._described = True
        return at


async def run_scatter(call: Call, places: list[Place], text: bytes) -> None:
    """Run a read on several shards and give the client all rows, those of the first shard first."""
    session, scope = call.session, call.scope
    if not session.autocommit and not session.in_transaction:
        session.begin()
    once = bool(session.isolation_once) and not scope.transactional
    connections: dict[Place, BackendConnection] = {}
    try:
        for place in places:  # in one order everywhere, so that clients that need several pools cannot deadlock
            connections[place] = await scope.take(place)
            if once:
                await scope.characterise(connections[place])
            if call.insert_id_read:
                await connections[place].query(f"SET last_insert_id = {call.session.insert_id}")
        streams = [ShardStream(connection) for connection in connections.values()]
        for place, stream in zip(places, streams, strict=True):
            stream.connection.relay(await command_for(call, place, stream.connection, text), stream)
        await _concatenate(call, places, streams, columns_of(call, places[0]))
        if once:
            for place, connection in connections.items():
                await use_up(call, place, connection, failed=False)
            once = False
    except asyncio.CancelledError:  # KILL QUERY, or the client is gone: the servers need not go on
        running = [connection for connection in connections.values() if connection.sink is not None]
        await asyncio.shield(asyncio.gather(*map(scope.cluster.interrupt, running)))
        raise
    finally:
        for place, connection in connections.items():
            if connection.sink is not None:  # an answer nobody will read
                connection.close()
            elif once:
                await use_up(call, place, connection, failed=True)
            scope.give_back(place, connection)


async def _concatenate(
    call: Call, places: list[Place], streams: list[ShardStream], columns: SchemaRename | None
) -> None:
    out = call.out
    session = call.session
    diagnostics: list[Diagnostic] = []
    described = False
    warnings = 0
    for place, stream in zip(places, streams, strict=True):
        cutter = RowCutter()
        while data := await stream.read():
            response = stream.connection.response
            if response.error is not None and stream.response is not None:
                break
            head, rows = cutter.feed(data)
            if head and not described:
                described = True
                _renumbered(out, head if columns is None else columns.feed(head))
                out.send(eof_payload(out.status & ~0x0008))
            if rows:
                _renumbered(out, rows)
                await out.down.drained()
        response = stream.connection.response
        if response.error is not None:
            error = ServerError(*read_err(response.error))
            session.diagnostics = [Diagnostic("Error", error.errno, error.message)]
            await follow_error(call.scope, place, stream.connection, error.errno)
            raise error
        if response.warnings:
            warnings += response.warnings
            more = await read_warnings(stream.connection)
            new = _unsaid(diagnostics, more)
            warnings -= len(more) - len(new)
            diagnostics += new
    session.diagnostics = diagnostics
    session.row_count = -1
    session.found_rows = None
    out.send(eof_payload(out.status, warnings))


def _unsaid(said: list[Diagnostic], more: list[Diagnostic]) -> list[Diagnostic]:
    """The warnings that a shard adds to those of others: of a statement's text one server warns once."""
    before = Counter(one for one in said if one.code in OF_STATEMENT)
    new: list[Diagnostic] = []
    for one in more:
        if before[one] > 0:
            before[one] -= 1
        else:
            new.append(one)
    return new


def _renumbered(out: Output, packets: bytes) -> None:
    numbering = Renumbering(out.sequence)
    data = bytearray(packets)
    numbering.renumber(data)
    out.sequence = numbering.sequence
    out.down.write(bytes(data))


