"""The filter that gives columns the keyspace's name: whatever the pieces, only schemas change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.wire.constants import Status
from vgate.wire.packets import ColumnDefinition, Ok, eof_payload, err_payload, frame, lenenc, text_row
from vgate.wire.schemas import SchemaRename


def result(schema: bytes, rows: list[bytes], status: int = 2) -> bytes:
    columns = [ColumnDefinition(b"a", schema=schema, table=b"t"), ColumnDefinition(b"b", schema=b"other")]
    payloads = [lenenc(2), *(column.payload() for column in columns), eof_payload(2), *rows, eof_payload(status)]
    return b"".join(frame(payload, number + 1) for number, payload in enumerate(payloads))


ROWS = [text_row([b"1", None]), text_row([b"db_1", b"x" * 300]), text_row([b"\xfe", b""])]
CASES = {
    "rows": (result(b"db_1", ROWS), result(b"customer", ROWS)),
    "none of that schema": (result(b"db_2", ROWS), result(b"db_2", ROWS)),
    "no rows": (result(b"db_1", []), result(b"customer", [])),
    "two results": (
        result(b"db_1", ROWS, 2 | Status.MORE_RESULTS) + result(b"db_1", ROWS),
        result(b"customer", ROWS, 2 | Status.MORE_RESULTS) + result(b"customer", ROWS),
    ),
    "an OK": (frame(Ok(3, 7).payload(), 1), frame(Ok(3, 7).payload(), 1)),
    "an error": (frame(err_payload(1064, "42000", "db_1"), 1), frame(err_payload(1064, "42000", "db_1"), 1)),
    "a row of 16 MB": (
        result(b"db_1", [text_row([b"a" * (1 << 24), b"\xfe"])]),
        result(b"customer", [text_row([b"a" * (1 << 24), b"\xfe"])]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_whole(name: str) -> None:
    sent, expected = CASES[name]
    assert SchemaRename(b"db_1", b"customer").feed(sent) == expected


@pytest.mark.parametrize("name", [name for name in CASES if "16 MB" not in name])
def test_one_byte_at_a_time(name: str) -> None:
    sent, expected = CASES[name]
    filter_ = SchemaRename(b"db_1", b"customer")
    assert b"".join(filter_.feed(sent[i : i + 1]) for i in range(len(sent))) == expected


@given(st.lists(st.integers(1, 400), min_size=1))
def test_any_pieces(sizes: list[int]) -> None:
    sent, expected = CASES["two results"]
    filter_ = SchemaRename(b"db_1", b"customer")
    parts: list[bytes] = []
    at = 0
    for size in [*sizes, len(sent)]:
        parts.append(filter_.feed(sent[at : at + size]))
        at += size
    assert b"".join(parts) == expected
