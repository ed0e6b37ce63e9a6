"""The statements a session answers itself: USE, transactions, SET, sequences, KILL, and a few SHOWs and SELECTs.

It does not know how other statements are planned or run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from vgate.engine.call import Call
from vgate.engine.output import Output
from vgate.engine.rename import text_for
from vgate.engine.route import run_next
from vgate.engine.single import diagnostics_of, follow_transaction, run_single
from vgate.errors import (
    ACTIVE_TRANSACTION,
    NO_SAVEPOINT,
    UNSUPPORTED,
    WRITE_DENIED,
)
from vgate.planner.build import plan_next
from vgate.planner.explain import explain
from vgate.planner.plan import Access, Const, NextValue, Pass, Refuse
from vgate.query import variables
from vgate.query.beginning import Uses, used_by
from vgate.query.columns import Columns, text_column
from vgate.query.databases import answer_database
from vgate.query.grants import check, check_keyspace, may_use
from vgate.query.kill import kill
from vgate.query.reaching import look
from vgate.query.speaking import with_counts
from vgate.query.ties import SPEAKS, bare, leaves_traces, names_no_table, reads_insert_id, reads_last_statement
from vgate.query.vschema_shows import answer_vschema, like_filter
from vgate.session.session import Diagnostic
from vgate.sql.alter_vschema import AddAutoIncrement, AlterVschema, Change, ShowVschema
from vgate.sql.lexer import TokenKind
from vgate.sql.sequences import Written
from vgate.sql.statements import (
    Assignment,
    Begin,
    Commit,
    DatabaseStatement,
    Kill,
    ReleaseSavepoint,
    Rollback,
    RollbackTo,
    Savepoint,
    SelectNext,
    Set,
    ShowVgate,
    Statement,
    SystemVariable,
    TransactionCharacteristics,
    Use,
    UserVariable,
    Vexplain,
)
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place, Said, savepoint_named
from vgate.wire.packets import ColumnDefinition

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

_COMMENTS: Final = rb"(?:\s|/\*[^\x00]*?\*/|#[^\n]*+|--(?=[\x01-\x20\x7f]|\Z)[^\n]*+)*+"
_LOCAL_SELECT: Final = re.compile(
    _COMMENTS + rb"select" + _COMMENTS
    + rb"(?P<call>(?P<name>database|schema|last_insert_id|row_count|found_rows|connection_id)\s*\(\s*\)"
    rb"|@@(?:(?:session|local)\.)?(?P<variable>last_insert_id|identity|warning_count|error_count))"
    rb"(?:\s+(?:as\s+)?(?:(?P<alias>[A-Za-z_]\w*)|`(?P<quoted>[^`]+)`))?" + _COMMENTS + rb";?" + _COMMENTS,
    re.I,
)
_SHOW_DATABASES: Final = re.compile(
    _COMMENTS + rb"show" + _COMMENTS + rb"(?:databases|schemas|keyspaces)" + _COMMENTS + rb"where\b", re.I
)
_SHOW_PROCESSLIST: Final = re.compile(
    _COMMENTS + rb"show" + _COMMENTS + rb"(?P<full>full)?" + _COMMENTS + rb"processlist" + _COMMENTS + rb";?"
    + _COMMENTS, re.I,
)
_PROCESSES: Final = (
    b"SELECT ID AS Id, USER AS User, HOST AS Host, DB AS db, COMMAND AS Command, TIME AS Time, STATE AS State,"
    b" %b AS Info%b FROM information_schema.PROCESSLIST ORDER BY ID"
)
_KEEPS_FOUND_ROWS: Final = (Use, Begin, Commit, Rollback, Savepoint, RollbackTo, ReleaseSavepoint, Set)
"""Statements after which FOUND_ROWS() is as before; a SET that a server runs says so itself."""

_OF_WARNINGS: Final = ("warnings", "errors", "count_warnings", "count_errors")

_LIMIT: Final = re.compile(rb"\blimit\s+(\d+)(?:\s*(,|offset\b)\s*(\d+))?\s*\Z", re.I)


class OwnStatements:
    """See the module; works on its conversation's session."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.session = conversation.session
        self.scope = conversation.scope
        self._noted: list[Diagnostic] = []  # what the statement at hand warns of

    async def run(self, statement: Statement, text: bytes, out: Output) -> None:
        """Answer ``statement``. Raises SqlError."""
        session = self.session
        self._noted = []
        match statement:
            case Use(target=target):
                await self.use(target)
                out.ok()
            case Begin(modifiers=modifiers):
                if session.in_transaction:
                    modifiers = self._as_before(modifiers)
                    await self.scope.check_ends(commit=True)
                    await self.scope.commit()
                session.savepoints = []
                await self.scope.begin(modifiers, self._targets())
                out.ok()
            case Commit(chain=chain, release=release) | Rollback(chain=chain, release=release):
                await self._finish(out, commit=isinstance(statement, Commit), chain=chain, release=release)
            case Savepoint(name=name):
                if session.in_transaction or not session.autocommit:
                    await self.scope.on_all(f"SAVEPOINT {savepoint_named(name)}")
                    session.savepoint(name)
                out.ok()
            case RollbackTo(name=name) | ReleaseSavepoint(name=name):
                await self._to_savepoint(name, release=isinstance(statement, ReleaseSavepoint))
                out.ok(warnings=len(self._noted))
            case Set(assignments=assignments):
                await self._set(list(assignments), text, out)
            case SelectNext():
                await self._next(statement, text, out)
            case ShowVgate(what=what, like=like):
                self._show(what, like, text, out)
            case ShowVschema():
                answer_vschema(statement, self.session, self.conversation.gate.cluster.vschema, out)
            case Kill():
                await kill(self.conversation, statement, out)
            case Vexplain(start=start):
                await self._explain(text[start:], out)
            case AlterVschema(change=change):
                await self._alter(change)
                out.ok()
            case DatabaseStatement():
                await answer_database(self.conversation, statement, text, out)
                return
            case _:
                assert_never(statement)
        session.row_count = -1 if isinstance(statement, ShowVgate | ShowVschema | SelectNext | Vexplain) else 0
        if not isinstance(statement, _KEEPS_FOUND_ROWS):
            session.found_rows = None
        if isinstance(statement, Set) or (isinstance(statement, ShowVgate) and statement.what in _OF_WARNINGS):
            return
        if self._noted or not session.keeps_warnings or isinstance(statement, ShowVgate | ShowVschema):
            session.diagnostics = self._noted

    # -- target ---------------------------------------------------------------------------------------------------

    async def use(self, text: str) -> None:
        """USE or COM_INIT_DB. Raises VgateError (1049...)."""
        target = self.conversation.gate.target(text)
        if target.keyspace is not None:
            check_keyspace(self.session.login, target.keyspace)
        self.session.target = target
        self.conversation.refresh()

    # -- transactions ---------------------------------------------------------------------------------------------

    async def end(self, *, commit: bool) -> None:
        """COMMIT or ROLLBACK, which also drop what SET TRANSACTION said where no transaction has begun."""
        if self.session.in_transaction:
            await self.scope.check_ends(commit=commit)
            if commit:
                await self.scope.commit()
            else:
                self._note(await self.scope.rollback())
        self.session.isolation_once = ()
        self.session.savepoints = []

    def _note(self, said: list[Said]) -> None:
        """What servers warn of, each thing once."""
        noted = [one for connection, answer in said for one in diagnostics_of(answer, connection)]
        self._noted = list(dict.fromkeys(noted))

    def _targets(self) -> list[Place]:
        """The shards that the session aims at."""
        target = self.session.target
        if target.keyspace is None:
            return []
        if target.shard is not None:
            return [(target.keyspace, self.conversation.any_index)]
        keyspace = self.conversation.gate.cluster.vschema.keyspace(target.keyspace)
        return [(target.keyspace, index) for index in range(len(keyspace.shards))]

    def _as_before(self, modifiers: tuple[str, ...]) -> tuple[str, ...]:
        """To MySQL a transaction that begins inside another one writes or does not as that one, unless it says so."""
        said = any("READ ONLY" in one or "READ WRITE" in one for one in modifiers)
        if said or not self.conversation.on_mysql:
            return modifiers
        return (*modifiers, "READ ONLY" if self.session.read_only else "READ WRITE")

    async def _finish(self, out: Output, *, commit: bool, chain: bool, release: bool) -> None:
        session = self.session
        modifiers: tuple[str, ...] = ()
        if session.in_transaction:  # what the session does by default may have changed since
            modifiers = ("READ ONLY" if session.read_only else "READ WRITE",)
        isolation = session.isolation_once
        await self.end(commit=commit)
        if chain:  # with the characteristics of the one that ended, or would have begun, but for a snapshot
            session.isolation_once = isolation
            await self.scope.begin(modifiers, self._targets())
        out.ok(warnings=len(self._noted))
        if release:
            self.conversation.down.hang_up()

    async def _to_savepoint(self, name: str, *, release: bool) -> None:
        if not self.session.has_savepoint(name):
            raise NO_SAVEPOINT(name=name)
        verb = "RELEASE SAVEPOINT" if release else "ROLLBACK TO SAVEPOINT"
        self._note(await self.scope.on_all(f"{verb} {savepoint_named(name)}"))
        self.session.roll_back_to(name, release=release)

    # -- SET ------------------------------------------------------------------------------------------------------

    async def _set(self, assignments: list[Assignment], text: bytes, out: Output) -> None:
        """All of it or nothing, as far as a server has a say: vgate's own variables come last, as they cannot fail."""
        session = self.session
        scopes = {getattr(one, "scope", "session") for one in assignments}
        if not scopes <= {"session", "once"}:
            if scopes & {"session", "once"}:
                raise UNSUPPORTED(construct="session and global settings in one SET")
            await self._global(text, out)
            return
        if any(self._of_user(one) for one in assignments):
            await self._set_user(assignments, text, out)
            return
        words = bare(text, self.conversation.lexer)
        place = await self._place_of(assignments, words)
        noted: list[Diagnostic] = []
        rest: list[Assignment] = []
        autocommit: bool | None = None
        insert_id: int | None = None
        once: list[str] = []
        for one in assignments:
            if isinstance(one, SystemVariable) and one.name == "autocommit":
                autocommit = variables.autocommit_value(one.value)
                if autocommit is None:
                    autocommit = variables.is_on(await self._made_of(one, place, words, noted))
            elif isinstance(one, SystemVariable) and one.name in variables.PER_STATEMENT:
                insert_id = variables.insert_id(one.value) if one.name != "insert_id" else None
                if insert_id is None:
                    insert_id = int(await self._made_of(one, place, words, noted))
            elif isinstance(one, TransactionCharacteristics) and one.scope == "once":
                await self._try_characteristic(one.text)
                once.append(one.text)
            elif isinstance(one, SystemVariable) and one.scope == "once":
                once.append(variables.characteristic(await self._made_of(one, place, words, noted)))
            else:
                rest.append(one)
        if once and session.in_transaction:
            raise ACTIVE_TRANSACTION()
        if rest:
            noted += await self._apply(rest, place, asks=self._asks(words))
        if not session.in_transaction and self._uses_tables(words):
            session.isolation_once = ()
        session.isolation_once = (*session.isolation_once, *once)
        if insert_id is not None:
            session.insert_id = insert_id
        if autocommit is not None:
            await self._autocommit(autocommit)
        self._set_done(noted, out)

    async def _apply(self, rest: list[Assignment], place: Place, *, asks: bool) -> list[Diagnostic]:
        """Session assignments. ``asks``: no other server than that of ``place`` can say what the values are."""
        if not asks:
            return await look(
                self.conversation, place, self.scope.take,
                lambda _, connection: variables.apply(rest, self.session, connection),
            )  # fmt: skip
        connection = await self.scope.take(place)
        try:
            noted = await variables.apply(rest, self.session, connection)
            await follow_transaction(self.scope, place, connection, connection.response.status)
        finally:
            self.scope.give_back(place, connection)
        return noted

    async def _place_of(self, assignments: list[Assignment], words: bytes) -> Place:
        """The server that can say what the values are. Raises UNSUPPORTED where that takes several."""
        if not self._asks(words):
            return self.place()
        if self.session.target.shard is not None:
            return self.tied_place() or self.place()
        values = [one.value for one in assignments if isinstance(one, SystemVariable)]
        values = [one for one in values if self._asks(b"set x = " + bare(_raw(one), self.conversation.lexer))]
        return await self.conversation.variables.place_of(values, "a system variable")

    @staticmethod
    def _asks(words: bytes) -> bool:
        """True where a table is named, if only one of information_schema."""
        return used_by(words) is not Uses.NOTHING

    async def _made_of(self, one: SystemVariable, place: Place, words: bytes, noted: list[Diagnostic]) -> str:
        """What a server makes of the value of a variable that is the session's own; its warnings are ``noted``.

        Not where it has to read a table: MySQL 9.7 dies of SET autocommit = (SELECT ... FROM ...).
        """
        if one.name == "insert_id" or SPEAKS.search(words) or self._asks(words) or leaves_traces(words):
            raise UNSUPPORTED(construct=f"SET {one.name} = {one.value}")
        async with self.conversation.gate.cluster.connection(*place) as connection:
            await connection.carry(self.session.settings)
            made, warned = await variables.made_of(one, self.session, connection)
        noted += warned
        return made

    def _set_done(self, noted: list[Diagnostic], out: Output) -> None:
        """What is read from now on may be read otherwise; answer with the warnings of a SET."""
        self.conversation.refresh()
        if noted or not self.session.keeps_warnings:
            self.session.diagnostics = noted
        out.ok(warnings=len(noted))

    def _of_user(self, one: Assignment) -> bool:
        """True if the assignment is to a user variable, or reads one."""
        if not isinstance(one, SystemVariable):
            return isinstance(one, UserVariable)
        value = _raw(one.value)
        tokens = self.conversation.lexer.scan(value)
        return any(t.kind is TokenKind.VARIABLE and value[t.start : t.start + 2] != b"@@" for t in tokens)

    async def _set_user(self, assignments: list[Assignment], text: bytes, out: Output) -> None:
        """User variables: on an unsharded keyspace, or a shard aimed at, the session is tied to the server."""
        for one in assignments:
            if isinstance(one, TransactionCharacteristics) or (
                isinstance(one, SystemVariable) and one.name in ("autocommit", *variables.PER_STATEMENT)
            ):
                raise UNSUPPORTED(construct="this SET together with a user variable")
        text = with_counts(self.session, text, self.conversation.lexer)
        variables_of = self.conversation.variables
        place, call = await variables_of.setting(self._call(text, out), self.tied_place())
        text = call.text
        words = bare(text, self.conversation.lexer)
        call.insert_id_read, call.names_no_table = reads_insert_id(words), names_no_table(words)
        call.uses_tables = self._uses_tables(words)
        system = [one for one in assignments if not isinstance(one, UserVariable)]
        if not system:
            found = self.session.found_rows
            await run_single(call, place, text, Access.WRITE)
            if call.names_no_table:
                self.session.found_rows = found
            return
        if call.insert_id_read:
            raise UNSUPPORTED(construct="LAST_INSERT_ID() in a SET of user and system variables")
        connection = await self.scope.take(place, peeks=call.seen_variables)
        try:
            if call.pins:
                self.scope.pin(place, connection)
                self.scope.home_of(place, call.pins)
            noted = await variables.apply(system, self.session, connection, text_for(call, place, text))
            if call.assigns is not None:
                await call.assigns(connection)
        finally:
            self.scope.give_back(place, connection)
        if call.uses_tables and not self.session.in_transaction:
            self.session.isolation_once = ()
        self._set_done(noted, out)

    def _uses_tables(self, words: bytes) -> bool:
        uses = used_by(words)
        return uses is Uses.TABLES or (uses is Uses.DICTIONARY and self.conversation.on_mysql)

    async def _autocommit(self, wanted: bool) -> None:
        session = self.session
        if wanted and not session.autocommit:
            await self.end(commit=True)
        session.settings = session.settings.changed({"autocommit": None if wanted else "0"})

    async def _try_characteristic(self, text: str) -> None:
        """Let a server judge SET TRANSACTION's words; a transaction that does nothing then uses them up."""
        async with self.conversation.gate.cluster.connection(*self.place()) as connection:
            await connection.query(f"SET TRANSACTION {text}")
            await connection.query("COMMIT")

    async def _global(self, text: bytes, out: Output) -> None:
        """SET GLOBAL and its kin belong to one server."""
        place = self._one_shard("SET GLOBAL")
        check(self.session.login, Pass(place[0], Access.WRITE))
        call = self._call(text, out)
        words = bare(text, self.conversation.lexer)
        call.uses_tables, call.names_no_table = self._uses_tables(words), names_no_table(words)
        if await run_single(call, place, text, Access.WRITE):
            # As on one server, sessions that are there keep what they have, and new ones begin with what is new.
            await self.conversation.gate.cluster.renew(*place)

    def place(self) -> Place:
        """A shard whose server may judge a setting: one the session holds, else one of its keyspace, else any."""
        if self.scope.held:
            return next(iter(self.scope.held))
        target = self.session.target
        if target.keyspace is not None:
            return target.keyspace, self.conversation.any_index
        return next(iter(self.conversation.gate.cluster.facts)), 0

    def tied_place(self) -> Place | None:
        """The one server that the session aims at, None where there are several or none."""
        target = self.session.target
        if target.keyspace is None:
            return None
        keyspace = self.conversation.gate.cluster.vschema.keyspace(target.keyspace)
        if keyspace.sharded and target.shard is None:
            return None
        return target.keyspace, self.conversation.any_index

    def _one_shard(self, construct: str) -> Place:
        """The one shard the session aims at. Raises UNSUPPORTED on a sharded keyspace."""
        name = self.conversation.keyspace()
        keyspace = self.conversation.gate.cluster.vschema.keyspace(name)
        if len(keyspace.shards) > 1 and self.session.target.shard is None:
            raise UNSUPPORTED(construct=f"{construct} on a sharded keyspace; aim at one shard (use `keyspace:shard`)")
        return name, self.conversation.any_index

    def _call(self, text: bytes, out: Output, pins: str = "") -> Call:
        return Call(text, [], self.conversation.mode, self.session, self.scope, out, pins)

    # -- sequences ------------------------------------------------------------------------------------------------

    async def sequence_of(self, statement: SelectNext) -> NextValue:
        """The plan of a SELECT NEXT. Raises VgateError where its table is no sequence."""
        keyspace = statement.keyspace or self.session.target.keyspace
        vschema = self.conversation.gate.cluster.vschema
        planned = plan_next(keyspace, statement.sequence, Const(statement.count), vschema)
        if isinstance(planned, Refuse):
            name = await self.conversation.asking.find(Written(statement.keyspace, statement.sequence))
            if name is None:
                raise planned.error
            planned = NextValue(name, Const(statement.count))
        check(self.session.login, planned)
        return planned

    async def next_value(self, statement: SelectNext) -> int:
        """The first of the values a SELECT NEXT asks for."""
        sequence = (await self.sequence_of(statement)).sequence
        values = await self.conversation.gate.sequences.take(sequence, statement.count or 0)
        self.session.given(sequence.keyspace, sequence.table, values[-1])
        return values[0]

    async def _next(self, statement: SelectNext, text: bytes, out: Output) -> None:
        await run_next(self._call(text, out), await self.sequence_of(statement), self.conversation.gate.sequences)

    # -- looking around -------------------------------------------------------------------------------------------

    async def show_as_query(self, text: bytes, out: Output) -> bool:
        """Answer ``SHOW DATABASES WHERE ...`` and ``SHOW PROCESSLIST`` by queries; False for any other statement."""
        processes = _SHOW_PROCESSLIST.fullmatch(text)
        if processes is not None:
            facts = self.conversation.gate.cluster.facts_for(self.session.target.keyspace)
            info = b"INFO" if processes["full"] else b"LEFT(INFO, 100)"
            more = b", PROGRESS AS Progress" if facts.flavour is Flavour.MARIADB else b""
            session = self.session
            noted, count = session.diagnostics, session.warning_count
            done = await self.conversation.statement(_PROCESSES % (info, more), out)
            if done and session.keeps_warnings:
                session.warned(noted, count)
            return done
        found = _SHOW_DATABASES.match(text)
        if found is None:
            return False
        schemata = b"(SELECT SCHEMA_NAME AS `Database` FROM information_schema.SCHEMATA) AS SCHEMATA"
        return await self.conversation.statement(
            b"SELECT * FROM %b WHERE %b ORDER BY `Database`" % (schemata, text[found.end() :].rstrip(b"; \t\r\n")), out
        )

    def _show(self, what: str, like: str | None, text: bytes, out: Output) -> None:
        session = self.session
        if what == "databases" and self.conversation.on_mysql:  # which reads its dictionary
            if session.autocommit and not session.in_transaction:
                session.isolation_once = ()
            elif not session.in_transaction:
                session.begin()
        vschema = self.conversation.gate.cluster.vschema
        matches: Callable[[str], bool] = like_filter(like)
        keyspaces = [one for one in vschema.keyspaces.values() if may_use(session.login, one.name)]
        match what:
            case "databases":
                names = [name for name in (*(one.name for one in keyspaces), "information_schema") if matches(name)]
                label = f"Database ({like})" if like is not None else "Database"
                out.rows(self.columns.databases(label), [[name.encode()] for name in sorted(names)])
            case "keyspaces":
                found = sorted(one.name for one in keyspaces if matches(one.name))
                out.rows([text_column("Database")], [[name.encode()] for name in found])
            case "vitess_shards":
                shards = [f"{k.name}/{s.name}" for k in keyspaces for s in k.shards]
                out.rows([text_column("Shards")], [[name.encode()] for name in shards if matches(name)])
            case "vitess_target":
                out.rows([text_column("Target")], [[str(session.target).encode()]])
            case "warnings" | "errors":
                noted = [one for one in session.diagnostics if what == "warnings" or one.level == "Error"]
                out.rows(self.columns.warnings(), [one.row for one in _limited(noted, text)])
            case _:
                word = "warning_count" if what == "count_warnings" else "error_count"
                out.rows([self.columns.value(f"@@session.{word}")], [[b"%d" % self._count(word)]])

    def _count(self, word: str) -> int:
        session = self.session
        errors = sum(one.level == "Error" for one in session.diagnostics)
        return session.warning_count if word == "warning_count" else errors

    @property
    def columns(self) -> Columns:
        """How the session's columns are described."""
        cluster = self.conversation.gate.cluster
        return Columns(cluster.facts_for(self.session.target.keyspace), self.session.settings)

    def answers_itself(self, shape: bytes) -> bool:
        """True for SELECTs that ``local_select`` answers."""
        return _LOCAL_SELECT.fullmatch(shape) is not None

    def counted_column(self, shape: bytes) -> ColumnDefinition | None:
        """The column of SELECT ROW_COUNT() or FOUND_ROWS(), which speak of what no one server of several did."""
        found = _LOCAL_SELECT.fullmatch(shape)
        if found is None or (found["name"] or b"").lower() not in (b"row_count", b"found_rows"):
            return None
        return self._local_column(found)

    def _local_column(self, found: re.Match[bytes]) -> ColumnDefinition:
        label = (found["alias"] or found["quoted"] or found["call"]).decode("utf-8", "replace")
        return replace(self.columns.value(found["call"].decode()), name=label.encode())

    async def local_select(self, shape: bytes, text: bytes, out: Output) -> bool:
        """Answer ``SELECT DATABASE()`` and the like, which only the session knows; False for any other SELECT."""
        found = _LOCAL_SELECT.fullmatch(shape)
        if found is None:
            return False
        session = self.session
        value = self._value((found["name"] or found["variable"]).lower())
        out.rows([self._local_column(found)], [[value]])
        if not session.keeps_warnings:
            session.diagnostics = []
        session.row_count = -1
        session.found_rows = 1
        return True

    def _value(self, name: bytes) -> bytes | None:
        session = self.session
        match name:
            case b"database" | b"schema":
                return str(session.target).encode() if session.target.database is not None else None
            case b"last_insert_id" | b"identity":
                return b"%d" % session.insert_id
            case b"connection_id":
                return b"%d" % session.login.connection_id
            case b"row_count":
                return b"%d" % session.row_count
            case b"found_rows":
                if session.found_rows is None:
                    raise UNSUPPORTED(construct=reads_last_statement(b"found_rows ("))
                return b"%d" % session.found_rows
        return b"%d" % self._count(name.decode())

    async def _explain(self, text: bytes, out: Output) -> None:
        _, shape, _ = await self.conversation.read(text)
        lines, rest = await self.conversation.asking.explained(text, shape)
        if rest is not None:
            planned, slots = await self.conversation.plan_for_explain(rest)
            lines += explain(planned, slots).splitlines()
        out.rows([text_column("VEXPLAIN")], [[line.encode()] for line in lines])

    # -- the VSchema ----------------------------------------------------------------------------------------------

    async def _alter(self, change: Change) -> None:
        """ALTER VSCHEMA: who may write to a keyspace may change what is said of it."""
        login = self.session.login
        change = replace(change, keyspace=change.keyspace or self.conversation.keyspace())
        check_keyspace(login, change.keyspace)
        if isinstance(change, AddAutoIncrement) and change.sequence_keyspace:
            check_keyspace(login, change.sequence_keyspace)
        if login.read_only:
            raise WRITE_DENIED(user=login.user, host=login.host)
        await self.conversation.gate.living.change([change])


def _raw(value: str) -> bytes:
    """An assignment's right side as the client has sent it."""
    return value.encode("utf-8", "surrogateescape")


def _limited(found: list[Diagnostic], text: bytes) -> list[Diagnostic]:
    """What LIMIT leaves of them."""
    limit = _LIMIT.search(text.rstrip(b"; \t\r\n"))
    if limit is None:
        return found
    first, word, second = limit[1], limit[2], limit[3]
    if second is None:
        return found[: int(first)]
    start, count = (int(first), int(second)) if word == b"," else (int(second), int(first))
    return found[start : start + count]
