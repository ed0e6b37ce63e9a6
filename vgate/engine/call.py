"""One statement on its way through the engine: its text and literals, and the session it runs for.

It does not know plans.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from vgate.backend.connection import BackendConnection
from vgate.engine.cursor import Cursor
from vgate.engine.output import Output
from vgate.errors import UNSUPPORTED
from vgate.session.session import Session
from vgate.session.settings import Settings
from vgate.sql.lexer import Lexer, LexMode, lexer_for
from vgate.sql.names import backquoted
from vgate.sql.uservars import Mentions
from vgate.transactions.scope import Scope
from vgate.wire.binary import Execution as Bound


@dataclass(frozen=True, slots=True)
class Execution:
    """A prepared statement's execution: its text, the COM_STMT_EXECUTE, and values that were sent ahead of it.

    ``reading``: the settings by which it was read when it was prepared, where those count. ``cursor``: to be opened,
    where the client asked for one.
    """

    text: bytes
    bound: Bound
    payload: bytes
    long_data: Mapping[int, bytes]
    reading: Settings | None = None
    cursor: Cursor | None = None


@dataclass(slots=True)
class Call:
    """``text``: the statement as it is to be sent; ``slots``: its literals, as ``sql.lexer`` split them.

    ``pins`` names the construct that ties the session to the server that runs it (empty: none);
    ``insert_id_read`` is set where the text calls LAST_INSERT_ID(), which must answer for the session, or sets it;
    ``counts_found_rows`` where it says SQL_CALC_FOUND_ROWS, ``tells_time`` where it asks for the time;
    ``uses_tables`` is False where it certainly reads and writes no rows of any, ``names_no_table`` is True where it
    does not even name one;
    ``suspect`` where a stored function may leave traces on the connection, which then serves no other client;
    ``peeks`` where it may see user variables, of which another client's triggers may have left some on a connection;
    ``assigns`` where it assigns user variables: what then learns of them from its connection;
    ``execution`` where a prepared statement is to run as such, and not its text;
    ``binary_rows`` where it runs as text, but its rows are to be those of a prepared statement.
    """

    text: bytes
    slots: list[bytes | list[bytes]]
    mode: LexMode
    session: Session
    scope: Scope
    out: Output
    pins: str = ""
    insert_id_read: bool = False
    counts_found_rows: bool = False
    uses_tables: bool = True
    names_no_table: bool = False
    tells_time: bool = False
    suspect: bool = False
    peeks: bool = False
    assigns: Callable[[BackendConnection], Awaitable[None]] | None = None
    execution: Execution | None = None
    binary_rows: bool = False

    @property
    def cursor(self) -> Cursor | None:
        """The cursor that is to be opened."""
        return self.execution.cursor if self.execution is not None else None

    @property
    def seen_variables(self) -> tuple[str, ...] | None:
        """The user variables that it names; None where it certainly sees none."""
        return Mentions(self.text, self.mode).names if self.peeks else None

    def quoted(self, name: str) -> bytes:
        """A name that is put into the client's text. Raises UNSUPPORTED where its character set does not have it."""
        charset = self.mode.charset
        try:
            return backquoted(name, charset)
        except UnicodeEncodeError:
            raise UNSUPPORTED(construct=f"a statement that needs the name {name}, under SET NAMES {charset}") from None

    @property
    def lexer(self) -> Lexer:
        """The lexer of the client's mode."""
        return lexer_for(self.mode)
