"""Which values of a sequence no other vgate can give any more: those below a floor, and blocks of our own above it.

An id that a row is given needs nothing but this vgate's own care where the claims cover it; any other may lie in a
block that another vgate has in hand, which has to be recalled first (``trust``). Pure. It does not know what this vgate
has in hand itself, nor how a block is recalled.

Invariants
1. A value below ``floor`` is given by no other vgate, now or later, unless an operator puts the sequence back
   (``put_back``). The floor grows by what was recalled, and by what was claimed right at it.
2. ``own`` are blocks above the floor, in order, apart from each other, at most ``_MOST``; to forget one costs a recall.
"""

from __future__ import annotations

from typing import Final

from vgate.sequences.block import Span

_MOST: Final = 8
_SOON: Final = 30.0
_MOST_ROOM: Final = 1 << 20


class Claims:
    """See the module."""

    __slots__ = ("_last", "_rooms", "floor", "own")

    def __init__(self) -> None:
        self.floor = 1
        self.own: list[Span] = []
        self._last = 0.0
        self._rooms = 0

    def __repr__(self) -> str:
        return f"<Claims below {self.floor} and {[tuple(span) for span in self.own]}>"

    def covers(self, low: int, high: int) -> bool:
        """Whether no other vgate can give any of ``low`` ... ``high``."""
        at = max(low, self.floor)
        for span in self.own:
            if span.first <= at < span.end:
                at = span.end
        return high < at

    def room(self, size: int, now: float) -> int:
        """How many values to leave out above the ids that a recall is for; ``size`` is that of a block.

        None at first; twice as many each time when recalls follow one another, as they do where a long import runs
        beside clients that ask for values.
        """
        if not self._rooms or now - self._last > _SOON:
            return 0
        return min(self._rooms * size, max(size, _MOST_ROOM))

    # -- events ---------------------------------------------------------------------------------------------------

    def claimed(self, first: int, end: int) -> None:
        """We moved the sequence on from ``first`` to ``end``: what lies between is ours, or nobody's."""
        spans: list[Span] = []
        for span in sorted([*self.own, Span(first, end)]):
            if span.first <= self.floor:
                self.floor = max(self.floor, span.end)
            elif spans and span.first <= spans[-1].end:
                spans[-1] = Span(spans[-1].first, max(spans[-1].end, span.end))
            else:
                spans.append(span)
        self.own = spans[-_MOST:]

    def recalled(self, end: int, now: float) -> None:
        """All blocks below ``end`` are given up, and that long ago that nobody gives values of them."""
        self._rooms = 2 * self._rooms if self._rooms and now - self._last <= _SOON else 1
        self._last = now
        self.cleared(end)

    def cleared(self, end: int) -> None:
        """Nobody else has a block below ``end``."""
        self.claimed(self.floor, end)

    def put_back(self, to: int) -> None:
        """Somebody set the sequence back: others may have had values from there on since."""
        self.floor = min(self.floor, to)
        self.own = [span for span in self.own if span.end <= to]
