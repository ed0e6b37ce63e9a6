"""A raw MySQL client: one blocking socket, one result at a time, as little work as finding the answer's end takes.

Three ways to read an answer: ``rows`` takes it apart (for checks and set-up), ``drain`` walks packet headers and keeps
nothing (any size, at any pace), ``exactly`` only counts bytes up to a length that ``drain`` found before, so that the
client's own cost does not stand between the figures of two servers.
It does not decode values, knows no prepared statements, and logs in with mysql_native_password alone.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self

CHUNK: Final = 1 << 18
MAX_PAYLOAD: Final = 0xFFFFFF
UTF8MB4: Final = 45
PLUGIN: Final = b"mysql_native_password"

LONG_PASSWORD, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41 = 1, 1 << 2, 1 << 3, 1 << 9
SSL, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH = 1 << 11, 1 << 13, 1 << 15, 1 << 19
CAPABILITIES: Final = LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH

MORE_RESULTS: Final = 0x0008
FIRST, COLUMNS, COLUMNS_END, ROWS = range(4)

_LENGTH: Final = Struct("<I").unpack_from


class ClientError(Exception):
    """The server answered with an error, ended the connection, or said what no server says."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to log in, and as whom. ``tls`` asks for TLS without checking the certificate."""

    port: int
    user: str
    password: str
    database: str = ""
    tls: bool = False
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drained answer came to: its rows, and all its bytes."""

    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: column definitions and rows as they came (payloads), the first payload of one without rows."""

    columns: tuple[bytes, ...] = ()
    rows: tuple[bytes, ...] = ()
    ok: bytes = b""


class Walk:
    """Finds the end of one answer. Fed with its bytes in any pieces; keeps at most one small packet."""

    __slots__ = ("_columns", "_continued", "_held", "_phase", "_skip", "done", "rows")

    def __init__(self) -> None:
        self._phase = FIRST
        self._columns = 0
        self._skip = 0
        self._continued = False
        self._held = b""
        self.done = False
        self.rows = 0

    def feed(self, data: memoryview) -> None:
        """Take the next piece. Raises ClientError for an ERR packet, and for bytes after the answer's end."""
        size = len(data)
        at = self._skip
        if at >= size and not self._held:
            self._skip = at - size
            return
        if self._held:
            data = memoryview(self._held + data)
            size, at, self._held = len(data), 0, b""
        while at < size:
            if self.done:
                raise ClientError(f"{size - at} bytes after the end of an answer")
            if size - at < 5 and not (self._continued and size - at == 4 and not any(data[at : at + 3])):
                self._held, at = bytes(data[at:]), size
                break
            length = _LENGTH(data, at)[0] & MAX_PAYLOAD
            if not self._continued and (self._phase == FIRST or (data[at + 4] >= 0xFE and length < 512)):
                if size - at < 4 + length:
                    self._held, at = bytes(data[at:]), size
                    break
                self._marker(bytes(data[at + 4 : at + 4 + length]))
            else:
                self._plain(length)
            at += 4 + length
        self._skip = at - size

    def _plain(self, length: int) -> None:
        """A column definition or a piece of a row."""
        if self._phase == COLUMNS and not self._continued:
            self._columns -= 1
            if self._columns == 0:
                self._phase = COLUMNS_END
        elif self._phase == ROWS and not self._continued:
            self.rows += 1
        self._continued = length == MAX_PAYLOAD

    def _marker(self, payload: bytes) -> None:
        """A first packet, or one that may be ERR or EOF."""
        if payload[0] == 0xFF:
            raise ClientError(error_text(payload))
        if payload[0] == 0xFE and len(payload) < 9:
            status = payload[3] | payload[4] << 8
            if self._phase == COLUMNS_END:
                self._phase = ROWS
            else:
                self._phase, self.done = FIRST, not status & MORE_RESULTS
        elif self._phase != FIRST:
            self._plain(len(payload))
        elif payload[0] == 0:
            self.done = not _ok_status(payload) & MORE_RESULTS
        else:
            self._columns = _lenenc(payload, 0)[0]
            self._phase = COLUMNS


class Client:
    """One logged-in connection. Use as a context manager."""

    def __init__(self, endpoint: Endpoint, timeout: float = 60.0, receive_buffer: int = 0) -> None:
        self._chunk = memoryview(bytearray(CHUNK))
        self.socket = socket.socket()
        try:
            self.socket.settimeout(timeout)
            if receive_buffer:  # before connect: it bounds the window that is announced
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.connect((endpoint.host, endpoint.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._log_in(endpoint)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket, without a word."""
        self.socket.close()

    # -- statements -----------------------------------------------------------------------------------------------

    def send(self, sql: str) -> None:
        """COM_QUERY. Statements up to 16 MB."""
        payload = b"\x03" + sql.encode()
        assert len(payload) < MAX_PAYLOAD
        self.socket.sendall(len(payload).to_bytes(4, "little") + payload)

    def rows(self, sql: str) -> Answer:
        """Run a statement and keep its whole (one) answer."""
        self.send(sql)
        packets = self._packets()
        first = next(packets)
        if first[0] == 0:
            return Answer(ok=first)
        columns = tuple(next(packets) for _ in range(_lenenc(first, 0)[0]))
        next(packets)  # EOF
        rows: list[bytes] = []
        for packet in packets:
            if packet[0] == 0xFE and len(packet) < 9:
                break
            rows.append(packet)
        return Answer(columns, tuple(rows))

    def number(self, sql: str) -> int:
        """The one number that a statement gives."""
        [row] = self.rows(sql).rows
        return int(row[1:])

    def drain(self, sql: str, pace: float = 0.0, stall: float = 0.0) -> Drained:
        """Run a statement and throw its answer away; its rows and bytes.

        A slow reader: nothing is read for ``stall`` seconds, then at most ``pace`` bytes a second.
        """
        self.send(sql)
        if stall:
            time.sleep(stall)
        walk, size, start = Walk(), 0, time.monotonic()
        while not walk.done:
            got = self._receive()
            walk.feed(self._chunk[:got])
            size += got
            if pace and (ahead := size / pace - (time.monotonic() - start)) > 0.001:
                time.sleep(ahead)
        return Drained(walk.rows, size)

    def exactly(self, sql: str, size: int) -> None:
        """Run a statement whose answer has ``size`` bytes, as ``drain`` found."""
        self.send(sql)
        chunk, receive = self._chunk, self.socket.recv_into
        got = self._receive()
        if got > 4 and chunk[4] == 0xFF:
            raise ClientError(error_text(bytes(chunk[4:got])))
        while got < size:
            count = receive(chunk)
            if not count:
                raise ClientError(f"the connection ended after {got} of {size} bytes")
            got += count
        if got > size:
            raise ClientError(f"the answer has more than the {size} bytes it had before")

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _receive(self) -> int:
        got = self.socket.recv_into(self._chunk)
        if not got:
            raise ClientError("the server ended the connection")
        return got

    def _packets(self) -> Iterator[bytes]:
        """Payloads one by one. Raises ClientError for ERR."""
        held = bytearray()
        while True:
            at = 0
            while len(held) - at >= 4:
                length = _LENGTH(held, at)[0] & MAX_PAYLOAD
                if len(held) - at < 4 + length:
                    break
                payload = bytes(held[at + 4 : at + 4 + length])
                at += 4 + length
                if payload and payload[0] == 0xFF:
                    raise ClientError(error_text(payload))
                yield payload
            del held[:at]
            got = self._receive()
            held += self._chunk[:got]

    def _packet(self) -> tuple[int, bytes]:
        """One packet of the login, read to its last byte and no further: TLS may begin right behind it."""
        header = self._precisely(4)
        payload = self._precisely(int.from_bytes(header[:3], "little"))
        if payload[:1] == b"\xff":
            raise ClientError(error_text(payload))
        return header[3], payload

    def _precisely(self, size: int) -> bytes:
        read = bytearray()
        while len(read) < size:
            piece = self.socket.recv(size - len(read))
            if not piece:
                raise ClientError("the server ended the connection during the login")
            read += piece
        return bytes(read)

    # -- login ----------------------------------------------------------------------------------------------------

    def _log_in(self, endpoint: Endpoint) -> None:
        number, greeting = self._packet()
        scramble = _scramble_of(greeting)
        flags = CAPABILITIES | (CONNECT_WITH_DB if endpoint.database else 0) | (SSL if endpoint.tls else 0)
        start = flags.to_bytes(4, "little") + (1 << 30).to_bytes(4, "little") + bytes([UTF8MB4]) + bytes(23)
        number += 1
        if endpoint.tls:
            self._write(number, start)
            self.socket = _unchecked().wrap_socket(self.socket)
            number += 1
        token = _token(endpoint.password, scramble)
        database = endpoint.database.encode() + b"\0" if endpoint.database else b""
        self._write(
            number, start + endpoint.user.encode() + b"\0" + bytes([len(token)]) + token + database + PLUGIN + b"\0"
        )
        number, answer = self._packet()
        if answer[0] == 0xFE:
            plugin, _, scramble = answer[1:].partition(b"\0")
            if plugin != PLUGIN:
                raise ClientError(f"the server wants {plugin.decode()}, and this client knows {PLUGIN.decode()} only")
            self._write(number + 1, _token(endpoint.password, scramble[:20]))
            number, answer = self._packet()
        if answer[0] != 0:
            raise ClientError(f"unexpected answer to the login: {answer[:20]!r}")

    def _write(self, number: int, payload: bytes) -> None:
        self.socket.sendall(len(payload).to_bytes(3, "little") + bytes([number]) + payload)


def error_text(payload: bytes) -> str:
    """What an ERR packet says."""
    number = payload[1] | payload[2] << 8
    text = payload[9:] if payload[3:4] == b"#" else payload[3:]
    return f"{number}: {text.decode('utf-8', 'replace')}"


def run_all(endpoint: Endpoint, statements: Iterator[str] | list[str], timeout: float = 120.0) -> None:
    """Run statements that answer with OK, on one connection."""
    with Client(endpoint, timeout) as client:
        for sql in statements:
            client.rows(sql)


def repeat_for(seconds: float, once: Callable[[], None]) -> tuple[int, float]:
    """Do it until the time is over, at least once: how often, and how long that took."""
    start = time.perf_counter()
    count = 0
    while True:
        once()
        count += 1
        taken = time.perf_counter() - start
        if taken >= seconds:
            return count, taken


def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _scramble_of(greeting: bytes) -> bytes:
    """The 20 random bytes of a protocol 10 greeting."""
    after = greeting.index(0, 1) + 1 + 4
    rest = after + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10
    return greeting[after : after + 8] + greeting[rest : rest + 12]


def _token(password: str, scramble: bytes) -> bytes:
    """What mysql_native_password sends: SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password)))."""
    if not password:
        return b""
    once = hashlib.sha1(password.encode()).digest()
    mask = hashlib.sha1(scramble + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def _lenenc(payload: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer and where it ends."""
    first = payload[at]
    if first < 0xFB:
        return first, at + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(payload[at + 1 : at + 1 + width], "little"), at + 1 + width


def _ok_status(payload: bytes) -> int:
    at = _lenenc(payload, _lenenc(payload, 1)[1])[1]
    return payload[at] | payload[at + 1] << 8
