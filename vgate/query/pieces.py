"""The statements of one command: where a text with semicolons is cut.

Each is cut off when its turn comes, and read as the session reads text by then: a SET in the one before may have
changed what ends a string. As in the servers, blanks and semicolons at the end of the text are not there, an empty
statement before that is an error, and what cannot be read is an error of its own statement alone.
The semicolons inside a stored program are its own (``sql.programs``); of a client that sends one statement at a time
all is one from its beginning on, and the server sees whether there is anything behind its end. It does not know what
the statements mean beyond that.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from vgate.planner.build import syntax_error
from vgate.query.ties import bare
from vgate.sql.lexer import SLICE, STRETCH, Lexer, LexError, TokenKind, VersionedComment
from vgate.sql.programs import program_end
from vgate.sql.versioned import Flavour, Version, expand, expand_one

_PROGRAM: Final = re.compile(
    rb"create (?:or replace )?(?:definer = .{1,250}? )?(?:aggregate )?(?:procedure|function|trigger|event|package)\b"
    rb"|alter event\b|begin not atomic\b|(?:if|case|loop|repeat|while|for)\b|\w+ : (?:begin|loop|repeat|while|for)\b",
    re.I | re.DOTALL,
)
_AT_END: Final = b"; \t\n\v\f\r"
_HEAD: Final = 40
"""Words among which a stored program is known to be one."""


def without_nul(text: bytes) -> bytes:
    """The text up to the NUL at its end, which servers take for the one that they put there; ``text`` if there is none.
    """
    shown = text.rstrip(_AT_END) if text[-1:] in b"\0" + _AT_END else text
    return shown[:-1] if shown.endswith(b"\0") else text


class Pieces:
    """The statements of a text, one after the other; ``several``: the client asked for MULTI_STATEMENTS."""

    __slots__ = ("_at", "_nul", "_several", "_text")

    def __init__(self, text: bytes, *, several: bool) -> None:
        self._text = without_nul(text)
        self._nul = self._text is not text  # what it ends is a statement, if an empty one
        if b";" in text and not self._nul:
            self._text = text.rstrip(_AT_END)
        self._several = several
        self._at = 0

    @property
    def more(self) -> bool:
        """True while there are statements behind the last one that was cut off."""
        return self._at < len(self._text) + (self._nul and self._several)

    async def cut(self, lexer: Lexer, flavour: Flavour, number: Version) -> bytes:
        """The next statement, without its semicolon, for a server of that kind. Others run while a long one is read.

        Raises VgateError (1064...).
        """
        text, start = self._text, self._at
        if text.find(b";", start) < 0:  # the last one: of it no more need be read
            self._at = len(text) + 1
            return text[start:]
        try:
            try:
                end = await self._end(lexer, start)
                piece = text[start:end]
            except VersionedComment:
                piece, end = expand_one(text, start, lexer.mode, flavour, number)
            if end < len(text) and (program := _PROGRAM.match(bare(piece, lexer, _HEAD))) is not None:
                piece, end = self._program(lexer, start, flavour, number, program[0])
            self._at = min(end + 1, len(text) + self._nul)
            if not self._several:
                self._nothing_more(lexer)
        except LexError as error:
            raise syntax_error(text, error.offset, error.reason) from None
        return piece

    def _program(
        self, lexer: Lexer, start: int, flavour: Flavour, number: Version, head: bytes
    ) -> tuple[bytes, int]:
        """A stored program, and where it ends; where that is not known, all is one, and the server says what it is."""
        text = self._text
        if self._several and not head.lower().endswith(b"package"):
            try:
                end = program_end(text, lexer, start)
            except VersionedComment:
                pass
            else:
                return text[start:end], end
        return expand(text[start:], lexer.mode, flavour, number), len(text)

    async def _end(self, lexer: Lexer, start: int) -> int:
        """Where the statement that begins at ``start`` ends. Raises LexError, VgateError where it is empty."""
        turn = start
        for number, token in enumerate(lexer.scan(self._text, start)):
            if token.kind is TokenKind.SEMICOLON:
                if number == 0:
                    raise syntax_error(self._text, token.start)
                return token.start
            if number % SLICE == SLICE - 1 or token.end - turn > STRETCH:
                turn = token.end
                await asyncio.sleep(0)
        return len(self._text)

    def _nothing_more(self, lexer: Lexer) -> None:
        """Behind the only statement there may be a comment. Raises LexError, VgateError."""
        token = next(lexer.scan(self._text, min(self._at, len(self._text))), None)
        if token is not None:
            raise syntax_error(self._text, token.start)
        self._at = len(self._text)
