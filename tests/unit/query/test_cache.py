"""The plan cache: what it finds again, what it forgets, and what its short cut takes for granted."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.errors import EMPTY_QUERY
from vgate.planner.plan import Refuse
from vgate.query.cache import ZEROS, Cached, PlanCache
from vgate.sql.lexer import LexError, LexMode, lexer_for, plain

MODES = [LexMode(), LexMode(ansi_quotes=True), LexMode(no_backslash_escapes=True), LexMode(charset="gbk"),
         LexMode(charset="sjis"), LexMode(charset="gb18030"), LexMode(charset="latin1")]  # fmt: skip
PIECE = st.sampled_from([
    "select ", "a", "t.", "=", " ", "-", "--", "-- ", "#", "\n", "/*", "*/", "'", '"', "`", "\\", "x'", "0x", "0b", "1",
    "5e", "1.", "é", "ﾃ", "漢", "@", "?", "n'", "_utf8", "in (", ",", "limit ",
])  # fmt: skip


def found(slot: int = 0) -> Cached:
    return Cached(Refuse(EMPTY_QUERY()), anywhere=True, slot=slot)


DIGITS = st.text("0123456789", min_size=1, max_size=12)


@pytest.mark.parametrize("mode", MODES, ids=str)
@given(before=st.lists(PIECE, max_size=6), number=DIGITS, after=st.lists(PIECE, max_size=6), chance=st.randoms())
def test_other_digits_in_the_place_of_a_number_are_read_alike(
    mode: LexMode, before: list[str], number: str, after: list[str], chance: Random
) -> None:
    """What ``Text`` rests on."""
    charset = mode.charset if mode.charset.startswith("gb") else "utf-8"
    text = "".join([*before, number, *after]).encode(charset, "ignore")
    lexer = lexer_for(mode)
    try:
        shape, slots = lexer.split(text)
        places = lexer.locate(text)[2]
    except LexError:
        return
    if not plain(shape, len(slots)):
        return
    for index, raw in enumerate(slots):
        if not (isinstance(raw, bytes) and raw.isdigit()):
            continue
        start, end = places[index]
        assert text[start:end] == raw
        other = "".join(chance.choice("0123456789") for _ in raw).encode()
        changed = text[:start] + other + text[end:]
        assert changed.translate(ZEROS) == text.translate(ZEROS)
        assert lexer.split(changed) == (shape, [*slots[:index], other, *slots[index + 1 :]])


def test_a_text_is_kept_with_what_stands_around_its_number() -> None:
    partition = PlanCache().partition("one")
    cached = found(slot=1)
    text = b"select a1 from t where b = 7 and id = 123 limit 1"
    partition.keep_text(text, (38, 41), cached)
    (key, kept), *rest = partition.texts.items()
    assert not rest
    assert key == b"select a0 from t where b = 0 and id = 000 limit 0"
    assert (kept.before, kept.after) == (b"select a1 from t where b = 7 and id = ", b" limit 1")
    assert (kept.cached, cached.keys) == (cached, 1)


def test_a_plan_that_comes_to_depend_on_literals_loses_its_texts() -> None:
    partition = PlanCache().partition("one")
    cached = found()
    partition.add(b"select a from t where id = ?", [b"5"], cached, ())
    partition.keep_text(b"select a from t where id = 5", (27, 28), cached)
    partition.add(b"select a from t where id = ?", [b"5"], found(), (0,))
    assert not partition.texts
    assert not partition.fast


def test_a_full_cache_forgets_everything() -> None:
    cache = PlanCache(limit=6000)
    partition = cache.partition("one")
    for column in (b"a", b"b", b"c"):
        partition.add(b"select %b from t where id = ?" % column, [b"5"], found(), ())
    assert not partition.entries
    assert partition.size == 0
