"""LOAD DATA LOCAL into a sharded table: which field places a row, which id a sequence fills in, and what is refused.

What is refused is refused before the client is asked for its file. It does not know the file's rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from vgate.errors import UNSUPPORTED
from vgate.planner.columns import TableInfo
from vgate.planner.inserts import _check_unique_keys, _generated, _sharding
from vgate.planner.plan import InsertId, InsertKey, OnDuplicate
from vgate.sql.lexer import LexMode, TokenKind, lexer_for
from vgate.sql.load import LoadHead
from vgate.sql.loadrows import unusual
from vgate.sql.names import name_of
from vgate.vschema.model import Table


@dataclass(frozen=True, slots=True)
class Load:
    """``columns``: what a line's fields are, in lower case, from the list or (``implicit``) the table."""

    table: Table
    head: LoadHead
    columns: tuple[str, ...]
    implicit: bool
    sharding: InsertKey
    generated: InsertId | None

    @property
    def fills_id(self) -> bool:
        """True if every row gets an id from the sequence."""
        return self.generated is not None and self.generated.position is None


def plan_load(text: bytes, mode: LexMode, head: LoadHead, table: Table, info: TableInfo) -> Load:
    """How the file is divided. Raises UNSUPPORTED."""
    where = f"into sharded table {table.name}"
    odd = "XML" if head.xml else "PARTITION" if head.partitions else unusual(head.format)
    if odd:
        raise UNSUPPORTED(construct=f"LOAD DATA {odd} {where}")
    columns = tuple(column.name for column in info.columns if not column.invisible)
    if head.columns is not None:
        columns = tuple(name.lower() for name in head.columns)
    if any(name.startswith("@") for name in columns):
        raise UNSUPPORTED(construct=f"LOAD DATA with user variables {where}")
    if len(set(columns)) < len(columns):
        raise UNSUPPORTED(construct=f"LOAD DATA with a column listed twice {where}")
    key = _sharding(table, columns, info)
    generated = _generated(table, columns)
    by_id = generated is not None and generated.position is None and generated.column == key.column.name
    if key.position is None and not by_id:
        raise UNSUPPORTED(construct=f"LOAD DATA without sharding column {key.column.name} {where}")
    _check_counters(columns, generated, info, where)
    _check_unique_keys(OnDuplicate.REPLACE if head.on_duplicate == "replace" else OnDuplicate.IGNORE, key, info, table)
    _check_set(text, mode, head, {key.column.name, *([generated.column] if generated else ())}, where)
    return Load(table, head, columns, head.columns is None, key, generated)


def _check_counters(columns: tuple[str, ...], generated: InsertId | None, info: TableInfo, where: str) -> None:
    bound = generated.column if generated is not None else None
    for column in info.columns:
        if column.auto_increment and column.name != bound:
            raise UNSUPPORTED(
                construct=f"LOAD DATA {where} with {column.name}, which is AUTO_INCREMENT without a sequence: each"
                " shard would count by itself"
            )


def _check_set(text: bytes, mode: LexMode, head: LoadHead, fixed: set[str], where: str) -> None:
    """A SET clause may not touch what places a row, nor ask other rows, nor go through user variables."""
    if not head.sets:
        return
    for token in lexer_for(mode).tokens(text[head.columns_end :]):
        word = name_of(text[head.columns_end :], token, mode).lower()
        if token.kind is TokenKind.VARIABLE or word == "select" or word in fixed:
            raise UNSUPPORTED(construct=f"LOAD DATA ... SET with {word} {where}")
