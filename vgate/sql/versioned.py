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

_BLANKS: Final = b" \t\n\v\f\r"
_EDGE: Final = re.compile(rb"/\*|\*/")
_OPENER: Final = {
    Flavour.MARIADB: re.compile(rb"/\*(M?)!([0-9]{5}[0-9]?)?"),
    # A sixth digit belongs to the version only if a blank follows.
    Flavour.MYSQL: re.compile(rb"/\*(M?)!([0-9]{6}(?=[ \t\n\v\f\r])|[0-9]{5})?"),
}


def expand(text: bytes, mode: LexMode, flavour: Flavour, version: Version) -> bytes:
    """``text`` as a server of that kind and version reads it, without versioned comments. Raises LexError."""
    return _expand(text, 0, mode, flavour, version, one=False)[0]


def expand_one(text: bytes, at: int, mode: LexMode, flavour: Flavour, version: Version) -> tuple[bytes, int]:
    """``expand`` of the one statement that begins at ``at``, and where it ends: before a semicolon, or with the text.

    What stands behind it may be read in another mode. Raises LexError.
    """
    return _expand(text, at, mode, flavour, version, one=True)


def _expand(
    text: bytes, at: int, mode: LexMode, flavour: Flavour, version: Version, *, one: bool
) -> tuple[bytes, int]:
    lexer = lexer_for(mode)
    parts: list[bytes] = []
    start = at  # from there on, text is still to be copied
    inside = False
    while at < len(text):
        if inside and text.startswith(b"*/", at):
            parts += (text[start:at], _gap(text, at, at + 2))
            at = start = at + 2
            inside = False
            continue
        found = lexer.step(text, at)
        if found is not None:
            kind, end = found
            if inside and kind is TokenKind.SEMICOLON:
                raise LexError(at, "a semicolon inside a versioned comment is not supported")
            if one and kind is TokenKind.SEMICOLON:
                break
            at = end
            continue
        opener = _OPENER[flavour].match(text, at)
        if opener is None or inside:
            raise lexer.error(text, at)
        before, where = text[start:at], at
        if opener[1] and flavour is Flavour.MYSQL:  # to MySQL /*M! is a comment like any other
            at = start = _after(text, opener.end())
        elif _active(opener, flavour, version):
            at = start = opener.end()
            inside = True
        else:
            at = start = _after_skipped(text, opener)
        parts += (before, _gap(text, where, opener.end() if inside else where))
    if inside:
        raise LexError(len(text))
    parts.append(text[start:at])
    return b"".join(parts), at


def _gap(text: bytes, before: int, after: int) -> bytes:
    """What stands for the marks between ``before`` and ``after``: nothing, as to servers, which call columns by what is
    left of their text, but where the words or signs on both sides would become one.
    """
    if text[before - 1 : before] == b"-":
        return b"/**/"  # a blank would make a comment of the two minus signs in --/*! ... */
    return b"" if text[before - 1 : before] in _BLANKS or text[after : after + 1] in _BLANKS else b" "


def _active(opener: re.Match[bytes], flavour: Flavour, version: Version) -> bool:
    """Whether the server executes what is inside."""
    maria, digits = opener.groups()
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
    """Where a comment that is not for this server ends. Comments in it are skipped whole, but none in those
    (consume_comment); ``/*/`` opens one and does not close it.
    """
    at = opener.end()
    while (found := _EDGE.search(text, at)) is not None:
        if found[0] == b"*/":
            return found.end()
        at = _after(text, found.end())
    raise LexError(opener.start())


def _after(text: bytes, at: int) -> int:
    """Where a comment ends in which nothing counts."""
    end = text.find(b"*/", at)
    if end < 0:
        raise LexError(at)
    return end + 2
