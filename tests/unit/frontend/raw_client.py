"""A client that does on a socket exactly what a test tells it, well-behaved or not; and the passwords' arithmetic.

It does not interpret anything beyond packet headers.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import struct
from pathlib import Path
from typing import Self

from vgate.frontend.auth import xor
from vgate.frontend.greeting import NATIVE, OFFERED
from vgate.wire.constants import Capability
from vgate.wire.packets import frame, lenenc_bytes

OPENED: list[RawClient] = []
"""Every client of the test at hand, to be closed at its end."""

QUERY = b"\x03select 1"
PING = b"\x0e"


def native_answer(password: str, scramble: bytes) -> bytes:
    """What mysql_native_password makes of a password."""
    once = hashlib.sha1(password.encode()).digest()
    return xor(once, hashlib.sha1(scramble + hashlib.sha1(once).digest()).digest())


def sha2_answer(password: str, scramble: bytes) -> bytes:
    """What caching_sha2_password makes of a password."""
    once = hashlib.sha256(password.encode()).digest()
    return xor(once, hashlib.sha256(hashlib.sha256(once).digest() + scramble).digest())


def response(
    user: str | bytes,
    auth: bytes,
    *,
    plugin: str | None = NATIVE,
    database: str | None = None,
    flags: int = OFFERED & ~Capability.COMPRESS,
    collation: int = 45,
    attributes: dict[str, str] | None = None,
) -> bytes:
    """A HandshakeResponse41's payload; ``flags`` are trimmed to what is in it."""
    if database is None:
        flags &= ~Capability.CONNECT_WITH_DB
    if plugin is None:
        flags &= ~Capability.PLUGIN_AUTH
    if attributes is None:
        flags &= ~Capability.CONNECT_ATTRS
    name = user.encode() if isinstance(user, str) else user
    lenenc = flags & Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
    parts = [
        struct.pack("<IIH22x", flags, 1 << 24, collation), name, b"\0",
        lenenc_bytes(auth) if lenenc else bytes([len(auth)]) + auth,
    ]  # fmt: skip
    if database is not None:
        parts += [database.encode(), b"\0"]
    if plugin is not None:
        parts += [plugin.encode(), b"\0"]
    if attributes is not None:
        pairs = b"".join(lenenc_bytes(text.encode()) for pair in attributes.items() for text in pair)
        parts.append(lenenc_bytes(pairs))
    return b"".join(parts)


def ssl_request() -> bytes:
    """An SSLRequest's payload."""
    return struct.pack("<IIH22x", OFFERED | Capability.SSL, 1 << 24, 45)


class RawClient:
    """One connection. ``connect`` has read the greeting already: ``greeting``, ``scramble``, ``plugin``, ``number``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._pending: ssl.SSLObject
        self._buffer = b""
        self.greeting = b""
        self.scramble = b""
        self.plugin = ""
        self.number = 0
        OPENED.append(self)

    @classmethod
    async def connect(cls, where: int | Path) -> Self:
        """Connect to a port of 127.0.0.1 or to a unix socket, and read the greeting."""
        if isinstance(where, Path):
            client = cls(*await asyncio.open_unix_connection(where))
        else:
            client = cls(*await asyncio.open_connection("127.0.0.1", where))
        sequence, client.greeting = await client.packet()
        assert sequence == 0
        if client.greeting[0] == 10:
            at = client.greeting.index(b"\0") + 1
            client.number = int.from_bytes(client.greeting[at : at + 4], "little")
            client.scramble = client.greeting[at + 4 : at + 12] + client.greeting[at + 31 : at + 43]
            client.plugin = client.greeting[at + 44 : -1].decode()
        return client

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: its number and its payload. Raises EOFError at the end."""
        header = await self._exactly(4)
        return header[3], await self._exactly(int.from_bytes(header[:3], "little"))

    async def rest(self) -> bytes:
        """Everything up to the end of the connection, however it ends."""
        try:
            while True:
                await self._more()
        except (EOFError, ConnectionError):
            return self._buffer

    def send(self, payload: bytes, sequence: int) -> None:
        """One packet."""
        self.send_bytes(frame(payload, sequence))

    def send_bytes(self, data: bytes) -> None:
        """Any bytes, inside TLS if that was started, in one segment."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    def hello(self) -> bytes:
        """Begin with TLS: the bytes of the ClientHello, to be sent by ``send_bytes`` in front of ``start_tls``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._pending = context.wrap_bio(self._incoming, self._outgoing)
        try:
            self._pending.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read()
        raise AssertionError("a handshake without a server")

    async def start_tls(self, behind: bytes = b"") -> None:
        """Finish what ``hello`` began; ``behind`` is sent inside TLS in one segment with the last handshake message."""
        while True:
            try:
                self._pending.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._writer.write(self._outgoing.read())
                data = await self._reader.read(1 << 16)
                if not data:
                    raise EOFError from None
                self._incoming.write(data)
        self._tls = self._pending
        if behind:
            self._tls.write(behind)
        self._writer.write(self._outgoing.read())

    async def upgrade(self) -> None:
        """SSLRequest and TLS, as clients do it."""
        self.send(ssl_request(), 1)
        self.send_bytes(self.hello())
        await self.start_tls()

    async def log_in(
        self, user: str, password: str, *, sequence: int = 1, database: str | None = None, plugin: str = NATIVE
    ) -> bytes:
        """mysql_native_password (or another plugin, without a password): the payload of the server's answer."""
        answer = native_answer(password, self.scramble) if password else b""
        self.send(response(user, answer, database=database, plugin=plugin), sequence)
        number, payload = await self.packet()
        assert number == sequence + 1
        return payload

    def close(self) -> None:
        """Close without a word."""
        self._writer.close()

    def abort(self) -> None:
        """Close with a reset."""
        self._writer.transport.abort()

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def _more(self) -> None:
        data = await self._reader.read(1 << 16)
        if self._tls is None:
            if not data:
                raise EOFError
            self._buffer += data
            return
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        before = len(self._buffer)
        try:
            while plain := self._tls.read(1 << 16):
                self._buffer += plain
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            pass
        if len(self._buffer) == before:
            raise EOFError
