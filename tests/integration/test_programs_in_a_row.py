"""Stored programs among other statements of one command: each ends where it ends on one server.

It does not know what programs do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from pymysql.constants import CLIENT

from tests.fix_oracle import Oracle, ask
from tests.fix_vgate import VgateProcess
from tests.integration.asking import scripts
from tests.integration.comparing import Result, query
from tests.integration.raw import Raw

SCRIPTS = r"""
create procedure p1() begin select 1; end; create procedure p2() select 2;
create procedure p1() begin select 1; end; create procedure p2() begin select 2; end
create procedure p1() select 1; create procedure p2() select 2
create procedure p1() begin select 1; end; select 5
create procedure p1() begin select 1; end; select 5; create procedure p2() begin if 1 then select 2; end if; end; \
select 6
create procedure p1() if 1 then select 1; end if; select 7
create procedure p1() begin declare continue handler for sqlexception begin end; select 1; end; select 8
create procedure p1() begin case 1 when 1 then select 1; else select 2; end case; end; select 9
create procedure p1() begin select case 1 when 1 then 2 end; end; select 9
create procedure p1() lab: begin leave lab; end lab; select 10
create procedure p1() lab: loop leave lab; end loop lab; select 10
create procedure p1() begin repeat select 1; until 1 end repeat; while 0 do select 1; end while; end; select 11
create procedure p1() begin end; create procedure p2() begin end; create procedure p3() begin end; select 12
create function f1() returns int deterministic return 1; select 13
create function f1() returns int deterministic begin return 1; end; select f1()
create trigger t1 before insert on product for each row set @a = 1; select 14
create trigger t1 before insert on product for each row begin set @a = 1; set @b = 2; end; select 15
create event e1 on schedule every 1 day do begin select 1; end; select 16
create procedure p1() begin select 'end'; select `end` from (select 1 as `end`) t; end; select 17
create procedure p1() begin select if(1,2,3); end; select 18
create procedure if not exists p1() begin select 1; end; select 19
create or replace procedure p1() begin select 1; end; select 20
create definer=current_user procedure p1() begin select 1; end; create definer=current_user procedure p2() select 2; \
select 3
create procedure p1() begin create procedure px() begin end; end; select 5
create procedure p1() begin start transaction; commit; end; select 21
create procedure p1() begin xa begin 'x'; xa end 'x'; end; select 22
create procedure p1() begin begin work; end; end; select 22
create procedure p1() begin replace into product values (1); select repeat('a',3); end; select 23
create procedure p1() begin drop table if exists q; end; select 24
create procedure p1() begin for i in 1..3 do select i; end for; end; select 25
create procedure p1() begin not atomic select 1; end; select 26
begin not atomic select 1; end; select 27
create package pk as procedure p(); end; select 28
alter event e1 do begin select 1; end; select 29
create procedure p1() begin select 1; end ; ; select 30
create procedure p1() begin select 1 end; select 31
create procedure p1() begin select 1; end end; select 32
create procedure p1() begin if 1 then select 1; elseif 2 then begin end; end if; end; create procedure p2() select \
2; select 33
create view v1 as select 1; create procedure p2() begin select 2; end; drop view v1; select 34
create procedure p1() begin while 1 do begin end; end while; end; create procedure p2() begin end; select 35
create procedure p1() begin set @x = (select case when 1 then 2 else 3 end); end; create procedure p2() begin end; \
select 36
create procedure p1() begin declare exit handler for sqlstate '02000', 1051 if 1 then select 1; end if; declare c \
cursor for select 1; end; select 37
create procedure p1(in a int, out b varchar(20)) comment 'end; begin' reads sql data sql security invoker begin \
select 1; end; select 38
create function f1(a set('x','y')) returns varchar(20) charset utf8mb4 deterministic if a then return 1; else return \
2; end if; select 39
create trigger t1 before update on product for each row if new.id > 1 then set new.id = 1; end if; select 40
create event e1 on schedule at now() + interval 1 day on completion preserve disable do if 1 then select 1; end if; \
select 41
create procedure p1() begin -- end; begin\nselect 1; # end;\nend; select 42
create procedure p1() begin select 1; /* end; */ end; select 43
create procedure p1() begin a: begin b: while 0 do set @x = case @x when 1 then 2 else if(1, 2, 3) end; end while b; \
end a; end; select 44
create procedure p1() begin do sleep(0); do if(1, 2, 3); end; select 45
create procedure p1() call p2(); create procedure p2() begin end; select 46
create procedure p1() begin select 1; select 2; select 47
create function nosuch returns integer soname 'x'; select 48
create procedure p1() begin insert into product values (1) on duplicate key update id = 2; select * from product for \
update; end; select 49
if 1 then select 1; end if; select 50
create procedure product.p1() begin end; drop procedure p1; create procedure p1() select 3; call p1()
"""
# MySQL has the semicolon behind a body that is no block in its text, vgate not.
MADE = (
    "select routine_name, trim(trailing ';' from routine_definition) from information_schema.routines"
    " where routine_schema = 'product'"
)
GONE = (
    "drop procedure if exists p1", "drop procedure if exists p2", "drop procedure if exists p3",
    "drop procedure if exists px", "drop function if exists f1", "drop trigger if exists t1",
    "drop event if exists e1", "drop view if exists v1", "delete from product",
)  # fmt: skip


@pytest.fixture
def several(pair: Oracle, standing: VgateProcess) -> Iterator[tuple[Raw, Raw]]:
    """Clients that may send several statements at once."""
    pair.both("create table product.product (id int primary key)")
    flag = CLIENT.MULTI_STATEMENTS
    with (
        closing(standing.connect("product", client_flag=flag)) as mine,
        closing(pair.cluster.plain.connect("product", client_flag=flag)) as theirs,
    ):
        yield Raw(mine), Raw(theirs)


@pytest.mark.parametrize("script", scripts(SCRIPTS))
def test_each_ends_where_it_ends_on_one_server(several: tuple[Raw, Raw], script: str) -> None:
    answers = []
    for side in several:
        for statement in GONE:
            query(side, statement)
        said = [_without_words(one) for one in query(side, script)]
        answers.append((said, [one.rows for one in query(side, MADE)]))
    assert answers[0] == answers[1]


def _without_words(result: Result) -> Result:
    """What a syntax error quotes may be less, or more."""
    return result if result.error is None else replace(result, error=(*result.error[:2], ""))


def test_a_client_of_one_statement_at_a_time(pair: Oracle) -> None:
    pair.both("use product")
    pair.both("create procedure p1() begin select 1; end; create procedure p2() select 2")
    pair.both("create procedure p1() begin select 1; end;")
    assert ask(pair.vgate, "call p1()").rows == ((1,),)
