"""The real vgate as a process of its own, in front of the cluster's servers.

``start_vgate`` starts one with any VSchema and configuration; ``vgate_process`` is the usual one: the VSchema of the
repository over a ``fresh`` cluster. Both are used as a user would: command line, files, the line that says ``ready``.

This module does not know what vgate does with a statement, nor anything of its inside.
"""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import pymysql
import pytest
import yaml

from tests.fix_servers import REPOSITORY, Cluster, Server
from tests.forking import ForkedProcess, Forks

USER = "tester"
PASSWORD = "tester's password"
READY_WITHIN = 30.0
END_WITHIN = 30.0

USERS = yaml.safe_dump({"users": {USER: {"password": PASSWORD}}})
"""The part of ``vgate.yaml`` that lets the tests in."""

_ADDRESS = re.compile(r"(\[[0-9a-f:]+\]|[\w.]+):(\d+)")


@dataclass(slots=True)
class VgateProcess:
    """A running ``vgate serve``. Its files are in ``directory``; it may be killed in any way."""

    process: subprocess.Popen[str] | ForkedProcess
    directory: Path
    host: str = ""
    port: int = 0
    lines: list[str] = field(default_factory=list)

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        """A PyMySQL connection through vgate, autocommitting and without TLS unless told otherwise."""
        settings: dict[str, Any] = {"autocommit": True, "charset": "utf8mb4", "user": USER, "password": PASSWORD}
        settings["ssl_disabled"] = not any(name.startswith("ssl") for name in options)
        settings.update(options)
        return pymysql.connect(host=self.host, port=self.port, database=database, **settings)

    def query(self, sql: str, database: str | None = None) -> tuple[tuple[Any, ...], ...]:
        """The rows of one statement on a connection of its own."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return tuple(cursor.fetchall())

    @property
    def errors(self) -> str:
        """What it wrote to its standard error so far."""
        return (self.directory / "stderr").read_text(errors="replace")

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait(END_WITHIN)

    def terminate(self, signal_number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit status once it has."""
        self.process.send_signal(signal_number)
        return self.process.wait(END_WITHIN)


StartVgate = Callable[..., VgateProcess]
"""``start_vgate(vschema: str, config: str = USERS, arguments: Sequence[str] = ()) -> VgateProcess``"""


def run_vgate(directory: Path, arguments: Sequence[str]) -> VgateProcess:
    """Start vgate with any subcommand that prints a line with the word ``ready``, and wait for that line.

    Fails the test with everything it wrote if it ends, or says nothing, before that.
    """
    with (directory / "stderr").open("w") as errors:
        process = _start(arguments, errors)
    vgate = VgateProcess(process, directory)
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_collect, args=(process, vgate.lines, said), daemon=True).start()
    try:
        while (line := said.get(timeout=READY_WITHIN)) is not None:
            address = _ADDRESS.search(line) if re.search(r"\bready\b", line) else None
            if address is not None:
                vgate.host, vgate.port = address[1].strip("[]"), int(address[2])
                return vgate
    except queue.Empty:
        process.kill()
    status = process.wait(END_WITHIN)
    pytest.fail(
        f"vgate {' '.join(arguments)} did not become ready (exit status {status}):\n"
        + "".join(vgate.lines) + vgate.errors, pytrace=False,
    )  # fmt: skip


def _start(arguments: Sequence[str], errors: TextIO) -> subprocess.Popen[str] | ForkedProcess:
    """The process; that of a plain ``serve`` is forked from one that has loaded vgate."""
    if arguments[0] == "serve" and "--workers" not in arguments:
        return _forks().start(arguments, errors)
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("vgate")), *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=REPOSITORY,
    )  # fmt: skip


@cache
def _forks() -> Forks:
    return Forks()


def pytest_sessionfinish() -> None:
    """Nothing will be started any more."""
    if _forks.cache_info().currsize:
        _forks().close()


def _collect(
    process: subprocess.Popen[str] | ForkedProcess, lines: list[str], said: queue.SimpleQueue[str | None]
) -> None:
    """Read its output to the end, so that it never blocks on it."""
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            lines.append(line)
            said.put(line)
    said.put(None)


def with_addresses(vschema: str, cluster: Cluster) -> str:
    """The VSchema (YAML) with the cluster's addresses for the shards that it only names.

    Shards the cluster does not have (another keyspace, another partition) become databases of their own, spread over
    its servers. All databases are there afterwards.
    """
    tree = yaml.safe_load(vschema)
    servers = list(cluster.shards.values())
    for name, keyspace in tree["keyspaces"].items():
        if not isinstance(keyspace["shards"], list):
            continue
        addresses = {}
        for index, shard in enumerate(map(str, keyspace["shards"])):
            server, database = cluster.shards.get(f"{name}/{shard}"), name
            if server is None:
                server, database = servers[index % len(servers)], f"{name}_{shard}"
            server.query(f"create database if not exists `{database}`")
            addresses[shard] = _address(server, database)
        keyspace["shards"] = addresses
    return yaml.safe_dump(tree, sort_keys=False)


def _address(server: Server, database: str) -> dict[str, object]:
    return {
        "host": server.host, "port": server.port, "user": server.user, "password": server.password, "database": database
    }  # fmt: skip


@pytest.fixture
def start_vgate(cluster: Cluster, tmp_path: Path) -> Iterator[StartVgate]:
    """Start as many vgates as a test needs; those still running at its end are ended."""
    started: list[VgateProcess] = []

    def start(vschema: str, config: str = USERS, arguments: Sequence[str] = ()) -> VgateProcess:
        directory = tmp_path / f"vgate{len(started)}"
        directory.mkdir()
        (directory / "vschema.yaml").write_text(with_addresses(vschema, cluster))
        (directory / "vgate.yaml").write_text(config)
        vgate = run_vgate(directory, [
            "serve", "--vschema", str(directory / "vschema.yaml"), "--config", str(directory / "vgate.yaml"),
            "--listen", "127.0.0.1:0", *arguments,
        ])  # fmt: skip
        started.append(vgate)
        return vgate

    yield start
    for vgate in started:
        if vgate.process.poll() is None:
            vgate.kill()


@pytest.fixture
def vgate_process(fresh: Cluster, start_vgate: StartVgate) -> VgateProcess:
    """vgate with the repository's own VSchema over empty databases."""
    return start_vgate((REPOSITORY / "vschema.yaml").read_text())
