"""The statements a session answers itself: USE, transactions, SET, sequences, KILL, and a few SHOWs and SELECTs.

It does not know how other statements are planned or run.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, assert_never

from vgate.engine.call import Call
from vgate.engine.output import Output
from vgate.engine.route import run_next
from vgate.engine.single import run_single
from vgate.errors import (
    ACTIVE_TRANSACTION,
    KILL_DENIED,
    NO_SAVEPOINT,
    NO_SUCH_THREAD,
    UNSUPPORTED,
)
from vgate.planner.build import plan_next
from vgate.planner.explain import explain
from vgate.planner.plan import Access, Const, NextValue, Pass, Refuse
from vgate.query import variables
from vgate.query.grants import check, check_keyspace
from vgate.sql.statements import (
    Assignment,
    Begin,
    Commit,
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
from vgate.transactions.scope import Place, quoted
from vgate.wire.constants import FieldType
from vgate.wire.packets import ColumnDefinition, bigint_column

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

_LOCAL_SELECT: Final = re.compile(
    rb"\s*select\s+(?P<call>(?P<name>database|schema|last_insert_id|row_count|connection_id)\s*\(\s*\))"
    rb"(?:\s+(?:as\s+)?(?P<alias>[A-Za-z_]\w*))?\s*;?\s*",
    re.I,
)


def text_column(name: str) -> ColumnDefinition:
    """A VARCHAR column in utf8mb4."""
    return ColumnDefinition(name.encode(), FieldType.VAR_STRING)


class OwnStatements:
    """See the module; works on its conversation's session."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.session = conversation.session
        self.scope = conversation.scope

    async def run(self, statement: Statement, text: bytes, out: Output) -> None:
        """Answer ``statement``. Raises SqlError."""
        session = self.session
        if not isinstance(statement, ShowVgate):
            session.diagnostics = []
            session.row_count = 0
        match statement:
            case Use(target=target):
                await self.use(target)
                out.ok()
            case Begin(modifiers=modifiers):
                await self._end(commit=True)
                session.begin(modifiers)
                out.ok()
            case Commit(chain=chain, release=release) | Rollback(chain=chain, release=release):
                await self._finish(out, commit=isinstance(statement, Commit), chain=chain, release=release)
            case Savepoint(name=name):
                if session.in_transaction or not session.autocommit:
                    if not session.in_transaction:
                        session.begin()
                    await self.scope.on_all(f"SAVEPOINT {quoted(name)}")
                    session.savepoint(name)
                out.ok()
            case RollbackTo(name=name) | ReleaseSavepoint(name=name):
                await self._to_savepoint(name, release=isinstance(statement, ReleaseSavepoint))
                out.ok()
            case Set(assignments=assignments):
                await self._set(list(assignments), text, out)
            case SelectNext():
                await self._next(statement, text, out)
            case ShowVgate(what=what, like=like):
                self._show(what, like, out)
            case Kill(connection_id=number, query_only=query_only):
                self._kill(number, query_only=query_only)
                out.ok()
            case Vexplain(start=start):
                await self._explain(text[start:], out)
            case _:
                assert_never(statement)

    # -- target ---------------------------------------------------------------------------------------------------

    async def use(self, text: str) -> None:
        """USE or COM_INIT_DB. Raises VgateError (1049...)."""
        target = self.conversation.gate.target(text)
        check_keyspace(self.session.login, target.keyspace or "")
        self.session.target = target
        self.conversation.refresh()

    # -- transactions ---------------------------------------------------------------------------------------------

    async def _end(self, *, commit: bool) -> None:
        if self.session.in_transaction:
            await (self.scope.commit() if commit else self.scope.rollback())

    async def _finish(self, out: Output, *, commit: bool, chain: bool, release: bool) -> None:
        modifiers = self.session.begin_modifiers
        isolation = self.session.isolation_once
        chained = chain and self.session.in_transaction
        await self._end(commit=commit)
        if chained:
            self.session.begin(modifiers)
            self.session.isolation_once = isolation
        out.ok()
        if release:
            self.conversation.down.abort()

    async def _to_savepoint(self, name: str, *, release: bool) -> None:
        if not self.session.has_savepoint(name):
            raise NO_SAVEPOINT(name=name)
        verb = "RELEASE SAVEPOINT" if release else "ROLLBACK TO SAVEPOINT"
        await self.scope.on_all(f"{verb} {quoted(name)}")
        self.session.roll_back_to(name, release=release)

    # -- SET ------------------------------------------------------------------------------------------------------

    async def _set(self, assignments: list[Assignment], text: bytes, out: Output) -> None:
        session = self.session
        if any(isinstance(one, UserVariable) for one in assignments) or any(
            "@" in one.value.replace("@@", "") for one in assignments if isinstance(one, SystemVariable)
        ):
            await self._set_tied(assignments, text, out)
            return
        rest: list[Assignment] = []
        for one in assignments:
            if isinstance(one, SystemVariable) and one.scope == "session" and one.name == "autocommit":
                await self._autocommit(one.value)
            elif isinstance(one, SystemVariable) and one.scope == "session" and one.name in variables.PER_STATEMENT:
                await self._insert_id(one)
            elif isinstance(one, TransactionCharacteristics) and one.scope == "once":
                if session.in_transaction:
                    raise ACTIVE_TRANSACTION()
                await self._try_characteristics(one.text)
                session.isolation_once = (*session.isolation_once, one.text)
            elif isinstance(one, SystemVariable | TransactionCharacteristics) and one.scope != "session":
                await self._global(text, out)
                return
            else:
                rest.append(one)
        if rest:
            place = self._place()
            connection = await self.scope.take(place)
            try:
                await variables.apply(rest, session, connection)
            finally:
                self.scope.give_back(place, connection)
            self.conversation.refresh()
        out.ok()

    async def _set_tied(self, assignments: list[Assignment], text: bytes, out: Output) -> None:
        """User variables live on a server: the session is tied to one, which must be unsharded or aimed at."""
        place = self._one_shard("a user variable")
        for one in assignments:
            if isinstance(one, UserVariable):
                continue
            if isinstance(one, SystemVariable) and one.scope == "session" and one.name not in ("autocommit",):
                continue
            raise UNSUPPORTED(construct="this SET together with a user variable")
        system = [one for one in assignments if isinstance(one, SystemVariable)]
        if not system:
            await run_single(self._call(text, out, pins="a user variable"), place, text, Access.READ)
            return
        if len(system) < len(assignments):
            raise UNSUPPORTED(construct="SET of user and system variables in one statement")
        connection = await self.scope.take(place)
        try:
            self.scope.pin(place, connection)
            await variables.apply(list(system), self.session, connection)
        finally:
            self.scope.give_back(place, connection)
        self.conversation.refresh()
        out.ok()

    async def _autocommit(self, value: str) -> None:
        wanted = variables.autocommit_value(value)
        if wanted and not self.session.autocommit:
            await self._end(commit=True)
        self.session.autocommit = wanted
        self.conversation.refresh()

    async def _insert_id(self, one: SystemVariable) -> None:
        if one.name == "insert_id" or not one.value.strip().isdigit():
            raise UNSUPPORTED(construct=f"SET {one.name} = {one.value}")
        self.session.insert_id = int(one.value)

    async def _try_characteristics(self, text: str) -> None:
        """Let a server judge SET TRANSACTION's words; an empty transaction then uses them up."""
        place = self._place()
        connection = await self.scope.take(place)
        try:
            await connection.query(f"SET TRANSACTION {text}")
            await connection.query("START TRANSACTION")
            await connection.query("COMMIT")
        finally:
            self.scope.give_back(place, connection)

    async def _global(self, text: bytes, out: Output) -> None:
        """SET GLOBAL and its kin belong to one server."""
        place = self._one_shard("SET GLOBAL")
        check(self.session.login, Pass(place[0], Access.WRITE))
        await run_single(self._call(text, out), place, text, Access.WRITE)

    def _place(self) -> Place:
        """A shard whose server may judge a setting: one the session holds, else one of its keyspace, else any."""
        if self.scope.held:
            return next(iter(self.scope.held))
        target = self.session.target
        if target.keyspace is not None:
            return target.keyspace, self.conversation.any_index
        return next(iter(self.conversation.gate.cluster.facts)), 0

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

    def sequence_of(self, statement: SelectNext) -> NextValue:
        """The plan of a SELECT NEXT. Raises VgateError where its table is no sequence."""
        keyspace = statement.keyspace or self.session.target.keyspace
        vschema = self.conversation.gate.cluster.vschema
        planned = plan_next(keyspace, statement.sequence, Const(statement.count), vschema)
        if isinstance(planned, Refuse):
            raise planned.error
        check(self.session.login, planned)
        return planned

    async def next_value(self, statement: SelectNext) -> int:
        """The first of the values a SELECT NEXT asks for."""
        sequence = self.sequence_of(statement).sequence
        return await self.conversation.gate.sequences.take(sequence, statement.count or 0)

    async def _next(self, statement: SelectNext, text: bytes, out: Output) -> None:
        await run_next(self._call(text, out), self.sequence_of(statement), self.conversation.gate.sequences)

    # -- looking around -------------------------------------------------------------------------------------------

    def _show(self, what: str, like: str | None, out: Output) -> None:
        session = self.session
        vschema = self.conversation.gate.cluster.vschema
        matches: Callable[[str], bool] = like_filter(like)
        match what:
            case "databases":
                names = [name for name in (*vschema.keyspaces, "information_schema") if matches(name)]
                label = f"Database ({like})" if like is not None else "Database"
                out.rows([text_column(label)], [[name.encode()] for name in sorted(names)])
            case "vitess_shards":
                shards = [f"{k.name}/{s.name}" for k in vschema.keyspaces.values() for s in k.shards]
                out.rows([text_column("Shards")], [[name.encode()] for name in shards if matches(name)])
            case "vitess_target":
                out.rows([text_column("Target")], [[str(session.target).encode()]])
            case "warnings" | "errors":
                columns = [text_column("Level"), bigint_column(b"Code"), text_column("Message")]
                found = [one for one in session.diagnostics if what == "warnings" or one.level == "Error"]
                out.rows(columns, [[d.level.encode(), b"%d" % d.code, d.message.encode()] for d in found])
            case _:
                name = b"@@session.warning_count" if what == "count_warnings" else b"@@session.error_count"
                found = [one for one in session.diagnostics if what == "count_warnings" or one.level == "Error"]
                out.rows([bigint_column(name)], [[b"%d" % len(found)]])

    def answers_itself(self, shape: bytes) -> bool:
        """True for SELECTs that ``local_select`` answers."""
        return not self.scope.pinned and _LOCAL_SELECT.fullmatch(shape) is not None

    async def local_select(self, shape: bytes, text: bytes, out: Output) -> bool:
        """Answer ``SELECT DATABASE()`` and the like, which only the session knows; False for any other SELECT."""
        found = _LOCAL_SELECT.fullmatch(shape)
        if found is None or not self.answers_itself(shape):
            return False
        session = self.session
        name = found["name"].lower()
        label = (found["alias"] or found["call"]).decode()
        target = session.target
        if name in (b"database", b"schema"):
            value = str(target).encode() if target.keyspace is not None else None
            out.rows([text_column(label)], [[value]])
        else:
            number = {
                b"last_insert_id": session.insert_id,
                b"row_count": session.row_count,
                b"connection_id": session.login.connection_id,
            }[name]
            out.rows([bigint_column(label.encode())], [[b"%d" % number]])
        session.diagnostics = []
        session.row_count = -1
        return True

    async def _explain(self, text: bytes, out: Output) -> None:
        planned, slots = await self.conversation.plan_for_explain(text)
        lines = explain(planned, slots).splitlines()
        out.rows([text_column("VEXPLAIN")], [[line.encode()] for line in lines])

    # -- KILL -----------------------------------------------------------------------------------------------------

    def _kill(self, number: int, *, query_only: bool) -> None:
        victim = self.conversation.gate.clients.get(number)
        if victim is None:
            raise NO_SUCH_THREAD(id=number)
        if victim.user != self.session.login.user:
            raise KILL_DENIED(id=number)
        victim.kill(query_only=query_only)


def like_filter(pattern: str | None) -> Callable[[str], bool]:
    """A LIKE pattern (% and _) as a predicate; None accepts everything."""
    if pattern is None:
        return lambda name: True
    glob = "".join({"%": "*", "_": "?"}.get(c, f"[{c}]" if c in "*?[" else c) for c in pattern.lower())
    return lambda name: fnmatch.fnmatchcase(name.lower(), glob)
