"""Fakes that record: a transport, a gate, and a conversation that does what the statement's text says.

They know nothing of SQL or servers; ``Session`` and ``Output`` are the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from vgate.engine.output import AnswerCut, Output
from vgate.errors import NO_DATABASE, UNKNOWN_KEYSPACE, SqlError
from vgate.session.login import Login
from vgate.session.session import Session
from vgate.sql.versioned import Flavour
from vgate.wire.packets import frame


class FakeTransport(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.aborted = False
        self.reading = True
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after close"
        self.written += data

    def take(self) -> bytes:
        """What was written since the last time."""
        written, self.written = self.written, b""
        return written

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class FakeUpstream:
    """A backend connection as the client's connection sees it."""

    def __init__(self, sink: object = None) -> None:
        self.sink = sink
        self.usable = True
        self.transport = FakeTransport()
        self.closed = False

    def close(self) -> None:
        self.closed = True
        sink, self.sink = self.sink, None
        if isinstance(sink, FakeConversation):
            sink.lost()


class FakeCluster:
    """Remembers whom it was told to interrupt."""

    def __init__(self) -> None:
        self.interrupted: list[FakeUpstream] = []

    def facts_for(self, keyspace: str | None) -> SimpleNamespace:
        return SimpleNamespace(flavour=Flavour.MYSQL)

    async def interrupt(self, upstream: FakeUpstream) -> None:
        self.interrupted.append(upstream)


class FakeGate:
    """A gate without servers; ``customer`` and ``product`` are its keyspaces."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.clients: dict[int, Any] = {}
        self.conversations: list[FakeConversation] = []
        self.max_allowed_packet = 64 << 20
        self.news = asyncio.Event()
        self._goodbyes: set[asyncio.Task[None]] = set()

    def closing(self, goodbye: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(goodbye)
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something a conversation does makes it true."""
        while not condition():
            self.news.clear()
            await self.news.wait()

    def statistics(self) -> bytes:
        return b"Threads: %d" % len(self.clients)

    async def settled(self) -> None:
        while self._goodbyes:
            await asyncio.wait(list(self._goodbyes))

    def check_database(self, database: str) -> SqlError | None:
        known = ("", "customer", "product", "information_schema")
        return UNKNOWN_KEYSPACE(name=database) if database.partition(":")[0] not in known else None


class FakeConversation:
    """Does what a statement's text says, and remembers the texts in ``ran``.

    ``wait``: until ``release`` is set. ``part``: writes something first. ``begin``, ``commit``: transaction state.
    ``fail``, ``cut``, ``refuse``: raises. ``rows``: writes a lot, politely. ``fast``: takes the fast path over
    ``upstream`` until ``finish`` is called. Everything else is answered OK.
    """

    def __init__(self, gate: FakeGate, login: Login, down: Any) -> None:
        if login.database == "information_schema":
            raise NO_DATABASE()
        self.gate = gate
        self.session = Session(login)
        self.session.keeps_warnings = True  # so that a PING is always answered the same
        self.mode = SimpleNamespace(charset="utf8mb4")
        self.down = down
        self.ran: list[bytes] = []
        self.ended: list[bytes] = []
        self.release = asyncio.Event()
        self.upstream: FakeUpstream | None = None
        self.closed = 0
        self.settled = False
        self.prepared = SimpleNamespace(
            prepare=self._prepared, execute=self._prepared, reset=self._prepared, fetch=self._prepared,
            close=self.ran.append, send_long_data=self.ran.append,
        )  # fmt: skip
        self.own = SimpleNamespace(use=self._use)
        self.asking = SimpleNamespace(next_value=self._value)
        gate.conversations.append(self)
        gate.news.set()

    def fast_execution(self, packet: bytes) -> FakeUpstream | None:
        return self.fast(packet)

    def fast(self, packet: bytes) -> FakeUpstream | None:
        text = packet[5:]
        if not text.startswith(b"fast"):
            return None
        self.ran.append(text)
        self.upstream = FakeUpstream(self)
        return self.upstream

    def _value(self, packet: bytes) -> bool:
        """``value``: answered in the same step."""
        if packet[5:] != b"value":
            return False
        self.ran.append(packet[5:])
        Output(self.down, self.session).ok()
        return True

    def finish(self, data: bytes = b"", *, settle: bool = False, usual: bool = False) -> None:
        """The upstream's answer has come; ``usual``: told in one call."""
        assert self.upstream is not None
        upstream, self.upstream = self.upstream, None
        if usual:
            upstream.sink = None
            self.down.answered(data)
            return
        self.down.write(data)
        upstream.sink = None
        self.down.detach()
        if settle:
            self.down.start(self._settle())
        else:
            self.down.ready()

    def lost(self) -> None:
        """The upstream broke: a read is tried again."""
        self.down.detach()
        self.down.start(self.run(b"again"))

    async def _settle(self) -> None:
        await self.release.wait()
        self.settled = True

    async def run(self, text: bytes, sequence: int = 1) -> None:
        self.ran.append(text)
        self.gate.news.set()
        try:
            await self._run(text, sequence)
        finally:
            self.ended.append(text)

    async def _run(self, text: bytes, sequence: int) -> None:
        session, down = self.session, self.down
        if text.startswith(b"part"):
            down.write(frame(b"part of an answer", 1))
        if text.startswith(b"relay"):
            self.upstream = FakeUpstream(object())
            down.attach(self.upstream)
        if b"wait" in text:
            await self.release.wait()
        if b"fail" in text:
            raise ValueError("a bug")
        if b"cut" in text:
            raise AnswerCut
        if b"refuse" in text:
            raise NO_DATABASE()
        if text == b"begin":
            session.begin()
        if text == b"commit":
            session.end()
        if text == b"rows":
            for number in range(64):
                down.write(frame(b"\x08" + b"x" * (1 << 16), number + 1))
                await down.drained()
        Output(down, session, sequence).ok()

    async def field_list(self, packet: bytes) -> None:
        self.ran.append(packet[4:])
        Output(self.down, self.session).ok()

    async def _prepared(self, packet: bytes, sequence: int = 1) -> None:
        self.ran.append(packet)
        if b"refuse" in packet[:20]:
            raise NO_DATABASE()
        Output(self.down, self.session, sequence).ok()

    async def _use(self, name: str) -> None:
        self.ran.append(name.encode())

    async def reset(self) -> None:
        self.session.reset()

    def capabilities(self, flags: int) -> None:
        self.session.login = Login(self.session.login.connection_id, self.session.login.user, capabilities=flags)

    async def close(self) -> None:
        self.closed += 1
        self.gate.news.set()
