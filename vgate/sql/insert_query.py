"""INSERT and REPLACE ... SELECT: where the query is, and the same statement with rows in its place.

It does not know what is inserted, nor where.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vgate.sql.lexer import LexMode, TokenKind, lexer_for
from vgate.sql.rows import InsertHead, read_head

QUERIES: Final = frozenset({"(", "select", "with", "table"})
"""What a query begins with."""


@dataclass(frozen=True, slots=True)
class InsertQueryText:
    """``query``: the text of the query; ``tail``: what follows it, ON DUPLICATE KEY UPDATE or RETURNING."""

    head: InsertHead
    before: bytes
    query: bytes
    tail: bytes

    @property
    def tail_words(self) -> list[bytes]:
        """The first two words of the tail, in lower case."""
        return self.tail.lower().split()[:2]

    def with_row(self, row: bytes) -> bytes:
        """The statement with a query of one row, whose values are in parentheses here: for the rules for several."""
        return b"%b SELECT %b %b" % (self.before.rstrip(), row[1:-1], self.tail)

    def with_rows(self, rows: Iterable[bytes]) -> bytes:
        """The statement with these rows, each in its parentheses."""
        return b"%b VALUES %b %b" % (self.before.rstrip(), b", ".join(rows), self.tail)


def read_insert_query(text: bytes, mode: LexMode) -> InsertQueryText | None:
    """The parts of an INSERT whose rows are a query's; None for one of another form. Raises LexError."""
    head = read_head(text, mode)
    if head.source not in QUERIES:
        return None
    depth, before, started, end = 0, b"", 0, len(text)
    for token in lexer_for(mode).scan(text):
        if token.start < head.source_start:
            continue
        word = text[token.start : token.end].lower() if token.kind is not TokenKind.QUOTED_NAME else b"`"
        if word == b";" and token.kind is TokenKind.SEMICOLON:
            end = min(end, token.start)
            break
        depth += (word == b"(") - (word == b")")
        if depth == 0 and word == b"duplicate" and before == b"on":
            end = started
            break
        if depth == 0 and word == b"returning" and before not in (b",", b"select", b"."):
            end = token.start
            break
        before, started = word, token.start
    return InsertQueryText(head, text[: head.source_start], text[head.source_start : end], text[end:])
