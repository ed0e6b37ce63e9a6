"""The plan cache: what it finds again, what it forgets, and what its short cut takes for granted."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vgate.errors import EMPTY_QUERY
from vgate.planner.plan import Refuse
from vgate.query.cache import Cached, PlanCache
from vgate.sql.lexer import LexError, LexMode, lexer_for, plain

MODES = [LexMode(), LexMode(ansi_quotes=True), LexMode(no_backslash_escapes=True), LexMode(charset="gbk"),
         LexMode(charset="sjis"), LexMode(charset="gb18030"), LexMode(charset="latin1")]  # fmt: skip
PIECE = st.sampled_from([
    "select ", "a", "t.", "=", " ", "-", "--", "-- ", "#", "\n", "/*", "*/", "'", '"', "`", "\\", "x'", "0x", "0b", "1",
    "5e", "1.", "é", "ﾃ", "漢", "@", "?", "n'", "_utf8", "in (", ",", "limit ",
])  # fmt: skip
DIGITS = st.text("0123456789", min_size=1, max_size=30)


def found() -> Cached:
    return Cached(Refuse(EMPTY_QUERY()), anywhere=True)


@pytest.mark.parametrize("mode", MODES, ids=str)
@given(pieces=st.lists(PIECE, max_size=8), one=DIGITS, other=DIGITS)
def test_an_integer_at_the_end_is_the_one_literal_whatever_its_digits(
    mode: LexMode, pieces: list[str], one: str, other: str
) -> None:
    """What ``Partition.starts`` rests on."""
    start = "".join(pieces).encode(mode.charset if mode.charset in ("gbk", "gb18030") else "utf-8", "ignore")
    start = start.rstrip(b"0123456789")
    lexer = lexer_for(mode)
    text = start + one.encode()
    try:
        shape, slots = lexer.split(text)
    except LexError:
        assume(False)
    assume(shape.endswith(b"?") and slots == [one.encode()] and plain(shape, 1))
    assert lexer.split(start + other.encode()) == (shape, [other.encode()])
    assert shape[:-1] == start


def test_only_a_plain_statement_that_ends_with_its_one_integer_has_a_start() -> None:
    partition = PlanCache().partition("one")
    cached = found()
    partition.add(b"select a from t where id = ?", [b"5"], cached, ())
    partition.add(b"select b from t where id = ?", [b"'5'"], cached, ())
    partition.add(b"select c from t where id = ? limit ?", [b"5", b"6"], cached, ())
    partition.add(b"select d from t where id = ? ", [b"5"], cached, ())
    partition.add(b"select e from t where id in ?", [[b"5"]], cached, ())
    partition.add(b"select f from t limit ?", [b"5"], cached, (0,))
    assert partition.starts == {b"select a from t where id = ": cached}


def test_a_plan_that_comes_to_depend_on_literals_loses_its_start() -> None:
    partition = PlanCache().partition("one")
    partition.add(b"select a from t where id = ?", [b"5"], found(), ())
    partition.add(b"select a from t where id = ?", [b"5"], found(), (0,))
    assert not partition.starts
    assert not partition.fast


def test_a_full_cache_forgets_everything() -> None:
    cache = PlanCache(limit=6000)
    partition = cache.partition("one")
    for column in (b"a", b"b", b"c"):
        partition.add(b"select %b from t where id = ?" % column, [b"5"], found(), ())
    assert not partition.starts
    assert not partition.entries
    assert partition.size == 0
