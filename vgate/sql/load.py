"""LOAD DATA as text: where its file is, its table, how the file is written, which columns it has.

Read from tokens, as sqlglot does not know the statement. It does not know tables, nor the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vgate.sql.lexer import LexError, LexMode, Token, TokenKind, lexer_for
from vgate.sql.literals import read_literal
from vgate.sql.names import name_of

_QUOTES: Final = (b"'", b'"')


@dataclass(frozen=True, slots=True)
class LoadFormat:
    """The clauses FIELDS, LINES and IGNORE n LINES. The defaults are those of servers."""

    field_end: bytes = b"\t"
    enclosed: bytes = b""
    optionally: bool = False
    escaped: bytes = b"\\"
    line_start: bytes = b""
    line_end: bytes = b"\n"
    skip: int = 0


@dataclass(frozen=True, slots=True)
class LoadHead:
    """A LOAD DATA statement. ``name``: the table, one or two parts. ``on_duplicate``: ``replace``, ``ignore`` or empty.

    ``columns``: None without a list; a user variable in it keeps its ``@``. ``columns_at``: where the list begins, or
    would; ``columns_end``: where it ends. ``sets``: True with a SET clause, or with what is not known. ``skip_at``: the
    IGNORE n LINES clause, empty where there is none.
    """

    xml: bool
    local: bool
    concurrent: bool
    on_duplicate: str
    name: tuple[str, ...]
    partitions: bool
    charset: str
    format: LoadFormat
    columns: tuple[str, ...] | None
    sets: bool
    skip_at: tuple[int, int]
    columns_at: int
    columns_end: int


class _Reader:
    """Walks the tokens of the statement."""

    def __init__(self, text: bytes, mode: LexMode) -> None:
        self.text = text
        self.mode = mode
        self.tokens = lexer_for(mode).tokens(text)
        self.at = 0
        self.skip_at = (0, 0)

    @property
    def token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def word(self) -> bytes:
        token = self.token
        return b"" if token is None else self.text[token.start : token.end].lower()

    def take(self, *words: bytes) -> bytes:
        """The word at hand, if it is one of these; else nothing, and it stays."""
        found = self.word()
        if found not in words:
            return b""
        self.at += 1
        return found

    def need(self, *words: bytes) -> bytes:
        found = self.take(*words)
        if not found:
            raise self.error()
        return found

    def error(self) -> LexError:
        token = self.token
        return LexError(len(self.text) if token is None else token.start)

    def name(self) -> str:
        token = self.token
        if token is None or token.kind is TokenKind.STRING:
            raise self.error()
        self.at += 1
        return name_of(self.text, token, self.mode)

    def string(self) -> bytes:
        """A string's value in bytes. Raises LexError."""
        token = self.token
        if token is None:
            raise self.error()
        literal = read_literal(self.text[token.start : token.end], self.mode)
        if not isinstance(literal.value, bytes):
            raise self.error()
        self.at += 1
        return literal.value


def read_load(text: bytes, mode: LexMode) -> LoadHead:
    """Read a LOAD DATA (or LOAD XML, of which only the head is). Raises LexError where it is none."""
    reader = _Reader(text, mode)
    reader.need(b"load")
    xml = reader.need(b"data", b"xml") == b"xml"
    concurrent = bool(reader.take(b"low_priority", b"concurrent"))
    reader.take(b"from")  # this, and the order, are MySQL's
    local = bool(reader.take(b"local"))
    reader.need(b"infile")
    reader.string()
    if reader.take(b"in"):
        reader.need(b"primary")
        reader.need(b"key")
        reader.need(b"order")
    on_duplicate = reader.take(b"replace", b"ignore").decode()
    reader.need(b"into")
    reader.need(b"table")
    name = _dotted(reader)
    partitions = bool(reader.take(b"partition"))
    format_, charset, columns, sets, columns_at, columns_end = LoadFormat(), "", None, True, 0, 0
    if not xml and not partitions:
        charset = _charset(reader)
        format_ = _format(reader)
        columns_at = len(text) if reader.token is None else reader.token.start
        columns = _columns(reader)
        columns_end = reader.tokens[reader.at - 1].end if columns is not None else columns_at
        reader.take(b";")
        sets = reader.token is not None
    return LoadHead(xml, local, concurrent, on_duplicate, name, partitions, charset, format_, columns, sets,
                    reader.skip_at, columns_at, columns_end)  # fmt: skip


def _dotted(reader: _Reader) -> tuple[str, ...]:
    reader.take(b".")  # MariaDB: in the database that is in use
    parts = [reader.name()]
    while reader.take(b"."):
        parts.append(reader.name())
    return tuple(parts)


def _charset(reader: _Reader) -> str:
    if reader.take(b"charset") or (reader.take(b"character") and reader.need(b"set")):
        token = reader.token
        if token is not None and token.kind is TokenKind.STRING:
            return reader.string().decode("latin-1").lower()
        return reader.name().lower()
    return ""


def _format(reader: _Reader) -> LoadFormat:
    given: dict[str, bytes] = {}
    optionally = False
    skip = 0
    if reader.take(b"fields", b"columns"):
        while what := reader.take(b"terminated", b"optionally", b"enclosed", b"escaped"):
            if what == b"optionally":
                optionally = True
                what = reader.need(b"enclosed")
            reader.need(b"by")
            key = {b"terminated": "field_end", b"enclosed": "enclosed", b"escaped": "escaped"}[what]
            given[key] = reader.string()
    if reader.take(b"lines"):
        while what := reader.take(b"starting", b"terminated"):
            reader.need(b"by")
            given["line_start" if what == b"starting" else "line_end"] = reader.string()
    begin = reader.at
    if reader.take(b"ignore"):
        number = reader.word()
        if not number.isdigit():
            raise reader.error()
        skip = int(number)
        reader.at += 1
        reader.need(b"lines", b"rows")
        reader.skip_at = (reader.tokens[begin].start, reader.tokens[reader.at - 1].end)
    return LoadFormat(optionally=optionally, skip=skip, **given)


def _columns(reader: _Reader) -> tuple[str, ...] | None:
    if not reader.take(b"("):
        return None
    names: list[str] = []
    if reader.take(b")"):
        return None
    while True:
        token = reader.token
        if token is not None and token.kind is TokenKind.VARIABLE:
            reader.at += 1
            names.append(reader.text[token.start : token.end].decode("utf-8", "replace"))
        else:
            names.append(_dotted(reader)[-1])
        if reader.take(b")"):
            return tuple(names)
        reader.need(b",")
