"""The statements that make, change and show sequences, in PolarDB-X's grammar and MariaDB's, recognised over tokens.

``recognise_sequence`` gives None for everything else, among it what only servers know (CREATE OR REPLACE SEQUENCE,
temporary sequences). It does not know which options a kind has (``sequences.definition``), nor what sequences there
are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from vgate.errors import SEQUENCE_NUMBER, SEQUENCE_OPTION
from vgate.sql.lexer import LexMode, TokenKind, lexer_for
from vgate.sql.statements import Reader

KINDS: Final = ("group", "simple", "time")


@dataclass(frozen=True, slots=True)
class Written:
    """A sequence as a statement names it."""

    keyspace: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a statement says of a sequence. None: it does not say; ``no_...`` are NOMINVALUE and its like.

    ``restart`` is True for RESTART, whose value, if it has one, is ``start``.
    """

    start: int | None = None
    increment: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    no_minimum: bool = False
    no_maximum: bool = False
    cycle: bool | None = None
    cache: int | None = None
    no_cache: bool = False
    unit_count: int | None = None
    unit_index: int | None = None
    step: int | None = None
    bits: int | None = None
    restart: bool = False


@dataclass(frozen=True, slots=True)
class CreateSequence:
    """``kind`` is empty where none is named."""

    kind: str
    sequence: Written
    options: Options
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class AlterSequence:
    """``kind`` is that of CHANGE TO."""

    sequence: Written
    kind: str | None
    options: Options
    if_exists: bool


@dataclass(frozen=True, slots=True)
class RenameSequence:
    sequence: Written
    to: Written


@dataclass(frozen=True, slots=True)
class DropSequence:
    sequences: tuple[Written, ...]
    if_exists: bool


@dataclass(frozen=True, slots=True)
class ShowSequences:
    """``like`` is the pattern as it is written; ``rest`` is where WHERE, ORDER BY or LIMIT begins in the text."""

    keyspace: str | None
    like: bytes | None
    rest: bytes


@dataclass(frozen=True, slots=True)
class ShowCreateSequence:
    sequence: Written


SequenceStatement = (
    CreateSequence | AlterSequence | RenameSequence | DropSequence | ShowSequences | ShowCreateSequence
)


def recognise_sequence(text: bytes, mode: LexMode) -> SequenceStatement | None:
    """The statement about sequences in ``text``, None if it is none. Raises VgateError for a malformed one."""
    reader = Reader(text, lexer_for(mode).tokens(text), mode)
    verb = reader.peek()
    reader.at += 1
    match verb:
        case "create":
            return _create(reader)
        case "alter":
            return _alter(reader)
        case "rename" if reader.accept("sequence"):
            one = _written(reader)
            reader.expect("to")
            other = _written(reader)
            reader.finish()
            return RenameSequence(one, other)
        case "drop" if reader.accept("sequence"):
            return _drop(reader)
        case "show":
            return _show(reader)
    return None


def _create(reader: Reader) -> CreateSequence | None:
    kind = ""
    if reader.peek(1) == "sequence" or (reader.peek() == "simple" and reader.peek(1) == "with"):
        kind = reader.peek()
        if kind not in (*KINDS, "new"):
            return None
        reader.at += 1
        _check_kind(reader, kind)
    if not reader.accept("sequence"):
        return None
    if_not_exists = reader.accept("if", "not", "exists")
    sequence = _written(reader)
    options = _options(reader)
    if options.restart:
        raise SEQUENCE_OPTION(name=sequence.name, option="RESTART", reason="a new sequence begins at START WITH")
    return CreateSequence(kind, sequence, options, if_not_exists)


def _check_kind(reader: Reader, kind: str) -> None:
    """Raises SEQUENCE_OPTION for the kinds of PolarDB-X that vgate has under another name."""
    if kind == "new":
        raise SEQUENCE_OPTION(
            name="NEW SEQUENCE", option="NEW", reason="it is as SIMPLE is: consecutive and durable; write SIMPLE"
        )
    if kind == "simple" and reader.accept("with", "cache"):
        raise SEQUENCE_OPTION(
            name="SIMPLE SEQUENCE", option="WITH CACHE",
            reason="each of its values is durable before it is given; for values from memory use GROUP",
        )  # fmt: skip


def _alter(reader: Reader) -> AlterSequence | None:
    if not reader.accept("sequence"):
        return None
    if_exists = reader.accept("if", "exists")
    sequence = _written(reader)
    kind: str | None = None
    if reader.accept("change", "to"):
        kind = reader.peek()
        if kind not in (*KINDS, "new"):
            raise reader.syntax()
        reader.at += 1
        _check_kind(reader, kind)
    options = _options(reader)
    if kind is None and options == Options():
        raise reader.syntax()
    return AlterSequence(sequence, kind, options, if_exists)


def _drop(reader: Reader) -> DropSequence:
    if_exists = reader.accept("if", "exists")
    names = [_written(reader)]
    while reader.accept(","):
        names.append(_written(reader))
    reader.finish()
    return DropSequence(tuple(names), if_exists)


def _show(reader: Reader) -> ShowSequences | ShowCreateSequence | None:
    if reader.accept("create", "sequence"):
        sequence = _written(reader)
        reader.finish()
        return ShowCreateSequence(sequence)
    if not (reader.accept("sequences") or reader.accept("sequence")):
        return None
    keyspace = reader.name() if reader.accept("from") or reader.accept("in") else None
    like: bytes | None = None
    if reader.accept("like"):
        if reader.end() or reader.tokens[reader.at].kind is not TokenKind.STRING:
            raise reader.syntax()
        like = reader.raw(reader.tokens[reader.at])
        reader.at += 1
    rest = b"" if reader.end() else reader.text[reader.tokens[reader.at].start : reader.tokens[-1].end]
    if rest and (reader.peek() not in ("where", "order", "limit") or (like is not None and reader.peek() == "where")):
        raise reader.syntax()
    return ShowSequences(keyspace, like, rest)


def _written(reader: Reader) -> Written:
    name = reader.name()
    return Written(name, reader.name()) if reader.accept(".") else Written(None, name)


# -- options ------------------------------------------------------------------------------------------------------


def _options(reader: Reader) -> Options:
    """Options in any order; of those that come twice the last one counts, as in PolarDB-X."""
    options = Options()
    while not reader.end():
        options = _option(reader, options)
    return options


def _option(reader: Reader, options: Options) -> Options:
    word = reader.peek()
    reader.at += 1
    match word:
        case "start":
            _skip(reader, "with", "=")
            return replace(options, start=_number(reader, "START WITH"))
        case "restart":
            number = None
            if reader.accept("with") or reader.accept("=") or reader.peek().isdigit():
                number = _number(reader, "RESTART WITH")
            return replace(options, restart=True, start=number)
        case "increment":
            _skip(reader, "by", "=")
            return replace(options, increment=_number(reader, "INCREMENT BY"))
        case "minvalue" | "maxvalue":
            _skip(reader, "=")
            number = _number(reader, word.upper())
            return replace(options, minimum=number) if word == "minvalue" else replace(options, maximum=number)
        case "nominvalue":
            return replace(options, no_minimum=True)
        case "nomaxvalue":
            return replace(options, no_maximum=True)
        case "no":
            return _negated(reader, options)
        case "cycle":
            return replace(options, cycle=True)
        case "nocycle":
            return replace(options, cycle=False)
        case "cache":
            _skip(reader, "=")
            return replace(options, cache=_number(reader, "CACHE"), no_cache=False)
        case "nocache":
            return replace(options, no_cache=True, cache=None)
        case "bits":
            _skip(reader, "=")
            return replace(options, bits=_number(reader, "BITS"))
        case "unit":
            return _unit(reader, options)
        case "step":
            return replace(options, step=_number(reader, "STEP"))
    reader.at -= 1
    raise reader.syntax()


def _negated(reader: Reader, options: Options) -> Options:
    """NO MINVALUE, as MariaDB writes it."""
    for word, change in (
        ("minvalue", {"no_minimum": True}), ("maxvalue", {"no_maximum": True}), ("cycle", {"cycle": False}),
        ("cache", {"no_cache": True}),
    ):  # fmt: skip
        if reader.accept(word):
            return replace(options, **change)
    raise reader.syntax()


def _unit(reader: Reader, options: Options) -> Options:
    """``UNIT COUNT n [INDEX i] [STEP s]`` or ``UNIT INDEX i``; STEP is read as an option of its own."""
    if reader.accept("count"):
        options = replace(options, unit_count=_number(reader, "UNIT COUNT"))
        if reader.accept("index"):
            options = replace(options, unit_index=_number(reader, "INDEX"))
        return options
    reader.expect("index")
    return replace(options, unit_index=_number(reader, "UNIT INDEX"))


def _skip(reader: Reader, *words: str) -> None:
    for word in words:
        if reader.accept(word):
            return


def _number(reader: Reader, key: str) -> int:
    """A whole number, 0 or more. Raises SEQUENCE_NUMBER for a negative one."""
    if reader.peek() in ("-", "+"):
        raise SEQUENCE_NUMBER(key=key)
    number = reader.peek()
    if not (number.isascii() and number.isdigit()):
        raise reader.syntax()
    reader.at += 1
    return int(number)
