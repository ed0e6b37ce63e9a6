"""Writes on several shards: all of them happen or, up to COMMIT, none.

Outside a client's transaction the statement gets a transaction of its own over its shards; inside one, a savepoint. It
does not know where the shards or the texts come from.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.engine.single import ROLLED_BACK, read_warnings
from vgate.errors import BUG, SqlError
from vgate.session.session import Diagnostic
from vgate.transactions.scope import Place, Scope
from vgate.wire.packets import Ok

_NUMBERS: Final = re.compile(rb"\d+")


async def write_all(call: Call, texts: Mapping[Place, bytes]) -> list[Ok]:
    """Run each shard's text, in parallel, atomically up to COMMIT; the OKs in the order of ``texts``.

    Warnings are kept in the session. Raises the first shard's error, after undoing the others.
    """
    scope = call.scope
    own = not scope.transactional
    scope.hidden = scope.hidden or own
    connections: dict[Place, BackendConnection] = {}
    try:
        for place in texts:
            connections[place] = await scope.take(place)
        if not own:
            await scope.mark(list(texts))
        answers = await _run(call, texts, connections)
        if own:
            await scope.commit()
        return answers
    except BaseException as error:
        await asyncio.shield(_undo(scope, list(texts), own, error))
        raise
    finally:
        if own:
            scope.hidden = False


async def _run(
    call: Call, texts: Mapping[Place, bytes], connections: Mapping[Place, BackendConnection]
) -> list[Ok]:
    if call.insert_id_read:
        for connection in connections.values():
            await connection.query(f"SET last_insert_id = {call.session.insert_id}")
    running = (connections[place].query(text_for(call, place, text)) for place, text in texts.items())
    results = await asyncio.gather(*running, return_exceptions=True)
    answers: list[Ok] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        if isinstance(result, Rows):
            raise BUG(detail="a write on several shards answered with rows")
        answers.append(result)
    diagnostics: list[Diagnostic] = []
    for connection, answer in zip(connections.values(), answers, strict=True):
        if answer.warnings:
            diagnostics += await read_warnings(connection)
    call.session.diagnostics = diagnostics
    return answers


async def _undo(scope: Scope, places: list[Place], own: bool, error: BaseException) -> None:
    """Take back what the shards did of a statement that failed with ``error``."""
    rolled_back = isinstance(error, SqlError) and error.errno in ROLLED_BACK
    if own:
        if scope.hidden:
            await scope.rollback()
    elif rolled_back:
        await scope.rollback()
    else:
        await scope.undo([place for place in places if place in scope.begun])


def combined(answers: list[Ok]) -> Ok:
    """One OK for several: counts added up, also inside the info line; the first insert id that is not 0."""
    if len(answers) == 1:
        return answers[0]
    infos = [answer.info for answer in answers if answer.info]
    return Ok(
        affected=sum(answer.affected for answer in answers),
        insert_id=next((answer.insert_id for answer in answers if answer.insert_id), 0),
        status=answers[0].status,
        warnings=sum(answer.warnings for answer in answers),
        info=added(infos),
    )


def added(infos: list[bytes]) -> bytes:
    """Info lines of one form (``Rows matched: 1  Changed: 1  Warnings: 0``) with their numbers added up."""
    if not infos:
        return b""
    sums = [sum(map(int, column)) for column in zip(*(_NUMBERS.findall(info) for info in infos), strict=True)]
    numbers = iter(sums)
    return _NUMBERS.sub(lambda _: b"%d" % next(numbers), infos[0])
