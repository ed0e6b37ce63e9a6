"""DDL on a sharded keyspace: the shards' part, and what goes with it in sequences and in the VSchema.

What a statement comes to is said by ``planner.implicit``; here it is carried out in an order that leaves nothing wrong
behind. Before the shards hear of a table, the VSchema knows it and its sequence is made, and both are taken back if the
shards refuse. What is no longer used goes after the shards have answered. The client hears last.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vgate.backend.connection import Rows
from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.engine.returning import give_text
from vgate.engine.route import give_done, run_every
from vgate.engine.single import follow_transaction, let_go
from vgate.errors import BUG, DDL_PARTIAL, SEQUENCE_EXISTS, UNSUPPORTED, SqlError
from vgate.planner.ddl import read_ddl
from vgate.planner.implicit import (
    Definition as TableDefinition,
)
from vgate.planner.implicit import (
    KeptSequence,
    NewSequence,
    check_wide,
    default_kind,
    owns_sequence,
    read_definition,
    sequence_of,
)
from vgate.planner.plan import EveryShard
from vgate.planner.statements import QualifiedName, Words
from vgate.query.numbering import number_rows
from vgate.sequences.catalog import ClusterCatalog
from vgate.sequences.definition import Definition, Kind, created, key_of, like
from vgate.sequences.every import EverySequence
from vgate.session.session import Diagnostic
from vgate.sql.alter_vschema import (
    AddAutoIncrement,
    AddVindex,
    Change,
    DropAutoIncrement,
    DropTable,
    RemoveVindex,
    RenameTable,
)
from vgate.sql.names import backquoted
from vgate.sql.sequences import Options
from vgate.vschema.model import Table, TableName
from vgate.wire.packets import Ok, read_column

if TYPE_CHECKING:
    from vgate.backend.cluster import Cluster
    from vgate.query.conversation import Conversation
    from vgate.query.living import LivingVSchema

_NOTE: Final = UNSUPPORTED.errno
_TABLE_EXISTS: Final = 1050


class TableStatements:
    """See the module; works for its conversation."""

    __slots__ = ("_conversation",)

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    async def run(self, call: Call, plan: EveryShard) -> None:
        """Carry out a DDL statement and answer. Raises SqlError."""
        definition = read_definition(call.text, call.mode, plan.keyspace, self._cluster.vschema)
        if definition is not None:
            if definition.changes or definition.sequence is not None:
                async with self._living.making(definition.table):
                    definition = self._again(call, plan, definition)
                    answer = await self._define(call, plan, definition)
            else:
                answer = await self._define(call, plan, definition)
            give_done(call, answer, [Diagnostic("Warning", _NOTE, note) for note in definition.notes])
            return
        words = Words(call.text, call.mode)
        verb = words.word()
        ddl = read_ddl(words)
        drops = verb == "drop" and ddl is not None and bool(ddl.tables)
        try:
            answer = await self._on_every(call, plan)
        except SqlError as error:
            if drops and error.errno != DDL_PARTIAL.errno:  # MariaDB drops those it finds, and complains of the others
                await self._dropped(plan)
            raise
        if drops:
            await self._dropped(plan)
        if verb == "truncate":
            for name in plan.tables:
                await self._truncated(name)
        if ddl is not None:
            await self._renamed(ddl.renames, plan)
        give_done(call, answer)

    def text_for_shards(self, call: Call, plan: EveryShard) -> bytes:
        """The statement without what only vgate reads of it. Raises VgateError for what is refused."""
        definition = read_definition(call.text, call.mode, plan.keyspace, self._cluster.vschema)
        return call.text if definition is None else definition.text

    # -- CREATE and ALTER -----------------------------------------------------------------------------------------

    async def _define(self, call: Call, plan: EveryShard, definition: TableDefinition) -> Ok:
        """The VSchema first: its file is locked while it changes, so of several who make a table one goes on."""
        if definition.kept is not None:
            await self._check_kept(definition.table, definition.kept)
        if definition.adds:
            return await self._add(call, plan, definition)
        if definition.changes and await self._living.catch_up():
            definition = self._again(call, plan, definition)
        if definition.creates and await self._is_there(definition.table):
            definition = replace(definition, changes=(), sequence=None)  # the shards will say so
        if definition.changes:
            definition = await self._change(call, plan, definition)
        sequence, made = definition.sequence, False
        try:
            if sequence is not None:
                made = await self._make(sequence, definition.table)
            call.text = definition.text
            answer = await self._on_every(call, plan)
        except SqlError as error:
            # Where some shards have done it, the rest of it is to be done yet; a table that is there another vgate has
            # made meanwhile, and needs all this, too.
            if error.errno not in (DDL_PARTIAL.errno, _TABLE_EXISTS):
                await self._take_back(definition, sequence if made else None)
            raise
        await self._settle(definition)
        ddl = read_ddl(Words(call.text, call.mode))
        if ddl is not None:
            await self._renamed(ddl.renames, plan)
        return answer

    async def _add(self, call: Call, plan: EveryShard, definition: TableDefinition) -> Ok:
        """A new column that counts: once the rows have their ids, the column is the sequence's business."""

        sequence = definition.sequence
        assert sequence is not None

        async def settle(highest: int) -> None:
            start = max(highest + 1, definition.restart or 1)
            made = await self._make(replace(sequence, start=start), definition.table)
            try:
                if not made:
                    await self._sequences.bump(sequence.name, start - 1)
                await self._living.change(definition.changes)
            except SqlError:
                if made:
                    await self._sequences.own.drop(sequence.name)
                raise

        ddl = read_ddl(Words(call.text, call.mode))
        if ddl is not None and ddl.renames:
            raise UNSUPPORTED(construct="RENAME TO in one ALTER TABLE with ADD of an AUTO_INCREMENT column")
        await self._sequences.own.find(sequence.name)  # while its server is away nothing begins
        try:
            return await number_rows(call, definition, settle)
        finally:
            await self._living.tables_changed(plan.keyspace)

    def _again(self, call: Call, plan: EveryShard, definition: TableDefinition) -> TableDefinition:
        """What the statement comes to by now: the VSchema may be another."""
        return read_definition(call.text, call.mode, plan.keyspace, self._cluster.vschema) or definition

    async def _is_there(self, table: TableName) -> bool:
        self._cluster.forget_tables(table.keyspace)
        return await self._cluster.load_table(table) is not None

    async def _change(self, call: Call, plan: EveryShard, definition: TableDefinition) -> TableDefinition:
        """Change the VSchema, where another vgate may just have made the table known."""
        try:
            await self._living.change(definition.changes)
        except SqlError:
            if not await self._living.catch_up():
                raise
            definition = self._again(call, plan, definition)
            if definition.changes:
                await self._living.change(definition.changes)
        return definition

    async def _check_kept(self, table: TableName, kept: KeptSequence) -> None:
        """A column's sequence keeps its kind. Raises UNSUPPORTED where the statement says otherwise."""
        name = sequence_of(table)
        one = await self._sequences.own.find(name)
        if one is None:
            return
        wanted, unit = kept.counter.kind.upper() or one.kind, kept.counter.unit or (one.unit_count, one.unit_index)
        if (wanted, unit) != (one.kind, (one.unit_count, one.unit_index)):
            raise UNSUPPORTED(
                construct=f"another kind of sequence for {table}.{kept.column} than its {one.kind}; what ALTER SEQUENCE"
                f" {name} CHANGE TO can do, it does"
            )
        if one.kind is Kind.TIME:
            check_wide(table, kept.column, kept.type)

    async def _make(self, new: NewSequence, table: TableName) -> bool:
        """Make a table's sequence; False where the table and its sequence are there already."""
        start = new.start if new.start is not None else await self._highest(table, new.column) + 1
        count, index = new.unit if new.unit is not None else (None, None)
        first = start if new.kind == "simple" or start > 1 else None
        options = Options() if new.kind == "time" else Options(start=first, unit_count=count, unit_index=index)
        kind = Kind((new.kind or "group").upper())
        original = await self._sequences.own.find(new.like) if new.like is not None else None
        if original is not None:
            kind, options = original.kind, like(original)
        try:
            await self._sequences.own.create(new.name, kind, options)
        except SqlError as error:
            if error.errno != SEQUENCE_EXISTS.errno:
                raise
            if await self._cluster.load_table(table) is not None:
                if new.start is None:
                    await self._sequences.bump(new.name, start - 1)
                return False
            # Left behind by a table that went without vgate, or made by another vgate that makes the same table.
            found, wanted = await self._sequences.own.find(new.name), created(new.name, kind, options)
            if found is not None and _alike(found, wanted):
                await self._sequences.bump(new.name, start - 1)
                return False
            await self._sequences.own.drop(new.name)
            await self._sequences.own.create(new.name, kind, options)
        return True

    async def _take_back(self, definition: TableDefinition, made: NewSequence | None) -> None:
        undo: list[Change] = []
        for change in reversed(definition.changes):
            if isinstance(change, AddAutoIncrement):
                undo.append(DropAutoIncrement(change.keyspace, change.table))
            elif isinstance(change, AddVindex):
                undo.append(RemoveVindex(change.keyspace, change.table, change.vindex))
        if undo:
            await self._living.change(undo)
        if made is not None:
            await self._sequences.own.drop(made.name)

    async def _settle(self, definition: TableDefinition) -> None:
        """What follows an ALTER TABLE that the shards have carried out."""
        name = definition.table
        sequence = sequence_of(name)
        if definition.unbinds:
            await self._living.change([DropAutoIncrement(name.keyspace, name.table)])
            await self._sequences.own.drop(sequence)
        elif definition.rebinds:
            await self._living.change([
                DropAutoIncrement(name.keyspace, name.table),
                _binding(name, definition.rebinds, self._listed(name)),
            ])  # fmt: skip
        if definition.restart is not None:
            listed = self._listed(name)
            if listed is not None and listed.auto_increment is not None:
                await self._sequences.bump(listed.auto_increment.sequence, definition.restart - 1)

    # -- DROP, TRUNCATE and RENAME --------------------------------------------------------------------------------

    async def _dropped(self, plan: EveryShard) -> None:
        """Forget the tables that are gone. Of a reference table the VSchema goes on to say that it is one."""
        for name in plan.tables:
            listed = self._listed(name)
            if listed is None or await self._cluster.load_table(name) is not None:
                continue
            own = owns_sequence(listed)
            if self._cluster.vschema.keyspace(name.keyspace).ddl.auto_vindex and listed.primary_vindex is not None:
                await self._living.change([DropTable(name.keyspace, name.table)])
            elif own:
                await self._living.change([DropAutoIncrement(name.keyspace, name.table)])
            if own:
                await self._sequences.own.drop(sequence_of(name))

    async def _truncated(self, name: TableName) -> None:
        if owns_sequence(self._listed(name)):
            await self._sequences.own.restart(sequence_of(name))

    async def _renamed(self, renames: tuple[tuple[QualifiedName, QualifiedName], ...], plan: EveryShard) -> None:
        """Carry entries of the VSchema and sequences along, one rename after the other."""
        for (_, old), (_, new) in renames:
            before, after = TableName(plan.keyspace, old), TableName(plan.keyspace, new)
            listed = self._listed(before)
            if listed is None or self._listed(after) is not None:
                continue
            changes: list[Change] = [RenameTable(plan.keyspace, old, new)]
            if owns_sequence(listed) and listed.auto_increment is not None:
                await self._sequences.own.rename(sequence_of(before), sequence_of(after))
                binding = _binding(after, listed.auto_increment.column, listed)
                changes = [DropAutoIncrement(plan.keyspace, old), *changes, binding]
            await self._living.change(changes)

    # -- SHOW CREATE TABLE and SHOW COLUMNS -----------------------------------------------------------------------

    async def show(self, call: Call, name: TableName) -> bool:
        """The table as its client has made it: with AUTO_INCREMENT where the shards have a plain column."""
        listed = self._listed(name)
        bound = listed.auto_increment if listed is not None else None
        place = (name.keyspace, 0)
        connection = await call.scope.take(place)
        try:
            try:
                answer = await connection.query(text_for(call, place, call.text))
                await follow_transaction(call.scope, place, connection, connection.response.status)
            finally:
                await let_go(call, place, connection, connection.response.status)
        finally:
            call.scope.give_back(place, connection)
        if not isinstance(answer, Rows) or bound is None:
            raise BUG(detail="SHOW of a table without rows")
        rows = answer.values()
        columns = [read_column(payload).name.lower() for payload in answer.columns]
        if b"extra" in columns:
            at = columns.index(b"extra")
            shown = [(*row[:at], counted(row[at], row[0], bound.column), *row[at + 1 :]) for row in rows]
        else:
            one = await ClusterCatalog(self._cluster).find(key_of(bound.sequence))
            shown = [(row[0], counting(row[1], bound.column, one), *row[2:]) for row in rows]
        call.session.diagnostics, call.session.row_count, call.session.found_rows = [], -1, None
        give_text(call, place, answer, shown)
        return True

    # -- the rest -------------------------------------------------------------------------------------------------

    async def _on_every(self, call: Call, plan: EveryShard) -> Ok:
        return await run_every(call, plan, self._living.tables_changed)

    async def _highest(self, table: TableName, column: str) -> int:
        """The greatest id on any shard; 0 where there is none."""
        text = b"SELECT MAX(%b) FROM %b" % (backquoted(column), backquoted(table.table))
        highest = 0
        for index in range(len(self._cluster.vschema.keyspace(table.keyspace).shards)):
            async with self._cluster.connection(table.keyspace, index) as connection:
                ((found,),) = await connection.rows(text)
                highest = max(highest, int(found or 0))
        return highest

    def _listed(self, name: TableName) -> Table | None:
        keyspace = self._cluster.vschema.keyspaces.get(name.keyspace)
        return None if keyspace is None else keyspace.tables.get(name.table)

    @property
    def _cluster(self) -> Cluster:
        return self._conversation.gate.cluster

    @property
    def _living(self) -> LivingVSchema:
        return self._conversation.gate.living

    @property
    def _sequences(self) -> EverySequence:
        return self._conversation.gate.sequences


def _binding(table: TableName, column: str, was: Table | None) -> AddAutoIncrement:
    """A table bound to its own sequence, as it ``was`` bound before."""
    sequence = sequence_of(table)
    bumps = was is None or was.auto_increment is None or was.auto_increment.bumps
    return AddAutoIncrement(table.keyspace, table.table, column, sequence.table, sequence.keyspace, bumps)


def _alike(one: Definition, other: Definition) -> bool:
    return (one.kind, one.unit_count, one.unit_index) == (other.kind, other.unit_count, other.unit_index)


def counting(text: bytes | None, column: str, one: Definition | None) -> bytes | None:
    """A server's SHOW CREATE TABLE with AUTO_INCREMENT where it stands for a column that counts.

    The kind that such a column has by itself goes without saying. Where a server shows the next value, so does this: a
    SIMPLE's, or where a GROUP began.
    """
    if text is None:
        return None
    pattern = rb"^  %b (?P<type>[^'\n]*?)(?=,?$| COMMENT ')" % re.escape(backquoted(column))
    line = re.search(pattern, text, re.M | re.I)
    if line is None:
        return text
    counter = _counter(line["type"].decode("utf-8", "replace").lower(), one)
    text = text[: line.end()] + b" " + counter + text[line.end() :]
    start = 0 if one is None else one.value if one.kind is Kind.SIMPLE else one.start if one.kind is Kind.GROUP else 0
    if start <= 1:
        return text
    return re.sub(rb"^\) ENGINE=\w+", lambda end: b"%b AUTO_INCREMENT=%d" % (end[0], start), text, count=1, flags=re.M)


def _counter(type_: str, one: Definition | None) -> bytes:
    """AUTO_INCREMENT as CREATE TABLE says it."""
    if one is None or (one.kind == (default_kind(type_) or "group").upper() and one.unit_count == 1):
        return b"AUTO_INCREMENT"
    unit = f" UNIT COUNT {one.unit_count} INDEX {one.unit_index}" if one.unit_count > 1 else ""
    return f"AUTO_INCREMENT BY {one.kind}{unit}".encode()


def counted(extra: bytes | None, column: bytes | None, counts: str) -> bytes | None:
    """The Extra of a column in SHOW COLUMNS, where ``counts`` is the column that counts."""
    return b"auto_increment" if not extra and (column or b"").decode().lower() == counts.lower() else extra
