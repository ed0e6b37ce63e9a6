"""FLUSH through vgate and on one server: all servers do it where no one is meant, and a read lock is on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import VgateProcess
from tests.integration.asking import Connection, Later, until, working

FLUSHES = """
flush tables
flush local tables
flush /*!40101 LOCAL */ tables
flush no_write_to_binlog tables
flush table customer.customer
flush tables `customer`.customer
flush status
flush logs
flush privileges
flush hosts
flush query cache
flush optimizer_costs
flush nosuch
flush tables nosuch
flush
flush tables with read lock; unlock tables
flush tables with read lock; insert into customer.customer (customer_id) values (50); unlock tables
flush tables with read lock; insert into customer.customer (uname) values ('x'); unlock tables
flush tables with read lock; update customer.customer set n = 1; delete from customer.customer; unlock tables
flush tables with read lock; create table customer.x (customer_id int primary key); unlock tables
flush tables with read lock; flush tables with read lock; unlock tables; unlock tables
flush tables with read lock; start transaction with consistent snapshot; unlock tables; \
select count(*) from customer.customer; rollback
lock tables customer.customer read; flush tables
"""


@pytest.fixture(params=[None, "customer", "product"])
def flushing(stocked: Oracle, request: pytest.FixtureRequest) -> Iterator[Oracle]:
    database = request.param
    with (
        closing(stocked.process.connect(database)) as one,
        closing(stocked.cluster.plain.connect(database)) as other,
    ):
        yield Oracle(one, other, stocked.cluster, stocked.process)


def test_what_one_server_answers(flushing: Oracle) -> None:
    selected = ask(flushing.vgate, "select database()").rows[0][0]
    for script in FLUSHES.strip().replace("\\\n", "").splitlines():
        if script.startswith("lock") and selected != "product":
            continue  # on shards that is refused
        if selected == "product" and "customer" in script:
            continue  # tables of several keyspaces
        for statement in script.split("; "):
            flushing.both(statement, ignore=["insert_id"])
        for connection in (flushing.vgate, flushing.plain):
            ask(connection, "unlock tables")
    flushing.both("begin")
    flushing.both("insert into customer.customer (customer_id) values (60)", ignore=["insert_id"])
    flushing.both("flush tables")
    flushing.both("rollback")
    flushing.both("select customer_id from customer.customer")


@pytest.mark.parametrize("database", [None, "customer"])
def test_a_lock_on_all_servers(stocked: Oracle, standing: VgateProcess, database: str | None) -> None:
    with closing(standing.connect(database)) as holder, closing(standing.connect("customer")) as writer:
        assert ask(holder, "flush tables with read lock").error is None
        later = [_later(standing, number) for number in (1, 4)]
        for shard in ("customer/-80", "customer/80-"):
            until(partial(working, stocked.cluster[shard], "update customer"), "it does not wait")
        assert ask(holder, "select sum(n) from customer.customer").rows == ((13,),)
        assert ask(holder, "use product").error is None
        assert ask(holder, "unlock tables").error is None
        for connection, answer in later:
            assert answer.result().affected == 1
            connection.close()
        assert ask(writer, "update customer set n = 0").affected == 4
        # The session is tied to no server any more.
        assert ask(holder, "create temporary table product.t (n int)").error is None
        assert ask(holder, "select get_lock('x', 0)").rows == ((1,),)


def _later(process: VgateProcess, number: int) -> tuple[Connection, Later]:
    connection = process.connect("customer")
    return connection, Later(connection, f"update customer set n = 100 where customer_id = {number}")


def test_a_client_that_goes_away_leaves_no_lock(stocked: Oracle, standing: VgateProcess) -> None:
    holder = standing.connect()
    assert ask(holder, "flush tables with read lock").error is None
    holder._force_close()
    with closing(standing.connect("customer")) as writer:
        assert ask(writer, "update customer set n = 5").affected == 4


def test_a_lock_that_one_server_refuses_is_on_none(stocked: Oracle, standing: VgateProcess) -> None:
    with closing(stocked.cluster["customer/80-"].connect("customer")) as blocker:
        assert ask(blocker, "lock tables customer write").error is None
        with closing(standing.connect("customer")) as holder, closing(standing.connect("customer")) as writer:
            ask(holder, "set lock_wait_timeout = 1")
            error = ask(holder, "flush tables with read lock").error
            assert error is not None
            assert error[0] == 1205
            assert ask(writer, "update customer set n = 7 where customer_id = 1").affected == 1


def test_kill_query_leaves_no_lock(stocked: Oracle, standing: VgateProcess) -> None:
    with closing(stocked.cluster["customer/80-"].connect("customer")) as blocker:
        assert ask(blocker, "lock tables customer write").error is None
        with closing(standing.connect("customer")) as holder, closing(standing.connect("customer")) as writer:
            later = Later(holder, "flush tables with read lock")
            until(lambda: working(stocked.cluster["customer/80-"], "with read lock"), "it does not wait")
            standing.query(f"kill query {holder.thread_id()}")
            error = later.result().error
            assert error is not None
            assert error[0] == 1317
            assert ask(writer, "update customer set n = 7 where customer_id = 1").affected == 1
            assert ask(holder, "select n from customer where customer_id = 1").rows == ((7,),)


@pytest.mark.parametrize("statement", ["flush tables customer with read lock", "flush local table customer for export"])
def test_a_lock_on_single_tables_is_for_one_server(stocked: Oracle, statement: str) -> None:
    """A write over shards begins a transaction, upon which servers let go of it."""
    stocked.refused(statement, "on a sharded keyspace")
    assert ask(stocked.vgate, "update customer set n = 5").error is None


def test_a_lock_of_which_a_server_was_lost_is_gone_with_unlock(stocked: Oracle, standing: VgateProcess) -> None:
    server = stocked.cluster["customer/80-"]
    with closing(standing.connect("customer")) as holder:
        assert ask(holder, "flush tables with read lock").error is None
        for (thread,) in server.query(
            "select id from information_schema.processlist where db = 'customer' and id <> connection_id()"
        ):
            server.query(f"kill {thread}")
        error = ask(holder, "unlock tables").error
        assert error is not None
        assert error[0] == 2013
        assert ask(holder, "update customer set n = 5").affected == 4
        assert ask(holder, "unlock tables").error is None
