"""INSERT and REPLACE ... SELECT over shards or keyspaces: the query is answered first, then its rows are inserted.

They are inserted by the same statement with rows of VALUES in the query's place: so they find their shards, get ids
and are stored all or none like any others. The query is one of its own before that, and locks nothing that it reads.
It does not know how either is run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from vgate.backend.cluster import ServerFacts
from vgate.engine.kept import KeptRows, keep
from vgate.engine.output import Output
from vgate.engine.written import NotWritten, Writer, writer_of
from vgate.errors import COLUMN_COUNT, UNSUPPORTED, ServerError, SqlError
from vgate.planner.columns import ColumnKind
from vgate.planner.plan import Insert
from vgate.session.session import Diagnostic
from vgate.session.settings import Settings, as_stored
from vgate.sql.insert_query import InsertQueryText, read_insert_query
from vgate.sql.versioned import Flavour
from vgate.wire.binary import binary_values
from vgate.wire.packets import Ok, read_column, read_err, read_ok

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

_AT_ONCE: Final = 500
"""Rows that are written before others are served."""

_TEXT: Final = frozenset({ColumnKind.TEXT, ColumnKind.BINARY})
_STRICT: Final = ("STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "TRADITIONAL")
_WARNINGS: Final = re.compile(rb"\d+$")

_FAILS: Final = {1048: "23000", 1260: "HY000", 1264: "22003", 1265: "01000", 1292: "22007", 1365: "22012",
                 1366: "22007", 1406: "22001", 1411: "HY000", 3020: "2201E"}  # fmt: skip
"""The warnings of a query that are errors where, under a strict mode, its rows are stored; their SQLSTATE."""


async def insert_query(conversation: Conversation, text: bytes, out: Output) -> bool:
    """Answer the statement; False if its answer was an error that a server gave. Raises SqlError."""
    found = read_insert_query(text, conversation.mode)
    assert found is not None
    session = conversation.session
    settings, once = session.settings, session.isolation_once
    session.settings = as_stored(settings)
    try:
        result = await _ask(conversation, found, out)
    finally:
        session.settings = settings
    said = list(session.diagnostics) if result.end[1:3] != b"\0\0" else []
    _check_warnings(conversation, found, said)
    plan, rows = await _rows(conversation, found, result)
    if not rows:
        return _nothing(conversation, out, said)
    session.isolation_once = once  # what the query has used up is for its rows, too
    _check_size(conversation, found, rows)
    single = len(rows) == 1 and plan is None  # by the rules for several all the same
    insert = partial(conversation.statement, found.with_row(rows[0]) if single else found.with_rows(rows))
    conversation.of_query = True
    try:
        kept = await keep(out, conversation.gate.cluster, conversation.gate.gather, _construct(found), insert)
    finally:
        conversation.of_query = False
    if kept.last[:1] == b"\xff":
        out.send(kept.last)
        return False
    if said:
        session.diagnostics = said + session.diagnostics
    ok = read_ok(kept.last)
    out.send(replace(ok, warnings=ok.warnings + len(said), info=_info(found, ok, len(rows), len(said))).payload())
    return kept.done


def _construct(found: InsertQueryText) -> str:
    return f"the query of {found.head.verb.upper()} ... SELECT"


async def _ask(conversation: Conversation, found: InsertQueryText, out: Output) -> KeptRows:
    """The query's rows, as a prepared statement has them: so that numbers arrive as they are. Raises SqlError."""
    gate = conversation.gate
    inner = Output(out.down, out.session, out.sequence)
    inner.binary = True
    query = partial(conversation.prepared.once, found.query)
    answer = await keep(inner, gate.cluster, gate.gather, _construct(found), query)
    if answer.last[:1] == b"\xff":
        raise ServerError(*read_err(answer.last))
    if answer.rows is None:
        raise UNSUPPORTED(construct=f"{found.head.verb.upper()} of what is no query")
    return answer.rows


def _check_warnings(conversation: Conversation, found: InsertQueryText, said: Sequence[Diagnostic]) -> None:
    """Raises ServerError for a warning that a strict mode makes an error of where rows are stored."""
    facts = conversation.gate.cluster.facts_for(conversation.session.target.keyspace)
    mode = conversation.session.settings.values.get("sql_mode", facts.sql_mode).upper()
    if "ignore" in found.head.modifiers or not any(one in mode for one in _STRICT):
        return
    for one in said:
        if one.level == "Warning" and one.code in _FAILS:
            raise ServerError(one.code, _FAILS[one.code], one.message)


async def _rows(
    conversation: Conversation, found: InsertQueryText, result: KeptRows
) -> tuple[Insert | None, list[bytes]]:
    """How they will be inserted (None: as one server does it), and the rows as they stand in VALUES.

    Raises COLUMN_COUNT, UNSUPPORTED.
    """
    definitions = [read_column(payload) for payload in result.columns]
    insert, writers = await _writers(conversation, found, result)
    rows: list[bytes] = []
    for payload in result.rows:
        values = binary_values(payload, [one.type for one in definitions])
        try:
            rows.append(b"(%b)" % b", ".join(_written(values, writers)))
        except NotWritten as error:
            raise _refused(found, error) from None
        if len(rows) % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return insert, rows


def _written(values: Sequence[bytes | None], writers: Sequence[Writer]) -> Iterator[bytes]:
    return (b"NULL" if value is None else write(value) for value, write in zip(values, writers, strict=True))


async def _writers(
    conversation: Conversation, found: InsertQueryText, result: KeptRows
) -> tuple[Insert | None, list[Writer]]:
    """How each column is written, for the column that it goes into."""
    definitions = [read_column(payload) for payload in result.columns]
    values = found.with_rows([b"(%b)" % b", ".join([b"1"] * len(definitions))])
    text, shape, _ = await conversation.read(values)
    planned = await conversation.planned(text, shape, conversation.session.target.keyspace)
    keyspace = conversation.keyspace_of(planned.plan)
    insert = planned.plan if isinstance(planned.plan, Insert) else None
    columns: Sequence[str] | None = insert.columns if insert is not None else found.head.columns
    if columns is not None and len(columns) != len(definitions):
        raise COLUMN_COUNT(row=1)
    info = conversation.gate.cluster.table(insert.table.name) if insert is not None else None
    places = (insert.sharding, insert.generated) if insert is not None else ()
    plain = {one.position for one in places if one is not None}
    facts = conversation.gate.cluster.facts_for(keyspace)
    charsets = {number: one[0] for number, one in facts.collations.items()}
    zone = _time_zone(conversation.session.settings, facts)
    writers: list[Writer] = []
    for number, definition in enumerate(definitions):
        column = info.column(columns[number]) if info is not None and columns is not None else None
        try:
            writers.append(writer_of(
                definition, charsets, zone, text=column is not None and column.kind in _TEXT,
                member=column is not None and column.sql.lower().startswith(("enum", "set")), plain=number in plain,
                mysql=facts.flavour is Flavour.MYSQL,
            ))  # fmt: skip
        except NotWritten as error:
            raise _refused(found, error) from None
    return insert, writers


def _refused(found: InsertQueryText, error: NotWritten) -> SqlError:
    return UNSUPPORTED(construct=f"{found.head.verb.upper()} ... SELECT over shards of {error}")


def _time_zone(settings: Settings, facts: ServerFacts) -> str:
    """The session's, by the name that a server has for it; its system's where that is meant."""
    own, _, system = facts.time_zone.partition("/")
    name = settings.values.get("time_zone", own).strip("'\"")
    return system if name.upper() == "SYSTEM" else name


def _check_size(conversation: Conversation, found: InsertQueryText, rows: Sequence[bytes]) -> None:
    """Raises UNSUPPORTED for more than a server takes in one statement."""
    most = conversation.gate.cluster.facts_for(conversation.session.target.keyspace).max_allowed_packet
    if sum(map(len, rows)) + 2 * len(rows) + len(found.before) + len(found.tail) + 64 > most:
        raise UNSUPPORTED(
            construct=f"{found.head.verb.upper()} ... SELECT over shards of rows that take more than {most} bytes as a"
            " statement (max_allowed_packet of the servers); take fewer at a time (LIMIT)"
        )


def _nothing(conversation: Conversation, out: Output, said: list[Diagnostic]) -> bool:
    """The answer where the query has no rows."""
    session = conversation.session
    session.row_count = 0
    session.found_rows = None
    session.diagnostics = said
    out.ok(warnings=len(said), info=b"Records: 0  Duplicates: 0  Warnings: %d" % len(said))
    return True


def _info(found: InsertQueryText, ok: Ok, rows: int, said: int) -> bytes:
    """What an OK says of rows, also where a single one was inserted; the formula for duplicates is the servers'."""
    if ok.info:
        return _WARNINGS.sub(b"%d" % (ok.warnings + said), ok.info)
    if found.head.verb == "replace":
        same = ok.affected - rows
    elif found.tail_words == [b"on", b"duplicate"]:
        same = int(ok.affected == 2)
    else:
        same = rows - ok.affected
    return b"Records: %d  Duplicates: %d  Warnings: %d" % (rows, same, ok.warnings + said)
