"""Vitess target strings, ``keyspace[:shard|/shard|[lo-hi]][@tablet_type]``: what USE, COM_INIT_DB and the login name.

Knows the notation only, not which keyspaces or shards exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TABLET_TYPES: Final = {"primary": "primary", "master": "primary", "replica": "replica", "rdonly": "rdonly"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a session aims at. ``keyspace`` None: nothing selected; ``shard`` None: the planner decides; ``system``:
    the servers' own schema that is selected instead.
    """

    keyspace: str | None = None
    shard: str | None = None
    tablet_type: str = "primary"
    system: str | None = None

    @property
    def database(self) -> str | None:
        """What DATABASE() says, without a shard."""
        return self.keyspace if self.keyspace is not None else self.system

    def __str__(self) -> str:
        if self.system is not None:
            return self.system
        shard = f":{self.shard}" if self.shard is not None else ""
        kind = f"@{self.tablet_type}" if self.tablet_type != "primary" else ""
        return f"{self.keyspace or ''}{shard}{kind}"


def parse_target(text: str) -> Target:
    """Read a target string. Raises ValueError for a tablet type that does not exist or an unclosed bracket."""
    tablet_type = "primary"
    if "@" in text:
        text, _, kind = text.rpartition("@")
        if kind.lower() not in TABLET_TYPES:
            raise ValueError(f"unknown tablet type '{kind}': use primary")
        tablet_type = TABLET_TYPES[kind.lower()]
    shard: str | None = None
    if text.endswith("]") and "[" in text:
        text, _, shard = text[:-1].partition("[")
    else:
        for separator in (":", "/"):
            if separator in text:
                text, _, shard = text.partition(separator)
                break
    return Target(text or None, shard or None, tablet_type)
