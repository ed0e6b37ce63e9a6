"""Where sequences' rows are kept: the one shard of each sequence's keyspace, by connections of vgate's own.

It does not know what is reserved, and never uses a client's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection, Rows
from vgate.errors import ServerError
from vgate.sequences.row import (
    Move,
    Moved,
    NotReserved,
    Outcome,
    Reply,
    Reservation,
    Reserved,
    epoch_on,
    move_named,
    move_on,
    reserve_on,
    select_named,
)
from vgate.sequences.trust import Sent
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
    named: set[TableName] = field(default_factory=set)
    """Sequences without a table of their own, that were found among the named ones."""

    async def reserve(self, reservation: Reservation) -> Outcome:
        """Reserve a block. Raises SqlError where no connection can be had: nothing was begun then.

        A sequence without a table of its own may be a row of ``vt_sequence``; if it is not, the missing table is told.
        """
        name = reservation.name
        async with self.cluster.connection(name.keyspace, 0) as backend:
            connection = _Connection(backend)
            outcome: Outcome
            if name not in self.named:
                outcome = await reserve_on(connection, reservation)
                if not _has_no_table(outcome):
                    return outcome
                if not await _is_named(connection, name):
                    return outcome
            outcome = await reserve_on(connection, replace(reservation, named=True, verify=False))
            if isinstance(outcome, Reserved):
                self.named.add(name)
            else:
                self.named.discard(name)
            return outcome

    async def move(self, move: Move) -> Moved | None:
        """See ``SequenceStore``. Raises SqlError."""
        async with self.cluster.connection(move.name.keyspace, 0) as backend:
            for moving in (move_on, move_named):
                try:
                    return await moving(_Connection(backend), move)
                except ServerError as error:
                    if error.errno != _NO_TABLE:
                        raise
        return None

    async def epoch(self, name: TableName, sent: Sent) -> int:
        """See ``SequenceStore``. Raises SqlError."""
        async with self.cluster.connection(name.keyspace, 0) as backend:
            sent()
            return await epoch_on(_Connection(backend), name)


def _has_no_table(outcome: Outcome) -> bool:
    error = outcome.error if isinstance(outcome, NotReserved) else None
    return isinstance(error, ServerError) and error.errno == _NO_TABLE


async def _is_named(connection: _Connection, name: TableName) -> bool:
    """True if ``vt_sequence`` has a row for it."""
    try:
        return bool((await connection.execute(select_named(name).removesuffix(b" for update"))).rows)
    except ServerError as error:
        if error.errno != _NO_TABLE:
            raise
        return False
