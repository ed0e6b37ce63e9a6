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


Clients.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
test_clients = Clients.TestCase
