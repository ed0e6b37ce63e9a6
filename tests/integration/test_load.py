"""LOAD DATA LOCAL INFILE through vgate and on one plain server: what is stored, the answer, and what goes wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fix_oracle import Answer, Oracle, ask
from tests.fix_vgate import VgateProcess
from tests.integration.asking import Connection, Later, until, working
from tests.integration.packets import command, errno, gone, receive, send
from vgate.sql.versioned import Flavour

UNSUPPORTED, DISABLED, OUT_OF_ORDER = 1235, {Flavour.MYSQL: 3948, Flavour.MARIADB: 4166}, 1156


@pytest.fixture
def loading(stocked: Oracle) -> Iterator[Oracle]:
    """Sessions that may load files; servers allow it."""
    warnings.simplefilter("ignore")
    for server in stocked.cluster.servers:
        server.query("set global local_infile = 1")
    with (
        closing(stocked.process.connect("customer", local_infile=True, ssl_disabled=True)) as one,
        closing(stocked.cluster.plain.connect("customer", local_infile=True, ssl_disabled=True)) as other,
    ):
        yield Oracle(one, other, stocked.cluster, stocked.process)


def both(oracle: Oracle, sql: str, ignore: tuple[str, ...] = ()) -> Answer:
    """The same statement on both, and then the same table and the same warnings."""
    answer = oracle.both(sql, ignore=ignore)
    oracle.both("show warnings", ordered=True)
    return answer


FILES = {
    "plain": b"10\tten\t1\n11\televen\t2\n12\ttwelve\t\\N\n",
    "broken": b"10\tten\n\n11\tel\\\tev\\nen\t2\t3\nx\ty\tz\n1\tdouble\t5\n10\tagain\t99\n",
    "no end": b"10\tten\t1\n11\televen",
    "empty": b"",
    "utf8": "10\tдесять\t1\n11\t十一\t2\n".encode(),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["", "ignore", "replace"])
@pytest.mark.parametrize("mode", ["", "STRICT_ALL_TABLES"])
def test_an_unsharded_table(loading: Oracle, tmp_path: Path, file: str, how: str, mode: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES[file])
    loading.both("use product")
    loading.both(f"set sql_mode = '{mode}'", ignore=["warnings"])
    both(loading, f"load data local infile '{path}' {how} into table product character set utf8mb4 (id, name, n)")
    loading.both("select * from product order by id", ordered=True)
    loading.both("select last_insert_id()")


@pytest.mark.parametrize("keyspace", ["product", "customer"])
def test_forms_that_are_seldom_written(loading: Oracle, tmp_path: Path, keyspace: str) -> None:
    """Strings as hexadecimal or binary numbers, and columns with their table's name."""
    path = tmp_path / "file"
    path.write_bytes(FILES["plain"])
    loading.both(f"use {keyspace}")
    key, name = ("id", "name") if keyspace == "product" else ("customer_id", "uname")
    for form in (
        f"fields terminated by 0x09 lines terminated by b'1010' ({key}, {name}, n)",
        f"fields terminated by x'09' enclosed by x'22' ({key}, {keyspace}.{name}, {keyspace}.{keyspace}.n)",
    ):
        loading.both("begin")
        both(loading, f"load data local infile '{path}' replace into table {keyspace} {form}")
        loading.both(f"select * from {keyspace} order by {key}", ordered=True)
        loading.both("rollback")


def test_user_variables_are_filled_and_known_elsewhere(loading: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES["plain"])
    loading.both("set @n = 5")
    loading.both("use product")
    loading.both(f"load data local infile '{path}' into table product (id, @name, @n) set name = concat(@name, 'x')")
    loading.both("select * from product order by id", ordered=True)
    loading.both("use customer")
    loading.both("select @name, @n, customer_id from customer")


def test_in_a_transaction_and_to_a_shard(loading: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES["plain"])
    loading.both("use product")
    loading.both("begin")
    loading.both(f"load data local infile '{path}' into table product (id, name, n)")
    loading.both("rollback")
    loading.both("select count(*) from product")
    ask(loading.vgate, "use `customer:-80`")
    answer = ask(loading.vgate, f"load data local infile '{path}' into table customer (customer_id, uname, n)")
    assert answer.affected == 3
    assert "Records: 3  Deleted: 0  Skipped: 0  Warnings: 0" in answer.info
    assert loading.cluster["customer/-80"].query(
        "select count(*) from customer.customer where customer_id in (10, 11, 12)"
    ) == ((3,),)


def test_a_big_file_and_other_statements_after_it(loading: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"".join(b"%d\t%s\t%d\n" % (number, b"x" * 19, number) for number in range(100, 200_000)))
    loading.both("use product")
    both(loading, f"load data local infile '{path}' into table product (id, name, n)")
    loading.both("select count(*), sum(id), sum(n) from product")


def test_who_did_not_offer_files_is_not_asked(stocked: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES["plain"])
    stocked.both("use product")
    sql = f"load data local infile '{path}' into table product (id, name, n)"
    answer = ask(stocked.vgate, sql)
    assert answer.error is not None
    assert answer.error[0] == DISABLED[stocked.cluster.plain.flavour]
    assert ask(stocked.vgate, "select 1").rows == ((1,),)


def test_a_server_that_refuses_files(loading: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES["plain"])
    loading.both("use product")
    for server in loading.cluster.servers:
        server.query("set global local_infile = 0")
    loading.both(f"load data local infile '{path}' into table product (id, name, n)")
    for server in loading.cluster.servers:
        server.query("set global local_infile = 1")
    loading.both(f"load data local infile '{path}' into table nosuch (id, name, n)")
    loading.both(f"load data local infile '{path}' into table product (id, nosuch)")
    loading.both("load data local infile into")
    loading.both("select count(*) from product")


def begin(connection: Connection, sql: str) -> None:
    answer = command(connection, b"\x03" + sql.encode())
    assert answer == b"\xfbx", answer


LOAD = "load data local infile 'x' into table product (id, name, n)"


def test_a_file_in_odd_packets(loading: Oracle) -> None:
    one = loading.vgate
    ask(one, "use product")
    begin(one, LOAD)
    sequence = 2
    for number in range(600):
        for part in (b"%d\tn" % (number + 100), b"ame\t%d\n" % (number + 100)):
            send(one, part, sequence & 0xFF)
            sequence += 1
    send(one, b"", sequence & 0xFF)
    number, answer = receive(one)
    assert number == (sequence + 1) & 0xFF
    assert answer[0] == 0
    assert b"Records: 600" in answer
    assert ask(one, "select count(*) from product.product").rows == ((603,),)


def test_a_client_that_goes_away_leaves_nothing(loading: Oracle, standing: VgateProcess) -> None:
    one = loading.vgate
    ask(one, "use product")
    begin(one, LOAD)
    send(one, b"50\tfifty\t50\n", 2)
    one._force_close()
    assert standing.query("select count(*) from product.product") == ((3,),)
    assert standing.query("select count(*) from product.product where id = 50 for update") == ((0,),)


def test_packets_out_of_order_are_the_end(loading: Oracle) -> None:
    one = loading.vgate
    ask(one, "use product")
    begin(one, LOAD)
    send(one, b"50\tfifty\t50\n", 7)
    assert errno(receive(one)[1]) == OUT_OF_ORDER
    assert gone(one)


@pytest.mark.parametrize("table", ["product.product (id, name, n)", "customer.customer (customer_id, uname, n)"])
def test_kill_query_while_the_file_comes(loading: Oracle, standing: VgateProcess, table: str) -> None:
    """The rest of the file is taken, then the client hears of it; its transaction goes on."""
    name, key = table.partition(" ")[0], "id" if "product" in table else "customer_id"
    server_side = f"load data local infile 'x' into table {table}"
    for connection in (loading.vgate, loading.plain):
        assert ask(connection, "begin").error is None
        assert ask(connection, f"update {name} set n = 77 where {key} = 1").affected == 1
        begin(connection, server_side)
        send(connection, b"100\tx\t1\n", 2)
        killer = standing.connect() if connection is loading.vgate else loading.cluster.plain.connect()
        with closing(killer):
            assert ask(killer, f"kill query {connection.thread_id()}").error is None
        for number in range(3, 2000):
            send(connection, b"%d\tx\t1\n" % (number + 100) * 50, number & 0xFF)
        send(connection, b"", 2000 & 0xFF)
        assert errno(receive(connection)[1]) == 1317
    loading.both(f"select {key}, n from {name} where n = 77 or {key} > 50")
    loading.both("commit")
    loading.both(f"select {key}, n from {name} where n = 77 or {key} > 50")


def test_kill_query_while_it_waits_for_a_table(loading: Oracle, standing: VgateProcess) -> None:
    with closing(loading.cluster["product/-"].connect()) as holder:
        assert ask(holder, "lock tables product.product write").error is None
        one = loading.vgate
        ask(one, "use product")
        later = Later(one, LOAD)
        until(lambda: working(loading.cluster["product/-"], "infile"), "it does not wait")
        standing.query(f"kill query {one.thread_id()}")
        error = later.result().error
        assert error is not None
        assert error[0] == 1317
    assert ask(one, "select count(*) from product").rows == ((3,),)
