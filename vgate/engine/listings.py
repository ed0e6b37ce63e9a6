"""SHOW statements that list what all databases of a server have: without databases that vgate keeps to itself.

These are other shards' and other keyspaces', as far as they are not called like a keyspace. Where a FROM names a
database there is nothing to do. It does not know what the statements print.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Final

from vgate.sql.lexer import Lexer, TokenKind
from vgate.sql.names import text_literal

LISTING: Final = re.compile(rb"\s*show\s+(?:open|procedure|function|table_statistics|index_statistics)\b", re.I)
"""What these statements start with."""

_LISTINGS: Final[dict[tuple[bytes, ...], tuple[bytes, bytes]]] = {
    (b"open", b"tables"): (b"`Database`", b"`Table`"),
    (b"procedure", b"status"): (b"`Db`", b"`Name`"),
    (b"function", b"status"): (b"`Db`", b"`Name`"),
    (b"table_statistics",): (b"`Table_schema`", b"`Table_schema`"),
    (b"index_statistics",): (b"`Table_schema`", b"`Table_schema`"),
}
"""Their columns with the database, and with what a LIKE is about."""


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
