"""Queries over tables of several unsharded keyspaces: where one server has them all, it can answer.

The text goes to the server over a connection of one of the keyspaces, which takes names without a qualifier for its
own. Writes are refused, and so are locks: each keyspace has a connection of its own in a transaction, and what is done
over one is not there for the other. It does not know how keyspaces' names become databases'.
"""

from __future__ import annotations

from vgate.errors import UNSUPPORTED, VgateError
from vgate.planner.functions import foreign_function, sequence_function
from vgate.planner.plan import Access, Pass
from vgate.planner.reads import access_of_tree
from vgate.planner.references import References
from vgate.sql.tree import Tree
from vgate.vschema.model import VSchema


def plan_together(tree: Tree, found: References, keyspace: str | None, vschema: VSchema) -> Pass:
    """The plan of a statement over tables of several keyspaces. Raises UNSUPPORTED."""
    owners = found.keyspaces
    home = keyspace if keyspace in owners and keyspace is not None else owners[0]
    others = tuple(name for name in owners if name != home)
    if not vschema.neighbours(home).keys() >= set(others) or access_of_tree(tree) is not Access.READ:
        raise several(owners)
    for one in found.found:
        if one.name.keyspace != (one.node.db or (home if home == keyspace else None)):
            raise several(owners)  # a routing rule's, or found without a keyspace
    if home != keyspace and (foreign_function(tree.words) or sequence_function(tree.words)):
        raise several(owners)
    return Pass(home, Access.READ, tuple(dict.fromkeys(one.name for one in found.found)), others)


def several(owners: list[str]) -> VgateError:
    """The error of a statement that no one server can answer."""
    return UNSUPPORTED(construct=f"tables of several keyspaces ({', '.join(owners)}) in one statement")
