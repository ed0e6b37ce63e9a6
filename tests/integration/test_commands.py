"""Commands beside the single statement: several statements in one, KILL, and the many forms of SHOW.

What one server says to them is what vgate has to say. What is waited for is the thing itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pymysql
import pytest
from pymysql.constants import CLIENT, COMMAND

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import USERS, StartVgate
from tests.integration.asking import Connection, Later, number_of, run, until, working
from tests.integration.comparing import payloads
from tests.integration.comparing import results as results_of
from tests.integration.executing import Prepared
from tests.integration.raw import PREPARE, QUERY, Raw
from vgate.sql.versioned import Flavour

SYNTAX, INTERRUPTED, NO_SUCH_THREAD, NOT_OWNER = 1064, 1317, 1094, 1095

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
    "select 1; select 'unterminated",
    "select 1; ; select 2",
    "; select 1",
    "select 1; -- and that was that",
    "set sql_mode = 'NO_BACKSLASH_ESCAPES'; select 'a\\'; select 'b'; set sql_mode = ''; select 'a\\'; select 1 -- '",
    "set sql_mode = 'NO_BACKSLASH_ESCAPES'; select 'a\\', 1; update customer set n = 11 -- '",
    "set sql_mode = 'ANSI_QUOTES'; select \"uname\" from customer where uname = '\"'; select '\"'",
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
def stacking(stocked: Oracle) -> Iterator[tuple[Connection, Connection]]:
    """Clients that asked for MULTI_STATEMENTS, of vgate and of the one server."""
    run(stocked, "use product")
    stocked.both("create procedure several() begin select 1; select 2; update product set n = null; end")
    with (
        closing(stocked.process.connect("customer", client_flag=CLIENT.MULTI_STATEMENTS)) as one,
        closing(stocked.cluster.plain.connect("customer", client_flag=CLIENT.MULTI_STATEMENTS)) as other,
    ):
        yield one, other


@pytest.mark.parametrize("sql", SEVERAL)
def test_several_statements_in_one_command(stacking: tuple[Connection, Connection], sql: str) -> None:
    one, other = stacking
    assert results(one, sql) == results(other, sql)
    for look in ("select * from customer", "select name, n from product.product", "select database()",
                 "select @@sql_mode"):  # fmt: skip
        assert ask(one, look).sorted().rows == ask(other, look).sorted().rows


@pytest.mark.parametrize("sql", ["select 1; select 2", "select 1; drop table customer", "select 'a'; -- x\nselect 2"])
def test_nobody_stacks_statements_who_did_not_ask_for_it(stocked: Oracle, sql: str) -> None:
    assert stocked.both(sql).error is not None
    stocked.both("select * from customer")
    stocked.both("select 1;")
    stocked.both("select 1 ; -- the end")


def set_option(connection: Connection, option: int) -> None:
    """COM_SET_OPTION."""
    connection._execute_command(0x1B, option.to_bytes(2, "little"))
    connection._read_packet()


def test_set_option_allows_and_forbids_them(stocked: Oracle) -> None:
    for connection in (stocked.vgate, stocked.plain):
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


@pytest.mark.parametrize("what", SLOW)
def test_kill_query_ends_the_statement_alone(stocked: Oracle, others: list[Connection], what: str) -> None:
    one, server = others[0], stocked.cluster["product/-" if what in ("product", "tied") else "customer/-80"]
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


def test_kill_query_of_a_write_that_waits_undoes_it_everywhere(stocked: Oracle, others: list[Connection]) -> None:
    one, other = others[0], others[1]
    ask(other, "begin")
    ask(other, "update customer.customer set n = 7 where customer_id = 4")
    number = number_of(one)
    slow = Later(one, "update customer.customer set n = 8 where customer_id in (1, 4) /* slow */")
    until(lambda: working(stocked.cluster["customer/80-"], "slow"), "it does not wait")
    assert ask(other, f"kill query {number}").error is None
    assert slow.result().error == (INTERRUPTED, "Query execution was interrupted")
    ask(other, "rollback")
    assert {row[0] for row in ask(other, "select n from customer.customer").rows} == {1, 2, 4, 6}
    assert ask(one, "update customer.customer set n = 9").affected == 4


@pytest.mark.parametrize("kill", ["kill {}", "kill connection {}", "/* x */ kill {}"])
def test_kill_ends_the_connection(stocked: Oracle, others: list[Connection], kill: str) -> None:
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


def test_who_may_be_killed(stocked: Oracle, start_vgate: StartVgate, cluster: Cluster) -> None:
    answer = ask(stocked.vgate, "kill 999999999")
    assert answer.error is not None
    assert answer.error[0] == NO_SUCH_THREAD
    tables = "kill (select count(*) from customer)"
    for statement in ("kill @a", "kill 1) or (2", tables, "kill query id 5", "kill user root"):
        if cluster.flavour is Flavour.MYSQL and statement == "kill user root":
            continue
        for keyspace in ("product", "customer"):
            ask(stocked.vgate, f"use {keyspace}")
            stocked.refused(statement, "KILL")
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


NULS = [b"select 1\0", b"select 1 ;\0 ", b"\0", b" \0;", b";\0", b"\0\0", b"select 1\0\0", b"select 1 -- x\0",
        b"/* x */\0", b"use product\0", b"set @a = 1\0", b"begin\0", b"show tables like 'x'\0", b"select 1\0 + 1",
        b"select n from customer.customer where customer_id = 1\0", b"select 'a\0'", b"select 1; select ';'\0",
        b"select 1; select 2;\0", b"select 1; \0", b"select 1;;\0", b"select 1\0; select 2", b"select ?\0"]  # fmt: skip


@pytest.mark.parametrize("sql", NULS)
@pytest.mark.parametrize("several", [False, True])
def test_a_nul_at_the_end_is_the_end(stocked: Oracle, sql: bytes, several: bool) -> None:
    """As in servers, which put one there themselves; anywhere else but in a text it is an error."""
    asked = []
    for side in (stocked.process, stocked.cluster.plain):
        with closing(side.connect("customer", client_flag=CLIENT.MULTI_STATEMENTS if several else 0)) as connection:
            raw = Raw(connection)
            found = [one.error[0] if one.error else one.rows for one in results_of(raw.ask(QUERY + sql))]
            first = next(payloads(raw.ask(PREPARE + sql)))
            asked.append((found, first[0] or int.from_bytes(first[7:9], "little"), first[1:3] if first[0] else b""))
    assert asked[0] == asked[1]


NUMBERS = """
kill 1 + 1; kill query 1 + 1; kill null; kill -1; kill 1.5; kill 1e3; kill 'x'; kill 0x7; kill true; kill (select 1)
kill 99999999999999999999; kill 4294967299; kill 18446744073709551615; kill 0; kill query 0; kill @@warning_count - 1
kill; kill query; kill 1 2; kill nosuch; kill connection
kill query connection_id(); select 1; kill query connection_id() + 0; show warnings; select row_count()
begin; update customer set n = 7; kill query connection_id(); select n from customer; rollback
"""


@pytest.mark.parametrize("script", NUMBERS.strip().splitlines())
@pytest.mark.parametrize("keyspace", ["customer", "product"])
def test_kill_of_what_a_server_would_kill(stocked: Oracle, keyspace: str, script: str) -> None:
    run(stocked, f"use {keyspace}; {script.replace('customer', 'product') if keyspace == 'product' else script}")


@pytest.mark.parametrize("kill", ["kill {}", "kill connection_id()", "kill connection {} + 0"])
def test_who_kills_himself_is_told_and_goes(stocked: Oracle, kill: str) -> None:
    for connection in (stocked.vgate, stocked.plain):
        error = ask(connection, kill.format(number_of(connection))).error
        assert error is not None
        assert error[0] == (1317 if stocked.cluster.flavour is Flavour.MYSQL else 1927)
        assert ask(connection, "select 1").error is not None


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
def test_shows_are_those_of_one_server(stocked: Oracle, statement: str, keyspace: str) -> None:
    for connection in (stocked.vgate, stocked.plain):
        ask(connection, f"use {keyspace}")
        ask(connection, "set autocommit = 0")
    statement = statement.replace(" customer", f" {keyspace}") if "from customer from" not in statement else statement
    stocked.both(statement, ignore=["warnings"])


@pytest.mark.parametrize("transaction", [False, True])
def test_kill_query_in_the_middle_of_the_rows_of_several_shards(
    stocked: Oracle, others: list[Connection], transaction: bool
) -> None:
    one, other = others[0], others[1]
    if transaction:
        ask(one, "begin")
        ask(one, "update customer.customer set n = 50 where customer_id = 1")
    number = number_of(one)
    # The first rows are long, so that they are on their way while the last one is waited for.
    sql = (
        "select repeat('x', 100000), sleep(if(a.x = 9, 30, 0)) from customer.customer,"
        " (select 1 as x union all select 2 union all select 9) a /* slow */"
    )
    with closing(pymysql.cursors.SSCursor(one)) as cursor:
        cursor.execute(sql)
        assert cursor.fetchone() is not None
        until(lambda: working(stocked.cluster["customer/-80"], "slow"), "it does not run")
        assert ask(other, f"kill query {number}").error is None
        with pytest.raises(pymysql.err.MySQLError) as caught:
            cursor.fetchall()
        assert caught.value.args[0] == INTERRUPTED
    assert ask(one, "select 1").rows == ((1,),)
    until(lambda: not working(stocked.cluster["customer/80-"], "slow"), "it still runs on a server")
    if transaction:
        assert ask(one, "select n from customer.customer where customer_id = 1").rows == ((50,),)
        assert ask(one, "commit").error is None
        assert ask(other, "select n from customer.customer where customer_id = 1").rows == ((50,),)


def test_workers_list_and_kill_each_others_clients(fresh: Cluster, start_vgate: StartVgate) -> None:
    """A client does not know which worker it has."""
    vgate = start_vgate("keyspaces: {product: {shards: ['-']}}", arguments=("--workers", "3"))
    connections = [vgate.connect("product") for _ in range(9)]
    try:
        first, *rest = connections
        numbers = [number_of(connection) for connection in rest]
        assert len(set(numbers)) == len(rest)
        listed = {row[0]: row for row in ask(first, "show processlist").rows}
        assert {number_of(first), *numbers} <= set(listed)
        slow = [Later(connection, "select sleep(60)") for connection in rest]
        for number in numbers:
            until(partial(_is_running, first, number), "it does not run")
        for number in numbers:
            assert ask(first, f"kill query {number}").error is None
        for one in slow:
            answer = one.result()
            assert answer.rows == ((1,),) or (answer.error or (0,))[0] == INTERRUPTED
        for number, connection in zip(numbers, rest, strict=True):
            assert ask(first, f"kill {number}").error is None
            with pytest.raises(pymysql.err.MySQLError):
                connection.query("select 1")
            assert (ask(first, f"kill {number}").error or (0,))[0] == NO_SUCH_THREAD
    finally:
        for connection in connections:
            connection.close()


def _is_running(connection: Connection, number: int) -> bool:
    rows = ask(connection, f"select info from information_schema.processlist where id = {number}").rows
    return rows == (("select sleep(60)",),)


PS_MULTI_RESULTS = 1 << 18


@pytest.mark.parametrize("flags", [0, PS_MULTI_RESULTS])
def test_out_parameters_come_as_a_result(stocked: Oracle, flags: int) -> None:
    """To whom takes several. MySQL does not say behind their row that more follows, though an OK does."""
    stocked.both("use product")
    stocked.both("create procedure added(a int, out o int) set o = a + 1")
    stocked.both("create procedure shown(a int, out o int) begin select a, repeat('b', a); set o = a + 2; end")
    parameters = b"\0\1" + struct.pack("<BBBB", 8, 0, 8, 0) + struct.pack("<qq", 1000, 2)
    for called in ("call added(?, ?)", "/* a */ CALL shown(?, ?)"):
        answers: list[list[bytes]] = []
        for connect in (stocked.process.connect, stocked.cluster.plain.connect):
            with closing(connect("product", client_flag=flags)) as connection:
                for _ in range(2):
                    handle = Prepared(connection).prepare(called)
                    connection._execute_command(
                        COMMAND.COM_STMT_EXECUTE, handle + struct.pack("<BI", 0, 1) + parameters
                    )
                    answers.append(packets_of_answer(connection))
                    assert ask(connection, "select 1").rows == ((1,),)
        assert answers[0] == answers[1] == answers[2] == answers[3]
        told = [one for one in answers[0] if one[4] == 0xFE and one[8] & 0x10]
        assert bool(told) is bool(flags)


def packets_of_answer(connection: Connection) -> list[bytes]:
    """The packets of one answer: as far as what is asked next is answered."""
    connection._sock.sendall(b"\1\0\0\0" + bytes([COMMAND.COM_PING]))
    packets: list[bytes] = []
    while not packets or packets[-1][3] != 1 or len(packets) == 1:
        head = connection._read_bytes(4)
        packets.append(head + connection._read_bytes(int.from_bytes(head[:3], "little")))
    return packets[:-1]
