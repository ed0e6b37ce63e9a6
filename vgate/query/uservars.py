"""User variables of a session, whichever server runs its statements.

On an unsharded keyspace, or a shard that is aimed at, they live on the server that the session is tied to (``home``):
triggers and stored programs may change them there. Wherever else a statement goes they are among the session's
settings, which its connection is brought to; what a statement there assigns is read back before the next one. A
statement that mentions variables first brings home what the home server has.

A plan is made with the values in place where these route (``sql.uservars``); what is sent still names the variables,
but in an INSERT's rows. An assignment happens once: one that would happen on several shards is refused. It does not
know how a connection is brought to settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call, Execution
from vgate.engine.output import Output
from vgate.engine.route import shards_of
from vgate.errors import BACKEND_LOST, UNSUPPORTED, SqlError
from vgate.planner.plan import AnyShard, Insert, Pass, Refuse, Route, Schemas
from vgate.query.cache import Cached, Slots
from vgate.query.speaking import speak
from vgate.query.ties import SPEAKS, bare, tie_besides_variables
from vgate.session.session import Session
from vgate.session.uservars import Kind, Variable, quoted_name
from vgate.sql.lexer import LexMode
from vgate.sql.literals import SWE7_LETTERS
from vgate.sql.parameters import quoted
from vgate.sql.statements import Set, UserVariable, recognise
from vgate.sql.uservars import Mentions
from vgate.transactions.scope import Place
from vgate.wire.constants import FieldType
from vgate.wire.packets import ColumnDefinition, read_column

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

CONSTRUCT: Final = "a user variable"

_LONGEST_KEY: Final = 1024
_UTF8: Final = frozenset({"utf8mb4", "utf8mb3", "utf8"})
_ODD: Final = frozenset({"binary", "swe7", "ucs2", "utf16", "utf16le", "utf32", "sjis", "cp932"})
_UNSIGNED: Final = 32
_UNSET_LENGTH: Final = 1 << 24
_UNSET_TYPES: Final = {FieldType.VAR_STRING}
"""Of a variable that does not exist MySQL says VAR_STRING, MariaDB a length that no variable has."""


class UserVariables:
    """See the module; works on its conversation's session."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._lost = False
        self._at_home: set[str] = set()  # those that statements there have mentioned

    # -- a statement that mentions some -----------------------------------------------------------------------------

    async def statement(
        self, text: bytes, cached: Cached, slots: Slots, out: Output, execution: Execution | None = None
    ) -> bool:
        """Answer a statement that mentions user variables; False if its answer was an error the server gave.

        ``execution``: where it was prepared, and ``text`` is what it says with its parameters.
        """
        conversation = self._conversation
        if isinstance(cached.plan, Pass):
            return await conversation.execute(cached, conversation.call(text, slots, out, cached))
        mentions = Mentions(text, conversation.mode)
        check_names(mentions.names, conversation.mode.charset)
        await self.bring_home()
        planned = mentions.without_into(self._literal)
        _, shape, slots = await conversation.read(planned)
        cached = await conversation.cached(planned, shape, slots)
        besides = tie_besides_variables(bare(shape, conversation.lexer))
        cached = Cached(cached.plan, replace(cached.found, pins=besides, peeks=True))
        call = conversation.call(text, slots, out, cached)
        if isinstance(cached.plan, AnyShard | Route | Schemas):
            call.execution = execution
        self._fit(call, cached, planned, mentions)
        return await conversation.execute(cached, call)

    def _fit(self, call: Call, cached: Cached, planned: bytes, mentions: Mentions) -> None:
        """What is sent, and what is read back, as the plan is."""
        if isinstance(cached.plan, Insert):
            call.text = planned
        if not mentions.assigned or isinstance(cached.plan, Refuse):
            return
        if not isinstance(cached.plan, AnyShard | Route):
            raise UNSUPPORTED(construct="an assignment to a user variable within this statement on a sharded keyspace")
        call.assigns = partial(self.learn, names=mentions.assigned)

    def _literal(self, name: str) -> bytes | None:
        session = self._conversation.session
        variable = session.variables.get(name)
        return b"NULL" if variable is None else literal_of(variable, self._conversation.mode)

    # -- SET --------------------------------------------------------------------------------------------------------

    async def setting(self, call: Call, tied: Place | None) -> tuple[Place, Call]:
        """Where a SET of user variables runs, and how. ``tied``: the one server that the session aims at.

        Raises UNSUPPORTED for what would take several shards.
        """
        if tied is not None:
            await self.go_home(call.text, tied)
            call.pins, call.peeks = CONSTRUCT, True
            self._speak(call, tied)
            return tied, call
        await self.bring_home()
        mentions = Mentions(call.text, call.mode)
        check_names(mentions.names, call.mode.charset)
        again = recognise(call.text, call.mode)  # with what ROW_COUNT() and its like are worth
        own = [one for one in again.assignments if isinstance(one, UserVariable)] if isinstance(again, Set) else []
        values = [one.value for one in own]
        place = await self.place_of(values, "a user variable") if own else self._conversation.own.place()
        call.assigns = partial(self.learn, names=mentions.names)
        call.peeks = True
        self._speak(call, place)
        return place, call

    def _speak(self, call: Call, place: Place) -> None:
        if SPEAKS.search(bare(call.text, call.lexer)):
            speak(call, place[0])

    async def place_of(self, values: Sequence[str], assigned: str) -> Place:
        """The server that can evaluate what is ``assigned`` to. Raises UNSUPPORTED where there is none."""
        conversation = self._conversation
        items = b", ".join(one.encode("utf-8", "surrogateescape") for one in values)
        text = Mentions(b"SELECT " + items, conversation.mode).without_into(self._literal)
        text, shape, slots = await conversation.read(text)
        planned = await conversation.planned(text, shape, conversation.session.target.keyspace)
        match planned.plan:
            case Refuse(error=error):
                raise error
            case Pass(others=()) as node:
                return conversation.place_of(node)
            case AnyShard():
                return conversation.own.place()
            case Route() as node:
                call = conversation.call(text, slots, Output(conversation.down, conversation.session), None)
                places = shards_of(call, node)
                if len(places) == 1 and not node.others:
                    return places[0]
        raise UNSUPPORTED(construct=f"SET of {assigned} to what several shards have to say")

    # -- what servers know ------------------------------------------------------------------------------------------

    async def go_home(self, text: bytes, place: Place) -> None:
        """A statement is about to run where the variables live, or shall live from now on."""
        await self.bring_home(place)
        self._at_home.update(Mentions(text, self._conversation.mode).names)

    async def bring_home(self, going: Place | None = None) -> None:
        """Learn what the variables are at home, unless that is where the statement goes. Raises BACKEND_LOST, once,
        where they are lost.
        """
        scope, session = self._conversation.scope, self._conversation.session
        if self._lost:
            self._lost = False
            session.forget_variables()
            raise BACKEND_LOST(label="the server that had this session's user variables")
        home = scope.home
        if home is None or home == going:
            return
        connection = scope.held.get(home)
        if connection is None or not connection.usable:
            scope.drop(home)
            session.forget_variables()
            raise BACKEND_LOST(label="the server that had this session's user variables")
        if connection.settings.variables == session.settings.variables:
            names = await connection.known_variables()
            await read_variables(session, connection, [*session.variables, *names, *self._at_home])

    async def learn(self, connection: BackendConnection, names: Sequence[str]) -> None:
        """Read back what a statement has assigned; its answer may be on its way already."""
        session = self._conversation.session
        if not self._conversation.scope.owns(connection):
            self._lost = True
            return
        try:
            await read_variables(session, connection, [*session.variables, *names])
        except SqlError:
            connection.close()
            self._lost = True

    def reset(self) -> None:
        """They are gone with all else."""
        self._lost = False
        self._at_home.clear()


def check_names(names: Iterable[str], charset: str) -> None:
    """Raises UNSUPPORTED for names that servers compare not by their letters alone, or do not read as in UTF-8."""
    for name in names:
        other = charset == "swe7" and not SWE7_LETTERS.isdisjoint(name.encode())
        if not name.isascii() or not name or "\0" in name or len(name) > 64 or other:
            raise UNSUPPORTED(construct=f"a user variable called {name!r} on a sharded keyspace")


async def read_variables(session: Session, connection: BackendConnection, names: Sequence[str]) -> None:
    """Ask ``connection``, which has the session's variables, what they are. Raises SqlError."""
    wanted = list(dict.fromkeys(name for name in names if name.isascii() and name))
    if not wanted:
        return
    asked = ", ".join(f"{one}, COLLATION({one}), CAST({one} AS BINARY)" for one in map(quoted_name, wanted))
    answer = await connection.query(f"SELECT {asked} LIMIT 1")
    if not isinstance(answer, Rows):
        return
    (row,) = answer.values()
    columns = [read_column(one) for one in answer.columns]
    session.keep_variables({
        name: _variable(columns[3 * at], *row[3 * at : 3 * at + 3]) for at, name in enumerate(wanted)
    })
    connection.settings = session.settings


def _variable(column: ColumnDefinition, value: bytes | None, collation: bytes | None, raw: bytes | None
              ) -> Variable | None:
    if value is None and (column.type in _UNSET_TYPES or column.length == _UNSET_LENGTH):
        return None
    match column.type:
        case FieldType.LONGLONG:
            return Variable(Kind.UNSIGNED if column.flags & _UNSIGNED else Kind.INTEGER, value)
        case FieldType.NEWDECIMAL:
            return Variable(Kind.DECIMAL, value)
        case FieldType.DOUBLE:
            return Variable(Kind.DOUBLE, value)
    return Variable(Kind.STRING, raw, (collation or b"binary").decode("ascii"))


def literal_of(variable: Variable, mode: LexMode) -> bytes | None:
    """The literal that compares and is stored as the variable is; None where there is none for certain."""
    if variable.value is None:
        return b"NULL"
    if variable.kind is Kind.DOUBLE:
        return variable.number.encode()
    if variable.kind is not Kind.STRING:
        return variable.value
    readable = mode.charset in _UTF8 and not mode.transcodes and len(variable.value) <= _LONGEST_KEY
    same = variable.charset in _UTF8 or (variable.value.isascii() and variable.charset not in _ODD)
    return quoted(variable.value, mode) if readable and same else None
