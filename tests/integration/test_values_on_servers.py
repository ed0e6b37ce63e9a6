"""Literals against real servers: what one says, what it equals in a column, and what it becomes when it is inserted.

Every literal of ``LITERALS`` meets every column of ``COLUMNS``, on each flavour. The slow searches make up literals and
stored values of their own. Of the collations only what ``planner.values`` needs is tried here; the proof behind
``planner.loose`` is in ``test_loose_on_servers``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from tests.fix_servers import Server
from vgate.backend.schema import Cells, read_table
from vgate.errors import VgateError
from vgate.planner.columns import ColumnKind, ColumnType
from vgate.planner.loose import folding_of
from vgate.planner.values import LOOSE_VINDEXES, Known, Never, Purpose, Unknown, read_value
from vgate.sql import literals
from vgate.sql.lexer import LexMode
from vgate.sql.literals import Literal, LiteralKind, decoded, holds, negated, read_literal
from vgate.vindex.base import KeyspaceId, Value, Vindex
from vgate.vindex.registry import make_vindex
from vgate.vschema.model import TableName

DATABASE = "vgate_values"
MODE = LexMode()
ILLEGAL_MIX = 1267


def vindex(type: str) -> Vindex:
    return make_vindex(type, type, {}, read_file=lambda name: name)


VINDEXES = tuple(map(vindex, ("hash", "numeric", "binary", "xxhash", "unicode_loose_xxhash")))

UTF8_COLLATIONS = ("utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci")
EXACT_COLLATION = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}
NEW_COLLATIONS = {
    "mysql": ("utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs"),
    "mariadb": ("utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_nopad_as_cs", "utf8mb4_general_nopad_ci"),
}


def columns(flavour: str) -> list[str]:
    """The types that are tried."""
    integers = ("tinyint", "smallint", "mediumint", "int", "bigint")
    found = [*integers, *(f"{name} unsigned" for name in integers)]
    found += ["decimal(10,0)", "decimal(5,2)", "decimal(5,2) unsigned", "decimal(30,0)", "decimal(30,10)"]
    found += ["varbinary(8)", "binary(4)", "blob", "date"]
    for collation in (*UTF8_COLLATIONS, EXACT_COLLATION[flavour], *NEW_COLLATIONS[flavour]):
        found += [f"{kind} character set utf8mb4 collate {collation}" for kind in ("varchar(8)", "char(4)")]
    found += [f"text character set utf8mb4 collate {EXACT_COLLATION[flavour]}"]
    found += [
        f"varchar(8) character set {charset} collate {collation}"
        for charset, collation in (
            ("latin1", "latin1_bin"), ("latin1", "latin1_swedish_ci"), ("latin1", "latin1_general_ci"),
            ("utf8mb3", "utf8mb3_bin"), ("utf8mb3", "utf8mb3_general_ci"), ("ascii", "ascii_general_ci"),
            ("gbk", "gbk_bin"), ("sjis", "sjis_bin"), ("swe7", "swe7_bin"), ("ucs2", "ucs2_bin"),
            ("utf16", "utf16_bin"), ("utf8mb4", "utf8mb4_swedish_ci"), ("cp1251", "cp1251_general_ci"),
        )
    ]  # fmt: skip
    return found


NUMBERS = b"""
0 1 007 5 12 123 127 128 129 255 256 32767 32768 65535 65536 8388607 8388608 16777215 16777216 2147483647 2147483648
4294967295 4294967296 9007199254740991 9007199254740992 9007199254740993 9223372036854775807 9223372036854775808
18446744073709551615 18446744073709551616 99999 100000 1000 1000000000000000000000000000000 999.99 0.0 1.0 1. .5 0.5
1.5 1.50 1.25 1.255 127.0 127.4 255.5 123.45 999.994 999.995 9007199254740993.0 9223372036854775807.0 1.0000000001
9223372036854775807.5 1.000000000000000000000000000000000000000000000 1e0 1e2 1.5e1 15e-1 1e-1 1.23e2 12345e-2 1e18
9007199254740993e0 9223372036854775807e0 1e19 1e30 20200102 20200230 20200102000000
""".split()
TEXTS = (
    "", "0", "1", " 1", "1 ", "01", "007", "+1", "-1", "-5", "- 1", "1.0", "1.5", "1.50", "1.255", "1e0", "1e2",
    "1abc", "12", "123", "127", "128", "255", "999.99", "1000", "9007199254740991", "9007199254740992",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "0x1", "x", "a", "A", "a ", "a  ", " a", "a\t", "a\x1f", "a\0", "\0", "ab", "abc", "abcd", "abcde", "abcd  ",
    "abcdefgh", "abcdefghi", "s", "S", "ss", "ß", "SS", "i", "I", "ı", "é", "e", "E", "e\u0301", "ä", "æ", "ae", "Å",
    "y", "ü", "[", "]", "\\", "~", "@", "l", "L·", "l·", "·", "漢", "漢字", "😀", "😁", "\ufffd", "а", "А", "й",
    "и\u0306", "\u00a0", "a\u00a0", "a\u3000", "\u3000", "a\u00ad", "a\u1ab0", "1１", "１", "¹", "²", "₨", "rs", "ﬁ",
    "fi", "2020-01-02", "2020-1-2", "20200102", "2020-01-02 ", "2020-01-02 00:00:00", "2020-01-02 10:00:00",
    "2020-02-30", "0000-00-00", "2020-00-00", "20-01-02", "0001-01-01", "9999-12-31", "it's", 'say "x"', "100%",
    "null",
)  # fmt: skip
OTHERS = (
    b"null", b"true", b"false", b"x''", b"x'31'", b"0x31", b"0x1", b"0x0031", b"0x61", b"x'61'", b"x'6162'",
    b"x'61620000'", b"x'6120'", b"x'c3a9'", b"0xff", b"x'ff'", b"x'0000000000000001'", b"b''", b"b'1'", b"b'110001'",
    b"0b1", b"0b01100001", b"_binary'ab'", b"_binary'1'", b"_binary'\xff'", b"_binary'\xc3\xa9'", b"_binary'a '",
    b"_latin1'\xe9'", b"_latin1'1'", b"_utf8mb4'\xc3\xa9'", b"_utf8mb4 x'c3a9'",
    b"_binary x'31'", b"_binary x'6162'", b"_gbk'\x81\x40'", b"n'ab'",
    b"N'\xc3\xa9'", b"'\xff'", b"'\xed\xa0\x80'", b"'\xc0\x80'",
)  # fmt: skip


def quoted(text: str) -> bytes:
    body = text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0")
    return f"'{body}'".encode()


LITERALS = (
    *NUMBERS,
    *(b"-" + number for number in NUMBERS),
    *map(quoted, TEXTS),
    *OTHERS,
    b"-'1'", b"-x'01'",
)  # fmt: skip


def literal_of(raw: bytes, mode: LexMode) -> Literal:
    return negated(read_literal(raw[1:], mode)) if raw[:1] == b"-" else read_literal(raw, mode)


# -- the servers --------------------------------------------------------------------------------------------------


@dataclass
class Room:
    """A connection with a database of its own."""

    server: Server
    connection: pymysql.Connection[Any]
    mode: LexMode = MODE

    def run(self, sql: bytes | str) -> tuple[tuple[Any, ...], ...]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return tuple(cursor.fetchall())

    def column(self, table: str) -> ColumnType:
        """The column ``v`` as vgate knows it."""

        async def ask(sql: str) -> list[Cells]:
            return [tuple(cell if cell is None else str(cell).encode() for cell in row) for row in self.run(sql)]

        info = asyncio.run(read_table(ask, DATABASE, TableName("ks", table)))
        assert info is not None
        found = info.column("v")
        assert found is not None
        return found


@pytest.fixture
def room(plain: Server) -> Iterator[Room]:
    with closing(plain.connect()) as connection:
        room = Room(plain, connection)
        room.run(f"drop database if exists {DATABASE}")
        room.run(f"create database {DATABASE}")
        room.run(f"use {DATABASE}")
        yield room
        room.run("set names utf8mb4")
        room.run(f"drop database {DATABASE}")


def seen(column: ColumnType) -> str:
    """An expression for the stored value as a vindex is to see it, in bytes."""
    if column.kind is ColumnKind.TEXT:
        return "cast(convert(v using utf8mb4) as binary)"
    return "v" if column.kind is ColumnKind.BINARY else "cast(v as char)"


def as_value(cell: Any, column: ColumnType, by: Vindex) -> Value:
    """What the vindex must be given for a stored value."""
    if cell is None:
        return None
    data = cell if isinstance(cell, bytes) else str(cell).encode()
    if column.kind is ColumnKind.INTEGER:
        return int(data)
    if column.kind is ColumnKind.DECIMAL and not by.takes_text:
        whole, _, fraction = data.partition(b".")
        return data if fraction.strip(b"0") else int(whole)
    return data


def place(by: Vindex, value: Value) -> KeyspaceId | str | None:
    try:
        return by.map(value)
    except VgateError:
        return "unsure"


def admitted(value: Value, column: ColumnType, by: Vindex) -> bool:
    """False for stored text that vgate would not have let in: see ``planner.loose``."""
    if column.kind is not ColumnKind.TEXT or by.type not in LOOSE_VINDEXES or not isinstance(value, bytes):
        return True
    folding = folding_of(column.collation)
    try:
        return folding is None or folding.admits(value.decode("utf-8"))
    except UnicodeDecodeError:
        return False


# -- what a literal equals, and becomes ---------------------------------------------------------------------------


def check_compare(
    room: Room, table: str, column: ColumnType, raws: Sequence[bytes], pieces: random.Random, lists: int = 40
) -> list[bytes]:
    """Every row that equals a literal has the keyspace id of its known value. Gives the literals with a known value.

    So do rows that equal one of a list: servers may compare lists of several types by other rules.
    """
    stored = dict(room.run(f"select id, {seen(column)} from {table}"))
    known = [raw for raw in raws if check_condition(room, table, column, stored, b"= " + raw, [raw])]
    for _ in range(lists):
        some = pieces.choices(known, k=pieces.randint(2, 4))
        check_condition(room, table, column, stored, b"in (%b)" % b",".join(some), some)
    return known


def check_condition(
    room: Room, table: str, column: ColumnType, stored: dict[int, Any], condition: bytes, raws: Sequence[bytes]
) -> bool:
    """True if any vindex had an answer to be checked."""
    read = [literal_of(raw, room.mode) for raw in raws]
    answers = {by: [read_value(one, column, by, Purpose.COMPARE) for one in read] for by in VINDEXES}
    answers = {by: found for by, found in answers.items() if not any(isinstance(one, Unknown) for one in found)}
    if not answers:
        return False
    try:
        rows = room.run(b"select id from %b where v %b" % (table.encode(), condition))
    except pymysql.err.Error as error:  # the statement fails on one shard as it would on every
        if error.args[0] != ILLEGAL_MIX:
            raise
        return False
    for by, found in answers.items():
        values = [as_value(stored[row], column, by) for (row,) in rows]
        values = [value for value in values if admitted(value, column, by)]
        context = f"{column.sql} {column.collation} {condition!r} by {by.type}: {found}, but equal are {values}"
        expected = {place(by, one.value) for one in found if isinstance(one, Known)}
        if not expected:
            assert not values, context
        # What has no keyspace id is on no shard: vgate does not store it.
        assert {there for value in values if (there := place(by, value)) is not None} <= expected, context
    return True


def check_insert(room: Room, table: str, column: ColumnType, raws: Sequence[bytes]) -> int:
    """What is stored is what was known. Gives how many answers were known."""
    read = [literal_of(raw, room.mode) for raw in raws]
    answers = [{by: read_value(one, column, by, Purpose.INSERT) for by in VINDEXES} for one in read]
    known = 0
    for sql_mode in ("", "traditional"):
        room.run(f"set sql_mode = '{sql_mode}'")
        room.run(f"delete from {table}")
        for number, (raw, found) in enumerate(zip(raws, answers, strict=True), 1):
            assert not any(isinstance(answer, Never) for answer in found.values())
            if any(isinstance(answer, Known) for answer in found.values()):
                try:
                    room.run(b"insert into %b (id, v) values (%d, %b)" % (table.encode(), number, raw))
                except pymysql.err.Error:
                    if not sql_mode:
                        raise
        for number, cell in room.run(f"select id, {seen(column)} from {table}"):
            for by, answer in answers[number - 1].items():
                if isinstance(answer, Known):
                    known += 1
                    value = as_value(cell, column, by)
                    context = f"{column.sql} := {raws[number - 1]!r} by {by.type}: {answer}, but stored is {value!r}"
                    assert value == answer.value, context
    room.run("set sql_mode = ''")
    return known


def fill(room: Room, table: str, column: str, raws: Sequence[bytes]) -> None:
    """A table with a value for each literal that can be stored at all, however changed."""
    room.run("set sql_mode = ''")
    room.run(f"create table {table} (id int auto_increment primary key, v {column})")
    rows = b",".join(b"(%b)" % raw for raw in raws)
    room.run(b"insert ignore into %b (v) values %b" % (table.encode(), rows))


def test_every_literal_in_every_column(room: Room) -> None:
    check_columns(room, LITERALS, random.Random(7), 40)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_made_up_literals_in_every_column(room: Room) -> None:
    pieces = random.Random()
    check_columns(room, (*LITERALS, *(made_up_value(pieces) for _ in range(500))), pieces, 500)


@pytest.mark.parametrize("charset", ["latin1", "gbk", "big5", "binary", "utf8mb3", "cp1251"])
def test_clients_of_other_character_sets(room: Room, charset: str) -> None:
    exact = EXACT_COLLATION[room.server.flavour]
    raws = [
        *(b"'%b'" % body for body in FOREIGN), *(b"_latin1'%b'" % body for body in FOREIGN), b"n'\xc3\xa9'", b"x'e9'",
        b"_utf8mb4'\xc3\xa9'", b"5", b"'5'",
    ]  # fmt: skip
    types = (
        f"varchar(8) character set utf8mb4 collate {exact}", "char(8) character set utf8mb4 collate utf8mb4_general_ci",
        "char(8) character set latin1 collate latin1_bin", "char(8) character set gbk collate gbk_bin", "varbinary(8)",
        "int",
    )  # fmt: skip
    room.mode = LexMode(charset=charset)
    raws = [raw for raw in raws if read_literal(raw, room.mode) is not literals.OTHER]
    for number, column in enumerate(types):
        fill(room, f"t{number}", column, LITERALS)
        room.run(f"set names {charset}")
        room.run(b"insert ignore into t%d (v) values %b" % (number, b",".join(b"(%b)" % raw for raw in raws)))
        room.run("set names utf8mb4")
        known = room.column(f"t{number}")
        room.run(f"set names {charset}")
        assert check_compare(room, f"t{number}", known, raws, random.Random(7))
        assert check_insert(room, f"t{number}", known, raws)
        room.run("set names utf8mb4")


FOREIGN = (
    b"a", b"\xe9", b"\xc3\xa9", b"\xc4\xe3", b"\xa7\xda", b"\xbf\\\\", b"\xe6\xbc\xa2", b"\x80", b"\x81", b"\xff", b"5",
)  # fmt: skip


def check_columns(room: Room, raws: Sequence[bytes], pieces: random.Random, lists: int) -> None:
    """Each column without and with an index: servers look values up in one by rules of its own."""
    for number, column in enumerate(columns(room.server.flavour)):
        table = f"t{number}"
        fill(room, table, column, raws)
        known = room.column(table)
        assert known.kind not in (ColumnKind.OTHER, ColumnKind.UNKNOWN)
        assert check_compare(room, table, known, raws, pieces, lists)
        if known.kind is not ColumnKind.TEXT or known.length < 1000:
            room.run(f"alter table {table} add key ({'v(8)' if 'blob' in column else 'v'})")
            assert check_compare(room, table, known, raws, pieces, lists)
        # Without the index: MariaDB 10.11 corrupts those on CHAR of multi-level NO PAD collations, says CHECK TABLE.
        room.run(f"drop table {table}")
        room.run(f"create table {table} (id int auto_increment primary key, v {column})")
        assert check_insert(room, table, known, raws)
        room.run(f"drop table {table}")


def made_up_value(pieces: random.Random) -> bytes:
    """A literal near the edges: of integers, of what doubles tell apart, of collations."""
    edge = pieces.choice((0, 1, 2**7, 2**8, 2**15, 2**31, 2**32, 2**53, 2**63, 2**64, 10**5, 10**10, 10**30))
    number = b"%d" % (edge + pieces.randint(-2, 2))
    match pieces.randint(0, 6):
        case 0 | 1:
            return number.replace(b"--", b"")
        case 2:
            return number + b"." + b"0" * pieces.randint(0, 12) + pieces.choice((b"", b"1", b"5"))
        case 3:
            return number + b"e" + pieces.choice((b"0", b"-1", b"1", b"+2"))
        case 4:
            return b"'" + number + pieces.choice((b"", b".0", b" ", b"e0")) + b"'"
        case _:
            return quoted("".join(pieces.choice(LETTERS) for _ in range(pieces.randint(0, 5))))


LETTERS = "aAbBsSßiIıl·eéE\u0301ÄäæyYüø [\\]~@1１²\u00a0\u3000\u00ad\u200b\u1ab0漢😀\0\t'xX-"


# -- what a literal says ------------------------------------------------------------------------------------------


def test_values_of_literals(room: Room) -> None:
    for raw in LITERALS:
        check_literal(room, raw, MODE)
    for body in (b"\\0\\n\\t\\r\\b\\Z\\%\\_\\x\\'\\\"\\\\", b"''", b'"', b'""', b"a''b", b"\\a\\N", b"--", b"/*", b""):
        check_literal(room, b"'" + body + b"'", MODE)
        check_literal(room, b'"' + body.replace(b"''", b'""').replace(b'"', b'""') + b'"', MODE)


def check_literal(room: Room, raw: bytes, mode: LexMode) -> bool:
    """True if the literal was read; then the server reads it so, too."""
    literal = read_literal(raw, mode)
    value = literal.value
    if not isinstance(value, bytes):
        return literal.kind is not LiteralKind.OTHER
    ((found,),) = room.run(b"select hex(cast(" + raw + b" as binary)) as h")
    digits = found if isinstance(found, str) else found.decode("ascii")
    assert digits == value.hex().upper(), f"{raw!r} is {value!r} under {mode}"
    return True


CHARSETS = ("utf8mb4", "latin1", "gbk", "big5", "sjis", "cp932", "euckr", "ujis", "binary", "ascii", "gb18030")
PIECES = (
    b"\\", b"\\", b"'", b"''", b"\\'", b'"', b'""', b"a", b"n", b"0", b"Z", b"%", b"_", b"\x81", b"\xbf", b"\x95\x5c",
    b"\xbf\x5c", b"\xa1", b"\xfe", b"\x5c\x5c", b"\xe3\x81\x82", b"\xc3\xa9", b"\x81\x30\x81\x30", b"\x80", b"\xff",
    b" ",
)  # fmt: skip


def made_up(pieces: random.Random) -> bytes:
    body = b"".join(pieces.choice(PIECES) for _ in range(pieces.randint(0, 7)))
    quote = pieces.choice((b"'", b'"'))
    return quote + body + quote


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("sql_mode", ["", "no_backslash_escapes", "ansi_quotes"])
def test_strings_of_every_mode(room: Room, charset: str, sql_mode: str) -> None:
    if charset == "gb18030" and room.server.flavour == "mariadb":
        pytest.skip("MariaDB does not know gb18030")
    check_strings(room, charset, sql_mode, random.Random(f"{charset} {sql_mode}"), 150)


@pytest.mark.slow
@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("sql_mode", ["", "no_backslash_escapes", "ansi_quotes"])
def test_many_strings_of_every_mode(room: Room, charset: str, sql_mode: str) -> None:
    if charset == "gb18030" and room.server.flavour == "mariadb":
        pytest.skip("MariaDB does not know gb18030")
    check_strings(room, charset, sql_mode, random.Random(), 5000)


def check_strings(room: Room, charset: str, sql_mode: str, pieces: random.Random, count: int) -> None:
    room.run(f"set names {charset}")
    room.run(f"set sql_mode = '{sql_mode}'")
    flags = {"no_backslash_escapes": sql_mode == "no_backslash_escapes", "ansi_quotes": sql_mode == "ansi_quotes"}
    mode = LexMode(charset=charset, **flags)
    read = sum(check_literal(room, made_up(pieces), mode) for _ in range(count))
    assert read > count / 10


# -- character sets -----------------------------------------------------------------------------------------------


def test_character_sets_are_decoded_as_servers_do(room: Room) -> None:
    room.run("create table bytes (b varbinary(2))")
    room.run("create table twice (b varbinary(2))")
    every = [bytes((first,)) for first in range(256)]
    room.run("insert into bytes values " + ",".join(f"(x'{one.hex()}')" for one in every))
    room.run("insert into twice select concat(a.b, c.b) from bytes a, bytes c where a.b >= x'80'")
    room.run("set sql_mode = ''")
    for charset in literals._CODECS:
        for table in ("bytes", "twice"):
            rows = room.run(f"select b, cast(convert(convert(b using {charset}) using utf8mb4) as binary) from {table}")
            for data, utf8 in rows:
                text = decoded(data, charset)
                if text is not None:
                    assert utf8 is not None, (charset, data)
                    assert text == utf8.decode("utf-8"), (charset, data)


def test_character_sets_hold_what_they_are_said_to(room: Room) -> None:
    every = [chr(code) for code in (*range(0x2600), *range(0x3000, 0xD7FF, 7), *range(0xE000, 0x10000, 7))]
    room.run("create table characters (c varchar(1) character set utf8mb4 collate utf8mb4_bin)")
    for start in range(0, len(every), 10_000):
        rows = (f"(_utf8mb4 x'{char.encode().hex()}')" for char in every[start : start + 10_000])
        room.run("insert into characters values " + ",".join(rows))
    room.run("set sql_mode = ''")
    for charset in sorted((literals._ASCII_READS | {"swe7", *literals._WIDE}) - {"gb18030"}):
        changed = room.run(
            "select cast(c as binary) from characters where"
            f" cast(convert(convert(c using {charset}) using utf8mb4) as binary) <> cast(c as binary)"
        )
        wrong = [char for (cell,) in changed if holds(charset, char := cell.decode("utf-8"))]
        assert not wrong, f"{charset} does not hold {wrong[:20]}"
        assert charset == "swe7" or holds(charset, "az AZ 09")
