"""Values of a prepared statement's rows as SQL: a server that stores them stores what was read.

Text and bytes are written in hexadecimal with their own character set, so the statement is ASCII whatever the client's;
times keep their type. A TIMESTAMP is read as a local time, and one that means two moments is not written. It does not
know where rows come from.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vgate.wire.constants import FieldFlag
from vgate.wire.packets import ColumnDefinition

Writer = Callable[[bytes], bytes]

_INTEGERS: Final = {0x01: "b", 0x02: "h", 0x0D: "H", 0x03: "i", 0x09: "i", 0x08: "q"}
_FLOATS: Final = {0x04: "<f", 0x05: "<d"}
_DECIMALS: Final = frozenset({0x00, 0xF6})
_DATE, _DATETIMES, _TIME = 0x0A, frozenset({0x07, 0x0C}), 0x0B
_TIMESTAMP: Final = 0x07
_BIT, _JSON, _BINARY = 0x10, 0xF5, 63

_OFFSET: Final = re.compile(r"([+-])(\d{1,2}):(\d\d)")
_WHOLE_TIME: Final = 7
"""Bytes of a date and time; at midnight those of the time are left out."""

_REMEDY: Final = "SET time_zone = '+00:00'"


class NotWritten(Exception):
    """There is a column, or a value of one, that cannot be written; the text says why."""


def zone_of(name: str) -> tzinfo | None:
    """The time zone that a server calls so; None where it is not known here."""
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        sign = -1 if offset[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(offset[2]), minutes=int(offset[3])))
    if name.upper() in ("UTC", "GMT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def writer_of(
    column: ColumnDefinition, charsets: Mapping[int, str], zone: str, *, text: bool, member: bool, plain: bool,
    mysql: bool,
) -> Writer:  # fmt: skip
    """How values of a column are written; ``charsets``: by a collation's id; ``zone``: the session's time zone.

    ``text``: into a column of characters or bytes, where a number's digits count; ``member``: into an ENUM or SET.
    ``plain``: as a literal without a type in front. ``mysql``: that is the servers' flavour. Raises NotWritten.
    """
    kind = column.type
    if kind in _INTEGERS:
        code = _INTEGERS[kind]
        read = struct.Struct("<" + (code.upper() if column.flags & FieldFlag.UNSIGNED else code)).unpack
        return lambda value: b"%d" % read(value)[0]
    if kind in _FLOATS:
        if kind == 0x04 and text:
            raise NotWritten("a FLOAT's value into a column of text")
        number = struct.Struct(_FLOATS[kind]).unpack
        return lambda value: _floating(number(value)[0])
    if kind in _DECIMALS:
        return bytes
    if kind == _DATE or kind in _DATETIMES:
        name = b"" if plain else b"DATE" if kind == _DATE else b"TIMESTAMP"
        if kind == _TIMESTAMP:
            clock = zone_of(zone)
            if clock is None:
                raise NotWritten(f"a TIMESTAMP in time zone {zone}, which vgate does not know ({_REMEDY})")
            return lambda value: _moment(_certain(value, clock), name, date=False, decimals=column.decimals)
        return lambda value: _moment(value, name, date=kind == _DATE, decimals=column.decimals)
    if kind == _TIME:
        return lambda value: _duration(value, b"" if plain else b"TIME", decimals=column.decimals)
    if kind == _BIT:
        return lambda value: b"%d" % int.from_bytes(value, "big")
    if kind == _JSON:
        raise NotWritten("MySQL's JSON, whose text does not say of which types its values are")
    charset = "binary" if column.charset == _BINARY else charsets.get(column.charset)
    if charset is None:
        raise NotWritten(f"text of the collation {column.charset}, which vgate does not know")
    if column.flags & (FieldFlag.ENUM | FieldFlag.SET) and not (text or member):
        raise NotWritten("an ENUM or SET, of which other columns take the number (select CONCAT(it) for its text)")
    if charset == "binary" and column.flags & FieldFlag.UNSIGNED and not text:  # such as 0x41, to a number a number
        if not mysql:  # to which x'41' is none, but looks the same
            raise NotWritten("a hexadecimal literal into a column of numbers (select 0x41 + 0)")
        return lambda value: b"0x" + value.hex().encode("ascii") if value else b"''"
    introducer = b"_" + charset.encode("ascii")
    return lambda value: introducer + (b" 0x" + value.hex().encode("ascii") if value else b"''")


def _certain(value: bytes, clock: tzinfo) -> bytes:
    """The value, if it is one moment. Raises NotWritten for a local time that is two, as where summer time ends."""
    if any(value):
        parts = struct.unpack("<HBBBBB", value[:_WHOLE_TIME].ljust(_WHOLE_TIME, b"\0"))
        local = datetime(*parts).replace(tzinfo=clock)
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            raise NotWritten(f"the TIMESTAMP {local:%Y-%m-%d %H:%M:%S}, which is two moments in {clock} ({_REMEDY})")
    return value


def _floating(value: float) -> bytes:
    text = repr(value).encode("ascii")
    return text if b"e" in text else text + b"e0"


def _moment(value: bytes, name: bytes, *, date: bool, decimals: int) -> bytes:
    year, month, day = struct.unpack("<HBB", value[:4]) if value else (0, 0, 0)
    text = b"%04d-%02d-%02d" % (year, month, day)
    if not date:
        hour, minute, second = value[4:7] if len(value) > 4 else (0, 0, 0)
        text += b" %02d:%02d:%02d" % (hour, minute, second) + _fraction(value[7:11], decimals)
    return (name if year and month and day else b"") + b"'" + text + b"'"  # a date with zeros may be no literal


def _duration(value: bytes, name: bytes, *, decimals: int) -> bytes:
    if not value:
        value = bytes(8)
    negative, days, hour, minute, second = struct.unpack("<BIBBB", value[:8])
    text = b"%b%02d:%02d:%02d" % (b"-" if negative else b"", 24 * days + hour, minute, second)
    return name + b"'" + text + _fraction(value[8:12], decimals) + b"'"


def _fraction(value: bytes, decimals: int) -> bytes:
    if not 0 < decimals <= 6:
        return b""
    return b"." + (b"%06d" % int.from_bytes(value, "little"))[:decimals]
