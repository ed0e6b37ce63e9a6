"""With autocommit off, a statement that reaches tables begins a transaction.

Where several shards are asked that is vgate's doing: no shard can say what one server would have made of it. It does
not know which statements these are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from vgate.engine.call import Call
from vgate.errors import ServerError

_UNRESOLVED: Final = frozenset({
    1049, 1051, 1052, 1054, 1060, 1064, 1066, 1093, 1109, 1110, 1111, 1115, 1136, 1140, 1146, 1176, 1191, 1193, 1222,
    1241, 1253, 1267, 1270, 1271, 1273, 1288, 1305, 1471, 1582, 1583, 1747, 3065, 3568, 3579, 3593,
})  # fmt: skip
"""Errors of MySQL's (9.7, measured) before a statement's tables are locked, so that it has begun nothing."""


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
        resolved = session.keeps_warnings or error.errno not in _UNRESOLVED  # MariaDB begins before it looks
        if begins and not resolved and session.in_transaction:
            await call.scope.rollback()
        raise
