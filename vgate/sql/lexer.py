"""The one exact lexer: bytes of SQL as the server itself reads them, and statements as (shape, slots).

It mirrors ``sql_lex.cc`` of MariaDB 10.11 and MySQL 9: quotes and doubled quotes, backslashes (or none, under
NO_BACKSLASH_ESCAPES), ``"`` as string or name (ANSI_QUOTES), names with digits and dots, the three kinds of comment,
variables, numbers, and the multi-byte character sets in which a second byte may look like a backslash or a quote.
What it does not read exactly as the server would, it refuses (``LexError``): no text may be routed by one reading and
executed by another. Versioned comments are text to a server, so they are refused here with ``VersionedComment``:
``sql.versioned`` expands them first.

A *shape* is the statement with a ``?`` for each literal; the literals, as written, are its *slots*. An IN list of
literals is one slot, a list. Rows of a VALUES list that look alike are one row in the shape, but keep their slots.
Two statements of one shape differ in literals only. Literals that stand side by side (``'a' 'b'``, ``1 'alias'``)
stay in the shape, and a question mark of the client's own is doubled.

This module does not know grammar: it gives tokens their kind and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

Slots = list[bytes | list[bytes]]
"""The literals of a statement, as written; an IN list of several is a list."""


@dataclass(frozen=True, slots=True)
class LexMode:
    """What decides how a session's text is read: its ``character_set_client``, and flags of its ``sql_mode``."""

    charset: str = "utf8mb4"
    ansi_quotes: bool = False
    no_backslash_escapes: bool = False
    pipes_as_concat: bool = False
    transcodes: bool = False
    """The server turns literals into another character set (character_set_connection), which may lose characters."""


class LexError(ValueError):
    """Text that is no SQL, or that cannot be read for certain. ``offset`` is in bytes; ``reason`` may be empty."""

    def __init__(self, offset: int, reason: str = "") -> None:
        super().__init__(reason or f"cannot be read at byte {offset}")
        self.offset = offset
        self.reason = reason


class VersionedComment(LexError):
    """There is a ``/*! ... */`` that has to be expanded first."""


class TokenKind(Enum):
    """Kinds of token; comments and blanks are none."""

    NAME = "name"  # identifiers and keywords
    QUOTED_NAME = "quoted_name"
    STRING = "string"  # also N'...'
    NUMBER = "number"
    HEX = "hex"  # x'1F', 0x1F
    BIT = "bit"  # b'01', 0b01
    VARIABLE = "variable"  # @x, @'x', @@x
    SEMICOLON = "semicolon"
    PUNCTUATION = "punctuation"  # one character, but for := and ||
    PARAMETER = "parameter"  # a question mark


LITERALS: Final = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.HEX, TokenKind.BIT})


class Token(NamedTuple):
    """Bytes ``start`` to ``end`` of the text."""

    kind: TokenKind
    start: int
    end: int


# Multi-byte characters of the character sets in which a byte after the first can be ASCII. In the others (utf8, euc)
# no byte of a longer character can be taken for a quote, so they need no rule.
_MULTI_BYTE: Final = {
    "big5": rb"[\xa1-\xf9][\x40-\x7e\xa1-\xfe]",
    "cp932": rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]",
    "sjis": rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]",
    "gbk": rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]",
    "gb18030": rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39])",
    "euckr": rb"[\x81-\xfe][\x41-\x5a\x61-\x7a\x81-\xfe]",
}
_UTF8: Final = frozenset({"utf8", "utf8mb3", "utf8mb4"})

_COMMENT: Final = rb"/\*(?!M?!)[^\x00]*?\*/|#[^\n\x00]*+|--(?=[\x01-\x20\x7f]|\Z)[^\n\x00]*+"


class _Patterns:
    """The regular expressions of one mode, made of the same pieces."""

    def __init__(self, mode: LexMode) -> None:
        multi = _MULTI_BYTE.get(mode.charset, b"")
        skip_multi = multi + b"|" if multi else b""
        high = rb"\x80-\xff" if mode.charset in _UTF8 else b""

        def text(quote: bytes) -> bytes:
            """A string: a backslash takes one *byte* with it, even the first of a longer character (get_text)."""
            if mode.no_backslash_escapes:
                return quote + b"(?:" + skip_multi + b"[^" + quote + b"]|" + quote * 2 + b")*+" + quote
            inside = skip_multi + rb"[^\\" + quote + rb"]|\\[\x00-\xff]|" + quote * 2
            if not multi:
                inside = rb"[^\\" + quote + rb"]++|\\[\x00-\xff]|" + quote * 2
            return quote + b"(?:" + inside + b")*+" + quote

        def name(quote: bytes) -> bytes:
            return quote + b"(?:" + skip_multi + b"[^" + quote + rb"\x00]|" + quote * 2 + b")++" + quote

        single, double, backquoted = text(b"'"), text(b'"'), name(b"`")
        part = rb"[A-Za-z0-9_$" + high + rb"]"
        self.quoted_name = backquoted + (b"|" + name(b'"') if mode.ansi_quotes else b"")
        self.string = rb"[nN]?" + single + (b"" if mode.ansi_quotes else b"|" + double)
        self.hex = rb"[xX]'(?:[0-9A-Fa-f]{2})*+'|0x[0-9A-Fa-f]++(?!" + part + b")"
        self.bit = rb"[bB]'[01]*+'|0b[01]++(?!" + part + b")"
        # 1.5e without digits is an error to the server; so it is to us, as no alternative takes it.
        self.number = (
            rb"(?:[0-9]++\.[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++|(?![eE]))"
            rb"|[0-9]++[eE][+-]?[0-9]++|[0-9]++(?!" + part + rb"|\.)"
        )
        # Right after an unquoted name and a dot, digits are a name too: t.1e5. A name may begin with digits.
        plain = b"[ac-mo-wyzAC-MO-WYZ_$" + high + b"]"
        digits = rb"(?!0x[0-9A-Fa-f]++(?!" + part + rb")|0b[01]++(?!" + part + rb"))[0-9]++(?![eE][+-]?[0-9])" + part
        word = b"(?:" + plain + rb"|[xXbBnN](?!')|" + digits + b")" + part + b"*+"
        self.name = word
        self.dots = rb"(?:\." + part + b"++)*+"
        self.dotted = word + self.dots
        self.plain, self.part = plain, part
        named = b"|".join((backquoted, single, double))
        system = rb"@@(?:" + part + b"++|" + backquoted + rb")?"
        self.variable = system + rb"|@(?:[A-Za-z0-9._$" + high + rb"]++|" + named + b")?"
        self.comment = _COMMENT


# What stands for itself. Left out: quotes, @, digits, letters, blanks, #, ?, and ; (which ends statements).
_SINGLE: Final = rb"!%&()*+,:<=>^|~{}\[\]"
_SOMETIMES: Final = rb"-(?!-(?:[\x01-\x20\x7f]|\Z))|/(?!\*)|\.(?![0-9])|\\N"

_VERSIONED: Final = re.compile(rb"/\*M?!")
_IN_BEFORE: Final = re.compile(rb"(?<![\w$.`@])in\s*\(\s*\Z", re.I)
_CLOSE_AFTER: Final = re.compile(rb"\s*\)")
_COMMA: Final = re.compile(rb"\s*,\s*")
# Between two literals every comment has an end.
_INNER_COMMENT: Final = rb"/\*[^\x00]*?\*/|(?:#|--(?=[\x01-\x20\x7f]))[^\n]*+\n"
_BLANK: Final = re.compile(rb"(?:\s|" + _INNER_COMMENT + rb")*+")
_INSERT: Final = re.compile(rb"(?:\s|" + _COMMENT + rb")*+(?:insert|replace)\b", re.I)
_SAME_ROWS: Final = re.compile(rb"(\([^()'\"`/#-]*+\))(?:\s*+,\s*+\1)+")
# What calls for ``_careful``: literals side by side, IN lists, rows of an INSERT.
_SIDE_BY_SIDE: Final = re.compile(rb"\?(?:\s|" + _INNER_COMMENT + rb")*+\?")
_LIST: Final = re.compile(rb"\(\s*+\?\s*+,")
_IN_LIST: Final = re.compile(rb"in\s*+\(\s*+\?\s*+,", re.I)
_ROWS: Final = re.compile(rb"\)\s*+,\s*+\(")

_NOTHING: Final[Mapping[bytes, int]] = {}

SLICE: Final = 4000
"""Literals or tokens of a long text that are read between two turns of other clients."""


def plain(shape: bytes, slots: int) -> bool:
    """True if the text whose pieces between literals are joined to ``shape`` needs no care: that is its shape then."""
    return not (
        shape.count(b"?") != slots
        or _SIDE_BY_SIDE.search(shape)
        or (_LIST.search(shape) and _IN_LIST.search(shape))
        or (_ROWS.search(shape) and _INSERT.match(shape))
    )


class Lexer:
    """The lexer of one mode. Stateless; get it from ``lexer_for``."""

    def __init__(self, mode: LexMode) -> None:
        self.mode = mode
        p = _Patterns(mode)
        blank = rb"[ \t\n\v\f\r]++"
        single = rb"[ \t\n\v\f\r;?" + _SINGLE + b"]"
        # The first two branches say nothing that the others do not: they take a usual name and what follows it in one
        # turn, as most of most statements is. Nor do the digits alone among the literals.
        usual = p.plain + p.part + b"*+"
        skip = b"|".join((
            usual + single + single + b"*+", usual + p.dots + single + b"*+", single + single + b"*+", p.dotted,
            b"(?:" + p.quoted_name + b")" + single + b"*+", p.variable, p.comment, _SOMETIMES,
        ))  # fmt: skip
        literal = b"|".join((rb"[0-9]++(?!" + p.part + rb"|\.)", p.string, p.hex, p.bit, p.number))
        step = b"((?:" + skip + b")*+)(?:(" + literal + rb")|\Z|([\x00-\xff]))"
        self._step = re.compile(step)
        self._findall: Callable[[bytes], list[tuple[bytes, bytes, bytes]]] = self._step.findall
        kinds = (
            ("STRING", p.string), ("HEX", p.hex), ("BIT", p.bit), ("NAME", p.name),
            ("NUMBER", p.number), ("QUOTED_NAME", p.quoted_name), ("VARIABLE", p.variable), ("SEMICOLON", b";"),
            ("PARAMETER", rb"\?"), ("PUNCTUATION", rb":=|\|\||[" + _SINGLE + b"]|" + _SOMETIMES),
            ("blank", blank + b"|" + p.comment),
        )  # fmt: skip
        part = rb"[A-Za-z0-9_$" + (rb"\x80-\xff" if mode.charset in _UTF8 else b"") + b"]++"
        self._part = re.compile(part)
        self.strings = p.string
        self._token = re.compile(b"|".join(b"(?P<%s>%s)" % (name.encode(), pattern) for name, pattern in kinds))

    # -- shapes ---------------------------------------------------------------------------------------------------

    def split(self, text: bytes, known: Mapping[bytes, int] = _NOTHING) -> tuple[bytes, Slots]:
        """(shape, slots) of a statement. The fast path. Raises LexError.

        ``known`` says of shapes that they are ``plain`` with so many slots: they are not looked at again.
        """
        found = self._findall(text)
        if len(found) > 1 and not found[-2][1]:
            del found[-1]
        pieces, literals, errors = zip(*found)  # noqa: B905 - strict would cost a tenth of the whole
        if any(errors):
            raise self._error_in(text, found)
        shape: bytes = b"?".join(pieces)
        count = len(literals) - 1
        if known.get(shape) == count or plain(shape, count):
            return shape, list(literals[:-1])
        shape, slots, _ = self._careful(pieces, literals)
        return shape, slots

    def split_slowly(self, text: bytes) -> Generator[None, None, tuple[bytes, Slots]]:
        """``split`` of a long statement in steps: yields after every ``SLICE`` literals."""
        pieces: list[bytes] = []
        literals: list[bytes] = []
        for number, match in enumerate(self._step.finditer(text), 1):
            piece, literal, error = match.groups(b"")
            if error:
                raise self.error(text, match.start(3))
            pieces.append(piece)
            literals.append(literal)
            if not literal:
                break
            if number % SLICE == 0:
                yield
        shape, slots, _ = self._careful(tuple(pieces), tuple(literals))
        return shape, slots

    def locate(self, text: bytes) -> tuple[bytes, Slots, list[tuple[int, int]]]:
        """As ``split``, with the place in ``text`` of each slot (of a list: from its first literal to its last)."""
        found = self._findall(text)
        if len(found) > 1 and not found[-2][1]:
            del found[-1]
        pieces, literals, errors = zip(*found, strict=True)
        if any(errors):
            raise self._error_in(text, found)
        return self._careful(pieces, literals)

    def _careful(
        self, pieces: tuple[bytes, ...], literals: tuple[bytes, ...]
    ) -> tuple[bytes, Slots, list[tuple[int, int]]]:
        """Shape, slots and their places where lists, neighbours or question marks need thought."""
        starts: list[int] = []
        at = 0
        for piece, literal in zip(pieces, literals, strict=True):
            at += len(piece)
            starts.append(at)
            at += len(literal)
        insert = _INSERT.match(pieces[0]) is not None
        count = len(literals) - 1
        parts: list[bytes] = []
        slots: Slots = []
        places: list[tuple[int, int]] = []
        index = 0
        while index < count:
            piece = pieces[index]
            parts.append(piece if b"?" not in piece else piece.replace(b"?", b"??"))
            last = index
            if not insert and _IN_BEFORE.search(piece):
                while last + 1 < count and _COMMA.fullmatch(pieces[last + 1]):
                    last += 1
                if _CLOSE_AFTER.match(pieces[last + 1]) is None:
                    last = index
            end = starts[last] + len(literals[last])
            if _beside(pieces, index, count) or _beside(pieces, last + 1, count):
                parts.append(literals[index])
                last = index
            else:
                parts.append(b"?")
                slots.append(literals[index] if last == index else list(literals[index : last + 1]))
                places.append((starts[index], end))
            index = last + 1
        tail = pieces[count]
        parts.append(tail if b"?" not in tail else tail.replace(b"?", b"??"))
        shape = b"".join(parts)
        if insert:
            shape = _SAME_ROWS.sub(rb"\1", shape)
        return shape, slots, places

    # -- tokens ---------------------------------------------------------------------------------------------------

    def tokens(self, text: bytes) -> list[Token]:
        """All tokens but comments. Raises LexError."""
        return list(self.scan(text))

    def scan(self, text: bytes, at: int = 0) -> Iterator[Token]:
        """The tokens from ``at`` on, one by one. Raises LexError where it meets what cannot be read."""
        match = self._token.match
        size = len(text)
        named = False
        while at < size:
            if named and text[at] == 0x2E and (part := self._part.match(text, at + 1)) is not None:
                # what follows a name's dot at once is a name, whatever it looks like
                yield Token(TokenKind.PUNCTUATION, at, at + 1)
                yield Token(TokenKind.NAME, at + 1, part.end())
                at = part.end()
                continue
            found = match(text, at)
            if found is None:
                raise self.error(text, at)
            end = found.end()
            kind = found.lastgroup
            named = kind == "NAME"
            if kind != "blank":
                assert kind is not None
                yield Token(_KINDS[kind], at, end)
            at = end

    def step(self, text: bytes, at: int) -> tuple[TokenKind | None, int] | None:
        """Kind and end of what stands at ``at``: a token, or (None) blanks or a comment; None for what is neither."""
        found = self._token.match(text, at)
        if found is None:
            return None
        kind = found.lastgroup
        assert kind is not None
        return _KINDS.get(kind), found.end()

    def statements(self, text: bytes) -> Iterator[tuple[int, int] | None]:
        """Where each statement begins and ends, without its semicolon; empty ones are left out.

        Also gives None after every ``SLICE`` tokens: a moment to let others run.
        """
        start = 0
        seen = False
        for number, token in enumerate(self.scan(text), 1):
            if number % SLICE == 0:
                yield None
            if token.kind is not TokenKind.SEMICOLON:
                seen = True
                continue
            if seen:
                yield start, token.start
            start, seen = token.end, False
        if seen:
            yield start, len(text)

    # -- errors ---------------------------------------------------------------------------------------------------

    def _error_in(self, text: bytes, found: list[tuple[bytes, bytes, bytes]]) -> LexError:
        at = 0
        for piece, literal, error in found:
            at += len(piece)
            if error:
                break
            at += len(literal)
        return self.error(text, at)

    def error(self, text: bytes, at: int) -> LexError:
        """Why the text cannot be read at ``at``."""
        if _VERSIONED.match(text, at):
            return VersionedComment(at)
        if text[at] >= 0x80 and self.mode.charset not in _UTF8:
            return LexError(at, f"names with {self.mode.charset} characters must be in backquotes")
        return LexError(at)


_KINDS: Final = {kind.name: kind for kind in TokenKind}


def _beside(pieces: tuple[bytes, ...], index: int, count: int) -> bool:
    """True if nothing but blanks and comments stands between the literals around piece ``index``."""
    return 0 < index < count and _BLANK.fullmatch(pieces[index]) is not None


@lru_cache(maxsize=256)
def lexer_for(mode: LexMode) -> Lexer:
    """The lexer of a mode."""
    return Lexer(mode)
