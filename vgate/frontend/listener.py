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
import contextlib
import errno
import os
import secrets
import socket
import ssl
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from vgate.backend.cluster import ServerFacts
from vgate.config import Config, Listen, Tls, User
from vgate.errors import ConfigError, SqlError
from vgate.frontend.auth import Accounts, RsaKeys
from vgate.frontend.connection import ClientConnection
from vgate.frontend.greeting import NATIVE, SHA2, collation_id
from vgate.frontend.handshake import Handshake, Terms
from vgate.query.gate import SYSTEM_DATABASES, Gate
from vgate.session.login import Login
from vgate.session.target import parse_target
from vgate.sql.versioned import Flavour

BACKLOG: Final = 1024
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
        sockets = await bind_tcp(host, port, reuse_port=reuse_port)
        for one in sockets:
            await self._serve(one)
        name = sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def listen_unix(self, path: str | Path) -> None:
        """Listen on a unix socket, removed at close. Raises ConfigError where another process listens there."""
        unix = UnixSocket(Path(path))
        self._unix_sockets.append(unix)
        await self._serve(unix.socket)

    async def _serve(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        make_server = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        self._servers.append(
            await make_server(lambda: Handshake(self, loop), sock=listening, backlog=BACKLOG)  # type: ignore[operator]
        )

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

    async def _emptied(self, empty: asyncio.Event) -> None:
        if self.connections:
            await empty.wait()

    # -- handshake.Reception --------------------------------------------------------------------------------------

    def arrived(self, handshake: Handshake) -> int | None:
        if self._stopped or self.connections >= self._limit:
            return None
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


# -- TLS ----------------------------------------------------------------------------------------------------------


def tls_context(tls: Tls) -> ssl.SSLContext:
    """The TLS context of a configuration. Raises ConfigError where certificate and key cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"tls: the certificate {tls.cert} and the key {tls.key} cannot be used: {reason}. "
            "Both must be PEM files, the key without a password, and belong together."
        ) from None
    return context


def _no_password() -> str:
    """OpenSSL would ask on the terminal for a key's password."""
    raise ValueError("the key is protected by a password")


# -- sockets ------------------------------------------------------------------------------------------------------


async def bind_tcp(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """A bound socket for every address of ``host``, all with one port. Raises ConfigError.

    Addresses this machine does not have are left out if it has others: ``localhost`` may name ::1 without IPv6.
    """
    address = Listen(host, port)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"cannot listen on {address}: {host!r} is no address: {error.strerror}") from None
    bound: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, where in dict.fromkeys(found):
        try:
            bound.append(_bind_one(family, (where[0], port, *where[2:]), reuse_port=reuse_port))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                missing = error
                continue
            for one in bound:
                one.close()
            raise ConfigError(f"cannot listen on {address}: {_reason(error)}") from None
        port = bound[0].getsockname()[1]
    if not bound:
        raise ConfigError(f"cannot listen on {address}: {_reason(missing)}")
    return bound


def _bind_one(family: int, where: tuple[object, ...], *, reuse_port: bool) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(where)
        one.listen(BACKLOG)
    except BaseException:
        one.close()
        raise
    return one


def _reason(error: OSError | None) -> str:
    """What is wrong with an address, and what to do."""
    match error.errno if error is not None else None:
        case errno.EADDRINUSE:
            return "another program listens there. Stop it, or choose another address with --listen."
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT | None:
            return "this machine has no such address. Choose another one with --listen."
        case errno.EACCES | errno.EPERM:
            return "that is not permitted; ports below 1024 need privileges. Choose another one with --listen."
        case _:
            return str(error.strerror if error is not None else "")


class UnixSocket:
    """A bound unix socket at ``path``. Raises ConfigError.

    A socket file that nobody listens on was left by a process that died, and is replaced; one in use, and any
    other file, is left alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._take_place()
            self.socket.setblocking(False)
            self.socket.bind(str(path))
            # As mysqld's: whoever can reach the file may try to log in.
            path.chmod(0o777)
            self.socket.listen(BACKLOG)
            self._inode = _inode(path)
        except OSError as error:
            self.socket.close()
            raise ConfigError(f"cannot listen on the unix socket {path}: {error.strerror or error}") from None
        except BaseException:
            self.socket.close()
            raise

    def _take_place(self) -> None:
        """Remove what a dead process left at the path."""
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigError(f"cannot listen on the unix socket {self.path}: there is a file that is no socket.")
        if _answers(self.path):
            raise ConfigError(
                f"cannot listen on the unix socket {self.path}: another program listens there. Stop it, or choose "
                "another path for unix_socket."
            )
        self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there."""
        with contextlib.suppress(OSError):
            if _inode(self.path) == self._inode:
                self.path.unlink()


def _answers(path: Path) -> bool:
    """True if somebody listens on the unix socket; also when its backlog is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _inode(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino
