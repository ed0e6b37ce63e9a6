"""sqlglot's tree: that it is of the same statement as the servers', whatever stands in strings, names and comments."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from vgate.sql.lexer import LexError, LexMode, VersionedComment, lexer_for
from vgate.sql.tree import Unparsed, parse, slot_of

DEFAULT = LexMode()
ANSI = LexMode(ansi_quotes=True)
PLAIN = LexMode(no_backslash_escapes=True)
GBK = LexMode("gbk")


def shown(text: bytes, mode: LexMode = DEFAULT) -> str:
    """The tree as SQL, with its slots as ``:0``."""
    tree = parse(text, mode)
    root = tree.root.copy()
    for literal in list(root.find_all(exp.Literal)):
        slot = slot_of(literal)
        if slot is not None:
            literal.replace(exp.Var(this=f":{slot}"))
    return root.sql("mysql")


def where(condition: bytes, mode: LexMode = DEFAULT) -> str:
    return shown(b"select 1 from t where " + condition, mode).partition(" WHERE ")[2]


CASES: list[tuple[str, LexMode, bytes, str]] = [
    ("the usual", DEFAULT, b"id = 5", "id = :1"),
    ("strings", DEFAULT, b"id = 'a' or a = \"b\"", "id = :1 OR a = :2"),
    ("a list is one slot", DEFAULT, b"id in (1, 2, 3) and a = 4", "id IN (:1) AND a = :2"),
    ("AND binds closer than OR, XOR between them", DEFAULT, b"a or b xor c and id = 1", "a OR (b XOR (c AND id = :1))"),
    ("|| is OR", DEFAULT, b"a || id = 5", "a OR id = :1"),
    ("&& is AND", DEFAULT, b"a && id = 5", "a AND id = :1"),
    ("two minus signs are no comment to the servers", DEFAULT, b"id=5--1 or 1=1", "id = :1 - -:2 OR :3 = :4"),
    ("nor with a name", DEFAULT, b"id=5--a or b", "id = :1 - -a OR b"),
    ("a comment is", DEFAULT, b"id=5 -- 1 or 1=1", "id = :1"),
    ("comments of all kinds are gone", DEFAULT, b"id /* or */ = # or\n 5 -- or", "id = :1"),
    ("a hint is gone", DEFAULT, b"id = /*+ or 1 */ 5", "id = :1"),
    ("a quote in a name", DEFAULT, b"`it's` = 5 and `or` = '`'", "`it's` = :1 AND `or` = :2"),
    ("a backslash in a name", DEFAULT, b"`a\\` = 5 or `b` = 6", "`a\\` = :1 OR `b` = :2"),
    ("doubled quotes in a name", DEFAULT, b"`a``b` = 5", "`a``b` = :1"),
    ("double quotes are a name under ANSI_QUOTES", ANSI, b'"a""b" = 5', "`a\"b` = :1"),
    ("and in a variable", ANSI, b'@"a\\" = 5 or 1', "@`\"a\\\"` = :1 OR :2"),
    ("strings that stay are escaped as sqlglot has it", PLAIN, b"id=5 and 'a\\' 'b' = '' or 1",
     "id = :1 AND CONCAT('a\\\\', 'b') = :2 OR :3"),
    ("in every character set", GBK, b"id=5 and '\xbf\\' 'b' = '' or 1", "id = :1 AND CONCAT('縗', 'b') = :2 OR :3"),
    ("strings of variables' names", PLAIN, b"id=5 and @'\\' <> '' or @'\\' <> ''",
     "id = :1 AND @`'\\'` <> :2 OR @`'\\'` <> :3"),
    ("national strings", PLAIN, b"id=5 and N'\\' = N' or 1 or '", "id = :1 AND :2 = :3"),
    ("an introducer belongs to its string", DEFAULT, b"id = _utf8mb4'x' or a", "id = _utf8mb4 :1 OR a"),
    ("names that begin with digits", DEFAULT, b"1a = 5 and t.1e5 = 6 and 0xg = 7",
     "`1a` = :1 AND t.`1e5` = :2 AND `0xg` = :3"),
    ("a name after a dot is no literal's prefix", DEFAULT, b"t.x = 5", "t.x = :1"),
    ("operators that sqlglot knows and the servers do not", DEFAULT, b"a <@b and c&-1 and d>-1 and e=~1 and f<-1",
     "a < @`b` AND c & -:1 AND d > -:2 AND e = ~:3 AND f < -:4"),
    ("operators of several characters", DEFAULT, b"a<=>1 and b<=2 and c>=3 and d<>4 and e!=5 and f<<6 and g>>7",
     "a <=> :1 AND b <= :2 AND c >= :3 AND d <> :4 AND e <> :5 AND f << :6 AND g >> :7"),
    ("system variables", DEFAULT, b"@@x = 5 and @@global.y = 6", "@@x = :1 AND @@global.y = :2"),
    ("blanks around dots", DEFAULT, b"t . id = 5 and t. `a` = 6", "t.id = :1 AND t.`a` = :2"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "mode", "condition", "expected"), CASES, ids=[case[0] for case in CASES])
def test_conditions(why: str, mode: LexMode, condition: bytes, expected: str) -> None:
    found = where(condition, mode)
    if "XOR" in expected:  # sqlglot writes no parentheses
        tree = parse(b"select 1 from t where " + condition, mode).root.find(exp.Where)
        assert tree is not None
        assert isinstance(tree.this, exp.Or)
        assert isinstance(tree.this.expression, exp.Xor)
        assert isinstance(tree.this.expression.expression, exp.And)
        return
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"select count (*), t . * from db . t where a = 1", "SELECT COUNT(*), t.* FROM db.t WHERE a = :0"),
        (b"update low_priority ignore t set a = 1 where id = 2", "UPDATE t SET a = :0 WHERE id = :1"),
        (b"delete quick from t where id = 2 limit 3", "DELETE FROM t WHERE id = :0 LIMIT :1"),
        (b"select 1 'x', 2", "SELECT 1 AS `x`, :0"),
        (b"select `a` `b c` from t `d`", "SELECT `a` AS `b c` FROM t AS `d`"),
        (b"(select 1 from t where id = 2);", "(SELECT :0 FROM t WHERE id = :1)"),
        (b"select x'41', 0x41, b'01', 0b01", "SELECT :0, :1, :2, :3"),
        (b"select ? from t where id = 5", "SELECT ? FROM t WHERE id = :0"),
        (b"select sql_no_cache SQL_CALC_FOUND_ROWS DISTINCT a from t",
         "SELECT DISTINCT SQL_NO_CACHE SQL_CALC_FOUND_ROWS a FROM t"),
        (b"select sql_calc_found_rows all a from t", "SELECT SQL_CALC_FOUND_ROWS a FROM t"),
        (b"select high_priority count(distinct a) from t", "SELECT HIGH_PRIORITY COUNT(DISTINCT a) FROM t"),
    ],
)  # fmt: skip
def test_statements(text: bytes, expected: str) -> None:
    assert shown(text) == expected


def test_words_are_without_literals() -> None:
    tree = parse(b"SELECT 'into', `Into`, A:=5 FROM t -- into", DEFAULT)
    assert tree.words == (b"select", b",", b"`into`", b",", b"a", b":=", b"from", b"t")


@pytest.mark.parametrize(
    ("text", "mode", "trusted"),
    [
        (b"select 1 from t where id = 5 || a", DEFAULT, True),
        (b"select 1 from t where id = 5 || a", LexMode(pipes_as_concat=True), False),
        (b"select '||' from t where id = 5", LexMode(pipes_as_concat=True), True),
        (b"select 1 from t where id = (@a := 5)", DEFAULT, False),
        (b"select ':=' from t", DEFAULT, True),
    ],
)
def test_what_sqlglot_reads_otherwise_is_not_trusted(text: bytes, mode: LexMode, trusted: bool) -> None:
    assert parse(text, mode).trusted is trusted


@pytest.mark.parametrize("text", [b"select from where", b"", b"create", b"select 1 from t where (", b"grant x to y",
    b"select " + b"(" * 5000])
def test_what_sqlglot_does_not_read(text: bytes) -> None:
    with pytest.raises(Unparsed):
        parse(text, DEFAULT)


@pytest.mark.parametrize("text", [b"select date_add(id) from t", b"select var_map(id) from t",
    b"select date_sub() from t"])
def test_faults_of_sqlglot_are_no_faults_of_vgate(text: bytes) -> None:
    with pytest.raises(Unparsed):
        parse(text, DEFAULT)


def test_what_the_lexer_does_not_read() -> None:
    with pytest.raises(LexError):
        parse(b"select '", DEFAULT)
    with pytest.raises(VersionedComment):
        parse(b"select /*! 1 */", DEFAULT)


def test_a_forged_code_is_no_slot() -> None:
    """A client's own literal that looks like a code is a literal like any other, with a slot of its own."""
    tree = parse(b"select 1 from t where a = 77309411328000000 and b = '~slot:000000'", DEFAULT)
    slots = [slot_of(one) for one in tree.root.find_all(exp.Literal)]
    assert sorted(slot for slot in slots if slot is not None) == [0, 1, 2]
    assert tree.slots == [b"1", b"77309411328000000", b"'~slot:000000'"]


# Pieces of conditions with anything in quotes, so that a quote read otherwise would change the operators around it.
OPERANDS = [b"'%b'", b'"%b"', b"`%b`", b"N'%b'", b"@'%b'", b"@`%b`", b"/* %b */ 1", b"# %b\n1", b"-- %b\n1",
    b"_utf8mb4'%b'", b"'%b' 'x'"]
INSIDE = st.lists(
    st.sampled_from([b"\\", b"\\'", b"''", b"``", b" or ", b"--", b"/", b"a", b"\\\\", b"=", b"(", b")", b";", b"n",
        b"%"]), max_size=4
).map(b"".join)
OPERAND = st.tuples(st.sampled_from(OPERANDS), INSIDE).map(lambda two: two[0] % two[1])


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.lists(OPERAND, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_operands_are_as_many_as_tokens_say(operands: list[bytes], ansi: bool, plain: bool) -> None:
    """ANDed together, they are a tree of that many, if the lexer says that each is whole."""
    mode = LexMode(ansi_quotes=ansi, no_backslash_escapes=plain)
    text = b"select 1 from t where " + b" and ".join(operand + b" = 1" for operand in operands)
    try:
        for operand in operands:
            lexer_for(mode).tokens(operand)
        tree = parse(text, mode)
    except (LexError, Unparsed):
        return
    words = tree.words[tree.words.index(b"where") + 1 :]
    ands = [word for word in words if word == b"and"]
    found = tree.root.find(exp.Where)
    assert found is not None
    assert len(list(found.find_all(exp.And))) == len(ands)
    assert len(list(found.find_all(exp.EQ))) == len([word for word in words if word == b"="])
    assert not list(found.find_all(exp.Or))
