"""Which server is installed on this machine: finds the programs and asks them what they are.

A server is MariaDB or MySQL of any version; beside it belong a command-line client (which runs schema scripts) and,
for MariaDB, ``mariadb-install-db``. The first ``mariadbd`` or ``mysqld`` on PATH or in the places where packages put
it is taken, unless one is named. This module does not start servers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vgate.errors import ConfigError
from vgate.sql.versioned import Flavour

SERVER_DIRECTORIES = (
    "/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/bin", "/usr/local/mysql/bin",
    "/opt/homebrew/bin", "/opt/homebrew/opt/mysql/bin", "/opt/homebrew/opt/mariadb/bin",
)  # fmt: skip
INSTALL = (
    "Install one (Debian, Ubuntu: `apt install mariadb-server-core mariadb-client-core`; Fedora: `dnf install "
    "mariadb-server mariadb`; macOS: `brew install mariadb`), or name one with --mysqld."
)
_VERSION = re.compile(r"Ver (\d+\.\d+\.\d+)")


class LocalError(ConfigError):
    """A private server cannot be made or started. ``str(error)`` says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """One installation. ``client`` and ``install_db`` are None where they were not found."""

    server: Path
    flavour: Flavour
    version: str
    client: Path | None
    install_db: Path | None

    @property
    def label(self) -> str:
        """For people and for directory names: ``mariadb-10.11.19``."""
        return f"{self.flavour}-{self.version}"


def find_programs(mysqld: str | None = None) -> Programs:
    """The installation of the named server program (a path, or a name on PATH), or the first one found.

    Raises LocalError.
    """
    server = _named(mysqld) if mysqld is not None else _first(("mariadbd", "mysqld"), _search_path())
    if server is None:
        raise LocalError(f"No MariaDB or MySQL server was found on PATH or in the usual places. {INSTALL}")
    banner = _banner(server)
    number = _VERSION.search(banner)
    if number is None:
        raise LocalError(f"{server} does not answer --version as MariaDB or MySQL would, but: {banner or 'nothing'}")
    flavour = Flavour.MARIADB if "mariadb" in banner.lower() else Flavour.MYSQL
    near = (server.parent, server.parent.parent / "bin", server.parent.parent / "scripts")
    places = [*map(str, near), *_search_path()]
    clients = ("mariadb", "mysql") if flavour is Flavour.MARIADB else ("mysql", "mariadb")
    installers = ("mariadb-install-db", "mysql_install_db")
    return Programs(
        server=server,
        flavour=flavour,
        version=number.group(1),
        client=_first(clients, places),
        install_db=_first(installers, places) if flavour is Flavour.MARIADB else None,
    )


def _named(mysqld: str) -> Path | None:
    found = shutil.which(mysqld)
    if found is None:
        raise LocalError(f"--mysqld: {mysqld} is not a program that can be run. Give the path of mariadbd or mysqld.")
    return Path(found).absolute()


def _search_path() -> list[str]:
    return [*os.environ.get("PATH", os.defpath).split(os.pathsep), *SERVER_DIRECTORIES]


def _first(names: Iterable[str], directories: Iterable[str]) -> Path | None:
    path = os.pathsep.join(directories)
    found = (shutil.which(name, path=path) for name in names)
    return next((Path(program).absolute() for program in found if program), None)


def _banner(server: Path) -> str:
    try:
        answer = subprocess.run(
            [server, "--no-defaults", "--version"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalError(f"{server} cannot be run: {error}") from error
    return (answer.stdout + answer.stderr).strip()
