"""What an INSERT's answer says of ids and duplicates: the rules by which servers count, against a little server.

``Server`` stores rows as ``write_record`` of MariaDB and MySQL does, and knows what one server would have answered; the
module under test sees only what each shard answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.engine.insert_id import Rules, Written, duplicates, in_doubt, insert_ids, new_rows
from vgate.planner.plan import OnDuplicate
from vgate.wire.packets import Ok

ERROR, IGNORE, UPDATE, REPLACE = OnDuplicate.ERROR, OnDuplicate.IGNORE, OnDuplicate.UPDATE, OnDuplicate.REPLACE


@dataclass(frozen=True, slots=True)
class New:
    """A row to be inserted: its id, if a sequence gave it, the key rows are found by, what an update makes."""

    id: int
    generated: bool
    key: str
    value: int = 1


@dataclass(slots=True)
class Server:
    """Keys to (id, value). ``answer`` is what it says of the rows of one statement; ids are never found twice."""

    rows: dict[str, tuple[int, int]] = field(default_factory=dict)

    def write(self, rows: list[New], verb: OnDuplicate, *, found_rows: bool, tells_id: bool = False) -> Told:
        told = Told()
        for row in rows:
            told.last = row.id
            there = self.rows.get(row.key)
            if there is None or verb is REPLACE:
                told.affected += 1 if there is None else 2
                told.duplicates += there is not None
                told.copied += 1
                self.rows[row.key] = (row.id, row.value)
                if row.generated and not told.first:
                    told.first = row.id
            elif verb is IGNORE:
                told.duplicates += 1
            else:
                told.last = there[0]
                if tells_id:
                    told.expression = there[0]
                changed = there[1] != row.value
                told.copied += changed
                told.affected += changed + (1 if found_rows else changed)
                told.duplicates += changed or found_rows
                self.rows[row.key] = (there[0], row.value)
        if len(rows) > 1:
            told.info = b"Records: %d  Duplicates: %d  Warnings: 0" % (len(rows), told.duplicates)
        return told


@dataclass(slots=True)
class Told:
    affected: int = 0
    duplicates: int = 0
    copied: int = 0
    first: int = 0
    last: int = 0
    expression: int = 0
    info: bytes = b""

    @property
    def insert_id(self) -> int:
        """As the OK of one server that counts has it."""
        return self.first or self.expression or (self.last if self.copied else 0)

    def ok(self) -> Ok:
        """The OK of a shard, on which ids are plain numbers: only LAST_INSERT_ID(id) makes an insert id."""
        return Ok(self.affected, self.expression, 2, 0, self.info)


BEFORE = {"a": (1, 1), "b": (2, 2), "c": (3, 1)}


def answers(
    rows: list[New], verb: OnDuplicate, *, found_rows: bool, looked: bool
) -> tuple[Told, Rules, list[Written], Written]:
    """What one server says, and what two shards make of it; the keys a and b are on the first."""
    one = Server(dict(BEFORE)).write(rows, verb, found_rows=found_rows)
    rules = Rules(verb, found_rows, fresh=False, tells_id=verb is UPDATE)
    written: list[Written] = []
    last = None
    for shard in (False, True):
        mine = [row for row in rows if (row.key > "b") is shard]
        if not mine:
            continue
        server = Server({key: row for key, row in BEFORE.items() if (key > "b") is shard})
        told = server.write(mine, verb, found_rows=found_rows, tells_id=verb is UPDATE)
        stored = {id_ for id_, _ in server.rows.values()}
        given_ids = [row.id for row in mine if row.generated]
        first_stored = min((one for one in given_ids if one in stored), default=0)
        part = Written(told.ok(), len(mine), min(given_ids, default=0), rows[-1].id, first_stored if looked else None)
        written.append(part)
        if rows[-1] in mine:
            last = part
    assert last is not None
    return one, rules, written, last


@st.composite
def statements(draw: st.DrawFn) -> list[New]:
    """Rows with keys of their own, most of the ids from a sequence."""
    keys = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5, unique=True))
    generated = iter(range(100, 200))
    rows = []
    for number, key in enumerate(keys):
        if draw(st.integers(0, 3)):
            rows.append(New(next(generated), True, key, draw(st.integers(1, 2))))
        else:
            rows.append(New(50 + number, False, key, draw(st.integers(1, 2))))
    return rows


@given(statements(), st.sampled_from(OnDuplicate), st.booleans())
def test_two_shards_say_what_one_server_says(rows: list[New], verb: OnDuplicate, found_rows: bool) -> None:
    if verb is ERROR:
        rows = [New(row.id, row.generated, chr(ord(row.key) + 10), row.value) for row in rows]
    one, rules, written, last = answers(rows, verb, found_rows=found_rows, looked=True)
    given_id, last_insert_id = insert_ids(rules, written, last)
    assert sum(duplicates(rules, part) for part in written) == one.duplicates
    assert last_insert_id == (one.first or None)
    if one.first or all(row.generated for row in rows) or len(rows) == 1:
        assert given_id == one.insert_id
    else:  # where rows with ids of their own were partly found, nobody can tell which the last one was
        assert bool(given_id) == bool(one.insert_id)


@given(statements(), st.sampled_from((IGNORE, UPDATE)), st.booleans())
def test_what_is_not_in_doubt_needs_no_look(rows: list[New], verb: OnDuplicate, found_rows: bool) -> None:
    _, rules, looked, last = answers(rows, verb, found_rows=found_rows, looked=True)
    _, _, unseen, blind = answers(rows, verb, found_rows=found_rows, looked=False)
    if not any(in_doubt(rules, part) for part in unseen):
        assert insert_ids(rules, unseen, blind) == insert_ids(rules, looked, last)


@given(statements(), st.sampled_from(OnDuplicate), st.booleans())
def test_new_rows_are_counted(rows: list[New], verb: OnDuplicate, found_rows: bool) -> None:
    _, rules, written, _ = answers(rows, verb, found_rows=found_rows, looked=True)
    known = [new_rows(rules, part) for part in written]
    expected = sum(row.key not in BEFORE for row in rows) if verb in (IGNORE, UPDATE) else len(rows)
    assert sum(one or 0 for one in known) == expected
    assert None not in known


@pytest.mark.parametrize(("sets_id", "counts", "ok_id", "expected"), [
    (False, False, 0, (50, None)),  # a row with an id of its own: LAST_INSERT_ID() stays
    (True, False, 77, (77, 77)),  # LAST_INSERT_ID(77)
    (True, False, 50, (50, 50)),  # LAST_INSERT_ID(id), which happens to be the row's
    (True, True, 50, (50, None)),  # the shard is AUTO_INCREMENT: its OK has the row's id in any case
    (True, True, 77, (77, 77)),
])  # fmt: skip
def test_last_insert_id_with_an_argument(
    sets_id: bool, counts: bool, ok_id: int, expected: tuple[int, int | None]
) -> None:
    rules = Rules(ERROR, found_rows=False, fresh=True, sets_id=sets_id, counts=counts)
    written = Written(Ok(1, ok_id), 1, last_id=50)
    assert insert_ids(rules, [written], written) == expected


def test_negative_ids_are_unsigned_in_an_ok() -> None:
    rules = Rules(ERROR, found_rows=False, fresh=True)
    written = Written(Ok(1, 0), 1, last_id=-5)
    assert insert_ids(rules, [written], written) == (2**64 - 5, None)
