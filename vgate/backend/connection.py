"""One connection to a backend server: opened and authenticated by aiomysql, then relayed by this protocol.

After the handshake the transport is taken from aiomysql and given to ``BackendConnection``, which writes whole
commands and passes the bytes of each answer to a sink, without decoding. It does not know what a statement means,
nor when a connection may be shared: that is the pool's and the transactions' business.

Invariants
1. One command is in flight at a time; ``sink`` is None exactly when the connection is idle.
2. A connection that is lost, that received bytes nobody asked for, or whose caller went away before the answer's
   end is closed; it never serves again (``usable`` is False).
3. Every sink hears exactly one of ``finished``, ``lost`` and (of ``ask``) ``answered``.
4. ``_asker`` is the sink of ``ask`` until the first bytes of its answer come; ``response`` is made ready only then.
5. A server that asks for a file of the client's gets one, from a sink that is ready for that, or an empty one at once:
   any text may hide a LOAD DATA LOCAL, and a server that waits for a file does nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final, Protocol, cast

import aiomysql

from vgate.errors import BACKEND_LOST, BACKEND_UNREACHABLE, UNSUPPORTED, ServerError, SqlError, VgateError
from vgate.session.settings import NO_SETTINGS, Settings, difference, forgets, variable_statements
from vgate.session.uservars import quoted_name
from vgate.vschema.model import Address
from vgate.wire.binary import NO_KIND, Kind
from vgate.wire.constants import MAX_PAYLOAD, Capability, Command
from vgate.wire.packets import MalformedPacket, Ok, err_payload, frame, read_err, read_lenenc, read_ok, read_text_row
from vgate.wire.prepare import Handle, PrepareResponse
from vgate.wire.response import FIRST, ROWS, FileWish, Response, one_row_ends
from vgate.wire.schemas import error_of

_FLAGS: Final = Capability.PS_MULTI_RESULTS | Capability.LOCAL_FILES

HANDLES: Final = 64
"""Prepared statements kept on one connection. A server's max_prepared_stmt_count (16,382) is for all connections."""

OPENINGS: Final = 4 * HANDLES

NO_FILE: Final = UNSUPPORTED(construct="LOAD DATA LOCAL in such a statement")
"""Where nobody can be asked for a file."""


class Sink(Protocol):
    """Whoever takes the bytes of one response."""

    def received(self, data: bytes, response: Response) -> None:
        """More bytes, whole protocol data as the server sent it; ``response`` has walked them."""
        ...

    def finished(self, connection: BackendConnection) -> None:
        """The response is complete; the connection is idle again and belongs to whoever asked."""
        ...

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        """The connection broke before the response's end; it cannot be used again."""
        ...


class Asker(Sink, Protocol):
    """A sink of ``ask``."""

    def answered(self, data: bytes, connection: BackendConnection) -> None:
        """Instead of ``received`` and ``finished``: ``data`` is the whole response, and as it was foreseen."""
        ...


class Rows:
    """A small answer, decoded: for statements of vgate's own, never for a client's rows."""

    __slots__ = ("columns", "rows", "status", "warnings")

    def __init__(self, columns: list[bytes], rows: list[bytes], status: int, warnings: int) -> None:
        self.columns = columns
        self.rows = rows
        self.status = status
        self.warnings = warnings

    def values(self) -> list[tuple[bytes | None, ...]]:
        """The rows, decoded as text."""
        return [read_text_row(row, len(self.columns)) for row in self.rows]


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def discard(self, connection: BackendConnection) -> None:
        """The connection is closed: forget it."""
        ...


class BackendConnection(asyncio.Protocol):
    """See the module. Attributes are read by the fast path; only this class writes them, but for ``settings``."""

    __slots__ = ("_asker", "_begin", "_drained", "_head", "_held", "_in_transaction", "_next", "_no_file", "_piece",
                 "_refused", "_usual", "_writer", "handles", "label", "names", "openings", "owner", "response",
                 "settings", "sink", "stale", "tainted", "thread_id", "transport", "usable", "used_at", "written")

    def __init__(self, transport: asyncio.Transport, label: str, thread_id: int, keep: object) -> None:
        self.transport = transport
        self.label = label
        self.names: tuple[bytes, bytes] | None = None  # its database and its keyspace, where those are called otherwise
        self.thread_id = thread_id
        self.settings: Settings = NO_SETTINGS
        self._usual = self.response = Response()
        self.handles: dict[tuple[Settings, bytes, Kind], Handle] = {}
        self.openings: dict[tuple[Settings, bytes], bytes] = {}  # how executions begin: see ``open_as``
        self.sink: Sink | None = None
        self._asker: Asker | None = None
        self._head = b""
        self._in_transaction = 0
        self._no_file: SqlError | None = NO_FILE
        self._refused: tuple[int, SqlError] | None = None  # the answer is this error, in the packet of that number
        self.owner: Owner | None = None
        self.usable = True
        self.tainted = False  # a KILL may be on its way to it: nobody else may have it
        self.written = False  # clients have written on it: triggers may have set user variables
        self.stale = False  # others have, before the one that has it now
        self.used_at = 0.0
        self._drained: asyncio.Event | None = None  # while the server is slow to take what is sent
        self._held = b""
        self._piece = b""  # what was passed on last of an answer that goes on,
        self._begin = self._next = 0  # where the first packet in it begins, and that in the next one
        self._writer = keep  # aiomysql's StreamWriter: its finaliser closes the transport

    def __repr__(self) -> str:
        state = "closed" if not self.usable else "idle" if self.sink is None else "busy"
        return f"<BackendConnection {self.label} thread {self.thread_id} {state}>"

    # -- commands -------------------------------------------------------------------------------------------------

    def relay(
        self, packet: bytes, sink: Sink, *, columns_only: bool = False, head: bytes = b"",
        no_file: SqlError | None = NO_FILE,
    ) -> None:
        """Send a framed command and give its answer to ``sink``. Raises BACKEND_LOST if it has been closed.

        ``head``: how the answer may begin, see ``wire.response``. ``no_file``: what the answer is where the server asks
        for a file; None where ``sink`` is ready for an answer that ends with a wish for one.
        """
        if self.sink is not None:
            raise RuntimeError(f"{self!r} cannot take a command")
        if not self.usable:
            raise BACKEND_LOST(label=self.label)
        self.sink = sink
        self.response = self._usual
        self._no_file = no_file
        self.response.start(ROWS if columns_only else FIRST, head)
        self.transport.write(packet)

    def ask(self, packet: bytes, sink: Asker, head: bytes, in_transaction: int) -> None:
        """``relay`` for the fast path: of the usual answer, which comes whole, the sink hears in one call.

        That is ``head`` and one row, without warnings, and with ``in_transaction`` (IN_TRANS or 0) in its status.
        """
        if self.sink is not None or not self.usable:
            self.relay(packet, sink, head=head)  # which says what is wrong
        self.sink = self._asker = sink
        self._head = head
        self._in_transaction = in_transaction
        self.transport.write(packet)

    async def command(self, payload: bytes) -> Ok | Rows:
        """Run one command of vgate's own and collect its (last) answer. Raises ServerError, VgateError (lost).

        If the caller is cancelled while the answer is on its way, the connection is closed.
        """
        return await self.collect(frame(payload))

    async def collect(self, packets: bytes) -> Ok | Rows:
        """``command`` of what is framed already, the last of which is answered."""
        collector = Collector()
        self.relay(packets, collector)
        try:
            return await collector.answer
        except asyncio.CancelledError:
            if self.sink is collector:
                self.close()
            raise

    async def query(self, sql: str | bytes) -> Ok | Rows:
        """``command`` of a COM_QUERY."""
        text = sql.encode("utf-8") if isinstance(sql, str) else sql
        return await self.command(bytes([Command.QUERY]) + text)

    async def rows(self, sql: str | bytes) -> list[tuple[bytes | None, ...]]:
        """The decoded rows of a query of vgate's own."""
        answer = await self.query(sql)
        return answer.values() if isinstance(answer, Rows) else []

    async def prepare(
        self, text: bytes, kind: Kind = NO_KIND, reading: Settings | None = None, tables: int | None = None
    ) -> Handle:
        """The server's handle of a statement, prepared under the settings it carries now. Raises what ``command`` does.

        ``reading``: but for those, where it is to be read as under others. ``kind``: that of the parameters it is to be
        executed with. MySQL takes a parameter for what it was first bound to, and compares later ones as such: what one
        client bound must not decide for another. At most ``HANDLES`` are kept, the least recently used is closed
        first; closing has no answer. ``tables``: how often tables have changed, where it is to be described as they are
        now.
        """
        settings = self.settings if reading is None else self.settings.kept_under(reading)
        key = (settings, text, kind)
        handle = self.handles.pop(key, None) or self.handles.pop((settings, text, NO_KIND), None)
        if handle is not None and tables is not None and handle.tables < tables:
            self._close_handle(handle)
            handle = None
        if handle is None:
            if len(self.handles) >= HANDLES:
                self._close_handle(self.handles.pop(next(iter(self.handles))))
            handle = await self._prepare(text, reading)
            if tables is not None:
                handle = replace(handle, tables=tables)
        self.handles[key] = handle
        return handle

    def _close_handle(self, handle: Handle) -> None:
        self.openings.clear()
        self.forget(handle.id)

    def open_as(self, kind: tuple[Settings, bytes], opening: bytes) -> None:
        """Remember that executions of that kind, under those settings, begin so, as long as all handles live."""
        if len(self.openings) >= OPENINGS:
            self.openings.clear()
        self.openings[kind] = opening

    async def _prepare(self, text: bytes, reading: Settings | None = None) -> Handle:
        if reading is not None and reading is not self.settings.reading:
            now = self.settings
            await self.carry(now.read_as(reading), held=True)
            try:
                return await self._prepare(text)
            finally:
                if self.usable:
                    await self.carry(now, held=True)
        done: asyncio.Future[Handle] = asyncio.get_running_loop().create_future()
        sink = Preparation(done)
        self.relay(frame(bytes([Command.STMT_PREPARE]) + text), sink)
        self.response = cast(Response, sink.response)
        try:
            return await done
        except asyncio.CancelledError:
            if self.sink is sink:
                self.close()
            raise

    async def prepare_apart(self, text: bytes, reading: Settings | None = None) -> Handle:
        """As ``prepare``, a handle that nobody else gets; ``forget`` it. Raises what ``command`` does."""
        return await self._prepare(text, reading)

    def forget(self, statement_id: int) -> None:
        """Close a handle; there is no answer. The connection has to be idle, or gone."""
        if self.usable:
            self.transport.write(frame(bytes([Command.STMT_CLOSE]) + statement_id.to_bytes(4, "little")))

    async def carry(self, wanted: Settings, *, held: bool = False) -> None:
        """Bring the server session to ``wanted``. Raises ServerError where the server refuses it.

        Where it refuses to take back what another client has set, it starts over.

        ``held``: there is more on it than settings, so that it cannot start over.
        """
        if forgets(self.settings, wanted):
            if held:
                await self._forget_variables()
            else:
                await self.start_over()
        statement = difference(self.settings, wanted)
        if statement:
            try:
                await self.query(statement)
            except ServerError:
                if held or self.settings is NO_SETTINGS:
                    raise
                await self.start_over()
                await self.query(difference(NO_SETTINGS, wanted) or "DO 0")
        if wanted.variables:
            await self._assign(wanted)
        self.settings = wanted

    async def start_over(self) -> None:
        """As it was when it was opened: nothing else makes a server forget user variables."""
        try:
            await self.command(bytes([Command.RESET_CONNECTION]))
            self.handles.clear()
            await self.query("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci', SESSION autocommit = 1")
        except SqlError:
            self.close()
            raise
        self.settings = NO_SETTINGS
        self.written = self.stale = False

    async def forget_others(self, own: Collection[str], seen: Collection[str]) -> None:
        """Make NULL what is no variable of one's ``own``, where starting over would end a transaction. ``seen`` are
        those that the next statement names, in case that the server does not tell which there are.
        """
        others = {*await self.known_variables(), *filter(str.isascii, seen)}.difference(own)
        if others:
            await self.query("SET " + ", ".join(f"{quoted_name(name)} = NULL" for name in sorted(others)))
        self.stale = False

    async def known_variables(self) -> list[str]:
        """The user variables that the server knows of its session; none where it does not tell."""
        for table, column in (
            ("information_schema.USER_VARIABLES", "VARIABLE_NAME"),
            ("performance_schema.user_variables_by_thread WHERE THREAD_ID = PS_CURRENT_THREAD_ID()", "VARIABLE_NAME"),
        ):
            try:
                rows = await self.rows(f"SELECT CONVERT({column} USING utf8mb4) FROM {table}")
            except SqlError:
                continue
            found = [(row[0] or b"").decode("utf-8", "replace").lower() for row in rows]
            return [name for name in found if name != "vgate_statement"]
        return []

    async def _forget_variables(self) -> None:
        """As far as that goes: they are NULL then, which is not the same, so this is nobody else's connection."""
        self.tainted = True
        await self.query("SET " + ", ".join(f"{quoted_name(name[1:])} = NULL" for name, _ in self.settings.variables))
        self.settings = self.settings.changed({name: None for name, _ in self.settings.variables})

    async def _assign(self, wanted: Settings) -> None:
        try:
            for statement in variable_statements(self.settings, wanted):
                await self.query(statement)
        except SqlError:  # what it has now is not known
            self.close()
            raise

    def close(self) -> None:
        """Close at once; a sink in flight hears ``lost``."""
        if self.usable:
            self.usable = False
            self.transport.abort()
            self._gone(BACKEND_LOST(label=self.label))

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        asker = self._asker
        if asker is not None:
            self._asker = None
            head = self._head
            if head and data.startswith(head) and one_row_ends(data, len(head), self._in_transaction):
                self.sink = None
                asker.answered(data, self)
                return
            self.response = self._usual
            self._no_file = NO_FILE
            self.response.start(FIRST, head)
        sink = self.sink
        if sink is None:  # e.g. the server says why it is about to close an idle connection
            self.close()
            return
        if self._held:
            data = self._held + data
            self._held = b""
        response = self.response
        try:
            end = response.feed(data)
        except MalformedPacket:
            self.close()
            return
        if response.done:
            if end != len(data):
                self.close()
                return
            if response.file is not None:
                data = data[: -response.file.size]
                if self._no_file is not None:
                    self._give_nothing(data, response.file, self._no_file)
                    return
            if response.error is not None and self.names is not None:
                response.error = error_of(response.error, *self.names)
            if self._refused is not None:
                data = self._refuse(*self._refused)
            if self._piece:
                self._piece = b""
                self._next = 0
            if data or response.file is None:
                sink.received(data, response)
            self.sink = None
            sink.finished(self)
            return
        if end != len(data):
            self._held = data[end:]
            data = data[:end]
        if data and self._refused is None:
            self._piece = data
            self._begin, self._next = self._next, self._usual.pending
            sink.received(data, response)

    def _give_nothing(self, data: bytes, wish: FileWish, error: SqlError) -> None:
        """An empty file for the server; ``data`` came before its wish. What it makes of that nobody hears."""
        self._usual.start()
        sink = self.sink
        if sink is not None and data and self._refused is None:
            self._piece = data
            self._begin, self._next = self._next, 0
            sink.received(data, self._usual)
        if self._refused is None:
            self._refused = wish.number, error
        self.transport.write(frame(b"", (wish.number + 1) & 0xFF))

    def _refuse(self, number: int, error: SqlError) -> bytes:
        """The packet with the error that the answer ends with: the server's, if it has found one."""
        self._refused = None
        response = self._usual
        response.ok, response.marks = None, ()
        response.error = response.error or err_payload(error.errno, error.sqlstate, error.message)
        return frame(response.error, number)

    def next_number(self) -> int | None:
        """The number of the packet that goes on with the answer passed on so far; None where none can.

        Only for an answer that was lost: an ERR packet may stand between any two packets, but not inside one.
        """
        data, at = self._piece, self._begin
        if not self._usual.between or at >= len(data):
            return None
        while at < len(data):
            number = data[at + 3]
            at += 4 + int.from_bytes(data[at : at + 3], "little")
        return (number + 1) & 0xFF

    async def drained(self) -> None:
        """Wait until the server has taken enough of what was written."""
        if self._drained is not None:
            await self._drained.wait()

    def pause_writing(self) -> None:
        self._drained = asyncio.Event()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self.resume_writing()
        self._gone(BACKEND_LOST(label=self.label))

    def _gone(self, error: VgateError) -> None:
        sink, self.sink = self.sink, None
        self._asker = None
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.discard(self)
        if sink is not None:
            sink.lost(self, error)


class Collector:
    """A sink that keeps a whole small answer; ``answer`` is its future."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Ok | Rows] = asyncio.get_running_loop().create_future()
        self._parts: list[bytes] = []

    def received(self, data: bytes, response: Response) -> None:
        self._parts.append(data)

    def finished(self, connection: BackendConnection) -> None:
        if self.answer.done():
            return
        response = connection.response
        if response.error is not None:
            self.answer.set_exception(ServerError(*read_err(response.error)))
        elif response.ok is not None:
            self.answer.set_result(read_ok(response.ok))
        else:
            payloads = packets_of(b"".join(self._parts))
            if len(payloads) == 1:  # a bare EOF: COM_SET_OPTION
                self.answer.set_result(Ok(status=response.status, warnings=response.warnings))
                return
            count = read_lenenc(payloads[0], 0)[0]
            rows = payloads[count + 2 : -1]
            self.answer.set_result(Rows(payloads[1 : count + 1], rows, response.status, response.warnings))

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Preparation:
    """A sink for the answer to COM_STMT_PREPARE."""

    def __init__(self, done: asyncio.Future[Handle]) -> None:
        self.response = PrepareResponse()
        self._done = done

    def received(self, data: bytes, response: Response) -> None:
        """Nothing: the walker keeps what there is."""

    def finished(self, connection: BackendConnection) -> None:
        if self._done.done():
            return
        if self.response.error is not None:
            self._done.set_exception(ServerError(*read_err(self.response.error)))
        else:
            self._done.set_result(self.response.handle())

    def lost(self, connection: BackendConnection, error: VgateError) -> None:
        if not self._done.done():
            self._done.set_exception(error)


def packets_of(data: bytes) -> list[bytes]:
    """The payloads of whole packets; those of 16 MB and more joined again."""
    payloads: list[bytes] = []
    at, size, begun = 0, len(data), b""
    while at < size:
        length = int.from_bytes(data[at : at + 3], "little")
        payload = data[at + 4 : at + 4 + length]
        at += 4 + length
        if length == MAX_PAYLOAD:
            begun += payload
        else:
            payloads.append(begun + payload)
            begun = b""
    return payloads


def _let_go(opened: Any) -> None:
    """What aiomysql forgets where it is cancelled: to close the socket."""
    writer, opened._writer = opened._writer, None
    if writer is not None:
        writer.transport.abort()


async def open_connection(
    address: Address, label: str, *, found_rows: bool, patience: float, ssl: Any = None
) -> BackendConnection:
    """Connect, authenticate and hand over. Raises VgateError: BACKEND_UNREACHABLE with the server's own words."""
    where = address.unix_socket or f"{address.host}:{address.port}"
    opened = aiomysql.Connection(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        db=address.database,
        unix_socket=address.unix_socket or None,
        charset="utf8mb4",
        autocommit=True,
        client_flag=_FLAGS | (Capability.FOUND_ROWS if found_rows else 0),
        ssl=ssl,
    )
    try:
        async with asyncio.timeout(patience):
            await opened._connect()
    except asyncio.CancelledError:
        _let_go(opened)
        raise
    except TimeoutError:
        _let_go(opened)
        raise BACKEND_UNREACHABLE(label=label, where=where, reason=f"no answer within {patience:g} s") from None
    except (OSError, aiomysql.Error) as error:
        reason = error.args[-1] if error.args else type(error).__name__
        raise BACKEND_UNREACHABLE(label=label, where=where, reason=reason) from None
    writer = opened._writer
    transport = cast(asyncio.Transport, writer.transport)
    connection = BackendConnection(transport, label, opened.thread_id(), writer)
    transport.set_protocol(connection)
    opened._writer = None
    opened._reader = None
    try:
        # One statement per command, whatever the client sends: aiomysql always negotiates MULTI_STATEMENTS.
        await connection.command(bytes([Command.SET_OPTION, 1, 0]))
    except BaseException:  # also when cancelled, after the answer has come
        connection.close()
        raise
    return connection
