"""What a vgate knows that no other can give."""

from __future__ import annotations

from vgate.sequences.claims import Claims


def test_only_what_is_known_is_covered() -> None:
    claims = Claims()
    assert claims.covers(-5, 0)
    assert not claims.covers(1, 1)
    claims.claimed(11, 21)
    assert claims.covers(11, 20)
    assert not claims.covers(10, 20)
    assert not claims.covers(11, 21)


def test_blocks_that_follow_the_floor_raise_it() -> None:
    claims = Claims()
    claims.claimed(11, 21)
    claims.claimed(31, 41)
    assert claims.floor == 1
    claims.claimed(1, 11)
    assert claims.floor == 21
    assert claims.covers(1, 20)
    assert not claims.covers(20, 31)
    claims.cleared(25)
    claims.claimed(25, 31)
    assert (claims.floor, claims.own) == (41, [])


def test_blocks_that_follow_each_other_are_one_and_few_are_remembered() -> None:
    claims = Claims()
    claims.claimed(11, 21)
    claims.claimed(21, 31)
    assert claims.covers(15, 30)
    for number in range(20):
        claims.claimed(100 * number + 100, 100 * number + 110)
    assert not claims.covers(15, 15)
    assert claims.covers(2000, 2009)
    assert len(claims.own) == 8


def test_a_sequence_that_was_put_back_is_not_ours_from_there() -> None:
    claims = Claims()
    claims.cleared(50)
    claims.claimed(60, 70)
    claims.put_back(40)
    assert claims.covers(1, 39)
    assert not claims.covers(40, 40)
    assert not claims.covers(60, 61)


def test_recalls_that_follow_one_another_leave_more_and_more_room() -> None:
    claims = Claims()
    rooms = []
    for number in range(6):
        rooms.append(claims.room(10, 2.0 * number))
        claims.recalled(100 * number, 2.0 * number)
    assert rooms == [0, 10, 20, 40, 80, 160]
    assert claims.room(10, 100.0) == 0
    claims.recalled(10_000, 100.0)
    assert claims.room(10, 101.0) == 10
    for _ in range(40):
        claims.recalled(10_000, 101.0)
    assert claims.room(10, 101.0) == 1 << 20
    assert claims.room(1 << 30, 101.0) == 1 << 30
