"""Two sides asked the same packet, and all of the answers compared by which a client could tell them apart.

It cuts answers into results: column definitions and rows as they came (rows in an order of their own), and what the
last packet of each says. It does not know what is asked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.integration.raw import EXECUTE, PREPARE, QUERY, Raw
from vgate.wire.packets import read_err, read_ok

FLAGS: Final = 0x1 | 0x2 | 0x8 | 0x2000
"""Status flags that must agree: in a transaction, autocommit, more results, read only."""

ERROR, EOF = 0xFF, 0xFE


@dataclass(frozen=True, slots=True)
class Result:
    """One result. ``ending`` is (affected, insert id, status, warnings, info), ``error`` (number, SQLSTATE, text)."""

    columns: tuple[bytes, ...] = ()
    rows: tuple[bytes, ...] = ()
    ending: tuple[int, int, int, int, bytes] = (0, 0, 0, 0, b"")
    error: tuple[int, str, str] | None = None

    @property
    def refused(self) -> bool:
        """True for what vgate says it cannot do."""
        return self.error is not None and self.error[2].startswith("VT")


def payloads(raw: bytes) -> Iterator[bytes]:
    """Of packets of less than 16 MB."""
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 3], "little")
        yield raw[at + 4 : at + 4 + size]
        at += 4 + size


def results(raw: bytes) -> list[Result]:
    """The results of a COM_QUERY or COM_STMT_EXECUTE."""
    found: list[Result] = []
    packets = payloads(raw)
    for first in packets:
        if first[0] == ERROR:
            found.append(Result(error=read_err(first)))
        elif first[0] == 0:
            ok = read_ok(first)
            found.append(Result(ending=(ok.affected, ok.insert_id, ok.status & FLAGS, ok.warnings, ok.info)))
        else:
            found.append(_rows(packets))
    return found


def _rows(packets: Iterator[bytes]) -> Result:
    columns = tuple(_up_to_eof(packets)[0])
    rows, last = _up_to_eof(packets)
    if last[0] == ERROR:
        return Result(columns, tuple(sorted(rows)), error=read_err(last))
    warnings, status = struct.unpack_from("<HH", last, 1)
    return Result(columns, tuple(sorted(rows)), (0, 0, status & FLAGS, warnings, b""))


def _up_to_eof(packets: Iterator[bytes]) -> tuple[list[bytes], bytes]:
    found: list[bytes] = []
    for packet in packets:
        if packet[0] == ERROR or (packet[0] == EOF and len(packet) < 9):
            return found, packet
        found.append(packet)
    raise AssertionError("the answer breaks off")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A bound value: its type, 0x80 in ``flag`` for unsigned, and its bytes; None is NULL."""

    type: int
    flag: int
    value: bytes | None


def execution(statement: int, parameters: Sequence[Parameter]) -> bytes:
    """A COM_STMT_EXECUTE that says its types."""
    nulls = bytearray((len(parameters) + 7) // 8)
    for number, one in enumerate(parameters):
        if one.value is None:
            nulls[number // 8] |= 1 << (number % 8)
    head = EXECUTE + statement.to_bytes(4, "little") + b"\0" + (1).to_bytes(4, "little")
    if not parameters:
        return head
    types = b"".join(bytes((one.type, one.flag)) for one in parameters)
    return head + bytes(nulls) + b"\1" + types + b"".join(one.value or b"" for one in parameters)


def query(side: Raw, sql: str | bytes) -> list[Result]:
    """A COM_QUERY's results."""
    return results(side.ask(QUERY + (sql.encode() if isinstance(sql, str) else sql)))


def prepared(side: Raw, sql: str, parameters: Sequence[Parameter] = ()) -> list[Result]:
    """The results of a statement that is prepared, executed and closed."""
    answer = side.ask(PREPARE + sql.encode())
    [first, *_] = payloads(answer)
    if first[0] == ERROR:
        return [Result(error=read_err(first))]
    number = int.from_bytes(first[1:5], "little")
    described = tuple(packet for packet in payloads(answer) if packet[0] != EOF)[1:]
    found = results(side.ask(execution(number, parameters)))
    side.send(b"\x19" + number.to_bytes(4, "little"))
    return [Result(described), *found]
