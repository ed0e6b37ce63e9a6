"""The answer of a vindex that is asked like a table: its rows are computed here, and a server evaluates the rest.

The vindex's name and the condition in the client's text are replaced by a derived table of constants, so whatever the
statement selects from it (``hex(keyspace_id)``, ORDER BY, an alias) is what a server makes of it. It does not know how
the statement was recognised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vgate.engine.call import Call, Execution
from vgate.engine.route import run_any
from vgate.errors import UNSUPPORTED
from vgate.keyrange import COMPLETE, parse_shard
from vgate.planner.plan import Access, AnyShard, VindexRows
from vgate.planner.vindex_functions import COLUMNS, Asked, read_asked
from vgate.sql.lexer import LexMode
from vgate.sql.literals import LiteralKind, read_literal
from vgate.sql.names import backquoted
from vgate.vindex.base import Value
from vgate.vschema.model import Keyspace
from vgate.wire.binary import NOTHING_BOUND

Row = tuple[bytes, ...]


async def run_vindex_rows(call: Call, plan: VindexRows) -> bool:
    """Answer a SELECT from a vindex; False if a server answered with an error."""
    asked = read_asked(call.text, call.mode)
    keyspace = call.scope.cluster.keyspaces[plan.keyspace].keyspace
    rows = [row for raw in asked.values for row in _rows(raw, plan, keyspace, call.mode)]
    text = _with_rows(call.text, asked, rows, call.mode)
    execution = None if call.execution is None else Execution(text, NOTHING_BOUND, b"", {})
    return await run_any(replace(call, text=text, execution=execution), AnyShard(plan.keyspace, Access.READ))


def without_rows(text: bytes, mode: LexMode, parameter: int) -> bytes:
    """The statement for a server that is to say what its columns are; ``text`` has literals for its parameters.

    The first of these is at ``parameter``: before the table it would be part of a column. Raises UNSUPPORTED.
    """
    asked = read_asked(text, mode)
    if parameter < asked.start:
        raise UNSUPPORTED(construct="a parameter before FROM in a prepared SELECT from a vindex")
    return _with_rows(text, asked, [], mode)


def _with_rows(text: bytes, asked: Asked, rows: list[Row], mode: LexMode) -> bytes:
    table = b"(" + _table(rows) + b") as " + backquoted(asked.alias, mode.charset)
    return text[: asked.start] + table + text[asked.end :]


def _rows(raw: bytes, plan: VindexRows, keyspace: Keyspace, mode: LexMode) -> Iterator[Row]:
    """A value's one row, or none if it has no keyspace id."""
    text, value = _value(raw, mode)
    keyspace_id = plan.vindex.map(value)
    if not keyspace_id:
        return
    shard = keyspace.shards[keyspace.shard_map.find(keyspace_id)]
    place = parse_shard(shard.name) or COMPLETE
    yield text, keyspace_id, place.start, place.end, keyspace_id.hex().encode(), str(place).encode()


def _value(raw: bytes, mode: LexMode) -> tuple[bytes, Value]:
    """(its text, as VARBINARY; what the vindex sees). Numbers that are no integers are seen as their text."""
    literal = read_literal(raw.removeprefix(b"-"), mode)
    if literal.kind is LiteralKind.INTEGER and isinstance(literal.value, int):
        number = -literal.value if raw.startswith(b"-") else literal.value
        return b"%d" % number, number
    if literal.kind in (LiteralKind.DECIMAL, LiteralKind.FLOAT):
        return raw, raw
    if literal.kind is LiteralKind.HEX and isinstance(literal.value, bytes):
        return literal.value, literal.value
    if literal.text is None:
        raise UNSUPPORTED(construct=f"this literal as a vindex's id: {raw.decode('utf-8', 'replace')}")
    return literal.text, literal.text


def _table(rows: list[Row]) -> bytes:
    """The derived table. The last SELECT has no row: it makes VARBINARYs of what MariaDB takes for CHAR(0)."""
    selects = [", ".join(f"x'{cell.hex()}' as {name}" for cell, name in zip(row, COLUMNS, strict=True)) for row in rows]
    columns = ", ".join(f"x'00' as {name}" for name in COLUMNS)
    selects.append(f"{columns} from dual where 1 = 0")
    return " union all ".join(f"select {select}" for select in selects).encode()
