"""The private servers of a vschema: one for every shard that has no address, with its database and its tables.

Everything lives under one data directory, which only one ``vgate local`` uses at a time:

    .vgate/made-by-vgate      marks the directory as ours; nothing is ever removed where it is missing
    .vgate/lock               held by us and by every server we started, until the last of them has ended
    .vgate/templates/         initialised data directories, one for each flavour and version
    .vgate/servers/<keyspace>/<shard>/      one server's data, log and socket
    .vgate/servers/<keyspace>/<shard>/ready      written when the whole schema has been applied, and not before

A shard without ``ready`` is new: it is wiped and made again, so a script that failed half-way is simply mended and run
again. All new shards become ready together, after the last script of the last shard.

This module does not know tables or statements: what a script says is between its author and the server.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import errno
import fcntl
import os
import shutil
import time
import urllib.parse
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import IO

from vgate.local.programs import LocalError, Programs, find_programs
from vgate.local.server import GRACE, LocalServer
from vgate.vschema.model import Keyspace, Shard, VSchema

MARKER = "made-by-vgate"
MARKER_TEXT = "vgate local keeps its private servers in this directory; vgate local --reset removes them.\n"


class LocalCluster:
    """Private servers for the shards of ``vschema`` that have no address, for as long as the context lasts.

    ``schema`` is a directory with one directory of ``*.sql`` for each keyspace. ``reset`` starts from nothing.
    ``log`` is told what happens, a line at a time. Entering gives the VSchema with all addresses filled in.
    """

    def __init__(
        self,
        vschema: VSchema,
        *,
        data: Path,
        schema: Path | None = None,
        mysqld: str | None = None,
        log: Callable[[str], object] = lambda line: None,
        reset: bool = False,
        relaxed: bool = False,
        binlog: bool = False,
        templates: Path | None = None,
    ) -> None:
        self.servers: dict[tuple[str, str], LocalServer] = {}
        self._vschema = vschema
        self._data = data.absolute()
        self._schema = schema
        self._mysqld = mysqld
        self._log = log
        self._reset = reset
        self._relaxed = relaxed
        self._binlog = binlog
        self._templates = templates or self._data / "templates"
        self._lock: IO[str] | None = None

    async def __aenter__(self) -> VSchema:
        try:
            return await self._start()
        except BaseException:
            await self._stop()
            raise

    async def __aexit__(self, *exc: object) -> None:
        await self._stop()

    async def _start(self) -> VSchema:
        scripts = self._scripts()
        wanted = [(keyspace, shard) for keyspace in self._vschema.keyspaces.values()
                  for shard in keyspace.shards if shard.address is None]  # fmt: skip
        if not wanted and not self._reset:
            return self._vschema
        await self._claim()
        if self._reset:
            await asyncio.to_thread(shutil.rmtree, self._data / "servers", ignore_errors=True)
        if wanted:
            programs = await asyncio.to_thread(find_programs, self._mysqld)
            await self._start_servers(programs, wanted, scripts)
        return self._with_addresses()

    async def _start_servers(
        self, programs: Programs, wanted: list[tuple[Keyspace, Shard]], scripts: dict[str, list[Path]]
    ) -> None:
        new: list[tuple[str, LocalServer]] = []
        for keyspace, shard in wanted:
            directory = self._data / "servers" / directory_name(keyspace.name) / directory_name(shard.name)
            server = self._server(programs, directory, keyspace.name, shard.name)
            self.servers[keyspace.name, shard.name] = server
            if not _is_ready(directory, programs):
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
                new.append((keyspace.name, server))
        self._log(f"starting {len(wanted)} private servers ({programs.label}) under {self._data}")
        # One after the other the first time: the first makes the template that the others copy.
        first, *others = self.servers.values()
        await first.start()
        await _together(server.start() for server in others)
        await _together(_apply(server, keyspace, scripts.get(keyspace, [])) for keyspace, server in new)
        for _, server in new:
            (server.directory / "ready").write_text(f"{programs.label}\n")
        for keyspace_name, files in scripts.items():
            made = [server.label for name, server in new if name == keyspace_name]
            if made:
                self._log(f"applied {', '.join(file.name for file in files)} to {', '.join(made)}")
            elif files:
                self._log(f"keyspace {keyspace_name} has its tables already; --reset starts it afresh")

    def _server(self, programs: Programs, directory: Path, keyspace: str, shard: str) -> LocalServer:
        assert self._lock is not None
        return LocalServer(
            programs,
            directory,
            templates=self._templates,
            label=f"{keyspace}/{shard}",
            databases=[keyspace],
            relaxed=self._relaxed,
            binlog=self._binlog,
            keep_open=[self._lock.fileno()],
        )

    async def _stop(self) -> None:
        try:
            await asyncio.gather(*(server.stop() for server in self.servers.values()))
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _with_addresses(self) -> VSchema:
        keyspaces = {
            name: dataclasses.replace(keyspace, shards=tuple(self._with_address(name, s) for s in keyspace.shards))
            for name, keyspace in self._vschema.keyspaces.items()
        }
        return dataclasses.replace(self._vschema, keyspaces=keyspaces)

    def _with_address(self, keyspace: str, shard: Shard) -> Shard:
        server = self.servers.get((keyspace, shard.name))
        return shard if server is None else dataclasses.replace(shard, address=server.address(keyspace))

    # -- the schema directory -------------------------------------------------------------------------------------

    def _scripts(self) -> dict[str, list[Path]]:
        """The scripts of each keyspace in name order. Raises LocalError where they would silently not be run."""
        if self._schema is None:
            return {}
        if not self._schema.is_dir():
            raise LocalError(f"--schema: {self._schema} is not a directory. It holds KEYSPACE/*.sql.")
        found: dict[str, list[Path]] = {}
        for entry in sorted(self._schema.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.name not in self._vschema.keyspaces:
                    hint = _meant(entry.name, self._vschema)
                    raise LocalError(f"{entry} belongs to no keyspace of the vschema. {hint}")
                found[entry.name] = sorted(entry.glob("*.sql"))
            elif entry.suffix == ".sql":
                raise LocalError(f"{entry}: scripts belong in a directory named as their keyspace: move it there.")
        return found

    # -- the data directory ---------------------------------------------------------------------------------------

    async def _claim(self) -> None:
        """Make the data directory ours, and ours alone. Raises LocalError where it is not ours or in use."""
        marker = self._data / MARKER
        if not marker.exists():
            if self._data.exists() and any(self._data.iterdir()):
                raise LocalError(
                    f"--data: {self._data} is not empty and was not made by vgate local. Name a directory of its own."
                )
            self._data.mkdir(parents=True, exist_ok=True)
            marker.write_text(MARKER_TEXT)
        self._lock = (self._data / "lock").open("a+")
        deadline = time.monotonic() + GRACE + 10
        while not _try_lock(self._lock):
            self._lock.seek(0)
            owner = self._lock.read().strip()
            # Where the owner is dead its servers are still shutting down: they hold the lock, and not for long.
            if _alive(owner) or time.monotonic() > deadline:
                who = f"process {owner}" if owner else "another process"
                raise LocalError(f"{self._data} is in use by {who}: stop it, or name another directory with --data.")
            await asyncio.sleep(0.1)  # no notification exists for a lock's release; bounded by the deadline
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()


async def _apply(server: LocalServer, keyspace: str, scripts: list[Path]) -> None:
    for script in scripts:
        await server.run_script(script, keyspace)


async def _together(work: Iterable[Coroutine[object, object, None]]) -> None:
    """Run all at once; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except* LocalError as failures:
        raise failures.exceptions[0] from None


def _is_ready(directory: Path, programs: Programs) -> bool:
    """Whether the shard was made whole before. Raises LocalError where another flavour made it."""
    ready = directory / "ready"
    if not ready.exists():
        return False
    made_by = ready.read_text().strip()
    if made_by.partition("-")[0] != programs.flavour:
        raise LocalError(
            f"{directory} was made by {made_by}, and {programs.server} is {programs.label}: name the server that made "
            "it with --mysqld, or start afresh with --reset."
        )
    return True


def directory_name(name: str) -> str:
    """A keyspace's or shard's name as one path component."""
    quoted = urllib.parse.quote(name, safe="")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def _meant(name: str, vschema: VSchema) -> str:
    near = difflib.get_close_matches(name, vschema.keyspaces, n=1)
    return f"Did you mean {near[0]}?" if near else f"It has {', '.join(vschema.keyspaces)}."


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def _alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()
