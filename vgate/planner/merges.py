"""What in a statement makes the answers of several shards more than rows that follow each other.

Everything here is a list of what is known to be harmless: what is not on it is named and needs one shard. So syntax
that only one of the servers has, or that sqlglot knows from elsewhere, cannot slip through.
It does not know where rows are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from vgate.planner.functions import AGGREGATES, foreign_function, tells
from vgate.planner.joins import Block
from vgate.sql.tree import Tree

_SELECT: Final = frozenset(
    {"expressions", "from_", "joins", "where", "locks", "operation_modifiers", "hint", "with_"}
)
_WRITE: Final = frozenset({"this", "expressions", "where", "with_"})
_WRAPPER: Final = frozenset({"this", "locks", "with_"})
_NAMES: Final = {
    "distinct": "DISTINCT", "group": "GROUP BY", "having": "HAVING", "order": "ORDER BY", "limit": "LIMIT",
    "offset": "LIMIT", "windows": "WINDOW", "returning": "RETURNING", "tables": "of several tables",
    "using": "of several tables",
}  # fmt: skip
_MODIFIERS: Final = frozenset({
    "ALL", "HIGH_PRIORITY", "STRAIGHT_JOIN", "SQL_SMALL_RESULT", "SQL_BIG_RESULT", "SQL_BUFFER_RESULT", "SQL_CACHE",
    "SQL_NO_CACHE",
})  # fmt: skip


def needs_merge(tree: Tree, blocks: Mapping[int, Block]) -> str:
    """The construct for which answers of several shards would have to be merged; empty if rows can follow each other.

    ``blocks``: the query blocks with sharded tables, by the ``id`` of their nodes.
    """
    node = tree.root
    while isinstance(node, exp.Subquery):
        found = _beyond(node, _WRAPPER)
        if found:
            return found
        node = node.this
    if isinstance(node, exp.Select):
        return _of_select(node, blocks) or tells(node) or foreign_function(tree.words)
    if isinstance(node, exp.Update | exp.Delete):
        return beyond_a_plain_write(node) or tells(node) or foreign_function(tree.words)
    return type(node).__name__.upper()


def unwrapped(root: exp.Expression) -> exp.Expression:
    """A query without the parentheses around it."""
    while isinstance(root, exp.Subquery):
        root = root.this
    return root


def _beyond(node: exp.Expression, harmless: frozenset[str]) -> str:
    """The first part of a node that is not known to be harmless."""
    for argument in (*_NAMES, *node.args):
        value = node.args.get(argument)
        if argument not in harmless and value is not None and value is not False and value != []:
            return _NAMES.get(argument, argument.strip("_").upper())
    return ""


def _of_select(select: exp.Select, blocks: Mapping[int, Block]) -> str:
    found = _beyond(select, _SELECT)
    if found:
        return found
    for modifier in select.args.get("operation_modifiers") or ():
        if modifier.name.upper() not in _MODIFIERS:
            return str(modifier.name.upper())
    return _aggregate(select, blocks) or _full_text(select)


def _full_text(select: exp.Select) -> str:
    """Scores, and which rows are found at all, depend on all rows of a table: but not in boolean mode."""
    where = select.args.get("where")
    for match in select.find_all(exp.MatchAgainst):
        filters = where is not None and any(found is match for found in where.find_all(exp.MatchAgainst))
        if not filters or str(match.args.get("modifier") or "").upper() != "IN BOOLEAN MODE":
            return "MATCH but for IN BOOLEAN MODE in WHERE"
    return ""


def beyond_a_plain_write(node: exp.Update | exp.Delete) -> str:
    """What of an UPDATE or DELETE is more than one table, its assignments and a WHERE; '' if nothing."""
    verb = type(node).__name__.upper()
    found = _beyond(node, _WRITE | {"tables"} if _names_its_table(node) else _WRITE)
    if not found and isinstance(node.this, exp.Table) and node.this.args.get("joins"):
        found = "of several tables"
    if not found:
        return ""
    return f"{verb} {found}" if found[0].islower() else f"{verb} ... {found}"


def _names_its_table(node: exp.Update | exp.Delete) -> bool:
    """``DELETE t FROM t``."""
    tables: list[exp.Expression] = node.args.get("tables") or []
    return len(tables) == 1 and tables[0].name == node.this.alias_or_name and not tables[0].args.get("db")


# -- aggregates ---------------------------------------------------------------------------------------------------


def _aggregate(root: exp.Select, blocks: Mapping[int, Block]) -> str:
    """The first aggregate or window function that the outermost block computes.

    An aggregate inside a subquery is the outermost block's where all its columns are: ``(select max(t.a))``.
    """
    for node in root.find_all(exp.Window):
        if node.find_ancestor(exp.Select) is root:
            return "a window function"
    for function in root.find_all(exp.Func):
        name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
        aggregates = isinstance(function, exp.AggFunc) or name.lower() in AGGREGATES
        if aggregates and _computed_by(function, root, blocks):
            return f"{_SHOWN.get(name.upper(), name.upper())}()"
    return ""


_SHOWN: Final = {"STDDEV_POP": "STDDEV", "VARIANCE_POP": "VAR_POP", "VARIANCE": "VAR_SAMP"}


def _computed_by(node: exp.Func, root: exp.Select, blocks: Mapping[int, Block]) -> bool:
    """False only if an inner block certainly computes the aggregate: without columns, or with one of that block's."""
    inner = node.find_ancestor(exp.Select)
    if inner is root:
        return True
    columns = list(node.find_all(exp.Column))
    if not columns:
        return False
    while inner is not None and inner is not root:
        if any(_is_of(column, inner, blocks) for column in columns):
            return False
        inner = inner.find_ancestor(exp.Select)
    return True


def _is_of(column: exp.Column, select: exp.Expression, blocks: Mapping[int, Block]) -> bool:
    """True if a column is certainly one of ``select``'s own FROM."""
    block = blocks.get(id(select))
    if column.table:
        from_ = select.args.get("from_")
        tables = [from_, *(select.args.get("joins") or ())] if from_ is not None else []
        names = {source.this.alias_or_name for source in tables if isinstance(source.this, exp.Expression)}
        return column.table in names
    return block is not None and any(member.info.column(column.name) is not None for member in block.members)
