"""The tables a statement refers to: which of the VSchema's they are, and in which query block each stands.

A *reference* is one mention of a table in a FROM, an UPDATE or a DELETE; a *block* is the SELECT, UPDATE or DELETE
around it. Names of common table expressions are no references, and neither are names that only point at a reference
(``DELETE a FROM ...``, ``FOR UPDATE OF a``). Where MariaDB and MySQL do not see the same common table expression in a
name, the statement is refused. It does not know conditions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from vgate.errors import NO_DATABASE, UNKNOWN_TABLE, UNSUPPORTED
from vgate.vschema.model import Table, TableName, VSchema
from vgate.vschema.names import SYSTEM_SCHEMAS

MOST: Final = 200
"""References in one statement. Looking for ties takes time that grows with their square, and servers join 61 tables."""


@dataclass(slots=True, eq=False)
class Reference:
    """One mention of a table. ``table`` is None where the VSchema does not list it (an unsharded keyspace's)."""

    name: TableName
    table: Table | None
    alias: str
    block: exp.Expression
    node: exp.Table


@dataclass(slots=True)
class References:
    """All of a statement: tables of keyspaces, and whether it looks at the servers' own schemas."""

    found: list[Reference] = field(default_factory=list)
    system: bool = False

    @property
    def keyspaces(self) -> list[str]:
        """The keyspaces referred to, each once."""
        return list(dict.fromkeys(one.name.keyspace for one in self.found))


def references(root: exp.Expression, keyspace: str | None, vschema: VSchema) -> References:
    """The references of a statement. Raises VgateError: UNKNOWN_KEYSPACE, UNKNOWN_TABLE, NO_DATABASE, UNSUPPORTED."""
    result = References()
    pointers = {id(table) for table in _pointers(root)}
    for node in root.find_all(exp.Table):
        if id(node) in pointers or not isinstance(node.this, exp.Identifier):
            continue  # a table function is no reference either
        database = node.db
        if database.lower() in SYSTEM_SCHEMAS:
            result.system = True
            continue
        if not database and (node.name.lower() == "dual" or _is_common(node)):
            continue
        name = resolve_name(database or None, node.name, keyspace, vschema)
        table = vschema.keyspace(name.keyspace).tables.get(name.table)
        result.found.append(Reference(name, table, node.alias or node.name, _block(node), node))
        if len(result.found) > MOST:
            raise UNSUPPORTED(construct=f"a statement with more than {MOST} tables")
    return result


def _pointers(root: exp.Expression) -> Iterator[exp.Table]:
    """Names of tables that point at references: targets of a multi-table DELETE, and the OF of a locking clause."""
    for delete in root.find_all(exp.Delete):
        yield from delete.args.get("tables") or ()
        if delete.args.get("using") and isinstance(delete.this, exp.Table):
            yield delete.this
            for join in delete.this.args.get("joins") or ():
                if isinstance(join.this, exp.Table):
                    yield join.this
    for lock in root.find_all(exp.Lock):
        yield from (table for table in lock.args.get("expressions") or () if isinstance(table, exp.Table))


def resolve_name(database: str | None, table: str, keyspace: str | None, vschema: VSchema) -> TableName:
    """The full name of a table, by Vitess's rules: where a routing rule sends it, else its qualifier, else the keyspace
    in use, else the only owner. Raises VgateError.
    """
    routed = vschema.routed(database if database is not None else keyspace, table)
    if routed is not None:
        return routed
    if database is not None:
        return _in(database, table, vschema)
    if keyspace is not None:
        return _in(keyspace, table, vschema)
    owners = vschema.tables_named(table)
    if len(owners) == 1:
        return owners[0].name
    if owners:
        names = ", ".join(str(owner.name) for owner in owners)
        raise UNKNOWN_TABLE(name=f"{table} (ambiguous table reference: {names})")
    if len(vschema.keyspaces) == 1:
        return _in(next(iter(vschema.keyspaces)), table, vschema)
    raise NO_DATABASE()


def _in(keyspace: str, table: str, vschema: VSchema) -> TableName:
    found = vschema.keyspace(keyspace)
    if found.sharded and table not in found.tables:
        raise UNKNOWN_TABLE(name=f"{keyspace}.{table}")
    return TableName(keyspace, table)


def _block(node: exp.Table) -> exp.Expression:
    block = node.find_ancestor(exp.Select, exp.Update, exp.Delete)
    assert block is None or isinstance(block, exp.Expression)
    return block if block is not None else node


# -- common table expressions -------------------------------------------------------------------------------------


def _is_common(node: exp.Table) -> bool:
    """True for the name of a common table expression that is visible here. Raises UNSUPPORTED where servers differ."""
    inside: exp.Expression = node
    parent = node.parent
    while isinstance(parent, exp.Expression):
        with_ = parent.args.get("with_")
        if isinstance(with_, exp.With) and inside is not with_ and _named(node.name, with_.expressions):
            return True
        if isinstance(parent, exp.With):
            at = next(index for index, one in enumerate(parent.expressions) if one is inside)
            recursive = bool(parent.args.get("recursive"))
            if _named(node.name, parent.expressions[: at + 1 if recursive else at]):
                return True
            if recursive and _named(node.name, parent.expressions[at + 1 :]):
                # MariaDB takes it for the later one, MySQL for a table
                raise UNSUPPORTED(construct=f"the name {node.name} before the common table expression of that name")
        inside, parent = parent, parent.parent
    return False


def _named(name: str, expressions: list[exp.Expression]) -> bool:
    """MariaDB finds them in any case, MySQL (where names of tables have a case) only as they are written."""
    aliases = [one.alias for one in expressions if one.alias.lower() == name.lower()]
    if aliases and name not in aliases:
        raise UNSUPPORTED(construct=f"the name {name} besides the common table expression {aliases[0]}")
    return bool(aliases)
