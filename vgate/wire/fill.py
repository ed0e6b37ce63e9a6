"""Rows of a result in which some BIGINT columns are given other values: the rest of each row stays as it came.

It does not know where the values come from, nor framing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vgate.wire.binary import read_value
from vgate.wire.packets import ColumnDefinition, lenenc_bytes, read_lenenc

_BITMAP: Final = 1
"""Where a binary row's NULL bitmap begins."""


@dataclass(frozen=True, slots=True)
class RowFiller:
    """Of a result with these columns; ``binary``: of a prepared statement."""

    columns: Sequence[ColumnDefinition]
    binary: bool

    def filled(self, row: bytes, values: Mapping[int, int | None]) -> bytes:
        """The row's payload with these values, by the number of their column. Raises MalformedPacket."""
        return self._binary(row, values) if self.binary else self._text(row, values)

    def _text(self, row: bytes, values: Mapping[int, int | None]) -> bytes:
        parts: list[bytes] = []
        at = kept = 0
        for number in range(max(values) + 1):
            start = at
            if row[at : at + 1] == b"\xfb":
                at += 1
            else:
                size, at = read_lenenc(row, at)
                at += size
            if number in values:
                value = values[number]
                parts += (row[kept:start], b"\xfb" if value is None else lenenc_bytes(b"%d" % value))
                kept = at
        return b"".join((*parts, row[kept:]))

    def _binary(self, row: bytes, values: Mapping[int, int | None]) -> bytes:
        at = kept = _BITMAP + (len(self.columns) + 9) // 8
        bitmap = bytearray(row[_BITMAP:at])
        parts: list[bytes] = []
        for number in range(max(values) + 1):
            byte, bit = (number + 2) >> 3, 1 << (number + 2 & 7)
            start = at
            if not bitmap[byte] & bit:
                _, at = read_value(row, at, self.columns[number].type)
            if number in values:
                value = values[number]
                parts += (row[kept:start], b"" if value is None else struct.pack("<q", value))
                bitmap[byte] = bitmap[byte] | bit if value is None else bitmap[byte] & ~bit
                kept = at
        return b"".join((row[:_BITMAP], bytes(bitmap), *parts, row[kept:]))
