"""INSERT and REPLACE ... SELECT into sharded tables, and between keyspaces, as on one server: what is stored, the
answer, ids, warnings and errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from pymysql.constants import CLIENT

from tests.fix_oracle import Answer, Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import USERS, VgateProcess
from tests.integration.conftest import serve
from tests.integration.executing import Prepared
from vgate.sql.versioned import Flavour

ORDERS = """
create table corder (
  corder_id bigint primary key, customer_id bigint, sku varchar(40), price decimal(12, 3), at datetime(3), day date,
  lasts time(2), f double, b varbinary(60), tiny tinyint unsigned, y year, kind enum('a', 'b'), bits bit(12),
  greek varchar(20) character set greek, wide varchar(20) character set utf16, key (customer_id)
)
"""
VALUES = [
    "(1, 1, 'plain', 1.5, '2024-01-02 03:04:05.678', '2024-01-02', '-100:01:02.5', 0.1, x'00ff27', 200, 2024, 'a',"
    " b'101', 'αβγ', 'ωψ')",
    "(2, 2, 'quo''te\\\\', -7.125, '0000-00-00', '2024-00-00', '838:59:59', 1e300, '', 0, 0, 'b', 0, '', '')",
    "(3, 4, null, null, null, null, null, null, null, null, null, null, null, null, null)",
    "(4, 6, 'naïve 十一', 0, '2024-12-31 23:59:59.999', '9999-12-31', '00:00:00', -1.7976931348623157e308,"
    " repeat('z', 60), 1, 1901, 'a', b'111111111111', 'Ω', '\U0001f600')",
]
INTO = "insert into corder (corder_id, customer_id)"
BOTH = """
select corder_id, customer_id, sku, hex(sku), price, at, day, lasts, f, hex(b), tiny, y, kind, bits + 0, hex(greek),
hex(wide) from corder order by corder_id
"""


VSCHEMA = """
keyspaces:
  product:
    sharded: false
    tables: {customer_seq: {type: sequence}, product: {}}
    shards: ["-"]
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer:
        column_vindexes: [{column: customer_id, name: hash}]
        auto_increment: {column: customer_id, sequence: product.customer_seq}
      corder: {column_vindexes: [{column: corder_id, name: hash}]}
    shards: ["-80", "80-"]
"""
SEQUENCE = """
create table customer_seq (id bigint, next_id bigint, cache bigint, primary key (id)) comment 'vitess_sequence'
"""


@pytest.fixture(scope="module")
def standing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VgateProcess]:
    cluster.clear()
    vgate = serve(tmp_path_factory.mktemp("standing"), cluster, USERS, VSCHEMA)
    yield vgate
    vgate.kill()


@pytest.fixture
def orders(stocked: Oracle) -> Oracle:
    """``corder`` with a row of each sort, on several shards; ``customer`` and ``product.product`` have a few."""
    stocked.both("set sql_mode = ''", ignore=["warnings"])
    stocked.both(ORDERS)
    stocked.both(f"insert into corder values {', '.join(VALUES)}", ignore=["insert_id"])
    stocked.both(BOTH, ordered=True)
    return stocked


def both(oracle: Oracle, sql: str, ignore: tuple[str, ...] = ()) -> Answer:
    """The same on both, with the same warnings and functions of the session after it."""
    answer = oracle.both(sql, ignore=ignore)
    oracle.both("select row_count()")
    if answer.error is None:
        oracle.both("show warnings", ordered=True)
    return answer


OTHERS = "sku, price, at, day, lasts, f, b, tiny, y, kind, bits, greek, wide from corder"


@pytest.mark.parametrize(
    "sql",
    [f"select corder_id + 10, customer_id, {OTHERS}",
     f"select corder_id + 10, customer_id + 1, {OTHERS} where customer_id = 4",
     f"select corder_id + 10, customer_id, {OTHERS} where corder_id > 77"],
    ids=["all", "one shard", "none"],
)  # fmt: skip
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_values_are_stored_as_they_are(orders: Oracle, sql: str, charset: str) -> None:
    orders.both(f"set names {charset}")
    both(orders, f"insert into corder {sql}", ignore=("insert_id",))
    orders.both("set names utf8mb4")
    orders.both(BOTH, ordered=True)


@pytest.mark.parametrize(
    "sql",
    [
        f"{INTO} select id + 50, n from product.product",
        "insert into corder (corder_id, customer_id, sku) (select id + 50, id, name from product.product where id < 3)",
        f"{INTO} select 90, 91",
        f"{INTO} select count(*) + 60, max(customer_id) from customer",
        "insert into corder (corder_id, customer_id, sku) select customer_id + 70, customer_id, uname from customer"
        " order by n desc limit 2",
        f"{INTO} select customer_id + 80, 5 from customer union select 200, 6",
        f"{INTO} with w as (select customer_id c from customer) select c + 100, c from w",
        "insert into corder (corder_id, customer_id, price) select customer_id + 100, customer_id, n / 0 from customer",
        "insert into corder (corder_id, customer_id, tiny) select customer_id + 100, customer_id, 300 from customer",
        "insert into corder (corder_id, customer_id, sku) select customer_id + 100, customer_id, 1.50 from customer",
        "insert into corder (corder_id, customer_id, sku) select corder_id + 100, customer_id, f from corder",
        "insert into corder (corder_id, customer_id, at) select corder_id + 100, customer_id, lasts from corder"
        " where corder_id <> 2",
        "insert into corder (corder_id, customer_id, day, at) select corder_id + 100, customer_id, at, day from corder",
        "insert into corder (corder_id, customer_id, b, sku) select corder_id + 100, customer_id, bits, b from corder"
        " where corder_id > 1",
        f"{INTO} select customer_id from customer",
        f"{INTO} select corder_id, customer_id from corder where customer_id = 4",
        f"{INTO} select corder_id, customer_id from corder",
        "insert ignore into corder (corder_id, customer_id) select customer_id, n from customer order by n",
        "replace into corder (corder_id, customer_id) select customer_id, n from customer order by n",
        "replace into corder (corder_id, customer_id) select customer_id, n from customer where customer_id = 4",
        f"{INTO} select customer_id, n from customer order by n on duplicate key update"
        " customer_id = values(customer_id) + 1, sku = 'same'",
        f"{INTO} select 1, 2 on duplicate key update customer_id = 77",
        "insert into corder (corder_id, nothing) select 1, 2",
        f"{INTO} select 1, nothing from customer",
        f"{INTO} select 1, 2 from nothing",
        f"{INTO} select 300, 301 where",
        "insert into product.product (name, n) select uname, n + 100 from customer",
        "insert ignore into product.product (name, n) select uname, n from customer order by n",
        "replace into product.product (name, n) select uname, n from customer order by n",
        "insert into product.product (name, n) select uname, n from customer on duplicate key update name = 'same'",
        "insert into product.product select customer_id + 50, uname, n + 50 from customer",
    ],
)
@pytest.mark.parametrize("mode", ["", "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO"])
def test_as_on_one_server(orders: Oracle, sql: str, mode: str) -> None:
    orders.both(f"set sql_mode = '{mode}'", ignore=["warnings"])
    both(orders, sql, ignore=("insert_id",) if "into corder" in sql else ())
    orders.both(BOTH, ordered=True)
    orders.both("select * from product.product order by id", ordered=True)


def test_ids_come_from_the_sequence(stocked: Oracle) -> None:
    server = stocked.cluster["product/-"]
    server.query(SEQUENCE, "product")
    server.query("insert into customer_seq values (0, 1000, 100)", "product")
    first = stocked.only_vgate("insert into customer (uname, n) select name, n + 20 from product.product order by id")
    assert (first.affected, first.info[1:]) == (3, "Records: 3  Duplicates: 0  Warnings: 0")
    found = stocked.only_vgate("select customer_id, uname from customer where n > 20 order by n").rows
    assert [row[1] for row in found] == ["a", "b", "c"]
    assert [row[0] for row in found] == [first.insert_id + number for number in range(3)]
    assert stocked.only_vgate("select last_insert_id()").rows == ((first.insert_id,),)
    again = stocked.only_vgate("insert into customer (customer_id, uname) select null, 'x'")
    assert again.insert_id == first.insert_id + 3
    assert again.info[1:] == "Records: 1  Duplicates: 0  Warnings: 0"


@pytest.mark.parametrize("mode", ["", "STRICT_TRANS_TABLES"])
def test_a_single_row_follows_the_rules_for_several(orders: Oracle, mode: str) -> None:
    """NULL for a column that must have a value."""
    orders.both(f"set sql_mode = '{mode}'", ignore=["warnings"])
    for table, key in (("corder", "corder_id"), ("product.product", "id")):
        orders.both(f"alter table {table} add must varchar(5) not null default 'x'", ignore=["info"])
        for query in ("select 70, null", "select customer_id + 80, null from customer where customer_id = 4",
                      "select customer_id + 90, nullif(n, 2) from customer"):  # fmt: skip
            both(orders, f"insert into {table} ({key}, must) {query}", ignore=("insert_id",))
        orders.both(f"select {key}, must from {table} where {key} > 60 order by 1", ordered=True)


def test_all_or_nothing_and_in_a_transaction(orders: Oracle) -> None:
    orders.both("begin")
    both(orders, f"{INTO} select corder_id + 10, customer_id + 1 from corder",
         ignore=("insert_id",))  # fmt: skip
    both(orders, f"{INTO} select corder_id + 10, customer_id from corder where"
         " corder_id < 20", ignore=("insert_id",))  # fmt: skip
    both(orders, f"{INTO} select if(corder_id = 14, 1, corder_id + 100), customer_id"
         " from corder order by corder_id", ignore=("insert_id",))  # fmt: skip
    orders.both(BOTH, ordered=True)
    orders.both("rollback")
    orders.both(BOTH, ordered=True)


MORE = """
create table corder (corder_id bigint primary key, j {json}, p point, m timestamp null, mp multipoint, f float,
s set('a', 'b'), u bigint unsigned, l longtext)
"""


def test_more_types(stocked: Oracle) -> None:
    stocked.both("set sql_mode = ''", ignore=["warnings"])
    mysql = stocked.cluster.flavour is Flavour.MYSQL
    stocked.both(MORE.format(json="longtext" if mysql else "json"))
    stocked.both(
        "insert into corder values (1, '{\"a\": [1, 2.5, null, \"é\"]}', point(1, -2.5), '2024-10-27 02:30:00',"
        " multipoint(point(0, 0), point(1, 1)), 0.1, 'a,b', 18446744073709551615, repeat('x', 70000)),"
        " (2, null, null, null, null, null, '', null, '')", ignore=["insert_id"],
    )  # fmt: skip
    both(stocked, "insert into corder select corder_id + 10, j, p, m, mp, f, s, u, l from corder", ("insert_id",))
    stocked.both("select corder_id, j, st_astext(p), m, st_astext(mp), f * 1e0, s, u, length(l) from corder"
                 " order by corder_id", ordered=True)  # fmt: skip
    if mysql:
        stocked.refused("insert into corder (corder_id, j) select corder_id + 50, json_array(j) from corder", "JSON")
    stocked.refused("insert into corder (corder_id, l) select corder_id + 50, f from corder", "a FLOAT's value")


NUMBERS = """
create table corder (corder_id bigint primary key, e enum('10', '20', '30'), s set('a', 'b'), n int, d double,
v varchar(9), f enum('30', '10', '20', 'a,b'))
"""


@pytest.mark.parametrize("mode", ["", "strict_all_tables"])
def test_what_is_a_number_to_numbers_alone(stocked: Oracle, mode: str) -> None:
    stocked.both(f"set sql_mode = '{mode}'", ignore=["warnings"])
    stocked.both(NUMBERS)
    stocked.both("insert into corder (corder_id, e, s) values (1, '10', 'a'), (2, '30', 'a,b'), (4, '20', '')",
                 ignore=["insert_id"])  # fmt: skip
    for query in (
        "(corder_id, e, v, f) select corder_id + 10, e, e, e", "(corder_id, v) select corder_id + 20, s",
        "(corder_id, n) select corder_id + 30, concat(e)", "(corder_id, v) select corder_id + 40, 0x41",
        "(corder_id, n) select corder_id + 50, e + 0", "(corder_id, s) select corder_id + 60, s",
        "(corder_id, n) select corder_id + 70, 0x41 + 0",
    ):  # fmt: skip
        both(stocked, f"insert into corder {query} from corder where corder_id < 9", ("insert_id",))
    literals = "insert into corder (corder_id, n, d) select corder_id + 100, 0x41, x'05' from corder"
    if stocked.cluster.flavour is Flavour.MYSQL:
        stocked.both(literals, ignore=["insert_id"])
    else:
        stocked.refused(literals, "a hexadecimal literal")
    for column in ("e", "s"):
        stocked.refused(f"insert into corder (corder_id, n) select corder_id + 80, {column} from corder", "ENUM or SET")
        stocked.refused(f"insert into product.product (n) select {column} from corder", "ENUM or SET")
    stocked.both("select * from corder order by corder_id", ordered=True)


def test_a_limit_of_the_session_is_for_its_selects(orders: Oracle) -> None:
    orders.both("set sql_select_limit = 2")
    both(orders, f"{INTO} select customer_id + 500, 1 from customer", ignore=("insert_id",))
    orders.both("set sql_select_limit = default")
    orders.both(BOTH, ordered=True)


def test_prepared(orders: Oracle) -> None:
    for connection in (orders.vgate, orders.plain):
        prepared = Prepared(connection)
        statement = prepared.prepare(
            "insert into corder (corder_id, customer_id, price) select customer_id + ?, customer_id, ? / 8"
            " from customer where n > ?"
        )
        for number in (100, 200):
            (ok,) = prepared.execute(statement, number, 5, 1)
            assert ok[:2] == b"\0\3"
        insert = f"{INTO} select customer_id + ?, 7 from customer"
        ask(connection, f"prepare p from '{insert}'")
        ask(connection, "set @a = 300")
        assert ask(connection, "execute p using @a").affected == 4
        assert ask(connection, f"{INTO} select @a + 50, @a + 1").affected == 1
    orders.both(BOTH, ordered=True)


def test_what_cannot_be_is_refused(orders: Oracle) -> None:
    orders.refused("insert into corder partition (p0) (corder_id) select 1", "partition")
    orders.refused(f"{INTO} select 50, n from customer"
                   " on duplicate key update corder_id = 7", "sharding column")  # fmt: skip
    if orders.cluster.flavour is Flavour.MARIADB:
        orders.refused(f"{INTO} select 50, 51 returning corder_id", "returning")
    orders.both(BOTH, ordered=True)


def test_vexplain_and_limits(orders: Oracle) -> None:
    lines = [row[0] for row in orders.only_vgate(
        "vexplain insert into corder (corder_id, customer_id) select customer_id, n from customer").rows]  # fmt: skip
    assert lines[0] == "rows of a query, read first, into customer.corder; then"
    assert "split by shard" in lines[1]


def test_among_several_statements(orders: Oracle) -> None:
    """Each has its own answer, and says that others follow."""
    options = {"client_flag": CLIENT.MULTI_STATEMENTS, "ssl_disabled": True}
    with closing(orders.process.connect("customer", **options)) as connection, connection.cursor() as cursor:
        cursor.execute(f"select 1; {INTO} select customer_id + 500, 1 from customer; {INTO} select 1, 2 from customer"
                       " where n > 99; select count(*) from corder where corder_id > 500")  # fmt: skip
        found = [(list(cursor.fetchall()), cursor.rowcount)]
        while cursor.nextset():
            found.append((list(cursor.fetchall()), cursor.rowcount))
    assert found == [([(1,)], 1), ([], 4), ([], 0), ([(4,)], 1)]
