"""From a plan's condition and the literals at hand to keyspace ids.

``resolve`` is the whole answer: an algebra of sets, in which a value that cannot be known stands for everything.
``fast_point`` is the same answer for the condition that most statements have, one column that equals one literal, as a
closure that is as cheap as it can be; where it gives a keyspace id, ``resolve`` gives that one and no other.

This module does not know shards, nor how conditions are found (``where``) or literals are compared (``values``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, assert_never

from vgate.errors import VgateError
from vgate.planner.columns import ColumnKind, ColumnType
from vgate.planner.loose import folding_of
from vgate.planner.plan import Both, Const, Either, Everything, Nothing, Points, Route, Slot, Where
from vgate.planner.values import (
    LOOSE_VINDEXES,
    Known,
    Never,
    Purpose,
    equal_texts_share_ids,
    integer_range,
    read_value,
    room_for_text,
)
from vgate.sql.lexer import LexMode, Slots
from vgate.sql.literals import NULL, OTHER, SWE7_LETTERS, Literal, LiteralKind, holds, negated, read_literal
from vgate.vindex.base import KeyspaceId, Value, Vindex

KeyspaceIds = Everything | frozenset[KeyspaceId]
FastPoint = Callable[[Slots], KeyspaceId | None]

EVERYTHING: Final = Everything()
_NOWHERE: Final[frozenset[KeyspaceId]] = frozenset()


def resolve(where: Where, slots: Slots, mode: LexMode) -> KeyspaceIds:
    """The keyspace ids that rows meeting ``where`` can have."""
    match where:
        case Points():
            return _points(where, slots, mode)
        case Everything():
            return EVERYTHING
        case Nothing():
            return _NOWHERE
        case Both(left=left, right=right):
            one, other = resolve(left, slots, mode), resolve(right, slots, mode)
            if isinstance(one, Everything):
                return other
            return one if isinstance(other, Everything) else one & other
        case Either(left=left, right=right):
            one, other = resolve(left, slots, mode), resolve(right, slots, mode)
            return EVERYTHING if isinstance(one, Everything) or isinstance(other, Everything) else one | other
    assert_never(where)


def _points(points: Points, slots: Slots, mode: LexMode) -> KeyspaceIds:
    found: set[KeyspaceId] = set()
    column, vindex = points.column, points.vindex
    for source in points.sources:
        if isinstance(source, Const):
            literals: Iterable[Literal] = (_constant(source.value),)
        else:
            slot = slots[source.index]
            raws = [slot] if isinstance(slot, bytes) else slot
            if len(raws) > 1 and not source.negative:
                raws = _rest(points, raws, found)
            literals = _literals(source, raws, mode)
        for literal in literals:
            keyspace_ids = _of_literal(literal, column, vindex)
            if isinstance(keyspace_ids, Everything):
                return EVERYTHING
            found |= keyspace_ids
    return frozenset(found)


def _rest(points: Points, slot: list[bytes], found: set[KeyspaceId]) -> list[bytes]:
    """Of a long list what cannot be read at a glance; the keyspace ids of the others are added to ``found``."""
    point = _plain_point(points, 0, None, None)
    if point is None:
        return slot
    rest: list[bytes] = []
    for raw in slot:
        keyspace_id = point([raw])
        if keyspace_id is None:
            rest.append(raw)
        else:
            found.add(keyspace_id)
    return rest


def _literals(source: Slot, slot: list[bytes], mode: LexMode) -> Iterator[Literal]:
    for raw in slot:
        literal = read_literal(raw, mode)
        yield negated(literal) if source.negative else literal


def _constant(value: Value) -> Literal:
    """A value of the shape as the literal it was. Of a text's bytes only ASCII is sure to be what the client sent."""
    if value is None:
        return NULL
    if isinstance(value, int):
        return Literal(LiteralKind.INTEGER, value)
    return Literal(LiteralKind.STRING, value, "utf8mb4") if value.isascii() else OTHER


def _of_literal(literal: Literal, column: ColumnType, vindex: Vindex) -> KeyspaceIds:
    found = read_value(literal, column, vindex, Purpose.COMPARE)
    if isinstance(found, Known):
        try:
            keyspace_id = vindex.map(found.value)
        except VgateError:  # Vitess has a keyspace id for it, but which one is not certain
            return EVERYTHING
        return _NOWHERE if keyspace_id is None else frozenset((keyspace_id,))
    return _NOWHERE if isinstance(found, Never) else EVERYTHING


# -- one column, one literal --------------------------------------------------------------------------------------


def fast_point(route: Route, mode: LexMode | None = None) -> FastPoint | None:
    """What finds the keyspace id of a route whose condition is one column and one literal; None for any other route.

    The closure gives None where it takes more thought: ``resolve`` then decides. The plainest literals it reads at a
    glance. With ``mode``, that of all statements the closure will see, it reads every literal that has one
    keyspace id; without, only those that read the same in every mode.
    """
    where = route.where
    if not isinstance(where, Points) or len(where.sources) != 1 or route.others:
        return None
    source = where.sources[0]
    if not isinstance(source, Slot):
        return None
    careful = None if mode is None else _careful_point(where, source, mode)
    if source.negative:
        return careful
    return _plain_point(where, source.index, mode, careful) or careful


def slot_of(route: Route) -> int:
    """The slot that ``fast_point``'s closure looks at, where it stands there without a sign; else -1."""
    where = route.where
    source = where.sources[0] if isinstance(where, Points) else None
    return source.index if isinstance(source, Slot) and not source.negative else -1


def number_point(route: Route) -> tuple[int, int, Callable[[int], KeyspaceId | None]] | None:
    """The slot, the greatest number and the map of a route by one unsigned number of an integer column; else None.

    For digits up to that number, and no longer than it, ``fast_point``'s closure says what the map does.
    """
    where = route.where
    index = slot_of(route)
    if index < 0 or not isinstance(where, Points) or len(where.sources) != 1 or route.others or not _numeric(where):
        return None
    return index, integer_range(where.column)[1], where.vindex.map


def _numeric(points: Points) -> bool:
    return points.column.kind is ColumnKind.INTEGER and points.vindex.type != "null"


def _plain_point(points: Points, index: int, mode: LexMode | None, careful: FastPoint | None) -> FastPoint | None:
    """What reads the plainest literals at a glance, and gives others to ``careful``; None where none is plain."""
    if _numeric(points):
        return _integer_point(points, index, careful)
    plain = _plain_text(points.column, points.vindex, mode)
    return None if plain is None else _text_point(points, index, plain, careful)


def _careful_point(points: Points, source: Slot, mode: LexMode) -> FastPoint:
    column, vindex, index, negative = points.column, points.vindex, source.index, source.negative

    def point(slots: Slots) -> KeyspaceId | None:
        raw = slots[index]
        if type(raw) is not bytes:
            return None
        literal = read_literal(raw, mode)
        keyspace_ids = _of_literal(negated(literal) if negative else literal, column, vindex)
        return None if isinstance(keyspace_ids, Everything) else next(iter(keyspace_ids), None)

    return point


_QUOTED_DIGITS: Final = re.compile(rb"'([0-9]{1,15})'").fullmatch


def _integer_point(points: Points, index: int, careful: FastPoint | None) -> FastPoint:
    """Digits alone, within the column's range, or in quotes (as some drivers write all values) of 15 at most."""
    _, greatest = integer_range(points.column)
    longest = len(str(greatest))
    place = points.vindex.map

    def point(slots: Slots) -> KeyspaceId | None:
        raw = slots[index]
        if type(raw) is bytes and raw.isdigit() and len(raw) <= longest and (number := int(raw)) <= greatest:
            return place(number)
        if type(raw) is bytes and (found := _QUOTED_DIGITS(raw)) is not None and (number := int(found[1])) <= greatest:
            return place(number)
        return None if careful is None else careful(slots)

    return point


_PLAIN: Final = "".join(char for char in map(chr, range(0x20, 0x7F)) if char not in "'\\\"")
"""Printable ASCII without what quotes or escapes."""


def _plain_text(column: ColumnType, vindex: Vindex, mode: LexMode | None) -> re.Pattern[bytes] | None:
    """A quoted string of which the value is known at once; None where column and vindex allow none.

    Bytes are the same in every character set. Characters are in all but one that a client can have.
    """
    if column.kind is ColumnKind.BINARY and not column.fixed:
        return _quoted(_PLAIN, column.length)
    if column.kind is not ColumnKind.TEXT or not holds(column.charset or "utf8mb4", _PLAIN):
        return None
    chars = _PLAIN
    if mode is None or mode.charset == "swe7":
        chars = "".join(char for char in _PLAIN if ord(char) not in SWE7_LETTERS)
    if not equal_texts_share_ids(column.collation, column.fixed, vindex.type, vindex.takes_text):
        folding = folding_of(column.collation) if vindex.type in LOOSE_VINDEXES else None
        if folding is None:
            return None
        chars = "".join(filter(folding.finds, chars))
    return _quoted(chars, room_for_text(column))


def _quoted(chars: str, longest: int) -> re.Pattern[bytes]:
    return re.compile(f"'([{re.escape(chars)}]{{0,{min(longest, 2**16)}}})'".encode("ascii"))


def _text_point(points: Points, index: int, plain: re.Pattern[bytes], careful: FastPoint | None) -> FastPoint:
    match = plain.fullmatch
    place = points.vindex.map
    strip = points.column.kind is ColumnKind.TEXT and points.column.fixed

    def point(slots: Slots) -> KeyspaceId | None:
        raw = slots[index]
        if type(raw) is bytes and (found := match(raw)) is not None:
            return place(found[1].rstrip(b" ") if strip else found[1])
        return None if careful is None else careful(slots)

    return point
