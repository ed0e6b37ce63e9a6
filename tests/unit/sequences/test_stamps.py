"""Ids of TIME sequences: PolarDB-X's layout, and clocks that go anywhere.

It does not know where leases come from: ``test_sequence_kind_rules`` plays several vgates.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vgate.sequences.stamps import END, EPOCH, LAYOUTS, LEASE, Layout, Stamps

WIDE, COMPACT = LAYOUTS[63], LAYOUTS[53]
NOW = EPOCH + 10**9


def leased(layout: Layout, now: int = NOW, node: int = 5) -> Stamps:
    stamps = Stamps(layout)
    stamps.leased(node, 0, now + LEASE)
    return stamps


def test_the_documented_sample() -> None:
    stamp, node, serial = WIDE.decode(776668092129345536)
    assert datetime.fromtimestamp(stamp / 1000, UTC) == datetime(2017, 3, 9, 13, 56, 3, 462000, UTC)
    assert (node, serial) == (0, 0)
    assert WIDE.encode(stamp, node, serial) == 776668092129345536


@pytest.mark.parametrize("layout", [WIDE, COMPACT])
def test_the_last_id_fits(layout: Layout) -> None:
    last = layout.encode(END - 1, layout.nodes - 1, layout.serials - 1)
    assert last == 2**layout.bits - 1
    assert layout.decode(last) == (END - 1, layout.nodes - 1, layout.serials - 1)
    assert datetime.fromtimestamp(END / 1000, UTC).year == 2081 or END > 0


@pytest.mark.parametrize("layout", [WIDE, COMPACT])
def test_more_than_a_millisecond_has(layout: Layout) -> None:
    stamps = leased(layout)
    ids = [stamps.take(1, NOW) for _ in range(3 * layout.serials)]
    assert None not in ids
    parts = [layout.decode(one or 0) for one in ids]
    assert parts == sorted(set(parts))
    assert {one.stamp for one in parts} == {NOW, NOW + 1, NOW + 2}


def test_a_clock_that_goes_back_is_overtaken() -> None:
    stamps = leased(WIDE)
    first = stamps.take(1, NOW)
    for now in (NOW - 3_600_000, 0, NOW - 1):
        second = stamps.take(1, now)
        assert first is not None
        assert second is not None
        assert second > first
        first = second


def test_nothing_beyond_the_lease_nor_without_one() -> None:
    stamps = leased(COMPACT)
    assert stamps.take(1, NOW + LEASE) is None
    assert stamps.take(1, NOW + LEASE - 1) is not None
    assert stamps.refill_due(NOW + LEASE - 1)
    stamps.given_up()
    assert stamps.take(1, NOW) is None


def test_a_batch_is_of_one_millisecond() -> None:
    stamps = leased(COMPACT)
    assert stamps.take(60, NOW) == COMPACT.encode(NOW, 5, 0)
    assert stamps.take(5, NOW) == COMPACT.encode(NOW + 1, 5, 0)
