"""ANALYZE, CHECK, CHECKSUM, OPTIMIZE and REPAIR of sharded tables: every shard does its part, at the same time, and
what they say of a table becomes what one server would say of all its rows.

Equal rows are one. Where a shard has found an error, others' "OK" is not said. A checksum is the sum of all rows', so
those of several shards add up, to 32 bits. It does not know which tables there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.rename import columns_of
from vgate.engine.single import read_warnings
from vgate.engine.write import at_once
from vgate.errors import BUG, SqlError
from vgate.planner.plan import Access, Maintain
from vgate.transactions.scope import Place
from vgate.wire.packets import read_column

_Row = tuple[bytes | None, ...]

_CHECKSUMS: Final = 2
"""How many columns a checksum's answer has; others have four: Table, Op, Msg_type, Msg_text."""

_DONE: Final = b"OK"
_NOTHING_DONE: Final = b"Table is already up to date"


async def run_maintain(call: Call, plan: Maintain) -> None:
    """Run the statement on every shard of its keyspace, and answer. Raises one shard's error."""
    session, scope = call.session, call.scope
    shards = scope.cluster.keyspaces[plan.keyspace].keyspace.shards
    places = [(plan.keyspace, index) for index in range(len(shards))]
    if plan.access is Access.READ and not session.autocommit and not session.in_transaction:
        session.begin()
    connections: dict[Place, BackendConnection] = {}
    try:
        connections = await scope.take_all(places)
        results = await at_once(call, dict.fromkeys(places, call.text), connections)
        failed = [result for result in results if isinstance(result, BaseException)]
        for error in sorted(failed, key=lambda one: isinstance(one, SqlError)):
            raise error
        answers = [result for result in results if isinstance(result, Rows)]
        if len(answers) < len(places):
            raise BUG(detail="a statement about tables that one server answers with rows, another without")
        noted = [
            await read_warnings(connection) if answer.warnings else []
            for connection, answer in zip(connections.values(), answers, strict=True)
        ]
    finally:
        for place, connection in connections.items():
            scope.give_back(place, connection)
    session.diagnostics = list(dict.fromkeys(one for some in noted for one in some))
    session.row_count, session.found_rows = -1, None
    if not session.in_transaction:
        session.isolation_once = ()
    shown = [list(_named(call, place, answer)) for place, answer in zip(places, answers, strict=True)]
    whole = _added(shown) if len(answers[0].columns) == _CHECKSUMS else _said(shown)
    rename = columns_of(call, places[0])
    columns = [read_column(one if rename is None else rename.renamed(one)) for one in answers[0].columns]
    call.out.rows(columns, whole, len(session.diagnostics))


def _named(call: Call, place: Place, answer: Rows) -> Iterator[_Row]:
    """A shard's rows, with the keyspace's name where its database is called otherwise."""
    rename = columns_of(call, place)
    for row in answer.values():
        yield row if rename is None else rename.cells(row)


def _said(shards: Sequence[Sequence[_Row]]) -> list[_Row]:
    """The tables in their order; of each, what any shard says, and what became of it last."""
    tables = dict.fromkeys(row[0] for rows in shards for row in rows)
    found: list[_Row] = []
    for table in tables:
        said = list(dict.fromkeys(row for rows in shards for row in rows if row[0] == table))
        failed = any((row[2] or b"").lower() == b"error" for row in said)
        status = [row for row in said if row[2] == b"status"]
        untrue = _DONE if failed else _NOTHING_DONE if any(row[3] == _DONE for row in status) else None
        found += [row for row in said if row[2] != b"status"]
        found += [row for row in status if row[3] != untrue]
    return found


def _added(shards: Sequence[Sequence[_Row]]) -> list[_Row]:
    """Each table with its checksum, NULL where a shard has none. The shards have the tables in one order."""
    found: list[_Row] = []
    for rows in zip(*shards, strict=True):
        sums = [None if row[1] is None else int(row[1]) for row in rows]
        known = [one for one in sums if one is not None]
        found.append((rows[0][0], b"%d" % (sum(known) & 0xFFFFFFFF) if len(known) == len(sums) else None))
    return found
