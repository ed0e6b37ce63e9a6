"""Statements that are neither queries nor writes of rows: what they are about, read from their first tokens.

DDL names its tables early and in few forms, and sqlglot knows many of them only as text, so tokens serve better than
trees. It does not know plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vgate.sql.lexer import LexMode, Token, TokenKind, lexer_for
from vgate.sql.names import name_of

QualifiedName = tuple[str | None, str]
"""(qualifier, table)."""


@dataclass(frozen=True, slots=True)
class Ddl:
    """A statement that changes the definition of tables. ``refused``: the construct that cannot go to all shards."""

    tables: tuple[QualifiedName, ...]
    refused: str = ""


class Words:
    """The tokens of a statement, walked from the left."""

    def __init__(self, text: bytes, mode: LexMode) -> None:
        self._text = text
        self._mode = mode
        self._tokens = [t for t in lexer_for(mode).scan(text) if t.kind is not TokenKind.SEMICOLON]
        self.at = 0

    def word(self, ahead: int = 0) -> str:
        """A word ahead, in lower case; a quoted name is none."""
        position = self.at + ahead
        if position >= len(self._tokens) or self._tokens[position].kind is TokenKind.QUOTED_NAME:
            return ""
        return self.raw(self._tokens[position]).decode("latin-1").lower()

    def raw(self, token: Token) -> bytes:
        return self._text[token.start : token.end]

    def rest(self) -> set[str]:
        """All words from here on."""
        return {self.word(ahead) for ahead in range(len(self._tokens) - self.at)}

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

    def name(self) -> QualifiedName | None:
        """A table's name, None if there is none."""
        first = self._one_name()
        if first is None:
            return None
        if self.word() != ".":
            return None, first
        self.at += 1
        second = self._one_name()
        return None if second is None else (first, second)

    def _one_name(self) -> str | None:
        if self.at >= len(self._tokens) or self._tokens[self.at].kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME):
            return None
        self.at += 1
        return name_of(self._text, self._tokens[self.at - 1], self._mode)

    def names(self) -> tuple[QualifiedName, ...]:
        """Names with commas between."""
        found: list[QualifiedName] = []
        while (name := self.name()) is not None:
            found.append(name)
            if not self.accept(","):
                break
        return tuple(found)

    def databases(self, known: frozenset[str]) -> list[str]:
        """The names of ``known`` that stand before a dot, anywhere."""
        found: dict[str, None] = {}
        for index, token in enumerate(self._tokens[:-1]):
            if token.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME) and self.raw(self._tokens[index + 1]) == b".":
                name = name_of(self._text, token, self._mode)
                if name in known:
                    found[name] = None
        return list(found)


_DDL: Final = ("create", "alter", "drop", "rename", "truncate")


def read_ddl(words: Words) -> Ddl | None:
    """What a DDL statement is about; None for a statement that is none."""
    verb = words.word()
    if verb not in _DDL:
        return None
    words.at += 1
    if verb == "truncate":
        words.accept("table")
        return _of(words.names())
    if verb == "rename":
        return _renamed(words) if words.accept("table") or words.accept("tables") else _other(verb, words)
    replaced = verb == "create" and words.accept("or", "replace")
    temporary = words.accept("temporary")
    words.skip("online", "offline", "ignore")
    if words.accept("table") or (verb == "drop" and words.accept("tables")):
        if temporary:
            return Ddl((), "a temporary table")
        return _table(verb, words, replaced=replaced)
    start = words.at
    words.skip("unique", "fulltext", "spatial")
    if verb in ("create", "drop") and words.accept("index"):
        words.accept("if", "not", "exists")
        words.accept("if", "exists")
        words.name()
        if words.word() == "using":
            words.at += 2
        return _of(words.names()) if words.accept("on") else Ddl((), "DDL that names no table")
    words.at = start
    return _other(verb, words)


def _table(verb: str, words: Words, *, replaced: bool) -> Ddl:
    words.accept("if", "not", "exists")
    words.accept("if", "exists")
    if verb == "drop":
        return _of(words.names())
    name = words.name()
    if name is None:
        return Ddl((), "DDL that names no table")
    if verb == "create":
        if words.word() == "like" or (words.word() == "(" and words.word(1) == "like"):
            words.skip("(", "like")
            other = words.name()
            return _of((name,) if other is None else (name, other))
        if {"select", "with"} & words.rest() and _selects(words):
            return Ddl((name,), "CREATE TABLE ... SELECT")
    if verb == "alter" and {"exchange", "import", "discard"} & words.rest():
        return Ddl((name,), "ALTER TABLE of tablespaces and partitions of other tables")
    if verb == "alter" and words.word() == "rename" and words.word(1) not in ("column", "index", "key"):
        words.skip("rename", "to", "as")
        other = words.name()
        return _of((name,) if other is None else (name, other))
    return _of((name,))


def _selects(words: Words) -> bool:
    """True if a SELECT follows the definition (a word of a generated column or a comment would be inside parentheses).
    """
    depth = 0
    for ahead in range(10_000):
        word = words.word(ahead)
        if word == "" and words.at + ahead >= len(words._tokens):
            return False
        depth += (word == "(") - (word == ")")
        if depth == 0 and word in ("select", "with") and words.word(ahead + 1) not in ("parser", "system"):
            return True
        if depth == 1 and word == "(" and words.word(ahead + 1) in ("select", "with"):
            return True
    return True


def _renamed(words: Words) -> Ddl:
    found: list[QualifiedName] = []
    while (name := words.name()) is not None and words.accept("to"):
        other = words.name()
        if other is None:
            break
        found += (name, other)
        if not words.accept(","):
            break
    return _of(tuple(found))


def _of(names: tuple[QualifiedName, ...]) -> Ddl:
    return Ddl(names, "" if names else "DDL that names no table")


def _other(verb: str, words: Words) -> Ddl:
    """Views, triggers, procedures, users, databases: they do not belong to a table that is sharded."""
    ahead = (words.word(position) for position in range(12))
    what = next((word for word in ahead if word in _OBJECTS), words.word() or "something")
    return Ddl((), f"{verb.upper()} {what.upper()}")


_OBJECTS: Final = (
    "view", "trigger", "procedure", "function", "event", "database", "schema", "user", "role", "server", "tablespace",
    "logfile", "sequence", "package", "instance",
)  # fmt: skip
_SHOW_OF_DATABASE: Final = ("tables", "triggers", "events", "status")


def shown_database(words: Words, known: frozenset[str]) -> str | None:
    """The database that a SHOW, DESCRIBE or EXPLAIN names; None where it names none."""
    listed = words.word(0) == "show" and any(words.word(ahead) in _SHOW_OF_DATABASE for ahead in (1, 2, 3))
    position = words.at
    found: str | None = None
    froms = 0
    for ahead in range(12):
        if words.word(ahead) in ("from", "in"):
            froms += 1
            words.at = position + ahead + 1
            name = words.name()
            words.at = position
            if name is not None and name[0] is not None:
                found = name[0]
            elif name is not None and (listed or froms > 1):
                found = name[1]
    if found is None:
        mentioned = words.databases(known)
        found = mentioned[0] if mentioned else None
    return found
