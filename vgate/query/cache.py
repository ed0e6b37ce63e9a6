"""The plan cache: from a statement's shape to what is to be done, bounded in bytes.

One partition per (target, VSchema version, lexer mode); a partition maps shapes to entries, an entry the literals
a plan looked into to that plan. Partitions share one budget; the least recently used one goes first. It does not know
how plans are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vgate.planner.plan import Plan
from vgate.query.ties import NOTHING, Findings
from vgate.sql.lexer import plain
from vgate.vindex.base import KeyspaceId

if TYPE_CHECKING:
    from vgate.query.asking import Asked

Slots = list[bytes | list[bytes]]

ZEROS: Final = bytes(ord("0") if chr(byte).isascii() and chr(byte).isdigit() else byte for byte in range(256))
"""What makes zeros of all digits: see ``bytes.translate``."""

_TEXT: Final = 500

KEYS: Final = 16
"""How many texts of one shape are kept with their digits taken out: one for each length of the number that routes."""

OVERHEAD: Final = 2500
"""Bytes a cached plan is taken to cost beyond its shape: nodes, dictionary entries, a closure, a result's head."""


@dataclass(slots=True)
class Cached:
    """A plan, ready to run.

    ``found``: what else is to be known of the statement.
    ``point`` makes the fast path possible: it gives the one keyspace id the literals lead to, or None where that
    takes more thought; ``anywhere`` is True where shard 0 (an unsharded keyspace) or any shard will do.
    ``head`` is what the last result began with, ``prepared_head`` that of an execution: see ``wire.response``.
    ``slot``: the literal that ``point`` looks at if that is an integer without a sign, else -1; up to ``greatest``,
    ``place`` has its keyspace id. ``keys``: how many ``Text``s there are of it.
    """

    plan: Plan
    found: Findings = NOTHING
    fast_keyspace: str = ""
    point: Callable[[Slots], KeyspaceId | None] | None = None
    anywhere: bool = False
    read: bool = True
    head: bytes = b""
    prepared_head: bytes = b""
    slot: int = -1
    greatest: int = -1
    place: Callable[[int], KeyspaceId | None] = lambda number: None
    keys: int = 0


class Text:
    """A framed COM_QUERY but for the digits of the one integer that routes it, from ``start`` to ``end``.

    Whatever digits stand there in a text that is otherwise the same, to the byte, and of the same length, a lexer reads
    as it has read this one: before the number it has seen the same, digits are all alike to it, and so is what follows.
    """

    __slots__ = ("after", "before", "cached", "end", "start")

    def __init__(self, packet: bytes, start: int, end: int, cached: Cached) -> None:
        self.start, self.end = start, end
        self.before, self.after = packet[:start], packet[end:]
        self.cached = cached


class Entry:
    """All plans of one shape: one, unless the plan depends on literals."""

    __slots__ = ("depends", "plans")

    def __init__(self, depends: tuple[int, ...]) -> None:
        self.depends = depends
        self.plans: dict[tuple[object, ...], Cached] = {}

    def find(self, slots: Slots) -> Cached | None:
        """The plan for these literals."""
        return self.plans.get(self._key(slots))

    def add(self, slots: Slots, cached: Cached) -> None:
        """Keep a plan for these literals."""
        self.plans[self._key(slots)] = cached

    def _key(self, slots: Slots) -> tuple[object, ...]:
        values = (slots[index] for index in self.depends)
        return tuple(tuple(value) if isinstance(value, list) else value for value in values)


class Partition:
    """The plans of one keyspace, VSchema version and lexer mode. ``fast`` holds those the fast path may run.

    ``plain`` has the number of slots of the plain ones among these: see ``Lexer.split``. ``texts`` has whole
    commands with zeros for digits. ``asked`` has SELECTs of one sequence's next value, by their text.
    """

    __slots__ = ("_cache", "asked", "entries", "fast", "plain", "size", "texts")

    def __init__(self, cache: PlanCache) -> None:
        self._cache = cache
        self.entries: dict[bytes, Entry] = {}
        self.fast: dict[bytes, Cached] = {}
        self.plain: dict[bytes, int] = {}
        self.texts: dict[bytes, Text] = {}
        self.asked: dict[bytes, Asked] = {}
        self.size = 0

    def find(self, shape: bytes, slots: Slots) -> Cached | None:
        """The plan of a statement, None where it has to be made."""
        entry = self.entries.get(shape)
        return entry.find(slots) if entry is not None else None

    def add(self, shape: bytes, slots: Slots, cached: Cached, depends: tuple[int, ...]) -> None:
        """Keep a plan; the cache may drop other plans for it."""
        entry = self.entries.get(shape)
        if entry is None or entry.depends != depends:
            entry = self.entries[shape] = Entry(depends)
            self._forget(shape)
        entry.add(slots, cached)
        if not depends and (cached.point is not None or cached.anywhere):
            self.fast[shape] = cached
            if plain(shape, len(slots)):
                self.plain[shape] = len(slots)
        cost = len(shape) + OVERHEAD
        self.size += cost
        self._cache.grown(self, cost)

    def _forget(self, shape: bytes) -> None:
        self.fast.pop(shape, None)
        self.plain.pop(shape, None)
        self.texts.clear()

    def keep_text(self, packet: bytes, place: tuple[int, int], cached: Cached) -> None:
        """Keep a framed COM_QUERY whose number that routes stands at ``place`` in it."""
        cached.keys += 1
        self.texts[packet.translate(ZEROS)] = Text(packet, *place, cached)
        cost = 3 * len(packet) + _TEXT
        self.size += cost
        self._cache.grown(self, cost)

    def keep_asked(self, text: bytes, asked: Asked) -> None:
        """Keep a SELECT of a sequence's next value."""
        self.asked[text] = asked
        cost = 2 * len(text) + OVERHEAD
        self.size += cost
        self._cache.grown(self, cost)

    def clear(self) -> None:
        """Drop every plan."""
        self.entries.clear()
        self.asked.clear()
        self.fast.clear()
        self.plain.clear()
        self.texts.clear()
        self.size = 0


class PlanCache:
    """All partitions, within ``limit`` bytes."""

    def __init__(self, limit: int = 32 << 20) -> None:
        self._limit = limit
        self._size = 0
        self._partitions: dict[object, Partition] = {}
        self.generation = 0
        """Grows when all plans are dropped: what was planned before may not be kept after."""

    def partition(self, key: object) -> Partition:
        """The partition of ``key``, made when missing; it becomes the most recently used."""
        found = self._partitions.pop(key, None)
        if found is None:
            found = Partition(self)
        self._partitions[key] = found
        return found

    def grown(self, partition: Partition, cost: int) -> None:
        """A partition took ``cost`` bytes: make room by clearing whole partitions, the growing one last."""
        self._size += cost
        if self._size <= self._limit:
            return
        for other in [other for other in self._partitions.values() if other is not partition]:
            self._size -= other.size
            other.clear()
            if self._size <= self._limit:
                return
        self._size -= partition.size
        partition.clear()

    def clear(self) -> None:
        """Drop all plans: the VSchema, or what tables look like, has changed."""
        self.generation += 1
        for partition in self._partitions.values():
            partition.clear()
        self._size = 0
