"""What is on the servers, and what an answer says of a fault.

It does not know how faults are made.
"""

from __future__ import annotations

import yaml

from tests.fix_oracle import Answer, ask
from tests.fix_servers import KEYSPACES, Cluster, Server
from tests.integration.asking import Connection, open_transactions

LOST, UNREACHABLE, EXHAUSTED, BROKEN = 2013, 2003, 1203, 1105
PLACES = 4
"""Connections to each shard."""

LOW, HIGH, PRODUCT = "customer/-80", "customer/80-", "product/-"
POOLS = yaml.safe_dump({"pools": {"max_connections": PLACES, "wait": 0.5, "connect": 5}})


def idle(server: Server) -> bool:
    """True if the server works for nobody, and no transaction is open."""
    [[statements]] = server.query(
        "select count(*) from information_schema.processlist where command not in ('Sleep', 'Daemon', 'Binlog Dump')"
        f" and id <> connection_id() and db in {KEYSPACES}"
    )
    return bool(statements == 0 == open_transactions(server))


def alive(client: Connection) -> bool:
    """True if vgate has not cut it off."""
    return ask(client, "select 1").rows == ((1,),)


def n_of(cluster: Cluster, number: int) -> object:
    """What the servers have stored."""
    rows = [row for place in (LOW, HIGH) for row in cluster[place].query(
        f"select n from customer where customer_id = {number}", "customer")]  # fmt: skip
    assert len(rows) < 2
    return rows[0][0] if rows else None


def lost(answer: Answer, *errors: int) -> None:
    assert answer.error is not None
    assert answer.error[0] in (errors or (LOST,)), answer
