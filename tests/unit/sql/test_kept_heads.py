"""Heads of INSERTs are looked up by their text up to VALUES: that must say what a reading of the whole text says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vgate.sql.lexer import LexError, LexMode
from vgate.sql.rows import InsertHead, _read_head, read_head

MODES = [LexMode(), LexMode(ansi_quotes=True), LexMode(no_backslash_escapes=True), LexMode(charset="sjis")]
HEADS = [
    b"insert into t values (1)", b"insert t value(1)", b"replace into a.b (c, d) values (1, 2)",
    b"insert into value values (1)", b"insert into values (a) values (1)", b"insert into t (a) /* ) */ values (1)",
    b"insert ignore into `t(` (`a)`, b) values (1)", b"insert into t set a = values(b)", b"insert into t (select 1)",
    b"insert into t select * from u", b"insert into t () values ()", b"insert into t (t.a, s.t.b) value (1, 2)",
    b"insert into t partition (p0, p1) (a) values (1)", b"insert delayed t values (1)", b"insert into t values",
    b"insert low_priority ignore into t(a)values(1)", b"insert into t -- values (1)\n (a) values (2)",
    b"insert into t (a,) values (1)", b"insert into t (a b) values (1)", b"insert into 'values' values (1)",
    b"insert into \"values\" (a) values (1)", b"insert", b"", b"insert into t (a) values row(1)",
    b"insert into t table u",
    b"insert into t (values) values (1)", b"update t set a = values (1)", b"insert into a.b.c values (1)",
    b"insert into t(a) with x as (select 1) select values (1)", b"INSERT INTO T (A)\nVALUES\n(1)",
    b"insert into t (a) (values (1))", b"insert into t (b'1') values (1)", b"insert into t. values (1)",
    b"insert into t (" + b"a, " * 3000 + b"b) values (1)", b"insert into t" + b" " * 5000 + b"values (1)",
]  # fmt: skip


def said(reader: Callable[[bytes, LexMode], InsertHead], text: bytes, mode: LexMode) -> InsertHead | None:
    try:
        return reader(text, mode)
    except LexError:
        return None


@pytest.mark.parametrize("text", HEADS, ids=lambda text: text[:40].decode())
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_head_that_was_kept_is_the_head(text: bytes, mode: LexMode) -> None:
    expected = said(_read_head, text, mode)
    assert [said(read_head, text, mode), said(read_head, text, mode)] == [expected, expected]


def test_what_stands_behind_changes_nothing() -> None:
    first = read_head(b"insert into t (a) values (1)", LexMode())
    assert read_head(b"insert into t (a) values ('x'), /* y */ (2) garbage", LexMode()) is first
    assert read_head(b"insert into t (b) values (1)", LexMode()) is not first
