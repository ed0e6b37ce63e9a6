"""``pair``: the oracle's two sessions over one vgate that stays up for all tests of a module, which makes many of them
cheap. ``stocked``: the same with a few rows; ``others``: more clients of that vgate.

This module does not know what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fix_oracle import Oracle
from tests.fix_servers import KEYSPACES, REPOSITORY, Cluster, Server
from tests.fix_vgate import USERS, VgateProcess, run_vgate, with_addresses
from tests.integration.asking import Connection


def serve(directory: Path, cluster: Cluster, config: str, vschema: str = "") -> VgateProcess:
    """vgate with a VSchema (the repository's) in front of these servers; whoever calls this ends it."""
    vschema = vschema or (REPOSITORY / "vschema.yaml").read_text()
    (directory / "vschema.yaml").write_text(with_addresses(vschema, cluster))
    (directory / "vgate.yaml").write_text(config)
    return run_vgate(directory, [
        "serve", "--vschema", str(directory / "vschema.yaml"), "--config", str(directory / "vgate.yaml"),
        "--listen", "127.0.0.1:0",
    ])  # fmt: skip


@pytest.fixture(scope="module")
def standing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VgateProcess]:
    """vgate with the repository's VSchema, for a whole module."""
    cluster.clear()
    vgate = serve(tmp_path_factory.mktemp("standing"), cluster, USERS)
    yield vgate
    vgate.kill()


@pytest.fixture
def pair(standing: VgateProcess, cluster: Cluster) -> Iterator[Oracle]:
    """Sessions in keyspace ``customer`` and in the database of that name; all keyspaces are empty."""
    for server in cluster.servers:
        empty(server)
    with closing(standing.connect()) as connection, connection.cursor() as cursor:
        for keyspace in KEYSPACES:  # what vgate knew of the tables that were there is not true any more
            cursor.execute(f"drop table if exists {keyspace}.nothing_of_this_name")
    with (
        closing(standing.connect("customer")) as one,
        closing(cluster.plain.connect("customer")) as other,
    ):
        yield Oracle(one, other, cluster, standing)


CUSTOMER = "create table customer (customer_id bigint primary key, uname varchar(50), n int, at timestamp null)"
PRODUCT = "create table product (id int primary key auto_increment, name varchar(20), n int unique)"
ROWS = "insert into customer (customer_id, uname, n) values (1, 'one', 1), (2, 'two', 2), (4, 'four', 4), (6, 'six', 6)"


@pytest.fixture
def stocked(pair: Oracle) -> Oracle:
    """In ``customer``, with a few rows on each shard; ``product.product`` is there, too."""
    pair.both(CUSTOMER)
    pair.both(ROWS, ignore=["insert_id"])
    pair.both("use product")
    pair.both(PRODUCT)
    pair.both("insert into product (name, n) values ('a', 1), ('b', 2), ('c', 3)")
    pair.both("use customer")
    return pair


@pytest.fixture
def others(stocked: Oracle) -> Iterator[list[Connection]]:
    """Clients who came before anything was set; there are as many as will get hold of every idle connection."""
    connections = [stocked.process.connect("product") for _ in range(4)]
    yield connections
    for connection in connections:
        connection._force_close()


def empty(server: Server) -> None:
    """Drop what is in the keyspaces' databases; the databases stay, as vgate's connections are in them."""
    # Without TLS: PyMySQL reads the certificates of the world for each connection, which takes longer than most tests.
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
