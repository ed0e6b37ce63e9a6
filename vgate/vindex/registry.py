"""The table of vindex types: which there are, which parameters each takes, and how one is made from them.

Names and parameters are Vitess's. What Vitess would swallow and then place rows by (an unknown parameter, a ``null``
in a static map, a fallback that it drops without a word) is refused here, with what to do about it.
This module does not know how values are mapped, which is ``functional``'s business, nor where a file is: it is given
a function that reads one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from vgate.vindex.base import Vindex
from vgate.vindex.functional import (
    Binary,
    BinaryMD5,
    Hash,
    Null,
    Numeric,
    NumericStaticMap,
    ReverseBits,
    UnicodeLooseMD5,
    UnicodeLooseXXHash,
    XXHash,
)
from vgate.yamlfile import closest

_MAX_UINT64 = 2**64 - 1

ReadFile = Callable[[str], str]


class VindexConfigError(ValueError):
    """A vindex cannot be made. ``str()`` says why, in Vitess's words where it has any; ``remedy`` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def make_vindex(name: str, type: str, params: Mapping[str, str], *, read_file: ReadFile) -> Vindex:
    """The vindex ``name`` of that type.

    ``read_file`` gives the text of a file that a parameter names. Raises VindexConfigError, and whatever
    ``read_file`` raises (OSError, UnicodeDecodeError).
    """
    found = _TYPES.get(type)
    if found is None:
        _refuse_type(type)
    _check_params(type, params, found.params)
    return found.make(name, params, read_file)


# -- the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Type:
    """How one type is made. ``hashing``: it may be a static map's fallback."""

    make: Callable[[str, Mapping[str, str], ReadFile], Vindex]
    params: tuple[str, ...] = ()
    hashing: bool = True


def _plain(make: Callable[[str], Vindex], *, hashing: bool = True) -> _Type:
    """A type without parameters."""
    return _Type(lambda name, params, read_file: make(name), hashing=hashing)


def _static_map(name: str, params: Mapping[str, str], read_file: ReadFile) -> NumericStaticMap:
    table = _read_table(_table_text(params, read_file))
    return NumericStaticMap(name, table, _fallback(name, params.get("fallback_type")))


_TYPES: Mapping[str, _Type] = {
    "binary": _plain(Binary),
    "binary_md5": _plain(BinaryMD5),
    "hash": _plain(Hash),
    "null": _plain(Null, hashing=False),
    "numeric": _plain(Numeric),
    "numeric_static_map": _Type(_static_map, ("json", "json_path", "fallback_type"), hashing=False),
    "reverse_bits": _plain(ReverseBits),
    "unicode_loose_md5": _plain(UnicodeLooseMD5),
    "unicode_loose_xxhash": _plain(UnicodeLooseXXHash),
    "xxhash": _plain(XXHash),
}

_LOOKUP = (
    "Remove it, and its entries in column_vindexes: conditions on that column alone then go to every shard, and its"
    " table is neither read nor written."
)
_LOOKUP_UNIQUE = _LOOKUP + " The column's values are then not kept unique across shards."
_SEVERAL_COLUMNS = (
    "Choose one column that is in every row and most queries, and a type such as hash. Rows that Vitess placed by this"
    " type are on other shards then: copy them."
)

_NOT_YET: Mapping[str, str] = {
    "cfc": "Use binary or xxhash. Rows that Vitess placed by this type are on other shards then: copy them.",
    "consistent_lookup": _LOOKUP,
    "consistent_lookup_unique": _LOOKUP_UNIQUE,
    "lookup": _LOOKUP,
    "lookup_cost": "Remove it: Vitess has it for its own tests.",
    "lookup_hash": _LOOKUP,
    "lookup_hash_unique": _LOOKUP_UNIQUE,
    "lookup_unicodeloosemd5_hash": _LOOKUP,
    "lookup_unicodeloosemd5_hash_unique": _LOOKUP_UNIQUE,
    "lookup_unique": _LOOKUP_UNIQUE,
    "multicol": _SEVERAL_COLUMNS,
    "region_experimental": _SEVERAL_COLUMNS,
    "region_json": _SEVERAL_COLUMNS,
}
"""Vitess's other types, and what to do without them."""


def _refuse_type(type: str) -> NoReturn:
    if type in _NOT_YET:
        raise VindexConfigError(f"vindexType {_quoted(type)} is not supported yet", _NOT_YET[type])
    # A name close to one of Vitess's other types must not be taken for one of those that are here.
    remedy = closest(type, [*_TYPES, *_NOT_YET]) or closest(type, _TYPES)
    raise VindexConfigError(f"vindexType {_quoted(type)} not found", remedy)


def _check_params(type: str, params: Mapping[str, str], known: tuple[str, ...]) -> None:
    """Vitess ignores a parameter that it does not know. One that was meant to place rows would then not do it."""
    unknown = sorted(set(params) - set(known))
    if unknown:
        remedy = closest(unknown[0], known) or f"Remove it: {type} has no parameters."
        raise VindexConfigError(f"unknown parameter {_quoted(unknown[0])} of type {type}", remedy)


def _quoted(text: str) -> str:
    """Between double quotes, on one line."""
    return json.dumps(text, ensure_ascii=False)


# -- the static map -----------------------------------------------------------------------------------------------

_WRITE_TABLE = """Write an object of numbers, e.g. json: '{"1": 2}'."""
_DECIMAL = re.compile(r"[0-9]+")


def _table_text(params: Mapping[str, str], read_file: ReadFile) -> str:
    inline, path = params.get("json"), params.get("json_path")
    if inline is not None and path is not None:
        raise VindexConfigError(
            "NumericStaticMap: Found both `json` and `json_path` params in vschema", "Keep one of them."
        )
    if inline is not None:
        return inline
    if path is None:
        raise VindexConfigError(
            "NumericStaticMap: Could not find either `json_path` or `json` params in vschema",
            "Add params: {json_path: FILE}, or " + _WRITE_TABLE.removeprefix("Write "),
        )
    if "\0" in path:
        raise VindexConfigError(f"json_path {_quoted(path)} names no file", "Name a file beside the VSchema.")
    return read_file(path)


class _Number(str):
    """A JSON number as it was written."""


def _read_table(text: str) -> dict[int, int]:
    """The table that ``text`` holds: a JSON object of decimal numbers to numbers, all from 0 to 2^64-1."""
    try:
        pairs = json.loads(
            text, object_pairs_hook=tuple, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno} of the JSON"
        message = f"the static map is not readable as JSON: {error.msg} ({where})"
        raise VindexConfigError(message, _WRITE_TABLE) from None
    except RecursionError:
        raise VindexConfigError("the static map is nested too deeply", _WRITE_TABLE) from None
    if not isinstance(pairs, tuple):
        raise VindexConfigError("the static map is no JSON object", _WRITE_TABLE)
    table: dict[int, int] = {}
    for key, value in pairs:
        number = _key(key)
        if number in table:
            # Vitess takes the last of two equal keys, and of "1" and "01" any.
            raise VindexConfigError(f"the static map has key {number} twice", "Remove one.")
        table[number] = _value(key, value)
    return table


def _key(text: str) -> int:
    number = _uint64(text)
    if number is None:
        raise VindexConfigError(
            f"key {_quoted(text)} of the static map is no number from 0 to {_MAX_UINT64}",
            "Write decimal digits alone: no sign, blank or point.",
        )
    return number


def _value(key: str, value: object) -> int:
    number = _uint64(value) if isinstance(value, _Number) else None
    if number is None:
        # Vitess reads null as 0; every row of that key would move there.
        raise VindexConfigError(
            f"the value of key {key} of the static map is no number from 0 to {_MAX_UINT64}",
            f'Write decimal digits without quotes, e.g. "{key}": 1.',
        )
    return number


def _uint64(text: str) -> int | None:
    """The number that decimal digits spell, None for other text and for numbers of more than 64 bits."""
    significant = text.lstrip("0") or "0"
    if _DECIMAL.fullmatch(text) is None or len(significant) > len(str(_MAX_UINT64)):
        return None
    number = int(significant)
    return number if number <= _MAX_UINT64 else None


def _fallback(name: str, type: str | None) -> Vindex | None:
    """The vindex for numbers that the table lacks; None stands for ``numeric``."""
    if type is None:
        return None
    hashing = [other for other, found in _TYPES.items() if found.hashing]
    these = ", ".join(hashing)
    if type in hashing:
        return _TYPES[type].make(f"{name}_hash", {}, _no_file)
    if type == "null":
        # Vitess makes one and drops it without a word, because its Null has no method Hash.
        raise VindexConfigError(
            "fallback_type null has no effect in Vitess, which places such rows as numeric does",
            f"Write fallback_type: numeric to keep that; others are {these}.",
        )
    if type == "numeric_static_map":
        raise VindexConfigError(
            "fallback_type numeric_static_map cannot be made: it would need a map of its own", f"Use one of {these}."
        )
    if type in _NOT_YET:
        raise VindexConfigError(f"fallback_type {type} is not supported yet", f"Use one of {these}.")
    raise VindexConfigError(f"vindexType {_quoted(type)} not found (fallback_type)", closest(type, hashing))


def _no_file(path: str) -> NoReturn:
    raise AssertionError(f"a type without parameters reads {path}")
