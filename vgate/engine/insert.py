"""INSERT and REPLACE ... VALUES: every row to its shard, missing ids from a sequence, all or nothing up to COMMIT.

The rows stay the client's own text, cut and joined by offset; only ids, and a column list where none was written, are
put in. Long statements are worked through in slices, so that other clients are served in between. What the answer says
of ids is in ``engine.insert_id``. This module does not know how the statement was planned.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.insert_id import Rules, Written, duplicates, in_doubt, insert_ids
from vgate.engine.insert_parts import Parts
from vgate.engine.returning import give_rows
from vgate.engine.route import give_ok
from vgate.engine.single import run_single
from vgate.engine.write import combined, write_all
from vgate.errors import CANNOT_MAP, COLUMN_COUNT, SYNTAX, TOO_MANY_ROWS, UNSUPPORTED
from vgate.planner.build import syntax_error
from vgate.planner.plan import Access, Insert, InsertKey, OnDuplicate
from vgate.planner.values import Known, Purpose, read_value
from vgate.sequences.every import EverySequence
from vgate.sql.lexer import STRETCH, LexError
from vgate.sql.literals import Literal, LiteralKind, negated, read_literal
from vgate.sql.rows import SLICE, ValueRows, read_head, values_form
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place
from vgate.vindex.base import Value
from vgate.vschema.model import TableType
from vgate.wire.packets import Ok

_ZERO: Final = re.compile(rb"\s*[+-]?(?:0+\.?0*|\.0+)(?:[eE][+-]?\d+)?\s*")
_WHOLE: Final = re.compile(rb"\s*[+-]?\d{1,20}(?:\.0*)?\s*")
_FILLED: Final = frozenset({b"null", b"default", b"\\n"})
_ALIAS_ID: Final = b"`vgate_generated`"


class InsertRun:
    """One INSERT under way."""

    def __init__(
        self, call: Call, plan: Insert, sequences: EverySequence, *, no_auto_value_on_zero: bool, max_rows: int,
        of_query: bool = False,
    ) -> None:  # fmt: skip
        self.call = call
        self.plan = plan
        self.sequences = sequences
        self.keep_zero = no_auto_value_on_zero
        self.of_query = of_query  # a single row follows the rules for several, too
        self.max_rows = max_rows
        self.columns: Sequence[str] = plan.columns
        self.missing_id = plan.generated is not None and plan.generated.position is None
        self.ids: Sequence[int | None] | None = None  # by row; a generated one where there is one
        self.first_id = self.count = 0  # those taken from the sequence
        self.runs: list[range] = []
        self.last_id = 0  # the last row's, given or generated
        self.lowest = self.highest = 0  # of those given, above 0
        self.source: ValueRows
        self.text: bytes
        self.starts, self.ends = array("q"), array("q")  # where each row is; numbers alone are nothing to the collector
        self.places: dict[int, tuple[array[int], array[int]]] = {}  # where the values that matter are, by position
        self.counters: dict[int, str] = {}  # AUTO_INCREMENT columns without a sequence, by position
        key, generated = plan.sharding, plan.generated
        self.by_id = key is not None and generated is not None and generated.column == key.column.name
        self.everywhere = plan.table.type is TableType.REFERENCE
        self.rules: Rules

    async def run(self) -> bool:
        """Insert the rows and answer; False if the answer was an error the server gave."""
        try:
            head = read_head(self.call.text, self.call.mode)
            self.text = values_form(self.call.text, self.call.mode, head)
            self.source = ValueRows(self.text, self.call.mode, head if self.text is self.call.text else None)
            await self._read_rows()
        except LexError as error:
            raise syntax_error(self.call.text, min(error.offset, len(self.call.text)), error.reason) from None
        await self._take_ids()
        shards = await self._by_shard()
        keyspace = self.plan.table.name.keyspace
        numbers: dict[Place, Sequence[int]] = {(keyspace, index): shards[index] for index in sorted(shards)}
        tail, tells_id = self._tail()
        self.rules = Rules(
            self.plan.on_duplicate, self.call.scope.found_rows, self.by_id, self.call.insert_id_read, tells_id,
            self._counts(),
        )  # fmt: skip
        self.call.binary_rows = self.plan.returning and self.call.out.binary
        texts = {place: await self._text(wanted, tail) for place, wanted in numbers.items()}
        if self.of_query and len(self.starts) == 1:
            ((place, text),) = texts.items()
            texts = {place: self._as_select(0, tail) or text}
        if self.everywhere:
            (text,) = texts.values()
            count = len(self.call.scope.cluster.keyspaces[keyspace].keyspace.shards)
            return await self._send_all({(keyspace, index): text for index in range(count)}, numbers)
        if len(texts) == 1 and not self._must_look() and not self.call.binary_rows:
            return await self._send_one(texts)
        return await self._send_all(texts, numbers)

    async def _read_rows(self) -> None:
        """Find the rows, and of each the values that matter. Raises LexError, COLUMN_COUNT, TOO_MANY_ROWS."""
        starts, ends = self.starts, self.ends
        expected = len(self.columns)
        wanted: list[tuple[int, array[int], array[int]]] = []
        turn = 0
        for number, row in enumerate(self.source, 1):
            values = row.values
            if number == 1:
                if self.plan.implicit_columns and not values:  # VALUES () stands for all defaults
                    self.columns = ()
                    self.missing_id = self.plan.generated is not None
                    expected = 0
                self.counters = self._counters()
                self.places = {position: (array("q"), array("q")) for position in self._positions()}
                wanted = [(position, *places) for position, places in self.places.items()]
            if len(values) != expected:
                self._check_commas(values)
                raise COLUMN_COUNT(row=number)
            starts.append(row.start)
            ends.append(row.end)
            for position, value_starts, value_ends in wanted:
                start, end = values[position]
                value_starts.append(start)
                value_ends.append(end)
            if number % SLICE == 0 or row.end - turn > STRETCH:
                turn = row.end
                await asyncio.sleep(0)
        if len(starts) > self.max_rows:
            raise TOO_MANY_ROWS(rows=len(starts), limit=self.max_rows)

    def _positions(self) -> set[int]:
        """Which values decide about ids and shards."""
        if not self.columns:
            return set()
        found = (one.position for one in (self.plan.generated, self.plan.sharding) if one is not None)
        return {position for position in (*found, *self.counters) if position is not None}

    def _counters(self) -> dict[int, str]:
        """Columns in which a row must have a value, as each shard would count by itself."""
        info = self.call.scope.cluster.table(self.plan.table.name)
        if info is None or (self.plan.sharding is None and not self.everywhere):
            return {}
        bound = self.plan.generated.column if self.plan.generated is not None else None
        names = [one.name for one in info.columns if one.auto_increment and one.name != bound]
        return {self.columns.index(name): name for name in names if name in self.columns}

    def _check_commas(self, values: Sequence[tuple[int, int]]) -> None:
        """Raises LexError where a value is missing between two commas."""
        for start, end in values:
            if not self.text[start:end].strip():
                raise LexError(end)

    # -- values ---------------------------------------------------------------------------------------------------

    def _value(self, number: int, position: int | None) -> bytes | None:
        """The text of a row's value, without comments around it; None where the column is missing."""
        places = self.places.get(position) if position is not None else None
        if places is None:
            return None
        raw = self.text[places[0][number] : places[1][number]].strip()
        if b"*/" in raw or b"\n" in raw:
            tokens = self.call.lexer.tokens(raw)
            if tokens:
                return raw[tokens[0].start : tokens[-1].end]
        return raw

    def _literal(self, raw: bytes) -> Literal | None:
        """The one literal ``raw`` is, sign included; None for any other expression."""
        literal = read_literal(raw, self.call.mode)
        if literal.kind is LiteralKind.OTHER:
            tokens = self.call.lexer.tokens(raw)
            if len(tokens) != 2:
                return None
            sign, number = (raw[token.start : token.end] for token in tokens)
            if sign not in (b"-", b"+"):
                return None
            negative = negated(read_literal(number, self.call.mode))
            literal = negative if sign == b"-" else negated(negative)
        return None if literal.kind is LiteralKind.OTHER else literal

    # -- ids ------------------------------------------------------------------------------------------------------

    async def _take_ids(self) -> None:
        """Take as many values from the sequence as rows want, in one go, so that they are consecutive."""
        generated = self.plan.generated
        if self.counters:
            self._check_counters()
        if generated is None:
            return
        total = len(self.starts)
        wanting: Sequence[int] = range(total)
        if not self.missing_id:
            wanting = await self._wanting()
            if self.highest > 0 and generated.bumps:
                await self.sequences.bump(generated.sequence, self.highest, self.lowest)
        if not wanting:
            return
        self.count = len(wanting)
        sequence = generated.sequence
        first = self.sequences.take_now(sequence, self.count)
        if first is None:
            self.runs = await self.sequences.take_many(sequence, self.count)
        else:
            self.runs = [range(first, first + self.count)]
        self.first_id = self.runs[0][0]
        new: Sequence[int] = self.runs[0] if len(self.runs) == 1 else [one for run in self.runs for one in run]
        if self.count == total:
            self.ids = new
        else:
            filled: list[int | None] = [None] * total
            for number, one in zip(wanting, new, strict=True):
                filled[number] = one
            self.ids = filled
        self.last_id = self.ids[-1] or self.last_id

    async def _wanting(self) -> list[int]:
        """The rows whose id the sequence is to give. Raises UNSUPPORTED where that cannot be known."""
        generated = self.plan.generated
        assert generated is not None
        wanting: list[int] = []
        for number in range(len(self.starts)):
            given = self._given_id(number, generated.position, generated.column)
            if given is None:
                wanting.append(number)
            else:
                self.last_id = given
                if given > 0:
                    self.lowest = min(self.lowest or given, given)
                    self.highest = max(self.highest, given)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        return wanting

    def _check_counters(self) -> None:
        """Raises UNSUPPORTED for a row that would have a shard count."""
        for position, name in self.counters.items():
            for number in range(len(self.starts)):
                if self._given_id(number, position, name) is None:
                    raise UNSUPPORTED(
                        construct=f"INSERT into {self.plan.table.name} with NULL, DEFAULT or 0 for {name}, which is"
                        " AUTO_INCREMENT without a sequence: each shard would count by itself"
                    )

    def _given_id(self, row: int, position: int | None, column: str) -> int | None:
        """The id that a row gives itself; None for NULL, DEFAULT and 0, in the place of which a server generates one.

        ``''`` and ``'abc'`` are errors or 0 as the sql_mode is, so they are refused.
        """
        raw = self._value(row, position)
        assert raw is not None
        if raw.isdigit():
            number = int(raw)
        elif raw.lower() in _FILLED:
            facts = self.call.scope.cluster.facts_for(self.plan.table.name.keyspace)
            if raw == b"\\N" and facts.flavour is Flavour.MYSQL:
                raise SYNTAX(detail="\\N is NULL in MariaDB only")
            return None
        else:
            literal = self._literal(raw)
            found = None if literal is None else _whole(literal)
            if found is None:
                raise UNSUPPORTED(
                    construct=f"{_shortened(raw)} as the value of {column}, in which ids are counted; give a whole"
                    " number, NULL or DEFAULT"
                )
            number = found
        return number if number or self.keep_zero else None

    # -- shards ---------------------------------------------------------------------------------------------------

    async def _by_shard(self) -> dict[int, Sequence[int]]:
        """Row numbers by shard index."""
        key = self.plan.sharding
        if key is None:
            return {0: range(len(self.starts))}
        servers = self.call.scope.cluster.keyspaces[self.plan.table.name.keyspace]
        ids = self.ids if self.by_id else None
        shards: dict[int, list[int]] = {}
        for number in range(len(self.starts)):
            value: Value = None if ids is None else ids[number]
            if value is None:
                value = self._stored(key, number)
            keyspace_id = key.vindex.map(value)
            if keyspace_id is None:
                raise CANNOT_MAP(values=f"[{_shown(value)}]")
            index = servers.find(keyspace_id)
            if index in shards:
                shards[index].append(number)
            else:
                shards[index] = [number]
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        return {**shards}

    def _stored(self, key: InsertKey, row: int) -> Value:
        """What the server will store in the sharding column. Raises where that cannot be known for certain."""
        raw = self._value(row, key.position)
        if raw is None or raw.lower() == b"default":
            return key.default
        literal = self._literal(raw)
        if literal is None:
            raise UNSUPPORTED(
                construct=f"an expression as the value of the sharding column {key.column.name}; give a literal"
            )
        found = read_value(literal, key.column, key.vindex, Purpose.INSERT)
        if isinstance(found, Known):
            return found.value
        raise CANNOT_MAP(values=f"[{_shortened(raw)}]")

    # -- texts ----------------------------------------------------------------------------------------------------

    async def _text(self, numbers: Sequence[int], tail: bytes) -> bytes:
        """The statement for one shard: head, its rows, tail."""
        source = self.source
        whole = len(numbers) == len(self.starts) and self.ids is None and not self.plan.implicit_columns
        if whole and tail == self.text[source.tail_start :]:
            return self.text
        parts = [self._head(), b" "]
        for at in range(0, len(numbers), SLICE):
            if at:
                parts.append(b", ")
                await asyncio.sleep(0)
            parts.append(b", ".join([self._row(number) for number in numbers[at : at + SLICE]]))
        if tail:
            parts += (b" ", tail)
        return b"".join(parts)

    def _head(self) -> bytes:
        """Everything up to and including VALUES, with the column list the rows now have."""
        text, source = self.text, self.source
        values = text[source.keyword_start : source.head_end]
        generated = self.plan.generated
        names = [self.call.quoted(name) for name in self.columns] if self.plan.implicit_columns else []
        if self.missing_id and generated is not None:
            names.append(self.call.quoted(generated.column))
        if self.plan.implicit_columns:
            return text[: source.keyword_start] + b" (" + b", ".join(names) + b") " + values
        if not names:
            return text[: source.head_end]
        end = source.head.list_end
        comma = b", " if self.columns else b""
        return text[:end] + comma + names[0] + text[end : source.head_end]

    def _as_select(self, number: int, tail: bytes) -> bytes | None:
        """The statement with one row as a SELECT; None where it has what a SELECT cannot."""
        source = self.source
        row = self._row(number)
        if not self.columns or b"default" in row.lower() or tail[:2].lower() == b"as":
            return None
        head = self._head().removesuffix(self.text[source.keyword_start : source.head_end])
        return b"%b SELECT %b %b" % (head, row[row.index(b"(") + 1 : row.rindex(b")")], tail)

    def _row(self, number: int) -> bytes:
        text = self.text
        row, end = self.starts[number], self.ends[number]
        new_id = self.ids[number] if self.ids is not None else None
        if new_id is None:
            return text[row:end]
        generated = self.plan.generated
        if self.missing_id or generated is None or generated.position is None:
            return b"%b, %d)" % (text[row : end - 1], new_id) if self.columns else b"(%d)" % new_id
        places = self.places[generated.position]
        return b"%b%d%b" % (text[row : places[0][number]], new_id, text[places[1][number] : end])

    def _tail(self) -> tuple[bytes, bool]:
        """What follows the rows: with the id in the alias's columns, and ``id = LAST_INSERT_ID(id)`` after an update.

        The second is whether it ends so; see ``insert_id.Rules``.
        """
        tail = self.text[self.source.tail_start :]
        generated = self.plan.generated
        if generated is None or self.plan.on_duplicate is not OnDuplicate.UPDATE:
            return tail, False
        tokens = self.call.lexer.tokens(tail)
        words = [tail[token.start : token.end].lower() for token in tokens]
        tells_id = self.call.insert_id_read and _sets_id(words, generated.column)
        if not self.call.insert_id_read and not self.by_id:
            tells_id = True
            end = tokens[-1].end
            name = self.call.quoted(self.plan.table.name.table) + b"." + self.call.quoted(generated.column)
            tail = b"%b, %b = LAST_INSERT_ID(%b)%b" % (tail[:end], name, name, tail[end:])
        if self.missing_id and words[0] == b"as" and words[2] == b"(":
            end = tokens[words.index(b")")].start
            tail = b"%b, %b%b" % (tail[:end], _ALIAS_ID, tail[end:])
        return tail, tells_id

    # -- sending --------------------------------------------------------------------------------------------------

    def _must_look(self) -> bool:
        """True if which of several rows were stored may have to be asked, before the answer can be given."""
        if len(self.starts) == 1 or not self.first_id or self.by_id:
            return False
        return self.plan.on_duplicate in (OnDuplicate.IGNORE, OnDuplicate.UPDATE)

    async def _send_one(self, texts: dict[Place, bytes]) -> bool:
        """All rows are on one shard: its answer is passed on, but for the insert id."""
        ((place, text),) = texts.items()
        session = self.call.session
        insert_id: int | None = None

        def edit(ok: Ok) -> Ok:
            nonlocal insert_id
            written = Written(ok, len(self.starts), self.first_id, self.last_id)
            given, insert_id = insert_ids(self.rules, [written], written)
            return Ok(ok.affected, given, ok.status, ok.warnings, ok.info)

        done = await run_single(self.call, place, text, Access.WRITE, edit)
        if self.plan.returning and done:  # rows, and no OK that could tell an id
            insert_id = self.first_id or None
        if insert_id is not None:
            session.insert_id = insert_id
        return done

    async def _send_all(self, texts: dict[Place, bytes], numbers: dict[Place, Sequence[int]]) -> bool:
        """Run every shard's text, all or nothing, and make one answer of theirs."""
        stored: dict[Place, int] = {}

        async def look(place: Place, connection: BackendConnection, ok: Ok) -> None:
            if in_doubt(self.rules, self._written(ok, numbers[place])) and self._is_indexed():
                stored[place] = await self._first_stored(connection)

        returned: dict[Place, Rows] | None = {} if self.plan.returning else None
        tail, _ = self._tail()
        parts = Parts(self.call, texts, numbers, partial(self._text, tail=tail), partial(self._as_select, tail=tail))
        answers = await write_all(
            self.call, texts, numbers, look, returned, tables=[self.plan.table.name], alike=self.everywhere,
            runner=parts.run,
        )  # fmt: skip
        if returned:
            give_rows(self.call, returned, numbers, sum(one.warnings for one in answers), self.first_id)
            return True
        written = [
            replace(self._written(ok, wanted), stored=stored.get(place))
            for (place, wanted), ok in zip(numbers.items(), answers, strict=True)
        ]
        last = max(zip(numbers.values(), written, strict=True), key=lambda pair: pair[0][-1])[1]
        given, insert_id = insert_ids(self.rules, written, last)
        answer = combined(answers)
        if len(written) > 1:
            count = sum(one.rows for one in written)
            same = sum(duplicates(self.rules, one) for one in written)
            info = b"Records: %d  Duplicates: %d  Warnings: %d" % (count, same, answer.warnings)
            answer = replace(answer, info=info)
        give_ok(self.call, replace(answer, insert_id=given), insert_id)
        return True

    def _written(self, ok: Ok, numbers: Sequence[int]) -> Written:
        first = 0
        if self.ids is not None:
            first = next((one for number in numbers if (one := self.ids[number]) is not None), 0)
        return Written(ok, len(numbers), first, self.last_id)

    def _counts(self) -> bool:
        """True if the servers have the column as AUTO_INCREMENT, too."""
        info = self.call.scope.cluster.table(self.plan.table.name)
        column = info.column(self.plan.generated.column) if info is not None and self.plan.generated else None
        return column is not None and column.auto_increment

    def _is_indexed(self) -> bool:
        """True if rows are found quickly by their ids."""
        info = self.call.scope.cluster.table(self.plan.table.name)
        name = self.plan.generated.column if self.plan.generated is not None else ""
        return info is not None and any(key.columns[0] == name for key in info.unique_keys)

    async def _first_stored(self, connection: BackendConnection) -> int:
        """The first of the ids taken for this statement that is in the table; 0 if none is."""
        assert self.plan.generated is not None
        column, table = self.call.quoted(self.plan.generated.column), self.call.quoted(self.plan.table.name.table)
        for run in self.runs:
            bounds = (column, table, column, run[0], column, run[-1])
            ((found,),) = await connection.rows(b"SELECT MIN(%b) FROM %b WHERE %b >= %d AND %b <= %d" % bounds)
            if found is not None:
                return int(found)
        return 0


def _sets_id(words: Sequence[bytes], column: str) -> bool:
    """True if among ``words`` there is a ``LAST_INSERT_ID(column)``."""
    starts = (index for index, word in enumerate(words) if word == b"last_insert_id")
    for start in starts:
        inside = words[start + 2 : start + 6]
        if b")" in inside and inside[inside.index(b")") - 1].strip(b"`") == column.encode("utf-8"):
            return True
    return False


def _whole(literal: Literal) -> int | None:
    """The whole number a literal is, also in quotes; None if it is none."""
    value = literal.value
    match literal.kind:
        case LiteralKind.INTEGER | LiteralKind.BOOLEAN if isinstance(value, int):
            return value
        case LiteralKind.DECIMAL | LiteralKind.FLOAT if isinstance(value, Decimal | float) and value == value // 1:
            return int(value)
        case LiteralKind.STRING if isinstance(value, bytes):
            if _ZERO.fullmatch(value):
                return 0
            return int(value.partition(b".")[0]) if _WHOLE.fullmatch(value) else None
    return None


def _shortened(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:64]


def _shown(value: Value) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else value.decode("utf-8", "replace")
