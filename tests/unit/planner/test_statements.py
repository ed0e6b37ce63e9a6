"""Statements read from their tokens: names, existence clauses, qualifiers, and what DDL and EXPLAIN are about.

What becomes of them is in the golden plans; here is how they are taken apart, with comments, quotes and modes in the
way.
"""

from __future__ import annotations

import pytest

from vgate.errors import VgateError
from vgate.planner.ddl import ChangedColumn, read_ddl
from vgate.planner.looks import explained
from vgate.planner.statements import Words, construct_of
from vgate.sql.lexer import LexError, LexMode, lexer_for


def words(sql: str, mode: LexMode | None = None) -> Words:
    """The words of a statement's shape, as the planner has them."""
    mode = mode or LexMode()
    shape, _ = lexer_for(mode).split(sql.encode("utf-8"))
    return Words(shape, mode)


# -- words --------------------------------------------------------------------------------------------------------


def test_words_have_no_case_and_comments_are_none() -> None:
    found = words("SELECT /* a */ B -- c\n FROM t # d\n;")
    assert [found.word(ahead) for ahead in range(4)] == ["select", "b", "from", "t"]
    assert len(found) == 4
    assert found.word(4) == ""


def test_a_quoted_name_is_no_word() -> None:
    assert words("`table` t").word() == ""
    assert words('"table" t', LexMode(ansi_quotes=True)).word() == ""


def test_accept_takes_all_or_nothing() -> None:
    found = words("if not exists t")
    assert not found.accept("if", "exists")
    assert found.at == 0
    assert found.accept("if", "not", "exists")
    assert found.word() == "t"


@pytest.mark.parametrize("sql", ["if exists t", "if not exists t", "t"])
def test_skip_existence(sql: str) -> None:
    found = words(sql)
    found.skip_existence()
    assert found.name() == (None, "t")


def test_names() -> None:
    assert words("a").name() == (None, "a")
    assert words("k.a").name() == ("k", "a")
    assert words("`k 1` . `a``b`").name() == ("k 1", "a`b")
    assert words('"k"."a"', LexMode(ansi_quotes=True)).name() == ("k", "a")
    assert words("a, k.b, c d").names() == ((None, "a"), ("k", "b"), (None, "c"))
    assert words("(a)").name() is None
    assert words("").name() is None
    assert words("k.").name() is None


def test_qualifiers_are_names_before_a_dot() -> None:
    known = frozenset({"k", "m"})
    assert words("select k.a, `m`.b, n.c, k.d from k").qualifiers(known) == ["k", "m"]
    assert words("select 'k.a', k from m -- k.b").qualifiers(known) == []
    assert words("select K.a").qualifiers(known) == [], "names of databases have a case"


def test_rest_is_all_that_follows() -> None:
    found = words("a b `c` d")
    found.at = 1
    assert found.rest() == {"b", "", "d"}


def test_text_that_cannot_be_read() -> None:
    with pytest.raises(LexError):
        Words(b"select 'a", LexMode())


@pytest.mark.parametrize(
    ("sql", "construct"),
    [
        ("load data infile 'x' into table t", "LOAD DATA"),
        ("LOCK /* c */ TABLES t READ", "LOCK TABLES"),
        ("call p()", "CALL"),
        ("do sleep(1)", "DO"),
        ("analyze table t", "ANALYZE TABLE"),
        ("handler t open", "HANDLER"),
        ("execute immediate 'x'", "EXECUTE IMMEDIATE"),
        ("grant select on t to u", "GRANT"),
    ],
)
def test_constructs_are_named(sql: str, construct: str) -> None:
    found = words(sql)
    found.at = 3
    assert construct_of(found) == construct


# -- DDL ----------------------------------------------------------------------------------------------------------

TABLES = [
    ("create table t (a int)", ["t"]),
    ("create table if not exists k.t (a int)", ["k.t"]),
    ("create or replace table t (a int)", ["t"]),
    ("create table `if` (a int)", ["if"]),
    ("create table t like k.u", ["t", "k.u"]),
    ("create table t (like u)", ["t", "u"]),
    ("alter table t add column a int", ["t"]),
    ("alter online table if exists k.t wait 5 add a int", ["k.t"]),
    ("alter table t rename u", ["t", "u"]),
    ("alter table t rename to k.u", ["t", "k.u"]),
    ("alter table t rename = u", ["t", "u"]),
    ("alter table t add a int, rename as u", ["t", "u"]),
    ("alter table t rename column a to b, rename index c to d", ["t"]),
    ("drop table t, k.u cascade", ["t", "k.u"]),
    ("drop tables if exists t", ["t"]),
    ("drop /*!*/table t", None),
    ("truncate t", ["t"]),
    ("truncate table k.t", ["k.t"]),
    ("rename table a to b, k.c to d", ["a", "b", "k.c", "d"]),
    ("rename table if exists a nowait to b", ["a", "b"]),
    ("create index i on t (a)", ["t"]),
    ("create unique index i using btree on k.t (a)", ["k.t"]),
    ("create or replace vector index if not exists i on t (a)", ["t"]),
    ("drop index i on t", ["t"]),
    ("create view v as select 1", []),
    ("create database d", []),
]


@pytest.mark.parametrize(("sql", "tables"), TABLES)
def test_tables_of_ddl(sql: str, tables: list[str] | None) -> None:
    if tables is None:
        with pytest.raises(LexError):
            words(sql)
        return
    found = read_ddl(words(sql))
    assert found is not None
    assert [name if database is None else f"{database}.{name}" for database, name in found.tables] == tables


@pytest.mark.parametrize("sql", ["select 1", "drop prepare s", "insert into t values (1)", "set password = 'x'", ""])
def test_what_is_no_ddl(sql: str) -> None:
    assert read_ddl(words(sql)) is None


REFUSED = [
    ("create temporary table t (a int)", "a temporary table"),
    ("create temporary table t select 1", "a temporary table"),
    ("create table t select 1", "CREATE TABLE ... SELECT"),
    ("create table t (a int) ignore as (select 1)", "CREATE TABLE ... SELECT"),
    ("create table t as table u", "CREATE TABLE ... SELECT"),
    ("create table t (a int, b int) values row(1, 2)", "CREATE TABLE ... SELECT"),
    ("create definer = root@localhost sql security invoker view v as select 1", "CREATE VIEW"),
    ("create aggregate function if not exists f returns int soname 'f.so'", "CREATE FUNCTION"),
    ("create user u", "CREATE USER"),
    ("alter user u", "ALTER USER"),
    ("drop procedure if exists p", "DROP PROCEDURE"),
    ("alter database d character set latin1", "ALTER DATABASE"),
    ("drop schema d", "DROP DATABASE"),
    ("create table", "DDL that names no table"),
    ("rename table a", "DDL that names no table"),
    ("drop table", "DDL that names no table"),
    ("rename user a to b", "RENAME USER"),
]


@pytest.mark.parametrize(("sql", "refused"), REFUSED)
def test_what_no_sharded_keyspace_runs(sql: str, refused: str) -> None:
    found = read_ddl(words(sql))
    assert found is not None
    assert found.refused == refused


@pytest.mark.parametrize(
    "sql",
    [
        "create table t (a int comment 'select', b varchar(9) default 'table') comment = 'select 1'",
        "create table t (a int generated always as (b + 1) virtual, check (a > 0))",
        "create table t (a int) partition by list (a) (partition p values in (1), partition q values in (2))",
        "create table t (a int) partition by range (a) (partition p values less than (10))",
        "create table t (a varchar(9), fulltext (a) with parser ngram) with system versioning",
        "create table t (`select` int, `table` int)",
        "alter table t add partition (partition p values in (1))",
    ],
)
def test_words_that_only_look_like_queries(sql: str) -> None:
    found = read_ddl(words(sql))
    assert found is not None
    assert (found.refused, found.queries) == ("", False)


COLUMNS = [
    ("alter table t drop a", [ChangedColumn("a", stays=False)]),
    ("alter table t drop column if exists `A`", [ChangedColumn("a", stays=False)]),
    ("alter table t drop primary key, drop key a, drop foreign key a, drop check a, drop constraint a", []),
    ("alter table t drop partition a", []),
    ("alter table t rename column a to b", [ChangedColumn("a", stays=False)]),
    ("alter table t change a b bigint", [ChangedColumn("a", stays=False)]),
    ("alter table t change column a A bigint not null", [ChangedColumn("a", stays=True, type="bigint not null")]),
    ("alter table t modify a int(11) unsigned", [ChangedColumn("a", stays=True, type="int ( ? ) unsigned")]),
    ("alter table t modify a int auto_increment", [ChangedColumn("a", stays=True, type="int auto_increment")]),
    ("alter table t modify a bigint as (b) stored", [ChangedColumn("a", stays=True)]),
    ("alter table t add a int, alter b set default 5, alter column b drop default", []),
    (
        "alter table t modify a decimal(10, 2), drop b",
        [ChangedColumn("a", stays=True, type="decimal ( ? , ? )"), ChangedColumn("b", stays=False)],
    ),
]


@pytest.mark.parametrize(("sql", "columns"), COLUMNS)
def test_columns_that_alter_changes(sql: str, columns: list[ChangedColumn]) -> None:
    found = read_ddl(words(sql))
    assert found is not None
    assert list(found.columns) == columns


def test_databases_of_ddl() -> None:
    for sql, database in [
        ("create database d", "d"),
        ("drop schema if exists `d 1`", "d 1"),
        ("alter database d collate utf8mb4_bin", "d"),
        ("alter database collate utf8mb4_bin", None),
        ("alter schema default character set utf8mb4", None),
    ]:
        found = read_ddl(words(sql))
        assert found is not None
        assert found.database == database, sql


# -- EXPLAIN ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "inner", "runs", "writes"),
    [
        ("explain select 1", "select 1", False, False),
        ("desc extended select 1", "select 1", False, False),
        ("describe partitions delete from t", "delete from t", False, True),
        ("explain format=json insert into t values (1)", "insert into t values (1)", False, True),
        ("explain format = tree (select 1)", "(select 1)", False, False),
        ("explain analyze with d as (select 1) delete from t", "with d as (select 1) delete from t", True, True),
        ("explain analyze format=tree table t", "table t", True, False),
        ("explain format=json into @x select 1", "select 1", False, False),
    ],
)
def test_explained_statements(sql: str, inner: str, runs: bool, writes: bool) -> None:
    found = explained(Words(sql.encode("utf-8"), LexMode()))
    assert found is not None
    assert sql[found.start :] == inner
    assert (found.runs, found.writes) == (runs, writes)


@pytest.mark.parametrize("sql", ["explain t", "describe k.t a", "desc t 'a%'", "explain"])
def test_described_tables(sql: str) -> None:
    assert explained(Words(sql.encode("utf-8"), LexMode())) is None


def test_explain_for_a_database() -> None:
    found = explained(Words(b"explain for schema k select 1", LexMode()))
    assert found is not None
    assert found.database == "k"


def test_explain_for_connection_is_refused() -> None:
    with pytest.raises(VgateError, match="connection ids"):
        explained(Words(b"explain format=json for connection 5", LexMode()))
