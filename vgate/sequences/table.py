"""The tables that vgate keeps its own sequences in, as SQL: what is written, and what a row that was read means.

``vgate_sequence`` has a row for each sequence, ``vgate_node`` one for each node id that was ever leased for TIME
sequences. Both are made in the metadata keyspace on demand. Texts are written as hexadecimal, so that they read the
same in every sql_mode. It does not know connections.

The block and value statements are single UPDATEs that answer by LAST_INSERT_ID(expr), so a value exists for nobody
before it is committed; each names the ``epoch`` it was made for, so that none is taken by a definition that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vgate.errors import BUG
from vgate.sequences.definition import MAXIMUM, Definition, Kind
from vgate.vschema.model import TableName
from vgate.vschema.names import OWN_SEQUENCE, OWN_TABLES

SEQUENCES, NODES = OWN_TABLES
_TEXT: Final = "character set utf8mb4 collate utf8mb4_bin not null"

CREATE_SEQUENCES: Final = f"""
create table if not exists {SEQUENCES} (
  schema_name varchar(64) {_TEXT}, seq_key varchar(128) {_TEXT}, name varchar(128) {_TEXT}, kind varchar(8) {_TEXT},
  value bigint unsigned not null, unit_count bigint not null, unit_index bigint not null, inner_step bigint not null,
  increment_by bigint not null, start_with bigint not null, min_value bigint not null, max_value bigint not null,
  cycle tinyint not null, bits tinyint not null, reached bigint not null, holder varchar(40) {_TEXT},
  epoch bigint not null, primary key (schema_name, seq_key)
) engine = InnoDB comment 'sequences of vgate: change them with ALTER SEQUENCE only'
"""
CREATE_NODES: Final = f"""
create table if not exists {NODES} (
  bits tinyint not null, node int not null, holder varchar(40) {_TEXT}, stamp_limit bigint not null,
  expires bigint not null, primary key (bits, node)
) engine = InnoDB comment 'node ids of TIME sequences, leased to vgates'
"""
_COLUMNS: Final = (
    "schema_name, name, kind, value, unit_count, unit_index, inner_step, increment_by, start_with, min_value,"
    " max_value, cycle, bits, reached, holder, epoch"
)
NOW: Final = "cast(unix_timestamp(now(3)) * 1000 as signed)"

Cells = tuple[bytes | None, ...]


def text(value: str) -> str:
    """A text for SQL."""
    return f"_utf8mb4 x'{value.encode('utf-8').hex()}'"


def at(key: TableName) -> str:
    """The condition that finds a sequence."""
    return f"schema_name = {text(key.keyspace)} and seq_key = {text(key.table.lower())}"


def select(key: TableName, *, lock: bool = False) -> str:
    return f"select {_COLUMNS} from {SEQUENCES} where {at(key)}{' for update' if lock else ''}"


def read(cells: Cells) -> Definition:
    """The definition in a row of ``select``. Raises BUG for one that vgate cannot have written."""
    words = [(cell or b"").decode("utf-8") for cell in cells]
    try:
        numbers = [int(word) for word in (*words[3:14], words[15])]
        kind = Kind(words[2])
    except ValueError:
        raise BUG(detail=f"the row of sequence {words[0]}.{words[1]} is not what vgate writes") from None
    value, count, index, step, increment, start, minimum, maximum, cycle, bits, reached, epoch = numbers
    return Definition(
        TableName(words[0], words[1]), kind, value, count, index, step, increment, start, minimum, maximum,
        bool(cycle), bits, reached, words[14], epoch,
    )  # fmt: skip


def _values(one: Definition) -> list[str]:
    numbers = (
        one.value, one.unit_count, one.unit_index, one.step, one.increment, one.start, one.minimum, one.maximum,
        int(one.cycle), one.bits, one.reached,
    )  # fmt: skip
    return [
        text(one.name.keyspace), text(one.name.table), text(one.kind), *map(str, numbers), text(one.holder),
        str(one.epoch),
    ]  # fmt: skip


def insert(one: Definition) -> str:
    return (
        f"insert into {SEQUENCES} (seq_key, {_COLUMNS})"
        f" values ({text(one.name.table.lower())}, {', '.join(_values(one))})"
    )


def update(key: TableName, one: Definition) -> str:
    """Write all of ``one`` over the sequence of that key, its name too."""
    pairs = zip(_COLUMNS.split(", "), _values(one), strict=True)
    changes = ", ".join(f"{column.strip()} = {value}" for column, value in pairs)
    return f"update {SEQUENCES} set seq_key = {text(one.name.table.lower())}, {changes} where {at(key)}"


def delete(key: TableName) -> str:
    return f"delete from {SEQUENCES} where {at(key)}"


# -- giving values ------------------------------------------------------------------------------------------------


def reserve_block(one: Definition, me: str) -> str:
    """Move a GROUP on by a block, and note who has it. The answer's insert id is the new base."""
    new = f"(value + {one.out})"
    base = (
        f"if({new} % {one.out} = {one.offset}, {new}, {new} - {new} % {one.out} + {one.out} + {one.offset})"
    )
    return (
        f"update {SEQUENCES} set holder = if(holder in ('', {text(me)}), {text(me)}, '*'),"
        f" value = last_insert_id({base}) where {at(one.name)} and epoch = {one.epoch}"
        f" and value <= {MAXIMUM - 2 * one.out - one.step}"
    )


def advance(one: Definition, n: int) -> str:
    """Take ``n`` values of a SIMPLE, if so many are left. The answer's insert id is the last of them."""
    ahead = one.increment * (n - 1)
    return (
        f"update {SEQUENCES} set value = last_insert_id(value + {ahead}) + {one.increment}"
        f" where {at(one.name)} and epoch = {one.epoch} and value + {ahead} <= {one.maximum}"
    )


def begin_again(one: Definition, n: int) -> str:
    """``advance`` of a SIMPLE with CYCLE that has come to its end: from MINVALUE on."""
    last = one.minimum + one.increment * (n - 1)
    return (
        f"update {SEQUENCES} set value = last_insert_id({last}) + {one.increment}"
        f" where {at(one.name)} and epoch = {one.epoch} and value + {one.increment * (n - 1)} > {one.maximum}"
    )


# -- node ids -----------------------------------------------------------------------------------------------------


def select_nodes(bits: int) -> str:
    """Node ids that were ever leased: node, holder, limit, and whether the lease has run out."""
    return f"select node, holder, stamp_limit, expires < {NOW} from {NODES} where bits = {bits}"


def insert_node(bits: int, node: int, me: str, limit: int, lease: int) -> str:
    return f"insert into {NODES} values ({bits}, {node}, {text(me)}, {limit}, {NOW} + {lease})"


def take_node(bits: int, node: int, holder: str, floor: int, me: str, limit: int, lease: int) -> str:
    """Lease stamps [floor, limit) of a node, if holder and floor are still what they were."""
    return (
        f"update {NODES} set holder = {text(me)}, stamp_limit = {limit}, expires = {NOW} + {lease}"
        f" where bits = {bits} and node = {node} and holder = {text(holder)} and stamp_limit = {floor}"
    )


# -- showing ------------------------------------------------------------------------------------------------------


def shown(keyspaces: frozenset[str] | None) -> str:
    """All sequences in PolarDB-X's columns, as a derived table; ``keyspaces`` are those a user may see."""
    group = "kind = 'GROUP'"
    simple = "kind = 'SIMPLE'"
    columns = (
        ("SCHEMA_NAME", "schema_name"), ("NAME", "name"),
        ("VALUE", "if(kind = 'TIME', 'N/A', cast(value as char))"),
        ("UNIT_COUNT", f"if({group}, cast(unit_count as char), 'N/A')"),
        ("UNIT_INDEX", f"if({group}, cast(unit_index as char), 'N/A')"),
        ("INNER_STEP", f"if({group}, cast(inner_step as char), 'N/A')"),
        ("INCREMENT_BY", f"if({simple}, cast(increment_by as char), 'N/A')"),
        ("START_WITH", f"if({simple}, cast(start_with as char), 'N/A')"),
        ("MAX_VALUE", f"if({simple}, cast(max_value as char), 'N/A')"),
        ("CYCLE", f"if({simple}, if(cycle, 'Y', 'N'), 'N/A')"), ("TYPE", "kind"), ("PHY_SEQ_NAME", "'N/A'"),
    )  # fmt: skip
    return _derived(columns, keyspaces)


def shown_as_tables(keyspaces: frozenset[str] | None) -> str:
    """All sequences as MariaDB has its own among ``information_schema.tables``, as a derived table; without those that
    belong to tables, of which one server would have none.
    """
    unknown = (
        "TABLE_ROWS AVG_ROW_LENGTH DATA_LENGTH MAX_DATA_LENGTH INDEX_LENGTH DATA_FREE AUTO_INCREMENT CREATE_TIME"
        " UPDATE_TIME CHECK_TIME TABLE_COLLATION CHECKSUM CREATE_OPTIONS MAX_INDEX_LENGTH"
    )
    columns = (
        ("TABLE_CATALOG", "'def'"), ("TABLE_SCHEMA", "schema_name"), ("TABLE_NAME", "name"),
        ("TABLE_TYPE", "'SEQUENCE'"), ("ENGINE", "'InnoDB'"), ("VERSION", "10"), ("ROW_FORMAT", "'Dynamic'"),
        ("TABLE_COMMENT", "''"), ("TEMPORARY", "'N'"), *((name, "null") for name in unknown.split()),
    )  # fmt: skip
    return _derived(columns, keyspaces, f"left(name, {len(OWN_SEQUENCE)}) <> {text(OWN_SEQUENCE)}")


def _derived(columns: Iterable[tuple[str, str]], keyspaces: frozenset[str] | None, besides: str = "true") -> str:
    which = f" where {besides}"
    if keyspaces is not None:
        which += f" and schema_name in ({', '.join(map(text, sorted(keyspaces))) or 'null'})"
    listed = ", ".join(f"{expression} as `{label}`" for label, expression in columns)
    return f"(select {listed} from {SEQUENCES}{which})"
