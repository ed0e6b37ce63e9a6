"""The lexer against real servers: what a server makes of a text is how the lexer must have read it.

Texts are made of pieces that end a string, a comment or a name early under one mode or character set and not under
another. A server shows how it read one by the columns it answers with: their number, their names (the text of the
expression) and, for literals, their values; by the number of its results; by the rows that it inserts. Where the lexer
refuses there is nothing to compare, but what a server accepts may be refused for the reasons of ``excused`` only.

The slow searches go on for VGATE_SEARCH_SECONDS (default 120) each.

It is one thing, though long: one way to ask a server how it read a text, and what is asked of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from typing import Any

import pymysql
import pytest
from pymysql.constants import CLIENT

from tests.fix_servers import Server
from vgate.errors import VgateError
from vgate.query.pieces import Pieces
from vgate.sql.lexer import LexError, LexMode, Token, TokenKind, VersionedComment, lexer_for
from vgate.sql.rows import ValueRows
from vgate.sql.versioned import Flavour, Version, expand

DATABASE = "vgate_lexer"
SECONDS = float(os.environ.get("VGATE_SEARCH_SECONDS", "120"))
COLUMNS = (
    "a", "b", "n", "x", "_a", "1a", "1e5", "1_a", "0xg", "0b2", "0x1f", "5", "1", "e1", "in", "a$5", "$x", "it's",
    "a`b",
    'a"b', "a\\", "é", "",
)  # fmt: skip
SQL_MODES = (
    "", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "IGNORE_SPACE",
)  # fmt: skip
MULTI_BYTE = ("gbk", "big5", "sjis", "cp932", "euckr", "ujis", "eucjpms", "gb2312", "gb18030")
SINGLE_BYTE = (
    "latin1", "binary", "ascii", "latin2", "latin5", "latin7", "cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1256",
    "cp1257", "koi8r", "koi8u", "greek", "hebrew", "hp8", "dec8", "keybcs2", "macce", "macroman", "armscii8", "geostd8",
    "tis620", "swe7",
)  # fmt: skip
CHARSETS = ("utf8mb4", "utf8mb3", "latin1", *MULTI_BYTE)

# -- a server -----------------------------------------------------------------------------------------------------


class Peer:
    """A connection that says and hears bytes, in one mode."""

    def __init__(self, server: Server, charset: str, sql_mode: str, *, multi: bool = False) -> None:
        self.mode = mode_of(charset, sql_mode)
        self.connection: Any = server.connect(
            DATABASE, use_unicode=False, conv={}, client_flag=CLIENT.MULTI_STATEMENTS if multi else 0
        )
        self.connection.encoding = "latin-1"  # of names and messages: one character is one byte
        self.ask(f"set sql_mode = '{sql_mode}'".encode())
        self.ask(f"set names {charset}".encode())
        self.ask(b"set character_set_results = NULL")

    def ask(self, text: bytes) -> Answer:
        """The last result of ``text``. Raises pymysql's errors."""
        return self.ask_all(text)[-1]

    def ask_all(self, text: bytes) -> list[Answer]:
        """Its results up to the first error. Raises if that is the first of all."""
        answers: list[Answer] = []
        with self.connection.cursor() as cursor:
            cursor.execute(text)
            while True:
                names = [column[0].encode("latin-1") for column in cursor.description or ()]
                answers.append(Answer(names, list(cursor.fetchall()), cursor.rowcount))
                try:
                    if not cursor.nextset():
                        return answers
                except pymysql.err.Error:
                    return answers

    def close(self) -> None:
        self.connection.close()


class Answer:
    """One result: columns' names, rows as bytes, and the number of rows affected or returned."""

    def __init__(self, names: list[bytes], rows: list[tuple[bytes | None, ...]], count: int) -> None:
        self.names = names
        self.rows = rows
        self.count = count

    def __repr__(self) -> str:
        return f"<{self.count}: {self.names} {self.rows[:1]}>"


def mode_of(charset: str, sql_mode: str) -> LexMode:
    return LexMode(
        charset,
        ansi_quotes="ANSI_QUOTES" in sql_mode,
        no_backslash_escapes="NO_BACKSLASH_ESCAPES" in sql_mode,
        pipes_as_concat="PIPES_AS_CONCAT" in sql_mode,
    )


class Room:
    """A database with the table that statements read, and connections to it, one for each mode."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._peers: dict[tuple[str, str, bool], Peer] = {}
        server.query(f"drop database if exists {DATABASE}")
        server.query(f"create database {DATABASE} character set utf8mb4")
        columns = ", ".join(f"`{name.replace('`', '``')}` int default 7" for name in COLUMNS if name)
        server.query(f"create table t ({columns})", DATABASE)
        server.query("insert into t (a) values (7)", DATABASE)
        server.query("create table rows_ (v varbinary(2000), w varbinary(2000)) engine = memory", DATABASE)

    def peer(self, charset: str, sql_mode: str, *, multi: bool = False) -> Peer:
        key = (charset, sql_mode, multi)
        if key not in self._peers:
            self._peers[key] = Peer(self.server, charset, sql_mode, multi=multi)
        return self._peers[key]

    def knows(self, charset: str) -> bool:
        return charset != "gb18030" or self.server.flavour is Flavour.MYSQL

    @property
    def version(self) -> Version:
        major, minor, patch = (int(part) for part in re.findall(r"\d+", self.server.version)[:3])
        return major, minor, patch

    def close(self) -> None:
        for peer in self._peers.values():
            peer.close()
        self.server.query(f"drop database {DATABASE}")


@pytest.fixture(scope="module")
def room(plain: Server) -> Iterator[Room]:
    with closing(Room(plain)) as room:
        yield room


# -- made-up text -------------------------------------------------------------------------------------------------

COMMON = (
    b"a", b"b", b"1", b"\\", b"'", b'"', b"`", b"''", b'""', b"``", b" ", b"\n", b"/*", b"*/", b"--", b"-- ", b"#",
    b";",
    b",", b"\\\\", b"\\'", b'\\"', b"\\n", b"?", b"%", b"(", b")", b"@", b".", b"\0",
)  # fmt: skip
OF_UTF8 = ("é".encode(), "日".encode(), "😀".encode(), b"\xc3", b"\xff", b"\x80")
OF_OTHERS = (
    b"\xbf", b"\x81", b"\xa1", b"\xe0", b"\xfe", b"\xff", b"\x80", b"\xbf\\", b"\x81\\", b"\xa1\\", b"\xe0`", b"\x81`",
    b'\xbf"', b"\x810\x810", b"\x810\x81\\", b"\xbf'", b"\x8e\xb1", b"\x8f\xa1\xa1\\", b"\xb0\xa1\\", b"\x5c\x5c",
)  # fmt: skip
UTF8 = ("utf8mb4", "utf8mb3")


class Maker:
    """Makes statements of one mode, from one source of chance."""

    def __init__(self, chance: random.Random, mode: LexMode) -> None:
        self.chance = chance
        self.mode = mode
        self.characters = COMMON + (OF_UTF8 if mode.charset in UTF8 else OF_OTHERS)
        self.wild = chance.choice((0.0, 0.0, 0.05, 0.3))
        """How often something is broken on purpose: a statement has to be whole to be answered."""

    def broken(self) -> bool:
        return self.chance.random() < self.wild

    def pick(self, sound: tuple[bytes, ...], unsound: tuple[bytes, ...]) -> bytes:
        return self.chance.choice(unsound if self.broken() else sound)

    def soup(self, most: int = 4) -> bytes:
        return b"".join(self.chance.choice(self.characters) for _ in range(self.chance.randint(0, most)))

    def quoted(self, quote: bytes) -> bytes:
        """Something in quotes, which mostly close where they should."""
        body = self.soup()
        if not self.broken():
            body = body.replace(quote, self.chance.choice((quote * 2, b"")))
            if quote == b"`":
                body = self.chance.choice(COLUMNS).encode().replace(b"`", b"``")
        return quote + body + quote

    def blank(self) -> bytes:
        soup = self.soup()
        return self.chance.choice((
            b"", b"", b"", b"", b"", b" ", b" ", b" ", b" ", b"\n", b"\t", b"\x0b", b"\x0c", b"\r", b"/**/", b"/***/",
            b"/*/*/", b"/* ' */", b"/* " + soup + b" */", b"/*" + soup + b"*/", b"/*+ " + soup + b"*/", b"--\n",
            b"-- " + soup + b"\n", b"--\t" + soup + b"\n", b"--\x01\n", b'-- "\n', b"#" + soup + b"\n", b"--\x7f\n",
        ))  # fmt: skip

    def name(self) -> bytes:
        return self.chance.choice((
            b"a", b"t.a", b"t.1e5", b"1a", b"0xg", b"$x", b"t . a", b"t. a", b"t .a", b"`a`", b"`t`.`a`", b"t.`a`",
            b"`t`.a",
            b"`it's`", b"`a``b`", b'`a"b`', b"n", b"x", b"b", b"N", b"_a", b"1_a", b"0b2", b"e1", b"t.x", b"t.n",
            b"t.b",
            b"t.0x1f", b"t.5", b"t.$x", b"t.1", b"t.in", b"t.1a", b"a$5", b"`a\\`", b"t.x", b"t.1 .1",
            b"vgate_lexer.t.1",
            b"vgate_lexer.t.1e5", "é".encode() if self.mode.charset in UTF8 else b"`b`",
        ))  # fmt: skip

    def number(self) -> bytes:
        return self.pick((
            b"1", b"5", b"1.5", b".5", b"1.", b"1e5", b"1E5", b"1e+5", b"1e-5", b"1.e5", b".5e5", b"1.5e-3", b"0x1F",
            b"0b1",
            b"0x1f2", b"0b01", b"x'1F'", b"X''", b"b'01'", b"B''", b"00", b"123456789012345678901234567890",
        ), (
            b"1e", b"0x", b"0b", b"1.e", b"0X1F", b"1e5x", b"0x1g", b"x'1'", b"b'2'", b"1..2", b"0x1F.5", b"1e5.5",
            b"1.5.5",
        ))  # fmt: skip

    def variable(self) -> bytes:
        return b"@" + self.pick((
            b"x", b"`x`", b"'x'", b'"x"', b"x.y", b"1", b"$", b".", b"@version", b"@session.sql_mode", b"@`version`",
            b"@global.`version`", b"a.1e5", b"@sql_mode", self.quoted(b"'"), self.quoted(b'"'), self.quoted(b"`"),
            "é".encode() if self.mode.charset in UTF8 else b"x",
        ), (b"'a\\'", b'"a\\"', b"", b" x", b"@version.5", b"@ version", b"@"))  # fmt: skip

    def string(self) -> bytes:
        match self.chance.randint(0, 9):
            case 0 | 1:
                return self.quoted(b'"')
            case 2:
                return self.chance.choice(b"Nnx").to_bytes(1, "big") + self.quoted(b"'")
            case 3:
                return self.chance.choice((b"_utf8mb4", b"_latin1 ", b"_binary", b"_gbk")) + self.quoted(b"'")
            case 4:
                return self.quoted(b"'") + self.blank() + self.quoted(self.chance.choice((b"'", b'"')))
        return self.quoted(b"'")

    def operand(self, depth: int) -> bytes:
        likely = self.chance.random()
        if likely < 0.3:
            found = self.string()
        elif likely < 0.5:
            found = self.number()
        elif likely < 0.68:
            found = self.name()
        elif likely < 0.8:
            found = self.variable()
        elif likely < 0.95 and depth < 2:
            function = self.chance.choice((b"", b"", b"concat", b"coalesce", b"hex"))
            found = function + b"(" + self.expression(depth + 1) + b")"
        else:
            found = self.quoted(b"`")
        if self.chance.random() < 0.15:
            found = self.chance.choice((b"-", b"+", b"!", b"~", b"--", b"- ", b"!!", b"- -")) + found
        return self.blank() + found + self.blank()

    def expression(self, depth: int = 0) -> bytes:
        found = self.operand(depth)
        while self.chance.random() < 0.35:
            found += self.pick((
                b"+", b"-", b"--", b"*", b"/", b"%", b"||", b"&&", b"=", b"<=>", b"<", b">=", b"!=", b"<>", b"|", b"&",
                b"^",
                b"<<", b" div ", b" like ", b" and ", b" or ", b" xor ", b"<@x<",
            ), (b" in ", b"->", b"->>", b":=", b",", b"=!")) + self.operand(depth)  # fmt: skip
        return found

    def mutated(self, text: bytes) -> bytes:
        """The text with up to two bytes or so more, less or again."""
        for _ in range(self.chance.choice((1, 1, 2)) if self.broken() else 0):
            at = self.chance.randint(0, len(text))
            match self.chance.randint(0, 3):
                case 0 | 1:
                    text = text[:at] + self.chance.choice((*self.characters, b"e", b"x", b"N", b"0", b"-",
                        b"*")) + text[at:]
                case 2:
                    text = text[:at] + text[at + 1 :]
                case 3:
                    text = text[: at + self.chance.randint(1, 6)] + text[at:]
        return text

    def select(self) -> bytes:
        items: list[bytes] = []
        for _ in range(self.chance.randint(1, 3)):
            item = self.expression()
            items.append(b"(" + item + b")" if self.chance.random() < 0.7 else item)
        return b"select " + self.mutated(b",".join(items)) + self.chance.choice((b" from t", b"\nfrom t"))

    def statements(self) -> bytes:
        """Several, with more semicolons than there should be."""
        count = self.chance.randint(1, 4)
        parts = (self.select() if self.chance.random() < 0.8 else self.blank() for _ in range(count))
        return self.mutated(b";".join(parts) + self.chance.choice((b"", b"", b";", b"; ", b";;", b"; ;\n",
            b";" + self.blank())))

    def insert(self) -> bytes:
        """An INSERT of two columns, whose rows hold every sort of value."""
        rows: list[bytes] = []
        for _ in range(self.chance.randint(1, 5)):
            likely = self.chance.random()
            if likely < 0.1:
                rows.append(b"(" + self.value() + b")" if self.broken() else b"(default, 1)")
            else:
                rows.append(b"(" + self.value() + b"," + self.value() + b")")
        head = self.chance.choice((
            b"insert into rows_ values", b"insert rows_ (v, w) values", b"replace into `rows_`(`w`,v)value",
            b"insert ignore into rows_ (v,rows_.w) values", b"insert/**/into vgate_lexer.rows_/* values (1) */ values",
            b"INSERT LOW_PRIORITY rows_ () VALUES",
        ))  # fmt: skip
        tail = self.chance.choice((b"", b"", b"", b" on duplicate key update v = 1",
            b" on duplicate key update v = values(w)"))
        joined = (self.blank() + b"," + self.blank()).join(rows)
        return head + self.blank() + self.mutated(joined) + self.blank() + tail

    def value(self) -> bytes:
        match self.chance.randint(0, 5):
            case 0 | 1:
                return self.blank() + self.string() + self.blank()
            case 2:
                return self.blank() + self.number() + self.blank()
            case 3:
                return self.pick(
                    (b"default", b"NULL", b"pi()", b"-1", b"- 1", b"1--1", b"if(1,2,3)", b"(1)", b"(((2)))",
                     b"greatest((1),(2))"),
                    (b"", b"((1),(2))", b"(", b")", b"1)"),
                )
            case 4:
                return self.blank() + b"concat(" + self.string() + b"," + self.number() + b")"
        return self.operand(2) if self.broken() else self.variable()

    def versioned(self) -> bytes:
        """A SELECT with versioned comments in it, and comments in those."""
        inside = (self.soup() if self.broken() else self.operand(2) for _ in range(self.chance.randint(1, 4)))
        parts: list[bytes] = []
        for piece in inside:
            opener = self.pick((
                b"/*!", b"/*! ", b"/*!50000", b"/*!50000 ", b"/*!99999 ", b"/*!999999 ", b"/*!100100 ", b"/*!50700 ",
                b"/*!80000 ",
                b"/*!90000 ", b"/*!090000 ", b"/*!0900000", b"/*!500001", b"/*!5000012 ", b"/*M!", b"/*M!100100 ",
                b"/*M!100100",
                b"/*M!999999 ", b"/*M!50700 ", b"/*m!", b"/*!99999 /* x */ ", b"/*!99999 /*/ x */ ",
                b"/*!50000 /* x */ ",
                b"/*!080000 ", b"/*!101100", b"/*!99999 '", b"/*M!999999 ` ",
            ), (b"/*!1234 ", b"/*! /*!", b"/* /*!", b"/*!99999 */*", b"/*!99999'*/'", b"/*!101100,"))  # fmt: skip
            parts += self.chance.choice((
                (opener, b",", piece, b"*/"), (opener, b"+", piece, b" */"), (b",", piece), (b",", piece, self.blank()),
                (opener, b",1", b"*/"), (opener, b"*/"), (b",'", opener, b"*/'"), (b",(", piece, opener, b"-1*/)"),
            ))  # fmt: skip
        return b"select 1" + self.mutated(b"".join(parts)) + b" from t"


# -- what is compared ---------------------------------------------------------------------------------------------


def excused(text: bytes, error: LexError, mode: LexMode) -> bool:
    """True for what the lexer may refuse although a server accepts it."""
    at = error.offset
    if isinstance(error, VersionedComment):
        return True
    rest = text[at:]
    return (
        (text[at] >= 0x80 and mode.charset not in UTF8)  # names in other character sets need quotes
        or b"\0" in text  # servers take it for the end, or not, depending on where it stands
        or re.match(rb"[0-9]*\.[0-9]*e", rest, re.I) is not None  # MySQL skips 1.e and goes on
        or re.match(rb"\$\w*\$", rest) is not None  # MySQL's dollar quotes
        or (mode.charset == "swe7" and rest[:1] == b"\\")  # a letter to MySQL
    )


def texts_of(text: bytes, tokens: list[Token]) -> list[bytes]:
    return [text[token.start : token.end] for token in tokens]


def statements_of(text: bytes, mode: LexMode) -> list[bytes]:
    return asyncio.run(_cut(Pieces(text, several=True), mode))


async def _cut(pieces: Pieces, mode: LexMode) -> list[bytes]:
    found = [await pieces.cut(lexer_for(mode), Flavour.MYSQL, (9, 0, 0))]  # these texts have no versioned comments
    while pieces.more:
        found.append(await pieces.cut(lexer_for(mode), Flavour.MYSQL, (9, 0, 0)))
    return found


def items_of(text: bytes, tokens: list[Token]) -> list[list[Token]]:
    """The items of a SELECT: what stands between commas that are in no parentheses, up to FROM."""
    items: list[list[Token]] = [[]]
    depth = 0
    for token, word in zip(tokens[1:], texts_of(text, tokens[1:]), strict=True):
        if word == b";" or (depth == 0 and token.kind is TokenKind.NAME and word.lower() == b"from"):
            break
        depth += (word == b"(") - (word == b")")
        if depth == 0 and word == b",":
            items.append([])
        else:
            items[-1].append(token)
    return items


LONGER = {
    "big5": ((0xA1, 0xF9), ((0x40, 0x7E), (0xA1, 0xFE))),
    "gbk": ((0x81, 0xFE), ((0x40, 0x7E), (0x80, 0xFE))),
    "gb18030": ((0x81, 0xFE), ((0x40, 0x7E), (0x80, 0xFE))),
    "euckr": ((0x81, 0xFE), ((0x41, 0x5A), (0x61, 0x7A), (0x81, 0xFE))),
}


def length_at(data: bytes, at: int, charset: str) -> int:
    """The length of the character at ``at``, where its later bytes may look like a quote."""
    if at + 1 >= len(data):
        return 1
    first, second = data[at], data[at + 1]
    if charset in ("sjis", "cp932"):
        leads = 0x81 <= first <= 0x9F or 0xE0 <= first <= 0xFC
        return 2 if leads and (0x40 <= second <= 0x7E or 0x80 <= second <= 0xFC) else 1
    if charset not in LONGER:
        return 1
    (lowest, highest), trails = LONGER[charset]
    if not lowest <= first <= highest:
        return 1
    if any(low <= second <= high for low, high in trails):
        return 2
    four = data[at : at + 4]
    if charset == "gb18030" and len(four) == 4 and 0x30 <= second <= 0x39:
        return 4 if 0x81 <= four[2] <= 0xFE and 0x30 <= four[3] <= 0x39 else 1
    return 1


ESCAPED = {ord("0"): 0, ord("n"): 10, ord("t"): 9, ord("r"): 13, ord("b"): 8, ord("Z"): 26}


def value_of(token: bytes, mode: LexMode) -> bytes:
    """What a quoted string says: one character after the other, as simply as can be."""
    quote, body = token[0], token[1:-1]
    found = bytearray()
    at = 0
    while at < len(body):
        length = length_at(body, at, mode.charset)
        byte = body[at]
        if length > 1:
            found += body[at : at + length]
        elif byte == ord("\\") and not mode.no_backslash_escapes and at + 1 < len(body):
            at += 1
            if body[at] in b"%_":
                found.append(byte)
            found.append(ESCAPED.get(body[at], body[at]))
        else:
            found.append(byte)
            at += byte == quote
        at += length
    return bytes(found)


class Tally(Counter[str]):
    """What a search has seen."""

    def refused(self, text: bytes, error: LexError, mode: LexMode) -> None:
        assert excused(text, error, mode), f"refused, but the server accepts {text!r} under {mode}: {error}"
        self["excused"] += 1


def check_select(peer: Peer, text: bytes, tally: Tally) -> None:
    """Ask for a SELECT and compare its columns with its items."""
    mode = peer.mode
    try:
        tokens = lexer_for(mode).tokens(text)
    except LexError as error:
        tally["refused"] += 1
        with pytest.raises(LexError):
            lexer_for(mode).split(text)
        try:
            peer.ask(text)
        except pymysql.err.Error:
            return
        return tally.refused(text, error, mode)
    lexer_for(mode).split(text)  # what has tokens has a shape
    try:
        answer = peer.ask(text)
    except pymysql.err.Error:
        tally["errors"] += 1
        return None
    tally["accepted"] += 1
    return compare(text, tokens, answer, mode, tally)


def compare(text: bytes, tokens: list[Token], answer: Answer, mode: LexMode, tally: Tally) -> None:
    items = items_of(text, tokens)
    if b"*" in texts_of(text, [one for item in items if len(item) in (1, 3) for one in item[-1:]]):
        return  # all columns of the table
    context = f"{text!r} under {mode}: {answer}, but {[texts_of(text, item) for item in items]}"
    assert len(items) == len(answer.names), context
    for index, item in enumerate(items):
        if mode.charset != "swe7":  # to which even ASCII has to be converted
            check_name(text, item, answer.names[index], context, tally)
        if answer.rows:
            check_value(text, item, answer.rows[0][index], mode, context, tally)


OPERATORS = frozenset((b"-", b"+", b"*", b"/", b"%", b"=", b"<", b">", b"|", b"&", b"^", b"||"))
NAMED_OTHERWISE = re.compile(rb"/\*|--|#|\A[\s(]*(?:not\b|[!+])|\0", re.I)


def check_name(text: bytes, item: list[Token], name: bytes, context: str, tally: Tally) -> None:
    """An expression in parentheses is called as it is written. Servers cut long names, and treat comments each in its
    own way.
    """
    raw = text[item[0].start : item[-1].end]
    whole = raw[:1] == b"(" and raw[-1:] == b")" and len(raw) < 60 and raw.isascii()
    operands = sum(token.kind is not TokenKind.PUNCTUATION for token in item) - raw.count(b"_")
    words = texts_of(text, item)
    if whole and operands > 1 and not OPERATORS.isdisjoint(words) and not NAMED_OTHERWISE.search(raw):
        tally["names"] += 1
        assert name.strip().endswith(raw), context


def check_value(text: bytes, item: list[Token], value: bytes | None, mode: LexMode, context: str, tally: Tally) -> None:
    """The value of an item that is a literal, or strings side by side, in parentheses or not."""
    while len(item) > 2 and texts_of(text, [item[0], item[-1]]) == [b"(", b")"]:
        item = item[1:-1]
    raws = texts_of(text, item)
    kinds = {token.kind for token in item}
    if kinds == {TokenKind.STRING} and all(raw[:1] in b"'\"" for raw in raws):
        expected = b"".join(value_of(raw, mode) for raw in raws)
    elif kinds == {TokenKind.NUMBER} and len(raws) == 1 and raws[0].isdigit() and raws[0][:1] != b"0":
        expected = raws[0]
    elif kinds == {TokenKind.HEX} and len(raws) == 1:
        digits = raws[0][2:].strip(b"'")
        expected = bytes.fromhex((b"0" * (len(digits) % 2) + digits).decode())
    else:
        return
    tally["values"] += 1
    assert value == expected, f"{expected!r}: {context}"


def check_statements(peer: Peer, text: bytes, tally: Tally) -> None:
    """Each result of a text of several statements has the columns of one of them, in order."""
    mode = peer.mode
    try:
        pieces = statements_of(text, mode)
        read = list(map(lexer_for(mode).tokens, pieces))
    except (LexError, VgateError) as error:
        tally["refused"] += 1
        try:
            answers = peer.ask_all(text)
        except pymysql.err.Error:
            return
        if len(answers) > 1:
            tally["excused"] += 1
        elif isinstance(error, LexError) and b";" not in text:
            tally.refused(text, error, mode)
        return
    try:
        answers = peer.ask_all(text)
    except pymysql.err.Error:
        answers = []
    context = f"{text!r} under {mode}: {answers}, but {pieces}"
    assert len(answers) <= len(pieces), context
    for answer, piece, tokens in zip(answers, pieces, read, strict=False):
        tally["accepted"] += 1
        if tokens:
            compare(piece, tokens, answer, mode, tally)
        else:  # a comment, at the end
            assert not answer.names, context
            tally["comments"] += 1


def check_insert(peer: Peer, text: bytes, tally: Tally) -> None:
    """The rows that a server inserts are as many as are seen; and cut and put together again they are the same."""
    mode = peer.mode
    try:
        found = ValueRows(text, mode)
        rows = list(found)
        lexer_for(mode).tokens(text)
    except LexError as error:
        tally["refused"] += 1
        try:
            peer.ask(text)
        except pymysql.err.Error:
            return
        finally:
            read_rows(peer)
        tally.refused(text, error, mode)
        return
    try:
        answer = peer.ask(text)
    except pymysql.err.Error:
        tally["errors"] += 1
        read_rows(peer)
        return
    tally["accepted"] += 1
    context = f"{text!r} under {mode}: {answer}, but {[text[row.start : row.end] for row in rows]}"
    assert answer.count == len(rows), context
    widths = {len(row.values) for row in rows}
    assert widths in ({2}, {0}), context
    stored = read_rows(peer)
    parts = [text[: found.head_end]]
    for number, row in enumerate(rows):
        values = b",".join(text[start:end] for start, end in row.values)
        parts += (b", " if number else b" ", b"(", values, b")")
    parts += (b" ", text[found.tail_start :])
    peer.ask(b"".join(parts))
    assert read_rows(peer) == stored, context


def read_rows(peer: Peer) -> list[tuple[bytes | None, ...]]:
    """What was inserted; it is deleted."""
    rows = peer.ask(b"select v, w from rows_").rows
    peer.ask(b"delete from rows_")
    return rows


def outcome(peer: Peer, text: bytes) -> Answer | int:
    """The answer to ``text``, or the number of its error."""
    try:
        return peer.ask(text)
    except pymysql.err.Error as error:
        return int(error.args[0])


def check_versioned(peer: Peer, text: bytes, flavour: Flavour, version: Version, tally: Tally) -> None:
    """A text and what ``expand`` makes of it have the same answer, and the second has no versioned comment left."""
    mode = peer.mode
    try:
        plain = expand(text, mode, flavour, version)
    except LexError as error:
        tally["refused"] += 1
        try:
            peer.ask(text)
        except pymysql.err.Error:
            return
        nested = isinstance(error, VersionedComment)  # one versioned comment in another
        if not nested and "semicolon" not in error.reason:
            tally.refused(text, error, mode)
        return
    tokens = lexer_for(mode).tokens(plain)
    answer, other = outcome(peer, text), outcome(peer, plain)
    context = f"{text!r} becomes {plain!r} under {mode}: {answer}, {other}"
    if isinstance(answer, int) or isinstance(other, int):
        assert answer == other, context
        tally["errors"] += 1
        return
    assert len(answer.names) == len(other.names), context
    assert answer.rows == other.rows, context
    compare(plain, tokens, other, mode, tally)
    tally["accepted"] += 1


# -- the searches -------------------------------------------------------------------------------------------------


def modes(room: Room, charsets: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(charset, sql_mode) for charset in charsets if room.knows(charset) for sql_mode in SQL_MODES]


def search(room: Room, what: str, chance: random.Random, charsets: tuple[str, ...], *, count: int,
    seconds: float) -> Tally:
    """Make and check statements until there were ``count``, or time is over."""
    tally = Tally()
    every = modes(room, charsets)
    end = time.monotonic() + seconds
    for number in range(count):
        if number % 100 == 0 and time.monotonic() > end:
            break
        charset, sql_mode = chance.choice(every)
        maker = Maker(chance, mode_of(charset, sql_mode))
        peer = room.peer(charset, sql_mode, multi=what == "statements")
        tally["made"] += 1
        match what:
            case "select":
                check_select(peer, maker.select(), tally)
            case "statements":
                check_statements(peer, maker.statements(), tally)
            case "insert":
                check_insert(peer, maker.insert(), tally)
            case "versioned":
                check_versioned(peer, maker.versioned(), room.server.flavour, room.version, tally)
    return tally


WHAT = pytest.mark.parametrize("what", ["select", "statements", "insert", "versioned"])


@WHAT
def test_made_up_texts(room: Room, what: str) -> None:
    tally = search(room, what, random.Random(f"vgate {what}"), CHARSETS, count=4000, seconds=60)
    assert tally["accepted"] > tally["made"] / 10, tally


@WHAT
@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 3 + 60)
def test_many_made_up_texts(room: Room, what: str) -> None:
    seed = os.environ.get("VGATE_SEARCH_SEED") or str(random.randrange(10**9))
    print(f"VGATE_SEARCH_SEED={seed}")
    charsets = (*CHARSETS, *SINGLE_BYTE)
    tally = search(room, what, random.Random(seed), charsets, count=10**9, seconds=SECONDS)
    print(what, dict(tally))
    assert tally["accepted"] > tally["made"] / 20, tally


SYMBOLS = tuple(bytes((byte,)) for byte in b"'\"`\\/*-#\n .@$!xN1e;0?,()")
FRAMES = (
    b"select %b, 2 from t", b"select 1%b, 2 from t", b"select a%b, 2 from t", b"select 'a%b', 2 from t",
    b"select @%b, 2 from t",
    b"select t.%b, 2 from t", b"select `a`%b, 2 from t", b"select /*%b, 2 from t -- */", b"select 1 -%b, 2 from t",
    b'select "%b", 2 from t', b"select 0x1%b, 2 from t", b"select 1e%b5, 2 from t",
)  # fmt: skip


def check_every(room: Room, length: int, sql_modes: tuple[str, ...]) -> Tally:
    """Everything of that length that can be written with SYMBOLS, in every frame."""
    tally = Tally()
    for sql_mode in sql_modes:
        peer = room.peer("utf8mb4", sql_mode)
        for symbols in product(SYMBOLS, repeat=length):
            for frame in FRAMES:
                check_select(peer, frame % b"".join(symbols), tally)
    return tally


def test_every_two_symbols(room: Room) -> None:
    tally = check_every(room, 1, SQL_MODES) + check_every(room, 2, ("",))
    assert tally["accepted"] > 1000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_three_symbols(room: Room) -> None:
    tally = check_every(room, 3, ("", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"))
    print(dict(tally))
    assert tally["accepted"] > 10_000


@pytest.mark.parametrize("charset", [*MULTI_BYTE, "latin1", "utf8mb4"])
def test_which_bytes_are_one_character(room: Room, charset: str) -> None:
    """Every first byte before a backslash that would escape a quote, and before a backquote that would double one."""
    if not room.knows(charset):
        pytest.skip("MariaDB does not know gb18030")
    for sql_mode in ("", "NO_BACKSLASH_ESCAPES"):
        peer = room.peer(charset, sql_mode)
        widths: Counter[int] = Counter()
        for first in (bytes((byte,)) for byte in range(0x80, 0x100)):
            for lead in (first, b"\x81\x30" + first, first + b"\x30", first + b"\xa1"):
                for text in (b"select '%b\\', 2 -- '" % lead, b"select 1 as `%b``, 2 -- `" % lead):
                    tokens = lexer_for(peer.mode).tokens(text)
                    try:
                        answer = peer.ask(text)
                    except pymysql.err.Error:  # it names no column
                        widths[0] += 1
                        continue
                    items = items_of(text, tokens)
                    assert len(answer.names) == len(items), f"{text!r} in {charset}: {answer}"
                    widths[len(items)] += 1
        assert widths[1] + widths[2] > widths[0], widths
