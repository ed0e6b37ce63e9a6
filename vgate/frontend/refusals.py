"""The commands that vgate does not do, and what MariaDB and MySQL say to a client who may not do them either.

Replication, cloning, RELOAD and SHUTDOWN are a server's business, and need privileges that no client of vgate has. What
a server does not know is ``Unknown command``. It does not know the commands that are answered.
"""

from __future__ import annotations

from typing import Final

from vgate.errors import (
    ACCESS_DENIED,
    MALFORMED,
    NO_SUCH_THREAD,
    PRIVILEGE_NEEDED,
    UNKNOWN_COMMAND,
    UNSUPPORTED_PREPARED,
    SqlError,
)
from vgate.sql.versioned import Flavour

_REGISTER_REPLICA: Final = 0x15
_KILL: Final = 0x0C
_BULK_EXECUTE: Final = 0xFA
_GROUP_REPLICATION: Final = 0x21

_PRIVILEGES: Final = {
    Flavour.MARIADB: {0x07: "RELOAD", 0x08: "SHUTDOWN", 0x12: "REPLICATION SLAVE"},
    Flavour.MYSQL: {0x12: "REPLICATION SLAVE", 0x1E: "REPLICATION SLAVE", 0x20: "BACKUP_ADMIN", 0x21: ""},
}
"""REFRESH, SHUTDOWN, BINLOG_DUMP; BINLOG_DUMP_GTID, CLONE, SUBSCRIBE_GROUP_REPLICATION_STREAM (without a name)."""

_BULK_HEAD: Final = 7
"""The command, the statement's id and two bytes of flags."""


def refusal(payload: bytes, flavour: Flavour, user: str) -> SqlError:
    """The error that answers a command which vgate does not do."""
    command = payload[0]
    privilege = _PRIVILEGES[flavour].get(command)
    if privilege is not None:
        return PRIVILEGE_NEEDED(privilege=privilege)
    if command == _REGISTER_REPLICA:
        return ACCESS_DENIED(user=user, host="%", used="YES")
    if flavour is Flavour.MARIADB:
        if command == _KILL:  # cut off: it takes the number that is not there for 0
            return NO_SUCH_THREAD(id=0)
        if command == _BULK_EXECUTE:
            return MALFORMED(what="cut off") if len(payload) < _BULK_HEAD else UNSUPPORTED_PREPARED()
    return UNKNOWN_COMMAND()


def is_last(payload: bytes, flavour: Flavour) -> bool:
    """True if the server hangs up after its refusal."""
    return flavour is Flavour.MYSQL and payload[0] == _GROUP_REPLICATION
