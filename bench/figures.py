"""Samples, medians and ratios, and the Markdown tables made of them.

A ratio is that of two medians. Beside it stands the range of the ratios within each round, whose two samples were
taken one right after the other: it says how much of the ratio is the machine's luck. It does not know how samples are
taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one lane: units a second, and the proxy's CPU microseconds for one unit where it has one."""

    rate: float
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """``subject`` is to reach ``wanted`` times the rate of ``base``; both name lanes. None: nothing is asked."""

    subject: str
    base: str
    wanted: float | None = None


@dataclass(slots=True)
class Figure:
    """One line of a table: samples of each lane, in the order of the rounds."""

    name: str
    unit: str
    comparison: Comparison
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, lane: str, sample: Sample) -> None:
        self.samples.setdefault(lane, []).append(sample)

    def rate(self, lane: str) -> float | None:
        """The median rate, None where the lane was not measured."""
        return _median(sample.rate for sample in self.samples.get(lane, ()))

    def cpu(self, lane: str) -> float | None:
        """The median CPU time of the proxy."""
        return _median(sample.cpu for sample in self.samples.get(lane, ()) if sample.cpu is not None)

    def ratio(self) -> float | None:
        """Of the medians."""
        subject, base = self.rate(self.comparison.subject), self.rate(self.comparison.base)
        return None if subject is None or not base else subject / base

    def spread(self) -> tuple[float, float] | None:
        """The lowest and highest ratio within a round."""
        subject, base = (self.samples.get(lane, []) for lane in (self.comparison.subject, self.comparison.base))
        ratios = [one.rate / other.rate for one, other in zip(subject, base, strict=False)]
        return (min(ratios), max(ratios)) if ratios else None


@dataclass(frozen=True, slots=True)
class Growth:
    """One line of the memory table: bytes that a proxy grew by, and the bytes that it must stay under."""

    name: str
    grown: Mapping[str, int]
    limit: int


def rates_table(title: str, lanes: Sequence[str], figures: Sequence[Figure]) -> list[str]:
    """Rates, the ratio with its spread, what is wanted, and CPU time per unit where there are proxies."""
    if not figures:
        return []
    compared = figures[0].comparison
    cpu = [lane for lane in lanes if any(figure.cpu(lane) is not None for figure in figures)]
    head = [
        title, *lanes, f"{compared.subject} / {compared.base}", "within a round", "wanted",
        *(f"CPU of {lane}" for lane in cpu),
    ]  # fmt: skip
    return _table(head, [[
        figure.name, *(_rate(figure.rate(lane), figure.unit) for lane in lanes), _ratio(figure), _spread(figure),
        _wanted(figure), *(_cpu(figure.cpu(lane)) for lane in cpu),
    ] for figure in figures])  # fmt: skip


def memory_table(lanes: Sequence[str], judged: str, figures: Sequence[Growth]) -> list[str]:
    """Growth in megabytes; the limits are those of the lane ``judged``."""
    if not figures:
        return []
    rows = [
        [growth.name, *(_megabytes(growth.grown.get(lane)) for lane in lanes),
         f"< {growth.limit / 2**20:.0f} MB" + (" **missed**" if growth.grown.get(judged, 0) >= growth.limit else "")]
        for growth in figures
    ]  # fmt: skip
    return _table(["memory that a proxy grows by", *lanes, f"wanted of {judged}"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def _rate(rate: float | None, unit: str) -> str:
    if rate is None:
        return ""
    return f"{rate:,.0f} {unit}" if rate >= 100 else f"{rate:.1f} {unit}"


def _ratio(figure: Figure) -> str:
    ratio = figure.ratio()
    return "" if ratio is None else f"**{ratio:.2f}**"


def _spread(figure: Figure) -> str:
    spread = figure.spread()
    return "" if spread is None else f"{spread[0]:.2f}-{spread[1]:.2f}"


def _wanted(figure: Figure) -> str:
    wanted, ratio = figure.comparison.wanted, figure.ratio()
    if wanted is None:
        return ""
    return f">= {wanted:g}" + (" **missed**" if ratio is not None and ratio < wanted else "")


def _cpu(cpu: float | None) -> str:
    if cpu is None:
        return ""
    return f"{cpu:.1f} us" if cpu >= 1 else f"{cpu * 1000:.0f} ns"


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:.1f} MB"
