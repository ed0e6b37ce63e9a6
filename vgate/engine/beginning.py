"""With autocommit off, a statement that reaches tables begins a transaction.

Where several shards are asked that is vgate's doing: no shard can say what one server would have made of it. It does
not know which statements these are, nor errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vgate.engine.call import Call
from vgate.engine.once import had_transaction
from vgate.errors import ServerError
from vgate.sql.versioned import Flavour


@asynccontextmanager
async def begun(call: Call) -> AsyncIterator[None]:
    """A transaction for the statement, if it has to begin one; over again where one server would have begun none."""
    session = call.session
    begins = not session.autocommit and not session.in_transaction
    if begins:
        session.begin()
    try:
        yield
    except ServerError as error:
        flavour = Flavour.MARIADB if session.keeps_warnings else Flavour.MYSQL
        if begins and session.in_transaction and not had_transaction(error, flavour):
            once = session.isolation_once
            await call.scope.rollback()
            session.isolation_once = once
        raise
