"""The pool's invariants under any order of takes, releases, losses and cancellations."""

from __future__ import annotations

import asyncio
import random

import pytest

from vgate.backend.connection import BackendConnection
from vgate.backend.pool import Pool
from vgate.errors import BACKEND_UNREACHABLE, POOL_EXHAUSTED, VgateError
from vgate.session.settings import NO_SETTINGS, settings_of


class FakeTransport(asyncio.Transport):
    """A transport that only remembers being closed."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Opener:
    """Opens fake connections when told to, or fails."""

    def __init__(self) -> None:
        self.made: list[BackendConnection] = []
        self.fail = False
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> BackendConnection:
        if self.gate is not None:
            await self.gate.wait()
        if self.fail:
            raise BACKEND_UNREACHABLE(label="ks/-", where="nowhere", reason="refused")
        connection = BackendConnection(FakeTransport(), "ks/-", len(self.made), None)
        self.made.append(connection)
        return connection


def pool_of(opener: Opener, limit: int = 2, wait: float = 60.0) -> Pool:
    return Pool("ks/-", opener, lambda: 0.0, limit=limit, wait=wait)


async def turns(count: int = 5) -> None:
    """Let every task that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_released_connection_is_used_again() -> None:
    opener = Opener()
    pool = pool_of(opener)
    first = await pool.take(NO_SETTINGS)
    pool.release(first)
    assert pool.take_now(NO_SETTINGS) is first
    assert repr(pool) == "<Pool ks/-: 1 busy 0 idle 0 waiting of 2>"


async def test_settings_prefer_a_connection_that_carries_them() -> None:
    opener = Opener()
    pool = pool_of(opener)
    plain, other = await pool.take(NO_SETTINGS), await pool.take(NO_SETTINGS)
    wanted = settings_of({"sql_mode": "'ANSI'"})
    other.settings = wanted
    pool.release(other)
    pool.release(plain)
    assert pool.take_now(wanted) is other
    assert await pool.take(wanted) is plain  # the limit is reached: the caller brings another to its settings


async def test_a_variable_that_counts_opens_no_connections() -> None:
    opener = Opener()
    pool = pool_of(opener, limit=9)
    connection = await pool.take(settings_of({"@n": "0"}))
    for number in range(1, 100):
        connection.settings = settings_of({"@n": str(number - 1)})
        pool.release(connection)
        assert await pool.take(settings_of({"@n": str(number)})) is connection
    assert len(opener.made) == 1
    assert len(pool._idle) < 70
    connection.settings = settings_of({"@m": "1"})
    pool.release(connection)
    assert await pool.take(settings_of({"@n": "1"})) is not connection


async def test_waiters_are_served_in_order() -> None:
    pool = pool_of(Opener(), limit=1)
    held = await pool.take(NO_SETTINGS)
    first = asyncio.create_task(pool.take(NO_SETTINGS))
    second = asyncio.create_task(pool.take(NO_SETTINGS))
    await turns()
    pool.release(held)
    await turns()
    assert first.done()
    assert not second.done()
    pool.release(first.result())
    assert await second is held


async def test_a_waiter_cancelled_after_it_was_served_passes_the_connection_on() -> None:
    pool = pool_of(Opener(), limit=1)
    held = await pool.take(NO_SETTINGS)
    first = asyncio.create_task(pool.take(NO_SETTINGS))
    second = asyncio.create_task(pool.take(NO_SETTINGS))
    await turns()
    pool.release(held)  # given to first, which is cancelled before it runs
    first.cancel()
    await turns()
    assert first.cancelled()
    assert second.done()
    assert second.result() is held


async def test_a_lost_connection_frees_its_place_for_a_waiter() -> None:
    opener = Opener()
    pool = pool_of(opener, limit=1)
    held = await pool.take(NO_SETTINGS)
    waiting = asyncio.create_task(pool.take(NO_SETTINGS))
    await turns()
    held.close()
    assert await waiting is opener.made[1]
    assert pool.size == 1


async def test_a_failed_open_frees_its_place() -> None:
    opener = Opener()
    opener.fail = True
    pool = pool_of(opener, limit=1)
    for _ in range(3):
        with pytest.raises(VgateError):
            await pool.take(NO_SETTINGS)
    assert pool.size == 0


async def test_a_cancelled_open_frees_its_place() -> None:
    opener = Opener()
    opener.gate = asyncio.Event()
    pool = pool_of(opener, limit=1)
    opening = asyncio.create_task(pool.take(NO_SETTINGS))
    waiting = asyncio.create_task(pool.take(NO_SETTINGS))
    await turns()
    opening.cancel()
    await turns()
    opener.gate.set()
    assert (await waiting).usable
    assert pool.size == 1


async def test_waiting_has_a_bound_and_a_clear_error() -> None:
    pool = pool_of(Opener(), limit=1, wait=0.0)
    await pool.take(NO_SETTINGS)
    with pytest.raises(VgateError) as raised:
        await pool.take(NO_SETTINGS)
    assert raised.value.fault is POOL_EXHAUSTED


async def test_idle_connections_that_break_are_forgotten() -> None:
    pool = pool_of(Opener())
    connection = await pool.take(NO_SETTINGS)
    pool.release(connection)
    connection.connection_lost(None)
    assert pool.take_now(NO_SETTINGS) is None
    assert pool.size == 0


async def test_bytes_nobody_asked_for_close_the_connection() -> None:
    pool = pool_of(Opener())
    connection = await pool.take(NO_SETTINGS)
    pool.release(connection)
    connection.data_received(b"\x07\0\0\0\xff\x7f\x10#HY00")
    assert not connection.usable
    assert pool.size == 0


async def test_a_tainted_connection_serves_nobody_else() -> None:
    pool = pool_of(Opener())
    connection = await pool.take(NO_SETTINGS)
    connection.tainted = True
    pool.release(connection)
    assert not connection.usable
    assert pool.take_now(NO_SETTINGS) is None


async def test_closing_closes_idle_ones_now_and_others_as_they_come_back() -> None:
    pool = pool_of(Opener())
    idle, busy = await pool.take(NO_SETTINGS), await pool.take(NO_SETTINGS)
    pool.release(idle)
    pool.close()
    assert not idle.usable
    assert busy.usable
    pool.release(busy)
    assert not busy.usable
    assert pool.size == 0


@pytest.mark.parametrize("seed", range(60))
async def test_any_order_of_events_keeps_the_invariants(seed: int) -> None:
    chance = random.Random(seed)
    opener = Opener()
    pool = pool_of(opener, limit=chance.randint(1, 3))
    variants = [NO_SETTINGS, settings_of({"sql_mode": "''"}), settings_of({"time_zone": "'+00:00'"})]
    takers: list[asyncio.Task[BackendConnection]] = []
    held: list[BackendConnection] = []
    for _ in range(200):
        match chance.randint(0, 6):
            case 0 | 1 | 2:
                takers.append(asyncio.create_task(pool.take(chance.choice(variants))))
            case 3 if held:
                connection = held.pop(chance.randrange(len(held)))
                connection.settings = chance.choice(variants)
                pool.release(connection)
            case 4 if takers:
                chance.choice(takers).cancel()
            case 5 if opener.made:
                chance.choice(opener.made).connection_lost(None)
            case 6:
                opener.fail = chance.random() < 0.2
        await turns(chance.randint(0, 3))
        for task in [task for task in takers if task.done()]:
            takers.remove(task)
            if not task.cancelled() and task.exception() is None:
                held.append(task.result())
        held = [connection for connection in held if connection.usable]
        assert 0 <= pool.size <= pool.limit
    opener.fail = False
    while takers:  # whoever still waits is served as soon as somebody lets go
        for connection in held:
            pool.release(connection)
        held.clear()
        await turns()
        for task in [task for task in takers if task.done()]:
            takers.remove(task)
            if not task.cancelled() and task.exception() is None:
                held.append(task.result())
    for connection in held:
        pool.release(connection)
    assert pool.size == sum(connection.usable for connection in opener.made)
