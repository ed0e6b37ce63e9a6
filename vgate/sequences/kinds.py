"""The sequences that vgate keeps itself, for all clients of a process: found by name, asked for values, changed.

A definition is trusted for a second after it was read (``trust``), and read again in the background before that is
over; so a block in hand is used no longer than that after another vgate has changed the sequence, or recalled its
blocks, and a change that could make values come again (any ALTER, RENAME or DROP of a GROUP of which others have
blocks) waits longer before it answers. Where the metadata keyspace cannot be reached nothing more is given but TIME's
ids: somebody may have recalled the block in hand just before, or reach it where we do not. This module does not know
SQL, nor clients.

Invariants
1. A value is issued for a name only by the line of the definition that was last read for it, while that is trusted.
2. A line whose definition was changed, or recalled, never gives a value after the statement that did so has answered;
   a TIME's may, as nobody can want its ids back.
3. An id is taken for inserted by a client only when no vgate can give it: ``Claims`` cover it, or it was recalled.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol

from vgate.errors import INVALID_INCREMENT, SEQUENCE_UNREAD, SHUTTING_DOWN, UNKNOWN_SEQUENCE, SqlError
from vgate.sequences.claims import Claims
from vgate.sequences.definition import MAXIMUM, Definition, Kind, altered, bumped, created, key_of, recalled
from vgate.sequences.lines import AnyLine, Changed, GroupLine, SimpleLine, Store, TimeLine
from vgate.sequences.stamps import LAYOUTS
from vgate.sequences.trust import LET_GO, Sent, Trust, in_time
from vgate.sequences.vitess import TaskOwner
from vgate.sql.sequences import Options
from vgate.vschema.model import TableName

log = logging.getLogger("vgate.sequences")

_ATTEMPTS: Final = 10


class Catalog(Store, Protocol):
    """Where definitions are kept, too: ``catalog.ClusterCatalog``."""

    me: str

    async def find(self, key: TableName, sent: Sent) -> Definition | None: ...

    async def create(self, one: Definition) -> None: ...

    async def change(
        self, key: TableName, change: Callable[[Definition], Definition | None], *, anew: bool = True
    ) -> tuple[Definition, Definition] | None: ...

    async def drop(self, key: TableName) -> Definition | None: ...

    async def ready(self) -> str: ...


class _Open:
    """A sequence in use: its definition, where its values come from, and until when that is trusted."""

    __slots__ = ("definition", "line", "trust")

    def __init__(self, definition: Definition, line: AnyLine) -> None:
        self.definition = definition
        self.line = line
        self.trust = Trust()


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
        self._claims: dict[TableName, tuple[int, Claims]] = {}  # by generation
        self._moving: defaultdict[TableName, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._times = {bits: TimeLine(layout, catalog, owner, now) for bits, layout in LAYOUTS.items()}

    # -- values ---------------------------------------------------------------------------------------------------

    def take_now(self, key: TableName, n: int = 1) -> int | None:
        """The first of ``n`` consecutive values if they are in hand, else None: then await ``take``. The fast path."""
        one = self._open.get(key)
        if one is None:
            return None
        now = self._clock()
        if not one.trust.holds(now):
            return None
        if one.trust.due(now) and key not in self._checks:
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
            if isinstance(one.line, GroupLine) and await self._current(key) is not one:
                continue  # recalled while we waited for it
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
        """The sequence, trusted in this moment. Raises UNKNOWN_SEQUENCE, SqlError."""
        for _ in range(_ATTEMPTS):
            one = self._open.get(key)
            if one is not None and one.trust.holds(self._clock()):
                return one
            await asyncio.shield(self._checks.get(key) or self._check(key))
            fault = self._faults.get(key)
            one = self._open.get(key)
            if fault is not None and not (one is not None and one.trust.holds(self._clock())):
                raise fault.with_traceback(None)
            if one is None:
                raise UNKNOWN_SEQUENCE(name=key)
        raise SEQUENCE_UNREAD(name=key)

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
        try:
            sent, found = await in_time(lambda sent: self._catalog.find(key, sent), self._clock, key)
        except SqlError as error:
            self._unreadable(key, error)
            return
        self._faults.pop(key, None)
        now = self._open.get(key)
        if found is None:
            self._open.pop(key, None)
            return
        if now is None or now.definition.epoch != found.epoch:
            now = self._open[key] = _Open(found, self._line(key, found))
        now.trust.heard(sent, found.epoch)

    def _unreadable(self, key: TableName, error: SqlError) -> None:
        log.warning("sequence %s: its definition cannot be read: %s", key, error)
        one = self._open.get(key)
        if one is not None and one.definition.kind is Kind.TIME:
            one.trust.heard(self._clock(), one.definition.epoch)
        else:
            self._faults[key] = error

    def _line(self, key: TableName, one: Definition) -> AnyLine:
        match one.kind:
            case Kind.GROUP:
                return GroupLine(one, self._catalog, self._owner, self._claims_of(key, one))
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

    async def bump(self, name: TableName, high: int, low: int = 1) -> bool:
        """Make sure that no vgate gives any of ``low`` ... ``high`` after this, nor this one anything lower.

        False if there is no such sequence. It costs nothing where no other vgate can have the ids in a block, an UPDATE
        where nobody has, and ``LET_GO`` where they may be in a block that another has to give up.
        """
        key, high, low = key_of(name), min(high, MAXIMUM), min(low, MAXIMUM)
        if await self._passed(key, low, high):
            return True
        async with self._moving[key]:  # who comes meanwhile profits by it
            return await self._passed(key, low, high) or await self._move(key, low, high)

    async def _passed(self, key: TableName, low: int, high: int) -> bool:
        """Give nothing up to ``high`` ourselves; whether nobody else can give what is asked for.

        What nobody can give is known without the metadata keyspace, too.
        """
        try:
            one = await self._current(key)
        except SqlError:
            if key not in self._claims or not self._claims[key][1].covers(low, high):
                raise
            if key not in self._open:
                return True
            one = self._open[key]
        if isinstance(one.line, TimeLine):
            return True
        if isinstance(one.line, GroupLine):
            one.line.block.skip(high)
        return self._claims_of(key, one.definition).covers(low, high)

    async def _move(self, key: TableName, low: int, high: int) -> bool:
        recall = False

        def beyond(now: Definition) -> Definition | None:
            nonlocal recall
            held = now.holder not in ("", self._catalog.me) or low <= now.reached  # by a holder before an ALTER
            recall = now.kind is Kind.GROUP and held and low < now.following
            if not recall:
                return bumped(now, high)
            room = self._claims_of(key, now).room(now.out, self._clock())
            return recalled(bumped(now, min(high + room, MAXIMUM)) or now)

        done = await self._catalog.change(key, beyond, anew=False)
        if done is None:
            self._open.pop(key, None)
            return False
        old, new = done
        claims = self._claims_of(key, new)
        if recall:
            self._open.pop(key, None)
            await self._sleep(LET_GO)
            claims.recalled(new.following, self._clock())
        elif new.kind is Kind.GROUP and new.holder not in ("", self._catalog.me):
            claims.claimed(old.following, new.following)
        elif new.kind is not Kind.TIME and not new.cycle:
            claims.cleared(new.following)
        return True

    def _claims_of(self, key: TableName, one: Definition) -> Claims:
        """What nobody else gives; what was known of another generation is forgotten."""
        generation, claims = self._claims.get(key, (None, None))
        if claims is None or generation != one.generation:
            claims = Claims()
            self._claims[key] = one.generation, claims
        return claims

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
            await self._sleep(LET_GO)

    async def ready(self) -> str:
        """Make the table where it is missing; the keyspace it is in. Raises NO_METADATA_KEYSPACE."""
        return await self._catalog.ready()
