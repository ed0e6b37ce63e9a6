"""Requests for values of vgate's own sequences, waiting in line: the asyncio shells of the three kinds.

Each serves what its state machine has in hand, and lets a task of an owner passed in fetch more. They do not know SQL,
nor how a sequence is found by its name (``kinds``).

Invariants
1. A request is served in the synchronous step that finds its values, so no cancellation can give values to two.
2. First come, first served: while anyone waits, nobody takes past the line.
3. While anyone waits a fetch is in flight; it belongs to the owner, and goes on when a waiter goes away. One that fails
   fails everyone it was for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from vgate.errors import BUG, SEQUENCE_BATCH, SEQUENCE_RAN_OUT, SHUTTING_DOWN, SqlError
from vgate.sequences.catalog import Lease, Nothing
from vgate.sequences.claims import Claims
from vgate.sequences.definition import MAXIMUM, Definition
from vgate.sequences.group import GroupBlock
from vgate.sequences.stamps import END, Layout, Stamps
from vgate.sequences.vitess import TaskOwner

log = logging.getLogger("vgate.sequences")

BATCH: Final = 1 << 20
"""Values of a SIMPLE that one request can have."""


class Changed(Exception):
    """The definition that a line was made of is not the sequence's any more: look at it again."""


class Store(Protocol):
    """Where values come from: ``catalog.ClusterCatalog``."""

    async def reserve(self, one: Definition) -> int | Nothing: ...

    async def advance(self, one: Definition, n: int, *, whole: bool) -> int | Nothing: ...

    async def renew(self, layout: Layout, lease: Lease, limit: int) -> Lease | None: ...

    async def lease(self, layout: Layout, limit: int) -> Lease: ...


class _Waiter:
    """One request. An error is a result, not an exception: nobody may be left to hear it."""

    __slots__ = ("answer", "n")

    def __init__(self, n: int) -> None:
        self.n = n
        self.answer: asyncio.Future[int | SqlError | Changed] = asyncio.get_running_loop().create_future()


class Line:
    """What the three have in common: the line itself, and the one fetch in flight."""

    def __init__(self, what: str, owner: TaskOwner) -> None:
        self._what = what
        self._owner = owner
        self.waiters: deque[_Waiter] = deque()
        self.fetching = False

    async def wait(self, n: int) -> int:
        """Stand in line for ``n`` values: the first of them. Raises SqlError, Changed."""
        waiter = _Waiter(n)
        self.waiters.append(waiter)
        if not self.fetching:
            self.start()
        try:
            answer = await waiter.answer
        except asyncio.CancelledError:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            raise
        if isinstance(answer, int):
            return answer
        raise answer.with_traceback(None)

    def start(self) -> None:
        """Begin a fetch."""
        self.fetching = True
        work = self._run()
        try:
            task = self._owner.create_task(work)
        except RuntimeError:  # a TaskGroup that is shutting down takes no more
            work.close()
            self._stopped()
            return
        task.add_done_callback(lambda done: self._stopped() if done.cancelled() else None)

    async def _run(self) -> None:
        """The root of a background task: it raises nothing but its own cancellation."""
        try:
            await self.fetch()
        except SqlError as error:
            if not self.waiters:
                log.warning("%s could not be filled ahead of need: %s", self._what, error)
            self.fail(error)
        except Changed as error:
            self.fail(error)
        except Exception as error:
            log.exception("filling %s", self._what)
            self.fail(BUG(detail=f"filling {self._what}: {type(error).__name__}"))
        self.fetching = False
        if self.waiters:
            self.start()

    async def fetch(self) -> None:
        """Get more, and serve the line. Raises SqlError, Changed: whoever waits then hears of it."""
        raise NotImplementedError

    def serve(self, take: Callable[[int], int | None]) -> None:
        """Serve the line from its head, as far as values go."""
        while self.waiters:
            head = self.waiters[0]
            if not head.answer.done():
                first = take(head.n)
                if first is None:
                    return
                head.answer.set_result(first)
            self.waiters.popleft()

    def fail(self, error: SqlError | Changed) -> None:
        """Everyone who waits hears of it."""
        waiters = list(self.waiters)
        self.waiters.clear()
        for waiter in waiters:
            if not waiter.answer.done():
                waiter.answer.set_result(error)

    def _stopped(self) -> None:
        self.fetching = False
        self.fail(SHUTTING_DOWN())


class GroupLine(Line):
    """A GROUP sequence: from its blocks, at once."""

    def __init__(self, one: Definition, store: Store, owner: TaskOwner, claims: Claims) -> None:
        super().__init__(f"sequence {one.name}", owner)
        self.definition = one
        self.most = one.step
        self.claims = claims
        self.block = GroupBlock(one.step)
        self._store = store

    def take_now(self, n: int) -> int | None:
        """The first of ``n`` consecutive values in hand; None if they are not."""
        if self.waiters or n > self.most:
            return None
        first = self.block.take(n)
        if first is not None and self.block.refill_due() and not self.fetching:
            self.start()
        return first

    async def take(self, n: int) -> int:
        """The first of ``n`` consecutive values. Raises SqlError, Changed."""
        if n > self.most:
            raise SEQUENCE_BATCH(name=self.definition.name, count=n, what="its blocks have", most=self.most)
        first = self.take_now(n)
        return await self.wait(n) if first is None else first

    async def fetch(self) -> None:
        block = self.block
        block.refill_started()
        given: int | Nothing | None = None
        try:
            given = await self._store.reserve(self.definition)
        finally:
            if isinstance(given, int):
                block.reserved(given)
                self.claims.claimed(given + 1, given + 1 + self.definition.out)
            else:
                block.failed()
        if given is Nothing.CHANGED:
            raise Changed
        if given is Nothing.RAN_OUT and self.waiters:
            raise SEQUENCE_RAN_OUT(name=self.definition.name, count=self.waiters[0].n, maximum=MAXIMUM)
        self.serve(block.take)


class SimpleLine(Line):
    """A SIMPLE sequence: every value is written before it is given, those of many requests in one UPDATE."""

    def __init__(self, one: Definition, store: Store, owner: TaskOwner) -> None:
        super().__init__(f"sequence {one.name}", owner)
        self.definition = one
        self.most = BATCH
        self._store = store

    def take_now(self, n: int) -> int | None:
        """Nothing is ever in hand."""
        return None

    async def take(self, n: int) -> int:
        """The first of ``n`` consecutive values, ``increment`` apart. Raises SqlError, Changed."""
        if n > self.most:
            raise SEQUENCE_BATCH(name=self.definition.name, count=n, what="one statement may have", most=self.most)
        return await self.wait(n)

    async def fetch(self) -> None:
        """One UPDATE for all who wait; where that is too much for what is left, one for the first alone."""
        one = self.definition
        batch = [waiter for waiter in self.waiters if not waiter.answer.done()]
        if not batch:
            self.waiters.clear()
            return
        given = await self._store.advance(one, sum(waiter.n for waiter in batch), whole=len(batch) == 1)
        if given is Nothing.RAN_OUT and len(batch) > 1:
            del batch[1:]
            given = await self._store.advance(one, batch[0].n, whole=True)
        if given is Nothing.CHANGED:
            raise Changed
        if given is Nothing.RAN_OUT:
            self._give(batch[0], SEQUENCE_RAN_OUT(name=one.name, count=batch[0].n, maximum=one.maximum))
            return
        assert isinstance(given, int)
        following = given + one.increment
        for waiter in reversed(batch):
            following -= waiter.n * one.increment
            self._give(waiter, following)

    def _give(self, waiter: _Waiter, answer: int | SqlError) -> None:
        """A waiter that has gone away meanwhile leaves a gap."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)
        if not waiter.answer.done():
            waiter.answer.set_result(answer)


class TimeLine(Line):
    """All TIME sequences of one layout: they share a node, and its stamps."""

    def __init__(self, layout: Layout, store: Store, owner: TaskOwner, now: Callable[[], int]) -> None:
        super().__init__(f"{layout.bits}-bit TIME sequences", owner)
        self.layout = layout
        self.most = layout.serials
        self.stamps = Stamps(layout)
        self._lease: Lease | None = None
        self._store = store
        self._now = now

    def take_now(self, n: int) -> int | None:
        """The first of ``n`` consecutive ids, if the lease allows."""
        if self.waiters or n > self.most:
            return None
        return self._take(n)

    def _take(self, n: int) -> int | None:
        now = self._now()
        first = self.stamps.take(n, now)
        if first is not None and not self.fetching and self.stamps.refill_due(now):
            self.start()
        return first

    async def take(self, n: int) -> int:
        """The first of ``n`` consecutive ids. Raises SqlError."""
        if n > self.most:
            what = "a millisecond has"
            raise SEQUENCE_BATCH(name=f"TIME ({self.layout.bits} bits)", count=n, what=what, most=self.most)
        first = self.take_now(n)
        return await self.wait(n) if first is None else first

    async def fetch(self) -> None:
        """Renew the lease, or get one. Where the answer is not known it is given up: no stamp of it is used again."""
        wanted = sum(waiter.n for waiter in self.waiters)
        limit = self.stamps.needed(wanted, self._now())
        if limit > END:
            raise SEQUENCE_RAN_OUT(name=f"TIME ({self.layout.bits} bits)", count=max(1, wanted), maximum=MAXIMUM)
        lease: Lease | None = None
        try:
            if self._lease is not None:
                lease = await self._store.renew(self.layout, self._lease, limit)
                if lease is None:
                    log.warning("node id %d of %s is another's now", self._lease.node, self._what)
            if lease is None:
                lease = await self._store.lease(self.layout, limit)
        except SqlError:
            # What is in hand may be used up. If the UPDATE did arrive, its CAS will fail, and another node be leased.
            raise
        self._lease = lease
        self.stamps.leased(lease.node, lease.floor, lease.limit)
        self.serve(self._take)


AnyLine = GroupLine | SimpleLine | TimeLine

Work = Coroutine[Any, Any, None]
