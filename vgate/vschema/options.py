"""What a keyspace's options say of tables made by DDL (``auto_vindex``, ``foreign_keys``, ``secondary_unique``), and
``sequence_kind`` of sequences.

These are vgate's own; Vitess has none of them. It does not know what DDL makes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vgate.vindex.registry import VindexConfigError, make_vindex
from vgate.vschema.model import SEQUENCE_KINDS, DdlOptions
from vgate.yamlfile import Pair, Report, closest, read_text

_CHOICES = {"foreign_keys": ("refuse", "drop"), "secondary_unique": ("refuse", "local")}


def read_sequence_kind(found: Mapping[str, Pair], report: Report) -> str:
    """What CREATE SEQUENCE makes where it names no kind."""
    return _chosen("sequence_kind", found.get("sequence_kind"), SEQUENCE_KINDS, report) or SEQUENCE_KINDS[0]


def read_ddl_options(found: Mapping[str, Pair], what: str, sharded: bool, report: Report) -> DdlOptions:
    """The options among a keyspace's fields."""
    if not sharded:
        for name in ("auto_vindex", *_CHOICES):
            if name in found:
                report.warn(found[name].key.line, f"{name} has no effect: {what} is not sharded", "Remove it.")
    return DdlOptions(
        _auto_vindex(found.get("auto_vindex"), what, report),
        _choice("foreign_keys", found, what, report) == "drop",
        _choice("secondary_unique", found, what, report) == "local",
    )


def _auto_vindex(pair: Pair | None, what: str, report: Report) -> str:
    kind = None if pair is None else read_text(pair.value, f"auto_vindex of {what}", report)
    if pair is None or kind is None:
        return ""
    try:
        vindex = make_vindex(kind, kind, {}, read_file=lambda name: "")
    except VindexConfigError as error:
        report.fault(pair.key.line, f"auto_vindex of {what}: {error}", "Say hash: it places any integer.")
        return ""
    if not vindex.unique or vindex.type == "null":
        report.fault(pair.key.line, f"auto_vindex of {what}: {kind} does not spread rows", "Say hash.")
    return kind


def _choice(name: str, found: Mapping[str, Pair], what: str, report: Report) -> str:
    return _chosen(f"{name} of {what}", found.get(name), _CHOICES[name], report)


def _chosen(what: str, pair: Pair | None, choices: Sequence[str], report: Report) -> str:
    said = None if pair is None else read_text(pair.value, what, report)
    if pair is None or said is None:
        return ""
    if said in choices:
        return said
    report.fault(pair.key.line, f"{what} is {said!r}", closest(said, choices) or f"Say {' or '.join(choices)}.")
    return ""
