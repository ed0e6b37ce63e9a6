"""The name in a COM_INIT_DB, read as MariaDB and MySQL read it.

It does not know which databases there are.
"""

from __future__ import annotations

from typing import Final

from vgate.errors import INVALID_CHARACTERS, LONG_DATABASE_NAME, NO_DATABASE, WRONG_DATABASE_NAME
from vgate.sql.names import decoded
from vgate.sql.versioned import Flavour

LONGEST: Final = 64
"""Characters in a database's name."""

_LONGEST_BYTES: Final = 3 * LONGEST
_UTF8: Final = frozenset({"utf8", "utf8mb3", "utf8mb4"})


def database_name(raw: bytes, charset: str, flavour: Flavour) -> str:
    """The name, which may have more behind it than a database's name: a shard, say.

    MySQL takes what stands before a NUL or anything that is no character; MariaDB takes neither. Raises NO_DATABASE,
    WRONG_DATABASE_NAME, LONG_DATABASE_NAME, INVALID_CHARACTERS.
    """
    name = decoded(raw, charset)
    if charset in _UTF8:
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            if flavour is Flavour.MARIADB:
                shown = "".join(f"\\x{byte:02X}" for byte in raw[error.start : error.start + 6])
                raise INVALID_CHARACTERS(charset=charset, text=shown) from None
            name = raw[: error.start].decode()
    before, nul, _ = name.partition("\0")
    if nul:
        if flavour is Flavour.MARIADB:
            raise WRONG_DATABASE_NAME(name=before)
        name = before
    if not raw or (not name and not nul):
        raise NO_DATABASE()
    alone = name.partition(":")[0].partition("@")[0]
    if len(alone) > LONGEST and flavour is Flavour.MYSQL and len(alone.encode()) <= _LONGEST_BYTES and alone[-1] != " ":
        raise LONG_DATABASE_NAME(name=name)
    if len(alone) > LONGEST or alone.endswith(" "):
        raise WRONG_DATABASE_NAME(name=name)
    return name
