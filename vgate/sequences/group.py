"""The blocks of one GROUP sequence that a vgate has in hand, as a pure state machine.

Each block was reserved by one UPDATE of the sequence's row; which one that is, ``definition.next_base`` and the server
decide alike. A block is refilled before it is used up. This module does not know servers, tasks or who waits: the owner
tells it what happened, ``refill_started`` and then one of ``reserved`` and ``failed``.

Invariants
1. Values are issued only out of blocks whose UPDATE is known to be committed: ``reserved`` alone puts one in hand.
2. In hand are [``next_val``, ``end``) and at most one ``spare`` block; nothing in hand is issued twice.
3. At most one refill is in flight. What it reserved while nobody learned of it is lost, never issued.
4. Nothing up to what was skipped is issued, be its block in hand, or reserved and not heard of yet.
5. A request gets consecutive values: the rest of a block that is too short for it is given up, as in PolarDB-X.
"""

from __future__ import annotations

from typing import Final

from vgate.sequences.block import Span

_PREFETCH_AT: Final = 5
"""A refill is due when less than 1/5 of a block is left."""
_PREFETCH_MIN: Final = 100


class GroupBlock:
    """See the module."""

    __slots__ = ("_low_mark", "_lowest", "end", "next_val", "refilling", "spare", "step")

    def __init__(self, step: int) -> None:
        self.step = step
        self.next_val = self.end = 0
        self.spare: Span | None = None
        self.refilling = False
        self._low_mark = 0
        self._lowest = 0

    def __repr__(self) -> str:
        return f"<GroupBlock [{self.next_val}, {self.end}) spare {self.spare} {'refilling' if self.refilling else ''}>"

    def take(self, n: int) -> int | None:
        """Issue ``n`` (1 to ``step``) consecutive values: the first, or None when a refill must come first."""
        first = self.next_val
        if first + n > self.end:
            if self.spare is None or self.spare.first + n > self.spare.end:
                return None
            first, self.end = self.spare
            self.spare = None
            self._low_mark = self.end - self.step // _PREFETCH_AT
        self.next_val = first + n
        return first

    def refill_due(self) -> bool:
        """Whether to refill now, ahead of need."""
        return (
            self.next_val > self._low_mark and self.spare is None and not self.refilling
            and self.step >= _PREFETCH_MIN
        )  # fmt: skip

    def skip(self, value: int) -> None:
        """Issue nothing up to ``value`` any more."""
        self._lowest = max(self._lowest, value + 1)
        self.next_val = max(self.next_val, min(self._lowest, self.end))
        if self.spare is not None and self.spare.first < self._lowest:
            self.next_val, self.end = min(self._lowest, self.spare.end), self.spare.end
            self.spare = None
            self._low_mark = self.end - self.step // _PREFETCH_AT

    # -- events ---------------------------------------------------------------------------------------------------

    def refill_started(self) -> None:
        """An UPDATE is about to be sent."""
        if self.refilling:
            raise RuntimeError(f"{self!r}: one refill at a time")
        self.refilling = True

    def reserved(self, base: int) -> None:
        """The UPDATE is committed: base + 1 ... base + step are ours."""
        if not self.refilling:
            raise RuntimeError(f"{self!r}: no refill is in flight")
        self.refilling = False
        end = base + 1 + self.step
        block = Span(min(max(base + 1, self._lowest), end), end)
        if self.next_val < self.end:
            self.spare = block  # for a request that did not fit, too: the rest is given up when it is served
        else:
            self.next_val, self.end = block
            self._low_mark = self.end - self.step // _PREFETCH_AT

    def failed(self) -> None:
        """The UPDATE changed nothing, or nobody knows what it changed."""
        if not self.refilling:
            raise RuntimeError(f"{self!r}: no refill is in flight")
        self.refilling = False
        self._low_mark = self.end - (self.end - self.next_val) // 2
