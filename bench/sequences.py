"""The cases of sequences: what a value costs beside the statement that it stands for.

One client, one statement after another, through vgate. Each case has two lanes, of which the first is the measure of
the other. It does not know how servers and vgate came to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as counter
from typing import TYPE_CHECKING, Final

from bench.client import Client, repeat_for
from bench.figures import Comparison, Sample
from bench.process import cpu_seconds
from bench.proxies import VGATE, BenchError, Way
from bench.servers import SEQUENCES, Servers

if TYPE_CHECKING:
    from bench.cases import Place

PLAIN, SEQUENCE = f"{VGATE}, plain", f"{VGATE}, sequence"
_SIMPLE_ROW: Final = "CREATE TABLE IF NOT EXISTS one_row (id INT PRIMARY KEY, value BIGINT NOT NULL)"
_MAKE: Final = (
    f"CREATE GROUP SEQUENCE IF NOT EXISTS {SEQUENCES}.bench_group",
    f"CREATE SIMPLE SEQUENCE IF NOT EXISTS {SEQUENCES}.bench_simple",
    f"CREATE GROUP SEQUENCE IF NOT EXISTS {SEQUENCES}.grouped_seq",
)


@dataclass(frozen=True, slots=True)
class SequenceCase:
    """``plain`` and ``sequence`` are the statements of the lanes; a ``%d`` in one is another number each time."""

    name: str
    plain: str
    sequence: str
    wanted: float
    table: str = ""
    unit: str = "/s"
    lanes: tuple[str, ...] = (PLAIN, SEQUENCE)

    @property
    def comparison(self) -> Comparison:
        return Comparison(SEQUENCE, PLAIN, self.wanted)

    def prepare(self, servers: Servers, way: Way) -> None:
        """What the statements need, if it is not there."""
        servers.run(SEQUENCES, _SIMPLE_ROW, "INSERT IGNORE INTO one_row VALUES (1, 0)")
        with Client(way.endpoint()) as client:
            for sql in _MAKE:
                client.rows(sql)
        if self.table:
            for home in servers.shards:
                servers.run(home, f"TRUNCATE TABLE {self.table}")

    def check(self, place: Place, lane: str) -> None:
        """Ten answers; those of a sequence are ten values. Raises BenchError."""
        servers, way = place.servers, place.ways[VGATE]
        self.prepare(servers, way)
        with Client(way.endpoint()) as client:
            answers = [client.rows(sql) for sql, _ in zip(self._statements(lane), range(10), strict=False)]
        if lane == SEQUENCE and not self.table and len({answer.rows for answer in answers}) != 10:
            raise BenchError(f"{self.name}: a value came twice")
        self._check_rows(servers, 10)

    def measure(self, place: Place, lane: str, turn: int, seconds: float) -> Sample:
        """The rate of one client."""
        servers, way = place.servers, place.ways[VGATE]
        self.prepare(servers, way)
        statements = self._statements(lane)
        with Client(way.endpoint()) as client:
            client.rows(next(statements))
            before = 0.0 if way.pid is None else cpu_seconds(way.pid)
            done, taken = repeat_for(seconds, lambda: _run(client, next(statements)))
        self._check_rows(servers, done + 1)
        cpu = None if way.pid is None else (cpu_seconds(way.pid) - before) / done * 1e6
        return Sample(done / taken, cpu)

    def _statements(self, lane: str) -> Iterator[str]:
        sql = self.plain if lane == PLAIN else self.sequence
        return (sql % number if "%d" in sql else sql for number in counter(1))

    def _check_rows(self, servers: Servers, wanted: int) -> None:
        if self.table:
            found = sum(servers.number(home, f"SELECT COUNT(*) FROM {self.table}") for home in servers.shards)
            if found != wanted:
                raise BenchError(f"{self.name}: {wanted} inserts made {found} rows")


def _run(client: Client, sql: str) -> None:
    client.rows(sql)


def sequence_cases() -> list[SequenceCase]:
    """Cached NEXTVAL, filled ids, and a SIMPLE, which is twice as slow as one UPDATE at most."""
    given = "INSERT INTO grouped (id, name) VALUES (%d, 'a name of some length')"
    return [
        SequenceCase("GROUP NEXTVAL beside `select 1`", "SELECT 1", f"SELECT {SEQUENCES}.bench_group.NEXTVAL", 0.8),
        SequenceCase(
            "insert with a GROUP's ids beside ids given", given,
            "INSERT INTO grouped (name) VALUES ('a name of some length')", 0.9, "grouped",
        ),
        SequenceCase(
            "SIMPLE NEXTVAL beside one UPDATE", f"UPDATE {SEQUENCES}.one_row SET value = value + 1 WHERE id = 1",
            f"SELECT {SEQUENCES}.bench_simple.NEXTVAL", 0.5,
        ),
    ]  # fmt: skip
