"""A YAML file as a small tree in which every value knows its line, and the list of what is wrong with the file.

Both files that people write by hand, ``vschema.yaml`` and ``vgate.yaml``, are read through here, so both report every
fault at once, with file, line and remedy. Values stay text as written until a caller says what it expects: a shard
``-80`` or ``0`` never becomes a number, a column ``on`` never a boolean, a vindex type ``null`` never nothing.
JSON is YAML here, tabs and all, and ``${NAME}`` may stand unquoted anywhere, also between braces.

This module does not know which fields a file has, and reads no file itself.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import yaml

from vgate.errors import ConfigError

Loader: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file: where, what, and what to do about it."""

    file: str
    line: int
    message: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """What and what to do, without the place."""
        message = self.message if self.message.endswith((".", "?", "!")) else self.message + "."
        return f"{message} {self.remedy}" if self.remedy else message

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class FileError(ConfigError):
    """A file that cannot be used, with every reason why."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


# -- the tree -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, as written. ``plain`` is False for a quoted one."""

    text: str
    line: int
    plain: bool = True

    @property
    def empty(self) -> bool:
        """Nothing was written: ``key:`` or ``key: ~``. (The word ``null`` is a value where a name is expected.)"""
        return self.plain and self.text in ("", "~")

    @property
    def null(self) -> bool:
        """YAML's null in any spelling."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Pair:
    """One ``key: value`` of a mapping."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Map:
    """A mapping, its keys unique, in the order written."""

    pairs: tuple[Pair, ...]
    line: int


@dataclass(frozen=True, slots=True)
class List:
    """A sequence."""

    items: tuple[Node, ...]
    line: int


Node = Scalar | Map | List

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
)
_MERGE = "tag:yaml.org,2002:merge"


# -- reading ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Report:
    """Faults and warnings of one file, as they are found."""

    file: str
    faults: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def fault(self, line: int, message: str, remedy: str = "") -> None:
        """The file cannot be used."""
        self._add(self.faults, Problem(self.file, line, message, remedy))

    def warn(self, line: int, message: str, remedy: str = "") -> None:
        """The file can be used, but somebody may be surprised."""
        self._add(self.warnings, Problem(self.file, line, message, remedy))

    @staticmethod
    def _add(problems: list[Problem], problem: Problem) -> None:
        if problem not in problems:
            problems.append(problem)

    def sort(self) -> None:
        """In the order of the file."""
        self.faults.sort(key=lambda p: p.line)
        self.warnings.sort(key=lambda p: p.line)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file's text as yaml can read it, character by character in the same places; ``braces`` undoes the stand-ins."""

    text: str
    braces: Mapping[int, str]


def prepare(text: str) -> Prepared:
    """The text with stand-ins for what YAML would read otherwise: the braces of ``${NAME}``, and JSON's tabs."""
    opening, closing = _brace_stand_ins(text)
    prepared = re.sub(r"\$\{([^{}\n]*)\}", rf"${opening}\1{closing}", _json_without_tabs(text))
    return Prepared(prepared, str.maketrans({opening: "{", closing: "}"}))


def parse(text: str, report: Report) -> Node | None:
    """The tree of ``text``, or None after a fault has been reported. An empty file is an empty mapping."""
    prepared = prepare(text.removeprefix("\N{BYTE ORDER MARK}"))
    try:
        root = _compose(prepared.text)
        converter = _Converter(report, prepared.braces)
        return Map((), 1) if root is None else converter.convert(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        message = ", ".join(part for part in (error.context, error.problem) if part)
        report.fault(line, f"not readable as YAML: {message}", _syntax_remedy(text, line))
    except yaml.YAMLError as error:  # ReaderError: a character that YAML forbids
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) and position >= 0 else 1
        report.fault(line, f"not readable as YAML: {getattr(error, 'reason', error)}", "Save the file as UTF-8 text.")
    except RecursionError:
        report.fault(1, "nested too deeply", "Flatten the file.")
    return None


def _compose(text: str) -> yaml.Node | None:
    """yaml's own tree. The C loader is twenty times as fast; the other names what it stumbled over."""
    try:
        return yaml.compose(text, Loader=Loader)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.SafeLoader)


def _brace_stand_ins(text: str) -> tuple[str, str]:
    """Two characters of the private use area that the text lacks: they stand for the braces of ``${NAME}``.

    Between the braces of a flow mapping YAML would read ``password: ${NAME}`` as the start of another mapping.
    """
    free = (c for c in map(chr, range(0xE000, 0xF8FF)) if c not in text)
    return next(free), next(free)


def _json_without_tabs(text: str) -> str:
    """JSON may be indented with tabs, YAML may not. A tab is never inside a JSON string, so none can be lost."""
    if "\t" in text:
        try:
            json.loads(text)
        except ValueError:
            return text
        return text.replace("\t", " ")
    return text


def _syntax_remedy(text: str, line: int) -> str:
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    if special := re.search(r"[:,\[-]\s*([*&%@`])", here):
        return f"Put a value that begins with {special[1]} in quotes."
    if re.match(r"\s*\t", here):
        return "Indent with spaces: YAML does not allow tabs."
    if re.search(r":\S", here) and not re.search(r":\s", here):
        return "Write a space after the colon."
    return "Check indentation, colons, quotes and brackets there and on the line before."


class _Converter:
    """yaml's nodes to ours: merge keys applied, duplicate keys reported."""

    def __init__(self, report: Report, braces: Mapping[int, str]) -> None:
        self.report = report
        self.braces = braces
        self.done: dict[int, Node] = {}
        self.open: set[int] = set()

    def convert(self, node: yaml.Node) -> Node:
        """The node; an anchor's is converted once, however often it is used."""
        key = id(node)
        if key in self.done:
            return self.done[key]
        line = node.start_mark.line + 1
        if key in self.open:
            self.report.fault(line, "an anchor that contains itself", "Remove the alias.")
            return Scalar("", line)
        self.open.add(key)
        if node.tag not in _PLAIN_TAGS and node.tag != "!":
            self.report.fault(line, f"unexpected tag {node.tag}", "Remove the tag.")
        result = self.done[key] = self._convert(node, line)
        self.open.discard(key)
        return result

    def _convert(self, node: yaml.Node, line: int) -> Node:
        if isinstance(node, yaml.MappingNode):
            return self._map(node, line)
        if isinstance(node, yaml.SequenceNode):
            return List(tuple(self.convert(item) for item in node.value), line)
        if not isinstance(node, yaml.ScalarNode):
            raise TypeError(f"a YAML node of an unknown kind: {node!r}")
        text: str = node.value.translate(self.braces)
        return Scalar(text, line, plain=not node.style)

    def _map(self, node: yaml.MappingNode, line: int) -> Map:
        own: dict[str, Pair] = {}
        merged: dict[str, Pair] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for pair in self._merged(value_node):
                    merged.setdefault(pair.key.text, pair)
                continue
            key = self.convert(key_node)
            if not isinstance(key, Scalar):
                self.report.fault(key.line, "a key must be a name, not a list or a mapping", "Check the brackets.")
                continue
            if key.text in own:
                first = own[key.text].key.line
                self.report.fault(key.line, f"{key.text!r} is written twice (first on line {first})", "Remove one.")
                continue
            own[key.text] = Pair(key, self.convert(value_node))
        return Map(tuple({**merged, **own}.values()), line)

    def _merged(self, node: yaml.Node) -> list[Pair]:
        value = self.convert(node)
        sources = value.items if isinstance(value, List) else (value,)
        pairs: list[Pair] = []
        for source in sources:
            if isinstance(source, Map):
                pairs += source.pairs
            else:
                self.report.fault(value.line, "'<<' merges mappings only", "Point it at an anchored mapping.")
        return pairs


# -- expectations -------------------------------------------------------------------------------------------------


def is_nothing(node: Node | None) -> bool:
    """Absent, null, or empty: what JSON written by protobuf tools has for a field that is not set."""
    match node:
        case None:
            return True
        case Scalar():
            return node.null or not node.text
        case Map():
            return all(is_nothing(pair.value) for pair in node.pairs)
        case List():
            return not node.items


def read_map(node: Node, what: str, report: Report) -> Map:
    """``node`` as a mapping; nothing written is an empty one."""
    if isinstance(node, Map):
        return node
    if not (isinstance(node, Scalar) and node.null):
        report.fault(node.line, f"{what} must be a mapping (name: value), not {_kind(node)}")
    return Map((), node.line)


def read_list(node: Node, what: str, report: Report) -> tuple[Node, ...]:
    """``node`` as a list; nothing written is an empty one."""
    if isinstance(node, List):
        return node.items
    if not (isinstance(node, Scalar) and node.null):
        report.fault(node.line, f"{what} must be a list ([a, b]), not {_kind(node)}")
    return ()


def read_text(node: Node, what: str, report: Report) -> str | None:
    """``node`` as text, or None: after a fault, or where nothing is written."""
    if not isinstance(node, Scalar):
        report.fault(node.line, f"{what} must be a single value, not {_kind(node)}")
        return None
    return None if node.empty else node.text


_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


def read_bool(node: Node, what: str, report: Report, default: bool = False) -> bool:
    """``node`` as a boolean, in the words of YAML 1.1."""
    if isinstance(node, Scalar):
        if node.null:
            return default
        if node.plain and node.text.lower() in _TRUE | _FALSE:
            return node.text.lower() in _TRUE
    report.fault(node.line, f"{what} must be true or false", "Write true or false, without quotes.")
    return default


def read_number(
    node: Node, what: str, report: Report, *, low: int, high: int, text: str | None = None
) -> int | None:
    """``node`` as a whole number from ``low`` to ``high``; None after a fault or where nothing is written."""
    if not isinstance(node, Scalar):
        report.fault(node.line, f"{what} must be a number, not {_kind(node)}")
        return None
    written = node.text if text is None else text
    if node.null:
        return None
    if not re.fullmatch(r"[0-9]{1,20}", written) or not low <= int(written) <= high:
        report.fault(node.line, f"{what} must be a whole number from {low} to {high}, not {written!r}")
        return None
    return int(written)


def read_seconds(node: Node, what: str, report: Report) -> float | None:
    """``node`` as a positive number of seconds; None after a fault or where nothing is written."""
    if isinstance(node, Scalar):
        if node.null:
            return None
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", node.text) and float(node.text) > 0:
            return float(node.text)
    report.fault(node.line, f"{what} must be a number of seconds above 0", "Write e.g. 10 or 0.5.")
    return None


def _kind(node: Node) -> str:
    match node:
        case Scalar():
            return repr(node.text)
        case Map():
            return "a mapping"
        case List():
            return "a list"


def camel(name: str) -> str:
    """``column_vindexes`` to ``columnVindexes``: JSON written by protobuf tools spells names so."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def closest(name: str, known: Iterable[str]) -> str:
    """A remedy: the known name most like ``name``, or all of them if they are few."""
    names = list(known)
    lowered = {candidate.lower(): candidate for candidate in reversed(names)}
    found = difflib.get_close_matches(name.lower(), lowered, 1, 0.6)
    if found:
        return f"Did you mean {lowered[found[0]]!r}?"
    return f"Known here: {', '.join(names)}." if 0 < len(names) <= 12 else ""


def fields(node: Map, what: str, known: Iterable[str], report: Report) -> dict[str, Pair]:
    """The pairs of ``node`` by field name, each in snake or camel case; others are faults that name the closest."""
    names = list(known)
    spelled = {name: name for name in names} | {camel(name): name for name in names}
    found: dict[str, Pair] = {}
    for pair in node.pairs:
        name = spelled.get(pair.key.text)
        if name is None:
            report.fault(pair.key.line, f"unknown field {pair.key.text!r} in {what}", closest(pair.key.text, names))
        elif name in found:
            report.fault(pair.key.line, f"{name!r} is written twice, in both spellings", "Remove one.")
        else:
            found[name] = pair
    return found


# -- environment --------------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>[^{}\n]*)\}")


def expand(scalar: Scalar, environ: Mapping[str, str], what: str, report: Report) -> str | None:
    """The scalar's text with every ``${NAME}`` replaced from the environment; ``$${`` stands for ``${``.

    A variable that is not set is a fault, and None the answer: an empty password instead would be a silent one.
    """
    found = [match["name"] for match in _VARIABLE.finditer(scalar.text) if not match["escaped"]]
    missing = [name for name in found if name not in environ]
    for name in missing:
        _report_missing(scalar, name, what, report)
    if missing:
        return None
    return _VARIABLE.sub(lambda match: "${" if match["escaped"] else environ[match["name"]], scalar.text)


def _report_missing(scalar: Scalar, name: str, what: str, report: Report) -> None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        message = f"{what} needs the environment variable {name}, which is not set"
        report.fault(scalar.line, message, f"Set it before starting vgate: export {name}=...")
    else:
        message = f"{what} has ${{{name}}}, which names no environment variable"
        report.fault(scalar.line, message, "Write ${NAME}; $${ stands for a plain ${.")
