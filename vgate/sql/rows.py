"""INSERT and REPLACE as text: their head, the rows of their VALUES list, and what follows.

Everything is positions in the client's own text, so that rows can be cut and joined without being understood. A list of
any length is read row by row (``ValueRows``), never whole. It does not know tables, and not what a value means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from vgate.sql.lexer import STRETCH, Lexer, LexError, LexMode, Slots, Token, TokenKind, VersionedComment, lexer_for
from vgate.sql.names import name_of

_VERBS: Final = (b"insert", b"replace")
_MODIFIERS: Final = (b"low_priority", b"delayed", b"high_priority", b"ignore")
_TAIL_WORDS: Final = (b"on", b"as", b"returning")


@dataclass(frozen=True, slots=True)
class InsertHead:
    """The part of an INSERT before its rows.

    ``name``: the table, one or two parts. ``columns``: None without a list, which ends with the parenthesis at
    ``list_end``. ``source``: the lower-case word that gives the rows (``values``, ``set``, ``select``...), which stands
    at ``source_start`` to ``source_end``.
    """

    verb: str
    modifiers: frozenset[str]
    name: tuple[str, ...]
    partitions: bool
    columns: tuple[str, ...] | None
    list_end: int
    source: str
    source_start: int
    source_end: int


class _Head:
    """Walks the tokens up to the rows, no further."""

    def __init__(self, text: bytes, mode: LexMode) -> None:
        self.text = text
        self.mode = mode
        self.list_end = 0
        self._tokens = lexer_for(mode).scan(text)
        self.token: Token | None = next(self._tokens, None)

    def word(self) -> bytes:
        """The token at hand in lower case; empty at the end."""
        return b"" if self.token is None else self.text[self.token.start : self.token.end].lower()

    def step(self) -> None:
        self.token = next(self._tokens, None)

    def error(self) -> LexError:
        return LexError(len(self.text) if self.token is None else self.token.start)

    def name(self) -> str:
        if self.token is None or self.token.kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME):
            raise self.error()
        name = name_of(self.text, self.token, self.mode)
        self.step()
        return name

    def names(self) -> tuple[str, ...]:
        """A name with its qualifiers."""
        parts = [self.name()]
        while self.word() == b".":
            self.step()
            parts.append(self.name())
        return tuple(parts)

    def columns(self) -> tuple[str, ...]:
        """A list of columns, after its opening parenthesis; without qualifiers, in lower case."""
        found: list[str] = []
        while self.word() != b")":
            found.append(self.names()[-1].lower())
            if self.word() == b",":
                self.step()
            elif self.word() != b")":
                raise self.error()
        assert self.token is not None
        self.list_end = self.token.start
        self.step()
        return tuple(found)


_SIMPLE: Final = rb"[^()'\"#/;-]"
_UP_TO_VALUES: Final = re.compile(
    rb"(?:" + _SIMPLE + rb"*\(" + _SIMPLE + rb"*\)\s*|" + _SIMPLE + rb"*?\s)values?(?=\s*\()", re.I
)
_LONGEST_KEPT: Final = 4096


def read_head(text: bytes, mode: LexMode) -> InsertHead:
    """The head of an INSERT or REPLACE. Raises LexError where it is none.

    Statements of one program have the same few heads, so what was read of them is kept: it depends on nothing behind.
    """
    found = _UP_TO_VALUES.match(text, 0, _LONGEST_KEPT)
    if found is not None:
        head = _kept_head(found[0], mode)
        if head is not None and head.source_end == found.end():
            return head
    return _read_head(text, mode)


@lru_cache(maxsize=512)
def _kept_head(text: bytes, mode: LexMode) -> InsertHead | None:
    try:
        return _read_head(text, mode)
    except LexError:
        return None


def _read_head(text: bytes, mode: LexMode) -> InsertHead:
    head = _Head(text, mode)
    if head.word() not in _VERBS:
        raise head.error()
    verb = head.word().decode()
    head.step()
    modifiers: set[str] = set()
    while head.word() in _MODIFIERS:
        modifiers.add(head.word().decode())
        head.step()
    if head.word() == b"into":
        head.step()
    name = head.names()
    if len(name) > 2:
        raise head.error()
    partitions = head.word() == b"partition"
    if partitions:
        head.step()
        head.step()
        head.columns()
    columns: tuple[str, ...] | None = None
    if head.word() == b"(":
        opening = head.token
        head.step()
        if head.word() in (b"select", b"with", b"(", b"values", b"table"):
            head.token = opening
        else:
            columns = head.columns()
    token = head.token
    if token is None:
        raise head.error()
    source = head.word().decode("ascii", "replace")
    return InsertHead(
        verb, frozenset(modifiers), name, partitions, columns, head.list_end,
        "values" if source == "value" else source, token.start, token.end,
    )  # fmt: skip


class Row(NamedTuple):
    """One row: from its opening to behind its closing parenthesis, and the place of each value."""

    start: int
    end: int
    values: tuple[tuple[int, int], ...]


class ValueRows:
    """The rows of an ``INSERT ... VALUES``, read as they are iterated. ``tail_start`` is known after the last one.

    ``plain`` is False once a row had parentheses, or what else takes a token at a time, in a value. Raises LexError
    where the text is none.
    """

    def __init__(self, text: bytes, mode: LexMode, head: InsertHead | None = None) -> None:
        head = head or read_head(text, mode)
        if head.source != "values":
            raise LexError(head.source_start)
        self.head = head
        self.keyword_start = head.source_start
        self.head_end = head.source_end
        self.tail_start = len(text)
        self.plain = True
        self._text = text
        self._lexer = lexer_for(mode)
        self._flat = _flat(self._lexer)

    def __iter__(self) -> Iterator[Row]:
        text = self._text
        row = self._row(self._blank(self.head_end))
        yield row
        at = row.end
        like_first: Match | None = None
        while text.startswith(b",", after := self._blank(at)):
            if like_first is None:
                like_first = _row_of(self._lexer, len(row.values))
            found = like_first(text, after)
            if found is None:
                row = self._row(self._blank(after + 1))
                yield row
                at = row.end
            while found is not None:  # the usual: a comma, and a row of as many plain values as the first
                regs = found.regs
                start, at = regs[1]
                if self.plain and text.find(b"(", start + 1, at) >= 0:
                    self.plain = False
                yield Row(start, at, regs[2:])
                found = like_first(text, at)
        self.tail_start = at

    def _row(self, start: int) -> Row:
        """The row at ``start``, a value at a time."""
        self.plain = False
        text, flat = self._text, self._flat.match
        if text[start : start + 1] != b"(":
            raise self._lexer.error(text, start) if start < len(text) else LexError(start)
        at = start + 1
        values: list[tuple[int, int]] = []
        while True:
            found = flat(text, at)
            end = at if found is None else found.end()
            byte = text[end : end + 1]
            if byte not in (b",", b")"):
                end = self._nested(at)
                byte = text[end : end + 1]
            values.append((at, end))
            at = end + 1
            if byte == b")":
                break
        if len(values) == 1 and self._blank(values[0][0]) >= values[0][1]:
            values = []
        return Row(start, at, tuple(values))

    def _blank(self, at: int) -> int:
        """Where blanks and comments that stand at ``at`` end."""
        step, text = self._lexer.step, self._text
        while text[at : at + 1] not in _BEFORE_AND_AFTER and (found := step(text, at)) and found[0] is None:
            at = found[1]
        return at

    def _nested(self, at: int) -> int:
        """The end of a value with parentheses, comments or other things in it that take a token at a time."""
        depth = 0
        text = self._text
        for token in self._lexer.scan(text, at):
            byte = text[token.start : token.end]
            if depth == 0 and byte in (b",", b")"):
                return token.start
            if token.kind is TokenKind.SEMICOLON:
                raise LexError(token.start)
            depth += (byte == b"(") - (byte == b")")
        raise LexError(len(text))


_BEFORE_AND_AFTER: Final = frozenset({b"(", b",", b")", b""})

SLICE: Final = 200
"""Rows that are read between two turns of other clients."""


# A sequence's value may be written without parentheses (s.nextval, MariaDB's NEXT VALUE FOR s): a plan has to see it.
# Each begins with plain letters, which Python's engine finds quickly in megabytes of text in lower case.
_OF_SEQUENCE: Final = tuple(
    re.compile(rb"%b(?<!\w%b)%b\b" % (word, word, rest))
    for word, rest in ((b"value", rb"\s++for"), (b"nextval", b""), (b"currval", b""), (b"lastval", b""))
)


def names_sequence(text: bytes) -> bool:
    """True if there may be a sequence's value somewhere in the text."""
    lower = text.lower()
    return any(one.search(lower) for one in _OF_SEQUENCE)


def insert_shape(text: bytes, mode: LexMode) -> Generator[None, None, tuple[bytes, Slots]]:
    """The shape of a long INSERT, as ``Lexer.split_slowly`` has it, but with all its rows as one.

    That one row has each expression there is, once, and no literals: rows that differ in where they have NULLs make no
    new shape, and no plan of an INSERT looks at its literals. Yields after every ``SLICE`` rows or ``STRETCH`` bytes.
    Raises LexError.
    """
    lexer = lexer_for(mode)
    if names_sequence(text):
        return (yield from lexer.split_slowly(text))
    if len(text) > STRETCH:
        yield
    expressions: dict[bytes, None] = {}
    try:
        rows = ValueRows(text, mode)
        flat = _flat(lexer).fullmatch
        seen: set[bytes] = set()
        turn = 0
        for number, row in enumerate(rows, 1):
            if row.end - turn > STRETCH:
                turn = row.end
                yield
            if not rows.plain:
                rows.plain = True
                for start, end in row.values:
                    raw = text[start:end]
                    if raw in seen or flat(raw):
                        continue
                    expressions[lexer.split(raw)[0].strip()] = None
                    if len(seen) < SLICE:
                        seen.add(raw)
            if number % SLICE == 0:
                yield
    except VersionedComment:
        raise
    except LexError:  # INSERT ... SELECT, and what the planner or a server will complain of
        return (yield from lexer.split_slowly(text))
    tail, _ = lexer.split(text[rows.tail_start :])
    return b"%b (%b)%b" % (text[: rows.head_end], b", ".join(expressions), tail), []


@lru_cache(maxsize=64)
def _flat(lexer: Lexer) -> re.Pattern[bytes]:
    """Matches a value made of literals, names and operators alone, up to the comma or parenthesis after it."""
    return re.compile(_flat_value(lexer))


def _flat_value(lexer: Lexer, inside: bytes = b"") -> bytes:
    return rb"(?:[A-Za-z0-9_.+* \t\r\n]++|-(?!-)|" + inside + lexer.strings + b")*+"


_MOST_VALUES: Final = 100


Match = Callable[[bytes, int], re.Match[bytes] | None]


def _never(text: bytes, at: int) -> None:
    return None


@lru_cache(maxsize=256)
def _row_of(lexer: Lexer, count: int) -> Match:
    """Matches a comma and a row of ``count`` such values or simple function calls; the groups are the row and they.

    Nothing for numbers of values for which that would not help.
    """
    if not 0 < count <= _MOST_VALUES:
        return _never
    call = rb"\((?:" + _flat_value(lexer) + rb",?+)*+\)|"
    values = b",".join([b"(" + _flat_value(lexer, call) + b")"] * count)
    some = rb"(?![ \t\r\n]*+\))" if count == 1 else b""  # () is a row of no values
    return re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+(\(" + some + values + rb"\))").match


@dataclass(frozen=True, slots=True)
class Assignments:
    """The SET part of an INSERT: columns in lower case, the places of their names and values, and where the tail
    starts.
    """

    columns: tuple[str, ...]
    names: tuple[tuple[int, int], ...]
    values: tuple[tuple[int, int], ...]
    tail_start: int


def read_assignments(text: bytes, mode: LexMode, head: InsertHead) -> Assignments:
    """The assignments of ``INSERT ... SET``. Raises LexError."""
    tokens = list(lexer_for(mode).scan(text, head.source_end))
    words = [text[token.start : token.end].lower() for token in tokens]
    columns: list[str] = []
    names: list[tuple[int, int]] = []
    values: list[tuple[int, int]] = []
    at = 0
    while True:
        equals = next((i for i in range(at, min(at + 6, len(words))) if words[i] in (b"=", b":=")), None)
        if equals is None or equals == at or equals + 1 >= len(tokens):
            raise LexError(tokens[at].start if at < len(tokens) else len(text))
        columns.append(name_of(text, tokens[equals - 1], mode).lower())
        names.append((tokens[equals - 1].start, tokens[equals - 1].end))
        end = _end_of_value(words, equals + 1)
        if end == equals + 1:
            raise LexError(tokens[equals].start)
        values.append((tokens[equals + 1].start, tokens[end - 1].end))
        if end >= len(words) or words[end] != b",":
            tail = tokens[end].start if end < len(words) else len(text)
            return Assignments(tuple(columns), tuple(names), tuple(values), tail)
        at = end + 1


def _end_of_value(words: list[bytes], at: int) -> int:
    depth = 0
    while at < len(words):
        word = words[at]
        if depth == 0 and (word in (b",", b";") or word in _TAIL_WORDS):
            return at
        depth += (word == b"(") - (word == b")")
        at += 1
    return at


def values_form(text: bytes, mode: LexMode, head: InsertHead) -> bytes:
    """``INSERT ... SET a = 1`` written as ``INSERT ... (a) VALUES (1)``; other texts as they are."""
    if head.source != "set":
        return text
    found = read_assignments(text, mode, head)
    columns = b", ".join(text[start:end] for start, end in found.names)
    values = b", ".join(text[start:end] for start, end in found.values)
    return b"".join(
        (text[: head.source_start], b"(", columns, b") VALUES (", values, b") ", text[found.tail_start :])
    )
