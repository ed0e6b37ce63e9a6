"""New sequence numbers for packets that one server sent and another answer contains.

It does not look into packets.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

_LENGTH: Callable[[bytearray, int], tuple[int, int]] = Struct("<HB").unpack_from


class Renumbering:
    """Gives the packets of a byte stream new sequence numbers, whatever pieces the stream comes in."""

    __slots__ = ("_header", "_skip", "rows", "sequence")

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.rows = 0  # packets so far, without those that only begin one of 16 MB
        self._skip = 0
        self._header = b""

    def renumber(self, data: bytearray) -> None:
        """Set the number of each packet whose header's last byte is in ``data``, in place."""
        at = self._skip
        size = len(data)
        if self._header:
            missing = 4 - len(self._header)
            header = self._header + bytes(data[:missing])
            if len(header) < 4:
                self._header = header
                return
            data[missing - 1] = self.sequence
            self.sequence = (self.sequence + 1) & 0xFF
            self._header = b""
            self.rows += header[:3] != b"\xff\xff\xff"
            at = missing + int.from_bytes(header[:3], "little")
        sequence = self.sequence
        last = size - 4
        rows = 0
        while at <= last:
            low, high = _LENGTH(data, at)
            data[at + 3] = sequence
            sequence = (sequence + 1) & 0xFF
            at += 4 + low
            rows += 1
            if high:
                at += high << 16
                rows -= high == 0xFF and low == 0xFFFF
        self.rows += rows
        self.sequence = sequence
        if at >= size:
            self._skip = at - size
        else:
            self._skip = 0
            self._header = bytes(data[at:])
