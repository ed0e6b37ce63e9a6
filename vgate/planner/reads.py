"""SELECTs, UPDATEs and DELETEs over a sharded keyspace: which shards hold the rows, and what would need a merge.

One shard can answer whatever MySQL can say; several can where each row of the answer comes from rows of one shard. So
the references of the outermost block must be together (joined on their sharding columns) or each pinned by a
literal of its own; those of inner blocks must be tied to an outer reference, or be pinned too.
Reference tables (``reference_tables``) are on every shard: they have no say in where a statement goes.
It does not know INSERT or DDL, nor which parts of a statement make several answers a wrong one (``merges``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlglot import exp

from vgate.errors import UNSUPPORTED
from vgate.planner.catalog import Catalog, NeedTables
from vgate.planner.functions import sequence_function
from vgate.planner.gathering import gathering
from vgate.planner.joins import APART, Block, Sharded, tied_to_outer
from vgate.planner.merges import needs_merge, unwrapped
from vgate.planner.plan import Access, Planned, Route, Where
from vgate.planner.reference_tables import check_mixed, is_reference, plan_copies
from vgate.planner.references import Reference, References
from vgate.planner.where import allowed
from vgate.sql.tree import Tree


@dataclass(frozen=True, slots=True)
class _Group:
    """References of one block that are together, and the keyspace ids their conditions leave."""

    members: tuple[Sharded, ...]
    where: Where


def plan_sharded(tree: Tree, found: References, catalog: Catalog, *, ignore: bool = False) -> Planned | NeedTables:
    """The plan of a statement all of whose references are in one sharded keyspace.

    ``ignore``: it is an UPDATE IGNORE, which the tree does not say. Raises UNSUPPORTED.
    """
    copies = [one for one in found.found if is_reference(one.table)]
    sharded = [one for one in found.found if not is_reference(one.table)]
    check_mixed(tree.root, copies, sharded)
    if not sharded:
        return Planned(plan_copies(tree, copies, access_of_tree(tree)))
    ready = with_columns(sharded, catalog)
    if isinstance(ready, NeedTables):
        return ready
    root = tree.root
    refuse_outright(tree, ready, ignore=ignore)
    names = tuple(dict.fromkeys(one.name for one in found.found))
    keyspace = found.found[0].name.keyspace
    blocks = blocks_of(ready, trusted=tree.trusted)
    main, *others = groups = _groups(root, blocks)
    construct = _why_apart(root, blocks, groups) or needs_merge(tree, {id(block.node): block for block in blocks})
    wheres = tuple(one.where for one in others)
    gather = gathering(tree, found.found, blocks) if construct else None
    return Planned(Route(keyspace, main.where, access_of_tree(tree), names, construct, wheres, gather))


def with_columns(found: list[Reference], catalog: Catalog) -> list[Sharded] | NeedTables:
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


def access_of_tree(tree: Tree) -> Access:
    """What a statement does: rows that are read into a file or a variable count as locked, as they must not be tried
    twice.
    """
    if isinstance(tree.root, exp.Update | exp.Delete):
        return Access.WRITE
    locks = tree.root.find(exp.Lock) is not None or b"into" in tree.words
    return Access.LOCK if locks else Access.READ


# -- what no shard may be asked ------------------------------------------------------------------------------------


def refuse_outright(tree: Tree, ready: list[Sharded], *, ignore: bool = False) -> None:
    """Raises UNSUPPORTED for what is refused wherever the rows are."""
    root = tree.root
    if not isinstance(root, exp.Update | exp.Delete) and b"into" in tree.words:
        raise UNSUPPORTED(construct="SELECT ... INTO on a sharded keyspace")
    sequence = sequence_function(tree.words)
    if sequence:
        raise UNSUPPORTED(construct=f"{sequence} on a sharded keyspace, as every shard counts by itself")
    if isinstance(root, exp.Update):
        _check_update(root, [one for one in ready if one.reference.block is root], ignore=ignore)


def _check_update(root: exp.Update, targets: list[Sharded], *, ignore: bool) -> None:
    """Rows stay where they are: an UPDATE must leave the sharding column alone, and find all rows of an equal key."""
    changed: set[str] = set()
    for assignment in root.expressions:
        if not isinstance(assignment, exp.EQ) or not isinstance(assignment.this, exp.Column):
            raise UNSUPPORTED(construct="this kind of assignment in UPDATE on a sharded keyspace")
        changed.add(assignment.this.name.lower())
    for one in targets:
        name = one.reference.name
        if one.column.generated:
            raise UNSUPPORTED(
                construct=f"UPDATE of {name}: its sharding column {one.column.name} is generated from other columns"
            )
        if one.column.name in changed:
            raise UNSUPPORTED(
                construct=f"changing the sharding column {one.column.name}; delete the row and insert it anew"
            )
        if ignore:
            _check_ignore(one, changed)


def _check_ignore(one: Sharded, changed: set[str]) -> None:
    """UPDATE IGNORE leaves alone what would become a duplicate, and each shard sees only its own duplicates."""
    computed = {column.name for column in one.info.columns if column.generated} | {""}
    for key in one.info.unique_keys:
        if one.column.name not in key.columns and set(key.columns) & (changed | computed):
            columns = ", ".join(column or "an expression" for column in key.columns)
            raise UNSUPPORTED(
                construct=f"UPDATE IGNORE of {one.reference.name}: its key {key.name} ({columns}) does not contain the"
                f" sharding column {one.column.name}, so a row with an equal key may be on another shard"
            )


# -- togetherness --------------------------------------------------------------------------------------------------


def _why_apart(root: exp.Expression, blocks: list[Block], groups: list[_Group]) -> str:
    """Names what keeps rows apart that belong together; empty where all are found from those of the outermost block."""
    outermost = unwrapped(root)
    if isinstance(outermost, exp.SetOperation):
        return type(outermost).__name__.upper()
    main = next((block for block in blocks if block.node is outermost), None)
    if main is None or any(one.reference.block is not outermost for group in groups for one in group.members):
        return "a subquery"
    return main.apart() or (APART if len(groups) > 1 else "")


def blocks_of(ready: list[Sharded], *, trusted: bool) -> list[Block]:
    """The query blocks that have references, the outermost first."""
    members: dict[int, list[Sharded]] = {}
    for one in ready:
        members.setdefault(id(one.reference.block), []).append(one)
    order = sorted(members.values(), key=lambda some: some[0].reference.block.depth)
    return [Block(some[0].reference.block, some, trusted=trusted) for some in order]


def _groups(root: exp.Expression, blocks: list[Block]) -> list[_Group]:
    """The references in groups that are together; the outermost block's first.

    An inner reference that is tied to an outer one needs no conditions of its own: its rows lie where the outer's do.
    """
    mentions = root.find_all(exp.Table, exp.Subquery, exp.CTE, exp.Lateral, exp.Values)
    aliases = Counter(one.alias_or_name for one in mentions)
    groups: list[_Group] = []
    for number, block in enumerate(blocks):
        around = _around(block.node)
        outer = [one for other in blocks[:number] if id(other.node) in around for one in other.members]
        loose = (some for some in block.sets() if not tied_to_outer(some, block, outer, aliases))
        groups += [_Group(tuple(some), allowed(block, some)) for some in loose]
    return groups


def _around(inner: exp.Expression) -> set[int]:
    """The nodes whose columns can be seen in a block: it is a subquery in their expressions, not in a FROM or WITH."""
    found: set[int] = set()
    node = inner.parent
    while node is not None and not isinstance(node, exp.From | exp.Join | exp.CTE):
        found.add(id(node))
        node = node.parent
    return found
