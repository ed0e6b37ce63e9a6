"""Warnings, errors, and what a client asks of the statement before, in keyspaces of one shard and of several.

Scripts that the oracle compares statement by statement. This module does not know what is right: one server does.
"""

from __future__ import annotations

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import run, scripts
from tests.integration.comparing import query
from tests.integration.raw import Raw

SETTINGS = """
set sql_mode = 'NO_ZERO_DATE'; show warnings; select @@warning_count; show count(*) warnings; select 1; show warnings
set names utf8; show warnings; set names utf8mb4; show warnings
set character_set_client = utf8mb3; show warnings; select 1; set names utf8mb4
set max_sort_length = 1; show warnings; set max_sort_length = 1024; show warnings
set @a = 1, max_sort_length = 1; show warnings; set max_sort_length = 1024
set autocommit = 0, max_sort_length = 1; show warnings; set autocommit = 1, max_sort_length = 1024
set @a = 1/0; show warnings; set @a = cast('x' as signed); show warnings; set @a = 1; show warnings
set sql_mode = 'nosuch'; show warnings; show errors; set @a = 1; show warnings
select cast('x' as signed); set @a = 1; show warnings; set autocommit = 1; show warnings; set @a = 2; show warnings
"""


@pytest.mark.parametrize("script", scripts(SETTINGS))
@pytest.mark.parametrize("keyspace", ["customer", "product"])
def test_set_warns_as_on_one_server(stocked: Oracle, keyspace: str, script: str) -> None:
    run(stocked, f"use {keyspace}; {script}")

KEPT = """
/* a comment */
-- a comment
select 1 from dual; select extract(year from now()); select trim(both 'x' from 'xx')
select * from (select 1) t
select * from customer
explain select 1; explain select 1 from dual
explain select * from customer
show databases
show databases like 'zzz'
show schemas
show tables like 'zzz'
show columns from customer like 'zzz'
show create table customer
show variables like 'zzz'
show engines
show grants; show privileges; show profiles; show engine innodb status
show create database mysql
help 'select'
unlock tables
flush status; flush tables
xa recover
prepare s from 'select 1'; execute s; deallocate prepare s
prepare s from 'set @x = 1'; execute s
prepare s from 'select * from customer'; execute s
set global max_connections = @@max_connections; set autocommit = 1; set @q = 1
use product; begin; savepoint a; rollback to a; commit; rollback
"""


@pytest.mark.parametrize("script", scripts(KEPT))
@pytest.mark.parametrize("keyspace", ["customer", "product"])
@pytest.mark.parametrize("ask", ["show warnings", "select row_count()", "select @@warning_count"])
def test_what_leaves_warnings_as_they_were(stocked: Oracle, keyspace: str, ask: str, script: str) -> None:
    """To MariaDB that is what opens no table at all, to MySQL hardly anything."""
    if keyspace == "product":
        script = script.replace("customer", "product")
    refused = False
    stocked.both(f"use {keyspace}")
    stocked.both("select cast('x' as signed)")
    for statement in script.split("; "):
        error = stocked.only_vgate(statement).error
        refused |= error is not None and error[0] == 1235
        stocked.only_plain(statement)
    if not refused:
        stocked.both(ask)


COMMANDS = {"ping": b"\x0e", "reset": b"\x1f", "use": b"\x02product",
            "prepare values": b"\x16select 1", "prepare": b"\x16select * from customer"}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("before", ["select cast('x' as signed)", "update customer set n = 5", "select nosuch"])
def test_what_commands_leave(stocked: Oracle, before: str, command: bytes) -> None:
    sides = [Raw(stocked.vgate), Raw(stocked.plain)]
    for question in ("select row_count()", "show warnings", "select @@warning_count"):
        answers = []
        for side in sides:
            query(side, "use customer")
            query(side, before)
            side.ask(command)
            answers.append([one.rows for one in query(side, question)])
        assert answers[0] == answers[1], question


NOT_ROLLED_BACK = """
begin; insert into plain values (1); rollback; show warnings; select 1; show warnings
begin; insert into plain values (1); savepoint a; insert into plain values (2); rollback to a; show warnings; rollback
begin; delete from plain; rollback and chain; select @@warning_count; rollback; show warnings
begin; insert into plain values (1); commit; show warnings
begin; select * from plain; rollback; show warnings
begin; create temporary table t (a int); rollback; show warnings; drop temporary table t
select cast('x' as signed); begin; rollback; show warnings
"""


@pytest.mark.parametrize("script", scripts(NOT_ROLLED_BACK))
def test_a_rollback_warns_of_what_it_could_not_take_back(stocked: Oracle, script: str) -> None:
    run(stocked, "use product; create table plain (a int) engine = MyISAM; insert into plain values (5)")
    run(stocked, script)


ROWS = """
insert into notes values (9, 'a', 1), (4, 'a', 1), (11, 'x', 2), (1, 'z', 1); show warnings
insert into notes values (9, 'a', 1), (1, 'a', 1), (11, 'x', 2), (4, 'z', 1); show warnings
insert into notes values (9, 'a', 1), (13, 'a', 1), (14, 'a', 1), (11, 'x', 2), (6, 'x', 3), (2, 'z', 1), (15, 'z', 'q')
insert into notes values (9, 'a', 1), (13, 'a', 1), (4, 'a', 1), (11, 'x', 2), (14, 'x', 3), (2, 'z', 1), (15, 'z', 'q')
insert into notes values (9, 'a', 1), (10, null, 1), (11, 'z', 'zz'); show warnings
insert into notes values (9, 'a', 1), (11, 'z', 'zz'), (10, null, 1); show warnings
begin; update notes set n = 5 where id = 1; insert into notes values (9, 'a', 1), (6, 'x', 3), (2, 'z', 1);\
select * from notes; commit; select * from notes
set sql_mode = ''; insert into notes values (10, null, 1), (11, null, 'x'), (12, 'x', 1); show warnings
set sql_mode = ''; insert into notes values (9, null, 1), (4, 'x', 1)
set sql_mode = ''; insert into notes values (10, null, 1), (11, 'a', 1), (9, 'x', 1), (2, 'x', 1), (4, 'x', 1)
set sql_mode = ''; insert into notes (name, n, id) values (null, 1, 10) /* ) */, (concat(null), 1, 11), ('x', 1, 9)\
 on duplicate key update n = values(n) + 1; show warnings
set sql_mode = ''; replace into notes (name, n, id) values (null, 1, 10), ('a', 1, 11), ('x', 1, 9); show warnings
set sql_mode = ''; insert into notes (id, name, n) values (10, null, 1); show warnings
set sql_mode = ''; update notes set name = null; show warnings
set sql_mode = ''; update notes set name = null where id in (1, 4); show warnings
"""


@pytest.mark.parametrize("script", scripts(ROWS))
def test_rows_fail_and_warn_in_the_order_of_the_statement(stocked: Oracle, script: str) -> None:
    table = "create table notes (id bigint primary key, name varchar(9) not null, n int)"
    ask(stocked.vgate, "alter vschema on customer.notes add vindex hash(id) using hash")
    run(stocked, f"{table}; insert into notes values (1, 'one', 1), (2, 'two', 2), (4, 'four', 4), (6, 'six', 6)")
    run(stocked, script)
    run(stocked, "select * from notes; drop table notes")

VALUES_ALONE = """
do 1; select row_count(); show warnings; do 1, sleep(0), 'x'; do (select 1); do exists(select 1); do benchmark(1, 1)
do cast('x' as signed); show warnings; do 1; show warnings
do last_insert_id(7); select last_insert_id(); do row_count(), connection_id(), user(), database()
do 1 as x; do nosuch; do 1 +; do; do 1 into @x
begin; do 1; commit; set autocommit = 0; do 1; set autocommit = 1
do @a := 5; select @a
select row_count() + 1, 2
"""


@pytest.mark.parametrize("script", scripts(VALUES_ALONE))
@pytest.mark.parametrize("keyspace", ["customer", "product"])
def test_expressions_about_no_table_are_evaluated_as_on_one_server(
    stocked: Oracle, keyspace: str, script: str
) -> None:
    run(stocked, f"use {keyspace}; select 1", ignore=["insert_id", "info"])
    run(stocked, script, ignore=["insert_id", "info", "columns"])

COUNTED = """
select sql_calc_found_rows * from customer order by customer_id limit 1; select found_rows(); select found_rows()
select sql_calc_found_rows n from customer limit 1, 0; set names utf8mb4; begin; select found_rows(); commit
select sql_calc_found_rows * from customer; commit; select found_rows() + 1 as x
select sql_calc_found_rows n from customer where customer_id in (1, 4) order by n limit 1; select found_rows()
select sql_calc_found_rows n, count(*) from customer group by n order by n limit 2; set @a = 5; select found_rows()
select sql_calc_found_rows a.n from customer a join customer b on a.n <= b.n order by a.n limit 2; select found_rows()
select sql_calc_found_rows * from customer where n > 100 limit 1; use customer; select found_rows()
select sql_calc_found_rows distinct n from customer order by n limit 1; select found_rows()
select sql_no_cache sql_calc_found_rows distinctrow n from customer order by n limit 1, 1; select found_rows()
select sql_calc_found_rows all n from customer where customer_id in (1, 4) order by n limit 1; select found_rows()
select high_priority distinct n % 2 as n from customer where customer_id > 1 order by n desc
select count(*) from (select straight_join distinct n from customer) d; select sql_small_result distinct 1 from customer
begin; select sql_calc_found_rows n from customer order by n limit 3; set @a = found_rows(); rollback; select @a
select sql_calc_found_rows cast(uname as signed) from customer; show warnings; select sql_calc_found_rows 1 limit 0
"""


@pytest.mark.parametrize("script", scripts(COUNTED))
def test_rows_are_found_on_all_shards(stocked: Oracle, script: str) -> None:
    """MySQL warns that the function is deprecated, which is not looked at."""
    run(stocked, script, ignore=["info", "insert_id", "warnings"])


INSERT_IDS = """
select last_insert_id(5), n from customer; select last_insert_id()
select last_insert_id(9) from customer order by n; select last_insert_id(); select max(n) from customer
select last_insert_id(n) from customer where customer_id = 4; select last_insert_id(); select @@last_insert_id
"""


@pytest.mark.parametrize("script", scripts(INSERT_IDS))
def test_a_read_of_shards_may_set_the_insert_id(stocked: Oracle, script: str) -> None:
    run(stocked, script, ignore=["info"])
