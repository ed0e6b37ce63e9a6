"""Private servers of both flavours: made, started, killed, stopped; and what is said when they do not start."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import socket
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from vgate.local.programs import LocalError, Programs
from vgate.local.server import SOCKET_PATH_LIMIT, LocalServer, make_template, short_socket_path


@pytest.fixture
def server(programs: Programs, templates: Path, tmp_path: Path) -> LocalServer:
    return LocalServer(programs, tmp_path / "one", templates=templates, databases=["it`s", "other"], relaxed=True)


def connect(server: LocalServer, **options: Any) -> pymysql.Connection[Any]:
    return pymysql.connect(host="127.0.0.1", port=server.port, user="root", autocommit=True, **options)


def rows(server: LocalServer, sql: str, database: str | None = None) -> list[tuple[Any, ...]]:
    with closing(connect(server, database=database)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def exists(path: str) -> bool:
    return os.path.exists(path)


async def test_ready_means_that_it_answers_and_has_its_databases(server: LocalServer, programs: Programs) -> None:
    async with server:
        assert {("it`s",), ("other",)} <= set(rows(server, "show databases"))
        [(version, directory)] = rows(server, "select version(), @@datadir")
        assert version == server.version
        assert version.startswith(programs.version)
        assert Path(directory) == server.directory / "data"
    assert not server.running


async def test_root_is_let_in_from_this_machine_alone(server: LocalServer) -> None:
    async with server:
        with closing(pymysql.connect(unix_socket=server.unix_socket, user="root")) as connection:
            assert connection.host_info.startswith("Localhost via UNIX socket")
        assert rows(server, "select @@bind_address") == [("127.0.0.1",)]
        assert rows(server, "select user from mysql.user where host = '%' or user = ''") == []
        with socket.socket() as elsewhere, pytest.raises(OSError, match="refused"):
            elsewhere.connect(("127.0.0.2", server.port))


async def test_data_survives_kill_9_and_a_restart_finds_the_same_port(server: LocalServer) -> None:
    async with server:
        port = server.port
        rows(server, "create table t (id int primary key)", "other")
        rows(server, "insert into t values (1), (2)", "other")
        server.kill()
        assert not server.running
        await server.start()
        assert server.port == port
        assert rows(server, "select id from t", "other") == [(1,), (2,)]


async def test_a_durable_server_ends_in_order(programs: Programs, templates: Path, tmp_path: Path) -> None:
    async with LocalServer(programs, tmp_path / "one", templates=templates) as server:
        assert rows(server, "select @@innodb_flush_log_at_trx_commit, @@log_bin") == [(1, 0)]
    assert "hutdown complete" in server.log.read_text()


async def test_two_copies_of_a_template_are_two_servers(programs: Programs, templates: Path, tmp_path: Path) -> None:
    one = LocalServer(programs, tmp_path / "one", templates=templates, relaxed=True, binlog=True)
    two = LocalServer(programs, tmp_path / "two", templates=templates, relaxed=True, binlog=True)
    identity = f"select @@server_id, @@{'server_uid' if programs.flavour == 'mariadb' else 'server_uuid'}"
    async with one, two:
        [(id_one, uuid_one)], [(id_two, uuid_two)] = rows(one, identity), rows(two, identity)
        assert id_one != id_two
        assert uuid_one != uuid_two
        assert rows(one, "select @@log_bin, @@binlog_format") == [(1, "ROW")]


async def test_without_tcp(programs: Programs, templates: Path, tmp_path: Path) -> None:
    async with LocalServer(programs, tmp_path / "one", templates=templates, relaxed=True, tcp=False) as server:
        with closing(pymysql.connect(unix_socket=server.unix_socket, user="root")) as connection:
            assert connection.get_server_info()
        assert server.port == 0


async def test_a_server_that_does_not_start_shows_the_end_of_its_log(
    programs: Programs, templates: Path, tmp_path: Path
) -> None:
    server = LocalServer(programs, tmp_path / "one", templates=templates, options=["--no-such"], label="shop/-80")
    with pytest.raises(LocalError, match=r"server for shop/-80 ended with status \d+ while starting") as raised:
        await server.start()
    assert "no-such" in str(raised.value)
    assert not server.running


async def test_a_server_that_never_answers_is_given_up(programs: Programs, templates: Path, tmp_path: Path) -> None:
    deaf = tmp_path / "mysqld"
    deaf.write_text("#!/bin/sh\necho deaf >&2\nexec sleep 1000\n")
    deaf.chmod(0o755)
    await make_template(programs, templates)
    server = LocalServer(
        dataclasses.replace(programs, server=deaf), tmp_path / "one", templates=templates, relaxed=True
    )
    with pytest.raises(LocalError, match=r"did not answer within 0.2 seconds") as raised:
        await server.start(within=0.2)
    assert "deaf" in str(raised.value)
    assert not server.running


async def test_a_taken_port_is_exchanged(server: LocalServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.port = taken.getsockname()[1]  # as after a restart, when somebody else was faster
        async with server:
            assert server.port != taken.getsockname()[1]
            assert rows(server, "select 1") == [(1,)]


async def test_remains_of_a_killed_server_are_cleared(server: LocalServer) -> None:
    server.directory.mkdir()
    for name in ("server.sock", "server.sock.lock", "server.pid"):
        (server.directory / name).write_text(f"{os.getpid()}\n")  # a process that lives, but is no server
    async with server:
        assert rows(server, "select 1") == [(1,)]


async def test_a_long_directory_gets_a_short_socket(programs: Programs, templates: Path, tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 60) / ("e" * 60)
    async with LocalServer(programs, directory, templates=templates, relaxed=True) as server:
        assert len(server.unix_socket) <= SOCKET_PATH_LIMIT
        assert rows(server, "select 1") == [(1,)]
    assert not exists(server.unix_socket)


def test_a_socket_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"vgate-{os.geteuid()}").mkdir(mode=0o777)
    (tmp_path / f"vgate-{os.geteuid()}").chmod(0o777)
    with pytest.raises(LocalError, match="is not a directory of yours alone"):
        short_socket_path(Path("/" + "d" * 200))


# -- scripts ------------------------------------------------------------------------------------------------------


async def test_a_script_is_read_as_the_client_reads_it(server: LocalServer, tmp_path: Path) -> None:
    script = tmp_path / "routine.sql"
    script.write_text(
        "create table t (id int primary key, name varchar(20)) comment 'vitess_sequence';\n"
        "insert into t values (1, 'semi;colon'), (2, 'Grüße');\n"
        "delimiter //\n"
        "create procedure double_all() begin update t set id = id * 10; select 1; end//\n"
        "delimiter ;\n"
        "call double_all();\n"
    )
    async with server:
        await server.run_script(script, "it`s")
        assert rows(server, "select * from t order by id", "it`s") == [(10, "semi;colon"), (20, "Grüße")]


async def test_a_failing_script_is_named_with_its_line_and_what_follows_is_not_run(
    server: LocalServer, tmp_path: Path
) -> None:
    script = tmp_path / "01_bad.sql"
    script.write_text("create table a (id int);\n\ncreate table\n  b (id nonsense);\ncreate table c (id int);\n")
    async with server:
        with pytest.raises(LocalError, match=r"01_bad\.sql:3: failed on one: ERROR \d+ \(.{5}\)") as raised:
            await server.run_script(script, "other")
        assert "nonsense" in str(raised.value)
        assert rows(server, "show tables", "other") == [("a",)]


class EndedProcess:
    """A program that has ended by itself, while whoever waits for its output has not heard of it yet."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.waited = False

    async def communicate(self) -> tuple[bytes, bytes]:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing sets it")

    def kill(self) -> None:
        raise ProcessLookupError

    async def wait(self) -> int:
        self.waited = True
        return 0


@pytest.mark.parametrize("what", ["script", "template"])
async def test_who_is_cancelled_when_the_program_has_just_ended_hears_of_nothing_else(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    process = EndedProcess()

    async def start(*command: str, **options: object) -> EndedProcess:
        return process

    monkeypatch.setattr("asyncio.create_subprocess_exec", start)
    (tmp_path / "x.sql").touch()
    server = LocalServer(programs, tmp_path / "one", templates=tmp_path)
    work: Coroutine[object, object, object] = (
        server.run_script(tmp_path / "x.sql", "other") if what == "script" else make_template(programs, tmp_path / "t")
    )
    task = asyncio.create_task(work)
    await process.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.waited


async def test_servers_have_directories_of_their_own_for_temporary_files(server: LocalServer) -> None:
    """Where two share one, each takes the other's #sql files away when it starts."""
    async with server:
        assert rows(server, "select @@tmpdir") == [(str(server.directory / "tmp"),)]


async def test_a_missing_client_is_said(programs: Programs, templates: Path, tmp_path: Path) -> None:
    server = LocalServer(dataclasses.replace(programs, client=None), tmp_path / "one", templates=templates)
    with pytest.raises(LocalError, match="needs the mariadb or mysql command-line client"):
        await server.run_script(tmp_path / "x.sql", "other")


# -- templates ----------------------------------------------------------------------------------------------------


async def test_a_template_that_fails_leaves_nothing(programs: Programs, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no room on the disk\nexit 3\n")
    broken.chmod(0o755)
    bad = dataclasses.replace(programs, server=broken, install_db=broken)
    with pytest.raises(LocalError, match=r"(?s)initialising a data directory failed.*no room on the disk"):
        await make_template(bad, tmp_path / "templates")
    assert list((tmp_path / "templates").iterdir()) == []


async def test_a_template_is_made_in_a_temporary_directory_of_its_own(programs: Programs, tmp_path: Path) -> None:
    """Where that is shared, any server of the machine that starts takes the #sql files of the making away."""
    told = tmp_path / "told"
    told.write_text("#!/bin/sh\necho files are in $TMPDIR, which is $(ls -d $TMPDIR)\nexit 3\n")
    told.chmod(0o755)
    telling = dataclasses.replace(programs, server=told, install_db=told)
    place = re.escape(str(tmp_path / "templates" / ".tmp."))
    with pytest.raises(LocalError, match=rf"files are in ({place}\S+), which is \1"):
        await make_template(telling, tmp_path / "templates")
    assert list((tmp_path / "templates").iterdir()) == []
