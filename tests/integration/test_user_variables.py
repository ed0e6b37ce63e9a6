"""User variables on sharded keyspaces and across keyspaces: values, types, NULLs and collations as on one server.

This module does not know what of this ties a session (``test_tied_sessions``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Server
from tests.fix_vgate import PASSWORD, USER
from tests.integration.asking import Later, run, until, working
from vgate.sql.versioned import Flavour

VALUES = [
    "5", "-5", "18446744073709551615", "-9223372036854775808", "cast(5 as unsigned)", "true", "1.10", "-0.5",
    "cast(5 as decimal(10,0))", "99999999999999999999999999999999999999999999999999999999999999999.0",
    "0.000000000000000000000000000001", "0.1e0 + 0.2e0", "-0e0", "-1.7976931348623157e308", "5e-324", "1/3e0", "1e22",
    "'x'", "''", "'it''s \\\\ \"quoted\" `x`'", "'\\0\\n\\r\\Z%_'", "'\U0001f600 \u00e9'",
    "_latin1 x'e9' collate latin1_bin",
    "_gbk x'bf5c' collate gbk_bin", "_ucs2 x'00e9'", "x'00ff27275c'", "_binary ''", "null", "@nosuch", "b'101'",
    "'a' collate utf8mb4_bin", "cast('2020-01-02' as date)", "json_array(1)", "(select 1 from dual where false)",
    "(select 1e0 from dual where false)", "(select 1.5 from dual where false)", "@nosuch + 1", "cast(null as signed)",
    "(select uname from customer where customer_id = 1)", "(select n from customer where customer_id = 999)",
    "(select uname from customer where customer_id = 999)", "repeat('ab', 3000000)",
]  # fmt: skip

LOOKS = "select @a, collation(@a), coercibility(@a), hex(@a), @a is null, @a + 0"


@pytest.fixture
def sharded(stocked: Oracle) -> Oracle:
    run(stocked, "insert into customer (customer_id, uname, n) values (8, 'x', 5), (9, 'it', 6)")
    return stocked


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_are_what_they_are_on_one_server(sharded: Oracle, value: str) -> None:
    """On every server that is asked later."""
    sharded.both(f"set @a = {value}", ignore=["warnings", "info"])
    if "repeat" in value:
        sharded.both("select length(@a), md5(@a), collation(@a)")
        sharded.both("select customer_id, length(@a), md5(@a) from customer")
        return
    sharded.both(LOOKS, ignore=["warnings"])
    sharded.both("select customer_id, @a, collation(@a), hex(@a) from customer")
    sharded.both("use product")
    sharded.both(LOOKS, ignore=["warnings"])
    sharded.both("use customer")
    sharded.both("set @b = @a, @c = concat(@a, 'x')", ignore=["warnings"])
    sharded.both("select @b, collation(@b), hex(@b), @c, collation(@c) from customer where customer_id = 4")


SCRIPTS = """
set @a = 5; select @a; select @A, @`a`, @'a', @"a"; set @a = @a + 1; select @a
select @a := 5; select @a; select @a := @a + 1, @a := @a * 2; select @a
select 5, 'x' into @a, @b; select @a, @b, collation(@b)
select uname, n into @u, @n from customer where customer_id = 4; select @u, @n
select uname into @u from customer where customer_id = 999; select @u; show warnings
set @k = 4; select * from customer where customer_id = @k; select * from customer where customer_id in (@k, 1)
set @k = '4'; select * from customer where customer_id = @k
set @k = null; select * from customer where customer_id = @k; select * from customer where customer_id <=> @k
set @k = 4.0; select * from customer where customer_id = @k
set @k = 4e0; select * from customer where customer_id = @k
set @k = x'34'; select * from customer where customer_id = @k
set @k = 2; select * from customer where customer_id > @k; select * from customer where @k = n
set @k = 77; insert into customer (customer_id, uname, n) values (@k, 'v', @k + 1); \
select * from customer where customer_id = 77
set @k = 77, @u = 'it''s \\\\ "x"'; insert into customer (customer_id, uname, n) values (@k, @u, 1), \
(78, concat(@u, 'y'), 2); select * from customer where customer_id > 70
set @k = 4; update customer set uname = concat(uname, @k), n = @k where customer_id = @k; select * from customer
set @k = 4; delete from customer where customer_id = @k; select * from customer
set @`a b` = 1, @'c d' = 2, @"e`f" = 3; select @`a b`, @'c d', @"e`f"
set @a = 1, @b = @a + 1; select @a, @b; set @a = 2, @b = @a + 1; select @a, @b
set @a = 1, @a = 2; select @a
select @x := 1, nosuch; select @x; select @y := 3 from customer where customer_id = 1 and nosuch = 1; select @y
set @a = 1; set @a = (select nosuch); select @a; set @a = 7, @b = (select 1 union select 2); select @a, @b
begin; set @a = 5; update customer set n = @a where customer_id = 1; select @a := 6; rollback; select @a; \
select n from customer where customer_id = 1
set autocommit = 0; set @a = 5; select @a; select n from customer where customer_id = 1; set @a = 6; rollback; \
select @a
set @old = @@sql_mode, sql_mode = ''; select @@sql_mode; set sql_mode = @old; select @@sql_mode = @old
set sql_mode = 'NO_BACKSLASH_ESCAPES'; set @a = 'a\\'; select @a, length(@a); insert into customer \
(customer_id, uname) values (90, @a); select * from customer where uname = @a
set sql_mode = 'ANSI_QUOTES'; set @"a b" = 5; select @"a b"; select @`a b`
set names gbk; set @a = 'x'; select @a, collation(@a); set names utf8mb4; select @a, collation(@a)
set @a = last_insert_id(); select @a; set @a = database(); select @a
update customer set n = 3 where customer_id = 2; set @a = row_count(); select @a
set @a = (select n from customer where customer_id = 4); select @a
set @a = 5; use product; select @a; set @a = @a + 1; select @a, name from product; use customer; select @a; \
set @b = 'c'; use product; select @a, @b; select * from product where name = @b; use customer; select @a, @b
use product; set @a = 5; use customer; select @a, customer_id from customer; set @a = 6; use product; select @a; \
use customer; select @a; select @a := 9; use product; select @a
set @a = 5; set sql_mode = ''; select @a; set time_zone = '+01:00'; select @a
select sql_calc_found_rows * from customer where customer_id = 1 limit 1; select found_rows(); set @a = found_rows(); \
select @a
set @n = 0; select @n := @n + 1, customer_id from customer where customer_id = 4; select @n
"""


@pytest.mark.parametrize("script", SCRIPTS.strip().replace("\\\n", "").splitlines())
def test_scripts(sharded: Oracle, script: str) -> None:
    run(sharded, script, ignore=["insert_id", "info", "warnings"])


@pytest.mark.parametrize("line", """
select @a := n from customer | across 2 shards
select n into @a from customer | across 2 shards
update customer set n = (@a := 5) | across 2 shards
insert into customer (customer_id, n) values (100, (@a := 5)) | an assignment
set @a = (select count(*) from customer) | several shards
select @a, get_lock('x', 0) | a user lock
set @\u00e9 = 5 | a user variable called
""".strip().splitlines())  # fmt: skip
def test_what_is_refused(sharded: Oracle, line: str) -> None:
    statement, _, construct = line.partition(" | ")
    sharded.refused(statement, construct)


def test_a_trigger_at_home_is_heard_elsewhere(sharded: Oracle) -> None:
    """The manual's example."""
    run(sharded, "use product; create table account (amount decimal(10,2))")
    run(sharded, "create trigger sums before insert on account for each row set @sum = @sum + new.amount")
    run(sharded, "set @sum = 0; insert into account values (14.98), (1937.50), (-100.00); use customer; select @sum")
    run(sharded, "select @sum, customer_id from customer; use product; select @sum")


def test_nobody_else_sees_them(sharded: Oracle) -> None:
    run(sharded, "set @mine = 5; select @mine, customer_id from customer")
    with (
        closing(sharded.process.connect("customer")) as other,
        closing(sharded.cluster.plain.connect("customer")) as two,
    ):
        answers = [ask(one, "select @mine, customer_id from customer").sorted() for one in (other, two)]
        assert answers[0].rows == answers[1].rows
        assert answers[0].columns == answers[1].columns
        other.query("select customer_id from customer where customer_id = 1")
    run(sharded, "select @mine")


READERS = [
    "use product; select @secret", "use product; set @mine = @secret; select @mine",
    "use product; select name from product where n = @secret", "use product; call tells()",
    "use product; select tell()", "use product; prepare s from 'select @secret'; execute s",
    "select @secret", "set @mine = @secret; select @mine",
    "select @secret, customer_id from customer where customer_id = 1",
    "select @secret, customer_id from customer", "use `customer:-80`; select @secret",
]


@pytest.mark.parametrize("transaction", [False, True])
def test_what_a_trigger_leaves_is_nobody_elses(sharded: Oracle, transaction: bool) -> None:
    """The trigger has run for a client that knows nothing of it, on a connection that others get next.

    In a transaction a connection cannot start over, and which variables there are MySQL tells in performance_schema
    alone, which the tests' servers do not have.
    """
    untold = transaction and sharded.cluster.flavour is Flavour.MYSQL
    for keyspace, table in (("product", "product"), ("`customer:-80`", "customer"), ("`customer:80-`", "customer")):
        assert ask(sharded.vgate, f"use {keyspace}").error is None
        created = ask(sharded.vgate, f"create trigger tr before update on {table} for each row set @secret = 5")
        assert created.error is None, created
    for sql in ("use product", "create function tell() returns int no sql return @secret",
                "create procedure tells() select @secret", "use customer"):  # fmt: skip
        assert ask(sharded.vgate, sql).error is None, sql
    for script in READERS:
        if untold and re.search("call|tell|execute", script):
            continue
        writer, reader = sharded.process.connect("customer"), sharded.process.connect("customer")
        for sql in ("update customer set n = n", "update product.product set n = n where id = 1"):
            assert ask(writer, sql).error is None
            assert ask(writer, sql.replace("n = n", "n = n + 0")).error is None
        if transaction:
            for sql in ("begin", "select customer_id from customer", "select id from product.product"):
                ask(reader, sql)
        for sql in script.split("; "):
            answer = ask(reader, sql)
            assert answer.error is None, (sql, answer)
            assert all(cell != 5 for row in answer.rows for cell in row), (script, answer.rows)
        writer.close()
        reader.close()


def test_the_death_of_a_connection_takes_none(sharded: Oracle) -> None:
    run(sharded, "set @a = 5; select @a, customer_id from customer")
    for name in ("customer/-80", "customer/80-"):
        server = sharded.cluster[name]
        for (thread,) in server.query(
            "select id from information_schema.processlist where db like 'customer%' and id <> connection_id()"
        ):
            server.query(f"kill {thread}")
    run(sharded, "select @a, customer_id from customer; select @a")


def test_what_a_killed_statement_has_assigned_stays(sharded: Oracle) -> None:
    run(sharded, "set @a = 5, @big = repeat('x', 16000000)")
    late = []
    for connection in (sharded.vgate, sharded.plain):
        [(number,)] = ask(connection, "select connection_id()").rows
        answer = Later(connection, "select @a := 6, sleep(60) from customer where customer_id = 1")
        until(partial(_works, sharded.cluster.servers, "sleep(60)"), "it does not run")
        ask_other = sharded.process.connect if connection is sharded.vgate else sharded.cluster.plain.connect
        with closing(ask_other()) as other:
            assert ask(other, f"kill query {number}").error is None
        late.append(answer.result())
    assert (late[0].error and late[0].error[0]) == (late[1].error and late[1].error[0])
    assert late[0].rows == late[1].rows
    run(sharded, "select @a, length(@big), md5(@big) from customer; select @a")


def _works(servers: Sequence[Server], text: str) -> bool:
    return any(working(server, text) for server in servers)


def test_a_reset_forgets_them(sharded: Oracle) -> None:
    run(sharded, "set @a = 5; select @a")
    for connection in (sharded.vgate, sharded.plain):
        connection._execute_command(0x1F, b"")
        connection._read_ok_packet()
    run(sharded, "select @a, customer_id from customer")


def test_prepared_statements_of_the_protocol_see_them(sharded: Oracle) -> None:
    run(sharded, "set @a = 4, @u = 'four'")
    for text, values in [
        ("select @a + ?, @u", (1,)), ("select uname, @a from customer where customer_id = @a and n = ?", (4,)),
        ("select customer_id from customer where uname = @u and n < ?", (100,)),
        ("insert into customer (customer_id, uname, n) values (?, @u, @a)", (95,)),
        ("select @b := @a + ? from customer where customer_id = 4", (1,)), ("select @b, ?", (1,)),
    ]:  # fmt: skip
        answers = [_prepared(one, text, values) for one in (
            {"host": sharded.process.host, "port": sharded.process.port, "user": USER, "password": PASSWORD},
            {"unix_socket": sharded.cluster.plain.unix_socket, "user": "root"},
        )]  # fmt: skip
        assert answers[0] == answers[1], text


def _prepared(where: dict[str, Any], text: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a prepared statement gives a session that has set two variables."""
    with mysql.connector.connect(
        **where, database="customer", use_pure=True, collation="utf8mb4_general_ci", autocommit=True
    ) as connection:
        plain = connection.cursor()
        plain.execute("set @a = 4, @u = 'four', @b = 5")
        cursor: Any = connection.cursor(prepared=True)
        try:
            cursor.execute(text, values)
            return tuple(tuple(row or ()) for row in cursor.fetchall()) if cursor.description else (cursor.rowcount,)
        except mysql.connector.Error as error:
            return (error.errno,)
