"""Names: several keyspaces in one session, qualified tables, targets of USE, and keyspaces whose databases have other
names on the servers.

The databases of the second part are called otherwise on every shard; a client sees keyspaces only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pymysql
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import StartVgate, VgateProcess
from tests.integration.asking import Connection, scripts

UNKNOWN_DATABASE, NO_DATABASE, NO_SUCH_TABLE, UNSUPPORTED = 1049, 1046, 1146, 1235

LOW, HIGH = ["one", "two"], ["four", "six"]


def codes(connection: Connection, *statements: str) -> list[int]:
    """The errors of statements; 0 for none."""
    return [answer.error[0] if answer.error else 0 for answer in (ask(connection, sql) for sql in statements)]


def unames(connection: Connection, sql: str) -> list[str]:
    answer = ask(connection, sql)
    assert answer.error is None, (sql, answer.error)
    return sorted((row[0] for row in answer.rows), key=[*LOW, *HIGH].index)


# -- targets --------------------------------------------------------------------------------------------------------

WHOLE = ["customer", "`customer`", "customer@primary", "`customer@primary`", "customer@master", "`customer`;"]
LOWER = ["`customer:-80`", "`customer/-80`", "`customer[-80]`", "`customer:-80@primary`", "`customer/-80@primary`",
         "customer:-80", "customer/-80", "customer:-80@primary"]  # fmt: skip
UPPER = ["`customer:80-`", "customer/80-", "`customer[80-]@primary`"]


@pytest.mark.parametrize("target", [*WHOLE, *LOWER, *UPPER])
def test_use_aims_at_a_keyspace_or_a_shard(stocked: Oracle, target: str) -> None:
    vgate = stocked.vgate
    ask(vgate, "use product")
    assert codes(vgate, f"use {target}") == [0]
    expected = LOW if target in LOWER else HIGH if target in UPPER else LOW + HIGH
    assert unames(vgate, "select uname from customer") == expected
    assert unames(vgate, "select uname from customer") == expected  # from the plan cache
    assert unames(vgate, "select uname from customer.customer") == expected
    name = target.strip("`;").replace("[", ":").replace("]", "").replace("/", ":")
    assert ask(vgate, "select database()").rows == ((name.replace("@primary", "").replace("@master", ""),),)


def test_the_target_may_be_named_at_login_and_by_com_init_db(stocked: Oracle) -> None:
    for target, expected in (("customer", LOW + HIGH), ("customer:-80", LOW), ("customer/80-@primary", HIGH)):
        with closing(stocked.process.connect(target)) as connection:
            assert unames(connection, "select uname from customer") == expected
        with closing(stocked.process.connect("product")) as connection:
            connection.select_db(target)
            assert unames(connection, "select uname from customer") == expected
            with pytest.raises(pymysql.err.MySQLError):
                connection.select_db("nosuch")
            assert unames(connection, "select uname from customer") == expected  # it stays where it was
    for target in ("nosuch", "customer:-40", "customer@replica"):
        with pytest.raises(pymysql.err.MySQLError):
            stocked.process.connect(target)


def test_an_aimed_shard_takes_any_statement_as_it_is(stocked: Oracle) -> None:
    """Vitess: a target that names a shard bypasses the planner. Rows go where the session aims."""
    vgate, cluster = stocked.vgate, stocked.cluster
    ask(vgate, "use `customer:80-`")
    for statement in ("insert into customer (customer_id, uname) values (1, 'stray')",
                      "select count(*), max(uname) from customer", "select * from customer order by n limit 1",
                      "update customer set customer_id = 100 where customer_id = 1", "create table side (a int)",
                      "insert into side values (1)", "create view v as select * from side",
                      "drop table side"):  # fmt: skip
        assert codes(vgate, statement) == [0], statement
    stray = "select uname from customer where customer_id = 100"
    assert cluster["customer/80-"].query(stray, "customer") == (("stray",),)
    assert cluster["customer/-80"].query("show tables", "customer") == (("customer",),)
    ask(vgate, "use customer")
    assert ask(vgate, "select uname from customer where uname = 'stray'").rows == (("stray",),)


@pytest.mark.parametrize(("target", "code"), [
    ("nosuch", UNKNOWN_DATABASE), ("`nosuch:-80`", UNKNOWN_DATABASE), ("`customer:-40`", UNKNOWN_DATABASE),
    ("`customer:zz`", UNKNOWN_DATABASE), ("`customer@replica`", UNSUPPORTED), ("`customer@rdonly`", UNSUPPORTED),
    ("`customer@nosuch`", UNSUPPORTED), ("`product:80-`", UNKNOWN_DATABASE), ("Customer", UNKNOWN_DATABASE),
    ("``", 1064), ("", 1064), ("customer product", 1064),
])  # fmt: skip
def test_a_target_that_is_not_there(stocked: Oracle, target: str, code: int) -> None:
    ask(stocked.vgate, "use `customer:-80`")
    (found,) = codes(stocked.vgate, f"use {target}")
    assert found == code or (target == "``" and found in (1102, UNKNOWN_DATABASE)), ask(stocked.vgate, f"use {target}")
    assert unames(stocked.vgate, "select uname from customer") == LOW


def test_use_inside_a_transaction_leaves_it_open(stocked: Oracle) -> None:
    vgate = stocked.vgate
    for sql in ("begin", "update customer set n = 50 where customer_id = 1", "use product", "update product set n = 60",
                "use `customer:80-`", "update customer set n = 70", "use customer"):  # fmt: skip
        if sql == "update product set n = 60":
            sql = "update product set n = 60 where id = 1"
        assert codes(vgate, sql) == [0], sql
    assert ask(vgate, "select n from customer where n in (50, 70)").sorted().rows == ((50,), (70,), (70,))
    ask(vgate, "rollback")
    assert ask(vgate, "select n from customer where n in (50, 70)").rows == ()
    assert ask(vgate, "select n from product.product where id = 1").rows == ((1,),)


# -- qualified names ------------------------------------------------------------------------------------------------

QUALIFIED = """
select * from customer.customer
select customer.uname from customer.customer where customer.customer_id = 4
select customer.customer.uname from customer.customer where customer.customer.customer_id in (1, 4)
select c.uname from `customer`.`customer` as c where c.customer_id = 4
select p.name from product.product p where p.id = 2
select product.name, product.product.n from product.product where product.product.id < 3
update customer.customer set n = 10 where customer_id = 4
update customer.customer set customer.n = 11 where customer.customer_id = 1
update product.product set name = 'q' where product.id = 1
delete from customer.customer where customer_id = 6
delete from product.product where id = 3
insert into product.product (name) values ('new')
select name from product.product order by id
replace into customer.customer (customer_id, uname) values (4, 'again')
select * from customer.customer
show columns from customer.customer
show create table product.product
describe product.product
truncate product.product
alter table customer.customer add column z int
select * from customer.customer where customer_id = 4
select * from product.product
"""


@pytest.mark.parametrize("start", ["customer", "product", "`customer:-80`", None])
def test_qualified_names_lead_to_their_keyspace(stocked: Oracle, start: str | None) -> None:
    """From wherever the session aims; from a shard, as far as that shard has the rows."""
    with (
        closing(stocked.process.connect()) as one,
        closing(stocked.cluster.plain.connect()) as other,
    ):
        if start is not None:
            ask(one, f"use {start}")
            ask(other, "use customer" if "customer" in start else f"use {start}")
        both = Oracle(one, other, stocked.cluster, stocked.process)
        for statement in QUALIFIED.strip().splitlines():
            if start == "`customer:-80`":
                if "product" not in statement:
                    assert codes(one, statement) == [0], statement
                continue
            both.both(statement, ignore=["insert_id", "info"])


def test_two_keyspaces_in_one_statement(stocked: Oracle) -> None:
    for sql in ("update customer.customer c join product.product p on p.id = c.customer_id set c.n = 1",
                "select * from customer.customer, product.customer",
                "create table product.copy as select * from customer.customer"):  # fmt: skip
        for keyspace in ("customer", "product"):
            ask(stocked.vgate, f"use {keyspace}")
            (code,) = codes(stocked.vgate, sql)
            assert code == UNSUPPORTED, (sql, ask(stocked.vgate, sql))
    assert ask(stocked.vgate, "select count(*) from product.product").rows == ((3,),)


def test_without_a_keyspace(stocked: Oracle) -> None:
    with closing(stocked.process.connect()) as connection:
        assert ask(connection, "select database()").rows == ((None,),)
        assert codes(connection, "select 1", "begin", "commit", "set names utf8mb4", "show databases") == [0] * 5
        assert codes(connection, "select * from nosuch", "show tables", "create table t (a int)") == [NO_DATABASE] * 3
        assert unames(connection, "select uname from customer") == LOW + HIGH  # the VSchema has one of that name
        assert codes(connection, "select * from nosuch.t", "select * from customer.nosuch", "use nosuch") == [
            UNKNOWN_DATABASE, NO_SUCH_TABLE, UNKNOWN_DATABASE
        ]  # fmt: skip
        assert ask(connection, "select @a").rows == ((None,),)


def test_a_table_that_is_not_in_the_vschema(stocked: Oracle) -> None:
    assert codes(stocked.vgate, "select * from nosuch", "update nosuch set a = 1", "delete from nosuch",
                 "insert into nosuch values (1)", "select * from product.nosuch") == [NO_SUCH_TABLE] * 5  # fmt: skip


def test_show_what_there_is(stocked: Oracle) -> None:
    vgate = stocked.vgate
    names = [row[0] for row in ask(vgate, "show databases").rows]
    assert names == sorted(["customer", "product", "information_schema"])
    assert ask(vgate, "show vitess_shards").rows == (("product/-",), ("customer/-80",), ("customer/80-",))
    ask(vgate, "use `customer:-80@primary`")
    assert ask(vgate, "show vitess_target").rows == (("customer:-80",),)


# -- other names on the servers -------------------------------------------------------------------------------------

RENAMED = """
keyspaces:
  shop:
    tables: {seq: {type: sequence}}
    shards: ["-"]
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer:
        column_vindexes: [{column: customer_id, name: hash}]
        auto_increment: {column: customer_id, sequence: shop.seq}
      b: {column_vindexes: [{column: id, name: hash}]}
    shards: ["-40", "40-"]
"""


@pytest.fixture
def renamed(fresh: Cluster, start_vgate: StartVgate) -> Iterator[tuple[VgateProcess, Oracle]]:
    """Keyspace shop in database ``shop_-``, customer in ``customer_-40`` and ``customer_40-``."""
    vgate = start_vgate(RENAMED)
    for keyspace in ("shop", "customer"):
        fresh.plain.query(f"drop database if exists {keyspace}")
        fresh.plain.query(f"create database {keyspace}")
    with (
        closing(vgate.connect("customer")) as one,
        closing(fresh.plain.connect("customer")) as other,
    ):
        yield vgate, Oracle(one, other, fresh, vgate)


ANY_NAME = """
create table customer.customer (customer_id bigint primary key, uname varchar(20), n int)
create table b (id bigint primary key, n int)
insert into customer.customer (customer_id, uname, n) values (1, 'one', 1), (2, 'two', 2), (3, 'x', 3), (4, 'four', 4)
insert into b values (1, 1), (2, 2), (3, 3)
select * from customer
select * from customer.customer
select customer.uname from customer where customer.customer_id = 1
select customer.uname from customer.customer where customer.customer_id in (1, 2, 3)
select customer.customer.uname from customer.customer where customer.customer.n > 1
select customer.* from customer.customer
select customer.customer.* from customer.customer where customer.customer_id = 4
select customer.n, x.n from customer.customer join customer.b x on x.id = customer.customer_id where \
customer.n = 2 and customer.customer_id = 2
select x.n from customer.b as x, customer.customer where x.id = customer.customer_id and x.id = 2
select customer.n from customer.b customer where customer.id = 3
select 'customer.customer' from customer where n = 1 -- customer.customer
select n /* customer.x */ from `customer`.`customer` where `customer`.`n` = 1
update customer.customer set customer.n = customer.n + 1
update customer.customer set n = 10 where customer.customer_id = 2
delete from customer.customer where customer.customer_id = 3
delete customer from customer.customer where customer.customer_id = 4
insert into customer.customer (customer_id, n) values (2, 1) on duplicate key update customer.n = 50, uname = 'dup'
select * from customer.customer
begin
insert into customer.customer (customer_id, uname) values (11, 'a'), (12, 'b'), (13, 'c')
select * from customer where n is null
rollback
show tables from customer
show full columns from customer from customer
show columns from customer.customer
show create table customer.customer
show create table customer
describe customer.customer
explain customer.customer
alter table customer.customer add column z int
create index nn on customer.customer (n)
drop index nn on customer.customer
rename table customer.b to customer.b
truncate table customer.b
select * from customer.b
drop table customer.b
use shop
create table shop.shop (id int primary key auto_increment, shop int)
insert into shop.shop (shop) values (1), (2)
select shop.shop, shop.shop.id from shop.shop where shop.id = 1 or shop.shop.shop = 2
select s.id, t.id from shop.shop s join shop.shop t on s.id = t.id
create view shop.v as select shop.id from shop.shop
select v.id from shop.v
create procedure shop.p() select count(*) from shop
call shop.p()
create temporary table shop.t (shop int)
insert into shop.t select shop.shop from shop.shop
select t.shop from shop.t
set @a = (select max(shop.id) from shop.shop)
select @a
lock tables shop.shop write, shop.shop as s read
select shop.id from shop.shop
unlock tables
prepare s from 'select shop.id from shop.shop where id = ?'
set @a = 2
execute s using @a
set @t = 'select database(), shop.shop.shop from shop.shop'
prepare s from @t
execute s
deallocate prepare s
drop view shop.v
use customer
create or replace view shop.w (one) as select shop.id from shop.shop where shop > 0
select one from shop.w
drop view if exists shop.w
select one from shop.w
"""


def test_a_client_sees_keyspaces_only(renamed: tuple[VgateProcess, Oracle]) -> None:
    """Text on its way to the servers and columns on their way back: the same answers as of databases so named."""
    _, oracle = renamed
    for statement in scripts(ANY_NAME):
        if statement.startswith(("rename", "show create table", "show tables")):
            mine, theirs = ask(oracle.vgate, statement), ask(oracle.plain, statement)
            assert (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), statement
            assert mine.rows == theirs.rows, statement
            continue
        oracle.both(statement, ignore=["insert_id", "info", "warnings"])
        schemas = [
            {getattr(field, "db", b"") for field in getattr(connection._result, "fields", None) or ()}
            for connection in (oracle.vgate, oracle.plain)
        ]
        assert schemas[0] == schemas[1], statement


def test_ids_for_a_renamed_keyspace(renamed: tuple[VgateProcess, Oracle]) -> None:
    vgate, oracle = renamed
    ask(oracle.vgate, "create table customer (customer_id bigint primary key, uname varchar(20))")
    sequence = "create table seq (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'"
    vgate.query(sequence, "shop")
    vgate.query("insert into seq values (0, 1, 10)", "shop")
    assert codes(oracle.vgate, "insert into customer (uname) values ('a'), ('b'), ('c'), ('d'), ('e'), ('f')") == [0]
    assert ask(oracle.vgate, "select customer_id from customer").sorted().rows == tuple((n,) for n in range(1, 7))
    low, high = oracle.cluster["product/-"], oracle.cluster["customer/-80"]
    held = [row for server, name in ((low, "customer_-40"), (high, "customer_40-"))
            for row in server.query(f"select customer_id from `{name}`.customer")]  # fmt: skip
    assert sorted(held) == [(n,) for n in range(1, 7)]
