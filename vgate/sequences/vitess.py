"""Vitess sequences for all clients of a process: values at once where a block has them, else in line for a refill.

One ``VitessBlock`` per sequence decides what is issued; this shell runs its refills as tasks of an owner passed in, one
at a time per sequence, and keeps the line of requests that wait. It does not know how values are chosen, what the row
looks like in SQL, or where the server is.

Invariants
1. A request is served in the synchronous step that finds its values: nothing is awaited between ``take`` of the
   block and the waiter's result, so no cancellation can give values to two requests or lose a wake-up.
2. First come, first served: while anyone waits, nobody takes past the line.
3. While anyone waits a refill or a check is in flight. A waiter that goes away takes only itself out of the line;
   the refill belongs to the owner and goes on.
4. A refill that fails fails everyone who waits for it; the next request starts another.
5. Values are issued only while they are trusted (``trust``): what is in hand is dropped when another vgate recalls it,
   and kept, unused, while the server cannot be asked. While anyone waits for that, a check is in flight.
6. ``bump`` returns when no vgate can give the ids: ``Claims`` cover them, or they were recalled.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, assert_never

from vgate.errors import BUG, INVALID_INCREMENT, SEQUENCE_EXHAUSTED, SHUTTING_DOWN, SqlError, VgateError
from vgate.sequences.block import MAX_NEXT_ID, Exhausted, Refill, VitessBlock
from vgate.sequences.claims import Claims
from vgate.sequences.row import Move, Moved, NotReserved, Outcome, OutcomeUnknown, Reservation, Reserved
from vgate.sequences.trust import LET_GO, Asked, Clock, Sent, Trust, in_time
from vgate.vschema.model import TableName

log = logging.getLogger("vgate.sequences")


class SequenceStore(Protocol):
    """Where the rows are: ``row.reserve_on`` with a connection to the one shard that holds the sequence."""

    async def reserve(self, reservation: Reservation) -> Outcome:
        """Reserve a block, never in a client's transaction. A SqlError raised means that nothing was begun."""
        ...

    async def move(self, move: Move) -> Moved | None:
        """Move the row beyond ids that were given; None if there is no such sequence, which cannot give them either."""
        ...

    async def epoch(self, name: TableName, sent: Sent) -> int:
        """The epoch of a sequence that has a table. Raises SqlError."""
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
    """One sequence: its block, its line, the refill in flight, and what other vgates may do with it."""

    __slots__ = (
        "block", "check", "claims", "decided", "kept", "misfit", "moving", "name", "task", "trust", "verified",
        "waiters",
    )  # fmt: skip

    def __init__(self, name: TableName) -> None:
        self.name = name
        self.block = VitessBlock()
        self.waiters: deque[_Waiter] = deque()
        self.task: asyncio.Task[None] | None = None
        self.verified = False
        self.misfit: _Waiter | None = None  # the request for which too few values are left below 2^63
        self.trust = Trust()
        self.check: asyncio.Task[None] | None = None
        self.kept = True  # False: its values are given as they are reserved, as nobody could recall them
        self.claims = Claims()
        self.decided = (0, 0)  # next_id before and after, as the refill in flight has it
        self.moving = asyncio.Lock()


class VitessSequences:
    """See the module."""

    def __init__(
        self, store: SequenceStore, owner: TaskOwner, clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._store = store
        self._owner = owner
        self._clock = clock
        self._sleep = sleep
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
        now, trust = self._clock(), sequence.trust
        if not trust.holds(now):
            return None
        if trust.due(now) and sequence.check is None:
            self._start_check(sequence)
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
        sequence = self._sequence(name)
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

    async def bump(self, name: TableName, high: int, low: int = 1) -> None:
        """See to it that no vgate gives any of ``low`` ... ``high`` from now on, nor this one anything lower.

        Where the row is raised for it, a block is taken from there, so that ids which are given one after the other do
        not cost a write each. Raises SqlError.
        """
        sequence = self._sequence(name)
        sequence.block.skip(high)
        if sequence.claims.covers(low, high):
            return
        async with sequence.moving:  # who comes meanwhile profits by it
            if not sequence.claims.covers(low, high):
                await self._move(sequence, low, high)

    async def _move(self, sequence: _Sequence, low: int, high: int) -> None:
        block, claims = sequence.block, sequence.claims

        def rooms(cache: int) -> int:
            return claims.room(cache, self._clock())

        moved = await self._store.move(Move(sequence.name, low, high, rooms, secrets.randbits(31) + 1))
        if moved is None:
            return
        sequence.kept = moved.kept
        if block.refill is not Refill.NONE and sequence.task is not None:  # it may have read the row before
            await asyncio.wait([sequence.task])
        block.skip(high)
        if not moved.kept:
            claims.cleared(moved.now)
            return
        if moved.recalled is not None:
            block.recalled()  # somebody else may have recalled it since the epoch was read
            sequence.trust.epoch = moved.recalled
            await self._sleep(LET_GO)
            claims.recalled(moved.now, self._clock())
        else:
            claims.claimed(moved.was, moved.now)
        if not block.left and block.refill is Refill.NONE and not sequence.waiters:
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
        if waiters and block.left and not self._may_give(sequence):
            if sequence.check is None:
                self._start_check(sequence)
            return
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

    def _may_give(self, sequence: _Sequence) -> bool:
        return not sequence.kept or sequence.trust.holds(self._clock())

    def _sequence(self, name: TableName) -> _Sequence:
        sequence = self._sequences.get(name)
        if sequence is None:
            sequence = self._sequences[name] = _Sequence(name)
        return sequence

    # -- checks ---------------------------------------------------------------------------------------------------

    def _start_check(self, sequence: _Sequence) -> None:
        check = self._check(sequence)
        try:
            task = self._owner.create_task(check)
        except RuntimeError:
            check.close()
            self._fail(sequence, SHUTTING_DOWN())
            return
        sequence.check = task
        task.add_done_callback(lambda done: self._unchecked(sequence) if done.cancelled() else None)

    def _unchecked(self, sequence: _Sequence) -> None:
        """The owner is going away."""
        sequence.check = None
        self._fail(sequence, SHUTTING_DOWN())

    async def _check(self, sequence: _Sequence) -> None:
        """The root of a background task, as ``_refill`` is."""
        error: SqlError | None = None
        try:
            sent, epoch = await in_time(lambda sent: self._store.epoch(sequence.name, sent), self._clock, sequence.name)
            self._heard(sequence, sent, epoch)
        except SqlError as failed:
            log.warning("sequence %s: whether its values were recalled is not known: %s", sequence.name, failed)
            error = failed
        except Exception as failed:
            log.exception("checking sequence %s", sequence.name)
            error = BUG(detail=f"checking sequence {sequence.name}: {type(failed).__name__}")
        finally:
            sequence.check = None
        if error is not None and not self._may_give(sequence):
            self._fail(sequence, error)
        self._serve(sequence)

    def _heard(self, sequence: _Sequence, sent: float, epoch: int) -> None:
        if sequence.trust.heard(sent, epoch):
            sequence.block.recalled()

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
        asked = Asked(self._clock)
        reservation = Reservation(
            sequence.name, lambda *row: self._decide(sequence, *row), not sequence.verified, sent=asked
        )
        outcome: Outcome
        try:
            outcome = await self._store.reserve(reservation)
        except SqlError as error:
            outcome = NotReserved(error)
        except Exception as error:
            log.exception("refilling sequence %s", sequence.name)
            outcome = OutcomeUnknown(BUG(detail=f"refilling sequence {sequence.name}: {type(error).__name__}"))
        self._settle(sequence, outcome, asked.at)
        self._serve(sequence)
        if not sequence.kept:
            sequence.block.give_up()

    def _decide(self, sequence: _Sequence, next_id: int, cache: int) -> int:
        block = sequence.block
        waiters = [waiter for waiter in sequence.waiters if not waiter.answer.done()]
        if next_id < block.end:
            log.warning("sequence %s: next_id is %d, behind %d: not going back", sequence.name, next_id, block.end)
        if next_id < sequence.claims.floor:
            sequence.claims.put_back(next_id)
        try:
            written = block.row_read(next_id, cache, [waiter.n for waiter in waiters])
            sequence.decided = next_id, written
            return written
        except Exhausted:
            sequence.misfit = waiters[0] if waiters else None
            raise SEQUENCE_EXHAUSTED(name=sequence.name.table, count=waiters[0].n if waiters else 1) from None

    def _settle(self, sequence: _Sequence, outcome: Outcome, sent: float) -> None:
        """Tell the block, and those who wait if it went wrong."""
        match outcome:
            case Reserved(epoch=epoch):
                sequence.verified = True
                sequence.kept = epoch is not None
                self._heard(sequence, sent, epoch or 0)
                sequence.claims.claimed(*sequence.decided)
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
