"""NEXTVAL in the select list of a SELECT with tables: a value for each row, through the front door on both flavours."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from mysql.connector import MySQLConnection

from tests.fix_servers import Cluster
from tests.fix_vgate import PASSWORD, USER, USERS, StartVgate
from tests.integration.asking import Later, until
from tests.integration.executing import Prepared
from tests.integration.test_sequence_kinds import VSCHEMA, Client

TABLE = """
create table customer (
  id bigint not null primary key, uname varchar(30), price decimal(8, 2), made datetime, tiny tinyint, f double,
  b mediumblob
)
"""
ROWS = [
    (1, "'a'", "1.50", "'2024-01-02 03:04:05'", "-1", "0.5", "x'00ff'"),
    (2, "NULL", "NULL", "NULL", "NULL", "NULL", "NULL"),
    (3, "repeat('c', 30)", "0", "'2024-01-02'", "7", "1e30", "repeat('b', 70000)"),
    (4, "'d'", "-7.25", "'2024-01-02 03:04:05'", "1", "-2", "''"),
    (5, "'e'", "9", "NULL", "2", "NULL", "'e'"),
]


@pytest.fixture(params=["product", "customer"])
def client(request: pytest.FixtureRequest, fresh: Cluster, start_vgate: StartVgate) -> Iterator[Client]:
    """In an unsharded or a sharded keyspace, with five rows and a sequence."""
    process = start_vgate(VSCHEMA, USERS + "limits: {max_gather_rows: 100}\n")
    with closing(process.connect(request.param, ssl_disabled=True)) as session:
        client = Client(process, session)
        values = ", ".join(f"({', '.join(map(str, row))})" for row in ROWS)
        client.run(TABLE, f"insert into customer values {values}", "create simple sequence s")
        yield client


def test_each_row_has_its_own(client: Client) -> None:
    rows = client.rows("select s.nextval, id from customer")
    assert sorted(row[0] for row in rows) == [1, 2, 3, 4, 5]
    assert sorted(row[1] for row in rows) == [1, 2, 3, 4, 5]
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5], "in the order of the rows"
    assert client.column("select s.currval") == [5]
    assert client.rows("select id, nextval(s) n, uname from customer where id in (4, 1) order by id desc") == (
        (4, 6, "d"), (1, 7, "a"),
    )  # fmt: skip
    assert client.rows("select next value for s, c.* from customer c where id = 5")[0][:3] == (8, 5, "e")
    assert client.rows("select *, s.nextval from customer where id = 5")[0][-1] == 9
    assert client.rows("select s.nextval from customer where id = 77") == ()
    assert client.column("select s.currval") == [9]
    assert client.rows("select s.nextval, tiny > 0, count(*) from customer group by tiny > 0 order by tiny > 0") == (
        (10, None, 1), (11, 0, 1), (12, 1, 3),
    )  # fmt: skip


def test_columns_are_as_without_tables(client: Client) -> None:
    def told(sql: str) -> list[Any]:
        with client.session.cursor() as cursor:
            cursor.execute(sql)
            assert cursor._result is not None
            return [(f.name, f.type_code, f.length, f.flags, f.charsetnr) for f in cursor._result.fields]

    assert told("select s.NextVal, s.currval as c from customer") == told("select s.NextVal, s.currval as c")
    assert told("select next value for s n from customer where id = 1") == told("select s.nextval n")


def test_several_calls_in_a_row(client: Client) -> None:
    client.run("create simple sequence t start with 100")
    assert client.rows("select s.currval, s.nextval, t.nextval, s.nextval, s.currval, id from customer order by id"
                       " limit 2") == ((None, 1, 100, 2, 2, 1), (2, 3, 101, 4, 4, 2))  # fmt: skip
    assert client.rows("select s.currval, t.nextval from customer where id < s.currval + 1 order by id limit 1") == (
        (4, 102),
    )
    assert client.rows("select s.currval + 1, id from customer where id = 1") == ((5, 1),)


@pytest.mark.parametrize("where", ["id = 4", "id < 9"])
def test_prepared_rows_of_every_type(client: Client, where: str) -> None:
    """The rest of a binary row is as it is without the sequence."""
    columns = "uname, price, made, tiny, f, b"
    prepared = Prepared(client.session)
    plain = prepared.prepare(f"select 0, {columns}, 0, id from customer where {where} and id > ? order by id")
    asking = prepared.prepare(f"select s.nextval, {columns}, nextval(s) as n, id from customer where {where}"
                              f" and id > ? order by id")  # fmt: skip
    expected = prepared.execute(plain, 0)
    assert len(expected) == (1 if where == "id = 4" else 5)
    number = 0
    for _ in range(2):
        rows = prepared.execute(asking, 0)
        wide = client.column("select count(*) from information_schema.tables where 0")  # in between
        assert wide == [0]
        assert len(rows) == len(expected)
        for row, without in zip(rows, expected, strict=True):
            first, second = struct.pack("<q", number + 1), struct.pack("<q", number + 2)
            number += 2
            assert row[:3] == without[:3], "the same are NULL"
            assert row[3:11] == first
            assert row[-16:-8] == second
            narrow = (len(without) - len(row) + 16) // 2  # what a 0 is depends on the server
            assert row[11:-16] == without[3 + narrow : -8 - narrow]
            assert row[-8:] == without[-8:]


def test_a_driver_that_prepares(client: Client) -> None:
    keyspace = client.column("select database()")[0]
    options = {"host": "127.0.0.1", "port": client.process.port, "user": USER, "password": PASSWORD,
               "collation": "utf8mb4_general_ci"}  # fmt: skip
    with closing(MySQLConnection(**options, database=keyspace, use_pure=True)) as session:
        for cursor in (session.cursor(prepared=True), session.cursor()):
            client.run("alter sequence s restart with 1")
            for number in range(3):
                cursor.execute("select s.nextval as n, uname, s.currval from customer where id = %s", (1,))
                assert cursor.fetchall() == [(number + 1, "a", number + 1)]
                assert cursor.column_names == ("n", "uname", "s.currval")


def test_by_name_and_in_a_transaction(client: Client) -> None:
    client.run("prepare p from 'select s.nextval, id from customer where id > ? order by id'", "set @a = 3")
    assert client.rows("execute p using @a") == ((1, 4), (2, 5))
    assert client.rows("execute p using @a") == ((3, 4), (4, 5))
    client.run("begin", "update customer set uname = 'new' where id = 4")
    assert client.rows("select s.nextval, uname from customer where id = 4 for update") == ((5, "new"),)
    client.run("rollback")
    assert client.rows("select s.nextval, uname from customer where id = 4") == ((6, "d"),)


def test_errors_leave_the_session_as_it_was(client: Client) -> None:
    client.run("create simple sequence few maxvalue 3", "begin", "update customer set tiny = 9 where id = 1")
    assert client.error("select few.nextval, id from customer")[0] == 4084
    assert client.error("select s.nextval, nothing from customer")[0] == 1054
    assert client.error("select s.nextval from nowhere")[0] == 1146
    assert client.column("select tiny from customer where id = 1") == [9]
    client.run("rollback")
    assert client.column("select few.nextval from customer where id < 3") != []
    assert client.column("select s.nextval from customer where id = 1") == [1], "errors took nothing"


def test_too_many_rows_are_refused(client: Client) -> None:
    numbers = ", ".join(f"({number})" for number in range(100, 300))
    client.run(f"insert into customer (id) values {numbers}")
    code, said = client.error("select s.nextval, b from customer")
    assert (code, "limits.max_gather_rows" in said) == (1105, True)
    assert len(client.column("select s.nextval from customer where id < 150")) == 55


def test_what_could_lose_or_move_rows_is_refused(client: Client) -> None:
    for sql in (
        "select distinct s.nextval, id from customer",
        "select s.nextval, id from customer order by 1 desc",
        "select s.nextval as n, id from customer order by n",
        "select s.nextval as n, count(*) from customer group by n",
        "select s.nextval as n, id from customer having n > 2",
        "select s.nextval + 1 from customer",
        "select s.nextval from customer where id < s.nextval",
        "select s.nextval, s.currval + 1 from customer",
        "select s.nextval from customer union select 1",
        "select id from customer where id in (select s.nextval from customer)",
        "select s.nextval, id into @a, @b from customer limit 1",
    ):
        assert client.error(sql)[0] == 1235, sql
    assert client.column("select s.nextval from customer where id = 1") == [1], "nothing was asked"


def test_rows_of_a_query_that_are_inserted(client: Client) -> None:
    """Explicit ids from any sequence."""
    client.run("create simple sequence new start with 50")
    answer = client.ask("insert into customer (id, uname) select new.nextval, left(concat(uname, '!'), 30)"
                        " from customer")  # fmt: skip
    assert (answer.error, answer.affected) == (None, 5)
    assert client.column("select id from customer where id >= 50 order by id") == [50, 51, 52, 53, 54]
    assert sorted(map(str, client.column("select uname from customer where id >= 50"))) == [
        "None", "a!", "c" * 30, "d!", "e!"]  # fmt: skip
    client.run("prepare p from 'insert into customer (id) select nextval(new) from customer where id < ?'",
               "set @a = 3", "execute p using @a",
               "insert into customer (id, price) select next value for new, s.nextval")  # fmt: skip
    rows = client.rows("select id, price from customer where id >= 55 order by id")
    assert rows == ((55, None), (56, None), (57, 1))
    prepared = Prepared(client.session)
    statement = prepared.prepare("insert into customer (id) select new.nextval from customer where id <= ?")
    assert prepared.execute(statement, 3)[0][1] == 3
    assert client.column("select max(id) from customer") == [60]


def test_kill_query(client: Client) -> None:
    client.run("begin", "update customer set tiny = 9 where id = 1")
    later = Later(client.session, "select s.nextval, sleep(60) /* long */ from customer")
    until(lambda: _running(client, "long"), "it does not run")
    client.process.query(f"kill query {client.session.thread_id()}")
    error = later.result().error
    assert error is not None
    assert error[0] == 1317
    assert client.column("select tiny from customer where id = 1") == [9]
    assert client.column("select s.nextval from customer where id = 2") == [1]


def _running(client: Client, text: str) -> bool:
    return any(text in str(row[7]) and row[0] == client.session.thread_id()
               for row in client.process.query("show full processlist"))  # fmt: skip
