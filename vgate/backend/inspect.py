"""A look at the live servers of a VSchema: do they hold what it says, and do the shards of a keyspace agree?

Every shard is asked what it is and what tables it has; shards are compared with each other, tables with the VSchema,
and ``promises`` judges the definitions. A shard that cannot be reached is a finding, not an end.
This module does not know connections: it asks through ports. It changes nothing, and reads no rows but those of
sequences and the highest ids.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from vgate.backend.promises import Finding, ForeignKey, Severity, judge
from vgate.backend.schema import Ask, Cells, read_table
from vgate.errors import ConfigError, SqlError
from vgate.planner.columns import ColumnKind, TableInfo
from vgate.vschema.model import Keyspace, Table, TableName, TableType, VSchema

AskFor = Callable[[str, int], Ask]
"""The port to a shard: keyspace, and index of the shard in key order."""

_FACTS = """
select version(), @@global.time_zone, @@system_time_zone, @@character_set_server, @@collation_server,
 @@character_set_database, @@collation_database, @@global.sql_mode, @@lower_case_table_names, database()
"""
_TABLES = """
select TABLE_NAME from information_schema.TABLES
where TABLE_SCHEMA = database() and TABLE_TYPE in ('BASE TABLE', 'SYSTEM VERSIONED') order by TABLE_NAME
"""
_OWN, _NAMED = "vgate_sequence", "vt_sequence"
_FOREIGN_KEYS = """
select TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME,
 if(REFERENCED_TABLE_SCHEMA = TABLE_SCHEMA, '', REFERENCED_TABLE_SCHEMA), REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
from information_schema.KEY_COLUMN_USAGE where TABLE_SCHEMA = database() and REFERENCED_TABLE_NAME is not null
order by TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION
"""


async def inspect(vschema: VSchema, ask_for: AskFor) -> list[Finding]:
    """Everything about the servers that the VSchema's user should know, faults first."""
    views = await asyncio.gather(*(_look(keyspace, ask_for) for keyspace in vschema.keyspaces.values()))
    findings = [finding for view in views for finding in view.findings]
    for view in views:
        findings += compare_servers(view)
        findings += compare_tables(view)
        findings += await _tables(view, ask_for)
    findings += await _sequences(vschema, {view.keyspace.name: view for view in views}, ask_for)
    return sorted(findings, key=lambda finding: finding.severity is not Severity.FAULT)


# -- what there is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of itself."""

    flavour: str
    version: str
    time_zone: str
    charset: str
    collation: str
    sql_mode: str
    lower_case_table_names: str
    database: str


@dataclass(frozen=True, slots=True)
class ShardView:
    """What one shard has: each table's definition, normalised so that equal tables have equal text."""

    index: int
    name: str
    facts: Facts
    tables: Mapping[str, str]
    foreign_keys: Mapping[str, tuple[ForeignKey, ...]]


@dataclass(slots=True)
class KeyspaceView:
    """The shards of a keyspace that answered, and what was found on the way."""

    keyspace: Keyspace
    shards: list[ShardView] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


async def _look(keyspace: Keyspace, ask_for: AskFor) -> KeyspaceView:
    view = KeyspaceView(keyspace)
    answers = await asyncio.gather(*(_look_at(keyspace, index, ask_for) for index in range(len(keyspace.shards))))
    for index, answer in enumerate(answers):
        if isinstance(answer, ShardView):
            view.shards.append(answer)
        else:
            where = f"{keyspace.name}/{keyspace.shards[index].name}"
            view.findings.append(Finding(where, answer, "Check the address, the user and the server.", Severity.FAULT))
    return view


async def _look_at(keyspace: Keyspace, index: int, ask_for: AskFor) -> ShardView | str:
    """The shard, or why it cannot be looked at."""
    try:
        ask = ask_for(keyspace.name, index)
        facts = _facts((await ask(_FACTS))[0])
        tables = [_text(name) for (name,) in await ask(_TABLES)]
        definitions = {table: normalised(_text((await ask(f"show create table {quoted(table)}"))[0][1]))
                       for table in tables}
        keys = _foreign_keys(await ask(_FOREIGN_KEYS))
    except SqlError as error:
        return error.message
    except ConfigError as error:
        return str(error)
    return ShardView(index, keyspace.shards[index].name, facts, definitions, keys)


def _text(cell: bytes | None) -> str:
    return "" if cell is None else cell.decode("utf-8")


def quoted(name: str) -> str:
    """A name in backquotes."""
    return "`" + name.replace("`", "``") + "`"


def _facts(cells: Cells) -> Facts:
    version, zone, system_zone, charset, collation, db_charset, db_collation, mode, case, database = map(_text, cells)
    return Facts(
        flavour="MariaDB" if "mariadb" in version.lower() else "MySQL",
        version=".".join(re.findall(r"\d+", version)[:2]),
        time_zone=system_zone if zone == "SYSTEM" else zone,
        charset=f"{charset}, database {db_charset}",
        collation=f"{collation}, database {db_collation}",
        sql_mode=",".join(sorted(mode.split(","))),
        lower_case_table_names=case,
        database=database,
    )


def _foreign_keys(rows: Iterable[Cells]) -> dict[str, tuple[ForeignKey, ...]]:
    found: dict[str, tuple[ForeignKey, ...]] = {}
    for (table, name, schema, parent), group in groupby(rows, key=lambda row: (row[0], row[1], row[3], row[4])):
        parts = list(group)
        key = ForeignKey(
            name=_text(name),
            columns=tuple(_text(part[2]).lower() for part in parts),
            schema=_text(schema),
            table=_text(parent),
            referenced=tuple(_text(part[5]).lower() for part in parts),
        )
        found[_text(table)] = (*found.get(_text(table), ()), key)
    return found


def normalised(definition: str) -> str:
    """SHOW CREATE TABLE without what may differ between equal tables: the counter among the table's options."""
    lines = definition.split("\n")
    return "\n".join(re.sub(r" AUTO_INCREMENT=\d+", "", line, count=1) if line.startswith(")") else line
                     for line in lines)


# -- shards among each other --------------------------------------------------------------------------------------

_ALIKE = {
    "flavour": ("flavour", "Run one kind of server in a keyspace: they differ in SQL and in types."),
    "version": ("version", "Run one version in a keyspace."),
    "charset": ("default character set", "Set character_set_server, and alter database, to one value on all shards."),
    "collation": ("default collation", "Set collation_server, and alter database, to one value on all shards."),
    "time_zone": ("time zone", "Set default_time_zone to one value on all shards, best +00:00."),
    "sql_mode": ("sql_mode", "Set sql_mode to one value on all shards."),
    "lower_case_table_names": ("lower_case_table_names", "Set it to one value on all shards."),
}


def compare_servers(view: KeyspaceView) -> Iterator[Finding]:
    """What the servers of a keyspace must have in common."""
    for attribute, (label, remedy) in _ALIKE.items():
        values = {shard.name: str(getattr(shard.facts, attribute)) for shard in view.shards}
        if len(set(values.values())) > 1:
            yield Finding(f"keyspace {view.keyspace.name}", f"shards differ in {label}: {_who_has(values)}", remedy)


def _who_has(values: Mapping[str, str]) -> str:
    """``-40 and 40-80 have utf8mb4, 80- has latin1``."""
    groups: dict[str, list[str]] = {}
    for shard, value in values.items():
        groups.setdefault(value, []).append(shard)
    return ", ".join(
        f"{_some(shards)} {'has' if len(shards) == 1 else 'have'} {value or 'none'}"
        for value, shards in groups.items()
    )


def _some(names: list[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def compare_tables(view: KeyspaceView) -> Iterator[Finding]:
    """Every table on every shard, and the same everywhere."""
    keyspace, shards = view.keyspace, view.shards
    everywhere = dict.fromkeys(table for shard in shards for table in shard.tables)
    for table in everywhere:
        where = f"{keyspace.name}.{table}"
        missing = [shard.name for shard in shards if table not in shard.tables]
        if missing:
            yield Finding(
                where, f"the table is missing on {_some(missing)}", "Create it there as it is on the others.",
                Severity.FAULT,
            )
        if len({shard.facts.flavour for shard in shards}) == 1:
            yield from _compare_definitions(where, [shard for shard in shards if table in shard.tables], table)
        if keyspace.sharded and table not in keyspace.tables:
            yield Finding(
                where, "the table is not in the VSchema, so statements that name it are refused",
                "Add it with its column_vindexes.",
            )
    if not shards:
        return
    for table in keyspace.tables:
        if table not in everywhere and keyspace.tables[table].type is TableType.TABLE:
            yield Finding(
                f"{keyspace.name}.{table}", "the table is in the VSchema but on no server",
                "Create it, or remove it from the VSchema.",
            )


def _compare_definitions(where: str, shards: list[ShardView], table: str) -> Iterator[Finding]:
    first = shards[0]
    for shard in shards[1:]:
        mine, theirs = shard.tables[table], first.tables[table]
        if mine != theirs:
            yield Finding(
                where, f"the definition differs between shards: {_difference(first.name, theirs, shard.name, mine)}",
                "Alter one of them: rows and types must not depend on the shard.", Severity.FAULT,
            )


def _difference(first: str, left: str, second: str, right: str) -> str:
    """The first line that one has and the other has not."""
    lines = {first: [line.strip().rstrip(",") for line in left.split("\n")],
             second: [line.strip().rstrip(",") for line in right.split("\n")]}
    only = [
        f"only {mine} has {line!r}"
        for mine, other in ((first, second), (second, first))
        for line in lines[mine] if line not in lines[other]
    ]
    return " and ".join(only[:1] + [text for text in only if text.startswith(f"only {second} ")][:1]) or (
        f"the order of {first} is not that of {second}"
    )


# -- tables against the VSchema -----------------------------------------------------------------------------------


async def _tables(view: KeyspaceView, ask_for: AskFor) -> list[Finding]:
    """The rules of ``promises`` for every table of a sharded keyspace, as its first shard has it."""
    findings: list[Finding] = []
    for name, table in view.keyspace.tables.items():
        shard = next((shard for shard in view.shards if name in shard.tables), None)
        if not view.keyspace.sharded or shard is None:
            continue
        try:
            info = await read_table(ask_for(view.keyspace.name, shard.index), shard.facts.database, table.name)
        except SqlError as error:
            findings.append(_unreadable(str(table.name), error))
            continue
        if info is not None:
            findings += judge(view.keyspace, table, info, shard.foreign_keys.get(name, ()))
    return findings


def _unreadable(where: str, error: SqlError) -> Finding:
    return Finding(where, f"it cannot be looked at: {error.message}", "Check the user's rights.", Severity.FAULT)


# -- sequences ----------------------------------------------------------------------------------------------------


async def _sequences(vschema: VSchema, views: Mapping[str, KeyspaceView], ask_for: AskFor) -> list[Finding]:
    findings: list[Finding] = []
    try:
        kept = {name for view in views.values() for name in await _without_tables(view, ask_for)}
    except SqlError as error:
        return [_unreadable("sequences", error)]
    for view in views.values():
        for table in view.keyspace.tables.values():
            if table.type is not TableType.SEQUENCE or not view.shards or _key(table.name) in kept:
                continue
            users = [each for keyspace in vschema.keyspaces.values() for each in keyspace.tables.values()
                     if each.auto_increment is not None and each.auto_increment.sequence == table.name]
            try:
                highest = {user.name: await _highest(user, views[user.name.keyspace], ask_for) for user in users}
                findings += await _sequence(view, table.name, highest, ask_for)
            except SqlError as error:
                findings.append(_unreadable(str(table.name), error))
    return findings


async def _without_tables(view: KeyspaceView, ask_for: AskFor) -> set[TableName]:
    """Sequences that need no table: vgate's own, if this is where it keeps them, and named rows."""
    if view.keyspace.sharded or not view.shards:
        return set()
    name, tables = view.keyspace.name, view.shards[0].tables
    ask = ask_for(name, view.shards[0].index)
    own = await ask(f"select schema_name, seq_key from {_OWN}") if _OWN in tables else []
    named = await ask(f"select name from {_NAMED}") if _NAMED in tables else []
    return {TableName(_text(keyspace), _text(key)) for keyspace, key in own} | {
        _key(TableName(name, _text(key))) for (key,) in named
    }


def _key(name: TableName) -> TableName:
    return TableName(name.keyspace, name.table.lower())


async def _highest(user: Table, view: KeyspaceView, ask_for: AskFor) -> int:
    """The highest id in a table that a sequence fills, 0 if there is none or it would cost more than a look."""
    column = user.auto_increment.column if user.auto_increment is not None else ""
    highest = 0
    for shard in view.shards:
        ask = ask_for(user.name.keyspace, shard.index)
        info = None
        if user.name.table in shard.tables:
            info = await read_table(ask, shard.facts.database, user.name)
        if info is not None and _is_indexed_integer(info, column):
            (cells,) = await ask(f"select max({quoted(column)}) from {quoted(user.name.table)}")
            highest = max(highest, int(cells[0] or 0))
    return highest


def _is_indexed_integer(info: TableInfo, column: str) -> bool:
    """True where the highest value costs one look into an index."""
    known = info.column(column)
    if known is None or known.kind is not ColumnKind.INTEGER:
        return False
    return any(key.columns[0] == column for key in info.unique_keys)


async def _sequence(
    view: KeyspaceView, name: TableName, highest: Mapping[TableName, int], ask_for: AskFor
) -> list[Finding]:
    where, table, shard = str(name), quoted(name.table), view.shards[0]
    ask = ask_for(name.keyspace, shard.index)
    info = await read_table(ask, shard.facts.database, name)
    if info is None:
        remedy = (
            f"create table {table} (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'; "
            f"insert into {table} (id, next_id, cache) values (0, 1, 1000)."
        )
        return [Finding(where, "the sequence table does not exist", remedy, Severity.FAULT)]
    findings = list(_sequence_definition(where, table, info))
    if not any(finding.severity is Severity.FAULT for finding in findings):
        rows = await ask(f"select next_id, cache from {table} where id = 0")
        findings += _sequence_row(where, table, rows, highest)
    return findings


def _sequence_definition(where: str, table: str, info: TableInfo) -> Iterator[Finding]:
    missing = [name for name in ("id", "next_id", "cache") if info.column(name) is None]
    if missing:
        yield Finding(
            where, f"the sequence table lacks {' and '.join(missing)}", "It needs id, next_id and cache, all bigint.",
            Severity.FAULT,
        )
    if "vitess_sequence" not in info.comment:
        yield Finding(
            where, "the table lacks the comment 'vitess_sequence', by which Vitess knows sequences",
            f"alter table {table} comment 'vitess_sequence'.",
        )
    for name in ("next_id", "cache"):
        column = info.column(name)
        if column is not None and (column.kind is not ColumnKind.INTEGER or column.bits != 64 or column.unsigned):
            remedy = f"alter table {table} modify {name} bigint."
            yield Finding(where, f"column {name} is {column.sql}, not a signed bigint", remedy)


def _sequence_row(
    where: str, table: str, rows: list[Cells], highest: Mapping[TableName, int]
) -> Iterator[Finding]:
    """``highest`` was read before the row: ids given out in between cannot look like a sequence that is behind."""
    if len(rows) != 1:
        remedy = f"insert into {table} (id, next_id, cache) values (0, 1, 1000)."
        if rows:
            remedy = "Keep one of them: make id the primary key."
        yield Finding(where, f"the sequence has {len(rows) or 'no'} rows with id 0", remedy, Severity.FAULT)
        return
    next_id, cache = rows[0]
    if next_id is None:
        remedy = f"update {table} set next_id = 1 where id = 0."
        yield Finding(where, "next_id is NULL", remedy, Severity.FAULT)
        return
    if int(cache or 0) < 1:
        remedy = f"update {table} set cache = 1000 where id = 0."
        yield Finding(where, f"cache is {_text(cache) or 'NULL'}, not 1 or more", remedy, Severity.FAULT)
    for name, top in highest.items():
        if top >= int(next_id):  # ids given by hand do not move a sequence on
            yield Finding(
                where, f"next_id is {int(next_id)}, but {name} has a row with id {top}: inserts will meet duplicate"
                " keys", f"update {table} set next_id = {top + 1} where id = 0.",
            )
