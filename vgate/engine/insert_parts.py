"""The rows of one INSERT on several shards, each shard with its part of them, to fail as one server fails.

Without a strict mode servers put '' or 0 for NULL where an INSERT has several rows, but refuse the NULL of a single one
(1048): a row that is the only one on its shard is then sent as ``INSERT ... SELECT``, to which the rules for several
apply (measured on both flavours). Where several shards fail, the client sees the error of the row that comes first in
its statement: of an error that names no row, the row is found by inserting parts of the shard's rows again. All of that
happens in a transaction that is undone if anything fails. This module does not know where rows come from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.engine.single import ROLLED_BACK
from vgate.engine.write import Numbers, at_once, row_named
from vgate.errors import ServerError
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
        by_place = zip(self._texts, answers, strict=True)
        failed = [(place, one) for place, one in by_place if isinstance(one, BaseException)]
        if len(failed) < 2:
            return answers
        first: tuple[int, BaseException] | None = None
        for place, error in failed:
            if not isinstance(error, ServerError) or error.errno in ROLLED_BACK:
                return answers
            row = await self._row_of(place, connections[place], error)
            if first is None or row < first[0]:
                first = row, error
        assert first is not None
        row, error = first
        assert isinstance(error, ServerError)
        raise ServerError(error.errno, error.sqlstate, row_named(error.message, row + 1))

    async def _lone(self, place: Place, connection: BackendConnection, row: int, before: Answer) -> Answer:
        """The answer to a single row by the rules for several."""
        text = self._select_of(row)
        return before if text is None else await self._answer(place, connection, text)

    async def _row_of(self, place: Place, connection: BackendConnection, error: ServerError) -> int:
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
            return await connection.query(text_for(self._call, place, text))
        except ServerError as error:
            return error


def _is_null(answer: Answer) -> bool:
    """True if a NULL was refused."""
    return isinstance(answer, ServerError) and answer.errno == NOT_NULL
