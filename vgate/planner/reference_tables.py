"""Reference tables: every shard has all of their rows. They are read on any shard, and written on all of them alike.

A copy joins with a sharded table wherever that one's rows are, so routing looks at the sharded tables alone. A write
must do the same on every shard: what would not (a random value, a LIMIT, another table's rows, a counter) is refused.
This module does not know how shards are kept in step while they are written: see ``engine.alike``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from vgate.errors import UNSUPPORTED
from vgate.planner.columns import TableInfo
from vgate.planner.functions import foreign_function, sequence_function
from vgate.planner.merges import beyond_a_plain_write
from vgate.planner.plan import Access, AnyShard, Everywhere, Plan
from vgate.planner.references import Reference
from vgate.sql.tree import Tree
from vgate.vschema.model import Table, TableType

_UNLIKE_NAMES: Final = """
    benchmark connection_id current_role current_user database encrypt icu_version load_file rand random_bytes schema
    session_user sleep sys_guid sysdate system_user user uuid uuid_short version
    any_value first_value group_concat json_arrayagg json_objectagg lag last_value lead nth_value ntile row_number
"""
_UNLIKE: Final = frozenset(_UNLIKE_NAMES.split())
"""Functions whose value is not the same on every server, or not twice, or depends on the order in which rows are found.
NOW() and its kin are the same: the clock is stopped.
"""

_CLOCK: Final = ("current_timestamp", "now", "localtime", "curdate", "current_date", "curtime", "current_time", "utc_")


def is_reference(table: Table | None) -> bool:
    """True for a table whose copies are on all shards."""
    return table is not None and table.type is TableType.REFERENCE


def check_mixed(root: exp.Expression, copies: Sequence[Reference], sharded: Sequence[Reference]) -> None:
    """Raises UNSUPPORTED for a write in which copies and sharded tables meet so that copies could become unlike."""
    if not isinstance(root, exp.Update | exp.Delete) or not sharded:
        return
    copy = next((one for one in copies if one.block is root), None)
    if copy is not None:
        verb = type(root).__name__.upper()
        raise UNSUPPORTED(construct=f"{verb} of reference table {copy.name} together with sharded tables")


def plan_copies(tree: Tree, found: Sequence[Reference], access: Access) -> Plan:
    """The plan of a statement over reference tables alone. Raises UNSUPPORTED."""
    root, keyspace = tree.root, found[0].name.keyspace
    names = tuple(dict.fromkeys(one.name for one in found))
    if isinstance(root, exp.Update | exp.Delete):
        construct = beyond_a_plain_write(root) or ("LIMIT" if b"limit" in tree.words else unlike(tree.words))
        if construct:
            raise UNSUPPORTED(construct=f"{construct} in a write to reference table {names[0]}")
        return Everywhere(keyspace, names)
    construct = "SELECT ... INTO" if b"into" in tree.words else foreign_function(tree.words)
    if construct or sequence_function(tree.words):
        raise UNSUPPORTED(construct=f"{construct or sequence_function(tree.words)} on a sharded keyspace")
    return AnyShard(keyspace, access)


def unlike(words: tuple[bytes, ...]) -> str:
    """What among a statement's words may be another value on each shard; '' if nothing."""
    for index, word in enumerate(words):
        if word.startswith(b"@"):
            return "a variable"
        name = word.decode("utf-8", "replace").strip("`")
        if name in _UNLIKE and (words[index + 1 : index + 2] == (b"(",) or name in ("current_user", "current_role")):
            return f"{name.upper()}()"
    return sequence_function(words) or foreign_function(words)


def check_insert(table: Table, columns: Sequence[str], words: tuple[bytes, ...], info: TableInfo) -> None:
    """Raises UNSUPPORTED for an INSERT whose rows would not be alike."""
    construct = unlike(words)
    for column in info.columns:
        default = (column.default or "").lower().lstrip("(")
        filled = column.name not in columns or b"default" in words
        if column.computed_default and filled and not default.startswith(_CLOCK):
            construct = construct or f"the default of {column.name}"
    if construct:
        raise UNSUPPORTED(construct=f"{construct} in a write to reference table {table.name}")
