"""vgate's own statements: what is recognised as one, what is somebody else's, and what is a mistake."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgate.errors import VgateError
from vgate.sql.lexer import LexError, LexMode, VersionedComment, lexer_for
from vgate.sql.statements import (
    FIRST_WORDS,
    Begin,
    Commit,
    Kill,
    Names,
    ReleaseSavepoint,
    Rollback,
    RollbackTo,
    Savepoint,
    SelectNext,
    Set,
    ShowVgate,
    Statement,
    SystemVariable,
    TransactionCharacteristics,
    Use,
    UserVariable,
    Vexplain,
    recognise,
)

DEFAULT = LexMode()
SYNTAX = 1064


def session(name: str, value: str) -> SystemVariable:
    return SystemVariable("session", name, value)


RECOGNISED: list[tuple[bytes, Statement]] = [
    (b"use customer", Use("customer")),
    (b"USE `a``b`;", Use("a`b")),
    (b"use customer:-80@primary", Use("customer:-80@primary")),
    (b"use `customer`:`-80`", Use("customer:-80")),
    (b"use/**/a", Use("a")),
    (b"begin", Begin(())),
    (b"/* x */ BEGIN WORK -- y", Begin(())),
    (b"start transaction", Begin(())),
    (b"start transaction with consistent snapshot, read only", Begin(("WITH CONSISTENT SNAPSHOT", "READ ONLY"))),
    (b"commit", Commit(False, False)),
    (b"commit work and chain", Commit(True, False)),
    (b"commit and no chain release", Commit(False, True)),
    (b"rollback no release", Rollback(False, False)),
    (b"rollback and chain no release", Rollback(True, False)),
    (b"savepoint a", Savepoint("a")),
    (b"savepoint `a b`", Savepoint("a b")),
    (b"savepoint 5a", Savepoint("5a")),
    (b"rollback to a", RollbackTo("a")),
    (b"rollback work to savepoint `a`", RollbackTo("a")),
    (b"release savepoint a", ReleaseSavepoint("a")),
    (b"kill 5", Kill("5", False)),
    (b"kill connection 5;", Kill("5", False)),
    (b"KILL QUERY 5", Kill("5", True)),
    (b"kill 1 + @a", Kill("1 + @a", False)),
    (b"vexplain select 1", Vexplain(9)),
    (b"vexplain plan select 1", Vexplain(14)),
    (b"select next value from s", SelectNext(None, "s", 1)),
    (b"SELECT NEXT VALUE FOR `k`.`s`", SelectNext("k", "s", 1)),
    (b"select next 5 values from k.s", SelectNext("k", "s", 5)),
    (b"select next ? values from s", SelectNext(None, "s", None)),
    (b"select sql_no_cache next 5 values from s", SelectNext(None, "s", 5)),
    (b"show databases", ShowVgate("databases")),
    (b"show schemas like 'a%'", ShowVgate("databases", "a%")),
    (b"show warnings", ShowVgate("warnings")),
    (b"show warnings limit 1, 2", ShowVgate("warnings")),
    (b"show count(*) errors", ShowVgate("count_errors")),
    (b"show vitess_shards", ShowVgate("vitess_shards")),
    (b"set autocommit = 0", Set((session("autocommit", "0"),))),
    (b"SET @@Session.SQL_Mode := 'a,b'", Set((session("sql_mode", "'a,b'"),))),
    (b"set `sql_mode` = concat(@@sql_mode, ',x'), @@local.a = (1, 2)",
     Set((session("sql_mode", "concat(@@sql_mode, ',x')"), session("a", "(1, 2)")))),
    (b"set @@`a` = 1, @@session.`b` = 2", Set((session("a", "1"), session("b", "2")))),
    (b"set x.y = 1", Set((session("x.y", "1"),))),
    (b"set global a = 1, b = 2", Set((SystemVariable("global", "a", "1"), SystemVariable("global", "b", "2")))),
    (b"set @@global.a = 1, b = 2", Set((SystemVariable("global", "a", "1"), session("b", "2")))),
    (b"set global a = 1, @@b = 2", Set((SystemVariable("global", "a", "1"), session("b", "2")))),
    (b"set persist a = 1", Set((SystemVariable("persist", "a", "1"),))),
    (b"set @@transaction_isolation = 'serializable'",
     Set((SystemVariable("once", "transaction_isolation", "'serializable'"),))),
    (b"set @@`tx_read_only` = 1", Set((SystemVariable("once", "tx_read_only", "1"),))),
    (b"set transaction_isolation = 'serializable'", Set((session("transaction_isolation", "'serializable'"),))),
    (b"set @@session.transaction_isolation = 'x'", Set((session("transaction_isolation", "'x'"),))),
    (b"set @a = 1, @`b c` := 'x,y', @'d' = (select 1, 2)",
     Set((UserVariable("@a", "1"), UserVariable("@`b c`", "'x,y'"), UserVariable("@'d'", "(select 1, 2)")))),
    (b"set names utf8mb4", Set((Names("utf8mb4", "names utf8mb4"),))),
    (b"set names 'latin1' collate \"latin1_bin\", a = 1", Set((Names(
        "latin1", "names 'latin1' collate \"latin1_bin\""), session("a", "1")))),
    (b"set names default", Set((Names("default", "names default"),))),
    (b"set character set utf8, char set 'gbk', charset `big5`",
     Set((Names("utf8", "character set utf8"), Names("gbk", "char set 'gbk'"), Names("big5", "charset `big5`")))),
    (b"set transaction isolation level serializable, read only",
     Set((TransactionCharacteristics("once", "isolation level serializable, read only"),))),
    (b"set local transaction read write", Set((TransactionCharacteristics("session", "read write"),))),
    (b"set global transaction read only", Set((TransactionCharacteristics("global", "read only"),))),
    (b"set password = 1", Set((session("password", "1"),))),
    (b"set a = 1 -- x\n + 2 # y", Set((session("a", "1 -- x\n + 2"),))),
]  # fmt: skip
SOMEBODY_ELSES = [
    b"select 1", b"select next from t", b"select next, 1 from t", b"select next as n", b"select next.a from next",
    b"show tables",
    b"show databases where 1", b"show create table t", b"kill hard 5", b"kill query id 5", b"kill user a",
    b"begin not atomic select 1; end",
    b"release x", b"start slave", b"start group_replication", b"set password for 'a'@'b' = 'c'", b"set role none",
    b"set default role all to a", b"set resource group a", b"set statement max_statement_time = 1 for select 1",
    b"rollback prepared 'x'", b"insert into t values (1)", b"", b"-- use a", b"`use` a", b"'use' a",
    b"(select next value from s)",
    b"select `next` 5 values from s",
]  # fmt: skip
MISTAKES = [
    b"use", b"use a b", b"use a extra words", b"begin x", b"start transaction x", b"start transaction read only,",
    b"start transaction read only, read write", b"start transaction read only read only", b"commit x", b"commit and",
    b"commit chain", b"commit and chain release", b"rollback work and chain release",
    b"rollback to", b"rollback to a b", b"savepoint", b"savepoint 'a'", b"savepoint 5", b"savepoint a b",
    b"savepoint @a",
    b"release savepoint", b"set", b"set a", b"set a =", b"set a = ,", b"set = 1", b"set 'a' = 1", b"set names",
    b"set names (utf8)",
    b"set names utf8 utf8", b"set names utf8 collate", b"set @a", b"set @a 1", b"set a = 1,", b"set session",
    b"set session.a = 1",
    b"set transaction", b"select next 1.5 values from s", b"select next 'a' values from s",
    b"select next value from s where 1",
    b"select next value from", b"select next value from 'a'", b"show warnings x", b"show databases like", b"kill query",
    b"vexplain",
    b"set character set", b"set charset 5",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RECOGNISED, ids=[repr(text) for text, _ in RECOGNISED])
def test_recognised(text: bytes, expected: Statement) -> None:
    assert recognise(text, DEFAULT) == expected


@pytest.mark.parametrize("text", SOMEBODY_ELSES)
def test_somebody_elses(text: bytes) -> None:
    assert recognise(text, DEFAULT) is None


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_syntax_errors(text: bytes) -> None:
    with pytest.raises(VgateError) as error:
        recognise(text, DEFAULT)
    assert error.value.errno == SYNTAX


@pytest.mark.parametrize(
    "text",
    [
        b"set `a = 1, global b` = 2", b"set session `autocommit = 1, sql_log_bin` = 0", b"set @@`a = 1, b` = 2",
        b"set @@session.`a = 1, b` = 2", b"set `a b` = 1", b"set `a``b` = 1", b"set `` = 1", b"set `a-- ` = 1",
        b"set `a`.`b c` = 1",
        b"set `\xc3\xa4` = 1",
    ],
)  # fmt: skip
def test_a_variable_whose_name_would_say_something_else_without_its_quotes(text: bytes) -> None:
    """Names of variables are written anew when they are set on a server."""
    with pytest.raises(VgateError) as error:
        recognise(text, DEFAULT)
    assert error.value.errno == SYNTAX


def test_quotes_and_character_sets_are_those_of_the_session() -> None:
    ansi = LexMode(ansi_quotes=True)
    assert recognise(b'use "a""b"', ansi) == Use('a"b')
    assert recognise(b'savepoint "a"', ansi) == Savepoint("a")
    with pytest.raises(VgateError):
        recognise(b'savepoint "a"', DEFAULT)
    latin1 = LexMode("latin1")
    assert recognise(b"savepoint `\xe4`", latin1) == Savepoint("ä")
    assert recognise(b"rollback to `\xf6`", latin1) == RollbackTo("ö")  # another than ä
    assert recognise(b"show databases like '\xe4\\_'", latin1) == ShowVgate("databases", "ä\\_")
    assert recognise(b"use `\xe4`", latin1) == Use("ä")
    assert recognise(b"set @`\xe4` = 1", latin1) == Set((UserVariable("@`ä`", "1"),))
    plain = LexMode(no_backslash_escapes=True)
    assert recognise(b"set a = 'x\\', b = 1", plain) == Set((session("a", "'x\\'"), session("b", "1")))


def test_a_statement_that_cannot_be_read() -> None:
    with pytest.raises(LexError):
        recognise(b"set a = '", DEFAULT)
    with pytest.raises(VersionedComment):
        recognise(b"/*!40101 SET NAMES utf8 */", DEFAULT)


def test_what_is_recognised_begins_with_a_word_that_is_looked_for() -> None:
    for text, _ in RECOGNISED:
        first = lexer_for(DEFAULT).tokens(text)[0]
        assert text[first.start : first.end].lower() in FIRST_WORDS


WORDS = [
    b"set", b"session", b"global", b"names", b"a", b"`b`", b"'c'", b"=", b":=", b",", b"@d", b"@@e", b".", b"(", b")",
    b"1", b"transaction",
    b"read", b"only", b"begin", b"commit", b"and", b"chain", b"rollback", b"to", b"savepoint", b"use", b"show",
    b"databases", b"like",
    b"select", b"next", b"value", b"values", b"from", b"5", b"kill", b"start", b"with", b"?", b"collate", b"utf8",
    b"default",
]  # fmt: skip


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(WORDS), max_size=9).map(b" ".join))
def test_anything_is_recognised_or_not_or_a_syntax_error(text: bytes) -> None:
    try:
        found = recognise(text, DEFAULT)
    except VgateError as error:
        number = error.errno
        assert number == SYNTAX
        return
    if isinstance(found, Set):
        for one in found.assignments:
            if isinstance(one, SystemVariable):  # it is pasted together again: name and value must stay apart
                again = recognise(f"set session {one.name} = {one.value}".encode(), DEFAULT)
                assert again == Set((session(one.name, one.value),))
