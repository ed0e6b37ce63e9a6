"""Query attributes (CLIENT_QUERY_ATTRIBUTES): named values that a client sends along with a statement.

They stand before the text of a COM_QUERY, and among the parameters of a COM_STMT_EXECUTE, behind those of the
statement. Without them the command is that of a client that has none. It does not know what they are for.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from vgate.wire.binary import NULL, Parameter, read_value
from vgate.wire.packets import MalformedPacket, read_lenenc, read_lenenc_bytes

Attributes = Mapping[bytes, Parameter]
"""The values by their names, as the client sent both."""

NONE: Final[Attributes] = {}
MOST: Final = 65_535
"""Values of one command, as many as a statement may have parameters."""

_COUNT_SENT: Final = 0x08
"""The flag of COM_STMT_EXECUTE of a client that says how many parameters there are even where the statement has none.
"""

_HEAD: Final = 10
"""Bytes of a COM_STMT_EXECUTE before its parameters."""


def read_query(payload: bytes, at: int) -> tuple[Attributes, int]:
    """The attributes of a COM_QUERY, from ``at`` on, and where its text begins. Raises MalformedPacket."""
    count, at = _count(payload, at)
    sets, at = read_lenenc(payload, at)
    if sets != 1:
        raise MalformedPacket("COM_QUERY with several sets of attributes")
    if count == 0:
        return NONE, at
    block = _Block(payload, at, count)
    if not block.bound:
        raise MalformedPacket("COM_QUERY whose attributes have no types")
    return block.values(0, ())


def read_execution(payload: bytes, count: int, ahead: Container[int]) -> tuple[Attributes, bytes]:
    """The attributes of a COM_STMT_EXECUTE of a statement with ``count`` parameters, and its payload without them.

    ``ahead``: the parameters whose values were sent before. Raises MalformedPacket.
    """
    if len(payload) < _HEAD or not (count or payload[5] & _COUNT_SENT):
        return NONE, payload
    head = payload[:5] + bytes([payload[5] & ~_COUNT_SENT]) + payload[6:_HEAD]
    sent, at = _count(payload, _HEAD)
    if sent < count:
        raise MalformedPacket("COM_STMT_EXECUTE with fewer parameters than its statement has")
    if sent == 0:
        return NONE, head
    block = _Block(payload, at, sent)
    if not block.bound:
        if sent > count:
            raise MalformedPacket("COM_STMT_EXECUTE whose attributes have no types")
        return NONE, head + payload[at:]
    attributes, _ = block.values(count, ahead)
    if count == 0:
        return attributes, head
    bitmap = bytearray(block.bitmap[: (count + 7) // 8])
    if count % 8:
        bitmap[-1] &= (1 << count % 8) - 1
    values = payload[block.values_at : block.own_end]
    return attributes, b"".join((head, bitmap, b"\x01", b"".join(block.types[:count]), values))


class _Block:
    """Parameters with names: bitmap of NULLs, types, names and values."""

    def __init__(self, payload: bytes, at: int, count: int) -> None:
        self._payload = payload
        self._count = count
        end = at + (count + 7) // 8
        if end >= len(payload):
            raise MalformedPacket("parameters cut off")
        self.bitmap = payload[at:end]
        self.bound = payload[end] == 1
        self.types: list[bytes] = []
        self._names: list[bytes] = []
        at = end + 1
        for _ in range(count if self.bound else 0):
            kind = payload[at : at + 2]
            if len(kind) < 2:
                raise MalformedPacket("types of parameters cut off")
            name, at = read_lenenc_bytes(payload, at + 2)
            self.types.append(kind)
            self._names.append(name)
        self.values_at = self.own_end = at

    def values(self, own: int, ahead: Container[int]) -> tuple[Attributes, int]:
        """The attributes, behind the ``own`` parameters of the statement; and where all ends."""
        at = self.values_at
        found: dict[bytes, Parameter] = {}
        for index, (kind, flags) in enumerate(self.types):
            if index == own:
                self.own_end = at
            value: bytes | None = None
            null = kind == NULL or self.bitmap[index >> 3] >> (index & 7) & 1
            if not null and not (index < own and index in ahead):
                value, at = read_value(self._payload, at, kind)
            if index >= own:
                found.setdefault(self._names[index], Parameter(kind, flags & 0x80 != 0, value))
        if own == self._count:
            self.own_end = at
        return found, at


def _count(payload: bytes, at: int) -> tuple[int, int]:
    count, at = read_lenenc(payload, at)
    if count > MOST:
        raise MalformedPacket("more parameters than a command may have")
    return count, at
