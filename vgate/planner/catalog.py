"""What the planner may ask for: the VSchema, and tables as the servers have them.

It does not know who answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vgate.planner.columns import TableInfo
from vgate.vschema.model import TableName, VSchema


class Catalog(Protocol):
    """The planner's port. ``table`` is None where the servers have not been asked for the table yet."""

    @property
    def vschema(self) -> VSchema: ...

    def table(self, name: TableName) -> TableInfo | None: ...


@dataclass(frozen=True, slots=True)
class NeedTables:
    """No plan yet: the caller is to ask the servers for these tables, and to come again."""

    tables: tuple[TableName, ...]
