"""Warnings, errors, and what a client asks of the statement before, in keyspaces of one shard and of several.

Scripts that the oracle compares statement by statement. This module does not know what is right: one server does.
"""

from __future__ import annotations

import pytest

from tests.fix_oracle import Oracle
from tests.integration.asking import run, scripts

SETTINGS = """
set sql_mode = 'NO_ZERO_DATE'; show warnings; select @@warning_count; show count(*) warnings; select 1; show warnings
set names utf8; show warnings; set names utf8mb4; show warnings
set character_set_client = utf8mb3; show warnings; select 1; set names utf8mb4
set max_sort_length = 1; show warnings; set max_sort_length = 1024; show warnings
set @a = 1, max_sort_length = 1; show warnings; set max_sort_length = 1024
set autocommit = 0, max_sort_length = 1; show warnings; set autocommit = 1, max_sort_length = 1024
set @a = 1/0; show warnings; set @a = cast('x' as signed); show warnings; set @a = 1; show warnings
set sql_mode = 'nosuch'; show warnings; show errors; set @a = 1; show warnings
select cast('x' as signed); set @a = 1; show warnings; set autocommit = 1; show warnings; set @a = 2; show warnings
"""


@pytest.mark.parametrize("script", scripts(SETTINGS))
@pytest.mark.parametrize("keyspace", ["customer", "product"])
def test_set_warns_as_on_one_server(stocked: Oracle, keyspace: str, script: str) -> None:
    run(stocked, f"use {keyspace}; {script}")
