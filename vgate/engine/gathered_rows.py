"""Rows on their way from shards into a temporary table: how each column is read, and how its values are written again.

What arrives must be what was there, bit by bit: a FLOAT's text is not exact, so it is read as a DOUBLE; text and bytes
are written in hexadecimal with their own character set; a TIMESTAMP is read as the seconds it is, since a local time
can mean two. The connection that reads must not convert results (character_set_results NULL), the one that writes must
have the time zone +00:00. It does not know servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from vgate.planner.columns import ColumnType
from vgate.sql.names import backquoted
from vgate.wire.constants import MAX_PAYLOAD
from vgate.wire.packets import read_text_row

Writer = Callable[[bytes], bytes]

_NUMBERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal"})
_QUOTED: Final = frozenset({"date", "time", "datetime", "year", "inet4", "inet6", "uuid"})
_TEXT: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
_BYTES: Final = frozenset({
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry", "point", "linestring",
    "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection",
})  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NotGathered(Exception):
    """There is a column of a type that would not arrive as it was; the text says which."""


@dataclass(frozen=True, slots=True)
class Column:
    """``select``: what is read of it; ``write``: a value as SQL."""

    name: bytes
    select: bytes
    write: Writer


def column_of(column: ColumnType, quoted: Callable[[str], bytes] = backquoted) -> Column:
    """How a column is read, with its name ``quoted``, and written. Raises NotGathered."""
    name, asked = backquoted(column.name), quoted(column.name)
    words = column.sql.lower().replace("(", " ").split()
    kind = words[0] if words else ""
    if kind in _NUMBERS:
        return Column(name, asked, bytes)
    if kind in _QUOTED:
        return Column(name, asked, _quoted)
    if kind in _BYTES:
        return Column(name, asked, _hexadecimal)
    if kind in _TEXT and column.charset:
        return Column(name, asked, _text(column.charset.encode()))
    if kind in ("float", "double"):
        return Column(name, asked + b" * 1e0 AS " + asked, _floating)
    if kind == "timestamp":
        return Column(name, b"UNIX_TIMESTAMP(" + asked + b") AS " + asked, _moment)
    raise NotGathered(f"column {column.name} of type {column.sql}")


def _quoted(value: bytes) -> bytes:
    return b"'" + value + b"'"


def _hexadecimal(value: bytes) -> bytes:
    return b"_binary 0x" + value.hex().encode() if value else b"''"


def _text(charset: bytes) -> Writer:
    introducer = b"_" + charset + b" 0x"

    def write(value: bytes) -> bytes:
        return introducer + value.hex().encode() if value else b"''"

    return write


def _floating(value: bytes) -> bytes:
    return value if b"e" in value else value + b"e0"


def _moment(value: bytes) -> bytes:
    """Seconds since 1970 as a time at +00:00; there was never a moment 0, it stands for the zero date."""
    seconds, _, fraction = value.partition(b".")
    if not int(seconds) and not fraction.strip(b"0"):
        return b"'0000-00-00 00:00:00'"
    moment = _EPOCH + timedelta(seconds=int(seconds))
    return b"'" + moment.strftime("%Y-%m-%d %H:%M:%S").encode() + (b"." + fraction if fraction else b"") + b"'"


class RowCutter:
    """Rows out of the bytes of a result, in whatever pieces they come; rows of 16 MB and more are whole again."""

    def __init__(self) -> None:
        self._held = b""
        self._begun = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The rows that have become complete."""
        data = self._held + data if self._held else data
        at = 0
        while at + 4 <= len(data):
            size = int.from_bytes(data[at : at + 3], "little")
            if at + 4 + size > len(data):
                break
            payload = data[at + 4 : at + 4 + size]
            at += 4 + size
            if size == MAX_PAYLOAD:
                self._begun += payload
                continue
            yield self._begun + payload
            self._begun = b""
        self._held = data[at:]


def row_of(payload: bytes, columns: Sequence[Column]) -> bytes:
    """A row as it stands in VALUES."""
    cells = read_text_row(payload, len(columns))
    values = (b"NULL" if cell is None else one.write(cell) for one, cell in zip(columns, cells, strict=True))
    return b"(" + b",".join(values) + b")"
