"""Every byte that may begin a command, and is none of those that vgate answers: the error of one server, and whether
the connection stays, in each state of a session.

Commands that vgate answers are left out, as what they say of a packet cut off is theirs to test. The plain server is
asked by a user who has as few privileges as a client of vgate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import WITHIN, Connection
from tests.integration.raw import framed
from vgate.sql.versioned import Flavour

QUIT, INIT_DB, QUERY, FIELD_LIST, CHANGE_USER, EXECUTE, LONG_DATA, CLOSE, RESET, SET_OPTION, FETCH = (
    0x01, 0x02, 0x03, 0x04, 0x11, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C,
)  # fmt: skip
TESTED_ELSEWHERE = {QUIT, INIT_DB, QUERY, FIELD_LIST, CHANGE_USER, EXECUTE, LONG_DATA, CLOSE, RESET, SET_OPTION, FETCH,
                    0x0C}  # fmt: skip
COMMANDS = [bytes([byte]) + tail for byte in range(256) if byte not in TESTED_ELSEWHERE
            for tail in (b"", b"\1\0\0\0\0", b"\1\0\0\0\0\0", bytes(12))]  # fmt: skip
STATES = {
    "fresh": [], "in a transaction": ["begin", "select 1"], "tied": ["create temporary table tied (a int)"],
    "prepared": ["prepare s from 'select 1'"],
}  # fmt: skip
PING = b"\x0e"


@pytest.fixture
def sides(pair: Oracle) -> Iterator[tuple[Callable[[], Connection], Callable[[], Connection]]]:
    """How to connect to vgate and to the plain server, with hardly any privilege."""
    plain = pair.cluster.plain
    plain.query("create user few@'%' identified by 'privileges'")
    plain.query("grant select, create temporary tables on product.* to few@'%'")
    yield (
        lambda: pair.process.connect("product", ssl_disabled=True),
        lambda: type(plain)(plain.name, plain.host, plain.port, "few", "privileges", plain.flavour, plain.version)
        .connect("product", ssl_disabled=True),
    )  # fmt: skip
    plain.query("drop user few@'%'")


def told(connection: Connection, payload: bytes) -> tuple[object, bool]:
    """The error's number, or the kind of any other answer, and whether a PING is answered after it."""
    socket = connection._sock
    socket.settimeout(WITHIN)
    socket.sendall(framed(payload))
    answer = socket.recv(1 << 16)
    said = int.from_bytes(answer[5:7], "little") if answer[4] == 0xFF else "an answer"
    try:
        socket.sendall(framed(PING))
        return said, socket.recv(1 << 16)[4:5] == b"\0"
    except OSError:
        return said, False


@pytest.mark.parametrize("state", STATES)
def test_every_byte(sides: tuple[Callable[[], Connection], Callable[[], Connection]], state: str) -> None:
    found: list[list[tuple[bytes, object, bool]]] = []
    for connect in sides:
        answers = []
        connection = None
        for payload in COMMANDS:
            if connection is None:
                connection = connect()
                for statement in STATES[state]:
                    assert ask(connection, statement).error is None
            said, stays = told(connection, payload)
            answers.append((payload, said, stays))
            if not stays or payload[0] in (0x16, 0x1F):
                connection._force_close()
                connection = None
        found.append(answers)
        if connection is not None:
            connection._force_close()
    differ = [(mine, theirs) for mine, theirs in zip(*found, strict=True) if mine != theirs]
    assert not differ, differ


def test_the_process_list_as_a_command(pair: Oracle) -> None:
    with closing(pair.process.connect("product", ssl_disabled=True)) as connection:
        connection._execute_command(0x0A, "")
        if pair.cluster.flavour is Flavour.MYSQL:
            with pytest.raises(Exception, match="Unknown command"):
                connection._read_query_result()
            return
        connection._read_query_result()
        result = connection._result
        assert result is not None
        assert [row[1] for row in result.rows if row[0] == connection.thread_id()] == ["tester"]
