"""From a statement's text to its plan: decides what kind of statement it is and asks the module that knows the kind.

``reads`` plans SELECT, UPDATE and DELETE, ``inserts`` INSERT and REPLACE, ``ddl`` and ``looks`` what their names say.
An unsharded keyspace takes any statement as it is, so sqlglot is asked only where another keyspace may be concerned.
Pure: no I/O, and plans name no shards. It does not know statements that the session answers itself
(``sql.statements``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from sqlglot import exp

from vgate.errors import NO_DATABASE, NOT_A_SEQUENCE_TABLE, SYNTAX, UNREADABLE, UNSUPPORTED, WRONG_NEXT, VgateError
from vgate.planner.across import plan_across
from vgate.planner.catalog import Catalog, NeedTables
from vgate.planner.ddl import plan_ddl, read_ddl
from vgate.planner.flush import plan_flush
from vgate.planner.functions import foreign_function, sequence_function
from vgate.planner.implicit import owns_sequence, read_definition
from vgate.planner.inserts import plan_insert
from vgate.planner.looks import LOOKS, ask, explained, plan_explained, plan_look
from vgate.planner.maintenance import plan_maintenance
from vgate.planner.plan import (
    Access,
    Across,
    AnyShard,
    Const,
    EveryShard,
    NextValue,
    Pass,
    Plan,
    Planned,
    Refuse,
    Schemas,
    Slot,
    VindexRows,
)
from vgate.planner.reads import access_of_tree, plan_sharded
from vgate.planner.references import References, references, resolve_name
from vgate.planner.schemata import concerned, renamed, shows_counts
from vgate.planner.statements import Words, construct_of
from vgate.planner.together import plan_together
from vgate.planner.views import plan_view
from vgate.planner.vindex_functions import read_asked, table_asked, vindex_named
from vgate.sql.lexer import LexError, LexMode, lexer_for
from vgate.sql.rows import read_head
from vgate.sql.tree import Tree, Unparsed, parse
from vgate.vschema.model import TableName, TableType, VSchema
from vgate.vschema.names import SYSTEM_SCHEMAS

_QUERIES: Final = ("select", "with", "(", "table", "values", "update", "delete")
_VERB_NAMES: Final = """
    alter analyze backup begin binlog cache call change check checksum clone close commit deallocate declare delete
    delimiter do drop end execute fetch flush get grant handler import insert install load lock open optimize prepare
    purge release rename repair replace reset resignal restart return revoke rollback savepoint set shutdown signal
    start stop truncate uninstall unlock update use xa
"""
_VERBS: Final = frozenset(_VERB_NAMES.split())
"""First words of statements, besides those that are planned. Servers know no others, so others are syntax errors."""


def plan(text: bytes, shape: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog) -> Planned | NeedTables:
    """The plan of a statement, or the tables to ask for first. Errors of the statement are plans too (``Refuse``).

    ``keyspace`` is the one in use, ``shape`` the statement's as ``sql.lexer`` splits it. Raises LexError.
    """
    try:
        return _plan(text, shape, mode, keyspace, catalog)
    except VgateError as error:
        return Planned(Refuse(error))
    except RecursionError:
        return Planned(Refuse(UNSUPPORTED(construct="a statement that is nested this deeply")))


def _plan(text: bytes, shape: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog) -> Planned | NeedTables:
    vschema = catalog.vschema
    verb = _verb(shape, mode)
    if verb in ("insert", "replace"):
        return plan_insert(text, shape, mode, keyspace, catalog)
    if verb == "kill":
        raise UNSUPPORTED(construct="this form of KILL, as servers do not know vgate's connection ids")
    if verb in LOOKS:
        return _look(text, mode, keyspace, catalog)
    words = Words(shape, mode)
    if verb in _QUERIES and b"next" in shape.lower():
        _check_next(words, keyspace, vschema)
    if verb == "select" and (rows := _vindex_rows(text, words, mode, keyspace, vschema)) is not None:
        return Planned(rows)
    mentioned = [name for name in words.qualifiers(vschema.keyspaces) if name != keyspace]
    current = vschema.keyspace(keyspace) if keyspace is not None else None
    plain = not mentioned and not words.qualifiers(_SCHEMAS) and not _about_databases(words, verb)
    routed = current is not None and words.mentions(vschema.routed_names(current.name))
    if current is not None and not current.sharded and plain and not routed:
        return Planned(Pass(current.name, access_of(verb, shape)))
    if verb in _QUERIES:
        return _query(text, shape, mode, keyspace, catalog)
    view = plan_view(text, mode, keyspace, vschema)
    if view is not None:
        return Planned(view)
    ddl = read_ddl(words)
    if ddl is not None:
        planned = plan_ddl(ddl, mentioned, keyspace, catalog)
        if isinstance(planned, NeedTables):
            return planned
        if isinstance(planned, EveryShard):
            read_definition(text, mode, planned.keyspace, vschema)  # it raises what the keyspace's options refuse
        return Planned(planned)
    if verb not in _VERBS:
        raise syntax_error(text, text.lower().find(verb.encode("latin-1")))
    if routed:
        raise UNSUPPORTED(construct=f"{construct_of(words)} of a table that a routing rule sends elsewhere")
    maintenance = plan_maintenance(words, keyspace, vschema)
    if maintenance is not None:
        return Planned(maintenance)
    flush = plan_flush(words, mentioned, keyspace, vschema)
    if flush is not None:
        return Planned(flush)
    if verb == "do" and not mentioned:
        about_values = _do(text, mode, keyspace, vschema)
        if about_values is not None:
            return Planned(about_values)
    return Planned(_other(words, verb, mentioned, keyspace, vschema))


def _vindex_rows(text: bytes, words: Words, mode: LexMode, keyspace: str | None, vschema: VSchema) -> VindexRows | None:
    """The plan of a SELECT from a vindex; None for any other. Raises VINDEX_CONDITION."""
    name = table_asked(words)
    found = None if name is None else vindex_named(name, keyspace, vschema)
    if found is None:
        return None
    read_asked(text, mode)
    return VindexRows(found[0].name, found[1])


_SCHEMAS: Final = frozenset({*SYSTEM_SCHEMAS, *(name.upper() for name in SYSTEM_SCHEMAS)})


def _about_databases(words: Words, verb: str) -> bool:
    """True for CREATE, ALTER and DROP DATABASE, which names one without a dot after it."""
    what = words.word(3) if words.word(1) == "or" else words.word(1)
    return verb in ("create", "alter", "drop") and what in ("database", "schema")


def _verb(shape: bytes, mode: LexMode) -> str:
    """The first word; of a long INSERT nothing more is read."""
    token = next(lexer_for(mode).scan(shape), None)
    return "" if token is None else shape[token.start : token.end].decode("latin-1").lower()


def _do(text: bytes, mode: LexMode, keyspace: str | None, vschema: VSchema) -> Plan | None:
    """DO of expressions about no table: any server can evaluate them, as it would a SELECT's. None for any other."""
    verb = next(lexer_for(mode).scan(text))
    try:
        tree = parse(text[: verb.start] + b"select" + text[verb.end :], mode)
    except Unparsed as error:
        raise UNREADABLE(reason=_said(str(error))) from None
    found = references(tree.root, keyspace, vschema)
    return None if found.keyspaces or found.system else _no_tables(tree, keyspace, vschema)


def _other(words: Words, verb: str, mentioned: list[str], keyspace: str | None, vschema: VSchema) -> Plan:
    """What is neither a query nor DDL: the business of one server, so of an unsharded keyspace."""
    target = keyspace if keyspace is not None else mentioned[0] if len(mentioned) == 1 else None
    if verb == "call":  # the procedure's own keyspace, whatever is in use
        words.at = 1
        name = words.name()
        if name is not None and name[0] is not None and name[0].lower() not in SYSTEM_SCHEMAS:
            target = vschema.keyspace(name[0]).name
    if target is None:
        raise NO_DATABASE()
    if vschema.keyspace(target).sharded:
        construct = construct_of(words)
        raise UNSUPPORTED(construct=f"{construct} on a sharded keyspace; aim at one shard (use `keyspace:shard`)")
    others = [name for name in mentioned if name != target]
    if others:
        raise UNSUPPORTED(construct=f"{construct_of(words)} over several keyspaces ({', '.join([target, *others])})")
    return Pass(target, Access.WRITE)


def access_of(verb: str, shape: bytes) -> Access:
    """How a statement for an unsharded keyspace may be treated: only a plain SELECT may be tried again."""
    if verb in ("show", "describe", "desc", "help", "checksum"):
        return Access.READ
    if verb not in ("select", "(", "with", "table", "values"):
        return Access.WRITE
    lower = shape.lower()
    if b" for update" in lower or b" for share" in lower or b"lock in share" in lower or b"into" in lower:
        return Access.LOCK
    writes = verb == "with" and re.search(rb"\b(?:update|delete)\b", lower)
    return Access.WRITE if writes else Access.READ


# -- queries ------------------------------------------------------------------------------------------------------


def _query(text: bytes, shape: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog) -> Planned | NeedTables:
    vschema = catalog.vschema
    unsharded = keyspace is not None and not vschema.keyspace(keyspace).sharded
    words = Words(shape, mode)
    try:
        tree = parse(text, mode)
    except Unparsed as error:
        others = words.qualifiers(set(vschema.keyspaces) - {keyspace})
        if unsharded and keyspace is not None and not others and not words.mentions(vschema.routed_names(keyspace)):
            return Planned(Pass(keyspace, access_of(words.word(), shape)))
        raise UNREADABLE(reason=_unreadable(words) or _said(str(error))) from None
    found = references(tree.root, keyspace, vschema)
    return _of_tree(tree, found, words, mode, keyspace, catalog)


def _of_tree(
    tree: Tree, found: References, words: Words, mode: LexMode, keyspace: str | None, catalog: Catalog
) -> Planned | NeedTables:
    vschema = catalog.vschema
    owners = found.keyspaces
    if found.system:
        return _of_schemas(tree, owners, mode, keyspace, vschema)
    if not owners:
        return Planned(_no_tables(tree, keyspace, vschema))
    if len(owners) > 1:
        return _of_keyspaces(tree, found, keyspace, catalog)
    (name,) = owners
    if vschema.keyspace(name).sharded:
        ignore = isinstance(tree.root, exp.Update) and "ignore" in (words.word(1), words.word(2))
        return plan_sharded(tree, found, catalog, ignore=ignore)
    return Planned(Pass(name, access_of_tree(tree), tuple(dict.fromkeys(one.name for one in found.found))))


def _of_keyspaces(
    tree: Tree, found: References, keyspace: str | None, catalog: Catalog
) -> Planned | NeedTables:
    """A statement over tables of several keyspaces: asked where one server has them all, else gathered."""
    try:
        together = plan_together(tree, found, keyspace, catalog.vschema)
    except VgateError:
        return plan_across(tree, found, keyspace, catalog)
    try:
        across = plan_across(tree, found, keyspace, catalog)
    except VgateError:
        return Planned(together)
    apart = across.plan if isinstance(across, Planned) and isinstance(across.plan, Across) else None
    return Planned(replace(together, apart=apart))


_UNREADABLE: Final = (
    (("into",), "INTO"), (("procedure",), "PROCEDURE"), (("rows", "examined"), "LIMIT ROWS EXAMINED"),
    (("for", "portion"), "FOR PORTION OF"), (("next", "value"), "NEXT VALUE FOR"),
    (("previous", "value"), "PREVIOUS VALUE FOR"), (("default", "("), "DEFAULT()"), (("{",), "an escape in braces"),
    (("match",), "MATCH without parentheses"), (("\\n",), "NULL written as \\N"),
)  # fmt: skip


def _said(reason: str) -> str:
    """What sqlglot says, as far as it is about SQL."""
    if "recursion" in reason:
        return "it is nested too deeply"
    told = re.split(r" but got <|\. Line \d", reason)[0]
    return "grammar that is not known" if "<" in told or "Invalid expression" in told else told


def _unreadable(words: Words) -> str:
    """A part of the statement that sqlglot is known not to read."""
    for ahead in range(len(words)):
        for phrase, what in _UNREADABLE:
            if all(words.word(ahead + number) == word for number, word in enumerate(phrase)):
                return what
    return ""


def _check_next(words: Words, keyspace: str | None, vschema: VSchema) -> None:
    """Raises WRONG_NEXT where a subquery asks a sequence for values in Vitess's words, as Vitess does.

    A server would take these for a column called next, or for nothing it knows.
    """
    for at in range(1, len(words)):
        after = next((at + 2 + more for more in (1, 2) if words.word(at + 2 + more) == "from"), None)
        if after is None or (words.word(at), words.word(at + 1)) != ("select", "next"):
            continue
        words.at = after + 1
        name = words.name()
        words.at = 0
        full = None if name is None else resolve_name(*name, keyspace, vschema)
        table = None if full is None else vschema.keyspace(full.keyspace).tables.get(full.table)
        if table is not None and table.type is TableType.SEQUENCE:
            raise WRONG_NEXT()


def _no_tables(tree: Tree, keyspace: str | None, vschema: VSchema) -> Plan:
    """A statement about no table: any server can answer."""
    if isinstance(tree.root, exp.Update | exp.Delete):
        raise UNSUPPORTED(construct="a write to a common table expression")
    plan = ask(keyspace, vschema)
    if isinstance(plan, AnyShard):
        foreign = sequence_function(tree.words) or foreign_function(tree.words)
        if foreign and vschema.keyspace(plan.keyspace).sharded:
            raise UNSUPPORTED(construct=f"{foreign} on a sharded keyspace; aim at one shard (use `keyspace:shard`)")
        if b"into" in tree.words and keyspace is not None:
            raise UNSUPPORTED(construct="SELECT ... INTO on a sharded keyspace")
    return plan


def _of_schemas(tree: Tree, owners: list[str], mode: LexMode, keyspace: str | None, vschema: VSchema) -> Planned:
    """A statement about the servers' own schemas: of the keyspaces it names, or of all."""
    about = concerned(tree, keyspace, vschema, mode)
    named = list(dict.fromkeys([*owners, *about.keyspaces]))
    if owners:
        if len(named) == 1 and not vschema.keyspace(named[0]).sharded:
            return Planned(Pass(named[0], access_of_tree(tree)), about.slots)
        raise UNSUPPORTED(construct="tables of the servers' own schemas together with others")
    target = named[0] if named else keyspace
    if isinstance(tree.root, exp.Update | exp.Delete):
        if target is not None and not vschema.keyspace(target).sharded:
            return Planned(Pass(target, Access.WRITE), about.slots)
        raise UNSUPPORTED(construct="a write to a system table; aim at one shard (use `keyspace:shard`)")
    wanted = list(vschema.keyspaces) if about.all else named
    alone = about.server or about.strangers
    if alone and not wanted:
        wanted = [keyspace] if keyspace is not None else _unsharded_first(vschema)
    counted = any(table.name.lower() == "columns" for table in tree.root.find_all(exp.Table))
    shards = shows_counts(tree)
    if about.all or alone or len(wanted) > 1 or any(
        renamed(one, vschema) or (shards and vschema.keyspace(one).sharded)
        or (about.tables and not about.system and vschema.own_tables(one))
        or (counted and any(map(owns_sequence, vschema.keyspace(one).tables.values())))
        for one in wanted
    ):
        first = keyspace if keyspace in wanted else wanted[0]
        return Planned(Schemas((first, *(one for one in wanted if one != first))), about.slots)
    if target is not None and not vschema.keyspace(target).sharded:
        return Planned(Pass(target, access_of_tree(tree)), about.slots)
    return Planned(ask(target, vschema), about.slots)


def _unsharded_first(vschema: VSchema) -> list[str]:
    """The keyspaces, those first that ``ask`` would ask first."""
    return sorted(vschema.keyspaces, key=lambda name: vschema.keyspace(name).sharded)


# -- looks ----------------------------------------------------------------------------------------------------------


def _look(text: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog) -> Planned:
    vschema = catalog.vschema
    words = Words(text, mode)
    inner = explained(words) if words.word() in ("explain", "describe", "desc") else None
    if inner is None:
        return Planned(plan_look(words, keyspace, vschema))
    if inner.database is not None:
        keyspace = vschema.keyspace(inner.database).name
    owners = _owners(text[inner.start :], mode, keyspace, vschema)
    return Planned(plan_explained(inner, owners, keyspace, vschema))


def _owners(text: bytes, mode: LexMode, keyspace: str | None, vschema: VSchema) -> list[str]:
    """The keyspaces whose tables a statement is about; without a look at its tables where it cannot be read."""
    try:
        if _verb(text, mode) in ("insert", "replace"):
            name = read_head(text, mode).name
            database = name[0] if len(name) == 2 else None
            return [resolve_name(database, name[-1], keyspace, vschema).keyspace]
        return references(parse(text, mode).root, keyspace, vschema).keyspaces
    except (LexError, Unparsed):
        return Words(text, mode).qualifiers(vschema.keyspaces)


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
