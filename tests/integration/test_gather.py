"""The gather tier: queries that shards cannot answer one after another, each compared with one plain server.

What is asked here cannot be answered by routing or concatenation; that every part of the answer is one server's, down
to the description of its columns, is the oracle's business.
"""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import USERS, StartVgate
from tests.integration.asking import Later, until, working
from tests.integration.conftest import serve

PEOPLE = """
create table customer (
    customer_id bigint not null primary key, uname varchar(50), n int, x decimal(10, 3), f float, d double,
    kind enum('z', 'a', 'm'), at datetime(6), key by_n (n)
)
"""
ORDERS = "create table orders (id bigint not null primary key, customer_id bigint, total decimal(12, 2), note text)"


@pytest.fixture
def filled(pair: Oracle) -> Oracle:
    return fill(pair)


def fill(pair: Oracle) -> Oracle:
    pair.both(PEOPLE)
    pair.both("insert into customer values " + ", ".join(
        f"({i}, {'null' if i % 9 == 0 else repr(name)}, {i % 5}, {i}.125, {i}.1, 1e{i % 7}/3, "
        f"{i % 3 + 1}, '2024-01-{i % 28 + 1:02d} 10:00:00.{i:06d}')"
        for i, name in enumerate(("ann", "Bob", "bob ", "çelik", "zoë", "Zoe", "ANN") * 6, 1)
    ), ignore=["insert_id"])  # fmt: skip
    return pair


STATEMENTS = """
select * from customer order by customer_id
select customer_id, uname from customer order by uname, customer_id
select uname from customer order by uname collate utf8mb4_bin desc, customer_id limit 5
select customer_id from customer order by kind, customer_id limit 3, 4
select customer_id from customer order by x desc limit 2 offset 3
select count(*) from customer
select count(distinct uname), sum(n), avg(x), min(f), max(d), std(n) from customer
select n, count(*) c, sum(x) from customer group by n having c > 2 order by n
select n, kind, count(*) from customer group by n, kind order by n, kind limit 4
select n, count(*) from customer group by n with rollup
select distinct n from customer order by n
select distinct uname from customer
select group_concat(customer_id order by customer_id desc separator '/') from customer where n < 2
select customer_id, row_number() over (partition by n order by customer_id) r from customer order by 1
select customer_id, sum(n) over w from customer window w as (order by customer_id) order by customer_id
select a.customer_id, b.customer_id from customer a join customer b on a.n = b.n + 1 order by 1, 2 limit 20
select a.customer_id, b.uname from customer a left join customer b on b.customer_id = a.customer_id + 40 order by 1
select customer_id from customer where n = (select max(n) from customer) order by 1
select customer_id from customer c where exists (select 1 from customer d where d.n > c.n and d.kind = c.kind)
 order by 1
select customer_id from customer where customer_id in (select customer_id + 1 from customer where n = 2) order by 1
select customer_id from customer where n = 1 union select customer_id from customer where n = 2 order by 1
select n from customer union all select n + 1 from customer order by 1
with c as (select n, count(*) k from customer group by n) select * from c order by n
with recursive r as (select 1 as i union all select i + 1 from r where i < 5)
 select i, (select count(*) from customer where n = i) from r order by i
select d.n, d.k from (select n, max(customer_id) k from customer group by n) d where d.k > 40 order by 1
select count(*) from customer where uname = 'bob' and customer_id > 3
select count(*) from customer where (n = 1 or n = 3) and uname like 'a%' -- a comment
select sum(n) from customer where customer_id in (1, 2, 3, 4, 5)
select max(at), min(at) from customer
select customer.uname, count(*) from customer group by customer.uname order by customer.uname
select customer.customer.n, count(*) from customer.customer group by customer.customer.n order by 1
select sum(customer_id) from customer where customer_id = -1 or customer_id = 4 or customer_id = 7
(select customer_id from customer order by n, customer_id limit 3) union (select 99) order by 1
select count(*), database(), connection_id() > 0 from customer
select json_arrayagg(n) from customer where customer_id < 0
select a.n, count(*) from customer a, customer b where a.n = b.n group by a.n order by a.n
select (select count(*) from customer) + (select max(n) from customer) as s
select nothing from customer order by 1
select n from customer group by customer_id, n having max(x) > 1000
"""


def statements() -> list[str]:
    found: list[str] = []
    for line in STATEMENTS.strip().split("\n"):
        if line.startswith(" "):
            found[-1] += line
        else:
            found.append(line)
    return found


def test_queries(filled: Oracle) -> None:
    for sql in statements():
        same(filled, sql)
        if not PLAN_DECIDES.search(sql):
            filled.both(sql, ordered=" order by " in sql, ignore=["warnings"])


STRING_TYPES = {254: 253}
PLAN_DECIDES = re.compile(r"\b(group|join|distinct|exists|in \(select|union|with|over|from customer a,)\b|max|min")


def same(oracle: Oracle, sql: str) -> None:
    """The same rows, and columns but for what depends on how the server goes about it: with other statistics a column
    comes from the table, or from a sorted copy of it that has no keys.
    """
    mine, theirs = ask(oracle.vgate, sql), ask(oracle.plain, sql)
    if " order by " not in sql:
        mine, theirs = mine.sorted(), theirs.sorted()
    assert mine.rows == theirs.rows, sql
    assert (mine.error or (0,))[0] == (theirs.error or (0,))[0], sql
    for one, other in zip(mine.columns, theirs.columns, strict=True):
        types = [STRING_TYPES.get(column[1], column[1]) for column in (one, other)]
        lengths = [22 if column[1] == 5 and column[3] == 23 else column[3] for column in (one, other)]  # of a DOUBLE
        assert (one[0], types[0], lengths[0], *one[4:6]) == (other[0], types[1], lengths[1], *other[4:6]), sql


SEVERAL = """
keyspaces:
  product: {shards: ["-"]}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer: {column_vindexes: [{column: customer_id, name: hash}]}
      orders: {column_vindexes: [{column: id, name: hash}]}
      kinds: {type: reference}
    shards: ["-20", "20-40", "40-60", "60-80", "80-a0", "a0-c0", "c0-e0", "e0-"]
"""

JOINS = [
    "select c.customer_id, o.total, k.name from customer c join orders o on o.customer_id = c.customer_id"
    " left join kinds k on k.id = c.n order by o.id",
    "select k.name, count(*), sum(o.total) from kinds k left join customer c on c.n = k.id"
    " left join orders o using (customer_id) group by k.name order by k.name",
    "select name from kinds where id in (select n from customer) order by name",
    "select customer_id from customer c where not exists (select 1 from orders where customer_id = c.customer_id)"
    " order by 1 limit 7",
    "select customer.customer.customer_id from customer.customer, customer.orders"
    " where customer.orders.customer_id = customer.customer.customer_id and customer.orders.id = 3 order by 1",
    "select c.customer_id, o.id from customer c left join orders o on o.customer_id = c.customer_id and o.id = 4"
    " where c.customer_id in (3, 4, 5) order by 1",
    "select c.customer_id from customer c left join orders o on o.customer_id = c.customer_id where o.id is null"
    " order by c.customer_id",
    "select o.id, p.id from orders o, orders p where o.id + 1 = p.id order by 1 limit 5",
    "select (select count(*) from orders), (select count(*) from customer), (select max(id) from kinds)",
    "select id from orders where customer_id = 4 union select customer_id from customer where n = 3 order by 1",
]


def test_eight_shards_with_databases_of_other_names(fresh: Cluster, start_vgate: StartVgate) -> None:
    """And several tables, one of which is on every shard."""
    vgate = start_vgate(SEVERAL)
    with closing(vgate.connect("customer")) as one, closing(fresh.plain.connect("customer")) as other:
        oracle = Oracle(one, other, fresh, vgate)
        fill(oracle)
        oracle.both(ORDERS)
        oracle.both("create table kinds (id int primary key, name varchar(20))")
        oracle.both("insert into kinds values (0, 'none'), (1, 'one'), (2, 'two'), (3, 'three')")
        oracle.both("insert into orders values " + ", ".join(
            f"({i}, {i * 7 % 50}, {i}.25, 'note {i}')" for i in range(1, 40)
        ))  # fmt: skip
        for sql in (*statements(), *JOINS):
            same(oracle, sql)


# -- a search -------------------------------------------------------------------------------------------------------

COLUMNS = ("customer_id", "uname", "n", "x", "d", "kind", "at")


def query(random: Random) -> str:
    """Some query over one or two mentions of the table, in a total order."""
    condition = random.choice(["", "", f"a.n = {random.randrange(5)}", f"a.customer_id > {random.randrange(40)}",
                               f"a.customer_id in ({random.randrange(40)}, {random.randrange(40)}) or a.n is null",
                               f"a.uname like '{random.choice('abzZ')}%'", "a.kind > 'a'",
                               f"a.x < {random.random() * 40}",
                               f"a.customer_id = {random.randrange(44)}"])  # fmt: skip
    where = f" where {condition}" if condition else ""
    one, other = random.sample(COLUMNS, 2)
    way = random.choice(["", " desc"])
    start, size = random.randrange(9), random.randrange(12)
    limit = random.choice(["", f" limit {size}", f" limit {start}, {size}"])
    what = random.choice(["count(*)", f"min(a.{other})", f"max(a.{other})", "sum(a.n)", f"count(distinct a.{other})"])
    match random.randrange(7):
        case 0:
            return f"select a.{one}, a.{other} from customer a{where} order by a.{one}{way}, a.customer_id{limit}"
        case 1:
            return f"select {what}, count(a.{one}) from customer a{where}"
        case 2:
            return f"select a.n, {what} from customer a{where} group by a.n order by a.n{way}{limit}"
        case 3:
            kind = random.choice(["join", "left join", "right join"])
            return (f"select a.customer_id, b.{other} from customer a {kind} customer b on a.n = b.customer_id{where}"
                    f" order by a.customer_id, b.customer_id{limit}")  # fmt: skip
        case 4:
            negated = random.choice(["", "not "])
            inside = f"select b.n from customer b where b.{one} is not null and b.customer_id < {random.randrange(9)}"
            joint = "and" if where else "where"
            return (f"select a.customer_id from customer a{where and where.replace('where ', 'where (') + ')'} {joint}"
                    f" a.customer_id {negated}in ({inside} and b.n is not null) order by 1{limit}")  # fmt: skip
        case 5:
            return (f"select a.customer_id, rank() over (partition by a.n order by a.{one}{way}) from customer a{where}"
                    f" order by 1{limit}")  # fmt: skip
        case _:
            return (f"select a.n, a.kind from customer a{where} union select b.n + 1, b.kind from customer b"
                    f" order by 1, 2{limit}")  # fmt: skip


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_search_finds_no_query_that_is_answered_wrongly(filled: Oracle, count: int) -> None:
    random = Random(count)
    for _ in range(count):
        same(filled, query(random))


# -- values ---------------------------------------------------------------------------------------------------------

TYPES = {
    "tiny": ("tinyint", ["-128", "127"]),
    "small": ("smallint unsigned", ["0", "65535"]),
    "medium": ("mediumint zerofill", ["7", "16777215"]),
    "big": ("bigint", ["-9223372036854775808", "9223372036854775807"]),
    "ubig": ("bigint unsigned", ["18446744073709551615", "0"]),
    "dec_": ("decimal(65, 30)", ["12345678901234567890123456789012345.123456789012345678901234567891", "-0.1"]),
    "fl": ("float", ["16777216", "0.1", "-3.4e38", "1.17549e-38", "-0e0"]),
    "fl2": ("float(7, 3)", ["1234.567", "0.001"]),
    "db": ("double", ["0.1", "1.7976931348623157e308", "2.2250738585072014e-308", "123456789.12345678", "-0e0"]),
    "bits": ("bit(13)", ["b'1010101010101'", "0"]),
    "bits64": ("bit(64)", ["18446744073709551615", "39"]),
    "dt": ("date", ["'0000-00-00'", "'2024-02-30'", "'9999-12-31'"]),
    "ti": ("time(6)", ["'-838:59:59'", "'00:00:00.000001'", "'-00:00:01.5'"]),
    "dtm": ("datetime(6)", ["'0000-00-00 00:00:00'", "'2024-00-00 01:02:03.000004'", "'1000-01-01 00:00:00.999999'"]),
    "ts": ("timestamp null", ["'0000-00-00 00:00:00'", "'1970-01-02 00:00:01'", "'2037-10-31 02:30:00'"]),
    "ts6": ("timestamp(6) null", ["'0000-00-00 00:00:00'", "'2024-10-27 02:30:00.123456'", "'2001-09-09 01:46:40'"]),
    "yr": ("year", ["0", "1901", "2155"]),
    "ch": ("char(10) character set latin1", ["'a  '", "'\u00e9'", "''"]),
    "vc": ("varchar(20) character set utf8mb4", ["'\U0001f600 \\' \\\\ \"'", "'trail  '", "''", "'\\0\\n'"]),
    "uc": ("varchar(20) character set ucs2", ["'\u017e'", "'A'"]),
    "bn": ("binary(5)", ["'a'", "x'0001ff'"]),
    "vb": ("varbinary(300)", ["x'00'", "0x" + bytes(range(256)).hex(), "''"]),
    "bl": ("longblob", ["0x" + bytes(range(256)).hex() + "5c27", "''"]),
    "tx": ("mediumtext collate utf8mb4_bin", ["repeat('long \u00e9', 1000)", "''"]),
    "en": ("enum('z', 'it''s', '', '\u00e9') character set latin1", ["'z'", "'\u00e9'", "''", "2"]),
    "st": ("set('b', 'a', 'c')", ["'a,b'", "''", "7"]),
    "ge": ("geometry", ["st_geomfromtext('point(1 2)')", "st_geomfromtext('polygon((0 0,1 0,1 1,0 0))', 4326)"]),
}


@pytest.mark.parametrize("zone", ["'+00:00'", "'-11:30'", "'SYSTEM'"])
@pytest.mark.parametrize("mode", ["''", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'"])
def test_values_of_all_types_arrive_as_they_are(pair: Oracle, zone: str, mode: str) -> None:
    columns = ", ".join(f"{name} {sql}" for name, (sql, _) in TYPES.items())
    pair.both("set sql_mode = ''")
    pair.both(f"create table customer (customer_id bigint primary key, {columns}, made int as (tiny + 1) stored,"
              " gone varchar(30) as (concat(vc, '!')) virtual)")  # fmt: skip
    number = 0
    for name, (_, values) in TYPES.items():
        for value in (*values, "null"):
            number += 1
            pair.both(f"insert into customer (customer_id, {name}) values ({number}, {value})",
                      ignore=["insert_id", "warnings"])  # fmt: skip
    pair.both(f"set time_zone = {zone}")
    pair.both(f"set sql_mode = {mode}", ignore=["warnings"])
    assert len(pair.both("select * from customer order by customer_id", ordered=True).rows) == number
    for name in TYPES:
        unlike = ["columns"] if name == "ge" else []
        pair.both(f"select {name}, hex({name}), length({name}), customer_id from customer where {name} is not null"
                  " order by customer_id", ordered=True, ignore=[*unlike, "warnings"])  # fmt: skip
        if name != "ge":
            pair.both(f"select max({name}), min({name}), count(distinct {name}) from customer", ignore=["warnings"])
            pair.both(f"select {name} from customer order by {name}, customer_id desc", ordered=True)


def test_json(pair: Oracle) -> None:
    """MariaDB's is text. What MySQL's may hold besides JSON's own types does not survive being read as text."""
    pair.both("create table customer (customer_id bigint primary key, j json)")
    pair.both("insert into customer values (1, '{\"b\": [1, 2.50, null, \"\u00e9\"], \"a\": \"it''s\"}'), (4, '[]'),"
              " (6, null)", ignore=["insert_id"])  # fmt: skip
    if "MariaDB" in pair.plain.get_server_info():
        pair.both("select * from customer order by customer_id", ordered=True)
        pair.both("select json_arrayagg(j) from customer where customer_id = 1 or customer_id = 5")
    else:
        pair.refused("select * from customer order by customer_id", "column j of type json")


# -- transactions and sessions --------------------------------------------------------------------------------------


def test_a_transaction_sees_its_own_writes_and_nobody_elses(filled: Oracle) -> None:
    count = "select count(*), sum(n) from customer"
    filled.both("begin")
    filled.both("update customer set n = 100 where customer_id in (1, 2, 4, 6)", ignore=["info"])
    filled.both("insert into customer (customer_id, n) values (100, 1000), (101, 1001)", ignore=["insert_id"])
    inside = filled.both(count)
    with closing(filled.process.connect("customer")) as other:
        assert ask(other, count).rows != inside.rows
    filled.both("select customer_id from customer order by n desc, customer_id limit 3", ordered=True)
    filled.both("savepoint s")
    filled.both("delete from customer where n = 1000")
    filled.both(count)
    filled.both("rollback to s")
    filled.both(count)
    filled.both("rollback")
    filled.both(count)
    filled.both("start transaction read only")
    filled.both(count)
    filled.both("commit")
    filled.both("set autocommit = 0")
    filled.both(count)
    filled.both("commit")


def test_rows_are_locked_where_they_are_read(filled: Oracle) -> None:
    filled.both("begin")
    filled.both("select customer_id from customer where n = 2 order by customer_id for update", ordered=True)
    with closing(filled.process.connect("customer")) as other:
        assert ask(other, "set innodb_lock_wait_timeout = 1").error is None
        answer = ask(other, "update customer set x = 1 where n = 2")
        assert answer.error is not None
        assert answer.error[0] == 1205
    filled.both("commit")
    filled.refused("select customer_id from customer order by n for update skip locked", "ORDER BY")


def test_an_error_leaves_the_session_and_its_transaction_as_they_were(filled: Oracle) -> None:
    filled.both("begin")
    filled.both("update customer set n = 7 where customer_id = 1")
    filled.both("select nosuch from customer order by 1")
    filled.both("select exp(customer_id * 1000) from customer order by 1")
    filled.both("select count(*) from customer where n = 7")
    filled.both("show warnings")
    filled.both("rollback")
    filled.both("select count(*) from customer where n = 7")
    filled.both("select row_count()")


def test_settings_are_the_sessions_own(filled: Oracle) -> None:
    filled.both("set sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'")
    filled.both('select "uname" || \'!\' as u from "customer" order by customer_id limit 4', ordered=True)
    filled.both("set sql_select_limit = 3")
    filled.both("select customer_id from customer order by customer_id", ordered=True)
    filled.both("set sql_select_limit = default")
    filled.both("set character_set_results = latin1")
    filled.both("select hex(uname), customer_id from customer order by customer_id", ordered=True)
    filled.both("set names utf8mb4 collate utf8mb4_bin")
    filled.both("select count(*) from customer where uname = 'bob'")
    filled.both("set group_concat_max_len = 20")
    filled.both("select group_concat(uname order by customer_id) from customer", ignore=["warnings"])


def test_prepared_statements_too(filled: Oracle) -> None:
    """Binary rows, with parameters in the condition that shards are given, and in the limit."""
    sides: list[list[object]] = []
    for port, user, password in (
        (filled.process.port, filled.vgate.user, filled.vgate.password),
        (filled.plain.port, filled.plain.user, filled.plain.password),
    ):
        settings: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": _text(user), "password": _text(password),
                    "collation": "utf8mb4_general_ci"}
        with (
            closing(mysql.connector.connect(**settings, database="customer", use_pure=True)) as connection,
            closing(connection.cursor(prepared=True)) as cursor,
        ):
            found: list[object] = []
            several = "select customer_id, uname, f, d, x, at from customer"
            for sql, values in (
                (f"{several} where n > ? order by customer_id limit ?", (2, 5)),
                (f"{several} where n > ? order by customer_id limit ?", (0, 3)),
                ("select count(*), max(at) from customer where uname = ?", ("bob",)),
                ("select a.customer_id from customer a join customer b on a.n = b.customer_id where b.x < ? order by 1",
                 (3,)),
            ):  # fmt: skip
                cursor.execute(sql, values)
                found.append(cursor.fetchall())
            sides.append(found)
    assert sides[0] == sides[1]
    assert all(sides[0])


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


# -- limits and trouble ---------------------------------------------------------------------------------------------


def test_too_many_rows_are_an_error_that_says_what_to_do(filled: Oracle, tmp_path: Path) -> None:
    process = serve(tmp_path, filled.cluster, USERS + "limits: {max_gather_rows: 20}\n")
    try:
        with closing(process.connect("customer")) as client:
            answer = ask(client, "select * from customer order by n")
            assert answer.error is not None
            assert "more than 20 rows" in answer.error[1]
            assert "limits.max_gather_rows" in answer.error[1]
            assert ask(client, "select count(*) from customer where customer_id < 10").rows == ((9,),)
            ask(client, "begin")
            ask(client, "update customer set n = 77 where customer_id = 1")
            assert ask(client, "select * from customer order by n").error is not None
            assert ask(client, "select count(*) from customer where n = 77").rows == ((1,),)
            assert ask(client, "commit").error is None
    finally:
        process.kill()


def test_rows_with_one_key_on_several_shards_are_all_there(filled: Oracle) -> None:
    """Keys that do not contain the sharding column are unique on each shard alone."""
    for shard in ("customer/-80", "customer/80-"):
        filled.cluster[shard].query("alter table customer add column u int unique", "customer")
        filled.cluster[shard].query("update customer set u = 1 order by customer_id limit 1", "customer")
    assert filled.only_vgate("select count(*) from customer where u = 1").rows == ((2,),)
    assert len(filled.only_vgate("select * from customer order by u").rows) == 42


def test_a_killed_query_stops(filled: Oracle) -> None:
    """Both while rows are gathered (a lock keeps them), and while the query runs over them."""
    with (
        closing(filled.process.connect("customer")) as client,
        closing(filled.process.connect("customer")) as other,
    ):
        number = client.thread_id()
        assert ask(other, "begin").error is None
        assert ask(other, "update customer set n = 9 where customer_id in (1, 2, 4, 6)").error is None
        assert ask(client, "begin").error is None
        assert ask(client, "update customer set n = 8 where customer_id in (10, 11)").error is None
        for sql in ("select * from customer where n > 0 order by n for update",
                    "select count(*) from customer where sleep(50) = 0"):  # fmt: skip
            later = Later(client, sql)
            until(lambda: any(working(filled.cluster[shard], mark) for shard in ("customer/-80", "customer/80-")
                  for mark in ("FOR UPDATE", "sleep(50)")), "no server works on it")  # fmt: skip
            assert ask(other, f"kill query {number}").error is None
            error = later.result().error
            assert error is not None
            assert error[0] == 1317
            ask(other, "rollback")
        assert ask(client, "select count(*) from customer where n = 8").rows == ((2,),)
        assert ask(client, "rollback").error is None


def test_a_view_is_refused(filled: Oracle) -> None:
    for shard in ("customer/-80", "customer/80-"):
        filled.cluster[shard].query("rename table customer to hidden", "customer")
        filled.cluster[shard].query("create view customer as select customer_id, (n + 1) as n from hidden", "customer")
    filled.refused("select count(*) from customer", "a view")


REFUSED = {
    "select * from customer where match (uname) against ('bob') order by 1": "ORDER BY",
    "select nosuch(n) from customer order by 1": "ORDER BY",
    "update customer set n = 1 order by n limit 1": "LIMIT",
    "create temporary table x as select * from customer order by n": "TEMPORARY",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_what_cannot_be_right_is_refused(filled: Oracle, statement: str) -> None:
    answer = ask(filled.vgate, statement)
    assert answer.error is not None
    assert answer.error[0] == 1235, answer.error


def test_nothing_is_left_behind(filled: Oracle) -> None:
    filled.both("select count(*) from customer")
    for shard in ("customer/-80", "customer/80-"):
        assert filled.cluster[shard].query("show tables", "customer") == (("customer",),)
