"""Faults of queries that are gathered: shards that are lost on the way, clients that go, limits and refusals.

Nothing of such a query may be left: not on the shards, whose connections go back as they were, and not where its
temporary tables were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import Connection, Later, until, working
from tests.integration.faults.lines import Line
from tests.integration.faults.state import BROKEN, HIGH, LOW, PLACES, alive, idle, lost, n_of
from tests.integration.raw import QUERY, framed

GATHERED = "select customer_id, uname, n from customer where n > 0 /* mark */ order by n desc"
READ = b"FROM `customer` AS `customer` WHERE ("
LOAD = b"INSERT INTO `customer`"
RUN = b"order by n desc"


def quiet(stocked: Oracle) -> bool:
    return all(map(idle, stocked.cluster.shards.values()))


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("place", [LOW, HIGH])
def test_a_shard_that_is_lost_while_rows_are_read(
    stocked: Oracle, lines: dict[str, Line], place: str, transaction: bool
) -> None:
    client = stocked.vgate
    for left in (None, 0, 30, 200):
        if transaction:
            ask(client, "begin")
            assert ask(client, "update customer set n = n + 10 where customer_id in (1, 4)").affected == 2
        fault = lines[place].break_at(READ, left)
        lost(ask(client, GATHERED))
        assert fault.done.is_set()
        if transaction:
            lost(ask(client, "select 1 from customer where customer_id = 1"), BROKEN)
            lost(ask(client, "commit"), BROKEN)
        until(partial(quiet, stocked), "a server still works")
        assert (n_of(stocked.cluster, 1), n_of(stocked.cluster, 4)) == (1, 4)
        stocked.both(GATHERED, ordered=True)


@pytest.mark.parametrize("text", [b"SHOW CREATE TABLE", b"CREATE TEMPORARY TABLE", LOAD, RUN])
def test_the_server_that_gathers_is_lost(stocked: Oracle, lines: dict[str, Line], text: bytes) -> None:
    """It is no part of the transaction, which goes on."""
    client = stocked.vgate
    for left, transaction in product((None, 0, 12), (False, True)):
        if transaction:
            ask(client, "begin")
            assert ask(client, "update customer set n = n + 10 where customer_id in (1, 4)").affected == 2
        fault = lines[LOW].break_at(text, left)
        lost(ask(client, GATHERED))
        assert fault.done.is_set()
        if transaction:
            assert ask(client, "select n from customer where customer_id = 4").rows == ((14,),)
            assert ask(client, "rollback").error is None
        until(partial(quiet, stocked), "a server still works")
        stocked.both(GATHERED, ordered=True)


def test_part_of_an_answer_is_never_taken_for_the_whole(
    stocked: Oracle, lines: dict[str, Line], clients: Callable[[], Connection]
) -> None:
    wanted = stocked.both(GATHERED, ordered=True)
    client = clients()
    for left in range(1, 10_000, 23):
        fault = lines[LOW].break_at(RUN, left)
        answer = ask(client, GATHERED)
        assert fault.met.is_set()
        lines[LOW].forget(fault)
        if not fault.done.is_set():
            assert answer == wanted
            return
        lost(answer)
        if answer.error is not None and "VG14001" not in answer.error[1]:
            client = clients()
        else:
            assert alive(client)
    raise AssertionError("the answer never came whole")


BUSY = {
    "rows are read": (HIGH, "select customer_id from customer where n > 0 order by n for update", "FOR UPDATE"),
    "the query runs": (LOW, "select count(*) from customer where sleep(60) = 0", "sleep(60)"),
}
"""A row that is locked keeps shards from answering, SLEEP the server that gathers."""


@pytest.fixture
def locked(clients: Callable[[], Connection]) -> Connection:
    """The transaction that keeps row 4."""
    holder = clients()
    ask(holder, "begin")
    assert ask(holder, "select * from customer where customer_id = 4 for update").error is None
    return holder


@pytest.mark.parametrize("what", BUSY)
def test_a_client_that_goes_stops_it(
    stocked: Oracle, clients: Callable[[], Connection], locked: Connection, what: str
) -> None:
    place, sql, mark = BUSY[what]
    for transaction in (False, True):
        client = clients()
        if transaction:
            ask(client, "begin")
            assert ask(client, "update customer set n = 50 where customer_id in (1, 6)").affected == 2
        client._sock.sendall(framed(QUERY + sql.encode()))
        until(lambda: working(stocked.cluster[place], mark), "it does not run")
        client._force_close()
        gone = time.monotonic()
        for server in stocked.cluster.shards.values():
            until(lambda: not working(server, mark), "it goes on for nobody")  # noqa: B023
        assert time.monotonic() - gone < 3, "the server found out by itself"
        assert ask(stocked.vgate, "update customer set n = n where customer_id in (1, 6)").error is None
    assert ask(locked, "rollback").error is None
    assert [n_of(stocked.cluster, number) for number in (1, 2, 4, 6)] == [1, 2, 4, 6]


@pytest.mark.parametrize("what", BUSY)
def test_kill_query_leaves_the_session_as_it_was(
    stocked: Oracle, clients: Callable[[], Connection], locked: Connection, what: str
) -> None:
    place, sql, mark = BUSY[what]
    client = clients()
    ask(client, "set sql_mode = 'ANSI_QUOTES'")
    ask(client, "begin")
    assert ask(client, "update customer set n = 50 where customer_id in (1, 6)").affected == 2
    for _ in range(PLACES):
        slow = Later(client, sql)
        until(lambda: working(stocked.cluster[place], mark), "it does not run")
        assert ask(stocked.vgate, f"kill query {client.thread_id()}").error is None
        lost(slow.result(), 1317)
        assert ask(client, 'select max("n"), count(*) from "customer"').rows == ((50, 4),)
    assert ask(client, "rollback").error is None


@pytest.mark.parametrize("held", [LOW, HIGH])
def test_a_stalled_shard_holds_nobody_when_its_client_goes(
    stocked: Oracle, lines: dict[str, Line], clients: Callable[[], Connection], held: str
) -> None:
    """Every client of a stalled shard goes; nothing waits for that shard for ever, and others are served meanwhile."""
    leaving = [clients() for _ in range(PLACES)]
    for client in leaving:
        ask(client, GATHERED)
    lines[held].hold()
    for client in leaving:
        client._sock.sendall(framed(QUERY + GATHERED.encode()))
        client._force_close()
    other = 1 if held == HIGH else 4
    assert ask(stocked.vgate, f"select n from customer where customer_id = {other}").rows == ((other,),)
    lines[held].let_go()
    until(partial(quiet, stocked), "a server still works")
    stocked.both(GATHERED, ordered=True)


def test_a_used_up_pool_says_so_and_recovers(stocked: Oracle, clients: Callable[[], Connection]) -> None:
    """The places of one shard are taken by others' transactions; those that gather give back what they had."""
    holders = [clients() for _ in range(PLACES)]
    for holder in holders:
        ask(holder, "begin")
        assert ask(holder, "select n from customer where customer_id = 4").error is None
    for _ in range(PLACES + 1):
        lost(ask(stocked.vgate, GATHERED), 1203)
    assert ask(stocked.vgate, "select n from customer where customer_id = 1").rows == ((1,),)
    waiting = Later(stocked.vgate, GATHERED)
    ask(holders[0], "commit")
    assert len(waiting.result().rows) == 4


def test_many_gather_at_once_over_small_pools(stocked: Oracle, clients: Callable[[], Connection]) -> None:
    """More than there are places: they wait for each other, and none for ever."""
    many = [clients() for _ in range(3 * PLACES)]
    for later in [Later(client, GATHERED) for client in many]:
        answer = later.result()
        assert len(answer.rows) == 4 or (answer.error is not None and answer.error[0] == 1203), answer
