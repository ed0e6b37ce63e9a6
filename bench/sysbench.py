"""Runs sysbench with ``load.lua``, or a script of its own, and reads what it counted.

sysbench is C and LuaJIT: of the two cores of a small machine it takes little from what is measured. It does not know
which proxy it talks to; CPU time is taken by the caller.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.client import Endpoint
from bench.proxies import BenchError

SCRIPT: Final = Path(__file__).with_name("load.lua")
MARGIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Count:
    """What one run came to: statements, seconds, and the mean and 99th percentile of their milliseconds."""

    events: int
    seconds: float
    mean: float
    late: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def run(
    endpoint: Endpoint, clients: int, seconds: float, options: Mapping[str, str], *, script: str = str(SCRIPT),
    prepared: bool = False,
) -> Count:
    """Load from ``clients`` connections, for whole seconds. Raises BenchError for any error an answer carries.

    ``script``: a file, or the name of one of sysbench's own. ``prepared``: it prepares its statements.
    """
    program = shutil.which("sysbench")
    if program is None:
        raise BenchError("sysbench was not found: install it (make bench does), or name cases that need none")
    command = [
        program, script, "--db-driver=mysql", f"--mysql-host={endpoint.host}", f"--mysql-port={endpoint.port}",
        f"--mysql-user={endpoint.user}", f"--mysql-password={endpoint.password}", f"--mysql-db={endpoint.database}",
        "--mysql-ignore-errors=none", f"--db-ps-mode={'auto' if prepared else 'disable'}", f"--threads={clients}",
        "--events=0", f"--time={max(1, round(seconds))}", "--percentile=99",
        *(f"--{name}={value}" for name, value in options.items()), "run",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + MARGIN)
    except subprocess.TimeoutExpired as late:
        raise BenchError(f"sysbench did not end within {MARGIN:g} seconds of its time: {late.output}") from late
    if done.returncode != 0 or "FATAL" in done.stderr + done.stdout:
        raise BenchError(f"sysbench failed: {_complaint(done.stdout + done.stderr)}")
    return read(done.stdout)


def read(said: str) -> Count:
    """The numbers in sysbench's report."""
    return Count(
        events=int(_number(r"total number of events:\s+(\d+)", said)),
        seconds=_number(r"total time:\s+([\d.]+)s", said),
        mean=_number(r"avg:\s+([\d.]+)", said),
        late=_number(r"99th percentile:\s+([\d.]+)", said),
    )


def _complaint(said: str) -> str:
    fatal = [line for line in said.splitlines() if "FATAL" in line or "error" in line]
    return " ".join(fatal[:3]) or said[-500:]


def _number(pattern: str, said: str) -> float:
    match = re.search(pattern, said)
    if match is None:
        raise BenchError(f"sysbench's report has no {pattern}:\n{said[-2000:]}")
    return float(match[1])
