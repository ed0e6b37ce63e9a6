"""Query attributes of the statement at hand: ``mysql_query_attribute_string('name')`` is answered here.

Its value takes the place of each call, so that it is the same on whichever servers the statement runs, whether they
have MySQL's component for it or not; a prepared statement has a parameter there. Servers are sent no attributes, so
what runs inside them (stored programs, plugins) sees none. It does not know how attributes come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vgate.errors import UNSUPPORTED
from vgate.query.mixed import Mixed, in_order
from vgate.query.speaking import Speech, Value
from vgate.session.session import Session
from vgate.sql.lexer import Lexer, LexMode, TokenKind
from vgate.sql.literals import read_literal
from vgate.sql.parameters import DATE, TIMES, Template, literal, read_template, time_text
from vgate.sql.versioned import Flavour
from vgate.wire.attributes import NONE, Attributes
from vgate.wire.binary import NULL, Parameter

FUNCTION: Final = b"mysql_query_attribute_string"

_WHOLE: Final = b"CAST(NULLIF(%b, NULL) AS CHAR(1024) CHARACTER SET utf8mb4)"
"""As wide as the function's result, and nullable as it."""

_STRING: Final = 0xFD
_STRINGS: Final = frozenset({0x0F, _STRING, 0xFE})
_NO_VALUE: Final = Parameter(NULL, False, None)


class QueryAttributes:
    """Those of one session's statement at hand, by name; case does not count in names."""

    def __init__(self) -> None:
        self._found: dict[bytes, Parameter] = {}

    def set(self, found: Attributes) -> None:
        """A command has come with these."""
        self._found = {name.lower(): value for name, value in found.items()} if found else {}

    def clear(self) -> None:
        """A command has come with none."""
        if self._found:
            self.set(NONE)

    def values(self, names: Sequence[bytes]) -> list[Parameter]:
        """The values of attributes, NULL for those that there are not."""
        return [_as_text(self._found.get(name, _NO_VALUE)) for name in names]

    def spoken(self, text: bytes, session: Session, lexer: Lexer, mode: LexMode) -> bytes:
        """The statement with values in place of the calls. Raises UNSUPPORTED."""
        calls = _Calls(text, session, lexer, mode)
        calls.sqls = [_sql(value, mode) for value in self.values(calls.names)]
        return calls.text()


def parametrised(template: Template, session: Session, lexer: Lexer, mode: LexMode) -> tuple[Mixed, list[bytes]]:
    """A prepared statement with a parameter in the place of each call, and the attributes that these are."""
    calls = _Calls(template.text, session, lexer, mode)
    calls.sqls = [b"?"] * len(calls.names)
    order = in_order(template, calls.starts)
    return Mixed(read_template(calls.text(), mode), order), calls.names


def _sql(value: Parameter, mode: LexMode) -> bytes:
    sql = literal(value.type, value.unsigned, value.value, mode)
    return sql if value.type in _STRINGS or value.value is None else b"CAST(%b AS CHAR)" % sql


def _as_text(value: Parameter) -> Parameter:
    """Dates and times as MySQL's function writes them: with all their places."""
    if value.type not in TIMES or value.value is None:
        return value
    _, text = time_text(value.type, value.value)
    return Parameter(_STRING, False, text if b"." in text or value.type == DATE else text + b".000000")


class _Calls(Speech):
    """The calls of one statement. ``names``: of their attributes, in lower case; ``sqls``: what stands for each."""

    def __init__(self, text: bytes, session: Session, lexer: Lexer, mode: LexMode) -> None:
        super().__init__(session, text, lexer, "", Flavour.MYSQL)
        self._mode = mode
        self._places = [index for index, word in enumerate(self._words) if self._is_call(index, word)]
        self.names = [self._name(index) for index in self._places]
        self.starts = [self._tokens[index].start for index in self._places]
        self.sqls: list[bytes] = []

    def _is_call(self, index: int, word: bytes) -> bool:
        return word.strip(b"`") == FUNCTION and self._words[index + 1 : index + 2] == [b"("]

    def _name(self, index: int) -> bytes:
        argument = self._tokens[index + 2] if index + 3 < len(self._tokens) else None
        if argument is None or argument.kind is not TokenKind.STRING or self._words[index + 3] != b")":
            raise UNSUPPORTED(construct="mysql_query_attribute_string() of anything but a name in quotes")
        value = read_literal(self._text[argument.start : argument.end], self._mode).value
        return value.lower() if isinstance(value, bytes) else b""

    def _values(self) -> Iterator[Value]:
        for index, sql in zip(self._places, self.sqls, strict=True):
            yield Value(index, index + 3, sql if sql != b"?" else _WHOLE % sql, _WHOLE % sql)
