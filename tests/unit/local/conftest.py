"""Both installations for the tests of private servers, whatever servers the other tests are aimed at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fix_servers import MISSING, REMEDY, find_flavour
from vgate.local.programs import Programs
from vgate.sql.versioned import Flavour


@pytest.fixture(scope="session", params=list(Flavour))
def programs(request: pytest.FixtureRequest) -> Programs:
    """One installation after the other."""
    found = find_flavour(request.param)
    if found is None:
        MISSING[request.param] = REMEDY[request.param]
        pytest.skip(REMEDY[request.param])
    return found


@pytest.fixture(scope="session")
def installation() -> Programs:
    """Any one installation."""
    found = find_flavour(Flavour.MARIADB) or find_flavour(Flavour.MYSQL)
    if found is None:
        pytest.skip("no database server was found")
    return found


@pytest.fixture(scope="session")
def templates(pytestconfig: pytest.Config) -> Path:
    """The same templates that the other servers of the session are made from."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("server-templates")
