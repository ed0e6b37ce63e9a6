"""A prepared SELECT of sequences' values together with anything else: to servers the values are parameters.

So each execution is one of the same statement, whichever values it is given. It does not know where values come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vgate.sql.lexer import LexMode
from vgate.sql.nextval import Asking, answered
from vgate.sql.parameters import Template, read_template
from vgate.wire.binary import Execution, Parameter, rebound

_BIGINT: Final = 0x08
_CALL: Final = b"CAST(? AS SIGNED)"


@dataclass(frozen=True, slots=True)
class Mixed:
    """``template``: the statement as servers know it. ``order``: of their parameters, the client's number, or None
    where a value goes.
    """

    template: Template
    order: tuple[int | None, ...]

    def bound(
        self, bound: Execution, ahead: Mapping[int, bytes], values: Sequence[int | None]
    ) -> tuple[Execution, bytes, dict[int, bytes]]:
        """The client's execution with these values among its parameters, its payload, and what was sent ahead."""
        given = iter(values)
        order = [one if one is not None else _parameter(next(given)) for one in self.order]
        return rebound(bound, ahead, order)


def _parameter(value: int | None) -> Parameter:
    return Parameter(_BIGINT, False, None if value is None else value.to_bytes(8, "little", signed=True))


def mixed(template: Template, asking: Asking, mode: LexMode) -> Mixed:
    """The statement with a parameter in the place of each call. Raises LexError."""
    places: list[tuple[int, int | None]] = [(call.start, None) for call in asking.calls]
    at = 0
    for number, part in enumerate(template.parts[:-1]):
        places.append((at + len(part), number))
        at += len(part) + 1  # the question mark
    text = answered(template.text, asking, [_CALL] * len(asking.calls))
    order = sorted(places, key=lambda place: place[0])
    return Mixed(read_template(text, mode), tuple(number for _, number in order))
