"""A statement that a client has prepared: its text, what it is to vgate, where and how it was read, and what executions
leave behind: types, values sent ahead, a cursor. It does not know how it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from vgate.engine.cursor import Cursor
from vgate.errors import MALFORMED, WRONG_ARGUMENTS
from vgate.query.mixed import Mixed
from vgate.session.settings import Settings
from vgate.session.target import Target
from vgate.sql.lexer import LexMode, reads_otherwise
from vgate.sql.nextval import Asking, Item
from vgate.sql.parameters import Template
from vgate.sql.sequences import SequenceStatement
from vgate.sql.statements import Statement
from vgate.sql.versioned import Flavour
from vgate.wire.binary import Execution as Bound
from vgate.wire.binary import MissingValues, Types, UnboundTypes, UnknownType, fractions_of, read_execution
from vgate.wire.packets import MalformedPacket

_SENT_AHEAD: Final = {
    Flavour.MARIADB: frozenset({0x0F, *range(0xF7, 0x100)}),
    Flavour.MYSQL: frozenset(range(0xF9, 0xFF)),
}
"""The types of parameters that may be sent ahead: strings and bytes."""


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


@dataclass(slots=True)
class PreparedStatement:
    """What a client prepared. ``types`` are those of its last execution, which it need not repeat;
    ``fractions`` the numbers of parameters that MySQL has taken for DECIMAL since they have these.

    ``own``: the statement if the session answers it itself. ``long_data``: values sent ahead, by parameter.
    ``flavour``: whose errors answer what cannot be read. ``target``, ``mode`` and ``reading``: where it was prepared,
    and how read.
    """

    id: int
    template: Template
    flavour: Flavour
    target: Target
    mode: LexMode
    reading: Settings
    own: Own | None = None
    types: Types | None = None
    fractions: frozenset[int] = frozenset()
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
        ahead = self.ahead() if self.long_data else None
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
        if self.flavour is Flavour.MYSQL:
            found = fractions_of(bound.parameters)
            self.fractions = found | self.fractions if bound.types == self.types else found
            bound = bound._replace(fractions=self.fractions) if self.fractions else bound
        self.types = bound.types
        return bound

    def ahead(self) -> dict[int, bytes]:
        """What was sent ahead, by parameter."""
        return {index: bytes(value) for index, value in self.long_data.items()}
