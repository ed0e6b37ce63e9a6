"""CONNECTION_ID(), USER(), DATABASE(), ROW_COUNT() and their kin inside larger statements: the client's own.

The plain server's answer differs in the values alone: they are compared with what the session must say. This module
does not know the functions by themselves.
"""

from __future__ import annotations

from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import PASSWORD, USER
from tests.integration.asking import number_of, run

LABELS = """
select connection_id(), 1
select 1, connection_id ( ) from customer where customer_id = 1
select connection_id() + 1 as n, user() u, current_user 'c', session_user()
select user(), current_user(), current_user, system_user(), database(), schema()
select distinct user() from customer where customer_id = 1
select concat(user(), 'x'), (select connection_id()), (connection_id())
select * from (select connection_id(), user() from customer where customer_id = 1) t
select case when user() like 'x%' then 1 else 2 end, user() is null, user() like 'x' collate utf8mb4_bin, user() = 'y'
select customer_id from customer where customer_id = 1 order by connection_id()
select customer_id, user() from customer where customer_id in (1) group by customer_id, user()
select database(), `customer`.`uname` from customer where customer_id = 1
select row_number() over (order by connection_id()), extract(year from current_user) from customer where customer_id = 1
select ifnull(database(), 'none'), customer_id from customer
select count(*) from information_schema.tables where table_schema = database()
with t as (select user()) select * from t
select user() union select 'x'
select @@warning_count + 1, @@session.error_count, @@local.warning_count w
explain select user()
"""


@pytest.mark.parametrize("statement", LABELS.strip().splitlines())
def test_statements_are_described_as_on_one_server(stocked: Oracle, statement: str) -> None:
    """On a sharded keyspace, an unsharded one, and without any; lengths and value types of numbers may differ."""
    for keyspace in ("customer", "product"):
        if keyspace == "product" and "customer" in statement:
            continue
        run(stocked, f"use {keyspace}; select 1")
        mine, theirs = ask(stocked.vgate, statement), ask(stocked.plain, statement)
        assert (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), mine.error
        if statement.startswith("explain"):
            continue
        assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns]
        assert [type(one) for one in mine.rows[0]] == [type(one) for one in theirs.rows[0]] if mine.rows else True


def test_whole_items_have_the_servers_own_type(stocked: Oracle) -> None:
    for name in ("user()", "current_user", "session_user() as s", "user() x"):
        for sql in (f"select {name}, 1", f"select {name}, uname from customer where customer_id = 1"):
            mine, theirs = ask(stocked.vgate, sql), ask(stocked.plain, sql)
            assert mine.columns[0][:5] == theirs.columns[0][:5], sql


def test_values_are_the_clients(stocked: Oracle) -> None:
    vgate = stocked.vgate
    number = number_of(vgate)
    assert number != ask(vgate, "select pseudo from (select 1 as pseudo) t").rows[0][0]
    assert ask(vgate, "select connection_id() + 0, user(), current_user()").rows == (
        (number, f"{USER}@127.0.0.1", f"{USER}@%"),
    )  # fmt: skip
    both = ask(vgate, "select connection_id(), customer_id from customer where customer_id in (1, 4)")
    assert both.sorted().rows == ((number, 1), (number, 4))
    assert ask(vgate, "update customer set uname = user(), n = connection_id()").affected == 4
    assert ask(vgate, "select uname, n from customer where customer_id = 4").rows == ((f"{USER}@127.0.0.1", number),)
    ask(vgate, "insert into customer (customer_id, uname, n) values (11, user(), connection_id()), (12, 'x', 1)")
    assert ask(vgate, "select uname, n from customer where customer_id = 11").rows == ((f"{USER}@127.0.0.1", number),)
    for keyspace in ("customer", "product"):
        ask(vgate, f"use {keyspace}")
        assert ask(vgate, "set @u = user(), @n = connection_id() + 1").error is None
        assert ask(vgate, "select @u, @n").rows == ((f"{USER}@127.0.0.1", number + 1),)
    assert ask(vgate, "select database(), customer_id from customer.customer where customer_id = 1").rows == (
        ("product", 1),
    )
    with stocked.process.connect(ssl_disabled=True) as nowhere:
        assert ask(nowhere, "select database(), 1").rows == ((None, 1),)
        assert ask(nowhere, "select user(), connection_id() + 0").rows[0] == (f"{USER}@127.0.0.1", number_of(nowhere))


def test_prepared_statements_speak_too(stocked: Oracle) -> None:
    process = stocked.process
    with mysql.connector.connect(
        host=process.host, port=process.port, user=USER, password=PASSWORD, database="customer", use_pure=True,
        collation="utf8mb4_general_ci",
    ) as connection:  # fmt: skip
        cursor: Any = connection.cursor(prepared=True)
        number = int(connection.connection_id or 0)
        for uname in ("one", "four"):
            cursor.execute("select connection_id() + ?, user(), uname from customer where uname = ?", (1, uname))
            assert [tuple(row or ()) for row in cursor.fetchall()] == [(number + 1, f"{USER}@127.0.0.1", uname)]
            assert cursor.column_names[1] == "user()"


COUNTS = """
use product; update product set name = 'q' where id in (1, 2); select row_count() + 0; select row_count(), 1
use product; select sql_calc_found_rows * from product limit 1; select found_rows(), found_rows() + 1 as more
use product; update product set name = 'q'; insert into product (n) values (row_count() + 90); select n from product
select cast('x' as signed); select @@warning_count + 1, @@error_count; show warnings
select nosuch; select @@warning_count, @@session.error_count + 0
"""


@pytest.mark.parametrize("script", COUNTS.strip().splitlines())
def test_what_is_known_of_the_last_statement(stocked: Oracle, script: str) -> None:
    for statement in script.split("; "):
        stocked.both(statement, ignore=["columns", "insert_id", "info", "warnings"])


def test_definitions_keep_the_functions(stocked: Oracle) -> None:
    for statement in ("create table d (a varchar(300) default (user()), b int)", "create view v as select user() as u"):
        ask(stocked.vgate, "use product")
        assert ask(stocked.vgate, statement).error is None
    assert "user()" in str(ask(stocked.vgate, "show create table d").rows)
    assert "user()" in str(ask(stocked.vgate, "show create view v").rows)


def test_a_table_may_be_called_user(stocked: Oracle) -> None:
    run(stocked, "use product; create table user (a int null); insert into user () values (); select * from user")
