"""When a literal equals what a column stores, and what a column stores when a literal is inserted.

Two questions, by the column's type and the rules that MariaDB 10.11 and MySQL 9 share (they were tried on both):

- COMPARE: which stored value can ``column = literal`` be true for? ``Known`` says that every row for which it is true
  has the keyspace id of that value, ``Never`` that there is no such row, ``Unknown`` that neither is certain: values
  of several keyspace ids may equal the literal, or the servers differ. A statement then goes to every shard.
- INSERT: what will be stored, under every sql_mode? Where a lenient mode would clip, round, cut or replace, the answer
  is ``Unknown``, and the row is refused.

A value is what the vindex gets: an integer for INTEGER (and for whole numbers in DECIMAL, where the vindex takes
numbers), else the text or bytes that the server would print: a DECIMAL with its scale, CHAR without trailing spaces,
BINARY with its zero bytes, text in UTF-8 whatever the column's character set. In doubt it is Unknown, always.

This module does not know keyspace ids or shards (``resolve``), and reads no SQL (``sql.literals``). It takes literals
to go from the client's character set straight to the column's: ``character_set_connection`` must not be a third.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Final, assert_never

from vgate.planner.columns import ColumnKind, ColumnType, compares_bytes
from vgate.planner.loose import folding_of
from vgate.sql.literals import Literal, LiteralKind, decoded, holds
from vgate.vindex.base import Value, Vindex


class Purpose(Enum):
    """What is to be done with the literal."""

    COMPARE = "compare"
    INSERT = "insert"


@dataclass(frozen=True, slots=True)
class Known:
    """This value, and no other that has another keyspace id."""

    value: Value


@dataclass(frozen=True, slots=True)
class Never:
    """No stored value equals the literal. Never an answer to INSERT."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It cannot be known for certain."""


Answer = Known | Never | Unknown

NEVER: Final = Never()
UNKNOWN: Final = Unknown()

LOOSE_VINDEXES: Final = frozenset({"unicode_loose_md5", "unicode_loose_xxhash"})

_NUMBERS: Final = (LiteralKind.INTEGER, LiteralKind.BOOLEAN)
_TIMES: Final = (LiteralKind.DATE, LiteralKind.MOMENT)
_TEXTS: Final = (ColumnKind.TEXT, ColumnKind.BINARY)


def read_value(literal: Literal, column: ColumnType, vindex: Vindex, purpose: Purpose) -> Answer:
    """The stored value that ``literal`` stands for in ``column``, as ``vindex`` is to be given it."""
    if vindex.type == "null":  # one keyspace id for all
        return Known(None)
    if literal.kind is LiteralKind.OTHER:
        return UNKNOWN
    if literal.kind in _TIMES and column.kind is not ColumnKind.DATE:
        if purpose is Purpose.COMPARE or column.kind not in _TEXTS or not _is_printed(literal):
            return UNKNOWN  # text is compared with it as a date
        literal = Literal(LiteralKind.STRING, literal.value, "utf8mb4")  # and stored as it is written
    if literal.kind is LiteralKind.NULL:
        return NEVER if purpose is Purpose.COMPARE else _null(column)
    match column.kind:
        case ColumnKind.INTEGER:
            return _integer(literal, column, purpose)
        case ColumnKind.TEXT:
            return _text(literal, column, vindex, purpose)
        case ColumnKind.BINARY:
            return _binary(literal, column, purpose)
        case ColumnKind.DECIMAL:
            return _decimal(literal, column, vindex, purpose)
        case ColumnKind.DATE:
            return _date(literal)
        case ColumnKind.UNKNOWN:
            return _as_meant(literal)
        case ColumnKind.OTHER:
            return UNKNOWN
    assert_never(column.kind)


def _null(column: ColumnType) -> Answer:
    """Otherwise the server may store an id of its own, or (lenient, in rows after the first) 0 or ''."""
    return Known(None) if column.nullable and not column.auto_increment else UNKNOWN


# -- integers -----------------------------------------------------------------------------------------------------

_EXACT: Final = 2**53 - 1
"""Up to here (and down to its opposite) a double stands for one integer alone."""

_MAX_INT64: Final = 2**63 - 1
_DIGITS: Final = re.compile(rb"[+-]?[0-9]{1,30}")


def integer_range(column: ColumnType) -> tuple[int, int]:
    """The least and the greatest value of an INTEGER column."""
    if column.unsigned:
        return 0, (1 << column.bits) - 1
    return -(1 << (column.bits - 1)), (1 << (column.bits - 1)) - 1


def _integer(literal: Literal, column: ColumnType, purpose: Purpose) -> Answer:
    number = _whole(literal, purpose)
    if not isinstance(number, int):
        return number
    low, high = integer_range(column)
    if low <= number <= high:
        # A server that finds 0 there counts on, unless NO_AUTO_VALUE_ON_ZERO.
        counts = number == 0 and column.auto_increment and purpose is Purpose.INSERT
        return UNKNOWN if counts else Known(number)
    # An IN list of several types takes 64 bits with and without a sign for each other (MySQL: 2^64-1 finds -1).
    same_sign = number >= 0 if column.unsigned else number <= _MAX_INT64
    return NEVER if purpose is Purpose.COMPARE and same_sign else UNKNOWN


def _whole(literal: Literal, purpose: Purpose) -> int | Never | Unknown:
    """The integer that a literal is, to an integer column.

    Integers and decimals are compared exactly, floats and strings as doubles. Fractions are rounded when they are
    stored, and also when MariaDB looks them up in an index: there ``1.5`` finds 2. Text that is more than digits
    ('1abc', ' 1', '1e0') is left alone; hexadecimal and bit strings are numbers to one server and text to the other.
    """
    value = literal.value
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal):
        if not _is_plain(value):
            return UNKNOWN
        return int(value) if value == value.to_integral_value() else UNKNOWN
    if isinstance(value, float):
        if not -_EXACT <= value <= _EXACT:
            return UNKNOWN
        return int(value) if value.is_integer() else UNKNOWN
    if literal.kind is LiteralKind.STRING and isinstance(value, bytes) and _DIGITS.fullmatch(value):
        number = int(value)
        return number if purpose is Purpose.INSERT or -_EXACT <= number <= _EXACT else UNKNOWN
    return UNKNOWN


# -- decimals -----------------------------------------------------------------------------------------------------

_PRECISION: Final = re.compile(r"\s*\w+\s*\(\s*(\d+)")
_DECIMAL_TEXT: Final = re.compile(r"[+-]?[0-9]{1,65}(?:\.[0-9]{1,30})?")


def _is_plain(value: Decimal) -> bool:
    """True for a decimal that servers keep as written: of at most 65 digits, 30 of them behind the point."""
    _, digits, exponent = value.as_tuple()
    return isinstance(exponent, int) and -30 <= exponent <= 0 and len(digits) <= 65


def _decimal(literal: Literal, column: ColumnType, vindex: Vindex, purpose: Purpose) -> Answer:
    """Integers and decimals are compared exactly; floats and strings as doubles, which many decimals equal."""
    value = literal.value
    if literal.kind is LiteralKind.STRING and purpose is Purpose.INSERT and isinstance(value, bytes):
        text = value.decode("latin-1")
        value = Decimal(text) if _DECIMAL_TEXT.fullmatch(text) else None
    if isinstance(value, int):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not _is_plain(value):
        return UNKNOWN
    numerator, denominator = value.as_integer_ratio()
    unscaled, rest = divmod(numerator * 10**column.scale, denominator)
    if rest:  # rounded, as in ``_whole``
        return UNKNOWN
    if unscaled < 0 and column.unsigned:
        return NEVER if purpose is Purpose.COMPARE else UNKNOWN
    if purpose is Purpose.INSERT:
        precision = _PRECISION.match(column.sql)
        if precision is None or abs(unscaled) >= 10 ** int(precision[1]):
            return UNKNOWN
    return Known(_decimal_value(unscaled, column.scale, vindex))


def _decimal_value(unscaled: int, scale: int, vindex: Vindex) -> Value:
    unit: int = 10**scale
    whole, fraction = divmod(abs(unscaled), unit)
    sign = "-" if unscaled < 0 else ""
    if not vindex.takes_text and fraction == 0:
        return -whole if sign else whole
    return f"{sign}{whole}.{fraction:0{scale}d}".encode() if scale else f"{sign}{whole}".encode()


# -- text ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def equal_texts_share_ids(collation: str, fixed: bool, vindex_type: str, takes_text: bool) -> bool:
    """True if texts that are equal in such a column have one keyspace id, whatever they are.

    Collations in ``_bin`` that are not ``compares_bytes`` take 'a' and 'a ' for equal: a CHAR column stores only 'a',
    and some vindexes do not look at trailing spaces either.
    """
    if compares_bytes(collation):
        return True
    return collation.endswith("_bin") and (fixed or vindex_type in LOOSE_VINDEXES or not takes_text)


def room_for_text(column: ColumnType) -> int:
    """How many characters a TEXT column is certain to hold.

    Longer ones may be cut where only blanks (also tabs) are lost: when they are stored, and to look into an index.
    """
    return column.length if "char" in column.sql.lower() else column.length // 4  # TEXT and its like count bytes


def _text(literal: Literal, column: ColumnType, vindex: Vindex, purpose: Purpose) -> Answer:
    text = _characters(literal, column, purpose)
    if text is None or not holds(column.charset or "utf8mb4", text):
        return UNKNOWN
    if column.fixed:
        text = text.rstrip(" ")
    if len(text) > room_for_text(column):
        return UNKNOWN
    value = text.encode("utf-8")
    if purpose is Purpose.COMPARE:
        return Known(value) if _finds(text, column, vindex) else UNKNOWN
    if vindex.type in LOOSE_VINDEXES:
        folding = folding_of(column.collation)
        if folding is not None and not folding.admits(text):
            return UNKNOWN
    return Known(value)


def _characters(literal: Literal, column: ColumnType, purpose: Purpose) -> str | None:
    """The text that the column is compared with, or gets; None where it is a number, or not certain.

    Bytes are taken for text in the column's character set: when they are stored, and also in comparisons with an index.
    """
    value = literal.value
    if literal.is_bytes and isinstance(value, bytes):
        return decoded(value, column.charset or "utf8mb4")
    if literal.kind in _NUMBERS:  # text and number are compared as doubles
        return str(value) if purpose is Purpose.INSERT else None
    if literal.kind is LiteralKind.NATIONAL and not (isinstance(value, bytes) and value.isascii()):
        return None
    text = literal.text
    return None if text is None else text.decode("utf-8")


def _finds(text: str, column: ColumnType, vindex: Vindex) -> bool:
    """True if every stored text that equals ``text`` has its keyspace id."""
    if equal_texts_share_ids(column.collation, column.fixed, vindex.type, vindex.takes_text):
        return True
    if vindex.type in LOOSE_VINDEXES:
        folding = folding_of(column.collation)
        return folding is not None and folding.finds(text)
    # What such a vindex places is digits between blanks; no collation takes one ASCII digit for another, or for none.
    return not vindex.takes_text and text.isascii() and text.isdigit()


# -- bytes --------------------------------------------------------------------------------------------------------

_LONGEST_BINARY: Final = 255


def _binary(literal: Literal, column: ColumnType, purpose: Purpose) -> Answer:
    """Compared byte by byte, with the literal as the client sent it. BINARY is filled up with zero bytes.

    A row of BINARY is found by its padded form alone; the padded value is right for the shorter one, too.
    """
    value = literal.value
    if literal.kind in _NUMBERS and isinstance(value, int):
        if purpose is Purpose.COMPARE:  # as doubles
            return UNKNOWN
        value = b"%d" % value
    if not isinstance(value, bytes) or (literal.kind is LiteralKind.NATIONAL and not value.isascii()):
        return UNKNOWN
    if len(value) > column.length:  # it may be cut, as text
        return UNKNOWN
    if column.fixed and column.length <= _LONGEST_BINARY:  # VSchemas alone do not say the length
        if not value and purpose is Purpose.INSERT:  # NULL under MariaDB's EMPTY_STRING_IS_NULL
            return UNKNOWN
        value = value.ljust(column.length, b"\0")
    return Known(value)


# -- dates, and columns of which nothing is known -----------------------------------------------------------------

_DATES: Final = (LiteralKind.STRING, LiteralKind.DATE)
_DATE: Final = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK: Final = re.compile(rb"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?")
_TIME: Final = re.compile(rb"-?(?:[0-9]{2}|[1-7][0-9]{2}):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?")
"""Of less than 800 hours: somewhat above, servers clip."""
_NO_TIME: Final = re.compile(rb"-[0:.]+")
"""Minus nothing, which is printed without its sign."""


def _date(literal: Literal) -> Answer:
    """Only a date of the calendar, written as servers print it; what else they take for a date depends on modes."""
    value = literal.value
    if literal.kind not in _DATES or not isinstance(value, bytes) or not _is_day(value):
        return UNKNOWN
    return Known(value)


def _is_day(text: bytes) -> bool:
    """True for a date of the calendar, as servers print it."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text.decode("ascii"))
    except ValueError:
        return False
    return True


def _is_printed(literal: Literal) -> bool:
    """True for a DATE or MOMENT that is written as servers print it."""
    value = literal.value
    if not isinstance(value, bytes):
        return False
    if literal.kind is LiteralKind.DATE:
        return _is_day(value)
    day, space, clock = value.rpartition(b" ")
    if space:
        return _is_day(day) and _CLOCK.fullmatch(clock) is not None
    return _TIME.fullmatch(clock) is not None and _NO_TIME.fullmatch(clock) is None


def _as_meant(literal: Literal) -> Answer:
    """Offline nobody knows the column: the literal is taken to be of its type."""
    value = literal.value
    if literal.kind in _NUMBERS and isinstance(value, int):
        return Known(value)
    return Known(literal.text or value) if isinstance(value, bytes) else UNKNOWN
