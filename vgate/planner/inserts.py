"""INSERT and REPLACE: which column places a row and which one a sequence fills, and what is refused.

The statement is read from its tokens; its rows are neither parsed nor kept, so the plan of ten thousand rows is that of
one. It does not know values: rows find their shards when they are run (``engine.insert``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from vgate.errors import CANNOT_MAP, UNREADABLE, UNSUPPORTED, VgateError
from vgate.planner.catalog import Catalog, NeedTables
from vgate.planner.columns import ColumnKind, ColumnType, TableInfo
from vgate.planner.functions import sequence_function
from vgate.planner.plan import (
    Access,
    Insert,
    InsertId,
    InsertKey,
    InsertQuery,
    OnDuplicate,
    Pass,
    Planned,
    Refuse,
)
from vgate.planner.reference_tables import check_insert, is_reference
from vgate.planner.references import references, resolve_name
from vgate.planner.statements import Words
from vgate.planner.values import equal_texts_share_ids
from vgate.sql.insert_query import QUERIES, read_insert_query
from vgate.sql.lexer import LexError, LexMode, TokenKind, lexer_for
from vgate.sql.rows import InsertHead, read_assignments, read_head
from vgate.sql.tree import Unparsed, parse
from vgate.vindex.base import Value
from vgate.vschema.model import Table, TableName, VSchema

_SUBQUERIES: Final = frozenset({b"select", b"with", b"table"})
"""What a subquery begins with, after its parenthesis."""


def plan_insert(
    text: bytes, shape: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog
) -> Planned | NeedTables:
    """The plan of an INSERT or REPLACE. Raises VgateError for unknown tables.

    Of the rows only those in ``shape`` are looked at: each kind of row once.
    """
    try:
        return _plan_insert(text, shape, mode, keyspace, catalog)
    except LexError:
        return Planned(Refuse(UNREADABLE(reason="its INSERT is of no known form")))


def _plan_insert(
    text: bytes, shape: bytes, mode: LexMode, keyspace: str | None, catalog: Catalog
) -> Planned | NeedTables:
    head = read_head(text, mode)
    vschema = catalog.vschema
    database, name = (head.name[0], head.name[1]) if len(head.name) == 2 else (None, head.name[0])
    full = resolve_name(database, name, keyspace, vschema)
    sharded = vschema.keyspace(full.keyspace).sharded
    table = vschema.keyspace(full.keyspace).tables.get(full.table)
    if table is None or (not sharded and table.auto_increment is None):
        others = _other_sources(text, shape, mode, head, full, keyspace, vschema)
        if not others:
            return Planned(Pass(full.keyspace, Access.WRITE, (full,)))
        if head.source in QUERIES and not sharded:
            return Planned(InsertQuery(full, None))
        names = ", ".join(sorted({full.keyspace, *others}))
        return Planned(Refuse(UNSUPPORTED(construct=f"INSERT into a table of one keyspace from others ({names})")))
    info = catalog.table(full)
    if info is None:
        return NeedTables((full,))
    try:
        if head.source in QUERIES:
            return Planned(_insert_query(text, mode, table, info, sharded=sharded))
        return Planned(_insert(text, shape, mode, head, table, info, sharded=sharded))
    except VgateError as error:
        return Planned(Refuse(error))


def _other_sources(
    text: bytes, shape: bytes, mode: LexMode, head: InsertHead, full: TableName, keyspace: str | None, vschema: VSchema
) -> set[str]:
    """The keyspaces besides its own that an INSERT into an unsharded table names, or finds names without a keyspace in.

    If there are none, its query is run by the table's own server, among the tables of its keyspace alone.
    """
    words = Words(shape, mode)
    if not {"select", "table"} & words.rest():
        return set()
    others = [name for name in words.qualifiers(vschema.keyspaces) if name != full.keyspace]
    elsewhere = keyspace != full.keyspace or words.mentions(vschema.routed_names(full.keyspace))
    if elsewhere and head.source in QUERIES:
        try:
            query = parse(text[head.source_start :], mode).root
        except Unparsed:
            query = None
        others += [keyspace or "none"] if query is None else references(query, keyspace, vschema).keyspaces
    elif elsewhere:
        others.append(keyspace or "none")
    return set(others) - {full.keyspace}


def _insert_query(text: bytes, mode: LexMode, table: Table, info: TableInfo, *, sharded: bool) -> InsertQuery:
    """Planned as the INSERT that it will be when the rows have been read."""
    found = read_insert_query(text, mode)
    assert found is not None
    if found.tail_words[:1] == [b"returning"]:
        raise UNSUPPORTED(construct=f"{found.head.verb.upper()} ... SELECT ... RETURNING of a sharded table")
    columns = found.head.columns or tuple(column.name for column in info.columns if not column.invisible)
    values = found.with_rows([b"(" + b", ".join([b"1"] * len(columns)) + b")"])
    shape = lexer_for(mode).split(values)[0]
    return InsertQuery(
        table.name, _insert(values, shape, mode, read_head(values, mode), table, info, sharded=sharded)
    )


def _insert(
    text: bytes, shape: bytes, mode: LexMode, head: InsertHead, table: Table, info: TableInfo, *, sharded: bool
) -> Insert:
    where = "on a sharded keyspace" if sharded else "into a table whose ids come from a sequence"
    if head.source not in ("values", "set"):
        raise LexError(head.source_start)
    if head.partitions:
        raise UNSUPPORTED(construct=f"{head.verb.upper()} ... PARTITION {where}")
    if "delayed" in head.modifiers:
        raise UNSUPPORTED(construct=f"INSERT DELAYED {where}")
    implicit = head.columns is None and head.source == "values"
    columns = _columns(text, mode, head, info)
    words, tail = _words(shape, mode, head)
    if any(one in _SUBQUERIES and before == b"(" for part in (words, tail) for before, one in pairwise(part)):
        raise UNSUPPORTED(construct=f"a subquery in INSERT {where}")
    if b"row" in words[:1]:
        raise UNSUPPORTED(construct=f"INSERT ... VALUES ROW() {where}")
    sequence = sequence_function((*words, *tail)) if sharded else ""
    if sequence:
        raise UNSUPPORTED(construct=f"{sequence} {where}, as every shard counts by itself")
    on_duplicate = _on_duplicate(head, tail)
    returning = _check_returning(head, words, tail, on_duplicate, where)
    copies = sharded and is_reference(table)
    key = _sharding(table, columns, info) if sharded and not copies else None
    generated = _generated(table, columns)
    if key is not None:
        _check_unique_keys(on_duplicate, key, info, table)
        _check_tail(tail, key, table)
        _check_counters(table, columns, info)
    if copies:
        if returning:
            raise UNSUPPORTED(construct="INSERT ... RETURNING into a reference table")
        check_insert(table, columns, (*words, *tail), info)
        _check_counters(table, columns, info)
    return Insert(table, columns, implicit, key, generated, on_duplicate, returning)


def _columns(text: bytes, mode: LexMode, head: InsertHead, info: TableInfo) -> tuple[str, ...]:
    """The columns that the rows give, in lower case; those of the server where the statement lists none."""
    if head.source == "set":
        return read_assignments(text, mode, head).columns
    if head.columns is not None:
        return head.columns
    return tuple(column.name for column in info.columns if not column.invisible)


def _words(shape: bytes, mode: LexMode, head: InsertHead) -> tuple[list[bytes], list[bytes]]:
    """The names and punctuation of the rows, and of what follows them."""
    tokens = lexer_for(mode).tokens(shape)
    words = [shape[token.start : token.end].lower() for token in tokens]
    names = [token.kind is not TokenKind.QUOTED_NAME for token in tokens]
    words = [word if plain else b"`" + word for word, plain in zip(words, names, strict=True)]
    if head.source == "set":
        start = words.index(b"set")
        tail = next((i for i in range(start, len(words)) if words[i : i + 2] == [b"on", b"duplicate"]), len(words))
        return words[start + 1 : tail], words[tail:]
    start = next(i for i, word in enumerate(words) if word in (b"values", b"value") and i >= _head_words(head))
    depth = 0
    for index in range(start + 1, len(words)):
        depth += (words[index] == b"(") - (words[index] == b")")
        if depth == 0 and words[index] in (b"on", b"as", b"returning", b";"):
            return words[start + 1 : index], words[index:]
    return words[start + 1 :], []


def _returns(words: Sequence[bytes]) -> bool:
    """True if RETURNING follows a SET; it is also a name in MySQL."""
    return any(word == b"returning" and after != b"=" for word, after in pairwise(words))


def _check_returning(
    head: InsertHead, words: Sequence[bytes], tail: Sequence[bytes], on_duplicate: OnDuplicate, where: str
) -> bool:
    """True for INSERT ... VALUES ... RETURNING. Raises UNSUPPORTED where which rows are returned is not that simple."""
    if b"returning" not in tail and not _returns(words):
        return False
    if head.source != "values" or on_duplicate is not OnDuplicate.ERROR:
        raise UNSUPPORTED(construct=f"RETURNING after anything but INSERT ... VALUES {where}")
    if b"last_insert_id" in tail:
        raise UNSUPPORTED(construct=f"LAST_INSERT_ID() in RETURNING {where}")
    return True


def _head_words(head: InsertHead) -> int:
    """How many tokens at least stand before VALUES: a table may be called ``value``."""
    names = 2 * len(head.name) - 1
    listed = 2 + max(0, 2 * len(head.columns) - 1) if head.columns is not None else 0
    return 1 + names + listed


def _on_duplicate(head: InsertHead, tail: Sequence[bytes]) -> OnDuplicate:
    if head.verb == "replace":
        return OnDuplicate.REPLACE
    if b"duplicate" in tail:
        return OnDuplicate.UPDATE
    return OnDuplicate.IGNORE if "ignore" in head.modifiers else OnDuplicate.ERROR


def _sharding(table: Table, columns: tuple[str, ...], info: TableInfo) -> InsertKey:
    primary = table.primary_vindex
    if primary is None:
        raise UNSUPPORTED(construct=f"table {table.name}, which has no vindex")
    name = primary.columns[0]
    column = info.column(name)
    if column is None:
        raise UNSUPPORTED(construct=f"table {table.name}: its sharding column {name} does not exist on the servers")
    if column.generated:
        raise UNSUPPORTED(construct=f"table {table.name}: its sharding column {name} is generated")
    position = _position(columns, name)
    from_sequence = table.auto_increment is not None and table.auto_increment.column == name
    if position is None and not from_sequence and column.computed_default:
        raise CANNOT_MAP(values=f"[DEFAULT({name})]")
    return InsertKey(position, column, primary.vindex, _default(column))


def _default(column: ColumnType) -> Value:
    """What DEFAULT stores, as the vindex sees it; an expression's value is not known."""
    if column.default is None or column.computed_default:
        return None
    text = column.default
    if column.kind is ColumnKind.INTEGER:
        try:
            return int(text)
        except ValueError:
            return None
    return text.encode("utf-8")


def _position(columns: tuple[str, ...], name: str) -> int | None:
    return columns.index(name) if name in columns else None


def _generated(table: Table, columns: tuple[str, ...]) -> InsertId | None:
    bound = table.auto_increment
    if bound is None:
        return None
    return InsertId(_position(columns, bound.column), bound.column, bound.sequence, bound.bumps)


def _check_unique_keys(on_duplicate: OnDuplicate, key: InsertKey, info: TableInfo, table: Table) -> None:
    """IGNORE, ON DUPLICATE KEY UPDATE and REPLACE look for rows with equal keys, and each shard finds only its own."""
    if on_duplicate is OnDuplicate.ERROR:
        return
    verb = {OnDuplicate.IGNORE: "INSERT IGNORE", OnDuplicate.UPDATE: "INSERT ... ON DUPLICATE KEY UPDATE",
            OnDuplicate.REPLACE: "REPLACE"}[on_duplicate]  # fmt: skip
    column = key.column
    apart = [one for one in info.unique_keys if column.name not in one.columns]
    if apart:
        columns = ", ".join(one or "an expression" for one in apart[0].columns)
        raise UNSUPPORTED(
            construct=f"{verb} into {table.name}: its key {apart[0].name} ({columns}) does not contain the sharding"
            f" column {column.name}, so a row with an equal key may be on another shard and would not be found"
        )
    if info.unique_keys and not _equals_are_together(key):
        raise UNSUPPORTED(
            construct=f"{verb} into {table.name}: under {column.collation} values of {column.name} are equal that"
            f" vindex {key.vindex.name} places apart, so a row with an equal key may be on another shard and would not"
            " be found"
        )


def _equals_are_together(key: InsertKey) -> bool:
    """True if values that are equal in the sharding column have one keyspace id, whatever they are.

    Not so of the vindexes that fold text: they fold what collations do for most texts, not for all.
    """
    column, vindex = key.column, key.vindex
    if column.kind is not ColumnKind.TEXT or vindex.type == "null" or not vindex.takes_text:
        return True  # a vindex of numbers places digits only, and no collation takes one digit for another
    return equal_texts_share_ids(column.collation, column.fixed, vindex.type, vindex.takes_text)


def _check_tail(tail: Sequence[bytes], key: InsertKey, table: Table) -> None:
    """ON DUPLICATE KEY UPDATE must leave the sharding column alone, or give it the value it has."""
    start = next((index for index, word in enumerate(tail) if word == b"update"), len(tail))
    names = [word.strip(b"`\"") for word in tail]
    own = table.name.table.lower().encode("utf-8")
    renamed = b"(" in tail[:start]  # AS new (a, b): new.id may be any column
    column = key.column.name.encode("utf-8")
    for index in range(start + 1, len(tail) - 1):
        if names[index] != column or tail[index + 1] not in (b"=", b":="):
            continue
        if tail[index - 1] not in (b"update", b",", b"."):
            continue
        end = _end_of_assignment(tail, index + 2)
        value = names[index + 2 : end]
        if value[:2] == [b"last_insert_id", b"("] and value[-1] == b")":
            value = value[2:-1]
        if value in ([column], [own, b".", column]):
            continue
        given = value[:2] == [b"values", b"("] and value[-2:] == [column, b")"] and len(value) in (4, 6)
        given = given or (len(value) == 3 and value[1:] == [b".", column] and not renamed)
        if not (given and _equals_are_together(key)):  # the row was found by that value
            raise UNSUPPORTED(construct=f"changing the sharding column {key.column.name} in ON DUPLICATE KEY UPDATE")


def _end_of_assignment(words: Sequence[bytes], at: int) -> int:
    depth = 0
    while at < len(words) and (depth or words[at] not in (b",", b";")):
        depth += (words[at] == b"(") - (words[at] == b")")
        at += 1
    return at


def _check_counters(table: Table, columns: tuple[str, ...], info: TableInfo) -> None:
    """A column that counts on each shard by itself would give an id twice. The rows' values are looked at later."""
    bound = table.auto_increment.column if table.auto_increment is not None else None
    for column in info.columns:
        if not column.auto_increment or column.name == bound:
            continue
        if column.name not in columns:
            raise UNSUPPORTED(
                construct=f"INSERT into {table.name} without {column.name}, which is AUTO_INCREMENT: each shard would"
                f" count by itself and give ids that other shards give too; give a value, or bind the column to a"
                f" sequence (auto_increment: {{column: {column.name}, sequence: ...}} in the VSchema)"
            )

