"""Names in text: from a token's bytes to the name, in every character set, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.sql.lexer import LexMode, TokenKind, lexer_for
from vgate.sql.names import backquoted, decoded, encoded, name_of


def named(text: bytes, mode: LexMode) -> str:
    (token,) = lexer_for(mode).tokens(text)
    assert token.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME)
    return name_of(text, token, mode)


@pytest.mark.parametrize(
    ("text", "mode", "name"),
    [
        (b"abc", LexMode(), "abc"),
        ("größe".encode(), LexMode(), "größe"),
        (b"1_a$", LexMode(), "1_a$"),
        (b"`a b`", LexMode(), "a b"),
        (b"`a``b`", LexMode(), "a`b"),
        (b"````", LexMode(), "`"),
        (b"``", LexMode(), ""),
        (b"`a\"\"b\\`", LexMode(), 'a""b\\'),
        (b'"a""b"', LexMode(ansi_quotes=True), 'a"b'),
        (b'"a``b"', LexMode(ansi_quotes=True), "a``b"),
        (b"`\xe4`", LexMode("latin1"), "ä"),
        (b"`\x80`", LexMode("latin1"), "€"),
        (b"`\xb0\xa1`", LexMode("gbk"), "啊"),
        (b"`\x81``", LexMode("gbk"), b"\x81`".decode("gbk")),  # its second byte is no quote
        (b"`\x8f````", LexMode("gbk"), b"\x8f`".decode("gbk") + "`"),
        (b"`\x83\x5c`", LexMode("sjis"), "ソ"),
        (b"`\xc3\xa9`", LexMode("utf8mb3"), "é"),
        (b"`\xff`", LexMode("binary"), "ÿ"),
    ],
)  # fmt: skip
def test_names(text: bytes, mode: LexMode, name: str) -> None:
    assert named(text, mode) == name


def test_every_character_set_of_the_servers_is_read() -> None:
    """ASCII at least, and never an error: what cannot be read becomes U+FFFD."""
    for charset in (
        "armscii8", "ascii", "big5", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866",
        "cp932", "dec8",
        "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r",
        "koi8u", "latin1",
        "latin2", "latin5", "latin7", "macce", "macroman", "sjis", "swe7", "tis620", "ujis", "utf8", "utf8mb3",
        "utf8mb4",
    ):  # fmt: skip
        assert decoded(b"abc_123", charset) == "abc_123"
        assert decoded(bytes(range(256)), charset)
        assert encoded("abc_123", charset) == b"abc_123"


def test_swe7_has_letters_where_others_have_signs() -> None:
    assert decoded(b"x@[\\]^`{|}~y", "swe7") == "xÉÄÖÅÜéäöåüy"
    assert encoded("xÉÄÖÅÜéäöåüy", "swe7") == b"x@[\\]^`{|}~y"
    assert backquoted("né", "swe7") == b"`n```"
    assert backquoted("fr[n", "swe7") == b"fr[n"  # as it is without quotes
    for sign in "@[\\]^`{|}~ø":
        with pytest.raises(UnicodeEncodeError):
            encoded(sign, "swe7")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8))
def test_a_quoted_name_is_read_back(name: str) -> None:
    assert named(backquoted(name), LexMode()) == name


TRAPS = st.text(st.sampled_from("abÄ漢`\"'\\ソ表啊"), max_size=6)


@given(TRAPS, st.sampled_from(["gbk", "sjis", "cp932", "big5", "euckr", "utf8mb4"]))
def test_a_quoted_name_is_read_back_in_character_sets_with_traps(name: str, charset: str) -> None:
    """Characters of which the second byte is a backquote or a backslash. Servers convert names to UTF-8."""
    try:
        raw = encoded(name, charset)
    except UnicodeEncodeError:
        return
    quoted = b"`" + encoded(name.replace("`", "``"), charset) + b"`"
    assert named(quoted, LexMode(charset)) == decoded(raw, charset)
