"""What one literal says: its kind and its value, from the bytes a client wrote.

Mirrors the readers of literals in MariaDB 10.11 and MySQL 9 (``get_text``, ``int_token``, ``Item_hex_string``...):
escapes and doubled quotes, NO_BACKSLASH_ESCAPES, ANSI_QUOTES (``"..."`` is a name then), the character sets in which a
second byte may look like a backslash, numbers too large for 64 bits (they are decimals), hexadecimal and bit strings.
The value of a string is what the server has: bytes in the *client's* character set; ``Literal.text`` is the same in
UTF-8. Character sets are decoded only where Python's tables and both servers' agree on every character.

This module does not know columns: what a literal equals, or becomes when it is stored, is ``planner.values``. It reads
one token; finding it in a text is ``sql.lexer``. It is total: what is no single literal is OTHER.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Final

from vgate.sql.lexer import MULTI_BYTE, LexMode


class LiteralKind(Enum):
    """What kind of literal, and the type of its value."""

    INTEGER = "integer"  # int, of at most 64 bits; a minus sign is no part of the token: see ``negated``
    DECIMAL = "decimal"  # Decimal; also integers of more than 64 bits, as in the servers
    FLOAT = "float"  # float: anything with an exponent
    STRING = "string"  # bytes
    NATIONAL = "national"  # bytes, n'...'
    INTRODUCED = "introduced"  # bytes, _charset'...', _charset x'..'
    HEX = "hex"  # bytes; x'..' and 0x.. are a string or a number, as the context wants
    BIT = "bit"  # bytes, likewise
    DATE = "date"  # bytes, date'...'
    MOMENT = "moment"  # bytes, timestamp'...' and time'...' in full
    BOOLEAN = "boolean"  # int; the words TRUE and FALSE
    NULL = "null"  # None; the word, and \N
    OTHER = "other"  # None; no literal, or none that can be read for certain


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal. ``charset`` is the character set of the bytes of a STRING, NATIONAL or INTRODUCED."""

    kind: LiteralKind
    value: int | Decimal | float | bytes | None = None
    charset: str = ""

    @property
    def is_bytes(self) -> bool:
        """True for a string that is bytes rather than characters: x'..', b'..', _binary'..', or SET NAMES binary."""
        return self.kind in (LiteralKind.HEX, LiteralKind.BIT) or (
            self.charset == "binary" and self.kind in (LiteralKind.STRING, LiteralKind.INTRODUCED)
        )

    @property
    def text(self) -> bytes | None:
        """A string's characters in UTF-8; None for what is no text, is malformed, or cannot be decoded for certain."""
        value = self.value
        if type(value) is not bytes or not self.charset:
            return None
        if value.isascii():
            plain = self.charset in _ASCII_READS or (self.charset == "swe7" and SWE7_LETTERS.isdisjoint(value))
            return value if plain else None
        if self.charset == "utf8mb4":
            return value if _decoded(value, "utf-8") is not None else None
        text = decoded(value, self.charset)
        return None if text is None else text.encode("utf-8")


OTHER: Final = Literal(LiteralKind.OTHER)
NULL: Final = Literal(LiteralKind.NULL)

_WORDS: Final = {
    b"null": NULL,
    b"true": Literal(LiteralKind.BOOLEAN, 1),
    b"false": Literal(LiteralKind.BOOLEAN, 0),
}
_MAX_UINT64: Final = 2**64 - 1
_LONGEST_NUMBER: Final = 400
"""Digits beyond which nobody means a number, and the servers' ways with it part."""

_DECIMAL: Final = re.compile(rb"[0-9]+\.[0-9]*|\.[0-9]+")
_FLOAT: Final = re.compile(rb"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][+-]?[0-9]+")
_HEX: Final = re.compile(rb"[xX]'((?:[0-9A-Fa-f]{2})*)'|0x([0-9A-Fa-f]+)")
_BIT: Final = re.compile(rb"[bB]'([01]*)'|0b([01]+)")
_DATED: Final = re.compile(rb"[dD][aA][tT][eE][ \t\r\n]*'([0-9-]*)'")
_MOMENT: Final = re.compile(
    rb"(?:timestamp[ \t\r\n]*'[0-9]{4}-[0-9]{2}-[0-9]{2} |time[ \t\r\n]*'-?)"
    rb"[0-9]{2,3}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?'",
    re.I,
)
_INTRODUCED: Final = re.compile(rb"_([A-Za-z0-9]+)[ \t\r\n]*(['\"xXbB0].*)", re.DOTALL)


def read_literal(raw: bytes, mode: LexMode) -> Literal:
    """The literal that ``raw`` is, all of it, without a sign; OTHER for anything else."""
    if raw.isdigit():
        return _integer(raw)
    first = raw[:1]
    if mode.transcodes and not raw.isascii():
        return OTHER  # what becomes of it is the server's secret
    if first == b"'" or first == b'"':
        value = unquoted(raw, mode)
        return OTHER if value is None else Literal(LiteralKind.STRING, value, _canonical(mode.charset))
    if first in b".0123456789":
        return _number(raw)
    if first in b"xXbB" and (found := _bytes(raw)) is not OTHER:
        return found
    if first in b"nN" and raw[1:2] == b"'":
        value = unquoted(raw[1:], mode)
        return OTHER if value is None else Literal(LiteralKind.NATIONAL, value, "utf8mb3")
    if first == b"_":
        return _introduced(raw, mode)
    if first in b"dD" and (dated := _DATED.fullmatch(raw)) is not None:
        return Literal(LiteralKind.DATE, dated[1])
    if first in b"tT" and _MOMENT.fullmatch(raw) is not None:
        return Literal(LiteralKind.MOMENT, raw[raw.index(b"'") + 1 : -1])
    if raw == b"\\N":
        return NULL
    return _WORDS.get(raw.lower(), OTHER)


def negated(literal: Literal) -> Literal:
    """The literal with a minus sign before it: OTHER for all but numbers, as ``-'5'`` is an expression."""
    value = literal.value
    if literal.kind is LiteralKind.INTEGER and isinstance(value, int):
        return replace(literal, value=-value)
    if literal.kind is LiteralKind.DECIMAL and isinstance(value, Decimal):
        return replace(literal, value=value.copy_negate())
    if literal.kind is LiteralKind.FLOAT and isinstance(value, float):
        return replace(literal, value=-value)
    return OTHER


# -- numbers ------------------------------------------------------------------------------------------------------


def _integer(raw: bytes) -> Literal:
    if len(raw) > _LONGEST_NUMBER:
        return OTHER
    value = int(raw)
    if value > _MAX_UINT64:
        return Literal(LiteralKind.DECIMAL, Decimal(value))
    return Literal(LiteralKind.INTEGER, value)


def _number(raw: bytes) -> Literal:
    """Anything that begins with a digit or a point and is not digits alone."""
    if len(raw) <= _LONGEST_NUMBER:
        if _DECIMAL.fullmatch(raw):
            return Literal(LiteralKind.DECIMAL, Decimal(raw.decode("ascii")))
        if _FLOAT.fullmatch(raw):
            return Literal(LiteralKind.FLOAT, float(raw))
    return _bytes(raw)


def _bytes(raw: bytes) -> Literal:
    """x'..', 0x.. (an odd digit gets a zero before it), b'..', 0b.. (bits fill bytes from the right)."""
    if found := _HEX.fullmatch(raw):
        digits = found[1] if found[2] is None else found[2].rjust(len(found[2]) + len(found[2]) % 2, b"0")
        return Literal(LiteralKind.HEX, bytes.fromhex(digits.decode("ascii")))
    if found := _BIT.fullmatch(raw):
        bits = found[1] if found[2] is None else found[2]
        return Literal(LiteralKind.BIT, int(bits or b"0", 2).to_bytes((len(bits) + 7) // 8, "big"))
    return OTHER


# -- strings ------------------------------------------------------------------------------------------------------

_ESCAPES: Final = {
    b"\\0": b"\0", b"\\n": b"\n", b"\\t": b"\t", b"\\r": b"\r", b"\\b": b"\b", b"\\Z": b"\x1a",
    b"\\%": b"\\%", b"\\_": b"\\_",  # kept for LIKE
}  # fmt: skip


def unquoted(raw: bytes, mode: LexMode) -> bytes | None:
    """The value of a quoted string, in the client's character set; None if ``raw`` is not one string."""
    quote = raw[:1]
    if quote == b'"' and mode.ansi_quotes:
        return None
    body = raw[1:-1]
    if len(raw) >= 2 and raw[-1:] == quote and b"\\" not in body and quote not in body:
        return body
    whole, replace_all = _reader(MULTI_BYTE.get(mode.charset, b""), mode.no_backslash_escapes, quote)
    if whole.fullmatch(raw) is None:
        return None
    return replace_all(body)


@lru_cache(maxsize=64)
def _reader(longer: bytes, plain: bool, quote: bytes) -> tuple[re.Pattern[bytes], Callable[[bytes], bytes]]:
    """(what one whole string looks like, a function that resolves what is between its quotes).

    A backslash takes one *byte* with it, even the first of a longer character, as in ``get_text``.
    """
    backslash = b"" if plain else rb"\\[\x00-\xff]|"
    excluded = quote if plain else rb"\\" + quote
    piece = (longer + b"|" if longer else b"") + backslash + quote * 2
    whole = re.compile(quote + b"(?:" + piece + b"|[^" + excluded + b"])*+" + quote)
    pieces = re.compile(piece)

    def one(match: re.Match[bytes]) -> bytes:
        found = match[0]
        if found[0] >= 0x80:
            return found
        return quote if found[:1] == quote else _ESCAPES.get(found, found[1:])

    def resolve(body: bytes) -> bytes:
        return pieces.sub(one, body)

    return whole, resolve


def _introduced(raw: bytes, mode: LexMode) -> Literal:
    """_charset'...': the bytes are taken to be in that character set already, nothing is converted."""
    found = _INTRODUCED.fullmatch(raw)
    if found is None:
        return OTHER
    charset = _canonical(found[1].decode("ascii").lower())
    if charset not in _ASCII_READS and charset != "binary":
        return OTHER
    first = found[2][:1]
    if first == b"'" or first == b'"':
        value = unquoted(found[2], mode)
    else:
        inner = _bytes(found[2]).value
        value = inner if isinstance(inner, bytes) else None
    return OTHER if value is None else Literal(LiteralKind.INTRODUCED, value, charset)


# -- character sets -----------------------------------------------------------------------------------------------

# Where Python's codec has a character, MariaDB and MySQL have the same one (test_values_on_servers compares them). Not
# here, since they differ: big5, sjis, cp932, ujis, eucjpms, gb18030, greek, hebrew, koi8u, cp866, cp1256.
_CODECS: Final = {
    "ascii": "ascii", "utf8mb4": "utf-8", "utf8mb3": "utf-8", "latin1": "cp1252", "latin2": "iso8859_2",
    "latin5": "iso8859_9", "latin7": "iso8859_13", "cp1250": "cp1250", "cp1251": "cp1251", "cp1257": "cp1257",
    "cp850": "cp850", "cp852": "cp852", "koi8r": "koi8_r", "macroman": "mac_roman", "macce": "mac_latin2",
    "tis620": "tis_620", "gbk": "gbk", "gb2312": "gb2312", "euckr": "cp949",
}  # fmt: skip
# Of these only ASCII is read. In swe7 not even that; ucs2, utf16, utf16le and utf32 write it otherwise.
_ASCII_READS: Final = frozenset(_CODECS) | {
    "armscii8", "big5", "cp1256", "cp866", "cp932", "dec8", "eucjpms", "gb18030", "geostd8", "greek", "hebrew", "hp8",
    "keybcs2", "koi8u", "sjis", "ujis",
}  # fmt: skip
SWE7_LETTERS: Final = frozenset(b"@[\\]^`{|}~\x7f")
"""The ASCII that is something else in swe7."""
_WIDE: Final = frozenset({"ucs2", "utf16", "utf16le", "utf32"})


def _canonical(charset: str) -> str:
    return "utf8mb3" if charset == "utf8" else charset


def decoded(value: bytes, charset: str) -> str | None:
    """``value`` as text, where both servers read it so for certain."""
    charset = _canonical(charset)
    if value.isascii():
        return value.decode("ascii") if charset in _ASCII_READS else None
    codec = _CODECS.get(charset)
    text = None if codec is None else _decoded(value, codec)
    return text if text is None or charset != "utf8mb3" or max(text) <= "\uffff" else None


def _decoded(value: bytes, codec: str) -> str | None:
    try:
        return value.decode(codec)
    except UnicodeDecodeError:
        return None


def holds(charset: str, text: str) -> bool:
    """True if a column of that character set stores every character of ``text`` as it is, for certain."""
    charset = _canonical(charset)
    if charset == "utf8mb4" or charset in ("utf16", "utf16le", "utf32"):
        return True
    if text.isascii():
        return (charset in _ASCII_READS and not (charset == "sjis" and "\\" in text)) or charset in _WIDE
    if charset in ("utf8mb3", "ucs2"):
        return max(text) <= "\uffff"
    codec = _CODECS.get(charset)
    if codec is None:
        return False
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
