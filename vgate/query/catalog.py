"""What the planner may look at while it plans one statement: the VSchema as it was then, and tables asked for so far.

It does not ask servers: see ``planner.catalog.NeedTables``.
"""

from __future__ import annotations

from vgate.backend.cluster import Cluster
from vgate.planner.columns import TableInfo
from vgate.vschema.model import TableName, VSchema


class Catalog:
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._vschema = cluster.vschema

    @property
    def vschema(self) -> VSchema:
        return self._vschema

    def table(self, name: TableName) -> TableInfo | None:
        return self._cluster.table(name)
