"""LOAD DATA LOCAL INFILE through vgate and on one plain server: what is stored, the answer, and what goes wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pymysql.constants import CLIENT

from tests.fix_oracle import Answer, Oracle, ask
from tests.fix_vgate import VgateProcess
from tests.integration.asking import Connection, Later, until, working
from tests.integration.packets import ERR, OK, command, errno, gone, receive, rows, send
from vgate.sql.versioned import Flavour
from vgate.wire.constants import Status
from vgate.wire.packets import read_ok

UNSUPPORTED, DISABLED, OUT_OF_ORDER = 1235, {Flavour.MYSQL: 3948, Flavour.MARIADB: 4166}, 1156


WANTS_FILE = 0xFB


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


# -- loads that are not known by their first words ----------------------------------------------------------------

INTO = "into table product (id, name, n)"
WANTING = (
    f"execute immediate 'load data local infile ''x'' {INTO}'",
    "execute s",
    f"begin not atomic execute immediate 'load data local infile ''x'' {INTO}'; end",
    f"begin not atomic select 5; execute immediate 'load data local infile ''x'' {INTO}'; select 6; end",
    f"set statement lock_wait_timeout = 9 for load data local infile 'x' {INTO}",
    f"load data from local infile 'x' {INTO}",
    f"load data local infile 'x' in primary key order {INTO}",
    "load data local infile 'x' into table .product (id, name, n)",
    f"select 1; load data from local infile 'x' {INTO}; select 2",
)
"""Each of them is a LOAD for one flavour at least; to the other it may be an error."""

PREPARED = f"prepare s from 'load data local infile ''x'' {INTO}'"


def conversation(connection: Connection, payload: bytes, file: bytes = b"") -> list[bytes]:
    """All packets of the answer to a command; of the client's packets only a file is between them."""
    send(connection, payload)
    found: list[bytes] = []
    number, more = 0, True
    while more:
        number, answer = receive(connection)
        found.append(answer)
        more = answer[0] != ERR
        if answer[0] == WANTS_FILE:
            if file:
                number += 1
                send(connection, file, number)
            send(connection, b"", number + 1)
        elif answer[0] == OK:
            more = bool(read_ok(answer).status & Status.MORE_RESULTS)
        elif answer[0] != ERR:
            for _ in range(answer[0] + 1):
                receive(connection)
            found += (part := rows(connection))[0]
            more = bool(part[1] & Status.MORE_RESULTS)
    return [one if one[0] != ERR else one[:3] for one in found]


def executed(connection: Connection, sql: str, file: bytes) -> list[bytes]:
    """The same of a statement that is prepared by the protocol; its error if it is not."""
    prepared = command(connection, b"\x16" + sql.encode())
    if prepared[0] == ERR:
        return [prepared[:3]]
    return conversation(connection, b"\x17" + prepared[1:5] + b"\0\1\0\0\0", file)


@pytest.fixture
def stacking(loading: Oracle) -> Iterator[Oracle]:
    """Clients that may send several statements at once."""
    flags = {"local_infile": True, "client_flag": CLIENT.MULTI_STATEMENTS}
    with (
        closing(loading.process.connect("product", **flags)) as one,
        closing(loading.cluster.plain.connect("product", **flags)) as other,
    ):
        oracle = Oracle(one, other, loading.cluster, loading.process)
        oracle.both("begin")
        oracle.both("insert into product (id, name, n) values (50, 'x', 50)")
        yield oracle
        oracle.both("select * from product order by id", ordered=True)
        oracle.both("select last_insert_id(), @@autocommit")
        oracle.both("rollback")
        oracle.both("select * from product order by id", ordered=True)


@pytest.mark.parametrize("file", [FILES["plain"], b"", b"\\N\tnew\t5\n"], ids=["plain", "empty", "new id"])
@pytest.mark.parametrize("sql", WANTING)
def test_whatever_makes_a_server_ask_for_a_file(stacking: Oracle, sql: str, file: bytes) -> None:
    """It gets the client's, and the transaction goes on."""
    if sql == "execute s":
        stacking.both(PREPARED)
    mine, theirs = (conversation(one, b"\3" + sql.encode(), file) for one in (stacking.vgate, stacking.plain))
    assert mine == theirs
    # A syntax error of one server quotes the rest of the command, of vgate that of the statement.
    stacking.both("show warnings", ordered=True, ignore=["rows"] if sql.endswith("select 2") else [])


@pytest.mark.parametrize("sql", [f"load data local infile 'x' {INTO}", f"load data from local infile 'x' {INTO}"])
def test_a_load_that_is_prepared(stacking: Oracle, sql: str) -> None:
    for _ in range(2):
        mine, theirs = (executed(one, sql, FILES["plain"]) for one in (stacking.vgate, stacking.plain))
        assert mine == theirs


@pytest.mark.parametrize("sql", WANTING)
def test_who_did_not_offer_files_goes_on_after_such_a_one(stocked: Oracle, sql: str) -> None:
    """The error may be another one, as the server has not known that the client has no files."""
    for server in stocked.cluster.servers:
        server.query("set global local_infile = 1")
    stocked.both("use product")
    stocked.both("begin")
    stocked.both("insert into product (id, name, n) values (50, 'x', 50)")
    answers = ask(stocked.vgate, PREPARED), ask(stocked.plain, PREPARED)
    assert (answers[0].error is None) == (answers[1].error is None) or sql != "execute s"
    mine, theirs = (conversation(one, b"\3" + sql.encode()) for one in (stocked.vgate, stocked.plain))
    assert mine[-1][0] == theirs[-1][0] == ERR
    stocked.both("select * from product order by id", ordered=True)
    stocked.both("rollback")
    stocked.both("select * from product order by id", ordered=True)


def test_kill_query_while_a_file_nobody_foresaw_comes(loading: Oracle, standing: VgateProcess) -> None:
    for connection in (loading.vgate, loading.plain):
        assert ask(connection, "use product").error is None
        assert ask(connection, "begin").error is None
        assert ask(connection, "update product set n = 77 where id = 1").affected == 1
        mariadb = loading.cluster.flavour is Flavour.MARIADB
        sql = WANTING[0] if mariadb else f"load data from local infile 'x' {INTO}"
        begin(connection, sql)
        send(connection, b"100\tx\t1\n", 2)
        killer = standing.connect() if connection is loading.vgate else loading.cluster.plain.connect()
        with closing(killer):
            assert ask(killer, f"kill query {connection.thread_id()}").error is None
        for number in range(3, 500):
            send(connection, b"%d\tx\t1\n" % (number + 100) * 50, number & 0xFF)
        send(connection, b"", 500 & 0xFF)
        assert errno(receive(connection)[1]) == 1317
    loading.both("select id, n from product where n = 77 or id > 50")
    loading.both("rollback")


def test_a_client_that_goes_away_from_such_a_load_leaves_nothing(loading: Oracle, standing: VgateProcess) -> None:
    one = loading.vgate
    ask(one, "use product")
    mariadb = loading.cluster.flavour is Flavour.MARIADB
    begin(one, WANTING[0] if mariadb else f"load data from local infile 'x' {INTO}")
    send(one, b"50\tfifty\t50\n", 2)
    one._force_close()
    assert standing.query("select count(*) from product.product where id = 50 for update") == ((0,),)
