"""Keyspaces whose databases are called otherwise, or that routing rules stand in for: names in the text on its way
there, and in columns on the way back.

A keyspace's name is its database's where a database can stand: before a dot, unless what stands there is a table or an
alias of the same name (``from customer.customer where customer.id = 1``), and after the FROM of a SHOW. It does not
know which statements there are beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.engine.call import Call
from vgate.engine.listings import without
from vgate.sql.lexer import Token, TokenKind
from vgate.sql.literals import read_literal
from vgate.sql.names import name_of, text_literal
from vgate.transactions.scope import Place
from vgate.wire.schemas import SchemaRename, Told

_LISTED: Final = "tables_in_"
_NAMES: Final = (TokenKind.NAME, TokenKind.QUOTED_NAME)
_TABLES: Final = frozenset(
    b"from join into table tables update describe desc explain delete replace insert truncate call handler references"
    b" like to view using analyze optimize".split()
)
"""Words after which tables are named, up to the next word of ``_COLUMNS``."""

_COLUMNS: Final = frozenset(
    b"select where on set having group order limit values value when partition return do by with returning".split()
)
_DEFINITIONS: Final = frozenset(b"create drop alter grant revoke lock rename".split())
"""Statements in which, up to a SELECT, ON and the like name tables, and columns do not have qualifiers."""
_TELLING: Final = re.compile(
    rb"\s*(?:(?:check|analyze|optimize|repair|checksum)\s+(?:(?:local|no_write_to_binlog)\s+)?tables?"
    rb"|show\s+(?:full\s+)?(?:open|events|procedure|function|(?:table|index)_statistics|create\s+(?:database|schema))"
    rb"|explain|desc|describe)\b",
    re.I,
)
"""Statements whose rows tell of databases, or of tables with their database."""
_QUOTING: Final = re.compile(rb"\s*show\s+(?:full\s+)?(?:triggers|table\s+status|engine|create)\b", re.I)
"""Statements whose rows hold others, or what is said of them: a database may be named in these."""


def text_for(call: Call, place: Place, text: bytes) -> bytes:
    """``text`` as the server of ``place`` is to read it."""
    servers = call.scope.cluster.keyspaces[place[0]]
    if servers.private[place[1]]:
        text = without(servers.private[place[1]], text, call.lexer)
    if not servers.renamed and not servers.neighbours:
        return text
    database = servers.database(place[1])
    names = {**servers.neighbours, **dict.fromkeys(servers.aliases, database), place[0]: database}
    names = {keyspace: called for keyspace, called in names.items() if keyspace != called}
    return _Renaming(call, text, names).text() if names else text


def own_tables(call: Call, place: Place) -> frozenset[bytes]:
    """The tables there that are vgate's own; who aims at a shard sees them."""
    if call.session.target.shard is not None:
        return frozenset()
    return frozenset(name.encode() for name in call.scope.cluster.vschema.own_tables(place[0]))


def as_one(call: Call, text: bytes, names: Mapping[str, str]) -> bytes:
    """``text`` with other names for keyspaces, where they stand before a table's."""
    return _Renaming(call, text, names).text()


def columns_of(call: Call, place: Place) -> SchemaRename | None:
    """The filter for answers of ``place``; None where names are the same."""
    servers = call.scope.cluster.keyspaces[place[0]]
    if not servers.renamed and not servers.neighbours:
        return None
    database = _database(call, place)
    others = {
        called.encode("utf-8"): keyspace.encode("utf-8")
        for keyspace, called in servers.neighbours.items() if called != keyspace
    }  # fmt: skip
    if database is None and not others:
        return None
    telling = call.execution is None and _TELLING.match(call.text) is not None
    quoting = call.execution is None and not telling and _QUOTING.match(call.text) is not None
    old = place[0] if database is None else database
    rows = Told.NAMES if telling else Told.TEXTS if quoting else Told.NOTHING
    return SchemaRename(old.encode("utf-8"), place[0].encode("utf-8"), rows=rows, others=others)


def fields_of(cluster: Cluster, place: Place) -> SchemaRename | None:
    """The same for COM_FIELD_LIST."""
    address = cluster.keyspaces[place[0]].keyspace.shards[place[1]].address
    if address is None or address.database == place[0]:
        return None
    return SchemaRename(address.database.encode("utf-8"), place[0].encode("utf-8"), columns_only=True)


def _database(call: Call, place: Place) -> str | None:
    """The database of ``place`` if it has another name than its keyspace."""
    servers = call.scope.cluster.keyspaces[place[0]]
    if not servers.renamed:
        return None
    address = servers.keyspace.shards[place[1]].address
    return None if address is None or address.database == place[0] else address.database


class _Renaming:
    """One statement, on its way to a server where the keyspaces have these databases."""

    def __init__(self, call: Call, text: bytes, databases: Mapping[str, str]) -> None:
        self._source = text
        self._databases_of = databases
        self._mode = call.mode
        self._quoted = call.quoted
        self._tokens = call.lexer.tokens(text)
        self._names = [
            token.kind in _NAMES and name_of(text, token, call.mode) in databases for token in self._tokens
        ]

    def text(self) -> bytes:
        parts: list[bytes] = []
        at = 0
        changes = {index: self._called(index) for index in (self._databases() if any(self._names) else ())}
        if self._word(0) == b"show":
            changes |= self._compared()
        for index, new in sorted(changes.items()):
            token = self._tokens[index]
            parts += (self._source[at : token.start], new)
            at = token.end
        return b"".join((*parts, self._source[at:]))

    def _called(self, index: int) -> bytes:
        return self._quoted(self._databases_of[name_of(self._source, self._tokens[index], self._mode)])

    def _word(self, index: int) -> bytes:
        if not 0 <= index < len(self._tokens) or self._tokens[index].kind is TokenKind.QUOTED_NAME:
            return b""
        token: Token = self._tokens[index]
        return self._source[token.start : token.end].lower()

    def _databases(self) -> list[int]:
        """The tokens that are the keyspace's name and stand for a database."""
        if self._word(0) == b"show":
            return self._shown()
        found = [index for index, is_name in enumerate(self._names) if is_name]
        dotted = [index for index in found if self._word(index + 1) == b"." and self._word(index - 1) != b"."]
        if len(dotted) == len(found):
            return dotted  # no table or alias has the name
        among_tables = self._among_tables()
        return [
            index for index in dotted
            if index in among_tables or self._word(index + 3) in (b".", b"(")
        ]  # fmt: skip

    def _among_tables(self) -> set[int]:
        """The positions at which tables are named, and not columns."""
        places: set[int] = set()
        tables = False
        levels: list[tuple[bool, bool]] = []
        query = True  # the statement itself, or a subquery; not the arguments of a function, where FROM names no table
        defines = self._word(0) in _DEFINITIONS
        for index in range(len(self._tokens)):
            word = self._word(index)
            defines = defines and word != b"select"
            if defines:
                places.add(index)
            elif word == b"(":
                levels.append((tables, query))
                query = self._word(index + 1) in (b"select", b"with", b"(") or tables
            elif word == b")" and levels:
                tables, query = levels.pop()
            elif word in _COLUMNS:
                tables = False
            elif word in _TABLES and query:
                tables = not (word == b"update" and self._word(index - 1) == b"key")
            elif tables:
                places.add(index)
        return places

    def _compared(self) -> dict[int, bytes]:
        """In the WHERE of a SHOW: the name of its column with tables, and texts that the database is compared with."""
        found: dict[int, bytes] = {}
        words = [self._word(index) for index in range(len(self._tokens))]
        if b"where" not in words:
            return found
        of_databases = {b"procedure", b"function", b"events"} & set(words[1:3])
        for index in range(words.index(b"where"), len(words)):
            token = self._tokens[index]
            if token.kind in _NAMES:
                name = name_of(self._source, token, self._mode)
                database = self._databases_of.get(name[len(_LISTED) :])
                if name.lower().startswith(_LISTED) and database is not None:
                    found[index] = self._quoted(name[: len(_LISTED)] + database)
            elif token.kind is TokenKind.STRING and (of_databases or self._is_schema(index - 2)):
                value = read_literal(self._source[token.start : token.end], self._mode).text
                database = None if value is None else self._databases_of.get(value.decode("utf-8", "replace"))
                if database is not None:
                    found[index] = text_literal(database)
        return found

    def _is_schema(self, index: int) -> bool:
        """True for the column with the database, compared with what follows."""
        name = self._tokens[index].kind in _NAMES and name_of(self._source, self._tokens[index], self._mode).lower()
        return name in ("database", "table_schema") and self._word(index + 1) == b"="

    def _shown(self) -> list[int]:
        """In a SHOW a database follows FROM or IN: the second, if the first names a table."""
        words = [self._word(index) for index in range(min(len(self._tokens), 6))]
        of_tables = not {b"columns", b"fields", b"index", b"indexes", b"keys"} & set(words)
        of_database = words[1:2] == [b"create"] and words[2:3] in ([b"database"], [b"schema"])
        found: list[int] = []
        sources = 0
        for index, is_name in enumerate(self._names):
            sources += self._word(index) in (b"from", b"in")
            named = self._word(index - 1) in (b"from", b"in") and (of_tables or sources > 1)
            if is_name and (of_database or named or self._word(index + 1) == b"."):
                found.append(index)
        return found
