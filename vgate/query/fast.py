"""The fast path: a statement whose plan is known, whose one shard follows from a literal and for which a ready
connection is idle, is relayed in the same callback that brought it, without a task.

``Conversation`` is the rest of this class, and of what it needs. Nothing is planned here and nothing awaited, but for
the books of a statement that ended with warnings, an error or another transaction state. It does not know packets'
framing beyond the command byte.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Protocol

from vgate.backend.connection import BackendConnection
from vgate.backend.pool import Pool
from vgate.engine.call import Call
from vgate.engine.output import Downstream, Output
from vgate.engine.single import certainly_generated, settle
from vgate.errors import EMPTY_QUERY, SqlError, VgateError
from vgate.planner.plan import Refuse
from vgate.query.cache import KEYS, Cached, Partition, Slots, zeros_for_digits
from vgate.query.gate import Gate
from vgate.query.prepared import PreparedStatements
from vgate.session.session import Diagnostic, Session
from vgate.sql.lexer import Lexer, LexError
from vgate.transactions.scope import Scope
from vgate.wire.binary import execute_payload
from vgate.wire.constants import Status
from vgate.wire.packets import err_payload, frame, read_ok
from vgate.wire.response import Response

_IN_TRANS: Final = Status.IN_TRANS

LONG: Final = 1 << 15
"""Bytes of a statement that is read in slices."""


class Client(Downstream, Protocol):
    """The client's connection as its conversation sees it."""

    def ready(self) -> None:
        """The answer is complete; the next command may come."""
        ...

    def hang_up(self) -> None:
        """Close the connection once the answer has gone out."""
        ...

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine for the rest of this command."""
        ...


class FastPath:
    """See the module. What is only declared is made by ``Conversation``."""

    gate: Gate
    session: Session
    down: Client
    scope: Scope
    prepared: PreparedStatements
    partition: Partition
    lexer: Lexer
    restricted: bool
    found_rows: bool
    any_index: int
    _split: Callable[[bytes, Mapping[bytes, int]], tuple[bytes, Slots]]

    def __init__(self) -> None:
        self._again = b""  # the framed COM_QUERY, or the payload of the COM_STMT_EXECUTE, under way
        self._executes = False
        self._place = ("", 0)
        self._pool: Pool | None = None
        self._passed = False
        self._cached = Cached(Refuse(EMPTY_QUERY()))

    async def run(self, text: bytes, sequence: int = 1) -> None:
        """The whole path."""
        raise NotImplementedError

    def call(self, text: bytes, slots: Slots, out: Output, cached: Cached | None) -> Call:
        """One statement on its way through the engine."""
        raise NotImplementedError

    def fast(self, packet: bytes) -> bool:
        """Relay a framed COM_QUERY at once, if all it needs is at hand; False (and nothing done) otherwise."""
        if len(packet) > LONG or self.restricted:
            return False
        partition = self.partition
        slots: Slots
        text = packet[5:]
        known = partition.texts.get(zeros_for_digits(text))
        if known is not None and text.startswith(known.before) and text.endswith(known.after):
            cached, slots = known.cached, known.slots
            slots[cached.slot] = text[known.start : known.end]
        else:
            try:
                shape, slots = self._split(text, partition.plain)
            except LexError:
                return False
            found = partition.fast.get(shape)
            if found is None:
                return False
            cached = found
            if known is None and cached.slot >= 0 and cached.keys < KEYS:
                self._keep(text, slots, cached)
        connection = self._connection_for(cached, slots)
        if connection is None:
            return False
        self._again = packet
        self._executes = False
        self.down.attach(connection)
        connection.relay(packet, self, head=cached.head)
        return True

    def _keep(self, text: bytes, slots: Slots, cached: Cached) -> None:
        """Let the text be known the next time, whatever number routes it then."""
        raw = slots[cached.slot]
        if isinstance(raw, bytes) and raw.isdigit():
            place = self.lexer.locate(text)[2][cached.slot]
            self.partition.keep_text(text, place, slots, cached)

    def fast_execution(self, payload: bytes) -> bool:
        """As ``fast``, for a COM_STMT_EXECUTE of a statement that the connection at hand has prepared."""
        statement = self.prepared.find(int.from_bytes(payload[1:5], "little"))
        if statement is None or statement.own is not None or statement.long_data or self.restricted:
            return False
        cached = self.partition.fast.get(statement.template.shape)
        if cached is None or len(payload) > LONG:
            return False
        try:
            bound = statement.read(payload)
            literals = self.prepared.literals(bound)
        except VgateError:
            return False
        if bound.flags or statement.cursor is not None:
            return False
        connection = self._connection_for(cached, statement.template.slots(literals))
        if connection is None:
            return False
        handle = connection.handles.get((connection.settings, statement.template.text, bound.types))
        if handle is None:
            if self._pool is not None:
                self._pool.release(connection)
            return False
        self._again = payload
        self._executes = True
        self.down.attach(connection)
        connection.relay(frame(execute_payload(handle.id, bound, payload)), self, head=cached.prepared_head)
        return True

    def _connection_for(self, cached: Cached, slots: Slots) -> BackendConnection | None:
        """A ready connection to the one shard that these literals lead to; None where that takes more than a look."""
        servers = self.gate.cluster.keyspaces[cached.fast_keyspace]
        point = cached.point
        if point is not None:
            keyspace_id = point(slots)
            if keyspace_id is None:
                return None
            index = servers.find(keyspace_id)
        else:
            index = self.any_index
        session = self.session
        scope = self.scope
        if session.isolation_once:
            return None
        if scope.held or session.in_transaction:
            place = (cached.fast_keyspace, index)
            held = scope.held.get(place)
            if (
                held is None
                or not held.usable
                or held.settings is not session.settings
                or scope.broken
                or (session.in_transaction and place not in scope.begun)
            ):
                return None
            connection = held
            self._pool = None
        else:
            pool = servers.pools[self.found_rows][index]
            taken = pool.take_now(session.settings)
            if taken is None:
                return None
            connection = taken
            self._pool = pool
        self._place = (cached.fast_keyspace, index)
        self._cached = cached
        self._passed = False
        return connection

    def received(self, data: bytes, response: Response) -> None:
        self._passed = True
        self.down.write(data)

    def finished(self, connection: BackendConnection) -> None:
        session, cached = self.session, self._cached
        response = connection.response
        self.down.detach()
        expected = session.in_transaction
        if response.error is not None or response.warnings or (response.status & _IN_TRANS) != expected:
            self.down.start(self._settle(connection, response))
            return
        if response.ok is not None:
            ok = read_ok(response.ok)
            if ok.insert_id:
                if self._executes or not certainly_generated(self._again[5:], ok.insert_id):
                    self.down.start(self._settle(connection, response))
                    return
                session.insert_id = ok.insert_id
            session.row_count = ok.affected
        else:
            session.row_count = -1
            if not response.head:
                pass
            elif self._executes:
                cached.prepared_head = response.head
            else:
                cached.head = response.head
        session.found_rows = None
        if session.diagnostics and not (session.keeps_warnings and cached.found.names_no_table):
            session.diagnostics = []
        if self._pool is not None:
            self._pool.release(connection)
        self.down.ready()

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        self.down.detach()
        if self._pool is None:
            self.scope.drop(self._place)
        number = connection.next_number() if self._passed else 1
        if number is None:
            self.down.abort()
        elif self._passed:
            payload = err_payload(error.errno, error.sqlstate, error.message)
            connection.response.error = payload
            self.down.write(frame(payload, number))
            self.down.start(self._settle(connection, connection.response))
        elif self._cached.read and self._pool is not None:
            again = self._again
            self.down.start(self.prepared.execute(again) if self._executes else self.run(again[5:]))
        else:
            self.down.write(frame(err_payload(error.errno, error.sqlstate, error.message), 1))
            self.down.ready()

    async def _settle(self, connection: BackendConnection, response: Response) -> None:
        """The rest of a fast statement that ended with warnings, an error or another transaction state."""
        text = b"" if self._executes else self._again[5:]
        call = self.call(text, [], Output(self.down, self.session), self._cached)
        if self._pool is not None:
            self.scope.enrol(connection)
        try:
            await settle(call, self._place, connection, response)
        except SqlError as error:
            self.session.diagnostics = [Diagnostic("Error", error.errno, error.message)]
        finally:
            self.scope.give_back(self._place, connection)

    def relayed(self) -> bytes:
        """The statement that was relayed last."""
        if not self._executes:
            return self._again[5:]
        statement = self.prepared.find(int.from_bytes(self._again[1:5], "little"))
        return b"" if statement is None else statement.template.text
