"""Prepared text: its parameters as literals, for plans and for the statements that are sent as text.

A statement with ``?`` has the shape of the same statement with literals in their place, so both share their plans. It
does not know packets: a parameter arrives as type and bytes, and leaves as SQL that says exactly the same.
"""

from __future__ import annotations

import re
import struct
from calendar import monthrange
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from vgate.errors import UNSUPPORTED
from vgate.sql.lexer import LITERALS, LexMode, Slots, TokenKind, lexer_for
from vgate.sql.names import decoded, encoded

SlotSource = bytes | int | tuple[bytes | int, ...]
"""A literal of the text, the number of a parameter, or a list of such."""

_FORMATS: Final = {
    0x01: ("<b", "<B"), 0x02: ("<h", "<H"), 0x0D: ("<H", "<H"), 0x03: ("<i", "<I"), 0x09: ("<i", "<I"),
    0x08: ("<q", "<Q"),
}  # fmt: skip
_INTEGERS: Final = {
    kind: tuple(struct.Struct(one).unpack for one in formats) for kind, formats in _FORMATS.items()
}
DATE, _TIME = 0x0A, 0x0B
TIMES: Final = frozenset({0x07, DATE, _TIME, 0x0C})
"""The MySQL types of dates and times."""

_MOST_HOURS: Final = 838
_BLOBS: Final = frozenset({0xF2, 0xF9, 0xFA, 0xFB, 0xFC, 0x10, 0xFF})
_DECIMALS: Final = frozenset({0x00, 0xF6})
_DECIMAL: Final = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_WORD_BEFORE: Final = re.compile(rb"[\w$\x80-\xff]\Z")
# Character sets in which a character's later byte may be a backslash.
_TRAPS: Final = frozenset({"big5", "cp932", "gbk", "gb18030", "sjis"})


# Character sets in which quotes and backslashes are always characters of their own, whatever bytes are around them.
_PLAIN: Final = frozenset({"ascii", "binary", "latin1", "utf8", "utf8mb3", "utf8mb4"})
_LONG: Final = 1 << 10
"""Bytes of a binary value from which on it is not written as hexadecimal, which takes twice as many."""


@dataclass(frozen=True, slots=True)
class Template:
    """A prepared statement's text, taken apart.

    ``stand_in``: the text with a literal for each parameter, for the planner; ``parts``: the text between parameters;
    ``direct``: its parameters are its literals, in order.
    """

    text: bytes
    stand_in: bytes
    shape: bytes
    parts: tuple[bytes, ...]
    sources: tuple[SlotSource, ...]
    direct: bool

    @property
    def parameters(self) -> int:
        """How many there are."""
        return len(self.parts) - 1

    def slots(self, literals: list[bytes]) -> Slots:
        """The slots of an execution whose parameters are those literals."""
        if self.direct:
            return list(literals)
        found: Slots = []
        for source in self.sources:
            if isinstance(source, int):
                found.append(literals[source])
            elif isinstance(source, bytes):
                found.append(source)
            else:
                found.append([literals[one] if isinstance(one, int) else one for one in source])
        return found

    def filled(self, literals: list[bytes]) -> bytes:
        """The statement with literals in place of its parameters."""
        pieces = [self.parts[0]]
        for literal, part in zip(literals, self.parts[1:], strict=True):
            pieces += (literal, part)
        return b"".join(pieces)


def read_template(text: bytes, mode: LexMode) -> Template:
    """Take a prepared text apart. Raises LexError, VersionedComment."""
    lexer = lexer_for(mode)
    marks = [token.start for token in lexer.scan(text) if token.kind is TokenKind.PARAMETER]
    bounds = [-1, *marks, len(text)]
    parts = [text[start + 1 : end] for start, end in pairwise(bounds)]
    number: dict[int, int] = {}
    at = 0
    for index in range(len(marks)):
        if _WORD_BEFORE.search(parts[index]) or (index and not parts[index]):
            parts[index] += b" "  # limit? is a word and a parameter, but limit0 is a name
        at += len(parts[index])
        number[at] = index
        at += 1
    stand_in = b"0".join(parts)
    shape, slots, places = lexer.locate(stand_in)
    sources: list[SlotSource] = []
    for slot, (start, end) in zip(slots, places, strict=True):
        if isinstance(slot, bytes):
            sources.append(number.get(start, slot))
        else:
            sources.append(tuple(
                number.get(token.start, stand_in[token.start : token.end])
                for token in lexer.scan(stand_in[:end], start) if token.kind in LITERALS
            ))  # fmt: skip
    direct = sources == list(range(len(marks)))
    return Template(text, stand_in, shape, tuple(parts), tuple(sources), direct)


def literal(kind: int, unsigned: bool, value: bytes | None, mode: LexMode) -> bytes:
    """A parameter of MySQL type ``kind`` as SQL. ``value`` is as on the wire, without a length; None is NULL.

    Dates and times are literals of their type, which are compared and stored by rules of their own. One that is no
    literal, as no calendar has it, is a string, which says the same to all but numbers. Raises UNSUPPORTED for what is
    no value of its type.
    """
    if value is None:
        return b"NULL"
    if kind in _INTEGERS:
        return b"%d" % _INTEGERS[kind][unsigned](value)[0]
    if kind in (0x04, 0x05):
        number: float = struct.unpack("<f" if kind == 0x04 else "<d", value)[0]
        text = repr(number)
        return (text if "e" in text or "n" in text else text + "e0").encode()
    if kind in TIMES:
        word, written = time_text(kind, value)
        return word + b"'" + written + b"'"
    if kind in _BLOBS:  # a string; x'31' alone would be a number where one is wanted
        if len(value) > _LONG and mode.charset in _PLAIN and not mode.transcodes:
            return b"_binary" + quoted(value, mode)
        return b"_binary x'" + value.hex().encode() + b"'"
    if kind in _DECIMALS:
        if _DECIMAL.fullmatch(value) is None:  # servers make a number of it, each its own
            raise UNSUPPORTED(construct="a DECIMAL parameter that is no number")
        return value
    return quoted(value, mode)


def quoted(value: bytes, mode: LexMode) -> bytes:
    """A string literal in the client's own character set."""
    if mode.no_backslash_escapes:
        return b"'" + value.replace(b"'", b"''") + b"'"
    if mode.charset in _TRAPS and b"\\" in value:
        text = decoded(value, mode.charset).replace("\\", "\\\\").replace("'", "''")
        return b"'" + encoded(text, mode.charset) + b"'"
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"''") + b"'"


def time_text(kind: int, value: bytes) -> tuple[bytes, bytes]:
    """A date, date with time, or time, by its MySQL type: the word that makes its text a literal, and its text.

    The word is empty where servers would not take the literal.
    """
    if kind == _TIME:
        negative, days, hour, minute, second, micro = struct.unpack("<BIBBBI", value + bytes(12 - len(value)))
        hour += days * 24
        takes = hour <= _MOST_HOURS and minute <= 59 and second <= 59
        return b"time" if takes else b"", (b"-" if negative else b"") + _clock(hour, minute, second, micro)
    year, month, day, hour, minute, second, micro = struct.unpack("<HBBBBBI", value + bytes(11 - len(value)))
    known = 0 < year <= 9999 and 0 < month <= 12 and 0 < day <= monthrange(year, month)[1]
    text = b"%04d-%02d-%02d" % (year, month, day)
    if kind == DATE:
        return b"date" if known else b"", text
    takes = known and hour <= 23 and minute <= 59 and second <= 59
    return b"timestamp" if takes else b"", text + b" " + _clock(hour, minute, second, micro)


def _clock(hour: int, minute: int, second: int, micro: int) -> bytes:
    return b"%02d:%02d:%02d" % (hour, minute, second) + (b".%06d" % micro if micro else b"")
