"""What belongs to one client: its settings, insert id, counts and warnings; on whichever server its statements run, and
never to anybody else.

Everything one server can do is compared with one.
"""

from __future__ import annotations

import contextlib
from contextlib import closing

import pymysql
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import REPOSITORY, Cluster
from tests.fix_vgate import USERS, StartVgate
from tests.integration.asking import Connection, open_transactions, run, scripts, until
from vgate.session.settings import _SESSION_ONLY

UNSUPPORTED = 1235
NO_BACKSLASH_ESCAPES, ANSI_QUOTES = 0x0200, 0x8000

# -- SET ------------------------------------------------------------------------------------------------------------

SETTINGS = r"""
set sql_mode = 'ANSI_QUOTES'; select "uname" from customer where customer_id = 1; select 'it''s'; \
select "uname" from customer
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
set sql_select_limit = 1; select * from customer where customer_id = 1; \
select * from customer where n = 1 and customer_id in (1, 2)
set sql_select_limit = 1; set sql_select_limit = default; select * from customer; select max(n) from customer; \
select @@sql_select_limit; delete from customer
set sql_select_limit = 18446744073709551615; select a.n from customer a join customer b on a.n <= b.n order by 1
set sql_select_limit = 0; select * from customer where customer_id = 1; set sql_mode = ''; update customer set n = \
last_insert_id(7) where customer_id = 4; select cast('x' as signed); show warnings
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


@pytest.mark.parametrize("keyspace", ["customer", "product"])
@pytest.mark.parametrize("script", scripts(SETTINGS))
def test_settings_are_those_of_one_server(stocked: Oracle, script: str, keyspace: str) -> None:
    """Each reaches whichever server answers next: one, the other, or both."""
    if keyspace == "product":
        stocked.only_vgate("use product")
        stocked.only_plain("use product")
        script = script.replace("customer_id", "id").replace("customer", "product").replace("uname", "name")
        for said in (", at =", "set at =", "select at"):
            script = script.replace(said, said.replace(" at", " name"))
    for statement in script.split("; "):
        stocked.both(statement, ignore=["insert_id", "info", "warnings"])
    # The client's library escapes by these flags.
    for sql in ("set @@session.div_precision_increment = 4", "update product.product set n = n where id = 0"):
        mine, theirs = ask(stocked.vgate, sql), ask(stocked.plain, sql)
        lexical = NO_BACKSLASH_ESCAPES | ANSI_QUOTES
        assert mine.status & lexical == theirs.status & lexical


EVALUATED = """
set autocommit = 0; set autocommit = 1 = 1; select @@autocommit
set autocommit = not @@autocommit; select @@autocommit; set autocommit = not @@autocommit; select @@autocommit
set autocommit = @@session.autocommit, sql_mode = ''; set autocommit = (select 0); select @@autocommit
set autocommit = 0 + 0; begin; set autocommit = 1 + 0; select @@autocommit
set autocommit = if(@@sql_mode = '', 0, 1), sql_mode = ''; select @@autocommit; set autocommit = '1'; \
set autocommit = 'on'; select @@autocommit
set autocommit = null; set autocommit = 1.0; set autocommit = yes; set autocommit = -1; select @@autocommit
set autocommit = cast('1x' as signed); show warnings
set @@tx_isolation = default; set @@tx_isolation = 1; set @@tx_isolation = 4; set @@tx_isolation = 'nosuch'
set @@transaction_isolation = default; set @@transaction_isolation = 1; set @@transaction_isolation = 4; \
set @@transaction_isolation = concat('read-', 'committed'); set @@transaction_isolation = null
set @@tx_read_only = 1; begin; commit; set @@tx_read_only = not 1; begin; commit; set @@tx_read_only = 2
set @@transaction_read_only = on; begin; commit; set @@transaction_read_only = default; begin; commit
set session transaction read only; set @@transaction_read_only = default; set @@tx_read_only = default; begin; commit; \
set @@transaction_read_only = 'off'; begin; commit
begin; set @@tx_isolation = 1; set @@transaction_isolation = 1; set @@transaction_isolation = 'nosuch'; \
set transaction nonsense; set transaction read only; commit
set session transaction isolation level serializable; set @@transaction_isolation = default; select 1
set last_insert_id = 18446744073709551615; select last_insert_id(), @@last_insert_id
set last_insert_id = 18446744073709551616; show warnings; select @@last_insert_id
set identity = 99999999999999999999999; show warnings; select @@last_insert_id
set last_insert_id = -1; show warnings; set last_insert_id = 2 + 3; select @@identity; set last_insert_id = '5'
set last_insert_id = 4; set last_insert_id = last_insert_id() + 1; select @@last_insert_id, last_insert_id()
set last_insert_id = null; set last_insert_id = default; set last_insert_id = 1.5; set last_insert_id = nosuch
set names utf8mb4 collate default; select @@collation_connection
set names default collate utf8mb4_bin; set names default collate default; set names `default`; set names 'default'
set names utf8mb4 collate 'default'; set names utf8mb4 collate ''; set names 'utf8 mb4'; set names ''; set names null
set names latin1 collate latin1_bin, autocommit = 1 = 1; select @@character_set_client, @@collation_connection
set character set 'default'; set character set default; set charset 'latin1'; select @@character_set_client
set autocommit = 1, lock_wait_timeout = (select 50 + n from customer where customer_id = 1); select @@lock_wait_timeout
set autocommit = 0; set lock_wait_timeout = (select 50 + n from customer where customer_id = 1); commit
set lock_wait_timeout = (select 50 + n from customer.customer where customer_id = 4), autocommit = 1; \
select @@lock_wait_timeout
"""


@pytest.mark.parametrize("keyspace", ["customer", "product"])
@pytest.mark.parametrize("script", scripts(EVALUATED))
def test_what_a_server_makes_of_a_value_is_the_sessions(stocked: Oracle, script: str, keyspace: str) -> None:
    stocked.both(f"use {keyspace}")
    if keyspace == "product" and "customer.customer" not in script:
        script = script.replace("customer_id", "id").replace("customer", "product")
    run(stocked, script)


REFUSED = """
set lock_wait_timeout = (select count(*) from customer) | a system variable
set sql_mode = '', lock_wait_timeout = (select max(n) from customer) | a system variable
set autocommit = (select n from customer where customer_id = 1) | autocommit
set last_insert_id = (select max(n) from customer where customer_id = 1) | last_insert_id
set autocommit = connection_id() | autocommit
set auto_increment_increment = 2 | auto_increment_increment
set sql_log_bin = 0 | sql_log_bin
set password = 'x' | vgate's users
set completion_type = 1 | completion_type
set completion_type = 'CHAIN' | completion_type
set sql_auto_is_null = 1 | sql_auto_is_null
set rand_seed1 = 1 | rand_seed1
set character_set_results = 'utf16' | utf16
set character_set_results = ucs2 | ucs2
set insert_id = 5 | insert_id
set session sql_mode = '', global max_connections = 100 | session and global
set global max_connections = 100 | SET GLOBAL
set @@global.max_connections = 100 | SET GLOBAL
set persist max_connections = 100 | SET GLOBAL
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_what_cannot_be_set_on_shards_is_refused(stocked: Oracle, line: str) -> None:
    statement, _, construct = line.partition(" | ")
    before = stocked.only_vgate("select @@sql_mode, @@autocommit, @@character_set_client").rows
    stocked.refused(statement, construct)
    assert stocked.only_vgate("select @@sql_mode, @@autocommit, @@character_set_client").rows == before


def test_values_that_change_nothing_are_accepted(stocked: Oracle) -> None:
    """Drivers set these to what they are already."""
    run(stocked, "set sql_auto_is_null = 0; set completion_type = 0; set @@session.sql_auto_is_null = 0, sql_mode = ''")


def test_a_settings_reach_is_every_row_of_a_scatter(stocked: Oracle) -> None:
    stocked.both("set sql_mode = 'ANSI_QUOTES', time_zone = '+03:00'")
    answer = stocked.both("select @@sql_mode, @@time_zone, @@session.autocommit, customer_id from customer")
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
    stocked: Oracle, others: list[Connection], script: str, leaves: bool
) -> None:
    """Looked at by clients that were there before, and by one that comes after, as often as there are connections."""
    plain = stocked.cluster.plain
    for program in (
        "dirty() begin set @a = 5; set sql_mode = ''; create temporary table product (a int); end",
        "opens() begin start transaction; insert into product (name) values ('x'); end",
    ):
        assert ask(others[0], f"create procedure {program}").error is None
    locks = "lock" in script and not leaves  # a lock that is still held is meant to be felt
    with contextlib.ExitStack() as at_the_end:
        one = stocked.process.connect("product")
        at_the_end.callback(one._force_close)
        for statement in script.split("; "):
            ask(one, statement)
        if leaves:
            one._force_close()
            product = stocked.cluster["product/-"]
            until(lambda: open_transactions(product) == 0, "not rolled back")
            until(lambda: product.query("select is_free_lock('l')") == ((1,),), "not released")
        late = stocked.process.connect("product")
        at_the_end.callback(late.close)
        for connection in (*others, late):
            with closing(plain.connect("product")) as reference:
                for look in LOOKS:
                    if locks and ("lock" in look or "into" in look or "delete" in look):
                        continue
                    right, answer = ask(reference, look), ask(connection, look)
                    assert answer.rows == right.rows, look
                    assert (answer.error and answer.error[0]) == (right.error and right.error[0]), look


def test_a_global_setting_is_for_those_who_come(stocked: Oracle, others: list[Connection]) -> None:
    """As on one server: who is connected keeps what he has. And vgate goes on reading statements as they are run."""
    server = stocked.cluster["product/-"]
    before = server.query("select @@global.sql_mode, @@global.div_precision_increment")
    try:
        assert ask(others[0], "set global sql_mode = 'ANSI_QUOTES', div_precision_increment = 9").error is None
        assert server.query("select @@global.sql_mode") == (("ANSI_QUOTES",),)
        for connection in others:
            assert ask(connection, "select \"name\"").rows == (("name",),)
        with closing(stocked.process.connect("product")) as late:
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
def test_the_handshakes_collation_is_a_setting(stocked: Oracle, collation: int) -> None:
    mine = (stocked.process.host, stocked.process.port, "tester", "tester's password")
    server = stocked.cluster.plain
    theirs = (server.host, server.port, server.user, server.password)
    with closing(silent(mine, collation)) as one, closing(silent(theirs, collation)) as other:
        for sql in ("select @@character_set_client, @@character_set_results, @@collation_connection, "
                    "@@character_set_connection", "select 'a' = 'a ', 'a' = 'A'", "select collation('x')",
                    "select uname = 'ONE' from customer where customer_id = 1",
                    "select uname from customer"):  # fmt: skip
            assert ask(one, sql).sorted() == ask(other, sql).sorted(), sql


def reset(connection: Connection) -> None:
    """COM_RESET_CONNECTION."""
    connection._execute_command(0x1F, b"")
    connection._read_packet()


def test_reset_connection_is_as_if_new(stocked: Oracle, others: list[Connection]) -> None:
    for connection in (stocked.vgate, stocked.plain):
        ask(connection, "use product")
    run(stocked, "set names latin1; set sql_mode = '', time_zone = '+01:00'; set @a = 5; set autocommit = 0;"
                "create temporary table tmp (a int); select get_lock('l', 0); insert into product (name) values ('x');"
                "set transaction isolation level serializable")  # fmt: skip
    for connection in (stocked.vgate, stocked.plain):
        reset(connection)
    run(stocked, "select @@character_set_client, @@character_set_results, @@collation_connection;"
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
update product set n = 5, id = last_insert_id(2) where id = 1; select last_insert_id()
select last_insert_id(5); select last_insert_id(); select last_insert_id() + 1; select `last_insert_id`() + 1
insert into product (name) values ('x'); use customer; select last_insert_id(); use product; select last_insert_id()
insert ignore into product (id, name) values (1, 'x'); select row_count(); show warnings; select last_insert_id()
insert into product (n) values (1) on duplicate key update id = last_insert_id(id), name = 'z'; select last_insert_id()
update product set name = 'w'; select row_count(); select row_count()
delete from product where id > 100; select row_count(); show tables; select row_count()
select /* a comment */ last_insert_id() /* another */; select last_insert_id() -- end
select sql_calc_found_rows * from product order by id limit 1; select found_rows() as f
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
insert into product (name) values ('x'); begin; insert into product (name) values ('y'); rollback; \
select last_insert_id()
"""


@pytest.mark.parametrize("script", scripts(COUNTS))
def test_counts_and_warnings_are_those_of_one_server(stocked: Oracle, others: list[Connection], script: str) -> None:
    """Other clients use the same connections in between."""
    run(stocked, "use product; create table noise (id int primary key auto_increment)")
    for statement in script.split("; "):
        mine, theirs = ask(stocked.vgate, statement), ask(stocked.plain, statement)
        assert (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), statement
        assert (mine.rows, mine.affected) == (theirs.rows, theirs.affected), statement
        if "_count, " not in statement:  # within a larger statement numbers are literals, which are not as wide
            assert mine.columns == theirs.columns, statement
        for other in others:
            ask(other, "insert into customer.customer (customer_id) values (1)")
            ask(other, "select sql_calc_found_rows 1 union select 2 limit 1")
            ask(other, "insert into noise values (null), (null), (last_insert_id(1000))")


LAST_STATEMENT = """
select found_rows()
select found_rows() + 1
insert into product (n) values (found_rows())
get diagnostics @a = number
"""


@pytest.mark.parametrize("statement", LAST_STATEMENT.strip().splitlines())
def test_what_only_one_server_would_know_of_the_last_statement_is_refused(stocked: Oracle, statement: str) -> None:
    """Another connection may have run it: no answer is better than somebody else's."""
    ask(stocked.vgate, "use product")
    ask(stocked.vgate, "select * from product")
    answer = ask(stocked.vgate, statement)
    assert answer.error is not None
    assert answer.error[0] == UNSUPPORTED


def test_warnings_of_all_shards_are_kept(stocked: Oracle) -> None:
    stocked.both("update ignore customer set n = 'x' where customer_id in (1, 4)", ignore=["info"])
    run(stocked, "show count(*) warnings; select @@warning_count")
    for _ in range(2):
        mine, theirs = ask(stocked.vgate, "show warnings"), ask(stocked.plain, "show warnings")
        assert [row[:2] for row in mine.rows] == [row[:2] for row in theirs.rows]  # rows are counted by each shard
        run(stocked, "select 1")
    stocked.both("create table if not exists customer (customer_id bigint)")
    run(stocked, "show warnings; drop table if exists nosuch; show warnings")


def test_a_variable_without_a_global_value_stays_with_its_client(fresh: Cluster, start_vgate: StartVgate) -> None:
    """The next client gets the same connection to the server, and must be able to log in and ask."""
    process = start_vgate((REPOSITORY / "vschema.yaml").read_text(), config=USERS + "pools: {max_connections: 1}\n")
    known = 0
    shown, everywhere = (
        {str(row[0]).lower() for row in fresh.plain.query(f"show {which} variables")} for which in ("session", "global")
    )
    for name in sorted((_SESSION_ONLY | shown - everywhere) - {"gtid_next"}):
        with closing(process.connect("product")) as connection:
            before = ask(connection, f"select @@session.{name}")
            values = ("1", "'1'", "80000", "'FULL'", "'FORCED'")
            taken = any(ask(connection, f"set session {name} = {value}").error is None for value in values)
            ask(connection, "select 1 from information_schema.schemata limit 1")
        known += taken
        with closing(process.connect("product")) as connection:
            assert ask(connection, "set names latin1").error is None, name
            after = ask(connection, f"select @@session.{name}")
            assert not taken or name == "timestamp" or (after.rows, after.error) == (before.rows, before.error), name
    assert known > 2
