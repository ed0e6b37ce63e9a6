"""CREATE VIEW and DROP VIEW of an unsharded keyspace that is not the one in use: all names must be its own.

The server of that keyspace runs the text, and would take an unqualified name for one of its own tables, where it means
one of the keyspace in use. It does not know the other options of a view, which are the server's business.
"""

from __future__ import annotations

from vgate.planner.functions import foreign_function, sequence_function
from vgate.planner.plan import Access, Pass
from vgate.planner.references import references
from vgate.planner.statements import Words
from vgate.sql.lexer import LexMode
from vgate.sql.tree import Unparsed, parse
from vgate.vschema.model import TableName, VSchema

_OPTIONS = 20
"""A view's definition has fewer tokens before the word VIEW."""


def plan_view(text: bytes, mode: LexMode, keyspace: str | None, vschema: VSchema) -> Pass | None:
    """The plan of such a statement; None for any other. Raises VgateError for what its query may not name."""
    words = Words(text, mode)
    verb = words.word()
    at = next((ahead for ahead in range(1, _OPTIONS) if words.word(ahead) == "view"), None)
    if verb not in ("create", "drop") or at is None or (verb == "drop" and at != 1):
        return None
    words.at = at + 1
    words.skip_existence()
    names = words.names() if verb == "drop" else (words.name(),)
    owners = {name[0] if name is not None else None for name in names}
    owner = owners.pop() if len(owners) == 1 else None
    if owner is None or owner == keyspace or vschema.keyspace(owner).sharded:
        return None
    if any(vschema.routed(owner, name[1]) is not None for name in names if name is not None):
        return None
    if verb == "create" and not _asks_only(owner, words, keyspace, vschema):
        return None
    return Pass(owner, Access.WRITE, tuple(TableName(owner, name[1]) for name in names if name is not None))


def _asks_only(owner: str, words: Words, keyspace: str | None, vschema: VSchema) -> bool:
    """True if the view's query reads tables of its own keyspace only, and calls no function that is in a database."""
    while words.word() not in ("as", ""):
        words.at += 1
    token = words.token(1)
    if words.word() != "as" or token is None:
        return False
    try:
        tree = parse(words.text[token.start :], words.mode)
    except Unparsed:
        return False
    if foreign_function(tree.words) or sequence_function(tree.words):
        return False
    found = references(tree.root, keyspace, vschema)
    return not found.system and found.keyspaces in ([owner], [])
