"""``BackendConnection.ask``: the usual answer is told in one call, any other as ``relay`` tells it, and a loss once."""

from __future__ import annotations

from typing import Any, cast

import pytest

from vgate.backend.connection import BackendConnection
from vgate.errors import SqlError, VgateError
from vgate.wire.packets import bigint_column, err_payload, frame, result_set
from vgate.wire.response import Response


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


class Asking:
    """A sink that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.data = b""

    def received(self, data: bytes, response: Response) -> None:
        self.data += data
        self.heard.append("received")

    def answered(self, data: bytes, connection: BackendConnection) -> None:
        assert connection.sink is None
        self.data += data
        self.heard.append("answered")

    def finished(self, connection: BackendConnection) -> None:
        self.heard.append(f"finished {connection.response.status}")

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        self.heard.append("lost")


COLUMN = [bigint_column(b"a")]
ANSWER = result_set(COLUMN, [[b"1"]], status=2)[0]
HEAD = result_set(COLUMN, [], status=2)[0][:-9]


@pytest.fixture
def connection() -> BackendConnection:
    return BackendConnection(cast(Any, Transport()), "one", 1, None)


def ask(connection: BackendConnection, head: bytes = HEAD, in_transaction: int = 0) -> Asking:
    sink = Asking()
    connection.ask(b"command", sink, head, in_transaction)
    return sink


def test_the_usual_answer(connection: BackendConnection) -> None:
    for _ in range(2):
        sink = ask(connection)
        connection.data_received(ANSWER)
        assert (sink.heard, sink.data) == (["answered"], ANSWER)
    assert connection.usable
    assert cast(Any, connection.transport).written == b"command" * 2


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (result_set(COLUMN, [], status=2)[0], 2), (result_set(COLUMN, [[b"1"], [b"2"]], status=2)[0], 2),
        (result_set(COLUMN, [[b"1"]], status=3)[0], 3), (result_set([bigint_column(b"b")], [[b"1"]], status=2)[0], 2),
        (frame(err_payload(1062, "23000", "dup"), 1), 0),
    ],
)  # fmt: skip
def test_other_answers(connection: BackendConnection, answer: bytes, status: int) -> None:
    sink = ask(connection)
    connection.data_received(answer)
    assert (sink.heard, sink.data) == (["received", f"finished {status}"], answer)
    sink = ask(connection)
    connection.data_received(ANSWER)
    assert sink.heard == ["answered"]


def test_a_first_answer_teaches_its_head(connection: BackendConnection) -> None:
    sink = ask(connection, b"")
    connection.data_received(ANSWER)
    assert sink.heard == ["received", "finished 2"]
    assert connection.response.head == HEAD


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_in_two_pieces(connection: BackendConnection, cut: int) -> None:
    sink = ask(connection)
    connection.data_received(ANSWER[:cut])
    connection.data_received(ANSWER[cut:])
    assert (sink.heard[-1], sink.data) == ("finished 2", ANSWER)
    assert set(sink.heard[:-1]) == {"received"}


def test_more_than_the_answer_ends_the_connection(connection: BackendConnection) -> None:
    sink = ask(connection)
    connection.data_received(ANSWER + ANSWER)
    assert sink.heard == ["lost"]
    assert not connection.usable


def test_what_comes_after_the_end_is_not_told(connection: BackendConnection) -> None:
    sink = ask(connection)
    connection.close()
    connection.data_received(ANSWER)
    assert sink.heard == ["lost"]
    with pytest.raises(SqlError):
        ask(connection)


def test_one_command_at_a_time(connection: BackendConnection) -> None:
    ask(connection)
    with pytest.raises(RuntimeError, match="cannot take a command"):
        ask(connection)
