"""A single statement's transaction: its own, which uses up SET TRANSACTION, or with autocommit off the client's, which
it begins.

It has one where a table was opened (MariaDB), or the statement came to be executed (MySQL), whether or not it then
failed. Where several shards are asked to begin one they cannot say whether one server would have. What an error says of
it is known here, measured on MariaDB 10.11 and MySQL 9; which statements use tables is not, but asked
(``Call.uses_tables``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.errors import ServerError, SqlError
from vgate.sql.versioned import Flavour
from vgate.transactions.scope import Place

_BEFORE_TABLES: Final = frozenset({
    1044, 1046, 1049, 1051, 1064, 1066, 1102, 1103, 1109, 1142, 1146, 1149, 1210, 1243, 1525, 1582, 1583, 1747,
    1792, 4161,
})  # fmt: skip
"""Errors that MariaDB has for a statement before it opens tables."""

_NOT_UNDERSTOOD: Final = ("21", "25", "28", "3D", "42")
"""Classes of SQLSTATEs with which MySQL refuses a statement that it does not begin to execute."""

_BEFORE_EXECUTION: Final = frozenset({
    1093, 1111, 1193, 1210, 1243, 1253, 1267, 1270, 1271, 1273, 1288, 1471, 1525, 1747, 3065, 3568, 3579, 3593,
})  # fmt: skip
_IN_EXECUTION: Final = frozenset({1172, 1242, 3057})
"""And errors that their SQLSTATE says nothing of."""


def had_transaction(error: BaseException, flavour: Flavour) -> bool:
    """True where a statement that uses tables fails with this error of a server's inside a transaction of its own, or
    has begun the client's, with autocommit off.
    """
    if not isinstance(error, ServerError):
        return False
    if flavour is Flavour.MARIADB:
        return error.errno not in _BEFORE_TABLES
    refused = error.sqlstate[:2] in _NOT_UNDERSTOOD and error.errno not in _IN_EXECUTION
    return not refused and error.errno not in _BEFORE_EXECUTION


@asynccontextmanager
async def begun(call: Call, keyspace: str) -> AsyncIterator[None]:
    """The client's transaction for a statement over shards of ``keyspace``, if it has to begin one; over again where
    one server would have begun none.
    """
    session = call.session
    begins = not session.autocommit and not session.in_transaction
    if begins:
        session.begin()
    try:
        yield
    except ServerError as error:
        begins = begins and session.in_transaction
        if begins and not had_transaction(error, call.scope.cluster.facts_for(keyspace).flavour):
            once = session.isolation_once
            await call.scope.rollback()
            session.isolation_once = once
        raise


async def use_up(
    call: Call, place: Place, connection: BackendConnection, error: BaseException | None = None
) -> None:
    """SET TRANSACTION was for the one statement that has been run; nothing of it may be left on the connection.

    ``error``: what the statement has failed with.
    """
    session = call.session
    flavour = call.scope.cluster.facts_for(place[0]).flavour
    if not session.in_transaction and (error is None or had_transaction(error, flavour)):
        session.isolation_once = ()
    if connection.usable and place not in call.scope.begun:
        try:
            await connection.query("COMMIT")
        except SqlError:
            connection.close()
