"""Responses that name another schema than the server's: a keyspace in place of its database.

A filter (``wire.filters``): everything but the schema's name in column definitions and errors, and in rows where it is
told so, is passed on as it is. It does not know why names differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from vgate.wire.filters import PacketFilter
from vgate.wire.packets import (
    MalformedPacket,
    err_payload,
    frame,
    lenenc,
    read_column,
    read_err,
    read_text_row,
)

_LISTED: Final = b"Tables_in_"


_NAMING: Final = frozenset({
    1005, 1016, 1017, 1030, 1034, 1051, 1054, 1103, 1109, 1142, 1143, 1146, 1194, 1195, 1305, 1318, 1347, 1356, 1359,
    1370, 1466, 1534, 1615, 1712, 1813, 1814, 1932, 4089, 4090, 4091, 4092,
})  # fmt: skip
"""Errors that name a table or a program with its database, and hold nothing of a user's that looks like that."""


@lru_cache(maxsize=256)
def _written(name: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A schema's name where it is quoted as one, and where it is written before a dot."""
    return (
        re.compile(rb"`%b`(?=\.|$| /\*)" % re.escape(name.replace(b"`", b"``")), re.M),
        re.compile(rb"(?:(?<=[' ,])|^)%b(?=\.[^\s'.])" % re.escape(name)),
    )


def said_of(text: bytes, old: bytes, new: bytes, *, naming: bool) -> bytes:
    """What a server says, of another schema. ``naming``: a name without quotes is one, too."""
    quoted, plain = _written(old)
    text = quoted.sub(lambda _: b"`%b`" % new.replace(b"`", b"``"), text)
    return plain.sub(lambda _: new, text) if naming else text


def told(message: bytes, errno: int, old: bytes, new: bytes) -> bytes:
    """The message of an error or warning, of another schema."""
    return said_of(message, old, new, naming=errno in _NAMING)


def error_of(payload: bytes, old: bytes, new: bytes) -> bytes:
    """An ERR packet's payload, of another schema."""
    errno, sqlstate, message = read_err(payload)
    return err_payload(errno, sqlstate, told(message.encode("utf-8", "surrogateescape"), errno, old, new))


class Told(Enum):
    """What the rows of a response, which are text, tell of schemas.

    NAMES: the first value is one's name, or a table's with it, others speak of them. TEXTS: they hold statements, and
    what a server says of a view.
    """

    NOTHING = auto()
    NAMES = auto()
    TEXTS = auto()


class SchemaRename(PacketFilter):
    """Replaces ``old`` by ``new`` in the column definitions and the error of one response, and in its ``rows``.

    ``columns_only``: the response is COM_FIELD_LIST's.
    ``others``: names of further schemas, old and new, of which columns and errors may be.
    """

    def __init__(
        self, old: bytes, new: bytes, *, rows: Told = Told.NOTHING, columns_only: bool = False,
        others: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        super().__init__(columns_only=columns_only, whole_rows=rows is not Told.NOTHING)
        self._old = old
        self._new = new
        self._schemas = {**others, old: new}
        self._listed = _LISTED + old
        self._quoted = b"`%b`." % old.replace(b"`", b"``")
        self._planned = b'"schema_name": "%b"' % old, b'"schema_name": "%b"' % new  # EXPLAIN FORMAT=JSON
        self._told = rows

    def column(self, packet: bytes) -> bytes:
        return frame(self.renamed(packet[4:]), packet[3])

    def row(self, packet: bytes) -> bytes:
        return packet if self._told is Told.NOTHING or self.continued else self._row(packet)

    def error(self, packet: bytes) -> bytes:
        payload = packet[4:]
        for old, new in self._schemas.items():
            payload = error_of(payload, old, new)
        return frame(payload, packet[3])

    def _row(self, packet: bytes) -> bytes:
        try:
            cells = read_text_row(packet[4:], self.width)
        except MalformedPacket:
            return packet
        row = b"".join(b"\xfb" if cell is None else lenenc(len(cell)) + cell for cell in self.cells(cells))
        return frame(row, packet[3])

    def cells(self, row: Sequence[bytes | None]) -> tuple[bytes | None, ...]:
        """A row's values, renamed."""
        if self._told is Told.TEXTS:
            return tuple(cell and self._text(cell) for cell in row)
        first, *others = row
        of_table = False
        if first is not None and first.startswith(self._old) and first[len(self._old) : len(self._old) + 1] in b".":
            of_table = len(first) > len(self._old)
            first = self._new + first[len(self._old) :]
        elif first is not None:
            first = said_of(first, self._old, self._new, naming=False).replace(*self._planned)
        return first, *(cell and said_of(cell, self._old, self._new, naming=of_table) for cell in others)

    def _text(self, cell: bytes) -> bytes:
        for old, new in self._schemas.items():
            quoted, requoted = (b"`%b`." % name.replace(b"`", b"``") for name in (old, new))
            cell = cell.replace(quoted, requoted).replace(b"View '%b." % old, b"View '%b." % new)
        return cell

    def renamed(self, payload: bytes) -> bytes:
        """One column definition's payload, renamed."""
        try:
            column = read_column(payload)
        except MalformedPacket:
            return payload
        name = column.name
        if name.startswith(self._listed):  # SHOW TABLES has the database in its column's name
            name = _LISTED + self._new + name[len(self._listed) :]
        elif self._quoted in name:  # an expression is called as it is written, which vgate has changed
            name = name.replace(self._quoted, self._new + b".")
        schema = self._schemas.get(column.schema, column.schema)
        if (name, schema) == (column.name, column.schema):
            return payload
        rest = payload[len(column.payload()) :]  # COM_FIELD_LIST's have a default
        return replace(column, name=name, schema=schema).payload() + rest
