"""The ``vindexes`` and ``tables`` of a keyspace, checked as Vitess checks them when it loads a VSchema.

Messages are Vitess's own where Vitess has one, so that they can be looked up. What Vitess does and vgate does not
do yet is refused here if going on without it could answer wrongly, and warned of if not.
This module does not know other keyspaces: a sequence's name is resolved by ``load``.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vgate.vindex.base import Vindex
from vgate.vindex.registry import VindexConfigError, make_vindex
from vgate.vschema.model import Column, ColumnVindex, Definition, Table, TableName, TableType
from vgate.vschema.names import check_cases, check_identifier
from vgate.yamlfile import (
    Map,
    Node,
    Pair,
    Report,
    Scalar,
    closest,
    fields,
    is_nothing,
    read_bool,
    read_list,
    read_map,
    read_text,
)

_TABLE_FIELDS = (
    "type", "column_vindexes", "auto_increment", "columns", "pinned", "column_list_authoritative", "source",
)
_COLUMN_FIELDS = ("name", "type", "invisible", "default", "collation_name", "size", "scale", "nullable", "values")
_COLUMN_TYPE_NAMES = """
    NULL_TYPE INT8 UINT8 INT16 UINT16 INT24 UINT24 INT32 UINT32 INT64 UINT64 FLOAT32 FLOAT64 DECIMAL BIT YEAR
    TIMESTAMP DATE TIME DATETIME CHAR VARCHAR TEXT BINARY VARBINARY BLOB ENUM SET JSON GEOMETRY VECTOR
    TUPLE EXPRESSION HEXNUM HEXVAL BITNUM RAW ROW_TUPLE
"""
_COLUMN_TYPES = frozenset(_COLUMN_TYPE_NAMES.split())


@dataclass(frozen=True, slots=True)
class TableDraft:
    """A table whose sequence is still only a name: the auto_increment column, and where the sequence is named."""

    table: Table
    line: int
    column: str = ""
    sequence: Scalar | None = None
    bumps: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """The keyspace that is being read."""

    keyspace: str
    sharded: bool


# -- vindexes -----------------------------------------------------------------------------------------------------


def read_vindexes(
    pair: Pair | None, keyspace: str, read_file: Callable[[str], str], report: Report
) -> dict[str, Vindex | None]:
    """The vindexes by name; None for one that is at fault, so that nobody calls it missing as well."""
    found: dict[str, Vindex | None] = {}
    if pair is None:
        return found
    for entry in read_map(pair.value, f"vindexes of keyspace {keyspace}", report).pairs:
        found[entry.key.text] = _vindex(entry, read_file, report)
    return found


def _vindex(entry: Pair, read_file: Callable[[str], str], report: Report) -> Vindex | None:
    name = entry.key.text
    what = f"vindex {name}"
    found = fields(read_map(entry.value, what, report), what, ("type", "params", "owner"), report)
    kind = read_text(found["type"].value, f"type of {what}", report) if "type" in found else None
    if not kind:
        if "type" in found and not isinstance(found["type"].value, Scalar):
            return None
        report.fault(entry.key.line, f"{what} has no type", f"Write e.g. {name}: {{type: hash}}.")
        return None
    params = _params(found.get("params"), what, report)
    try:
        vindex = make_vindex(name, kind, params, read_file=read_file)
    except VindexConfigError as error:
        report.fault(found["type"].key.line, f"{what}: {error}", _vindex_remedy(error))
        return None
    except (OSError, UnicodeDecodeError) as error:
        report.fault(found["type"].key.line, f"{what}: {error}", "Files are looked for beside the VSchema.")
        return None
    if "owner" in found and not is_nothing(found["owner"].value):
        report.warn(
            found["owner"].key.line, f"owner of {what} has no effect: only lookup vindexes are owned", "Remove it."
        )
    return vindex


def read_definitions(pair: Pair | None) -> dict[str, Definition]:
    """The vindexes as they are written; ``read_vindexes`` says what is wrong with them."""
    entries = pair.value.pairs if pair is not None and isinstance(pair.value, Map) else ()
    unheard = Report("")
    found: dict[str, Definition] = {}
    for entry in entries:
        written = fields(read_map(entry.value, "", unheard), "", ("type", "params", "owner"), unheard)
        texts = {name: read_text(written[name].value, "", unheard) or "" for name in written if name != "params"}
        params = _params(written.get("params"), "", unheard)
        found[entry.key.text] = Definition(texts.get("type", ""), params, texts.get("owner", ""))
    return found


def _vindex_remedy(error: VindexConfigError) -> str:
    remedy = getattr(error, "remedy", "")
    return remedy if isinstance(remedy, str) else ""


def _params(pair: Pair | None, what: str, report: Report) -> dict[str, str]:
    """Parameters as the text that was written: ``column_count: 3`` is the same as ``"3"``."""
    params: dict[str, str] = {}
    if pair is None:
        return params
    for entry in read_map(pair.value, f"params of {what}", report).pairs:
        text = read_text(entry.value, f"parameter {entry.key.text} of {what}", report)
        if text is not None:
            params[entry.key.text] = text
    return params


# -- tables -------------------------------------------------------------------------------------------------------


def read_tables(
    pair: Pair | None, place: Place, vindexes: Mapping[str, Vindex | None], report: Report
) -> dict[str, TableDraft]:
    """The tables by name. A table at fault is still there, so that references to it are not reported too."""
    if pair is None:
        return {}
    entries = read_map(pair.value, f"tables of keyspace {place.keyspace}", report).pairs
    check_cases((entry.key for entry in entries), "table", report)
    return {entry.key.text: _table(entry, place, vindexes, report) for entry in entries}


def _table(entry: Pair, place: Place, vindexes: Mapping[str, Vindex | None], report: Report) -> TableDraft:
    check_identifier(entry.key, "table", report)
    name = TableName(place.keyspace, entry.key.text)
    what = f"table {name}"
    found = fields(read_map(entry.value, what, report), what, _TABLE_FIELDS, report)
    kind = _type(found.get("type"), what, report)
    pinned = _pinned(found.get("pinned"), name, place, report)
    _source(found.get("source"), kind, name, report)
    column_vindexes = _column_vindexes(found.get("column_vindexes"), name, place, vindexes, report)
    if kind is TableType.REFERENCE and place.sharded and column_vindexes:
        report.fault(
            found["column_vindexes"].key.line, f"reference table {name} has column_vindexes, but it is on every shard",
            "Remove them, or the type.",
        )
    if kind is TableType.REFERENCE and not place.sharded:
        kind = TableType.TABLE  # there is one copy
    if place.sharded and pinned is None:
        _check_placed(entry.key, kind, name, "column_vindexes" in found, column_vindexes, report)
    column, sequence, bumps = _auto_increment(found.get("auto_increment"), what, report)
    table = Table(
        name=name,
        type=kind or TableType.TABLE,
        column_vindexes=column_vindexes if place.sharded else (),
        columns=_columns(found.get("columns"), name, report),
        column_list_authoritative=_authoritative(found, what, report),
        pinned=pinned,
    )
    return TableDraft(table, entry.key.line, column, sequence, bumps)


def _type(pair: Pair | None, what: str, report: Report) -> TableType | None:
    """The table's type, None after a fault."""
    text = None if pair is None else read_text(pair.value, f"type of {what}", report)
    if pair is None or text is None:
        return TableType.TABLE
    try:
        return TableType(text)
    except ValueError:
        remedy = closest(text, ("sequence", "reference"))
        report.fault(pair.key.line, f"unidentified table type {text} ({what})", remedy)
        return None


def _pinned(pair: Pair | None, name: TableName, place: Place, report: Report) -> bytes | None:
    text = None if pair is None else read_text(pair.value, f"pinned of table {name}", report)
    if pair is None or not text:
        return None
    try:
        pin = binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        report.fault(
            pair.key.line, f"could not decode the keyspace id for pin: {text!r} (table {name})",
            "Write the keyspace id in hexadecimal, e.g. '00'.",
        )
        return b""
    if place.sharded:
        report.fault(
            pair.key.line, f"table {name}: pinned tables are not supported yet",
            "Move the table to an unsharded keyspace.",
        )
    else:
        report.warn(pair.key.line, f"pinned has no effect in an unsharded keyspace (table {name})", "Remove it.")
    return pin


def _source(pair: Pair | None, kind: TableType | None, name: TableName, report: Report) -> None:
    if pair is not None and not is_nothing(pair.value) and kind is not None:
        if kind is TableType.REFERENCE:
            report.fault(
                pair.key.line, f"the source of reference table {name} is not supported: nothing copies it",
                "Remove it: vgate writes a reference table on every shard of its keyspace.",
            )
            return
        report.fault(
            pair.key.line, f"table {name} has a source, which only reference tables have", "Remove it.",
        )


def _check_placed(
    key: Scalar, kind: TableType | None, name: TableName, written: bool, vindexes: tuple[ColumnVindex, ...],
    report: Report,
) -> None:
    """In a sharded keyspace a row must have a place."""
    if kind is TableType.SEQUENCE:
        report.fault(
            key.line, f"sequence table has to be in an unsharded keyspace or must be pinned: {name}",
            "Move it to a keyspace with sharded: false.",
        )
    elif kind is TableType.TABLE and not vindexes and not written:
        report.fault(
            key.line, f"missing primary col vindex for table: {name}",
            "Add column_vindexes: [{column: COLUMN, name: VINDEX}].",
        )


def _column_vindexes(
    pair: Pair | None, name: TableName, place: Place, vindexes: Mapping[str, Vindex | None], report: Report
) -> tuple[ColumnVindex, ...]:
    if pair is None:
        return ()
    items = read_list(pair.value, f"column_vindexes of table {name}", report)
    if not place.sharded:
        if items:
            report.warn(
                pair.key.line, f"column_vindexes of table {name} have no effect: keyspace {place.keyspace} is not"
                " sharded", "Say sharded: true, or remove them.",
            )
    elif not items and is_nothing(pair.value):
        report.fault(
            pair.key.line, f"missing primary col vindex for table: {name}", "Name a column and its vindex."
        )
    found: list[ColumnVindex] = []
    for position, item in enumerate(items):
        read = _column_vindex(item, position == 0, name, vindexes, report)
        if read is not None:
            found.append(read)
    return tuple(found)


def _column_vindex(
    item: Node, primary: bool, table: TableName, vindexes: Mapping[str, Vindex | None], report: Report
) -> ColumnVindex | None:
    what = f"column_vindexes of table {table}"
    entry = read_map(item, f"an entry of {what}", report)
    if not isinstance(item, Map):
        return None
    found = fields(entry, what, ("column", "columns", "name"), report)
    named = None if "name" not in found else read_text(found["name"].value, f"name in {what}", report)
    line = found["name"].key.line if "name" in found else item.line
    columns = _vindex_columns(found, item.line, named or "", table, report)
    if named is None:
        report.fault(item.line, f"an entry of {what} has no name", "Add name: VINDEX, one of the keyspace's vindexes.")
        return None
    if named not in vindexes:
        report.fault(line, f"vindex {named} not found for table {table}", _vindex_suggestion(named, vindexes))
        return None
    vindex = vindexes[named]
    if vindex is None or not columns:
        return None
    if primary and not vindex.unique:
        report.fault(
            line, f"primary vindex {named} is not Unique for table {table}", "Put a unique vindex such as hash first."
        )
    if not primary:
        report.warn(
            line, f"vindex {named} on {', '.join(columns)} of table {table} is not used yet: rows are placed and found"
            " by the first vindex alone", "Statements with a condition on that column alone go to every shard.",
        )
    return ColumnVindex(columns, vindex)


def _vindex_suggestion(name: str, vindexes: Iterable[str]) -> str:
    return closest(name, vindexes) or f"Add it to the keyspace: vindexes: {{{name}: {{type: hash}}}}."


def _vindex_columns(
    found: Mapping[str, Pair], line: int, vindex: str, table: TableName, report: Report
) -> tuple[str, ...]:
    """The columns in lower case, () after a fault."""
    single = "column" in found and not is_nothing(found["column"].value)
    several = "columns" in found and not is_nothing(found["columns"].value)
    if single and several:
        report.fault(
            line, f"can't use column and columns at the same time in vindex ({vindex}) and table ({table})",
            "Keep one of them.",
        )
        return ()
    items: tuple[Node, ...] = ()
    if single:
        items = (found["column"].value,)
    elif several:
        items = read_list(found["columns"].value, f"columns of vindex {vindex} of table {table}", report)
    else:
        report.fault(
            line, f"must specify at least one column for vindex ({vindex}) and table ({table})", "Add column: NAME."
        )
    if len(items) > 1:
        report.fault(
            line, f"table {table}: vindexes over several columns are not supported yet (vindex {vindex})",
            "Choose one column that is in every row and most queries.",
        )
        return ()
    texts = [read_text(item, f"a column of vindex {vindex} of table {table}", report) for item in items]
    return tuple(text.lower() for text in texts if text)


def _auto_increment(pair: Pair | None, what: str, report: Report) -> tuple[str, Scalar | None, bool]:
    """The column in lower case, where its sequence is named, and whether given values move that on (``bump``)."""
    if pair is None or is_nothing(pair.value):
        return "", None, True
    where = f"auto_increment of {what}"
    entry = read_map(pair.value, where, report)
    if not isinstance(pair.value, Map):
        return "", None, True
    found = fields(entry, where, ("column", "sequence", "bump"), report)
    bumps = "bump" not in found or read_bool(found["bump"].value, f"bump of {where}", report, default=True)
    column = read_text(found["column"].value, f"column of {where}", report) if "column" in found else None
    sequence = found["sequence"].value if "sequence" in found else None
    if not column:
        report.fault(pair.key.line, f"{where} has no column", "Write auto_increment: {column: ID, sequence: KS.TABLE}.")
    if sequence is None or read_text(sequence, f"sequence of {where}", report) is None:
        report.fault(
            pair.key.line, f"{where} has no sequence", "Write auto_increment: {column: ID, sequence: KS.TABLE}."
        )
    if column and isinstance(sequence, Scalar) and not sequence.empty:
        return column.lower(), sequence, bumps
    return "", None, True


def _columns(pair: Pair | None, table: TableName, report: Report) -> tuple[Column, ...]:
    found: dict[str, Column] = {}
    if pair is None:
        return ()
    for item in read_list(pair.value, f"columns of table {table}", report):
        column, line = _column(item, table, report)
        if column is None:
            continue
        if column.name in found:
            report.fault(line, f"duplicate column name '{column.name}' for table: {table}", "Remove one.")
        found[column.name] = column
    return tuple(found.values())


def _column(item: Node, table: TableName, report: Report) -> tuple[Column | None, int]:
    what = f"a column of table {table}"
    found = fields(read_map(item, what, report), what, _COLUMN_FIELDS, report)

    def text(name: str) -> str:
        return (read_text(found[name].value, f"{name} of {what}", report) or "") if name in found else ""

    name = text("name")
    if not name:
        if isinstance(item, Map):
            report.fault(item.line, f"{what} has no name", "Write columns: [{name: ID, type: INT64}].")
        return None, item.line
    kind = text("type").upper()
    if kind and kind not in _COLUMN_TYPES:
        report.fault(
            found["type"].key.line, f"{what}, {name}, has an unknown type {kind}",
            closest(kind, sorted(_COLUMN_TYPES)) or "Use Vitess's names, e.g. INT64, VARCHAR, DECIMAL.",
        )
    return Column(name.lower(), kind, text("collation_name")), found["name"].key.line


def _authoritative(found: Mapping[str, Pair], what: str, report: Report) -> bool:
    pair = found.get("column_list_authoritative")
    if pair is None:
        return False
    flag = read_bool(pair.value, f"column_list_authoritative of {what}", report)
    if flag and ("columns" not in found or is_nothing(found["columns"].value)):
        report.fault(
            pair.key.line, f"{what} has column_list_authoritative but no columns",
            "List the columns, or remove it: vgate asks the servers.",
        )
    return flag
