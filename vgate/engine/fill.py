"""The rows of a SELECT of which vgate itself works out some columns.

Nothing is passed to the client before all values are there: whatever fails until then is an error and no more. It does
not know where values come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.engine.gather import GatherLimits
from vgate.engine.kept import KeptRows, keep
from vgate.engine.output import Output
from vgate.wire.fill import RowFiller
from vgate.wire.packets import ColumnDefinition, lenenc, read_column

Values = Callable[[int], Awaitable[Sequence[Sequence[int | None]]]]
"""For each of so many rows, the values of the columns that are filled."""

_AT_ONCE: Final = 1000
"""Rows that are sent before others are served."""

_CONSTRUCT: Final = "a SELECT with NEXTVAL for each row"


async def run_filled(
    out: Output,
    cluster: Cluster,
    limits: GatherLimits,
    statement: Callable[[Output], Awaitable[bool]],
    columns: Mapping[bytes, ColumnDefinition],
    values: Values,
) -> bool:
    """Answer a SELECT with values in the columns that are called so, described as here; False after a server's error.

    ``statement`` answers it with other values in them. Raises SqlError, KEPT_ROWS where there are too many rows.
    """
    kept = await keep(out, cluster, limits, _CONSTRUCT, statement)
    if kept.rows is None:
        out.send(kept.last)
    else:
        await _send(out, kept.rows, columns, values)
    return kept.done


async def _send(out: Output, result: KeptRows, columns: Mapping[bytes, ColumnDefinition], values: Values) -> None:
    definitions = [read_column(payload) for payload in result.columns]
    places = {number: columns[one.name] for number, one in enumerate(definitions) if one.name in columns}
    given = await values(len(result.rows))
    out.send(lenenc(len(definitions)))
    for number, payload in enumerate(result.columns):
        out.send(places[number].payload() if number in places else payload)
    out.send(result.described)
    filler = RowFiller(definitions, out.binary)
    for number, (row, new) in enumerate(zip(result.rows, given, strict=True)):
        out.send(filler.filled(row, dict(zip(places, new, strict=True))))
        if number % _AT_ONCE == _AT_ONCE - 1:
            await out.down.drained()
            await asyncio.sleep(0)
    out.send(result.end)
