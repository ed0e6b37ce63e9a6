"""The VSchema while vgate runs: changed by ALTER VSCHEMA, by an edit of its file, or by another proxy that shares it.

One door for all of them: what the file says is examined as at the start, and taken up as a whole or not at all.
Publishing swaps the cluster's VSchema and drops all plans in one synchronous step, so that sessions meet it at their
next statement while statements under way end on what they began with. A file that is at fault, or asks for other
shards, is refused in the log, and the old VSchema stays. It does not know statements, nor how a text is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from vgate.backend.cluster import Cluster
from vgate.errors import VSCHEMA_FILE, VSCHEMA_RESTART, VgateError
from vgate.query.cache import PlanCache
from vgate.query.siblings import Siblings
from vgate.sequences.backing import make_backing
from vgate.sql.alter_vschema import AddSequence, Change
from vgate.vschema.file import Stamp, VSchemaFile, needs_restart, with_addresses_of
from vgate.vschema.model import TableName, TableType, VSchema

log = logging.getLogger("vgate")

POLL: Final = 1.0


@dataclass(slots=True)
class LivingVSchema:
    """See the module. ``file`` is None where there is none to change; ``stamp``: the state it was read in."""

    cluster: Cluster
    plans: PlanCache
    siblings: Siblings
    file: VSchemaFile | None = None
    stamp: Stamp | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _making: WeakValueDictionary[TableName, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    # -- changes --------------------------------------------------------------------------------------------------

    async def change(self, changes: Sequence[Change]) -> None:
        """Carry out all of ``changes`` or none: in the file, here, and in the other workers. Raises SqlError."""
        if self.file is None:
            raise VSCHEMA_FILE(reason="this vgate was not started from a file")
        async with self._lock:
            if len(changes) == 1 and await self._completes(changes[0]):
                return
            if any(isinstance(one, AddSequence) for one in changes):
                await asyncio.to_thread(self.file.try_change, changes, self._accept)
                for one in changes:
                    if isinstance(one, AddSequence):
                        await make_backing(self.cluster, TableName(one.keyspace, one.sequence))
            vschema, self.stamp = await asyncio.to_thread(self.file.change, changes, self._accept)
            await self._publish(vschema)
        await self.siblings.tell("vschema")

    async def _completes(self, change: Change) -> bool:
        """ADD SEQUENCE of one that the VSchema has, whose table or row is missing: then there is no more to change."""
        if not isinstance(change, AddSequence):
            return False
        keyspace = self.cluster.vschema.keyspaces.get(change.keyspace)
        table = keyspace.tables.get(change.sequence) if keyspace is not None else None
        if table is None or table.type is not TableType.SEQUENCE:
            return False
        return await make_backing(self.cluster, table.name)

    async def catch_up(self) -> bool:
        """Take up what others have written into the file meanwhile; False where that is nothing."""
        if self.file is None or self.file.stamp() == self.stamp:
            return False
        await self.reload()
        return True

    def making(self, table: TableName) -> asyncio.Lock:
        """Held by the one statement that makes a table of that name, with what belongs to it."""
        lock = self._making.get(table)
        if lock is None:
            lock = self._making[table] = asyncio.Lock()
        return lock

    def _accept(self, found: VSchema) -> None:
        """Raises VSCHEMA_RESTART where a vgate that runs cannot take it up."""
        running = self.cluster.vschema
        reason = needs_restart(running, with_addresses_of(running, found))
        if reason:
            raise VSCHEMA_RESTART(reason=reason)

    async def _publish(self, found: VSchema) -> None:
        vschema = with_addresses_of(self.cluster.vschema, found)
        for warning in await self.cluster.follow(vschema):
            log.warning("%s", warning)
        self.plans.clear()

    # -- the file -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Read the file again soon, whether it has changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """Take up edits of the file, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._asked.wait()
            if self._asked.is_set() or (self.file is not None and self.file.stamp() != self.stamp):
                self._asked.clear()
                await self.reload()

    async def reload(self) -> None:
        """Take up what the file says; where that cannot be, say why in the log, and keep what is."""
        if self.file is None:
            return
        async with self._lock:
            examined, self.stamp = await asyncio.to_thread(self.file.examine)
            for problem in examined.warnings if examined.vschema is not None else ():
                log.warning("%s", problem)
            if examined.vschema is None:
                faults = "\n  ".join(map(str, examined.faults))
                log.error("the VSchema was not taken up, the old one stays:\n  %s", faults)
                return
            try:
                self._accept(examined.vschema)
            except VgateError as error:
                log.error("%s: the VSchema was not taken up, the old one stays: %s", self.file.path, error.message)
                return
            await self._publish(examined.vschema)
        log.info("%s: taken up as version %d", self.file.path, self.cluster.vschema.version)

    # -- tables and siblings --------------------------------------------------------------------------------------

    async def tables_changed(self, keyspace: str) -> None:
        """DDL ran: tables and plans have to be looked at anew, in every worker."""
        self._forget(keyspace)
        await self.siblings.tell("tables", keyspace)

    def _forget(self, keyspace: str) -> None:
        self.cluster.forget_tables(keyspace)
        self.plans.clear()

    async def heard(self, what: str, name: str) -> str:
        """Another worker tells of a change."""
        if what == "tables":
            self._forget(name)
        else:
            await self.reload()
        return ""
