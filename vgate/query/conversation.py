"""One client's statements, from their text to the end of their answer.

Two ways through, with the seam in ``query.fast``: what a known plan and an idle connection can do at once is done in
the callback that brought it; all else is an ordinary coroutine, ``run``. Statements the session answers itself are in
``query.own``. It does not know packets' framing beyond the command byte, nor how the client is connected.

Invariants
1. One statement at a time: the frontend calls ``fast`` or ``run`` only when the last one has ended.
2. Each statement ends with exactly one ``down.ready()`` (fast) or return (run), after its answer's last byte was
   written.
3. ``fast`` changes nothing before it is certain to relay.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar, assert_never

from vgate.engine.call import Call
from vgate.engine.counts import run_counts
from vgate.engine.flush import run_flush
from vgate.engine.insert import InsertRun
from vgate.engine.judge import let_a_server_read
from vgate.engine.listings import LISTING, LISTS_TABLES
from vgate.engine.maintenance import run_maintain
from vgate.engine.output import AnswerCut, Output
from vgate.engine.rename import fields_of
from vgate.engine.route import run_across, run_any, run_everywhere, run_next, run_route
from vgate.engine.schemas import run_schemas
from vgate.engine.single import run_single
from vgate.engine.vindex_rows import run_vindex_rows
from vgate.errors import (
    EMPTY_QUERY,
    NO_DATABASE,
    NO_SUCH_TABLE,
    UNKNOWN_KEYSPACE,
    UNREADABLE,
    UNSUPPORTED,
    SqlError,
)
from vgate.planner.build import access_of, plan, syntax_error
from vgate.planner.catalog import NeedTables
from vgate.planner.plan import (
    Access,
    Across,
    AnyShard,
    EveryShard,
    Everywhere,
    Flush,
    Insert,
    InsertQuery,
    Maintain,
    NextValue,
    Pass,
    Plan,
    Planned,
    Refuse,
    Route,
    Schemas,
    VindexRows,
)
from vgate.planner.resolve import fast_point, number_point
from vgate.query import grants, locks
from vgate.query.asking import SequenceWords, may_concern
from vgate.query.attributes import FUNCTION, QueryAttributes
from vgate.query.beginning import Uses
from vgate.query.cache import Cached, Slots
from vgate.query.catalog import Catalog
from vgate.query.clients import Clients
from vgate.query.fast import LONG, Client, FastPath
from vgate.query.gate import Gate
from vgate.query.implicit_commit import commit_before
from vgate.query.insert_query import insert_query
from vgate.query.loads import load
from vgate.query.named import NAMING, NamedStatements
from vgate.query.own import OwnStatements
from vgate.query.pieces import Pieces
from vgate.query.prepared import PreparedStatements
from vgate.query.speaking import speak
from vgate.query.tables import TableStatements
from vgate.query.ties import FOUND_ROWS, SHARED, findings
from vgate.query.uservars import CONSTRUCT as VARIABLE
from vgate.query.uservars import UserVariables
from vgate.session.login import Login
from vgate.session.session import ANSI_QUOTES, NO_BACKSLASH_ESCAPES, Session
from vgate.session.settings import transcodes
from vgate.session.target import Target
from vgate.sql.lexer import LexError, LexMode, VersionedComment, lexer_for, says_nothing
from vgate.sql.qualify import qualified
from vgate.sql.rows import insert_shape
from vgate.sql.statements import FIRST_WORDS, recognise
from vgate.sql.versioned import Flavour, expand
from vgate.transactions.scope import AT_HOME, Place, Scope
from vgate.wire.constants import Capability

T = TypeVar("T")

_BLANKS: Final = rb"(?:[\s(]|/\*[^\x00]*?\*/|#[^\n]*+|--(?=[\x01-\x20\x7f]|\Z)[^\n]*+)*+"
_FIRST_WORD: Final = re.compile(_BLANKS + rb"([A-Za-z]+)")
_NEXT: Final = re.compile(rb"\bnext\b", re.I)
_INSERT: Final = re.compile(_BLANKS + rb"(?:insert|replace)\b", re.I)

LONG_SHAPE: Final = 1 << 10
"""Bytes of an INSERT's shape from which on its rows are looked at one by one."""

ATTEMPTS: Final = 3
"""How often a plan is made anew because tables it needs had to be asked for."""


class Conversation(FastPath):
    """See the module."""

    def __init__(self, gate: Gate, login: Login, down: Client) -> None:
        super().__init__()
        self.gate = gate
        self.session = Session(login)
        self.session.settings = gate.settings_of_login(login)
        self.down = down
        self.restricted = login.keyspaces is not None or login.read_only
        self.found_rows = bool(login.capabilities & Capability.FOUND_ROWS)
        self.scope = Scope(gate.cluster, self.session, found_rows=self.found_rows)
        self.clients = Clients(gate, gate.living.siblings)
        self.own = OwnStatements(self)
        self.asking = SequenceWords(self)
        self.prepared = PreparedStatements(self)
        self.tables = TableStatements(self)
        self.variables = UserVariables(self)
        self.by_name = NamedStatements(self)
        self.attributes = QueryAttributes()
        self.mode = LexMode()
        self.reads_otherwise = False  # than the session's settings say
        self.of_query = False  # rows that are inserted are those of a query
        self.running = b""  # the statement that runs as a task, since ``began``
        self.began = 0.0
        self.session.target = gate.target(login.database) if login.database else Target()
        self.refresh()

    # -- what follows from the session's state --------------------------------------------------------------------

    @contextmanager
    def aimed(self, target: Target) -> Iterator[None]:
        """What was prepared somewhere runs there, whatever is in use. Where it is a USE, that stays."""
        before = self.session.target
        if target != before:
            self._aim(target)
        try:
            yield
        finally:
            if target != before and self.session.target is target:
                self._aim(before)

    def _aim(self, target: Target) -> None:
        self.session.target = target
        self.refresh()

    @contextmanager
    def reading_as(self, mode: LexMode) -> Iterator[None]:
        """A text that was prepared under another sql_mode is read as it was then. It must not be sent as text."""
        self.refresh(mode)
        try:
            yield
        finally:
            self.refresh()

    def refresh(self, mode: LexMode | None = None) -> None:
        """Target or settings changed: how text is read and which plans apply. ``mode``: how it is read, if not so."""
        session = self.session
        values = session.settings.values
        facts = self.gate.cluster.facts_for(session.target.keyspace)
        sql_mode = values.get("sql_mode", f"'{facts.sql_mode}'").upper()
        charset = values.get("character_set_client", "utf8mb4").strip("'")
        own = LexMode(
            charset=charset,
            ansi_quotes="ANSI_QUOTES" in sql_mode,
            no_backslash_escapes="NO_BACKSLASH_ESCAPES" in sql_mode,
            pipes_as_concat="PIPES_AS_CONCAT" in sql_mode,
            transcodes=transcodes(charset, values.get("collation_connection", charset).strip("'")),
        )
        session.keeps_warnings = facts.flavour is Flavour.MARIADB
        self.mode = mode or own
        self.reads_otherwise = self.mode != own
        session.lexical = NO_BACKSLASH_ESCAPES if own.no_backslash_escapes else 0
        if own.ansi_quotes and facts.flavour is Flavour.MARIADB:
            session.lexical |= ANSI_QUOTES
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

    # -- the whole path -------------------------------------------------------------------------------------------

    async def run(self, text: bytes, sequence: int = 1) -> None:
        """Answer a COM_QUERY, whatever it holds, from that packet number on; errors become ERR packets."""
        self.running, self.began = text, asyncio.get_running_loop().time()
        out = Output(self.down, self.session, sequence)
        try:
            pieces = Pieces(text, several=bool(self.session.login.capabilities & Capability.MULTI_STATEMENTS))
            out.more = True
            while out.more:
                facts = self.gate.cluster.facts_for(self.session.target.keyspace)
                piece = await pieces.cut(self.lexer, facts.flavour, facts.number)
                out.more = pieces.more
                if not await self.statement(piece, out):
                    return
        except AnswerCut:
            self.down.abort()
        except SqlError as error:
            out.more = False
            self.session.found_rows = None
            self.session.failed(error)
            self.session.row_count = -1
            out.error(error)

    async def statement(self, text: bytes, out: Output) -> bool:
        """Answer one statement; False if its answer was an error the server gave."""
        given = text
        text, shape, slots = await self.read(text)
        if FUNCTION in shape.lower() and self.on_mysql:
            text, shape, slots = await self.read(self.attributes.spoken(text, self.session, self.lexer, self.mode))
        first = _FIRST_WORD.match(shape)
        word = first[1].lower() if first else b""
        if not word and says_nothing(shape):
            if not given.strip(b"; \t\r\n"):
                raise EMPTY_QUERY()
            self.session.told_nothing()
            out.ok()  # a comment is a statement, be it one for servers of another version
            return True
        if word == b"set":
            asked = await self._asked(word, text, shape, slots, out)
            if isinstance(asked, bool):
                return asked
            text, shape, slots = asked
        if word in FIRST_WORDS and (word != b"select" or _NEXT.search(shape)):
            own = recognise(text, self.mode)
            if own is not None:
                await self.own.run(own, text, out)
                return True
            if word == b"show" and await self.own.show_as_query(text, out):
                return True
            if word == b"kill":
                raise UNSUPPORTED(construct="KILL of anything but one connection")
        if word == b"select" and await self.own.local_select(shape, text, out):
            return True
        locks.check_statement(self.scope, word, shape)
        if word != b"set":
            asked = await self._asked(word, text, shape, slots, out)
            if isinstance(asked, bool):
                return asked
            text, shape, slots = asked
        if word == b"unlock" and locks.is_everywhere(self):
            return await locks.unlock(self, text, out)
        if word in NAMING:
            done = await self.by_name.answer(text, out)
            if done is not None:
                return done
        cached = await self.cached(text, shape, slots)
        if word == b"load":
            return await load(self, cached, self.call(text, slots, out, cached))
        if isinstance(cached.plan, InsertQuery):
            return await insert_query(self, text, out)
        if cached.found.pins == VARIABLE:
            return await self.variables.statement(text, cached, slots, out)
        call = self.call(text, slots, out, cached)
        if word in NAMING:
            self.by_name.mark(call, executes=word == b"execute")
        return await self.execute(cached, call)

    @property
    def on_mysql(self) -> bool:
        """True in front of MySQL."""
        facts = self.gate.cluster.facts_for(self.session.target.keyspace)
        return facts.flavour is Flavour.MYSQL

    async def _asked(
        self, word: bytes, text: bytes, shape: bytes, slots: Slots, out: Output
    ) -> bool | tuple[bytes, bytes, Slots]:
        """Answer a statement about sequences: then a bool, as ``statement`` has it. Else the one that is to run: values
        are in the places of what asks for them.
        """
        if self.session.target.shard is not None:  # who aims at a shard means its server's own sequences
            return text, shape, slots
        rest = await self.asking.answer(word, text, shape, out)
        if isinstance(rest, bool):
            return rest
        return (text, shape, slots) if rest is text else await self.read(rest)

    async def cached(self, text: bytes, shape: bytes, slots: Slots) -> Cached:
        """The plan of a statement, made if it is new."""
        return self.partition.find(shape, slots) or await self._plan(text, shape, slots)

    async def read(self, text: bytes) -> tuple[bytes, bytes, Slots]:
        """(text to send, shape, literals): versioned comments are expanded as the servers at hand would."""
        try:
            try:
                shape, slots = await self._shape(text)
            except VersionedComment:
                facts = self.gate.cluster.facts_for(self.session.target.keyspace)
                text = expand(text, self.mode, facts.flavour, facts.number)
                shape, slots = await self._shape(text)
            if self.session.target.system is not None:
                text = qualified(text, self.lexer)
                shape, slots = await self._shape(text)
        except LexError as error:
            raise syntax_error(text, error.offset, error.reason) from None
        return text, shape, slots

    async def _shape(self, text: bytes) -> tuple[bytes, Slots]:
        """The statement split; a long one in slices, so that other clients are served in between.

        Of an INSERT whose rows are of many kinds, so that they do not fold, the shape is that of its kinds.
        """
        insert = _INSERT.match(text) is not None
        if len(text) < LONG:
            shape, slots = self.lexer.split(text)
            if not insert or len(shape) < LONG_SHAPE:
                return shape, slots
        steps = insert_shape(text, self.mode) if insert else self.lexer.split_slowly(text)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: tuple[bytes, Slots] = done.value
                await asyncio.sleep(0)  # what was read last may have been long
                return result
            await asyncio.sleep(0)

    def call(self, text: bytes, slots: Slots, out: Output, cached: Cached | None) -> Call:
        call = Call(text, slots, self.mode, self.session, self.scope, out)
        if cached is not None:
            cached.found.mark(call)
            call.uses_tables |= cached.found.uses is Uses.DICTIONARY and self.on_mysql
        return call

    async def _plan(self, text: bytes, shape: bytes, slots: Slots) -> Cached:
        target, plans, partition = self.session.target, self.gate.plans, self.partition
        generation = plans.generation
        if target.keyspace is not None and target.shard is not None:
            word = _FIRST_WORD.match(shape)
            verb = word[1].decode().lower() if word else ""
            planned = Planned(Pass(target.keyspace, access_of(verb, shape)))
        else:
            planned = await self.planned(text, shape, target.keyspace)
        cached = self._cached_plan(planned, shape)
        if not isinstance(planned.plan, Refuse) and generation == plans.generation:
            partition.add(shape, slots, cached, planned.depends)
        return cached

    def keyspace_of(self, node: Plan) -> str:
        """The keyspace whose servers a plan asks."""
        match node:
            case Insert(table=table):
                return table.name.keyspace
            case InsertQuery(table=name):
                return name.keyspace
            case NextValue(sequence=sequence):
                return sequence.keyspace
            case Refuse(error=error):
                raise error
            case _:
                return node.keyspace

    async def planned(self, text: bytes, shape: bytes, keyspace: str | None) -> Planned:
        """A plan that is not kept."""
        catalog = Catalog(self.gate.cluster)
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
        text, shape, slots = await self.read(text)
        return await self.planned(text, shape, self.session.target.keyspace), slots

    def _cached_plan(self, planned: Planned, shape: bytes) -> Cached:
        node = planned.plan
        cached = Cached(node, findings(shape, self.lexer))
        word = _FIRST_WORD.match(shape)
        loads = word is not None and word[1].lower() == b"load"
        lists = LISTING.match(shape) or LISTS_TABLES.match(shape)
        plain = cached.found.ordinary and not loads and not may_concern(shape) and lists is None
        match node:
            case Route() if plain and not self._renamed(node.keyspace):
                cached.point = None if self.mode.transcodes else fast_point(node, self.mode)
                number = number_point(node) if cached.point is not None else None
                if number is not None:
                    cached.slot, cached.greatest, cached.place = number
                cached.fast_keyspace = node.keyspace
                cached.read = node.access is Access.READ
            case Pass(others=()) | AnyShard(shown=None, counted=False) if plain and not self._renamed(node.keyspace):
                cached.anywhere = True
                cached.fast_keyspace = node.keyspace
                cached.read = node.access is Access.READ
        return cached

    def _renamed(self, keyspace: str) -> bool:
        return self.gate.cluster.keyspaces[keyspace].renamed

    async def execute(self, cached: Cached, call: Call) -> bool:
        """Run a plan; False if its answer was an error the server gave."""
        session = self.session
        node = cached.plan
        if isinstance(node, Refuse):
            if node.error.fault is UNREADABLE:
                await let_a_server_read(call, (self.keyspace(), self.any_index), call.text)
            if node.error.fault is UNSUPPORTED:
                self.check_ties(cached)
            if node.error.fault is UNKNOWN_KEYSPACE and cached.found.implicit_commit:  # servers commit first
                await commit_before(self, call, node)
            raise node.error
        if self.restricted:
            grants.check(session.login, node)
        locks.check_plan(self.scope, node)
        self.check_ties(cached)
        if isinstance(node, Pass) and cached.found.pins in AT_HOME:
            await self.variables.go_home(call.text, self.place_of(node))
        if cached.found.speaks:
            speak(call, self.keyspace_of(node))
        if cached.found.implicit_commit:
            await commit_before(self, call, node)
        self.begin_waiting(call)
        match node:
            case Pass():
                if self.is_apart(node):
                    assert node.apart is not None
                    return await run_across(call, node.apart, self.gate.gather)
                settings = session.settings
                try:
                    return await run_single(call, self.place_of(node), call.text, node.access)
                finally:
                    if session.settings is not settings:  # a program has changed them
                        self.refresh()
                    if cached.found.implicit_commit:
                        for keyspace in (node.keyspace, *node.others):
                            await self.gate.living.tables_changed(keyspace)
            case AnyShard(shown=shown) if shown is not None and call.execution is None:
                return await self.tables.show(call, shown)
            case AnyShard(counted=True):
                return await run_counts(call, node)
            case AnyShard():
                return await run_any(call, node)
            case Route():
                return await run_route(call, node, self.gate.gather)
            case Across():
                return await run_across(call, node, self.gate.gather)
            case Insert():
                run = InsertRun(
                    call, node, self.gate.sequences, no_auto_value_on_zero=self.no_auto_value_on_zero,
                    max_rows=self.gate.max_insert_rows, of_query=self.of_query,
                )  # fmt: skip
                return await run.run()
            case InsertQuery():
                return await insert_query(self, call.text, call.out)
            case NextValue():
                await run_next(call, node, self.gate.sequences)
                return True
            case Everywhere():
                await run_everywhere(call, node)
                return True
            case VindexRows():
                return await run_vindex_rows(call, node)
            case Schemas():
                return await run_schemas(call, node, partial(self.clients.processes, session.login))
            case Maintain():
                await run_maintain(call, node)
                return True
            case Flush():
                await run_flush(call, node)
                return True
            case EveryShard():
                await self.tables.run(call, node)
                return True
        assert_never(node)

    def begin_waiting(self, call: Call) -> None:
        """Savepoints that wait for the transaction of a first statement: here it is."""
        if self.session.savepoints and not self.session.in_transaction and call.uses_tables:
            self.session.begin()

    def place_of(self, node: Pass) -> Place:
        """The one shard of an unsharded keyspace, or the one aimed at."""
        return node.keyspace, self.any_index if node.keyspace == self.session.target.keyspace else 0

    def is_apart(self, node: Pass) -> bool:
        """True where a query over several keyspaces is in a transaction that has a connection to each, of which none
        sees what was done on the others. Raises UNSUPPORTED where that cannot be answered.
        """
        apart = [name for name in node.others if (name, 0) in self.scope.held]
        if apart and node.apart is None:
            raise UNSUPPORTED(
                construct=f"tables of several keyspaces ({', '.join([node.keyspace, *node.others])}) in one statement,"
                f" in a session that holds a connection to {', '.join(apart)} alone"
            )
        return bool(apart)

    def check_ties(self, cached: Cached) -> None:
        """Refuse what would be answered for another statement, or from another server, than the client means."""
        found = cached.found
        if found.last_statement and not found.speaks:
            raise UNSUPPORTED(construct=found.last_statement)
        counts = found.counts_found_rows and not isinstance(cached.plan, Route | AnyShard | Across)
        construct = found.pins or (FOUND_ROWS if counts else "")
        if not construct:
            return
        if isinstance(cached.plan, Flush):
            return
        if not isinstance(cached.plan, Pass):
            where = "without a keyspace" if self.session.target.keyspace is None else "on a sharded keyspace"
            raise UNSUPPORTED(construct=f"{construct} {where}; aim at one shard (use `keyspace:shard`)")
        if found.pins and found.pins != VARIABLE:  # these go where they are needed
            self.scope.check_tie(self.place_of(cached.plan), construct, SHARED)

    def keyspace(self) -> str:
        """The selected keyspace. Raises NO_DATABASE (1046)."""
        name = self.session.target.keyspace
        if name is None:
            raise NO_DATABASE()
        return name

    async def field_list(self, packet: bytes) -> None:
        """COM_FIELD_LIST: the columns of a table, as one shard has them."""
        place = (self.keyspace(), self.any_index)
        if packet[5:].split(b"\0")[0].decode("utf-8", "replace") in self.gate.cluster.vschema.routed_names(place[0]):
            raise UNSUPPORTED(construct="COM_FIELD_LIST of a table that a routing rule sends elsewhere")
        connection = await self.scope.take(place)
        try:
            rename = fields_of(self.gate.cluster, place)
            filters = [] if rename is None else [rename]
            await Output(self.down, self.session).relay(connection, packet, columns_only=True, filters=filters)
            self.session.row_count = -1
        finally:
            self.scope.give_back(place, connection)

    def capabilities(self, flags: int) -> None:
        """COM_SET_OPTION changed what the client may do."""
        self.session.login = replace(self.session.login, capabilities=flags)

    async def reset(self) -> None:
        """COM_RESET_CONNECTION: as if the client had just logged in, but for the target."""
        self.prepared.clear()
        self.variables.reset()
        self.by_name.reset()
        await self.scope.close()
        self.session.reset()
        self.session.settings = self.gate.settings_after_reset(self.session.login)
        self.refresh()

    async def close(self) -> None:
        """The client is gone."""
        self.prepared.clear()
        await self.scope.close()
