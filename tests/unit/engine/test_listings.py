"""SHOW statements that list what all databases have, without some."""

from __future__ import annotations

import pytest

from vgate.engine.listings import without
from vgate.sql.lexer import LexMode, lexer_for

KEPT = "`Db` NOT IN (_utf8mb4 0x61, _utf8mb4 0x622d)"
STATEMENTS = {
    "show procedure status": f"show procedure status WHERE {KEPT}",
    "SHOW  Function STATUS ;": f"SHOW  Function STATUS WHERE {KEPT} ;",
    "show procedure status like 'p%'": f"show procedure status WHERE `Name` like 'p%' AND {KEPT}",
    "show procedure status where db = 'x' or 1 -- all":
        f"show procedure status WHERE ( db = 'x' or 1) AND {KEPT} -- all",
    "show open tables from x": "show open tables from x",
    "show open tables": f"show open tables WHERE {KEPT.replace('Db', 'Database')}",
    "show procedure code p": "show procedure code p",
    "show tables": "show tables",
}  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements(statement: str) -> None:
    found = without({"a", "b-"}, statement.encode(), lexer_for(LexMode()))
    assert found.decode() == STATEMENTS[statement]
