"""Packets as bytes: framing, length-encoded values, OK, ERR and EOF, column definitions, text rows.

Everything here is a function from values to bytes or back. It does not know sockets, connections or SQL, and
not where a response of several packets ends (``wire.response``).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vgate.wire.constants import MAX_PAYLOAD, FieldFlag, FieldType


class MalformedPacket(ValueError):
    """Bytes that are not what the protocol says they must be."""


# -- framing ------------------------------------------------------------------------------------------------------


def frame(payload: bytes, sequence: int = 0) -> bytes:
    """``payload`` as one packet, or as several where it is 16 MB or more, numbered from ``sequence``."""
    size = len(payload)
    if size < MAX_PAYLOAD:
        return (size | (sequence & 0xFF) << 24).to_bytes(4, "little") + payload
    parts: list[bytes] = []
    for start in range(0, size + 1, MAX_PAYLOAD):
        part = payload[start : start + MAX_PAYLOAD]
        parts.append((len(part) | (sequence & 0xFF) << 24).to_bytes(4, "little"))
        parts.append(part)
        sequence += 1
    return b"".join(parts)


def lenenc(number: int) -> bytes:
    """A length-encoded integer."""
    if number < 0xFB:
        return number.to_bytes(1, "little")
    if number <= 0xFFFF:
        return b"\xfc" + number.to_bytes(2, "little")
    if number <= 0xFFFFFF:
        return b"\xfd" + number.to_bytes(3, "little")
    return b"\xfe" + number.to_bytes(8, "little")


def lenenc_bytes(value: bytes) -> bytes:
    """A length-encoded string."""
    return lenenc(len(value)) + value


def read_lenenc(data: bytes, at: int) -> tuple[int, int]:
    """The length-encoded integer at ``at`` and the position after it. Raises MalformedPacket."""
    try:
        first = data[at]
        if first < 0xFB:
            return first, at + 1
        width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    except (IndexError, KeyError):
        raise MalformedPacket(f"no length-encoded integer at byte {at}") from None
    if at + 1 + width > len(data):
        raise MalformedPacket(f"length-encoded integer cut off at byte {at}")
    return int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width


def read_lenenc_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """The length-encoded string at ``at`` and the position after it. Raises MalformedPacket."""
    size, at = read_lenenc(data, at)
    if at + size > len(data):
        raise MalformedPacket(f"length-encoded string cut off at byte {at}")
    return data[at : at + size], at + size


# -- OK, ERR, EOF -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ok:
    """An OK packet's content. ``info`` is the human text (``Records: 5  Duplicates: 0  Warnings: 0``)."""

    affected: int = 0
    insert_id: int = 0
    status: int = 0x0002
    warnings: int = 0
    info: bytes = b""

    def payload(self) -> bytes:
        """The packet's payload. The info string is the rest of the packet, as CLIENT_SESSION_TRACK is never on."""
        tail = struct.pack("<HH", self.status, min(self.warnings, 0xFFFF))
        # The server writes the info length-encoded even without SESSION_TRACK (net_send_ok: net_store_data).
        info = lenenc_bytes(self.info) if self.info else b""
        return b"\x00" + lenenc(self.affected) + lenenc(self.insert_id) + tail + info


def read_ok(payload: bytes) -> Ok:
    """Read an OK packet's payload. Raises MalformedPacket."""
    affected, at = read_lenenc(payload, 1)
    insert_id, at = read_lenenc(payload, at)
    if at + 4 > len(payload):
        raise MalformedPacket("OK packet cut off")
    status, warnings = struct.unpack_from("<HH", payload, at)
    at += 4
    info = read_lenenc_bytes(payload, at)[0] if at < len(payload) else b""
    return Ok(affected, insert_id, status, warnings, info)


_HALVES: Final = "".join(map(chr, range(0xDC80, 0xDD00)))
"""What bytes become that are no UTF-8, as a character that is cut."""


def err_payload(errno: int, sqlstate: str, message: str | bytes) -> bytes:
    """An ERR packet's payload; the message is cut at 512 bytes, MySQL's own limit, without splitting a character."""
    text = message if isinstance(message, bytes) else message.encode("utf-8", "surrogateescape")
    if len(text) > 511:
        text = text[:511].decode("utf-8", "surrogateescape").rstrip(_HALVES).encode("utf-8", "surrogateescape")
    return b"\xff" + errno.to_bytes(2, "little") + b"#" + sqlstate.encode("ascii") + text


def read_err(payload: bytes) -> tuple[int, str, str]:
    """(errno, SQLSTATE, message) of an ERR packet's payload; of what is not UTF-8 the bytes stay, as in PEP 383."""
    errno = int.from_bytes(payload[1:3], "little")
    if payload[3:4] == b"#":
        return errno, payload[4:9].decode("ascii", "replace"), payload[9:].decode("utf-8", "surrogateescape")
    return errno, "HY000", payload[3:].decode("utf-8", "surrogateescape")


def eof_payload(status: int, warnings: int = 0) -> bytes:
    """An EOF packet's payload."""
    return struct.pack("<BHH", 0xFE, min(warnings, 0xFFFF), status)


# -- result sets --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column of a result set, as protocol 4.1 describes it. Names are bytes in the result's character set."""

    name: bytes
    type: int = FieldType.VAR_STRING
    schema: bytes = b""
    table: bytes = b""
    org_table: bytes = b""
    org_name: bytes = b""
    charset: int = 45
    length: int = 1024
    flags: int = 0
    decimals: int = 0

    def payload(self) -> bytes:
        """The column definition packet's payload."""
        names = (b"def", self.schema, self.table, self.org_table, self.name, self.org_name)
        fixed = struct.pack("<BHIBHBH", 12, self.charset, self.length, self.type, self.flags, self.decimals, 0)
        return b"".join(map(lenenc_bytes, names)) + fixed


def read_column(payload: bytes) -> ColumnDefinition:
    """Read a column definition packet's payload. Raises MalformedPacket."""
    names: list[bytes] = []
    at = 0
    for _ in range(6):
        name, at = read_lenenc_bytes(payload, at)
        names.append(name)
    if at + 13 > len(payload):
        raise MalformedPacket("column definition cut off")
    _, charset, length, type_, flags, decimals, _ = struct.unpack_from("<BHIBHBH", payload, at)
    return ColumnDefinition(names[4], type_, names[1], names[2], names[3], names[5], charset, length, flags, decimals)


def text_row(values: Iterable[bytes | None]) -> bytes:
    """A text-protocol row's payload."""
    return b"".join(b"\xfb" if value is None else lenenc_bytes(value) for value in values)


def read_text_row(payload: bytes, columns: int) -> tuple[bytes | None, ...]:
    """Read a text-protocol row of ``columns`` values. Raises MalformedPacket."""
    values: list[bytes | None] = []
    at = 0
    for _ in range(columns):
        if payload[at : at + 1] == b"\xfb":
            values.append(None)
            at += 1
        else:
            value, at = read_lenenc_bytes(payload, at)
            values.append(value)
    return tuple(values)


_INTEGER_WIDTHS: Final = {FieldType.LONG: 4, FieldType.LONGLONG: 8}
_TIMES: Final = frozenset({FieldType.DATETIME, FieldType.TIMESTAMP})
_DIGITS: Final = re.compile(rb"\d+")


def binary_row(columns: Sequence[ColumnDefinition], values: Sequence[bytes | None]) -> bytes:
    """The binary-protocol row of values given as text; of the numeric types INT and BIGINT are known, of those of time
    DATETIME and TIMESTAMP to the second.
    """
    bitmap = bytearray((len(columns) + 9) // 8)
    parts: list[bytes] = []
    for index, (column, value) in enumerate(zip(columns, values, strict=True)):
        if value is None:
            bitmap[(index + 2) // 8] |= 1 << (index + 2) % 8
        elif (width := _INTEGER_WIDTHS.get(column.type)) is not None:
            parts.append((int(value) & ((1 << 8 * width) - 1)).to_bytes(width, "little"))
        elif column.type in _TIMES:
            year, *rest = map(int, _DIGITS.findall(value))
            parts.append(b"\x07" + year.to_bytes(2, "little") + bytes(rest))
        else:
            parts.append(lenenc_bytes(value))
    return b"".join((b"\x00", bytes(bitmap), *parts))


def bigint_column(name: bytes) -> ColumnDefinition:
    """A NOT NULL BIGINT column, as ``select 1`` has it but 20 wide."""
    flags = FieldFlag.NOT_NULL | FieldFlag.BINARY | FieldFlag.NUM
    return ColumnDefinition(name, FieldType.LONGLONG, charset=63, length=20, flags=flags)


def result_set(
    columns: Sequence[ColumnDefinition],
    rows: Iterable[Sequence[bytes | None]],
    *,
    status: int,
    sequence: int = 1,
    warnings: int = 0,
    binary: bool = False,
) -> tuple[bytes, int]:
    """A whole result set, text or binary, framed from ``sequence``; also the next sequence number."""
    payloads = [lenenc(len(columns)), *(column.payload() for column in columns), eof_payload(status)]
    payloads.extend((binary_row(columns, row) if binary else text_row(row)) for row in rows)
    payloads.append(eof_payload(status, warnings))
    framed: list[bytes] = []
    for payload in payloads:
        framed.append(frame(payload, sequence))
        sequence = (sequence + 1 + len(payload) // MAX_PAYLOAD) & 0xFF
    return b"".join(framed), sequence
