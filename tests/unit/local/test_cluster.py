"""``vgate local``'s servers as a whole: which are started, when the schema is applied, whose the directory is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.fix_servers import REPOSITORY
from vgate.keyrange import ShardMap
from vgate.local.cluster import MARKER, LocalCluster, directory_name
from vgate.local.programs import LocalError, Programs
from vgate.vschema.model import Address, Keyspace, Shard, VSchema

ELSEWHERE = Address(user="u", password="p", database="d", host="db.example", port=3306)


def keyspace(name: str, *shards: str, address: Address | None = None) -> Keyspace:
    placed = tuple(Shard(shard, address) for shard in shards)
    return Keyspace(name, sharded=len(shards) > 1, shards=placed, shard_map=ShardMap(shards))


def vschema(*keyspaces: Keyspace) -> VSchema:
    return VSchema({one.name: one for one in keyspaces}, version=7)


SHOP = vschema(keyspace("shop", "-80", "80-"))


@dataclass
class Ground:
    """A data directory, a schema directory, and what was logged."""

    data: Path
    schema: Path
    mysqld: str
    templates: Path
    lines: list[str] = field(default_factory=list)

    def cluster(self, of: VSchema = SHOP, *, reset: bool = False) -> LocalCluster:
        return LocalCluster(
            of, data=self.data, schema=self.schema, mysqld=self.mysqld, log=self.lines.append, reset=reset,
            relaxed=True, templates=self.templates,
        )  # fmt: skip

    def script(self, path: str, text: str) -> None:
        target = self.schema / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.fixture
def ground(tmp_path: Path, installation: Programs, templates: Path) -> Ground:
    """On whatever is installed: what differs between flavours is the matter of ``test_server``."""
    return ground_for(installation, tmp_path, templates)


def ground_for(programs: Programs, tmp_path: Path, templates: Path) -> Ground:
    (tmp_path / "schema").mkdir()
    return Ground(tmp_path / "data", tmp_path / "schema", str(programs.server), templates)


def rows(address: Address | None, sql: str) -> list[tuple[Any, ...]]:
    assert address is not None
    with (
        closing(pymysql.connect(host=address.host, port=address.port, user=address.user, database=address.database,
                                autocommit=True)) as connection,
        connection.cursor() as cursor,
    ):  # fmt: skip
        cursor.execute(sql)
        return list(cursor.fetchall())


def python(source: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tables(of: VSchema, name: str) -> list[list[str]]:
    """The tables of every shard of a keyspace."""
    return [[row[0] for row in rows(shard.address, "show tables")] for shard in of.keyspace(name).shards]


async def test_a_server_for_every_shard_without_an_address(ground: Ground) -> None:
    given = vschema(keyspace("far", "-", address=ELSEWHERE), keyspace("shop", "-80", "80-"))
    async with ground.cluster(given) as started:
        assert started.version == given.version
        assert started.keyspace("far") == given.keyspace("far")
        addresses = [shard.address for shard in started.keyspace("shop").shards]
        assert [rows(address, "select database()") for address in addresses] == [[("shop",)], [("shop",)]]
        assert len({rows(address, "select @@port")[0] for address in addresses}) == 2
    assert [shard.address for shard in given.keyspace("shop").shards] == [None, None]


async def test_nothing_to_start_touches_nothing(ground: Ground) -> None:
    given = vschema(keyspace("far", "-", address=ELSEWHERE))
    async with ground.cluster(given) as started:
        assert started == given
    assert not ground.data.exists()


async def test_scripts_run_once_in_name_order_on_every_shard_of_their_keyspace(
    programs: Programs, tmp_path: Path, templates: Path
) -> None:
    ground = ground_for(programs, tmp_path, templates)
    given = vschema(keyspace("one", "-"), keyspace("shop", "-80", "80-"))
    ground.script("shop/02_add.sql", "alter table item add column price int; insert into item values (1, 2);")
    ground.script("shop/01_make.sql", "create table item (id int primary key);")
    ground.script("shop/notes.txt", "not a script")
    ground.script("one/a.sql", "create table alone (id int);")
    async with ground.cluster(given) as started:
        assert tables(started, "shop") == [["item"], ["item"]]
        assert tables(started, "one") == [["alone"]]
        first = started.keyspace("shop").shards[0].address
        rows(first, "insert into item values (5, 6)")
    assert "applied 01_make.sql, 02_add.sql to shop/-80, shop/80-" in ground.lines
    ground.lines.clear()
    async with ground.cluster(given) as again:
        assert rows(again.keyspace("shop").shards[0].address, "select * from item") == [(1, 2), (5, 6)]
        assert rows(again.keyspace("shop").shards[1].address, "select * from item") == [(1, 2)]
    assert "keyspace shop has its tables already; --reset starts it afresh" in ground.lines


async def test_a_failed_script_is_mended_and_run_again(ground: Ground) -> None:
    ground.script("shop/1.sql", "create table item (id int);")
    ground.script("shop/2.sql", "create table more (id int);\ncreate table more (id int);\n")
    with pytest.raises(LocalError, match=r"shop/2\.sql:2: failed on shop/(-80|80-): ERROR 1050"):
        async with ground.cluster():
            pass
    ground.script("shop/2.sql", "create table other (id int);\n")
    async with ground.cluster() as started:
        assert tables(started, "shop") == [["item", "other"], ["item", "other"]]


async def test_reset_starts_afresh_and_keeps_what_is_not_ours(ground: Ground) -> None:
    ground.script("shop/1.sql", "create table item (id int);")
    async with ground.cluster() as started:
        rows(started.keyspace("shop").shards[0].address, "create table extra (id int)")
    (ground.data / "mine.txt").write_text("kept")
    async with ground.cluster(reset=True) as started:
        assert tables(started, "shop") == [["item"], ["item"]]
    assert (ground.data / "mine.txt").read_text() == "kept"


async def test_a_shard_that_joins_later_is_new_alone(ground: Ground) -> None:
    ground.script("shop/1.sql", "create table item (id int);")
    async with ground.cluster() as started:
        rows(started.keyspace("shop").shards[0].address, "insert into item values (1)")
    wider = vschema(keyspace("shop", "-80", "80-c0", "c0-"))
    async with ground.cluster(wider) as started:
        assert tables(started, "shop") == [["item"]] * 3
        assert rows(started.keyspace("shop").shards[0].address, "select * from item") == [(1,)]


@pytest.mark.parametrize("reset", [False, True])
async def test_a_directory_of_somebody_else_is_left_alone(ground: Ground, reset: bool) -> None:
    (ground.data / "servers").mkdir(parents=True)
    (ground.data / "servers" / "thesis.tex").write_text("years of work")
    with pytest.raises(LocalError, match="is not empty and was not made by vgate local"):
        async with ground.cluster(reset=reset):
            pass
    assert (ground.data / "servers" / "thesis.tex").exists()


async def test_a_second_vgate_local_on_the_same_directory_is_refused(ground: Ground) -> None:
    holder = f"""
import fcntl, os
lock = open({str(ground.data / "lock")!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), file=lock, flush=True)
print("locked", flush=True)
input()
"""
    ground.data.mkdir()
    (ground.data / MARKER).touch()
    with python(holder) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(LocalError, match=f"is in use by process {other.pid}: stop it, or name another"):
            async with ground.cluster():
                pass
        other.communicate("\n")
    async with ground.cluster() as started:
        assert tables(started, "shop") == [[], []]


OWNER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.unit.local.test_cluster import SHOP
from vgate.local.cluster import LocalCluster

async def main():
    cluster = LocalCluster(SHOP, data=Path({data!r}), mysqld={mysqld!r}, relaxed=True, templates=Path({templates!r}))
    async with cluster:
        print(*(server.pid for server in cluster.servers.values()), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_servers_end_with_a_vgate_that_is_killed_and_the_next_one_starts(ground: Ground) -> None:
    source = OWNER.format(
        repository=str(REPOSITORY), data=str(ground.data), mysqld=ground.mysqld, templates=str(ground.templates)
    )
    with python(source) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        handles = [os.pidfd_open(pid) for pid in pids]
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert len(handles) == 2
    for handle in handles:
        assert select.select([handle], [], [], 30)[0], "a server outlives its vgate"
        os.close(handle)
    async with ground.cluster() as started:
        assert tables(started, "shop") == [[], []]


def swap_flavour(data: Path, flavour: str) -> None:
    other = "mysql-9.0.0" if flavour == "mariadb" else "mariadb-11.0.0"
    for ready in data.glob("servers/*/*/ready"):
        ready.write_text(other)


async def test_data_of_the_other_flavour_is_not_opened(ground: Ground, installation: Programs) -> None:
    async with ground.cluster():
        pass
    swap_flavour(ground.data, installation.flavour)
    with pytest.raises(LocalError, match=f"and {installation.server} is {installation.label}: name the server"):
        async with ground.cluster():
            pass


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda schema: (schema / "shpo").mkdir(), r"shpo belongs to no keyspace of the vschema\. Did you mean shop\?"),
        (lambda schema: (schema / "x.sql").touch(), r"x\.sql: scripts belong in a directory named as their keyspace"),
        (lambda schema: schema.rmdir(), r"--schema: .* is not a directory"),
    ],
)
async def test_scripts_that_would_silently_not_be_run(
    tmp_path: Path, arrange: Callable[[Path], object], message: str
) -> None:
    (tmp_path / "schema").mkdir()
    arrange(tmp_path / "schema")
    with pytest.raises(LocalError, match=message):
        async with LocalCluster(SHOP, data=tmp_path / "data", schema=tmp_path / "schema", mysqld="true"):
            pass
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "directory"),
    [("-80", "-80"), ("-", "-"), ("a/b", "a%2Fb"), ("..", "%2E."), (".x", "%2Ex"), ("ü", "%C3%BC")],
)
def test_names_become_one_path_component(name: str, directory: str) -> None:
    assert directory_name(name) == directory
