"""The time is one for a statement across all its shards, and a client's own wins.

It does not know what time it is.
"""

from __future__ import annotations

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import Connection, run

NAMES = "a datetime(6), b timestamp(6) null default current_timestamp(6) on update current_timestamp(6), c double"
MANY = ", ".join(f"({n})" for n in range(100, 140))


@pytest.fixture
def timed(stocked: Oracle) -> Oracle:
    """The sharded table with columns for times."""
    for part in NAMES.split(", "):
        stocked.both(f"alter table customer add {part}", ignore=["affected", "info"])
    return stocked


def times(connection: Connection, column: str = "a") -> set[object]:
    return {row[0] for row in ask(connection, f"select {column} from customer where customer_id > 99").rows}


def test_now_is_one_for_all_shards(timed: Oracle) -> None:
    vgate = timed.vgate
    for expression in ("now(6)", "current_timestamp(6)", "localtime(6)", "utc_timestamp(6)", "unix_timestamp(now(6))"):
        rows = ask(vgate, f"select {expression} from customer").rows
        assert len(rows) == 4
        assert len(set(rows)) == 1, expression
    ask(vgate, f"insert into customer (customer_id) values {MANY}")
    assert len(times(vgate, "b")) == 1
    assert ask(vgate, "update customer set a = now(6), n = 7").affected == 44
    assert len(times(vgate)) == 1
    assert times(vgate) == times(vgate, "b")
    before = times(vgate, "b")
    assert ask(vgate, "update customer set n = 8").affected == 44
    assert len(times(vgate, "b")) == 1
    assert times(vgate, "b") != before


def test_in_a_transaction_and_after_a_failure(timed: Oracle, others: list[Connection]) -> None:
    vgate = timed.vgate
    ask(vgate, "begin")
    ask(vgate, f"insert into customer (customer_id, a) values {MANY.replace(')', ', now(6))')}")
    first = times(vgate)
    assert ask(vgate, "insert into customer (customer_id) values (1), (2), (7), (8), (9)").error is not None
    ask(vgate, "update customer set a = now(6)")
    assert len(times(vgate)) == 1
    assert times(vgate) != first
    ask(vgate, "commit")
    assert ask(vgate, "insert into customer (customer_id) values (1), (2), (7), (8), (9)").error is not None
    for other in (vgate, *others):  # the clocks of all connections go on
        for shard in ("customer:-80", "customer:80-"):
            ask(other, f"use `{shard}`")
            ((one,),), ((another,),) = (ask(other, "select @@timestamp").rows for _ in range(2))
            assert one != another


def test_a_clients_own_time_wins(timed: Oracle) -> None:
    run(timed, "set timestamp = 1700000000.25, time_zone = '+00:00'; select now(6), customer_id from customer;"
               f"insert into customer (customer_id) values {MANY}; update customer set a = now(6);"
               "select a, b from customer; set timestamp = default")  # fmt: skip
    assert len(set(ask(timed.vgate, "select now(6) from customer").rows)) == 1
