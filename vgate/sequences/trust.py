"""How long a vgate may give values that it has in hand: until ``FRESH`` after it last asked whether they were recalled.

Whoever inserts an id of its own that may lie in a block of another vgate recalls all blocks: it writes another epoch
beside the sequence, and waits ``LET_GO``. A holder reads the epoch while it gives values, so by then it has either read
the new one and dropped what it had, or has not been able to read, and gives nothing. That is so for the blocks of a
GROUP and for those of a Vitess table alike. This module does not know where epochs are kept.

Invariants
1. Trust ends ``FRESH`` after the read that it rests on was *sent*: the answer may have been under way for long, and a
   read that failed adds nothing.
2. Values of one epoch are never given under another.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from vgate.errors import SEQUENCE_UNREAD

FRESH: Final = 1.0
LET_GO: Final = 1.1
"""Longer than FRESH: clocks need not agree, but no two may run so differently."""
_PATIENCE: Final = 10.0
_ATTEMPTS: Final = 3

Clock = Callable[[], float]
Sent = Callable[[], None]
"""Told in the moment before a read is sent (once more if it is repeated)."""
T = TypeVar("T")


class Trust:
    """The epoch that was last read, and until when values of it may be given."""

    __slots__ = ("epoch", "until")

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.until = -math.inf

    def holds(self, now: float) -> bool:
        """Whether values in hand may be given."""
        return now < self.until

    def due(self, now: float) -> bool:
        """Whether to read the epoch again, ahead of need."""
        return self.until - now < FRESH / 2

    def heard(self, sent: float, epoch: int) -> bool:
        """A read that was sent then gave this epoch. True if what is in hand is of another one, and to be dropped."""
        changed = self.epoch is not None and self.epoch != epoch
        self.until = sent + FRESH if changed else max(self.until, sent + FRESH)
        self.epoch = epoch
        return changed


class Asked:
    """A ``Sent`` that notes the time."""

    __slots__ = ("_clock", "at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.at = -math.inf

    def __call__(self) -> None:
        self.at = self._clock()


async def in_time(read: Callable[[Sent], Awaitable[T]], clock: Clock, name: object) -> tuple[float, T]:
    """When it was sent, and what it gave while that could still be trusted. Raises SqlError."""
    for _ in range(_ATTEMPTS):
        asked = Asked(clock)
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await read(asked)
        except TimeoutError:
            break
        if clock() < asked.at + FRESH:
            return asked.at, found
    raise SEQUENCE_UNREAD(name=name)
