"""LOAD DATA LOCAL INFILE into a sharded table: each line of the client's file to its shard, all of it or nothing.

Every shard runs the client's own statement and gets its lines as they stand in the file, so that it makes of them what
one server would; an id from a sequence is put in front of a line as one more field, or in the place of NULL and 0. Of
the file no more is kept than a piece and the line at hand. How lines are told apart is in ``sql.loadrows``. It does not
know how it was planned.

Invariants
1. The client is asked for its file only when every shard waits for one, and is answered only when all has been taken.
2. Every shard that waits for a file gets the empty packet that ends it, or loses its connection; what it has loaded
   until then is undone with the rest, if anything has failed.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Mapping, Sequence
from typing import Final

from vgate.backend.connection import BackendConnection, Collector, Rows
from vgate.engine.call import Call
from vgate.engine.load import Upload, begin_load
from vgate.engine.rename import text_for
from vgate.engine.route import give_ok
from vgate.engine.write import combined, write_all
from vgate.errors import BACKEND_LOST, CANNOT_MAP, PACKET_TOO_LARGE, UNSUPPORTED, ServerError, SqlError
from vgate.planner.loads import Load
from vgate.planner.values import Known, Purpose, read_value
from vgate.sequences.every import EverySequence
from vgate.sql.literals import Literal, LiteralKind
from vgate.sql.loadrows import FileRow, FileRows
from vgate.transactions.scope import Place
from vgate.vindex.base import Value
from vgate.wire.packets import Ok, frame, read_err
from vgate.wire.response import Response

CHARSETS: Final = frozenset({"utf8mb4", "utf8mb3", "utf8", "latin1", "ascii", "binary"})
"""Character sets in which no byte of a longer character can be taken for a terminator."""

PIECE: Final = 1 << 16
REMEMBERED: Final = 1 << 20
"""Rows of a shard whose numbers in the file are kept, for warnings that name them."""

_WHOLE: Final = re.compile(rb"[1-9]\d{0,18}")


class LoadRun:
    """One LOAD DATA under way."""

    def __init__(
        self, call: Call, plan: Load, sequences: EverySequence, *, largest_row: int, no_auto_value_on_zero: bool
    ) -> None:
        self.call = call
        self.plan = plan
        self.sequences = sequences
        self.largest_row = largest_row
        keyspace = plan.table.name.keyspace
        self.servers = call.scope.cluster.keyspaces[keyspace]
        self.places: list[Place] = [(keyspace, index) for index in range(len(self.servers.keyspace.shards))]
        self.numbers: dict[Place, array[int]] = {place: array("q") for place in self.places}
        self.listed_id = plan.generated.position if plan.generated is not None else None
        self.rows = FileRows(plan.head.format, len(plan.columns), self.listed_id)
        self.counts_zero = not no_auto_value_on_zero
        self.charset = ""
        self.count = 0
        self.first_id = 0
        self.lowest = self.highest = 0  # of the ids that rows of this piece have given themselves
        self._sequence: dict[BackendConnection, int] = {}

    async def run(self) -> bool:
        """Load the file and answer. Raises SqlError."""
        text = self._text()
        call = self.call
        answers = await write_all(call, dict.fromkeys(self.places, text), self.numbers, runner=self._run)
        give_ok(call, combined(answers), self.first_id or None)
        return True

    def _text(self) -> bytes:
        """The statement for the shards: without IGNORE n LINES, and with the id in front of the other columns."""
        call, head = self.call, self.plan.head
        text = call.text
        generated = self.plan.generated
        names = [] if generated is None or not self.plan.fills_id else [call.quoted(generated.column)]
        columns = text[head.columns_at : head.columns_end]
        if names and self.plan.implicit:
            columns = b" (" + b", ".join([*names, *map(call.quoted, self.plan.columns)]) + b") "
        elif names:
            columns = b"(" + names[0] + b", " + columns.removeprefix(b"(")
        start, end = head.skip_at if head.format.skip else (head.columns_at, head.columns_at)
        return text[:start] + text[end : head.columns_at] + columns + text[head.columns_end :]

    # -- the servers ----------------------------------------------------------------------------------------------

    async def _run(self, connections: Mapping[Place, BackendConnection]) -> Sequence[Ok | Rows | BaseException]:
        try:
            await self._look_at_charset(connections[self.places[0]])
            begun: list[Response] = []
            for place, connection in connections.items():
                begun.append(await begin_load(self.call.out, connection, text_for(self.call, place, self._text())))
                if begun[-1].file is not None:
                    self._sequence[connection] = 2
            waiting = list(self._sequence)
            refused = [ServerError(*read_err(one.error)) for one in begun if one.error is not None]
            failure: SqlError | None = refused[0] if refused else None
            name = next((one.file.name for one in begun if one.file is not None), None)
            if failure is None and name is not None:
                failure = await self._load(name, connections)
            answers = await self._end_all(waiting)
        except BaseException:
            for connection in connections.values():
                if connection in self._sequence:
                    connection.close()
            raise
        if failure is not None:
            raise failure
        return answers

    async def _look_at_charset(self, connection: BackendConnection) -> None:
        """What character set the file is in. Raises UNSUPPORTED for one that cannot be divided."""
        charset = self.plan.head.charset
        if not charset:
            ((found,),) = await connection.rows("SELECT @@character_set_database")
            charset = (found or b"").decode("ascii", "replace")
        if charset not in CHARSETS:
            raise UNSUPPORTED(construct=f"LOAD DATA CHARACTER SET {charset} into a sharded table")
        self.charset = charset

    async def _end_all(self, waiting: Sequence[BackendConnection]) -> Sequence[Ok | Rows | BaseException]:
        """End the file on all of them; their answers."""
        answers = [asyncio.ensure_future(self._end(connection)) for connection in waiting]
        self.call.out.down.attach_all(waiting)
        try:
            return await asyncio.gather(*answers, return_exceptions=True)
        finally:
            self.call.out.down.attach_all(())

    async def _end(self, connection: BackendConnection) -> Ok | Rows:
        """The empty packet, and the server's answer to all of it."""
        collector = Collector()
        connection.relay(frame(b"", self._sequence.pop(connection)), collector)
        return await collector.answer

    async def _load(self, name: bytes, connections: Mapping[Place, BackendConnection]) -> SqlError | None:
        """Divide the client's file; an error, after all of it has been taken."""
        upload = Upload(self.call.out)
        upload.ask(name)
        try:
            await self._divide(upload, connections)
        except SqlError as error:
            await upload.drain()
            return error
        upload.end()
        return None

    async def _divide(self, upload: Upload, connections: Mapping[Place, BackendConnection]) -> None:
        data = b""
        skip = self.plan.head.format.skip
        wanted = 0  # bytes before it is worth a look again at a line that was not complete
        while not self.rows.final:
            piece = await upload.piece()
            self.rows.final = not piece
            data += piece
            if len(data) < wanted and not self.rows.final:
                continue
            at = 0
            while skip and (after := self.rows.skip(data, at)) is not None:
                at, skip = after, skip - 1
            if not skip:
                at = await self._pass_rows(data, at, connections)
            data = data[at:]
            if len(data) > self.largest_row:
                raise PACKET_TOO_LARGE()
            wanted = 2 * len(data)

    async def _pass_rows(self, data: bytes, at: int, connections: Mapping[Place, BackendConnection]) -> int:
        """Send the complete rows; the position after them."""
        while True:
            batch: list[FileRow] = []
            begin = at
            while at - begin < PIECE and (row := self.rows.row(data, at)) is not None:
                batch.append(row)
                at = row.end
            if not batch:
                return at
            await self._send(data, batch, connections)
            await asyncio.sleep(0)

    async def _send(self, data: bytes, batch: list[FileRow], connections: Mapping[Place, BackendConnection]) -> None:
        ids = await self._ids(batch)
        parts: dict[Place, list[bytes]] = {}
        for row, new_id in zip(batch, ids, strict=True):
            self.count += 1
            place = self._place(row, new_id)
            line = data[row.start : row.end]
            if new_id is not None and self.listed_id is None:
                line = b"%d%b%b" % (new_id, self.plan.head.format.field_end, line)
            elif new_id is not None:
                start, end = row.marked
                line = data[row.start : start] + b"%d" % new_id + data[end : row.end]
            parts.setdefault(place, []).append(line)
            if len(self.numbers[place]) < REMEMBERED:
                self.numbers[place].append(self.count - 1)
        for place, lines in parts.items():
            await self._write(connections[place], b"".join(lines))

    async def _write(self, connection: BackendConnection, data: bytes) -> None:
        if not connection.usable:
            raise BACKEND_LOST(label=connection.label)
        for start in range(0, len(data), 1 << 20):  # packets of less than 16 MB, which nothing has to complete
            number = self._sequence[connection]
            connection.transport.write(frame(data[start : start + (1 << 20)], number))
            self._sequence[connection] = (number + 1) & 0xFF
        await connection.drained()

    # -- rows -----------------------------------------------------------------------------------------------------

    async def _ids(self, batch: Sequence[FileRow]) -> list[int | None]:
        """New ids for the rows that have none of their own. These first move the sequence past themselves, so that no
        new one is among them.
        """
        generated = self.plan.generated
        if generated is None:
            return [None] * len(batch)
        counted = [self._counts(row, number) for number, row in enumerate(batch, self.count + 1)]
        if generated.bumps and self.highest:
            await self.sequences.bump(generated.sequence, self.highest, self.lowest)
            self.lowest = self.highest = 0
        wanted = sum(counted)
        runs = await self.sequences.take_many(generated.sequence, wanted) if wanted else []
        given = [one for run in runs for one in run]
        self.first_id = self.first_id or (given[0] if given else 0)
        new = iter(given)
        return [next(new) if counts else None for counts in counted]

    def _counts(self, row: FileRow, number: int) -> bool:
        """True for a row whose id a server would count. Raises UNSUPPORTED for an id that it would change."""
        position = self.listed_id
        if position is None:
            return True
        field = row.fields[position] if position < len(row.fields) else b""
        if field is None or (field == b"0" and self.counts_zero):
            return True
        if _WHOLE.fullmatch(field) is None:
            column = self.plan.generated.column if self.plan.generated is not None else ""
            raise UNSUPPORTED(
                construct=f"row {number} of the file, whose {column} is neither NULL nor a positive whole number; leave"
                " the column out of the list to have ids from the sequence"
            )
        given = int(field)
        self.lowest = min(self.lowest or given, given)
        self.highest = max(self.highest, given)
        return False

    def _place(self, row: FileRow, new_id: int | None) -> Place:
        """The shard of a row. Raises where that cannot be known for certain."""
        key = self.plan.sharding
        value: Value = new_id
        if key.position is not None and not (new_id is not None and key.position == self.listed_id):
            value = self._stored(row, key.position)
        keyspace_id = key.vindex.map(value)
        if keyspace_id is None:
            raise CANNOT_MAP(values=f"[{value!r} at row {self.count}]")
        return self.places[self.servers.find(keyspace_id)]

    def _field(self, row: FileRow, position: int, column: str) -> bytes:
        field = row.fields[position] if position < len(row.fields) else None
        if field is None:
            raise CANNOT_MAP(values=f"[row {self.count} of the file: no value for {column}]")
        return field

    def _stored(self, row: FileRow, position: int) -> Value:
        """What a server stores in the sharding column of a row."""
        key = self.plan.sharding
        field = self._field(row, position, key.column.name)
        literal = Literal(LiteralKind.STRING, field, self.charset)
        found = read_value(literal, key.column, key.vindex, Purpose.INSERT)
        if isinstance(found, Known):
            return found.value
        shown = field[:64].decode("utf-8", "replace")
        raise CANNOT_MAP(values=f"[{shown!r} as {key.column.name} in row {self.count} of the file]")
