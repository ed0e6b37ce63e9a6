"""Looking around: keyspaces appear as databases under their own names, each table once, and nothing else is there.

Compared with one server that has databases of those names; in ``renamed`` the servers call them otherwise. It does not
know what SHOW prints of single tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime

import pytest
from pymysql.constants import COMMAND

from tests.fix_oracle import Answer, Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import USER, StartVgate, VgateProcess
from tests.integration.asking import Connection, Later, number_of, until

RENAMED = """
keyspaces:
  OTHER: {shards: ["-"], tables: {}}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      customer: {column_vindexes: [{column: customer_id, name: hash}]}
      line: {column_vindexes: [{column: customer_id, name: hash}]}
    shards: ["-40", "40-"]
"""
DEFINED = """
use customer
create table customer (customer_id bigint primary key, uname varchar(50) comment 'the name', n int default 7, key k (n))
create table line (customer_id bigint, line int, primary key (customer_id, line), \
constraint fk foreign key (customer_id) references customer (customer_id))
use OTHER
create table product (id int primary key auto_increment, name varchar(20) not null, unique key u (name))
create view v as select id from product
"""


@pytest.fixture(params=["product", "shop"])
def other(request: pytest.FixtureRequest) -> str:
    """The unsharded keyspace. With ``shop`` all databases have other names than their keyspaces."""
    return str(request.param)


@pytest.fixture
def both(other: str, cluster: Cluster, start_vgate: StartVgate) -> Iterator[Oracle]:
    """Two keyspaces with tables."""
    cluster.clear()
    if other == "shop":
        cluster.plain.query("drop database product")
        cluster.plain.query("create database shop")
    text = RENAMED if other == "shop" else RENAMED.replace("40", "80")
    vgate: VgateProcess = start_vgate(text.replace("OTHER", other))
    with (
        closing(vgate.connect("customer", ssl_disabled=True)) as mine,
        closing(cluster.plain.connect("customer", ssl_disabled=True)) as theirs,
    ):
        oracle = Oracle(mine, theirs, cluster, vgate)
        for statement in DEFINED.replace("OTHER", other).strip().replace("\\\n", "").splitlines():
            oracle.both(statement, ignore=["info"])
        yield oracle


OURS = "in ('customer', 'OTHER')"
QUERIES = f"""
select schema_name from information_schema.schemata where schema_name {OURS}
select schema_name, default_character_set_name from information_schema.schemata where schema_name not in \
('mysql', 'sys', 'performance_schema')
select table_schema, table_name, table_type, engine from information_schema.tables where table_schema {OURS}
select table_schema, table_name from information_schema.tables where table_schema = 'customer'
select table_schema, table_name from information_schema.tables where table_schema = database()
select table_name from information_schema.tables where table_schema like 'cust%'
select table_name from information_schema.tables where table_name in ('customer', 'product', 'line')
select t.table_name from information_schema.`TABLES` as t where t.table_schema = 'OTHER' and t.table_type = 'VIEW'
select `information_schema`.`tables`.`TABLE_NAME` from information_schema.tables where table_schema = 'customer'
select `information_schema`.`tables`.`TABLE_NAME`, tables.engine from information_schema.tables \
where table_name = 'line'
select table_name, column_name, ordinal_position, column_default, is_nullable, data_type, column_type, column_key, \
extra, column_comment, character_maximum_length from information_schema.columns where table_schema {OURS}
select count(*) from information_schema.columns where table_schema = schema() and table_name = 'customer'
select table_schema, index_name, non_unique, seq_in_index, column_name from information_schema.statistics where \
table_schema {OURS}
select constraint_schema, table_name, column_name, referenced_table_schema, referenced_table_name, \
referenced_column_name from information_schema.key_column_usage where table_schema {OURS}
select constraint_schema, constraint_name, unique_constraint_schema, referenced_table_name from \
information_schema.referential_constraints where constraint_schema {OURS}
select table_schema, constraint_name, constraint_type from information_schema.table_constraints where \
table_schema {OURS}
select table_schema, table_name from information_schema.views where table_schema {OURS}
select k.table_name from information_schema.key_column_usage k join information_schema.referential_constraints r on \
r.constraint_schema = k.constraint_schema and r.constraint_name = k.constraint_name where k.table_schema = 'customer'
select table_schema, count(*) from information_schema.tables where table_schema {OURS} group by table_schema
select (select count(*) from information_schema.tables where table_schema = 'customer') + 0 as c, (select count(*) \
from information_schema.tables where table_schema = 'OTHER') as p
select s.schema_name, t.table_name from information_schema.schemata s left join information_schema.tables t on \
t.table_schema = s.schema_name where s.schema_name {OURS} order by s.schema_name, t.table_name
select table_name from information_schema.tables where not table_schema in ('mysql', 'sys', 'performance_schema', \
'information_schema', 'OTHER')
select table_schema from information_schema.tables where table_name = 'customer' union select 'x'
with t as (select table_name from information_schema.tables where table_schema = 'OTHER') select * from t
select create_time is not null, table_rows is null from information_schema.tables where table_schema {OURS} and \
table_type = 'BASE TABLE'
select character_set_name from information_schema.character_sets where character_set_name = 'utf8mb4'
"""


@pytest.mark.parametrize("keyspace", ["customer", "OTHER"])
def test_information_schema(both: Oracle, other: str, keyspace: str) -> None:
    both.both(f"use {keyspace.replace('OTHER', other)}")
    for sql in QUERIES.strip().replace("\\\n", "").replace("OTHER", other).splitlines():
        mine, theirs = ask(both.vgate, sql).sorted(), ask(both.plain, sql).sorted()
        assert mine.error is None, (sql, mine.error)
        assert mine.rows == theirs.rows, sql
        assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns], sql


def test_nothing_else_is_there(both: Oracle, other: str) -> None:
    for sql in ("select schema_name from information_schema.schemata", "show databases",
                "select distinct table_schema from information_schema.tables"):  # fmt: skip
        found = {row[0] for row in ask(both.vgate, sql).rows}
        assert found == {"information_schema", "customer", other}, sql


def test_without_a_keyspace(both: Oracle, other: str) -> None:
    with closing(both.process.connect(ssl_disabled=True)) as connection:
        found = ask(connection, "select table_schema, table_name from information_schema.tables").rows
        assert {row for row in found if row[0] != "information_schema"} == {
            ("customer", "customer"), ("customer", "line"), (other, "product"), (other, "v"),
        }  # fmt: skip


SHOWS = """
show tables
show full tables
show tables like '%o%'
show tables from customer
show full tables from OTHER where table_type = 'VIEW'
show columns from OTHER.product
show index from customer.line
show keys from line from customer
show create table customer.customer
describe customer.customer uname
show triggers from customer
show table status from customer like 'nosuch%'
show open tables from nosuch
show collation like 'utf8mb4_bin'
show character set like 'latin1'
show variables like 'sql_mode'
show engines
"""


def test_shows(both: Oracle, other: str) -> None:
    for keyspace in ("customer", other):
        both.both(f"use {keyspace}")
        for sql in SHOWS.strip().replace("OTHER", other).splitlines():
            mine, theirs = ask(both.vgate, sql), ask(both.plain, sql)
            assert (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), (sql, mine.error)
            assert mine.rows == theirs.rows, sql
            assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns], sql


def test_show_databases_like_and_where(both: Oracle, other: str) -> None:
    for sql in ("show databases like 'c%'", "show schemas like 'information%'",
                "show databases where `Database` in ('customer', 'OTHER')",
                "show databases where `Database` = 'OTHER' or `Database` = 'customer'"):  # fmt: skip
        sql = sql.replace("OTHER", other)
        mine, theirs = ask(both.vgate, sql), ask(both.plain, sql)
        assert mine.error is None, (sql, mine.error)
        assert sorted(mine.rows) == sorted(theirs.rows), sql
        assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns], sql


# -- the process list -----------------------------------------------------------------------------------------------


def test_the_process_list_has_vgates_clients(both: Oracle, other: str) -> None:
    both.both("use customer")
    number = number_of(both.vgate)
    with closing(both.process.connect(other, ssl_disabled=True)) as second:
        there = number_of(second)
        slow = Later(second, "select sleep(60) as zzz")
        listed = "select id, user, db, command, info from information_schema.processlist where id in (%d, %d)"
        wanted = "select id from information_schema.processlist where command = 'Query' and info like '%as zzz'"
        until(lambda: ask(both.vgate, wanted).rows == ((there,),), "the statement is not listed")
        rows = {row[0]: row[1:] for row in ask(both.vgate, listed % (number, there)).rows}
        assert rows[there] == (USER, other, "Query", "select sleep(60) as zzz")
        assert rows[number][:3] == (USER, "customer", "Query")
        shown = ask(both.vgate, "show full processlist")
        assert [column[0] for column in shown.columns][:8] == [
            "Id", "User", "Host", "db", "Command", "Time", "State", "Info",
        ]  # fmt: skip
        theirs = ask(both.plain, "show full processlist")
        assert [column[0] for column in shown.columns] == [column[0] for column in theirs.columns]
        assert {row[0] for row in shown.rows} == {number, there}
        assert [row[5] >= 0 for row in shown.rows if row[4] == "Query"] == [True, True]
        assert ask(both.vgate, f"kill query {there}").error is None
        slow.result()
        sleeps = f"select id from information_schema.processlist where command = 'Sleep' and id = {there}"
        until(lambda: ask(both.vgate, sleeps).rows, "it is still busy")


def test_how_long_a_relayed_statement_has_been_running(both: Oracle) -> None:
    """One that the fast path has sent on: its server knows."""
    with closing(both.process.connect("customer", ssl_disabled=True)) as second:
        ask(second, "insert into customer (customer_id) values (1)")
        text = "select sleep(n) from customer where customer_id = 1"
        ask(second, text.replace("sleep(n)", "sleep(0)"))
        there = number_of(second)
        ask(second, text.replace("(n)", "(0.01)"))
        slow = Later(second, text.replace("(n)", "(61)"))
        sql = f"select time from information_schema.processlist where id = {there} and command = 'Query'"
        until(lambda: [row for row in ask(both.vgate, sql).rows if (row[0] or 0) >= 1], "no time passes")
        ask(both.vgate, f"kill query {there}")
        slow.result()


# -- information_schema as the database in use ------------------------------------------------------------------------

WITHIN = """
select database()
select database(), 1
show tables
show full tables like 'TABLES'
select table_name from tables where table_schema = 'customer'
select t.table_name, c.column_name from tables t join columns as c on c.table_name = t.table_name and c.table_schema = \
t.table_schema where t.table_schema = 'customer' and c.ordinal_position = 1
select t.table_name from tables t, columns c where c.table_schema = 'customer' and t.table_schema = c.table_schema and \
t.table_name = c.table_name and c.column_name = 'uname'
select table_name from (select table_name from `TABLES` where table_schema = 'customer') x where table_name in (select \
table_name from columns where table_schema = 'customer')
select extract(year from '2024-01-01') as y, count(*) from tables where table_schema = 'customer'
select table_name from information_schema.tables where table_schema = 'customer'
select customer_id from customer.customer where customer_id = 1
describe character_sets
show columns from schemata like 'schema_name'
show create table customer.line
select * from nosuch
select 1
insert into customer.customer (customer_id) values (77)
select character_set_name from character_sets where character_set_name = 'latin1'
"""


@pytest.mark.parametrize("how", ["login", "use"])
def test_information_schema_is_a_database(both: Oracle, other: str, how: str) -> None:
    database = "information_schema" if how == "login" else None
    with (
        closing(both.process.connect(database, ssl_disabled=True)) as mine,
        closing(both.cluster.plain.connect(database, ssl_disabled=True)) as theirs,
    ):
        within = Oracle(mine, theirs, both.cluster, both.process)
        if how == "use":
            within.both("use INFORMATION_SCHEMA" if other == "shop" else "use information_schema")
        for sql in WITHIN.strip().replace("\\\n", "").splitlines():
            one, another = ask(mine, sql).sorted(), ask(theirs, sql).sorted()
            assert (one.error and one.error[0]) == (another.error and another.error[0]), (sql, one.error, another.error)
            assert [column[0] for column in one.columns] == [column[0] for column in another.columns], sql
            assert one.rows == another.rows, sql
        within.both(f"use {other}")
        within.both("select id from product")


HEADINGS = """
select * from information_schema.tables where table_name = 'customer'
select * from information_schema.columns where table_schema = 'OTHER' order by ordinal_position
select t.table_name, Table_Schema, t.* from information_schema.tables t where table_name = 'line' order by table_name
select distinct `table_name`, count(*) from information_schema.columns group by table_name, table_schema, engine
select distinct `table_name`, count(*) from information_schema.columns group by table_name, table_schema
select concat(table_name, table_schema, table_type), table_name x, (select max(table_name) from \
information_schema.tables) m from information_schema.tables where engine = 'InnoDB' and table_schema = 'OTHER'
select table_name from information_schema.tables where table_name in (select table_name from \
information_schema.columns where column_name = 'uname') union select Table_Name from information_schema.views
"""


def test_columns_of_information_schema_have_their_names(both: Oracle, other: str) -> None:
    """As a client finds them that reads rows by names; MariaDB has them as they were asked for."""
    for sql in HEADINGS.replace("OTHER", other).strip().replace("\\\n", "").splitlines():
        mine, theirs = ask(both.vgate, sql), ask(both.plain, sql)
        assert [column[0] for column in mine.columns] == [column[0] for column in theirs.columns], sql
        assert (mine.error or (0,))[0] == (theirs.error or (0,))[0], sql


DATABASES = """
create database customer
create schema OTHER
create database if not exists customer
create database if not exists `OTHER` character set utf8mb4
create database if not exists mysql
drop database nowhere
drop database if exists nowhere
drop schema if exists `no where`
begin; insert into OTHER.product (name) values ('x'); create database customer; rollback; select name from OTHER.product
delete from OTHER.product
"""


def test_databases_that_are_there_or_not(both: Oracle, other: str) -> None:
    for keyspace in ("customer", other):
        both.both(f"use {keyspace}")
        for statement in DATABASES.replace("OTHER", other).strip().replace("; ", "\n").splitlines():
            mine, theirs = ask(both.vgate, statement), ask(both.plain, statement)
            assert (mine.error, mine.rows, mine.affected, mine.warnings, mine.status & 1) == (
                theirs.error, theirs.rows, theirs.affected, theirs.warnings, theirs.status & 1), statement  # fmt: skip
            both.both("show warnings", ordered=True)


def test_no_database_is_made_or_dropped(both: Oracle, other: str) -> None:
    """It would be one that no client sees, or another keyspace's."""
    before = {server.name: server.query("show databases") for server in both.cluster.servers}
    for keyspace in ("customer", other):
        ask(both.vgate, f"use {keyspace}")
        both.refused("create database elsewhere", "CREATE DATABASE elsewhere")
        both.refused("create database if not exists elsewhere charset utf8mb4", "CREATE DATABASE elsewhere")
        both.refused("create schema elsewhere", "CREATE DATABASE elsewhere")
        both.refused(f"drop database {other}", f"DROP DATABASE {other}")
        both.refused("drop database if exists customer", "DROP DATABASE customer")
        assert ask(both.vgate, "drop database `shop_-`").error == (
            1008, "Can't drop database 'shop_-'; database doesn't exist")  # fmt: skip
    assert before == {server.name: server.query("show databases") for server in both.cluster.servers}


def test_who_aims_at_a_shard_makes_databases_by_hand(both: Oracle, other: str) -> None:
    ask(both.vgate, f"use `{other}:-`")
    assert ask(both.vgate, "create database elsewhere").error is None
    assert any(("elsewhere",) in server.query("show databases") for server in both.cluster.servers)
    assert ask(both.vgate, "drop database elsewhere").error is None
    assert not any(("elsewhere",) in server.query("show databases") for server in both.cluster.servers)


SAID = """
select * from nope
select * from KS.nope
select KS.TABLE.nope from TABLE
select nofunc(1)
drop view nope
drop table nope, KS.nope2
drop table if exists nope, KS.nope2; show warnings
alter table nope add x int
truncate nope
rename table nope to nope2
insert into nope values (1)
update nope set a = 1
delete from nope
describe nope
show create table nope
show columns from nope
show index from KS.nope
show create view TABLE
create table if not exists TABLE (n int); show warnings
explain select * from TABLE; show warnings
show create database KS
show create schema if not exists KS
show tables where tables_in_KS = 'TABLE'
show full tables where `Tables_in_KS` like 'TABLE'
show tables from KS where tables_in_KS <> 'TABLE'
"""
SAID_UNSHARDED = """
call nope()
call KS.nope(1)
drop procedure nope
drop procedure if exists KS.nope; show warnings
insert into product (id, name) values (1, 'KS.x'); insert into product (id, name) values (2, 'KS.x')
insert into c values (1, 77)
truncate product
checksum table TABLE
checksum table KS.TABLE, nope; show warnings
check table TABLE, KS.nope
analyze table nope
optimize table TABLE
repair table nope
show procedure status where db = 'KS'
show procedure status where Db = "KS" and name like 'p%'
show function status where db = 'KS'
show procedure status like 'p1'
show events where db = 'KS'
show events
show open tables from KS like 'c'
call p1()
select table_name, view_definition from information_schema.views where table_schema = 'KS'
select KS.f1(1)
create trigger tr1 before insert on product for each row set new.id = 1
insert into c values (1, 1); delete from product
"""


def test_maintenance_where_databases_are_called_otherwise(both: Oracle) -> None:
    """The shards' own names are not told."""
    ask(both.plain, "use customer")
    ask(both.vgate, "use customer")
    for sql in ("check table customer, nope", "checksum table customer", "analyze table customer"):
        assert ask(both.vgate, sql).rows == ask(both.plain, sql).rows


def test_keyspaces_are_spoken_of_by_their_names(both: Oracle, other: str) -> None:
    """In errors, in warnings and in rows, whatever their databases are called."""
    ask(both.vgate, f"use {other}")
    ask(both.plain, f"use {other}")
    for sql in ("create table c (id int primary key, p int, constraint fc foreign key (p) references product (id))",
                "create procedure p1(x int) select x", "create function f1(x int) returns int deterministic return x",
                "create event e1 on schedule every 1 day starts '2030-01-01' do set @x = 1",
                "create trigger tr1 before insert on c for each row set new.id = new.id"):  # fmt: skip
        both.both(sql)
    for keyspace, table in ((other, "product"), ("customer", "customer")):
        both.both(f"use {keyspace}")
        for sql in (SAID + SAID_UNSHARDED * (keyspace == other)).strip().replace("; ", "\n").splitlines():
            statement = sql.replace("KS", keyspace).replace("TABLE", table)
            mine, theirs = ask(both.vgate, statement), ask(both.plain, statement)
            if mine.error is not None and (mine.error[0] == 1235 or "vschema" in mine.error[1]):
                continue  # vgate says itself what it does not know
            assert (mine.error, [column[0] for column in mine.columns]) == (
                theirs.error, [column[0] for column in theirs.columns]), statement  # fmt: skip
            mine, theirs = _at_no_time(mine), _at_no_time(theirs)
            assert mine.rows == theirs.rows, statement


def _at_no_time(answer: Answer) -> Answer:
    """Without when something was made, or by whom."""
    rows = tuple(
        tuple(cell for cell in row if not isinstance(cell, datetime) and "@" not in str(cell)) for row in answer.rows
    )
    return replace(answer, rows=rows).sorted()


def test_fields_are_those_of_the_keyspace(both: Oracle, other: str) -> None:
    """COM_FIELD_LIST names the schema, too."""
    for keyspace, table in ((other, "product"), ("customer", "customer"), (other, "nope")):
        both.both(f"use {keyspace}")
        assert fields(both.vgate, table) == fields(both.plain, table)


def fields(connection: Connection, table: str) -> list[bytes]:
    """The packets of the answer, to its end."""
    connection._execute_command(COMMAND.COM_FIELD_LIST, table.encode() + b"\0")
    packets: list[bytes] = []
    while not packets or packets[-1][0] not in (0xFE, 0xFF):
        header = connection._read_bytes(4)
        packets.append(connection._read_bytes(int.from_bytes(header[:3], "little")))
    return packets[:-1] if packets[-1][0] == 0xFE else packets
