"""The constants of a statement that one server evaluates once, however many rows there are.

A server warns of them once, and so does each of several shards. Both flavours evaluate once what is compared with
something, and in WHERE, HAVING and ON each expression without columns that is more than a literal; elsewhere an
expression is evaluated for each row (measured on MariaDB 10.11 and MySQL 9). It does not know who warned of what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from vgate.session.uservars import Variable
from vgate.sql.lexer import LexError, LexMode
from vgate.sql.literals import read_literal
from vgate.sql.names import decoded
from vgate.sql.tree import Tree, Unparsed, parse, slot_of

LONGEST: Final = 1 << 16
"""Bytes of a text beyond which it is not looked at: all its constants are then taken for evaluated by row."""

DIVISION_BY_ZERO: Final = 1365
ILLEGAL_VALUE: Final = 1918
"""MariaDB of a user variable that is no number; it does not say which."""

_QUOTED: Final = re.compile(r"value: '(.*)'", re.DOTALL)
_BEYOND: Final = re.compile("[^\0-\uffff]")
_CUT: Final = 60
"""Characters of a value that a server shows at least; of a longer one it may show no more, and three dots."""

_COMPARISONS: Final = (
    exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Nullif
)  # not BETWEEN  # fmt: skip
_CONDITIONS: Final = (exp.Where, exp.Having, exp.Join)
_DIVISIONS: Final = (exp.Div, exp.IntDiv, exp.Mod)
_PLAIN: Final = (exp.Literal, exp.Parameter)
_VARYING: Final = (exp.Column, exp.Table, exp.Star, exp.Rand, exp.Anonymous, exp.AggFunc, exp.Window)


@dataclass(frozen=True, slots=True)
class Once:
    """``texts``: strings that are evaluated once; ``by_row`` those that are evaluated for each row, or both.

    ``divides`` and ``names``, with ``_by_row``: so are divisions, and user variables.
    """

    texts: frozenset[str] = frozenset()
    by_row: frozenset[str] = frozenset()
    divides: bool = False
    divides_by_row: bool = False
    names: bool = False
    names_by_row: bool = False

    def most(self, code: int, message: str) -> int:
        """How often a warning is said once however many rows there are, at the most: 0 if it is about rows alone."""
        if code == DIVISION_BY_ZERO:
            once, by_row = self.divides, self.divides_by_row
        elif code == ILLEGAL_VALUE:
            once, by_row = self.names, self.names_by_row
        else:
            found = _QUOTED.search(message)
            if found is None:
                return 0
            once, by_row = _among(found[1], self.texts), _among(found[1], self.by_row)
        return 0 if not once else 1 if by_row else ALWAYS


def _among(value: str, texts: frozenset[str]) -> bool:
    start = value.removesuffix("...")
    return value in texts or (len(start) >= _CUT and any(text.startswith(start) for text in texts))


ALWAYS: Final = 1 << 30
NONE: Final = Once()


def once(text: bytes, mode: LexMode, variables: Mapping[str, Variable]) -> Once:
    """What a server evaluates once of a SELECT, UPDATE or DELETE; nothing of what cannot be read.

    ``variables``: the user variables that are known, by lower-case name.
    """
    if len(text) > LONGEST:
        return NONE
    try:
        tree = parse(text, mode)
    except (LexError, Unparsed):
        return NONE
    constants = {id(one): one for one in _constants(tree)}
    within = {id(node) for one in constants.values() for node in one.walk()}
    texts: dict[bool, set[str]] = {True: set(), False: set()}
    divides = {True: False, False: False}
    names = dict(divides)
    for node in tree.root.walk():
        here = id(node) in within
        if isinstance(node, exp.Literal):
            texts[here].update(_texts(tree, node, mode))
        elif isinstance(node, exp.Parameter):
            names[here] = True
            texts[here].update(_value(variables.get(node.name.lower())))
        elif isinstance(node, _DIVISIONS):
            divides[here] = True
    return Once(
        frozenset(texts[True]), frozenset(texts[False]), divides[True], divides[False], names[True], names[False]
    )  # fmt: skip


def _constants(tree: Tree) -> Iterator[exp.Expression]:
    """In UPDATE and DELETE only literals and whole conditions."""
    query = not isinstance(tree.root, exp.Update | exp.Delete)
    for node in tree.root.walk():
        if isinstance(node, _COMPARISONS) and not _assigns(node) and not _mixed(node, tree):
            yield from (one for one in _operands(node) if _constant(one) and (query or isinstance(one, _PLAIN)))
        elif isinstance(node, _CONDITIONS):
            condition = node.args.get("on") if isinstance(node, exp.Join) else node.this
            if condition is not None:
                for part in _parts(condition):
                    yield from _largest(part) if query and not isinstance(part, exp.Literal) else _if_constant(part)


def _assigns(node: exp.Expression) -> bool:
    """``SET n = 1`` of an UPDATE."""
    return isinstance(node.parent, exp.Update) and node.arg_key == "expressions"


def _mixed(node: exp.Expression, tree: Tree) -> bool:
    """``n in ('a', 1)``: what is not of one kind is compared one by one, for each row."""
    if not isinstance(node, exp.In):
        return False
    literals = (one for one in node.expressions if isinstance(one, exp.Literal))
    return len({raw[:1] in (b"'", b'"') for one in literals for raw in _raws(tree, one)}) > 1


def _parts(condition: exp.Expression) -> Iterator[exp.Expression]:
    """What AND and OR join."""
    if isinstance(condition, exp.And | exp.Or | exp.Paren | exp.Not):
        for one in _operands(condition):
            yield from _parts(one)
    else:
        yield condition


def _operands(node: exp.Expression) -> Iterator[exp.Expression]:
    for value in node.args.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, exp.Expression):
                yield one


def _largest(node: exp.Expression) -> Iterator[exp.Expression]:
    """The largest expressions without columns that are more than a literal."""
    if isinstance(node, exp.Literal):
        return
    if _constant(node):
        yield node
        return
    for one in _operands(node):
        yield from _largest(one)


def _if_constant(node: exp.Expression) -> Iterator[exp.Expression]:
    if _constant(node):
        yield node


def _constant(node: exp.Expression) -> bool:
    return node.find(*_VARYING) is None


def _texts(tree: Tree, literal: exp.Literal, mode: LexMode) -> Iterator[str]:
    """As servers show them: in utf8mb3, or bytes by their numbers."""
    for raw in _raws(tree, literal):
        found = read_literal(raw, mode)
        if isinstance(found.value, bytes):
            yield _BEYOND.sub("?", decoded(found.value, found.charset))
            yield "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02X}" for byte in found.value)


def _value(variable: Variable | None) -> list[str]:
    found = None if variable is None else variable.value
    return [] if found is None else [found.decode("utf-8", "replace")]


def _raws(tree: Tree, literal: exp.Literal) -> Sequence[bytes]:
    slot = slot_of(literal)
    if slot is None:  # beside another, it stayed in the shape
        return [f"'{literal.name}'".encode() if literal.is_string else literal.name.encode()]
    raws = tree.slots[slot]
    return [raws] if isinstance(raws, bytes) else raws
