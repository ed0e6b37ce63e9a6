"""``select ... from <vindex> where id = value``: a vindex as Vitess lets it be asked, as if it were a table.

The table has the columns id, keyspace_id, range_start, range_end, hex_keyspace_id and shard. Here are how such a
statement is recognised, where its name and its condition stand in the text, and which values it asks for; a condition
that Vitess refuses is refused with Vitess's words. It does not know what a value's keyspace id is, nor how the answer
is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vgate.errors import VINDEX_CONDITION, VgateError
from vgate.planner.statements import QualifiedName, Words
from vgate.sql.lexer import LexMode, TokenKind
from vgate.vindex.base import Vindex
from vgate.vschema.model import Keyspace, VSchema

COLUMNS: Final = ("id", "keyspace_id", "range_start", "range_end", "hex_keyspace_id", "shard")

_VALUES: Final = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.HEX})
_AFTER: Final = frozenset({"", "order", "limit", "group", "having"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a statement asks a vindex: ``start`` to ``end`` in the text are the table's name, alias and condition.

    ``values`` are the literals as written, in order; ``alias`` is what the rest of the statement calls the table.
    """

    name: QualifiedName
    start: int
    end: int
    alias: str
    values: tuple[bytes, ...]


def vindex_named(name: QualifiedName, keyspace: str | None, vschema: VSchema) -> tuple[Keyspace, Vindex] | None:
    """The vindex of that name, where no table has it; None if there is none. An unsharded keyspace has tables alone."""
    database, table = name
    owner = database if database is not None else keyspace
    if owner is not None:
        found = vschema.keyspaces.get(owner)
        if found is None or not found.sharded or table in found.tables or table not in found.vindexes:
            return None
        return found, found.vindexes[table]
    if vschema.tables_named(table):
        return None
    owners = [
        one for one in vschema.keyspaces.values()
        if one.sharded and not one.require_explicit_routing and table in one.vindexes
    ]  # fmt: skip
    return (owners[0], owners[0].vindexes[table]) if len(owners) == 1 else None


def table_asked(words: Words) -> QualifiedName | None:
    """The first table of a SELECT's FROM, as a quick look; None where there is none."""
    depth = 0
    for ahead in range(1, len(words)):
        word = words.word(ahead)
        depth += (word == "(") - (word == ")")
        if word == "from" and depth == 0:
            words.at = ahead + 1
            name = words.name()
            words.at = 0
            return name
    return None


def read_asked(text: bytes, mode: LexMode) -> Asked:
    """What the statement asks. Raises VINDEX_CONDITION for a form that Vitess does not answer either."""
    words = Words(text, mode)
    depth = 0
    while words.word() != "from" or depth:
        depth += (words.word() == "(") - (words.word() == ")")
        words.at += 1
    words.at += 1
    start = _start(words)
    name = words.name()
    assert name is not None
    alias = _alias(words, name[1])
    if not words.accept("where"):
        more = len(words) and words.word() not in _AFTER
        raise _refused("multiple tables involved" if more else "where clause missing")
    _column(words, alias)
    values = _values(words, mode)
    if words.word() in ("and", "&&"):
        raise _refused("multiple filters")
    if words.word() not in _AFTER:
        raise _refused("not a comparison")
    token = words.token(-1)
    assert token is not None
    return Asked(name, start, token.end, alias, values)


def _refused(reason: str) -> VgateError:
    return VINDEX_CONDITION(reason=reason)


def _start(words: Words) -> int:
    token = words.token()
    assert token is not None
    return token.start


def _alias(words: Words, name: str) -> str:
    if words.accept("as") or words.word() not in (*_AFTER, "where", ",", "join", "left", "right", "inner", "cross"):
        return words.one_name() or name
    token = words.token()
    if token is not None and token.kind is TokenKind.QUOTED_NAME:
        return words.one_name() or name
    return name


def _column(words: Words, alias: str) -> None:
    """``id``, or ``alias.id``."""
    column = words.name()
    if column is None:
        raise _refused("lhs is not a column")
    if column[1].lower() != "id" or column[0] not in (None, alias):
        raise _refused("lhs is not id")


def _values(words: Words, mode: LexMode) -> tuple[bytes, ...]:
    if words.accept("="):
        return (_value(words),)
    if not words.accept("in"):
        raise _refused("not equality")
    if not words.accept("("):
        raise _refused("rhs is not a value")
    values = [_value(words)]
    while words.accept(","):
        values.append(_value(words))
    if not words.accept(")"):
        raise _refused("rhs is not a value")
    return tuple(values)


def _value(words: Words) -> bytes:
    sign = b"-" if words.accept("-") else b""
    token = words.token()
    if token is None or token.kind not in _VALUES or (sign and token.kind is not TokenKind.NUMBER):
        raise _refused("rhs is not a value")
    words.at += 1
    return sign + words.raw(token)
