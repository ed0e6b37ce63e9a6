"""The line between vgate and one server, in a test's hands: it can be cut, held, or pass bytes one at a time.

Lines live on an event loop in a thread of their own. They know nothing of the protocol: a fault is told by bytes of a
command that passes, and by how many bytes of its answer may still pass.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.fix_servers import Server

T = TypeVar("T")


@dataclass(slots=True)
class Fault:
    """What is to happen, once, to the connection on which ``text`` passes.

    ``left``: the bytes of the answer that pass before the connection ends; None: the command does not pass either.
    """

    text: bytes
    left: int | None
    met: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Connection:
    """One connection over the line."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.fault: Fault | None = None

    def cut(self) -> None:
        """Both ends see the connection end; what has passed arrives."""
        self.client.close()
        self.server.transport.abort()


class Exchange:
    """All lines, and the thread they live in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._lines: list[Line] = []

    def line(self, server: Server) -> Line:
        """A new line to a server."""
        line = Line(self, server)
        self.run(line.open())
        self._lines.append(line)
        return line

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, what: Callable[[], object]) -> None:
        """Do something in the thread."""

        async def work() -> None:
            what()

        self.run(work())

    def close(self) -> None:
        """Cut everything, and end the thread."""
        for line in self._lines:
            self.run(line.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


class Line:
    """See the module."""

    def __init__(self, exchange: Exchange, server: Server) -> None:
        self.port = 0
        self.piece = 1 << 16
        self.asked: list[bytes] = []
        self._exchange = exchange
        self._server = server
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[Fault] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._listening: asyncio.Server

    async def open(self) -> None:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._listening.close()
        while tasks := list(self._tasks):  # one that was accepted at the last moment, too
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- what a test does to it -----------------------------------------------------------------------------------

    def break_at(self, text: bytes, left: int | None) -> Fault:
        """Once, where ``text`` passes: see ``Fault``."""
        fault = Fault(text, left)
        self._faults.append(fault)
        return fault

    def forget(self, fault: Fault) -> None:
        """It does not happen any more."""
        if fault in self._faults:
            self._faults.remove(fault)
        for connection in list(self._connections):
            if connection.fault is fault:
                connection.fault = None

    def cut(self) -> None:
        """End every connection now."""
        self._exchange.call(self._cut)

    def _cut(self) -> None:
        for connection in list(self._connections):
            connection.cut()

    def hold(self) -> None:
        """Let nothing pass; connections stay open."""
        self._exchange.call(self._flowing.clear)

    def let_go(self) -> None:
        """Let everything pass again."""
        self._exchange.call(self._flowing.set)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    # -- passing on -----------------------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """No coroutine: one that is cancelled before its first step would leave the connection open."""
        task = asyncio.ensure_future(self._bridge(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _bridge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, server = await asyncio.open_connection(self._server.host, self._server.port)
        except OSError:  # the server is down
            return
        connection = Connection(writer, server)
        self._connections.add(connection)
        pumps = [asyncio.ensure_future(self._up(reader, connection)),
                 asyncio.ensure_future(self._down(from_server, connection))]  # fmt: skip
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.discard(connection)
            server.close()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        while data := await reader.read(1 << 16):
            await self._flowing.wait()
            self.asked.append(data)
            fault = next((one for one in self._faults if one.text in data), None)
            if fault is not None:
                self._faults.remove(fault)
                fault.met.set()
                if fault.left is None:
                    connection.cut()
                    fault.done.set()
                    return
                connection.fault = fault
            await self._pass(data, connection.server)

    async def _down(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        while data := await reader.read(1 << 16):
            await self._flowing.wait()
            fault = connection.fault
            if fault is None or fault.left is None:
                await self._pass(data, connection.client)
                continue
            await self._pass(data[: fault.left], connection.client)
            fault.left -= len(data[: fault.left])
            if not fault.left:
                connection.cut()
                fault.done.set()
                return

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(data), self.piece):
            writer.write(data[at : at + self.piece])
            await writer.drain()
