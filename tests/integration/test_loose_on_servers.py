"""The proof behind ``planner.loose``, from the weights of every character on the servers at hand.

For each collation: ``W`` of a character is what WEIGHT_STRING gives for its first level, a sequence of units; ``K`` is
its key to the ``unicode_loose_*`` vindexes. Let ``h`` map the units of the sure characters to keys. Shown is that every
character that is made of those units and not refused has ``K = h(W)``; that neither W nor K of a text of such
characters is other than the sequence of its characters' own; and that no other blank than U+0020 ends a text that is
admitted. So a text that is equal to a sure one has its key: both are h of the same units.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from typing import Any

import pymysql
import pytest

from tests.fix_servers import Server
from vgate.errors import VgateError
from vgate.planner.loose import Folding, folding_of
from vgate.vindex.unicode_loose import loose_keys

DATABASE = "vgate_loose"
FIRST_LEVEL = {
    "mysql": ("utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci", "utf8mb4_0900_ai_ci"),
    "mariadb": ("utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci", "utf8mb4_uca1400_ai_ci"),
}
FINER: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "mysql": {"utf8mb4_0900_ai_ci": ("utf8mb4_0900_as_ci", "utf8mb4_0900_as_cs")},
    "mariadb": {
        "utf8mb4_general_ci": ("utf8mb4_general_nopad_ci",),
        "utf8mb4_unicode_ci": ("utf8mb4_unicode_nopad_ci",),
        "utf8mb4_unicode_520_ci": ("utf8mb4_unicode_520_nopad_ci",),
        "utf8mb4_uca1400_ai_ci": tuple(
            f"utf8mb4_uca1400_{pad}{rest}"
            for pad in ("", "nopad_") for rest in ("ai_ci", "ai_cs", "as_ci", "as_cs") if pad or rest != "ai_ci"
        ),
    },
}  # fmt: skip
SMALL = ("latin1_swedish_ci", "latin1_general_ci", "latin1_general_cs", "ascii_general_ci")
SURROGATES = range(0xD800, 0xE000)

Weights = Mapping[str, tuple[bytes, ...]]


@pytest.fixture
def connection(plain: Server) -> Iterator[pymysql.Connection[Any]]:
    with closing(plain.connect()) as connection:
        run(connection, f"drop database if exists {DATABASE}")
        run(connection, f"create database {DATABASE}")
        run(connection, f"use {DATABASE}")
        yield connection
        run(connection, f"drop database {DATABASE}")


def run(connection: pymysql.Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


@cache
def key_of(character: str) -> bytes | None:
    """K; None where Vitess's own is not certain. Of a lone space it is what it gives inside a text."""
    keys = loose_keys()
    try:
        return keys.key(character) if character != " " else keys.key(" .").removesuffix(keys.key("."))
    except VgateError:
        return None


def units(weight: bytes) -> tuple[bytes, ...]:
    """Two bytes each, but for the pairs that ideographs and unassigned characters get."""
    found = []
    at = 0
    while at < len(weight):
        size = 4 if weight[at] == 0xFB else 2
        found.append(weight[at : at + size])
        at += size
    return tuple(found)


# -- the steps of the proof ---------------------------------------------------------------------------------------


def sure_units(weights: Weights, folding: Folding) -> dict[bytes, bytes]:
    """``h``: the key of each unit that sure characters are made of."""
    found: dict[bytes, bytes] = {}
    several: list[str] = []
    for character, weight in weights.items():
        if folding.finds(character):
            key = key_of(character)
            assert key
            assert weight
            if len(weight) > 1:
                several.append(character)
            else:
                assert found.setdefault(weight[0], key) == key, f"{character!r} differs from an equal one"
    for character in several:
        assert set(weights[character]) <= set(found), f"{character!r} has a unit of its own"
    return found


def made_of(weights: Weights, h: Mapping[bytes, bytes], folding: Folding) -> list[str]:
    """The characters that a text equal to a sure one may have; each is checked to have ``K = h(W)``."""
    found = []
    for character, weight in weights.items():
        if not all(unit in h for unit in weight):
            continue
        if folding.refused is not None and folding.refused.search(character):
            continue
        assert key_of(character) == b"".join(h[unit] for unit in weight), f"U+{ord(character):04X}"
        found.append(character)
    return found


def check_keys_of_texts(characters: list[str]) -> None:
    """K of a text is its characters' own, in order, whatever stands beside them."""
    keys = loose_keys()
    marks = [one for one in characters if not key_of(one)]
    pieces = random.Random(3)
    around = [*"alL sz", *pieces.sample(marks, min(60, len(marks)))]
    for character in characters:
        for other in around:
            for text in (character + other + ".", other + character + "."):
                expected = b"".join(key_of(one) or b"" for one in text)
                assert keys.key(text) == expected, [hex(ord(one)) for one in text]
    for _ in range(100_000):
        text = "".join(pieces.choices(characters, k=5)) + "."
        assert keys.key(text) == b"".join(key_of(one) or b"" for one in text), [hex(ord(one)) for one in text]


def check_blanks(weights: Weights, characters: list[str], folding: Folding) -> None:
    (space,) = weights[" "]
    for character in characters:
        if character != " " and space in weights[character]:
            assert weights[character] == (space,)
            assert not folding.finds(character)
            assert not any(folding.admits(f"a{character}{after}") for after in ("", " ", "\u00ad", "\u0301 "))
    if folding.refused is not None:
        assert not folding.admits("a \u0301")
        assert folding.admits("a\u0301 ")


# -- all of Unicode -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_unicode_collations(connection: pymysql.Connection[Any], plain: Server) -> None:
    flavour = str(plain.flavour)
    create_characters(connection)
    for collation in FIRST_LEVEL[flavour]:
        rows = run(connection, f"select cast(c as binary), weight_string(c collate {collation}) from characters")
        weights = {cell.decode("utf-8"): units(weight) for cell, weight in rows}
        assert len(weights) == 0x110000 - len(SURROGATES)
        folding = folding_of(collation)
        assert folding is not None
        h = sure_units(weights, folding)
        characters = made_of(weights, h, folding)
        assert len(characters) > 500
        check_keys_of_texts(characters)
        check_blanks(weights, characters, folding)
        assert has_no_contractions(connection, collation, characters)
        for finer in FINER[flavour].get(collation, ()):
            assert folding_of(finer) == folding
            check_finer(connection, collation, finer)
    assert not has_no_contractions(connection, "utf8mb4_czech_ci", ["c", "h"]), "contractions are not seen"


def create_characters(connection: pymysql.Connection[Any]) -> None:
    run(connection, "create table digits (n int)")
    run(connection, "insert into digits values " + ",".join(f"({n})" for n in range(32)))
    run(connection, "create table characters (c varchar(1) character set utf8mb4 collate utf8mb4_bin)")
    run(
        connection,
        "insert into characters select convert(convert(unhex(lpad(hex(u), 8, '0')) using utf32) using utf8mb4) from"
        " (select a.n + 32 * b.n + 1024 * c.n + 32768 * d.n + 1048576 * e.n as u"
        " from digits a, digits b, digits c, digits d, digits e where e.n < 2) as every"
        f" where u < 0x110000 and u not between {SURROGATES[0]} and {SURROGATES[-1]}",
    )


def has_no_contractions(connection: pymysql.Connection[Any], collation: str, characters: list[str]) -> bool:
    """True if W of any two of the characters side by side is W of the one and W of the other.

    No contraction of these collations has more than two characters but those of scripts that are not among them.
    """
    run(connection, "drop table if exists some")
    run(connection, f"create table some (c varchar(1) character set utf8mb4 collate {collation}, w varbinary(64))")
    for start in range(0, len(characters), 2000):
        part = ",".join(f"(_utf8mb4 x'{one.encode().hex()}', '')" for one in characters[start : start + 2000])
        run(connection, f"insert into some values {part}")
    run(connection, "update some set w = weight_string(c)")
    ((count, pairs),) = run(
        connection,
        "select sum(weight_string(concat(a.c, b.c)) <> concat(a.w, b.w)), count(*) from some a, some b",
    )
    assert pairs == len(characters) ** 2
    return not count


def check_finer(connection: pymysql.Connection[Any], collation: str, finer: str) -> None:
    """What is equal under ``finer`` is equal under ``collation``: its first level is the same."""
    coarse, fine = (f"weight_string(c collate {name})" for name in (collation, finer))
    ((count,),) = run(
        connection, f"select count(*) from characters where not left({fine}, length({coarse})) <=> {coarse}"
    )
    assert count == 0, finer


# -- one byte for each character ----------------------------------------------------------------------------------


@pytest.mark.parametrize("collation", SMALL)
def test_small_collations(connection: pymysql.Connection[Any], collation: str) -> None:
    charset = collation.partition("_")[0]
    rows = [
        run(
            connection,
            f"select cast(convert(_{charset} x'{byte:02x}' using utf8mb4) as binary),"
            f" weight_string(_{charset} x'{byte:02x}' collate {collation})",
        )[0]
        for byte in range(128 if charset == "ascii" else 256)
    ]
    weights = {cell.decode("utf-8"): (weight,) for cell, weight in rows}
    folding = folding_of(collation)
    assert folding is not None
    assert folding.refused is None
    characters = made_of(weights, sure_units(weights, folding), folding)
    check_keys_of_texts(characters)
    check_blanks(weights, characters, folding)


# -- what values.py says of all collations ------------------------------------------------------------------------


def test_no_collation_takes_digits_for_each_other(connection: pymysql.Connection[Any]) -> None:
    texts = [*map(str, range(10)), "10", "11", "12", "100", "1\t0", " 10", " 12", "2 ", "\t3"]
    pairs = [(one, other) for one in texts for other in texts if one.split() != other.split()]
    collations = run(connection, "select collation_name, character_set_name from information_schema.collations")
    tried = 0
    for collation, charset in collations:
        if collation is None or charset is None or collation == "binary":
            continue
        equal = ", ".join(
            f"convert(_utf8mb4'{one}' using {charset}) collate {collation} = convert(_utf8mb4'{other}' using {charset})"
            for one, other in pairs
        )
        (found,) = run(connection, f"select {equal}")
        assert not any(found), [pair for pair, same in zip(pairs, found, strict=True) if same]
        tried += 1
    assert tried > 150
