"""``python -m bench``: runs cases in rounds and prints tables, or profiles vgate under one of them.

Progress goes to stderr, the tables to stdout, and with --write also into bench/README.md. A lane that fails is left
out of its case and named at the end, so that an hour's figures are not lost by one. How a case measures is not known
here.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import profile
from bench.cases import GROUPS, Case, Place, way_of
from bench.client import ClientError
from bench.figures import Figure, Growth, memory_table, rates_table
from bench.memory import Sizes, memory_cases
from bench.process import machine
from bench.proxies import DIRECT, VGATE, WAYS, BenchError, open_way
from bench.servers import Servers, running
from vgate.local.programs import LocalError

README: Final = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
QUICK: Final = Sizes(result=64, row=32, clients=100, pace=200.0 * 2**20, stall=0.3)
WARM_UP: Final = 1.0
FAILURES = (BenchError, ClientError, OSError)


@dataclass(slots=True)
class Run:
    """One run of the programme: what was asked for, and what went wrong."""

    names: tuple[str, ...]
    ways: tuple[str, ...]
    rounds: int
    seconds: float
    sizes: Sizes
    warm_up: float
    faults: list[str] = field(default_factory=list)

    def rates(self, place: Place) -> list[str]:
        """All rate cases: rounds outermost, lanes innermost. Returns the tables."""
        groups = {title: self._chosen(make()) for title, make in GROUPS.items()}
        chosen = [case for cases in groups.values() for case in cases]
        figures = {case.name: Figure(case.name, case.unit, case.comparison) for case in chosen}
        failed: set[tuple[str, str]] = set()
        for turn in range(-1, self.rounds):  # the first warms up, and checks answers
            for case in chosen:
                for lane in case.lanes:
                    if way_of(lane) in self.ways and (case.name, lane) not in failed:
                        self._measure(place, case, lane, turn, figures[case.name], failed)
        tables: list[str] = []
        for title, cases in groups.items():
            if cases:
                tables += rates_table(title, cases[0].lanes, [figures[case.name] for case in cases])
        return tables

    def _measure(
        self, place: Place, case: Case, lane: str, turn: int, figure: Figure, failed: set[tuple[str, str]]
    ) -> None:
        try:
            if turn < 0:
                case.check(place, lane)
                if self.warm_up:
                    case.measure(place, lane, 0, self.warm_up)
                return
            sample = case.measure(place, lane, turn, self.seconds)
        except FAILURES as failure:
            failed.add((case.name, lane))
            self.faults.append(f"{case.name}, {lane}: {failure}")
            say(f"{case.name}, {lane}: FAILED: {failure}")
            return
        figure.add(lane, sample)
        cpu = "" if sample.cpu is None else f", {sample.cpu:.2f} us of CPU each"
        say(f"round {turn + 1}: {case.name}, {lane}: {sample.rate:,.0f} {case.unit}{cpu}")

    def memory(self, servers: Servers, directory: Path) -> list[str]:
        """All memory cases. Returns their table."""
        proxies = tuple(way for way in self.ways if way != DIRECT)
        growths: list[Growth] = []
        chosen = [case for name, cases in memory_cases(self.sizes).items() if name in self.names for case in cases]
        for case in chosen:
            grown: dict[str, int] = {}
            for name in proxies:
                try:
                    with open_way(name, servers, directory) as way:
                        grown[name] = case.grown(way)
                except FAILURES as failure:
                    self.faults.append(f"{case.name}, {name}: {failure}")
                    say(f"{case.name}, {name}: FAILED: {failure}")
                else:
                    say(f"{case.name}, {name}: {grown[name] / 2**20:.1f} MB")
            growths.append(Growth(case.name, grown, case.limit))
        return memory_table(proxies, VGATE, growths)

    def _chosen(self, cases: dict[str, list[Case]]) -> list[Case]:
        return [case for name, all_ in cases.items() if name in self.names for case in all_]


def case_names() -> tuple[str, ...]:
    """Every name that the command line knows."""
    rates = [name for make in GROUPS.values() for name in make()]
    return (*rates, *memory_cases(Sizes()))


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if something could not be measured."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vgate-bench-") as made:
        try:
            return _profile(options, Path(made)) if options.profile else _run(options, Path(made))
        except (BenchError, LocalError, ClientError) as failure:
            say(f"bench: {failure}")
            return 1
        except KeyboardInterrupt:
            return 1


def _run(options: argparse.Namespace, directory: Path) -> int:
    run = Run(
        names=tuple(options.cases) or case_names(),
        ways=tuple(options.ways),
        rounds=options.rounds or (1 if options.quick else 5),
        seconds=options.seconds or (0.5 if options.quick else 3.0),
        sizes=QUICK if options.quick else Sizes(),
        warm_up=0.0 if options.quick else WARM_UP,
    )
    load = os.getloadavg()[0]
    say(f"load of the machine before: {load:.2f}; starting and filling servers")
    with running(directory / "servers") as servers:
        tables, versions = [], {}
        with ExitStack() as stack:
            ways = {name: stack.enter_context(open_way(name, servers, directory)) for name in run.ways}
            versions = {way.name: way.version for way in ways.values() if way.version}
            tables += run.rates(Place(servers, ways, directory))
        tables += run.memory(servers, directory)
    text = "\n".join([*_heading(run, servers.version, versions, load), *tables, *_faults(run)])
    print(text)
    if options.write:
        _write(text)
    return 1 if run.faults else 0


def _heading(run: Run, server: str, versions: dict[str, str], load: float) -> list[str]:
    programs = ", ".join([server, *(f"{name} {version}" for name, version in versions.items()), _sysbench()])
    return [
        f"{datetime.date.today().isoformat()}: {machine()}; load before the run {load:.2f}",
        "",
        f"{programs}; {run.rounds} rounds of {run.seconds:g} seconds for each lane",
        "",
    ]


def _sysbench() -> str:
    program = shutil.which("sysbench")
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip() if program else ""


def _faults(run: Run) -> list[str]:
    return ["Not measured:", "", *(f"* {fault.splitlines()[0]}" for fault in run.faults), ""] if run.faults else []


def _write(text: str) -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _profile(options: argparse.Namespace, directory: Path) -> int:
    """Run the first case of each name on vgate alone, and show where its time went."""
    spy = None if options.profile == "cprofile" else profile.find_spy()
    output = options.output.absolute()
    seconds = options.seconds or 10.0
    named = [item for make in GROUPS.values() for item in make().items()]
    cases = [case for name, all_ in named if name in options.cases for case in all_]
    if not cases:
        raise BenchError("--profile needs the name of a case that has a rate, e.g. python -m bench point --profile")
    case, lane = cases[0], next(lane for lane in reversed(cases[0].lanes) if way_of(lane) == VGATE)
    prefix = () if spy else profile.counting(output)
    with running(directory / "servers") as servers, open_way(VGATE, servers, directory, prefix) as way:
        place = Place(servers, {VGATE: way}, directory)
        case.measure(place, lane, 0, WARM_UP)
        assert way.pid is not None
        with profile.spying(spy, way.pid, output) if spy else ExitStack():
            sample = case.measure(place, lane, 1, seconds)
    print(f"{case.name}, {lane}: {sample.rate:,.0f} {case.unit} while profiled; kept in {output}\n")
    if spy:
        print("\n".join(profile.spied(output)))
    else:
        profile.counted(output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Compare a direct connection, HAProxy (TCP, one thread) and vgate."
    )
    names = ", ".join(case_names())
    parser.add_argument("cases", nargs="*", type=_case, metavar="case", help=f"{names} (default: all)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often all lanes are measured (default: 5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long each time (default: 3)")
    parser.add_argument("--ways", type=_ways, default=WAYS, metavar="W,W", help=f"some of {','.join(WAYS)}")
    parser.add_argument("--quick", action="store_true", help="one short round and small sizes: to see that all works")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md too")
    parser.add_argument(
        "--profile", nargs="?", const="py-spy", choices=("py-spy", "cprofile"),
        help="profile vgate under the first of the cases instead",
    )
    kept = Path(tempfile.gettempdir()) / "vgate-bench-profile"
    parser.add_argument("--output", type=Path, default=kept, metavar="FILE", help=f"the profile (default: {kept})")
    return parser


def _case(text: str) -> str:
    if text not in case_names():
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(case_names())}")
    return text


def _ways(text: str) -> tuple[str, ...]:
    asked = text.split(",")
    unknown = [name for name in asked if name not in WAYS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(WAYS)}")
    return tuple(name for name in WAYS if name in asked)


if __name__ == "__main__":
    sys.exit(main())
