"""The fixtures keep their word: servers are what they say, ``fresh`` is empty, what was killed comes back.

Tests that trust a fixture that does nothing cannot fail; these can.
"""

from __future__ import annotations

from contextlib import closing

import pytest
import yaml

from tests.fix_servers import GIVEN, Cluster, Server, given_servers
from tests.fix_vgate import with_addresses
from vgate.sql.versioned import Flavour


def test_a_server_is_of_its_flavour(plain: Server, flavour: str) -> None:
    [(version,)] = plain.query("select version()")
    assert version == plain.version
    assert ("mariadb" in version.lower()) == (plain.flavour is Flavour.MARIADB)
    assert GIVEN or plain.flavour == flavour


def test_the_particular_servers(mariadb_server: Server, mysql_server: Server) -> None:
    assert (mariadb_server.flavour, mysql_server.flavour) == (Flavour.MARIADB, Flavour.MYSQL)


def test_the_cluster_is_four_different_servers(cluster: Cluster) -> None:
    assert len({(server.host, server.port) for server in cluster.servers}) == 4
    assert {server.flavour for server in cluster.servers} == {cluster.flavour}


def databases(server: Server) -> set[str]:
    return {name for (name,) in server.query("show databases")} & {"product", "customer", "left"}


def test_fresh_is_empty_and_each_server_has_its_keyspace(fresh: Cluster) -> None:
    for server in fresh.servers:
        server.query("create database `left`")
        server.query("create table `left`.t (id int)")
    fresh.plain.query("create table customer.t (id int)")
    fresh.clear()
    assert databases(fresh["product/-"]) == {"product"}
    assert databases(fresh["customer/-80"]) == databases(fresh["customer/80-"]) == {"customer"}
    assert databases(fresh.plain) == {"product", "customer"}
    assert fresh.plain.query("show tables", "customer") == ()


def test_an_open_transaction_does_not_keep_fresh_from_its_work(fresh: Cluster) -> None:
    fresh.plain.query("create table customer.t (id int)")
    with closing(fresh.plain.connect("customer", autocommit=False)) as held, held.cursor() as cursor:
        cursor.execute("insert into t values (1)")
        fresh.clear()
    assert fresh.plain.query("show tables", "customer") == ()


def test_a_killed_server_comes_back_where_it_was_with_what_it_had(fresh: Cluster) -> None:
    server = fresh["customer/80-"]
    server.query("create table customer.t (id int)")
    server.query("insert into customer.t values (7)")
    server.kill()
    with pytest.raises(Exception, match="Can't connect"):
        server.connect()
    server.restart()
    assert server.query("select id from customer.t") == ((7,),)


def test_a_vschema_of_names_gets_addresses_and_databases(fresh: Cluster) -> None:
    names = "keyspaces: {product: {shards: ['-']}, customer: {shards: ['-80', '80-']}, wide: {shards: ['-40', '40-']}}"
    keyspaces = yaml.safe_load(with_addresses(names, fresh))["keyspaces"]
    assert keyspaces["customer"]["shards"]["80-"]["port"] == fresh["customer/80-"].port
    assert keyspaces["customer"]["shards"]["80-"]["database"] == "customer"
    places = [(shard["port"], shard["database"]) for shard in keyspaces["wide"]["shards"].values()]
    assert len(set(places)) == 2
    assert fresh["product/-"].query("show databases like 'wide%'") == (("wide_-40",),)


def test_given_servers_are_read_as_they_are_written(plain: Server) -> None:
    where = f"{plain.host}:{plain.port}:{plain.user}:{plain.password}"
    one, two = given_servers(f"plain={where}, customer/-80={where},")
    assert (one.name, two.name) == ("plain", "customer/-80")
    assert (one.host, one.port, one.user, one.password) == (plain.host, plain.port, plain.user, plain.password)
    assert (one.flavour, one.version) == (plain.flavour, plain.version)
