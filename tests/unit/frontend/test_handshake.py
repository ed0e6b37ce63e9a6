"""The connection phase over real sockets, plain and TLS, on both loops: logins, refusals, and clients that attack it.

The command phase is a recorder that answers OK to everything: what it was given is what would have been executed.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import ssl
import struct
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.unit.frontend.raw_client import PING, QUERY, RawClient, native_answer, response, sha2_answer, ssl_request
from tests.unit.frontend.test_auth import encrypted
from vgate.config import Tls, User, native_digest, sha2_digest
from vgate.errors import NO_DATABASE, TOO_MANY_CONNECTIONS, UNKNOWN_KEYSPACE, SqlError
from vgate.frontend.auth import Accounts, RsaKeys, xor
from vgate.frontend.greeting import NATIVE, OFFERED, SHA2
from vgate.frontend.handshake import LARGEST, Handshake, Terms
from vgate.frontend.sockets import tls_context
from vgate.session.login import Login
from vgate.wire.constants import Capability
from vgate.wire.packets import Ok, frame

PASSWORD = "tester's pässword"
BOTH = User("both", native_digest(PASSWORD), sha2_digest(PASSWORD))
OLD = User("old", native_digest(PASSWORD))
EMPTY = User("empty", b"")
LIMITED = User("limited", b"", None, ("customer",), True)
USERS = (BOTH, OLD, EMPTY, LIMITED)

OK = Ok().payload()
DENIED = b"\xff\x15\x04#28000Access denied for user '%s'@'127.0.0.1' (using password: %s)"


class Recorder(asyncio.Protocol):
    """The command phase: keeps what it is given, and answers OK to every packet."""

    def __init__(self, login: Login, transport: asyncio.Transport) -> None:
        self.login = login
        self.transport = transport
        self.received = b""
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._buffer += data
        while len(self._buffer) >= 4:
            end = 4 + int.from_bytes(self._buffer[:3], "little")
            if len(self._buffer) < end:
                return
            command, self._buffer = self._buffer[4:end], self._buffer[end:]
            if command == b"\x01":
                self.transport.close()
            else:
                self.transport.write(frame(OK, 1))


class House:
    """A reception for one test."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.accounts = Accounts(USERS)
        self.keys = RsaKeys()
        self.inside: list[Recorder] = []
        self.handshakes: set[Handshake] = set()
        self.seen = 0
        self.gone = 0
        self.limit = 10
        self.unwelcome: SqlError | None = None
        self.news = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happens here makes it true."""
        while not condition():
            self.news.clear()
            await self.news.wait()

    def arrived(self, handshake: Handshake) -> int:
        if len(self.handshakes) >= self.limit:
            raise TOO_MANY_CONNECTIONS()
        self.handshakes.add(handshake)
        self.seen += 1
        self.news.set()
        return 1000 + self.seen

    def left(self, handshake: Handshake) -> None:
        self.gone += handshake in self.handshakes
        self.handshakes.discard(handshake)
        self.news.set()

    def refusal(self, database: str) -> SqlError | None:
        return UNKNOWN_KEYSPACE(name=database) if database not in ("", "customer", "product") else None

    def allowed(self, user: User, database: str) -> bool:
        return user.keyspaces is None or database in user.keyspaces

    def enter(self, login: Login, transport: asyncio.Transport) -> Recorder:
        if self.unwelcome is not None:
            raise self.unwelcome
        recorder = Recorder(login, transport)
        self.inside.append(recorder)
        self.news.set()
        return recorder

    def random(self, size: int) -> bytes:
        return hashlib.sha256(b"%d" % self.seen).digest()[:size]

    async def make_keys(self) -> None:
        if not self.keys.pem:
            await asyncio.to_thread(self.keys.generate)


TERMS = Terms("10.11.19-MariaDB-vgate", NATIVE, 45, patience=30.0)
Serve = Callable[..., Any]


@asynccontextmanager
async def served(terms: Terms = TERMS, path: Path | None = None) -> AsyncIterator[tuple[House, int]]:
    """A listening socket whose clients come to a ``House``, and its port; everything is closed at the end."""
    loop = asyncio.get_running_loop()
    house = House(terms)
    if path is not None:
        server = await loop.create_unix_server(lambda: Handshake(house, loop), str(path))
    else:
        server = await loop.create_server(lambda: Handshake(house, loop), "127.0.0.1", 0)
    try:
        yield house, 0 if path is not None else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for recorder in house.inside:
            recorder.transport.abort()
        for handshake in list(house.handshakes):
            handshake.abort()
        await house.until(lambda: not house.handshakes)
        await asyncio.sleep(0)


def with_tls(tls: Tls, *, required: bool = False) -> Terms:
    return replace(TERMS, tls=tls_context(tls), tls_required=required)


def pymysql_login(port: int, user: str, password: str = PASSWORD, **options: Any) -> int:
    """Log in, run a statement, leave; gives the connection's id."""
    raw = password.encode()  # PyMySQL would take latin1
    with pymysql.connect(host="127.0.0.1", port=port, user=user, password=raw, **options) as connection:
        connection.ping(reconnect=False)
        return int(connection.thread_id())


# -- logging in ---------------------------------------------------------------------------------------------------


async def test_a_login_and_what_it_says_of_the_client() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        assert client.greeting.startswith(b"\n10.11.19-MariaDB-vgate\0")
        assert client.number == 1001
        assert await client.log_in("both", PASSWORD, database="customer") == OK
        (recorder,) = house.inside
        assert recorder.login == Login(
            1001, "both", "customer", OFFERED & ~Capability.CONNECT_ATTRS, 45, "127.0.0.1", None, False
        )
        client.send(PING, 0)
        assert await client.packet() == (1, OK)
        assert recorder.received == frame(PING)
        assert not house.handshakes
        assert house.gone == 1


async def test_what_the_user_may_do_is_handed_on() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        assert await client.log_in("limited", "") == OK
        assert (house.inside[0].login.keyspaces, house.inside[0].login.read_only) == (("customer",), True)


async def test_through_a_unix_socket(socket_path: Path) -> None:
    terms = replace(TERMS, tls_required=True)
    async with served(terms, socket_path) as (house, _):
        client = await RawClient.connect(socket_path)
        assert await client.log_in("both", PASSWORD) == OK
        assert house.inside[0].login.host == "localhost"
        # It is as good as TLS: the clear password may come.
        client = await RawClient.connect(socket_path)
        client.send(response("old", sha2_answer(PASSWORD, client.scramble), plugin=SHA2), 1)
        assert await client.packet() == (2, b"\x01\x04")
        client.send(PASSWORD.encode() + b"\0", 3)
        assert await client.packet() == (4, OK)


@pytest.mark.parametrize("default", [NATIVE, SHA2])
async def test_either_plugin_and_the_numbers_of_packets(default: str) -> None:
    async with served(replace(TERMS, plugin=default)) as (house, port):
        client = await RawClient.connect(port)
        assert client.plugin == default
        client.send(response("both", sha2_answer(PASSWORD, client.scramble), plugin=SHA2), 1)
        assert [await client.packet(), await client.packet()] == [(2, b"\x01\x03"), (3, OK)]
        client = await RawClient.connect(port)
        client.send(response("both", b"", plugin="mysql_clear_password"), 1)
        sequence, switch = await client.packet()
        assert (sequence, switch.split(b"\0")[0]) == (2, b"\xfe" + default.encode())
        scramble = switch.split(b"\0")[1]
        answer = native_answer if default == NATIVE else sha2_answer
        client.send(answer(PASSWORD, scramble), 3)
        if default == SHA2:
            assert await client.packet() == (4, b"\x01\x03")
        assert (await client.packet())[1] == OK
        assert len(house.inside) == 2


async def test_a_password_over_rsa_whose_keys_are_made_once() -> None:
    async with served() as (house, port):
        for expected_fast in (False, True):
            client = await RawClient.connect(port)
            client.send(response("old", sha2_answer(PASSWORD, client.scramble), plugin=SHA2), 1)
            sequence, payload = await client.packet()
            if not expected_fast:
                assert (sequence, payload) == (2, b"\x01\x04")
                client.send(b"\x02", 3)
                sequence, pem = await client.packet()
                assert (sequence, pem) == (4, b"\x01" + house.keys.pem)
                client.send(encrypted(PASSWORD, pem[1:], client.scramble), 5)
                assert await client.packet() == (6, OK)
            else:
                assert (sequence, payload) == (2, b"\x01\x03")
                assert await client.packet() == (3, OK)


@pytest.mark.parametrize("default", [NATIVE, SHA2])
async def test_pymysql(default: str, tls: Tls) -> None:
    terms = replace(with_tls(tls), plugin=default)
    async with served(terms) as (house, port):
        for user in ("both", "old", "old"):  # with caching_sha2: fast; RSA; remembered, so fast
            assert await asyncio.to_thread(pymysql_login, port, user, ssl_disabled=True)
        assert await asyncio.to_thread(pymysql_login, port, "empty", "", database="product", ssl_disabled=True)
        trusting = {"ca": str(tls.cert)}
        house.accounts = Accounts(USERS)  # nothing remembered: the clear password goes through TLS
        for user in ("both", "old"):
            assert await asyncio.to_thread(pymysql_login, port, user, ssl=trusting)
        with pytest.raises(pymysql.OperationalError) as caught:
            await asyncio.to_thread(pymysql_login, port, "both", "wrong")
        assert caught.value.args == (1045, "Access denied for user 'both'@'127.0.0.1' (using password: YES)")
        secure = [bool(recorder.login.capabilities & Capability.SSL) for recorder in house.inside]
        assert secure == [False] * 4 + [True] * 2


# -- bytes and their order ----------------------------------------------------------------------------------------


async def test_one_byte_at_a_time() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        login = response("both", native_answer(PASSWORD, client.scramble), database="customer")
        for byte in frame(login, 1) + frame(PING):
            client.send_bytes(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.packet() == (2, OK)
        assert await client.packet() == (1, OK)
        assert house.inside[0].received == frame(PING)


class FakeTransport(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after close"
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


def feed(handshake: Handshake, transport: FakeTransport, data: bytes, pieces: int) -> bytes:
    """Give ``data`` to a handshake as a socket would, in pieces; what it has left unread when it handed over."""
    at = 0
    while at < len(data) and transport.protocol is None and not transport.closed:
        buffer = handshake.get_buffer(1 << 16)
        size = min(len(buffer), pieces, len(data) - at)
        assert size > 0, "uvloop dies of an empty buffer"
        buffer[:size] = data[at : at + size]
        handshake.buffer_updated(size)
        at += size
    return data[at:]


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5, 7, 36, 1 << 16])
async def test_no_byte_is_read_behind_the_last_packet(pieces: int) -> None:
    house = House(TERMS)
    handshake = Handshake(house, asyncio.get_running_loop())
    transport = FakeTransport()
    handshake.connection_made(transport)
    scramble = transport.written[4 + 1 + 23 + 4 :][:8] + transport.written[4 + 1 + 23 + 31 :][:12]
    login = frame(response("both", sha2_answer("mistyped", scramble), plugin=SHA2, attributes={"a": "b" * 9000}), 1)
    behind = frame(PASSWORD.encode() + b"\0", 3) + frame(QUERY)
    assert feed(handshake, transport, login + behind, pieces) == frame(QUERY)
    assert transport.written.endswith(frame(b"\x01\x04", 2) + frame(OK, 4))
    assert transport.protocol is house.inside[0]
    assert house.gone == 1


async def test_a_command_in_the_same_segment_as_the_login() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        login = frame(response("both", native_answer(PASSWORD, client.scramble)), 1)
        client.send_bytes(login + frame(PING) + frame(QUERY))
        assert [await client.packet() for _ in range(3)] == [(2, OK), (1, OK), (1, OK)]
        assert house.inside[0].received == frame(PING) + frame(QUERY)


async def test_a_command_of_a_megabyte_in_the_same_segment_as_the_login() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        login = frame(response("both", native_answer(PASSWORD, client.scramble)), 1)
        large = frame(b"\x03" + b"x" * (1 << 20))
        client.send_bytes(login + large)
        assert [await client.packet() for _ in range(2)] == [(2, OK), (1, OK)]
        assert house.inside[0].received == large


# -- TLS ----------------------------------------------------------------------------------------------------------


async def test_tls_and_the_hello_in_one_segment(tls: Tls) -> None:
    async with served(with_tls(tls, required=True)) as (house, port):
        client = await RawClient.connect(port)
        client.send_bytes(frame(ssl_request(), 1) + client.hello())
        await client.start_tls()
        assert await client.log_in("both", PASSWORD, sequence=2) == OK
        client.send(PING, 0)
        assert await client.packet() == (1, OK)
        assert house.inside[0].received == frame(PING)


async def test_tls_when_the_hello_comes_later_and_in_pieces(tls: Tls) -> None:
    async with served(with_tls(tls)) as (_, port):
        client = await RawClient.connect(port)
        for byte in frame(ssl_request(), 1) + client.hello():
            client.send_bytes(bytes([byte]))
            await asyncio.sleep(0)
        await client.start_tls()
        assert await client.log_in("both", PASSWORD, sequence=2) == OK


@pytest.mark.parametrize("commands", [0, 1, 2, 5000])
async def test_login_and_commands_in_one_flight_with_tls_finished(tls: Tls, commands: int) -> None:
    """asyncio gives these to the protocol before it has given it the TLS transport."""
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        client.send_bytes(frame(ssl_request(), 1) + client.hello())
        login = frame(response("both", native_answer(PASSWORD, client.scramble)), 2)
        await client.start_tls(login + frame(QUERY) * commands)
        assert await client.packet() == (3, OK)
        for _ in range(commands):
            assert await client.packet() == (1, OK)
        assert house.inside[0].received == frame(QUERY) * commands


async def test_full_authentication_inside_tls(tls: Tls) -> None:
    async with served(replace(with_tls(tls), plugin=SHA2)) as (_, port):
        client = await RawClient.connect(port)
        await client.upgrade()
        client.send(response("old", sha2_answer(PASSWORD, client.scramble), plugin=SHA2), 2)
        assert await client.packet() == (3, b"\x01\x04")
        client.send(PASSWORD.encode() + b"\0", 4)
        assert await client.packet() == (5, OK)


async def test_a_login_in_clear_behind_the_tls_request_is_not_taken_for_one_inside(tls: Tls) -> None:
    """What somebody on the way has put between SSLRequest and ClientHello must not count as said inside TLS."""
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        injected = frame(response("empty", b""), 2) + frame(QUERY)
        client.send_bytes(frame(ssl_request(), 1) + injected + client.hello())
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            await client.start_tls()
        await house.until(lambda: house.gone == 1)
        assert house.inside == []


async def test_no_tls_no_answer(tls: Tls) -> None:
    async with served(with_tls(tls, required=True)) as (house, port):
        client = await RawClient.connect(port)
        client.send(response("both", native_answer(PASSWORD, client.scramble)), 1)
        text = b"Connections using insecure transport are prohibited while --require_secure_transport=ON."
        assert await client.packet() == (2, b"\xff\x57\x0c#HY000" + text)
        client.send(QUERY, 0)
        assert await client.rest() == b""
        assert house.inside == []


async def test_an_ssl_request_without_tls_is_a_bad_handshake() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        client.send(ssl_request(), 1)
        assert await client.packet() == (2, b"\xff\x13\x04#08S01Bad handshake")
        assert house.inside == []


async def test_tls_is_agreed_on_once(tls: Tls) -> None:
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        await client.upgrade()
        client.send(ssl_request(), 2)
        assert await client.packet() == (3, b"\xff\x13\x04#08S01Bad handshake")
        assert house.inside == []


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


async def test_strangers_and_wrong_passwords_look_alike() -> None:
    async with served() as (_, port):
        seen = []
        for user in ("both", "old", "nobody"):
            client = await RawClient.connect(port)
            assert await client.log_in(user, "wrong") == DENIED % (user.encode(), b"YES")
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
    async with served() as (house, port):
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
    async with served() as (house, port):
        made = asyncio.Event()

        async def make_keys() -> None:
            await made.wait()

        house.make_keys = make_keys  # type: ignore[method-assign]
        client = await RawClient.connect(port)
        client.send(response("old", bytes(32), plugin=SHA2), 1)
        await client.packet()
        client.send(b"\x02", 3)
        (handshake,) = house.handshakes
        while handshake._task is None:
            await asyncio.sleep(0)
        handshake.abort()
        await house.until(lambda: house.gone == 1)
        made.set()
        await asyncio.sleep(0)
        assert house.inside == []


async def test_what_a_handshake_leaves_behind_is_small() -> None:
    """Transports keep their former protocols' methods: what a handshake needed must not stay with each client."""
    clients = 100
    async with served() as (house, port):
        house.limit = clients + 1
        gc.collect()
        tracemalloc.start()
        raw = [await RawClient.connect(port) for _ in range(clients)]
        for client in raw:
            assert await client.log_in("both", PASSWORD) == OK
        gc.collect()
        snapshot = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(True, "*/vgate/frontend/*"), tracemalloc.Filter(True, "*/vgate/wire/*")]
        )
        tracemalloc.stop()
        assert sum(entry.size for entry in snapshot.statistics("filename")) / clients < 1500


def test_the_arithmetic_of_this_file() -> None:
    assert xor(b"\x01", b"\x01") == b"\0"
