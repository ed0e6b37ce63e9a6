"""A client's packets as a test writes them, on the socket of a PyMySQL connection that has logged in.

For what no driver sends. This module does not know what the packets mean.
"""

from __future__ import annotations

from tests.integration.asking import Connection
from vgate.wire.packets import frame

OK, ERR, EOF = 0x00, 0xFF, 0xFE


def send(connection: Connection, payload: bytes, sequence: int = 0) -> None:
    """One payload, framed."""
    connection._sock.sendall(frame(payload, sequence))


def receive(connection: Connection) -> tuple[int, bytes]:
    """The next packet: its number and its payload."""
    header = connection._read_bytes(4)
    return header[3], bytes(connection._read_bytes(int.from_bytes(header[:3], "little")))


def command(connection: Connection, payload: bytes) -> bytes:
    """The first packet of the answer to a command."""
    send(connection, payload)
    number, answer = receive(connection)
    assert number == 1
    return answer


def errno(payload: bytes) -> int:
    """The number of an ERR packet."""
    assert payload[0] == ERR, payload
    return int.from_bytes(payload[1:3], "little")


def result(connection: Connection, payload: bytes) -> tuple[list[bytes], int]:
    """The rows of the answer to a command as they come, and the status flags at their end."""
    head = command(connection, payload)
    assert head[0] not in (OK, ERR, EOF), head
    for _ in range(head[0] + 1):
        receive(connection)
    return rows(connection)


def rows(connection: Connection) -> tuple[list[bytes], int]:
    """Rows up to their EOF, and the status flags in it."""
    found: list[bytes] = []
    while True:
        _, payload = receive(connection)
        if payload[0] == EOF and len(payload) == 5:
            return found, int.from_bytes(payload[3:5], "little")
        assert payload[0] != ERR, payload
        found.append(payload)


def gone(connection: Connection) -> bool:
    """True once the other side has closed."""
    connection._sock.settimeout(20)
    try:
        return not connection._sock.recv(1)
    except ConnectionError:
        return True
