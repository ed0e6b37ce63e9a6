"""Every way a client has to end what it has begun, in every state that it can be in: nothing of it is left, at once.

The ways are COM_RESET_CONNECTION, COM_CHANGE_USER, a disconnection and the death of its machine's socket. What is left
is looked for as another client would meet it: rows that are locked or changed, tables and locks, variables, and
connections in the pools that are not as they should be (by the module's ``nothing_is_left``).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from pymysql import _auth

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import PASSWORD, USER
from tests.integration.asking import Connection
from tests.integration.faults.state import PLACES
from tests.integration.raw import EXECUTE, LONG_DATA, PREPARE, QUERY, Raw, framed

FETCH = b"\x1c"

State = Callable[[Connection], None]


def said(client: Connection, *statements: str) -> None:
    for sql in statements:
        answer = ask(client, sql)
        assert answer.error is None, (sql, answer)


def transaction(client: Connection) -> None:
    said(client, "begin", "update customer set n = 50", "insert into product.product (name) values ('new')")


def savepoint(client: Connection) -> None:
    said(client, "begin", "savepoint a", "update customer set n = 50 where customer_id = 1", "savepoint b",
         "update customer set n = 50 where customer_id = 4")  # fmt: skip


def autocommit_off(client: Connection) -> None:
    said(client, "set autocommit = 0", "select * from customer for update", "update customer set n = 50")


def isolation(client: Connection) -> None:
    said(client, "set session transaction isolation level serializable", "set transaction read only")


def prepared(client: Connection, sql: bytes) -> bytes:
    """Its number, as it stands in commands."""
    return Raw(client).ask(PREPARE + sql)[5:9]


def cursor(client: Connection) -> None:
    number = prepared(client, b"select customer_id from customer for update")
    said(client, "begin")
    for command, packets in ((EXECUTE + number + b"\1\1\0\0\0", 3), (FETCH + number + b"\1\0\0\0", 2)):
        raw = Raw(client)
        raw.send(command)
        assert [raw._payload() for _ in range(packets)][-1][0] == 0xFE  # one row of four, in the end


def long_data(client: Connection) -> None:
    number = prepared(client, b"insert into customer (customer_id, uname) values (1, ?)")
    said(client, "begin", "update customer set n = 50 where customer_id = 1")
    Raw(client).send(LONG_DATA + number + b"\0\0" + b"x" * 100_000)


def temporary(client: Connection) -> None:
    said(client, "use product", "create temporary table product (id int, name varchar(9))",
         "insert into product values (1, 'z')",
         "use `customer:-80`",
         "create temporary table customer (customer_id int, n int)",
         "insert into customer values (1, 50)")  # fmt: skip


def user_lock(client: Connection) -> None:
    said(client, "use product", "select get_lock('l', 0)", "begin", "update product set n = 50 where id = 1")


def lock_tables(client: Connection) -> None:
    said(client, "use product", "lock tables product write", "update product set n = n + 0")


def variables(client: Connection) -> None:
    said(client, "set @a = 5, @b = 'x'", "select @a from customer", "use product", "set @c = 7", "select @a, @c")


def settings(client: Connection) -> None:
    said(client, "set sql_mode = 'ANSI_QUOTES', time_zone = '+07:00', sql_safe_updates = 1", "select * from customer",
         "select * from product.product", "set names latin1",
         "select * from customer where customer_id = 4")  # fmt: skip


def loading(client: Connection) -> None:
    said(client, "begin", "update customer set n = 50 where customer_id = 4")
    sql = b"load data local infile 'x' into table customer (customer_id, uname)"
    client._sock.sendall(framed(QUERY + sql))
    Raw(client)._bytes(6)
    client._sock.sendall(framed(b"10\tten\n11\televen\n12\ttw", 2))


def half_a_command(client: Connection) -> None:
    said(client, "begin", "update customer set n = 50 where customer_id in (1, 4)")
    client._sock.sendall(framed(QUERY + b"commit")[:-3])


STATES = (transaction, savepoint, autocommit_off, isolation, cursor, long_data, temporary, user_lock, lock_tables,
          variables, settings)  # fmt: skip
MIDWAY = (loading, half_a_command)
"""The client has something to send before anything else."""


def fresh(stocked: Oracle, client: Connection) -> None:
    """``client`` is as one that has just logged in."""
    assert ask(client, "select @a, @b, @c").rows == ((None, None, None),)
    assert ask(client, "select @@autocommit, @@time_zone").rows == ((1, "SYSTEM"),)
    mode, isolation = ("@@sql_mode", "@@tx_isolation" if "Maria" in stocked.plain.get_server_info() else
                       "@@transaction_isolation")  # fmt: skip
    assert ask(client, f"select {mode}, {isolation}").rows == ask(stocked.plain, f"select {mode}, {isolation}").rows
    assert not ask(client, "select 1").status & 1
    assert len(ask(client, "select customer_id from customer.customer").rows) == 4
    assert ask(client, "execute s").error is not None


def untouched(stocked: Oracle, clients: Callable[[], Connection]) -> None:
    """What others see, whichever connection of the pools they get."""
    others = [clients() for _ in range(PLACES)]
    for other in others:
        ask(other, "begin")
        ask(other, "select @@sql_mode from product.product")
    for number, other in enumerate(others):
        assert ask(other, "select customer_id, n from customer").sorted().rows == ((1, 1), (2, 2), (4, 4), (6, 6))
        said(other, "use product")
        assert ask(other, "select name from product").sorted().rows == (("a",), ("b",), ("c",)), number
        assert ask(other, "select is_free_lock('l')").rows == ((1,),)
        assert ask(other, "select @a, @b, @c, @@time_zone").rows == ((None, None, None, "SYSTEM"),)
        said(other, "rollback")
    last = others[-1]
    said(last, "use customer", "set innodb_lock_wait_timeout = 1", "update customer set n = n + 1",
         "update customer set n = n - 1", "update product.product set name = name")  # fmt: skip


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_beginning_anew(stocked: Oracle, clients: Callable[[], Connection], state: State) -> None:
    for way in (reset, change_user):
        client = clients()
        state(client)
        way(client)
        said(client, "use customer")
        fresh(stocked, client)
    untouched(stocked, clients)


def reset(client: Connection) -> None:
    """COM_RESET_CONNECTION."""
    assert Raw(client).ask(b"\x1f")[4] == 0


def change_user(client: Connection) -> None:
    """COM_CHANGE_USER, whose switch of plug-ins is answered as PyMySQL does at a login."""
    client._sock.sendall(framed(b"\x11" + USER.encode() + b"\0\0customer\0\x2d\0mysql_native_password\0"))
    raw = Raw(client)
    header = raw._bytes(4)
    payload = raw._bytes(int.from_bytes(header[:3], "little"))
    assert payload[:23] == b"\xfemysql_native_password\0"
    scramble = _auth.scramble_native_password(PASSWORD.encode(), payload[23:43])
    client._sock.sendall(framed(scramble, header[3] + 1))
    header = raw._bytes(4)
    assert raw._bytes(int.from_bytes(header[:3], "little"))[0] == 0


@pytest.mark.parametrize("state", [*STATES, *MIDWAY], ids=lambda state: state.__name__)
def test_going_away(stocked: Oracle, clients: Callable[[], Connection], state: State) -> None:
    for way in ("quit", "closed", "reset by its machine"):
        client = clients()
        state(client)
        if way == "quit" and state not in MIDWAY:
            client._sock.sendall(framed(b"\x01"))
            assert client._sock.recv(1) == b""
        elif way == "reset by its machine":
            client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client._force_close()
    untouched(stocked, clients)
