"""INSERT ... RETURNING, which is MariaDB's: rows of all shards in the order they were given in, ids of the sequence.

It does not know other INSERTs.
"""

from __future__ import annotations

import pymysql
import pytest

from tests.fix_oracle import Oracle
from tests.integration.asking import Connection, scripts
from tests.integration.executing import Prepared
from vgate.sql.versioned import Flavour

UNSUPPORTED = 1235
ID = 10
"""Bytes of a binary row up to behind a generated id, which its first column is."""


@pytest.fixture
def mariadb(stocked: Oracle) -> Oracle:
    """A sharded table on vgate, one with AUTO_INCREMENT on the plain server."""
    if stocked.cluster.flavour is not Flavour.MARIADB:
        pytest.skip("only MariaDB knows INSERT ... RETURNING")
    stocked.only_plain("alter table customer modify customer_id bigint auto_increment, auto_increment = 100")
    stocked.process.query(
        "create table customer_seq (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'",
        "product",
    )
    stocked.process.query("insert into customer_seq values (0, 100, 10)", "product")
    return stocked


def test_rows_come_in_the_order_they_were_given_in(mariadb: Oracle) -> None:
    many = ", ".join(f"('name {n}', {n})" for n in range(40))
    different = ["columns"]  # AUTO_INCREMENT on the plain server's side is in the flags
    for sql in (
        f"insert into customer (uname, n) values {many} returning customer_id, uname, n + 1 as more",
        "select last_insert_id()", "select row_count()",
        "insert into customer (customer_id, uname) values (11, 'x'), (12, 'y'), (13, null), (14, 'z') returning uname",
        "select last_insert_id()", "select row_count()",
        "insert into customer (uname) values ('one') returning customer_id, customer.uname", "select last_insert_id()",
        "insert into customer (uname) values (concat('a', 'b')) returning customer.*",
        "insert into customer (customer_id, uname) values (1, 'again') returning uname", "select last_insert_id()",
        "insert into customer (customer_id, n) values (21, 1), (22, 2), (1, 3), (24, 4) returning n",
        "select customer_id, uname from customer", "insert into customer (uname) values ('x') returning nosuch",
    ):  # fmt: skip
        mariadb.both(sql, ordered="returning" in sql, ignore=different)


def test_columns_are_described_as_on_one_server(mariadb: Oracle) -> None:
    mariadb.both("insert into customer (customer_id, uname) values (31, 'x'), (32, 'y') returning uname, n as m, n + 1")


def test_what_is_not_that_simple_is_refused(mariadb: Oracle) -> None:
    for sql in (
        "insert ignore into customer (uname) values ('x'), ('y') returning uname",
        "replace into customer (customer_id) values (1), (2) returning n",
        "insert into customer (customer_id) values (1) on duplicate key update n = 2 returning n",
        "insert into customer set uname = 'x' returning n",
        "insert into customer (uname) values ('x') returning last_insert_id()",
        "insert into customer (uname) values ('x') returning (select max(n) from customer)",
    ):
        answer = mariadb.only_vgate(sql)
        assert answer.error is not None, sql
        assert answer.error[0] == UNSUPPORTED, sql


def test_a_transaction_holds_the_rows(mariadb: Oracle, others: list[Connection]) -> None:
    mariadb.both("begin")
    mariadb.both("insert into customer (customer_id, n) values (41, 1), (42, 2), (43, 3) returning n", ordered=True)
    mariadb.both("rollback")
    mariadb.both("select n from customer where customer_id > 40")


PREPARED = """
insert into customer (customer_id, uname, n) values (?, 'x', 1) returning customer_id, uname, n / 3, n * 1e0, at, null
insert into customer (customer_id, uname, at) values (?, 'x', '2024-01-31 12:00:00'), (?, null, null), (13, 'z', null)\
 returning uname, customer_id, at, cast(n as float)
insert into customer (uname, n) values ('a', ?), ('b', ?), ('c', 5), ('d', 6) returning customer_id, uname, n
insert into customer (uname, n) values ('a', ?) returning customer_id
"""


@pytest.mark.parametrize("statement", scripts(PREPARED))
@pytest.mark.parametrize("begin", ["select 1", "begin"])
def test_prepared_ones_have_binary_rows(mariadb: Oracle, statement: str, begin: str) -> None:
    mariadb.both(begin)
    given = "(customer_id" in statement
    answers = []
    for side in (mariadb.vgate, mariadb.plain):
        prepared = Prepared(side)
        handle = prepared.prepare(statement)
        numbers = range(31, 31 + statement.count("?"))
        rows = prepared.execute(handle, *numbers)
        answers.append(rows if given else [row[ID:] for row in rows])
        with pytest.raises(pymysql.err.IntegrityError):
            prepared.execute(prepared.prepare("insert into customer (customer_id) values (?), (12) returning n"), 1)
    assert answers[0] == answers[1]
    mariadb.both("commit")
    mariadb.both(f"select last_insert_id() > 0, count({'customer_id' if given else 'uname'}) from customer")
    mariadb.both(f"select {'*' if given else 'uname, n'} from customer", ignore=["columns"])
