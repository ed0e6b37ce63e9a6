"""Text keys that ignore case, accents and width: what Vitess's ``unicode_loose_*`` vindexes hash.

The key of a text is the sequence of its primary weights in the root collation of CLDR 23 (Unicode 6.2), as Go's
``golang.org/x/text/collate`` holds it and Vitess copied it: two bytes for a weight up to 7fff, three for a higher
one. Trailing spaces do not count, other blanks and punctuation do. Text is not normalised first; that library orders
the weights as if it had been, by rules of its own, and the key is the outcome of exactly those rules:

1. A character gives a *block* of elements, each with its weight's bytes (often none) and a combining class.
2. The longest known contraction (``L·``, a Thai vowel before its consonant) gives one block instead; marks
   in between whose class does not block it are skipped, and their elements follow in the same block.
3. A block that starts with a class above 0 moves left over the elements of higher class before it, but at least by
   one, and only within the last 30 elements since one of class 0.
4. Hangul syllables are their jamos. A character without an entry weighs its code point plus an offset,
   which is another one for ideographs.

``data/root_collation.z`` is zlib over text in five sections: ``weights`` (code point as the difference to the one
before, elements ``weight[.class]`` in hex and decimal, the first weight again a difference), ``contractions``
(characters ``|`` elements), ``marks`` (range, first and last combining class of the canonical decomposition),
``ideographs`` and ``doubtful`` (ranges). It was derived by a Go program that walked the table of x/text 0.44 for
every code point and followed its contraction trie, with Unicode 15.0's combining classes and ideographs, which are
what Vitess is built with.

Doubtful are the code points that Unicode 15.0 leaves free where ideographs live: their weight depends on the Go
release that built Vitess. They raise rather than be placed on a guess. This module does not know hashing or shards.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from vgate.errors import KEYSPACE_ID_UNSURE

_DATA = Path(__file__).with_name("data") / "root_collation.z"

_LONGEST_SEGMENT = 30
# Beyond some 30 marks the library inserts boundaries of its own into a search for a contraction. Half of that is
# already text that nobody writes.
_LONGEST_GAP = 14

_FIRST_HANGUL, _LAST_HANGUL = 0xAC00, 0xD7A3
_LEADS, _VOWELS, _TAILS = 0x1100, 0x1161, 0x11A7
_VOWEL_COUNT, _TAIL_COUNT = 21, 28


class Element(NamedTuple):
    """One collation element, as far as the first level needs it."""

    weight: bytes
    ccc: int


Block = tuple[Element, ...]


class _Node:
    """A step into a contraction: what it gives if it ends here, and how it may go on."""

    __slots__ = ("block", "next")

    def __init__(self) -> None:
        self.block: Block | None = None
        self.next: dict[str, _Node] = {}


class LooseKeys:
    """The root collation, ready to make keys. One instance serves the process: see ``loose_keys``."""

    __slots__ = ("_blocks", "_contractions", "_doubtful", "_ideographs", "_intricate", "_marks", "_weights")

    def __init__(self, text: str) -> None:
        """Read the content of the data file."""
        lines = iter(text.splitlines())
        next(lines)
        self._weights: dict[str, bytes] = {}
        self._blocks: dict[str, Block] = {}
        self._read_weights(takewhile(lambda line: line != "contractions", lines))
        self._contractions = _read_contractions(takewhile(lambda line: line != "marks", lines))
        self._marks = _read_marks(takewhile(lambda line: line != "ideographs", lines))
        self._ideographs = [_range(line) for line in takewhile(lambda line: line != "doubtful", lines)]
        self._doubtful = [_range(line) for line in lines]
        self._intricate = self._pattern_of_intricate()

    def key(self, text: str) -> bytes:
        """The bytes that stand for ``text``. Raises KEYSPACE_ID_UNSURE for the few that cannot be known."""
        text = text.rstrip(" ")
        if not text.isascii() and self._intricate.search(text) is not None:
            return b"".join([element.weight for element in _in_order(self._split(text))])
        try:
            weights = self._weights
            return b"".join([weights[char] for char in text])
        except KeyError:
            return b"".join([element.weight for char in text for element in self._block(char)])

    def _split(self, text: str) -> Iterator[Block]:
        position = 0
        while position < len(text):
            block, position = self._take(text, position)
            yield block

    def _take(self, text: str, start: int) -> tuple[Block, int]:
        """The block that begins at ``start``, and where the next one does."""
        node = self._contractions.get(text[start])
        if node is None:
            return self._block(text[start]), start + 1
        return self._contraction(node, text, start)

    def _contraction(self, root: _Node, text: str, start: int) -> tuple[Block, int]:
        """The longest contraction of ``root``'s character, at ``start`` in ``text``; at least that character itself.

        Its characters must follow each other, or stand behind marks of rising class that end before theirs.
        """
        position = start + 1
        best, end, best_skipped = self._block(text[start]), position, ""
        node = root
        while position < len(text) and (follower := node.next.get(text[position])) is not None:
            node, position = follower, position + 1
            if node.block is not None:
                best, end = node.block, position
        skipped = ""
        gap_start, previous, steps = position, 0, 0
        while node.next and position < len(text):
            first, last = self._marks.get(text[position], (0, 0))
            if first == 0 or previous >= first:
                break
            steps += 1
            if steps > _LONGEST_GAP:
                raise KEYSPACE_ID_UNSURE(detail=f"a text with more than {_LONGEST_GAP} combining marks of rising class")
            # The first character after the adjacent part was tried already: it can only be skipped.
            follower = node.next.get(text[position]) if previous else None
            previous = last
            if follower is None:
                position += 1
                continue
            skipped += text[gap_start:position]
            while follower is not None:
                node, position = follower, position + 1
                if node.block is not None:
                    best, end, best_skipped = node.block, position, skipped
                follower = node.next.get(text[position]) if self._is_mark(text, position) else None
            gap_start = position
        return best + tuple(element for block in self._split(best_skipped) for element in block), end

    def _is_mark(self, text: str, position: int) -> bool:
        return position < len(text) and text[position] in self._marks

    def _block(self, char: str) -> Block:
        """The elements of one character by itself."""
        block = self._blocks.get(char)
        if block is not None:
            return block
        weight = self._weights.get(char)
        if weight is not None:
            return (Element(weight, 0),)
        code = ord(char)
        if _FIRST_HANGUL <= code <= _LAST_HANGUL:
            return tuple(Element(self._weights[jamo], 0) for jamo in _jamos(code))
        return (Element(_weight_bytes(self._implicit(code)), 0),)

    def _implicit(self, code: int) -> int:
        """The weight of a character that has no entry."""
        if any(first <= code <= last for first, last in self._doubtful):
            raise KEYSPACE_ID_UNSURE(
                detail=f"a text with U+{code:X}, which Vitess weighs by the Unicode version of the Go that built it"
            )
        if not any(first <= code <= last for first, last in self._ideographs):
            return code + 0x50000
        if 0x4E00 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF:
            return code + 0x10000
        return code + 0x20000

    def _read_weights(self, lines: Iterable[str]) -> None:
        code = first_weight = 0
        for line in lines:
            step, difference, *others = line.split(" ")
            code += int(step, 16)
            delta, _, ccc = difference.partition(".")
            first_weight += int(delta, 16)
            block = (Element(_weight_bytes(first_weight), int(ccc or 0)), *map(_element, others))
            char = chr(code)
            self._weights[char] = b"".join([element.weight for element in block])
            if len(block) > 1 or block[0].ccc:
                self._blocks[char] = block

    def _pattern_of_intricate(self) -> re.Pattern[str]:
        """Matches where a text's key may be other than its characters' weights in a row."""
        followers = {char for node in self._contractions.values() for char in node.next}.union(self._marks)
        movable = [
            char
            for char, block in self._blocks.items()
            if any(weight and (ccc or block[0].ccc) for weight, ccc in block)
        ]
        return re.compile(f"[{_class(self._contractions)}](?=[{_class(followers)}])|[{_class(movable)}]")


def _in_order(blocks: Iterable[Block]) -> Iterator[Element]:
    """The elements in the library's order: rule 3 of the module."""
    segment: list[Element] = []  # empty, or starts with an element of a class above 0
    highest = 0
    for block in blocks:
        ccc = block[0].ccc
        if segment and ccc and len(segment) + len(block) <= _LONGEST_SEGMENT:
            if ccc >= highest:
                segment += block
                highest = ccc
            else:
                _insert(segment, block, ccc)
            continue
        yield from segment
        starters = 0 if block[-1].ccc else len(block)
        while starters < len(block) and block[starters].ccc == 0:
            starters += 1
        yield from block[:starters]
        segment = list(block[starters:])
        highest = block[-1].ccc
    yield from segment


def _insert(segment: list[Element], block: Block, ccc: int) -> None:
    """Move ``block`` left from the segment's end, over at least one element and over all of a higher class."""
    place = len(segment) - 1
    while place > 0 and ccc < segment[place - 1].ccc:
        place -= 1
    segment[place:place] = block


def _weight_bytes(weight: int) -> bytes:
    if weight == 0:
        return b""
    if weight <= 0x7FFF:
        return weight.to_bytes(2, "big")
    return (weight | 0x800000).to_bytes(3, "big")


def _jamos(code: int) -> Iterator[str]:
    """The canonical decomposition of a Hangul syllable."""
    index = code - _FIRST_HANGUL
    yield chr(_LEADS + index // (_VOWEL_COUNT * _TAIL_COUNT))
    yield chr(_VOWELS + index // _TAIL_COUNT % _VOWEL_COUNT)
    if index % _TAIL_COUNT:
        yield chr(_TAILS + index % _TAIL_COUNT)


def _element(text: str) -> Element:
    weight, _, ccc = text.partition(".")
    return Element(_weight_bytes(int(weight, 16)), int(ccc or 0))


def _range(line: str) -> tuple[int, int]:
    first, _, last = line.partition("-")
    return int(first, 16), int(last, 16)


def _read_contractions(lines: Iterable[str]) -> dict[str, _Node]:
    """Tries of what may follow, by first character."""
    roots: dict[str, _Node] = {}
    for line in lines:
        path, _, elements = line.partition("|")
        first, *others = (chr(int(code, 16)) for code in path.split(" "))
        node = roots.setdefault(first, _Node())
        for char in others:
            node = node.next.setdefault(char, _Node())
        node.block = tuple(map(_element, elements.split(" ")))
    return roots


def _read_marks(lines: Iterable[str]) -> dict[str, tuple[int, int]]:
    marks: dict[str, tuple[int, int]] = {}
    for line in lines:
        codes, first_class, last_class = line.split(" ")
        first, last = _range(codes)
        marks.update((chr(code), (int(first_class), int(last_class))) for code in range(first, last + 1))
    return marks


def _class(chars: Iterable[str]) -> str:
    """The inside of a regular expression's character class."""
    return "".join(f"\\U{ord(char):08x}" for char in sorted(chars))


@cache
def loose_keys() -> LooseKeys:
    """The root collation, read from its file on first use."""
    return LooseKeys(zlib.decompress(_DATA.read_bytes()).decode("ascii"))
