"""Tables of several unsharded keyspaces in one statement, where one server has them all; compared with one server.

``aside`` has a database of another name, on the server of ``product``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import mysql.connector
import pymysql
import pytest
import yaml

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import PASSWORD, USER, StartVgate

VSCHEMA = """
keyspaces:
  product: {sharded: false, shards: ["-"]}
  aside: {sharded: false, shards: ["-"]}
  customer:
    sharded: true
    shards: ["-80", "80-"]
    vindexes: {hash: {type: hash}}
    tables:
      customer: {column_vindexes: [{column: customer_id, name: hash}]}
"""
MADE = """
create table product.item (id int primary key, name varchar(20))
create table aside.item (id int primary key, name varchar(20))
create table aside.note (item int, text varchar(20))
create table customer.customer (customer_id bigint primary key)
insert into product.item values (1, 'one'), (2, 'two'), (3, 'three')
insert into aside.item values (1, 'eins'), (2, 'zwei')
insert into aside.note values (1, 'a'), (1, 'b'), (3, 'c')
"""
QUERIES = """
select item.id, aside.item.name from item join aside.item on aside.item.id = item.id
select product.item.*, n.text from product.item left join aside.note n on n.item = product.item.id
select * from aside.note aside, item where item.id = aside.item
select name from item where id in (select item from aside.note)
select name from product.item union all select name from aside.item
select (select count(*) from aside.note where item = i.id) as notes, i.name from product.item i
with n as (select * from aside.note) select n.text, product.item.name from n join product.item on id = n.item
select * from product.item join aside.item using (id) where product.item.name like 't%'
select nope from product.item, aside.note
select product.item.id from product.item, aside.nope
select aside.item.nope from product.item, aside.item
"""


@pytest.fixture
def oracle(cluster: Cluster, start_vgate: StartVgate) -> Iterator[Oracle]:
    cluster.clear()
    cluster.plain.query("create database aside")
    users = {USER: {"password": PASSWORD}, "only": {"password": PASSWORD, "keyspaces": ["product"]}}
    vgate = start_vgate(VSCHEMA, yaml.safe_dump({"users": users}))
    try:
        with closing(vgate.connect("product")) as mine, closing(cluster.plain.connect("product")) as theirs:
            oracle = Oracle(mine, theirs, cluster, vgate)
            for sql in MADE.strip().splitlines():
                oracle.both(sql)
            yield oracle
    finally:
        cluster.clear()


ELSEWHERE = """
select p.id, a.name from product.item p join aside.item a on a.id = p.id
select product.item.id from product.item where id in (select id from aside.item)
"""


def test_queries(oracle: Oracle) -> None:
    for keyspace, queries in (("product", QUERIES), ("aside", ELSEWHERE), ("customer", ELSEWHERE)):
        oracle.both(f"use {keyspace}")
        for sql in queries.strip().splitlines():
            mine, theirs = ask(oracle.vgate, sql).sorted(), ask(oracle.plain, sql).sorted()
            assert (mine.error, mine.rows, mine.columns) == (theirs.error, theirs.rows, theirs.columns), sql


def test_prepared(oracle: Oracle) -> None:
    process, plain = oracle.process, oracle.cluster.plain
    answers = []
    for host, port, user, password in (
        (process.host, process.port, USER, PASSWORD), (plain.host, plain.port, plain.user, plain.password)
    ):  # fmt: skip
        with closing(mysql.connector.connect(
            host=host, port=port, user=user, password=password, database="product", ssl_disabled=True,
            charset="utf8mb4", collation="utf8mb4_general_ci",
        )) as connection:  # fmt: skip
            cursor = connection.cursor(prepared=True)
            for number in (1, 3):
                cursor.execute(
                    "select name, n.text, n.item from item join aside.note n on n.item = id where id = ?", (number,)
                )
                answers.append((sorted(cursor.fetchall()), [one[0] for one in cursor.description or ()]))
    assert answers[:2] == answers[2:]
    assert answers[0][0] == [("one", "a", 1), ("one", "b", 1)]


def test_a_table_is_made_of_others(oracle: Oracle) -> None:
    oracle.both("create table aside.made as select name, text from item join aside.note on item.id = note.item")
    oracle.both("select * from aside.made")
    oracle.both("create table copied as select * from aside.item")
    oracle.both("select * from copied")
    oracle.both("use aside")
    oracle.both("insert into made values ('x', 'y')", ignore=["insert_id"])
    oracle.both("select * from made")


def test_what_one_connection_would_not_see_is_refused(oracle: Oracle) -> None:
    join = "select * from product.item join aside.item using (id)"
    several = "tables of several keyspaces"
    ask(oracle.vgate, "begin")
    ask(oracle.vgate, "insert into aside.item values (3, 'drei')")
    oracle.refused(join, several)
    ask(oracle.vgate, "rollback")
    oracle.both("begin")
    oracle.both("insert into aside.note values (2, 'new')")
    oracle.both("insert into item values (4, 'four')")
    oracle.both("select name, text from item left join aside.note on item = id order by id, text", ordered=True)
    oracle.both("rollback")
    oracle.both(join)
    oracle.refused(f"{join} for update", several)
    oracle.refused("update product.item join aside.item using (id) set product.item.name = 'x'", several)
    oracle.both("select * from product.item, customer.customer")
    oracle.refused("create temporary table aside.made as select * from item", "")
    oracle.both("begin")
    oracle.both(join)
    oracle.both("commit")


def test_who_may_not_use_a_keyspace_may_not_join_it(oracle: Oracle) -> None:
    process = oracle.process
    with closing(pymysql.connect(
        host=process.host, port=process.port, user="only", password=PASSWORD, database="product", ssl_disabled=True
    )) as only:  # fmt: skip
        assert (ask(only, "select * from item join aside.item using (id)").error or (0,))[0] == 1044
        assert ask(only, "select * from item").error is None
