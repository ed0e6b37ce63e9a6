"""Vitess sequences for all clients of a process: values at once where a block has them, else in line for a refill.

One ``VitessBlock`` per sequence decides what is issued; this shell runs its refills as tasks of an owner passed in, one
at a time per sequence, and keeps the line of requests that wait. It does not know how values are chosen, what the row
looks like in SQL, or where the server is.

Invariants
1. A request is served in the synchronous step that finds its values: nothing is awaited between ``take`` of the
   block and the waiter's result, so no cancellation can give values to two requests or lose a wake-up.
2. First come, first served: while anyone waits, nobody takes past the line.
3. While anyone waits a refill is in flight. A waiter that goes away takes only itself out of the line; the refill
   belongs to the owner and goes on.
4. A refill that fails fails everyone who waits for it; the next request starts another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol, assert_never

from vgate.errors import BUG, INVALID_INCREMENT, SEQUENCE_EXHAUSTED, SHUTTING_DOWN, SqlError, VgateError
from vgate.sequences.block import MAX_NEXT_ID, Exhausted, Refill, VitessBlock
from vgate.sequences.row import NotReserved, Outcome, OutcomeUnknown, Reservation, Reserved
from vgate.vschema.model import TableName

log = logging.getLogger("vgate.sequences")


class SequenceStore(Protocol):
    """Where the rows are: ``row.reserve_on`` with a connection to the one shard that holds the sequence."""

    async def reserve(self, reservation: Reservation) -> Outcome:
        """Reserve a block, never in a client's transaction. A SqlError raised means that nothing was begun."""
        ...

    async def raise_to(self, name: TableName, next_id: int) -> None:
        """Raise the row's ``next_id`` to this at least; a sequence that is not there cannot give it either."""
        ...


class TaskOwner(Protocol):
    """Who keeps the refills: an ``asyncio.TaskGroup`` does. They never raise."""

    def create_task(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...


class _Waiter:
    """One request in line. An error is a result, not an exception: nobody may be left to hear it."""

    __slots__ = ("answer", "n")

    def __init__(self, n: int) -> None:
        self.n = n
        self.answer: asyncio.Future[int | SqlError] = asyncio.get_running_loop().create_future()


class _Sequence:
    """One sequence: its block, its line, and the refill in flight."""

    __slots__ = ("block", "misfit", "name", "task", "verified", "waiters")

    def __init__(self, name: TableName) -> None:
        self.name = name
        self.block = VitessBlock()
        self.waiters: deque[_Waiter] = deque()
        self.task: asyncio.Task[None] | None = None
        self.verified = False
        self.misfit: _Waiter | None = None  # the request for which too few values are left below 2^63


class VitessSequences:
    """See the module."""

    def __init__(self, store: SequenceStore, owner: TaskOwner) -> None:
        self._store = store
        self._owner = owner
        self._sequences: dict[TableName, _Sequence] = {}

    def __repr__(self) -> str:
        lines = (f"{one.name}: {one.block!r}, {len(one.waiters)} waiting" for one in self._sequences.values())
        return f"<VitessSequences {'; '.join(lines)}>"

    def take_now(self, name: TableName, n: int) -> int | None:
        """The first of ``n`` consecutive values if they are in hand, else None: then await ``take``.

        The fast path. Needs a running loop, as it may start a refill in the background.
        """
        sequence = self._sequences.get(name)
        if sequence is None or sequence.waiters or n < 1:
            return None
        block = sequence.block
        first = block.take(n)
        if first is not None and block.refill_due(n):
            self._start_refill(sequence)
        return first

    async def take(self, name: TableName, n: int) -> int:
        """The first of ``n`` consecutive values. Raises SqlError: the server's own, or the row's faults."""
        if not 1 <= n <= MAX_NEXT_ID:
            raise INVALID_INCREMENT(name=name.table, value=n)
        first = self.take_now(name, n)
        if first is not None:
            return first
        sequence = self._sequences.get(name)
        if sequence is None:
            sequence = self._sequences[name] = _Sequence(name)
        waiter = _Waiter(n)
        sequence.waiters.append(waiter)
        self._serve(sequence)
        try:
            answer = await waiter.answer
        except asyncio.CancelledError:
            if waiter in sequence.waiters:
                sequence.waiters.remove(waiter)
                self._serve(sequence)
            raise
        if isinstance(answer, SqlError):
            raise answer.with_traceback(None)
        return answer

    async def bump(self, name: TableName, value: int) -> None:
        """Give nothing up to ``value`` from now on. Raises SqlError.

        Where it is not in hand, the row is raised and a block taken from there, so that ids which are given one after
        the other do not cost a write each.
        """
        sequence = self._sequences.get(name)
        if sequence is None:
            sequence = self._sequences[name] = _Sequence(name)
        block = sequence.block
        if block.skip(value):
            return
        await self._store.raise_to(name, min(value + 1, MAX_NEXT_ID))
        if block.refill is not Refill.NONE and sequence.task is not None:  # it may have read the row before
            await asyncio.wait([sequence.task])
        if not block.skip(value) and block.refill is Refill.NONE and not sequence.waiters:
            self._start_refill(sequence)

    def reset(self, name: TableName | None = None) -> None:
        """Forget what is in hand of one sequence, or of all: the next request reads the row again."""
        for sequence in self._sequences.values():
            if name is None or sequence.name == name:
                sequence.block.reset()
                sequence.verified = False

    # -- the line -------------------------------------------------------------------------------------------------

    def _serve(self, sequence: _Sequence) -> None:
        """Serve the line as far as values go; then see to a refill, if one is needed or due."""
        block, waiters = sequence.block, sequence.waiters
        n = 0
        while waiters:
            head = waiters[0]
            if not head.answer.done():
                first = block.take(head.n)
                if first is None:
                    break
                n = head.n
                head.answer.set_result(first)
            waiters.popleft()
        if (waiters and block.refill is Refill.NONE) or (n and block.refill_due(n)):
            self._start_refill(sequence)

    def _fail(self, sequence: _Sequence, error: SqlError) -> None:
        waiters, sequence.waiters = sequence.waiters, deque()
        for waiter in waiters:
            if not waiter.answer.done():
                waiter.answer.set_result(error)

    # -- refills --------------------------------------------------------------------------------------------------

    def _start_refill(self, sequence: _Sequence) -> None:
        sequence.block.refill_started()
        refill = self._refill(sequence)
        try:
            task = self._owner.create_task(refill)
        except RuntimeError:  # a TaskGroup that is shutting down takes no more
            refill.close()
            sequence.block.failed_before_commit()
            self._fail(sequence, SHUTTING_DOWN())
            return
        sequence.task = task
        task.add_done_callback(lambda done: self._cancelled(sequence) if done.cancelled() else None)

    async def _refill(self, sequence: _Sequence) -> None:
        """The root of a background task: it raises nothing but its own cancellation."""
        sequence.misfit = None
        reservation = Reservation(sequence.name, lambda *row: self._decide(sequence, *row), not sequence.verified)
        outcome: Outcome
        try:
            outcome = await self._store.reserve(reservation)
        except SqlError as error:
            outcome = NotReserved(error)
        except Exception as error:
            log.exception("refilling sequence %s", sequence.name)
            outcome = OutcomeUnknown(BUG(detail=f"refilling sequence {sequence.name}: {type(error).__name__}"))
        self._settle(sequence, outcome)
        self._serve(sequence)

    def _decide(self, sequence: _Sequence, next_id: int, cache: int) -> int:
        block = sequence.block
        waiters = [waiter for waiter in sequence.waiters if not waiter.answer.done()]
        if next_id < block.end:
            log.warning("sequence %s: next_id is %d, behind %d: not going back", sequence.name, next_id, block.end)
        try:
            return block.row_read(next_id, cache, [waiter.n for waiter in waiters])
        except Exhausted:
            sequence.misfit = waiters[0] if waiters else None
            raise SEQUENCE_EXHAUSTED(name=sequence.name.table, count=waiters[0].n if waiters else 1) from None

    def _settle(self, sequence: _Sequence, outcome: Outcome) -> None:
        """Tell the block, and those who wait if it went wrong."""
        match outcome:
            case Reserved():
                sequence.verified = True
                sequence.block.committed()
                return
            case NotReserved(error=error):
                sequence.block.failed_before_commit()
            case OutcomeUnknown(error=error):
                sequence.block.outcome_unknown()
            case _:
                assert_never(outcome)
        if not sequence.waiters:
            log.warning("sequence %s could not be refilled ahead of need: %s", sequence.name, error)
        if not (isinstance(error, VgateError) and error.fault is SEQUENCE_EXHAUSTED):
            self._fail(sequence, error)
        elif sequence.misfit is not None and not sequence.misfit.answer.done():  # the others may want fewer
            sequence.waiters.remove(sequence.misfit)
            sequence.misfit.answer.set_result(error)

    def _cancelled(self, sequence: _Sequence) -> None:
        """The owner is going away, perhaps before the refill began to run."""
        sequence.block.outcome_unknown()
        self._fail(sequence, SHUTTING_DOWN())
