"""Prepared statements over the binary protocol, as far as vgate answers them itself: ``SELECT NEXT ? VALUES``.

Everything else is refused when it is prepared. It does not know packets' framing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vgate.engine.output import Output
from vgate.errors import MALFORMED, UNKNOWN_STATEMENT, UNSUPPORTED, WRONG_ARGUMENTS
from vgate.sql.statements import SelectNext, recognise
from vgate.wire.binary import bigint_rows, bound_types, bound_values, prepare_ok
from vgate.wire.packets import MalformedPacket, bigint_column, eof_payload

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation


@dataclass(slots=True)
class PreparedNext:
    """A prepared ``SELECT NEXT``; ``types`` are those of its last execution, which a client need not repeat."""

    statement: SelectNext
    parameters: int
    types: list[tuple[int, bool]] | None = None


class PreparedStatements:
    """The prepared statements of one client, by id."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._statements: dict[int, PreparedNext] = {}
        self._last_id = 0

    async def prepare(self, text: bytes) -> None:
        """COM_STMT_PREPARE. Raises UNSUPPORTED for any statement but SELECT NEXT."""
        conversation = self._conversation
        statement = recognise(text, conversation.mode)
        if not isinstance(statement, SelectNext):
            raise UNSUPPORTED(construct="prepared statements over the binary protocol; send statements as text")
        conversation.own.sequence_of(statement)
        self._last_id += 1
        prepared = PreparedNext(statement, 1 if statement.count is None else 0)
        self._statements[self._last_id] = prepared
        out = self._out()
        out.send(prepare_ok(self._last_id, 1, prepared.parameters))
        if prepared.parameters:
            out.send(bigint_column(b"?").payload())
            out.send(eof_payload(out.status))
        out.send(bigint_column(b"nextval").payload())
        out.send(eof_payload(out.status))

    async def execute(self, packet: bytes) -> None:
        """COM_STMT_EXECUTE. Raises UNKNOWN_STATEMENT, WRONG_ARGUMENTS."""
        payload = packet[4:]
        prepared = self._find(payload)
        statement = prepared.statement
        if prepared.parameters:
            try:
                prepared.types = bound_types(payload, 1) or prepared.types
                if prepared.types is None:
                    raise WRONG_ARGUMENTS()
                (value,) = bound_values(payload, prepared.types)
            except MalformedPacket as error:
                raise MALFORMED(what=str(error)) from None
            if isinstance(value, bytes):
                value = int(value) if value.isdigit() else 0
            statement = replace(statement, count=value if value is not None else 0)
        given = await self._conversation.own.next_value(statement)
        out = self._out()
        for part in bigint_rows([bigint_column(b"nextval").payload()], given, eof_payload(out.status)):
            out.send(part)

    def close(self, packet: bytes) -> None:
        """COM_STMT_CLOSE: no answer."""
        self._statements.pop(int.from_bytes(packet[5:9], "little"), None)

    async def reset(self, packet: bytes) -> None:
        """COM_STMT_RESET: there is no long data and no cursor to forget."""
        self._find(packet[4:])
        self._out().ok()

    def clear(self) -> None:
        """COM_RESET_CONNECTION closes all."""
        self._statements.clear()

    def _find(self, payload: bytes) -> PreparedNext:
        number = int.from_bytes(payload[1:5], "little")
        found = self._statements.get(number)
        if found is None:
            raise UNKNOWN_STATEMENT(id=number)
        return found

    def _out(self) -> Output:
        return Output(self._conversation.down, self._conversation.session)
