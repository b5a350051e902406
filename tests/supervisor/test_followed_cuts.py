"""Producers are told what of theirs is kept: those alone who have asked, at once, and after each cut that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from runner.events.run import WorkerOutcome
from runner.record.recorder import NO_RECORD, NoRecord
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.spec.resume import ResumePolicy
from runner.supervisor.cuts import CutParts, RunCuts
from runner.supervisor.shutdown import Phase
from runner.transports.cut import Cut, WriterCut


def plan_of(transport: str = "leased", *, keeps: bool = True) -> Plan:
    lister = StageSpec("lister", HandlerRef("python", "h:go"), {}, ("neo", "alex"), sends="q")
    eater = StageSpec("eater", HandlerRef("python", "h:eat"), {}, ("eater",), receives="q")
    spec = WorkflowSpec("flow", Path("flow.yaml"), (lister, eater), (QueueSpec("q", 10),), transport)
    return replace(make_plan(spec), resume=ResumePolicy(keeps=keeps))


class Recorder(NoRecord):
    """Says what is kept, and when the next cut is due."""

    keeps_cuts = True

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def cut_due(self, *, soon: bool = False) -> float:
        self.asked.append(soon)
        return float("inf")

    def keeps(self, **put: int) -> None:
        self.kept = [WriterCut(worker, count) for worker, count in put.items()]


class Pages:
    """What is written into pages, and what producers have written there."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.awaited: dict[str, int] = {}

    def moves(self) -> int:
        return 0

    def tell_committed(self, worker: str, count: int) -> int:
        self.told.append((worker, count))
        return self.awaited.get(worker, 0)


class Bench:
    """The cuts of a run, whose transport and recorder are played."""

    def __init__(self, plan: Plan | None = None, recorder: NoRecord | None = None) -> None:
        self.recorder, self.pages = Recorder(), Pages()
        parts = SimpleNamespace(transport=self.pages, writer=SimpleNamespace(behind=False))
        self.cuts = RunCuts(plan or plan_of(), cast("CutParts", parts), recorder or self.recorder)

    def look(self) -> Sequence[tuple[str, int]]:
        """Take one if it is due, and return what was told since the last look."""
        self.cuts.take_if_due()
        told, self.pages.told = self.pages.told, []
        return told


def test_who_has_not_asked_is_told_nothing() -> None:
    bench = Bench()
    bench.recorder.keeps(neo=3, alex=4)

    assert [] == bench.look()


def test_who_asks_is_told_at_once_and_then_after_each_cut_that_is_kept() -> None:
    bench, told = Bench(), []
    bench.recorder.keeps(neo=3, alex=4)
    bench.look()
    bench.cuts.followed("alex")
    told.append(bench.look())
    told.append(bench.look())
    bench.recorder.keeps(neo=5, alex=9)
    told.append(bench.look())

    assert [[("alex", 4)], [], [("alex", 9)]] == told


def test_a_cut_is_wanted_soon_as_long_as_somebody_waits_for_more_than_is_kept() -> None:
    bench = Bench()
    bench.pages.awaited["neo"] = 5
    bench.cuts.followed("neo")
    bench.look()
    bench.recorder.keeps(neo=4)
    bench.look()
    bench.look()
    bench.recorder.keeps(neo=5)
    bench.look()
    bench.look()

    assert [True, True, True, True, False] == bench.recorder.asked


def test_who_gives_up_waiting_or_dies_is_not_waited_for() -> None:
    given_up, died = Bench(), Bench()
    for bench in (given_up, died):
        bench.pages.awaited["neo"] = 5
        bench.cuts.followed("neo")
    given_up.pages.awaited.clear()
    neo: Any = SimpleNamespace(plan=SimpleNamespace(name="neo"))
    exited: Any = SimpleNamespace(outcome=WorkerOutcome.DIED)
    died.cuts.worker_ended(neo, exited, Phase.RUNNING)
    for bench in (given_up, died):
        bench.look()
        bench.look()

    assert [False, False] == [bench.recorder.asked[-1] for bench in (given_up, died)]


def test_a_worker_begins_with_what_the_cut_has_that_its_run_goes_on_from() -> None:
    bench = Bench()
    bench.cuts.resume(Cut(writers=(WriterCut("neo", 7),)))

    assert [7, 0] == [bench.cuts.committed_of(name) for name in ("neo", "alex")]


def test_where_no_cut_is_wanted_there_is_nothing_to_tell_and_where_none_can_be_nothing_is_told() -> None:
    unable = NoRecord()
    unable.trouble = "no record of the run is kept: no room"
    benches = [
        Bench(plan_of("joinable")),
        Bench(plan_of(keeps=False)),
        Bench(recorder=NO_RECORD),
        Bench(recorder=unable),
    ]

    assert [None, None, None, 0] == [bench.cuts.committed_of("neo") for bench in benches]
