"""Clients that compress: mysql-connector-python, the ``mysql`` programs that are there, and packets by hand."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle
from tests.fix_servers import REPOSITORY
from tests.fix_vgate import PASSWORD, USER
from tests.unit.frontend.raw_client import native_answer, response
from vgate.frontend.compression import packed
from vgate.frontend.greeting import OFFERED
from vgate.wire.packets import frame


@pytest.fixture
def driver(stocked: Oracle) -> Iterator[Any]:
    """A connection of mysql-connector-python that compresses."""
    connection = mysql.connector.connect(
        host=stocked.process.host, port=stocked.process.port, user=USER, password=PASSWORD, database="customer",
        autocommit=True, use_pure=True, charset="utf8mb4", collation="utf8mb4_general_ci", compress=True,
        allow_local_infile=True,
    )  # fmt: skip
    yield connection
    connection.close()


def ask(connection: Any, sql: str) -> list[Any]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.with_rows else [cursor.rowcount]


def test_a_driver(driver: Any) -> None:
    assert sorted(ask(driver, "select customer_id, uname from customer")) == [
        (1, "one"), (2, "two"), (4, "four"), (6, "six")
    ]  # fmt: skip
    assert ask(driver, "update customer set n = n + 1") == [4]
    assert ask(driver, f"select '{'x' * 1_000_000}' = repeat('x', 1000000)") == [(1,)]
    assert len(ask(driver, "select repeat('yz', 5000000)")[0][0]) == 10_000_000
    noise = os.urandom(300_000).hex()
    assert ask(driver, f"select '{noise}'") == [(noise,)]
    with closing(driver.cursor(prepared=True)) as cursor:
        cursor.execute("select uname from customer where customer_id = %s", (2,))
        assert cursor.fetchall() == [("two",)]
    with pytest.raises(mysql.connector.Error):
        ask(driver, "select nosuch from customer")
    driver.ping()


def programs() -> list[str]:
    found = [shutil.which("mariadb"), str(REPOSITORY / ".mysql9" / "bin" / "mysql")]
    return [name for name in found if name is not None and Path(name).exists()]


@pytest.mark.parametrize("program", programs())
def test_a_program(stocked: Oracle, program: str, tmp_path: Path) -> None:
    for server in stocked.cluster.servers:
        server.query("set global local_infile = 1")
    (tmp_path / "file").write_bytes(b"".join(b"%d\tname\t%d\n" % (number, number) for number in range(100, 5000)))
    sql = (
        f"load data local infile '{tmp_path / 'file'}' into table product (id, name, n);"
        " select count(*), length(repeat('x', 200000)) from product;"
        " select count(*) from customer.customer where customer_id = 1"
    )
    done = subprocess.run(
        [program, f"-h{stocked.process.host}", f"-P{stocked.process.port}", f"-u{USER}", "--compress", "-N",
         "--local-infile=1", "product", "-e", sql],
        env={**os.environ, "MYSQL_PWD": PASSWORD}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["4903", "200000", "1"], done.stderr


class Raw:
    """A socket that has logged in with compression."""

    def __init__(self, oracle: Oracle) -> None:
        self.socket = socket.create_connection((oracle.process.host, oracle.process.port), timeout=20)
        greeting = self._plain()
        at = greeting.index(b"\0") + 1
        scramble = greeting[at + 4 : at + 12] + greeting[at + 31 : at + 43]
        self.socket.sendall(frame(response(USER, native_answer(PASSWORD, scramble), flags=OFFERED), 1))
        answer = self._plain()
        if answer[0] == 0xFE:
            scramble = answer.split(b"\0", 1)[1].removesuffix(b"\0")
            self.socket.sendall(frame(native_answer(PASSWORD, scramble), 3))
            answer = self._plain()
        assert answer[0] == 0, answer

    def _plain(self) -> bytes:
        header = self.exactly(4)
        return self.exactly(int.from_bytes(header[:3], "little"))

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "closed"
            data += more
        return data

    def packet(self) -> tuple[int, bytes]:
        """The next compressed packet: its number, and what is in it."""
        header = self.exactly(7)
        data = self.exactly(int.from_bytes(header[:3], "little"))
        return header[3], zlib.decompress(data) if any(header[4:]) else data


@pytest.fixture
def one_raw(stocked: Oracle) -> Iterator[Raw]:
    """One, closed in the end."""
    raw = Raw(stocked)
    yield raw
    raw.socket.close()


def test_packets_split_and_joined_in_every_way(one_raw: Raw) -> None:
    raw = one_raw
    ping, query = frame(b"\x0e"), frame(b"\x03select 'abc' /*" + b"x" * 100 + b"*/")
    raw.socket.sendall(packed(ping, 0))
    assert raw.packet() == (1, b"\x07\0\0\1\0\0\0\2\0\0\0")
    for at in (1, 3, 4, 5, 60):
        raw.socket.sendall(packed(query[:at], 0) + packed(query[at:], 1))
        number, answer = raw.packet()
        assert number == 2
        assert b"\x03abc" in answer
    for byte in packed(query, 0):
        raw.socket.sendall(bytes([byte]))
    assert b"\x03abc" in raw.packet()[1]


@pytest.mark.parametrize("broken", [b"\x05\0\0\0\x09\0\0xxxxx", b"\x05\0\0\0\0\0\0xxxxx"[:7] + b"\x01\0\0\7\x0e"])
def test_what_cannot_be_unpacked_ends_this_connection_alone(one_raw: Raw, stocked: Oracle, broken: bytes) -> None:
    raw = one_raw
    raw.socket.sendall(broken)
    _, answer = raw.packet()
    assert answer[4] == 0xFF
    assert int.from_bytes(answer[5:7], "little") == 1156
    assert raw.socket.recv(1) == b""
    assert stocked.process.query("select 1") == ((1,),)
