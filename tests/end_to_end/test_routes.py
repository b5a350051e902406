"""Random graphs of stages with broadcasts, routes, error routes and loops, under random kills and failures.

    seed ──► graph ──► a run, with kills ──► what each sink has written ──► equal to what the graph makes, by hand
                                        └──► the ledger of each queue ────► as many put and done as there have to be

Sinks are files that mprun writes exactly once, so the oracle is the effects of a run, and not a counter.
`MPRUN_ROUTES=300` plays so many graphs instead of the first few.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import textwrap
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from killed_runners import run_killed

from runner.composition import run_file

ALL = int(os.environ.get("MPRUN_ROUTES", "48"))
PER_TEST = 6
MOST_KILLS = 8

KITCHEN = """
    import asyncio, random, time, zlib
    from mprun import Route

    def made(name):
        return {"id": name, "n": zlib.crc32(name.encode()) % 10}

    def nap(most):
        time.sleep(random.random() * most)

    def source(name, count, most):
        for number in range(count):
            nap(most)
            yield made(f"{name}-{number}")

    def choose(name, count, most, targets):
        for number in range(count):
            nap(most)
            item = made(f"{name}-{number}")
            yield Route(targets[item["n"] % len(targets)], item)

    def fail(item, bad):
        if item["n"] in bad:
            raise ValueError(item["id"])

    def one(item, most, bad):
        fail(item, bad)
        nap(most)
        return item

    def heal(failure, most, bad):
        item = failure["item"]
        assert failure["error"] == f"ValueError: {item['id']}", failure
        assert failure["attempts"] >= 1
        nap(most)
        return made(item["id"] + "." + failure["stage"])

    def two(item, most, bad):
        fail(item, bad)
        nap(most)
        yield made(item["id"] + ".0")
        nap(most)
        yield made(item["id"] + ".1")

    def route(item, most, bad, targets):
        fail(item, bad)
        nap(most)
        return Route(targets[item["n"] % len(targets)], item)

    def spin(item, most, bad, targets, back):
        fail(item, bad)
        for number in range(item["n"] % 3 if item["id"].count("~") < 3 else 0):
            nap(most)
            yield Route(back, made(f"{item['id']}~{number}"))
        yield Route(targets[item["n"] % len(targets)], item)

    async def cor(item, most, bad):
        fail(item, bad)
        await asyncio.sleep(random.random() * most)
        return item

    def hand(inbox, outbox, most, bad):
        while True:
            item = inbox.get()
            nap(most)
            outbox.put(made(item["id"] + ".0"))
            inbox.task_done()

    def many(items, most, bad):
        for item in items:
            fail(item, bad)
            nap(most)
            yield item

    class Pass:
        def __init__(self, most, bad):
            self.most, self.bad = most, bad

        def __call__(self, item):
            fail(item, self.bad)
            nap(self.most)
            return item

        def flush(self):
            nap(self.most)

    class Count:
        def __init__(self, most, bad):
            self.most, self.bad, self.seen = most, bad, 0

        def __call__(self, item):
            fail(item, self.bad)
            self.seen += 1
            nap(self.most)
            yield item
            yield made(item["id"] + ".c")
    """

Item = dict[str, Any]


def made(name: str) -> Item:
    return {"id": name, "n": zlib.crc32(name.encode()) % 10}


MAKES = {
    "one": lambda item: [item],
    "two": lambda item: [made(item["id"] + ".0"), made(item["id"] + ".1")],
    "route": lambda item: [item],
    "cor": lambda item: [item],
    "hand": lambda item: [made(item["id"] + ".0")],
    "heal": lambda item: [made(f"{item['item']['id']}.{item['stage']}")],
    "many": lambda item: [item],
    "Pass": lambda item: [item],
    "Count": lambda item: [item, made(item["id"] + ".c")],
}
KEYS = {
    "cor": ", concurrency: 4",
    "many": ", batch: {size: 5, wait: 5ms}",
    "Pass": ", flush: {items: 5, every: 20ms}",
    "Count": ", state: {checkpoint: {every: 20ms}}",
}


@dataclass
class Node:
    """A queue, and the stage that reads it: a pipe with `targets`, or a sink."""

    number: int
    kind: str = "sink"
    count: int = 1
    targets: list[int] = field(default_factory=list)
    style: str = "all"
    """How it chooses among them: `all`, `conditions`, `handler`."""
    limit: int = 5
    bad: list[int] = field(default_factory=list)
    bounds: str = ""
    errors: int = -1
    """The queue that its failures go to."""
    heals: bool = False
    """Whether it gets failures."""
    back: int = -1
    """The queue that it writes back to."""
    loop: bool = False
    unique: bool = False
    more: str = ""
    """What else the stage says that reads it."""

    def ways(self, item: Item) -> list[int]:
        """Name the queues that an output goes to."""
        if self.style == "handler":
            return [self.targets[item["n"] % len(self.targets)]]
        if self.style == "all" or len(self.targets) == 1:
            return self.targets
        first, *others = self.targets
        # The first takes what is below the limit, the last is for the rest, all in between take everything.
        some = [first] if item["n"] < self.limit else []
        some += others[:-1]
        return some or [others[-1]]

    def outputs(self, item: Item) -> list[tuple[int, Item]]:
        """Return what is made of an item, and where each goes."""
        if self.kind != "spin":
            return [(to, out) for out in MAKES[self.kind](item) for to in self.ways(out)]
        turns = item["n"] % 3 if item["id"].count("~") < 3 else 0
        rounds = [(self.back, made(f"{item['id']}~{number}")) for number in range(turns)]
        return [*rounds, (self.targets[item["n"] % len(self.targets)], item)]

    def to(self) -> str:
        """The same, as the file has it."""
        names = [f"q{number}" for number in self.targets]
        if self.back >= 0:
            names.append(f"q{self.back}")
        if self.style != "conditions" or len(names) == 1:
            return f"[{', '.join(names)}]"
        between = "".join(f"{name}: true, " for name in names[1:-1])
        return f"{{{names[0]}: 'item.n < {self.limit}', {between}else: {names[-1]}}}"


class Graph:
    """What a seed makes."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.most = chance.choice((0.0, 0.0005, 0.004))
        self.count = chance.randint(1, 120)
        self.nodes = [Node(number) for number in range(chance.randint(3, 7))]
        for node in self.nodes[1:]:
            self.nodes[chance.randrange(node.number)].targets.append(node.number)
        for node in self.nodes:
            self._draw(node)
        self.source = Node(-1, targets=[0], style=chance.choice(("all", "conditions", "handler")))
        self.source.targets += [n.number for n in self.nodes[1:] if chance.random() < 0.2]
        self.kills = chance.randint(0, MOST_KILLS)
        for node in chance.sample(self.nodes, len(self.nodes) // 2):
            self._add_errors(node)
        if chance.random() < 0.5:
            self._add_loop()
        for node in self.nodes:
            node.unique = not node.heals and chance.random() < 0.25

    def _draw(self, node: Node) -> None:
        chance = self.chance
        later = [n.number for n in self.nodes[node.number + 1 :] if n.number not in node.targets]
        node.bounds = chance.choice(("", "maxsize: 1", "maxsize: 7", "max_bytes: 1KiB"))
        if not node.targets:
            return
        node.targets += [number for number in later if chance.random() < 0.3]
        node.kind = chance.choice([kind for kind in MAKES if kind != "heal"])
        node.count = chance.randint(1, 3)
        node.style = chance.choice(("all", "conditions"))
        if node.kind == "route":
            node.style = "handler"
        if node.kind != "many" and chance.random() < 0.2:
            node.more = ", shard_by: item.id"
        elif node.kind != "hand" and len(node.targets) == 1 and chance.random() < 0.3:
            node.more = ", order: keep"
        if chance.random() < 0.05:
            node.more += ", start_method: spawn"

    def _add_errors(self, node: Node) -> None:
        """Have some items of a pipe fail, and a stage read the failures; that passes on what it makes of them."""
        if node.kind in ("sink", "hand", "heal"):
            return
        later = [n.number for n in self.nodes[node.number + 1 :] if not n.heals]
        healer = Node(len(self.nodes), "heal", targets=[later[0]], heals=True)
        healer.bounds = self.chance.choice(("", "maxsize: 1", "when_full: block, max_bytes: 2KiB"))
        node.bad, node.errors = self.chance.sample(range(10), 3), healer.number
        self.nodes.append(healer)

    def _add_loop(self) -> None:
        """Have a pipe write back, to its own queue or to that of a stage before it."""
        pipes = [node for node in self.nodes if node.kind not in ("sink", "heal")]
        node = self.chance.choice(pipes)
        node.kind, node.style, node.more = "spin", "handler", ""
        before = [each for each in pipes if node.number in each.targets]
        back = self.chance.choice([node, *before])
        back.loop, node.back = True, back.number

    def text(self, folder: Path) -> str:
        """The workflow file; what sinks write is in the folder."""
        self.folder = folder
        queues = "".join(f"  q{n.number}: {{{self._keys(n)}}}\n" for n in self.nodes)
        return (
            "name: graph\nlimits: {max_errors: 100%}\n"
            f"queues:\n{queues}stages:\n{self._source()}{''.join(map(self._stage, self.nodes))}"
        )

    def _keys(self, node: Node) -> str:
        more = ["loop: true"] if node.loop else []
        more += ["unique: item.id"] if node.unique else []
        return ", ".join([*more, *([node.bounds] if node.bounds else [])])

    def _source(self) -> str:
        targets = [f"q{number}" for number in self.source.targets]
        chooses = self.source.style == "handler"
        more = f", targets: [{', '.join(targets)}]" if chooses else ""
        return (
            f"  source: {{run: 'kitchen:{'choose' if chooses else 'source'}', to: {self.source.to()}, "
            "deterministic: true, restart: {max: 1000000}, "
            f"with: {{name: s, count: {self.count}, most: {self.most / 4}{more}}}}}\n"
        )

    def _stage(self, node: Node) -> str:
        many = "restart: {max: 1000000}, retry: {attempts: 100, backoff: 1ms}"
        if node.kind == "sink":
            run = f"{{jsonl: {{path: '{self.folder}/out-{node.number}'}}}}"
            return f"  c{node.number}: {{run: {run}, from: q{node.number}, {many}}}\n"
        if node.errors >= 0:
            many = many.replace("attempts: 100", "attempts: 100, on: OSError")
            many += f", on_error: {{to: q{node.errors}}}"
        targets = ", ".join(f"q{number}" for number in node.targets)
        # What is tried again and has a key holds up those behind it, so that one is in hand.
        singly = node.kind == "cor" and "shard_by" in node.more
        keys = "" if singly else KEYS.get(node.kind, "")
        more = f", targets: [{targets}]" if node.style == "handler" else ""
        more += f", back: q{node.back}" if node.back >= 0 else ""
        return (
            f"  p{node.number}: {{run: 'kitchen:{node.kind}', from: q{node.number}, to: {node.to()}, "
            f"count: {node.count}{keys}{node.more}, {many}, "
            f"with: {{most: {self.most}, bad: {node.bad}{more}}}}}\n"
        )

    def expected(self) -> dict[int, Counter[str]]:
        """Return the items of each queue, by hand."""
        self.failed: Counter[int] = Counter()
        self.twice: Counter[int] = Counter()
        found: dict[int, Counter[str]] = {node.number: Counter() for node in self.nodes}
        waiting = [
            (number, item)
            for item in (made(f"s-{number}") for number in range(self.count))
            for number in self.source.ways(item)
        ]
        while waiting:
            number, item = waiting.pop()
            node = self.nodes[number]
            name = item["id"] if "id" in item else item["item"]["id"]
            if node.unique and name in found[number]:
                self.twice[number] += 1
                continue
            found[number][name] += 1
            if item.get("n") in node.bad:
                self.failed[number] += 1
                waiting.append((node.errors, {"item": item, "stage": f"p{number}"}))
            elif node.kind != "sink":
                waiting += node.outputs(item)
        return found


class Killer:
    """An observer that kills workers which are at work."""

    def __init__(self, chance: random.Random, kills: int) -> None:
        self._chance, self._kills = chance, kills
        self._alive: dict[str, int] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def observe(self, event: Any) -> None:
        """Learn who is there."""
        with self._lock:
            if event.kind == "worker.ready":
                self._alive[event.worker] = event.pid
            elif event.kind == "worker.exited":
                self._alive.pop(event.worker, None)

    def close(self) -> None:
        """Nothing to flush."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While inside, it kills."""
        thread = threading.Thread(target=self._strike)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _strike(self) -> None:
        for _ in range(self._kills):
            if self._over.wait(self._chance.uniform(0.005, 0.06)):
                return
            with self._lock:
                if self._alive:
                    name = self._chance.choice(sorted(self._alive))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._alive.pop(name), signal.SIGKILL)


def play(seed: int, folder: Path) -> list[str]:
    """Run the graph of a seed; say what is wrong with it."""
    graph = Graph(seed)
    folder.mkdir()
    (folder / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    (folder / "graph.yaml").write_text(graph.text(folder), encoding="utf-8")
    killer = Killer(random.Random(seed + 1_000_000), graph.kills)
    with killer.at_work():
        report = run_file(folder / "graph.yaml", observers=[killer])
    expected = graph.expected()
    written = {n.number: _written(folder / f"out-{n.number}") for n in graph.nodes if n.kind == "sink"}
    wrong = [
        f"q{number}: {list((expected[number] - found).items())[:5]} missing, "
        f"{list((found - expected[number]).items())[:5]} too many"
        for number, found in written.items()
        if found != expected[number]
    ]
    for queue in report.queues:
        number = int(queue.name[1:])
        new, failed, twice = expected[number].total(), graph.failed[number], graph.twice[number]
        is_so = (queue.put, queue.done, queue.dropped, queue.duplicates)
        if is_so != (new + twice, new - failed, failed, twice):
            wrong.append(f"{queue.name}: {queue} and not {new} new, {failed} failed, {twice} seen before")
    if (report.outcome, report.balanced) != ("done", True):
        wrong.append(f"{report.outcome}: {report.reason}")
    return [f"seed {seed}: {each}" for each in wrong]


def _written(file: Path) -> Counter[str]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return Counter(json.loads(line)["id"] for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, ALL, PER_TEST))
def test_every_branch_is_complete_and_once_whatever_is_killed(first: int, tmp_path: Path) -> None:
    wrong = [
        each for seed in range(first, min(ALL, first + PER_TEST)) for each in play(seed, tmp_path / str(seed))
    ]

    assert [] == wrong


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_every_branch_is_complete_and_once_over_deaths_of_the_runner(seed: int, tmp_path: Path) -> None:
    graph, chance = Graph(seed), random.Random(seed)
    graph.most = max(graph.most, 0.002)
    (tmp_path / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    (tmp_path / "flow.yaml").write_text(graph.text(tmp_path), encoding="utf-8")

    for place in [*(f"cut {chance.randint(2, 8)}" for _ in range(4)), "never"]:
        done = run_killed(tmp_path, place, os.environ)

    assert 0 == done.returncode, done.stderr
    expected = graph.expected()
    assert {} == {
        node.number: dict(found - expected[node.number]) | dict(expected[node.number] - found)
        for node in graph.nodes
        if node.kind == "sink"
        and (found := _written(tmp_path / f"out-{node.number}")) != expected[node.number]
    }


STOPPED = """
    import time
    from pathlib import Path

    GO = Path(__file__).with_name("go")

    def count():
        yield from range(1000)

    def wait(item):
        while not GO.exists():
            time.sleep(0.005)

    def last(item):
        if item == 999:
            GO.touch()
    """


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "ends", "dropped"),
    [
        ("maxsize: 5", False, False),
        ("maxsize: 1000", True, False),
        ("maxsize: 5, when_full: drop_newest", True, True),
        ("maxsize: 5, when_full: drop_oldest", True, True),
    ],
)
def test_a_reader_that_stops_holds_back_the_other_branch_only_where_its_queue_says_so(
    tmp_path: Path, keys: str, ends: bool, dropped: bool
) -> None:
    """The one waits for the last item of the other."""
    (tmp_path / "stopped.py").write_text(textwrap.dedent(STOPPED), encoding="utf-8")
    (tmp_path / "w.yaml").write_text(
        f"name: w\nlimits: {{stall_timeout: 300ms, close_timeout: 10ms}}\nqueues: {{a: {{{keys}}}}}\nstages:\n"
        "  count: {run: 'stopped:count', to: [a, b]}\n"
        "  wait: {run: 'stopped:wait', from: a}\n  last: {run: 'stopped:last', from: b}\n"
    )

    report = run_file(tmp_path / "w.yaml")

    a, b = (next(queue for queue in report.queues if queue.name == name) for name in "ab")
    assert (ends, dropped) == (report.outcome == "done", a.dropped > 0), report.reason
    assert (b.done == 1000) if ends else (b.put < 50)
    assert report.balanced


HALVES = """
    from mprun import Route

    def begin():
        yield 6

    def halve(numbers):
        for number in numbers:
            yield Route("out", number)
            for _ in range(2 if number else 0):
                yield Route("round", number - 1)

    def end(number):
        pass
    """


@pytest.mark.parametrize("transport", ["leased", "inline"])
def test_conditions_failures_and_loops_are_the_same_under_each_transport(
    tmp_path: Path, transport: str
) -> None:
    """Numbers below 30 go round doubled and plus one, each once; 13 can't be handled."""
    (tmp_path / "turns.py").write_text(textwrap.dedent(NUMBERS), encoding="utf-8")
    (tmp_path / "w.yaml").write_text(
        f"name: w\ntransport: {transport}\nqueues: {{todo: {{loop: true, unique: item, maxsize: 1}}}}\nstages:\n"
        "  begin: {run: 'turns:begin', to: todo}\n"
        "  turn: {run: 'turns:turn', from: todo, to: {todo: false, even: item.even, odd: '!item.even'}, count: 2, "
        "on_error: {to: failed}}\n"
        + "".join(
            f"  {name}: {{run: 'turns:write', from: {name}, with: {{name: {name}}}}}\n"
            for name in ("even", "odd", "failed")
        )
    )

    report = run_file(tmp_path / "w.yaml")

    found = {
        name: sorted(map(int, (tmp_path / name).read_text().split())) for name in ("even", "odd", "failed")
    }
    seen = sorted(number for those in found.values() for number in those)
    assert ("done", 0, True) == (report.outcome, report.exit_code, report.balanced), report.reason
    assert (list(range(1, 60)), [13]) == (sorted({*seen, 26, 27, 52, 53, 54, 55}), found["failed"])
    assert all(number % 2 == 0 for number in found["even"]) and all(number % 2 for number in found["odd"])
    assert len(seen) == len(set(seen))


NUMBERS = """
    from pathlib import Path
    from mprun import Route

    def begin():
        yield 1

    def turn(number):
        if number == 13:
            raise ValueError("unlucky")
        for next in (2 * number, 2 * number + 1) if number < 30 else ():
            yield Route("todo", next)
        yield {"number": number, "even": number % 2 == 0}

    def write(item, name):
        with Path(__file__).with_name(name).open("a") as file:
            print(item["item"] if name == "failed" else item["number"], file=file)
    """


def test_a_batch_on_a_loop_waits_for_nobody_who_could_not_add_to_it(tmp_path: Path) -> None:
    (tmp_path / "halves.py").write_text(textwrap.dedent(HALVES), encoding="utf-8")
    (tmp_path / "w.yaml").write_text(
        "name: w\nlimits: {timeout: 20s}\nqueues: {round: {loop: true, maxsize: 1}}\nstages:\n"
        "  begin: {run: 'halves:begin', to: round}\n"
        "  halve: {run: 'halves:halve', from: round, to: [round, out], count: 2, batch: {size: 50, wait: 10s}}\n"
        "  end: {run: 'halves:end', from: out}\n"
    )

    report = run_file(tmp_path / "w.yaml")

    assert ("done", 2 * (2**7 - 1)) == (report.outcome, sum(queue.done for queue in report.queues)), (
        report.reason
    )
