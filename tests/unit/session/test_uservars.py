"""What leads a server to a user variable, and connections to a session's variables."""

from __future__ import annotations

import pytest

from vgate.session.login import Login
from vgate.session.session import Session
from vgate.session.settings import NO_SETTINGS, difference, forgets, settings_of, variable_statements
from vgate.session.uservars import CHUNK, Kind, Variable


@pytest.mark.parametrize(
    ("variable", "assignments"),
    [
        (Variable(Kind.INTEGER, b"-5"), ("-5",)),
        (Variable(Kind.UNSIGNED, b"5"), ("CAST(5 AS UNSIGNED)",)),
        (Variable(Kind.DECIMAL, b"1.10"), ("1.10",)),
        (Variable(Kind.DECIMAL, b"5"), ("CAST(5 AS DECIMAL(65,0))",)),
        (Variable(Kind.DOUBLE, b"-0"), ("-0e0",)),
        (Variable(Kind.DOUBLE, b"1e22"), ("1e22",)),
        (Variable(Kind.STRING, b"a'\\", "utf8mb4_bin"), ("_utf8mb4 0x61275c COLLATE utf8mb4_bin",)),
        (Variable(Kind.STRING, b""), ("_binary ''",)),
        (Variable(Kind.DOUBLE, None), ("1e0", "NULL")),
        (Variable(Kind.STRING, None, "latin1_bin"), ("_latin1 '' COLLATE latin1_bin", "NULL")),
    ],
)
def test_assignments(variable: Variable, assignments: tuple[str, ...]) -> None:
    assert variable.assignments("a") == assignments


def test_a_long_text_goes_in_pieces() -> None:
    first, second = Variable(Kind.STRING, b"x" * CHUNK + b"y").assignments("a`b")
    assert first == "_binary 0x" + "78" * CHUNK
    assert second == "CONCAT(@`a``b`, _binary 0x79)"


def test_only_what_differs_is_sent() -> None:
    one = settings_of({"@a": "1", "@b": "2", "sql_mode": "''"})
    two = settings_of({"@a": "1", "@b": "1e0\0NULL", "sql_mode": "''"})
    assert variable_statements(one, two) == ["SET @`b` = 1e0", "SET @`b` = NULL"]
    assert difference(one, two) == ""
    assert variable_statements(NO_SETTINGS, one) == ["SET @`a` = 1, @`b` = 2"]
    assert not forgets(one, two)
    assert forgets(one, settings_of({"@a": "1"}))
    assert not forgets(NO_SETTINGS, one)


def test_a_session_keeps_and_forgets_them() -> None:
    session = Session(Login(1, "x"))
    session.keep_variables({"a": Variable(Kind.INTEGER, b"5"), "b": None})
    assert session.settings.values == {"@a": "5"}
    session.forget_variables()
    assert session.settings is NO_SETTINGS
    assert not session.variables
