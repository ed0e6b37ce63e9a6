"""Keyspaces whose databases are called otherwise: names in the text on its way there, and in columns on the way back.

It does not know which statements there are: a keyspace's name before a dot is its database's.
"""

from __future__ import annotations

from itertools import pairwise

from vgate.engine.call import Call
from vgate.sql.lexer import TokenKind
from vgate.sql.names import backquoted, name_of
from vgate.transactions.scope import Place
from vgate.wire.schemas import SchemaRename


def text_for(call: Call, place: Place, text: bytes) -> bytes:
    """``text`` as the server of ``place`` is to read it."""
    database = _database(call, place)
    return text if database is None else _renamed(call, text, place[0], database)


def columns_of(call: Call, place: Place) -> SchemaRename | None:
    """The filter for answers of ``place``; None where names are the same."""
    database = _database(call, place)
    return None if database is None else SchemaRename(database.encode("utf-8"), place[0].encode("utf-8"))


def _database(call: Call, place: Place) -> str | None:
    """The database of ``place`` if it has another name than its keyspace."""
    servers = call.scope.cluster.keyspaces[place[0]]
    if not servers.renamed:
        return None
    address = servers.keyspace.shards[place[1]].address
    return None if address is None or address.database == place[0] else address.database


def _renamed(call: Call, text: bytes, keyspace: str, database: str) -> bytes:
    tokens = call.lexer.tokens(text)
    parts: list[bytes] = []
    at = 0
    for token, following in pairwise(tokens):
        if token.kind not in (TokenKind.NAME, TokenKind.QUOTED_NAME) or text[following.start : following.end] != b".":
            continue
        if name_of(text, token, call.mode) == keyspace:
            parts += (text[at : token.start], backquoted(database))
            at = token.end
    parts.append(text[at:])
    return b"".join(parts)
