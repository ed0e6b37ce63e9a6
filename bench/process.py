"""What the kernel says about a running process: CPU time spent, memory resident now and at its highest.

A process counts with its children, so that it does not matter how a proxy is made up. Linux only; knows no proxies.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes resident now, and at the highest since the last ``reset_peak``."""

    now: int
    peak: int


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its children that live."""
    total = 0
    for each in _family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * _TICK


def memory(pid: int) -> Memory:
    """The sum over the process and its children. Peaks need not coincide: their sum is never too low."""
    now = peak = 0
    for each in _family(pid):
        status = Path(f"/proc/{each}/status").read_text()
        now += _kilobytes(status, "VmRSS") * 1024
        peak += _kilobytes(status, "VmHWM") * 1024
    return Memory(now, peak)


def reset_peak(pid: int) -> None:
    """Let the peak begin anew at what is resident now."""
    for each in _family(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")


def machine() -> str:
    """This machine in a few words."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory_size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory_size:.0f} GB, "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def _kilobytes(status: str, name: str) -> int:
    match = re.search(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE)
    return int(match[1]) if match else 0
