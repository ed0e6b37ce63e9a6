"""User variables in texts: which a statement mentions and assigns, and where a value may stand for one."""

from __future__ import annotations

import pytest

from vgate.sql.lexer import LexMode
from vgate.sql.uservars import Mentions

VALUES = {"a": b"5", "b": b"'x'"}

PLANNED = [
    ("select * from t where id = @a", "select * from t where id = 5"),
    ("select * from t where id = @A and x in (@a, 7, @`b`)", "select * from t where id = 5 and x in (5, 7, 'x')"),
    ("select * from t where id = @a + 1", "select * from t where id = @a + 1"),
    ("select @a, f(@a, 1) from t order by @a", "select @a, f(@a, 1) from t order by @a"),
    ("select * from t where id = @unknown", "select * from t where id = @unknown"),
    ("insert into t (id, x) values (@a, f(@b, 1)), (@a, @b)", "insert into t (id, x) values (5, f(@b, 1)), (5, 'x')"),
    ("update t set n = @a where id = @b", "update t set n = 5 where id = 'x'"),
    ("select x from t where id = @a into @c, @b", "select x from t where id = 5 "),
    ("select x into @a from t where id = @a", "select x  from t where id = 5"),
    ("select @a := 3 from t where id = @a", "select   3 from t where id = @a"),
    ("select '@a = @b' from t where id = @@a", "select '@a = @b' from t where id = @@a"),
]


@pytest.mark.parametrize(("text", "planned"), PLANNED)
def test_values_stand_where_they_say_the_same(text: str, planned: str) -> None:
    found = Mentions(text.encode(), LexMode()).without_into(VALUES.get).decode()
    assert found.split() == planned.split()


@pytest.mark.parametrize(
    ("text", "names", "assigned"),
    [
        ("select @a, @B, @'a'", ("a", "b"), ()),
        ("select @a := @b", ("a", "b"), ("a",)),
        ("select 1, 2 into @x, @`y z`", ("x", "y z"), ("x", "y z")),
        ("select @'it''s', @`q``q`", ("it's", "q`q"), ()),
        ("select '@no', @@sql_mode", (), ()),
        ("insert into t values (@a)", ("a",), ()),
    ],
)
def test_names(text: str, names: tuple[str, ...], assigned: tuple[str, ...]) -> None:
    mentions = Mentions(text.encode(), LexMode())
    assert mentions.names == names
    assert mentions.assigned == assigned


def test_quotes_are_those_of_the_mode() -> None:
    assert Mentions(b'select @"a""b"', LexMode(ansi_quotes=True)).names == ('a"b',)
    assert Mentions(rb"select @'a\'", LexMode(no_backslash_escapes=True)).names == ("a\\",)
