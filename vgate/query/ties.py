"""What in a statement ties the session to one server, or speaks of the session itself: found in the statement's shape.

A shape has no literals, so a word found in it is a word of the statement; comments are taken out first, so that none
can hide one. It does not know what follows from a finding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from vgate.engine.call import Call
from vgate.planner.functions import foreign_function
from vgate.query.beginning import Uses, used_by
from vgate.sql.lexer import Lexer, TokenKind
from vgate.transactions.scope import AT_HOME, XA

_TIES: Final = re.compile(
    rb"""
      \b(?:create|drop) \ (?:or\ replace\ )? (?P<temporary>temporary)\b
    | \b(?P<lock>get_lock|release_lock|release_all_locks|is_used_lock|is_free_lock) \ \(
    | ^ (?P<tables>(?:un)?lock\ (?:tables?|instance)|flush\b.*\b(?:read\ lock|for\ export)|backup)\b
    | ^ (?P<handler>handler) \b
    | ^ (?P<prepare>prepare|execute|deallocate) \b
    | ^ (?P<role>set\ (?:role|resource)) \b
    | ^ (?P<program>call|begin\ not) \b
    | (?:^|\ ) (?P<variable>@(?!@))
    | ^ (?P<xa>xa) \b
    | \b(?P<previous>lastval \ \(|previous\ value\ for\b)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_NAMES: Final = {
    "temporary": "a temporary table",
    "lock": "a user lock",
    "tables": "LOCK TABLES",
    "handler": "HANDLER",
    "prepare": "PREPARE",
    "role": "SET ROLE or RESOURCE GROUP",
    "program": "a stored program",
    "variable": "a user variable",
    "xa": XA,
    "previous": "the last value of a server's sequence",
}
FOUND_ROWS: Final = "SQL_CALC_FOUND_ROWS"

SHARED: Final = frozenset({_NAMES["temporary"], _NAMES["tables"], _NAMES["handler"]})
"""Ties a session may have to several servers at once, as they are about tables, which are in one place each."""

_INSERT_ID: Final = re.compile(
    rb"\blast_insert_id \(|@@(?:(?:session|local) \. )?(?:last_insert_id|identity)\b"
    rb"|^(?:call|execute|begin not|load|set statement)\b",
    re.I,
)
_IMPLICIT_COMMIT: Final = re.compile(
    rb"^(?:(?:create|alter|drop|rename|truncate|install|uninstall|grant|revoke|reset|flush|set password"
    rb"|(?:analyze|optimize|repair|check) (?:(?:local|no_write_to_binlog) )?(?:tables?|view)|lock tables?)\b)"
    rb"(?! (?:(?:or replace )?temporary|prepare|persist)\b)",
    re.I,
)
_LAST_STATEMENT: Final = re.compile(
    rb"\b(?P<rows>row_count) \(|\b(?P<found>found_rows) \(|@@(?:(?:session|local) \. )?(?P<count>warning|error)_count\b"
    rb"|^get (?:current |stacked )?(?P<diagnostics>diagnostics)\b",
    re.I,
)
_LAST_NAMES: Final = {
    "rows": "ROW_COUNT() within a larger statement",
    "found": "FOUND_ROWS() after anything but SELECT SQL_CALC_FOUND_ROWS, or within a larger statement",
    "count": "the number of warnings or errors within a larger statement",
    "diagnostics": "GET DIAGNOSTICS",
}
SPEAKS: Final = re.compile(
    rb"\b(?:session_user|system_user|user|connection_id|database|schema|row_count|found_rows|is_used_lock) \("
    rb"|\bcurrent_user\b"
    rb"|@@(?:(?:session|local) \. )?(?:warning|error)_count\b",
    re.I,
)
_SPEAKING_VERBS: Final = re.compile(
    rb"^(?:\( )*(?:select|with|insert|replace|update|delete|do|values|table|explain|describe|desc|call|set statement)"
    rb"\b",
    re.I,
)
_TIME: Final = re.compile(
    rb"\b(?:now|curdate|curtime|unix_timestamp|utc_date|utc_time|utc_timestamp|localtime|localtimestamp|current_date"
    rb"|current_time|current_timestamp)\b|@@(?:(?:session|local) \. )?timestamp\b",
    re.I,
)
_RUNS: Final = re.compile(rb"^(?:\( )*(?:select|with|insert|replace|update|delete|do|set|values|table|call)\b", re.I)
_INSERT_HEAD: Final = re.compile(rb"(?:insert|replace)\b.*?(?= (?:values?|select|set|with|table)\b)", re.I | re.DOTALL)
_PROGRAM: Final = re.compile(rb"^(?:create|alter|begin not)\b", re.I)
_TABLELESS: Final = re.compile(
    rb"""
      (?:(?:explain|describe|desc|analyze)\ (?:(?:extended|partitions|format\ =\ \S+)\ )*)? (?:\(\ )*
      (?:select|do|values|set)\b (?!.*\ (?:from(?!\ (?:dual\b|\?|\w+\ \(\ \)))|table)\ )
    | (?:unlock|reset|purge|xa|help|change|grant|revoke|start|stop|deallocate|drop\ prepare)\b
    | (?:begin|commit|rollback|savepoint|release|use|kill|get|show\ (?:warnings|errors|count))\b
    | flush\b (?!(?:\ (?:local|no_write_to_binlog))?\ tables?\ (?!with\b)[\w`])
    | (?:create|alter|drop)\ (?:or\ replace\ )?(?:user|role)\b
    | show\ (?:grants|privileges|profiles|authors|contributors|engine\b|(?:full\ )?processlist|create
      \ (?:database|schema|user)|(?:binlog|relaylog)\ events
      |(?:all\ )?(?:master|slaves?|replicas?|binlog)\ (?:status|hosts))\b
    """,
    re.I | re.DOTALL | re.VERBOSE,
)
_SIMPLE: Final = re.compile(rb"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is found in one statement, by the functions below."""

    pins: str = ""
    insert_id_read: bool = False
    implicit_commit: bool = False
    counts_found_rows: bool = False
    last_statement: str = ""
    uses: Uses = Uses.TABLES
    names_no_table: bool = False
    speaks: bool = False
    tells_time: bool = False
    suspect: bool = False
    peeks: bool = False

    @property
    def ordinary(self) -> bool:
        """True where any connection will do, and nothing has to be done before or after."""
        special = self.pins or self.insert_id_read or self.implicit_commit or self.counts_found_rows
        return not (special or self.last_statement or self.speaks or self.suspect)

    def mark(self, call: Call) -> None:
        """What the engine has to know of these."""
        call.pins, call.insert_id_read = self.pins, self.insert_id_read
        call.counts_found_rows, call.uses_tables = self.counts_found_rows, self.uses is Uses.TABLES
        call.names_no_table, call.tells_time = self.names_no_table, self.tells_time
        call.suspect, call.peeks = self.suspect, self.peeks


NOTHING: Final = Findings()


def findings(shape: bytes, lexer: Lexer) -> Findings:
    """What is found in the statement of this shape."""
    words = bare(shape, lexer)
    pins, suspect = tie(words), leaves_traces(words)
    return Findings(
        pins, reads_insert_id(words), commits_implicitly(words), counts_found_rows(words),
        reads_last_statement(words), used_by(words), names_no_table(words), speaks(words), tells_time(words),
        suspect, suspect or pins in AT_HOME,
    )  # fmt: skip


def speaks(words: bytes) -> bool:
    """True where the session's own values must be put in place of functions (``query.speaking``)."""
    return SPEAKS.search(words) is not None and _SPEAKING_VERBS.match(words) is not None


def tells_time(words: bytes) -> bool:
    """True where the statement asks for the time that is one for all of it (SYSDATE() is not)."""
    return _TIME.search(words) is not None


def leaves_traces(words: bytes) -> bool:
    """True where a stored function may run: it can set variables and make temporary tables on its connection."""
    if _RUNS.match(words) is None:
        return False
    head = _INSERT_HEAD.match(words)
    return bool(foreign_function(tuple(words[head.end() if head is not None else 0 :].lower().split(b" "))))


def bare(shape: bytes, lexer: Lexer, limit: int | None = None) -> bytes:
    """The words of a shape with one blank between them: no comments or texts, and plain names out of their quotes.

    At most ``limit`` of them.
    """
    words: list[bytes] = []
    for token in islice(lexer.scan(shape), limit):
        raw = shape[token.start : token.end]
        if token.kind is TokenKind.QUOTED_NAME:  # `get_lock`(...) is the function, too
            raw = raw[1:-1] if _SIMPLE.fullmatch(raw[1:-1]) else b"``"
        elif token.kind is TokenKind.STRING:
            raw = b"?"
        words.append(raw)
    return b" ".join(words)


def tie(words: bytes) -> str:
    """The construct that ties the session to the server that runs the statement, in words; '' where none does."""
    found = _TIES.search(words)
    return "" if found is None or found.lastgroup is None else _NAMES[found.lastgroup]


def tie_besides_variables(words: bytes) -> str:
    """As ``tie``, of all else than user variables."""
    found = (one.lastgroup for one in _TIES.finditer(words))
    return next((_NAMES[one] for one in found if one is not None and one != "variable"), "")


def counts_found_rows(words: bytes) -> bool:
    """True for SELECT SQL_CALC_FOUND_ROWS."""
    return b"sql_calc_found_rows" in words.lower()


def reads_insert_id(words: bytes) -> bool:
    """True when the statement may read LAST_INSERT_ID(), or set it otherwise than by inserting a row."""
    return _INSERT_ID.search(words) is not None


def commits_implicitly(words: bytes) -> bool:
    """True for statements before which both servers commit the transaction at hand; they were tried on both.

    Where one of them does not (CACHE INDEX, LOAD INDEX, BACKUP, START REPLICA), the server's own status tells.
    """
    return _IMPLICIT_COMMIT.match(words) is not None


def reads_last_statement(words: bytes) -> str:
    """The construct that speaks of the statement before, which another server may have run; '' where there is none."""
    found = None if _PROGRAM.match(words) else _LAST_STATEMENT.search(words)
    return "" if found is None or found.lastgroup is None else _LAST_NAMES[found.lastgroup]


def names_no_table(words: bytes) -> bool:
    """True for a statement about values alone, or what no table tells (not even one of information_schema, which some
    SHOWs are made of): MariaDB then keeps the warnings of the one before. Measured on MariaDB 10.11.
    """
    return _TABLELESS.match(words) is not None
