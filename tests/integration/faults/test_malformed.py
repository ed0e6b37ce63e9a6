"""Packets that are none, in whatever state a session is: that connection may end, nobody else notices.

What vgate did not foresee it would log with a traceback, which ``nothing_is_left`` looks for; transactions and
connections that are left behind, too.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import Connection
from tests.integration.faults.state import alive
from tests.integration.raw import EXECUTE, LONG_DATA, PREPARE, QUERY, Raw, framed

INSERT = b"insert into customer (customer_id, uname, n) values (?, ?, ?)"
SELECT = b"select customer_id from customer where n > ?"
LOAD = b"load data local infile 'x' into table customer (customer_id, uname)"


def nothing(client: Connection) -> None:
    """As after the login."""


def in_transaction(client: Connection) -> None:
    ask(client, "begin")
    ask(client, "update customer set n = n + 100 where customer_id in (2, 6)")


def in_load(client: Connection) -> None:
    in_transaction(client)
    client._sock.sendall(framed(QUERY + LOAD))
    Raw(client)._bytes(6)


def with_cursor(client: Connection) -> None:
    number = Raw(client).ask(PREPARE + b"select customer_id from customer")[5:9]
    client._sock.sendall(framed(EXECUTE + number + b"\1\1\0\0\0"))


def with_long_data(client: Connection) -> None:
    number = Raw(client).ask(PREPARE + INSERT)[5:9]
    client._sock.sendall(framed(LONG_DATA + number + b"\1\0long"))


STATES = (nothing, in_transaction, in_load, with_cursor, with_long_data)

some = st.binary(max_size=40)
number = st.integers(0, 3).map(lambda one: one.to_bytes(4, "little"))
commands = st.one_of(
    some,
    st.builds(bytes.__add__, st.integers(0, 255).map(lambda one: bytes([one])), some),
    st.builds(lambda a, b: EXECUTE + a + b"\0\1\0\0\0" + b, number, some),
    st.builds(lambda a, b: EXECUTE + a + b"\1\1\0\0\0\0\1" + b, number, some),
    st.builds(lambda a, b, c: bytes([c]) + a + b, number, some, st.sampled_from([0x18, 0x19, 0x1A, 0x1C, 0x1B])),
    st.builds(lambda a: b"\x11tester\0" + a, some),
    st.builds(lambda a: b"\x11tester\0\0customer\0\x2d\0" + a, some),
    st.builds(lambda a: QUERY + a, some),
    st.sampled_from([QUERY + b"select 1", PREPARE + INSERT, PREPARE + SELECT, b"\x1f", b"\x0e", QUERY + b"do 1",
                     PREPARE + SELECT[:-1], QUERY, PREPARE, EXECUTE, LONG_DATA, b"\x19", b"\x1a", b"\x1c", b"\x11"]),
)  # fmt: skip
packets = st.one_of(
    commands.map(framed),
    st.builds(framed, commands, st.integers(0, 255)),
    st.builds(lambda a, size, one: size.to_bytes(3, "little") + bytes([one]) + a, commands, st.integers(0, 70),
              st.integers(0, 3)),
    st.binary(max_size=20),
    st.just(b"\xff\xff\xff\0" + b"x" * 100),
)  # fmt: skip


@pytest.mark.parametrize("count", [40, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_others_do_not_notice(
    stocked: Oracle, clients: Callable[[], Connection], state: Callable[[Connection], None], count: int
) -> None:
    other = clients()
    ask(other, "begin")
    assert ask(other, "update customer set n = n + 10 where customer_id in (1, 4)").affected == 2

    @settings(max_examples=count, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(packets, min_size=1, max_size=5))
    def search(sent: list[bytes]) -> None:
        client = stocked.process.connect("customer")
        state(client)
        with suppress(ConnectionError):
            client._sock.sendall(b"".join(sent))
            client._sock.shutdown(socket.SHUT_WR)
            client._sock.settimeout(10)
            while client._sock.recv(1 << 16):
                pass
        client._force_close()
        assert ask(other, "select n from customer where customer_id in (1, 4)").sorted().rows == ((11,), (14,))
        assert "Traceback" not in stocked.process.errors

    search()
    assert ask(other, "rollback").error is None
    assert alive(stocked.vgate)
    assert ask(stocked.vgate, "select n from customer where customer_id in (1, 2, 4, 6)").sorted().rows == (
        (1,), (2,), (4,), (6,)
    )  # fmt: skip
