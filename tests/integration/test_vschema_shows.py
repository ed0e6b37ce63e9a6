"""What vgate says of its VSchema: SHOW VSCHEMA and its kin, and vindexes that are asked as if they were tables."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import mysql.connector
import pytest

from tests.fix_oracle import Oracle
from tests.fix_servers import Cluster
from tests.fix_vgate import PASSWORD, USER, USERS, StartVgate, VgateProcess
from tests.integration.asking import Connection
from tests.integration.test_alter_vschema import BARE, bare, client, ok, refused

__all__ = ["bare", "client"]


@pytest.fixture
def shown(bare: VgateProcess, client: Connection) -> Connection:
    """With a few things to show."""
    ok(client, "alter vschema on t add vindex hash (id) using hash")
    static = "numeric_static_map with json = '{\"1\": 2}', fallback_type = hash"
    ok(client, f"alter vschema on t add vindex m (n) using {static}")
    ok(client, "alter vschema on a add vindex hash (id)")
    return client


def columns(connection: Connection, sql: str) -> list[str]:
    return [column[0] for column in ok(connection, sql).columns]


def test_vschema_tables(shown: Connection, bare: VgateProcess) -> None:
    assert ok(shown, "show vschema tables").rows == (("a",), ("t",))
    assert ok(shown, "show vschema tables like 't%'").rows == (("t",),)
    assert columns(shown, "show vschema tables") == ["Tables"]
    other = bare.connect()
    refused(other, "show vschema tables", "no database selected", 1046)
    other.close()


def test_vschema_vindexes(shown: Connection) -> None:
    assert columns(shown, "show vschema vindexes") == ["Keyspace", "Name", "Type", "Params", "Owner"]
    params = 'fallback_type=hash; json={"1": 2}'
    assert ok(shown, "show vschema vindexes").rows == (
        ("customer", "hash", "hash", "", ""), ("customer", "m", "numeric_static_map", params, ""),
    )  # fmt: skip
    assert columns(shown, "show vschema vindexes on t") == ["Columns", "Name", "Type", "Params", "Owner"]
    expected = (("id", "hash", "hash", "", ""), ("n", "m", "numeric_static_map", params, ""))
    assert ok(shown, "show vschema vindexes on customer.t").rows == expected
    assert ok(shown, "show vschema vindexes from t").rows == expected
    refused(shown, "show vschema vindexes on nothere", "does not exist in keyspace 'customer'", 1146)


def test_keyspaces_shards_and_target(shown: Connection) -> None:
    assert columns(shown, "show vschema keyspaces") == ["Keyspace", "Sharded", "Foreign Key", "Comment"]
    assert ok(shown, "show vschema keyspaces").rows == (
        ("customer", "true", "unmanaged", ""), ("product", "false", "unmanaged", ""),
    )  # fmt: skip
    assert ok(shown, "show keyspaces").rows == (("customer",), ("product",))
    assert ok(shown, "show vitess_keyspaces like 'prod%'").rows == (("product",),)
    assert ok(shown, "show vitess_shards").rows == (("product/-",), ("customer/-80",), ("customer/80-",))
    assert ok(shown, "show vitess_shards like 'customer/%'").rows == (("customer/-80",), ("customer/80-",))
    assert ok(shown, "show vitess_target").rows == (("customer",),)


def test_who_is_held_to_keyspaces_sees_no_others(fresh: Cluster, start_vgate: StartVgate) -> None:
    vgate = start_vgate(BARE, USERS + "  clerk: {password: x, keyspaces: [product]}\n")
    with closing(vgate.connect("customer")) as client:
        ok(client, "alter vschema on t add vindex hash (id) using hash")
    with closing(vgate.connect("product", user="clerk", password="x")) as clerk:
        assert ok(clerk, "show databases").rows == (("information_schema",), ("product",))
        assert ok(clerk, "select schema_name from information_schema.schemata order by 1").rows == (
            ("information_schema",), ("product",),
        )  # fmt: skip
        assert ok(clerk, "show keyspaces").rows == (("product",),)
        assert ok(clerk, "show vitess_shards").rows == (("product/-",),)
        assert [row[0] for row in ok(clerk, "show vschema keyspaces").rows] == ["product"]
        assert ok(clerk, "show vschema vindexes").rows == ()
        refused(clerk, "show vschema vindexes on customer.t", "Access denied", 1044)


ONE = bytes.fromhex("166b40b44aba4bd6")
FOUR = bytes.fromhex("d2fd8867d50d2dfe")


def test_a_vindex_is_asked_like_a_table(pair: Oracle) -> None:
    client = pair.vgate
    row = (b"1", ONE, b"", b"\x80", b"166b40b44aba4bd6", b"-80")
    answer = ok(client, "select * from hash where id = 1")
    assert answer.rows == (row,)
    assert [column[0] for column in answer.columns] == [
        "id", "keyspace_id", "range_start", "range_end", "hex_keyspace_id", "shard",
    ]  # fmt: skip
    assert {column[1] for column in answer.columns} == {253}
    assert {column[4] for column in answer.columns} == {63}
    columns = "id, hex(keyspace_id), shard"
    four = ok(client, f"select {columns} from customer.hash as h where h.id in (4, 1) order by shard desc")
    assert four.rows == ((b"4", "D2FD8867D50D2DFE", b"80-"), (b"1", "166B40B44ABA4BD6", b"-80"))
    assert ok(client, "select shard from hash where id = '1'").rows == ((b"-80",),)
    assert ok(client, "select id, hex_keyspace_id from hash where id = -1").rows == ((b"-1", b"355550b2150e2451"),)
    assert ok(client, "select range_start, range_end from hash where id = 4").rows == ((b"\x80", b""),)
    for nowhere in ("'abc'", "1.5", "''", "18446744073709551616"):
        assert ok(client, f"select * from hash where id = {nowhere}").rows == ()
    assert ok(client, "select count(*) from `hash` where `id` in (1, 2, 'x')").rows == ((2,),)


def test_a_prepared_statement_may_ask_a_vindex(pair: Oracle) -> None:
    process = pair.process
    with mysql.connector.connect(
        host=process.host, port=process.port, user=USER, password=PASSWORD, database="customer", use_pure=True,
        collation="utf8mb4_general_ci",
    ) as connection:  # fmt: skip
        cursor: Any = connection.cursor(prepared=True)
        for value, shard in ((1, "-80"), (4, "80-"), ("4", "80-"), (1, "-80")):
            cursor.execute("select shard, hex(keyspace_id) as k from hash where id = ?", (value,))
            found = cursor.fetchall()
            assert [(bytes(row[0]).decode(), row[1]) for row in found] == [
                (shard, (ONE if shard == "-80" else FOUR).hex().upper())
            ]
        cursor.execute("select count(*) from hash where id in (?, ?) limit ?", (1, "x", 5))
        assert cursor.fetchall() == [(1,)]
        cursor.execute("select id from hash where id = ?", (1.5,))
        assert cursor.fetchall() == []
        with pytest.raises(mysql.connector.Error, match="before FROM"):
            cursor.execute("select ?, id from hash where id = ?", (1, 2))


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select * from hash", "where clause missing"),
        ("select * from hash where n = 1", "lhs is not id"),
        ("select * from hash where id > 1", "not equality"),
        ("select * from hash where id = 1 and id = 2", "multiple filters"),
        ("select * from hash where id = 1 or id = 2", "not a comparison"),
        ("select * from hash where id = id", "rhs is not a value"),
        ("select * from hash where id = null", "rhs is not a value"),
        ("select * from hash, customer where id = 1", "multiple tables involved"),
        ("select * from hash join customer where id = 1", "multiple tables involved"),
    ],
)
def test_other_conditions_are_refused_in_the_words_of_vitess(pair: Oracle, sql: str, reason: str) -> None:
    said = "VT09018: WHERE clause for vindex function must be of the form id = <val> or id in(<val>,...)"
    refused(pair.vgate, sql, f"{said} ({reason})", 1105)


def test_tables_come_before_vindexes(fresh: Cluster, start_vgate: StartVgate) -> None:
    vgate = start_vgate(BARE)
    client = vgate.connect("customer")
    ok(client, "alter vschema on hash add vindex hash (id) using hash")
    ok(client, "create table hash (id bigint primary key, n int)")
    ok(client, "insert into hash values (1, 7)")
    assert ok(client, "select * from hash where id = 1").rows == ((1, 7),)
    ok(client, "alter vschema create vindex xx using xxhash")
    ok(client, "use product")
    refused(client, "select * from xx where id = 1", "doesn't exist", 1146)
    assert ok(client, "select hex_keyspace_id from customer.xx where id = 'test1'").rows == ((b"d01ab7e4d6978f0b",),)
    client.close()
    client = vgate.connect()
    assert ok(client, "select hex_keyspace_id from xx where id = 'test1'").rows == ((b"d01ab7e4d6978f0b",),)
    client.close()
