"""``routing_rules``: where a table is, whatever keyspace a statement names or is in.

The rules are Vitess's: ``from_table`` is ``t`` (where no keyspace is selected) or ``keyspace.t``, either with
``@primary``; ``to_tables`` is one ``keyspace.t``, or nothing, which disables the table. A rule is not applied to the
result of another. What Vitess allows and vgate does not carry out (another name, sequences) is refused here. It does
not know statements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from vgate.vschema.model import Keyspace, TableName, TableType
from vgate.vschema.names import split_table
from vgate.yamlfile import (
    Node,
    Pair,
    Report,
    Scalar,
    closest,
    fields,
    is_nothing,
    read_list,
    read_map,
    read_text,
)

Routing = dict[str, TableName | None]
"""``keyspace.t`` or ``t`` to where the table is; None for one that is disabled."""

_FROM: Final = re.compile(r"(?P<table>[^@]+)(?:@(?P<type>\w+))?")
_TYPES: Final = ("primary", "replica", "rdonly")


def read_routing(pair: Pair | None, keyspaces: Mapping[str, Keyspace], report: Report) -> Routing:
    """The rules by what they are for; a rule for ``@primary`` comes before one without a type."""
    if pair is None or is_nothing(pair.value):
        return {}
    found = fields(read_map(pair.value, "routing_rules", report), "routing_rules", ("rules",), report)
    rules = read_list(found["rules"].value, "rules of routing_rules", report) if "rules" in found else ()
    routing: Routing = {}
    seen: dict[str, int] = {}
    lines: dict[str, int] = {}
    of_primary: set[str] = set()
    for rule in rules:
        read = _rule(rule, keyspaces, report)
        if read is None:
            continue
        written, table, kind, target, line = read
        if written in seen:
            report.fault(line, f"duplicate rule for entry {written} (first on line {seen[written]})", "Remove one.")
        seen[written] = line
        if kind in ("replica", "rdonly"):
            report.warn(line, f"the rule for {written} has no effect: there are no such servers", "Remove it.")
        elif kind == "primary" or table not in of_primary:
            routing[table] = target
            lines[table] = line
            of_primary |= {table} if kind == "primary" else set()
    _check_chains(routing, lines, report)
    return routing


def _rule(
    rule: Node, keyspaces: Mapping[str, Keyspace], report: Report
) -> tuple[str, str, str, TableName | None, int] | None:
    """(from_table as written, without its type, its type, the target, the line); None after a fault."""
    found = fields(read_map(rule, "a routing rule", report), "a routing rule", ("from_table", "to_tables"), report)
    written = read_text(found["from_table"].value, "from_table", report) if "from_table" in found else None
    if not written:
        report.fault(rule.line, "a routing rule has no from_table", "Write {from_table: KS.T, to_tables: [KS.T]}.")
        return None
    line = found["from_table"].key.line
    parts = _FROM.fullmatch(written)
    split = split_table(parts["table"]) if parts else None
    kind = (parts["type"] or "") if parts else ""
    if split is None or (kind and kind not in _TYPES):
        report.fault(line, f"{written!r} is no from_table", "Write table, keyspace.table or keyspace.table@primary.")
        return None
    keyspace, table = split
    if keyspace is not None and keyspace not in keyspaces:
        report.fault(line, f"{written}: there is no keyspace {keyspace}", closest(keyspace, keyspaces))
        return None
    items = read_list(found["to_tables"].value, f"to_tables of {written}", report) if "to_tables" in found else ()
    if len(items) > 1:
        report.fault(line, f"table {written} has more than one target", "Keep one of to_tables.")
        return None
    target = None if not items else _target(items[0], written, table, keyspaces, report)
    if items and target is None:
        return None
    if keyspace is not None and _is_sequence(TableName(keyspace, table), keyspaces):
        report.fault(line, f"{written} is a sequence, and sequences are not routed", "Remove the rule.")
    return written, f"{keyspace}.{table}" if keyspace else table, kind, target, line


def _target(
    item: Node, written: str, table: str, keyspaces: Mapping[str, Keyspace], report: Report
) -> TableName | None:
    text = read_text(item, f"to_tables of {written}", report)
    split = split_table(text) if text else None
    if text is None or split is None or split[0] is None or not isinstance(item, Scalar):
        report.fault(item.line, f"table {text} must be qualified (to_tables of {written})", "Write keyspace.table.")
        return None
    name = TableName(split[0], split[1])
    owner = keyspaces.get(name.keyspace)
    if owner is None:
        report.fault(item.line, f"{text}: there is no keyspace {name.keyspace}", closest(name.keyspace, keyspaces))
    elif owner.sharded and name.table not in owner.tables:
        report.fault(item.line, f"table {name} not found", closest(name.table, owner.tables))
    elif name.table != table:
        report.fault(
            item.line, f"the rule for {written} gives the table another name, {name.table}: that is not supported",
            "Route it to a table of the same name.",
        )
    elif _is_sequence(name, keyspaces):
        report.fault(item.line, f"{name} is a sequence, and sequences are not routed", "Remove the rule.")
    else:
        return name
    return None


def _is_sequence(name: TableName, keyspaces: Mapping[str, Keyspace]) -> bool:
    owner = keyspaces.get(name.keyspace)
    table = owner.tables.get(name.table) if owner is not None else None
    return table is not None and table.type is TableType.SEQUENCE


def _check_chains(routing: Routing, lines: Mapping[str, int], report: Report) -> None:
    """Vitess does not follow them either; but what the second rule is for would depend on how a table is named."""
    for table, target in routing.items():
        if target is not None and routing.get(str(target), target) != target:
            report.fault(
                lines[table], f"the rule for {table} leads to {target}, for which there is a rule, too",
                "Let both lead to where the table is.",
            )
