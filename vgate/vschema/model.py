"""The immutable VSchema model: what every other room reads.

Instances are built by ``vschema.load`` (a file) and, later, ``vschema.ddl`` (model to model); both validate, so
a VSchema that exists is a valid one. This module does not know files, and not how servers are reached beyond
the address written in the file.

Names: keyspace and table names keep their case and are compared exactly, as MySQL on Linux does; column names
are compared case-insensitively and are kept here in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vgate.errors import TABLE_DISABLED, UNKNOWN_KEYSPACE
from vgate.keyrange import ShardMap
from vgate.vindex.base import Vindex
from vgate.vschema.names import OWN_TABLES


class TableType(StrEnum):
    """Vitess's table types; ordinary tables have the empty one."""

    TABLE = ""
    SEQUENCE = "sequence"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's full name."""

    keyspace: str
    table: str

    def __str__(self) -> str:
        return f"{self.keyspace}.{self.table}"


@dataclass(frozen=True, slots=True)
class ColumnVindex:
    """A vindex over columns of a table; the first of a table is its primary vindex and decides the shard."""

    columns: tuple[str, ...]
    vindex: Vindex


@dataclass(frozen=True, slots=True)
class Definition:
    """A vindex as the VSchema writes it."""

    type: str
    params: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""


@dataclass(frozen=True, slots=True)
class AutoIncrement:
    """A column whose missing values come from a sequence. ``bumps``: one that is given moves it past itself."""

    column: str
    sequence: TableName
    bumps: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the VSchema declares it (``type`` in Vitess's spelling, e.g. ``INT64``; may be empty)."""

    name: str
    type: str = ""
    collation: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a keyspace."""

    name: TableName
    type: TableType = TableType.TABLE
    column_vindexes: tuple[ColumnVindex, ...] = ()
    auto_increment: AutoIncrement | None = None
    columns: tuple[Column, ...] = ()
    column_list_authoritative: bool = False
    pinned: bytes | None = None
    source: TableName | None = None

    @property
    def primary_vindex(self) -> ColumnVindex | None:
        """The vindex that places rows, None for a table that has none."""
        return self.column_vindexes[0] if self.column_vindexes else None


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach the server of one shard. The password stays out of the repr."""

    user: str
    password: str = field(repr=False)
    database: str
    host: str = "127.0.0.1"
    port: int = 3306
    unix_socket: str = ""

    def same_server(self, other: Address) -> bool:
        """True if both are reached in the same way."""
        return (self.host, self.port, self.unix_socket) == (other.host, other.port, other.unix_socket)


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard; ``address`` is None where ``vgate local`` is to start a private server."""

    name: str
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class DdlOptions:
    """What a sharded keyspace makes of definitions that its shards cannot keep as one server would.

    ``auto_vindex``: the type of vindex by which a new table is sharded by its integer primary key; empty: a table has
    to be in the VSchema before it is made. Foreign keys to rows of other shards, and UNIQUE keys without the sharding
    column, are refused, or dropped and kept by each shard alone.
    """

    auto_vindex: str = ""
    drops_foreign_keys: bool = False
    local_unique: bool = False


@dataclass(frozen=True, slots=True)
class Keyspace:
    """A keyspace: tables, vindexes and the shards in key order (``shard_map`` holds the same order).

    ``require_explicit_routing``: its tables are found only when qualified with the keyspace, or when it is in use.
    """

    name: str
    sharded: bool
    shards: tuple[Shard, ...]
    shard_map: ShardMap
    vindexes: Mapping[str, Vindex] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    require_explicit_routing: bool = False
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    foreign_key_mode: str = "unmanaged"
    ddl: DdlOptions = DdlOptions()

    def shard(self, name: str) -> Shard | None:
        """The shard of that name, after Vitess's rules of equality (``-80`` is ``-8000``); None if there is none."""
        index = self.shard_map.index_of(name)
        return None if index is None else self.shards[index]


SEQUENCE_KINDS: Final = ("group", "simple", "time")
"""What ``sequence_kind`` may be; the first is what it is."""


@dataclass(frozen=True, slots=True)
class VSchema:
    """All keyspaces. ``version`` grows with each change and is part of plan-cache keys.

    ``routing`` holds the routing rules (``vschema.routing``).
    ``metadata_keyspace`` is the unsharded keyspace that keeps vgate's own tables, where one is named.
    ``sequence_kind`` is what CREATE SEQUENCE makes where it names no kind.
    """

    keyspaces: Mapping[str, Keyspace]
    version: int = 1
    metadata_keyspace: str | None = None
    routing: Mapping[str, TableName | None] = field(default_factory=dict)
    sequence_kind: str = SEQUENCE_KINDS[0]

    @property
    def metadata(self) -> str | None:
        """The keyspace that keeps vgate's own tables; None where it is not said which of several does."""
        if self.metadata_keyspace is not None:
            return self.metadata_keyspace
        unsharded = [one.name for one in self.keyspaces.values() if not one.sharded]
        return unsharded[0] if len(unsharded) == 1 else None

    def own_tables(self, keyspace: str) -> frozenset[str]:
        """The tables of the keyspace that are vgate's alone, and not shown: none that the VSchema lists."""
        if keyspace != self.metadata:
            return frozenset()
        return frozenset(OWN_TABLES) - self.keyspaces[keyspace].tables.keys()

    def routed(self, keyspace: str | None, table: str) -> TableName | None:
        """Where a routing rule sends a table; None where there is no rule for it. Raises TABLE_DISABLED (1105)."""
        name = f"{keyspace}.{table}" if keyspace is not None else table
        if name not in self.routing:
            return None
        target = self.routing[name]
        if target is None:
            raise TABLE_DISABLED(name=name)
        return target

    def routed_names(self, keyspace: str) -> frozenset[str]:
        """The tables of ``keyspace`` that rules send elsewhere, or disable."""
        start = f"{keyspace}."
        here = (rule for rule in self.routing.items() if rule[0].startswith(start))
        return frozenset(name[len(start) :] for name, target in here if target is None or target.keyspace != keyspace)

    def aliases(self, keyspace: str) -> frozenset[str]:
        """Other keyspaces by which statements may name tables of this one."""
        sources = (name.partition(".")[0] for name, target in self.routing.items()
                   if "." in name and target is not None and target.keyspace == keyspace)  # fmt: skip
        return frozenset(sources) - {keyspace}

    def neighbours(self, keyspace: str) -> Mapping[str, str]:
        """The other unsharded keyspaces on the server of an unsharded one, with their databases."""
        home = self._home(keyspace)
        if home is None:
            return {}
        return {
            name: address.database for name in self.keyspaces
            if name != keyspace and (address := self._home(name)) is not None
            and address.same_server(home) and address.user == home.user
        }  # fmt: skip

    def called(self, keyspace: str, index: int) -> Mapping[str, str]:
        """The databases on the server of a shard, with the keyspace of each; its own is this one's."""
        home = self.keyspaces[keyspace].shards[index].address
        if home is None:
            return {keyspace: keyspace}
        names = {
            shard.address.database: name for name, one in self.keyspaces.items() for shard in one.shards
            if shard.address is not None and shard.address.same_server(home)
        }  # fmt: skip
        return {**names, home.database: keyspace}

    def _home(self, name: str) -> Address | None:
        keyspace = self.keyspaces[name]
        return None if keyspace.sharded else keyspace.shards[0].address

    def keyspace(self, name: str) -> Keyspace:
        """The keyspace called ``name``. Raises UNKNOWN_KEYSPACE (1049)."""
        keyspace = self.keyspaces.get(name)
        if keyspace is None:
            raise UNKNOWN_KEYSPACE(name=name)
        return keyspace

    def tables_named(self, table: str) -> tuple[Table, ...]:
        """Every table of that bare name, over all keyspaces: for global (unqualified) resolution."""
        return tuple(
            keyspace.tables[table]
            for keyspace in self.keyspaces.values()
            if table in keyspace.tables and not keyspace.require_explicit_routing
        )
