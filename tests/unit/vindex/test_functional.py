"""Functional vindexes against Vitess: its own vectors, what its parser of numbers takes, and what NULL becomes.

Vectors are those of Vitess's tests, or were computed by Vitess 0.24.4 itself.
"""

from __future__ import annotations

import struct
from hashlib import md5

import pytest
from Crypto.Cipher import DES
from hypothesis import given
from hypothesis import strategies as st

from vgate.errors import INVALID_UTF8, KEYSPACE_ID_UNSURE, VgateError
from vgate.keyrange import ShardMap
from vgate.vindex import functional
from vgate.vindex.base import Value, Vindex
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

HASH = Hash("hash")
NUMERIC = Numeric("numeric")
REVERSE = ReverseBits("reverse")
BINARY = Binary("binary")
MD5 = BinaryMD5("md5")
XX = XXHash("xx")
NULL = Null("null")
LOOSE_MD5 = UnicodeLooseMD5("loose_md5")
LOOSE_XX = UnicodeLooseXXHash("loose_xx")
STATIC = NumericStaticMap("static", {1: 1, 3: 2})

ALL: tuple[Vindex, ...] = (HASH, NUMERIC, REVERSE, BINARY, MD5, XX, NULL, LOOSE_MD5, LOOSE_XX, STATIC)
OF_NUMBERS: tuple[Vindex, ...] = (HASH, NUMERIC, REVERSE, STATIC)

UINT64 = st.integers(0, 2**64 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)


def hexed(vindex: Vindex, value: Value) -> str | None:
    keyspace_id = vindex.map(value)
    return None if keyspace_id is None else keyspace_id.hex()


def by_type(vindex: Vindex) -> str:
    return vindex.type


# -- what they say of themselves ----------------------------------------------------------------------------------


def test_costs_and_kinds_are_vitess() -> None:
    assert {(v.type, v.cost, v.takes_text) for v in ALL} == {
        ("binary", 0, True), ("numeric", 0, False), ("hash", 1, False), ("binary_md5", 1, True), ("xxhash", 1, True),
        ("reverse_bits", 1, False), ("unicode_loose_md5", 1, True), ("unicode_loose_xxhash", 1, True),
        ("null", 100, False), ("numeric_static_map", 1, False),
    }  # fmt: skip
    assert all(v.unique for v in ALL)
    assert [v.name for v in ALL[:3]] == ["hash", "numeric", "reverse"]


@pytest.mark.parametrize("vindex", ALL, ids=by_type)
def test_they_are_plain_values(vindex: Vindex) -> None:
    assert isinstance(hash(vindex), int)
    assert len(repr(vindex)) < 100
    with pytest.raises(AttributeError):
        vindex.name = "other"  # type: ignore[misc]


def test_equality_is_of_type_and_parameters() -> None:
    assert Hash("a") == Hash("a") != Hash("b")
    assert len({Numeric("a"), ReverseBits("a"), Hash("a"), Hash("b")}) == 4
    assert len({UnicodeLooseMD5("a"), UnicodeLooseMD5("a"), UnicodeLooseXXHash("a")}) == 2
    assert NumericStaticMap("a", {1: 2}) == NumericStaticMap("a", {1: 2}) != NumericStaticMap("a", {1: 3})
    assert NumericStaticMap("a", {1: 2}, HASH) != NumericStaticMap("a", {1: 2})


# -- hash ---------------------------------------------------------------------------------------------------------

HASHES = {
    0: "8ca64de9c1b123a7", 1: "166b40b44aba4bd6", 2: "06e7ea22ce92708f", 3: "4eb190c9a2fa169c", 4: "d2fd8867d50d2dfe",
    5: "70bb023c810ca87a", 6: "f098480ac4c4be71", 7: "fb8baaad918119b8", 8: "cc083f1e6d9e85f6", 9: "692bb9bf752b0f58",
    10: "594764e1a2b2d98e", 100: "83aab1569cbe1b08", 255: "254e882e6597f41d", 256: "dd7c0bbd61fafd54",
    1000: "1f7db68037e0ff5a", 65536: "8dd45a2ddf90796c", -1: "355550b2150e2451", 2**64 - 1: "355550b2150e2451",
    2**63 - 1: "f77d48aadda1f1bb", -(2**63): "95f8a5e5dd31d900", 2**63: "95f8a5e5dd31d900",
}  # fmt: skip


@pytest.mark.parametrize(("number", "expected"), HASHES.items())
def test_hash(number: int, expected: str) -> None:
    assert hexed(HASH, number) == expected
    text = str(number).encode()
    assert hexed(HASH, text) == (expected if number >= 0 else None)


def test_hash_has_no_id_for_null_and_for_what_64_bits_do_not_hold() -> None:
    assert [HASH.map(value) for value in (None, 2**64, -(2**63) - 1, 10**30, -(10**30))] == [None] * 5


def test_two_shards() -> None:
    shards = ShardMap(["-80", "80-"])
    placed: dict[str, list[int]] = {"-80": [], "80-": []}
    for number in range(14):
        keyspace_id = HASH.map(number)
        assert keyspace_id is not None
        placed[shards.names[shards.find(keyspace_id)]].append(number)
    assert placed == {"-80": [1, 2, 3, 5, 9, 10, 13], "80-": [0, 4, 6, 7, 8, 11, 12]}


@given(UINT64)
def test_hash_is_a_bijection(number: int) -> None:
    keyspace_id = HASH.map(number)
    assert keyspace_id is not None
    assert len(keyspace_id) == 8
    assert DES.new(bytes(8), DES.MODE_ECB).decrypt(keyspace_id) == struct.pack(">Q", number)


@given(INT64)
def test_hash_takes_signed_integers_by_their_bits(number: int) -> None:
    assert HASH.map(number) == HASH.map(number % 2**64)


@given(st.binary(min_size=8, max_size=8))
def test_both_libraries_encrypt_alike(block: bytes) -> None:
    assert functional._des_of_pycryptodome()(block) == functional._des_of_one_block()(block)


# -- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, "8000000000000000"), (2, "4000000000000000"), (3, "c000000000000000"), (4, "2000000000000000"),
        (5, "a000000000000000"), (6, "6000000000000000"), (0, "0000000000000000"), (2**63, "0000000000000001"),
        (2**64 - 1, "ffffffffffffffff"), (256, "0080000000000000"), (0x0123456789ABCDEF, "f7b3d591e6a2c480"),
    ],
)  # fmt: skip
def test_reverse_bits(number: int, expected: str) -> None:
    assert hexed(REVERSE, number) == expected


@given(UINT64)
def test_numeric_is_the_number_and_reverse_bits_its_mirror(number: int) -> None:
    assert hexed(NUMERIC, number) == f"{number:016x}"
    mirrored = REVERSE.map(number)
    assert mirrored is not None
    assert f"{int.from_bytes(mirrored, 'big'):064b}" == f"{number:064b}"[::-1]


@pytest.mark.parametrize("vindex", [NUMERIC, REVERSE, STATIC, NumericStaticMap("s", {}, HASH)], ids=repr)
@pytest.mark.parametrize("value", [-1, -(2**63), 2**64, -(10**30), None])
def test_numbers_without_a_keyspace_id(vindex: Vindex, value: Value) -> None:
    assert vindex.map(value) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"10", 10), (b" 10 ", 10), (b"\t 10\t\t", 10), (b"010", 10), (b"000", 0), (b"0" * 40 + b"7", 7),
        (b"18446744073709551615", 2**64 - 1), (b"0018446744073709551615", 2**64 - 1),
        (b"18446744073709551616", None), (b"99999999999999999999", None), (b"184467440737095516150", None),
        (b"", None), (b" ", None), (b"-1", None), (b"-0", None), (b"+1", None), (b"1.0", None), (b"1.1", None),
        (b"1e3", None), (b"0x10", None), (b"1_0", None), (b"1 0", None), (b"abc", None), (b"10a", None),
        (b"10\n", None), (b"\n10", None), (b"10\0", None), (b"\x0b10", None), (b"10\xc2\xa0", None), (b"\xff", None),
        ("\N{ARABIC-INDIC DIGIT ONE}".encode(), None), (b"\0\0\0\0\0\0\0\n", None),
    ],
)  # fmt: skip
def test_numbers_as_text(text: bytes, number: int | None) -> None:
    for vindex in OF_NUMBERS:
        assert vindex.map(text) == (None if number is None else vindex.map(number))


@given(UINT64, st.sampled_from(["{}", " {}", "{}\t ", "00{}"]))
def test_a_number_and_its_text_are_one_id(number: int, form: str) -> None:
    for vindex in OF_NUMBERS:
        assert vindex.map(form.format(number).encode()) == vindex.map(number) is not None


@given(st.binary(max_size=24) | st.text(" \t0123456789+-.", max_size=24).map(str.encode))
def test_any_text_is_a_number_or_is_not(text: bytes) -> None:
    digits = text.strip(b" \t")
    is_number = digits.isdigit() and int(digits) < 2**64
    for vindex in OF_NUMBERS:
        assert (vindex.map(text) is not None) == is_number


# -- the static map -----------------------------------------------------------------------------------------------


def test_static_map_of_vitess_tests() -> None:
    numbers = [1, 2, 3, 4, 5, 6, 7, 8]
    assert [hexed(STATIC, n) for n in numbers] == [f"{n:016x}" for n in [1, 2, 2, 4, 5, 6, 7, 8]]
    assert [STATIC.map(value) for value in (b"1.1", None)] == [None, None]


def test_static_map_to_zero_is_a_mapping() -> None:
    assert hexed(NumericStaticMap("s", {5: 0}, HASH), 5) == "0000000000000000"


def test_static_map_falls_back() -> None:
    vindex = NumericStaticMap("s", {1: 2}, HASH)
    assert hexed(vindex, 1) == hexed(vindex, b" 1 ") == "0000000000000002"
    assert hexed(vindex, 3) == hexed(vindex, b"03") == HASHES[3]
    assert vindex.map(-3) is None  # though hash alone has an id for it
    assert not vindex.takes_text


def test_static_map_with_a_fallback_of_text() -> None:
    vindex = NumericStaticMap("s", {1: 2}, XX)
    assert vindex.takes_text
    assert vindex.map(3) == vindex.map(b"3") == XX.map(b"3")
    assert vindex.map(b" 3") == XX.map(b" 3") != vindex.map(3)
    assert vindex.map(b"abc") is vindex.map(None) is None


# -- bytes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"test1", "d01ab7e4d6978f0b"), (b"test2", "87eb11714c0a0e89"),
        (b"testaverylongvaluetomakesurethisworks", "81d8c38e0d850e6a"), (1, "d46405367612b4b7"),
        (b"1", "d46405367612b4b7"), (-1, "d8e2a6a7c8c7623d"), (2**64 - 1, "477cfa8d6d8f1f8d"),
        (2**63 - 1, "b37eb01f7bffafd8"), (-(2**63), "102c27ddb26a609e"), (None, "99e9d85137db46ef"),
        (b"", "99e9d85137db46ef"),
    ],
)  # fmt: skip
def test_xxhash(value: Value, expected: str) -> None:
    assert hexed(XX, value) == expected


def test_xxhash_is_of_the_text_as_it_is() -> None:
    assert len({XX.map(text) for text in (b"1", b"01", b" 1", b"1 ", b"1.0")}) == 5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"test1", "5a105e8b9d40e1329780d62ea2265d8a"), (b"TEST", "033bd94b1168d7e4f0d644c3c95e35bf"),
        (b"Test", "0cbc6611f5540bd0809a388dc95a615b"), (None, "d41d8cd98f00b204e9800998ecf8427e"),
        (7, md5(b"7").hexdigest()), (b"\xff\0", md5(b"\xff\0").hexdigest()),
    ],
)  # fmt: skip
def test_binary_md5(value: Value, expected: str) -> None:
    assert hexed(MD5, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"test1", b"test1"), (b"\xff\0", b"\xff\0"), (b"a ", b"a "), (12, b"12"), (-5, b"-5"), (b"", b""), (None, b"")],
)
def test_binary(value: Value, expected: bytes) -> None:
    assert BINARY.map(value) == expected


@pytest.mark.parametrize("value", [None, 0, -1, 10**30, b"", b"x"])
def test_null(value: Value) -> None:
    assert NULL.map(value) == b"\0"


# -- loose text ---------------------------------------------------------------------------------------------------

TEST = ("0b5edbb401fd7524393690491d64f1f5", "42d21361087a4c07")
LOOSE = {
    "Test": TEST, "TEST": TEST, "Te\u0301st": TEST, "T\u00e9st": TEST, "Test ": TEST,
    "B\u00e9st": ("c2b2332e4f73d00741026249706f2fb6", "926975b9ce2ec316"),
    "T\u00e9stLooong": ("9683e12b80430cd453f5dfdfba81c9a5", "d3ea873942b484a7"),
    "T": ("ac0f9179f51db87fe8ecc0cf40cab97a", "f81c3be2d501fe18"),
    " Test": ("a2e3515c7e8df1ffd2ccfc11c6b19dd1", None),
    "Test\t": ("82456dd87a9c7a02b1c2056b5abaa272", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LOOSE.items())
def test_unicode_loose(text: str, expected: tuple[str, str | None]) -> None:
    assert hexed(LOOSE_MD5, text.encode()) == expected[0]
    assert expected[1] in (None, hexed(LOOSE_XX, text.encode()))


def test_unicode_loose_of_null_and_numbers() -> None:
    assert hexed(LOOSE_MD5, None) == hexed(LOOSE_MD5, b"") == md5(b"").hexdigest()
    assert hexed(LOOSE_XX, None) == hexed(LOOSE_XX, b"   ") == "99e9d85137db46ef"
    assert hexed(LOOSE_XX, -1) == hexed(LOOSE_XX, b"-1") == "01887373ec3eca63"
    assert hexed(LOOSE_MD5, 2**64 - 1) == "acc426fca6622ad7438460267dd83ce6"


@pytest.mark.parametrize("vindex", [LOOSE_MD5, LOOSE_XX], ids=by_type)
@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\xffA", r'"\xffA"'), (b"a\xed\xa0\x80", r'"a\xed\xa0\x80"'), (b"\xc0\x80", r'"\xc0\x80"'),
        (b'"\n\\\xff', r'"\"\n\\\xff"'), (b"\xf4\x90\x80\x80", r'"\xf4\x90\x80\x80"'), ("é".encode()[:1], r'"\xc3"'),
        (b"a" * 100 + b"\xff", '"' + "a" * 64 + '"... (101 bytes)'),
    ],
)  # fmt: skip
def test_unicode_loose_refuses_what_is_no_utf8(vindex: Vindex, data: bytes, shown: str) -> None:
    with pytest.raises(VgateError) as caught:
        vindex.map(data)
    assert caught.value.errno == 1105
    assert str(caught.value) == f"cannot normalize string containing invalid UTF-8: {shown}"


@given(st.none() | st.integers() | st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_every_value_has_an_answer(value: Value) -> None:
    for vindex in (*OF_NUMBERS, BINARY, MD5, XX, NULL):
        assert vindex.map(value) is None or isinstance(vindex.map(value), bytes)
    for loose in (LOOSE_MD5, LOOSE_XX):
        try:
            loose.map(value)
        except VgateError as error:
            if error.fault not in (INVALID_UTF8, KEYSPACE_ID_UNSURE):
                raise
