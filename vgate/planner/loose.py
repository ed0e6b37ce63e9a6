"""Where the ``unicode_loose_*`` vindexes fold at least as much as a column's collation: proofs, as tables.

Such a vindex may find rows by a text only if every text that the collation calls equal has the same key. Over all of
Unicode no case-insensitive collation grants that: to utf8mb4_0900_ai_ci, U+1AB0 is nothing, to Vitess's older weights
it is a character. So there are two alphabets for each family of collations:

1. *sure* characters, of which a literal must consist to be looked for on one shard (ASCII and Latin letters);
2. *refused* characters, which must not be stored: marks and digits of scripts that came after Unicode 6.2, and a few
   letters and signs that stand for Latin letters. Texts that end with another blank than U+0020 are refused too.

Then this holds: of two texts without refused characters that are equal under the collation, if one is all sure, the
keys are equal. It was derived from the weights of every code point on MariaDB 10.11 and MySQL 9, and is proved anew on
the servers at hand by tests/integration/test_loose_on_servers.py. Where every character has one weight, nothing needs
to be refused: there a character is sure only if the whole class of its equals agrees (under utf8mb4_general_ci 's'
equals 'ß', whose key is that of 'ss': no text with an s is sure).

This module does not know columns or literals, nor the tables of rarer collations: those are never sure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from vgate.vindex.unicode_loose import loose_keys


@dataclass(frozen=True, slots=True)
class Folding:
    """The alphabets of a family of collations. ``refused`` is None where nothing has to be."""

    sure: re.Pattern[str]
    refused: re.Pattern[str] | None = None

    def finds(self, text: str) -> bool:
        """True if whatever the collation calls equal to ``text`` has its key."""
        return self.sure.fullmatch(text) is not None

    def admits(self, text: str) -> bool:
        """True if rows with ``text`` do not unsettle what ``finds`` says of other texts."""
        if self.refused is None or (text.isascii() and text.isprintable()):
            return True
        return self.refused.search(text) is None and not _ends_with_a_blank(text)


def _ends_with_a_blank(text: str) -> bool:
    """True if what remains without trailing U+0020 ends, but for characters without weight, with a blank.

    To the collation that blank is a space, and counts no more than one; to the vindex only U+0020 at the end is none.
    """
    keys = loose_keys()
    blank = keys.key(" .").removesuffix(keys.key("."))
    for character in reversed(text.rstrip(" ")):
        if character == " ":
            return True
        key = keys.key(character)
        if key:
            return key == blank
    return False


def _class(ranges: str) -> str:
    """A regular expression's class of characters, from hexadecimal ranges."""
    parts = (part.partition("-") for part in ranges.split())
    return "[" + "".join(f"\\U{first:>08}-\\U{last or first:>08}" for first, _, last in parts) + "]"


# The Unicode Collation Algorithm: versions 4.0, 5.2, 9.0 and 14.0, and whatever is finer (as_ci, as_cs). Not sure among
# the Latin letters are those with a middle dot or an apostrophe in them.
_UCA: Final = Folding(
    re.compile(
        _class(
            "20-7e c0-d6 d8-f6 f8-13e 141-148 14a-17f 18d 1a0-1a1 1af-1b0 1be 1c4-1dc 1de-1e3 1e6-1ed 1f0-1f5 1f8-21b"
            " 21e-21f 226-233"
        )
        + "*"
    ),
    re.compile(
        _class(
            "363-36f 605 61c 6de 7fd 890-891 898-89f 8ca-8e3 8ff 9f4-9f7 9fe afa-aff b55 c00 c04 c3c c81 d00-d01 d81"
            " de6-def 180e-180f 1ab0-1abf 1ac1-1ace 1cf7-1cf9 1dca 1dd3-1dda 1ddc-1ddd 1de0 1de3-1de6 1de8 1deb"
            " 1ded-1dee 1df0-1dfb 2066-2069 20a8 a75a-a75b a79a-a79f a7c0-a7c3 a7d8-a7d9 a7f2-a7f4 a8c5 a9f0-a9f9"
            " fe27-fe2f 102e0-102e9 10780 10783 10787 10790 10795 10799-1079a 107a2 107a5 107ac 10879-1087d"
            " 108a7-108ac 108fb-108fc 109c0-109c8 10a9d 10ae5-10ae6 10aeb-10aec 10ba9-10bac 10cfa-10cfb 10d24-10d27"
            " 10d30-10d39 10eab-10eac 10f1d-10f21 10f46-10f51 10f82-10f85 10fc5-10fc8 110cd 11173 111c9-111cc 111cf"
            " 111e1-111e9 11234 11236-11237 1123e 112df 112e9 112f0-112f9 11300-11303 1133b-1133c 11366-1136c"
            " 11370-11374 11443-11446 11450-11459 1145e 114bf-114c1 114c3 114d0-114d9 115bc-115be 115c0 1163d-1163e"
            " 11640 11650-11659 11730-11739 11837-11838 1183a 118e0-118e9 1193b-1193c 11943 11950-11959 119de-119df"
            " 11a33 11a35-11a39 11a96-11a98 11c3c-11c3e 11c50-11c62 11cb5-11cb6 11d40-11d43 11d50-11d59 11d95-11d96"
            " 11da0-11da9 12456-12457 12469-1246e 13430-13438 16a60-16a69 16ac0-16ac9 16af0-16af4 16b30-16b36"
            " 16b50-16b59 16e80-16e89 16e94-16e96 16fe4 16ff0-16ff1 1bc9d-1bc9e 1bca0-1bca3 1cf00-1cf2d 1cf30-1cf46"
            " 1d2e0-1d2e9 1d372-1d378 1da00-1da36 1da3b-1da6c 1da75 1da84 1da9b-1da9f 1daa1-1daaf 1df00 1e130-1e136"
            " 1e140-1e149 1e2ae 1e2ec-1e2f9 1e8c7-1e8d6 1e944-1e94a 1e950-1e959 1ec71-1ec79 1eca3-1ecab 1ecb1-1ecb2"
            " 1ed01-1ed09 1ed2f-1ed36 1f10b-1f10c 1f16c 1f19b-1f1ac 1fbf0-1fbf9"
        )
    ),
)

# One weight for each character. Not sure: s (as ß), i (as the dotless ı), and all that have their weights.
_GENERAL: Final = Folding(
    re.compile(
        _class(
            "20-48 4a-52 54-68 6a-72 74-7e c0-cb d0-d6 d8-de e0-eb f0-f6 f8-127 132-159 162-17e 1a0-1a1 1af-1b0"
            " 1cd-1ce 1d1-1dc 1de-1e3 1e6-1ed 1f0 1f4-1f5 1f8-207 20c-217 21a-21b 21e-21f 226-233"
        )
        + "*"
    )
)

# Not sure: y (as ü), and [ \ ] (as å ä ö and their like).
_LATIN1_SWEDISH: Final = Folding(re.compile(r"[ -XZ^-xz-~À-ÃÇ-ÕØ-ÛÞ-ãç-õø-ûþÿ]*"))
_LATIN1_GENERAL: Final = Folding(re.compile(r"[ -~À-ÖØ-öø-ÿ]*"))
_ASCII: Final = Folding(re.compile("[ -~]*"))

_UTF8: Final = re.compile(
    r"utf8(?:mb[34])?_(?:(?P<general>general(?:_nopad)?_ci)"
    r"|(?:unicode|unicode_520)(?:_nopad)?_ci|0900_(?:ai_ci|as_ci|as_cs)|uca1400(?:_nopad)?_a[is]_c[is])"
)
_OTHERS: Final = {
    "latin1_swedish_ci": _LATIN1_SWEDISH,
    "latin1_swedish_nopad_ci": _LATIN1_SWEDISH,
    "latin1_general_ci": _LATIN1_GENERAL,
    "latin1_general_cs": _LATIN1_GENERAL,
    "ascii_general_ci": _ASCII,
    "ascii_general_nopad_ci": _ASCII,
}


def folding_of(collation: str) -> Folding | None:
    """The alphabets of a collation, None where there is no proof."""
    if found := _UTF8.fullmatch(collation):
        return _GENERAL if found["general"] else _UCA
    return _OTHERS.get(collation)
