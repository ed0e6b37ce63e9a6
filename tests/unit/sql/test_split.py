"""``Lexer.split`` against ``Lexer.tokens``: two regular expressions that must read every text alike."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vgate.sql.lexer import LITERALS, LexError, LexMode, Slots, TokenKind, lexer_for, plain

PIECES = [
    b"'", b"''", b"\\", b"\\'", b'"', b"`", b"x", b"n", b"b", b"N", b"x'1F'", b"b'01'", b"n'a'", b"_latin1",
    b"0x1F", b"0x", b"0b01", b"1", b"12", b"1.5", b".5", b"1.", b"e", b"1e5", b"1e-5", b"5e", b"t", b"abc", b"a1",
    b"1a", b"$", b"_", b".", b",", b"(", b")", b"=", b"-", b"--", b"-- ", b"#", b"/*", b"*/", b"/*!", b"/", b"*",
    b"\n", b" ", b"\t", b"\0", b"\xe4", b"\xbf\\", b"\x81\x5c", b"@", b"@@", b"@a", b"@'x'", b"@`x`", b"@@x.y",
    b"?", b"??", b";", b"\\N", b"in (", b"values (", b"insert ", b"select ", b":=", b"||", b"'a' 'b'", b"),(",
    b"t.5", b"`a`.", b"`a`.`b`, ",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)
NAMES = {TokenKind.NAME, TokenKind.QUOTED_NAME}
MODES = st.builds(
    LexMode, st.sampled_from(["utf8mb4", "latin1", "gbk", "sjis", "gb18030"]), st.booleans(), st.booleans()
)


def by_tokens(text: bytes, mode: LexMode) -> tuple[bytes, Slots] | int:
    """The text with a question mark for each token that is a literal, and these; or where it cannot be read."""
    try:
        tokens = lexer_for(mode).tokens(text)
    except LexError as error:
        return error.offset
    # Of a dot right behind what is no name, tokens think otherwise: 1.5.5. It is no SQL either way.
    assume(all(text[one.end : one.end + 1] != b"." for one in tokens if one.kind not in NAMES))
    literals = [token for token in tokens if token.kind in LITERALS]
    slots: Slots = [text[token.start : token.end] for token in literals]
    shape, at = b"", 0
    for token in literals:
        shape += text[at : token.start] + b"?"
        at = token.end
    return shape + text[at:], slots


def by_split(text: bytes, mode: LexMode, known: dict[bytes, int] | None = None) -> tuple[bytes, Slots] | int:
    """What ``split`` says, or where it cannot read the text."""
    try:
        return lexer_for(mode).split(text, known or {})
    except LexError as error:
        return error.offset


@settings(max_examples=2000)
@given(TEXTS, MODES)
def test_both_read_alike(text: bytes, mode: LexMode) -> None:
    expected = by_tokens(text, mode)
    if isinstance(expected, int) or plain(expected[0], len(expected[1])):
        assert by_split(text, mode) == expected


@settings(max_examples=1000)
@given(TEXTS, TEXTS, MODES)
def test_what_is_known_changes_nothing(text: bytes, other: bytes, mode: LexMode) -> None:
    known = {}
    for read in (by_split(other, mode), by_split(text, mode)):
        if not isinstance(read, int) and plain(read[0], len(read[1])):
            known[read[0]] = len(read[1])
    assert by_split(text, mode, known) == by_split(text, mode)


@pytest.mark.parametrize(
    ("text", "shape", "slots"),
    [
        (b"select ? from t where id = 5", b"select ?? from t where id = ?", [b"5"]),
        (b"select 'a' 'b', 5", b"select 'a' 'b', ?", [b"5"]),
        (b"select 1 where id in (2, 3)", b"select ? where id in (?)", [b"1", [b"2", b"3"]]),
        (b"insert into t values (1), (2)", b"insert into t values (?)", [b"1", b"2"]),
    ],
)
def test_a_shape_that_needs_care_is_not_taken_for_a_known_one(text: bytes, shape: bytes, slots: Slots) -> None:
    """Whatever statements came before, this one has its own literals."""
    mode = LexMode()
    assert by_split(text, mode) == (shape, slots)
    others = [b"select 1 from t where id = 5", b"select 'a', 5", b"select 1, 5", b"select 1 where id in (2)",
              b"insert into t values (1)", b"select ?, 5"]  # fmt: skip
    known = {}
    for other in others:
        read = lexer_for(mode).split(other)
        if plain(read[0], len(read[1])):
            known[read[0]] = len(read[1])
    assert by_split(text, mode, known) == (shape, slots)


def test_rows_of_few_kinds_are_one_shape_in_any_order() -> None:
    """Else a long INSERT with NULLs here and there has a shape of its own, as long as itself."""
    rows = ["(1, 'a', null)", "(2, null, 3)", "(3, 'b', null)", "(null, now(), 4)"]
    shape, slots = lexer_for(LexMode()).split(("insert into t values " + ", ".join(rows * 50)).encode())
    assert shape == b"insert into t values (?, ?, null), (?, null, ?), (null, now(), ?)"
    assert len(slots) == 350
