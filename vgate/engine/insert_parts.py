"""The rows of one INSERT on several shards, each shard with its part of them, to fail as one server fails.

Without a strict mode servers put '' or 0 for NULL where an INSERT has several rows, but refuse the NULL of a single one
(1048): a row that is the only one on its shard is then sent as ``INSERT ... SELECT``, to which the rules for several
apply (measured on both flavours). Where several shards fail, the client sees the error of the row that comes first in
its statement: of an error that names no row, the row is found by inserting parts of the shard's rows again. All of that
happens in a transaction that is undone if anything fails. This module does not know where rows come from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.command import answer_to
from vgate.engine.single import ROLLED_BACK
from vgate.engine.write import Numbers, at_once, named_row, noted_by, row_named
from vgate.errors import ServerError
from vgate.session.session import Diagnostic
from vgate.transactions.scope import Place
from vgate.wire.packets import Ok

NOT_NULL: Final = 1048

Answer = Ok | Rows | BaseException


class Parts:
    """See the module. ``text_of`` makes the statement with some of the client's rows, ``select_of`` the one with the
    single row as a SELECT, or None where that cannot be.
    """

    def __init__(
        self, call: Call, texts: Mapping[Place, bytes], numbers: Numbers,
        text_of: Callable[[Sequence[int]], Awaitable[bytes]], select_of: Callable[[int], bytes | None],
    ) -> None:  # fmt: skip
        self._call = call
        self._texts = texts
        self._numbers = numbers
        self._text_of = text_of
        self._select_of = select_of

    async def run(self, connections: Mapping[Place, BackendConnection]) -> Sequence[Answer]:
        """Every shard's answer. Raises ServerError: of several shards' errors the one of the first row."""
        answers = await at_once(self._call, self._texts, connections)
        for index, (place, answer) in enumerate(zip(self._texts, answers, strict=True)):
            if _is_null(answer) and len(self._numbers[place]) == 1:
                answers[index] = await self._lone(place, connections[place], self._numbers[place][0], answer)
        by_place = list(zip(self._texts, answers, strict=True))
        failed = {place: one for place, one in by_place if isinstance(one, ServerError)}
        ended = any(isinstance(one, BaseException) and not isinstance(one, ServerError) for one in answers)
        if not failed or ended or any(error.errno in ROLLED_BACK for error in failed.values()):
            return answers
        said = {
            place: await noted_by(connections[place], self._numbers[place], failed.get(place)) for place in self._texts
        }  # fmt: skip
        if len(failed) == 1 and not any(noted for place, noted in said.items() if place not in failed):
            return answers
        rows = {place: await self._row_of(place, connections[place]) for place in failed}
        place = min(rows, key=rows.__getitem__)
        error = failed[place]
        error = ServerError(error.errno, error.sqlstate, row_named(error.message, rows[place] + 1))
        self._call.session.fails(error, _up_to(rows[place] + 1, said, place))
        raise error

    async def _lone(self, place: Place, connection: BackendConnection, row: int, before: Answer) -> Answer:
        """The answer to a single row by the rules for several."""
        text = self._select_of(row)
        return before if text is None else await self._answer(place, connection, text)

    async def _row_of(self, place: Place, connection: BackendConnection) -> int:
        """The row (of the client's, from 0) that the shard has failed at. Raises ServerError if the transaction ended.

        All rows before ``low`` are there again, and the one that fails is before ``high``.
        """
        rows = self._numbers[place]
        low, high = 0, len(rows)
        while high - low > 1:
            middle = (low + high) // 2
            answer = await self._answer(place, connection, await self._text_of(rows[low:middle]))
            if _is_null(answer) and middle - low == 1:
                answer = await self._lone(place, connection, rows[low], answer)
            if not isinstance(answer, ServerError):
                low = middle
            elif answer.errno in ROLLED_BACK:
                raise answer
            else:
                high = middle
        return rows[low]

    async def _answer(self, place: Place, connection: BackendConnection, text: bytes) -> Answer:
        try:
            return await answer_to(self._call, place, connection, text)
        except ServerError as error:
            return error


def _up_to(last: int, said: Mapping[Place, Sequence[Diagnostic]], failed: Place) -> list[Diagnostic]:
    """What one server would have said when it failed at row ``last`` (from 1), where the shard ``failed`` did."""
    found: list[tuple[int, Diagnostic]] = []
    for noted in said.values():
        row = 0
        for one in noted:
            row = named_row(one.message) or row
            if one.level != "Error" and row <= last:
                found.append((row, one))
    found.sort(key=lambda pair: pair[0])
    errors = [replace(one, message=row_named(one.message, last)) for one in said[failed] if one.level == "Error"]
    return [one for _, one in found] + errors


def _is_null(answer: Answer) -> bool:
    """True if a NULL was refused."""
    return isinstance(answer, ServerError) and answer.errno == NOT_NULL
