"""CREATE, ALTER, RENAME, DROP and SHOW of vgate's own sequences, and INFORMATION_SCHEMA.SEQUENCES.

vgate's own sequences come first by every name; what is none of them is left to a MariaDB server, which has sequences of
its own (``None`` from ``run``). What is shown is asked of the metadata keyspace's server, in the client's own words, so
that any WHERE works. It does not know how values are asked for (``asking``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, assert_never

from vgate.engine.call import Call
from vgate.engine.output import Output
from vgate.engine.single import run_single
from vgate.errors import (
    SEQUENCE_EXISTS,
    SEQUENCE_OPTION,
    SEQUENCE_OWNED,
    UNKNOWN_SEQUENCE,
    UNSUPPORTED,
    WRITE_DENIED,
    SqlError,
    VgateError,
)
from vgate.planner.implicit import owns_sequence, sequence_of
from vgate.planner.plan import Access
from vgate.query.grants import check_keyspace
from vgate.query.speaking import speak
from vgate.query.ties import bare, speaks
from vgate.sequences import table
from vgate.sequences.catalog import metadata_keyspace
from vgate.sequences.definition import Kind, key_of, statement_of
from vgate.sequences.kinds import Sequences
from vgate.session.session import Diagnostic
from vgate.sql.lexer import TokenKind
from vgate.sql.literals import read_literal
from vgate.sql.names import name_of
from vgate.sql.sequences import (
    AlterSequence,
    CreateSequence,
    DropSequence,
    RenameSequence,
    SequenceStatement,
    ShowCreateSequence,
    ShowSequences,
    Written,
    recognise_sequence,
)
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place
from vgate.vschema.model import TableName, TableType
from vgate.wire.constants import FieldType
from vgate.wire.packets import ColumnDefinition

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

WORDS: Final = re.compile(rb"\bsequences?\b", re.I)
"""What is in the shape of every such statement."""

OF_TYPE: Final = re.compile(rb"\btables\b.*\btable_type\b", re.I | re.DOTALL)
"""What is in the shape of a query for information_schema's tables of one type: MariaDB has sequences among them."""

FIRST_WORDS: Final = frozenset({b"create", b"alter", b"rename", b"drop", b"show"})
_SCHEMA: Final = re.compile(rb"\binformation_schema\b", re.I)
_NO_ALIAS: Final = frozenset(
    b"where order group limit having for union into procedure window intersect except offset".split()
)
CREATE_COLUMNS: Final = tuple(
    ColumnDefinition(label, FieldType.VAR_STRING) for label in (b"Sequence", b"Create Sequence")
)
"""Of SHOW CREATE SEQUENCE."""

_MAX_NAME: Final = 128
_NAMES: Final = (TokenKind.NAME, TokenKind.QUOTED_NAME)


class SequenceStatements:
    """See the module; works on its conversation's session."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._session = conversation.session

    async def answer(self, word: bytes, text: bytes, shape: bytes, out: Output) -> bool | None:
        """Answer a statement about the definitions of sequences; None for any other, or if a server may have them.

        ``word`` is its first one. Raises SqlError.
        """
        if word == b"select":
            asked = self.look(text, shape)
            return None if asked is None else await self._ask(asked, out)
        if WORDS.search(shape) is None:
            return None
        statement = recognise_sequence(text, self._conversation.mode) if word in FIRST_WORDS else None
        return None if statement is None else await self._run(statement, out)

    async def _run(self, statement: SequenceStatement, out: Output) -> bool | None:
        match statement:
            case CreateSequence():
                await self._create(statement, out)
            case AlterSequence():
                return await self._alter(statement, out)
            case RenameSequence():
                await self._rename(statement, out)
            case DropSequence():
                return await self._drop(statement, out)
            case ShowSequences():
                return await self._ask(self._shown(statement), out)
            case ShowCreateSequence():
                return await self._show_create(statement, out)
            case _:
                assert_never(statement)
        return True

    # -- changes --------------------------------------------------------------------------------------------------

    async def _create(self, statement: CreateSequence, out: Output) -> None:
        name = self._name(statement.sequence)
        self._check_change(name)
        self._check_name(name)
        await self._check_tables(name)
        await self._conversation.own.end(commit=True)
        try:
            kind = statement.kind or self._conversation.gate.cluster.vschema.sequence_kind
            await self._own.create(name, Kind(kind.upper()), statement.options)
        except SqlError as error:
            if error.errno != SEQUENCE_EXISTS.errno or not statement.if_not_exists:
                raise
            self._done(out, Diagnostic("Note", error.errno, error.message))
            return
        self._done(out)

    def _check_name(self, name: TableName) -> None:
        if len(name.table) > _MAX_NAME:
            reason = f"names have at most {_MAX_NAME} characters"
            raise SEQUENCE_OPTION(name=f"{name.table[:40]}...", option="its name", reason=reason)

    async def _check_tables(self, name: TableName) -> None:
        """Raises SEQUENCE_EXISTS where a table is called so: it would be hidden, or its Vitess sequence given twice."""
        vschema = self._conversation.gate.cluster.vschema
        declared = vschema.keyspace(name.keyspace).tables.get(name.table)
        if declared is not None and declared.type is not TableType.SEQUENCE:
            raise SEQUENCE_EXISTS(name=f"{name} (a table)")
        if await self._conversation.gate.cluster.load_table(name) is not None:
            raise SEQUENCE_EXISTS(name=f"{name} (a table)")

    async def _alter(self, statement: AlterSequence, out: Output) -> bool | None:
        name = self._name(statement.sequence)
        self._check_change(name)
        if await self._own.find(name) is None:
            return self._missing([name], out, if_exists=statement.if_exists)
        await self._conversation.own.end(commit=True)
        kind = None if statement.kind is None else Kind(statement.kind.upper())
        if not await self._own.alter(name, kind, statement.options):
            raise UNKNOWN_SEQUENCE(name=name)
        self._done(out)
        return True

    async def _rename(self, statement: RenameSequence, out: Output) -> None:
        name = self._name(statement.sequence)
        to = TableName(statement.to.keyspace or name.keyspace, statement.to.name)
        for one in (name, to):
            self._conversation.gate.cluster.vschema.keyspace(one.keyspace)
            self._check_change(one)
        self._check_name(to)
        self._check_owner("RENAME SEQUENCE", name)
        if key_of(name) != key_of(to):
            await self._check_tables(to)
        await self._conversation.own.end(commit=True)
        if not await self._own.rename(name, to):
            raise UNKNOWN_SEQUENCE(name=name)
        self._done(out)

    async def _drop(self, statement: DropSequence, out: Output) -> bool | None:
        names = [self._name(written) for written in statement.sequences]
        for name in names:
            self._check_change(name)
            self._check_owner("DROP SEQUENCE", name)
        missing = [name for name in names if await self._own.find(name) is None]
        if len(missing) == len(names):
            return self._missing(missing, out, if_exists=statement.if_exists)
        await self._conversation.own.end(commit=True)
        for name in names:
            if name not in missing and not await self._own.drop(name):
                missing.append(name)
        if missing and not statement.if_exists:
            raise UNKNOWN_SEQUENCE(name=", ".join(map(str, missing)))
        self._done(out, *map(_unknown, missing))
        return True

    def _check_owner(self, verb: str, name: TableName) -> None:
        """Raises SEQUENCE_OWNED where a table's ids come from it, and it goes with the table."""
        keyspace = self._conversation.gate.cluster.vschema.keyspaces.get(name.keyspace)
        for one in keyspace.tables.values() if keyspace is not None else ():
            if owns_sequence(one) and key_of(sequence_of(one.name)) == key_of(name):
                raise SEQUENCE_OWNED(verb=verb, name=name, table=one.name)

    def _missing(self, names: list[TableName], out: Output, *, if_exists: bool) -> bool | None:
        """None of them is vgate's own: None where MariaDB may have them. Raises UNKNOWN_SEQUENCE."""
        if self._may_be_servers(names[0]):
            return None
        if not if_exists:
            raise UNKNOWN_SEQUENCE(name=", ".join(map(str, names)))
        self._done(out, *map(_unknown, names))
        return True

    def _may_be_servers(self, name: TableName) -> bool:
        cluster = self._conversation.gate.cluster
        sharded = cluster.vschema.keyspace(name.keyspace).sharded
        return not sharded and cluster.facts_for(name.keyspace).flavour is Flavour.MARIADB

    def _done(self, out: Output, *notes: Diagnostic) -> None:
        self._session.diagnostics = list(notes)
        self._session.row_count = 0
        self._session.found_rows = None
        out.ok(warnings=len(notes))

    def _check_change(self, name: TableName) -> None:
        """Raises DATABASE_DENIED, WRITE_DENIED."""
        login = self._session.login
        check_keyspace(login, name.keyspace)
        if login.read_only:
            raise WRITE_DENIED(user=login.user, host=login.host)

    def _name(self, written: Written) -> TableName:
        """Raises NO_DATABASE (1046), UNKNOWN_KEYSPACE (1049)."""
        keyspace = written.keyspace if written.keyspace is not None else self._conversation.keyspace()
        return TableName(self._conversation.gate.cluster.vschema.keyspace(keyspace).name, written.name)

    # -- looking --------------------------------------------------------------------------------------------------

    async def _show_create(self, statement: ShowCreateSequence, out: Output) -> bool | None:
        name = self._name(statement.sequence)
        check_keyspace(self._session.login, name.keyspace)
        found = await self._own.find(name)
        if found is None:
            return self._missing([name], out, if_exists=False)
        out.rows(CREATE_COLUMNS, [[found.name.table.encode(), statement_of(found).encode()]])
        return True

    def _shown(self, statement: ShowSequences) -> bytes:
        keyspace = statement.keyspace if statement.keyspace is not None else self._conversation.keyspace()
        self._conversation.gate.cluster.vschema.keyspace(keyspace)
        check_keyspace(self._session.login, keyspace)
        rest = statement.rest
        if statement.like is not None:
            rest = b"where NAME like " + statement.like + b" " + rest
        elif rest[:5].lower() != b"where" and b"order" not in rest.lower():
            rest = b"order by NAME " + rest
        listed = table.shown(frozenset({keyspace})).encode()
        return b"select * from " + listed + b" as `SEQUENCES` " + rest

    def is_ours(self, text: bytes, shape: bytes) -> bool:
        """True for a statement about the definitions of sequences that servers do not know, or not as vgate does."""
        if WORDS.search(shape) is None:
            return False
        if _SCHEMA.search(shape) is not None:
            return self._schema_table(text, "sequences") is not None
        return recognise_sequence(text, self._conversation.mode) is not None

    def look(self, text: bytes, shape: bytes) -> bytes | None:
        """What shows the same on the metadata keyspace's server, for a statement that only shows definitions; None for
        any other.
        """
        if _SCHEMA.search(shape) is not None:
            if OF_TYPE.search(shape) is not None:
                return self._of_type(text)
            return self._of_information_schema(text) if WORDS.search(shape) is not None else None
        if WORDS.search(shape) is None:
            return None
        statement = recognise_sequence(text, self._conversation.mode)
        return self._shown(statement) if isinstance(statement, ShowSequences) else None

    async def place(self) -> Place:
        """Where a look is answered. Raises NO_METADATA_KEYSPACE."""
        return await self._own.ready(), 0

    def _of_information_schema(self, text: bytes) -> bytes | None:
        """A SELECT of INFORMATION_SCHEMA.SEQUENCES, over where these are kept; None for any other."""
        place = self._schema_table(text, "sequences")
        return None if place is None else self._over(text, place, table.shown(self._visible))

    def _of_type(self, text: bytes) -> bytes | None:
        """A SELECT of the tables whose type is SEQUENCE, likewise; None for any other, or where vgate can have none."""
        mode = self._conversation.mode
        tokens = self._conversation.lexer.tokens(text)
        raws = [text[token.start : token.end] for token in tokens]
        words = [raw.lower().strip(b"`") for raw in raws]
        asks = any(
            words[index : index + 2] == [b"table_type", b"="]
            and words[index - (3 if words[index - 1] == b"." else 1)] in (b"where", b"and")
            and tokens[index + 2].kind is TokenKind.STRING and read_literal(raws[index + 2], mode).value == b"SEQUENCE"
            for index in range(len(tokens) - 2)
        )  # fmt: skip
        if not asks or {b"or", b"||", b"union", b"join"} & set(words) or words.count(b"from") > 1:
            return None
        try:
            metadata_keyspace(self._conversation.gate.cluster.vschema)
        except VgateError:
            return None
        place = self._schema_table(text, "tables")
        return None if place is None else self._over(text, place, table.shown_as_tables(self._visible))

    @property
    def _visible(self) -> frozenset[str] | None:
        keyspaces = self._session.login.keyspaces
        return None if keyspaces is None else frozenset(keyspaces)

    def _over(self, text: bytes, place: tuple[int, int, bytes], derived: str) -> bytes:
        start, end, alias = place
        return text[:start] + derived.encode() + alias + text[end:]

    def _schema_table(self, text: bytes, name: str) -> tuple[int, int, bytes] | None:
        """Where the name stands, and what must follow it. Raises UNSUPPORTED where other tables are named, too."""
        tokens = self._conversation.lexer.tokens(text)
        words = [text[token.start : token.end].lower() for token in tokens]
        names = [
            name_of(text, token, self._conversation.mode).lower() if token.kind in _NAMES else "" for token in tokens
        ]
        for index in range(len(tokens) - 2):
            if (names[index], words[index + 1], names[index + 2]) != ("information_schema", b".", name):
                continue
            after = words[index + 3] if index + 3 < len(words) else b""
            if words[index - 1] not in (b"from", b"join", b",") or after == b".":
                continue
            if words.count(b"from") > 1 or b"join" in words or after == b",":
                raise UNSUPPORTED(construct=f"INFORMATION_SCHEMA.{name.upper()} together with other tables")
            named = bool(after) and after not in _NO_ALIAS and (after == b"as" or names[index + 3] != "")
            start, end = tokens[index].start, tokens[index + 2].end
            return start, end, b"" if named else b" as " + text[tokens[index + 2].start : end]
        return None

    async def _ask(self, text: bytes, out: Output) -> bool:
        """Ask the metadata keyspace's server. Raises NO_METADATA_KEYSPACE."""
        return await self.ask(self._conversation.call(text, [], out, None))

    async def ask(self, call: Call) -> bool:
        """Ask the metadata keyspace's server for what ``look`` has found. Raises NO_METADATA_KEYSPACE."""
        place = await self.place()
        if speaks(bare(call.text, call.lexer)):
            speak(call, place[0])
        return await run_single(call, place, call.text, Access.READ)

    @property
    def _own(self) -> Sequences:
        return self._conversation.gate.sequences.own


def _unknown(name: TableName) -> Diagnostic:
    return Diagnostic("Note", UNKNOWN_SEQUENCE.errno, UNKNOWN_SEQUENCE(name=name).message)
