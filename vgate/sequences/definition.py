"""What a sequence of vgate's own is: its kind and options, and what CREATE and ALTER make of what they say.

GROUP and SIMPLE count as PolarDB-X's do (``sequences-of-others``: block arithmetic, first values); what it clamps in
silence is refused here with a reason. Pure. It does not know servers, nor which values are in anybody's hand.

Invariants
1. A definition that exists is consistent: built by ``created`` and ``altered`` alone, or read from where these wrote.
2. A GROUP's ``value`` is the base of the last block, and ``value % (step * unit_count) == unit_index * step``.
3. No value is given again, but by CYCLE, by RESTART, or by a sequence that was dropped and made anew: what follows an
   ALTER is above ``highest``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from vgate.errors import SEQUENCE_BACK, SEQUENCE_OPTION, VgateError
from vgate.sql.sequences import Options
from vgate.vschema.model import TableName

MAXIMUM: Final = 2**63 - 1
STEP: Final = 100_000
MAX_UNITS: Final = 65_536
MAX_INCREMENT: Final = 2**31 - 1
WIDE: Final = 63
COMPACT: Final = 53
_RECALLS: Final = 31
"""How many bits of an epoch count the recalls."""


class Kind(StrEnum):
    """The kinds of sequences that vgate keeps itself."""

    GROUP = "GROUP"
    SIMPLE = "SIMPLE"
    TIME = "TIME"


@dataclass(frozen=True, slots=True)
class Definition:
    """One sequence, as its row says. Which fields mean something depends on the kind.

    ``value``: of a GROUP the base of the last block, of a SIMPLE the next value. ``reached``: what had been given
    before the present START WITH; ``holder``: who has taken blocks since (``*``: several). ``epoch`` is another after
    each change, and after each recall of the blocks that are in hand; these leave the ``generation`` as it is, in
    which values only grow.
    """

    name: TableName
    kind: Kind
    value: int = 0
    unit_count: int = 1
    unit_index: int = 0
    step: int = STEP
    increment: int = 1
    start: int = 1
    minimum: int = 1
    maximum: int = MAXIMUM
    cycle: bool = False
    bits: int = WIDE
    reached: int = 0
    holder: str = ""
    epoch: int = 0

    @property
    def out(self) -> int:
        """How far the bases of a GROUP are apart."""
        return self.step * self.unit_count

    @property
    def offset(self) -> int:
        """What the bases of a GROUP leave when divided by ``out``."""
        return self.step * self.unit_index

    @property
    def generation(self) -> int:
        """The part of the epoch that only changes make another."""
        return self.epoch >> _RECALLS

    @property
    def following(self) -> int:
        """No value from here on has been given, or is in anybody's block."""
        return self.value if self.kind is Kind.SIMPLE else next_base(self) + 1

    @property
    def highest(self) -> int:
        """No value above it has been given."""
        if self.kind is Kind.GROUP and self.holder:
            return max(self.reached, self.value + self.step)
        if self.kind is Kind.SIMPLE and not self.cycle and self.value > self.start:
            return max(self.reached, self.value - self.increment)
        return self.reached


def key_of(name: TableName) -> TableName:
    """The name by which a sequence is found: case counts in keyspaces only, as in PolarDB-X."""
    return TableName(name.keyspace, name.table.lower())


def aligned(value: int, out: int, offset: int) -> int:
    """The base at or above ``value``, by PolarDB-X's arithmetic."""
    return value if value % out == offset else value - value % out + out + offset


def next_base(one: Definition) -> int:
    """The base of the block after ``one.value``: its values are base + 1 ... base + step."""
    return aligned(one.value + one.out, one.out, one.offset)


def created(name: TableName, kind: Kind, options: Options) -> Definition:
    """What CREATE SEQUENCE makes. Raises SEQUENCE_OPTION."""
    one = Definition(name, kind)
    _check(one, options)
    match kind:
        case Kind.GROUP:
            return _group(one, options)
        case Kind.SIMPLE:
            return _simple(one, options)
        case Kind.TIME:
            return replace(one, bits=options.bits or WIDE)


def altered(one: Definition, kind: Kind | None, options: Options) -> Definition:
    """What ALTER SEQUENCE makes of ``one``. Raises SEQUENCE_OPTION, SEQUENCE_BACK."""
    kind = kind or one.kind
    if kind is not one.kind:
        return _changed(one, kind, options)
    _check(one, options)
    if options.restart:
        one = replace(one, reached=0, holder="", start=options.start or one.start)
        options = replace(options, start=one.start)
    elif options.start is not None:
        _check_ahead(one, options.start)
        one = replace(one, reached=one.highest, holder="")
    match kind:
        case Kind.GROUP:
            return _altered_group(one, options)
        case Kind.SIMPLE:
            return _altered_simple(one, options)
        case Kind.TIME:
            return one if options.bits is None else replace(one, bits=options.bits)


def bumped(one: Definition, value: int) -> Definition | None:
    """``one`` moved on so that what it gives from now on is above ``value``; None where it is so already."""
    if one.kind is Kind.TIME or value <= (one.value if one.kind is Kind.GROUP else one.value - 1):
        return None
    if one.kind is Kind.GROUP:
        base = aligned(max(value - one.out, 0), one.out, one.offset)
        return replace(one, value=max(base, one.value), reached=max(one.highest, value))
    steps = -((one.value - value - 1) // one.increment)
    return replace(one, value=one.value + steps * one.increment)


def recalled(one: Definition) -> Definition:
    """``one`` in another epoch of the same generation: blocks of the epoch before are not to be used any more."""
    return replace(one, epoch=one.generation << _RECALLS | (one.epoch + 1) % (1 << _RECALLS))


def _changed(one: Definition, kind: Kind, options: Options) -> Definition:
    """CHANGE TO another kind."""
    if one.unit_count > 1 or (options.unit_count or 1) > 1:
        raise _refused(one, "CHANGE TO", "a GROUP of several units can neither become another kind nor be made of one")
    if kind is not Kind.TIME and options.start is None:
        if one.kind is Kind.TIME:
            raise _refused(one, f"CHANGE TO {kind}", "it needs START WITH, above what the table has")
        options = replace(options, start=1 if options.restart else one.highest + 1)
    if options.start is not None and not options.restart:
        _check_ahead(one, options.start)
    new = created(one.name, kind, replace(options, restart=False))
    return replace(new, reached=0 if options.restart else one.highest)


def _check_ahead(one: Definition, start: int) -> None:
    if start <= one.highest and not (one.kind is Kind.SIMPLE and one.cycle):
        raise SEQUENCE_BACK(name=one.name.table, start=start, reached=one.highest)


# -- kinds --------------------------------------------------------------------------------------------------------


def _group(one: Definition, options: Options) -> Definition:
    count = 1 if options.unit_count is None else options.unit_count
    index = 0 if options.unit_index is None else options.unit_index
    step = options.step or options.cache or STEP
    if not 1 <= count <= MAX_UNITS:
        raise _refused(one, f"UNIT COUNT {count}", f"it must be 1 to {MAX_UNITS}")
    if not 0 <= index < count:
        raise _refused(one, f"INDEX {index}", f"it must be 0 to {count - 1}, as there are {count} units")
    if options.step is not None and options.cache is not None and options.step != options.cache:
        raise _refused(one, "CACHE", "it is another word for STEP, which says otherwise")
    if step * count > MAXIMUM // 4:
        raise _refused(one, f"STEP {step}", "blocks of this size would soon be beyond a BIGINT")
    one = replace(one, unit_count=count, unit_index=index, step=step, start=options.start or 1)
    return _begun(one, one.start)


def _begun(one: Definition, start: int) -> Definition:
    """A GROUP whose first value is greater than ``start``, as in PolarDB-X; from 1 it begins with its first block."""
    value = one.offset if start <= 1 else aligned(start, one.out, one.offset)
    if value + one.out + one.step > MAXIMUM:
        raise _refused(one, f"START WITH {start}", "no block is left above it")
    return replace(one, start=start, value=value)


def _altered_group(one: Definition, options: Options) -> Definition:
    step = options.step or options.cache
    if options.unit_count is not None or options.unit_index is not None or (step and one.unit_count > 1):
        raise _refused(one, "UNIT", "the units of other databases count on it; drop the sequence and make it anew")
    if step is not None and step != one.step:
        highest = one.highest
        moved = _group(one, replace(options, start=max(1, highest, one.value)))
        one = replace(moved, start=one.start, reached=highest, holder="")
    return one if options.start is None else _begun(one, options.start)


def _simple(one: Definition, options: Options) -> Definition:
    start = options.start if options.start is not None else options.minimum if options.minimum is not None else 1
    one = replace(
        one, start=start, value=start, minimum=start if options.minimum is None else options.minimum,
        maximum=MAXIMUM if options.maximum is None else options.maximum, increment=options.increment or 1,
        cycle=bool(options.cycle),
    )  # fmt: skip
    return _consistent(one)


def _altered_simple(one: Definition, options: Options) -> Definition:
    if options.start is not None:
        one = replace(one, start=options.start, value=options.start, minimum=min(one.minimum, options.start))
    if options.no_minimum:
        one = replace(one, minimum=one.start)
    if options.no_maximum:
        one = replace(one, maximum=MAXIMUM)
    if options.increment is not None and options.increment != one.increment:
        one = replace(one, reached=one.highest, increment=options.increment)
    if options.minimum is not None:
        one = replace(one, minimum=options.minimum)
    if options.maximum is not None:
        one = replace(one, maximum=options.maximum)
    if options.cycle is not None:
        one = replace(one, cycle=options.cycle)
    return _consistent(one)


def _consistent(one: Definition) -> Definition:
    """A SIMPLE as it is. Raises SEQUENCE_OPTION where its bounds exclude its start."""
    if not one.minimum <= one.start <= one.maximum:
        raise _refused(one, f"START WITH {one.start}", f"it is not between {one.minimum} and {one.maximum}")
    if one.value < one.minimum:
        raise _refused(one, f"MINVALUE {one.minimum}", f"the next value, {one.value}, is below it")
    return one


# -- options a kind does not have ---------------------------------------------------------------------------------

_BLOCKS = "reserves blocks and counts by 1 up to the end of BIGINT"
_CLOCK = "counts by the clock"


def _check(one: Definition, options: Options) -> None:
    """Raises SEQUENCE_OPTION for what the kind has not, or what no kind takes. What says what is so anyway passes."""
    if options.start is not None and options.start < 1:
        raise _refused(one, f"START WITH {options.start}", "values begin at 1 or above")
    for name, number in (
        ("START WITH", options.start), ("MAXVALUE", options.maximum), ("MINVALUE", options.minimum),
        ("STEP", options.step), ("INCREMENT BY", options.increment),
    ):  # fmt: skip
        if number is not None and number > MAXIMUM:
            raise _refused(one, f"{name} {number}", f"values end at {MAXIMUM}")
    if options.step == 0:
        raise _refused(one, "STEP 0", "it must be 1 or more")
    _KINDS[one.kind](one, options)


def _check_group(one: Definition, options: Options) -> None:
    foreign = {
        f"INCREMENT BY {options.increment}": options.increment not in (None, 1),
        f"MINVALUE {options.minimum}": options.minimum not in (None, 1),
        f"MAXVALUE {options.maximum}": options.maximum not in (None, MAXIMUM, MAXIMUM - 1),
        "CYCLE": bool(options.cycle),
    }
    for option, given in foreign.items():
        if given:
            raise _refused(one, option, f"a GROUP sequence {_BLOCKS}; a SIMPLE one has it")
    if options.no_cache or options.cache == 0:
        raise _refused(one, "NOCACHE", f"a GROUP sequence {_BLOCKS}; for values without gaps write SIMPLE")
    _check_bits(one, options)


def _check_simple(one: Definition, options: Options) -> None:
    if options.cache:
        raise _refused(
            one, f"CACHE {options.cache}",
            "each value of a SIMPLE sequence is durable before it is given; for values from memory write GROUP",
        )  # fmt: skip
    if options.step is not None or (options.unit_count or 1) > 1 or options.unit_index:
        raise _refused(one, "UNIT", "only GROUP sequences have units")
    if options.increment is not None and not 1 <= options.increment <= MAX_INCREMENT:
        raise _refused(one, f"INCREMENT BY {options.increment}", f"it must be 1 to {MAX_INCREMENT}")
    _check_bits(one, options)


def _check_time(one: Definition, options: Options) -> None:
    given = {
        "START WITH": options.start, "INCREMENT BY": options.increment, "MINVALUE": options.minimum,
        "MAXVALUE": options.maximum, "CYCLE": options.cycle or None, "CACHE": options.cache, "STEP": options.step,
        "RESTART": options.restart or None, "UNIT COUNT": options.unit_count, "UNIT INDEX": options.unit_index,
    }  # fmt: skip
    for option, value in given.items():
        if value is not None:
            raise _refused(one, option, f"a TIME sequence {_CLOCK}, and has neither beginning nor end of its own")
    if options.bits not in (None, WIDE, COMPACT):
        raise _refused(one, f"BITS {options.bits}", f"ids have {WIDE} bits, or {COMPACT} for JavaScript clients")


def _check_bits(one: Definition, options: Options) -> None:
    if options.bits is not None:
        raise _refused(one, "BITS", "only TIME sequences have it")


_KINDS: Final = {Kind.GROUP: _check_group, Kind.SIMPLE: _check_simple, Kind.TIME: _check_time}


def _refused(one: Definition, option: str, reason: str) -> VgateError:
    return SEQUENCE_OPTION(name=one.name.table, option=option, reason=reason)


def like(one: Definition) -> Options:
    """The options of a new sequence of the same kind, for a table like the one that has it."""
    match one.kind:
        case Kind.GROUP if one.unit_count > 1:
            return Options(unit_count=one.unit_count, unit_index=one.unit_index, step=one.step)
        case Kind.GROUP:
            return Options(step=one.step)
        case Kind.SIMPLE:
            return Options(start=1, increment=one.increment, maximum=one.maximum, cycle=one.cycle)
        case Kind.TIME:
            return Options(bits=one.bits)


def statement_of(one: Definition) -> str:
    """The CREATE SEQUENCE that makes a sequence like it."""
    name = one.name.table.replace("`", "``")
    head = f"CREATE {one.kind} SEQUENCE `{name}`"
    match one.kind:
        case Kind.GROUP:
            unit = f" UNIT COUNT {one.unit_count} INDEX {one.unit_index} STEP {one.step}"
            return f"{head} START WITH {one.start}{unit}"
        case Kind.SIMPLE:
            bounds = f"MINVALUE {one.minimum} MAXVALUE {one.maximum} {'CYCLE' if one.cycle else 'NOCYCLE'}"
            return f"{head} START WITH {one.start} INCREMENT BY {one.increment} {bounds}"
        case Kind.TIME:
            return head if one.bits == WIDE else f"{head} BITS {one.bits}"
