"""Keyspace ids, key ranges and shard names: which shard of a keyspace owns a keyspace id.

The rules are Vitess's. A shard called ``40-80`` owns the keyspace ids from 40 (inclusive) to 80 (exclusive), an
empty side has no limit, and trailing zero bytes do not count: ``-80``, ``-8000`` and ``00-80`` are one range. A name
without ``-``, such as ``0``, has no range and is the single shard of its keyspace.

This module does not know tables, values or MySQL, nor where the servers of a shard are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_SHARDS = 65536


class KeyRangeError(ValueError):
    """A shard name, or a set of shard names, that cannot serve. The text says which and why, as Vitess does."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keyspace ids from ``start`` (inclusive) to ``end`` (exclusive; empty means without limit).

    Trailing zero bytes are dropped at construction, so ``==`` is Vitess's equality of ranges.
    """

    start: bytes
    end: bytes

    def __post_init__(self) -> None:
        start, end = self.start.rstrip(b"\0"), self.end.rstrip(b"\0")
        # An end of zeros alone would become "without limit" when its zeros are dropped.
        if self.end and start >= end:
            raise KeyRangeError(f"out of order keys: {self.start.hex()} is not strictly smaller than {self.end.hex()}")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)

    def __str__(self) -> str:
        return f"{self.start.hex()}-{self.end.hex()}"

    def contains(self, keyspace_id: bytes) -> bool:
        """Whether the range holds ``keyspace_id`` (whose trailing zeros do not count either)."""
        return self.start <= keyspace_id and (not self.end or keyspace_id < self.end)


COMPLETE = KeyRange(b"", b"")
"""The range of every keyspace id."""


def parse_shard(name: str) -> KeyRange | None:
    """The range that a shard name spells; None for a name without ``-``. Raises KeyRangeError for a bad name."""
    if not name:
        raise KeyRangeError("empty shard name")
    if "-" not in name:
        return None
    sides = name.split("-")
    if len(sides) != 2:
        raise KeyRangeError(f"invalid shardId, can only contain one '-': {name}")
    return KeyRange(_unhex(sides[0], name), _unhex(sides[1], name))


def _unhex(text: str, where: str) -> bytes:
    """Decode one side of a shard name; the complaints are those of Go's ``encoding/hex``, which Vitess shows."""
    bad = next((char for char in text if char not in "0123456789abcdefABCDEF"), None)
    if bad is not None:
        raise KeyRangeError(f"encoding/hex: invalid byte: U+{ord(bad):04X} {bad!r} in shard {where!r}")
    if len(text) % 2:
        raise KeyRangeError(f"encoding/hex: odd length hex string: {text!r} in shard {where!r}")
    return bytes.fromhex(text)


class ShardMap:
    """The serving shards of one keyspace: a valid partition of all keyspace ids, in key order. Immutable."""

    __slots__ = ("_bounds", "_by_range", "names", "order")

    names: tuple[str, ...]
    """The shards' names as they were written, in key order."""

    order: tuple[int, ...]
    """For each shard in key order, its position among the names given."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises KeyRangeError unless ``names`` cover every keyspace id exactly once."""
        if not names:
            raise KeyRangeError("no shard in keyspace")
        if len(names) > MAX_SHARDS:
            raise KeyRangeError(f"{len(names)} shards are more than the {MAX_SHARDS} that a keyspace can have")
        ranges = _ranges(names)
        order = sorted(range(len(names)), key=lambda position: (ranges[position].start, position))
        ordered = [ranges[position] for position in order]
        self.order = tuple(order)
        self.names = tuple(names[position] for position in order)
        _check_partition(self.names, ordered)
        self._bounds = [shard.start for shard in ordered[1:]]
        self._by_range = {shard: index for index, shard in enumerate(ordered)}

    def find(self, keyspace_id: bytes) -> int:
        """The index, in key order, of the shard that owns ``keyspace_id``. Runs once per routed value."""
        # The bounds end in no zero byte, so bound <= id holds exactly when it holds for the id without its zeros.
        return bisect_right(self._bounds, keyspace_id)

    def index_of(self, name: str) -> int | None:
        """The index of the shard called ``name`` by Vitess's equality; None if there is none, or no such name can be.

        ``0`` and ``-`` both name the one shard of a keyspace that is not split.
        """
        if "-" not in name:
            if name in self.names:
                return self.names.index(name)
            return self._by_range.get(COMPLETE) if name == "0" and "-" in self.names[0] else None
        try:
            key_range = parse_shard(name)
        except KeyRangeError:
            return None
        return None if key_range is None else self._by_range.get(key_range)

    def exact(self, key_range: KeyRange) -> int | None:
        """The index of the shard whose range is exactly ``key_range``, None if the shards do not line up with it."""
        return self._by_range.get(key_range)

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShardMap):
            return NotImplemented
        return self.names == other.names and self.order == other.order

    def __hash__(self) -> int:
        return hash((self.names, self.order))

    def __repr__(self) -> str:
        return f"ShardMap({list(self.names)!r})"


def _ranges(names: Sequence[str]) -> list[KeyRange]:
    """The range of every name, where one bare name alone stands for the complete range."""
    parsed = [parse_shard(name) for name in names]
    bare = [name for name, shard in zip(names, parsed, strict=True) if shard is None]
    if bare and len(bare) != len(names):
        raise KeyRangeError(
            f"shards with inconsistent KeyRanges: {bare[0]!r} has no range, so it cannot stand beside other shards"
        )
    if len(bare) > 1:
        # Vitess loads such a keyspace ("custom sharding") but can route nothing to it: every shard owns every id.
        raise KeyRangeError(
            f"shards {bare[0]!r} and {bare[1]!r} have no key range: a keyspace of several shards needs names like "
            "'-80' and '80-'"
        )
    return [COMPLETE if shard is None else shard for shard in parsed]


def _check_partition(names: Sequence[str], ordered: Sequence[KeyRange]) -> None:
    """Raise unless the ranges, which are sorted by start, begin at the first id, join, and go on to the last."""
    if ordered[0].start:
        raise KeyRangeError(
            f"keyspace partition does not start with min key: no shard owns the ids before {ordered[0].start.hex()}"
        )
    for index in range(len(ordered) - 1):
        end, start = ordered[index].end, ordered[index + 1].start
        if end == start and end:
            continue
        fault = "gap" if end and end < start else "overlap"
        raise KeyRangeError(
            f"non-contiguous KeyRange values at shard {names[index]} to {names[index + 1]}: "
            f"{end.hex()} != {start.hex()} ({fault})"
        )
    if ordered[-1].end:
        raise KeyRangeError(
            f"keyspace partition does not end with max key: no shard owns the ids from {ordered[-1].end.hex()} on"
        )


def parse_sharding_spec(spec: str) -> list[KeyRange]:
    """The ranges of a spec such as ``-40-80-``, in which each limit ends one range and starts the next.

    ``0`` means the complete range. Raises KeyRangeError.
    """
    if spec == "0":
        return [COMPLETE]
    limits = spec.split("-")
    if len(limits) == 1:
        raise KeyRangeError(f'malformed spec: doesn\'t define a range: "{spec}"')
    if "" in limits[1:-1]:
        raise KeyRangeError(f'malformed spec: MinKey/MaxKey cannot be in the middle of the spec: "{spec}"')
    keys = [_unhex(limit, spec) for limit in limits]
    try:
        return [KeyRange(start, end) for start, end in pairwise(keys)]
    except KeyRangeError as error:
        raise KeyRangeError(f'malformed spec: shard limits should be in order: "{spec}"') from error


def generate_shard_ranges(n: int, hex_width: int = 0) -> list[str]:
    """The names of ``n`` shards of equal size, with limits of ``hex_width`` digits (0: two or four, as many as needed).

    The limits are rounded down, as Vitess rounds them: three shards are ``-55``, ``55-aa`` and ``aa-``. They are exact;
    Vitess counts in floats, so its limits differ in the last digits where there are ten and more.
    """
    if n <= 0:
        raise KeyRangeError("shards must be greater than zero")
    if n > MAX_SHARDS:
        raise KeyRangeError(f"this function does not support more than {MAX_SHARDS} shards in a single keyspace")
    if hex_width < 0 or hex_width % 2:
        raise KeyRangeError(f"the hex width of shard limits must be even: {hex_width}")
    width = hex_width or (2 if n <= 256 else 4)
    size = 16**width
    if n > size:
        raise KeyRangeError(f"the given number of shards ({n}) is too large for limits of {width} hex digits")
    limits = ["", *(f"{index * size // n:0{width}x}" for index in range(1, n)), ""]
    return [f"{start}-{end}" for start, end in pairwise(limits)]
