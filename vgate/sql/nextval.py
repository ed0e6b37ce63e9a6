"""Asking for a sequence's values in the text of a statement: where it stands, and what the answer's columns are called.

``seq.NEXTVAL``, ``NEXTVAL(seq)``, ``NEXT VALUE FOR seq`` and, for the value that the session was given last,
``seq.CURRVAL``, ``LASTVAL(seq)``, ``PREVIOUS VALUE FOR seq``: PolarDB-X's, MariaDB's and PostgreSQL's spellings. Found
over tokens, so never in strings, comments or quoted names. It does not know which of the names are sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from vgate.sql.insert_query import read_insert_query
from vgate.sql.lexer import LexError, LexMode, Token, TokenKind, lexer_for
from vgate.sql.names import name_of
from vgate.sql.sequences import Written

_AFTER_DOT: Final = {"nextval": True, "currval": False}
_FUNCTIONS: Final = {"nextval": True, "currval": False, "lastval": False}
_PHRASES: Final = {"next": True, "previous": False}
_MODIFIER_WORDS: Final = """
    all distinct distinctrow high_priority straight_join sql_small_result sql_big_result sql_buffer_result sql_cache
    sql_no_cache sql_calc_found_rows
"""
_MODIFIERS: Final = frozenset(_MODIFIER_WORDS.split())
_OPERATOR_WORDS: Final = """
    is not and or xor div mod like in between regexp rlike binary collate null true false unknown end interval then
    else when as
"""
_OPERATORS: Final = frozenset(_OPERATOR_WORDS.split())
_ALIKE: Final = frozenset({"distinct", "distinctrow"})
_ENDS: Final = frozenset({"from", "where", "limit", "order", "group", "having", "union", "into", "for"})
"""Words that end a select list, outside parentheses."""


@dataclass(frozen=True, slots=True)
class SequenceCall:
    """One place in a text where a sequence is asked; ``next``: for a new value, else for the last one."""

    sequence: Written
    next: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Item:
    """One column of a select list. ``call`` is set where it is nothing but a call; ``name``: how its column is called.

    ``name_at`` is where a name has to be put in, as what is written there changes; None where it has an alias. ``end``
    is behind that.
    """

    call: SequenceCall | None
    name: bytes
    start: int
    name_at: int | None
    end: int


@dataclass(frozen=True, slots=True)
class Asking:
    """A statement that asks. ``verb`` is its first word. ``values``: NEXTVAL may stand where its calls stand.

    ``items``: the select list of a SELECT without tables, or with ``tables``, where each row has a value of its own;
    ``count``: where it says WHERE COUNT = n, that n (-1: a parameter). ``query``: an INSERT's query asks.
    """

    verb: str
    calls: tuple[SequenceCall, ...]
    values: bool
    items: tuple[Item, ...] = ()
    count: int | None = None
    tables: bool = False
    query: bool = False

    @property
    def alone(self) -> bool:
        """True for a SELECT of sequences' values and nothing else."""
        return bool(self.items) and not self.tables and all(item.call is not None for item in self.items)

    @property
    def by_row(self) -> tuple[SequenceCall, ...]:
        """The calls that each row has a value of; CURRVAL only gives what NEXTVAL gave beside it."""
        calls = [item.call for item in self.items if item.call in self.calls] if self.tables else []
        found = tuple(call for call in calls if call is not None)
        return found if any(call.next for call in found) else ()


def find_asking(text: bytes, mode: LexMode) -> Asking | None:
    """What a statement asks of sequences; None if it asks nothing."""
    return _Finder(text, [t for t in lexer_for(mode).scan(text) if t.kind is not TokenKind.SEMICOLON], mode).find()


class _Finder:
    """One reading of one statement."""

    def __init__(self, text: bytes, tokens: Sequence[Token], mode: LexMode) -> None:
        self.text = text
        self.tokens = tokens
        self.mode = mode
        self.words = [
            "" if token.kind in (TokenKind.QUOTED_NAME, TokenKind.STRING)
            else text[token.start : token.end].decode("latin-1").lower()
            for token in tokens
        ]

    def find(self) -> Asking | None:
        calls = self._calls()
        if not calls:
            return None
        verb = self.words[0]
        found = tuple(calls.values())
        match verb:
            case "select":
                return self._select(found, calls)
            case "insert" | "replace":
                values = self._only_values(found)
                return Asking(verb, found, values, query=not values and self._is_query(found))
            case "set" | "do":
                return Asking(verb, found, "select" not in self.words)
        return Asking(verb, found, False)

    # -- calls ----------------------------------------------------------------------------------------------------

    def _calls(self) -> dict[int, SequenceCall]:
        """All calls, by the number of their first token."""
        calls: dict[int, SequenceCall] = {}
        for index, word in enumerate(self.words):
            first = last = -1
            names: list[int] = []
            next_ = False
            if word in _AFTER_DOT and self._word(index - 1) == "." and self._word(index + 1) not in (".", "("):
                names = self._names_before(index - 1)
                first, last, next_ = (names[0] if names else -1), index, _AFTER_DOT[word]
            elif word in _FUNCTIONS and self._word(index + 1) == "(" and self._word(index - 1) != ".":
                names, last = self._names_after(index + 2)
                first, next_ = index, _FUNCTIONS[word]
                if self._word(last) != ")":
                    names = []
            elif word in _PHRASES and (self._word(index + 1), self._word(index + 2)) == ("value", "for"):
                names, after = self._names_after(index + 3)
                first, last, next_ = index, after - 1, _PHRASES[word]
            column = self._word(index - 1) == "." and len(names) == 1 and self._is_table(names[0])
            if names and not column:
                written = self._written(names)
                calls[first] = SequenceCall(written, next_, self.tokens[first].start, self.tokens[last].end)
        return calls

    def _is_table(self, name: int) -> bool:
        """True if what stands before ``.nextval`` is a table's name or alias elsewhere: it is a column then."""
        if self.words[0] in ("insert", "replace"):
            return False
        wanted = name_of(self.text, self.tokens[name], self.mode).lower()
        tables = len(self.words)  # behind which words tables are named
        if self.words[0] != "select":
            tables = 0
        elif "from" in self.words:
            tables = self.words.index("from")
        return any(
            self._is_name(index) and self._word(index + 1) != "." and self._word(index - 1) not in ("(", ".", "for")
            and name_of(self.text, token, self.mode).lower() == wanted
            for index, token in enumerate(self.tokens) if index > tables
        )  # fmt: skip

    def _word(self, index: int) -> str:
        return self.words[index] if 0 <= index < len(self.words) else ""

    def _is_name(self, index: int) -> bool:
        kinds = (TokenKind.NAME, TokenKind.QUOTED_NAME)
        return 0 <= index < len(self.tokens) and self.tokens[index].kind in kinds

    def _names_before(self, dot: int) -> list[int]:
        """The name, or the two, before a dot."""
        if not self._is_name(dot - 1):
            return []
        if self._word(dot - 2) != ".":
            return [dot - 1]
        return [dot - 3, dot - 1] if self._is_name(dot - 3) and self._word(dot - 4) != "." else []

    def _names_after(self, index: int) -> tuple[list[int], int]:
        """The name, or the two, from a token on; and the number of the token after them."""
        if not self._is_name(index):
            return [], index
        if self._word(index + 1) == "." and self._is_name(index + 2):
            return [index, index + 2], index + 3
        return [index], index + 1

    def _written(self, names: list[int]) -> Written:
        parts = [name_of(self.text, self.tokens[index], self.mode) for index in names]
        return Written(parts[0], parts[1]) if len(parts) == 2 else Written(None, parts[0])

    # -- where they stand -----------------------------------------------------------------------------------------

    def _is_query(self, calls: Sequence[SequenceCall]) -> bool:
        """True if the calls of an INSERT stand in a query whose rows are inserted; that says of each where it may."""
        try:
            found = read_insert_query(self.text, self.mode)
        except LexError:
            return False
        if found is None:
            return False
        end = len(self.text) - len(found.tail)
        return all(found.head.source_start <= call.start and call.end <= end for call in calls)

    def _only_values(self, calls: Sequence[SequenceCall]) -> bool:
        """True if the calls of an INSERT stand among its values: each is worked out once."""
        if {"select", "table", "with"} & set(self.words):
            return False
        depth = 0
        for index, word in enumerate(self.words):
            depth += (word == "(") - (word == ")")
            if depth == 0 and word == "on" and self._word(index + 1) == "duplicate":
                return all(call.end <= self.tokens[index].start for call in calls)
        return True

    def _select(self, found: tuple[SequenceCall, ...], calls: dict[int, SequenceCall]) -> Asking:
        start = 1
        while self._word(start) in _MODIFIERS:
            start += 1
        ends: list[int] = []
        depth, end = 0, len(self.words)
        for index in range(start, len(self.words)):
            word = self.words[index]
            depth += (word == "(") - (word == ")")
            if depth == 0 and word == ",":
                ends.append(index)
            if depth == 0 and word in _ENDS and self._word(index - 1) not in ("value", "."):
                end = index
                break
        tail = self.words[end:]
        if tail[:2] == ["from", "dual"]:
            tail = tail[2:]
        count: int | None = None
        if len(tail) == 4 and tail[:3] == ["where", "count", "="] and (tail[3].isdigit() or tail[3] == "?"):
            count = -1 if tail[3] == "?" else int(tail[3])
            tail = []
        bounds = zip([start, *(one + 1 for one in ends)], [*ends, end], strict=True)
        items = tuple(self._item(first, last, calls) for first, last in bounds)
        if not tail and "select" not in self.words[1:]:
            return Asking("select", found, True, items, count)
        if tail[:1] == ["from"] and not _ALIKE & set(self.words[1:start]) and self._leaves_rows(end, items):
            return Asking("select", found, False, items, tables=True)
        return Asking("select", found, False)

    def _leaves_rows(self, start: int, items: Sequence[Item]) -> bool:
        """True if no row is lost or moved, from the token ``start`` on, for what its asking columns hold."""
        aliases = {item.name.decode("utf-8", "replace").lower() for item in items if item.call is not None}
        depth = 0
        grouped = False
        for index in range(start, len(self.words)):
            word = self.words[index]
            depth += (word == "(") - (word == ")")
            if depth:
                continue
            if word in ("union", "intersect", "except", "into", "procedure"):
                return False
            grouped |= word in ("group", "having", "order")
            if grouped and self._names_a_column(index, aliases):
                return False
        return True

    def _names_a_column(self, index: int, aliases: AbstractSet[str]) -> bool:
        """True if the token may stand for one of the select list's columns: by its number, or by an alias."""
        before = self._word(index - 1)
        if self.tokens[index].kind is TokenKind.NUMBER:
            return before in (",", "by")
        named = self._is_name(index) and before != "." and self._word(index + 1) not in (".", "(")
        return named and name_of(self.text, self.tokens[index], self.mode).lower() in aliases

    def _item(self, first: int, last: int, calls: dict[int, SequenceCall]) -> Item:
        """A column: the tokens from ``first`` up to, and without, ``last``."""
        if first >= last:
            return Item(None, b"", 0, None, 0)
        tokens = self.tokens[first:last]
        start = tokens[0].start
        alias = self._alias(first, last)
        end = last if alias is None else alias - (self._word(alias - 1) == "as")
        call = calls.get(first)
        alone = call is not None and end > first and call.end == self.tokens[end - 1].end
        if alias is None:
            end_at = tokens[-1].end
            return Item(call if alone else None, self.text[start:end_at], start, end_at, end_at)
        raw = self.text[self.tokens[alias].start : self.tokens[alias].end]
        if self.tokens[alias].kind is TokenKind.NAME:
            return Item(call if alone else None, raw, start, None, tokens[-1].end)
        name = raw[1:-1].replace(raw[:1] * 2, raw[:1])
        return Item(call if alone else None, name, start, None, tokens[-1].end)

    def _alias(self, first: int, last: int) -> int | None:
        """The token that is the column's alias, None if it has none."""
        index = last - 1
        kinds = (TokenKind.NAME, TokenKind.QUOTED_NAME, TokenKind.STRING)
        if index <= first or self.tokens[index].kind not in kinds:
            return None
        before = self._word(index - 1)
        if before == "as":
            return index
        value = (*kinds, TokenKind.NUMBER)
        operand = before == ")" or (self.tokens[index - 1].kind in value and before not in _OPERATORS)
        if before == "for" and self._word(index - 2) == "value":
            return None
        return index if operand and self.words[index] not in _OPERATORS else None


def answered(text: bytes, asking: Asking, values: Sequence[bytes]) -> bytes:
    """The statement with the calls' values in their places; columns of a SELECT keep the names they would have."""
    edits = [(call.start, call.end, value) for call, value in zip(asking.calls, values, strict=True)]
    for item in asking.items:
        if item.name_at is not None and any(item.start <= call.start < item.name_at for call in asking.calls):
            label = b" as `" + item.name.replace(b"`", b"``") + b"`"
            edits.append((item.name_at, item.name_at, label))
    return _edited(text, edits)


MARK: Final = b"vgate nextval %d"
"""What the column of a call, by its number, is called where servers answer in its place."""


def marked(text: bytes, asking: Asking) -> tuple[bytes, list[Item]]:
    """The statement with a column that is called ``MARK`` in the place of each item that asks by row, and these items.

    Other calls are left as they are.
    """
    by_row = asking.by_row
    items = [item for item in asking.items if item.call in by_row]
    edits = [
        (item.start, item.end, b"CAST(0 AS SIGNED) AS `%b`" % (MARK % number)) for number, item in enumerate(items)
    ]
    return _edited(text, edits), items


def _edited(text: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    parts: list[bytes] = []
    at = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += (text[at:start], new)
        at = end
    return b"".join((*parts, text[at:]))
