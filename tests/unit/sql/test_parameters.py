"""Prepared text taken apart: parameters become literals, and nothing else becomes anything."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vgate.sql.lexer import LexError, LexMode, Slots, TokenKind, VersionedComment, lexer_for
from vgate.sql.literals import read_literal
from vgate.sql.parameters import literal, read_template

DEFAULT = LexMode()


@pytest.mark.parametrize(
    ("text", "stand_in", "shape", "slots"),
    [
        (b"select 1 from t where id = ?", b"select 1 from t where id = 0", b"select ? from t where id = ?", [b"1",
         b"7"]),
        (b"select '?', `?` /* ? */ from t where id=?", b"select '?', `?` /* ? */ from t where id=0",
         b"select ?, `??` /* ?? */ from t where id=??", [b"'?'"]),
        (b"select 1 where a in (?, 2, ?) and b = ?", b"select 1 where a in (0, 2, 0) and b = 0",
         b"select ? where a in (?) and b = ?", [b"1", [b"7", b"2", b"8"], b"9"]),
        (b"select a from t limit?", b"select a from t limit 0", b"select a from t limit ?", [b"7"]),
        (b"select a from t where b or?", b"select a from t where b or 0", b"select a from t where b or ?", [b"7"]),
        (b"insert into t values (?,?),(?,?)", b"insert into t values (0,0),(0,0)", b"insert into t values (?,?)",
         [b"7", b"8", b"9", b"10"]),
        (b"select 5?", b"select 5 0", b"select 5 0", []),
        (b"select -?", b"select -0", b"select -?", [b"7"]),
        (b"select 1", b"select 1", b"select ?", [b"1"]),
    ],
)  # fmt: skip
def test_templates(text: bytes, stand_in: bytes, shape: bytes, slots: Slots) -> None:
    template = read_template(text, DEFAULT)
    assert template.stand_in == stand_in
    values = [b"%d" % number for number in range(7, 7 + template.parameters)]
    if b"??" in shape:  # a mark in quotes is the client's own: such a shape is that of no other text
        assert lexer_for(DEFAULT).split(stand_in)[0] == template.shape
        return
    assert template.shape == shape
    assert template.slots(values) == slots


@pytest.mark.parametrize("text", [b"select '", b"select ?, `", b"select 1.e?"])
def test_what_cannot_be_read(text: bytes) -> None:
    with pytest.raises(LexError):
        read_template(text, DEFAULT)


def test_versioned_comments_have_to_be_expanded() -> None:
    with pytest.raises(VersionedComment):
        read_template(b"select ? /*! , ? */", DEFAULT)


PIECES = [
    b"select", b" ", b"?", b"?", b"?", b",", b"a", b"5", b"'x'", b"'?'", b"`?`", b"/* ? */", b"-- ?\n", b"in (?, ?)",
    b"(", b")", b"=",
    b"-", b"limit", b"t.", b"@", b"x", b"1.", b"N", b"\xc3\xa9", b"insert into t values ", b"(?, 1),(?, 1)",
]  # fmt: skip


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.booleans())
def test_a_filled_template_is_the_text_with_literals(text: bytes, ansi: bool) -> None:
    """Its tokens are those of the text, with a literal of its own for each parameter: no word grows by one, unless the
    server calls the question mark none.
    """
    mode = LexMode(ansi_quotes=ansi)
    lexer = lexer_for(mode)
    try:
        tokens = lexer.tokens(text)
        template = read_template(text, mode)
    except LexError:
        assume(False)
    marks = [token for token in tokens if token.kind is TokenKind.PARAMETER]
    assert template.parameters == len(marks)
    # Servers take no question mark for a parameter that a letter follows; and after @, 1. or a dot it is no SQL.
    after = [text[mark.end : mark.end + 1] for mark in marks]
    assume(not any(byte.isalnum() or byte >= b"\x80" for byte in after))
    assume(not any(text[: mark.start].endswith((b"@", b".")) for mark in marks))
    values = [b"%d" % (100 + number) for number in range(len(marks))]
    left = iter(values)
    expected = [
        next(left) if token.kind is TokenKind.PARAMETER else text[token.start : token.end] for token in tokens
    ]  # fmt: skip
    filled = template.filled(values)
    assert [filled[token.start : token.end] for token in lexer.tokens(filled)] == expected
    shape, slots = lexer.split(filled)
    stays = any(value in shape for value in values)  # beside another literal
    assert stays or (shape, slots) == (template.shape, template.slots(values))


BLOB = 0xFC
ODD = st.lists(st.sampled_from([
    b"\\", b"'", b'"', b"\0", b"\xc3", b"\xe2\x82", b"\xf0\x9f", b"\x81\\", b"?", b";", b"x" * 40
]))  # fmt: skip


@given(
    st.one_of(st.binary(max_size=200), ODD.map(b"".join)),
    st.sampled_from(["utf8mb4", "utf8mb3", "latin1", "ascii", "binary", "gbk", "sjis", "cp1250"]), st.booleans(),
)  # fmt: skip
def test_long_binary_values(odd: bytes, charset: str, no_escapes: bool) -> None:
    """They are one literal among others, of that value; not much longer where quotes are few."""
    mode = LexMode(charset=charset, no_backslash_escapes=no_escapes)
    value = odd + b"\xff" * 1100
    written = literal(BLOB, False, value, mode)
    assert (len(written) < 2 * len(value)) == (charset not in ("gbk", "sjis", "cp1250"))
    _, slots = lexer_for(mode).split(b"insert into t values (1, " + written + b", 'x')")
    assert slots == [b"1", written.removeprefix(b"_binary").strip(), b"'x'"]
    assert read_literal(written, mode).value == value
