"""Where vgate spends its time under one case: by py-spy where it is installed, else by Python's own profiler.

py-spy looks from outside and hardly slows vgate down, so its shares are those of real traffic. cProfile counts every
call, which makes small functions look dearer than they are. It does not know cases.
"""

from __future__ import annotations

import pstats
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LINES: Final = 30
RATE: Final = 250
END_WITHIN: Final = 30.0


def find_spy() -> str | None:
    """The py-spy program, on PATH or beside this Python; it is no dependency: ``pip install py-spy``."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def counting(output: Path) -> tuple[str, ...]:
    """What to start vgate's module with, so that Python's own profiler writes ``output`` at its end."""
    return (sys.executable, "-m", "cProfile", "-o", str(output))


@contextmanager
def spying(spy: str, pid: int, folded: Path) -> Iterator[None]:
    """Sample the process as long as the context lasts; stacks go to ``folded``, one a line with its count."""
    command = [spy, "record", "--pid", str(pid), "--rate", str(RATE), "--format", "raw", "--output", str(folded)]
    process = subprocess.Popen(
        [*command, "--duration", "86400"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def spied(folded: Path) -> list[str]:
    """The functions with most samples of their own, and with most below them."""
    if not folded.exists():
        return ["py-spy recorded nothing: it may need to run as root"]
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for line in folded.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in set(frames):
            below[frame] += int(count)
    total = own.total()
    return [
        f"{total} samples", "", "own time", *_shares(own, total), "", "with what they call", *_shares(below, total)
    ]


def _shares(counts: Counter[str], total: int) -> Sequence[str]:
    return [f"{count / total:6.1%}  {name}" for name, count in counts.most_common(LINES)]


def counted(output: Path) -> None:
    """Print what cProfile wrote."""
    pstats.Stats(str(output)).sort_stats("tottime").print_stats(LINES)
