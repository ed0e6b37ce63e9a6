"""Queries over tables of several keyspaces that no one server has: their rows are gathered, each table's from its own.

Of a sharded table only the shards are read that literals for its sharding column leave, of an unsharded one all rows.
Writes are refused. It does not know how rows are moved (``engine.gather``).
"""

from __future__ import annotations

from sqlglot import exp

from vgate.errors import UNSUPPORTED
from vgate.planner.catalog import Catalog, NeedTables
from vgate.planner.gathering import gathering, why_not
from vgate.planner.plan import Across, Planned
from vgate.planner.reads import access_of_tree, blocks_of, refuse_outright, with_columns
from vgate.planner.reference_tables import is_reference
from vgate.planner.references import References
from vgate.planner.together import several
from vgate.sql.tree import Tree


def plan_across(tree: Tree, found: References, keyspace: str | None, catalog: Catalog) -> Planned | NeedTables:
    """The plan of a query over tables of several keyspaces. Raises UNSUPPORTED."""
    owners = found.keyspaces
    names = tuple(dict.fromkeys(one.name for one in found.found))
    if isinstance(tree.root, exp.Update | exp.Delete) or len({one.table.lower() for one in names}) < len(names):
        raise several(owners)
    if any(one.node.name != one.name.table or (one.node.db and one.node.db not in owners) for one in found.found):
        raise several(owners)  # a routing rule's: there would be no table of that name
    vschema = catalog.vschema
    sharded = [one for one in found.found if vschema.keyspace(one.name.keyspace).sharded]
    ready = with_columns([one for one in sharded if not is_reference(one.table)], catalog)
    if isinstance(ready, NeedTables):
        return ready
    refuse_outright(tree, ready)
    gather = gathering(tree, found.found, blocks_of(ready, trusted=tree.trusted))
    if gather is None:
        raise UNSUPPORTED(construct=f"{why_not(tree)} with tables of several keyspaces ({', '.join(owners)})")
    home = keyspace if keyspace in owners and keyspace is not None else owners[0]
    others = tuple(name for name in owners if name != home)
    return Planned(Across(home, others, access_of_tree(tree), names, gather))
