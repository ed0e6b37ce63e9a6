"""Where sequences' rows are kept: the one shard of each sequence's keyspace, by connections of vgate's own.

It does not know what is reserved, and never uses a client's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection, Rows
from vgate.errors import ServerError
from vgate.sequences.row import Outcome, Reply, Reservation, raise_row, reserve_on
from vgate.vschema.model import TableName

_NO_TABLE: Final = 1146


@dataclass(frozen=True, slots=True)
class _Connection:
    """A pooled connection as ``sequences.row`` wants it."""

    backend: BackendConnection

    async def execute(self, sql: bytes) -> Reply:
        answer = await self.backend.query(sql)
        if isinstance(answer, Rows):
            return Reply(rows=answer.values())
        return Reply(affected=answer.affected)

    def close(self) -> None:
        self.backend.close()


@dataclass(frozen=True, slots=True)
class ClusterStore:
    """The ``SequenceStore`` of a running vgate."""

    cluster: Cluster

    async def reserve(self, reservation: Reservation) -> Outcome:
        """Reserve a block. Raises SqlError where no connection can be had: nothing was begun then."""
        async with self.cluster.connection(reservation.name.keyspace, 0) as backend:
            return await reserve_on(_Connection(backend), reservation)

    async def raise_to(self, name: TableName, next_id: int) -> None:
        """See ``SequenceStore``. Raises SqlError."""
        async with self.cluster.connection(name.keyspace, 0) as backend:
            try:
                await backend.query(raise_row(name, next_id))
            except ServerError as error:
                if error.errno != _NO_TABLE:
                    raise
