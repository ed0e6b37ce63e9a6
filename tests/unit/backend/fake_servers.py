"""Servers that answer over the protocol without sockets: transactions, rows, locks of nobody, and KILL QUERY.

They stand behind the real ``Cluster``, pools and connections, and answer a little later than asked, in pieces, so that
everything there is to wait for is waited for. They do not know SQL beyond the first word, nor who asks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from vgate.backend.connection import BackendConnection
from vgate.vschema.model import Address
from vgate.wire.constants import Status
from vgate.wire.packets import Ok, bigint_column, err_payload, frame, result_set

INTERRUPTED = frame(err_payload(1317, "70100", "Query execution was interrupted"), 1)

Answer = list[bytes]
"""The pieces that an answer comes in."""


class FakeServer:
    """One server. ``kept`` are the writes that were committed; ``row`` is a sequence's next_id. A statement that is
    ``stuck`` ends when it is killed. ``slow``: how many turns more than others it takes.
    """

    def __init__(self, slow: int = 0) -> None:
        self.slow = slow
        self.sessions: dict[int, FakeSession] = {}
        self.last_id = 0
        self.kept: list[str] = []
        self.killed: list[int] = []
        self.row = 1
        self.said: list[str] = []
        self.stuck = ""

    def __repr__(self) -> str:
        return f"<FakeServer {len(self.sessions)} sessions, {self.open_transactions} in a transaction>"

    @property
    def open_transactions(self) -> int:
        return sum(session.in_transaction for session in self.sessions.values())

    async def connect(self) -> BackendConnection:
        """As ``open_connection``: it takes two turns."""
        self.last_id += 1
        number = self.last_id
        await asyncio.sleep(0)
        session = FakeSession(self, number)
        self.sessions[number] = session
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            session.end()
            raise
        connection = BackendConnection(session, f"shard {number}", number, None)
        session.protocol = connection
        return connection


class FakeSession(asyncio.Transport):
    """The server's end of a connection, and its transport."""

    def __init__(self, server: FakeServer, number: int) -> None:
        super().__init__()
        self.server = server
        self.number = number
        self.protocol: BackendConnection
        self.in_transaction = False
        self.pending: list[str] = []
        self.mark = 0
        self.waits = False
        self.row: int | None = None
        self.gone = False

    # -- the transport --------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        assert not self.gone, "written after the end"
        assert len(data) == int.from_bytes(data[:3], "little") + 4, "one command at a time"
        self._later(self._run, data[5:].decode())

    def abort(self) -> None:
        self.end()

    def end(self) -> None:
        """The connection is gone: what it had not committed is rolled back."""
        self.gone = True
        self.in_transaction = False
        self.server.sessions.pop(self.number, None)

    def pause_reading(self) -> None:
        """Nothing here is large."""

    def resume_reading(self) -> None:
        """Nothing here is large."""

    def is_closing(self) -> bool:
        return self.gone

    # -- the server -----------------------------------------------------------------------------------------------

    def _later(self, what: Callable[..., None], *arguments: Any) -> None:
        """In the turn after the next, or when a slow server is ready."""
        loop = asyncio.get_running_loop()

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                what(*arguments)

        turn(2 + self.server.slow)

    def _run(self, sql: str) -> None:
        if self.gone:
            return
        self.server.said.append(sql)
        self.waits = sql == self.server.stuck
        if not self.waits:
            self._send(self._answer(sql))

    def _send(self, pieces: Answer) -> None:
        if not self.gone:
            self.protocol.data_received(pieces[0])
            if pieces[1:]:
                self._later(self._send, pieces[1:])

    def _answer(self, sql: str) -> Answer:
        word = sql.split()[0].lower()
        match word:
            case "select" | "show":
                return self._rows(sql)
            case "begin" | "start":
                assert not self.in_transaction, "a transaction in a transaction"
                self.in_transaction = True
            case "commit":
                self.server.kept += self.pending
                self.server.row = self.row or self.server.row
                self._over()
            case "rollback" if "savepoint" in sql.lower():
                del self.pending[self.mark :]
            case "savepoint":
                self.mark = len(self.pending)
            case "rollback":
                self._over()
            case "kill":
                number = int(sql.split()[-1])
                self.server.killed.append(number)
                killed = self.server.sessions.get(number)
                if killed is not None and killed.waits:
                    self._later(killed._send, [INTERRUPTED])
            case "update" if (found := re.search(r"next_id = (\d+)", sql)):
                self.row = int(found[1])
                return [self._ok(1)]
            case "insert" | "update":
                self.pending.append(sql)
                if not self.in_transaction:
                    self.server.kept += self.pending
                    self.pending = []
                return [self._ok(1)]
        return [self._ok()]

    def _over(self) -> None:
        self.in_transaction = False
        self.pending = []
        self.row = None

    @property
    def _status(self) -> int:
        return Status.AUTOCOMMIT | (Status.IN_TRANS if self.in_transaction else 0)

    def _ok(self, affected: int = 0) -> bytes:
        return frame(Ok(affected, 0, self._status).payload(), 1)

    def _rows(self, sql: str) -> Answer:
        rows: list[tuple[bytes | None, ...]] = [(b"%d" % number, b"x") for number in (1, 2, 3)]
        if sql.startswith("show") or "information_schema" in sql:
            rows = []
        elif "next_id" in sql:
            rows = [(b"%d" % self.server.row, b"10", None)] if "for update" in sql else []
        columns = [bigint_column(name) for name in (b"a", b"b", b"c")[: len(rows[0]) if rows else 2]]
        data, _ = result_set(columns, rows, status=self._status)
        third = len(data) // 3
        return [data[:third], data[third : 2 * third], data[2 * third :]]


ADDRESS = Address(user="u", password="p", database="d", host="db.example", port=3306)
