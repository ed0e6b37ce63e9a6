"""The statements of the load: 200 shapes of a point select, the settings of mixed clients, large results.

Every shape finds one row by its sharding column, and costs the server about the same; they differ in columns, aliases,
conditions, comments and spelling, as the statements of an application do. It does not know how they are sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

POINT: Final = "SELECT c FROM sbtest1 WHERE id=%d"
"""The statement of sysbench's oltp_point_select."""

_COLUMNS = (
    "c", "c, k", "id, c", "id, k, c, pad", "c AS `text`, k AS number", "sbtest1.c", "t.c", "t.id, t.c AS c1",
    "*", "UPPER(c) AS upper_c, k + 1 AS next_k",
)  # fmt: skip
_CONDITIONS = (
    "id = %d", "(id=%d)", "id = %d AND k >= 0", "k >= 0 AND id = %d AND pad <> ''", "id = %d AND k IS NOT NULL",
)  # fmt: skip
_FRAMES = (
    "SELECT {columns} FROM sbtest1{alias} WHERE {condition}",
    "select {columns} from `sbtest1`{alias} where {condition} limit 1",
    "SELECT {columns} FROM sbtest1{alias}   WHERE {condition}   ORDER BY k LIMIT 10",
    "SELECT /* a page */ {columns} FROM sbtest1{alias} WHERE {condition} AND c NOT LIKE 'it''s %%'",
)


def shapes() -> list[str]:
    """200 statements with ``%d`` for the id."""
    return list(_shapes())


def _shapes() -> Iterator[str]:
    for frame in _FRAMES:
        for condition in _CONDITIONS:
            for columns in _COLUMNS:
                alias = " AS t" if columns.startswith("t.") else ""
                yield frame.format(columns=columns, alias=alias, condition=condition)


SETTINGS: Final = (
    "",
    "SET sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES', time_zone = '+02:00'",
    "SET NAMES latin1",
    "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
    "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci",
    "SET time_zone = '-05:00', SESSION group_concat_max_len = 4096",
)
"""What clients set after their login; client i takes the i-th, in turn."""

SETTINGS_PROBE: Final = (
    "SELECT @@sql_mode, @@time_zone, @@character_set_results, @@collation_connection, @@group_concat_max_len"
    " FROM sbtest1 WHERE id = %d"
)
"""What the session is on the server that holds the row."""
