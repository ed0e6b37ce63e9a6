"""Rows with other values in some of their columns are the rows that would have been written with these values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vgate.wire.fill import RowFiller
from vgate.wire.packets import ColumnDefinition, bigint_column, binary_row, text_row

CELLS = st.one_of(st.none(), st.sampled_from([b"", b"x", b"y" * 300, b"\xfb\xfe\xff"]))
IDS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.tuples(CELLS, st.booleans(), IDS, IDS), min_size=1, max_size=20), st.booleans())
def test_rows_are_filled(cells: list[tuple[bytes | None, bool, int | None, int | None]], binary: bool) -> None:
    """Each cell is text, or a number that stands there and one that is to stand there."""
    columns = [bigint_column(b"n") if number else ColumnDefinition(b"t") for _, number, _, _ in cells]
    before = [_digits(old) if number else text for text, number, old, _ in cells]
    after = [_digits(new) if number else text for text, number, _, new in cells]
    row, expected = (
        binary_row(columns, values) if binary else text_row(values) for values in (before, after)
    )  # fmt: skip
    new = {place: cell[3] for place, cell in enumerate(cells) if cell[1]}
    if new:
        assert RowFiller(columns, binary).filled(row, new) == expected


def _digits(value: int | None) -> bytes | None:
    return None if value is None else b"%d" % value
