"""The vindex of a new table that is sharded by its primary key (``auto_vindex``), by the column's type.

It does not know the tables.
"""

from __future__ import annotations

import re
from typing import Final

from vgate.sql.alter_vschema import VindexSpec
from vgate.vschema.model import Keyspace, TableName

INTEGERS: Final = re.compile(r"(?:tiny|small|medium|middle|big)?int(?:eger|[12348])?\b|bool(?:ean)?\b|serial\b")
_TEXTS: Final = re.compile(r"(?:national |n)?(?:var)?char(?:acter)?\b|(?:tiny|medium|long)?text\b")
_BYTES: Final = re.compile(r"(?:var)?binary\b|(?:tiny|medium|long)?blob\b")


def vindex_type(written: str, integers: str) -> str:
    """The type of vindex for a column: the keyspace's for integers, one for bytes or text; empty for all others."""
    if INTEGERS.match(written):
        return integers
    if _BYTES.match(written):
        return "xxhash"
    return "unicode_loose_xxhash" if _TEXTS.match(written) else ""


def vindex_of(keyspace: Keyspace, kind: str) -> tuple[str, VindexSpec | None]:
    """A vindex of that type and without parameters, and how to make it where the keyspace has none."""
    for name, definition in keyspace.definitions.items():
        if definition.type == kind and not definition.params:
            return name, None
    name = kind if kind not in keyspace.definitions else f"auto_{kind}"
    return name, VindexSpec(kind)


def statement_for(name: TableName, vindex: str, columns: str) -> str:
    """What makes a table known to the VSchema."""
    return f"ALTER VSCHEMA ON {name} ADD VINDEX {vindex}({columns}) USING {vindex}"
