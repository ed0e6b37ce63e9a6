"""Sessions compared with those of one server packet by packet: all by which a client could tell the two apart.

``SCRIPTS`` are what was found to differ once; the others are made up, from a seed that a failure names. Of the
made-up ones every refusal of vgate is let pass (how many there were is printed), and what is known to differ: warnings,
which each shard gives; which of several errors is told; and NULL for a NOT NULL column in a lenient mode, which is an
error where one row alone is inserted, as it may be on a shard. At their end the rows are compared as a whole, and each
must be on the shard that its vindex says.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pytest
import yaml
from pymysql.constants import CLIENT

from tests.fix_servers import Cluster
from tests.fix_vgate import USERS, VgateProcess
from tests.integration.comparing import Parameter, Result, execution, payloads, prepared, query, results
from tests.integration.conftest import empty, serve
from tests.integration.making import TABLES, VINDEXES, Maker
from tests.integration.raw import PREPARE, Raw
from vgate.vindex.registry import make_vindex

NOT_NULL = 1048
SECONDS = float(os.environ.get("VGATE_SEARCH_SECONDS", "120"))

VSCHEMA = yaml.safe_dump({"keyspaces": {
    "product": {"sharded": False, "shards": ["-"], "tables": {}},
    "customer": {
        "sharded": True, "shards": ["-80", "80-"],
        "vindexes": {name: {"type": name} for name in set(VINDEXES.values())},
        "tables": {table: {"column_vindexes": [{"column": "k", "name": name}]} for table, name in VINDEXES.items()},
    },
}})  # fmt: skip

SCRIPTS = {
    "an error of a statement that could not be prepared is the last one":
        "T insert into tint (k, a) values (1, 'x'); P select nosuch from tint; T show warnings; T select row_count();"
        " T select @@error_count",
    "functions about the session give way to literals of any collation":
        "T set names utf8mb4 collate utf8mb4_unicode_ci; T select current_user() = 'x', user() like 'r%x', k from tint;"
        " P select current_user() = 'x', session_user() <> '2'; T select 1 from tci where k = user() or user() = 'é';"
        " T select replace('abc', 'a', left(system_user(), 0)), collation(user()), coercibility(current_user())",
    "what was prepared by name, under other settings":
        "T insert into tint (k, b) values (1, 'a'), (2, 'b\\\\');"
        " T prepare s from 'select k from tint where b = ? or k = ?';"
        " T set @a = 'b\\\\', @b = 1; T execute s using @a, @b; T set sql_mode = 'no_backslash_escapes';"
        " T execute s using @a, @b; T set names latin1; T execute s using @a, @b; T set sql_mode = 'ansi_quotes';"
        " T execute s using @a, @b; T deallocate prepare s",
    "SHOW WARNINGS, prepared":
        "T rollback to s; P show warnings; P show errors",
    "statements that MySQL does not prepare":
        "P begin; T select k from tint; P start transaction read only; P savepoint s; P rollback to s;"
        " P release savepoint s; P commit; P rollback; P use customer; P show count(*) warnings;"
        " P show count(*) errors",
    "a function that is an INT to one server":
        "P select connection_id() < 0; P select connection_id() > 0",
    "functions about the session are described alike":
        "T select user(), current_user, database(), 1 from tint where k = 1; P select user() from tint where k = 1;"
        " T select @@warning_count, 1; P select @@error_count, 2; T select row_count(), 1; P select row_count() + 1",
    "and so under another collation":
        "T set names utf8mb4 collate utf8mb4_bin; T select database(); T show warnings;"
        " P select user(), database() from tint where k = 1; T set names latin1 collate latin1_bin;"
        " T select database(); T select user() from tint where k = 1;"
        " T set names utf8mb4 collate utf8mb4_unicode_ci; P select database(); T show databases like 'x'",
    "columns are called by what versioned comments leave of the text":
        "T select /*! 1 */ + 1; P select 1 /*! + 1 */; T select 1/*! */+ 2; T select concat(/*! 'a', */ 'b');"
        " T select/*! 1*/; T select 1/*!,2*/; T select k, /*! concat( */ 'a' /*! ) */ from tint",
    "ROW_COUNT() and FOUND_ROWS(), prepared":
        "T insert into tint (k) values (1), (2), (4); P select row_count(); T update tint set a = 1;"
        " P select row_count() as n; P select found_rows(); P select FOUND_ROWS() `n`",
    "DO of expressions about no table, prepared":
        "P do 1; T select row_count(); P do 1, sleep(0), 'x'; P do cast('x' as signed); T show warnings;"
        " P do (select 1); T begin; P do 1; T commit; P do nosuch; P do 1 + ",
    "what is prepared in a transaction is prepared under the settings of now":
        "T begin; T select a from tint where k = 4; T select a from tint where k = 1; T set names latin1;"
        " P update tci set c = 0 where k in (select cast(1 as char)); P select 'x', k from tci; T rollback",
    "SET TRANSACTION is for the transaction that COMMIT AND CHAIN begins, too":
        "T set transaction read only; T commit and chain; T insert into tint (k) values (1); T rollback and chain;"
        " T insert into tint (k) values (2); T commit; T insert into tint (k) values (3);"
        " T set transaction read only; T rollback and chain; T insert into tint (k) values (4)",
}  # fmt: skip


@dataclass(slots=True)
class Sides:
    """A client of vgate and one of the plain server, who do the same."""

    vgate: Raw
    plain: Raw
    cluster: Cluster
    refused: int = 0
    asked: list[str] = field(default_factory=list)

    def ask(self, line: str) -> tuple[list[Result], list[Result]] | None:
        """The answers to a statement, after a T for text or a P for prepared; None if vgate refuses it."""
        self.asked.append(line)
        ask: Callable[[Raw, str], list[Result]] = prepared if line.startswith("P ") else query
        mine = ask(self.vgate, line[2:])
        lone = line[2:].startswith(("insert", "replace")) and any((one.error or (0,))[0] == NOT_NULL for one in mine)
        if lone or any(result.refused for result in mine):
            self.refused += 1
            for side in (self.vgate, self.plain):  # so that both speak of the same when they are asked for warnings
                query(side, "select k from tint where k = 1")
            return None
        return mine, ask(self.plain, line[2:])

    def both(self, sql: str) -> None:
        """What prepares the ground."""
        for side in (self.vgate, self.plain):
            [result] = query(side, sql)
            assert result.error is None, result


@pytest.fixture(scope="module")
def many(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VgateProcess]:
    """vgate with the tables of ``making``, for all of the module."""
    cluster.clear()
    vgate = serve(tmp_path_factory.mktemp("many"), cluster, USERS, VSCHEMA)
    yield vgate
    vgate.kill()


@pytest.fixture
def sides(many: VgateProcess, cluster: Cluster) -> Iterator[Sides]:
    """With all tables, which are empty."""
    for server in cluster.servers:
        empty(server)
    with open_sides(many, cluster) as found:
        for table, definition in TABLES.items():
            found.both(f"drop table if exists {table}")
            found.both(definition)
        yield found


@contextmanager
def open_sides(vgate: VgateProcess, cluster: Cluster) -> Iterator[Sides]:
    """Both clients, for a while."""
    flags = CLIENT.MULTI_STATEMENTS
    with (
        closing(vgate.connect("customer", client_flag=flags)) as one,
        closing(cluster.plain.connect("customer", client_flag=flags)) as other,
    ):
        yield Sides(Raw(one), Raw(other), cluster)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_scripts(sides: Sides, script: str) -> None:
    for line in script.split("; "):
        answers = sides.ask(line)
        assert answers is not None, line
        assert answers[0] == answers[1], line


@pytest.mark.parametrize("seed", range(4))
def test_made_up_sessions(sides: Sides, seed: int) -> None:
    play(sides, seed, 60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_made_up_sessions(many: VgateProcess, cluster: Cluster) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with open_sides(many, cluster) as sides:
            for table, definition in TABLES.items():
                sides.both(f"drop table if exists {table}")
                sides.both(definition)
            play(sides, random.randrange(1 << 32), 100)


def play(sides: Sides, seed: int, steps: int) -> None:
    """A session made up from that seed."""
    dice = random.Random(seed)
    maker = Maker(dice, tuple(dice.sample(list(TABLES), 2)))
    if dice.random() < 0.3:
        # A savepoint begins a transaction of vgate then, which one server says only of what comes next.
        maker.savepoints = False
        sides.both("set autocommit = 0")
    for _ in range(steps):
        statement = maker.statement()
        # MySQL cannot prepare all that vgate can; and may say at once what vgate says when it is executed.
        ways = "TTTP" if statement.startswith(("insert", "select k", "update", "delete")) else "T"
        answers = sides.ask(f"{dice.choice(ways)} {statement}")
        if answers is not None and not told_alike(*answers):
            history = "\n".join(sides.asked)
            pytest.fail(f"seed {seed}: vgate {answers[0]}\none server {answers[1]}\nafter\n{history}", pytrace=False)
    sides.both("rollback")
    print(f"seed {seed}: {sides.refused} of {steps} refused")
    for table in maker.tables:
        check_rows(sides, table)


def told_alike(mine: list[Result], theirs: list[Result]) -> bool:
    """True if the answers differ in nothing that a session made up is to be judged by."""
    if any(result.error for result in mine) and any(result.error for result in theirs):
        return True  # each of several rows may be the one that is complained of
    return len(mine) == len(theirs) and all(map(_alike, mine, theirs))


def _alike(one: Result, other: Result) -> bool:
    if (one.error is None) != (other.error is None) or one.columns != other.columns or one.rows != other.rows:
        return False
    # MySQL has its own transactions for a look at what a table is, and may say so in the answer to a SELECT.
    return one.ending[:3] == other.ending[:3] or bool(one.columns)


def check_rows(sides: Sides, table: str) -> None:
    """The rows are those of the one server, and each is on its shard."""
    [mine], [theirs] = (query(side, f"select * from {table}") for side in (sides.vgate, sides.plain))
    assert mine.rows == theirs.rows, f"{table} after {sides.asked}"
    vindex = make_vindex("v", VINDEXES[table], {}, read_file=lambda name: name)
    text = VINDEXES[table] != "hash"
    found = "cast(k as binary)" if text else "k"
    for shard in ("-80", "80-"):
        for (key,) in sides.cluster[f"customer/{shard}"].query(f"select {found} from {table}", "customer"):
            keyspace_id = vindex.map(key)
            assert keyspace_id is not None
            assert (keyspace_id[0] >= 0x80) == (shard == "80-"), f"{key!r} of {table} is on {shard}"


DOUBLE = Parameter(0x05, 0, struct.pack("<d", 1.0))
TEXT = Parameter(0xFD, 0, b"\x031.0")
BLOB = Parameter(0xFC, 0, b"\x011")
BAD_DECIMAL = Parameter(0xF6, 0, b"\x01a")


def test_what_one_client_binds_decides_nothing_for_another(sides: Sides, many: VgateProcess) -> None:
    """MySQL compares a parameter for ever as what it was first bound to."""
    sides.both("use product")
    sides.both("create table words (word varchar(12))")
    sides.both("insert into words values ('1'), ('1.0'), ('1abc')")
    statement = "select word from words where word = ?"
    with closing(many.connect("product")) as other:
        for _ in range(4):
            prepared(Raw(other), statement, [DOUBLE])
            mine, theirs = (prepared(side, statement, [TEXT]) for side in (sides.vgate, sides.plain))
            assert mine == theirs


def test_bytes_are_a_string_where_a_statement_is_sent_as_text(sides: Sides) -> None:
    sides.both("insert into tint (k) values (1), (49)")
    for statement in ("select k from tint where k = ?", "delete from tint where k = ? or a = 5"):
        mine, theirs = (prepared(side, statement, [BLOB]) for side in (sides.vgate, sides.plain))
        assert mine == theirs
    check_rows(sides, "tint")


def test_dates_and_times_are_compared_as_such(sides: Sides) -> None:
    """Also with text, where they are not equal to their own words alone, and where a statement is sent as text."""
    day = Parameter(0x0A, 0, b"\x04" + struct.pack("<HBB", 2020, 1, 1))
    midnight = Parameter(0x0C, 0, b"\x04" + struct.pack("<HBB", 2020, 1, 1))
    clock = Parameter(0x0B, 0, b"\x08\0" + struct.pack("<IBBB", 0, 1, 2, 3))
    sides.both("insert into tci (k) values ('2020-1-1'), ('20200101'), ('2020-01-01')")
    sides.both("insert into tbig (k) values (1), (10203), (20200101), (2020)")
    for table in ("tci", "tbig", "tdate"):
        for value in (day, midnight) if table == "tci" else (day, midnight, clock):
            inserts = [f"insert into {table} (k) values (?)"] if table == "tdate" and value is day else []
            for statement in (
                *inserts, f"select k from {table} where k = ?", f"update {table} set a = 1 where k = ?",
                f"delete from {table} where k = ? or a = 5",
            ):  # fmt: skip
                mine, theirs = (prepared(side, statement, [value]) for side in (sides.vgate, sides.plain))
                assert told_alike(mine, theirs), (statement, value, mine, theirs)
        check_rows(sides, table)


@pytest.mark.parametrize("text", [
    "-- x", "--", "# x", "/* x */ ", "\n", "", ";", "(", "()", "( /* */", "/*! */", "/*!99999 select 1 */",
    "select 1; ", "select 1; -- x", "select 1; select 2", "do 1;;",
])  # fmt: skip
def test_texts_that_say_little_or_nothing(sides: Sides, text: str) -> None:
    for way in (query, prepared):
        assert way(sides.vgate, text) == way(sides.plain, text)


TIMES = {
    "date": Parameter(0x0A, 0, b"\x04" + struct.pack("<HBB", 2020, 1, 2)),
    "datetime": Parameter(0x0C, 0, b"\x07" + struct.pack("<HBBBBB", 2020, 1, 2, 3, 4, 5)),
    "timestamp": Parameter(0x07, 0, b"\x04" + struct.pack("<HBB", 2020, 1, 2)),
    "time": Parameter(0x0B, 0, b"\x08" + struct.pack("<BIBBB", 0, 0, 3, 4, 5)),
    "long time": Parameter(0x0B, 0, b"\x0c" + struct.pack("<BIBBBI", 1, 2, 3, 4, 5, 654321)),
    "midnight": Parameter(0x0B, 0, b"\0"),
}


@pytest.mark.parametrize("name", TIMES)
def test_dates_and_times_are_stored_as_such(sides: Sides, name: str) -> None:
    """Also in columns of other types, as which their texts would be something else, or nothing."""
    columns = {
        "a": "bigint", "b": "varchar(40)", "c": "decimal(30,6)", "d": "datetime(6)", "e": "year", "f": "time(6)",
        "g": "date", "h": "double", "i": "blob", "j": "bit(64)", "l": "tinyint", "m": "timestamp null",
    }  # fmt: skip
    for column, kind in columns.items():
        sides.both(f"alter table tint add {column}2 {kind}")
    for mode in ("@@global.sql_mode", "''"):
        sides.both(f"set sql_mode = {mode}")
        for number, column in enumerate(columns):
            for rows in ("(?, ?)", "(?, ?), (?, ?)"):
                keys = [Parameter(3, 0, struct.pack("<i", 3 * number + one)) for one in range(rows.count("("))]
                given = [value for key in keys for value in (key, TIMES[name])]
                statement = f"replace into tint (k, {column}2) values {rows}"
                mine, theirs = (prepared(side, statement, given) for side in (sides.vgate, sides.plain))
                assert told_alike(mine, theirs), (statement, mine, theirs)
        check_rows(sides, "tint")
    if name in ("date", "time", "midnight"):  # others do not fit
        statement = "insert into tci (k) values (?)"
        mine, theirs = (prepared(side, statement, [TIMES[name]]) for side in (sides.vgate, sides.plain))
        assert told_alike(mine, theirs), (mine, theirs)
        check_rows(sides, "tci")


def test_a_time_is_on_the_shard_of_what_is_stored(sides: Sides) -> None:
    """Which is not what is written, for all that servers take."""
    for written in ("time'-00:00:00'", "time'010:00:00'", "time'900:00:00'", "time'100:00:00'", "time'-01:00:00'",
                    "date'2020-01-02'", "time'00:00:00.0'", "date'2020-1-3'"):  # fmt: skip
        for mode in ("''", "default"):
            sides.both(f"set sql_mode = {mode}")
            answers = [query(side, f"replace into tci (k) values ({written})") for side in (sides.vgate, sides.plain)]
            if answers[0][0].refused:
                query(sides.plain, "delete from tci")
                query(sides.vgate, "delete from tci")
            else:
                assert told_alike(*answers), (written, answers)
            check_rows(sides, "tci")


def test_what_is_no_date_is_compared_with_dates_of_several_shards(sides: Sides) -> None:
    """Which is an error of MySQL's where it is a literal, as is text that its character set does not have."""
    sides.both("insert into tdate (k, a) values ('2020-01-01', 1), ('2020-01-02', 2), ('2020-01-05', 3)")
    for statement in (
        "select count(*), max(a) from tdate where k > ?", "select k from tdate where k <=> ? or a = 2 order by a",
        "select count(*) from tdate where b = ? or a < 3", "select count(*) from tdate where k = ? for update",
    ):  # fmt: skip
        for text in (b"", b"abc", b"2020-02-31", b"0000-00-00", b"2020-01-01", b"\xff\xfe"):
            for kind in (0xFC, 0xFD):
                value = Parameter(kind, 0, bytes([len(text)]) + text)
                mine, theirs = (prepared(side, statement, [value]) for side in (sides.vgate, sides.plain))
                assert told_alike(mine, theirs), (statement, text, mine, theirs)
                assert not mine[-1].refused


def test_a_decimal_that_is_no_number_is_refused(sides: Sides) -> None:
    [_, answer] = prepared(sides.vgate, "select k from tci where k = ?", [BAD_DECIMAL])
    assert answer.refused
    assert query(sides.vgate, "select 1") == query(sides.plain, "select 1")


@pytest.mark.parametrize("statement", [
    "select n from numbers where n > ?", "select ? * 1", "select n + ? from numbers",
    "select n from numbers where d > ?",
])  # fmt: skip
def test_texts_that_one_client_binds_decide_nothing_else(sides: Sides, many: VgateProcess, statement: str) -> None:
    """MySQL takes them for numbers by their value, and the statement for one about such numbers from then on."""
    sides.both("use product")
    sides.both("create table numbers (n int, d decimal(10, 2))")
    sides.both("insert into numbers values (3, 3.5), (4, 4)")
    texts = ["3", "-3", "3.5", "3.5x", "1e0", "abc", " 3", "", "99999999999999999999", "-0", "3"]
    with closing(many.connect("product")) as other:
        for text in texts:
            value = Parameter(0xFD, 0, bytes([len(text)]) + text.encode())
            prepared(Raw(other), statement, [Parameter(0xFD, 0, b"\x042.25")])
            mine, theirs = (prepared(side, statement, [value]) for side in (sides.vgate, sides.plain))
            assert told_alike(mine, theirs), (text, mine, theirs)
    answers = []
    for side in (sides.vgate, sides.plain):
        number = int.from_bytes(next(payloads(side.ask(PREPARE + statement.encode())))[1:5], "little")
        values = [Parameter(0xFD, 0, bytes([len(text)]) + text.encode()) for text in texts]
        answers.append([results(side.ask(execution(number, [value]))) for value in values])
    assert all(told_alike(mine, theirs) for mine, theirs in zip(*answers, strict=True)), answers
