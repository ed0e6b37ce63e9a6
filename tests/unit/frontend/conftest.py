"""Everything in this room runs on both event loops, which differ where transports change hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from tests.unit.frontend.raw_client import OPENED


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The stock loop, and the one vgate runs on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    """Where a unix socket may be."""
    return tmp_path / "vgate.sock"


@pytest_asyncio.fixture(autouse=True)
async def close_clients() -> AsyncIterator[None]:
    """Close what a test has left open, so that no socket outlives its loop."""
    yield
    for client in OPENED:
        client.abort()
    OPENED.clear()
    for _ in range(3):
        await asyncio.sleep(0)
