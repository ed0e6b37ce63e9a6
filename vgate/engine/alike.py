"""A write that every shard must do alike: to copies of one table, which have to stay copies.

Invariants
1. The first shard runs the write alone, the others once it has: who writes the same rows meets there, so all shards see
   all writes in one order.
2. That order is kept by locks until COMMIT, which takes REPEATABLE READ or more. Below it the write is refused.
3. The caller stops the clock meanwhile (``engine.clock``): NOW(), and timestamps that servers fill in, are the same on
   every shard.
4. Shards that answer differently have different copies: the write is refused, and undone by the caller.

It does not know which statements can be alike (``planner.reference_tables``), nor transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.engine.single import read_warnings
from vgate.errors import BUG, COPIES_DIFFER, UNSUPPORTED
from vgate.session.session import Diagnostic
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place
from vgate.wire.packets import Ok

_TOO_LOW: Final = ("READ-COMMITTED", "READ-UNCOMMITTED", "READ COMMITTED", "READ UNCOMMITTED")


async def run_alike(
    call: Call, texts: Mapping[Place, bytes], connections: Mapping[Place, BackendConnection]
) -> tuple[Ok, list[Diagnostic]]:
    """Run each shard's text; the first's OK and warnings. Raises SqlError: a shard's own, or COPIES_DIFFER."""
    first, *others = texts
    await _check_isolation(call, first, connections[first])
    await carry_insert_id(call, connections)
    answers = [await _run(call, first, texts[first], connections[first])]
    running = (_run(call, place, texts[place], connections[place]) for place in others)
    answers += _answers(await asyncio.gather(*running, return_exceptions=True))
    noted = await read_warnings(connections[first]) if answers[0].warnings else []
    _compare(call, answers, list(texts))
    return answers[0], noted


async def carry_insert_id(call: Call, connections: Mapping[Place, BackendConnection]) -> None:
    """Make LAST_INSERT_ID() the session's on every connection, where the statement reads it."""
    if call.insert_id_read:
        await _set_all(connections, f"SET last_insert_id = {call.session.insert_id}")


async def _check_isolation(call: Call, place: Place, connection: BackendConnection) -> None:
    mysql = call.scope.cluster.facts_for(place[0]).flavour is Flavour.MYSQL
    ((level,),) = await connection.rows(f"SELECT @@{'transaction' if mysql else 'tx'}_isolation")
    once = " ".join(call.session.isolation_once).upper()
    if (level or b"").decode() in _TOO_LOW or any(one in once for one in _TOO_LOW):
        raise UNSUPPORTED(
            construct="a write to a reference table below REPEATABLE READ, as shards could carry out several such"
            " writes in different orders"
        )


async def _set_all(connections: Mapping[Place, BackendConnection], sql: str) -> None:
    for connection in connections.values():
        await connection.query(sql)


async def _run(call: Call, place: Place, text: bytes, connection: BackendConnection) -> Ok:
    answer = await connection.query(text_for(call, place, text))
    if isinstance(answer, Rows):
        raise BUG(detail="a write on several shards answered with rows")
    return answer


def _answers(results: Sequence[Ok | BaseException]) -> list[Ok]:
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Ok)]


def _compare(call: Call, answers: Sequence[Ok], places: Sequence[Place]) -> None:
    if len({(answer.affected, answer.info, answer.warnings) for answer in answers}) > 1:
        shards = call.scope.cluster.keyspaces[places[0][0]].keyspace.shards
        told = (f"{shards[place[1]].name}: {one.affected} rows" for place, one in zip(places, answers, strict=True))
        raise COPIES_DIFFER(answers=", ".join(told))
