"""Queries over the servers' own schemas: of which keyspaces, as far as they say so by the keyspaces' names.

``information_schema`` of one server knows the databases of that server. A query that compares ``table_schema`` (or a
column like it) with the name of a keyspace, or with ``DATABASE()``, is meant for that keyspace; one that does not is
meant for all. InnoDB's own tables write a database's name into longer ones; this says where and how. It does not know
what the schemas hold, nor how several servers' are put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sqlglot import exp

from vgate.planner.joins import bare
from vgate.sql.lexer import LexMode
from vgate.sql.literals import read_literal
from vgate.sql.tree import Tree, slot_of
from vgate.vschema.model import VSchema
from vgate.vschema.names import SYSTEM_SCHEMAS

_COLUMN_NAMES: Final = """
    child_table_schema constraint_schema database_name db event_object_schema event_schema f_table_schema g_table_schema
    index_schema library_schema object_schema parent_table_schema referenced_table_schema root_table_schema
    routine_schema schema schema_name sequence_schema specific_schema table_schema trigger_schema
    unique_constraint_schema view_schema
"""
SCHEMA_COLUMNS: Final = frozenset(_COLUMN_NAMES.split())

TABLES: Final[dict[str, str]] = {
    "check_constraints": "constraint_schema", "column_privileges": "table_schema", "column_statistics": "schema_name",
    "columns": "table_schema", "columns_extensions": "table_schema", "events": "event_schema",
    "geometry_columns": "f_table_schema", "index_statistics": "table_schema",
    "innodb_cmp_per_index": "database_name", "innodb_cmp_per_index_reset": "database_name",
    "json_duality_view_columns": "table_schema", "json_duality_view_links": "table_schema",
    "json_duality_view_tables": "table_schema", "json_duality_views": "table_schema",
    "key_column_usage": "table_schema", "libraries": "library_schema", "parameters": "specific_schema",
    "partitions": "table_schema", "processlist": "db", "referential_constraints": "constraint_schema",
    "role_column_grants": "table_schema", "role_routine_grants": "routine_schema", "role_table_grants": "table_schema",
    "routine_libraries": "routine_schema", "routines": "routine_schema", "schema_privileges": "table_schema",
    "schemata": "schema_name", "schemata_extensions": "schema_name", "st_geometry_columns": "table_schema",
    "statistics": "table_schema", "table_constraints": "table_schema",
    "table_constraints_extensions": "constraint_schema", "table_privileges": "table_schema",
    "table_statistics": "table_schema", "tables": "table_schema", "tables_extensions": "table_schema",
    "triggers": "trigger_schema", "view_routine_usage": "table_schema", "view_table_usage": "view_schema",
    "views": "table_schema",
}  # fmt: skip
"""The tables of information_schema that tell of databases, and the column that names the database a row is about: all
that MariaDB 10.11 and MySQL 9.7 have with such a column. What a server does not have is its to refuse.
"""


class Spelling(Enum):
    """How a column writes a database's name, here of ``shop-1``."""

    NAME = auto()
    """The name alone."""
    FILENAME = auto()
    """``shop@002d1/item``, as the directory is called."""
    PLAIN = auto()
    """``shop-1/item``"""
    QUOTED = auto()
    """The same with each name in backquotes and a dot between; also a name without a database."""
    PATH = auto()
    """``./shop@002d1/item.ibd``"""
    TEXT = auto()
    """A statement, or what is said of one: a database is written in backquotes before a dot."""
    SAID = auto()
    """A message: ``'shop-1.item'`` in quotes."""
    DOTTED = auto()
    """Conditions: ``shop-1.item.id = shop-1.tag.item``, without quotes."""


SPELLINGS: Final = {
    **dict.fromkeys(SCHEMA_COLUMNS, Spelling.NAME),
    "action_statement": Spelling.TEXT, "event_definition": Spelling.TEXT, "routine_definition": Spelling.TEXT,
    "view_definition": Spelling.TEXT, "where_clause": Spelling.DOTTED,
    "table_comment": Spelling.SAID,  # of a view that does not work
}  # fmt: skip
"""The columns of ``TABLES`` in which databases are named."""

SERVER_TABLES: Final[dict[str, dict[str, Spelling]]] = {
    "files": {"tablespace_name": Spelling.PLAIN, "file_name": Spelling.PATH},
    "innodb_buffer_page": {"table_name": Spelling.QUOTED},
    "innodb_buffer_page_lru": {"table_name": Spelling.QUOTED},
    "innodb_datafiles": {"path": Spelling.PATH},
    "innodb_foreign": {"id": Spelling.PLAIN, "for_name": Spelling.PLAIN, "ref_name": Spelling.PLAIN},
    "innodb_foreign_cols": {"id": Spelling.PLAIN},
    "innodb_locks": {"lock_table": Spelling.QUOTED},
    "innodb_sys_foreign": {"id": Spelling.FILENAME, "for_name": Spelling.FILENAME, "ref_name": Spelling.FILENAME},
    "innodb_sys_foreign_cols": {"id": Spelling.FILENAME},
    "innodb_sys_tables": {"name": Spelling.FILENAME},
    "innodb_sys_tablespaces": {"name": Spelling.FILENAME, "filename": Spelling.PATH},
    "innodb_sys_tablestats": {"name": Spelling.FILENAME},
    "innodb_tables": {"name": Spelling.FILENAME},
    "innodb_tablespaces": {"name": Spelling.PLAIN},
    "innodb_tablespaces_brief": {"name": Spelling.PLAIN, "path": Spelling.PATH},
    "innodb_tablespaces_encryption": {"name": Spelling.FILENAME},
    "innodb_tablestats": {"name": Spelling.FILENAME},
    "innodb_trx": {"trx_query": Spelling.TEXT, "trx_last_foreign_key_error": Spelling.TEXT},
    "optimizer_trace": {"query": Spelling.TEXT, "trace": Spelling.TEXT},
    "tablespaces_extensions": {"tablespace_name": Spelling.PLAIN},
}  # fmt: skip
"""Tables that tell of one server, with the columns in which databases are named; the first is what a row is about.

Their numbers (of spaces, tables, pages, transactions) are facts of that server, by which they are joined: rows of other
servers have no place among them. The spellings are those of MariaDB 10.11 and MySQL 9.7, which differ where the
tables' names do: MySQL decodes the names of tablespaces and foreign keys, but not those of tables.
"""


_LIST_NAMES: Final = """
    tables columns statistics key_column_usage table_constraints partitions tables_extensions columns_extensions
    table_constraints_extensions
"""
LISTS: Final = frozenset(_LIST_NAMES.split())
"""Those in which every table is named."""

COUNTS: Final = {
    "tables": {
        "table_rows": "rows", "data_length": "data_length", "index_length": "index_length", "data_free": "data_free",
        "avg_row_length": "avg_row_length",
    },
    "statistics": {"cardinality": "cardinality"},
}  # fmt: skip
"""Columns, by table, in which each shard has the number of its own part of a table, and what SHOW calls them."""


@dataclass(frozen=True, slots=True)
class Concerned:
    """``keyspaces``: those a query names, each once. ``all``: others may be meant. ``slots``: literals looked at.

    ``system``: or a database of the servers' own. ``tables``: it may show the names of tables.
    ``server``: it is about tables that tell of one server. ``strangers``: it names a database that is no keyspace, nor
    the servers' own; one that vgate keeps to itself may be called so.
    """

    keyspaces: tuple[str, ...]
    all: bool
    server: bool
    strangers: bool
    system: bool
    tables: bool
    slots: tuple[int, ...]


def concerned(tree: Tree, keyspace: str | None, vschema: VSchema, mode: LexMode) -> Concerned:
    """The keyspaces that a query over the servers' schemas is about."""
    found: dict[str, None] = {}
    slots: dict[int, None] = {}
    bound: set[int] = set()  # the SELECTs in which a schema is named
    strangers = system = False
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
        strangers = strangers or any(
            name not in vschema.keyspaces and name.lower() not in SYSTEM_SCHEMAS for name in names
        )
        system = system or any(name.lower() in SYSTEM_SCHEMAS - {"information_schema"} for name in names)
        if certain and not any("%" in name for name in names):
            bound.add(id(select))
    told = [table for table in tree.root.find_all(exp.Table) if table.db.lower() == "information_schema"]
    mentions = [table for table in told if table.name.lower() in TABLES]
    server = any(table.name.lower() in SERVER_TABLES for table in told)
    selects = {id(table.find_ancestor(exp.Select)) for table in mentions}
    processes = any(table.name.lower() == "processlist" for table in mentions)
    every = processes or not selects <= bound
    lists = any(table.name.lower() in LISTS for table in mentions)
    return Concerned(tuple(found), every, server, strangers and bool(mentions), system, lists, tuple(slots))


def shows_counts(tree: Tree) -> bool:
    """True where the query may show numbers of ``COUNTS``."""
    told = {table.name.lower() for table in tree.root.find_all(exp.Table) if table.db.lower() == "information_schema"}
    counts = {column for table in told & COUNTS.keys() for column in COUNTS[table]}
    if not counts:
        return False
    stars = (star for star in tree.root.find_all(exp.Star) if not isinstance(star.parent, exp.Count))
    return any(True for _ in stars) or any(one.name.lower() in counts for one in tree.root.find_all(exp.Column))


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
