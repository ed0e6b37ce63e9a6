"""The commit that comes before DDL and its kin: once a server has read the statement.

It does not know which statements commit (``query.ties``), nor how they run afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgate.engine.call import Call
from vgate.engine.judge import let_a_server_parse
from vgate.planner.plan import EveryShard, Flush, Maintain, Pass, Plan, Refuse

if TYPE_CHECKING:
    from vgate.query.conversation import Conversation


async def commit_before(conversation: Conversation, call: Call, node: Plan) -> None:
    """End the transaction that is open, as servers do. Raises ServerError for what is no SQL: that ends nothing."""
    if conversation.session.in_transaction and call.execution is None:  # what was prepared has been read
        match node:
            case Pass() if not conversation.is_apart(node):
                await let_a_server_parse(call, conversation.place_of(node), call.text)
            case Maintain() | Flush():
                await let_a_server_parse(call, (node.keyspace, 0), call.text)
            case EveryShard():
                await let_a_server_parse(call, (node.keyspace, 0), conversation.tables.text_for_shards(call, node))
            case Refuse():
                await let_a_server_parse(call, conversation.own.place(), call.text)
    await conversation.own.end(commit=True)
