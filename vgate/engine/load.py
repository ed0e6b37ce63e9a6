"""LOAD DATA LOCAL INFILE on one server: its wish for a file is passed to the client, and the client's file to it.

Nothing of the file is kept but the piece at hand: while the server is slow nothing is read from the client. It does not
know how the file is written; see ``engine.load_shards`` for tables on several.

Invariants
1. Once the client has been asked for its file, all of the file is taken from it before it is answered, whatever goes
   wrong: it listens to nothing before.
2. A server that has been told to expect a file gets the empty packet that ends it, or loses its connection.
3. KILL QUERY reaches the servers; while the client sends its file, it is known here first (``Upload.piece``).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.output import Output
from vgate.engine.rename import text_for
from vgate.engine.single import settle
from vgate.errors import BACKEND_LOST, INTERRUPTED, SqlError, VgateError
from vgate.transactions.scope import Place
from vgate.wire.constants import Command, Status
from vgate.wire.packets import frame, read_ok
from vgate.wire.response import FileRequest, Response


class Beginning:
    """A sink for the first answer to LOAD DATA: a wish for a file, an OK or an ERR."""

    def __init__(self) -> None:
        self.done: asyncio.Future[FileRequest] = asyncio.get_running_loop().create_future()

    def received(self, data: bytes, response: Response) -> None:
        """Nothing: the walker keeps what there is."""

    def finished(self, connection: BackendConnection) -> None:
        if not self.done.done():
            self.done.set_result(cast(FileRequest, connection.response))

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


async def begin_load(out: Output, connection: BackendConnection, text: bytes) -> FileRequest:
    """Send the statement; what the server says to it first. Raises VgateError where the connection is lost."""
    sink = Beginning()
    out.down.attach(connection)
    try:
        connection.relay(frame(bytes([Command.QUERY]) + text), sink, response=FileRequest())
        return await sink.done
    except asyncio.CancelledError:
        connection.close()
        raise
    finally:
        out.down.detach()


async def run_load(call: Call, place: Place) -> bool:
    """Run the statement on one shard; False if its answer was an error the server gave."""
    connection = await call.scope.take(place, peeks=call.seen_variables)
    try:
        connection.written = True
        if call.pins:
            call.scope.pin(place, connection)
            call.scope.home_of(place, call.pins)
        call.insert_id_read = True  # no OK of a LOAD DATA says which id it has generated
        await connection.query(f"SET last_insert_id = {call.session.insert_id}")
        begun = await begin_load(call.out, connection, text_for(call, place, call.text))
        response: Response = begun
        if begun.file is not None:
            try:
                sequence = await _transfer(call, connection, begun.file)
            except BaseException:
                connection.close()  # the server still waits for the rest
                raise
            response = await call.out.relay(connection, frame(b"", sequence), lambda ok: ok)
        elif response.error is not None:
            call.out.send(response.error)
        elif response.ok is not None:  # the file is the server's own
            ok = read_ok(response.ok)
            call.out.send(replace(ok, status=ok.status | (call.out.status & Status.MORE_RESULTS)).payload())
        failed = response.error is not None
        await settle(call, place, connection, response)
        return not failed
    finally:
        call.scope.give_back(place, connection)


async def _transfer(call: Call, connection: BackendConnection, name: bytes) -> int:
    """Pass the client's file on; the number of the packet that is to end it. Raises VgateError.

    After KILL QUERY, too: a server that has heard of it throws the rest away, and answers with the error.
    """
    sequence = 2
    upload = Upload(call.out)
    upload.ask(name)
    try:
        while piece := await _next_piece(call, connection, upload):
            if not connection.usable:
                raise BACKEND_LOST(label=connection.label)
            connection.transport.write(frame(piece, sequence))
            sequence = (sequence + 1) & 0xFF
            await connection.drained()
    except SqlError:
        await upload.drain()
        raise
    upload.end()
    return sequence


async def _next_piece(call: Call, connection: BackendConnection, upload: Upload) -> bytes:
    while True:
        try:
            return await upload.piece()
        except SqlError as error:
            if error.errno != INTERRUPTED.errno:
                raise
            await call.scope.cluster.interrupt(connection, uploading=True)


class Upload:
    """A file on its way from the client."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._ended = False

    def ask(self, name: bytes) -> None:
        """Ask the client for its file."""
        self._out.send(b"\xfb" + name)
        self._out.down.begin_midway(self._out.sequence)

    async def piece(self) -> bytes:
        """The next bytes; empty at the end of the file. Raises INTERRUPTED, once for each KILL QUERY."""
        while not self._ended:
            data, ends = await self._out.down.piece()
            if data:
                return data
            self._ended = ends
        return b""

    async def drain(self) -> None:
        """Throw away what is still to come."""
        while True:
            try:
                if not await self.piece():
                    break
            except SqlError:  # killed once more
                continue
        self.end()

    def end(self) -> None:
        """The file has been taken: the client may be answered."""
        self._out.sequence = self._out.down.end_midway()
