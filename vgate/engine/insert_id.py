"""Which insert id an INSERT's answer has, and how many duplicates: from the shards' own answers and the ids given.

As ``mysql_insert`` has it, on both servers: the first id that was generated for a row that was stored is the OK's
insert id and LAST_INSERT_ID(). Where there is none, LAST_INSERT_ID(expr) is. Where there is none either, the OK has the
last row's id (after an update, that of the row found) if anything was stored or changed, and LAST_INSERT_ID() stays.

This module does not know statements' texts or connections.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vgate.planner.plan import OnDuplicate
from vgate.wire.packets import Ok

_DUPLICATES: Final = re.compile(rb"Duplicates: (\d+)")
_UNSIGNED: Final = 2**64


@dataclass(frozen=True, slots=True)
class Rules:
    """What the statement and its client make of a shard's answer.

    ``found_rows``: the client counts rows found instead of changed. ``fresh``: rows with a generated id are always new,
    as each unique key contains that id. ``sets_id``: the text calls LAST_INSERT_ID(). ``tells_id``: the text ends with
    ``id = LAST_INSERT_ID(id)``, which vgate has added so that the OK has the id of a row that was found. ``counts``:
    the column is AUTO_INCREMENT on the shards, so that their OKs have the last row's id in any case.
    """

    on_duplicate: OnDuplicate
    found_rows: bool
    fresh: bool
    sets_id: bool = False
    tells_id: bool = False
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """One shard's answer. ``generated``: the first id generated for it (0: none), ``stored``: the first that is there
    afterwards (None: nobody looked). ``last_id``: the last row's id, given or generated (0: not known).
    """

    ok: Ok
    rows: int
    generated: int = 0
    last_id: int = 0
    stored: int | None = None


def new_rows(rules: Rules, one: Written) -> int | None:
    """How many rows were new; None if the answer does not tell."""
    ok = one.ok
    if rules.on_duplicate in (OnDuplicate.ERROR, OnDuplicate.REPLACE):
        return one.rows
    if rules.on_duplicate is OnDuplicate.IGNORE:
        return ok.affected
    if one.rows == 1:
        if ok.affected != 1:
            return 0
        return int(not _was_found(rules, one)) if rules.found_rows else 1
    return one.rows - duplicates(rules, one) if rules.found_rows else ok.affected - 2 * duplicates(rules, one)


def _was_found(rules: Rules, one: Written) -> bool:
    """True if a single row is known to have been there: its id came back instead of the new one."""
    return rules.tells_id and one.ok.insert_id not in (0, one.last_id % _UNSIGNED)


def duplicates(rules: Rules, one: Written) -> int:
    """The number in the info line, which a server leaves out where it was given a single row.

    With IGNORE a row that was not stored, else a row that was replaced, or updated (with ``found_rows``: or found).
    """
    found = _DUPLICATES.search(one.ok.info)
    if found is not None:
        return int(found[1])
    if one.rows != 1 or rules.on_duplicate is OnDuplicate.ERROR:
        return 0
    affected = one.ok.affected
    if rules.on_duplicate is OnDuplicate.IGNORE:
        return 1 - affected
    # affected: 2 for an update, and 1 more than was deleted for a REPLACE
    return max(0, affected - 1) or int(affected == 1 and rules.found_rows and _was_found(rules, one))


def in_doubt(rules: Rules, one: Written) -> bool:
    """True if a row with a generated id was stored, perhaps, and looking for it would tell."""
    return bool(one.generated) and not rules.fresh and new_rows(rules, one) not in (0, one.rows)


def insert_ids(rules: Rules, answers: Sequence[Written], last: Written) -> tuple[int, int | None]:
    """The OK's insert id, and what LAST_INSERT_ID() becomes (None: it stays). ``last`` has the last row."""
    given = [_first_stored(rules, one) for one in answers]
    first = min((one for one in given if one), default=0)
    if first:
        return first, first
    if rules.sets_id:
        for one in (last, *answers):
            if one.ok.insert_id and not (rules.counts and one.ok.insert_id == one.last_id % _UNSIGNED):
                return one.ok.insert_id, one.ok.insert_id
    changed = sum(one.ok.affected - (_updates(rules, one)) for one in answers)
    if not changed:
        return 0, None
    if rules.tells_id and last.ok.insert_id and new_rows(rules, last) == 0:
        return last.ok.insert_id, None
    return last.last_id % _UNSIGNED or last.ok.insert_id, None


def _updates(rules: Rules, one: Written) -> int:
    """What of ``affected`` an update counts beyond the row itself."""
    return duplicates(rules, one) if rules.on_duplicate is OnDuplicate.UPDATE else 0


def _first_stored(rules: Rules, one: Written) -> int:
    """The first generated id of a shard that was stored, 0 if none was."""
    if not one.generated or new_rows(rules, one) == 0:
        return 0
    if in_doubt(rules, one):
        return one.generated if one.stored is None else one.stored
    return one.generated
