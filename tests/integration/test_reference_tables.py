"""Reference tables: read on one shard, joined on each, written on all of them alike; compared with one server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import StartVgate
from tests.integration.asking import run
from tests.integration.test_alter_vschema import ok

VSCHEMA = """
keyspaces:
  product:
    sharded: false
    shards: ["-"]
    tables: {country_seq: {type: sequence}}
  customer:
    sharded: true
    shards: ["-80", "80-"]
    vindexes: {hash: {type: hash}}
    tables:
      customer: {column_vindexes: [{column: customer_id, name: hash}]}
      country: {type: reference}
      city: {type: reference}
      counted: {type: reference, auto_increment: {column: id, sequence: product.country_seq}}
"""
SCRIPT = """
create table customer (customer_id bigint primary key, country int, n int);
create table country (id int primary key, name varchar(20) unique, at timestamp(6) null default current_timestamp(6));
create table city (id int primary key, country int, name varchar(20));
create table counted (id int auto_increment primary key, name varchar(20))
"""
COUNTRIES = "insert into country (id, name, at) values (1, 'de', null), (2, 'fr', null), (3, 'it', null)"


@pytest.fixture
def oracle(fresh: Cluster, start_vgate: StartVgate) -> Iterator[Oracle]:
    vgate = start_vgate(VSCHEMA)
    fresh.shards["product/-"].query(
        "create table country_seq (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'",
        "product",
    )
    fresh.shards["product/-"].query("insert into country_seq values (0, 1, 100)", "product")
    with closing(vgate.connect("customer")) as one, closing(fresh.plain.connect("customer")) as other:
        pair = Oracle(one, other, fresh, vgate)
        run(pair, SCRIPT)
        pair.both(COUNTRIES)
        pair.both("insert into customer values (1, 1, 1), (2, 2, 2), (4, 1, 4), (6, 3, 6), (7, null, 7)")
        yield pair


def copies(oracle: Oracle, sql: str) -> list[object]:
    """What each shard has of it."""
    return [oracle.cluster.shards[f"customer/{shard}"].query(sql, "customer") for shard in ("-80", "80-")]


def test_reads_and_joins(oracle: Oracle) -> None:
    for sql in (
        "select id, name from country",
        "select count(*), max(name) from country",
        "select name from country order by name desc limit 1",
        "select * from country where id = 2",
        "select c.customer_id, k.name from customer c join country k on k.id = c.country",
        "select customer_id, name from customer, country where country = id and customer_id in (1, 4)",
        "select c.customer_id, k.name from customer c left join country k on k.id = c.country",
        "select customer_id from customer where country in (select id from country where name = 'de')",
        "select customer_id, (select name from country where id = country) from customer where customer_id = 4",
        "select k.name, c.n from country k left join customer c on c.customer_id = 4 and k.id = c.country"
        " where c.customer_id = 4",
        "select a.id, b.id from country a join country b on a.id < b.id",
    ):
        oracle.both(sql)
    joined = "country k left join customer c on c.country = k.id"
    oracle.both(f"select k.name, c.n from {joined}")
    oracle.both("select name from country where id in (select country from customer)")


def test_writes_are_on_every_shard_and_answer_as_one(oracle: Oracle) -> None:
    run(oracle, """
        insert into country (id, name, at) values (4, 'es', null);
        insert into country set id = 5, name = 'pt';
        update country set name = 'xx' where id < 3 and name = 'de';
        insert ignore into country (id, name) values (1, 'again'), (8, 'no');
        insert into country (id, name) values (1, 'uk') on duplicate key update name = values(name);
        replace into country (id, name) values (8, 'se'), (9, 'dk');
        delete from country where id = 9;
        delete from country where id = 999;
        update country set id = id + 100 where id = 8;
        insert into country (id, name) values (1, 'dup');
        insert into country (id, name) values (77, 'toolongtoolongtoolongtoolong');
        begin; update country set name = 'yy' where id = 1; select name from country where id = 1;
        insert into country (id, name) values (70, 'z'), (1, 'dup'); select id, name from country; rollback;
        select id, name from country;
        delete from customer where country in (select id from country where name = 'fr');
        select customer_id from customer
    """)  # fmt: skip
    one, other = copies(oracle, "select * from country")
    assert one == other


def test_warnings_are_those_of_one_shard(oracle: Oracle) -> None:
    oracle.both("insert ignore into country (id, name) values (1, 'again'), (2, 'and again')")
    assert len(oracle.both("show warnings", ordered=True).rows) == 2
    oracle.both("select @@warning_count")


def test_the_clock_is_the_same_on_every_shard(oracle: Oracle) -> None:
    assert oracle.only_vgate("insert into country (id, name) values (50, 'now')").error is None
    assert oracle.only_vgate("update country set at = now(6) where id = 1").error is None
    one, other = copies(oracle, "select * from country where at is not null")
    assert one == other
    assert len(oracle.only_vgate("select * from country where at is not null").rows) == 2
    later = oracle.only_vgate("select timestampdiff(second, at, now()) between 0 and 20 from country where id = 1")
    assert later.rows == ((1,),)
    for connection in range(3):  # and no connection keeps standing still
        with closing(oracle.process.connect("customer")) as client:
            first = ok(client, "select now(6), sleep(0.001)").rows[0][0]
            assert ok(client, "select now(6)").rows[0][0] > first, connection


def test_ids_from_a_sequence(oracle: Oracle) -> None:
    assert oracle.only_vgate("insert into counted (name) values ('a'), ('b')").insert_id == 1
    assert oracle.only_vgate("select last_insert_id()").rows == ((1,),)
    assert copies(oracle, "select * from counted") == [((1, "a"), (2, "b"))] * 2


def test_locking_reads_go_to_the_first_shard(oracle: Oracle) -> None:
    with closing(oracle.process.connect("customer")) as other:
        ok(oracle.vgate, "begin")
        ok(oracle.vgate, "select n from customer where customer_id = 4 for update")
        assert ok(oracle.vgate, "select name from country where id = 1 for update").rows == (("de",),)
        ok(other, "set innodb_lock_wait_timeout = 1")
        assert (ask(other, "select name from country where id = 1 for update").error or (0,))[0] == 1205
        assert (ask(other, "update country set name = 'x' where id = 1").error or (0,))[0] == 1205
        ok(oracle.vgate, "rollback")


@pytest.mark.parametrize(
    ("sql", "construct"),
    [
        ("update country set name = uuid()", "UUID()"),
        ("update country set name = @@hostname", "a variable"),
        ("update country set name = (select name from city limit 1)", "LIMIT"),
        ("update country set name = (select group_concat(name) from city)", "GROUP_CONCAT()"),
        ("delete from country limit 1", "LIMIT"),
        ("update country set name = 'x' order by id limit 1", "ORDER BY"),
        ("insert into country (id, name) values (90, rand())", "RAND()"),
        ("update country k join customer c on c.country = k.id set k.name = 'x'", "together with sharded tables"),
        ("update country set name = 'x' where id in (select country from customer)", "together with sharded tables"),
        ("delete c from customer c join country k on k.id = c.country where c.customer_id = 1", "together with"),
        ("update country set name = 'x' where id = my_function(1)", "my_function"),
    ],
)
def test_what_would_make_copies_unlike_is_refused(oracle: Oracle, sql: str, construct: str) -> None:
    oracle.refused(sql, construct)


def test_a_counter_without_a_sequence_is_refused(fresh: Cluster, start_vgate: StartVgate) -> None:
    vgate = start_vgate(VSCHEMA)
    with closing(vgate.connect("customer")) as client:
        for shard in ("-80", "80-"):  # through vgate it would have a sequence
            vgate.query("create table city (id int auto_increment primary key, name varchar(20))", f"customer:{shard}")
        assert "count by itself" in (ask(client, "insert into city (name) values ('x')").error or (0, ""))[1]
        assert "count by itself" in (ask(client, "insert into city values (0, 'x')").error or (0, ""))[1]
        ok(client, "insert into city values (1, 'x')")


def test_a_counter_made_through_vgate_has_a_sequence(fresh: Cluster, start_vgate: StartVgate) -> None:
    vgate = start_vgate(VSCHEMA)
    with closing(vgate.connect("customer")) as client:
        ok(client, "create table city (id int auto_increment primary key, name varchar(20))")
        ok(client, "insert into city (name) values ('x'), ('y')")
        copies = [vgate.query("select id, name from city", f"customer:{shard}") for shard in ("-80", "80-")]
    assert copies[0] == copies[1]
    assert len(copies[0]) == 2


def test_below_repeatable_read_writes_are_refused(oracle: Oracle) -> None:
    ok(oracle.vgate, "set session transaction isolation level read committed")
    oracle.refused("update country set name = 'x' where id = 1", "below REPEATABLE READ")
    ok(oracle.vgate, "select * from country")


def test_copies_that_differ_are_found(oracle: Oracle) -> None:
    oracle.cluster.shards["customer/80-"].query("delete from country where id = 3", "customer")
    answer = oracle.only_vgate("update country set name = 'x' where id = 3")
    assert answer.error is not None
    assert "their copies are not the same" in answer.error[1]
    assert ("it",) in oracle.cluster.shards["customer/-80"].query("select name from country", "customer")


@pytest.mark.parametrize("shard", ["-80", "80-"])
def test_a_write_that_one_shard_cannot_do_is_on_none(oracle: Oracle, shard: str) -> None:
    """Nor is the transaction lost that it was in."""
    client = oracle.vgate
    before = copies(oracle, "select * from country order by id")
    ok(client, "set session innodb_lock_wait_timeout = 1")
    with closing(oracle.cluster.shards[f"customer/{shard}"].connect("customer", autocommit=False)) as locking:
        ok(locking, "select * from country where id = 2 for update")
        assert (ask(client, "update country set name = concat(name, 'x')").error or (0,))[0] == 1205
        assert copies(oracle, "select * from country order by id") == before
        ok(client, "begin")
        ok(client, "update country set name = 'kept' where id = 1")
        assert (ask(client, "update country set name = concat(name, 'y')").error or (0,))[0] == 1205
        assert ok(client, "select name from country order by id").rows == (("kept",), ("fr",), ("it",))
        ok(client, "commit")
    one, other = copies(oracle, "select id, name from country order by id")
    assert one == other == ((1, "kept"), (2, "fr"), (3, "it"))


def test_a_shard_that_is_gone_lets_no_write_happen(oracle: Oracle) -> None:
    """Reads are answered by the others."""
    client = oracle.vgate
    ok(client, "begin")
    ok(client, "insert into country (id, name, at) values (4, 'es', null)")
    gone = oracle.cluster.shards["customer/80-"]
    gone.kill()
    try:
        assert ask(client, "update country set name = 'x' where id = 1").error is not None
        ask(client, "rollback")
        assert ask(client, "insert into country (id, name, at) values (5, 'pt', null)").error is not None
        assert ok(client, "select count(*) from country").rows == ((3,),)
    finally:
        gone.restart()
    ok(client, "insert into country (id, name, at) values (6, 'be', null)")
    one, other = copies(oracle, "select id from country order by id")
    assert one == other == ((1,), (2,), (3,), (6,))


def test_many_writers_leave_the_copies_equal(oracle: Oracle) -> None:
    def write(number: int) -> None:
        with closing(oracle.process.connect("customer")) as client:
            for each in range(15):
                for sql in (
                    f"insert into city values ({each % 5}, {number}, 'n') on duplicate key update country = {number}",
                    f"update city set name = concat(country, '-{number}') where country = {each % 4}",
                    f"delete from city where id = {(number + each) % 5}",
                ):
                    answer = ask(client, sql)
                    assert answer.error is None or answer.error[0] == 1213, answer.error

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    one, other = copies(oracle, "select * from city order by id")
    assert one == other
