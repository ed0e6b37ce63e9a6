"""Routing rules: a table is where the rule says, whatever keyspace a statement names or is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fix_oracle import ask
from tests.fix_servers import Cluster
from tests.fix_vgate import StartVgate, VgateProcess
from tests.integration.asking import Connection, until
from tests.integration.test_alter_vschema import edit, file_of, ok, refused

VSCHEMA = """
routing_rules:
  rules:
    - {from_table: moved, to_tables: [customer.moved]}
    - {from_table: product.moved, to_tables: [customer.moved]}
    - {from_table: customer.still, to_tables: [product.still]}
    - {from_table: product.old, to_tables: []}
    - {from_table: product.twice@primary, to_tables: [customer.twice]}
    - {from_table: product.twice, to_tables: [product.twice]}
keyspaces:
  product: {sharded: false, shards: ["-"], tables: {moved: {}, still: {}}}
  customer:
    sharded: true
    shards: ["-80", "80-"]
    vindexes: {hash: {type: hash}}
    tables:
      moved: {column_vindexes: [{column: id, name: hash}]}
      twice: {column_vindexes: [{column: id, name: hash}]}
"""


@pytest.fixture
def vgate(fresh: Cluster, start_vgate: StartVgate) -> VgateProcess:
    """Tables of each name in both keyspaces; the word in them says in which."""
    for name, server in fresh.shards.items():
        keyspace = name.split("/")[0]
        for table in ("moved", "still", "old", "twice"):
            server.query(f"create table {table} (id bigint primary key, word varchar(20))", keyspace)
    fresh.shards["product/-"].query("insert into moved values (1, 'product')", "product")
    fresh.shards["product/-"].query("insert into still values (1, 'product')", "product")
    fresh.shards["customer/-80"].query("insert into moved values (1, 'customer')", "customer")
    fresh.shards["customer/-80"].query("insert into twice values (1, 'customer')", "customer")
    fresh.shards["customer/80-"].query("insert into moved values (4, 'customer')", "customer")
    return start_vgate(VSCHEMA)


@pytest.fixture
def product(vgate: VgateProcess) -> Iterator[Connection]:
    with closing(vgate.connect("product")) as connection:
        yield connection


def test_reads_go_where_the_rule_says(vgate: VgateProcess, product: Connection) -> None:
    for database in ("product", "customer", None):
        with closing(vgate.connect(database)) as client:
            for name in ("moved", "product.moved") if database else ("moved", "product.moved", "customer.moved"):
                assert ok(client, f"select word from {name} where id = 1").rows == (("customer",),), (database, name)
                assert ok(client, f"select id from {name}").sorted().rows == ((1,), (4,))
    for sql in (
        "select product.moved.word from product.moved where product.moved.id = 4",
        "select moved.word from `moved` where moved.id = 4",
        "select m.word from moved m join product.moved n using (id) where m.id = 1",
        "select word from twice where id = 1",
    ):
        assert ok(product, sql).rows == (("customer",),), sql
    with closing(vgate.connect("customer")) as client:
        assert ok(client, "select word from still where id = 1").rows == (("product",),)
        assert ok(client, "select word from customer.still").rows == (("product",),)
    with product.cursor() as cursor:
        cursor.execute("select word from moved where id = %s", (4,))
        assert cursor.fetchall() == (("customer",),)


def test_writes_go_where_the_rule_says(vgate: VgateProcess, product: Connection, fresh: Cluster) -> None:
    assert ok(product, "insert into moved values (2, 'new'), (6, 'new')").affected == 2
    assert ok(product, "insert into product.moved (id, word) values (9, 'new')").affected == 1
    assert ok(product, "update product.moved set word = 'x' where id in (4, 9)").affected == 2
    assert ok(product, "delete from moved where id = 1").affected == 1
    assert fresh.shards["product/-"].query("select * from moved", "product") == ((1, "product"),)
    assert fresh.shards["customer/80-"].query("select * from moved", "customer") == ((4, "x"), (6, "new"))
    with closing(vgate.connect("customer")) as client:
        assert ok(client, "insert into still values (5, 'new')").affected == 1
    assert fresh.shards["product/-"].query("select id from still", "product") == ((1,), (5,))


def test_what_is_disabled_or_would_meet_the_table_that_was_is_refused(product: Connection) -> None:
    refused(product, "select * from old", "table product.old has been disabled", 1105)
    refused(product, "insert into old values (1, 'x')", "has been disabled", 1105)
    refused(product, "drop table moved", "a routing rule sends elsewhere; write customer.moved", 1235)
    refused(product, "create table product.moved (a int)", "DDL on moved", 1235)
    refused(product, "truncate table moved", "DDL on moved", 1235)
    refused(product, "lock tables moved read", "LOCK TABLES", 1235)
    assert ok(product, "insert into still select id + 50, word from moved").affected == 2
    assert ok(product, "select distinct word from still where id > 50").rows == (("customer",),)
    assert ok(product, "delete from still where id > 50").affected == 2
    assert len(ok(product, "select * from still, moved").rows) == 2
    assert ok(product, "select distinct moved.word from still, product.moved").rows == (("customer",),)
    assert ok(product, "select word from still").rows == (("product",),)
    assert "moved" in ok(product, "show create table moved").rows[0][1]


def test_rules_change_while_vgate_runs(vgate: VgateProcess, product: Connection) -> None:
    """As a table's move is switched: all sessions at once."""
    path = file_of(vgate)
    text = path.read_text()
    assert ok(product, "select word from moved where id = 1").rows == (("customer",),)
    edit(path, text.replace("customer.moved", "product.moved"))
    until(lambda: ask(product, "select word from moved where id = 1").rows == (("product",),), "it was not taken up")
    ok(product, "drop table moved")
