"""From a statement's text to its plan: decides what kind of statement it is and asks the module that knows the kind.

``reads`` plans SELECT, UPDATE and DELETE, ``inserts`` INSERT and REPLACE, ``statements`` reads DDL. An unsharded
keyspace takes any statement as it is, so sqlglot is asked only where a sharded table may be concerned. Pure: no I/O,
and plans name no shards. It does not know statements that the session answers itself (``sql.statements``).
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from vgate.errors import (
    NO_DATABASE,
    NOT_A_SEQUENCE_TABLE,
    SYNTAX,
    UNKNOWN_KEYSPACE,
    UNREADABLE,
    UNSUPPORTED,
    VgateError,
)
from vgate.planner.catalog import Catalog, NeedTables
from vgate.planner.inserts import plan_insert
from vgate.planner.plan import Access, AnyShard, Const, EveryShard, NextValue, Pass, Plan, Planned, Refuse, Slot
from vgate.planner.reads import plan_sharded
from vgate.planner.references import references, resolve_name
from vgate.planner.statements import Ddl, Words, read_ddl, shown_database
from vgate.sql.lexer import LexMode
from vgate.sql.tree import Unparsed, parse
from vgate.vschema.model import TableName, TableType, VSchema
from vgate.vschema.names import SYSTEM_SCHEMAS

_QUERIES: Final = ("select", "with", "(", "table", "values", "update", "delete")
_VERB_NAMES: Final = """
    alter analyze backup begin binlog cache call change check checksum clone close commit deallocate declare delete
    delimiter do drop end execute fetch flush get grant handler import insert install kill load lock open optimize
    prepare purge release rename repair replace reset resignal restart return revoke rollback savepoint set shutdown
    signal start stop truncate uninstall unlock update use xa
"""
_VERBS: Final = frozenset(_VERB_NAMES.split())
"""First words of statements, besides those that are planned. Servers know no others, so others are syntax errors."""
_LOOKS: Final = ("show", "describe", "desc", "explain", "help", "checksum")


def plan(text: bytes, shape: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog) -> Planned | NeedTables:
    """The plan of a statement, or the tables to ask for first. Errors of the statement are plans too (``Refuse``).

    ``keyspace`` is the one in use, ``shape`` the statement's as ``sql.lexer`` splits it. Raises LexError.
    """
    try:
        return _plan(text, shape, mode, keyspace, catalog)
    except VgateError as error:
        return Planned(Refuse(error))


def _plan(text: bytes, shape: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog) -> Planned | NeedTables:
    vschema = catalog.vschema
    words = Words(shape, mode)
    verb = words.word()
    if verb in ("insert", "replace"):
        return plan_insert(text, shape, mode, keyspace, catalog)
    known = frozenset(vschema.keyspaces)
    current = vschema.keyspace(keyspace) if keyspace is not None else None
    mentioned = [name for name in words.databases(known) if name != keyspace]
    if current is not None and not current.sharded and not mentioned and verb not in _LOOKS:
        return Planned(Pass(current.name, access_of(verb, shape)))
    if verb in _QUERIES:
        return _query(text, mode, keyspace, catalog)
    ddl = read_ddl(words)
    if ddl is not None:
        return Planned(_ddl(ddl, keyspace, vschema))
    if verb in _LOOKS:
        return Planned(_look(Words(shape, mode), verb, keyspace, vschema))
    if verb not in _VERBS:
        raise syntax_error(text, text.lower().find(verb.encode("latin-1")))
    target = mentioned[0] if len(mentioned) == 1 and current is None else keyspace
    if target is None:
        raise NO_DATABASE()
    if not vschema.keyspace(target).sharded and not mentioned:
        return Planned(Pass(target, Access.WRITE))
    raise UNSUPPORTED(construct=f"{_construct(words)} on a sharded keyspace; aim at one shard (use `keyspace:shard`)")


def _construct(words: Words) -> str:
    words.at = 0
    return " ".join(filter(None, (words.word(ahead).upper() for ahead in range(2))))


def access_of(verb: str, shape: bytes) -> Access:
    """How a statement for an unsharded keyspace may be treated: only a plain SELECT may be tried again."""
    if verb not in ("select", "(", "with", "table", "values"):
        return Access.WRITE
    lower = shape.lower()
    locks = b" for update" in lower or b" for share" in lower or b"lock in share" in lower or b"into" in lower
    return Access.LOCK if locks or verb == "with" else Access.READ


# -- queries ------------------------------------------------------------------------------------------------------


def _query(text: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog) -> Planned | NeedTables:
    vschema = catalog.vschema
    try:
        tree = parse(text, mode)
    except Unparsed as error:
        raise UNREADABLE(reason=error) from None
    found = references(tree.root, keyspace, vschema)
    keyspaces = found.keyspaces
    if not keyspaces:
        return Planned(_no_tables(tree.root, keyspace, vschema))
    if found.system:
        raise UNSUPPORTED(construct="tables of the servers' own schemas together with others")
    if len(keyspaces) > 1:
        raise UNSUPPORTED(construct=f"tables of several keyspaces ({', '.join(keyspaces)}) in one statement")
    (name,) = keyspaces
    if vschema.keyspace(name).sharded:
        return plan_sharded(tree, found, catalog)
    access = Access.READ
    if isinstance(tree.root, exp.Update | exp.Delete):
        access = Access.WRITE
    elif b"into" in tree.words or any(select.args.get("locks") for select in tree.root.find_all(exp.Select)):
        access = Access.LOCK
    return Planned(Pass(name, access, tuple(dict.fromkeys(one.name for one in found.found))))


def _no_tables(root: exp.Expression, keyspace: str | None, vschema: VSchema) -> Plan:
    """A statement about no table, or the servers' own: any server can answer."""
    if isinstance(root, exp.Update | exp.Delete):
        raise UNSUPPORTED(construct="a write to a system table; aim at one shard (use `keyspace:shard`)")
    return _any(keyspace, vschema)


def _any(keyspace: str | None, vschema: VSchema) -> Plan:
    """Some server: one of the keyspace in use, else of an unsharded keyspace, else of any."""
    if keyspace is not None:
        return AnyShard(keyspace, Access.READ)
    order = sorted(vschema.keyspaces.values(), key=lambda one: one.sharded)
    return AnyShard(order[0].name, Access.READ)


# -- other statements -----------------------------------------------------------------------------------------------


def _ddl(ddl: Ddl, keyspace: str | None, vschema: VSchema) -> Plan:
    names: list[TableName] = []
    for qualifier, table in ddl.tables:
        owner = qualifier if qualifier is not None else keyspace
        if owner is None:
            names.append(resolve_name(None, table, None, vschema))
        else:
            names.append(TableName(vschema.keyspace(owner).name, table))
    owners = {name.keyspace for name in names} or ({keyspace} if keyspace is not None else set())
    if not owners:
        raise NO_DATABASE()
    if len(owners) > 1:
        raise UNSUPPORTED(construct=f"DDL over several keyspaces ({', '.join(sorted(map(str, owners)))})")
    (owner,) = owners
    assert owner is not None
    if not vschema.keyspace(owner).sharded:
        return Pass(owner, Access.WRITE, tuple(names))
    if ddl.refused:
        raise UNSUPPORTED(
            construct=f"{ddl.refused} on a sharded keyspace; aim at one shard after the other (use `keyspace:shard`)"
        )
    return EveryShard(owner, tuple(names))


def _look(words: Words, verb: str, keyspace: str | None, vschema: VSchema) -> Plan:
    """SHOW, DESCRIBE and EXPLAIN: what one server of the keyspace says."""
    named = shown_database(words, frozenset(vschema.keyspaces))
    if named is not None and named.lower() not in SYSTEM_SCHEMAS:
        if named not in vschema.keyspaces:
            raise UNKNOWN_KEYSPACE(name=named)
        keyspace = named
    sharded = keyspace is not None and vschema.keyspace(keyspace).sharded
    if sharded and verb == "checksum":
        raise UNSUPPORTED(construct="CHECKSUM TABLE on a sharded keyspace; aim at one shard (use `keyspace:shard`)")
    if sharded and verb == "explain" and words.word(1) == "analyze" and words.rest() & {"update", "delete", "insert"}:
        raise UNSUPPORTED(construct="EXPLAIN ANALYZE of a write on a sharded keyspace")
    if keyspace is None and verb == "show" and any(words.word(ahead) == "tables" for ahead in (1, 2, 3)):
        raise NO_DATABASE()
    if keyspace is not None and not sharded:
        return Pass(keyspace, Access.READ)
    return _any(keyspace, vschema)


# -- sequences ------------------------------------------------------------------------------------------------------


def plan_next(keyspace: str | None, sequence: str, count: Slot | Const, vschema: VSchema) -> NextValue | Refuse:
    """The plan of ``SELECT NEXT count VALUES FROM [keyspace.]sequence``."""
    try:
        name = _sequence(keyspace, sequence, vschema)
    except VgateError as error:
        return Refuse(error)
    return NextValue(name, count)


def _sequence(keyspace: str | None, sequence: str, vschema: VSchema) -> TableName:
    """A sequence by its name: in the keyspace if that has such a table, else by global lookup."""
    if keyspace is not None:
        table = vschema.keyspace(keyspace).tables.get(sequence)
        if table is not None and table.type is TableType.SEQUENCE:
            return table.name
        owners = [one for one in vschema.tables_named(sequence) if one.type is TableType.SEQUENCE]
        if table is None and len(owners) == 1:
            return owners[0].name
    else:
        owners = [one for one in vschema.tables_named(sequence) if one.type is TableType.SEQUENCE]
        if len(owners) == 1:
            return owners[0].name
    raise NOT_A_SEQUENCE_TABLE(name=sequence)


def syntax_error(text: bytes, offset: int, reason: str = "") -> VgateError:
    """MySQL's 1064 for text that stops making sense at byte ``offset``."""
    if reason:
        return UNSUPPORTED(construct=reason)
    near = text[offset : offset + 80].decode("utf-8", "replace")
    line = text.count(b"\n", 0, offset) + 1
    return SYNTAX(
        detail="check the manual that corresponds to your server version for the right syntax to use"
        f" near '{near}' at line {line}"
    )
