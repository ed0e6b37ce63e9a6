"""``--part I/N``: the tests that one of N pytest processes runs, so that they can run side by side (``tests/run``).

Tests that run once for each flavour of server go by that, so that each process starts the servers of one flavour only;
the others go by their file. Together the parts are all tests, and no test is in two. It does not know how many cores
there are.
"""

from __future__ import annotations

from zlib import crc32

import pytest

from tests.fix_servers import FLAVOURS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", default="1/1", metavar="I/N", help="run only the I-th of N parts of the tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part, parts = (int(number) for number in config.getoption("--part").split("/"))
    if not 1 <= part <= parts:
        raise pytest.UsageError(f"--part {part}/{parts}: there is no such part")
    chosen = [item for item in items if _number(item) % parts == part - 1]
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if _number(item) % parts != part - 1])
        items[:] = chosen


def _number(item: pytest.Item) -> int:
    called = getattr(item, "callspec", None)
    flavour = None if called is None else called.params.get("flavour")
    return FLAVOURS.index(flavour) if flavour in FLAVOURS else crc32(item.nodeid.partition("::")[0].encode())
