"""The statements of a long text: whoever else is there gets a turn after every slice of it."""

from __future__ import annotations

import asyncio

from vgate.query.pieces import statements_of
from vgate.sql.lexer import LexMode, lexer_for


async def test_others_run_after_every_slice() -> None:
    lexer = lexer_for(LexMode())
    text = b"select 1" + b", a" * 40_000 + b"; select 2"
    slices = sum(span is None for span in lexer.statements(text))
    assert slices > 16
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await statements_of(text, lexer, several=True) == [text[: text.index(b";")], b" select 2"]
    task.cancel()
    assert turns >= slices
