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
from vgate.engine.output import Downstream, Output, error_payload
from vgate.engine.single import certainly_generated, settle
from vgate.errors import EMPTY_QUERY, SqlError, VgateError
from vgate.planner.plan import Refuse
from vgate.query.cache import KEYS, ZEROS, Cached, Partition, Slots
from vgate.query.gate import Gate
from vgate.query.prepared import PreparedStatements
from vgate.query.prepared_statement import PreparedStatement
from vgate.session.session import Session
from vgate.sql.lexer import Lexer, LexError, LexMode
from vgate.transactions.scope import Place, Scope
from vgate.vindex.base import KeyspaceId
from vgate.wire.binary import Execution as Bound
from vgate.wire.binary import execute_payload
from vgate.wire.constants import Status
from vgate.wire.packets import frame, read_ok
from vgate.wire.response import Response

_IN_TRANS: Final = Status.IN_TRANS
_NO_STATUS: Final = -1

LONG: Final = 1 << 15
"""Bytes of a statement that is read in slices."""


class Client(Downstream, Protocol):
    """The client's connection as its conversation sees it."""

    def ready(self) -> None:
        """The answer is complete; the next command may come."""
        ...

    def answered(self, data: bytes) -> None:
        """The whole answer of the server attached: ``detach``, ``write`` and ``ready``."""
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
    mode: LexMode
    restricted: bool
    found_rows: bool
    any_index: int
    _split: Callable[[bytes, Mapping[bytes, int]], tuple[bytes, Slots]]

    def __init__(self) -> None:
        self._again = b""  # the framed COM_QUERY or COM_STMT_EXECUTE under way
        self._executes = False
        self._index = 0
        self._pool: Pool | None = None
        self._passed = False
        self._cached = Cached(Refuse(EMPTY_QUERY()))

    async def run(self, text: bytes, sequence: int = 1) -> None:
        """The whole path."""
        raise NotImplementedError

    def call(self, text: bytes, slots: Slots, out: Output, cached: Cached | None) -> Call:
        """One statement on its way through the engine."""
        raise NotImplementedError

    def fast(self, packet: bytes) -> BackendConnection | None:
        """Relay a framed COM_QUERY at once, if all it needs is at hand: who answers it; None (and nothing done) if not.
        """
        if len(packet) > LONG or self.restricted:
            return None
        known = self.partition.texts.get(packet.translate(ZEROS))
        if known is not None and packet.startswith(known.before) and packet.endswith(known.after):
            cached = known.cached
            number = int(packet[known.start : known.end])
            keyspace_id = cached.place(number) if number <= cached.greatest else None
        else:
            try:
                shape, slots = self._split(packet[5:], self.partition.plain)
            except LexError:
                return None
            found = self.partition.fast.get(shape)
            if found is None:
                return None
            cached = found
            if known is None and cached.slot >= 0 and cached.keys < KEYS:
                self._keep(packet, slots, cached)
            keyspace_id = cached.point(slots) if cached.point is not None else None
        connection = self._connection_for(cached, keyspace_id)
        if connection is not None:
            self._again = packet
            self._executes = False
            connection.ask(packet, self, cached.head, self._expected)
        return connection

    def _keep(self, packet: bytes, slots: Slots, cached: Cached) -> None:
        """Let the text be known the next time, whatever number routes it then."""
        raw = slots[cached.slot]
        if isinstance(raw, bytes) and raw.isdigit() and len(raw) <= len(str(cached.greatest)):
            start, end = self.lexer.locate(packet[5:])[2][cached.slot]
            self.partition.keep_text(packet, (start + 5, end + 5), cached)

    def fast_execution(self, packet: bytes) -> BackendConnection | None:
        """As ``fast``, for a COM_STMT_EXECUTE of a statement that the connection at hand has prepared."""
        known = self.prepared.known.get(packet[5:9])
        if known is None or len(packet) != known.size or not packet.startswith(known.begin):
            return self._new_execution(packet)
        cached = known.cached
        statement = known.statement
        if (
            self.partition.fast.get(statement.template.shape) is not cached
            or not statement.suits(self.session.target, self.mode)
            or statement.types is not known.bound.types  # another execution has said other types since
            or statement.long_data
            or statement.cursor is not None
        ):
            return self._new_execution(packet)
        keyspace_id = None
        if known.number is not None:
            (number,) = known.number(packet, known.at)
            if not 0 <= number <= cached.greatest:
                return self._new_execution(packet)
            keyspace_id = cached.place(number)
        connection = self._connection_for(cached, keyspace_id)
        if connection is None:
            return None
        settings = connection.settings.kept_under(statement.reading)
        opening = connection.openings.get((settings, known.key))
        if opening is None:
            return self._execute_first(packet, statement, known.bound, connection, cached)
        self._again = packet
        self._executes = True
        connection.ask(opening + packet[known.values_at :], self, cached.prepared_head, self._expected)
        return connection

    def _new_execution(self, packet: bytes) -> BackendConnection | None:
        """An execution that does not begin as the one before."""
        payload = packet[4:]
        statement = self.prepared.find(int.from_bytes(payload[1:5], "little"))
        if statement is None or statement.own is not None or statement.long_data or self.restricted:
            return None
        if not statement.suits(self.session.target, self.mode):
            return None
        cached = self.partition.fast.get(statement.template.shape)
        if cached is None or len(payload) > LONG:
            return None
        try:
            bound = statement.read(payload)
            literals = self.prepared.literals(bound)
        except VgateError:
            return None
        if bound.flags or statement.cursor is not None:
            return None
        self.prepared.keep(packet, statement, bound, cached)
        slots = statement.template.slots(literals)
        keyspace_id = cached.point(slots) if cached.point is not None else None
        connection = self._connection_for(cached, keyspace_id)
        return None if connection is None else self._execute_first(packet, statement, bound, connection, cached)

    def _execute_first(
        self, packet: bytes, statement: PreparedStatement, bound: Bound, connection: BackendConnection, cached: Cached
    ) -> BackendConnection | None:
        """Relay an execution that does not begin as one before, on this connection."""
        text = statement.template.text
        settings = connection.settings.kept_under(statement.reading)
        handle = connection.handles.get((settings, text, bound.kind))
        if handle is None:
            if self._pool is not None:
                self._pool.release(connection)
            return None
        command = frame(execute_payload(handle.id, bound, packet[4:]))
        known = self.prepared.known.get(packet[5:9])
        if known is not None:
            connection.open_as((settings, known.key), command[: len(command) - known.size + known.values_at])
        self._again = packet
        self._executes = True
        connection.ask(command, self, cached.prepared_head, self._expected)
        return connection

    def _connection_for(self, cached: Cached, keyspace_id: KeyspaceId | None) -> BackendConnection | None:
        """A ready connection to the shard of that keyspace id; None where that takes more than a look.

        Of a plan without ``point`` the shard is that of all such plans.
        """
        servers = self.gate.cluster.keyspaces[cached.fast_keyspace]
        if keyspace_id is not None:
            index = servers.find(keyspace_id)
        elif cached.point is None:
            index = self.any_index
        else:
            return None
        session = self.session
        if session.isolation_once:
            return None
        if self.scope.held or session.in_transaction:
            connection = self._held_connection((cached.fast_keyspace, index))
            self._pool = None
        elif session.savepoints:  # the statement begins the transaction that has them
            return None
        else:
            self._pool = pool = servers.pools[self.found_rows][index]
            connection = pool.take_now(session.settings)
        self._index = index
        self._cached = cached
        self._passed = False
        if connection is not None and not cached.read:
            connection.written = True
        return connection

    def _held_connection(self, place: Place) -> BackendConnection | None:
        """The connection to ``place`` that the session holds, if it is ready."""
        session, scope = self.session, self.scope
        held = scope.held.get(place)
        if (
            held is None
            or not held.usable
            or held.settings is not session.settings
            or scope.broken
            or (session.in_transaction and place not in scope.begun)
        ):
            return None
        return held

    @property
    def _expected(self) -> int:
        """IN_TRANS or 0, as the status of an answer has it that changes nothing.

        With autocommit off any answer changes something where no transaction is open: see ``engine.single.let_go``.
        """
        session = self.session
        return session.in_transaction if session.in_transaction or session.autocommit else _NO_STATUS

    @property
    def _place(self) -> Place:
        """The shard that was asked last."""
        return self._cached.fast_keyspace, self._index

    def answered(self, data: bytes, connection: BackendConnection) -> None:
        """What ``received`` and ``finished`` do with a known result of one row and no warnings."""
        session = self.session
        session.row_count = -1
        session.found_rows = None
        if session.warning_count:
            self._forget_diagnostics()
        if self._pool is not None:
            self._pool.release(connection)
        self.down.answered(data)

    def _forget_diagnostics(self) -> None:
        session = self.session
        if session.warning_count and not (session.keeps_warnings and self._cached.found.names_no_table):
            session.diagnostics = []

    def received(self, data: bytes, response: Response) -> None:
        self._passed = True
        self.down.write(data)

    def finished(self, connection: BackendConnection) -> None:
        session, cached = self.session, self._cached
        response = connection.response
        self.down.detach()
        if response.error is not None or response.warnings or (response.status & _IN_TRANS) != self._expected:
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
        self._forget_diagnostics()
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
            payload = error_payload(self.session, error)
            connection.response.error = payload
            self.down.write(frame(payload, number))
            self.down.start(self._settle(connection, connection.response))
        elif self._cached.read and self._pool is not None:
            again = self._again
            self.down.start(self.prepared.execute(again[4:]) if self._executes else self.run(again[5:]))
        else:
            self.down.write(frame(error_payload(self.session, error), 1))
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
            self.session.failed(error)
        finally:
            self.scope.give_back(self._place, connection)

    def relayed(self) -> bytes:
        """The statement that was relayed last."""
        if not self._executes:
            return self._again[5:]
        statement = self.prepared.find(int.from_bytes(self._again[5:9], "little"))
        return b"" if statement is None else statement.template.text
