"""What belongs to one client: its settings, variables, locks, temporary tables, insert id, warnings and several statements
in one; on whichever server its statements run, and never to anybody else.

Everything one server can do is compared with one. What is waited for is the thing itself.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeAlias

import pymysql
import pytest
from pymysql.constants import CLIENT

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster, Server
from tests.fix_vgate import USERS, StartVgate

Connection: TypeAlias = "pymysql.Connection[Any]"

CUSTOMER = "create table customer (customer_id bigint not null primary key, uname varchar(50), n int, at timestamp null)"
PRODUCT = "create table product (id int primary key auto_increment, name varchar(20), n int unique)"
ROWS = "insert into customer (customer_id, uname, n) values (1, 'one', 1), (2, 'two', 2), (4, 'four', 4), (6, 'six', 6)"

WITHIN = 20.0
UNSUPPORTED, SYNTAX, INTERRUPTED, NO_SUCH_THREAD, NOT_OWNER, LOST = 1235, 1064, 1317, 1094, 1095, 2013
NO_BACKSLASH_ESCAPES, ANSI_QUOTES = 0x0200, 0x8000


@pytest.fixture
def oracle(pair: Oracle) -> Oracle:
    """In ``customer``, with a few rows on each shard; ``product.product`` is there, too."""
    pair.both(CUSTOMER)
    pair.both(ROWS, ignore=["insert_id"])
    pair.both("use product")
    pair.both(PRODUCT)
    pair.both("insert into product (name, n) values ('a', 1), ('b', 2), ('c', 3)")
    pair.both("use customer")
    return pair


@pytest.fixture
def others(oracle: Oracle) -> Iterator[list[Connection]]:
    """Clients who came before anything was set; there are as many as will get hold of every idle connection."""
    connections = [oracle.process.connect("product") for _ in range(4)]
    yield connections
    for connection in connections:
        connection._force_close()


def until(what: Callable[[], object], message: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not what():
        assert time.monotonic() < deadline, message


def run(oracle: Oracle, script: str, ignore: Sequence[str] = ("insert_id", "info")) -> None:
    """Statements with semicolons between them, each asked of both."""
    for statement in filter(None, map(str.strip, script.split(";"))):
        oracle.both(statement, ignore=ignore)


class Later:
    """A statement that runs in a thread of its own, because it will have to wait."""

    def __init__(self, connection: Connection, sql: str) -> None:
        self.answer: Any = None
        self._thread = threading.Thread(target=self._run, args=(connection, sql), daemon=True)
        self._thread.start()

    def _run(self, connection: Connection, sql: str) -> None:
        self.answer = ask(connection, sql)

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(WITHIN)
        assert self.done, "the statement still waits"
        return self.answer


def working(server: Server, text: str) -> bool:
    """True while a statement with this text is being worked on."""
    return server.query(
        "select count(*) from information_schema.processlist"
        f" where info like '%{text}%' and id <> connection_id() and command <> 'Sleep'"
    ) != ((0,),)


# -- SET ------------------------------------------------------------------------------------------------------------

SETTINGS = r"""
set sql_mode = 'ANSI_QUOTES'; select "uname" from customer where customer_id = 1; select 'it''s'; select "uname" from customer
set sql_mode = ''; insert into customer (customer_id, n) values (31, 'x'), (34, 'y'); select * from customer
set sql_mode = 'PIPES_AS_CONCAT'; select uname || '!' from customer; select * from customer where customer_id = 1 || 0
set sql_mode = 'NO_BACKSLASH_ESCAPES'; select '\\'; select * from customer where uname = '\\' or customer_id = 1
set sql_mode = concat(@@sql_mode, ',NO_BACKSLASH_ESCAPES'); select @@sql_mode
/* a comment */ set sql_mode = 'ANSI_QUOTES'; select "uname" from customer
-- a comment\nset /* x */ session sql_mode = ''; select "uname"; select @@sql_mode
set session sql_mode = default; select @@sql_mode
set @@session.sql_mode = '', time_zone = '+05:00'; select @@sql_mode, @@time_zone
set local sql_mode := 'ansi'; select @@sql_mode; select "uname" || 'x' from customer
set sql_mode = 'nonsense'; select @@sql_mode
set time_zone = '+05:00'; select from_unixtime(0); update customer set at = '2020-01-01 00:00:00'; \
set time_zone = '-02:00'; select at from customer; select at from customer where customer_id = 1
set time_zone = 'nowhere'; select @@time_zone
set names latin1; select @@character_set_client, @@collation_connection, @@character_set_results; \
select * from customer where customer_id = 1; select * from customer
set names 'utf8mb4' collate 'utf8mb4_bin'; select 'a' = 'A', collation('a'); select * from customer where uname = 'ONE'
set names utf8mb4 collate utf8mb4_unicode_ci; select uname from customer; select collation('a')
set names nosuch; select @@character_set_client
set names default; select @@character_set_client, @@collation_connection
set character set latin1; select @@character_set_client, @@collation_connection; select uname from customer
set character_set_results = null; select uname from customer; select @@character_set_results
set collation_connection = 'utf8mb4_bin'; select 'a' = 'A'; select @@collation_connection
set autocommit = 0; select @@autocommit; set autocommit = 1; select @@autocommit
set autocommit = 2; select @@autocommit
set autocommit = off, sql_mode = 'nonsense'; select @@autocommit
set sql_mode = '', autocommit = 0; select @@autocommit, @@sql_mode; set autocommit = default; select @@autocommit
set group_concat_max_len = 5; select group_concat(uname, uname) from customer where customer_id = 1
set lc_time_names = 'de_DE'; select dayname('2024-01-01')
set div_precision_increment = 2; select 1 / 3, n / 3 from customer
set default_week_format = 1; select week('2024-01-01')
set max_error_count = 0; insert ignore into customer (customer_id) values (1); show warnings
set sql_select_limit = 1; select * from customer where customer_id = 1; select * from customer where n = 1 and customer_id in (1, 2)
set foreign_key_checks = 0, unique_checks = off; select @@foreign_key_checks, @@unique_checks
set optimizer_switch = 'mrr=off'; select @@optimizer_switch; select * from customer
set timestamp = 1000; select now(), unix_timestamp(); select customer_id, unix_timestamp() from customer; \
set timestamp = default; select unix_timestamp() > 100000
set sql_safe_updates = 1; update customer set n = 1 where n = 2; delete from customer; set sql_safe_updates = 0
set nosuch = 1
set session nosuch.variable = 1
set max_connections = 1
set session transaction isolation level read committed; select 1
set session transaction isolation level nonsense
set sql_mode
set = 1
set transaction
set names utf8mb4, sql_mode = ''; select @@sql_mode
set wait_timeout = 1000, interactive_timeout = 1001; select @@wait_timeout, @@interactive_timeout
set @@last_insert_id = 7; select last_insert_id(); select @@last_insert_id, @@identity
"""


def scripts(text: str) -> list[str]:
    return [line.replace(r"\n", "\n") for line in text.strip().replace("\\\n", "").splitlines()]


@pytest.mark.parametrize("keyspace", ["customer", "product"])
@pytest.mark.parametrize("script", scripts(SETTINGS))
def test_settings_are_those_of_one_server(oracle: Oracle, script: str, keyspace: str) -> None:
    """Each reaches whichever server answers next: one, the other, or both."""
    if keyspace == "product":
        oracle.only_vgate("use product")
        oracle.only_plain("use product")
        script = script.replace("customer_id", "id").replace("customer", "product").replace("uname", "name")
        script = script.replace(", at =", ", name =").replace("set at =", "set name =").replace("select at", "select name")
    for statement in script.split("; "):
        oracle.both(statement, ignore=["insert_id", "info", "warnings"])
    # The client's library escapes by these flags.
    for sql in ("set @@session.div_precision_increment = 4", "update product.product set n = n where id = 0"):
        mine, theirs = ask(oracle.vgate, sql), ask(oracle.plain, sql)
        lexical = NO_BACKSLASH_ESCAPES | ANSI_QUOTES
        assert mine.status & lexical == theirs.status & lexical


REFUSED = """
set auto_increment_increment = 2 | auto_increment_increment
set sql_log_bin = 0 | sql_log_bin
set completion_type = 1 | completion_type
set completion_type = 'CHAIN' | completion_type
set sql_auto_is_null = 1 | sql_auto_is_null
set rand_seed1 = 1 | rand_seed1
set names swe7 | swe7
set insert_id = 5 | insert_id
set session sql_mode = '', global max_connections = 100 | session and global
set global max_connections = 100 | SET GLOBAL
set @@global.max_connections = 100 | SET GLOBAL
set persist max_connections = 100 | SET GLOBAL
set @a = 1 | a user variable
set sql_mode = @a | a user variable
/* x */ set @a = 1 | a user variable
set @a = 1, sql_mode = '' | a user variable
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_what_cannot_be_set_on_shards_is_refused(oracle: Oracle, line: str) -> None:
    statement, _, construct = line.partition(" | ")
    before = oracle.only_vgate("select @@sql_mode, @@autocommit, @@character_set_client").rows
    oracle.refused(statement, construct)
    assert oracle.only_vgate("select @@sql_mode, @@autocommit, @@character_set_client").rows == before


def test_values_that_change_nothing_are_accepted(oracle: Oracle) -> None:
    """Drivers set these to what they are already."""
    run(oracle, "set sql_auto_is_null = 0; set completion_type = 0; set @@session.sql_auto_is_null = 0, sql_mode = ''")


def test_a_settings_reach_is_every_row_of_a_scatter(oracle: Oracle) -> None:
    oracle.both("set sql_mode = 'ANSI_QUOTES', time_zone = '+03:00'")
    answer = oracle.both("select @@sql_mode, @@time_zone, @@session.autocommit, customer_id from customer")
    assert len({row[:3] for row in answer.rows}) == 1
    assert len(answer.rows) == 4


# -- nobody else is affected ----------------------------------------------------------------------------------------

PRIVATE = [
    "set sql_mode = ''",
    "/* x */ set sql_mode = ''",
    "set time_zone = '+05:00'",
    "set names latin1",
    "set autocommit = 0; select * from product",
    "set @a = 5",
    "select @a := 5",
    "set @a = 5, sql_mode = ''",
    "set @old = @@sql_mode, sql_mode = 'ANSI_QUOTES', @a = 5",
    "create temporary table product (a int)",
    "create/**/temporary table product (a int)",
    "/* x */ create temporary table product select 5 as a",
    "select get_lock('l', 0)",
    "select get_lock/**/('l', 0)",
    "do get_lock('l', 0)",
    "lock tables product read",
    "prepare p from 'select 5'",
    "execute immediate 'set sql_mode = \\'\\''",
    "set role none",
    "call dirty()",
    "call opens()",
    "begin; insert into product (name) values ('x')",
    "set transaction isolation level read uncommitted; select * from nosuch",
    "set transaction read only; select 1",
    "set session transaction read only",
    "set timestamp = 1000",
    "select sql_calc_found_rows * from product limit 1",
    "insert into product (name) values ('x'), ('y'); delete from product where id > 3",
    "set last_insert_id = 77; select last_insert_id(88)",
]
LOOKS = [
    "select @@sql_mode, @@time_zone, @@character_set_client, @@character_set_results, @@collation_connection",
    "select @@autocommit, @@foreign_key_checks, @@lock_wait_timeout, unix_timestamp() > 100000",
    "select name, n from product where id < 4",
    "select is_free_lock('l')",
    "select @a, @old",
    "select last_insert_id()",
    "select row_count()",
    "execute p",
    "insert into product (id, name) values (50, 'fifty')",
    "delete from product where id = 50",
    "select last_insert_id()",
]


@pytest.mark.parametrize("leaves", [True, False], ids=["and leaves", "and stays"])
@pytest.mark.parametrize("script", PRIVATE)
def test_what_one_client_does_to_itself_others_do_not_feel(
    oracle: Oracle, others: list[Connection], script: str, leaves: bool
) -> None:
    """Looked at by clients that were there before, and by one that comes after, as often as there are connections."""
    plain = oracle.cluster.plain
    for look in ("create procedure dirty() begin set @a = 5; set sql_mode = ''; create temporary table product (a int); end",
                 "create procedure opens() begin start transaction; insert into product (name) values ('x'); end"):  # fmt: skip
        assert ask(others[0], look).error is None
    locks = "lock" in script and not leaves  # a lock that is still held is meant to be felt
    with contextlib.ExitStack() as at_the_end:
        one = oracle.process.connect("product")
        at_the_end.callback(one._force_close)
        for statement in script.split("; "):
            ask(one, statement)
        if leaves:
            one._force_close()
            product = oracle.cluster["product/-"]
            until(lambda: product.query("select count(*) from information_schema.innodb_trx") == ((0,),), "not rolled back")
            until(lambda: product.query("select is_free_lock('l')") == ((1,),), "not released")
        late = oracle.process.connect("product")
        at_the_end.callback(late.close)
        for connection in (*others, late):
            with closing(plain.connect("product")) as reference:
                for look in LOOKS:
                    if locks and ("lock" in look or "into" in look or "delete" in look):
                        continue
                    right, answer = ask(reference, look), ask(connection, look)
                    assert answer.rows == right.rows, look
                    assert (answer.error and answer.error[0]) == (right.error and right.error[0]), look


def test_a_global_setting_is_for_those_who_come(oracle: Oracle, others: list[Connection]) -> None:
    """As on one server: who is connected keeps what he has. And vgate goes on reading statements as they are run."""
    server = oracle.cluster["product/-"]
    before = server.query("select @@global.sql_mode, @@global.div_precision_increment")
    try:
        assert ask(others[0], "set global sql_mode = 'ANSI_QUOTES', div_precision_increment = 9").error is None
        assert server.query("select @@global.sql_mode") == (("ANSI_QUOTES",),)
        for connection in others:
            assert ask(connection, "select \"name\"").rows == (("name",),)
        with closing(oracle.process.connect("product")) as late:
            assert ask(late, "select \"name\" from product where id = 1").rows == (("a",),)
            assert ask(late, "select @@sql_mode, @@div_precision_increment").rows == (("ANSI_QUOTES", 9),)
            for connection in others:
                assert ask(connection, "select \"name\" from product where id = 1").rows == (("name",),)
    finally:
        ask(others[1], f"set global sql_mode = '{before[0][0]}', global div_precision_increment = {before[0][1]}")


# -- connecting anew ------------------------------------------------------------------------------------------------


class Silent(pymysql.connections.Connection):  # type: ignore[misc]
    """A client that leaves its handshake's collation as it is; PyMySQL's own sends SET NAMES."""

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        self.encoding = "utf8"


def silent(address: tuple[str, int, str, str], collation: int) -> Silent:
    host, port, user, password = address
    connection = Silent(host=host, port=port, user=user, password=password, database="customer", defer_connect=True)
    charset = pymysql.charset.charset_by_name("utf8mb4")
    number, charset.id = charset.id, collation
    try:
        connection.connect()
    finally:
        charset.id = number
    return connection


@pytest.mark.parametrize("collation", [8, 33, 45, 46, 63, 83, 192, 224, 255, 0, 200])
def test_the_handshakes_collation_is_a_setting(oracle: Oracle, collation: int) -> None:
    mine = (oracle.process.host, oracle.process.port, "tester", "tester's password")
    server = oracle.cluster.plain
    theirs = (server.host, server.port, server.user, server.password)
    with closing(silent(mine, collation)) as one, closing(silent(theirs, collation)) as other:
        for sql in ("select @@character_set_client, @@character_set_results, @@collation_connection, "
                    "@@character_set_connection", "select 'a' = 'a ', 'a' = 'A'", "select collation('x')",
                    "select uname = 'ONE' from customer where customer_id = 1", "select uname from customer"):  # fmt: skip
            assert ask(one, sql).sorted() == ask(other, sql).sorted(), sql


def reset(connection: Connection) -> None:
    """COM_RESET_CONNECTION."""
    connection._execute_command(0x1F, b"")
    connection._read_packet()


def test_reset_connection_is_as_if_new(oracle: Oracle, others: list[Connection]) -> None:
    for connection in (oracle.vgate, oracle.plain):
        ask(connection, "use product")
    run(oracle, "set names latin1; set sql_mode = '', time_zone = '+01:00'; set @a = 5; set autocommit = 0;"
                "create temporary table tmp (a int); select get_lock('l', 0); insert into product (name) values ('x');"
                "set transaction isolation level serializable")  # fmt: skip
    for connection in (oracle.vgate, oracle.plain):
        reset(connection)
    run(oracle, "select @@character_set_client, @@character_set_results, @@collation_connection;"
                "select @@sql_mode, @@time_zone, @@autocommit; select database(); select last_insert_id(), @a;"
                "select * from tmp; select is_free_lock('l'); select name from product where name = 'x'; begin; commit")
    assert ask(others[0], "select is_free_lock('l')").rows == ((1,),)


# -- insert ids, counts, warnings -----------------------------------------------------------------------------------

COUNTS = r"""
select last_insert_id(); insert into product (name) values ('x'), ('y'); select last_insert_id(); select row_count()
insert into product (name) values ('x'); insert into product (id, name) values (90, 'y'); select last_insert_id(); \
select @@identity
insert into product (name) values ('x'); select last_insert_id() as id, name from product where id = last_insert_id()
update product set n = last_insert_id(n + 10) where id = 1; select last_insert_id()
select last_insert_id(5); select last_insert_id(); select last_insert_id() + 1; select `last_insert_id`() + 1
insert into product (name) values ('x'); use customer; select last_insert_id(); use product; select last_insert_id()
insert ignore into product (id, name) values (1, 'x'); select row_count(); show warnings; select last_insert_id()
insert into product (n) values (1) on duplicate key update id = last_insert_id(id), name = 'z'; select last_insert_id()
update product set name = 'w'; select row_count(); select row_count()
delete from product where id > 100; select row_count(); show tables; select row_count()
select /* a comment */ last_insert_id() /* another */; select last_insert_id() -- end
select sql_calc_found_rows * from product order by id limit 1; select found_rows() as f; show warnings
select sql_calc_found_rows * from product limit 2; set @n = found_rows(); select @n
select sql_calc_found_rows name from product where id = 99; select found_rows()
update product set name = 'q' where id in (1, 2); set @n = row_count(); select @n
select @@warning_count, 1; select cast('x' as signed); show warnings; show count(*) warnings; select @@warning_count
select cast('x' as signed); select @@session.warning_count; select @@warning_count as w; select @@error_count
select nosuch; show warnings; show errors; show count(*) errors; select @@error_count; select 1; show errors
insert into product (id) values (1); show warnings; select row_count()
insert ignore into product (id, n) values (1, 'x'), (2, 'y'); show warnings limit 1; show warnings limit 1, 2; \
show warnings limit 5 offset 1; show errors limit 1; show warnings
drop table if exists nosuch; show warnings; select 1; show warnings
create table if not exists product (id int); show warnings
insert into product (name) values ('x'); begin; insert into product (name) values ('y'); rollback; select last_insert_id()
"""


@pytest.mark.parametrize("script", scripts(COUNTS))
def test_counts_and_warnings_are_those_of_one_server(oracle: Oracle, others: list[Connection], script: str) -> None:
    """Other clients use the same connections in between."""
    run(oracle, "use product; create table noise (id int primary key auto_increment)")
    for statement in script.split("; "):
        mine, theirs = ask(oracle.vgate, statement), ask(oracle.plain, statement)
        if mine.error and mine.error[0] == UNSUPPORTED and "," in statement:
            continue  # within a larger statement, the number is known to a server only
        assert (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), statement
        assert (mine.rows, mine.columns, mine.affected) == (theirs.rows, theirs.columns, theirs.affected), statement
        for other in others:
            ask(other, "insert into customer.customer (customer_id) values (1)")
            ask(other, "select sql_calc_found_rows 1 union select 2 limit 1")
            ask(other, "insert into noise values (null), (null), (last_insert_id(1000))")


LAST_STATEMENT = """
select row_count() + 0
select row_count(), 1
select found_rows()
select found_rows() + 1
select @@warning_count + 1
insert into product (n) values (row_count())
get diagnostics @a = number
"""


@pytest.mark.parametrize("statement", LAST_STATEMENT.strip().splitlines())
def test_what_only_one_server_would_know_of_the_last_statement_is_refused(oracle: Oracle, statement: str) -> None:
    """Another connection may have run it: no answer is better than somebody else's."""
    ask(oracle.vgate, "use product")
    ask(oracle.vgate, "select * from product")
    answer = ask(oracle.vgate, statement)
    assert answer.error is not None
    assert answer.error[0] == UNSUPPORTED


def test_warnings_of_all_shards_are_kept(oracle: Oracle) -> None:
    oracle.both("update ignore customer set n = 'x' where customer_id in (1, 4)", ignore=["info"])
    run(oracle, "show count(*) warnings; select @@warning_count")
    for _ in range(2):
        mine, theirs = ask(oracle.vgate, "show warnings"), ask(oracle.plain, "show warnings")
        assert [row[:2] for row in mine.rows] == [row[:2] for row in theirs.rows]  # rows are counted by each shard
        run(oracle, "select 1")
    oracle.both("create table if not exists customer (customer_id bigint)")
    run(oracle, "show warnings; drop table if exists nosuch; show warnings")


# -- what ties a session to a server --------------------------------------------------------------------------------

TIED = r"""
set @a = 1, @b := 'x'; select @a, @b; select @a + 1 as c; set @a = @a + 1; select @a
select @a := max(id) from product; select @a; select * from product where id = @a
select id into @i from product where name = 'b'; select @i; update product set n = @i + 100 where id = @i; select n from product
set @old = @@sql_mode, sql_mode = 'ANSI_QUOTES', @x = 2; select "name", @x from product; set sql_mode = @old; select @@sql_mode
set @a = (select count(*) from product); select @a; set @b = null; select @b
set names utf8mb4; set @a = 'é'; select @a, hex(@a)
create temporary table tmp (a int); insert into tmp values (1), (2); select * from tmp; drop temporary table tmp; select * from tmp
create temporary table product (a int); select * from product; drop table product; select name from product
begin; create temporary table tmp (a int); insert into tmp values (1); insert into product (name) values ('t'); rollback; \
select name from product; drop temporary table if exists tmp
prepare s from 'select name from product where id = ?'; set @i = 2; execute s using @i; deallocate prepare s; execute s
prepare s from 'insert into product (name) values (?)'; set @n = 'p'; execute s using @n; select last_insert_id() > 3; select row_count()
select get_lock('l', 0); select is_used_lock('l') = connection_id(); select release_lock('l'); select release_lock('l')
handler product open; handler product read first; handler product close
lock tables product read; select name from product; insert into product (name) values ('x'); unlock tables; \
insert into product (name) values ('x')
lock tables product as p write; select p.name from product as p; begin; rollback; unlock tables
create procedure p(out x int) begin select 1; select 2, 3; set x = 4; set @y = 5; end; call p(@z); select @z, @y; drop procedure p
create procedure q() begin insert into product (name) values ('in q'); end; call q(); select last_insert_id() > 3; drop procedure q
create trigger tr before insert on product for each row begin set new.name = upper(new.name); set new.n = null; end; \
insert into product (name) values ('low'); select name from product; drop trigger tr
create function f() returns int deterministic begin return 7; end; select f(); drop function f
"""


@pytest.mark.parametrize("script", scripts(TIED))
def test_an_unsharded_keyspace_takes_any_statement(oracle: Oracle, others: list[Connection], script: str) -> None:
    run(oracle, "use product; create table noise (id int primary key auto_increment)")
    for statement in _statements(script):
        if "connection_id" in statement:
            assert ask(oracle.vgate, statement).error is None  # vgate's number is not the server's
            continue
        oracle.both(statement, ignore=["info", "warnings"])
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


def test_an_aimed_session_has_them_too(oracle: Oracle) -> None:
    vgate = oracle.vgate
    ask(vgate, "use `customer:-80`")
    for sql in ("set @a = 5", "create temporary table tmp (a int)", "insert into tmp values (1)", "select get_lock('l', 0)",
                "prepare s from 'select customer_id from customer order by 1'", "lock tables customer read, tmp read"):
        assert ask(vgate, sql).error is None, sql
    assert ask(vgate, "select @a").rows == ((5,),)
    assert ask(vgate, "execute s").rows == ((1,), (2,))
    assert ask(vgate, "unlock tables").error is None
    low, high = oracle.cluster["customer/-80"], oracle.cluster["customer/80-"]
    assert low.query("select is_free_lock('l')") == ((0,),)
    assert high.query("select is_free_lock('l')") == ((1,),)


@pytest.mark.parametrize("second", ["select @a", "set @a = 2", "prepare s from 'select 2'", "select get_lock('l', 0)"])
def test_a_session_is_not_tied_to_two_servers_that_know_different_things(oracle: Oracle, second: str) -> None:
    vgate = oracle.vgate
    ask(vgate, "use product")
    assert ask(vgate, "set @a = 1").error is None
    ask(vgate, "use `customer:-80`")
    oracle.refused(second, "product/-")
    ask(vgate, "use product")
    assert ask(vgate, "select @a").rows == ((1,),)


SHARDED = """
select @a | a user variable
select * from customer where customer_id = @a | a user variable
select customer_id into @a from customer where customer_id = 1 | a user variable
create temporary table tmp (a int) | a temporary table
create/**/temporary table tmp (a int) | a temporary table
select get_lock('l', 0) | a user lock
select get_lock /* x */ ('l', 0) | a user lock
do release_lock('l') | a user lock
lock tables customer read | LOCK TABLES
/* x */ lock tables customer read | LOCK TABLES
flush tables with read lock | LOCK TABLES
handler customer open | HANDLER
prepare s from 'select 1' | PREPARE
select sql_calc_found_rows * from customer where customer_id = 1 | SQL_CALC_FOUND_ROWS
call p() | a stored program
xa start 'x' | XA
set role none | SET ROLE
"""


@pytest.mark.parametrize("line", SHARDED.strip().splitlines())
def test_a_sharded_keyspace_refuses_them(oracle: Oracle, line: str) -> None:
    statement, _, construct = line.partition(" | ")
    oracle.refused(statement, construct)
    answer = ask(oracle.vgate, statement)
    assert answer.error is not None
    assert "sharded keyspace" in answer.error[1]


def test_a_user_lock_shuts_others_out(oracle: Oracle, others: list[Connection]) -> None:
    one, other = others[0], others[1]
    assert ask(one, "select get_lock('l', 0)").rows == ((1,),)
    assert ask(other, "select get_lock('l', 0)").rows == ((0,),)
    late = Later(other, "select get_lock('l', 20)")
    until(lambda: working(oracle.cluster["product/-"], "get_lock"), "it does not wait")
    one.close()
    assert late.result().rows == ((1,),)


def test_a_session_is_told_that_what_it_was_tied_to_is_gone(oracle: Oracle) -> None:
    vgate, server = oracle.vgate, oracle.cluster["product/-"]
    ask(vgate, "use product")
    ask(vgate, "set @a = 5")
    [(thread,)] = ask(vgate, "select connection_id() + 0 + if(@a is null, 0, 0)").rows
    server.query(f"kill {thread}")
    until(lambda: not server.query(f"select 1 from information_schema.processlist where id = {thread}"), "still there")
    answer = ask(vgate, "select @a")
    assert answer.error is not None
    assert answer.error[0] == LOST
    assert ask(vgate, "select @a").rows == ((None,),)  # from here on, as after any reconnect


def test_a_mysqldump_can_be_loaded(oracle: Oracle) -> None:
    """The frame that every dump has, into an unsharded keyspace."""
    ask(oracle.vgate, "use product")
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
    before = ask(oracle.vgate, "select @@sql_mode, @@time_zone, @@unique_checks, @@foreign_key_checks").rows
    for statement in dump.strip().splitlines():
        assert ask(oracle.vgate, statement).error is None, statement
    assert ask(oracle.vgate, "select * from d").rows == ((0,), (1,))
    assert ask(oracle.vgate, "select @@sql_mode, @@time_zone, @@unique_checks, @@foreign_key_checks").rows == before


# -- several statements in one --------------------------------------------------------------------------------------

SEVERAL = [
    "select 1; select 2; select 3",
    "select 1; select * from customer; update customer set n = 5; select 'x';",
    "select 1; select nosuch; select 2",
    "update customer set n = 9; insert into customer (customer_id) values (1); update customer set n = 10",
    "begin; update customer set n = 3; commit; select * from customer",
    "begin; update customer set n = 3; rollback",
    "set autocommit = 0; update customer set n = 4 where customer_id = 1; select 1; rollback; set autocommit = 1",
    "use product; select * from product; use customer",
    "set sql_mode = 'ANSI_QUOTES'; select \"uname\" from customer; select 'a;b', ';'",
    "select 1 /* ; */; select 2 -- ; \n; select 3 # ;",
    "insert into product.product (name) values ('x'); select last_insert_id(); select row_count()",
    "select * from customer where customer_id = 1; select * from customer where customer_id = 4;",
    "create table product.made (a int); insert into product.made values (1); select * from product.made",
    "select 1; nonsense; select 2",
    "use product; create procedure pp() begin select 1; select 2; end",
    "use product; call product.several(); select 9",
    ";",
    "",
    "/* nothing */",
    "-- nothing",
]


def results(connection: Connection, sql: str) -> list[Any]:
    """Every result of a command: rows, or counts, or the error that ends it."""
    found: list[Any] = []
    try:
        connection.query(sql)
        while True:
            result = connection._result
            assert result is not None
            found.append((sorted(map(repr, result.rows)) if result.rows is not None else None, result.affected_rows))
            if not connection._result.has_next:
                return found
            connection.next_result()
    except pymysql.err.MySQLError as error:
        found.append(error.args[0])
    return found


@pytest.fixture
def stacking(oracle: Oracle) -> Iterator[tuple[Connection, Connection]]:
    """Clients that asked for MULTI_STATEMENTS, of vgate and of the one server."""
    run(oracle, "use product")
    oracle.both("create procedure several() begin select 1; select 2; update product set n = null; end")
    with (
        closing(oracle.process.connect("customer", client_flag=CLIENT.MULTI_STATEMENTS)) as one,
        closing(oracle.cluster.plain.connect("customer", client_flag=CLIENT.MULTI_STATEMENTS)) as other,
    ):
        yield one, other


@pytest.mark.parametrize("sql", SEVERAL)
def test_several_statements_in_one_command(stacking: tuple[Connection, Connection], sql: str) -> None:
    one, other = stacking
    assert results(one, sql) == results(other, sql)
    for look in ("select * from customer", "select name, n from product.product", "select database()", "select @@sql_mode"):
        assert ask(one, look).sorted().rows == ask(other, look).sorted().rows


@pytest.mark.parametrize("sql", ["select 1; select 2", "select 1; drop table customer", "select 'a'; -- x\nselect 2"])
def test_nobody_stacks_statements_who_did_not_ask_for_it(oracle: Oracle, sql: str) -> None:
    assert oracle.both(sql).error is not None
    oracle.both("select * from customer")
    oracle.both("select 1;")
    oracle.both("select 1 ; -- the end")


def set_option(connection: Connection, option: int) -> None:
    """COM_SET_OPTION."""
    connection._execute_command(0x1B, option.to_bytes(2, "little"))
    connection._read_packet()


def test_set_option_allows_and_forbids_them(oracle: Oracle) -> None:
    for connection in (oracle.vgate, oracle.plain):
        set_option(connection, 0)
        assert len(results(connection, "select 1; select 2")) == 2
        set_option(connection, 1)
        assert results(connection, "select 1; select 2") == [SYNTAX]


# -- KILL -----------------------------------------------------------------------------------------------------------

SLOW = {
    "product": "select sleep(30) from product.product /* slow */",
    "one shard": "select sleep(30) from customer.customer where customer_id = 1 /* slow */",
    "all shards": "select sleep(30) from customer.customer /* slow */",
    "tied": "select @a, sleep(30) from product.product /* slow */",
}


def number_of(connection: Connection) -> int:
    return int(ask(connection, "select connection_id()").rows[0][0])


@pytest.mark.parametrize("what", SLOW)
def test_kill_query_ends_the_statement_alone(oracle: Oracle, others: list[Connection], what: str) -> None:
    one, server = others[0], oracle.cluster["product/-" if what in ("product", "tied") else "customer/-80"]
    if what == "tied":
        ask(one, "set @a = 5")
    ask(one, "set @@session.time_zone = '+05:00'")
    number = number_of(one)
    slow = Later(one, SLOW[what])
    until(lambda: working(server, "slow"), "it does not run")
    assert ask(others[1], f"kill query {number}").error is None
    answer = slow.result()
    assert (answer.error is not None and answer.error[0] == INTERRUPTED) or answer.rows[0][-1] == 1, answer
    until(lambda: not working(server, "slow"), "it still runs on the server")
    assert ask(one, "select @@time_zone").rows == (("+05:00",),)
    if what == "tied":
        assert ask(one, "select @a").rows == ((5,),)
    for other in others:
        assert ask(other, "select name from product where id = 1").rows == (("a",),)


def test_kill_query_of_a_write_that_waits_undoes_it_everywhere(oracle: Oracle, others: list[Connection]) -> None:
    one, other = others[0], others[1]
    ask(other, "begin")
    ask(other, "update customer.customer set n = 7 where customer_id = 4")
    number = number_of(one)
    slow = Later(one, "update customer.customer set n = 8 where customer_id in (1, 4) /* slow */")
    until(lambda: working(oracle.cluster["customer/80-"], "slow"), "it does not wait")
    assert ask(other, f"kill query {number}").error is None
    assert slow.result().error == (INTERRUPTED, "Query execution was interrupted")
    ask(other, "rollback")
    assert {row[0] for row in ask(other, "select n from customer.customer").rows} == {1, 2, 4, 6}
    assert ask(one, "update customer.customer set n = 9").affected == 4


@pytest.mark.parametrize("kill", ["kill {}", "kill connection {}", "/* x */ kill {}"])
def test_kill_ends_the_connection(oracle: Oracle, others: list[Connection], kill: str) -> None:
    one, other = others[0], others[1]
    ask(one, "begin")
    ask(one, "update product set n = 50 where id = 1")
    number = number_of(one)
    assert ask(other, kill.format(number)).error is None
    with pytest.raises(pymysql.err.MySQLError):
        one.query("select 1")
    ask(other, "set innodb_lock_wait_timeout = 20")
    assert ask(other, "update product set n = 60 where id = 1").affected == 1
    assert ask(other, f"kill {number}").error == (NO_SUCH_THREAD, f"Unknown thread id: {number}")


def test_who_may_be_killed(oracle: Oracle, start_vgate: StartVgate, cluster: Cluster) -> None:
    answer = ask(oracle.vgate, "kill 999999999")
    assert answer.error is not None
    assert answer.error[0] == NO_SUCH_THREAD
    for statement in ("kill connection_id()", "kill query id 5", "kill user root"):
        for keyspace in ("product", "customer"):
            ask(oracle.vgate, f"use {keyspace}")
            oracle.refused(statement, "KILL")
    vgate = start_vgate(
        "keyspaces: {product: {shards: ['-']}}", USERS.rstrip() + "\n  second: {password: second}\n"
    )
    with closing(vgate.connect("product")) as one, closing(
        vgate.connect("product", user="second", password="second")
    ) as second:
        number = number_of(one)
        for statement in (f"kill {number}", f"kill query {number}"):
            assert ask(second, statement).error == (NOT_OWNER, f"You are not owner of thread {number}")
        assert ask(one, "select 1").rows == ((1,),)


# -- SHOW -----------------------------------------------------------------------------------------------------------

SHOWS = """
show tables
show tables like 'cust%'
show tables from customer
show full tables
show full tables from customer like '%'
show tables in product
show columns from customer
show full columns from customer
show fields from customer from customer
show columns from product.product like 'n%'
show create table customer
show create table product.product
show create database customer
describe customer
desc customer uname
describe product.product
explain customer
show databases like 'cust%'
show schemas like 'product'
show variables like 'sql_mode'
show session variables where variable_name = 'time_zone'
show variables like 'autocommit'
show character set like 'latin1'
show collation like 'utf8mb4_bin'
show privileges
show count(*) warnings
show warnings
show errors
show create table nosuch
show columns from nosuch
show tables from nosuch
show nonsense
show triggers
show triggers from product
show events
show procedure status like 'nosuch'
help 'nosuch_topic'
"""


@pytest.mark.parametrize("statement", SHOWS.strip().splitlines())
@pytest.mark.parametrize("keyspace", ["customer", "product"])
def test_shows_are_those_of_one_server(oracle: Oracle, statement: str, keyspace: str) -> None:
    for connection in (oracle.vgate, oracle.plain):
        ask(connection, f"use {keyspace}")
        ask(connection, "set autocommit = 0")
    statement = statement.replace(" customer", f" {keyspace}") if "from customer from" not in statement else statement
    oracle.both(statement, ignore=["warnings"])
