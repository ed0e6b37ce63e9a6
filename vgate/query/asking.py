"""NEXTVAL and its kin: a SELECT of sequences' values is answered here; elsewhere a value takes the place of its call.

What is no sequence of vgate's or of the VSchema's is left to the servers (MariaDB's own sequences, a column that is
called nextval). It does not know how sequences are made (``sequence_ddl``), nor how values come about.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from vgate.engine.fill import run_filled
from vgate.engine.output import Output
from vgate.errors import (
    INVALID_INCREMENT,
    NEXTVAL_PLACE,
    SEQUENCE_BATCH,
    UNKNOWN_SEQUENCE,
    UNSUPPORTED,
    SqlError,
)
from vgate.planner.plan import Const, NextValue
from vgate.query.grants import check
from vgate.query.insert_query import insert_query
from vgate.query.sequence_ddl import OF_TYPE, WORDS, SequenceStatements
from vgate.sequences.definition import key_of
from vgate.session.session import Session
from vgate.sql.nextval import MARK, Asking, Item, SequenceCall, answered, find_asking, marked
from vgate.sql.sequences import Written
from vgate.vschema.model import TableName, TableType
from vgate.wire.constants import FieldFlag
from vgate.wire.packets import ColumnDefinition, bigint_column, frame, lenenc_bytes, read_column, result_set

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

ASKS: Final = re.compile(rb"\b(?:nextval|currval|lastval|next|previous)\b", re.I)
"""What is in the shape of every statement that asks."""

ROWS: Final = 1000
"""Rows of which the values are asked for at once."""

KEPT: Final = 256
"""Bytes of a statement that is answered without a look at it, when it comes again."""


@dataclass(slots=True)
class Asked:
    """``SELECT seq.NEXTVAL``, known by its text. ``parts``: the answer around the value, by the session's status."""

    key: TableName
    label: bytes
    parts: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)

    def answer(self, value: int, session: Session) -> bytes:
        """The whole answer; the session's books are kept."""
        session.last_values[self.key.keyspace, self.key.table] = value
        _answered(session, 1)
        status = session.status
        around = self.parts.get(status) or self._around(status)
        return around[0] + frame(lenenc_bytes(b"%d" % value), 4) + around[1]

    def _around(self, status: int) -> tuple[bytes, bytes]:
        data, _ = result_set([bigint_column(self.label)], [], status=status)
        end = len(data) - 9  # the EOF packet; a row comes before it, and takes its number
        found = data[:end], data[end : end + 3] + b"\x05" + data[end + 4 :]
        self.parts[status] = found
        return found


class SequenceWords:
    """See the module; works on its conversation's session."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._session = conversation.session
        self.definitions = SequenceStatements(conversation)

    async def asking(self, text: bytes) -> tuple[Asking, dict[Written, TableName]] | None:
        """What the statement asks, and of which sequences; None where it asks none that is vgate's business."""
        found = find_asking(text, self._conversation.mode)
        if found is None:
            return None
        names: dict[Written, TableName] = {}
        for written in dict.fromkeys(call.sequence for call in found.calls):
            name = await self.find(written)
            if name is not None:
                names[written] = name
        ours = tuple(call for call in found.calls if call.sequence in names)
        self._check_known(text, found, names)
        if not ours:
            return None
        self._check(found, ours, names)
        return replace(found, calls=ours), names

    def _check_known(self, text: bytes, asking: Asking, names: dict[Written, TableName]) -> None:
        """Raises UNKNOWN_SEQUENCE for a call that can be nothing else, as no server of a sharded keyspace is asked."""
        keyspaces = self._conversation.gate.cluster.vschema.keyspaces
        for call in asking.calls:
            keyspace = keyspaces.get(call.sequence.keyspace or self._session.target.keyspace or "")
            column = text[call.start : call.end].lower().endswith((b"nextval", b"currval"))
            if keyspace is not None and keyspace.sharded and call.sequence not in names and not column:
                raise UNKNOWN_SEQUENCE(name=TableName(keyspace.name, call.sequence.name))

    async def find(self, written: Written) -> TableName | None:
        """The full name of a sequence of vgate's own, or of one that the VSchema declares; None if it is neither."""
        vschema = self._conversation.gate.cluster.vschema
        keyspace = written.keyspace or self._session.target.keyspace
        if keyspace is None or keyspace not in vschema.keyspaces:
            return None
        name = TableName(keyspace, written.name)
        table = vschema.keyspaces[keyspace].tables.get(written.name)
        if table is not None and table.type is TableType.SEQUENCE:
            return name
        return name if await self._conversation.gate.sequences.own.find(name) is not None else None

    def _check(self, asking: Asking, calls: Iterable[SequenceCall], names: dict[Written, TableName]) -> None:
        """Raises NEXTVAL_PLACE, DATABASE_DENIED, WRITE_DENIED, UNSUPPORTED."""
        by_row = set(asking.by_row)
        counted = {names[call.sequence] for call in by_row if call.next}
        for call in calls:
            check(self._session.login, NextValue(names[call.sequence], Const(1)))
            new = call.next or names[call.sequence] in counted
            if new and not (asking.values or asking.query) and call not in by_row:
                where = "where a server would work it out for each row, or later"
                raise NEXTVAL_PLACE(name=names[call.sequence], where=where)
        if asking.count is not None and not asking.alone:
            raise UNSUPPORTED(construct="WHERE COUNT = n with anything but sequences in the select list")

    async def explained(self, text: bytes, shape: bytes) -> tuple[list[str], bytes | None]:
        """What VEXPLAIN says of a statement's sequences, and the rest of it (None: no rest). Raises SqlError."""
        if self._session.target.shard is not None or ASKS.search(shape) is None:
            return [], text
        found = await self.asking(text)
        if found is None:
            return [], text
        asking, names = found
        lines = [
            f"{'next' if is_next else 'last'} value of sequence {names[written]}"
            for written, is_next in dict.fromkeys((call.sequence, call.next) for call in asking.calls)
        ]
        return lines, None if asking.alone else answered(text, asking, [b"1"] * len(asking.calls))

    # -- answers --------------------------------------------------------------------------------------------------

    def next_value(self, packet: bytes) -> bool:
        """Answer a framed ``SELECT seq.NEXTVAL`` that is known: at once if a value is in hand, else as soon as it is.

        False (and nothing done) for anything else.
        """
        conversation = self._conversation
        if len(packet) > KEPT or conversation.restricted:
            return False
        asked = conversation.partition.asked.get(packet[5:])
        if asked is None:
            return False
        value = conversation.gate.sequences.own.take_now(asked.key)
        if value is None:
            conversation.down.start(self._later(asked, packet[5:]))
        else:
            conversation.down.write(asked.answer(value, self._session))
        return True

    async def _later(self, asked: Asked, text: bytes) -> None:
        """Answer ``SELECT seq.NEXTVAL`` when the value has come; without the sequence it is a statement like others."""
        conversation, session = self._conversation, self._session
        try:
            values = await conversation.gate.sequences.own.take(asked.key, 1)
        except SqlError as error:
            if error.errno == UNKNOWN_SEQUENCE.errno:
                await conversation.run(text)
                return
            session.failed(error)
            session.row_count = -1
            session.found_rows = None
            raise
        conversation.down.write(asked.answer(values[0], session))

    async def answer(self, word: bytes, text: bytes, shape: bytes, out: Output) -> bytes | bool:
        """Answer a statement: then a bool, as ``Conversation.statement`` has it. Else the text that says the same
        without its calls; ``text`` itself where it has none. Raises SqlError.
        """
        done = await self.definitions.answer(word, text, shape, out)
        if done is not None:
            return done
        found = await self.asking(text) if ASKS.search(shape) else None
        if found is None:
            return text
        asking, names = found
        alone = asking.alone and all(item.call in asking.calls for item in asking.items)
        if alone:
            await self._select(asking, names, text, out)
            return True
        if asking.query and any(call.next for call in asking.calls):
            return await insert_query(self._conversation, text, out)
        if asking.by_row:
            rest, items = marked(text, asking)
            return await self.by_row(items, names, out, partial(self._conversation.statement, rest))
        given = await self._values(asking.calls, names)
        cells = [b"NULL" if value is None else b"%d" % value for value in given]
        if asking.verb == "select":
            cells = [b"CAST(%b AS SIGNED)" % cell for cell in cells]
        return answered(text, asking, cells)

    async def values_of(self, text: bytes) -> tuple[Asking, list[int | None]]:
        """What a statement asks, and the values. Raises UNKNOWN_SEQUENCE where its sequences are gone by now."""
        found = await self.asking(text)
        if found is None:
            gone = find_asking(text, self._conversation.mode)
            raise UNKNOWN_SEQUENCE(name=gone.calls[0].sequence.name if gone is not None else "")
        return found[0], await self._values(found[0].calls, found[1])

    async def stand_in(self, text: bytes, shape: bytes) -> bytes | None:
        """What a server can judge in the place of a statement: without what asks for values; None for what is vgate's
        business alone. ``text`` itself where it is not about sequences. Raises SqlError.
        """
        if self._session.target.shard is not None:
            return text
        if self.definitions.is_ours(text, shape):
            return None
        found = await self.asking(text) if ASKS.search(shape) else None
        if found is None:
            return text
        asking, _ = found
        return None if asking.alone else answered(text, asking, [b"1"] * len(asking.calls))

    async def _select(self, asking: Asking, names: dict[Written, TableName], text: bytes, out: Output) -> None:
        """``SELECT seq.NEXTVAL, ... [WHERE COUNT = n]``: a row, or n."""
        count = 1 if asking.count is None else asking.count
        calls = [item.call for item in asking.items if item.call is not None]
        limit = self._conversation.gate.max_insert_rows
        if count < 1:
            raise INVALID_INCREMENT(name=names[calls[0].sequence].table, value=max(count, 0))
        if count > limit:
            raise SEQUENCE_BATCH(name=names[calls[0].sequence], count=count, what="one SELECT may have", most=limit)
        values = await self._values([call for _ in range(count) for call in calls], names)
        width = len(calls)
        rows = [
            [None if value is None else b"%d" % value for value in values[at : at + width]]
            for at in range(0, len(values), width)
        ]
        columns = [_column(item.name, nullable=not call.next) for item, call in zip(asking.items, calls, strict=True)]
        _answered(self._session, count)
        out.rows(columns, rows)
        if width == 1 and count == 1 and calls[0].next and len(text) <= KEPT:
            key = key_of(names[calls[0].sequence])
            self._conversation.partition.keep_asked(text, Asked(key, asking.items[0].name))

    async def by_row(
        self,
        items: Sequence[Item],
        names: Mapping[Written, TableName],
        out: Output,
        statement: Callable[[Output], Awaitable[bool]],
    ) -> bool:
        """Answer a SELECT from tables with a value for each row; ``statement`` answers it as ``marked`` has made it."""
        gate = self._conversation.gate
        calls = [item.call for item in items if item.call is not None]
        columns = _filled(items)

        async def values(rows: int) -> list[list[int | None]]:
            width, found = len(calls), list[int | None]()
            for at in range(0, rows, ROWS):
                found += await self._values(calls * min(ROWS, rows - at), names)
            return [found[at : at + width] for at in range(0, len(found), width)]

        return await run_filled(out, gate.cluster, gate.gather, statement, columns, values)

    async def _values(self, calls: Iterable[SequenceCall], names: Mapping[Written, TableName]) -> list[int | None]:
        """The values of calls, from left to right: each NEXTVAL is what the next CURRVAL gives."""
        calls = list(calls)
        wanted = Counter(names[call.sequence] for call in calls if call.next)
        taken: dict[TableName, list[int]] = {}
        for name, count in wanted.items():
            runs = await self._conversation.gate.sequences.take_many(name, count)
            taken[name] = [value for run in runs for value in run][::-1]
        values: list[int | None] = []
        last = self._session.last_values
        for number, call in enumerate(calls):
            key = key_of(names[call.sequence])
            if call.next:
                last[key.keyspace, key.table] = taken[names[call.sequence]].pop()
            values.append(last.get((key.keyspace, key.table)))
            if number % 4000 == 3999:
                await asyncio.sleep(0)
        return values


def may_concern(shape: bytes) -> bool:
    """True if a statement may be about sequences: it is looked at each time, as others can be made at any moment."""
    return any(one.search(shape) is not None for one in (ASKS, WORDS, OF_TYPE))


def _column(label: bytes, *, nullable: bool) -> ColumnDefinition:
    column = bigint_column(label)
    return replace(column, flags=column.flags & ~FieldFlag.NOT_NULL) if nullable else column


def _filled(items: Sequence[Item]) -> dict[bytes, ColumnDefinition]:
    """What columns with marks for names are told as."""
    return {
        MARK % number: _column(item.name, nullable=item.call is not None and not item.call.next)
        for number, item in enumerate(items)
    }


def filled_columns(items: Sequence[Item], columns: Sequence[bytes]) -> tuple[bytes, ...]:
    """A server's column definitions with those of sequences' values in the places of marks."""
    told = {name: column.payload() for name, column in _filled(items).items()}
    return tuple(told.get(read_column(payload).name, payload) for payload in columns)


def _answered(session: Session, rows: int) -> None:
    """The books after a SELECT that names no table."""
    if not session.keeps_warnings:
        session.diagnostics = []
    session.row_count = -1
    session.found_rows = rows
