"""The compose file and what it mounts fit together, and tell the same story as the repository's own VSchema.

This module does not start containers: that needs Docker, which is not assumed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from vgate.config import load_config
from vgate.vschema.load import load_vschema

REPOSITORY = Path(__file__).resolve().parent.parent
DOCKER = REPOSITORY / "tests" / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    return tree


def environment(name: str) -> dict[str, str]:
    lines = (DOCKER / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_vschema_is_the_repositorys_with_addresses(compose: dict[str, Any]) -> None:
    own = load_vschema(REPOSITORY / "vschema.yaml", environ={})
    docker = load_vschema(DOCKER / "vschema.yaml", environ=environment("vgate.env"))
    assert set(own.keyspaces) == set(docker.keyspaces)
    for name, keyspace in own.keyspaces.items():
        there = docker.keyspace(name)
        assert (keyspace.sharded, dict(keyspace.tables)) == (there.sharded, dict(there.tables))
        assert [shard.name for shard in keyspace.shards] == [shard.name for shard in there.shards]


def test_every_address_is_a_healthy_server_with_that_database_and_account(compose: dict[str, Any]) -> None:
    docker = load_vschema(DOCKER / "vschema.yaml", environ=environment("vgate.env"))
    account = environment("servers.env")
    for keyspace in docker.keyspaces.values():
        for shard in keyspace.shards:
            assert shard.address is not None
            server = compose["services"][shard.address.host]
            assert server["environment"]["MARIADB_DATABASE"] == shard.address.database
            assert account["MARIADB_USER"] == shard.address.user
            assert account["MARIADB_PASSWORD"] == shard.address.password
            assert server["healthcheck"]["test"]
            assert compose["services"]["vgate"]["depends_on"][shard.address.host] == {"condition": "service_healthy"}


def test_the_configuration_lets_somebody_in() -> None:
    config = load_config(DOCKER / "vgate.yaml", environ=environment("vgate.env"))
    assert [user.name for user in config.users] == ["app"]


def test_what_is_mounted_and_copied_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume.split(":/")[0])
            if source.startswith("."):
                assert (REPOSITORY / source).exists()
            else:
                assert source in compose["volumes"]
    copied = re.findall(r"^COPY (.*) \S+$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    kept = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for names in copied for name in names.split()} == kept
    assert all((REPOSITORY / name).exists() for name in kept)


def test_each_port_is_published_once_and_on_the_loopback_alone(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)
