"""Processes of vgate that are forked from one that has loaded it: what ``vgate ARGUMENTS`` does, without the second
that Python takes to load it all.

Run as a program it is that process: for each request on the socket that it is given it forks one that becomes vgate,
and one that waits for it and says how it ended. It knows nothing of vgate but where its command line begins.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from vgate.cli import main as vgate_main

_STATUS = struct.Struct("<i")
_REQUEST = 1 << 16


@dataclass(slots=True)
class ForkedProcess:
    """A process as ``subprocess.Popen`` has it."""

    pid: int
    stdout: IO[str]
    ended: int
    """Where its status can be read once it has ended."""
    returncode: int | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> int | None:
        """Its exit status (negative: the signal that ended it), None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("vgate", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        with self._turn:
            if self.returncode is None and select.select([self.ended], [], [], timeout)[0]:
                status = os.read(self.ended, _STATUS.size)
                os.close(self.ended)
                self.returncode = _STATUS.unpack(status)[0] if status else -signal.SIGKILL
            return self.returncode


class Forks:
    """The process that forks others."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd=Path(__file__).resolve().parent.parent,
            )  # fmt: skip

    def start(self, arguments: Sequence[str], stderr: IO[Any]) -> ForkedProcess:
        """Start ``vgate ARGUMENTS``, in the repository's directory."""
        output, its_output = os.pipe()
        ended, its_end = os.pipe()
        try:
            request = json.dumps(list(arguments)).encode()
            socket.send_fds(self._socket, [request], [its_output, stderr.fileno(), its_end])
        finally:
            os.close(its_output)
            os.close(its_end)
        pid = _STATUS.unpack(self._socket.recv(_STATUS.size, socket.MSG_WAITALL))[0]
        return ForkedProcess(pid, TextIOWrapper(open(output, "rb", buffering=0), line_buffering=True), ended)

    def close(self) -> None:
        """No more are wanted; those that run go on."""
        self._socket.close()
        self._process.wait()


def _serve(requests: socket.socket) -> list[str]:
    """Fork for each request. Returns in the child, with its arguments; ends in the parent."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _REQUEST, 3)
        if not request:
            sys.exit(0)
        stdout, stderr, ended = descriptors
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            pid = os.fork()
            if pid:
                requests.send(_STATUS.pack(pid))
                requests.close()
                _report(pid, ended, (0, 1, 2, stdout, stderr))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            requests.close()
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            for descriptor in descriptors:
                os.close(descriptor)
            arguments: list[str] = json.loads(request)
            return arguments
        for descriptor in descriptors:
            os.close(descriptor)


def _report(pid: int, ended: int, others: Sequence[int]) -> None:
    """Say how the process has ended, and end; these descriptors are not ours."""
    for descriptor in others:
        os.close(descriptor)
    os.write(ended, _STATUS.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def main() -> int:
    """Be the process that forks, and in each of its children vgate."""
    import_module("vgate.app")
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        arguments = _serve(requests)
    sys.argv = ["vgate", *arguments]
    return vgate_main()


if __name__ == "__main__":
    sys.exit(main())
