"""The kinds of server: what a versioned comment means depends on them.

This module does not know connections: who asks a server what it is, tells it here.
"""

from __future__ import annotations

from enum import StrEnum


class Flavour(StrEnum):
    """The two kinds of backend server."""

    MARIADB = "mariadb"
    MYSQL = "mysql"
