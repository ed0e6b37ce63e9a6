"""An answer of which vgate itself works out some columns: kept until it is whole, since that may take a while.

Nothing is passed to the client before all values are there: whatever fails until then is an error and no more. What is
kept is bounded; a server whose answer exceeds that is told to stop. It does not know where values come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from vgate.backend.cluster import Cluster
from vgate.backend.connection import BackendConnection
from vgate.engine.gather import GatherLimits
from vgate.engine.gathered_rows import RowCutter
from vgate.engine.output import AnswerCut, Downstream, Output
from vgate.errors import BACKEND_LOST, NEXTVAL_ROWS, SqlError
from vgate.wire.fill import RowFiller
from vgate.wire.packets import ColumnDefinition, lenenc, read_column

Values = Callable[[int], Awaitable[Sequence[Sequence[int | None]]]]
"""For each of so many rows, the values of the columns that are filled."""

_AT_ONCE: Final = 1000
"""Rows that are sent before others are served."""

_LONG_EOF: Final = 9
"""From so many bytes on a packet that begins as an EOF is none."""

_DESCRIPTION: Final = 4100
"""At most so many packets are no rows: a server's result has 4096 columns."""


class Kept:
    """A ``Downstream`` that keeps what is written to it, up to the limits; all else is the client's own."""

    def __init__(self, down: Downstream, limits: GatherLimits) -> None:
        self._down = down
        self._limits = limits
        self._cutter = RowCutter()
        self._bytes = 0
        self.connections: list[BackendConnection] = []
        self.packets: list[bytes] = []
        self.too_much = asyncio.Event()
        self.error: SqlError | None = None

    def write(self, data: bytes) -> None:
        if self.error is not None:
            return
        self._bytes += len(data)
        self.packets += self._cutter.feed(data)
        limits = self._limits
        if len(self.packets) > limits.rows + _DESCRIPTION:
            self._exceeded(_too_many(limits))
        elif self._bytes > limits.bytes:
            self._exceeded(NEXTVAL_ROWS(what=f"{limits.bytes} bytes", limit="max_gather_bytes"))

    def _exceeded(self, error: SqlError) -> None:
        self.error = error
        self.packets.clear()
        self.too_much.set()

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
        raise AssertionError("a SELECT asks for no file")

    async def piece(self) -> tuple[bytes, bool]:
        raise AssertionError("a SELECT asks for no file")

    def end_midway(self) -> int:
        raise AssertionError("a SELECT asks for no file")


async def run_filled(
    out: Output,
    cluster: Cluster,
    limits: GatherLimits,
    statement: Callable[[Output], Awaitable[bool]],
    columns: Mapping[bytes, ColumnDefinition],
    values: Values,
) -> bool:
    """Answer a SELECT with values in the columns that are called so, described as here; False after a server's error.

    ``statement`` answers it with other values in them. Raises SqlError, NEXTVAL_ROWS where there are too many rows.
    """
    kept = Kept(out.down, limits)
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
    packets = kept.packets
    if packets[-1][:1] == b"\xff":  # what came before has not been sent
        out.send(packets[-1])
        return done
    described = 1
    while packets[described][:1] != b"\xfe" or len(packets[described]) >= _LONG_EOF:
        described += 1
    if len(packets) - described - 2 > limits.rows:
        raise _too_many(limits)
    await _send(out, packets, described, columns, values)
    return done


def _too_many(limits: GatherLimits) -> SqlError:
    return NEXTVAL_ROWS(what=f"{limits.rows} rows", limit="max_gather_rows")


async def _stop(kept: Kept, cluster: Cluster) -> None:
    """Once too much has come, tell the servers that nobody wants the rest."""
    await kept.too_much.wait()
    await asyncio.gather(*map(cluster.interrupt, kept.connections))


async def _send(
    out: Output, packets: Sequence[bytes], described: int, columns: Mapping[bytes, ColumnDefinition], values: Values
) -> None:
    """``described``: the packet between the columns' definitions and the rows."""
    definitions = [read_column(payload) for payload in packets[1:described]]
    places = {number: columns[one.name] for number, one in enumerate(definitions) if one.name in columns}
    rows = packets[described + 1 : -1]
    given = await values(len(rows))
    out.send(lenenc(len(definitions)))
    for number, payload in enumerate(packets[1:described]):
        out.send(places[number].payload() if number in places else payload)
    out.send(packets[described])
    filler = RowFiller(definitions, out.binary)
    for number, (row, new) in enumerate(zip(rows, given, strict=True)):
        out.send(filler.filled(row, dict(zip(places, new, strict=True))))
        if number % _AT_ONCE == _AT_ONCE - 1:
            await out.down.drained()
            await asyncio.sleep(0)
    out.send(packets[-1])
