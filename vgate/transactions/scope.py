"""The backend connections one session holds: those of its transaction, and those it is tied to.

A shard joins the session's transaction when a statement first reaches it; COMMIT goes to the shards in that order,
one after another. It does not know statements or clients.

Invariants
1. Outside a transaction only pinned connections are held, and those with open cursors.
2. ``_ours`` are the connections that were taken and not yet released, whether held or at work for a statement. Each
   returns to its pool once, and only idle, out of any transaction and unpinned.
3. A transaction that lost one of its connections, or of which a shard could not undo a part, cannot commit: ``broken``
   is set until ROLLBACK, even where everything has been rolled back already. One that a server itself rolled back has
   ended, as on one server: the error that told the client says so.
4. COMMIT, once begun on several shards, runs to its end whoever goes away meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable
from hashlib import sha1
from typing import Any, Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection, Rows
from vgate.errors import BACKEND_LOST, PARTIAL_COMMIT, TRANSACTION_BROKEN, UNSUPPORTED, ServerError, SqlError
from vgate.session.session import Session
from vgate.sql.literals import SWE7_LETTERS
from vgate.wire.constants import Status
from vgate.wire.packets import Ok

Place = tuple[str, int]
"""A shard: keyspace name and index in key order."""

Said = tuple[BackendConnection, Ok | Rows]
"""A server's SHOW WARNINGS."""

STATEMENT_SAVEPOINT: Final = "vgate_statement"
_LONGEST: Final = 64
AT_HOME: Final = frozenset({"a user variable", "a stored program", "PREPARE"})
"""Ties of which user variables are a part, or may be."""

XA: Final = "XA"

SNAPSHOT: Final = "WITH CONSISTENT SNAPSHOT"

LEAVES_WITHIN: Final = 2.0
"""Seconds that a server is given to roll back for a client that is gone, before the connection is closed, upon which
it does so by itself."""


class Scope:
    """See the module."""

    def __init__(self, cluster: Cluster, session: Session, *, found_rows: bool) -> None:
        self.cluster = cluster
        self.session = session
        self.found_rows = found_rows
        self.held: dict[Place, BackendConnection] = {}
        self.pinned: set[Place] = set()
        self.locked: set[Place] = set()  # those of them that are by a read lock alone
        self.read_locked: set[str] = set()  # keyspaces all of whose tables the client has locked
        self.begun: set[Place] = set()
        self.cursors: Counter[Place] = Counter()  # open ones, on connections that are held
        self._ours: set[BackendConnection] = set()
        self.hidden = False
        self.broken = False
        self.xa: Place | None = None  # where an XA transaction is open: nobody but XA's own statements can end it
        self.home: Place | None = None  # where the session's user variables live, if not among its settings alone

    @property
    def transactional(self) -> bool:
        """True while statements must run in a transaction: the client's, or a hidden one for a single statement."""
        return self.session.in_transaction or self.hidden

    # -- taking and giving back -----------------------------------------------------------------------------------

    async def take(self, place: Place, *, peeks: Collection[str] | None = None) -> BackendConnection:
        """A connection to a shard that carries the session's settings and is inside its transaction, if it has one.

        ``peeks``: user variables that the statement names, if it may see any; those of triggers that ran for other
        clients must be gone.

        Raises VgateError (unreachable, pool exhausted, broken transaction, what the session was tied to is lost) and
        ServerError (a setting refused).
        """
        connection = await self._acquire(place)
        try:
            await self._prepare(place, connection, peeks)
        except BaseException:
            self.give_back(place, connection)
            raise
        return connection

    async def take_all(
        self, places: Collection[Place], *, peeks: Collection[str] | None = None
    ) -> dict[Place, BackendConnection]:
        """``take`` of several: acquired one after another, so that clients that need several pools cannot deadlock if
        all have them in one order; then settings and transactions go to all servers at the same time.

        Where one fails none is taken, though those that have begun are part of the transaction.
        """
        taken: dict[Place, BackendConnection] = {}
        try:
            for place in places:
                taken[place] = await self._acquire(place)
            await at_once(self._prepare(place, connection, peeks) for place, connection in taken.items())
        except BaseException:
            for place, connection in taken.items():
                self.give_back(place, connection)
            raise
        return taken

    async def _acquire(self, place: Place) -> BackendConnection:
        """The connection held for ``place``, or one of its pool's. Raises as ``take``, but for what servers refuse."""
        if self.broken:
            raise TRANSACTION_BROKEN()
        if self.xa not in (None, place):
            raise UNSUPPORTED(construct=f"a statement on {self._label(place)} within XA on {self._label(self.xa)}")
        connection = self.held.get(place)
        if connection is not None and not connection.usable:
            self.drop(place)
            if self.transactional:
                raise TRANSACTION_BROKEN()
            # Its temporary tables, variables and locks are gone: once, the client must be told.
            raise BACKEND_LOST(label=connection.label)
        if connection is None:
            settings = self.session.settings
            keyspace, index = place
            pool = self.cluster.keyspaces[keyspace].pools[self.found_rows][index]
            connection = pool.take_now(settings) or await pool.take(settings)
            connection.stale = connection.written
            self._ours.add(connection)
        return connection

    async def _prepare(self, place: Place, connection: BackendConnection, peeks: Collection[str] | None) -> None:
        """Give it the session's settings, without others' variables, and let it join the transaction."""
        if peeks is not None and connection.stale:
            if place in self.held:
                await connection.forget_others(self.session.variables, peeks)
            else:
                await connection.start_over()
        settings = self.session.settings
        if connection.settings is not settings:
            await connection.carry(settings, held=place in self.held)
        if self.transactional and place not in self.begun:
            await self._begin(place, connection)

    async def borrow(self, place: Place) -> BackendConnection:
        """A connection for a look that is no part of the transaction: the held one where there is one.

        It carries the session's settings; ``give_back`` it. Raises as ``take``.
        """
        settings = self.session.settings
        connection = self.held.get(place)
        held = connection is not None and connection.usable
        if connection is None or not held:
            keyspace, index = place
            pool = self.cluster.keyspaces[keyspace].pools[self.found_rows][index]
            connection = pool.take_now(settings) or await pool.take(settings)
            self._ours.add(connection)
        try:
            if connection.settings is not settings:
                await connection.carry(settings, held=held)
        except BaseException:
            self.give_back(place, connection)
            raise
        return connection

    def give_back(self, place: Place, connection: BackendConnection) -> None:
        """The statement is over: keep the connection if the session needs it, else return it to its pool.

        Nothing happens to one that has been returned meanwhile, with the transaction that ended.
        """
        if self.held.get(place) is connection:
            if not connection.usable:
                self.drop(place)
            return
        if connection not in self._ours:
            return
        self._ours.discard(connection)
        if connection.usable:
            keyspace, index = place
            if connection.sink is not None or connection.response.status & Status.IN_TRANS:
                connection.close()  # half an answer, or a transaction that nobody knows of: not for the next client
            self.cluster.keyspaces[keyspace].pools[self.found_rows][index].release(connection)

    def owns(self, connection: BackendConnection) -> bool:
        """False once it has been returned, as with a transaction that a server ended."""
        return connection in self._ours

    def enrol(self, connection: BackendConnection) -> None:
        """A connection that was taken from its pool without ``take`` is to be given back."""
        self._ours.add(connection)

    def pin(self, place: Place, connection: BackendConnection) -> None:
        """Tie the session to this connection: it carries state that cannot be moved (a temporary table, a lock...)."""
        self.held[place] = connection
        self.pinned.add(place)
        self.locked.discard(place)

    def unpin(self, place: Place) -> None:
        """What tied the session to this connection is gone."""
        self.pinned.discard(place)
        connection = self.held.get(place)
        if connection is not None and not self._kept(place) and place not in self.begun:
            del self.held[place]
            self.give_back(place, connection)

    def home_of(self, place: Place, construct: str) -> None:
        """The session is tied to ``place`` by what makes its user variables live there."""
        if construct in AT_HOME:
            self.home = place

    def hold_cursor(self, place: Place, connection: BackendConnection) -> None:
        """A cursor was opened on this connection: keep it until ``release_cursor``."""
        self.held[place] = connection
        self.cursors[place] += 1

    def release_cursor(self, place: Place, connection: BackendConnection) -> None:
        """A cursor was closed."""
        if self.held.get(place) is not connection:
            return
        self.cursors[place] -= 1
        if not self._kept(place) and place not in self.begun:
            del self.held[place]
            self.give_back(place, connection)

    def _kept(self, place: Place) -> bool:
        """True if the connection outlives the transaction."""
        return place in self.pinned or self.cursors[place] > 0

    def check_tie(self, place: Place, construct: str, shared: Collection[str]) -> None:
        """Raises UNSUPPORTED if the session is tied to another server already, and ``construct`` is not of those that
        can be on several: what one server knows of it, the other does not.
        """
        others = self.pinned - {place}
        if others and construct not in shared:
            labels = ", ".join(sorted(map(self._label, others)))
            raise UNSUPPORTED(construct=f"{construct} on {self._label(place)} in a session that is tied to {labels}")

    def adopt(self, place: Place, connection: BackendConnection) -> None:
        """The server says that a transaction is open that vgate did not begin: autocommit is off, or a procedure did.
        """
        if not self.session.in_transaction:
            self.session.begin()
        connection.stale = connection.written
        self.held[place] = connection
        self.begun.add(place)

    def drop(self, place: Place) -> None:
        """A held connection is gone; a transaction that was open on it cannot go on."""
        connection = self.held.pop(place, None)
        if connection is not None:
            self._ours.discard(connection)
        self.pinned.discard(place)
        self.locked.discard(place)
        if place == self.xa:
            self.xa = None
        if place == self.home:
            self.home = None
            self.session.forget_variables()
        del self.cursors[place]
        if place in self.begun:
            self.begun.discard(place)
            self.broken = self.session.in_transaction

    def cut(self) -> None:
        """Close the connections from which an answer is awaited: who waits hears that they are lost."""
        for connection in list(self._ours):
            if connection.sink is not None:
                connection.close()

    async def characterise(self, connection: BackendConnection) -> None:
        """Make the transaction that begins next on ``connection`` what SET TRANSACTION said."""
        for characteristic in self.session.isolation_once:
            await connection.query(f"SET TRANSACTION {characteristic}")

    async def _begin(self, place: Place, connection: BackendConnection) -> None:
        session = self.session
        await self.characterise(connection)
        modifiers = ", ".join(session.begin_modifiers)
        await connection.query(f"START TRANSACTION {modifiers}".rstrip())
        self.held[place] = connection
        self.begun.add(place)
        for name in session.savepoints:
            await connection.query(f"SAVEPOINT {savepoint_named(name)}")

    async def begin(self, modifiers: tuple[str, ...], places: Collection[Place]) -> None:
        """BEGIN. Shards join when they are reached; only a snapshot is taken at once, at ``places``."""
        self.session.begin(modifiers)
        if SNAPSHOT in modifiers:
            try:
                for place, connection in (await self.take_all(places)).items():
                    self.give_back(place, connection)
            except BaseException:
                await self.rollback()
                raise

    def follow_xa(self, place: Place) -> None:
        """A statement of XA has run on ``place``."""
        self.xa = place if place in self.begun else None

    # -- ending ---------------------------------------------------------------------------------------------------

    async def check_ends(self, *, commit: bool) -> None:
        """Raises ServerError within XA (1399): neither COMMIT nor ROLLBACK ends it, and it goes on."""
        connection = None if self.xa is None else self.held.get(self.xa)
        if connection is not None and connection.usable:
            await connection.query("COMMIT" if commit else "ROLLBACK")

    async def commit(self) -> None:
        """Commit on every shard of the transaction: the one that joined first by itself, then all others at once.

        Raises the first shard's own error when nothing was committed (all is rolled back then), PARTIAL_COMMIT
        naming the shards when some were.
        """
        if self.broken:
            await self.rollback()
            raise TRANSACTION_BROKEN()
        places = [place for place in self.held if place in self.begun]
        if len(places) < 2:
            await self._commit(places)
            return
        if not all(self.held[place].usable for place in places):  # before the others are past recall
            await self.rollback()
            raise TRANSACTION_BROKEN()
        await to_its_end(self._commit(places))  # half a commit helps nobody

    async def _commit(self, places: list[Place]) -> None:
        first, others = places[:1], places[1:]
        try:
            for place in first:
                await self.held[place].query("COMMIT")
                self.begun.discard(place)
            commits = (self.held[place].query("COMMIT") for place in others)
            failed: dict[Place, SqlError] = {}
            for place, result in zip(others, await asyncio.gather(*commits, return_exceptions=True), strict=True):
                if isinstance(result, SqlError):
                    failed[place] = result
                elif isinstance(result, BaseException):
                    raise result
                else:
                    self.begun.discard(place)
            if failed:
                error = next(iter(failed.values()))
                committed = ", ".join(self._label(place) for place in places if place not in failed)
                labels = ", ".join(map(self._label, failed))
                raise PARTIAL_COMMIT(committed=committed, failed=labels, reason=error.message) from error
        except BaseException:
            await to_its_end(self.rollback())
            raise
        self._finish()

    async def rollback(self, within: float | None = None) -> list[Said]:
        """Roll back on every shard; a connection on which that fails, or is not done ``within`` so many seconds, is
        closed, which rolls back too. What servers warn of comes back: tables that have no transactions.
        """
        said = await self._roll_back_shards(within)
        self._finish()
        return said

    async def _roll_back_shards(self, within: float | None = None) -> list[Said]:
        places = [place for place in self.held if place in self.begun]
        said = await asyncio.gather(*(self._rollback_one(self.held[place], within) for place in places))
        return [one for one in said if one is not None]

    @staticmethod
    async def _rollback_one(connection: BackendConnection, within: float | None) -> Said | None:
        if connection.sink is not None:
            connection.close()
            return None
        try:
            async with asyncio.timeout(within):
                return await _said_of("ROLLBACK", connection)
        except (SqlError, TimeoutError):
            connection.close()
            return None

    def _finish(self) -> None:
        self.begun.clear()
        self.xa = None
        self.hidden = False
        self.broken = False
        self.session.end()
        for place in [place for place in self.held if not self._kept(place)]:
            connection = self.held.pop(place)
            self.give_back(place, connection)

    async def close(self) -> None:
        """The client is gone: roll back, and close what it was tied to."""
        await self.rollback(LEAVES_WITHIN)
        for place in list(self.held):
            connection = self.held.pop(place)
            self._ours.discard(connection)
            connection.close()
        self.pinned.clear()
        self.locked.clear()
        self.read_locked.clear()
        self.home = None
        self.cursors.clear()

    # -- savepoints -----------------------------------------------------------------------------------------------

    async def on_all(self, statement: str) -> list[Said]:
        """Run a savepoint statement on every shard of the transaction; what they warn of. Raises the first error.

        One that fails leaves shards that no longer have the same savepoints: the transaction is broken then.
        """
        if self.broken:
            raise TRANSACTION_BROKEN()
        places = [place for place in self.held if place in self.begun]
        try:
            return await self._together(places, statement)
        except BaseException as error:  # KILL QUERY, too: what other shards have done is not known
            if len(places) > 1 or not isinstance(error, ServerError):  # one server alone has just said no
                await self._break()
            raise

    async def mark(self, places: list[Place]) -> None:
        """A savepoint for the one statement about to run on several shards of the client's transaction."""
        await self._together(places, f"SAVEPOINT {STATEMENT_SAVEPOINT}")

    async def _together(self, places: Collection[Place], statement: str) -> list[Said]:
        """Run a statement on several shards at once, to its end on each; raises the first shard's error.

        All connections are the session's already, so nobody waits for anybody else's.
        """
        said: list[Said] = []

        async def run(connection: BackendConnection) -> None:
            if (one := await _said_of(statement, connection)) is not None:
                said.append(one)

        await at_once(run(self.held[place]) for place in places)
        return said

    async def undo(self, places: list[Place]) -> None:
        """Undo the marked statement on every shard. If one cannot, the whole transaction is rolled back and broken."""
        for place in places:
            connection = self.held.get(place)
            if connection is None or not connection.usable or connection.sink is not None:
                await self._break()
                return
            try:
                await connection.query(f"ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}")
            except SqlError:
                await self._break()
                return

    async def _break(self) -> None:
        """Roll back everywhere, and remember until ROLLBACK that the transaction did not end as the client thinks."""
        await to_its_end(self._roll_back_shards())
        self.begun.clear()
        self.broken = self.session.in_transaction
        for place in [place for place in self.held if not self._kept(place)]:
            connection = self.held.pop(place)
            self.give_back(place, connection)

    def _label(self, place: Place) -> str:
        keyspace, index = place
        return f"{keyspace}/{self.cluster.keyspaces[keyspace].keyspace.shards[index].name}"


async def _said_of(statement: str, connection: BackendConnection) -> Said | None:
    """Run it; SHOW WARNINGS, if it has some."""
    answer = await connection.query(statement)
    return (connection, await connection.query("SHOW WARNINGS")) if answer.warnings else None


async def at_once(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Do all of it at once, each to its end; raises the first error."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def to_its_end(work: Coroutine[Any, Any, object]) -> None:
    """Do what must not be left half done, whoever goes away meanwhile (KILL, or the client is gone, or both).

    Who was cancelled hears of it when it is over: the connections at work are not his before.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    task.result()


def savepoint_named(name: str) -> str:
    """A savepoint's name as servers are told it, in SQL that is the same in every character set."""
    raw = name.encode("utf-8", "replace")
    plain = raw.isascii() and SWE7_LETTERS.isdisjoint(raw)
    return quoted(name if plain or len(name) > _LONGEST else f"vgate_{sha1(name.lower().encode()).hexdigest()}")


def quoted(name: str) -> str:
    """A name in backticks."""
    return "`" + name.replace("`", "``") + "`"
