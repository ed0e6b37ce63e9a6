"""INSERT and REPLACE through the front door, compared with one plain server in everything a client can see.

The plain server's tables are AUTO_INCREMENT where vgate has a sequence; before each case its counter is put where the
sequence stands, so that ids agree. (Where rows are found instead of stored, one server takes an id again that vgate has
used up; such cases compare ids by their rank.) Also: on which shard rows land, what failures leave behind, what is
refused and why, and how long other clients wait while a long INSERT is worked through.

It is one thing, though long: all its cases share the tables, the two sides and the way they are compared.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest
from pymysql.constants import CLIENT

from tests.fix_oracle import Answer, Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import PASSWORD, USER, USERS, VgateProcess, run_vgate, with_addresses
from vgate.sql.versioned import Flavour
from vgate.vschema.load import load_vschema
from vgate.vschema.model import VSchema

VSCHEMA = """
keyspaces:
  product:
    sharded: false
    tables:
      person_seq: {type: sequence}
      event_seq: {type: sequence}
      item_seq: {type: sequence}
      item: {auto_increment: {column: id, sequence: item_seq}}
    shards: ["-"]
  customer:
    sharded: true
    secondary_unique: local
    vindexes: {hash: {type: hash}, bytes: {type: xxhash}, loose: {type: unicode_loose_xxhash}}
    tables:
      person:
        column_vindexes: [{column: id, name: hash}]
        auto_increment: {column: id, sequence: product.person_seq}
      event:
        column_vindexes: [{column: user_id, name: hash}]
        auto_increment: {column: id, sequence: product.event_seq}
      counting:
        column_vindexes: [{column: user_id, name: hash}]
      word: {column_vindexes: [{column: w, name: bytes}]}
      loose: {column_vindexes: [{column: w, name: loose}]}
    shards: ["-80", "80-"]
"""
TABLES = {
    "person": """create table person (id bigint not null {counts}, name varchar(20), n int not null default 7, t text,
        b longblob, d decimal(10, 2), req int not null, s varchar(10) character set latin1, at datetime, primary key (id))
        """,
    "event": """create table event (user_id bigint not null, id bigint not null {counts}, what varchar(30),
        n int not null default 0, primary key (id, user_id), unique key uw (user_id, what))""",
    "word": "create table word (w varchar(40) character set utf8mb4 collate {bytes} not null, n int, primary key (w))",
    "loose": "create table loose (w varchar(40) character set utf8mb4 not null, n int, primary key (w))",
    "product.item": """create table product.item (id bigint not null {counts}, name varchar(20) unique,
        primary key (id))""",
    "product.native": "create table product.native (id bigint not null auto_increment primary key, n int)",
}
SEQUENCE = "create table {name} (id bigint, next_id bigint, cache bigint, primary key (id)) comment 'vitess_sequence'"
FIRST: Final = 100
"""Where sequences begin: below are the ids that tests give themselves."""

SEEDS = {
    "person": "insert into person (id, name, req) values (1, 's1', 1), (2, 's2', 2), (3, 's3', 3), (4, 's4', 4)",
    "event": "insert into event (id, user_id, what) values (1, 1, 'a'), (2, 2, 'a'), (3, 4, 'a'), (4, 4, 'b')",
    "product.item": "insert into product.item (id, name) values (1, 'a'), (2, 'b'), (3, 'c')",
}
SEQUENCES = {"person": "person_seq", "event": "event_seq", "product.item": "item_seq"}
WIDE = (1136, 1235, 1105, 1064, 1146, 1062)
"""Errors of which only the number is compared: their texts are Vitess's, the parser's own, or (1062) name one of several
rows that are there already, and the shards find theirs at the same time."""


@dataclass(slots=True)
class Sides:
    """A session in vgate and one on the plain server, over the same tables."""

    oracle: Oracle
    vschema: VSchema
    tables: set[str] = field(default_factory=set)

    def ready(self, table: str, *, seed: bool = True) -> None:
        """Both tables hold the seed, the plain one's counter and the session's insert id are as vgate's."""
        for statement in (f"delete from {table}", *([SEEDS[table]] if seed else [])):
            self.done(statement)
        if table in SEQUENCES:
            [[value]] = self.vgate(f"select next value from product.{SEQUENCES[table]}").rows
            assert self.oracle.only_plain(f"alter table {table} auto_increment = {value + 1}").error is None
        self.done("set last_insert_id = 7")

    def done(self, statement: str) -> None:
        """Run it on both; it must work."""
        for connection in (self.oracle.vgate, self.oracle.plain):
            answer = ask(connection, statement)
            assert answer.error is None, (statement, answer.error)

    def vgate(self, statement: str | bytes) -> Answer:
        answer = ask(self.oracle.vgate, statement)
        assert answer.error is None, (statement, answer.error)
        return answer

    def same(self, statement: str, table: str, *, by_rank: bool = False) -> Answer:
        """Both give the same answer and hold the same rows; so do LAST_INSERT_ID() and SHOW WARNINGS afterwards."""
        mine, theirs = (_Outcome.of(one, statement, table) for one in (self.oracle.vgate, self.oracle.plain))
        left, right = (mine.by_rank(), theirs.by_rank()) if by_rank else (mine, theirs)
        assert left == right, f"{statement!r}: vgate {mine!r}, one server {theirs!r}"
        return mine.answer

    def case(self, statement: str, table: str, *, by_rank: bool = False, seed: bool = True) -> Answer:
        """``ready``, then ``same``."""
        self.ready(table, seed=seed)
        return self.same(statement, table, by_rank=by_rank)

    def shards_of(self, table: str, column: str) -> dict[str, set[Any]]:
        """The values of a column on each shard."""
        return {
            shard.name: {row[0] for row in self.oracle.cluster[f"customer/{shard.name}"].query(
                f"select {column} from {table}", "customer")}
            for shard in self.vschema.keyspace("customer").shards
        }  # fmt: skip

    def shard_for(self, table: str, value: int | bytes) -> str:
        """Where the VSchema says that a row belongs."""
        keyspace = self.vschema.keyspace("customer")
        primary = keyspace.tables[table].primary_vindex
        keyspace_id = primary.vindex.map(value) if primary is not None else None
        assert keyspace_id is not None
        return keyspace.shards[keyspace.shard_map.find(keyspace_id)].name


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one side made of a statement."""

    answer: Answer
    warnings: tuple[tuple[Any, ...], ...]
    last_insert_id: int | None
    rows: tuple[tuple[Any, ...], ...]
    key: int

    @staticmethod
    def of(connection: pymysql.Connection[Any], statement: str, table: str) -> _Outcome:
        answer = ask(connection, statement)
        error = answer.error
        # Texts name the key as 'PRIMARY' or 'person.PRIMARY'; a failed statement leaves LAST_INSERT_ID() undefined.
        answer = Answer(
            affected=answer.affected, insert_id=answer.insert_id, warnings=answer.warnings, info=answer.info,
            status=answer.status & 0x2001, error=None if error is None else (error[0], ""),
        )  # fmt: skip
        warnings = ask(connection, "show warnings").rows if error is None or error[0] not in WIDE else ()
        last = None if error is not None else ask(connection, "select last_insert_id()").rows[0][0]
        rows = ask(connection, f"select * from {table}").rows
        key = 1 if table == "event" else 0
        return _Outcome(answer, warnings, last, tuple(sorted(rows, key=repr)), key)

    def by_rank(self) -> tuple[Any, ...]:
        """The same with every generated id replaced by its rank."""
        generated = sorted(row[self.key] for row in self.rows if isinstance(row[self.key], int) and row[self.key] >= FIRST)

        def ranked(number: Any) -> Any:
            if not isinstance(number, int) or number < FIRST:
                return number
            return ("generated", generated.index(number)) if number in generated else "generated, not stored"

        rows = sorted(
            ((*row[: self.key], ranked(row[self.key]), *row[self.key + 1 :]) for row in self.rows), key=repr
        )
        answer = self.answer
        return (
            answer.error, answer.affected, ranked(answer.insert_id), answer.warnings, answer.info, answer.status,
            sorted(self.warnings), ranked(self.last_insert_id), rows,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class House:
    """vgate over two shards and the plain server, with all tables."""

    cluster: Cluster
    process: VgateProcess
    vschema: VSchema


@pytest.fixture(scope="module")
def house(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for the whole module: tests empty the tables they use."""
    cluster.clear()
    directory = tmp_path_factory.mktemp("vgate")
    (directory / "vschema.yaml").write_text(with_addresses(VSCHEMA, cluster))
    (directory / "vgate.yaml").write_text(USERS)
    process = run_vgate(directory, [
        "serve", "--vschema", str(directory / "vschema.yaml"), "--config", str(directory / "vgate.yaml"),
        "--listen", "127.0.0.1:0",
    ])  # fmt: skip
    try:
        make_tables(cluster, process)
        yield House(cluster, process, load_vschema(directory / "vschema.yaml", environ={}))
    finally:
        process.kill()


def make_tables(cluster: Cluster, process: VgateProcess) -> None:
    collation = {Flavour.MYSQL: "utf8mb4_0900_bin", Flavour.MARIADB: "utf8mb4_nopad_bin"}[cluster.flavour]
    with closing(process.connect("customer")) as mine, closing(cluster.plain.connect("customer")) as plain:
        for text in TABLES.values():
            for connection, counts in ((mine, ""), (plain, "auto_increment")):
                made = ask(connection, text.format(counts=counts, bytes=collation))
                assert made.error is None, (text, made.error)
        # Shards that count for themselves, as only who aims at each of them can make them; nothing may come of it.
        for shard in ("-80", "80-"):
            text = "create table counting (user_id bigint, id bigint auto_increment primary key, n int)"
            process.query(text, f"customer:{shard}")
        for name in SEQUENCES.values():
            process.query(SEQUENCE.format(name=name), "product")
            process.query(f"insert into {name} values (0, {FIRST}, 1000)", "product")


@pytest.fixture
def connect(house: House) -> Iterator[Callable[..., Sides]]:
    """New sessions on both sides, as often as wanted."""
    with ExitStack() as open_ones:

        def new(**options: Any) -> Sides:
            mine = open_ones.enter_context(closing(house.process.connect("customer", **options)))
            plain = open_ones.enter_context(closing(house.cluster.plain.connect("customer", **options)))
            return Sides(Oracle(mine, plain, house.cluster, house.process), house.vschema)

        yield new


@pytest.fixture
def sides(connect: Callable[..., Sides]) -> Sides:
    return connect()


# -- forms --------------------------------------------------------------------------------------------------------

FORMS = [
    "insert into person (name, req) values ('a', 1)",
    "insert into person (name, req) values ('a', 1), ('b', 2), ('c', 3), ('d', 4)",
    "insert person (req, name) value (1, 'a'), (2, 'b')",
    "INSERT INTO `person` (`req`, `NAME`) VALUES(1,'a'),(2,'b');",
    "insert into customer.person (person.req, customer.person.name) values (1, 'a'), (2, 'b')",
    "insert into person set name = 'x', req = 5",
    "insert into person set req := 5, id = default, name = 'y'",
    "insert into person set req = 5, id = null, name = concat('a', upper('c'))",
    "insert into person set person.req = 5, id = 0, n = req + 1",
    "insert into person values (null, 'n', 1, 't', 'b', 1.5, 3, 's', null)",
    "insert into person values (default, 'n', default, 't', 'b', 1.5, 3, 's', null), (0, 'n', 1, '', '', 2, 3, '', now())"
    .replace("now()", "'2020-01-01'"),
    "insert into person (name, n, req, t) values (concat('a', (1 + 2) * 3), length('abc'), 2, repeat('x', 5)),"
    " (upper('q'), greatest(1, 2, 3), 1 + 1, \"d'q\")",
    "insert /* c */ into -- x\n person # y\n (name /* ,id */, req) /* (c) */ values /*d*/ ( 'a' /*,*/ , 1 ) /*e*/ ,"
    " ('b'--\n, 2) /* last */",
    "insert into person (req, name) /* :) */ values (1, /* ( */ 'x' # )\n), (2, 'y')",
    "insert /*! into */ person /*!40000 (name, req) */ values ('a', 1), /*!('b', 2),*/ ('c', 3)",
    "insert low_priority into person (name, req) values ('lp', 1), ('lq', 2)",
    "insert high_priority person (name, req) values ('lp', 1), ('lq', 2)",
    "insert ignore into person (name, req) values ('i', 1), ('j', 2), ('k', 3)",
    "insert into person (name, req) values ('v1', 1), ('v4', 4) on duplicate key update name = 'x'",
    "replace person (name, req) values ('r1', 1), ('r2', 2)",
    "replace into person set name = 'z', req = 9",
    "insert into person (name, req) values (name, 1), ('x', n), ('z', req + 1)",
    "insert into person (name, req) values ('v1', last_insert_id())",
    "insert into person (name, req) values ('v1', last_insert_id()), ('v1', last_insert_id()), ('v1', last_insert_id())",
    "insert into person (name, req) values ('v1', last_insert_id(88)), ('v2', last_insert_id(89))",
]


def test_every_form(sides: Sides) -> None:
    for form in FORMS:
        assert sides.case(form, "person").error is None, form


def test_empty_rows(sides: Sides) -> None:
    """Everything has its default there, but for the column that needs a value: 1364 unless the mode is lenient."""
    for form in ("insert into person () values ()", "insert into person values ()", "insert into person values (), ()"):
        sides.case(form, "person")
    sides.done("set sql_mode = ''")
    for form in ("insert into person () values ()", "insert into person values (), ()"):
        assert sides.case(form, "person").error is None
    for form in ("insert into product.item () values ()", "insert into product.item values (), (), ()"):
        assert sides.case(form, "product.item").error is None


@pytest.mark.parametrize("given", [
    "null", "default", "NULL", "0", "'0'", "0.0", "0e0", "-0", "'0.0'", "false", "/* c */ null -- d\n", "\\N",
])  # fmt: skip
def test_values_in_whose_place_an_id_is_generated(sides: Sides, given: str) -> None:
    answer = sides.case(f"insert into person (name, id, req) values ('a', {given}, 1)", "person")
    if given == "\\N" and sides.oracle.cluster.flavour is Flavour.MYSQL:
        assert answer.error == (1064, "")
        return
    assert answer.insert_id >= FIRST
    sides.case(f"insert into person (id, req) values ({given}, 1), (null, 2), ({given}, 3), (0, 4)", "person")
    sides.case(f"insert into event (user_id, id) values (1, {given}), (4, {given})", "event")
    sides.case(f"insert into product.item (name, id) values ('x', {given}), ('y', {given})", "product.item")


@pytest.mark.parametrize("given", ["50", "'50'", "50.0", "50e0", "-5", "+50", "- 5", "'-5'", "true", "/*c*/50/*d*/"])
def test_ids_given(sides: Sides, given: str) -> None:
    """The OK has the last of them, LAST_INSERT_ID() stays."""
    for table, columns, other in (("person", "id, req", "60, 1"), ("event", "id, user_id", "60, 4")):
        sides.case(f"insert into {table} ({columns}) values ({given}, 1)", table, seed=False)
        sides.case(f"insert into {table} ({columns}) values ({given}, 1), ({other})", table, seed=False)
        sides.case(f"insert into {table} ({columns}) values ({other}), ({given}, 1)", table, seed=False)


def test_ids_given_and_generated_in_one_statement(sides: Sides) -> None:
    sides.case("insert into person (id, req) values (50, 1), (null, 2), (51, 3)", "person")
    sides.case("insert into person (id, req) values (null, 1), (50, 2), (0, 3), (default, 4), (51, 5)", "person")
    sides.case("insert into person (id, req) values (4611686018427387904, 1)", "person", seed=False)
    sides.ready("person", seed=False)


def test_zero_is_an_id_under_no_auto_value_on_zero(sides: Sides) -> None:
    sides.done("set sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
    for zero in ("0", "'0'", "0.0"):
        assert sides.case(f"insert into person (id, name, req) values ({zero}, 'z', 1)", "person").insert_id == 0
        sides.case(f"insert into person (id, name, req) values ({zero}, 'z', 1), (null, 'g', 2)", "person")
        sides.case(f"insert into person (id, name, req) values ({zero}, 'z', 1), ({zero}, 'again', 2)", "person")
    assert sides.case("insert into person (name, req) values ('absent', 1)", "person").insert_id >= FIRST
    assert sides.shard_for("person", 0) == "80-"
    sides.case("insert into person (id, req) values (0, 1)", "person", seed=False)
    assert sides.shards_of("person", "id") == {"-80": set(), "80-": {0}}


# -- contents -----------------------------------------------------------------------------------------------------

STRINGS = [
    r"'it''s'", r"'a\'b\\c\n\0\Z\%\_\q'", r"'x),('", "'(\"'", "'--'", "'-- '", "'/* x */'", "'#'", "';'", "'?'", "'a?b'",
    '"d\'q"', '"d""q"', r'"\""', "''", r"'\\'", r"'\\\\\''", "'日本語 𝄞'", "'ü'", "'a' 'b'", "'a' /* c */ \"b\" -- d\n 'c'",
    "_utf8mb4'x'", "_latin1 x'e4f6'", "n'nat'", "N'it''s'", "x'4142'", "0x4142", "b'1000001'", "concat('a', ')', '(')",
    "if(1, 'a,b', \"c)\")", "((('a')))", "case when 1 then 'then' else 'else' end", "cast(';' as char(3))",
    "'\\N'", "\\N", "null", "'values (1), (2)'", "'@x'", "'/*! 1 */'", "`name`", "left('abc', 2)",
    "'multi\nline\r\n\ttext'", "'%b %d {} \\\\'", "-1", "+1", "1.50", "1e3", "true",
]  # fmt: skip


def test_strings_of_every_kind(sides: Sides) -> None:
    """One by one, all in one statement on both shards, and next to each other in one row."""
    strings = [one for one in STRINGS if one != "\\N" or sides.oracle.cluster.flavour is Flavour.MARIADB]
    for one in strings:
        answer = sides.case(f"insert into person (name, req, t) values ({one}, 1, {one}), ({one}, 2, 'x')", "person")
        assert answer.error is None, one
    sides.case(f"insert into person (t, req) values {', '.join(f'({one}, {k})' for k, one in enumerate(strings))}", "person")
    sides.case(f"insert into person (req, t) values (1, concat({', '.join(strings[:20])}))", "person")


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"])
def test_strings_as_the_sql_mode_reads_them(sides: Sides, mode: str) -> None:
    sides.done(f"set sql_mode = '{mode}'")
    quote = "'"
    for one in (r"'a\'", r"'\\'", "'it''s'", r"'\'", "'\"'", r"'x\n'", r"'a\',1),(' b'"):
        if "NO_BACKSLASH" not in mode and one.count("\\") % 2 and one.endswith(f"\\{quote}"):
            continue
        sides.case(f"insert into person (name, req) values ({one}, 1), ('b', 2), ({one}, 3)", "person")
    sides.case('insert into person ("name", req) values (\'a\', 1), (\'b\', 2)', "person")
    sides.case("insert into person (name, req) values (\"a\", 1), ('b', 2)", "person")


CHARSETS = {
    "latin1": "cp1252", "gbk": "gbk", "cp1251": "cp1251", "utf8mb3": "utf-8", "big5": "big5", "sjis": "shift_jis",
    "utf8mb4": "utf-8",
}  # fmt: skip
CHARACTERS = ["plain", "é", "ж", "中", "表", "ソ", "功", "縗"]
"""Among them some whose second byte is a backslash or a quote to who reads bytes."""


@pytest.mark.parametrize("charset", CHARSETS)
def test_character_sets(sides: Sides, charset: str) -> None:
    """Rows are cut by what the client's bytes mean, and go to the shard of the characters."""
    known = 0
    for text in CHARACTERS:
        try:
            raw = text.encode(CHARSETS[charset])
        except UnicodeEncodeError:
            continue
        sides.ready("person", seed=False)
        sides.done("delete from word")
        sides.done(f"set names {charset}")
        person = b"insert into person (name, req, t) values ('%b', 1, '%b'), ('q', 2, 'x%b,')" % (raw, raw, raw)
        outcomes = [ask(one, person) for one in (sides.oracle.vgate, sides.oracle.plain)]
        word = b"insert into word (n, w) values (1, '%b'), (2, 'y%b')" % (raw, raw)
        words = ask(sides.oracle.vgate, word)
        sides.done("set names utf8mb4")
        assert outcomes[0].error is None, text
        assert outcomes[0] == outcomes[1]
        for table in ("person", "word"):
            if table == "word" and words.error is not None:  # no character set of ours: refused, as it may be misread
                assert "could not map" in words.error[1]
                continue
            if table == "word":
                known += 1
                assert ask(sides.oracle.plain, f"insert into word (n, w) values (1, '{text}'), (2, 'y{text}')").error is None
                for shard, values in sides.shards_of("word", "w").items():
                    assert all(sides.shard_for("word", value.encode()) == shard for value in values)
            sides.oracle.both(f"select * from {table}", ignore=("columns",))
    assert known >= (1 if charset in ("big5", "sjis") else 2)


@pytest.mark.parametrize("size", [1 << 20, 5 << 20])
def test_large_values(sides: Sides, size: int) -> None:
    content = random.Random(size).randbytes(size)
    escaped = content.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\0", b"\\0")
    sides.ready("person", seed=False)
    statement = (
        b"insert into person (name, req, b) values ('a', 1, _binary'" + escaped + b"'), ('b', 2, x'00'), ('c', 3, 0x"
        + content[: size // 4].hex().encode() + b"), ('d', 4, _binary'" + escaped + b"')"
    )  # fmt: skip
    mine, theirs = ask(sides.oracle.vgate, statement), ask(sides.oracle.plain, statement)
    assert mine.error is None
    assert mine == theirs
    sides.oracle.both("select id, name, length(b), md5(b) from person", ignore=("columns",))
    sides.ready("person", seed=False)


def test_a_statement_of_more_than_one_packet(connect: Callable[..., Sides]) -> None:
    sides = connect(max_allowed_packet=64 << 20)
    sides.ready("person", seed=False)
    content = "z" * 17_000_000
    for rows in (f"('a', 1, '{content}')", f"('a', 1, '{content}'), ('b', 2, ''), ('c', 3, '')"):
        assert sides.vgate(f"insert into person (name, req, b) values {rows}").error is None
    error = ask(sides.oracle.vgate, f"insert into person (id, req, b) values (null, null, '{content}')").error
    assert error is not None
    assert error[0] == 1048
    sides.ready("person", seed=False)


def test_rows_of_many_columns(sides: Sides) -> None:
    """More than are read in one step, and names that are words of the language."""
    names = ", ".join(f"`c{k}`" for k in range(300))
    shape = ", ".join(f"`c{k}` int default {k}" for k in range(300))
    sides.done("drop table if exists loose")
    try:
        sides.done(f"create table loose (w varchar(40) not null primary key, `values` int, `on` int, {shape})")
        sides.case(f"insert into loose (w, `values`, `on`, {names}) values ('a', 1, 2, {'3, ' * 299}4), "
                   f"('b', (1), null, {'default, ' * 299}0), ('c', 1, 2, {'-1, ' * 300}".rstrip(", ") + ")", "loose", seed=False)
    finally:
        sides.done("drop table loose")
        sides.done(TABLES["loose"])


# -- errors -------------------------------------------------------------------------------------------------------

ERRORS = [
    "insert into person (id, name, req) values (1, 'dup', 1)",
    "insert into person (id, name, req) values (60, 'x', 1), (1, 'dup', 1), (61, 'x', 1), (2, 'dup', 1)",
    "insert into person (id, name, req) values (71, 'x', 1), (72, 'x', 1), (73, 'x', 1), (71, 'dup', 1)",
    "insert into person (name, req) values ('x')",
    "insert into person (name, req) values ('x', 1), ('y')",
    "insert into person (name, req) values ('x', 1), ('y', 2, 3)",
    "insert into person (name, req) values ('x', 1), ()",
    "insert into person values ('x', 1)",
    "insert into person (name, nope) values ('x', 1)",
    "insert into person (name, nope) values ('x', 1), ('y', 2)",
    "insert into person (name, name, req) values ('x', 'y', 1), ('y', 'z', 2)",
    "insert into person (id, id, req) values (1, 2, 1)",
    "insert into person (name, req) values ('x', null)",
    "insert into person (name, req) values ('x', null), ('y', null)",
    "insert into person (name, req) values ('x', 1), ('y', 2), ('z', null)",
    "insert into person (name, req) values (repeat('x', 21), 1)",
    "insert into person (name, req) values ('ok', 1), (repeat('x', 21), 1), ('ok', 1), (repeat('y', 21), 1)",
    "insert into person (name) values ('x')",
    "insert into person (name) values ('x'), ('y'), ('z')",
    "insert into person (name, req) values ('x', 99999999999)",
    "insert into person (name, req) values ('x', 1), ('x', 99999999999), ('z', 3), ('q', 99999999999)",
    "insert into person (name, req) values ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5), ('f', '12abc')",
    "insert into person (name, req, s) values ('x', 1, '日本')",
    "insert into person (name, req, at) values ('x', 1, '2020-02-31'), ('y', 2, '2020-02-31')",
    "insert into person (name, req) values (nope, 1)",
    "insert into person (name, req) values (nope, 1), ('x', 2), ('y', 3)",
    "insert into event (id, user_id, what) values (90, 1, 'new'), (91, 4, 'a')",
    "insert into nope (name) values ('x')",
]
SYNTAX = [
    "insert into person (name, req) values ('x', 1), ('y', 2", "insert into person (name, req) values ('x', 1) garbage",
    "insert into person (name, req) values ('x', 1) garbage, ('y', 2)", "insert into person (name, req) values ('x', 1),",
    "insert into person (name, req) values", "insert into person (name, req) valuess ('x', 1)",
    "insert into person (name req) values ('x', 1)", "insert into person (name, req) values ('x', , 1)",
    "insert into person (name, req) values ('x', 1,)", "insert into person (name, req) values ('x', 1) ('y', 2)",
    "insert into person (name, req) values ('x', (1)", "insert into person (name, req) values ('x', 1))", "insert into",
    "insert", "insert into person set", "insert into person set name", "insert into person set name = , req = 1",
    "insert into person (name, req) values ('x', 1);;select 1", "insert into person (name, req) values ('x, 1)",
]  # fmt: skip


def test_errors(sides: Sides) -> None:
    for statement in ERRORS:
        table = "event" if "into event" in statement else "person"
        answer = sides.case(statement, table)
        assert answer.error is not None, statement
    assert len({ask(sides.oracle.vgate, one).error for one in ERRORS}) > 10


@pytest.mark.parametrize("statement", SYNTAX)
def test_errors_of_syntax(sides: Sides, statement: str) -> None:
    """They are the server's own 1064, and end neither the connection nor the statements after."""
    answer = sides.case(statement, "person")
    assert answer.error == (1064, "")


def test_an_error_names_the_row_of_the_whole_statement(sides: Sides) -> None:
    """Each shard counts the rows it was given, and these lie on both."""
    sides.ready("person", seed=False)
    rows = [f"({k}, 'x')" for k in range(60, 76)]
    for bad in (3, 9, 14):
        broken = [*rows[:bad], f"({60 + bad}, repeat('y', 21))", *rows[bad + 1 :]]
        statement = "insert into person (id, name, req) values " + ", ".join(one.replace(")", ", 1)", 1)
            if "repeat" not in one else f"({60 + bad}, repeat('y', 21), 1)" for one in broken)  # fmt: skip
        mine, theirs = (ask(one, statement) for one in (sides.oracle.vgate, sides.oracle.plain))
        assert mine.error is not None
        assert mine.error == theirs.error
        assert mine.error[1].endswith(f"at row {bad + 1}")


LENIENT = [
    "insert into person (name, req) values ('x', 99999999999), (repeat('y', 30), 1), ('z', 'q'), ('z', 3)",
    "insert into person (name, req) values ('x', 99999999999)",
    "insert into person (name, req) values (repeat('y', 30), null)",
    "insert into person (name) values ('x'), ('y'), ('w'), ('w')",
    "insert into person (name, req, at) values ('x', 1, '0000-00-00'), ('y', 2, '2020-02-31'), ('z', 3, 'rubbish')",
    "insert into person (name, req, s) values ('x', 1, '日本'), ('x', 1, '日本'), ('x', 1, '日本')",
]


@pytest.mark.parametrize("mode", ["", "STRICT_ALL_TABLES", "TRADITIONAL", "NO_ZERO_DATE"])
def test_out_of_range_in_every_mode(sides: Sides, mode: str) -> None:
    """Warnings come in the order of the rows, with their numbers, and are counted as one server counts them."""
    sides.done(f"set sql_mode = '{mode}'")
    for statement in LENIENT:
        sides.case(statement, "person")
        sides.case(statement.replace("insert", "insert ignore", 1), "person", by_rank="null" in statement)


def test_a_null_alone_on_its_shard_is_an_error(sides: Sides) -> None:
    """Without a strict mode servers take NULL for 0 in a statement of several rows, but not in one of a single row; a
    shard that is given one row refuses it. Nothing is stored then, on any shard."""
    sides.done("set sql_mode = ''")
    sides.ready("person")
    answer = ask(sides.oracle.vgate, "insert into person (id, req) values (60, null), (64, 1), (61, 1), (65, 1), (4, 1)")
    assert answer.error is not None
    assert answer.error[0] in (1048, 1062)
    found = sides.shards_of("person", "id")
    assert found["-80"] | found["80-"] == SEEDED


def test_row_count_afterwards(sides: Sides) -> None:
    for statement in (
        "insert into person (name, req) values ('a', 1), ('b', 2), ('c', 3)", "insert into person (req) values (1)",
        "insert ignore into person (id, req) values (1, 1), (2, 2), (60, 3)", "insert into person (id, req) values (1, 1)",
        "insert into person (id, req) values (1, 1), (2, 1), (61, 1) on duplicate key update n = n + 1",
        "replace into person (id, req) values (1, 1), (4, 1), (62, 1)", "insert into person (id, req) values (1, 1), (3, 1)",
    ):  # fmt: skip
        sides.ready("person")
        for connection in (sides.oracle.vgate, sides.oracle.plain):
            ask(connection, statement)
        sides.oracle.both("select row_count()", ignore=("columns",))


# -- rows that are there already ----------------------------------------------------------------------------------

BY_ID = [
    "insert ignore into person (id, name, req) values (1, 'dup', 1), (2, 'dup', 2), (60, 'new', 3)",
    "insert ignore into person (id, name, req) values (60, 'new', 3), (1, 'dup', 1), (2, 'dup', 2)",
    "insert ignore into person (id, name, req) values (1, 'dup', 1)",
    "insert ignore into person (id, name, req) values (1, 'dup', 1), (2, 'dup', 2), (4, 'dup', 4)",
    "insert ignore into person (id, name, req) values (null, 'new', 1), (4, 'dup', 2), (3, 'dup', 2)",
    "insert ignore into person (id, name, req) values (4, 'dup', 2), (null, 'new', 1), (3, 'dup', 2)",
    "insert into person (id, name, req) values (1, 'up', 1) on duplicate key update name = 'upd'",
    "insert into person (id, name, req) values (60, 'up', 1) on duplicate key update name = 's1'",
    "insert into person (id, name, req) values (1, 'v1', 1), (2, 'v2', 1), (4, 'v4', 4) on duplicate key update"
    " name = values(name), n = n + 1",
    "insert into person (id, name, req) values (1, 'v1', 1), (2, 'v2', 1), (4, 'v5', 1), (60, 'new', 5) on duplicate key"
    " update name = concat(values(name), '!'), n = n + values(req)",
    "insert into person (id, name, req) values (60, 'new', 5), (1, 'v1', 1), (2, 'v2', 1) on duplicate key update n = n + 1",
    "insert into person (id, name, req) values (null, 'v1', 1), (4, 'v4', 4) on duplicate key update name = values(name)",
    "insert into person (id, name, req) values (4, 'v4', 4), (null, 'v1', 1) on duplicate key update name = values(name)",
    "insert into person (name, req) values ('v1', 1) on duplicate key update name = 'x'",
    "insert into person (id, name, req) values (3, 'v1', 1) on duplicate key update id = values(id), name = 'y'",
    "insert into person (id, name, req) values (3, 'v1', 1) on duplicate key update id = last_insert_id(id), name = 'y'",
    "insert into person (id, name, req) values (3, 'v1', 1) on duplicate key update person.id = person.id, name = 'y'",
    "insert into person (id, name, req) values (3, 'v1', 1) on duplicate key update n = last_insert_id(77), name = 'y'",
    "insert into person (id, name, req) values (3, 'v1', 1), (4, 'v1', 1) on duplicate key update n = last_insert_id(77)",
    "replace into person (id, name, req) values (1, 'r1', 1)",
    "replace into person (id, name, req) values (1, 'r1', 1), (2, 'r2', 2), (60, 'r3', 3)",
    "replace into person (id, name, req) values (1, 'r1', 1), (2, 'r2', 2), (4, 'r3', 3)",
    "replace into person (id, name, req) values (0, 'r1', 1), (2, 'r2', 2), (60, 'r3', 3)",
]
BY_ID_UNCHANGED = [
    "insert into person (id, name, req) values (1, 'up', 1) on duplicate key update name = 's1'",
    "insert into person (id, name, req) values (1, 'v1', 1), (2, 'v2', 1), (4, 'v4', 4) on duplicate key update n = 7",
    "insert into person (id, name, req) values (1, 'v1', 1), (2, 'v2', 1), (4, 'v4', 4) on duplicate key update name = 's1'",
]
"""Where nothing changes, a client that counts found rows cannot be told from the answer whether a row was new."""

ALIASED = [
    "insert into person (id, name, req) values (1, 'v1', 1), (2, 'n2', 1), (4, 'v4', 4) as new on duplicate key update"
    " name = new.name, n = new.req + 1",
    "insert into person (id, name, req) values (1, 'v1', 1), (2, 'n3', 1), (4, 'v4', 4) as new (k1, k2, k3) on duplicate"
    " key update name = k2, n = k3 + 1",
    "insert into person (id, name, req) values (1, 'v1', 1) as new on duplicate key update id = new.id, n = new.req + 1",
    "insert into person (name, req) values ('v1', 1), ('n3', 1), ('v4', 4) as new on duplicate key update name = new.name",
    "insert into person (name, req) values ('v1', 1), ('n3', 1), ('v4', 4) as new (b1, c) on duplicate key update name = b1",
    "insert into person set name = 'q', req = 1 as new on duplicate key update name = new.name",
]


@pytest.mark.parametrize("flags", [0, CLIENT.FOUND_ROWS], ids=["changed", "found"])
def test_rows_found_by_their_id(connect: Callable[..., Sides], flags: int) -> None:
    sides = connect(client_flag=flags)
    for statement in BY_ID + ([] if flags else BY_ID_UNCHANGED):
        answer = sides.case(statement, "person", by_rank=statement.startswith("insert ignore"))
        assert answer.error is None, statement
    if sides.oracle.cluster.flavour is Flavour.MYSQL:
        for statement in ALIASED:
            assert sides.case(statement, "person").error is None, statement


UPDATES = [
    "n = n + 1", "n = 0", "n = n + 1, id = last_insert_id(id)", "id = last_insert_id(id)", "n = if(what = 'a', 5, n)",
    "event.n = event.n + 1, what = what",
]  # fmt: skip
EVENTS = [
    "(user_id, what) values (1, 'a')", "(user_id, what) values (4, 'z')", "(user_id, what) values (4, 'a'), (4, 'b')",
    "(user_id, what) values (4, 'a'), (4, 'z')", "(user_id, what) values (4, 'z'), (4, 'a')",
    "(user_id, what) values (4, 'a'), (4, 'z'), (1, 'a'), (2, 'q')", "(user_id, what) values (4, 'a'), (1, 'a')",
    "(user_id, what) values (4, 'a'), (1, 'b'), (4, 'b'), (2, 'a')", "(user_id, what) values (1, 'x'), (4, 'x'), (2, 'x')",
    "(id, user_id, what) values (50, 1, 'a')", "(id, user_id, what) values (50, 1, 'z')",
    "(id, user_id, what) values (50, 1, 'z'), (51, 4, 'z')", "(id, user_id, what) values (50, 1, 'a'), (51, 4, 'a')",
]  # fmt: skip


@pytest.mark.parametrize("flags", [0, CLIENT.FOUND_ROWS], ids=["changed", "found"])
def test_rows_found_by_another_key(connect: Callable[..., Sides], flags: int) -> None:
    """The id is not the sharding column: a row that is found has another than the sequence has given."""
    sides = connect(client_flag=flags)
    for rows in EVENTS:
        for update in UPDATES:
            statement = f"insert into event {rows} on duplicate key update {update}"
            assert sides.case(statement, "event", by_rank=True).error is None
        assert sides.case(f"insert ignore into event {rows}", "event", by_rank=True).error is None
        assert sides.case(f"replace into event {rows}", "event", by_rank=True).error is None
    if sides.oracle.cluster.flavour is Flavour.MYSQL:
        for rows in ("(user_id, what) values (1, 'a')", "(user_id, what) values (4, 'zz'), (1, 'a')"):
            sides.case(f"insert into event {rows} as new on duplicate key update n = new.user_id", "event", by_rank=True)
            sides.case(f"insert into event {rows} as new (u, w) on duplicate key update n = u", "event", by_rank=True)


ITEMS = [
    "(name) values ('a')", "(name) values ('q')", "(name) values ('a'), ('b')", "(name) values ('a'), ('w'), ('b')",
    "(id, name) values (44, 'a')", "(id, name) values (44, 'zz')", "(name, id) values ('x', null), ('y', 9), ('b', 0)",
]  # fmt: skip


@pytest.mark.parametrize("flags", [0, CLIENT.FOUND_ROWS], ids=["changed", "found"])
def test_an_unsharded_table_with_a_sequence(connect: Callable[..., Sides], flags: int) -> None:
    sides = connect(client_flag=flags)
    for rows in ITEMS:
        for update in ("id = last_insert_id(id)", "name = concat(name, 'x')", "item.name = concat(item.name, '2')"):
            sides.case(f"insert into product.item {rows} on duplicate key update {update}", "product.item", by_rank=True)
        for verb in ("insert", "insert ignore", "replace"):
            sides.case(f"{verb} into product.item {rows}", "product.item", by_rank=True)


def test_ids_that_a_server_counts_itself(sides: Sides) -> None:
    """An unsharded table without a sequence: LAST_INSERT_ID() is not what the OK says where an id was given."""
    for statement in (
        "insert into product.native (n) values (1)", "insert into product.native (n) values (2), (3)",
        "insert into product.native values (50, 1)", "insert into product.native (n) values (length('abc'))",
        "insert into product.native (id, n) values (length('abcdefgh') + 70, 1)", "replace into product.native values (50, 2)",
        "insert into product.native set id = length('abcdefghi')", "insert into product.native select id + 100, n from"
        " product.native", "insert into product.native values (50, 3) on duplicate key update n = 8",
        "insert ignore into product.native values (null, 1), (50, 9)", "update product.native set n = last_insert_id(n + 60)",
    ):  # fmt: skip
        for _ in range(2):  # the second time by the fast path
            sides.oracle.both(statement)
            sides.oracle.both("select last_insert_id()", ignore=("columns",))


def test_warnings_are_counted_as_one_server_counts_them(sides: Sides) -> None:
    """What is wrong with the statement is said once, however many shards say it; of rows, each is."""
    sides.done("set sql_mode = ''")
    answer = sides.case("insert into person (name) values ('a'), ('b'), ('c'), ('d'), ('e'), ('f')", "person")
    assert answer.warnings == 1
    # Two rows at least on each shard: of a single one NULL is an error (test_a_null_alone_on_its_shard_is_an_error).
    rows = "(50, null), (51, null), (54, null), (55, null), (56, 1), (57, 1), (58, 1), (59, 1)"
    assert len({sides.shard_for("person", one) for one in (50, 51)}) == len({"-80", "80-"})
    answer = sides.case(f"insert into person (id, req) values {rows}", "person")
    assert answer.warnings == (4 if sides.oracle.cluster.flavour is Flavour.MARIADB else 1)


# -- where rows are -----------------------------------------------------------------------------------------------


def test_rows_lie_where_the_vschema_says(sides: Sides) -> None:
    sides.ready("person", seed=False)
    ids = [*range(1, 40), -1, -7, 2**62, -(2**63), 1 << 40, 123456789]
    sides.vgate("insert into person (id, req) values " + ", ".join(f"({one}, 1)" for one in ids))
    sides.vgate("insert into person (req) values " + ", ".join("(1)" for _ in range(40)))
    found = sides.shards_of("person", "id")
    assert len(found["-80"] | found["80-"]) == len(ids) + 40
    assert all(sides.shard_for("person", one) == shard for shard, ones in found.items() for one in ones)
    assert found["-80"]
    assert found["80-"]


SAME_NUMBER = ["-7", "- 7", "'-7'", "-7.0", "-7e0", "/* c */ -7 /* d */", "+7", "7.0", "7e0", "'7'"]


@pytest.mark.parametrize("written", SAME_NUMBER)
def test_a_number_has_one_place_however_it_is_written(sides: Sides, written: str) -> None:
    number = -7 if "-" in written else 7
    sides.ready("event", seed=False)
    sides.vgate(f"insert into event (user_id, what) values ({written}, 'x')")
    there = sides.shards_of("event", "user_id")
    assert there == {"-80": set(), "80-": set()} | {sides.shard_for("event", number): {number}}
    assert sides.vgate(f"select what from event where user_id = {number}").rows == (("x",),)


WORDS = ["a", "b", "A", "ä", "", "日本", "a ", " a", "it's", "x\0y", "AB", "\\", "%", "a\nb", "😀", "5", "05"]


def test_texts_lie_where_their_bytes_say(sides: Sides) -> None:
    sides.ready("word", seed=False)
    rows = ", ".join(f"({sides.oracle.vgate.escape(one)}, {k})" for k, one in enumerate(WORDS))
    sides.same(f"insert into word values {rows}", "word")
    sides.same("insert into word (n, w) values (1, \"dq\"), (2, _utf8mb4'q2'), (3, x'4243'), (4, n'nn'), (5, 55)", "word")
    for shard, ones in sides.shards_of("word", "w").items():
        assert all(sides.shard_for("word", one.encode()) == shard for one in ones)
    sides.same("insert into word values ('a', 1), ('c', 2), ('a', 3)", "word")
    sides.same("insert into word values ('a', 1), ('c', 2), ('a', 3) on duplicate key update n = n + 10, w = values(w)", "word")
    sides.same("insert ignore into word values ('a', 1), ('b', 2), ('d', 3)", "word", by_rank=True)
    sides.same("replace into word values ('a', 1), ('b', 2), ('e', 3)", "word")


def test_texts_that_are_equal_lie_together(sides: Sides) -> None:
    sides.ready("loose", seed=False)
    sides.same("insert into loose values ('a', 1), ('b', 2), ('c', 3), ('Ärger', 4)", "loose")
    for one in ("A", "a", "ä", "Á", "ARGER", "argér"):
        assert sides.same(f"insert into loose values ('{one}', 1), ('q{one}', 2)", "loose").error == (1062, ""), one
    assert all(sides.shards_of("loose", "w").values())


# -- all or nothing -----------------------------------------------------------------------------------------------

FAILING = [
    "insert into person (id, name, req) values (60, 'a', 1), (64, 'b', 1), (61, 'c', 1), (1, 'dup', 1)",
    "insert into person (id, name, req) values (60, 'a', 1), (64, 'b', 1), (61, 'c', 1), (4, 'dup', 1)",
    "insert into person (id, name, req) values (60, 'a', 1), (64, 'b', 1), (4, 'dup', 1), (1, 'dup', 1)",
    "insert into person (name, req) values ('a', 1), ('b', 1), ('c', 1), ('d', 1), ('e', 1), (repeat('x', 21), 1)",
    "insert into person (name, req) values (repeat('x', 21), 1), ('b', 1), ('c', 1), ('d', 1), ('e', 1), ('f', 1)",
    "insert into person (name) values ('a'), ('b'), ('c'), ('d'), ('e')",
    "insert into person (name, nope) values ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5)",
]
ON_BOTH = "insert into person (id, name, req) values (50, 'in', 1), (51, 'in', 1), (54, 'in', 1), (55, 'in', 1)"
SEEDED = {1, 2, 3, 4}


@pytest.mark.parametrize("statement", FAILING)
def test_a_failure_leaves_nothing_behind(sides: Sides, statement: str) -> None:
    sides.ready("person")
    assert all(values for values in sides.shards_of("person", "id").values()), "the seed is on both shards"
    assert sides.same(statement, "person").error is not None
    found = sides.shards_of("person", "id")
    assert found["-80"] | found["80-"] == SEEDED
    sides.done("set last_insert_id = 7")  # a failed statement leaves it undefined
    sides.same("insert into person (id, req) values (60, 1), (61, 1), (64, 1)", "person")  # no lock is left either


@pytest.mark.parametrize("start", ["begin", "set autocommit = 0"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_failure_inside_a_transaction_undoes_itself_alone(sides: Sides, start: str, end: str) -> None:
    sides.ready("person")
    sides.same(start, "person")
    sides.same(ON_BOTH, "person")
    sides.same("insert into person (id, req) values (56, 1)", "person")
    for statement in FAILING:
        assert sides.same(statement, "person").error is not None
        outside = sides.shards_of("person", "id")
        assert outside["-80"] | outside["80-"] == SEEDED
    sides.done("set last_insert_id = 7")  # a failed statement leaves it undefined
    sides.same("insert into person (id, req) values (57, 1), (58, 1)", "person")
    sides.same(end, "person")
    found = sides.shards_of("person", "id")
    assert found["-80"] | found["80-"] == SEEDED | ({50, 51, 54, 55, 56, 57, 58} if end == "commit" else set())
    sides.same("set autocommit = 1", "person")


def test_a_transaction_without_autocommit(connect: Callable[..., Sides]) -> None:
    sides = connect(autocommit=False)
    sides.done("delete from person")
    sides.done("commit")
    for connection in (sides.oracle.vgate, sides.oracle.plain):
        assert ask(connection, ON_BOTH).status & 0x3 == 0x1, "in a transaction, without autocommit"
    assert sides.shards_of("person", "id") == {"-80": set(), "80-": set()}
    sides.same("insert into person (id, req) values (57, 1)", "person")
    sides.same("rollback", "person")
    sides.done("commit")
    for connection in (sides.oracle.vgate, sides.oracle.plain):
        assert ask(connection, ON_BOTH).error is None
    sides.same("commit", "person")
    found = sides.shards_of("person", "id")
    assert found["-80"] | found["80-"] == {50, 51, 54, 55}


def test_values_of_a_transaction_are_not_given_back(sides: Sides) -> None:
    """Neither ROLLBACK nor a failed statement returns ids; so it is with AUTO_INCREMENT."""
    sides.ready("person", seed=False)
    begin = sides.vgate("insert into person (req) values (1)").insert_id
    sides.vgate("begin")
    assert sides.vgate("insert into person (req) values (1), (2), (3)").insert_id == begin + 1
    sides.vgate("rollback")
    assert ask(sides.oracle.vgate, "insert into person (name, req) values ('a', 1), (repeat('x', 30), 2)").error is not None
    assert sides.vgate("insert into person (req) values (1)").insert_id == begin + 6


def test_a_shard_lost_in_a_transaction_ends_it_for_good(connect: Callable[..., Sides], house: House) -> None:
    """What was written before is gone with it, so nothing may pass for a part of it, until ROLLBACK."""
    sides = connect()
    sides.ready("person", seed=False)
    victim = house.cluster["customer/80-"]
    mine = sides.oracle.vgate
    sides.vgate("begin")
    sides.vgate(ON_BOTH)
    victim.kill()
    try:
        failed = ask(mine, "insert into person (id, req) values (60, 1), (61, 1), (64, 1)")
        assert failed.error is not None
        for statement in ("insert into person (id, req) values (1, 1)", "insert into person (req) values (1), (2), (3)",
                          "select * from person where id = 1"):  # fmt: skip
            assert ask(mine, statement).error is not None, statement
        assert ask(mine, "commit").error is not None
    finally:
        victim.restart()
    ask(mine, "rollback")
    found = sides.shards_of("person", "id")
    assert found == {"-80": set(), "80-": set()}
    assert sides.vgate("insert into person (id, req) values (60, 1), (64, 1)").affected == 2


def test_an_earlier_statements_savepoint_is_left_alone(connect: Callable[..., Sides], house: House) -> None:
    """A statement that fails before it began (no connection to a shard) has nothing to undo: not the one before."""
    sides = connect()
    sides.ready("person", seed=False)
    victim = house.cluster["customer/80-"]
    mine = sides.oracle.vgate
    lower = [one for one in range(50, 70) if sides.shard_for("person", one) == "-80"][:4]
    sides.vgate("begin")
    sides.vgate(f"insert into person (id, req) values ({lower[0]}, 1)")
    victim.kill()
    try:
        assert ask(mine, ON_BOTH).error is not None
        rows = ask(mine, f"select id from person where id = {lower[0]}").rows
        assert rows in (((lower[0],),), ())
        if rows:  # the transaction goes on, whole
            sides.vgate("commit")
        else:
            assert ask(mine, "commit").error is not None
    finally:
        victim.restart()
    ask(mine, "rollback")
    assert sides.shards_of("person", "id")["-80"] == ({lower[0]} if rows else set())


# -- refusals -----------------------------------------------------------------------------------------------------

REFUSED = {
    "insert into person (id, req) values (3 + 4, 1)": "3 + 4 as the value of id",
    "insert into person (id, req) values ('abc', 1)": "'abc' as the value of id",
    "insert into person (id, req) values (1.5, 1)": "1.5 as the value of id",
    "insert into event (user_id, what) values (1 + 1, 'x')": "an expression as the value of the sharding column user_id",
    "insert into event (user_id, what) values (abs(-1), 'x')": "an expression as the value of the sharding column user_id",
    "insert into person (name, req) values ((select max(name) from person p), 1)": "a subquery in INSERT",
    "insert into person (name, req) values ('a', 1), (concat((select 'b'), 'c'), 2)": "a subquery in INSERT",
    "insert into person (id, req) values (1, 1) on duplicate key update n = (select 1)": "a subquery in INSERT",
    "insert into person partition (p0) (id, req) values (1, 1)": "PARTITION",
    "insert delayed into person (id, req) values (1, 1)": "INSERT DELAYED",
    "insert into person (id, req) values (1, 1) on duplicate key update id = 5": "changing the sharding column id",
    "insert into person (id, req) values (1, 1) on duplicate key update id := 5": "changing the sharding column id",
    "insert into person (id, req) values (1, 1) on duplicate key update n = 1, person.id = id + 1":
        "changing the sharding column id",
    "insert into person (id, req) values (1, 1) on duplicate key update `id` = values(req)":
        "changing the sharding column id",
    "insert into event (user_id, what) values (1, 'a') on duplicate key update user_id = 2":
        "changing the sharding column user_id",
    "insert into counting (user_id, n) values (1, 1)": "without id, which is AUTO_INCREMENT",
    "insert into counting (user_id, id, n) values (1, null, 1)": "id, which is AUTO_INCREMENT",
    "insert into counting values (1, 5, 1), (2, 0, 1)": "id, which is AUTO_INCREMENT",
    "insert into counting values (1, 5, 1), (2, default, 1)": "id, which is AUTO_INCREMENT",
}  # fmt: skip


@pytest.mark.parametrize("statement", REFUSED)
def test_what_is_not_right_yet_is_refused(sides: Sides, statement: str) -> None:
    sides.ready("person")
    sides.ready("event")
    sides.oracle.refused(statement, REFUSED[statement])
    found = sides.shards_of("person", "id")
    assert found["-80"] | found["80-"] == SEEDED
    assert sides.vgate("select * from counting").rows == ()


def test_many_kinds_of_rows_may_have_null_beside_a_counter(sides: Sides) -> None:
    """A long INSERT of many kinds has a shape that does not say which column a NULL is in."""
    rows = [f"({n % 7}, {n + 1}, {'null' if n % 3 else 'abs(-1)' + ' + 1' * (n % 90)})" for n in range(300)]
    try:
        assert sides.vgate("insert into counting values " + ", ".join(rows)).affected == 300
        error = ask(sides.oracle.vgate, "insert into counting values " + ", ".join([*rows, "(1, null, 1)"])).error
        assert error is not None
        assert error[0] == 1235
        assert sides.vgate("select * from counting where n is null").rows != ()
    finally:
        sides.vgate("delete from counting")


def test_keys_that_other_shards_do_not_see_are_refused(sides: Sides, house: House) -> None:
    """With a UNIQUE key over other columns a row that is found on one server might not be found here."""
    sides.done("create unique index by_name on person (name)")
    try:
        for statement, verb in (
            ("insert ignore into person (id, name, req) values (60, 's1', 1)", "INSERT IGNORE"),
            ("insert into person (name, req) values ('s1', 1) on duplicate key update n = 1", "ON DUPLICATE KEY UPDATE"),
            ("replace into person (name, req) values ('s1', 1)", "REPLACE"),
        ):
            sides.oracle.refused(statement, verb)
            sides.oracle.refused(statement, "its key by_name (name) does not contain the sharding column id")
        assert sides.case("insert into person (name, req) values ('plain', 1), ('ones', 2)", "person").error is None
    finally:
        sides.done("drop index by_name on person")
    sides.oracle.refused("replace into loose values ('a', 1)", "REPLACE into customer.loose")


def test_values_that_have_no_place(sides: Sides) -> None:
    """Vitess's error for a sharding column without a value that can be mapped."""
    for statement in (
        "insert into event (id, what) values (50, 'x')", "insert into event (user_id, what) values (null, 'x')",
        "insert into event (user_id, what) values (9223372036854775808, 'x')", "insert into event (user_id) values ('1x')",
        "insert into event (user_id, what) values (1, 'ok'), (1.5, 'x')", "insert into event () values ()",
    ):  # fmt: skip
        sides.ready("event", seed=False)
        error = ask(sides.oracle.vgate, statement).error
        assert error is not None
        assert error[0] in (1105, 1364, 1048), error
        assert "VT09023: could not map [" in error[1]
        assert sides.shards_of("event", "id") == {"-80": set(), "80-": set()}


# -- long statements ----------------------------------------------------------------------------------------------

LONG: dict[str, Callable[[int], str]] = {
    "alike": lambda n: "insert into person (name, req) values " + ", ".join(f"('n{k}', {k})" for k in range(n)),
    "nulls": lambda n: "insert into person (name, req, d) values " + ", ".join(
        f"({'null' if k * 7 % 5 else repeat}, {k}, {'null' if k * 11 % 3 else -k})"
        for k, repeat in ((k, f"'n{k}'") for k in range(n))),
    "calls": lambda n: "insert into person (name, req, at) values " + ", ".join(f"('n{k}', {k}, now())" for k in range(n)),
    "given": lambda n: "insert into person (id, name, req) values " + ", ".join(
        f"({k + 10**6}, 'n;{k}', {k})" for k in range(n)),
    "words": lambda n: "insert into word (w, n) values " + ", ".join(f"('word {k}', {k})" for k in range(n)),
}  # fmt: skip
PROBE = r"""
import socket, sys, select, time
host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
import pymysql
connection = pymysql.connect(host=host, port=port, user=user, password=password, database="customer", autocommit=True)
line, packet = connection._sock, b"\x09\0\0\0\x03select 1"
def ask():
    line.sendall(packet)
    got, at, packets = b"", 0, 0
    while packets < 5:
        got += line.recv(65536)
        while at + 4 <= len(got) and at + 4 + int.from_bytes(got[at:at + 3], "little") <= len(got):
            at += 4 + int.from_bytes(got[at:at + 3], "little")
            packets += 1
for _ in range(20):
    ask()
print("ready", flush=True)
worst, number = 0.0, 0
while not select.select([sys.stdin], [], [], 0)[0]:
    begun = time.perf_counter()
    ask()
    worst, number = max(worst, time.perf_counter() - begun), number + 1
print(worst, number)
"""
"""Another client, in a process of its own: the longest round trip of a ``select 1`` until its input is closed."""


@dataclass(slots=True)
class Probe:
    """Runs ``PROBE`` while something else is going on."""

    process: VgateProcess
    worst: float = 0.0
    asked: int = 0

    def during(self, work: Callable[[], Answer]) -> Answer:
        arguments = [sys.executable, "-c", PROBE, self.process.host, str(self.process.port), USER, PASSWORD]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
            assert probe.stdin is not None
            assert probe.stdout is not None
            assert probe.stdout.readline() == "ready\n"
            answer = work()
            probe.stdin.close()
            worst, asked = probe.stdout.read().split()
        self.worst, self.asked = float(worst), int(asked)
        return answer


LONG_LITERAL = 10_000_000
"""Bytes; it took 0.6 seconds of everybody's time when it was read whole, several times."""

LONGEST_WAIT = 0.25
"""Seconds another client may wait while a long INSERT is worked through, on a machine that others use too.

On a quiet one of two cores 10,000 rows cost it less than 20 ms, 100,000 less than 50. Without slices it was seconds.
"""


@pytest.mark.alone
@pytest.mark.parametrize("kind", LONG)
def test_ten_thousand_rows_do_not_keep_others_waiting(sides: Sides, kind: str) -> None:
    long_statement(sides, kind, 10_000)


@pytest.mark.alone
def test_a_hundred_thousand_rows_do_not_keep_others_waiting(sides: Sides) -> None:
    long_statement(sides, "alike", 100_000)


@pytest.mark.alone
@pytest.mark.parametrize(
    "around", [b"insert into person (req, b) values (1, '%b')", b"select length('%b') as l from person where id = 1"]
)
def test_a_literal_of_megabytes_does_not_keep_others_waiting(sides: Sides, around: bytes) -> None:
    """Of bytes of every kind, as a driver escapes them. The best of three: the servers and the client work, too."""
    sides.ready("person", seed=False)
    escaped = bytes(range(1, 256)).replace(b"\\", b"\\\\").replace(b"'", b"\\'") * (LONG_LITERAL // 257)
    sides.vgate("set names binary")
    probe, waits = Probe(sides.oracle.process), list[float]()
    for _ in range(3):
        probe.during(lambda: sides.vgate(around % escaped))
        waits.append(probe.worst)
    sides.vgate("set names utf8mb4")
    assert min(waits) < LONGEST_WAIT, f"another client waited {min(waits) * 1000:.0f} ms"


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("kind", LONG)
def test_a_hundred_thousand_rows_of_any_kind(sides: Sides, kind: str) -> None:
    long_statement(sides, kind, 100_000)


def long_statement(sides: Sides, kind: str, count: int) -> None:
    table = "word" if kind == "words" else "person"
    statement = LONG[kind](count)
    sides.ready(table, seed=False)
    probe = Probe(sides.oracle.process)
    answer = probe.during(lambda: sides.vgate(statement))
    assert answer.affected == count
    assert answer.info.endswith(f"Records: {count}  Duplicates: 0  Warnings: 0")
    assert probe.asked > 10
    assert probe.worst < LONGEST_WAIT, f"another client waited {probe.worst * 1000:.0f} ms"
    key = "w" if table == "word" else "id"
    found = sides.shards_of(table, key)
    assert len(found["-80"] | found["80-"]) == count
    assert all(count * 0.4 < len(ones) < count * 0.6 for ones in found.values())
    if kind not in ("words", "given"):
        assert set(range(answer.insert_id, answer.insert_id + count)) == found["-80"] | found["80-"]
    sides.ready(table, seed=False)


def test_a_long_statement_is_read_as_a_short_one(sides: Sides) -> None:
    """Everything odd, far behind in a statement that is read in slices: errors, subqueries, comments."""
    many = ", ".join(f"('n{k}', {k}, null)" for k in range(6_000))
    head = f"insert into person (name, req, d) values {many}, "
    sides.oracle.refused(head + "((select 1), 2, 3)", "a subquery in INSERT")
    sides.oracle.refused(head + "('x', concat(1, (select 1)), 3)", "a subquery in INSERT")
    for broken, errno in (
        ("('x', 1)", 1136), ("('x', 1, null", 1064), ("('x', , 1)", 1064), ("('x', nope, 1)", 1054), ("('x', null, 1)", 1048),
        ("('x', 1, 2) garbage", 1064), ("(repeat('x', 21), 1, 2)", 1406),
    ):  # fmt: skip
        sides.ready("person", seed=False)
        answer = sides.same(head + broken, "person")
        assert answer.error == (errno, ""), broken
    sides.case(head + "/* ( */ ('x', /*! 1 + */ 1, -- )\n 2) # ;", "person", seed=False)
    sides.case(head + "('it''s', @@session.sql_select_limit > 0, 1)", "person", seed=False)
    sides.case(head + "('a', 1, 2) on duplicate key update n = values(n) + 1", "person", seed=False)
    sides.ready("person", seed=False)


def test_rows_beyond_the_limit_are_refused(house: House, tmp_path: Path) -> None:
    (tmp_path / "vschema.yaml").write_text(with_addresses(VSCHEMA, house.cluster))
    (tmp_path / "vgate.yaml").write_text(USERS + "limits: {max_insert_rows: 100}\n")
    process = run_vgate(tmp_path, [
        "serve", "--vschema", str(tmp_path / "vschema.yaml"), "--config", str(tmp_path / "vgate.yaml"),
        "--listen", "127.0.0.1:0",
    ])  # fmt: skip
    try:
        with closing(process.connect("customer")) as connection:
            ask(connection, "delete from person")
            assert ask(connection, LONG["alike"](100)).affected == 100
            refused = ask(connection, LONG["alike"](101)).error
            assert refused is not None
            assert "101 rows, more than limits.max_insert_rows in vgate.yaml (100)" in refused[1]
            assert ask(connection, "delete from person").affected == 100
    finally:
        process.kill()
