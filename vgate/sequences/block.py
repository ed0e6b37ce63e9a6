"""One Vitess sequence as a pure state machine: which values are in hand, and what a refill makes of the row.

The row ``(0, next_id, cache)`` on the server is shared by any number of proxies; each reserves blocks of it in short
transactions of its own and issues their values from memory. What comes out is what Vitess issues (``execNextval``):
a request for n values gets n consecutive ones; a block that follows the one in hand continues it; a row that was
moved forward is obeyed, and one moved back is not, for as long as this machine lives. Two things differ on purpose:
Vitess publishes a block before its COMMIT, this machine after; and sequences with a cache of 100 and more are
refilled before they run out.

This module does not know servers, SQL, tasks or who waits: the owner tells it what happened (the events), in the
order ``refill_started``, ``row_read`` (once more for each repeated transaction), then one of ``committed``,
``failed_before_commit`` and ``outcome_unknown``. ``take``, ``reset`` and ``recalled`` may come at any time.

Invariants
1.  Values are issued only out of blocks whose COMMIT is known to have succeeded: ``row_read`` decides a block,
    only ``committed`` puts it in hand.
2.  In hand are [``next_val``, ``last_val``) and, where another proxy (or an operator) took what followed, the one
    block ``spare`` beyond a gap: next_val <= last_val <= spare.first < spare.end.
3.  Issued values only grow. What is left of an older block is given up when a newer one is first used, so small
    requests use it up before.
4.  ``end`` (where everything in hand ends) never shrinks but by ``reset``, and a new block never starts below it.
5.  At most one refill is in flight; none is due while a spare is there. So a crash loses at most the rest of the
    block in hand and one block more.
6.  After an unknown outcome nothing is in hand: the row is read again before another value is issued. ``end`` stays,
    so no value is repeated even if the row is found to have gone back.
7.  A refill that was in flight at ``reset`` or ``recalled`` adds nothing: it may have read the row before whatever the
    reset is for.
8.  The row always fits a signed BIGINT: 2^63-1 is the last ``next_id``, so 2^63-2 the last value. The last block is
    cut short rather than refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

MAX_NEXT_ID: Final = 2**63 - 1
PREFETCH_MIN_CACHE: Final = 100
"""Smaller caches are refilled only when a request does not fit, as Vitess does: their row is then predictable."""
_PREFETCH_AT: Final = 5
"""A refill is due when less than 1/5 of the cache is left."""


class Exhausted(Exception):
    """The sequence has too few values left below 2^63 - 1."""


class Span(NamedTuple):
    """The values from ``first`` up to, and without, ``end``."""

    first: int
    end: int


class Refill(Enum):
    """How far the refill in flight is."""

    NONE = "none"
    STARTED = "started"
    DECIDED = "decided"


class VitessBlock:
    """See the module. Attributes without underscore may be read by anyone; only this class writes them."""

    __slots__ = ("_decided", "_follows", "_low_mark", "_outdated", "cache", "last_val", "next_val", "refill", "spare")

    def __init__(self) -> None:
        self.next_val = 0
        self.last_val = 0
        self.spare: Span | None = None
        self.cache = 0
        self.refill = Refill.NONE
        self._decided = Span(0, 0)
        self._follows = False
        self._outdated = False
        self._low_mark = 0

    def __repr__(self) -> str:
        spare = f" then [{self.spare.first}, {self.spare.end})" if self.spare else ""
        return f"<VitessBlock [{self.next_val}, {self.last_val}){spare} cache {self.cache} refill {self.refill.value}>"

    # -- what is in hand ------------------------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """Where everything in hand ends; Vitess's LastVal."""
        return self.spare.end if self.spare else self.last_val

    @property
    def left(self) -> int:
        """How many values are in hand: what a crash would lose now."""
        spare = self.spare.end - self.spare.first if self.spare else 0
        return self.last_val - self.next_val + spare

    def take(self, n: int) -> int | None:
        """Issue ``n`` (1 or more) consecutive values: the first of them, or None when a refill must come first."""
        first = self.next_val
        after = first + n
        if after <= self.last_val:
            self.next_val = after
            return first
        spare = self.spare
        if spare is None or spare.first + n > spare.end:
            return None
        self.next_val = spare.first + n
        self.last_val = spare.end
        self.spare = None
        self._set_low_mark()
        return spare.first

    def skip(self, value: int) -> None:
        """Issue nothing up to ``value`` any more of what is in hand."""
        spare = self.spare
        if value < (spare.first if spare else self.last_val):
            self.next_val = max(self.next_val, min(value + 1, self.last_val))
        elif spare is None or value >= spare.end:
            self.give_up()
        else:
            self.next_val, self.last_val, self.spare = value + 1, spare.end, None
            self._set_low_mark()

    def give_up(self) -> None:
        """Issue nothing more of what is in hand."""
        self.next_val = self.last_val = self.end
        self.spare = None

    def refill_due(self, n: int) -> bool:
        """Whether to refill now, in the background, after a request for ``n`` was served.

        True when little is left, or when another request like the last would have to wait.
        """
        if self.cache < PREFETCH_MIN_CACHE or self.refill is not Refill.NONE or self.spare is not None:
            return False
        next_val, last_val = self.next_val, self.last_val
        low = next_val > self._low_mark or (next_val + n > last_val and n <= self.cache)
        return low and last_val < MAX_NEXT_ID

    # -- events ---------------------------------------------------------------------------------------------------

    def refill_started(self) -> None:
        """A transaction that will read the row is about to begin."""
        if self.refill is not Refill.NONE:
            raise RuntimeError(f"{self!r}: one refill at a time")
        self.refill = Refill.STARTED
        self._outdated = False

    def row_read(self, next_id: int, cache: int, wanted: Sequence[int] = ()) -> int:
        """The locked row was read: decide the block, and return the ``next_id`` to write.

        ``wanted``: sizes of the requests that wait, in their order; the block serves all of them, except where only
        the first fit below 2^63. Raises Exhausted if not even the first does. ``cache`` is at least 1.
        """
        if self.refill is Refill.NONE or cache < 1:
            raise RuntimeError(f"{self!r}: row ({next_id}, {cache}) read outside a refill, or bad")
        end = self.end
        first = max(next_id, end)
        self._follows = next_id == end  # a row that moved, either way, does not continue what is in hand
        base = first if not self._follows else self.spare.first if self.spare else self.next_val
        needed = base
        for n in wanted:
            if needed + n > MAX_NEXT_ID:
                break
            needed += n
        if first >= MAX_NEXT_ID or (wanted and needed == base):
            raise Exhausted
        blocks = max(1, -((first - needed) // cache))
        self._decided = Span(first, min(first + blocks * cache, MAX_NEXT_ID))
        self.cache = cache
        self.refill = Refill.DECIDED
        return self._decided.end

    def committed(self) -> None:
        """The COMMIT succeeded: the block decided last is in hand (unless a reset came in between)."""
        if self.refill is not Refill.DECIDED:
            raise RuntimeError(f"{self!r}: nothing was decided")
        self.refill = Refill.NONE
        if self._outdated:
            return
        new = self._decided
        if not self._follows:
            if self.spare is not None:
                self.next_val, self.last_val = self.spare
            self.spare = new
        elif self.spare is not None:
            self.spare = Span(self.spare.first, new.end)
        else:
            self.last_val = new.end
        if self.next_val == self.last_val and self.spare is not None:
            self.next_val, self.last_val = self.spare
            self.spare = None
        self._set_low_mark()

    def failed_before_commit(self) -> None:
        """The transaction certainly changed nothing. What is in hand stays; less eager to refill until half is used."""
        self._end_refill()
        self._low_mark = self.next_val + (self.last_val - self.next_val) // 2

    def outcome_unknown(self) -> None:
        """COMMIT was sent, or may have been, and no answer came."""
        self._end_refill()
        self.give_up()

    def recalled(self) -> None:
        """Another proxy wants values that may be in hand, or on their way: give up everything."""
        self.give_up()
        self._outdated = True

    def reset(self) -> None:
        """Forget everything: the next request reads the row, and takes it as it is, even if it went back."""
        self.next_val = self.last_val = self.cache = 0
        self.spare = None
        self._outdated = True

    def _end_refill(self) -> None:
        if self.refill is Refill.NONE:
            raise RuntimeError(f"{self!r}: no refill is in flight")
        self.refill = Refill.NONE

    def _set_low_mark(self) -> None:
        self._low_mark = self.last_val - self.cache // _PREFETCH_AT
