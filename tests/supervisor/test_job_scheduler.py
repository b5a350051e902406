"""The scheduler, without processes: a transport that only takes notes, a bus that only listens."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jobs_specs import job, leg

from runner.errors import UsageError
from runner.events.base import Event
from runner.events.bus import Bus
from runner.ipc.messages import Reported
from runner.jobs.masking import Masker
from runner.jobs.plan import QUEUE, plan_jobs
from runner.jobs.requests import JobRequest, RequestBuilder, Secrets
from runner.jobs.resumption import NO_PAST, JobNote, JobsPast, PastLeg, RunLeg
from runner.spec.jobs.model import AttemptsSpec, JobSpec
from runner.spec.model import WorkflowSpec
from runner.supervisor import outcome
from runner.supervisor.job_scheduler import JobScheduler


@dataclass
class Stage:
    """Everything round a scheduler."""

    jobs: tuple[JobSpec, ...]
    secrets: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)
    given: list[JobRequest] = field(default_factory=list)
    revoked: list[tuple[str, int]] = field(default_factory=list)
    swept: list[Collection[int]] = field(default_factory=list)

    past: JobsPast = NO_PAST
    noted: list[JobNote] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=self.jobs), 4)
        builder = RequestBuilder(plan, Secrets(), Path("/logs"), Path("/home"))
        bus = Bus("run", observers=[self])
        self.scheduler = JobScheduler(
            plan, self, bus, builder, Masker(self.secrets), self.swept.append, self.past, self.noted.append
        )
        self.over = self.scheduler.feed()

    def feed(self, queue: str, item: object) -> None:
        assert QUEUE == queue
        assert isinstance(item, JobRequest)
        self.given.append(item)

    def revoke(self, worker: str, number: int) -> None:
        self.revoked.append((worker, number))

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None: ...

    def say(self, what: str, request: object, worker: str = "worker-1", **fields: Any) -> None:
        self.scheduler.reported(Reported(worker, what, {"request": request, **fields}))
        self.over = self.scheduler.feed()

    def told(self, name: str) -> list[dict[str, Any]]:
        return [dict(vars(event)) for event in self.events if event.kind == name]


ENDED = {"exitcode": 0, "signal": None, "duration": 0.5, "outputs": {}, "reason": "it exited with code 0"}


def test_a_request_is_given_and_what_is_reported_of_it_becomes_events() -> None:
    stage = Stage((job("a"),))

    stage.say("begun", 1, log="/logs/0001-a.log")
    stage.say("step.started", 1, step=1, name="true")
    stage.say("ended", 1, result="passed", **ENDED)

    assert ["job.started", "step.started", "job.finished"] == [event.kind for event in stage.events]
    [started], [finished] = stage.told("job.started"), stage.told("job.finished")
    assert ("a", 1, "it needs nothing", "worker-1") == tuple(
        started[key] for key in ("job", "attempt", "reason", "worker")
    )
    assert ("passed", ["mprun", "run", "w.yaml", "--job", "a"]) == (finished["result"], finished["command"])
    assert (True, None) == (stage.over, stage.scheduler.cause())


def test_gossip_about_a_request_that_is_not_under_way_is_not_heard() -> None:
    stage = Stage((job("a"),))

    for request in (7, "1", None, 1.0, True and "x"):
        stage.say("ended", request, result="failed", **ENDED)
    stage.say("run.finished", 1)
    stage.say("nonsense", 1)

    assert ([], False) == (stage.events, stage.over)


def test_a_word_that_makes_no_sense_ends_the_attempt_and_not_the_run() -> None:
    stage = Stage((job("a"),))

    stage.say("begun", 1, log="x")
    stage.say("ended", 1, result="splendid", outputs=[1], duration=None)

    assert ("failed", True) == (stage.told("job.finished")[0]["result"], stage.over)


def test_failures_fail_the_run_and_allowed_ones_are_not() -> None:
    stage = Stage((job("a"), job("b", may_fail=True)))
    for number in (1, 2):
        stage.say("begun", number, log="x")
        stage.say("ended", number, **{**ENDED, "result": "failed", "exitcode": 1})

    assert outcome.failed("job 'a' failed") == stage.scheduler.cause()


def test_many_failures_are_named_up_to_a_point() -> None:
    stage = Stage(tuple(job(name) for name in "abcdef"))
    for number in range(1, 7):
        stage.say("ended", number, **{**ENDED, "result": "failed"})

    assert outcome.failed("6 jobs failed: a, b, c and 3 more") == stage.scheduler.cause()


def test_a_lost_worker_is_swept_after_and_its_attempt_made_again() -> None:
    stage = Stage((job("a", attempts=AttemptsSpec(max=2, backoff=0.0)),))
    stage.say("begun", 1, worker="worker-1", log="x")

    stage.scheduler.worker_lost("worker-1", "killed by SIGKILL", [10, 11])
    stage.say("returned", 1, worker="worker-2")

    assert [[10, 11]] == stage.swept
    [retried] = stage.told("job.retried")
    assert "its worker was killed by SIGKILL; it is tried again at once, 1 attempt left" == retried["reason"]
    assert [(1, 1), (2, 2)] == [(request.number, request.attempt) for request in stage.given]


def test_stopping_revokes_what_has_begun_and_what_begins_later() -> None:
    stage = Stage((job("a"), job("b"), job("c", needs="a")))
    stage.say("begun", 1, worker="worker-1", log="x")

    assert stage.scheduler.stop(outcome.interrupted(signal.SIGINT))
    stage.scheduler.feed()
    stage.say("begun", 2, worker="worker-2", log="x")

    assert [("worker-1", 1), ("worker-2", 2)] == stage.revoked
    assert not stage.scheduler.stop(outcome.interrupted(signal.SIGINT))


def test_what_never_ran_is_cancelled_without_an_end() -> None:
    stage = Stage((job("a"), job("b", needs="a")))
    stage.say("begun", 1, log="x")
    stage.scheduler.stop(outcome.interrupted(signal.SIGTERM))
    stage.say("ended", 1, **{**ENDED, "result": "cancelled"})

    assert [("a", "stopped by SIGTERM"), ("b", "stopped by SIGTERM")] == [
        (event["job"], event["reason"]) for event in stage.told("job.cancelled")
    ]
    assert (["a"], True) == ([event["job"] for event in stage.told("job.finished")], stage.over)


def test_what_was_cut_off_is_told_once_no_worker_is_left() -> None:
    stage = Stage((job("a"), job("b", needs="a", condition="always()")))
    stage.say("begun", 1, log="x")

    stage.scheduler.break_off("stopped by SIGTERM")
    stage.scheduler.wrap_up()
    stage.scheduler.wrap_up()

    [ended] = stage.told("job.finished")
    assert ("a", "cancelled", "SIGKILL") == (ended["job"], ended["result"], ended["signal"])
    assert ["a", "b"] == [event["job"] for event in stage.told("job.cancelled")]


def test_an_attempt_that_was_cut_off_does_not_end_as_the_one_before_it() -> None:
    stage = Stage((job("a", attempts=AttemptsSpec(max=2, backoff=0.0)),))
    stage.say("begun", 1, log="x")
    stage.say("ended", 1, **{**ENDED, "result": "failed", "exitcode": 3})
    stage.say("begun", 2, log="x")

    stage.scheduler.break_off("stopped by SIGTERM")
    stage.scheduler.wrap_up()

    [ended] = stage.told("job.finished")
    assert (2, None, "SIGKILL") == (ended["attempt"], ended["exitcode"], ended["signal"])


def test_a_job_that_is_up_to_date_is_skipped_and_never_began() -> None:
    stage = Stage((job("a"),))

    stage.say("ended", 1, **{**ENDED, "result": "skipped", "reason": "up to date"})

    assert ["job.skipped"] == [event.kind for event in stage.events]


def test_secrets_are_masked_in_reasons() -> None:
    stage = Stage((job("a"),), secrets=("s3cr3t",))

    stage.say("begun", 1, log="x")
    ended = {"exitcode": 1, "signal": None, "duration": 0.1, "result": "failed", "reason": "it said s3cr3t"}
    stage.say("step.finished", 1, step=1, name="x", **ended)
    stage.say("ended", 1, **{**ENDED, "result": "failed", "reason": "s3cr3t it was"})

    assert ("it said ***", "*** it was") == (
        stage.told("step.finished")[0]["reason"],
        stage.told("job.finished")[0]["reason"],
    )


def test_values_reach_the_requests_of_those_that_need_them() -> None:
    taker = job("b", needs="a")
    taker = JobSpec("b", (leg("b", env={"V": "[${{ needs.a.outputs.v }}]"}),), taker.needs)
    stage = Stage((job("a", values=("v",)), taker))

    stage.say("ended", 1, **{**ENDED, "result": "passed", "outputs": {"v": "1 $HOME"}})

    assert "[1 $HOME]" == stage.given[1].env["V"]


def test_a_report_that_lacks_something_is_not_passed_on_and_breaks_nothing() -> None:
    stage = Stage((job("a"),))
    stage.say("begun", 1, log="x")

    stage.say("step.started", 1, step=1)
    stage.say("step.started", 1, step=2, name="true", colour="red")
    stage.say("step.started", 1, step=3, name="true")

    assert [3] == [told["step"] for told in stage.told("step.started")]


def test_how_far_each_job_is_can_be_asked() -> None:
    stage = Stage((job("a"), job("b", needs="a"), job("c", needs="a b")))
    stage.say("begun", 1, log="x")
    stage.say("step.started", 1, step=2, name="make")

    a, b, c = stage.scheduler.status()

    assert ("a", "running", 1, (), "2: make") == tuple(
        a[key] for key in ("job", "state", "attempt", "waits_for", "step")
    )
    assert [("waiting", ("a",), None), ("waiting", ("a", "b"), None)] == [
        (each["state"], each["waits_for"], each["elapsed"]) for each in (b, c)
    ]


def test_a_job_can_be_cancelled_whether_it_runs_or_waits_and_then_the_run_has_failed() -> None:
    stage = Stage((job("a"), job("b", needs="a"), job("c", needs="b"), job("d")))
    stage.say("begun", 1, log="x")

    assert (["b"], ["a"]) == (stage.scheduler.cancel("b", "by hand"), stage.scheduler.cancel("a", "by hand"))
    stage.scheduler.feed()
    stage.say("ended", 1, **{**ENDED, "result": "cancelled"})
    stage.say("ended", 2, **{**ENDED, "result": "passed"})

    assert [("worker-1", 1)] == stage.revoked
    assert ["b", "a"] == [event["job"] for event in stage.told("job.cancelled")]
    assert ["c"] == [event["job"] for event in stage.told("job.skipped")]
    assert (True, outcome.failed("2 jobs were cancelled: b, a")) == (stage.over, stage.scheduler.cause())


def test_a_leg_is_cancelled_alone_and_what_is_not_there_or_is_over_is_not() -> None:
    stage = Stage((job("t", legs=2), job("a")))

    assert ["t (2)"] == stage.scheduler.cancel("t (2)", "by hand")
    for name, why in (
        ("t (2)", "job 't (2)' is over already, or about to be"),
        ("x", "the run has no job 'x'"),
    ):
        with pytest.raises(UsageError, match=re.escape(why)):
            stage.scheduler.cancel(name, "by hand")


def test_what_is_kept_is_told_and_what_needs_it_has_its_values() -> None:
    taker = job("b", needs="a")
    taker = JobSpec("b", (leg("b", env={"V": "[${{ needs.a.outputs.v }}]"}),), taker.needs)
    was = PastLeg("passed", 2, outputs={"v": "1"}, reason="it did", exitcode=0, seconds=3.0, ended=5.0)

    stage = Stage((job("a", values=("v",)), taker), past=JobsPast("r0", {"a": was}))

    [kept] = stage.told("job.kept")
    assert ("a", "passed", "r0", 2, 3.0, 5.0) == (
        *(kept[key] for key in ("job", "result", "from_run", "attempt", "duration", "ended")),
    )
    assert ("b", 1, "[1]") == (stage.given[0].leg, stage.given[0].attempt, stage.given[0].env["V"])
    assert [("a", {"v": "1"})] == [(note.leg, note.outputs) for note in stage.noted]


def test_a_leg_that_was_begun_before_goes_on_with_the_next_attempt_and_says_so_in_its_log() -> None:
    a = job("a", attempts=AttemptsSpec(max=2, backoff=0.0))
    begun = RunLeg(a.legs[0], "attempt 1 was lost with the runner", 1, 1)
    stage = Stage((a,), past=JobsPast("run", begun={"a": begun}))

    stage.say("begun", 1, log="x")
    stage.say("ended", 1, **{**ENDED, "result": "failed", "exitcode": 3})

    why = "it needs nothing; attempt 1 was lost with the runner"
    notice = f"attempt 2 of this run: {why}; files are as they were left"
    assert [(2, notice), (3, "")] == [(request.attempt, request.notice) for request in stage.given]
    assert "/logs/0001-a.2.log" == stage.given[0].log
    assert [("a", 1)] == [(note.leg, note.lost) for note in stage.noted]


def test_what_is_to_be_known_of_a_job_is_noted_before_its_end_is_told() -> None:
    stage = Stage((job("a", values=("v",)), job("b", condition="failure()")))

    stage.say("begun", 1, log="x")
    stage.say("ended", 1, **{**ENDED, "result": "passed", "outputs": {"v": "1"}})

    assert [("b", None, {}), ("a", 0, None), ("a", None, {"v": "1"})] == [
        (note.leg, note.lost, note.outputs) for note in stage.noted
    ]
    assert all(note.digests for note in stage.noted)
