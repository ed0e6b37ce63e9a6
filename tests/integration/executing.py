"""COM_STMT_PREPARE and COM_STMT_EXECUTE by hand, for those who look at binary rows.

It binds whole numbers and short texts, and does not know what is executed.
"""

from __future__ import annotations

import struct

from pymysql.constants import COMMAND, FIELD_TYPE

from tests.integration.asking import Connection


class Prepared:
    """Prepared statements over the binary protocol, which PyMySQL does not speak."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def prepare(self, sql: str) -> bytes:
        """The statement's id."""
        connection = self._connection
        connection._execute_command(COMMAND.COM_STMT_PREPARE, sql)
        head = connection._read_packet()._data
        columns, parameters = struct.unpack_from("<HH", head, 5)
        for count in (parameters, columns):
            for _ in range(count + 1 if count else 0):
                connection._read_packet()
        return bytes(head[1:5])

    def execute(self, statement: bytes, *parameters: int | str) -> list[bytes]:
        """Its packets: an OK, or the rows."""
        connection = self._connection
        bound = b""
        if parameters:
            kinds, values = zip(*map(_bound, parameters), strict=True)
            bound = b"\0\1" + b"".join(struct.pack("<BB", kind, 0) for kind in kinds) + b"".join(values)
        connection._execute_command(COMMAND.COM_STMT_EXECUTE, statement + struct.pack("<BI", 0, 1) + bound)
        first = connection._read_packet()._data
        if first[0] == 0:
            return [bytes(first)]
        for _ in range(first[0] + 1):
            connection._read_packet()
        rows: list[bytes] = []
        while (data := bytes(connection._read_packet()._data))[0] != 0xFE:
            rows.append(data)
        return rows


def _bound(value: int | str) -> tuple[int, bytes]:
    if isinstance(value, int):
        return FIELD_TYPE.LONGLONG, struct.pack("<q", value)
    return FIELD_TYPE.VAR_STRING, bytes([len(value)]) + value.encode()
