"""Which constants of a statement one server evaluates once. What servers do is in test_warnings_of_shards."""

from __future__ import annotations

import pytest

from vgate.planner.once import ALWAYS, DIVISION_BY_ZERO, ILLEGAL_VALUE, LONGEST, once
from vgate.session.uservars import Kind, Variable
from vgate.sql.lexer import LexMode

CUT = "Truncated incorrect DOUBLE value: '%s'"
VARIABLES = {"v": Variable(Kind.STRING, b"val", "utf8mb4_bin")}


@pytest.mark.parametrize(("text", "code", "message", "most"), [
    ("select 1 from t where n = 'a'", 1292, CUT % "a", ALWAYS),
    ("select 1 from t where n = 'a'", 1292, CUT % "b", 0),
    ("select n + 'a' from t where n = 'a'", 1292, CUT % "a", 1),
    ("select n + 'a' from t", 1292, CUT % "a", 0),
    ("select 1 from t where n in ('a', 'b')", 1292, CUT % "b", ALWAYS),
    ("select 1 from t where n in ('a', 1)", 1292, CUT % "a", 0),
    (f"select 1 from t where n = '{'x' * 300}'", 1292, CUT % ("x" * 128 + "..."), ALWAYS),
    ("select 1 from t where n = 'a'", 1292, "Truncated", 0),
    ("select 1 from t where n = @V", 1292, CUT % "val", ALWAYS),
    ("select 1 from t where n = @v", ILLEGAL_VALUE, "", ALWAYS),
    ("select @v from t where n = @v", ILLEGAL_VALUE, "", 1),
    ("select 1 from t where n = @nosuch", 1292, CUT % "val", 0),
    ("select 1 from t where 1 / 0", DIVISION_BY_ZERO, "", ALWAYS),
    ("select n / 0 from t where 1 / 0", DIVISION_BY_ZERO, "", 1),
    ("select n / 0 from t", DIVISION_BY_ZERO, "", 0),
    ("delete from t where n = 1 / 0", DIVISION_BY_ZERO, "", 0),
    ("delete from t where n = 1 and 1 / 0", DIVISION_BY_ZERO, "", ALWAYS),
    ("update t set n = 'a' where n = 'b'", 1292, CUT % "a", 0),
    ("update t set n = 'a' where n = 'b'", 1292, CUT % "b", ALWAYS),
    ("select 'a' 'b' = n from t", 1292, CUT % "ab", 0),
    ("select 1 from where", 1292, CUT % "a", 0),
    (f"select 1 from t where n = 'a' /* {'x' * LONGEST} */", 1292, CUT % "a", 0),
])  # fmt: skip
def test_once(text: str, code: int, message: str, most: int) -> None:
    assert once(text.encode(), LexMode(), VARIABLES).most(code, message) == most
