"""LOAD DATA LOCAL INFILE on one server: its wish for a file is passed to the client, and the client's file to it.

It is the wish that tells of such a statement, whatever the text says: it may be a prepared one, or within another.
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
from collections.abc import Sequence

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.output import Output
from vgate.errors import BACKEND_LOST, INTERRUPTED, LOCAL_DISABLED, LOCAL_DISABLED_MARIADB, SqlError, VgateError
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place
from vgate.wire.constants import Capability, Command
from vgate.wire.filters import PacketFilter
from vgate.wire.packets import frame
from vgate.wire.response import FileWish, Response


class Beginning:
    """A sink for the first answer to LOAD DATA: a wish for a file, an OK or an ERR."""

    def __init__(self) -> None:
        self.done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def received(self, data: bytes, response: Response) -> None:
        """Nothing: the walker keeps what there is."""

    def finished(self, connection: BackendConnection) -> None:
        if not self.done.done():
            self.done.set_result(connection.response)

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


async def begin_load(out: Output, connection: BackendConnection, text: bytes) -> Response:
    """Send the statement; what the server says to it first. Raises VgateError where the connection is lost."""
    sink = Beginning()
    out.down.attach(connection)
    try:
        connection.relay(frame(bytes([Command.QUERY]) + text), sink, no_file=None)
        return await sink.done
    except asyncio.CancelledError:
        connection.close()
        raise
    finally:
        out.down.detach()


def no_file_of(call: Call, place: Place) -> SqlError | None:
    """What is answered in place of the client's file; None where the client has offered to send files."""
    if call.session.login.capabilities & Capability.LOCAL_FILES:
        return None
    mysql = call.scope.cluster.facts_for(place[0]).flavour is Flavour.MYSQL
    return LOCAL_DISABLED() if mysql else LOCAL_DISABLED_MARIADB()


async def pass_file(
    call: Call, connection: BackendConnection, wish: FileWish, filters: Sequence[PacketFilter]
) -> Response:
    """Give the server the file it asks for; then it goes on with its answer, and may ask for another."""
    try:
        sequence = await _transfer(call, connection, wish)
    except BaseException:  # whoever is gone, the client or who asked for it, the server still waits for the rest
        connection.close()
        raise
    return await call.out.relay(connection, frame(b"", sequence), filters=filters, no_file=None)


async def _transfer(call: Call, connection: BackendConnection, wish: FileWish) -> int:
    """Pass the client's file on; the number of the packet that is to end it. Raises VgateError.

    After KILL QUERY, too: a server that has heard of it throws the rest away, and answers with the error.
    """
    sequence = (wish.number + 1) & 0xFF
    upload = Upload(call.out)
    upload.ask(wish.name)
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
