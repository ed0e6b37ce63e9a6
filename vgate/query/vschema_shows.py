"""``SHOW VSCHEMA TABLES | VINDEXES | KEYSPACES``: the VSchema as Vitess shows it.

It does not know how the VSchema is changed.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vgate.engine.output import Output
from vgate.errors import NO_DATABASE, UNKNOWN_VSCHEMA_TABLE
from vgate.query.columns import text_column
from vgate.query.grants import check_keyspace, may_use
from vgate.session.session import Session
from vgate.sql.alter_vschema import ShowVschema
from vgate.vschema.model import Definition, Keyspace, VSchema


def like_filter(pattern: str | None) -> Callable[[str], bool]:
    """A LIKE pattern (% and _) as a predicate; None accepts everything."""
    if pattern is None:
        return lambda name: True
    glob = "".join({"%": "*", "_": "?"}.get(c, f"[{c}]" if c in "*?[" else c) for c in pattern.lower())
    return lambda name: fnmatch.fnmatchcase(name.lower(), glob)


@dataclass(frozen=True, slots=True)
class Shown:
    """A result of text columns."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def answer_vschema(statement: ShowVschema, session: Session, vschema: VSchema, out: Output) -> None:
    """Answer with what the client may know. Raises VgateError: as ``show_vschema``, and who may not use a keyspace."""
    login = session.login
    if statement.keyspace:
        check_keyspace(login, vschema.keyspace(statement.keyspace).name)
    keyspaces = [one for one in vschema.keyspaces.values() if may_use(login, one.name)]
    shown = show_vschema(statement, session.target.keyspace, vschema, keyspaces, like_filter(statement.like))
    out.rows(list(map(text_column, shown.columns)), [[cell.encode() for cell in row] for row in shown.rows])


def show_vschema(
    statement: ShowVschema, current: str | None, vschema: VSchema, keyspaces: Iterable[Keyspace],
    matches: Callable[[str], bool],
) -> Shown:  # fmt: skip
    """The answer; of all keyspaces those in ``keyspaces`` are shown.

    Raises VgateError: NO_DATABASE, UNKNOWN_KEYSPACE, UNKNOWN_VSCHEMA_TABLE (1146).
    """
    if statement.what == "keyspaces":
        return Shown(("Keyspace", "Sharded", "Foreign Key", "Comment"), [
            (one.name, "true" if one.sharded else "false", one.foreign_key_mode, "")
            for one in sorted(keyspaces, key=lambda one: one.name) if matches(one.name)
        ])  # fmt: skip
    if statement.what == "vindexes":
        return _vindexes(statement, current, vschema, keyspaces, matches)
    tables = sorted(_keyspace(current, vschema).tables)
    return Shown(("Tables",), [(name,) for name in tables if matches(name)])


def _keyspace(name: str | None, vschema: VSchema) -> Keyspace:
    if name is None:
        raise NO_DATABASE()
    return vschema.keyspace(name)


def _vindexes(
    statement: ShowVschema, current: str | None, vschema: VSchema, keyspaces: Iterable[Keyspace],
    matches: Callable[[str], bool],
) -> Shown:  # fmt: skip
    if statement.table:
        keyspace = _keyspace(statement.keyspace or current, vschema)
        table = keyspace.tables.get(statement.table)
        if table is None:
            raise UNKNOWN_VSCHEMA_TABLE(name=statement.table, keyspace=keyspace.name)
        return Shown(("Columns", "Name", "Type", "Params", "Owner"), [
            (", ".join(one.columns), *_described(one.vindex.name, keyspace.definitions))
            for one in table.column_vindexes if matches(one.vindex.name)
        ])  # fmt: skip
    return Shown(("Keyspace", "Name", "Type", "Params", "Owner"), [
        (keyspace.name, *_described(name, keyspace.definitions))
        for keyspace in sorted(keyspaces, key=lambda one: one.name)
        for name in sorted(keyspace.definitions) if matches(name)
    ])  # fmt: skip


def _described(name: str, definitions: Mapping[str, Definition]) -> tuple[str, str, str, str]:
    found = definitions[name]
    return name, found.type, "; ".join(f"{key}={value}" for key, value in sorted(found.params.items())), found.owner
