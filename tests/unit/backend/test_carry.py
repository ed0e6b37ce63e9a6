"""Settings that a connection is brought to, by a server that refuses some."""

from __future__ import annotations

import pytest

from tests.unit.backend.test_pool import FakeTransport
from vgate.backend.connection import BackendConnection, Rows
from vgate.errors import ServerError
from vgate.session.settings import NO_SETTINGS, Settings, settings_of
from vgate.wire.packets import Ok


class Refusing(BackendConnection):
    """Its server knows no variable called nosuch."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(FakeTransport(), "ks/-", 1, None)
        self.settings = settings
        self.said: list[str] = []

    async def query(self, sql: str | bytes) -> Ok | Rows:
        self.said.append(str(sql))
        if "nosuch" in str(sql):
            raise ServerError(1193, "HY000", "Unknown system variable 'nosuch'")
        return Ok(0, 0, 2, 0)

    async def command(self, payload: bytes) -> Ok | Rows:
        self.said.append(payload.hex())
        return Ok(0, 0, 2, 0)


async def test_what_a_server_does_not_take_back_is_reset() -> None:
    connection = Refusing(settings_of({"nosuch": "1"}))
    wanted = settings_of({"sql_mode": "''"})
    await connection.carry(wanted)
    assert connection.settings is wanted
    assert connection.said[1] == "1f"
    assert connection.said[-1] == "SET SESSION sql_mode = ''"


@pytest.mark.parametrize("held", [True, False])
async def test_what_a_server_does_not_take_is_its_error(held: bool) -> None:
    connection = Refusing(NO_SETTINGS)
    with pytest.raises(ServerError):
        await connection.carry(settings_of({"nosuch": "1"}), held=held)
    assert connection.settings is NO_SETTINGS
    assert connection.usable
    assert "1f" not in connection.said


async def test_what_is_held_keeps_what_it_has() -> None:
    before = settings_of({"nosuch": "1"})
    connection = Refusing(before)
    with pytest.raises(ServerError):
        await connection.carry(NO_SETTINGS, held=True)
    assert connection.settings is before
