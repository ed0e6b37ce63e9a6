"""A table's definition as a temporary table's: what SHOW CREATE TABLE says, without what a temporary table cannot have.

Columns and keys stay as they are, so that a result's columns are described as the table's own would be. It does not
know why a temporary table is wanted. The text must be as a server writes it where sql_mode has neither ANSI_QUOTES nor
NO_BACKSLASH_ESCAPES.
"""

from __future__ import annotations

import re
from typing import Final

from vgate.sql.versioned import Flavour

_PIECES: Final = re.compile(
    rb"`(?:[^`]|``)*+`|'(?:[^'\\]|\\.|'')*+'|\"(?:[^\"\\]|\\.|\"\")*+\"|[(),]", re.DOTALL
)
_STRINGS: Final = re.compile(rb"'(?:[^'\\]|\\.|'')*+'", re.DOTALL)
_OPTIONS: Final = re.compile(rb"\b(?:ENGINE|DEFAULT CHARSET|CHARSET|COLLATE)=\w+")
_NEVER: Final = re.compile(rb"(?:FULLTEXT|VECTOR) (?:KEY|INDEX)\b|CONSTRAINT (?:`(?:[^`]|``)*` )?FOREIGN KEY\b")
_CHECK: Final = re.compile(rb"CONSTRAINT (?:`(?:[^`]|``)*` )?CHECK\b")
_UNIQUE: Final = re.compile(rb"(?:PRIMARY|UNIQUE) KEY\b")


class NotTemporary(Exception):
    """There is no such temporary table; the text says what keeps it from being one."""


def temporary(create: bytes, name: bytes, flavour: Flavour, *, loose: bool = False) -> bytes:
    """CREATE TEMPORARY TABLE ``name`` (quoted already). ``loose``: unique keys become ordinary ones.

    MariaDB knows a JSON column by its CHECK, so that is kept there; on MySQL its name would be taken. Raises
    NotTemporary.
    """
    if not create.startswith(b"CREATE TABLE "):
        raise NotTemporary("a view")
    elements, tail = _parts(create)
    options = _STRINGS.sub(b"''", tail)
    if b"WITH SYSTEM VERSIONING" in options.upper() or any(one.startswith(b"PERIOD FOR") for one in elements):
        raise NotTemporary("a table with system versioning")
    kept = [one for one in elements if not _NEVER.match(one) and not (flavour is Flavour.MYSQL and _CHECK.match(one))]
    if loose:
        kept = [_UNIQUE.sub(b"KEY", one, count=1) if _UNIQUE.match(one) else one for one in kept]
        kept = [one.replace(b"KEY (", b"KEY `vgate_primary` (", 1) if one.startswith(b"KEY (") else one for one in kept]
    head = b"CREATE TEMPORARY TABLE " + name + b" (" + b", ".join(kept) + b") "
    return head + b" ".join(_OPTIONS.findall(options))


def _parts(create: bytes) -> tuple[list[bytes], bytes]:
    """The columns and keys of a definition, and what follows them."""
    elements: list[bytes] = []
    depth = start = 0
    for piece in _PIECES.finditer(create):
        mark = piece[0]
        if mark == b"(":
            depth += 1
            if depth == 1:
                start = piece.end()
        elif depth == 1 and mark in (b",", b")"):
            elements.append(create[start : piece.start()].strip())
            start = piece.end()
        if mark == b")":
            depth -= 1
            if depth == 0:
                return elements, create[piece.end() :]
    raise NotTemporary("a definition that cannot be read")
