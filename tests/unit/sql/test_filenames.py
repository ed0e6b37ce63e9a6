"""The names of directories, as MariaDB 10.11 wrote them: ``CONVERT(... USING filename)``, and databases that were made.

Every character of the BMP is compared in ``integration/test_schema_names.py``.
"""

from __future__ import annotations

import pytest

from vgate.sql.filenames import filename_of

NAMES = {
    "customer": "customer", "zz_a-b": "zz_a@002db", "zz_été": "zz_@0pt@0p", "zz_日本": "zz_@65e5@672c",
    "zz aux": "zz@0020aux", "zz_a/b": "zz_a@002fb", "zz_Ab": "zz_Ab", "zz_ÉЖ": "zz_@0P@M0", "zz.$x": "zz@002e@0024x",
    "aux": "aux@@@", "CON": "CON@@@", "lpt9": "lpt9@@@", "com0": "com0", "com10": "com10", "clock$": "clock@0024",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    assert filename_of(name) == NAMES[name]
