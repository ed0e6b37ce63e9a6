"""Prepared statements over the binary protocol: what a client prepared, bound and sent ahead, and how it is executed.

A statement is planned like its text with literals in place of the parameters (``sql.parameters``), so both share their
plans. Where one shard answers, or several answer rows, it runs prepared on the servers: each connection prepares it
on first use, and its binary rows pass through undecoded. Writes that are rewritten (INSERT into shards, writes on
several shards, DDL) and statements that the session answers itself run as text, with the parameters as literals; they
answer an OK either way. It does not know packets' framing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call, Execution
from vgate.engine.cursor import Cursor
from vgate.engine.gather import prepare_gathered
from vgate.engine.judge import let_a_server_read
from vgate.engine.output import AnswerCut, Output
from vgate.engine.rename import columns_of, text_for
from vgate.engine.vindex_rows import without_rows
from vgate.errors import (
    EMPTY_QUERY,
    MALFORMED,
    NO_CURSOR,
    SYNTAX,
    TOO_MANY_STATEMENTS,
    UNKNOWN_STATEMENT,
    UNREADABLE,
    UNSUPPORTED,
    UNSUPPORTED_PREPARED,
    WRONG_ARGUMENTS,
    SqlError,
)
from vgate.planner.build import syntax_error
from vgate.planner.plan import Across, AnyShard, InsertQuery, Pass, Planned, Refuse, Route, Schemas, VindexRows
from vgate.query.asking import ASKS, filled_columns
from vgate.query.attributes import FUNCTION, parametrised
from vgate.query.cache import Cached
from vgate.query.known import KnownExecution, known_execution
from vgate.query.mixed import Mixed, bigint, mixed
from vgate.query.sequence_ddl import CREATE_COLUMNS, OF_TYPE, WORDS
from vgate.query.uservars import CONSTRUCT as VARIABLE
from vgate.session.target import Target
from vgate.sql.insert_query import read_insert_query
from vgate.sql.lexer import LexError, LexMode, VersionedComment, reads_otherwise
from vgate.sql.nextval import Asking, Item, marked
from vgate.sql.parameters import Template, literal, read_template
from vgate.sql.qualify import qualified
from vgate.sql.sequences import SequenceStatement, ShowCreateSequence, recognise_sequence
from vgate.sql.statements import (
    Begin,
    ReleaseSavepoint,
    RollbackTo,
    Savepoint,
    SelectNext,
    ShowVgate,
    Statement,
    Use,
    recognise,
)
from vgate.sql.versioned import Flavour, expand
from vgate.transactions.scope import Place
from vgate.wire.binary import Execution as Bound
from vgate.wire.binary import (
    MissingValues,
    Types,
    UnboundTypes,
    UnknownType,
    bigint_rows,
    prepare_ok,
    read_execution,
)
from vgate.wire.packets import MalformedPacket, bigint_column, eof_payload
from vgate.wire.prepare import Handle

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation


@dataclass(frozen=True, slots=True)
class SequenceLook:
    """A look at sequences' definitions: what the metadata keyspace's server is asked, of the keyspace then in use."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Attributed:
    """A statement that asks for query attributes, of these names."""

    mixed: Mixed
    names: list[bytes]


@dataclass(frozen=True, slots=True)
class ByRow:
    """A SELECT from tables with sequences' values of which each row has its own: as servers know it."""

    template: Template
    items: list[Item]


Own = Statement | Asking | Attributed | ByRow | Mixed | SequenceLook | SequenceStatement
"""What the session answers itself."""

READ_ONLY: Final = 1
"""The flag of COM_STMT_EXECUTE that asks for a cursor."""

_READ_OTHERWISE: Final = "executing such a text that was prepared under another sql_mode or SET NAMES; prepare it anew"
LIMIT: Final = 16_382
"""Statements one client may have prepared: MySQL's default of max_prepared_stmt_count."""


@dataclass(slots=True)
class PreparedStatement:
    """What a client prepared. ``types`` are those of its last execution, which it need not repeat.

    ``own``: the statement if the session answers it itself. ``long_data``: values sent ahead, by parameter.
    ``flavour``: whose errors answer what cannot be read. ``target`` and ``mode``: where, and how read, it was prepared.
    """

    id: int
    template: Template
    flavour: Flavour
    target: Target
    mode: LexMode
    own: Own | None = None
    types: Types | None = None
    long_data: dict[int, bytearray] = field(default_factory=dict)
    cursor: Cursor | None = None

    def suits(self, target: Target, mode: LexMode) -> bool:
        """True where it was prepared in what is in use, under what it is read now."""
        if self.target is not target and self.target == target:
            self.target = target  # to be known at a glance
        if self.mode is not mode and not reads_otherwise(self.template.text, self.mode, mode):
            self.mode = mode
        return self.target is target and self.mode is mode

    def close_cursor(self) -> None:
        """Close the cursor of the last execution, if it is open."""
        cursor, self.cursor = self.cursor, None
        if cursor is not None:
            cursor.close()

    def read(self, payload: bytes) -> Bound:
        """Read a COM_STMT_EXECUTE of this statement, and keep its types. Raises WRONG_ARGUMENTS, MALFORMED.

        What was sent ahead is gone where that fails, but for MySQL's.
        """
        ahead = {index: bytes(value) for index, value in self.long_data.items()} if self.long_data else None
        mariadb = self.flavour is Flavour.MARIADB
        try:
            bound = read_execution(payload, self.template.parameters, self.types, ahead)
            if ahead is not None and not _SENT_AHEAD[self.flavour].issuperset(bound.types[2 * one] for one in ahead):
                raise MissingValues("a value was sent ahead for a parameter whose type has none")
        except (UnboundTypes, MalformedPacket) as error:
            if mariadb:
                self.long_data.clear()
            if isinstance(error, UnboundTypes | UnknownType) or (mariadb and isinstance(error, MissingValues)):
                raise WRONG_ARGUMENTS() from None
            raise MALFORMED(what=str(error)) from None
        self.types = bound.types
        return bound


def _ahead(statement: PreparedStatement) -> dict[int, bytes]:
    return {index: bytes(value) for index, value in statement.long_data.items()}


class PreparedStatements:
    """The prepared statements of one client, by id."""

    __slots__ = ("_conversation", "_last_id", "_statements", "known")

    def __init__(self, conversation: Conversation) -> None:
        self.known: dict[bytes, KnownExecution] = {}  # by the id's bytes
        self._conversation = conversation
        self._statements: dict[int, PreparedStatement] = {}
        self._last_id = 0

    def find(self, number: int) -> PreparedStatement | None:
        """The statement of that id."""
        return self._statements.get(number)

    def keep(self, packet: bytes, statement: PreparedStatement, bound: Bound, cached: Cached) -> None:
        """Know executions that begin as this one, and no longer those that began as the one before."""
        known = known_execution(packet, statement, bound, cached)
        if known is None:
            self.known.pop(packet[5:9], None)
        else:
            self.known[packet[5:9]] = known

    # -- preparing ------------------------------------------------------------------------------------------------

    async def prepare(self, text: bytes, sequence: int = 1) -> None:
        """COM_STMT_PREPARE, answered from that packet number on.

        Raises SqlError: what the planner refuses, and what a server says of the text; SHOW WARNINGS will say it, too.
        """
        try:
            await self._prepare(text, sequence)
        except SqlError as error:
            session = self._conversation.session
            session.failed(error)
            session.row_count = -1
            raise

    async def _prepare(self, text: bytes, sequence: int) -> None:
        if len(self._statements) >= LIMIT:
            raise TOO_MANY_STATEMENTS(limit=LIMIT)
        if not text.strip(b"; \t\r\n"):
            raise EMPTY_QUERY()
        conversation = self._conversation
        template = self._template(text)
        own = await self._own(template)
        if self._flavour is Flavour.MYSQL and _is_text_only(own):
            raise UNSUPPORTED_PREPARED()
        if isinstance(own, SelectNext):
            await conversation.own.sequence_of(own)
            self._answer(template, own, Handle(0, (_PARAMETER,) * template.parameters, (_NEXTVAL,)), sequence)
            return
        if isinstance(own, Asking):
            columns = tuple(bigint_column(item.name).payload() for item in own.items)
            self._answer(template, own, Handle(0, (_PARAMETER,) * template.parameters, columns), sequence)
            return
        if isinstance(own, SequenceLook):
            handle = await self._show(own.text, await conversation.asking.definitions.place())
            self._answer(template, own, handle, sequence)
            return
        if isinstance(own, Attributed | ByRow | Mixed):
            known = own.mixed.template if isinstance(own, Attributed) else own.template
            handle = await self._look(known)
            columns = filled_columns(own.items, handle.columns) if isinstance(own, ByRow) else handle.columns
            handle = replace(handle, parameters=(_PARAMETER,) * template.parameters, columns=columns)
            self._answer(template, own, handle, sequence)
            return
        if own is not None:
            columns = self._columns_told(own)
            self._answer(template, own, Handle(0, (_PARAMETER,) * template.parameters, columns), sequence)
            return
        if own is None and conversation.session.target.shard is None:
            counted = conversation.own.counted_column(template.shape)
            if counted is not None:
                self._answer(template, None, Handle(0, (), (counted.payload(),)), sequence)
                return
        handle = await self._look(template)
        if len(handle.parameters) != template.parameters:
            raise UNSUPPORTED(construct="a prepared statement whose parameters vgate counts otherwise than the server")
        self._answer(template, None, handle, sequence)

    async def _own(self, template: Template) -> Own | None:
        """What the session answers itself, if that is what it is."""
        conversation = self._conversation
        own: Own | None = recognise(template.text, conversation.mode)
        if own is None and FUNCTION in template.shape.lower() and conversation.on_mysql:
            own = Attributed(*parametrised(template, conversation.session, conversation.lexer, conversation.mode))
        return own or await self._of_sequences(template)

    def _columns_told(self, own: Own) -> tuple[bytes, ...]:
        """The columns that are told of before an execution: as MariaDB does of a count, but not of other SHOWs of the
        session.
        """
        if isinstance(own, ShowCreateSequence):
            return tuple(one.payload() for one in CREATE_COLUMNS)
        name = _COUNTS.get(own.what) if isinstance(own, ShowVgate) else None
        return () if name is None else (self._conversation.own.columns.value(name).payload(),)

    async def _of_sequences(self, template: Template) -> Own | None:
        """A statement that asks for sequences' values, changes them or shows them."""
        conversation = self._conversation
        if conversation.session.target.shard is not None:
            return None
        if WORDS.search(template.shape) is not None or OF_TYPE.search(template.shape) is not None:
            look = conversation.asking.definitions.look(template.text, template.shape)
            if look is not None:
                return SequenceLook(look)
            statement = recognise_sequence(template.text, conversation.mode)
            if statement is not None:
                return statement
        found = await conversation.asking.asking(template.text) if ASKS.search(template.shape) else None
        if found is None:
            return None
        asking = found[0]
        if asking.by_row:
            template, rest, items = await self._marked(template, asking)
            return ByRow(template if rest is None else rest.template, items)
        if asking.verb == "select" and not asking.alone:
            return mixed(template, asking, conversation.mode)
        return asking

    async def _marked(self, template: Template, asking: Asking) -> tuple[Template, Mixed | None, list[Item]]:
        """The statement with marks in the places of the items that ask by row, and as what it runs if it asks more."""
        conversation = self._conversation
        text, items = marked(template.text, asking)
        template = read_template(text, conversation.mode)
        rest = await conversation.asking.asking(text)
        return template, None if rest is None else mixed(template, rest[0], conversation.mode), items

    def _template(self, text: bytes) -> Template:
        conversation = self._conversation
        try:
            if conversation.session.target.system is not None:
                text = qualified(text, conversation.lexer)
            try:
                return read_template(text, conversation.mode)
            except VersionedComment:
                facts = conversation.gate.cluster.facts_for(conversation.session.target.keyspace)
                return read_template(expand(text, conversation.mode, facts.flavour, facts.number), conversation.mode)
        except LexError as error:
            raise syntax_error(text, error.offset, error.reason) from None

    async def _look(self, template: Template) -> Handle:
        """What the statement looks like, as a server says. Raises the error of a statement that is refused."""
        conversation = self._conversation
        target = conversation.session.target
        if target.keyspace is not None and target.shard is not None:
            return await self._show(template.text, (target.keyspace, conversation.any_index))
        planned: Planned = await conversation.planned(template.stand_in, template.shape, target.keyspace)
        unknown = (_PARAMETER,) * template.parameters  # where the server is asked about another text
        match planned.plan:
            case Refuse(error=error):
                if error.fault in (SYNTAX, UNREADABLE) and target.keyspace is not None:  # in the server's own words
                    call = conversation.call(template.text, [], self._out(), None)
                    await let_a_server_read(call, (target.keyspace, conversation.any_index))
                raise error
            case VindexRows(keyspace=keyspace):
                text = without_rows(template.stand_in, conversation.mode, len(template.parts[0]))
                return replace(await self._show(text, (keyspace, 0)), parameters=unknown)
            case Across(keyspace=keyspace, gather=gather):
                call = conversation.call(template.text, [], self._out(), None)
                return replace(await prepare_gathered(call, keyspace, gather), parameters=unknown)
            case InsertQuery():
                found = read_insert_query(template.text, conversation.mode)
                assert found is not None
                handle = await self._look(read_template(found.query, conversation.mode))
                return replace(handle, parameters=unknown, columns=())
            case plan:
                return await self._show(template.text, (conversation.keyspace_of(plan), 0))

    async def _show(self, text: bytes, place: Place) -> Handle:
        """Prepare the statement on a connection to ``place``, without drawing it into the transaction."""
        conversation = self._conversation
        call = conversation.call(text, [], self._out(), None)

        async def prepare(where: Place, connection: BackendConnection) -> Handle:
            handle = await connection.prepare(text_for(call, where, text))
            rename = columns_of(call, where)
            return handle if rename is None else replace(handle, columns=tuple(map(rename.renamed, handle.columns)))

        return await conversation.look(place, conversation.scope.borrow, prepare)

    def _answer(self, template: Template, own: Own | None, handle: Handle, sequence: int) -> None:
        self._last_id += 1
        conversation = self._conversation
        self._statements[self._last_id] = PreparedStatement(
            self._last_id, template, self._flavour, conversation.session.target, conversation.mode, own
        )
        out = self._out(sequence)
        out.send(prepare_ok(self._last_id, len(handle.columns), template.parameters, handle.warnings))
        for definitions in (handle.parameters, handle.columns):
            for definition in definitions:
                out.send(definition)
            if definitions:
                out.send(eof_payload(out.status))

    # -- executing ------------------------------------------------------------------------------------------------

    async def once(self, text: bytes, out: Output) -> bool:
        """Answer a statement without parameters as if it had been prepared; False after a server's error."""
        template = self._template(text)
        conversation = self._conversation
        target, mode = conversation.session.target, conversation.mode
        statement = PreparedStatement(0, template, self._flavour, target, mode, await self._own(template))
        return await self._execute(statement, Bound(0, 0, b"", b"", 0, []), b"", out)

    async def execute(self, payload: bytes, sequence: int = 1) -> None:
        """COM_STMT_EXECUTE, answered from that packet number on. Errors become ERR packets, as a text statement's do.
        """
        conversation = self._conversation
        out = self._out(sequence)
        out.binary = True
        try:
            statement = self._find(payload)
            statement.close_cursor()
            conversation.running = statement.template.text
            conversation.began = asyncio.get_running_loop().time()
            bound = statement.read(payload)
            try:
                await self._execute(statement, bound, payload, out)
            finally:
                statement.long_data.clear()  # after an error, too
        except AnswerCut:
            conversation.down.abort()
        except SqlError as error:
            conversation.session.failed(error)
            conversation.session.row_count = -1
            out.error(error)

    async def _execute(self, statement: PreparedStatement, bound: Bound, payload: bytes, out: Output) -> bool:
        conversation = self._conversation
        if statement.suits(conversation.session.target, conversation.mode):
            return await self._execute_here(statement, bound, payload, out)
        with conversation.aimed(statement.target):
            if not statement.suits(statement.target, conversation.mode):
                raise UNSUPPORTED(construct=_READ_OTHERWISE)
            return await self._execute_here(statement, bound, payload, out)

    async def _execute_here(self, statement: PreparedStatement, bound: Bound, payload: bytes, out: Output) -> bool:
        conversation = self._conversation
        template, own = statement.template, statement.own
        if isinstance(own, SelectNext):
            await self._next(own, bound, out)
            return True
        if isinstance(own, SequenceLook):
            call = conversation.call(own.text, [], out, None)
            call.execution = Execution(own.text, bound, payload, _ahead(statement))
            return await conversation.asking.definitions.ask(call)
        if isinstance(own, ByRow):  # with the sequences that there are by now
            found = await conversation.asking.asking(template.text)
            if found is not None and found[0].by_row:
                template, rest, items = await self._marked(template, found[0])
                inner = replace(statement, template=template, own=rest)
                run = partial(self._run, inner, bound._replace(flags=0), payload)  # all rows at once: no cursor
                return await conversation.asking.by_row(items, found[1], out, run)
        return await self._run(statement, bound, payload, out)

    async def _run(self, statement: PreparedStatement, bound: Bound, payload: bytes, out: Output) -> bool:
        """Answer an execution; False if its answer was an error that a server gave."""
        conversation = self._conversation
        template, own = statement.template, statement.own
        ahead = _ahead(statement)
        if isinstance(own, ByRow | Mixed):
            asking, values = await conversation.asking.values_of(template.text)
            now = mixed(template, asking, conversation.mode)
            own, template = None, now.template
            bound, payload, ahead = now.bound(bound, ahead, map(bigint, values))
        elif isinstance(own, Attributed):
            given, template = conversation.attributes.values(own.names), own.mixed.template
            bound, payload, ahead = own.mixed.bound(bound, ahead, given)
            own = None
        literals = self.literals(bound)
        if own is not None or conversation.own.answers_itself(template.shape):
            return await conversation.statement(template.filled(literals), out)
        slots = template.slots(literals)
        cached = await conversation.cached(template.stand_in, template.shape, slots)
        if isinstance(cached.plan, InsertQuery):
            return await conversation.statement(template.filled(literals), out)
        if cached.found.pins == VARIABLE and not isinstance(cached.plan, Pass):
            execution = Execution(template.text, bound, payload, ahead)
            return await conversation.variables.statement(template.filled(literals), cached, slots, out, execution)
        binary = isinstance(cached.plan, Pass | AnyShard | Route | Across | Schemas | VindexRows)
        call = conversation.call(template.filled(literals), slots, out, cached)
        if binary:
            cursor = None if isinstance(cached.plan, VindexRows) else self._cursor(bound, call)
            call.execution = Execution(template.text, bound, payload, ahead, cursor)
            if cursor is not None:
                return await self._with_cursor(statement, cursor, cached, call)
        return await conversation.execute(cached, call)

    def _cursor(self, bound: Bound, call: Call) -> Cursor | None:
        """A cursor where one is asked for. Else all rows are sent at once, as a server does where it opens none."""
        session = call.session
        if not bound.flags & READ_ONLY or session.isolation_once or call.counts_found_rows:
            return None
        return Cursor(call.scope)

    async def _with_cursor(self, statement: PreparedStatement, cursor: Cursor, cached: Cached, call: Call) -> bool:
        try:
            done = await self._conversation.execute(cached, call)
        except BaseException:
            cursor.close()
            raise
        if cursor.parts:
            statement.cursor = cursor
        return done

    def literals(self, bound: Bound) -> list[bytes]:
        """The parameters as SQL. Raises UNSUPPORTED."""
        mode = self._conversation.mode
        return [literal(kind, unsigned, value, mode) for kind, unsigned, value in bound.parameters]

    async def _next(self, own: SelectNext, bound: Bound, out: Output) -> None:
        """SELECT NEXT ? VALUES: the count may come as an integer or as text."""
        if bound.parameters:
            parameter = bound.parameters[0]
            count = parameter.integer()
            if count is None:
                count = int(parameter.value) if parameter.value is not None and parameter.value.isdigit() else 0
            own = replace(own, count=count)
        given = await self._conversation.own.next_value(own)
        for part in bigint_rows([_NEXTVAL], given, eof_payload(out.status)):
            out.send(part)

    # -- the rest -------------------------------------------------------------------------------------------------

    def send_long_data(self, payload: bytes) -> None:
        """COM_STMT_SEND_LONG_DATA: kept until the next execution; there is no answer, not even to a wrong id.

        But MySQL's error where it is cut off. Raises MALFORMED.
        """
        if len(payload) < 7 and self._flavour is Flavour.MYSQL:
            raise MALFORMED(what="COM_STMT_SEND_LONG_DATA cut off")
        statement = self._statements.get(int.from_bytes(payload[1:5], "little"))
        if statement is not None:
            index = int.from_bytes(payload[5:7], "little")
            if index < statement.template.parameters:
                statement.long_data.setdefault(index, bytearray()).extend(payload[7:])

    def close(self, payload: bytes) -> None:
        """COM_STMT_CLOSE: no answer. Servers' handles stay for whoever prepares the same text.

        But MySQL's error where it is cut off. Raises MALFORMED.
        """
        if len(payload) < 5 and self._flavour is Flavour.MYSQL:
            raise MALFORMED(what="COM_STMT_CLOSE cut off")
        self.known.pop(payload[1:5], None)
        statement = self._statements.pop(int.from_bytes(payload[1:5], "little"), None)
        if statement is not None:
            statement.close_cursor()

    async def reset(self, payload: bytes) -> None:
        """COM_STMT_RESET: forget what was sent ahead, and close the cursor."""
        statement = self._find(payload)
        statement.long_data.clear()
        statement.close_cursor()
        self._out().ok()

    async def fetch(self, payload: bytes) -> None:
        """COM_STMT_FETCH. Raises NO_CURSOR (1421) where none is open."""
        statement = self._find(payload)
        if len(payload) < 9:
            raise MALFORMED(what="COM_STMT_FETCH cut off")
        if statement.cursor is None:
            raise NO_CURSOR(id=statement.id)
        out = self._out()
        try:
            if not await statement.cursor.fetch(out, int.from_bytes(payload[5:9], "little")):
                statement.cursor = None
        except AnswerCut:
            self._conversation.down.abort()
        except SqlError as error:
            statement.close_cursor()
            self._conversation.session.failed(error)
            out.error(error)

    def clear(self) -> None:
        """COM_RESET_CONNECTION closes all."""
        for statement in self._statements.values():
            statement.close_cursor()
        self._statements.clear()
        self.known.clear()

    @property
    def _flavour(self) -> Flavour:
        conversation = self._conversation
        return conversation.gate.cluster.facts_for(conversation.session.target.keyspace).flavour

    def _find(self, payload: bytes) -> PreparedStatement:
        if len(payload) < 5:
            raise MALFORMED(what="no statement id")
        number = int.from_bytes(payload[1:5], "little")
        found = self._statements.get(number)
        if found is None:
            raise UNKNOWN_STATEMENT(id=number)
        return found

    def _out(self, sequence: int = 1) -> Output:
        return Output(self._conversation.down, self._conversation.session, sequence)


def _is_text_only(statement: Own | None) -> bool:
    """True for what the session answers itself, and MySQL does not prepare."""
    if isinstance(statement, ShowVgate):
        return statement.what in _DIAGNOSTICS
    return isinstance(statement, Use | Begin | Savepoint | RollbackTo | ReleaseSavepoint)


_COUNTS: Final = {"count_warnings": "@@session.warning_count", "count_errors": "@@session.error_count"}
_DIAGNOSTICS: Final = frozenset({"warnings", "errors", *_COUNTS})

_SENT_AHEAD: Final = {
    Flavour.MARIADB: frozenset({0x0F, *range(0xF7, 0x100)}),
    Flavour.MYSQL: frozenset(range(0xF9, 0xFF)),
}
"""The types of parameters that may be sent ahead: strings and bytes."""

_NEXTVAL: Final = bigint_column(b"nextval").payload()
_PARAMETER: Final = bigint_column(b"?").payload()
