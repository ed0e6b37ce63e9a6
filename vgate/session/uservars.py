"""User variables: what a session knows of each, and the SQL that makes the same of it on a server.

A variable has a type besides its value, NULL too: integer, unsigned or not, decimal, double, or a string with its
collation. ``assignments`` gives what leads to exactly that, written so that it means the same under every sql_mode and
character set. Names are compared without regard to case.

It does not know statements, nor how a server is asked what a variable is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

CHUNK: Final = 1 << 20
"""Bytes of a string that are sent at once: written in hexadecimal they are twice as many."""


class Kind(Enum):
    """The types a variable can have."""

    INTEGER = "integer"
    UNSIGNED = "unsigned"
    DECIMAL = "decimal"
    DOUBLE = "double"
    STRING = "string"


_TYPED: Final = {Kind.INTEGER: "1", Kind.UNSIGNED: "CAST(1 AS UNSIGNED)", Kind.DECIMAL: "1.0", Kind.DOUBLE: "1e0"}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's type and value: digits of a number, bytes of a string in its own character set, or None."""

    kind: Kind
    value: bytes | None
    collation: str = "binary"

    @property
    def charset(self) -> str:
        """The character set of a string."""
        return self.collation.partition("_")[0]

    def assignments(self, name: str) -> tuple[str, ...]:
        """What to assign to the variable, one after another: NULL keeps the type of what was there before."""
        if self.value is None:
            return (_TYPED.get(self.kind) or self._text(b""), "NULL")
        if self.kind is Kind.STRING:
            first, *rest = (self.value[at : at + CHUNK] for at in range(0, max(1, len(self.value)), CHUNK))
            return (self._text(first), *(f"CONCAT({quoted_name(name)}, {self._text(one)})" for one in rest))
        return (self.number,)

    def _text(self, value: bytes) -> str:
        collate = "" if self.charset == "binary" else f" COLLATE {self.collation}"
        return f"_{self.charset} 0x{value.hex()}{collate}" if value else f"_{self.charset} ''{collate}"

    @property
    def number(self) -> str:
        """A number as SQL that has its type."""
        text = (self.value or b"").decode("ascii")
        match self.kind:
            case Kind.UNSIGNED:
                return f"CAST({text} AS UNSIGNED)"
            case Kind.DECIMAL if "." not in text:
                return f"CAST({text} AS DECIMAL(65,0))"
            case Kind.DOUBLE if "e" not in text:
                return f"{text}e0"
        return text


def quoted_name(name: str) -> str:
    """A variable as it is written in SQL."""
    return "@`" + name.replace("`", "``") + "`"
