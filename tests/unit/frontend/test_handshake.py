"""The connection phase over real sockets, plain and TLS, on both loops: logins, and bytes in any pieces and order."""

from __future__ import annotations

import asyncio
import gc
import ssl
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.unit.frontend.fakes import FakeTransport
from tests.unit.frontend.house import OK, PASSWORD, TERMS, TERMS_SHA2, USERS, House, served, with_tls
from tests.unit.frontend.raw_client import PING, QUERY, RawClient, native_answer, response, sha2_answer, ssl_request
from tests.unit.frontend.test_auth import encrypted
from vgate.config import Tls
from vgate.frontend.auth import Accounts
from vgate.frontend.greeting import NATIVE, OFFERED, SHA2
from vgate.frontend.handshake import Handshake
from vgate.session.login import Login
from vgate.wire.constants import Capability
from vgate.wire.packets import frame

# -- logging in ---------------------------------------------------------------------------------------------------


def pymysql_login(port: int, user: str, password: str = PASSWORD, **options: Any) -> int:
    """Log in, run a statement, leave; gives the connection's id."""
    raw = password.encode()  # PyMySQL would take latin1
    with pymysql.connect(host="127.0.0.1", port=port, user=user, password=raw, **options) as connection:
        connection.ping(reconnect=False)
        return int(connection.thread_id())


async def test_a_login_and_what_it_says_of_the_client() -> None:
    async with served() as (house, port):
        client = await RawClient.connect(port)
        assert client.greeting.startswith(b"\n10.11.19-MariaDB-vgate\0")
        assert client.number == 1001
        assert await client.log_in("both", PASSWORD, database="customer") == OK
        (recorder,) = house.inside
        flags = OFFERED & ~(Capability.CONNECT_ATTRS | Capability.COMPRESS)
        assert recorder.login == Login(
            1001, "both", "customer", flags, 45, "127.0.0.1", None, False
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
    terms = replace(TERMS_SHA2, tls_required=True)
    async with served(terms, socket_path) as (house, _):
        client = await RawClient.connect(socket_path)
        assert await client.log_in("empty", "", plugin=SHA2) == OK
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
        for plugin in (NATIVE, SHA2, "mysql_clear_password"):
            client = await RawClient.connect(port)
            assert client.plugin == default
            used = plugin if plugin in (NATIVE, SHA2) else default
            make_answer = native_answer if used == NATIVE else sha2_answer
            answer = make_answer(PASSWORD, client.scramble)
            if plugin == default:
                client.send(response("both", answer, plugin=plugin), 1)
                number = 2
            else:
                client.send(response("both", b"", plugin=plugin), 1)
                assert await client.packet() == (2, b"\xfe" + used.encode() + b"\0" + client.scramble + b"\0")
                client.send(answer, 3)
                number = 4
            if used == SHA2:
                assert await client.packet() == (number, b"\x01\x03")
                number += 1
            assert await client.packet() == (number, OK)
        assert len(house.inside) == 3


async def test_a_client_from_before_plugins() -> None:
    async with served(TERMS_SHA2) as (_, port):
        client = await RawClient.connect(port)
        client.send(response("both", native_answer(PASSWORD, client.scramble), plugin=None), 1)
        assert await client.packet() == (2, OK)


async def test_a_password_over_rsa_whose_keys_are_made_once() -> None:
    async with served(TERMS_SHA2) as (house, port):
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
    house = House(TERMS_SHA2)
    handshake = Handshake(house, asyncio.get_running_loop())
    transport = FakeTransport()
    handshake.connection_made(transport)
    at = transport.written.index(b"\0", 4) + 1
    scramble = transport.written[at + 4 : at + 12] + transport.written[at + 31 : at + 43]
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


async def test_a_login_that_asks_for_tls_and_does_not_wait_for_it(tls: Tls) -> None:
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        client.send(response("empty", b"", flags=OFFERED | Capability.SSL), 1)
        assert await client.packet() == (2, b"\xff\x13\x04#08S01Bad handshake")
        assert house.inside == []


async def test_tls_is_agreed_on_once(tls: Tls) -> None:
    async with served(with_tls(tls)) as (house, port):
        client = await RawClient.connect(port)
        await client.upgrade()
        client.send(ssl_request(), 2)
        assert await client.packet() == (3, b"\xff\x13\x04#08S01Bad handshake")
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
