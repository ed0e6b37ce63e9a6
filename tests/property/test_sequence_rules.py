"""Sequences under any interleaving: many proxies on one row, with crashes, lost answers and edits at every step.

Both layers are driven: ``VitessBlock`` by a state machine that plays the proxies and the server, and
``VitessSequences`` by one that plays its clients and its store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vgate.errors import BACKEND_LOST, SqlError
from vgate.sequences.block import PREFETCH_MIN_CACHE, Refill, VitessBlock
from vgate.sequences.row import Move, Moved, NotReserved, Outcome, OutcomeUnknown, Reservation, Reserved
from vgate.sequences.trust import Sent
from vgate.sequences.vitess import VitessSequences
from vgate.vschema.model import TableName

CACHES = st.sampled_from([1, 2, 3, 10, 99, 100, 101, 250])
SIZES = st.one_of(st.integers(1, 4), st.integers(1, 300))
ENDS = ["reserved", "reserved", "reserved", "failed", "unknown"]
INDEX = st.integers(0, 2)


class Disaster(Enum):
    """What can go wrong, at whatever step the proxy is."""

    CRASH = 1
    NO_ANSWER = 2
    FAILURE = 3
    DEADLOCK = 4
    RESET = 5
    CLIENT_GONE = 6


@dataclass(eq=False, slots=True)
class Proxy:
    """One proxy: its block, the request that waits, and the transaction it has open."""

    block: VitessBlock = field(default_factory=VitessBlock)
    waiting: int = 0
    locks: bool = False
    written: int | None = None
    decided_for: int = 0
    outdated: bool = False
    last_issued: int = -1

    @property
    def refilling(self) -> bool:
        return self.block.refill is not Refill.NONE


class ManyProxies(RuleBasedStateMachine):
    """Three proxies over one row. The row's lock is held from the read to the end of the transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.proxies = [Proxy() for _ in range(3)]
        self.issued: set[int] = set()
        self.lost = 0  # by crashes, resets and unknown outcomes
        self.given_up = 0  # rests of older blocks
        self.skipped = 0  # by edits, and by blocks committed that nobody heard of

    @initialize(start=st.integers(1, 50), cache=CACHES)
    def row(self, start: int, cache: int) -> None:
        self.start = self.next_id = start
        self.cache = cache

    # -- the steps ------------------------------------------------------------------------------------------------

    def attempt(self, proxy: Proxy, n: int) -> bool:
        block = proxy.block
        before, rest = block.left, block.last_val - block.next_val
        first = block.take(n)
        if first is None:
            assert block.left == before
            return False
        assert block.left in (before - n, before - n - rest), "gave up more than the rest of the old block"
        values = range(first, first + n)
        assert self.issued.isdisjoint(values), "issued twice"
        assert first > proxy.last_issued, "went back"
        assert values[-1] < self.next_id, "not reserved"
        self.issued.update(values)
        self.given_up += before - n - block.left
        proxy.last_issued = values[-1]
        return True

    def ask(self, proxy: Proxy, n: int) -> None:
        """One request; it waits if it must, and a refill begins if one is needed or due."""
        if not self.attempt(proxy, n):
            proxy.waiting = n
            if not proxy.refilling:
                self.begin_refill(proxy)
        elif proxy.block.refill_due(n):
            assert proxy.block.cache >= PREFETCH_MIN_CACHE
            self.begin_refill(proxy)

    def begin_refill(self, proxy: Proxy) -> None:
        proxy.block.refill_started()
        proxy.outdated = False

    def read(self, proxy: Proxy) -> None:
        proxy.locks = True
        proxy.written = proxy.block.row_read(self.next_id, self.cache, [proxy.waiting] if proxy.waiting else [])
        proxy.decided_for = proxy.waiting
        assert proxy.written > self.next_id

    def end_transaction(self, proxy: Proxy, *, applied: bool) -> int:
        """The server's part of the end; returns how many values were reserved."""
        assert proxy.written is not None
        size = proxy.written - self.next_id if applied else 0
        self.next_id += size
        proxy.locks = False
        proxy.written = None
        return size

    def commit(self, proxy: Proxy) -> None:
        block = proxy.block
        before, rest, two = block.left, block.last_val - block.next_val, block.spare is not None
        size = self.end_transaction(proxy, applied=True)
        block.committed()
        if proxy.outdated:
            assert block.left == before
            self.skipped += size
        else:
            assert block.left in ((before + size, before + size - rest) if two else (before + size,))
            self.given_up += before + size - block.left
        served = proxy.waiting and proxy.waiting == proxy.decided_for and not proxy.outdated
        if proxy.waiting and self.attempt(proxy, proxy.waiting):
            proxy.waiting = 0
        elif proxy.waiting:
            self.begin_refill(proxy)
        assert not (served and proxy.waiting), "a refill for a request must serve it"

    def holder(self) -> Proxy | None:
        return next((proxy for proxy in self.proxies if proxy.locks), None)

    def advance(self, proxy: Proxy) -> None:
        """The proxy's refill comes one step further, if it can."""
        if proxy.locks:
            self.commit(proxy)
        elif proxy.refilling and self.holder() is None:
            self.read(proxy)

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(index=INDEX, n=SIZES, times=st.integers(1, 100))
    def work(self, index: int, n: int, times: int) -> None:
        """A quiet time: requests with the refills they need, as long as nobody else holds the row."""
        proxy = self.proxies[index]
        for _ in range(times):
            if not proxy.waiting:
                self.ask(proxy, n)
            self.advance(proxy)
            self.advance(proxy)

    @rule(index=INDEX, n=SIZES, times=st.integers(1, 100))
    def request(self, index: int, n: int, times: int) -> None:
        """Requests until one has to wait; refills stay where they are."""
        proxy = self.proxies[index]
        for _ in range(times):
            if not proxy.waiting:
                self.ask(proxy, n)

    @rule(index=INDEX)
    def step(self, index: int) -> None:
        self.advance(self.holder() or self.proxies[index])

    @rule(
        index=INDEX, n=SIZES, times=st.integers(0, 20), steps=st.integers(0, 2), applied=st.booleans(),
        kind=st.sampled_from(Disaster),
    )
    def disaster(self, index: int, n: int, times: int, steps: int, applied: bool, kind: Disaster) -> None:
        """After some work: out of the blue, when a refill has begun, or when the row was read."""
        self.work(index, n, times)
        proxy = self.proxies[index]
        while steps and not proxy.refilling:
            self.ask(proxy, n)
        if steps == 2 and not proxy.locks:
            self.advance(proxy)
        block = proxy.block
        match kind:
            case Disaster.CRASH:  # kill -9 at any moment; a COMMIT on its way may still arrive
                self.lost += block.left
                if proxy.locks:
                    self.skipped += self.end_transaction(proxy, applied=applied)
                self.proxies[self.proxies.index(proxy)] = Proxy()
            case Disaster.NO_ANSWER if proxy.locks:
                self.skipped += self.end_transaction(proxy, applied=applied)
                self.lost += block.left
                block.outcome_unknown()
                proxy.waiting = 0
                assert block.take(1) is None, "nothing may be issued before the row is read again"
            case Disaster.FAILURE if proxy.refilling:
                left = block.left
                if proxy.locks:
                    self.end_transaction(proxy, applied=False)
                block.failed_before_commit()
                proxy.waiting = 0
                assert block.left == left
            case Disaster.DEADLOCK if proxy.locks:  # rolled back; the same refill will read again
                self.end_transaction(proxy, applied=False)
            case Disaster.RESET:
                self.lost += block.left
                block.reset()
                proxy.outdated = proxy.refilling
            case Disaster.CLIENT_GONE:
                proxy.waiting = 0
            case _:
                pass

    @rule(by=st.integers(0, 1000), cache=CACHES)
    def edit(self, by: int, cache: int) -> None:
        """The operator's UPDATE, which waits for the row's lock like any other."""
        if self.holder() is None:
            self.next_id += by
            self.skipped += by
            self.cache = cache

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def every_value_below_the_row_is_accounted_for(self) -> None:
        if hasattr(self, "start"):
            held = sum(proxy.block.left for proxy in self.proxies)
            total = len(self.issued) + held + self.lost + self.given_up + self.skipped
            assert total == self.next_id - self.start

    @invariant()
    def blocks_in_hand_do_not_meet(self) -> None:
        ranges = []
        for proxy in self.proxies:
            block = proxy.block
            ranges.append((block.next_val, block.last_val))
            if block.spare is not None:
                ranges.append(block.spare)
        spans = sorted((first, end) for first, end in ranges if first < end)
        for (_, end), (first, _) in pairwise(spans):
            assert end <= first


class LossBound(RuleBasedStateMachine):
    """One cache, requests that never exceed it, crashes at any moment: how much is lost."""

    @initialize(cache=CACHES, others=st.booleans())
    def begin(self, cache: int, others: bool) -> None:
        self.cache = cache
        self.others = others
        self.next_id = 1
        self.block = VitessBlock()
        self.issued = 0

    @rule(fraction=st.integers(1, 100), interrupted=st.sampled_from(["no", "read", "committed"]))
    def request(self, fraction: int, interrupted: str) -> None:
        """One request; ``interrupted`` says at which step of its refill, if it has one, to look what a crash loses."""
        n = max(1, self.cache * fraction // 100)
        block = self.block
        in_hand = block.left
        assert in_hand <= 2 * self.cache
        due = block.take(n) is None
        if not due and not block.refill_due(n):
            return
        rest = block.left
        assert rest < max(n, self.cache // 5) or self.others
        if self.others:
            self.next_id += self.cache
        block.refill_started()
        before = self.next_id
        self.next_id = block.row_read(self.next_id, self.cache, [n] if due else [])
        fetched = self.next_id - before
        assert fetched == self.cache, "one block"
        assert rest + fetched <= 2 * self.cache, "the rest of the block in hand, and one prefetched"
        if interrupted != "no":
            if interrupted == "committed":
                block.committed()
                assert block.left <= rest + fetched
            self.block = VitessBlock()
            return
        block.committed()
        if due:
            assert block.take(n) is not None


@dataclass(slots=True)
class Call:
    """A reservation the store was asked for, and its end."""

    reservation: Reservation
    outcome: asyncio.Future[Outcome]


class Shell(RuleBasedStateMachine):
    """Clients of one process and a store that takes its time: nobody hangs, nothing is issued twice or out of line."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.next_id = 1
        self.calls: list[Call] = []
        self.sequences = VitessSequences(self, self.loop, lambda: 0.0)
        self.name = TableName("product", "s")
        self.tasks: list[asyncio.Task[None]] = []
        self.heard: list[tuple[int, int]] = []
        self.written: int | None = None
        self.flying = 0

    def teardown(self) -> None:
        for _ in range(1000):
            if all(task.done() for task in self.tasks):
                break
            self.read()
            self.end("reserved", applied=True)
        assert all(task.done() for task in self.tasks), "somebody waits for ever"
        while self.calls:
            self.end("failed", applied=False)
        self.turn()
        self.loop.close()

    async def move(self, move: Move) -> Moved | None:
        """The store's part: no client has ids of its own here."""
        raise NotImplementedError

    async def epoch(self, name: TableName, sent: Sent) -> int:
        """The store's part: time stands still, so nobody asks."""
        raise NotImplementedError

    async def reserve(self, reservation: Reservation) -> Outcome:
        """The store's part: waits for ``end``."""
        assert self.flying == 0, "single flight"
        reservation.sent()
        self.flying += 1
        call = Call(reservation, self.loop.create_future())
        self.calls.append(call)
        try:
            return await call.outcome
        finally:
            self.flying -= 1

    def turn(self, count: int = 10) -> None:
        """Let what can run, run."""

        async def nothing() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.loop.run_until_complete(nothing())

    def hear(self, first: int, n: int) -> None:
        for other, size in self.heard:
            assert first + n <= other or other + size <= first, "issued twice"
        self.heard.append((first, n))

    @initialize(cache=CACHES)
    def row(self, cache: int) -> None:
        self.cache = cache

    @rule(sizes=st.lists(SIZES, min_size=1, max_size=6), turns=st.integers(0, 2))
    def take(self, sizes: list[int], turns: int) -> None:
        async def client(n: int) -> None:
            self.hear(await self.sequences.take(self.name, n), n)

        for n in sizes:
            self.tasks.append(self.loop.create_task(client(n)))
            self.turn(turns)

    @rule(n=SIZES, times=st.integers(1, 100))
    def take_now(self, n: int, times: int) -> None:
        async def client() -> None:
            for _ in range(times):
                first = self.sequences.take_now(self.name, n)
                if first is not None:
                    self.hear(first, n)

        self.loop.run_until_complete(client())

    @rule(index=st.integers(0, 20), turns=st.integers(0, 2))
    def cancel(self, index: int, turns: int) -> None:
        waiting = [task for task in self.tasks if not task.done()]
        if waiting:
            waiting[index % len(waiting)].cancel()
            self.turn(turns)

    @rule(turns=st.integers(0, 2))
    def refill(self, turns: int) -> None:
        """A whole refill, in one step of the loop."""
        self.read()
        self.end("reserved", applied=True, turns=turns)

    @rule()
    def read(self) -> None:
        self.turn()
        if self.calls and self.written is None:
            self.written = self.calls[0].reservation.decide(self.next_id, self.cache)

    @rule(how=st.sampled_from(ENDS), applied=st.booleans(), turns=st.integers(0, 2))
    def end(self, how: str, applied: bool, turns: int = 10) -> None:
        self.turn()
        if not self.calls:
            return
        error: SqlError = BACKEND_LOST(label="product/-")
        outcome: Outcome = NotReserved(error)
        if self.written is not None and how != "failed":
            outcome = Reserved() if how == "reserved" else OutcomeUnknown(error)
            if how == "reserved" or applied:
                self.next_id = self.written
        self.written = None
        self.calls.pop(0).outcome.set_result(outcome)
        self.turn(turns)

    @rule(by=st.integers(1, 500))
    def another_proxy(self, by: int) -> None:
        if self.written is None:
            self.next_id += by

    @rule()
    def reset(self) -> None:
        self.sequences.reset()

    @invariant()
    def who_waits_has_a_refill(self) -> None:
        self.turn()
        waiting = [task for task in self.tasks if not task.done()]
        assert bool(self.calls) or not waiting
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                assert isinstance(task.exception(), SqlError)

    @invariant()
    def served_in_the_order_of_coming(self) -> None:
        """A client is not served while one that came before still waits."""
        done = [task.done() for task in self.tasks]
        served = [task.done() and not task.cancelled() and task.exception() is None for task in self.tasks]
        if False in done:
            assert not any(served[done.index(False) :])


_LIMITS = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)
TestManyProxies = ManyProxies.TestCase
TestManyProxies.settings = _LIMITS
TestLossBound = LossBound.TestCase
TestLossBound.settings = _LIMITS
TestShell = Shell.TestCase
TestShell.settings = _LIMITS
