"""The command that one server gets for a statement: its text, or the execution of what is prepared there.

It does not know which servers are asked.
"""

from __future__ import annotations

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.rename import text_for
from vgate.transactions.scope import Place
from vgate.wire.binary import NOTHING_BOUND, execute_payload
from vgate.wire.constants import Command
from vgate.wire.packets import Ok, frame


async def command_for(
    call: Call, place: Place, connection: BackendConnection, text: bytes, *, opens: bool = True
) -> bytes:
    """The framed command that runs ``text``, or the call's prepared statement, on ``connection``.

    Prepares the statement there if it is new to the connection; ``opens`` the call's cursor. Raises SqlError.
    """
    execution = call.execution
    if execution is None:
        return frame(bytes([Command.QUERY]) + text_for(call, place, text))
    cursor = execution.cursor if opens else None
    given, kind, reading = text_for(call, place, execution.text), execution.bound.kind, execution.reading
    if cursor is None:
        handle = await connection.prepare(given, kind, reading)
    else:
        handle = await cursor.prepare(place, connection, given, reading)
    number = handle.id.to_bytes(4, "little")
    parts = [
        frame(bytes([Command.STMT_SEND_LONG_DATA]) + number + index.to_bytes(2, "little") + value)
        for index, value in execution.long_data.items()
    ]  # they have no answer, so they may share a write with what has
    parts.append(frame(execute_payload(handle.id, execution.bound, execution.payload, cursor=cursor is not None)))
    return b"".join(parts)


async def answer_to(call: Call, place: Place, connection: BackendConnection, text: bytes) -> Ok | Rows:
    """What one server answers to ``text``, or to the call's prepared statement. Raises SqlError."""
    if call.execution is not None:
        return await connection.collect(await command_for(call, place, connection, text, opens=False))
    given = text_for(call, place, text)
    if not call.binary_rows:
        return await connection.query(given)
    handle = await connection.prepare_apart(given)
    try:
        return await connection.command(execute_payload(handle.id, NOTHING_BOUND, b""))
    finally:
        connection.forget(handle.id)
