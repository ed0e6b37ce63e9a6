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
stay in the shape, as does one that touches a question mark of the client's own; that is doubled.

This module does not know grammar: it gives tokens their kind and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
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


def same_characters(one: LexMode, other: LexMode) -> bool:
    """True if bytes are the same characters under both."""
    return (one.charset, one.transcodes) == (other.charset, other.transcodes)


def reads_otherwise(text: bytes, then: LexMode, now: LexMode) -> bool:
    """True if a text may be read otherwise under another mode."""
    return (
        (then.ansi_quotes != now.ansi_quotes and b'"' in text)
        or (then.no_backslash_escapes != now.no_backslash_escapes and b"\\" in text)
        or (then.pipes_as_concat != now.pipes_as_concat and b"||" in text)
        or (not same_characters(then, now) and not text.isascii())
        or (then.charset != now.charset and "swe7" in (then.charset, now.charset))
    )


def says_nothing(text: bytes) -> bool:
    """True for blanks and comments alone."""
    return _SILENT.fullmatch(text) is not None


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
MULTI_BYTE: Final = {
    "big5": rb"[\xa1-\xf9][\x40-\x7e\xa1-\xfe]",
    "cp932": rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]",
    "sjis": rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]",
    "gbk": rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]",
    "gb18030": rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39])",
    "euckr": rb"[\x81-\xfe][\x41-\x5a\x61-\x7a\x81-\xfe]",
}
_UTF8: Final = frozenset({"utf8", "utf8mb3", "utf8mb4"})

_COMMENT: Final = rb"/\*(?!M?!)[^\x00]*?\*/|#[^\n\x00]*+|--(?=[\x01-\x20\x7f]|\Z)[^\n\x00]*+"

# What stands for itself. Left out: quotes, @, digits, letters, blanks, #, ?, and ; (which ends statements). Brackets
# are no SQL, but quotes under MariaDB's sql_mode MSSQL.
_SINGLE: Final = rb"!%&()*+,:<=>|^~{}"
SWE7_NAMING: Final = b"[]^{}~"
"""Letters in swe7, of which names are made there."""
_SINGLE_SWE7: Final = rb"!%&()*+,:<=>|"
"""In swe7 the others are letters; so is a backslash to MySQL, but not to MariaDB."""
_SOMETIMES: Final = rb"-(?!-(?:[\x01-\x20\x7f]|\Z))|/(?!\*)|\.(?![0-9])"


class _Patterns:
    """The regular expressions of one mode, made of the same pieces. Each alternative begins with what tells it from
    the others, as Python's engine looks at the first character before it tries one.
    """

    def __init__(self, mode: LexMode) -> None:
        multi = MULTI_BYTE.get(mode.charset, b"")
        skip_multi = b"(?:" + multi + rb")++|[\x80-\xff]|" if multi else b""
        swe7 = mode.charset == "swe7"
        high = rb"\x80-\xff" if mode.charset in _UTF8 else re.escape(SWE7_NAMING) if swe7 else b""

        def run(*stops: bytes) -> bytes:
            """All bytes up to one of ``stops``, and to one that may begin a longer character.

            Python's engine takes a range at a time far more quickly than all but a few.
            """
            ends = sorted({*map(ord, stops), *([0x80] if multi else [])})
            if len(ends) == 1:
                return rb"[^\x%02x]++" % ends[0]
            ranges = zip([0, *(end + 1 for end in ends)], [*(end - 1 for end in ends), 0xFF], strict=True)
            return b"[" + b"".join(
                rb"\x%02x-\x%02x" % (low, top) for low, top in ranges if low <= top and not (multi and low > 0x80)
            ) + b"]++"  # fmt: skip

        def text(quote: bytes) -> bytes:
            """A string: a backslash takes one *byte* with it, even the first of a longer character (get_text)."""
            if mode.no_backslash_escapes:
                return quote + b"(?:" + run(quote) + b"|" + skip_multi + quote * 2 + b")*+" + quote
            inside = run(quote, b"\\") + b"|" + skip_multi + rb"\\[\x00-\xff]|" + quote * 2
            return quote + b"(?:" + inside + b")*+" + quote

        def name(quote: bytes) -> bytes:
            """A quoted name: nothing escapes in it. It may be empty (``select 1 as ````)."""
            return quote + b"(?:" + run(quote, b"\0") + b"|" + skip_multi + quote * 2 + b")*+" + quote

        single, double, backquoted = text(b"'"), text(b'"'), name(b"`")
        if mode.ansi_quotes:
            double = name(b'"')
        part = rb"[A-Za-z0-9_$" + high + rb"]"
        self.part = part
        self.quoted_name = backquoted + (b"|" + double if mode.ansi_quotes else b"")
        # A name may begin with digits, unless they are a number. One that begins with $ and has another is the
        # opening of a $$-quoted text to MySQL 9, so no alternative takes it.
        starts = (
            b"[ac-mo-wyzAC-MO-WYZ_" + high + b"]" + part + b"*+",
            b"[xXbBnN](?!')" + part + b"*+",
            rb"\$(?![A-Za-z0-9_" + high + rb"]*+\$)" + part + b"*+",
            rb"(?!0x[0-9A-Fa-f]++(?!" + part + rb")|0b[01]++(?!" + part + rb"))"
            rb"[0-9]++(?![eE][+-]?[0-9])" + part + b"++",
        )  # fmt: skip
        self.names = starts
        self.string = single + b"|" + (b"" if mode.ansi_quotes else double + b"|") + b"[nN]" + single
        self.hex = rb"[xX]'(?:[0-9A-Fa-f]{2})*+'|0x[0-9A-Fa-f]++(?!" + part + b")"
        self.bit = rb"[bB]'[01]*+'|0b[01]++(?!" + part + b")"
        # 1.5e without digits is an error to the server; so it is to us, as no alternative takes it.
        self.number = (
            rb"[0-9][0-9]*+(?:[eE][+-]?[0-9]++|(?!" + part + rb"|\.))"
            rb"|[0-9][0-9]*+\.[0-9]*+(?:[eE][+-]?[0-9]++|(?![eE]))"
            rb"|\.[0-9]++(?:[eE][+-]?[0-9]++|(?![eE]))"
        )
        # Right after an unquoted name and a dot, anything that can be in a name is one: t.1e5, t.x'41'.
        self.dots = rb"(?:\." + part + b"++)*+"
        self.system = b"@@" + part + b"++"
        self.variable = (
            b"@@" + backquoted + rb"|@(?!@)(?:[A-Za-z0-9._$" + high + rb"]++|"
            + b"|".join((backquoted, single, double)) + b")?"
        )  # fmt: skip
        self.single = _SINGLE_SWE7 if swe7 else _SINGLE
        self.sometimes = _SOMETIMES if swe7 else _SOMETIMES + rb"|\\N"


_VERSIONED: Final = re.compile(rb"/\*M?!")
_DOLLAR: Final = re.compile(rb"\$[A-Za-z0-9_\x80-\xff]*+\$")
_IN_BEFORE: Final = re.compile(rb"(?<![\w$.`@\x80-\xff])in\s*\(\s*\Z", re.I)
_CLOSE_AFTER: Final = re.compile(rb"\s*\)")
_COMMA: Final = re.compile(rb"\s*,\s*")
# Between two literals every comment has an end.
_INNER_COMMENT: Final = rb"/\*[^\x00]*?\*/|(?:#|--(?=[\x01-\x20\x7f]))[^\n]*+\n"
_SILENT: Final = re.compile(rb"(?:\s|" + _COMMENT + rb")*+")
_BLANK: Final = re.compile(rb"(?:\s|" + _INNER_COMMENT + rb")*+")
_INSERT: Final = re.compile(rb"(?:\s|" + _COMMENT + rb")*+(?:insert|replace)\b", re.I)
# Rows of a VALUES list, with function calls in them, but nothing that quotes or comments.
_PLAIN: Final = rb"(?:[^()'\"`/#-]|-(?!-)|/(?!\*))"
_ROW: Final = (
    rb"\((?:" + _PLAIN + rb"|\((?:" + _PLAIN + rb"|\(" + _PLAIN + rb"*+\))*+\))*+\)"
)  # fmt: skip
_VALUES: Final = re.compile(
    rb"(?<![\w$.`@\x80-\xff])values?\s*+(" + _ROW + rb"(?:\s*+,\s*+" + _ROW + rb")++)", re.I
)
_SAME_ROWS: Final = re.compile(rb"(" + _ROW + rb")(?:\s*+,\s*+\1)*+")
_EACH_ROW: Final = re.compile(_ROW)
# What calls for care: literals side by side, IN lists, rows of an INSERT.
_SIDE_BY_SIDE: Final = re.compile(rb"\?(?:\s|" + _INNER_COMMENT + rb")*+\?")
_LIST: Final = re.compile(rb"\(\s*+\?\s*+,")
_IN_LIST: Final = re.compile(rb"in\s*+\(\s*+\?\s*+,", re.I)
_IN_LISTS: Final = re.compile(rb"((?<![\w$.`@\x80-\xff])in\s*+\(\s*+)(\?(?:\s*+,\s*+\?)++)(?=\s*+\))", re.I)
_ROWS: Final = re.compile(rb"\)\s*+,\s*+\(")

_NOTHING: Final[Mapping[bytes, int]] = {}

SLICE: Final = 4000
"""Literals or tokens of a long text that are read between two turns of other clients."""

STRETCH: Final = 1 << 20
"""Bytes after which others have a turn, too, however few literals they are."""


def plain(shape: bytes, slots: int) -> bool:
    """True if the text whose pieces between literals are joined to ``shape`` needs no care: that is its shape then."""
    return not (
        shape.count(b"?") != slots
        or _SIDE_BY_SIDE.search(shape)
        or (b"," in shape and _LIST.search(shape) and _IN_LIST.search(shape))
        or (b"," in shape and _ROWS.search(shape) and _INSERT.match(shape))
    )


class Lexer:
    """The lexer of one mode. Stateless; get it from ``lexer_for``."""

    def __init__(self, mode: LexMode) -> None:
        self.mode = mode
        p = _Patterns(mode)
        single = rb"[ \t\n\v\f\r;?" + p.single + b"]"
        letters, prefixes, dollars, digits = p.names
        # The first branch says nothing that the next do not: it takes a usual name and what follows it in one turn, as
        # most of most statements is. Nor do the digits alone among the literals.
        skip = b"|".join((
            letters + single + single + b"*+", letters + p.dots + single + b"*+", prefixes + p.dots + single + b"*+",
            single + single + b"*+", b"(?:" + p.quoted_name + b")" + single + b"*+", digits + p.dots, dollars + p.dots,
            p.system + p.dots, p.variable, _COMMENT, p.sometimes,
        ))  # fmt: skip
        literal = b"|".join((rb"[0-9][0-9]*+(?!" + p.part + rb"|\.)", p.string, p.number, p.hex, p.bit))
        # The last group takes all the rest, so that one error is the end.
        step = b"((?:" + skip + b")*+)(?:(" + literal + rb")|\Z|([\x00-\xff])[\x00-\xff]*+)"
        self._step = re.compile(step)
        self._findall: Callable[[bytes], list[tuple[bytes, bytes, bytes]]] = self._step.findall
        kinds = (
            ("NAME", b"|".join(p.names)), ("blank", rb"[ \t\n\v\f\r]++|" + _COMMENT),
            ("PUNCTUATION", rb":=|\|\||[" + p.single + b"]|" + p.sometimes), ("NUMBER", p.number),
            ("STRING", p.string), ("QUOTED_NAME", p.quoted_name), ("HEX", p.hex), ("BIT", p.bit),
            ("SYSTEM", p.system), ("VARIABLE", p.variable), ("SEMICOLON", b";"), ("PARAMETER", rb"\?"),
        )  # fmt: skip
        self.strings = p.string
        """What a string looks like, for other regular expressions."""
        self._token = re.compile(b"|".join(b"(?P<%s>%s)" % (name.encode(), pattern) for name, pattern in kinds))
        self._part = re.compile(rb"\." + p.part + b"++")
        self._not_code = re.compile(b"|".join((p.string, p.quoted_name, _COMMENT)))

    # -- shapes ---------------------------------------------------------------------------------------------------

    def split(self, text: bytes, known: Mapping[bytes, int] = _NOTHING) -> tuple[bytes, Slots]:
        """(shape, slots) of a statement. The fast path. Raises LexError.

        ``known`` says of shapes that they are ``plain`` with so many slots: they are not looked at again.
        """
        found = self._findall(text)
        if len(found) < 4:  # of one literal, as many statements are: the same in fewer steps
            piece, literal, error = found[0]
            if literal:
                tail, another, error = found[1]
                if not another and not error:
                    shape = b"%b?%b" % (piece, tail)
                    if known.get(shape) == 1 or plain(shape, 1):
                        return shape, [literal]
        if len(found) > 1 and not found[-2][1]:
            del found[-1]  # the empty match after the end
        pieces, literals, errors = zip(*found)  # noqa: B905 - strict would cost a tenth of the whole
        if errors[-1]:
            raise self._error_after(text, pieces, literals)
        shape = b"?".join(pieces)
        count = len(literals) - 1
        if known.get(shape) == count or plain(shape, count):
            return shape, list(literals[:-1])
        return self._with_care(pieces, literals)

    def split_slowly(self, text: bytes) -> Generator[None, None, tuple[bytes, Slots]]:
        """``split`` of a long statement in steps: yields after every ``SLICE`` literals, and after long ones."""
        pieces: list[bytes] = []
        literals: list[bytes] = []
        for number, match in enumerate(self._step.finditer(text), 1):
            piece, literal, error = match.groups(b"")
            pieces.append(piece)
            literals.append(literal)
            if error:
                raise self._error_after(text, pieces, literals)
            if not literal:
                break
            if number % SLICE == 0 or len(literal) > STRETCH:
                yield
        return self._with_care(tuple(pieces), tuple(literals))

    def locate(self, text: bytes) -> tuple[bytes, Slots, list[tuple[int, int]]]:
        """As ``split``, with the place in ``text`` of each slot (of a list: from its first literal to its last)."""
        found = self._findall(text)
        if len(found) > 1 and not found[-2][1]:
            del found[-1]
        pieces, literals, errors = zip(*found, strict=True)
        if errors[-1]:
            raise self._error_after(text, pieces, literals)
        return self._careful(pieces, literals)

    def _with_care(self, pieces: tuple[bytes, ...], literals: tuple[bytes, ...]) -> tuple[bytes, Slots]:
        """Shape and slots of what may not be plain: what ``_careful`` says, quickly where there are lists or rows."""
        shape = b"?".join(pieces)
        if shape.count(b"?") == len(literals) - 1 and not _SIDE_BY_SIDE.search(shape):
            if _INSERT.match(shape):
                return self._folded(shape) if _ROWS.search(shape) else shape, list(literals[:-1])
            if not (_LIST.search(shape) and _IN_LIST.search(shape)):
                return shape, list(literals[:-1])
            if b"--" not in shape and b"#" not in shape:
                return _with_lists(shape, literals)
        shape, slots, _ = self._careful(pieces, literals)
        return shape, slots

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
            last = index if insert else self._last_of_list(pieces, index, count)
            after = pieces[last + 1]
            touched = piece[-1:] == b"?" or after[:1] == b"?"
            if touched or _beside(pieces, index, count) or _beside(pieces, last + 1, count):
                parts.append(literals[index])
                last = index
            else:
                parts.append(b"?")
                slots.append(literals[index] if last == index else list(literals[index : last + 1]))
                places.append((starts[index], starts[last] + len(literals[last])))
            index = last + 1
        tail = pieces[count]
        parts.append(tail if b"?" not in tail else tail.replace(b"?", b"??"))
        shape = b"".join(parts)
        if insert and _ROWS.search(shape):
            shape = self._folded(shape)
        return shape, slots, places

    def _last_of_list(self, pieces: tuple[bytes, ...], index: int, count: int) -> int:
        """The last literal of the IN list that literal ``index`` begins; the literal itself where it begins none."""
        piece = pieces[index]
        opening = _IN_BEFORE.search(piece)
        if opening is None:
            return index
        if (b"--" in piece or b"#" in piece) and opening.start() not in (token.start for token in self.scan(piece)):
            return index  # the IN is part of a comment
        last = index
        while last + 1 < count and _COMMA.fullmatch(pieces[last + 1]):
            last += 1
        return index if _CLOSE_AFTER.match(pieces[last + 1]) is None else last

    def _folded(self, shape: bytes) -> bytes:
        """An INSERT's shape with rows of the VALUES list that look alike as one, wherever they stand in it."""
        found = _VALUES.search(shape)
        if found is None:
            return shape
        before = self._not_code.sub(b"", shape[: found.start()])
        if before.count(b"(") != before.count(b")"):  # a function or a derived table
            return shape
        kinds = dict.fromkeys(_EACH_ROW.findall(_SAME_ROWS.sub(rb"\1", found[1])))
        return shape[: found.start(1)] + b", ".join(kinds) + shape[found.end(1) :]

    # -- tokens ---------------------------------------------------------------------------------------------------

    def tokens(self, text: bytes) -> list[Token]:
        """All tokens but comments. Raises LexError."""
        return list(self.scan(text))

    def scan(self, text: bytes, at: int = 0) -> Iterator[Token]:
        """The tokens from ``at`` on, one by one. Raises LexError where it meets what cannot be read."""
        match = self._token.match
        size = len(text)
        while at < size:
            found = match(text, at)
            if found is None:
                raise self.error(text, at)
            end = found.end()
            name = found.lastgroup
            if name != "blank":
                assert name is not None
                yield Token(_KINDS[name], at, end)
                if name == "NAME" or name == "SYSTEM":
                    while (part := self._part.match(text, end)) is not None:
                        yield Token(TokenKind.PUNCTUATION, end, end + 1)
                        at, end = end, part.end()
                        yield Token(TokenKind.NAME, at + 1, end)
            at = end

    def step(self, text: bytes, at: int) -> tuple[TokenKind | None, int] | None:
        """Kind and end of what stands at ``at``: a token (a name with its qualifiers), or (None) blanks or a comment;
        None for what is neither.
        """
        found = self._token.match(text, at)
        if found is None:
            return None
        name, end = found.lastgroup, found.end()
        assert name is not None
        if name == "NAME" or name == "SYSTEM":
            while (part := self._part.match(text, end)) is not None:
                end = part.end()
        return _KINDS.get(name), end

    # -- errors ---------------------------------------------------------------------------------------------------

    def _error_after(self, text: bytes, pieces: Sequence[bytes], literals: Sequence[bytes]) -> LexError:
        return self.error(text, sum(map(len, pieces)) + sum(map(len, literals)))

    def error(self, text: bytes, at: int) -> LexError:
        """Why the text cannot be read at ``at``."""
        if _VERSIONED.match(text, at):
            return VersionedComment(at)
        if text[at] >= 0x80 and self.mode.charset not in _UTF8:
            return LexError(at, f"names with {self.mode.charset} characters must be in backquotes")
        if _DOLLAR.match(text, at):
            return LexError(at, "text in dollar quotes, and names that look like it, are not supported")
        return LexError(at)


_KINDS: Final = {kind.name: kind for kind in TokenKind} | {"SYSTEM": TokenKind.VARIABLE}


def _with_lists(shape: bytes, literals: tuple[bytes, ...]) -> tuple[bytes, Slots]:
    """``Lexer._careful`` for a shape in which every question mark is a literal, and no IN stands in a line comment."""
    parts: list[bytes] = []
    slots: Slots = []
    at = index = 0
    for found in _IN_LISTS.finditer(shape):
        first = index + shape.count(b"?", at, found.start())
        last = first + found[2].count(b"?")
        slots += literals[index:first]
        slots.append(list(literals[first:last]))
        parts += (shape[at : found.end(1)], b"?")
        at, index = found.end(2), last
    parts.append(shape[at:])
    slots += literals[index:-1]
    return b"".join(parts), slots


def _beside(pieces: tuple[bytes, ...], index: int, count: int) -> bool:
    """True if nothing but blanks and comments stands between the literals around piece ``index``."""
    return 0 < index < count and _BLANK.fullmatch(pieces[index]) is not None


@lru_cache(maxsize=256)
def lexer_for(mode: LexMode) -> Lexer:
    """The lexer of a mode."""
    return Lexer(mode)
