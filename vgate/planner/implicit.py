"""What CREATE and ALTER TABLE on a sharded keyspace mean beyond the servers: ids, vindexes, and keys that cross shards.

A column with AUTO_INCREMENT is bound to a sequence, ``AUTO_SEQ_<table>``, and the servers are sent a column without
it; a new table gets a vindex over its primary key where the keyspace says so (``auto_vindex``); foreign keys and unique
keys that one shard cannot guard are refused, or dropped or left to each shard, as the keyspace says.
``read_definition`` says all of that as data: the text to send and what changes in the VSchema. It changes nothing
itself, and knows no servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vgate.errors import INVALID_DEFAULT, TABLE_NOT_LISTED, UNSUPPORTED, WRONG_AUTO_KEY, WRONG_SPECIFIER
from vgate.planner.auto_vindex import INTEGERS, statement_for, vindex_of, vindex_type
from vgate.planner.definitions import (
    ColumnDef,
    Counter,
    Element,
    KeyDef,
    Reference,
    Span,
    TableDef,
    number_after,
    read_body,
    read_element,
    span_of,
)
from vgate.planner.statements import Words
from vgate.sql.alter_vschema import AddAutoIncrement, AddVindex, Change
from vgate.sql.lexer import LexMode
from vgate.vschema.model import ColumnVindex, DdlOptions, Keyspace, Table, TableName, TableType, VSchema
from vgate.vschema.names import OWN_SEQUENCE

_FLOATS: Final = re.compile(r"(?:float|double|real)\b")
_SMALL: Final = re.compile(r"(?:tiny|small|medium)int\b|(?:int[123]|middleint|bool(?:ean)?)\b")
_TINY: Final = re.compile(r"(?:tiny|small)int\b|(?:int[12]|bool(?:ean)?)\b")
_WIDE: Final = re.compile(r"bigint\b|int8\b")


@dataclass(frozen=True, slots=True)
class NewSequence:
    """A sequence for a column: its kind (empty: GROUP), unit, and first value (None: behind all there is).

    ``like``: the sequence whose kind and unit it has.
    """

    name: TableName
    column: str
    kind: str = ""
    unit: tuple[int, int] | None = None
    start: int | None = None
    like: TableName | None = None


@dataclass(frozen=True, slots=True)
class KeptSequence:
    """What a statement says of a column that goes on counting by its table's own sequence."""

    column: str
    type: str
    counter: Counter


@dataclass(frozen=True, slots=True)
class Definition:
    """What a statement that defines a table comes to.

    ``text`` is for the shards. ``kept`` is checked first; ``changes`` and ``sequence`` come before the shards,
    ``unbinds`` (the table's own sequence is no longer used), ``rebinds`` (the bound column has another name) and
    ``restart`` (the next id) after them. ``notes`` are warnings for the client. ``creates``: a table that is there
    already is left as it is. ``adds``: the rows that are there get ids in a new column, that of ``sequence``; until
    they have them it counts on every shard. ``adds_alone``: the statement does nothing else.
    """

    table: TableName
    text: bytes
    changes: tuple[Change, ...] = ()
    sequence: NewSequence | None = None
    unbinds: bool = False
    rebinds: str = ""
    restart: int | None = None
    notes: tuple[str, ...] = ()
    kept: KeptSequence | None = None
    creates: bool = False
    adds: bool = False
    adds_alone: bool = False


def sequence_of(table: TableName) -> TableName:
    """The sequence that belongs to a table."""
    return TableName(table.keyspace, OWN_SEQUENCE + table.table)


def owns_sequence(table: Table | None) -> bool:
    """True if a table's ids come from the sequence that belongs to it."""
    return (
        table is not None
        and table.auto_increment is not None
        and table.auto_increment.sequence == sequence_of(table.name)
    )


def read_definition(text: bytes, mode: LexMode, keyspace: str | None, vschema: VSchema) -> Definition | None:
    """What CREATE TABLE, ALTER TABLE or CREATE UNIQUE INDEX on a sharded keyspace comes to; None for anything else.

    Raises VgateError where the keyspace's options refuse it, LexError for text that cannot be read.
    """
    words = Words(text, mode)
    verb = words.word()
    words.at += 1
    if verb == "create":
        replaces = words.accept("or", "replace")
        if words.accept("table"):
            definition = _create(words, keyspace, vschema)
            return None if definition is None else replace(definition, creates=not replaces)
        if words.accept("unique"):
            return _unique_index(words, keyspace, vschema)
    elif verb == "alter":
        words.skip("online", "offline", "ignore")
        if words.accept("table"):
            return _alter(words, keyspace, vschema)
    return None


class _Rules:
    """The keyspace's rules for one table, and what they have come to so far."""

    def __init__(self, name: TableName, vschema: VSchema) -> None:
        self.name = name
        self.keyspace: Keyspace = vschema.keyspace(name.keyspace)
        self.options: DdlOptions = self.keyspace.ddl
        self.listed = self.keyspace.tables.get(name.table)
        self.sharding: tuple[str, ...] = ()
        self.vindex_type = ""
        primary = self.listed.primary_vindex if self.listed is not None else None
        if primary is not None:
            self.sharding, self.vindex_type = primary.columns, primary.vindex.type
        self.bound = self.listed.auto_increment.column if self.listed and self.listed.auto_increment else ""
        self.changes: list[Change] = []
        self.notes: list[str] = []

    # -- keys -----------------------------------------------------------------------------------------------------

    def check_unique(self, columns: Sequence[str], what: str, *, whole: bool = True) -> None:
        """A key that one shard can guard contains the sharding columns, or is an id of a sequence."""
        if not self.sharding or (whole and set(self.sharding) <= set(columns)) or tuple(columns) == (self.bound,):
            return
        if not self.options.local_unique:
            raise UNSUPPORTED(
                construct=f"{what} of {self.name}, which does not contain the sharding column"
                f" {', '.join(self.sharding)}: shards cannot guard it together. The keyspace's option secondary_unique:"
                " local leaves it to each shard"
            )
        self.notes.append(f"{what} holds within each shard only (secondary_unique: local)")

    def keeps(self, columns: Sequence[str], reference: Reference) -> bool:
        """True if a row and the one it refers to are always on one shard, or the parent is on every one."""
        qualifier, name = reference.table
        if qualifier is not None and qualifier != self.name.keyspace:
            return False
        parent = self.keyspace.tables.get(name)
        if parent is not None and parent.type is TableType.REFERENCE:
            return True
        if not self.sharding:  # a reference table: its rows are everywhere, those of others are not
            return name == self.name.table
        if name == self.name.table:
            theirs, their_type = self.sharding, self.vindex_type
        else:
            primary: ColumnVindex | None = parent.primary_vindex if parent is not None else None
            if primary is None:
                return False
            theirs, their_type = primary.columns, primary.vindex.type
            if primary.vindex.type == "numeric_static_map":
                return False
        pairs = set(zip(columns, reference.columns or theirs, strict=False))
        return their_type == self.vindex_type and set(zip(self.sharding, theirs, strict=False)) <= pairs

    def drops(self, columns: Sequence[str], reference: Reference, what: str) -> bool:
        """True if a foreign key is to be dropped. Raises UNSUPPORTED where the keyspace refuses it."""
        if self.keeps(columns, reference):
            return False
        target = ".".join(part for part in reference.table if part)
        if not self.options.drops_foreign_keys:
            raise UNSUPPORTED(
                construct=f"{what} of {self.name} ({', '.join(columns)}), which refers to rows of {target} that may be"
                " on other shards. The keyspace's option foreign_keys: drop leaves it out"
            )
        self.notes.append(f"{what} ({', '.join(columns)}) to {target} was left out (foreign_keys: drop)")
        return True

    # -- elements -------------------------------------------------------------------------------------------------

    def element(self, text: bytes, element: Element, span: Span) -> bytes:
        """The text of an element of a body, or of what ADD adds, as the shards are to have it."""
        match element:
            case KeyDef(kind="foreign", reference=Reference() as reference):
                what = f"foreign key {element.name}".rstrip()
                if self.drops(element.columns, reference, what):
                    return _plain_key(text, element)
            case KeyDef(kind=kind) if kind in ("primary", "unique"):
                label = "the primary key" if kind == "primary" else f"unique key {element.name}".rstrip()
                self.check_unique(element.columns, label, whole=element.whole)
            case ColumnDef():
                return self.column(text, element, span)
        return text[span[0] : span[1]]

    def column(self, text: bytes, column: ColumnDef, span: Span, *, counts: bool = False) -> bytes:
        """A column's text without what the shards cannot have. ``counts``: it is to count there for now."""
        if column.type.startswith("serial"):
            raise UNSUPPORTED(construct="SERIAL; write BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE")
        if column.unique or column.primary:
            self.check_unique((column.name,), f"the key over {column.name}")
        edits: list[tuple[Span, bytes]] = []
        if column.counter is not None and counts:
            edits.append((column.counter.span, b"AUTO_INCREMENT"))
        elif column.counter is not None and self.bound == column.name:  # which says NOT NULL, too
            edits.append((column.counter.span, b"" if column.not_null else b"NOT NULL"))
        if column.references is not None:
            reference, where = column.references
            if self.drops((column.name,), reference, "foreign key"):
                edits.append((where, b""))
        return _edited(text, span, edits)

    def bind(
        self, column: str, type_: str, counter: Counter, start: int | None, like: TableName | None = None
    ) -> NewSequence | None:
        """A sequence for a counting column, unless it has one.

        Raises WRONG_SPECIFIER and WRONG_AUTO_KEY, which the shards do not see.
        """
        if type_ and not (INTEGERS.match(type_) or _FLOATS.match(type_)):
            raise WRONG_SPECIFIER(name=column)
        if self.bound == column:
            if counter.kind and not owns_sequence(self.listed):
                raise UNSUPPORTED(
                    construct=f"AUTO_INCREMENT BY {counter.kind.upper()} for {self.name}.{column}, which has another"
                    " sequence in the VSchema"
                )
            if not owns_sequence(self.listed):
                return None
        elif self.bound:
            raise WRONG_AUTO_KEY()
        else:
            name = sequence_of(self.name)
            self.changes.append(
                AddAutoIncrement(self.name.keyspace, self.name.table, column, name.table, name.keyspace)
            )
        self.bound = column
        _check_unit(counter)
        kind = counter.kind or ("" if counter.unit is not None else default_kind(type_))
        if kind != default_kind(type_):
            self._check_fits(column, type_, kind)
        return NewSequence(sequence_of(self.name), column, kind, counter.unit, start, like)

    def _check_fits(self, column: str, type_: str, kind: str) -> None:
        """Raises UNSUPPORTED where the column can hold none of the kind's values."""
        if kind in ("", "group") and _TINY.match(type_):
            raise UNSUPPORTED(
                construct=f"AUTO_INCREMENT BY GROUP for {self.name}.{column}, whose type {type_} ends below the first"
                " block; say BY SIMPLE, or leave BY out"
            )
        if kind == "time":
            check_wide(self.name, column, type_)


def default_kind(type_: str) -> str:
    """The kind of sequence for a column without BY: GROUP (empty), but where blocks would soon use the type up."""
    return "simple" if _SMALL.match(type_) else ""


def check_wide(table: TableName, column: str, type_: str) -> None:
    """Raises UNSUPPORTED for a column that cannot hold a TIME sequence's values."""
    if not _WIDE.match(type_):
        construct = f"AUTO_INCREMENT BY TIME for {table}.{column}, whose type is {type_}: it takes BIGINT"
        raise UNSUPPORTED(construct=construct)


def _check_unit(counter: Counter) -> None:
    if counter.unit is not None and counter.kind not in ("", "group"):
        raise UNSUPPORTED(construct=f"UNIT COUNT of a {counter.kind.upper()} sequence: only GROUP has units")
    if counter.kind == "new":
        raise UNSUPPORTED(construct="AUTO_INCREMENT BY NEW; say BY GROUP, BY SIMPLE or BY TIME")


# -- CREATE TABLE -------------------------------------------------------------------------------------------------


def _create(words: Words, keyspace: str | None, vschema: VSchema) -> Definition | None:
    words.skip_existence()
    name = _name(words, keyspace, vschema)
    if name is None:
        return None
    rules = _Rules(name, vschema)
    like = words.accept("like") or words.accept("(", "like")
    if like:
        return _create_like(words, rules, keyspace, vschema)
    body = read_body(words)
    if body is None:
        return None
    counting = body.counting
    if rules.listed is None:
        _place(rules, body)
    sequence = None
    if counting is not None and counting.counter is not None:
        _check_counting(body, counting)
        sequence = rules.bind(counting.name, counting.type, counting.counter, body.start or 1)
    pieces = [rules.element(words.text, one, span) for one, span in zip(body.elements, body.spans, strict=True)]
    text = _spliced(words.text, (body.spans[0][0], body.spans[-1][1]), pieces)
    return Definition(name, text, tuple(rules.changes), sequence, notes=tuple(rules.notes))


def _check_counting(body: TableDef, counting: ColumnDef) -> None:
    """Raises WRONG_AUTO_KEY, INVALID_DEFAULT: what the shards do not see, as the column does not count there.

    Any key will do, as in MyISAM: the sharding column may have to stand first.
    """
    keys = [key.columns for key in body.keys if key.kind != "foreign"]
    keyed = counting.primary or counting.unique or any(counting.name in columns for columns in keys)
    if not keyed or sum(column.counter is not None for column in body.columns) > 1:
        raise WRONG_AUTO_KEY()
    if counting.default:
        raise INVALID_DEFAULT(name=counting.name)


def _create_like(words: Words, rules: _Rules, keyspace: str | None, vschema: VSchema) -> Definition | None:
    """A copy is sharded as its original is, and counts for itself."""
    other = _name(words, keyspace, vschema)
    original = None if other is None else vschema.keyspace(other.keyspace).tables.get(other.table)
    if rules.listed is not None and rules.listed.type is TableType.REFERENCE:
        return None
    if original is None or original.primary_vindex is None or original.name.keyspace != rules.name.keyspace:
        if rules.listed is None:
            raise TABLE_NOT_LISTED(name=rules.name, statement=statement_for(rules.name, "hash", "id"))
        return None
    if rules.listed is None:
        if not rules.options.auto_vindex:
            primary = original.primary_vindex
            statement = statement_for(rules.name, primary.vindex.name, ", ".join(primary.columns))
            raise TABLE_NOT_LISTED(name=rules.name, statement=statement)
        for one in original.column_vindexes:
            rules.changes.append(AddVindex(rules.name.keyspace, rules.name.table, one.vindex.name, one.columns))
    sequence = None
    if owns_sequence(original) and original.auto_increment is not None and not rules.bound:
        column = original.auto_increment.column
        sequence = rules.bind(column, "", Counter((0, 0)), 1, like=sequence_of(original.name))
    return Definition(rules.name, words.text, tuple(rules.changes), sequence)


def _place(rules: _Rules, body: TableDef) -> None:
    """A vindex for a table that is in no VSchema. Raises TABLE_NOT_LISTED, UNSUPPORTED."""
    key = body.primary_key
    columns = {column.name: column for column in body.columns}
    if not rules.options.auto_vindex:
        column = key[0] if key else next(iter(columns), "id")
        kind = vindex_type(columns[column].type if column in columns else "", "hash") or "hash"
        raise TABLE_NOT_LISTED(name=rules.name, statement=statement_for(rules.name, kind, column))
    if not key:
        raise UNSUPPORTED(
            construct=f"a table without a primary key on keyspace {rules.name.keyspace}, which is sharded by primary"
            f" keys (auto_vindex); add one, or first {statement_for(rules.name, rules.options.auto_vindex, 'COLUMN')}"
        )
    for name in key:
        kind = vindex_type(columns[name].type if name in columns else "", rules.options.auto_vindex)
        if kind:
            break
    else:
        raise UNSUPPORTED(
            construct=f"sharding {rules.name} by its primary key ({', '.join(key)}), whose type no vindex takes"
        )
    rules.sharding, rules.vindex_type = (name,), kind
    vindex, spec = vindex_of(rules.keyspace, kind)
    rules.changes.append(AddVindex(rules.name.keyspace, rules.name.table, vindex, (name,), spec))


# -- ALTER TABLE --------------------------------------------------------------------------------------------------


def _alter(words: Words, keyspace: str | None, vschema: VSchema) -> Definition | None:
    words.skip_existence()
    name = _name(words, keyspace, vschema)
    if name is None:
        return None
    if words.accept("wait"):
        words.at += 1
    words.accept("nowait")
    rules = _Rules(name, vschema)
    parts = _alter_parts(words)
    if rules.listed is None:
        _check_unlisted(words, parts, name)
        return None
    made = _Altered(rules, words)
    pieces = [piece for piece in map(made.part, parts) if piece is not None]
    whole = span_of(words, range(parts[0].start, parts[-1].stop)) if parts else (0, 0)
    text = _spliced(words.text, whole, pieces) if parts else words.text
    return Definition(
        name, text, tuple(rules.changes), made.sequence, made.unbinds, made.rebinds, made.restart, tuple(rules.notes),
        made.kept, adds=made.adds, adds_alone=made.adds and len(parts) == 1 and not made.several,
    )  # fmt: skip


def _check_unlisted(words: Words, parts: Iterable[range], name: TableName) -> None:
    """Raises UNSUPPORTED where every shard would count by itself."""
    for part in parts:
        words.at = part.start
        adds = words.word() == "add"
        if adds and any(words.word(ahead) in ("auto_increment", "serial") for ahead in range(len(part))):
            raise UNSUPPORTED(construct=f"ADD of an AUTO_INCREMENT column to {name}, which the VSchema does not have")


class _Altered:
    """The parts of one ALTER TABLE, one by one."""

    def __init__(self, rules: _Rules, words: Words) -> None:
        self.rules = rules
        self.words = words
        self.own = owns_sequence(rules.listed)
        self.sequence: NewSequence | None = None
        self.unbinds = False
        self.rebinds = ""
        self.restart: int | None = None
        self.kept: KeptSequence | None = None
        self.adds = False
        self.several = False

    def part(self, part: range) -> bytes | None:
        """What the shards are sent of a part; None for nothing."""
        words, rules = self.words, self.rules
        words.at = part.start
        verb = words.word()
        words.at += 1
        if verb == "auto_increment" and rules.bound:
            words.at = part.start
            self.restart = number_after(words, 1)
            return self._whole(part) if self.adds else None
        if verb == "add":
            return self._add(part)
        if verb in ("modify", "change"):
            return self._change(verb, part)
        if verb == "drop" and self.own:
            words.accept("column")
            words.skip_existence()
            dropped = words.one_name()
            self.unbinds = self.unbinds or (dropped or "").lower() == rules.bound
        return self._whole(part)

    def _whole(self, part: range) -> bytes:
        start, end = span_of(self.words, part)
        return self.words.text[start:end]

    def _add(self, part: range) -> bytes:
        words = self.words
        words.accept("column")
        words.skip_existence()
        begin = words.at
        if words.word() == "(":
            return self._add_many(part)
        element = read_element(words, range(begin, part.stop))
        span = span_of(words, range(begin, part.stop))
        head = words.text[span_of(words, part)[0] : span[0]]
        return head + self._added(element, span)

    def _added(self, element: Element, span: Span) -> bytes:
        rules, text = self.rules, self.words.text
        if not isinstance(element, ColumnDef) or element.counter is None:
            return rules.element(text, element, span)
        if rules.listed is not None and rules.listed.type is TableType.REFERENCE:
            raise UNSUPPORTED(
                construct=f"ADD of an AUTO_INCREMENT column to {rules.name}, a reference table: its rows are to have"
                " one id on every shard"
            )
        self.sequence, self.adds = rules.bind(element.name, element.type, element.counter, None), True
        return rules.column(text, element, span, counts=True)

    def _add_many(self, part: range) -> bytes:
        body = read_body(self.words)
        if body is None:
            return self._whole(part)
        text = self.words.text
        self.several = len(body.elements) > 1
        pieces = [self._added(one, span) for one, span in zip(body.elements, body.spans, strict=True)]
        start, end = span_of(self.words, part)
        return text[start : body.spans[0][0]] + b", ".join(pieces) + text[body.spans[-1][1] : end]

    def _change(self, verb: str, part: range) -> bytes:
        words, rules = self.words, self.rules
        words.accept("column")
        words.skip_existence()
        old = words.one_name() if verb == "change" else None
        begin = words.at
        element = read_element(words, range(begin, part.stop))
        if not isinstance(element, ColumnDef):
            return self._whole(part)
        before = element.name if old is None else old.lower()
        if element.counter is None:
            self.unbinds = self.unbinds or (self.own and before == rules.bound)
        elif before == rules.bound:
            _check_unit(element.counter)
            if self.own:
                self.kept = KeptSequence(element.name, element.type, element.counter)
            elif element.counter.kind:
                rules.bind(element.name, element.type, element.counter, None)  # which says why not
            if element.name != before:
                self.rebinds = rules.bound = element.name
        else:
            self.sequence = rules.bind(element.name, element.type, element.counter, None)
        span = span_of(words, range(begin, part.stop))
        return words.text[span_of(words, part)[0] : span[0]] + rules.column(words.text, element, span)


def _alter_parts(words: Words) -> list[range]:
    """The comma-separated parts."""
    begin, depth = words.at, 0
    found: list[range] = []
    for at in range(words.at, words.at + len(words)):
        word = words.word(at - words.at)
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            found.append(range(begin, at))
            begin = at + 1
    end = words.at + len(words)
    if begin < end:
        found.append(range(begin, end))
    return found


# -- CREATE UNIQUE INDEX ------------------------------------------------------------------------------------------


def _unique_index(words: Words, keyspace: str | None, vschema: VSchema) -> Definition | None:
    if not words.accept("index"):
        return None
    words.skip_existence()
    index = words.one_name() or ""
    if words.accept("using"):
        words.at += 1
    name = _name(words, keyspace, vschema) if words.accept("on") else None
    if name is None:
        return None
    start = words.at
    key = read_element(Words(b"unique " + words.text[_at(words) :], words.mode), range(len(words) + 1))
    words.at = start
    rules = _Rules(name, vschema)
    if isinstance(key, KeyDef):
        rules.check_unique(key.columns, f"unique key {index}", whole=key.whole)
    return Definition(name, words.text, notes=tuple(rules.notes))


def _at(words: Words) -> int:
    token = words.token()
    return len(words.text) if token is None else token.start


# -- pieces -------------------------------------------------------------------------------------------------------


def _name(words: Words, keyspace: str | None, vschema: VSchema) -> TableName | None:
    """The table's full name; None where it is not in a sharded keyspace, or there is none."""
    found = words.name()
    if found is None:
        return None
    owner = found[0] if found[0] is not None else keyspace
    if owner is None or owner not in vschema.keyspaces or not vschema.keyspaces[owner].sharded:
        return None
    return TableName(owner, found[1])


def _plain_key(text: bytes, key: KeyDef) -> bytes:
    """An index in the place of a foreign key, which would have made one."""
    columns = ", ".join(f"`{column.replace('`', '``')}`" for column in key.columns)
    name = f"`{key.name.replace('`', '``')}` " if key.name else ""
    return f"KEY {name}({columns})".encode()


def _edited(text: bytes, span: Span, edits: Iterable[tuple[Span, bytes]]) -> bytes:
    """The text of ``span`` with other words in some places."""
    at, end = span
    pieces: list[bytes] = []
    for (start, stop), new in sorted(edits):
        pieces += (text[at:start], new)
        at = stop
    if not pieces:
        return text[at:end]
    return b" ".join(piece.strip() for piece in (*pieces, text[at:end]) if piece.strip())


def _spliced(text: bytes, span: Span, pieces: Sequence[bytes]) -> bytes:
    return text[: span[0]] + b", ".join(pieces) + text[span[1] :]
