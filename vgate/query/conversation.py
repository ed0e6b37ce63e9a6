"""One client's statements, from their text to the end of their answer.

Two ways through, with the seam in ``fast``: a statement whose plan is known, whose one shard follows from a literal and
for which a ready connection is idle, is relayed in the same callback that brought it, without a task; all else
is an ordinary coroutine, ``run``. Statements the session answers itself are in ``query.own``. It does not know packets'
framing beyond the command byte, nor how the client is connected.

Invariants
1. One statement at a time: the frontend calls ``fast`` or ``run`` only when the last one has ended.
2. Each statement ends with exactly one ``down.ready()`` (fast) or return (run), after its answer's last byte was
   written.
3. ``fast`` changes nothing before it is certain to relay.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final, Protocol, assert_never

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.engine.insert import InsertRun
from vgate.engine.output import AnswerCut, Downstream, Output
from vgate.engine.route import run_any, run_every, run_next, run_route
from vgate.engine.single import run_single, settle
from vgate.errors import (
    EMPTY_QUERY,
    NO_DATABASE,
    NO_SUCH_TABLE,
    UNREADABLE,
    UNSUPPORTED,
    SqlError,
    VgateError,
)
from vgate.planner.build import access_of, plan, syntax_error
from vgate.planner.catalog import NeedTables
from vgate.planner.columns import TableInfo
from vgate.planner.plan import (
    Access,
    AnyShard,
    EveryShard,
    Insert,
    NextValue,
    Pass,
    Plan,
    Planned,
    Refuse,
    Route,
)
from vgate.planner.resolve import fast_point
from vgate.query import grants
from vgate.query.cache import Cached, Slots
from vgate.query.gate import Gate
from vgate.query.own import OwnStatements
from vgate.query.prepared import PreparedStatements
from vgate.query.ties import commits_implicitly, reads_insert_id, tie
from vgate.session.login import Login
from vgate.session.session import Diagnostic, Session
from vgate.session.target import Target
from vgate.sql.lexer import LexError, LexMode, VersionedComment, lexer_for
from vgate.sql.statements import FIRST_WORDS, recognise
from vgate.sql.versioned import expand
from vgate.transactions.scope import Scope
from vgate.vschema.model import TableName, VSchema
from vgate.wire.binary import execute_payload
from vgate.wire.constants import Capability, Status
from vgate.wire.packets import err_payload, frame, read_ok
from vgate.wire.response import Response

_FIRST_WORD: Final = re.compile(rb"[\s(]*([A-Za-z]+)")
_NEXT: Final = re.compile(rb"\bnext\b", re.I)
LONG: Final = 1 << 15
"""Bytes of a statement that is read in slices."""

ATTEMPTS: Final = 3
"""How often a plan is made anew because tables it needs had to be asked for."""


class Client(Downstream, Protocol):
    """The client's connection as its conversation sees it."""

    def ready(self) -> None:
        """The answer is complete; the next command may come."""
        ...

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine for the rest of this command."""
        ...


class Catalog:
    """What the planner may look at: the VSchema and the tables asked for so far."""

    def __init__(self, gate: Gate) -> None:
        self._cluster = gate.cluster

    @property
    def vschema(self) -> VSchema:
        return self._cluster.vschema

    def table(self, name: TableName) -> TableInfo | None:
        return self._cluster.table(name)


class Conversation:
    """See the module."""

    def __init__(self, gate: Gate, login: Login, down: Client) -> None:
        self.gate = gate
        self.session = Session(login)
        self.session.settings = gate.settings_of_login(login)
        self.down = down
        self.restricted = login.keyspaces is not None or login.read_only
        self.found_rows = bool(login.capabilities & Capability.FOUND_ROWS)
        self.scope = Scope(gate.cluster, self.session, found_rows=self.found_rows)
        self.own = OwnStatements(self)
        self.prepared = PreparedStatements(self)
        self.mode = LexMode()
        self._again = b""  # the framed COM_QUERY, or the payload of the COM_STMT_EXECUTE, under way
        self._executes = False
        self._place = ("", 0)
        self._passed = False
        self._cached: Cached | None = None
        self.session.target = gate.target(login.database) if login.database else Target()
        self.refresh()

    # -- what follows from the session's state --------------------------------------------------------------------

    def refresh(self) -> None:
        """Target or settings changed: how text is read and which plans apply."""
        session = self.session
        values = session.settings.values
        facts = self.gate.cluster.facts_for(session.target.keyspace)
        sql_mode = values.get("sql_mode", f"'{facts.sql_mode}'").upper()
        charset = values.get("character_set_client", "utf8mb4").strip("'")
        self.mode = LexMode(
            charset=charset,
            ansi_quotes="ANSI_QUOTES" in sql_mode,
            no_backslash_escapes="NO_BACKSLASH_ESCAPES" in sql_mode,
            pipes_as_concat="PIPES_AS_CONCAT" in sql_mode,
        )
        self.no_auto_value_on_zero = "NO_AUTO_VALUE_ON_ZERO" in sql_mode
        self.lexer = lexer_for(self.mode)
        self._split = self.lexer.split
        target = session.target
        version = self.gate.cluster.vschema.version
        self.partition = self.gate.plans.partition((target, version, self.mode))
        self.any_index = 0
        if target.keyspace is not None and target.shard is not None:
            keyspace = self.gate.cluster.vschema.keyspace(target.keyspace)
            self.any_index = keyspace.shard_map.index_of(target.shard) or 0
        self._expected = Status.AUTOCOMMIT if session.autocommit else 0

    # -- the fast path --------------------------------------------------------------------------------------------

    def fast(self, packet: bytes) -> bool:
        """Relay a framed COM_QUERY at once, if all it needs is at hand; False (and nothing done) otherwise."""
        if len(packet) > LONG or self.restricted:
            return False
        try:
            shape, slots = self._split(packet[5:])
        except LexError:
            return False
        cached = self.partition.fast.get(shape)
        if cached is None:
            return False
        connection = self._connection_for(cached, slots)
        if connection is None:
            return False
        self._again = packet
        self._executes = False
        self.down.attach(connection)
        connection.relay(packet, self)
        return True

    def fast_execution(self, payload: bytes) -> bool:
        """As ``fast``, for a COM_STMT_EXECUTE of a statement that the connection at hand has prepared."""
        statement = self.prepared.find(int.from_bytes(payload[1:5], "little"))
        if statement is None or statement.own is not None or statement.long_data or self.restricted:
            return False
        cached = self.partition.fast.get(statement.template.shape)
        if cached is None:
            return False
        try:
            bound = statement.read(payload)
        except VgateError:
            return False
        connection = self._connection_for(cached, statement.template.slots(self.prepared.literals(bound)))
        if connection is None:
            return False
        handle = connection.handles.get((connection.settings, statement.template.text))
        if handle is None:
            self.scope.give_back(self._place, connection)
            return False
        self._again = payload
        self._executes = True
        self.down.attach(connection)
        connection.relay(frame(execute_payload(handle.id, bound, payload)), self)
        return True

    def _connection_for(self, cached: Cached, slots: Slots) -> BackendConnection | None:
        """A ready connection to the one shard that these literals lead to; None where that takes more than a look."""
        servers = self.gate.cluster.keyspaces[cached.fast_keyspace]
        if cached.point is not None:
            keyspace_id = cached.point(slots)
            if keyspace_id is None:
                return None
            index = servers.find(keyspace_id)
        else:
            index = self.any_index
        session = self.session
        scope = self.scope
        if scope.held or session.in_transaction or not session.autocommit:
            place = (cached.fast_keyspace, index)
            held = scope.held.get(place)
            if (
                held is None
                or not held.usable
                or held.settings is not session.settings
                or not session.autocommit
                or scope.broken
                or (session.in_transaction and place not in scope.begun)
            ):
                return None
            connection = held
            scope.using.add(place)
        else:
            taken = servers.pools[self.found_rows][index].take_now(session.settings)
            if taken is None:
                return None
            connection = taken
        self._place = (cached.fast_keyspace, index)
        self._cached = cached
        self._passed = False
        return connection

    def received(self, data: bytes, response: Response) -> None:
        self._passed = True
        self.down.write(data)

    def finished(self, connection: BackendConnection) -> None:
        session = self.session
        response = connection.response
        self.down.detach()
        expected = session.in_transaction
        if response.error is not None or response.warnings or (response.status & Status.IN_TRANS) != expected:
            self.down.start(self._settle(connection, response))
            return
        if response.ok is not None:
            ok = read_ok(response.ok)
            session.row_count = ok.affected
            if ok.insert_id:
                session.insert_id = ok.insert_id
        else:
            session.row_count = -1
        if session.diagnostics:
            session.diagnostics = []
        self.scope.give_back(self._place, connection)
        self.down.ready()

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        self.down.detach()
        self.scope.give_back(self._place, connection)
        if self._passed:
            self.down.abort()
        elif self._cached is not None and self._cached.read and not self.scope.transactional:
            again = self._again
            self.down.start(self.prepared.execute(again) if self._executes else self.run(again[5:]))
        else:
            if self._place in self.scope.begun:
                self.scope.drop(self._place)
            self.down.write(frame(err_payload(error.errno, error.sqlstate, error.message), 1))
            self.down.ready()

    async def _settle(self, connection: BackendConnection, response: Response) -> None:
        """The rest of a fast statement that ended with warnings, an error or another transaction state."""
        call = self.call(b"", [], Output(self.down, self.session), None)
        try:
            await settle(call, self._place, connection, response)
        except SqlError as error:
            self.session.diagnostics = [Diagnostic("Error", error.errno, error.message)]
        finally:
            self.scope.give_back(self._place, connection)

    # -- the whole path -------------------------------------------------------------------------------------------

    async def run(self, text: bytes) -> None:
        """Answer a COM_QUERY, whatever it holds; errors become ERR packets."""
        out = Output(self.down, self.session)
        try:
            pieces = await self._pieces(text)
            for number, piece in enumerate(pieces, 1):
                out.more = number < len(pieces)
                if not await self.statement(piece, out):
                    return
        except AnswerCut:
            self.down.abort()
        except SqlError as error:
            out.more = False
            self.session.diagnostics = [Diagnostic("Error", error.errno, error.message)]
            self.session.row_count = -1
            out.error(error)

    async def _pieces(self, text: bytes) -> list[bytes]:
        """The statements of one command: several only for a client that asked for MULTI_STATEMENTS."""
        if b";" not in text:
            return [text]
        facts = self.gate.cluster.facts_for(self.session.target.keyspace)
        try:
            try:
                spans = await self._spans(text)
            except VersionedComment:
                text = expand(text, self.mode, facts.flavour, facts.number)
                spans = await self._spans(text)
        except LexError as error:
            raise syntax_error(text, error.offset, error.reason) from None
        if len(spans) > 1 and not self.session.login.capabilities & Capability.MULTI_STATEMENTS:
            raise syntax_error(text, spans[1][0])
        return [text[start:end] for start, end in spans] or [b""]

    async def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Where the statements are. The semicolon that ends a single statement needs no look at the rest of it."""
        if text.find(b";") >= len(text.rstrip(b"; \t\r\n")):
            return [(0, text.find(b";"))]
        steps = self.lexer.statements(text)
        spans: list[tuple[int, int]] = []
        for number, span in enumerate(steps):
            if span is not None:
                spans.append(span)
            elif number % 16 == 0:
                await asyncio.sleep(0)
        return spans

    async def statement(self, text: bytes, out: Output) -> bool:
        """Answer one statement; False if its answer was an error the server gave."""
        text, shape, slots = await self._read(text)
        first = _FIRST_WORD.match(shape)
        word = first[1].lower() if first else b""
        if not word and not shape.strip():
            raise EMPTY_QUERY()
        if word in FIRST_WORDS and (word != b"select" or _NEXT.search(shape)):
            own = recognise(text, self.mode)
            if own is not None:
                await self.own.run(own, text, out)
                return True
        if word == b"select" and await self.own.local_select(shape, text, out):
            return True
        cached = await self.cached(text, shape, slots)
        return await self.execute(cached, self.call(text, slots, out, cached))

    async def cached(self, text: bytes, shape: bytes, slots: Slots) -> Cached:
        """The plan of a statement, made if it is new."""
        return self.partition.find(shape, slots) or await self._plan(text, shape, slots)

    def syntax(self, text: bytes, error: LexError) -> VgateError:
        """What a client is told of text that cannot be read."""
        return syntax_error(text, error.offset, error.reason)

    async def _read(self, text: bytes) -> tuple[bytes, bytes, Slots]:
        """(text to send, shape, literals): versioned comments are expanded as the servers at hand would."""
        try:
            try:
                shape, slots = await self._shape(text)
            except VersionedComment:
                facts = self.gate.cluster.facts_for(self.session.target.keyspace)
                text = expand(text, self.mode, facts.flavour, facts.number)
                shape, slots = await self._shape(text)
        except LexError as error:
            raise syntax_error(text, error.offset, error.reason) from None
        return text, shape, slots

    async def _shape(self, text: bytes) -> tuple[bytes, Slots]:
        """The statement split; a long one in slices, so that other clients are served in between."""
        if len(text) < LONG:
            return self._split(text)
        steps = self.lexer.split_slowly(text)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: tuple[bytes, Slots] = done.value
                return result
            await asyncio.sleep(0)

    def call(self, text: bytes, slots: Slots, out: Output, cached: Cached | None) -> Call:
        call = Call(text, slots, self.mode, self.session, self.scope, out)
        if cached is not None:
            call.pins = cached.pins
            call.insert_id_read = cached.insert_id_read
        return call

    async def _plan(self, text: bytes, shape: bytes, slots: Slots) -> Cached:
        target = self.session.target
        if target.keyspace is not None and target.shard is not None:
            word = _FIRST_WORD.match(shape)
            verb = word[1].decode().lower() if word else ""
            planned = Planned(Pass(target.keyspace, access_of(verb, shape)))
        else:
            planned = await self.planned(text, shape, target.keyspace)
        cached = self._cached_plan(planned, shape)
        if not isinstance(planned.plan, Refuse):
            self.partition.add(shape, slots, cached, planned.depends)
        return cached

    def keyspace_of(self, node: Plan) -> str:
        """The keyspace whose servers a plan asks."""
        match node:
            case Insert(table=table):
                return table.name.keyspace
            case NextValue(sequence=sequence):
                return sequence.keyspace
            case Refuse(error=error):
                raise error
            case _:
                return node.keyspace

    async def planned(self, text: bytes, shape: bytes, keyspace: str | None) -> Planned:
        """A plan that is not kept."""
        catalog = Catalog(self.gate)
        for _ in range(ATTEMPTS):
            planned = plan(text, shape, self.mode, keyspace, catalog)
            if not isinstance(planned, NeedTables):
                return planned
            for name in planned.tables:
                if await self.gate.cluster.load_table(name) is None:
                    raise NO_SUCH_TABLE(name=str(name))
        raise NO_SUCH_TABLE(name=keyspace or "")

    async def plan_for_explain(self, text: bytes) -> tuple[Planned, Slots]:
        """The plan of a statement and its literals, for VEXPLAIN."""
        text, shape, slots = await self._read(text)
        return await self.planned(text, shape, self.session.target.keyspace), slots

    def _cached_plan(self, planned: Planned, shape: bytes) -> Cached:
        node = planned.plan
        cached = Cached(node, tie(shape), reads_insert_id(shape), commits_implicitly(shape))
        plain = not (cached.pins or cached.insert_id_read or cached.implicit_commit)
        match node:
            case Route() if plain and not self._renamed(node.keyspace):
                cached.point = fast_point(node)
                cached.fast_keyspace = node.keyspace
                cached.read = node.access is Access.READ
            case Pass() | AnyShard() if plain and not self._renamed(node.keyspace):
                cached.anywhere = True
                cached.fast_keyspace = node.keyspace
                cached.read = isinstance(node, AnyShard) or node.access is Access.READ
        return cached

    def _renamed(self, keyspace: str) -> bool:
        return self.gate.cluster.keyspaces[keyspace].renamed

    async def execute(self, cached: Cached, call: Call) -> bool:
        """Run a plan; False if its answer was an error the server gave."""
        session = self.session
        node = cached.plan
        if isinstance(node, Refuse):
            if node.error.fault is UNREADABLE:
                await self._let_a_server_read(call)
            raise node.error
        if self.restricted:
            grants.check(session.login, node)
        if cached.implicit_commit and session.in_transaction:
            await self.scope.commit()
        uses_tables = not isinstance(node, AnyShard | NextValue | EveryShard) and not cached.implicit_commit
        if not session.autocommit and not session.in_transaction and uses_tables:
            session.begin()
        if cached.pins and not isinstance(node, Pass):
            raise UNSUPPORTED(construct=f"{cached.pins} on a sharded keyspace; aim at one shard (use `keyspace:shard`)")
        match node:
            case Pass():
                ok = await run_single(call, (node.keyspace, self.any_index), call.text, node.access)
                if cached.implicit_commit:
                    self._tables_changed(node.keyspace)
                return ok
            case AnyShard():
                return await run_any(call, node)
            case Route():
                return await run_route(call, node)
            case Insert():
                run = InsertRun(
                    call, node, self.gate.sequences, no_auto_value_on_zero=self.no_auto_value_on_zero,
                    max_rows=self.gate.max_insert_rows,
                )  # fmt: skip
                return await run.run()
            case NextValue():
                await run_next(call, node, self.gate.sequences)
                return True
            case EveryShard():
                try:
                    await run_every(call, node)
                finally:
                    self._tables_changed(node.keyspace)
                return True
        assert_never(node)

    async def _let_a_server_read(self, call: Call) -> None:
        """A statement that sqlglot does not read may be no SQL at all: PREPARE tells, and runs nothing.

        Raises ServerError with the server's own complaint. The text travels as a variable's value, so that no
        sql_mode or character set can make anything else of it.
        """
        place = (self.keyspace(), self.any_index)
        connection = await self.scope.take(place)
        try:
            await connection.query(f"SET @vgate_statement = x'{call.text.hex()}'")
            try:
                await connection.query("PREPARE vgate_statement FROM @vgate_statement")
                await connection.query("DEALLOCATE PREPARE vgate_statement")
            finally:
                if connection.usable:
                    await connection.query("SET @vgate_statement = NULL")
        finally:
            self.scope.give_back(place, connection)

    def _tables_changed(self, keyspace: str) -> None:
        """DDL ran: tables and plans have to be looked at anew."""
        self.gate.cluster.forget_tables(keyspace)
        self.gate.plans.clear()

    def keyspace(self) -> str:
        """The selected keyspace. Raises NO_DATABASE (1046)."""
        name = self.session.target.keyspace
        if name is None:
            raise NO_DATABASE()
        return name

    async def field_list(self, packet: bytes) -> None:
        """COM_FIELD_LIST: the columns of a table, as one shard has them."""
        place = (self.keyspace(), self.any_index)
        connection = await self.scope.take(place)
        try:
            await Output(self.down, self.session).relay(connection, packet, columns_only=True)
        finally:
            self.scope.give_back(place, connection)

    def capabilities(self, flags: int) -> None:
        """COM_SET_OPTION changed what the client may do."""
        self.session.login = replace(self.session.login, capabilities=flags)

    async def reset(self) -> None:
        """COM_RESET_CONNECTION: as if the client had just logged in, but for the target."""
        await self.scope.close()
        self.prepared.clear()
        self.session.reset()
        self.session.settings = self.gate.settings_of_login(self.session.login)
        self.refresh()

    async def close(self) -> None:
        """The client is gone."""
        await self.scope.close()
