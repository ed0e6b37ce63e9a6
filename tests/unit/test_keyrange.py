"""Key ranges: Vitess's names and partitions, what is said of bad ones, and where a keyspace id belongs.

Digests and tables of ``generate_shard_ranges`` are Vitess 0.24.4's.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.keyrange import (
    COMPLETE,
    MAX_SHARDS,
    KeyRange,
    KeyRangeError,
    ShardMap,
    generate_shard_ranges,
    parse_shard,
    parse_sharding_spec,
)

IDS = st.binary(max_size=3) | st.lists(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), max_size=4).map(bytes)


def stripped(keyspace_id: bytes) -> bytes:
    return keyspace_id.rstrip(b"\0")


# -- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("-", "", ""), ("-80", "", "80"), ("80-", "80", ""), ("40-80", "40", "80"), ("-8000", "", "80"),
        ("00-80", "", "80"), ("0000-8000", "", "80"), ("80-ff", "80", "ff"), ("00-", "", ""), ("C0-Ff", "c0", "ff"),
        ("0080-0100", "0080", "01"), ("-0001", "", "0001"), ("a0a0-a0a1", "a0a0", "a0a1"), ("80-8001", "80", "8001"),
    ],
)  # fmt: skip
def test_names(name: str, start: str, end: str) -> None:
    key_range = parse_shard(name)
    assert key_range == KeyRange(bytes.fromhex(start), bytes.fromhex(end))
    assert str(key_range) == f"{start if stripped(bytes.fromhex(start)) else ''}-{end}"


@pytest.mark.parametrize("name", ["0", "1", "a", "zone1", "80"])
def test_bare_names_have_no_range(name: str) -> None:
    assert parse_shard(name) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty shard name"),
        ("40-80-c0", "invalid shardId, can only contain one '-': 40-80-c0"),
        ("--", "invalid shardId, can only contain one '-': --"),
        ("8-", "encoding/hex: odd length hex string: '8' in shard '8-'"),
        ("40-800", "encoding/hex: odd length hex string: '800' in shard '40-800'"),
        ("-8g", "encoding/hex: invalid byte: U+0067 'g' in shard '-8g'"),
        (" 40-80", "encoding/hex: invalid byte: U+0020 ' ' in shard ' 40-80'"),
        ("-\u0664\u0660", "encoding/hex: invalid byte: U+0664 '\u0664' in shard '-\u0664\u0660'"),
        ("80-40", "out of order keys: 80 is not strictly smaller than 40"),
        ("80-80", "out of order keys: 80 is not strictly smaller than 80"),
        # Vitess lets these names pass, but no id is in such a range.
        ("80-8000", "out of order keys: 80 is not strictly smaller than 8000"),
        ("-00", "out of order keys:  is not strictly smaller than 00"),
        ("00-0000", "out of order keys: 00 is not strictly smaller than 0000"),
    ],
)
def test_bad_names(name: str, message: str) -> None:
    with pytest.raises(KeyRangeError) as caught:
        parse_shard(name)
    assert str(caught.value) == message


def test_ranges_are_equal_without_their_zeros() -> None:
    assert KeyRange(b"", b"\x80") == KeyRange(b"\0", b"\x80\0") != KeyRange(b"", b"\x80\x01")
    assert hash(KeyRange(b"", b"\x80")) == hash(KeyRange(b"\0\0", b"\x80\0\0"))
    assert KeyRange(b"\0", b"") == COMPLETE


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("-80", ["", "00", "7f", "7fffffff"], ["80", "8000", "ff"]),
        ("80-", ["80", "8000", "ff", "ffffffffffffffffff"], ["", "7fff"]),
        ("80-ff", ["80", "fe", "feff"], ["ff", "ff00", "ffff"]),
        ("40-8000", ["40", "4000", "7f"], ["3fff", "80", "8000"]),
        ("0001-0100", ["0001", "00ff"], ["", "00", "0000", "01", "0100"]),
        ("-", ["", "00", "ff"], []),
    ],
)
def test_contains(name: str, inside: list[str], outside: list[str]) -> None:
    key_range = parse_shard(name)
    assert key_range is not None
    assert all(key_range.contains(bytes.fromhex(text)) for text in inside)
    assert not any(key_range.contains(bytes.fromhex(text)) for text in outside)


@given(IDS, IDS, IDS, st.integers(0, 3))
def test_trailing_zeros_do_not_count(start: bytes, end: bytes, keyspace_id: bytes, zeros: int) -> None:
    if end and stripped(start) >= stripped(end):
        return
    key_range = KeyRange(start, end)
    expected = stripped(start) <= stripped(keyspace_id) and (not end or stripped(keyspace_id) < stripped(end))
    assert key_range.contains(keyspace_id) == expected
    assert key_range.contains(keyspace_id + bytes(zeros)) == expected


# -- partitions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["-"], ["-"]), (["0"], ["0"]), (["zone1"], ["zone1"]), (["00-"], ["00-"]),
        (["-80", "80-"], ["-80", "80-"]), (["80-", "-80"], ["-80", "80-"]),
        (["80-C0", "c0-", "40-80", "-40"], ["-40", "40-80", "80-C0", "c0-"]),
        (["-8000", "80-"], ["-8000", "80-"]), (["00-80", "8000-"], ["00-80", "8000-"]),
        (["-80", "80-8001", "8001-"], ["-80", "80-8001", "8001-"]),
    ],
)  # fmt: skip
def test_partitions(names: list[str], ordered: list[str]) -> None:
    shards = ShardMap(names)
    assert list(shards.names) == ordered == [names[position] for position in shards.order]
    assert len(shards) == len(names)
    assert repr(shards) == f"ShardMap({ordered!r})"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no shard in keyspace"),
        (["80-"], "keyspace partition does not start with min key: no shard owns the ids before 80"),
        (["40-80", "80-"], "keyspace partition does not start with min key: no shard owns the ids before 40"),
        (["-80"], "keyspace partition does not end with max key: no shard owns the ids from 80 on"),
        (["-80", "80-ff"], "keyspace partition does not end with max key: no shard owns the ids from ff on"),
        (["-40", "80-"], "non-contiguous KeyRange values at shard -40 to 80-: 40 != 80 (gap)"),
        (["-80", "40-"], "non-contiguous KeyRange values at shard -80 to 40-: 80 != 40 (overlap)"),
        (["-80", "80-", "80-"], "non-contiguous KeyRange values at shard 80- to 80-:  != 80 (overlap)"),
        (["-", "-"], "non-contiguous KeyRange values at shard - to -:  !=  (overlap)"),
        (["-", "80-"], "non-contiguous KeyRange values at shard - to 80-:  != 80 (overlap)"),
        (["-80", "-40", "40-80", "80-"], "non-contiguous KeyRange values at shard -80 to -40: 80 !=  (overlap)"),
        (
            ["0", "80-"],
            "shards with inconsistent KeyRanges: '0' has no range, so it cannot stand beside other shards",
        ),
        (
            ["0", "1"],
            "shards '0' and '1' have no key range: a keyspace of several shards needs names like '-80' and '80-'",
        ),
        (
            ["-80", "80_"],
            "shards with inconsistent KeyRanges: '80_' has no range, so it cannot stand beside other shards",
        ),
        (["-80", "8-"], "encoding/hex: odd length hex string: '8' in shard '8-'"),
        (["-"] * (MAX_SHARDS + 1), "65537 shards are more than the 65536 that a keyspace can have"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_partition(names: list[str], message: str) -> None:
    with pytest.raises(KeyRangeError) as caught:
        ShardMap(names)
    assert str(caught.value) == message


def test_maps_are_values() -> None:
    one, other = ShardMap(["-80", "80-"]), ShardMap(["80-", "-80"])
    assert one == ShardMap(["-80", "80-"])
    assert hash(one) == hash(ShardMap(["-80", "80-"]))
    assert one != other  # the order written differs, and callers index by it
    assert one.__eq__("-80") is NotImplemented


def test_index_of() -> None:
    shards = ShardMap(["80-", "-40", "40-80"])
    assert [shards.index_of(name) for name in ("-40", "40-80", "80-")] == [0, 1, 2]
    assert [shards.index_of(name) for name in ("-4000", "00-40", "4000-80", "8000-")] == [0, 0, 1, 2]
    assert [shards.index_of(name) for name in ("", "-", "0", "-80", "80", "x-", "8-", "80-40", "--")] == [None] * 9


@pytest.mark.parametrize("shard", ["0", "-"])
def test_index_of_the_only_shard(shard: str) -> None:
    shards = ShardMap([shard])
    assert [shards.index_of(name) for name in ("0", "-", "00-")] == [0, 0, 0]
    assert [shards.index_of(name) for name in ("1", "-80", "")] == [None] * 3


def test_a_bare_name_is_found_by_itself_alone() -> None:
    shards = ShardMap(["zone1"])
    assert shards.index_of("zone1") == 0
    assert shards.index_of("-") == 0
    assert shards.index_of("0") is None


def test_exact() -> None:
    shards = ShardMap(["-80", "80-"])
    assert shards.exact(KeyRange(b"\x80\0", b"")) == 1
    assert shards.exact(COMPLETE) is None
    assert ShardMap(["0"]).exact(COMPLETE) == 0


# -- find ---------------------------------------------------------------------------------------------------------


def owners(names: tuple[str, ...], keyspace_id: bytes) -> list[int]:
    """Every shard that holds the id, by trying them all."""
    ranges = [parse_shard(name) for name in names]
    return [index for index, shard in enumerate(ranges) if shard is None or shard.contains(keyspace_id)]


@given(st.lists(IDS.filter(stripped), unique_by=stripped, max_size=12), st.lists(IDS, max_size=20))
def test_find_agrees_with_trying_all(limits: list[bytes], ids: list[bytes]) -> None:
    hexes = ["", *(limit.hex() for limit in sorted(limits, key=stripped)), ""]
    names = [f"{start}-{end}" for start, end in pairwise(hexes)]
    shards = ShardMap(sorted(names, key=lambda name: hashlib.md5(name.encode(), usedforsecurity=False).digest()))
    assert list(shards.names) == names
    for keyspace_id in (*ids, *limits, *(stripped(limit) for limit in limits)):
        assert [shards.find(keyspace_id)] == owners(shards.names, keyspace_id)
        assert shards.find(keyspace_id) == shards.find(keyspace_id + b"\0")


@pytest.mark.parametrize("count", [2, 3, 255, 256, 257, 4096, MAX_SHARDS])
def test_find_at_every_limit(count: int) -> None:
    shards = ShardMap(generate_shard_ranges(count))
    assert len(shards) == count
    for index, name in enumerate(shards.names):
        start = bytes.fromhex(name.partition("-")[0])
        assert shards.find(start) == shards.find(start + bytes(6)) == index
        if start:
            before = (int.from_bytes(start + bytes(6), "big") - 1).to_bytes(len(start) + 6, "big")
            assert shards.find(before) == index - 1
    assert shards.find(b"\xff" * 8) == count - 1


# -- names of equal shards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (1, "-"), (2, "-80 80-"), (3, "-55 55-aa aa-"), (4, "-40 40-80 80-c0 c0-"),
        (7, "-24 24-49 49-6d 6d-92 92-b6 b6-db db-"), (8, "-20 20-40 40-60 60-80 80-a0 a0-c0 c0-e0 e0-"),
    ],
)  # fmt: skip
def test_generated_names(count: int, names: str) -> None:
    assert " ".join(generate_shard_ranges(count)) == names


@pytest.mark.parametrize(
    ("count", "digest", "first", "last"),
    [
        (49, "0791b4dba3858b08", "-05", "fa-"), (103, "6a5829458be12125", "-02", "fd-"),
        (107, "c6da38750450830e", "-02", "fd-"), (256, "84bb79493ac879d0", "-01", "ff-"),
        (257, "b74cf0cca72669f3", "-00ff", "ff00-"), (512, "ac4dcdfd5208c279", "-0080", "ff80-"),
        (1000, "3a88cd4566fcdae6", "-0041", "ffbe-"), (65536, "03df444d7e5194a5", "-0001", "ffff-"),
    ],
)  # fmt: skip
def test_many_generated_names_are_vitess(count: int, digest: str, first: str, last: str) -> None:
    names = generate_shard_ranges(count)
    assert (len(names), names[0], names[-1]) == (count, first, last)
    assert hashlib.sha256(" ".join(names).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("count", "width", "names"),
    [
        (2, 4, "-8000 8000-"), (7, 2, "-24 24-49 49-6d 6d-92 92-b6 b6-db db-"),
        (7, 4, "-2492 2492-4924 4924-6db6 6db6-9249 9249-b6db b6db-db6d db6d-"),
        (8, 4, "-2000 2000-4000 4000-6000 6000-8000 8000-a000 a000-c000 c000-e000 e000-"),
    ],
)  # fmt: skip
def test_generated_names_of_a_width(count: int, width: int, names: str) -> None:
    assert " ".join(generate_shard_ranges(count, width)) == names


@pytest.mark.parametrize(
    ("count", "width", "message"),
    [
        (0, 0, "shards must be greater than zero"),
        (-1, 0, "shards must be greater than zero"),
        (65537, 0, "this function does not support more than 65536 shards in a single keyspace"),
        (257, 2, "the given number of shards (257) is too large for limits of 2 hex digits"),
        # Vitess generates these, and cannot read them back.
        (7, 1, "the hex width of shard limits must be even: 1"),
        (7, 3, "the hex width of shard limits must be even: 3"),
        (7, -2, "the hex width of shard limits must be even: -2"),
    ],
)
def test_names_that_cannot_be_generated(count: int, width: int, message: str) -> None:
    with pytest.raises(KeyRangeError) as caught:
        generate_shard_ranges(count, width)
    assert str(caught.value) == message


@given(st.integers(1, 1500))
def test_generated_names_are_an_even_partition(count: int) -> None:
    shards = ShardMap(generate_shard_ranges(count))
    assert len(shards) == count
    limits = [int((name.partition("-")[2] or "10000").ljust(4, "0"), 16) for name in shards.names]
    sizes = {high - low for low, high in pairwise([0, *limits])}
    assert max(sizes) - min(sizes) <= (256 if count <= 256 else 1)


# -- specs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "ranges"),
    [
        ("0", "-"), ("-", "-"), ("-80-", "-80 80-"), ("-40-80-c0-", "-40 40-80 80-c0 c0-"), ("40-80", "40-80"),
        ("-80", "-80"), ("80-", "80-"), ("-C0-", "-c0 c0-"), ("-4000-80-", "-40 40-80 80-"),
    ],
)  # fmt: skip
def test_specs(spec: str, ranges: str) -> None:
    assert " ".join(map(str, parse_sharding_spec(spec))) == ranges


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", 'malformed spec: doesn\'t define a range: ""'),
        ("x", 'malformed spec: doesn\'t define a range: "x"'),
        ("--", 'malformed spec: MinKey/MaxKey cannot be in the middle of the spec: "--"'),
        ("-40--80-", 'malformed spec: MinKey/MaxKey cannot be in the middle of the spec: "-40--80-"'),
        ("-80-40-", 'malformed spec: shard limits should be in order: "-80-40-"'),
        ("-40-40-", 'malformed spec: shard limits should be in order: "-40-40-"'),
        ("-40-4000-", 'malformed spec: shard limits should be in order: "-40-4000-"'),
        ("-4-", "encoding/hex: odd length hex string: '4' in shard '-4-'"),
        ("-zz-", "encoding/hex: invalid byte: U+007A 'z' in shard '-zz-'"),
    ],
)
def test_bad_specs(spec: str, message: str) -> None:
    with pytest.raises(KeyRangeError) as caught:
        parse_sharding_spec(spec)
    assert str(caught.value) == message
