"""Ids of TIME sequences as a pure state machine: a stamp of milliseconds, a node id, and a serial number.

The wide layout is PolarDB-X's: 41 bits of milliseconds since 2011-04-27 09:14:20.503 UTC, 10 bits of node, 12 of
serial. The compact one has 6 and 6, so that ids stay below 2^53, which JavaScript's numbers hold: 64 nodes, 64,000 ids
a second each. Both last until 2081. This module does not know where node ids come from, nor what time it is: the owner
leases a node together with an interval of stamps (``leased``), and says the time with every request.

Invariants
1. Of one layout an id is (stamp, node, serial), and a node's stamps are issued by whoever leased them: the intervals
   [floor, limit) of one node are disjoint, as each was written with a compare-and-set of the one before. Clocks are not
   needed for that, however wrong.
2. Issued positions (stamp and serial as one number) only grow while a node is held: a clock that goes back is not
   followed, it is overtaken again.
3. Nothing is issued at or beyond ``limit``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

EPOCH: Final = 1303895660503
LEASE: Final = 60_000
"""Milliseconds of stamps that a lease is for; it is renewed when less than half are left."""
_STAMP_BITS: Final = 41


@dataclass(frozen=True, slots=True)
class Layout:
    """How the bits of an id are shared out."""

    bits: int
    node_bits: int
    serial_bits: int

    @property
    def nodes(self) -> int:
        """How many node ids there are."""
        return 1 << self.node_bits

    @property
    def serials(self) -> int:
        """How many ids a node has in each millisecond."""
        return 1 << self.serial_bits

    def encode(self, stamp: int, node: int, serial: int) -> int:
        """The id."""
        return ((stamp - EPOCH) << self.node_bits | node) << self.serial_bits | serial

    def decode(self, value: int) -> Parts:
        """What an id is made of."""
        rest, serial = value >> self.serial_bits, value & (self.serials - 1)
        return Parts((rest >> self.node_bits) + EPOCH, rest & (self.nodes - 1), serial)


class Parts(NamedTuple):
    """An id, taken apart; ``stamp`` in milliseconds since 1970."""

    stamp: int
    node: int
    serial: int


LAYOUTS: Final = {63: Layout(63, 10, 12), 53: Layout(53, 6, 6)}
END: Final = EPOCH + (1 << _STAMP_BITS)
"""The first stamp that has no id."""


class Stamps:
    """See the module."""

    __slots__ = ("layout", "limit", "node", "position", "refilling")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.node: int | None = None
        self.limit = 0
        self.position = 0
        self.refilling = False

    def __repr__(self) -> str:
        return f"<Stamps {self.layout.bits} bits node {self.node} at {self.position} limit {self.limit}>"

    def take(self, n: int, now: int) -> int | None:
        """Issue ``n`` consecutive ids of one millisecond: the first, or None when a lease must come first.

        ``n`` is at most ``layout.serials``.
        """
        node, serials = self.node, self.layout.serials
        if node is None:
            return None
        position = self._first(n, now)
        if position + n > self.limit * serials:
            return None
        self.position = position + n
        return self.layout.encode(position // serials, node, position % serials)

    def _first(self, n: int, now: int) -> int:
        serials = self.layout.serials
        position = max(self.position, max(now, EPOCH) * serials)
        if position % serials + n > serials:
            position += serials - position % serials
        return position

    def needed(self, n: int, now: int) -> int:
        """The limit to lease up to, so that ``n`` more ids, and those of the usual time, can be issued."""
        milliseconds = -(-n // self.layout.serials) + 1
        return max(self._first(1, now) // self.layout.serials + milliseconds + LEASE, self.limit + 1)

    def refill_due(self, now: int) -> bool:
        """Whether to renew the lease, ahead of need."""
        at = max(now, self.position // self.layout.serials)
        return self.node is not None and not self.refilling and self.limit - at < LEASE // 2

    # -- events ---------------------------------------------------------------------------------------------------

    def leased(self, node: int, floor: int, limit: int) -> None:
        """The stamps [floor, limit) of ``node`` are ours: a new node, or more of the one we have."""
        self.position = max(self.position, floor * self.layout.serials)
        self.node, self.limit = node, limit

    def given_up(self) -> None:
        """The node is not ours any more, or nobody knows."""
        self.node = None
        self.limit = 0
