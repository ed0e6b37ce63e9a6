"""Which statements have a transaction on a server, be it one of their own: found in the statement's words.

A transaction begins where a table of an engine that has them is opened: with autocommit off the client's begins with
it, and what SET TRANSACTION said is used up by it. Values, derived tables, what SHOW makes up and performance_schema
are no such tables; to MySQL most of information_schema is made of some (its dictionary, in InnoDB), to MariaDB nothing
of it. What is not known here is taken for a table. Measured on MariaDB 10.11 and MySQL 9. It does not know tables,
so not their engines, nor what a stored function reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final


class Uses(IntEnum):
    """What a statement reads or writes rows of."""

    NOTHING = 0
    DICTIONARY = 1
    TABLES = 2


_NEVER: Final = re.compile(
    rb"(?:show|help|get|prepare|deallocate|use|flush|reset|kill|unlock|xa|purge|signal|resignal)\b"
    rb"|handler\b.* (?:open|close)\b"
    rb"|drop temporary\b|create (?:or replace )?temporary\b(?! table\b.* (?:select|like|table|with|values)\b)",
    re.DOTALL,
)
_OF_DICTIONARY: Final = re.compile(
    rb"show (?:(?:extended|full) )*"
    rb"(?:databases|schemas|tables|table status|columns|fields|index|indexes|keys|triggers|events|collation|charset"
    rb"|char(?:acter)? set|(?:procedure|function) status)\b"
)
_EXPLAIN: Final = re.compile(rb"(?:explain|describe|desc)\b ?")
_EXPLAINED: Final = re.compile(
    rb"(?:(?:extended|partitions|analyze|format = \S+) )*(?P<verb>select|with|table|values|insert|replace|update|delete"
    rb"|\()"
)
_OF_VALUES: Final = re.compile(rb"(?:\( )*(?:select|do|values|with|table)\b|set\b(?! statement)")

_NAME: Final = re.compile(rb"[\w$\x80-\xff]+|``", re.ASCII)
_BEFORE_TABLES: Final = frozenset(b"from join straight_join table".split())
_AFTER_TABLES: Final = frozenset(
    b"select values with where group having order limit window union except intersect into for procedure on using"
    b" set".split()
)
_MADE_UP: Final = frozenset(
    b"column_privileges engines keywords optimizer_trace plugins processlist profiling schema_privileges"
    b" st_units_of_measure table_privileges user_privileges".split()
)
_INNODB: Final = re.compile(rb"innodb_(?!(?:datafiles|fields|foreign|foreign_cols|tablespaces_brief)\Z)")
"""Tables of MySQL's information_schema that are not of its dictionary."""


def used_by(words: bytes) -> Uses:
    """What the statement of these words (``ties.bare``) uses, at most."""
    words = words.lower()
    if _OF_DICTIONARY.match(words):
        return Uses.DICTIONARY
    if _NEVER.match(words):
        return Uses.NOTHING
    explain = _EXPLAIN.match(words)
    if explain is not None:
        words = words[explain.end() :]
        explained = _EXPLAINED.match(words)
        if explained is None:
            return Uses.NOTHING if words.startswith(b"for ") else Uses.DICTIONARY  # as SHOW COLUMNS
        words = words[explained.start("verb") :]
    if _OF_VALUES.match(words):
        return max(_kinds(words.split(b" ")), default=Uses.NOTHING)
    return Uses.TABLES


def _kinds(words: Sequence[bytes]) -> Iterator[Uses]:
    """Of each table that is named."""
    expressions = _Expressions(b"recursive" in words)
    lists: list[bool] = [False]  # for each open bracket: tables may follow a comma
    awaited = False
    for at, word in enumerate(words):
        if word == b"(":
            expressions.open(words, at)
            lists.append(awaited)
            continue  # (a, b), or a derived table
        if word == b")":
            expressions.close()
            lists = lists[:-1] or [False]
        elif word in _BEFORE_TABLES or (word == b"," and lists[-1]):
            lists[-1] = awaited = True
            continue
        elif word in _AFTER_TABLES:
            lists[-1] = False
        elif awaited and word == b"lateral":
            continue
        elif awaited and _NAME.fullmatch(word):
            yield _kind(words, at, expressions.known)
        awaited = False


def _kind(words: Sequence[bytes], at: int, expressions: set[bytes]) -> Uses:
    name, *after = words[at : at + 3]
    if after[:1] == [b"."] and len(after) == 2:
        if name == b"performance_schema":
            return Uses.NOTHING
        if name != b"information_schema":
            return Uses.TABLES
        made_up = after[1] in _MADE_UP or _INNODB.match(after[1]) is not None
        return Uses.NOTHING if made_up else Uses.DICTIONARY
    if after[:1] == [b"("] or name == b"dual" or name in expressions:  # a function: of rows, or EXTRACT(... FROM f())
        return Uses.NOTHING
    return Uses.TABLES


class _Expressions:
    """Names of common table expressions, which are known behind their ends, or, if recursive, inside them."""

    def __init__(self, recursive: bool) -> None:
        self.known: set[bytes] = set()
        self._recursive = recursive
        self._open: list[bytes] = []  # for each open bracket, the name that it gives a meaning; empty: none

    def open(self, words: Sequence[bytes], at: int) -> None:
        name = self._named(words, at - 2) if at > 1 and words[at - 1] == b"as" else b""
        if self._recursive and name:
            self.known.add(name)
        self._open.append(name)

    def close(self) -> None:
        if self._open:
            self.known.add(self._open.pop())

    @staticmethod
    def _named(words: Sequence[bytes], at: int) -> bytes:
        if words[at] == b")":  # the names of its columns
            while at > 0 and words[at] != b"(":
                at -= 1
            at -= 1
        return words[at] if at >= 0 else b""
