"""``pair``: the oracle's two sessions over one vgate that stays up for all tests of a module, which makes many of them
cheap; and the words that tests about several sessions have in common.

This module does not know what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fix_oracle import Oracle
from tests.fix_servers import KEYSPACES, REPOSITORY, Cluster, Server
from tests.fix_vgate import USERS, VgateProcess, run_vgate, with_addresses


@pytest.fixture(scope="module")
def standing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VgateProcess]:
    """vgate with the repository's VSchema, for a whole module."""
    cluster.clear()
    directory = tmp_path_factory.mktemp("standing")
    (directory / "vschema.yaml").write_text(with_addresses((REPOSITORY / "vschema.yaml").read_text(), cluster))
    (directory / "vgate.yaml").write_text(USERS)
    vgate = run_vgate(directory, [
        "serve", "--vschema", str(directory / "vschema.yaml"), "--config", str(directory / "vgate.yaml"),
        "--listen", "127.0.0.1:0",
    ])  # fmt: skip
    yield vgate
    vgate.kill()


@pytest.fixture
def pair(standing: VgateProcess, cluster: Cluster) -> Iterator[Oracle]:
    """Sessions in keyspace ``customer`` and in the database of that name; all keyspaces are empty."""
    for server in cluster.servers:
        empty(server)
    for keyspace in KEYSPACES:  # what vgate knew of the tables that were there is not true any more
        standing.query("drop table if exists nothing_of_this_name", keyspace)
    with closing(standing.connect("customer")) as one, closing(cluster.plain.connect("customer")) as other:
        yield Oracle(one, other, cluster, standing)


def empty(server: Server) -> None:
    """Drop what is in the keyspaces' databases; the databases stay, as vgate's connections are in them."""
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("set lock_wait_timeout = 10")
        cursor.execute(
            "select table_schema, table_name, if(table_type = 'VIEW', 'view', 'table') from information_schema.tables"
            f" where table_schema in {KEYSPACES}"
        )
        found = list(cursor.fetchall())
        cursor.execute(
            "select routine_schema, routine_name, routine_type from information_schema.routines"
            f" where routine_schema in {KEYSPACES}"
        )
        for schema, name, kind in (*found, *cursor.fetchall()):
            cursor.execute(f"drop {kind} `{schema}`.`{name}`")
