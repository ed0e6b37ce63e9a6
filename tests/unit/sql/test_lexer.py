"""The lexer by itself: the traps of the servers' own lexers, each with its reason, and what holds for any text.

That the servers read texts so is proved in ``integration/test_lexer_on_servers``. ``test_split`` compares the two
regular expressions of the lexer; here ``split`` is compared with itself in its three forms.
"""

from __future__ import annotations

import random
import re
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vgate.sql.lexer import (
    LITERALS,
    MULTI_BYTE,
    STRETCH,
    Lexer,
    LexError,
    LexMode,
    Slots,
    Token,
    TokenKind,
    VersionedComment,
    lexer_for,
    plain,
)

DEFAULT = LexMode()
ANSI = LexMode(ansi_quotes=True)
PLAIN = LexMode(no_backslash_escapes=True)
GBK = LexMode("gbk")
LATIN1 = LexMode("latin1")


def lexer(mode: LexMode = DEFAULT) -> Lexer:
    return lexer_for(mode)


def words(text: bytes, mode: LexMode = DEFAULT) -> list[bytes]:
    return [text[token.start : token.end] for token in lexer(mode).tokens(text)]


def kinds(text: bytes, mode: LexMode = DEFAULT) -> list[TokenKind]:
    return [token.kind for token in lexer(mode).tokens(text)]


# -- shapes -------------------------------------------------------------------------------------------------------

SHAPES: list[tuple[str, LexMode, bytes, bytes, Slots]] = [
    ("the usual", DEFAULT, b"select c from sbtest1 where id=5", b"select c from sbtest1 where id=?", [b"5"]),
    ("no literal at all", DEFAULT, b"select a from t", b"select a from t", []),
    ("a literal alone", DEFAULT, b"5", b"?", [b"5"]),
    ("nothing", DEFAULT, b"", b"", []),
    ("a quote in a name is no string: the condition would be inside a literal",
     DEFAULT, b"select `it's` from t where id=5 and n='x'", b"select `it's` from t where id=? and n=?", [b"5", b"'x'"]),
    ("a quote in a comment is no string", DEFAULT, b"select /* it's */ 'a' from t where id=6 # it's\n -- it's",
     b"select /* it's */ ? from t where id=? # it's\n -- it's", [b"'a'", b"6"]),
    ("a double-quoted string with an escaped quote and a number in it", DEFAULT, b'select "it\\"s 5", 7',
     b"select ?, ?",
     [b'"it\\"s 5"', b"7"]),
    ("under ANSI_QUOTES it is a name, in which a backslash is nothing", ANSI, b'select "it\\", 7, "s"',
     b'select "it\\", ?, "s"', [b"7"]),
    ("so it is in a variable's name", ANSI, b'select @"a\\", 5, "b"', b'select @"a\\", ?, "b"', [b"5"]),
    ("hexadecimal, national and introduced strings are one literal, or a name and one", DEFAULT,
     b"select x'1F', X'', N'a', n'b', _latin1'x', b'01'", b"select ?, ?, ?, ?, _latin1?, ?",
     [b"x'1F'", b"X''", b"N'a'", b"n'b'", b"'x'", b"b'01'"]),
    ("numbers of every form are one literal", DEFAULT, b"select 1.5, .5, 5e-3, 5e3, 0x1F, 0b1, 1., 1.e5",
     b"select ?, ?, ?, ?, ?, ?, ?, ?", [b"1.5", b".5", b"5e-3", b"5e3", b"0x1F", b"0b1", b"1.", b"1.e5"]),
    ("digits in names are none", DEFAULT,
     b"select `t 5`, $1, a$5, @`1`, @1, t5, 5t, 1_a, 0xg, 0X1F, t.5, t.1e5, `t`.a5",
     b"select `t 5`, $1, a$5, @`1`, @1, t5, 5t, 1_a, 0xg, 0X1F, t.5, t.1e5, `t`.a5", []),
    ("after a name and a dot, x'..' is a name and a string", DEFAULT, b"select t.x'41', t.n'a', t.0x1f from t",
     b"select t.x?, t.n?, t.0x1f from t", [b"'41'", b"'a'"]),
    ("a dot away from its name begins a number", DEFAULT, b"select a .5, a. 5", b"select a ?, a. ?", [b".5", b"5"]),
    ("a dot behind a number does not make a name", DEFAULT, b"select 0x1F.5", b"select 0x1F.5", []),
    ("1e alone is a name, and what follows it is another token", DEFAULT, b"select 1e+a, 1e5x", b"select 1e+a, ?x",
     [b"1e5"]),
    ("a minus sign belongs to no literal", DEFAULT, b"select -5 - -6--7", b"select -? - -?--?", [b"5", b"6", b"7"]),
    ("two minus signs begin a comment only before a blank or a control character", DEFAULT,
     b"select 1--2, 3--\n,4, 5 -- 6\n,7 --\x018\n", b"select ?--?, ?--\n,?, ? -- 6\n,? --\x018\n", [b"1", b"2", b"3",
     b"4", b"5", b"7"]),
    ("or at the end", DEFAULT, b"select 1--", b"select ?--", [b"1"]),
    ("a comment is not closed by /*/", DEFAULT, b"select /*/ 1 */ 2", b"select /*/ 1 */ ?", [b"2"]),
    ("comments do not nest", DEFAULT, b"select /* /* 1 */ 2", b"select /* /* 1 */ ?", [b"2"]),
    ("*/ alone is two operators", DEFAULT, b"select 2 */ 3", b"select ? */ ?", [b"2", b"3"]),
    ("a hint is a comment that ends at the first */, quotes or not", DEFAULT, b"select /*+ QB_NAME(`*/ 1, `a`",
     b"select /*+ QB_NAME(`*/ ?, `a`", [b"1"]),
    ("under NO_BACKSLASH_ESCAPES a backslash is a character", PLAIN, b"select 'a\\' , 7 -- '", b"select ? , ? -- '",
     [b"'a\\'", b"7"]),
    ("otherwise it takes the quote with it", DEFAULT, b"select 'a\\' , 7 -- '", b"select ?", [b"'a\\' , 7 -- '"]),
    ("in gbk a second byte may be a backslash: the string ends", GBK, b"select '\xbf\\' , 7 -- '",
     b"select ? , ? -- '", [b"'\xbf\\'", b"7"]),
    ("a backslash takes one byte, even half of a character", GBK, b"select '\\\xbf\\' , 7 -- '", b"select ?",
     [b"'\\\xbf\\' , 7 -- '"]),
    ("in gbk a second byte may be a backquote", GBK, b"select `\xbf``, 7 -- `", b"select `\xbf``, ? -- `", [b"7"]),
    ("in latin1 it is two quotes", LATIN1, b"select `\xbf``, 7 -- `", b"select `\xbf``, 7 -- `", []),
    ("in utf8 no later byte is ASCII", DEFAULT, b"select '\xbf\\' , 7 -- '", b"select ?", [b"'\xbf\\' , 7 -- '"]),
    ("doubled quotes", DEFAULT, b"select 'a''b', \"c\"\"d\", `e``f`", b"select ?, ?, `e``f`", [b"'a''b'", b'"c""d"']),
    ("a name may be empty", DEFAULT, b"select 1 as ``, 2", b"select ? as ``, ?", [b"1", b"2"]),
    ("strings side by side are one value: they stay", DEFAULT, b"select 'a' 'b', 5", b"select 'a' 'b', ?", [b"5"]),
    ("with comments between them too", DEFAULT, b"select 'a' /* x */ 'b' -- y\n'c', 5",
     b"select 'a' /* x */ 'b' -- y\n'c', ?", [b"5"]),
    ("a literal alias names a column: it stays", DEFAULT, b"select 1 'one', 2", b"select 1 'one', ?", [b"2"]),
    ("a question mark of the client's own is doubled", DEFAULT, b"select ?, 5, '?'", b"select ??, ?, ?", [b"5",
     b"'?'"]),
    ("wherever it stands", DEFAULT, b"select `?`, /* ? */ 5", b"select `??`, /* ?? */ ?", [b"5"]),
    ("a literal that touches one stays, or ?5 and 5? would look alike", DEFAULT, b"select ?5, 6", b"select ??5, ?",
     [b"6"]),
    ("likewise", DEFAULT, b"select 5?, 6", b"select 5??, ?", [b"6"]),
    ("an IN list is one slot", DEFAULT, b"select 1 where a in (1, 'b',3) or b = 4", b"select ? where a in (?) or b = ?",
     [b"1", [b"1", b"'b'", b"3"], b"4"]),
    ("a list of one is a literal", DEFAULT, b"select 1 where a IN(1)", b"select ? where a IN(?)", [b"1", b"1"]),
    ("a list with more than literals is none", DEFAULT, b"select a in (1, b, 2)", b"select a in (?, b, ?)", [b"1",
     b"2"]),
    ("nor is one with signs", DEFAULT, b"select a in (-1, 2)", b"select a in (-?, ?)", [b"1", b"2"]),
    ("a function whose name ends with in is no IN", DEFAULT,
     b"select min(1, 2), t.in (1, 2), `in` (1, 2), \xc3\xa9in (1, 2)",
     b"select min(?, ?), t.in (?, ?), `in` (?, ?), \xc3\xa9in (?, ?)", [b"1", b"2"] * 4),
    ("nor is an IN at the end of a comment", DEFAULT, b"select f( -- in (\n1, 2), # in (\n3, 4",
     b"select f( -- in (\n?, ?), # in (\n?, ?", [b"1", b"2", b"3", b"4"]),
    ("rows that look alike are one", DEFAULT, b"insert into t (a, b) values (1, 'x'), (2, 'y'),(3, 'z')",
     b"insert into t (a, b) values (?, ?)",
     [b"1", b"'x'", b"2", b"'y'", b"3", b"'z'"]),
    ("rows with functions too, and each kind of row", DEFAULT,
     b"replace t value (1,now()),(2,now()),(NULL,-1),(NULL,-2),(3,now())",
     b"replace t value (?,now()), (NULL,-?)", [b"1", b"2", b"1", b"2", b"3"]),
    ("what looks like rows but is arguments stays", DEFAULT,
     b"insert into t values (f((a),(a))) on duplicate key update b = f((a),(a))",
     b"insert into t values (f((a),(a))) on duplicate key update b = f((a),(a))", []),
    ("in a list of columns as well", DEFAULT, b"insert into t (a) select f((1),(2))",
     b"insert into t (a) select f((?),(?))", [b"1", b"2"]),
    ("comments and names before the rows", DEFAULT, b"/* ( */ insert into `t(` (`)`) values (1),(2)",
     b"/* ( */ insert into `t(` (`)`) values (?)", [b"1", b"2"]),
    ("VALUES() of ON DUPLICATE KEY is no list", DEFAULT,
     b"insert into t values (1) on duplicate key update a=values(a),b=(2)",
     b"insert into t values (?) on duplicate key update a=values(a),b=(?)", [b"1", b"2"]),
    ("an IN list in an INSERT is not folded, as it might be rows", DEFAULT, b"insert into t values (a in (1, 2))",
     b"insert into t values (a in (?, ?))", [b"1", b"2"]),
    ("a semicolon is part of the shape", DEFAULT, b"select 1;", b"select ?;", [b"1"]),
    ("NULL in MariaDB's short form", DEFAULT, b"select \\N, 1", b"select \\N, ?", [b"1"]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "mode", "text", "shape", "slots"), SHAPES, ids=[case[0] for case in SHAPES])
def test_shapes(why: str, mode: LexMode, text: bytes, shape: bytes, slots: Slots) -> None:
    assert lexer(mode).split(text) == (shape, slots)
    assert slowly(lexer(mode), text) == (shape, slots)
    assert lexer(mode).locate(text)[:2] == (shape, slots)


REFUSED: list[tuple[str, LexMode, bytes, int]] = [
    ("a string without an end", DEFAULT, b"select 'a", 7),
    ("a backslash at the end", DEFAULT, b"select 'a\\'", 7),
    ("a name without an end", DEFAULT, b"select `a", 7),
    ("a comment without an end", DEFAULT, b"select 1 /* 2", 9),
    ("/*/ is a comment without an end", DEFAULT, b"select 1 /*/", 9),
    ("an odd number of hexadecimal digits", DEFAULT, b"select x'123'", 7),
    ("bits that are none", DEFAULT, b"select b'012'", 7),
    ("1.e: MySQL skips it together with what follows", DEFAULT, b"select 1.e, 2", 7),
    (".5e likewise", DEFAULT, b"select .5e+", 7),
    ("NUL: servers take it for the end, or not", DEFAULT, b"select 1\0", 8),
    ("NUL in a comment", DEFAULT, b"select /* \0 */ 1", 7),
    ("NUL in a name", DEFAULT, b"select `a\0`", 7),
    ("NUL behind two minus signs, which MySQL takes for a comment", DEFAULT, b"select 1 --\0", 11),
    ("brackets: quotes under MariaDB's sql_mode MSSQL, and no SQL otherwise", DEFAULT, b"select [it's], 1 -- '", 7),
    ("a backslash outside of strings", DEFAULT, b"select \\n", 7),
    ("@@ without a name", DEFAULT, b"select @@ version", 7),
    ("@@ and a string", DEFAULT, b"select @@'version'", 7),
    ("dollar quotes, in which MySQL 9 has texts", DEFAULT, b"create function f() returns int language js as $$ ';' $$",
     47),
    ("with a tag", DEFAULT, b"select $tag$ ' $tag$", 7),
    ("a name in a character set whose letters are not known here", LATIN1, b"select \xe9", 7),
    ("a character of gbk outside of quotes", GBK, b"select \xbf\\", 7),
    ("a backslash in swe7, a letter to MySQL alone", LexMode("swe7"), b"select a\\b", 8),
    ("a control character", DEFAULT, b"select \x01", 7),
]  # fmt: skip


@pytest.mark.parametrize(("why", "mode", "text", "offset"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_refused(why: str, mode: LexMode, text: bytes, offset: int) -> None:
    """The offset is the server's idea of where the text stops making sense."""
    for read in (lexer(mode).split, lexer(mode).tokens, lexer(mode).locate, lambda text: slowly(lexer(mode), text)):
        with pytest.raises(LexError) as error:
            read(text)
        assert error.value.offset == offset
        assert not isinstance(error.value, VersionedComment)


def test_reasons() -> None:
    for mode, text, part in (
        (LATIN1, b"select \xe9", "latin1"), (GBK, b"select \xb0\xa1", "gbk"), (DEFAULT, b"select $a$", "dollar"),
    ):  # fmt: skip
        with pytest.raises(LexError, match=part):
            lexer(mode).split(text)
    with pytest.raises(LexError, match="byte 7"):
        lexer().split(b"select '")


@pytest.mark.parametrize("text", [b"select 1 /*!50000 ,2 */", b"select 1 /*M! ,2 */", b"/*!40101 SET NAMES utf8 */",
    b"/*!*/"])
def test_versioned_comments_are_told_apart(text: bytes) -> None:
    """They are text to one server and not to another: who calls expands them first."""
    for read in (lexer().split, lexer().tokens, lexer().locate):
        with pytest.raises(VersionedComment):
            read(text)


@pytest.mark.parametrize("text", [b"select '/*! 1 */'", b"select `/*!`", b"-- /*! 1 */", b"# /*!\nselect 1",
    b"/* /*! 1 */", b"/*m! 1 */"])
def test_what_is_no_versioned_comment(text: bytes) -> None:
    lexer().split(text)


ORDINARY = [
    b"SELECT `users`.* FROM `users` WHERE `users`.`email` = 'a@b.c' AND `users`.`deleted_at` IS NULL ORDER BY "
    b"`users`.`id` ASC LIMIT 1",
    b"SELECT @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS "
    b"character_set_client",
    b"SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci, @@SESSION.sql_mode = CONCAT(@@sql_mode, "
    b"',STRICT_ALL_TABLES'), wait_timeout = 2147483",
    b"SELECT t.`TABLE_NAME` FROM `information_schema`.`TABLES` t WHERE t.`TABLE_SCHEMA` LIKE 'a\\_b%' ESCAPE '\\\\'",
    b"INSERT INTO `t` (`a`, `json`) VALUES (1, '{\"a\": [1, 2, \"x\\\\\\\"y\"]}') ON DUPLICATE KEY UPDATE `a` = "
    b"VALUES(`a`) + 1",
    b"SELECT doc->'$.a[0]', doc->>\"$.b\" FROM t WHERE JSON_CONTAINS(doc, '1', '$.c') AND a <=> NULL AND NOT b "
    b"<> 3 AND (c << 2) | ~d ^ 1",
    b"SELECT SQL_CALC_FOUND_ROWS a.id, COUNT(DISTINCT b.id) AS 'n b', @rank := @rank + 1 FROM a LEFT JOIN b ON "
    b"a.id=b.a_id, (SELECT @rank := 0) r",
    b"GRANT SELECT, INSERT ON `my_db`.* TO 'app'@'10.0.%' IDENTIFIED BY 'p\\'w', root@localhost, ''@`%`",
    b"CREATE TABLE t (id BIGINT(20) UNSIGNED NOT NULL AUTO_INCREMENT, d DECIMAL(10,2) DEFAULT '0.00' COMMENT "
    b"'it''s', PRIMARY KEY (id)) ENGINE=InnoDB",
    b"LOAD DATA LOCAL INFILE '/tmp/x.csv' INTO TABLE t FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' "
    b"ESCAPED BY '\\\\' LINES TERMINATED BY '\\r\\n'",
    b"select {d '2020-01-01'}, {ts '2020-01-01 00:00:00'}, interval 1 day + now(), date '2020-01-01', 1 div 2, "
    b"a.b.c, .5 + 1. / 2e0",
    b"SELECT /*+ MAX_EXECUTION_TIME(1000) SET_VAR(optimizer_switch='mrr=off') */ 1 /* app:web,controller:it's "
    b"*/ -- trace=\"x",
    "SELECT 名前, `größe`, été, '日本' AS 😀 FROM tåble WHERE naïve = 'ñ' -- ünï".encode(),
    b"CREATE PROCEDURE p() l: BEGIN DECLARE x INT DEFAULT 1; WHILE x < 3 DO SET x = x + 1; END WHILE l; END",
    b"select a from t where id in(1,2)and b not in('x','y')or(c=1)&&!d||e",
    b"\n\t SELECT\r\n *\x0b FROM\x0c t ; ",
    b"SHOW VARIABLES LIKE 'lower\\_case\\_%'; SELECT database(), @@version_comment LIMIT 1",
    b"SELECT $1, a$b, t.$c, _utf8mb4'x' COLLATE utf8mb4_bin, N'y', 0x41424344, X'4D7953514C', b'1000001', 1e5, 1.5E-3",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_read(text: bytes) -> None:
    lexer().split(text)
    lexer().tokens(text)


# -- tokens -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"t.1e5+1", [b"t", b".", b"1e5", b"+", b"1"]),
        (b"t.1.5.x'41'", [b"t", b".", b"1", b".", b"5", b".", b"x", b"'41'"]),
        (b"t . 5", [b"t", b".", b"5"]),
        (b"`t`.5", [b"`t`", b".5"]),
        (b"`t`.`a`", [b"`t`", b".", b"`a`"]),
        (b"1.5.5", [b"1.5", b".5"]),
        (b"1..5", [b"1.", b".5"]),
        (b"@@global.x", [b"@@global", b".", b"x"]),
        (b"@@a.5", [b"@@a", b".", b"5"]),
        (b"@a.5", [b"@a.5"]),
        (b"@@`a`.b", [b"@@`a`", b".", b"b"]),
        (b"'u'@'h'", [b"'u'", b"@'h'"]),
        (b"u@h.x", [b"u", b"@h.x"]),
        (b"@ a", [b"@", b"a"]),
        (b"a:=b||c<=>d", [b"a", b":=", b"b", b"||", b"c", b"<", b"=", b">", b"d"]),
        (b"|||", [b"||", b"|"]),
        (b"a--b", [b"a", b"-", b"-", b"b"]),
        (b"a-- b", [b"a"]),
        (b"0xG0b2 0x 0b", [b"0xG0b2", b"0x", b"0b"]),
        (b"0x1e5 0b1e5", [b"0x1e5", b"0b1e5"]),
        (b"n'x'N'y'n'", [b"n'x'", b"N'y'"]),
        (b"nx'41'", [b"nx", b"'41'"]),
        (b"?;", [b"?", b";"]),
    ],
)
def test_tokens(text: bytes, expected: list[bytes]) -> None:
    if text.endswith(b"n'"):
        text = text[:-2]
    assert words(text) == expected


def test_kinds() -> None:
    K = TokenKind
    assert kinds(b"a `b` 'c' \"d\" N'e' 1 .5 0x1 x'41' 0b1 b'1' @f @@g ; ? + := || \\N") == [
        K.NAME, K.QUOTED_NAME, K.STRING, K.STRING, K.STRING, K.NUMBER, K.NUMBER, K.HEX, K.HEX, K.BIT, K.BIT, K.VARIABLE,
        K.VARIABLE, K.SEMICOLON, K.PARAMETER, K.PUNCTUATION, K.PUNCTUATION, K.PUNCTUATION, K.PUNCTUATION,
    ]  # fmt: skip
    assert kinds(b'"d" @"e"', ANSI) == [K.QUOTED_NAME, K.VARIABLE]


def test_a_step_is_a_token_or_a_blank() -> None:
    text = b"t.x'41' /* a */\n1"
    step = lexer().step
    assert step(text, 0) == (TokenKind.NAME, 3)  # with its qualifier, so that x'41' is not taken for a literal
    assert step(text, 3) == (TokenKind.STRING, 7)
    assert step(text, 7) == (None, 8)
    assert step(text, 8) == (None, 15)
    assert step(text, 16) == (TokenKind.NUMBER, 17)
    assert step(b"/*! */", 0) is None


def test_long_literals_are_turns_of_their_own() -> None:
    long = b"'%b'" % (b"a" * (STRETCH + 1))
    assert sum(1 for _ in lexer().split_slowly(b"select %b, 5, %b" % (long, long))) == 2


def test_long_texts_are_read_in_turns() -> None:
    """Other clients are served in between."""
    text = b"select " + b", ".join(b"%d" % number for number in range(10_000))
    assert sum(1 for _ in lexer().split_slowly(text)) == 2


@pytest.mark.parametrize("piece", [b"/*", b"'\"", b"`'", b"x'", b"$$", b"1.e", b"(in (", b"?'", b"'a'", b"--", b"a.",
    b"(a),", b"((", b"\\"])
def test_reading_takes_linear_time(piece: bytes) -> None:
    """A text of errors, or of what almost begins something, must not stop the others.

    Of CPU time, which other work on the machine does not use up; what is not linear takes minutes.
    """
    for start in (b"", b"insert into t values ", b"select 'a' in ("):
        text = start + piece * (30_000 // len(piece))
        began = time.process_time()
        for read in (lexer().split, lexer().tokens):
            with suppress(LexError):
                read(text)
        assert time.process_time() - began < 5


# -- what holds for any text --------------------------------------------------------------------------------------

PIECES = [
    b"'", b"''", b"\\", b"\\'", b'"', b'""', b"`", b"``", b"x'1F'", b"b'01'", b"N'a'", b"0x1F", b"0b01", b"1", b"12",
    b"1.5",
    b".5", b"1.", b"e", b"1e5", b"1e-5", b"t", b"abc", b"n", b"x", b"b", b"$", b"_", b".", b",", b"(", b")", b"=",
    b"-", b"--",
    b"-- ", b"#", b"/*", b"*/", b"/", b"*", b"\n", b" ", b" ", b"\t", b"@", b"@@", b"@a", b"@'x'", b"@`x`", b"?", b";",
    b"\\N",
    b" in (", b"(1, 2)", b"values ", b"insert ", b"select ", b":=", b"||", b"'a' 'b'", b"),(", b"(1),(2)", b"t.5",
    b"`a`.",
    b"'it''s'", b"/* x */", b"-- y\n", b"(1, 2, 'x')", b"in(1,'2')", b"\xbf\\", b"\x81`", b"\xe4",
]  # fmt: skip
SOUND = [
    b"'a'", b"'it''s'", b'"b"', b"5", b"1.5", b"1e5", b"0x1F", b"x'41'", b"b'01'", b"N'c'", b"a", b"t.5", b"`d`",
    b"@x", b"=",
    b"+", b",", b"(", b")", b"in (", b"in (1, 2, 3)", b"/* x */", b"-- y\n", b"'a' 'b'", b"?", b"insert",
    b"values (1),(2)",
    b"values", b"(1, 'x'), (2, 'y')", b"-", b";", b"\\N",
]  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join),
    st.lists(st.sampled_from(SOUND), max_size=14).map(b" ".join),
)
MODES = st.builds(
    LexMode, st.sampled_from(["utf8mb4", "latin1", "gbk", "sjis", "gb18030"]), st.booleans(), st.booleans()
)  # fmt: skip
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def slowly(lexer: Lexer, text: bytes) -> tuple[bytes, Slots]:
    steps = lexer.split_slowly(text)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: tuple[bytes, Slots] = done.value
            return result


def readable(text: bytes, mode: LexMode) -> list[Token]:
    try:
        return lexer(mode).tokens(text)
    except LexError:
        assume(False)
        raise


@MANY
@given(TEXTS, MODES)
def test_the_three_ways_to_split_agree(text: bytes, mode: LexMode) -> None:
    found: list[object] = []
    for read in (lexer(mode).split, lambda text: slowly(lexer(mode), text), lambda text: lexer(mode).locate(text)[:2]):
        try:
            found.append(read(text))
        except LexError as error:
            found.append((error.offset, error.reason, type(error)))
    assert found[0] == found[1] == found[2]


@MANY
@given(TEXTS, MODES)
def test_slots_lie_where_they_are_said_to(text: bytes, mode: LexMode) -> None:
    tokens = {token.start: token for token in readable(text, mode)}
    _, slots, places = lexer(mode).locate(text)
    assert len(slots) == len(places)
    for slot, (start, end) in zip(slots, places, strict=True):
        raws = [slot] if isinstance(slot, bytes) else slot
        assert tokens[start].kind in LITERALS
        assert text[start:].startswith(raws[0])
        assert text[:end].endswith(raws[-1])
        if isinstance(slot, bytes):
            assert text[start:end] == slot
        else:
            assert len(slot) > 1
            commas = re.fullmatch(rb"\s*,\s*".join(re.escape(raw) for raw in slot), text[start:end])
            assert commas is not None


@MANY
@given(TEXTS, MODES)
def test_a_shape_with_its_slots_is_the_text(text: bytes, mode: LexMode) -> None:
    """A question mark is a slot; two are one of the client's own. Folded lists get their commas back, but not blanks;
    folded rows are left out here.
    """
    readable(text, mode)
    assume(not re.search(rb"insert|replace", text))
    shape, slots, places = lexer(mode).locate(text)
    rest = iter(text[start:end] for start, end in places)

    def fill(found: re.Match[bytes]) -> bytes:
        marks = found[0]
        return next(rest) if len(marks) == 1 else marks[: len(marks) // 2]

    assert re.sub(rb"\?+", fill, shape) == text
    assert len(slots) == len(places)
    assert next(rest, None) is None


OTHER_LITERALS = {
    TokenKind.STRING: (b"'other'", b"''", b"'it''s'", b"'?'", b"'-- '", b"'/*'"),
    TokenKind.NUMBER: (b"7", b"77.5", b"7e7"),
    TokenKind.HEX: (b"0x7f", b"x'7F7F'"),
    TokenKind.BIT: (b"0b1", b"b'1'"),
}


@MANY
@given(TEXTS, MODES, st.randoms(use_true_random=False))
def test_texts_that_differ_in_literals_have_one_shape(text: bytes, mode: LexMode, chance: random.Random) -> None:
    tokens = readable(text, mode)
    shape, slots, places = lexer(mode).locate(text)
    free = {start for slot, (start, _) in zip(slots, places, strict=True) if isinstance(slot, bytes)}
    other = b""
    at = 0
    changed = 0
    for token in tokens:
        if token.start in free:
            # What touches the literal must not become part of it: 5 before a name, 'a' before 'b'.
            before, after = text[: token.start][-1:], text[token.end :][:1]
            choices = [
                one for one in OTHER_LITERALS[token.kind]
                if not (re.match(rb"[\w.'\"`$@\x80-\xff]", after) or re.match(rb"[\w.'\"`$@\x80-\xff]", before))
            ]  # fmt: skip
            if choices:
                other += text[at : token.start] + chance.choice(choices)
                at = token.end
                changed += 1
    other += text[at:]
    assume(changed)
    assert lexer(mode).split(other)[0] == shape


GAP = re.compile(
    rb"(?:[ \t\n\v\f\r]|/\*(?:(?!\*/)[^\0])*\*/|(?:#|--(?=[\x01-\x20\x7f]|\Z))[^\n]*(?:\n|\Z))*"
)


@MANY
@given(TEXTS, MODES)
def test_tokens_leave_out_blanks_and_comments_only(text: bytes, mode: LexMode) -> None:
    tokens = readable(text, mode)
    at = 0
    for token in (*tokens, Token(TokenKind.SEMICOLON, len(text), len(text))):
        gap = text[at : token.start]
        assert GAP.fullmatch(gap) is not None
        assert token.start <= token.end
        at = token.end


@MANY
@given(TEXTS, MODES)
def test_steps_go_through_the_text_as_tokens_do(text: bytes, mode: LexMode) -> None:
    tokens = readable(text, mode)
    starts = {token.start for token in tokens}
    at = 0
    while at < len(text):
        found = lexer(mode).step(text, at)
        assert found is not None
        kind, end = found
        assert (kind is not None) == (at in starts)
        assert end > at
        at = end


@MANY
@given(TEXTS, MODES)
def test_what_is_plain_is_its_own_shape(text: bytes, mode: LexMode) -> None:
    tokens = readable(text, mode)
    shape = b""
    at = 0
    literals = [token for token in tokens if token.kind in LITERALS]
    for token in literals:
        shape += text[at : token.start] + b"?"
        at = token.end
    shape += text[at:]
    if plain(shape, len(literals)):
        assert lexer(mode).split(text) == (shape, [text[token.start : token.end] for token in literals])


QUOTED = st.tuples(
    st.sampled_from([b"'", b'"', b"`", b"n'"]),
    st.lists(
        st.sampled_from([b"'", b'"', b"`", b"\\", b"\0", b"a", b"0", b"@", b"[", b"]", b"\x7f", b"\x80", b"\x81",
                         b"\x9f", b"\xa1", b"\xe0", b"\xf9", b"\xfc", b"\xfe", b"\xff"])
        | st.binary(min_size=1, max_size=1),
        max_size=20,
    ).map(b"".join),
)  # fmt: skip


def quoted_end(text: bytes, mode: LexMode) -> int | None:
    """Where the quoted text at the beginning ends, read a character at a time as the servers do."""
    at = 1 + (text[:1] == b"n")
    quote = text[at - 1]
    name = quote == ord("`") or (quote == ord('"') and mode.ansi_quotes)
    longer = re.compile(MULTI_BYTE.get(mode.charset, b"(?!)"))
    while at < len(text):
        if found := longer.match(text, at):
            at = found.end()
        elif text[at] == quote:
            if text[at + 1 : at + 2] != text[at : at + 1]:
                return at + 1
            at += 2
        elif text[at] == 0 and name:
            return None
        else:
            at += 2 if text[at] == ord("\\") and not name and not mode.no_backslash_escapes else 1
    return None


@settings(max_examples=3000, deadline=None)
@given(
    QUOTED,
    st.builds(LexMode, st.sampled_from(["utf8mb4", "latin1", "binary", *MULTI_BYTE]), st.booleans(), st.booleans()),
)
def test_quoted_text_is_read_in_runs_as_a_character_at_a_time(quoted: tuple[bytes, bytes], mode: LexMode) -> None:
    text = b"".join(quoted)
    assume(quoted[0] != b"n'" or b"'" in quoted[1])  # else n is a name
    expected = quoted_end(text, mode)
    found = lexer(mode).step(text, 0)
    if expected is None:
        assert found is None or found[0] is TokenKind.NAME
    else:
        assert found is not None
        assert found[0] in (TokenKind.STRING, TokenKind.QUOTED_NAME)
        assert found[1] == expected


def test_a_lexer_is_made_once_for_each_mode() -> None:
    assert lexer_for(LexMode()) is lexer_for(LexMode("utf8mb4"))
    assert lexer_for(ANSI) is not lexer_for(DEFAULT)
