"""mprun against what one would write or use instead: whole processes, the same handlers, each in turn.

    rows × contenders ──► run_once, in rounds ──► medians ──► a table, and a plot of ratios

python benchmarks/compare.py                          all of it; takes about half an hour
python benchmarks/compare.py --quick --rows small     a minute: short runs, rows whose names begin so

A row's runs are as long as it takes to be past the start: a slow contender carries fewer items, and rates are compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alternate import warn_without_bytecode
from measure import ContenderError, Reading, python, run_once
from plot import write_plot

from runner.spec.resources import QueueSpec

BASE = "by hand"
HERE = Path(__file__).parent
TIMEOUT = 300.0
_QUICK = 5


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who carries items."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    needs: str | None = None
    """The module that it can't do without."""

    @property
    def installed(self) -> bool:
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


CONTENDERS = (
    Contender(BASE, "by_hand.py"),
    Contender("mprun joinable", "by_mprun.py", ("joinable",)),
    Contender("mprun leased", "by_mprun.py", ("leased",)),
    Contender("pypeln", "by_pypeln.py", needs="pypeln"),
    Contender("mpire", "by_mpire.py", needs="mpire"),
    Contender("faster-fifo", "by_faster_fifo.py", needs="faster_fifo"),
)
ONLY_QUEUES = (BASE, "mprun joinable", "mprun leased", "faster-fifo")
"""Those that have stages of their own at both ends."""
NO_PEERS = ONLY_QUEUES[:3]
FEW = (BASE, "mprun leased")
"""Those that a thousand workers do not keep busy while there is nothing to do."""

Score = Callable[[int, Reading], float]


def per_second(count: int, reading: Reading) -> float:
    return count / reading.seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `items` are what the base carries; others carry `share` of it."""

    name: str
    workload: str
    items: int
    unit: str = "items/s"
    score: Score = per_second
    more_is_better: bool = True
    shares: Mapping[str, float] = field(default_factory=dict)
    who: tuple[str, ...] = tuple(contender.name for contender in CONTENDERS)
    fixed: bool = False
    """Whether the count of items is what the row is about, so that it stays in a quick run."""
    watch: bool = False
    needs: str | None = None

    def count_for(self, contender: str, quick: bool) -> int:
        count = int(self.items * self.shares.get(contender, 1.0))
        return count if self.fixed or not quick else max(1, count // _QUICK)


_SMALL = {"mprun leased": 20.0, "pypeln": 0.03, "mpire": 0.1, "faster-fifo": 2.0}
_PIPE = {**_SMALL, "mprun leased": 10.0}
_SEVERAL_BIG = {"mprun leased": 4.0}


def _rows() -> tuple[Row, ...]:
    return (
        Row("small items, 1×1", "small-1x1", 500_000, shares=_SMALL),
        Row("small items, 3×2", "small-3x2", 500_000, shares=_SMALL, who=ONLY_QUEUES),
        # mpire has no stages: its workers do one thing.
        Row("small items, pipe 1×2×1", "pipe", 300_000, shares=_PIPE, who=(*ONLY_QUEUES, "pypeln")),
        *_big("bytes", None),
        *_big("array", "numpy"),
        _latency("p50"),
        _latency("p99"),
        Row("100 items of 50 ms, 1×2", "slow", 100, "s", _seconds, False, fixed=True),
        Row("1,000 workers, start and stop", "fleet", 1000, "s", _seconds, False, who=FEW, fixed=True),
        Row(
            "peak memory, 1 million items", "memory", 1_000_000, "MB", _peak, False, who=NO_PEERS, watch=True
        ),
        Row(
            "peak memory, 10 million items",
            "memory",
            10_000_000,
            "MB",
            _peak,
            False,
            {BASE: 0.1, "mprun joinable": 0.1},
            NO_PEERS,
            watch=True,
        ),
        _idle("idle: full queue, reader asleep", "idle-full", 100_000),
        _idle("idle: empty queue, writer asleep", "idle-empty", 1),
    )


def _big(kind: str, needs: str | None) -> list[Row]:
    sizes = {"1KB": 200_000, "100KB": 10_000, "1MB": 1500, "16MB": 100}
    return [
        Row(f"{kind} of {size}", f"{kind}-{size}", items, shares=_SEVERAL_BIG, who=ONLY_QUEUES, needs=needs)
        for size, items in sizes.items()
        if not (needs and size == "1KB")
    ]


def _latency(percentile: str) -> Row:
    def age(_count: int, reading: Reading) -> float:
        return reading.said[percentile]

    return Row(f"lone item, {percentile}", "latency", 2000, "µs", age, False, who=ONLY_QUEUES)


def _idle(name: str, workload: str, items: int) -> Row:
    return Row(
        name, workload, items, "% of a core", _idle_share, False, who=ONLY_QUEUES, fixed=True, watch=True
    )


def _seconds(_count: int, reading: Reading) -> float:
    return reading.seconds


def _peak(_count: int, reading: Reading) -> float:
    return reading.peak / 1e6


def _idle_share(_count: int, reading: Reading) -> float:
    return 100 * reading.idle_share


@dataclass(frozen=True, slots=True)
class Result:
    """A row as it was measured: medians by contender, of the score and of processor microseconds per item."""

    row: Row
    medians: Mapping[str, float]
    cpu: Mapping[str, float]

    def ratio(self, contender: str) -> float | None:
        """How many times better than by hand; None where one of them is missing, or both are nothing."""
        base, own = self.medians.get(BASE), self.medians.get(contender)
        if not base or not own:
            return None
        return own / base if self.row.more_is_better else base / own


def main() -> None:
    options = _options()
    warn_without_bytecode()
    signal.signal(
        signal.SIGTERM, lambda _number, _frame: sys.exit(143)
    )  # so that what was started is ended too
    maxsize = options.maxsize or QueueSpec("").maxsize or 1000
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, queues of {maxsize} items, ", end="")
    print(f"medians of {options.rounds} rounds, whole processes in turn\n")
    present = {contender.name: contender for contender in CONTENDERS if contender.installed}
    for contender in CONTENDERS:
        if contender.name not in present:
            print(f"{contender.name}: not installed, left out")
    results = []
    for row in _chosen(options.rows):
        result = measure(row, present, maxsize, options)
        results.append(result)
        print_result(result)
    if options.plot:
        write_plot(options.plot, [(result.row.name, _ratios(result)) for result in results])


def measure(row: Row, present: Mapping[str, Contender], maxsize: int, options: argparse.Namespace) -> Result:
    """Run each contender in turn, in rounds; one that fails is left out from then on, with a word."""
    scores: dict[str, list[float]] = {name: [] for name in row.who if name in present}
    cpu: dict[str, list[float]] = {name: [] for name in scores}
    for _ in range(options.rounds):
        for name in list(scores):
            count = row.count_for(name, options.quick)
            contender = present[name]
            command = python(
                HERE / contender.script, row.workload, str(count), str(maxsize), *contender.arguments
            )
            try:
                reading = run_once(command, timeout=TIMEOUT, watch=row.watch)
            except ContenderError as failure:
                print(f"{row.name}: {name}: {str(failure).splitlines()[-1]}", file=sys.stderr)
                del scores[name]
                continue
            scores[name].append(row.score(count, reading))
            cpu[name].append(1e6 * reading.cpu / count)
    return Result(
        row,
        {name: statistics.median(each) for name, each in scores.items()},
        {name: statistics.median(cpu[name]) for name in scores},
    )


def print_result(result: Result) -> None:
    print(f"{result.row.name}  [{result.row.unit}]")
    for name, median in result.medians.items():
        ratio = result.ratio(name)
        times = "" if ratio is None else f"{ratio:>9.2f} ×"
        print(f"  {name:<16}{_figure(median):>14}{times:>12}   {_figure(result.cpu[name])} CPU µs per item")
    print(flush=True)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _ratios(result: Result) -> dict[str, float]:
    ratios = {name: result.ratio(name) for name in result.medians if name != BASE}
    return {name: ratio for name, ratio in ratios.items() if ratio is not None}


def _chosen(beginnings: list[str]) -> list[Row]:
    rows = [row for row in _rows() if row.needs is None or importlib.util.find_spec(row.needs) is not None]
    chosen = [row for row in rows if not beginnings or row.name.startswith(tuple(beginnings))]
    if not chosen:
        sys.exit(f"no row begins with {' or '.join(beginnings)}; rows: {', '.join(row.name for row in rows)}")
    return chosen


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare mprun with what one would use instead.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run (default 5)")
    parser.add_argument(
        "--rows", nargs="*", default=[], metavar="BEGINNING", help="only rows whose names begin so"
    )
    parser.add_argument("--quick", action="store_true", help=f"a {_QUICK}th of the items")
    parser.add_argument(
        "--maxsize", type=int, help="the bound of each queue (default: that of a file that says nothing)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write a plot of the ratios")
    return parser.parse_args()


if __name__ == "__main__":
    main()
