"""Where a stored program ends that stands among other statements: the semicolons of its own are inside its blocks.

Read from tokens, by the words that begin and end blocks where a statement can begin. Were it wrong, what is cut off is
no whole program, and a syntax error to the server. It does not know the statements.
"""

from __future__ import annotations

from typing import Final

from vgate.sql.lexer import Lexer, Token, TokenKind

_BLOCKS: Final = frozenset({b"begin", b"if", b"case", b"loop", b"repeat", b"while", b"for"})
_KINDS: Final = {b"procedure": b"(", b"function": b"(", b"trigger": b"row", b"event": b"do"}
"""By kind of program, what comes before its body; or its parameters, and then more."""
_VERB_NAMES: Final = b"""
    alter analyze cache call change check checksum close commit create deallocate declare delete desc describe do drop
    execute explain fetch flush get grant handler help insert install iterate kill leave load lock open optimize prepare
    purge rename repair replace reset resignal return revoke rollback savepoint select set show signal start stop table
    truncate uninstall unlock update values with xa
"""
_VERBS: Final = frozenset(_VERB_NAMES.split())
"""With which a body of one statement begins."""

_OPERATORS: Final = b"""
    case when then else and or xor not between like in div mod . , ( = < > <= >= <> != <=> + - * / % | &
"""
_BEFORE_OPERANDS: Final = frozenset(_OPERATORS.split())

_EXPRESSION: Final = b"a case that is a value"


def program_end(text: bytes, lexer: Lexer, start: int) -> int:
    """The position of the semicolon behind the program that begins at ``start``, or the end of the text.

    Raises LexError, VersionedComment.
    """
    reader = _Reader(text)
    for token in lexer.scan(text, start):
        if reader.ends(token):
            return token.start
    return len(text)


class _Reader:
    """Takes one token after the other."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._blocks: list[bytes] = []
        self._parentheses = 0
        self._until = b""  # in the head: what comes before the body
        self._head = False
        self._begins = True  # a statement can begin here
        self._ended = False  # a block has, and its kind or its label may follow
        self._handler = False  # in DECLARE ... HANDLER FOR, behind whose conditions a statement begins
        self._last = b""

    def ends(self, token: Token) -> bool:
        """True for the semicolon that ends the program."""
        if token.kind is TokenKind.SEMICOLON:
            self._begins, self._last = True, b";"
            self._head = self._handler = self._ended = False
            return not self._blocks
        plain = token.kind is not TokenKind.QUOTED_NAME and token.kind is not TokenKind.STRING
        word = self._text[token.start : token.end].lower() if plain else b"?"
        if not self._last and word in (b"create", b"alter"):
            self._until = word
        elif self._until:
            self._of_head(word)
        elif word == b"(":
            self._parentheses += 1
            self._begins = self._begins and self._head
        elif word == b")":
            self._parentheses -= 1
        else:
            self._of_body(word)
        self._last = word
        return False

    def _end(self, last: bytes) -> None:
        """END, where it is not a name: it may be that of a column."""
        if self._blocks[-1:] == [_EXPRESSION]:
            if last not in _BEFORE_OPERANDS:
                self._blocks.pop()
        elif self._begins and self._blocks:
            self._blocks.pop()
            self._ended = True
        self._begins = False

    def _of_head(self, word: bytes) -> None:
        if self._until in (b"create", b"alter"):
            self._until = _KINDS.get(word, self._until)
        elif self._until == b"(":
            self._parentheses += (word == b"(") - (word == b")")
            if word == b")" and not self._parentheses:
                self._until, self._head = b"", True
        elif word == self._until:
            self._until, self._head = b"", True

    def _of_body(self, word: bytes) -> None:
        last, begins = self._last, self._begins
        if self._parentheses and word not in (b"case", b"end"):
            return
        if word == b"end":
            self._end(last)
        elif self._ended or (last == b"end" and word == b"repeat"):
            if not self._ended and self._blocks[-1:] == [word]:  # behind the condition of UNTIL
                self._blocks.pop()
            self._begins = self._ended = False
        elif word in _BLOCKS and (begins or (self._handler and word != b"for")) and not self._parentheses:
            self._blocks.append(word)
            self._begins = word in (b"begin", b"loop", b"repeat")
            self._head = self._handler = False
        elif word == b"case":
            self._blocks.append(_EXPRESSION)
            self._begins = False
        elif word in (b"then", b"else"):
            self._begins = self._blocks[-1:] != [_EXPRESSION]
        elif word == b"do" and not begins:
            self._begins = True
        elif word == b":":
            self._begins = True  # a label
        elif word == b"handler" and last in (b"continue", b"exit", b"undo"):
            self._handler, self._begins = True, False
        elif self._head and (word not in _VERBS or last == b"returns"):
            return  # characteristics, and the type of a function
        else:
            self._begins = self._head = False
