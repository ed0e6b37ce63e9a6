"""Session settings: which system variables a client has changed, and how a server is brought to the same.

A ``Settings`` is immutable and interned: equal settings are the same object, so that a pool can key its idle
connections by them and the fast path compares with ``is``. Values are SQL texts, ready to stand after ``SET x =``.
User variables are among them, under ``@`` and their names: their values are what to assign, one after another.
It does not know which variables exist: a server has accepted each before it is kept here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vgate.session.uservars import quoted_name

# A connection is opened with utf8mb4 and its general collation, and with autocommit: these are what "default" means for
# them, where the server's own DEFAULT would be something else.
BASELINE: Final[Mapping[str, str]] = {
    "autocommit": "1",
    "character_set_client": "utf8mb4",
    "character_set_results": "utf8mb4",
    "collation_connection": "utf8mb4_general_ci",
}


_NAMES: Final = ("character_set_client", "character_set_results", "collation_connection")


_SESSION_ONLY: Final = frozenset({
    "debug_sync", "default_master_connection", "gtid_next", "gtid_seq_no", "immediate_server_version",
    "original_commit_timestamp", "original_server_version", "rbr_exec_mode", "require_row_format", "resultset_metadata",
    "show_create_table_skip_secondary_engine", "skip_parallel_replication", "skip_replication", "timestamp",
    "transaction_allow_batching", "use_secondary_engine",
})  # fmt: skip
"""Variables without a global value. For the others that is what takes them back: DEFAULT does not, on MySQL, for
foreign_key_checks and unique_checks, which it leaves switched off (9.7)."""


_READING: Final = (
    "character_set_client", "collation_connection", "default_week_format", "div_precision_increment", "lc_time_names",
    "sql_mode",
)  # fmt: skip
"""Variables that servers look at when they prepare a statement, and no longer when they execute it (measured)."""


class Settings:
    """Changed session variables: lower-case name to SQL value text. Make with ``settings_of``, which leaves out what is
    as in BASELINE.

    ``reading`` are those among them by which a statement is read when it is prepared.

    Equal is who is the same: a pool looks settings up twice per statement. Where the interned ones were forgotten,
    equal values may be two objects for a while; between those there is no difference to send.
    """

    __slots__ = ("items", "reading", "values", "variables")

    def __init__(self, items: tuple[tuple[str, str], ...]) -> None:
        self.items = items
        self.values: Mapping[str, str] = dict(items)
        self.variables = tuple(item for item in items if item[0][0] == "@")
        reading: dict[str, str] = {name: self.values[name] for name in _READING if name in self.values}
        self.reading: Settings = self if len(reading) == len(items) else settings_of(reading)

    def __repr__(self) -> str:
        return f"<Settings {' '.join(f'{name}={value}' for name, value in self.items) or 'none'}>"

    @property
    def results_charset(self) -> str:
        """The character set in which results and messages come; NULL: none in particular."""
        return self.values.get("character_set_results", "utf8mb4").strip("'")

    def changed(self, changes: Mapping[str, str | None]) -> Settings:
        """These settings with ``changes`` applied; None takes a setting back to the server's default."""
        values = {**self.values, **changes}
        return settings_of({name: value for name, value in values.items() if value is not None})

    def kept_under(self, reading: Settings) -> Settings:
        """What a handle is kept under that is made under these settings, but read as by ``reading``."""
        return self if self.reading is reading else reading

    def read_as(self, reading: Settings) -> Settings:
        """These settings, under which a statement is read as under the others that ``reading`` is of."""
        return self if self.reading is reading else self.changed({**dict.fromkeys(_READING), **reading.values})


_interned: dict[tuple[tuple[str, str], ...], Settings] = {}
_INTERNED_LIMIT: Final = 10_000


def as_stored(settings: Settings) -> Settings:
    """The same, but that results come as they are stored, and whole."""
    return settings.changed({"character_set_results": "NULL", "sql_select_limit": None})


def settings_of(values: Mapping[str, str] | Iterable[tuple[str, str]]) -> Settings:
    """The one Settings object of these values."""
    given = dict(values)
    items = tuple(sorted(one for one in given.items() if one[1].strip("'") != BASELINE.get(one[0])))
    if items and items[0][0][0] == "@":  # they sort first, and may be large
        return Settings(items)
    found = _interned.get(items)
    if found is None:
        if len(_interned) >= _INTERNED_LIMIT:  # a client that invents values without end must not fill memory
            _interned.clear()
            _interned[()] = NO_SETTINGS
        found = _interned[items] = Settings(items)
    return found


NO_SETTINGS: Final = Settings(())
_interned[()] = NO_SETTINGS


STEP: Final = "\0"
"""Stands between what is assigned to a user variable one after another."""

_AT_ONCE: Final = 4 << 20


def forgets(carried: Settings, wanted: Settings) -> bool:
    """True if there is a user variable less: only a reset takes one away."""
    return bool(carried.variables) and any(name not in wanted.values for name, _ in carried.variables)


def variable_statements(carried: Settings, wanted: Settings) -> list[str]:
    """The SET statements that give the user variables their values, few and none too long."""
    changed = [(name[1:], value.split(STEP)) for name, value in wanted.variables if carried.values.get(name) != value]
    statements: list[str] = []
    for step in range(max((len(steps) for _, steps in changed), default=0)):
        parts: list[str] = []
        for name, steps in changed:
            if step < len(steps):
                parts.append(f"{quoted_name(name)} = {steps[step]}")
            if parts and sum(map(len, parts)) > _AT_ONCE:
                statements.append("SET " + ", ".join(parts))
                parts = []
        if parts:
            statements.append("SET " + ", ".join(parts))
    return statements


def difference(carried: Settings, wanted: Settings) -> str:
    """The SET statement that takes a connection from ``carried`` to ``wanted``; empty where none is needed.

    User variables are left out.

    ``collation_connection`` comes last: setting ``character_set_connection`` or ``character_set_client`` may touch it.
    Where SET NAMES does it, that is what is sent: it alone also decides which collation columns are said to have.
    """
    if carried is wanted:
        return ""
    parts = {name: value for name, value in wanted.items if name[0] != "@" and carried.values.get(name) != value}
    for name, _ in carried.items:
        if name not in wanted.values and name[0] != "@":
            parts[name] = BASELINE.get(name, "DEFAULT" if name in _SESSION_ONLY else f"@@GLOBAL.{name}")
    if not parts:
        return ""
    names = _names(wanted) if not parts.keys().isdisjoint(_NAMES) else ""
    if names:
        parts = {name: value for name, value in parts.items() if name not in _NAMES}
    ordered = sorted(parts.items(), key=lambda part: (part[0].startswith("collation"), part[0]))
    return "SET " + ", ".join([*filter(None, [names]), *(f"SESSION {name} = {value}" for name, value in ordered)])


def transcodes(client: str, collation: str) -> bool:
    """True if literals in the character set ``client`` become another one's, as ``collation_connection`` says."""
    connection = collation.partition("_")[0]
    if connection == "binary":
        return False
    older = ("utf8", "utf8mb3")
    return connection != client and not (client in older and connection in (*older, "utf8mb4"))


def _names(wanted: Settings) -> str:
    """The SET NAMES that leads to ``wanted``; empty where it is not one."""
    client, results, collation = (wanted.values.get(name, BASELINE[name]).strip("'") for name in _NAMES)
    if client != results or not (collation == client or collation.startswith(f"{client}_")):
        return ""
    return f"NAMES '{client}' COLLATE '{collation}'"
