"""The gather tier: the rows a query needs are loaded into temporary tables on one server, and its own text runs there.

Invariants
1. Rows are read on the session's own connections, so that a transaction sees and locks what it should; the temporary
   tables are on another connection, which nobody gets afterwards.
2. Nothing is passed to the client before all rows have arrived: until then any failure is an error and no more.
3. Memory is bounded: a shard is read as far as it is ``AHEAD``, and rows go on in batches of ``BATCH`` bytes.

Rows of several shards, or tables, are not of one moment, but where a transaction's snapshot makes them so. This module
does not know why a query is gathered (``planner.gathering``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from vgate.backend.cluster import address_of
from vgate.backend.connection import BackendConnection, packets_of
from vgate.backend.schema import read_table
from vgate.engine.call import Call
from vgate.engine.command import command_for
from vgate.engine.gathered_rows import Column, NotGathered, RowCutter, column_of, row_of
from vgate.engine.noted import Noted, both
from vgate.engine.own_transaction import begun, had_transaction, use_up
from vgate.engine.rename import as_one, columns_of, text_for
from vgate.engine.scatter import OF_QUERY, ShardStream, describe, failure, pass_rows, stop_reading
from vgate.engine.single import found_rows, read_warnings
from vgate.errors import (
    GATHER_BINLOG,
    GATHER_GRANT,
    GATHER_TOO_LARGE,
    NO_SUCH_TABLE,
    UNSUPPORTED,
    ServerError,
    SqlError,
)
from vgate.planner.plan import Gather, Gathered
from vgate.session.settings import NO_SETTINGS, as_stored, settings_of
from vgate.sql.mentions import mentions, where_of
from vgate.sql.names import backquoted
from vgate.sql.temporary import NotTemporary, temporary
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place, at_once, to_its_end
from vgate.wire.constants import Command
from vgate.wire.packets import eof_payload, frame, read_column, read_err
from vgate.wire.prepare import Handle
from vgate.wire.schemas import SchemaRename

BATCH: Final = 1 << 20
"""Bytes of rows in one INSERT, unless the server takes less."""

_COPY: Final = b"vgate_copy_%d"
_DUPLICATE, _REOPENED, _DENIED = 1062, 1137, 1044
_NO_LITERAL: Final = frozenset({1525, 3854})
"""Errors of MySQL's that a literal is, and a parameter not: no date, and no text in its character set."""


@dataclass(frozen=True, slots=True)
class GatherLimits:
    """How much one statement may gather."""

    rows: int = 200_000
    bytes: int = 256 << 20


Shards = Mapping[Gathered, list[Place]]
"""Where the rows of each table are read."""


async def run_gather(call: Call, keyspace: str, gather: Gather, shards: Shards, limits: GatherLimits) -> bool:
    """Answer a query from the rows of several shards. Raises SqlError for whatever keeps it from being answered."""
    async with begun(call, keyspace):
        await _run(call, _Gathering(call, keyspace, gather, shards, limits), (keyspace, 0))
    return True


async def _run(call: Call, work: _Gathering, place: Place) -> None:
    session = call.session
    once = session.isolation_once
    try:
        await work.load()
        await _answer(call, place, work)
    except (NotGathered, NotTemporary) as error:
        raise UNSUPPORTED(construct=f"{error} in a query over several shards") from None
    except ServerError as error:
        if not session.in_transaction and not had_transaction(error, call.scope.cluster.facts_for(place[0]).flavour):
            session.isolation_once = once  # the rows have been read, but one server would not have begun
        if error.errno != _REOPENED:
            raise
        raise UNSUPPORTED(
            construct="a common table expression over several shards that MySQL would read twice; write it as a derived"
            " table in each place"
        ) from None
    finally:
        work.close()


async def prepare_gathered(call: Call, keyspace: str, gather: Gather) -> Handle:
    """What a query of a prepared statement looks like, over tables without rows. Raises SqlError."""
    tables = {table: [(table.name.keyspace, 0)] for table in gather.tables}
    shards = {table: places if places[0][0] != keyspace else [] for table, places in tables.items()}
    work = _Gathering(call, keyspace, gather, shards, GatherLimits(), rows=False)
    try:
        await work.load()
        await work.connection.carry(call.session.settings)
        handle = await work.connection.prepare(text_for(call, (keyspace, 0), work.text))
    except (NotGathered, NotTemporary) as error:
        raise UNSUPPORTED(construct=f"{error} in a query over several keyspaces") from None
    finally:
        work.close()
    rename = columns_of(call, (keyspace, 0))
    return replace(handle, columns=tuple(_column_of(column, rename, work) for column in handle.columns))


class _Gathering:
    """One statement's rows, on their way to ``connection``."""

    def __init__(
        self, call: Call, keyspace: str, gather: Gather, shards: Shards, limits: GatherLimits, *, rows: bool = True
    ) -> None:
        self._with_rows = rows
        self._call = call
        self._gather = gather
        self._shards = shards
        self._limits = limits
        self._facts = call.scope.cluster.facts_for(keyspace)
        self._servers = call.scope.cluster.keyspaces[keyspace]
        self._readers: dict[Place, BackendConnection] = {}
        self._loose = False
        self._filters = not call.tells_time and not call.insert_id_read
        self.noted = Noted(call, charset="utf8mb4")
        self._rows = self._bytes = 0
        self.connection: BackendConnection
        self.copies: dict[bytes, bytes] = {}  # names of copies to those of their tables
        self.guests = {one.name.table: one.name.keyspace for one in gather.tables if one.name.keyspace != keyspace}
        self.text = self._own_text()

    def _own_text(self) -> bytes:
        """The client's text, in which all tables are the keyspace's own."""
        call = self._call
        text = call.text if call.execution is None else call.execution.text
        own = self._servers.keyspace.name
        return as_one(call, text, dict.fromkeys(self.guests.values(), own)) if self.guests else text

    def close(self) -> None:
        """Nobody else gets the connection."""
        if hasattr(self, "connection"):
            self.connection.close()

    # -- the readers ----------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Bring all rows to ``connection``. Raises SqlError, NotGathered, NotTemporary."""
        session, scope = self._call.session, self._call.scope
        once = bool(session.isolation_once) and not scope.transactional
        places = sorted({place for places in self._shards.values() for place in places})
        failed: BaseException | None = None
        await self._open()  # before any reader: who waits here for others to end must not hold what they need
        try:
            self._readers = await scope.take_all(places)  # which are in one order everywhere, as in engine.scatter
            for reader in self._readers.values() if once else ():
                await scope.characterise(reader)
            execution = self._call.execution
            reading = as_stored(session.settings)
            if execution is not None and execution.reading is not None:
                reading = reading.read_as(execution.reading)
            if self.guests:  # whose definitions come in usual quotes
                reading = reading.changed({"sql_mode": "''"})
            await at_once(reader.carry(reading) for reader in self._readers.values())
            await self._load_all()
        except BaseException as error:  # SET TRANSACTION is used up by some, and left by KILL QUERY
            failed = error
            raise
        finally:
            await to_its_end(self._leave(failed, once=once))

    async def _leave(self, failed: BaseException | None, *, once: bool) -> None:
        """Give the readers back as they were; what still answers is stopped."""
        session, scope = self._call.session, self._call.scope
        await asyncio.gather(*(stop_reading(scope, reader) for reader in self._readers.values()))
        for place, reader in self._readers.items():
            if reader.sink is not None:
                reader.close()
            if once:
                await use_up(self._call, place, reader, failed)
            if reader.usable and scope.held.get(place) is reader:
                with suppress(SqlError):
                    await reader.carry(session.settings)
            scope.give_back(place, reader)

    # -- the tables -----------------------------------------------------------------------------------------------

    async def _load_all(self) -> None:
        """Where shards have rows with one key, keys are no longer unique.

        Parameters are literals where rows are read: where servers take no such literal, all rows are read.
        """
        while True:
            try:
                return await self._load_tables()
            except ServerError as error:
                if error.errno == _DUPLICATE and not self._loose:
                    self._loose = True
                elif error.errno in _NO_LITERAL and self._filters and self._call.execution is not None:
                    self._filters = False
                else:
                    raise
            self.close()
            for reader in self._readers.values():
                if isinstance(reader.sink, ShardStream):
                    await reader.sink.drain()
            self._rows = self._bytes = 0
            self.noted = Noted(self._call, charset="utf8mb4")
            self.copies.clear()
            await self._open()
            self.text = self._own_text()

    async def _open(self) -> None:
        self.connection = await self._servers.gather.take(NO_SETTINGS)
        await self.connection.carry(_LOADING[self._facts.flavour])
        await _check_log(self.connection)

    def _knowing(self, table: Gathered) -> tuple[BackendConnection, str]:
        """A connection to a server that has the table, and the table's database there."""
        keyspace = table.name.keyspace
        if keyspace == self._servers.keyspace.name:
            return self.connection, address_of(self._servers.keyspace, 0).database
        place = self._shards[table][0]
        cluster = self._call.scope.cluster
        if cluster.facts_for(keyspace).flavour is not self._facts.flavour:
            raise UNSUPPORTED(construct=f"tables of MariaDB and of MySQL ({table.name}) in one statement")
        return self._readers[place], address_of(cluster.keyspaces[keyspace].keyspace, place[1]).database

    async def _load_tables(self) -> None:
        for table in self._gather.tables:
            server, database = self._knowing(table)
            info = await read_table(server.rows, database, table.name)  # anew: an unknown column would be empty
            if info is None:
                raise NO_SUCH_TABLE(name=str(table.name))
            columns = [column_of(one, self._call.quoted) for one in info.columns if not one.generated]
            create = (await server.rows(b"SHOW CREATE TABLE " + backquoted(table.name.table)))[0][1] or b""
            await self._create(create, backquoted(table.name.table))
            if self._with_rows:
                await self._fill(table, columns)
            if self._facts.flavour is Flavour.MYSQL and table.references > 1:
                await self._copy(table, create, columns)

    async def _create(self, create: bytes, name: bytes) -> None:
        try:
            await self.connection.query(temporary(create, name, self._facts.flavour, loose=self._loose))
        except ServerError as error:
            if error.errno != _DENIED:
                raise
            raise GATHER_GRANT(label=self.connection.label) from None

    async def _copy(self, table: Gathered, create: bytes, columns: list[Column]) -> None:
        """MySQL opens a temporary table once in a statement: each other mention of it gets a copy."""
        found = [one for one in mentions(self.text, self._call.mode) if one.name == table.name.table]
        if len(found) != table.references:
            raise UNSUPPORTED(construct=f"several mentions of {table.name} in a query over several shards and with this"
                                        " text")  # fmt: skip
        names = b", ".join(one.name for one in columns)
        own = backquoted(table.name.table)
        for one in reversed(found[1:]):
            copy = _COPY % (len(self.copies) + 1)
            self.copies[copy] = table.name.table.encode()
            await self._create(create, b"`" + copy + b"`")
            await self.connection.query(b"INSERT INTO `%b` (%b) SELECT %b FROM %b" % (copy, names, names, own))
            alias = b"" if one.has_alias else b" AS " + self._call.quoted(table.name.table)
            self.text = b"".join((self.text[: one.start], b"`" + copy + b"`", alias, self.text[one.end :]))

    # -- the rows -------------------------------------------------------------------------------------------------

    async def _fill(self, table: Gathered, columns: list[Column]) -> None:
        text = self._select(table, columns)
        streams: list[tuple[Place, ShardStream]] = []
        for place in self._shards[table]:
            stream = ShardStream(self._readers[place])
            command = bytes([Command.QUERY]) + text_for(self._call, place, text)
            self._readers[place].relay(frame(command), stream)
            streams.append((place, stream))
        head = b"INSERT INTO %b (%b) VALUES " % (
            backquoted(table.name.table), b", ".join(one.name for one in columns)
        )  # fmt: skip
        for place, stream in streams:
            await self._move(place, stream, head, columns)

    def _select(self, table: Gathered, columns: list[Column]) -> bytes:
        call = self._call
        name = call.quoted(table.name.table)
        parts = [b"SELECT ", b", ".join(one.select for one in columns), b" FROM ", name]
        if table.alias:
            parts += [b" AS ", call.quoted(table.alias)]
        if table.filtered and self._filters:
            parts += [b" WHERE (", where_of(call.text, call.mode), b"\n)"]
        return b"".join((*parts, b" " + self._gather.lock.encode()))

    async def _move(self, place: Place, stream: ShardStream, head: bytes, columns: list[Column]) -> None:
        """All rows of one shard. Raises SqlError: the shard's error, this server's, or that they are too many."""
        cutter = RowCutter()
        most = min(BATCH, self._facts.max_allowed_packet // 2)
        batch: list[bytes] = []
        size = 0
        await stream.head()
        while data := await stream.read():
            self._bytes += len(data)
            for payload in cutter.feed(data):
                row = row_of(payload, columns)
                if batch and size + len(row) > most:
                    await self._insert(head, batch)
                    batch, size = [], 0
                batch.append(row)
                size += len(row) + 1
                self._rows += 1
            self._check_size()
        response = stream.connection.response
        if response.error is not None:
            raise await failure(self._call, place, stream, self.noted)
        if response.warnings:
            self.noted.add(await read_warnings(stream.connection))
        if batch:
            await self._insert(head, batch)

    async def _insert(self, head: bytes, batch: list[bytes]) -> None:
        await self.connection.query(head + b",".join(batch))

    def _check_size(self) -> None:
        limits = self._limits
        if self._rows > limits.rows:
            raise GATHER_TOO_LARGE(what=f"{limits.rows} rows", limit="max_gather_rows")
        if self._bytes > limits.bytes:
            raise GATHER_TOO_LARGE(what=f"{limits.bytes} bytes", limit="max_gather_bytes")


# -- settings -----------------------------------------------------------------------------------------------------


_BOTH: Final = {
    "sql_mode": "'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'", "time_zone": "'+00:00'",
    "foreign_key_checks": "0",
}  # fmt: skip
_LOADING: Final = {
    Flavour.MYSQL: settings_of(_BOTH), Flavour.MARIADB: settings_of({**_BOTH, "check_constraint_checks": "0"})
}  # fmt: skip


async def _check_log(connection: BackendConnection) -> None:
    """What is gathered must not reach the binary log. Raises GATHER_BINLOG where that cannot be had."""
    rows = await connection.rows("SELECT @@log_bin, @@sql_log_bin, @@binlog_format LIMIT 1")
    logs, mine, form = rows[0]
    if logs == b"0" or mine == b"0" or (form or b"").upper() == b"ROW":
        return
    for statement in ("SET SESSION binlog_format = 'ROW'", "SET SESSION sql_log_bin = 0"):
        try:
            await connection.query(statement)
        except ServerError:
            continue
        return
    raise GATHER_BINLOG(label=connection.label)


# -- the answer ---------------------------------------------------------------------------------------------------


async def _answer(call: Call, place: Place, work: _Gathering) -> None:
    """Run the client's text where the rows are, and pass its answer on."""
    session, connection = call.session, work.connection
    await connection.carry(session.settings)
    if call.insert_id_read:
        await connection.query(f"SET last_insert_id = {session.insert_id}")
    if call.execution is not None:
        call.execution = replace(call.execution, text=work.text, cursor=None)
    stream = ShardStream(connection)
    call.out.down.attach_all([connection])
    try:
        connection.relay(await command_for(call, place, connection, work.text), stream)
        if head := await stream.head():
            describe(call.out, _as_of(head, call, place, work), stream.flags)
        await pass_rows(call.out, stream)
        response = connection.response
        if response.error is not None:
            error = ServerError(*read_err(response.error))
            session.fails(error, both(work.noted.said, await read_warnings(connection)))
            raise error
    except asyncio.CancelledError:
        await asyncio.shield(call.scope.cluster.interrupt(connection))
        raise
    finally:
        call.out.down.attach_all(())
    warnings, flags = response.warnings, response.status & OF_QUERY
    said = await read_warnings(connection) if warnings else []
    noted = both(work.noted.said, said)
    warnings += len(noted) - len(said)
    session.warned(noted[: session.most_kept], warnings)
    session.row_count = -1
    session.found_rows = await found_rows(call, connection)
    if call.insert_id_read:  # and may be set: LAST_INSERT_ID(expression)
        ((insert_id,),) = await connection.rows("SELECT LAST_INSERT_ID() LIMIT 1")
        session.insert_id = int(insert_id or 0)
    call.out.send(eof_payload(call.out.status | flags, warnings))


def _as_of(head: bytes, call: Call, place: Place, work: _Gathering) -> bytes:
    """The description of a result as of the tables themselves."""
    rename = columns_of(call, place)
    first, *columns = packets_of(head)
    return b"".join((frame(first), *(frame(_column_of(payload, rename, work)) for payload in columns)))


def _column_of(payload: bytes, rename: SchemaRename | None, work: _Gathering) -> bytes:
    """A column's description, in which copies have the names of their tables, and databases those of keyspaces."""
    if rename is not None:
        payload = rename.renamed(payload)
    if not work.copies and not work.guests:
        return payload
    column = read_column(payload)
    table = work.copies.get(column.org_table, column.org_table)
    keyspace = work.guests.get(table.decode("utf-8", "replace"))
    schema = column.schema if keyspace is None else keyspace.encode("utf-8")
    return replace(column, org_table=table, schema=schema).payload()
