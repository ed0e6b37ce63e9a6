"""A server that can say what each server of a keyspace can, for what changes nothing there.

It does not know what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from vgate.backend.connection import BackendConnection
from vgate.errors import BACKEND_LOST, BACKEND_UNREACHABLE, VgateError
from vgate.transactions.scope import Place

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

T = TypeVar("T")
Take = Callable[[Place], Awaitable[BackendConnection]]


async def look(
    conversation: Conversation, place: Place, take: Take, work: Callable[[Place, BackendConnection], Awaitable[T]]
) -> T:
    """What ``work`` makes of a connection that ``take`` gives to ``place``, or to another shard where that cannot be
    reached. Where the connection is lost, and is no part of a transaction, it is done once more.

    Raises what both raise.
    """
    scope = conversation.scope
    retry = place not in scope.held and not scope.transactional
    while True:
        place, connection = await _reach(conversation, place, take)
        try:
            return await work(place, connection)
        except VgateError as error:
            if error.fault is not BACKEND_LOST or not retry:
                raise
            retry = False
        finally:
            scope.give_back(place, connection)


async def _reach(conversation: Conversation, place: Place, take: Take) -> tuple[Place, BackendConnection]:
    """Who aims at a shard means that one."""
    keyspace, index = place
    count = len(conversation.gate.cluster.keyspaces[keyspace].keyspace.shards)
    aimed = conversation.session.target.shard is not None
    others = [] if aimed else [one for one in range(count) if one != index]
    while True:
        try:
            return place, await take(place)
        except VgateError as error:
            if error.fault is not BACKEND_UNREACHABLE or not others:
                raise
            place = keyspace, others.pop(0)
