"""INSERT and REPLACE ... VALUES: every row to its shard, missing ids from a sequence, all or nothing up to COMMIT.

The rows stay the client's own text, cut and joined by offset; only ids, and a column list where none was written, are
put in. Long statements are worked through in slices, so that other clients are served in between. It does not know
how the statement was planned.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vgate.engine.call import Call
from vgate.engine.route import give_ok
from vgate.engine.single import run_single
from vgate.engine.write import combined, write_all
from vgate.errors import CANNOT_MAP, COLUMN_COUNT, TOO_MANY_ROWS, UNSUPPORTED
from vgate.planner.plan import Access, Insert, InsertKey, OnDuplicate
from vgate.planner.values import Known, Purpose, read_value
from vgate.sequences.vitess import VitessSequences
from vgate.sql.literals import Literal, LiteralKind, read_literal
from vgate.sql.rows import Row, ValueRows, read_head, values_form
from vgate.transactions.scope import Place
from vgate.vindex.base import Value
from vgate.wire.packets import Ok

SLICE: Final = 500
"""Rows worked through before other clients get their turn."""

_ZERO: Final = re.compile(rb"\s*[+-]?0*\.?0*(?:[eE][+-]?\d+)?\s*")
_DUPLICATES: Final = re.compile(rb"Duplicates: (\d+)")
_SIGNED: Final = re.compile(rb"([+-])\s*(?=[\d.])")


class InsertRun:
    """One INSERT under way."""

    def __init__(
        self, call: Call, plan: Insert, sequences: VitessSequences, *, no_auto_value_on_zero: bool, max_rows: int
    ) -> None:
        self.call = call
        self.plan = plan
        self.sequences = sequences
        self.keep_zero = no_auto_value_on_zero
        self.max_rows = max_rows
        head = read_head(call.text, call.mode)
        self.text = values_form(call.text, call.mode, head)
        self.columns: Sequence[str] = plan.columns
        self.missing_id = plan.generated is not None and plan.generated.position is None
        self.last_explicit = 0

    async def run(self) -> bool:
        """Insert the rows and answer; False if the answer was an error the server gave."""
        source = ValueRows(self.text, self.call.mode)
        rows = await self._rows(source)
        self._check_counts(rows)
        wanting = [number for number, row in enumerate(rows) if self._wants_id(row)]
        first_id = 0
        if wanting and self.plan.generated is not None:
            first_id = await self.sequences.take(self.plan.generated.sequence, len(wanting))
        ids = dict(zip(wanting, range(first_id, first_id + len(wanting)), strict=True))
        shards = await self._by_shard(rows, ids)
        texts = {
            (self.plan.table.name.keyspace, index): self._text(source, rows, numbers, ids)
            for index, numbers in sorted(shards.items())
        }
        return await self._send(texts, [len(numbers) for _, numbers in sorted(shards.items())], first_id)

    async def _rows(self, source: ValueRows) -> list[Row]:
        rows: list[Row] = []
        for row in source:
            rows.append(row)
            if len(rows) % SLICE == 0:
                await asyncio.sleep(0)
        if len(rows) > self.max_rows:
            raise TOO_MANY_ROWS(rows=len(rows), limit=self.max_rows)
        return rows

    def _check_counts(self, rows: list[Row]) -> None:
        """Every row has a value per column; rows of no values at all stand for defaults, as in MySQL."""
        if self.plan.implicit_columns and all(not row.values for row in rows):
            self.columns = ()
            self.missing_id = self.plan.generated is not None
            return
        expected = len(self.columns)
        for number, row in enumerate(rows, 1):
            if len(row.values) != expected:
                raise COLUMN_COUNT(row=number)

    # -- ids ------------------------------------------------------------------------------------------------------

    def _value(self, row: Row, position: int | None) -> bytes | None:
        """The text of a row's value; None where the column is missing."""
        if position is None or not self.columns:
            return None
        start, end = row.values[position]
        return self.text[start:end].strip()

    def _wants_id(self, row: Row) -> bool:
        generated = self.plan.generated
        if generated is None:
            return False
        raw = self._value(row, generated.position)
        if raw is None:
            return True
        word = raw.lower()
        if word in (b"null", b"default", b"\\n"):
            return True
        literal = self._literal(raw)
        match literal.kind if literal is not None else None:
            case LiteralKind.INTEGER | LiteralKind.DECIMAL | LiteralKind.FLOAT:
                zero = _ZERO.fullmatch(_SIGNED.sub(rb"\1", raw)) is not None
            case LiteralKind.STRING if literal is not None and isinstance(literal.value, bytes):
                zero = _ZERO.fullmatch(literal.value) is not None
            case _:
                raise UNSUPPORTED(
                    construct=f"an expression as the value of {generated.column}, whose ids come from a sequence;"
                    " give a literal, NULL or DEFAULT"
                )
        if not zero and literal is not None and literal.kind is LiteralKind.INTEGER and raw.isdigit():
            self.last_explicit = int(raw)
        return zero and not self.keep_zero

    def _literal(self, raw: bytes) -> Literal | None:
        """The one literal ``raw`` is, sign included; None for any other expression."""
        tokens = self.call.lexer.tokens(raw)
        if len(tokens) == 1:
            return read_literal(raw, self.call.mode)
        sign = _SIGNED.match(raw)
        if len(tokens) == 2 and sign is not None:
            literal = read_literal(raw[sign.end() :], self.call.mode)
            if literal.kind is LiteralKind.INTEGER and isinstance(literal.value, int):
                return replace(literal, value=-literal.value) if sign[1] == b"-" else literal
            return literal if literal.kind in (LiteralKind.DECIMAL, LiteralKind.FLOAT) else None
        return None

    # -- shards ---------------------------------------------------------------------------------------------------

    async def _by_shard(self, rows: list[Row], ids: dict[int, int]) -> dict[int, list[int]]:
        """Row numbers by shard index."""
        key = self.plan.sharding
        if key is None:
            return {0: list(range(len(rows)))}
        servers = self.call.scope.cluster.keyspaces[self.plan.table.name.keyspace]
        generated = self.plan.generated
        from_sequence = generated is not None and generated.column == key.column.name
        shards: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            value: Value = ids[number] if from_sequence and number in ids else self._stored(key, row)
            keyspace_id = key.vindex.map(value)
            if keyspace_id is None:
                raise CANNOT_MAP(values=f"[{_shown(value)}]")
            shards.setdefault(servers.find(keyspace_id), []).append(number)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        return shards

    def _stored(self, key: InsertKey, row: Row) -> Value:
        """What the server will store in the sharding column. Raises where that cannot be known for certain."""
        raw = self._value(row, key.position)
        if raw is None or raw.lower() == b"default":
            return key.default
        if raw.lower() in (b"null", b"\\n"):
            return None
        literal = self._literal(raw)
        if literal is None:
            raise UNSUPPORTED(
                construct=f"an expression as the value of the sharding column {key.column.name}; give a literal"
            )
        found = read_value(literal, key.column, key.vindex, Purpose.INSERT)
        if isinstance(found, Known):
            return found.value
        raise CANNOT_MAP(values=f"[{raw.decode('utf-8', 'replace')[:64]}]")

    # -- texts ----------------------------------------------------------------------------------------------------

    def _text(self, source: ValueRows, rows: list[Row], numbers: list[int], ids: dict[int, int]) -> bytes:
        """The statement for one shard: head, its rows, tail."""
        if len(numbers) == len(rows) and not ids and not self.plan.implicit_columns:
            return self.text
        parts = [self._head(source), b" "]
        parts.append(b", ".join(self._row(rows[number], ids.get(number)) for number in numbers))
        parts.append(b" ")
        parts.append(self.text[source.tail_start :])
        return b"".join(parts)

    def _head(self, source: ValueRows) -> bytes:
        """Everything up to and including VALUES, with the column list the rows now have."""
        text = self.text
        before, after = text[: source.keyword_start], text[source.keyword_start : source.head_end]
        generated = self.plan.generated
        names = [_quoted(name) for name in self.columns]
        if self.missing_id and generated is not None:
            names.append(_quoted(generated.column))
        if self.plan.implicit_columns:
            return before + b" (" + b", ".join(names) + b") " + after
        if self.missing_id:
            close = before.rindex(b")")
            comma = b", " if self.columns else b""
            return before[:close] + comma + names[-1] + before[close:] + after
        return before + after

    def _row(self, row: Row, new_id: int | None) -> bytes:
        text = self.text
        if new_id is None:
            return text[row.start : row.end]
        number = b"%d" % new_id
        generated = self.plan.generated
        if self.missing_id or generated is None or generated.position is None:
            comma = b", " if row.values else b""
            return text[row.start : row.end - 1] + comma + number + b")"
        start, end = row.values[generated.position]
        return text[row.start : start] + number + text[end : row.end]

    # -- sending --------------------------------------------------------------------------------------------------

    async def _send(self, texts: dict[Place, bytes], counts: list[int], first_id: int) -> bool:
        given = first_id or self.last_explicit
        if len(texts) == 1:
            ((place, text),) = texts.items()
            edit = (lambda ok: replace(ok, insert_id=given)) if given else None
            done = await run_single(self.call, place, text, Access.WRITE, edit)
            if done and first_id:
                self.call.session.insert_id = first_id
            return done
        answers = await write_all(self.call, texts)
        answer = replace(combined(answers), info=self._info(answers, counts))
        if not first_id and self.last_explicit:
            before = self.call.session.insert_id
            give_ok(self.call, answer, insert_id=self.last_explicit)
            self.call.session.insert_id = before
        else:
            give_ok(self.call, answer, insert_id=first_id)
        return True

    def _info(self, answers: list[Ok], counts: list[int]) -> bytes:
        """The info line of all rows together; a server leaves it out where it was given a single row.

        What counts as a duplicate is as in ``mysql_insert``: with IGNORE a row that was not stored, else a row that was
        replaced or updated.
        """
        duplicates = 0
        for answer, rows in zip(answers, counts, strict=True):
            found = _DUPLICATES.search(answer.info)
            if found is not None:
                duplicates += int(found[1])
            elif rows == 1 and self.plan.on_duplicate is OnDuplicate.IGNORE:
                duplicates += 1 - answer.affected
            elif rows == 1:  # affected: 2 for an update, and 1 more than was deleted for a REPLACE
                duplicates += max(0, answer.affected - 1)
        warnings = sum(answer.warnings for answer in answers)
        return b"Records: %d  Duplicates: %d  Warnings: %d" % (sum(counts), duplicates, warnings)


def _quoted(name: str) -> bytes:
    return b"`" + name.replace("`", "``").encode("utf-8") + b"`"


def _shown(value: Value) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else value.decode("utf-8", "replace")


