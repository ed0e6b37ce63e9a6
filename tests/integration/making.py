"""Whole sessions made up from a seed: tables whose sharding columns are of every kind, and statements about them.

What is made is valid SQL more often than not, and answered by one server in one way (but for the order of rows). This
module does not know who is asked.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

COLUMNS: Final = "a int, b varchar(10), c decimal(6,2) not null default 0, d datetime null"

TABLES: Final = {
    "tbig": f"create table tbig (k bigint unsigned primary key, {COLUMNS})",
    "tint": f"create table tint (k int primary key, {COLUMNS})",
    "tci": f"create table tci (k varchar(12) character set utf8mb4 collate utf8mb4_general_ci primary key, {COLUMNS})",
    "tvb": f"create table tvb (k varbinary(8) primary key, {COLUMNS})",
    "tdec": f"create table tdec (k decimal(8,2) primary key, {COLUMNS})",
    "tdate": f"create table tdate (k date primary key, {COLUMNS})",
    "tpair": f"create table tpair (k smallint null, {COLUMNS}, key (k))",
}
"""By name; ``k`` is the sharding column of each."""

VINDEXES: Final = {
    "tbig": "hash", "tint": "hash", "tci": "unicode_loose_xxhash", "tvb": "binary_md5", "tdec": "xxhash",
    "tdate": "xxhash", "tpair": "hash",
}  # fmt: skip
"""The type of the vindex of each."""

KEYS: Final = {
    "tbig": ("0", "1", "2", "3", "4", "5", "6", "7", "18446744073709551615", "9223372036854775808", "'8'", "'4'"),
    "tint": ("-1", "0", "1", "2", "3", "4", "5", "6", "2147483647", "-2147483648", "'5'", "7"),
    "tci": ("'a'", "'A'", "'b'", "'abc'", "'ABC '", "''", "'1'", "'10'", "'1abc'", "'x y'", "'zz'", "'Zz'"),
    "tvb": ("'a'", "'A'", "'a '", "x'00'", "x'ff00'", "''", "'1'", "0x31", "'01'", "'12345678'", "b'1'", "'\\\\'"),
    "tdec": ("0", "1", "1.5", "1.50", "-1.5", "2", "'3'", "4.25", "999999.99", "5", "6.0", "7"),
    "tdate": ("'2020-01-01'", "'2020-02-29'", "'1999-12-31'", "'2020-01-02'", "date'2020-01-03'", "'2021-05-05'",
              "'2022-06-06'", "'2023-07-07'"),
    "tpair": ("1", "2", "3", "4", "null", "-5", "6", "'7'", "0"),
}  # fmt: skip
"""Values to store, those that vgate knows the place of."""

ODD: Final = (
    "'1abc'", "1.0", "1e0", "0x31", "b'1'", "true", "false", "null", "-0", "-1", "18446744073709551616", "'٣'", "' 1'",
    "'1 '", "'01'", "'1.0'", "'1e0'", "1.5", "'a'", "'A'", "'ä'", "'a '", "''", "'2020-01-01'", "20200101",
    "'2020-1-1'", "date'2020-01-01'", "timestamp'2020-01-01 00:00:00'", "'20200101'", "x'61'", "_binary'a'",
    "_latin1'a'", "n'a'", "'-1'", "-1.0", "0.0", "4294967297", "9223372036854775808", "1+1", "concat('a','')",
    "cast(1 as char)", "cast('1' as unsigned)", "cast('2020-01-01' as date)", "abs(-1)", "coalesce(null, 1)", "-(1)",
    "- -1", "!0",
    "(1)", "'1' '0'", "'a' 'bc'", "if(1, 2, 3)", "'\\a'", '"1"', "@@sql_safe_updates + 1", "interval(1,2)", "1 div 1",
    "'a' collate utf8mb4_bin", "greatest(1,2)", "cast(1 as decimal(4,2))", "1.50", "'1.50'", "99999999999999999999.5",
)  # fmt: skip

NUMBERS: Final = ("0", "1", "2", "-1", "'1'", "null", "1.5", "'x'", "7", "a", "99999999999", "' 2'", "''", "true")
TEXTS: Final = ("'x'", "'y'", "''", "null", "'too long for it'", "'é'", "1", "b", "'x '", "'X'", "'it''s'", "'a\\\\b'")
DECIMALS: Final = ("0", "1.25", "1.255", "'2.5'", "c", "-3", "99999", "null", "c + 1", "'z'")
TIMES: Final = ("null", "'2020-01-01 10:00:00'", "'2020-01-01'", "'2020-02-30'", "now()", "20200101101010", "''", "d")
SETTINGS: Final = (
    "set sql_mode = ''", "set sql_mode = 'ANSI_QUOTES'", "set sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES'",
    "set sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE'", "set sql_mode = default", "set time_zone = '+05:00'",
    "set time_zone = default", "set names utf8mb4", "set names latin1", "set names utf8mb4 collate utf8mb4_bin",
    "set sql_mode = 'PIPES_AS_CONCAT'", "set sql_mode = 'TRADITIONAL'", "set sql_mode = 'NO_ZERO_IN_DATE'",
    "set sql_auto_is_null = 0", "set sql_safe_updates = 0", "set autocommit = 1",
    "set @@session.sql_warnings = 1", "set sql_mode = 'IGNORE_SPACE'",
)  # fmt: skip
TRANSACTIONS: Final = (
    "begin", "start transaction", "commit", "rollback", "savepoint s", "savepoint s2", "rollback to s",
    "rollback to savepoint s2", "release savepoint s", "commit and chain",
    "rollback and chain", "begin work", "start transaction with consistent snapshot", "SAVEPOINT S",
    "rollback work to savepoint s", "commit work and no chain",
    "set transaction isolation level read committed",
)  # fmt: skip
"""Of READ ONLY nothing: MySQL's BEGIN in such a transaction, and SET autocommit on both, leave it to the next one."""

ASKED: Final = (
    "select row_count()", "select last_insert_id()", "select @@autocommit", "select @@sql_mode", "select 1",
    "select 1 from dual where 1 = 0", "select 'a' = 'A', 'x''y'", "select @@last_insert_id", "select @@identity",
    "select \"a\"", "select 'a\\'b'", "select 1/0", "select cast('x' as signed)", "select 1; select 2",
    "select 1; rollback; select nosuch; select 3", "do 1",
)  # fmt: skip


@dataclass(slots=True)
class Maker:
    """Statements, one after the other, from one seed."""

    dice: random.Random
    tables: tuple[str, ...] = tuple(TABLES)
    savepoints: bool = True
    weights: dict[str, int] = field(default_factory=lambda: {
        "insert": 6, "select": 8, "update": 4, "delete": 2, "transaction": 4, "ask": 4, "set": 1
    })  # fmt: skip

    def statement(self) -> str:
        """The next one."""
        [kind] = self.dice.choices(list(self.weights), list(self.weights.values()))
        match kind:
            case "insert":
                return self.insert()
            case "select":
                return self.select()
            case "update":
                return self.update()
            case "delete":
                return f"delete from {self.table()} where {self.condition()}"
            case "transaction":
                found = self.dice.choice(TRANSACTIONS)
                return found if self.savepoints or "savepoint" not in found.lower() else "commit"
            case "set":
                return self.dice.choice(SETTINGS)
        return self.dice.choice(ASKED)

    def table(self) -> str:
        return self.dice.choice(self.tables)

    def key(self, table: str) -> str:
        return self.dice.choice(KEYS[table] if self.dice.random() < 0.9 else ODD)

    def value(self, column: str) -> str:
        values = {"a": NUMBERS, "b": TEXTS, "c": DECIMALS, "d": TIMES}[column]
        return self.dice.choice(values)

    def insert(self) -> str:
        table = self.table()
        count = self.dice.choice((1, 1, 2, 3, 5))
        columns = [column for column in "abcd" if self.dice.random() < 0.5]
        rows = ", ".join(self.row(table, columns) for _ in range(count))
        head = self.dice.choice(("insert into", "insert into", "insert into", "insert ignore into", "replace into"))
        tail = ""
        if head == "insert into" and self.dice.random() < 0.3:
            tail = f" on duplicate key update {self.changes(table, new=True)}"
        return f"{head} {table} ({', '.join(['k', *columns])}) values {rows}{tail}"

    def row(self, table: str, columns: list[str]) -> str:
        cells = [self.value(column) for column in columns]
        cells = ["default" if cell in ("a", "b", "c", "d", "c + 1") else cell for cell in cells]
        return f"({', '.join([self.key(table), *cells])})"

    def changes(self, table: str, *, new: bool = False) -> str:
        columns = self.dice.sample("abcd", self.dice.choice((1, 1, 2)))
        cells = [f"{column} = {self.value(column)}" for column in columns]
        if new and self.dice.random() < 0.5:
            cells.append("b = values(b)")
        return ", ".join(cells)

    def update(self) -> str:
        table = self.table()
        ignore = "ignore " if self.dice.random() < 0.15 else ""
        return f"update {ignore}{table} set {self.changes(table)} where {self.condition(table)}"

    def select(self) -> str:
        table = self.table()
        what = self.dice.choice((
            "*", "k, a", "k + 0, b", "a, c * 2, d", "hex(k), length(b)", "t.k, t.b", "k as kk, 'x' as x, 1.50",
            "cast(c as char), d + interval 1 day", "k, a is null, b like 'x%'", "ifnull(a, 'none'), upper(b)", "'a'",
            "coalesce(d, '2020-01-01'), a div 2, a / 3", "distinct k, a", "case when a > 1 then b else c end",
        ))  # fmt: skip
        lock = self.dice.choice(("", "", "", "", " for update", " lock in share mode"))
        return f"select {what} from {table} as t where {self.condition(table)}{lock}"

    def condition(self, table: str | None = None, depth: int = 2) -> str:
        table = table or self.table()
        roll = self.dice.random()
        if depth and roll < 0.25:
            word = self.dice.choice(("and", "or", "and", "or", "xor", "&&"))
            return f"({self.condition(table, depth - 1)} {word} {self.condition(table, depth - 1)})"
        if depth and roll < 0.3:
            return f"not {self.condition(table, depth - 1)}"
        if roll < 0.8:
            return self.about_key(table)
        return self.dice.choice((
            "a is null", "a = 1", "b = 'x'", "b like 'x%'", "c > 1", "d is not null", "a in (1, 2)", "1", "0", "null",
            "a <=> null", "c between 0 and 2", "b in ('x', 'y')", "length(b) > 1", "true", "a = k", "1 = 1",
        ))  # fmt: skip

    def operand(self, table: str) -> str:
        return self.dice.choice(KEYS[table] if self.dice.random() < 0.6 else ODD)

    def about_key(self, table: str) -> str:
        one, other, third = (self.operand(table) for _ in range(3))
        # Of such a union with a NULL in it MariaDB answers another thing for the first row than for those behind it.
        first, second = (each if each != "null" else "7" for each in (one, other))
        return self.dice.choice((
            f"k = {one}", f"k = {one}", f"k = {one}", f"{one} = k", f"k in ({one}, {other})",
            f"k in ({one}, {other}, {third})", f"k <=> {one}", f"k between {one} and {other}",
            f"k not in ({one}, {other})", f"k <> {one}", f"k > {one}", "k is null", "k is not null", f"k like {one}",
            f"k + 0 = {one}", f"-k = {one}", f"(k, a) = ({one}, {other})", f"(k) = ({one})",
            f"k = {one} or k = {other}", f"k = {one} and k = {other}", f"k in (null, {one})", f"k = {one} is true",
            f"(k = {one}) = {other}",
            f"not k = {one}", f"k = {one} = 1", f"!(k = {one})", f"binary k = {one}", f"k = binary {one}",
            f"k collate utf8mb4_bin = {one}", f"k in ({one})", f"k = {one} + 0", f"k = all (select {one})",
            f"k in (select {one})", f"(k, a) in (({one}, 1), ({other}, 2))",
            f"k = any (select {first} union select {second})",
        ))  # fmt: skip
