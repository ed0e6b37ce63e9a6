"""Where the answer to COM_STMT_PREPARE ends, and what it says: a pure walker, as ``wire.response`` has for the others.

It does not know statements.

Invariants
1. ``feed`` consumes whole packets only; what it leaves is given again in front of the next piece.
2. ``done`` becomes True at the last byte of the answer: after the OK, or after the EOF that ends the last list it
   announced.
"""

from __future__ import annotations

from dataclasses import dataclass

from vgate.wire.packets import MalformedPacket


@dataclass(frozen=True, slots=True)
class Handle:
    """A statement prepared on one server connection; the definitions are payloads of column definition packets.

    ``tables``: how often tables had changed when it was asked for its description.
    """

    id: int
    parameters: tuple[bytes, ...]
    columns: tuple[bytes, ...]
    warnings: int = 0
    tables: int = 0


class PrepareResponse:
    """One answer in flight; has what a sink reads of a ``Response``."""

    __slots__ = ("_lists", "_packets", "done", "error", "file", "marks", "ok", "started", "status", "warnings")

    def __init__(self) -> None:
        self._packets: list[bytes] = []
        self._lists: list[int] = []
        self.done = False
        self.error: bytes | None = None
        self.ok: bytes | None = None
        self.file = None
        self.marks: list[int] = []
        self.started = False
        self.status = 0
        self.warnings = 0

    def start(self, phase: int = 0) -> None:
        """A new one is made for each answer."""

    def feed(self, data: bytes) -> int:
        """Walk ``data``; return how many of its bytes need not be given again. Raises MalformedPacket."""
        at = 0
        while not self.done and at + 4 <= len(data):
            end = at + 4 + int.from_bytes(data[at : at + 3], "little")
            if end > len(data):
                break
            self._take(data[at + 4 : end])
            at = end
        return at

    def _take(self, payload: bytes) -> None:
        if self.ok is None:
            if payload[:1] == b"\xff":
                self.error = payload
                self.done = True
                return
            if payload[:1] != b"\x00" or len(payload) < 12:
                raise MalformedPacket("no answer to COM_STMT_PREPARE")
            self.ok = payload
            columns, parameters = (int.from_bytes(payload[at : at + 2], "little") for at in (5, 7))
            self.warnings = int.from_bytes(payload[10:12], "little")
            self._lists = [parameters + 1] * bool(parameters) + [columns + 1] * bool(columns)
            self.done = not self._lists
            return
        self._packets.append(payload)
        self._lists[0] -= 1
        if self._lists[0] == 0:
            del self._lists[0]
            self.done = not self._lists

    def handle(self) -> Handle:
        """What was prepared. Only once it is done, without an error."""
        assert self.ok is not None
        parameters = int.from_bytes(self.ok[7:9], "little")
        columns = int.from_bytes(self.ok[5:7], "little")
        start = parameters + 1 if parameters else 0
        return Handle(
            int.from_bytes(self.ok[1:5], "little"), tuple(self._packets[:parameters]),
            tuple(self._packets[start : start + columns]), self.warnings,
        )  # fmt: skip
