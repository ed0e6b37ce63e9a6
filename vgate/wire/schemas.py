"""Column definitions of a response that name another schema than the server's: a keyspace in place of its database.

A pure filter over the bytes of one response, in whatever pieces they come; everything but the schema's name in column
definitions is passed on as it is. It does not know why names differ, and leaves sequence numbers alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vgate.wire.constants import MAX_PAYLOAD, Status
from vgate.wire.packets import MalformedPacket, frame, read_column, read_lenenc

_FIRST, _COLUMNS, _COLUMNS_END, _ROWS = range(4)
_EOF_SIZE: Final = 9
_LISTED: Final = b"Tables_in_"


class SchemaRename:
    """Replaces ``old`` by ``new`` in the column definitions of one response."""

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old = old
        self._new = new
        self._listed = _LISTED + old
        self._phase = _FIRST
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
            whole = self._phase != _ROWS or (not self._continued and size < _EOF_SIZE)
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
            return packet
        if self._phase == _FIRST:
            if first not in (0x00, 0xFF, 0xFB, 0xFE):
                self._columns = read_lenenc(packet[4:], 0)[0]
                self._phase = _COLUMNS
            return packet
        if self._phase == _COLUMNS:
            self._columns -= 1
            if self._columns == 0:
                self._phase = _COLUMNS_END
            return self._renamed(packet)
        self._phase = _ROWS
        return packet

    def _renamed(self, packet: bytes) -> bytes:
        return frame(self.column(packet[4:]), packet[3])

    def column(self, payload: bytes) -> bytes:
        """One column definition's payload, renamed."""
        try:
            column = read_column(payload)
        except MalformedPacket:
            return payload
        if column.name.startswith(self._listed):  # SHOW TABLES has the database in its column's name
            name = _LISTED + self._new + column.name[len(self._listed) :]
            return replace(column, name=name, schema=self._renamed_schema(column.schema)).payload()
        return payload if column.schema != self._old else replace(column, schema=self._new).payload()

    def _renamed_schema(self, schema: bytes) -> bytes:
        return self._new if schema == self._old else schema
