"""Rows that are left out on their way: by a text in one of their cells, in whatever pieces the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.wire.constants import FieldType
from vgate.wire.filters import RowsLeftOut
from vgate.wire.packets import ColumnDefinition, result_set

COLUMNS = [ColumnDefinition(name, FieldType.VAR_STRING) for name in (b"a", b"b")]
CELLS = st.sampled_from([b"x", b"own", None, b"own" * 300, b"y" * 70000])


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("column", [0, 1])
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=6), cuts=st.lists(st.integers(0, 200_000), max_size=6))
def test_any_pieces(
    binary: bool, column: int, rows: list[tuple[bytes | None, bytes | None]], cuts: list[int]
) -> None:
    """Those of a list of tables are short; a long row stays, whatever its first cells are."""
    data, _ = result_set(COLUMNS, rows, status=2, binary=binary)
    left = RowsLeftOut({b"own"}, column, binary=binary)
    found = b""
    at = 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        found += left.feed(data[at:cut])
        at = cut
    short = [row for row in rows if len(row[0] or b"") + len(row[1] or b"") < 400]
    kept = [row for row in rows if row not in short or None in row[: column + 1] or row[column] != b"own"]
    wanted, _ = result_set(COLUMNS, kept, status=2, binary=binary)
    assert _unnumbered(found) == _unnumbered(wanted)


def _unnumbered(data: bytes) -> list[bytes]:
    packets: list[bytes] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        packets.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return packets
