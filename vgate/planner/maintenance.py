"""ANALYZE, CHECK, CHECKSUM, OPTIMIZE and REPAIR of tables: whose servers do it.

It does not know what the servers answer.
"""

from __future__ import annotations

from typing import Final

from vgate.errors import NO_DATABASE, UNSUPPORTED
from vgate.planner.looks import owner_of
from vgate.planner.plan import Access, Maintain, Pass, Plan
from vgate.planner.statements import Words, construct_of
from vgate.vschema.model import VSchema

MAINTENANCE: Final = ("analyze", "check", "checksum", "optimize", "repair")


def plan_maintenance(words: Words, keyspace: str | None, vschema: VSchema) -> Plan | None:
    """The plan of such a statement; None for what only begins like one. Raises VgateError."""
    words.at = 0
    verb = words.word()
    words.at = 1
    words.skip("local", "no_write_to_binlog")
    if verb not in MAINTENANCE or not (words.accept("table") or words.accept("tables")):
        return None
    owners = dict.fromkeys(owner_of(name, keyspace, vschema) for name in words.names())
    if len(owners) > 1:
        listed = ", ".join(map(str, owners))
        raise UNSUPPORTED(construct=f"{construct_of(words)} over several keyspaces ({listed})")
    target = next(iter(owners), keyspace)
    if target is None:
        raise NO_DATABASE()
    access = Access.READ if verb == "checksum" else Access.WRITE
    return Maintain(target, access) if vschema.keyspace(target).sharded else Pass(target, access)
