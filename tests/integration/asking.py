"""Scripts asked of both sides of the oracle, statements that wait, and waiting for what they wait for.

This module does not know what any test is about.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pymysql

from tests.fix_oracle import Answer, Oracle, ask
from tests.fix_servers import Server

Connection: TypeAlias = "pymysql.Connection[Any]"

WITHIN = 20.0


def scripts(text: str) -> list[str]:
    """One script per line; a backslash at its end goes on with the next line, and a written ``\\n`` is a line's end."""
    return [line.replace(r"\n", "\n") for line in text.strip().replace("\\\n", "").splitlines()]


def run(oracle: Oracle, script: str, ignore: Sequence[str] = ("insert_id", "info")) -> None:
    """Statements with semicolons between them, each asked of both."""
    for statement in filter(None, map(str.strip, script.split(";"))):
        oracle.both(statement, ignore=ignore)


def until(what: Callable[[], object], message: str) -> None:
    """Wait for the thing itself."""
    deadline = time.monotonic() + WITHIN
    while not what():
        assert time.monotonic() < deadline, message


class Later:
    """A statement that runs in a thread of its own, because it will have to wait."""

    def __init__(self, connection: Connection, sql: str) -> None:
        self._answer: Answer | None = None
        self._thread = threading.Thread(target=self._run, args=(connection, sql), daemon=True)
        self._thread.start()

    def _run(self, connection: Connection, sql: str) -> None:
        self._answer = ask(connection, sql)

    def result(self) -> Answer:
        """Its answer, when it has come."""
        self._thread.join(WITHIN)
        assert self._answer is not None, "the statement still waits"
        return self._answer


def working(server: Server, text: str) -> bool:
    """True while a statement with this text is being worked on, or waits."""
    return server.query(
        "select count(*) from information_schema.processlist"
        f" where info like '%{text}%' and id <> connection_id() and command <> 'Sleep'"
        " and info not like '%information_schema.processlist%'"  # this question, asked before by one that is not gone
    ) != ((0,),)


def open_transactions(server: Server) -> int:
    """How many there are now: information_schema.innodb_trx is a copy that stays as it is while it is read often."""
    [[_, _, status]] = server.query("show engine innodb status")
    return len(re.findall(r"^---TRANSACTION \d+, ACTIVE", status, re.MULTILINE))


def number_of(connection: Connection) -> int:
    """Its connection id, as vgate has it."""
    return int(ask(connection, "select connection_id()").rows[0][0])
