"""Cancellation alone: whoever waits for a server is cancelled at every point where it waits, in all the ways there are.

Afterwards no connection is lost or half used, no transaction is open, no write is kept by some shards only, and
everything works. It does not matter here what the client is told.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from enum import Enum, auto
from functools import partial
from itertools import count
from typing import Any, cast

import pytest

from tests.unit.backend.fake_servers import ADDRESS, FakeServer
from vgate.backend import cluster as cluster_module
from vgate.backend.cluster import Cluster, PoolLimits, ServerFacts
from vgate.backend.connection import BackendConnection
from vgate.backend.pool import Pool
from vgate.engine.call import Call
from vgate.engine.output import AnswerCut, Output
from vgate.engine.scatter import run_scatter
from vgate.engine.single import run_single
from vgate.engine.write import write_all
from vgate.errors import SqlError
from vgate.keyrange import ShardMap
from vgate.planner.plan import Access
from vgate.sequences.store import ClusterStore
from vgate.sequences.vitess import VitessSequences
from vgate.session.login import Login
from vgate.session.session import Session
from vgate.session.settings import NO_SETTINGS, settings_of
from vgate.sql.lexer import LexMode
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place, Scope
from vgate.vschema.model import Keyspace, Shard, TableName, VSchema

LOW, HIGH = ("customer", 0), ("customer", 1)
LIMIT = 2


# -- being cancelled --------------------------------------------------------------------------------------------------


class How(Enum):
    """When who waits is cancelled: before what it waits for has come, or when it has; and again at the next waits."""

    EARLY = auto()
    LATE = auto()
    AGAIN = auto()


@types.coroutine
def stepped(work: Coroutine[Any, Any, object], at: int, how: How) -> Generator[Any, None, bool]:
    """Do the work in the task at hand, which is cancelled where it waits for the ``at``-th time.

    True if it was cancelled; False if the work was done before. What the work makes of being cancelled is its own.
    """
    task = asyncio.current_task()
    assert task is not None
    step: Callable[[], Any] = partial(work.send, None)
    for number in count(1):
        try:
            waited = step()
        except StopIteration:
            return number > at
        if number == at or (at < number < at + 15 and how is How.AGAIN):
            if how is How.LATE and waited is not None:
                waited.add_done_callback(lambda _: task.cancel())
            else:
                asyncio.get_running_loop().call_soon(task.cancel)
        try:
            yield waited
        except BaseException as error:
            step = partial(work.throw, error)
        else:
            step = partial(work.send, None)
    raise AssertionError


async def cancelled_at(work: Coroutine[Any, Any, object], at: int, how: How) -> bool:
    """Do the work in a task of its own, cancelled at its ``at``-th wait. False if it has no such wait."""

    async def run() -> bool:
        return await stepped(work, at, how)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if task.cancelled():
        return True
    error = task.exception()
    assert error is None or isinstance(error, SqlError | AnswerCut), error
    return error is not None or task.result()


# -- what is cancelled ------------------------------------------------------------------------------------------------


class Client:
    """Hears answers."""

    def __init__(self) -> None:
        self.heard = b""

    def write(self, data: bytes) -> None:
        self.heard += data

    def attach(self, connection: BackendConnection) -> None:
        """It is never slow."""

    def attach_all(self, connections: Sequence[BackendConnection]) -> None:
        """It is not killed: its task is."""

    def detach(self) -> None:
        """Nor then."""

    async def drained(self) -> None:
        await asyncio.sleep(0)

    def abort(self) -> None:
        """Nobody is there to be cut off."""


class Ground:
    """A cluster of two shards and one, on fake servers, and one client's session."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers = {"customer/-80": FakeServer(), "customer/80-": FakeServer(slow=3), "product/-": FakeServer()}

        async def connect(address: object, label: str, **options: object) -> BackendConnection:
            return await self.servers[label].connect()

        monkeypatch.setattr(cluster_module, "open_connection", connect)
        keyspaces = [keyspace("customer", "-80", "80-"), keyspace("product", "-")]
        limits = PoolLimits(connections=LIMIT, wait=5.0)
        clock = asyncio.get_running_loop().time
        self.cluster = Cluster(VSchema({one.name: one for one in keyspaces}, version=1), limits, clock)
        self.cluster.facts["customer"] = cast(ServerFacts, types.SimpleNamespace(flavour=Flavour.MYSQL))
        self.session = Session(Login(1, "u"))
        self.scope = Scope(self.cluster, self.session, found_rows=False)
        self.client = Client()

    def call(self, text: bytes) -> Call:
        out = Output(cast(Any, self.client), self.session)
        return Call(text, [], LexMode(), self.session, self.scope, out)

    @property
    def shards(self) -> list[FakeServer]:
        return [self.servers["customer/-80"], self.servers["customer/80-"]]

    def pools(self) -> list[Pool]:
        """Those of clients without CLIENT_FOUND_ROWS, of which there are none here."""
        return [pool for servers in self.cluster.keyspaces.values() for pool in servers.pools[False]]

    async def settle(self) -> None:
        """Until nothing moves any more."""
        for _ in range(60):
            await asyncio.sleep(0)

    def nothing_is_lost(self) -> None:
        """Every connection is idle in its pool, on both ends, and out of any transaction."""
        for label, server in self.servers.items():
            pool = next(pool for pool in self.pools() if pool.label == label)
            size = len(server.sessions)
            assert repr(pool) == f"<Pool {label}: 0 busy {size} idle 0 waiting of {LIMIT}>"
            assert pool.size == size
            assert server.open_transactions == 0
            connections = [session.protocol for session in server.sessions.values()]
            assert all(connection.usable and connection.sink is None for connection in connections)

    async def works(self) -> None:
        """As many as there are places get a connection at once, and those answer."""
        for pool in self.pools():
            taken = await asyncio.wait_for(asyncio.gather(*(pool.take(NO_SETTINGS) for _ in range(LIMIT))), 5)
            for connection in taken:
                await connection.carry(NO_SETTINGS)
                assert len(await connection.rows("select a")) == 3
                pool.release(connection)


def keyspace(name: str, *shards: str) -> Keyspace:
    placed = tuple(Shard(shard, ADDRESS) for shard in shards)
    return Keyspace(name, sharded=len(shards) > 1, shards=placed, shard_map=ShardMap(shards))


Work = Callable[[Ground], Coroutine[Any, Any, object]]
Check = Callable[[Ground], Awaitable[object]]


async def everywhere(
    monkeypatch: pytest.MonkeyPatch, work: Work, how: How, *, before: Check | None = None, after: Check | None = None,
    at_least: int,
) -> None:
    """Cancel ``work`` at every wait that it has, on a new ground each time. Then the client goes."""
    for at in count(1):
        ground = Ground(monkeypatch)
        if before is not None:
            await before(ground)
        more = await cancelled_at(work(ground), at, how)
        if after is not None:
            await after(ground)
        await ground.scope.close()
        await ground.settle()
        ground.nothing_is_lost()
        await ground.works()
        ground.nothing_is_lost()
        if not more:
            assert at > at_least, f"only {at} waits"
            return


WAYS = pytest.mark.parametrize("how", list(How), ids=lambda how: how.name.lower())


async def begin(ground: Ground) -> None:
    """A transaction that has written on both shards."""
    ground.session.begin()
    for place in (LOW, HIGH):
        connection = await ground.scope.take(place)
        await connection.query("insert first")
        ground.scope.give_back(place, connection)


# -- one connection ---------------------------------------------------------------------------------------------------


@WAYS
async def test_checkout(monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    async def work(ground: Ground) -> None:
        pool = ground.cluster.keyspaces["product"].pools[0][0]
        pool.release(await pool.take(NO_SETTINGS))

    await everywhere(monkeypatch, work, how, at_least=1)


@WAYS
@pytest.mark.parametrize("given", ["connection", "place"])
async def test_checkout_in_line(monkeypatch: pytest.MonkeyPatch, how: How, given: str) -> None:
    """All are taken, and the first in line is cancelled: what it was given serves those behind it."""
    served: list[asyncio.Task[None]] = []
    held: list[BackendConnection] = []

    async def other(ground: Ground) -> None:
        pool = ground.cluster.keyspaces["product"].pools[0][0]
        pool.release(await pool.take(NO_SETTINGS))

    async def before(ground: Ground) -> None:
        pool = ground.cluster.keyspaces["product"].pools[0][0]
        held[:] = [await pool.take(NO_SETTINGS) for _ in range(LIMIT)]

        async def free() -> None:
            await ground.settle()
            if given == "connection":
                pool.release(held.pop())
            else:
                held.pop().close()

        async def later() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await other(ground)

        served[:] = [asyncio.create_task(one) for one in (later(), later(), free())]

    async def after(ground: Ground) -> None:
        await asyncio.wait_for(asyncio.gather(*served), 2)
        ground.pools()[-1].release(held.pop())

    await everywhere(monkeypatch, other, how, before=before, after=after, at_least=1)


@WAYS
async def test_a_statement_of_vgate_itself(monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    async def work(ground: Ground) -> None:
        async with ground.cluster.connection("product", 0) as connection:
            await connection.query("begin")
            await connection.rows("select a")
            await connection.query("rollback")

    await everywhere(monkeypatch, work, how, at_least=5)


@WAYS
async def test_a_connection_whose_caller_has_gone_is_closed(monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    """Half of its answer is still to come."""
    for at in count(1):
        ground = Ground(monkeypatch)
        connection = await ground.cluster.keyspaces["product"].pools[0][0].take(NO_SETTINGS)
        more = await cancelled_at(connection.rows("select a"), at, how)
        assert connection.sink is None
        assert connection.usable is (not more or how is How.LATE)
        if not more:
            assert at > 1
            return


@WAYS
@pytest.mark.parametrize("transaction", [False, True])
async def test_a_read_on_one_shard(monkeypatch: pytest.MonkeyPatch, how: How, transaction: bool) -> None:
    async def work(ground: Ground) -> None:
        ground.session.settings = settings_of({"sql_mode": "''"})
        await run_single(ground.call(b"select a"), LOW, b"select a", Access.READ)

    await everywhere(monkeypatch, work, how, before=begin if transaction else None, at_least=2)


# -- several ----------------------------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("transaction", [False, True])
async def test_a_read_on_several_shards(monkeypatch: pytest.MonkeyPatch, how: How, transaction: bool) -> None:
    async def work(ground: Ground) -> None:
        await run_scatter(ground.call(b"select a"), [LOW, HIGH], b"select a")

    await everywhere(monkeypatch, work, how, before=begin if transaction else None, at_least=3)


TEXTS: dict[Place, bytes] = {LOW: b"insert low", HIGH: b"insert high"}


@WAYS
async def test_a_write_on_several_shards(monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    """All of it or nothing."""
    seen: set[int] = set()

    async def work(ground: Ground) -> None:
        await write_all(ground.call(b"insert"), TEXTS)

    async def after(ground: Ground) -> None:
        await ground.settle()
        low, high = (len(server.kept) for server in ground.shards)
        assert low == high
        assert all(server.open_transactions == 0 for server in ground.shards)
        seen.add(low)

    await everywhere(monkeypatch, work, how, after=after, at_least=6)
    assert seen == {0, 1}


@WAYS
async def test_a_write_on_several_shards_in_a_transaction(monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    """KILL QUERY: the statement is undone, or the transaction is broken; what was written before is not kept alone."""

    async def work(ground: Ground) -> None:
        await write_all(ground.call(b"insert"), TEXTS)

    async def after(ground: Ground) -> None:
        assert all(server.kept == [] for server in ground.shards)
        try:
            await ground.scope.commit()
        except SqlError:
            assert all(server.kept == [] for server in ground.shards)
        else:
            assert len({len(server.kept) for server in ground.shards}) == 1

    await everywhere(monkeypatch, work, how, before=begin, after=after, at_least=2)


@WAYS
@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_the_end_of_a_transaction(monkeypatch: pytest.MonkeyPatch, how: How, end: str) -> None:
    """Half a commit helps nobody."""

    async def work(ground: Ground) -> None:
        await getattr(ground.scope, end)()

    async def after(ground: Ground) -> None:
        await ground.settle()
        kept = [server.kept for server in ground.shards]
        assert kept in ([["insert first"]] * 2, [[]] * 2)
        assert end == "commit" or kept == [[]] * 2

    await everywhere(monkeypatch, work, how, before=begin, after=after, at_least=1)


# -- servers are told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["read", "write"])
async def test_servers_are_told_to_stop(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A statement under way on several shards goes on nowhere; a transaction survives it."""
    ground = Ground(monkeypatch)
    await begin(ground)
    for server in ground.shards:
        server.stuck = "stuck"
    call = ground.call(b"stuck")
    texts = dict.fromkeys((LOW, HIGH), b"stuck")
    task = asyncio.create_task(run_scatter(call, [*texts], b"stuck") if what == "read" else _write(call, texts))
    await ground.settle()
    assert [server.said[-1] for server in ground.shards] == ["stuck"] * 2
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [server.killed for server in ground.shards] == [[1], [1]]
    if what == "write":
        await ground.scope.commit()
        assert [server.kept for server in ground.shards] == [["insert first"]] * 2
    await ground.scope.close()
    await ground.settle()
    ground.nothing_is_lost()


async def _write(call: Call, texts: dict[Place, bytes]) -> None:
    await write_all(call, texts)


# -- sequences --------------------------------------------------------------------------------------------------------

SEQ = TableName("product", "seq")


class Owner:
    """Keeps refills; ``cancel_at`` is the wait at which the first of them is cancelled."""

    def __init__(self, cancel_at: int = 0, how: How = How.EARLY) -> None:
        self._cancel_at = cancel_at
        self._how = how
        self.reached = False

    def create_task(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        at, self._cancel_at = self._cancel_at, 0
        return asyncio.create_task(self._run(coro, at))

    async def _run(self, coro: Coroutine[Any, Any, None], at: int) -> None:
        if at:
            self.reached = await stepped(coro, at, self._how)
        else:
            await coro


@WAYS
async def test_who_waits_for_a_sequence(monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    """The refill goes on for the next one; no value is given twice."""
    for at in count(1):
        ground = Ground(monkeypatch)
        sequences = VitessSequences(ClusterStore(ground.cluster), Owner(), asyncio.get_running_loop().time)
        other = asyncio.create_task(sequences.take(SEQ, 1))
        more = await cancelled_at(sequences.take(SEQ, 1), at, how)
        values = [await asyncio.wait_for(other, 5), *[await sequences.take(SEQ, 1) for _ in range(20)]]
        assert values == sorted(set(values))
        await ground.settle()
        ground.nothing_is_lost()
        assert ground.servers["product/-"].row > values[-1]
        if not more:
            assert at > 1
            return


@WAYS
async def test_a_refill(monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    """Wherever it is cancelled: those who wait are told, and the next ones get values that nobody has had."""
    for at in count(1):
        ground = Ground(monkeypatch)
        owner = Owner(at, how)
        sequences = VitessSequences(ClusterStore(ground.cluster), owner, asyncio.get_running_loop().time)
        waiting = [asyncio.create_task(sequences.take(SEQ, 1)) for _ in range(3)]
        await asyncio.wait(waiting, timeout=5)
        given = [task.result() for task in waiting if task.exception() is None]
        assert all(task.exception() is None or isinstance(task.exception(), SqlError) for task in waiting)
        given += [await asyncio.wait_for(sequences.take(SEQ, 1), 5) for _ in range(20)]
        assert len(set(given)) == len(given)
        assert max(given) < ground.servers["product/-"].row
        await ground.settle()
        ground.nothing_is_lost()
        await ground.works()
        if len(given) == 23:
            assert at > 5
            return
