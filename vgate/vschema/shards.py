"""The ``shards`` of a keyspace: names in any valid partition, and the address of each server, where one is given.

This module does not know tables, and does not try whether an address answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vgate.keyrange import KeyRangeError, ShardMap, parse_shard
from vgate.vschema.model import Address, Shard
from vgate.yamlfile import (
    List,
    Map,
    Node,
    Pair,
    Report,
    Scalar,
    expand,
    fields,
    is_nothing,
    read_map,
    read_number,
    read_text,
)

_ADDRESS_FIELDS = ("host", "port", "user", "password", "database", "unix_socket")
_PARTITION = 'Shards must cover all keyspace ids, each once: ["-"], or ["-80", "80-"], or ["-40", "40-80", "80-"].'


@dataclass(frozen=True, slots=True)
class ShardNode:
    """A shard as written: its name, and what stands behind it."""

    name: Scalar
    address: Node | None


def read_shards(
    node: Pair | None, keyspace: Scalar, sharded: bool, environ: Mapping[str, str], report: Report
) -> tuple[tuple[Shard, ...], ShardMap] | None:
    """The shards in key order and their map; None after a fault."""
    written = _written(node, keyspace, sharded, report)
    if written is None:
        return None
    line = node.key.line if node else keyspace.line
    if not sharded and len(written) > 1:
        names = ", ".join(shard.name.text for shard in written)
        report.fault(
            line, f"keyspace {keyspace.text} is not sharded but has {len(written)} shards: {names}",
            "Say sharded: true, or keep one shard.",
        )
    shard_map = _partition(written, keyspace.text, line, report)
    shards = [Shard(shard.name.text, _address(shard, keyspace.text, environ, report)) for shard in written]
    _check_distinct(shards, written, keyspace.text, report)
    if shard_map is None:
        return None
    return tuple(shards[index] for index in shard_map.order), shard_map


def _written(node: Pair | None, keyspace: Scalar, sharded: bool, report: Report) -> list[ShardNode] | None:
    """Every shard that the file names, with faults for what is no name."""
    if node is None or (isinstance(node.value, Scalar) and node.value.null):
        if not sharded:
            return [ShardNode(Scalar("-", keyspace.line), None)]
        report.fault(
            node.key.line if node else keyspace.line, f"sharded keyspace {keyspace.text} names no shards",
            'Add e.g. shards: ["-80", "80-"] (local servers), or a mapping from shard name to address.',
        )
        return None
    if isinstance(node.value, Map):
        shards = [ShardNode(pair.key, pair.value) for pair in node.value.pairs]
    elif isinstance(node.value, List):
        shards = _listed(node.value, keyspace.text, report)
    else:
        report.fault(
            node.value.line, f"shards of keyspace {keyspace.text} must be a list of names or a mapping to addresses",
            'Write e.g. shards: ["-80", "80-"].',
        )
        return None
    if not shards:
        if is_nothing(node.value):
            report.fault(node.key.line, f"keyspace {keyspace.text} names no shards", _PARTITION)
        return None
    return shards


def _listed(node: List, keyspace: str, report: Report) -> list[ShardNode]:
    shards: list[ShardNode] = []
    seen: dict[str, int] = {}
    for item in node.items:
        if isinstance(item, Map) and len(item.pairs) == 1:  # - "-80": {host: ...}
            shard = ShardNode(item.pairs[0].key, item.pairs[0].value)
        elif isinstance(item, Scalar) and not item.empty:
            shard = ShardNode(item, None)
        else:
            report.fault(
                item.line, f"a shard of keyspace {keyspace} has no name",
                'Put names in quotes: shards: ["-"], or ["-80", "80-"].',
            )
            continue
        name = shard.name
        if name.text in seen:
            report.fault(
                name.line, f"shard {name.text} of keyspace {keyspace} is named twice (first on line {seen[name.text]})",
                "Remove one.",
            )
            continue
        seen[name.text] = name.line
        shards.append(shard)
    return shards


def _partition(written: list[ShardNode], keyspace: str, line: int, report: Report) -> ShardMap | None:
    """The shards as a partition of all keyspace ids; a name that is none is reported on its own line."""
    legal = True
    for shard in written:
        try:
            parse_shard(shard.name.text)
        except KeyRangeError as error:
            legal = False
            report.fault(shard.name.line, f"shard {shard.name.text} of keyspace {keyspace}: {error}", _PARTITION)
    if not legal:
        return None
    try:
        return ShardMap([shard.name.text for shard in written])
    except KeyRangeError as error:
        report.fault(line, f"shards of keyspace {keyspace}: {error}", _PARTITION)
        return None


# -- addresses ----------------------------------------------------------------------------------------------------


def _address(shard: ShardNode, keyspace: str, environ: Mapping[str, str], report: Report) -> Address | None:
    """How to reach the shard; None where nothing is written, and after a fault."""
    node = shard.address
    if node is None or (isinstance(node, Scalar) and node.null) or (isinstance(node, Map) and not node.pairs):
        return None
    what = f"the address of {keyspace}/{shard.name.text}"
    mapping = read_map(node, what, report)
    if not mapping.pairs:
        return None
    found = fields(mapping, what, _ADDRESS_FIELDS, report)
    texts = {name: _text(pair, f"{name} of {what}", environ, report) for name, pair in found.items()}
    _check_given(shard.name.line, what, texts, report)
    port = None
    if texts.get("port"):
        node = found["port"].value
        port = read_number(node, f"port of {what}", report, low=1, high=65535, text=texts["port"])
    return Address(
        user=texts.get("user") or "",
        password=texts.get("password") or "",
        database=texts.get("database") or keyspace,
        host=texts.get("host") or "",
        port=3306 if port is None else port,
        unix_socket=texts.get("unix_socket") or "",
    )


def _check_given(line: int, what: str, texts: Mapping[str, str | None], report: Report) -> None:
    """What an address must have. A text of None has been reported already."""
    host, socket, user = (texts.get(name, "") for name in ("host", "unix_socket", "user"))
    if host and socket:
        report.fault(line, f"{what} has both host and unix_socket", "Keep one of them.")
    elif host == "" and socket == "":
        report.fault(line, f"{what} has no host", "Add host: and port:, or unix_socket:.")
    if user == "":
        report.fault(line, f"{what} has no user", "Add user: NAME and password: ${VARIABLE}.")


def _text(pair: Pair, what: str, environ: Mapping[str, str], report: Report) -> str | None:
    """The value, "" where nothing is written, None after a fault."""
    if not isinstance(pair.value, Scalar):
        return read_text(pair.value, what, report)
    return "" if pair.value.null else expand(pair.value, environ, what, report)


def place_of(address: Address) -> tuple[str, int, str]:
    """What tells servers' databases apart."""
    if address.unix_socket:
        return address.unix_socket, 0, address.database
    host = "127.0.0.1" if address.host.lower() == "localhost" else address.host.lower()
    return host, address.port, address.database


def _check_distinct(shards: list[Shard], written: list[ShardNode], keyspace: str, report: Report) -> None:
    """Two shards in one database would answer every row twice."""
    seen: dict[tuple[str, int, str], str] = {}
    for shard, node in zip(shards, written, strict=True):
        if shard.address is None or (not shard.address.host and not shard.address.unix_socket):
            continue
        other = seen.setdefault(place_of(shard.address), shard.name)
        if other != shard.name:
            report.fault(
                node.name.line, f"shards {other} and {shard.name} of keyspace {keyspace} are the same database",
                "Give each shard its own server, or its own database: on a shared server.",
            )
