"""What ties a session to a server, commits by itself, or speaks of the statement before: statement by statement.

The lists are those of the MySQL manual ("Statements That Cause an Implicit Commit", "User-Defined Variables", "Locking
Functions", "LOCK TABLES", "FLUSH"...) and of MariaDB's. Each statement of the first was also tried: a row was inserted
in a transaction, the statement run, and another session looked whether the row was there, on MariaDB 10.11 and MySQL 9.
"""

from __future__ import annotations

import pytest

from vgate.query.ties import (
    SHARED,
    bare,
    commits_implicitly,
    counts_found_rows,
    findings,
    names_no_table,
    reads_insert_id,
    reads_last_statement,
    tie,
)
from vgate.sql.lexer import LexMode, lexer_for


def words(sql: str, mode: LexMode | None = None) -> bytes:
    """What the conversation gives these functions: the words of the statement's shape."""
    lexer = lexer_for(mode or LexMode())
    shape, _ = lexer.split(sql.encode("utf-8"))
    return bare(shape, lexer)


# -- ties ---------------------------------------------------------------------------------------------------------

TIES = {
    "a temporary table": [
        "create temporary table t (a int)",
        "CREATE  TEMPORARY\tTABLE t LIKE u",
        "create or replace temporary table t (a int)",
        "create /* a */ temporary -- b\n table t (a int)",
        "drop temporary table t",
        "set statement max_statement_time = 1 for create temporary table t (a int)",
    ],
    "a user lock": [
        "select get_lock('a', 1)",
        "select GET_LOCK ('a', 1)",
        "select get_lock/**/('a', 1)",
        "do release_lock('a')",
        "select release_all_locks()",
        "select is_free_lock('a'), 1",
        "select 1 where is_used_lock('a') is null",
        "select `get_lock`('a', 1)",
    ],
    "LOCK TABLES": [
        "lock tables t read",
        "LOCK TABLE t WRITE",
        "/* tracing */ lock tables t read",
        "-- why\nlock tables t read",
        "# why\nlock tables t read",
        "lock/**/tables t read",
        "unlock tables",
        "flush tables with read lock",
        "flush tables t, u with read lock",
        "flush local tables t for export",
        "lock instance for backup",
        "unlock instance",
        "backup stage start",
        "backup lock t",
    ],
    "HANDLER": ["handler t open", "HANDLER t READ first", "/*c*/handler t close"],
    "PREPARE": [
        "prepare s from 'select 1'",
        "execute s",
        "execute immediate 'select 1'",
        "deallocate prepare s",
        "/* c */ prepare s from @a",
    ],
    "SET ROLE or RESOURCE GROUP": ["set role r", "SET ROLE NONE", "set resource group g"],
    "a stored program": ["call p()", "call k.p(1)", "begin not atomic select 1; end"],
    "a user variable": [
        "select @a",
        "select @a := 1",
        "select 1 into @a",
        "select (@a)",
        "select 1+@a",
        "select @`a b`",
        "select @'a'",
        'select @"a"',
        "select @a.b",
        "load data infile '/x' into table t (@a) set b = @a",
        "explain format=json into @a select 1",
    ],
    "XA": ["xa start 'a'", "XA COMMIT 'a'", "xa recover"],
    "the last value of a server's sequence": [
        "select lastval(s)", "select previous value for s", "select PREVIOUS  VALUE\nFOR s",
    ],
}


@pytest.mark.parametrize(("sql", "name"), [(sql, name) for name, some in TIES.items() for sql in some])
def test_ties(sql: str, name: str) -> None:
    assert tie(words(sql)) == name


FREE = [
    "select 1",
    "select * from t where id = 5",
    "select '@a', \"@b\", 'get_lock(1)' from t",
    "select 1 /* @a get_lock('a') */ from t",
    "/* create temporary table t */ create table t (a int)",
    "select @@version, @@session.sql_mode, @@global.max_connections",
    "select `@a` from t",
    "select get_lock from t",
    "select t.handler from t",
    "select temporary from t",
    "insert into locks (a) values (1)",
    "update t set xa = 1",
    "create table temporaries (a int)",
    "create table t (prepared int, locked int)",
    "flush tables",
    "flush status",
    "show grants",
    "set sql_mode = ''",
    "set default role r to u",
    "start transaction",
]


@pytest.mark.parametrize("sql", FREE)
def test_what_ties_nothing(sql: str) -> None:
    assert tie(words(sql)) == ""


def test_quotes_are_those_of_the_mode() -> None:
    assert tie(words('select "@a" from t')) == ""
    assert tie(words('select "get_lock"(1, 1)', LexMode(ansi_quotes=True))) == "a user lock"
    assert tie(words(r"select 'a\', @a, '", LexMode(no_backslash_escapes=False))) == ""
    assert tie(words(r"select 'a\', @a, ''", LexMode(no_backslash_escapes=True))) == "a user variable"


def test_ties_about_tables_may_be_to_several_servers() -> None:
    assert set(TIES).issuperset(SHARED)
    assert "a user variable" not in SHARED
    assert "a user lock" not in SHARED


# -- implicit commits ---------------------------------------------------------------------------------------------

COMMITS = """
    create table t (a int)
    create table if not exists t like u
    create table t select 1 as a
    create or replace table t (a int)
    drop table if exists t, u
    drop tables t
    alter table t add column x int
    alter ignore table t add column x int
    alter online table t drop column x
    rename table t to u
    rename tables t to u, u to v
    truncate table t
    truncate t
    create index i on t (a)
    create unique index i on t (a)
    drop index i on t
    create database d
    create schema d
    alter database d character set utf8mb4
    drop database d
    create view v as select 1
    alter view v as select 2
    drop view v
    create procedure p() select 1
    alter procedure p comment 'x'
    drop procedure p
    create function f() returns int return 1
    alter function f comment 'x'
    drop function f
    create event e on schedule every 1 day do select 1
    alter event e disable
    drop event e
    create trigger r before insert on t for each row set new.a = 1
    drop trigger r
    create user u
    alter user u identified by 'x'
    rename user u to v
    drop user u
    create role r
    drop role r
    set password for u = 'x'
    grant select on t to u
    revoke select on t from u
    create server s foreign data wrapper mysql options (host 'h')
    drop server s
    create tablespace s add datafile 's.ibd'
    drop tablespace s
    create spatial reference system 1 name 'x' definition 'y'
    create resource group g type = user
    alter instance reload tls
    create sequence s
    alter sequence s restart 5
    analyze table t
    analyze local table t
    analyze no_write_to_binlog tables t, u
    optimize table t
    repair table t
    check table t
    check view v
    flush tables
    flush privileges
    flush tables t with read lock
    flush table t for export
    reset query cache
    reset replica all
    reset binary logs and gtids
    install plugin p soname 'p.so'
    uninstall plugin p
    install component 'file://c'
    lock tables t write
    lock table t read
"""

KEEPS = """
    create temporary table t (a int)
    create or replace temporary table t (a int)
    drop temporary table t
    checksum table t
    cache index t in hot
    load index into cache t
    reset persist
    unlock tables
    unlock instance
    lock instance for backup
    do 1
    handler t open
    help 'select'
    prepare s from 'select 1'
    execute s
    drop prepare s
    deallocate prepare s
    execute immediate 'select 1'
    analyze select 1
    analyze format=json select 1
    analyze delete from t
    set @a = 1
    set sql_mode = ''
    set role none
    set global max_connections = 200
    set statement max_statement_time = 1 for select 1
    savepoint a
    show tables
    show create table t
    explain select 1
    describe t
    select 1
    select a from t where b = 'drop table t'
    insert into t values (1)
    replace into t values (1)
    update t set a = 1
    delete from t
    load data infile '/x' into table t
    call p()
    table t
    values row(1)
    with d as (select 1) select * from d
    get diagnostics @x = number
    signal sqlstate '01000'
    begin not atomic select 1; end
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("sql", lines(COMMITS))
def test_implicit_commits(sql: str) -> None:
    assert commits_implicitly(words(sql))
    assert commits_implicitly(words(f"/* traced */ {sql}"))
    assert commits_implicitly(words(sql.upper().replace(" ", "\n")))


@pytest.mark.parametrize("sql", lines(KEEPS))
def test_what_leaves_the_transaction_open(sql: str) -> None:
    assert not commits_implicitly(words(sql))


# -- what speaks of the session -----------------------------------------------------------------------------------

INSERT_IDS = [
    "select last_insert_id()",
    "select LAST_INSERT_ID ( )",
    "insert into t (a) values (last_insert_id())",
    "update t set a = last_insert_id(a + 1)",
    "select @@last_insert_id",
    "select @@identity",
    "select @@session.last_insert_id",
    "select @@local.identity",
    "call p()",
]


@pytest.mark.parametrize("sql", INSERT_IDS)
def test_readers_of_the_insert_id(sql: str) -> None:
    assert reads_insert_id(words(sql))


@pytest.mark.parametrize("sql", ["select last_insert_id from t", "select 'last_insert_id()'", "select @@version"])
def test_no_readers_of_the_insert_id(sql: str) -> None:
    assert not reads_insert_id(words(sql))


LAST_STATEMENT = [
    ("select row_count(), 1", "ROW_COUNT()"),
    ("insert into t values (row_count())", "ROW_COUNT()"),
    ("select found_rows() as f", "FOUND_ROWS()"),
    ("select @@warning_count", "warnings"),
    ("select @@session.error_count", "errors"),
    ("get diagnostics @n = number", "GET DIAGNOSTICS"),
    ("get current diagnostics @n = row_count", "GET DIAGNOSTICS"),
]


@pytest.mark.parametrize(("sql", "name"), LAST_STATEMENT)
def test_what_speaks_of_the_statement_before(sql: str, name: str) -> None:
    assert name in reads_last_statement(words(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "select row_count from t",
        "select 'row_count()'",
        "create procedure p() select row_count()",  # the program's own statements, when it runs
    ],
)
def test_what_does_not(sql: str) -> None:
    assert reads_last_statement(words(sql)) == ""


def test_sql_calc_found_rows() -> None:
    assert counts_found_rows(words("select SQL_CALC_FOUND_ROWS a from t limit 1"))
    assert not counts_found_rows(words("select a from t limit 1 -- sql_calc_found_rows"))


@pytest.mark.parametrize(
    ("sql", "none"),
    [("select 1", True), ("values row(1)", True), ("do 1", True), ("select a from t", False), ("table t", False),
     ("values row((table t))", False), ("show tables", False)],
)  # fmt: skip
def test_statements_about_values_alone(sql: str, none: bool) -> None:
    assert names_no_table(words(sql)) is none


def test_findings_are_all_of_them() -> None:
    lexer = lexer_for(LexMode())
    plain = findings(b"select a from t where b = ?", lexer)
    assert plain.ordinary
    for sql in (b"select @a", b"select last_insert_id()", b"drop table t", b"select row_count() + 1",
                b"select sql_calc_found_rows a from t"):  # fmt: skip
        assert not findings(sql, lexer).ordinary, sql


# -- the words themselves -----------------------------------------------------------------------------------------


def test_bare_words() -> None:
    assert words("select  a,`b` -- c\n from t /* d */ where x='y'") == b"select a , b from t where x = ?"
    assert words("select `a b`, 'c' 'd'") == b"select `` , ? ?"
    lexer = lexer_for(LexMode())
    assert bare(b"select a from t", lexer, 2) == b"select a"
