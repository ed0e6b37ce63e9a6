"""The statements of one command: where a text with semicolons is cut.

The semicolons of a stored program are its own: from its beginning on, all is one statement, and the server that gets it
sees whether there is anything behind its end. It does not know what the statements mean beyond that.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from vgate.planner.build import syntax_error
from vgate.query.ties import bare
from vgate.sql.lexer import Lexer

_PROGRAM: Final = re.compile(
    rb"create (?:or replace )?(?:definer = .{1,250}? )?(?:aggregate )?(?:procedure|function|trigger|event|package)\b"
    rb"|alter event\b|begin not atomic\b|(?:if|case|loop|repeat|while|for)\b|\w+ : (?:begin|loop|repeat|while|for)\b",
    re.I | re.DOTALL,
)
_HEAD: Final = 40
"""Words among which a stored program is known to be one."""


async def statements_of(text: bytes, lexer: Lexer, *, several: bool) -> list[bytes]:
    """The statements, without their semicolons; ``several``: the client asked for MULTI_STATEMENTS.

    Others run while a long text is read. Raises LexError, VgateError (1064).
    """
    if text.find(b";") >= len(text.rstrip(b"; \t\r\n")):  # it ends the only statement, of which no more need be read
        return [text[: text.find(b";")]]
    spans: list[tuple[int, int]] = []
    for span in lexer.statements(text):
        if span is not None:
            spans.append(span)
        else:
            await asyncio.sleep(0)
    for number, (start, end) in enumerate(spans):
        if _PROGRAM.match(bare(text[start:end], lexer, _HEAD)):
            spans[number:] = [(start, len(text))]
            break
    if len(spans) > 1 and not several:
        raise syntax_error(text, spans[1][0])
    return [text[start:end] for start, end in spans] or [b""]
