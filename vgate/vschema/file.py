"""``vschema.yaml`` as a file that several proxies read and change: locked while it changes, never half written.

A change reads the file anew under a lock, so two at once do not lose one, and replaces it in one step by a temporary
file beside it. The lock is on the file itself; who finds afterwards that the file has been replaced meanwhile locks the
new one. What a changed or edited file says is examined by ``load``; whether servers are there is not known here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vgate.errors import VSCHEMA_FILE, VSCHEMA_INVALID
from vgate.sql.alter_vschema import Change
from vgate.vschema.changes import changed
from vgate.vschema.load import Examined, examine
from vgate.vschema.model import Keyspace, VSchema
from vgate.yamlfile import Problem

Stamp = tuple[int, int, int]
"""What tells one state of the file from another: inode, time of the last change, size."""


@dataclass(frozen=True, slots=True)
class VSchemaFile:
    """See the module."""

    path: Path
    environ: Mapping[str, str]

    def stamp(self) -> Stamp | None:
        """The file's state; None where there is no file."""
        try:
            return _stamp(self.path.stat())
        except OSError:
            return None

    def examine(self) -> tuple[Examined, Stamp | None]:
        """What the file says now, and in which state it says so."""
        stamp = None
        try:
            with self.path.open(encoding="utf-8") as file:
                stamp = _stamp(os.fstat(file.fileno()))
                return self._examine(file.read()), stamp
        except (OSError, UnicodeDecodeError) as error:
            return Examined(None, (Problem(str(self.path), 1, f"cannot be read: {error}"),), ()), stamp

    def _examine(self, text: str) -> Examined:
        def read_file(name: str) -> str:
            return (self.path.parent / name).read_text(encoding="utf-8")

        return examine(text, filename=str(self.path), environ=self.environ, read_file=read_file)

    def try_change(self, changes: Sequence[Change], accept: Callable[[VSchema], None]) -> VSchema:
        """The VSchema that ``change`` would make; nothing is written. Raises VgateError."""
        return self._next(self._text(), changes, accept)[1]

    def change(self, changes: Sequence[Change], accept: Callable[[VSchema], None]) -> tuple[VSchema, Stamp]:
        """Carry out all of ``changes`` or none, and write them. Raises VgateError, and what ``accept`` raises."""
        try:
            with self._locked():
                text, vschema = self._next(self._text(), changes, accept)
                return vschema, self._write(text)
        except OSError as error:
            raise VSCHEMA_FILE(reason=f"it cannot be written: {error.strerror or error}") from error

    def _text(self) -> str:
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                return file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise VSCHEMA_FILE(reason=f"it cannot be read: {error}") from error

    def _next(
        self, text: str, changes: Sequence[Change], accept: Callable[[VSchema], None]
    ) -> tuple[str, VSchema]:
        self._require(self._examine(text), "vschema.yaml has faults that come first")
        after = changed(text, changes)
        vschema = self._require(self._examine(after), "the changed VSchema would not be valid")
        accept(vschema)
        return after, vschema

    @staticmethod
    def _require(examined: Examined, what: str) -> VSchema:
        if examined.vschema is None:
            reasons = "; ".join(f"line {problem.line}: {problem.text}" for problem in examined.faults[:3])
            raise VSCHEMA_INVALID(what=what, reason=reasons)
        return examined.vschema

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        while True:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_ino == os.stat(self.path).st_ino:
                    yield
                    return
            finally:
                os.close(descriptor)

    def _write(self, text: str) -> Stamp:
        """All of it or nothing, whatever happens; the file keeps its mode, and its owner where that can be."""
        target = self.path.resolve()
        mode = target.stat()
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                os.fchmod(file.fileno(), mode.st_mode & 0o7777)
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), mode.st_uid, mode.st_gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                stamp = _stamp(os.fstat(file.fileno()))
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return stamp


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_mtime_ns, found.st_size


# -- from one VSchema to the next -----------------------------------------------------------------------------------


def with_addresses_of(running: VSchema, found: VSchema) -> VSchema:
    """``found`` with the running addresses for the shards that it only names: those of `vgate local`'s servers."""
    keyspaces = {name: _addressed(keyspace, running.keyspaces.get(name)) for name, keyspace in found.keyspaces.items()}
    return replace(found, keyspaces=keyspaces, version=running.version + 1)


def _addressed(keyspace: Keyspace, running: Keyspace | None) -> Keyspace:
    if running is None:
        return keyspace
    known = {shard.name: shard.address for shard in running.shards}
    shards = tuple(
        shard if shard.address is not None else replace(shard, address=known.get(shard.name))
        for shard in keyspace.shards
    )
    return replace(keyspace, shards=shards)


def needs_restart(running: VSchema, found: VSchema) -> str:
    """Why ``found`` cannot be taken up by a vgate that follows ``running``; empty where it can."""
    for name, keyspace in running.keyspaces.items():
        other = found.keyspaces.get(name)
        if other is None:
            return f"keyspace {name} is gone"
        if other.shards != keyspace.shards:
            return f"the shards of keyspace {name}, or their addresses, are others"
    for name, keyspace in found.keyspaces.items():
        if name not in running.keyspaces and any(shard.address is None for shard in keyspace.shards):
            return f"keyspace {name} is new and its shards have no addresses"
    return ""
