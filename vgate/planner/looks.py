"""SHOW, DESCRIBE, EXPLAIN and HELP: whose servers are asked. What one server says of itself is the answer.

All shards of a keyspace have the same tables, so any one of them can describe them; what runs the statement (EXPLAIN
ANALYZE of a write) is refused where there are several. It does not know what servers answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from vgate.errors import NO_DATABASE, UNKNOWN_KEYSPACE, UNSUPPORTED
from vgate.planner.implicit import owns_sequence
from vgate.planner.plan import Access, AnyShard, Pass, Plan
from vgate.planner.references import resolve_name
from vgate.planner.statements import QualifiedName, Words
from vgate.vschema.model import VSchema
from vgate.vschema.names import SYSTEM_SCHEMAS

LOOKS: Final = ("show", "describe", "desc", "explain", "help")

_STATEMENTS: Final = ("select", "with", "(", "table", "values", "insert", "replace", "update", "delete")
_WRITES: Final = frozenset({"insert", "replace", "update", "delete"})
_OF_TABLE: Final = frozenset({"columns", "fields", "index", "indexes", "keys"})
_OF_DATABASE: Final = frozenset({"tables", "triggers", "events", "status"})
_CREATED: Final = frozenset({"table", "view", "sequence", "trigger", "procedure", "function", "event", "package"})


@dataclass(frozen=True, slots=True)
class Explained:
    """A statement inside an EXPLAIN: where it starts in the text. ``runs``: EXPLAIN ANALYZE."""

    start: int
    runs: bool
    writes: bool
    database: str | None = None


def explained(words: Words) -> Explained | None:
    """The statement that an EXPLAIN, DESCRIBE or DESC is about; None where it is about a table. Raises UNSUPPORTED."""
    words.at = 1
    runs, database = False, None
    while True:
        if words.accept("for", "connection"):
            raise UNSUPPORTED(construct="EXPLAIN FOR CONNECTION, as servers do not know vgate's connection ids")
        if words.accept("analyze"):
            runs = True
        elif words.accept("format", "=") or words.accept("into"):
            words.at += 1
        elif words.accept("for", "database") or words.accept("for", "schema"):
            database = words.one_name()
        elif not (words.accept("extended") or words.accept("partitions")):
            break
    token = words.token()
    if token is None or words.word() not in _STATEMENTS:
        return None
    return Explained(token.start, runs, bool(_WRITES & words.rest()), database)


def plan_look(words: Words, keyspace: str | None, vschema: VSchema) -> Plan:
    """The plan of any of these statements but EXPLAIN of a statement. Raises VgateError."""
    words.at = 0
    verb = words.word()
    words.at = 1
    if verb == "help":
        return ask(keyspace, vschema)
    if verb != "show":
        name = words.name()
        return _showing(name, owner_of(name, keyspace, vschema), vschema)
    return _show(words, keyspace, vschema)


def plan_explained(found: Explained, owners: list[str], keyspace: str | None, vschema: VSchema) -> Plan:
    """The plan of EXPLAIN of a statement over the tables of ``owners``. Raises UNSUPPORTED."""
    if len(owners) > 1:
        raise UNSUPPORTED(construct=f"tables of several keyspaces ({', '.join(owners)}) in one statement")
    target = owners[0] if owners else keyspace
    sharded = target is not None and vschema.keyspace(target).sharded
    if found.runs and found.writes:
        if sharded or target is None:
            raise UNSUPPORTED(construct="EXPLAIN ANALYZE of a write on a sharded keyspace")
        return Pass(target, Access.WRITE)
    return ask(target, vschema)


def ask(keyspace: str | None, vschema: VSchema) -> Plan:
    """One server of the keyspace; else of an unsharded keyspace, else any."""
    if keyspace is None:
        order = sorted(vschema.keyspaces.values(), key=lambda one: one.sharded)
        return AnyShard(order[0].name, Access.READ)
    if vschema.keyspace(keyspace).sharded:
        return AnyShard(keyspace, Access.READ)
    return Pass(keyspace, Access.READ)


def _show(words: Words, keyspace: str | None, vschema: VSchema) -> Plan:
    words.skip("full", "extended", "global", "session", "local")
    lenient = words.accept("open") or words.word() == "events"
    what = words.word()
    words.at += 1
    if what == "create":
        kind = words.word()
        words.at += 1
        words.skip("body")
        if kind in ("database", "schema"):
            words.skip_existence()
            return ask(_database(words.one_name(), keyspace, vschema), vschema)
        name = words.name()
        owner = owner_of(name, keyspace, vschema) if kind in _CREATED else keyspace
        return _showing(name, owner, vschema) if kind == "table" else ask(owner, vschema)
    if what in _OF_TABLE and (words.accept("from") or words.accept("in")):
        name = words.name()
        if name is not None and (words.accept("from") or words.accept("in")):
            name = words.one_name(), name[1]
        owner = owner_of(name, keyspace, vschema)
        if what in ("columns", "fields"):
            return _showing(name, owner, vschema)
        return _counted(ask(owner, vschema), None if name is None else name[0])
    listed = what in _OF_DATABASE or (what, words.word()) == ("table", "status")
    status = (what, words.word()) == ("table", "status")
    if status:
        words.at += 1
    if listed and (words.accept("from") or words.accept("in")):
        database = words.one_name()
        if lenient and keyspace is not None and database not in vschema.keyspaces:
            return ask(keyspace, vschema)  # the open tables, and the events, of an unknown database are none
        plan = ask(_database(database, keyspace, vschema), vschema)
        return _counted(plan, database) if status else plan
    if what != "status" and listed and keyspace is None:
        raise NO_DATABASE()
    return _counted(ask(keyspace, vschema), None) if status else ask(keyspace, vschema)


def _counted(plan: Plan, database: str | None) -> Plan:
    """Numbers of tables: of sharded ones each shard has its own."""
    if not isinstance(plan, AnyShard) or (database is not None and database.lower() in SYSTEM_SCHEMAS):
        return plan
    return replace(plan, counted=True)


def _showing(name: QualifiedName | None, owner: str | None, vschema: VSchema) -> Plan:
    """What a table is made of: of one whose ids come from its own sequence, its shards do not know that."""
    plan = ask(owner, vschema)
    if name is None or owner is None or not isinstance(plan, AnyShard):
        return plan
    table = vschema.keyspace(owner).tables.get(name[1])
    return replace(plan, shown=table.name) if table is not None and owns_sequence(table) else plan


def owner_of(name: QualifiedName | None, keyspace: str | None, vschema: VSchema) -> str | None:
    """The keyspace of a table; the one in use for what is none of the VSchema's (a view, a procedure)."""
    if name is None:
        return keyspace
    database, table = name
    if database is not None:
        routed = vschema.routed(database, table)
        return _database(database, keyspace, vschema) if routed is None else routed.keyspace
    if keyspace is None:
        return resolve_name(None, table, None, vschema).keyspace
    routed = vschema.routed(keyspace, table)
    return keyspace if routed is None else routed.keyspace


def _database(name: str | None, keyspace: str | None, vschema: VSchema) -> str | None:
    """A keyspace by its name; the one in use for the servers' own schemas. Raises UNKNOWN_KEYSPACE."""
    if name is None or name.lower() in SYSTEM_SCHEMAS:
        return keyspace
    if name not in vschema.keyspaces:
        raise UNKNOWN_KEYSPACE(name=name)
    return name

