"""Conditions against real servers: no server returns a row of an id that the condition's plan does not allow.

That is what makes routing safe: sqlglot reads a condition by rules of its own, the servers by theirs, and whatever they
disagree on, shards where rows meet the condition must be asked. Conditions are made up of chains of operators, mostly
without parentheses, so that precedence decides what they mean.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot.dialects.mysql import MySQL
from sqlglot.parser import Parser

from tests.fix_servers import Server
from vgate.planner.build import plan
from vgate.planner.catalog import NeedTables
from vgate.planner.columns import ColumnKind, ColumnType, TableInfo
from vgate.planner.plan import Everything, Refuse, Route
from vgate.planner.resolve import resolve
from vgate.sql.lexer import LexMode, lexer_for
from vgate.vschema.load import parse_vschema
from vgate.vschema.model import TableName, VSchema

DATABASE = "vgate_conditions"
EXAMPLES = int(os.environ.get("VGATE_SEARCH_EXAMPLES", "30000"))
TEXT = """
keyspaces:
  vgate_conditions:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      t: {column_vindexes: [{column: id, name: hash}]}
    shards: ["-80", "80-"]
"""
VSCHEMA = parse_vschema(TEXT, filename="", environ={}, read_file=lambda name: name)
NAME = TableName(DATABASE, "t")
INFO = TableInfo(
    NAME,
    (
        ColumnType("id", "bigint(20)", ColumnKind.INTEGER),
        ColumnType("a", "int(11)", ColumnKind.INTEGER, bits=32),
        ColumnType("b", "varchar(10)", ColumnKind.TEXT, length=10, charset="utf8mb4", collation="utf8mb4_general_ci"),
    ),
    (),
)
IDS = (-5, -2, -1, 0, 1, 2, 3, 5, 8, 2**53)
SQL_MODES = ("", "PIPES_AS_CONCAT", "ANSI_QUOTES", "HIGH_NOT_PRECEDENCE", "NO_BACKSLASH_ESCAPES,IGNORE_SPACE")


class Asked:
    """The catalog of one table that has been asked for."""

    @property
    def vschema(self) -> VSchema:
        return VSCHEMA

    def table(self, name: TableName) -> TableInfo | None:
        return INFO if name == NAME else None


class Room:
    """The table on a server, and a connection for each mode."""

    def __init__(self, server: Server) -> None:
        self.tally: Counter[str] = Counter()
        server.query(f"drop database if exists {DATABASE}")
        server.query(f"create database {DATABASE} character set utf8mb4")
        server.query("create table t (id bigint, a int, b varchar(10))", DATABASE)
        others = ("(NULL, NULL)", "(0, '0')", "(1, '1')", "(5, 'x')", "(2, '')", "(-1, '5')")
        rows = ", ".join(f"({one}, {two[1:]}" for one in (*IDS, "NULL") for two in others)
        server.query(f"insert into t values {rows}", DATABASE)
        self._server = server
        self._connections: dict[str, Any] = {}

    def ids(self, sql_mode: str, text: str) -> set[int]:
        """The ids of the rows that a SELECT gives. Raises pymysql's errors."""
        connection = self._connections.get(sql_mode)
        if connection is None:
            connection = self._connections[sql_mode] = self._server.connect(DATABASE)
            with connection.cursor() as cursor:
                cursor.execute("set sql_mode = %s, @v = 5", (sql_mode,))
        with connection.cursor() as cursor:
            cursor.execute(text)
            return {row[0] for row in cursor.fetchall() if row[0] is not None}

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._server.query(f"drop database {DATABASE}")


@pytest.fixture(scope="module")
def room(plain: Server) -> Iterator[Room]:
    with closing(Room(plain)) as room:
        yield room


# -- conditions ---------------------------------------------------------------------------------------------------

KEY = st.sampled_from(["id", "id", "id", "t.id", "`id`", "(id)", "ID", '"id"', "`t`.id", "vgate_conditions.t.id",
    "((id))"])
OTHER = st.sampled_from(["a", "b", "t.a", "-id", "+id", "id+0", "@v", "- id", "~id", "!id", "id | 0", "-a"])
LITERAL = st.sampled_from(
    ["0", "1", "2", "3", "5", "-1", "- 2", "+3", "'1'", "'5'", '"3"', "'x'", "NULL", "TRUE", "false", "5.0", "1e0",
     "x'05'",
     "N'3'", "(5)", "((3))", "-(-5)", "--5", "'5x'", "1.5", "_utf8mb4'5'", "b'101'", "0x05", "-'5'", "-5.0", "''",
     "9007199254740992"]
)  # fmt: skip
EASY = st.one_of(
    st.tuples(KEY, st.sampled_from(["=", "=", "=", " = ", "<=>", "<=> "]), LITERAL).map("".join),
    st.tuples(LITERAL, st.sampled_from(["=", " = ", "<=>"]), KEY).map("".join),
    st.tuples(KEY, st.sampled_from([" in ", " IN", " not in "]), st.lists(LITERAL, min_size=1, max_size=3)).map(
        lambda parts: f"{parts[0]}{parts[1]}({', '.join(parts[2])})"
    ),
)
OPERAND = st.one_of(KEY, LITERAL, OTHER, EASY, EASY)
BINARY = st.sampled_from(
    [" and ", " AND ", " or ", " OR ", " xor ", " && ", " || ", "&&", "||", "=", " = ", "<=>", "<", ">=", "<>", "!=",
     "|", "&",
     "^", "+", "-", "--", " - ", "*", "/", "%", " div ", " mod ", "<<", ">>", " like ", " not like ", " regexp ",
     " rlike ",
     " is ", "=!", "= -", "=-", "<>-", " sounds like ", " = not ", " and not ", " or not ", "=~"]
)  # fmt: skip
PREFIX = st.sampled_from(["", "", "", "", "not ", "NOT ", "!", "! ", "-", "~", "not not ", "!!", "binary ", "+"])
SUFFIX = st.sampled_from(
    ["", "", "", "", " is null", " is not null", " is true", " is false", " is not true", " is unknown", " = 1",
     " collate utf8mb4_bin",
     " -- x\n", " /* or 1 */", " # and\n"]
)  # fmt: skip


LOGIC = st.sampled_from(
    [" and ", " and ", " AND ", " or ", " or ", " xor ", " && ", "&&", " || ", "||", " and not ", " xor not ", " or !",
     " and\n", "/**/and ",
     " and-", " or-", " = ", " <=> ", "=", "|", "&", " like ", " is not null and ", " is true or ", " = 1 and ",
     " in (1) and ",
     " between 0 and ", " not between 1 and ", " := "]
)  # fmt: skip


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Larger conditions of smaller ones."""
    chain = st.lists(st.tuples(BINARY, PREFIX, inner, SUFFIX), min_size=1, max_size=3).map(
        lambda links: "".join(part for link in links for part in link)
    )
    logic = st.tuples(st.lists(st.tuples(inner, LOGIC), min_size=1, max_size=4), inner).map(
        lambda parts: "".join(one + operator for one, operator in parts[0]) + parts[1]
    )
    return st.one_of(
        logic, logic, logic, logic, logic, logic.map(lambda one: f"({one})"), st.tuples(PREFIX, inner, SUFFIX,
            chain).map("".join),
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, inner, inner).map(lambda three: f"{three[0]} between {three[1]} and {three[2]}"),
        st.tuples(inner, inner, inner).map(lambda three: f"case when {three[0]} then {three[1]} else {three[2]} end"),
        st.tuples(inner, inner, inner).map(lambda three: f"case {three[0]} when {three[1]} then {three[2]} end"),
        st.tuples(inner, inner, inner).map(lambda three: f"if({', '.join(three)})"),
        st.tuples(inner, inner).map(lambda two: f"coalesce({two[0]}, {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"{two[0]} in ({two[1]}, 5)"),
        st.tuples(inner, inner).map(lambda two: f"{two[0]} not in ({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"(id, {two[0]}) = (5, {two[1]})"),
        inner.map(lambda one: f"exists(select 1 from t u where {one})"),
        inner.map(lambda one: f"id in (select 3 from t u where {one})"),
        inner.map(lambda one: f"interval(3, {one})"),
    )


ANY = st.recursive(st.one_of(EASY, EASY, EASY, EASY, OPERAND), grown, max_leaves=7)
# Most of what is made up allows everything. These are those that may not: few operands, each on the sharding column or
# not, between operators that bind in every way.
BOOLEAN = st.sampled_from([" and ", " or ", " xor ", " && ", "&&", " || ", "||", " AND not ", " or\n", "/**/xor/**/"])
ATOM = st.one_of(EASY, EASY, EASY, EASY, st.tuples(OTHER, st.sampled_from(["=", "<", " is ", "<=>"]),
    LITERAL).map("".join), OPERAND)


def chained(operand: st.SearchStrategy[str], operator: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    return st.tuples(operand, st.lists(st.tuples(operator, operand), max_size=most)).map(
        lambda parts: parts[0] + "".join(operator + operand for operator, operand in parts[1])
    )


FLAT = chained(ATOM, st.one_of(BOOLEAN, BOOLEAN, BOOLEAN, LOGIC), 4)
NESTED = chained(st.one_of(ATOM, ATOM, FLAT.map(lambda one: f"({one})"), st.tuples(PREFIX, ATOM, SUFFIX).map("".join)),
    BOOLEAN, 3)
CONDITIONS = st.one_of(FLAT, NESTED, NESTED, ANY)


def check(room: Room, sql_mode: str, condition: str) -> None:
    check_text(room, sql_mode, f"select id from t where {condition}")


def check_text(room: Room, sql_mode: str, text: str) -> None:
    mode = LexMode(
        ansi_quotes="ANSI_QUOTES" in sql_mode,
        no_backslash_escapes="NO_BACKSLASH" in sql_mode,
        pipes_as_concat="PIPES" in sql_mode,
    )
    raw = text.encode()
    room.tally["made"] += 1
    shape, slots = lexer_for(mode).split(raw)
    planned = plan(raw, shape, mode, DATABASE, Asked())
    assert not isinstance(planned, NeedTables)
    try:
        returned = room.ids(sql_mode, text)
    except pymysql.err.Error:
        room.tally["errors"] += 1
        return
    if isinstance(planned.plan, Refuse):
        room.tally["refused"] += 1
        return
    assert isinstance(planned.plan, Route)
    if planned.plan.others:  # it is answered only where all lead to one shard
        room.tally["others"] += 1
        return
    allowed = resolve(planned.plan.where, slots, mode)
    if isinstance(allowed, Everything):
        room.tally["everything"] += 1
        return
    room.tally["routed"] += 1
    vindex = VSCHEMA.keyspace(DATABASE).tables["t"].column_vindexes[0].vindex
    lost = {one for one in returned if vindex.map(one) not in allowed}
    assert not lost, f"{sql_mode!r}: {text!r} gives rows of {sorted(lost)}, but its plan does not: {planned.plan.where}"


LAX = settings(
    deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)  # fmt: skip


@settings(LAX, max_examples=2000)
@given(st.sampled_from(SQL_MODES), CONDITIONS)
def test_no_row_is_left_out(room: Room, sql_mode: str, condition: str) -> None:
    check(room, sql_mode, condition)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(LAX, max_examples=EXAMPLES, derandomize=False)
@given(st.sampled_from(SQL_MODES), CONDITIONS)
def test_no_row_is_left_out_in_a_long_search(room: Room, sql_mode: str, condition: str) -> None:
    check(room, sql_mode, condition)


WORD_FRAMES = (
    "select id from t K where id=5", "select id from t as K where id=5", "select id from t K where K.id=5",
    "select id from t K",
    "select id from t K, t u where u.id=5", "select id from t where a = 1 K id = 5",
    "select id from t where id = 5 K a = 1",
    "select id from t where K id = 5", "select id from t where id = 5 K", "select id from t where id = K 5",
    "select id from t where id K 5", "select id from t where K(id) = 5", "select id from t where id = K(5)",
    "select id from t where K(id = 5)", "select id from t where (id = 5) K (a = 1)",
    "select id from t where id = 5 and K",
    "select id from t where id=5 K 3", "select id from t K (5)", "select id from t where id=5 or K a",
    "select id from t where id in (5) K (3)", "select id from t where id in (K)",
    "select id from t where id in (5 K 3)",
    "select id from (t) K where id=5", "select id from t where not id K 5", "select id from t where id=5 K null",
    "select id from t where id=K '5'", "select id from t where id=5 K 'x'", "select id from t where K 'x' or id=5",
    "select t.id from t K join t u on u.id=5",
    "select t.id from t join t u K on t.id=5",
    "with K as (select id from t) select id from K where id=5", "select id from t where id=5 limit 5 K 3",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_word_in_every_place(room: Room, plain: Server) -> None:
    """Words that one of the two takes for an operator, a join or a function, and the other for a name."""
    known = {row[0].lower() for row in plain.query("select word from information_schema.keywords")}
    words = {word for word in known | {word.lower() for word in MySQL.Tokenizer.KEYWORDS} if word.isidentifier()}
    assert len(words) > 500
    for word in sorted(words | {name.lower() for name in Parser.FUNCTIONS}):
        for frame in WORD_FRAMES:
            check_text(room, "", re.sub(r"\bK\b", word, frame))


def test_the_searches_saw_something(room: Room) -> None:
    """A generator that makes nothing but errors, or conditions that allow everything, would prove nothing."""
    tally = room.tally
    if not tally["made"]:
        pytest.skip("no search ran before")
    print(dict(tally))
    answered = tally["made"] - tally["errors"]
    assert answered > 100, tally
    assert tally["routed"] > answered / 20, tally
    assert tally["everything"] > answered / 20, tally
    assert tally["refused"] < answered / 10, tally
