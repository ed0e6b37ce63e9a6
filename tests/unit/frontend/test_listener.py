"""Where clients come in and how they are sent away: addresses, users, limits, ids, draining. Real sockets, a fake gate.

The command phase is the real one over a fake conversation that does what a statement's text says.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from tests.unit.frontend.fakes import FakeConversation, FakeGate
from tests.unit.frontend.raw_client import RawClient, response, sha2_answer
from vgate.backend.cluster import ServerFacts
from vgate.config import Config, Limits, Tls, User, native_digest, sha2_digest
from vgate.errors import ConfigError
from vgate.frontend import connection
from vgate.frontend.greeting import NATIVE, SHA2
from vgate.frontend.listener import Listener, bind, bind_unix
from vgate.frontend.sockets import bind_tcp
from vgate.query.gate import Gate
from vgate.sql.versioned import Flavour
from vgate.wire.packets import Ok, frame

PASSWORD = "secret"
USERS = (
    User("root", b""),
    User("tester", native_digest(PASSWORD), sha2_digest(PASSWORD)),
    User("limited", b"", None, ("customer",)),
)
CONFIG = Config(users=USERS, limits=Limits(max_connections=5, connect_timeout=30.0))
MARIADB = ServerFacts(
    Flavour.MARIADB, "10.11.19-MariaDB", (10, 11, 19), "", "utf8mb4", "utf8mb4_general_ci", "SYSTEM/UTC", 1 << 24
)
MYSQL = replace(MARIADB, flavour=Flavour.MYSQL, version="9.7.4", number=(9, 7, 4), collation="utf8mb4_0900_ai_ci")

OK = Ok().payload()
Open = Callable[..., Listener]


def random(size: int) -> bytes:
    return b"\x11" * size


@pytest_asyncio.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> FakeGate:
    monkeypatch.setattr(connection, "Conversation", FakeConversation)
    return FakeGate()


@pytest_asyncio.fixture
async def make(gate: FakeGate) -> AsyncIterator[Open]:
    made: list[Listener] = []

    def listener(config: Config = CONFIG, facts: ServerFacts = MARIADB) -> Listener:
        made.append(Listener(cast(Gate, gate), config, facts, random=random))
        return made[-1]

    yield listener
    for one in made:
        await one.drain(0)
    await gate.settled()


def query(text: bytes) -> bytes:
    return frame(b"\x03" + text)


async def logged_in(where: int | Path) -> RawClient:
    client = await RawClient.connect(where)
    assert await client.log_in("root", "") == OK
    return client


def mode(path: Path) -> int:
    """The permissions of a file; 0 if there is none."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0


# -- addresses ----------------------------------------------------------------------------------------------------


async def test_the_address_is_the_one_it_has_got(make: Open) -> None:
    listener = make()
    host, port = await listener.listen("127.0.0.1", 0)
    assert host == "127.0.0.1"
    client = await logged_in(port)
    client.send_bytes(query(b"a"))
    assert await client.packet() == (1, OK)
    assert listener.connections == 1
    assert repr(listener) == "<Listener 0 logging in, 1 clients of 5>"


async def test_a_name_may_have_several_addresses_and_one_port(make: Open) -> None:
    host, port = await make().listen("localhost", 0)
    assert host == "127.0.0.1"
    await logged_in(port)
    sockets = bind_tcp("localhost", 0)
    assert len({one.getsockname()[1] for one in sockets}) == 1
    for one in sockets:
        one.close()


async def test_addresses_this_machine_does_not_have_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 6, "", (address, port)) for address in ("192.0.2.1", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    (one,) = bind_tcp("both", 0)
    assert one.getsockname()[0] == "127.0.0.1"
    one.close()


async def test_an_address_in_use(make: Open) -> None:
    _, port = await make().listen("127.0.0.1", 0)
    with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{port}: another program listens there. Stop"):
        await make().listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("192.0.2.1", "cannot listen on 192.0.2.1:1234: this machine has no such address"),
        ("no such host", "cannot listen on no such host:1234: 'no such host' is no address"),
        ("2001:db8::1", r"cannot listen on \[2001:db8::1\]:1234: this machine has no such address"),
    ],
)
async def test_an_address_that_is_none_of_ours(make: Open, host: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        await make().listen(host, 1234)


async def test_workers_may_share_a_port(make: Open) -> None:
    _, port = await make().listen("127.0.0.1", 0, reuse_port=True)
    assert await make().listen("127.0.0.1", port, reuse_port=True) == ("127.0.0.1", port)


async def test_a_socket_that_was_bound_before(make: Open, socket_path: Path) -> None:
    listener = make()
    tcp = bind("localhost", 0)
    port = tcp.getsockname()[1]
    assert tcp.family == socket.AF_INET
    await listener.listen_on(tcp)
    await listener.listen_on(bind_unix(socket_path))
    await logged_in(port)
    await logged_in(socket_path)


async def test_a_unix_socket_comes_and_goes(make: Open, socket_path: Path) -> None:
    listener = make()
    await listener.listen_unix(socket_path)
    assert mode(socket_path) == 0o777
    client = await logged_in(socket_path)
    listener.stop_accepting()
    assert not mode(socket_path)
    client.send_bytes(query(b"a"))
    assert await client.packet() == (1, OK)


async def test_a_unix_socket_that_a_dead_process_left(make: Open, socket_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(socket_path))
    left.close()
    await make().listen_unix(socket_path)
    await logged_in(socket_path)


async def test_a_unix_socket_in_use(make: Open, socket_path: Path) -> None:
    await make().listen_unix(socket_path)
    with pytest.raises(ConfigError, match="another program listens there"):
        await make().listen_unix(socket_path)
    await logged_in(socket_path)


async def test_a_unix_socket_whose_backlog_is_full_is_in_use(make: Open, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(socket_path))
        busy.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(str(socket_path))
        with pytest.raises(ConfigError, match="another program listens there"):
            await make().listen_unix(socket_path)
        for one in waiting:
            one.close()


def test_a_file_that_is_no_socket_is_let_be(socket_path: Path) -> None:
    socket_path.write_text("precious")
    with pytest.raises(ConfigError, match="there is a file that is no socket"):
        bind_unix(socket_path)
    assert socket_path.read_text() == "precious"


@pytest.mark.parametrize("path", ["/no/such/directory/vgate.sock", "/tmp/" + "x" * 120])
async def test_a_path_where_no_socket_can_be(make: Open, path: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen on the unix socket /"):
        await make().listen_unix(path)


async def test_the_socket_of_a_successor_is_not_removed(make: Open, socket_path: Path) -> None:
    listener = make()
    await listener.listen_unix(socket_path)
    os.unlink(socket_path)
    await make().listen_unix(socket_path)
    listener.stop_accepting()
    assert mode(socket_path)


# -- logging in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("facts", "plugin"), [(MARIADB, NATIVE), (MYSQL, SHA2)])
async def test_the_greeting_is_like_the_servers(make: Open, facts: ServerFacts, plugin: str) -> None:
    _, port = await make(facts=facts).listen("127.0.0.1", 0)
    client = await RawClient.connect(port)
    assert client.plugin == plugin
    assert client.greeting.startswith(b"\n" + facts.announced.encode() + b"\0")


async def test_users_may_be_replaced(make: Open) -> None:
    listener = make()
    _, port = await listener.listen("127.0.0.1", 0)
    client = await logged_in(port)
    listener.replace_users([User("other", b"")])
    late = await RawClient.connect(port)
    assert (await late.log_in("root", ""))[:3] == b"\xff\x15\x04"
    late = await RawClient.connect(port)
    assert await late.log_in("other", "") == OK
    client.send_bytes(query(b"a"))
    assert await client.packet() == (1, OK), "who is in stays in"


async def test_tls(make: Open, tls: Tls) -> None:
    listener = make(replace(CONFIG, tls=replace(tls, required=True)))
    _, port = await listener.listen("127.0.0.1", 0)
    client = await RawClient.connect(port)
    assert (await client.log_in("root", ""))[:3] == b"\xff\x57\x0c"
    client = await RawClient.connect(port)
    await client.upgrade()
    assert await client.log_in("tester", PASSWORD, sequence=2) == OK
    client.send_bytes(query(b"a"))
    assert await client.packet() == (1, OK)


async def test_a_certificate_that_cannot_be_used(make: Open, tls: Tls, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN PRIVATE KEY-----\n")
    for broken in (replace(tls, key=junk), replace(tls, cert=junk), replace(tls, key=tmp_path / "missing")):
        with pytest.raises(ConfigError, match=r"tls: the certificate .* and the key .* cannot be used"):
            make(replace(CONFIG, tls=broken))


@pytest.mark.parametrize(
    ("user", "database", "errno"),
    [("root", "customer", 0), ("root", "customer:-80", 0), ("root", "elsewhere", 1049), ("limited", "customer", 0),
     ("limited", "customer:-80", 0), ("limited", "product", 1044), ("limited", "product@nonsense", 1044),
     ("limited", "information_schema", 1046)],
)  # fmt: skip
async def test_keyspaces_of_users(make: Open, user: str, database: str, errno: int) -> None:
    """The last one: a system database is anybody's, but the fake conversation does not take it."""
    _, port = await make().listen("127.0.0.1", 0)
    client = await RawClient.connect(port)
    answer = await client.log_in(user, "", database=database)
    assert answer == OK if not errno else int.from_bytes(answer[1:3], "little") == errno


async def test_a_login_the_conversation_refuses_leaves_nothing(make: Open, gate: FakeGate) -> None:
    listener = make()
    _, port = await listener.listen("127.0.0.1", 0)
    client = await RawClient.connect(port)
    assert (await client.log_in("root", "", database="information_schema"))[:3] == b"\xff\x16\x04"
    assert await client.rest() == b""
    await listener.drain(30)
    assert (gate.clients, listener.connections) == ({}, 0)


async def test_rsa_keys_are_made_once_for_all_who_wait(make: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = make(replace(CONFIG, users=(User("old", native_digest(PASSWORD)),)), MYSQL)
    made = 0
    generate = listener.keys.generate

    def count() -> None:
        nonlocal made
        made += 1
        generate()

    monkeypatch.setattr(listener.keys, "generate", count)
    _, port = await listener.listen("127.0.0.1", 0)
    clients = [await RawClient.connect(port) for _ in range(3)]
    for client in clients:
        client.send(response("old", sha2_answer(PASSWORD, client.scramble), plugin=SHA2), 1)
        await client.packet()
    for client in clients:
        client.send(b"\x02", 3)
    assert len({await client.packet() for client in clients}) == 1
    assert made == 1


# -- limits and ids -----------------------------------------------------------------------------------------------


async def test_the_limit_counts_everybody(make: Open, gate: FakeGate) -> None:
    listener = make()
    _, port = await listener.listen("127.0.0.1", 0)
    inside = [await logged_in(port) for _ in range(3)]
    for _ in range(2):
        await RawClient.connect(port)
    assert listener.connections == 5
    assert (await RawClient.connect(port)).greeting == b"\xff\x10\x04Too many connections"
    inside[0].close()
    await gate_lost(gate, 2)
    await logged_in(port)


async def gate_lost(gate: FakeGate, left: int) -> None:
    """Wait until only so many clients are in."""
    await gate.until(lambda: len(gate.clients) <= left)
    await gate.settled()


async def test_connection_ids(make: Open, gate: FakeGate) -> None:
    listener = make()
    _, port = await listener.listen("127.0.0.1", 0)
    first = 0x11111111 >> 1
    gate.clients[first + 2] = object()
    numbers = [(await logged_in(port)).number for _ in range(2)]
    assert numbers == [first + 1, first + 3], "an id in use is passed over"
    listener._last_id = 0xFFFFFFFE
    gate.clients[1] = object()
    assert [(await logged_in(port)).number for _ in range(2)] == [0xFFFFFFFF, 2]
    assert all(number in gate.clients for number in numbers)


async def test_two_listeners_begin_somewhere_else(gate: FakeGate) -> None:
    ids = {Listener(cast(Gate, gate), CONFIG, MARIADB)._next_id() for _ in range(8)}
    assert len(ids) == 8
    assert all(0 < number <= 1 << 31 for number in ids)


# -- draining -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "tls"])
async def test_the_idle_are_sent_away_without_a_word(make: Open, gate: FakeGate, tls: Tls, encrypt: bool) -> None:
    listener = make(replace(CONFIG, tls=tls))
    _, port = await listener.listen("127.0.0.1", 0)
    idle = await RawClient.connect(port)
    if encrypt:
        await idle.upgrade()
    assert await idle.log_in("root", "", sequence=1 + encrypt) == OK
    logging_in = await RawClient.connect(port)
    rest = asyncio.gather(idle.rest(), logging_in.rest())
    await listener.drain(30)
    assert list(await rest) == [b"", b""]
    assert listener.connections == 0
    with pytest.raises(ConnectionRefusedError):
        await RawClient.connect(port)
    assert [conversation.closed for conversation in gate.conversations] == [1]


async def test_others_may_finish(make: Open, gate: FakeGate) -> None:
    listener = make()
    _, port = await listener.listen("127.0.0.1", 0)
    busy, inside = await logged_in(port), await logged_in(port)
    inside.send_bytes(query(b"begin"))
    await inside.packet()
    busy.send_bytes(query(b"wait"))
    await gate.until(lambda: gate.conversations[0].ran == [b"wait"])
    draining = asyncio.create_task(listener.drain(30))
    inside.send_bytes(query(b"a"))
    await inside.packet()
    inside.send_bytes(query(b"commit"))
    assert await inside.packet() == (1, OK)
    assert await inside.rest() == b""
    assert not draining.done()
    gate.conversations[0].release.set()
    assert await busy.packet() == (1, OK)
    assert await busy.rest() == b""
    await draining


async def test_who_does_not_finish_in_time_is_cut_off(make: Open, gate: FakeGate) -> None:
    listener = make()
    _, port = await listener.listen("127.0.0.1", 0)
    busy, inside = await logged_in(port), await logged_in(port)
    inside.send_bytes(query(b"begin"))
    await inside.packet()
    busy.send_bytes(query(b"wait"))
    await gate.until(lambda: gate.conversations[0].ran == [b"wait"])
    await listener.drain(0.05)
    assert listener.connections == 0
    assert [await busy.rest(), await inside.rest()] == [b"", b""]
    await gate.settled()
    assert gate.conversations[0].ended == [b"wait"]
    assert [conversation.closed for conversation in gate.conversations] == [1, 1]


async def test_draining_nobody_takes_no_time(make: Open) -> None:
    listener = make()
    await listener.listen("127.0.0.1", 0)
    await listener.drain(30)


async def test_clients_that_are_gone_are_not_kept(make: Open, gate: FakeGate) -> None:
    listener = make()
    _, port = await listener.listen("127.0.0.1", 0)
    client = await logged_in(port)
    (conversation,) = gate.conversations
    gone = weakref.ref(conversation)
    client.close()
    await gate_lost(gate, 0)
    gate.conversations.clear()
    del conversation
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None
