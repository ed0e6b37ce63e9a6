"""One vgate for the whole matrix of clients: ``served``; ``keyspace`` runs a test on a sharded and an unsharded one.

Both keyspaces have a table ``person`` whose ids come from a sequence; ``place`` has it new and empty. A client that is
not on this machine is skipped with ``missing``, and the summary shouts about it. This module does not know clients.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.fix_servers import Cluster, Server
from tests.fix_vgate import PASSWORD, USER, USERS, VgateProcess, run_vgate, with_addresses
from tests.integration.clients.matrix import MISSING, PERSON

VSCHEMA = """
keyspaces:
  product:
    sharded: false
    shards: ["-"]
    tables:
      person_seq: {type: sequence}
      person: {auto_increment: {column: id, sequence: person_seq}}
      sbtest1: {auto_increment: {column: id, sequence: person_seq}}
  customer:
    sharded: true
    vindexes: {hash: {type: hash}}
    tables:
      person:
        column_vindexes: [{column: id, name: hash}]
        auto_increment: {column: id, sequence: product.person_seq}
      pet:
        column_vindexes: [{column: person_id, name: hash}]
        auto_increment: {column: id, sequence: product.person_seq}
      sbtest1:
        column_vindexes: [{column: id, name: hash}]
        auto_increment: {column: id, sequence: product.person_seq}
    shards: ["-80", "80-"]
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client connects to: vgate, aimed at one keyspace with an empty table ``person``."""

    vgate: VgateProcess
    database: str
    server: Server

    @property
    def host(self) -> str:
        return self.vgate.host

    @property
    def port(self) -> int:
        return self.vgate.port

    def run(self, command: Sequence[str], script: str | None = None, **environment: str) -> str:
        """Run a client program that takes its address from its environment; fails the test if that fails."""
        address = {
            "DB_HOST": self.host, "DB_PORT": str(self.port), "DB_USER": USER, "DB_PASSWORD": PASSWORD,
            "DB_NAME": self.database,
        }  # fmt: skip
        done = subprocess.run(
            list(command), input=script, capture_output=True, text=True, timeout=100, check=False,
            env={**os.environ, **address, **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def served(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VgateProcess]:
    """vgate with the VSchema above, for a whole module."""
    cluster.clear()
    directory = tmp_path_factory.mktemp("clients")
    (directory / "vschema.yaml").write_text(with_addresses(VSCHEMA, cluster))
    (directory / "vgate.yaml").write_text(USERS)
    vgate = run_vgate(directory, [
        "serve", "--vschema", str(directory / "vschema.yaml"), "--config", str(directory / "vgate.yaml"),
        "--listen", "127.0.0.1:0",
    ])  # fmt: skip
    vgate.query(
        "create table person_seq (id bigint primary key, next_id bigint, cache bigint) comment 'vitess_sequence'",
        "product",
    )
    vgate.query("insert into person_seq values (0, 1000, 100)", "product")
    yield vgate
    vgate.kill()


@pytest.fixture(params=["customer", "product"])
def keyspace(request: pytest.FixtureRequest) -> str:
    """A sharded keyspace, and an unsharded one."""
    return str(request.param)


@pytest.fixture
def place(served: VgateProcess, cluster: Cluster, keyspace: str) -> Place:
    """The keyspace with an empty table ``person``."""
    return emptied(served, cluster, keyspace)


def emptied(served: VgateProcess, cluster: Cluster, keyspace: str) -> Place:
    """The keyspace with nothing but an empty table ``person``, and the sequence."""
    with closing(served.connect(keyspace, ssl_disabled=True)) as connection, connection.cursor() as cursor:
        cursor.execute("set foreign_key_checks = 0")
        cursor.execute("show tables")
        for (name,) in cursor.fetchall():
            if name != "person_seq":
                cursor.execute(f"drop table `{name}`")
        cursor.execute(PERSON)
    return Place(served, keyspace, cluster.plain)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A client that was not there must not pass for one that was tested."""
    for client, remedy in sorted(MISSING.items()):
        terminalreporter.section(f"NOT TESTED WITH {client.upper()}", sep="!", red=True, bold=True)
        terminalreporter.line(remedy)


