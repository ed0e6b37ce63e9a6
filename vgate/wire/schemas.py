"""Responses that name another schema than the server's: a keyspace in place of its database.

A pure filter over the bytes of one response, in whatever pieces they come; everything but the schema's name in column
definitions and errors, and in rows where it is told so, is passed on as it is. It does not know why names differ, and
leaves sequence numbers alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from vgate.wire.constants import MAX_PAYLOAD, Status
from vgate.wire.packets import (
    MalformedPacket,
    err_payload,
    frame,
    lenenc,
    read_column,
    read_err,
    read_lenenc,
    read_text_row,
)

_FIRST, _COLUMNS, _COLUMNS_END, _ROWS = range(4)
_EOF_SIZE: Final = 9
_ERR_SIZE: Final = 9 + 512
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


class SchemaRename:
    """Replaces ``old`` by ``new`` in the column definitions and the error of one response, and in its ``rows``.

    ``columns_only``: the response is COM_FIELD_LIST's.
    ``others``: names of further schemas, old and new, of which columns and errors may be.
    """

    def __init__(
        self, old: bytes, new: bytes, *, rows: Told = Told.NOTHING, columns_only: bool = False,
        others: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        self._old = old
        self._new = new
        self._schemas = {**others, old: new}
        self._listed = _LISTED + old
        self._quoted = b"`%b`." % old.replace(b"`", b"``")
        self._planned = b'"schema_name": "%b"' % old, b'"schema_name": "%b"' % new  # EXPLAIN FORMAT=JSON
        self._phase = _COLUMNS if columns_only else _FIRST
        self._told = rows
        self._rows = rows is not Told.NOTHING
        self._width = 0
        self._columns = 0
        self._held = b""
        self._skip = 0
        self._continued = False

    def feed(self, data: bytes) -> bytes:
        """What ``data`` becomes; an unfinished packet that may have to be changed waits for the rest."""
        parts: list[bytes] = []
        data = self._held + data if self._held else data
        self._held = b""
        if self._skip:
            parts.append(data[: self._skip])
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        at = 0
        while at + 5 <= len(data) or (at + 4 == len(data) and data[at : at + 3] == b"\0\0\0"):
            size = int.from_bytes(data[at : at + 3], "little")
            end = at + 4 + size
            whole = self._phase != _ROWS or self._rows or (not self._continued and size < _ERR_SIZE)
            if whole and end > len(data):
                break
            packet = data[at:end]
            parts.append(self._packet(packet, size))
            self._skip = max(0, end - len(data))
            at = min(end, len(data))
        self._held = data[at:]
        return b"".join(parts)

    def _packet(self, packet: bytes, size: int) -> bytes:
        first = packet[4] if size else 0
        if self._phase == _ROWS:
            ends = not self._continued and (first == 0xFF or (first == 0xFE and size < _EOF_SIZE))
            self._continued = size == MAX_PAYLOAD
            if ends and first == 0xFE:
                self._phase = _FIRST if (packet[7] | packet[8] << 8) & Status.MORE_RESULTS else _ROWS
            if ends and first == 0xFF:
                return self._error(packet)
            return self._row(packet) if self._rows and not ends and not self._continued else packet
        if first == 0xFF:
            return self._error(packet)
        if self._phase == _FIRST:
            if first not in (0x00, 0xFF, 0xFB, 0xFE):
                self._columns = self._width = read_lenenc(packet[4:], 0)[0]
                self._phase = _COLUMNS
            return packet
        if self._phase == _COLUMNS:
            if first == 0xFE:  # the end of COM_FIELD_LIST's
                return packet
            self._columns -= 1
            if self._columns == 0:
                self._phase = _COLUMNS_END
            return self._renamed(packet)
        self._phase = _ROWS
        return packet

    def _error(self, packet: bytes) -> bytes:
        payload = packet[4:]
        for old, new in self._schemas.items():
            payload = error_of(payload, old, new)
        return frame(payload, packet[3])

    def _row(self, packet: bytes) -> bytes:
        try:
            cells = read_text_row(packet[4:], self._width)
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

    def _renamed(self, packet: bytes) -> bytes:
        return frame(self.column(packet[4:]), packet[3])

    def column(self, payload: bytes) -> bytes:
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
