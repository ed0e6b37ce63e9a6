"""Never twice: every kind of sequence under two vgates and many clients, with ``kill -9`` and ALTER in the middle.

A value that a client was given must not be given again, whatever dies. A SIMPLE gives them in order, and leaves out
only what somebody was promised who did not hear of it: the statement of a client whose vgate or server was killed. This
module does not know how values come about.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pymysql
import pytest

from tests.fix_servers import Cluster
from tests.fix_vgate import StartVgate, VgateProcess
from tests.integration.asking import until

VSCHEMA = """
keyspaces:
  product: {sharded: false, shards: ["-"]}
  customer: {sharded: true, vindexes: {hash: {type: hash}}, tables: {}, shards: ["-80", "80-"]}
"""
KINDS = {
    "g": "create group sequence g unit count 3 index 1 step 7",
    "s": "create simple sequence s",
    "t": "create time sequence t",
    "js": "create time sequence js bits 53",
}


@dataclass(slots=True)
class Drawer:
    """A client that draws until it is told to stop; where its vgate is gone, from the one that took its place."""

    hammer: Hammer
    name: str
    slot: int
    given: list[int] = field(default_factory=list)
    unheard: int = 0
    last_error: str = ""

    def run(self) -> None:
        while not self.hammer.stop.is_set():
            with suppress(pymysql.err.Error, OSError), closing(self._connect()) as session:
                self._draw(session)

    def _connect(self) -> pymysql.Connection[Any]:
        return self.hammer.vgates[self.slot].connect("product", ssl_disabled=True, read_timeout=30)

    def _draw(self, session: pymysql.Connection[Any]) -> None:
        with session.cursor() as cursor:
            while not self.hammer.stop.is_set():
                try:
                    cursor.execute(f"select {self.name}.NEXTVAL")
                except (pymysql.err.Error, OSError) as error:
                    self.unheard += 1
                    self.last_error = repr(error)
                    raise
                self.given += [row[0] for row in cursor.fetchall()]


class Hammer:
    """Two vgates, and clients of both for each kind."""

    def __init__(self, cluster: Cluster, start: StartVgate) -> None:
        self.cluster = cluster
        self.start = start
        self.stop = threading.Event()
        self.vgates: list[VgateProcess] = [start(VSCHEMA), start(VSCHEMA)]
        for sql in KINDS.values():
            self.vgates[0].query(sql, "product")
        self.drawers = [Drawer(self, name, slot) for name in KINDS for slot in (0, 1) for _ in range(2)]
        self._threads = [threading.Thread(target=one.run, daemon=True) for one in self.drawers]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def go_on(self, more: int) -> None:
        """Until every client was given some more."""
        wanted = [(one, len(one.given) + more) for one in self.drawers]
        try:
            until(lambda: all(len(one.given) >= count for one, count in wanted), "a client is given nothing any more")
        except AssertionError:
            stuck = [(one.name, one.slot, one.unheard, one.last_error) for one, n in wanted if len(one.given) < n]
            logs = [vgate.errors for vgate in self.vgates]
            pytest.fail(f"given nothing any more: {stuck}; {logs}")

    def replace_vgate(self, slot: int) -> None:
        self.vgates[slot].kill()
        self.vgates[slot] = self.start(VSCHEMA)

    def replace_server(self) -> None:
        server = self.cluster["product/-"]
        server.kill()
        server.restart()

    def alter(self) -> None:
        """Changes that let nothing come twice, from either vgate."""
        [row] = [row for row in self.vgates[0].query("show sequences", "product") if row[1] == "g"]
        self.vgates[1].query(f"alter sequence g start with {int(row[2]) + 10_000}", "product")
        self.vgates[0].query("alter sequence s maxvalue 1000000000", "product")
        self.vgates[1].query("rename sequence t to u", "product")
        self.vgates[1].query("rename sequence u to t", "product")

    def given(self, name: str) -> list[int]:
        return [value for one in self.drawers if one.name == name for value in one.given]

    def check(self) -> None:
        for name in KINDS:
            given = self.given(name)
            assert len(given) == len(set(given)), f"{name}: a value was given twice"
        for one in self.drawers:
            if one.name == "s":
                assert all(left < right for left, right in pairwise(one.given)), "a SIMPLE went back"
        assert all(value < 2**53 for value in self.given("js"))
        assert all((value - 1) // 7 % 3 == 1 for value in self.given("g")), "of another unit"
        simple = sorted(self.given("s"))
        gaps = simple[-1] - len(simple)
        unheard = sum(one.unheard for one in self.drawers if one.name == "s")
        assert gaps <= unheard, f"{gaps} values of s were given to nobody, but only {unheard} statements failed"


@pytest.fixture
def hammer(fresh: Cluster, start_vgate: StartVgate) -> Iterator[Hammer]:
    one = Hammer(fresh, start_vgate)
    yield one
    one.stop.set()


def test_no_value_twice_whatever_dies(hammer: Hammer) -> None:
    hammer.begin()
    hammer.go_on(30)
    hammer.alter()
    hammer.replace_vgate(0)
    hammer.go_on(10)
    hammer.replace_server()
    hammer.go_on(10)
    hammer.alter()
    hammer.go_on(10)
    hammer.end()
    hammer.check()


def test_without_failures_a_simple_has_no_gap(hammer: Hammer) -> None:
    hammer.begin()
    hammer.go_on(50)
    hammer.end()
    simple = sorted(hammer.given("s"))
    assert simple == list(range(1, len(simple) + 1))
    hammer.check()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_value_twice_for_long(hammer: Hammer) -> None:
    hammer.begin()
    for number in range(15):
        hammer.go_on(200)
        hammer.replace_vgate(number % 2)
        hammer.alter()
        if number % 3 == 0:
            hammer.replace_server()
    hammer.go_on(200)
    hammer.end()
    hammer.check()
