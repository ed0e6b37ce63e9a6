"""SET: session variables, checked by a server and kept in the session for every server that will serve it.

A server decides what a variable accepts and what its value becomes; vgate keeps the outcome. autocommit and the
character set names are vgate's own business, since they decide how statements are begun and read. It does not know how
SET is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from vgate.backend.connection import BackendConnection
from vgate.engine.single import read_warnings
from vgate.errors import UNSUPPORTED, ServerError, SqlError
from vgate.query.uservars import check_names
from vgate.session.session import Diagnostic, Session
from vgate.sql.statements import (
    Assignment,
    Names,
    SystemVariable,
    TransactionCharacteristics,
    UserVariable,
)

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_CHARSETS: Final = ("character_set_client", "character_set_results", "collation_connection")
_ISOLATION: Final = ("transaction_isolation", "tx_isolation")

_NOT_ASCII: Final = ("ucs2", "utf16", "utf16le", "utf32")

PER_STATEMENT: Final = frozenset({"insert_id", "last_insert_id", "identity"})
"""Variables whose value a statement uses up: they are the session's, not a connection's."""

REFUSED: Final[Mapping[str, str]] = {
    "auto_increment_increment": "ids on shards come from sequences",
    "auto_increment_offset": "ids on shards come from sequences",
    "password": "vgate's users have theirs in its configuration; servers' accounts are changed by SET PASSWORD FOR",
    "sql_log_bin": "it would hide writes from the shard's replicas and from resharding",
    "pseudo_thread_id": "connection ids are vgate's",
    "pseudo_slave_mode": "it is for replication threads",
    "pseudo_replica_mode": "it is for replication threads",
    "rand_seed1": "it is for replication threads",
    "rand_seed2": "it is for replication threads",
}

ONLY: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "completion_type": (frozenset({"0", "no_chain", "default"}), "write AND CHAIN or RELEASE after COMMIT"),
    "sql_auto_is_null": (frozenset({"0", "off", "false", "default"}), "use LAST_INSERT_ID()"),
}
"""Variables of which only some values are accepted, and what to do instead."""

_CHARACTERISTICS: Final[Mapping[str, str]] = {
    "read-uncommitted": "ISOLATION LEVEL READ UNCOMMITTED", "read-committed": "ISOLATION LEVEL READ COMMITTED",
    "repeatable-read": "ISOLATION LEVEL REPEATABLE READ", "serializable": "ISOLATION LEVEL SERIALIZABLE",
    "1": "READ ONLY", "on": "READ ONLY", "0": "READ WRITE", "off": "READ WRITE",
}  # fmt: skip


def _word(value: str) -> str:
    return value.strip().strip("'\"").lower()


def autocommit_value(value: str) -> bool | None:
    """The value of SET autocommit as it is usually written; None: a server has to say."""
    return {"1": True, "on": True, "true": True, "default": True, "0": False, "off": False, "false": False}.get(
        value.strip().lower()
    )


def is_on(value: str) -> bool:
    """A BOOL as a server says it: MySQL by a number, MariaDB by a word."""
    return _word(value) in ("1", "on")


def insert_id(value: str) -> int | None:
    """The value of SET last_insert_id as it is usually written; None: a server has to say."""
    value = value.strip()
    return int(value) if value.isascii() and value.isdigit() and int(value) < 1 << 64 else None


def characteristic(value: str) -> str:
    """What a server has made of ``SET @@transaction_isolation = x``, without a scope, as SET TRANSACTION has it."""
    return _CHARACTERISTICS[_word(value)]


async def made_of(
    one: SystemVariable, session: Session, connection: BackendConnection
) -> tuple[str, list[Diagnostic]]:
    """What a server makes of a value that is not to be kept as a setting, and its warnings. ``connection`` is in no
    transaction, carries the session's settings, and is as before afterwards. Raises the server's refusal.
    """
    names = [] if one.name in PER_STATEMENT else [one.name]
    before = await _read(names, connection)
    statement = f"SET SESSION {one.name} = {one.value}"
    back = ", ".join(["SET last_insert_id = 0", *(f"SESSION {name} = {value}" for name, value in before.items())])
    await connection.query(f"SET last_insert_id = {session.insert_id}")
    try:
        answer = await connection.query(statement.encode("utf-8", "surrogateescape"))
        noted = await read_warnings(connection) if answer.warnings else []
        made = (await _read([one.name], connection))[one.name]
    except ServerError:
        await connection.query(back)
        raise
    await connection.query(back)
    return made or "NULL", noted


async def apply(
    assignments: Sequence[Assignment], session: Session, connection: BackendConnection, whole: bytes = b""
) -> list[Diagnostic]:
    """Run session assignments on ``connection``, which carries the session's settings, and keep what they made.

    The server's warnings come back, nobody's diagnostics yet. ``whole``: the statement to run, where it is more than
    these. Raises ServerError with the server's own refusal; nothing is kept then.
    """
    for assignment in assignments:
        name = assignment.charset if isinstance(assignment, Names) else getattr(assignment, "value", "")
        if _word(name) == "swe7":
            check_names(session.variables, "swe7")
        if _word(name) in _NOT_ASCII and getattr(assignment, "name", "") == "character_set_results":
            raise UNSUPPORTED(construct=f"results in {_word(name)}, in which vgate could not read what it asks servers")
    statements: list[str] = []
    read_back: list[str] = []
    defaults: list[str] = []
    noted: list[Diagnostic] = []
    for assignment in assignments:
        match assignment:
            case Names():
                statements.append(assignment.text)
                read_back += _CHARSETS
            case SystemVariable(name=name, value=value):
                if name in REFUSED:
                    raise UNSUPPORTED(construct=f"system setting {name}: {REFUSED[name]}")
                if name in ONLY and _word(value) not in ONLY[name][0]:
                    raise UNSUPPORTED(construct=f"system setting {name} = {value}: {ONLY[name][1]}")
                if name == "timestamp" and _word(value) in ("0", "default"):  # the clock goes on
                    defaults.append(name)
                statements.append(f"SESSION {name} = {value}")
                read_back.append(name)
                if name.startswith(("character_set", "collation")):
                    read_back += _CHARSETS
            case TransactionCharacteristics(text=text):
                await connection.query(f"SET SESSION TRANSACTION {text}")
                read_back += await _transaction_variables(session, connection)
            case UserVariable():
                raise UNSUPPORTED(construct="SET of a user variable among system variables")
    if statements or whole:
        answer = await connection.query(whole or ("SET " + ", ".join(statements)).encode("utf-8", "surrogateescape"))
        if answer.warnings:
            noted = await read_warnings(connection)
    try:
        names = list(dict.fromkeys(name for name in read_back if name not in defaults))
        changes = await _read(names, connection)
    except SqlError:  # what it carries now is not known
        connection.close()
        raise
    changes |= dict.fromkeys(defaults)
    session.settings = session.settings.changed(changes)
    connection.settings = session.settings
    return noted


async def _transaction_variables(session: Session, connection: BackendConnection) -> list[str]:
    """The names this server has for isolation and access mode (MariaDB before 11.1 only the old ones)."""
    if not session.keeps_warnings:  # MySQL has these alone, and at the end of an XA transaction shows none
        return ["transaction_isolation", "transaction_read_only"]
    rows = await connection.rows(
        "SHOW VARIABLES WHERE Variable_name IN"
        " ('transaction_isolation', 'transaction_read_only', 'tx_isolation', 'tx_read_only')"
    )
    found = {(row[0] or b"").decode() for row in rows}
    new: list[str] = [name for name in ("transaction_isolation", "transaction_read_only") if name in found]
    return new or sorted(found)


async def _read(names: list[str], connection: BackendConnection) -> dict[str, str | None]:
    """The values the server now has, as SQL texts."""
    if not names:
        return {}
    selected = ", ".join(f"CAST(@@SESSION.{name} AS CHAR CHARACTER SET utf8mb4)" for name in names)
    ((*values,),) = await connection.rows(f"SELECT {selected} LIMIT 1")  # not even sql_select_limit = 0 is below it
    return {name: literal(value) for name, value in zip(names, values, strict=True)}


def literal(value: bytes | None) -> str:
    """A variable's value as SQL text that is the same under every sql_mode and character set."""
    if value is None:
        return "NULL"
    text = value.decode("utf-8", "replace")
    if _NUMBER.fullmatch(text):
        return text
    if re.fullmatch(r"[\w ,.:/+-]*", text, re.ASCII):
        return f"'{text}'"
    return f"_utf8mb4 0x{value.hex()}"
