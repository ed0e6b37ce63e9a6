"""``ALTER VSCHEMA``: from one VSchema text to the next, with Vitess's own reasons not to.

``changed`` is a pure function from the text of vschema.yaml and a list of changes to the text afterwards; nothing but
what the changes speak of is written anew. The caller examines the new text as if it had been loaded (``load.examine``)
before it takes effect, so a change can make nothing that a file could not say.

It does not know files, servers or who asks. A new kind of change is a dataclass in ``sql.alter_vschema`` and a case
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from vgate.errors import VSCHEMA_CHANGE, VSCHEMA_FILE
from vgate.sql.alter_vschema import (
    AddAutoIncrement,
    AddSequence,
    AddTable,
    AddVindex,
    Change,
    CreateVindex,
    DropAutoIncrement,
    DropSequence,
    DropTable,
    DropVindex,
    RemoveVindex,
    RenameTable,
    VindexSpec,
)
from vgate.vschema import document
from vgate.vschema.document import CannotEdit, Data, Value, entry
from vgate.vschema.model import TableType


def changed(text: str, changes: Sequence[Change]) -> str:
    """The VSchema's text after ``changes``, all of them or none. Raises VgateError."""
    mark = "\N{BYTE ORDER MARK}" if text.startswith("\N{BYTE ORDER MARK}") else ""
    text = text.removeprefix(mark)
    for change in changes:
        try:
            text = _changed(text, change)
        except CannotEdit as error:
            raise VSCHEMA_FILE(reason=str(error)) from None
    return mark + text


@dataclass(slots=True)
class _Keyspace:
    """A keyspace of the text while it is changed."""

    text: str
    name: str
    data: Data

    def field(self, name: str) -> Mapping[str, Data]:
        found = entry(self.data, name)
        return found if isinstance(found, dict) else {}

    @property
    def sharded(self) -> bool:
        said = entry(self.data, "sharded")
        return isinstance(said, str) and said.lower() in ("true", "yes", "on")

    def put(self, *path: str, value: Value) -> None:
        self.text = document.put(self.text, ("keyspaces", self.name, *path), value)

    def append(self, *path: str, value: Value) -> None:
        self.text = document.append(self.text, ("keyspaces", self.name, *path), value)

    def remove(self, *path: str) -> None:
        self.text = document.remove(self.text, ("keyspaces", self.name, *path))

    def add_vindex(self, name: str, spec: VindexSpec) -> None:
        """The first vindex of a keyspace makes it sharded, as in Vitess."""
        if not self.field("vindexes") and not self.sharded:
            self.put("sharded", value=True)
        value: dict[str, Value] = {"type": spec.type}
        if spec.params:
            value["params"] = dict(spec.params)
        if spec.owner:
            value["owner"] = spec.owner
        self.put("vindexes", name, value=value)


def _changed(text: str, change: Change) -> str:
    here = _keyspace(text, change.keyspace)
    match change:
        case CreateVindex():
            free = change.name not in here.field("vindexes")
            _require(free, f"vindex {change.name} already exists in keyspace {here.name}")
            here.add_vindex(change.name, change.spec)
        case DropVindex():
            _drop_vindex(here, change)
        case AddTable():
            _require(not here.sharded, f"add vschema table: unsupported on sharded keyspace {here.name}")
            _add_table(here, change.table, "table", {})
        case AddSequence():
            _require(not here.sharded, f"add sequence table: unsupported on sharded keyspace {here.name}")
            _add_table(here, change.sequence, "sequence", {"type": str(TableType.SEQUENCE)})
        case DropTable():
            _require_table(here, change.table)
            here.remove("tables", change.table)
        case DropSequence():
            found = entry(here.field("tables").get(change.sequence), "type")
            what = f"sequence {change.sequence} in keyspace {here.name}"
            _require(found == TableType.SEQUENCE, f"vschema does not contain {what}")
            here.remove("tables", change.sequence)
        case AddVindex():
            _add_vindex(here, change)
        case RemoveVindex():
            _remove_vindex(here, change)
        case AddAutoIncrement():
            _add_auto_increment(here, change)
        case DropAutoIncrement():
            table = _require_table(here, change.table)
            where = f"auto increment on table {change.table} in keyspace {here.name}"
            _require(bool(entry(table, "auto_increment")), f"vschema does not contain {where}")
            here.remove("tables", change.table, "auto_increment")
        case RenameTable():
            value = _require_table(here, change.table)
            _require(change.to not in here.field("tables"), f"vschema already contains table {change.to}")
            here.remove("tables", change.table)
            here.put("tables", change.to, value=_value(value))
        case _:
            assert_never(change)
    return here.text


def _keyspace(text: str, name: str) -> _Keyspace:
    data = entry(entry(document.read(text), "keyspaces"), name)
    if data is None:
        raise VSCHEMA_CHANGE(reason=f"keyspace {name} not found in the vschema")
    return _Keyspace(text, name, data)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise VSCHEMA_CHANGE(reason=reason)


def _require_table(here: _Keyspace, table: str) -> Data:
    found = here.field("tables").get(table)
    if found is None:
        raise VSCHEMA_CHANGE(reason=f"vschema does not contain table {table} in keyspace {here.name}")
    return found


def _add_table(here: _Keyspace, table: str, what: str, value: Value) -> None:
    _require(
        table not in here.field("tables"), f"vschema already contains {what} {table} in keyspace {here.name}"
    )
    here.put("tables", table, value=value)


def _vindexes_of(table: Data | None) -> list[str]:
    """The names of a table's vindexes, in order."""
    found = entry(table, "column_vindexes")
    names = [entry(one, "name") for one in found] if isinstance(found, list) else []
    return [name for name in names if isinstance(name, str)]


def _drop_vindex(here: _Keyspace, change: DropVindex) -> None:
    _require(change.name in here.field("vindexes"), f"vindex {change.name} does not exists in keyspace {here.name}")
    for table, data in here.field("tables").items():
        used = change.name in _vindexes_of(data)
        _require(not used, f"can not drop vindex cause {change.name} still defined on table {table}")
    here.remove("vindexes", change.name)


def _add_vindex(here: _Keyspace, change: AddVindex) -> None:
    name, spec = change.vindex, change.spec
    there = here.field("vindexes").get(name)
    if spec is None:
        _require(there is not None, f"vindex {name} does not exist in keyspace {here.name}")
    elif there is None:
        here.add_vindex(name, spec)
    else:
        _require_same(name, there, spec)
    table = here.field("tables").get(change.table)
    _require(name not in _vindexes_of(table), f"vindex {name} already defined on table {change.table}")
    columns: dict[str, Value] = (
        {"column": change.columns[0]} if len(change.columns) == 1 else {"columns": list(change.columns)}
    )
    if table is None:
        here.put("tables", change.table, value={"column_vindexes": [{**columns, "name": name}]})
    else:
        here.append("tables", change.table, "column_vindexes", value={**columns, "name": name})


def _value(data: Data) -> Value:
    """What was read, to be written again: scalars are text in both."""
    if isinstance(data, dict):
        return {name: _value(one) for name, one in data.items()}
    return [_value(one) for one in data] if isinstance(data, list) else data


def _require_same(name: str, there: Data, spec: VindexSpec) -> None:
    kind, owner, params = entry(there, "type"), entry(there, "owner") or "", entry(there, "params") or {}
    _require(kind == spec.type, f"vindex {name} defined with type {kind} not {spec.type}")
    _require(owner == spec.owner, f"vindex {name} defined with owner {owner} not {spec.owner}")
    _require(params == dict(spec.params), f"vindex {name} defined with different parameters")


def _remove_vindex(here: _Keyspace, change: RemoveVindex) -> None:
    table = here.field("tables").get(change.table)
    _require(table is not None, f"table {here.name}.{change.table} not defined in vschema")
    names = _vindexes_of(table)
    _require(change.vindex in names, f"vindex {change.vindex} not defined in table {here.name}.{change.table}")
    if len(names) == 1:  # the last one takes the table along
        here.remove("tables", change.table)
        return
    path = ("keyspaces", here.name, "tables", change.table, "column_vindexes")
    here.text = document.remove_item(here.text, path, names.index(change.vindex))


def _add_auto_increment(here: _Keyspace, change: AddAutoIncrement) -> None:
    table = _require_table(here, change.table)
    there = entry(table, "auto_increment")
    what = f"auto inc {entry(there, 'column')} on table {change.table} in keyspace {here.name}"
    _require(not there, f"vschema already contains {what}")
    sequence = f"{change.sequence_keyspace}.{change.sequence}" if change.sequence_keyspace else change.sequence
    value: dict[str, Value] = {"column": change.column, "sequence": sequence}
    if not change.bumps:
        value["bump"] = False
    here.put("tables", change.table, "auto_increment", value=value)
