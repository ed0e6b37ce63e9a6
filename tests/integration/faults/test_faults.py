"""Faults between vgate and its servers, and clients that go away: what others see, and that nothing is left behind.

A client may be told that a connection was lost; it never gets a wrong answer, nor part of one that looks whole.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Server
from tests.integration.asking import Connection, Later, until, working
from tests.integration.executing import Prepared
from tests.integration.faults.lines import Line
from tests.integration.faults.state import (
    BROKEN,
    EXHAUSTED,
    HIGH,
    LOST,
    LOW,
    PLACES,
    PRODUCT,
    UNREACHABLE,
    alive,
    idle,
    lost,
    n_of,
)
from tests.integration.raw import PREPARE, QUERY, Raw, framed

# -- reads ----------------------------------------------------------------------------------------------------------

UNANSWERED = (None, 0)
"""The command is lost, or its answer."""

POINT = "select customer_id, uname, n from customer where customer_id = 4 /* mark */"
SINGLE = {
    "point": (HIGH, POINT),
    "range": (HIGH, "select customer_id, uname from customer where customer_id = 4 and n > 0 /* mark */"),
    "unsharded": (PRODUCT, "select id, name from product.product /* mark */"),
}
SEVERAL = {
    "first shard": (LOW, "select customer_id, uname, n from customer /* mark */"),
    "last shard": (HIGH, "select customer_id, uname, n from customer /* mark */"),
}


def test_a_read_on_a_stale_connection_is_tried_again(stocked: Oracle, lines: dict[str, Line]) -> None:
    for (place, sql), left in product(SINGLE.values(), UNANSWERED):
        wanted = ask(stocked.plain, sql)
        for _ in range(2):  # with a new plan and with one that is kept
            fault = lines[place].break_at(b"mark", left)
            assert ask(stocked.vgate, sql) == wanted
            assert fault.done.is_set()


def test_what_a_server_only_looks_at_is_tried_again(stocked: Oracle, lines: dict[str, Line]) -> None:
    """A setting, and a statement that is prepared: login would fail by it, too."""
    side = Raw(stocked.vgate)
    for left in UNANSWERED:
        fault = lines[LOW].break_at(b"div_precision_increment = 9", left)
        assert ask(stocked.vgate, "set div_precision_increment = 9").error is None
        assert fault.done.is_set()
        assert ask(stocked.vgate, "select @@div_precision_increment").rows == ((9,),)
        fault = lines[LOW].break_at(b"looked", left)
        assert side.ask(PREPARE + b"select n as looked from customer where customer_id = 4")[4] == 0
        assert fault.done.is_set()


def test_a_read_on_several_shards_one_of_which_is_lost(stocked: Oracle, lines: dict[str, Line]) -> None:
    for (place, sql), left in product(SEVERAL.values(), UNANSWERED):
        fault = lines[place].break_at(b"mark", left)
        answer = ask(stocked.vgate, sql)
        assert fault.done.is_set()
        lost(answer)
        assert place in str(answer.error)
        stocked.both(sql)


@pytest.mark.parametrize("what", [*SINGLE, *SEVERAL])
def test_part_of_an_answer_is_never_taken_for_the_whole(
    stocked: Oracle, lines: dict[str, Line], clients: Callable[[], Connection], what: str
) -> None:
    """Wherever in the answer the connection ends."""
    place, sql = (SINGLE | SEVERAL)[what]
    wanted = stocked.both(sql)
    client, whole, told, cut = clients(), 0, 0, 0
    for left in range(1, 10_000, 9):
        fault = lines[place].break_at(b"mark", left)
        answer = ask(client, sql)
        assert fault.met.is_set()
        if answer.error is None:
            assert answer == wanted
            whole += 1
        else:
            assert answer.error[0] == LOST, answer
            told += 1
        lines[place].forget(fault)
        if not fault.done.is_set():  # the answer is no longer than that
            break
        if answer.error is not None and "VG14001" not in answer.error[1]:
            client, cut = clients(), cut + 1
        else:
            assert alive(client)
    assert whole in (1, 2)
    assert told > cut > 0


def test_a_prepared_read_is_tried_again_and_never_half(stocked: Oracle, lines: dict[str, Line]) -> None:
    side = Raw(stocked.vgate)
    prepared = side.ask(PREPARE + b"select customer_id, uname from customer where customer_id = 4 /* pmark */")
    execute = b"\x17" + prepared[5:9] + b"\0\1\0\0\0"
    wanted = side.ask(execute)
    assert side.ask(execute) == wanted
    lines[HIGH].cut()
    assert side.ask(execute) == wanted  # prepared anew where it is executed


# -- writes and transactions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "kept"), [(None, False), (0, True)])
def test_a_write_is_never_repeated(stocked: Oracle, lines: dict[str, Line], left: int | None, kept: bool) -> None:
    """Whether it came to the server or not, the client is told that this is not known."""
    update = "update customer set n = n + 10 where customer_id = 4 /* mark */"
    insert = "insert into customer (customer_id, n) values (7, 70) /* mark */"
    for round in (1, 2):
        before = n_of(stocked.cluster, 4)
        assert isinstance(before, int)
        fault = lines[HIGH].break_at(b"mark", left)
        lost(ask(stocked.vgate, update))
        assert fault.done.is_set()
        until(lambda: idle(stocked.cluster[HIGH]), "the server still works")
        assert n_of(stocked.cluster, 4) == before + (10 if kept else 0), round
        lines[HIGH].break_at(b"mark", left)
        lost(ask(stocked.vgate, insert))
        until(lambda: idle(stocked.cluster[HIGH]), "the server still works")
        assert n_of(stocked.cluster, 7) == (70 if kept else None)
        ask(stocked.vgate, "delete from customer where customer_id = 7")
        assert alive(stocked.vgate)


WRITES = {
    "update": ("update customer set n = n + 10 /* mark */", {LOW: b"mark", HIGH: b"mark"}),
    "insert": (
        "insert into customer (customer_id, n) values (3, 1), (7, 1)", {LOW: b"values (3", HIGH: b"values (7"}
    ),
    "rows of a query": (
        "insert into customer (customer_id, n) select customer_id + 20, 1 from customer /* of it */",
        {LOW: b"of it", HIGH: b"of it"},
    ),
    "... that are inserted": (
        "insert into customer (customer_id, n) select customer_id + 20, 1 from customer",
        {LOW: b"VALUES (", HIGH: b"VALUES ("},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRITES)
def test_a_write_on_several_shards_that_loses_one_leaves_nothing(
    stocked: Oracle, lines: dict[str, Line], what: str
) -> None:
    """Outside a transaction and inside one."""
    sql, texts = WRITES[what]
    for (place, text), left, transaction in product(texts.items(), UNANSWERED, (False, True)):
        if transaction:
            ask(stocked.vgate, "begin")
        fault = lines[place].break_at(text, left)
        lost(ask(stocked.vgate, sql))
        assert fault.done.is_set()
        if transaction:
            lost(ask(stocked.vgate, "select count(*) from customer where customer_id = 1"), BROKEN)
            lost(ask(stocked.vgate, "commit"), BROKEN)
        until(lambda: all(map(idle, stocked.cluster.shards.values())), "a server still works")
        assert [n_of(stocked.cluster, number) for number in (1, 2, 3, 4, 6, 7)] == [1, 2, None, 4, 6, None]
        assert alive(stocked.vgate)


def test_a_transaction_that_loses_a_shard_cannot_commit(stocked: Oracle, lines: dict[str, Line]) -> None:
    client = stocked.vgate
    for first, left in product((1, 4), UNANSWERED):
        for sql in ("begin", f"update customer set n = 50 where customer_id = {first}",
                    f"update customer set n = 50 where customer_id = {5 - first}"):  # fmt: skip
            assert ask(client, sql).error is None
        lines[HIGH].break_at(b"mark", left)
        lost(ask(client, "select n from customer where customer_id = 4 /* mark */"))  # a new one would see other rows
        for sql in ("select n from customer where customer_id = 1", "update customer set n = 51 where customer_id = 1",
                    "select n from customer", "commit"):  # fmt: skip
            lost(ask(client, sql), BROKEN)
        until(lambda: all(map(idle, stocked.cluster.shards.values())), "a server still works")
        assert (n_of(stocked.cluster, 1), n_of(stocked.cluster, 4)) == (1, 4)
    stocked.both("update customer set n = 8 where customer_id = 4")


def test_a_transaction_whose_server_goes_while_it_is_idle(stocked: Oracle, lines: dict[str, Line]) -> None:
    for end in ("commit", "rollback"):
        for sql in ("begin", "update customer set n = 50 where customer_id = 1",
                    "update customer set n = 50 where customer_id = 4"):  # fmt: skip
            assert ask(stocked.vgate, sql).error is None
        lines[HIGH].cut()
        answer = ask(stocked.vgate, end)
        assert (answer.error is None) is (end == "rollback"), answer
        until(lambda: all(map(idle, stocked.cluster.shards.values())), "a server still works")
        assert (n_of(stocked.cluster, 1), n_of(stocked.cluster, 4)) == (1, 4)
        assert not ask(stocked.vgate, "select 1").status & 1


def test_a_commit_on_one_shard_whose_answer_is_lost(stocked: Oracle, lines: dict[str, Line]) -> None:
    for left, kept in ((None, 4), (0, 50)):
        ask(stocked.vgate, "begin")
        ask(stocked.vgate, "update customer set n = 50 where customer_id = 4")
        lines[HIGH].break_at(b"COMMIT", left)
        lost(ask(stocked.vgate, "commit"))
        until(lambda: idle(stocked.cluster[HIGH]), "the server still works")
        assert n_of(stocked.cluster, 4) == kept
        assert not ask(stocked.vgate, "select 1").status & 1


def test_a_commit_on_two_shards_that_loses_the_second_names_both(stocked: Oracle, lines: dict[str, Line]) -> None:
    for left, kept in ((None, 4), (0, 50)):
        for sql in ("begin", "update customer set n = 50 where customer_id = 1",
                    "update customer set n = 50 where customer_id = 4"):  # fmt: skip
            ask(stocked.vgate, sql)
        lines[HIGH].break_at(b"COMMIT", left)
        answer = ask(stocked.vgate, "commit")
        lost(answer, BROKEN)
        assert f"committed on {LOW}; not committed on {HIGH}" in str(answer.error)
        until(lambda: idle(stocked.cluster[HIGH]), "the server still works")
        assert (n_of(stocked.cluster, 1), n_of(stocked.cluster, 4)) == (50, kept)
        assert alive(stocked.vgate)


def test_a_commit_on_two_shards_that_loses_the_first_commits_on_none(stocked: Oracle, lines: dict[str, Line]) -> None:
    for sql in ("begin", "update customer set n = 50 where customer_id = 1",
                "update customer set n = 50 where customer_id = 4"):  # fmt: skip
        ask(stocked.vgate, sql)
    lines[LOW].break_at(b"COMMIT", None)
    lost(ask(stocked.vgate, "commit"))
    until(lambda: all(map(idle, stocked.cluster.shards.values())), "a server still works")
    assert (n_of(stocked.cluster, 1), n_of(stocked.cluster, 4)) == (1, 4)
    assert alive(stocked.vgate)


def test_what_a_session_was_tied_to_is_missed_once(stocked: Oracle, lines: dict[str, Line]) -> None:
    """A temporary table is gone with its server's connection; the client must not think that it is empty."""
    client = stocked.vgate
    for sql in ("use product", "create temporary table mine (a int)", "insert into mine values (1)"):
        assert ask(client, sql).error is None
    lines[PRODUCT].cut()
    lost(ask(client, "select * from mine"))
    assert ask(client, "select name from product where id = 1").rows == (("a",),)
    lost(ask(client, "select * from mine"), 1146)


# -- clients that go --------------------------------------------------------------------------------------------------

WORK = {
    "product": (PRODUCT, "select sleep(60) from product.product /* gone */"),
    "one shard": (LOW, "select sleep(60) from customer where customer_id = 1 /* gone */"),
    "all shards": (HIGH, "select sleep(60) from customer /* gone */"),
    "write": (HIGH, "update customer set n = sleep(60) /* gone */"),
    "a lot": (PRODUCT, "select repeat('x', 10000000), sleep(0.2) from product.product a, product.product b /* gone */"),
}


def stopped(server: Server) -> bool:
    return not working(server, "gone")


@pytest.mark.parametrize("what", WORK)
def test_a_client_that_goes_stops_its_statement(
    stocked: Oracle, clients: Callable[[], Connection], what: str
) -> None:
    place, sql = WORK[what]
    for abort in (False, True):
        client = clients()
        client._sock.sendall(framed(QUERY + sql.encode()))
        until(lambda: working(stocked.cluster[place], "gone"), "it does not run")
        if abort:
            client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is a reset
        client._force_close()
        gone = time.monotonic()
        for server in stocked.cluster.shards.values():
            until(partial(stopped, server), "it goes on for nobody")
        assert time.monotonic() - gone < 3, "the server found out by itself"
    for server in stocked.cluster.shards.values():
        until(partial(idle, server), "it goes on for nobody")
    assert [n_of(stocked.cluster, number) for number in (1, 2, 4, 6)] == [1, 2, 4, 6]


def test_kill_of_a_write_on_several_shards_leaves_its_transaction(
    stocked: Oracle, clients: Callable[[], Connection]
) -> None:
    client = clients()
    for sql in ("begin", "update customer set n = 50 where customer_id = 1"):
        assert ask(client, sql).error is None
    slow = Later(client, "update customer set n = n + sleep(60) /* gone */")
    until(lambda: working(stocked.cluster[LOW], "gone") and working(stocked.cluster[HIGH], "gone"), "it does not run")
    assert ask(stocked.vgate, f"kill query {client.thread_id()}").error is None
    lost(slow.result(), 1317)
    assert ask(client, "select n from customer").rows == ((50,), (2,), (4,), (6,))
    assert ask(client, "commit").error is None
    assert (n_of(stocked.cluster, 1), n_of(stocked.cluster, 4)) == (50, 4)


def test_a_client_that_goes_lets_go_of_its_rows(stocked: Oracle, clients: Callable[[], Connection]) -> None:
    client = clients()
    for sql in ("begin", "update customer set n = 50"):
        assert ask(client, sql).error is None
    waiting = Later(stocked.vgate, "update customer set n = n + 1 where customer_id in (1, 4) /* waits */")
    until(lambda: working(stocked.cluster[LOW], "waits"), "it does not run")
    client._force_close()
    assert waiting.result().affected == 2
    assert (n_of(stocked.cluster, 1), n_of(stocked.cluster, 4)) == (2, 5)


# -- pools, and servers that do not answer --------------------------------------------------------------------------


def test_a_pool_that_is_used_up_says_so_and_recovers(stocked: Oracle, clients: Callable[[], Connection]) -> None:
    holders = [clients() for _ in range(PLACES)]
    for holder in holders:
        ask(holder, "begin")
        assert ask(holder, POINT).error is None
    answer = ask(stocked.vgate, POINT)
    lost(answer, EXHAUSTED)
    assert answer.error is not None
    assert f"no connection to {HIGH} became free within 0.5 s ({PLACES} are in use)" in answer.error[1]
    lost(ask(stocked.vgate, "update customer set n = 0"), EXHAUSTED)
    lost(ask(stocked.vgate, "select customer_id from customer"), EXHAUSTED)
    assert ask(stocked.vgate, "select n from customer where customer_id = 1").rows == ((1,),)  # the other shard
    for holder in holders:
        assert ask(holder, "select n from customer where customer_id = 4").rows == ((4,),)
    waiting = Later(stocked.vgate, POINT)
    ask(holders[0], "commit")
    assert waiting.result().rows == ((4, "four", 4),)


def test_a_stalled_server_stalls_nobody_else(
    stocked: Oracle, lines: dict[str, Line], clients: Callable[[], Connection]
) -> None:
    stuck = [clients() for _ in range(3)]
    for client in stuck:
        ask(client, POINT)
    lines[HIGH].hold()
    waiting = [Later(stuck[0], POINT), Later(stuck[1], "select customer_id, n from customer")]
    waiting.append(Later(stuck[2], "update customer set n = n + 1 where customer_id = 6"))
    for number in range(50):
        assert ask(stocked.vgate, f"select n from customer where customer_id = {number % 2 + 1}").error is None
        assert len(ask(stocked.vgate, "select * from product.product").rows) == 3
    other = clients()  # logging in needs no shard
    assert ask(other, "select uname from customer where customer_id = 2").rows == (("two",),)
    lines[HIGH].let_go()
    assert waiting[0].result().rows == ((4, "four", 4),)
    assert [row[0] for row in waiting[1].result().rows] == [1, 2, 4, 6]
    assert waiting[2].result().affected == 1
    assert n_of(stocked.cluster, 6) == 7


def test_a_server_that_is_restarted_while_nobody_asks(stocked: Oracle, clients: Callable[[], Connection]) -> None:
    others = [clients() for _ in range(3)]
    for client in others:
        ask(client, POINT)
    server = stocked.cluster[HIGH]
    server.kill()
    try:
        lost(ask(stocked.vgate, POINT), LOST, UNREACHABLE)
        lost(ask(stocked.vgate, "update customer set n = 1 where customer_id = 4"), LOST, UNREACHABLE)
        lost(ask(stocked.vgate, "select customer_id from customer"), LOST, UNREACHABLE)
        assert ask(stocked.vgate, "select n from customer where customer_id = 1").rows == ((1,),)
    finally:
        server.restart()
    for client in others:
        assert ask(client, POINT).rows == ((4, "four", 4),)
        assert ask(client, "update customer set n = n where customer_id = 4").error is None
        assert len(ask(client, "select customer_id from customer").rows) == 4


def test_what_any_shard_can_answer_is_answered_by_one_that_is_there(
    stocked: Oracle, clients: Callable[[], Connection]
) -> None:
    server = stocked.cluster[LOW]
    server.kill()
    try:
        for client in (stocked.vgate, clients()):
            ask(client, "select 0")  # a connection that was there may have died with its server
            for sql in ("select 1 + 1", "select @@max_allowed_packet > 5", "do 1", "show tables", "set names latin1",
                        "show create table customer", "set div_precision_increment = 7", "set names utf8mb4",
                        "select table_name from information_schema.tables where table_schema = 'customer'",
                        ):  # fmt: skip
                mine, theirs = ask(client, sql), ask(stocked.plain, sql)
                assert (mine.error, mine.rows) == (theirs.error, theirs.rows), sql
            prepared = Prepared(client)
            statement = prepared.prepare("select n from customer where customer_id = ?")
            assert prepared.execute(statement, 4) == [b"\0\0\4\0\0\0"]
            lost(ask(client, "select n from customer where customer_id = 1"), LOST, UNREACHABLE)
    finally:
        server.restart()


# -- pieces -----------------------------------------------------------------------------------------------------------


def test_answers_that_come_a_byte_at_a_time(stocked: Oracle, lines: dict[str, Line]) -> None:
    for line in lines.values():
        line.piece = 1
        line.cut()  # the next connections log in like that, too
    for _ in range(2):
        for sql in (
            POINT, "select customer_id, uname, n from customer", "select * from customer where customer_id = 99",
            "select nothing from customer where customer_id = 1", "update customer set n = n + 1", "select 1 + 1",
            "insert into customer (customer_id, n) values (10, 1), (11, 1), (12, 1)", "begin",
            "delete from customer where customer_id > 9", "commit", "select * from product.product",
            "select customer_id, exp(customer_id * 150) from customer", "insert into customer (customer_id) values (1)",
            "select cast('x' as signed) from customer where customer_id = 4", "show warnings",
        ):  # fmt: skip
            stocked.both(sql, ignore=["insert_id"])
