"""SELECTs, UPDATEs and DELETEs over a sharded keyspace: which shards hold the rows, and what would need a merge.

One shard can answer whatever MySQL can say; several can where each row of the answer comes from rows of one shard. So
the references of the outermost block must be together (joined on their sharding columns) or each pinned by a
literal of its own; those of inner blocks must be tied to an outer reference, or be pinned too.
It does not know INSERT or DDL.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlglot import exp

from vgate.errors import UNSUPPORTED
from vgate.planner.catalog import Catalog, NeedTables
from vgate.planner.plan import Access, Planned, Refuse, Route, Where
from vgate.planner.references import Reference, References
from vgate.planner.where import EVERYTHING, Sharded, allowed, filters, joins_of, linked, links, using
from vgate.sql.tree import Tree

AGGREGATES = frozenset({
    "json_arrayagg", "json_objectagg", "st_collect", "group_concat", "json_object_agg", "median", "percentile_cont",
    "percentile_disc",
})  # fmt: skip
"""Aggregate functions that sqlglot may not know as such."""


@dataclass(frozen=True, slots=True)
class _Group:
    """References of one block that are together, and the keyspace ids their conditions leave."""

    members: tuple[Sharded, ...]
    where: Where


def plan_sharded(tree: Tree, found: References, catalog: Catalog) -> Planned | NeedTables:
    """The plan of a statement all of whose references are in one sharded keyspace."""
    ready = _with_columns(found.found, catalog)
    if isinstance(ready, NeedTables):
        return ready
    root = tree.root
    refusal = _refused_outright(tree, ready)
    if refusal:
        return Planned(Refuse(UNSUPPORTED(construct=refusal)))
    access = _access(root)
    names = tuple(dict.fromkeys(one.name for one in found.found))
    keyspace = found.found[0].name.keyspace
    if len(ready) == 1 and ready[0].reference.block is root:  # the usual case, told shortly
        where = allowed(filters(root), ready, ready, alone=True) if tree.trusted else EVERYTHING
        return Planned(Route(keyspace, where, access, names, _needs_merge(root)))
    main, *others = groups = _groups(root, ready, tree.trusted)
    construct = _why_apart(root, groups) or _needs_merge(root)
    return Planned(Route(keyspace, main.where, access, names, construct, tuple(one.where for one in others)))


def _with_columns(found: list[Reference], catalog: Catalog) -> list[Sharded] | NeedTables:
    """Every reference with its sharding column as the servers have it."""
    ready: list[Sharded] = []
    missing: list[Reference] = []
    for one in found:
        info = catalog.table(one.name)
        if info is None:
            missing.append(one)
            continue
        primary = one.table.primary_vindex if one.table is not None else None
        if primary is None:
            raise UNSUPPORTED(construct=f"table {one.name}, which has no vindex")
        column = info.column(primary.columns[0])
        if column is None:
            raise UNSUPPORTED(
                construct=f"table {one.name}: its sharding column {primary.columns[0]} does not exist on the servers"
            )
        ready.append(Sharded(one, primary.vindex, column, info))
    if missing:
        return NeedTables(tuple(dict.fromkeys(one.name for one in missing)))
    return ready


def _access(root: exp.Expression) -> Access:
    if isinstance(root, exp.Update | exp.Delete):
        return Access.WRITE
    return Access.LOCK if any(select.args.get("locks") for select in root.find_all(exp.Select)) else Access.READ


# -- what no shard may be asked ------------------------------------------------------------------------------------


def _refused_outright(tree: Tree, ready: list[Sharded]) -> str:
    """The construct for which a statement is refused wherever its rows are; empty if there is none."""
    root = tree.root
    if isinstance(root, exp.Select | exp.SetOperation) and b"into" in tree.words:
        return "SELECT ... INTO on a sharded keyspace"
    if isinstance(root, exp.Update):
        changed = {
            target.name.lower() for assignment in root.expressions
            if isinstance(target := assignment.this, exp.Column)
        }  # fmt: skip
        for one in ready:
            if one.column.name in changed and one.reference.block is root:
                return f"changing the sharding column {one.column.name}; delete the row and insert it anew"
    return ""


def _needs_merge(root: exp.Expression) -> str:
    """The construct for which answers of several shards would have to be merged; empty if rows can follow each other.
    """
    query = root
    while isinstance(query, exp.Subquery):
        if query.args.get("limit") or query.args.get("order"):
            return "ORDER BY or LIMIT"
        query = query.this
    if isinstance(query, exp.SetOperation):
        return "UNION" if query.args.get("distinct") is not False or query.args.get("order") or query.args.get(
            "limit") else "UNION ALL"  # fmt: skip
    verb = {exp.Update: "UPDATE ... ", exp.Delete: "DELETE ... "}.get(type(query), "")
    for argument, words in (
        ("distinct", "DISTINCT"), ("group", "GROUP BY"), ("having", "HAVING"), ("order", "ORDER BY"),
        ("limit", "LIMIT"), ("offset", "LIMIT"), ("windows", "WINDOW"), ("returning", "RETURNING"),
    ):  # fmt: skip
        if query.args.get(argument):
            return verb + words
    if isinstance(query, exp.Select):
        return _aggregate(query)
    if len(joins_of(query)) > 0 or query.args.get("using") or len(query.args.get("tables") or ()) > 0:
        return f"multi-table {verb.split(' ')[0]}"
    return ""


def _aggregate(select: exp.Select) -> str:
    """The first aggregate or window function of the block itself, not of its subqueries."""
    for node in select.find_all(exp.AggFunc, exp.Window, exp.Anonymous):
        if node.find_ancestor(exp.Select) is not select:
            continue
        if isinstance(node, exp.Window):
            return "a window function"
        if isinstance(node, exp.AggFunc):
            return f"{node.sql_name().upper()}()" if not isinstance(node, exp.Count) else "COUNT()"
        if node.name.lower() in AGGREGATES:
            return f"{node.name.upper()}()"
    return ""


def _why_apart(root: exp.Expression, groups: list[_Group]) -> str:
    """Names what keeps the groups apart; empty where all rows are found from those of the outermost block."""
    outermost = _unwrapped(root)
    if isinstance(outermost, exp.SetOperation):
        return "UNION"
    blocks = [one.reference.block for group in groups for one in group.members]
    if any(block is not outermost for block in blocks):
        return "a subquery"
    return "a join of tables that are not joined on their sharding columns" if len(groups) > 1 else ""


def _unwrapped(root: exp.Expression) -> exp.Expression:
    """A query without the parentheses around it."""
    while isinstance(root, exp.Subquery):
        root = root.this
    return root


# -- togetherness --------------------------------------------------------------------------------------------------


def _groups(root: exp.Expression, ready: list[Sharded], trusted: bool) -> list[_Group]:
    """The references in groups that are together; the outermost block's first.

    An inner reference that is tied to an outer one needs no conditions of its own: its rows lie where the outer's do.
    """
    blocks: dict[int, list[Sharded]] = {}
    for one in ready:
        blocks.setdefault(id(one.reference.block), []).append(one)
    aliases = Counter(one.alias_or_name for one in root.find_all(exp.Table, exp.Subquery, exp.CTE))
    order = sorted(blocks.values(), key=lambda members: members[0].reference.block.depth)
    groups: list[_Group] = []
    placed: list[Sharded] = []
    for members in order:
        block = members[0].reference.block
        alone = len(members) == 1
        conditions = filters(block) if trusted else []
        ties = links(block) if trusted else []
        outer = [one for one in placed if _encloses(one.reference.block, block)]
        for set_ in _together(members, ties, block):
            tied = any(
                linked(a, b, tie, [a, b]) for a in set_ for b in outer for tie in ties
                if not _unqualified(tie) and aliases[a.reference.alias] == aliases[b.reference.alias] == 1
            )  # fmt: skip
            if not tied:
                groups.append(_Group(tuple(set_), allowed(conditions, set_, members, alone=alone)))
        placed += members
    return groups


def _together(members: list[Sharded], ties: list[exp.Expression], block: exp.Expression) -> list[list[Sharded]]:
    """The members of one block as sets of references that are joined on their sharding columns."""
    sets = [[one] for one in members]
    for index, one in enumerate(members):
        for other in members[index + 1 :]:
            if any(linked(one, other, tie, members) for tie in ties) or using(one, other, block):
                mine = next(set_ for set_ in sets if one in set_)
                theirs = next(set_ for set_ in sets if other in set_)
                if mine is not theirs:
                    mine += theirs
                    sets.remove(theirs)
    return sets


def _encloses(outer: exp.Expression, inner: exp.Expression) -> bool:
    """True if columns of ``outer`` can be seen in ``inner``: it is a subquery in an expression, not in a FROM or WITH.
    """
    node = inner.parent
    while node is not None and node is not outer:
        if isinstance(node, exp.From | exp.Join | exp.CTE):
            return False
        node = node.parent
    return node is outer


def _unqualified(tie: exp.Expression) -> bool:
    return any(not column.table for column in tie.find_all(exp.Column))
