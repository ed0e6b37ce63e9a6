"""The pure machine of a Vitess sequence: the reference's worked examples, prefetching, gaps, the end of BIGINT."""

from __future__ import annotations

import pytest

from vgate.sequences.block import MAX_NEXT_ID, Exhausted, Span, VitessBlock


class Row:
    """The row on the server, and whole refills on it."""

    def __init__(self, next_id: int, cache: int) -> None:
        self.next_id = next_id
        self.cache = cache

    def refill(self, block: VitessBlock, *wanted: int) -> None:
        block.refill_started()
        self.next_id = block.row_read(self.next_id, self.cache, wanted)
        block.committed()

    def next(self, block: VitessBlock, n: int) -> int:
        """One request, with the refills it needs."""
        first = block.take(n)
        if first is None:
            self.refill(block, n)
            first = block.take(n)
            assert first is not None
        if block.refill_due(n):
            self.refill(block)
        return first


def test_the_worked_example_of_growing_requests() -> None:
    row, block = Row(1, 3), VitessBlock()
    assert [(row.next(block, n), row.next_id) for n in (1, 1, 2, 6)] == [(1, 4), (2, 4), (3, 7), (5, 13)]


def test_the_worked_example_of_hand_made_changes() -> None:
    row, block = Row(1, 3), VitessBlock()
    assert [row.next(block, 2) for _ in range(5)] == [1, 3, 5, 7, 9]
    assert row.next_id == 13
    row.next_id = 1  # never backwards while alive
    assert (row.next(block, 3), row.next_id) == (13, 16)
    row.next_id = 100  # forwards is honoured, and what was left is dropped
    assert (row.next(block, 3), row.next_id) == (100, 103)


def test_the_worked_example_of_a_new_primary() -> None:
    row, block = Row(1, 3), VitessBlock()
    assert row.next(block, 1) == 1
    block.reset()
    assert row.next(block, 1) == 4


def test_the_worked_example_of_an_insert() -> None:
    row, block = Row(1, 10), VitessBlock()
    assert (row.next(block, 4), row.next(block, 1), row.next_id) == (1, 5, 11)


def test_the_documented_example_of_five_rows() -> None:
    row, block = Row(1, 3), VitessBlock()
    assert (row.next(block, 2), row.next(block, 1)) == (1, 3)
    assert (Row(1, 3).next(VitessBlock(), 5)) == 1


def test_a_request_larger_than_the_cache_is_consecutive() -> None:
    row, block = Row(1, 1000), VitessBlock()
    assert (row.next(block, 1), row.next(block, 10_000), row.next(block, 1)) == (1, 2, 10_002)
    assert row.next_id == 11_001


@pytest.mark.parametrize(("next_id", "first"), [(0, 0), (-5, 0), (5, 5)])
def test_a_fresh_start_is_never_below_zero(next_id: int, first: int) -> None:
    """Vitess compares with LastVal, which is 0 when unloaded."""
    assert Row(next_id, 3).next(VitessBlock(), 1) == first


def test_several_who_wait_are_served_by_one_block() -> None:
    """The row ends where Vitess's refills one after another would have left it."""
    row, block = Row(1, 3), VitessBlock()
    row.refill(block, 1, 2, 1, 6)
    assert (row.next_id, [block.take(n) for n in (1, 2, 1, 6)]) == (13, [1, 2, 4, 5])


# -- publication --------------------------------------------------------------------------------------------------


def test_a_block_is_not_used_before_its_commit_is_known() -> None:
    block = VitessBlock()
    block.refill_started()
    assert block.take(1) is None
    assert block.row_read(1, 1000) == 1001
    assert block.take(1) is None
    block.committed()
    assert block.take(1) == 1


def test_a_failure_before_commit_keeps_what_is_in_hand() -> None:
    row, block = Row(1, 3), VitessBlock()
    row.next(block, 1)
    block.refill_started()
    block.row_read(4, 3, [5])
    block.failed_before_commit()
    assert (block.take(2), block.take(1)) == (2, None)
    assert row.next(block, 1) == 4


@pytest.mark.parametrize("advanced", [True, False])
def test_an_unknown_outcome_forgets_and_reads_again(advanced: bool) -> None:
    row, block = Row(1, 1000), VitessBlock()
    row.next(block, 10)
    block.refill_started()
    written = block.row_read(row.next_id, row.cache, [1000])
    block.outcome_unknown()
    if advanced:
        row.next_id = written
    assert block.left == 0
    assert block.take(1) is None
    assert row.next(block, 1) == (2001 if advanced else 1001)


def test_after_an_unknown_outcome_a_row_that_went_back_is_not_believed() -> None:
    row, block = Row(1, 3), VitessBlock()
    assert row.next(block, 1) == 1
    block.refill_started()
    block.outcome_unknown()
    row.next_id = 1
    assert row.next(block, 1) == 4


def test_a_repeated_transaction_counts_as_read_last() -> None:
    block = VitessBlock()
    block.refill_started()
    assert block.row_read(1, 3, [1]) == 4
    assert block.row_read(7, 3, [1]) == 10  # the first was rolled back, and another proxy went on
    block.committed()
    assert block.take(1) == 7


# -- prefetch -----------------------------------------------------------------------------------------------------


def drain(block: VitessBlock, count: int) -> None:
    for _ in range(count):
        assert block.take(1) is not None


def test_a_refill_is_due_when_a_fifth_is_left() -> None:
    row, block = Row(1, 1000), VitessBlock()
    row.refill(block, 1)
    drain(block, 800)
    assert (block.left, block.refill_due(1)) == (200, False)
    drain(block, 1)
    assert block.refill_due(1)
    block.refill_started()
    assert not block.refill_due(1)
    row.next_id = block.row_read(row.next_id, row.cache)
    drain(block, 100)  # issued meanwhile
    assert not block.refill_due(1)
    block.committed()
    assert (block.left, row.next_id, block.spare) == (1099, 2001, None)
    assert (block.take(1099), block.take(1)) == (902, None)


@pytest.mark.parametrize(("cache", "due"), [(99, False), (100, True)])
def test_small_caches_are_not_prefetched(cache: int, due: bool) -> None:
    row, block = Row(1, cache), VitessBlock()
    row.refill(block, 1)
    drain(block, cache - 1)
    assert block.refill_due(1) is due


def test_a_refill_is_due_when_the_next_request_like_this_would_wait() -> None:
    row, block = Row(1, 1000), VitessBlock()
    row.refill(block, 600)
    assert block.take(600) == 1
    assert (block.refill_due(400), block.refill_due(600)) == (False, True)


def test_requests_larger_than_the_cache_do_not_prefetch_for_their_like() -> None:
    row, block = Row(1, 1000), VitessBlock()
    row.refill(block, 2500)
    assert block.take(2500) == 1
    assert not block.refill_due(2500)


def test_after_a_failed_prefetch_it_is_less_eager() -> None:
    row, block = Row(1, 1000), VitessBlock()
    row.refill(block, 1)
    drain(block, 801)
    block.refill_started()
    block.failed_before_commit()
    due = []
    while block.left:
        drain(block, 1)
        if block.refill_due(1):
            due.append(block.left)
            block.refill_started()
            block.failed_before_commit()
    assert due == [99, 49, 24, 11, 5, 2, 0]


# -- another proxy on the row -------------------------------------------------------------------------------------


def with_spare() -> tuple[Row, VitessBlock]:
    """[902, 1001) in hand, then [2001, 3001), as another proxy took [1001, 2001)."""
    row, block = Row(1, 1000), VitessBlock()
    row.refill(block, 1)
    drain(block, 901)
    row.next_id = 2001
    row.refill(block)
    assert (block.next_val, block.last_val, block.spare, block.end) == (902, 1001, Span(2001, 3001), 3001)
    return row, block


def test_the_rest_of_the_old_block_is_used_up_first() -> None:
    _, block = with_spare()
    assert not block.refill_due(1)
    assert [block.take(1) for _ in range(100)] == [*range(902, 1001), 2001]
    assert (block.left, block.spare) == (999, None)


def test_a_request_that_does_not_fit_the_rest_is_consecutive_in_the_new_block() -> None:
    _, block = with_spare()
    assert (block.take(98), block.take(2), block.take(1)) == (902, 2001, 2003)


def test_the_new_block_is_prefetched_in_its_turn() -> None:
    _, block = with_spare()
    assert block.take(100) == 2001
    assert not block.refill_due(1)
    drain(block, 701)
    assert block.refill_due(1)


@pytest.mark.parametrize(("next_id", "first", "row_after"), [(3001, 2001, 4001), (9001, 9001, 11001)])
def test_a_request_that_fits_neither_block(next_id: int, first: int, row_after: int) -> None:
    row, block = with_spare()
    row.next_id = next_id
    assert block.take(1500) is None
    row.refill(block, 1500)
    assert (block.take(1500), row.next_id) == (first, row_after)


def test_a_gap_is_kept_for_smaller_requests_if_the_large_one_went_away() -> None:
    row, block = with_spare()
    row.next_id = 9001
    row.refill(block, 1500)
    assert (block.take(1), block.spare) == (2001, Span(9001, 11001))


def test_a_spare_beyond_an_empty_hand_moves_up() -> None:
    row, block = Row(1, 1000), VitessBlock()
    row.refill(block, 1000)
    drain(block, 1000)
    row.next_id = 5001
    row.refill(block)
    assert (block.next_val, block.last_val, block.spare) == (5001, 6001, None)


# -- reset --------------------------------------------------------------------------------------------------------


def test_a_reset_honours_a_row_that_was_lowered() -> None:
    row, block = Row(100, 3), VitessBlock()
    row.next(block, 1)
    row.next_id = 1
    block.reset()
    assert row.next(block, 1) == 1


def test_a_refill_in_flight_at_a_reset_adds_nothing() -> None:
    row, block = Row(1, 1000), VitessBlock()
    block.refill_started()
    row.next_id = block.row_read(row.next_id, row.cache, [1])
    block.reset()
    block.committed()
    assert (block.take(1), block.left) == (None, 0)
    assert row.next(block, 1) == 1001


# -- the end of signed 64 bits ------------------------------------------------------------------------------------


def test_the_last_block_is_cut_short() -> None:
    row, block = Row(MAX_NEXT_ID - 5, 1000), VitessBlock()
    assert (row.next(block, 3), row.next_id) == (MAX_NEXT_ID - 5, MAX_NEXT_ID)
    assert row.next(block, 2) == MAX_NEXT_ID - 2
    block.refill_started()
    with pytest.raises(Exhausted):
        block.row_read(MAX_NEXT_ID, 1000, [1])
    block.failed_before_commit()


def test_one_request_too_large_does_not_stop_those_before_it() -> None:
    row, block = Row(1, 10), VitessBlock()
    row.refill(block, 3, MAX_NEXT_ID - 1, 4)
    assert (block.take(3), row.next_id) == (1, 11)
    block.refill_started()
    with pytest.raises(Exhausted):
        block.row_read(row.next_id, row.cache, [MAX_NEXT_ID - 3, 4])


def test_the_largest_request_there_can_be() -> None:
    row, block = Row(1, 1000), VitessBlock()
    assert (row.next(block, MAX_NEXT_ID - 1), row.next_id) == (1, MAX_NEXT_ID)


def test_a_prefetch_at_the_end_is_refused() -> None:
    block = VitessBlock()
    block.refill_started()
    with pytest.raises(Exhausted):
        block.row_read(MAX_NEXT_ID, 1000)


# -- misuse -------------------------------------------------------------------------------------------------------


def test_events_out_of_order_are_refused() -> None:
    block = VitessBlock()
    for event in (block.committed, block.failed_before_commit, block.outcome_unknown, lambda: block.row_read(1, 3)):
        with pytest.raises(RuntimeError):
            event()
    block.refill_started()
    for event in (block.refill_started, block.committed, lambda: block.row_read(1, 0)):
        with pytest.raises(RuntimeError):
            event()


def test_the_repr_tells_the_state() -> None:
    assert repr(with_spare()[1]) == "<VitessBlock [902, 1001) then [2001, 3001) cache 1000 refill none>"
