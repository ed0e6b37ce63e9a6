"""Answers on their way back: of one shard and of several, in any pieces, ended by a server or by its loss.

The connections are real ones over transports that only remember; what the client gets is compared with the packets
that one server would have sent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.backend.connection import BackendConnection, packets_of
from vgate.engine.call import Call
from vgate.engine.output import AnswerCut, Output
from vgate.engine.scatter import AHEAD, run_scatter
from vgate.errors import BACKEND_LOST, ServerError, VgateError
from vgate.session.login import Login
from vgate.session.session import Session
from vgate.sql.lexer import LexMode
from vgate.transactions.scope import Place, Scope
from vgate.wire.constants import MAX_PAYLOAD
from vgate.wire.packets import Ok, bigint_column, eof_payload, err_payload, frame, result_set

COLUMNS = [bigint_column(b"a"), bigint_column(b"b")]
Rows = list[list[bytes | None]]


class FakeTransport(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def write(self, data: object) -> None:
        """Nobody reads what is asked."""

    def abort(self) -> None:
        self.reading = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class FakeClient:
    """The client's side: what it was sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.room = asyncio.Event()
        self.room.set()

    def write(self, data: bytes) -> None:
        self.sent += data

    def attach(self, connection: BackendConnection) -> None:
        """Nothing is held back here."""

    def attach_all(self, connections: Sequence[BackendConnection]) -> None:
        """Nobody is killed here."""

    def detach(self) -> None:
        """Nor let go."""

    async def drained(self) -> None:
        await self.room.wait()

    def abort(self) -> None:
        raise AssertionError("that is decided elsewhere")


class FakeScope:
    """One connection for each shard, out of no pool."""

    def __init__(self, shards: int) -> None:
        self.connections = [BackendConnection(FakeTransport(), f"ks/{index}", index, None) for index in range(shards)]
        self.returned: list[BackendConnection] = []
        self.transactional = False
        self.begun: set[Place] = set()
        servers = SimpleNamespace(renamed=False, neighbours={}, private=defaultdict(frozenset))
        self.cluster = SimpleNamespace(keyspaces={"ks": servers})
        self.session = Session(Login(1, "u"))

    async def take_all(self, places: list[Place], *, peeks: object = None) -> dict[Place, BackendConnection]:
        return {place: self.connections[place[1]] for place in places}

    def give_back(self, place: Place, connection: BackendConnection) -> None:
        self.returned.append(connection)


async def turns(count: int = 3) -> None:
    """Let everybody run who can."""
    for _ in range(count):
        await asyncio.sleep(0)


class Scatter:
    """A read under way on several shards."""

    def __init__(self, shards: int) -> None:
        self.scope = FakeScope(shards)
        self.client = FakeClient()
        self.out = Output(cast(Any, self.client), self.scope.session)
        call = Call(b"select 1", [], LexMode(), self.scope.session, cast(Scope, self.scope), self.out)
        self.task = asyncio.ensure_future(run_scatter(call, [("ks", index) for index in range(shards)], call.text))

    def __getitem__(self, shard: int) -> BackendConnection:
        return self.scope.connections[shard]

    async def ended(self) -> BaseException | None:
        await asyncio.wait([self.task])
        assert self.scope.returned == self.scope.connections
        return self.task.exception()


def result(rows: Rows, last: bytes | None = None) -> bytes:
    """What a server answers; with ``last`` instead of the final EOF, under the number that it has."""
    data, after = result_set(COLUMNS, rows, status=2)
    return data if last is None else data[:-9] + frame(last, after - 1)


CELL = st.one_of(st.none(), st.binary(max_size=5), st.just(b"x" * 300))
ROWS = st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=6)
CUTS = st.lists(st.integers(0, 3000), max_size=4)


@given(st.lists(st.tuples(ROWS, st.integers(1, 120), CUTS), min_size=1, max_size=3), st.randoms())
def test_rows_of_several_shards_are_one_result(shards: list[tuple[Rows, int, list[int]]], chance: Any) -> None:
    """Whatever the pieces, and in whatever order the shards answer."""

    async def run() -> bytes:
        scatter = Scatter(len(shards))
        await turns()
        waiting = [pieces(result(rows * times), cuts) for rows, times, cuts in shards]
        while any(waiting):
            shard = chance.choice([index for index, left in enumerate(waiting) if left])
            scatter[shard].data_received(waiting[shard].pop(0))
            await turns(chance.randint(0, 2))
        assert await scatter.ended() is None
        return scatter.client.sent

    expected: Rows = [row for rows, times, _ in shards for row in rows * times]
    assert asyncio.run(run()) == result(expected)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` cut at those places, without empty pieces."""
    places = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


async def test_a_row_of_several_packets_passes_through() -> None:
    rows: Rows = [[b"x" * (MAX_PAYLOAD - 5 + more), b""] for more in range(3)]
    scatter = Scatter(2)
    await turns()
    for shard in (1, 0):
        for piece in pieces(result(rows), [MAX_PAYLOAD, MAX_PAYLOAD + 9, 2 * MAX_PAYLOAD + 3]):
            scatter[shard].data_received(piece)
            await turns()
    assert await scatter.ended() is None
    assert scatter.client.sent == result(rows * 2)


async def test_a_shard_whose_turn_has_not_come_is_held_back_and_heard_again() -> None:
    many: Rows = [[b"x" * 1000, b""]] * 1500
    data = result(many)
    scatter = Scatter(2)
    await turns()
    scatter[1].data_received(data[: AHEAD + 500])
    assert not cast(FakeTransport, scatter[1].transport).reading
    scatter[0].data_received(result([]))
    await turns()
    assert cast(FakeTransport, scatter[1].transport).reading
    scatter[1].data_received(data[AHEAD + 500 :])
    assert await scatter.ended() is None
    assert scatter.client.sent == data


async def test_a_slow_client_holds_a_shard_back() -> None:
    data = result([[b"x" * 1000, b""]] * 3000)
    scatter = Scatter(1)
    await turns()
    scatter.client.room.clear()
    scatter[0].data_received(data[:1000])
    await turns()
    scatter[0].data_received(data[1000 : 1500 + AHEAD])
    assert not cast(FakeTransport, scatter[0].transport).reading
    scatter.client.room.set()
    await turns()
    assert cast(FakeTransport, scatter[0].transport).reading
    scatter[0].data_received(data[1500 + AHEAD :])
    assert await scatter.ended() is None
    assert scatter.client.sent == data


@pytest.mark.parametrize("shard", [0, 1])
@pytest.mark.parametrize("rows", [0, 1, 300])
async def test_an_error_after_rows_ends_the_answer(shard: int, rows: int) -> None:
    error = err_payload(1317, "70100", "Query execution was interrupted")
    row: Rows = [[b"1", b"2"]]
    scatter = Scatter(2)
    await turns()
    for index in range(2):
        scatter[index].data_received(result(row * rows, error if index == shard else None))
    await turns()
    if scatter[shard].sink is not None:
        scatter[shard].data_received(result([]))  # its SHOW WARNINGS
    raised = await scatter.ended()
    assert isinstance(raised, ServerError)
    assert raised.errno == 1317
    scatter.out.error(raised)
    assert scatter.client.sent == result(row * rows * (shard + 1), error)


async def test_an_error_instead_of_a_result() -> None:
    scatter = Scatter(2)
    await turns()
    scatter[0].data_received(frame(err_payload(1146, "42S02", "no such table"), 1))
    await turns()
    scatter[0].data_received(result([]))
    raised = await scatter.ended()
    assert isinstance(raised, ServerError)
    assert scatter.client.sent == b""
    assert scatter.out.sequence == 1
    assert not scatter[1].usable  # half an answer is nobody's


@pytest.mark.parametrize("shard", [0, 1])
@pytest.mark.parametrize("rows", [0, 1, 300])
async def test_a_shard_that_is_lost_between_rows_ends_the_answer_with_that_error(shard: int, rows: int) -> None:
    row: Rows = [[b"1", b"2"]]
    scatter = Scatter(2)
    await turns()
    for index in range(2):
        data = result(row * rows)
        scatter[index].data_received(data if index != shard else data[:-9])
        await turns()
    scatter[shard].connection_lost(None)
    raised = await scatter.ended()
    assert isinstance(raised, VgateError)
    assert raised.fault is BACKEND_LOST
    scatter.out.error(raised)
    lost = err_payload(raised.errno, raised.sqlstate, raised.message)
    assert scatter.client.sent == result(row * rows * (shard + 1), lost)


@pytest.mark.parametrize("shard", [0, 1])
async def test_a_shard_that_is_lost_inside_a_row_leaves_nothing_true_to_say(shard: int) -> None:
    data = result([[b"1", b"x" * 300]] * 9)
    scatter = Scatter(2)
    await turns()
    for index in range(2):
        scatter[index].data_received(data if index != shard else data[:-100])
        await turns()
    scatter[shard].connection_lost(None)
    assert isinstance(await scatter.ended(), AnswerCut)


async def test_a_second_shard_that_is_lost_before_its_rows_is_an_error() -> None:
    """Even inside its description, of which the client gets nothing."""
    data = result([[b"1", b"2"]])
    scatter = Scatter(2)
    await turns()
    scatter[0].data_received(data)
    scatter[1].data_received(data[:20])
    await turns()
    scatter[1].connection_lost(None)
    raised = await scatter.ended()
    assert isinstance(raised, VgateError)
    assert scatter.client.sent == data[:-9]
    assert scatter.out.sequence == data[-6]


# -- one shard ----------------------------------------------------------------------------------------------------


class Single:
    """The answer of one shard under way."""

    def __init__(self, *, sequence: int = 1, more: bool = False, edit_ok: Callable[[Ok], Ok] | None = None) -> None:
        self.connection = BackendConnection(FakeTransport(), "ks/-", 1, None)
        self.client = FakeClient()
        self.out = Output(cast(Any, self.client), Session(Login(1, "u")))
        self.out.sequence, self.out.more = sequence, more
        self.task = asyncio.ensure_future(self.out.relay(self.connection, frame(b"\3select 1"), edit_ok))


@pytest.mark.parametrize("sequence", [1, 200])
@pytest.mark.parametrize("cut", [9, 9 + 302])
async def test_a_relayed_answer_that_breaks_off_between_rows_ends_with_that_error(sequence: int, cut: int) -> None:
    data = result([[b"1", b"x" * 293]] * 3)
    assert len(packets_of(data[:-cut])) == (7 if cut == 9 else 6)
    single = Single(sequence=sequence)
    await turns()
    single.connection.data_received(data[:70])
    single.connection.data_received(data[70:-cut])
    single.connection.connection_lost(None)
    response = await single.task
    assert response.error is not None
    assert response.error[1:3] == (2013).to_bytes(2, "little")
    packets = packets_of(single.client.sent)
    assert packets[:-1] == packets_of(data[:-cut])
    assert packets[-1] == response.error
    assert single.client.sent.endswith(frame(response.error, sequence + len(packets) - 1))


@pytest.mark.parametrize("end", [9 + 1, 9 + 100, 9 + 297])
async def test_a_relayed_answer_that_breaks_off_inside_a_row_is_cut(end: int) -> None:
    single = Single()
    await turns()
    single.connection.data_received(result([[b"1", b"x" * 293]] * 3)[:-end])
    single.connection.connection_lost(None)
    with pytest.raises(AnswerCut):
        await single.task


@pytest.mark.parametrize("end", [3, 8, 9 + 299])
async def test_a_header_of_which_nothing_was_passed_on_does_not_matter(end: int) -> None:
    single = Single()
    await turns()
    single.connection.data_received(result([[b"1", b"x" * 293]] * 3)[:-end])
    single.connection.connection_lost(None)
    error = (await single.task).error
    assert error is not None
    assert packets_of(single.client.sent)[-1] == error


async def test_a_relayed_answer_that_breaks_off_behind_a_full_packet_is_cut() -> None:
    """The row goes on in the next packet, which an ERR must not be taken for."""
    data = result([[b"x" * MAX_PAYLOAD, b""]])
    single = Single()
    await turns()
    start = data.index(b"\xff\xff\xff\x05")
    single.connection.data_received(data[: start + 4 + MAX_PAYLOAD])
    single.connection.connection_lost(None)
    with pytest.raises(AnswerCut):
        await single.task


async def test_an_answer_of_which_nothing_was_passed_on_raises() -> None:
    single = Single()
    await turns()
    single.connection.data_received(b"\1\0\0")
    single.connection.connection_lost(None)
    with pytest.raises(VgateError) as raised:
        await single.task
    assert raised.value.fault is BACKEND_LOST
    assert single.client.sent == b""


async def test_an_answer_that_more_follow_says_so_and_is_otherwise_untouched() -> None:
    """Flags are set in EOF packets, and nowhere in a row that comes in many pieces."""
    data = result([[b"y" * 100_000, b"2"]])
    single = Single(sequence=250, more=True)
    await turns()
    for at in range(0, len(data), 1000):
        single.connection.data_received(data[at : at + 1000])
    await single.task
    expected = packets_of(data)
    expected[3] = expected[5] = eof_payload(2 | 8)
    assert packets_of(single.client.sent) == expected
    assert single.out.sequence == (250 + len(expected)) & 0xFF
