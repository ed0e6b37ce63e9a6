"""The tables a statement refers to: which of the VSchema's they are, and in which query block each stands.

A *reference* is one mention of a table in a FROM, an UPDATE or a DELETE; a *block* is the SELECT, UPDATE or DELETE
around it. Names of common table expressions are no references. It does not know conditions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from vgate.errors import NO_DATABASE, UNKNOWN_TABLE
from vgate.vschema.model import Table, TableName, VSchema
from vgate.vschema.names import SYSTEM_SCHEMAS


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
    """The references of a statement. Raises VgateError: UNKNOWN_KEYSPACE, UNKNOWN_TABLE, NO_DATABASE."""
    result = References()
    multi_delete = {id(table) for delete in root.find_all(exp.Delete) for table in delete.args.get("tables") or ()}
    for node in root.find_all(exp.Table):
        if id(node) in multi_delete or not isinstance(node.this, exp.Identifier):
            continue  # DELETE a FROM ...: a names a reference of the FROM; and a table function is none
        database = node.db
        if database.lower() in SYSTEM_SCHEMAS:
            result.system = True
            continue
        if not database and (node.name.lower() == "dual" or _is_common(node)):
            continue
        name = resolve_name(database or None, node.name, keyspace, vschema)
        table = vschema.keyspace(name.keyspace).tables.get(name.table)
        result.found.append(Reference(name, table, node.alias or node.name, _block(node), node))
    return result


def resolve_name(database: str | None, table: str, keyspace: str | None, vschema: VSchema) -> TableName:
    """The full name of a table, by Vitess's rules: its qualifier, else the keyspace in use, else the only owner."""
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


def _is_common(node: exp.Table) -> bool:
    """True for the name of a common table expression that is visible here."""
    inside: exp.Expression = node
    parent = node.parent
    while parent is not None:
        with_ = parent.args.get("with_")
        if isinstance(with_, exp.With) and inside is not with_ and _named(node.name, with_.expressions):
            return True
        if isinstance(parent, exp.With):
            before = parent.expressions[: parent.expressions.index(inside)]
            if _named(node.name, [*before, inside] if parent.args.get("recursive") else before):
                return True
        inside, parent = parent, parent.parent  # type: ignore[assignment]
    return False


def _named(name: str, expressions: list[exp.Expression]) -> bool:
    return any(one.alias.lower() == name.lower() for one in expressions)
