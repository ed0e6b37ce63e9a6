"""Where a query's text names tables, and its WHERE: by token, as the tree has no places in the client's text.

A table is named after FROM and JOIN, and after a comma or parenthesis among those. Names of common table expressions
stand in the same places: who asks must know how many there are of each. It does not know keyspaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vgate.sql.lexer import LexMode, Token, TokenKind, lexer_for
from vgate.sql.names import name_of

_NAMES: Final = (TokenKind.NAME, TokenKind.QUOTED_NAME)
_LEAVES: Final = frozenset(
    b"where group having order limit window for lock union except intersect select on using procedure into"
    b" offset fetch".split()
)
"""Words after which no table is named, until FROM, JOIN or (behind ON and USING) a comma."""

_NO_ALIAS: Final = frozenset(
    b"where join inner left right cross natural straight_join on using order group having limit union except intersect"
    b" minus for use force ignore window into lock partition procedure fetch offset full outer set".split()
)
_AFTER_WHERE: Final = frozenset(b"group having order limit window for lock procedure into offset fetch".split())


@dataclass(frozen=True, slots=True)
class Mention:
    """A table named in a FROM: the bytes of the name itself, without its qualifier, and whether an alias follows."""

    name: str
    start: int
    end: int
    has_alias: bool


def mentions(text: bytes, mode: LexMode) -> list[Mention]:
    """The tables that a query names, in the order of the text."""
    return list(_Walk(text, mode).mentions())


def where_of(text: bytes, mode: LexMode) -> bytes:
    """The outermost WHERE's condition; empty if there is none."""
    walk = _Walk(text, mode)
    depth, start = 0, None
    for index, token in enumerate(walk.tokens):
        word = walk.word(index)
        depth += (word == b"(") - (word == b")")
        if depth or walk.word(index - 1) == b".":
            continue
        if start is None and word == b"where":
            start = token.end
        elif start is not None and (word in _AFTER_WHERE or token.kind is TokenKind.SEMICOLON):
            return text[start : token.start]
    return b"" if start is None else text[start:]


class _Walk:
    def __init__(self, text: bytes, mode: LexMode) -> None:
        self.text = text
        self.mode = mode
        self.tokens: list[Token] = list(lexer_for(mode).tokens(text))

    def word(self, index: int) -> bytes:
        """A keyword or punctuation; empty for a quoted name, and outside."""
        if not 0 <= index < len(self.tokens) or self.tokens[index].kind is TokenKind.QUOTED_NAME:
            return b""
        token = self.tokens[index]
        return self.text[token.start : token.end].lower()

    def mentions(self) -> Iterator[Mention]:
        levels: list[tuple[str, bool]] = []
        clause, query = "other", True
        expecting = False
        for index in range(len(self.tokens)):
            word = self.word(index)
            if word == b"(":
                levels.append((clause, query))
                inner = self.word(index + 1) in (b"select", b"with", b"values", b"(")
                query = inner or expecting
                clause = "from" if expecting else "other"  # a join in parentheses, unless a query begins
                expecting = expecting and self.word(index + 1) not in (b"select", b"with", b"values")
            elif word == b")":
                clause, query = levels.pop() if levels else ("other", True)
                expecting = False
            elif word in (b"from", b"join", b"straight_join") and query and self.word(index - 1) != b".":
                opens = word != b"straight_join" or clause in ("from", "on")  # SELECT STRAIGHT_JOIN ... is an option
                clause, expecting = ("from", True) if opens else (clause, expecting)
            elif word == b"," and clause in ("from", "on"):
                clause, expecting = "from", True
            elif word in _LEAVES and self.word(index - 1) != b".":
                clause = "on" if word in (b"on", b"using") and clause in ("from", "on") else "other"
                expecting = False
            elif expecting and word != b"lateral":
                expecting = False
                found = self._named(index)
                if found is not None:
                    yield found

    def _named(self, index: int) -> Mention | None:
        last = index + 2 if self.word(index + 1) == b"." else index
        if last >= len(self.tokens) or self.tokens[last].kind not in _NAMES or self.word(last + 1) == b"(":
            return None
        token = self.tokens[last]
        return Mention(name_of(self.text, token, self.mode), token.start, token.end, self._has_alias(last + 1))

    def _has_alias(self, index: int) -> bool:
        if index >= len(self.tokens):
            return False
        kind = self.tokens[index].kind
        return kind is TokenKind.QUOTED_NAME or (kind is TokenKind.NAME and self.word(index) not in _NO_ALIAS)
