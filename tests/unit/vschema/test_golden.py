"""Bad VSchemas and what is said of them: every fault and warning, with its line and its remedy.

Each file in ``tests/golden/vschema`` says in its first line why it is there, and ends with what is expected: ``#!`` for
a fault and ``#?`` for a warning. VGATE_REWRITE_GOLDEN=1 rewrites that end; read the difference before keeping it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vgate.vschema.load import examine

DIRECTORY = Path(__file__).resolve().parents[2] / "golden" / "vschema"
CASES = sorted(DIRECTORY.glob("*.yaml"))
ENVIRON = {"PW": "secret"}


def split(text: str) -> tuple[str, list[str]]:
    """The file without its expectations, and those."""
    lines = text.splitlines()
    body = [line for line in lines if not line.startswith(("#! ", "#? "))]
    return "\n".join(body) + "\n", [line for line in lines if line.startswith(("#! ", "#? "))]


def examined(path: Path, body: str) -> list[str]:
    """What is said of ``body``, as the file writes it: without its own name."""

    def read_file(name: str) -> str:
        return (path.parent / name).read_text(encoding="utf-8")

    result = examine(body, filename="", environ=ENVIRON, read_file=read_file)
    assert (result.vschema is None) == bool(result.faults)
    return [f"#! {str(problem)[1:]}" for problem in result.faults] + [
        f"#? {str(problem)[1:]}" for problem in result.warnings
    ]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_bad_vschema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# "), "the first line must say why the case is there"
    body, expected = split(text)
    found = examined(path, body)
    if os.environ.get("VGATE_REWRITE_GOLDEN"):
        path.write_text(body + "\n".join(found) + "\n", encoding="utf-8")
        return
    assert found == expected


def test_every_case_finds_a_fault() -> None:
    assert len(CASES) > 10
    for path in CASES:
        assert "\n#! " in path.read_text(encoding="utf-8"), path.name
