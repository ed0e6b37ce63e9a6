"""Finding the server: which one is taken, what belongs to it, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgate.local import programs as room
from vgate.local.programs import LocalError, find_programs
from vgate.sql.versioned import Flavour

MARIADB = "mariadbd  Ver 11.4.2-MariaDB-log for Linux on x86_64 (Source distribution)"
MYSQL = "/usr/sbin/mysqld  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))"


def program(path: Path, says: str = "", status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed on this machine but what the test puts there."""
    monkeypatch.setattr(room, "SERVER_DIRECTORIES", (str(tmp_path / "sbin"),))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_mariadb_with_all_its_programs(tmp_path: Path) -> None:
    server = program(tmp_path / "sbin/mariadbd", MARIADB)
    client = program(tmp_path / "bin/mariadb")
    program(tmp_path / "bin/mysql")
    install = program(tmp_path / "bin/mariadb-install-db")
    found = find_programs()
    assert (found.server, found.client, found.install_db) == (server, client, install)
    assert (found.flavour, found.version, found.label) == (Flavour.MARIADB, "11.4.2", "mariadb-11.4.2")


def test_mysql_needs_no_installer_and_takes_its_own_client(tmp_path: Path) -> None:
    program(tmp_path / "sbin/mysqld", MYSQL)
    program(tmp_path / "bin/mariadb")
    client = program(tmp_path / "bin/mysql")
    program(tmp_path / "bin/mariadb-install-db")
    found = find_programs()
    assert (found.flavour, found.version) == (Flavour.MYSQL, "8.0.36")
    assert (found.client, found.install_db) == (client, None)


def test_a_named_server_is_taken_with_the_client_that_is_beside_it(tmp_path: Path) -> None:
    program(tmp_path / "sbin/mariadbd", MARIADB)
    program(tmp_path / "bin/mysql")
    named = program(tmp_path / "elsewhere/bin/mysqld", MYSQL)
    client = program(tmp_path / "elsewhere/bin/mysql")
    found = find_programs(str(named))
    assert (found.server, found.flavour, found.client) == (named, Flavour.MYSQL, client)


def test_the_tarball_layout(tmp_path: Path) -> None:
    named = program(tmp_path / "mariadb/bin/mariadbd", MARIADB)
    install = program(tmp_path / "mariadb/scripts/mariadb-install-db")
    assert find_programs(str(named)).install_db == install


def test_nothing_installed_says_what_to_install() -> None:
    with pytest.raises(LocalError, match="apt install mariadb-server-core mariadb-client-core"):
        find_programs()


def test_a_named_program_that_is_not_there() -> None:
    with pytest.raises(LocalError, match="--mysqld: /nowhere/mysqld is not a program"):
        find_programs("/nowhere/mysqld")


def test_a_program_that_is_something_else(tmp_path: Path) -> None:
    named = program(tmp_path / "bin/postgres", "postgres (PostgreSQL) 15.4")
    with pytest.raises(LocalError, match="does not answer --version as MariaDB or MySQL would"):
        find_programs(str(named))


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    named = tmp_path / "mysqld"
    named.write_bytes(b"\x00")
    named.chmod(0o755)
    with pytest.raises(LocalError, match="cannot be run"):
        find_programs(str(named))
