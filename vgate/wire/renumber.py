"""New sequence numbers for packets that one server sent and another answer contains.

It does not look into packets.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

_LENGTH: Callable[[bytearray, int], tuple[int, int]] = Struct("<HB").unpack_from

_MOST: Final = 4096
_NUMBERS: Final = bytes(range(256)) * (_MOST // 256 + 1)

_FEW: Final = 8
"""Packets of one length, one behind another, below which counting them costs more than it saves."""

_PAUSE: Final = 64
"""Packets after which to look again where lengths vary; twice as many each time."""


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
        pause, look_from = _PAUSE, at
        before = -1
        rows = 0
        while at <= last:
            low, high = _LENGTH(data, at)
            if low == before and at >= look_from and not high:
                count = _number_run(data, at, 4 + low, sequence)
                sequence = (sequence + count) & 0xFF
                at += count * (4 + low)
                rows += count
                pause = _PAUSE if count >= _FEW else 2 * pause
                look_from = at if count >= _FEW else at + pause * (4 + low)
                before = -1
                continue
            data[at + 3] = sequence
            sequence = (sequence + 1) & 0xFF
            at += 4 + low
            before = low
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


def _number_run(data: bytearray, at: int, stride: int, sequence: int) -> int:
    """Number the packets from ``at`` on that are ``stride`` bytes long each; return how many they were.

    Where a header says how long its packet is, the next header is there: bytes at equal distances that are equal to the
    first header's are headers, by induction, and slices read and write them all at once.
    """
    count = _FEW
    for most in (_FEW, _MOST):
        end = min(at + most * stride, len(data) - 3)
        count = (end - at + stride - 1) // stride
        for offset in range(3):
            column = data[at + offset : end + offset : stride]
            count = min(count, len(column) - len(column.lstrip(column[:1])))
        if count < _FEW:
            break
    data[at + 3 : at + 4 + (count - 1) * stride : stride] = _NUMBERS[sequence : sequence + count]
    return count
