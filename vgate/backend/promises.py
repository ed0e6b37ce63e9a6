"""What a cluster cannot promise about a table, as rules: each is a function from what is known to findings.

One server enforces UNIQUE keys, foreign keys and AUTO_INCREMENT over all rows; a shard enforces them over its own.
This module does not know connections: ``inspect`` collects what the rules look at. It judges tables by their
definition only, never by their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from vgate.planner.columns import ColumnKind, ColumnType, TableInfo, UniqueKey
from vgate.planner.loose import folding_of
from vgate.planner.values import LOOSE_VINDEXES, equal_texts_share_ids
from vgate.vindex.base import Vindex
from vgate.vschema.model import ColumnVindex, Keyspace, Table, TableType


class Severity(StrEnum):
    """FAULT: statements will fail or answer wrongly. WARNING: one server would promise more."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the servers that their user should know: where, what, and what to do about it."""

    where: str
    what: str
    remedy: str
    severity: Severity = Severity.WARNING

    def __str__(self) -> str:
        return f"{self.where}: {self.severity}: {self.what}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key of a table; columns in lower case, pairwise. ``schema`` is empty for the table's own database."""

    name: str
    columns: tuple[str, ...]
    schema: str
    table: str
    referenced: tuple[str, ...]



def judge(
    keyspace: Keyspace, table: Table, info: TableInfo, foreign_keys: tuple[ForeignKey, ...]
) -> Iterator[Finding]:
    """Everything to be said of a table of a sharded keyspace."""
    primary = table.primary_vindex
    if primary is None:
        return
    where = str(table.name)
    yield from _sharding_columns(where, primary, info)
    yield from _unique_keys(where, table, primary, info)
    yield from _auto_increment(where, table, info)
    for key in foreign_keys:
        yield from _foreign_key(where, keyspace, primary, key)


# -- the sharding column ------------------------------------------------------------------------------------------


def _sharding_columns(where: str, primary: ColumnVindex, info: TableInfo) -> Iterator[Finding]:
    for name in primary.columns:
        column = info.column(name)
        if column is None:
            yield Finding(
                where, f"the sharding column {name} does not exist",
                "Correct column_vindexes in the VSchema, or add the column.", Severity.FAULT,
            )
        elif column.generated:
            yield Finding(
                where, f"the sharding column {name} is generated, so its value is not known before the row is stored",
                "Shard by an ordinary column.", Severity.FAULT,
            )
        else:
            yield from _routable(where, column, primary.vindex)


def _routable(where: str, column: ColumnType, vindex: Vindex) -> Iterator[Finding]:
    """Rows are found by a value only if what the server calls equal has one keyspace id."""
    label = f"the sharding column {column.name} ({column.sql})"
    if vindex.type == "null":
        return
    if column.kind is ColumnKind.OTHER:
        yield Finding(
            where, f"{label} has a type that values cannot be routed by",
            "Use an integer, DECIMAL, DATE, VARCHAR or VARBINARY column.", Severity.FAULT,
        )
    elif not vindex.takes_text:
        yield from _numeric(where, label, column, vindex)
    elif column.kind is ColumnKind.TEXT:
        yield from _text(where, label, column, vindex)


def _text(where: str, label: str, column: ColumnType, vindex: Vindex) -> Iterator[Finding]:
    if equal_texts_share_ids(column.collation, column.fixed, vindex.type, vindex.takes_text):
        return
    if vindex.type not in LOOSE_VINDEXES:
        yield Finding(
            where, f"{label} has collation {column.collation}, under which values are equal whose bytes are not, but"
            f" vindex {vindex.name} ({vindex.type}) places rows by bytes: conditions on it go to every shard",
            "Use utf8mb4_0900_bin (MySQL), utf8mb4_nopad_bin (MariaDB) or VARBINARY, or a unicode_loose vindex.",
        )
    elif folding_of(column.collation) is None:
        yield Finding(
            where, f"{label} has collation {column.collation}, and which values that takes for equal is not known,"
            f" so that vindex {vindex.name} ({vindex.type}) cannot find them: conditions on it go to every shard",
            "Use utf8mb4_0900_ai_ci (MySQL), utf8mb4_unicode_ci or utf8mb4_general_ci.",
        )


def _numeric(where: str, label: str, column: ColumnType, vindex: Vindex) -> Iterator[Finding]:
    what = f"vindex {vindex.name} ({vindex.type}) places whole numbers only"
    if column.kind in (ColumnKind.TEXT, ColumnKind.BINARY, ColumnKind.DATE):
        yield Finding(
            where, f"{label} is no number, but {what}: other values cannot be inserted, and conditions on it may go to"
            " every shard", "Use a BIGINT column, or a vindex for text such as xxhash or unicode_loose_xxhash.",
        )
    elif column.kind is ColumnKind.DECIMAL and column.scale:
        yield Finding(
            where, f"{label} may have fractions, but {what}: other values cannot be inserted", "Use a BIGINT column."
        )


# -- keys ---------------------------------------------------------------------------------------------------------


def _unique_keys(where: str, table: Table, primary: ColumnVindex, info: TableInfo) -> Iterator[Finding]:
    for key in info.unique_keys:
        if set(primary.columns) <= set(key.columns):
            continue
        label = _label(key)
        if table.auto_increment is not None and key.columns == (table.auto_increment.column,):
            yield Finding(
                where, f"{label} holds within each shard only; ids from sequence {table.auto_increment.sequence} are"
                " unique, ids given in statements are not checked against other shards",
                "Leave the ids to the sequence.",
            )
        else:
            yield Finding(
                where, f"{label} does not contain the sharding column {', '.join(primary.columns)}: it holds within"
                " each shard only", "Add the sharding column to the key, or see to it that values are unique.",
            )


def _label(key: UniqueKey) -> str:
    columns = ", ".join(column or "(expression or prefix)" for column in key.columns)
    return f"PRIMARY KEY ({columns})" if key.name == "PRIMARY" else f"UNIQUE key {key.name} ({columns})"


def _auto_increment(where: str, table: Table, info: TableInfo) -> Iterator[Finding]:
    wanted = table.auto_increment.column if table.auto_increment else None
    if wanted is not None and info.column(wanted) is None:
        yield Finding(
            where, f"the auto_increment column {wanted} does not exist",
            "Correct auto_increment in the VSchema, or add the column.", Severity.FAULT,
        )
    for column in info.columns:
        if column.auto_increment and column.name != wanted:
            yield Finding(
                where, f"column {column.name} is AUTO_INCREMENT without a sequence: each shard counts for itself, and"
                " gives out ids that other shards give out too",
                f"Add auto_increment: {{column: {column.name}, sequence: ...}} to the table in the VSchema.",
            )


def _foreign_key(where: str, keyspace: Keyspace, primary: ColumnVindex, key: ForeignKey) -> Iterator[Finding]:
    if key.schema or not _together(primary, keyspace.tables, key):
        target = f"{key.schema}.{key.table}" if key.schema else key.table
        yield Finding(
            where, f"foreign key {key.name} ({', '.join(key.columns)}) references {target}"
            f" ({', '.join(key.referenced)}), whose rows may be on other shards: the server then refuses the row or"
            " misses a cascade",
            "Shard both tables by the columns of the key with the same vindex, or drop the key.",
        )


def _together(primary: ColumnVindex, tables: Mapping[str, Table], key: ForeignKey) -> bool:
    """True if a row and the row it refers to are on one shard: the key pairs their sharding columns, or the other table
    is on every shard.
    """
    parent = tables.get(key.table)
    if parent is not None and parent.type is TableType.REFERENCE:
        return True
    if parent is None or parent.primary_vindex is None:
        return False
    theirs = parent.primary_vindex
    if not _same(theirs.vindex, primary.vindex) or len(theirs.columns) != len(primary.columns):
        return False
    pairs = set(zip(key.columns, key.referenced, strict=True))
    return all(pair in pairs for pair in zip(primary.columns, theirs.columns, strict=True))


def _same(one: Vindex, other: Vindex) -> bool:
    """True if both map every value alike: all types but the static map are without parameters that matter."""
    return one is other or (one.type == other.type and one.type != "numeric_static_map")
