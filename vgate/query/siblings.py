"""The other workers of this vgate, who are told when something changed that all of them keep, and asked what they know.

Each worker has an inbox, a datagram socket whose other ends all workers hold; who tells waits until every other worker
has done what the news asks for, so that a client who has its answer meets no worker that does not know. A worker that
does not answer in time is given up with a line in the log. It does not know what news and answers mean.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

log = logging.getLogger("vgate")

PATIENCE: Final = 5.0
PAUSE: Final = 0.005
"""Seconds until a full inbox is tried again."""

LONGEST: Final = 1 << 16
PART: Final = 1 << 14
"""Characters of an answer in one datagram."""

Heard = Callable[[str, str], Awaitable[str]]
"""Does what the news (what, of what) asks for, and answers."""


@dataclass(frozen=True, slots=True)
class Post:
    """One worker's sockets: its number, its inbox, and the ways to the inboxes of the others."""

    number: int
    inbox: socket.socket
    others: Mapping[int, socket.socket]


def posts(workers: int) -> list[Post]:
    """Sockets for so many workers, each to be handed to its process."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]
    return [
        Post(number, pairs[number][0], {other: pairs[other][1] for other in range(workers) if other != number})
        for number in range(workers)
    ]


@dataclass(slots=True)
class _Question:
    """What was told, until all have answered: who has not yet, and the answers so far."""

    missing: set[int]
    answers: dict[int, str]
    done: asyncio.Event


@dataclass(slots=True)
class Siblings:
    """See the module. Without a post there are no others."""

    post: Post | None
    owner: asyncio.TaskGroup
    _last: int = 0
    _waiting: dict[int, _Question] = field(default_factory=dict)

    def listen(self, heard: Heard) -> None:
        """Hear what the others tell from now on."""
        if self.post is None:
            return
        for each in (self.post.inbox, *self.post.others.values()):
            each.setblocking(False)
        asyncio.get_running_loop().add_reader(self.post.inbox, self._read, self.post.inbox, heard)

    def close(self) -> None:
        """Hear nothing any more."""
        if self.post is not None:
            asyncio.get_running_loop().remove_reader(self.post.inbox)

    async def tell(self, what: str, name: str = "") -> list[str]:
        """Tell all others, and wait until they have done it; their answers, as far as they came in time."""
        if self.post is None or not self.post.others:
            return []
        self._last = number = self._last + 1
        question = self._waiting[number] = _Question(set(self.post.others), {}, asyncio.Event())
        message = {"from": self.post.number, "id": number, "what": what, "name": name}
        try:
            async with asyncio.timeout(PATIENCE):
                for other in self.post.others:
                    await self._send(other, message)
                await question.done.wait()
        except TimeoutError:
            log.warning("workers %s have not answered (%s %s) yet", sorted(question.missing), what, name)
        finally:
            del self._waiting[number]
        return [answer for other, answer in question.answers.items() if other not in question.missing]

    async def _send(self, other: int, message: Mapping[str, object]) -> None:
        assert self.post is not None
        data = json.dumps(message).encode()
        while True:
            try:
                self.post.others[other].send(data)
                return
            except BlockingIOError:
                await asyncio.sleep(PAUSE)
            except OSError:  # the worker has ended, and all end with it
                return

    def _read(self, inbox: socket.socket, heard: Heard) -> None:
        while True:
            try:
                message = json.loads(inbox.recv(LONGEST))
            except BlockingIOError:
                return
            if "done" in message:
                self._answered(message["done"], message["from"], message["part"], last=message["last"])
            else:
                self.owner.create_task(self._do(message, heard))

    def _answered(self, number: int, other: int, part: str, *, last: bool) -> None:
        question = self._waiting.get(number)
        if question is None:
            return
        question.answers[other] = question.answers.get(other, "") + part
        if last:
            question.missing.discard(other)
            if not question.missing:
                question.done.set()

    async def _do(self, message: Mapping[str, object], heard: Heard) -> None:
        assert self.post is not None
        answer = await heard(str(message["what"]), str(message["name"]))
        other = message["from"]
        assert isinstance(other, int)
        for start in range(0, max(1, len(answer)), PART):
            part, last = answer[start : start + PART], start + PART >= len(answer)
            await self._send(other, {"from": self.post.number, "done": message["id"], "part": part, "last": last})
