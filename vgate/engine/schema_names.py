"""Names of databases in the rows of information_schema, as clients call them: as SQL.

Of a table that tells of one server, as InnoDB's own do, a row stays where it is about the keyspace's database, about
the server's own (``mysql``, ``sys``) or about none, as are the undo and temporary tablespaces. The others would tell of
databases that vgate keeps to itself: other shards', other keyspaces'. No rows of other servers are added, as the
numbers by which these tables are joined are one server's. The server evaluates all this; nothing is written out. It
does not know the statements in which the tables are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vgate.planner.schemata import SERVER_TABLES, Spelling
from vgate.sql.filenames import filename_of
from vgate.sql.names import backquoted, text_literal

_SYSTEM: Final = ("mysql", "sys", "performance_schema")
_ANYWHERE: Final = (Spelling.TEXT, Spelling.SAID, Spelling.DOTTED)
_BRIEF: Final = b"SELECT SPACE FROM information_schema.INNODB_TABLESPACES_BRIEF WHERE "
"""By this MySQL's innodb_datafiles, which has paths alone, knows whose the file of a tablespace is."""


def server_table(table: str, columns: Iterable[str], names: Mapping[str, str], database: str) -> bytes:
    """A query for the table, whose columns are these. ``names``: what clients call each database of the server."""
    spellings = SERVER_TABLES[table]
    selected = b", ".join(_selected(column, spellings.get(column.lower()), names) for column in columns)
    first, spelling = next(iter(spellings.items()))
    return b"SELECT %b FROM information_schema.%b WHERE %b" % (
        selected, table.encode(), _stays(backquoted(first), spelling, database)
    )  # fmt: skip


def _selected(column: str, spelling: Spelling | None, names: Mapping[str, str]) -> bytes:
    name = backquoted(column)
    if spelling is None:
        return name
    return b"%b AS %b" % (renamed(name, spelling, names), name)


def renamed(value: bytes, spelling: Spelling, names: Mapping[str, str]) -> bytes:
    """An expression for the value, with keyspaces' names in place of their databases'."""
    if spelling in _ANYWHERE:
        if spelling is Spelling.DOTTED:  # a name stands behind a space, the first one too
            value = b"CONCAT(' ', %b)" % value
        for old, new in _starts_of(spelling, names):
            value = b"REPLACE(%b, %b, %b)" % (value, text_literal(old), text_literal(new))
        return b"SUBSTRING(%b, 2)" % value if spelling is Spelling.DOTTED else value
    cases = [
        _case(value, spelling, database, keyspace) for database, keyspace in names.items() if database != keyspace
    ]  # fmt: skip
    return b"CASE %b ELSE %b END" % (b" ".join(cases), value) if cases else value


def renamed_cell(cell: str, spelling: Spelling, names: Mapping[str, str]) -> str:
    """The same of a value that is known: a name, or a text."""
    if spelling is Spelling.NAME:
        return names.get(cell, cell)
    cell = f" {cell}" if spelling is Spelling.DOTTED else cell
    for old, new in _starts_of(spelling, names):
        cell = cell.replace(old, new)
    return cell[1:] if spelling is Spelling.DOTTED else cell


def _starts_of(spelling: Spelling, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """How names of tables start, as it is and as it is to be; but of no database that is called like a keyspace."""
    for database, keyspace in names.items():
        if database not in names.values():
            yield _start(spelling, database), _start(spelling, keyspace)


def _case(value: bytes, spelling: Spelling, database: str, keyspace: str) -> bytes:
    if spelling is Spelling.NAME:
        return b"WHEN %b = %b THEN %b" % (value, text_literal(database), text_literal(keyspace))
    if spelling is Spelling.PATH:
        old, new = text_literal(filename_of(database)), text_literal(filename_of(keyspace))
        file = b"SUBSTRING_INDEX(%b, '/', -2)" % value
        before = b"LEFT(%b, CHAR_LENGTH(%b) - CHAR_LENGTH(%b))" % (value, value, file)
        after = b"SUBSTRING_INDEX(%b, '/', -1)" % value
        is_old = b"SUBSTRING_INDEX(%b, '/', 1) = %b COLLATE utf8mb4_bin" % (file, old)
        return b"WHEN %b THEN CONCAT(%b, %b, '/', %b)" % (is_old, before, new, after)
    start, new = _start(spelling, database), text_literal(_start(spelling, keyspace))
    return b"WHEN %b THEN CONCAT(%b, SUBSTRING(%b, %d))" % (_starts(value, start), new, value, len(start) + 1)


def _start(spelling: Spelling, database: str) -> str:
    """How names of a database's tables start."""
    if spelling is Spelling.SAID:
        return f"'{database}."
    if spelling is Spelling.DOTTED:
        return f" {database}."
    if spelling in (Spelling.QUOTED, Spelling.TEXT):
        return f"{backquoted(database).decode()}."
    return f"{filename_of(database) if spelling is Spelling.FILENAME else database}/"


def _starts(value: bytes, start: str) -> bytes:
    return b"LEFT(%b, %d) = %b COLLATE utf8mb4_bin" % (value, len(start), text_literal(start))


def _stays(value: bytes, spelling: Spelling, database: str) -> bytes:
    """A condition for the rows that stay."""
    if spelling in _ANYWHERE:
        return b"TRUE"
    if spelling is Spelling.PATH:
        return b"SPACE IN (%b%b)" % (_BRIEF, _stays(b"NAME", Spelling.PLAIN, database))
    separator = text_literal("`.`" if spelling is Spelling.QUOTED else "/")
    of_these = (_starts(value, _start(spelling, one)) for one in (database, *_SYSTEM))
    return b" OR ".join((b"%b IS NULL OR LOCATE(%b, %b) = 0" % (value, separator, value), *of_these))
