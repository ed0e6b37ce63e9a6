"""The sequences that vgate keeps itself, for all clients of a process: found by name, asked for values, changed.

A definition is trusted for ``FRESH`` seconds after it was read, and read again in the background before that is over;
so a block in hand is used no longer than that after another vgate has changed the sequence, and a change that could
make values come again (any ALTER, RENAME or DROP of a GROUP of which others have blocks) waits as long before it
answers. Where the metadata keyspace cannot be reached, what is in hand is used: nobody can change anything then, but on
the other side of a network that is cut in two. This module does not know SQL, nor clients.

Invariants
1. A value is issued for a name only by the line of the definition that was last read for it, and read no more than
   ``FRESH`` seconds ago (or could not be read since).
2. A line whose definition was changed never gives a value after the change's statement has answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol

from vgate.errors import INVALID_INCREMENT, SHUTTING_DOWN, UNKNOWN_SEQUENCE, SqlError
from vgate.sequences.definition import MAXIMUM, Definition, Kind, altered, bumped, created, key_of, next_base
from vgate.sequences.lines import AnyLine, Changed, GroupLine, SimpleLine, Store, TimeLine
from vgate.sequences.stamps import LAYOUTS
from vgate.sequences.vitess import TaskOwner
from vgate.sql.sequences import Options
from vgate.vschema.model import TableName

log = logging.getLogger("vgate.sequences")

FRESH: Final = 2.0
_ATTEMPTS: Final = 10


class Catalog(Store, Protocol):
    """Where definitions are kept, too: ``catalog.ClusterCatalog``."""

    me: str

    async def find(self, key: TableName) -> Definition | None: ...

    async def create(self, one: Definition) -> None: ...

    async def change(
        self, key: TableName, change: Callable[[Definition], Definition | None]
    ) -> tuple[Definition, Definition] | None: ...

    async def drop(self, key: TableName) -> Definition | None: ...

    async def ready(self) -> str: ...


class _Open:
    """A sequence in use: its definition, where its values come from, and until when that is trusted."""

    __slots__ = ("definition", "fresh_until", "line")

    def __init__(self, definition: Definition, line: AnyLine, fresh_until: float) -> None:
        self.definition = definition
        self.line = line
        self.fresh_until = fresh_until


class Sequences:
    """See the module. Names are keys (``key_of``) in ``take_now``, and any spelling elsewhere."""

    def __init__(
        self, catalog: Catalog, owner: TaskOwner, clock: Callable[[], float], now: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._catalog = catalog
        self._owner = owner
        self._clock = clock
        self._sleep = sleep
        self._open: dict[TableName, _Open] = {}
        self._checks: dict[TableName, asyncio.Task[None]] = {}
        self._faults: dict[TableName, SqlError] = {}
        self._floors: dict[TableName, tuple[int, int]] = {}  # of a GROUP: (epoch, no value up to this comes any more)
        self._times = {bits: TimeLine(layout, catalog, owner, now) for bits, layout in LAYOUTS.items()}

    # -- values ---------------------------------------------------------------------------------------------------

    def take_now(self, key: TableName, n: int = 1) -> int | None:
        """The first of ``n`` consecutive values if they are in hand, else None: then await ``take``. The fast path."""
        one = self._open.get(key)
        if one is None:
            return None
        left = one.fresh_until - self._clock()
        if left < 0:
            return None
        if left < FRESH / 2 and key not in self._checks:
            self._check(key)
        return one.line.take_now(n)

    async def take(self, name: TableName, n: int) -> range:
        """``n`` consecutive values (of a SIMPLE, its increment apart). Raises UNKNOWN_SEQUENCE, SqlError."""
        if not 1 <= n <= MAXIMUM:
            raise INVALID_INCREMENT(name=name.table, value=n)
        key = key_of(name)
        for _ in range(_ATTEMPTS):
            one = await self._current(key)
            try:
                first = await one.line.take(n)
            except Changed:
                if self._open.get(key) is one:
                    del self._open[key]
                continue
            increment = one.definition.increment
            return range(first, first + n * increment, increment)
        raise UNKNOWN_SEQUENCE(name=name)  # it is changed faster than it can be read

    async def take_many(self, name: TableName, n: int) -> list[range]:
        """``n`` values in as few runs as can be; a run that is too long for the kind is cut. Raises as ``take``."""
        runs: list[range] = []
        while n > 0:
            one = await self._current(key_of(name))
            runs.append(await self.take(name, min(n, one.line.most)))
            n -= len(runs[-1])
        return runs

    async def find(self, name: TableName) -> Definition | None:
        """The sequence of that name as it is now, or was a moment ago; None if there is none. Raises SqlError."""
        try:
            return (await self._current(key_of(name))).definition
        except SqlError as error:
            if error.errno != UNKNOWN_SEQUENCE.errno:
                raise
            return None

    async def _current(self, key: TableName) -> _Open:
        one = self._open.get(key)
        if one is not None and self._clock() < one.fresh_until:
            return one
        await asyncio.shield(self._checks.get(key) or self._check(key))
        one = self._open.get(key)
        if one is None:
            fault = self._faults.pop(key, None)
            raise UNKNOWN_SEQUENCE(name=key) if fault is None else fault.with_traceback(None)
        return one

    def _check(self, key: TableName) -> asyncio.Task[None]:
        """Read a definition again. Raises SHUTTING_DOWN."""
        work = self._read(key)
        try:
            task = self._owner.create_task(work)
        except RuntimeError:
            work.close()
            raise SHUTTING_DOWN() from None
        self._checks[key] = task
        task.add_done_callback(lambda _: self._checks.pop(key, None))
        return task

    async def _read(self, key: TableName) -> None:
        sent = self._clock()
        one = self._open.get(key)
        try:
            found = await self._catalog.find(key)
        except SqlError as error:
            self._unreadable(key, one, error)
            return
        self._faults.pop(key, None)
        now = self._open.get(key)
        if found is None:
            self._open.pop(key, None)
        elif now is None or now.definition.epoch != found.epoch:
            self._open[key] = _Open(found, self._line(found), sent + FRESH)
        else:
            now.fresh_until = sent + FRESH

    def _unreadable(self, key: TableName, one: _Open | None, error: SqlError) -> None:
        if one is None:
            self._faults[key] = error
            return
        log.warning("sequence %s: its definition cannot be read, what is in hand is used: %s", key, error)
        one.fresh_until = self._clock() + FRESH

    def _line(self, one: Definition) -> AnyLine:
        match one.kind:
            case Kind.GROUP:
                return GroupLine(one, self._catalog, self._owner)
            case Kind.SIMPLE:
                return SimpleLine(one, self._catalog, self._owner)
            case Kind.TIME:
                return self._times[one.bits]

    # -- changes: also the interface for sequences that belong to a table -------------------------------------------

    async def create(self, name: TableName, kind: Kind, options: Options) -> None:
        """Raises SEQUENCE_EXISTS, SEQUENCE_OPTION, NO_METADATA_KEYSPACE."""
        await self._catalog.create(created(name, kind, options))

    async def alter(self, name: TableName, kind: Kind | None, options: Options) -> bool:
        """False if there is no such sequence. Raises SEQUENCE_OPTION, SEQUENCE_BACK."""
        return await self._change(key_of(name), lambda one: altered(one, kind, options))

    async def restart(self, name: TableName, start: int = 1) -> bool:
        """Begin again at ``start``, though values come twice: the table is empty. A TIME is as it was."""

        def again(one: Definition) -> Definition | None:
            return None if one.kind is Kind.TIME else altered(one, None, Options(restart=True, start=start))

        return await self._change(key_of(name), again)

    async def rename(self, name: TableName, to: TableName) -> bool:
        """False if there is no such sequence. Raises SEQUENCE_EXISTS."""
        return await self._change(key_of(name), lambda one: replace(one, name=to))

    async def drop(self, name: TableName) -> bool:
        """False if there was no such sequence."""
        key = key_of(name)
        old = await self._catalog.drop(key)
        self._open.pop(key, None)
        if old is not None:
            await self._settled(old)
        return old is not None

    async def bump(self, name: TableName, value: int) -> bool:
        """Make sure that ``value`` is not given after this, by any vgate; False if there is no such sequence.

        Cheap where it lies in a block in hand, or above all blocks; in another vgate's block, that is given up.
        """
        key, value = key_of(name), min(value, MAXIMUM)
        one = await self._current(key)
        line = one.line
        if isinstance(line, TimeLine) or (isinstance(line, GroupLine) and line.block.skip(value)):
            return True
        epoch, floor = self._floors.get(key, (0, 0))
        if value <= floor and epoch == one.definition.epoch:
            return True

        def beyond(now: Definition) -> Definition | None:
            new = bumped(now, value)
            if new is None and now.kind is Kind.GROUP and now.holder not in ("", self._catalog.me):
                return now  # in a block that another has: it is to be given up
            return new

        done = await self._changed(key, beyond)
        if done is not None and done.kind is Kind.GROUP:
            self._floors[key] = done.epoch, next_base(done)
        return done is not None

    async def _change(self, key: TableName, change: Callable[[Definition], Definition | None]) -> bool:
        return await self._changed(key, change) is not None

    async def _changed(
        self, key: TableName, change: Callable[[Definition], Definition | None]
    ) -> Definition | None:
        """What the sequence is now; None if there is none."""
        done = await self._catalog.change(key, change)
        if done is None:
            self._open.pop(key, None)
            return None
        old, new = done
        if old is not new:
            self._open.pop(key, None)
            await self._settled(old)
        return new

    async def _settled(self, old: Definition) -> None:
        """Wait until no vgate gives values of ``old`` any more."""
        if old.kind is Kind.GROUP and old.holder not in ("", self._catalog.me):
            await self._sleep(FRESH)

    async def ready(self) -> str:
        """Make the table where it is missing; the keyspace it is in. Raises NO_METADATA_KEYSPACE."""
        return await self._catalog.ready()
