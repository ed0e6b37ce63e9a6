"""The ``mysql`` programs of MariaDB and of MySQL 9: what they ask at the start, ``status``, and scripts.

The documented example is typed into them elsewhere. This module does not know drivers.
"""

from __future__ import annotations

import shutil

import pytest

from tests.fix_servers import REPOSITORY
from tests.fix_vgate import PASSWORD, USER
from tests.integration.clients.conftest import Place
from tests.integration.clients.matrix import missing

PROGRAMS = {
    "mariadb's": (shutil.which("mariadb") or shutil.which("mysql"), "Install mariadb-client."),
    "mysql 9's": (str(REPOSITORY / ".mysql9" / "bin" / "mysql"), "Run tests/get_mysql9."),
}


@pytest.fixture(params=PROGRAMS)
def client(request: pytest.FixtureRequest, place: Place) -> list[str]:
    """The command, with the place it connects to."""
    program, remedy = PROGRAMS[request.param]
    if program is None or shutil.which(program) is None:
        missing(f"{request.param} mysql program", remedy)
    key = ["--get-server-public-key", "--loose-commands"] if ".mysql9" in program else []
    return [
        program, "--no-defaults", "--protocol=tcp", f"--host={place.host}", f"--port={place.port}", f"--user={USER}",
        f"--password={PASSWORD}", *key,
    ]  # fmt: skip


def test_status_and_names_for_completion(client: list[str], place: Place) -> None:
    """With a database and without -A it asks for the columns of every table."""
    said = place.run([*client, "--auto-rehash", "-t", place.database], "status\nuse product\nselect database();\n")
    assert place.database in said
    assert "| product    |" in said
    assert "Connection id:" in said


def test_a_script_in_a_transaction(client: list[str], place: Place) -> None:
    script = """
        set names utf8mb4; begin; insert into person (name) values ('Zo\u00eb'), ('b'), ('c'), ('d');
        savepoint s; delete from person where name = 'b'; rollback to s; commit;
        delimiter //
        select name from person where name = 'Zo\u00eb'//
        delimiter ;
        prepare s from 'select 1'; select 1 from person where id = last_insert_id();
    """
    if place.database == "customer":
        script = script.replace("prepare s from 'select 1';", "")
    said = place.run([*client, "--default-character-set=utf8mb4", "-N", place.database], script)
    assert said == "Zo\u00eb\n1\n"


def test_an_error_ends_a_script(client: list[str], place: Place) -> None:
    said = place.run([*client, "--force", "-N", place.database], "selectt 1; select 'after';")
    assert said == "after\n"


def test_a_whole_result_row_by_row(client: list[str], place: Place) -> None:
    values = ", ".join(f"('{n}')" for n in range(2000))
    place.run([*client, place.database], f"insert into person (name) values {values};")
    said = place.run([*client, "--quick", "-N", place.database], "select name from person;")
    assert sorted(map(int, said.split())) == list(range(2000))


def test_a_dump_with_gtids(place: Place) -> None:
    """``mysqldump`` of MySQL 9 as it comes: for GTIDs it locks all servers before it has chosen a database."""
    program = REPOSITORY / ".mysql9" / "bin" / "mysqldump"
    if not program.exists():
        missing("mysqldump of MySQL 9", "Run tests/get_mysql9.")
    login = [f"--host={place.host}", f"--port={place.port}", f"--user={USER}", f"--password={PASSWORD}"]
    place.vgate.query("insert into person (name) values ('a''b')", place.database)
    dump = place.run(
        [str(program), "--no-defaults", "--protocol=tcp", *login, "--get-server-public-key", "--single-transaction",
         place.database]
    )  # fmt: skip
    assert "a\\'b" in dump
    assert "Dump completed" in dump
    assert place.vgate.query("delete from person", place.database) == (), "a lock is left"


def test_a_dump_is_restored(place: Place) -> None:
    """``mysqldump`` of MySQL 9, which unlocks tables before it has chosen a database."""
    program = REPOSITORY / ".mysql9" / "bin" / "mysqldump"
    if not program.exists():
        missing("mysqldump of MySQL 9", "Run tests/get_mysql9.")
    login = [f"--host={place.host}", f"--port={place.port}", f"--user={USER}", f"--password={PASSWORD}"]
    place.vgate.query("insert into person (name) values ('a''b'), ('Zo\u00eb'), ('')", place.database)
    rows = sorted(place.vgate.query("select * from person", place.database), key=repr)
    dump = place.run(
        [str(program), "--no-defaults", "--protocol=tcp", *login, "--get-server-public-key", "--single-transaction",
         "--skip-add-locks", "--set-gtid-purged=OFF", place.database]
    )  # fmt: skip
    place.vgate.query("delete from person", place.database)
    client = ["mysql", "--no-defaults", "--protocol=tcp", *login]
    place.run([*client, place.database], dump)
    assert sorted(place.vgate.query("select * from person", place.database), key=repr) == rows
