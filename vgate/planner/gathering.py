"""SELECTs that several shards cannot answer one after another: which rows of which tables one server needs for them.

The rows are loaded into temporary tables of the same names, and the client's own text runs there: MySQL is the
evaluator. So the only questions are which tables are read, on which shards, and whether the statement means the same
there. What would not is named. It does not know how rows are moved (``engine.gather``).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from vgate.planner.functions import foreign_function
from vgate.planner.joins import Block
from vgate.planner.plan import Either, Everything, Gather, Gathered, Where
from vgate.planner.reference_tables import is_reference, unlike
from vgate.planner.references import Reference
from vgate.planner.where import allowed
from vgate.sql.tree import Tree
from vgate.vschema.model import TableName


def gathering(tree: Tree, found: Sequence[Reference], blocks: Sequence[Block]) -> Gather | None:
    """What to gather for a query over sharded tables and their keyspace's reference tables; None where it cannot be."""
    if isinstance(tree.root, exp.Update | exp.Delete) or why_not(tree):
        return None
    tables: dict[TableName, list[Reference]] = {}
    for one in found:
        tables.setdefault(one.name, []).append(one)
    wheres = _wheres(blocks)
    filtered = _filtered(tree, found)
    gathered = tuple(
        Gathered(name, _either([wheres.get(id(one.node), Everything()) for one in mentions]), len(mentions),
                 everywhere=is_reference(mentions[0].table), filtered=filtered,
                 alias=mentions[0].alias if filtered else "")
        for name, mentions in tables.items()
    )  # fmt: skip
    return Gather(gathered, _lock(tree.root))


def why_not(tree: Tree) -> str:
    """What keeps a query from meaning the same over temporary tables; empty if nothing does."""
    words = tree.words
    if tree.root.find(exp.MatchAgainst) is not None:
        return "MATCH"
    if any(word.startswith(b"@") and not word.startswith(b"@@") for word in words):
        return "a user variable"
    if any(words[at : at + 2] == (b"partition", b"(") for at in range(len(words))):
        return "PARTITION"
    locks = list(tree.root.find_all(exp.Lock))
    plain = all(not lock.args.get("expressions") and lock.args.get("wait") is None for lock in locks)
    if len(locks) > 1 or not plain or any(lock.parent is not tree.root for lock in locks):
        return "this locking clause"
    return foreign_function(words, telling=False)


def _lock(root: exp.Expression) -> str:
    lock = root.find(exp.Lock)
    if lock is None:
        return ""
    return "FOR UPDATE" if lock.args.get("update") else "LOCK IN SHARE MODE"


def _wheres(blocks: Sequence[Block]) -> dict[int, Where]:
    """What each reference's block asks of its own sharding column, by the ``id`` of its node.

    It holds for every row of the block's result, so a row for which it does not hold is not missed.
    """
    return {id(one.reference.node): allowed(block, [one]) for block in blocks for one in block.members}


def _either(wheres: list[Where]) -> Where:
    if any(isinstance(where, Everything) for where in wheres):
        return Everything()
    result, *others = dict.fromkeys(wheres)
    for other in others:
        result = Either(result, other)
    return result


def _filtered(tree: Tree, found: Sequence[Reference]) -> bool:
    """True where the shards can be given the statement's WHERE: it is about their one table, and means the same there.
    """
    root = tree.root
    if not isinstance(root, exp.Select) or len(found) != 1 or root.args.get("where") is None or not tree.trusted:
        return False
    alone = len(list(root.find_all(exp.Select, exp.Values, exp.Lateral, exp.Join))) == 1
    return alone and not unlike(tree.words)
