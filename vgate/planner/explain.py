"""Plans as text, for EXPLAIN, VEXPLAIN and the golden files: one fact a line.

It does not know how plans are made or run.
"""

from __future__ import annotations

from typing import assert_never

from vgate.planner.plan import (
    Access,
    Across,
    AnyShard,
    Both,
    Const,
    Either,
    EveryShard,
    Everything,
    Everywhere,
    Flush,
    Gathered,
    Insert,
    InsertQuery,
    Maintain,
    NextValue,
    Nothing,
    OnDuplicate,
    Pass,
    Plan,
    Planned,
    Points,
    Refuse,
    Route,
    Schemas,
    Slot,
    Source,
    VindexRows,
    Where,
)
from vgate.sql.lexer import Slots
from vgate.vschema.model import TableType


def explain(planned: Planned, slots: Slots | None = None) -> str:
    """The plan; with ``slots``, literals are shown in place of their numbers."""
    lines = _lines(planned.plan, slots)
    if planned.depends:
        looked_at = ", ".join(_source(Slot(index), slots) for index in planned.depends)
        lines.append(f"  the plan for these literals alone: {looked_at}")
    return "\n".join(lines)


def _lines(plan: Plan, slots: Slots | None) -> list[str]:
    match plan:
        case Pass(keyspace=keyspace, access=access, others=others):
            also = f", which has {', '.join(others)} as well" if others else ""
            return [
                f"pass to {keyspace} ({access.value}): the statement as it is, to the one server of the keyspace{also}"
            ]
        case AnyShard(keyspace=keyspace, access=Access.LOCK):
            return [f"first shard of {keyspace}: where all who write to these tables begin"]
        case AnyShard(keyspace=keyspace, counted=True):
            return [f"any shard of {keyspace}, with the sums of what all of them count"]
        case AnyShard(keyspace=keyspace):
            return [f"any shard of {keyspace}: each of them can answer"]
        case Route():
            return _route(plan, slots)
        case Across(keyspace=keyspace, gather=gather):
            return [
                f"tables of several keyspaces: gathered on a server of {keyspace}",
                *(_gathered(one, gather.lock, slots) for one in gather.tables),
            ]
        case Insert():
            return _insert(plan)
        case InsertQuery(table=table, insert=insert):
            rows = f"rows of a query, read first, into {table}"
            return [f"{rows}: all of them to the one server of the keyspace"] if insert is None else [
                f"{rows}; then", *(f"  {line}" for line in _insert(insert)),
            ]  # fmt: skip
        case NextValue(sequence=sequence, count=count):
            return [f"next values of sequence {sequence}: {_source(count, slots)}"]
        case Everywhere(keyspace=keyspace):
            return [f"everywhere in {keyspace}: the statement as it is to every shard, which have to answer alike"]
        case VindexRows(keyspace=keyspace, vindex=vindex):
            return [f"rows of vindex {keyspace}.{vindex.name}: computed; any shard evaluates the statement over them"]
        case EveryShard(keyspace=keyspace):
            return [f"every shard of {keyspace}: the statement as it is"]
        case Flush(keyspaces=keyspaces, locks=locks):
            held = ", which keep a read lock" if locks else ""
            return [f"all shards of {', '.join(keyspaces)}, one after the other{held}"]
        case Maintain(keyspace=keyspace):
            return [f"every shard of {keyspace}: the statement as it is, and one answer of all they say of a table"]
        case Schemas(keyspaces=keyspaces):
            return [f"schemas of {', '.join(keyspaces)}: one server of the first answers for all"]
        case Refuse(error=error):
            return [f"refused: {error.errno} ({error.sqlstate}): {error.message}"]
    assert_never(plan)


def _route(plan: Route, slots: Slots | None) -> list[str]:
    lines = [f"route in {plan.keyspace} ({plan.access.value})", f"  shards: {where_text(plan.where, slots)}"]
    lines += [f"  and, on the same shard: {where_text(other, slots)}" for other in plan.others]
    if plan.gather is not None:
        lines.append(f"  several shards: gathered on one server, for {plan.single_shard_only}")
        lines += [_gathered(one, plan.gather.lock, slots) for one in plan.gather.tables]
    elif plan.single_shard_only:
        lines.append(f"  on one shard only: {plan.single_shard_only}")
    elif not _is_point(plan.where, slots):
        lines.append("  several shards: affected rows are added up" if plan.access.value == "write"
                     else "  several shards: rows follow each other, shard by shard")  # fmt: skip
    return lines


def _gathered(table: Gathered, lock: str, slots: Slots | None) -> str:
    shards = "any one" if table.everywhere else where_text(table.where, slots)
    where = " that meet the WHERE" if table.filtered else ""
    locked = f", locked {lock}" if lock else ""
    return f"    rows of {table.name}{where}, shards: {shards}{locked}"


def _is_point(where: Where, slots: Slots | None) -> bool:
    """True for one value, which has one shard or may be anywhere, and for none at all."""
    if not isinstance(where, Points) or len(where.sources) > 1:
        return isinstance(where, Nothing)
    source = where.sources[0]
    return slots is None or isinstance(source, Const) or isinstance(slots[source.index], bytes)


def where_text(where: Where, slots: Slots | None) -> str:
    """A condition in words."""
    match where:
        case Everything():
            return "all"
        case Nothing():
            return "none: no row can match"
        case Points(vindex=vindex, column=column, sources=sources):
            values = ", ".join(_source(source, slots) for source in sources)
            return f"{vindex.name}({column.name}) of {values}"
        case Both(left=left, right=right):
            return f"({where_text(left, slots)}) and ({where_text(right, slots)})"
        case Either(left=left, right=right):
            return f"({where_text(left, slots)}) or ({where_text(right, slots)})"
    assert_never(where)


def _source(source: Source, slots: Slots | None) -> str:
    if isinstance(source, Const):
        return "?" if source.value is None and slots is None else str(source.value)
    assert isinstance(source, Slot)
    sign = "-" if source.negative else ""
    if slots is None:
        return f"{sign}literal {source.index}"
    value = slots[source.index]
    texts = value if isinstance(value, list) else [value]
    return ", ".join(sign + text.decode("utf-8", "replace") for text in texts)


def _rows_go(plan: Insert) -> str:
    if plan.table.type is TableType.REFERENCE:
        return "all rows to every shard"
    return "rows split by shard" if plan.sharding else "one server"


def _insert(plan: Insert) -> list[str]:
    verb = "replace" if plan.on_duplicate is OnDuplicate.REPLACE else "insert"
    lines = [f"{verb} into {plan.table.name}: " + _rows_go(plan)]
    if plan.implicit_columns:
        lines.append(f"  columns of the server: {', '.join(plan.columns)}")
    if plan.sharding is not None:
        key = plan.sharding
        place = "missing" if key.position is None else f"value {key.position + 1}"
        lines.append(f"  shard: {key.vindex.name}({key.column.name}), {place}")
    if plan.generated is not None:
        made = plan.generated
        place = "always" if made.position is None else "where it is NULL, DEFAULT or 0"
        lines.append(f"  {made.column}: from sequence {made.sequence}, {place}")
    if plan.on_duplicate in (OnDuplicate.IGNORE, OnDuplicate.UPDATE):
        lines.append(f"  duplicates: {plan.on_duplicate.value}")
    if plan.returning:
        lines.append("  returns the rows, in the order they were given in")
    return lines
