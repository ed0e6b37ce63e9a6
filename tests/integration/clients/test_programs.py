"""Clients that are programs of their own: Django, Node's mysql2, JDBC's two drivers, Go's, and sysbench.

Each program in ``programs/`` asserts by itself and says ``all is well`` in the end. This module does not know what it
does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.fix_servers import Cluster
from tests.fix_vgate import PASSWORD, USER, VgateProcess
from tests.integration.clients.conftest import Place, emptied
from tests.integration.clients.matrix import fetched, missing
from vgate.sql.versioned import Flavour

PROGRAMS = Path(__file__).with_name("programs")


def program(name: str, remedy: str) -> str:
    """A program on the path."""
    found = shutil.which(name) or (shutil.which("/usr/local/go/bin/go") if name == "go" else None)
    return found if found is not None else missing(name, remedy)


def test_django(place: Place) -> None:
    admin = {"ADMIN": "1"} if place.database == "product" else {}
    assert place.run([sys.executable, str(PROGRAMS / "django_app.py")], **admin).endswith(": all is well\n")


def test_nodes_mysql2(place: Place) -> None:
    node = program("node", "Install Node.js 18 or newer, with npm.")
    modules = fetched("Node's mysql2", "node/node_modules")
    assert place.run([node, str(PROGRAMS / "habits.js")], NODE_PATH=str(modules)) == "all is well\n"


JDBC = {
    "mariadb": ("mariadb-java-client-3.5.3.jar",
                "allowPublicKeyRetrieval=true;useServerPrepStmts=true&allowPublicKeyRetrieval=true"
                ";useBulkStmts=true&useServerPrepStmts=true&allowPublicKeyRetrieval=true"),
    "mysql": ("mysql-connector-j-9.1.0.jar",
              "allowPublicKeyRetrieval=true&sslMode=DISABLED"
              ";useServerPrepStmts=true&cachePrepStmts=true&allowPublicKeyRetrieval=true&sslMode=DISABLED"
              ";rewriteBatchedStatements=true&allowPublicKeyRetrieval=true&sslMode=DISABLED"),
}  # fmt: skip


@pytest.mark.parametrize("driver", JDBC)
def test_jdbc(place: Place, driver: str) -> None:
    java = program("java", "Install a JDK of version 17 or newer, with Maven.")
    jar, options = JDBC[driver]
    if driver == "mysql" and place.server.flavour is Flavour.MARIADB:
        pytest.skip("MySQL's driver asks MariaDB 10.11 for transaction_isolation, which it does not have")
    path = fetched(f"JDBC's {driver}", f"java/{jar}")
    said = place.run(
        [java, "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp", str(path), str(PROGRAMS / "Habits.java")],
        JDBC=driver, OPTIONS=options, LC_ALL="C.UTF-8",
    )  # fmt: skip
    assert said.endswith("all is well\n")


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built."""
    go = program("go", "Install Go 1.21 or newer.")
    built = tmp_path_factory.mktemp("go") / "habits"
    done = subprocess.run(
        [go, "build", "-o", str(built), "."], cwd=PROGRAMS / "go", capture_output=True, text=True, check=False,
        timeout=100, env={**os.environ, "GOTOOLCHAIN": "local"},
    )  # fmt: skip
    if done.returncode:
        missing("Go's driver", f"It could not be built: {done.stderr.strip()[-200:]}")
    return built


def test_gos_driver(place: Place, go_program: Path) -> None:
    assert place.run([str(go_program)]) == "all is well\n"


# -- sysbench -----------------------------------------------------------------------------------------------------

SBTEST = (
    "create table sbtest1 (id bigint primary key, k int not null default 0, c char(120) not null default '',"
    " pad char(60) not null default '', key k_1 (k))"
)
ROWS = 500


@pytest.fixture
def benched(served: VgateProcess, cluster: Cluster, keyspace: str) -> Place:
    """A table like sysbench's own, filled."""
    place = emptied(served, cluster, keyspace)
    with closing(served.connect(keyspace, ssl_disabled=True)) as connection, connection.cursor() as cursor:
        cursor.execute(SBTEST)
        values = ", ".join(f"({n}, {n}, '{'c' * 119}', '{'p' * 59}')" for n in range(1, ROWS + 1))
        cursor.execute(f"insert into sbtest1 values {values}")
    return place


@pytest.mark.parametrize("script", ["oltp_point_select", "oltp_read_write", "oltp_insert"])
@pytest.mark.parametrize("mode", ["auto", "disable"])
def test_sysbench(benched: Place, script: str, mode: str) -> None:
    """``auto`` is its default: prepared statements.

    One thread, as two that meet in a deadlock would wait for its time-out where their rows are on several shards.
    """
    sysbench = program("sysbench", "Install sysbench (tests/get_programs bench).")
    where = [
        f"--mysql-host={benched.host}", f"--mysql-port={benched.port}", f"--mysql-user={USER}",
        f"--mysql-password={PASSWORD}", f"--mysql-db={benched.database}",
    ]  # fmt: skip
    said = benched.run([
        sysbench, script, *where, f"--db-ps-mode={mode}", "--tables=1", f"--table-size={ROWS}", "--threads=1",
        "--events=100", "--time=60", "run",
    ])  # fmt: skip
    assert "total number of events:              100" in said, said
    assert "ignored errors" not in said or "ignored errors:                      0" in said, said
