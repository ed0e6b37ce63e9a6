"""The process list: vgate's clients as rows of information_schema.PROCESSLIST, written out as SQL.

For a statement that was relayed at once, its server says how long it has been running. It does not know how clients
are kept, nor the columns of any one version: what is not vgate's to tell is 0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection
from vgate.errors import SqlError
from vgate.sql.names import text_literal
from vgate.wire.packets import ColumnDefinition


@dataclass(frozen=True, slots=True)
class Process:
    """One client. ``statement`` is what it waits for (None: it is idle), ``seconds`` for how long, as far as vgate
    knows; ``backend`` the connection that answers.
    """

    id: int
    user: str
    host: str
    database: str | None
    statement: bytes | None
    seconds: int | None = None
    backend: BackendConnection | None = None


async def rows_of(processes: Sequence[Process], columns: Sequence[ColumnDefinition], cluster: Cluster) -> list[bytes]:
    """A SELECT for each process, with these columns."""
    ages = await _ages(processes, cluster)
    found: list[bytes] = []
    for one in processes:
        values = _values(one, ages)
        items = (_item(values, column.name.decode().upper()) for column in columns)
        found.append(b"SELECT " + b", ".join(items))
    return found


def _item(values: Mapping[str, bytes], name: str) -> bytes:
    return b"%b AS `%b`" % (values.get(name, b"0"), name.encode())


def _values(one: Process, ages: Mapping[BackendConnection, int]) -> dict[str, bytes]:
    seconds = ages.get(one.backend) if one.backend is not None and one.seconds is None else one.seconds
    info = b"NULL" if one.statement is None else text_literal(one.statement.decode("utf-8", "replace"))
    return {
        "ID": b"CAST(%d AS UNSIGNED)" % one.id, "USER": text_literal(one.user), "HOST": text_literal(one.host),
        "DB": b"NULL" if one.database is None else text_literal(one.database),
        "COMMAND": text_literal("Sleep" if one.statement is None else "Query"),
        "TIME": b"NULL" if seconds is None else b"%d" % seconds,
        "STATE": text_literal("" if one.statement is None else "executing"), "INFO": info, "INFO_BINARY": info,
    }  # fmt: skip


async def _ages(processes: Sequence[Process], cluster: Cluster) -> dict[BackendConnection, int]:
    """How long the servers have been at the statements of which vgate does not know it."""
    busy = {one.backend for one in processes if one.backend is not None and one.seconds is None}
    found: dict[BackendConnection, int] = {}
    for keyspace, servers in cluster.keyspaces.items():
        for pools in servers.pools:
            for index, pool in enumerate(pools):
                here = [connection for connection in busy if connection.owner is pool]
                if here:
                    found.update(await _asked(cluster, keyspace, index, here))
    return found


async def _asked(
    cluster: Cluster, keyspace: str, index: int, connections: Collection[BackendConnection]
) -> dict[BackendConnection, int]:
    threads = {connection.thread_id: connection for connection in connections}
    listed = ", ".join(map(str, threads))
    sql = f"SELECT ID, TIME FROM information_schema.PROCESSLIST WHERE ID IN ({listed})"
    try:
        rows = await cluster.ask_for(keyspace, index)(sql)
    except SqlError:  # a server that does not answer does not make the list fail
        return {}
    return {threads[int(number or 0)]: int(seconds or 0) for number, seconds in rows}
