"""Cursors of prepared statements, packet by packet, on vgate and on one plain server.

Rows of several shards have no order, but each fetch has as many as one server's, and the flags say the same.
"""

from __future__ import annotations

import struct
from contextlib import closing

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import Connection
from tests.integration.packets import ERR, OK, command, errno, receive, result, rows

CURSOR_EXISTS, LAST_ROW_SENT = 0x40, 0x80
NO_CURSOR, UNKNOWN_STATEMENT, LOST, MALFORMED = 1421, 1243, 2013, 1835

TABLES = {
    "product": "select n, name from product.product where id > ?",
    "one shard": "select n, uname from customer.customer where customer_id = 1 and n > ?",
    "all shards": "select n, uname from customer.customer where customer_id > ?",
}


def prepare(connection: Connection, text: str) -> bytes:
    """A statement's id, as four bytes."""
    answer = command(connection, b"\x16" + text.encode())
    assert answer[0] == OK, answer
    columns, parameters = struct.unpack_from("<HH", answer, 5)
    for count in filter(None, (parameters, columns)):
        for _ in range(count + 1):
            receive(connection)
    return answer[1:5]


def execution(statement: bytes, value: int | None = None, flags: int = 1) -> bytes:
    """COM_STMT_EXECUTE with one INT, or without parameters."""
    bound = b"" if value is None else b"\0\1\x03\0" + struct.pack("<i", value)
    return b"\x17" + statement + bytes([flags]) + b"\1\0\0\0" + bound


def open_cursor(connection: Connection, statement: bytes, value: int | None = None) -> int:
    """Execute; the flags behind the description, which ends the answer."""
    head = command(connection, execution(statement, value))
    for _ in range(head[0]):
        receive(connection)
    _, eof = receive(connection)
    return int.from_bytes(eof[3:5], "little")


def fetch(connection: Connection, statement: bytes, count: int) -> tuple[list[bytes], int]:
    connection._sock.sendall(b"\x09\0\0\0\x1c" + statement + struct.pack("<I", count))
    return rows(connection)


@pytest.mark.parametrize("what", TABLES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 100])
def test_rows_come_as_they_are_fetched(stocked: Oracle, what: str, count: int) -> None:
    found: list[list[bytes]] = []
    flags: list[list[int]] = []
    for connection in (stocked.vgate, stocked.plain):
        statement = prepare(connection, TABLES[what])
        for _ in range(2):
            said = [open_cursor(connection, statement, 0) & 0xFFCF]
            assert said[0] & CURSOR_EXISTS
            got: list[bytes] = []
            while not said[-1] & LAST_ROW_SENT:
                more, status = fetch(connection, statement, count)
                got += more
                said += [len(more), status & 0xFFCF]
            connection._sock.sendall(b"\x09\0\0\0\x1c" + statement + struct.pack("<I", 1))
            assert errno(receive(connection)[1]) == NO_CURSOR
            found.append(sorted(got))
            flags.append(said)
    assert found[0] == found[1] == found[2] == found[3]
    assert flags[0] == flags[1] == flags[2] == flags[3]


@pytest.mark.parametrize("what", TABLES)
def test_other_statements_run_in_between(stocked: Oracle, what: str) -> None:
    """A cursor's rows are those of its execution, whatever happens to the table, in a transaction or out of it."""
    for connection in (stocked.vgate, stocked.plain):
        ask(connection, "begin")
        one, other = prepare(connection, TABLES[what]), prepare(connection, TABLES[what])
        open_cursor(connection, one, 0)
        fetched, _ = fetch(connection, one, 0)
        assert fetched == []
        open_cursor(connection, other, 1)
        assert ask(connection, "update customer.customer set n = 70").affected == 4
        assert ask(connection, "update product.product set name = 'new'").affected == 3
        total = len(fetch(connection, one, 100)[0])
        assert total == {"product": 3, "one shard": 1, "all shards": 4}[what]
        ask(connection, "commit")
        kept, _ = fetch(connection, other, 100)
        assert not any(b"new" in row or row[2] == 70 for row in kept)
        assert len(kept) == {"product": 2, "one shard": 0, "all shards": 3}[what]
    assert {row[0] for row in ask(stocked.vgate, "select n from customer.customer").rows} == {70}
    for _ in range(5):
        assert ask(stocked.vgate, "select count(*) from product.product").rows == ((3,),)


@pytest.mark.parametrize("what", TABLES)
@pytest.mark.parametrize("how", ["reset", "execute", "close", "reset connection"])
def test_how_a_cursor_ends(stocked: Oracle, what: str, how: str) -> None:
    # MySQL 9.7 itself breaks its protocol where a statement is executed without a cursor after one with a cursor.
    for connection in (stocked.vgate, stocked.plain) if how != "execute" else (stocked.vgate,):
        statement = prepare(connection, TABLES[what])
        open_cursor(connection, statement, 0)
        error = NO_CURSOR
        match how:
            case "reset":
                assert command(connection, b"\x1a" + statement)[0] == OK
            case "execute":
                result(connection, execution(statement, 0, 0))
            case "close":
                connection._sock.sendall(b"\5\0\0\0\x19" + statement)
                error = UNKNOWN_STATEMENT
            case _:
                assert command(connection, b"\x1f")[0] == OK
                error = UNKNOWN_STATEMENT
        assert errno(command(connection, b"\x1c" + statement + b"\1\0\0\0")) == error
        assert ask(connection, "select 1").rows == ((1,),)


def test_statements_without_rows_open_none(stocked: Oracle) -> None:
    for connection in (stocked.vgate, stocked.plain):
        for text in ("insert into product.product (name) values ('x')", "update customer.customer set n = 5",
                     "insert into customer.customer (customer_id) values (50), (51)"):  # fmt: skip
            ask(connection, "use product")
            statement = prepare(connection, text)
            answer = command(connection, execution(statement))
            assert answer[0] == OK, (text, answer)
            assert errno(command(connection, b"\x1c" + statement + b"\1\0\0\0")) == NO_CURSOR


@pytest.mark.parametrize("text", ["select 1 + 1", "select last_insert_id()", "show variables like 'sql_mode'"])
def test_small_answers_can_be_fetched_or_come_at_once(stocked: Oracle, text: str) -> None:
    ask(stocked.vgate, "use product")
    statement = prepare(stocked.vgate, text)
    head = command(stocked.vgate, execution(statement))
    for _ in range(head[0]):
        receive(stocked.vgate)
    _, eof = receive(stocked.vgate)
    if int.from_bytes(eof[3:5], "little") & CURSOR_EXISTS:
        found, status = fetch(stocked.vgate, statement, 5)
        assert status & LAST_ROW_SENT
    else:
        found, _ = rows(stocked.vgate)
    assert len(found) == 1


@pytest.mark.parametrize("what", ["product", "all shards"])
def test_an_error_on_execution_and_a_lost_server_connection(stocked: Oracle, what: str) -> None:
    connection = stocked.vgate
    statement = prepare(connection, "select (select 1 union select 2) from " + TABLES[what].split("from ")[1])
    answer = command(connection, execution(statement, 0))
    while answer[0] != ERR:  # a server may notice when it has described the rows
        answer = receive(connection)[1]
    assert errno(answer) == 1242
    assert errno(command(connection, b"\x1c" + statement + b"\1\0\0\0")) == NO_CURSOR
    statement = prepare(connection, TABLES[what])
    open_cursor(connection, statement, 0)
    for server in {id(one): one for one in stocked.cluster.shards.values()}.values():
        for (number,) in server.query(
            "select id from information_schema.processlist where id <> connection_id() and db is not null"
        ):
            server.query(f"kill {number}")
    assert errno(command(connection, b"\x1c" + statement + b"\1\0\0\0")) == LOST
    assert errno(command(connection, b"\x1c" + statement + b"\1\0\0\0")) == NO_CURSOR
    assert len(ask(connection, "select * from product.product").rows) == 3


@pytest.mark.parametrize("short", [b"", b"\1\0\0"])
def test_a_fetch_that_cannot_be_read(stocked: Oracle, short: bytes) -> None:
    statement = prepare(stocked.vgate, TABLES["product"])
    open_cursor(stocked.vgate, statement, 0)
    assert errno(command(stocked.vgate, b"\x1c" + statement + short)) == MALFORMED
    assert len(fetch(stocked.vgate, statement, 5)[0]) == 3


def test_many_rows_in_pieces(stocked: Oracle) -> None:
    """More rows than packet numbers, from two shards."""
    text = "select n, a.x from customer.customer, (" + " union all ".join(
        f"select {number} as x" for number in range(200)
    ) + ") a where customer_id > ?"
    statement = prepare(stocked.vgate, text)
    open_cursor(stocked.vgate, statement, 0)
    with closing(stocked.process.connect("product")) as other:
        found: list[bytes] = []
        status = 0
        while not status & LAST_ROW_SENT:
            more, status = fetch(stocked.vgate, statement, 301)
            found += more
            assert ask(other, "select 1").rows == ((1,),)
    assert len(set(found)) == 800
