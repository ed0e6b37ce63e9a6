"""Database servers for the tests, started on demand, once for each session.

For each flavour there are four: ``plain``, the one server that says what the right answer is, and the three of the
cluster (``product/-``, ``customer/-80``, ``customer/80-``). They are private servers of ``vgate.local``, without
durability, under pytest's temporary directory; their templates are kept in pytest's cache. With VGATE_TEST_SERVERS
they are servers that run already, and nothing is started. What is in them is gone after each test that uses ``fresh``.

Environment: VGATE_FLAVOURS (default ``mariadb,mysql``; a flavour named here fails instead of being skipped),
VGATE_MYSQLD and VGATE_MARIADBD (server programs), VGATE_TEST_SERVERS (see ``given_servers``).

This module does not know vgate's own process: see ``fix_vgate``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest

from vgate.local.cluster import directory_name
from vgate.local.programs import LocalError, Programs, find_programs
from vgate.local.server import LocalServer
from vgate.sql.versioned import Flavour
from vgate.vschema.model import Address

REPOSITORY = Path(__file__).resolve().parent.parent
PLAIN = "plain"
SHARDS = ("product/-", "customer/-80", "customer/80-")
KEYSPACES = ("product", "customer")
GIVEN = os.environ.get("VGATE_TEST_SERVERS", "")
ASKED = os.environ.get("VGATE_FLAVOURS", "")
FLAVOURS = ("given",) if GIVEN else tuple((ASKED or "mariadb,mysql").split(","))
SYSTEM_DATABASES = ("information_schema", "mysql", "performance_schema", "sys")
LOCK_WAIT_TIMEOUT = 1205

MISSING: dict[str, str] = {}
"""The flavours that tests were skipped for in this session, and what to do about each."""

REMEDY = {
    Flavour.MARIADB: "No MariaDB server was found: install mariadb-server-core, or set VGATE_MARIADBD.",
    Flavour.MYSQL: "No MySQL server was found: run tests/get_mysql9 (Debian), or set VGATE_MYSQLD to a mysqld.",
}


@dataclass(frozen=True, slots=True)
class Server:
    """One running server. ``local`` is None where VGATE_TEST_SERVERS gave it."""

    name: str
    host: str
    port: int
    user: str
    password: str
    flavour: Flavour
    version: str
    unix_socket: str = ""
    local: LocalServer | None = field(default=None, repr=False)

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        """A PyMySQL connection, autocommitting and without TLS unless told otherwise; to be closed."""
        options.setdefault("ssl_disabled", not any(name.startswith("ssl") for name in options))
        options.setdefault("autocommit", True)
        options.setdefault("charset", "utf8mb4")
        return pymysql.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, database=database, **options
        )

    def query(self, sql: str, database: str | None = None) -> tuple[tuple[Any, ...], ...]:
        """The rows of one statement on a connection of its own."""
        # Without TLS: PyMySQL reads the certificates of the world for each connection.
        with closing(self.connect(database, ssl_disabled=True)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return tuple(cursor.fetchall())

    def address(self, database: str) -> Address:
        """The same as the VSchema says it. By TCP, as most users have it."""
        return Address(user=self.user, password=self.password, database=database, host=self.host, port=self.port)

    def kill(self) -> None:
        """``kill -9``; the test must ``restart`` it before it ends. Skips where the server is not ours to kill."""
        self._ours().kill()

    def restart(self) -> None:
        """Start it again after ``kill``, at the same port."""
        server = self._ours()
        run(_restart(server))

    def _ours(self) -> LocalServer:
        if self.local is None:
            pytest.skip("a server named by VGATE_TEST_SERVERS is not ours to kill")
        return self.local


async def _restart(server: LocalServer) -> None:
    await server.stop()
    await server.start()


def run(work: Coroutine[object, object, None]) -> None:
    """Run a coroutine from anywhere: in a thread and a loop of its own, out of the way of the test's loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


class Park:
    """All servers of the session, by flavour and name; started when first asked for, stopped by ``close``."""

    def __init__(self, data: Path, templates: Path) -> None:
        self._data = data
        self._templates = templates
        self._programs: dict[str, Programs | None] = {}
        self._servers: dict[tuple[str, str], Server] = {
            ("given", server.name): server for server in (given_servers(GIVEN) if GIVEN else ())
        }

    def programs(self, flavour: str) -> Programs:
        """The installation of that flavour. Skips, or fails where VGATE_FLAVOURS asks for it, if there is none."""
        if flavour not in self._programs:
            self._programs[flavour] = find_flavour(Flavour(flavour))
        programs = self._programs[flavour]
        if programs is None:
            remedy = REMEDY[Flavour(flavour)]
            if ASKED:
                pytest.fail(f"VGATE_FLAVOURS asks for {flavour}. {remedy}", pytrace=False)
            MISSING[flavour] = remedy
            pytest.skip(remedy)
        return programs

    def servers(self, flavour: str, names: Sequence[str]) -> dict[str, Server]:
        """The servers of those names, the missing ones started together."""
        missing = [name for name in names if (flavour, name) not in self._servers]
        if missing and flavour == "given":
            pytest.fail(f"VGATE_TEST_SERVERS does not name {', '.join(missing)}", pytrace=False)
        if missing:
            programs = self.programs(flavour)
            started = [self._make(programs, name) for name in missing]
            run(_start_together(started))
            for name, server in zip(missing, started, strict=True):
                self._servers[flavour, name] = Server(
                    name=name, host="127.0.0.1", port=server.port, user="root", password="",
                    flavour=programs.flavour, version=server.version, unix_socket=server.unix_socket, local=server,
                )  # fmt: skip
        return {name: self._servers[flavour, name] for name in names}

    def _make(self, programs: Programs, name: str) -> LocalServer:
        directory = self._data / f"{programs.flavour}-{directory_name(name)}"
        return LocalServer(programs, directory, templates=self._templates, label=name, relaxed=True)

    def close(self) -> None:
        """Stop what was started and leave no data behind."""
        ours = [server.local for server in self._servers.values() if server.local is not None]
        run(_stop_together(ours))
        shutil.rmtree(self._data, ignore_errors=True)


async def _start_together(servers: Sequence[LocalServer]) -> None:
    first, *others = servers
    await first.start()  # it makes the template, where there is none
    await asyncio.gather(*(server.start() for server in others))


async def _stop_together(servers: Sequence[LocalServer]) -> None:
    await asyncio.gather(*(server.stop() for server in servers))


def find_flavour(flavour: Flavour) -> Programs | None:
    """The installation of a flavour: named in the environment, fetched by ``tests/get_mysql9``, or the system's."""
    variable = {Flavour.MARIADB: "VGATE_MARIADBD", Flavour.MYSQL: "VGATE_MYSQLD"}[flavour]
    fetched = REPOSITORY / ".mysql9" / "bin" / "mysqld"
    named = os.environ.get(variable) or (str(fetched) if flavour is Flavour.MYSQL and fetched.exists() else None)
    if named is not None:
        return find_programs(named)  # what was named must work
    for name in (None, "mariadbd", "mysqld"):
        try:
            programs = find_programs(name)
        except LocalError:
            continue
        if programs.flavour is flavour:
            return programs
    return None


def given_servers(text: str) -> Iterator[Server]:
    """The servers of VGATE_TEST_SERVERS: ``NAME=HOST:PORT:USER:PASSWORD``, separated by commas.

    NAME is ``plain`` or ``keyspace/shard``. They must all be of one flavour, and are emptied by the tests.
    """
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, where = entry.partition("=")
        host, port, user, password = where.split(":", 3)
        with (
            closing(pymysql.connect(host=host, port=int(port), user=user, password=password)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("select version()")
            [version] = cursor.fetchone() or [""]
        flavour = Flavour.MARIADB if "mariadb" in version.lower() else Flavour.MYSQL
        yield Server(name.strip(), host, int(port), user, password, flavour, version)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The three servers behind vgate, by ``keyspace/shard``, and the ``plain`` one that has the right answers."""

    flavour: Flavour
    shards: dict[str, Server]
    plain: Server

    def __getitem__(self, shard: str) -> Server:
        return self.shards[shard]

    @property
    def servers(self) -> tuple[Server, ...]:
        return (*self.shards.values(), self.plain)

    def clear(self) -> None:
        """Leave on every server an empty database for each keyspace it serves; on ``plain`` one for every keyspace."""
        for name, server in self.shards.items():
            clear(server, [name.partition("/")[0]])
        clear(self.plain, KEYSPACES)


def clear(server: Server, databases: Sequence[str]) -> None:
    """Drop everything that is not the server's own, and create those databases empty."""
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("set lock_wait_timeout = 2, foreign_key_checks = 0")
        cursor.execute("show databases")
        for (name,) in cursor.fetchall():
            if name.lower() not in SYSTEM_DATABASES:
                _drop(cursor, name)
        for name in databases:
            cursor.execute(f"create database `{name}`")


def _drop(cursor: Any, name: str) -> None:
    """Drop a database, if need be over the dead bodies of connections that a failed test left in a transaction."""
    quoted = name.replace("`", "``")
    try:
        cursor.execute(f"drop database `{quoted}`")
    except pymysql.err.OperationalError as error:
        if error.args[0] != LOCK_WAIT_TIMEOUT:
            raise
        cursor.execute(
            "select id from information_schema.processlist where id <> connection_id()"
            " and command not in ('Daemon', 'Binlog Dump') and user not in ('system user', 'event_scheduler')"
        )
        for (thread,) in cursor.fetchall():
            with suppress(pymysql.err.Error):  # it may have gone by itself
                cursor.execute(f"kill {thread}")
        cursor.execute(f"drop database `{quoted}`")


# -- pytest's hooks -----------------------------------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a database server is marked so, and ``-m 'not servers'`` leaves what needs none."""
    for item in items:
        if {"park", "programs", "installation"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A flavour that was not there must not pass for one that was tested."""
    for flavour, remedy in sorted(MISSING.items()):
        terminalreporter.section(f"NOT TESTED ON {flavour.upper()}", sep="!", red=True, bold=True)
        terminalreporter.line(remedy)


# -- fixtures -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def park(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Park]:
    """Where servers come from."""
    assert pytestconfig.cache is not None
    park = Park(tmp_path_factory.mktemp("servers"), pytestconfig.cache.mkdir("server-templates"))
    yield park
    park.close()


@pytest.fixture(scope="session", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    """Every test that uses a server through this runs once for each flavour. ``given``: VGATE_TEST_SERVERS."""
    return str(request.param)


@pytest.fixture(scope="session")
def plain(park: Park, flavour: str) -> Server:
    """One plain server of the flavour: what it answers is right."""
    return park.servers(flavour, [PLAIN])[PLAIN]


@pytest.fixture(scope="session")
def cluster(park: Park, flavour: str) -> Cluster:
    """The servers of product (one shard) and customer (two), and the plain one, of the flavour."""
    servers = park.servers(flavour, [PLAIN, *SHARDS])
    one = servers.pop(PLAIN)
    return Cluster(one.flavour, servers, one)


@pytest.fixture
def fresh(cluster: Cluster) -> Cluster:
    """The cluster with empty databases."""
    cluster.clear()
    return cluster


@pytest.fixture(scope="session")
def mariadb_server(park: Park) -> Server:
    """A MariaDB server, for what is particular to it."""
    return _particular(park, Flavour.MARIADB)


@pytest.fixture(scope="session")
def mysql_server(park: Park) -> Server:
    """A MySQL server, for what is particular to it."""
    return _particular(park, Flavour.MYSQL)


def _particular(park: Park, flavour: Flavour) -> Server:
    if not GIVEN:
        return park.servers(flavour, [PLAIN])[PLAIN]
    server = park.servers("given", [PLAIN])[PLAIN]
    if server.flavour is not flavour:
        pytest.skip(f"the servers of VGATE_TEST_SERVERS are not {flavour}")
    return server
