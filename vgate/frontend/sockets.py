"""What a listener needs of the machine: bound TCP and unix sockets, a TLS context. Faults are ConfigErrors that help.

It does not know who connects, nor what is spoken.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import Final

from vgate.config import Listen, Tls
from vgate.errors import ConfigError

BACKLOG: Final = 1024


def tls_context(tls: Tls) -> ssl.SSLContext:
    """The TLS context of a configuration. Raises ConfigError where certificate and key cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"tls: the certificate {tls.cert} and the key {tls.key} cannot be used: {reason}. "
            "Both must be PEM files, the key without a password, and belong together."
        ) from None
    return context


def _no_password() -> str:
    """OpenSSL would ask on the terminal for a key's password."""
    raise ValueError("the key is protected by a password")


def bind_tcp(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """A listening socket for every address of ``host``, all with one port. Raises ConfigError.

    Addresses this machine does not have are left out if it has others: ``localhost`` may name ::1 without IPv6.
    """
    bound: list[socket.socket] = []
    missing: OSError | None = None
    for family, where in _addresses(host, port):
        try:
            bound.append(_bind_one(family, (where[0], port, *where[2:]), reuse_port=reuse_port))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                missing = error
                continue
            for one in bound:
                one.close()
            raise ConfigError(f"cannot listen on {Listen(host, port)}: {_reason(error)}") from None
        port = bound[0].getsockname()[1]
    if not bound:
        raise ConfigError(f"cannot listen on {Listen(host, port)}: {_reason(missing)}")
    return bound


def bind(host: str, port: int) -> socket.socket:
    """A listening socket for one address of ``host``, its first of IPv4 if it has one. Raises ConfigError."""
    first, *others = bind_tcp(host, port)
    for other in others:
        other.close()
    return first


def bind_unix(path: Path) -> socket.socket:
    """A listening unix socket; its file is the caller's to remove. Raises ConfigError as ``UnixSocket``."""
    return UnixSocket(path).socket


def _addresses(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
    """What ``host`` means, IPv4 first: programs that take only one address should get the one that always works."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot listen on {Listen(host, port)}: {host!r} is no address: {reason}") from None
    distinct = dict.fromkeys((int(family), tuple(where)) for family, _, _, _, where in found)
    return sorted(distinct, key=lambda one: one[0] != socket.AF_INET)


def _bind_one(family: int, where: tuple[object, ...], *, reuse_port: bool) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(where)
        one.listen(BACKLOG)
    except BaseException:
        one.close()
        raise
    return one


def _reason(error: OSError | None) -> str:
    """What is wrong with an address, and what to do."""
    match error.errno if error is not None else None:
        case errno.EADDRINUSE:
            return "another program listens there. Stop it, or choose another address with --listen."
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT | None:
            return "this machine has no such address. Choose another one with --listen."
        case errno.EACCES | errno.EPERM:
            return "that is not permitted; ports below 1024 need privileges. Choose another one with --listen."
        case _:
            return str(error.strerror if error is not None else "")


class UnixSocket:
    """A bound unix socket at ``path``. Raises ConfigError.

    A socket file that nobody listens on was left by a process that died, and is replaced; one in use, and any
    other file, is left alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._take_place()
            self.socket.setblocking(False)
            self.socket.bind(str(path))
            # As mysqld's: whoever can reach the file may try to log in.
            path.chmod(0o777)
            self.socket.listen(BACKLOG)
            self._inode = _inode(path)
        except OSError as error:
            self.socket.close()
            raise ConfigError(f"cannot listen on the unix socket {path}: {error.strerror or error}") from None
        except BaseException:
            self.socket.close()
            raise

    def _take_place(self) -> None:
        """Remove what a dead process left at the path."""
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigError(f"cannot listen on the unix socket {self.path}: there is a file that is no socket.")
        if _answers(self.path):
            raise ConfigError(
                f"cannot listen on the unix socket {self.path}: another program listens there. Stop it, or choose "
                "another path for unix_socket."
            )
        self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there."""
        with contextlib.suppress(OSError):
            if _inode(self.path) == self._inode:
                self.path.unlink()


def _answers(path: Path) -> bool:
    """True if somebody listens on the unix socket; also when its backlog is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _inode(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino
