"""Transactions through vgate: over shards and keyspaces, compared with one server, and what clients see of each other.

Every test looks at the servers themselves for what was kept. What is waited for is always the thing itself: a row, a
lock, a thread of a server. It is one thing: whatever begins and ends a transaction is asked of the same few tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pymysql
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster, Server
from tests.integration.asking import Connection, Later, open_transactions, until, working
from vgate.sql.versioned import Flavour

TABLE = "create table customer (customer_id bigint not null primary key, uname varchar(50), n int) engine=innodb"
SHARDS = ("customer/-80", "customer/80-")
LOW, HIGH = (1, 2, 3, 5), (4, 6, 7, 8)
"""Ids on the two shards; ``oracle`` in this module proves it."""

IN_TRANSACTION, AUTOCOMMIT, READ_ONLY = 0x1, 0x2, 0x2000
DUPLICATE, DEADLOCK, LOCK_WAIT, BROKEN, TRANSACTION_RUNS = 1062, 1213, 1205, 1105, 1568

@pytest.fixture
def oracle(pair: Oracle) -> Oracle:
    """With a table of eight rows, four on each shard."""
    oracle = pair
    oracle.both(TABLE)
    rows = ", ".join(f"({number}, 'u{number}', 0)" for number in sorted(LOW + HIGH))
    oracle.both(f"insert into customer values {rows}", ignore=["insert_id"])
    assert ids(oracle.cluster["customer/-80"]) == LOW
    assert ids(oracle.cluster["customer/80-"]) == HIGH
    return oracle


@pytest.fixture
def other(oracle: Oracle) -> Iterator[Connection]:
    """Another client of the same vgate."""
    with closing(oracle.process.connect("customer")) as connection:
        yield connection


def ids(server: Server) -> tuple[int, ...]:
    return tuple(row[0] for row in server.query("select customer_id from customer order by 1", "customer"))


def stored(cluster: Cluster) -> list[tuple[Any, ...]]:
    """All rows, as the servers have them."""
    return sorted(row for shard in SHARDS for row in cluster[shard].query("select * from customer", "customer"))


def same_rows(oracle: Oracle) -> None:
    """The shards together hold what the one server holds."""
    assert stored(oracle.cluster) == sorted(oracle.cluster.plain.query("select * from customer", "customer"))


def same_state(oracle: Oracle) -> int:
    """Both sessions have the same flags; these are they."""
    mine, theirs = status_of(oracle.vgate), status_of(oracle.plain)
    assert mine == theirs, f"status flags after {oracle.asked[-1]!r}: vgate {mine:#x}, one server {theirs:#x}"
    return mine


def status_of(connection: Connection) -> int:
    """The flags of a COM_PING's OK packet, which PyMySQL does not keep."""
    connection._execute_command(0x0E, "")
    packet = connection._read_packet()
    return int.from_bytes(packet.get_all_data()[3:5], "little") & (IN_TRANSACTION | AUTOCOMMIT | READ_ONLY)


# -- over several shards --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", ["begin", "start transaction", "begin work", "set autocommit = 0", "/* x */ begin"])
@pytest.mark.parametrize("end", ["commit", "rollback", "/* x */ commit", "rollback work"])
def test_writes_on_two_shards_end_together(oracle: Oracle, other: Connection, begin: str, end: str) -> None:
    oracle.both(begin)
    oracle.both("update customer set n = 1 where customer_id = 1")
    oracle.both("update customer set n = 2 where customer_id = 4")
    oracle.both("delete from customer where customer_id in (3, 7)")
    assert same_state(oracle) & IN_TRANSACTION
    oracle.both("select * from customer")  # it sees its own
    before = ask(other, "select * from customer").rows
    assert len(before) == 8
    assert {row[2] for row in before} == {0}  # nobody else does
    oracle.both(end)
    assert not same_state(oracle) & IN_TRANSACTION
    same_rows(oracle)
    assert len(stored(oracle.cluster)) == (6 if "commit" in end else 8)


STATES = """
begin; select * from customer; commit
start transaction read only; select * from customer where customer_id = 1; commit
start transaction read write; commit
start transaction with consistent snapshot, read only; select 1; rollback
begin; begin; commit; commit
commit; rollback
begin; commit and chain; update customer set n = 9 where customer_id = 1; rollback and chain; commit
start transaction read only; commit and chain; commit and no chain
commit and chain; commit
rollback and chain; rollback
set autocommit = 0; select 1; select * from customer where customer_id = 1; commit; select 2; set autocommit = 1
set autocommit = 0; update customer set n = 1; set autocommit = 1
set autocommit = 0; begin; commit; insert into customer values (9, 'x', 1); rollback; set autocommit = 1
set autocommit = 0; insert into customer values (1, 'x', 1); rollback; set autocommit = 1
begin; set autocommit = 0; commit; set autocommit = 1
begin; set autocommit = 1; rollback
set transaction read only; begin; commit
set transaction read only; set autocommit = 0; select * from customer where customer_id = 1; commit; set autocommit = 1
set session transaction read only; begin; commit; set session transaction read write
begin; insert into customer values (1, 'x', 1); commit
begin; savepoint a; commit
begin; commit and chain; commit
set session transaction read only; begin; commit and chain; set session transaction read write; commit and chain; \
select * from customer; rollback and chain; commit; begin; commit
set transaction read only; insert into customer values (9, 'a', 1), (11, 'b', 1); begin; commit; \
insert into customer values (9, 'a', 1), (11, 'b', 1)
set autocommit = 0; savepoint a; set transaction read only; savepoint b; select 1; rollback to a; \
select * from customer; commit; set autocommit = 1
set autocommit = 0; savepoint a; release savepoint a; begin; rollback; savepoint b; begin; commit; set autocommit = 1
begin; truncate customer; rollback
begin; update customer set n = 5; create table if not exists customer (customer_id bigint); rollback
begin; update customer set n = 5; alter table customer add column z int; rollback
set autocommit = 0; update customer set n = 5; drop table if exists customer; rollback; set autocommit = 1
begin; use customer; rollback
begin; set names latin1; set names utf8mb4; rollback
begin; nonsense; rollback
start transaction read only; begin; select * from customer where customer_id = 1; update customer set n = 9; rollback
set transaction read only; begin; begin; update customer set n = 9; commit
begin; set session transaction read only; begin; update customer set n = 9; commit; set session transaction read write
start transaction read only; start transaction read write; begin; update customer set n = 9; rollback
set autocommit = 0; set transaction read only; select * from customer where customer_id = 1; start transaction; \
update customer set n = 9; rollback; begin; update customer set n = 9; rollback; set autocommit = 1
start transaction read only; start transaction with consistent snapshot; update customer set n = 9; rollback
begin; select nosuch from customer; rollback
"""


@pytest.mark.parametrize("script", STATES.strip().splitlines())
def test_the_client_is_told_the_same_of_its_transaction(oracle: Oracle, script: str) -> None:
    for statement in script.split("; "):
        oracle.both(statement, ignore=["insert_id", "info", "warnings"])
        same_state(oracle)
    oracle.both("set @@session.autocommit = 1")
    assert sorted(map(repr, oracle.cluster.plain.query("show tables", "customer"))) == sorted(
        map(repr, oracle.cluster["customer/80-"].query("show tables", "customer"))
    )
    if oracle.cluster.plain.query("show tables", "customer"):
        same_rows(oracle)


SAVEPOINTS = """
begin; update customer set n = 1; savepoint a; update customer set n = 2; rollback to a; commit
begin; savepoint a; update customer set n = 1 where customer_id = 1; rollback to savepoint A; commit
begin; update customer set n = 1 where customer_id = 1; savepoint a; update customer set n = 2 where customer_id = 4; \
rollback to a; update customer set n = 3 where customer_id = 6; commit
begin; savepoint a; savepoint b; release savepoint a; rollback to b; rollback
begin; savepoint a; update customer set n = 1; savepoint a; update customer set n = 2; rollback to a; commit
begin; savepoint a; update customer set n = 1; savepoint b; update customer set n = 2; rollback to a; rollback to b; \
commit
begin; savepoint `a b`; update customer set n = 1; rollback work to savepoint `A B`; commit
savepoint a; rollback to a
release savepoint nosuch
begin; rollback to nosuch; update customer set n = 4; commit
set autocommit = 0; savepoint a; update customer set n = 1; rollback to a; commit; set autocommit = 1
set autocommit = 0; savepoint a; update customer set n = 1 where customer_id = 1; savepoint b; \
update customer set n = 2; rollback to a; rollback to b; update customer set n = 3 where customer_id = 4; commit; \
rollback to a; set autocommit = 1
set autocommit = 0; savepoint a; begin; rollback to a; savepoint b; commit; rollback to b; set autocommit = 1
set autocommit = 0; savepoint a; set autocommit = 1; rollback to a
begin; savepoint a; commit; rollback to a
begin; update customer set n = 7; savepoint a; insert into customer values (1, 'x', 1); rollback to a; commit
"""


@pytest.mark.parametrize("script", SAVEPOINTS.strip().splitlines())
def test_savepoints_are_those_of_one_server(oracle: Oracle, script: str) -> None:
    for statement in script.split("; "):
        oracle.both(statement, ignore=["insert_id", "info", "status"])
    same_rows(oracle)


def test_a_transaction_spans_keyspaces(oracle: Oracle, other: Connection) -> None:
    oracle.only_vgate("create table product.t (id int primary key) engine=innodb")
    for end, kept in (("rollback", 0), ("commit", 1)):
        for sql in ("begin", "insert into product.t values (1)", "insert into customer values (9, 'x', 0)",
                    "use product", "select * from t", end):  # fmt: skip
            assert ask(oracle.vgate, sql).error is None
        ask(oracle.vgate, "use customer")
        assert ask(other, "select count(*) from product.t").rows == ((kept,),)
        assert ask(other, "select count(*) from customer where customer_id = 9").rows == ((kept,),)


def test_a_statement_that_fails_on_one_shard_is_undone_on_all(oracle: Oracle) -> None:
    for shard in ("-80", "80-"):  # as only who aims at each shard may have it
        assert ask(oracle.vgate, f"use `customer:{shard}`").error is None
        assert ask(oracle.vgate, "create unique index un on customer (uname)").error is None
    assert ask(oracle.vgate, "use customer").error is None
    assert ask(oracle.plain, "create unique index un on customer (uname)").error is None
    clash = "insert into customer values (11, 'new', 1), (12, 'new2', 1), (13, 'new3', 1), (4, 'twice', 1)"
    broken = "update customer set uname = 'same', n = n + 1 where customer_id in (1, 4, 6)"  # two of them on one shard
    for statement in (clash, broken):
        assert oracle.both(statement, ignore=["insert_id"]).error is not None
        same_rows(oracle)
    oracle.both("begin")
    oracle.both("update customer set n = 5 where customer_id in (2, 8)")
    for statement in (clash, broken):
        answer = oracle.both(statement, ignore=["insert_id"])
        assert answer.error is not None
        assert answer.error[0] == DUPLICATE
        oracle.both("select * from customer")
    assert same_state(oracle) & IN_TRANSACTION
    oracle.both("commit")
    same_rows(oracle)
    assert sum(row[2] for row in stored(oracle.cluster)) == 10


def test_a_multi_shard_write_that_fails_leaves_no_transaction(oracle: Oracle, other: Connection) -> None:
    """Outside a transaction it has had one of its own, which must not stay open on any shard."""
    oracle.only_vgate("insert into customer values (21, 'x', 1), (22, 'y', 1), (4, 'z', 1)")
    other.query("set innodb_lock_wait_timeout = 1")
    assert ask(other, "update customer set n = n + 1").affected == 8
    for shard in SHARDS:
        assert open_transactions(oracle.cluster[shard]) == 0


# -- isolation ------------------------------------------------------------------------------------------------------


def test_isolation_is_chosen_for_one_transaction(oracle: Oracle, other: Connection) -> None:
    vgate = oracle.vgate
    count = "select sum(n) from customer where customer_id = 1"

    def seen(*first: str) -> list[Any]:
        """What a transaction sees before and after another client's commit."""
        ask(other, "update customer set n = 0")
        for statement in first:
            assert ask(vgate, statement).error is None
        found = [ask(vgate, count).rows]
        ask(other, "update customer set n = 1")
        found.append(ask(vgate, count).rows)
        ask(vgate, "rollback")
        return [row[0] for rows in found for row in rows]

    assert seen("begin") == [0, 0]
    assert seen("set transaction isolation level read committed", "begin") == [0, 1]
    assert seen("begin") == [0, 0]  # it was for one
    assert seen("set session transaction isolation level read committed", "begin") == [0, 1]
    assert seen("begin") == [0, 1]
    assert seen("set session transaction isolation level repeatable read", "begin") == [0, 0]
    assert seen("set transaction isolation level read committed", "set autocommit = 0") == [0, 1]
    assert seen() == [0, 0]
    ask(vgate, "set autocommit = 1")


def test_a_statement_uses_up_set_transaction(oracle: Oracle, other: Connection) -> None:
    """Without BEGIN, SET TRANSACTION is for the next statement; one that fails for it does not use it up."""
    for script in ("set transaction read only; insert into customer values (31, 'x', 1); insert into customer values "
                   "(31, 'x', 1); select * from customer; insert into customer values (31, 'x', 1)",
                   "set transaction read only; insert into customer values (41, 'x', 1), (44, 'y', 1)",
                   "set transaction read only; select * from customer where customer_id = 1; update customer set n = 1",
                   "set transaction isolation level serializable; select 1; commit; begin; commit"):  # fmt: skip
        for statement in script.split("; "):
            oracle.both(statement, ignore=["insert_id", "info"])
        oracle.both("commit")
    same_rows(oracle)
    assert ask(other, "update customer set n = 3").error is None  # nor is it left on a connection that others get
    assert ask(other, "insert into customer values (51, 'x', 1)").error is None


def test_a_variable_without_a_scope_is_for_one_transaction(oracle: Oracle) -> None:
    """``SET @@transaction_isolation`` is SET TRANSACTION; without the at signs it is SET SESSION TRANSACTION."""
    maria = oracle.cluster.flavour is Flavour.MARIADB
    isolation, access = (f"{'tx' if maria else 'transaction'}_{what}" for what in ("isolation", "read_only"))
    for statement in (f"set @@{isolation} = 'serializable'", f"select @@{isolation}", f"set @@{access} = 1", "begin",
                      "update customer set n = 1 where customer_id = 1", "commit", "update customer set n = 2",
                      f"set @@{isolation} = 'nonsense'", "begin", f"set @@{access} = 1", "commit",
                      f"set {access} = 1", "update customer set n = 3", f"set @@session.{access} = 0"):  # fmt: skip
        oracle.both(statement)
        same_state(oracle)
    same_rows(oracle)


def test_set_transaction_is_refused_inside_one(oracle: Oracle) -> None:
    oracle.both("begin")
    assert oracle.both("set transaction read only").error is not None
    oracle.both("commit")
    oracle.both("set transaction isolation level nonsense")
    oracle.both("begin")
    oracle.both("set session transaction isolation level read committed")
    oracle.both("commit")


@pytest.mark.parametrize("begin", ["start transaction with consistent snapshot", "start transaction read only, with "
                                   "consistent snapshot"])  # fmt: skip
def test_a_snapshot_is_taken_at_once(oracle: Oracle, other: Connection, begin: str) -> None:
    ask(oracle.vgate, begin)
    ask(other, "update customer set n = 1")
    assert {row[2] for row in ask(oracle.vgate, "select * from customer").rows} == {0}
    ask(oracle.vgate, "commit")
    assert {row[2] for row in ask(oracle.vgate, "select * from customer").rows} == {1}


# -- locks ----------------------------------------------------------------------------------------------------------


def test_a_deadlock_rolls_back_on_every_shard(oracle: Oracle, other: Connection) -> None:
    one, cluster = oracle.vgate, oracle.cluster
    for connection in (one, other):
        assert ask(connection, "set innodb_lock_wait_timeout = 20").error is None
        assert ask(connection, "begin").error is None
    for number in (1, 2, 3, 6, 7, 8):  # whoever has written less is the victim: ``one``
        ask(other, f"update customer set n = 2 where customer_id = {number}")
    ask(one, "update customer set n = 1 where customer_id = 4")
    ask(one, "update customer set n = 1 where customer_id = 5")
    behind = Later(other, "update customer set n = 2 where customer_id = 5 /* behind */")
    until(lambda: working(cluster["customer/-80"], "/* behind */"), "it never waited")
    assert ask(one, "update customer set n = 1 where customer_id = 1").error is not None
    assert behind.result().error is None
    assert not status_of(one) & IN_TRANSACTION
    # The write on the other shard is gone with it, and its lock: the client's next statement is on its own.
    assert ask(other, "update customer set n = 2 where customer_id = 4").affected == 1
    assert ask(other, "commit").error is None
    assert ask(one, "rollback").error is None
    assert {row[2] for row in stored(cluster)} == {2}


def test_a_deadlock_in_a_read_of_all_shards_rolls_back_on_every_shard(oracle: Oracle, other: Connection) -> None:
    one, cluster = oracle.vgate, oracle.cluster
    ask(one, "begin")
    ask(other, "begin")
    for number in (6, 7, 8):
        ask(other, f"update customer set n = 2 where customer_id = {number}")
    ask(one, "update customer set n = 1 where customer_id = 1")
    ask(one, "update customer set n = 1 where customer_id = 4")
    behind = Later(other, "update customer set n = 2 where customer_id = 4 /* behind */")
    until(lambda: working(cluster["customer/80-"], "/* behind */"), "it never waited")
    answer = ask(one, "select * from customer for update")
    assert answer.error is not None
    assert answer.error[0] == DEADLOCK
    assert behind.result().error is None
    assert not status_of(one) & IN_TRANSACTION
    ask(other, "commit")
    ask(one, "update customer set n = 7 where customer_id = 2")  # on its own: kept at once, and nothing else is
    ask(one, "rollback")
    assert {row[0]: row[2] for row in stored(cluster) if row[2]} == {2: 7, 4: 2, 6: 2, 7: 2, 8: 2}


@pytest.mark.parametrize("where", ["customer_id = 4", "n >= 0", "customer_id in (1, 4)"])
def test_a_lock_wait_timeout_undoes_the_statement_alone(oracle: Oracle, other: Connection, where: str) -> None:
    one = oracle.vgate
    ask(one, "set innodb_lock_wait_timeout = 1")
    ask(other, "begin")
    ask(other, "update customer set n = 2 where customer_id = 4")
    ask(one, "begin")
    ask(one, "update customer set n = 1 where customer_id = 2")
    ask(one, "update customer set n = 1 where customer_id = 6")
    answer = ask(one, f"update customer set n = n + 10 where {where}")
    assert answer.error is not None
    assert answer.error[0] == LOCK_WAIT
    assert status_of(one) & IN_TRANSACTION
    ask(other, "rollback")
    assert ask(one, "commit").error is None
    assert {row[0]: row[2] for row in stored(oracle.cluster) if row[2]} == {2: 1, 6: 1}


# -- what goes wrong ------------------------------------------------------------------------------------------------


def kill_threads(server: Server) -> None:
    """End what vgate has open on a server, as a restart would."""
    for (thread,) in server.query(
        "select id from information_schema.processlist where db = 'customer' and id <> connection_id()"
    ):
        server.query(f"kill {thread}")


def test_a_transaction_that_lost_a_shard_is_broken_until_rollback(oracle: Oracle, other: Connection) -> None:
    one = oracle.vgate
    ask(one, "begin")
    ask(one, "update customer set n = 1")
    kill_threads(oracle.cluster["customer/80-"])
    for sql in ("update customer set n = 2 where customer_id = 4", "select * from customer where customer_id = 4",
                "update customer set n = 2 where customer_id = 1", "savepoint a"):  # fmt: skip
        answer = ask(one, sql)
        assert answer.error is not None, sql
    commit = ask(one, "commit")
    assert commit.error is not None
    assert "VT15001" in commit.error[1]
    assert not status_of(one) & IN_TRANSACTION
    assert {row[2] for row in stored(oracle.cluster)} == {0}
    assert ask(one, "update customer set n = 3").affected == 8
    assert ask(other, "select * from customer where n = 3").rows != ()


def test_rollback_ends_a_broken_transaction(oracle: Oracle) -> None:
    one = oracle.vgate
    ask(one, "begin")
    ask(one, "update customer set n = 1")
    kill_threads(oracle.cluster["customer/-80"])
    assert ask(one, "rollback").error is None
    assert {row[2] for row in stored(oracle.cluster)} == {0}
    assert ask(one, "update customer set n = 3").affected == 8


def test_a_commit_that_would_be_half_of_one_does_not_begin(oracle: Oracle) -> None:
    """A connection is seen to be gone before the others commit."""
    one = oracle.vgate
    ask(one, "begin")
    ask(one, "update customer set n = 1")
    kill_threads(oracle.cluster["customer/80-"])
    until(lambda: not oracle.cluster["customer/80-"].query(
        "select * from information_schema.processlist where db = 'customer' and id <> connection_id()"), "still there")
    commit = ask(one, "commit")
    assert commit.error is not None
    assert commit.error[0] == BROKEN
    assert {row[2] for row in stored(oracle.cluster)} == {0}


def test_a_client_that_goes_away_is_rolled_back(oracle: Oracle, other: Connection) -> None:
    gone = oracle.process.connect("customer")
    ask(gone, "begin")
    ask(gone, "update customer set n = 1")
    gone._force_close()
    ask(other, "set innodb_lock_wait_timeout = 20")
    assert ask(other, "update customer set n = 2").affected == 8
    assert {row[2] for row in stored(oracle.cluster)} == {2}


def test_a_commit_goes_on_when_the_client_is_gone(oracle: Oracle) -> None:
    """Between two shards' COMMITs a client may vanish: what one shard has kept, the other must keep."""
    low, high = (oracle.cluster[shard] for shard in SHARDS)
    gone = oracle.process.connect("customer")
    ask(gone, "begin")
    ask(gone, "update customer set n = 1 where customer_id = 1")
    ask(gone, "update customer set n = 1 where customer_id = 4")
    with closing(high.connect()) as lock, lock.cursor() as cursor:
        cursor.execute("flush tables with read lock")  # keeps COMMIT waiting
        try:
            Later(gone, "commit")
            until(lambda: low.query("select n from customer where customer_id = 1", "customer") == ((1,),), "no commit")
            until(lambda: working(high, "COMMIT"), "the second COMMIT never came")
            gone._sock.shutdown(2)
            until(lambda: len(clients(oracle)) == 1, "vgate does not see that the client is gone")
        finally:
            cursor.execute("unlock tables")
    until(lambda: high.query("select n from customer where customer_id = 4", "customer") == ((1,),), "half a commit")


def clients(oracle: Oracle) -> range:
    """As many as vgate has clients (COM_STATISTICS says so)."""
    oracle.vgate._execute_command(0x09, "")
    text = oracle.vgate._read_packet().get_all_data().decode()
    return range(int(text.split("Threads: ")[1]))


def test_commit_release_answers_and_ends_the_connection(oracle: Oracle) -> None:
    oracle.both("begin")
    oracle.both("update customer set n = 1")
    oracle.both("commit release")
    for connection in (oracle.vgate, oracle.plain):
        with pytest.raises(pymysql.err.MySQLError):
            connection.query("select 1")
    same_rows(oracle)


def test_a_read_only_transaction_writes_nowhere(oracle: Oracle) -> None:
    for statement in ("start transaction read only", "update customer set n = 1 where customer_id = 1",
                      "insert into customer values (91, 'x', 1), (92, 'y', 1)", "delete from customer",
                      "select * from customer", "commit", "set session transaction read only",
                      "update customer set n = 1", "set session transaction read write"):  # fmt: skip
        oracle.both(statement, ignore=["insert_id"])
    same_rows(oracle)


# -- transactions that servers begin and end by themselves ----------------------------------------------------------


def test_a_procedure_may_begin_and_end_a_transaction(oracle: Oracle, other: Connection) -> None:
    """vgate follows what the server says of it, also after an error, which does not say it."""
    for connection in (oracle.vgate, oracle.plain):
        ask(connection, "use product")
    ask(other, "use product")
    for sql in ("create table t (id int primary key, n int) engine=innodb",
                "create procedure opens() begin start transaction; insert into t values (1, 1); end",
                "create procedure fails() begin start transaction; insert into t values (2, 1); "
                "insert into t values (2, 1); end",
                "create procedure closes() begin insert into t values (3, 1); commit; end"):  # fmt: skip
        oracle.both(sql)
    oracle.both("call opens()")
    assert same_state(oracle) & IN_TRANSACTION
    assert ask(other, "select * from t").rows == ()
    oracle.both("rollback")
    oracle.both("select * from t")
    oracle.both("call fails()")
    assert same_state(oracle) & IN_TRANSACTION
    oracle.both("rollback")
    oracle.both("select * from t")
    oracle.both("begin")
    oracle.both("call closes()")
    assert not same_state(oracle) & IN_TRANSACTION
    oracle.both("rollback")
    oracle.both("select * from t")


def test_lock_tables_and_autocommit_off_go_together(oracle: Oracle, other: Connection) -> None:
    """The way the manual shows: no START TRANSACTION may give up the locks."""
    ask(other, "use product")
    ask(other, "create table t (id int primary key) engine=innodb")
    ask(other, "create table u (id int primary key) engine=innodb")
    ask(oracle.vgate, "use product")
    for sql in ("set autocommit = 0", "lock tables t write", "insert into t values (1)"):
        assert ask(oracle.vgate, sql).error is None
    assert ask(oracle.vgate, "select * from u").error is not None  # 1100: the locks are still there
    late = Later(other, "insert into t values (2)")
    until(lambda: working(oracle.cluster["product/-"], "insert into t values (2)"), "t is not locked")
    for sql in ("commit", "unlock tables", "set autocommit = 1"):
        assert ask(oracle.vgate, sql).error is None
    assert late.result().error is None
    assert oracle.cluster["product/-"].query("select id from t order by 1", "product") == ((1,), (2,))


def test_a_read_that_fails_on_one_shard_leaves_the_transaction_open(oracle: Oracle, other: Connection) -> None:
    """Also where another shard is still at work on it."""
    for begin in ("begin", "set autocommit = 0"):
        oracle.both(begin)
        oracle.both("update customer set n = n + 1")
        oracle.both("select if(customer_id in (4, 6, 7, 8), sleep(30), exp(n * 1000)) from customer", ordered=True)
        oracle.both("select customer_id, n from customer")
        oracle.both("commit")
        assert ask(other, "select n from customer where customer_id = 4") == oracle.only_vgate(
            "select n from customer where customer_id = 4"
        )
    oracle.both("select customer_id, n from customer")


TOUCHES = """
select no_such_column from customer where customer_id = 1
select no_such_column from customer
insert into customer values (1, 2)
insert into customer values (1, 'x', 1), (4)
select * from customer where customer_id = (select 1 union select 2)
describe customer
show index from customer
explain select * from customer where customer_id = 1
select no_such_column from product.aside
use product; select * from aside where n = 1; select * from aside where n = 2; select * from aside where n = 3
insert into product.aside values (4)
select @a := no_such_column from product.aside
describe product.aside
describe product.missing
use product; show create table missing
use product; create temporary table own (n int) engine=innodb; select no_such_column from aside
use product; handler aside open; select no_such_column from aside
"""


@pytest.mark.parametrize("script", TOUCHES.strip().splitlines())
def test_where_no_transaction_is_open_no_table_is_locked(oracle: Oracle, other: Connection, script: str) -> None:
    """With autocommit off a server keeps metadata locks until COMMIT, also where it says that no transaction is open:
    they must not go back to the pool with the connection.
    """
    oracle.both("create table product.aside (n int) engine=myisam", ignore=["warnings"])
    oracle.both("insert into product.aside values (1), (2), (3)", ignore=["insert_id", "warnings"])
    oracle.both("set autocommit = 0")
    *first, last = map(str.strip, script.split(";"))
    for statement in first:
        oracle.both(statement)
    oracle.both(last, ignore=["rows", "columns", "insert_id"])
    if oracle.both("set sql_mode = default", ignore=["status"]).status & IN_TRANSACTION:
        oracle.both("rollback", ignore=["warnings"])
    ask(other, "set lock_wait_timeout = 1")
    for sql in ("alter table customer comment 'x'", "create table product.missing (n int)",
                "alter table product.aside comment 'x'"):  # fmt: skip
        if "handler" not in script or "aside" not in sql:
            assert ask(other, sql).error is None, sql


@pytest.mark.parametrize("sql", [
    "drop tabel t", "create table t2 (a nosuch)", "create", "alter nonsense", "flush nonsense", "truncate",
    "lock tables", "analyze table", "grant nothing", "create table t (id int)", "drop table nosuch", "flush tables",
    "rename table t to",
])  # fmt: skip
def test_what_is_no_sql_commits_nothing(oracle: Oracle, sql: str) -> None:
    """Anything else of its kind does, even where it fails."""
    oracle.both("use product")
    oracle.both("create table t (id int primary key)")
    for statement in ("begin", "insert into t values (1)"):
        oracle.both(statement)
    mine, theirs = (ask(side, sql) for side in (oracle.vgate, oracle.plain))
    assert (mine.error or (0,))[0] == (theirs.error or (0,))[0]
    for statement in ("select @@in_transaction", "rollback", "select * from t"):
        if "@@" not in statement or oracle.cluster.plain.flavour is Flavour.MARIADB:
            oracle.both(statement)


@pytest.mark.parametrize("sql", [
    "alter table customer nonsense", "alter table customer add", "alter table customer add column",
    "alter table customer add a int,", "alter table customer add a int,, add b int", "alter table customer ,add a int",
    "alter table customer add (a int,,b int)", "alter table customer add (,a int)", "alter table customer add (a int,)",
    "alter table customer add ()", "alter table customer modify", "alter table customer engine = nonsense",
    "truncate customer nonsense", "analyze table customer nonsense", "check table customer nonsense",
    "drop table if exists nosuch nonsense", "drop index customer", "rename table customer to",
    "create unique index on customer", "create table nosuchdb.x (a int)", "create table nosuchdb.x nonsense",
    "alter table customer add index (nosuch)",
])  # fmt: skip
def test_what_is_no_sql_commits_nothing_on_shards(oracle: Oracle, sql: str) -> None:
    oracle.both("use customer")
    for statement in ("begin", "insert into customer (customer_id, uname) values (77, 'x'), (78, 'y')"):
        oracle.both(statement, ignore=["insert_id"])
    mine, theirs = (ask(side, sql) for side in (oracle.vgate, oracle.plain))
    assert (mine.error or (0,))[0] == (theirs.error or (0,))[0]
    oracle.both("rollback")
    oracle.both("select * from customer where customer_id in (77, 78)", ordered=False)
    for statement in ("delete from customer where customer_id in (77, 78)", "show columns from customer"):
        oracle.both(statement, ignore=["columns"])


@pytest.mark.parametrize("change", [
    "prepare s from 'set autocommit = 0'; execute s", "call off()", "create procedure again() call off(); call again()",
])  # fmt: skip
def test_autocommit_that_a_program_sets(oracle: Oracle, change: str) -> None:
    oracle.both("use product")
    for statement in ("create table t (id int primary key)", "create procedure off() set autocommit = 0"):
        oracle.both(statement)
    for statement in change.split("; "):
        oracle.both(statement, ignore=["info"])
    for statement in (
        "insert into t values (1)", "select @@autocommit", "rollback", "insert into t values (2)", "select * from t",
        "set autocommit = 1", "select @@autocommit", "insert into t values (3)", "rollback", "select * from t",
    ):  # fmt: skip
        oracle.both(statement)
        states = [side.server_status & 3 for side in (oracle.vgate, oracle.plain)]
        assert states[0] == states[1], statement


@pytest.mark.parametrize("sql", [
    "select nosuch from customer", "select * from nosuch", "update customer set nosuch = 1", "select a.b from customer",
    "update customer set uname = repeat('x', 300)", "delete from customer where nosuch = 1",
    "select n, count(nosuch) from customer group by n", "select n from customer order by nosuch",
    "select (select 1 union select 2) from customer", "select json_extract(uname, 'x') from customer",
    "insert into customer (customer_id, uname) values (1, repeat('x', 300)), (2, 'y')",
    "select c.n from customer c join customer d on c.nosuch = d.x",
    "select n from customer union select n, n from customer",
    "insert into customer (customer_id, nosuch) values (1, 1), (2, 2)", "select max(n) from customer where max(n) > 1",
])  # fmt: skip
def test_a_statement_that_fails_begins_a_transaction_where_one_server_does(oracle: Oracle, sql: str) -> None:
    for statement in (
        "insert into customer (customer_id, uname) values (1, 'a'), (2, 'b'), (3, 'c')", "set autocommit = 0", sql,
        "do 0", "select count(*) from customer", sql, "do 0", "rollback", sql, "commit", "do 0",
    ):  # fmt: skip
        oracle.both(statement, ignore=["insert_id", "warnings"])
        if statement == "do 0":
            states = [side.server_status & IN_TRANSACTION for side in (oracle.vgate, oracle.plain)]
            assert states[0] == states[1], sql
