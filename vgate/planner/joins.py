"""The FROM of one query block: how its tables are joined, and whether each row of the join comes from one shard.

References are *together* when the join makes their sharding columns equal, so that the rows that meet lie on one shard.
A block is *distributed* when running it on every shard gives all its rows, each once: its sharded tables are together,
and no outer join keeps rows of what every shard has anyway (a derived table of constants) or of what is elsewhere.

An outer join's ON ties the side that may be missing to the side that is kept, never two tables of the kept side: those
rows stay, whatever ON says. WHERE and the ON of a block without outer joins hold for every row.
This module does not know literals, nor what is selected from the join.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from vgate.planner.columns import ColumnKind, ColumnType, TableInfo
from vgate.planner.references import Reference
from vgate.vindex.base import Vindex

APART = "a join of tables that are not joined on their sharding columns"
KEPT = "an outer join that keeps all rows of a derived table"

_LINKABLE = (ColumnKind.INTEGER, ColumnKind.UNKNOWN)
_INNER_KINDS = ("", "INNER", "CROSS", "STRAIGHT_JOIN", "OUTER")


@dataclass(frozen=True, slots=True, eq=False)
class Sharded:
    """A reference to a sharded table, with what routing needs of it."""

    reference: Reference
    vindex: Vindex
    column: ColumnType
    info: TableInfo

    @property
    def links(self) -> bool:
        """True where equal columns are equal values: not so for text, of which collations decide."""
        return self.column.kind in _LINKABLE


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A table, or (``member`` None) something that every shard has: a derived table without tables, VALUES..."""

    member: Sharded | None


@dataclass(frozen=True, slots=True)
class _Join:
    """``kind``: inner, left, right, or other for what MySQL does not have or means otherwise than sqlglot."""

    left: _Tree
    right: _Tree
    kind: str
    on: tuple[exp.Expression, ...]
    using: frozenset[str]


_Tree = _Leaf | _Join


class Block:
    """One query block and its references to sharded tables.

    ``trusted`` is False where sqlglot may have read the conditions otherwise than the server will.
    """

    def __init__(self, node: exp.Expression, members: list[Sharded], *, trusted: bool) -> None:
        self.node = node
        self.members = members
        self._trusted = trusted
        self._tree = _tree_of(node, {id(member.reference.node): member for member in members})
        self._joins = list(_joins(self._tree))
        self._outer = any(join.kind != "inner" for join in self._joins)
        self._known = set(_members(self._tree)) == set(members)
        self.conditions = self._conditions() if trusted else []
        """What holds for every row of the block's result, as parts that must all hold."""

    def _conditions(self) -> list[exp.Expression]:
        where = self.node.args.get("where")
        found = list(conjuncts(where.this)) if isinstance(where, exp.Where) else []
        if not self._outer:
            for join in self._joins:
                found += join.on
        return found

    # -- names ----------------------------------------------------------------------------------------------------

    def owns(self, member: Sharded, node: exp.Expression | None) -> bool:
        """True if ``node`` is the sharding column of ``member``, one of the block's.

        A name without qualifier must be nobody else's, or the common column of a USING that keeps this member's.
        """
        node = bare(node)
        if not isinstance(node, exp.Column) or not _is_column(node, member):
            return False
        if node.table:
            return _qualifies(node, member)
        name = member.column.name
        if all(one.info.column(name) is None for one in self.members if one is not member):
            return True
        return _common(self._tree, name) is member

    # -- togetherness ---------------------------------------------------------------------------------------------

    def sets(self) -> list[list[Sharded]]:
        """The members as sets: where one of a set lies, the rows of the others that matter lie too."""
        sets = [[one] for one in self.members]
        for condition in self.conditions:
            for one, other in self._pairs(condition):
                _unite(sets, one, other)
        for join in self._joins:
            if join.kind in ("inner", "left", "right"):
                self._unite_sides(sets, join)
        return sets

    def _unite_sides(self, sets: list[list[Sharded]], join: _Join) -> None:
        """The side that may be missing follows one reference of the other: each of its sets is tied at most once."""
        kept, missing = (join.right, join.left) if join.kind == "right" else (join.left, join.right)
        kept_members, missing_members = list(_members(kept)), list(_members(missing))
        done: list[list[Sharded]] = []
        for one in missing_members:
            mine = next(set_ for set_ in sets if one in set_)
            other = next((other for other in kept_members if self._joined(join, one, other)), None)
            if other is not None and not any(mine is set_ for set_ in done):
                done.append(_unite(sets, other, one))

    def _joined(self, join: _Join, one: Sharded, other: Sharded) -> bool:
        """True if this join makes the sharding columns of two members of its sides equal."""
        if not (self._trusted and compatible(one, other)):
            return False
        name = one.column.name
        if name in join.using and {_common(join.left, name), _common(join.right, name)} == {one, other}:
            return True
        return any({one, other} == set(pair) for condition in join.on for pair in self._pairs(condition))

    def _pairs(self, condition: exp.Expression) -> Iterator[tuple[Sharded, Sharded]]:
        """The two members whose sharding columns ``condition`` makes equal."""
        if not isinstance(condition, exp.EQ):
            return
        left, right = bare(condition.this), bare(condition.expression)
        if not isinstance(left, exp.Column) or not isinstance(right, exp.Column):
            return
        for one in self.members:
            if self.owns(one, left):
                for other in self.members:
                    if other is not one and compatible(one, other) and self.owns(other, right):
                        yield one, other

    def apart(self) -> str:
        """What keeps the block from being distributed; empty if nothing does."""
        if not self._known or not self._outer:
            return APART if len(self.sets()) > 1 or not self._known else ""
        return self._distributed(self._tree)[1]

    def _distributed(self, tree: _Tree) -> tuple[bool, str]:
        """(has sharded tables, why it is not distributed)."""
        if isinstance(tree, _Leaf):
            return tree.member is not None, ""
        (left, why), (right, other_why) = self._distributed(tree.left), self._distributed(tree.right)
        if why or other_why or tree.kind == "other":
            return True, why or other_why or APART
        if left and right:
            return True, "" if self._tied(tree) else APART
        if (tree.kind == "left" and right) or (tree.kind == "right" and left):
            return True, KEPT
        return left or right, ""

    def _tied(self, join: _Join) -> bool:
        """True if rows of the two sides meet on one shard only: by the join's own condition, or the block's."""
        left, right = set(_members(join.left)), set(_members(join.right))
        if any(self._joined(join, one, other) for one in left for other in right):
            return True
        pairs = (pair for condition in self.conditions for pair in self._pairs(condition))
        return any((one in left and other in right) or (one in right and other in left) for one, other in pairs)


def tied_to_outer(members: list[Sharded], block: Block, outer: list[Sharded], aliases: Mapping[str, int]) -> bool:
    """True if a condition of ``block`` ties one of its ``members`` to a reference of an enclosing block.

    Only by qualified names that the statement has once: what a name means inside must not depend on nearer tables.
    """
    for condition in block.conditions:
        if not isinstance(condition, exp.EQ):
            continue
        left, right = bare(condition.this), bare(condition.expression)
        for node, other_node in ((left, right), (right, left)):
            inner = [one for one in members if _is_named(node, one, aliases)]
            around = [one for one in outer if _is_named(other_node, one, aliases)] if inner else []
            if any(compatible(one, other) for one in inner for other in around):
                return True
    return False


def _is_named(node: exp.Expression | None, member: Sharded, aliases: Mapping[str, int]) -> bool:
    """True for the sharding column, qualified by an alias that stands for nothing else in the statement."""
    return _is_column(node, member) and _qualifies(node, member) and aliases[member.reference.alias] == 1


def compatible(one: Sharded, other: Sharded) -> bool:
    """True if equal values in both sharding columns lie on one shard."""
    if not (one.links and other.links) or one.reference.name.keyspace != other.reference.name.keyspace:
        return False
    if one.vindex is other.vindex:
        return True
    return one.vindex.type == other.vindex.type != "numeric_static_map"  # the only type here with parameters


def _unite(sets: list[list[Sharded]], one: Sharded, other: Sharded) -> list[Sharded]:
    mine = next(set_ for set_ in sets if one in set_)
    theirs = next(set_ for set_ in sets if other in set_)
    if mine is not theirs:
        mine += theirs
        sets[:] = [set_ for set_ in sets if set_ is not theirs]
    return mine


# -- names --------------------------------------------------------------------------------------------------------


def bare(node: exp.Expression | None) -> exp.Expression | None:
    """A node without the parentheses around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def conjuncts(node: exp.Expression | None) -> Iterator[exp.Expression]:
    """The parts of a condition that must all hold; of ANDs without end, too."""
    waiting = [node]
    while waiting:
        one = bare(waiting.pop())
        if isinstance(one, exp.And):
            waiting += [one.expression, one.this]
        elif one is not None:
            yield one


def _is_column(node: exp.Expression | None, member: Sharded) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() == member.column.name


def _qualifies(node: exp.Expression | None, member: Sharded) -> bool:
    if not isinstance(node, exp.Column) or (node.db and node.db != member.reference.name.keyspace):
        return False
    return bool(node.table) and node.table == member.reference.alias


# -- trees --------------------------------------------------------------------------------------------------------


def _tree_of(node: exp.Expression, members: dict[int, Sharded]) -> _Tree:
    from_ = node.args.get("from_")
    using = node.args.get("using")
    if isinstance(from_, exp.From):
        first: object = from_.this
    else:
        first = using[0] if using else node.this
    tree = _item(first, members)
    for other in (using or ())[1:]:
        tree = _Join(tree, _item(other, members), "inner", (), frozenset())
    return _joined_to(tree, node.args.get("joins"), members)


def _item(node: object, members: dict[int, Sharded]) -> _Tree:
    """One table expression, with the joins written inside it."""
    if not isinstance(node, exp.Expression):
        return _Leaf(None)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table | exp.Subquery) and not node.alias:
        inner = _item(node.this, members)
    else:
        inner = _Leaf(members.get(id(node)))
    return _joined_to(inner, node.args.get("joins"), members)


def _joined_to(tree: _Tree, joins: list[exp.Expression] | None, members: dict[int, Sharded]) -> _Tree:
    for join in joins or ():
        using = frozenset(column.name.lower() for column in join.args.get("using") or ())
        on = tuple(conjuncts(join.args.get("on")))
        tree = _Join(tree, _item(join.this, members), _kind(join), on, using)
    return tree


def _kind(join: exp.Expression) -> str:
    side, kind, method = (str(join.args.get(name) or "").upper() for name in ("side", "kind", "method"))
    if kind not in _INNER_KINDS or method not in ("", "NATURAL") or side not in ("", "LEFT", "RIGHT"):
        return "other"
    return side.lower() or "inner"


def _joins(tree: _Tree) -> Iterator[_Join]:
    if isinstance(tree, _Join):
        yield from _joins(tree.left)
        yield from _joins(tree.right)
        yield tree


def _members(tree: _Tree) -> Iterator[Sharded]:
    if isinstance(tree, _Join):
        yield from _members(tree.left)
        yield from _members(tree.right)
    elif tree.member is not None:
        yield tree.member


def _common(tree: _Tree, name: str) -> Sharded | None:
    """The member whose column a name without qualifier is after USING: that of the side whose rows are all kept."""
    if isinstance(tree, _Leaf):
        member = tree.member
        return member if member is not None and member.column.name == name else None
    if name not in tree.using or tree.kind == "other":
        return None
    return _common(tree.right if tree.kind == "right" else tree.left, name)
