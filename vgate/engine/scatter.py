"""The stream tier as far as it needs no merge: the same read on several shards, results concatenated.

Rows are passed on as the servers sent them, in shard order and in whatever pieces they come, with new packet numbers
where the server's do not fit; a shard that is not yet being read is held back by its socket after ``AHEAD`` bytes, so
memory is bounded by shards, not by results or rows. It does not know why several shards are asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.clock import one_clock
from vgate.engine.command import command_for
from vgate.engine.noted import Noted
from vgate.engine.output import AnswerCut, Output
from vgate.engine.own_transaction import begun, use_up
from vgate.engine.rename import columns_of
from vgate.engine.single import follow_error, found_rows, read_warnings
from vgate.errors import INTERRUPTED, UNSUPPORTED, ServerError, VgateError
from vgate.transactions.scope import Place, Scope
from vgate.wire.constants import Status
from vgate.wire.packets import eof_payload, read_err
from vgate.wire.renumber import Renumbering
from vgate.wire.response import Response
from vgate.wire.schemas import SchemaRename

AHEAD: Final = 1 << 20
"""Bytes taken from a shard whose turn has not come."""

OF_QUERY: Final = Status.NO_GOOD_INDEX_USED | Status.NO_INDEX_USED | Status.QUERY_WAS_SLOW
"""Status flags that speak of the query: true of the whole where they are of a shard."""

STOPS_WITHIN: Final = 5.0
"""Seconds that a server told to stop a read is given to say that it has; then its connection is closed."""

_EOF: Final = 9
"""Bytes of an EOF packet."""


class ShardStream:
    """A sink that keeps what it receives until asked, and stops the server when that is too much.

    It tells a result's description from its rows by where the response's walker has seen EOF packets. ``first`` is the
    server's number of the first row, None as long as it is not known, and ``flags`` what it then says of the query;
    ``last`` the number of what ended the rows, or None where they broke off inside a packet.
    """

    def __init__(self, connection: BackendConnection) -> None:
        self.connection = connection
        self.first: int | None = None
        self.flags = 0
        self.last: int | None = None
        self._head = b""
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._paused = False
        self._lost: VgateError | None = None
        self._news = asyncio.Event()

    def received(self, data: bytes, response: Response) -> None:
        start, end = 0, len(data)
        if self.first is None:
            if not response.marks or response.ok is not None:
                self._head += data
                return
            start = response.marks[0] + 2
            self._head += data[: start - _EOF]
            self.first = (data[start - _EOF + 3] + 1) & 0xFF
            self.flags = int.from_bytes(data[start - 2 : start], "little") & OF_QUERY
        if response.done:
            end -= _EOF if response.error is None else 4 + len(response.error)
            self.last = data[end + 3]
        if start < end:
            self._parts.append(data[start:end])
            self._size += end - start
            if self._size > AHEAD and not self._paused and not response.done:
                self._paused = True
                self.connection.transport.pause_reading()
        self._news.set()

    def finished(self, connection: BackendConnection) -> None:
        self._ended = True
        self._news.set()

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        self.last = connection.next_number()
        self._lost = error
        self._news.set()

    async def head(self) -> bytes:
        """The packets that describe the rows, without the EOF; empty if there are none. Raises as ``read``."""
        while self.first is None:
            if self._ended:
                return b""
            await self._more()
        return self._head

    async def read(self) -> bytes:
        """The next bytes of rows; empty at their end. Raises VgateError if the connection was lost."""
        while not self._parts:
            if self._ended:
                return b""
            await self._more()
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return data

    async def drain(self) -> None:
        """Throw away the rest. Raises VgateError if the connection was lost."""
        await self.head()
        while await self.read():
            pass

    async def _more(self) -> None:
        if self._lost is not None:
            raise self._lost
        self._news.clear()
        if self._paused:
            self._paused = False
            self.connection.transport.resume_reading()
        await self._news.wait()


async def run_scatter(call: Call, places: list[Place], text: bytes) -> None:
    """Run a read on several shards and give the client all rows, those of the first shard first."""
    async with begun(call, places[0][0]):
        await _scatter(call, places, text)


async def _scatter(call: Call, places: list[Place], text: bytes) -> None:
    session, scope = call.session, call.scope
    once = bool(session.isolation_once) and not scope.transactional
    connections: dict[Place, BackendConnection] = {}
    failed: BaseException | None = None
    try:
        connections = await scope.take_all(places, peeks=call.seen_variables)  # which are in one order everywhere
        for connection in connections.values():
            connection.tainted |= call.suspect
            if once:
                await scope.characterise(connection)
            if call.insert_id_read:
                await connection.query(f"SET last_insert_id = {call.session.insert_id}")
        async with one_clock(session, connections.values(), wanted=call.tells_time):
            await _stream(call, connections, text)
    except BaseException as error:  # SET TRANSACTION is used up by some, and left by KILL QUERY
        failed = error
        raise
    finally:
        for place, connection in connections.items():
            if connection.sink is not None:  # an answer nobody will read
                connection.close()
            elif once:
                await use_up(call, place, connection, failed)
            scope.give_back(place, connection)


async def _stream(call: Call, connections: Mapping[Place, BackendConnection], text: bytes) -> None:
    """Send the statement to all shards, and pass their rows on."""
    places = list(connections)
    streams = [ShardStream(connection) for connection in connections.values()]
    call.out.down.attach_all(list(connections.values()))
    try:
        for place, stream in zip(places, streams, strict=True):
            stream.connection.relay(await command_for(call, place, stream.connection, text), stream)
        answer = _concatenate if call.cursor is None else _open_cursors
        await answer(call, places, streams, columns_of(call, places[0]))
    except ServerError as error:
        if error.errno == INTERRUPTED.errno or call.scope.transactional:
            await _interrupt(call.scope, connections.values())
        raise
    except asyncio.CancelledError:  # KILL QUERY, or the client is gone: the servers need not go on
        running = [connection for connection in connections.values() if connection.sink is not None]
        await asyncio.shield(asyncio.gather(*map(call.scope.cluster.interrupt, running)))
        raise
    finally:
        call.out.down.attach_all(())


async def _interrupt(scope: Scope, connections: Iterable[BackendConnection]) -> None:
    """One of the servers has failed, or KILL QUERY has reached it: end the others' answers too, so that their
    connections are as before, and with them the client's transaction, which an error leaves open.
    """
    await asyncio.gather(*(stop_reading(scope, connection) for connection in connections))


async def stop_reading(scope: Scope, connection: BackendConnection) -> None:
    """End an answer that nobody wants any more; the connection is as before then, or closed."""
    stream = connection.sink
    if not isinstance(stream, ShardStream):
        return
    await scope.cluster.interrupt(connection)
    try:
        async with asyncio.timeout(STOPS_WITHIN):
            await stream.drain()
    except TimeoutError:
        connection.close()
    except VgateError:
        return


async def _concatenate(
    call: Call, places: list[Place], streams: list[ShardStream], columns: SchemaRename | None
) -> None:
    out = call.out
    session = call.session
    noted = Noted(call)
    warnings = flags = found = 0
    for number, (place, stream) in enumerate(zip(places, streams, strict=True)):
        head = await stream.head()
        if number == 0 and head:
            describe(out, head if columns is None else columns.feed(head), stream.flags)
        await pass_rows(out, stream)
        response = stream.connection.response
        if response.error is not None:
            raise await failure(call, place, stream, noted)
        flags |= response.status & OF_QUERY
        if count := response.warnings:  # the connection's next answer goes into the same object
            warnings += count - noted.add(await read_warnings(stream.connection), count)
        found += await found_rows(call, stream.connection) or 0
    session.warned(noted.kept, warnings)
    session.row_count = -1
    session.found_rows = found if call.counts_found_rows else None
    out.send(eof_payload(out.status | flags, warnings))


async def failure(call: Call, place: Place, stream: ShardStream, noted: Noted) -> ServerError:
    """The error that one shard has ended its answer with, which SHOW WARNINGS says behind what was ``noted``."""
    payload = stream.connection.response.error
    assert payload is not None
    error = ServerError(*read_err(payload))
    noted.add(await follow_error(call.scope, place, stream.connection, error.errno))
    call.session.fails(error, noted.said)
    return error


async def _open_cursors(
    call: Call, places: list[Place], streams: list[ShardStream], columns: SchemaRename | None
) -> None:
    """The description alone, once every server has opened its cursor; rows are for COM_STMT_FETCH."""
    heads = [await stream.head() for stream in streams]
    responses = [stream.connection.response for stream in streams]
    for place, stream, response in zip(places, streams, responses, strict=True):
        if response.error is not None:
            raise await failure(call, place, stream, Noted(call))
        if not response.status & Status.CURSOR_EXISTS:
            raise UNSUPPORTED(construct="a cursor on several shards for what servers open none for")
    assert call.cursor is not None
    for place, stream in zip(places, streams, strict=True):
        call.cursor.opened(place, stream.connection, Status.CURSOR_EXISTS)
    call.session.row_count = -1
    call.session.found_rows = None
    describe(call.out, heads[0] if columns is None else columns.feed(heads[0]), Status.CURSOR_EXISTS)


def describe(out: Output, head: bytes, flags: int = 0) -> None:
    """Pass on what describes the rows."""
    numbering = Renumbering(out.sequence)
    data = bytearray(head)
    numbering.renumber(data)
    out.sequence = numbering.sequence
    out.down.write(bytes(data))
    out.send(eof_payload(out.status | flags))


async def pass_rows(out: Output, stream: ShardStream) -> None:
    """All rows of one shard. Raises VgateError if it is lost, AnswerCut if that was inside a packet that has begun."""
    numbering = None if stream.first in (None, out.sequence) else Renumbering(out.sequence)
    passed = False
    try:
        while data := await stream.read():
            if numbering is not None:
                patched = bytearray(data)
                numbering.renumber(patched)
                data = bytes(patched)
            passed = True
            out.down.write(data)
            await out.down.drained()
    except VgateError:
        if passed and stream.last is None:
            raise AnswerCut from None
        raise
    finally:
        if passed and stream.last is not None:
            out.sequence = stream.last if numbering is None else numbering.sequence
