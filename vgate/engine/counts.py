"""What each shard counts of its part of a table: SHOW TABLE STATUS, SHOW INDEX and information_schema tell the sums.

One shard makes the answer; the others are asked for their numbers of the tables in it. A condition in the SHOW is the
one shard's to judge. All shards have the whole of a reference table, so its numbers are those of one. A value that is
on several shards is counted for each, so the number of an index's values is one that is not exceeded. It does not know
the statements' other columns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.command import answer_to
from vgate.engine.rename import columns_of
from vgate.engine.returning import give_text
from vgate.engine.single import follow_transaction, let_go, read_warnings
from vgate.errors import BUG
from vgate.planner.plan import AnyShard
from vgate.planner.reference_tables import is_reference
from vgate.sql.names import text_literal
from vgate.transactions.scope import Place
from vgate.wire.packets import read_column

T = TypeVar("T")
Cells = tuple[bytes | None, ...]
Counts = Mapping[tuple[bytes | None, ...], Sequence[Mapping[str, bytes | None]]]
"""By table, or by part of an index, what each shard counts."""

_TABLES: Final = {
    "rows": "TABLE_ROWS", "data_length": "DATA_LENGTH", "index_length": "INDEX_LENGTH", "data_free": "DATA_FREE",
    "auto_increment": "AUTO_INCREMENT", "create_time": "CREATE_TIME", "update_time": "UPDATE_TIME",
    "check_time": "CHECK_TIME",
}  # fmt: skip
"""Columns of SHOW TABLE STATUS in which shards differ, and what information_schema.tables calls them."""

_ADDED: Final = frozenset({"rows", "data_length", "index_length", "data_free", "cardinality"})
NAMES: Final = {"tables": ("TABLE_NAME",), "statistics": ("TABLE_NAME", "INDEX_NAME", "SEQ_IN_INDEX")}
_SHOWN: Final = {"tables": ("name",), "statistics": ("table", "key_name", "seq_in_index")}
"""What tells of which table or index a row is: in information_schema, and in SHOW."""


async def run_counts(call: Call, plan: AnyShard) -> bool:
    """Answer SHOW TABLE STATUS or SHOW INDEX of a sharded keyspace. Raises SqlError."""
    keyspace = plan.keyspace
    place = next((place for place in call.scope.held if place[0] == keyspace), (keyspace, 0))
    execution, call.execution = call.execution, None  # as text: the rows are written anew

    async def ask(connection: BackendConnection) -> tuple[Rows, int]:
        answer = await answer_to(call, place, connection, call.text)
        if not isinstance(answer, Rows):
            raise BUG(detail="a SHOW without rows")
        call.session.diagnostics = await read_warnings(connection) if answer.warnings else []
        return answer, answer.warnings

    answer, warnings = await _look(call, place, ask)
    columns = [read_column(payload) for payload in answer.columns]
    names = [column.name.decode("utf-8", "replace").lower() for column in columns]
    table = "statistics" if "key_name" in names else "tables"
    at = [names.index(name) for name in _SHOWN[table]]
    rows = answer.values()
    others = await counts_of_others(call, place, table, {row[at[0]] or b"" for row in rows})
    rows = [summed(row, names, others.get(tuple(row[one] for one in at), ())) for row in rows]
    session = call.session
    session.row_count, session.found_rows = -1, None
    if call.uses_tables and not session.in_transaction:
        session.isolation_once = ()
    if execution is None:
        give_text(call, place, answer, rows)
        return True
    rename = columns_of(call, place)
    shown = columns if rename is None else [read_column(rename.renamed(one)) for one in answer.columns]
    call.out.rows(shown, rows, warnings)
    return True


async def counts_of_others(
    call: Call, place: Place, table: str, names: Collection[bytes]
) -> Counts:
    """What the keyspace's other shards count, by table or index. ``names``: of these tables alone, if any."""
    keyspace = place[0]
    servers = call.scope.cluster.keyspaces[keyspace]
    places = [(keyspace, index) for index in range(len(servers.keyspace.shards)) if index != place[1]]
    columns = _TABLES if table == "tables" else {"cardinality": "CARDINALITY"}
    wanted = ", ".join((*NAMES[table], *columns.values()))
    only = ""
    alike = len({name.lower() for name in names}) < len(names)  # MariaDB takes IN ('a', 'A') for the one table `a`
    if names and not alike and all(name.isascii() for name in names):
        literals = ", ".join(text_literal(name.decode()).decode() for name in sorted(names))
        only = f" AND TABLE_NAME IN ({literals})"

    async def numbers(one: Place) -> list[tuple[bytes | None, ...]]:
        database = text_literal(servers.database(one[1])).decode()
        sql = f"SELECT {wanted} FROM information_schema.{table} WHERE TABLE_SCHEMA = {database}{only}"
        return await _look(call, one, lambda connection: connection.rows(sql))

    found: dict[Cells, list[Mapping[str, bytes | None]]] = {}
    width = len(NAMES[table])
    for rows in await asyncio.gather(*map(numbers, places), return_exceptions=True):  # to the end: nothing goes on
        if isinstance(rows, BaseException):
            raise rows
        for row in rows:
            if is_reference(servers.keyspace.tables.get((row[0] or b"").decode("utf-8", "replace"))):
                continue
            found.setdefault(row[:width], []).append(dict(zip(columns, row[width:], strict=True)))
    return found


async def _look(call: Call, place: Place, work: Callable[[BackendConnection], Awaitable[T]]) -> T:
    """``work`` on a connection to the shard, which is no part of the transaction."""
    connection = await call.scope.borrow(place)
    try:
        try:
            return await work(connection)
        finally:
            if connection.usable:
                await follow_transaction(call.scope, place, connection, connection.response.status)
            await let_go(call, place, connection, connection.response.status)
    finally:
        call.scope.give_back(place, connection)


def summed(row: Cells, names: Sequence[str], others: Sequence[Mapping[str, bytes | None]]) -> Cells:
    """A row with what the other shards count; ``names``: those of its columns in SHOW."""
    if not others:
        return row
    cells = dict(zip(names, row, strict=True))
    for name in others[0]:
        known = [one for one in (cells.get(name), *(other[name] for other in others)) if one is not None]
        if not known or name not in cells:
            continue
        if name in _ADDED:
            cells[name] = b"%d" % sum(map(int, known))
        elif name == "auto_increment":
            cells[name] = b"%d" % max(map(int, known))
        else:
            cells[name] = min(known) if name == "create_time" else max(known)
    rows, data = cells.get("rows"), cells.get("data_length")
    if "avg_row_length" in cells and rows is not None and data is not None:
        cells["avg_row_length"] = b"%d" % (int(data) // int(rows) if int(rows) else 0)
    return tuple(cells.values())
