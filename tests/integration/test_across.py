"""Queries over tables of several keyspaces, sharded and unsharded, as on one server that has them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import REPOSITORY
from tests.fix_vgate import USERS
from tests.integration.asking import Connection
from tests.integration.conftest import serve
from tests.integration.executing import Prepared
from tests.integration.test_gather import same

QUERIES = [
    "select c.uname, p.name from customer.customer c join product.product p on p.n = c.n order by 1, 2",
    "select * from customer.customer c left join product.product p on p.id = c.customer_id order by c.customer_id",
    "select * from product.product p left join customer.customer c on c.customer_id = p.id order by p.id",
    "select product.product.name, count(*) from product.product, customer.customer group by product.product.name"
    " order by name",
    "select uname from customer.customer where customer_id in (select id from product.product) order by uname",
    "select name from product.product where exists (select 1 from customer.customer c where c.n = product.product.n)"
    " order by name",
    "select name from product.product union select uname from customer.customer order by 1",
    "select (select max(n) from customer.customer) as most, count(*) from product.product",
    "with w as (select n, count(*) c from customer.customer group by n) select p.name, w.c from w"
    " join product.product p using (n) order by 1",
    "select p.name, c.uname from product.product p join customer.customer c on c.n = p.n where c.customer_id = 4",
    "select p.name, c.uname from product.product p join customer.customer c on c.n = p.n where c.customer_id = 2",
    "select p.name, c.uname from product.product p join customer.customer c on c.n = p.n where c.customer_id = 99",
    "select a.name, b.name, c.uname from product.product a join product.product b on b.n = a.n + 1"
    " join customer.customer c on c.n = b.n order by 1, 2, 3",
    "select product.nothing from product.product, customer.customer",
    "select n from product.product, customer.customer",
    "select * from customer.customer c join product.nothing x on x.id = c.n",
]


@pytest.mark.parametrize("keyspace", ["customer", "product"])
@pytest.mark.parametrize("sql", QUERIES)
def test_queries(stocked: Oracle, keyspace: str, sql: str) -> None:
    stocked.both(f"use {keyspace}")
    same(stocked, sql)
    schemas = [[column.db for column in getattr(one._result, "fields", None) or ()]
               for one in (stocked.vgate, stocked.plain)]  # fmt: skip
    assert schemas[0] == schemas[1]


def test_names_without_a_keyspace_are_of_the_one_in_use(stocked: Oracle) -> None:
    sql = "select uname, name from customer join product.product on product.n = customer.n order by 1"
    stocked.both(sql, ordered=True)
    stocked.both("set sql_mode = 'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH'", ignore=["warnings"])
    stocked.both('select "uname", name from "customer" join "product"."product" p on p.n = customer.n order by 1',
                 ordered=True)  # fmt: skip


def test_in_a_transaction_and_locked(stocked: Oracle, others: list[Connection]) -> None:
    sql = "select uname, name from customer join product.product p on p.n = customer.n order by 1"
    for one in ("begin", "update customer set n = 3 where customer_id = 4", "update product.product set name = 'x'"
                " where id = 3"):  # fmt: skip
        stocked.both(one)
    stocked.both(sql, ordered=True)
    assert ask(others[0], sql.replace("from customer", "from customer.customer")).rows != ask(stocked.vgate, sql).rows
    stocked.both(f"{sql} for update", ordered=True)
    ask(others[0], "set innodb_lock_wait_timeout = 1")
    locked = ask(others[0], "update product.product set n = 77 where id = 1")
    assert locked.error is not None
    assert locked.error[0] == 1205
    stocked.both("rollback")
    stocked.both(sql, ordered=True)


def test_prepared(stocked: Oracle) -> None:
    join = "customer.customer c join product.product p on p.n = c.n"
    sql = f"select c.customer_id, p.id from {join} where c.n > ? order by 1"
    rows = []
    for connection in (stocked.vgate, stocked.plain):
        prepared = Prepared(connection)
        statement = prepared.prepare(sql)
        rows.append([prepared.execute(statement, number) for number in (0, 1, 100, 0)])
        ask(connection, f"prepare p from '{sql}'")
        ask(connection, "set @a = 1")
    assert rows[0] == rows[1]
    assert [len(one) for one in rows[0]] == [2, 1, 0, 2]
    stocked.both("execute p using @a", ordered=True)


def test_rows_of_it_are_inserted(stocked: Oracle) -> None:
    insert = "insert into customer (customer_id, uname, n) select p.id + 50, concat(c.uname, p.name), 0 from customer c"
    stocked.both(f"{insert} join product.product p on p.n = c.n", ignore=["insert_id"])
    stocked.both("select * from customer order by customer_id", ordered=True)


def test_what_is_refused(stocked: Oracle) -> None:
    for sql, construct in (
        ("update customer.customer c join product.product p on p.id = c.customer_id set c.n = 1", "several keyspaces"),
        ("delete c from customer.customer c join product.product p on p.id = c.customer_id", "several keyspaces"),
        ("select @a, c.n from customer.customer c, product.product", "user variable"),
        ("create table product.copy as select * from customer.customer", "CREATE TABLE ... SELECT"),
    ):
        stocked.refused(sql, construct)
    lines = [row[0] for row in stocked.only_vgate(
        "vexplain select * from customer.customer c, product.product where c.customer_id = 4").rows]  # fmt: skip
    assert lines == [
        "tables of several keyspaces: gathered on a server of customer",
        "    rows of customer.customer, shards: hash(customer_id) of 4",
        "    rows of product.product, shards: all",
    ]


@pytest.fixture
def renamed(stocked: Oracle, tmp_path: Path) -> Iterator[Connection]:
    """The same servers, whose databases are called otherwise than the keyspaces."""
    vschema = (REPOSITORY / "vschema.yaml").read_text()
    vschema = vschema.replace("\n  product:", "\n  goods:").replace("\n  customer:", "\n  people:")
    process = serve(tmp_path, stocked.cluster, USERS + "limits: {max_gather_rows: 5}\n",
                    vschema.replace("product.customer_seq", "goods.customer_seq"))  # fmt: skip
    with closing(process.connect("people")) as connection:
        yield connection
    process.kill()


def test_databases_that_are_called_otherwise(renamed: Connection) -> None:
    """Made by ``serve`` as databases of their own."""
    for sql in ("create table customer (customer_id bigint primary key, n int)",
                "create table goods.item (id int, n int)", "insert into customer values (1, 1), (2, 2), (4, 4)",
                "insert into goods.item values (7, 2), (8, 4)"):  # fmt: skip
        assert ask(renamed, sql).error is None, sql
    join = "customer join goods.item i on i.n = customer.n"
    answer = ask(renamed, f"select people.customer.n, i.id from {join} order by 1")
    assert answer.rows == ((2, 7), (4, 8))
    assert [column[5] for column in answer.columns] == ["customer", "i"]
    assert ask(renamed, "insert into goods.item values (1, 1)").error is None
    refused = ask(renamed, "select * from customer, goods.item").error
    assert refused is not None
    assert "max_gather_rows" in refused[1]
