"""KILL and the process list over all workers of a vgate: each knows its own clients, and is asked for them.

A user sees and kills the clients of its own name. It does not know how workers reach each other, nor how a client is
killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from vgate.engine.processes import Process
from vgate.errors import KILL_DENIED, NO_SUCH_THREAD
from vgate.query.gate import Gate
from vgate.query.siblings import Siblings
from vgate.session.login import Login

KILL: Final = "kill"
LIST: Final = "processes"
WORDS: Final = frozenset({KILL, LIST})
_KILLED, _DENIED, _UNKNOWN = "killed", "denied", ""


@dataclass(frozen=True, slots=True)
class Clients:
    """See the module."""

    gate: Gate
    siblings: Siblings

    async def kill(self, number: int, user: str, *, query_only: bool) -> None:
        """Raises NO_SUCH_THREAD (1094), KILL_DENIED (1095)."""
        outcome = self._kill(number, user, query_only=query_only)
        if outcome == _UNKNOWN:
            answers = await self.siblings.tell(KILL, json.dumps([number, user, query_only]))
            outcome = next((answer for answer in answers if answer), _UNKNOWN)
        if outcome == _UNKNOWN:
            raise NO_SUCH_THREAD(id=number)
        if outcome == _DENIED:
            raise KILL_DENIED(id=number)

    def _kill(self, number: int, user: str, *, query_only: bool) -> str:
        victim = self.gate.clients.get(number)
        if victim is None:
            return _UNKNOWN
        if victim.user != user:
            return _DENIED
        victim.kill(query_only=query_only)
        return _KILLED

    async def processes(self, login: Login) -> list[Process]:
        """The clients that a user may see, by number."""
        found = self.gate.processes(login.user)
        for answer in await self.siblings.tell(LIST, login.user):
            for number, host, database, statement, seconds in json.loads(answer):
                text = None if statement is None else statement.encode("latin-1")
                found.append(Process(number, login.user, host, database, text, seconds))
        return sorted(found, key=lambda one: one.id)

    async def heard(self, what: str, name: str) -> str:
        """Another worker asks."""
        if what == KILL:
            number, user, query_only = json.loads(name)
            return self._kill(number, user, query_only=query_only)
        return json.dumps([
            (one.id, one.host, one.database, None if one.statement is None else one.statement.decode("latin-1"),
             one.seconds)
            for one in self.gate.processes(name)
        ])  # fmt: skip
