"""What ties a session to one server: user variables, temporary tables, locks, prepared statements by name, stored
programs. On an unsharded keyspace and on a shard that is aimed at all of them work as on one server; elsewhere they are
refused with their name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import Connection, Later, run, scripts, until, working
from vgate.sql.versioned import Flavour

LOST = 2013

TIED = r"""
set @a = 1, @b := 'x'; select @a, @b; select @a + 1 as c; set @a = @a + 1; select @a
select @a := max(id) from product; select @a; select * from product where id = @a
select id into @i from product where name = 'b'; select @i; update product set n = @i + 100 where id = @i; \
select n from product
set @old = @@sql_mode, sql_mode = 'ANSI_QUOTES', @x = 2; select "name", @x from product; set sql_mode = @old; \
select @@sql_mode
set @a = (select count(*) from product); select @a; set @b = null; select @b
set names utf8mb4; set @a = 'é'; select @a, hex(@a)
create temporary table tmp (a int); insert into tmp values (1), (2); select * from tmp; drop temporary table tmp; \
select * from tmp
create temporary table product (a int); select * from product; drop table product; select name from product
begin; create temporary table tmp (a int); insert into tmp values (1); insert into product (name) values ('t'); \
rollback; \
select name from product; drop temporary table if exists tmp
prepare s from 'select name from product where id = ?'; set @i = 2; execute s using @i; deallocate prepare s; execute s
prepare s from 'insert into product (name) values (?)'; set @n = 'p'; execute s using @n; \
select last_insert_id() > 3; select row_count()
set @l = 'l'; select get_lock('l', 0), is_used_lock('l') = connection_id(), is_used_lock(@l) = connection_id() as x; \
select is_used_lock('l') = connection_id(); select is_used_lock('m') is null; \
select release_lock('l'); select release_lock('l')
handler product open; handler product read first; handler product close
lock tables product read; select name from product; insert into product (name) values ('x'); unlock tables; \
insert into product (name) values ('x')
lock tables product as p write; select p.name from product as p; begin; rollback; unlock tables
create procedure p(out x int) begin select 1; select 2, 3; set x = 4; set @y = 5; end; call p(@z); select @z, @y; \
drop procedure p
create procedure q() begin insert into product (name) values ('in q'); end; call q(); select last_insert_id() > 3; \
drop procedure q
create trigger tr before insert on product for each row begin set new.name = upper(new.name); set new.n = null; end; \
insert into product (name) values ('low'); select name from product; drop trigger tr
create function f() returns int deterministic begin return 7; end; select f(); drop function f
"""


@pytest.mark.parametrize("script", scripts(TIED))
def test_an_unsharded_keyspace_takes_any_statement(stocked: Oracle, others: list[Connection], script: str) -> None:
    run(stocked, "use product; create table noise (id int primary key auto_increment)")
    for statement in _statements(script):
        if "connection_id" in statement:
            assert ask(stocked.vgate, statement).rows == ask(stocked.plain, statement).rows
            continue
        stocked.both(statement, ignore=["info", "warnings"])
        for other in others:
            ask(other, "insert into noise values (null)")


def _statements(script: str) -> Iterator[str]:
    """Cut at semicolons, but those inside a stored program."""
    pending = ""
    for part in script.split("; "):
        pending = f"{pending}; {part}" if pending else part
        if " begin " not in f" {pending} " or pending.startswith("begin") or pending.endswith("end"):
            yield pending
            pending = ""


def test_an_aimed_session_has_them_too(stocked: Oracle) -> None:
    vgate = stocked.vgate
    ask(vgate, "use `customer:-80`")
    for sql in ("set @a = 5", "create temporary table tmp (a int)", "insert into tmp values (1)",
                "select get_lock('l', 0)",
                "prepare s from 'select customer_id from customer order by 1'", "lock tables customer read, tmp read"):
        assert ask(vgate, sql).error is None, sql
    assert ask(vgate, "select @a").rows == ((5,),)
    assert ask(vgate, "execute s").rows == ((1,), (2,))
    assert ask(vgate, "unlock tables").error is None
    low, high = stocked.cluster["customer/-80"], stocked.cluster["customer/80-"]
    assert low.query("select is_free_lock('l')") == ((0,),)
    assert high.query("select is_free_lock('l')") == ((1,),)


@pytest.mark.parametrize("second", ["prepare s from 'select 2'", "select get_lock('l', 0)"])
def test_a_session_is_not_tied_to_two_servers_that_know_different_things(stocked: Oracle, second: str) -> None:
    vgate = stocked.vgate
    ask(vgate, "use product")
    assert ask(vgate, "set @a = 1").error is None
    ask(vgate, "use `customer:-80`")
    stocked.refused(second, "product/-")
    ask(vgate, "use product")
    assert ask(vgate, "select @a").rows == ((1,),)


SHARDED = """
create temporary table tmp (a int) | a temporary table
create/**/temporary table tmp (a int) | a temporary table
select get_lock('l', 0) | a user lock
select get_lock /* x */ ('l', 0) | a user lock
do release_lock('l') | a user lock
lock tables customer read | LOCK TABLES
/* x */ lock tables customer read | LOCK TABLES
handler customer open | HANDLER
call p() | a stored program
xa start 'x' | XA
set role none | SET ROLE
"""


@pytest.mark.parametrize("line", SHARDED.strip().splitlines())
def test_a_sharded_keyspace_refuses_them(stocked: Oracle, line: str) -> None:
    statement, _, construct = line.partition(" | ")
    stocked.refused(statement, construct)
    answer = ask(stocked.vgate, statement)
    assert answer.error is not None
    assert "sharded keyspace" in answer.error[1]


def test_unlock_tables_unlocks_what_there_is(stocked: Oracle) -> None:
    """On a sharded keyspace, and without any: nothing, or what the session has locked elsewhere."""
    run(stocked, "unlock tables; UNLOCK /* x */ TABLE; select row_count(); unlock nothing")
    run(stocked, "use product; lock tables product read; insert into product (name) values ('x')")
    run(stocked, "use customer; unlock tables; use product; insert into product (name) values ('x')")
    with stocked.process.connect() as nowhere:
        assert ask(nowhere, "unlock tables").error is None


def test_a_user_lock_shuts_others_out(stocked: Oracle, others: list[Connection]) -> None:
    one, other = others[0], others[1]
    assert ask(one, "select get_lock('l', 0)").rows == ((1,),)
    assert ask(other, "select get_lock('l', 0)").rows == ((0,),)
    late = Later(other, "select get_lock('l', 20)")
    until(lambda: working(stocked.cluster["product/-"], "get_lock"), "it does not wait")
    one.close()
    assert late.result().rows == ((1,),)


def test_a_session_is_told_that_what_it_was_tied_to_is_gone(stocked: Oracle) -> None:
    vgate, server = stocked.vgate, stocked.cluster["product/-"]
    ask(vgate, "use product")
    ask(vgate, "set @a = 5")
    [(thread,)] = ask(vgate, "select @@pseudo_thread_id + if(@a is null, 0, 0)").rows
    server.query(f"kill {thread}")
    until(lambda: not server.query(f"select 1 from information_schema.processlist where id = {thread}"), "still there")
    answer = ask(vgate, "select @a")
    assert answer.error is not None
    assert answer.error[0] == LOST
    assert ask(vgate, "select @a").rows == ((None,),)  # from here on, as after any reconnect


def test_a_mysqldump_can_be_loaded(stocked: Oracle) -> None:
    """The frame that every dump has, into an unsharded keyspace."""
    ask(stocked.vgate, "use product")
    dump = """
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;
DROP TABLE IF EXISTS `d`;
CREATE TABLE `d` (`id` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`));
LOCK TABLES `d` WRITE;
/*!40000 ALTER TABLE `d` DISABLE KEYS */;
INSERT INTO `d` VALUES (0),(1);
/*!40000 ALTER TABLE `d` ENABLE KEYS */;
UNLOCK TABLES;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;
"""
    before = ask(stocked.vgate, "select @@sql_mode, @@time_zone, @@unique_checks, @@foreign_key_checks").rows
    for statement in dump.strip().splitlines():
        assert ask(stocked.vgate, statement).error is None, statement
    assert ask(stocked.vgate, "select * from d").rows == ((0,), (1,))
    assert ask(stocked.vgate, "select @@sql_mode, @@time_zone, @@unique_checks, @@foreign_key_checks").rows == before


# -- stored functions -----------------------------------------------------------------------------------------------

LEAVES = """
create function leaver() returns int no sql
begin
    set @left_behind = 5, time_zone = '+07:00';
    return 1;
end
"""


@pytest.mark.parametrize("statement", [
    "select leaver()", "select product.leaver() from product", "insert into product (n) values (80 + leaver())",
    "update product set name = concat('x', leaver())", "delete from product where n = 90 + leaver()", "do leaver()",
    "begin; select leaver(); commit", "begin; select `leaver`(), 1; rollback", "call runs()",
])  # fmt: skip
def test_what_a_stored_function_leaves_behind_is_nobody_elses(
    stocked: Oracle, others: list[Connection], statement: str
) -> None:
    for sql in (LEAVES, "create procedure runs() select leaver()"):
        stocked.process.query(sql, "product")  # on a connection that is tied by it, and closed
    with closing(stocked.process.connect("product", ssl_disabled=True)) as connection:
        for part in statement.split("; "):
            assert ask(connection, part).error is None
    for other in others:
        ask(other, "begin")  # each holds a connection of its own
        assert ask(other, "select @@time_zone, n from product where id = 1").rows[0][0] == "SYSTEM"
    for other in others:
        assert ask(other, "select @left_behind").rows == ((None,),)


@pytest.mark.parametrize("statement", [
    "begin", "commit", "rollback", "commit and chain", "rollback release", "savepoint a", "release savepoint a",
    "create table nn (a int)", "lock tables t write", "flush tables", "analyze table t", "set transaction read only",
    "set session transaction read only", "set session transaction isolation level serializable",
    "start transaction read only", "drop table if exists nosuch", "create database nosuch",
])  # fmt: skip
def test_nothing_but_xa_ends_an_xa_transaction(oracle: Oracle, statement: str) -> None:
    oracle.both("use product")
    oracle.both("create table t (a int primary key)")
    prepared = "do 0" if oracle.cluster.plain.flavour is Flavour.MYSQL else statement  # MySQL's session is free by then
    for sql in (
        "xa start 'q'", "insert into t values (1)", statement, "insert into t values (2)", "xa end 'q'", statement,
        "xa prepare 'q'", prepared, "xa commit 'q'", "select * from t", "begin", "insert into t values (3)", "rollback",
        "select * from t",
    ):  # fmt: skip
        oracle.both(sql, ignore=["info"])


def test_an_xa_transaction_is_of_one_server(stocked: Oracle) -> None:
    vgate = stocked.vgate
    for sql in ("use product", "create table t (a int primary key)", "xa start 'x'", "insert into t values (1)"):
        assert ask(vgate, sql).error is None
    stocked.refused("select * from customer.customer", "within XA on product/-")
    for sql in ("xa end 'x'", "xa rollback 'x'", "select * from customer.customer"):
        assert ask(vgate, sql).error is None


@pytest.mark.parametrize("program", ["prepare s from '{}'; execute s", "create procedure changes() {}; call changes()"])
@pytest.mark.parametrize("change", [
    "set sql_mode = ''ANSI_QUOTES''", "set names gbk", "set session transaction read only",
    "set sql_mode = ''NO_BACKSLASH_ESCAPES''", "set character_set_results = null", "set names latin1",
])  # fmt: skip
def test_texts_are_read_as_a_program_has_set(oracle: Oracle, program: str, change: str) -> None:
    oracle.both("use product")
    change = change if program.startswith("prepare") else change.replace("''", "'")
    flags = 0xFFFF if program.startswith("prepare") else ~0x8200  # a procedure's sql_mode goes, but not servers' flags
    for sql in program.format(change).split("; "):
        oracle.both(sql, ignore=["info"])
    for raw in (b"select 'a\\' as x, 1 as y -- '", b"select \"a\" from (select 1 as a) t", b"begin", b"rollback",
                b"select hex('\xbf\x5c') as h, 1 -- '", b"set sql_mode = default", b"set names utf8mb4",
                b"select \"b\"", b"set session transaction read write", b"begin", b"select @@sql_mode"):  # fmt: skip
        mine, theirs = (ask(side, raw) for side in (oracle.vgate, oracle.plain))
        assert (mine.error or (0,))[0] == (theirs.error or (0,))[0], raw
        assert (mine.rows, mine.status & flags) == (theirs.rows, theirs.status & flags), raw
