"""What is known of a watched run at any moment, folded from its events."""

from __future__ import annotations

from typing import Any

import pytest
from run_events import READY, SPAWNED, exited, finished, progress, started, state_after, worker_counts

from runner.events.base import Event
from runner.events.jobs import JobFinished, JobRetried, JobStarted, StepStarted
from runner.events.run import (
    ItemFailed,
    RunOutcome,
    RunStopping,
    RunWorkers,
    StageTimed,
    WorkerSpawned,
)
from runner.spec.failures import OnError
from runner.spec.model import JobResult
from runner.watch.state import RunPhase, RunState
from runner.watch.workers import WorkerCondition


def test_the_phase_follows_the_run_from_its_start_to_its_end() -> None:
    events: list[tuple[Event, RunPhase]] = [
        (started(), RunPhase.STARTING),
        (SPAWNED, RunPhase.RUNNING),
        (RunStopping(reason="Ctrl-C", signal="SIGINT", alive=[]), RunPhase.STOPPING),
        (progress(1.0), RunPhase.STOPPING),
        (finished(RunOutcome.INTERRUPTED), RunPhase.ENDED),
    ]
    state = RunState()
    phases = []
    for at, (event, _) in enumerate(events):
        state.observe(event.stamped(float(at), "d5fc"))
        phases.append(state.phase)

    assert phases == [phase for _, phase in events]
    assert ("Ctrl-C", RunOutcome.INTERRUPTED, 1, "boom", 9.0) == (
        state.stop_reason,
        state.outcome,
        state.exit_code,
        state.reason,
        state.elapsed,
    )
    assert ("d5fc", "shop", "shop.yaml", "leased", 7) == (
        state.run,
        state.workflow,
        state.file,
        state.transport,
        state.pid,
    )


def test_a_run_whose_runner_is_gone_was_killed_unless_it_had_said_its_last_word() -> None:
    killed = state_after((1.0, started()), (3.0, progress(2.0)))
    killed.was_killed()
    assert (RunPhase.KILLED, 3.0, None) == (killed.phase, killed.ended, killed.outcome)

    ended = state_after((1.0, started()), (3.0, finished()))
    ended.was_killed()
    assert (RunPhase.ENDED, RunOutcome.DONE) == (ended.phase, ended.outcome)


def test_rates_and_shares_are_of_the_last_seconds_and_of_the_whole_run() -> None:
    state = state_after(
        (0.0, started()),
        *((at, progress(at, sent=int(100 * at), done=int(10 * at), busy=at / 2)) for at in (0.25, 5.0)),
        (10.0, progress(10.0, sent=1000, done=300, busy=7.0, starved=1.0)),
    )

    lister, parser = state.stages()
    assert (["lister", "parser"], True, ("pages",), "pages") == (
        [each.name for each in state.stages()],
        lister.is_producer,
        lister.targets,
        parser.source,
    )
    assert (1000, 100.0, 300, 50.0, 30.0) == (
        lister.passed,
        lister.rate,
        parser.passed,
        parser.rate,
        parser.mean_rate,
    )
    assert parser.now == pytest.approx((0.9, 0.2, 0.0))
    assert parser.whole == pytest.approx((0.7, 0.1, 0.0))
    assert 0.2 == pytest.approx(parser.whole.idle)

    (queue,) = state.queues()
    assert (0.5, 0.5, ("lister",), ("parser",), 25) == (
        queue.fill,
        queue.full_share,
        queue.writers,
        queue.readers,
        queue.size,
    )


def test_before_the_first_snapshot_there_are_stages_and_queues_that_have_done_nothing() -> None:
    state = state_after((0.0, started()))

    assert [(each.name, each.passed, each.rate, each.alive) for each in state.stages()] == [
        ("lister", 0, 0.0, 0),
        ("parser", 0, 0.0, 0),
    ]
    assert [(each.account, each.fill, each.maxsize) for each in state.queues()] == [(None, 0.0, 50)]
    assert state.bottleneck() is None
    assert not RunState().stages()


def test_the_stage_that_holds_the_run_back_is_named_while_it_runs_by_the_last_seconds() -> None:
    state = state_after(
        (0.0, started()),
        *((at, progress(at, sent=100, done=100, busy=0.0)) for at in (1.0, 100.0)),
        *((at, progress(at, sent=200, done=100 + int(at), busy=at - 100)) for at in (105.0, 110.0)),
    )

    sentence = state.bottleneck()
    assert sentence is not None
    assert sentence.startswith("parser is the bottleneck: its one worker was busy 100%")
    assert state.report().bottleneck is None  # it was idle for most of the run

    state.observe(finished().stamped(111.0, "d5fc"))
    assert state.bottleneck() is None


def test_the_report_so_far_has_what_was_counted_up_to_the_last_snapshot() -> None:
    report = state_after((0.0, started()), (4.0, progress(4.0, sent=40, done=20, busy=2.0))).report()

    assert (40, 20, 0.5) == (
        report.stage("lister").sent,
        report.stage("parser").done,
        report.stage("parser").busy,
    )
    assert (40, 4.0) == (report.queue("pages").put, report.seconds)


def test_a_worker_goes_on_with_what_it_was_at_until_something_else_is_told_of_it() -> None:
    counts = worker_counts(done=3, busy=1.0, starved=1.0, item="'x'", since=2.0)
    state = state_after((0.0, started()), (0.0, SPAWNED), (0.1, READY), (2.0, RunWorkers(workers=[counts])))

    (worker,) = state.workers(now=6.0)
    assert (WorkerCondition.BUSY, "'x'", 2.0, 5.0, 1.0) == (
        worker.condition,
        worker.item,
        worker.since,
        worker.busy_seconds,
        worker.starved_seconds,
    )
    assert worker.now == pytest.approx((1.0, 0.0, 0.0))
    assert 5 / 6 == pytest.approx(worker.whole.busy)


def test_the_rate_of_a_worker_is_of_the_last_seconds() -> None:
    rows = [(float(at), RunWorkers(workers=[worker_counts(done=10 * at)])) for at in range(8)]
    (worker,) = state_after((0.0, started()), (0.0, SPAWNED), *rows).workers()

    assert 10.0 == pytest.approx(worker.rate)


def test_what_a_worker_did_counts_over_its_deaths_and_its_deaths_are_counted() -> None:
    state = state_after(
        (0.0, started()),
        (0.0, SPAWNED),
        (1.0, RunWorkers(workers=[worker_counts(done=3)])),
        (2.0, exited(done=5, items=["'x'"])),
        (3.0, WorkerSpawned(worker="parser", stage="parser", pid=11, ppid=7, generation=2, daemon=False)),
        (4.0, RunWorkers(workers=[worker_counts("starved", done=6, pid=11, generation=2)])),
    )

    (worker,) = state.workers()
    assert (6, 11, 2, 1, 1, WorkerCondition.STARVED) == (
        worker.done,
        worker.pid,
        worker.generation,
        worker.restarts,
        worker.deaths,
        worker.condition,
    )
    assert [("SIGKILL", ("'x'",), 2.0)] == [(each.signal, each.items, each.at) for each in worker.endings]

    state.observe(exited("finished", done=4, generation=2).stamped(5.0, "d5fc"))
    (worker,) = state.workers(now=99.0)
    assert (9, WorkerCondition.FINISHED, 5.0, None) == (
        worker.done,
        worker.condition,
        worker.ended,
        worker.item,
    )


def test_failures_come_by_kind_with_samples_and_are_not_among_the_notable_events() -> None:
    failures = [
        ItemFailed(
            worker="parser",
            stage="parser",
            queue="pages",
            item=f"'{n}'",
            error=f"ValueError: {n}",
            action=OnError.SKIP,
        )
        for n in range(3)
    ]
    state = state_after((0.0, started()), *((float(n), each) for n, each in enumerate(failures)))

    (kind,) = state.failures()
    assert (3, ["'0'", "'1'", "'2'"], (0.0, 2.0)) == (
        kind.kind.n,
        [sample.item for sample in kind.samples],
        (kind.kind.first, kind.kind.last),
    )
    assert ["run.started"] == [event.kind for event in state.recent]


def test_what_was_given_out_does_not_change_with_what_follows() -> None:
    state = state_after((0.0, started()), (1.0, exited()))
    before = state.failures()
    state.observe(exited().stamped(2.0, "d5fc"))

    assert [1, 2] == [before[0].kind.n, state.failures()[0].kind.n]


def test_times_and_series_are_those_of_the_record() -> None:
    timed = StageTimed(
        stage="parser", buckets=[{"bucket": 9, "least": 1e-6, "items": 4}], slowest=2.0, slowest_item="'x'"
    )
    state = state_after(
        (0.0, started()), (1.0, timed), *((at, progress(at, done=int(4 * at))) for at in (0.25, 0.5, 1.0))
    )

    assert (4, "'x'") == (state.stages()[1].times.items, state.stages()[1].times.slowest_item)
    series = state.series("stage/parser/done")
    assert series is not None
    assert (2.0, 2.0, 4.0) == (series.values[1], series.values[2], series.values[-1])
    assert state.series("stage/parser/none") is None
    assert "queue/pages/size" in state.series_names()


def test_a_job_has_its_step_and_since_when_it_is_what_it_is() -> None:
    begin: dict[str, Any] = {"log": "test.log", "worker": "jobs", "needs": ["build"]}
    state = state_after(
        (0.0, started(jobs=2)),
        (1.0, JobStarted(job="test", attempt=1, reason="build passed", **begin)),
        (2.0, StepStarted(job="test", step=1, name="pytest")),
    )
    (job,) = state.jobs()
    assert ("test", "running", 1.0, "pytest", 2.0, ("build",), 1, False) == (
        job.name,
        job.state,
        job.since,
        job.step,
        job.step_since,
        job.needs,
        job.attempts,
        job.is_over,
    )

    state.observe(JobRetried(job="test", attempt=2, reason="flaky", delay=1.0).stamped(3.0, "d5fc"))
    assert ("retrying", 3.0, None) == (state.jobs()[0].state, state.jobs()[0].since, state.jobs()[0].step)

    end = JobFinished(
        job="test",
        result=JobResult.PASSED,
        exitcode=0,
        signal=None,
        duration=1.0,
        attempt=2,
        reason="all steps passed",
        log="test.log",
        command=[],
    )
    state.observe(end.stamped(9.0, "d5fc"))
    job = state.jobs()[0]
    assert ("passed", 1.0, 9.0, True) == (job.state, job.began, job.ended, job.is_over)
