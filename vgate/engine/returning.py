"""INSERT ... RETURNING on several shards: their rows as one result, in the order of the client's rows.

A shard returns one row for each that it was given, in that order. ``give_text`` answers likewise with one shard's rows
written anew. It does not know how rows were dealt out, nor what is written into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    session = call.session
    session.row_count = -1
    session.insert_id = first_id or session.insert_id
    place, first = next(iter(returned.items()))
    _send(call, place, first.columns, [rows[number] for number in sorted(rows)], warnings)


def give_text(call: Call, place: Place, answer: Rows, rows: Iterable[Sequence[bytes | None]]) -> None:
    """Answer with other rows of text under the columns of a shard's own answer."""
    cells = ([b"\xfb" if cell is None else lenenc(len(cell)) + cell for cell in row] for row in rows)
    _send(call, place, answer.columns, [b"".join(row) for row in cells], answer.warnings)


def _send(call: Call, place: Place, columns: Sequence[bytes], rows: Iterable[bytes], warnings: int) -> None:
    out, rename = call.out, columns_of(call, place)
    out.send(lenenc(len(columns)))
    for column in columns:
        out.send(column if rename is None else rename.renamed(column))
    out.send(eof_payload(out.status & ~Status.MORE_RESULTS))
    for row in rows:
        out.send(row)
    out.send(eof_payload(out.status, warnings))
