"""Queries over information_schema as if all keyspaces were databases of one server, under their own names.

In the text, each table of information_schema that tells of databases becomes a derived table: the rows of the server
that answers, of its keyspace's database alone, under the keyspace's name; and, written out, the rows that other
keyspaces' servers have of theirs. So a table of a sharded keyspace is there once, and no database that vgate keeps to
itself. Tables that tell of one server remain those of the server that answers (``schema_names``). The server does the
rest. It does not know which keyspaces a query is about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from vgate.backend.connection import Rows
from vgate.engine.call import Call
from vgate.engine.counts import NAMES, Counts, counts_of_others, summed
from vgate.engine.processes import Process, rows_of
from vgate.engine.schema_names import renamed, renamed_cell, server_table
from vgate.engine.single import run_single
from vgate.errors import DATABASE_DENIED, UNSUPPORTED
from vgate.planner.implicit import owns_sequence
from vgate.planner.plan import Access, Schemas
from vgate.planner.schemata import COUNTS, SERVER_TABLES, SPELLINGS, TABLES
from vgate.sql.lexer import Token, TokenKind
from vgate.sql.names import backquoted, name_of, text_literal
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place
from vgate.wire.packets import ColumnDefinition, read_column

MOST: Final = 4 << 20
"""Bytes of other keyspaces' rows that are written into a statement."""

_NUMBERS: Final = frozenset({0, 1, 2, 3, 4, 5, 8, 9, 13, 246})
_TIMES: Final = frozenset({7, 12})
_JSON: Final = 245
_NO_ALIAS_NAMES: Final = """
    where join inner left right cross natural straight_join on using order group having limit union except intersect
    minus for use force ignore window into lock partition procedure fetch offset qualify full outer
"""
_NO_ALIAS: Final = frozenset(_NO_ALIAS_NAMES.split())
"""What may follow a table that has no alias."""

_AFTER_ITEMS: Final = ("from", "into", "where", "group", "order", "having", "limit", "union", "except", "intersect")
"""What ends a select list."""

_KNOWN: Final = TABLES.keys() | SERVER_TABLES.keys()

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
        self._columns: dict[str, bytes] = {}

    async def text(self) -> bytes:
        changes: dict[int, tuple[int, bytes]] = {}
        aliases: dict[str, bytes] = {}
        mentions = list(self._mentions())
        for index in mentions:
            table = self._tokens[index + 2]
            if self._word(index + 3) == ".":  # a column with its table's full name
                continue
            name = self._name(table)
            start, head, alias = self._tokens[index].start, b"", b""
            if self._word(index - 1) == "table" and self._mysql():  # MariaDB does not know this
                start, head = self._tokens[index - 1].start, b"SELECT * FROM "
            if not self._has_alias(index + 3):
                aliases[name.lower()] = backquoted(name)
                alias = b" AS " + backquoted(name)
            changes[start] = table.end, b"%b(%b)%b" % (head, await self._table(name.lower()), alias)
        for start, end, name in self._qualifiers(mentions):
            if name in aliases and start not in changes:
                changes[start] = end, aliases[name]
        changes = {**dict(self._headings()), **changes}
        parts: list[bytes] = []
        at = 0
        for start, (end, new) in sorted(changes.items()):
            parts += (self._source[at:start], new)
            at = end
        return b"".join((*parts, self._source[at:]))

    def _headings(self) -> Iterator[tuple[int, tuple[int, bytes]]]:
        """Select items that are columns, under the name that a column of information_schema has in a result: MySQL's
        views say it as it is there, other tables as it was asked for, but all say that of a derived table's column as
        it is there.
        """
        for index in self._items():
            token = self._tokens[index]
            official = self._columns.get(self._name(token).lower())
            if official is not None:
                item = self._source[token.start : token.end]
                yield token.start, (token.end, official or item + b" AS " + backquoted(self._name(token)))

    def _items(self) -> Iterator[int]:
        """The names that stand in a select list alone, but for a qualifier: the last token of each."""
        lists = [False]  # for each open parenthesis, whether a select list goes on inside it
        for index, token in enumerate(self._tokens):
            word = self._word(index)
            if word == "(":
                lists.append(False)
            elif word == ")" and len(lists) > 1:
                lists.pop()
            elif word == "select":
                lists[-1] = True
            elif word in _AFTER_ITEMS:
                lists[-1] = False
            elif (
                lists[-1] and token.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME)
                and self._word(index - 1) in ("select", "distinct", "all", ",", ".")
                and (self._word(index + 1) in (",", ")", ";", *_AFTER_ITEMS) or index + 1 == len(self._tokens))
            ):  # fmt: skip
                yield index

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
                and self._word(index + 1) == "." and self._name(self._tokens[index + 2]).lower() in _KNOWN
            ):  # fmt: skip
                yield index

    def _mysql(self) -> bool:
        return self._call.scope.cluster.facts_for(self._place[0]).flavour is Flavour.MYSQL

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
            servers = self._call.scope.cluster.keyspaces[host]
            database, names = servers.database(index), servers.called[index]
            columns = await self._described(table)
            if table in SERVER_TABLES:
                own = [column.name.decode("utf-8") for column in columns]
                self._derived[table] = server_table(table, own, names, database)
                return self._derived[table]
            if table == "processlist":
                rows = await rows_of(await self._processes(), columns, self._call.scope.cluster)
                self._derived[table] = b" UNION ALL ".join(rows)
                return self._derived[table]
            counts = self._counting(host) if table == "columns" else {}
            added = await self._added(self._place, table)
            selected = b", ".join(
                _added_to(column, table, database, added) or _selected(column, database, names, counts)
                for column in columns
            )
            schema = TABLES[table].encode()
            parts = [b"SELECT %b FROM information_schema.%b WHERE %b IN (%b, %b)%b" % (
                selected, table.encode(), schema, text_literal(database), text_literal("information_schema"),
                self._but_own(host, columns),
            )]  # fmt: skip
            for keyspace in self._others:
                parts += await self._written_out(table, keyspace, columns)
            self._derived[table] = b" UNION ALL ".join(parts)
        return self._derived[table]

    async def _described(self, table: str) -> list[ColumnDefinition]:
        """The table's columns. ``_columns`` then has the name of each in results; none where it is as it is asked for.

        One more is asked for by a name that no server has for it.
        """
        probe = (TABLES.get(table) or next(iter(SERVER_TABLES[table]))).title().encode()
        sql = b"SELECT *, %b FROM information_schema.%b LIMIT 0" % (probe, table.encode())
        *columns, probed = _columns(await self._ask(*self._place, sql))
        for column in columns:
            name = column.name.decode("utf-8")
            self._columns.setdefault(name.lower(), b"" if probed.name == probe else backquoted(name))
        return columns

    async def _written_out(self, table: str, keyspace: str, described: Sequence[ColumnDefinition]) -> list[bytes]:
        """The rows of another keyspace's server as SELECTs of literals. Raises UNSUPPORTED where they are too many."""
        servers = self._call.scope.cluster.keyspaces[keyspace]
        of_database = b"%b = %b" % (TABLES[table].encode(), text_literal(servers.database(0)))
        but = self._but_own(keyspace, described)
        sql = b"SELECT * FROM information_schema.%b WHERE %b%b" % (table.encode(), of_database, but)
        expected = [column.name.lower() for column in described]
        answer = await self._ask(keyspace, 0, sql)
        columns = _columns(answer)
        if [column.name.lower() for column in columns] != expected:
            raise UNSUPPORTED(construct=f"information_schema.{table} of servers of different versions")
        found: list[bytes] = []
        rows = answer.values()
        counts = self._counting(keyspace) if table == "columns" else {}
        if counts:
            at = {name: position for position, name in enumerate(expected)}
            rows = [_counted(row, counts, at) for row in rows]
        added = await self._added((keyspace, 0), table)
        if added:
            shown = [COUNTS[table].get(name.decode(), name.decode()) for name in expected]
            keys = [expected.index(name.lower().encode()) for name in NAMES[table]]
            rows = [summed(row, shown, added.get(tuple(row[one] for one in keys), ())) for row in rows]
        for row in rows:
            values = (_value(column, cell, servers.called[0]) for column, cell in zip(columns, row, strict=True))
            found.append(b"SELECT " + b", ".join(values))
            self._size += len(found[-1])
            if self._size > MOST:
                raise UNSUPPORTED(
                    construct=f"information_schema.{table} of all keyspaces at once, as it is this large; name one"
                    f" (WHERE {TABLES[table]} = ...)"
                )
        return found

    def _but_own(self, keyspace: str, columns: Sequence[ColumnDefinition]) -> bytes:
        """A condition against vgate's own tables, where the rows are about tables."""
        own = self._call.scope.cluster.vschema.own_tables(keyspace)
        if not own or all(column.name.lower() != b"table_name" for column in columns):
            return b""
        return b" AND TABLE_NAME NOT IN (%b)" % b", ".join(map(text_literal, sorted(own)))

    async def _added(self, place: Place, table: str) -> Counts:
        """What the keyspace's other shards count, where the query may show that."""
        sharded = self._call.scope.cluster.vschema.keyspace(place[0]).sharded
        if table not in COUNTS or not sharded or not self._shows(COUNTS[table]):
            return {}
        return await counts_of_others(self._call, place, table, ())

    def _shows(self, columns: Collection[str]) -> bool:
        """True where one of the columns is named, or all are asked for."""
        for index, token in enumerate(self._tokens):
            word = self._word(index)
            if word == "table" or (word == "*" and self._word(index - 1) != "("):
                return True
            named = token.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME)
            if named and self._name(token).lower() in columns:
                return True
        return False

    def _counting(self, keyspace: str) -> dict[str, str]:
        """The tables whose ids come from a sequence of their own, and the column: the shards do not know of it."""
        tables = self._call.scope.cluster.vschema.keyspace(keyspace).tables.values()
        return {
            table.name.table: table.auto_increment.column
            for table in tables if table.auto_increment is not None and owns_sequence(table)
        }  # fmt: skip

    async def _ask(self, keyspace: str, index: int, sql: bytes) -> Rows:
        async with self._call.scope.cluster.connection(keyspace, index) as connection:
            answer = await connection.query(sql)
        assert isinstance(answer, Rows)
        return answer


def _counted(
    row: tuple[bytes | None, ...], counts: Mapping[str, str], at: Mapping[bytes, int]
) -> tuple[bytes | None, ...]:
    """A row of information_schema.columns, with auto_increment where it is about a column that counts."""
    table, column = (row[at[name]] or b"" for name in (b"table_name", b"column_name"))
    counting = counts.get(table.decode("utf-8"))
    extra = at[b"extra"]
    if counting is None or row[extra] or column.decode("utf-8").lower() != counting.lower():
        return row
    return (*row[:extra], b"auto_increment", *row[extra + 1 :])


def _added_to(column: ColumnDefinition, table: str, database: str, counts: Counts) -> bytes:
    """A column that is a sum over all shards; nothing if it is none."""
    own = column.name.decode("utf-8")
    called = COUNTS[table].get(own.lower()) if counts else None
    if called is None:
        return b""
    name = backquoted(own)
    if called == "avg_row_length":
        rows, data = (_sum(one, table, counts) for one in ("TABLE_ROWS", "DATA_LENGTH"))
        value = b"CAST(IFNULL(%b DIV NULLIF(%b, 0), IF(%b IS NULL, NULL, 0)) AS UNSIGNED)" % (data, rows, name)
    else:
        value = _sum(own, table, counts)
    return b"IF(TABLE_SCHEMA = %b, %b, %b) AS %b" % (text_literal(database), value, name, name)


def _sum(column: str, table: str, counts: Counts) -> bytes:
    """The server's own number and the others'."""
    called = COUNTS[table][column.lower()]
    cases: list[bytes] = []
    for key, others in counts.items():
        number = sum(int(other[called] or 0) for other in others)
        if number:
            parts = (
                b"SEQ_IN_INDEX = %b" % (cell or b"0") if name == "SEQ_IN_INDEX" else
                b"CONVERT(%b USING utf8mb4) = %b COLLATE utf8mb4_bin" % (
                    name.encode(), text_literal((cell or b"").decode("utf-8", "replace"))
                )
                for name, cell in zip(NAMES[table], key, strict=True)
            )  # fmt: skip
            cases.append(b"WHEN %b THEN %d" % (b" AND ".join(parts), number))
    own = backquoted(column)
    return b"(%b + CASE %b ELSE 0 END)" % (own, b" ".join(cases)) if cases else own


def _columns(answer: Rows) -> list[ColumnDefinition]:
    return [read_column(payload) for payload in answer.columns]


def _selected(column: ColumnDefinition, database: str, names: Mapping[str, str], counts: Mapping[str, str]) -> bytes:
    """A column of the server's own, with keyspaces' names in place of their databases'."""
    own = column.name.decode("utf-8")
    name = backquoted(own)
    if counts and own.lower() == "extra":
        pairs = b", ".join(
            b"(%b, %b)" % (text_literal(table), text_literal(counting)) for table, counting in counts.items()
        )
        here = b"TABLE_SCHEMA = %b AND %b = '' AND (TABLE_NAME, COLUMN_NAME) IN (%b)" % (
            text_literal(database), name, pairs
        )  # fmt: skip
        return b"IF(%b, 'auto_increment', %b) AS %b" % (here, name, name)
    spelling = SPELLINGS.get(own.lower())
    value = name if spelling is None else renamed(name, spelling, names)
    return name if value == name else b"%b AS %b" % (value, name)


def _value(column: ColumnDefinition, cell: bytes | None, names: Mapping[str, str]) -> bytes:
    """A value as SQL that is the same under every sql_mode and character set."""
    if cell is None:
        return b"NULL"
    if column.type in _NUMBERS:
        return cell
    if column.type in _TIMES and not cell.startswith(b"0000"):
        return b"TIMESTAMP'%b'" % cell
    text = cell.decode("utf-8", "replace")
    spelling = SPELLINGS.get(column.name.decode("utf-8").lower())
    literal = text_literal(text if spelling is None else renamed_cell(text, spelling, names))
    return b"CAST(%b AS JSON)" % literal if column.type == _JSON else literal
