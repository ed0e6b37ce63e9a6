"""A pool of connections to one shard, for clients with the same connect-time flags.

Idle connections are kept by the session settings they carry, newest first, so that a client usually gets one that
needs no SET. It does not know statements, transactions or clients.

Invariants
1. ``size`` counts connections that are open or being opened; it never exceeds ``limit``.
2. A connection is in exactly one place: idle here, or with whoever took it.
3. A free connection (or a free place) and a live waiter never coexist: each is given away in the same synchronous
   step that makes it free.
4. Nothing is lost by cancellation: a waiter cancelled after it was given something gives it back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.errors import POOL_EXHAUSTED
from vgate.session.settings import Settings

_MANY: Final = 64
"""Settings without an idle connection are forgotten when there are so many."""


class Pool:
    """See the module. ``open`` makes one authenticated connection or raises VgateError."""

    def __init__(
        self,
        label: str,
        open: Callable[[], Awaitable[BackendConnection]],
        clock: Callable[[], float],
        *,
        limit: int = 100,
        wait: float = 10.0,
    ) -> None:
        self.label = label
        self.limit = limit
        self.size = 0
        self.opened = 0
        self._all: set[BackendConnection] = set()
        self._open = open
        self._clock = clock
        self._wait = wait
        self._idle: dict[Settings, list[BackendConnection]] = {}
        self._waiters: deque[asyncio.Future[BackendConnection | None]] = deque()
        self._closed = False

    def __repr__(self) -> str:
        idle = sum(map(len, self._idle.values()))
        return f"<Pool {self.label}: {self.size - idle} busy {idle} idle {len(self._waiters)} waiting of {self.limit}>"

    def take_now(self, settings: Settings) -> BackendConnection | None:
        """An idle connection that carries ``settings`` already, or None. The fast path."""
        stack = self._idle.get(settings)
        return stack.pop() if stack else None

    async def take(self, settings: Settings) -> BackendConnection:
        """A connection, at best one that carries ``settings``; the caller brings it to them with ``carry``.

        Waits in line when all are in use. Raises POOL_EXHAUSTED, BACKEND_UNREACHABLE.
        """
        deadline = self._clock() + self._wait
        while True:
            connection = self.take_now(settings)
            if connection is not None:
                return connection
            if settings.variables and (connection := self._take_alike(settings)) is not None:
                return connection
            if self.size < self.limit:
                return await self._open_one()
            connection = self._take_any()
            if connection is not None:
                return connection
            connection = await self._in_line(deadline)
            if connection is not None:
                return connection

    def release(self, connection: BackendConnection) -> None:
        """Take back a clean, idle connection (one that is not usable has been discarded already)."""
        if not connection.usable:
            return
        if connection.sink is not None or connection.tainted or self._closed:
            connection.close()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.used_at = self._clock()
        stack = self._idle.get(connection.settings)
        if stack is None:
            self._idle[connection.settings] = [connection]
        else:
            stack.append(connection)

    def discard(self, connection: BackendConnection) -> None:
        """A connection of this pool was closed: its place is free."""
        self._all.discard(connection)
        stack = self._idle.get(connection.settings)
        if stack and connection in stack:
            stack.remove(connection)
        self._free_place()

    def reap(self, idle_seconds: float) -> int:
        """Close connections idle for longer; return how many."""
        oldest = self._clock() - idle_seconds
        stale = [c for stack in self._idle.values() for c in stack if c.used_at < oldest]
        for connection in stale:
            connection.close()
        self._idle = {settings: stack for settings, stack in self._idle.items() if stack}
        return len(stale)

    def renew(self) -> None:
        """Serve with new connections from now on: idle ones are closed, those in use when they come back."""
        for connection in self._all:
            connection.tainted = True
        for stack in list(self._idle.values()):
            for connection in list(stack):
                connection.close()

    def close(self) -> None:
        """Close idle connections; those in use are closed as they come back."""
        self._closed = True
        for stack in list(self._idle.values()):
            for connection in list(stack):
                connection.close()

    def cut(self) -> None:
        """Close all connections, those in use too; who uses them hears that they are lost."""
        self._closed = True
        for connection in list(self._all):
            connection.close()

    def _take_alike(self, settings: Settings) -> BackendConnection | None:
        """One with other values of the same user variables: a variable that counts must not open connections."""
        if len(self._idle) > _MANY:
            self._idle = {carried: stack for carried, stack in self._idle.items() if stack}
        names = [name for name, _ in settings.variables]
        for carried, stack in reversed(self._idle.items()):
            if stack and [name for name, _ in carried.variables] == names:
                return stack.pop()
        return None

    def _take_any(self) -> BackendConnection | None:
        """The idle connection unused for longest, whatever it carries."""
        stacks = [stack for stack in self._idle.values() if stack]
        return min(stacks, key=lambda stack: stack[0].used_at).pop(0) if stacks else None

    def _free_place(self) -> None:
        self.size -= 1
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _open_one(self) -> BackendConnection:
        self.size += 1
        try:
            connection = await self._open()
        except BaseException:  # also when cancelled: the place must not stay taken
            self._free_place()
            raise
        if not connection.usable:
            self._free_place()
            return await self._open_one()
        connection.owner = self
        self._all.add(connection)
        self.opened += 1
        return connection

    async def _in_line(self, deadline: float) -> BackendConnection | None:
        waiter: asyncio.Future[BackendConnection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                given = await waiter
        except TimeoutError:
            self._give_back(waiter)
            raise POOL_EXHAUSTED(label=self.label, seconds=self._wait, limit=self.limit) from None
        except asyncio.CancelledError:
            self._give_back(waiter)
            raise
        if given is not None and not given.usable:
            return None
        return given

    def _give_back(self, waiter: asyncio.Future[BackendConnection | None]) -> None:
        if not waiter.done():
            waiter.cancel()
        elif not waiter.cancelled():
            given = waiter.result()
            if given is not None:
                self.release(given)
            else:  # a free place: pass the news on
                self.size += 1
                self._free_place()
