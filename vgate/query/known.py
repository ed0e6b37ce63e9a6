"""Executions that begin as one before: all but the values of their parameters is the same, to the byte.

What was read of that one holds for them: types, NULLs, and where each value stands. Kept only where every value has a
fixed size, so that the packet's length says that it is whole. It does not know connections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgate.query.cache import Cached
from vgate.wire.binary import Execution, fixed_places, integer_reader

if TYPE_CHECKING:
    from vgate.query.prepared_statement import PreparedStatement


@dataclass(frozen=True, slots=True, eq=False)
class KnownExecution:
    """A framed COM_STMT_EXECUTE of ``size`` bytes up to its values, which begin at ``values_at``.

    ``number`` reads the value ``at`` that routes, if one does, under the plan ``cached``. ``key`` is the same for all
    executions that servers get with the same beginning, but for a handle.
    """

    statement: PreparedStatement
    cached: Cached
    bound: Execution
    begin: bytes
    size: int
    values_at: int
    at: int
    number: Callable[[bytes, int], tuple[int]] | None
    key: bytes


def known_execution(
    packet: bytes, statement: PreparedStatement, bound: Execution, cached: Cached
) -> KnownExecution | None:
    """What can be known of executions that begin as this one."""
    places = fixed_places(bound)
    if places is None or places[-1] + 4 != len(packet):
        return None
    at, number = 0, None
    if cached.point is not None:
        source = statement.template.sources[cached.slot] if cached.slot >= 0 else None
        if not isinstance(source, int):
            return None
        at, number = places[source] + 4, integer_reader(*bound.types[2 * source : 2 * source + 2])
        if number is None:
            return None
    values_at = bound.values_at + 4
    key = b"".join((len(packet).to_bytes(4, "little"), bound.types, statement.template.text))
    return KnownExecution(statement, cached, bound, packet[:values_at], len(packet), values_at, at, number, key)
