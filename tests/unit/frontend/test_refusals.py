"""The connection phase when it fails: refusals and who ignores them, garbage, clients that go away or never speak.

On real sockets, plain and TLS, on both loops.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.unit.frontend.fakes import FakeTransport
from tests.unit.frontend.house import DENIED, OK, PASSWORD, TERMS, TERMS_SHA2, House, served, with_tls
from tests.unit.frontend.raw_client import PING, QUERY, RawClient, native_answer, response, sha2_answer, ssl_request
from tests.unit.frontend.test_auth import encrypted
from vgate.config import Tls
from vgate.errors import NO_DATABASE
from vgate.frontend.greeting import OFFERED, SHA2
from vgate.frontend.handshake import LARGEST, Handshake
from vgate.wire.packets import frame

# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "tls"])
async def test_who_ignores_the_refusal_executes_nothing(tls: Tls, encrypt: bool) -> None:
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        if encrypt:
            await client.upgrade()
        assert await client.log_in("both", "wrong", sequence=1 + encrypt) == DENIED % (b"both", b"YES")
        for _ in range(3):
            client.send(QUERY, 0)
            await asyncio.sleep(0)
        assert await client.rest() == b""
        await house.until(lambda: house.gone == 1)
        assert house.inside == []


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "tls"])
async def test_a_query_in_one_segment_with_a_wrong_password_is_not_executed(tls: Tls, encrypt: bool) -> None:
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        if encrypt:
            await client.upgrade()
        number = 1 + encrypt
        wrong = frame(response("both", native_answer("wrong", client.scramble)), number)
        again = frame(response("both", native_answer(PASSWORD, client.scramble)), number + 2)
        client.send_bytes(wrong + again + frame(QUERY))
        said = await client.rest()  # the refusal, or a reset that overtook it; never an OK
        assert said in (b"", frame(DENIED % (b"both", b"YES"), number + 1))
        await house.until(lambda: house.gone == 1)
        assert house.inside == []


@pytest.mark.parametrize("pieces", [1, 1 << 16])
async def test_nothing_is_looked_at_after_a_refusal(pieces: int) -> None:
    """However the transport goes on: TLS hands over what it had decrypted even after ``close``."""
    house = House(TERMS)
    handshake = Handshake(house, asyncio.get_running_loop())
    transport = FakeTransport()
    handshake.connection_made(transport)
    for payload, number in ((response("both", bytes(20)), 1), (response("empty", b""), 3), (QUERY, 0)):
        data = frame(payload, number)
        while data:
            buffer = handshake.get_buffer(1 << 16)
            size = min(len(buffer), pieces, len(data))
            buffer[:size] = data[:size]
            handshake.buffer_updated(size)
            data = data[size:]
    assert transport.closed
    assert transport.written.endswith(frame(DENIED % (b"both", b"YES"), 2).replace(b"127.0.0.1", b"localhost"))
    assert house.inside == []
    handshake.connection_lost(None)


async def test_strangers_and_wrong_passwords_look_alike() -> None:
    async with served(TERMS_SHA2) as (_, port):
        seen = []
        for user in ("both", "old", "nobody"):
            client = await RawClient.connect(port)
            client.send(response(user, native_answer("wrong", client.scramble), plugin=None), 1)
            assert await client.packet() == (2, DENIED % (user.encode(), b"YES"))
            client = await RawClient.connect(port)
            client.send(response(user, b"", plugin=SHA2), 1)
            assert await client.packet() == (2, DENIED % (user.encode(), b"NO"))
            client = await RawClient.connect(port)
            client.send(response(user, sha2_answer("wrong", client.scramble), plugin=SHA2), 1)
            conversation = [await client.packet()]
            client.send(b"\x02", 3)
            sequence, pem = await client.packet()
            client.send(encrypted("wrong", pem[1:], client.scramble), 5)
            conversation += [(sequence, pem), await client.packet()]
            assert await client.rest() == b""
            seen.append([(number, payload.replace(user.encode(), b"?")) for number, payload in conversation])
        assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize(
    ("user", "database", "error"),
    [
        ("empty", "customer", b""),
        ("empty", "elsewhere", b"\xff\x19\x04#42000VT05003: unknown database 'elsewhere' in vschema"),
        ("limited", "customer", b""),
        ("limited", "product", b"\xff\x14\x04#42000Access denied for user 'limited'@'127.0.0.1' to database 'product'"),
        ("limited", "elsewhere",
         b"\xff\x14\x04#42000Access denied for user 'limited'@'127.0.0.1' to database 'elsewhere'"),
    ],
)  # fmt: skip
async def test_the_database_named_at_login(user: str, database: str, error: bytes) -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        answer = await client.log_in(user, "", database=database)
        assert answer == (error or OK)
        if error:
            client.send(QUERY, 0)
            assert await client.rest() == b""
            assert house.inside == []


async def test_the_command_phase_may_refuse() -> None:
    async with served() as (house, port):
        house.unwelcome = NO_DATABASE()
        client = await RawClient.connect(port)
        assert (await client.log_in("empty", "")).startswith(b"\xff\x16\x04#3D000")
        assert await client.rest() == b""


async def test_a_character_set_without_ascii() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        client.send(response("empty", b"", collation=54), 1)
        text = b"Variable 'character_set_client' can't be set to the value of 'utf16'"
        assert await client.packet() == (2, b"\xff\xcf\x04#42000" + text)
        assert house.inside == []


BAD = (2, b"\xff\x13\x04#08S01Bad handshake")
DISORDER = (1, b"\xff\x84\x04#08S01Got packets out of order")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (frame(b"", 1), BAD),
        (frame(b"\x01", 1), BAD),
        (frame(b"\x05\x02cde", 1), BAD),
        (frame(struct.pack("<IIH22x", OFFERED, 0, 45) + b"endless", 1), BAD),
        (frame(b"\x05\x00\xff\xff\0root\0", 1), (2, b"\xff\xe3\x04Client does not support authentication protocol "
                                                 b"requested by server; consider upgrading MySQL client")),
        (b"GET / HTTP/1.1\r\n\r\n", DISORDER),
        (frame(response("empty", b""), 0), DISORDER),
        (frame(response("empty", b""), 2), DISORDER),
        ((LARGEST + 1).to_bytes(3, "little") + b"\x01", BAD),
        (b"\xff\xff\xff\x01", BAD),
    ],
    ids=["empty", "short", "short 4.1", "endless name", "before 4.1", "http", "number 0", "number 2", "large", "huge"],
)  # fmt: skip
async def test_what_is_no_handshake_response(sent: bytes, answer: tuple[int, bytes]) -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        client.send_bytes(sent)
        assert await client.packet() == answer
        assert await client.rest() == b""
        await house.until(lambda: house.gone == 1)
        assert house.inside == []


async def test_numbers_are_checked_to_the_end() -> None:
    async with served(TERMS_SHA2) as (house, port):
        client = await RawClient.connect(port)
        client.send(response("old", bytes(32), plugin=SHA2), 1)
        await client.packet()
        client.send(b"\x02", 4)
        assert await client.packet() == (3, b"\xff\x84\x04#08S01Got packets out of order")
        assert house.inside == []


async def test_too_many_connections() -> None:
    async with served() as (house, port):
        house.limit = 1
        first = await RawClient.connect(port)
        second = await RawClient.connect(port)
        assert second.greeting == b"\xff\x10\x04Too many connections"
        assert await second.rest() == b""
        assert await first.log_in("empty", "") == OK
        assert (await RawClient.connect(port)).greeting[0] == 10


# -- clients that go away, or do not ------------------------------------------------------------------------------


async def silent(client: RawClient) -> None:
    """Say nothing."""


async def begun(client: RawClient) -> None:
    client.send_bytes(frame(response("both", b""), 1)[:-1])


async def half_way(client: RawClient) -> None:
    client.send(response("old", bytes(32), plugin=SHA2), 1)
    await client.packet()


async def asked_for_tls(client: RawClient) -> None:
    client.send(ssl_request(), 1)


async def in_the_middle_of_tls(client: RawClient) -> None:
    client.send_bytes(frame(ssl_request(), 1) + client.hello()[:50])


async def inside_tls(client: RawClient) -> None:
    await client.upgrade()


STAGES = [silent, begun, half_way, asked_for_tls, in_the_middle_of_tls, inside_tls]


@pytest.mark.parametrize("stage", STAGES)
async def test_no_login_in_time(stage: Callable[[RawClient], Awaitable[None]], tls: Tls) -> None:
    async with served(replace(with_tls(tls), patience=0.2)) as (house, port):
        client = await RawClient.connect(port)
        await stage(client)
        await client.rest()
        await house.until(lambda: house.gone == 1)
        assert house.inside == []


async def test_patience_ends_with_the_login() -> None:
    """The timer must not cut a client that is in: it is cancelled, not only ignored."""
    async with served(replace(TERMS, patience=0.05)) as (house, port):
        client = await RawClient.connect(port)
        assert await client.log_in("empty", "") == OK
        other = await RawClient.connect(port)
        await other.rest()  # its patience began later
        client.send(PING, 0)
        assert await client.packet() == (1, OK)
        assert house.gone == 2


@pytest.mark.parametrize("way", ["close", "abort"])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_client_that_goes_is_forgotten(
    stage: Callable[[RawClient], Awaitable[None]], way: str, tls: Tls
) -> None:
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        await stage(client)
        getattr(client, way)()
        await house.until(lambda: house.gone == 1)
        assert not house.handshakes


async def test_a_client_that_goes_while_keys_are_made() -> None:
    async with served(TERMS_SHA2) as (house, port):
        asked, made = asyncio.Event(), asyncio.Event()

        async def make_keys() -> None:
            asked.set()
            await made.wait()

        house.make_keys = make_keys  # type: ignore[method-assign]
        client = await RawClient.connect(port)
        client.send(response("old", bytes(32), plugin=SHA2), 1)
        await client.packet()
        client.send(b"\x02", 3)
        (handshake,) = house.handshakes
        await asked.wait()
        handshake.abort()
        await house.until(lambda: house.gone == 1)
        made.set()
        await asyncio.sleep(0)
        assert house.inside == []
