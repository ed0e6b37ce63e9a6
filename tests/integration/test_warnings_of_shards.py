"""Warnings of statements on several shards: which, how often, in what order; and those in front of an error.

Every statement is asked under three modes of both sides of the oracle. This module does not know what is right: one
server does.
"""

from __future__ import annotations

import pymysql
import pytest

from tests.fix_oracle import Oracle, ask
from tests.integration.asking import run, scripts
from tests.integration.executing import Prepared

MODES = ("strict_trans_tables,error_for_division_by_zero", "error_for_division_by_zero", "")

READS = """
select 1/0 from customer
select 1/0, n from customer order by n
select n/0 from customer
select cast('x' as signed) from customer
select cast('x' as signed) + n from customer
select * from customer where n = 'abc'
select * from customer where n = '1abc'
select * from customer where n > '1abc' order by n
select * from customer where uname = 1
select * from customer where n = 1/0
select * from customer where 1/0
select * from customer where n in ('a','b')
select * from customer where customer_id > 'x'
select * from customer where customer_id = '1x'
select count(*) from customer where n = 'abc'
select count(*), 1/0 from customer
select sum(n)/0 from customer
select sum(uname) from customer
select max(n) from customer where uname > 3
select n, count(*) from customer where n <> 'abc' group by n
select distinct 'a' + 1 from customer
select 'a' + 1 as x, n from customer order by x
select date('nonsense') from customer
select * from customer where at > 'nonsense'
select * from customer where at > '2020-02-30'
select _utf8'x' from customer
select convert('x' using utf8) from customer
select cast('a' as char(1) character set utf8) from customer
select binary 'x' from customer
select n, n + '1x' from customer
select greatest(n, 'x') from customer
select if(n > 1, 1/0, 2) from customer
select * from customer where n / 0 = 1
select (select 1/0) from customer
select * from customer where n < (select 1/0)
select inet_aton('x') from customer
select str_to_date('x','%Y') from customer
select sec_to_time('x') from customer
select uname + 0 from customer
select group_concat(uname) from customer
select * from customer order by n + 'x'
select n from customer having n > 'x'
select 9223372036854775807 + 'a', n from customer
select n from customer limit 1 offset 1
select n && 1 from customer
select !n from customer
select n || 0 from customer
select * from customer where n between 'a' and 'b'
select * from customer where n = 'abc' or customer_id = 'def'
select 1 from customer a join customer b on a.n = b.n and a.n > 'x'
select 1/0 from customer where n > 100
select cast('x' as signed) from customer where n > 100
select n from customer where n = 'abc' and customer_id in (1,2)
select 1/0 from customer where customer_id in (1,2)
explain select 1/0 from customer
select cast(concat('x', n) as signed) from customer
select cast('2020-13-01' as date) from customer
select 5 = 'five' from customer
select n from customer where 5 = 'five'
select hex(char(300 using utf8)) from customer
select uname from customer where uname = 0
select uname from customer where uname = n
select concat(1/0, 'x') from customer
select case when n = 1 then 1/0 else n end from customer
select truncate('1x', 1) from customer
select round('1x') from customer
select now() + 'x' from customer
select n from customer group by n with rollup having n > 'x'
select count(distinct n + 'x') from customer
select avg(n / 0) from customer
select n, 1/0 from customer limit 2
select n, cast('x' as signed) from customer order by n limit 2
select n = 'abc', n + 1 = 'abd', concat(n, 'x') = 5 from customer
select if(n = 'abc', 1, 0) from customer
select case n when 'abc' then 1 end from customer
select n from customer where n + 'x' > 3
select n from customer where n > 1 + 'x'
select n from customer where n in (1 + 'x', 2)
select n from customer where n not in ('abc', 5)
select n from customer where n <> 'abc' order by n
select n from customer where n <=> 'abc'
select n from customer where not n = 'abc'
select n from customer where if(n > 1, 1/0, 2)
select n from customer where coalesce(1/0, n)
select n from customer where n = 'abc' and n + 'abc' > 1
select n from customer where n = 'abc' limit 1
select n from customer where n >= 'a' order by n limit 2
select sum(n) from customer where n <> 'abc'
select sum(n + 'x') from customer
select sum(n = 'x') from customer
select count(*) from customer where uname + 0 = 0
select uname + 0, count(*) from customer group by uname + 0
select n from customer having n = 'x' order by n
select a.n from customer a join customer b using (customer_id) where a.n <> 'abc'
select a.n from customer a join customer b on a.customer_id = b.customer_id and a.n <> 'abc'
select a.n from customer a left join customer b on a.customer_id = b.customer_id and b.n <> 'abc'
select a.n from customer a join customer b on a.n = b.n where a.n <> 'abc'
select n from customer where at = '2020-02-30'
select n from customer where at < cast('xyz' as datetime)
select n from customer where uname = 5 and n <> 'q'
select n from customer where n <> 'a' and n <> 'a'
select n from customer where (n, uname) = ('a', 'b')
select n from customer where (n, uname) in (('a', 'b'), (1, 'one'))
select n from customer where n = 12345678901234567890123456789012345678901234567890123456789012345678901234567890 +\
 'abc'
select n from customer where n like 5 and n <> 'z'
select distinct n from customer where n <> 'z' order by n
select n, 1 from customer where n <> 'z' union select n, 2 from customer where n <> 'y'
select max(n) from customer where n <> 'z' group by n & 1
select n from customer where n <> 'z' for update
select (select max(n) from customer c2 where c2.customer_id = c.customer_id and n <> 'z') from customer c
select n from customer where customer_id in (1, 2, 4, 6) and n <> 'zz'
select n from customer where customer_id in ('1', '4', 'zz')
select n, 'a' <=> 1 from customer
select n from customer where 'a' = 1 or n = 1
select n from customer where n = ''
select n from customer where n = '1 '
select interval(n, 'a', 2) from customer
select n from customer where nullif(n, 'a') = 1
select n from customer where field(n, 'a') = 0
select n from customer where elt('1x', n) = 1
select n from customer where mod(n, 0) is null
select n from customer where n > mod(5, 0)
select n from customer where n div 0 is null
select n from customer where n = 1/0 or n = 2/0
select n from customer where n = 1/0 or n = 'abc'
select n from customer where n = 1 and 1/0
select n from customer where n in ('a', 5, 'b')
select n from customer where n in (5, 'b')
select n from customer where n in (null, 'b')
select n from customer where uname in (5, 'b')
select n from customer where uname in (5, 6)
select n from customer where n in ('1', '2', 'a')
select n in ('1', '2', 'a') from customer
select n in ('1', 2, 'a') from customer
select n from customer where n = '{long}'
select n from customer where @n = n or @n = 'b'
select n from customer where n <> @text
select n + @text from customer where n <> @text
select n from customer where '2x'
select n from customer where '2020-02-30' order by n
select n from customer where n = 1 or '2x'
select n from customer having '2x'
select n from customer where n = 'é☃😀'
select n from customer where n <> _binary'é' or n = x'ff41'
"""

WRITES = """
update customer set n = 1 where '2x'
delete c from customer c where c.n > 'x'
delete customer from customer where n = 'x'
update customer set n = 'x'
update customer set n = '3x'
update customer set n = 1/0
update customer set uname = repeat('x', 100)
update customer set n = n + 'x'
update customer set n = 1 where n = 'abc'
update customer set n = 1 where n = '1abc'
update customer set at = 'nonsense'
update customer set n = 99999999999999
update customer set n = null
update customer set n = 1 where uname = 1
update customer set n = convert('1' using utf8)
delete from customer where n = 'abc'
delete from customer where n > 'abc'
delete from customer where 1/0
insert into customer (customer_id, uname, n) values (11, 'a', 'x'), (12, 'b', '2x'), (14, repeat('x',100), 3)
insert into customer (customer_id, uname, n) values (11, 'a', 'x'), (1, 'b', '2x'), (14, repeat('x',100), 3)
insert into customer (customer_id, uname, n) values (11, 'a', 1/0), (12, 'b', 1/0), (14, 'c', 3)
insert into customer (customer_id, uname, n) values (11, _utf8'a', 1), (12, _utf8'b', 2), (14, 'c', 3)
insert into customer (customer_id, uname, n) values (11, 'a', 1+'x'), (12, 'b', 1 + 'y'), (14, 'c', 'z')
insert ignore into customer (customer_id, uname, n) values (1, 'a', 1), (2, 'b', 2), (14, 'c', 'z')
insert into customer (customer_id, uname, n) values (11, 'a', 1), (12, 'b', 2), (14, 'c', 3) on duplicate key update\
 n = values(n)
replace into customer (customer_id, uname, n) values (1, 'a', 'x'), (2, 'b', 'x'), (14, 'c', 3)
update customer set n = if(n = 1, 'x', (select 1 union select 2))
update customer set n = (n = 'abc')
update customer set n = n + 'x' where n <> 'abc'
update customer set n = 5 where 1/0 or n = 1
update customer set uname = repeat(uname, 30)
delete from customer where uname > 1
delete from customer where n in ('a', 'b')
delete from customer where n = 1 / 0 or n = 'abc'
insert into customer (customer_id, uname, n) values (11, 'a', 'x'), (12, 'b', '2x'), (14, repeat('x',100), 3), (1,\
 'q', 'z'), (2, 'r', 'zz'), (17, 'x', 'f')
insert into customer (customer_id, uname, n) values (11, 'a', 'x'), (2, 'b', '2x'), (1, repeat('x',100), 3), (4,\
 'q', 'z'), (2, 'r', 'zz'), (17, 'x', 'f')
insert into customer (customer_id, uname, n) values (11, 'a', 1/0), (2, 'b', 1/0), (1, 'c', 3)
delete from customer where n = 1/0
delete from customer where n > 1/0 and n < 5
delete from customer where n = 1/0 or n = 2/0
delete from customer where n = 'abc' or n = 'def'
delete from customer where n = 1 and 1/0
delete from customer where n + 'x' > 9
delete from customer where n > 9 + 'x'
update customer set uname = 'x' where n = 1/0
update customer set uname = 'x' where n > 1/0 and n < 5
update customer set uname = 'x' where n = 1/0 or n = 2/0
update customer set uname = 'x' where n = 'abc' or n = 'def'
update customer set uname = 'x' where n = 1 and 1/0
update customer set uname = 'x' where n + 'x' > 9
update customer set uname = 'x' where n > 9 + 'x'
update customer set uname = 'x' where if(n > 1, 1/0, 2)
update customer set uname = 'x' where n in ('a', 5)
update customer set uname = 'x' where 5 = 'five'
update customer set uname = 5 = 'five'
update customer set n = 1 where n <> @text
"""


def check(oracle: Oracle, mode: str, *statements: str) -> None:
    """The same number of rows and warnings, the same warnings, or the same error behind them; nothing is kept."""
    for sql in (f"set sql_mode = '{mode}', @n = 'a', @text = 'abc', @number = 5", "begin"):
        ask(oracle.vgate, sql)
        ask(oracle.plain, sql)
    for sql in statements:
        answers = [ask(side, sql) for side in (oracle.vgate, oracle.plain)]
        seen = [(one.error and one.error[0], len(one.rows), one.affected, one.warnings) for one in answers]
        assert seen[0] == seen[1], f"{sql!r} under {mode!r}"
        oracle.both("show warnings", ordered=True)
        oracle.both("select @@warning_count, @@error_count")
    oracle.both("rollback")


@pytest.mark.parametrize("mode", MODES)
def test_reads_warn_as_on_one_server(stocked: Oracle, mode: str) -> None:
    for statement in scripts(READS):
        check(stocked, mode, statement.format(long="y" * 200))


@pytest.mark.parametrize("mode", MODES)
def test_writes_warn_as_on_one_server(stocked: Oracle, mode: str) -> None:
    for statement in scripts(WRITES):
        check(stocked, mode, statement)


KEPT = """
select cast(uname as signed) from customer; show warnings; select @@warning_count; show count(*) warnings
select cast(uname as signed) from customer; select 1; show warnings; select @@warning_count, @@error_count
select n from customer where n <> 'a' order by n; show warnings; select @@warning_count
update customer set n = 'x'; show warnings; select @@warning_count; select n from customer where n = 1;\
 select @@warning_count
insert into customer (customer_id, n) values (11, 'x'), (12, 'y'), (13, 'z'), (14, 'u'), (15, 'v'); show warnings;\
 select @@warning_count
use product; select cast(name as signed) from product; show warnings; select @@warning_count; select @@warning_count
use product; update product set name = repeat('x', 99); show warnings; show count(*) warnings; select 1; show warnings
select nosuch from customer; show warnings; show errors
use product; select nosuch from product; show warnings; show errors
"""


@pytest.mark.parametrize("script", scripts(KEPT))
@pytest.mark.parametrize("most", [0, 2, 3, "default"])
def test_as_many_are_kept_as_on_one_server(stocked: Oracle, script: str, most: int | str) -> None:
    run(stocked, f"set sql_mode = ''; set max_error_count = {most}", ignore=["warnings"])
    run(stocked, script)


def test_a_server_keeps_so_many_by_default(stocked: Oracle) -> None:
    rows = ", ".join(f"({n}, 'x')" for n in range(20, 170))
    for statement in (f"insert into customer (customer_id, n) values {rows}", "update customer set n = 'y'"):
        stocked.both("set sql_mode = ''", ignore=["warnings"])
        stocked.both(statement, ignore=["insert_id"])
        stocked.both("select @@warning_count")


@pytest.mark.parametrize("mode", MODES)
def test_named_statements_warn_as_on_one_server(stocked: Oracle, mode: str) -> None:
    """A parameter's own value is left out: MySQL warns of it by row where it has the wrong type."""
    for statement in (
        "select n from customer where n <> 'abc' and n <> ?", "select sum(n) from customer where n <> 'b'",
        "update customer set n = 5 where n <> 'c'", "update customer set uname = concat(n, ?) where n <> 'z'",
    ):  # fmt: skip
        using = " using @number" if "?" in statement else ""
        check(stocked, mode, f"prepare s from \"{statement}\"", f"execute s{using}", "deallocate prepare s")


def test_an_error_is_not_said_with_the_warnings_of_an_earlier_one(stocked: Oracle) -> None:
    fails = "insert into customer (customer_id, uname, n) values (11, 'a', 'x'), (1, 'b', '2x'), (14, 'c', 3)"
    again = "insert into customer (customer_id, uname, n) values (11, 'a', 1), (1, 'b', 2), (14, 'c', 3)"
    check(stocked, "", fails, again, fails, "select nosuch from customer", "select 1", again)


def test_a_parameter_is_warned_of_as_on_one_server(stocked: Oracle) -> None:
    """Where MySQL derives a parameter's type from a comparison, it warns as often as it prepares again."""
    for side in (stocked.vgate, stocked.plain):
        prepared = Prepared(side)
        prepared.execute(prepared.prepare("select n + ? from customer where n <> 'abc'"), "xyz")
    stocked.both("show warnings", ordered=True)


@pytest.mark.parametrize("statement", [
    "update customer set n = ? where n > ?", "update customer set uname = ? where n > ?",
    "delete from customer where n in (?, ?)", "update customer set n = 5 where uname = ? or n = ?",
    "update customer set n = n + ? where uname <> ?", "update customer set n = 1 where customer_id in (?, 4, ?)",
])  # fmt: skip
@pytest.mark.parametrize("values", [(1, 2), ("1", "2")])
@pytest.mark.parametrize("mode", MODES)
def test_prepared_writes_are_answered_as_on_one_server(
    stocked: Oracle, statement: str, values: tuple[int | str, ...], mode: str
) -> None:
    """With affected rows, warnings, and what the status flags say of indexes."""
    answers = []
    for side in (stocked.vgate, stocked.plain):
        ask(side, f"set sql_mode = '{mode}'")
        prepared = Prepared(side)
        handle = prepared.prepare(statement)
        answers.append([done(prepared, handle, values) for _ in range(2)])
    assert answers[0] == answers[1]
    stocked.both("select * from customer order by customer_id", ordered=True)


def done(prepared: Prepared, handle: bytes, values: tuple[int | str, ...]) -> list[bytes] | int:
    """The answer, or the error's number."""
    try:
        return prepared.execute(handle, *values)
    except pymysql.err.MySQLError as error:
        return int(error.args[0])
