"""GROUP, SIMPLE and TIME under any interleaving: three vgates over one store, with crashes and lost answers.

The allocators and their shells are vgate's own; the store is the tables' rules in Python, each UPDATE in one step, of
which the answer may be lost. Clocks are whatever they like. No value may come twice, whoever gives it; a SIMPLE gives
them in order, and all of them but those whose answer was lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from vgate.errors import BACKEND_LOST, SqlError
from vgate.sequences.catalog import Lease, Nothing
from vgate.sequences.claims import Claims
from vgate.sequences.definition import Definition, Kind, created, next_base
from vgate.sequences.lines import AnyLine, Changed, GroupLine, SimpleLine, TimeLine
from vgate.sequences.stamps import EPOCH, LAYOUTS, LEASE, Layout
from vgate.sql.sequences import Options
from vgate.vschema.model import TableName

NAME = TableName("product", "s")
WHO = st.integers(0, 2)


@dataclass
class Rows:
    """The one row of the sequence, and those of the nodes: (holder, limit)."""

    one: Definition
    nodes: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)


class Store:
    """One vgate's way to the rows. ``lose``: what happens to the next answers (``before`` or ``after`` the UPDATE)."""

    def __init__(self, rows: Rows, me: str) -> None:
        self.rows = rows
        self.me = me
        self.lose: list[str] = []
        self.unheard: list[int] = []

    async def _step(self) -> str:
        await asyncio.sleep(0)
        lost = self.lose.pop() if self.lose else ""
        if lost == "before":
            raise BACKEND_LOST(label="product/-")
        return lost

    async def reserve(self, one: Definition) -> int | Nothing:
        lost = await self._step()
        row = self.rows.one
        if row.epoch != one.epoch:
            return Nothing.CHANGED
        self.rows.one = replace(row, value=next_base(row), holder=self.me)
        if lost:
            raise BACKEND_LOST(label="product/-")
        await asyncio.sleep(0)
        return next_base(row)

    async def advance(self, one: Definition, n: int, *, whole: bool) -> int | Nothing:
        lost = await self._step()
        row = self.rows.one
        last = row.value + row.increment * (n - 1)
        if row.epoch != one.epoch or last > row.maximum:
            return Nothing.CHANGED if row.epoch != one.epoch else Nothing.RAN_OUT
        self.rows.one = replace(row, value=last + row.increment)
        if lost:
            self.unheard += range(row.value, last + 1, row.increment)
            raise BACKEND_LOST(label="product/-")
        await asyncio.sleep(0)
        return last

    async def renew(self, layout: Layout, lease: Lease, limit: int) -> Lease | None:
        lost = await self._step()
        if self.rows.nodes.get((layout.bits, lease.node)) != (self.me, lease.limit):
            return None
        self.rows.nodes[layout.bits, lease.node] = (self.me, limit)
        if lost:
            raise BACKEND_LOST(label="product/-")
        return Lease(lease.node, lease.limit, limit)

    async def lease(self, layout: Layout, limit: int) -> Lease:
        lost = await self._step()
        for node in range(layout.nodes):
            holder, floor = self.rows.nodes.get((layout.bits, node), ("", 0))
            if holder == "" or holder in self.rows.expired:
                limit = max(limit, floor + LEASE)
                self.rows.nodes[layout.bits, node] = (self.me, limit)
                if lost:
                    raise BACKEND_LOST(label="product/-")
                return Lease(node, floor, limit)
        raise AssertionError("no node is free")


class Owner:
    """Keeps tasks, as a TaskGroup does."""

    def create_task(self, coro: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coro)


class ManyVgates(RuleBasedStateMachine):
    """Three vgates, each with one line for the sequence; a crash is a new line, and forgets what was in hand."""

    @initialize(
        kind=st.sampled_from(["GROUP", "UNIT", "SIMPLE", "TIME", "COMPACT"]), step=st.sampled_from([1, 3, 100, 250])
    )
    def begin(self, kind: str, step: int) -> None:
        self.loop = asyncio.new_event_loop()
        options = {
            "GROUP": Options(step=step), "UNIT": Options(step=step, unit_count=3, unit_index=2),
            "SIMPLE": Options(increment=2), "TIME": Options(), "COMPACT": Options(bits=53),
        }[kind]  # fmt: skip
        self.kind = {"UNIT": Kind.GROUP, "COMPACT": Kind.TIME}.get(kind) or Kind(kind)
        self.rows = Rows(created(NAME, self.kind, options))
        self.clocks = [EPOCH + 10**9] * 3
        self.names = 0
        self.stores = [self._store() for _ in range(3)]
        self.lines = [self._line(index) for index in range(3)]
        self.waiting: list[tuple[int, asyncio.Task[int]]] = []
        self.given: set[int] = set()
        self.last = 0
        self.unheard: set[int] = set()

    def _store(self) -> Store:
        self.names += 1
        return Store(self.rows, f"vgate {self.names}")

    def _line(self, index: int) -> AnyLine:
        store, one = self.stores[index], self.rows.one
        match one.kind:
            case Kind.GROUP:
                return GroupLine(one, store, Owner(), Claims())
            case Kind.SIMPLE:
                return SimpleLine(one, store, Owner())
            case Kind.TIME:
                return TimeLine(LAYOUTS[one.bits], store, Owner(), lambda: self.clocks[index])

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(who=WHO, n=st.integers(1, 5))
    def ask(self, who: int, n: int) -> None:
        line = self.lines[who]
        n = min(n, line.most)
        first = self._in_loop(line.take_now, n)
        if first is not None:
            self._take(first, n)
        else:
            self.waiting.append((n, self.loop.create_task(line.take(n))))

    def _in_loop(self, what: Any, *arguments: Any) -> Any:
        async def call() -> Any:
            return what(*arguments)

        return self.loop.run_until_complete(call())

    def _take(self, first: int, n: int) -> None:
        increment = self.rows.one.increment
        values = range(first, first + n * increment, increment)
        assert self.given.isdisjoint(values), "given twice"
        self.given.update(values)

    @rule(turns=st.integers(1, 4))
    def go_on(self, turns: int) -> None:
        async def some() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(some())
        for n, task in [pair for pair in self.waiting if pair[1].done()]:
            self.waiting.remove((n, task))
            if task.cancelled():
                continue
            error = task.exception()
            if error is None:
                self._take(task.result(), n)
            else:
                assert isinstance(error, SqlError | Changed)

    @rule(who=WHO, how=st.sampled_from(["before", "after"]))
    def lose_an_answer(self, who: int, how: str) -> None:
        self.stores[who].lose.append(how)

    @rule(data=st.data())
    def client_goes_away(self, data: st.DataObject) -> None:
        if self.waiting:
            _, task = data.draw(st.sampled_from(self.waiting))
            task.cancel()
            self.cancelled = True

    @rule(who=WHO, expired=st.booleans())
    def crash(self, who: int, expired: bool) -> None:
        self.go_on(4)
        if expired:
            self.rows.expired.add(self.stores[who].me)
        self.unheard.update(self.stores[who].unheard)
        self.stores[who] = self._store()
        self.lines[who] = self._line(who)

    @rule(who=WHO)
    def lease_is_taken_for_dead(self, who: int) -> None:
        """The vgate lives, but the server's clock went ahead: others may have its node."""
        self.rows.expired.add(self.stores[who].me)

    @rule(who=WHO, by=st.sampled_from([1, 40_000, 10**8, -1, -40_000, -(10**8)]))
    def clock_moves(self, who: int, by: int) -> None:
        self.clocks[who] += by

    cancelled = False

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for store in self.stores:
            store.lose.clear()
        while self.waiting:
            self.go_on(4)
        self.go_on(4)
        self._check_simple()
        self.loop.close()

    def _check_simple(self) -> None:
        if self.kind is not Kind.SIMPLE or self.cancelled:
            return
        for store in self.stores:
            self.unheard.update(store.unheard)
        everything = set(range(1, self.rows.one.value, 2))
        assert everything - self.given <= self.unheard, "a gap that nothing explains"
        assert self.given <= everything


ManyVgates.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
test_many_vgates = ManyVgates.TestCase
