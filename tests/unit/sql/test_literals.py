"""What literals say, without a server. What servers say of them is in integration/test_values_on_servers.py."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.sql.lexer import LexMode, lexer_for
from vgate.sql.literals import NULL, OTHER, Literal, LiteralKind, decoded, holds, negated, read_literal

UTF8 = LexMode()
PLAIN = LexMode(no_backslash_escapes=True)
ANSI = LexMode(ansi_quotes=True)
GBK = LexMode(charset="gbk")


@pytest.mark.parametrize(
    ("raw", "kind", "value"),
    [
        (b"0", LiteralKind.INTEGER, 0),
        (b"007", LiteralKind.INTEGER, 7),
        (b"18446744073709551615", LiteralKind.INTEGER, 2**64 - 1),
        (b"18446744073709551616", LiteralKind.DECIMAL, Decimal(2**64)),
        (b"1.50", LiteralKind.DECIMAL, Decimal("1.50")),
        (b"1.", LiteralKind.DECIMAL, Decimal(1)),
        (b".5", LiteralKind.DECIMAL, Decimal("0.5")),
        (b"1e3", LiteralKind.FLOAT, 1000.0),
        (b".5E-1", LiteralKind.FLOAT, 0.05),
        (b"1.e+2", LiteralKind.FLOAT, 100.0),
        (b"1e999", LiteralKind.FLOAT, float("inf")),
        (b"x'4A'", LiteralKind.HEX, b"J"),
        (b"X''", LiteralKind.HEX, b""),
        (b"0x4A", LiteralKind.HEX, b"J"),
        (b"0x123", LiteralKind.HEX, b"\x01\x23"),
        (b"b'1'", LiteralKind.BIT, b"\1"),
        (b"B''", LiteralKind.BIT, b""),
        (b"0b000000001", LiteralKind.BIT, b"\0\1"),
        (b"NULL", LiteralKind.NULL, None),
        (b"\\N", LiteralKind.NULL, None),
        (b"True", LiteralKind.BOOLEAN, 1),
        (b"false", LiteralKind.BOOLEAN, 0),
        (b"n'abc'", LiteralKind.NATIONAL, b"abc"),
        (b"_latin1'\xe9'", LiteralKind.INTRODUCED, b"\xe9"),
        (b"_binary 'a\\'b'", LiteralKind.INTRODUCED, b"a'b"),
        (b"_utf8mb4 0x41", LiteralKind.INTRODUCED, b"A"),
    ],
)
def test_kinds(raw: bytes, kind: LiteralKind, value: object) -> None:
    found = read_literal(raw, UTF8)
    assert (found.kind, found.value) == (kind, value)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"'", b"''' ", b"'a", b"a'", b"'a' 'b'", b"'a'b'", b"'a\\'", b"'a\"", b"1 ", b" 1", b"-1", b"+1", b"1a",
        b"1e", b"1e+", b"1.2.3", b".", b"e1", b"0x", b"0X1", b"0xg", b"x'1'", b"x'gg'", b"0b", b"0b2", b"b'2'", b"\\n",
        b"nulls", b"n", b"n'a", b"_x", b"_nocharset'a'", b"_ucs2'a'", b"_swe7'a'", b"'a'/**/", b"t.c", b"?",
        b"1" * 500, b"1." * 500, b"1,2", b"`a`", b"@a", b"\xff", b"'\0", b"now()",
    ],
)  # fmt: skip
def test_what_is_no_single_literal(raw: bytes) -> None:
    assert read_literal(raw, UTF8) is OTHER


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"''", b""),
        (b"''''", b"'"),
        (b"'a''b'", b"a'b"),
        (b"'\"'", b'"'),
        (b'"\'"', b"'"),
        (b'"a""b"', b'a"b'),
        (b"'\\0\\n\\t\\r\\b\\Z'", b"\0\n\t\r\b\x1a"),
        (b"'\\%\\_'", b"\\%\\_"),
        (b"'\\x\\N\\'\\\"\\\\'", b"xN'\"\\"),
        (b"'\\\n'", b"\n"),
        (b"'a\0b'", b"a\0b"),
        (b"'--'", b"--"),
        (b"'\xff'", b"\xff"),
    ],
)
def test_strings(raw: bytes, value: bytes) -> None:
    assert read_literal(raw, UTF8) == Literal(LiteralKind.STRING, value, "utf8mb4")


def test_modes() -> None:
    assert read_literal(b"'a\\'", PLAIN).value == b"a\\"
    assert read_literal(b"'a\\n'", PLAIN).value == b"a\\n"
    assert read_literal(b"'a''b'", PLAIN).value == b"a'b"
    assert read_literal(b'"a"', ANSI) is OTHER
    assert read_literal(b"'a'", ANSI).value == b"a"


def test_second_bytes_that_look_like_backslashes() -> None:
    assert read_literal(b"'\xbf\\'", GBK).value == b"\xbf\\"
    assert read_literal(b"'\xbf\\'", UTF8) is OTHER
    assert read_literal(b"'\\\xbf\\''", GBK).value == b"\xbf'"  # a backslash takes one byte with it, not a character
    assert read_literal(b"'\xbf\\\\n'", GBK).value == b"\xbf\\\n"
    assert read_literal(b"'\x81\\'", LexMode(charset="sjis")).value == b"\x81\\"


def test_words_are_compared_without_case_but_backslash_n_with() -> None:
    assert read_literal(b"nUlL", UTF8) is NULL
    assert read_literal(b"\\n", UTF8) is OTHER


def test_signs() -> None:
    assert negated(read_literal(b"5", UTF8)).value == -5
    assert negated(read_literal(b"1.50", UTF8)).value == Decimal("-1.50")
    assert negated(read_literal(b"1e0", UTF8)).value == -1.0
    for raw in (b"'5'", b"x'05'", b"null", b"true", b"n'5'", b"5 5"):
        assert negated(read_literal(raw, UTF8)) is OTHER


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        (b"'a'", "utf8mb4", "a"),
        (b"'\xc3\xa9'", "utf8mb4", "é"),
        (b"'\xc3\xa9'", "utf8", "é"),
        (b"'\xf0\x9f\x98\x80'", "utf8mb4", "😀"),
        (b"'\xf0\x9f\x98\x80'", "utf8mb3", None),
        (b"'\xe9'", "latin1", "é"),
        (b"'\x80'", "latin1", "€"),
        (b"'\x81'", "latin1", None),
        (b"'\xc4\xe3'", "gbk", "你"),
        (b"'\xff'", "utf8mb4", None),
        (b"'\xed\xa0\x80'", "utf8mb4", None),
        (b"'a'", "binary", None),
        (b"'a'", "swe7", "a"),
        (b"'a@'", "swe7", None),
        (b"'a'", "big5", "a"),
        (b"'\xa7\xda'", "big5", None),
        (b"'a'", "unheard_of", None),
        (b"n'\xc3\xa9'", "latin1", "é"),
        (b"_latin1'\xe9'", "utf8mb4", "é"),
        (b"_binary'a'", "utf8mb4", None),
        (b"x'41'", "utf8mb4", None),
        (b"5", "utf8mb4", None),
    ],
)
def test_text(raw: bytes, charset: str, text: str | None) -> None:
    found = read_literal(raw, LexMode(charset=charset)).text
    assert found == (None if text is None else text.encode())


def test_bytes() -> None:
    for raw in (b"x'00'", b"0x00", b"b'1'", b"_binary'a'", b"_binary x'00'"):
        assert read_literal(raw, UTF8).is_bytes
    assert read_literal(b"'a'", LexMode(charset="binary")).is_bytes
    for raw in (b"'a'", b"_latin1'a'", b"_utf8mb4 x'41'", b"n'a'", b"5", b"null"):
        assert not read_literal(raw, UTF8).is_bytes


@pytest.mark.parametrize(
    ("charset", "text", "held"),
    [
        ("utf8mb4", "😀", True),
        ("utf8mb3", "漢", True),
        ("utf8", "😀", False),
        ("ucs2", "漢", True),
        ("ucs2", "😀", False),
        ("utf16", "😀", True),
        ("latin1", "é€", True),
        ("latin1", "漢", False),
        ("sjis", "\\", False),
        ("sjis", "a", True),
        ("sjis", "漢", False),
        ("swe7", "a", False),
        ("binary", "a", False),
        ("unheard_of", "a", False),
    ],
)
def test_what_a_column_holds(charset: str, text: str, held: bool) -> None:
    assert holds(charset, text) is held


def test_empty_bytes_are_decoded() -> None:
    assert decoded(b"", "utf8mb3") == ""
    assert decoded(b"", "binary") is None


@given(st.binary(max_size=12), st.sampled_from([UTF8, PLAIN, ANSI, GBK, LexMode(charset="big5")]))
def test_any_bytes_are_read(raw: bytes, mode: LexMode) -> None:
    assert isinstance(read_literal(raw, mode), Literal)


@given(
    st.lists(st.sampled_from([b"'", b'"', b"\\", b"a", b"\xbf", b"\x5c", b"\x81", b"n", b"0", b"x"]), max_size=8),
    st.sampled_from([UTF8, PLAIN, ANSI, GBK, LexMode(charset="sjis")]),
)
def test_a_literal_is_one_token(pieces: list[bytes], mode: LexMode) -> None:
    """What is read here is one literal to the lexer too, and the other way round."""
    raw = b"'" + b"".join(pieces) + b"'"
    try:
        shape, slots = lexer_for(mode).split(raw)
    except ValueError:
        shape, slots = b"", []
    assert (read_literal(raw, mode) is not OTHER) == (shape == b"?" and slots == [raw])


def test_what_the_server_transcodes_is_not_known() -> None:
    """SET CHARACTER SET, or SET collation_connection alone: only ASCII is certain to stay what it is."""
    mode = LexMode(transcodes=True)
    assert read_literal(b"'abc'", mode).value == b"abc"
    assert read_literal("'ä'".encode(), mode).kind is LiteralKind.OTHER
