"""A prepared statement in which vgate puts values that servers do not know: to servers they are parameters, too.

So each execution is one of the same statement, whichever values it is given. It does not know where values come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        self, bound: Execution, ahead: Mapping[int, bytes], values: Iterable[Parameter]
    ) -> tuple[Execution, bytes, dict[int, bytes]]:
        """The client's execution with these values among its parameters, its payload, and what was sent ahead."""
        given = iter(values)
        return rebound(bound, ahead, [one if one is not None else next(given) for one in self.order])


def bigint(value: int | None) -> Parameter:
    """A sequence's value as a parameter."""
    return Parameter(_BIGINT, False, None if value is None else value.to_bytes(8, "little", signed=True))


def mixed(template: Template, asking: Asking, mode: LexMode) -> Mixed:
    """The statement with a parameter in the place of each call to a sequence. Raises LexError."""
    text = answered(template.text, asking, [_CALL] * len(asking.calls))
    return Mixed(read_template(text, mode), in_order(template, [call.start for call in asking.calls]))


def in_order(template: Template, starts: Sequence[int]) -> tuple[int | None, ...]:
    """The statement's parameters by number, and None for each of the places at ``starts``, in the text's order."""
    places: list[tuple[int, int | None]] = [(start, None) for start in starts]
    at = 0
    for number, part in enumerate(template.parts[:-1]):
        places.append((at + len(part), number))
        at += len(part) + 1  # the question mark
    return tuple(number for _, number in sorted(places, key=lambda place: place[0]))
