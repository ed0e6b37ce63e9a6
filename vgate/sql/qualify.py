"""Tables without a database in a statement of a session that uses ``information_schema``: named with it, by offset.

There is no such keyspace, but every server has such a database; so its name is written where the server would have
thought of it. It does not know which tables there are: what is none of them is the server's to refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vgate.sql.lexer import Lexer, Token, TokenKind

_PREFIX: Final = b"information_schema."
_FROM: Final = b" FROM information_schema"
_QUERIES: Final = frozenset({b"select", b"with", b"(", b"table", b"values", b"explain", b"describe", b"desc"})
_AFTER_TABLES: Final = frozenset(b"where group order having limit union except intersect select set window for".split())
_NO_TABLES: Final = frozenset(b"select lateral json_table dual values with".split())
_EXPLAINED: Final = frozenset(b"select with table format extended analyze partitions for".split())
_OF_TABLE: Final = frozenset(b"columns fields index indexes keys".split())


def qualified(text: bytes, lexer: Lexer) -> bytes:
    """The statement with ``information_schema`` in it. Raises LexError."""
    tokens = lexer.tokens(text)
    words = [
        text[token.start : token.end].lower() if token.kind is not TokenKind.QUOTED_NAME else b"" for token in tokens
    ]
    first = words[0] if words else b""
    if first == b"show":
        inserted = _of_show(tokens, words)
    elif first in (b"describe", b"desc", b"explain") and len(words) > 1 and _is_described(tokens, words):
        inserted = iter([(tokens[1].start, _PREFIX)])
    elif first in _QUERIES:
        inserted = ((tokens[index].start, _PREFIX) for index in _tables(tokens, words))
    else:
        return text
    parts: list[bytes] = []
    at = 0
    for position, new in inserted:
        parts += (text[at:position], new)
        at = position
    return b"".join((*parts, text[at:]))


def _is_described(tokens: list[Token], words: list[bytes]) -> bool:
    """True for DESCRIBE of a table without a database."""
    named = tokens[1].kind is TokenKind.QUOTED_NAME or (
        tokens[1].kind is TokenKind.NAME and words[1] not in _EXPLAINED
    )
    return named and words[2:3] != [b"."]


def _of_show(tokens: list[Token], words: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """SHOW TABLES, TABLE STATUS, COLUMNS, INDEX and CREATE TABLE."""
    at = 1
    while words[at : at + 1] in ([b"full"], [b"extended"], [b"open"]):
        at += 1
    what = words[at : at + 2]
    sources = [index for index, word in enumerate(words) if word in (b"from", b"in") and index > at]
    if what[:1] == [b"tables"] or what == [b"table", b"status"]:
        end = at + (what[0] == b"table")
        if words[end + 1 : end + 2] not in ([b"from"], [b"in"]):
            yield tokens[end].end, _FROM
    elif what[:1] and what[0] in _OF_TABLE and sources:
        table = sources[0] + 1
        if words[table + 1 : table + 2] not in ([b"."], [b"from"], [b"in"]) and table < len(tokens):
            yield tokens[table].end, _FROM
    elif what == [b"create", b"table"] and words[at + 3 : at + 4] != [b"."] and at + 2 < len(tokens):
        yield tokens[at + 2].start, _PREFIX


def _tables(tokens: list[Token], words: list[bytes]) -> Iterator[int]:
    """The tokens that name a table without a database, in FROM and JOIN."""
    common = {
        words[index] for index in range(len(words) - 2)
        if words[index + 1] == b"as" and words[index + 2] == b"(" and tokens[index].kind is TokenKind.NAME
    }  # fmt: skip
    levels: list[tuple[bool, bool, bool]] = []
    expects, listed, query = False, False, True
    for index, word in enumerate(words):
        if word == b"(":
            levels.append((False, listed, query))
            inner = words[index + 1 : index + 2] in ([b"select"], [b"with"], [b"("]) or expects
            expects, listed, query = expects and inner, expects, inner
        elif word == b")":
            expects, listed, query = levels.pop() if levels else (False, False, True)
        elif word == b"from" and query:
            expects = listed = True
        elif word in (b"join", b"straight_join") or (word == b"table" and index == 0) or (word == b"," and listed):
            expects = True
        elif word in _AFTER_TABLES and tokens[index].kind is TokenKind.NAME:
            expects = listed = False
        elif expects and tokens[index].kind in (TokenKind.NAME, TokenKind.QUOTED_NAME):
            expects = False
            if words[index + 1 : index + 2] != [b"."] and word not in common and word not in _NO_TABLES:
                yield index
