"""Queries over the servers' own schemas: of which keyspaces, as far as they say so by the keyspaces' names.

``information_schema`` of one server knows the databases of that server. A query that compares ``table_schema`` (or a
column like it) with the name of a keyspace, or with ``DATABASE()``, is meant for that keyspace; one that does not is
meant for all. It does not know what the schemas hold, nor how several servers' are put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from vgate.planner.joins import bare
from vgate.sql.lexer import LexMode
from vgate.sql.literals import read_literal
from vgate.sql.tree import Tree, slot_of
from vgate.vschema.model import VSchema

_COLUMN_NAMES: Final = """
    constraint_schema database_name db event_object_schema event_schema index_schema object_schema
    referenced_table_schema routine_schema schema schema_name sequence_schema specific_schema table_schema
    trigger_schema unique_constraint_schema view_schema
"""
SCHEMA_COLUMNS: Final = frozenset(_COLUMN_NAMES.split())

TABLES: Final[dict[str, str]] = {
    "check_constraints": "constraint_schema", "column_privileges": "table_schema", "columns": "table_schema",
    "events": "event_schema", "key_column_usage": "table_schema", "parameters": "specific_schema",
    "partitions": "table_schema", "processlist": "db", "referential_constraints": "constraint_schema",
    "routines": "routine_schema", "schema_privileges": "table_schema", "schemata": "schema_name",
    "statistics": "table_schema",
    "table_constraints": "table_schema", "table_privileges": "table_schema", "tables": "table_schema",
    "triggers": "trigger_schema", "views": "table_schema",
}  # fmt: skip
"""The tables of information_schema that tell of databases, and the column that names the database a row is about."""


@dataclass(frozen=True, slots=True)
class Concerned:
    """``keyspaces``: those a query names, each once. ``all``: others may be meant. ``slots``: literals looked at."""

    keyspaces: tuple[str, ...]
    all: bool
    slots: tuple[int, ...]


def concerned(tree: Tree, keyspace: str | None, vschema: VSchema, mode: LexMode) -> Concerned:
    """The keyspaces that a query over the servers' schemas is about."""
    found: dict[str, None] = {}
    slots: dict[int, None] = {}
    bound: set[int] = set()  # the SELECTs in which a schema is named
    for column, value in _comparisons(tree.root):
        select = column.find_ancestor(exp.Select)
        certain = column.find_ancestor(exp.Not, exp.Or) is None
        if isinstance(value, exp.CurrentSchema):
            if keyspace is not None:
                found[keyspace] = None
            if certain:
                bound.add(id(select))
            continue
        slot = slot_of(value) if isinstance(value, exp.Literal) else None
        if slot is None:
            continue
        slots[slot] = None
        names = list(_names(tree, slot, mode))
        found.update(dict.fromkeys(name for name in names if name in vschema.keyspaces))
        if certain and not any("%" in name for name in names):
            bound.add(id(select))
    mentions = [
        table for table in tree.root.find_all(exp.Table)
        if table.db.lower() == "information_schema" and table.name.lower() in TABLES
    ]  # fmt: skip
    selects = {id(table.find_ancestor(exp.Select)) for table in mentions}
    processes = any(table.name.lower() == "processlist" for table in mentions)
    return Concerned(tuple(found), processes or not selects <= bound, tuple(slots))


def renamed(keyspace: str, vschema: VSchema) -> bool:
    """True if the keyspace's database has another name on some server."""
    addresses = (shard.address for shard in vschema.keyspace(keyspace).shards)
    return any(address is not None and address.database != keyspace for address in addresses)


def _names(tree: Tree, slot: int, mode: LexMode) -> Iterator[str]:
    raws = tree.slots[slot]
    for raw in [raws] if isinstance(raws, bytes) else raws:
        text = read_literal(raw, mode).text
        yield "" if text is None else text.decode("utf-8")


def _comparisons(root: exp.Expression) -> Iterator[tuple[exp.Expression, exp.Expression]]:
    """Columns of schema names, and what each is compared with."""
    for node in root.find_all(exp.EQ, exp.In, exp.Like, exp.NullSafeEQ):
        column = bare(node.this)
        values = node.expressions if isinstance(node, exp.In) else [node.expression]
        if not _names_schema(column) and isinstance(node, exp.EQ):
            column, values = bare(node.expression), [node.this]
        if column is not None and _names_schema(column):
            for value in values:
                inner = bare(value)
                if inner is not None:
                    yield column, inner


def _names_schema(node: exp.Expression | None) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() in SCHEMA_COLUMNS
