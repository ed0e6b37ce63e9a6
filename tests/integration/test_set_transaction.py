"""SET TRANSACTION: which statement uses up what was said for the next transaction.

The session reads only but for the next transaction, which writes: an UPDATE behind the statement fails where that has
used up what was said. Everything is compared with one server; this module does not know which statements those are.
"""

from __future__ import annotations

import pytest

from tests.fix_oracle import Oracle
from tests.integration.asking import scripts

READ_ONLY = 1792

SCRIPTS = """
select 1 from dual; select * from (select 1) t; with t as (select 1) select * from t
select customer_id from customer limit 0
select (select count(*) from customer)
select 1 union select n from customer
set @x = 1; set @a = (select 1), @b = (select 2)
set @a = 1, sort_buffer_size = 300000
set lock_wait_timeout = (select 55)
do (select 1); do sleep(0)
checksum table customer
analyze table customer
prepare s from 'select 1'; execute s; prepare s from 'set @x = 1'; execute s
prepare s from 'select * from customer'; execute s
explain select 1; explain select * from (select 1) t
explain select * from customer
explain update customer set n = 1 where customer_id = 1
unlock tables
values (1)
values row(1)
select * from information_schema.tables limit 0
select count(*) from information_schema.processlist
select count(*) from information_schema.innodb_trx
select * from performance_schema.threads limit 0
show databases
show databases like 'zzz'
show tables
show columns from customer
show table status like 'zzz'
show character set like 'zzz'
show create table customer; show variables like 'zzz'; show warnings; show processlist
describe customer
prepare s from 'select * from customer'; deallocate prepare s
set global max_connections = @@max_connections
select nosuch; select nosuch(); select * from nosuch; nonsense; select 1 +; execute nosuch
select nosuch from customer
select n from customer order by nosuch
select abs(1, 2) from customer
select * from customer where n = (select 1 union select 2)
select 9223372036854775807 + customer_id from customer
select * from customer where customer_id = 1 and n = (select 1 union select 2)
update customer set nosuch = 1 where customer_id = 1
update customer set n = (select 1 union select 2)
insert into customer (customer_id) values (1)
insert into customer (customer_id) values (11), (1), (12), (13)
insert into customer (customer_id, n) values (11, 'x')
insert into customer (customer_id, uname) select customer_id, uname from customer
insert into customer (customer_id, uname) select customer_id + 10, uname from customer
delete from customer where nosuch = 1
update customer set n = 1 where customer_id = 99
"""


@pytest.mark.parametrize("script", scripts(SCRIPTS))
@pytest.mark.parametrize("keyspace", ["customer", "product", "customer:-80"])
def test_what_uses_it_up(stocked: Oracle, keyspace: str, script: str) -> None:
    if keyspace == "product":
        script = script.replace("customer_id", "id").replace("customer", "product").replace("uname", "name")
    table, refusals = keyspace.partition(":")[0], 0
    stocked.only_vgate(f"use `{keyspace}`")
    stocked.only_plain(f"use {table}")
    for sql in ("set session transaction read only", "set transaction read write"):
        stocked.both(sql)
    for statement in script.split("; "):
        mine, theirs = stocked.only_vgate(statement), stocked.only_plain(statement)
        refusals += mine.error is not None and mine.error[0] == 1235
        assert refusals or (mine.error and mine.error[0]) == (theirs.error and theirs.error[0]), statement
    mine, theirs = (ask(f"update {table} set n = n") for ask in (stocked.only_vgate, stocked.only_plain))
    for sql in ("set session transaction read write", "rollback"):
        stocked.both(sql)
    if not refusals:
        assert (mine.error is None) == (theirs.error is None), (mine.error, theirs.error)
        assert mine.error is None or mine.error[0] == READ_ONLY


DICTIONARY = """
set autocommit = 0; show databases; commit; show tables; set @a = 1; commit; set autocommit = 1
set autocommit = 0; savepoint a; show databases; rollback to a; commit; set autocommit = 1
set autocommit = 0; savepoint a; show tables; rollback to a; commit; set autocommit = 1
set autocommit = 0; savepoint a; select * from (select 1) t; rollback to a; commit; set autocommit = 1
set autocommit = 0; savepoint a; select count(*) < 0 from information_schema.tables; select 1; commit; \
set autocommit = 1
"""


@pytest.mark.parametrize("script", scripts(DICTIONARY))
def test_what_begins_a_transaction_where_autocommit_is_off(stocked: Oracle, script: str) -> None:
    for keyspace in ("customer", "product"):
        stocked.both(f"use {keyspace}")
        for statement in script.split("; "):
            stocked.both(statement, ignore=["rows", "columns"])
