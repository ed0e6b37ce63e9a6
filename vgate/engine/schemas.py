"""Queries over information_schema as if all keyspaces were databases of one server, under their own names.

In the text, each table of information_schema that tells of databases becomes a derived table: the rows of the server
that answers, of its keyspace's database alone, under the keyspace's name; and, written out, the rows that other
keyspaces' servers have of theirs. So a table of a sharded keyspace is there once, and no database that vgate keeps to
itself. The server does the rest. It does not know which keyspaces a query is about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from vgate.backend.connection import Rows
from vgate.engine.call import Call
from vgate.engine.processes import Process, rows_of
from vgate.engine.single import run_single
from vgate.errors import DATABASE_DENIED, UNSUPPORTED
from vgate.planner.plan import Access, Schemas
from vgate.planner.schemata import SCHEMA_COLUMNS, TABLES
from vgate.sql.lexer import Token, TokenKind
from vgate.sql.names import backquoted, name_of
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place
from vgate.wire.packets import ColumnDefinition, read_column

MOST: Final = 4 << 20
"""Bytes of other keyspaces' rows that are written into a statement."""

_NUMBERS: Final = frozenset({0, 1, 2, 3, 4, 5, 8, 9, 13, 246})
_TIMES: Final = frozenset({7, 12})
_NO_ALIAS_NAMES: Final = """
    where join inner left right cross natural straight_join on using order group having limit union except intersect
    minus for use force ignore window into lock partition procedure fetch offset qualify full outer
"""
_NO_ALIAS: Final = frozenset(_NO_ALIAS_NAMES.split())
"""What may follow a table that has no alias."""


Processes = Callable[[], Awaitable[Sequence[Process]]]
"""Gives the clients that the user may see."""


async def run_schemas(call: Call, plan: Schemas, processes: Processes) -> bool:
    """Run the query on one server; False if its answer was an error the server gave."""
    login = call.session.login
    allowed = [one for one in plan.keyspaces if login.keyspaces is None or one in login.keyspaces]
    if not allowed:
        raise DATABASE_DENIED(user=login.user, host=login.host, database=plan.keyspace)
    held = (place for place in call.scope.held if place[0] == allowed[0])
    place = next(held, (allowed[0], 0))
    call.text = await _Schemas(call, call.text, place, allowed[1:], processes).text()
    if call.execution is not None:
        text = await _Schemas(call, call.execution.text, place, allowed[1:], processes).text()
        call.execution = replace(call.execution, text=text)
    return await run_single(call, place, call.text, Access.READ)


class _Schemas:
    """One text for the server of ``place``, with the rows of ``others``."""

    def __init__(
        self, call: Call, text: bytes, place: Place, others: Sequence[str], processes: Processes
    ) -> None:
        self._processes = processes
        self._call = call
        self._source = text
        self._place = place
        self._others = others
        self._tokens = call.lexer.tokens(text)
        self._derived: dict[str, bytes] = {}
        self._size = 0
        self._columns: set[str] = set()

    async def text(self) -> bytes:
        changes: dict[int, tuple[int, bytes]] = {}
        aliases: dict[str, bytes] = {}
        mentions = list(self._mentions())
        for index in mentions:
            table = self._tokens[index + 2]
            if self._word(index + 3) == ".":  # a column with its table's full name
                continue
            name = self._name(table)
            alias = b""
            if not self._has_alias(index + 3):
                aliases[name.lower()] = backquoted(name)
                alias = b" AS " + backquoted(name)
            changes[self._tokens[index].start] = table.end, b"(" + await self._table(name.lower()) + b")" + alias
        for start, end, name in self._qualifiers(mentions):
            if name in aliases and start not in changes:
                changes[start] = end, aliases[name]
        if self._call.scope.cluster.facts_for(self._place[0]).flavour is Flavour.MYSQL:
            changes = {**dict(self._official()), **changes}
        parts: list[bytes] = []
        at = 0
        for start, (end, new) in sorted(changes.items()):
            parts += (self._source[at:start], new)
            at = end
        return b"".join((*parts, self._source[at:]))

    def _official(self) -> Iterator[tuple[int, tuple[int, bytes]]]:
        """Select items that are columns, in capitals: MySQL calls them so however they were asked for, but not those of
        a derived table.
        """
        for index, token in enumerate(self._tokens):
            before = self._word(index - 1) if index else ""
            if (
                token.kind is TokenKind.NAME and self._word(index) in self._columns
                and before in ("select", "distinct", "all", ",", ".")
                and self._word(index + 1) in (",", "from", ")", "union", ";", "")
            ):  # fmt: skip
                yield token.start, (token.end, self._word(index).upper().encode())

    def _qualifiers(self, mentions: list[int]) -> Iterator[tuple[int, int, str]]:
        """Where columns are named with their table: start and end of that, and the table; a derived table's name is
        not read in any case of letters, as those of information_schema are.
        """
        within = {index + 2 for index in mentions}
        for index, token in enumerate(self._tokens[:-1]):
            if token.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME) and self._word(index + 1) == ".":
                start = self._tokens[index - 2].start if index in within else token.start
                if index in within or self._word(index - 1) != ".":
                    yield start, token.end, self._name(token).lower()

    def _mentions(self) -> Iterator[int]:
        """Where ``information_schema.x`` is named, for each x that tells of databases."""
        for index in range(len(self._tokens) - 2):
            named = self._tokens[index].kind in (TokenKind.NAME, TokenKind.QUOTED_NAME)
            if (
                named and self._name(self._tokens[index]).lower() == "information_schema"
                and self._word(index + 1) == "." and self._name(self._tokens[index + 2]).lower() in TABLES
            ):  # fmt: skip
                yield index

    def _name(self, token: Token) -> str:
        return name_of(self._source, token, self._call.mode)

    def _word(self, index: int) -> str:
        """A keyword or punctuation; '' for a quoted name, or behind the end."""
        if index >= len(self._tokens) or self._tokens[index].kind is TokenKind.QUOTED_NAME:
            return ""
        return self._source[self._tokens[index].start : self._tokens[index].end].decode("utf-8", "replace").lower()

    def _has_alias(self, index: int) -> bool:
        if index >= len(self._tokens):
            return False
        kind = self._tokens[index].kind
        return kind is TokenKind.QUOTED_NAME or (kind is TokenKind.NAME and self._word(index) not in _NO_ALIAS)

    # -- derived tables -------------------------------------------------------------------------------------------

    async def _table(self, table: str) -> bytes:
        if table not in self._derived:
            host, index = self._place
            database = self._database(host, index)
            like = await self._ask(host, index, b"SELECT * FROM information_schema.%b LIMIT 0" % table.encode())
            columns = _columns(like)
            self._columns.update(column.name.decode().lower() for column in columns)
            if table == "processlist":
                rows = await rows_of(await self._processes(), columns, self._call.scope.cluster)
                self._derived[table] = b" UNION ALL ".join(rows)
                return self._derived[table]
            spelled = self._spelled()
            selected = b", ".join(_selected(column, database, host, spelled) for column in columns)
            schema = TABLES[table].encode()
            parts = [b"SELECT %b FROM information_schema.%b WHERE %b IN (%b, %b)" % (
                selected, table.encode(), schema, _text(database), _text("information_schema")
            )]  # fmt: skip
            for keyspace in self._others:
                parts += await self._written_out(table, keyspace, [column.name.lower() for column in columns])
            self._derived[table] = b" UNION ALL ".join(parts)
        return self._derived[table]

    def _spelled(self) -> dict[str, str]:
        """Names as the statement writes them: MariaDB calls a column of information_schema as it was asked for."""
        if self._call.scope.cluster.facts_for(self._place[0]).flavour is not Flavour.MARIADB:
            return {}
        names = [self._name(one) for one in self._tokens if one.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME)]
        return {name.lower(): name for name in reversed(names)}

    async def _written_out(self, table: str, keyspace: str, expected: list[bytes]) -> list[bytes]:
        """The rows of another keyspace's server as SELECTs of literals. Raises UNSUPPORTED where they are too many."""
        database = self._database(keyspace, 0)
        of_database = b"%b = %b" % (TABLES[table].encode(), _text(database))
        sql = b"SELECT * FROM information_schema.%b WHERE %b" % (table.encode(), of_database)
        answer = await self._ask(keyspace, 0, sql)
        columns = _columns(answer)
        if [column.name.lower() for column in columns] != expected:
            raise UNSUPPORTED(construct=f"information_schema.{table} of servers of different versions")
        found: list[bytes] = []
        for row in answer.values():
            values = (_value(column, cell, database, keyspace) for column, cell in zip(columns, row, strict=True))
            found.append(b"SELECT " + b", ".join(values))
            self._size += len(found[-1])
            if self._size > MOST:
                raise UNSUPPORTED(
                    construct=f"information_schema.{table} of all keyspaces at once, as it is this large; name one"
                    f" (WHERE {TABLES[table]} = ...)"
                )
        return found

    async def _ask(self, keyspace: str, index: int, sql: bytes) -> Rows:
        async with self._call.scope.cluster.connection(keyspace, index) as connection:
            answer = await connection.query(sql)
        assert isinstance(answer, Rows)
        return answer

    def _database(self, keyspace: str, index: int) -> str:
        address = self._call.scope.cluster.keyspaces[keyspace].keyspace.shards[index].address
        return keyspace if address is None else address.database


def _columns(answer: Rows) -> list[ColumnDefinition]:
    return [read_column(payload) for payload in answer.columns]


def _selected(column: ColumnDefinition, database: str, keyspace: str, spelled: Mapping[str, str]) -> bytes:
    """A column of the server's own, with the keyspace's name in place of its database's."""
    own = column.name.decode("utf-8")
    name, alias = backquoted(own), backquoted(spelled.get(own.lower(), own))
    if database == keyspace or own.lower() not in SCHEMA_COLUMNS:
        return b"%b AS %b" % (name, alias)
    return b"IF(%b = %b, %b, %b) AS %b" % (name, _text(database), _text(keyspace), name, alias)


def _value(column: ColumnDefinition, cell: bytes | None, database: str, keyspace: str) -> bytes:
    """A value as SQL that is the same under every sql_mode and character set."""
    if cell is None:
        return b"NULL"
    if column.type in _NUMBERS:
        return cell
    if column.type in _TIMES and not cell.startswith(b"0000"):
        return b"TIMESTAMP'%b'" % cell
    text = cell.decode("utf-8", "replace")
    renamed = column.name.decode().lower() in SCHEMA_COLUMNS and text == database
    return _text(keyspace if renamed else text)


def _text(text: str) -> bytes:
    return b"_utf8mb4 0x" + text.encode("utf-8").hex().encode() if text else b"''"
