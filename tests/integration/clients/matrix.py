"""What all clients of the matrix are asked to do: the table, its values, and what must come back; and who is missing.

It does not know how a client says it.
"""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.fix_servers import REPOSITORY

CLIENTS = REPOSITORY / ".clients"
"""What ``tests/get_clients`` fetches: clients that are no Python packages of the development set."""

MISSING: dict[str, str] = {}
"""Clients that were not there, and what to do about each."""

PERSON = (
    "create table person (id bigint not null auto_increment primary key,"
    " name varchar(100) character set utf8mb4 not null, born date,"
    " seen datetime(6), price decimal(20, 6), data longblob, score double, note text)"
)
COLUMNS = ("name", "born", "seen", "price", "data", "score", "note")
ROW: tuple[Any, ...] = (
    "Zoë 🐍 'quoted' \\ \"too\" %s", datetime.date(1999, 12, 31), datetime.datetime(2024, 2, 29, 23, 59, 59, 123456),
    decimal.Decimal("12345678901234.567890"), bytes(range(256)), 1.5, None,
)  # fmt: skip
NULLS: tuple[Any, ...] = ("nothing", None, None, None, None, None, None)
INSERT = f"insert into person ({', '.join(COLUMNS)}) values ({', '.join(['%s'] * len(COLUMNS))})"
SELECT = f"select {', '.join(COLUMNS)} from person where id = %s"
DUPLICATE = 1062

SETS = (
    "SET NAMES utf8mb4", "SET autocommit=1", "SET SESSION sql_mode = 'TRADITIONAL'", "SET time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET @@session.wait_timeout = 1000",
    "SET character_set_results = NULL", "SET character_set_results = utf8mb4", "SET SQL_AUTO_IS_NULL = 0",
    "SET net_write_timeout = 600, SESSION lock_wait_timeout = 20", "/*!40101 SET NAMES utf8mb4 */",
    "SET foreign_key_checks=0", "SET FOREIGN_KEY_CHECKS=1", "set session transaction read write",
)
"""What drivers and tools send when they connect."""

LOOKS = (
    "SELECT @@version, @@version_comment, @@max_allowed_packet, @@sql_mode", "SELECT DATABASE()", "SELECT VERSION()",
    "SELECT CONNECTION_ID()", "SELECT @@transaction_isolation", "SELECT CURRENT_USER()", "SHOW TABLES",
    "SHOW FULL TABLES", "SHOW COLUMNS FROM person", "SHOW FULL COLUMNS FROM `person`", "DESCRIBE person",
    "SHOW INDEX FROM person", "SHOW CREATE TABLE person", "SHOW VARIABLES LIKE 'sql_mode'", "SHOW WARNINGS",
    "SHOW DATABASES", "SHOW ENGINES", "SHOW COLLATION WHERE Charset = 'utf8mb4'", "SHOW STATUS LIKE 'Threads%'",
    "SHOW TABLE STATUS LIKE 'person'", "SHOW PROCESSLIST", "SELECT 1", "SHOW CREATE DATABASE {database}",
    "SELECT COLUMN_NAME FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'person'",
    "SELECT TABLE_NAME FROM information_schema.tables WHERE table_schema = '{database}'",
    "SELECT CONSTRAINT_NAME FROM information_schema.key_column_usage WHERE table_schema = '{database}'",
    "SELECT SCHEMA_NAME FROM information_schema.schemata", "EXPLAIN SELECT * FROM person WHERE id = 1",
)
"""What drivers and tools ask to see; ``transaction_isolation`` by the name that MySQL has for it."""


def missing(client: str, remedy: str) -> NoReturn:
    """Skip, loudly."""
    MISSING[client] = remedy
    pytest.skip(f"{client} is not here. {remedy}")


def fetched(client: str, path: str) -> Path:
    """A client that ``tests/get_clients`` has fetched."""
    found = CLIENTS / path
    if not found.exists():
        missing(client, f"Run tests/get_clients .clients, which says what it needs for {client}.")
    return found
