"""Routes: which shards a condition leads to at run time, and which tier then answers.

It does not know how the condition was found.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from vgate.engine.call import Call
from vgate.engine.gather import GatherLimits, run_gather
from vgate.engine.rename import text_for
from vgate.engine.scatter import OF_QUERY, run_scatter
from vgate.engine.single import read_warnings, run_single
from vgate.engine.write import combined, write_all
from vgate.errors import BACKEND_UNREACHABLE, DDL_PARTIAL, UNSUPPORTED, SqlError, VgateError
from vgate.planner.build import syntax_error
from vgate.planner.plan import (
    Access,
    Across,
    AnyShard,
    Const,
    EveryShard,
    Everything,
    Everywhere,
    Gather,
    Gathered,
    NextValue,
    Route,
    Where,
)
from vgate.planner.resolve import resolve
from vgate.sequences.every import EverySequence
from vgate.session.session import Diagnostic
from vgate.sql.literals import LiteralKind, read_literal
from vgate.transactions.scope import Place
from vgate.wire.packets import Ok, bigint_column

_WARNINGS: Final = re.compile(rb"(?<=Warnings: )\d+")
UNLIMITED: Final = str(2**64 - 1)
"""The sql_select_limit that is none."""


async def run_any(call: Call, plan: AnyShard) -> bool:
    """Any shard will do: one the session holds already, else the first that can be reached; who locks rows always goes
    to the first.
    """
    if plan.access is not Access.READ:
        return await run_single(call, (plan.keyspace, 0), call.text, plan.access)
    held = next((place for place in call.scope.held if place[0] == plan.keyspace), None)
    if held is not None:
        return await run_single(call, held, call.text, plan.access)
    last = len(call.scope.cluster.keyspaces[plan.keyspace].keyspace.shards) - 1
    for index in range(last):
        try:
            return await run_single(call, (plan.keyspace, index), call.text, plan.access)
        except VgateError as error:
            if error.fault is not BACKEND_UNREACHABLE:
                raise
    return await run_single(call, (plan.keyspace, last), call.text, plan.access)


def shards_of(call: Call, plan: Route) -> list[Place]:
    """The shards the literals at hand lead to, in key order."""
    return [(plan.keyspace, index) for index in _indexes(call, plan.keyspace, plan.where)]


def _indexes(call: Call, keyspace: str, where: Where) -> list[int]:
    servers = call.scope.cluster.keyspaces[keyspace]
    keyspace_ids = resolve(where, call.slots, call.mode)
    if isinstance(keyspace_ids, Everything):
        return list(range(len(servers.keyspace.shards)))
    return sorted({servers.find(one) for one in keyspace_ids})


async def run_route(call: Call, plan: Route, limits: GatherLimits) -> bool:
    """Run a routed statement; False if its answer was an error the server gave."""
    places = shards_of(call, plan)
    if plan.others:
        together = {index for where in plan.others for index in _indexes(call, plan.keyspace, where)}
        if len(together | {index for _, index in places}) > 1 or len(places) != 1:
            _only_on_one_shard(call, "whose tables are not all on one shard")
            if plan.gather is not None:
                return await _gather(call, plan, plan.gather, limits)
            raise UNSUPPORTED(construct=f"{plan.single_shard_only} whose tables are not all on one shard")
    if not places:  # no row can match: one shard makes the columns, the checks and the empty answer
        return await run_single(call, (plan.keyspace, 0), call.text, plan.access)
    if len(places) == 1:
        return await run_single(call, places[0], call.text, plan.access)
    _only_on_one_shard(call, f"across {len(places)} shards")
    if plan.gather is not None:
        return await _gather(call, plan, plan.gather, limits)
    if plan.single_shard_only:
        raise UNSUPPORTED(construct=f"{plan.single_shard_only} across {len(places)} shards")
    if call.session.settings.values.get("sql_select_limit", UNLIMITED) != UNLIMITED and plan.access is not Access.WRITE:
        raise UNSUPPORTED(construct=f"sql_select_limit across {len(places)} shards")
    if plan.access is Access.WRITE:
        answer = combined(await write_all(call, {place: call.text for place in places}, tables=plan.tables))
        give_ok(call, answer, answer.insert_id or None)  # an UPDATE's or DELETE's is that of LAST_INSERT_ID(expr)
        return True
    await run_scatter(call, places, call.text)
    return True


def _only_on_one_shard(call: Call, where: str) -> None:
    """Refuse what the session has to know of the one connection that answered."""
    if call.assigns is not None:
        raise UNSUPPORTED(construct=f"an assignment to a user variable {where}")


async def run_across(call: Call, plan: Across, limits: GatherLimits) -> bool:
    """Answer a query over tables of several keyspaces. Raises SqlError."""
    _only_on_one_shard(call, "in a query over tables of several keyspaces")
    return await _gather(call, plan, plan.gather, limits)


async def _gather(call: Call, plan: Route | Across, gather: Gather, limits: GatherLimits) -> bool:
    shards: dict[Gathered, list[Place]] = {}
    for table in gather.tables:
        keyspace = table.name.keyspace
        if table.everywhere:  # who locks rows of a reference table always begins on the first shard
            held = (place for place in call.scope.held if place[0] == keyspace and not gather.lock)
            shards[table] = [next(held, (keyspace, 0))]
        else:
            shards[table] = [(keyspace, index) for index in _indexes(call, keyspace, table.where)]
        if keyspace != plan.keyspace:  # one of its servers knows the table
            shards[table] = shards[table] or [(keyspace, 0)]
    return await run_gather(call, plan.keyspace, gather, shards, limits)


async def run_everywhere(call: Call, plan: Everywhere) -> None:
    """A write to reference tables: on every shard or none, with the answer of one."""
    count = len(call.scope.cluster.keyspaces[plan.keyspace].keyspace.shards)
    answer = (await write_all(call, {(plan.keyspace, index): call.text for index in range(count)}, alike=True))[0]
    give_ok(call, answer, answer.insert_id or None)


def give_ok(call: Call, answer: Ok, insert_id: int | None = None) -> None:
    """Answer with an OK that several shards made; LAST_INSERT_ID() becomes ``insert_id`` (None: it stays)."""
    session = call.session
    session.row_count = answer.affected
    if insert_id is not None:
        session.insert_id = insert_id
    call.out.ok(answer.affected, answer.insert_id, answer.warnings, answer.info, answer.status & OF_QUERY)


async def run_every(call: Call, plan: EveryShard, changed: Callable[[str], Awaitable[None]]) -> Ok:
    """Run DDL on every shard of a keyspace, in parallel. Raises the first error, naming the shards that did run it.

    Nothing is answered yet; the shards' warnings are the session's. ``changed`` hears of the keyspace in any case.
    """
    cluster = call.scope.cluster
    shards = cluster.keyspaces[plan.keyspace].keyspace.shards
    places = [(plan.keyspace, index) for index in range(len(shards))]

    notes: dict[Place, list[Diagnostic]] = {}

    async def run(place: Place) -> Ok:
        connection = await call.scope.take(place)
        try:
            answer = await connection.query(text_for(call, place, call.text))
            notes[place] = await read_warnings(connection) if answer.warnings else []
        finally:
            call.scope.give_back(place, connection)
        return answer if isinstance(answer, Ok) else Ok(status=answer.status, warnings=answer.warnings)

    try:
        results = await asyncio.gather(*map(run, places), return_exceptions=True)
    finally:
        await changed(plan.keyspace)
    outcomes = list(zip(places, results, strict=True))
    failed = [(place, result) for place, result in outcomes if isinstance(result, BaseException)]
    if failed:
        error = failed[0][1]
        done = [shards[place[1]].name for place, result in outcomes if isinstance(result, Ok)]
        if done and isinstance(error, SqlError):
            names = ", ".join(shards[place[1]].name for place, _ in failed)
            raise DDL_PARTIAL(done=", ".join(done), failed=names, reason=error.message) from error
        raise error
    answers = [replace(result, warnings=0) for result in results if isinstance(result, Ok)]
    call.session.diagnostics = noted = _noted(list(notes.values()))
    answer = combined(answers)
    return replace(answer, warnings=len(noted), insert_id=0)


def give_done(call: Call, answer: Ok, notes: Sequence[Diagnostic] = ()) -> None:
    """Answer with what ``run_every`` came to, and ``notes`` among its warnings."""
    call.session.diagnostics = noted = [*call.session.diagnostics, *notes]
    info = _WARNINGS.sub(b"%d" % len(noted), answer.info)
    give_ok(call, replace(answer, warnings=len(noted), info=info))


def _noted(shards: list[list[Diagnostic]]) -> list[Diagnostic]:
    """The warnings of all shards: of a row each shard has its own, all else one server would say once."""
    noted: Counter[Diagnostic] = Counter()
    for shard in shards:
        for one, times in Counter(shard).items():
            noted[one] = noted[one] + times if " at row " in one.message else max(noted[one], times)
    return list(noted.elements())


async def run_next(call: Call, plan: NextValue, sequences: EverySequence) -> None:
    """``SELECT NEXT n VALUES``: one row, the first of n consecutive values."""
    if isinstance(plan.count, Const):
        if plan.count.value is None:  # a question mark in a statement that was not prepared
            raise syntax_error(call.text, max(0, call.text.find(b"?")))
        count = plan.count.value if isinstance(plan.count.value, int) else 0
    else:
        raw = call.slots[plan.count.index]
        literal = read_literal(raw, call.mode) if isinstance(raw, bytes) else None
        value = literal.value if literal is not None and literal.kind is LiteralKind.INTEGER else 0
        count = value if isinstance(value, int) else 0
    values = await sequences.take(plan.sequence, count)
    call.session.given(plan.sequence.keyspace, plan.sequence.table, values[-1])
    call.session.diagnostics = []
    call.session.row_count = -1
    call.out.rows([bigint_column(b"nextval")], [[b"%d" % values[0]]])
