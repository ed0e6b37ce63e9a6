"""What a server says of a statement that vgate cannot read, or should not act upon before one has read it.

It does not know why it is asked.
"""

from __future__ import annotations

from typing import Final

from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.errors import ServerError
from vgate.transactions.scope import Place

_NO_SQL: Final = frozenset({1064, 1286, 4161})
"""The errors of parsers: no SQL, no engine (of MySQL's: MariaDB's does not look), no type (of MariaDB's)."""


async def let_a_server_parse(call: Call, place: Place, text: bytes) -> None:
    """A statement that is no SQL does not end the transaction, as any other of its kind does, even if it fails.

    Raises ServerError for what cannot be parsed.
    """
    try:
        await let_a_server_read(call, place, text)
    except ServerError as error:
        if error.errno in _NO_SQL:
            raise


async def let_a_server_read(call: Call, place: Place, text: bytes) -> None:
    """A statement that sqlglot does not read may be no SQL at all: PREPARE tells, and runs nothing.

    Raises ServerError with the server's own complaint. The text travels as a variable's value, so that no
    sql_mode or character set can make anything else of it.
    """
    connection = await call.scope.take(place)
    try:
        await connection.query(f"SET @vgate_statement = x'{text_for(call, place, text).hex()}'")
        try:
            await connection.query("PREPARE vgate_statement FROM @vgate_statement")
            await connection.query("DEALLOCATE PREPARE vgate_statement")
        finally:
            if connection.usable:
                await connection.query("SET @vgate_statement = NULL")
    finally:
        call.scope.give_back(place, connection)
