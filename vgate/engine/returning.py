"""INSERT ... RETURNING on several shards: their rows as one result, in the order of the client's rows.

A shard returns one row for each that it was given, in that order. It does not know how rows were dealt out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vgate.backend.connection import Rows
from vgate.engine.call import Call
from vgate.engine.rename import columns_of
from vgate.errors import BUG
from vgate.transactions.scope import Place
from vgate.wire.constants import Status
from vgate.wire.packets import eof_payload, lenenc


def give_rows(
    call: Call, returned: Mapping[Place, Rows], numbers: Mapping[Place, Sequence[int]], warnings: int, first_id: int
) -> None:
    """Answer with the rows; ``first_id`` becomes LAST_INSERT_ID() unless it is 0."""
    rows: dict[int, bytes] = {}
    for place, answer in returned.items():
        if len(answer.rows) != len(numbers[place]):
            raise BUG(detail="a shard returned another number of rows than it was given")
        rows.update(zip(numbers[place], answer.rows, strict=True))
    session, out = call.session, call.out
    session.row_count = -1
    session.insert_id = first_id or session.insert_id
    place, first = next(iter(returned.items()))
    rename = columns_of(call, place)
    out.send(lenenc(len(first.columns)))
    for column in first.columns:
        out.send(column if rename is None else rename.column(column))
    out.send(eof_payload(out.status & ~Status.MORE_RESULTS))
    for number in sorted(rows):
        out.send(rows[number])
    out.send(eof_payload(out.status, warnings))
