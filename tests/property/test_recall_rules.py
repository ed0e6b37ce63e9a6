"""Ids that rows are given, beside generated ones, under any interleaving: two vgates over one sequence.

GROUP and Vitess's table alike; the allocators and their shells are vgate's own, the store is the rows' rules in Python.
Every statement takes effect in one step, before which it can be lost, and after which its answer can be late or lost;
clocks run a little differently. No value may come twice, and none after ``bump`` has said that it will not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from vgate.errors import BACKEND_LOST, SqlError
from vgate.sequences.catalog import Lease, Nothing
from vgate.sequences.definition import Definition, Kind, created, next_base
from vgate.sequences.kinds import Sequences
from vgate.sequences.row import Move, Moved, NotReserved, Outcome, OutcomeUnknown, Reservation, Reserved
from vgate.sequences.stamps import Layout
from vgate.sequences.trust import Sent
from vgate.sequences.vitess import VitessSequences
from vgate.sql.sequences import Options
from vgate.vschema.model import TableName

NAME = TableName("product", "s")
WHO = st.integers(0, 1)
CALM = st.sampled_from([True, True, True, False])
RATES = (1.03, 0.97)
LOST = BACKEND_LOST(label="product/-")


@dataclass
class Rows:
    """What the server keeps: of a GROUP its definition, of a table next_id, cache and epoch."""

    one: Definition
    next_id: int = 1
    cache: int = 10
    epoch: int = 0


@dataclass(eq=False)
class Step:
    """Something that a store waits for: that its statement takes effect, or that the answer comes."""

    who: Vgate
    go_on: asyncio.Future[None]


class Vgate:
    """One vgate's sequences, its clock, its tasks, and both kinds of store."""

    def __init__(self, world: World, rate: float, me: str) -> None:
        self.world = world
        self.rate = rate
        self.me = me
        self.tasks: set[asyncio.Task[None]] = set()
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.own = Sequences(self, self, self.clock, lambda: 0, self.sleep)
        self.vitess = VitessSequences(TableStore(self), self, self.clock, self.sleep)

    def clock(self) -> float:
        return self.world.now * self.rate

    def create_task(self, coro: Any) -> asyncio.Task[None]:
        task = self.world.loop.create_task(coro)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = self.world.loop.create_future()
        self.sleepers.append((self.clock() + seconds, woken))
        await woken

    def wake(self) -> None:
        for one in [one for one in self.sleepers if one[0] <= self.clock()]:
            self.sleepers.remove(one)
            if not one[1].done():
                one[1].set_result(None)

    async def step(self) -> None:
        """Raises BACKEND_LOST where the test says so."""
        one = Step(self, self.world.loop.create_future())
        self.world.steps.append(one)
        await one.go_on

    # -- what clients do ------------------------------------------------------------------------------------------

    def take_now(self, n: int) -> int | None:
        if self.world.group:
            return self.own.take_now(NAME, n)
        return self.vitess.take_now(NAME, n)

    async def take(self, n: int) -> int:
        return (await self.own.take(NAME, n))[0] if self.world.group else await self.vitess.take(NAME, n)

    async def bump(self, high: int, low: int) -> None:
        if self.world.group:
            assert await self.own.bump(NAME, high, low)
        else:
            await self.vitess.bump(NAME, high, low)

    # -- the catalog of a GROUP -----------------------------------------------------------------------------------

    async def find(self, key: TableName, sent: Sent) -> Definition:
        sent()
        await self.step()
        found = self.world.rows.one
        await self.step()
        return found

    async def change(
        self, key: TableName, change: Callable[[Definition], Definition | None], *, anew: bool = True
    ) -> tuple[Definition, Definition]:
        assert not anew
        await self.step()
        old = self.world.rows.one
        self.world.rows.one = new = change(old) or old
        await self.step()
        return old, new

    async def reserve(self, one: Definition) -> int | Nothing:
        await self.step()
        row = self.world.rows.one
        given: int | Nothing = Nothing.CHANGED
        if row.epoch == one.epoch:
            given = next_base(row)
            holder = self.me if row.holder in ("", self.me) else "*"
            self.world.rows.one = replace(row, value=given, holder=holder)
            self.world.blocks.append(given + 1)
        await self.step()
        return given

    # -- what no test here asks for -------------------------------------------------------------------------------

    async def create(self, one: Definition) -> None:
        raise NotImplementedError

    async def drop(self, key: TableName) -> Definition | None:
        raise NotImplementedError

    async def ready(self) -> str:
        raise NotImplementedError

    async def advance(self, one: Definition, n: int, *, whole: bool) -> int | Nothing:
        raise NotImplementedError

    async def renew(self, layout: Layout, lease: Lease, limit: int) -> Lease | None:
        raise NotImplementedError

    async def lease(self, layout: Layout, limit: int) -> Lease:
        raise NotImplementedError


@dataclass
class TableStore:
    """One vgate's way to the rows of a table."""

    vgate: Vgate

    async def reserve(self, reservation: Reservation) -> Outcome:
        reservation.sent()
        try:
            await self.vgate.step()
        except SqlError as error:
            return NotReserved(error)
        rows = self.vgate.world.rows
        self.vgate.world.blocks.append(rows.next_id)
        rows.next_id = reservation.decide(rows.next_id, rows.cache)
        epoch = rows.epoch
        try:
            await self.vgate.step()
        except SqlError as error:
            return OutcomeUnknown(error)
        return Reserved(epoch)

    async def move(self, move: Move) -> Moved:
        await self.vgate.step()
        rows = self.vgate.world.rows
        was = rows.next_id
        recalled = None
        if move.low < was:
            recalled = rows.epoch = rows.epoch + 1
        room = move.rooms(rows.cache) if recalled is not None else 0
        rows.next_id = now = max(was, move.high + 1 + room)
        await self.vgate.step()
        return Moved(was, now, recalled)

    async def epoch(self, name: TableName, sent: Sent) -> int:
        sent()
        await self.vgate.step()
        found = self.vgate.world.rows.epoch
        await self.vgate.step()
        return found


@dataclass
class World:
    """What all vgates share."""

    group: bool
    rows: Rows
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    now: float = 100.0
    steps: list[Step] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    """Where those begin that were reserved."""


class Clients(RuleBasedStateMachine):
    """Clients of two vgates that take ids and bring their own; a crash is a new vgate, with nothing in hand."""

    @initialize(group=st.booleans(), size=st.sampled_from([3, 10, 120]))
    def begin(self, group: bool, size: int) -> None:
        self.world = World(group, Rows(created(NAME, Kind.GROUP, Options(step=size)), cache=size))
        self.size = size
        self.names = 0
        self.vgates = [self.vgate(index) for index in range(2)]
        self.clients: list[asyncio.Task[None]] = []
        self.given: set[int] = set()
        self.inserted: set[int] = set()

    def vgate(self, index: int) -> Vgate:
        self.names += 1
        return Vgate(self.world, RATES[index], f"vgate {self.names}")

    def turn(self) -> None:
        async def some() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.world.loop.run_until_complete(some())

    def hear(self, first: int, n: int) -> None:
        values = range(first, first + n)
        assert self.given.isdisjoint(values), "given twice"
        assert self.inserted.isdisjoint(values), "given though a row has it"
        self.given.update(values)

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(who=WHO, n=st.integers(1, 2), times=st.integers(1, 4), calm=CALM)
    def take(self, who: int, n: int, times: int, calm: bool) -> None:
        vgate = self.vgates[who]

        async def client() -> None:
            for _ in range(times):
                first = vgate.take_now(n)
                self.hear(await vgate.take(n) if first is None else first, n)

        self.start(who, client(), calm)

    @rule(who=WHO, ahead=st.integers(0, 3), more=st.sampled_from([0, 1, 12]), calm=CALM)
    def insert(self, who: int, ahead: int, more: int, calm: bool) -> None:
        """Ids of a row's own, which a vgate is about to give, or nobody yet."""
        self.start(who, self.client_with(who, max(self.given, default=0) + 1 + ahead, more), calm)

    @rule(who=WHO, block=st.integers(1, 3), into=st.integers(0, 3), more=st.sampled_from([0, 0, 1, 12]), calm=CALM)
    def insert_into_a_block(self, who: int, block: int, into: int, more: int, calm: bool) -> None:
        """Ids out of one of the last blocks, which are given next there."""
        if self.world.blocks:
            first = self.world.blocks[-min(block, len(self.world.blocks))]
            waiting = [value for value in range(first, first + self.size) if value not in self.given]
            if waiting:
                self.start(who, self.client_with(who, waiting[into % len(waiting)], more), calm)

    async def client_with(self, who: int, low: int, more: int) -> None:
        await self.vgates[who].bump(low + more, low)
        self.inserted.update(range(low, low + more + 1))

    def start(self, who: int, client: Coroutine[Any, Any, None], calm: bool) -> None:
        """A client of a vgate; ``calm``: what that asks for now is answered."""
        self.clients.append(self.world.loop.create_task(client, name=self.vgates[who].me))
        self.turn()
        if calm:
            self.all_steps(who)
            if not self.clients[-1].done():
                self.time_goes_by(1.2)
                self.all_steps(who)

    @rule(which=st.integers(0, 5), lost=st.sampled_from([False, False, True]))
    def one_step(self, which: int, lost: bool) -> None:
        if self.world.steps:
            step = self.world.steps.pop(which % len(self.world.steps))
            if not step.go_on.done():
                if lost:
                    step.go_on.set_exception(LOST)
                else:
                    step.go_on.set_result(None)
        self.turn()

    @rule(who=WHO)
    def all_steps(self, who: int) -> None:
        """Everything that one vgate has asked for is answered."""
        for _ in range(30):
            mine = [step for step in self.world.steps if step.who is self.vgates[who]]
            if not mine:
                break
            self.world.steps.remove(mine[0])
            if not mine[0].go_on.done():
                mine[0].go_on.set_result(None)
            self.turn()

    @rule(who=WHO)
    def cut_off(self, who: int) -> None:
        """Nothing that one vgate has asked for is answered."""
        for step in [step for step in self.world.steps if step.who is self.vgates[who]]:
            self.world.steps.remove(step)
            if not step.go_on.done():
                step.go_on.set_exception(LOST)
        self.turn()

    @rule(seconds=st.sampled_from([0.1, 0.6, 0.95, 1.2]))
    def time_goes_by(self, seconds: float) -> None:
        self.world.now += seconds
        for vgate in self.vgates:
            vgate.wake()
        self.turn()

    @rule(which=st.integers(0, 5))
    def client_goes_away(self, which: int) -> None:
        waiting = [task for task in self.clients if not task.done()]
        if waiting:
            waiting[which % len(waiting)].cancel()
            self.turn()

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        vgate = self.vgates[who]
        for task in [*vgate.tasks, *(client for client in self.clients if client.get_name() == vgate.me)]:
            task.cancel()
        self.turn()
        self.world.steps = [step for step in self.world.steps if step.who is not self.vgates[who]]
        self.vgates[who] = self.vgate(who)

    def check_clients(self) -> None:
        for task in [task for task in self.clients if task.done()]:
            self.clients.remove(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, SqlError):
                raise error

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.check_clients()
            for _ in range(50):
                if not self.clients:
                    break
                for who in range(2):
                    self.all_steps(who)
                self.time_goes_by(0.6)
                self.check_clients()
            assert not self.clients, "somebody waits for ever"
            for vgate in self.vgates:
                for task in list(vgate.tasks):
                    task.cancel()
            self.turn()
        finally:
            self.world.loop.close()


Clients.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
test_clients = Clients.TestCase


# -- one by one ---------------------------------------------------------------------------------------------------
# What chance seldom finds: in each of these two vgates have blocks, and one is told something late, or not at all.

A, B = 0, 1


@dataclass
class Scene:
    """Vgates A and B with a block of ten each; ``a`` and ``b`` are where these begin. B is about to give b + 1."""

    clients: Clients
    a: int
    b: int

    def take(self, who: int, times: int = 1) -> None:
        """What can be given now is given."""
        self.clients.take(who, 1, times, False)

    def insert(self, who: int, high: int, low: int | None = None) -> asyncio.Task[None]:
        """An insert that has begun."""
        self.clients.start(who, self.clients.client_with(who, low or high, high - (low or high)), False)
        return self.clients.clients[-1]

    def step(self, who: int, count: int = 1, *, lost: bool = False) -> None:
        """The statement of a vgate that waits for longest takes effect, or the answer comes."""
        for _ in range(count):
            mine = [step for step in self.clients.world.steps if step.who is self.clients.vgates[who]]
            self.clients.world.steps.remove(mine[0])
            if lost:
                mine[0].go_on.set_exception(LOST)
            else:
                mine[0].go_on.set_result(None)
            self.clients.turn()

    def go_on(self, seconds: float) -> None:
        self.clients.time_goes_by(seconds)

    def end(self) -> None:
        """All that was asked for is answered, and B gives its block to the end."""
        for _ in range(6):
            self.clients.all_steps(A)
            self.clients.all_steps(B)
            self.go_on(0.6)
        self.take(B, 10)
        self.clients.teardown()


@pytest.fixture(params=["GROUP", "table"])
def scene(request: pytest.FixtureRequest) -> Scene:
    clients = Clients()
    clients.begin(request.param == "GROUP", 10)
    for who in (A, B):
        clients.take(who, 1, 1, True)
    a, b = clients.world.blocks
    assert sorted(clients.given) == [a, b]
    clients.time_goes_by(0.3)
    return Scene(clients, a, b)


def read(scene: Scene) -> None:
    """B has read the epoch in this moment."""
    scene.go_on(0.3)
    scene.take(B)
    scene.step(B, 2)


def test_an_id_of_ones_own_block_costs_nothing(scene: Scene) -> None:
    assert scene.insert(A, scene.a + 1).done()
    assert scene.insert(A, scene.a).done()
    assert not scene.clients.world.steps
    scene.take(A, 3)
    scene.end()


@pytest.mark.parametrize("low", [1, 9])
def test_an_id_of_anothers_block_waits_until_that_is_given_up(scene: Scene, low: int) -> None:
    insert = scene.insert(A, scene.b + low)
    scene.step(A, 2)
    scene.go_on(1.05)
    assert not insert.done()
    scene.go_on(0.1)
    assert insert.done()
    again = scene.insert(A, scene.b + 9)
    scene.clients.all_steps(A)
    assert again.done(), "what was recalled is known"
    scene.take(B, 12)
    scene.end()


def test_the_whole_range_counts(scene: Scene) -> None:
    """Its end lies in A's own block, or above all blocks."""
    scene.clients.take(A, 1, 10, True)
    assert not scene.insert(A, scene.clients.world.blocks[-1] + 3, scene.b + 1).done()
    scene.end()


def test_ids_above_all_blocks_wait_for_nobody_and_say_nothing_of_what_is_below(scene: Scene) -> None:
    insert = scene.insert(A, scene.b + 50)
    scene.step(A, 2)
    assert insert.done()
    scene.clients.all_steps(A)
    assert scene.insert(A, scene.b + 50).done()
    assert not scene.insert(A, scene.b + 2).done()
    scene.end()


def test_trust_ends_a_while_after_the_read_and_the_recall_waits_for_longer(scene: Scene) -> None:
    read(scene)
    insert = scene.insert(A, scene.b + 2)
    scene.step(A, 2)
    scene.go_on(0.98)
    assert not insert.done()
    scene.take(B)
    scene.end()


@pytest.mark.parametrize("late", [0.7, 1.2])
def test_a_read_that_is_answered_late_is_as_old_as_it_is(scene: Scene, late: float) -> None:
    """B reads, A recalls, the answer of before comes when A is nearly done, or is."""
    scene.go_on(0.3)
    scene.take(B)
    scene.step(B)
    insert = scene.insert(A, scene.b + 2)
    scene.step(A, 2)
    scene.go_on(late)
    scene.step(B)
    scene.go_on(1.2 - late)
    assert insert.done()
    scene.take(B, 3)
    scene.end()


def test_a_read_that_failed_adds_nothing(scene: Scene) -> None:
    insert = scene.insert(A, scene.b + 2)
    scene.step(A, 2)
    scene.go_on(0.4)
    scene.take(B)
    scene.step(B, lost=True)
    scene.go_on(0.8)
    assert insert.done()
    scene.take(B)
    scene.step(B, lost=True)
    assert isinstance(scene.clients.clients[-1].exception(), SqlError), "and who waits for it is told"
    scene.take(B, 3)
    scene.end()


def test_who_comes_while_blocks_are_recalled_waits_too(scene: Scene) -> None:
    scene.insert(A, scene.b + 2)
    scene.step(A, 2)
    scene.go_on(0.1)
    other = scene.insert(A, scene.b + 1)
    scene.clients.all_steps(A)
    assert not other.done()
    scene.take(B)
    scene.end()


def test_a_recall_does_not_hide_anothers(scene: Scene) -> None:
    """A wants an id of B's block, and before B hears of it, B wants one of A's."""
    first = scene.insert(A, scene.b + 1)
    scene.step(A, 2)
    second = scene.insert(B, scene.a + 8)
    scene.step(B, 2)
    scene.go_on(1.2)
    assert first.done()
    assert second.done()
    scene.take(B, 3)
    scene.end()


def test_a_block_on_its_way_is_passed_over_too(scene: Scene) -> None:
    """A's own: it is reserved, but A does not know yet when a client brings an id of it."""
    scene.take(A, 10)
    while len(scene.clients.world.blocks) == 2:
        scene.step(A)
    scene.insert(A, scene.clients.world.blocks[-1] + 4)
    scene.clients.all_steps(A)
    scene.take(A, 10)
    scene.end()


@pytest.mark.parametrize("group", [True, False])
def test_the_first_block_on_its_way_is_passed_over_too(group: bool) -> None:
    """There is no other vgate, so nothing is recalled."""
    clients = Clients()
    clients.begin(group, 10)
    scene = Scene(clients, 0, 0)
    scene.take(A)
    while not clients.world.blocks:
        scene.step(A)
    insert = scene.insert(A, clients.world.blocks[0] + 4)
    scene.step(A, 3)
    scene.go_on(1.2)
    assert insert.done()
    scene.take(A, 10)
    scene.end()


def test_a_block_that_was_recalled_on_its_way_is_not_used(scene: Scene) -> None:
    """B's: it is reserved, A recalls it, and then the answer comes."""
    scene.take(B, 10)
    while len(scene.clients.world.blocks) == 2:
        scene.step(B)
    insert = scene.insert(A, scene.clients.world.blocks[-1])
    scene.step(A, 2)
    scene.go_on(1.2)
    assert insert.done()
    scene.step(B)
    scene.end()


def test_what_nobody_can_give_is_known_without_the_server(scene: Scene) -> None:
    insert = scene.insert(A, scene.b + 2)
    scene.step(A, 2)
    scene.go_on(1.2)
    scene.clients.all_steps(A)
    assert insert.done()
    scene.clients.take(A, 1, 1, True)
    scene.go_on(5)
    again = scene.insert(A, scene.b + 3)
    while scene.clients.world.steps:
        scene.step(A, lost=True)
    assert again.done()
    assert again.exception() is None
    scene.end()
