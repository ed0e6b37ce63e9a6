"""DDL: to every shard of its keyspace and to no other, with one server's answer; and what is said where a shard fails.

After each statement the shards are looked at: their tables must be the same, and those of one server.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Server
from tests.integration.asking import Later, run, scripts, until, working

SHARDS = ("customer/-80", "customer/80-")
LOW, HIGH = SHARDS
UNSUPPORTED, PARTIAL, DUPLICATE_KEY_NAME, TABLE_EXISTS, LOCK_WAIT = 1235, 1105, 1061, 1050, 1205


def definitions(server: Server, database: str = "customer") -> dict[str, Any]:
    """The tables of a database, but for the counters in their definitions."""
    found = {}
    for (name,) in server.query("show tables", database):
        [(_, text, *_)] = server.query(f"show create table `{name}`", database)
        found[name] = text
    return found


def same_tables(oracle: Oracle) -> None:
    expected = definitions(oracle.cluster.plain)
    for shard in SHARDS:
        assert definitions(oracle.cluster[shard]) == expected, (oracle.asked[-1], shard)
    assert "customer" not in definitions(oracle.cluster["product/-"], "product")


SCRIPTS = r"""
create table customer (customer_id bigint primary key, n int); create table customer (a int); drop table customer
create table if not exists customer (customer_id bigint primary key); create table if not exists customer (a int); \
show warnings
create table `customer` (`customer_id` bigint(20) not null, `select` varchar(20) default 'with ; (', key k (`select`), \
primary key (customer_id)) engine=InnoDB default charset=utf8mb4 comment 'drop table'; select * from customer
/* tracing */ create table customer (customer_id bigint primary key); -- what for?\n alter table customer add n int
create table customer.customer (customer_id bigint primary key); drop table customer.customer; \
drop table customer.customer
create table customer (customer_id bigint primary key, n int, m int generated always as (n + 1)); \
insert into customer (customer_id, n) values (1, 1), (4, 4); select * from customer
create table customer (customer_id bigint, t datetime, primary key (customer_id)) partition by hash (customer_id) \
partitions 3
create table customer (customer_id bigint primary key, j json, check (customer_id > 0)); \
insert into customer values (-1, 1)
create table customer (customer_id bigint primary key, bad nosuchtype)
create table customer (customer_id bigint primary key, customer_id int)
create table customer (customer_id bigint primary key, n int); create index i on customer (n); \
create index i on customer (n); \
drop index i on customer; drop index i on customer; create unique index `u` using btree on customer (customer_id, n)
create table customer (customer_id bigint primary key, n int); \
alter table customer add column (x int, y int), add key (x), \
modify n bigint, rename column x to z; alter table customer drop column nosuch; alter table customer comment = 'x'
create table customer (customer_id bigint primary key, n int); insert into customer values (1, 1), (2, 2), (4, 4); \
alter table customer add column d int not null default 5, algorithm=copy; alter table customer engine=innodb; \
alter table customer modify n varchar(20); update customer set n = 'x'; select * from customer; \
truncate table customer; \
select * from customer
create table customer (customer_id bigint primary key, s varchar(9) default 'x'); \
insert into customer (customer_id) values \
(1), (4); alter table customer modify s int; alter ignore table nosuch add a int; truncate nosuch; truncate customer
create table customer (customer_id bigint primary key); drop table nosuch, customer; \
drop table if exists customer, nosuch; \
show warnings
create table customer (customer_id bigint primary key) comment='a'; \
create or replace table customer (customer_id bigint)
create table customer
alter table customer
"""


@pytest.mark.parametrize("script", scripts(SCRIPTS))
def test_ddl_is_answered_as_by_one_server(pair: Oracle, script: str) -> None:
    for statement in script.split("; "):
        if statement == "create table if not exists customer (a int)":
            pair.both(statement)
        else:
            pair.both(statement, ignore=["insert_id"])
        same_tables(pair)


def test_ddl_of_an_unsharded_keyspace_stays_there(pair: Oracle) -> None:
    run(pair, "use product; create table t (a int); create view v as select * from t; create table u as select 1 as a;"
              "create trigger tr before insert on t for each row set new.a = 7; insert into t values (1);"
              "select * from v; rename table t to w; drop view v; drop table w, u")  # fmt: skip
    for keyspace, sql in (("customer", "create table product.t (a int)"), ("product", "create table t (b int)")):
        ask(pair.vgate, f"use {keyspace}")
        ask(pair.vgate, sql)
    assert definitions(pair.cluster["product/-"], "product").keys() == {"t"}
    for shard in SHARDS:
        assert pair.cluster[shard].query("show databases like 'product'") == ()


REFUSED = {
    "create table copy as select * from customer": "SELECT",
    "create table copy select 1 as a": "SELECT",
    "create temporary table t (a int)": "temporary",
    "create view v as select * from customer": "VIEW",
    "drop view v": "VIEW",
    "create trigger tr before insert on customer for each row set new.n = 1": "TRIGGER",
    "create procedure p() select 1": "PROCEDURE",
    "drop procedure p": "PROCEDURE",
    "create function f() returns int return 1": "FUNCTION",
    "create event e on schedule every 1 day do select 1": "EVENT",
    "create user nobody": "USER",
    "drop table customer, product.t": "keyspaces",
    "rename table customer to product.customer": "keyspaces",
    "create table customer like product.t": "keyspaces",
    "optimize table customer, product.t": "keyspaces",
    "grant select on customer.* to nobody": "GRANT",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_what_cannot_go_to_all_shards_is_refused(pair: Oracle, statement: str) -> None:
    pair.both("create table customer (customer_id bigint primary key, n int)")
    pair.only_vgate("create table product.t (a int)")
    pair.refused(statement, REFUSED[statement])
    same_tables(pair)


@pytest.mark.parametrize("begin", ["begin", "set autocommit = 0"])
@pytest.mark.parametrize("ddl", [
    "create table if not exists customer (a int)", "/* x */ alter table customer add z int",
    "-- x\n truncate table customer", "drop table if exists nosuch",
])  # fmt: skip
def test_ddl_commits_on_every_shard_first(pair: Oracle, begin: str, ddl: str) -> None:
    pair.both("create table customer (customer_id bigint primary key, n int)")
    pair.both("insert into customer values (1, 1), (2, 2), (4, 4), (6, 6)", ignore=["insert_id"])
    for statement in (begin, "update customer set n = 50 where customer_id in (1, 4)", ddl, "rollback",
                      "select * from customer", "insert into customer (customer_id) values (9), (11)", "rollback",
                      "select * from customer", "set autocommit = 1"):  # fmt: skip
        pair.both(statement, ignore=["insert_id", "warnings", "info"])
    same_tables(pair)
    rows = [row for shard in SHARDS for row in pair.cluster[shard].query("select * from customer", "customer")]
    assert sorted(rows) == sorted(pair.cluster.plain.query("select * from customer", "customer"))


def test_ddl_that_fails_on_all_shards_has_the_servers_own_error(pair: Oracle) -> None:
    pair.both("create table customer (customer_id bigint primary key, n int)")
    answer = pair.both("create table customer (customer_id bigint primary key)")
    assert answer.error is not None
    assert answer.error[0] == TABLE_EXISTS
    pair.both("show warnings")


def test_ddl_that_fails_on_one_shard_says_where_it_ran(pair: Oracle) -> None:
    """Nothing can take DDL back; who has to mend it must know where."""
    pair.both("create table customer (customer_id bigint primary key, n int)")
    pair.cluster[HIGH].query("create index i on customer (n)", "customer")
    answer = ask(pair.vgate, "create index i on customer (n)")
    assert answer.error is not None
    assert answer.error[0] == PARTIAL
    assert "ran on shards -80 but not on 80-" in answer.error[1]
    assert "i" in answer.error[1]
    assert ask(pair.vgate, "show errors").rows == (("Error", PARTIAL, answer.error[1]),)
    same = [definitions(pair.cluster[shard]) for shard in SHARDS]
    assert same[0] == same[1]


def test_one_shard_can_be_mended_alone(pair: Oracle) -> None:
    pair.both("create table customer (customer_id bigint primary key, n int)")
    pair.cluster[LOW].query("alter table customer add column z int", "customer")
    ask(pair.vgate, "use `customer:80-`")
    assert ask(pair.vgate, "alter table customer add column z int").error is None
    assert ask(pair.vgate, "use customer").error is None
    assert ask(pair.vgate, "insert into customer (customer_id, z) values (1, 1), (4, 4)").affected == 2
    assert ask(pair.vgate, "select * from customer").sorted().rows == ((1, None, 1), (4, None, 4))


def test_plans_follow_the_tables(pair: Oracle) -> None:
    """Every client's next statement sees the table as it is now, from the plan cache or not."""
    vgate = pair.process
    with closing(vgate.connect("customer")) as other:
        for definition, rows, look in (
            ("customer_id bigint primary key, n int", "(1, 1), (4, 4)", "customer_id = 4"),
            ("n int, customer_id bigint primary key", "(1, 1), (4, 4)", "customer_id = 4"),
            ("customer_id int unsigned primary key, n varchar(9)", "(1, 'x'), (4, 'y')", "customer_id = 4"),
            ("customer_id tinyint primary key, n int, m int default 3", "(1, 1, 1), (4, 4, 4)", "customer_id = '4'"),
        ):
            pair.both(f"create table customer ({definition})")
            pair.both(f"insert into customer values {rows}", ignore=["insert_id"])
            for _ in range(3):
                pair.both("select * from customer")
                pair.both(f"select * from customer where {look}")
                mine, theirs = (ask(one, f"select * from customer where {look}") for one in (other, pair.plain))
                assert (mine.columns, mine.rows) == (theirs.columns, theirs.rows)
                pair.both("select * from customer where customer_id = 300")
            pair.both("drop table customer")
            for connection in (pair.vgate, other):
                assert ask(connection, f"select * from customer where {look}").error is not None


def test_ddl_waits_for_transactions(pair: Oracle) -> None:
    pair.both("create table customer (customer_id bigint primary key, n int)")
    pair.both("insert into customer values (1, 1), (4, 4)", ignore=["insert_id"])
    with closing(pair.process.connect("customer")) as other:
        ask(other, "begin")
        ask(other, "select * from customer where customer_id = 4")
        slow = Later(pair.vgate, "alter table customer add column z int /* slow */")
        until(lambda: working(pair.cluster[HIGH], "/* slow */"), "it does not wait")
        ask(other, "commit")
        assert slow.result().error is None
        ask(other, "begin")
        ask(other, "select * from customer where customer_id = 4")
        ask(pair.vgate, "set lock_wait_timeout = 1")
        answer = ask(pair.vgate, "alter table customer drop column z")
        assert answer.error is not None
        assert answer.error[0] == PARTIAL
        assert "on shards -80 but not on 80-" in answer.error[1]
        assert "ock wait timeout" in answer.error[1]
