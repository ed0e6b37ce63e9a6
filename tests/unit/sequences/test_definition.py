"""What CREATE and ALTER make of a sequence: PolarDB-X's documented values, and what must never come twice.

It does not know servers: the same arithmetic in SQL is compared in ``test_sequence_kinds``.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.errors import SEQUENCE_BACK, SEQUENCE_OPTION, VgateError
from vgate.sequences.definition import MAXIMUM, Definition, Kind, altered, bumped, created, next_base, statement_of
from vgate.sql.lexer import LexMode
from vgate.sql.sequences import AlterSequence, CreateSequence, Options, recognise_sequence
from vgate.vschema.model import TableName

NAME = TableName("product", "s")


def first_values(one: Definition, count: int) -> list[int]:
    """The first value of each block, as after a restart each time."""
    values: list[int] = []
    for _ in range(count):
        one = _reserved(one)
        values.append(one.value + 1)
    return values


def _reserved(one: Definition) -> Definition:
    fields = {name: getattr(one, name) for name in Definition.__slots__}
    return Definition(**(fields | {"value": next_base(one), "holder": "me"}))


@pytest.mark.parametrize(
    ("count", "index", "step", "expected"),
    [
        (1, 0, 100_000, [100001, 200001, 300001]),
        (1, 0, 500_000, [500001, 1000001]),
        (3, 0, 100_000, [300001, 600001, 900001]),
        (3, 2, 100_000, [500001, 800001]),
        (1024, 1, 15_625, [16015626, 32015626]),
    ],
)
def test_the_documented_first_values(count: int, index: int, step: int, expected: list[int]) -> None:
    one = created(NAME, Kind.GROUP, Options(unit_count=count, unit_index=index, step=step))
    assert first_values(one, len(expected)) == expected


def test_start_with_is_a_hint() -> None:
    assert first_values(created(NAME, Kind.GROUP, Options(start=100_000)), 1) == [200001]


UNITS = st.integers(1, 50).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1)))


@given(UNITS, st.integers(1, 1000), st.integers(1, 10**9))
def test_a_group_keeps_to_its_unit_and_begins_above_its_start(units: tuple[int, int], step: int, start: int) -> None:
    count, index = units
    one = created(NAME, Kind.GROUP, Options(unit_count=count, unit_index=index, step=step, start=start))
    for first in first_values(one, 3):
        assert first > start or start == 1
        assert {(value - 1) // step % count for value in (first, first + step - 1)} == {index}


@given(
    st.sampled_from([Kind.GROUP, Kind.SIMPLE]), st.integers(1, 10**6), st.integers(0, 5), st.integers(1, 10**7),
    st.sampled_from([None, Kind.GROUP, Kind.SIMPLE]),
)  # fmt: skip
def test_an_alter_gives_nothing_again(kind: Kind, start: int, blocks: int, again: int, to: Kind | None) -> None:
    one = created(NAME, kind, Options(start=start))
    highest = 0
    for _ in range(blocks):
        one, highest = _given(one)
    if again <= one.highest:
        with pytest.raises(VgateError) as raised:
            altered(one, to, Options(start=again))
        assert raised.value.fault is SEQUENCE_BACK
        return
    new = altered(one, to, Options(start=again))
    first = next_base(new) + 1 if new.kind is Kind.GROUP else new.value
    assert first > highest
    assert altered(one, to, Options(start=again, restart=True)).reached == 0


def _given(one: Definition) -> tuple[Definition, int]:
    """One block or value more; the highest value given."""
    if one.kind is Kind.GROUP:
        one = _reserved(one)
        return one, one.value + one.step
    fields = {name: getattr(one, name) for name in Definition.__slots__}
    return Definition(**(fields | {"value": one.value + one.increment})), one.value


@given(st.sampled_from([Kind.GROUP, Kind.SIMPLE]), st.integers(1, 10**6), st.integers(0, 3), st.integers(0, 10**7))
def test_a_bump_moves_beyond_the_value_and_never_back(kind: Kind, start: int, blocks: int, value: int) -> None:
    one = created(NAME, kind, Options(start=start))
    for _ in range(blocks):
        one, _ = _given(one)
    new = bumped(one, value) or one
    assert new.value >= one.value
    if bumped(one, value) is not None or kind is Kind.SIMPLE:
        assert (next_base(new) + 1 if kind is Kind.GROUP else new.value) > value
    assert (new.value - one.value) % (one.out if kind is Kind.GROUP else one.increment) == 0


@given(st.integers(1, 100), st.integers(1, 5), st.integers(1, 1000))
def test_shown_statements_make_the_same_again(start: int, increment: int, extra: int) -> None:
    for one in (
        created(NAME, Kind.SIMPLE, Options(start=start, increment=increment, maximum=start + extra, cycle=True)),
        created(NAME, Kind.GROUP, Options(start=start, unit_count=5, unit_index=increment - 1, step=extra)),
        created(NAME, Kind.TIME, Options(bits=53)),
    ):
        statement = recognise_sequence(statement_of(one).encode(), LexMode())
        assert isinstance(statement, CreateSequence)
        assert created(NAME, Kind(statement.kind.upper()), statement.options) == one


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (Options(start=MAXIMUM), "START WITH"), (Options(step=MAXIMUM), "STEP"),
        (Options(unit_count=0), "UNIT COUNT"), (Options(step=5, cache=6), "CACHE"),
    ],
)  # fmt: skip
def test_what_no_group_can_be(options: Options, option: str) -> None:
    with pytest.raises(VgateError, match=option) as raised:
        created(NAME, Kind.GROUP, options)
    assert raised.value.fault is SEQUENCE_OPTION


def test_the_grammar_in_any_order() -> None:
    text = b"ALTER SEQUENCE IF EXISTS `a``b`.c CHANGE TO SIMPLE MAXVALUE=9 START 2 NO CYCLE INCREMENT 3 MINVALUE 1 -- x"
    statement = recognise_sequence(text, LexMode())
    assert isinstance(statement, AlterSequence)
    assert (statement.sequence.keyspace, statement.sequence.name, statement.kind) == ("a`b", "c", "simple")
    assert statement.options == Options(start=2, increment=3, minimum=1, maximum=9, cycle=False)
    for other in (b"create or replace sequence s", b"create temporary sequence s", b"alter table sequence"):
        assert recognise_sequence(other, LexMode()) is None
