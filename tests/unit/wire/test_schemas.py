"""The filter that gives columns the keyspace's name: whatever the pieces, only schemas change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.wire.constants import Status
from vgate.wire.packets import ColumnDefinition, Ok, eof_payload, err_payload, frame, lenenc, text_row
from vgate.wire.schemas import SchemaRename, Told


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
    "an error that names it": (
        frame(err_payload(1146, "42S02", "Table 'db_1.t' doesn't exist"), 1),
        frame(err_payload(1146, "42S02", "Table 'customer.t' doesn't exist"), 1),
    ),
    "an error about a value": (
        frame(err_payload(1062, "23000", "Duplicate entry 'db_1.t' for key 'PRIMARY'"), 1),
        frame(err_payload(1062, "23000", "Duplicate entry 'db_1.t' for key 'PRIMARY'"), 1),
    ),
    "an error behind rows": (
        result(b"db_1", ROWS)[:-9] + frame(err_payload(1452, "23000", "fails (`db_1`.`t`, `db_1x`)"), 9),
        result(b"customer", ROWS)[:-9] + frame(err_payload(1452, "23000", "fails (`customer`.`t`, `db_1x`)"), 9),
    ),
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


TOLD = {
    (b"db_1", b"x"): (b"customer", b"x"),
    (b"db_1", b"CREATE DATABASE `db_1` /* db_1.x */"): (b"customer", b"CREATE DATABASE `customer` /* db_1.x */"),
    (b"db_1.t", b"Table 'db_1.t2' is none"): (b"customer.t", b"Table 'customer.t2' is none"),
    (b"db_12", b"db_1.t"): (b"db_12", b"db_1.t"),
    (None, None): (None, None),
    (b"", b"`db_1`.`t`"): (b"", b"`customer`.`t`"),
    (b'{"schema_name": "db_1"}', None): (b'{"schema_name": "customer"}', None),
}


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_rows_that_tell_of_schemas(piece: int) -> None:
    sent = result(b"db_1", [text_row(list(row)) for row in TOLD])
    filter_ = SchemaRename(b"db_1", b"customer", rows=Told.NAMES)
    got = b"".join(filter_.feed(sent[at : at + piece]) for at in range(0, len(sent), piece))
    assert got == result(b"customer", [text_row(list(row)) for row in TOLD.values()])


def test_rows_that_hold_texts() -> None:
    """Statements with quoted names, and what is said of a view; a name alone may be anything's."""
    sent = result(b"db_1", [text_row([b"db_1: `db_1`.`t`.`db_1`, `db_1`", b"View 'db_1.v' is"])])
    said = text_row([b"db_1: `customer`.`t`.`db_1`, `db_1`", b"View 'customer.v' is"])
    assert SchemaRename(b"db_1", b"customer", rows=Told.TEXTS).feed(sent) == result(b"customer", [said])


def test_names_are_taken_as_they_are() -> None:
    """A backslash in a name is no reference to a group, a backtick is doubled where it is quoted."""
    error = frame(err_payload(1146, "42S02", "Table 'a.b' of `a`.`b`"), 1)
    expected = frame(err_payload(1146, "42S02", r"Table '\1`.b' of `\1``` .`b`".replace("` .", "`.")), 1)
    assert SchemaRename(b"a", rb"\1`").feed(error) == expected
