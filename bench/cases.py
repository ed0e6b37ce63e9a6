"""The cases whose figure is a rate: point selects, inserts, large results.

A case has lanes: what is measured in turn, one right after the other, in every round. Before the first round it checks
that all lanes give the same answers: speed of a wrong answer is no figure. Only what is really sent is known here; how
servers and proxies came to be is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from bench import statements, sysbench
from bench.client import Client, ClientError, repeat_for
from bench.figures import Comparison, Sample
from bench.process import cpu_seconds
from bench.proxies import HAPROXY, VGATE, WAYS, BenchError, Way
from bench.sequences import sequence_cases
from bench.servers import DATABASE, LOWER, OLTP, ROWS, WHOLE, Servers, shard_of

TARGET: Final = f"USE `{DATABASE}:{LOWER}`"
"""How a client of vgate aims at one shard. The other ways have all rows in one place anyway."""

GIVEN, FILLED = "ids given", "ids filled"
MANY: Final = 8
"""Clients at a time, where there is more than one."""

CHECKED_IDS: Final = (1, 4, 4711, ROWS)
BIG_ROW: Final = 15


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: the servers, the ways to them, and room for files."""

    servers: Servers
    ways: Mapping[str, Way]
    directory: Path

    def file(self, name: str, lines: list[str] | tuple[str, ...]) -> str:
        """A file of those lines, for sysbench."""
        path = self.directory / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)


class Case(Protocol):
    """One line of a table."""

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def lanes(self) -> tuple[str, ...]: ...

    @property
    def comparison(self) -> Comparison: ...

    def check(self, place: Place, lane: str) -> None:
        """Raises BenchError or ClientError where the lane does not answer as it must."""
        ...

    def measure(self, place: Place, lane: str, turn: int, seconds: float) -> Sample: ...


def way_of(lane: str) -> str:
    """The way that a lane takes: its first word."""
    return lane.split(" ")[0].rstrip(",")


# -- selects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Select:
    """Rows by their id, from sysbench."""

    name: str
    clients: int
    shapes: tuple[str, ...]
    settings: tuple[str, ...] = ()
    wanted: float | None = None
    unit: str = "/s"
    lanes: tuple[str, ...] = WAYS

    @property
    def comparison(self) -> Comparison:
        return Comparison(VGATE, HAPROXY, self.wanted)

    def check(self, place: Place, lane: str) -> None:
        """Every shape under all settings: rows and column definitions as the server itself gives them."""
        way = place.ways[way_of(lane)]
        shapes = (*self.shapes, statements.SETTINGS_PROBE) if self.settings else self.shapes
        for setting in dict.fromkeys(self.settings or ("",)):
            with Client(place.servers.endpoint(WHOLE)) as plain, Client(way.endpoint()) as other:
                for client in (plain, other):
                    if setting:
                        client.rows(setting)
                for sql in (shape % number for shape in shapes for number in CHECKED_IDS):
                    expected, got = plain.rows(sql), other.rows(sql)
                    if len(expected.rows) != 1 or got != expected:
                        raise BenchError(f"{lane} answers {sql!r} after {setting!r} with {got}, not {expected}")

    def measure(self, place: Place, lane: str, turn: int, seconds: float) -> Sample:
        options = {"shapes": place.file("shapes", self.shapes), "rows": str(ROWS), "rand-seed": str(turn + 1)}
        if self.settings:
            options["settings"] = place.file("settings", self.settings)
        return _loaded(place.ways[way_of(lane)], self.clients, seconds, options)[0]


@dataclass(frozen=True, slots=True)
class Oltp:
    """A script of sysbench's own as it is, which prepares its statements; a transaction is one event.

    ``database``: where its table is; vgate has that of OLTP as an unsharded keyspace.
    """

    name: str
    script: str
    clients: int
    database: str = DATABASE
    wanted: float | None = None
    unit: str = "/s"
    lanes: tuple[str, ...] = WAYS

    @property
    def comparison(self) -> Comparison:
        return Comparison(VGATE, HAPROXY, self.wanted)

    def check(self, place: Place, lane: str) -> None:
        """Nothing beforehand: sysbench fails on errors, and the point select's answers are those of ``Select``."""

    def measure(self, place: Place, lane: str, turn: int, seconds: float) -> Sample:
        # Ids at random may make two clients wait for each other: sysbench's own scripts begin anew on 1213 and 1205.
        options = {"tables": "1", "table-size": str(ROWS), "rand-seed": str(turn + 1), "rand-type": "uniform"}
        way = place.ways[way_of(lane)]
        return _loaded(way, self.clients, seconds, options, self.script, self.database)[0]


def _loaded(
    way: Way, clients: int, seconds: float, options: Mapping[str, str], script: str = "", database: str = DATABASE
) -> tuple[Sample, sysbench.Count]:
    endpoint = replace(way.endpoint(), database=database)
    before = _cpu(way)
    if script:
        count = sysbench.run(endpoint, clients, seconds, options, script=script, prepared=True)
    else:
        count = sysbench.run(endpoint, clients, seconds, options)
    return _sample(way, count.rate, before, count.events), count


def _cpu(way: Way) -> float:
    return 0.0 if way.pid is None else cpu_seconds(way.pid)


def _sample(way: Way, rate: float, before: float, units: float) -> Sample:
    """``rate``, and the CPU time since ``before`` over the units that it was spent on."""
    return Sample(rate, None if way.pid is None else (_cpu(way) - before) / units * 1e6)


# -- inserts ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Insert:
    """One row at a time into one table, with the ids given by the client and filled in by vgate's sequence."""

    name: str
    clients: int
    wanted: float | None = None
    unit: str = "/s"
    lanes: tuple[str, ...] = (f"{HAPROXY}, {GIVEN}", f"{VGATE}, {GIVEN}", f"{VGATE}, {FILLED}")

    @property
    def comparison(self) -> Comparison:
        return Comparison(f"{VGATE}, {FILLED}", f"{VGATE}, {GIVEN}", self.wanted)

    def check(self, place: Place, lane: str) -> None:
        """Nothing beforehand: each measurement counts the rows it made."""

    def measure(self, place: Place, lane: str, turn: int, seconds: float) -> Sample:
        servers, way = place.servers, place.ways[way_of(lane)]
        homes = servers.shards if way.name == VGATE else (WHOLE,)
        for home in homes:
            servers.run(home, "TRUNCATE TABLE items")
        insert = "filled" if lane.endswith(FILLED) else "given"
        sample, count = _loaded(way, self.clients, seconds, {"insert": insert})
        found = sum(servers.number(home, "SELECT COUNT(*) FROM items") for home in homes)
        # Statements that were under way when the time was over may be there without having been counted.
        if not count.events <= found <= count.events + self.clients:
            raise BenchError(f"{lane}: {count.events} inserts made {found} rows")
        if way.name == VGATE:
            self._check_homes(servers)
        return sample

    @staticmethod
    def _check_homes(servers: Servers) -> None:
        """A thousand rows of each shard are where they belong."""
        for home in servers.shards:
            with Client(servers.endpoint(home)) as client:
                ids = [int(row[1:]) for row in client.rows("SELECT id FROM items ORDER BY id LIMIT 1000").rows]
            if any(shard_of(number) != home for number in ids):
                raise BenchError(f"rows of the other shard are on {home}")


# -- large results ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bulk:
    """One large answer after another, to one client that only counts its bytes. ``units``: of one answer."""

    name: str
    sql: str
    units: int
    unit: str = "rows/s"
    rows: int = ROWS
    targeted: bool = False
    wanted: float | None = None
    lanes: tuple[str, ...] = WAYS

    @property
    def comparison(self) -> Comparison:
        return Comparison(VGATE, HAPROXY, self.wanted)

    def check(self, place: Place, lane: str) -> None:
        """The same columns and, in whatever order, the same rows; one row of megabytes by its size."""
        with Client(place.servers.endpoint(WHOLE)) as plain, self._client(place, lane) as other:
            if self.rows == 1:
                if plain.drain(self.sql) != other.drain(self.sql):
                    raise BenchError(f"{lane} answers {self.sql!r} with another size than the server")
                return
            expected, got = plain.rows(self.sql), other.rows(self.sql)
        if len(expected.rows) != self.rows or got.columns != expected.columns:
            raise BenchError(f"{lane} answers {self.sql!r} with other columns than the server")
        if sorted(got.rows) != sorted(expected.rows):
            raise BenchError(f"{lane} answers {self.sql!r} with {len(got.rows)} rows that are not the server's")

    def measure(self, place: Place, lane: str, turn: int, seconds: float) -> Sample:
        way = place.ways[way_of(lane)]
        with self._client(place, lane) as client:
            first = client.drain(self.sql)
            if first.rows != self.rows:
                raise ClientError(f"{first.rows} rows instead of {self.rows}")
            before = _cpu(way)
            count, taken = repeat_for(seconds, lambda: client.exactly(self.sql, first.size))
        return _sample(way, count * self.units / taken, before, count * self.units)

    def _client(self, place: Place, lane: str) -> Client:
        way = place.ways[way_of(lane)]
        client = Client(way.endpoint())
        if self.targeted and way.name == VGATE:
            client.rows(TARGET)
        return client


# -- the list -----------------------------------------------------------------------------------------------------


def select_cases() -> dict[str, list[Case]]:
    """Point selects, by the name that the command line knows."""
    many = tuple(statements.shapes())
    return {
        "point": [
            Select(f"point select, {MANY} clients", MANY, (statements.POINT,), wanted=0.65),
            Select("point select, 1 client", 1, (statements.POINT,), wanted=0.7),
        ],
        "prepared": [
            Oltp(f"prepared point select, {MANY} clients", "oltp_point_select", MANY, wanted=0.65),
            Oltp(f"oltp_read_write, prepared, {MANY} clients", "oltp_read_write", MANY, OLTP, wanted=0.6),
        ],
        "shapes": [
            Select(f"{len(many)} shapes in turn, {MANY} clients", MANY, many, wanted=0.65),
            Select(f"{len(many)} shapes in turn, 1 client", 1, many, wanted=0.7),
        ],
        "settings": [
            Select(f"mixed settings, {MANY} clients", MANY, (statements.POINT,), statements.SETTINGS, wanted=0.65),
            Select(f"mixed settings, {len(many)} shapes, {MANY} clients", MANY, many, statements.SETTINGS, wanted=0.65),
        ],
    }  # fmt: skip


def insert_cases() -> dict[str, list[Case]]:
    """Inserts with the ids given and filled."""
    return {
        "inserts": [
            Insert(f"insert of one row, {MANY} clients", MANY, wanted=0.9),
            Insert("insert of one row, 1 client", 1, wanted=0.9),
        ]
    }


def bulk_cases() -> dict[str, list[Case]]:
    """Large results: from both shards, and from one that a client aims at."""
    wide, narrow = "SELECT id, body FROM {}wide", "SELECT id, k FROM {}narrow"
    return {
        "bulk": [
            Bulk("100,000 rows of 200 bytes, both shards", wide.format(""), ROWS, wanted=0.7),
            Bulk("100,000 rows of 200 bytes, one shard", wide.format("one_"), ROWS, targeted=True, wanted=0.7),
            Bulk("100,000 rows of two integers, both shards", narrow.format(""), ROWS, wanted=0.5),
            Bulk("100,000 rows of two integers, one shard", narrow.format("one_"), ROWS, targeted=True, wanted=0.5),
            Bulk(
                f"one row of {BIG_ROW} MB", f"SELECT REPEAT('x', {BIG_ROW} * 1024 * 1024)", BIG_ROW, "MB/s", 1,
                targeted=True, wanted=0.7,
            ),
        ]
    }  # fmt: skip


GROUPS: Final[Mapping[str, Callable[[], dict[str, list[Case]]]]] = {
    "statements": select_cases,
    "inserts": insert_cases,
    "sequences": lambda: {"sequences": [*sequence_cases()]},
    "large results": bulk_cases,
}
"""One table each."""

