"""Conditions on sharding columns: from a tree's WHERE and ON to the keyspace ids that they allow.

``Where`` trees say what the condition can be, never less: whatever is not understood allows everything.
It does not know what a value's keyspace id is (``values``, ``resolve``), how tables are joined (``joins``), and not
which statements may span shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlglot import exp

from vgate.planner.columns import ColumnKind, ColumnType
from vgate.planner.joins import Block, Sharded, bare
from vgate.planner.plan import Both, Const, Either, Everything, Nothing, Points, Slot, Source, Where
from vgate.sql.tree import slot_of

EVERYTHING = Everything()


def allowed(block: Block, which: list[Sharded]) -> Where:
    """The keyspace ids that all conditions of a block leave to ``which``, members of it that are together."""
    found = [_condition(condition, one, block) for condition in block.conditions for one in which]
    return _all_of(found)


def _condition(node: exp.Expression | None, one: Sharded, block: Block) -> Where:
    node = bare(node)
    if isinstance(node, exp.And | exp.Or):
        operands = [_condition(operand, one, block) for operand in _operands(node)]
        return _all_of(operands) if isinstance(node, exp.And) else _any_of(operands)
    if isinstance(node, exp.EQ | exp.NullSafeEQ):
        for column, value in ((node.this, node.expression), (node.expression, node.this)):
            if block.owns(one, column):
                source = source_of(value, one.column)
                if source is None or (isinstance(node, exp.NullSafeEQ) and source == Const(None)):
                    return EVERYTHING
                return _points(one, (source,))
    if isinstance(node, exp.In) and block.owns(one, node.this) and not node.args.get("query"):
        sources = [source_of(value, one.column) for value in node.expressions]
        if sources and all(source is not None for source in sources):
            return _points(one, tuple(source for source in sources if source is not None))
    return EVERYTHING


def _operands(node: exp.And | exp.Or) -> Iterator[exp.Expression | None]:
    """The operands of a chain of one operator, however long it is."""
    waiting: list[exp.Expression | None] = [node]
    while waiting:
        one = bare(waiting.pop())
        if isinstance(one, type(node)):
            waiting += [one.expression, one.this]
        else:
            yield one


def _points(one: Sharded, sources: tuple[Source, ...]) -> Where:
    """NULL equals nothing: not even a stored NULL, which some vindexes map."""
    real = tuple(source for source in sources if source != Const(None))
    return Points(one.vindex, one.column, real) if real else Nothing()


def _all_of(wheres: list[Where]) -> Where:
    wanted: list[Where] = list(dict.fromkeys(where for where in wheres if not isinstance(where, Everything)))
    if not wanted:
        return EVERYTHING
    return Nothing() if Nothing() in wanted else _halved(wanted, Both)


def _any_of(wheres: list[Where]) -> Where:
    """The union; conditions on one column become one, since chains of OR can be long."""
    if any(isinstance(where, Everything) for where in wheres):
        return EVERYTHING
    sources: dict[tuple[str, ColumnType], tuple[Points, dict[Source, None]]] = {}
    others: list[Where] = []
    for where in wheres:
        if isinstance(where, Points):
            key = (where.vindex.name, where.column)
            sources.setdefault(key, (where, {}))[1].update(dict.fromkeys(where.sources))
        elif not isinstance(where, Nothing):
            others.append(where)
    points: list[Where] = [Points(one.vindex, one.column, tuple(all_)) for one, all_ in sources.values()]
    return _halved(points + others, Either) if points or others else Nothing()


def _halved(wheres: list[Where], make: Callable[[Where, Where], Where]) -> Where:
    """A tree over ``wheres`` that is no deeper than it must be."""
    if len(wheres) == 1:
        return wheres[0]
    middle = len(wheres) // 2
    return make(_halved(wheres[:middle], make), _halved(wheres[middle:], make))


def source_of(node: exp.Expression | None, column: ColumnType) -> Source | None:
    """Where a value comes from: a literal's slot (with its sign), or a word; None for any other expression.

    Whether the literal is a number or a text plays no part: one plan serves all literals of a shape.
    """
    node = bare(node)
    if isinstance(node, exp.Neg):
        inner = bare(node.this)
        slot = slot_of(inner) if isinstance(inner, exp.Literal) else None
        return None if slot is None else Slot(slot, negative=True)
    if isinstance(node, exp.Literal):
        slot = slot_of(node)
        return None if slot is None else Slot(slot)
    if isinstance(node, exp.Null):
        return Const(None)
    if isinstance(node, exp.Boolean) and column.kind in (ColumnKind.INTEGER, ColumnKind.UNKNOWN):
        return Const(1 if node.this else 0)
    return None
