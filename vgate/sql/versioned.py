"""Versioned comments, ``/*!50000 ... */`` and ``/*M!100100 ... */``: text to one server, a comment to another.

``expand`` replaces each by what the server in question makes of it, so that everybody after it, the server included,
reads the same text. The rules are those of MariaDB's and MySQL's ``sql_lex.cc``; what they make of a versioned
comment or a semicolon *inside* such a comment is refused rather than mirrored.
This module does not know connections: who asks a server what it is, tells it here.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from vgate.sql.lexer import LexError, LexMode, TokenKind, lexer_for


class Flavour(StrEnum):
    """The two kinds of backend server."""

    MARIADB = "mariadb"
    MYSQL = "mysql"


Version = tuple[int, int, int]
"""A server's version, e.g. (10, 11, 19)."""

_OPENER: Final = {
    Flavour.MARIADB: re.compile(rb"/\*(M?)!([0-9]{5}[0-9]?)?"),
    # A sixth digit belongs to the version only if a blank follows.
    Flavour.MYSQL: re.compile(rb"/\*(M?)!([0-9]{6}(?=[ \t\n\v\f\r])|[0-9]{5})?"),
}


def expand(text: bytes, mode: LexMode, flavour: Flavour, version: Version) -> bytes:
    """``text`` as a server of that kind and version reads it, without versioned comments. Raises LexError."""
    lexer = lexer_for(mode)
    parts: list[bytes] = []
    at = start = 0  # from ``start`` on, text is still to be copied
    inside = False
    while at < len(text):
        if inside and text.startswith(b"*/", at):
            parts += (text[start:at], b" ")
            at = start = at + 2
            inside = False
            continue
        found = lexer.step(text, at)
        if found is not None:
            kind, end = found
            if inside and kind is TokenKind.SEMICOLON:
                raise LexError(at, "a semicolon inside a versioned comment is not supported")
            at = end
            continue
        opener = _OPENER[flavour].match(text, at)
        if opener is None or inside:
            raise lexer.error(text, at)
        parts += (text[start:at], b" ")
        if _active(opener, flavour, version):
            at = start = opener.end()
            inside = True
        else:
            at = start = _after_skipped(text, opener)
    if inside:
        raise LexError(len(text))
    parts.append(text[start:])
    return b"".join(parts)


def _active(opener: re.Match[bytes], flavour: Flavour, version: Version) -> bool:
    """Whether the server executes what is inside."""
    maria, digits = opener.groups()
    if flavour is Flavour.MYSQL and maria:
        return False
    if digits is None:
        return True
    number = int(digits)
    major, minor, patch = version
    mine = major * 10000 + minor * 100 + patch
    if flavour is Flavour.MYSQL:
        return number <= mine
    # MariaDB took MySQL's numbers over up to 5.6; what MySQL 5.7 and later added is not for it.
    return number <= mine and (bool(maria) or not 50700 <= number <= 99999)


def _after_skipped(text: bytes, opener: re.Match[bytes]) -> int:
    """Where a comment that is not for this server ends; comments in it are skipped whole, but none in those."""
    at = opener.end()
    while True:
        end = text.find(b"*/", at)
        if end < 0:
            raise LexError(opener.start())
        nested = text.find(b"/*", at, end)
        if nested < 0:
            return end + 2
        at = text.find(b"*/", nested + 2) + 2
        if at < 2:
            raise LexError(nested)
