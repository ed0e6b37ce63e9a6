"""DDL: which tables a statement is about, and what of it must not go to every shard of a keyspace.

Every shard of a keyspace has the same tables, so DDL goes to all. Refused is what would give shards different tables
or rows (CREATE TABLE ... SELECT), what is not a table's (views, triggers, users), and what would leave rows on a shard
where they are no longer looked for: a changed sharding column, or a table that takes another's name and vindex.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from vgate.errors import NO_DATABASE, UNKNOWN_KEYSPACE, UNREADABLE, UNSUPPORTED
from vgate.planner.catalog import Catalog, NeedTables
from vgate.planner.columns import ColumnKind, ColumnType
from vgate.planner.plan import Access, EveryShard, Pass, Plan
from vgate.planner.references import resolve_name
from vgate.planner.statements import QualifiedName, Words
from vgate.vschema.model import Table, TableName, VSchema


@dataclass(frozen=True, slots=True)
class ChangedColumn:
    """A column whose definition a statement replaces or takes away. ``type``: the new one, '' if it is no integer."""

    name: str
    stays: bool
    type: str = ""


@dataclass(frozen=True, slots=True)
class Ddl:
    """A statement that changes definitions.

    ``refused``: the construct that cannot go to all shards. ``queries``: it also reads tables, by names that are not in
    ``tables``. ``database``: the one it creates, alters or drops. ``renames``: pairs of ``tables``, old and new name.
    ``converts``: it changes the character set of all columns.
    """

    tables: tuple[QualifiedName, ...]
    refused: str = ""
    queries: bool = False
    database: str | None = None
    renames: tuple[tuple[QualifiedName, QualifiedName], ...] = ()
    columns: tuple[ChangedColumn, ...] = ()
    converts: bool = False


_DDL: Final = ("create", "alter", "drop", "rename", "truncate")
_NAMELESS: Final = "DDL that names no table"
_FROM_QUERY: Final = "CREATE TABLE ... SELECT"
_QUERY_WORDS: Final = frozenset({"select", "table"})


# -- reading ------------------------------------------------------------------------------------------------------


def read_ddl(words: Words) -> Ddl | None:
    """What a DDL statement is about; None for a statement that is none."""
    verb = words.word()
    if verb not in _DDL or (verb, words.word(1)) == ("drop", "prepare"):
        return None
    words.at += 1
    if verb == "truncate":
        words.accept("table")
        return _of(words.names())
    if verb == "rename":
        return _renamed(words) if words.accept("table") or words.accept("tables") else _other(verb, words)
    if verb == "create":
        words.accept("or", "replace")
    temporary = words.accept("temporary")
    words.skip("online", "offline", "ignore")
    if words.accept("table") or (verb == "drop" and words.accept("tables")):
        return _table(verb, words, temporary=temporary)
    if words.accept("database") or words.accept("schema"):
        return _database(verb, words)
    return (_index(verb, words) if verb in ("create", "drop") else None) or _other(verb, words)


def _table(verb: str, words: Words, *, temporary: bool) -> Ddl:
    words.skip_existence()
    if verb == "drop":
        return _of(words.names(), "a temporary table" if temporary else "")
    name = words.name()
    if name is None:
        return Ddl((), _NAMELESS)
    return _altered(name, words) if verb == "alter" else _created(name, words, temporary=temporary)


def _created(name: QualifiedName, words: Words, *, temporary: bool) -> Ddl:
    refused = "a temporary table" if temporary else ""
    if words.word() == "like" or (words.word() == "(" and words.word(1) == "like"):
        words.skip("(", "like")
        other = words.name()
        return _of((name,) if other is None else (name, other), refused)
    if _queries(words):
        return Ddl((name,), refused or _FROM_QUERY, queries=True)
    if _own_sequence(words, range(words.at, words.at + len(words))):
        refused = refused or "a column whose default is a server's own sequence"
    return Ddl((name,), refused)


def _queries(words: Words) -> bool:
    """True if a query follows or takes the place of the definition. Its first word is no other part of a definition,
    but for VALUES, which partitions have too.
    """
    if _QUERY_WORDS & words.rest():
        return True
    ahead = range(len(words))
    return any(words.word(at) == "values" and words.word(at + 1) in ("(", "row") for at in ahead)


def _renamed(words: Words) -> Ddl:
    words.skip_existence()
    found: list[tuple[QualifiedName, QualifiedName]] = []
    while (name := words.name()) is not None:
        if words.accept("wait"):
            words.at += 1
        words.accept("nowait")
        other = words.name() if words.accept("to") else None
        if other is None:
            return Ddl((), _NAMELESS)
        found.append((name, other))
        if not words.accept(","):
            break
    return Ddl(tuple(name for pair in found for name in pair), "" if found else _NAMELESS, renames=tuple(found))


def _index(verb: str, words: Words) -> Ddl | None:
    """CREATE and DROP INDEX; None for others."""
    start = words.at
    words.skip("unique", "fulltext", "spatial", "vector")
    if not words.accept("index"):
        words.at = start
        return None
    words.skip_existence()
    words.name()
    if words.accept("using"):
        words.at += 1
    return _of(words.names()) if words.accept("on") else Ddl((), _NAMELESS)


def _database(verb: str, words: Words) -> Ddl:
    words.skip_existence()
    of_current = verb == "alter" and words.word() in _DATABASE_OPTIONS  # ALTER DATABASE CHARACTER SET ...
    return Ddl((), f"{verb.upper()} DATABASE", database=None if of_current else words.one_name())


_DATABASE_OPTIONS: Final = ("character", "charset", "collate", "comment", "default", "encryption", "read", "upgrade")


def _of(names: tuple[QualifiedName, ...], refused: str = "") -> Ddl:
    return Ddl(names, refused if names else _NAMELESS)


def _other(verb: str, words: Words) -> Ddl:
    """Views, triggers, procedures, users: they do not belong to a table that is sharded."""
    ahead = (words.word(position) for position in range(12))
    what = next((word for word in ahead if word in _OBJECTS), words.word() or "something")
    return Ddl((), f"{verb.upper()} {what.upper()}", queries=True)


_OBJECTS: Final = (
    "view", "trigger", "procedure", "function", "event", "user", "role", "server", "tablespace", "logfile", "sequence",
    "package", "instance", "resource",
)  # fmt: skip


# -- ALTER TABLE --------------------------------------------------------------------------------------------------

_NO_COLUMN: Final = (
    "primary", "index", "key", "foreign", "constraint", "check", "partition", "period", "system", "unique", "fulltext",
    "spatial",
)  # fmt: skip


_MOVES: Final = (("convert", "table"), ("convert", "partition"))


def _altered(name: QualifiedName, words: Words) -> Ddl:
    """The parts of an ALTER TABLE, one by one."""
    if words.accept("wait"):
        words.at += 1
    words.accept("nowait")
    names, columns = [name], []
    refused, renames, converts = "", [], False
    for part in _parts(words):
        words.at = part.start
        end = part.stop
        verb = words.word()
        words.at += 1
        if verb == "rename" and words.word() not in ("column", "index", "key"):
            words.skip("to", "as", "=")
            other = words.name()
            if other is not None:
                names.append(other)
                renames.append((name, other))
        elif verb in ("exchange", "import", "discard") or (verb, words.word()) in _MOVES:
            refused = "ALTER TABLE of tablespaces and partitions of other tables"
        elif verb == "convert":
            converts = True
        elif verb in ("drop", "change", "modify", "rename"):
            changed = _changed(verb, words, end)
            columns += [] if changed is None else [changed]
        if verb in ("add", "alter", "change", "modify") and _own_sequence(words, part):
            refused = "a column whose default is a server's own sequence"
    return Ddl(tuple(names), refused, renames=tuple(renames), columns=tuple(columns), converts=converts)


def _parts(words: Words) -> list[range]:
    """The places of the comma-separated parts."""
    start, depth = words.at, 0
    found: list[range] = []
    begin = start
    size = len(words)
    for ahead in range(size):
        word = words.word(ahead)
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            found.append(range(begin, start + ahead))
            begin = start + ahead + 1
    found.append(range(begin, start + size))
    return found


def _changed(verb: str, words: Words, end: int) -> ChangedColumn | None:
    """The column that DROP, CHANGE, MODIFY or RENAME COLUMN is about; None for keys and the like."""
    explicit = words.accept("column")
    words.skip_existence()
    if not explicit and verb == "drop" and words.word() in _NO_COLUMN:
        return None
    if verb == "rename" and not explicit:
        return None
    name = words.one_name()
    if name is None:
        return None
    new = words.one_name() if verb == "change" else name
    if verb in ("drop", "rename") or new is None or new.lower() != name.lower():
        return ChangedColumn(name.lower(), stays=False)
    definition = [words.word(ahead) for ahead in range(end - words.at)]
    plain = not {"as", "generated"} & set(definition)  # AUTO_INCREMENT is a sequence's business (``implicit``)
    return ChangedColumn(name.lower(), stays=True, type=" ".join(definition) if plain else "")


def _own_sequence(words: Words, part: range) -> bool:
    ahead = [words.word(position - words.at) for position in part]
    return ("nextval", "(") in pairwise(ahead) or ("value", "for") in pairwise(ahead)


# -- planning -----------------------------------------------------------------------------------------------------


def plan_ddl(ddl: Ddl, mentioned: list[str], keyspace: str | None, catalog: Catalog) -> Plan | NeedTables:
    """The plan of a DDL statement; ``mentioned`` are the keyspaces it names. Raises VgateError."""
    vschema = catalog.vschema
    for qualifier, table in ddl.tables:
        routed = vschema.routed(qualifier if qualifier is not None else keyspace, table)
        if routed is not None and routed.keyspace != (qualifier or keyspace):
            raise UNSUPPORTED(construct=f"DDL on {table}, which a routing rule sends elsewhere; write {routed}")
    names = [_full(qualifier, table, keyspace, vschema) for qualifier, table in ddl.tables]
    owner = _owner(ddl, names, mentioned, keyspace, vschema)
    others = [one for one in mentioned if one != owner]
    together = _together(ddl, owner, mentioned, keyspace, vschema)
    if together:
        assert keyspace is not None
        return Pass(keyspace, Access.WRITE, tuple(names), together)
    if others:
        raise UNSUPPORTED(construct=f"DDL over several keyspaces ({', '.join(sorted({owner, *others}))})")
    if ddl.queries and owner != keyspace and (keyspace is not None or ddl.tables):
        raise UNSUPPORTED(construct=f"{ddl.refused} for keyspace {owner}, which is not in use (use {owner})")
    if not vschema.keyspace(owner).sharded:
        return Pass(owner, Access.WRITE, tuple(names))
    if ddl.refused == _NAMELESS:  # most likely no server can read it either, and says so
        raise UNREADABLE(reason=_NAMELESS)
    if ddl.refused:
        raise UNSUPPORTED(
            construct=f"{ddl.refused} on a sharded keyspace; aim at one shard after the other (use `keyspace:shard`)"
        )
    _check_renames(ddl, keyspace, vschema)
    missing = _check_columns(ddl, names[0], catalog) if names else None
    return missing or EveryShard(owner, tuple(names))


def _full(qualifier: str | None, table: str, keyspace: str | None, vschema: VSchema) -> TableName:
    owner = qualifier if qualifier is not None else keyspace
    return resolve_name(None, table, None, vschema) if owner is None else TableName(vschema.keyspace(owner).name, table)


def _together(
    ddl: Ddl, owner: str, mentioned: list[str], keyspace: str | None, vschema: VSchema
) -> tuple[str, ...]:
    """The keyspaces besides the one in use that a CREATE TABLE ... SELECT is about, if one server has them all."""
    if not ddl.queries or ddl.refused != _FROM_QUERY or keyspace is None:
        return ()
    others = tuple(sorted({owner, *mentioned} - {keyspace}))
    return others if others and vschema.neighbours(keyspace).keys() >= set(others) else ()


def _owner(ddl: Ddl, names: list[TableName], mentioned: list[str], keyspace: str | None, vschema: VSchema) -> str:
    """The keyspace whose definitions change."""
    if ddl.database is not None and ddl.database != keyspace:
        if ddl.database in vschema.keyspaces:
            if keyspace is None or vschema.keyspace(ddl.database).sharded:
                return ddl.database
            raise UNSUPPORTED(construct=f"{ddl.refused} of another keyspace than the one in use")
        if keyspace is None:
            raise UNKNOWN_KEYSPACE(name=ddl.database)
    owners = sorted({name.keyspace for name in names})
    if len(owners) > 1:
        raise UNSUPPORTED(construct=f"DDL over several keyspaces ({', '.join(owners)})")
    if owners:
        return owners[0]
    if keyspace is not None:
        return keyspace
    if len(mentioned) == 1:
        return mentioned[0]
    raise NO_DATABASE()


def _check_renames(ddl: Ddl, keyspace: str | None, vschema: VSchema) -> None:
    """A table that takes a name of the VSchema is looked for by that name's vindex: its rows must lie by it already."""
    origins: dict[TableName, Table | None] = {}
    for old, new in ddl.renames:
        source, target = _full(*old, keyspace, vschema), _full(*new, keyspace, vschema)
        origins[target] = origins.pop(source) if source in origins else _listed(source, vschema)
    for name, origin in origins.items():
        listed = _listed(name, vschema)
        if listed is not None and (origin is None or origin.primary_vindex != listed.primary_vindex):
            raise UNSUPPORTED(
                construct=f"giving a table the name {name}, whose rows lie by another vindex in the VSchema;"
                " aim at one shard after the other (use `keyspace:shard`)"
            )


def _listed(name: TableName, vschema: VSchema) -> Table | None:
    return vschema.keyspace(name.keyspace).tables.get(name.table)


def _check_columns(ddl: Ddl, name: TableName, catalog: Catalog) -> NeedTables | None:
    """The sharding column must go on to place the rows that are there. Raises UNSUPPORTED."""
    table = _listed(name, catalog.vschema)
    primary = table.primary_vindex if table is not None else None
    if primary is None:
        return None
    changed = [column for column in ddl.columns if column.name == primary.columns[0]]
    if not changed and not ddl.converts:
        return None
    info = catalog.table(name)
    if info is None:
        return NeedTables((name,))
    column = info.column(primary.columns[0])
    if column is None:
        return None
    wrong = [one for one in changed if not (one.stays and _holds_as_much(one.type, column))]
    if wrong or (ddl.converts and column.kind is ColumnKind.TEXT):
        raise UNSUPPORTED(
            construct=f"ALTER TABLE of {name} that changes its sharding column {column.name}, by which its rows lie"
        )
    return None


_BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}


def _holds_as_much(definition: str, column: ColumnType) -> bool:
    """True if integers of a column stay what they are in another integer type."""
    bits = _BITS.get(re.split(r"\W", definition, maxsplit=1)[0], 0)
    unsigned = bool({"unsigned", "zerofill"} & set(definition.split()))
    return column.kind is ColumnKind.INTEGER and bits >= column.bits and unsigned == column.unsigned
