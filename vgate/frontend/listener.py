"""Where clients come in: listening sockets, connection ids, who may log in, how many at once, and the way out.

It makes a ``Handshake`` for every connection and a ``ClientConnection`` for every login, and knows which of them
there are. It does not know the protocol that either speaks.

Invariants
1. A connection is in exactly one of ``_handshakes`` and ``_clients`` from its accept to its end, unless it was turned
   away at the door; ``connections`` is the sum, and never above ``limits.max_connections``.
2. After ``stop_accepting`` nobody new gets in, not even out of the backlog.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from vgate.backend.cluster import ServerFacts
from vgate.config import Config, User
from vgate.errors import SHUTTING_DOWN, TOO_MANY_CONNECTIONS, SqlError
from vgate.frontend.auth import Accounts, RsaKeys
from vgate.frontend.connection import ClientConnection
from vgate.frontend.greeting import NATIVE, SHA2, collation_id
from vgate.frontend.handshake import Handshake, Terms
from vgate.frontend.sockets import BACKLOG, UnixSocket, bind, bind_tcp, bind_unix, tls_context
from vgate.query.gate import SYSTEM_DATABASES, Gate
from vgate.session.login import Login
from vgate.session.target import parse_target
from vgate.sql.versioned import Flavour

__all__ = ["Listener", "bind", "bind_unix"]

_LAST_ID: Final = 0xFFFFFFFF


class Listener:
    """See the module. One for all the addresses of a process; ``random`` gives unguessable bytes."""

    def __init__(
        self, gate: Gate, config: Config, facts: ServerFacts, *, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self.terms = Terms(
            version=facts.announced,
            plugin=SHA2 if facts.flavour is Flavour.MYSQL else NATIVE,
            collation=collation_id(facts.collation, facts.charset),
            patience=config.limits.connect_timeout,
            tls=tls_context(config.tls) if config.tls is not None else None,
            tls_required=config.tls is not None and config.tls.required,
            attributes=facts.flavour is Flavour.MYSQL,
        )
        self.accounts = Accounts(config.users)
        self.keys = RsaKeys()
        self.random = random
        self._gate = gate
        self._limit = config.limits.max_connections
        self._handshakes: set[Handshake] = set()
        self._clients: set[ClientConnection] = set()
        self._servers: list[asyncio.Server] = []
        self._unix_sockets: list[UnixSocket] = []
        self._stopped = False
        self._making_keys: asyncio.Future[None] | None = None
        self._empty: asyncio.Event | None = None
        # Ids of several workers and proxies seldom meet if each begins somewhere else; 31 bits leave room to count.
        self._last_id = int.from_bytes(random(4), "little") >> 1

    def __repr__(self) -> str:
        return f"<Listener {len(self._handshakes)} logging in, {len(self._clients)} clients of {self._limit}>"

    @property
    def connections(self) -> int:
        """Clients that are connected, logged in or not yet."""
        return len(self._handshakes) + len(self._clients)

    def replace_users(self, users: Iterable[User]) -> None:
        """Other users may log in from now on; those who are in stay, as after MySQL's DROP USER."""
        self.accounts.replace(users)

    # -- listening ------------------------------------------------------------------------------------------------

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> tuple[str, int]:
        """Listen on a TCP address; returns the one it has got (port 0 lets the system choose). Raises ConfigError."""
        sockets = await asyncio.to_thread(bind_tcp, host, port, reuse_port=reuse_port)
        name = sockets[0].getsockname()
        for one in sockets:
            await self.listen_on(one)
        return str(name[0]), int(name[1])

    async def listen_unix(self, path: str | Path) -> None:
        """Listen on a unix socket, removed at close. Raises ConfigError where another process listens there."""
        unix = UnixSocket(Path(path))
        self._unix_sockets.append(unix)
        await self.listen_on(unix.socket)

    async def listen_on(self, listening: socket.socket) -> None:
        """Listen on a socket that somebody else has bound; closed, but its file not removed, at close."""
        loop = asyncio.get_running_loop()
        make_server = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        self._servers.append(await make_server(lambda: Handshake(self, loop), sock=listening, backlog=BACKLOG))

    def stop_accepting(self) -> None:
        """Close the listening sockets; clients stay."""
        self._stopped = True
        for unix in self._unix_sockets:
            unix.remove()
        for server in self._servers:
            server.close()
        self._unix_sockets.clear()
        self._servers.clear()

    async def drain(self, seconds: float) -> None:
        """Let clients finish what they have begun, for so long, and cut off the rest; nobody is left afterwards.

        Whoever is idle outside a transaction is sent away at once without a word, as MySQL does at shutdown. What
        the clients leave behind on servers is cleaned up by the gate: see ``Gate.settled``.
        """
        self.stop_accepting()
        self._empty = asyncio.Event()
        for handshake in list(self._handshakes):
            handshake.abort()
        for client in list(self._clients):
            client.retire()
        try:
            async with asyncio.timeout(seconds):
                await self._emptied(self._empty)
        except TimeoutError:
            for client in list(self._clients):
                client.abort()
            await self._emptied(self._empty)

    def oversee(self, idle: float, query: float | None) -> None:
        """See what clients are about: those that take too long, or say nothing for too long, are stopped.

        To be called every now and then.
        """
        for client in list(self._clients):
            client.oversee(idle, query)

    async def _emptied(self, empty: asyncio.Event) -> None:
        if self.connections:
            await empty.wait()

    # -- handshake.Reception --------------------------------------------------------------------------------------

    def arrived(self, handshake: Handshake) -> int:
        if self._stopped:  # it was in the backlog
            raise SHUTTING_DOWN()
        if self.connections >= self._limit:
            raise TOO_MANY_CONNECTIONS()
        self._handshakes.add(handshake)
        return self._next_id()

    def left(self, handshake: Handshake) -> None:
        self._handshakes.discard(handshake)
        self._look_around()

    def refusal(self, database: str) -> SqlError | None:
        return self._gate.check_database(database)

    def allowed(self, user: User, database: str) -> bool:
        if user.keyspaces is None or database.lower() in SYSTEM_DATABASES:
            return True
        try:
            return parse_target(database).keyspace in user.keyspaces
        except ValueError:
            return False

    def enter(self, login: Login, transport: asyncio.Transport) -> ClientConnection:
        client = ClientConnection(self._gate, login, asyncio.get_running_loop(), self._gone)
        client.reception = self
        client.open(transport)
        self._clients.add(client)
        return client

    async def make_keys(self) -> None:
        """Make the RSA keys, once for all who wait for them."""
        if self._making_keys is None:
            self._making_keys = asyncio.get_running_loop().run_in_executor(None, self.keys.generate)
        await asyncio.shield(self._making_keys)

    # -- clients --------------------------------------------------------------------------------------------------

    def _next_id(self) -> int:
        """The next connection id: not 0, and of no client that is still there."""
        while True:
            self._last_id = self._last_id + 1 if self._last_id < _LAST_ID else 1
            if self._last_id not in self._gate.clients:
                return self._last_id

    def _gone(self, client: ClientConnection) -> None:
        self._clients.discard(client)
        self._look_around()

    def _look_around(self) -> None:
        if self._empty is not None and not self.connections:
            self._empty.set()
