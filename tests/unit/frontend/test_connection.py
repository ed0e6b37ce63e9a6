"""The command phase: commands in order and whole, slow clients, KILL, the end, and nothing executed after it.

Bytes are fed to the protocol by hand; the conversation is a fake that does what the text says. It is long, but
one thing: the tests of one state machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio

from tests.unit.frontend.fakes import FakeConversation, FakeGate, FakeTransport, FakeUpstream
from vgate.frontend import connection
from vgate.frontend.connection import BACKLOG, ClientConnection
from vgate.query.gate import Gate
from vgate.session.login import Login
from vgate.wire.constants import MAX_PAYLOAD, Capability
from vgate.wire.packets import Ok, frame

OK = frame(Ok().payload(), 1)
UNKNOWN = frame(b"\xff\x17\x04#08S01Unknown command", 1)
INTERRUPTED = frame(b"\xff\x25\x05#70100Query execution was interrupted", 1)
DISORDER = frame(b"\xff\x84\x04#08S01Got packets out of order", 1)
TOO_LARGE = frame(b"\xff\x81\x04#08S01Got a packet bigger than 'max_allowed_packet' bytes", 1)


def query(text: bytes) -> bytes:
    return frame(b"\x03" + text)


async def turns(count: int = 10) -> None:
    """Let every task that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


class Client:
    """A connection with its fakes."""

    def __init__(self, gate: FakeGate) -> None:
        self.gate = gate
        self.transport = FakeTransport()
        self.lost = 0
        login = Login(7, "tester", capabilities=Capability.MULTI_STATEMENTS)
        loop = asyncio.get_running_loop()
        self.protocol = ClientConnection(cast(Gate, gate), login, loop, self._lost)
        self.protocol.open(self.transport)
        self.conversation = gate.conversations[-1]

    def _lost(self, client: ClientConnection) -> None:
        assert client is self.protocol
        self.lost += 1

    def send(self, data: bytes, pieces: int = 1 << 30) -> None:
        """Bytes arrive, as long as they are read."""
        for at in range(0, len(data), pieces):
            assert self.transport.reading, "nobody would read this"
            self.protocol.data_received(data[at : at + pieces])

    async def said(self, data: bytes) -> bytes:
        """Send, and give what was answered."""
        self.send(data)
        await turns()
        return self.transport.take()

    async def drop(self) -> None:
        """The connection is lost."""
        self.protocol.connection_lost(None)
        await self.gate.settled()


@pytest_asyncio.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(connection, "Conversation", FakeConversation)
    made = Client(FakeGate())
    yield made
    if not made.lost:
        await made.drop()


# -- commands -----------------------------------------------------------------------------------------------------


async def test_commands_in_one_segment_are_answered_in_order(client: Client) -> None:
    assert await client.said(query(b"a") + frame(b"\x0e") + query(b"b")) == OK * 3
    assert client.conversation.ran == [b"a", b"b"]


async def test_what_is_answered_at_once_holds_nobody_back(client: Client) -> None:
    assert await client.said(query(b"a") + query(b"value") * 2 + query(b"fast") + query(b"value")) == OK * 3
    client.conversation.finish(OK)
    await turns()
    assert client.transport.take() == OK * 2
    assert client.conversation.ran == [b"a", b"value", b"value", b"fast", b"value"]


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 8])
async def test_commands_in_pieces(client: Client, pieces: int) -> None:
    client.send(query(b"a") + frame(b"\x0e") + query(b"bcd"), pieces)
    await turns()
    assert client.transport.take() == OK * 3
    assert client.conversation.ran == [b"a", b"bcd"]


async def test_one_command_at_a_time(client: Client) -> None:
    assert await client.said(query(b"wait") + query(b"b")) == b""
    assert client.conversation.ran == [b"wait"]
    client.conversation.release.set()
    await turns()
    assert client.transport.take() == OK * 2


@pytest.mark.parametrize("usual", [False, True])
@pytest.mark.parametrize("command", [0x03, 0x17])
async def test_a_fast_command_holds_the_next_back(client: Client, command: int, usual: bool) -> None:
    fast = frame(bytes([command]) + b"fast")
    assert await client.said(fast) == b""
    client.conversation.finish(OK, usual=usual)
    assert client.transport.take() == OK
    assert await client.said(fast + query(b"b")) == b""
    client.conversation.finish(OK, usual=usual)
    await turns()
    assert client.transport.take() == OK * 2
    assert client.conversation.ran == [b"fast", b"fast", b"b"]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"\x0e", OK),
        (b"\x02customer", OK),
        (b"\x1f", OK),
        (b"\x04table\0", OK),
        (b"\x0c\x07\0\0\0", OK),
        (b"\x09", frame(b"Threads: 1", 1)),
        (b"\x1b\x01\x00", frame(b"\xfe\0\0\x02\0", 1)),
        (b"\x1b\x02\x00", UNKNOWN),
        (b"\x16select next value", OK),
        (b"\x17\x01\0\0\0", OK),
        (b"\x1a\x01\0\0\0", OK),
        (b"\x1c\x01\0\0\0\x01\0\0\0", OK),
        (b"\x19\x01\0\0\0", b""),
        (b"\x18\x01\0\0\0", b""),
        (b"\x11root\0", UNKNOWN),
        (b"\xfa", UNKNOWN),
    ],
)
async def test_every_command(client: Client, command: bytes, answer: bytes) -> None:
    assert await client.said(frame(command)) == answer
    assert await client.said(frame(b"\x0e")) == OK


async def test_multi_statements_can_be_switched_off(client: Client) -> None:
    await client.said(frame(b"\x1b\x01\x00"))
    assert client.conversation.session.login.capabilities & Capability.MULTI_STATEMENTS == 0
    await client.said(frame(b"\x1b\x00\x00"))
    assert client.conversation.session.login.capabilities & Capability.MULTI_STATEMENTS


async def test_an_empty_packet_is_an_unknown_command(client: Client) -> None:
    """Both servers take it for a COM_SLEEP and go on."""
    assert await client.said(frame(b"") + query(b"a") + frame(b"")) == UNKNOWN + OK + UNKNOWN
    assert not client.transport.closed


async def test_a_packet_out_of_order_ends_the_connection(client: Client) -> None:
    assert await client.said(frame(b"\x03a", 1) + query(b"b")) == DISORDER
    assert client.transport.closed
    assert client.conversation.ran == []


async def test_an_error_of_a_command_is_its_answer(client: Client) -> None:
    answer = await client.said(query(b"refuse") + query(b"a"))
    assert answer.startswith(frame(b"\xff\x16\x04#3D000", 1)[3:], 3)
    assert answer.endswith(OK)


# -- large commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
async def test_commands_of_16_mb(client: Client, size: int) -> None:
    text = bytes(size - 1)
    client.send(query(text) + query(b"b"), 1 << 18)
    await turns()
    assert client.transport.take() == frame(Ok().payload(), size // MAX_PAYLOAD + 1) + OK
    assert client.conversation.ran == [text, b"b"]


@pytest.mark.parametrize("command", [b"\x03", b"\x16", b"\x17"])
async def test_answers_to_large_commands_are_numbered_behind_them(client: Client, command: bytes) -> None:
    assert await client.said(frame(command + bytes(MAX_PAYLOAD))) == frame(Ok().payload(), 2)
    refused = await client.said(frame(command + b"refuse" + bytes(2 * MAX_PAYLOAD)))
    assert refused[3:8] == b"\x03\xff\x16\x04#"
    assert (await client.said(query(b"refuse")))[3:8] == b"\x01\xff\x16\x04#"
    assert await client.said(query(b"a")) == OK


async def test_a_large_command_whose_packets_are_out_of_order(client: Client) -> None:
    first = frame(b"\x03" + bytes(MAX_PAYLOAD))[: MAX_PAYLOAD + 4]
    assert await client.said(first + frame(b"x", 2)) == DISORDER
    assert client.transport.closed


async def test_large_long_data_is_not_answered(client: Client) -> None:
    assert await client.said(frame(b"\x18" + bytes(MAX_PAYLOAD))) == b""
    assert client.conversation.ran == [b"\x18" + bytes(MAX_PAYLOAD)]
    assert await client.said(frame(b"\x02" + bytes(MAX_PAYLOAD))) == UNKNOWN[:3] + b"\x02" + UNKNOWN[4:]
    assert await client.said(query(b"a")) == OK


@pytest.mark.parametrize("pieces", [100, 1 << 30])
async def test_more_than_max_allowed_packet(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    monkeypatch.setattr(connection, "Conversation", FakeConversation)
    gate = FakeGate()
    gate.max_allowed_packet = 2000
    client = Client(gate)
    client.send(query(b"x" * 1999), pieces)
    await turns()
    assert client.transport.take() == OK
    too_large = query(b"x" * 2000)
    # It is told at once, and let finish: a close with unread bytes in the socket would overtake the error.
    for at in range(0, len(too_large), pieces):
        assert not client.transport.closed
        client.send(too_large[at : at + pieces])
    assert client.transport.take() == TOO_LARGE
    assert client.transport.closed
    assert client.conversation.ran == [b"x" * 1999]
    await client.drop()


async def test_more_than_max_allowed_packet_in_many_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "Conversation", FakeConversation)
    gate = FakeGate()
    gate.max_allowed_packet = MAX_PAYLOAD + 10
    client = Client(gate)
    command = query(bytes(MAX_PAYLOAD + 10))
    client.send(command[:-5])
    assert client.transport.take() == TOO_LARGE[:3] + b"\x02" + TOO_LARGE[4:]  # behind the packets that have come
    assert not client.transport.closed
    client.send(command[-5:] + query(b"a"))
    assert client.transport.closed
    await turns()
    assert client.conversation.ran == []
    await client.drop()


async def test_more_than_max_allowed_packet_behind_a_slow_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading had stopped for the backlog; it goes on for what is thrown away."""
    monkeypatch.setattr(connection, "Conversation", FakeConversation)
    gate = FakeGate()
    gate.max_allowed_packet = 2 * BACKLOG
    client = Client(gate)
    client.send(query(b"wait"))
    await turns()
    too_large = query(bytes(2 * BACKLOG))
    client.send(too_large[: BACKLOG + 100])
    assert not client.transport.reading
    client.conversation.release.set()
    await turns()
    assert client.transport.take() == OK + TOO_LARGE
    client.send(too_large[BACKLOG + 100 :])
    assert client.transport.closed
    await client.drop()


# -- slow clients -------------------------------------------------------------------------------------------------


async def test_reading_stops_while_a_command_is_answered_and_goes_on_after_it(client: Client) -> None:
    client.send(query(b"wait"))
    await turns()
    behind = query(b"x" * 100) * (BACKLOG // 100)
    client.send(behind[: BACKLOG + 1])
    assert not client.transport.reading
    client.conversation.release.set()
    await turns(10 * BACKLOG // 100)
    assert client.transport.reading
    client.send(behind[BACKLOG + 1 :])
    await turns(10 * BACKLOG // 100)
    assert client.transport.take() == OK * (1 + BACKLOG // 100)


async def test_a_large_command_behind_a_slow_one_is_read_to_its_end(client: Client) -> None:
    """More than the backlog, and not complete: whoever waits for it must also read it."""
    client.send(query(b"wait"))
    await turns()
    large = query(b"x" * (4 * BACKLOG))
    client.send(large[: 2 * BACKLOG])
    assert not client.transport.reading
    client.conversation.release.set()
    await turns()
    assert client.transport.take() == OK
    client.send(large[2 * BACKLOG :], 1 << 16)
    await turns()
    assert client.transport.take() == OK


async def test_who_does_not_read_gets_no_more_commands_answered(client: Client) -> None:
    """A million PINGs whose answers nobody reads must not pile up here."""
    client.protocol.pause_writing()
    assert not client.transport.reading
    client.transport.reading = True  # a segment that was on its way
    assert await client.said(b"") == b""
    client.protocol.resume_writing()
    assert client.transport.reading
    assert await client.said(frame(b"\x0e")) == OK


async def test_pings_in_one_segment_stop_where_the_client_gets_slow(client: Client) -> None:
    answered = 0

    def write(data: bytes) -> None:
        nonlocal answered
        answered += 1
        if answered == 5:
            client.protocol.pause_writing()

    client.protocol.write = write
    client.send(frame(b"\x0e") * 20)
    assert answered == 5
    assert not client.transport.reading
    client.protocol.resume_writing()
    assert answered == 20
    assert client.transport.reading


@pytest.mark.parametrize("usual", [False, True])
async def test_a_slow_client_holds_its_backend_back(client: Client, usual: bool) -> None:
    client.send(query(b"fast"))
    upstream = client.conversation.upstream
    assert upstream is not None
    client.protocol.pause_writing()
    assert not upstream.transport.reading
    client.protocol.resume_writing()
    assert upstream.transport.reading
    client.protocol.pause_writing()
    client.conversation.finish(OK, usual=usual)
    assert upstream.transport.reading, "it goes back to the pool"
    assert not client.transport.reading, "no further command before the client has read"
    client.protocol.resume_writing()
    assert client.transport.reading


async def test_a_client_that_gets_slow_by_its_answer_sends_nothing_more(client: Client) -> None:
    client.send(query(b"fast"))
    upstream = client.conversation.upstream
    assert upstream is not None
    client.protocol.write = lambda data: client.protocol.pause_writing()
    client.conversation.finish(OK, usual=True)
    assert upstream.transport.reading, "it is in the pool"
    assert not client.transport.reading
    client.protocol.resume_writing()
    assert client.transport.reading


async def test_rows_wait_for_the_client(client: Client) -> None:
    client.send(query(b"rows"))
    client.protocol.pause_writing()
    await turns(200)
    assert len(client.transport.take()) == (1 << 16) + 5
    client.protocol.resume_writing()
    await turns(200)
    assert len(client.transport.take()) == 63 * ((1 << 16) + 5) + len(OK)


async def test_rows_for_a_client_that_is_gone_end(client: Client) -> None:
    client.send(query(b"rows"))
    client.protocol.pause_writing()
    await turns()
    await client.drop()
    assert client.conversation.ended == [b"rows"]
    assert client.conversation.closed == 1


# -- KILL ---------------------------------------------------------------------------------------------------------


async def test_kill_query_tells_the_server_that_answers(client: Client) -> None:
    for text in (b"fast", b"relay wait"):
        client.send(query(text))
        await turns()
        upstream = client.conversation.upstream
        client.protocol.kill(query_only=True)
        await turns()
        assert client.gate.cluster.interrupted.pop() is upstream
        assert client.transport.take() == b"", "the server's own error ends the answer"
        if text == b"fast":
            client.conversation.finish(OK)
            client.transport.take()


async def test_kill_query_does_not_reach_the_next_client_of_a_server(client: Client) -> None:
    client.send(query(b"fast"))
    upstream = client.conversation.upstream
    assert upstream is not None
    client.protocol.kill(query_only=True)
    client.conversation.finish(OK)
    upstream.sink = FakeConversation(client.gate, Login(8, "other"), client.protocol)
    await client.gate.settled()
    assert client.gate.cluster.interrupted == []


async def test_kill_query_of_what_waits_for_something_else(client: Client) -> None:
    client.send(query(b"wait") + query(b"b"))
    await turns()
    client.protocol.kill(query_only=True)
    await turns()
    assert client.transport.take() == INTERRUPTED + OK
    assert client.conversation.ended == [b"wait", b"b"]


async def test_kill_query_of_what_has_just_come(client: Client) -> None:
    """A task that is cancelled before its first step does not even know it."""
    client.send(query(b"wait") + query(b"b"))
    client.protocol.kill(query_only=True)
    await turns()
    assert client.transport.take() == INTERRUPTED + OK
    assert client.conversation.ended == [b"b"]


async def test_kill_query_in_the_middle_of_an_answer_cuts_the_client_off(client: Client) -> None:
    """The number of the next packet is not known here, so no error could follow in order."""
    client.send(query(b"part wait"))
    await turns()
    client.transport.take()
    client.protocol.kill(query_only=True)
    await turns()
    assert client.transport.aborted
    assert client.transport.take() == b""


async def test_kill_query_after_the_answer_changes_nothing(client: Client) -> None:
    client.protocol.kill(query_only=True)
    client.send(query(b"fast"))
    client.conversation.finish(OK, settle=True)
    await turns()
    client.protocol.kill(query_only=True)
    await turns()
    client.conversation.release.set()
    assert await client.said(query(b"b")) == OK + OK
    assert client.conversation.settled


async def test_kill_of_a_connection(client: Client) -> None:
    client.send(query(b"wait"))
    await turns()
    client.protocol.kill(query_only=False)
    assert client.transport.aborted
    await client.drop()
    assert client.conversation.ended == [b"wait"]


# -- faults -------------------------------------------------------------------------------------------------------


async def test_a_bug_is_told_and_ends_the_connection(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await client.said(query(b"fail") + query(b"b"))
    assert b"VT13001" in answer
    assert "a bug" in caplog.text
    assert client.transport.closed
    assert client.conversation.ran == [b"fail"]


@pytest.mark.parametrize("text", [b"part fail", b"part cut", b"part refuse", b"cut"])
async def test_a_fault_in_the_middle_of_an_answer_cuts_the_client_off(
    client: Client, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.said(query(text) + query(b"b"))
    assert answer in (b"", frame(b"part of an answer", 1))
    assert client.transport.aborted
    assert client.conversation.ran == [text]


# -- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [frame(b"\x01"), frame(b"\x03x", 3)], ids=["quit", "fault"])
async def test_nothing_is_executed_after_the_end(client: Client, last: bytes) -> None:
    """Over TLS, asyncio hands over what it had decrypted even after ``close``."""
    client.send(query(b"a") + last + query(b"b"))
    await turns()
    assert client.transport.closed
    client.protocol.data_received(query(b"c"))
    client.protocol.data_received(query(b"d")[:3])
    client.protocol.data_received(query(b"d")[3:])
    await turns()
    assert client.conversation.ran == [b"a"]


async def test_a_client_that_goes_is_cleaned_up_after_once(client: Client) -> None:
    assert client.gate.clients == {7: client.protocol}
    await client.drop()
    assert client.gate.clients == {}
    assert (client.conversation.closed, client.lost) == (1, 1)


async def test_a_client_that_goes_stops_its_statement_first_on_the_server(client: Client) -> None:
    client.send(query(b"relay wait"))
    await turns()
    upstream = client.conversation.upstream
    assert upstream is not None
    await client.drop()
    assert client.gate.cluster.interrupted == [upstream]
    assert upstream.closed
    assert client.conversation.ended == [b"relay wait"]
    assert client.conversation.closed == 1


async def test_a_client_that_goes_during_a_fast_statement_does_not_repeat_it(client: Client) -> None:
    client.send(query(b"fast"))
    upstream = client.conversation.upstream
    await client.drop()
    assert client.gate.cluster.interrupted == [upstream]
    assert client.conversation.ran == [b"fast"]
    assert client.conversation.closed == 1


async def test_the_books_are_kept_for_a_client_that_is_gone(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's answer to the interrupt comes when nobody wants it; its connection must still be given back."""
    client.send(query(b"fast"))
    conversation = client.conversation

    async def interrupt(upstream: FakeUpstream) -> None:
        conversation.finish(INTERRUPTED, settle=True)

    monkeypatch.setattr(client.gate.cluster, "interrupt", interrupt)
    client.protocol.connection_lost(None)
    await turns()
    assert conversation.closed == 0, "one after the other: both touch the same connections"
    conversation.release.set()
    await client.gate.settled()
    assert conversation.settled
    assert conversation.closed == 1


async def test_a_server_that_has_moved_on_is_let_be(client: Client) -> None:
    client.send(query(b"fast"))
    upstream = client.conversation.upstream
    assert upstream is not None
    client.protocol.connection_lost(None)
    client.conversation.finish(OK)  # in the same turn of the loop
    upstream.sink = cast(Any, object())  # and the next client has it
    await client.gate.settled()
    assert client.gate.cluster.interrupted == []
    assert not upstream.closed


# -- retiring -----------------------------------------------------------------------------------------------------


async def test_an_idle_client_retires_at_once_without_a_word(client: Client) -> None:
    await client.said(query(b"a"))
    assert client.protocol.idle
    client.protocol.retire()
    assert client.transport.closed
    assert client.transport.take() == b""


async def test_a_busy_client_retires_with_its_answer(client: Client) -> None:
    client.send(query(b"wait"))
    await turns()
    client.protocol.retire()
    assert not client.transport.closed
    client.conversation.release.set()
    await turns()
    assert client.transport.take() == OK
    assert client.transport.closed


@pytest.mark.parametrize("usual", [False, True])
async def test_a_fast_client_retires_with_its_answer(client: Client, usual: bool) -> None:
    client.send(query(b"fast"))
    client.protocol.retire()
    assert not client.transport.closed
    client.conversation.finish(OK, usual=usual)
    assert client.transport.take() == OK
    assert client.transport.closed


async def test_a_client_in_a_transaction_retires_after_it(client: Client) -> None:
    await client.said(query(b"begin"))
    client.protocol.retire()
    inside = frame(Ok(status=3).payload(), 1)
    assert await client.said(query(b"a")) == inside
    assert await client.said(frame(b"\x0e")) == inside
    assert not client.transport.closed
    assert await client.said(query(b"commit") + query(b"b")) == OK + OK, "what was sent already is answered"
    assert client.transport.closed


async def test_a_client_that_has_begun_a_command_may_finish_it(client: Client) -> None:
    for whole in (query(b"a"), frame(b"\x0e")):
        other = Client(client.gate)
        other.send(whole[:4])
        other.protocol.retire()
        assert not other.transport.closed
        assert await other.said(whole[4:]) == OK
        assert other.transport.closed
        await other.drop()
