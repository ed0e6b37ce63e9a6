"""What in a statement ties the session to one server, or speaks of the session itself: found in the statement's shape.

A shape has no literals, so a word found in it is a word of the statement. It does not know what follows from a finding.
"""

from __future__ import annotations

import re
from typing import Final

_TIES: Final = re.compile(
    rb"""
      \b(?:create|drop) (?:\s+or\s+replace)? \s+ (?P<temporary>temporary)\b
    | \b(?P<lock>get_lock|release_lock|release_all_locks|is_used_lock) \s* \(
    | ^\s* (?P<tables>lock \s+ tables?|unlock \s+ tables?|flush\b.*\bread\s+lock)\b
    | ^\s* (?P<handler>handler) \b
    | ^\s* (?P<prepare>prepare|execute|deallocate) \b
    | (?P<variable>(?<![\w@$])@(?!@)[\w$.`'"])
    | \b(?P<found>sql_calc_found_rows|found_rows \s* \(\s*\))
    | \b(?P<rows>row_count) \s* \(
    | ^\s* (?P<xa>xa) \s
    | \b(?P<previous>lastval \s* \(|previous \s+ value \s+ for)\b
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_NAMES: Final = {
    "temporary": "a temporary table",
    "lock": "a user lock",
    "tables": "LOCK TABLES",
    "handler": "HANDLER",
    "prepare": "PREPARE",
    "variable": "a user variable",
    "found": "FOUND_ROWS()",
    "rows": "ROW_COUNT()",
    "xa": "XA",
    "previous": "the last value of a server's sequence",
}
_INSERT_ID: Final = re.compile(rb"\blast_insert_id\s*\(|@@(?:session\.|local\.)?(?:last_insert_id|identity)\b", re.I)
_IMPLICIT_COMMIT: Final = re.compile(
    rb"^[\s(]*(?:(?:create|alter|drop|rename|truncate|analyze|optimize|repair|check|install|uninstall|grant|revoke"
    rb"|cache\s+index|load\s+index|reset|flush|lock\s+tables?)\b)(?!\s+(?:or\s+replace\s+)?temporary\b)",
    re.I,
)


def tie(shape: bytes) -> str:
    """The construct that ties the session to the server that runs the statement, in words; '' where none does."""
    found = _TIES.search(shape)
    return "" if found is None or found.lastgroup is None else _NAMES[found.lastgroup]


def reads_insert_id(shape: bytes) -> bool:
    """True when the statement calls LAST_INSERT_ID()."""
    return _INSERT_ID.search(shape) is not None


def commits_implicitly(shape: bytes) -> bool:
    """True for statements before which MySQL commits the transaction at hand."""
    return _IMPLICIT_COMMIT.match(shape) is not None
