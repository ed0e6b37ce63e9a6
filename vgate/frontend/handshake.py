"""The connection phase on a socket: greeting, TLS, login, and handing the transport over to the command phase.

It moves packets between a transport and ``frontend.auth``, and asks its ``Reception`` (the listener) for everything
that is not this one client's. It does not know passwords, keyspaces or commands.

Invariants
1. Not a byte is read beyond the packet that is awaited: what a client sends behind its last handshake packet stays
   in the socket for the command phase, and a ClientHello behind an SSLRequest for TLS. The one exception is 3.
2. Nothing that arrived before TLS is taken for something inside it: at the switch the inbox is empty.
3. While a packet cannot be answered yet (TLS has just been agreed on but asyncio has not said so) what arrives is
   kept, up to ``LATE`` bytes, in order.
4. Only ``Granted`` leads to the command phase. Once ``_over`` is set nothing is looked at any more, whatever a
   refused client goes on to send: the ERR packet that says why was the last word.
5. Packets are numbered on through TLS; one that is out of order ends the connection.
6. The reception hears ``left`` exactly once, whichever way this ends; nothing of it is kept after handing over.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, assert_never, cast

from vgate.config import User
from vgate.errors import (
    ACCESS_DENIED,
    BAD_HANDSHAKE,
    DATABASE_DENIED,
    INSECURE_TRANSPORT,
    OLD_CLIENT,
    OUT_OF_ORDER,
    WRONG_VALUE,
    SqlError,
)
from vgate.frontend.auth import Accounts, Ask, Authentication, Denied, Granted, NeedKey, RsaKeys, Step
from vgate.frontend.compression import Compression
from vgate.frontend.greeting import (
    SCRAMBLE_LENGTH,
    Greeting,
    HandshakeResponse,
    OldClient,
    asks_for_tls,
    early_error,
    offered,
    read_response,
    scramble_of,
    unusable_charset,
)
from vgate.session.login import Login
from vgate.wire.constants import Capability
from vgate.wire.packets import MalformedPacket, Ok, err_payload, frame

log = logging.getLogger("vgate.client")

CHUNK: Final = 4096
LARGEST: Final = 1 << 17
"""Bytes of a packet in this phase: connection attributes may take 64 KB."""

LATE: Final = 1 << 20
TLS_GOODBYE: Final = 2.0
"""Seconds a client has to answer TLS's close_notify; most do not, and a closed connection should be closed."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a listener says to every client. ``patience`` is the seconds a login may take; ``attributes``: statements
    may come with some.
    """

    version: str
    plugin: str
    collation: int
    patience: float
    tls: ssl.SSLContext | None = None
    tls_required: bool = False
    attributes: bool = False

    @property
    def capabilities(self) -> int:
        """What the greeting offers."""
        return offered(tls=self.tls is not None, attributes=self.attributes)


class CommandPhase(Protocol):
    """The protocol that takes the transport over."""

    def data_received(self, data: bytes) -> None:
        """Bytes that arrived already."""
        ...


class Reception(Protocol):
    """Whoever accepted the connection."""

    @property
    def terms(self) -> Terms:
        """What to say."""
        ...

    @property
    def accounts(self) -> Accounts:
        """Who may log in."""
        ...

    @property
    def keys(self) -> RsaKeys:
        """The keys for passwords that come without TLS."""
        ...

    def arrived(self, handshake: Handshake) -> int:
        """A client has connected: its connection id. Raises SqlError where there are too many."""
        ...

    def left(self, handshake: Handshake) -> None:
        """The connection phase is over, one way or the other."""
        ...

    def refusal(self, database: str) -> SqlError | None:
        """Why nobody may select ``database``."""
        ...

    def allowed(self, user: User, database: str) -> bool:
        """True if ``user`` may select ``database``."""
        ...

    def enter(self, login: Login, transport: asyncio.Transport) -> CommandPhase:
        """Make the client's command phase on ``transport``. Raises SqlError."""
        ...

    def random(self, size: int) -> bytes:
        """Random bytes that nobody can guess."""
        ...

    async def make_keys(self) -> None:
        """Make ``keys`` usable."""
        ...


class Handshake(asyncio.BufferedProtocol):
    """See the module."""

    __slots__ = ("__weakref__", "_auth", "_chunk", "_connection_id", "_host", "_inbox", "_loop", "_over", "_reception",
                 "_response", "_scramble", "_secure", "_sequence", "_take", "_task", "_timer", "_transport", "_waiting")

    def __init__(self, reception: Reception, loop: asyncio.AbstractEventLoop) -> None:
        self._reception = reception
        self._loop = loop
        self._inbox = bytearray()
        self._chunk = memoryview(b"")
        self._sequence = 0  # of the next packet, whoever sends it
        self._waiting = False
        self._over = False
        self._secure = False
        self._host = "localhost"
        self._connection_id = 0
        self._scramble = b""
        self._take: Callable[[bytes], None] = self._first_packet
        self._auth: Authentication | None = None
        self._response: HandshakeResponse | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def __repr__(self) -> str:
        return f"<Handshake {self._connection_id} with {self._host}>"

    # -- the socket -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._look_at_peer()
        terms = self._reception.terms
        self._timer = self._loop.call_later(terms.patience, self._too_slow)
        try:
            number = self._connection_id = self._reception.arrived(self)
        except SqlError as error:
            self._end(early_error(error))
            return
        self._scramble = scramble_of(self._reception.random(SCRAMBLE_LENGTH))
        capabilities = terms.capabilities
        self._send(
            Greeting(terms.version, number, self._scramble, capabilities, terms.plugin, terms.collation).payload()
        )

    def _look_at_peer(self) -> None:
        """Who is there: an address, or ``localhost`` through a unix socket, which is as good as TLS."""
        peer = self._transport.get_extra_info("peername")
        connection = self._transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            # As MySQL: a client whose machine is gone must not hold its locks for ever.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._host = str(peer[0]).removeprefix("::ffff:") if peer else ""
        else:
            self._secure = True

    def get_buffer(self, sizehint: int) -> memoryview:
        self._chunk = memoryview(bytearray(self._missing()))
        return self._chunk

    def _missing(self) -> int:
        """How many bytes may be read: those the awaited packet lacks (invariant 1)."""
        if self._waiting or self._over:
            return CHUNK
        have = len(self._inbox)
        if have < 4:
            return 4 - have
        return min(4 + int.from_bytes(self._inbox[:3], "little") - have, CHUNK)

    def buffer_updated(self, nbytes: int) -> None:
        if self._over:
            return
        self._inbox += self._chunk[:nbytes]
        if not self._waiting:
            self._cut()
        elif len(self._inbox) > LATE:
            self.abort()

    def _cut(self) -> None:
        """Take the packets that are complete."""
        while not self._waiting and not self._over and len(self._inbox) >= 4:
            length = int.from_bytes(self._inbox[:3], "little")
            if self._inbox[3] != self._sequence:
                self._refuse(OUT_OF_ORDER())
                return
            if length > LARGEST:
                self._sequence = (self._sequence + 1) & 0xFF
                self._refuse(BAD_HANDSHAKE())
                return
            if len(self._inbox) < 4 + length:
                return
            payload = bytes(self._inbox[4 : 4 + length])
            del self._inbox[: 4 + length]
            self._sequence = (self._sequence + 1) & 0xFF
            self._take(payload)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()

    def _too_slow(self) -> None:
        if not self._over:
            log.info("connection %d from %s: no login in time", self._connection_id, self._host)
        self.abort()

    def abort(self) -> None:
        """Cut the client off."""
        self._over = True
        self._transport.abort()

    # -- packets --------------------------------------------------------------------------------------------------

    def _send(self, payload: bytes) -> None:
        self._transport.write(frame(payload, self._sequence))
        self._sequence = (self._sequence + 1) & 0xFF

    def _first_packet(self, payload: bytes) -> None:
        """An SSLRequest, or the handshake response of a client that wants no TLS."""
        context = self._reception.terms.tls
        try:
            upgrade = context is not None and asks_for_tls(payload)
        except MalformedPacket as error:
            self._malformed(error)
            return
        if context is None or not upgrade:
            self._read_response(payload)
            return
        self._waiting = True
        self._transport.pause_reading()  # uvloop would ask for another buffer at once
        self._task = self._loop.create_task(self._start_tls(context))

    def _malformed(self, error: MalformedPacket) -> None:
        log.info("connection %d from %s: bad handshake: %s", self._connection_id, self._host, error)
        self._refuse(BAD_HANDSHAKE())

    def _read_response(self, payload: bytes) -> None:
        terms = self._reception.terms
        try:
            response = read_response(payload, terms.capabilities)
        except OldClient:
            self._end(early_error(OLD_CLIENT()))
            return
        except MalformedPacket as error:
            self._malformed(error)
            return
        if terms.tls_required and not self._secure:
            self._refuse(INSECURE_TRANSPORT())
            return
        charset = unusable_charset(response.collation)
        if charset:
            self._refuse(WRONG_VALUE(name="character_set_client", value=charset))
            return
        self._response = response
        self._auth = Authentication(
            self._reception.accounts, self._reception.keys, response.user,
            default=terms.plugin, scramble=self._scramble, secure=self._secure,
        )  # fmt: skip
        self._take = self._auth_packet
        plugin = response.plugin if response.capabilities & Capability.PLUGIN_AUTH else None
        self._step(response, self._auth.start(plugin, response.auth))

    def _auth_packet(self, payload: bytes) -> None:
        if self._auth is not None and self._response is not None:
            self._step(self._response, self._auth.answer(payload))

    def _step(self, response: HandshakeResponse, step: Step) -> None:
        match step:
            case Ask(payload=payload):
                self._send(payload)
            case NeedKey():
                self._waiting = True
                self._transport.pause_reading()
                self._task = self._loop.create_task(self._make_keys(response))
            case Granted(user=user, before=before):
                if before:
                    self._send(before)
                self._enter(user, response)
            case Denied(used=used):
                name = response.user
                log.info("connection %d: access denied for %.64r from %s", self._connection_id, name, self._host)
                self._refuse(ACCESS_DENIED(user=name, host=self._host, used="YES" if used else "NO"))
            case _:
                assert_never(step)

    # -- what takes time ------------------------------------------------------------------------------------------

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        """Go on inside TLS. The socket has been read no further than the SSLRequest."""
        plain = self._transport
        upgraded: asyncio.BaseTransport | None = None
        try:
            if not plain.is_closing():
                upgraded = await self._loop.start_tls(
                    plain, self, context, server_side=True,
                    ssl_handshake_timeout=self._reception.terms.patience, ssl_shutdown_timeout=TLS_GOODBYE,
                )  # fmt: skip
        except OSError as error:  # also ssl.SSLError and TimeoutError
            log.info("connection %d from %s: no TLS: %s", self._connection_id, self._host, error)
        if upgraded is None or upgraded.is_closing():
            # asyncio does not tell the protocol of a connection that was lost during TLS's own handshake.
            plain.abort()
            self._gone()
            return
        self._transport = cast(asyncio.Transport, upgraded)
        if self._over:
            self._transport.abort()
            return
        self._secure = True
        self._take = self._read_response
        self._waiting = False
        self._cut()

    async def _make_keys(self, response: HandshakeResponse) -> None:
        """Let the RSA keys be made while others are served."""
        await self._reception.make_keys()
        if self._over or self._auth is None:
            return
        self._waiting = False
        self._transport.resume_reading()
        self._step(response, self._auth.key_ready())

    # -- the end --------------------------------------------------------------------------------------------------

    def _enter(self, user: User, response: HandshakeResponse) -> None:
        """The client is who it says: check its database, and hand over."""
        database = response.database
        if database and not self._reception.allowed(user, database):
            self._refuse(DATABASE_DENIED(user=user.name, host=self._host, database=database))
            return
        refusal = self._reception.refusal(database)
        if refusal is not None:
            self._refuse(refusal)
            return
        login = Login(
            connection_id=self._connection_id,
            user=user.name,
            database=database,
            capabilities=response.capabilities,
            collation=response.collation,
            host=self._host,
            keyspaces=user.keyspaces,
            read_only=user.read_only,
        )
        transport = self._transport
        if transport.is_closing():  # connection_lost is on its way to this protocol, not to the next
            return
        compression = Compression(transport) if login.capabilities & Capability.COMPRESS else None
        try:
            client = self._reception.enter(login, compression or transport)
        except SqlError as error:
            self._refuse(error)
            return
        self._over = True
        self._send(Ok().payload())
        if compression is not None:
            compression.client = cast(asyncio.Protocol, client)
            client = compression
        transport.set_protocol(cast(asyncio.BaseProtocol, client))
        late = bytes(self._inbox)
        self._gone()
        if late:
            client.data_received(late)

    def _refuse(self, error: SqlError) -> None:
        self._end(err_payload(error.errno, error.sqlstate, error.message))

    def _end(self, payload: bytes) -> None:
        """Say why and close. The timer stays: a client that does not take its leave is cut off."""
        self._over = True
        self._send(payload)
        self._transport.close()

    def _gone(self) -> None:
        """The connection phase is over: keep nothing, as transports keep their former protocols' methods."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._reception.left(self)
        self._inbox = bytearray()
        self._chunk = memoryview(b"")
        self._take = _nothing
        self._auth = self._response = self._task = None


def _nothing(payload: bytes) -> None:
    """What is done with a packet when the connection phase is over."""
