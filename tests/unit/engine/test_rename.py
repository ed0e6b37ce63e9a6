"""Where a keyspace's name stands for its database, and where for a table or an alias of the same name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.session.login import Login
from vgate.session.session import Session
from vgate.sql.lexer import LexMode

CASES = """
select * from customer
select customer.n from customer where customer.id = 1
select * from [customer].b
select b.n from [customer].b where b.id = 1
select customer.n from [customer].customer where customer.id = 1 order by customer.n
select [customer].customer.n from [customer].customer where [customer].customer.id = 1
select `customer`.`n` from [`customer`].`customer` where `customer`.`id` = 1
select customer.*, x.n from [customer].customer join [customer].b as x on x.id = customer.id
select x.n from [customer].customer, [customer].b x where x.id = customer.id
select * from ([customer].customer, [customer].b) where customer.id in (select customer.id from [customer].customer)
select * from (select customer.n from [customer].customer) customer where customer.n = 1
select 1 from [customer].b where exists (select 1 from [customer].customer where customer.id = b.id)
with customer as (select 1 as id from [customer].b) select customer.id from customer
select [customer].f(1), customer.n from customer
select extract(year from customer.d), trim(customer.s), substring(customer.s from 2) from [customer].customer
select case when customer.n = 1 then customer.a else customer.b end from [customer].customer
select 'customer.x', "customer.y" from customer -- customer.z
select n /* customer.z */ from customer
update [customer].customer set customer.n = customer.n + 1 where customer.id = 2
update [customer].b, [customer].customer set customer.n = 1 where customer.id = b.id
delete from [customer].customer where customer.id = 2
delete customer from [customer].customer where customer.id = 2
insert into [customer].customer (id) values (1) on duplicate key update customer.n = 1
insert [customer].customer values (1)
replace [customer].b values (1)
call [customer].p(1)
table [customer].customer
create table [customer].customer (id int, key customer (id))
create index i on [customer].customer (id)
create table [customer].b like [customer].customer
create view [customer].v as select customer.id from [customer].customer where customer.n = 1
alter table [customer].customer rename to [customer].b
rename table [customer].customer to [customer].b, [customer].c to [customer].customer
drop table [customer].customer, [customer].b
truncate [customer].customer
lock tables [customer].customer read, [customer].customer as customer write
describe [customer].customer
explain select customer.id from [customer].customer where customer.id = 1
show tables from [customer] like 'x'
show full columns from customer
show columns from customer from [customer]
show columns from [customer].customer
show index in customer in [customer]
show table status from [customer]
show create table customer
show create table [customer].customer
show create database [customer]
select * from other.customer where customer.n = 1
"""


@pytest.mark.parametrize("case", CASES.strip().splitlines())
def test_the_database_takes_the_keyspaces_place(case: str) -> None:
    """What is in brackets is sent as the database's name."""
    text = case.replace("[", "").replace("]", "")
    expected = case.replace("[`customer`]", "`db-80`").replace("[customer]", "`db-80`")
    assert text_for(call(), ("customer", 0), text.encode()).decode() == expected


def test_a_keyspace_of_the_databases_name_is_left_alone() -> None:
    assert text_for(call("customer"), ("customer", 0), b"select customer.x from customer.x") == (
        b"select customer.x from customer.x"
    )


def call(database: str = "db-80") -> Call:
    """A call whose keyspace ``customer`` has that database."""
    servers = SimpleNamespace(
        renamed=database != "customer", aliases=frozenset(), neighbours={}, private=[frozenset()],
        database=lambda index: database,
    )  # fmt: skip
    scope = SimpleNamespace(cluster=SimpleNamespace(keyspaces={"customer": servers}))
    return Call(b"", [], LexMode(), Session(Login(1, "u")), cast(Any, scope), cast(Any, None))
