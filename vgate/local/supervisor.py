"""Runs one server for exactly as long as its own standard input stays open.

The process that wants the server holds the other end of that pipe. When it closes the pipe, or dies in whatever way
(``kill -9`` included), the kernel reports the end of input here, and the server gets SIGTERM, and after the grace
period SIGKILL. So stopping a server and being killed are one mechanism, and no server outlives its owner. Should this
process itself be killed, Linux kills the server with it (PR_SET_PDEATHSIG; this process has one thread, so the
"parent" of that call is the whole process).

This module does not know what it runs, and imports nothing of vgate: it is started as a script, by its path, with an
interpreter that reads no environment (``python -I -S supervisor.py GRACE PROGRAM ARGUMENT...``), and stays small.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1


def spawn(command: list[str]) -> int:
    """Start the server without our lifeline as its input. Returns its process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if sys.platform == "linux":
            import ctypes

            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the call above
                os._exit(1)
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def supervise(command: list[str], grace: float) -> int:
    """Run the command until it ends, or until our input does and it was stopped. Returns its exit status."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # the wake-up pipe says which
    pid = spawn(command)
    kill_at: float | None = None
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if kill_at is None:
            timeout = None
        elif (timeout := kill_at - time.monotonic()) <= 0:
            os.kill(pid, signal.SIGKILL)
            timeout = None
        ready, _, _ = select.select([wake] if kill_at is not None else [wake, 0], [], [], timeout)
        asked = wake in ready and signal.SIGTERM in os.read(wake, 512)
        if (asked or (0 in ready and not os.read(0, 512))) and kill_at is None:
            os.kill(pid, signal.SIGTERM)
            kill_at = time.monotonic() + grace


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[2:], float(sys.argv[1])))
