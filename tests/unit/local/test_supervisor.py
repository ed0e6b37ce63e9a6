"""The supervisor against shell commands: every way in which a server and its owner can end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vgate.local import supervisor

OBEDIENT = "echo $$; exec sleep 1000"
STUBBORN = "trap '' TERM; echo $$; while :; do sleep 1000; done"


@contextmanager
def supervised(script: str, grace: float = 20.0) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-I", "-S", supervisor.__file__, str(grace), "/bin/sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def server_pid(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def wait_gone(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 20)[0], f"process {pid} still runs"
    finally:
        os.close(handle)


def test_the_end_of_input_stops_the_server_with_sigterm() -> None:
    with supervised(OBEDIENT) as process:
        pid = server_pid(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 128 + signal.SIGTERM
        wait_gone(pid)


def test_a_server_that_will_not_go_is_killed_after_the_grace_period() -> None:
    with supervised(STUBBORN, grace=0.1) as process:
        pid = server_pid(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 128 + signal.SIGKILL
        wait_gone(pid)


def test_sigterm_to_the_supervisor_stops_the_server_too() -> None:
    with supervised(OBEDIENT) as process:
        pid = server_pid(process)
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
        wait_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_server_dies_with_a_supervisor_that_is_killed() -> None:
    with supervised(STUBBORN) as process:
        pid = server_pid(process)
        process.kill()
        wait_gone(pid)


def test_the_owner_of_the_pipe_is_killed(tmp_path: Path) -> None:
    owner = f"""
import subprocess, sys
process = subprocess.Popen([sys.executable, "-I", "-S", {supervisor.__file__!r}, "20", "/bin/sh", "-c", {OBEDIENT!r}],
                           stdin=subprocess.PIPE)
process.wait()
"""
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE) as process:
        pid = server_pid(process)
        process.kill()
        process.wait()
        wait_gone(pid)


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9)])
def test_its_status_is_the_servers(script: str, status: int) -> None:
    with supervised(script) as process:
        assert process.wait(20) == status


def test_the_servers_own_input_is_not_the_lifeline() -> None:
    with supervised("read line; echo read=$line") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"not for the server\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"read=\n"


def test_a_program_that_cannot_be_run_is_named() -> None:
    command = [sys.executable, "-I", "-S", supervisor.__file__, "1", "/nowhere/mysqld"]
    ended = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=20)
    assert ended.returncode != 0
    assert "cannot run /nowhere/mysqld: No such file" in ended.stderr
