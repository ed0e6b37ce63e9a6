"""Writes on several shards: all of them happen or, up to COMMIT, none.

Outside a client's transaction the statement gets a transaction of its own over its shards; inside one, a savepoint. It
does not know where the shards or the texts come from.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any, Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.alike import carry_insert_id, run_alike
from vgate.engine.call import Call
from vgate.engine.clock import needs_time, one_clock
from vgate.engine.command import answer_to
from vgate.engine.noted import Noted
from vgate.engine.own_transaction import begun, had_transaction
from vgate.engine.single import ROLLED_BACK, read_warnings
from vgate.errors import BUG, ServerError, SqlError
from vgate.session.session import Diagnostic
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place, Scope, to_its_end
from vgate.vschema.model import TableName
from vgate.wire.packets import Ok

_NUMBERS: Final = re.compile(rb"\d+")
_WARNINGS: Final = re.compile(rb"(?<=Warnings: )\d+")
_MATCHED: Final = re.compile(rb"Rows matched: (\d+)")
_AT_ROW: Final = re.compile(r"(?:(?<= at row )|(?<=\ARow ))(\d+)(?=$| doesn't contain data| was truncated)")

_NULL_TO_ZERO: Final = 1048
"""Without a strict mode: NULL became the type's zero. MySQL says so once for an INSERT; MariaDB does for each row, and
so do both for an UPDATE."""

STOPS_WITHIN: Final = 1.0
"""Seconds that a server told to stop a statement is given to say that it has."""

Numbers = Mapping[Place, Sequence[int]]
"""For each shard, which rows of the client's statement (from 0) its text has."""

Runner = Callable[[Mapping[Place, BackendConnection]], Awaitable[Sequence[Ok | Rows | BaseException]]]
"""Runs the texts where it takes more than to send them; the answers in their order."""

After = Callable[[Place, BackendConnection, Ok], Awaitable[None]]
"""Called when a shard has answered, before anything is committed."""


async def write_all(
    call: Call, texts: Mapping[Place, bytes], numbers: Numbers | None = None, after: After | None = None,
    returned: dict[Place, Rows] | None = None, *, tables: Collection[TableName] = (), alike: bool = False,
    runner: Runner | None = None,
) -> list[Ok]:  # fmt: skip
    """Run each shard's text, in parallel, atomically up to COMMIT; the OKs in the order of ``texts``.

    Warnings are kept in the session. Raises one shard's error, after undoing the others. With ``numbers``, errors and
    warnings that name a row name the client's. Rows that shards answer with are put into ``returned``. ``tables`` are
    those written to. ``alike``: all shards are to do the same, see ``engine.alike``; there is one answer then.
    ``runner`` runs the texts, if not as usual.
    """
    async with begun(call, next(iter(texts))[0]):
        return await _write_all(call, texts, numbers, after, returned, tables=tables, alike=alike, runner=runner)


async def _write_all(
    call: Call, texts: Mapping[Place, bytes], numbers: Numbers | None, after: After | None,
    returned: dict[Place, Rows] | None, *, tables: Collection[TableName], alike: bool, runner: Runner | None,
) -> list[Ok]:  # fmt: skip
    scope = call.scope
    own = not scope.transactional
    scope.hidden = scope.hidden or own
    connections: dict[Place, BackendConnection] = {}
    running = own
    try:
        connections = await scope.take_all(texts, peeks=call.seen_variables)
        for connection in connections.values():
            connection.tainted |= call.suspect
            connection.written = True
        if not own:
            await scope.mark(list(texts))
            running = True
        async with one_clock(call.session, connections.values(), wanted=alike or needs_time(call, tables)):
            if alike:
                answer, call.session.diagnostics = await run_alike(call, texts, connections)
                answers = [answer]
            else:
                answers = await _run(call, texts, connections, numbers or {}, returned, runner)
        if after is not None:
            for (place, connection), answer in zip(connections.items(), answers, strict=not alike):
                await after(place, connection, answer)
        if own:
            await scope.commit()
        return answers
    except BaseException as error:
        if running:  # else nothing was done yet, and the savepoint that is there may be an earlier statement's
            await to_its_end(_undo(scope, list(texts), own, error))
        raise
    finally:
        if own:
            scope.hidden = False


async def _run(
    call: Call, texts: Mapping[Place, bytes], connections: Mapping[Place, BackendConnection], numbers: Numbers,
    returned: dict[Place, Rows] | None, runner: Runner | None,
) -> list[Ok]:  # fmt: skip
    await carry_insert_id(call, connections)
    results: Sequence[Ok | Rows | BaseException]
    results = await (at_once(call, texts, connections) if runner is None else runner(connections))
    failed: list[tuple[SqlError, Place]] = []
    answers: list[Ok] = []
    for place, result in zip(texts, results, strict=True):
        match result:
            case Ok():
                answers.append(result)
            case Rows() if returned is not None:
                returned[place] = result
                answers.append(Ok(len(result.rows), status=result.status, warnings=result.warnings))
            case Rows():
                raise BUG(detail="a write on several shards answered with rows")
            case ServerError():
                message = renumbered(result.message, numbers.get(place))
                failed.append((ServerError(result.errno, result.sqlstate, message), place))
            case SqlError():
                failed.append((result, place))
            case BaseException():
                raise result
    if failed:
        error, place = min(failed, key=lambda one: _order(one[0]))
        call.session.fails(error, await noted_by(connections[place], numbers.get(place), error))
        raise error
    return await _with_warnings(call, connections, answers, numbers)


async def at_once(
    call: Call, texts: Mapping[Place, bytes], connections: Mapping[Place, BackendConnection]
) -> list[Ok | Rows | BaseException]:
    """Every shard's text, at the same time. If this is cancelled (KILL QUERY, or the client is gone), servers stop."""
    work = asyncio.gather(
        *(answer_to(call, place, connections[place], text) for place, text in texts.items()),
        return_exceptions=True,
    )
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await to_its_end(_stop(work, call.scope, connections.values()))
        raise


async def _stop(work: asyncio.Future[Any], scope: Scope, connections: Iterable[BackendConnection]) -> None:
    """Servers that say in time that they have stopped can go on with their transactions; others are let go."""
    await asyncio.gather(*map(scope.cluster.interrupt, connections))
    await asyncio.wait([work], timeout=STOPS_WITHIN)
    work.cancel()


def _order(error: SqlError) -> tuple[bool, bool, int]:
    """Which of several shards' errors the client is to see.

    First one after which the transaction cannot go on; then the one a single server would have met first, as far as
    they say so.
    """
    row = named_row(error.message)
    ends = not isinstance(error, ServerError) or error.errno in ROLLED_BACK
    return not ends, row == 0, row


def named_row(message: str) -> int:
    """The row that an error or warning names; 0 if it names none."""
    found = _AT_ROW.search(message)
    return 0 if found is None else int(found[1])


def row_named(message: str, row: int) -> str:
    """An error ``... at row 2`` with that number, where it names a row."""
    found = _AT_ROW.search(message)
    return message if found is None else message[: found.start()] + str(row) + message[found.end() :]


def renumbered(message: str, rows: Sequence[int] | None) -> str:
    """An error or warning ``... at row 2`` of one shard, with the row's number in the client's statement."""
    row = named_row(message)
    return message if rows is None or not 0 < row <= len(rows) else row_named(message, rows[row - 1] + 1)


async def noted_by(
    connection: BackendConnection, rows: Sequence[int] | None, failed: SqlError | None
) -> list[Diagnostic]:
    """What a server says of a statement with these ``rows`` of the client's, or nothing if it is lost.

    Of the errors only the one it has ``failed`` with: an INSERT ... SELECT makes MySQL say 1364 behind a 1048.
    """
    try:
        said = await read_warnings(connection)
    except SqlError:
        return []
    return [
        replace(one, message=renumbered(one.message, rows))
        for one in said if one.level != "Error" or (failed is not None and one.code == failed.errno)
    ]  # fmt: skip


async def _with_warnings(
    call: Call, connections: Mapping[Place, BackendConnection], answers: list[Ok], numbers: Numbers
) -> list[Ok]:
    """Keep what the shards warn of in the session, by row; the answers, less the warnings another gave already."""
    noted = Noted(call, by_row=bool(numbers))
    by_row: list[tuple[int, Diagnostic]] = []
    counted: list[Ok] = []
    once = bool(numbers) and call.scope.cluster.facts_for(next(iter(connections))[0]).flavour is Flavour.MYSQL
    full: list[int] = []  # how many were kept where not all were
    before = row = 0  # rows that the shards so far have found
    for (place, connection), answer in zip(connections.items(), answers, strict=True):
        said = await read_warnings(connection) if answer.warnings else []
        if answer.warnings > len(said):
            full.append(len(said))
        if not numbers:
            said = [replace(one, message=_counted_on(one.message, before)) for one in said]
        new = noted.unsaid(said, also=_NULL_TO_ZERO if once else 0)
        noted.said += new
        counted.append(replace(answer, warnings=answer.warnings - (len(said) - len(new))))
        row = 0
        for one in new:
            message = renumbered(one.message, numbers.get(place))
            row = named_row(message) or row  # those that name no row stay where they were among the others
            by_row.append((row, replace(one, message=message)))
        before += _found(answer)
    by_row.sort(key=lambda pair: pair[0])
    kept = min(full, default=call.session.most_kept)
    call.session.warned([one for _, one in by_row][:kept], sum(answer.warnings for answer in counted))
    return counted


def _found(answer: Ok) -> int:
    """How many rows an UPDATE or DELETE has found."""
    matched = _MATCHED.match(answer.info)
    return answer.affected if matched is None else int(matched[1])


def _counted_on(message: str, before: int) -> str:
    return row_named(message, named_row(message) + before)


async def _undo(scope: Scope, places: list[Place], own: bool, error: BaseException) -> None:
    """Take back what the shards did of a statement that failed with ``error``."""
    rolled_back = isinstance(error, SqlError) and error.errno in ROLLED_BACK
    if own:
        if scope.hidden:
            once = scope.session.isolation_once
            await scope.rollback()
            if not had_transaction(error, scope.cluster.facts_for(places[0][0]).flavour):
                scope.session.isolation_once = once
    elif rolled_back:
        await scope.rollback()
    else:
        await scope.undo([place for place in places if place in scope.begun])


def combined(answers: list[Ok]) -> Ok:
    """One OK for several: counts added up, also inside the info line; the first insert id that is not 0."""
    if len(answers) == 1:
        return answers[0]
    infos = [answer.info for answer in answers if answer.info]
    warnings = sum(answer.warnings for answer in answers)
    return Ok(
        affected=sum(answer.affected for answer in answers),
        insert_id=next((answer.insert_id for answer in answers if answer.insert_id), 0),
        status=reduce(or_, (answer.status for answer in answers)),
        warnings=warnings,
        info=_WARNINGS.sub(b"%d" % warnings, added(infos)),
    )


def added(infos: list[bytes]) -> bytes:
    """Info lines of one form (``Rows matched: 1  Changed: 1  Warnings: 0``) with their numbers added up."""
    if not infos:
        return b""
    sums = [sum(map(int, column)) for column in zip(*(_NUMBERS.findall(info) for info in infos), strict=True)]
    numbers = iter(sums)
    return _NUMBERS.sub(lambda _: b"%d" % next(numbers), infos[0])
