"""SQLAlchemy's own suite for dialects, on unsharded keyspaces and directly on the same kind of server.

What passes directly must pass through vgate; what a server cannot do, it need not do through vgate either. The suite
runs in a process and a directory of its own (``programs/compliance``), where the settings of these tests do not apply.

Every time the tests of ``CHOSEN`` are run; the whole suite, which makes and looks at tables for minutes, is marked
``slow``. A sequence is SIMPLE where its kind is not said: so it counts from 1, as a MariaDB server's does.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlalchemy import URL

from tests.fix_servers import Cluster
from tests.fix_vgate import PASSWORD, USER, StartVgate

SUITE = Path(__file__).with_name("programs") / "compliance"
SCHEMAS = ("test", "test_schema", "test_schema_2")
VSCHEMA = "metadata_keyspace: kept\nsequence_kind: simple\nkeyspaces:\n" + "".join(
    f"  {name}: {{sharded: false, shards: ['-']}}\n" for name in (*SCHEMAS, "kept")
)
CHOSEN = """
BinaryTest CTETest CompoundSelectTest DateTest DateTimeTest ExpandingBoundInTest FetchLimitOffsetTest HasSequenceTest
HasTableTest InsertBehaviorTest IntegerTest JSONTest JoinTest LastrowidTest LikeFunctionsTest NumericTest
OrderByLabelTest PercentSchemaNamesTest RowCountTest RowFetchTest SameNamedSchemaTableTest SequenceTest
ServerSideCursorsTest StringTest TableDDLTest TableViaSelectTest TextTest TransactionTest UnicodeTextTest UpdateDelete
WindowFunctionTest
"""
SETTINGS = "[sqla_testing]\nrequirement_cls = requirements:Requirements\nprofile_file = profiles.txt\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the suite's tests: those that passed, and the others with what they said."""

    passed: frozenset[str]
    failed: dict[str, str]
    said: str


def run(directory: Path, url: URL, chosen: str) -> Outcome:
    """The tests of those names against one address."""
    directory.mkdir()
    (directory / "setup.cfg").write_text(SETTINGS)
    command = [
        sys.executable, "-m", "pytest", "-p", "sqlalchemy.testing.plugin.pytestplugin", "-p", "no:cacheprovider", "-q",
        "-p", "no:asyncio", "--noconftest", "--rootdir", str(directory), "-c", str(directory / "setup.cfg"),
        "--junitxml", str(directory / "report.xml"), "--maxfail", "100000", "--tb", "short",
        "-k", chosen, "--dburi", url.render_as_string(hide_password=False),
        str(SUITE / "suite.py"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=directory, env={"PYTHONPATH": str(SUITE), "PATH": ""}, capture_output=True,
                          text=True, check=False, timeout=1200)  # fmt: skip
    return read(directory / "report.xml", done.stdout + done.stderr)


def read(report: Path, said: str) -> Outcome:
    assert report.exists(), said
    passed: set[str] = set()
    failed: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        fault = next((one for one in case if one.tag in ("failure", "error")), None)
        if fault is not None:
            failed[name] = fault.text or ""
        elif case.find("skipped") is None:
            passed.add(name)
    return Outcome(frozenset(passed - failed.keys()), failed, said)


@pytest.mark.timeout(600)
def test_what_passes_directly_passes_through_vgate(cluster: Cluster, start_vgate: StartVgate, tmp_path: Path) -> None:
    compare(cluster, start_vgate, tmp_path, " or ".join(CHOSEN.split()), least=400)


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_the_whole_suite(cluster: Cluster, start_vgate: StartVgate, tmp_path: Path) -> None:
    compare(cluster, start_vgate, tmp_path, "", least=1400)


def compare(cluster: Cluster, start_vgate: StartVgate, directory: Path, chosen: str, least: int) -> None:
    """Run the tests directly and through vgate; at least so many must pass directly."""
    plain = cluster.plain
    for server in cluster.servers:  # tables of other tests would be found
        for name in SCHEMAS:
            server.query(f"drop database if exists `{name}`")
    for name in SCHEMAS:
        plain.query(f"create database {name} character set utf8mb4")
    vgate = start_vgate(VSCHEMA)
    try:
        direct = run(directory / "direct", URL.create(
            "mysql+pymysql", plain.user, plain.password, plain.host, plain.port, "test"), chosen)  # fmt: skip
        through = run(directory / "through", URL.create(
            "mysql+pymysql", USER, PASSWORD, vgate.host, vgate.port, "test"), chosen)  # fmt: skip
    finally:
        for server in (plain, *cluster.shards.values()):
            for (name,) in server.query("show databases like 'test%'"):
                server.query(f"drop database `{name}`")
    assert len(direct.passed) >= least, direct.said
    worse = sorted(direct.passed - through.passed)
    assert not worse, "\n".join(f"{name}\n{through.failed.get(name, 'it did not run')}" for name in worse)
