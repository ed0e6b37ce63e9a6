"""The table behind a sequence of Vitess, made where it is missing: with its comment, and its row (0, 1, 1000).

What is there is never changed: a table that is no sequence is refused, and a row keeps its numbers. What counts without
a table of its own (a row of ``vt_sequence``, a sequence of vgate's) gets none: it would begin anew. It does not know
the VSchema, nor the sequences' cache.
"""

from __future__ import annotations

from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection
from vgate.backend.schema import literal
from vgate.errors import NOT_A_SEQUENCE, ServerError
from vgate.sequences.catalog import ClusterCatalog
from vgate.sequences.definition import key_of
from vgate.sequences.row import MARKER, select_named
from vgate.vschema.model import TableName
from vgate.wire.packets import Ok

FIRST: Final = 1
CACHE: Final = 1000
_NO_TABLE: Final = 1146


async def make_backing(cluster: Cluster, name: TableName) -> bool:
    """Make the table and its row where they are missing; False where nothing was.

    Raises SqlError: NOT_A_SEQUENCE, or the server's own.
    """
    table = "`" + name.table.replace("`", "``") + "`"
    if await ClusterCatalog(cluster).find(key_of(name)) is not None:
        return False
    async with cluster.connection(name.keyspace, 0) as connection:
        missing = not await _comments(connection, name)
        if missing and await _is_named(connection, name):
            return False
        await connection.query(
            f"create table if not exists {table} (id bigint not null primary key, next_id bigint not null,"
            f" cache bigint not null) engine = InnoDB comment '{MARKER.decode()}'"
        )
        if not any(MARKER in comment for comment in await _comments(connection, name)):
            raise NOT_A_SEQUENCE(name=name)
        filled = await connection.query(
            f"insert ignore into {table} (id, next_id, cache) select 0, {FIRST}, {CACHE} from dual"
            f" where not exists (select 1 from {table})"
        )
        return missing or (isinstance(filled, Ok) and filled.affected > 0)


async def _comments(connection: BackendConnection, name: TableName) -> list[bytes]:
    """The comment of the table of that name; nothing where there is none."""
    rows = await connection.rows(
        "select TABLE_COMMENT from information_schema.TABLES"
        f" where TABLE_SCHEMA = database() and TABLE_NAME = {literal(name.table)}"
    )
    return [row[0] or b"" for row in rows]


async def _is_named(connection: BackendConnection, name: TableName) -> bool:
    """True if it is a row of ``vt_sequence``."""
    try:
        return bool(await connection.rows(select_named(name).removesuffix(b" for update")))
    except ServerError as error:
        if error.errno != _NO_TABLE:
            raise
        return False
