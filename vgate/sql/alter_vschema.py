"""``ALTER VSCHEMA``, in the ten forms of Vitess, and ``SHOW VSCHEMA``: from tokens to what they ask for.

Each form of the former is a frozen dataclass that ``vschema.changes`` carries out; a keyspace that the statement does
not name is "". It does not know whether what is named exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgate.sql.lexer import TokenKind
from vgate.sql.literals import read_literal
from vgate.sql.names import decoded

if TYPE_CHECKING:
    from vgate.sql.statements import Reader


@dataclass(frozen=True, slots=True)
class VindexSpec:
    """``USING type [WITH k=v, ...]``; ``owner`` is lifted out of the parameters."""

    type: str
    params: tuple[tuple[str, str], ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True)
class CreateVindex:
    """``CREATE VINDEX v [USING type [WITH ...]]``; without a type it is one called like the vindex."""

    keyspace: str
    name: str
    spec: VindexSpec


@dataclass(frozen=True, slots=True)
class DropVindex:
    keyspace: str
    name: str


@dataclass(frozen=True, slots=True)
class AddTable:
    keyspace: str
    table: str


@dataclass(frozen=True, slots=True)
class DropTable:
    keyspace: str
    table: str


@dataclass(frozen=True, slots=True)
class AddVindex:
    """``ON t ADD VINDEX v (columns) [USING type [WITH ...]]``; without a spec the vindex must be there."""

    keyspace: str
    table: str
    vindex: str
    columns: tuple[str, ...]
    spec: VindexSpec | None = None


@dataclass(frozen=True, slots=True)
class RemoveVindex:
    """``ON t DROP VINDEX v``."""

    keyspace: str
    table: str
    vindex: str


@dataclass(frozen=True, slots=True)
class AddSequence:
    keyspace: str
    sequence: str


@dataclass(frozen=True, slots=True)
class DropSequence:
    keyspace: str
    sequence: str


@dataclass(frozen=True, slots=True)
class AddAutoIncrement:
    """``ON t ADD AUTO_INCREMENT column USING [keyspace.]sequence``; ``bumps`` (``AutoIncrement``) is not said there."""

    keyspace: str
    table: str
    column: str
    sequence: str
    sequence_keyspace: str = ""
    bumps: bool = True


@dataclass(frozen=True, slots=True)
class DropAutoIncrement:
    keyspace: str
    table: str


@dataclass(frozen=True, slots=True)
class RenameTable:
    """No statement of its own: RENAME TABLE carries a table's entry along."""

    keyspace: str
    table: str
    to: str


Change = (
    CreateVindex | DropVindex | AddTable | DropTable | AddVindex | RemoveVindex | AddSequence | DropSequence
    | AddAutoIncrement | DropAutoIncrement | RenameTable
)


@dataclass(frozen=True, slots=True)
class AlterVschema:
    """The whole statement."""

    change: Change


@dataclass(frozen=True, slots=True)
class ShowVschema:
    """``SHOW VSCHEMA TABLES | VINDEXES [ON [ks.]t] | KEYSPACES [LIKE pattern]``; without ON ``table`` is ""."""

    what: str
    keyspace: str = ""
    table: str = ""
    like: str | None = None


def read_show(reader: Reader) -> ShowVschema:
    """What follows SHOW VSCHEMA. Raises VgateError for a form that does not exist."""
    what = reader.peek()
    if what not in ("tables", "vindexes", "keyspaces"):
        raise reader.syntax()
    reader.at += 1
    keyspace = table = ""
    if what == "vindexes" and (reader.accept("on") or reader.accept("from")):
        keyspace, table = _qualified(reader)
    like = reader.name_or_string() if reader.accept("like") else None
    reader.finish()
    return ShowVschema(what, keyspace, table, like)


def read_alter(reader: Reader) -> AlterVschema | None:
    """What follows ALTER; None where that is no VSCHEMA. Raises VgateError for a form that does not exist."""
    if not reader.accept("vschema"):
        return None
    change = _on(reader) if reader.accept("on") else _change(reader)
    reader.finish()
    return AlterVschema(change)


def _change(reader: Reader) -> Change:
    if reader.accept("create", "vindex"):
        keyspace, name = _qualified(reader)
        return CreateVindex(keyspace, name, _spec(reader) or VindexSpec(name))
    for words, make in _PLAIN.items():
        if reader.accept(*words):
            return make(*_qualified(reader))
    raise reader.syntax()


_PLAIN: dict[tuple[str, str], Callable[[str, str], Change]] = {
    ("drop", "vindex"): DropVindex, ("add", "table"): AddTable, ("drop", "table"): DropTable,
    ("add", "sequence"): AddSequence, ("drop", "sequence"): DropSequence,
}  # fmt: skip


def _on(reader: Reader) -> Change:
    keyspace, table = _qualified(reader)
    if reader.accept("add", "vindex"):
        vindex = reader.name()
        return AddVindex(keyspace, table, vindex, _columns(reader), _spec(reader))
    if reader.accept("drop", "vindex"):
        return RemoveVindex(keyspace, table, reader.name())
    if reader.accept("add", "auto_increment"):
        column = reader.name()
        reader.expect("using")
        owner, sequence = _qualified(reader)
        return AddAutoIncrement(keyspace, table, column, sequence, owner)
    reader.expect("drop", "auto_increment")
    return DropAutoIncrement(keyspace, table)


def _qualified(reader: Reader) -> tuple[str, str]:
    name = reader.name()
    return (name, reader.name()) if reader.accept(".") else ("", name)


def _columns(reader: Reader) -> tuple[str, ...]:
    reader.expect("(")
    columns = [reader.name()]
    while reader.accept(","):
        columns.append(reader.name())
    reader.expect(")")
    return tuple(columns)


def _spec(reader: Reader) -> VindexSpec | None:
    if not reader.accept("using"):
        return None
    kind = reader.name()
    params: dict[str, str] = {}
    if reader.accept("with"):
        while True:
            key = reader.name()
            reader.expect("=")
            params[key] = _value(reader)
            if not reader.accept(","):
                break
    owner = params.pop("owner", "")
    return VindexSpec(kind, tuple(params.items()), owner)


def _value(reader: Reader) -> str:
    """A name, a string or a number."""
    if reader.end():
        raise reader.syntax()
    token = reader.tokens[reader.at]
    if token.kind is TokenKind.NUMBER:
        reader.at += 1
        return decoded(reader.raw(token), reader.mode.charset)
    if token.kind is TokenKind.STRING:
        value = read_literal(reader.raw(token), reader.mode).value
        reader.at += 1
        return decoded(value if isinstance(value, bytes) else b"", reader.mode.charset)
    return reader.name()
