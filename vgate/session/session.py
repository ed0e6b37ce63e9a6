"""One client's session: target, settings, transaction, insert id and diagnostics, with the rules that change them.

Pure data and rules. It does not know connections: which servers take part in a transaction is kept by
``transactions.scope``.

Invariants
1. ``in_transaction`` is True from BEGIN (or, with autocommit off, the statement of which a server says that it began
   one) to the COMMIT, ROLLBACK or implicit commit that ends it.
2. ``savepoints`` is empty outside a transaction, but with autocommit off: those set before the first statement wait for
   the transaction that it begins. Names are unique, case-insensitively, in the order they were set.
3. ``status`` is what OK and EOF packets must say: never a backend's own idea.
4. ``settings`` has autocommit off exactly while ``autocommit`` is False, so that every server that serves the session
   begins transactions by itself as the client expects it.
5. ``isolation_once`` (SET TRANSACTION) is used up by the next transaction, be it a single statement's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vgate.errors import SqlError
from vgate.session.login import Login
from vgate.session.settings import NO_SETTINGS, STEP, Settings
from vgate.session.target import Target
from vgate.session.uservars import Variable

# The protocol's status flags, as far as a session has a say in them.
IN_TRANS: Final = 0x0001
AUTOCOMMIT: Final = 0x0002
NO_BACKSLASH_ESCAPES: Final = 0x0200
IN_TRANS_READONLY: Final = 0x2000
ANSI_QUOTES: Final = 0x8000  # MariaDB's alone


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One row of SHOW WARNINGS."""

    level: str
    code: int
    message: str

    @property
    def row(self) -> list[bytes]:
        """Its cells."""
        return [self.level.encode(), b"%d" % self.code, self.message.encode("utf-8", "surrogateescape")]


class Session:
    """See the module."""

    __slots__ = ("_noted", "begin_modifiers", "found_rows", "in_transaction", "insert_id", "isolation_once",
                 "keeps_warnings", "last_values", "lexical", "login", "read_only", "row_count", "said_with",
                 "savepoints", "settings", "target", "variables", "warning_count")

    def __init__(self, login: Login) -> None:
        self.login = login
        self.target = Target()
        self.settings: Settings = NO_SETTINGS
        self.keeps_warnings = False  # MariaDB: a statement that names no table leaves those of the one before
        self.lexical = 0  # status flags that tell the client how its strings and names are read
        self.in_transaction = False
        self.read_only = False
        self.begin_modifiers: tuple[str, ...] = ()
        self.isolation_once: tuple[str, ...] = ()
        self.savepoints: list[str] = []
        self.insert_id = 0
        self.row_count = -1
        self.found_rows: int | None = None  # None: the last statement did not count them
        self.diagnostics: list[Diagnostic] = []
        self.said_with: tuple[SqlError, list[Diagnostic]] | None = None
        self.variables: dict[str, Variable] = {}  # user variables, as far as they are known, by lower-case name
        self.last_values: dict[tuple[str, str], int] = {}  # CURRVAL: the last value of each sequence, by its key

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What SHOW WARNINGS says: as many as max_error_count lets servers keep."""
        return self._noted

    @diagnostics.setter
    def diagnostics(self, noted: list[Diagnostic]) -> None:
        self.warned(noted, len(noted))

    def warned(self, noted: list[Diagnostic], count: int) -> None:
        """The last statement has left these, of ``count`` that there were: ``warning_count``."""
        self._noted, self.warning_count = noted, count

    def told_nothing(self) -> None:
        """A statement that names no table has been answered with an OK."""
        self.row_count = 0
        if not self.keeps_warnings:
            self.diagnostics = []

    @property
    def most_kept(self) -> int | None:
        """The max_error_count that the client has set."""
        found = self.settings.values.get("max_error_count", "")
        return int(found) if found.isdigit() else None

    @property
    def autocommit(self) -> bool:
        """True unless the client has turned it off."""
        return "autocommit" not in self.settings.values

    @property
    def status(self) -> int:
        """The status flags of the session."""
        flags = self.lexical | (AUTOCOMMIT if self.autocommit else 0)
        if self.in_transaction:
            flags |= IN_TRANS
            if self.read_only:
                flags |= IN_TRANS_READONLY
        return flags

    def begin(self, modifiers: tuple[str, ...] = ()) -> None:
        """A transaction starts, explicitly (with START TRANSACTION's modifiers) or by a first statement.

        It has the savepoints that were set before: ``end`` takes them away.
        """
        self.in_transaction = True
        self.begin_modifiers = modifiers
        words = (*(word.upper() for word in self.isolation_once), *modifiers)
        access = [word for word in words if "READ ONLY" in word or "READ WRITE" in word]
        self.read_only = "READ ONLY" in access[-1] if access else self._reads_only_by_default

    @property
    def _reads_only_by_default(self) -> bool:
        """SET SESSION TRANSACTION READ ONLY."""
        values = self.settings.values
        return any(values.get(name, "0") in ("1", "'ON'") for name in ("transaction_read_only", "tx_read_only"))

    def end(self) -> None:
        """The transaction has ended, whichever way."""
        self.in_transaction = False
        self.read_only = False
        self.begin_modifiers = ()
        self.isolation_once = ()
        self.savepoints = []

    def savepoint(self, name: str) -> None:
        """SAVEPOINT: one of the same name is moved to the end, as in MySQL."""
        self.savepoints = [one for one in self.savepoints if one.lower() != name.lower()] + [name]

    def has_savepoint(self, name: str) -> bool:
        """True if ROLLBACK TO or RELEASE can name it."""
        return any(one.lower() == name.lower() for one in self.savepoints)

    def roll_back_to(self, name: str, *, release: bool) -> None:
        """Forget the savepoints after ``name``, and ``name`` itself when it is released."""
        position = [one.lower() for one in self.savepoints].index(name.lower())
        self.savepoints = self.savepoints[: position + (0 if release else 1)]

    def fails(self, error: SqlError, said: Sequence[Diagnostic]) -> None:
        """A server has ``said`` this of the statement that it fails with ``error``: warnings, and the error itself."""
        self.said_with = error, list(said) or self.alone(error)

    def failed(self, error: SqlError) -> None:
        """The client gets ``error``: SHOW WARNINGS says it, and what was said with it."""
        said = self.said_with[1] if self.said_with is not None and self.said_with[0] is error else self.alone(error)
        self.warned(said, len(said) or 1)
        self.said_with = None

    def alone(self, error: SqlError) -> list[Diagnostic]:
        """What SHOW WARNINGS says of an error that nothing was said with."""
        return [] if self.most_kept == 0 else [Diagnostic("Error", error.errno, error.message)]

    def given(self, keyspace: str, sequence: str, value: int) -> None:
        """A sequence gave the session a value; case does not count in its name."""
        self.last_values[keyspace, sequence.lower()] = value

    def keep_variables(self, found: Mapping[str, Variable | None]) -> None:
        """What a server has said of user variables; None: that it has no such one."""
        for name, variable in found.items():
            if variable is None:
                self.variables.pop(name, None)
            else:
                self.variables[name] = variable
        self.settings = self.settings.changed({
            "@" + name: None if variable is None else STEP.join(variable.assignments(name))
            for name, variable in found.items()
        })

    def forget_variables(self) -> None:
        """The server that had them is gone."""
        self.keep_variables(dict.fromkeys(self.variables))

    def reset(self) -> None:
        """What COM_RESET_CONNECTION leaves: everything but who and where the client is, and FOUND_ROWS()."""
        self.end()
        self.settings = NO_SETTINGS
        self.insert_id = 0
        self.row_count = 0
        self.diagnostics = []
        self.last_values = {}
        self.variables = {}
