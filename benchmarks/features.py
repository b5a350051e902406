"""What each feature costs an item: a workflow with it, in turn with the same one without. Whole processes.

    feature × (without, with) × (short, long) ──► run_once, in rounds ──► (long - short) / items ──► medians ──► a table

python benchmarks/features.py                          all of it; takes about a quarter of an hour
python benchmarks/features.py --quick --rows order     a minute: short runs, features whose names begin so

Two lengths, so that the start costs nothing here. Processor time is that of all processes of a run together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alternate import installed_mprun
from measure import run_once

HANDLERS = Path(__file__).with_name("feature_handlers.py")
TARGET = 2.0
"""The most that a feature may take, in times of the processor time of what goes without."""
TIMEOUT = 300.0
SHORT, LONG = 200_000, 1_000_000
_QUICK = 4

Keys = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Topology:
    """A producer, a pipe stage of two workers or none, and consumers. Handlers are of feature_handlers.py."""

    make: str = "numbers"
    between: str | None = None
    take: str = "take"
    producer: Keys = field(default_factory=dict)
    pipe: Keys = field(default_factory=dict)
    consumer: Keys = field(default_factory=dict)
    queue: Keys = field(default_factory=dict)
    """Keys of the first queue."""

    def workflow(self, count: int) -> str:
        """The file, for so many items."""
        return "\n".join(("name: features", *self._queues(), *self._stages(count), ""))

    def _queues(self) -> Iterator[str]:
        yield (
            f"queues: {{first: {_flow(self.queue)}, last: {{}}}}"
            if self.between
            else (f"queues: {{first: {_flow(self.queue)}}}")
        )

    def _stages(self, count: int) -> Iterator[str]:
        last = "last" if self.between else "first"
        yield "stages:"
        yield _stage("producer", self.make, self.producer, to="first", **{"with": f"{{count: {count}}}"})
        if self.between:
            yield _stage("pipe", self.between, self.pipe, **{"from": "first", "to": "last", "count": "2"})
        consumers = "1" if self.between else "2"
        yield _stage("consumer", self.take, self.consumer, **{"from": last, "count": consumers})


def _stage(name: str, handler: str, more: Keys, **keys: str) -> str:
    return f"  {name}: {_flow({'run': f'feature_handlers:{handler}', **keys, **more})}"


def _flow(keys: Keys) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


@dataclass(frozen=True, slots=True)
class Feature:
    """One line of the table: a workflow with the feature, and the one that it is compared with."""

    name: str
    without: Topology
    has: Topology


_PLAIN = Topology()
_PIPE = Topology(between="double")
_ROWS = Topology("rows")
_CLASS = Topology(take="Total", consumer={"state": "none"})
_CLASS_PIPE = Topology(between="Doubler", pipe={"state": "none"})
_ROOMY = {"maxsize": "100000000"}
"""So that a queue which must not be full never is."""


def features() -> tuple[Feature, ...]:
    return (
        Feature("order: keep", _PIPE, Topology(between="double", pipe={"order": "keep"})),
        Feature("shard_by, numbers", _PLAIN, Topology(consumer={"shard_by": "item"})),
        Feature("shard_by, rows", _ROWS, Topology("rows", consumer={"shard_by": "user"})),
        Feature("max_bytes", _PLAIN, Topology(queue={"max_bytes": "64MiB"})),
        Feature("max_bytes, rows", _ROWS, Topology("rows", queue={"max_bytes": "64MiB"})),
        Feature("when_full: drop_newest", _PLAIN, Topology(queue={"when_full": "drop_newest"})),
        Feature("when_full: drop_oldest", _PLAIN, Topology(queue={"when_full": "drop_oldest"})),
        Feature("when_full: fail", Topology(queue=_ROOMY), Topology(queue={"when_full": "fail", **_ROOMY})),
        Feature("retry", _PLAIN, Topology(consumer={"retry": "{attempts: 3}"})),
        Feature("on_error: skip", _PLAIN, Topology(consumer={"on_error": "skip"})),
        Feature("batch", _PLAIN, Topology(take="take_batch", consumer={"batch": "100"})),
        Feature("batch, pipe", _PIPE, Topology(between="double_batch", pipe={"batch": "100"})),
        Feature("flush", _CLASS, Topology(take="Flushed")),
        Feature("flush, pipe", _CLASS_PIPE, Topology(between="FlushedDoubler")),
        Feature("state: none", Topology(take="Idle"), Topology(take="Idle", consumer={"state": "none"})),
        Feature("state: checkpoint", _CLASS, Topology(take="Total", consumer={"state": "checkpoint"})),
        Feature(
            "state: checkpoint, pipe",
            _CLASS_PIPE,
            Topology(between="Doubler", pipe={"state": "checkpoint"}),
        ),
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds an item."""

    cpu: float
    wall: float


def main() -> None:
    options = _options()
    scale = _QUICK if options.quick else 1
    lengths = (SHORT // scale, LONG // scale)
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, marginal costs of {lengths[0]:,} and ",
        end="",
    )
    print(f"{lengths[1]:,} items, medians of {options.rounds} rounds in turn\n")
    print(f"{'':<26}{'without':^20}{'with':^22}{'ratio':^16}")
    print(f"{'µs an item':<26}{'CPU':>9}{'wall':>9}{'CPU':>13}{'wall':>9}{'CPU':>10}{'wall':>8}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / HANDLERS.name).symlink_to(HANDLERS)
        for feature in _chosen(options.rows):
            print_row(feature.name, *measure(feature, lengths, options.rounds, Path(folder)))


def measure(feature: Feature, lengths: tuple[int, int], rounds: int, folder: Path) -> tuple[Cost, Cost]:
    """Return what an item costs without the feature, and with it."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(rounds):
        for topology, those in zip((feature.without, feature.has), costs, strict=True):
            those.append(marginal_cost(topology, lengths, folder))
    return median_cost(costs[0]), median_cost(costs[1])


def marginal_cost(topology: Topology, lengths: tuple[int, int], folder: Path) -> Cost:
    """Return what each item costs of those that a longer run carries beyond a shorter one."""
    path = folder / "features.yaml"
    readings = []
    for count in lengths:
        path.write_text(topology.workflow(count))
        readings.append(run_once([installed_mprun(), "run", "--no-record", path], timeout=TIMEOUT))
    short, long = readings
    each = 1e6 / (lengths[1] - lengths[0])
    return Cost((long.cpu - short.cpu) * each, (long.seconds - short.seconds) * each)


def median_cost(costs: Iterable[Cost]) -> Cost:
    costs = list(costs)
    return Cost(statistics.median(c.cpu for c in costs), statistics.median(c.wall for c in costs))


def print_row(name: str, without: Cost, has: Cost) -> None:
    cpu, wall = has.cpu / without.cpu, has.wall / without.wall
    verdict = "" if cpu <= TARGET else f"  over {TARGET:g}"
    print(
        f"{name:<26}{without.cpu:>9.2f}{without.wall:>9.2f}{has.cpu:>13.2f}{has.wall:>9.2f}"
        f"{cpu:>10.2f}{wall:>8.2f}{verdict}",
        flush=True,
    )


def _chosen(beginnings: list[str]) -> list[Feature]:
    chosen = [each for each in features() if not beginnings or each.name.startswith(tuple(beginnings))]
    if not chosen:
        names = ", ".join(each.name for each in features())
        sys.exit(f"no feature begins with {' or '.join(beginnings)}; features: {names}")
    return chosen


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what each feature costs an item.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run (default 3)")
    parser.add_argument(
        "--rows", nargs="*", default=[], metavar="BEGINNING", help="only features whose names begin so"
    )
    parser.add_argument("--quick", action="store_true", help=f"a {_QUICK}th of the items")
    return parser.parse_args()


if __name__ == "__main__":
    main()
