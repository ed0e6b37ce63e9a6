"""The documented example, typed into the plain ``mysql`` client, and every script a user would take from the guides.

The texts are those of Vitess's and PlanetScale's guides to sequences; what they print is what must be printed here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fix_servers import REPOSITORY, Cluster
from tests.fix_vgate import PASSWORD, USER, StartVgate, VgateProcess
from vgate.sql.versioned import Flavour

CLIENTS = {
    "mariadb's": shutil.which("mariadb") or shutil.which("mysql"),
    "mysql 9's": str(path) if (path := REPOSITORY / ".mysql9" / "bin" / "mysql").exists() else None,
}
CUSTOMER = "create table customer (customer_id bigint not null, uname varchar(128), primary key (customer_id));"
SEQUENCE = """
create table customer_seq(id bigint, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into customer_seq(id, next_id, cache) values(0, 1, 3);
"""


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """A ``mysql`` program."""
    program = CLIENTS[request.param]
    if program is None:
        pytest.skip(f"there is no {request.param} client on this machine")
    return program


def typed(client: str, vgate: VgateProcess, script: str, *options: str) -> str:
    """What the client prints for a script; the test fails if it ends with an error."""
    done = run(client, vgate, script, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(client: str, vgate: VgateProcess, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    where = [f"--host={vgate.host}", f"--port={vgate.port}", f"--user={USER}", f"--password={PASSWORD}"]
    return subprocess.run(
        [client, "--no-defaults", *where, "--protocol=tcp", *_options_of(client), *options],
        input=script, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def _options_of(client: str) -> list[str]:
    return ["--get-server-public-key"] if ".mysql9" in str(Path(client)) else []


def shown(output: str) -> list[list[str]]:
    """The cells of every line of the tables that ``-t`` draws."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]


def test_the_documented_example(client: str, vgate_process: VgateProcess) -> None:
    assert typed(client, vgate_process, f"use customer; {CUSTOMER} use product; {SEQUENCE}") == ""
    asked = typed(
        client, vgate_process, "select next 2 values from customer_seq; select next 1 values from customer_seq;", "-t",
        "product",
    )  # fmt: skip
    assert shown(asked) == [["nextval"], ["1"], ["nextval"], ["3"]]


def test_five_rows_without_ids(client: str, vgate_process: VgateProcess) -> None:
    typed(client, vgate_process, f"use customer; {CUSTOMER} use product; {SEQUENCE}")
    insert = "insert into customer(uname) values('alice'),('bob'),('charlie'),('dan'),('eve');"
    said = typed(client, vgate_process, insert, "-vvv", "customer")
    assert "Query OK, 5 rows affected" in said
    assert re.search(r"Records: 5 +Duplicates: 0 +Warnings: 0", said)
    lower = typed(client, vgate_process, "use `customer:-80`; select * from customer;", "-t")
    assert shown(lower) == [["customer_id", "uname"], ["1", "alice"], ["2", "bob"], ["3", "charlie"], ["5", "eve"]]
    upper = typed(client, vgate_process, "use `customer:80-`; select * from customer;", "-t")
    assert shown(upper) == [["customer_id", "uname"], ["4", "dan"]]
    whole = typed(client, vgate_process, "select * from customer;", "-t", "customer")
    assert sorted(shown(whole)) == sorted([*shown(lower), *shown(upper)[1:]])


def test_the_rows_lie_where_vitess_would_put_them(vgate_process: VgateProcess, fresh: Cluster) -> None:
    vgate_process.query(CUSTOMER, "customer")
    for statement in filter(str.strip, SEQUENCE.split(";")):
        vgate_process.query(statement, "product")
    vgate_process.query("insert into customer(uname) values ('a'),('b'),('c'),('d'),('e')", "customer")
    ids = "select customer_id from customer order by 1"
    assert fresh["customer/-80"].query(ids, "customer") == ((1,), (2,), (3,), (5,))
    assert fresh["customer/80-"].query(ids, "customer") == ((4,),)


TARGETS = ["product", "product:-", "product:0", "product/0", "product@primary", "product:-@primary"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_unsharded_keyspace_has_many_names(client: str, vgate_process: VgateProcess, target: str) -> None:
    typed(client, vgate_process, SEQUENCE, "product")
    printed = typed(client, vgate_process, f"use `{target}`; select next_id from customer_seq;", "-t")
    assert shown(printed) == [["next_id"], ["1"]]
    again = typed(client, vgate_process, "select next_id from customer_seq;", "-t", target)  # named at login
    assert shown(again) == [["next_id"], ["1"]]


HAND_MADE = """
CREATE TABLE vt_sequence (
name VARCHAR(64) NOT NULL,
id BIGINT UNSIGNED NOT NULL,
PRIMARY KEY (name)
) ENGINE=InnoDB;
-- Initialize the sequence for user_ids
INSERT INTO vt_sequence (name, id) VALUES ('user_id', 0);
"""
BY_HAND = """
-- In your application code (conceptual)
START TRANSACTION;
SELECT id FROM vt_sequence WHERE name = 'user_id' FOR UPDATE; -- Let's say this returns 1000
UPDATE vt_sequence SET id = id + 1 WHERE name = 'user_id';
INSERT INTO customer.customer (customer_id, uname) VALUES (1000, 'Alice');
"""


def test_a_hand_made_sequence_inside_a_transaction(client: str, vgate_process: VgateProcess, fresh: Cluster) -> None:
    typed(client, vgate_process, f"use customer; {CUSTOMER} use product; {HAND_MADE}")
    printed = typed(client, vgate_process, BY_HAND + "COMMIT;", "-t", "product")
    assert shown(printed) == [["id"], ["0"]]
    assert vgate_process.query("select customer_id, uname from customer", "customer") == ((1000, "Alice"),)
    assert fresh["product/-"].query("select id from vt_sequence", "product") == ((1,),)
    typed(client, vgate_process, BY_HAND.replace("1000", "1001") + "ROLLBACK;", "-t", "product")
    assert len(vgate_process.query("select customer_id from customer", "customer")) == 1
    assert fresh["product/-"].query("select id from vt_sequence", "product") == ((1,),)


JSON_VSCHEMA = """
keyspaces:
  test_unsharded:
    tables: {test_seq: {type: sequence}}
    shards: ["-"]
  test_sharded:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      test:
        column_vindexes: [{column: id, name: hash}]
        auto_increment: {column: id, sequence: test_unsharded.test_seq}
    shards: ["-80", "80-"]
"""
JSON_SET_UP = """
USE test_sharded;
CREATE TABLE test(id BIGINT UNSIGNED PRIMARY KEY, data JSON);
USE test_unsharded;
CREATE TABLE test_seq(id bigint, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
INSERT INTO test_seq VALUES (0, 1, 1000);
"""
JSON_USE = """
INSERT INTO test (data) VALUES ('{"errors": [{"message": "Error message", "code": 10}]}');
SELECT data FROM test WHERE id=1;
"""


def test_a_json_column(client: str, fresh: Cluster, start_vgate: StartVgate) -> None:
    vgate = start_vgate(JSON_VSCHEMA)
    typed(client, vgate, JSON_SET_UP)
    printed = typed(client, vgate, JSON_USE, "-t", "test_sharded")
    written = '{"errors": [{"message": "Error message", "code": 10}]}'
    kept = '{"errors": [{"code": 10, "message": "Error message"}]}'  # MySQL keeps JSON in an order of its own
    assert shown(printed) == [["data"], [written if fresh.flavour is Flavour.MARIADB else kept]]
    [row] = vgate.query("select * from test_seq", "test_unsharded")
    assert row == (0, 1001, 1000)


def test_errors_are_printed_as_mysqls(client: str, vgate_process: VgateProcess) -> None:
    said = run(client, vgate_process, "select * from nowhere.t;")
    assert said.returncode == 1
    assert "ERROR 1049 (42000) at line 1: " in said.stderr
    said = run(client, vgate_process, "select * from where;", "customer")
    assert "ERROR 1064 (42000) at line 1: " in said.stderr
    denied = subprocess.run(
        [client, "--no-defaults", f"--host={vgate_process.host}", f"--port={vgate_process.port}", "--user=nobody",
         "--password=x", "--protocol=tcp", *_options_of(client), "-e", "select 1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert denied.returncode == 1
    assert "ERROR 1045 (28000): Access denied for user 'nobody'@'" in denied.stderr
