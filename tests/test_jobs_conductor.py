"""The conductor, without processes: a pool that only takes notes, a bus that only listens."""

from __future__ import annotations

import signal
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs_specs import job, leg

from runner import verdict
from runner.events import Bus, Event
from runner.facts import Reported
from runner.jobs.conductor import Conductor
from runner.jobs.layout import QUEUE, lay_out
from runner.jobs.masking import Masker
from runner.jobs.order_desk import OrderDesk, Secrets
from runner.jobs.orders import Order
from runner.spec import WorkflowSpec
from runner.spec_jobs import AttemptsSpec, JobSpec


@dataclass
class Stage:
    """Everything round a conductor."""

    jobs: tuple[JobSpec, ...]
    secrets: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)
    given: list[Order] = field(default_factory=list)
    revoked: list[tuple[str, int]] = field(default_factory=list)
    swept: list[Collection[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = lay_out(WorkflowSpec("w", Path("w.yaml"), (), jobs=self.jobs), 4)
        desk = OrderDesk(plan, Secrets(), Path("/logs"), Path("/home"))
        bus = Bus("run", observers=[self])
        self.conductor = Conductor(plan, self, bus, desk, Masker(self.secrets), self.swept.append)
        self.over = self.conductor.feed()

    def feed(self, queue: str, item: object) -> None:
        assert QUEUE == queue
        assert isinstance(item, Order)
        self.given.append(item)

    def revoke(self, worker: str, number: int) -> None:
        self.revoked.append((worker, number))

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None: ...

    def say(self, what: str, order: object, worker: str = "worker-1", **fields: Any) -> None:
        self.conductor.heard(Reported(worker, what, {"order": order, **fields}))
        self.over = self.conductor.feed()

    def told(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.fields) for event in self.events if event.name == name]


ENDED = {"exitcode": 0, "signal": None, "duration": 0.5, "outputs": {}, "reason": "it exited with code 0"}


def test_an_order_is_given_and_what_is_said_of_it_becomes_events() -> None:
    stage = Stage((job("a"),))

    stage.say("begun", 1, log="/logs/0001-a.log")
    stage.say("step.started", 1, step=1, name="true")
    stage.say("ended", 1, result="passed", **ENDED)

    assert ["job.started", "step.started", "job.finished"] == [event.name for event in stage.events]
    [started], [finished] = stage.told("job.started"), stage.told("job.finished")
    assert ("a", 1, "it needs nothing", "worker-1") == tuple(
        started[key] for key in ("job", "attempt", "reason", "worker")
    )
    assert ("passed", ["mprun", "run", "w.yaml", "--job", "a"]) == (finished["result"], finished["command"])
    assert (True, None) == (stage.over, stage.conductor.verdict())


def test_gossip_about_an_order_that_is_not_under_way_is_not_heard() -> None:
    stage = Stage((job("a"),))

    for order in (7, "1", None, 1.0, True and "x"):
        stage.say("ended", order, result="failed", **ENDED)
    stage.say("run.finished", 1)
    stage.say("nonsense", 1)

    assert ([], False) == (stage.events, stage.over)


def test_a_word_that_makes_no_sense_ends_the_attempt_and_not_the_run() -> None:
    stage = Stage((job("a"),))

    stage.say("begun", 1, log="x")
    stage.say("ended", 1, result="splendid", outputs=[1], duration=None)

    assert ("failed", True) == (stage.told("job.finished")[0]["result"], stage.over)


def test_failures_are_the_verdict_and_allowed_ones_are_not() -> None:
    stage = Stage((job("a"), job("b", may_fail=True)))
    for number in (1, 2):
        stage.say("begun", number, log="x")
        stage.say("ended", number, **{**ENDED, "result": "failed", "exitcode": 1})

    assert verdict.failed("job 'a' failed") == stage.conductor.verdict()


def test_many_failures_are_named_up_to_a_point() -> None:
    stage = Stage(tuple(job(name) for name in "abcdef"))
    for number in range(1, 7):
        stage.say("ended", number, **{**ENDED, "result": "failed"})

    assert verdict.failed("6 jobs failed: a, b, c and 3 more") == stage.conductor.verdict()


def test_a_lost_worker_is_swept_after_and_its_attempt_made_again() -> None:
    stage = Stage((job("a", attempts=AttemptsSpec(max=2, backoff=0.0)),))
    stage.say("begun", 1, worker="worker-1", log="x")

    stage.conductor.lost("worker-1", "killed by SIGKILL", [10, 11])
    stage.say("returned", 1, worker="worker-2")

    assert [[10, 11]] == stage.swept
    [retried] = stage.told("job.retried")
    assert "its worker was killed by SIGKILL; it is tried again at once, 1 attempt left" == retried["reason"]
    assert [(1, 1), (2, 2)] == [(order.number, order.attempt) for order in stage.given]


def test_stopping_revokes_what_has_begun_and_what_begins_later() -> None:
    stage = Stage((job("a"), job("b"), job("c", needs="a")))
    stage.say("begun", 1, worker="worker-1", log="x")

    assert stage.conductor.stop(verdict.interrupted(signal.SIGINT))
    stage.conductor.feed()
    stage.say("begun", 2, worker="worker-2", log="x")

    assert [("worker-1", 1), ("worker-2", 2)] == stage.revoked
    assert not stage.conductor.stop(verdict.interrupted(signal.SIGINT))


def test_what_never_ran_is_cancelled_without_an_end() -> None:
    stage = Stage((job("a"), job("b", needs="a")))
    stage.say("begun", 1, log="x")
    stage.conductor.stop(verdict.interrupted(signal.SIGTERM))
    stage.say("ended", 1, **{**ENDED, "result": "cancelled"})

    assert [("a", "stopped by SIGTERM"), ("b", "stopped by SIGTERM")] == [
        (event["job"], event["reason"]) for event in stage.told("job.cancelled")
    ]
    assert (["a"], True) == ([event["job"] for event in stage.told("job.finished")], stage.over)


def test_what_was_cut_off_is_told_once_no_worker_is_left() -> None:
    stage = Stage((job("a"), job("b", needs="a", condition="always()")))
    stage.say("begun", 1, log="x")

    stage.conductor.break_off("stopped by SIGTERM")
    stage.conductor.wrap_up()
    stage.conductor.wrap_up()

    [ended] = stage.told("job.finished")
    assert ("a", "cancelled", "SIGKILL") == (ended["job"], ended["result"], ended["signal"])
    assert ["a", "b"] == [event["job"] for event in stage.told("job.cancelled")]


def test_a_job_that_is_up_to_date_is_skipped_and_never_began() -> None:
    stage = Stage((job("a"),))

    stage.say("ended", 1, **{**ENDED, "result": "skipped", "reason": "up to date"})

    assert ["job.skipped"] == [event.name for event in stage.events]


def test_secrets_are_masked_in_reasons() -> None:
    stage = Stage((job("a"),), secrets=("s3cr3t",))

    stage.say("begun", 1, log="x")
    stage.say("step.finished", 1, step=1, name="x", result="failed", reason="it said s3cr3t")
    stage.say("ended", 1, **{**ENDED, "result": "failed", "reason": "s3cr3t it was"})

    assert ("it said ***", "*** it was") == (
        stage.told("step.finished")[0]["reason"],
        stage.told("job.finished")[0]["reason"],
    )


def test_values_reach_the_orders_of_those_that_need_them() -> None:
    taker = job("b", needs="a")
    taker = JobSpec("b", (leg("b", env={"V": "[${{ needs.a.outputs.v }}]"}),), taker.needs)
    stage = Stage((job("a", values=("v",)), taker))

    stage.say("ended", 1, **{**ENDED, "result": "passed", "outputs": {"v": "1 $HOME"}})

    assert "[1 $HOME]" == stage.given[1].env["V"]
