"""Values of binary rows as SQL, where no server is needed to know what is right."""

from __future__ import annotations

import struct

import pytest

from vgate.engine.written import NotWritten, writer_of
from vgate.wire.packets import ColumnDefinition


def moment(*parts: int) -> bytes:
    return struct.pack("<HBBBBB", *parts)


def written(value: bytes, zone: str, *, kind: int = 0x07) -> bytes:
    return writer_of(ColumnDefinition(b"t", kind), {}, zone, text=False, member=False, plain=False, mysql=True)(value)


TWICE = moment(2024, 10, 27, 2, 30, 0)


@pytest.mark.parametrize("zone", ["UTC", "+00:00", "-05:30", "Asia/Tokyo"])
def test_a_local_time_that_is_one_moment(zone: str) -> None:
    assert written(TWICE, zone) == b"TIMESTAMP'2024-10-27 02:30:00'"


def test_a_local_time_that_is_two_moments_is_not_written() -> None:
    with pytest.raises(NotWritten, match="two moments in Europe/Berlin"):
        written(TWICE, "Europe/Berlin")
    with pytest.raises(NotWritten, match="two moments"):
        written(moment(2024, 11, 3, 0, 0, 0)[:4], "America/Havana")  # midnight, as servers send it
    assert written(moment(2024, 10, 27, 3, 30, 0), "Europe/Berlin") == b"TIMESTAMP'2024-10-27 03:30:00'"
    assert written(TWICE, "Europe/Berlin", kind=0x0C) == b"TIMESTAMP'2024-10-27 02:30:00'", "a DATETIME has no zone"


def test_a_zone_that_is_not_known() -> None:
    with pytest.raises(NotWritten, match="SET time_zone"):
        written(TWICE, "CEST")


def test_the_zero_date_is_no_literal() -> None:
    for value in (b"", bytes(4), bytes(7)):
        assert written(value, "UTC") == b"'0000-00-00 00:00:00'"
