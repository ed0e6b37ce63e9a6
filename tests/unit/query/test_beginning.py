"""What has a transaction on a server; each of these was asked of MariaDB 10.11 and MySQL 9."""

from __future__ import annotations

import pytest

from vgate.query.beginning import Uses, used_by
from vgate.query.ties import bare
from vgate.sql.lexer import LexMode, lexer_for

TABLES = """
select a from t
select a from t limit 0
insert into t values (1)
insert into t values (1), (2)
call p()
table t
values row((table t))
with d as (select 1) select * from d, t
with t as (select * from t) select * from t
set statement max_statement_time = 1 for update t set a = 1
select (select max(a) from t)
select * from (select 1) d join t
select * from (t, u)
select * from ((select 1) d, t)
select * from information_schema.tables x, t
select * from lateral (select * from t) d
select * from mysql.user
set @a = (select max(a) from t)
set lock_wait_timeout = 1, sort_buffer_size = (select max(a) from t)
do (select count(*) from t)
execute s
select 1 union (table t)
explain select * from t
explain format = json select * from t
explain update t set a = 1
explain (select 1 from t)
handler t read first
create temporary table t select * from u
"""

DICTIONARY = """
select * from information_schema.tables limit 0
select * from information_schema.`columns` c join information_schema.processlist p
select table_name from information_schema.innodb_foreign
show tables
show full columns from t
show table status like 'x'
show databases
show character set
show procedure status
describe t
explain t
desc t a
explain select * from information_schema.tables
"""

NOTHING = """
select 1
select 1 from dual
select version(), now()
select extract(year from now()), trim(both 'x' from 'xx'), substring(@a from 2)
(select 1)
select * from (select 1) d
select * from (select 1) d, (values row(1), row(2)) e
with d as (select 1) select * from d
with recursive d (n) as (select 1 union all select n + 1 from d where n < 5) select * from d, d e
select * from json_table('[1]', '$[*]' columns (a int path '$')) j
select * from performance_schema.threads
select * from information_schema.processlist
select * from information_schema.innodb_trx
select 1 union select 2
values row(1), row(2)
values (1)
do sleep(0)
set sql_mode = ''
set @a = (select 1)
show warnings
show create table t
show variables like 'x'
show open tables
help 'select'
unlock tables
explain select 1
explain for connection 5
explain values row(1)
prepare s from 'select a from t'
deallocate prepare s
xa recover
handler t open as h
handler t close
create temporary table t (a int)
drop temporary table t
"""


def used(sql: str) -> Uses:
    lexer = lexer_for(LexMode())
    shape, _ = lexer.split(sql.encode())
    return used_by(bare(shape, lexer))


@pytest.mark.parametrize("sql", TABLES.strip().splitlines())
def test_what_uses_tables(sql: str) -> None:
    assert used(sql) is Uses.TABLES


@pytest.mark.parametrize("sql", DICTIONARY.strip().splitlines())
def test_what_is_in_the_dictionary_of_mysql(sql: str) -> None:
    assert used(sql) is Uses.DICTIONARY


@pytest.mark.parametrize("sql", NOTHING.strip().splitlines())
def test_what_begins_nothing(sql: str) -> None:
    assert used(sql) is Uses.NOTHING
