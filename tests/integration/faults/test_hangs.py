"""Servers that do not answer and statements that do not end: whoever waits is told in time, and nothing waits for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import USERS, VgateProcess
from tests.integration.asking import Later, until
from tests.integration.conftest import serve
from tests.integration.faults.lines import Line
from tests.integration.faults.state import BROKEN, HIGH, LOST, PLACES, UNREACHABLE, alive, lost, n_of
from tests.integration.raw import QUERY, framed

INTERRUPTED = 1317

Start = Callable[..., VgateProcess]


@pytest.fixture
def start(cluster: Cluster, lines: dict[str, Line], tmp_path: Path) -> Iterator[Start]:
    """vgates behind the lines, with limits of their own."""
    started: list[VgateProcess] = []
    shards = {name: replace(server, host="127.0.0.1", port=lines[name].port) for name, server in cluster.shards.items()}

    def go(places: int = 20, **limits: object) -> VgateProcess:
        pools = {"connect": 1, "wait": 1, "max_connections": places}
        config = yaml.safe_dump({"limits": limits, "pools": pools})
        started.append(serve(tmp_path, replace(cluster, shards=shards), USERS + config))
        return started[-1]

    yield go
    for line in lines.values():
        line.let_go()
    for vgate in started:
        vgate.kill()


@pytest.fixture
def hasty(stocked: Oracle, start: Start) -> VgateProcess:
    """No statement may take longer than the blink of an eye."""
    return start(query_timeout=0.3)


SLOW = {
    "unsharded": "select id from product.product where sleep(60) = 0",
    "all shards": "select n from customer where sleep(60) = 0",
    "gathered": "select count(*) from customer where sleep(60) = 0",
    "write": "update customer set n = n + 1 where sleep(60) = 0",
    "a lock": "update customer set n = 7 where customer_id = 2",
    "locks": "update customer set n = 7",
    "locks of rows to gather": "select * from customer order by n for update",
}


def test_a_statement_that_takes_too_long_is_ended(stocked: Oracle, hasty: VgateProcess) -> None:
    with closing(hasty.connect("customer")) as client, closing(hasty.connect("customer")) as other:
        ask(other, "begin")
        ask(other, "update customer set n = 3 where customer_id = 2")
        ask(client, "begin")
        assert ask(client, "update customer set n = 50 where customer_id in (1, 6)").affected == 2
        for sql in SLOW.values():
            began = time.monotonic()
            answer = ask(client, sql)
            assert answer.error is not None, sql
            assert answer.error[0] == INTERRUPTED, (sql, answer)
            assert 0.25 < time.monotonic() - began < 5, sql
        assert ask(client, "select n from customer where customer_id in (1, 6)").rows == ((50,), (50,))
        assert ask(client, "rollback").error is None
        for what in ("all shards", "gathered", "write"):
            lost(ask(client, SLOW[what]), INTERRUPTED)
        assert len(ask(client, "select * from customer").rows) == 4
        assert alive(other)
    assert [n_of(stocked.cluster, number) for number in (1, 2, 4, 6)] == [1, 2, 4, 6]


HUNG = {
    "one shard": "select n from customer where customer_id = 4",
    "all shards": "select n from customer",
    "gathered": "select n from customer order by n",
    "write": "update customer set n = n + 1 where customer_id = 4",
    "writes": "update customer set n = n + 1",
    "insert": "insert into customer (customer_id) values (10), (11), (12), (13)",
}


@pytest.mark.parametrize("transaction", [False, True])
def test_a_server_that_does_not_answer(
    stocked: Oracle, hasty: VgateProcess, lines: dict[str, Line], transaction: bool
) -> None:
    """Who waits for it is told that it is lost, and that the transaction is."""
    clients = {what: hasty.connect("customer") for what in HUNG}
    other = hasty.connect("customer")
    for what, client in clients.items():
        ask(client, "select n from customer where customer_id in (1, 4)")
        if transaction and what not in ("write", "writes"):
            ask(client, "begin")
            assert ask(client, "select n from customer where customer_id in (1, 4)").error is None
    lines[HIGH].hold()
    began = time.monotonic()
    waiting = {what: Later(clients[what], sql) for what, sql in HUNG.items()}
    for _ in range(20):
        assert ask(other, "select n from customer where customer_id = 1").rows == ((1,),)
    for later in waiting.values():
        lost(later.result(), LOST, UNREACHABLE, INTERRUPTED)
    assert time.monotonic() - began < 15
    if transaction:
        lost(ask(clients["all shards"], "commit"), BROKEN)
    lines[HIGH].let_go()
    for client in clients.values():
        ask(client, "rollback")
        assert ask(client, "select n from customer where customer_id = 4").rows == ((4,),)
        client.close()
    assert alive(other)
    other.close()


def test_clients_of_a_hung_server_that_go_leave_their_places(
    stocked: Oracle, start: Start, lines: dict[str, Line]
) -> None:
    vgate = start(PLACES)
    going, others = ([vgate.connect("customer") for _ in range(PLACES)] for _ in range(2))
    for client in going:
        ask(client, "begin")
        assert ask(client, "insert into product.product (name) values ('x')").error is None
        assert ask(client, "select n from customer where customer_id in (1, 4)").error is None
    before = lines[HIGH].connections
    lines[HIGH].hold()
    going[0]._sock.sendall(framed(QUERY + b"select n from customer"))
    going[1]._sock.sendall(framed(QUERY + b"select n from customer order by n"))
    for client in going:
        client._force_close()
    other = others[0]
    until(lambda: ask(other, "select n from customer where customer_id = 1 for update").rows == ((1,),), "held")

    def free() -> bool:
        """All its places are."""
        answers = [Later(client, "select n from customer where customer_id = 4") for client in others]
        return all((later.result().error or (0,))[0] == UNREACHABLE for later in answers)

    until(free, "places of the hung server are never free")
    lines[HIGH].let_go()
    until(lambda: ask(other, "select n from customer where customer_id = 4").rows == ((4,),), "it stays so")
    until(lambda: lines[HIGH].connections <= before, "connections that took too long are still there")
    for client in others:
        client.close()


def test_a_hung_server_does_not_keep_vgate_from_ending(
    stocked: Oracle, start: Start, lines: dict[str, Line]
) -> None:
    vgate = start(drain_timeout=1)
    clients = [vgate.connect("customer") for _ in range(3)]
    for client in clients:
        ask(client, "begin")
        assert ask(client, "select n from customer").error is None
    lines[HIGH].hold()
    clients[0]._sock.sendall(framed(QUERY + b"select n from customer"))
    clients[1]._sock.sendall(framed(QUERY + b"commit"))
    assert vgate.terminate() == 0
    for client in clients:
        client._force_close()
    assert "Traceback" not in vgate.errors
