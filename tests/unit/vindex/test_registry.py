"""The table of types: every type is made, and every fault of a type or a parameter is said with what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.vindex.base import Vindex
from vgate.vindex.functional import Hash, NumericStaticMap, XXHash
from vgate.vindex.registry import VindexConfigError, make_vindex

PLAIN = (
    "binary", "binary_md5", "hash", "null", "numeric", "reverse_bits", "unicode_loose_md5", "unicode_loose_xxhash",
    "xxhash",
)  # fmt: skip
NOT_YET = (
    "cfc", "consistent_lookup", "consistent_lookup_unique", "lookup", "lookup_cost", "lookup_hash",
    "lookup_hash_unique", "lookup_unicodeloosemd5_hash", "lookup_unicodeloosemd5_hash_unique", "lookup_unique",
    "multicol", "region_experimental", "region_json",
)  # fmt: skip
FILES = {"map.json": '{"1": 2}', "bad.json": "{]"}


def make(type: str, **params: str) -> Vindex:
    return make_vindex("v", type, params, read_file=FILES.__getitem__)


def fault(type: str, params: Mapping[str, str] | None = None) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    with pytest.raises(VindexConfigError) as caught:
        make_vindex("v", type, params or {}, read_file=FILES.__getitem__)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.remedy


# -- types --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", PLAIN)
def test_types_without_parameters(type: str) -> None:
    vindex = make(type)
    assert (vindex.name, vindex.type) == ("v", type)
    assert vindex.map(1) is not None
    assert fault(type, {"json": "{}"}) == (
        f'unknown parameter "json" of type {type}', f"Remove it: {type} has no parameters.",
    )


@pytest.mark.parametrize("type", NOT_YET)
def test_types_that_only_vitess_has(type: str) -> None:
    message, remedy = fault(type, {"table": "t", "from": "c", "to": "keyspace_id"})
    assert message == f'vindexType "{type}" is not supported yet'
    assert remedy.endswith(".")
    assert ("unique across shards" in remedy) == type.endswith("_unique")


def test_all_types_of_vitess_are_known() -> None:
    assert len(PLAIN) + len(NOT_YET) + len(["numeric_static_map"]) == 23


@pytest.mark.parametrize(
    ("type", "remedy"),
    [
        ("hsah", "Did you mean 'hash'?"), ("HASH", "Did you mean 'hash'?"), ("xxhash64", "Did you mean 'xxhash'?"),
        ("lookup_unqiue", "Did you mean 'lookup_unique'?"), ("unicode_loose_md6", "Did you mean 'unicode_loose_md5'?"),
        (
            "zzz", "Known here: binary, binary_md5, hash, null, numeric, numeric_static_map, reverse_bits,"
            " unicode_loose_md5, unicode_loose_xxhash, xxhash.",
        ),
    ],
)  # fmt: skip
def test_unknown_types(type: str, remedy: str) -> None:
    assert fault(type) == (f'vindexType "{type}" not found', remedy)


def test_an_odd_type_stays_on_one_line() -> None:
    assert fault('a"\nb')[0] == r'vindexType "a\"\nb" not found'


# -- the static map -----------------------------------------------------------------------------------------------


def test_static_map() -> None:
    assert make("numeric_static_map", json='{"1": 2, "018": 18446744073709551615}') == NumericStaticMap(
        "v", {1: 2, 18: 2**64 - 1}
    )
    assert make("numeric_static_map", json_path="map.json") == NumericStaticMap("v", {1: 2})
    assert make("numeric_static_map", json=" {} ") == NumericStaticMap("v", {})


@pytest.mark.parametrize("type", [type for type in PLAIN if type != "null"])
def test_fallbacks(type: str) -> None:
    vindex = make("numeric_static_map", json="{}", fallback_type=type)
    assert isinstance(vindex, NumericStaticMap)
    assert vindex.fallback is not None
    assert (vindex.fallback.name, vindex.fallback.type) == ("v_hash", type)
    assert vindex.map(7) == make(type).map(7)


def test_fallbacks_are_used() -> None:
    assert make("numeric_static_map", json="{}", fallback_type="hash").map(3) == Hash("h").map(3)
    assert make("numeric_static_map", json="{}", fallback_type="xxhash").map(b" 3") == XXHash("x").map(b" 3")


HASHING = "binary, binary_md5, hash, numeric, reverse_bits, unicode_loose_md5, unicode_loose_xxhash, xxhash"


@pytest.mark.parametrize(
    ("params", "message", "remedy"),
    [
        (
            {}, "NumericStaticMap: Could not find either `json_path` or `json` params in vschema",
            """Add params: {json_path: FILE}, or an object of numbers, e.g. json: '{"1": 2}'.""",
        ),
        (
            {"json": "{}", "json_path": "map.json"},
            "NumericStaticMap: Found both `json` and `json_path` params in vschema", "Keep one of them.",
        ),
        (
            {"jsn_path": "map.json"}, 'unknown parameter "jsn_path" of type numeric_static_map',
            "Did you mean 'json_path'?",
        ),
        (
            {"json": "{}", "hello": "world"}, 'unknown parameter "hello" of type numeric_static_map',
            "Known here: json, json_path, fallback_type.",
        ),
        ({"json_path": "a\0b"}, r'json_path "a\u0000b" names no file', "Name a file beside the VSchema."),
        (
            {"json": "{}", "fallback_type": "null"},
            "fallback_type null has no effect in Vitess, which places such rows as numeric does",
            f"Write fallback_type: numeric to keep that; others are {HASHING}.",
        ),
        (
            {"json": "{}", "fallback_type": "numeric_static_map"},
            "fallback_type numeric_static_map cannot be made: it would need a map of its own", f"Use one of {HASHING}.",
        ),
        (
            {"json": "{}", "fallback_type": "multicol"}, "fallback_type multicol is not supported yet",
            f"Use one of {HASHING}.",
        ),
        (
            {"json": "{}", "fallback_type": "hsah"}, 'vindexType "hsah" not found (fallback_type)',
            "Did you mean 'hash'?",
        ),
        (
            {"json": "{}", "fallback_type": ""}, 'vindexType "" not found (fallback_type)', f"Known here: {HASHING}.",
        ),
    ],
)  # fmt: skip
def test_faults_of_parameters(params: Mapping[str, str], message: str, remedy: str) -> None:
    assert fault("numeric_static_map", params) == (message, remedy)


@pytest.mark.parametrize("text", ["", "{]", '{"1": 2', "{1: 2}", '{"1": 02}', '{"1": +2}', "\ufeff{}", "{} {}"])
def test_a_static_map_that_is_no_json(text: str) -> None:
    message, remedy = fault("numeric_static_map", {"json": text})
    assert message.startswith("the static map is not readable as JSON: ")
    assert " (line 1, column " in message
    assert remedy == """Write an object of numbers, e.g. json: '{"1": 2}'."""


@pytest.mark.parametrize("text", ["null", "[]", '[["1", 2]]', "1", '"1"', "true", "NaN"])
def test_a_static_map_that_is_no_object(text: str) -> None:
    assert fault("numeric_static_map", {"json": text})[0] == "the static map is no JSON object"


def test_a_static_map_that_is_too_deep() -> None:
    assert fault("numeric_static_map", {"json": "[" * 100_000})[0] == "the static map is nested too deeply"


BAD_KEYS = [
    "", "-1", "+1", " 1", "1 ", "1.0", "1e3", "a", "\u0661", "1_0", "0x1", "1\n", "18446744073709551616", "9" * 9999,
]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:20])
def test_bad_keys(key: str) -> None:
    message, remedy = fault("numeric_static_map", {"json": json.dumps({"1": 1, key: 2})})
    assert message.startswith('key "')
    assert message.endswith(" of the static map is no number from 0 to 18446744073709551615")
    assert remedy == "Write decimal digits alone: no sign, blank or point."


@pytest.mark.parametrize(
    "value",
    [
        "null", "true", '"2"', "-1", "-0", "2.0", "2e0", "1E400", "[]", "[2]", "{}", '{"1": 2}', "NaN", "Infinity",
        "18446744073709551616", "9" * 9999,
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_bad_values(value: str) -> None:
    message, remedy = fault("numeric_static_map", {"json": f'{{"3": {value}}}'})
    assert message == "the value of key 3 of the static map is no number from 0 to 18446744073709551615"
    assert remedy == 'Write decimal digits without quotes, e.g. "3": 1.'


@pytest.mark.parametrize("text", ['{"1": 2, "1": 2}', '{"1": 2, "01": 3}', '{"0": 1, "000": 1}'])
def test_a_key_that_is_there_twice(text: str) -> None:
    message, remedy = fault("numeric_static_map", {"json": text})
    assert message.startswith("the static map has key ")
    assert message.endswith(" twice")
    assert remedy == "Remove one."


def test_faults_of_a_file_are_those_of_its_content_and_of_its_reader() -> None:
    assert fault("numeric_static_map", {"json_path": "bad.json"})[0].startswith("the static map is not readable")

    def missing(path: str) -> str:
        raise FileNotFoundError(path)

    with pytest.raises(FileNotFoundError, match=r"x\.json"):
        make_vindex("v", "numeric_static_map", {"json_path": "x.json"}, read_file=missing)


NUMBERS = st.integers(0, 2**64 - 1)


@given(st.dictionaries(NUMBERS, NUMBERS))
def test_every_table_of_numbers_is_read(table: dict[int, int]) -> None:
    vindex = make("numeric_static_map", json=json.dumps(table))
    for key, value in table.items():
        assert vindex.map(key) == value.to_bytes(8, "big")


@given(
    st.sampled_from([*PLAIN, *NOT_YET, "numeric_static_map"]) | st.text(max_size=12),
    st.dictionaries(
        st.sampled_from(["json", "json_path", "fallback_type", "table"]) | st.text(max_size=5),
        st.sampled_from([*PLAIN, "map.json", "bad.json", "{}", '{"1": 2}']) | st.text(max_size=12),
        max_size=3,
    ),
)
def test_anything_else_is_a_vindex_or_a_fault(type: str, params: dict[str, str]) -> None:
    remedy = ""
    try:
        vindex = make_vindex("v", type, params, read_file=lambda path: FILES.get(path, ""))
    except VindexConfigError as error:
        remedy = error.remedy
    else:
        remedy = "none needed"
        assert vindex.type == type
    assert remedy
