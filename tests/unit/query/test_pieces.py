"""The statements of one command: where they end, how each is read, and that others get their turns meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from vgate.errors import VgateError
from vgate.query.pieces import Pieces
from vgate.sql.lexer import SLICE, Lexer, LexMode, lexer_for
from vgate.sql.versioned import Flavour

PLAIN, NO_ESCAPES = lexer_for(LexMode()), lexer_for(LexMode(no_backslash_escapes=True))
SERVER = (Flavour.MARIADB, (10, 11, 6))


async def cut(text: bytes, *lexers: Lexer, several: bool = True) -> list[bytes]:
    """All statements; the first is read by the first lexer, and so on; the last lexer reads all others."""
    pieces = Pieces(text, several=several)
    found = [await pieces.cut(lexers[0], *SERVER)]
    while pieces.more:
        found.append(await pieces.cut(lexers[min(len(found), len(lexers) - 1)], *SERVER))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"select 1", [b"select 1"]),
        (b"select 1;", [b"select 1"]),
        (b" select 1 ; ; ", [b" select 1"]),  # servers cut blanks and semicolons off the end before they look
        (b"select ';' ; select `;` -- ;\n", [b"select ';' ", b" select `;` --"]),
        (b"select 1; -- x", [b"select 1", b" -- x"]),  # answered by an OK
        (b"select /*! 1; */ 2", None),  # what servers make of that is refused
        (b"select /*! 1 */; select ';'", [b"select  1 ", b" select ';'"]),
        (b"create /*! procedure */ p() begin select 1; select 2; end; select 3",
         [b"create  procedure  p() begin select 1; select 2; end; select 3"]),
        (b"", [b""]),
        (b" ; ", [b""]),
        (b"-- x", [b"-- x"]),
        (b"select 1\0", [b"select 1"]),
        (b"select ';' \0 ;", [b"select ';' "]),
        (b"select 1; select 2;\0", [b"select 1", b" select 2", b""]),  # which is refused as empty
        (b"\0", [b""]),
        (b";\0", None),
        (b"select 1;;\0", None),
        (b"select 1;;select 2", None),
        (b";select 2", None),
        (b"/* x */;select 2", None),
    ],
)  # fmt: skip
async def test_where_statements_end(text: bytes, expected: list[bytes] | None) -> None:
    if expected is not None:
        assert await cut(text, PLAIN) == expected
        return
    with pytest.raises(VgateError):
        await cut(text, PLAIN)


async def test_what_cannot_be_read_is_an_error_of_its_own_statement() -> None:
    pieces = Pieces(b"select 1; select 'x; select 2", several=True)
    assert await pieces.cut(PLAIN, *SERVER) == b"select 1"
    assert pieces.more
    with pytest.raises(VgateError, match="near ''x; select 2'"):
        await Pieces(b"select 'x; select 2", several=True).cut(PLAIN, *SERVER)


async def test_each_is_read_in_the_mode_of_its_turn() -> None:
    text = b"set x; select 'a\\', 1; select '; -- '"
    assert await cut(text, PLAIN) == [b"set x", b" select 'a\\', 1; select '", b" -- '"]
    assert await cut(text, PLAIN, NO_ESCAPES) == [b"set x", b" select 'a\\', 1", b" select '; -- '"]


async def test_one_alone_may_be_followed_by_a_comment_only() -> None:
    assert await cut(b"select 1; -- x", PLAIN, several=False) == [b"select 1"]
    with pytest.raises(VgateError, match="near 'select 2'"):
        await cut(b"select 1; select 2", PLAIN, several=False)


async def test_others_run_after_every_slice() -> None:
    text = b"select 1" + b", a" * (SLICE * 8) + b"; select 2"
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await cut(text, PLAIN) == [text[: text.index(b";")], b" select 2"]
    task.cancel()
    assert turns >= 16
