"""FLUSH where no one server is meant: all servers of the keyspace do it, or of all keyspaces where none is in use.

It does not know what servers can flush; they say so.
"""

from __future__ import annotations

from vgate.errors import UNSUPPORTED
from vgate.planner.plan import Flush, Plan
from vgate.planner.statements import Words
from vgate.vschema.model import VSchema


def plan_flush(words: Words, mentioned: list[str], keyspace: str | None, vschema: VSchema) -> Plan | None:
    """The plan of a FLUSH on a sharded keyspace, or without any; None for any other, and where names are in doubt.

    Raises UNSUPPORTED.
    """
    words.at = 0
    if not words.accept("flush"):
        return None
    words.skip("no_write_to_binlog", "local")
    of_tables = words.accept("tables") or words.accept("table")
    names = words.word() not in ("", ";", "with") if of_tables else False
    locks = of_tables and bool({"lock", "export"} & words.rest())
    if keyspace is None and not names:
        return Flush(tuple(vschema.keyspaces), locks)
    owners = mentioned if mentioned and keyspace is None else [keyspace, *mentioned]
    if len(owners) > 1 or owners[0] is None or not vschema.keyspace(owners[0]).sharded:
        return None
    if locks and names:  # which the next write over shards would lose, as any transaction does that begins
        raise UNSUPPORTED(
            construct="FLUSH of some tables with a lock on a sharded keyspace; aim at one shard (use `keyspace:shard`)"
        )
    return Flush((owners[0],), locks)
