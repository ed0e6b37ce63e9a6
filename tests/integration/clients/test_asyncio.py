"""Python's asyncio drivers, by their pools: aiomysql and asyncmy.

It does not know blocking drivers.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest

from tests.fix_vgate import PASSWORD, USER
from tests.integration.clients.conftest import Place
from tests.integration.clients.matrix import DUPLICATE, INSERT, NULLS, ROW, SELECT


@pytest.fixture(params=["aiomysql", "asyncmy"])
def module(request: pytest.FixtureRequest) -> Any:
    """The driver."""
    return importlib.import_module(request.param)


async def pool_of(module: Any, place: Place, **options: Any) -> Any:
    return await module.create_pool(
        host=place.host, port=place.port, user=USER, password=PASSWORD, db=place.database, charset="utf8mb4",
        minsize=1, maxsize=3, **options,
    )  # fmt: skip


async def run(connection: Any, sql: str, values: tuple[Any, ...] | None = None) -> tuple[list[tuple[Any, ...]], int]:
    """Rows, and the id of a row that was inserted."""
    async with connection.cursor() as cursor:
        await cursor.execute(sql, values)
        rows = [tuple(row) for row in await cursor.fetchall()] if cursor.description else []
        return rows, cursor.lastrowid


async def test_rows_come_back_as_they_were_written(module: Any, place: Place) -> None:
    pool = await pool_of(module, place, autocommit=True)
    row = ROW if module.__name__ != "aiomysql" else tuple(None if isinstance(one, bytes) else one for one in ROW)
    # aiomysql 0.3.2 cannot send bytes with today's PyMySQL beneath it, whatever the server

    async def one(values: tuple[Any, ...]) -> int:
        async with pool.acquire() as connection:
            _, number = await run(connection, INSERT, values)
            assert (await run(connection, SELECT, (number,)))[0] == [values]
            return number

    numbers = await asyncio.gather(*(one(values) for values in (row, NULLS) * 10))
    assert len(set(numbers)) == 20
    pool.close()
    await pool.wait_closed()


async def test_a_transaction_and_its_errors(module: Any, place: Place) -> None:
    pool = await pool_of(module, place, autocommit=False)
    async with pool.acquire() as connection:
        await connection.begin()
        numbers = [(await run(connection, INSERT, NULLS))[1] for _ in range(4)]
        with pytest.raises(Exception) as raised:  # noqa: PT011
            await run(connection, "insert into person (id, name) values (%s, 'again')", (numbers[0],))
        assert raised.value.args[0] == DUPLICATE
        await run(connection, "savepoint here")
        await run(connection, "update person set score = 1")
        await run(connection, "rollback to savepoint here")
        await connection.commit()
        await run(connection, "delete from person")
        await connection.rollback()
    async with pool.acquire() as connection:
        await connection.ping()
        rows, _ = await run(connection, "select id, score from person")
        assert sorted(rows) == [(number, None) for number in numbers]
        async with connection.cursor(module.cursors.SSCursor) as cursor:
            await cursor.execute("select id from person")
            assert sorted([row[0] async for row in cursor]) == numbers
        async with connection.cursor(module.cursors.DictCursor) as cursor:
            await cursor.execute("select name as n from person where id = %s", (numbers[0],))
            assert await cursor.fetchone() == {"n": "nothing"}
    pool.close()
    await pool.wait_closed()
