"""What is left out of a response is left out whole, whatever the pieces, and nothing else is."""

from __future__ import annotations

import pytest

from vgate.wire.constants import Status
from vgate.wire.filters import OutsLeftOut
from vgate.wire.packets import ColumnDefinition, Ok, eof_payload, err_payload, frame, lenenc, text_row

MORE, OUTS = Status.MORE_RESULTS, Status.PS_OUT_PARAMS


def result(rows: list[bytes], begins: int, ends: int) -> bytes:
    column = ColumnDefinition(b"a", table=b"t").payload()
    return b"".join(map(frame, [lenenc(1), column, eof_payload(begins), *rows, eof_payload(ends)]))


ROWS = [text_row([b"1"]), text_row([b"x" * 2000]), text_row([b""])]
OK = frame(Ok(0, 0).payload())
GONE = frame(err_payload(2013, "HY000", "Lost connection"))
CASES = {
    "nothing": (OK, OK),
    "an error": (GONE, GONE),
    "a result": (result(ROWS, 2, 2), result(ROWS, 2, 2)),
    "out of MariaDB": (result(ROWS[:1], MORE | OUTS, MORE | OUTS) + OK, OK),
    "out of MySQL": (result(ROWS[:1], MORE | OUTS, 2) + OK, OK),
    "long out": (result(ROWS[1:2], MORE | OUTS, 2) + OK, OK),
    "behind a result": (
        result(ROWS, MORE, MORE) + result(ROWS[:1], MORE | OUTS, 2) + OK, result(ROWS, MORE, MORE) + OK
    ),
    "an error in place of the row": (result([], MORE | OUTS, 2)[:-9] + GONE, GONE),
}


@pytest.mark.parametrize("piece", [1, 7, 600, 10_000])
@pytest.mark.parametrize("name", CASES)
def test_the_row_of_out_parameters_is_left_out(name: str, piece: int) -> None:
    sent, expected = CASES[name]
    one = OutsLeftOut()
    assert b"".join(one.feed(sent[at : at + piece]) for at in range(0, len(sent), piece)) == expected


def test_a_row_of_16_mb_passes() -> None:
    sent = result([text_row([b"\xfe" * (1 << 24)])], 2, 2)
    assert OutsLeftOut().feed(sent) == sent


def test_a_row_of_16_mb_is_left_out() -> None:
    sent = result([text_row([b"\xfe" * (1 << 24)])], MORE | OUTS, 2) + OK
    one = OutsLeftOut()
    assert b"".join(one.feed(sent[at : at + 100_000]) for at in range(0, len(sent), 100_000)) == OK
