"""The binary protocol of prepared statements: integer parameters in, integer rows out.

Only what vgate answers itself is decoded here; it does not know statements.
"""

from __future__ import annotations

import struct

from vgate.wire.packets import MalformedPacket, lenenc, read_lenenc_bytes

_INTEGERS = {0x01: (1, "b"), 0x02: (2, "h"), 0x03: (4, "i"), 0x08: (8, "q"), 0x09: (4, "i"), 0x0D: (2, "h")}
_TEXTS = frozenset({0x0F, 0xFD, 0xFE, 0xF6, 0x00})
_NULL = 0x06


def prepare_ok(statement_id: int, columns: int, parameters: int) -> bytes:
    """The first packet of the answer to COM_STMT_PREPARE."""
    return b"\x00" + struct.pack("<IHHBH", statement_id, columns, parameters, 0, 0)


def bound_types(payload: bytes, parameters: int) -> list[tuple[int, bool]] | None:
    """(type, unsigned) of each parameter of a COM_STMT_EXECUTE; None where the client relies on those sent before."""
    at = 10 + (parameters + 7) // 8
    if at >= len(payload):
        raise MalformedPacket("COM_STMT_EXECUTE cut off")
    if payload[at] != 1:
        return None
    types = payload[at + 1 : at + 1 + 2 * parameters]
    if len(types) < 2 * parameters:
        raise MalformedPacket("COM_STMT_EXECUTE cut off in its types")
    return [(types[2 * index], bool(types[2 * index + 1] & 0x80)) for index in range(parameters)]


def bound_values(payload: bytes, types: list[tuple[int, bool]]) -> list[int | bytes | None]:
    """The parameters of a COM_STMT_EXECUTE: integers and strings. Raises MalformedPacket for other types."""
    parameters = len(types)
    bitmap = payload[10 : 10 + (parameters + 7) // 8]
    at = 10 + len(bitmap)
    at += 1 + (2 * parameters if payload[at] == 1 else 0)
    values: list[int | bytes | None] = []
    for index, (kind, unsigned) in enumerate(types):
        if kind == _NULL or bitmap[index // 8] >> index % 8 & 1:
            values.append(None)
        elif kind in _INTEGERS:
            width, code = _INTEGERS[kind]
            if at + width > len(payload):
                raise MalformedPacket("COM_STMT_EXECUTE cut off in its values")
            values.append(struct.unpack_from("<" + (code.upper() if unsigned else code), payload, at)[0])
            at += width
        elif kind in _TEXTS:
            text, at = read_lenenc_bytes(payload, at)
            values.append(text)
        else:
            raise MalformedPacket(f"a parameter of type {kind:#x}")
    return values


def bigint_rows(columns: list[bytes], value: int, eof: bytes) -> list[bytes]:
    """Payloads of a binary result set of one row with one BIGINT; ``columns`` are column definitions."""
    return [lenenc(len(columns)), *columns, eof, b"\x00\x00" + struct.pack("<q", value), eof]
