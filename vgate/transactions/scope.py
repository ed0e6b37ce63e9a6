"""The backend connections one session holds: those of its transaction, and those it is tied to.

A shard joins the session's transaction when a statement first reaches it; COMMIT goes to the shards in that order,
one after another. It does not know statements or clients.

Invariants
1. Outside a transaction only pinned connections are held.
2. A connection in ``held`` belongs to this session alone; it returns to its pool only idle, out of any transaction
   and unpinned.
3. A connection is returned to its pool once: by ``give_back`` at the end of the statement that uses it (``using``),
   even where that statement ended the transaction, else when the transaction ends.
4. A transaction that lost one of its connections, or that a shard rolled back, cannot commit: ``broken`` is set (or
   the whole is rolled back at once) until ROLLBACK.
"""

from __future__ import annotations

import asyncio
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection
from vgate.errors import PARTIAL_COMMIT, TRANSACTION_BROKEN, ServerError, SqlError
from vgate.session.session import Session

Place = tuple[str, int]
"""A shard: keyspace name and index in key order."""

STATEMENT_SAVEPOINT: Final = "vgate_statement"


class Scope:
    """See the module."""

    def __init__(self, cluster: Cluster, session: Session, *, found_rows: bool) -> None:
        self.cluster = cluster
        self.session = session
        self.found_rows = found_rows
        self.held: dict[Place, BackendConnection] = {}
        self.pinned: set[Place] = set()
        self.begun: set[Place] = set()
        self.using: set[Place] = set()
        self.hidden = False
        self.broken = False

    @property
    def transactional(self) -> bool:
        """True while statements must run in a transaction: the client's, or a hidden one for a single statement."""
        return self.session.in_transaction or self.hidden

    # -- taking and giving back -----------------------------------------------------------------------------------

    async def take(self, place: Place) -> BackendConnection:
        """A connection to a shard that carries the session's settings and is inside its transaction, if it has one.

        Raises VgateError (unreachable, pool exhausted, broken transaction) and ServerError (a setting refused).
        """
        if self.broken:
            raise TRANSACTION_BROKEN()
        settings = self.session.settings
        connection = self.held.get(place)
        if connection is not None and not connection.usable:
            self.drop(place)
            if self.transactional:
                raise TRANSACTION_BROKEN()
            connection = None
        if connection is None:
            keyspace, index = place
            pool = self.cluster.keyspaces[keyspace].pools[self.found_rows][index]
            connection = pool.take_now(settings) or await pool.take(settings)
        try:
            if connection.settings is not settings:
                await connection.carry(settings)
            if self.transactional and place not in self.begun:
                await self._begin(place, connection)
        except BaseException:
            self.give_back(place, connection)
            raise
        self.using.add(place)
        return connection

    async def borrow(self, place: Place) -> BackendConnection:
        """A connection for a look that is no part of the transaction: the held one where there is one.

        It carries the session's settings; ``give_back`` it. Raises as ``take``.
        """
        held = self.held.get(place)
        if held is not None and held.usable:
            return held
        settings = self.session.settings
        keyspace, index = place
        pool = self.cluster.keyspaces[keyspace].pools[self.found_rows][index]
        connection = pool.take_now(settings) or await pool.take(settings)
        try:
            await connection.carry(settings)
        except BaseException:
            self.give_back(place, connection)
            raise
        return connection

    def give_back(self, place: Place, connection: BackendConnection) -> None:
        """The statement is over: keep the connection if the session needs it, else return it to its pool."""
        self.using.discard(place)
        if place in self.held:
            if not connection.usable:
                self.drop(place)
            return
        if connection.usable:
            keyspace, index = place
            if connection.sink is not None:
                connection.close()
            self.cluster.keyspaces[keyspace].pools[self.found_rows][index].release(connection)

    def pin(self, place: Place, connection: BackendConnection) -> None:
        """Tie the session to this connection: it carries state that cannot be moved (a temporary table, a lock...)."""
        self.held[place] = connection
        self.pinned.add(place)

    def adopt(self, place: Place, connection: BackendConnection) -> None:
        """The server says that a transaction is open that vgate did not begin (a procedure began it)."""
        if not self.session.in_transaction:
            self.session.begin()
        self.held[place] = connection
        self.begun.add(place)

    def drop(self, place: Place) -> None:
        """A held connection is gone; a transaction that was open on it cannot go on."""
        self.held.pop(place, None)
        self.pinned.discard(place)
        if place in self.begun:
            self.begun.discard(place)
            self.broken = self.session.in_transaction

    async def _begin(self, place: Place, connection: BackendConnection) -> None:
        session = self.session
        for characteristic in session.isolation_once:
            await connection.query(f"SET TRANSACTION {characteristic}")
        modifiers = ", ".join(session.begin_modifiers)
        await connection.query(f"START TRANSACTION {modifiers}".rstrip())
        self.held[place] = connection
        self.begun.add(place)
        for name in session.savepoints:
            await connection.query(f"SAVEPOINT {quoted(name)}")

    # -- ending ---------------------------------------------------------------------------------------------------

    async def commit(self) -> None:
        """Commit on every shard of the transaction, in the order they joined.

        Raises the first shard's own error when nothing was committed (all is rolled back then), PARTIAL_COMMIT
        naming the shards when some were.
        """
        if self.broken:
            await self.rollback()
            raise TRANSACTION_BROKEN()
        places = [place for place in self.held if place in self.begun]
        done: list[Place] = []
        try:
            for place in places:
                try:
                    await self.held[place].query("COMMIT")
                except SqlError as error:
                    if not done:
                        raise
                    failed = ", ".join(map(self._label, places[len(done) :]))
                    committed = ", ".join(map(self._label, done))
                    raise PARTIAL_COMMIT(committed=committed, failed=failed, reason=error.message) from error
                self.begun.discard(place)
                done.append(place)
        except BaseException:
            await asyncio.shield(self.rollback())
            raise
        self._finish()

    async def rollback(self) -> None:
        """Roll back on every shard; a connection on which that fails is closed, which rolls back too."""
        places = [place for place in self.held if place in self.begun]
        await asyncio.gather(*(self._rollback_one(self.held[place]) for place in places))
        self._finish()

    @staticmethod
    async def _rollback_one(connection: BackendConnection) -> None:
        if connection.sink is not None:
            connection.close()
            return
        try:
            await connection.query("ROLLBACK")
        except SqlError:
            connection.close()

    def _finish(self) -> None:
        self.begun.clear()
        self.hidden = False
        self.broken = False
        self.session.end()
        for place in [place for place in self.held if place not in self.pinned]:
            connection = self.held.pop(place)
            if place not in self.using:
                self.give_back(place, connection)
        for place in [place for place, connection in self.held.items() if not connection.usable]:
            self.drop(place)

    async def close(self) -> None:
        """The client is gone: roll back, and close what it was tied to."""
        await self.rollback()
        for place in list(self.pinned):
            connection = self.held.pop(place)
            connection.close()
        self.pinned.clear()

    # -- savepoints -----------------------------------------------------------------------------------------------

    async def on_all(self, statement: str) -> None:
        """Run a savepoint statement on every shard of the transaction. Raises the first error."""
        for place in [place for place in self.held if place in self.begun]:
            await self.held[place].query(statement)

    async def mark(self, places: list[Place]) -> None:
        """A savepoint for the one statement about to run on several shards of the client's transaction."""
        for place in places:
            await self.held[place].query(f"SAVEPOINT {STATEMENT_SAVEPOINT}")

    async def undo(self, places: list[Place]) -> None:
        """Undo the marked statement on every shard. If one cannot, the whole transaction is rolled back."""
        for place in places:
            connection = self.held.get(place)
            if connection is None or not connection.usable or connection.sink is not None:
                await self.rollback()
                return
            try:
                await connection.query(f"ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}")
            except (ServerError, SqlError):
                await self.rollback()
                return

    def _label(self, place: Place) -> str:
        keyspace, index = place
        return f"{keyspace}/{self.cluster.keyspaces[keyspace].keyspace.shards[index].name}"


def quoted(name: str) -> str:
    """A name in backticks."""
    return "`" + name.replace("`", "``") + "`"
