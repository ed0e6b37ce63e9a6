"""Ids that rows bring, in blocks that another vgate has in hand: no generated one meets them afterwards.

Two vgates over the same servers; both have a block of ten before anything is inserted. A sequence of vgate's own and a
table of Vitess's behave alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from tests.fix_oracle import Answer, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import StartVgate
from tests.integration.asking import until

VSCHEMA = """
keyspaces:
  product:
    sharded: false
    tables: {ids: {type: sequence}}
    shards: ["-"]
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer:
        column_vindexes: [{column: id, name: hash}]
        auto_increment: {column: id, sequence: product.ids}
    shards: ["-80", "80-"]
"""
MAKE = {
    "GROUP": ["create group sequence product.ids step 10"],
    "table": [
        "create table product.ids (id int, next_id bigint, cache bigint, primary key (id)) comment 'vitess_sequence'",
        "insert into product.ids values (0, 11, 10)",
    ],
}
GENERATE = "insert into customer (uname) values ('generated')"


@dataclass(slots=True)
class Two:
    """Sessions of two vgates, which have given 11 and 21."""

    first: pymysql.Connection[Any]
    second: pymysql.Connection[Any]
    cluster: Cluster

    def run(self, session: pymysql.Connection[Any], sql: str) -> Answer:
        answer = ask(session, sql)
        assert answer.error is None, (sql, answer.error)
        return answer

    def ids(self) -> list[int]:
        return sorted(int(row[0]) for row in self.run(self.first, "select id from customer").rows)

    def generated(self, session: pymysql.Connection[Any], count: int) -> list[int]:
        return [int(self.run(session, GENERATE).insert_id) for _ in range(count)]


@pytest.fixture(params=["GROUP", "table"])
def two(request: pytest.FixtureRequest, fresh: Cluster, start_vgate: StartVgate) -> Iterator[Two]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(start_vgate(VSCHEMA).connect("customer"))) for _ in range(2))
        one = Two(first, second, fresh)
        one.run(one.first, "create table customer (id bigint not null, uname varchar(30), primary key (id))")
        for sql in MAKE[request.param]:
            one.run(one.first, sql)
        assert one.generated(one.first, 1) + one.generated(one.second, 1) == [11, 21]
        yield one


def test_no_generated_id_meets_them(two: Two) -> None:
    two.run(two.first, "insert into customer values (22, 'own'), (25, 'own')")
    assert not {22, 23, 24, 25} & set(two.generated(two.second, 12)), "what lies between may be another's, too"
    two.run(two.second, "insert into customer values (12, 'own')")
    two.generated(two.first, 12)
    assert len(two.ids()) == 29
    two.run(two.first, "insert into customer values (9000, 'above all'), (24, 'long given up')")
    high = max(two.generated(two.second, 1)) + 3
    two.run(two.first, f"insert into customer values (20000, 'above all'), ({high}, 'given next')")
    assert high not in two.generated(two.second, 12)


def test_while_the_sequences_server_is_away_nothing_is_given_that_may_be_wanted(two: Two) -> None:
    two.run(two.first, "insert into customer values (22, 'own')")
    server = two.cluster["product/-"]
    server.kill()
    try:
        until(lambda: ask(two.second, GENERATE).error is not None, "goes on though others may have recalled its block")
        assert ask(two.second, GENERATE).error[0] in (2003, 2013)  # type: ignore[index]
        assert ask(two.first, "insert into customer values (90, 'own')").error[0] in (2003, 2013)  # type: ignore[index]
        two.run(two.first, "insert into customer values (20, 'what nobody can give')")
    finally:
        server.restart()
    until(lambda: ask(two.second, GENERATE).error is None, "does not go on")
