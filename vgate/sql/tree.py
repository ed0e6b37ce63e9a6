"""From text to sqlglot's tree, with every literal known by its slot.

sqlglot is given its own copy of the statement: literals are replaced by codes that name their slot, so that a tree's
literal leads back to the client's text whatever order the tree is walked in, and a long literal costs nothing; names
and strings are quoted as sqlglot reads them, whatever the sql_mode and character set; comments and hints are gone; and
wherever the servers' lexers end a token there is a blank, as sqlglot knows operators and comments that they do not. The
tree is for looking at: SQL that servers run is the client's own text.

What sqlglot would read otherwise than a server is not trusted (``Tree.trusted``): ``||`` under PIPES_AS_CONCAT, and
assignments inside expressions. This module does not know tables or plans.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from vgate.sql.lexer import SWE7_NAMING, Lexer, LexMode, Slots, Token, TokenKind, lexer_for
from vgate.sql.literals import read_literal
from vgate.sql.names import backquoted, decoded, name_of, unquoted_name

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of statements that it takes for commands

_NUMBER: Final = "77309411328"  # no ordinary number: what stands behind it is the slot
_STRING: Final = "~slot:"
_CODE: Final = re.compile(rf"(?:{_NUMBER}|{_STRING})([0-9]{{6}})")
# Operators of more than one character that are not one token yet. What else stands together is several to the servers.
_OPERATORS: Final = frozenset((b"<=", b"<=>", b">=", b"<>", b"!=", b"<<", b">>", b"->", b"->>", b"&&"))
# To the servers DISTINCT may stand behind these, to sqlglot only in front of them.
_MODIFIERS: Final = frozenset(
    b"high_priority straight_join sql_small_result sql_big_result sql_buffer_result sql_no_cache sql_cache"
    b" sql_calc_found_rows".split()
)
_WHICH_ROWS: Final = frozenset((b"all", b"distinct", b"distinctrow"))
_FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_OPTIONS: Final = {b"update": (b"low_priority", b"ignore"), b"delete": (b"low_priority", b"quick", b"ignore")}


class Unparsed(Exception):
    """sqlglot does not read the statement. ``near``: where in the client's text it stopped, as far as that is known."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Tree:
    """A statement's tree. ``words``: its tokens in lower case, without literals."""

    root: exp.Expression
    slots: Slots
    words: tuple[bytes, ...]
    trusted: bool


def parse(text: bytes, mode: LexMode) -> Tree:
    """The tree of one statement. Raises LexError, Unparsed."""
    lexer = lexer_for(mode)
    _, slots, places = lexer.locate(text)
    copy, words = _copy(text, lexer, places)
    try:
        roots = sqlglot.parse(copy, read="mysql")
    except (SqlglotError, RecursionError) as error:
        raise Unparsed(str(error).split("\n")[0][:200]) from None
    except _FAULTS:  # of sqlglot's own: date_add(1), var_map(1)
        raise Unparsed("a function with arguments that are not known") from None
    if len(roots) != 1 or roots[0] is None or isinstance(roots[0], exp.Command):
        raise Unparsed("a kind of statement that is not known")
    assert isinstance(roots[0], exp.Expression)
    trusted = b":=" not in words and not (mode.pipes_as_concat and b"||" in words)
    return Tree(roots[0], slots, words, trusted)


def slot_of(literal: exp.Expression) -> int | None:
    """The slot of a tree's literal; None for one that stayed in the shape."""
    found = _CODE.fullmatch(literal.name) if isinstance(literal, exp.Literal) else None
    return None if found is None else int(found[1])


def _copy(text: bytes, lexer: Lexer, places: list[tuple[int, int]]) -> tuple[str, tuple[bytes, ...]]:
    """sqlglot's copy of the statement, and the words of it."""
    slot_at = {start: (index, end) for index, (start, end) in enumerate(places)}
    parts: list[str] = []
    words: list[bytes] = []
    behind = 0
    covered = 0
    operator = b""
    select = 0  # of the parts, what follows the SELECT that only modifiers have followed so far
    for token in lexer.scan(text):
        if token.start < covered:  # the rest of a list: its first literal stands for all
            continue
        if token.kind is TokenKind.SEMICOLON:
            break
        word = text[token.start : token.end].lower()
        operator = operator + word if token.start == behind else word
        behind = token.end
        slot = slot_at.get(token.start)
        if slot is not None:
            index, covered = slot
            select = 0
            parts.append(_code(index, token.kind, words[-1] if words else b""))
        elif operator in _OPERATORS:
            words.append(word)
            parts[-1] += word.decode()
        else:
            operator = word
            if select and word in _WHICH_ROWS:
                words.append(word)
                parts.insert(select, word.decode())
                select = 0
            elif not _is_option(words, word):
                words.append(word)
                parts.append(_written(text, token, lexer.mode))
                if word == b"select":
                    select = len(parts)
                elif word not in _MODIFIERS:
                    select = 0
    return " ".join(parts), tuple(words)


def _is_option(words: list[bytes], word: bytes) -> bool:
    """LOW_PRIORITY and its kin, right after the verb: sqlglot would take them for a table."""
    return len(words) == 1 and word in _OPTIONS.get(words[0], ())


def _code(slot: int, kind: TokenKind, before: bytes) -> str:
    """A string stays one, since ``1 'a'`` has an alias; what comes after a character set's introducer does too."""
    if kind is TokenKind.STRING or before.startswith(b"_"):
        return f"'{_STRING}{slot:06d}'"
    return f"{_NUMBER}{slot:06d}"


def _written(text: bytes, token: Token, mode: LexMode) -> str:
    """A token that is no slot, so that sqlglot reads it as the server does."""
    raw = text[token.start : token.end]
    match token.kind:
        case TokenKind.QUOTED_NAME:
            return backquoted(name_of(text, token, mode)).decode()
        case TokenKind.NAME if raw[:1].isdigit():  # to sqlglot it might be a number
            return f"`{raw.decode('utf-8', 'replace')}`"
        case TokenKind.NAME if mode.charset == "swe7" and not set(SWE7_NAMING).isdisjoint(raw):
            return backquoted(name_of(text, token, mode)).decode()
        case TokenKind.STRING:
            value = read_literal(raw, mode).value
            string = decoded(value if isinstance(value, bytes) else b"", mode.charset)
            return "'" + string.replace("\\", "\\\\").replace("'", "''") + "'"
        case TokenKind.VARIABLE:
            at = raw[: 1 + raw.startswith(b"@@")]
            name = unquoted_name(raw[len(at) :], mode.charset)
            return at.decode() + (name if at == b"@@" and name.isidentifier() else backquoted(name).decode())
    return raw.decode("utf-8", "replace")
