"""The tokens of a statement walked from the left, for statements that sqlglot knows only as text or not at all.

DDL, SHOW and their like name their tables early and in few forms, so tokens serve better than trees. It does not know
what the statements mean (``ddl``, ``looks``) nor plans.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from vgate.sql.lexer import LexMode, Token, TokenKind, lexer_for
from vgate.sql.names import name_of

QualifiedName = tuple[str | None, str]
"""(qualifier, table)."""


class Words:
    """The tokens of a statement, walked from the left. Raises LexError for text that cannot be read."""

    def __init__(self, text: bytes, mode: LexMode) -> None:
        self.text = text
        self.mode = mode
        self._tokens = [t for t in lexer_for(mode).scan(text) if t.kind is not TokenKind.SEMICOLON]
        self.at = 0

    def __len__(self) -> int:
        """How many are left."""
        return max(0, len(self._tokens) - self.at)

    def word(self, ahead: int = 0) -> str:
        """A word ahead, in lower case; a quoted name is none."""
        token = self.token(ahead)
        if token is None or token.kind is TokenKind.QUOTED_NAME:
            return ""
        return self.raw(token).decode("latin-1").lower()

    def token(self, ahead: int = 0) -> Token | None:
        """A token ahead; None beyond the end."""
        position = self.at + ahead
        return self._tokens[position] if position < len(self._tokens) else None

    def raw(self, token: Token) -> bytes:
        return self.text[token.start : token.end]

    def rest(self) -> set[str]:
        """All words from here on."""
        return {self.word(ahead) for ahead in range(len(self))}

    def accept(self, *words: str) -> bool:
        """Step over these words if they come next."""
        if all(self.word(ahead) == word for ahead, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def skip(self, *words: str) -> None:
        """Step over any of these words, as often as they come."""
        while self.word() in words:
            self.at += 1

    def skip_existence(self) -> None:
        """Step over IF EXISTS or IF NOT EXISTS."""
        if not self.accept("if", "not", "exists"):
            self.accept("if", "exists")

    def name(self) -> QualifiedName | None:
        """A table's name, None if there is none."""
        first = self.one_name()
        if first is None:
            return None
        if self.word() != ".":
            return None, first
        self.at += 1
        second = self.one_name()
        return None if second is None else (first, second)

    def one_name(self) -> str | None:
        """A name without qualifier, None if there is none."""
        token = self.token()
        if token is None or token.kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME):
            return None
        self.at += 1
        return name_of(self.text, token, self.mode)

    def names(self) -> tuple[QualifiedName, ...]:
        """Names with commas between."""
        found: list[QualifiedName] = []
        while (name := self.name()) is not None:
            found.append(name)
            if not self.accept(","):
                break
        return tuple(found)

    def mentions(self, names: frozenset[str]) -> bool:
        """True if one of ``names`` stands anywhere in the statement, as whatever."""
        if not names:
            return False
        kinds = (TokenKind.NAME, TokenKind.QUOTED_NAME)
        return any(token.kind in kinds and name_of(self.text, token, self.mode) in names for token in self._tokens)

    def qualifiers(self, known: Container[str]) -> list[str]:
        """The names of ``known`` that stand before a dot, anywhere in the statement, each once."""
        found: dict[str, None] = {}
        for index, token in enumerate(self._tokens[:-1]):
            if token.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME) and self.raw(self._tokens[index + 1]) == b".":
                name = name_of(self.text, token, self.mode)
                if name in known:
                    found[name] = None
        return list(found)


_PHRASES: Final = frozenset({
    ("load", "data"), ("load", "xml"), ("load", "index"), ("lock", "tables"), ("lock", "table"), ("lock", "instance"),
    ("unlock", "tables"), ("unlock", "instance"), ("analyze", "table"), ("optimize", "table"), ("repair", "table"),
    ("check", "table"), ("checksum", "table"), ("cache", "index"), ("change", "master"), ("change", "replication"),
    ("start", "replica"), ("start", "slave"), ("stop", "replica"), ("stop", "slave"), ("start", "group_replication"),
    ("stop", "group_replication"), ("install", "plugin"), ("install", "component"), ("uninstall", "plugin"),
    ("uninstall", "component"), ("set", "password"), ("set", "role"), ("set", "statement"), ("set", "default"),
    ("set", "resource"), ("flush", "tables"), ("get", "diagnostics"), ("begin", "not"), ("purge", "binary"),
    ("backup", "stage"), ("import", "table"), ("execute", "immediate"), ("analyze", "format"),
})  # fmt: skip


def construct_of(words: Words) -> str:
    """A statement by its first word, or two."""
    words.at = 0
    first, second = words.word(), words.word(1)
    return f"{first} {second}".upper() if (first, second) in _PHRASES else first.upper()
