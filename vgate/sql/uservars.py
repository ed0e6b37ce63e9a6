"""User variables in a statement's text: which it mentions, which it assigns, and the text with values in their place.

A variable's value stands for it only where that says the same: beside ``=``, in an IN list, and as a value of a row to
insert. ``SELECT ... INTO @a`` is a query and where its row goes; ``without_into`` is the query alone.

It does not know what variables are worth, nor what is planned by these texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from vgate.sql.lexer import LexMode, Token, TokenKind, lexer_for
from vgate.sql.literals import unquoted
from vgate.sql.names import decoded, unquoted_name

_ENDS: Final = frozenset(b", ) and or order limit group for lock where on into".split()) | {b""}
"""What may follow a comparison's right side; what else follows may make more of it."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A variable in the text, as token ``index`` of it."""

    name: str
    index: int
    assigned: bool


class Mentions:
    """The user variables of one statement. Raises LexError."""

    def __init__(self, text: bytes, mode: LexMode) -> None:
        self.text = text
        self._mode = mode
        self._tokens = lexer_for(mode).tokens(text)
        self._words = [text[token.start : token.end].lower() for token in self._tokens]
        self._into = self._find_into()
        self.found = tuple(self._find())

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(one.name for one in self.found))

    @property
    def assigned(self) -> tuple[str, ...]:
        """The names of those that the statement assigns."""
        return tuple(dict.fromkeys(one.name for one in self.found if one.assigned))

    def _is_variable(self, token: Token) -> bool:
        return token.kind is TokenKind.VARIABLE and self.text[token.start : token.start + 2] != b"@@"

    def _find(self) -> Iterator[Mention]:
        first, last = self._into or (0, 0)
        for index, token in enumerate(self._tokens):
            if self._is_variable(token):
                follows = self._words[index + 1] if index + 1 < len(self._words) else b""
                yield Mention(self._name(token), index, follows == b":=" or first <= index < last)

    def _name(self, token: Token) -> str:
        return variable_name(self.text[token.start : token.end], self._mode)

    def _find_into(self) -> tuple[int, int] | None:
        """Where INTO @a, @b stands, its end excluded."""
        tokens = self._tokens
        for index, word in enumerate(self._words[:-1]):
            if word == b"into" and tokens[index].kind is TokenKind.NAME and self._is_variable(tokens[index + 1]):
                end = index + 2
                while end + 1 < len(tokens) and self._words[end] == b"," and self._is_variable(tokens[end + 1]):
                    end += 2
                return index, end
        return None

    def without_into(self, value_of: Callable[[str], bytes | None]) -> bytes:
        """The statement for the planner: it assigns nothing, and values stand for variables where they may."""
        changes = dict(self._values(value_of))
        for one in self.found:
            if one.assigned and not self._in_into(one.index):
                changes |= {one.index: b"", one.index + 1: b""}
        if self._into is not None:
            changes |= dict.fromkeys(range(*self._into), b"")
        parts: list[bytes] = []
        at = 0
        for index, value in sorted(changes.items()):
            parts += (self.text[at : self._tokens[index].start], value)
            at = self._tokens[index].end
        return b"".join((*parts, self.text[at:]))

    def _values(self, value_of: Callable[[str], bytes | None]) -> Iterator[tuple[int, bytes]]:
        by_expression = {one.name for one in self.found if one.assigned and not self._in_into(one.index)}
        brackets = self._brackets()
        for one in self.found:
            if one.assigned or one.name in by_expression or not self._stands_alone(one.index, brackets[one.index]):
                continue
            value = value_of(one.name)
            if value is not None:
                yield one.index, value

    def _in_into(self, index: int) -> bool:
        return self._into is not None and self._into[0] <= index < self._into[1]

    def _stands_alone(self, index: int, bracket: int) -> bool:
        before = self._words[index - 1] if index else b""
        after = self._words[index + 1] if index + 1 < len(self._words) else b""
        if before in (b",", b"(") and after in (b",", b")"):
            return bracket > 0 and (self._words[bracket - 1] == b"in" or self._is_row(bracket))
        return before == b"=" and after in _ENDS

    def _is_row(self, bracket: int) -> bool:
        """True for the bracket of a row in the VALUES list of an INSERT."""
        while bracket > 0:
            before = self._words[bracket - 1]
            if before in (b"values", b"value"):
                return self._words[0] in (b"insert", b"replace")
            if before != b"," or bracket < 2 or self._words[bracket - 2] != b")":
                return False
            depth, bracket = 1, bracket - 2
            while depth and bracket > 0:
                bracket -= 1
                depth += (self._words[bracket] == b")") - (self._words[bracket] == b"(")
        return False

    def _brackets(self) -> list[int]:
        """For each token the bracket it stands in, -1 for none."""
        found: list[int] = []
        stack = [-1]
        for index, word in enumerate(self._words):
            if word == b")" and len(stack) > 1:
                stack.pop()
            found.append(stack[-1])
            if word == b"(":
                stack.append(index)
        return found


def variable_name(raw: bytes, mode: LexMode) -> str:
    """The name in ``@name``, however it is quoted, in lower case."""
    name = raw[1:]
    quote = name[:1]
    if quote == b"`" or (quote == b'"' and mode.ansi_quotes):
        name = name[1:-1].replace(quote * 2, quote)
    elif quote in (b"'", b'"'):
        name = unquoted(name, mode) or b""
    else:
        return unquoted_name(name, mode.charset).lower()
    return decoded(name, mode.charset).lower()
