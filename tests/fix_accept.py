"""``pytest --accept``: golden files are rewritten with what is found, instead of compared. Read the difference!

The flag is for every test that keeps its expectations in a file: those ask for the fixture ``accept``.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="rewrite golden files with what is found")


@pytest.fixture(scope="session")
def accept(request: pytest.FixtureRequest) -> bool:
    """True if golden files are to be rewritten."""
    return bool(request.config.getoption("--accept"))
