"""The servers behind a VSchema: pools for every shard, what the servers are, and what their tables look like.

A ``Cluster`` follows one VSchema at a time. It does not know statements or clients; schema information is read on
demand and kept until ``forget_tables``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

from vgate.backend.connection import BackendConnection, open_connection
from vgate.backend.pool import Pool
from vgate.backend.schema import Ask, read_table
from vgate.errors import NO_ADDRESS, ConfigError, SqlError, VgateError
from vgate.planner.columns import TableInfo
from vgate.session.settings import NO_SETTINGS
from vgate.sql.versioned import Flavour
from vgate.vschema.model import Address, Keyspace, TableName, VSchema

log = logging.getLogger("vgate.backend")


GATHERS = 16
"""Statements of one keyspace that gather rows at the same time, each on a connection of its own; others wait."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Numbers every pool is made with; seconds, and connections per shard and kind of client."""

    connections: int = 100
    wait: float = 10.0
    idle: float = 300.0
    connect: float = 10.0


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What one server says of itself. ``version`` is as announced, e.g. ``10.11.19-MariaDB``."""

    flavour: Flavour
    version: str
    number: tuple[int, int, int]
    sql_mode: str
    charset: str
    collation: str
    time_zone: str
    max_allowed_packet: int
    collations: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Collation ids, as clients send them at login, to (character set, collation)."""
    charsets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Character sets to (id of the default collation, bytes of the longest character)."""

    @property
    def announced(self) -> str:
        """The version string of vgate's own greeting: the server's, marked."""
        return f"{self.version}-vgate"


_FACTS = (
    "select @@version, @@global.sql_mode, @@character_set_server, @@collation_server,"
    " concat(@@global.time_zone, '/', @@system_time_zone), @@global.max_allowed_packet"
)


_COLLATIONS = (
    "select ID, CHARACTER_SET_NAME, COLLATION_NAME from information_schema.COLLATIONS"
    " where ID is not null and CHARACTER_SET_NAME is not null"
)


_CHARSETS = (
    "select s.CHARACTER_SET_NAME, c.ID, s.MAXLEN from information_schema.CHARACTER_SETS s"
    " join information_schema.COLLATIONS c on c.COLLATION_NAME = s.DEFAULT_COLLATE_NAME where c.ID is not null"
)


async def read_facts(connection: BackendConnection) -> ServerFacts:
    """Ask a server what it is."""
    ((*cells,),) = await connection.rows(_FACTS)
    version, sql_mode, charset, collation, time_zone, packet = ((cell or b"").decode("utf-8") for cell in cells)
    flavour = Flavour.MARIADB if "mariadb" in version.lower() else Flavour.MYSQL
    parts = [int(part) for part in version.split("-")[0].split(".")[:3]]
    number = (parts[0], parts[1] if len(parts) > 1 else 0, parts[2] if len(parts) > 2 else 0)
    rows = await connection.rows(_COLLATIONS)
    collations = {int(row[0] or 0): ((row[1] or b"").decode(), (row[2] or b"").decode()) for row in rows}
    rows = await connection.rows(_CHARSETS)
    charsets = {(row[0] or b"").decode(): (int(row[1] or 0), int(row[2] or 1)) for row in rows}
    return ServerFacts(
        flavour, version, number, sql_mode, charset, collation, time_zone, int(packet), collations, charsets
    )


class KeyspaceServers:
    """The pools of one keyspace, in shard order, for clients with and without CLIENT_FOUND_ROWS; and one to the first
    shard for statements that gather rows there.
    """

    __slots__ = ("aliases", "called", "find", "gather", "keyspace", "neighbours", "pools", "private", "renamed")

    def __init__(self, keyspace: Keyspace, make: Callable[[Keyspace, int, bool], Pool], vschema: VSchema) -> None:
        self.follow(keyspace, vschema)
        self.find = keyspace.shard_map.find
        count = range(len(keyspace.shards))
        self.pools = tuple(tuple(make(keyspace, index, flag) for index in count) for flag in (False, True))
        self.gather = make(keyspace, 0, False)
        self.gather.limit = min(GATHERS, self.gather.limit)

    def follow(self, keyspace: Keyspace, vschema: VSchema) -> None:
        """The same shards with other tables.

        ``aliases``: other keyspaces by which statements may name them; ``neighbours``: the databases of those on the
        same server. For each shard, ``called``: the databases on its server, with their keyspaces; ``private``: those
        of them that are another shard's, and not called as any keyspace is.
        """
        self.keyspace = keyspace
        self.aliases = aliases = vschema.aliases(keyspace.name)
        self.neighbours = vschema.neighbours(keyspace.name)
        self.called = tuple(vschema.called(keyspace.name, index) for index in range(len(keyspace.shards)))
        keyspaces = vschema.keyspaces.keys()
        self.private = tuple(
            called.keys() - keyspaces - {self.database(index)} for index, called in enumerate(self.called)
        )
        databases = {shard.address.database for shard in keyspace.shards if shard.address is not None}
        self.renamed = bool(aliases) or bool(databases - {keyspace.name})

    def database(self, index: int) -> str:
        """What the server of a shard calls the keyspace."""
        address = self.keyspace.shards[index].address
        return self.keyspace.name if address is None else address.database

    def all_pools(self) -> list[Pool]:
        """Every pool, whatever its flags."""
        return [self.gather, *(pool for pools in self.pools for pool in pools)]


class Cluster:
    """See the module."""

    def __init__(
        self, vschema: VSchema, limits: PoolLimits, clock: Callable[[], float], tls: SSLContext | None = None
    ) -> None:
        self.vschema = vschema
        self.limits = limits
        self._tls = tls
        self._clock = clock
        self.keyspaces: Mapping[str, KeyspaceServers] = {
            name: KeyspaceServers(keyspace, self._pool, vschema)
            for name, keyspace in vschema.keyspaces.items()
        }
        self._tables: dict[TableName, TableInfo | None] = {}
        self.tables_changed = 0
        """How often tables may have changed."""
        self.facts: dict[str, ServerFacts] = {}

    # -- servers --------------------------------------------------------------------------------------------------

    def _pool(self, keyspace: Keyspace, index: int, found_rows: bool) -> Pool:
        async def open() -> BackendConnection:
            return await self._open(keyspace, index, found_rows)

        label = f"{keyspace.name}/{keyspace.shards[index].name}"
        return Pool(label, open, self._clock, limit=self.limits.connections, wait=self.limits.wait)

    async def _open(self, keyspace: Keyspace, index: int, found_rows: bool) -> BackendConnection:
        label = f"{keyspace.name}/{keyspace.shards[index].name}"
        address = address_of(keyspace, index)
        opened = await open_connection(
            address, label, found_rows=found_rows, patience=self.limits.connect, ssl=self._tls
        )  # fmt: skip
        if address.database != keyspace.name:
            opened.names = address.database.encode("utf-8"), keyspace.name.encode("utf-8")
        return opened

    async def start(self) -> list[str]:
        """Ask every shard what it is; returns warnings about shards that differ or cannot be reached.

        A shard that is down does not keep the others from serving, as long as one answers. Raises ConfigError
        if none does, or if some shard has no address.
        """
        warnings: list[str] = []
        for name, servers in self.keyspaces.items():
            warnings += await self._start_keyspace(name, servers)
        if not self.facts:
            raise ConfigError("no shard of any keyspace can be reached:\n  " + "\n  ".join(warnings))
        return warnings

    async def _start_keyspace(self, name: str, servers: KeyspaceServers) -> list[str]:
        for index in range(len(servers.keyspace.shards)):
            address_of(servers.keyspace, index)
        answers = await asyncio.gather(*map(self._facts_of, servers.pools[0]))
        warnings: list[str] = []
        for pool, answer in zip(servers.pools[0], answers, strict=True):
            if isinstance(answer, SqlError):
                warnings.append(answer.message)
                continue
            first = self.facts.setdefault(name, answer)
            for what in ("flavour", "charset", "collation", "time_zone", "sql_mode"):
                mine, others = getattr(answer, what), getattr(first, what)
                if mine != others:
                    warnings.append(f"{pool.label}: {what} is {mine!r}, other shards have {others!r}")
            if answer.number[:2] != first.number[:2]:
                warnings.append(f"{pool.label}: version is {answer.version}, other shards have {first.version}")
        return warnings

    async def follow(self, vschema: VSchema) -> list[str]:
        """Another VSchema from now on, whose keyspaces are the old ones, on the same shards, or new ones.

        Connections stay, and statements under way keep the plans they have. Returns warnings about new shards.
        """
        new = {
            name: KeyspaceServers(keyspace, self._pool, vschema)
            for name, keyspace in vschema.keyspaces.items() if name not in self.keyspaces
        }  # fmt: skip
        warnings: list[str] = []
        for name, servers in new.items():
            warnings += await self._start_keyspace(name, servers)
        for name, keyspace in vschema.keyspaces.items():
            if name in self.keyspaces:
                self.keyspaces[name].follow(keyspace, vschema)
        self.keyspaces = {name: new.get(name) or self.keyspaces[name] for name in vschema.keyspaces}
        self.vschema = vschema
        return warnings

    async def _facts_of(self, pool: Pool) -> ServerFacts | SqlError:
        try:
            connection = await pool.take(NO_SETTINGS)
        except VgateError as error:
            return error
        try:
            return await read_facts(connection)
        except SqlError as error:
            return error
        finally:
            pool.release(connection)

    def facts_for(self, keyspace: str | None) -> ServerFacts:
        """Facts of the servers of ``keyspace``, or of the first keyspace that answered."""
        found = self.facts.get(keyspace) if keyspace is not None else None
        return found if found is not None else next(iter(self.facts.values()))

    async def renew(self, keyspace: str, index: int) -> None:
        """A global setting of one server was changed: connections that began with the old one serve nobody new."""
        servers = self.keyspaces[keyspace]
        for pools in servers.pools:
            pools[index].renew()
        answer = await self._facts_of(servers.pools[0][index])
        if index == 0 and not isinstance(answer, SqlError):
            self.facts[keyspace] = answer

    def reap(self) -> None:
        """Close connections that were idle too long."""
        for servers in self.keyspaces.values():
            for pool in servers.all_pools():
                pool.reap(self.limits.idle)

    def close(self) -> None:
        """Close every idle connection, and the others as they come back."""
        for servers in self.keyspaces.values():
            for pool in servers.all_pools():
                pool.close()

    def cut(self) -> None:
        """Close every connection, whoever waits for what it brings: that may never come."""
        for servers in self.keyspaces.values():
            for pool in servers.all_pools():
                pool.cut()

    async def interrupt(self, connection: BackendConnection, *, uploading: bool = False) -> None:
        """KILL QUERY what runs on ``connection``, from another one; a server that cannot be reached is let be.

        The connection serves nobody after that: the KILL could meet the next client's statement. ``uploading``: the
        server waits for a file.
        """
        if connection.sink is None and not uploading:
            return
        connection.tainted = True
        for servers in self.keyspaces.values():
            for pools in (*servers.pools, (servers.gather,)):
                for index, pool in enumerate(pools):
                    if connection.owner is pool:
                        await self._kill_query(servers.keyspace.name, index, connection.thread_id)
                        return

    async def _kill_query(self, keyspace: str, index: int, thread_id: int) -> None:
        """On a connection of its own: who asks for KILL may be waiting for one that the pool cannot give."""
        try:
            async with asyncio.timeout(self.limits.connect):
                other = await self._open(self.keyspaces[keyspace].keyspace, index, False)
                try:
                    await other.query(f"KILL QUERY {thread_id}")
                finally:
                    other.close()
        except SqlError as error:
            log.info("could not interrupt thread %d of %s: %s", thread_id, keyspace, error.message)
        except TimeoutError:
            log.info("could not interrupt thread %d of %s: no answer", thread_id, keyspace)

    @asynccontextmanager
    async def connection(self, keyspace: str, index: int) -> AsyncIterator[BackendConnection]:
        """A connection without session settings, for vgate's own statements; broken ones are closed."""
        pool = self.keyspaces[keyspace].pools[0][index]
        connection = await pool.take(NO_SETTINGS)
        try:
            await connection.carry(NO_SETTINGS)
            yield connection
        except SqlError:
            pool.release(connection)
            raise
        except BaseException:
            connection.close()
            raise
        else:
            pool.release(connection)

    # -- tables ---------------------------------------------------------------------------------------------------

    def ask_for(self, keyspace: str, index: int) -> Ask:
        """A port that runs one query on a shard and gives its rows, for ``backend.schema`` and ``backend.inspect``."""

        async def ask(sql: str) -> list[tuple[bytes | None, ...]]:
            async with self.connection(keyspace, index) as connection:
                return await connection.rows(sql)

        return ask

    def table(self, name: TableName) -> TableInfo | None:
        """What is known of a table; None if the servers do not have it or were not asked (see ``knows``)."""
        return self._tables.get(name)

    def knows(self, name: TableName) -> bool:
        """True when the servers have been asked for the table."""
        return name in self._tables

    async def load_table(self, name: TableName) -> TableInfo | None:
        """Ask the first shard of the table's keyspace what the table looks like."""
        keyspace = self.vschema.keyspace(name.keyspace)
        database = address_of(keyspace, 0).database
        info = await read_table(self.ask_for(name.keyspace, 0), database, name)
        if info is not None:
            self._tables[name] = info
        else:
            self._tables.pop(name, None)
        return info

    def forget_tables(self, keyspace: str | None = None) -> None:
        """Ask again when next needed: a table of ``keyspace`` (or of any) may have changed."""
        self.tables_changed += 1
        for name in [name for name in self._tables if keyspace is None or name.keyspace == keyspace]:
            del self._tables[name]


def address_of(keyspace: Keyspace, index: int) -> Address:
    """The address of a shard. Raises ConfigError where the VSchema has none."""
    shard = keyspace.shards[index]
    if shard.address is None:
        raise ConfigError(str(NO_ADDRESS(label=f"{keyspace.name}/{shard.name}").message))
    return shard.address
