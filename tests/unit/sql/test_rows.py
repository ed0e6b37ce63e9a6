"""INSERTs taken apart: heads, rows and assignments by their places; and rows against a walk over plain tokens."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vgate.sql.lexer import LexError, LexMode, Slots, TokenKind, VersionedComment, lexer_for
from vgate.sql.rows import ValueRows, insert_shape, names_sequence, read_assignments, read_head, values_form

DEFAULT = LexMode()
ANSI = LexMode(ansi_quotes=True)


def rows_of(text: bytes, mode: LexMode = DEFAULT) -> list[list[bytes]]:
    return [[text[start:end] for start, end in row.values] for row in ValueRows(text, mode)]


# -- heads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        (b"insert into t (a, B) values (1, 2)", DEFAULT, ("insert", "", ("t",), ("a", "b"), "values")),
        (b"INSERT IGNORE `k`.`t` VALUE (1)", DEFAULT, ("insert", "ignore", ("k", "t"), None, "values")),
        (b"replace delayed k.t () values ()", DEFAULT, ("replace", "delayed", ("k", "t"), (), "values")),
        (b"insert low_priority ignore t set a = 1", DEFAULT, ("insert", "ignore low_priority", ("t",), None, "set")),
        (b'insert into "t" ("a""b") values (1)', ANSI, ("insert", "", ("t",), ('a"b',), "values")),
        (b"insert into t (t.a, k.t.b) values (1)", DEFAULT, ("insert", "", ("t",), ("a", "b"), "values")),
        (b"/* values (1) */ insert -- values\n into t /* ( */ (a) -- x\n values (1)", DEFAULT, ("insert", "", ("t",),
         ("a",), "values")),
        (b"insert into value (value) value (1)", DEFAULT, ("insert", "", ("value",), ("value",), "values")),
        (b"insert into t (`values`, `select`) values (1)", DEFAULT, ("insert", "", ("t",), ("values", "select"),
         "values")),
        (b"insert into `values` values (1)", DEFAULT, ("insert", "", ("values",), None, "values")),
        (b"insert into t.values (1)", DEFAULT, None),  # a table called values, and a column called 1
        (b"insert into t select 1", DEFAULT, ("insert", "", ("t",), None, "select")),
        (b"insert into t (select 1)", DEFAULT, ("insert", "", ("t",), None, "(")),
        (b"insert into t ((select 1))", DEFAULT, ("insert", "", ("t",), None, "(")),
        (b"insert into t (with x as (select 1) select 1)", DEFAULT, ("insert", "", ("t",), None, "(")),
        (b"insert into t (a) select 1", DEFAULT, ("insert", "", ("t",), ("a",), "select")),
        (b"insert into t with x as (select 1) select 1", DEFAULT, ("insert", "", ("t",), None, "with")),
        (b"insert into t table u", DEFAULT, ("insert", "", ("t",), None, "table")),
        (b"insert into t", DEFAULT, None),
        (b"insert into a.b.c values (1)", DEFAULT, None),
        (b"insert into t (a values (1)", DEFAULT, None),
        (b"insert into 'a' values (1)", DEFAULT, None),
        (b"select 1", DEFAULT, None),
        (b"", DEFAULT, None),
    ],
)  # fmt: skip
def test_heads(text: bytes, mode: LexMode, expected: tuple[object, ...] | None) -> None:
    if expected is None:
        with pytest.raises(LexError):
            read_head(text, mode)
        return
    head = read_head(text, mode)
    modifiers = " ".join(sorted(head.modifiers))
    assert (head.verb, modifiers, head.name, head.columns, head.source) == expected
    assert text[head.source_start : head.source_end].lower().startswith(head.source.encode()[:5])
    if head.columns is not None:
        assert text[head.list_end : head.list_end + 1] == b")"


def test_partitions_are_seen() -> None:
    head = read_head(b"insert into t partition (p0, p1) (a) values (1)", DEFAULT)
    assert head.partitions
    assert head.columns == ("a",)


def test_a_head_in_another_character_set() -> None:
    head = read_head("insert into `größe` (`ä`) values (1)".encode("latin-1"), LexMode("latin1"))
    assert (head.name, head.columns) == (("größe",), ("ä",))
    head = read_head(b"insert into `\x8f```` values (1)", LexMode("gbk"))  # a character that ends like a backquote
    assert head.name == (b"\x8f`".decode("gbk") + "`",)


# -- rows ---------------------------------------------------------------------------------------------------------

ROWS: list[tuple[str, LexMode, bytes, list[list[bytes]]]] = [
    ("plain values", DEFAULT, b"(1,'a',NULL)", [[b"1", b"'a'", b"NULL"]]),
    ("blanks belong to the value", DEFAULT, b"( 1 ,\t'a'\n)", [[b" 1 ", b"\t'a'\n"]]),
    ("several, with blanks and comments between", DEFAULT, b"(1) , /* (9) */ (2),-- (9)\n(3)", [[b"1"], [b"2"],
     [b"3"]]),
    ("no values", DEFAULT, b"(), ( /* x */ )", [[], []]),
    ("parentheses and commas in values", DEFAULT, b"(f(1,(2)),(3)),((4),g(5,6))", [[b"f(1,(2))", b"(3)"], [b"(4)",
     b"g(5,6)"]]),
    ("in strings", DEFAULT, b"('),(',\"),(\"),(1,2)", [[b"'),('", b'"),("'], [b"1", b"2"]]),
    ("in names", ANSI, b"(`),(`,\"),(\"),(1,2)", [[b"`),(`", b'"),("'], [b"1", b"2"]]),
    ("in comments", DEFAULT, b"(1 /* ),( */,2 -- ),(\n),(3,4 # ),(\n)", [[b"1 /* ),( */", b"2 -- ),(\n"], [b"3",
     b"4 # ),(\n"]]),
    ("a backslash", DEFAULT, b"('\\'),(',2)", [[b"'\\'),('", b"2"]]),
    ("no backslash", LexMode(no_backslash_escapes=True), b"('\\'),(',2)", [[b"'\\'"], [b"',2)"]]),
    ("a backslash that is half a character", LexMode("gbk"), b"('\xbf\\'),(2)", [[b"'\xbf\\'"], [b"2"]]),
    ("two minus signs", DEFAULT, b"(1--1,-2),(- -3,4)", [[b"1--1", b"-2"], [b"- -3", b"4"]]),
    ("rows of other lengths", DEFAULT, b"(1),(2,3),(),(4)", [[b"1"], [b"2", b"3"], [], [b"4"]]),
    ("an empty value", DEFAULT, b"(1,),(,2)", [[b"1", b""], [b"", b"2"]]),
    ("hexadecimal and national strings", DEFAULT, b"(x'41',N'a,b',_utf8'c)')", [[b"x'41'", b"N'a,b'", b"_utf8'c)'"]]),
]  # fmt: skip
NO_ROWS = [b"", b"(", b"(1", b"(1,", b"1", b"(1),", b"(1);(2), ", b"(1;2)", b"('a)", b"(/*1)", b"(f(1)", b"(1), x",
    b"row(1)"]


@pytest.mark.parametrize(("why", "mode", "rows", "expected"), ROWS, ids=[case[0] for case in ROWS])
@pytest.mark.parametrize("tail", [b"", b" on duplicate key update a = (1), b = (2)", b" as new", b";", b" -- x"])
def test_rows(why: str, mode: LexMode, rows: bytes, expected: list[list[bytes]], tail: bytes) -> None:
    text = b"insert into t (a, b) values " + rows + tail
    if b"',2)" in (value for row in expected for value in row):
        with pytest.raises(LexError):
            rows_of(text, mode)
        return
    assert rows_of(text, mode) == expected
    found = ValueRows(text, mode)
    ends = [row.end for row in found]
    assert text[found.tail_start :] == tail
    assert found.tail_start == ends[-1]
    assert text[found.keyword_start : found.head_end] == b"values"


@pytest.mark.parametrize("rows", NO_ROWS)
def test_what_is_no_list_of_rows(rows: bytes) -> None:
    text = b"insert into t (a) values " + rows
    if rows == b"(1);(2), ":  # another statement
        assert rows_of(text) == [[b"1"]]
        return
    with pytest.raises(LexError):
        rows_of(text)


@pytest.mark.parametrize("rows", [b"(1 /*! ,2 */)", b"(1), /*! (2) */ (3)", b"/*! (1) */", b"(f(/*! 1 */))",
    b"(1),(2/*! */)"])
def test_versioned_comments_among_rows_have_to_be_expanded(rows: bytes) -> None:
    with pytest.raises(VersionedComment):
        rows_of(b"insert into t values " + rows)


def test_rows_of_another_statement_are_none() -> None:
    with pytest.raises(LexError):
        ValueRows(b"insert into t set a = 1", DEFAULT)


# -- the rows against plain tokens --------------------------------------------------------------------------------

VALUES = [
    b"1", b"-1", b"1--1", b"'a'", b"'),('", b"'it''s'", b"'\\''", b'"),("', b"`),(`", b"NULL", b"default", b"now()",
    b"f(1,2)",
    b"((1),(2))", b"x'41'", b"N'b'", b"1 /* ),( */", b"2 -- ),(\n", b"3 # ),(\n", b"", b" ", b"@x", b"@'),('", b"a+b",
    b"f()", b"(1)",
    b"'a' 'b'", b"\xc3\xa9", b"'\xbf\\'", b"'\xbf\\'),('", b"1.5e5", b"t.1e5", b"{d '1'}", b"?", b"\\N", b"-", b"/",
    b"*",
    b"f((1),'x')", b"f(g(1))", b"f('),(')", b"f(1 /* ) */)",
]  # fmt: skip
BROKEN = [b"'", b'"', b"`", b"(", b")", b",", b"--", b"-- ", b"/*", b"*/", b"#", b"\\", b"\n", b";", b"\xbf", b"),("]
BETWEEN = [b",", b",", b",", b" , ", b",\n", b"/* x */,", b", -- y\n", b",/**/"]
MODES = st.builds(
    LexMode, st.sampled_from(["utf8mb4", "latin1", "gbk", "sjis"]), st.booleans(), st.booleans()
)  # fmt: skip


@st.composite
def inserts(draw: st.DrawFn) -> bytes:
    width = draw(st.integers(1, 3))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.sampled_from([width, width, width, width + 1, 0]))
        rows.append(b"(" + b",".join(draw(st.sampled_from(VALUES)) for _ in range(count)) + b")")
    text = rows[0]
    for row in rows[1:]:
        text += draw(st.sampled_from(BETWEEN)) + row
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(BROKEN)) + text[at:]
    return b"insert into t values " + text + draw(st.sampled_from([b"", b"", b" on duplicate key update a=(1),b=(2)",
        b" -- z"]))


def naive(text: bytes, mode: LexMode) -> list[list[bytes]] | None:
    """The rows' values without blanks and comments, by depth alone; None where the text is no such list."""
    tokens = lexer_for(mode).tokens(text)
    words = [text[token.start : token.end] for token in tokens]
    rows: list[list[bytes]] = []
    at = words.index(b"values") + 1
    while at < len(words) and words[at] == b"(":
        depth, row, value = 1, [], b""
        at += 1
        while at < len(words) and depth:
            depth += (words[at] == b"(") - (words[at] == b")")
            if tokens[at].kind is TokenKind.SEMICOLON:
                return None
            if (depth == 1 and words[at] == b",") or depth == 0:
                row.append(value)
                value = b""
            else:
                value += words[at] + b" "
            at += 1
        if depth:
            return None
        rows.append([] if row == [b""] else row)
        if at >= len(words) or words[at] != b",":
            return rows
        at += 1
    return None


MANY = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@MANY
@given(inserts(), MODES)
def test_rows_are_those_of_a_walk_over_tokens(text: bytes, mode: LexMode) -> None:
    try:
        expected = naive(text, mode)
    except LexError:
        assume(False)  # the conversation has refused it before anyone asks for rows
    if expected is None:
        with pytest.raises(LexError):
            rows_of(text, mode)
        return

    def words(raw: bytes) -> bytes:
        tokens = lexer_for(mode).tokens(raw + b")")[:-1]  # two minus signs at the end would be a comment
        return b"".join(raw[token.start : token.end] + b" " for token in tokens)

    assert [[words(raw) for raw in row] for row in rows_of(text, mode)] == expected


@MANY
@given(inserts(), MODES)
def test_rows_lie_one_behind_the_other(text: bytes, mode: LexMode) -> None:
    """Cut out and joined, they are a statement of the same rows."""
    try:
        lexer_for(mode).tokens(text)
        found = ValueRows(text, mode)
        rows = list(found)
    except LexError:
        assume(False)
    at = found.head_end
    for row in rows:
        assert at <= row.start < row.end
        assert text[row.start : row.start + 1] == b"("
        assert text[row.end - 1 : row.end] == b")"
        inner = row.start
        for start, end in row.values:
            assert inner < start <= end < row.end
            inner = end
        at = row.end
    cut = b", ".join(text[row.start : row.end] for row in reversed(rows))
    joined = text[: found.head_end] + b" " + cut + text[found.tail_start :]
    assert rows_of(joined, mode) == rows_of(text, mode)[::-1]


def finished(text: bytes, mode: LexMode) -> tuple[bytes, Slots]:
    steps = insert_shape(text, mode)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: tuple[bytes, Slots] = done.value
            return result


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (b"insert into t (a) values (1), (NULL), ('x')", b"insert into t (a) values ()"),
        (b"insert into t values (1, f(2)), (g(3), 4)", b"insert into t values (f(?), g(?))"),
        (b"insert into t values (1), ((select 5)) on duplicate key update a = 7",
         b"insert into t values ((select ?)) on duplicate key update a = ?"),
        (b"insert into t values (1, `x` + 1)", b"insert into t values (`x` + ?)"),
        (b"insert into t values (1, next VALUE for s), (2, next value for s)",
         b"insert into t values (?, next VALUE for s), (?, next value for s)"),
        (b"insert into t select 5", b"insert into t select ?"),
        (b"insert into t set a = 5", b"insert into t set a = ?"),
    ],
)  # fmt: skip
def test_the_shape_of_a_long_insert(text: bytes, shape: bytes) -> None:
    """What a plan may look at is in it: every expression, and the tail."""
    assert finished(text, DEFAULT)[0] == shape


# -- SET ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"insert into t set a = 1, B=f(2, 3)", b"insert into t (a, B) VALUES (1, f(2, 3)) "),
        (b"insert into t set a := 1, t.`b c` = 'x,y' on duplicate key update a = 2",
         b"insert into t (a, `b c`) VALUES (1, 'x,y') on duplicate key update a = 2"),
        (b"replace t set a = (1), b = -2 returning a", b"replace t (a, b) VALUES ((1), -2) returning a"),
        (b"insert into t set a = cast(1 as char), b = `on` as new",
         b"insert into t (a, b) VALUES (cast(1 as char), `on`) as new"),
        (b"insert into t set a = 1 -- x\n, b = 2", b"insert into t (a, b) VALUES (1, 2) "),
        (b"insert into t set a = 'x' /* , b = 3 */", b"insert into t (a) VALUES ('x') "),
        (b"insert into t set `\xe4` = 1", b"insert into t (`\xe4`) VALUES (1) "),
        (b"insert into t values (1)", b"insert into t values (1)"),
    ],
)  # fmt: skip
def test_assignments_as_values(text: bytes, expected: bytes) -> None:
    mode = LexMode("latin1")
    assert values_form(text, mode, read_head(text, mode)) == expected


@pytest.mark.parametrize("text", [b"insert t set", b"insert t set a", b"insert t set a =", b"insert t set a = ,",
    b"insert t set = 1", b"insert t set a = 1,"])
def test_what_is_no_assignment(text: bytes) -> None:
    head = read_head(text, DEFAULT)
    with pytest.raises(LexError):
        read_assignments(text, DEFAULT, head)


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(
            [b"value", b"VALUE", b"for", b" ", b"\n", b"NextVal", b"currval", b"lastval", b"a", b".", b"\xe4"]
        ),
        max_size=7,
    ).map(b"".join)
)
def test_words_of_sequences_are_found_as_words(text: bytes) -> None:
    slowly = re.search(rb"\bvalue\s+for\b|\b(?:nextval|currval|lastval)\b", text, re.I)
    assert names_sequence(text) == (slowly is not None)
