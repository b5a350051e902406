"""A storm: a random reader is killed every few milliseconds, and every item comes to the sink, once.

    chef ──► cooks ──► eaters      SIGKILL to one of the cooks and eaters, every 10 ms, until the run has ended

The sink counts what it handles in a file that is mapped into its memory, one byte an item, so that what it had counted
survives it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner import process
from runner.events import Event
from runner.report import Report
from runner.run import run_file

EVERY = 0.01
WORKERS = 3
"""Cooks, and eaters. One that is killed is away for as long as a process takes to be born."""

KITCHEN = """
    import mmap, os
    from pathlib import Path

    def steam(count):
        return range(count)

    def turn(item):
        return ~item

    class Eat:
        def __init__(self):
            with open(Path(__file__).with_name("eaten.bin"), "r+b") as file:
                self.eaten = mmap.mmap(file.fileno(), 0)
        def __call__(self, item):
            self.eaten[~item] += 1
"""
WORKFLOW = f"""
    name: storm
    defaults:
      stage:
        restart: {{max: 1000000, within: 1m}}
        retry: {{attempts: 100}}      # of which a death takes one: no item is to blame here
    limits: {{timeout: 10m}}
    stages:
      chef: {{run: "kitchen:steam", with: {{count: COUNT}}, restart: never, retry: {{attempts: 1}}, to: q}}
      cook: {{run: "kitchen:turn", count: {WORKERS}, from: q, to: r}}
      eater: {{run: "kitchen:Eat", count: {WORKERS}, from: r}}
"""


class Storm:
    """Kills one of the readers at each tick of a timer, within the supervisor's own process, and by its pidfd: a number
    may be another's between a worker's death and the event that tells of it."""

    def __init__(self, seed: int, *, merciful: bool) -> None:
        """`merciful`: nobody is killed before it has its handler, so that a busy machine gets on all the same."""
        self._random = random.Random(seed)
        self._since = "worker.ready" if merciful else "worker.spawned"
        self._alive: dict[str, int] = {}
        self.kills = 0
        self.again = 0
        """Items that the sink was killed on."""

    @contextmanager
    def blowing(self) -> Iterator[None]:
        """While inside, readers are killed."""
        before = signal.signal(signal.SIGALRM, lambda *_: self._strike())
        signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def observe(self, event: Event) -> None:
        """Keep count of who is there to be killed."""
        worker = event.fields.get("worker", "")
        if event.name == self._since and event.fields["stage"] != "chef":
            with contextlib.suppress(ProcessLookupError):  # it said so, and died
                self._alive[worker] = os.pidfd_open(event.fields["pid"])
        elif event.name == "worker.exited" and worker in self._alive:
            os.close(self._alive.pop(worker))
        elif event.name == "item.redelivered":
            self.again += event.fields["stage"] == "eater"

    def close(self) -> None:
        """Nothing to flush."""

    def _strike(self) -> None:
        if self._alive:
            self.kills += 1
            with contextlib.suppress(ProcessLookupError):  # dead already, and not told of yet
                victim = self._random.choice(sorted(self._alive))
                signal.pidfd_send_signal(self._alive[victim], signal.SIGKILL)


def weather(folder: Path, count: int, storm: Storm) -> tuple[Report, bytes]:
    """Run so many items through a storm; return the report, and how often the sink handled each."""
    (folder / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    (folder / "storm.yaml").write_text(
        textwrap.dedent(WORKFLOW).replace("COUNT", str(count)), encoding="utf-8"
    )
    (folder / "eaten.bin").write_bytes(bytes(count))
    with storm.blowing():
        report = run_file(folder / "storm.yaml", observers=[storm])
    return report, (folder / "eaten.bin").read_bytes()


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_every_item_comes_through_a_storm_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    storm, before = Storm(seed=count, merciful=count <= 50_000), holdings()

    report, eaten = weather(tmp_path, count, storm)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert [("q", count, count), ("r", count, count)] == [(q.name, q.put, q.done) for q in report.queues]
    assert [] == [number for number, times in enumerate(eaten) if not times][:10]
    assert sum(eaten) - count <= storm.again
    assert before == holdings()


def holdings() -> tuple[list[int], list[str]]:
    """The children and descriptors of this process."""
    return sorted(process.children()), sorted(entry.name for entry in Path("/proc/self/fd").iterdir())
