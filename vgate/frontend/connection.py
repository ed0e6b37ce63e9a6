"""A client's connection in the command phase: cuts bytes into commands, gives them to the conversation, in order.

The handshake is over when this protocol gets the transport. It does not know SQL, plans or backends beyond the one it
must hold back while its client is slow.

Invariants
1. At most one command is being answered (``_busy``); what arrives meanwhile waits in ``_buffer``, which reading
   stops filling beyond ``BACKLOG`` bytes.
2. A command is taken from the buffer only when it is complete, and is at most ``max_allowed_packet`` long.
3. When the client is slow (``pause_writing``) the backend that answers it is not read from.
4. After ``connection_lost`` nothing is written, and the conversation is closed exactly once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from vgate.backend.connection import BackendConnection
from vgate.engine.output import Output
from vgate.errors import (
    BUG,
    INTERRUPTED,
    MALFORMED,
    OUT_OF_ORDER,
    PACKET_TOO_LARGE,
    UNKNOWN_COMMAND,
    SqlError,
)
from vgate.query.conversation import Conversation
from vgate.query.gate import Gate
from vgate.session.login import Login
from vgate.wire.constants import MAX_PAYLOAD, Capability, Command
from vgate.wire.packets import eof_payload, err_payload, frame

log = logging.getLogger("vgate.client")

BACKLOG: Final = 1 << 18
WRITE_LIMIT: Final = 1 << 18


class ClientConnection(asyncio.Protocol):
    """See the module."""

    __slots__ = ("_buffer", "_busy", "_closed", "_drained", "_gate", "_killed", "_loop", "_reading_paused", "_slow",
                 "_task", "_transport", "_upstream", "conversation", "login", "user", "write")

    def __init__(self, gate: Gate, login: Login, loop: asyncio.AbstractEventLoop) -> None:
        self.login = login
        self.user = login.user
        self._gate = gate
        self._loop = loop
        self._buffer = bytearray()
        self._busy = False
        self._closed = False
        self._killed = False
        self._slow = False
        self._reading_paused = False
        self._drained: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._upstream: BackendConnection | None = None
        self._transport: asyncio.Transport
        self.write: Callable[[bytes], None]
        self.conversation: Conversation

    def open(self, transport: asyncio.Transport) -> None:
        """The handshake is over: the transport is ours."""
        self._transport = transport
        self.write = transport.write
        transport.set_write_buffer_limits(high=WRITE_LIMIT)
        self.conversation = Conversation(self._gate, self.login, self)
        self._gate.clients[self.login.connection_id] = self

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._busy or self._buffer:
            self._buffer += data
            if not self._busy:
                self._pump()
            elif len(self._buffer) > BACKLOG and not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()
            return
        size = len(data)
        if size > 4 and data[0] | data[1] << 8 | data[2] << 16 == size - 4 and data[3] == 0 and size < MAX_PAYLOAD:
            self._command(data)
        else:
            self._buffer += data
            self._pump()

    def _pump(self) -> None:
        """Take complete commands from the buffer while none is being answered."""
        while not self._busy and not self._closed and len(self._buffer) >= 4:
            buffer = self._buffer
            length = buffer[0] | buffer[1] << 8 | buffer[2] << 16
            if buffer[3] != 0:
                self._fail(OUT_OF_ORDER())
                return
            if length == 0:
                self._fail(MALFORMED(what="an empty command"))
                return
            if length < MAX_PAYLOAD:
                if length > self._gate.max_allowed_packet:
                    self._fail(PACKET_TOO_LARGE())
                    return
                if len(buffer) < length + 4:
                    return
                packet = bytes(buffer[: length + 4])
                del buffer[: length + 4]
                self._command(packet)
            else:
                payload = self._large()
                if payload is None:
                    return
                self._large_command(payload)

    def _large(self) -> bytes | None:
        """A command of 16 MB or more, its packets joined; None while it is incomplete."""
        buffer = self._buffer
        at = total = 0
        while True:
            if at + 4 > len(buffer):
                return None
            length = buffer[at] | buffer[at + 1] << 8 | buffer[at + 2] << 16
            total += length
            if total > self._gate.max_allowed_packet:
                self._fail(PACKET_TOO_LARGE())
                return None
            at += 4 + length
            if length < MAX_PAYLOAD:
                break
        if at > len(buffer):
            return None
        parts = []
        position = 0
        while position < at:
            length = buffer[position] | buffer[position + 1] << 8 | buffer[position + 2] << 16
            parts.append(bytes(buffer[position + 4 : position + 4 + length]))
            position += 4 + length
        del buffer[:at]
        return b"".join(parts)

    def _large_command(self, payload: bytes) -> None:
        if payload[0] == Command.QUERY:
            self.start(self.conversation.run(payload[1:]))
        else:
            self._error(UNKNOWN_COMMAND())

    # -- commands -------------------------------------------------------------------------------------------------

    def _command(self, packet: bytes) -> None:
        command = packet[4]
        if command == Command.QUERY:
            if self.conversation.fast(packet):
                self._busy = True
            else:
                self.start(self.conversation.run(packet[5:]))
            return
        match command:
            case Command.PING:
                Output(self, self.conversation.session).ok()
            case Command.QUIT:
                self._transport.close()
            case Command.INIT_DB:
                self.start(self._init_db(packet[5:]))
            case Command.RESET_CONNECTION:
                self.start(self._reset())
            case Command.FIELD_LIST:
                self.start(self.conversation.field_list(packet))
            case Command.SET_OPTION:
                self._set_option(packet)
            case Command.STATISTICS:
                clients = len(self._gate.clients)
                self.write(frame(f"Threads: {clients}".encode(), 1))
            case Command.PROCESS_KILL:
                number = int.from_bytes(packet[5:9], "little")
                self.start(self.conversation.run(b"KILL %d" % number))
            case Command.STMT_PREPARE:
                self.start(self.conversation.prepared.prepare(packet[5:]))
            case Command.STMT_EXECUTE:
                self.start(self.conversation.prepared.execute(packet))
            case Command.STMT_RESET:
                self.start(self.conversation.prepared.reset(packet))
            case Command.STMT_CLOSE:
                self.conversation.prepared.close(packet)
            case Command.STMT_SEND_LONG_DATA:
                pass  # MySQL does not answer it either
            case _:
                self._error(UNKNOWN_COMMAND())

    async def _init_db(self, name: bytes) -> None:
        await self.conversation.own.use(name.decode("utf-8", "replace"))
        Output(self, self.conversation.session).ok()

    async def _reset(self) -> None:
        await self.conversation.reset()
        Output(self, self.conversation.session).ok()

    def _set_option(self, packet: bytes) -> None:
        option = int.from_bytes(packet[5:7], "little")
        if option > 1:
            self._error(UNKNOWN_COMMAND())
            return
        login = self.conversation.session.login
        bit = Capability.MULTI_STATEMENTS
        flags = login.capabilities | bit if option == 0 else login.capabilities & ~bit
        self.conversation.capabilities(flags)
        self.write(frame(eof_payload(self.conversation.session.status), 1))

    # -- answering ------------------------------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the rest of a command as a coroutine; the next command waits for it."""
        self._busy = True
        self._task = self._loop.create_task(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except SqlError as error:
            self._error(error)
        except asyncio.CancelledError:
            if not self._killed:
                raise
            self._error(INTERRUPTED())
        except Exception:
            log.exception("connection %d: a command failed in a way that is vgate's fault", self.login.connection_id)
            self._fail(BUG(detail="see vgate's log"))
        self._killed = False
        self._task = None
        self.ready()

    def ready(self) -> None:
        """The answer is complete: go on with what has arrived."""
        self._busy = False
        if self._closed:
            return
        if self._buffer:
            self._pump()
        if self._reading_paused and len(self._buffer) <= BACKLOG:
            self._reading_paused = False
            self._transport.resume_reading()

    def _error(self, error: SqlError) -> None:
        if not self._closed:
            self.write(frame(err_payload(error.errno, error.sqlstate, error.message), 1))

    def _fail(self, error: SqlError) -> None:
        """Say what is wrong and end the connection."""
        if not self._closed:
            self._error(error)
            self._buffer.clear()
            self._transport.close()

    # -- engine.output.Downstream ---------------------------------------------------------------------------------

    def attach(self, connection: BackendConnection) -> None:
        """``connection`` answers this client: it is not read while the client is slow."""
        self._upstream = connection
        if self._slow:
            connection.transport.pause_reading()

    def detach(self) -> None:
        """The answer has been read to its end."""
        connection, self._upstream = self._upstream, None
        if self._slow and connection is not None and connection.usable:
            connection.transport.resume_reading()

    async def drained(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self._slow and not self._closed:
            if self._drained is None:
                self._drained = asyncio.Event()
            self._drained.clear()
            await self._drained.wait()

    def abort(self) -> None:
        """Cut the client off."""
        self._transport.abort()

    def pause_writing(self) -> None:
        self._slow = True
        if self._upstream is not None and self._upstream.usable:
            self._upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        self._slow = False
        if self._upstream is not None and self._upstream.usable:
            self._upstream.transport.resume_reading()
        if self._drained is not None:
            self._drained.set()

    # -- the end --------------------------------------------------------------------------------------------------

    def kill(self, *, query_only: bool) -> None:
        """KILL: end the statement at hand, or the connection."""
        if not query_only:
            self._transport.abort()
        elif self._task is not None:
            self._killed = True
            self._task.cancel()
        elif self._upstream is not None:
            self._loop.create_task(self._gate.cluster.interrupt(self._upstream))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self.write = _nowhere
        self._gate.clients.pop(self.login.connection_id, None)
        if self._drained is not None:
            self._drained.set()
        upstream, self._upstream = self._upstream, None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._gate.closing(self._goodbye(upstream, task))

    async def _goodbye(self, upstream: BackendConnection | None, task: asyncio.Task[None] | None) -> None:
        """Stop what still runs for the client, then roll back and let go of its connections."""
        if upstream is not None and upstream.sink is not None:
            await self._gate.cluster.interrupt(upstream)
            upstream.close()
        if task is not None:
            await asyncio.wait([task])
        await self.conversation.close()


def _nowhere(data: bytes) -> None:
    """Where writes go when the client is gone."""
