"""INSERT and REPLACE as text: their head, the rows of their VALUES list, and what follows.

Everything is positions in the client's own text, so that rows can be cut and joined without being understood. A list of
any length is read row by row (``ValueRows``), never whole. It does not know tables, and not what a value means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from vgate.sql.lexer import LexError, LexMode, Token, TokenKind, lexer_for
from vgate.sql.names import name_of

_VERBS: Final = (b"insert", b"replace")
_MODIFIERS: Final = (b"low_priority", b"delayed", b"high_priority", b"ignore")
_TAIL_WORDS: Final = (b"on", b"as", b"returning")


@dataclass(frozen=True, slots=True)
class InsertHead:
    """The part of an INSERT before its rows.

    ``name``: the table, one or two parts. ``columns``: None without a list. ``source``: the lower-case word that gives
    the rows (``values``, ``set``, ``select``...), which stands at ``source_start`` to ``source_end``.
    """

    verb: str
    modifiers: frozenset[str]
    name: tuple[str, ...]
    partitions: bool
    columns: tuple[str, ...] | None
    source: str
    source_start: int
    source_end: int


class _Head:
    """Walks the tokens up to the rows, no further."""

    def __init__(self, text: bytes, mode: LexMode) -> None:
        self.text = text
        self.mode = mode
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
        self.step()
        return tuple(found)


def read_head(text: bytes, mode: LexMode) -> InsertHead:
    """The head of an INSERT or REPLACE. Raises LexError where it is none."""
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
        verb, frozenset(modifiers), name, partitions, columns, "values" if source == "value" else source,
        token.start, token.end,
    )  # fmt: skip


class Row(NamedTuple):
    """One row: from its opening to behind its closing parenthesis, and the place of each value."""

    start: int
    end: int
    values: tuple[tuple[int, int], ...]


class ValueRows:
    """The rows of an ``INSERT ... VALUES``, read as they are iterated. ``tail_start`` is known after the last one.

    Raises LexError where the text is none.
    """

    def __init__(self, text: bytes, mode: LexMode, head: InsertHead | None = None) -> None:
        head = head or read_head(text, mode)
        if head.source != "values":
            raise LexError(head.source_start)
        self.head = head
        self.keyword_start = head.source_start
        self.head_end = head.source_end
        self.tail_start = len(text)
        self._text = text
        self._mode = mode
        self._flat = _flat(mode)

    def __iter__(self) -> Iterator[Row]:
        text, flat = self._text, self._flat.match
        at = self._blank(self.head_end)
        while True:
            if text[at : at + 1] != b"(":
                raise LexError(at)
            start = at
            at += 1
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
            yield Row(start, at, tuple(values))
            after = self._blank(at)
            if text[after : after + 1] != b",":
                self.tail_start = at
                return
            at = self._blank(after + 1)

    def _blank(self, at: int) -> int:
        """Where blanks and comments that stand at ``at`` end."""
        step = lexer_for(self._mode).step
        while (found := step(self._text, at)) is not None and found[0] is None:
            at = found[1]
        return at

    def _nested(self, at: int) -> int:
        """The end of a value with parentheses, comments or other things in it that take a token at a time."""
        depth = 0
        text = self._text
        for token in lexer_for(self._mode).scan(text, at):
            byte = text[token.start : token.end]
            if depth == 0 and byte in (b",", b")"):
                return token.start
            if token.kind is TokenKind.SEMICOLON:
                raise LexError(token.start)
            depth += (byte == b"(") - (byte == b")")
        raise LexError(len(text))


_FLAT: Final[dict[LexMode, re.Pattern[bytes]]] = {}


def _flat(mode: LexMode) -> re.Pattern[bytes]:
    """Matches a value made of literals, names and operators alone, up to the comma or parenthesis after it."""
    found = _FLAT.get(mode)
    if found is None:
        strings = lexer_for(mode).strings
        found = _FLAT[mode] = re.compile(rb"(?:[A-Za-z0-9_.+* \t\r\n]++|-(?!-)|" + strings + b")*+")
    return found


@dataclass(frozen=True, slots=True)
class Assignments:
    """The SET part of an INSERT: columns in lower case, the place of each value, and where the tail starts."""

    columns: tuple[str, ...]
    values: tuple[tuple[int, int], ...]
    tail_start: int


def read_assignments(text: bytes, mode: LexMode, head: InsertHead) -> Assignments:
    """The assignments of ``INSERT ... SET``. Raises LexError."""
    tokens = list(lexer_for(mode).scan(text, head.source_end))
    words = [text[token.start : token.end].lower() for token in tokens]
    columns: list[str] = []
    values: list[tuple[int, int]] = []
    at = 0
    while True:
        equals = next((i for i in range(at, min(at + 6, len(words))) if words[i] in (b"=", b":=")), None)
        if equals is None or equals == at or equals + 1 >= len(tokens):
            raise LexError(tokens[at].start if at < len(tokens) else len(text))
        columns.append(name_of(text, tokens[equals - 1], mode).lower())
        end = _end_of_value(words, equals + 1)
        if end == equals + 1:
            raise LexError(tokens[equals].start)
        values.append((tokens[equals + 1].start, tokens[end - 1].end))
        if end >= len(words) or words[end] != b",":
            return Assignments(tuple(columns), tuple(values), tokens[end].start if end < len(words) else len(text))
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
    columns = b", ".join(b"`" + name.replace("`", "``").encode() + b"`" for name in found.columns)
    values = b", ".join(text[start:end] for start, end in found.values)
    return b"".join(
        (text[: head.source_start], b"(", columns, b") VALUES (", values, b") ", text[found.tail_start :])
    )
