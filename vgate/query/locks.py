"""UNLOCK TABLES where no one server is meant, and what a client's own read lock keeps it from.

It does not know how locks are taken: see ``engine.flush``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vgate.engine.flush import unlock_all
from vgate.engine.judge import let_a_server_read
from vgate.engine.output import Output
from vgate.engine.single import run_single
from vgate.errors import READ_LOCKED
from vgate.planner.plan import Access, EveryShard, Insert, InsertQuery, NextValue, Plan
from vgate.query.asking import may_concern
from vgate.query.ties import bare

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation
    from vgate.transactions.scope import Scope

_WRITES: Final = frozenset(
    (b"insert", b"replace", b"update", b"delete", b"load", b"create", b"alter", b"drop", b"truncate", b"rename")
)
_UNLOCKS: Final = (b"unlock tables", b"unlock table")


def is_everywhere(conversation: Conversation) -> bool:
    """True where an UNLOCK TABLES is not the business of the one server that is aimed at."""
    scope = conversation.scope
    return bool(scope.locked) or (conversation.own.tied_place() is None and len(scope.pinned) < 2)


async def unlock(conversation: Conversation, text: bytes, out: Output) -> bool:
    """Answer UNLOCK: of all servers with locks, or of the one that the session is tied to, if it is to any."""
    words = bare(text, conversation.lexer).lower()
    call = conversation.call(text, [], out, None)
    if conversation.scope.locked and words in _UNLOCKS:
        await unlock_all(call)
        return True
    for place in conversation.scope.pinned:
        return await run_single(call, place, text, Access.WRITE)
    if words not in _UNLOCKS:
        await let_a_server_read(call, conversation.own.place(), text)
    conversation.session.told_nothing()
    out.ok()
    return True


def check_statement(scope: Scope, word: bytes, shape: bytes) -> None:
    """Raises READ_LOCKED (1223) for what writes while the client has all tables locked, as servers do: vgate's own part
    in it, a sequence's next value, would wait for that lock, and so for ever.
    """
    if scope.read_locked and (word in _WRITES or may_concern(shape)):
        raise READ_LOCKED()


def check_plan(scope: Scope, node: Plan) -> None:
    """The same of a statement that was prepared. Raises READ_LOCKED."""
    if scope.read_locked and isinstance(node, Insert | InsertQuery | NextValue | EveryShard):
        raise READ_LOCKED()
