"""The compressed protocol: what is between a client that asked for zlib and its connection in the command phase.

To the transport this is the protocol, to the connection the transport; both know nothing of each other's other half. A
client that does not compress has none of this in its way.

Invariants
1. Packets from the client are unpacked one by one, and none while its connection does not want to read: what is in
   memory is bounded by one packet, however well it is compressed.
2. Packets are numbered on from the client's last one, so from 1 in the answer to a command.
3. What goes to the client is cut where packets inside end, as servers do: there are clients (mysql-connector-python)
   that cannot put one together of more than two pieces. So up to one packet is held back until it is complete.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any, Final

from vgate.errors import OUT_OF_ORDER
from vgate.wire.constants import MAX_PAYLOAD
from vgate.wire.packets import err_payload, frame

HEADER: Final = 7
WORTH: Final = 50
"""Bytes below which nothing is gained; servers have the same bound."""

PIECE: Final = 1 << 20
"""Bytes compressed at once, unless one packet is longer."""


def unpacked(data: bytes, size: int) -> bytes | None:
    """The content of a packet; None if it is not what its header says."""
    if not size:
        return data
    machine = zlib.decompressobj()
    try:
        plain = machine.decompress(data, size)
    except zlib.error:
        return None
    return plain if len(plain) == size and machine.eof else None


def packed(data: bytes, sequence: int) -> bytes:
    """One packet. ``data`` is less than 16 MB."""
    content, size = data, 0
    if len(data) >= WORTH:
        smaller = zlib.compress(data, 6)
        if len(smaller) < len(data):
            content, size = smaller, len(data)
    return b"".join((len(content).to_bytes(3, "little"), bytes([sequence]), size.to_bytes(3, "little"), content))


class Compression(asyncio.Transport, asyncio.Protocol):
    """See the module. ``client`` is the connection in the command phase."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self.client: asyncio.Protocol
        self._transport = transport
        self._raw = bytearray()
        self._held = bytearray()  # of a packet that is not complete
        self._sequence = 0
        self._paused = False
        self._unpacking = False

    # -- from the client ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._raw += data
        if not self._unpacking:
            self._unpack()

    def _unpack(self) -> None:
        raw = self._raw
        self._unpacking = True
        while not self._paused and len(raw) >= HEADER:
            end = HEADER + int.from_bytes(raw[:3], "little")
            if len(raw) < end:
                break
            self._sequence = (raw[3] + 1) & 0xFF
            plain = unpacked(bytes(raw[HEADER:end]), int.from_bytes(raw[4:HEADER], "little"))
            del raw[:end]
            if plain is None:
                self._refuse()
                break
            self.client.data_received(plain)
        self._unpacking = False

    def _refuse(self) -> None:
        """What cannot be unpacked is the end of the connection; servers say the same."""
        self._raw.clear()
        error = OUT_OF_ORDER()
        self.write(frame(err_payload(error.errno, error.sqlstate, error.message), 1))
        self._transport.close()

    def eof_received(self) -> bool | None:
        return self.client.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.connection_lost(exc)

    def pause_writing(self) -> None:
        self.client.pause_writing()

    def resume_writing(self) -> None:
        self.client.resume_writing()

    # -- to the client --------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        held = self._held
        held += data
        begin = at = 0
        while at + 4 <= len(held):
            end = at + 4 + int.from_bytes(held[at : at + 3], "little")
            if end > len(held):
                break
            if end - begin > PIECE and at > begin:
                self._emit(bytes(held[begin:at]))
                begin = at
            at = end
        if at > begin:
            self._emit(bytes(held[begin:at]))
        del held[:at]

    def _emit(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_PAYLOAD):
            self._transport.write(packed(data[start : start + MAX_PAYLOAD], self._sequence))
            self._sequence = (self._sequence + 1) & 0xFF

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._transport.resume_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self._unpacking:
            self._unpack()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)
