"""One private server in a directory of its own: made from a template, started, watched until it answers, stopped.

Initialising a data directory takes MariaDB one and MySQL ten seconds, so it is done once for each flavour and version
and kept as a template; a new server is a copy. Servers are small (tens of MB), listen on a unix socket and on a free
loopback port, read no option file, and live no longer than the process that holds the ``LocalServer`` (see
``supervisor``). The account is ``root`` without a password, from this machine only.

This module does not know keyspaces or shards, and speaks no SQL beyond the accounts: scripts are run by the server's
own command-line client, because only that reads scripts as their authors meant them (DELIMITER, ``source``, the
output of mysqldump) and says at which line they failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from vgate.local import supervisor
from vgate.local.programs import INSTALL, LocalError, Programs
from vgate.sql.versioned import Flavour
from vgate.vschema.model import Address

SOCKET_PATH_LIMIT = 103
"""Bytes of a unix socket's path that every system takes (Linux 107, macOS 103)."""

GRACE = 20.0
"""Seconds a server may take to shut down before it is killed."""

PORT_ATTEMPTS = 5
LOG_TAIL = 4000

_SMALL = (
    "--key-buffer-size=1M",
    "--innodb-buffer-pool-size=48M",
    "--innodb-log-buffer-size=4M",
    "--table-open-cache=400",
    "--table-definition-cache=400",
    "--max-connections=500",
    "--max-allowed-packet=64M",
    "--performance-schema=OFF",
    # The machine's slots for it (fs.aio-max-nr) are few; MySQL does not start where they are taken.
    "--innodb-use-native-aio=OFF",
)
_FLAVOURED = {
    Flavour.MARIADB: ("--innodb-log-file-size=16M",),
    # NULL: the compiled-in directory for files belongs to the system's own server, and may be unreadable for us.
    Flavour.MYSQL: ("--loose-mysqlx=OFF", "--loose-innodb-redo-log-capacity=16M", "--secure-file-priv=NULL"),
}
# 2, not 0: what is committed survives kill -9 of the server, only not a crash of the machine.
_RELAXED = ("--innodb-flush-log-at-trx-commit=2", "--loose-sync-binlog=0", "--loose-innodb-flush-method=nosync",
            "--loose-innodb-doublewrite=OFF")  # fmt: skip
_DURABLE = ("--innodb-flush-log-at-trx-commit=1",)

_ACCOUNTS = """\
SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
"""


class LocalServer:
    """A server under ``directory``, made from a template under ``templates`` when it is new.

    ``databases`` exist once it is ready. ``relaxed`` is for tests: data need not survive the machine, and stopping
    is killing. ``options`` are further options of the server program. ``keep_open`` are file descriptors that stay
    open for as long as the server runs.
    """

    def __init__(
        self,
        programs: Programs,
        directory: Path,
        *,
        templates: Path,
        label: str = "",
        databases: Sequence[str] = (),
        tcp: bool = True,
        binlog: bool = False,
        relaxed: bool = False,
        options: Sequence[str] = (),
        keep_open: Sequence[int] = (),
    ) -> None:
        self.programs = programs
        self.directory = directory.absolute()
        self.label = label or directory.name
        self.version = ""  # as the server announces it, e.g. 10.11.19-MariaDB; empty until it has started
        self.port = 0  # chosen at the first start and kept from then on, so that a restart is found again
        self.unix_socket = str(self.directory / "server.sock")
        self._templates = templates.absolute()
        self._databases = tuple(databases)
        self._tcp = tcp
        self._grace = 0.0 if relaxed else GRACE
        self._options = (
            *_SMALL, *_FLAVOURED[programs.flavour], *(_RELAXED if relaxed else _DURABLE),
            *(("--log-bin=binlog", "--binlog-format=ROW", f"--server-id={_server_id(self.directory)}") if binlog
              else ("--skip-log-bin",)),
            *options,
        )  # fmt: skip
        self._keep_open = tuple(keep_open)
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = f"port {self.port}" if self.running else "stopped"
        return f"<LocalServer {self.label} {self.programs.label} {state}>"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """What the server writes about itself."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The server's own process id, while it runs (its supervisor is another process)."""
        return int((self.directory / "server.pid").read_text())

    def address(self, database: str) -> Address:
        """How to reach a database of it."""
        return Address(
            user="root", password="", database=database, host="127.0.0.1", port=self.port, unix_socket=self.unix_socket
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self, within: float = 120.0) -> None:
        """Start and wait until it answers. Raises LocalError with the end of its log where it does not."""
        if self.running:
            return
        await self.stop()  # it may have ended by itself
        data = self.directory / "data"
        if not data.exists():
            template = await make_template(self.programs, self._templates)
            await asyncio.to_thread(_copy_template, template, data)
        self._clear_remains()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            if self._tcp and (attempt > 1 or not self.port):
                self.port = _free_port()
            log_start = self.log.stat().st_size if self.log.exists() else 0
            self._launch(data)
            try:
                async with asyncio.timeout(within):
                    self.version = await self._greeting()
                return
            except TimeoutError:
                failure = f"did not answer within {within:g} seconds"
            except _EndedError as ended:
                failure = f"ended with status {ended.status} while starting"
            except BaseException:
                await self.stop()
                raise
            await self.stop()
            tail = _tail(self.log, log_start)
            if "Address already in use" not in tail:
                break  # anything else would fail again
        raise LocalError(f"The {self.programs.label} server for {self.label} {failure}. {self.log} ends:\n{tail}")

    async def stop(self) -> None:
        """Shut down cleanly, or kill after the grace period. Does nothing where nothing runs."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.shield(asyncio.to_thread(process.wait))  # bounded: the supervisor kills after its grace
        self._remove_socket()  # a killed server leaves it behind

    def kill(self) -> None:
        """``kill -9`` the server itself, as a crash would; ``stop`` or ``start`` goes on from there."""
        os.kill(self.pid, 9)
        if self._process is not None:
            self._process.wait()

    def _launch(self, data: Path) -> None:
        accounts = self.directory / "accounts.sql"
        databases = (f"CREATE DATABASE IF NOT EXISTS {_quoted(name)};\n" for name in self._databases)
        accounts.write_text(_ACCOUNTS + "".join(databases))
        command = [
            str(self.programs.server), "--no-defaults", *_as_root(), f"--datadir={data}",
            f"--socket={self.unix_socket}", f"--pid-file={self.directory / 'server.pid'}", f"--init-file={accounts}",
            # Servers take away each other's #sql files where they share a directory.
            f"--tmpdir={self.directory / 'tmp'}",
            "--character-set-server=utf8mb4", "--skip-name-resolve",
            *(("--bind-address=127.0.0.1", f"--port={self.port}") if self._tcp else ("--skip-networking",)),
            *self._options,
        ]  # fmt: skip
        supervised = [sys.executable, "-I", "-S", supervisor.__file__, str(self._grace), *command]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal is for vgate, which stops its servers in order.
            self._process = subprocess.Popen(
                supervised, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.directory,
                start_new_session=True, pass_fds=self._keep_open,
            )  # fmt: skip

    async def _greeting(self) -> str:
        """Connect until the server greets; its version. Raises _EndedError where the server ends before that."""
        while True:
            if self._process is None or (status := self._process.poll()) is not None:
                raise _EndedError(status if self._process else -1)
            version = await read_version(self.unix_socket)
            if version:
                return version
            await asyncio.sleep(0.02)  # the socket's appearance can only be polled; bounded by the caller's timeout

    def _remove_socket(self) -> None:
        for name in (self.unix_socket, f"{self.unix_socket}.lock"):
            Path(name).unlink(missing_ok=True)

    def _clear_remains(self) -> None:
        """Take away what a killed server leaves behind: MySQL refuses to start over a lock whose id lives again."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "tmp").mkdir(exist_ok=True)
        self.unix_socket = str(short_socket_path(self.directory))
        self._remove_socket()
        (self.directory / "server.pid").unlink(missing_ok=True)

    # -- scripts --------------------------------------------------------------------------------------------------

    async def run_script(self, script: Path, database: str) -> None:
        """Run an SQL script with the command-line client, up to its first error.

        Raises LocalError naming the script, the line where the failed statement starts, and the server's message.
        """
        if self.programs.client is None:
            raise LocalError(f"Running {script} needs the mariadb or mysql command-line client. {INSTALL}")
        command = [
            str(self.programs.client), "--no-defaults", f"--socket={self.unix_socket}", "--protocol=socket",
            "--user=root", "--default-character-set=utf8mb4", "--comments", "--batch", database,
        ]  # fmt: skip
        with script.open("rb") as source:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=source, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            try:
                _, message = await process.communicate()
            except asyncio.CancelledError:
                await _end(process)
                raise
        if process.returncode != 0:
            raise LocalError(_script_failure(script, self.label, message.decode("utf-8", "replace")))


class _EndedError(Exception):
    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


def _script_failure(script: Path, label: str, said: str) -> str:
    """What the client said, led by file and line. (MariaDB's client repeats the whole statement before its error.)"""
    error = re.search(r"^ERROR \d+.*? at line (\d+).*", said, re.MULTILINE | re.DOTALL)
    where, why = (f"{script}:{error[1]}", error[0]) if error else (str(script), said or "the client said nothing")
    return f"{where}: failed on {label}: {why.strip()}"


# -- templates ----------------------------------------------------------------------------------------------------


async def make_template(programs: Programs, templates: Path) -> Path:
    """The initialised data directory of that installation, made if it is not there yet. Raises LocalError."""
    template = templates / programs.label
    if template.exists():
        return template
    making = _scratch_directory(template)
    try:
        await _initialise(programs, making)
        _take_place(making, template)
    finally:
        await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)
    return template


def _scratch_directory(template: Path) -> Path:
    template.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{template.name}.", dir=template.parent))


def _take_place(making: Path, template: Path) -> None:
    """Rename, unless another process was faster: its template is as good."""
    try:
        making.rename(template)
    except OSError:
        if not template.exists():
            raise


async def _initialise(programs: Programs, data: Path) -> None:
    small = (f"--datadir={data}", *_as_root(), *_FLAVOURED[programs.flavour])
    if programs.flavour is Flavour.MYSQL:
        command = [str(programs.server), "--no-defaults", "--initialize-insecure", *small]
    elif programs.install_db is None:
        raise LocalError(f"{programs.server} is MariaDB, but mariadb-install-db was not found beside it. {INSTALL}")
    else:
        tarball = programs.install_db.parent.name == "scripts"
        command = [
            str(programs.install_db), "--no-defaults",
            *([f"--basedir={programs.install_db.parent.parent}"] if tarball else []), *small,
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        ]  # fmt: skip
    # A server that starts takes away the #sql files of every other that shares its temporary directory.
    with tempfile.TemporaryDirectory(prefix=".tmp.", dir=data.parent, ignore_cleanup_errors=True) as temporary:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env={**os.environ, "TMPDIR": temporary},
        )  # fmt: skip
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            await _end(process)
            raise
    if process.returncode != 0:
        said = output.decode("utf-8", "replace")[-LOG_TAIL:]
        raise LocalError(f"{programs.label}: initialising a data directory failed ({' '.join(command)}):\n{said}")
    (data / "auto.cnf").unlink(missing_ok=True)  # MySQL's server uuid, which copies must not share


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a program whose caller went away; it may have ended by itself just now."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _copy_template(template: Path, data: Path) -> None:
    """Copy so that a data directory that exists is whole."""
    data.parent.mkdir(parents=True, exist_ok=True)
    making = data.with_name("data.new")
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(template, making)
    making.rename(data)


# -- small facts about this machine -------------------------------------------------------------------------------


async def read_version(unix_socket: str) -> str:
    """The version in the greeting of the server behind a socket; empty where none answers yet."""
    try:
        reader, writer = await asyncio.open_unix_connection(unix_socket)
    except OSError:
        return ""
    try:
        header = await reader.readexactly(4)
        greeting = await reader.readexactly(int.from_bytes(header[:3], "little"))
    except (OSError, asyncio.IncompleteReadError):
        return ""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if greeting[0] != 10:  # an ERR packet: shutting down, too many connections
        return ""
    return greeting[1 : greeting.index(0, 1)].decode("latin-1").removeprefix("5.5.5-")  # MariaDB 10's disguise


def short_socket_path(directory: Path) -> Path:
    """``directory/server.sock``, or where that is too long for a unix socket, a place under the temporary directory.

    That place has a fixed name, so that a killed server's socket is found and taken away at the next start, and is
    used only if it is ours alone.
    """
    path = directory / "server.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    place = Path(tempfile.gettempdir()) / f"vgate-{os.geteuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    status = place.lstat()
    if place.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise LocalError(f"{place} is not a directory of yours alone: remove it, or choose a shorter --data path.")
    return place / f"{_digest(directory)}.sock"


def _digest(directory: Path) -> str:
    return hashlib.blake2s(os.fsencode(directory), digest_size=8).hexdigest()


def _server_id(directory: Path) -> int:
    return int(_digest(directory)[:7], 16) + 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _as_root() -> tuple[str, ...]:
    """Servers refuse to run as root unless told so."""
    return ("--user=root",) if os.geteuid() == 0 else ()


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        return _read_tail(file, start)


def _read_tail(file: IO[bytes], start: int) -> str:
    file.seek(0, os.SEEK_END)
    file.seek(max(start, file.tell() - LOG_TAIL))
    return file.read().decode("utf-8", "replace")
