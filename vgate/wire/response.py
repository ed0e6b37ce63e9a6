"""Where the response to a command ends: a pure walker over the bytes a server sends.

It reads packet headers and first bytes only, never a row, and takes the bytes in whatever pieces they come.
It does not know sockets, nor what is done with the bytes; capabilities are fixed (protocol 4.1 without
DEPRECATE_EOF, SESSION_TRACK and compression).

Invariants
1. ``feed`` consumes everything but an unfinished packet header (with its first payload byte) or an unfinished
   OK, ERR or EOF packet; what it does not consume is given again in front of the next piece.
2. A packet that continues a 16 MB one is never taken for a marker, whatever its first byte.
3. ``done`` becomes True exactly once per response, at its last byte; bytes after it are the caller's fault or
   the server's, and are not consumed.
4. ``status`` and ``warnings`` are those of the last OK or EOF packet; ``error`` is the ERR packet that ended it.
   ``file`` is the wish that ended it for a file of the client's: what the server says to the file is a response, too.
5. Between responses ``_phase``, ``_skip`` and ``_continued`` are as at the beginning.
6. What is skipped without a look, a known ``head`` or a run of rows, is skipped only where walking packet by packet
   would have come to the same place in the same state.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct
from typing import Final, NamedTuple

from vgate.wire.constants import MAX_PAYLOAD, Status
from vgate.wire.packets import MalformedPacket, read_lenenc

_HEADER: Callable[[bytes, int], tuple[int]] = Struct("<I").unpack_from
_ROW: Callable[[bytes, int], tuple[int, int, int]] = Struct("<HBxB").unpack_from
"""The low and the high bytes of a packet's length, and the first byte of its payload."""
_EOF: Callable[[bytes, int], tuple[int, int]] = Struct("<HH").unpack_from

_END: Callable[[bytes, int], tuple[int, int, int, int]] = Struct("<IBHH").unpack_from
"""The header of an EOF packet, its first byte, warnings and status."""

FIRST, COLUMNS, COLUMNS_END, ROWS = range(4)

HEAD_LIMIT: Final = 2048
"""Bytes of a result's description beyond which it is not remembered."""

_WORTH: Final = 2048
"""Bytes of rows for which a regular expression is worth its call."""

_NEVER: Final = sys.maxsize

_TELLING: Final = Status.IN_TRANS | Status.MORE_RESULTS | Status.CURSOR_EXISTS
"""What may say that more is to be done after a result of one row."""

_WIDTH: Final = 32
_LONGEST: Final = 1024


@cache
def _rows_of(block: int) -> re.Pattern[bytes]:
    """Whole packets of rows, one after another, with payloads of about ``block * _WIDTH`` bytes.

    A branch for each length, as the length a header gives cannot be referred to; compared with a loop in Python this
    takes a fifth of the time. The first byte of a row is never 0xFF, and 0xFE only before a value of 16 MB, so neither
    an ERR nor an EOF packet is taken for a row.
    """
    lowest = max(1, block * _WIDTH - _WIDTH // 2)
    branches = [
        re.escape(length.to_bytes(3, "little")) + rb".[^\xfe\xff].{%d}+" % (length - 1)
        for length in range(lowest, block * _WIDTH + _WIDTH + _WIDTH // 2)
    ]
    return re.compile(b"(?:" + b"|".join(branches) + b")*+", re.DOTALL)


def one_row_ends(data: bytes, at: int, in_transaction: int) -> bool:
    """True if from ``at``, behind a result's head, there is one row and the end of the response, and no more.

    Of the end's status only IN_TRANS may be set, as ``in_transaction`` says, and there are no warnings. A response of
    which this is not true may be a good one: ``Response`` walks it.
    """
    size = len(data)
    if size < at + 14:
        return False
    low, high, first = _ROW(data, at)
    if at + low + 13 != size or high or first >= 0xFE:
        return False
    header, mark, warnings, status = _END(data, size - 9)
    return mark == 0xFE and header & 0xFFFFFF == 5 and not warnings and status & _TELLING == in_transaction


class FileWish(NamedTuple):
    """A server asks for a file of the client's, in the packet of that ``number``."""

    name: bytes
    number: int

    @property
    def size(self) -> int:
        """Bytes of the packet."""
        return 5 + len(self.name)


class Response:
    """One response in flight. ``start`` makes it ready for the next command on the same connection.

    ``head`` is the description of a result: its packets up to the EOF after the column definitions. ``start`` may be
    given the one that the same statement's result had before; if this result begins with it, its packets are not walked
    again. ``head`` then is what this result began with, or empty where that did not come in one piece or is long.
    Behind a row of OUT parameters an OK follows, though MySQL does not say at the row's end that more does.
    """

    __slots__ = ("_columns", "_continued", "_outs", "_phase", "_skip", "done", "error", "file", "head", "marks", "ok",
                 "status", "warnings")

    def __init__(self) -> None:
        self._phase = FIRST
        self._columns = 0
        self._skip = 0
        self._continued = False
        self._outs = False
        self.marks: Sequence[int] = ()
        self.start()

    def start(self, phase: int = FIRST, head: bytes = b"") -> None:
        """Expect the next response: from its first packet, or (COM_FIELD_LIST) just packets up to an EOF."""
        if phase:
            self._phase = phase
        self.head = head
        self.done = False
        self.status = 0
        self.warnings = 0
        self.ok: bytes | None = None
        self.error: bytes | None = None
        self.file: FileWish | None = None

    @property
    def pending(self) -> int:
        """Bytes of the last packet that are still to come."""
        return self._skip

    @property
    def between(self) -> bool:
        """True where what came so far ends with a packet that nothing has to complete."""
        return not self._skip and not self._continued

    def feed(self, data: bytes) -> int:
        """Walk ``data``; return how many of its bytes belong to the response and need not be given again.

        ``marks`` then lists the positions, in ``data``, of the two-byte status flags of OK and EOF packets.
        Raises MalformedPacket for bytes no server sends.
        """
        size = len(data)
        at = self._skip
        phase = self._phase
        continued = self._continued
        self.marks = ()
        begun = at == 0 and phase == FIRST
        if at:
            if at > size:
                self._skip = at - size
                return size
            self._skip = 0
        elif begun and self.head:
            if data.startswith(self.head):
                at = len(self.head)
                self.warnings, self.status = _EOF(data, at - 4)
                self.marks = (at - 2,)
                phase = ROWS
            else:
                self.head = b""
        run_from = at if size - at > _WORTH else _NEVER
        last = size - 4
        while at < last:
            if phase == ROWS and not continued:
                length, high, first = _ROW(data, at)
                while first < 0xFE and not high:
                    at += length + 4
                    if at >= run_from:
                        at, run_from = self._run(data, at, length)
                    if at >= last:
                        break
                    length, high, first = _ROW(data, at)
                else:
                    length |= high << 16
                if at >= last:
                    break
            else:
                length = _HEADER(data, at)[0] & MAX_PAYLOAD
                first = data[at + 4]
            end = at + 4 + length
            if continued:
                continued = length == MAX_PAYLOAD
            elif length == 0:
                raise MalformedPacket("empty packet in a response")
            elif phase == COLUMNS:
                self._columns -= 1
                if self._columns == 0:
                    phase = COLUMNS_END
            elif first == 0xFF or (first == 0xFE and length < 9) or (phase == FIRST and first in (0x00, 0xFB)):
                if end > size:
                    break
                if first == 0xFE:
                    if length != 5:
                        raise MalformedPacket(f"EOF packet of {length} bytes")
                    self.warnings, self.status = _EOF(data, at + 5)
                    self.marks = (*self.marks, at + 7)
                else:
                    self._ok_or_err(data, at + 4, end)
                if phase == COLUMNS_END and not self.done and not self.status & Status.CURSOR_EXISTS:
                    phase = ROWS
                    self._outs = self.status & Status.PS_OUT_PARAMS != 0
                    if begun and end <= HEAD_LIMIT and not self._outs:
                        self.head = data[:end]
                elif self.done or phase == COLUMNS_END or not (self.status & Status.MORE_RESULTS or self._outs):
                    self.done = True
                    self._phase = FIRST
                    self._continued = False
                    return end
                else:
                    phase = FIRST
                    begun = self._outs = False
            elif phase == FIRST:
                if end > size:
                    break
                self._columns = read_lenenc(data[at + 4 : end], 0)[0]
                phase = COLUMNS
            else:
                continued = length == MAX_PAYLOAD
            at = end
        else:
            if at == last and continued and data[at : at + 3] == b"\0\0\0":
                continued = False
                at += 4
        self._phase = phase
        self._continued = continued
        if at > size:
            self._skip = at - size
            return size
        return at

    @staticmethod
    def _run(data: bytes, at: int, length: int) -> tuple[int, int]:
        """Skip rows of about ``length`` bytes: the position after them, and from where on to try again."""
        if len(data) - at < _WORTH:
            return at, _NEVER
        if length > _LONGEST:
            return at, at + _WORTH
        found = _rows_of(length // _WIDTH).match(data, at)
        assert found is not None
        end = found.end()
        return end, end if end - at > _WORTH // 4 else end + 8 * _WORTH

    def _ok_or_err(self, data: bytes, at: int, end: int) -> None:
        """Note what the OK or ERR packet says whose payload goes from ``at`` to ``end``."""
        first = data[at]
        if first == 0xFF:
            self.error = data[at:end]
            self.done = True
            return
        if first == 0xFB:
            self.file = FileWish(data[at + 1 : end], data[at - 1])
            self.done = True
            return
        position = read_lenenc(data, read_lenenc(data, at + 1)[1])[1]
        if position + 4 > end:
            raise MalformedPacket("OK packet cut off")
        self.ok = data[at:end]
        self.status = data[position] | data[position + 1] << 8
        self.warnings = data[position + 2] | data[position + 3] << 8
        self.marks = (*self.marks, position)
