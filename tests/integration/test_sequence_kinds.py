"""PolarDB-X's kinds of sequence through the front door: made, asked, changed and shown, on both flavours.

What comes out is PolarDB-X's as documented (``First values``), what is refused says why. That no value comes twice is
``test_sequences_hammered``'s business.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import mysql.connector
import pymysql
import pytest
import yaml

from tests.fix_oracle import Answer, ask
from tests.fix_servers import REPOSITORY, Cluster
from tests.fix_vgate import PASSWORD, USER, StartVgate, VgateProcess
from tests.integration.executing import Prepared
from vgate.sql.versioned import Flavour

VSCHEMA = """
keyspaces:
  product:
    sharded: false
    tables: {plain: {}}
    shards: ["-"]
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer: {column_vindexes: [{column: id, name: hash}]}
    shards: ["-80", "80-"]
"""
CUSTOMER = "create table customer (id bigint not null, uname varchar(30), primary key (id))"


@dataclass(slots=True)
class Client:
    """A session in front of vgate."""

    process: VgateProcess
    session: pymysql.Connection[Any]

    def ask(self, sql: str) -> Answer:
        return ask(self.session, sql)

    def run(self, *statements: str) -> None:
        for sql in statements:
            answer = self.ask(sql)
            assert answer.error is None, (sql, answer.error)

    def rows(self, sql: str) -> tuple[tuple[Any, ...], ...]:
        answer = self.ask(sql)
        assert answer.error is None, (sql, answer.error)
        return answer.rows

    def column(self, sql: str) -> list[Any]:
        return [row[0] for row in self.rows(sql)]

    def error(self, sql: str) -> tuple[int, str]:
        error = self.ask(sql).error
        assert error is not None, sql
        return error


@pytest.fixture
def client(fresh: Cluster, start_vgate: StartVgate) -> Iterator[Client]:
    """In keyspace ``product``."""
    process = start_vgate(VSCHEMA)
    with closing(process.connect("product", ssl_disabled=True)) as session:
        yield Client(process, session)


def values(client: Client, name: str, count: int) -> list[Any]:
    return [client.rows(f"select {name}.NEXTVAL")[0][0] for _ in range(count)]


# -- what comes out -----------------------------------------------------------------------------------------------


def test_group_is_the_default_and_begins_with_its_first_block(client: Client) -> None:
    client.run("create sequence s")
    assert values(client, "s", 3) == [100001, 100002, 100003]
    client.run("create group sequence late start with 100000")
    assert values(client, "late", 2) == [200001, 200002]


def test_the_kind_that_is_not_said(fresh: Cluster, start_vgate: StartVgate) -> None:
    process = start_vgate("sequence_kind: simple" + VSCHEMA)
    with closing(process.connect("product", ssl_disabled=True)) as session:
        client = Client(process, session)
        client.run("create sequence s increment by 5", "create group sequence g")
        assert (values(client, "s", 2), values(client, "g", 1)) == ([1, 6], [100001])
        assert "CREATE SIMPLE SEQUENCE `s`" in client.rows("show create sequence s")[0][1]


def test_units_have_values_of_their_own(client: Client) -> None:
    client.run("create group sequence a unit count 3 index 0", "create sequence b unit count 3 index 2 step 100")
    assert values(client, "a", 1) == [300001]
    assert values(client, "b", 101)[-2:] == [600, 801]


def test_simple_is_consecutive_up_to_its_end(client: Client) -> None:
    client.run("create simple sequence s start with 1000 increment by 2 maxvalue 1004")
    assert values(client, "s", 3) == [1000, 1002, 1004]
    assert client.error("select s.NEXTVAL")[0] == 4084
    client.run("alter sequence s maxvalue 1006")
    assert values(client, "s", 1) == [1006]


def test_simple_with_cycle(client: Client) -> None:
    client.run("create simple sequence s maxvalue 2 cycle")
    assert values(client, "s", 5) == [1, 2, 1, 2, 1]
    client.run("create simple sequence t start with 2 minvalue 1 maxvalue 3 cycle")
    assert values(client, "t", 5) == [2, 3, 1, 2, 3]


def test_time_ids_grow_and_fit(client: Client) -> None:
    client.run("create time sequence s", "create time sequence js bits 53")
    one, two = values(client, "s", 5), values(client, "js", 5)
    assert one == sorted(set(one))
    assert two == sorted(set(two))
    assert all(2**58 < value < 2**63 for value in one)
    assert all(2**49 < value < 2**53 for value in two)


# -- asking -------------------------------------------------------------------------------------------------------


def test_every_spelling_and_its_column(client: Client) -> None:
    client.run("create simple sequence s")
    for sql, label, value in (
        ("select s.NEXTVAL", "s.NEXTVAL", 1),
        ("SELECT S.nextval FROM DUAL", "S.nextval", 2),
        ("select `s`.NextVal as n", "n", 3),
        ("select nextval(s)", "nextval(s)", 4),
        ("select next value for product.s", "nextval", 5),  # as Vitess calls it
        ("select next value for s as n", "n", 6),
        ("select nextval(product.s) 'x'", "x", 7),
        ("select s.currval", "s.currval", 7),
        ("select lastval(s)", "lastval(s)", 7),
        ("select previous value for s as p", "p", 7),
        ("select s.NEXTVAL + 1", "s.NEXTVAL + 1", 9),
        ("select 'a', concat(nextval(s), 'x')", "a", "a"),
        ("select next value from s", "nextval", 10),
        ("select next 3 values from s", "nextval", 11),
        ("select s.currval", "s.currval", 13),
        ("select s.nextval", "s.nextval", 14),
    ):
        answer = client.ask(sql)
        assert (answer.error, answer.columns[0][0], answer.rows[0][0]) == (None, label, value), sql
    assert client.column("select s.NEXTVAL from dual where count = 3") == [15, 16, 17]
    assert client.rows("select s.nextval, s.currval, s.nextval") == ((18, 18, 19),)


def test_the_last_value_is_the_sessions(client: Client) -> None:
    client.run("create sequence s")
    assert client.rows("select s.currval, lastval(s)") == ((None, None),)
    client.run("select s.nextval")
    assert client.rows("select s.currval + 1") == ((100002,),)
    with closing(client.process.connect("product", ssl_disabled=True)) as other:
        assert ask(other, "select lastval(s)").rows == ((None,),)
        assert ask(other, "select nextval(s)").rows == ((100002,),)
    assert client.rows("select lastval(s)") == ((100001,),)


def test_values_stand_in_inserts_on_shards(client: Client) -> None:
    client.run("use customer", CUSTOMER, "create simple sequence s", "create sequence product.g")
    client.run(
        "insert into customer (id, uname) values (s.nextval, 'a'), (nextval(s), 's.nextval'), (next value for s, 'c')",
        "insert into customer values (product.g.nextval, concat('x', s.nextval))",
        "insert into customer set id = s.nextval, uname = lastval(s)",
    )
    found = sorted(client.rows("select id, uname from customer"))
    assert found == [(1, "a"), (2, "s.nextval"), (3, "c"), (5, "5"), (100001, "x4")]
    assert client.column("select uname from customer where id = s.currval") == ["5"]


def test_a_sequence_that_was_not_there_when_it_was_first_asked(client: Client) -> None:
    for _ in range(3):
        assert client.error("select late.NEXTVAL")[0] in (1109, 1054)
    client.run("create simple sequence late")
    assert values(client, "late", 2) == [1, 2]


def test_prepared_statements(client: Client) -> None:
    client.run("use customer", CUSTOMER, "create simple sequence s")
    prepared = Prepared(client.session)
    select, many = prepared.prepare("select s.nextval"), prepared.prepare("select nextval(s) from dual where count = ?")
    insert = prepared.prepare("insert into customer (id, uname) values (s.nextval, ?)")
    for value in (1, 2):
        assert prepared.execute(select) == [b"\0\0" + struct.pack("<q", value)]
    assert prepared.execute(many, 3) == [b"\0\0" + struct.pack("<q", value) for value in (3, 4, 5)]
    for value in (6, 7):
        assert prepared.execute(insert, 77)[0][:2] == b"\0\1"
        assert client.rows(f"select uname from customer where id = {value}") == (("77",),)


def test_prepared_selects_of_values_and_other_things(client: Client) -> None:
    client.run("create simple sequence s", "create simple sequence t start with 50", "set @v = 'var'")
    process = client.process
    with mysql.connector.connect(
        host=process.host, port=process.port, user=USER, password=PASSWORD, database="product", use_pure=True,
        collation="utf8mb4_general_ci",
    ) as connection:  # fmt: skip
        cursor: Any = connection.cursor(prepared=True)
        sql = "select s.nextval, %s, nextval(t) as t, concat(%s, 'x') c, s.currval + %s, s.nextval * 2 from dual"
        given = [(7, "a", 1), (None, "é", 2), (datetime(2024, 5, 1, 1, 2), "b" * 300, 3)]
        for number, (one, two, three) in enumerate(given):
            cursor.execute(sql, (one, two, three))
            first = 2 * number + 1
            assert cursor.fetchall() == [(first, one, 50 + number, f"{two}x", first + three, 2 * first + 2)]
            assert cursor.column_names == ("s.nextval", "?", "t", "c", "s.currval + ?", "s.nextval * 2")
        cursor.execute("select s.nextval as s, 'x'")
        assert cursor.fetchall() == [(7, "x")]
        cursor.execute("select connection_id() > 0, s.currval, now() is null")
        assert cursor.fetchall() == [(1, 7, 0)]
    prepared = Prepared(client.session)
    select = prepared.prepare("select s.nextval, @v")
    assert prepared.execute(select) == [b"\0\0" + struct.pack("<q", 8) + b"\3var"]
    client.run("drop sequence s")
    with pytest.raises(pymysql.err.Error, match="4091"):
        prepared.execute(select)


def test_tables_of_type_sequence(client: Client) -> None:
    """As MariaDB lists its own, for those who ask for them (SQLAlchemy)."""
    client.run("use product", "create sequence s", "create simple sequence T", "use customer", "create sequence other")
    asked = "select table_name from information_schema.tables where table_type = 'SEQUENCE'"
    assert client.column(f"{asked} and table_schema = 'product' order by 1") == ["T", "s"]
    assert client.column(f"{asked} and table_schema = database()") == ["other"]
    assert client.column(f"{asked} and table_name = 's' and table_schema = 'customer'") == []
    assert client.column(f"{asked.replace('SEQUENCE', 'BASE TABLE')} and table_schema = 'customer'") == []
    client.run("create sequence AUTO_SEQUENCE")
    assert client.column(f"{asked} and table_schema = 'customer' order by 1") == ["AUTO_SEQUENCE", "other"]
    prepared = Prepared(client.session)
    listed = prepared.prepare(f"{asked} and table_schema = 'product' and engine is not null and table_name = 's'")
    assert prepared.execute(listed) == [b"\0\0\1s"]


def test_prepared_looks_at_definitions(client: Client) -> None:
    """They belong to the keyspace that was in use when they were prepared, as with a server."""
    client.run("create simple sequence s increment by 7", "create sequence t")
    prepared = Prepared(client.session)
    shown, made = prepared.prepare("show sequences like 's%'"), prepared.prepare("show create sequence s")
    listed = prepared.prepare("select name from information_schema.sequences where increment_by = ?")
    client.run("use customer")
    for _ in range(2):
        (row,) = prepared.execute(shown)
        assert b"\x07product\x01s\x011" in row
        assert prepared.execute(listed, 7) == [b"\0\0\x01s"]
        assert prepared.execute(listed, 8) == []
    client.run("use product")
    (row,) = prepared.execute(made)
    assert b"CREATE SIMPLE SEQUENCE `s`" in row
    client.run("drop sequence s")
    assert prepared.execute(shown) == []


def test_vexplain_tells_of_sequences(client: Client) -> None:
    client.run("use customer", CUSTOMER, "create simple sequence s")
    assert client.column("vexplain select s.nextval") == ["next value of sequence customer.s"]
    lines = client.column("vexplain insert into customer values (s.nextval, lastval(s))")
    assert lines[:3] == [
        "next value of sequence customer.s", "last value of sequence customer.s",
        "insert into customer.customer: rows split by shard",
    ]  # fmt: skip
    assert client.column("select s.nextval") == [1], "nothing was asked"


def test_what_is_no_sequence(client: Client) -> None:
    """A server's own are not asked on a sharded keyspace, so there a call can only be of one that is missing."""
    client.run("use customer", CUSTOMER)
    for sql in ("select nextval(nobody)", "select lastval(nobody)", "insert into customer values (nextval(nobody), 1)",
                "set @a = next value for customer.nobody"):  # fmt: skip
        assert client.error(sql) == (4091, "Unknown SEQUENCE: 'customer.nobody'"), sql


@pytest.mark.parametrize("keyspace", ["product", "customer"])
def test_set_and_do(client: Client, keyspace: str) -> None:
    client.run(f"use {keyspace}", "create simple sequence s", "set @a = s.nextval, @b = nextval(s) + 10")
    assert client.rows("select @a, @b") == ((1, 12),)
    client.run("do s.nextval, next value for s", "set @c = s.currval", "do sleep(0)", "/* so */ do 1")
    assert client.rows("select @c, s.nextval") == ((4, 5),)
    assert client.error("set @a = (select s.nextval)")[0] == 1235


@pytest.mark.parametrize("keyspace", ["product", "customer"])
def test_statements_prepared_by_name(client: Client, keyspace: str) -> None:
    client.run("use customer", CUSTOMER, "use product", CUSTOMER, f"use {keyspace}", "create simple sequence s")
    for name, sql in (
        ("one", "select s.nextval"), ("many", "select nextval(s) from dual where count = ?"),
        ("more", "select s.nextval + ?, 1"), ("insertion", "insert into customer values (s.nextval, ?)"),
        ("shown", "show sequences"), ("made", "create simple sequence another start with 7"),
        ("listed", "select name, value from information_schema.sequences where type = ?"),
    ):  # fmt: skip
        client.run(f"prepare {name} from '{sql}'")
    client.run("set @n = 3, @k = 'SIMPLE'")
    assert client.column("execute one") == [1]
    assert client.column("execute one") == [2]
    assert client.column("execute many using @n") == [3, 4, 5]
    assert client.rows("execute more using @n") == ((9, 1),)
    client.run("execute insertion using @k", "execute insertion using @k")
    assert client.rows("select * from customer order by id") == ((7, "SIMPLE"), (8, "SIMPLE"))
    assert [row[1] for row in client.rows("execute shown")] == ["s"]
    client.run("execute made")
    assert client.rows("execute listed using @k") == (("another", "7"), ("s", "9"))
    assert client.error("prepare wrong from 'select s.nextval +'")[0] == 1064
    assert client.error("prepare wrong from 'insert into nowhere values (s.nextval)'")[0] == 1146


def test_what_a_server_would_work_out_for_each_row_is_refused(client: Client) -> None:
    client.run("create table plain (id bigint, nextval int)", "insert into plain values (1, 5)", "create sequence s")
    for sql in (
        "select s.nextval + 1 from plain",
        "select id from plain where id < nextval(s)",
        "update plain set id = s.nextval",
        "insert into plain (id) select nextval(s) + 1 from plain",
        "insert into plain (id) values (1) on duplicate key update id = s.nextval",
        "create table other (id bigint default (nextval(s)))",
        "select s.nextval union select 1",
    ):
        assert client.error(sql)[0] == 1235, sql
    assert client.rows("select s.nextval from plain s") == ((5,),), "that is a column"
    assert client.rows("select 's.nextval', 1 as nextval") == (("s.nextval", 1),)
    client.run("do nextval(s)", "update plain set id = lastval(s)")
    assert client.rows("select id, s.currval from plain") == ((100001, 100001),)


# -- definitions --------------------------------------------------------------------------------------------------


def test_options_that_a_kind_has_not_are_refused(client: Client) -> None:
    for sql, said in (
        ("create sequence s increment by 2", "INCREMENT BY 2"),
        ("create sequence s maxvalue 10", "MAXVALUE 10"),
        ("create sequence s cycle", "CYCLE"),
        ("create group sequence s nocache", "NOCACHE"),
        ("create group sequence s start with 0", "START WITH 0"),
        ("create sequence s unit count 3 index 3", "INDEX 3"),
        ("create sequence s unit count 65537", "UNIT COUNT 65537"),
        ("create sequence s unit count 2 index 0 step 0", "STEP 0"),
        ("create sequence s bits 53", "BITS"),
        ("create simple sequence s cache 10", "CACHE 10"),
        ("create simple sequence s unit count 2", "UNIT"),
        ("create simple sequence s increment by 0", "INCREMENT BY 0"),
        ("create simple sequence s start with 11 maxvalue 10", "START WITH 11"),
        ("create simple with cache sequence s", "WITH CACHE"),
        ("create new sequence s", "SIMPLE"),
        ("create time sequence s start with 1", "START WITH"),
        ("create time sequence s cycle", "CYCLE"),
        ("create time sequence s bits 52", "BITS 52"),
    ):
        errno, message = client.error(sql)
        assert errno == 4085, (sql, message)
        assert said in message, (sql, message)
    assert client.error("create sequence s start with -1")[0] == 1064
    assert client.error("create sequence s start")[0] == 1064
    assert client.rows("show sequences") == ()


def test_what_says_what_is_so_is_no_option(client: Client) -> None:
    client.run("create sequence a increment by 1 minvalue 1 nomaxvalue no cycle cache 1000")
    assert values(client, "a", 1) == [1001]
    client.run("create time sequence b nominvalue nocycle", "create simple sequence c nocache no minvalue")


def test_names(client: Client) -> None:
    client.run("create sequence s")
    assert client.error("create simple sequence S")[0] == 1050
    answer = client.ask("create simple sequence if not exists s")
    assert (answer.error, answer.warnings) == (None, 1)
    assert client.rows("show warnings")[0][:2] == ("Note", 1050)
    client.run("create table plain (id int)")
    assert client.error("create sequence plain")[0] == 1050
    client.run("create simple sequence customer.s", "rename sequence s to t")
    client.run("alter sequence if exists T start with 500000")
    assert client.column("select product.t.nextval") == [600001]
    assert client.column("select customer.s.nextval") == [1]
    client.run("create sequence u")
    assert client.error("rename sequence t to u")[0] == 1050
    assert client.error("rename sequence nobody to v")[0] == 4091
    assert client.error("drop sequence customer.nobody")[0] == 4091
    answer = client.ask("drop sequence if exists customer.nobody, customer.s")
    assert (answer.error, answer.warnings) == (None, 1)
    assert client.error("select customer.s.nextval") is not None
    client.run("drop sequence t, u")
    assert client.rows("show sequences") == ()


def test_alter_never_goes_back_but_by_restart(client: Client) -> None:
    client.run("create sequence g", "create simple sequence s")
    assert values(client, "g", 1) + values(client, "s", 3) == [100001, 1, 2, 3]
    for sql in ("alter sequence g start with 200000", "alter sequence s start with 3"):
        errno, message = client.error(sql)
        assert errno == 4085
        assert "RESTART WITH" in message
    client.run("alter sequence s start with 4 increment by 10", "alter sequence g start with 200001")
    assert values(client, "g", 1) + values(client, "s", 2) == [400001, 4, 14]
    client.run("alter sequence s restart", "alter sequence g restart with 1")
    assert values(client, "g", 1) + values(client, "s", 1) == [100001, 4]
    client.run("alter sequence s restart with 1")
    assert values(client, "s", 1) == [1]


def test_change_to_another_kind(client: Client) -> None:
    client.run("create sequence s", "create sequence unit unit count 2 index 1")
    assert values(client, "s", 1) == [100001]
    assert client.error("alter sequence s change to simple start with 5")[0] == 4085
    client.run("alter sequence s change to simple")
    assert values(client, "s", 2) == [200001, 200002]
    client.run("alter sequence s change to group start with 300000")
    assert values(client, "s", 1) == [400001]
    assert client.error("alter sequence s change to time start with 5")[0] == 4085
    client.run("alter sequence s change to time")
    assert values(client, "s", 1)[0] > 2**58
    assert client.error("alter sequence s change to simple")[0] == 4085
    assert client.error("alter sequence unit change to simple start with 10000000")[0] == 4085


def test_shown_as_polardb_x_shows_them(client: Client) -> None:
    client.run(
        "create sequence g", "create sequence u unit count 3 index 1",
        "create simple sequence s start with 1000 increment by 2", "create time sequence t",
        "create sequence customer.c",
        "select g.nextval", "select u.nextval", "select s.nextval", "select s.nextval", "select s.nextval",
    )  # fmt: skip
    answer = client.ask("show sequences")
    assert [column[0] for column in answer.columns] == [
        "SCHEMA_NAME", "NAME", "VALUE", "UNIT_COUNT", "UNIT_INDEX", "INNER_STEP", "INCREMENT_BY", "START_WITH",
        "MAX_VALUE", "CYCLE", "TYPE", "PHY_SEQ_NAME",
    ]  # fmt: skip
    na = "N/A"
    assert answer.rows == (
        ("product", "g", "100000", "1", "0", "100000", na, na, na, na, "GROUP", na),
        ("product", "s", "1006", na, na, na, "2", "1000", "9223372036854775807", "N", "SIMPLE", na),
        ("product", "t", na, na, na, na, na, na, na, na, "TIME", na),
        ("product", "u", "400000", "3", "1", "100000", na, na, na, na, "GROUP", na),
    )
    assert [row[1] for row in client.rows("show sequences where type = 'GROUP' or name = 't' order by name desc")] == [
        "u", "t", "g"
    ]  # fmt: skip
    assert [row[1] for row in client.rows("show sequences from customer like 'c%'")] == ["c"]
    seen = "select schema_name, name from information_schema.sequences where type = 'GROUP' order by name limit 2"
    assert client.rows(seen) == (("customer", "c"), ("product", "g"))
    assert client.rows("SELECT count(*) FROM INFORMATION_SCHEMA.SEQUENCES x WHERE x.TYPE <> 'TIME'") == ((4,),)
    made = "START WITH 1000 INCREMENT BY 2 MINVALUE 1000 MAXVALUE 9223372036854775807 NOCYCLE"
    assert client.rows("show create sequence s") == (("s", f"CREATE SIMPLE SEQUENCE `s` {made}"),)
    for name in "gut":
        [[_, made]] = client.rows(f"show create sequence {name}")
        client.run(f"drop sequence {name}", made)
        assert client.rows(f"show create sequence {name}") == ((name, made),)


def test_a_servers_own_sequences_stay_within_reach(client: Client, fresh: Cluster) -> None:
    if fresh.flavour is not Flavour.MARIADB:
        assert client.error("drop sequence native")[0] == 4091
        return
    client.run("use `product:-`", "create sequence native start with 7", "use product")
    assert client.rows("select nextval(native)") == ((7,),)
    assert client.rows("show create sequence native")[0][0] == "native"
    assert client.error("create sequence native")[0] == 1050
    client.run("drop sequence native")


def test_without_a_place_for_them(fresh: Cluster, start_vgate: StartVgate) -> None:
    two = VSCHEMA.replace("\n  customer:", "\n  spare: {sharded: false, shards: ['-']}\n  customer:")
    process = start_vgate(two)
    with closing(process.connect("customer", ssl_disabled=True)) as session:
        error = ask(session, "create sequence s").error
        assert error is not None
        assert "metadata_keyspace" in error[1]
        assert ask(session, "select 1").rows == ((1,),)
    named = start_vgate("metadata_keyspace: spare" + two)
    with closing(named.connect("customer", ssl_disabled=True)) as session:
        assert ask(session, "create sequence s").error is None
        assert ask(session, "select s.nextval").rows == ((100001,),)
    assert fresh["product/-"].query("select name from `spare_-`.vgate_sequence") == (("s",),)


def test_a_sequence_of_the_vschema_may_be_of_any_kind(fresh: Cluster, start_vgate: StartVgate) -> None:
    bound = VSCHEMA.replace("{plain: {}}", "{ids: {type: sequence}}").replace(
        "name: hash}]}", "name: hash}], auto_increment: {column: id, sequence: product.ids}}"
    )
    process = start_vgate(bound)
    with closing(process.connect("customer", ssl_disabled=True)) as session:
        client = Client(process, session)
        client.run(CUSTOMER, "create simple sequence product.ids start with 5")
        assert client.ask("insert into customer (uname) values ('a'), ('b')").insert_id == 5
        client.run("alter sequence product.ids change to time")
        client.run("insert into customer (uname) values " + ", ".join(["('t')"] * 5000))
        assert len(set(client.column("select id from customer where id > 1000000"))) == 5000
        client.run("drop sequence product.ids")
        assert client.error("insert into customer (uname) values ('c')")[0] == 1146
        client.run(
            "create table product.ids (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'",
            "insert into product.ids values (0, 100, 10)",
        )
        assert client.ask("insert into customer (uname) values ('d')").insert_id == 100
        assert client.column("select product.ids.nextval") == [101]
        assert client.error("create sequence product.ids")[0] == 1050


def test_a_sequence_of_the_vschema_may_be_a_named_row(fresh: Cluster, start_vgate: StartVgate) -> None:
    """One table for all, ``id`` is the last value used: others may count in it by hand."""
    process = start_vgate(VSCHEMA.replace("{plain: {}}", "{user_id: {type: sequence}, other: {type: sequence}}"))
    with closing(process.connect("product", ssl_disabled=True)) as session:
        client = Client(process, session)
        assert client.error("select next value from user_id")[0] == 1146
        client.run(
            "create table vt_sequence (name varchar(64) not null, id bigint unsigned not null, primary key (name))",
            "insert into vt_sequence (name, id) values ('user_id', 0)",
        )
        assert client.column("select next value from user_id") == [1]
        assert client.column("select next 5 values from user_id") == [2]
        assert client.column("select id from vt_sequence") == [6]
        client.run("update vt_sequence set id = id + 1 where name = 'user_id'")
        assert client.column("select user_id.NEXTVAL from dual where count = 2") == [8, 9]
        assert client.error("select next value from other")[0] == 1146
        assert client.rows("select * from vt_sequence") == (("user_id", 9),)


def test_another_vgate_lets_go_before_a_restart_is_answered(client: Client, start_vgate: StartVgate) -> None:
    other = start_vgate(VSCHEMA)
    client.run("create sequence s step 1000")
    with closing(other.connect("product", ssl_disabled=True)) as session:
        theirs = Client(other, session)
        assert values(client, "s", 2) + values(theirs, "s", 2) == [1001, 1002, 2001, 2002]
        client.run("alter sequence s restart with 1")
        assert values(theirs, "s", 2) + values(client, "s", 2) == [1001, 1002, 2001, 2002]
        client.run("drop sequence s", "create simple sequence s")
        assert values(theirs, "s", 2) + values(client, "s", 2) == [1, 2, 3, 4]


def test_users_who_may_not(fresh: Cluster, start_vgate: StartVgate) -> None:
    config = yaml.safe_dump({"users": {
        USER: {"password": PASSWORD}, "reader": {"password": "r", "read_only": True},
        "guest": {"password": "g", "keyspaces": ["customer"]},
    }})  # fmt: skip
    process = start_vgate(VSCHEMA, config)
    with closing(process.connect("product", ssl_disabled=True)) as session:
        Client(process, session).run("create sequence s", "create sequence customer.s")
    with closing(process.connect("product", ssl_disabled=True, user="reader", password="r")) as session:
        reader = Client(process, session)
        for sql in ("select s.nextval", "create sequence t", "drop sequence s", "alter sequence s restart"):
            assert reader.error(sql)[0] == 1142, sql
        assert len(reader.rows("show sequences")) == 1
    with closing(process.connect("customer", ssl_disabled=True, user="guest", password="g")) as session:
        guest = Client(process, session)
        assert guest.rows("select s.nextval") == ((100001,),)
        for sql in ("select product.s.nextval", "drop sequence product.s", "show sequences from product"):
            assert guest.error(sql)[0] == 1044, sql
        assert guest.rows("select schema_name from information_schema.sequences") == (("customer",),)


def test_a_sequence_of_any_kind_is_bound_without_a_table(client: Client) -> None:
    """The VSchema has to name it, and says how; what it does not need is not made, nor missed."""
    add = "alter vschema on customer.customer add auto_increment id using product.ids"
    client.run("use customer", CUSTOMER, "create simple sequence product.ids")
    assert "alter vschema add sequence product.ids" in client.error(add)[1]
    client.run("alter vschema add sequence product.ids", add, "insert into customer (uname) values ('a')")
    client.run("create table product.vt_sequence (name varchar(64) primary key, id bigint unsigned not null)")
    client.run("insert into product.vt_sequence values ('named', 0)", "alter vschema add sequence product.lost")
    assert client.column("select id from customer") == [1]
    assert [name for name in client.column("show tables from product") if not name.startswith("v")] == ["lost"]
    client.run("drop table product.lost")
    path = client.process.directory / "vschema.yaml"
    path.write_text(path.read_text().replace("lost:", "named: {type: sequence}\n      lost:"))
    check = [str(Path(sys.executable).with_name("vgate")), "check", "--vschema", str(path), "--live"]
    found = subprocess.run(check, capture_output=True, text=True, check=False, cwd=REPOSITORY).stdout
    assert [line.split(":")[0] for line in found.splitlines() if ": fault:" in line] == ["product.lost"], found
