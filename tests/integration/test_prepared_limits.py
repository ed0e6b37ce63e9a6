"""Prepared statements at their limits: as many parameters as the protocol counts, and tables that change meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import REPOSITORY, Cluster
from tests.fix_vgate import StartVgate
from tests.integration.asking import Connection
from tests.integration.packets import OK, command, errno, receive, result
from tests.integration.raw import Raw
from tests.integration.test_cursors import execution, prepare

TOO_MANY = 1390
MOST = 65_535


def many(connection: Connection, table: str) -> tuple[list[bytes], list[bytes]]:
    """The rows that MOST parameters find: with their types, and once more without."""
    answer = command(connection, b"\x16select n from " + table.encode() + b" in (" + b",".join([b"?"] * MOST) + b")")
    assert answer[0] == OK, answer
    for _ in range(MOST + 1 + 2):
        receive(connection)
    head = b"\x17" + answer[1:5] + b"\0\1\0\0\0" + b"\0" * ((MOST + 7) // 8)
    values = (1).to_bytes(4, "little") * (MOST - 1)
    typed, _ = result(connection, head + b"\1" + b"\x03\0" * MOST + values + (2).to_bytes(4, "little"))
    again, _ = result(connection, head + b"\0" + values + (4).to_bytes(4, "little"))
    return sorted(typed), sorted(again)


@pytest.mark.parametrize("table", ["product.product where id", "customer.customer where customer_id"])
def test_as_many_parameters_as_can_be_counted(stocked: Oracle, table: str) -> None:
    assert many(stocked.vgate, table) == many(stocked.plain, table)
    text = b"\x16select 1 in (" + b",".join([b"?"] * (MOST + 1)) + b")"
    for connection in (stocked.vgate, stocked.plain):
        assert errno(command(connection, text)) == TOO_MANY
        assert ask(connection, "select 1").rows == ((1,),)


@pytest.mark.parametrize("table", ["product.product", "customer.customer"])
def test_a_table_that_changes(stocked: Oracle, table: str) -> None:
    found: list[list[bytes]] = []
    for connection in (stocked.vgate, stocked.plain):
        statement = prepare(connection, f"select * from {table}")
        before, _ = result(connection, execution(statement, flags=0))
        ask(connection, f"alter table {table} add column more int default 77")
        after, _ = result(connection, execution(statement, flags=0))
        assert len(after[0]) > len(before[0])
        found.append(sorted(after))
    assert found[0] == found[1]
    with closing(stocked.process.connect("product")) as other:
        ask(other, f"alter table {table} drop column more")
    assert len(result(stocked.vgate, execution(statement_of(stocked.vgate, table), flags=0))[0]) in (3, 4)


def statement_of(connection: Connection, table: str) -> bytes:
    return prepare(connection, f"select * from {table} where 1 = 1")


MOST_BYTES = 4 << 20


@pytest.fixture
def narrow(fresh: Cluster, start_vgate: StartVgate) -> Iterator[Oracle]:
    """Servers that take packets of 4 MB."""
    [[before]] = fresh.plain.query("select @@global.max_allowed_packet")
    for server in fresh.servers:
        server.query(f"set global max_allowed_packet = {MOST_BYTES}")
    try:
        process = start_vgate((REPOSITORY / "vschema.yaml").read_text())
        with closing(process.connect("customer")) as mine, closing(fresh.plain.connect("customer")) as theirs:
            yield Oracle(mine, theirs, fresh, process)
    finally:
        for server in fresh.servers:
            server.query(f"set global max_allowed_packet = {before}")


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES"])
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_a_value_of_nearly_a_packet(narrow: Oracle, charset: str, mode: str) -> None:
    """One server takes what fits into a packet with its statement; vgate sends it as text, which is hardly longer."""
    narrow.both("create table customer (customer_id bigint primary key, b longblob)")
    narrow.both(f"set names {charset}")
    narrow.both(f"set sql_mode = '{mode}'", ignore=["warnings"])
    everything = bytes(range(256)) + b"\\'\xc3'\xe2\\" * 5
    for value in (everything * 8, everything[:9] * 200, random.Random(7).randbytes(MOST_BYTES * 9 // 10)):
        written = b"\xfd" + len(value).to_bytes(3, "little") + value
        for connection in (narrow.vgate, narrow.plain):
            statement = prepare(connection, "replace into customer (customer_id, b) values (1, ?), (4, 'x')")
            payload = b"\x17" + statement + b"\0\1\0\0\0" + b"\0" + b"\1" + b"\xfc\0" + written
            answer = Raw(connection).ask(payload)
            assert answer[4] == OK, answer
        narrow.both("select customer_id, length(b), md5(b) from customer")
