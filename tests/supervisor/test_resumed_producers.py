"""Producers in a run that another runner had begun: real processes, that die with their run, and every item once."""

from __future__ import annotations

import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.composition import run
from runner.events.report import Report
from runner.record.recorder import NoRecord
from runner.record.resumption import TakenRun
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.store.run_lock import RunLock
from runner.transports.cut import Cut

_PRELUDE = """
import os, signal
from pathlib import Path

HERE = Path(__file__).parent
FIRST = not (HERE / "died").exists()

def die():
    (HERE / "died").touch()
    os.kill(os.getpid(), signal.SIGKILL)

def eat(item):
    with (HERE / "notes.txt").open("a", encoding="utf-8") as notes:
        notes.write(f"{item}\\n")
"""


class LastCut(NoRecord):
    """Keeps the cut that a run ends with, as if its runner had been killed then."""

    keeps_cuts = True

    def __init__(self) -> None:
        self.cuts: list[Cut] = []

    def cut_due(self, *, soon: bool = False) -> float:  # noqa: ARG002 - as recorders have it
        return math.inf

    def cut(self, cut: Cut, began: float | None = None, *, last: bool = False) -> None:  # noqa: ARG002 - as recorders have it
        self.cuts.append(cut)


class Bench:
    """Runs a producer that dies, and then the same run again from its last cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run_twice(self, source: str, target: str = "go", workers: int = 1, **more: Any) -> Report:
        (self.folder / "lives.py").write_text(_PRELUDE + textwrap.dedent(source), encoding="utf-8")
        names = tuple(f"lister-{number}" for number in range(1, workers + 1))
        lister = StageSpec("lister", HandlerRef("python", f"lives:{target}"), {}, names, sends="q", **more)
        eater = StageSpec("eater", HandlerRef("python", "lives:eat"), {}, ("eater",), receives="q")
        path, limits = self.folder / "lives.yaml", Limits(timeout=40.0)
        plan = make_plan(
            WorkflowSpec("lives", path, (lister, eater), (QueueSpec("q", 10),), "leased", limits)
        )
        last = LastCut()
        first = run(plan, recorder=last)
        assert (1, True) == (first.exit_code, (self.folder / "died").exists()), first.reason
        sys.modules.pop("lives", None)
        lock = RunLock(self.folder)
        try:
            return run(plan, recorder=LastCut(), resumed=TakenRun(first.run, 2, lock, last.cuts[-1]))
        finally:
            lock.release()

    def notes(self) -> list[str]:
        return (self.folder / "notes.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    yield Bench(tmp_path)
    sys.modules.pop("lives", None)


_MAKERS = {
    "generator": """
        def go():
            for number in range(3000):
                if number == 2000 and FIRST:
                    die()
                yield number
    """,
    "mappings": """
        def go():
            for number in range(3000):
                if number == 2000 and FIRST:
                    die()
                yield {"n": number}
    """,
    "list": """
        class Listed(list):
            def __iter__(self):
                for number in range(3000):
                    if number == 2000 and FIRST:
                        die()
                    yield number

        def go():
            return Listed()
    """,
    "by hand": """
        def go(queue):
            for number in range(3000):
                if number == 2000 and FIRST:
                    die()
                queue.put(number)
    """,
    "token": """
        def go(resume, worker):
            at = resume or 0
            while at < 3000:
                for number in range(at, at + 30):
                    if number == 2015 and FIRST:
                        (HERE / "token").write_text(str(resume))
                        die()
                    yield number
                at += 30
                worker.checkpoint(at)
    """,
    "token by hand": """
        def go(queue, resume, worker):
            for number in range(resume or 0, 3000):
                if number == 2000 and FIRST:
                    die()
                queue.put(number)
                worker.checkpoint(number + 1)
    """,
    "offset": """
        def go(offset):
            for number in range(offset, 3000):
                if number == 2000 and FIRST:
                    die()
                yield number
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("source", _MAKERS.values(), ids=_MAKERS)
def test_each_item_is_put_once_over_both_runners(bench: Bench, source: str) -> None:
    report = bench.run_twice(source)

    assert (0, None) == (report.exit_code, report.reason)
    made = Counter(bench.notes())
    assert (3000, {1}) == (len(made), set(made.values()))
    assert 3000 == report.queue("q").put == report.queue("q").done


@pytest.mark.slow
def test_several_workers_are_each_compared_with_what_they_made_themselves(bench: Bench) -> None:
    report = bench.run_twice(
        """
        def go(worker):
            for number in range(3000):
                if number == 2000 and FIRST:
                    die()
                yield f"{worker.name} {number}"
        """,
        workers=2,
    )

    assert (0, None) == (report.exit_code, report.reason)
    assert {f"lister-{worker} {number}" for worker in (1, 2) for number in range(3000)} == set(bench.notes())
    assert 6000 == len(bench.notes())


@pytest.mark.parametrize("put", ["yield", "queue.put"])
def test_a_producer_that_gives_something_else_ends_the_run_with_code_6(bench: Bench, put: str) -> None:
    report = bench.run_twice(f"""
        def go({"queue" if put == "queue.put" else ""}):
            for number in range(3000):
                if number == 2000 and FIRST:
                    die()
                {put}({{"n": number if FIRST else -number}})
    """)

    assert (6, "failed") == (report.exit_code, report.outcome)
    assert report.reason is not None
    assert report.reason.startswith("stage 'lister' gave something else at item ")
    assert ": then {'n': " in report.reason
    assert not [note for note in bench.notes() if "-" in note]


def test_a_producer_that_gives_fewer_items_ends_the_run_with_code_6(bench: Bench) -> None:
    report = bench.run_twice("""
        def go():
            for number in range(3000 if FIRST else 1000):
                if number == 2000 and FIRST:
                    die()
                yield number
    """)

    assert 6 == report.exit_code
    assert report.reason is not None
    assert re.match(
        r"stage .lister. gave fewer items than before: then [12],[0-9]{3}, now 1,000; ", report.reason
    )
