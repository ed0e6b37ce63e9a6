"""The response walker finds the same end whatever pieces the bytes come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.wire.constants import MAX_PAYLOAD
from vgate.wire.packets import MalformedPacket, Ok, bigint_column, eof_payload, err_payload, frame, result_set
from vgate.wire.renumber import Renumbering
from vgate.wire.response import FIRST, ROWS, FileWish, Response, one_row_ends

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
    "OUT parameters of MySQL": b"".join((
        frame(b"\1", 1), frame(bigint_column(b"o").payload(), 2), frame(eof_payload(0x1008), 3),
        frame(b"\0\0\2\0\0\0\0\0\0\0", 4), frame(eof_payload(0), 5), frame(Ok(status=0).payload(), 6),
    )),
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


@given(st.lists(st.integers(0, 100), max_size=5))
def test_a_wish_for_a_file_ends_an_answer(cuts: list[int]) -> None:
    before = result_set([bigint_column(b"a")], [[b"1"]], status=2 | 8)[0]
    response = Response()
    assert feed(response, before + frame(b"\xfb/etc/passwd", 6), cuts) == before + frame(b"\xfb/etc/passwd", 6)
    assert response.done
    assert response.file == FileWish(b"/etc/passwd", 6)
    response.start()
    assert response.file is None
    assert response.feed(OK) == len(OK)


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


# -- long results, known heads ------------------------------------------------------------------------------------

TWINS = [b"\5\0\0\7\xfe\0\0\2\0", b"\7\0\0\7\xff\x25\x05#HY00", b"\1\0\0\1\1"]
"""What an EOF, an ERR and a first packet look like, as values of rows."""


def rows_of(sizes: list[int], head: bytes = b"", last: bytes = b"") -> bytes:
    """A result of rows whose payloads have these sizes, each filled with what could be taken for packets."""
    values = [(b"\0" + TWINS[number % 3] * (size // 5 + 1))[:size] for number, size in enumerate(sizes)]
    rows = [frame(value, number) for number, value in enumerate(values)]
    head = head or result_set([bigint_column(b"a")], [], status=2)[0][:-9]
    return head + b"".join(rows) + (last or frame(eof_payload(0x22, 3), 7))


@given(
    st.lists(st.integers(1, 1200), min_size=1, max_size=12),
    st.integers(1, 400),
    st.lists(st.integers(0, 1 << 20), max_size=4),
)
def test_many_rows_in_any_pieces(sizes: list[int], times: int, cuts: list[int]) -> None:
    data = rows_of(sizes * times)
    response = Response()
    assert feed(response, data, cuts) == data
    assert (response.done, response.status, response.warnings) == (True, 0x22, 3)


@pytest.mark.parametrize("size", [*range(1, 70), *range(250, 262), 1000, 1024, 1039, 1040, 1100, 65535, 65536])
def test_many_rows_of_one_size_and_what_ends_them(size: int) -> None:
    many = [size] * (20_000 // size + 3)
    error = frame(err_payload(1317, "70100", "stop"), 9)
    for last in (frame(eof_payload(0x22), 9), error):
        data = rows_of(many, last=last)
        response = Response()
        assert response.feed(data + b"\1") == len(data)
        assert response.error == (error[4:] if last is error else None)
    response = Response()
    data = rows_of(many)
    assert response.feed(data[:-9]) == len(data) - 9
    assert not response.done


def test_an_end_among_many_rows_is_found() -> None:
    """Another result may follow at once."""
    data = rows_of([30] * 500, last=frame(eof_payload(2 | 8), 9)) + rows_of([30] * 500)
    response = Response()
    assert response.feed(data) == len(data)
    assert len(response.marks) == 4


@given(st.sampled_from(sorted(CASES)), st.sampled_from(sorted(CASES)), st.lists(st.integers(0, 100_000), max_size=4))
def test_a_known_head_changes_nothing(known: str, name: str, cuts: list[int]) -> None:
    first = Response()
    first.feed(CASES[known])
    data = CASES[name]
    plain, helped = Response(), Response()
    feed(plain, data, cuts)
    helped.start(FIRST, first.head)
    assert feed(helped, data, cuts) == data
    assert (helped.done, helped.status, helped.warnings, helped.error) == (
        plain.done, plain.status, plain.warnings, plain.error,
    )  # fmt: skip
    assert helped.marks == plain.marks


def test_the_head_of_a_result_is_remembered() -> None:
    response = Response()
    response.feed(ROWSET)
    head = response.head
    assert ROWSET.startswith(head)
    assert head.endswith(frame(eof_payload(2), 4))
    response.start(FIRST, head)
    response.feed(ROWSET)
    assert response.head == head
    response.start(FIRST, head)
    response.feed(OK)
    assert response.head == b""


@pytest.mark.parametrize("cut", [5, 30])
def test_a_head_in_pieces_is_not_remembered(cut: int) -> None:
    response = Response()
    assert feed(response, ROWSET, [cut]) == ROWSET
    assert response.head == b""


def test_a_long_head_is_not_remembered() -> None:
    response = Response()
    response.feed(CASES["many columns"])
    assert response.head == b""


def test_a_piece_inside_a_row_has_no_marks() -> None:
    """Positions left over from an earlier piece would have flags patched into the middle of this one."""
    response = Response()
    data = rows_of([5000])
    response.feed(data[:100])
    assert response.marks
    response.feed(data[100:200])
    assert not response.marks


def test_a_response_after_one_that_ended_behind_a_large_row() -> None:
    row = frame(b"z" * (MAX_PAYLOAD + 5), 4)
    head, end = ROWSET[: ROWSET.index(b"\1\x31\xfb") - 4], frame(eof_payload(2), 6)
    response = Response()
    response.feed(head + row[:-9])
    assert response.feed(row[-9:] + end) == 9 + len(end)
    assert response.done
    large = result_set([bigint_column(b"a")], [[b"x"]], status=2)[0]
    response.start()
    assert response.feed(large) == len(large)
    assert response.marks == (len(large) - 17, len(large) - 2)


def test_a_short_eof_is_refused() -> None:
    with pytest.raises(MalformedPacket):
        Response().feed(ROWSET[:-9] + frame(b"\xfe\0", 7))


# -- the usual answer at a glance ---------------------------------------------------------------------------------

STATUSES = [2, 3, 2 | 0x20, 2 | 8, 2 | 0x40, 3 | 0x2000, 2 | 0x80]


CELLS = {"one": b"1", "empty": b"", "fe": b"\xfe", "300": b"x" * 300, "70,000": b"y" * 70_000}


@given(
    st.lists(st.sampled_from(sorted(CELLS)), max_size=3), st.sampled_from(STATUSES),
    st.sampled_from([0, 1]), st.sampled_from([0, 1]), st.sampled_from([b"", OK, ERR[:9], b"\1\0\0\5\0", b"\0"]),
    st.integers(0, 12),
)
def test_what_is_taken_for_one_row_is_one(
    cells: list[str], status: int, warnings: int, in_transaction: int, behind: bytes, cut: int
) -> None:
    """The walker comes to the same end; and the plain case is taken for it."""
    rows = [CELLS[cell] for cell in cells]
    head = result_set([bigint_column(b"a")], [], status=2)[0][:-9]
    at, number = len(head), 4
    packets = [frame(b"\xfd" + len(row).to_bytes(3, "little") + row, number + i) for i, row in enumerate(rows)]
    whole = head + b"".join(packets) + frame(eof_payload(status, warnings), number + len(rows))
    data = whole[: len(whole) - cut] + behind
    plain = len(rows) == 1 and cells != ["70,000"] and data == whole and not warnings and not status & 0x48
    taken = one_row_ends(data, at, in_transaction)
    assert taken == (plain and status & 1 == in_transaction)
    if taken:
        response = Response()
        response.start(FIRST, head)
        assert response.feed(data) == len(data)
        assert (response.done, response.error, response.warnings, response.status) == (True, None, 0, status)


@given(st.binary(max_size=40), st.sampled_from([0, 1]))
def test_rubbish_is_no_row(rubbish: bytes, in_transaction: int) -> None:
    head = result_set([bigint_column(b"a")], [], status=2)[0][:-9]
    if one_row_ends(head + rubbish, len(head), in_transaction):
        response = Response()
        response.start(FIRST, head)
        assert response.feed(head + rubbish) == len(head + rubbish)
        assert response.done
