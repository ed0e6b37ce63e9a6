"""Text keys without case and accents, against Vitess: chosen texts of many scripts, and whole ranges by digest.

Every expected value here was computed by Vitess 0.24.4 (its vindexes ``unicode_loose_md5`` and
``unicode_loose_xxhash``, built with Go 1.26), apart from the raw weights, which are in its tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgate.errors import KEYSPACE_ID_UNSURE, VgateError
from vgate.vindex.functional import UnicodeLooseXXHash
from vgate.vindex.unicode_loose import _Node, loose_keys

KEYS = loose_keys()
XX = UnicodeLooseXXHash("xx")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Test", "1816164c17f31816"), ("TEST", "1816164c17f31816"), ("Te\u0301st", "1816164c17f31816"),
        ("T\u00e9st", "1816164c17f31816"), ("B\u00e9st", "1605164c17f31816"), ("Test ", "1816164c17f31816"),
        (" Test", "01091816164c17f31816"), ("Test\t", "1816164c17f318160100"),
        ("T\u00e9stLooong", "1816164c17f3181617111771177117711" "74f1691"), ("T", "1816"), ("", ""), ("   ", ""),
    ],
)  # fmt: skip
def test_weights(text: str, key: str) -> None:
    assert KEYS.key(text).hex() == key


# Texts of one key, each list with the XXHash id that Vitess gives it.
EQUAL = {
    # case, accents, compatibility forms
    "2143a97694a4f7ee": ["a", "A", "\u00c5", "A\u030a", "\u212b"],
    "87fdbd2052a4c47f": ["\ufb01", "fi", "FI"],
    "f302c434a3912177": ["\u00df", "ss", "\u017fs"],
    "fd3b673e229bd2db": ["\u2167", "VIII"],
    "fe99b3176f9d0f93": ["\uff11\uff12\uff13", "123"],
    "0e61a94b54c32e19": ["\u00e6", "ae"],
    "16acfac57d803f76": ["\u00f8", "o"],
    "435df7040eb950fa": ["\u03a9", "\u03c9", "\u1f66"],
    "fb859b9f228e27f1": ["e\u0301\u0323", "e\u0323\u0301", "\u1ec7"],
    # contractions: adjacent, across a mark, and a first character that stands alone
    "288982d36ffbfbe5": ["l\u00b7l", "L\u0387L"],
    "66ff743d59f34023": ["\u0140", "\u0142"],
    "296a3e98b1c98078": ["\u0419", "\u0418\u0306", "\u0438\u0323\u0306"],
    "e5cb748cdaf81980": ["\u0418"],
    "3aa7b56bcf2b8a3b": ["\u0451", "\u0435"],
    "9f21b1f34794043a": ["\u0623", "\u0627\u0654"],
    "df85a493f0383e56": ["\u0627"],
    "5031256644e058e7": ["\u0e40\u0e01"],
    "12f9cc972f26bd04": ["\u0e41\u0e21\u0e48"],
    "23865e5116a65c79": ["\u0e81"],
    "0b7c1f42984966ab": ["\u0ec2\u0ea5"],
    "2305f26647cace6b": ["\uaab5\uaa80"],
    "81601cf85eaee6d3": ["\u0f71\u0f72"],
    "b2371455fe32ebf3": ["\u0fb2\u0f71\u0f80"],
    # other scripts, Hangul by its parts, ideographs by their number
    "aa083562d1d0e859": ["\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd"],
    "5b78301ea48a0c81": ["\u30ac", "\u304b\u3099", "\u304c", "\uff76\uff9e"],
    "e5c1de5e7032a3c3": ["\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"],
    "7e59747f968cdf4e": ["\u65e5\u672c\u8a9e"],
    "7b25b4f86b0aca92": ["\u6771\u4eac"],
    "e9e19ac8bdf6999b": ["\u6f22\u0301"],
    "f9844f1bb0cbfd45": ["\u8c48"],
    "9f326052c7d305a5": ["\u0915\u093c"],
    "436cb96d4aaacf0f": ["\U0001f642"],
    "5cde3cbd76bd6ff2": ["\U0001f468\u200d\U0001f469\u200d\U0001f467"],
    "fcc040c98ac7fac3": ["\uffff", "\U0010ffff"],
    "a03af8f78abf2f59": ["\ue000"],
    # blanks and punctuation count, except at the end, and only the plain blank there
    "574a6fb61296004b": ["ab", "a\u00adb", "a\u200bb", "a\0b", "ab  "],
    "8aa8028a925ce26c": ["a-b"],
    "bfb0918791ee9fd0": ["a b"],
    "4c39bab3c0234324": ["a  b"],
    "f9830c87058b58c7": ["a\u00a0", "a\u3000"],
    "c665da12f96dd68c": ["a\t"],
    "cd83d6511fbb1add": ["a \t "],
    "27bfc10ec7ae719f": ["O'Brien"],
    "7f5b835641a419bd": ["\u00c9COLE  DES \t Beaux-Arts"],
}


@pytest.mark.parametrize(("expected", "texts"), EQUAL.items())
def test_chosen_texts(expected: str, texts: list[str]) -> None:
    assert {text: XX.map(text.encode()).hex() for text in texts} == dict.fromkeys(texts, expected)


# -- all of it, by digest -----------------------------------------------------------------------------------------


def digest(texts: Iterable[str]) -> str:
    """SHA-256 over the XXHash ids of all texts whose id can be known."""
    digested = hashlib.sha256()
    for text in texts:
        try:
            digested.update(XX.map(text.encode()))
        except VgateError:
            continue
    return digested.hexdigest()


def test_every_code_point_of_the_first_four_planes() -> None:
    """Planes 0 to 3 hold every entry of the table and every ideograph."""
    code_points = (chr(code) for code in range(0x40000) if not 0xD800 <= code < 0xE000)
    assert digest(code_points) == "8542724c6b61c44f3fb3e2c2a1e7557ba579c01b9ebb307033e9be5b74530056"


def contracted() -> Iterator[str]:
    """Every contraction as it is, and with each of five marks after its first follower's place."""

    def ends(node: _Node, so_far: str) -> Iterator[str]:
        for char, follower in node.next.items():
            yield so_far + char
            yield from ends(follower, so_far + char)

    for first, root in sorted(KEYS._contractions.items()):
        for contraction in ends(root, first):
            yield "a" + contraction
            for mark in "\u0323\u0301\u0345\u093c\u0eb8":
                yield "a" + contraction[0] + mark + contraction[1:]
            yield "a" + contraction + first


def test_every_contraction() -> None:
    assert digest(contracted()) == "b3fa528f912f6500888daadbfadca08e435deda8b9b53b0b00f0475c1d0c33f7"


# -- what cannot be known -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("char", ["\U0002ebe1", "\U000323b0", "\U0002a6e0", "\U00016ff2"])
def test_free_code_points_among_ideographs_are_refused(char: str) -> None:
    with pytest.raises(VgateError) as caught:
        KEYS.key("x" + char)
    assert caught.value.fault is KEYSPACE_ID_UNSURE
    assert f"U+{ord(char):X}" in str(caught.value)


def test_a_tower_of_marks_is_refused_only_where_it_could_hide_a_contraction() -> None:
    classes = "\u0334\u093c\u3099\u05b0\u05b1\u05b2\u05b3\u05b4\u05b5\u05b6\u05b7\u05b8\u05b9\u05bb\u05bc\u05bd"
    with pytest.raises(VgateError, match="VG03001"):
        KEYS.key("\u0418" + classes + "\u0306")
    assert KEYS.key("a" + classes) == KEYS.key("a")
    assert KEYS.key("\u0418" + "\u0323" * 100 + "\u0306") == KEYS.key("\u0418")


# -- properties ---------------------------------------------------------------------------------------------------


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=20))
def test_trailing_blanks_and_case_of_ascii_do_not_count(text: str) -> None:
    assert KEYS.key(text + "  ") == KEYS.key(text)
    folded = "".join(char.lower() if char.isascii() else char for char in text)
    assert KEYS.key(folded) == KEYS.key(text)


@given(st.text(max_size=30))
def test_every_text_has_a_key_or_is_refused(text: str) -> None:
    try:
        assert isinstance(KEYS.key(text), bytes)
    except VgateError as error:
        if error.fault is not KEYSPACE_ID_UNSURE:
            raise


def test_the_table_is_read_once() -> None:
    assert loose_keys() is KEYS
