"""Conditions on sharding columns: from a tree's WHERE and ON to the keyspace ids that they allow.

``Where`` trees say what the condition can be, never less: whatever is not understood allows everything. References that
are joined on their sharding columns are *together*: their matching rows lie on one shard.
It does not know what a value's keyspace id is (``values``, ``resolve``), and not which statements may span shards.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from vgate.planner.columns import ColumnKind, ColumnType, TableInfo
from vgate.planner.plan import Both, Const, Either, Everything, Nothing, Points, Slot, Source, Where
from vgate.planner.references import Reference
from vgate.sql.tree import slot_of
from vgate.vindex.base import Vindex

EVERYTHING = Everything()
_LINKABLE = (ColumnKind.INTEGER, ColumnKind.UNKNOWN)


class Sharded:
    """A reference to a sharded table, with what routing needs of it."""

    def __init__(self, reference: Reference, vindex: Vindex, column: ColumnType, info: TableInfo) -> None:
        self.reference = reference
        self.vindex = vindex
        self.column = column
        self.info = info

    def owns(self, node: exp.Expression | None, among: list[Sharded], *, alone: bool) -> bool:
        """True if ``node`` is this reference's sharding column.

        An unqualified name must be nobody else's of the block: ``alone`` says that no other table is in it.
        """
        node = _bare(node)
        if not isinstance(node, exp.Column) or node.name.lower() != self.column.name:
            return False
        if node.table:
            if node.db and node.db != self.reference.name.keyspace:
                return False
            return node.table == self.reference.alias
        if alone:
            return True
        return all(one.info.column(self.column.name) is None for one in among if one is not self)


def _bare(node: exp.Expression | None) -> exp.Expression | None:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


# -- the parts of a block's condition -----------------------------------------------------------------------------


def conjuncts(node: exp.Expression | None) -> Iterator[exp.Expression]:
    """The parts of a condition that must all hold."""
    node = _bare(node)
    if isinstance(node, exp.And):
        yield from conjuncts(node.this)
        yield from conjuncts(node.expression)
    elif node is not None:
        yield node


def joins_of(block: exp.Expression) -> list[exp.Join]:
    """The joins written in a block's FROM, those of its tables included; nested parentheses are not looked into."""
    found: list[exp.Join] = list(block.args.get("joins") or ())
    from_ = block.args.get("from_")
    first = from_.this if isinstance(from_, exp.From) else block.this
    if isinstance(first, exp.Table):
        found += first.args.get("joins") or ()
    return [join for join in found if isinstance(join, exp.Join)]


def filters(block: exp.Expression) -> list[exp.Expression]:
    """Conditions that every row of the block's result meets: WHERE, and ON of joins where no outer join loosens them.
    """
    where = block.args.get("where")
    found = list(conjuncts(where.this)) if isinstance(where, exp.Where) else []
    joins = joins_of(block)
    if not any(join.side for join in joins):
        for join in joins:
            found += conjuncts(join.args.get("on"))
    return found


def links(block: exp.Expression) -> list[exp.Expression]:
    """Conditions that may tie references together: also ON of outer joins, since only its matches matter."""
    where = block.args.get("where")
    found = list(conjuncts(where.this)) if isinstance(where, exp.Where) else []
    for join in joins_of(block):
        found += conjuncts(join.args.get("on"))
    return found


# -- togetherness -------------------------------------------------------------------------------------------------


def linked(one: Sharded, other: Sharded, condition: exp.Expression, among: list[Sharded]) -> bool:
    """True if ``condition`` makes the sharding columns of the two equal, and equal values lie on one shard."""
    if not isinstance(condition, exp.EQ) or one.vindex.type != other.vindex.type:
        return False
    if one.vindex is not other.vindex and one.vindex.type == "numeric_static_map":
        return False
    if one.reference.name.keyspace != other.reference.name.keyspace:
        return False
    if one.column.kind not in _LINKABLE or other.column.kind not in _LINKABLE:
        return False
    left, right = condition.this, condition.expression
    return any(
        one.owns(a, among, alone=False) and other.owns(b, among, alone=False) for a, b in ((left, right), (right, left))
    )


def using(one: Sharded, other: Sharded, block: exp.Expression) -> bool:
    """True if the block joins exactly these two USING a sharding column that both have."""
    joins = joins_of(block)
    if len(joins) != 1 or one.column.name != other.column.name or one.vindex.type != other.vindex.type:
        return False
    if one.column.kind not in _LINKABLE or other.column.kind not in _LINKABLE or one.vindex is not other.vindex:
        return False
    names = {column.name.lower() for column in joins[0].args.get("using") or ()}
    return one.column.name in names


# -- conditions to keyspace ids -----------------------------------------------------------------------------------


def allowed(conditions: list[exp.Expression], which: list[Sharded], among: list[Sharded], *, alone: bool) -> Where:
    """The keyspace ids that all ``conditions`` together leave to ``which``, references that are together."""
    result: Where = EVERYTHING
    for condition in conditions:
        for one in which:
            found = _condition(condition, one, among, alone)
            if not isinstance(found, Everything):
                result = found if isinstance(result, Everything) else Both(result, found)
    return result


def _condition(node: exp.Expression | None, one: Sharded, among: list[Sharded], alone: bool) -> Where:
    node = _bare(node)
    if isinstance(node, exp.And | exp.Or):
        left = _condition(node.this, one, among, alone)
        right = _condition(node.expression, one, among, alone)
        return _both(left, right) if isinstance(node, exp.And) else _either(left, right)
    if isinstance(node, exp.EQ | exp.NullSafeEQ):
        for column, value in ((node.this, node.expression), (node.expression, node.this)):
            if one.owns(column, among, alone=alone):
                source = source_of(value, one.column)
                if source is None or (isinstance(node, exp.NullSafeEQ) and source == Const(None)):
                    return EVERYTHING
                return _points(one, (source,))
    if isinstance(node, exp.In) and one.owns(node.this, among, alone=alone) and not node.args.get("query"):
        sources = [source_of(value, one.column) for value in node.expressions]
        if sources and all(source is not None for source in sources):
            return _points(one, tuple(source for source in sources if source is not None))
    return EVERYTHING


def _points(one: Sharded, sources: tuple[Source, ...]) -> Where:
    """NULL equals nothing: not even a stored NULL, which some vindexes map."""
    real = tuple(source for source in sources if source != Const(None))
    return Points(one.vindex, one.column, real) if real else Nothing()


def _both(left: Where, right: Where) -> Where:
    if isinstance(left, Everything):
        return right
    return left if isinstance(right, Everything) else Both(left, right)


def _either(left: Where, right: Where) -> Where:
    return EVERYTHING if isinstance(left, Everything) or isinstance(right, Everything) else Either(left, right)


def source_of(node: exp.Expression | None, column: ColumnType) -> Source | None:
    """Where a value comes from: a literal's slot (with its sign), or a word; None for any other expression."""
    node = _bare(node)
    if isinstance(node, exp.Neg):
        inner = _bare(node.this)
        slot = slot_of(inner) if isinstance(inner, exp.Literal) and not inner.is_string else None
        return None if slot is None else Slot(slot, negative=True)
    if isinstance(node, exp.Literal):
        slot = slot_of(node)
        return None if slot is None else Slot(slot)
    if isinstance(node, exp.Null):
        return Const(None)
    if isinstance(node, exp.Boolean) and column.kind in _LINKABLE:
        return Const(1 if node.this else 0)
    return None
