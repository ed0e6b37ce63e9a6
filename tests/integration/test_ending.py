"""How clients are sent away: because they say nothing, or because vgate ends; and what SIGHUP takes up, or does not."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import PASSWORD, USER, USERS, VgateProcess
from tests.integration.asking import Connection, Later, open_transactions, until, working
from tests.integration.conftest import serve
from vgate.sql.versioned import Flavour

INACTIVE = 4031


@pytest.fixture
def ending(stocked: Oracle, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[VgateProcess]:
    """A vgate with a limit."""
    vgate = serve(tmp_path, stocked.cluster, USERS + yaml.safe_dump({"limits": request.param}))
    yield vgate
    vgate.kill()


def is_closed(client: Connection) -> bool:
    """True if vgate has closed the connection and sent nothing before that."""
    try:
        return bool(client._sock.recv(1, socket.MSG_PEEK) == b"")
    except ConnectionError:
        return True


@pytest.mark.parametrize("ending", [{"idle_timeout": 0.6}], ids=str, indirect=True)
def test_who_says_nothing_is_sent_away_as_by_the_servers(stocked: Oracle, ending: VgateProcess) -> None:
    """And its transaction is rolled back; who has a statement under way is not idle."""
    silent, busy, talking, own = (ending.connect("customer") for _ in range(4))
    ask(silent, "begin")
    ask(silent, "update customer set n = 50")
    assert ask(own, "set wait_timeout = 100").error is None
    slow = Later(busy, "select sleep(1.5)")
    while slow._thread.is_alive():
        assert ask(talking, "select 1").rows == ((1,),)
    assert slow.result().error is None
    assert ask(talking, "select n from customer where customer_id = 1 for update").rows == ((1,),)
    for client in (silent, own):
        client._sock.settimeout(5)
        if stocked.cluster.flavour is Flavour.MYSQL:
            size = int.from_bytes(client._sock.recv(4), "little")
            packet = client._sock.recv(size)
            assert packet[:3] == b"\xff" + INACTIVE.to_bytes(2, "little")
            assert b"because of inactivity" in packet
        assert is_closed(client)


def test_wait_timeout_is_heeded(stocked: Oracle) -> None:
    client = stocked.process.connect("customer")
    assert ask(client, "set wait_timeout = 1").error is None
    client._sock.settimeout(10)
    assert client._sock.recv(1) in (b"", b"\x91")


def test_sigterm_lets_transactions_end(stocked: Oracle, tmp_path: Path) -> None:
    """Who is idle is sent away, nobody new gets in, a statement under way is answered and a transaction may go on."""
    vgate = serve(tmp_path, stocked.cluster, USERS)
    idle, busy, writer = (vgate.connect("customer") for _ in range(3))
    ask(writer, "begin")
    assert ask(writer, "update customer set n = 50 where customer_id = 1").error is None
    slow = Later(busy, "select sleep(1), n from customer where customer_id = 4")
    until(lambda: working(stocked.cluster["customer/80-"], "sleep(1)"), "it does not run")
    vgate.process.send_signal(signal.SIGTERM)
    idle._sock.settimeout(5)
    assert is_closed(idle)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((vgate.host, vgate.port), timeout=5)
    assert ask(writer, "update customer set n = 50 where customer_id = 4").error is None
    assert vgate.process.poll() is None
    assert slow.result().rows == ((0, 4),)
    assert ask(writer, "commit").error is None
    assert is_closed(writer)
    assert is_closed(busy)
    assert vgate.process.wait(10) == 0
    assert ask(stocked.vgate, "select customer_id, n from customer where n = 50").sorted().rows == ((1, 50), (4, 50))


@pytest.mark.parametrize("ending", [{"drain_timeout": 1}], ids=str, indirect=True)
def test_sigterm_rolls_back_what_does_not_end(stocked: Oracle, ending: VgateProcess) -> None:
    client, waiting = (ending.connect("customer") for _ in range(2))
    ask(client, "begin")
    assert ask(client, "update customer set n = 50").affected == 4
    waits = Later(waiting, "update customer set n = 51 where customer_id in (1, 4)")
    until(lambda: working(stocked.cluster["customer/-80"], "n = 51"), "it does not wait")
    assert ending.terminate() == 0
    assert waits.result().error is not None
    until(lambda: not any(map(open_transactions, stocked.cluster.shards.values())), "a transaction is open")
    assert ask(stocked.vgate, "select count(*) from customer where n >= 50").rows == ((0,),)
    assert "Traceback" not in ending.errors


BAD = ["users: {tester: {password: x}", "users: {}", "users: {tester: {passwort: x}}", "limits: {max_connections: 1}"]


def test_sighup_with_a_bad_configuration_changes_nothing(stocked: Oracle, tmp_path: Path) -> None:
    vgate = serve(tmp_path, stocked.cluster, USERS)
    try:
        client = vgate.connect("customer")
        ask(client, "begin")
        for number, text in enumerate(BAD, 1):
            (tmp_path / "vgate.yaml").write_text(text)
            vgate.process.send_signal(signal.SIGHUP)
            until(lambda: vgate.errors.count("was not taken up") == number, f"{text} is not refused")  # noqa: B023
            vgate.connect("customer").close()
        (tmp_path / "vschema.yaml").write_text("keyspaces: [")
        more = {"users": {USER: {"password": PASSWORD}, "more": {"password": "y"}}}
        (tmp_path / "vgate.yaml").write_text(yaml.safe_dump(more))
        vgate.process.send_signal(signal.SIGHUP)
        until(lambda: "2 users" in vgate.errors, "the good one is not taken up")
        until(lambda: "vschema.yaml" in vgate.errors, "the bad one is not told of")
        vgate.connect("customer", user="more", password="y").close()
        assert ask(client, "select count(*) from customer").rows == ((4,),)
        assert ask(client, "commit").error is None
    finally:
        vgate.kill()
