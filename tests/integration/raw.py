"""A session's socket, after PyMySQL has logged in: exactly the bytes that a test sends, and all that come back.

It looks at packets only as far as finding an answer's end takes, and makes sure that their numbers count on. It does
not use vgate's own walker, which is what is tested.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final

from bench.client import Walk
from tests.integration.asking import WITHIN, Connection

MAX_PAYLOAD: Final = 0xFFFFFF
QUERY, PING, INIT_DB, PREPARE, EXECUTE, LONG_DATA = b"\x03", b"\x0e", b"\x02", b"\x16", b"\x17", b"\x18"
MORE_RESULTS: Final = 0x8
CHUNK: Final = 1 << 20


def framed(payload: bytes, number: int = 0) -> bytes:
    """A payload as the one or several packets that it takes."""
    parts: list[bytes] = []
    for at in range(0, len(payload) + 1, MAX_PAYLOAD):
        part = payload[at : at + MAX_PAYLOAD]
        parts += (len(part).to_bytes(3, "little"), bytes([number]), part)
        number += 1
    return b"".join(parts)


class Raw:
    """See the module. Answers are given whole, as they came, headers and all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection  # which would close the socket at its end
        self.socket: socket.socket = connection._sock
        self.socket.settimeout(WITHIN)
        self._held = bytearray()
        self._at = 0
        self._taken = bytearray()
        self._number = 1
        self._chunk = memoryview(bytearray(1 << 16))

    def send(self, *payloads: bytes) -> None:
        """Commands, all in one write."""
        self.socket.sendall(b"".join(map(framed, payloads)))

    def drip(self, *payloads: bytes) -> None:
        """Commands, a byte at a time."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"".join(map(framed, payloads)):
            self.socket.sendall(bytes([byte]))

    def ask(self, payload: bytes) -> bytes:
        """One command, and its answer."""
        self.send(payload)
        return self.answer(payload)

    def query(self, sql: str | bytes) -> bytes:
        """``ask`` a COM_QUERY."""
        return self.ask(QUERY + (sql.encode() if isinstance(sql, str) else sql))

    def answers(self, payloads: Iterable[bytes]) -> list[bytes]:
        """The answers to several commands, in order."""
        return [self.answer(payload) for payload in payloads]

    def answer(self, payload: bytes) -> bytes:
        """The whole answer to a command that was sent."""
        if payload[:1] == LONG_DATA:
            return b""
        self._number = len(payload) // MAX_PAYLOAD + 1
        self._taken.clear()
        first = self._payload()
        if payload[:1] == PREPARE and first[0] == 0:
            self._described(int.from_bytes(first[7:9], "little"))
            self._described(int.from_bytes(first[5:7], "little"))
        else:
            while self._result(first):
                first = self._payload()
        return bytes(self._taken)

    def _result(self, first: bytes) -> bool:
        """The rest of one result; True if another follows."""
        if first[0] == 0xFF:
            return False
        if first[0] == 0:
            at = _after_number(first, _after_number(first, 1))
            return bool(first[at] & MORE_RESULTS)
        self._described(first[0])
        while True:
            row = self._payload()
            if row[0] == 0xFF:
                return False
            if row[0] == 0xFE and len(row) < 9:
                return bool(row[3] & MORE_RESULTS)

    def _described(self, count: int) -> None:
        for _ in range(count):
            self._payload()
        if count:
            assert self._payload()[0] == 0xFE

    def _payload(self) -> bytes:
        """The beginning of the next payload; all of its packets are taken."""
        beginning = b""
        while True:
            header = self._bytes(4)
            assert header[3] == self._number & 0xFF, f"packet {header[3]} instead of {self._number & 0xFF}"
            self._number += 1
            size = int.from_bytes(header[:3], "little")
            part = self._bytes(size)
            beginning = beginning or part[:1024] if size else beginning
            if size < MAX_PAYLOAD:
                return beginning

    def _bytes(self, size: int) -> bytes:
        while len(self._held) - self._at < size:
            if self._at:
                del self._held[: self._at]
                self._at = 0
            piece = self.socket.recv(CHUNK)
            if not piece:
                raise EOFError
            self._held += piece
        part = bytes(self._held[self._at : self._at + size])
        self._at += size
        self._taken += part
        return part

    def discard(self) -> int:
        """Read the answer to a query to its end, and keep nothing: its size in bytes."""
        assert self.silent
        walk, size = Walk(), 0
        while not walk.done:
            got = self.socket.recv_into(self._chunk)
            assert got, "the answer breaks off"
            walk.feed(self._chunk[:got])
            size += got
        return size

    @property
    def silent(self) -> bool:
        """True while nothing has come that no answer has taken."""
        return self._at == len(self._held)


def _after_number(payload: bytes, at: int) -> int:
    return at + {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(payload[at], 1)


def string_execution(statement: int, value: bytes | None) -> bytes:
    """A COM_STMT_EXECUTE with one string for its parameter; None where it was sent ahead."""
    head = EXECUTE + statement.to_bytes(4, "little") + b"\0" + (1).to_bytes(4, "little") + b"\0\1\xfd\0"
    if value is None:
        return head
    size = len(value)
    length = b"\xfd" + size.to_bytes(3, "little") if size <= MAX_PAYLOAD else b"\xfe" + size.to_bytes(8, "little")
    return head + length + value
