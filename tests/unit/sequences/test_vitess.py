"""The asyncio shell, with a store whose every step the test decides: the line, single flight, cancellation, errors.

All tests drive one thing with one set of tools, so they stay together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from vgate.errors import BACKEND_LOST, ServerError, SqlError, VgateError
from vgate.sequences.block import MAX_NEXT_ID
from vgate.sequences.row import Move, Moved, NotReserved, Outcome, OutcomeUnknown, Reservation, Reserved
from vgate.sequences.trust import Sent
from vgate.sequences.vitess import VitessSequences
from vgate.vschema.model import TableName

SEQ = TableName("product", "customer_seq")
OTHER = TableName("product", "order_seq")
LOST = BACKEND_LOST(label="product/-")
MISSING = ServerError(1146, "42S02", "Table 'product.customer_seq' doesn't exist")


class Refill:
    """One reservation the store was asked for."""

    def __init__(self, reservation: Reservation) -> None:
        self.reservation = reservation
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def read(self, next_id: int, cache: int) -> int:
        return self.reservation.decide(next_id, cache)

    async def end(self, outcome: Outcome) -> None:
        self.outcome.set_result(outcome)
        await settle()

    async def commit(self, next_id: int, cache: int) -> int:
        """The whole transaction; the ``next_id`` written."""
        written = self.read(next_id, cache)
        await self.end(Reserved())
        return written


class Store:
    """Keeps every reservation until the test ends it."""

    def __init__(self) -> None:
        self.refills: list[Refill] = []
        self.raised: list[int] = []
        self.row = 0
        self.epochs: list[int] = []

    async def move(self, move: Move) -> Moved | None:
        """Of a row whose values are in nobody's hand."""
        was, self.row = self.row, min(move.high + 1, MAX_NEXT_ID)
        self.raised.append(self.row)
        return Moved(was, self.row)

    async def epoch(self, name: TableName, sent: Sent) -> int:
        """The next of those that the test has prepared."""
        sent()
        return self.epochs.pop(0)

    async def reserve(self, reservation: Reservation) -> Outcome:
        reservation.sent()
        self.refills.append(Refill(reservation))
        return await self.refills[-1].outcome

    @property
    def only(self) -> Refill:
        """The one refill there has been since ``only`` was last asked."""
        (refill,) = self.refills
        self.refills = []
        return refill


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


class Bench:
    """The sequences of one proxy, their store, and takers in flight."""

    def __init__(self, owner: asyncio.TaskGroup) -> None:
        self.owner = owner
        self.store = Store()
        self.now = 0.0
        self.sequences = VitessSequences(self.store, owner, lambda: self.now)
        self.order: list[int] = []

    async def taker(self, n: int, name: TableName = SEQ) -> asyncio.Task[int]:
        """A task that takes ``n``, run until it waits; ``order`` gets the values in the order they are heard."""

        async def take() -> int:
            value = await self.sequences.take(name, n)
            self.order.append(value)
            return value

        task = asyncio.get_running_loop().create_task(take())
        await settle()
        return task

    async def loaded(self, next_id: int, cache: int, n: int = 1) -> None:
        """Load the sequence and issue its first ``n`` values."""
        task = await self.taker(n)
        await self.store.only.commit(next_id, cache)
        assert await task == next_id


@asynccontextmanager
async def opened() -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as owner:
        yield Bench(owner)


# -- the fast path --------------------------------------------------------------------------------------------------


async def test_take_now_gives_what_is_in_hand_and_nothing_else() -> None:
    async with opened() as bench:
        assert bench.sequences.take_now(SEQ, 1) is None
        await bench.loaded(1, 3)
        assert [bench.sequences.take_now(SEQ, n) for n in (1, 2, 1, 1)] == [2, None, 3, None]
        assert not bench.store.refills  # never starts a refill that somebody has to wait for


@pytest.mark.parametrize("n", [0, -1, 2**63, 2**70])
async def test_a_bad_increment(n: int) -> None:
    async with opened() as bench:
        await bench.loaded(1, 3)
        assert bench.sequences.take_now(SEQ, n) is None
        with pytest.raises(VgateError) as caught:
            await bench.sequences.take(SEQ, n)
        assert caught.value.message == f"invalid increment for sequence customer_seq: {n}"
        assert (caught.value.errno, caught.value.sqlstate) == (1105, "HY000")
        assert bench.sequences.take_now(SEQ, 1) == 2
        assert not bench.store.refills


async def test_sequences_are_independent() -> None:
    async with opened() as bench:
        first, other = await bench.taker(1), await bench.taker(1, OTHER)
        names = [refill.reservation.name for refill in bench.store.refills]
        assert names == [SEQ, OTHER]
        await bench.store.refills[1].commit(500, 3)
        assert await other == 500
        assert not first.done()
        await bench.store.refills[0].commit(1, 3)
        assert await first == 1


async def test_the_table_is_verified_until_a_block_was_reserved_and_after_a_reset() -> None:
    async with opened() as bench:
        task = await bench.taker(1)
        refill = bench.store.only
        assert refill.reservation.verify
        await refill.end(NotReserved(MISSING))
        with pytest.raises(ServerError):
            await task
        task = await bench.taker(3)
        refill = bench.store.only
        assert refill.reservation.verify
        await refill.commit(1, 3)
        assert await task == 1
        task = await bench.taker(1)
        refill = bench.store.only
        assert not refill.reservation.verify
        await refill.commit(4, 3)
        assert await task == 4
        bench.sequences.reset(SEQ)
        task = await bench.taker(1)
        refill = bench.store.only
        assert refill.reservation.verify
        await refill.commit(7, 3)
        assert await task == 7


# -- the line -------------------------------------------------------------------------------------------------------


async def test_refills_are_single_flight_and_the_line_is_served_in_order() -> None:
    async with opened() as bench:
        tasks = [await bench.taker(n) for n in (2, 1, 5, 1)]
        written = await bench.store.only.commit(1, 3)
        assert written == 10
        assert [await task for task in tasks] == bench.order == [1, 3, 4, 9]


async def test_nobody_takes_past_the_line() -> None:
    async with opened() as bench:
        await bench.loaded(1, 3)
        large = await bench.taker(5)
        assert bench.sequences.take_now(SEQ, 1) is None  # though 2 and 3 are in hand
        small = await bench.taker(1)
        await bench.store.only.commit(4, 3)
        assert (await large, await small) == (2, 7)


async def test_who_comes_after_the_row_was_read_may_need_another_refill() -> None:
    async with opened() as bench:
        early = await bench.taker(2)
        refill = bench.store.only
        refill.read(1, 3)
        late, later = await bench.taker(2), await bench.taker(1)
        await refill.end(Reserved())
        assert await early == 1
        assert not late.done()
        assert not later.done()
        await bench.store.only.commit(4, 3)
        assert bench.order == [1, 3, 5]
        assert (await late, await later) == (3, 5)


async def test_a_store_that_answers_at_once() -> None:
    class Instant(Store):
        next_id = 1

        async def reserve(self, reservation: Reservation) -> Outcome:
            reservation.sent()
            self.next_id = reservation.decide(self.next_id, 3)
            return Reserved()

    async with asyncio.TaskGroup() as owner:
        sequences = VitessSequences(Instant(), owner, lambda: 0.0)
        assert [await sequences.take(SEQ, n) for n in (1, 1, 2, 6)] == [1, 2, 3, 5]
        assert await asyncio.gather(*(sequences.take(SEQ, 2) for _ in range(20))) == list(range(11, 51, 2))


# -- prefetch -------------------------------------------------------------------------------------------------------


async def test_a_low_block_is_refilled_while_nobody_waits() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000)
        assert [bench.sequences.take_now(SEQ, 1) for _ in range(799)] == list(range(2, 801))
        await settle()
        assert not bench.store.refills
        assert bench.sequences.take_now(SEQ, 1) == 801
        await settle()
        refill = bench.store.only
        assert bench.sequences.take_now(SEQ, 150) == 802  # meanwhile the rest is issued
        assert refill.read(1001, 1000) == 2001
        assert bench.sequences.take_now(SEQ, 49) == 952
        assert bench.sequences.take_now(SEQ, 1) is None
        await refill.end(Reserved())
        assert bench.sequences.take_now(SEQ, 1) == 1001
        await settle()
        assert not bench.store.refills


async def test_in_steady_state_nobody_waits() -> None:
    async with opened() as bench:
        await bench.loaded(1, 100)
        row, expected = 101, 2
        for _ in range(1000):
            assert bench.sequences.take_now(SEQ, 1) == expected
            expected += 1
            await settle()
            if bench.store.refills:
                row = await bench.store.only.commit(row, 100)
        assert row == 1101


async def test_the_first_request_may_start_a_prefetch_itself() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000, 900)
        await bench.store.only.commit(1001, 1000)
        assert bench.sequences.take_now(SEQ, 1100) == 901
        await settle()
        await bench.store.only.commit(2001, 1000)


async def test_a_failed_prefetch_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000, 801)
        with caplog.at_level(logging.WARNING, "vgate.sequences"):
            await bench.store.only.end(NotReserved(MISSING))
        assert "product.customer_seq could not be refilled ahead of need: Table" in caplog.text
        assert bench.sequences.take_now(SEQ, 1) == 802
        await settle()
        assert not bench.store.refills  # not at every call
        assert bench.sequences.take_now(SEQ, 99) == 803
        await settle()
        await bench.store.only.commit(1001, 1000)


async def test_who_waits_for_a_prefetch_hears_its_error() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000, 801)
        task = await bench.taker(500)
        await bench.store.only.end(NotReserved(MISSING))
        with pytest.raises(ServerError, match="doesn't exist"):
            await task
        assert bench.sequences.take_now(SEQ, 1) == 802


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [NotReserved, OutcomeUnknown])
async def test_an_error_reaches_all_who_wait_and_the_next_call_tries_again(make: Callable[[SqlError], Outcome]) -> None:
    async with opened() as bench:
        tasks = [await bench.taker(n) for n in (1, 2, 1)]
        refill = bench.store.only
        refill.read(1, 3)
        tasks.append(await bench.taker(1))
        await refill.end(make(LOST))
        for task in tasks:
            with pytest.raises(VgateError, match="lost connection"):
                await task
        assert not bench.store.refills
        again = await bench.taker(1)
        await bench.store.only.commit(1, 3)
        assert await again == 1


async def test_a_store_without_a_connection_raises() -> None:
    class Unreachable(Store):
        async def reserve(self, reservation: Reservation) -> Outcome:
            raise LOST

    async with asyncio.TaskGroup() as owner:
        sequences = VitessSequences(Unreachable(), owner, lambda: 0.0)
        for _ in range(2):
            with pytest.raises(VgateError, match="lost connection"):
                await sequences.take(SEQ, 1)


async def test_a_bug_in_the_store_does_not_end_the_owner(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Store):
        async def reserve(self, reservation: Reservation) -> Outcome:
            raise KeyError("x")

    async with asyncio.TaskGroup() as owner:
        sequences = VitessSequences(Broken(), owner, lambda: 0.0)
        for _ in range(2):
            with pytest.raises(VgateError, match=r"VT13001.*refilling sequence product.customer_seq: KeyError"):
                await sequences.take(SEQ, 1)
    assert "Traceback" in caplog.text


async def test_after_an_unknown_outcome_the_row_is_read_again() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000, 801)
        refill = bench.store.only
        assert refill.read(1001, 1000) == 2001
        await refill.end(OutcomeUnknown(LOST))
        assert bench.sequences.take_now(SEQ, 1) is None
        task = await bench.taker(1)
        await bench.store.only.commit(2001, 1000)
        assert await task == 2001


async def test_the_request_that_passes_the_end_of_bigint_fails_alone() -> None:
    async with opened() as bench:
        large, small = await bench.taker(MAX_NEXT_ID), await bench.taker(2)
        refill = bench.store.only
        with pytest.raises(VgateError) as caught:
            refill.read(1, 3)
        await refill.end(NotReserved(caught.value))
        with pytest.raises(VgateError, match="customer_seq has run out: 9223372036854775807 more would pass"):
            await large
        assert not small.done()
        await bench.store.only.commit(1, 3)
        assert await small == 1


async def test_the_request_that_does_not_fit_went_away_before_it_was_told() -> None:
    async with opened() as bench:
        large, small = await bench.taker(MAX_NEXT_ID), await bench.taker(2)
        refill = bench.store.only
        with pytest.raises(VgateError) as caught:
            refill.read(1, 3)
        large.cancel()
        await refill.end(NotReserved(caught.value))
        assert large.cancelled()
        await bench.store.only.commit(1, 3)
        assert await small == 1


async def test_a_row_that_went_back_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as bench:
        await bench.loaded(1, 3, 3)
        task = await bench.taker(1)
        await bench.store.only.commit(1, 3)
        assert await task == 4
        assert "product.customer_seq: next_id is 1, behind 4: not going back" in caplog.text


# -- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", [0, 1, 2])
@pytest.mark.parametrize("moment", ["before the row is read", "after the row is read", "with the answer"])
async def test_one_cancelled_waiter_costs_the_others_nothing(victim: int, moment: str) -> None:
    async with opened() as bench:
        tasks = [await bench.taker(n) for n in (3, 2, 1)]
        refill = bench.store.only
        if moment == "before the row is read":
            tasks[victim].cancel()
            await settle()
        refill.read(1, 3)
        if moment == "after the row is read":
            tasks[victim].cancel()
            await settle()
        assert not refill.outcome.cancelled()
        if moment == "with the answer":
            refill.outcome.set_result(Reserved())
            tasks[victim].cancel()
        else:
            refill.outcome.set_result(Reserved())
        await settle()
        assert tasks[victim].cancelled()
        others = [task for task in tasks if task is not tasks[victim]]
        assert [task.result() for task in others] == bench.order == sorted(bench.order)
        assert not bench.store.refills


async def test_cancelled_after_it_was_served_only_its_own_values_are_lost() -> None:
    async with opened() as bench:
        first, second = await bench.taker(1), await bench.taker(1)
        refill = bench.store.only
        refill.read(1, 3)
        refill.outcome.set_result(Reserved())
        await asyncio.sleep(0)  # the refill runs: both have their values, and have not woken
        await asyncio.sleep(0)
        first.cancel()
        await settle()
        assert await second == 2
        assert bench.sequences.take_now(SEQ, 1) == 3


async def test_nothing_is_reserved_for_who_went_away_in_the_same_tick() -> None:
    async with opened() as bench:
        first, large = await bench.taker(1), await bench.taker(100)
        large.cancel()  # it is in line still, until it wakes
        assert await bench.store.only.commit(1, 3) == 4
        assert await first == 1


async def test_all_waiters_cancelled_the_refill_goes_on() -> None:
    async with opened() as bench:
        tasks = [await bench.taker(1), await bench.taker(1)]
        refill = bench.store.only
        for task in tasks:
            task.cancel()
        await settle()
        assert bench.sequences.take_now(SEQ, 1) is None
        await refill.commit(1, 3)
        assert [bench.sequences.take_now(SEQ, 1) for _ in range(4)] == [1, 2, 3, None]


async def test_a_cancelled_head_lets_smaller_requests_pass_at_once() -> None:
    async with opened() as bench:
        await bench.loaded(1, 3)
        large, small, late = await bench.taker(5), await bench.taker(2), await bench.taker(1)
        large.cancel()
        await settle()
        assert small.done()
        assert await small == 2
        assert not late.done()
        await bench.store.only.commit(4, 3)
        assert await late == 4


async def test_a_request_in_the_same_tick_as_a_cancellation_is_not_stuck() -> None:
    async with opened() as bench:
        await bench.loaded(1, 3)
        large = await bench.taker(5)
        large.cancel()  # it is in line still, until it wakes
        assert await bench.sequences.take(SEQ, 1) == 2
        await settle()
        await bench.store.only.commit(4, 3)


async def test_cancelled_waiters_leave_no_error_unheard(recwarn: pytest.WarningsRecorder) -> None:
    async with opened() as bench:
        task = await bench.taker(1)
        refill = bench.store.only
        refill.outcome.set_result(NotReserved(MISSING))
        task.cancel()
        await settle()
        assert task.cancelled()
        assert (await bench.taker(1)).done() is False
        await bench.store.only.commit(1, 3)


# -- the owner goes away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [True, False])
async def test_the_owner_ends_a_refill_and_nobody_hangs(started: bool) -> None:
    loop = asyncio.get_running_loop()
    store = Store()

    class Owner:
        def create_task(self, coro: object) -> asyncio.Task[None]:
            assert asyncio.iscoroutine(coro)
            self.task: asyncio.Task[None] = loop.create_task(coro)
            return self.task

    owner = Owner()
    sequences = VitessSequences(store, owner, lambda: 0.0)
    taker = loop.create_task(sequences.take(SEQ, 1))
    if started:
        await settle()
        assert store.only.read(1, 3) == 4
        owner.task.cancel()
    else:
        loop.call_soon(lambda: owner.task.cancel())  # after the taker's first step, before the refill's
    with pytest.raises(VgateError, match="shutdown"):
        await taker
    assert sequences.take_now(SEQ, 1) is None
    again = loop.create_task(sequences.take(SEQ, 1))
    await settle()
    await store.only.commit(4, 3)
    assert await again == 4


async def test_an_owner_that_takes_no_more_tasks() -> None:
    owner = asyncio.TaskGroup()
    sequences = VitessSequences(Store(), owner, lambda: 0.0)
    async with owner:
        pass
    for _ in range(2):
        with pytest.raises(VgateError, match="shutdown"):
            await sequences.take(SEQ, 1)


# -- reset ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, SEQ])
async def test_a_reset_reads_the_row_again(name: TableName | None) -> None:
    async with opened() as bench:
        await bench.loaded(100, 3)
        bench.sequences.reset(OTHER)
        assert bench.sequences.take_now(SEQ, 1) == 101
        bench.sequences.reset(name)
        assert bench.sequences.take_now(SEQ, 1) is None
        task = await bench.taker(1)
        await bench.store.only.commit(1, 3)
        assert await task == 1


async def test_who_waits_over_a_reset_gets_values_read_after_it() -> None:
    async with opened() as bench:
        task = await bench.taker(1)
        refill = bench.store.only
        refill.read(1, 3)
        bench.sequences.reset()
        await refill.end(Reserved())
        assert not task.done()
        await bench.store.only.commit(100, 3)
        assert await task == 100


async def test_the_repr_tells_the_state() -> None:
    async with opened() as bench:
        task = await bench.taker(5)
        assert repr(bench.sequences) == (
            "<VitessSequences product.customer_seq: <VitessBlock [0, 0) cache 0 refill started>, 1 waiting>"
        )
        await bench.store.only.commit(1, 3)
        await task


# -- ids that rows are given --------------------------------------------------------------------------------------


async def test_an_id_in_hand_is_passed_over() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000)
        await bench.sequences.bump(SEQ, 1)
        assert bench.sequences.take_now(SEQ, 1) == 2
        await bench.sequences.bump(SEQ, 500)
        assert bench.sequences.take_now(SEQ, 1) == 501
        await bench.sequences.bump(SEQ, 7)
        assert bench.sequences.take_now(SEQ, 1) == 502
        assert not bench.store.raised
        assert not bench.store.refills


async def test_an_id_in_the_spare_block_gives_up_the_block_before_it() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000, 801)
        await bench.store.only.commit(5001, 1000)
        await bench.sequences.bump(SEQ, 5300)
        assert bench.sequences.take_now(SEQ, 1) == 5301


async def test_an_id_beyond_what_is_in_hand_raises_the_row_and_begins_there() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000)
        await bench.sequences.bump(SEQ, 70_000)
        assert bench.store.raised == [70_001]
        assert bench.sequences.take_now(SEQ, 1) is None
        await settle()
        assert await bench.store.only.commit(70_001, 1000) == 71_001
        await bench.sequences.bump(SEQ, 70_001)
        assert bench.sequences.take_now(SEQ, 1) == 70_002
        assert bench.store.raised == [70_001]


async def test_a_block_on_its_way_is_waited_for_and_passed_over() -> None:
    async with opened() as bench:
        taker = await bench.taker(1)
        refill = bench.store.only
        refill.read(1, 1000)
        bump = asyncio.create_task(bench.sequences.bump(SEQ, 600))
        await settle()
        assert not bump.done()
        await refill.end(Reserved())
        await bump
        assert await taker == 1
        assert bench.sequences.take_now(SEQ, 1) == 601


async def test_the_greatest_id_of_all_leaves_nothing() -> None:
    async with opened() as bench:
        await bench.loaded(1, 1000)
        await bench.sequences.bump(SEQ, 2**64 - 1)
        assert bench.store.raised == [2**63 - 1]
        await settle()
        refill = bench.store.only
        with pytest.raises(VgateError):
            refill.read(2**63 - 1, 1000)
        await refill.end(NotReserved(LOST))
