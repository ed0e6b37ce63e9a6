"""Settings that a stored program, or an EXECUTE, has left behind on the server that runs it.

It knows those by which texts are read, as vgate has to read as its server does, and the one that status flags tell of.
What else was set stays on that server alone, which the session is tied to from then on.
"""

from __future__ import annotations

from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.call import Call
from vgate.errors import SqlError
from vgate.session.settings import BASELINE
from vgate.transactions.scope import AT_HOME, Place

_READING: Final = ("sql_mode", "character_set_client", "character_set_results", "collation_connection")
"""By these texts are read."""


async def follow_settings(call: Call, place: Place, connection: BackendConnection) -> None:
    """Keep what ``call`` has made of them, if it has run a program: nothing else on a server can set any."""
    if call.pins not in AT_HOME or not call.insert_id_read:  # a program may have generated ids, too
        return
    session = call.session
    access = "tx_read_only" if session.keeps_warnings else "transaction_read_only"
    names = (*_READING, access)
    asked = ", ".join(f"CAST(@@SESSION.{name} AS CHAR CHARACTER SET utf8mb4)" for name in _READING)
    try:
        ((*found,),) = await connection.rows(f"SELECT {asked}, @@SESSION.{access} = 1 LIMIT 1")
    except SqlError:
        return
    defaults = {**BASELINE, "sql_mode": call.scope.cluster.facts_for(place[0]).sql_mode, access: "0"}
    now = {name: None if value is None else value.decode() for name, value in zip(names, found, strict=True)}
    before = {name: session.settings.values.get(name, defaults[name]).strip("'") for name in names}
    changes: dict[str, str | None] = {
        name: "NULL" if value is None else f"'{value}'" if name != access else value
        for name, value in now.items()
        if (value or "NULL") != before[name]
    }
    if changes:
        session.settings = connection.settings = session.settings.changed(changes)
