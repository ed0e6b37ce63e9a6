"""What ``vgate check --live`` says of definitions: shards against each other, tables against the VSchema."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vgate.backend.inspect import Facts, KeyspaceView, ShardView, compare_servers, compare_tables, inspect, normalised
from vgate.backend.promises import Finding, ForeignKey, Severity, judge
from vgate.backend.schema import Ask, Cells
from vgate.errors import NO_ADDRESS, ConfigError, ServerError
from vgate.planner.columns import ColumnKind, ColumnType, TableInfo, UniqueKey, compares_bytes
from vgate.vschema.load import parse_vschema
from vgate.vschema.model import Keyspace, TableName

TEXT = """
keyspaces:
  seq: {tables: {s: {type: sequence}}}
  ks:
    sharded: true
    shards: ["-80", "80-"]
    vindexes: {hash: {type: hash}, hash2: {type: hash}, xx: {type: xxhash}, null: {type: null},
               loose: {type: unicode_loose_xxhash}}
    tables:
      t: {column_vindexes: [{column: id, name: hash}], auto_increment: {column: seqid, sequence: s}}
      p: {column_vindexes: [{column: id, name: hash2}]}
      x: {column_vindexes: [{column: id, name: xx}]}
      n: {column_vindexes: [{column: id, name: null}]}
      u: {column_vindexes: [{column: id, name: loose}]}
"""
VSCHEMA = parse_vschema(TEXT, filename="", environ={}, read_file=lambda name: name)
KEYSPACE = VSCHEMA.keyspace("ks")
INTEGER = ColumnType("id", "bigint", ColumnKind.INTEGER)
SEQID = ColumnType("seqid", "bigint", ColumnKind.INTEGER)


def said(
    table: str, columns: Sequence[ColumnType], keys: Sequence[UniqueKey] = (), foreign: Sequence[ForeignKey] = ()
) -> list[Finding]:
    info = TableInfo(TableName("ks", table), tuple(columns), tuple(keys))
    return list(judge(KEYSPACE, KEYSPACE.tables[table], info, tuple(foreign)))


def test_nothing_is_said_of_a_table_whose_promises_hold() -> None:
    assert said("p", [INTEGER], [UniqueKey("PRIMARY", ("id",)), UniqueKey("u", ("a", "id"))]) == []


@pytest.mark.parametrize(
    ("column", "severity", "words"),
    [
        (ColumnType("other", "int", ColumnKind.INTEGER), Severity.FAULT, "does not exist"),
        (ColumnType("id", "int", ColumnKind.INTEGER, generated=True), Severity.FAULT, "is generated"),
        (ColumnType("id", "double", ColumnKind.OTHER), Severity.FAULT, "cannot be routed by"),
        (ColumnType("id", "varchar(9)", ColumnKind.TEXT), Severity.WARNING, "whole numbers only"),
        (ColumnType("id", "decimal(9,2)", ColumnKind.DECIMAL, scale=2), Severity.WARNING, "fractions"),
    ],
)
def test_sharding_columns_for_hash(column: ColumnType, severity: Severity, words: str) -> None:
    (finding,) = said("p", [column])
    assert finding.severity is severity
    assert words in finding.what
    assert finding.remedy


@pytest.mark.parametrize(
    ("table", "sql", "collation", "words"),
    [
        ("x", "varchar(9)", "utf8mb4_general_ci", "whose bytes are not"),
        ("x", "varchar(9)", "utf8mb4_bin", "whose bytes are not"),  # 'a' = 'a '
        ("x", "char(9)", "utf8mb4_bin", ""),  # it stores no trailing spaces
        ("x", "varchar(9)", "utf8mb4_0900_bin", ""),
        ("u", "varchar(9)", "utf8mb4_0900_ai_ci", ""),
        ("u", "varchar(9)", "utf8mb4_bin", ""),
        ("u", "varchar(9)", "utf8mb4_hungarian_ci", "is not known"),
    ],
)
def test_sharding_columns_of_text(table: str, sql: str, collation: str, words: str) -> None:
    column = ColumnType("id", sql, ColumnKind.TEXT, 9, fixed=sql == "char(9)", charset="utf8mb4", collation=collation)
    found = said(table, [column])
    assert [words in one.what for one in found] == ([True] if words else [])
    assert all(one.remedy for one in found)


def test_sharding_columns_that_hash_takes() -> None:
    for column in (ColumnType("id", "decimal(9,0)", ColumnKind.DECIMAL), ColumnType("id", "", ColumnKind.UNKNOWN)):
        assert said("p", [column]) == []


@pytest.mark.parametrize(
    ("collation", "exact"),
    [
        ("utf8mb4_0900_bin", True), ("utf8mb4_nopad_bin", True), ("latin1_nopad_bin", True), ("binary", True),
        ("utf8mb4_bin", False), ("utf8mb4_0900_ai_ci", False), ("utf8mb4_0900_as_cs", False), ("latin1_bin", False),
    ],
)  # fmt: skip
def test_text_for_a_vindex_over_bytes_needs_a_collation_over_bytes(collation: str, exact: bool) -> None:
    assert compares_bytes(collation) is exact
    findings = said("x", [ColumnType("id", "varchar(9)", ColumnKind.TEXT, collation=collation)])
    assert [finding.severity for finding in findings] == ([] if exact else [Severity.WARNING])


def test_the_null_vindex_takes_any_column() -> None:
    assert said("n", [ColumnType("id", "double", ColumnKind.OTHER)]) == []


def test_unique_keys_without_the_sharding_column() -> None:
    keys = [UniqueKey("PRIMARY", ("seqid",)), UniqueKey("u", ("a", "")), UniqueKey("ok", ("id", "a"))]
    primary, other = said("t", [INTEGER, SEQID], keys)
    assert "ids from sequence seq.s are unique" in primary.what
    assert "UNIQUE key u (a, (expression or prefix)) does not contain the sharding column id" in other.what


def test_auto_increment_without_a_sequence() -> None:
    ours = ColumnType("id", "bigint", ColumnKind.INTEGER, auto_increment=True)
    (finding,) = said("p", [ours])
    assert "each shard counts for itself" in finding.what
    assert said("t", [INTEGER, ColumnType("seqid", "bigint", ColumnKind.INTEGER, auto_increment=True)]) == []
    (finding,) = said("t", [INTEGER])
    assert finding.what == "the auto_increment column seqid does not exist"


@pytest.mark.parametrize(
    ("key", "together"),
    [
        (ForeignKey("f", ("id",), "", "p", ("id",)), True),
        (ForeignKey("f", ("a", "id"), "", "p", ("b", "id")), True),
        (ForeignKey("f", ("id", "a"), "", "p", ("b", "id")), False),
        (ForeignKey("f", ("a",), "", "p", ("id",)), False),
        (ForeignKey("f", ("id",), "", "x", ("id",)), False),
        (ForeignKey("f", ("id",), "", "nowhere", ("id",)), False),
        (ForeignKey("f", ("id",), "other_database", "p", ("id",)), False),
    ],
)
def test_foreign_keys(key: ForeignKey, together: bool) -> None:
    assert (said("p", [INTEGER], foreign=[key]) == []) is together


FACTS = Facts("MariaDB", "10.11", "UTC", "utf8mb4", "utf8mb4_bin", "STRICT_TRANS_TABLES", "0", "ks")


def view(*shards: tuple[Facts, dict[str, str]], keyspace: Keyspace = KEYSPACE) -> KeyspaceView:
    names = [f"s{number}" for number in range(len(shards))]
    views = [ShardView(n, names[n], facts, tables, {}) for n, (facts, tables) in enumerate(shards)]
    return KeyspaceView(keyspace, views)


def test_servers_that_differ() -> None:
    other = Facts("MySQL", "9.7", "+02:00", "latin1", "latin1_bin", "", "1", "ks")
    found = [finding.what for finding in compare_servers(view((FACTS, {}), (other, {}), (FACTS, {})))]
    assert found == [
        "shards differ in flavour: s0 and s2 have MariaDB, s1 has MySQL",
        "shards differ in version: s0 and s2 have 10.11, s1 has 9.7",
        "shards differ in default character set: s0 and s2 have utf8mb4, s1 has latin1",
        "shards differ in default collation: s0 and s2 have utf8mb4_bin, s1 has latin1_bin",
        "shards differ in time zone: s0 and s2 have UTC, s1 has +02:00",
        "shards differ in sql_mode: s0 and s2 have STRICT_TRANS_TABLES, s1 has none",
        "shards differ in lower_case_table_names: s0 and s2 have 0, s1 has 1",
    ]
    assert list(compare_servers(view((FACTS, {}), (FACTS, {})))) == []


def test_tables_that_differ() -> None:
    left = {"t": "CREATE TABLE `t` (\n  `a` int,\n  `b` int\n)", "p": "x", "x": "y", "u": "y", "n": "z"}
    right = {"t": "CREATE TABLE `t` (\n  `a` int,\n  `b` bigint\n)", "p": "x", "x": "y", "u": "y", "more": "z"}
    found = {finding.where: finding for finding in compare_tables(view((FACTS, left), (FACTS, right)))}
    assert found["ks.t"].severity is Severity.FAULT
    assert found["ks.t"].what.endswith("only s0 has '`b` int' and only s1 has '`b` bigint'")
    assert found["ks.n"].what == "the table is missing on s1"
    assert found["ks.more"].what.startswith("the table is not in the VSchema")
    assert set(found) == {"ks.t", "ks.n", "ks.more"}


def test_columns_in_another_order_are_another_definition() -> None:
    left = {"t": "CREATE TABLE `t` (\n  `a` int,\n  `b` int\n)"}
    right = {"t": "CREATE TABLE `t` (\n  `b` int,\n  `a` int\n)"}
    findings = compare_tables(view((FACTS, left), (FACTS, right)))
    found = [finding.what for finding in findings if finding.where == "ks.t"]
    assert found == ["the definition differs between shards: the order of s0 is not that of s1"]


def test_a_table_on_no_server() -> None:
    found = [str(finding) for finding in compare_tables(view((FACTS, {}), (FACTS, {})))]
    assert found[0] == (
        "ks.t: warning: the table is in the VSchema but on no server. Create it, or remove it from the VSchema."
    )


def test_the_counter_is_no_part_of_a_definition() -> None:
    text = "CREATE TABLE `t` (\n  `a` int COMMENT ' AUTO_INCREMENT=3'\n) ENGINE=InnoDB AUTO_INCREMENT=7 CHARSET=x"
    assert normalised(text) == text.replace(" AUTO_INCREMENT=7", "")


async def test_shards_that_cannot_be_asked_are_findings() -> None:
    def ask_for(keyspace: str, index: int) -> Ask:
        async def ask(sql: str) -> list[Cells]:
            if keyspace == "seq":
                raise ConfigError(NO_ADDRESS(label="seq/-").message)
            raise ServerError(1045, "28000", "Access denied")

        return ask

    found = [(finding.where, finding.severity) for finding in await inspect(VSCHEMA, ask_for)]
    assert found == [("seq/-", Severity.FAULT), ("ks/-80", Severity.FAULT), ("ks/80-", Severity.FAULT)]
