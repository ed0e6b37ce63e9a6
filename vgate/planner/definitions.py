"""What CREATE TABLE and ALTER TABLE say of columns and keys, each with its place in the text, so that it can be edited.

Read from tokens, as far as ids and shards need it: which column counts and from where, what the primary key is, which
keys are unique, which refer to other tables. It does not judge what it finds, nor know the VSchema. What it cannot make
out it leaves to the servers, whose own errors say more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vgate.planner.statements import QualifiedName, Words

Span = tuple[int, int]
"""Where something stands: first byte, and the one after its last."""


@dataclass(frozen=True, slots=True)
class Counter:
    """AUTO_INCREMENT of a column, with PolarDB-X's BY clause: ``BY GROUP UNIT COUNT 3 INDEX 1``.

    ``kind`` is GROUP, SIMPLE or TIME in lower case, empty without BY. ``unit`` is (count, index).
    """

    span: Span
    kind: str = ""
    unit: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """REFERENCES: the table and its columns in lower case (none: its primary key)."""

    table: QualifiedName
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """One column. ``type`` is what is written before its attributes, in lower case, e.g. ``bigint(20) unsigned``.

    ``references`` is an inline foreign key and where it stands; ``default``: it has one that is not NULL.
    """

    name: str
    span: Span
    type: str = ""
    counter: Counter | None = None
    primary: bool = False
    unique: bool = False
    references: tuple[Reference, Span] | None = None
    not_null: bool = False
    default: bool = False


@dataclass(frozen=True, slots=True)
class KeyDef:
    """A key of its own: ``kind`` is primary, unique, index or foreign. Columns in lower case; an expression is an empty
    name.

    ``whole`` is False for a column of which only a prefix counts.
    """

    kind: str
    columns: tuple[str, ...]
    span: Span
    whole: bool = True
    name: str = ""
    reference: Reference | None = None


Element = ColumnDef | KeyDef | None
"""None: an index over words or places, a CHECK, and whatever else is of no matter here."""


@dataclass(frozen=True, slots=True)
class TableDef:
    """The body of a CREATE TABLE. ``elements`` with their spans in order; ``start``: AUTO_INCREMENT = n behind them."""

    elements: tuple[Element, ...]
    spans: tuple[Span, ...]
    start: int | None = None

    @property
    def columns(self) -> tuple[ColumnDef, ...]:
        return tuple(one for one in self.elements if isinstance(one, ColumnDef))

    @property
    def keys(self) -> tuple[KeyDef, ...]:
        return tuple(one for one in self.elements if isinstance(one, KeyDef))

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key, in lower case; empty without one."""
        inline = tuple(column.name for column in self.columns if column.primary)
        return next((key.columns for key in self.keys if key.kind == "primary"), inline)

    @property
    def counting(self) -> ColumnDef | None:
        """The AUTO_INCREMENT column."""
        return next((column for column in self.columns if column.counter is not None), None)


_KINDS: Final = frozenset({"group", "simple", "time", "new"})
_ATTRIBUTES: Final = frozenset({
    "not", "null", "default", "auto_increment", "unique", "primary", "key", "comment", "references", "check",
    "generated", "as", "on", "visible", "invisible", "constraint", "column_format", "storage", "compressed", "without",
    "with", "ref_system_id", "virtual", "stored", "persistent",
})  # fmt: skip
_OTHER_INDEXES: Final = frozenset({"fulltext", "spatial", "vector"})


def read_body(words: Words) -> TableDef | None:
    """The definition of a CREATE TABLE, from the parenthesis after the name on; None where there is none."""
    if words.word() != "(":
        return None
    parts = list(_parts(words))
    if not parts:
        return None
    elements = tuple(read_element(words, part) for part in parts)
    spans = tuple(span_of(words, part) for part in parts)
    words.at = parts[-1].stop + 1
    return TableDef(elements, spans, _start_option(words))


def _parts(words: Words) -> Iterator[range]:
    """The places of the tokens between the commas of a body; nothing if it does not end."""
    begin = words.at + 1
    depth = 0
    found: list[range] = []
    for at in range(words.at, words.at + len(words)):
        word = words.word(at - words.at)
        depth += (word == "(") - (word == ")")
        if depth == 0:
            yield from [*found, range(begin, at)]
            return
        if word == "," and depth == 1:
            found.append(range(begin, at))
            begin = at + 1


def _start_option(words: Words) -> int | None:
    for ahead in range(len(words)):
        if words.word(ahead) == "auto_increment":
            return number_after(words, ahead + 1)
    return None


def number_after(words: Words, ahead: int) -> int | None:
    """The number of ``[=] n`` that stands ``ahead``."""
    word = words.word(ahead + 1 if words.word(ahead) == "=" else ahead)
    return int(word) if word.isdecimal() else None


def span_of(words: Words, part: range) -> Span:
    """Where these tokens stand in the text."""
    if not part:
        behind = words.token(part.start - words.at)
        at = len(words.text) if behind is None else behind.start
        return at, at
    first, last = words.token(part.start - words.at), words.token(part.stop - 1 - words.at)
    assert first is not None
    assert last is not None
    return first.start, last.end


# -- elements -----------------------------------------------------------------------------------------------------


def read_element(words: Words, part: range) -> Element:
    """One element of a body, or what ADD, MODIFY and CHANGE have (behind their own words)."""
    words.at = part.start
    name = ""
    if words.accept("constraint"):
        name = "" if words.word() in ("primary", "unique", "foreign", "check") else words.one_name() or ""
    word = words.word()
    if word == "primary" and words.word(1) == "key":
        words.at += 2
        return _key("primary", "PRIMARY", words, part)
    if word == "unique":
        words.at += 1
        words.skip("index", "key")
        return _key("unique", name, words, part)
    if word == "foreign" and words.word(1) == "key":
        words.at += 2
        return _foreign(name, words, part)
    if word in ("index", "key"):
        words.at += 1
        return _key("index", name, words, part)
    if word in _OTHER_INDEXES or word == "check" or (word, words.word(1)) == ("period", "for"):
        return None
    return _column(words, part)


def _key(kind: str, name: str, words: Words, part: range) -> KeyDef | None:
    if words.accept("if", "not", "exists") or words.word() != "(":
        given = "" if words.word() == "using" else words.one_name() or ""
        name = name or given
        if words.accept("using"):
            words.at += 1
    found = _columns(words)
    if found is None:
        return None
    columns, whole = found
    return KeyDef(kind, columns, span_of(words, part), whole, name)


def _foreign(name: str, words: Words, part: range) -> KeyDef | None:
    words.skip_existence()
    given = words.one_name() if words.word() != "(" else None
    found = _columns(words)
    reference = _reference(words)
    if found is None or reference is None:
        return None
    return KeyDef("foreign", found[0], span_of(words, part), name=name or given or "", reference=reference)


def _reference(words: Words) -> Reference | None:
    if not words.accept("references"):
        return None
    table = words.name()
    if table is None:
        return None
    found = _columns(words) if words.word() == "(" else None
    return Reference(table, found[0] if found is not None else ())


def _columns(words: Words) -> tuple[tuple[str, ...], bool] | None:
    """The parts of a key in parentheses, and whether all are whole columns; None where they are cut off."""
    if not words.accept("("):
        return None
    names: list[str] = []
    whole = True
    while len(words):
        name = words.one_name() if words.word() != "(" else None
        names.append("" if name is None else name.lower())
        whole = whole and name is not None
        depth = 0
        while len(words) and (depth or words.word() not in (",", ")")):
            depth += (words.word() == "(") - (words.word() == ")")
            whole = whole and words.word() in ("asc", "desc")
            words.at += 1
        if words.accept(")"):
            return tuple(names), whole
        words.accept(",")
    return None


def _column(words: Words, part: range) -> ColumnDef | None:
    name = words.one_name()
    if name is None:
        return None
    begin = words.at
    while words.at < part.stop and words.word() not in _ATTRIBUTES:
        words.at += 1
    start, end = span_of(words, range(begin, words.at))
    written = words.text[start:end].decode("latin-1").lower()
    return _attributes(ColumnDef(name.lower(), span_of(words, part), written), words, part)


def _attributes(column: ColumnDef, words: Words, part: range) -> ColumnDef:
    counter: Counter | None = None
    references: tuple[Reference, Span] | None = None
    primary = unique = not_null = default = False
    depth = 0
    while words.at < part.stop:
        word = words.word()
        depth += (word == "(") - (word == ")")
        start = words.at
        words.at += 1
        if depth:
            continue
        if word == "auto_increment":
            counter = _counter(words, start)
        elif word == "references":
            words.at = start
            reference = _reference(words)
            words.at = _end_of_reference(words, part)
            if reference is None:
                break
            references = reference, span_of(words, range(start, words.at))
        elif word == "not":
            not_null = not_null or words.word() == "null"
        elif word == "default":
            default = words.word() != "null"
        elif word == "unique":
            unique = True
            words.accept("key")
        elif word == "primary" or (word == "key" and not primary):
            primary = True
            words.accept("key")
    return ColumnDef(column.name, column.span, column.type, counter, primary, unique, references, not_null, default)


def _end_of_reference(words: Words, part: range) -> int:
    """Behind MATCH and ON DELETE and ON UPDATE."""
    while words.at < part.stop:
        if words.word() == "match":
            words.at += 2
        elif words.word() == "on" and words.word(1) in ("delete", "update"):
            words.at += 2
            words.at += 2 if words.word() in ("set", "no") else 1
        else:
            break
    return min(words.at, part.stop)


def _counter(words: Words, start: int) -> Counter:
    kind = ""
    unit: tuple[int, int] | None = None
    if words.word() == "by" and words.word(1) in _KINDS:
        kind = words.word(1)
        words.at += 2
        if words.accept("unit", "count"):
            count, index = int(words.word() or 0) if words.word().isdecimal() else 0, 0
            words.at += 1
            if words.accept("index"):
                index = int(words.word()) if words.word().isdecimal() else -1
                words.at += 1
            unit = count, index
    return Counter(span_of(words, range(start, words.at)), kind, unit)
