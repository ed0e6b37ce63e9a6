"""One statement on its way through the engine: its text and literals, and the session it runs for.

It does not know plans.
"""

from __future__ import annotations

from dataclasses import dataclass

from vgate.engine.output import Output
from vgate.session.session import Session
from vgate.sql.lexer import Lexer, LexMode, lexer_for
from vgate.transactions.scope import Scope


@dataclass(slots=True)
class Call:
    """``text``: the statement as it is to be sent; ``slots``: its literals, as ``sql.lexer`` split them.

    ``pins`` names the construct that ties the session to the server that runs it (empty: none);
    ``insert_id_read`` is set where the text calls LAST_INSERT_ID(), which must answer for the session.
    """

    text: bytes
    slots: list[bytes | list[bytes]]
    mode: LexMode
    session: Session
    scope: Scope
    out: Output
    pins: str = ""
    insert_id_read: bool = False

    @property
    def lexer(self) -> Lexer:
        """The lexer of the client's mode."""
        return lexer_for(self.mode)
