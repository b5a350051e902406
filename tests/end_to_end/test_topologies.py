"""Random topologies under random kills and stops. The oracle is the files that consumers wrote, never a counter alone.

    seed ──► stages, queues, transport ──► a run, and what befalls it ──► files ──► exit 0: everything, and once
                                                                                └─► else: what the report says of them

`MPRUN_TOPOLOGIES=500` plays so many of them instead of the first hundred.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.composition import run_file
from runner.events.report import Report

PER_TEST = 20
ALL = int(os.environ.get("MPRUN_TOPOLOGIES", "100"))
MOST_KILLS = 10
TOGETHER = 4
"""Items of a batch, or between two flushes."""

KITCHEN = """
    import os, random, time
    from pathlib import Path

    HERE = Path(__file__).parent

    def nap(most):
        time.sleep(random.random() * most)

    def source(name, count, most):
        try:
            for number in range(count):
                nap(most)
                yield f"{name}-{number}"
        finally:
            write("ended", name)

    def one(item, most, bad):
        fail(item, bad)
        nap(most)
        return item

    def two(item, most, bad):
        fail(item, bad)
        nap(most)
        yield item + ".0"
        nap(most)
        yield item + ".1"

    def hand(inbox, outbox, most, bad):
        while True:
            item = inbox.get()
            fail(item, bad)
            outbox.put(item)
            nap(most)
            inbox.task_done()

    def hands(inbox, outbox, most, bad):
        while True:
            item = inbox.get()
            fail(item, bad)
            outbox.put(f"{item}.0")
            nap(most)
            outbox.put(f"{item}.1")
            nap(most)
            inbox.task_done()

    def eat(item, most, bad):
        fail(item, bad)
        nap(most)
        write("eaten", item)

    class Keep:
        def __init__(self, most, bad):
            self.most, self.bad, self.items = most, bad, []

        def __call__(self, item):
            fail(item, self.bad)
            nap(self.most)
            self.items.append(item)

        def close(self):
            for item in self.items:
                write("eaten", item)

    class Flush(Keep):
        def flush(self):
            items, self.items = self.items, []
            for item in items:
                write("eaten", item)

    class Total:
        # Its state is kept; what it comes to replaces what a worker that died here had written.
        def __init__(self, most, bad, worker):
            self.most, self.bad, self.file, self.items = most, bad, f"total-{worker.name}", []

        def __call__(self, item):
            fail(item, self.bad)
            nap(self.most)
            self.items.append(item)

        def close(self):
            replace(self.file, self.items)

    class Count(Total):
        # Puts on what it counts.
        def __call__(self, item):
            super().__call__(item)
            yield f"{item}.0"
            nap(self.most)
            yield f"{item}.1"

        def close(self):
            replace(self.file.replace("total", "count"), self.items)

    class Pass:
        # Puts on what is safe only once it is flushed.
        def __init__(self, most, bad):
            self.most, self.bad, self.items = most, bad, []

        def __call__(self, item):
            fail(item, self.bad)
            nap(self.most)
            self.items.append(item)
            return item

        def flush(self):
            nap(self.most)
            for item in self.items:
                write("flushed", item)
            self.items = []

    def batch(items, most, bad):
        for item in items:
            fail(item, bad)
        nap(most)
        for item in items:
            write("eaten", item)

    def many(items, most, bad):
        for item in items:
            fail(item, bad)
            nap(most)
            yield item

    def fail(item, bad):
        if bad and item == bad:
            raise ValueError(f"{item} is bad")

    def replace(file, lines):
        (HERE / f"{file}.new").write_text("".join(f"{line}\\n" for line in lines))
        os.replace(HERE / f"{file}.new", HERE / file)

    def write(file, line):
        out = os.open(HERE / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(out, f"{line}\\n".encode())
        os.close(out)
    """
MAKES: dict[str, Callable[[str], list[str]]] = {
    "one": lambda item: [item],
    "two": lambda item: [f"{item}.0", f"{item}.1"],
    "hand": lambda item: [item],
    "hands": lambda item: [f"{item}.0", f"{item}.1"],
    "Pass": lambda item: [item],
    "many": lambda item: [item],
    "Count": lambda item: [f"{item}.0", f"{item}.1"],
}
HELD = {
    "Pass": f", flush: {{items: {TOGETHER}, every: 20ms}}",
    "many": f", batch: {{size: {TOGETHER}, wait: 5ms}}",
    "Count": ", state: {checkpoint: {every: 20ms}}",
    "Total": ", state: {checkpoint: {every: 20ms}}",
    "Flush": f", flush: {{items: {TOGETHER}, every: 20ms}}",
    "batch": f", batch: {{size: {TOGETHER}, wait: 5ms}}",
}
"""What the stages say whose outputs wait until what they are made from is done, and whose items do."""
BY_HAND = ("hand", "hands")
"""Drive their queues, and say that an item is done once all is put that is made of it."""
IN_ONE_MESSAGE = {"one", *BY_HAND, *HELD}
"""Under `leased` their outputs and the word that an item is done are one message."""
FATES = ("none", "kills", "kills", "stop", "kills and stop", "failure", "timeout")


@dataclass
class Topology:
    """What one seed makes: a workflow, what it comes to if all goes well, and what befalls it."""

    seed: int
    transport: str = "leased"
    fate: str = "none"
    queues: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    levels: list[tuple[str, int]] = field(default_factory=list)
    """What the stages of each level make of an item, and how many workers they have."""
    sources: list[str] = field(default_factory=list)
    totals: bool = False
    """Whether there are consumers that keep all to the end, in a state."""
    expected: list[str] = field(default_factory=list)
    together: int = 1
    """Items that a consumer may have done, and said nothing of, when it is killed."""
    limits: str = ""

    @property
    def text(self) -> str:
        """The workflow file."""
        queues = "".join(f"  q{number}: {{{keys}}}\n" for number, keys in enumerate(self.queues))
        return (
            f"name: topology\ntransport: {self.transport}\nlimits: {{max_errors: 0{self.limits}}}\n"
            f"queues:\n{queues}stages:\n{''.join(self.stages)}"
        )


class Draw:
    """Draws a topology."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.made = Topology(seed)

    def topology(self) -> Topology:
        """Draw all of it."""
        chance, made = self.chance, self.made
        made.transport = chance.choices(("leased", "joinable", "inline"), (8, 1, 1))[0]
        fates = FATES if made.transport == "leased" else [fate for fate in FATES if "kills" not in fate]
        made.fate = chance.choice(fates)
        if made.fate == "timeout":
            made.limits = f", timeout: {chance.randint(150, 400)}ms"
        elif "stop" in made.fate:
            made.limits = f", stop_timeout: {chance.choice((20, 100, 500))}ms"
        self.most = chance.choice((0.0, 0.001, 0.006))
        sources = self.sources()
        pipes = [self.pipe(level) for level in range(chance.randint(0, 3))]
        made.expected = made.sources = sources
        for kind, _ in pipes:
            made.expected = [output for item in made.expected for output in MAKES[kind](item)]
        made.levels = pipes
        self.consumers(len(pipes))
        made.queues = [self.queue() for _ in range(len(pipes) + 1)]
        return made

    def sources(self) -> list[str]:
        """Draw the producers, and return their items."""
        restart = ", deterministic: true, restart: {max: 1000000}" if "kills" in self.made.fate else ""
        items = []
        for name in ("s", "t")[: self.chance.randint(1, 2)]:
            count = self.chance.randint(1, 250)
            items += [f"{name}-{number}" for number in range(count)]
            self.made.stages.append(
                f"  {name}: {{run: 'kitchen:source', to: q0{restart}, "
                f"with: {{name: {name}, count: {count}, most: {self.most / 4}}}}}\n"
            )
        self.bad = self.chance.choice(items) if self.made.fate == "failure" else ""
        return items

    def pipe(self, level: int) -> tuple[str, int]:
        """Draw the stages between two queues; all of them make the same of an item."""
        usual = [kind for kind in MAKES if self.made.transport == "leased" or kind not in HELD]
        kind = self.chance.choice(usual)
        names = [f"p{level}{letter}" for letter in "ab"[: self.chance.choice((1, 1, 2))]]
        workers = 0
        for name in names:
            count = self.chance.randint(1, 3)
            workers += count
            alone = len(names) == 1 and self.made.transport == "leased"
            more = self.chance.choice(("", "", ", order: keep", self.shard(kind))) if alone else ""
            if kind in BY_HAND:
                more = more.replace(", order: keep", "")
            self.reader(name, kind, level, count, f", to: q{level + 1}{more}")
        return kind, workers

    def consumers(self, level: int) -> None:
        """Draw what reads the last queue. One that keeps its items to the end is for runs without kills."""
        names = [f"c{letter}" for letter in "ab"[: self.chance.choice((1, 1, 2))]]
        for name in names:
            handler, more = self.chance.choice(self.ways_to_eat())
            if handler in ("batch", "Flush"):
                self.made.together = TOGETHER
            self.made.totals |= handler == "Total"
            if len(names) == 1 and self.made.transport == "leased":
                more += self.chance.choice(("", "", "", self.shard(handler)))
            self.reader(name, handler, level, self.chance.randint(1, 3), more)

    def shard(self, handler: str) -> str:
        """Lists of one shard know no `retry`, without which kills would be failures."""
        return "" if handler in ("batch", "many") else ", shard_by: item"

    def ways_to_eat(self) -> list[tuple[str, str]]:
        """Handlers of consumers, and what their stages say."""
        ways = [("eat", "")]
        if "kills" not in self.made.fate:
            ways.append(("Keep", ", state: none"))
        if self.made.transport == "leased":
            ways += [("batch", ""), ("Flush", ""), ("Total", ""), ("Total", "")]
        return ways

    def reader(self, name: str, handler: str, level: int, count: int, more: str) -> None:
        """Add a stage that reads."""
        more += HELD.get(handler, "")
        if self.made.transport == "leased":
            more += ", restart: {max: 1000000}, retry: {attempts: 100, backoff: 1ms}"
            if self.made.fate == "failure":
                more = more.replace("attempts: 100", "attempts: 1")
        method = "spawn" if self.made.transport == "leased" and self.chance.random() < 0.03 else "fork"
        self.made.stages.append(
            f"  {name}: {{run: 'kitchen:{handler}', from: q{level}, count: {count}, start_method: {method}{more}, "
            f"with: {{most: {self.most}, bad: '{self.bad}'}}}}\n"
        )

    def queue(self) -> str:
        """Draw the bounds of a queue."""
        keys = ["", f"maxsize: {self.chance.randint(1, 4)}", f"maxsize: {self.chance.randint(5, 60)}"]
        if self.made.transport == "leased":
            keys.append("max_bytes: 1KiB")
        return self.chance.choice(keys)


class Fate:
    """Lets happen to a run what is to happen. An observer: it knows who is alive."""

    def __init__(self, topology: Topology) -> None:
        self.chance = random.Random(topology.seed + 1_000_000)
        self.fate = topology.fate
        self.alive: dict[str, int] = {}
        self.kills = 0
        self.over = threading.Event()
        self.lock = threading.Lock()

    def observe(self, event: Any) -> None:
        """Learn who is there."""
        with self.lock:
            if event.kind == "worker.ready":
                self.alive[event.worker] = event.pid
            elif event.kind in ("worker.exited", "worker.terminating"):
                self.alive.pop(event.worker, None)

    def close(self) -> None:
        """Nothing to flush."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While inside, it strikes."""
        # One that comes too late hits this program; and a run heeds none that its program ignores.
        before = signal.signal(signal.SIGTERM, lambda *_: None)
        thread = threading.Thread(target=self.strike)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()
            signal.signal(signal.SIGTERM, before)

    def strike(self) -> None:
        """Kill some, and stop the run."""
        rounds = self.chance.randint(1, MOST_KILLS) if "kills" in self.fate else 0
        for _ in range(rounds):
            if self.over.wait(self.chance.uniform(0.005, 0.06)):
                return
            self.kill_one()
        if "stop" in self.fate and not self.over.wait(self.chance.uniform(0.05, 0.3)):
            os.kill(os.getpid(), signal.SIGTERM)

    def kill_one(self) -> None:
        """Kill somebody who is ready, as nobody is to blame for."""
        with self.lock:
            if self.alive:
                name = self.chance.choice(sorted(self.alive))
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(self.alive.pop(name), signal.SIGKILL)
                    self.kills += 1


@dataclass
class Outcome:
    """What came of a run."""

    report: Report
    eaten: Counter[str]
    """What consumers have written, and how often."""
    totals: Counter[str]
    """What states of consumers held in the end."""
    counted: dict[int, Counter[str]]
    """The same of pipe stages, by level."""
    kills: int


def play(topology: Topology, folder: Path) -> Outcome:
    """Run it."""
    folder.mkdir()
    (folder / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    (folder / "topology.yaml").write_text(topology.text, encoding="utf-8")
    fate = Fate(topology)
    with fate.at_work():
        report = run_file(folder / "topology.yaml", observers=[fate])
    counts = [level for level, (kind, _) in enumerate(topology.levels) if kind == "Count"]
    counted = {level: words_in(folder, f"count-p{level}*") for level in counts}
    return Outcome(report, words_in(folder, "eaten"), words_in(folder, "total-*[0-9]"), counted, fate.kills)


def words_in(folder: Path, files: str) -> Counter[str]:
    """Count what stands in some files."""
    return Counter(
        word for file in folder.glob(files) if file.suffix != ".new" for word in file.read_text().split()
    )


def faults_of(topology: Topology, outcome: Outcome) -> list[str]:
    """Say what must not be."""
    report, kills, expected = outcome.report, outcome.kills, Counter(topology.expected)
    eaten = outcome.eaten + outcome.totals
    lines, repeated = eaten.total(), (eaten - expected).total()
    faults = list(faults_of_states(topology, outcome))
    if not report.balanced:
        faults.append(f"does not add up: {report.queues}")
    if set(eaten) - set(expected):
        faults.append(f"eaten and never made: {set(eaten) - set(expected)}")
    at_stake = kills * topology.together
    if repeated > at_stake:
        faults.append(f"{repeated} eaten twice, with {kills} kills: {eaten - expected}")
    if report.exit_code == 0 and expected - eaten:
        faults.append(f"exit 0, and lost: {expected - eaten}")
    if report.exit_code not in codes_of(topology.fate):
        faults.append(f"exit {report.exit_code}: {report.reason}")
    done = report.queue(f"q{len(topology.levels)}").done
    # A state dies with its worker where the run has to end before another can take it over.
    surely = 0 if topology.totals and kills and report.exit_code else done
    if not surely <= lines <= done + at_stake:
        faults.append(f"{done} done, {lines} eaten, {kills} kills")
    for level, (kind, workers) in enumerate(topology.levels):
        made = report.queue(f"q{level}").done * len(MAKES[kind](""))
        put = report.queue(f"q{level + 1}").put
        at_once = kind in IN_ONE_MESSAGE and topology.transport == "leased"
        begun = 0 if at_once else workers * len(MAKES[kind](""))
        if not made <= put <= made + begun:
            faults.append(f"level {level}, {kind}: {made} made of what is done, {put} put")
    return faults


def faults_of_states(topology: Topology, outcome: Outcome) -> Iterator[str]:
    """Each item is in one state, once: whoever is killed, no other effect is exactly once."""
    if again := outcome.totals - Counter(topology.expected):
        yield f"in a total twice: {again}"
    items = topology.sources
    for level, (kind, _) in enumerate(topology.levels):
        given = Counter(items)
        counted = outcome.counted.get(level, given)
        if counted - given:
            yield f"level {level}: counted twice: {counted - given}"
        if outcome.report.exit_code == 0 and given - counted:
            yield f"level {level}: exit 0, and not counted: {given - counted}"
        items = [output for item in items for output in MAKES[kind](item)]


def codes_of(fate: str) -> tuple[int, ...]:
    """The exit codes that a run may come to; one that is quick is over before its fate comes."""
    return {"failure": (1,), "timeout": (0, 5)}.get(fate, (0, 143) if "stop" in fate else (0,))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, ALL, PER_TEST))
def test_what_a_run_says_is_what_was_done(tmp_path: Path, first: int) -> None:
    found = {}
    for seed in range(first, first + PER_TEST):
        topology = Draw(seed).topology()
        if faults := faults_of(topology, play(topology, tmp_path / str(seed))):
            found[seed] = (topology.fate, topology.text, faults)

    assert {} == found
