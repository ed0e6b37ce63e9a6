"""Where a stored program ends, in texts that servers were not asked about: none is cut off inside its blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vgate.sql.lexer import LexMode, lexer_for
from vgate.sql.programs import program_end

SIMPLE = st.sampled_from([
    "select 1", "set @a = case 1 when 2 then 3 else 4 end", "insert into t values (1)", "select if(1, 2, 3) as `end`",
    "update t set a = 'end; begin'", "leave l", "call p()", "select repeat('a', 2) /* end; */", "do sleep(0)",
    "select (select case when 1 then 2 end)", "drop table if exists q", "declare c cursor for select 1 for update",
    "select start, end from t where end > now()", "select t.end, case t.end when end then end else end end from t",
    "xa begin 'x'", "insert into t (begin, end) values (1, 2)", "update t set end = 1 where t.begin = 2",
    "select 1 end", "xa end 'x'", "declare x int default 1", "replace into t values (if(1, 2, 3))",
])  # fmt: skip


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=3).map(lambda found: "; ".join(found) + ";")
    return st.one_of(
        several.map(lambda body: f"begin {body} end"),
        several.map(lambda body: f"l: BEGIN {body} END l"),
        several.map(lambda body: f"if 1 > 2 then {body} elseif 3 then {body} else {body} end if"),
        several.map(lambda body: f"case a when 1 then {body} else {body} end case"),
        several.map(lambda body: f"case when (a = 1) then {body} end case"),
        several.map(lambda body: f"while (1) do {body} end while"),
        several.map(lambda body: f"l: loop {body} end loop l"),
        several.map(lambda body: f"repeat {body} until 1 end repeat"),
        several.map(lambda body: f"for i in 1..3 do {body} end for"),
        inner.map(lambda body: f"declare continue handler for sqlstate '42000', not found begin {body}; end"),
    )


HEADS = st.sampled_from([
    "create procedure p(in a int, inout `begin` varchar(20)) comment 'x;' reads sql data ",
    "create definer = `a`@`b` function f(a set('a', 'b')) returns varchar(20) charset utf8mb4 not deterministic ",
    "create function f() returns set('a') ",
    "create or replace trigger t before insert on x for each row ", "create trigger t after update on x for each row ",
    "create event if not exists e on schedule every 1 day starts now() on completion not preserve do ",
    "alter event e rename to f do ",
])  # fmt: skip


BODIES = st.recursive(SIMPLE, blocks, max_leaves=8)


@given(HEADS, BODIES, st.sampled_from(["; select 1", "", "; create procedure q() b"]))
def test_the_whole_program(head: str, body: str, rest: str) -> None:
    text = (head + body + rest).encode()
    assert program_end(text, lexer_for(LexMode()), 0) == len(head + body)
