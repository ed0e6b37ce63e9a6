"""Reading column types, defaults and keys as either server writes them, and the types assumed offline."""

from __future__ import annotations

import pytest

from vgate.backend.schema import Cells, assumed, literal, read_table, read_type
from vgate.planner.columns import ColumnKind, ColumnType, UniqueKey
from vgate.vschema.load import parse_vschema
from vgate.vschema.model import TableName

MARIADB, MYSQL = b"10.11.19-MariaDB-log", b"9.7.4"
NAME = TableName("ks", "t")


@pytest.mark.parametrize(
    ("sql", "kind", "bits", "unsigned"),
    [
        ("tinyint(1)", ColumnKind.INTEGER, 8, False),
        ("smallint unsigned", ColumnKind.INTEGER, 16, True),
        ("mediumint(9) zerofill", ColumnKind.INTEGER, 24, True),
        ("INT", ColumnKind.INTEGER, 32, False),
        ("bigint(20) unsigned", ColumnKind.INTEGER, 64, True),
        ("date", ColumnKind.DATE, 64, False),
        ("datetime(6)", ColumnKind.OTHER, 64, False),
        ("float unsigned", ColumnKind.OTHER, 64, False),
        ("enum('int','bigint unsigned')", ColumnKind.OTHER, 64, False),
        ("uuid", ColumnKind.OTHER, 64, False),
        ("", ColumnKind.OTHER, 64, False),
    ],
)
def test_types(sql: str, kind: ColumnKind, bits: int, unsigned: bool) -> None:
    found = read_type(sql)
    assert (found.kind, found.bits, found.unsigned) == (kind, bits, unsigned)


@pytest.mark.parametrize(
    ("sql", "kind", "length", "fixed", "scale"),
    [
        ("decimal(10,3) unsigned", ColumnKind.DECIMAL, 0, False, 3),
        ("decimal(10,0)", ColumnKind.DECIMAL, 0, False, 0),
        ("char(10)", ColumnKind.TEXT, 10, True, 0),
        ("varchar(20)", ColumnKind.TEXT, 20, False, 0),
        ("tinytext", ColumnKind.TEXT, 255, False, 0),
        ("binary(16)", ColumnKind.BINARY, 16, True, 0),
        ("varbinary(3)", ColumnKind.BINARY, 3, False, 0),
        ("longblob", ColumnKind.BINARY, 4294967295, False, 0),
    ],
)
def test_lengths(sql: str, kind: ColumnKind, length: int, fixed: bool, scale: int) -> None:
    found = read_type(sql)
    assert (found.kind, found.length, found.fixed, found.scale) == (kind, length, fixed, scale)


async def column(sql: bytes, default: bytes | None, version: bytes, extra: bytes = b"") -> ColumnType:
    async def ask(query: str) -> list[Cells]:
        if "STATISTICS" in query:
            return []
        return [(b"C", sql, b"utf8mb4", b"utf8mb4_bin", b"YES", default, extra, None, version, None)]

    info = await read_table(ask, "db", NAME)
    assert info is not None
    found = info.column("c")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("written", "default", "computed"),
    [
        (None, None, False),
        (b"NULL", None, False),
        (b"'NULL'", "NULL", False),
        (b"''", "", False),
        (b"'it''s'", "it's", False),
        (b"'x\\\\y\\nz'", "x\\y\nz", False),
        (b"-5", "-5", False),
        (b"1.500", "1.500", False),
        (b"uuid()", "uuid()", True),
        (b"(1 + 2)", "(1 + 2)", True),
        (b"'a' like 'b'", "'a' like 'b'", True),
        (b"concat('a','b')", "concat('a','b')", True),
        (b"current_timestamp()", "current_timestamp()", True),
    ],
)
async def test_mariadb_defaults(written: bytes | None, default: str | None, computed: bool) -> None:
    found = await column(b"varchar(10)", written, MARIADB)
    assert (found.default, found.computed_default) == (default, computed)


@pytest.mark.parametrize(
    ("sql", "written", "extra", "default", "computed"),
    [
        (b"varchar(10)", None, b"", None, False),
        (b"varchar(10)", b"NULL", b"", "NULL", False),
        (b"varchar(10)", b"'quoted'", b"", "'quoted'", False),
        (b"varchar(40)", b"uuid()", b"DEFAULT_GENERATED", "uuid()", True),
        (b"datetime", b"CURRENT_TIMESTAMP", b"", "CURRENT_TIMESTAMP", True),
        (b"varchar(20)", b"CURRENT_TIMESTAMP", b"", "CURRENT_TIMESTAMP", False),
        (b"varbinary(10)", b"0x6162", b"", "ab", False),
        (b"varbinary(10)", b"0xFF", b"", "0xFF", True),
        (b"varchar(10)", b"0x6162", b"", "0x6162", False),
        (b"int", b"7", b"", "7", False),
    ],
)
async def test_mysql_defaults(
    sql: bytes, written: bytes | None, extra: bytes, default: str | None, computed: bool
) -> None:
    found = await column(sql, written, MYSQL, extra)
    assert (found.default, found.computed_default) == (default, computed)


async def test_bytes_that_mariadb_cannot_write_as_text_are_not_taken_for_question_marks() -> None:
    assert (await column(b"varbinary(10)", b"'a?'", MARIADB)).computed_default
    assert not (await column(b"varbinary(10)", b"'ab'", MARIADB)).computed_default


@pytest.mark.parametrize(
    ("extra", "auto", "generated", "invisible"),
    [
        (b"auto_increment", True, False, False),
        (b"auto_increment INVISIBLE", True, False, True),
        (b"VIRTUAL GENERATED INVISIBLE", False, True, True),
        (b"STORED GENERATED", False, True, False),
        (b"PERSISTENT GENERATED", False, True, False),
        (b"DEFAULT_GENERATED on update CURRENT_TIMESTAMP", False, False, False),
    ],
)
async def test_extras(extra: bytes, auto: bool, generated: bool, invisible: bool) -> None:
    found = await column(b"int", None, MYSQL, extra)
    assert (found.auto_increment, found.generated, found.invisible) == (auto, generated, invisible)


async def test_keys_with_prefixes_and_expressions() -> None:
    async def ask(query: str) -> list[Cells]:
        if "STATISTICS" not in query:
            return [(b"A", b"int", None, None, b"NO", None, b"", None, MYSQL, b"a comment")]
        return [(b"PRIMARY", b"A", None), (b"k", b"A", None), (b"k", None, None), (b"p", b"B", b"5")]

    info = await read_table(ask, "db", NAME)
    assert info is not None
    assert info.comment == "a comment"
    assert info.unique_keys == (UniqueKey("PRIMARY", ("a",)), UniqueKey("k", ("a", "")), UniqueKey("p", ("",)))


async def test_no_columns_is_no_table() -> None:
    async def ask(query: str) -> list[Cells]:
        assert "STATISTICS" not in query
        return []

    assert await read_table(ask, "db", NAME) is None


def test_names_are_written_without_anything_that_a_mode_could_change() -> None:
    assert literal("it's\\") == "_utf8mb4 x'697427735c'"
    assert literal("") == "''"


def test_assumed() -> None:
    text = """
keyspaces:
  seq: {tables: {s: {type: sequence}}}
  ks:
    sharded: true
    shards: ["-"]
    vindexes: {hash: {type: hash}}
    tables:
      t:
        column_vindexes: [{column: id, name: hash}]
        auto_increment: {column: other, sequence: s}
        columns:
          - {name: u, type: UINT24}
          - {name: v, type: VARCHAR, collation_name: latin1_bin}
          - {name: b, type: BINARY}
          - {name: d, type: DECIMAL}
          - {name: f, type: FLOAT64}
          - {name: day, type: DATE}
          - {name: w}
"""
    vschema = parse_vschema(text, filename="", environ={}, read_file=lambda name: name)
    info = assumed(vschema.keyspace("ks").tables["t"])
    assert {column.name: column.kind for column in info.columns} == {
        "u": ColumnKind.INTEGER,
        "v": ColumnKind.TEXT,
        "b": ColumnKind.BINARY,
        "d": ColumnKind.UNKNOWN,
        "f": ColumnKind.OTHER,
        "day": ColumnKind.DATE,
        "w": ColumnKind.UNKNOWN,
        "id": ColumnKind.UNKNOWN,
        "other": ColumnKind.UNKNOWN,
    }
    unsigned, text_column, binary = (info.column(name) for name in "uvb")
    assert unsigned is not None
    assert (unsigned.bits, unsigned.unsigned) == (24, True)
    assert text_column is not None
    assert (text_column.charset, text_column.collation, text_column.fixed) == ("latin1", "latin1_bin", False)
    assert binary is not None
    assert (binary.collation, binary.fixed) == ("binary", True)
