"""The rules of the house that no linter knows: rooms, docstrings, names, sizes, doors.

Which room may use which is written in ``pyproject.toml`` ([tool.importlinter]); here it is run, and made sure that no
room is left out. Style and types are ruff's and mypy's, which ``make test`` runs itself.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
TOP_LEVEL = {
    "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "vschema.yaml", "docker-compose.yml", "Dockerfile",
    "Makefile", "vgate", "tests", "bench",
}  # fmt: skip
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
PURE = {"sql", "wire", "vindex", "vschema", "planner", "session", "keyrange", "config", "yamlfile", "errors"}

DOORS = {
    ("vgate/frontend/connection.py", "_run"): "one connection's command: the fault is logged, the client told",
    ("vgate/sequences/lines.py", "_run"): "the root of a fetch's task: the fault is logged, the waiters told",
    ("vgate/sequences/vitess.py", "_check"): "the root of a check's task: the fault is logged, the waiters told",
    ("vgate/sequences/vitess.py", "_refill"): "the root of a refill's task: the fault is logged, the waiters told",
}
"""Where ``except Exception`` may stand without raising again, by file and function, and why."""


def sources(*places: str) -> list[Path]:
    return sorted(path for place in places for path in (REPOSITORY / place).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


VGATE = pytest.mark.parametrize("path", sources("vgate"), ids=name_of)
ALL = pytest.mark.parametrize("path", sources("vgate", "tests", "bench"), ids=name_of)


# -- rooms --------------------------------------------------------------------------------------------------------


def contracts() -> dict[str, dict[str, Any]]:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["importlinter"]
    return {contract["id"]: contract for contract in settings["contracts"]}


def rooms() -> set[str]:
    entries = (REPOSITORY / "vgate").iterdir()
    return {
        path.stem for path in entries
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }  # fmt: skip


def test_rooms_import_downstairs_only() -> None:
    """In a process of its own: import-linter disables every logger there is."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[done.stdout.find("Contracts") :] + done.stderr


def test_every_room_has_its_floor() -> None:
    floors = {name for layer in contracts()["rooms"]["layers"] for name in re.findall(r"\w+", layer)}
    assert rooms() <= floors
    assert floors - rooms() <= {"reshard"}


@pytest.mark.parametrize(
    ("contract", "bound"),
    [
        ("aiomysql", lambda: rooms() - {"backend"}),
        ("mysql_mimic", lambda: rooms() - {"frontend"}),
        ("pure", lambda: PURE),
    ],
)
def test_no_room_is_left_out_of_a_contract(contract: str, bound: Any) -> None:
    assert {module.removeprefix("vgate.") for module in contracts()[contract]["source_modules"]} == bound()


# -- modules ------------------------------------------------------------------------------------------------------


@ALL
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), f"{name_of(path)} has no docstring"


@VGATE
def test_a_module_says_what_it_does_not_know(path: Path) -> None:
    """First paragraph: what it knows. Another: what it deliberately does not."""
    if path.name == "__init__.py":
        return
    text = ast.get_docstring(parsed(path)) or ""
    assert "\n\n" in text or re.search(r"\b(not|no|nothing|never|only)\b", text), f"{name_of(path)}: {text!r}"


@pytest.mark.parametrize("path", [path for path in sources("vgate") if path.name == "__init__.py"], ids=name_of)
def test_a_package_holds_its_docstring_only(path: Path) -> None:
    body = parsed(path).body
    assert len(body) == 1, f"{name_of(path)} holds code; write it where it belongs"


@ALL
def test_a_long_module_says_why_it_is_one_thing(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    if lines > 600:
        text = ast.get_docstring(parsed(path)) or ""
        assert "one thing" in text, f"{name_of(path)} has {lines} lines, and its docstring does not say why"


@ALL
def test_names_say_something(path: Path) -> None:
    parts = {word for part in path.relative_to(REPOSITORY).with_suffix("").parts for word in part.split("_")}
    assert not parts & FORBIDDEN_NAMES


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="not a clone: what belongs to it is not known")
def test_the_top_level_stays_small() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


# -- doors --------------------------------------------------------------------------------------------------------


def swallowing(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Function and line of every handler that takes any exception and does not end by raising."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.ExceptHandler) and takes_all(node) and not isinstance(node.body[-1], ast.Raise):
            yield function, node.lineno
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    return walk(tree, "<module>")


def takes_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(one is None or (isinstance(one, ast.Name) and one.id.endswith("Exception")) for one in caught)


def test_only_the_doors_swallow_exceptions() -> None:
    found = {
        (name_of(path), function): line
        for path in sources("vgate", "bench")
        for function, line in swallowing(parsed(path))
    }
    assert set(found) - set(DOORS) == set(), found
    assert set(DOORS) - set(found) == set(), "a door that is no longer there"


def test_tests_wait_for_things_and_not_for_time() -> None:
    """``sleep(0)`` lets others run and is allowed; polling belongs behind a condition."""
    for path in sources("tests"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
                duration = node.args[0] if node.args else None
                zero = isinstance(duration, ast.Constant) and duration.value == 0
                assert zero, f"{name_of(path)}:{node.lineno} sleeps"
