"""SHOW statements that list what all databases of a server have: without databases that vgate keeps to itself.

These are other shards' and other keyspaces', as far as they are not called like a keyspace. Where a FROM names a
database there is nothing to do. Lists of tables come without those that vgate keeps in the metadata keyspace: a LIKE is
a part of their headings, so rows are left out on their way to the client. It does not know what else is printed.
"""

from __future__ import annotations

import re
from collections.abc import Set
from itertools import islice
from typing import Final

from vgate.sql.lexer import Lexer, TokenKind
from vgate.sql.names import text_literal

LISTING: Final = re.compile(rb"\s*show\s+(?:open|procedure|function|table_statistics|index_statistics)\b", re.I)
"""What these statements start with."""

LISTS_TABLES: Final = re.compile(rb"(?:\s|/\*.*?\*/|(?:#|--\s)[^\n]*\n)*+show\b.*?\b(?:tables|table)\b", re.I | re.S)
"""What statements start with that may list tables."""

_LISTINGS: Final[dict[tuple[bytes, ...], tuple[bytes, bytes]]] = {
    (b"open", b"tables"): (b"`Database`", b"`Table`"),
    (b"procedure", b"status"): (b"`Db`", b"`Name`"),
    (b"function", b"status"): (b"`Db`", b"`Name`"),
    (b"table_statistics",): (b"`Table_schema`", b"`Table_schema`"),
    (b"index_statistics",): (b"`Table_schema`", b"`Table_schema`"),
}
"""Their columns with the database, and with what a LIKE is about."""


def names_at(text: bytes, lexer: Lexer) -> int | None:
    """In which cell of its rows a statement has the names of tables that it lists; None if it lists none."""
    if LISTS_TABLES.match(text) is None:
        return None
    words = [text[token.start : token.end].lower() for token in islice(lexer.scan(text), 6)]
    words = [word for word in words[1:] if word not in (b"extended", b"full")]
    if words[:1] == [b"tables"] or words[:2] == [b"table", b"status"]:
        return 0
    return 1 if words[:2] == [b"open", b"tables"] else None


def without(databases: Set[str], text: bytes, lexer: Lexer) -> bytes:
    """The statement with a condition, if it is one of these."""
    if LISTING.match(text) is None:
        return text
    tokens = [token for token in lexer.tokens(text) if text[token.start : token.end] != b";"]
    words = [
        b"" if token.kind is TokenKind.QUOTED_NAME else text[token.start : token.end].lower() for token in tokens
    ]  # fmt: skip
    head = next((head for head in _LISTINGS if tuple(words[1 : len(head) + 1]) == head), None)
    if head is None:
        return text
    database, listed = _LISTINGS[head]
    kept = b"%b NOT IN (%b)" % (database, b", ".join(map(text_literal, sorted(databases))))
    end, rest = tokens[len(head)].end, tokens[len(head) + 1 :]
    if not rest:
        return b"%b WHERE %b%b" % (text[:end], kept, text[end:])
    condition = text[rest[0].start : rest[-1].end]
    after = text[rest[-1].end :]
    match words[len(head) + 1]:
        case b"like":
            return b"%b WHERE %b %b AND %b%b" % (text[:end], listed, condition, kept, after)
        case b"where":
            given = text[rest[0].end : rest[-1].end]
            return b"%b WHERE (%b) AND %b%b" % (text[:end], given, kept, after)
    return text
