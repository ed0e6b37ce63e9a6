"""Which names keyspaces, tables and columns may have, and how a ``keyspace.table`` is taken apart.

A keyspace name must survive in a target (``ks:-80@primary``), so the characters of that syntax are out.
This module does not know whether a name exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vgate.yamlfile import Report, Scalar

SYSTEM_SCHEMAS = frozenset({"information_schema", "mysql", "performance_schema", "sys"})

OWN_SEQUENCE = "AUTO_SEQ_"
"""A sequence that belongs to a table is called this and the table's name, in the table's keyspace: PolarDB-X's way."""

OWN_TABLES = ("vgate_sequence", "vgate_node")
"""What vgate keeps in the metadata keyspace: sequences, and the node ids of those that go by the time."""

_KEYSPACE = re.compile(r"[^\s\x00-\x1f\x7f:/@\[\].`'\"\\;,%]{1,64}")
_IDENTIFIER = re.compile(r"[^\x00-\x1f\x7f`.]{0,63}[^\x00-\x20\x7f`.]")


def check_keyspace(name: Scalar, report: Report) -> None:
    """Report a keyspace name that cannot be used."""
    if name.text.lower() in SYSTEM_SCHEMAS:
        report.fault(name.line, f"keyspace {name.text!r} has the name of a system schema", "Choose another name.")
    elif not _KEYSPACE.fullmatch(name.text):
        report.fault(
            name.line, f"{name.text!r} cannot name a keyspace",
            "Use letters, digits, _ and -, 64 characters at most: targets are written keyspace:shard@type.",
        )


def check_identifier(name: Scalar, what: str, report: Report) -> bool:
    """Report a table or column name that MySQL could not have; True if it is usable."""
    if _IDENTIFIER.fullmatch(name.text):
        return True
    report.fault(name.line, f"{name.text!r} cannot name a {what}", "Names have 1 to 64 characters, without ` and dots.")
    return False


def check_cases(names: Iterable[Scalar], what: str, report: Report) -> None:
    """Warn of names that differ in case only: a server with lower_case_table_names=1 takes them for one."""
    seen: dict[str, Scalar] = {}
    for name in names:
        other = seen.setdefault(name.text.lower(), name)
        if other is not name:
            report.warn(
                name.line, f"{what} {name.text!r} differs from {other.text!r} (line {other.line}) in case only",
                "vgate keeps them apart; people and servers may not. Rename one if it is a slip.",
            )


def split_table(text: str) -> tuple[str | None, str] | None:
    """``ks.t`` or ``t``, either part in backquotes or not; None if it is neither."""
    parts = text.replace("`", "").split(".")
    if len(parts) > 2 or not all(parts):
        return None
    return (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])
