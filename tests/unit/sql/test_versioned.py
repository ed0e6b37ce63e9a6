"""Versioned comments: what each flavour and version makes of one. That they do is compared in
``integration/test_lexer_on_servers``.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgate.sql.lexer import LexError, LexMode, VersionedComment, lexer_for
from vgate.sql.versioned import Flavour, Version, expand

DEFAULT = LexMode()
SERVERS: dict[str, tuple[Flavour, Version]] = {
    "mariadb": (Flavour.MARIADB, (10, 11, 19)),
    "mysql": (Flavour.MYSQL, (9, 7, 4)),
    "old mysql": (Flavour.MYSQL, (5, 7, 30)),
}

# (why, text, what MariaDB 10.11 reads, what MySQL 9 reads); blanks are those that take the comment's place.
CASES = [
    ("without a version it is for everybody", b"select 1 /*! ,2 */", b"select 1   ,2  ", b"select 1   ,2  "),
    ("with an old one too", b"select 1 /*!50000 ,2 */", b"select 1   ,2  ", b"select 1   ,2  "),
    ("MariaDB is no MySQL 5.7 and later", b"select 1 /*!50700 ,2 */", b"select 1  ", b"select 1   ,2  "),
    ("nor MySQL 8", b"select 1 /*!80000 ,2 */", b"select 1  ", b"select 1   ,2  "),
    ("just below is for both", b"select 1 /*!50699 ,2 */", b"select 1   ,2  ", b"select 1   ,2  "),
    ("a version to come is for nobody", b"select 1 /*!999999 ,2 */", b"select 1  ", b"select 1  "),
    ("10.1.1 is MariaDB's", b"select 1 /*!100101 ,2 */", b"select 1   ,2  ", b"select 1  "),
    ("10.11.19 exactly", b"select 1 /*!101119 ,2 */", b"select 1   ,2  ", b"select 1  "),
    ("10.11.20 is not here yet", b"select 1 /*!101120 ,2 */", b"select 1  ", b"select 1  "),
    ("9.7.4 with six digits and a blank", b"select 1 /*!090704 ,2 */", b"select 1  ", b"select 1   ,2  "),
    ("9.7.5 is not here yet, and 90705 is no MySQL that MariaDB knows", b"select 1 /*!090705 ,2 */", b"select 1  ",
     b"select 1  "),
    ("a sixth digit without a blank behind it is text to MySQL", b"select 0/*!0500011*/", b"select 0 1 ",
     b"select 0 11 "),
    ("four digits are text", b"select /*!1234 */", b"select  1234  ", b"select  1234  "),
    ("a seventh digit is text", b"select /*!0500001 */", b"select  1  ", b"select  01  "),
    ("/*M! is for MariaDB, a comment to MySQL", b"select 1 /*M! ,2 */", b"select 1   ,2  ", b"select 1  "),
    ("with versions of its own", b"select 1 /*M!100100 ,2 */ /*M!50700 ,3 */ /*M!999999 ,4 */",
     b"select 1   ,2     ,3    ", b"select 1      "),
    ("a small m means nothing", b"select 1 /*m! ,2 */", b"select 1 /*m! ,2 */", b"select 1 /*m! ,2 */"),
    ("it separates tokens", b"sel/*!50000ect*/1", b"sel ect 1", b"sel ect 1"),
    ("two minus signs before it must not become a comment", b"select 1--/*! 2 */, 3", b"select 1--/**/ 2  , 3",
     b"select 1--/**/ 2  , 3"),
    ("nor those before its end", b"select 1/*! --*/2", b"select 1  --/**/2", b"select 1  --/**/2"),
    ("in a string it is none", b"select '/*! 1 */'", b"select '/*! 1 */'", b"select '/*! 1 */'"),
    ("in a name", b"select `/*! 1 */`", b"select `/*! 1 */`", b"select `/*! 1 */`"),
    ("in a comment", b"select 1 -- /*! ,2 */\n/* /*! */", b"select 1 -- /*! ,2 */\n/* /*! */",
     b"select 1 -- /*! ,2 */\n/* /*! */"),
    ("strings in it are whole", b"select /*!50000 '*/', 2 */", b"select   '*/', 2  ", b"select   '*/', 2  "),
    ("names in it too", b"select /*! `*/` */", b"select   `*/`  ", b"select   `*/`  "),
    ("and comments", b"select /*! 1 /* */ , 2 -- */\n */", b"select   1 /* */ , 2 -- */\n  ",
     b"select   1 /* */ , 2 -- */\n  "),
    ("what is not for this server ends at the first */, quotes or not", b"select 1 /*!999999 '*/ , 2",
     b"select 1   , 2", b"select 1   , 2"),
    ("but for a comment in it, which is skipped whole", b"select 1 /*!999999 /* x */ , 2 */, 3", b"select 1  , 3",
     b"select 1  , 3"),
    ("/*/ opens one", b"select 1 /*!999999 /*/ x */ , 2 */, 3", b"select 1  , 3", b"select 1  , 3"),
    ("and comments in that are none", b"select 1 /*!999999 /* /* */ , 2 */, 3", b"select 1  , 3", b"select 1  , 3"),
    ("*/* closes it", b"select 1 /*!999999 */* 3", b"select 1  * 3", b"select 1  * 3"),
    ("MySQL looks for no comment in /*M!", b"select 1 /*M!999999 /* */ , 2", b"", b"select 1   , 2"),
    ("nothing in it", b"/*!*/select 1/*!50000*/", b"  select 1  ", b"  select 1  "),
    ("names after a dot are whole in it", b"select /*! t.x'41' */", b"select   t.x'41'  ", b"select   t.x'41'  "),
]  # fmt: skip


@pytest.mark.parametrize("server", ["mariadb", "mysql"])
@pytest.mark.parametrize(("why", "text", "maria", "mysql"), CASES, ids=[case[0] for case in CASES])
def test_expanded(why: str, text: bytes, maria: bytes, mysql: bytes, server: str) -> None:
    expected = maria if server == "mariadb" else mysql
    if not expected:
        with pytest.raises(LexError):
            expand(text, DEFAULT, *SERVERS[server])
        return
    found = expand(text, DEFAULT, *SERVERS[server])
    assert found == expected or squeezed(found) == squeezed(expected)
    lexer_for(DEFAULT).tokens(found)


def squeezed(text: bytes) -> bytes:
    return b" ".join(text.split())


@pytest.mark.parametrize(
    ("why", "text", "versioned"),
    [
        ("one in another: servers of other versions disagree", b"select /*!50000 1 /*!50000 ,2 */ */", True),
        ("one without an end", b"select /*! 1", False),
        ("one for nobody, without an end", b"select /*!999999 1", False),
        ("a comment in it without an end", b"select /*!999999 /* 1 */", False),
        ("a string in it without an end", b"select /*! '1 */", False),
        ("a semicolon in it: one statement ends inside", b"select 1 /*! ; select 2 */", False),
    ],
)
def test_refused(why: str, text: bytes, versioned: bool) -> None:
    for flavour, version in SERVERS.values():
        with pytest.raises(LexError) as error:
            expand(text, DEFAULT, flavour, version)
        assert isinstance(error.value, VersionedComment) is versioned


def test_a_dump_of_mysql() -> None:
    text = b"/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */"
    for flavour, version in SERVERS.values():
        found = expand(text, DEFAULT, flavour, version)
        assert found.strip() == b"SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'"
    text = b"CREATE TABLE t (a int) /*!50100 PARTITION BY KEY (a) */ /*!80023 COMMENT 'x' */"
    assert b"COMMENT" not in expand(text, DEFAULT, *SERVERS["mariadb"])
    assert b"COMMENT" not in expand(text, DEFAULT, *SERVERS["old mysql"])
    assert b"COMMENT" in expand(text, DEFAULT, *SERVERS["mysql"])


def test_quotes_are_those_of_the_mode() -> None:
    text = b"select /*! 'a\\' */ , ' */"
    assert squeezed(expand(text, DEFAULT, *SERVERS["mysql"])) == b"select 'a\\' */ , '"
    plain = LexMode(no_backslash_escapes=True)
    with pytest.raises(LexError):
        expand(text, plain, *SERVERS["mysql"])
    assert squeezed(expand(b"select /*! 'a\\' */ , 2", plain, *SERVERS["mysql"])) == b"select 'a\\' , 2"
    gbk = LexMode("gbk")
    assert squeezed(expand(b"select /*! '\xbf\\' */ , 'b'", gbk, *SERVERS["mysql"])) == b"select '\xbf\\' , 'b'"


PIECES = [
    b"/*!", b"/*!50000 ", b"/*!99999 ", b"/*!999999", b"/*M!", b"/*M!100100 ", b"*/", b"*/", b"/*", b"/*/", b"'", b"`",
    b'"', b"-", b"--",
    b"-- ", b"\n", b"#", b"1", b"a", b",", b" ", b"\\", b"x'41'", b"'a'", b"(", b")", b"/", b"*", b".", b"!", b"M",
]  # fmt: skip


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.sampled_from(sorted(SERVERS)), st.booleans(),
        st.booleans()
)
def test_nothing_versioned_is_left(text: bytes, server: str, ansi: bool, plain: bool) -> None:
    """What comes out is the same for every server, and text without versioned comments comes out as it is."""
    mode = LexMode(ansi_quotes=ansi, no_backslash_escapes=plain)
    try:
        found = expand(text, mode, *SERVERS[server])
    except LexError:
        return
    tokens = lexer_for(mode).tokens(found)
    assert found == text or b"!" in text
    for other in SERVERS.values():
        assert expand(found, mode, *other) == found
    # Nothing is read that was not there, in that order.
    rest = text
    for token in tokens:
        at = rest.find(found[token.start : token.end])
        assert at >= 0
        rest = rest[at + token.end - token.start :]
