"""ALTER TABLE ADD of a column that counts, on a sharded keyspace: the rows that are there get ids, each its own.

Every shard adds the column as one that counts, in its own residue class (``auto_increment_increment`` and ``_offset``),
so that the servers number the rows themselves and no two shards give one number; then the column stops counting there.
All the while the table is locked on every shard, as one server would have it. It does not know sequences.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.single import read_warnings
from vgate.engine.write import at_once, combined
from vgate.errors import ADD_PARTIAL, BUG, ServerError, SqlError, VgateError
from vgate.planner.implicit import Definition
from vgate.session.session import Diagnostic
from vgate.sql.names import backquoted
from vgate.transactions.scope import Place, to_its_end
from vgate.wire.packets import Ok

LOCKS_WITHIN: Final = 50.0
"""Seconds to wait for those who use the table, as long as InnoDB's own wait for a row."""

_WAITED: Final = 1205
_NO_SUCH_COLUMN: Final = 1091

Settle = Callable[[int], Awaitable[None]]
"""Told of the highest id of all rows (0: there is none) while the table is still locked."""


async def number_rows(call: Call, definition: Definition, settle: Settle) -> Ok:
    """Carry out ``definition`` on every shard, then ``settle``; nobody else gets at the table before that has ended.

    Raises the first shard's error: if the statement does nothing else, the column is taken back where it was added; if
    it does, ADD_PARTIAL names the shards that have it.
    """
    keyspace = definition.table.keyspace
    shards = call.scope.cluster.keyspaces[keyspace].keyspace.shards
    places = [(keyspace, index) for index in range(len(shards))]
    connections: dict[Place, BackendConnection] = {}
    try:
        for place in places:
            connections[place] = await call.scope.take(place)
        await _lock(list(connections.values()), backquoted(definition.table.table))
        for (_, index), connection in connections.items():
            own = f"auto_increment_increment = {len(places)}, auto_increment_offset = {index + 1}"
            await connection.query(f"SET {own}")
        numbering = _Numbering(call, definition, connections)
        answer = await numbering.add()
        await to_its_end(numbering.finish(settle))
        return answer
    finally:
        await to_its_end(_let_go(call, connections))


async def _lock(connections: Sequence[BackendConnection], table: bytes) -> None:
    """Lock the table on every shard. Raises the server's error for a wait that was too long.

    A transaction that has the table on one shard may be about to use it on another: so no shard is waited for long
    while others are locked, but all are let go, and tried again.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + LOCKS_WITHIN
    waits = [(await one.rows("SELECT @@lock_wait_timeout"))[0][0] for one in connections]
    try:
        for one in connections:
            await one.query("SET lock_wait_timeout = 1")
        while True:
            try:
                for one in connections:
                    await one.query(b"LOCK TABLES %b WRITE" % table)
                return
            except ServerError as error:
                for one in connections:
                    await one.query("UNLOCK TABLES")
                if error.errno != _WAITED or loop.time() > until:
                    raise
    finally:
        await to_its_end(_wait_again(connections, waits))


async def _wait_again(connections: Sequence[BackendConnection], waits: Sequence[bytes | None]) -> None:
    for one, wait in zip(connections, waits, strict=True):
        if one.usable:
            try:
                await one.query(b"SET lock_wait_timeout = %b" % (wait or b"DEFAULT"))
            except (SqlError, VgateError):
                one.close()


async def _let_go(call: Call, connections: Mapping[Place, BackendConnection]) -> None:
    for place, connection in connections.items():
        if connection.usable:
            try:
                await connection.query(b"SET auto_increment_increment = DEFAULT, auto_increment_offset = DEFAULT")
                await connection.query(b"UNLOCK TABLES")
            except (SqlError, VgateError):
                connection.close()
        call.scope.give_back(place, connection)


class _Numbering:
    """One statement on the shards, where the table is locked."""

    def __init__(self, call: Call, definition: Definition, connections: Mapping[Place, BackendConnection]) -> None:
        assert definition.sequence is not None
        self._call = call
        self._connections = connections
        self._definition = definition
        self._table = backquoted(definition.table.table)
        self._column = backquoted(definition.sequence.column)

    async def add(self) -> Ok:
        """The statement itself. Its warnings are the session's."""
        try:
            outcomes = await self._on_all(self._definition.text)
        except asyncio.CancelledError:
            await to_its_end(self._give_up())
            raise
        failed = {place: outcome for place, outcome in outcomes.items() if isinstance(outcome, BaseException)}
        if failed:
            raise await self._failed([place for place in outcomes if place not in failed], failed)
        noted: list[Diagnostic] = []
        answers = [outcome for outcome in outcomes.values() if isinstance(outcome, Ok)]
        for connection, answer in zip(self._connections.values(), answers, strict=True):
            noted += await read_warnings(connection) if answer.warnings else []
        self._call.session.diagnostics = list(dict.fromkeys(noted))
        return combined([replace(answer, warnings=0) for answer in answers])

    async def finish(self, settle: Settle) -> None:
        """The column counts no longer by itself, but by what ``settle`` makes. All or nothing where it can be."""
        try:
            await self._finish(settle)
        except SqlError:
            await self._give_up()
            raise

    async def _finish(self, settle: Settle) -> None:
        highest = 0
        for connection in self._connections.values():
            ((found,),) = await connection.rows(b"SELECT MAX(%b) FROM %b" % (self._column, self._table))
            highest = max(highest, int(found or 0))
        definition = await self._defined(next(iter(self._connections.values())))
        outcomes = await self._on_all(b"ALTER TABLE %b MODIFY COLUMN %b" % (self._table, definition))
        for outcome in outcomes.values():
            if isinstance(outcome, BaseException):
                raise outcome
        await settle(highest)

    async def _on_all(self, text: bytes) -> dict[Place, object]:
        results = await at_once(self._call, dict.fromkeys(self._connections, text), self._connections)
        return dict(zip(self._connections, results, strict=True))

    async def _failed(self, done: Collection[Place], failed: Mapping[Place, BaseException]) -> BaseException:
        error = next(iter(failed.values()))
        taken_back = not done or (self._definition.adds_alone and await self._take_back(done))
        if taken_back or not isinstance(error, SqlError):
            return error
        shards = self._call.scope.cluster.keyspaces[self._definition.table.keyspace].keyspace.shards
        names = [", ".join(shards[index].name for _, index in places) for places in (done, failed)]
        return ADD_PARTIAL(column=self._column.decode(), done=names[0], failed=names[1], reason=error.message)

    async def _give_up(self) -> None:
        if self._definition.adds_alone:
            await self._take_back(self._connections)

    async def _take_back(self, places: Collection[Place]) -> bool:
        """Drop the column where it is; False where that failed."""
        text = b"ALTER TABLE %b DROP COLUMN %b" % (self._table, self._column)
        usable = [self._connections[place] for place in places if self._connections[place].usable]
        results = await asyncio.gather(*(one.query(text) for one in usable), return_exceptions=True)
        wrong = [
            one for one in results
            if isinstance(one, BaseException) and not (isinstance(one, SqlError) and one.errno == _NO_SUCH_COLUMN)
        ]
        return not wrong and len(usable) == len(places)

    async def _defined(self, connection: BackendConnection) -> bytes:
        """The column as the server defines it, without AUTO_INCREMENT."""
        ((_, text),) = await connection.rows(b"SHOW CREATE TABLE %b" % self._table)
        name = re.escape(self._column[1:-1])
        found = re.search(rb"^  ([`\"]%b[`\"] [^'\n]*?) AUTO_INCREMENT(.*?),?$" % name, text or b"", re.M | re.I)
        if found is None:
            raise BUG(detail="a column that was added is not in SHOW CREATE TABLE")
        return found[1] + found[2]
