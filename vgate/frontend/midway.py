"""What a client sends in the middle of a command: its answers to a login that is gone through again, and files.

Cuts packets from a buffer that somebody else fills, in pieces, so that a packet of 16 MB need not be there whole. It
does not know what is in them.

Invariants
1. Packets are numbered on from the one that asked for them; any other number raises OUT_OF_ORDER.
2. A packet of 16 MB goes on in the next one; only an empty packet that completes nothing is reported as empty.
3. ``kill`` is told once, to who asks for the next piece; nothing that the client sends is lost by it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from vgate.errors import OUT_OF_ORDER
from vgate.wire.constants import MAX_PAYLOAD

PIECE: Final = 1 << 18
"""Bytes handed out at once."""


class Midway:
    """See the module. ``sequence`` is the number of the packet that comes next."""

    __slots__ = ("_continued", "_left", "buffer", "killed", "news", "sequence")

    def __init__(self, buffer: bytearray, sequence: int) -> None:
        self.buffer = buffer
        self.sequence = sequence
        self.news = asyncio.Event()
        self.killed = False
        self._left = 0  # of the packet at hand
        self._continued = False

    def kill(self) -> None:
        """The command is not wanted any more."""
        self.killed = True
        self.news.set()

    def piece(self) -> tuple[bytes, bool] | None:
        """(bytes of a payload, whether they end it); None where more has to arrive first. Raises OUT_OF_ORDER."""
        buffer = self.buffer
        if not self._left:
            if len(buffer) < 4:
                return None
            length = int.from_bytes(buffer[:3], "little")
            if buffer[3] != self.sequence:
                raise OUT_OF_ORDER()
            self.sequence = (self.sequence + 1) & 0xFF
            del buffer[:4]
            self._continued = length == MAX_PAYLOAD
            self._left = length
            if not length:
                return b"", True
        if not buffer:
            return None
        size = min(self._left, PIECE, len(buffer))
        data = bytes(buffer[:size])
        del buffer[:size]
        self._left -= size
        return data, not self._left and not self._continued
