"""An answer that is kept until it is whole, as something is to be done with it before the client hears of it.

What is kept is bounded; servers whose answer exceeds that are told to stop. It does not know what is done with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection
from vgate.engine.gather import GatherLimits
from vgate.engine.gathered_rows import RowCutter
from vgate.engine.output import AnswerCut, Downstream, Output
from vgate.errors import BACKEND_LOST, KEPT_ROWS, SqlError

_LONG_EOF: Final = 9
"""From so many bytes on a packet that begins as an EOF is none."""

_DESCRIPTION: Final = 4100
"""At most so many packets are no rows: a server's result has 4096 columns."""


@dataclass(frozen=True, slots=True)
class KeptRows:
    """A result set, as payloads: the columns' definitions, the packet behind them, the rows, and what ends them."""

    columns: list[bytes]
    described: bytes
    rows: list[bytes]
    end: bytes


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """``done`` is False after a server's error. ``last``: the payload that ends it; ``rows``: unless it has none."""

    done: bool
    last: bytes
    rows: KeptRows | None


async def keep(
    out: Output, cluster: Cluster, limits: GatherLimits, construct: str, statement: Callable[[Output], Awaitable[bool]]
) -> KeptAnswer:
    """What ``statement`` answers, instead of ``out``. Raises what it raises, and KEPT_ROWS for an answer beyond the
    limits, of which ``construct`` says what it is.
    """
    kept = _Kept(out.down, limits, construct)
    inner = Output(kept, out.session, out.sequence)
    inner.more, inner.binary = out.more, out.binary
    watch = asyncio.ensure_future(_stop(kept, cluster))
    try:
        done = await statement(inner)
    except AnswerCut:
        raise BACKEND_LOST(label="a server") from None
    except SqlError as error:
        raise kept.error or error from None
    finally:
        watch.cancel()
        await asyncio.wait([watch])
    if kept.error is not None:
        raise kept.error
    return kept.answer(done)


async def _stop(kept: _Kept, cluster: Cluster) -> None:
    """Once too much has come, tell the servers that nobody wants the rest."""
    await kept.too_much.wait()
    await asyncio.gather(*map(cluster.interrupt, kept.connections))


class _Kept:
    """A ``Downstream`` that keeps what is written to it, up to the limits; all else is the client's own."""

    def __init__(self, down: Downstream, limits: GatherLimits, construct: str) -> None:
        self._down = down
        self._limits = limits
        self._construct = construct
        self._cutter = RowCutter()
        self._bytes = 0
        self._packets: list[bytes] = []
        self.connections: list[BackendConnection] = []
        self.too_much = asyncio.Event()
        self.error: SqlError | None = None

    def write(self, data: bytes) -> None:
        if self.error is not None:
            return
        self._bytes += len(data)
        self._packets += self._cutter.feed(data)
        if self._bytes > self._limits.bytes:
            self._exceeded(f"{self._limits.bytes} bytes", "max_gather_bytes")
        else:
            self._check_rows(len(self._packets) - _DESCRIPTION)

    def _check_rows(self, rows: int) -> None:
        if rows > self._limits.rows:
            self._exceeded(f"{self._limits.rows} rows", "max_gather_rows")

    def _exceeded(self, what: str, limit: str) -> None:
        self.error = KEPT_ROWS(construct=self._construct, what=what, limit=limit)
        self._packets.clear()
        self.too_much.set()

    def answer(self, done: bool) -> KeptAnswer:
        """What has been written. Raises KEPT_ROWS."""
        packets = self._packets
        last = packets[-1]
        if len(packets) == 1 or last[:1] == b"\xff":  # what came before an error has not been sent
            return KeptAnswer(done, last, None)
        described = 1
        while packets[described][:1] != b"\xfe" or len(packets[described]) >= _LONG_EOF:
            described += 1
        rows = packets[described + 1 : -1]
        self._check_rows(len(rows))
        if self.error is not None:
            raise self.error
        return KeptAnswer(done, last, KeptRows(packets[1:described], packets[described], rows, last))

    def attach(self, connection: BackendConnection) -> None:
        self.connections = [connection]
        self._down.attach(connection)

    def attach_all(self, connections: Sequence[BackendConnection]) -> None:
        self.connections = list(connections)
        self._down.attach_all(connections)

    def detach(self) -> None:
        self.connections = []
        self._down.detach()

    async def drained(self) -> None:
        """There is nobody to wait for."""

    def abort(self) -> None:
        self._down.abort()

    def begin_midway(self, sequence: int) -> None:
        raise AssertionError("what is kept asks for no file")

    async def piece(self) -> tuple[bytes, bool]:
        raise AssertionError("what is kept asks for no file")

    def end_midway(self) -> int:
        raise AssertionError("what is kept asks for no file")
