"""What a table looks like on a live server: its columns in order, their types and defaults, its unique keys.

Read from information_schema, whose spellings differ: MariaDB writes a string default as an SQL literal and a default
of NULL as the word, MySQL writes the bare text and NULL. Both are read to the same ``TableInfo``.
This module does not know connections: it asks through a port. It keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from vgate.planner.columns import ColumnKind, ColumnType, TableInfo, UniqueKey
from vgate.vschema.model import Column, Table, TableName

Cells = tuple[bytes | None, ...]
Ask = Callable[[str], Awaitable[list[Cells]]]
"""Runs one query on one server and gives its rows, in UTF-8."""

_COLUMNS = """
select c.COLUMN_NAME, c.COLUMN_TYPE, c.CHARACTER_SET_NAME, c.COLLATION_NAME, c.IS_NULLABLE, c.COLUMN_DEFAULT, c.EXTRA,
 c.CHARACTER_MAXIMUM_LENGTH, version(),
 (select t.TABLE_COMMENT from information_schema.TABLES t where t.TABLE_SCHEMA = {database} and t.TABLE_NAME = {table})
from information_schema.COLUMNS c where c.TABLE_SCHEMA = {database} and c.TABLE_NAME = {table}
order by c.ORDINAL_POSITION
"""

_UNIQUE_KEYS = """
select s.INDEX_NAME, s.COLUMN_NAME, s.SUB_PART
from information_schema.STATISTICS s where s.TABLE_SCHEMA = {database} and s.TABLE_NAME = {table} and s.NON_UNIQUE = 0
order by s.INDEX_NAME <> 'PRIMARY', s.INDEX_NAME, s.SEQ_IN_INDEX
"""


def literal(text: str) -> str:
    """``text`` as an SQL string that reads the same in every sql_mode and connection character set."""
    return f"_utf8mb4 x'{text.encode('utf-8').hex()}'" if text else "''"


async def read_table(ask: Ask, database: str, table: TableName) -> TableInfo | None:
    """The table (or view) as the server has it, None if there is none. Raises what ``ask`` raises."""
    names = {"database": literal(database), "table": literal(table.table)}
    rows = await ask(_COLUMNS.format(**names))
    if not rows:
        return None
    keys = await ask(_UNIQUE_KEYS.format(**names))
    return TableInfo(table, tuple(map(_column, rows)), _unique_keys(keys), _text(rows[0][9]))


def _text(cell: bytes | None) -> str:
    return "" if cell is None else cell.decode("utf-8")


def _unique_keys(rows: Sequence[Cells]) -> tuple[UniqueKey, ...]:
    """A functional part, and a prefix of a column, is an empty name: equal values there prove nothing of a column."""
    return tuple(
        UniqueKey(_text(name), tuple(_text(column).lower() if part is None else "" for _, column, part in rows))
        for name, rows in groupby(rows, key=lambda row: row[0])
    )


def _column(cells: Cells) -> ColumnType:
    name, sql, charset, collation, nullable, written, extra, length, version, _ = cells
    kind = read_type(_text(sql))
    extras = _text(extra).upper()
    mariadb = "mariadb" in _text(version).lower()
    default = _mariadb_default(written, kind.kind) if mariadb else _mysql_default(written, kind.kind, extras)
    return ColumnType(
        name=_text(name).lower(),
        sql=_text(sql),
        kind=kind.kind,
        length=int(length) if length and kind.kind in (ColumnKind.TEXT, ColumnKind.BINARY) else kind.length,
        fixed=kind.fixed,
        bits=kind.bits,
        unsigned=kind.unsigned,
        scale=kind.scale,
        charset="binary" if kind.kind is ColumnKind.BINARY else _text(charset),
        collation="binary" if kind.kind is ColumnKind.BINARY else _text(collation),
        nullable=_text(nullable).upper() == "YES",
        default=default.text,
        computed_default=default.computed,
        auto_increment="AUTO_INCREMENT" in extras,
        generated=re.search(r"(?<!_)GENERATED", extras) is not None,
        invisible="INVISIBLE" in extras,
        on_update="ON UPDATE" in extras,
    )


# -- types --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadType:
    """What the text of an SQL type says."""

    kind: ColumnKind
    length: int = 0
    fixed: bool = False
    bits: int = 64
    unsigned: bool = False
    scale: int = 0


_INTEGER_BITS = {
    "tinyint": 8, "bool": 8, "boolean": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64,
}
_TEXT_LENGTHS = {"tinytext": 255, "text": 65535, "mediumtext": 2**24 - 1, "longtext": 2**32 - 1}
_BLOB_LENGTHS = {"tinyblob": 255, "blob": 65535, "mediumblob": 2**24 - 1, "longblob": 2**32 - 1}
_TYPE = re.compile(r"\s*([a-z0-9_]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", re.IGNORECASE)


def read_type(sql: str) -> ReadType:
    """The kind of a column from its type as servers write it, e.g. ``bigint(20) unsigned`` or ``varchar(10)``."""
    match = _TYPE.match(sql)
    if match is None:
        return ReadType(ColumnKind.OTHER)
    name, size, scale = match[1].lower(), match[2], match[3]
    words = sql[match.end():].lower().split()
    if name in _INTEGER_BITS:
        unsigned = "unsigned" in words or "zerofill" in words
        return ReadType(ColumnKind.INTEGER, bits=_INTEGER_BITS[name], unsigned=unsigned)
    if name in ("decimal", "numeric", "dec", "fixed"):
        return ReadType(ColumnKind.DECIMAL, unsigned="unsigned" in words, scale=int(scale or 0))
    if name in ("char", "varchar"):
        return ReadType(ColumnKind.TEXT, length=int(size or 1), fixed=name == "char")
    if name in ("binary", "varbinary"):
        return ReadType(ColumnKind.BINARY, length=int(size or 1), fixed=name == "binary")
    if name in _TEXT_LENGTHS:
        return ReadType(ColumnKind.TEXT, length=_TEXT_LENGTHS[name])
    if name in _BLOB_LENGTHS:
        return ReadType(ColumnKind.BINARY, length=_BLOB_LENGTHS[name])
    return ReadType(ColumnKind.DATE if name == "date" else ColumnKind.OTHER)


# -- defaults -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Default:
    """A column's default: the text of a constant (None: NULL, or there is none), or of an expression."""

    text: str | None = None
    computed: bool = False


_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_STRING = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "Z": "\x1a"}


def _mysql_default(written: bytes | None, kind: ColumnKind, extras: str) -> Default:
    """MySQL: the bare text; binary strings in hexadecimal; an expression is marked in EXTRA."""
    if written is None:
        return Default()
    text = _text(written)
    if "DEFAULT_GENERATED" in extras or (kind is ColumnKind.OTHER and text.upper().startswith("CURRENT_TIMESTAMP")):
        return Default(text, computed=True)
    if kind is ColumnKind.BINARY and re.fullmatch(r"0x([0-9A-Fa-f]{2})*", text):
        try:
            return Default(bytes.fromhex(text[2:]).decode("utf-8"))
        except UnicodeDecodeError:
            return Default(text, computed=True)
    return Default(text)


def _mariadb_default(written: bytes | None, kind: ColumnKind) -> Default:
    """MariaDB: the default as SQL: a string is quoted, NULL is a word, and what else is no number is computed."""
    text = _text(written)
    if not text or text.upper() == "NULL":
        return Default()
    if _STRING.fullmatch(text):
        value = re.sub(r"''|\\(.)", lambda m: "'" if m[1] is None else _ESCAPES.get(m[1], m[1]), text[1:-1],
                       flags=re.DOTALL)
        # information_schema is text: bytes that are not have become question marks
        return Default(text, computed=True) if kind is ColumnKind.BINARY and "?" in value else Default(value)
    return Default(text, computed=not _NUMBER.fullmatch(text))


# -- offline ------------------------------------------------------------------------------------------------------

_DECLARED_BITS = {"INT8": 8, "INT16": 16, "INT24": 24, "INT32": 32, "INT64": 64}
_DECLARED_TEXT = ("VARCHAR", "CHAR", "TEXT")
_DECLARED_BINARY = ("VARBINARY", "BINARY", "BLOB")
_ANY_LENGTH = 2**32 - 1


def assumed(table: Table) -> TableInfo:
    """What the VSchema alone says of a table: declared columns, and UNKNOWN ones for those it only mentions."""
    columns = {column.name: _declared(column) for column in table.columns}
    mentioned = [name for vindex in table.column_vindexes for name in vindex.columns]
    if table.auto_increment is not None:
        mentioned.append(table.auto_increment.column)
    for name in mentioned:
        columns.setdefault(name, ColumnType(name, "", ColumnKind.UNKNOWN))
    return TableInfo(table.name, tuple(columns.values()), ())


def _declared(column: Column) -> ColumnType:
    """A column by Vitess's name of its type. A DECIMAL stays UNKNOWN: its scale, which hashing needs, is not said."""
    name, sql, collation = column.name, column.type, column.collation
    unsigned = sql.startswith("UINT")
    if (signed := sql.removeprefix("U")) in _DECLARED_BITS:
        return ColumnType(name, sql, ColumnKind.INTEGER, bits=_DECLARED_BITS[signed], unsigned=unsigned)
    if sql in _DECLARED_TEXT:
        charset = collation.partition("_")[0]
        return ColumnType(
            name, sql, ColumnKind.TEXT, _ANY_LENGTH, fixed=sql == "CHAR", charset=charset, collation=collation
        )
    if sql in _DECLARED_BINARY:
        return ColumnType(
            name, sql, ColumnKind.BINARY, _ANY_LENGTH, fixed=sql == "BINARY", charset="binary", collation="binary"
        )
    if sql == "DATE":
        return ColumnType(name, sql, ColumnKind.DATE)
    known = sql and sql not in ("DECIMAL", "NULL_TYPE", "EXPRESSION", "TUPLE")
    return ColumnType(name, sql, ColumnKind.OTHER if known else ColumnKind.UNKNOWN)
