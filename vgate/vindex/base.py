"""What a vindex is: a named, typed function from a column value to a keyspace id.

This module does not know shards, tables or SQL text: values arrive already read (see ``planner.values``).
"""

from __future__ import annotations

from typing import NewType, Protocol

KeyspaceId = NewType("KeyspaceId", bytes)

Value = int | bytes | None
"""A column value: an integer, text or bytes (text in UTF-8, as Vitess sees it), or NULL."""


class Vindex(Protocol):
    """A functional vindex. ``map`` is pure, total over ``Value`` and as cheap as it can be: it runs per query."""

    @property
    def name(self) -> str:
        """The name the keyspace gives it."""
        ...

    @property
    def type(self) -> str:
        """The type's name in Vitess's registry, e.g. ``hash``."""
        ...

    @property
    def unique(self) -> bool: ...

    @property
    def cost(self) -> int: ...

    @property
    def takes_text(self) -> bool:
        """True when the vindex hashes the value's text form (``xxhash``, ``binary_md5``...), not its number."""
        ...

    def map(self, value: Value) -> KeyspaceId | None:
        """The keyspace id of ``value``, or None where the value has none (Vitess's DestinationNone).

        Raises VgateError where Vitess itself would answer and vgate cannot reproduce the answer exactly.
        """
        ...
