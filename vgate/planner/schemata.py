"""Queries over the servers' own schemas: whose server is asked, where they say so by a keyspace's name.

``information_schema`` of one server knows the databases of that server. A query that compares ``table_schema`` (or a
column like it) with the name of a keyspace is meant for that keyspace's servers; tools ask so whatever is in use.
It does not know what the schemas hold.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

from sqlglot import exp

from vgate.planner.joins import bare
from vgate.sql.lexer import LexMode
from vgate.sql.literals import read_literal
from vgate.sql.tree import Tree, slot_of

_COLUMN_NAMES: Final = """
    constraint_schema database_name db event_object_schema event_schema index_schema object_schema
    referenced_table_schema routine_schema schema schema_name sequence_schema specific_schema table_schema
    trigger_schema unique_constraint_schema view_schema
"""
_COLUMNS: Final = frozenset(_COLUMN_NAMES.split())


def named_keyspaces(tree: Tree, known: Container[str], mode: LexMode) -> tuple[list[str], tuple[int, ...]]:
    """The keyspaces that a query over the servers' schemas names, each once; and the literals that were looked at."""
    slots = list(dict.fromkeys(_slots(tree.root)))
    found: dict[str, None] = {}
    for slot in slots:
        raws = tree.slots[slot]
        for raw in [raws] if isinstance(raws, bytes) else raws:
            text = read_literal(raw, mode).text
            name = "" if text is None else text.decode("utf-8")
            if name in known:
                found[name] = None
    return list(found), tuple(slots)


def _slots(root: exp.Expression) -> Iterator[int]:
    """The literals that columns of schema names are compared with."""
    for node in root.find_all(exp.EQ, exp.In, exp.Like, exp.NullSafeEQ):
        column = bare(node.this)
        values = node.expressions if isinstance(node, exp.In) else [node.expression]
        if not _names_schema(column) and isinstance(node, exp.EQ):
            column, values = bare(node.expression), [node.this]
        if _names_schema(column):
            for value in values:
                literal = bare(value)
                slot = slot_of(literal) if isinstance(literal, exp.Literal) else None
                if slot is not None:
                    yield slot


def _names_schema(node: exp.Expression | None) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() in _COLUMNS
