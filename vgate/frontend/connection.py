"""A client's connection in the command phase: cuts bytes into commands, gives them to the conversation, in order.

The handshake is over when this protocol gets the transport. It does not know SQL, plans or backends beyond the one it
must hold back while its client is slow. It is long, but one thing: a state machine whose invariants all methods share.

Invariants
1. At most one command is being answered (``_busy``); what arrives meanwhile waits in ``_buffer``, which reading
   stops filling beyond ``BACKLOG`` bytes. While none is, reading never stops for the buffer's sake: an incomplete
   command has to be completed.
2. A command is taken from the buffer only when it is complete, and is at most ``max_allowed_packet`` long.
3. When the client is slow (``pause_writing``) the backend that answers it is not read from, and no further command is
   taken: neither rows nor a million unread PINGs pile up.
4. Once ``_ending`` is set no command is taken any more, whatever still arrives; ``_busy`` stays set with it. TLS
   hands over what it had buffered even after ``close``.
5. An ERR packet of this class is the whole answer to its command; if part of an answer has gone out (``_answered``),
   the client is cut off instead, as nothing true can follow.
6. After ``connection_lost`` nothing is written or started, and the conversation is closed exactly once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from struct import Struct
from typing import Any, Final

from vgate.backend.connection import BackendConnection, Sink
from vgate.engine.output import AnswerCut, Output, error_payload
from vgate.engine.processes import Process
from vgate.errors import (
    BUG,
    INACTIVE,
    INTERRUPTED,
    MALFORMED,
    OUT_OF_ORDER,
    PACKET_TOO_LARGE,
    SUPER_NEEDED,
    UNKNOWN_COMMAND,
    SqlError,
)
from vgate.frontend.change_user import log_in_again
from vgate.frontend.database_name import database_name
from vgate.frontend.handshake import Reception
from vgate.frontend.midway import Midway
from vgate.frontend.refusals import is_last, refusal
from vgate.query.conversation import Conversation
from vgate.query.gate import Gate
from vgate.session.login import Login
from vgate.sql.versioned import Flavour
from vgate.wire.attributes import read_execution, read_query
from vgate.wire.constants import MAX_PAYLOAD, Capability, Command
from vgate.wire.packets import MalformedPacket, Ok, eof_payload, err_payload, frame

log = logging.getLogger("vgate.client")

_HEADER: Callable[[bytes, int], tuple[int]] = Struct("<I").unpack_from
_QUERY: Final = Command.QUERY
_EXECUTE: Final = Command.STMT_EXECUTE
BACKLOG: Final = 1 << 18
WRITE_LIMIT: Final = 1 << 18
LOGIN_LIMIT: Final = 1 << 16
STOPS_WITHIN: Final = 5.0
"""Seconds that servers told to stop a statement are given to do so."""


class ClientConnection(asyncio.Protocol):
    """See the module. ``lost`` hears once that the client is gone."""

    __slots__ = ("_abandoned", "_answered", "_attributes", "_buffer", "_busy", "_closed", "_continues", "_crowd",
                 "_drained", "_ending", "_first", "_fresh", "_gate", "_killed", "_largest", "_linger", "_loop", "_lost",
                 "_midway", "_reading_paused", "_retiring", "_running", "_seen_busy", "_since", "_slow", "_stopped",
                 "_task", "_transport", "_upstream", "conversation", "login", "reception", "user", "write")

    def __init__(
        self, gate: Gate, login: Login, loop: asyncio.AbstractEventLoop, lost: Callable[[ClientConnection], None]
    ) -> None:
        self.login = login
        self.user = login.user
        self._gate = gate
        self._loop = loop
        self._lost = lost
        self._buffer = bytearray()
        self._largest = min(gate.max_allowed_packet, MAX_PAYLOAD - 1) + 4  # of a command in one packet, framed
        self._busy = False
        self._ending = False
        self._closed = False
        self._abandoned = False  # the last backend of a client that is gone is being closed
        self._killed = False
        self._running = False  # the task has begun
        self._attributes = login.capabilities & Capability.QUERY_ATTRIBUTES != 0
        self._fresh = True  # a command has come since the last look, which was at ``_since`` or later
        self._since = loop.time()
        self._seen_busy = self._stopped = False
        self._first = 1  # the number of an answer's first packet: more than 1 behind a command of several
        self._answered = False  # kept for commands that run as a task only
        self._continues = False  # the task finishes what the fast path has begun
        self._retiring = False
        self._slow = False
        self._reading_paused = False
        self._linger = 0
        self._drained: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._upstream: BackendConnection | None = None
        self._crowd: Sequence[BackendConnection] = ()  # several that answer together
        self._midway: Midway | None = None  # while a command waits for more from the client
        self.reception: Reception | None = None
        self._transport: asyncio.Transport
        self.write: Callable[[bytes], None]
        self.conversation: Conversation

    def open(self, transport: asyncio.Transport) -> None:
        """The handshake is over: the transport is ours. Raises SqlError where the login's database cannot be used."""
        self._transport = transport
        self.write = transport.write
        self.conversation = Conversation(self._gate, self.login, self)
        transport.set_write_buffer_limits(high=WRITE_LIMIT)
        self._gate.clients[self.login.connection_id] = self

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._busy or self._buffer:
            self._more(data)
            return
        size = len(data)
        if 4 < size <= self._largest and _HEADER(data, 0)[0] == size - 4:  # one whole command, numbered 0
            command = data[4]
            if command == _QUERY:
                self._query(data)
            elif command == _EXECUTE:
                self._execute(data)
            else:
                self._command(data)
        else:
            self._buffer += data
            self._pump()

    def _more(self, data: bytes) -> None:
        """Bytes that cannot be a command at once."""
        if self._ending:
            if self._linger > 0:
                self._linger -= len(data)
                if self._linger <= 0:
                    self._transport.close()
            return
        self._buffer += data
        if self._busy:
            if self._midway is not None:
                self._midway.news.set()
            self._adjust_reading()
        else:
            self._pump()

    def _pump(self) -> None:
        """Take complete commands from the buffer while none is being answered."""
        while not self._busy and not self._slow and len(self._buffer) >= 4:
            buffer = self._buffer
            length = buffer[0] | buffer[1] << 8 | buffer[2] << 16
            if buffer[3] != 0:
                self._fail(OUT_OF_ORDER())
                return
            if length == 0:  # both servers take it for a COM_SLEEP, and go on
                del buffer[:4]
                self._error(UNKNOWN_COMMAND())
            elif length == MAX_PAYLOAD:
                payload = self._large()
                if payload is None:
                    return
                self._large_command(payload)
            elif length + 4 > self._largest:
                self._fail(PACKET_TOO_LARGE(), linger=length + 4 - len(buffer))
                return
            elif len(buffer) < length + 4:
                return
            else:
                packet = bytes(buffer[: length + 4])
                del buffer[: length + 4]
                self._command(packet)
        if self._retiring:
            self._leave_if_idle()

    def _large(self) -> bytes | None:
        """A command of 16 MB or more, its packets joined; None while it is incomplete, or if it failed."""
        buffer = self._buffer
        at = total = number = 0
        while True:
            if at + 4 > len(buffer):
                return None
            length = buffer[at] | buffer[at + 1] << 8 | buffer[at + 2] << 16
            if buffer[at + 3] != number & 0xFF:
                self._fail(OUT_OF_ORDER())
                return None
            number += 1
            total += length
            at += 4 + length
            if total > self._gate.max_allowed_packet:
                self._first = number & 0xFF
                self._fail(PACKET_TOO_LARGE(), linger=at - len(buffer))
                return None
            if length < MAX_PAYLOAD:
                break
        if at > len(buffer):
            return None
        starts = range(0, at, MAX_PAYLOAD + 4)
        payload = b"".join([bytes(buffer[start + 4 : min(start + 4 + MAX_PAYLOAD, at)]) for start in starts])
        del buffer[:at]
        return payload

    def _large_command(self, payload: bytes) -> None:
        """The answer's packets are numbered on from the command's own."""
        self._fresh = True
        self._first = first = (len(payload) // MAX_PAYLOAD + 1) & 0xFF
        if self._attributes and payload[0] in (_QUERY, _EXECUTE):
            payload = self._without_attributes(payload)
            if not payload:
                return
        match payload[0]:
            case Command.QUERY:
                self.start(self.conversation.run(payload[1:], first))
            case Command.STMT_PREPARE:
                self.start(self.conversation.prepared.prepare(payload[1:], first))
            case Command.STMT_EXECUTE:
                self.start(self.conversation.prepared.execute(payload, first))
            case Command.STMT_SEND_LONG_DATA:
                self.conversation.prepared.send_long_data(payload)
            case _:
                self._error(UNKNOWN_COMMAND())
        if not self._busy:
            self._first = 1

    def _adjust_reading(self) -> None:
        """Read from the client or not: while busy as long as the buffer has room, else unless the client is slow."""
        pause = len(self._buffer) > BACKLOG if self._busy else self._slow
        if pause is not self._reading_paused and not self._ending:
            self._reading_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # -- commands -------------------------------------------------------------------------------------------------

    def _query(self, packet: bytes) -> None:
        self._fresh = True
        conversation = self.conversation
        if not self._attributes:
            pass
        elif packet[5:7] == b"\0\1":  # none
            conversation.attributes.clear()
            packet = frame(b"\x03" + packet[7:])
        elif payload := self._without_attributes(packet[4:]):
            packet = frame(payload)
        else:
            return
        connection = conversation.fast(packet)
        if connection is not None:
            self._relayed(connection)
        elif not conversation.asking.next_value(packet):
            self.start(conversation.run(packet[5:]))

    def _execute(self, packet: bytes) -> None:
        self._fresh = True
        if self._attributes:
            payload = self._without_attributes(packet[4:])
            if not payload:
                return
            packet = frame(payload)
        connection = self.conversation.fast_execution(packet)
        if connection is not None:
            self._relayed(connection)
        else:
            self.start(self.conversation.prepared.execute(packet[4:]))

    def _without_attributes(self, payload: bytes) -> bytes:
        """A COM_QUERY or COM_STMT_EXECUTE as of a client that has no query attributes: those are the conversation's,
        for the statement at hand. Empty where it is malformed, which ends the connection.
        """
        conversation = self.conversation
        try:
            if payload[0] == _QUERY:
                found, at = read_query(payload, 1)
                payload = payload[:1] + payload[at:]
            else:
                statement = conversation.prepared.find(int.from_bytes(payload[1:5], "little"))
                if statement is None:
                    return payload
                found, payload = read_execution(payload, statement.template.parameters, statement.long_data)
        except MalformedPacket as error:
            self._fail(MALFORMED(what=str(error)))
            return b""
        conversation.attributes.set(found)
        return payload

    def _relayed(self, connection: BackendConnection) -> None:
        """The command has been sent to ``connection``, which answers without a task."""
        self._busy = True
        self._upstream = connection
        if self._slow:
            connection.transport.pause_reading()

    def _command(self, packet: bytes) -> None:
        self._fresh = True
        match packet[4]:
            case Command.QUERY:
                self._query(packet)
            case Command.STMT_EXECUTE:
                self._execute(packet)
            case Command.PING:
                self._ok_as_before()
            case Command.QUIT:
                self.hang_up()
            case Command.INIT_DB:
                self.start(self._init_db(packet[5:]))
            case Command.RESET_CONNECTION:
                self.start(self._reset())
            case Command.FIELD_LIST:
                self.start(self.conversation.field_list(packet))
            case Command.SET_OPTION:
                self._set_option(packet)
            case Command.CHANGE_USER:
                self.start(self._change_user(packet[5:]))
            case Command.STATISTICS:
                self.write(frame(self._gate.statistics(), 1))
            case Command.PROCESS_INFO if self._flavour is Flavour.MARIADB:
                self.start(self.conversation.run(b"SHOW PROCESSLIST"))
            case Command.PROCESS_KILL if len(packet) >= 9:
                number = int.from_bytes(packet[5:9], "little")
                self.start(self.conversation.run(b"KILL %d" % number))
            case Command.DEBUG:
                self._error(SUPER_NEEDED())
            case Command.STMT_PREPARE:
                self.start(self.conversation.prepared.prepare(packet[5:]))
            case Command.STMT_RESET:
                self.start(self.conversation.prepared.reset(packet[4:]))
            case Command.STMT_FETCH:
                self.start(self.conversation.prepared.fetch(packet[4:]))
            case Command.STMT_CLOSE:
                self._unanswered(self.conversation.prepared.close, packet)
            case Command.STMT_SEND_LONG_DATA:
                self._unanswered(self.conversation.prepared.send_long_data, packet)
            case _:
                self._error(refusal(packet[4:], self._flavour, self.login.user))
                if is_last(packet[4:], self._flavour):
                    self.hang_up()

    @property
    def _flavour(self) -> Flavour:
        return self._gate.cluster.facts_for(None).flavour

    def _unanswered(self, command: Callable[[bytes], None], packet: bytes) -> None:
        """A command that has no answer, if it is whole."""
        try:
            command(packet[4:])
        except SqlError as error:
            self._error(error)

    async def _init_db(self, name: bytes) -> None:
        await self.conversation.own.use(database_name(name, self.conversation.mode.charset, self._flavour))
        self._ok_as_before()

    def _ok_as_before(self) -> None:
        """The OK of a command that is no statement: MySQL still counts the warnings of the last one, MariaDB does not.
        """
        session = self.conversation.session
        session.row_count = 0
        Output(self, session).ok(warnings=0 if session.keeps_warnings else len(session.diagnostics))

    async def _reset(self) -> None:
        await self.conversation.reset()
        Output(self, self.conversation.session).ok()

    def _set_option(self, packet: bytes) -> None:
        if len(packet) < 7 and self._flavour is Flavour.MYSQL:
            self._error(MALFORMED(what="COM_SET_OPTION cut off"))
            return
        option = int.from_bytes(packet[5:7], "little")
        if option > 1:
            self._error(UNKNOWN_COMMAND())
            return
        login = self.conversation.session.login
        bit = Capability.MULTI_STATEMENTS
        flags = login.capabilities | bit if option == 0 else login.capabilities & ~bit
        self.conversation.session.row_count = -1  # to both servers it is the EOF of a result
        self.conversation.capabilities(flags)
        self.write(frame(eof_payload(self.conversation.session.status), 1))

    async def _change_user(self, payload: bytes) -> None:
        """COM_CHANGE_USER: what the client had is gone before it is asked who it is; if it cannot say, it has to go."""
        if self.reception is None:
            raise UNKNOWN_COMMAND()
        conversation = self.conversation
        await conversation.close()
        login = conversation.session.login
        self.begin_midway(1)
        try:
            async with asyncio.timeout(self.reception.terms.patience):
                login, before = await log_in_again(
                    self.reception, login, payload, self._exchange, secure=self._secure
                )
            self.login, self.user = login, login.user
            self.conversation = Conversation(self._gate, login, self)
            answer = Ok(status=self.conversation.session.status).payload()
        except SqlError as error:
            answer = err_payload(error.errno, error.sqlstate, error.message)
            log.info("connection %d: COM_CHANGE_USER: %s", login.connection_id, error.message)
            self.write(frame(answer, self.end_midway()))
            self.hang_up()
            return
        except TimeoutError:
            self.abort()
            return
        except asyncio.CancelledError:  # KILL QUERY: it is nobody now
            self.abort()
            raise
        sequence = self.end_midway()
        if before:
            self.write(frame(before, sequence))
            sequence += 1
        self.write(frame(answer, sequence))

    @property
    def _secure(self) -> bool:
        """True where passwords may come in clear: inside TLS, or through a unix socket."""
        transport = self._transport
        connection = transport.get_extra_info("socket")
        inet = connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6)
        return not inet or transport.get_extra_info("sslcontext") is not None

    async def _exchange(self, payload: bytes) -> bytes:
        """Send a packet in the middle of a command, and wait for the client's answer to it."""
        assert self._midway is not None
        self.write(frame(payload, self._midway.sequence))
        self._midway.sequence = (self._midway.sequence + 1) & 0xFF
        answer, ends = b"", False
        while not ends:
            data, ends = await self.piece()
            answer += data
            if len(answer) > LOGIN_LIMIT:
                raise PACKET_TOO_LARGE()
        return answer

    # -- in the middle of a command -------------------------------------------------------------------------------

    def begin_midway(self, sequence: int) -> None:
        """The client will send more for the command at hand; ``sequence`` is the number of the next packet."""
        self._midway = Midway(self._buffer, sequence)

    async def piece(self) -> tuple[bytes, bool]:
        """The next bytes of what the client sends, and whether they end a packet. Raises INTERRUPTED after ``kill``.

        Packets out of order are the end of the connection, and with it of whoever waits here.
        """
        midway = self._midway
        assert midway is not None
        while True:
            if midway.killed:
                midway.killed = False
                raise INTERRUPTED()
            try:
                piece = midway.piece()
            except SqlError as error:
                self.write(frame(err_payload(error.errno, error.sqlstate, error.message), midway.sequence))
                self.hang_up()
                await asyncio.Event().wait()
                raise
            if piece is not None:
                self._adjust_reading()
                return piece
            midway.news.clear()
            await midway.news.wait()

    def end_midway(self) -> int:
        """Nothing more is awaited; the number of the packet that answers."""
        assert self._midway is not None
        sequence = self._midway.sequence
        self._midway = None
        return sequence

    # -- answering ------------------------------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the rest of a command as a coroutine; the next command waits for it.

        Even for a client that is gone: its connections must come back in order. Only what it began is not repeated.
        """
        if self._abandoned:
            work.close()
            return
        self._continues = self._answered = self._busy
        self._busy = True
        if not self._ending:
            self.write = self._write_noted
        self._task = self._loop.create_task(self._run(work))

    def _write_noted(self, data: bytes) -> None:
        self._answered = True
        self._transport.write(data)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._running = True
        try:
            if self._killed:
                work.close()
                raise INTERRUPTED()
            await work
        except SqlError as error:
            self._fail(error, go_on=True)
        except AnswerCut:
            self.abort()
        except asyncio.CancelledError:
            if not self._killed:
                raise
            self._fail(INTERRUPTED(), go_on=True)
        except Exception:
            log.exception("connection %d: a command failed in a way that is vgate's fault", self.login.connection_id)
            self._fail(BUG(detail="see vgate's log"))
        self._killed = self._continues = self._running = False
        self._first = 1
        self._task = None
        if not self._ending:
            self.write = self._transport.write
        self.ready()

    def ready(self) -> None:
        """The answer is complete: go on with what has arrived."""
        if self._ending:
            return
        self._busy = False
        if self._buffer or self._slow or self._reading_paused or self._retiring:
            self._go_on()

    def answered(self, data: bytes) -> None:
        """``data`` is the whole answer: what ``detach``, ``write`` and ``ready`` do, in one step."""
        if self._slow:
            self.detach()
        else:
            self._upstream = None
        self.write(data)
        if self._ending:
            return
        self._busy = False
        if self._buffer or self._slow or self._reading_paused or self._retiring:
            self._go_on()

    def _go_on(self) -> None:
        self._pump()
        self._adjust_reading()

    def _error(self, error: SqlError) -> None:
        """Answer with an error, which SHOW WARNINGS will say, too."""
        self.conversation.session.failed(error)
        self.write(frame(error_payload(self.conversation.session, error), self._first))

    def _fail(self, error: SqlError, *, go_on: bool = False, linger: int = 0) -> None:
        """Answer with an error and end the connection, unless it may ``go_on``.

        ``linger``: the bytes of the command that have not come yet. They are read and thrown away first, since
        closing a socket with unread bytes in it makes the client's machine drop the error as well.
        """
        if self._ending:
            return
        if self._task is not None and self._answered:
            self.abort()
            return
        self._error(error)
        if go_on:
            return
        if linger <= 0:
            self.hang_up()
            return
        self._linger = linger
        self._no_more()
        if self._reading_paused:
            self._transport.resume_reading()

    def _no_more(self) -> None:
        """Take no further command, and write nothing."""
        self._ending = self._busy = True
        self._buffer.clear()
        self.write = _nowhere

    # -- engine.output.Downstream ---------------------------------------------------------------------------------

    def attach(self, connection: BackendConnection) -> None:
        """``connection`` answers this client: it is not read while the client is slow."""
        self._upstream = connection
        if self._slow:
            connection.transport.pause_reading()

    def attach_all(self, connections: Sequence[BackendConnection]) -> None:
        """Several answer this client together."""
        self._crowd = connections

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
        self._no_more()
        self._transport.abort()

    def hang_up(self) -> None:
        """Close the connection when what was written has gone out."""
        if not self._ending:
            self._no_more()
            self._transport.close()

    def pause_writing(self) -> None:
        self._slow = True
        if self._upstream is not None and self._upstream.usable:
            self._upstream.transport.pause_reading()
        self._adjust_reading()

    def resume_writing(self) -> None:
        self._slow = False
        if self._upstream is not None and self._upstream.usable:
            self._upstream.transport.resume_reading()
        if self._drained is not None:
            self._drained.set()
        if not self._busy:
            self._go_on()

    # -- the end --------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """True while no command is under way, nor begun, nor a transaction open."""
        return not self._busy and not self._buffer and not self.conversation.session.in_transaction

    def retire(self) -> None:
        """Vgate is about to end: close as soon as the client is idle. It gets no word, as from MySQL."""
        self._retiring = True
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self.idle:
            self.hang_up()

    def process(self) -> Process:
        """The client as the process list shows it."""
        conversation, login = self.conversation, self.login
        statement, seconds = None, None
        if self._task is not None:
            statement, seconds = conversation.running, int(self._loop.time() - conversation.began)
        elif self._busy:
            statement = conversation.relayed()
        return Process(
            login.connection_id, login.user, login.host, conversation.session.target.database, statement, seconds,
            self._upstream,
        )  # fmt: skip

    def kill(self, *, query_only: bool) -> None:
        """KILL: end the statement at hand, or the connection.

        A server that is answering is told, and its own error then ends the answer in good order; a statement that
        waits for something else is cancelled. One whose answer is complete has ended already.
        """
        upstream = self._upstream
        if not query_only:
            self.abort()
        elif self._midway is not None:
            self._midway.kill()
        elif upstream is not None:
            self._gate.closing(self._interrupt(upstream, upstream.sink))
        elif self._crowd:
            for one in self._crowd:
                self._gate.closing(self._interrupt(one, one.sink))
        elif self._task is not None and not self._continues:
            self._killed = True
            if self._running:  # one that is cancelled before its first step would answer nothing
                self._task.cancel()

    def oversee(self, idle: float, query: float | None) -> None:
        """A look at how long a command has been under way, or none has come: who takes too long is stopped.

        A command ends as by KILL QUERY. If that does not help, the servers that it waits for do not answer, and are
        let go. An idle client is sent away, after fewer seconds where it has set its wait_timeout so.
        """
        now = self._loop.time()
        if self._fresh or self._busy is not self._seen_busy:
            self._fresh, self._seen_busy, self._stopped, self._since = False, self._busy, False, now
        elif self._ending:
            return
        elif not self._busy:
            own = self.conversation.session.settings.values.get("wait_timeout", "")
            if now - self._since >= (min(idle, int(own)) if own.isdigit() else idle):
                self._send_away()
        elif query is not None and now - self._since >= query:
            if self._stopped and now - self._since >= query + STOPS_WITHIN:
                self.conversation.scope.cut()
            elif not self._stopped:
                self._stopped = True
                self.kill(query_only=True)

    def _send_away(self) -> None:
        """An idle client is too many; MySQL says so."""
        if self._flavour is Flavour.MYSQL:
            error = INACTIVE()
            self.write(frame(err_payload(error.errno, error.sqlstate, error.message), 0))
        self.hang_up()

    async def _interrupt(self, upstream: BackendConnection, sink: Sink | None) -> None:
        """KILL QUERY what ``upstream`` does for ``sink``, if it still does."""
        if sink is not None and upstream.sink is sink:
            await self._gate.cluster.interrupt(upstream)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._no_more()
        self._gate.clients.pop(self.login.connection_id, None)
        if self._drained is not None:
            self._drained.set()
        upstream, self._upstream = self._upstream, None
        task, self._task = self._task, None
        self._gate.closing(self._goodbye(upstream, upstream.sink if upstream is not None else None, task))
        self._lost(self)

    async def _goodbye(
        self, upstream: BackendConnection | None, sink: Sink | None, task: asyncio.Task[None] | None
    ) -> None:
        """Stop what still runs for the client, then roll back and let go of its connections."""
        if upstream is not None:
            await self._interrupt(upstream, sink)
            if sink is not None and upstream.sink is sink:
                self._abandoned = True
                upstream.close()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._task is not None:  # begun since, to keep the books of a statement that ended
            await asyncio.wait([self._task])
        await self.conversation.close()


def _nowhere(data: bytes) -> None:
    """Where writes go when the client is gone."""
