"""The binary protocol of prepared statements: parameters in, integer rows out.

Parameters are read only as far as routing and rewriting need them: each becomes a ``Parameter``, its value still in the
bytes that came. It does not know statements, nor SQL.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from vgate.wire.packets import MalformedPacket, lenenc, read_lenenc

_FIXED: Final = {0x01: 1, 0x02: 2, 0x0D: 2, 0x03: 4, 0x09: 4, 0x04: 4, 0x08: 8, 0x05: 8}
_TEMPORAL: Final = {0x07: (0, 4, 7, 11), 0x0A: (0, 4, 7, 11), 0x0C: (0, 4, 7, 11), 0x0B: (0, 8, 12)}
_VECTOR: Final = 0xF2
_LENGTH_ENCODED: Final = frozenset({0x00, 0x0F, 0x10, _VECTOR, *range(0xF5, 0x100)})
NULL: Final = 0x06

_ID_AND_FLAGS: Final = struct.Struct("<IB").unpack_from
_HEAD: Final = struct.Struct("<BIBI").pack

_INTEGERS: Final = {
    (0x01, False): "<b", (0x01, True): "<B", (0x02, False): "<h", (0x02, True): "<H", (0x0D, False): "<H",
    (0x0D, True): "<H", (0x03, False): "<i", (0x03, True): "<I", (0x09, False): "<i", (0x09, True): "<I",
    (0x08, False): "<q", (0x08, True): "<Q",
}  # fmt: skip

Types = bytes
"""Two bytes for each parameter: type, and 0x80 for unsigned. As they stand in the packet."""


Kind = tuple[Types, frozenset[int]]
"""By what a server's handle is shaped once it was executed: see ``Execution``."""

NO_KIND: Final[Kind] = b"", frozenset()


class Parameter(NamedTuple):
    """One bound value. ``value`` has no length in front; None is NULL."""

    type: int
    unsigned: bool
    value: bytes | None

    def integer(self) -> int | None:
        """The value of an integer type; None for any other, and for NULL."""
        code = _INTEGERS.get((self.type, self.unsigned))
        if code is None or self.value is None:
            return None
        number: int = struct.unpack(code, self.value)[0]
        return number


class Execution(NamedTuple):
    """A COM_STMT_EXECUTE, read. ``values_at``: where its values stand in the payload. ``fractions``: the numbers of
    those parameters that MySQL has taken for more than texts (``fractions_of``).
    """

    statement_id: int
    flags: int
    types: Types
    bitmap: bytes
    values_at: int
    parameters: list[Parameter]
    fractions: frozenset[int] = frozenset()

    @property
    def kind(self) -> Kind:
        """What a server's handle that was executed so is shaped by."""
        return self.types, self.fractions


NOTHING_BOUND: Final = Execution(0, 0, b"", b"", 0, [])
"""The execution of a statement without parameters."""


def read_execution(
    payload: bytes, count: int, types: Types | None, long_data: dict[int, bytes] | None = None
) -> Execution:
    """Read a COM_STMT_EXECUTE of a statement with ``count`` parameters.

    ``types``: those of an earlier execution, where this one brings none. A parameter in ``long_data`` has its value
    there and none in the packet. Raises MalformedPacket, of its kinds MissingValues and UnknownType where servers tell
    them apart; UnboundTypes.
    """
    if len(payload) < 10:
        raise MalformedPacket("COM_STMT_EXECUTE cut off")
    statement_id, flags = _ID_AND_FLAGS(payload, 1)
    if count == 0:
        return Execution(statement_id, flags, b"", b"", len(payload), [])
    at = 10 + (count + 7) // 8
    if at >= len(payload):
        raise MissingValues("COM_STMT_EXECUTE cut off")
    bitmap = payload[10:at]
    if payload[at] == 1:
        types = payload[at + 1 : at + 1 + 2 * count]
        at += 1 + 2 * count
        if len(types) < 2 * count:
            raise MalformedPacket("COM_STMT_EXECUTE cut off in its types")
    elif payload[at]:
        raise MalformedPacket("COM_STMT_EXECUTE whose parameters are neither bound anew nor as before")
    else:
        at += 1
    if types is None:
        raise UnboundTypes
    values_at = at
    parameters: list[Parameter] = []
    for index in range(count):
        kind, unsigned = types[2 * index], types[2 * index + 1] & 0x80 != 0
        width = _FIXED.get(kind)
        if width is not None and long_data is None and not bitmap[index >> 3] >> (index & 7) & 1:
            if at + width > len(payload):
                raise MissingValues("COM_STMT_EXECUTE cut off in its values")
            parameters.append(Parameter(kind, unsigned, payload[at : at + width]))
            at += width
        elif long_data is not None and index in long_data:
            parameters.append(Parameter(kind, unsigned, long_data[index]))
        elif kind == NULL or bitmap[index >> 3] >> (index & 7) & 1:
            parameters.append(Parameter(kind, unsigned, None))
        else:
            value, at = read_value(payload, at, kind)
            parameters.append(Parameter(kind, unsigned, value))
    return Execution(statement_id, flags, types, bitmap, values_at, parameters)


_TEXTS: Final = frozenset({0x0F, *range(0xF9, 0xFF)})
_NUMBER: Final = re.compile(rb"\s*+(?P<sign>[+-]?+)(?P<whole>\d*+)(?P<rest>\.?+\d*+(?:e[+-]?\d++)?+)\s*+", re.I)
"""It never goes back: texts may be long."""



def fractions_of(parameters: Sequence[Parameter]) -> frozenset[int]:
    """Which texts MySQL takes for a DECIMAL where it expects a number (9.7, measured): numbers that are no BIGINT of
    zero or more. What else begins like a number, or like none, it takes for a BIGINT.
    """
    return frozenset(
        at
        for at, one in enumerate(parameters)
        if one.type in _TEXTS and one.value is not None and _is_fraction(one.value)
    )


def _is_fraction(text: bytes) -> bool:
    found = _NUMBER.fullmatch(text)
    if found is None or not any(byte in b"0123456789" for byte in found["whole"] + found["rest"]):
        return False
    whole = found["whole"].lstrip(b"0")
    if found["rest"]:
        return True
    if found["sign"] == b"-":
        return whole != b""
    return len(whole) > 19 or int(whole or 0) >= 1 << 63


def integer_reader(kind: int, flags: int) -> Callable[[bytes, int], tuple[int]] | None:
    """What reads an integer parameter of that type where it stands; None for other types."""
    code = _INTEGERS.get((kind, flags & 0x80 != 0))
    return None if code is None else struct.Struct(code).unpack_from


def fixed_places(execution: Execution) -> list[int] | None:
    """Where each value and, last, their end stands in the payload; None if one is NULL or of no fixed size."""
    places = [execution.values_at]
    for kind in execution.types[::2]:
        width = _FIXED.get(kind)
        if width is None:
            return None
        places.append(places[-1] + width)
    return None if any(execution.bitmap) else places


class UnboundTypes(Exception):
    """The client has never said what types its parameters have."""


class MissingValues(MalformedPacket):
    """A COM_STMT_EXECUTE ends before all of its parameters have values."""


class UnknownType(MalformedPacket):
    """A parameter's type is none that a parameter may have."""


def read_value(payload: bytes, at: int, kind: int) -> tuple[bytes, int]:
    """The value at ``at``, without its length, and where it ends. Raises MalformedPacket."""
    width = _FIXED.get(kind)
    if width is None:
        if kind in _TEMPORAL:
            width = payload[at] if at < len(payload) else -1
            at += 1
            if width not in _TEMPORAL[kind]:
                raise MalformedPacket("a date or time of an impossible length")
        elif kind in _LENGTH_ENCODED:
            width, at = _length(payload, at)
        else:
            raise UnknownType(f"a parameter of type {kind:#x}")
    if at + width > len(payload):
        raise MissingValues("COM_STMT_EXECUTE cut off in its values")
    return payload[at : at + width], at + width


def binary_values(row: bytes, types: Sequence[int]) -> list[bytes | None]:
    """The values of a row of a prepared statement's result, each without its length. Raises MalformedPacket."""
    at = 1 + (len(types) + 9) // 8
    values: list[bytes | None] = []
    for number, kind in enumerate(types, 2):
        if row[1 + (number >> 3)] & (1 << (number & 7)):
            values.append(None)
        else:
            value, at = read_value(row, at, kind)
            values.append(value)
    return values


def _length(payload: bytes, at: int) -> tuple[int, int]:
    try:
        return read_lenenc(payload, at)
    except MalformedPacket as error:
        raise MissingValues(str(error)) from None


def execute_payload(statement_id: int, execution: Execution, payload: bytes, *, cursor: bool = False) -> bytes:
    """The same execution for another statement id, always with types; with a read-only ``cursor`` or without."""
    head = b"\x17" + struct.pack("<IBI", statement_id, cursor, 1)
    if not execution.bitmap:
        return head
    return b"".join((head, execution.bitmap, b"\x01", execution.types, payload[execution.values_at :]))


def rebound(
    execution: Execution, ahead: Mapping[int, bytes], order: Sequence[int | Parameter]
) -> tuple[Execution, bytes, dict[int, bytes]]:
    """An execution with other parameters among its own, which are named by their numbers; the payload that it then
    has, and the values that are sent ahead.
    """
    types, values = bytearray(), bytearray()
    bitmap = bytearray((len(order) + 7) // 8)
    parameters: list[Parameter] = []
    sent: dict[int, bytes] = {}
    for at, one in enumerate(order):
        parameter = execution.parameters[one] if isinstance(one, int) else one
        parameters.append(parameter)
        types += bytes((parameter.type, 0x80 if parameter.unsigned else 0))
        if isinstance(one, int) and one in ahead:
            sent[at] = ahead[one]
        elif parameter.value is None:
            bitmap[at >> 3] |= 1 << (at & 7)
        else:
            values += _written(parameter.type, parameter.value)
    found = Execution(execution.statement_id, execution.flags, bytes(types), bytes(bitmap), 0, parameters)
    return found, bytes(values), sent


def _written(kind: int, value: bytes) -> bytes:
    """A value as it stands in a COM_STMT_EXECUTE."""
    if kind in _FIXED:
        return value
    return bytes([len(value)]) + value if kind in _TEMPORAL else lenenc(len(value)) + value


# -- answers of vgate's own ----------------------------------------------------------------------------------------


def prepare_ok(statement_id: int, columns: int, parameters: int, warnings: int = 0) -> bytes:
    """The first packet of the answer to COM_STMT_PREPARE."""
    return b"\x00" + struct.pack("<IHHBH", statement_id, columns, parameters, 0, warnings)


def bigint_rows(columns: list[bytes], value: int, eof: bytes) -> list[bytes]:
    """Payloads of a binary result set of one row with one BIGINT; ``columns`` are column definitions."""
    return [lenenc(len(columns)), *columns, eof, b"\x00\x00" + struct.pack("<q", value), eof]
