"""``stocked`` behind lines that a test can cut, hold, and make drip; ``clients`` are more of its clients.

Every test ends with a look at what is left: no transaction, no statement, and every place of every pool is free. This
module does not know which faults there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

import pytest

from tests.fix_oracle import Oracle, ask
from tests.fix_servers import Cluster
from tests.fix_vgate import USERS, VgateProcess
from tests.integration.asking import Connection, until
from tests.integration.conftest import serve
from tests.integration.faults.lines import Exchange, Line
from tests.integration.faults.state import PLACES, POOLS, idle


@pytest.fixture(scope="module")
def lines(cluster: Cluster) -> Iterator[dict[str, Line]]:
    """vgate's ways to the shards."""
    exchange = Exchange()
    yield {name: exchange.line(server) for name, server in cluster.shards.items()}
    exchange.close()


@pytest.fixture(scope="module")
def standing(
    cluster: Cluster, lines: dict[str, Line], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VgateProcess]:
    """vgate behind those lines, with small pools."""
    cluster.clear()
    shards = {name: replace(server, host="127.0.0.1", port=lines[name].port) for name, server in cluster.shards.items()}
    vgate = serve(tmp_path_factory.mktemp("faulty"), replace(cluster, shards=shards), USERS + POOLS)
    yield vgate
    vgate.kill()


@pytest.fixture(autouse=True)
def nothing_is_left(standing: VgateProcess, cluster: Cluster, lines: dict[str, Line]) -> Iterator[None]:
    """When all clients are gone, servers have nothing to do for them, and as many clients as places get one each."""
    yield
    for line in lines.values():
        line.let_go()
        line.piece = 1 << 16
    for name, server in cluster.shards.items():
        until(partial(idle, server), f"{name} has a transaction or statement of a client that is gone")
    with ExitStack() as stack:
        for _ in range(PLACES):
            client = stack.enter_context(closing(standing.connect("customer", ssl_disabled=True)))
            for sql in ("begin", "select count(*) from product.product", "select 1 from customer where customer_id = 0",
                        "select customer_id from customer"):  # fmt: skip
                answer = ask(client, sql)
                assert answer.error is None or answer.error[0] == 1146, answer
    for line in lines.values():
        assert line.connections <= PLACES
    assert "Traceback" not in standing.errors


@pytest.fixture
def clients(stocked: Oracle) -> Iterator[Callable[[], Connection]]:
    """As many clients as a test asks for."""
    made: list[Connection] = []

    def connect() -> Connection:
        made.append(stocked.process.connect("customer", ssl_disabled=True))
        return made[-1]

    yield connect
    for client in made:
        client._force_close()
