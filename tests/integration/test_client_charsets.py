"""Sessions in character sets in which ASCII is not what it looks like, and names that vgate puts into their texts.

This module does not know what is right: one server does.
"""

from __future__ import annotations

import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import run, scripts

SWE7 = r"""
select @@character_set_client, @@character_set_results, @@collation_connection; set names utf8mb4; select 1
insert into customer values (9, 'a[b]{c}|~^`@', 1, null), (10, 'x\\y', 2, null); set names utf8mb4;\
 select uname, hex(uname) from customer order by customer_id; set names swe7; select uname, hex(uname) from customer
insert into customer (customer_id, uname) values (11, '@'), (12, '[');\
 select customer_id from customer where uname = '@'
insert into customer (customer_id, uname) values (11, '@'), (12, '[');\
 select uname, count(*) from customer group by uname
update customer set uname = '{}' where n > 1; select distinct uname from customer;\
 delete from customer where uname = '{}'
select n as ^x from customer order by ^x limit 2; select n as `{` from customer; select n as [], 1 as `@` from customer
select 'a' as `b``c`, n from customer; select c~.n from customer c~ where c~.n > 1; select 1^2; select 3 as 1^2
set @a = 'x@y', @b = 5; select @b; select @a, n from customer where n < @b;\
 select hex(@a); set names latin1; select hex(@a)
set @a = _utf8mb4 0x40; select hex(@a) from customer; select customer_id from customer where uname <> @a
set @a = '{'; prepare s from 'select uname from customer where uname <> ?'; execute s using @a
begin; savepoint a[b; delete from customer; rollback to A[b; rollback to `a[b`; commit
begin; insert into customer (customer_id) values (11), (12); savepoint a; delete from customer;\
 rollback to `a`; rollback
select cast('}' as signed) from customer; show warnings; select count(*) from customer where n = '~'; show warnings
insert into customer (customer_id, uname) values (11, '{'), (1, '}'); show warnings; select nosuch^ from customer
create table `fr[n` (id bigint primary key, `v{rde` varchar(9)); insert into `fr[n` values (1, '|l'), (2, 'b}t');\
 select `v{rde` from `fr[n` order by `v{rde`; select `v{rde` from `fr[n` where id = 1; select hex(`v{rde`) from `fr[n`;\
 update `fr[n` set `v{rde` = '@' where `v{rde` = '|l'; select f.`v{rde`, count(*) from `fr[n` f group by 1;\
 show columns from `fr[n`; set names utf8mb4; show tables; select värde from frÄn; drop table frÄn
create table fr[n (id bigint primary key, v{rde varchar(9)); insert into fr[n (v{rde, id) values ('|l', 1), ('b', 2);\
 select v{rde from fr[n where v{rde = '|l'; update fr[n set v{rde = '@' where id = 1;\
 select max(v{rde) from fr[n where 1; set names latin1; show tables; select hex(`v{rde`) from `fr[n`; drop table `fr[n`
show tables; describe customer; show columns from customer like 'c%'; use product; select * from product; show tables
select table_name from information_schema.tables where table_schema = 'customer'; select database()
select 1 /* ' */; select 1 -- `
select 1 || 2, 1 | 2, 1 & 2; select n'}' as x, _latin1'{' as y; select "@" = '@', '''' , '\'', "\""
"""


@pytest.mark.parametrize("script", scripts(SWE7))
def test_swe7(stocked: Oracle, script: str) -> None:
    """Quotes and backquotes quote in it, but most of ASCII's other signs are letters."""
    for table in ("frÄn", "fr[n"):
        ask(stocked.vgate, f"alter vschema on customer.`{table}` add vindex hash(id) using hash")
    run(stocked, f"set names swe7; {script}; select @@character_set_client; set names utf8mb4; select * from customer")


LATIN1 = """
select n from customer where n <> 'ä'; show warnings; set names binary; select count(n) from customer; set names latin1
select cast('ä' as signed); show warnings; select cast('ä' as signed) from customer; show warnings; select nosuch from t
select count(*) from customer where n = 'ä'; show warnings; select * from customer where n <> 'ä'; show warnings
insert into customer (customer_id, n) values (11, 'ä'), (12, 5); show warnings; update customer set n = 'ß'; show errors
create table `tä` (id bigint primary key, `ö` varchar(9)); insert into `tä` values (1, 'ü'), (2, 'ö');\
 insert into `tä` (`ö`, id) values ('á', 4), ('ï', 6); select `ö` from `tä` order by `ö`; select max(`ö`) from `tä`;\
 select a.`ö` from `tä` a join customer on n = id where `ö` <> 'x'; select `ö` from `tä` union select 1; show tables;\
 insert into `tä` values (1, 'ü'), (2, 'ö'); show warnings; select `õ` from `tä`; show warnings; drop table `tä`
begin; savepoint `sä`; update customer set n = 5; rollback to `SÄ`; commit; select n from customer
set @a = 'ä'; prepare s from 'select n from customer where uname <> ?'; execute s using @a; deallocate prepare s
show tables from `nosuchä`; rollback to `nosuchä`
"""


@pytest.mark.parametrize("script", scripts(LATIN1))
@pytest.mark.parametrize("sql_mode", ["", "strict_all_tables"])
def test_latin1(stocked: Oracle, script: str, sql_mode: str) -> None:
    """Names, warnings and errors are written as the client reads them."""
    ask(stocked.vgate, "alter vschema on customer.`tä` add vindex hash(id) using hash")
    run(stocked, f"set sql_mode = '{sql_mode}'")
    for side in (stocked.vgate, stocked.plain):
        side.set_character_set("latin1")
    run(stocked, script)
