"""Where vgate's own sequences are kept: their rows in the metadata keyspace, by connections of vgate's own.

It does not know which values are in hand (``kinds``), and never uses a client's transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection
from vgate.errors import NO_METADATA_KEYSPACE, NO_TIME_NODE, SEQUENCE_EXISTS, ServerError, VgateError
from vgate.sequences import table
from vgate.sequences.definition import Definition, key_of
from vgate.sequences.stamps import LEASE, Layout
from vgate.sequences.trust import Sent
from vgate.vschema.model import TableName, VSchema
from vgate.wire.packets import Ok

_NO_TABLE: Final = 1146
_DUPLICATE: Final = 1062
_DEADLOCK: Final = 1213
_ATTEMPTS: Final = 5


class Nothing(Enum):
    """Why an UPDATE gave no value: no such row as expected (it was changed), or too few values are left."""

    CHANGED = "changed"
    RAN_OUT = "ran out"


@dataclass(frozen=True, slots=True)
class Lease:
    """The stamps [floor, limit) of a node are ours."""

    node: int
    floor: int
    limit: int


def metadata_keyspace(vschema: VSchema) -> str:
    """The keyspace of vgate's own tables. Raises NO_METADATA_KEYSPACE."""
    if vschema.metadata is not None:
        return vschema.metadata
    unsharded = [one.name for one in vschema.keyspaces.values() if not one.sharded]
    reason = f"{' and '.join(unsharded)} are all unsharded" if unsharded else "there is no unsharded one"
    raise NO_METADATA_KEYSPACE(reason=reason)


class ClusterCatalog:
    """The ``Catalog`` of a running vgate; ``me`` tells it from all others."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.me = secrets.token_hex(16)

    # -- definitions ----------------------------------------------------------------------------------------------

    async def find(self, key: TableName, sent: Sent = lambda: None) -> Definition | None:
        """The sequence as it is now; None if there is none. Raises SqlError where that cannot be known."""
        sent()
        try:
            keyspace = metadata_keyspace(self._cluster.vschema)
        except VgateError:
            return None
        async with self._cluster.connection(keyspace, 0) as connection:
            sent()
            return await _read(connection, key)

    async def create(self, one: Definition) -> None:
        """Make a sequence. Raises SEQUENCE_EXISTS."""
        one = replace(one, epoch=_epoch())
        async with self._cluster.connection(metadata_keyspace(self._cluster.vschema), 0) as connection:
            try:
                await _making(connection, table.CREATE_SEQUENCES, table.insert(one))
            except ServerError as error:
                if error.errno != _DUPLICATE:
                    raise
                raise SEQUENCE_EXISTS(name=one.name) from None

    async def change(
        self, key: TableName, change: Callable[[Definition], Definition | None], *, anew: bool = True
    ) -> tuple[Definition, Definition] | None:
        """Let ``change`` make another of a sequence, under its row's lock: before and after; None if there is none.

        ``change`` may raise, and then nothing is changed; nor where it gives None. ``anew``: in another generation.
        """
        new: Definition | None = None
        async with self._cluster.connection(metadata_keyspace(self._cluster.vschema), 0) as connection:
            try:
                await connection.query("begin")
                old = await _read(connection, key, lock=True)
                new = None if old is None else change(old)
                if old is None or new is None:
                    await connection.query("rollback")
                    return None if old is None else (old, old)
                new = replace(new, epoch=_epoch()) if anew else new
                await connection.query(table.update(key, new))
                await connection.query("commit")
                return old, new
            except VgateError:
                if connection.usable:
                    await connection.query("rollback")
                raise
            except ServerError as error:
                await connection.query("rollback")
                if error.errno == _DUPLICATE:
                    raise SEQUENCE_EXISTS(name=new.name if new is not None else key) from None
                raise

    async def drop(self, key: TableName) -> Definition | None:
        """Drop a sequence; what it was, None if there was none."""
        async with self._cluster.connection(metadata_keyspace(self._cluster.vschema), 0) as connection:
            old = await _read(connection, key)
            if old is None:
                return None
            answer = await connection.query(table.delete(key))
            return old if isinstance(answer, Ok) and answer.affected else None

    async def ready(self) -> str:
        """Make the table where it is missing; the keyspace it is in."""
        keyspace = metadata_keyspace(self._cluster.vschema)
        async with self._cluster.connection(keyspace, 0) as connection:
            await connection.query(table.CREATE_SEQUENCES)
        return keyspace

    # -- values ---------------------------------------------------------------------------------------------------

    async def reserve(self, one: Definition) -> int | Nothing:
        """The base of a new block of a GROUP: it is committed. Raises SqlError; the block may be lost then."""
        return await self._advance(one, table.reserve_block(one, self.me))

    async def advance(self, one: Definition, n: int, *, whole: bool) -> int | Nothing:
        """The last of ``n`` new values of a SIMPLE: they are committed. Raises SqlError; they may be lost then.

        ``whole``: they are for one request, which CYCLE serves from the beginning where the rest is too short.
        """
        given = await self._advance(one, table.advance(one, n))
        fits = one.cycle and one.minimum + one.increment * (n - 1) <= one.maximum
        if given is Nothing.RAN_OUT and whole and fits:
            given = await self._advance(one, table.begin_again(one, n))
            if given is Nothing.RAN_OUT:  # another has begun again meanwhile
                return await self._advance(one, table.advance(one, n))
        return given

    async def _advance(self, one: Definition, statement: str) -> int | Nothing:
        async with self._cluster.connection(metadata_keyspace(self._cluster.vschema), 0) as connection:
            answer = await _again(connection, statement)
            if isinstance(answer, Ok) and answer.affected == 1:
                return answer.insert_id
            now = await _read(connection, one.name)
            return Nothing.RAN_OUT if now is not None and now.epoch == one.epoch else Nothing.CHANGED

    # -- node ids -------------------------------------------------------------------------------------------------

    async def renew(self, layout: Layout, lease: Lease, limit: int) -> Lease | None:
        """More stamps of the node we have; None if it is not ours any more. Raises SqlError: then it is not known."""
        statement = table.take_node(layout.bits, lease.node, self.me, lease.limit, self.me, limit, LEASE)
        async with self._cluster.connection(metadata_keyspace(self._cluster.vschema), 0) as connection:
            answer = await _again(connection, statement)
        taken = isinstance(answer, Ok) and answer.affected == 1
        return Lease(lease.node, lease.limit, limit) if taken else None

    async def lease(self, layout: Layout, limit: int) -> Lease:
        """A node that nobody has. Raises NO_TIME_NODE if there is none."""
        async with self._cluster.connection(metadata_keyspace(self._cluster.vschema), 0) as connection:
            await connection.query(table.CREATE_NODES)
            for _ in range(layout.nodes):
                found = await self._take_one(connection, layout, limit)
                if found is not None:
                    return found
        raise NO_TIME_NODE(count=layout.nodes, bits=layout.bits)

    async def _take_one(self, connection: BackendConnection, layout: Layout, limit: int) -> Lease | None:
        """Try for the best node; None if another vgate was faster. Raises NO_TIME_NODE."""
        rows = await connection.rows(table.select_nodes(layout.bits))
        known = {int(row[0] or 0) for row in rows}
        fresh = next((node for node in range(layout.nodes) if node not in known), None)
        if fresh is not None:
            try:
                await connection.query(table.insert_node(layout.bits, fresh, self.me, limit, LEASE))
            except ServerError as error:
                if error.errno != _DUPLICATE:
                    raise
                return None
            return Lease(fresh, 0, limit)
        free = [(int(row[2] or 0), int(row[0] or 0), (row[1] or b"").decode()) for row in rows if row[3] == b"1"]
        if not free:
            raise NO_TIME_NODE(count=layout.nodes, bits=layout.bits)
        floor, node, holder = min(free)
        limit = max(limit, floor + LEASE)
        statement = table.take_node(layout.bits, node, holder, floor, self.me, limit, LEASE)
        answer = await _again(connection, statement)
        return Lease(node, floor, limit) if isinstance(answer, Ok) and answer.affected == 1 else None


async def _read(connection: BackendConnection, key: TableName, *, lock: bool = False) -> Definition | None:
    try:
        rows = await connection.rows(table.select(key_of(key), lock=lock))
    except ServerError as error:
        if error.errno != _NO_TABLE:
            raise
        return None
    return table.read(rows[0]) if rows else None


async def _making(connection: BackendConnection, create: str, statement: str) -> None:
    """Run a statement; where its table is missing, make that first."""
    try:
        await connection.query(statement)
    except ServerError as error:
        if error.errno != _NO_TABLE:
            raise
        await connection.query(create)
        await connection.query(statement)


async def _again(connection: BackendConnection, statement: str) -> object:
    """Run one UPDATE; a deadlock has changed nothing, and is tried again."""
    for attempt in range(_ATTEMPTS):
        try:
            return await connection.query(statement)
        except ServerError as error:
            if error.errno != _DEADLOCK or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _epoch() -> int:
    return secrets.randbits(62) + 1
