"""The oracle: the same statement through vgate and on one plain server, and every part of the answer compared.

``oracle`` has one session on each side. What differs on purpose is said in the call, never filtered silently. This
module does not know what the right answer is: the plain server does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pymysql
import pytest

from tests.fix_servers import Cluster
from tests.fix_vgate import VgateProcess


@dataclass(frozen=True, slots=True)
class Answer:
    """One result, or an error, as a client sees it. ``columns``: (name, type, flags, length, charset, table)."""

    columns: tuple[tuple[Any, ...], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    affected: int = 0
    insert_id: int = 0
    warnings: int = 0
    info: str = ""
    status: int = 0
    error: tuple[int, str] | None = None

    def sorted(self) -> Answer:
        """The same with its rows in some order of their own."""
        return Answer(
            self.columns, tuple(sorted(self.rows, key=repr)), self.affected, self.insert_id, self.warnings, self.info,
            self.status, self.error,
        )  # fmt: skip


def ask(connection: pymysql.Connection[Any], sql: str | bytes) -> Answer:
    """Run a statement and keep everything of its (first) answer."""
    try:
        connection.query(sql)
    except pymysql.err.MySQLError as error:
        code = error.args[0] if error.args else 0
        return Answer(error=(int(code), str(error.args[1]) if len(error.args) > 1 else ""))
    result = connection._result
    assert result is not None
    columns = tuple(
        (one.name, one.type_code, one.flags, one.length, one.charsetnr, one.table_name, one.scale)
        for one in getattr(result, "fields", None) or ()
    )  # fmt: skip
    message = getattr(result, "message", b"") or b""
    rows = tuple(result.rows or ())
    return Answer(
        columns, rows, 0 if columns else result.affected_rows or 0, getattr(result, "insert_id", 0) or 0,
        getattr(result, "warning_count", 0) or 0,
        message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message),
        getattr(result, "server_status", 0) or 0,
    )  # fmt: skip


@dataclass(slots=True)
class Oracle:
    """Two sessions that must not be told apart."""

    vgate: pymysql.Connection[Any]
    plain: pymysql.Connection[Any]
    cluster: Cluster
    process: VgateProcess
    asked: list[str] = field(default_factory=list)

    def both(self, sql: str, *, ordered: bool = False, ignore: Sequence[str] = ()) -> Answer:
        """Ask both and compare; returns vgate's answer. Rows of several shards have no order unless one is asked for.

        ``ignore`` names fields of ``Answer`` that may differ; of errors only the number is compared.
        """
        self.asked.append(sql)
        mine, theirs = ask(self.vgate, sql), ask(self.plain, sql)
        if not ordered:
            mine, theirs = mine.sorted(), theirs.sorted()
        for name in ("error", "columns", "rows", "affected", "insert_id", "warnings", "info"):
            if name in ignore:
                continue
            left, right = getattr(mine, name), getattr(theirs, name)
            if name == "error" and left is not None and right is not None:
                left, right = left[0], right[0]
            said = f"{name} of {sql!r}: vgate {getattr(mine, name)!r}, one server {getattr(theirs, name)!r}"
            assert left == right, said
        assert mine.status & 0x1 == theirs.status & 0x1 or "status" in ignore, f"transaction state after {sql!r}"
        return mine

    def only_vgate(self, sql: str) -> Answer:
        """Ask vgate alone: for what one server has no word for."""
        return ask(self.vgate, sql)

    def only_plain(self, sql: str) -> Answer:
        """Ask the plain server alone."""
        return ask(self.plain, sql)

    def refused(self, sql: str, construct: str) -> None:
        """vgate refuses the statement, naming the construct, and goes on as if nothing had been."""
        answer = ask(self.vgate, sql)
        assert answer.error is not None, f"{sql!r} was answered: {answer}"
        assert answer.error[0] == 1235, answer.error
        assert construct.lower() in answer.error[1].lower(), answer.error
        assert ask(self.vgate, "select 1").rows == ((1,),)


@pytest.fixture
def oracle(fresh: Cluster, vgate_process: VgateProcess) -> Iterator[Oracle]:
    """Sessions in keyspace ``customer``, and in the database of that name on the plain server; both empty."""
    with closing(vgate_process.connect("customer")) as one, closing(fresh.plain.connect("customer")) as other:
        yield Oracle(one, other, fresh, vgate_process)
