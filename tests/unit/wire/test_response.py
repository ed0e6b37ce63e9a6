"""The response walker finds the same end whatever pieces the bytes come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.wire.constants import MAX_PAYLOAD
from vgate.wire.packets import MalformedPacket, Ok, bigint_column, eof_payload, err_payload, frame, result_set
from vgate.wire.renumber import Renumbering
from vgate.wire.response import ROWS, Response

ROWSET = result_set([bigint_column(b"a"), bigint_column(b"b")], [[b"1", None], [b"x" * 300, b""]], status=2)[0]
OK = frame(Ok(3, 7, 2, 1, b"info").payload(), 1)
ERR = frame(err_payload(1062, "23000", "dup"), 1)
CASES = {
    "ok": OK,
    "error": ERR,
    "rows": ROWSET,
    "no rows": result_set([bigint_column(b"a")], [], status=2)[0],
    "error after rows": ROWSET[:-9] + frame(err_payload(1317, "70100", "stop"), 7),
    "two results": result_set([bigint_column(b"a")], [[b"1"]], status=2 | 8)[0] + OK,
    "a row that starts like an EOF": result_set([bigint_column(b"a")], [[b"y" * 70000]], status=2)[0],
    "many columns": result_set([bigint_column(b"%d" % n) for n in range(300)], [[b"1"] * 300], status=2)[0],
}


def feed(response: Response, data: bytes, cuts: list[int]) -> bytes:
    """Feed ``data`` cut at ``cuts``, giving back what was not consumed; returns what was."""
    consumed, held, begin = b"", b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        piece = held + data[begin:cut]
        begin = cut
        end = response.feed(piece)
        consumed += piece[:end]
        held = piece[end:]
        if response.done:
            break
    return consumed


@pytest.mark.parametrize("name", CASES)
def test_every_single_byte(name: str) -> None:
    data = CASES[name]
    response = Response()
    assert feed(response, data, list(range(len(data)))) == data
    assert response.done


@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(0, 100_000), max_size=8))
def test_any_pieces(name: str, cuts: list[int]) -> None:
    data = CASES[name]
    response = Response()
    assert feed(response, data, cuts) == data
    assert response.done


@pytest.mark.parametrize("name", CASES)
def test_stops_at_its_own_end(name: str) -> None:
    data = CASES[name]
    response = Response()
    assert response.feed(data + b"\1\0\0\1\0") == len(data)
    assert response.done


def test_what_it_says() -> None:
    response = Response()
    response.feed(OK)
    assert (response.status, response.warnings, response.error) == (2, 1, None)
    response.start()
    response.feed(ERR)
    assert response.error is not None
    assert response.error[1:3] == (1062).to_bytes(2, "little")


def test_marks_point_at_status_flags() -> None:
    response = Response()
    response.feed(ROWSET)
    assert [ROWSET[mark : mark + 2] for mark in response.marks] == [b"\2\0", b"\2\0"]


def test_a_row_of_several_packets_is_never_a_marker() -> None:
    row = frame(b"\xfe" + (MAX_PAYLOAD + 5).to_bytes(8, "little") + b"\xff" * (MAX_PAYLOAD + 5), 4)
    head = ROWSET[: ROWSET.index(b"\1\x31\xfb") - 4]
    data = head + row + frame(eof_payload(2), 6)
    response = Response()
    assert feed(response, data, [len(head) + 10, len(head) + MAX_PAYLOAD + 5, len(head) + MAX_PAYLOAD + 9]) == data
    assert response.done


def test_a_row_of_exactly_one_full_packet() -> None:
    value = b"z" * (MAX_PAYLOAD - 4)
    data = result_set([bigint_column(b"a")], [[value]], status=2)[0]
    for cuts in ([], list(range(len(data) - 20, len(data)))):
        response = Response()
        assert feed(response, data, cuts) == data
        assert response.done


def test_field_list_ends_at_its_eof() -> None:
    data = frame(bigint_column(b"a").payload(), 1) + frame(eof_payload(2), 2)
    response = Response()
    response.start(ROWS)
    assert response.feed(data) == len(data)
    assert response.done


def test_local_infile_request_is_refused() -> None:
    with pytest.raises(MalformedPacket):
        Response().feed(frame(b"\xfb/etc/passwd", 1))


@given(st.lists(st.integers(0, 40), max_size=30), st.lists(st.integers(0, 2000), max_size=10), st.integers(0, 255))
def test_renumbering_any_pieces(sizes: list[int], cuts: list[int], first: int) -> None:
    data = b"".join(frame(b"p" * size, 9) for size in sizes)
    expected = b"".join(frame(b"p" * size, first + number) for number, size in enumerate(sizes))
    numbering = Renumbering(first)
    result, begin = b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        piece = bytearray(data[begin:cut])
        numbering.renumber(piece)
        result += bytes(piece)
        begin = cut
    # a header cut before its number keeps the old number until the rest comes: only its last byte is rewritten
    assert result == expected
    assert numbering.sequence == (first + len(sizes)) & 0xFF
