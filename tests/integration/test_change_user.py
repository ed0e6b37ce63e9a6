"""COM_CHANGE_USER and COM_RESET_CONNECTION: who the client is afterwards, and that nothing of the session is left.

With mysql-connector-python, and with packets that no driver sends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import PASSWORD, USER, USERS, StartVgate, VgateProcess
from tests.integration.asking import Connection, number_of
from tests.integration.packets import EOF, OK, command, errno, gone, receive, send
from tests.unit.frontend.raw_client import native_answer, sha2_answer
from vgate.config import native_hash

NATIVE, SHA2 = "mysql_native_password", "caching_sha2_password"
DENIED, NO_KEYSPACE, NO_DATABASE, UNKNOWN, READ_ONLY, BAD_VALUE = 1045, 1049, 1044, 1047, 1142, 1231

CONFIG = USERS.rstrip() + f"""
  second: {{password: "second's pässword", keyspaces: [customer], read_only: true}}
  old: {{password_hash: "{native_hash('old')}"}}
  third: {{password: third}}
  open: {{password: ""}}
"""
VSCHEMA = """
keyspaces:
  product: {sharded: false, shards: ["-"]}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables: {customer: {column_vindexes: [{column: customer_id, name: hash}]}}
    shards: ["-80", "80-"]
"""


@pytest.fixture
def many(stocked: Oracle, start_vgate: StartVgate) -> VgateProcess:
    """vgate with users of every kind."""
    return start_vgate(VSCHEMA, CONFIG)


@pytest.fixture
def driver(many: VgateProcess) -> Iterator[Any]:
    """A connection of mysql-connector-python."""
    connection = mysql.connector.connect(
        host=many.host, port=many.port, user=USER, password=PASSWORD, database="product", autocommit=True,
        use_pure=True, charset="utf8mb4", collation="utf8mb4_general_ci",
    )  # fmt: skip
    yield connection
    connection.close()


def rows_of(connection: Any, sql: str) -> list[Any]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_a_driver_becomes_somebody_else_and_back(driver: Any) -> None:
    driver.cmd_change_user("second", "second's pässword", "customer")
    assert rows_of(driver, "select database()") == [("customer",)]
    assert rows_of(driver, "select count(*) from customer where customer_id = 1") == [(1,)]
    with pytest.raises(mysql.connector.Error) as caught:
        rows_of(driver, "update customer set n = 8 where customer_id = 1")
    assert caught.value.errno == READ_ONLY
    with pytest.raises(mysql.connector.Error) as caught:
        rows_of(driver, "select * from product.product")
    assert caught.value.errno == NO_DATABASE
    driver.cmd_change_user("third", "third", "product")
    assert len(rows_of(driver, "select * from product")) == 3
    driver.cmd_change_user("open", "", "")
    assert rows_of(driver, "select database()") == [(None,)]
    driver.cmd_change_user(USER, PASSWORD, "product")
    assert len(rows_of(driver, "select * from product")) == 3


def test_nothing_of_the_session_is_left(many: VgateProcess, driver: Any) -> None:
    for statement in ("set sql_mode = 'ANSI_QUOTES'", "set time_zone = '+03:00'", "set @a = 5",
                      "create temporary table product.temporary (a int)", "begin",
                      "update product.product set n = 77 where id = 1", "savepoint s"):  # fmt: skip
        rows_of(driver, statement)
    driver.cmd_change_user("third", "third", "product")
    assert many.query("select n from product.product where id = 1") == ((1,),)
    assert many.query("select n from product.product where id = 1 for update") == ((1,),)
    assert rows_of(driver, "select @a, @@time_zone") == [(None, "SYSTEM")]
    assert rows_of(driver, "select \"text\", @@autocommit") == [("text", 1)]
    with pytest.raises(mysql.connector.Error):
        rows_of(driver, "select * from temporary")
    with pytest.raises(mysql.connector.Error):
        rows_of(driver, "rollback to savepoint s")
    assert not driver.in_transaction


@pytest.mark.parametrize("database", ["product", "customer"])
@pytest.mark.parametrize("how", ["reset", "change user"])
def test_what_a_reset_leaves(many: VgateProcess, database: str, how: str) -> None:
    with closing(many.connect(database, ssl_disabled=True)) as one:
        for statement in ("set sql_mode = ''", "set autocommit = 0", "set last_insert_id = 5", "set names latin1",
                          "insert into customer.customer (customer_id) values (77)",
                          "set transaction isolation level serializable"):  # fmt: skip
            ask(one, statement)
        prepared = command(one, b"\x16select 1")
        for _ in range(2):
            receive(one)
        number = number_of(one)
        if how == "reset":
            assert command(one, b"\x1f")[0] == OK
        else:
            assert change(one, USER, PASSWORD, database)[0] == OK
        assert errno(command(one, b"\x17" + prepared[1:5] + b"\0\1\0\0\0")) == 1243
        assert number_of(one) == number
        state = ask(one, "select @@autocommit, last_insert_id(), @@sql_mode = '', database()")
        assert state.rows == ((1, 0, 0, database),)
        assert command(one, b"\x0e")[3] & 3 == 2
        assert ask(one, "select * from customer.customer where customer_id = 77").rows == ()


# -- packets --------------------------------------------------------------------------------------------------------


def payload(user: str, database: str, plugin: str = NATIVE, auth: bytes = b"", collation: int = 45) -> bytes:
    """COM_CHANGE_USER, as PyMySQL would send it: it negotiates PLUGIN_AUTH, and connection attributes."""
    return b"".join((
        b"\x11", user.encode(), b"\0", bytes([len(auth)]), auth, database.encode(), b"\0",
        struct.pack("<H", collation), plugin.encode(), b"\0", b"\x05\x01a\x02bc",
    ))  # fmt: skip


def change(connection: Connection, user: str, password: str, database: str, plugin: str = NATIVE) -> bytes:
    """Go through the whole exchange; the last packet."""
    send(connection, payload(user, database, plugin))
    number, answer = receive(connection)
    assert number == 1
    if answer[0] != EOF:
        return answer
    name, _, scramble = answer[1:].partition(b"\0")
    scramble = scramble.removesuffix(b"\0")
    made = {NATIVE: native_answer, SHA2: sha2_answer}[name.decode()](password, scramble) if password else b""
    send(connection, made, 2)
    number, answer = receive(connection)
    assert number == 3
    if answer == b"\x01\x03":
        number, answer = receive(connection)
        assert number == 4
    return answer


@pytest.mark.parametrize("plugin", [NATIVE, SHA2, "dialog"])
@pytest.mark.parametrize("user", [USER, "open"])
def test_every_plugin_is_switched_to(many: VgateProcess, plugin: str, user: str) -> None:
    with closing(many.connect("product", ssl_disabled=True)) as one:
        for _ in range(2):
            assert change(one, user, PASSWORD if user == USER else "", "customer", plugin)[0] == OK
        assert ask(one, "select database()").rows == (("customer",),)


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("user", [USER, "nobody", "old"])
def test_a_wrong_password_is_the_end(many: VgateProcess, plugin: str, user: str) -> None:
    with closing(many.connect("product", ssl_disabled=True)) as one, closing(many.connect("product")) as other:
        ask(one, "begin")
        ask(one, "update product set n = 9 where id = 1")
        answer = change(one, user, "wrong", "product", plugin)
        if answer == b"\x01\x04":  # the full exchange: a request for the key, and nothing that was encrypted with it
            send(one, b"\x02", 4)
            assert receive(one)[1].startswith(b"\x01-----BEGIN PUBLIC KEY")
            send(one, b"x" * 256, 6)
            number, answer = receive(one)
            assert number == 7
        assert errno(answer) == DENIED
        assert b"'%s'@'127.0.0.1' (using password: YES)" % user.encode() in answer
        assert gone(one)
        assert ask(other, "update product set n = 10 where id = 1").affected == 1


@pytest.mark.parametrize(
    ("user", "password", "database", "error"),
    [(USER, PASSWORD, "nosuch", NO_KEYSPACE), ("second", "second's pässword", "product", NO_DATABASE)],
)
def test_databases_that_cannot_be_had(
    many: VgateProcess, user: str, password: str, database: str, error: int
) -> None:
    with closing(many.connect("product", ssl_disabled=True)) as one:
        assert errno(change(one, user, password, database)) == error
        assert gone(one)


@pytest.mark.parametrize(
    ("broken", "error"),
    [(b"\x11", UNKNOWN), (b"\x11tester", UNKNOWN), (b"\x11tester\0\x14abc", UNKNOWN),
     (b"\x11tester\0\0product\0\x2d\0x\0\x77a", UNKNOWN), (payload(USER, "", collation=35), BAD_VALUE)],
)  # fmt: skip
def test_what_cannot_be_read_is_the_end(many: VgateProcess, broken: bytes, error: int) -> None:
    with closing(many.connect("product", ssl_disabled=True)) as one:
        assert errno(command(one, broken)) == error
        assert gone(one)
    assert many.query("select 1") == ((1,),)


def test_answers_out_of_order_and_too_long(many: VgateProcess) -> None:
    for answer, sequence, error in ((b"x", 5, 1156), (b"x" * 70_000, 2, 1153)):
        with closing(many.connect("product", ssl_disabled=True)) as one:
            assert command(one, payload(USER, "product"))[0] == EOF
            send(one, answer, sequence)
            assert errno(receive(one)[1]) == error
            assert gone(one)


# -- other commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "error"),
    [(b"\x00", 1047), (b"\x05xx", 1047), (b"\x06xx", 1047), (b"\x0b", 1047), (b"\x0f", 1047), (b"\x10", 1047),
     (b"\x14", 1047), (b"\x1d", 1047), (b"\x77abc", 1047), (b"\x1b\2\0", 1047), (b"\x02", 1046), (b"\x0d", 1227),
     (b"\x17\1", 1835), (b"\x17\1\0\0\0\0\1\0\0\0", 1243), (b"\x1c\1\0\0\0\1\0\0\0", 1243), (b"\x1a\5\0\0\0", 1243),
     (b"\x03", 1065), (b"\x16", 1065), (b"\x04nosuch\0", 1146)],
)  # fmt: skip
@pytest.mark.parametrize("database", ["product", "customer"])
def test_commands_that_fail_leave_the_connection_intact(
    stocked: Oracle, packet: bytes, error: int, database: str
) -> None:
    for connection in (stocked.vgate, stocked.plain):
        ask(connection, f"use {database}")
        if packet != b"\x0d" or connection is stocked.vgate:  # the one server's client may do everything
            assert errno(command(connection, packet)) == error
        assert ask(connection, "select 1").rows == ((1,),)


def test_statistics(stocked: Oracle) -> None:
    line = command(stocked.vgate, b"\x09").decode()
    words = dict(part.split(": ") for part in line.split("  "))
    assert int(words["Uptime"]) >= 0
    assert int(words["Threads"]) >= 1
    assert command(stocked.plain, b"\x09").startswith(b"Uptime: ")
