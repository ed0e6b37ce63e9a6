"""A server that asks for a file which nobody has: it gets an empty one, and whoever asked an error."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.unit.backend.test_ask import Asking, Transport
from vgate.backend.connection import BackendConnection, Collector
from vgate.errors import LOCAL_DISABLED, SqlError
from vgate.wire.constants import Status
from vgate.wire.packets import Ok, bigint_column, err_payload, frame, result_set

WISH = frame(b"\xfbname", 1)
LOADED = frame(Ok(0, 0, 2, 0, b"Records: 0").payload(), 3)
FIRST = result_set([bigint_column(b"a")], [[b"1"]], status=2 | Status.MORE_RESULTS)[0]


@pytest.fixture
def connection() -> BackendConnection:
    return BackendConnection(cast(Any, Transport()), "one", 1, None)


def pieces(connection: BackendConnection, data: bytes, size: int) -> None:
    for at in range(0, len(data), size):
        connection.data_received(data[at : at + size])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_it_gets_an_empty_one(connection: BackendConnection, size: int) -> None:
    sink = Asking()
    connection.relay(b"command", sink)
    pieces(connection, WISH, size)
    assert connection.transport.written == b"command" + frame(b"", 2)  # type: ignore[attr-defined]
    assert connection.sink is sink
    pieces(connection, LOADED, size)
    assert sink.heard == ["received", "finished 2"]
    assert sink.data[3] == 1, "the error stands where the wish was"
    assert b"VT12001" in sink.data
    assert connection.sink is None
    assert connection.usable


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_came_before_is_passed_on(connection: BackendConnection, size: int) -> None:
    sink = Asking()
    error = LOCAL_DISABLED()
    connection.relay(b"command", sink, no_file=error)
    pieces(connection, FIRST + frame(b"\xfbname", 6), size)
    pieces(connection, frame(Ok(status=2 | Status.MORE_RESULTS).payload(), 8) + frame(b"\xfbother", 9), size)
    pieces(connection, frame(Ok(status=3).payload(), 11), size)
    assert sink.data == FIRST + frame(err_payload(error.errno, error.sqlstate, error.message), 6)
    assert sink.heard[-1] == "finished 3"
    connection.relay(b"next", sink)
    connection.data_received(frame(Ok().payload(), 1))
    assert connection.response.error is None


def test_the_error_of_the_server_itself(connection: BackendConnection) -> None:
    sink = Asking()
    connection.relay(b"command", sink)
    connection.data_received(WISH)
    connection.data_received(frame(err_payload(1317, "70100", "stop"), 3))
    assert sink.data == frame(err_payload(1317, "70100", "stop"), 1)


def test_a_sink_that_is_ready_for_it(connection: BackendConnection) -> None:
    sink = Asking()
    connection.relay(b"command", sink, no_file=None)
    connection.data_received(WISH)
    assert sink.heard == ["finished 0"]
    assert connection.response.file == (b"name", 1)
    assert connection.transport.written == b"command"  # type: ignore[attr-defined]


def test_the_fast_path_is_not_ready(connection: BackendConnection) -> None:
    sink = Asking()
    connection.relay(b"first", sink, no_file=None)
    connection.data_received(frame(Ok(status=2).payload(), 1))
    connection.ask(b"command", sink, b"", 0)
    connection.data_received(WISH)
    connection.data_received(LOADED)
    assert b"VT12001" in sink.data


async def test_a_statement_of_our_own(connection: BackendConnection) -> None:
    collector = Collector()
    connection.relay(b"command", collector)
    connection.data_received(WISH)
    connection.data_received(LOADED)
    with pytest.raises(SqlError, match="LOAD DATA LOCAL"):
        await collector.answer
