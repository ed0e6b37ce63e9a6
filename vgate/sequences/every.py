"""Every sequence by its name, whoever keeps it: vgate's own kinds, and Vitess's tables that the VSchema declares.

A name that vgate keeps a sequence under is that sequence; any other is a Vitess table. It does not know how either
counts.
"""

from __future__ import annotations

from vgate.sequences.definition import key_of
from vgate.sequences.kinds import Sequences
from vgate.sequences.vitess import VitessSequences
from vgate.vschema.model import TableName


class EverySequence:
    """See the module."""

    __slots__ = ("_keys", "_tables", "own", "vitess")

    def __init__(self, own: Sequences, vitess: VitessSequences) -> None:
        self.own = own
        self.vitess = vitess
        self._keys: dict[TableName, TableName] = {}  # names that were vgate's own when last looked at
        self._tables: set[TableName] = set()  # names that have given values as tables: CREATE SEQUENCE lets them be

    def take_now(self, name: TableName, n: int) -> int | None:
        """The first of ``n`` values, each 1 above the one before, if they are in hand, else None."""
        key = self._keys.get(name)
        return self.vitess.take_now(name, n) if key is None else self.own.take_now(key, n)

    async def take(self, name: TableName, n: int) -> range:
        """``n`` consecutive values. Raises SqlError."""
        return await (self.own.take(name, n) if await self._is_own(name) else self._of_table(name, n))

    async def take_many(self, name: TableName, n: int) -> list[range]:
        """``n`` values, in few runs. Raises SqlError."""
        if await self._is_own(name):
            return await self.own.take_many(name, n)
        return [await self._of_table(name, n)]

    async def _of_table(self, name: TableName, n: int) -> range:
        first = await self.vitess.take(name, n)
        self._tables.add(name)
        return range(first, first + n)

    async def _is_own(self, name: TableName) -> bool:
        if name in self._tables:
            return False
        if await self.own.find(name) is None:
            self._keys.pop(name, None)
            return False
        self._keys[name] = key_of(name)
        return True

    async def bump(self, name: TableName, high: int, low: int = 1) -> None:
        """Make sure that of ``low`` ... ``high``, which rows were given, none is generated after this. Raises SqlError.

        By no vgate: what VTTablets have of a Vitess table nobody can call back.
        """
        if name in self._keys or await self._is_own(name):
            if await self.own.bump(name, high, low):
                return
            self._keys.pop(name, None)
        await self.vitess.bump(name, high, low)
