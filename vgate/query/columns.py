"""Columns of the results that vgate makes itself, described as the servers describe their own.

It does not know values.
"""

from __future__ import annotations

from typing import Final

from vgate.backend.cluster import ServerFacts
from vgate.session.settings import Settings
from vgate.sql.versioned import Flavour
from vgate.wire.constants import FieldFlag, FieldType
from vgate.wire.packets import ColumnDefinition

_BINARY_ID: Final = 63
_UTF8MB4: Final = (45, 4)
_NO_DEFAULT: Final = 0x1000


def text_column(name: str) -> ColumnDefinition:
    """A VARCHAR column in utf8mb4, of a result that no server has."""
    return ColumnDefinition(name.encode(), FieldType.VAR_STRING)


class Columns:
    """How servers like those of ``facts`` describe columns to a session with these settings."""

    def __init__(self, facts: ServerFacts, settings: Settings) -> None:
        self._mysql = facts.flavour is Flavour.MYSQL
        charset = settings.results_charset
        self._charset, self._bytes = facts.charsets.get(charset, facts.charsets.get("utf8mb4", _UTF8MB4))
        collation = settings.values.get("collation_connection", "").strip("'")
        if collation.partition("_")[0] == charset:  # SET NAMES
            ids = (number for number, (_, name) in facts.collations.items() if name == collation)
            self._charset = next(ids, self._charset)

    def text(self, name: str, chars: int, flags: int = 0) -> ColumnDefinition:
        """A VARCHAR."""
        return ColumnDefinition(
            name.encode(), FieldType.VAR_STRING, charset=self._charset, length=chars * self._bytes, flags=flags,
            decimals=31 if self._mysql else 39,
        )  # fmt: skip

    def value(self, name: str) -> ColumnDefinition:
        """The value of a function or a system variable that speaks of the session."""
        word = name.lower().partition("(")[0].strip()
        if word in ("database", "schema"):
            return self.text(name, 64)
        if word == "connection_id" and not self._mysql:
            return _number(name, FieldType.LONG, 10, FieldFlag.NOT_NULL | FieldFlag.UNSIGNED)
        flags = FieldFlag.UNSIGNED if word.startswith("@@") else FieldFlag.NOT_NULL
        if word in ("connection_id", "last_insert_id"):
            flags |= FieldFlag.UNSIGNED
        return _number(name, FieldType.LONGLONG, 21, flags)

    def warnings(self) -> list[ColumnDefinition]:
        """SHOW WARNINGS."""
        code = _number("Code", FieldType.LONG, 5 if self._mysql else 4, FieldFlag.NOT_NULL | FieldFlag.UNSIGNED)
        return [self.text("Level", 7, FieldFlag.NOT_NULL), code, self.text("Message", 512, FieldFlag.NOT_NULL)]

    def databases(self, name: str) -> list[ColumnDefinition]:
        """SHOW DATABASES: a look into information_schema, to both servers."""
        flags = FieldFlag.NOT_NULL | _NO_DEFAULT | (FieldFlag.BINARY if self._mysql else 0)
        schema, table = (b"", b"schemata") if self._mysql else (b"information_schema", b"SCHEMATA")
        column = name.encode() if self._mysql else b"SCHEMA_NAME"
        return [ColumnDefinition(
            name.encode(), FieldType.VAR_STRING, schema=schema, table=b"SCHEMATA", org_table=table, org_name=column,
            charset=self._charset, length=64 * self._bytes, flags=flags,
        )]  # fmt: skip


def _number(name: str, type_: int, length: int, flags: int) -> ColumnDefinition:
    return ColumnDefinition(name.encode(), type_, charset=_BINARY_ID, length=length, flags=flags | FieldFlag.BINARY)
