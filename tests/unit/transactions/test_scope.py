"""The connections a session holds, with pools and servers that only record: each goes back to its pool exactly once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection
from vgate.errors import ServerError, VgateError
from vgate.session.login import Login
from vgate.session.session import Session
from vgate.session.settings import NO_SETTINGS, Settings
from vgate.transactions.scope import Scope
from vgate.wire.constants import Status
from vgate.wire.packets import Ok

PLACE = ("customer", 0)
OTHER = ("customer", 1)


class FakeConnection:
    """Records what it is asked; ``fails`` makes a statement an error."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.settings = NO_SETTINGS
        self.usable = True
        self.sink: object = None
        self.written = self.stale = False
        self.response = SimpleNamespace(status=0)
        self.said: list[str] = []
        self.fails = ""
        self.slow: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def query(self, sql: str) -> Ok:
        self.said.append(sql)
        if self.slow is not None:
            self.asked.set()
            await self.slow.wait()
        if sql == self.fails:
            raise ServerError(1213, "40001", "Deadlock found")
        return Ok()

    async def carry(self, wanted: Settings) -> None:
        self.settings = wanted

    def close(self) -> None:
        self.usable = False


class FakePool:
    """Gives out its one connection; what came back is in ``returned``."""

    def __init__(self, label: str) -> None:
        self.connection = FakeConnection(label)
        self.returned: list[FakeConnection] = []

    def take_now(self, settings: Settings) -> FakeConnection:
        return self.connection

    def release(self, connection: FakeConnection) -> None:
        self.returned.append(connection)


@pytest.fixture
def pools() -> list[FakePool]:
    return [FakePool("-80"), FakePool("80-")]


@pytest.fixture
def scope(pools: list[FakePool]) -> Scope:
    shards = [SimpleNamespace(name="-80"), SimpleNamespace(name="80-")]
    servers = SimpleNamespace(pools=(pools, pools), keyspace=SimpleNamespace(shards=shards))
    cluster = SimpleNamespace(keyspaces={"customer": servers})
    return Scope(cast(Cluster, cast(Any, cluster)), Session(Login(1, "u")), found_rows=False)


async def take(scope: Scope, place: tuple[str, int] = PLACE) -> FakeConnection:
    return cast(FakeConnection, await scope.take(place))


def give_back(scope: Scope, connection: FakeConnection, place: tuple[str, int] = PLACE) -> None:
    scope.give_back(place, cast(BackendConnection, connection))


async def test_outside_a_transaction_a_statement_returns_its_connection(scope: Scope, pools: list[FakePool]) -> None:
    give_back(scope, await take(scope))
    assert pools[0].returned == [pools[0].connection]


async def test_a_transaction_keeps_it_until_its_end(scope: Scope, pools: list[FakePool]) -> None:
    scope.session.begin()
    for place in (PLACE, OTHER, PLACE):
        give_back(scope, await take(scope, place), place)
    assert not any(pool.returned for pool in pools)
    await scope.commit()
    assert [pool.returned for pool in pools] == [[pool.connection] for pool in pools]
    assert pools[0].connection.said == ["START TRANSACTION", "COMMIT"]


@pytest.mark.parametrize("how", ["commit", "rollback"])
async def test_a_statement_that_ends_the_transaction_returns_it_once(
    scope: Scope, pools: list[FakePool], how: str
) -> None:
    """A deadlock, or DDL: the books are done while the statement still has the connection."""
    scope.session.begin()
    give_back(scope, await take(scope, OTHER), OTHER)
    connection = await take(scope)
    scope.begun.discard(PLACE)
    await getattr(scope, how)()
    give_back(scope, connection)
    assert [pool.returned for pool in pools] == [[pool.connection] for pool in pools]


async def test_a_failed_begin_returns_it_once(scope: Scope, pools: list[FakePool]) -> None:
    scope.session.begin()
    pools[0].connection.fails = "START TRANSACTION"
    with pytest.raises(ServerError):
        await scope.take(PLACE)
    assert pools[0].returned == [pools[0].connection]
    await scope.rollback()
    assert pools[0].returned == [pools[0].connection]


async def test_a_borrowed_connection_stays_out_of_the_transaction(scope: Scope, pools: list[FakePool]) -> None:
    scope.session.begin()
    borrowed = cast(FakeConnection, await scope.borrow(PLACE))
    give_back(scope, borrowed)
    assert borrowed.said == []
    assert pools[0].returned == [borrowed]
    held = await take(scope)
    give_back(scope, held)
    assert await scope.borrow(PLACE) is cast(BackendConnection, held)


async def test_a_commit_on_several_shards_is_not_cancelled(scope: Scope, pools: list[FakePool]) -> None:
    """The client may go away between two COMMITs: what one shard has kept, the other must keep."""
    scope.session.begin()
    for place in (PLACE, OTHER):
        give_back(scope, await take(scope, place), place)
    pools[0].connection.slow = asyncio.Event()
    commit = asyncio.create_task(scope.commit())
    await pools[0].connection.asked.wait()
    commit.cancel()
    await asyncio.sleep(0)
    pools[0].connection.slow.set()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert [pool.connection.said[-1] for pool in pools] == ["COMMIT", "COMMIT"]
    assert not scope.session.in_transaction


async def test_shards_join_side_by_side(scope: Scope, pools: list[FakePool]) -> None:
    """One that fails waits for the others, which are part of the transaction."""
    scope.session.begin()
    scope.session.savepoint("a")
    slow, failing = pools[0].connection, pools[1].connection
    slow.slow, failing.fails = asyncio.Event(), "START TRANSACTION"
    work = asyncio.create_task(scope.take_all([PLACE, OTHER]))
    await slow.asked.wait()
    await asyncio.sleep(0)
    assert failing.said == ["START TRANSACTION"]
    assert not work.done()
    slow.slow.set()
    with pytest.raises(ServerError):
        await work
    assert slow.said == ["START TRANSACTION", "SAVEPOINT `a`"]
    assert [pool.returned for pool in pools] == [[], [failing]]
    failing.fails = ""
    assert list(await scope.take_all([PLACE, OTHER])) == [PLACE, OTHER]
    assert failing.said[1:] == ["START TRANSACTION", "SAVEPOINT `a`"]


async def test_the_first_shard_commits_before_the_others(scope: Scope, pools: list[FakePool]) -> None:
    scope.session.begin()
    await scope.take_all([PLACE, OTHER])
    pools[0].connection.fails = "COMMIT"
    with pytest.raises(ServerError, match="Deadlock"):
        await scope.commit()
    assert "COMMIT" not in pools[1].connection.said
    scope.session.begin()
    await scope.take_all([PLACE, OTHER])
    pools[0].connection.fails, pools[1].connection.fails = "", "COMMIT"
    with pytest.raises(VgateError, match=r"customer/-80.*customer/80-"):
        await scope.commit()
    assert not scope.session.in_transaction


async def test_a_commit_begins_only_if_it_can_end(scope: Scope, pools: list[FakePool]) -> None:
    scope.session.begin()
    for place in (PLACE, OTHER):
        give_back(scope, await take(scope, place), place)
    pools[1].connection.close()
    with pytest.raises(VgateError, match="VT15001"):
        await scope.commit()
    assert pools[0].connection.said == ["START TRANSACTION", "ROLLBACK"]
    assert not scope.session.in_transaction


async def test_what_cannot_be_undone_breaks_the_transaction(scope: Scope, pools: list[FakePool]) -> None:
    """Everything is rolled back at once, but the client has to say ROLLBACK before it can go on."""
    scope.session.begin()
    for place in (PLACE, OTHER):
        give_back(scope, await take(scope, place), place)
    await scope.mark([PLACE, OTHER])
    pools[1].connection.fails = "ROLLBACK TO SAVEPOINT vgate_statement"
    await scope.undo([PLACE, OTHER])
    assert [pool.connection.said[-1] for pool in pools] == ["ROLLBACK", "ROLLBACK"]
    assert [len(pool.returned) for pool in pools] == [1, 1]
    assert scope.session.in_transaction
    for refused in (scope.take(PLACE), scope.on_all("SAVEPOINT a")):
        with pytest.raises(VgateError, match="VT15001"):
            await refused
    await scope.rollback()
    assert not scope.session.in_transaction
    give_back(scope, await take(scope))


async def test_the_loss_of_a_tie_is_told_once(scope: Scope, pools: list[FakePool]) -> None:
    connection = await take(scope)
    scope.pin(PLACE, cast(BackendConnection, connection))
    give_back(scope, connection)
    assert not pools[0].returned
    connection.close()
    pools[0].connection = FakeConnection("-80")
    with pytest.raises(VgateError, match="lost connection to -80"):
        await scope.take(PLACE)
    assert await take(scope) is pools[0].connection


async def test_a_session_is_tied_to_one_server(scope: Scope) -> None:
    scope.check_tie(PLACE, "a user variable", ())
    connection = await take(scope)
    scope.pin(PLACE, cast(BackendConnection, connection))
    scope.check_tie(PLACE, "a user variable", ())
    scope.check_tie(OTHER, "a temporary table", ("a temporary table",))
    with pytest.raises(VgateError, match="a user variable on customer/80- in a session that is tied to customer/-80"):
        scope.check_tie(OTHER, "a user variable", ())


async def test_a_transaction_nobody_knows_of_is_not_passed_on(scope: Scope, pools: list[FakePool]) -> None:
    connection = await take(scope)
    connection.response.status = Status.IN_TRANS
    give_back(scope, connection)
    assert not connection.usable
    assert pools[0].returned == [connection]  # the pool drops what is not usable


async def test_a_snapshot_is_begun_at_once(scope: Scope, pools: list[FakePool]) -> None:
    scope.session.isolation_once = ("ISOLATION LEVEL REPEATABLE READ",)
    await scope.begin(("WITH CONSISTENT SNAPSHOT",), [PLACE, OTHER])
    begun = ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT"]
    assert [pool.connection.said for pool in pools] == [begun, begun]
    await scope.begin((), [PLACE])
    assert pools[0].connection.said == begun
