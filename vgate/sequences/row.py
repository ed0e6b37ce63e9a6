"""The row that backs a Vitess sequence: the SQL that reserves a block of it, in one short transaction of its own.

Beside the row with id 0, which is Vitess's, there may be one with id 1, which is vgate's: its ``next_id`` is the epoch
(``trust``), and without it the epoch is 0. Vitess reads id 0 alone. A named row has no epoch, as nobody keeps values of
one in hand.

Knows the statements, what their answers may be, and which failures leave no doubt about the COMMIT. The server's own
errors (a missing table, a missing privilege) pass through untouched.
It does not know which values a block has (the reservation decides that between reading and writing), and not where
the connection comes from; it leaves it out of any transaction, or closed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from vgate.errors import (
    NOT_A_SEQUENCE,
    SEQUENCE_CACHE,
    SEQUENCE_ENGINE,
    SEQUENCE_NOT_WRITTEN,
    SEQUENCE_ROWS,
    SEQUENCE_VALUE,
    ServerError,
    SqlError,
)
from vgate.sequences.block import MAX_NEXT_ID
from vgate.sequences.trust import Sent
from vgate.vschema.model import TableName

Cells = tuple[bytes | None, ...]

MARKER: Final = b"vitess_sequence"
"""What the table's comment contains (vttablet recognises sequences by nothing else)."""

NAMED: Final = b"vt_sequence"
"""The table of named sequences, each a row (name, id), where ``id`` is the last value that was used."""

_DEADLOCK: Final = 1213
"""The server rolled back, whole, and asks to try again. (1205, lock wait timeout, is not tried again: the
request has waited for innodb_lock_wait_timeout already.)"""
_ATTEMPTS: Final = 3
_ROLLED_BACK_AT_COMMIT: Final = frozenset({_DEADLOCK, 3101})
"""Errors of COMMIT that are a promise: certification failed, in Galera or group replication. Others leave doubt."""


# -- ports --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """A statement's answer: its rows as text, or how many rows it changed."""

    rows: Sequence[Cells] = ()
    affected: int = 0


class StoreConnection(Protocol):
    """A connection with autocommit on, in the sequence's database, that nobody else uses meanwhile; SQL is in UTF-8."""

    async def execute(self, sql: bytes) -> Reply:
        """Run one statement. Raises ServerError (its error), another SqlError when the connection is lost."""
        ...

    def close(self) -> None:
        """Close at once: the connection must not serve anyone again."""
        ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """A block to be reserved. ``decide(next_id, cache)`` gives the ``next_id`` to write; it may raise a VgateError,
    and is called again if the transaction is repeated. ``verify``: look first whether the table is a sequence.
    ``named``: it is a row of the table ``vt_sequence`` instead. ``sent`` is told when the transaction begins.
    """

    name: TableName
    decide: Callable[[int, int], int]
    verify: bool = True
    named: bool = False
    sent: Sent = field(default=lambda: None)


@dataclass(frozen=True, slots=True)
class Reserved:
    """The COMMIT succeeded. The epoch is None where nothing may be kept."""

    epoch: int | None = 0


@dataclass(frozen=True, slots=True)
class NotReserved:
    """The row is certainly as it was."""

    error: SqlError


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """COMMIT was sent and no clear answer came: the row may have advanced."""

    error: SqlError


Outcome = Reserved | NotReserved | OutcomeUnknown


@dataclass(frozen=True, slots=True)
class Move:
    """Ids ``low`` ... ``high`` are to be given by nobody. ``rooms``: how many values to leave out above them, for a
    cache of that size, where others have to give up blocks; ``epoch``: the first, where there is none yet.
    """

    name: TableName
    low: int
    high: int
    rooms: Callable[[int], int]
    epoch: int


@dataclass(frozen=True, slots=True)
class Moved:
    """``next_id`` before and after. ``recalled``: the new epoch, where there may be blocks that have to be given up.
    ``kept``: blocks of it may be in hand.
    """

    was: int
    now: int
    recalled: int | None = None
    kept: bool = True


# -- the transaction ----------------------------------------------------------------------------------------------


async def reserve_on(connection: StoreConnection, reservation: Reservation) -> Outcome:
    """Reserve a block. The connection is clean afterwards, or closed; raises nothing but what is no SqlError."""
    try:
        if reservation.verify:
            await _verify(connection, reservation.name)
        outcome = await _attempt(connection, reservation)
        for _ in range(_ATTEMPTS - 1):
            if not (isinstance(outcome, NotReserved) and _is_deadlock(outcome.error)):
                break
            outcome = await _attempt(connection, reservation)
        return outcome
    except SqlError as error:
        return NotReserved(error)
    except BaseException:  # cancelled, or a fault of the connection's: who knows what it is in the middle of
        connection.close()
        raise


async def _attempt(connection: StoreConnection, reservation: Reservation) -> Outcome:
    name = reservation.name
    epoch: int | None = None
    try:
        reservation.sent()
        await connection.execute(b"begin")
        row = await connection.execute(select_named(name) if reservation.named else select_row(name))
        if reservation.named:
            next_id = reservation.decide(read_named(name, row.rows), 1)
            written = await connection.execute(update_named(name, next_id))
        else:
            next_id = reservation.decide(*read_row(name, row.rows))
            epoch = read_epoch(name, [cells[2:] for cells in row.rows])
            written = await connection.execute(update_row(name, next_id))
        if written.affected != 1:
            raise SEQUENCE_NOT_WRITTEN(name=name.table, count=written.affected)
    except SqlError as error:
        await _roll_back(connection)
        return NotReserved(error)
    outcome = await _commit(connection)
    return Reserved(epoch) if isinstance(outcome, Reserved) else outcome


async def _commit(connection: StoreConnection) -> Outcome:
    try:
        await connection.execute(b"commit")
    except SqlError as error:
        if isinstance(error, ServerError) and error.errno in _ROLLED_BACK_AT_COMMIT:
            await _roll_back(connection)
            return NotReserved(error)
        connection.close()
        return OutcomeUnknown(error)
    return Reserved()


async def move_on(connection: StoreConnection, move: Move) -> Moved | None:
    """Move the row beyond the ids; None if there is no row. The connection is clean afterwards, or closed.

    Raises SqlError: the row may have been moved then.
    """
    return await _whole(connection, lambda: _move(connection, move))


async def move_named(connection: StoreConnection, move: Move) -> Moved | None:
    """``move_on`` for a row of the table of named sequences."""
    return await _whole(connection, lambda: _move_named(connection, move))


async def _whole(connection: StoreConnection, steps: Callable[[], Awaitable[Moved | None]]) -> Moved | None:
    """Run the steps as a transaction; a deadlock has changed nothing, and is tried again."""
    try:
        for attempt in range(_ATTEMPTS):
            await connection.execute(b"begin")
            try:
                moved = await steps()
            except SqlError as error:
                await _roll_back(connection)
                if not _is_deadlock(error) or attempt == _ATTEMPTS - 1:
                    raise
                continue
            outcome = await _commit(connection)
            if isinstance(outcome, Reserved):
                return moved
            if isinstance(outcome, OutcomeUnknown) or attempt == _ATTEMPTS - 1:
                raise outcome.error
        raise AssertionError
    except SqlError:
        raise
    except BaseException:
        connection.close()
        raise


async def _move(connection: StoreConnection, move: Move) -> Moved | None:
    name = move.name
    row = await connection.execute(select_row(name))
    if not row.rows:
        return None
    was, cache = read_row(name, row.rows)
    recall = move.low < was
    now = max(was, min(move.high + 1 + (move.rooms(cache) if recall else 0), MAX_NEXT_ID))
    if now > was:
        await connection.execute(update_row(name, now))
    if not recall:
        return Moved(was, now)
    if row.rows[0][2] is None:
        await connection.execute(insert_epoch(name, move.epoch))
        return Moved(was, now, move.epoch)
    epoch = read_epoch(name, [row.rows[0][2:]]) % MAX_NEXT_ID + 1
    await connection.execute(update_epoch(name, epoch))
    return Moved(was, now, epoch)


async def _move_named(connection: StoreConnection, move: Move) -> Moved | None:
    row = await connection.execute(select_named(move.name))
    if not row.rows:
        return None
    was = read_named(move.name, row.rows)
    now = max(was, min(move.high + 1, MAX_NEXT_ID))
    if now > was:
        await connection.execute(update_named(move.name, now))
    return Moved(was, now, kept=False)


async def epoch_on(connection: StoreConnection, name: TableName) -> int:
    """The epoch as it is now. Raises SqlError."""
    return read_epoch(name, (await connection.execute(select_epoch(name))).rows)


async def _roll_back(connection: StoreConnection) -> None:
    try:
        await connection.execute(b"rollback")
    except SqlError:  # the server rolls back when the connection ends
        connection.close()


def _is_deadlock(error: SqlError) -> bool:
    return isinstance(error, ServerError) and error.errno == _DEADLOCK


async def _verify(connection: StoreConnection, name: TableName) -> None:
    """Raises VgateError where the table must not be used. A missing one passes: the server says that best (1146)."""
    reply = await connection.execute(select_properties(name))
    for comment, engine, transactions in reply.rows:
        if MARKER not in (comment or b""):
            raise NOT_A_SEQUENCE(name=name.table)
        if transactions != b"YES":
            raise SEQUENCE_ENGINE(name=name.table, engine=(engine or b"?").decode("utf-8", "replace"))


# -- SQL ----------------------------------------------------------------------------------------------------------


def quoted(name: TableName) -> bytes:
    """The table's name for SQL; the database is the connection's own, whatever the keyspace is called."""
    return b"`" + name.table.encode("utf-8").replace(b"`", b"``") + b"`"


def select_row(name: TableName) -> bytes:
    """The statement that locks and reads the row, and reads the epoch."""
    return b"select next_id, cache, (%b) from %b where id = 0 for update" % (select_epoch(name), quoted(name))


def select_epoch(name: TableName) -> bytes:
    """The statement that reads the epoch."""
    return b"select next_id from " + quoted(name) + b" where id = 1"


def update_epoch(name: TableName, epoch: int) -> bytes:
    """The statement that changes the epoch."""
    return b"update " + quoted(name) + b" set next_id = %d where id = 1" % epoch


def insert_epoch(name: TableName, epoch: int) -> bytes:
    """The statement that makes the epoch's row."""
    return b"insert into " + quoted(name) + b" (id, next_id, cache) values (1, %d, 0)" % epoch


def update_row(name: TableName, next_id: int) -> bytes:
    """The statement that advances the row."""
    return b"update " + quoted(name) + b" set next_id = %d where id = 0" % next_id


def select_named(name: TableName) -> bytes:
    """``select_row`` for a sequence that is a row of the table of named ones."""
    return b"select id from %b where name = %b for update" % (NAMED, _text(name))


def update_named(name: TableName, next_id: int) -> bytes:
    """``update_row`` likewise: what is kept is the last value used."""
    return b"update %b set id = %d where name = %b" % (NAMED, next_id - 1, _text(name))


def read_named(name: TableName, rows: Sequence[Cells]) -> int:
    """The next value out of what ``select_named`` gave. Raises VgateError."""
    if len(rows) != 1:
        mend = f"make the row with `insert into vt_sequence (name, id) values ('{name.table}', 0)`"
        raise SEQUENCE_ROWS(name=name.table, count=len(rows), what_to_do=mend)
    return _integer(name, "id", rows[0][0]) + 1


def _text(name: TableName) -> bytes:
    return b"_utf8mb4 x'%b'" % name.table.encode("utf-8").hex().encode("ascii")


def select_properties(name: TableName) -> bytes:
    """The statement that asks for comment, engine, and whether that engine has transactions.

    The name is a hexadecimal string: it reads the same in every sql_mode.
    """
    return (
        b"select t.table_comment, t.engine, e.transactions from information_schema.tables t"
        b" left join information_schema.engines e on e.engine = t.engine"
        b" where t.table_schema = database() and t.table_name = _utf8mb4 x'%s'"
        % name.table.encode("utf-8").hex().encode("ascii")
    )


def read_row(name: TableName, rows: Sequence[Cells]) -> tuple[int, int]:
    """(next_id, cache) out of what ``select_row`` gave. Raises VgateError with Vitess's texts, and what to do."""
    if len(rows) != 1:
        mend = f"keep one row with id 0 in {name.table}"
        if not rows:
            mend = f"make the row with `insert into {name.table}(id, next_id, cache) values (0, 1, 1000)`"
        raise SEQUENCE_ROWS(name=name.table, count=len(rows), what_to_do=mend)
    next_id, cache = rows[0][:2]
    size = _integer(name, "cache", cache)
    if size < 1:
        raise SEQUENCE_CACHE(name=name.table, cache=size)
    return _integer(name, "next_id", next_id), size


def read_epoch(name: TableName, rows: Sequence[Cells]) -> int:
    """The epoch out of what ``select_epoch`` gave; 0 where there is none. Raises VgateError."""
    return _integer(name, "next_id", rows[0][0]) if rows and rows[0][0] is not None else 0


def _integer(name: TableName, column: str, cell: bytes | None) -> int:
    if cell is not None and re.fullmatch(rb"-?[0-9]{1,19}", cell) and -(2**63) <= int(cell) < 2**63:
        return int(cell)
    value = "NULL" if cell is None else cell.decode("utf-8", "replace")
    raise SEQUENCE_VALUE(name=name.table, column=column, value=value)
