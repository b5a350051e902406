"""Slow items on many workers: mprun against `multiprocessing.Pool.imap_unordered`, whole processes in turn.

    rows of workers × items × milliseconds ──► run_once, in rounds ──► medians ──► a table

python benchmarks/many_workers.py                     all rows: many workers, and few with items of 0.5 to 50 ms
python benchmarks/many_workers.py --rows 256 --rounds 3
python benchmarks/many_workers.py --row 16 2 4000     one of your own: workers, milliseconds, items

Each item sleeps, so that what is measured is the hand-over: the ideal is items × milliseconds / workers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alternate import warn_without_bytecode
from measure import ContenderError, Reading, python, run_once

TIMEOUT = 300.0
EACH = 600
"""Items a worker where there are many of them."""
HERE = Path(__file__)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    workers: int
    millis: float
    items: int

    @property
    def ideal(self) -> float:
        """Seconds that the sleeping takes, shared out evenly."""
        return self.items * self.millis / 1000 / self.workers

    @property
    def arguments(self) -> tuple[str, str, str]:
        """For a contender's command line."""
        return str(self.workers), str(self.millis), str(self.items)


MANY = tuple(Row(workers, 5, EACH * workers) for workers in (64, 128, 256, 512))
FEW = tuple(
    Row(workers, millis, max(2 * workers, int(1500 * workers / millis)))
    for workers in (4, 16, 32)
    for millis in (0.5, 1, 2, 3, 10, 50)
)
LAST = (Row(2, 50, 100),)
"""A run that is mostly its end."""
CONTENDERS = {"Pool, 1": ("pool", "1"), "Pool, 8": ("pool", "8"), "mprun": ("mprun", "0")}
"""What they are called with before the arguments of the row."""


# The handlers.


def make(count: int) -> Iterator[int]:
    yield from range(count)


class Nap:
    """Sleeps on each item."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, _item: int) -> None:
        time.sleep(self.seconds)


# The contenders, each in a process of its own.


def run_pool(row: Row, chunksize: int) -> None:
    with multiprocessing.Pool(row.workers) as pool:
        for _ in pool.imap_unordered(Nap(row.millis / 1000), make(row.items), chunksize):
            pass


def run_mprun(row: Row) -> None:
    from runner.composition import run
    from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
    from runner.spec.plan import make_plan
    from runner.spec.resources import QueueSpec

    nappers = tuple(f"napper-{number}" for number in range(1, row.workers + 1))
    producer = HandlerRef("python", "many_workers:make")
    consumer = HandlerRef("python", "many_workers:Nap")
    stages = (
        StageSpec("producer", producer, {"count": row.items}, ("producer-1",), sends="items"),
        StageSpec("napper", consumer, {"seconds": row.millis / 1000}, nappers, receives="items"),
    )
    queues = (QueueSpec("items", 10_000),)
    report = run(make_plan(WorkflowSpec("many_workers", HERE, stages=stages, queues=queues)))
    if report.outcome != "done":
        sys.exit(f"{report.outcome}: {report.reason}")


# The comparison.


def main() -> None:
    parser = argparse.ArgumentParser(description="Time slow items on many workers.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs, in turn")
    parser.add_argument("--rows", nargs="*", type=int, default=[], help="only rows with so many workers")
    parser.add_argument("--row", nargs=3, metavar=("WORKERS", "MILLIS", "ITEMS"), help="a row of your own")
    parser.add_argument(
        "--as", nargs=2, dest="contender", metavar=("WHO", "CHUNKSIZE"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    own = (
        None if options.row is None else Row(int(options.row[0]), float(options.row[1]), int(options.row[2]))
    )
    if options.contender is not None and own is not None:
        who, chunksize = options.contender
        run_mprun(own) if who == "mprun" else run_pool(own, int(chunksize))
        return
    warn_without_bytecode()
    rows = [row for row in (*MANY, *FEW, *LAST) if not options.rows or row.workers in options.rows]
    print_table([own] if own is not None else rows, options.rounds)


def print_table(rows: Sequence[Row], rounds: int) -> None:
    names = "".join(f"{name:>18}" for name in CONTENDERS)
    print(
        f"Python {sys.version.split()[0]}, seconds and processor time an item, medians of {rounds} rounds\n"
    )
    print(f"{'workers':>8}{'ms':>6}{'items':>9}{'ideal':>8}{names}{'ratio':>8}")
    for row in rows:
        readings = measure_row(row, rounds)
        cells = "".join(f"{describe(readings[name], row):>18}" for name in CONTENDERS)
        best = min(seconds_of(readings[name]) for name in CONTENDERS if name != "mprun")
        ratio = seconds_of(readings["mprun"]) / best
        print(
            f"{row.workers:>8}{row.millis:>6g}{row.items:>9}{row.ideal:>8.2f}{cells}{ratio:>8.3f}", flush=True
        )


def measure_row(row: Row, rounds: int) -> dict[str, list[Reading]]:
    """Run each contender in turn, so that whatever slows the machine slows all of them alike."""
    readings: dict[str, list[Reading]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, contender in CONTENDERS.items():
            command = python(HERE, "--row", *row.arguments, "--as", *contender)
            try:
                readings[name].append(run_once(command, timeout=TIMEOUT))
            except ContenderError as error:
                sys.exit(f"{name}, {row.workers} workers: {error}")
    return readings


def seconds_of(readings: Sequence[Reading]) -> float:
    return statistics.median(reading.seconds for reading in readings)


def describe(readings: Sequence[Reading], row: Row) -> str:
    cpu = statistics.median(reading.cpu for reading in readings)
    return f"{seconds_of(readings):.2f} s {cpu / row.items * 1e6:5.0f} µs"


if __name__ == "__main__":
    main()
