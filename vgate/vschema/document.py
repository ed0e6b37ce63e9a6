"""A YAML or JSON text that is changed in place: an entry more or less, and every other character as it was.

Comments, order, quotes and layout stay because nothing else is written anew: the places come from yaml's own tree.
Each edit is checked: the text it made must hold exactly the entries that were asked for, or ``CannotEdit`` is raised
and nothing is changed. What is written in anchors is never changed, as it stands for several places.

This module does not know what a VSchema is, and reads and writes no file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from vgate.yamlfile import camel, prepare

Value = str | bool | dict[str, "Value"] | list["Value"]
"""What can be written: text, true or false, and mappings and lists of these."""

Data = str | dict[str, "Data"] | list["Data"]
"""What can be read: every scalar is text."""

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_WORDS: Final = frozenset(["true", "false", "yes", "no", "on", "off", "null", "y", "n"])


class CannotEdit(Exception):
    """The text is of a form that cannot be changed without a hand; the message says why."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A text with its tree. ``json``: names are to be written in double quotes."""

    text: str
    root: yaml.MappingNode
    json: bool


def read(text: str) -> dict[str, Data]:
    """All that the text says. Raises CannotEdit."""
    data = yaml.load(prepare(text).text, Loader=yaml.BaseLoader)
    if data is None or data == "":
        return {}
    if not isinstance(data, dict):
        raise CannotEdit("it is no mapping")
    return data


def entry(data: Data | None, name: str) -> Data | None:
    """The value of a field in either of its spellings; None where there is none."""
    key = _spelling(data, name)
    return data[key] if isinstance(data, dict) and key is not None else None


def _spelling(data: Data | None, name: str) -> str | None:
    if not isinstance(data, dict):
        return None
    return next((one for one in (name, camel(name)) if one in data), None)


# -- edits ----------------------------------------------------------------------------------------------------------


def put(text: str, path: Sequence[str], value: Value) -> str:
    """The text with an entry more, or with another value. The mappings on the way are made. Raises CannotEdit."""
    wanted = read(text)
    here: dict[str, Data] = wanted
    for name in path[:-1]:
        key = _spelling(here, name) or name
        if not isinstance(here.get(key), dict):
            here[key] = {}
        inner = here[key]
        assert isinstance(inner, dict)
        here = inner
    here[_spelling(here, path[-1]) or path[-1]] = _as_read(value)
    return _checked(text, _put(_parsed(text), path, value), wanted)


def remove(text: str, path: Sequence[str]) -> str:
    """The text without an entry. Raises CannotEdit."""
    wanted = read(text)
    here: Data = wanted
    for name in path[:-1]:
        inner = entry(here, name)
        if inner is None:
            raise CannotEdit(f"{name} is not there")
        here = inner
    key = _spelling(here, path[-1])
    if key is None or not isinstance(here, dict):
        raise CannotEdit(f"{path[-1]} is not there")
    del here[key]
    return _checked(text, _remove(_parsed(text), path), wanted)


def append(text: str, path: Sequence[str], value: Value) -> str:
    """The text with an item more at the end of a list, which is made where it is missing. Raises CannotEdit."""
    items = _at(read(text), path)
    if not isinstance(items, list) or not items:
        return put(text, path, [value])
    wanted = read(text)
    there = _at(wanted, path)
    assert isinstance(there, list)
    there.append(_as_read(value))
    return _checked(text, _append(_parsed(text), path, value), wanted)


def remove_item(text: str, path: Sequence[str], index: int) -> str:
    """The text without an item of a list. Raises CannotEdit."""
    wanted = read(text)
    items = _at(wanted, path)
    if not isinstance(items, list):
        raise CannotEdit(f"{path[-1]} is no list")
    if len(items) == 1:
        return remove(text, path)
    del items[index]
    return _checked(text, _remove_item(_parsed(text), path, index), wanted)


def _at(data: Data, path: Sequence[str]) -> Data | None:
    here: Data | None = data
    for name in path:
        here = entry(here, name)
    return here


def _checked(before: str, after: str, wanted: dict[str, Data]) -> str:
    try:
        if read(after) == wanted:
            return after
    except yaml.YAMLError:
        pass
    raise CannotEdit(f"its layout is not one that can be changed safely ({len(before.splitlines())} lines)")


def _as_read(value: Value) -> Data:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case dict():
            return {key: _as_read(one) for key, one in value.items()}
        case list():
            return [_as_read(one) for one in value]


# -- places ---------------------------------------------------------------------------------------------------------


def _parsed(text: str) -> _Text:
    prepared = prepare(text).text
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(prepared, Loader=yaml.SafeLoader)):
        raise CannotEdit("it uses anchors (&name, *name), which stand for several places")
    root = yaml.compose(prepared, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise CannotEdit("it is empty, or no mapping")
    try:
        json.loads(text)
        return _Text(text, root, True)
    except ValueError:
        return _Text(text, root, False)


def _pair(node: yaml.Node, name: str) -> tuple[int, tuple[yaml.Node, yaml.Node]] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    for spelling in (name, camel(name)):
        for index, pair in enumerate(node.value):
            if isinstance(pair[0], yaml.ScalarNode) and pair[0].value == spelling:
                return index, pair
    return None


def _end(node: yaml.Node) -> int:
    """Where the node's last character is; yaml's own mark of a block is beyond the comments that follow."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


# -- writing --------------------------------------------------------------------------------------------------------


def _put(source: _Text, path: Sequence[str], value: Value) -> str:
    node: yaml.Node = source.root
    for depth, name in enumerate(path):
        found = _pair(node, name)
        rest = path[depth + 1 :]
        if found is None:
            return _insert(source, node, name, _nested(rest, value))
        key, inner = found[1]
        if not rest:
            return _replaced(source, key, inner, value)
        if not isinstance(inner, yaml.MappingNode) or not inner.value:
            return _replaced(source, key, inner, _nested(rest, value))
        node = inner
    raise AssertionError("a path has a name at least")


def _nested(path: Sequence[str], value: Value) -> Value:
    for name in reversed(path):
        value = {name: value}
    return value


def _insert(source: _Text, node: yaml.Node, name: str, value: Value) -> str:
    """An entry after the last one of a mapping that has some."""
    text = source.text
    assert isinstance(node, yaml.MappingNode)
    last_key, last_value = node.value[-1]
    at = _end(last_value)
    if node.flow_style:
        written = f"{_word(name, source.json)}: {_flow(value, source.json)}"
        start = _line_start(text, last_key.start_mark.index)
        indent = text[start : last_key.start_mark.index]
        alone = indent.strip() == "" and start > node.start_mark.index
        return text[:at] + (f",\n{indent}" if alone else ", ") + written + text[at:]
    indent = " " * node.value[0][0].start_mark.column
    if isinstance(last_value, yaml.ScalarNode) and last_value.style in ("|", ">"):
        at = max(0, at - 1)
    at = _line_end(text, at)
    return text[:at] + "\n" + _block(name, value, indent) + text[at:]


def _replaced(source: _Text, key: yaml.Node, old: yaml.Node, value: Value) -> str:
    """Another value behind a key."""
    text = source.text
    start, end = old.start_mark.index, _end(old)
    if isinstance(old, yaml.MappingNode | yaml.SequenceNode) and not old.flow_style and old.value:
        colon = text.index(":", key.end_mark.index)
        return text[: colon + 1] + " " + _flow(value, source.json) + text[end:]
    if isinstance(old, yaml.ScalarNode) and start == end:  # nothing is written there
        colon = text.index(":", key.end_mark.index)
        before = text[_line_start(text, key.start_mark.index) : key.start_mark.index]
        rest = text[colon + 1 : _line_end(text, colon)].strip()
        if isinstance(value, dict) and before.isspace() and (not rest or rest.startswith("#")):
            indent = " " * (key.start_mark.column + 2)
            at = _line_end(text, colon)
            lines = "\n".join(_block(name, one, indent) for name, one in value.items())
            return text[:at] + "\n" + lines + text[at:]
        return text[: colon + 1] + " " + _flow(value, source.json) + text[colon + 1 :]
    return text[:start] + _flow(value, source.json) + text[end:]


def _remove(source: _Text, path: Sequence[str]) -> str:
    text = source.text
    node: yaml.Node = source.root
    parent: yaml.Node | None = None
    for name in path[:-1]:
        found = _pair(node, name)
        assert found is not None
        parent, node = found[1]
    found = _pair(node, path[-1])
    assert found is not None
    assert isinstance(node, yaml.MappingNode)
    index, (key, value) = found
    start, end = key.start_mark.index, _end(value)
    if node.flow_style:
        if index + 1 < len(node.value):
            return text[:start] + text[node.value[index + 1][0].start_mark.index :]
        if index:
            return text[: _end(node.value[index - 1][1])] + text[end:]
        return text[:start] + text[end:]
    first, last = _line_start(text, start), _line_end(text, end)
    if not text[first:start].isspace() and first != start:
        raise CannotEdit(f"{path[-1]} shares its line with what stands before it")
    text = text[:first] + text[last + 1 :]
    if len(node.value) == 1 and parent is not None:
        colon = text.index(":", parent.end_mark.index)
        text = text[: colon + 1] + " {}" + text[colon + 1 :]
    return text


def _list_at(source: _Text, path: Sequence[str]) -> yaml.SequenceNode:
    node: yaml.Node = source.root
    for name in path:
        found = _pair(node, name)
        assert found is not None
        node = found[1][1]
    assert isinstance(node, yaml.SequenceNode)
    return node


def _append(source: _Text, path: Sequence[str], value: Value) -> str:
    text, node = source.text, _list_at(source, path)
    last = node.value[-1]
    at = _end(last)
    written = _flow(value, source.json)
    if node.flow_style:
        start = _line_start(text, last.start_mark.index)
        indent = text[start : last.start_mark.index]
        alone = indent.strip() == "" and start > node.start_mark.index
        return text[:at] + (f",\n{indent}" if alone else ", ") + written + text[at:]
    at = _line_end(text, at)
    return text[:at] + "\n" + " " * node.start_mark.column + "- " + written + text[at:]


def _remove_item(source: _Text, path: Sequence[str], index: int) -> str:
    text, node = source.text, _list_at(source, path)
    item = node.value[index]
    start, end = item.start_mark.index, _end(item)
    if node.flow_style:
        if index + 1 < len(node.value):
            return text[:start] + text[node.value[index + 1].start_mark.index :]
        return text[: _end(node.value[index - 1])] + text[end:]
    return text[: _line_start(text, start)] + text[_line_end(text, end) + 1 :]


def _block(name: str, value: Value, indent: str) -> str:
    """An entry on a line of its own; a mapping of mappings on several."""
    word = _word(name, False)
    if isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
        lines = [_block(inner, one, indent + "  ") for inner, one in value.items()]
        return "\n".join([f"{indent}{word}:", *lines])
    return f"{indent}{word}: {_flow(value, False)}"


def _flow(value: Value, as_json: bool) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _word(value, as_json)
        case dict():
            return "{" + ", ".join(f"{_word(k, as_json)}: {_flow(v, as_json)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(_flow(one, as_json) for one in value) + "]"


def _word(text: str, as_json: bool) -> str:
    """A name as it is written, quoted where YAML would take it for something else."""
    if not as_json and _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
