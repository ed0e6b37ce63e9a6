"""What shards count of their parts of tables: SHOW TABLE STATUS, SHOW INDEX and information_schema tell the sums.

Compared with one server where numbers are exact, as those of small tables are after ANALYZE; else with what the shards
say themselves. It does not know what else these statements show.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import StartVgate
from tests.integration.asking import Connection
from tests.integration.comparing import prepared
from tests.integration.raw import Raw

VSCHEMA = """
keyspaces:
  product: {shards: ["-"], tables: {}}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer: {column_vindexes: [{column: customer_id, name: hash}]}
      Customer: {column_vindexes: [{column: customer_id, name: hash}]}
      empty: {column_vindexes: [{column: customer_id, name: hash}]}
      copied: {type: reference}
    shards: ["-80", "80-"]
"""
KEYS = "primary key (customer_id, n), unique key `u k` (n, customer_id)"
COLUMNS = f"(customer_id bigint, uname varchar(9), n int, {KEYS})"
ROWS = ", ".join(f"({number}, 'x', {number * 3})" for number in range(1, 400))
THREE = "(1, 2, 3), (2, 2, 2), (3, 3, 3)"
NUMBERS = ("Rows", "Data_length", "Index_length", "Data_free")


@pytest.fixture
def counted(oracle: Oracle, start_vgate: StartVgate) -> Iterator[Oracle]:
    """Tables with some rows on each shard, and one that all shards have whole."""
    process = start_vgate(VSCHEMA)
    with closing(process.connect("customer")) as mine, closing(oracle.cluster.plain.connect("customer")) as theirs:
        both = Oracle(mine, theirs, oracle.cluster, process)
        for table in ("customer", "Customer", "empty", "copied"):
            both.both(f"create table {table} {COLUMNS}")
            if table != "empty":
                both.both(f"insert into {table} values {THREE if table == 'Customer' else ROWS}")
            both.both(f"analyze table {table}")
        for server in (oracle.cluster["customer/-80"], oracle.cluster["customer/80-"], oracle.cluster.plain):
            server.query("create view customer.v as select 1 as one from customer.copied")
        yield both


def dicts(connection: Connection, sql: str) -> dict[Any, dict[str, Any]]:
    """Rows by their first column, cells by their columns' names."""
    answer = ask(connection, sql)
    assert answer.error is None, answer.error
    names = [column[0] for column in answer.columns]
    return {row[0]: dict(zip(names, row, strict=True)) for row in answer.rows}


def of_shards(oracle: Oracle, sql: str) -> list[dict[Any, dict[str, Any]]]:
    found = []
    for shard in ("-80", "80-"):
        with closing(oracle.cluster[f"customer/{shard}"].connect("customer")) as connection:
            found.append(dicts(connection, sql))
    return found


STATUS = (
    "show table status", "show table status like 'c%'", "show table status from customer",
    "show table status from customer where name = 'customer'",
    "show table status in `customer` where engine = 'InnoDB'",
)  # fmt: skip


@pytest.mark.parametrize("sql", STATUS)
def test_table_status(counted: Oracle, sql: str) -> None:
    mine, theirs = dicts(counted.vgate, sql), dicts(counted.plain, sql)
    shards = of_shards(counted, sql)
    assert list(mine) == list(theirs)
    for name, row in mine.items():
        assert row["Rows"] == theirs[name]["Rows"], name
        parts = [shard[name] for shard in shards]
        if name not in ("copied", "v"):
            for column in NUMBERS:
                assert row[column] == sum(part[column] for part in parts), (name, column)
            assert row["Avg_row_length"] == (row["Data_length"] // row["Rows"] if row["Rows"] else 0)
            assert row["Create_time"] == min(part["Create_time"] for part in parts)
        unlike = {*NUMBERS, "Avg_row_length", "Create_time", "Update_time"}
        assert {key: row[key] for key in row if key not in unlike} == {
            key: parts[0][key] for key in row if key not in unlike
        }
    columns = [ask(side, sql).columns for side in (counted.vgate, counted.plain)]
    assert columns[0] == columns[1]


def test_without_a_keyspace(counted: Oracle) -> None:
    with closing(counted.process.connect()) as connection:
        assert dicts(connection, "show table status from customer")["customer"]["Rows"] == 399
        error = ask(connection, "show table status").error
        assert error is not None
        assert error[0] == 1046


def cardinalities(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    answer = ask(connection, sql)
    names = [column[0].lower() for column in answer.columns]
    return [tuple(row[names.index(one)] for one in ("key_name", "seq_in_index", "cardinality")) for row in answer.rows]


@pytest.mark.parametrize("sql", [
    "show index from customer", "show keys from customer from customer", "show indexes in customer.Customer",
    "show index from copied", "show index from empty", "show index from customer where key_name = 'PRIMARY'",
])  # fmt: skip
def test_index(counted: Oracle, sql: str) -> None:
    """Of unique values, whose numbers add up."""
    assert cardinalities(counted.vgate, sql) == cardinalities(counted.plain, sql)
    assert ask(counted.vgate, sql).columns == ask(counted.plain, sql).columns


INFORMATION_SCHEMA = """
select table_name, table_rows from information_schema.tables where table_schema = 'customer' order by 1
select table_name, table_rows from information_schema.tables where table_schema = database() and table_rows > 200
select sum(table_rows) from information_schema.tables where table_schema in ('customer', 'product')
select table_name, index_name, seq_in_index, cardinality from information_schema.statistics where table_schema = \
'customer'
select table_rows, t.table_name from information_schema.tables t where t.table_type = 'BASE TABLE' and t.table_name in \
('customer', 'empty', 'copied')
select count(*) from information_schema.tables where table_schema = 'customer'
"""


@pytest.mark.parametrize("keyspace", ["customer", "product"])
def test_information_schema(counted: Oracle, keyspace: str) -> None:
    counted.both(f"use {keyspace}")
    for sql in INFORMATION_SCHEMA.strip().replace("\\\n", "").splitlines():
        if keyspace != "customer" and "database()" in sql:
            continue
        counted.both(sql, ignore=["columns"])  # an expression is not described as a column is


def test_lengths_in_information_schema(counted: Oracle) -> None:
    columns = ("data_length", "index_length", "data_free", "avg_row_length", "table_rows")
    listed = ", ".join(f"{one} as {one}" for one in columns)
    sql = f"select table_name as name, {listed} from information_schema.tables where table_schema = 'customer'"
    shown = dicts(counted.vgate, "show table status")
    for name, row in dicts(counted.vgate, sql).items():
        status = {key.lower(): value for key, value in shown[name].items()}
        assert [status[one] for one in row if one != "table_rows"] == [row[one] for one in row if one != "table_rows"]


def test_prepared(counted: Oracle) -> None:
    """Binary rows, with dates in them."""
    for sql in ("show table status like 'customer'", "show index from customer", "show table status like 'v'"):
        mine, theirs = (prepared(Raw(one), sql) for one in (counted.vgate, counted.plain))
        assert mine[0] == theirs[0]
        assert len(mine[1].rows) == len(theirs[1].rows)
        if sql.startswith("show index"):
            assert mine[1].rows == theirs[1].rows


def test_in_a_transaction(counted: Oracle) -> None:
    """No shard is drawn into it, nor keeps a table from being changed afterwards."""
    for start in ("begin", "set autocommit = 0"):
        counted.both(start)
        counted.both("insert into customer values (1000, 'y', 1)")
        assert dicts(counted.vgate, "show table status")["Customer"]["Rows"] == 3
        assert cardinalities(counted.vgate, "show index from Customer")[0][2] == 3
        counted.both("rollback")
        with closing(counted.process.connect("customer")) as other:
            ask(other, "set lock_wait_timeout = 3")
            assert ask(other, f"alter table Customer add column x{len(start)} int").error is None
