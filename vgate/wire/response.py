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
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from vgate.wire.constants import MAX_PAYLOAD, Status
from vgate.wire.packets import MalformedPacket, read_lenenc

_HEADER: Callable[[bytes, int], tuple[int]] = Struct("<I").unpack_from

FIRST, COLUMNS, COLUMNS_END, ROWS = range(4)


class Response:
    """One response in flight. ``start`` makes it ready for the next command on the same connection."""

    __slots__ = ("_columns", "_continued", "_phase", "_skip", "done", "error", "marks", "ok", "started", "status",
                 "warnings")

    def __init__(self) -> None:
        self.start()

    def start(self, phase: int = FIRST) -> None:
        """Expect the next response: from its first packet, or (COM_FIELD_LIST) just packets up to an EOF."""
        self._phase = phase
        self._columns = 0
        self._skip = 0
        self._continued = False
        self.done = False
        self.started = False
        self.status = 0
        self.warnings = 0
        self.ok: bytes | None = None
        self.error: bytes | None = None
        self.marks: list[int] = []

    def feed(self, data: bytes) -> int:
        """Walk ``data``; return how many of its bytes belong to the response and need not be given again.

        ``marks`` then lists the positions, in ``data``, of the two-byte status flags of OK and EOF packets.
        Raises MalformedPacket for bytes no server sends.
        """
        size = len(data)
        at = self._skip
        if at > size:
            self._skip = at - size
            return size
        self._skip = 0
        self.marks = []
        phase = self._phase
        while at + 4 < size:
            header = _HEADER(data, at)[0] & MAX_PAYLOAD
            first = data[at + 4]
            if phase == ROWS and first < 0xFE and header != MAX_PAYLOAD and not self._continued:
                at += header + 4
                continue
            if header == 0:
                if not self._continued:
                    raise MalformedPacket("empty packet in a response")
                self._continued = False
                at += 4
                continue
            end = at + 4 + header
            if self._continued:
                self._continued = header == MAX_PAYLOAD
            elif phase == COLUMNS:
                self._columns -= 1
                if self._columns == 0:
                    phase = COLUMNS_END
            elif self._is_marker(phase, first, header):
                if end > size:
                    break
                phase = self._marker(phase, data, at, end)
                if self.done:
                    self._phase = phase
                    return end
            elif phase == FIRST:
                if end > size:
                    break
                self._columns = read_lenenc(data[at + 4 : end], 0)[0]
                phase = COLUMNS
            else:
                self._continued = header == MAX_PAYLOAD
            at = end
        else:
            if at + 4 == size and self._continued and data[at : at + 3] == b"\0\0\0":
                self._continued = False
                at += 4
        self._phase = phase
        if at > size:
            self._skip = at - size
            return size
        return at

    @staticmethod
    def _is_marker(phase: int, first: int, header: int) -> bool:
        if phase == FIRST:
            return first in (0x00, 0xFF, 0xFB) or (first == 0xFE and header < 9)
        return first == 0xFF or (first == 0xFE and header < 9)

    def _marker(self, phase: int, data: bytes, at: int, end: int) -> int:
        """An OK, ERR or EOF packet at ``at``: note what it says and return the phase after it."""
        first = data[at + 4]
        if first == 0xFF:
            self.error = data[at + 4 : end]
            self.done = True
            return FIRST
        if first == 0xFB:
            raise MalformedPacket("the server asks for a local file, which was never offered")
        if first == 0x00:
            position = read_lenenc(data, read_lenenc(data, at + 5)[1])[1]
            self.ok = data[at + 4 : end]
            self.warnings = data[position + 2] | data[position + 3] << 8
        else:
            position = at + 7
            self.warnings = data[at + 5] | data[at + 6] << 8
        self.marks.append(position)
        self.status = data[position] | data[position + 1] << 8
        if phase == COLUMNS_END:
            return ROWS
        self.done = not self.status & Status.MORE_RESULTS
        return FIRST
