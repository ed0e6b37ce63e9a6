"""Functions that speak of the session, inside larger statements: the session's own value is put into the text.

``CONNECTION_ID()``, ``USER()``, ``DATABASE()``, ``ROW_COUNT()`` and their kin would be answered for the connection
that happens to serve. Each is replaced by offset, and a select item that has no alias is given one: its own text, which
is what the server would have called it. Definitions (CREATE, ALTER...) keep the functions themselves. It does not know
LAST_INSERT_ID(), which a connection can be told, nor which server runs the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from vgate.engine.call import Call
from vgate.errors import UNSUPPORTED
from vgate.query.ties import reads_last_statement
from vgate.session.session import Session
from vgate.sql.lexer import Lexer, Token, TokenKind
from vgate.sql.names import text_literal
from vgate.sql.versioned import Flavour

_USERS: Final = frozenset({b"user", b"session_user", b"system_user"})
_CALLS: Final = _USERS | {b"current_user", b"connection_id", b"database", b"schema", b"row_count", b"found_rows"}
_NATIVE: Final = frozenset({b"connection_id", b"found_rows"})
"""Functions that are found by their names even if these are quoted."""

_VARIABLES: Final = {b"@@warning_count": b"warning_count", b"@@error_count": b"error_count"}
_SCOPES: Final = (b"@@session", b"@@local")
_TABLE_FOLLOWS: Final = frozenset(b"into insert replace ignore low_priority high_priority table . @".split())
_USER_CHARS: Final = {Flavour.MARIADB: 384, Flavour.MYSQL: 288}
"""How wide USER() is."""

_MODIFIERS: Final = frozenset(
    b"all distinct distinctrow high_priority straight_join sql_small_result sql_big_result sql_buffer_result"
    b" sql_no_cache sql_cache sql_calc_found_rows".split()
)
_ENDS: Final = frozenset(
    b"from into union intersect except where group having order limit for lock window procedure fetch offset ;".split()
)
_NO_ITEMS: Final = frozenset(b"set values value on using".split())
_VALUE_WORDS: Final = frozenset(b"end null true false unknown current_user current_date current_time current_timestamp"
                                b" localtime localtimestamp utc_date utc_time utc_timestamp".split())  # fmt: skip
"""Names that end an expression, and are no alias."""

_OPERATORS: Final = frozenset(
    b"and or xor not div mod is like rlike regexp in between collate binary then else when case escape interval"
    b" sounds member of".split()
)


def speak(call: Call, keyspace: str) -> None:
    """Put the session's own values into the text that servers of ``keyspace`` will run. Raises UNSUPPORTED."""
    cluster = call.scope.cluster
    here = "" if cluster.keyspaces[keyspace].renamed else keyspace
    flavour = cluster.facts_for(keyspace).flavour

    def spoken(text: bytes) -> bytes:
        return Speech(call.session, text, call.lexer, here, flavour).text()

    call.text = spoken(call.text)
    if call.execution is not None:
        call.execution = replace(call.execution, text=spoken(call.execution.text))


def with_counts(session: Session, text: bytes, lexer: Lexer) -> bytes:
    """ROW_COUNT() and FOUND_ROWS() of a SET by their values: the statement that they speak of may have run elsewhere.

    Raises UNSUPPORTED.
    """
    values = {b"row_count": session.row_count, b"found_rows": session.found_rows}
    parts: list[bytes] = []
    at = 0
    tokens = lexer.tokens(text)
    for name, opening, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        word = text[name.start : name.end].lower()
        if word not in values or text[opening.start : opening.end] + text[closing.start : closing.end] != b"()":
            continue
        value = values[word]
        if value is None:
            raise UNSUPPORTED(construct=reads_last_statement(b"found_rows ("))
        parts += (text[at : name.start], b"%d" % value)
        at = closing.end
    return b"".join((*parts, text[at:]))


@dataclass(slots=True)
class Value:
    """Tokens ``first`` to ``last`` stand for a value; ``whole``: how it is written where it is all of a select item."""

    first: int
    last: int
    sql: bytes
    whole: bytes


class Speech:
    """One statement of a session. ``here`` is the keyspace whose server runs it, if that calls it by that name."""

    def __init__(self, session: Session, text: bytes, lexer: Lexer, here: str, flavour: Flavour) -> None:
        self._session = session
        self._text = text
        self._tokens = lexer.tokens(text)
        self._words = [self._word(token) for token in self._tokens]
        self._brackets = self._enclosing()
        self._here = here
        self._mysql = flavour is Flavour.MYSQL
        self._user_chars = _USER_CHARS[flavour]

    def _word(self, token: Token) -> bytes:
        return self._text[token.start : token.end].lower()

    def text(self) -> bytes:
        """The statement with the session's values. Raises UNSUPPORTED."""
        values = list(self._values())
        changes: list[tuple[int, int, bytes]] = []
        aliases: dict[int, bytes] = {}
        for one in values:
            sql = one.sql
            for item in self._items(one):
                if not self._has_alias(*item):
                    aliases[item[1]] = self._alias(*item)
                if item[0] == one.first and self._is_whole(item, one):
                    sql = one.whole
            changes.append((self._tokens[one.first].start, self._tokens[one.last].end, sql))
        changes += [(self._tokens[at].end, self._tokens[at].end, alias) for at, alias in aliases.items()]
        parts: list[bytes] = []
        at = 0
        for start, end, new in sorted(changes, key=lambda change: change[:2]):
            parts += (self._text[at:start], new)
            at = end
        return b"".join((*parts, self._text[at:]))

    # -- values ---------------------------------------------------------------------------------------------------

    def _values(self) -> Iterator[Value]:
        words = self._words
        for index, token in enumerate(self._tokens):
            if token.kind is TokenKind.VARIABLE:
                last = index + 2 if words[index] in _SCOPES else index
                found = _VARIABLES.get(words[index] if last == index else b"@@" + b"".join(words[last : last + 1]))
                if found is not None:
                    sql = b"(%d | NULLIF(0, 1))" % self._count(found)  # of the variable's type, and nullable as it
                    yield Value(index, last, sql, sql)
                continue
            if words[index] == b"is_used_lock" and self._of_one_value(index):
                yield self._holder(index)
                continue
            name = words[index].strip(b"`") if token.kind is TokenKind.QUOTED_NAME else words[index]
            if name not in _CALLS or (index and words[index - 1] in _TABLE_FOLLOWS):
                continue
            if token.kind is TokenKind.QUOTED_NAME and name not in _NATIVE:
                continue
            if words[index + 1 : index + 3] == [b"(", b")"]:
                value = self._value(name, index, index + 2)
            elif name == b"current_user" and token.kind is TokenKind.NAME and words[index + 1 : index + 2] != [b"."]:
                value = self._value(name, index, index)
            else:
                continue
            if value is not None:
                yield value

    def _of_one_value(self, index: int) -> bool:
        """True for a call with one literal or variable."""
        argument = self._tokens[index + 2 : index + 3]
        brackets = self._words[index + 1 : index + 2] + self._words[index + 3 : index + 4]
        return brackets == [b"(", b")"] and argument[0].kind in (TokenKind.STRING, TokenKind.VARIABLE)

    def _holder(self, index: int) -> Value:
        """IS_USED_LOCK(): where the connection itself has the lock, that is the client. Others it knows by numbers of
        the server.
        """
        last = index + 3
        call = self._text[self._tokens[index].start : self._tokens[last].end]
        mine = (b"CAST(%d AS UNSIGNED)" if self._mysql else b"%d") % self._session.login.connection_id
        sql = b"IF(%b = CONNECTION_ID(), %b, %b)" % (call, mine, call)
        return Value(index, last, sql, sql)

    def _value(self, name: bytes, first: int, last: int) -> Value | None:
        session = self._session
        match name:
            case b"connection_id":
                sql = b"CAST(%d AS UNSIGNED)" % session.login.connection_id  # a number would be a position in ORDER BY
                return Value(first, last, sql, sql)
            case b"row_count":
                return self._number(first, last, session.row_count)
            case b"found_rows":
                if session.found_rows is None:
                    raise UNSUPPORTED(construct=reads_last_statement(b"found_rows ("))
                return self._number(first, last, session.found_rows)
            case b"database" | b"schema":
                keyspace = session.target.database
                if keyspace == self._here:
                    return None
                return self._string(first, last, keyspace, 64)
        host = "%" if name == b"current_user" else session.login.host
        return self._string(first, last, f"{session.login.user}@{host}", self._user_chars)

    def _number(self, first: int, last: int, number: int) -> Value:
        """A BIGINT, which a small number that is cast to one is to MySQL only."""
        sql = (b"CAST(%d AS SIGNED)" if self._mysql else b"IF(1, %d, ROW_COUNT())") % number
        return Value(first, last, sql, sql)

    def _string(self, first: int, last: int, value: str | None, chars: int) -> Value:
        """It gives way to columns and literals as the function does, a constant of the system's; by itself as wide.
        """
        literal = b"NULL" if value is None else text_literal(value)
        constant = b"NULL" if value is None else b"CONCAT(LEFT(VERSION(), 0), %b)" % literal
        cast = b"CAST(%b AS CHAR(%d) CHARACTER SET utf8mb4)" % (literal, chars)
        return Value(first, last, constant, cast if self._mysql else b"CONCAT(%b)" % cast)  # MariaDB calls a cast exact

    def _count(self, which: bytes) -> int:
        session = self._session
        errors = sum(one.level == "Error" for one in session.diagnostics)
        return session.warning_count if which == b"warning_count" else errors

    # -- select items ---------------------------------------------------------------------------------------------

    def _enclosing(self) -> list[tuple[int, ...]]:
        """For each token the brackets it stands in, outermost first."""
        found: list[tuple[int, ...]] = []
        stack: tuple[int, ...] = ()
        for index, word in enumerate(self._words):
            if word == b")":
                stack = stack[:-1]
            found.append(stack)
            if word == b"(":
                stack = (*stack, index)
        return found

    def _items(self, one: Value) -> Iterator[tuple[int, int]]:
        """The first and last tokens of the select items around a value: its own, and those of outer queries."""
        anchor = one.first
        for bracket in (*reversed(self._brackets[one.first]), -1):
            if bracket < 0 or self._words[bracket + 1] in (b"select", b"with", b"("):
                first = self._item_start(anchor, bracket)
                if first is not None:
                    yield first, self._item_end(anchor)
            anchor = bracket  # a function's arguments, OVER (...) and the like are part of the item

    def _item_start(self, anchor: int, bound: int) -> int | None:
        depth, start = 0, None
        for index in range(anchor - 1, bound, -1):
            word = self._words[index]
            depth += (word == b")") - (word == b"(")
            if depth or not (word == b"," or self._is_word(index)):
                continue
            if word == b",":
                start = index + 1 if start is None else start
            elif word == b"select":
                return index + 1 + self._modifiers(index + 1) if start is None else start
            elif word in _ENDS or word in _NO_ITEMS:
                return None
        return None

    def _item_end(self, anchor: int) -> int:
        depth = 0
        for index in range(anchor, len(self._tokens)):
            word = self._words[index]
            if depth == 0 and (word in (b",", b")") or (word in _ENDS and self._is_word(index))):
                return index - 1
            depth += (word == b"(") - (word == b")")
        return len(self._tokens) - 1

    def _modifiers(self, at: int) -> int:
        count = 0
        while self._words[at + count : at + count + 1] and self._words[at + count] in _MODIFIERS:
            count += 1
        return count

    def _is_word(self, index: int) -> bool:
        """True for a keyword: not quoted, nor part of a qualified name."""
        before = self._words[index - 1] if index else b""
        return self._tokens[index].kind is not TokenKind.QUOTED_NAME and before != b"."

    def _has_alias(self, first: int, last: int) -> bool:
        if last == first:
            return False
        token, word, before = self._tokens[last], self._words[last], self._words[last - 1]
        if before == b"as":
            return True
        if token.kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME, TokenKind.STRING):
            return False
        if token.kind is TokenKind.NAME and (word in _VALUE_WORDS or word in _CALLS):
            return False
        if self._tokens[last - 1].kind is TokenKind.NAME and before in _OPERATORS:
            return False
        return before == b")" or self._tokens[last - 1].kind is not TokenKind.PUNCTUATION

    def _is_whole(self, item: tuple[int, int], one: Value) -> bool:
        """True where nothing but an alias follows the value."""
        more = item[1] - one.last
        return more == 0 or (self._has_alias(*item) and more == 1 + (self._words[item[1] - 1] == b"as"))

    def _alias(self, first: int, last: int) -> bytes:
        """The item's own text as its alias. Raises UNSUPPORTED where that is none."""
        text = self._text[self._tokens[first].start : self._tokens[last].end]
        if len(text) > 200 or not text.isascii() or b"\n" in text:
            raise UNSUPPORTED(construct="a function about the session in a long select item without an alias")
        return b" AS `" + text.replace(b"`", b"``") + b"`"
