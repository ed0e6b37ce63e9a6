"""A reception for tests of the connection phase, its users, and the command phase as a recorder.

The recorder answers OK to everything: what it was given is what would have been executed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from vgate.config import Tls, User, native_digest, sha2_digest
from vgate.errors import TOO_MANY_CONNECTIONS, UNKNOWN_KEYSPACE, SqlError
from vgate.frontend.auth import Accounts, RsaKeys
from vgate.frontend.greeting import NATIVE, SHA2
from vgate.frontend.handshake import Handshake, Terms
from vgate.frontend.sockets import tls_context
from vgate.session.login import Login
from vgate.wire.packets import Ok, frame

PASSWORD = "tester's pässword"
BOTH = User("both", native_digest(PASSWORD), sha2_digest(PASSWORD))
OLD = User("old", native_digest(PASSWORD))
EMPTY = User("empty", b"")
LIMITED = User("limited", b"", None, ("customer",), True)
USERS = (BOTH, OLD, EMPTY, LIMITED)

OK = Ok().payload()
DENIED = b"\xff\x15\x04#28000Access denied for user '%s'@'127.0.0.1' (using password: %s)"


class Recorder(asyncio.Protocol):
    """The command phase: keeps what it is given, and answers OK to every packet."""

    def __init__(self, login: Login, transport: asyncio.Transport) -> None:
        self.login = login
        self.transport = transport
        self.received = b""
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._buffer += data
        while len(self._buffer) >= 4:
            end = 4 + int.from_bytes(self._buffer[:3], "little")
            if len(self._buffer) < end:
                return
            command, self._buffer = self._buffer[4:end], self._buffer[end:]
            if command == b"\x01":
                self.transport.close()
            else:
                self.transport.write(frame(OK, 1))


class House:
    """A reception for one test."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.accounts = Accounts(USERS)
        self.keys = RsaKeys()
        self.inside: list[Recorder] = []
        self.handshakes: set[Handshake] = set()
        self.seen = 0
        self.gone = 0
        self.limit = 10
        self.unwelcome: SqlError | None = None
        self.news = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happens here makes it true."""
        while not condition():
            self.news.clear()
            await self.news.wait()

    def arrived(self, handshake: Handshake) -> int:
        if len(self.handshakes) >= self.limit:
            raise TOO_MANY_CONNECTIONS()
        self.handshakes.add(handshake)
        self.seen += 1
        self.news.set()
        return 1000 + self.seen

    def left(self, handshake: Handshake) -> None:
        self.gone += handshake in self.handshakes
        self.handshakes.discard(handshake)
        self.news.set()

    def refusal(self, database: str) -> SqlError | None:
        return UNKNOWN_KEYSPACE(name=database) if database not in ("", "customer", "product") else None

    def allowed(self, user: User, database: str) -> bool:
        return user.keyspaces is None or database in user.keyspaces

    def enter(self, login: Login, transport: asyncio.Transport) -> Recorder:
        if self.unwelcome is not None:
            raise self.unwelcome
        recorder = Recorder(login, transport)
        self.inside.append(recorder)
        self.news.set()
        return recorder

    def random(self, size: int) -> bytes:
        return hashlib.sha256(b"%d" % self.seen).digest()[:size]

    async def make_keys(self) -> None:
        if not self.keys.pem:
            await asyncio.to_thread(self.keys.generate)


TERMS = Terms("10.11.19-MariaDB-vgate", NATIVE, 45, patience=30.0)
TERMS_SHA2 = Terms("9.7.4-vgate", SHA2, 255, patience=30.0)


@asynccontextmanager
async def served(terms: Terms = TERMS, path: Path | None = None) -> AsyncIterator[tuple[House, int]]:
    """A listening socket whose clients come to a ``House``, and its port; everything is closed at the end."""
    loop = asyncio.get_running_loop()
    house = House(terms)
    if path is not None:
        server = await loop.create_unix_server(lambda: Handshake(house, loop), str(path))
    else:
        server = await loop.create_server(lambda: Handshake(house, loop), "127.0.0.1", 0)
    try:
        yield house, 0 if path is not None else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for recorder in house.inside:
            recorder.transport.abort()
        for handshake in list(house.handshakes):
            handshake.abort()
        await house.until(lambda: not house.handshakes)
        await asyncio.sleep(0)


def with_tls(tls: Tls, *, required: bool = False) -> Terms:
    """The usual terms, with TLS."""
    return replace(TERMS, tls=tls_context(tls), tls_required=required)
