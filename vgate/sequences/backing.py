"""The table behind a sequence of Vitess, made where it is missing: with its comment, and its row (0, 1, 1000).

What is there is never changed: a table that is no sequence is refused, and a row keeps its numbers. It does not know
the VSchema, nor the sequences' cache.
"""

from __future__ import annotations

from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.schema import literal
from vgate.errors import NOT_A_SEQUENCE
from vgate.sequences.row import MARKER
from vgate.vschema.model import TableName

FIRST: Final = 1
CACHE: Final = 1000


async def make_backing(cluster: Cluster, name: TableName) -> None:
    """Make the table and its row where they are missing. Raises SqlError: NOT_A_SEQUENCE, or the server's own."""
    table = "`" + name.table.replace("`", "``") + "`"
    async with cluster.connection(name.keyspace, 0) as connection:
        await connection.query(
            f"create table if not exists {table} (id bigint not null primary key, next_id bigint not null,"
            f" cache bigint not null) engine = InnoDB comment '{MARKER.decode()}'"
        )
        rows = await connection.rows(
            "select TABLE_COMMENT from information_schema.TABLES"
            f" where TABLE_SCHEMA = database() and TABLE_NAME = {literal(name.table)}"
        )
        if MARKER not in (rows[0][0] or b"" if rows else b""):
            raise NOT_A_SEQUENCE(name=name)
        await connection.query(
            f"insert ignore into {table} (id, next_id, cache) select 0, {FIRST}, {CACHE} from dual"
            f" where not exists (select 1 from {table})"
        )
