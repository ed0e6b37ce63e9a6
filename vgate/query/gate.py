"""What all clients of one process share: the cluster, the sequences, the plan cache and the list of clients.

It does not know any one client's session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from vgate.backend.cluster import Cluster
from vgate.engine.gather import GatherLimits
from vgate.engine.processes import Process
from vgate.errors import UNKNOWN_KEYSPACE, UNKNOWN_SHARD, UNSUPPORTED, SqlError, VgateError
from vgate.query.cache import PlanCache
from vgate.query.living import LivingVSchema
from vgate.sequences.every import EverySequence
from vgate.session.login import Login
from vgate.session.settings import Settings, settings_of
from vgate.session.target import Target, parse_target
from vgate.sql.versioned import Flavour


class Killable(Protocol):
    """A client that KILL can reach."""

    user: str

    def process(self) -> Process:
        """The client as the process list shows it."""
        ...

    def kill(self, *, query_only: bool) -> None:
        """End the client's statement, or the client."""
        ...


@dataclass(slots=True)
class Gate:
    """See the module. ``clients`` maps connection ids to clients."""

    cluster: Cluster
    sequences: EverySequence
    plans: PlanCache
    living: LivingVSchema
    max_allowed_packet: int = 64 << 20
    max_insert_rows: int = 1_000_000
    gather: GatherLimits = field(default_factory=GatherLimits)
    clients: dict[int, Killable] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    _goodbyes: set[asyncio.Task[None]] = field(default_factory=set)

    def closing(self, goodbye: Coroutine[Any, Any, None]) -> None:
        """Run the clean-up of a client that is gone; ``settled`` waits for all of them."""
        task = asyncio.get_running_loop().create_task(goodbye)
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def settled(self) -> None:
        """Wait until every client that is gone has been cleaned up after."""
        while self._goodbyes:
            await asyncio.wait(list(self._goodbyes))

    def statistics(self) -> bytes:
        """What COM_STATISTICS says: of a server's line that which vgate knows."""
        return b"Uptime: %d  Threads: %d" % (time.monotonic() - self.started, len(self.clients))

    def processes(self, user: str) -> list[Process]:
        """This worker's clients of that name."""
        return [client.process() for client in self.clients.values() if client.user == user]

    def target(self, text: str) -> Target:
        """A target string, checked against the VSchema. Raises VgateError (1049, 1235)."""
        if text.lower() == "information_schema":
            return Target(system="information_schema")
        try:
            target = parse_target(text)
        except ValueError as error:
            raise UNSUPPORTED(construct=str(error)) from None
        if target.keyspace is None:
            raise UNKNOWN_KEYSPACE(name=text)
        keyspace = self.cluster.vschema.keyspace(target.keyspace)
        if target.shard is not None and keyspace.shard(target.shard) is None:
            shards = ", ".join(shard.name for shard in keyspace.shards)
            raise UNKNOWN_SHARD(keyspace=keyspace.name, shard=target.shard, shards=shards)
        if target.tablet_type != "primary":
            raise UNSUPPORTED(construct=f"tablet type {target.tablet_type}: there are no such servers, use @primary")
        return target

    def settings_of_login(self, login: Login) -> Settings:
        """The settings that the handshake's collation stands for, as after SET NAMES ... COLLATE.

        An id that the servers do not have means their default, as it does to them.
        """
        facts = self.cluster.facts_for(login.database.partition(":")[0] or None)
        charset, collation = facts.collations.get(login.collation, (facts.charset, facts.collation))
        if charset in UNREADABLE:
            charset, collation = facts.charset, facts.collation
        return settings_of({
            "sql_mode": f"'{facts.sql_mode}'",  # a server's default may change, and with it how it reads statements
            "character_set_client": f"'{charset}'", "character_set_results": f"'{charset}'",
            "collation_connection": f"'{collation}'",
        })  # fmt: skip

    def settings_after_reset(self, login: Login) -> Settings:
        """The settings that COM_RESET_CONNECTION leaves: on MariaDB the handshake's, on MySQL the server's own."""
        facts = self.cluster.facts_for(login.database.partition(":")[0] or None)
        return self.settings_of_login(login if facts.flavour is Flavour.MARIADB else replace(login, collation=0))

    def check_database(self, database: str) -> SqlError | None:
        """Why a client may not select ``database`` at login; None when it may."""
        if not database or database.lower() in SYSTEM_DATABASES:
            return None
        try:
            self.target(database)
        except VgateError as error:
            return error
        return None


UNREADABLE = frozenset({"ucs2", "utf16", "utf16le", "utf32"})
"""Character sets in which statements cannot be read as ASCII; servers take none of them."""

SYSTEM_DATABASES = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
