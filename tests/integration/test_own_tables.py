"""vgate's own tables, in which its sequences are: no list of tables has them, and who names them finds them.

Compared with one server that has no such tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import StartVgate
from tests.integration.comparing import prepared
from tests.integration.raw import Raw

VSCHEMA = """
keyspaces:
  product: {shards: ["-"], tables: {LISTED}}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables: {customer: {column_vindexes: [{column: customer_id, name: hash}]}}
    shards: ["-80", "80-"]
"""


@pytest.fixture
def keeping(fresh: Cluster, start_vgate: StartVgate) -> Iterator[Oracle]:
    process = start_vgate(VSCHEMA.replace("LISTED", ""))
    with closing(process.connect("product")) as mine, closing(fresh.plain.connect("product")) as theirs:
        oracle = Oracle(mine, theirs, fresh, process)
        oracle.both("create table product.product (id int primary key, n int)")
        oracle.both("create table customer.customer (customer_id bigint primary key)")
        for kind in ("group", "time"):
            assert ask(mine, f"create {kind} sequence product.s_{kind}").error is None
            assert ask(mine, f"select product.s_{kind}.nextval").error is None
        yield oracle


LISTS = """
show tables
show full tables
show tables like '%'
show full tables like 'vgate%'
show tables from product
show /* all */ tables in `product` like '_%'
/* x */ show tables where tables_in_product like '%e%'
show open tables from product like 'vgate%'
show table status like 'vgate\\_%'
select table_name from information_schema.tables where table_schema = 'product'
select table_schema, table_name from information_schema.tables where table_schema in ('product', 'customer')
select table_name, column_name from information_schema.columns where table_schema = database()
select count(*) from information_schema.statistics where table_schema = 'product'
select table_name, constraint_name from information_schema.table_constraints where table_schema = 'product'
select table_schema, count(*) from information_schema.tables where table_schema not in ('mysql', 'sys', \
'performance_schema', 'information_schema') group by 1
select table_rows is null from information_schema.tables where table_schema = 'product'
"""


@pytest.mark.parametrize("keyspace", ["product", "customer", "information_schema"])
def test_no_list_has_them(keeping: Oracle, keyspace: str) -> None:
    keeping.both(f"use {keyspace}")
    for sql in LISTS.strip().replace("\\\n", "").splitlines():
        if keyspace == "product" or " from product" in sql or "where table_schema" in sql:
            for _ in range(2):  # the second time the plan is known
                keeping.both(sql, ignore=["columns"] if "customer" in sql or "not in" in sql else [])
    for sql in ("show tables from product", "show full tables in product like '%o%'", "show table status from product"):
        mine, theirs = (prepared(Raw(one), sql) for one in (keeping.vgate, keeping.plain))
        assert len(mine[1].rows) == len(theirs[1].rows) == 1
        assert mine[0] == theirs[0]


def test_without_a_keyspace(keeping: Oracle) -> None:
    with closing(keeping.process.connect()) as mine, closing(keeping.cluster.plain.connect()) as theirs:
        both = Oracle(mine, theirs, keeping.cluster, keeping.process)
        both.both("show tables from product")
        both.both("select table_name from information_schema.tables where table_schema = 'product'")


def test_who_names_them_finds_them(keeping: Oracle) -> None:
    assert len(ask(keeping.vgate, "select name from vgate_sequence").rows) == 2
    assert ask(keeping.vgate, "show create table vgate_sequence").error is None
    assert len(ask(keeping.vgate, "describe vgate_node").rows) == 5
    with closing(keeping.process.connect("product:-")) as session:
        assert ("vgate_sequence",) in ask(session, "show tables").rows
        listed = ask(session, "select table_name from information_schema.tables where table_schema = 'product'").rows
        assert {("vgate_node",), ("vgate_sequence",)} <= set(listed)


def test_those_that_the_vschema_lists_are_not_vgates_alone(fresh: Cluster, start_vgate: StartVgate) -> None:
    process = start_vgate(VSCHEMA.replace("LISTED", "vgate_sequence: {}"))
    with closing(process.connect("product")) as session:
        assert ask(session, "create sequence s").error is None
        assert ask(session, "show tables").rows == (("vgate_sequence",),)
