"""The VSchema changes while vgate runs: by ALTER VSCHEMA, by an edit of the file, by a worker or a proxy."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.fix_oracle import Answer, ask
from tests.fix_servers import REPOSITORY, Cluster
from tests.fix_vgate import USERS, StartVgate, VgateProcess, run_vgate, with_addresses
from tests.integration.asking import Connection, until
from tests.integration.raw import Raw
from vgate.vschema.load import load_vschema
from vgate.vschema.model import VSchema

BARE = """
keyspaces:
  product: {sharded: false, shards: ["-"]}
  customer: {sharded: true, shards: ["-80", "80-"]}
"""


def file_of(vgate: VgateProcess) -> Path:
    return vgate.directory / "vschema.yaml"


def written(vgate: VgateProcess) -> VSchema:
    """The VSchema as the file has it."""
    return load_vschema(file_of(vgate), environ={})


def edit(path: Path, text: str) -> None:
    """As an editor saves."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


@pytest.fixture
def bare(fresh: Cluster, start_vgate: StartVgate) -> VgateProcess:
    return start_vgate(BARE)


@pytest.fixture
def client(bare: VgateProcess) -> Iterator[Connection]:
    with closing(bare.connect("customer")) as connection:
        yield connection


def ok(connection: Connection, sql: str) -> Answer:
    answer = ask(connection, sql)
    assert answer.error is None, (sql, answer.error)
    return answer


def refused(connection: Connection, sql: str, reason: str, errno: int = 1815) -> None:
    answer = ask(connection, sql)
    assert answer.error is not None, sql
    assert answer.error[0] == errno, answer.error
    assert reason in answer.error[1], answer.error


def test_four_statements_make_a_sharded_table_with_ids(bare: VgateProcess, client: Connection) -> None:
    """As Vitess sets it up, without a file, a table or a row by hand; an open session sees it all."""
    with closing(bare.connect("customer")) as other:
        assert (ask(other, "select * from customer").error or (0,))[0] == 1146
        ok(client, "alter vschema on customer add vindex hash(customer_id) using hash")
        ok(client, "alter vschema add sequence product.customer_seq")
        ok(client, "alter vschema on customer.customer add auto_increment customer_id using product.customer_seq")
        ok(client, "create table customer (customer_id bigint primary key, uname varchar(20))")
        assert ok(other, "insert into customer (uname) values ('a'), ('b'), ('c'), ('d')").insert_id == 1
        assert ok(other, "select customer_id from customer").sorted().rows == ((1,), (2,), (3,), (4,))
    assert bare.query("select * from product.customer_seq") == ((0, 1001, 1000),)
    table = written(bare).keyspaces["customer"].tables["customer"]
    assert table.auto_increment is not None
    assert table.column_vindexes[0].columns == ("customer_id",)


def test_all_ten_forms_and_what_they_refuse(bare: VgateProcess, client: Connection) -> None:
    script = """
    create vindex hash using hash                         |
    create vindex hash using hash                         | vindex hash already exists in keyspace customer
    create vindex customer.xx using xxhash                |
    create vindex m using numeric_static_map with json = '{"1": 2}', fallback_type = xxhash |
    create vindex bad using nonsense                      | vindexType "nonsense" not found
    on t add vindex hash (id)                             |
    on t add vindex hash (id)                             | vindex hash already defined on table t
    on t add vindex nothere (id)                          | vindex nothere does not exist in keyspace customer
    on t add vindex xx (id) using hash                    | vindex xx defined with type xxhash not hash
    on t add vindex m (id) using numeric_static_map       | vindex m defined with different parameters
    on t add vindex xx (`name`)                           |
    drop vindex xx                                        | can not drop vindex cause xx still defined on table t
    on t drop vindex m                                    | vindex m not defined in table customer.t
    on u drop vindex xx                                   | table customer.u not defined in vschema
    on t drop vindex xx                                   |
    drop vindex customer.xx                               |
    drop vindex xx                                        | vindex xx does not exists in keyspace customer
    add table u                                           | add vschema table: unsupported on sharded keyspace customer
    add table product.u                                   |
    add table product.u                                   | vschema already contains table u in keyspace product
    drop table product.u                                  |
    drop table product.u                                  | vschema does not contain table u in keyspace product
    add sequence s                                        | add sequence table: unsupported on sharded keyspace customer
    add sequence product.s                                |
    add sequence product.s                                | vschema already contains sequence s in keyspace product
    on v add auto_increment id using product.s            | vschema does not contain table v in keyspace customer
    on t add auto_increment id using product.nothere      | cannot resolve sequence product.nothere
    on t add auto_increment id using product.s            |
    on t add auto_increment id using product.s            | vschema already contains auto inc id on table t
    drop sequence product.s                               | cannot resolve sequence product.s
    on customer.t drop auto_increment                     |
    on t drop auto_increment                              | vschema does not contain auto increment on table t
    drop sequence product.s                               |
    drop sequence product.s                               | vschema does not contain sequence s in keyspace product
    on t drop vindex hash                                 |
    drop table nokeyspace.t                               | keyspace nokeyspace not found
    """
    for line in filter(str.strip, script.splitlines()):
        statement, reason = (part.strip() for part in line.rsplit("|", 1))
        before = file_of(bare).read_text()
        if reason:
            refused(client, f"alter vschema {statement}", reason)
            assert file_of(bare).read_text() == before
        else:
            ok(client, f"alter vschema {statement}")
            assert file_of(bare).read_text() != before
            written(bare)
    assert not written(bare).keyspaces["customer"].tables
    refused(client, "alter vschema add nonsense x", "near 'add nonsense x'", 1064)
    refused(client, "alter vschema on t add vindex", "syntax", 1064)


def test_without_a_keyspace(bare: VgateProcess) -> None:
    with closing(bare.connect()) as connection:
        refused(connection, "alter vschema add table t", "no database selected", 1046)


def test_a_sequence_takes_the_table_that_is_there(bare: VgateProcess, client: Connection) -> None:
    ok(client, "create table product.plain_table (id int primary key)")
    refused(client, "alter vschema add sequence product.plain_table", "is not a sequence", 1105)
    assert "plain_table" not in written(bare).keyspaces["product"].tables
    ok(client, "create table product.s (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'")
    ok(client, "insert into product.s values (0, 77, 3)")
    ok(client, "alter vschema add sequence product.s")
    assert ok(client, "select next value from product.s").rows == ((77,),)


def test_a_sequence_that_is_only_in_the_file_gets_its_table(fresh: Cluster, start_vgate: StartVgate) -> None:
    vgate = start_vgate(BARE.replace('shards: ["-"]', 'shards: ["-"], tables: {s: {type: sequence}}'))
    with closing(vgate.connect("product")) as connection:
        refused(connection, "select next value from s", "s' doesn't exist", 1146)
        ok(connection, "alter vschema add sequence s")
        assert ok(connection, "select next value from s").rows == ((1,),)
        refused(connection, "alter vschema add sequence s", "already contains sequence s")
        ok(connection, "delete from s")
        ok(connection, "alter vschema add sequence s")
        assert ok(connection, "select * from s").rows == ((0, 1, 1000),)


def test_a_sequence_takes_the_named_row_that_is_there(bare: VgateProcess, client: Connection) -> None:
    """A table beside ``vt_sequence`` would begin at 1 again, and give what the named row has given."""
    ok(client, "use product")
    ok(client, "create table vt_sequence (name varchar(64) not null, id bigint unsigned not null, primary key (name))")
    ok(client, "insert into vt_sequence (name, id) values ('user_id', 41)")
    ok(client, "alter vschema add sequence user_id")
    assert ok(client, "select next value from user_id").rows == ((42,),)
    assert ok(client, "select id from vt_sequence").rows == ((42,),)
    ok(client, "alter vschema add sequence other")
    assert ok(client, "select * from other").rows == ((0, 1, 1000),)


def test_a_sequence_takes_that_of_vgates_own_that_is_there(bare: VgateProcess, client: Connection) -> None:
    """No table stands behind it, which would give the same values again when it is dropped."""
    ok(client, "create simple sequence product.own")
    assert ok(client, "select product.own.nextval").rows == ((1,),)
    ok(client, "alter vschema add sequence product.own")
    assert ok(client, "select next value from product.own").rows == ((2,),)
    refused(client, "select * from product.own", "own' doesn't exist", 1146)


def test_who_may_not(fresh: Cluster, start_vgate: StartVgate) -> None:
    config = USERS + "  reader: {password: x, read_only: true}\n  clerk: {password: x, keyspaces: [customer]}\n"
    vgate = start_vgate(BARE, config)
    with closing(vgate.connect("product", user="reader", password="x")) as connection:
        refused(connection, "alter vschema add table t", "write command denied", 1142)
    with closing(vgate.connect("customer", user="clerk", password="x")) as connection:
        refused(connection, "alter vschema add table product.t", "Access denied", 1044)
        ok(connection, "alter vschema create vindex hash using hash")


def test_the_file_keeps_everything_else(fresh: Cluster, tmp_path: Path) -> None:
    text = """\
# which keyspaces there are
keyspaces:
  product:   # one server
    shards: {"-": {host: HOST, port: PORT1, user: USER, password: PASSWORD, database: product}}
    tables:
      # ids
      customer_seq:   {type: sequence}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables: {}   # none yet
    shards:
      "-80": {host: HOST, port: PORT2, user: USER, password: PASSWORD, database: customer}
      "80-": {host: HOST, port: PORT3, user: USER, password: PASSWORD, database: customer}
"""
    servers = list(fresh.shards.values())
    for number, server in enumerate(servers, 1):
        text = text.replace(f"PORT{number}", str(server.port))
    one = servers[0]
    text = text.replace("HOST", one.host).replace("USER", one.user).replace("PASSWORD", repr(one.password))
    path = tmp_path / "vschema.yaml"
    path.write_text(text)
    path.chmod(0o640)
    (tmp_path / "vgate.yaml").write_text(USERS)
    vgate = run_vgate(tmp_path, [
        "serve", "--vschema", str(path), "--config", str(tmp_path / "vgate.yaml"), "--listen", "127.0.0.1:0",
    ])  # fmt: skip
    try:
        with closing(vgate.connect("customer")) as connection:
            ok(connection, "alter vschema on customer add vindex hash (customer_id)")
            ok(connection, "alter vschema add table product.p")
    finally:
        vgate.kill()
    assert path.read_text() == text.replace(
        "tables: {}", "tables: {customer: {column_vindexes: [{column: customer_id, name: hash}]}}"
    ).replace("{type: sequence}\n", "{type: sequence}\n      p: {}\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["stderr", "vgate.yaml", "vschema.yaml"]


def test_an_edit_of_the_file_is_taken_up_and_a_bad_one_is_not(bare: VgateProcess, client: Connection) -> None:
    path = file_of(bare)
    good = path.read_text()
    ok(client, "use product")
    ok(client, "create table s (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'")
    ok(client, "insert into s values (0, 5, 10)")
    edit(path, good.replace("product:\n", "product:\n    tables: {s: {type: nonsense}}\n"))
    until(lambda: "was not taken up" in bare.errors, "nothing in the log")
    assert "vschema.yaml:3: unidentified table type nonsense" in bare.errors
    refused(client, "select next value from s", "non-sequence table", 1105)
    refused(client, "alter vschema add table t", "vschema.yaml has faults that come first: line 3")
    edit(path, good.replace("product:\n", "product:\n    tables: {s: {type: sequence}}\n"))
    until(lambda: ask(client, "select next value from s").rows == ((5,),), "the edit was not taken up")


def test_hup_reads_the_file_at_once(bare: VgateProcess, client: Connection) -> None:
    path = file_of(bare)
    edit(path, path.read_text().replace("product:\n", "product:\n    tables: {t: {}}\n"))
    bare.process.send_signal(signal.SIGHUP)
    until(lambda: "taken up as version" in bare.errors, "the file was not read")


def test_other_shards_need_a_restart_and_new_keyspaces_do_not(
    bare: VgateProcess, client: Connection, fresh: Cluster
) -> None:
    path = file_of(bare)
    good = path.read_text()
    edit(path, good.replace("database: product", "database: other"))
    until(lambda: "restart: the shards of keyspace product" in bare.errors, "nothing in the log")
    refused(client, "alter vschema add table product.t", "needs a restart")
    server = fresh.shards["product/-"]
    fresh.shards["product/-"].query("create database if not exists extra")
    address = (
        f"host: {server.host}, port: {server.port}, user: {server.user}, password: {server.password!r}, database: extra"
    )
    edit(path, good + f"  extra:\n    sharded: false\n    shards: {{'-': {{{address}}}}}\n")
    until(lambda: ask(client, "use extra").error is None, "the new keyspace is not there")
    ok(client, "create table t (a int)")
    ok(client, "insert into t values (1)")
    server.query("drop database extra")


def test_a_transaction_goes_on_over_a_change(bare: VgateProcess, client: Connection) -> None:
    ok(client, "alter vschema on t add vindex hash (id) using hash")
    ok(client, "create table t (id bigint primary key, n int)")
    with closing(bare.connect("customer")) as other:
        ok(other, "begin")
        ok(other, "insert into t values (1, 1), (4, 4)")
        ok(client, "alter vschema create vindex xx using xxhash")
        ok(other, "insert into t values (5, 5)")
        assert ok(other, "select count(*) from t where id = 1").rows == ((1,),)
        ok(other, "rollback")
    assert ok(client, "select id from t").rows == ()


def test_a_prepared_statement_is_planned_anew(bare: VgateProcess, client: Connection) -> None:
    ok(client, "alter vschema on t add vindex hash (id) using hash")
    ok(client, "create table t (id bigint primary key, n int)")
    with closing(bare.connect("customer", ssl_disabled=True)) as other:
        raw = Raw(other)

        def execute(statement: int) -> bytes:
            """The payload of the answer's first packet."""
            return raw.ask(b"\x17" + statement.to_bytes(4, "little") + b"\0\1\0\0\0")[4:]

        insert = int.from_bytes(raw.ask(b"\x16insert into t (n) values (7)")[5:9], "little")
        select = int.from_bytes(raw.ask(b"\x16select n from t where id = 1")[5:9], "little")
        assert b"VT09023" in execute(insert)
        ok(client, "alter vschema add sequence product.s")
        ok(client, "alter vschema on t add auto_increment id using product.s")
        assert execute(insert)[:3] == b"\0\1\1", "a row, and id 1"
        assert execute(insert)[:3] == b"\0\1\2"
        found = execute(select)
        assert b"\7\0\0\0" in found
        ok(client, "alter vschema on t drop auto_increment")
        assert b"VT09023" in execute(insert)
        ok(client, "alter vschema drop table t")
        assert b"t not found in the vschema" in execute(select)
        ok(client, "alter vschema on t add vindex hash (id)")
        assert execute(select) == found


def test_two_proxies_and_many_changes_lose_none(fresh: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "vschema.yaml"
    path.write_text(with_addresses(BARE, fresh))
    (tmp_path / "vgate.yaml").write_text(USERS)
    proxies = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        proxies.append(run_vgate(tmp_path / str(number), [
            "serve", "--vschema", str(path), "--config", str(tmp_path / "vgate.yaml"), "--listen", "127.0.0.1:0",
        ]))  # fmt: skip

    def change(number: int) -> None:
        with closing(proxies[number % 2].connect("product")) as connection:
            for each in range(5):
                ok(connection, f"alter vschema add table t{number}_{each}")

    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, range(4)))
        names = {f"t{number}_{each}" for number in range(4) for each in range(5)}
        assert set(load_vschema(path, environ={}).keyspaces["product"].tables) == names
        with closing(proxies[0].connect("product")) as connection:
            ok(connection, "alter vschema add sequence s")
        with closing(proxies[1].connect("product")) as connection:
            until(lambda: ask(connection, "select next value from s").rows == ((1,),), "the other proxy does not know")
    finally:
        for vgate in proxies:
            vgate.kill()


def test_every_worker_knows_when_the_client_has_its_answer(fresh: Cluster, start_vgate: StartVgate) -> None:
    vgate = start_vgate((REPOSITORY / "vschema.yaml").read_text(), arguments=("--workers", "3"))
    connections = [vgate.connect("customer") for _ in range(12)]
    try:
        first, *rest = connections
        for number in range(5):
            ok(first, f"alter vschema on t{number} add vindex hash (id)")
            ok(first, f"create table t{number} (id bigint primary key, n int)")
            for connection in rest:
                assert ok(connection, f"select * from t{number} where n = 1").rows == ()
            ok(first, f"alter table t{number} add column more varchar(5)")
            for connection in rest:  # the implicit column list has three columns now, in every worker
                ok(connection, f"replace into t{number} values (1, 1, 'x')")
                ok(connection, f"replace into t{number} values (4, 1, 'x')")
    finally:
        for connection in connections:
            connection.close()
