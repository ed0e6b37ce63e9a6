"""vgate's own statements: those a session answers itself rather than a planner, recognised over tokens.

USE, transactions and savepoints, SET, CREATE and DROP DATABASE, ``SELECT NEXT ... VALUES``, KILL, EXPLAIN of vgate's
plans, ALTER VSCHEMA and the SHOW forms that only vgate can answer. ``recognise`` gives None for everything else. It
does not know sessions, sequences or servers, and does not judge: what it recognises may still be refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from vgate.errors import SYNTAX, VgateError
from vgate.sql.alter_vschema import AlterVschema, ShowVschema, read_alter, read_show
from vgate.sql.lexer import LexMode, Token, TokenKind, lexer_for
from vgate.sql.literals import LiteralKind, read_literal
from vgate.sql.names import decoded, name_of, unquoted_name


@dataclass(frozen=True, slots=True)
class Use:
    target: str


@dataclass(frozen=True, slots=True)
class Begin:
    """BEGIN or START TRANSACTION; modifiers as MySQL spells them (``READ ONLY``, ``WITH CONSISTENT SNAPSHOT``)."""

    modifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    chain: bool
    release: bool


@dataclass(frozen=True, slots=True)
class Rollback:
    chain: bool
    release: bool


@dataclass(frozen=True, slots=True)
class Savepoint:
    name: str


@dataclass(frozen=True, slots=True)
class RollbackTo:
    name: str


@dataclass(frozen=True, slots=True)
class ReleaseSavepoint:
    name: str


@dataclass(frozen=True, slots=True)
class SystemVariable:
    """One assignment to a system variable; ``scope`` is ``session``, ``global``, ``once`` (SET @@x before a
    transaction)...
    """

    scope: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class UserVariable:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Names:
    """SET NAMES or SET CHARACTER SET; ``text`` is how it is written, which a server judges."""

    charset: str
    text: str


@dataclass(frozen=True, slots=True)
class TransactionCharacteristics:
    """SET [SESSION | GLOBAL] TRANSACTION ...; ``scope`` is ``once``, ``session`` or ``global``."""

    scope: str
    text: str


Assignment = SystemVariable | UserVariable | Names | TransactionCharacteristics


@dataclass(frozen=True, slots=True)
class Set:
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class SelectNext:
    """``SELECT NEXT n VALUES FROM [keyspace.]sequence``; ``count`` None is a ``?`` parameter."""

    keyspace: str | None
    sequence: str
    count: int | None


@dataclass(frozen=True, slots=True)
class ShowVgate:
    """A SHOW that only vgate can answer: what = ``databases``, ``warnings``, ``errors``, ``vitess_shards``..."""

    what: str
    like: str | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """KILL [CONNECTION | QUERY]; ``value`` is the expression that names the connection."""

    value: str
    query_only: bool


@dataclass(frozen=True, slots=True)
class Vexplain:
    """``VEXPLAIN [PLAN] statement``: the plan as rows; ``start`` is where the statement begins in the text."""

    start: int


@dataclass(frozen=True, slots=True)
class DatabaseStatement:
    """CREATE DATABASE (``creates``) or DROP DATABASE. ``lenient``: IF NOT EXISTS, IF EXISTS."""

    creates: bool
    name: str
    lenient: bool


Statement = (
    Use | Begin | Commit | Rollback | Savepoint | RollbackTo | ReleaseSavepoint | Set | SelectNext | ShowVgate | Kill
    | Vexplain | AlterVschema | ShowVschema | DatabaseStatement
)

FIRST_WORDS: Final = frozenset(
    b"use begin start commit rollback savepoint release set select show kill vexplain alter create drop".split()
)


class Reader:
    """Walks the tokens of one statement."""

    def __init__(self, text: bytes, tokens: list[Token], mode: LexMode) -> None:
        self.text = text
        self.tokens = [token for token in tokens if token.kind is not TokenKind.SEMICOLON]
        self.mode = mode
        self.at = 0

    def raw(self, token: Token) -> bytes:
        return self.text[token.start : token.end]

    def peek(self, ahead: int = 0) -> str:
        """The token ahead, lower-case, '' at the end."""
        position = self.at + ahead
        return self.raw(self.tokens[position]).decode("latin-1").lower() if position < len(self.tokens) else ""

    def accept(self, *words: str) -> bool:
        """Step over these tokens if they come next."""
        if all(self.peek(index) == word for index, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.syntax()

    def end(self) -> bool:
        return self.at >= len(self.tokens)

    def finish(self) -> None:
        if not self.end():
            raise self.syntax()

    def syntax(self) -> VgateError:
        rest = self.text[self.tokens[self.at].start :] if not self.end() else b""
        near = decoded(rest[:80], self.mode.charset)
        return SYNTAX(
            detail="check the manual that corresponds to your server version for the right syntax to use"
            f" near '{near}' at line 1"
        )

    def since(self, begin: int) -> str:
        """The text from that token on, up to the next; bytes that are no UTF-8 are in it as surrogates."""
        return self.text[self.tokens[begin].start : self.tokens[self.at - 1].end].decode("utf-8", "surrogateescape")

    def name(self) -> str:
        """A name, quoted or not."""
        if self.end() or self.tokens[self.at].kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME):
            raise self.syntax()
        self.at += 1
        return name_of(self.text, self.tokens[self.at - 1], self.mode)

    def name_or_string(self) -> str:
        """A name or, as character sets and patterns are often written, a string."""
        if self.end() or self.tokens[self.at].kind is not TokenKind.STRING:
            return self.name()
        value = read_literal(self.raw(self.tokens[self.at]), self.mode).value
        self.at += 1
        return decoded(value if isinstance(value, bytes) else b"", self.mode.charset)


def recognise(text: bytes, mode: LexMode) -> Statement | None:
    """vgate's own statement in ``text``, None if it is somebody else's. Raises VgateError for a malformed one."""
    tokens = lexer_for(mode).tokens(text)
    reader = Reader(text, tokens, mode)
    first = reader.peek()
    reader.at += 1
    match first:
        case "use":
            return _use(reader)
        case "begin":
            if reader.peek() == "not":  # MariaDB's BEGIN NOT ATOMIC is a compound statement
                return None
            reader.accept("work")
            reader.finish()
            return Begin(())
        case "start":
            return _start(reader)
        case "commit" | "rollback":
            return _end(reader, first)
        case "savepoint":
            name = reader.name()
            reader.finish()
            return Savepoint(name)
        case "release":
            if not reader.accept("savepoint"):
                return None
            name = reader.name()
            reader.finish()
            return ReleaseSavepoint(name)
        case "set":
            return _set(reader)
        case "select":
            return _next(reader)
        case "show":
            return _show(reader)
        case "alter":
            return read_alter(reader)
        case "create" | "drop":
            return _database(reader, creates=first == "create")
        case "kill":
            return _kill(reader)
        case "vexplain":
            reader.accept("plan")
            if reader.end():
                raise reader.syntax()
            return Vexplain(reader.tokens[reader.at].start)
    return None


def _database(reader: Reader, *, creates: bool) -> DatabaseStatement | None:
    """CREATE or DROP DATABASE; None for what else they make and drop. A database's options are not looked at."""
    if creates:
        reader.accept("or", "replace")
    if not (reader.accept("database") or reader.accept("schema")):
        return None
    lenient = reader.accept("if", "not", "exists") if creates else reader.accept("if", "exists")
    name = reader.name()
    if not creates:
        reader.finish()
    return DatabaseStatement(creates, name, lenient)


def _use(reader: Reader) -> Use:
    """``USE name``: quoted, or a bare target such as ``customer@primary`` whose tokens touch."""
    if reader.end():
        raise reader.syntax()
    token = reader.tokens[reader.at]
    if token.kind is TokenKind.QUOTED_NAME and reader.at + 1 == len(reader.tokens):
        return Use(reader.name())
    rest = reader.text[token.start : reader.tokens[-1].end]
    if any(byte in rest for byte in b" \t\r\n"):
        reader.at += 1
        raise reader.syntax()
    if reader.mode.charset == "swe7":  # where a letter is what quotes
        rest = rest.replace(b"`", b"")
    return Use(unquoted_name(rest, reader.mode.charset).replace("`", ""))


def _start(reader: Reader) -> Begin | None:
    if not reader.accept("transaction"):
        return None
    modifiers: list[str] = []
    while not reader.end():
        for words in (("with", "consistent", "snapshot"), ("read", "only"), ("read", "write")):
            if reader.accept(*words):
                modifiers.append(" ".join(words).upper())
                break
        else:
            raise reader.syntax()
        if reader.end():
            break
        reader.expect(",")
        if reader.end():
            raise reader.syntax()
    if {"READ ONLY", "READ WRITE"} <= set(modifiers):
        raise reader.syntax()
    return Begin(tuple(modifiers))


def _end(reader: Reader, word: str) -> Commit | Rollback | RollbackTo | None:
    if reader.peek() in ("prepared",):
        return None
    reader.accept("work")
    if word == "rollback" and reader.accept("to"):
        reader.accept("savepoint")
        name = reader.name()
        reader.finish()
        return RollbackTo(name)
    chain = release = False
    if reader.accept("and"):
        chain = not reader.accept("no")
        reader.expect("chain")
    if reader.accept("no"):
        reader.expect("release")
    elif not chain and reader.accept("release"):
        release = True
    reader.finish()
    return Commit(chain, release) if word == "commit" else Rollback(chain, release)


# SET @@x without a scope sets these for the next transaction alone, SET x without @@ for the session.
_OF_TRANSACTION: Final = ("transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only")
_VARIABLE: Final = re.compile(r"[A-Za-z0-9_$]+(?:\.[A-Za-z0-9_$]+)*")


def _set(reader: Reader) -> Set | None:
    """SET: assignments split at top-level commas. None for the SETs that are not assignments (PASSWORD, ROLE...)."""
    first = reader.peek()
    second = reader.peek(1)
    if first in ("password", "role", "default", "resource", "statement") and second not in ("=", ":="):
        return None
    if first == "transaction" or (first in ("session", "local", "global") and second == "transaction"):
        scope = "once" if first == "transaction" else "global" if first == "global" else "session"
        start = 1 if first == "transaction" else 2
        if reader.at + start >= len(reader.tokens):
            raise reader.syntax()
        text = reader.text[reader.tokens[reader.at + start].start : reader.tokens[-1].end]
        return Set((TransactionCharacteristics(scope, text.decode("ascii", "replace")),))
    assignments: list[Assignment] = []
    scope = "session"
    while True:
        assignment, scope = _assignment(reader, scope)
        assignments.append(assignment)
        if reader.end():
            return Set(tuple(assignments))
        reader.expect(",")


def _assignment(reader: Reader, scope: str) -> tuple[Assignment, str]:
    begin = reader.at
    if reader.accept("names"):
        charset = reader.name_or_string()
        if reader.accept("collate"):
            reader.name_or_string()
        return Names(charset, reader.since(begin)), scope
    if reader.accept("character", "set") or reader.accept("char", "set") or reader.accept("charset"):
        return Names(reader.name_or_string(), reader.since(begin)), scope
    for word in ("session", "local", "global", "persist", "persist_only"):
        if reader.accept(word):
            scope = {"local": "session"}.get(word, word)
            break
    if reader.end():
        raise reader.syntax()
    token = reader.tokens[reader.at]
    raw = reader.raw(token)
    if token.kind is TokenKind.VARIABLE and not raw.startswith(b"@@"):
        reader.at += 1
        return UserVariable(decoded(raw, reader.mode.charset), _value(reader)), scope
    here = scope
    if raw.startswith(b"@@"):
        here = "session"
        name = raw[2:].decode("utf-8", "replace")
        if name[:1] == "`":
            name = name[1:-1].replace("``", "`")
        reader.at += 1
    else:
        name = reader.name()
    while reader.accept("."):
        name += "." + reader.name()
    prefix, dot, rest = name.partition(".")
    if dot and prefix.lower() in ("session", "local", "global", "persist", "persist_only"):
        here = {"local": "session"}.get(prefix.lower(), prefix.lower())
        name = rest
    elif raw.startswith(b"@@") and name.lower() in _OF_TRANSACTION:
        here = "once"
    if not _VARIABLE.fullmatch(name):  # it is written without quotes later, and could say something else there
        reader.at -= 1
        raise reader.syntax()
    return SystemVariable(here, name.lower(), _value(reader)), scope


def _value(reader: Reader) -> str:
    """The text of an assignment's right side, up to a comma outside parentheses."""
    if not (reader.accept("=") or reader.accept(":=")):
        raise reader.syntax()
    begin = reader.at
    depth = 0
    while not reader.end():
        word = reader.peek()
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            break
        reader.at += 1
    if reader.at == begin:
        raise reader.syntax()
    return reader.since(begin)


def _next(reader: Reader) -> SelectNext | None:
    """``SELECT NEXT {VALUE | n VALUES} {FOR|FROM} [ks.]name``, nothing after it."""
    while reader.accept("sql_cache") or reader.accept("sql_no_cache"):
        pass
    if reader.peek() != "next":
        return None
    phrase = reader.peek(1) == "value" and reader.peek(2) == "for"
    if reader.peek(1) == "value" and reader.peek(2) in ("for", "from"):
        count: int | None = 1
        reader.at += 3
    elif reader.peek(2) == "values" and reader.peek(3) in ("for", "from"):
        token = reader.tokens[reader.at + 1]
        raw = reader.raw(token)
        if raw == b"?":
            count = None
        else:
            literal = read_literal(raw, reader.mode)
            if literal.kind is not LiteralKind.INTEGER:
                reader.at += 1
                raise reader.syntax()
            count = int(raw)
        reader.at += 4
    elif reader.peek(1) in (",", "from", "") or reader.peek(1) == "as":
        return None  # a column that is called next
    else:
        return None
    keyspace: str | None = None
    name = reader.name()
    if reader.accept("."):
        keyspace, name = name, reader.name()
    if phrase and reader.peek() not in ("", ";"):  # an expression, as in MariaDB: see ``nextval``
        return None
    reader.finish()
    return SelectNext(keyspace, name, count)


_SHOWS: Final[dict[tuple[str, ...], str]] = {
    ("databases",): "databases",
    ("schemas",): "databases",
    ("keyspaces",): "keyspaces",
    ("vitess_keyspaces",): "keyspaces",
    ("vitess_shards",): "vitess_shards",
    ("vitess_target",): "vitess_target",
    ("warnings",): "warnings",
    ("errors",): "errors",
    ("count", "(", "*", ")", "warnings"): "count_warnings",
    ("count", "(", "*", ")", "errors"): "count_errors",
}


def _show(reader: Reader) -> ShowVgate | ShowVschema | None:
    if reader.accept("vschema"):
        return read_show(reader)
    for words, what in _SHOWS.items():
        if reader.accept(*words):
            like = None
            if reader.accept("like"):
                like = reader.name_or_string()
            if what in ("warnings", "errors") and reader.accept("limit"):
                reader.at = len(reader.tokens)  # at most 64 rows are kept: LIMIT is taken as read
            if reader.peek() == "where":
                return None
            reader.finish()
            return ShowVgate(what, like)
    return None


def _kill(reader: Reader) -> Kill | None:
    query_only = reader.accept("query")
    if not query_only:
        reader.accept("connection")
    if reader.end():
        raise reader.syntax()
    if reader.peek() in ("hard", "soft", "user", "id"):  # MariaDB's other forms
        return None
    begin, reader.at = reader.at, len(reader.tokens)
    return Kill(reader.since(begin), query_only)


