"""What the planner must know of a table as the server has it: columns, their types, and unique keys.

Filled by ``backend.schema``: from a live server, or ``assumed`` from the VSchema alone (``vgate explain``).
This module does not know how it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vgate.vschema.model import TableName


class ColumnKind(Enum):
    """Column types as far as equality and hashing are concerned."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    BINARY = "binary"
    DATE = "date"
    OTHER = "other"  # float, time, datetime, enum, set, json, bit, geometry...: never a sharding column
    UNKNOWN = "unknown"  # offline: nobody was asked


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column. ``sql`` is the type as the server writes it (``bigint(20) unsigned``).

    ``length``: characters for TEXT, bytes for BINARY, 0 where it does not apply. ``fixed``: CHAR or BINARY.
    ``bits`` and ``unsigned`` hold for INTEGER; ``scale`` for DECIMAL.
    ``default`` is the text of a constant default, unquoted (None: NULL, or there is none); where ``computed_default``
    is set it is an expression instead (``uuid()``, or bytes that are not text), whose value only the server knows.
    ``on_update``: an UPDATE sets it to the current time.
    """

    name: str
    sql: str
    kind: ColumnKind
    length: int = 0
    fixed: bool = False
    bits: int = 64
    unsigned: bool = False
    scale: int = 0
    charset: str = ""
    collation: str = ""
    nullable: bool = True
    default: str | None = None
    auto_increment: bool = False
    generated: bool = False
    invisible: bool = False
    computed_default: bool = False
    on_update: bool = False


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A UNIQUE or PRIMARY key: its name and its columns in lower case.

    A part that is an expression, or only a prefix of a column, is an empty name.
    """

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table of the servers: columns in order (names in lower case), and its unique keys."""

    name: TableName
    columns: tuple[ColumnType, ...]
    unique_keys: tuple[UniqueKey, ...]
    comment: str = ""

    def column(self, name: str) -> ColumnType | None:
        """The column of that name (any case), None if there is none."""
        lower = name.lower()
        return next((c for c in self.columns if c.name == lower), None)


def compares_bytes(collation: str) -> bool:
    """True for collations under which strings are equal only if their bytes are: no folding, no padding.

    Other ``_bin`` collations compare as if padded with spaces: ``'a' = 'a '``.
    """
    return collation in ("", "binary", "utf8mb4_0900_bin") or collation.endswith("_nopad_bin")
