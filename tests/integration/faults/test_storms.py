"""Statements of every kind that are killed, or whose client goes, at any moment: they happen everywhere or nowhere.

Moments are those at which other clients happen to be; ``tests/unit/backend/test_cancellation.py`` cancels at each one
deliberately. Whatever is hit, connections come back clean: see ``nothing_is_left``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import VgateProcess
from tests.integration.asking import Connection, until
from tests.integration.faults.state import BROKEN, LOST, idle
from tests.integration.raw import PREPARE, Raw, string_execution

INTERRUPTED, DUPLICATE = 1317, 1062
ALL = "select customer_id, n from customer where customer_id in (1, 2, 4, 6)"
ROUNDS = 25

Work = Callable[[Connection], Iterator[str]]


def statements(*texts: str) -> Work:
    def work(client: Connection) -> Iterator[str]:
        yield from texts

    return work


KINDS: dict[str, Work] = {
    "reads": statements("select n from customer where customer_id = 1", ALL, "select count(*) from product.product"),
    "gathered": statements("select sum(n), count(*) from customer", "select * from customer order by n for update",
                           "select c.n, p.name from customer c join product.product p on p.n = c.n"),
    "writes": statements("update customer set n = n + 1"),
    "inserts": statements("insert into customer (customer_id, n) values (11, 1), (12, 1), (13, 1), (14, 1)",
                          "delete from customer where customer_id > 10"),
    "rows of a query": statements("insert into customer (customer_id, n) select customer_id + 10, 1 from customer where"
                                  " customer_id < 10", "delete from customer where customer_id > 10"),
    "a transaction": statements("begin", "update customer set n = n + 1 where customer_id in (1, 6)",
                                "select sum(n) from customer",
                                "update customer set n = n + 1 where customer_id in (2, 4)", "commit"),
    "savepoints": statements("begin", "update customer set n = n + 1", "savepoint a", "update customer set n = n + 7",
                             "rollback to a", "commit"),
}  # fmt: skip


def run(client: Connection, work: Work) -> None:
    """Statements, until one of them is killed; what was begun is then undone."""
    for sql in work(client):
        answer = ask(client, sql)
        if answer.error is not None:
            assert answer.error[0] in (INTERRUPTED, BROKEN, LOST, DUPLICATE), (sql, answer)
            assert answer.error[0] != BROKEN or "VT15001" in answer.error[1], answer
            until(lambda: ask(client, "rollback").error is None, "it is killed each time")
            return
        if "sum(n), count" in sql:
            assert answer.rows[0][1] >= 4


def even(stocked: Oracle) -> None:
    """All rows have been changed alike, and those that come together have come, or not, together."""
    until(lambda: all(map(idle, stocked.cluster.shards.values())), "a server still works")
    rows = dict(ask(stocked.vgate, ALL).rows)
    assert len({n - number for number, n in rows.items()}) == 1, rows
    [[count]] = ask(stocked.vgate, "select count(*) from customer where customer_id > 10").rows
    assert count in (0, 4)


class Killer(threading.Thread):
    """Kills what a client does, again and again, at moments that it does not choose."""

    def __init__(self, killer: Connection, victim: int, random: Random) -> None:
        super().__init__(daemon=True)
        self._killer = killer
        self._victim = victim
        self._random = random
        self.stop = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.stop.is_set():
            for _ in range(self._random.randrange(8)):
                ask(self._killer, "select 1")
            ask(self._killer, f"kill query {self._victim}")


@pytest.mark.parametrize("kind", KINDS)
def test_kill_query_at_any_moment(stocked: Oracle, clients: Callable[[], Connection], kind: str) -> None:
    client = clients()
    killer = Killer(clients(), client.thread_id(), Random(kind))
    try:
        for _ in range(ROUNDS):
            run(client, KINDS[kind])
    finally:
        killer.stop.set()
        killer.join(20)
    assert ask(client, "select 1").rows == ((1,),)
    even(stocked)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_goes_at_any_moment(stocked: Oracle, clients: Callable[[], Connection], kind: str) -> None:
    random, other = Random(kind), clients()
    texts = list(KINDS[kind](other))
    for _ in range(ROUNDS):
        client = clients()
        Raw(client).send(*(b"\x03" + sql.encode() for sql in texts[: random.randrange(len(texts)) + 1]))
        for _ in range(random.randrange(12)):
            ask(other, "select 1")
        client._force_close()
    even(stocked)


def test_prepared_statements(stocked: Oracle, clients: Callable[[], Connection]) -> None:
    """Prepared anew on connections that have never seen them, as those that were killed do not come back."""
    client = clients()
    killer = Killer(clients(), client.thread_id(), Random(1))
    raw = Raw(client)
    texts = [b"update customer set n = n + ?", b"select customer_id from customer where n > ?",
             b"select n from customer where customer_id = 4 and n > ?", b"select max(n) from customer where n > ?"]
    numbers: list[int] = []
    try:
        while len(numbers) < len(texts):
            answer = raw.ask(PREPARE + texts[len(numbers)])
            if answer[4] == 0:
                numbers.append(int.from_bytes(answer[5:9], "little"))
        for number in numbers * ROUNDS:
            answer = raw.ask(string_execution(number, b"1"))
            if answer[4] == 0xFF:
                assert int.from_bytes(answer[5:7], "little") in (INTERRUPTED, LOST), answer
    finally:
        killer.stop.set()
        killer.join(20)
    even(stocked)


def loading(client: Connection, load: str) -> None:
    """Load, on a connection that may end under one's hands."""
    with suppress(OSError, ValueError, AttributeError):
        ask(client, load)


@pytest.mark.parametrize("goes", [False, True])
def test_loads(stocked: Oracle, standing: VgateProcess, clients: Callable[[], Connection], tmp_path: Path, goes: bool
               ) -> None:
    for server in stocked.cluster.shards.values():
        server.query("set global local_infile = 1")
    path = tmp_path / "rows"
    path.write_text("".join(f"{number}\tname\t1\n" for number in range(11, 15)))
    load = f"load data local infile '{path}' into table customer (customer_id, uname, n)"
    random, other = Random(goes), clients()
    for _ in range(ROUNDS):
        client = standing.connect("customer", local_infile=True)
        number = client.thread_id()
        thread = threading.Thread(target=loading, args=(client, load))
        thread.start()
        for _ in range(random.randrange(6)):
            ask(other, "select 1")
        if goes:
            client._sock.shutdown(2)
        else:
            ask(other, f"kill query {number}")
        thread.join(20)
        assert not thread.is_alive()
        client._force_close()
        even(stocked)
        ask(other, "delete from customer where customer_id > 10")
