"""Packets: what is written is read back, and frames are cut where the protocol says."""

import pytest

from vgate.wire.constants import MAX_PAYLOAD
from vgate.wire.packets import (
    ColumnDefinition,
    MalformedPacket,
    Ok,
    err_payload,
    frame,
    lenenc,
    read_column,
    read_err,
    read_lenenc,
    read_lenenc_bytes,
    read_ok,
    read_text_row,
    text_row,
)


@pytest.mark.parametrize("number", [0, 250, 251, 255, 256, 65535, 65536, 0xFFFFFF, 0x1000000, 2**64 - 1])
def test_lenenc_round_trip(number: int) -> None:
    data = lenenc(number)
    assert read_lenenc(b"x" + data, 1) == (number, 1 + len(data))


@pytest.mark.parametrize("data", [b"", b"\xfc\x01", b"\xfe1234567", b"\xfb", b"\xff"])
def test_cut_off_lenenc_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        read_lenenc(data, 0)


def test_cut_off_string_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        read_lenenc_bytes(b"\x05abc", 0)


@pytest.mark.parametrize(
    "ok",
    [
        Ok(),
        Ok(5, 1, 2, 0, b"Records: 5  Duplicates: 0  Warnings: 0"),
        Ok(2**40, 2**64 - 1, 0x2003, 65535, b""),
    ],
)
def test_ok_round_trip(ok: Ok) -> None:
    assert read_ok(ok.payload()) == ok


def test_warning_count_is_capped_as_the_field_is() -> None:
    assert read_ok(Ok(warnings=100_000).payload()).warnings == 65535


def test_err_round_trip_and_length_limit() -> None:
    assert read_err(err_payload(1062, "23000", "Duplicate entry")) == (1062, "23000", "Duplicate entry")
    long = err_payload(1105, "HY000", "é" * 400)
    assert read_err(long)[2] == "é" * 255  # 511 bytes cannot hold half a character


def test_text_row_round_trip() -> None:
    values = (b"a", None, b"", b"x" * 300)
    assert read_text_row(text_row(values), 4) == values


def test_column_round_trip() -> None:
    column = ColumnDefinition(b"c", 3, b"db", b"t", b"org_t", b"org_c", 63, 11, 0x5003, 0)
    assert read_column(column.payload()) == column


def test_frames_of_exactly_the_limit_end_with_an_empty_one() -> None:
    framed = frame(b"x" * MAX_PAYLOAD, 254)
    assert framed[:4] == b"\xff\xff\xff\xfe"
    assert framed[4 + MAX_PAYLOAD :] == b"\0\0\0\xff"
    assert frame(b"x" * (MAX_PAYLOAD + 1))[4 + MAX_PAYLOAD :] == b"\1\0\0\1x"
    assert frame(b"", 3) == b"\0\0\0\3"
