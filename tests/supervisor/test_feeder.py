"""A queue that is fed from inside the supervisor: when it ends, and who is asked when the run has to."""

from __future__ import annotations

import math
import signal
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jobs_specs import job

from runner.events.bus import Bus
from runner.ipc.messages import Exited, Fact, Finished, Reported
from runner.ipc.status_page import Counters, Pulse, Sighting
from runner.jobs.plan import QUEUE, plan_jobs
from runner.ledger.accounts import Account
from runner.ledger.prefetch import OneByOne
from runner.process.watchdog import PidRegistry
from runner.spec.limits import Limits
from runner.spec.model import WorkflowSpec
from runner.spec.plan import Plan
from runner.store.dead_letters import DeadLetterStore
from runner.store.run_folder import RunFolder
from runner.supervisor.lifecycle import (
    EndStream,
    Lifecycle,
    MarkFinished,
    MarkJoined,
    QueueAbandoned,
    StartStage,
)
from runner.supervisor.outcome import Cause, failed
from runner.supervisor.supervisor import Supervisor
from runner.transports.base import Spawned

EMPTY = Account(QUEUE, None)


def plan_of(*, timeout: float | None = None) -> Plan:
    spec = WorkflowSpec("w", Path("w.yaml"), (), jobs=(job("a"),), limits=Limits(timeout=timeout))
    return plan_jobs(spec, 1)


def test_a_fed_queue_is_open_until_feeding_has_ended() -> None:
    lifecycle = Lifecycle(plan_of(), ends_when_settled=True)
    begun = lifecycle.decide(lambda _: EMPTY)
    lifecycle.started("worker-1")

    meanwhile = lifecycle.decide(lambda _: EMPTY)
    lifecycle.feeding_ended()
    after = lifecycle.decide(lambda _: EMPTY)

    assert [StartStage("jobs")] == begun
    assert [] == meanwhile
    assert [EndStream(QUEUE, "worker-1"), MarkJoined(QUEUE)] == after


def test_a_fed_queue_whose_readers_have_ended_with_items_left_is_abandoned() -> None:
    lifecycle = Lifecycle(plan_of(), ends_when_settled=True)
    lifecycle.decide(lambda _: EMPTY)
    lifecycle.started("worker-1")
    lifecycle.ended("worker-1")

    decided = lifecycle.decide(lambda _: Account(QUEUE, None, put=1, waiting=1))

    assert {MarkFinished("jobs"), QueueAbandoned(QUEUE)} == set(decided)


def test_one_item_at_a_time_stays_one_however_quick() -> None:
    pace = OneByOne()

    pace.observe(1000, 0.000001)

    assert 1 == pace.most


# ── the supervisor's part ──


@dataclass
class Cook:
    """A feeder that does as it is told, and notes what it hears."""

    feeds: list[bool]
    """What `feed` answers, the last of them for ever."""
    heard_of: list[Any] = field(default_factory=list)
    said: Cause | None = None
    wrapped_up: bool = False
    due: float = math.inf
    ends_its_items: bool = True

    def feed(self) -> bool:
        return self.feeds.pop(0) if len(self.feeds) > 1 else self.feeds[0]

    def reported(self, report: Reported) -> None:
        self.heard_of.append(report)

    def worker_lost(self, worker: str, how: str, alive: Collection[int]) -> None:
        self.heard_of.append((worker, how, list(alive)))

    def stop(self, cause: Cause) -> bool:
        first = not any(isinstance(each, Cause) for each in self.heard_of)
        self.heard_of.append(cause)
        return first

    def break_off(self, reason: str) -> None:
        self.heard_of.append(reason)

    def wrap_up(self) -> None:
        self.wrapped_up = True

    def cause(self) -> Cause | None:
        return self.said


@dataclass
class Kitchen:
    """A transport of one worker that plays rounds of facts; a number is time that passes."""

    rounds: list[Sequence[Fact] | float]
    signals: list[list[signal.Signals]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    now: float = 0.0
    ends_when_settled = True
    tells_when_settled = True
    outlives_workers = True

    def start(self, workers: Sequence[Any]) -> Iterator[Spawned]:
        return (Spawned(7, 1) for _ in workers)

    def moves(self) -> int:
        return -len(self.rounds)

    def wait(self, timeout: float) -> Sequence[Fact]:
        following = self.rounds.pop(0)
        if isinstance(following, float):
            self.now += min(timeout, following)
            if timeout < following:
                self.rounds.insert(0, following - timeout)
            return []
        return following

    def counters(self, worker: str) -> Counters:  # noqa: ARG002 - the transport's interface
        return Counters()

    def sighting(self, worker: str) -> Sighting:  # noqa: ARG002 - the transport's interface
        """Nothing was counted."""
        return Sighting()

    def pulse(self, worker: str) -> Pulse:  # noqa: ARG002 - the transport's interface
        return Pulse()

    def account(self, queue: str) -> Account:
        return Account(queue, None)

    def end_stream(self, queue: str, worker: str) -> None:  # noqa: ARG002 - the transport's interface
        self.asked.append(("end", worker))

    def signal(self, worker: str, number: signal.Signals) -> None:
        self.asked.append((number.name, worker))

    def take(self) -> list[signal.Signals]:
        return self.signals.pop(0) if self.signals else []

    def stopped(self) -> frozenset[str]:
        return frozenset()

    def items_at_stake(self, worker: str) -> list[str]:  # noqa: ARG002 - the transport's interface
        return []

    def stacks(self, workers: Collection[str]) -> dict[str, str]:  # noqa: ARG002 - the transport's interface
        return {}

    def kept_state(self, _worker: str) -> bytes | None:
        return None

    def close_accounts(self) -> None: ...

    def close(self) -> None: ...


GONE = [Finished("worker-1"), Exited("worker-1", 7, 0)]
KILLED = [Exited("worker-1", 7, -9)]


def run(kitchen: Kitchen, cook: Cook, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> Cause | None:
    monkeypatch.setattr("time.monotonic", lambda: kitchen.now)
    plan = plan_of(**limits)
    letters = DeadLetterStore(RunFolder("r", Path("home")), plan)  # makes no file before the first letter
    supervisor = Supervisor(plan, kitchen, Bus("r"), kitchen.take, letters, PidRegistry(), feeder=cook)  # type: ignore[arg-type]
    return supervisor.run()


def test_the_run_ends_when_the_feeder_has_come_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen, cook = Kitchen([[], [], GONE]), Cook([False, False, True])

    assert None is run(kitchen, cook, monkeypatch)
    assert ([("end", "worker-1")], True) == (kitchen.asked, cook.wrapped_up)


def test_reports_and_deaths_are_the_feeders_to_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Reported("worker-1", "begun", {"request": 1})
    kitchen, cook = Kitchen([[report], GONE]), Cook([False, True])

    run(kitchen, cook, monkeypatch)

    assert [report, ("worker-1", "nothing left to do", [])] == cook.heard_of


def test_the_feeders_verdict_is_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed("a job") == run(Kitchen([GONE]), Cook([True], said=failed("a job")), monkeypatch)


def test_the_first_signal_is_for_the_feeder_and_the_second_for_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kitchen = Kitchen([[], [], KILLED], signals=[[signal.SIGINT], [signal.SIGINT]])
    cook = Cook([False])

    cause = run(kitchen, cook, monkeypatch)

    assert cause is not None
    assert (130, [("SIGKILL", "worker-1")]) == (cause.exit_code, kitchen.asked)
    assert "stopped by SIGINT" in cook.heard_of, "it is told when its workers are being ended"


def test_the_time_limit_is_for_the_feeder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen, cook = Kitchen([2.0, 5.0, GONE]), Cook([False] * 12 + [True])

    cause = run(kitchen, cook, monkeypatch, timeout=1.0)

    assert cause is not None
    assert (5, [("end", "worker-1")]) == (cause.exit_code, kitchen.asked)
    assert 1 == sum(isinstance(each, Cause) for each in cook.heard_of)


def test_nobody_is_accused_of_a_stall_while_a_retry_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen, cook = Kitchen([600.0, GONE]), Cook([False])
    cook.feeds = [False] * 3000 + [True]

    assert None is run(kitchen, cook, monkeypatch)
