"""KILL: the number that is meant, and what who kills himself is told.

It does not know how a client is killed, nor of other workers' clients (``clients``).
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from vgate.engine.output import Output
from vgate.errors import CONNECTION_KILLED, INTERRUPTED, UNSUPPORTED
from vgate.query.beginning import Uses, used_by
from vgate.query.speaking import Speech
from vgate.query.ties import bare, leaves_traces
from vgate.sql.lexer import TokenKind
from vgate.sql.statements import Kill

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation

_THREAD_IDS: Final = 0xFFFF_FFFF
"""MySQL looks at as many bits of the number."""


async def kill(conversation: Conversation, statement: Kill, out: Output) -> None:
    """Answer the statement. Raises NO_SUCH_THREAD, KILL_DENIED, INTERRUPTED, UNSUPPORTED, what a server says."""
    login = conversation.session.login
    number = await _number(conversation, statement.value)
    if conversation.on_mysql:
        number &= _THREAD_IDS
    if number != login.connection_id:
        await conversation.clients.kill(number, login.user, query_only=statement.query_only)
        out.ok()
        return
    error = INTERRUPTED() if statement.query_only or conversation.on_mysql else CONNECTION_KILLED()
    if statement.query_only:  # it is this one
        raise error
    out.more = False
    out.error(error)
    conversation.down.hang_up()


async def _number(conversation: Conversation, value: str) -> int:
    """The number that a literal says, or that a server makes of an expression."""
    if value.isascii() and value.isdigit():
        return min(int(value), (1 << 63) - 1) if int(value) >= 1 << 64 else int(value)
    raw, lexer = value.encode("utf-8", "surrogateescape"), conversation.lexer
    words = bare(raw, lexer).lower()
    variables = (raw[one.start : one.end] for one in lexer.scan(raw) if one.kind is TokenKind.VARIABLE)
    known = used_by(b"set x = " + words) is Uses.NOTHING and b"pseudo_thread_id" not in words
    one_value = min(accumulate((word == b"(") - (word == b")") for word in words.split()), default=0) >= 0
    known = known and one_value and all(one.startswith(b"@@") for one in variables)
    if not known or leaves_traces(b"select " + words):
        raise UNSUPPORTED(construct=f"KILL {value}")
    flavour = conversation.gate.cluster.facts_for(conversation.session.target.keyspace).flavour
    text = Speech(conversation.session, b"SELECT CAST((%b) AS UNSIGNED) LIMIT 1" % raw, lexer, "", flavour).text()
    async with conversation.gate.cluster.connection(*conversation.own.place()) as connection:
        await connection.carry(conversation.session.settings)
        ((found,),) = await connection.rows(text)
    return int(found or 0)
