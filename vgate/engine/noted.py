"""What several servers warn of in one statement, as if one had run it.

One server warns of the statement's text, and of constants that it evaluates once, once; so what another shard has said
of them already is not said again. It does not know who ran what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vgate.engine.call import Call
from vgate.planner.once import ALWAYS, NONE, Once, once
from vgate.session.session import Diagnostic
from vgate.sql.names import read_back, shown

OF_STATEMENT: Final = frozenset({1052, 1287, 1364, 1681, 1739, 3170, 3719, 3778})
"""Warnings about a statement's text, which one server gives once however many rows there are: deprecated syntax and
names, an ambiguous column, a column that is neither given nor has a default, an index or a limit that does not serve.
"""


class Noted:
    """The warnings of one statement, shard by shard: ``said`` are those that one server would give.

    ``by_row``: nothing in the statement is evaluated once (rows of an INSERT). ``charset``: that of the messages, where
    it is not the client's; ``said`` is for the client.
    """

    def __init__(self, call: Call, *, by_row: bool = False, charset: str = "") -> None:
        self._call = call
        self._theirs = charset
        self._charset = call.session.settings.results_charset
        self._once: Once | None = NONE if by_row else None
        self.said: list[Diagnostic] = []
        self._kept = call.session.most_kept  # max_error_count, as far as it is known

    def add(self, more: Sequence[Diagnostic], count: int = 0) -> int:
        """Those of another shard, which it has kept of ``count``; how many of them are not said again."""
        if count > len(more):
            self._kept = len(more)
        if self._theirs:
            more = [replace(one, message=self._for_client(one.message)) for one in more]
        new = self.unsaid(more)
        self.said += new
        return len(more) - len(new)

    @property
    def kept(self) -> list[Diagnostic]:
        """As many of these as one server keeps."""
        return self.said[: self._kept]

    def unsaid(self, more: Sequence[Diagnostic], *, also: int = 0) -> list[Diagnostic]:
        """What another shard's warnings add to those that are said. ``also``: the code of others to be said once."""
        if not self.said:
            return list(more)
        before = Counter(self.said)
        for one in before:
            before[one] = min(before[one], ALWAYS if one.code == also else self._most(one))
        return _beyond(before, more)

    def _most(self, one: Diagnostic) -> int:
        """How many of these one server says once, however many rows there are."""
        if one.code in OF_STATEMENT:
            return ALWAYS
        if self._once is None:
            self._once = once(self._call.text, self._call.mode, self._call.session.variables)
        return self._once.most(one.code, read_back(one.message, self._charset))

    def _for_client(self, message: str) -> str:
        return shown(read_back(message, self._theirs), self._charset).decode("utf-8", "surrogateescape")


def both(first: Sequence[Diagnostic], second: Sequence[Diagnostic]) -> list[Diagnostic]:
    """What two servers that evaluated the same condition have said: each warning as often as the one that said more."""
    return [*first, *_beyond(Counter(first), second)]


def _beyond(before: Counter[Diagnostic], more: Sequence[Diagnostic]) -> list[Diagnostic]:
    left = Counter(before)
    new: list[Diagnostic] = []
    for one in more:
        if left[one] > 0:
            left[one] -= 1
        else:
            new.append(one)
    return new
