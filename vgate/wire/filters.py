"""Filters over the bytes of one response, in whatever pieces they come: what is to change waits until it is whole.

They leave sequence numbers alone, and do not know why anything is to change.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from vgate.wire.constants import MAX_PAYLOAD, Status
from vgate.wire.packets import read_lenenc, read_lenenc_bytes

_FIRST, _COLUMNS, _COLUMNS_END, _ROWS = range(4)
_EOF_SIZE: Final = 9
_ERR_SIZE: Final = 9 + 512


class PacketFilter:
    """Passes packets on as ``head``, ``column``, ``begin``, ``row``, ``end`` and ``error`` say; OKs as they come.

    ``columns_only``: the response is COM_FIELD_LIST's. Where ``whole_rows`` is False, only the beginning of long rows
    is given to ``row``, and the rest passed on if that was.
    """

    removes = False
    """Some packets are not passed on at all."""

    def __init__(self, *, columns_only: bool = False, whole_rows: bool = False) -> None:
        self._phase = _COLUMNS if columns_only else _FIRST
        self._whole_rows = whole_rows
        self.width = 0
        """Columns of the result under way."""
        self._columns = 0
        self._held = b""
        self._skip = 0
        self._skipping = False  # what is left of a packet is not passed on
        self.continued = False
        self.outs = False
        """The result is the row of OUT parameters."""

    def feed(self, data: bytes) -> bytes:
        """What ``data`` becomes; an unfinished packet that may have to be changed waits for the rest."""
        parts: list[bytes] = []
        data = self._held + data if self._held else data
        self._held = b""
        if self._skip:
            if not self._skipping:
                parts.append(data[: self._skip])
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        at = 0
        while at + 5 <= len(data) or (at + 4 == len(data) and data[at : at + 3] == b"\0\0\0"):
            size = int.from_bytes(data[at : at + 3], "little")
            end = at + 4 + size
            whole = self._phase != _ROWS or self._whole_rows or (not self.continued and size < _ERR_SIZE)
            if whole and end > len(data):
                break
            passed_on = self._packet(data[at:end], size)
            parts.append(passed_on)
            self._skip = max(0, end - len(data))
            self._skipping = not passed_on
            at = min(end, len(data))
        self._held = data[at:]
        return b"".join(parts)

    def _packet(self, packet: bytes, size: int) -> bytes:
        first = packet[4] if size else 0
        if self._phase == _ROWS:
            ends = not self.continued and (first == 0xFF or (first == 0xFE and size < _EOF_SIZE))
            self.continued = size == MAX_PAYLOAD
            if not ends:
                return self.row(packet)
            if first == 0xFF:
                return self.error(packet)
            if self.outs or (packet[7] | packet[8] << 8) & Status.MORE_RESULTS:
                self._phase = _FIRST
            return self.end(packet)
        if first == 0xFF:
            return self.error(packet)
        if self._phase == _FIRST:
            if first in (0x00, 0xFB, 0xFE):
                return packet
            self._columns = self.width = read_lenenc(packet[4:], 0)[0]
            self._phase = _COLUMNS
            return self.head(packet)
        if self._phase == _COLUMNS:
            if first == 0xFE:  # the end of COM_FIELD_LIST's
                return packet
            self._columns -= 1
            if self._columns == 0:
                self._phase = _COLUMNS_END
            return self.column(packet)
        self._phase = _ROWS
        self.outs = (packet[7] | packet[8] << 8) & Status.PS_OUT_PARAMS != 0
        return self.begin(packet)

    def head(self, packet: bytes) -> bytes:
        """The packet that begins a result, its number of columns."""
        return packet

    def column(self, packet: bytes) -> bytes:
        """A column's definition."""
        return packet

    def begin(self, packet: bytes) -> bytes:
        """The EOF behind the columns' definitions."""
        return packet

    def row(self, packet: bytes) -> bytes:
        """A row; or a part of one, as ``continued`` says of one of 16 MB."""
        return packet

    def end(self, packet: bytes) -> bytes:
        """The EOF behind the rows."""
        return packet

    def error(self, packet: bytes) -> bytes:
        """An ERR packet."""
        return packet


class OutsLeftOut(PacketFilter):
    """Leaves out the row of a CALL's OUT parameters, which a client without PS_MULTI_RESULTS does not get."""

    removes = True

    def __init__(self) -> None:
        super().__init__()
        self._description = b""

    def head(self, packet: bytes) -> bytes:
        self._description = packet
        return b""

    def column(self, packet: bytes) -> bytes:
        self._description += packet
        return b""

    def begin(self, packet: bytes) -> bytes:
        return b"" if self.outs else self._description + packet

    def row(self, packet: bytes) -> bytes:
        return b"" if self.outs else packet

    def end(self, packet: bytes) -> bytes:
        return b"" if self.outs else packet


class RowsLeftOut(PacketFilter):
    """Leaves out the rows in whose cell number ``column`` is one of ``names``, and that are short.

    ``binary``: the cells up to there are texts; it is one of the first six.
    """

    removes = True

    def __init__(self, names: Collection[bytes], column: int, *, binary: bool) -> None:
        super().__init__()
        self._names = names
        self._column = column
        self._binary = binary

    def row(self, packet: bytes) -> bytes:
        if self.continued or int.from_bytes(packet[:3], "little") >= _ERR_SIZE:
            return packet  # which may not be whole, and is longer than any of these
        at = 5 + (self.width + 9) // 8 if self._binary else 4
        if self._binary and packet[5] >> 2 & (2 << self._column) - 1:  # a NULL is not there
            return packet
        cell = b""
        for _ in range(self._column + 1):
            if packet[at : at + 1] == b"\xfb":
                return packet
            cell, at = read_lenenc_bytes(packet, at)
        return b"" if cell in self._names else packet
