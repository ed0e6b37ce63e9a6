"""The cases whose figure is memory: large results read by a slow client, and many clients that are idle.

Each is measured on a proxy of its own, started for it and warmed up with a small statement of the same kind, so that
what is loaded once does not count. Peaks come from the kernel, not from samples. HAProxy is the control: it shows what
a proxy with back-pressure takes. Rates are not measured here.
"""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench import statements
from bench.cases import TARGET
from bench.client import Client
from bench.process import cpu_seconds, memory, reset_peak
from bench.proxies import VGATE, BenchError, Way
from bench.servers import ROWS

MEGABYTE: Final = 1 << 20
RECEIVE_BUFFER: Final = 1 << 16
"""Bytes that the slow client's own kernel may hold back for it."""

TIMEOUT: Final = 300.0
QUIET_WITHIN: Final = 10.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large: megabytes of a result and of a row, clients; ``pace`` is bytes a second after ``stall`` seconds."""

    result: int = 1024
    row: int = 500
    clients: int = 1000
    pace: float = 100.0 * MEGABYTE
    stall: float = 2.0


@dataclass(frozen=True, slots=True)
class SlowRead:
    """One large answer of ``megabytes``; ``sql`` has a place for how many ``units`` make it, and 1 warms up."""

    name: str
    sql: str
    units: int
    megabytes: int
    targeted: bool
    tls: bool
    sizes: Sizes
    limit: int = 64 * MEGABYTE

    def grown(self, way: Way) -> int:
        """From before the statement to the highest point."""
        with Client(way.endpoint(tls=self.tls), TIMEOUT, RECEIVE_BUFFER) as client:
            if self.targeted and way.name == VGATE:
                client.rows(TARGET)
            client.drain(self.sql.format(1))
            pid = _pid(way)
            reset_peak(pid)
            before = memory(pid).now
            drained = client.drain(self.sql.format(self.units), self.sizes.pace, self.sizes.stall)
            after = memory(pid).peak
        if drained.size < self.megabytes * MEGABYTE:
            raise BenchError(f"{way.name}: {self.name} came to {drained.size} bytes only")
        return after - before


@dataclass(frozen=True, slots=True)
class IdleClients:
    """Clients that have logged in, asked once, and stay."""

    name: str
    count: int
    tls: bool
    limit: int = 60 * MEGABYTE

    def grown(self, way: Way) -> int:
        """From after the first client to all of them idle."""
        _allow_files(self.count + 200)
        with ExitStack() as stack:
            pid = _pid(way)
            before = 0
            for number in range(self.count + 1):
                client = stack.enter_context(Client(way.endpoint(tls=self.tls)))
                client.rows(statements.POINT % (number + 1))
                before = before or memory(pid).now
            _until_quiet(pid)
            return memory(pid).now - before


MemoryCase = SlowRead | IdleClients


def memory_cases(sizes: Sizes) -> dict[str, list[MemoryCase]]:
    """By the name that the command line knows."""
    row_bytes = -(-sizes.result * MEGABYTE // ROWS)
    large_row = "SELECT REPEAT('x', {} * 1024 * 1024)"
    kinds = (("plain", False), ("TLS", True))
    slow = (
        ("result of {:,} MB from one shard", "SELECT REPEAT('x', {}) FROM one_wide", row_bytes, sizes.result, True),
        ("result of {:,} MB from both shards", "SELECT REPEAT('x', {}) FROM wide", row_bytes, sizes.result, False),
        ("row of {:,} MB", large_row, sizes.row, sizes.row, True),
    )
    return {
        "slow": [
            SlowRead(f"{what.format(size)}, slow client, {kind}", sql, units, size, targeted, tls, sizes)
            for what, sql, units, size, targeted in slow
            for kind, tls in kinds
        ],
        "idle": [IdleClients(f"{sizes.clients:,} idle clients, {kind}", sizes.clients, tls) for kind, tls in kinds],
    }


def _pid(way: Way) -> int:
    assert way.pid is not None, "memory is measured of proxies"
    return way.pid


def _until_quiet(pid: int) -> None:
    """Until the process has used no CPU time for half a second."""
    until = time.monotonic() + QUIET_WITHIN
    last = -1.0
    while last != (now := cpu_seconds(pid)) and time.monotonic() < until:
        last = now
        time.sleep(0.5)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise BenchError(f"{count} connections need as many open files, and {hard} are allowed (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
