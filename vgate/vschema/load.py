"""``vschema.yaml``: from text to the model, or to every fault in it with file, line and remedy.

Inside a keyspace the fields are those of a Vitess keyspace VSchema; around them stand ``keyspaces``, each keyspace's
``shards``, and ``metadata_keyspace``. What spans keyspaces (sequences) is checked here, the rest by the readers of
``tables`` and ``shards``.
This module does not know servers: whether the tables exist is the business of ``vgate check --live``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vgate.vindex.base import Vindex
from vgate.vschema.model import AutoIncrement, Keyspace, Table, TableName, TableType, VSchema
from vgate.vschema.names import OWN_SEQUENCE, check_cases, check_keyspace, split_table
from vgate.vschema.options import read_ddl_options, read_sequence_kind
from vgate.vschema.routing import read_routing
from vgate.vschema.shards import place_of, read_shards
from vgate.vschema.tables import Place, TableDraft, read_definitions, read_tables, read_vindexes
from vgate.yamlfile import (
    FileError,
    Map,
    Pair,
    Problem,
    Report,
    Scalar,
    closest,
    fields,
    is_nothing,
    parse,
    read_bool,
    read_map,
    read_text,
)

_UNSUPPORTED_FIELDS = ("shard_routing_rules", "keyspace_routing_rules", "mirror_rules")
_TOP_FIELDS = ("keyspaces", "metadata_keyspace", "sequence_kind", "routing_rules", *_UNSUPPORTED_FIELDS)
_KEYSPACE_FIELDS = (
    "sharded", "vindexes", "tables", "shards", "require_explicit_routing", "foreign_key_mode", "multi_tenant_spec",
    "prevent_cross_keyspace_reads", "auto_vindex", "foreign_keys", "secondary_unique",
)
_FOREIGN_KEY_MODES = ("unspecified", "disallow", "unmanaged", "managed")


class VSchemaError(FileError):
    """A VSchema that cannot be used: ``problems`` holds every fault, ``str()`` has one per line."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What reading a VSchema came to: the model (None if there are faults), the faults, and the warnings."""

    vschema: VSchema | None
    faults: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load_vschema(path: Path, *, environ: Mapping[str, str]) -> VSchema:
    """Read the VSchema in ``path``. Raises VSchemaError."""
    return _require(examine_file(path, environ=environ))


def parse_vschema(
    text: str, *, filename: str, environ: Mapping[str, str], read_file: Callable[[str], str]
) -> VSchema:
    """The VSchema in ``text``; ``read_file`` reads the files that vindexes name. Raises VSchemaError."""
    return _require(examine(text, filename=filename, environ=environ, read_file=read_file))


def examine_file(path: Path, *, environ: Mapping[str, str]) -> Examined:
    """As ``load_vschema``, with the warnings and without raising. Files that it names are beside it."""

    def read_file(name: str) -> str:
        return (path.parent / name).read_text(encoding="utf-8")

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "Name another file with --vschema."
        return Examined(None, (Problem(str(path), 1, f"cannot be read: {reason}", remedy),), ())
    except UnicodeDecodeError:
        return Examined(None, (Problem(str(path), 1, "is not UTF-8 text", "Save it as UTF-8."),), ())
    return examine(text, filename=str(path), environ=environ, read_file=read_file)


def examine(text: str, *, filename: str, environ: Mapping[str, str], read_file: Callable[[str], str]) -> Examined:
    """Everything that can be said of a VSchema from its text alone."""
    report = Report(filename)
    root = parse(text, report)
    vschema = None if root is None else _Reader(report, environ, read_file).read(read_map(root, "a VSchema", report))
    report.sort()
    return Examined(None if report.faults else vschema, tuple(report.faults), tuple(report.warnings))


def _require(examined: Examined) -> VSchema:
    if examined.vschema is None:
        raise VSchemaError(examined.faults)
    return examined.vschema


@dataclass(frozen=True, slots=True)
class _Draft:
    """A keyspace before its sequences are resolved."""

    name: Scalar
    sharded: bool
    tables: Mapping[str, TableDraft]
    finish: Callable[[Mapping[str, Table]], Keyspace] | None
    explicit: bool


class _Reader:
    """One reading of one file."""

    def __init__(self, report: Report, environ: Mapping[str, str], read_file: Callable[[str], str]) -> None:
        self.report = report
        self.environ = environ
        self.read_file = read_file

    def read(self, root: Map) -> VSchema | None:
        """The whole file; None if some keyspace cannot be built."""
        found = self._top_fields(root)
        pairs = read_map(found["keyspaces"].value, "keyspaces", self.report).pairs if "keyspaces" in found else ()
        if "keyspaces" in found and not pairs:
            self.report.fault(found["keyspaces"].key.line, "there are no keyspaces", "Add at least one.")
        check_cases((pair.key for pair in pairs), "keyspace", self.report)
        drafts = {pair.key.text: self._keyspace(pair) for pair in pairs}
        keyspaces: dict[str, Keyspace] = {}
        for name, draft in drafts.items():
            tables = {t: self._resolve(each, drafts) for t, each in draft.tables.items()}
            if draft.finish is not None:
                keyspaces[name] = draft.finish(tables)
        self._check_shared_databases(drafts, keyspaces)
        metadata = self._metadata_keyspace(found.get("metadata_keyspace"), drafts)
        routing = read_routing(found.get("routing_rules"), keyspaces, self.report)
        kind = read_sequence_kind(found, self.report)
        if not keyspaces:
            return None
        return VSchema(keyspaces, metadata_keyspace=metadata, routing=routing, sequence_kind=kind)

    def _top_fields(self, root: Map) -> dict[str, Pair]:
        keys = {pair.key.text for pair in root.pairs}
        if "keyspaces" not in keys:
            alone = keys & {"sharded", "vindexes", "tables"}
            self.report.fault(
                root.line, "there is no keyspaces: at the top level",
                "This looks like the VSchema of one keyspace: put it under keyspaces: NAME:."
                if alone else "Write keyspaces: and one keyspace or more below it.",
            )
            if alone:
                return {}
        found = fields(root, "a VSchema", _TOP_FIELDS, self.report)
        for name in _UNSUPPORTED_FIELDS:
            if name in found and not is_nothing(found[name].value):
                self.report.fault(
                    found[name].key.line, f"{name} are not supported yet",
                    "Remove them, and name keyspaces in the statements instead.",
                )
        return found

    # -- one keyspace -----------------------------------------------------------------------------------------------

    def _keyspace(self, pair: Pair) -> _Draft:
        name, report = pair.key, self.report
        check_keyspace(name, report)
        what = f"keyspace {name.text}"
        found = fields(read_map(pair.value, what, report), what, _KEYSPACE_FIELDS, report)
        sharded = self._flag(found, "sharded", what)
        explicit = self._flag(found, "require_explicit_routing", what)
        mode = self._check_options(found, what)
        ddl = read_ddl_options(found, what, sharded, report)
        definitions = read_definitions(found.get("vindexes"))
        vindexes = read_vindexes(found.get("vindexes"), name.text, self.read_file, report)
        tables = read_tables(found.get("tables"), Place(name.text, sharded), vindexes, report)
        if "sharded" not in found and vindexes:
            report.warn(
                name.line, f"{what} has vindexes but is not sharded: they have no effect", "Say sharded: true or false."
            )
        shards = read_shards(found.get("shards"), name, sharded, self.environ, report)
        if shards is None:
            return _Draft(name, sharded, tables, None, explicit)
        usable: dict[str, Vindex] = {key: vindex for key, vindex in vindexes.items() if vindex is not None}

        def finish(resolved: Mapping[str, Table]) -> Keyspace:
            return Keyspace(name.text, sharded, *shards, usable, resolved, explicit, definitions, mode, ddl)

        return _Draft(name, sharded, tables, finish, explicit)

    def _flag(self, found: Mapping[str, Pair], name: str, what: str) -> bool:
        return name in found and read_bool(found[name].value, f"{name} of {what}", self.report)

    def _check_options(self, found: Mapping[str, Pair], what: str) -> str:
        """Options of Vitess that vgate does not carry out; the foreign_key_mode."""
        report = self.report
        if "multi_tenant_spec" in found and not is_nothing(found["multi_tenant_spec"].value):
            report.fault(found["multi_tenant_spec"].key.line, "multi_tenant_spec is not supported yet", "Remove it.")
        if self._flag(found, "prevent_cross_keyspace_reads", what):
            report.warn(
                found["prevent_cross_keyspace_reads"].key.line, "prevent_cross_keyspace_reads has no effect yet",
                "Statements that vgate cannot send to one server are refused in any case.",
            )
        pair = found.get("foreign_key_mode")
        mode = None if pair is None else read_text(pair.value, f"foreign_key_mode of {what}", report)
        if pair is None or mode is None or mode in ("unspecified", "unmanaged"):
            return "unmanaged"
        if mode == "managed":
            report.fault(
                pair.key.line, f"{what}: foreign_key_mode managed is not supported yet",
                "Say unmanaged: each server keeps its own foreign keys (`vgate check --live` looks at them).",
            )
        elif mode == "disallow":
            report.warn(
                pair.key.line, f"{what}: foreign_key_mode disallow is not enforced",
                "The servers accept foreign keys; `vgate check --live` reports those that cross shards.",
            )
        else:
            report.fault(pair.key.line, f"unknown foreign_key_mode {mode!r}", closest(mode, _FOREIGN_KEY_MODES))
        return mode

    # -- across keyspaces -------------------------------------------------------------------------------------------

    def _resolve(self, draft: TableDraft, drafts: Mapping[str, _Draft]) -> Table:
        """The table with its sequence found."""
        if draft.sequence is None:
            return draft.table
        sequence = self._sequence(draft.sequence, draft.table.name, drafts)
        return draft.table if sequence is None else replace(
            draft.table, auto_increment=AutoIncrement(draft.column, sequence, draft.bumps)
        )

    def _sequence(self, written: Scalar, table: TableName, drafts: Mapping[str, _Draft]) -> TableName | None:
        text, line = written.text, written.line
        split = split_table(text)
        if split is None:
            self._unresolved(line, text, "it is not a table name", "Write keyspace.table.")
            return None
        keyspace, name = split
        found = self._qualified(keyspace, name, table, written, drafts) if keyspace else self._bare(name, line, drafts)
        if found is None or found == TableName(table.keyspace, OWN_SEQUENCE + table.table):
            return found
        target = drafts[found.keyspace].tables[found.table].table
        if target.type is not TableType.SEQUENCE:
            self.report.fault(
                line, f"{found}, the sequence of table {table}, is not of type sequence",
                f"Declare it: {found.table}: {{type: sequence}}.",
            )
            return None
        return found

    def _qualified(
        self, keyspace: str, name: str, table: TableName, written: Scalar, drafts: Mapping[str, _Draft]
    ) -> TableName | None:
        text, line = written.text, written.line
        if keyspace not in drafts:
            self._unresolved(line, text, f"there is no keyspace {keyspace}", closest(keyspace, drafts))
            return None
        if name == OWN_SEQUENCE + table.table and keyspace == table.keyspace:
            return TableName(keyspace, name)
        tables = drafts[keyspace].tables
        if name not in tables:
            remedy = closest(name, _sequences(tables)) or (
                f"Add {name}: {{type: sequence}} to keyspace {keyspace}, though CREATE SEQUENCE made it"
                f" already; in a session: alter vschema add sequence {keyspace}.{name}."
            )
            self._unresolved(line, text, f"table {name} not found", remedy)
            return None
        return TableName(keyspace, name)

    def _bare(self, name: str, line: int, drafts: Mapping[str, _Draft]) -> TableName | None:
        owners = [key for key, draft in drafts.items() if name in draft.tables and not draft.explicit]
        if len(owners) == 1:
            return TableName(owners[0], name)
        if owners:
            remedy = f"Qualify it: {' or '.join(f'{owner}.{name}' for owner in owners)}."
            self._unresolved(line, name, f"ambiguous table reference: {name}", remedy)
            return None
        known = [f"{key}.{table}" for key, draft in drafts.items() for table in _sequences(draft.tables)]
        hidden = [full for full in known if full.endswith(f".{name}")]
        remedy = f"Qualify it: {hidden[0]}." if hidden else closest(name, known)
        self._unresolved(line, name, f"table {name} not found", remedy or f"Declare it: {name}: {{type: sequence}}.")
        return None

    def _unresolved(self, line: int, sequence: str, reason: str, remedy: str) -> None:
        self.report.fault(line, f"cannot resolve sequence {sequence}: {reason}", remedy)

    def _check_shared_databases(self, drafts: Mapping[str, _Draft], keyspaces: Mapping[str, Keyspace]) -> None:
        """Two keyspaces in one database see each other's tables: usually a slip, never a wrong answer."""
        seen: dict[tuple[str, int, str], str] = {}
        for keyspace in keyspaces.values():
            for shard in keyspace.shards:
                if shard.address is None:
                    continue
                other = seen.setdefault(place_of(shard.address), keyspace.name)
                if other != keyspace.name:
                    self.report.warn(
                        drafts[keyspace.name].name.line,
                        f"keyspaces {other} and {keyspace.name} use the same database {shard.address.database}",
                        "Give each its own database: in the address.",
                    )

    def _metadata_keyspace(self, pair: Pair | None, drafts: Mapping[str, _Draft]) -> str | None:
        name = None if pair is None else read_text(pair.value, "metadata_keyspace", self.report)
        if pair is None or name is None:
            return None
        if name not in drafts:
            self.report.fault(
                pair.key.line, f"metadata_keyspace names {name!r}, which is no keyspace", closest(name, drafts)
            )
        elif drafts[name].sharded:
            self.report.fault(
                pair.key.line, f"metadata_keyspace {name} is sharded", "Name a keyspace with sharded: false."
            )
        return name


def _sequences(tables: Mapping[str, TableDraft]) -> list[str]:
    return [name for name, draft in tables.items() if draft.table.type is TableType.SEQUENCE]
