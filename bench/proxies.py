"""The two proxies as processes: HAProxy in TCP mode with one thread, and ``vgate serve`` with one worker.

Both are started as a user would, each on a port of its own, and can be profiled or measured by their process id.
It does not know statements.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import yaml

from bench.client import Endpoint
from bench.servers import DATABASE, LOWER, OLTP, PASSWORD, SEQUENCES, UPPER, USER, WHOLE, Servers
from vgate.config import native_hash

REPOSITORY: Final = Path(__file__).resolve().parent.parent
READY_WITHIN: Final = 30.0
END_WITHIN: Final = 30.0
DIRECT, HAPROXY, VGATE = WAYS = ("direct", "haproxy", "vgate")

_HAPROXY = """\
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen mysql
  bind 127.0.0.1:{port}
  server whole 127.0.0.1:{server}
"""
_READY = re.compile(r"\bready\b")
_PORT = re.compile(r"(?:\d+\.\d+\.\d+\.\d+|localhost):(\d+)")


class BenchError(Exception):
    """The figures cannot be got. ``str(error)`` says why."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the rows: ``direct``, ``haproxy`` or ``vgate``. ``pid`` is the proxy's, None where there is none."""

    name: str
    port: int
    pid: int | None = None
    version: str = ""

    def endpoint(self, *, tls: bool = False) -> Endpoint:
        """How a client logs in here."""
        return Endpoint(self.port, USER, PASSWORD, DATABASE, tls)


@contextmanager
def open_way(name: str, servers: Servers, directory: Path, prefix: Sequence[str] = ()) -> Iterator[Way]:
    """The way of that name, with a proxy started for it alone. ``prefix`` goes before ``serve``'s own command."""
    if name == DIRECT:
        yield Way(DIRECT, servers.ports[WHOLE])
    elif name == HAPROXY:
        with _haproxy(servers, directory) as way:
            yield way
    else:
        with _vgate(servers, directory, prefix) as way:
            yield way


# -- HAProxy ------------------------------------------------------------------------------------------------------


@contextmanager
def _haproxy(servers: Servers, directory: Path) -> Iterator[Way]:
    program = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BenchError("haproxy was not found: install it, or leave it out with --ways direct,vgate")
    port = free_port()
    config = directory / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, server=servers.ports[WHOLE]))
    with _process([program, "-db", "-q", "-f", str(config)], directory / "haproxy.log") as process:
        _wait_for_port(process, port, directory / "haproxy.log")
        yield Way(HAPROXY, port, process.pid, _first_number(program))


def _first_number(program: str) -> str:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\d+(\.\d+)+", said)
    return match[0] if match else "?"


def _wait_for_port(process: subprocess.Popen[str], port: int, log: Path) -> None:
    until = time.monotonic() + READY_WITHIN
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise BenchError(f"haproxy does not listen: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


# -- vgate --------------------------------------------------------------------------------------------------------


@contextmanager
def _vgate(servers: Servers, directory: Path, prefix: Sequence[str]) -> Iterator[Way]:
    vschema, config, log = directory / "vschema.yaml", directory / "vgate.yaml", directory / "vgate.log"
    vschema.write_text(yaml.safe_dump(_vschema(servers), sort_keys=False))
    config.write_text(yaml.safe_dump({
        "users": {USER: {"password_hash": native_hash(PASSWORD)}},
        "tls": {"cert": str(servers.cert), "key": str(servers.key)},
    }))  # fmt: skip
    serve = [
        "serve", "--vschema", str(vschema), "--config", str(config), "--listen", f"127.0.0.1:{free_port()}",
        "--workers", "1",
    ]  # fmt: skip
    command = [*(prefix or (sys.executable,)), "-m", "vgate.cli", *serve]
    with _process(command, log) as process:
        port = _ready_port(process, log)
        yield Way(VGATE, port, process.pid, _version())


def _version() -> str:
    with contextlib.suppress(PackageNotFoundError):
        return version("vgate")
    return "?"


def _ready_port(process: subprocess.Popen[str], log: Path) -> int:
    """The port in the line that says ``ready``."""
    lines: list[str] = []
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_pass_on, args=(process, said), daemon=True).start()
    with contextlib.suppress(queue.Empty):
        while (line := said.get(timeout=READY_WITHIN)) is not None:
            lines.append(line)
            port = _PORT.search(line) if _READY.search(line) else None
            if port is not None:
                return int(port[1])
    raise BenchError(f"vgate did not become ready:\n{''.join(lines)}{log.read_text(errors='replace')[-4000:]}")


def _pass_on(process: subprocess.Popen[str], said: queue.SimpleQueue[str | None]) -> None:
    """Read its output to the end, so that it never blocks on it."""
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            said.put(line)
    said.put(None)


def _vschema(servers: Servers) -> dict[str, object]:
    return {
        "metadata_keyspace": SEQUENCES,
        "keyspaces": {
            SEQUENCES: {
                "sharded": False,
                "tables": {name: {"type": "sequence"} for name in ("items_seq", "grouped_seq")},
                "shards": {"-": _address(servers, SEQUENCES, SEQUENCES)},
            },
            OLTP: {"sharded": False, "shards": {"-": _address(servers, WHOLE, OLTP)}},
            DATABASE: {
                "sharded": True,
                "vindexes": {"hash": {"type": "hash"}},
                "tables": {
                    **{name: _by_id() for name in ("sbtest1", "wide", "narrow")},
                    "grouped": {
                        **_by_id(), "auto_increment": {"column": "id", "sequence": f"{SEQUENCES}.grouped_seq"}
                    },
                    "items": {**_by_id(), "auto_increment": {"column": "id", "sequence": f"{SEQUENCES}.items_seq"}},
                },
                "shards": {name: _address(servers, name, DATABASE) for name in (LOWER, UPPER)},
            },
        }
    }


def _by_id() -> dict[str, object]:
    return {"column_vindexes": [{"column": "id", "name": "hash"}]}


def _address(servers: Servers, name: str, database: str) -> dict[str, object]:
    return {
        "host": "127.0.0.1", "port": servers.ports[name], "user": USER, "password": PASSWORD, "database": database
    }  # fmt: skip


# -- processes ----------------------------------------------------------------------------------------------------


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command with its errors in ``log``; it is asked to end, and killed if it does not."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=REPOSITORY
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
