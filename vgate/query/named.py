"""SQL's own PREPARE, EXECUTE and DEALLOCATE PREPARE, and MariaDB's EXECUTE IMMEDIATE, of a session on shards.

Where several servers may be meant the statement is the session's, not a server's: its text is kept by name, a server
has judged it, and an execution is the text with the variables' values in place of the parameters, run as any other
statement, in the keyspace it was prepared in. A select item keeps the name that its text gives it. On an unsharded
keyspace, or a shard that is aimed at, the statement is the server's own, to which the session is tied, unless the
server would read its text otherwise than the client means it: functions of the session, names of keyspaces, sequences,
information_schema.

It does not know prepared statements of the protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

from vgate.backend.connection import BackendConnection, Rows
from vgate.engine.call import Call
from vgate.engine.gather import prepare_gathered
from vgate.engine.judge import let_a_server_read
from vgate.engine.output import Output
from vgate.engine.rename import text_for
from vgate.errors import (
    EMPTY_QUERY,
    NEGATIVE_LIMIT,
    NO_DATABASE,
    UNKNOWN_NAME,
    UNREADABLE,
    UNSUPPORTED,
    WRONG_USING,
    SqlError,
)
from vgate.planner.build import syntax_error
from vgate.planner.plan import Across, InsertQuery, Refuse, VindexRows
from vgate.query.beginning import Uses, used_by
from vgate.query.loads import divides
from vgate.query.reaching import look
from vgate.query.speaking import Speech, Value
from vgate.query.ties import bare, leaves_traces, names_no_table, reads_insert_id, speaks, tie_besides_variables
from vgate.session.session import Session
from vgate.session.target import Target
from vgate.session.uservars import Kind, Variable
from vgate.sql.alter_vschema import AlterVschema, ShowVschema
from vgate.sql.insert_query import read_insert_query
from vgate.sql.lexer import Lexer, LexError, LexMode, Token, TokenKind, VersionedComment, reads_otherwise
from vgate.sql.literals import read_literal
from vgate.sql.names import name_of
from vgate.sql.parameters import Template, quoted, read_template
from vgate.sql.statements import SelectNext, Vexplain, recognise
from vgate.sql.uservars import Mentions, variable_name
from vgate.sql.versioned import Flavour, expand
from vgate.transactions.scope import Place

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

NAMING: Final = frozenset({b"prepare", b"execute", b"deallocate", b"drop"})
"""First words of statements that may be such."""

_NO_SERVERS: Final = (AlterVschema, SelectNext, ShowVschema, Vexplain)
"""Statements that servers do not know."""

_DIGITS: Final = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_SCHEMAS: Final = re.compile(rb"\binformation_schema\b", re.I)
_UTF8: Final = frozenset({"utf8mb4", "utf8mb3"})


@dataclass(frozen=True, slots=True)
class Named:
    """A statement, and what its text was read by."""

    template: Template
    target: Target
    mode: LexMode


class NamedStatements:
    """The statements of one session that are no server's."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._kept: dict[str, Named] = {}
        self._elsewhere: set[str] = set()  # those that the server has to which the session is tied
        self._hidden: set[str] = set()  # those that it still has, though the name has been used anew
        self._words: dict[str, bytes] = {}  # of the texts that a server has
        self._at_hand = b""  # those of the statement at hand

    def reset(self) -> None:
        """They are gone with all else."""
        self._kept.clear()
        self._elsewhere.clear()
        self._hidden.clear()
        self._words.clear()

    def mark(self, call: Call, *, executes: bool) -> None:
        """What is known of the text that a server is about to prepare, or executes."""
        if self._at_hand:
            call.names_no_table = names_no_table(self._at_hand)
            call.uses_tables = executes and used_by(self._at_hand) is Uses.TABLES

    async def answer(self, text: bytes, out: Output) -> bool | None:
        """Answer one of these statements: False if a server's error was the answer, None if it is none of these, or
        the business of the server that the session is tied to.
        """
        mode = self._conversation.mode
        self._at_hand = b""
        words = _Words(text, self._conversation.lexer, mode)
        if words.accept("prepare"):
            return await self._prepare(words, out)
        if words.accept("deallocate", "prepare") or words.accept("drop", "prepare"):
            return self._forget(words.name(), out)
        if words.accept("execute", "immediate"):
            return await self._immediate(words, out)
        if words.accept("execute"):
            return await self._execute(words, out)
        return None

    # -- PREPARE ----------------------------------------------------------------------------------------------------

    async def _prepare(self, words: _Words, out: Output) -> bool | None:
        name = words.name()
        if not words.accept("from"):
            raise words.syntax()
        self._kept.pop(name, None)
        if await self._is_of_the_server(words):
            self._elsewhere.add(name)
            self._hidden.discard(name)
            self._words[name] = self._at_hand
            return None
        if name in self._elsewhere:
            self._elsewhere.discard(name)
            self._hidden.add(name)
        text = await self._text(words)
        words.finish()
        self._kept[name] = named = await self._read(text)
        keeps = self._session.keeps_warnings and names_no_table(bare(named.template.shape, self._conversation.lexer))
        self._note_done(out, b"Statement prepared", keeps=keeps)
        return True

    async def _is_of_the_server(self, words: _Words) -> bool:
        """True where the session is tied to a server that takes the text that follows for what the client means."""
        conversation, at = self._conversation, words.at
        place = conversation.own.tied_place()
        if place is None:
            return False
        try:
            text = await self._text(words)
            template = read_template(text, conversation.mode)
            sequences = await conversation.asking.stand_in(template.stand_in, template.shape)
        except (SqlError, LexError, VersionedComment):  # the server has a say in it
            return True
        finally:
            words.at = at
        call = conversation.call(text, [], Output(conversation.down, self._session), None)
        self._at_hand = bare(template.shape, conversation.lexer)
        own = sequences is not template.stand_in or speaks(self._at_hand)
        own = own or _SCHEMAS.search(template.shape) is not None
        return not own and text_for(call, place, text) == text

    async def _text(self, words: _Words) -> bytes:
        """The statement's text, a literal's or a variable's. Raises the errors a server has for what is neither."""
        token = words.take()
        raw = words.raw(token)
        mode = self._conversation.mode
        if token.kind is TokenKind.VARIABLE:
            await self._conversation.variables.bring_home()
            variable = self._session.variables.get(variable_name(raw, mode))
            if variable is None or variable.value is None:
                return b"NULL"
            if not variable.value.isascii() and (variable.charset not in _UTF8 or mode.charset not in _UTF8):
                raise UNSUPPORTED(construct=f"a prepared text in character set {variable.charset}")
            return variable.value
        value = read_literal(raw, mode).value if token.kind is TokenKind.STRING else None
        if isinstance(value, bytes) and words.ahead() in (b"", b"using"):
            return value
        words.at -= 1
        if self._flavour is not Flavour.MARIADB:
            raise words.syntax()
        return await self._evaluated(words.expression())

    async def _evaluated(self, expression: bytes) -> bytes:
        """The text that MariaDB makes of an expression. Raises UNSUPPORTED, and the server's errors."""
        conversation = self._conversation
        await conversation.variables.bring_home()
        _, shape, _ = await conversation.read(b"SELECT " + expression)
        found = bare(shape, conversation.lexer).lower()
        if speaks(found) or leaves_traces(found) or reads_insert_id(found) or tie_besides_variables(found):
            raise UNSUPPORTED(construct="PREPARE from an expression with functions that are not the server's own")
        target = self._session.target.keyspace
        place = conversation.own.place() if target is None else (target, conversation.any_index)
        call = conversation.call(expression, [], Output(conversation.down, self._session), None)

        async def ask(where: Place, connection: BackendConnection) -> bytes:
            given = text_for(call, where, expression)
            if b"select" in found[len(b"select") :]:  # which is an error that the server words
                await connection.query(b"PREPARE vgate_text FROM " + given)
                await connection.query(b"DEALLOCATE PREPARE vgate_text")
            answer = await connection.query(b"SELECT (" + given + b")")
            ((cell, *_), *_) = answer.values() if isinstance(answer, Rows) else [(None,)]
            return b"NULL" if cell is None else cell

        text = await look(conversation, place, conversation.scope.borrow, ask)
        if not text.isascii() and conversation.mode.charset not in _UTF8:
            raise UNSUPPORTED(construct="a prepared text that is computed, in another character set than UTF-8")
        return text

    async def _read(self, text: bytes) -> Named:
        """A text that a server has found to be a statement. Raises its errors."""
        conversation = self._conversation
        mode = conversation.mode
        if not text.strip(b"; \t\r\n"):
            raise EMPTY_QUERY()
        try:
            try:
                template = read_template(text, mode)
            except VersionedComment:
                facts = conversation.gate.cluster.facts_for(self._session.target.keyspace)
                template = read_template(expand(text, mode, facts.flavour, facts.number), mode)
        except LexError as error:
            raise syntax_error(text, error.offset, error.reason) from None
        await self._judge(template)
        return Named(template, self._session.target, mode)

    async def _judge(self, template: Template) -> None:
        conversation = self._conversation
        if isinstance(recognise(template.stand_in, conversation.mode), _NO_SERVERS):
            return
        stand_in = await conversation.asking.stand_in(template.stand_in, template.shape)
        if stand_in is None:
            return
        whole = template.text if stand_in is template.stand_in else stand_in
        call = conversation.call(whole, [], Output(conversation.down, self._session), None)
        target = self._session.target.keyspace
        text = Mentions(stand_in, conversation.mode).without_into(lambda name: None)
        _, shape, _ = await conversation.read(text)
        planned = await conversation.planned(text, shape, target)
        match planned.plan:
            case VindexRows():
                return
            case Across(keyspace=keyspace, gather=gather):
                await prepare_gathered(call, keyspace, gather)
                return
            case InsertQuery():
                found = read_insert_query(whole, conversation.mode)
                assert found is not None
                await self._judge(read_template(found.query, conversation.mode))
                return
        if not isinstance(planned.plan, Refuse):
            place = (conversation.keyspace_of(planned.plan), 0)
        elif target is not None:
            place = (target, conversation.any_index)
        else:
            raise planned.plan.error if planned.plan.error.fault is not UNREADABLE else NO_DATABASE()
        await let_a_server_read(call, place, call.text)
        if not isinstance(planned.plan, Refuse) or divides(conversation, template.stand_in):
            return
        if recognise(template.stand_in, conversation.mode) is None:
            raise planned.plan.error

    def _note_done(self, out: Output, info: bytes = b"", *, keeps: bool = False) -> None:
        session = self._session
        session.row_count, session.found_rows = 0, None
        if not keeps:
            session.diagnostics = []
        out.ok(info=info)

    @property
    def _flavour(self) -> Flavour:
        return self._conversation.gate.cluster.facts_for(self._session.target.keyspace).flavour

    @property
    def _session(self) -> Session:
        return self._conversation.session

    # -- EXECUTE ----------------------------------------------------------------------------------------------------

    async def _execute(self, words: _Words, out: Output) -> bool | None:
        name = words.name()
        named = self._kept.get(name)
        if named is None:
            self._check_elsewhere(name, "EXECUTE")
            self._at_hand = self._words.get(name, b"")
            return None
        return await self._run(named, await self._values(words), out)

    async def _immediate(self, words: _Words, out: Output) -> bool | None:
        """MariaDB's; MySQL has a syntax error for it, which a server words."""
        if await self._is_of_the_server(words):
            return None
        if self._flavour is not Flavour.MARIADB:
            raise words.syntax()
        named = await self._read(await self._text(words))
        return await self._run(named, await self._values(words), out)

    def _check_elsewhere(self, name: str, verb: str) -> None:
        """Raises UNKNOWN_NAME, or UNSUPPORTED where a server the session is tied to may know it."""
        if self._conversation.own.tied_place() is not None and name not in self._hidden:
            return
        if name in self._elsewhere:
            raise UNSUPPORTED(construct=f"{verb} of a statement that was prepared on the server of another keyspace")
        raise UNKNOWN_NAME(name=name, verb=verb)

    async def _values(self, words: _Words) -> list[Variable | None]:
        """What USING names."""
        found: list[Variable | None] = []
        if words.accept("using"):
            await self._conversation.variables.bring_home()
            while True:
                token = words.take()
                if token.kind is not TokenKind.VARIABLE or words.raw(token).startswith(b"@@"):
                    words.at -= 1
                    if self._flavour is not Flavour.MARIADB:
                        raise words.syntax()
                    raise UNSUPPORTED(construct="EXECUTE ... USING anything but user variables")
                found.append(self._session.variables.get(variable_name(words.raw(token), self._conversation.mode)))
                if not words.accept(","):
                    break
        words.finish()
        return found

    async def _run(self, named: Named, values: list[Variable | None], out: Output) -> bool:
        conversation = self._conversation
        if len(values) != named.template.parameters:
            raise WRONG_USING()
        flavour = conversation.gate.cluster.facts_for(named.target.keyspace).flavour
        with conversation.aimed(named.target):
            if reads_otherwise(named.template.text, named.mode, conversation.mode):
                raise UNSUPPORTED(construct="EXECUTE under another sql_mode or SET NAMES; prepare it anew")
            call = conversation.call(named.template.text, [], out, None)
            filled = _Filled(call.session, call.text, call.lexer, conversation.mode, flavour, values)
            text = filled.text() if values else named.template.text
            return await conversation.statement(text, out)

    # -- DEALLOCATE -------------------------------------------------------------------------------------------------

    def _forget(self, name: str, out: Output) -> bool | None:
        if self._kept.pop(name, None) is None:
            self._check_elsewhere(name, "DEALLOCATE PREPARE")
            self._elsewhere.discard(name)
            return None
        self._note_done(out, keeps=self._session.keeps_warnings)
        return True


def literal_of(variable: Variable | None, mode: LexMode, flavour: Flavour) -> bytes:
    """A parameter's value as a literal of its type. Raises UNSUPPORTED."""
    if variable is None or variable.value is None:
        return b"NULL"
    if variable.kind is Kind.STRING:
        if variable.charset == "binary" and flavour is Flavour.MYSQL:
            return _as_text(variable.value, mode)
        same = variable.charset == mode.charset or (variable.charset in _UTF8 and mode.charset in _UTF8)
        if same and not mode.transcodes:
            return quoted(variable.value, mode)
        return f"_{variable.charset} 0x{variable.value.hex()}".encode() if variable.value else b"''"
    if variable.kind is Kind.DECIMAL and b"." not in variable.value:
        return variable.value + b"."
    return variable.number.encode() if variable.kind is Kind.DOUBLE else variable.value


def limit_of(variable: Variable | None, flavour: Flavour) -> bytes:
    """A number of rows, as EXECUTE takes a variable for one. Raises WRONG_USING (1210), NEGATIVE_LIMIT (1690).

    MySQL takes whole numbers alone. MariaDB rounds a DECIMAL, cuts a DOUBLE, and of a text takes the digits it begins
    with.
    """
    if variable is None or variable.value is None:
        return b"0"
    whole = variable.kind in (Kind.INTEGER, Kind.UNSIGNED)
    if flavour is Flavour.MYSQL and not whole:
        raise WRONG_USING()
    if variable.kind is Kind.STRING:
        digits = _DIGITS.match(variable.value)
        number = 0 if digits is None else int(digits[1])
    elif variable.kind is Kind.DOUBLE:
        number = int(float(variable.value))
    else:
        number = int(Decimal(variable.value.decode()).to_integral_value(ROUND_HALF_UP))
    if number < 0:
        raise NEGATIVE_LIMIT() if flavour is Flavour.MYSQL else WRONG_USING()
    if number >= 1 << 63 and variable.kind in (Kind.STRING, Kind.DOUBLE):
        raise WRONG_USING()
    return b"%d" % min(number, (1 << 64) - 1)


def _as_text(value: bytes, mode: LexMode) -> bytes:
    """Bytes as MySQL takes them for a parameter: as text in the connection's character set."""
    if mode.transcodes or mode.charset not in _UTF8 or value.decode("utf-8", "replace").encode() != value:
        raise UNSUPPORTED(construct="EXECUTE ... USING a binary value that is no text")
    return quoted(value, mode)


class _Filled(Speech):
    """A prepared text with literals in place of its parameters; select items are called what they were."""

    def __init__(
        self, session: Session, text: bytes, lexer: Lexer, mode: LexMode, flavour: Flavour,
        values: list[Variable | None],
    ) -> None:
        super().__init__(session, text, lexer, "", Flavour.MYSQL)
        self._mode = mode
        self._server = flavour
        self._given = iter(values)

    def _values(self) -> Iterator[Value]:
        for index, token in enumerate(self._tokens):
            if token.kind is TokenKind.PARAMETER:
                if index and self._words[index - 1] == b"by":
                    raise UNSUPPORTED(construct="ORDER BY or GROUP BY a parameter")
                value = next(self._given)
                if self._limits(index):
                    literal = limit_of(value, self._server)
                else:
                    literal = literal_of(value, self._mode, self._server)
                before = self._text[token.start - 1 : token.start]
                sql = literal if not before.isalnum() and before not in b"_$" else b" " + literal
                yield Value(index, index, sql, sql)

    def _limits(self, index: int) -> bool:
        """True for a parameter of LIMIT."""
        before = self._words[max(0, index - 3) : index]
        return before[-1:] in ([b"limit"], [b"offset"]) or (len(before) == 3 and before[::2] == [b"limit", b","])


class _Words:
    """The tokens of one statement, one after another."""

    def __init__(self, text: bytes, lexer: Lexer, mode: LexMode) -> None:
        self._text = text
        self._mode = mode
        self._tokens = [token for token in lexer.tokens(text) if token.kind is not TokenKind.SEMICOLON]
        self.at = 0

    def raw(self, token: Token) -> bytes:
        return self._text[token.start : token.end]

    def accept(self, *words: str) -> bool:
        ahead = self._tokens[self.at : self.at + len(words)]
        if [self.raw(token).decode("latin-1").lower() for token in ahead] != list(words):
            return False
        self.at += len(words)
        return True

    def take(self) -> Token:
        if self.at >= len(self._tokens):
            raise self.syntax()
        self.at += 1
        return self._tokens[self.at - 1]

    def name(self) -> str:
        """A statement's name; case does not count in it."""
        token = self.take()
        if token.kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME):
            self.at -= 1
            raise self.syntax()
        return name_of(self._text, token, self._mode).lower()

    def ahead(self) -> bytes:
        """The next word; nothing at the end."""
        return self.raw(self._tokens[self.at]).lower() if self.at < len(self._tokens) else b""

    def expression(self) -> bytes:
        """What is left up to USING, but that of CONVERT."""
        start, depth = self.at, 0
        while (word := self.ahead()) and (depth or word != b"using"):
            if word == b"," and not depth:
                break
            depth += (word == b"(") - (word == b")")
            self.at += 1
        if depth or self.ahead() == b",":
            raise self.syntax()
        return self._text[self._tokens[start].start : self._tokens[self.at - 1].end]

    def finish(self) -> None:
        if self.at < len(self._tokens):
            raise self.syntax()

    def syntax(self) -> Exception:
        return syntax_error(self._text, self._tokens[self.at].start if self.at < len(self._tokens) else len(self._text))
