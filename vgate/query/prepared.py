"""Prepared statements over the binary protocol: what a client prepared, bound and sent ahead, and how it is executed.

A statement is planned like its text with literals in place of the parameters (``sql.parameters``), so both share their
plans. Where one shard answers, or several answer rows, it runs prepared on the servers: each connection prepares it
on first use, and its binary rows pass through undecoded. Writes that are rewritten (INSERT into shards, writes on
several shards, DDL) and statements that the session answers itself run as text, with the parameters as literals; they
answer an OK either way. It does not know packets' framing.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
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
    SqlError,
)
from vgate.planner.build import syntax_error
from vgate.planner.plan import Across, AnyShard, InsertQuery, Pass, Planned, Refuse, Route, Schemas, VindexRows
from vgate.query.asking import ASKS, filled_columns
from vgate.query.attributes import FUNCTION, parametrised
from vgate.query.cache import Cached
from vgate.query.known import KnownExecution, known_execution
from vgate.query.loads import divides
from vgate.query.mixed import Mixed, bigint, mixed
from vgate.query.pieces import without_nul
from vgate.query.prepared_statement import Attributed, ByRow, Own, PreparedStatement, SequenceLook
from vgate.query.reaching import look
from vgate.query.sequence_ddl import CREATE_COLUMNS, OF_TYPE, WORDS
from vgate.query.ties import bare, names_no_table
from vgate.query.uservars import CONSTRUCT as VARIABLE
from vgate.sql.insert_query import read_insert_query
from vgate.sql.lexer import LexError, VersionedComment, same_characters, says_nothing
from vgate.sql.nextval import Asking, Item, marked
from vgate.sql.parameters import Template, literal, read_template
from vgate.sql.qualify import qualified
from vgate.sql.sequences import ShowCreateSequence, recognise_sequence
from vgate.sql.statements import (
    Begin,
    ReleaseSavepoint,
    RollbackTo,
    Savepoint,
    SelectNext,
    ShowVgate,
    Use,
    recognise,
)
from vgate.sql.versioned import Flavour, expand
from vgate.transactions.scope import Place
from vgate.wire.binary import Execution as Bound
from vgate.wire.binary import (
    bigint_rows,
    prepare_ok,
)
from vgate.wire.packets import bigint_column, eof_payload
from vgate.wire.prepare import Handle

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation


READ_ONLY: Final = 1
"""The flag of COM_STMT_EXECUTE that asks for a cursor."""

_READ_OTHERWISE: Final = "executing such a statement that was prepared under another sql_mode; prepare it anew"
_OTHER_CHARACTERS: Final = "executing such a text that was prepared under another SET NAMES; prepare it anew"
_EMPTY_END: Final = re.compile(rb"(?:\A|;)\s*;\s*\Z")
LIMIT: Final = 16_382
"""Statements one client may have prepared: MySQL's default of max_prepared_stmt_count."""


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
        ended = without_nul(text)
        if not _EMPTY_END.search(ended):  # else the NUL is the error that it is to servers
            text = ended
        if not text.strip(b"; \t\r\n"):
            raise EMPTY_QUERY()
        conversation = self._conversation
        template = self._template(text)
        own = await self._own(template)
        nothing = says_nothing(template.shape)
        if self._flavour is Flavour.MYSQL and (nothing or _is_text_only(own)):
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
        if own is not None or nothing:
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

    def _columns_told(self, own: Own | None) -> tuple[bytes, ...]:
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
            case Refuse() if target.keyspace is not None and divides(conversation, template.stand_in):
                return await self._show(template.text, (target.keyspace, conversation.any_index))
            case Refuse(error=error):
                if error.fault in (SYNTAX, UNREADABLE) and target.keyspace is not None:  # in the server's own words
                    call = conversation.call(template.text, [], self._out(), None)
                    await let_a_server_read(call, (target.keyspace, conversation.any_index), call.text)
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
            changed = conversation.gate.cluster.tables_changed
            handle = await connection.prepare(text_for(call, where, text), tables=changed)
            rename = columns_of(call, where)
            return handle if rename is None else replace(handle, columns=tuple(map(rename.renamed, handle.columns)))

        return await look(conversation, place, conversation.scope.borrow, prepare)

    def _statement(self, number: int, template: Template, own: Own | None) -> PreparedStatement:
        conversation = self._conversation
        session = conversation.session
        return PreparedStatement(
            number, template, self._flavour, session.target, conversation.mode, session.settings.reading, own
        )

    def _answer(self, template: Template, own: Own | None, handle: Handle, sequence: int) -> None:
        self._last_id += 1
        self._statements[self._last_id] = self._statement(self._last_id, template, own)
        session = self._conversation.session
        if not session.keeps_warnings or not names_no_table(bare(template.shape, self._conversation.lexer)):
            session.diagnostics = []
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
        statement = self._statement(0, template, await self._own(template))
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
            if statement.suits(statement.target, conversation.mode):
                return await self._execute_here(statement, bound, payload, out)
            if not same_characters(statement.mode, conversation.mode):
                raise UNSUPPORTED(construct=_OTHER_CHARACTERS)
            with conversation.reading_as(statement.mode):
                return await self._execute_here(statement, bound, payload, out)

    async def _execute_here(self, statement: PreparedStatement, bound: Bound, payload: bytes, out: Output) -> bool:
        conversation = self._conversation
        template, own = statement.template, statement.own
        if isinstance(own, SelectNext):
            await self._next(own, bound, out)
            return True
        if isinstance(own, SequenceLook):
            call = conversation.call(own.text, [], out, None)
            call.execution = Execution(own.text, bound, payload, statement.ahead(), statement.reading)
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
        ahead = statement.ahead()
        if isinstance(own, ByRow | Mixed):
            asking, values = await conversation.asking.values_of(template.text)
            now = mixed(template, asking, conversation.mode)
            own, template = None, now.template
            bound, payload, ahead = now.bound(bound, ahead, map(bigint, values))
        elif isinstance(own, Attributed):
            given, template = conversation.attributes.values(own.names), own.mixed.template
            bound, payload, ahead = own.mixed.bound(bound, ahead, given)
            own = None
        if says_nothing(template.shape):  # but a comment
            out.ok()
            return True
        literals = self.literals(bound)
        if own is not None or conversation.own.answers_itself(template.shape):
            self._check_text()
            return await conversation.statement(template.filled(literals), out)
        slots = template.slots(literals)
        cached = await conversation.cached(template.stand_in, template.shape, slots)
        loads = template.shape[:4].lower() == b"load" and divides(conversation, template.stand_in)
        if loads or isinstance(cached.plan, InsertQuery):
            self._check_text()
            return await conversation.statement(template.filled(literals), out)
        if cached.found.pins == VARIABLE and not isinstance(cached.plan, Pass):
            self._check_text()
            execution = Execution(template.text, bound, payload, ahead, statement.reading)
            return await conversation.variables.statement(template.filled(literals), cached, slots, out, execution)
        binary = isinstance(cached.plan, Pass | AnyShard | Route | Across | Schemas | VindexRows)
        call = conversation.call(template.filled(literals), slots, out, cached)
        if binary:
            cursor = None if isinstance(cached.plan, VindexRows) else self._cursor(bound, call)
            call.execution = Execution(template.text, bound, payload, ahead, statement.reading, cursor)
            if cursor is not None:
                return await self._with_cursor(statement, cursor, cached, call)
        else:
            self._check_text()
        return await conversation.execute(cached, call)

    def _check_text(self) -> None:
        """What is sent as text is read as the session's settings say. Raises UNSUPPORTED where that is otherwise."""
        if self._conversation.reads_otherwise:
            raise UNSUPPORTED(construct=_READ_OTHERWISE)

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
        self._conversation.session.row_count = 0
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

_NEXTVAL: Final = bigint_column(b"nextval").payload()
_PARAMETER: Final = bigint_column(b"?").payload()
