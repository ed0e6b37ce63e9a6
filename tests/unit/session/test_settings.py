"""From one session's settings to another's: the one SET that a connection is sent in between."""

from __future__ import annotations

import pytest

from vgate.session.settings import NO_SETTINGS, difference, settings_of

LATIN = {
    "character_set_client": "'latin1'", "character_set_results": "'latin1'",
    "collation_connection": "'latin1_swedish_ci'",
}  # fmt: skip


def test_equal_settings_are_one_object() -> None:
    one = settings_of({"sql_mode": "''", "time_zone": "'+00:00'"})
    assert settings_of({"time_zone": "'+00:00'", "sql_mode": "''"}) is one
    assert settings_of({}) is NO_SETTINGS
    assert difference(one, one) == ""


def test_what_a_new_connection_has_is_no_setting() -> None:
    assert settings_of({"autocommit": "1", "character_set_client": "'utf8mb4'"}) is NO_SETTINGS
    off = NO_SETTINGS.changed({"autocommit": "0"})
    assert off is not NO_SETTINGS
    assert off.changed({"autocommit": None}) is NO_SETTINGS


@pytest.mark.parametrize(("carried", "wanted", "statement"), [
    ({}, {"sql_mode": "''"}, "SET SESSION sql_mode = ''"),
    # DEFAULT would leave foreign_key_checks off on MySQL
    ({"foreign_key_checks": "0"}, {}, "SET SESSION foreign_key_checks = @@GLOBAL.foreign_key_checks"),
    ({"timestamp": "1000"}, {}, "SET SESSION timestamp = DEFAULT"),
    ({"autocommit": "0"}, {}, "SET SESSION autocommit = 1"),
    ({"sql_mode": "''"}, {"time_zone": "'+00:00'"},
     "SET SESSION sql_mode = @@GLOBAL.sql_mode, SESSION time_zone = '+00:00'"),
    ({}, LATIN, "SET NAMES 'latin1' COLLATE 'latin1_swedish_ci'"),
    (LATIN, {}, "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'"),
    (LATIN, {"sql_mode": "''"}, "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci', SESSION sql_mode = ''"),
    ({}, {"character_set_client": "'binary'", "character_set_results": "'binary'", "collation_connection": "'binary'"},
     "SET NAMES 'binary' COLLATE 'binary'"),
    # results without conversion: no SET NAMES leads there
    ({}, {"character_set_results": "NULL"}, "SET SESSION character_set_results = NULL"),
    (LATIN, {**LATIN, "collation_connection": "'utf8mb4_bin'"}, "SET SESSION collation_connection = 'utf8mb4_bin'"),
])  # fmt: skip
def test_the_statement_in_between(carried: dict[str, str], wanted: dict[str, str], statement: str) -> None:
    assert difference(settings_of(carried), settings_of(wanted)) == statement
