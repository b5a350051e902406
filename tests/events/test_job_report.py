"""Histories of jobs, and what each of them comes to."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_histories import (
    cancelled,
    event,
    finished,
    fold,
    fold_jobs,
    one_job,
    retried,
    run_finished,
    run_started,
    service_exited,
    skipped,
    started,
    step_finished,
)

from runner.events.base import Event
from runner.events.job_report import (
    MOST_LOST_ATTEMPTS,
    JobLine,
    JobReport,
    JobState,
    RunResult,
    job_report_schema,
)
from runner.events.report import report_schema

GREEN = [run_started(1), *one_job("lint", 1.0, 3.5), run_finished()]
HISTORIES = {
    "green": (GREEN, RunResult.PASSED, [JobState.PASSED]),
    "yellow": (
        [run_started(1), *one_job("lint", 0, 1, "allowed"), run_finished()],
        RunResult.ALLOWED,
        [JobState.ALLOWED],
    ),
    "red": (
        [run_started(1), *one_job("lint", 0, 1, "failed"), run_finished(1)],
        RunResult.FAILED,
        [JobState.FAILED],
    ),
    "too slow": (
        [run_started(1), *one_job("lint", 0, 1, "timed_out"), run_finished(1)],
        RunResult.FAILED,
        [JobState.TIMED_OUT],
    ),
    "red beside yellow": (
        [*one_job("lint", 0, 1, "allowed"), *one_job("test", 0, 2, "failed")],
        RunResult.FAILED,
        [JobState.ALLOWED, JobState.FAILED],
    ),
    "skipped is no failure": (
        [*one_job("lint", 0, 1), skipped("deploy", reason="if: it is not main")],
        RunResult.PASSED,
        [JobState.PASSED, JobState.SKIPPED],
    ),
    "cancelled before it began": (
        [cancelled("e2e"), run_finished(1)],
        RunResult.FAILED,
        [JobState.CANCELLED],
    ),
    "cancelled while it ran": (
        [started("e2e"), cancelled("e2e"), finished("e2e", 2, "cancelled", signal="SIGTERM")],
        RunResult.FAILED,
        [JobState.CANCELLED],
    ),
    "cancelled before it was tried again": (
        [started("e2e"), retried("e2e"), cancelled("e2e")],
        RunResult.FAILED,
        [JobState.CANCELLED],
    ),
    "broken off": ([run_started(3), started("lint")], RunResult.FAILED, [JobState.RUNNING]),
    "passed, but the run failed": ([*GREEN[:-1], run_finished(1)], RunResult.FAILED, [JobState.PASSED]),
    "nothing decided of the second": ([run_started(2), *GREEN[1:]], RunResult.FAILED, [JobState.PASSED]),
}


def told(history: list[Event]) -> JobReport:
    job_report = fold_jobs(history)
    assert job_report is not None
    return job_report


def line_of(history: list[Event], job: str = "lint") -> JobLine:
    return next(line for line in told(history).jobs if line.job == job)


@pytest.mark.parametrize("name", HISTORIES)
def test_a_run_has_one_of_three_colours(name: str) -> None:
    history, result, states = HISTORIES[name]

    job_report = told(history)

    assert (result, states) == (job_report.result, [line.state for line in job_report.jobs])


def test_a_run_of_stages_has_no_job_report() -> None:
    assert fold_jobs([run_started(), run_finished()]) is None


def test_a_run_of_no_jobs_at_all_is_green() -> None:
    assert RunResult.PASSED == told([run_started(0), run_finished()]).result


def test_a_line_says_when_for_how_long_and_with_which_end() -> None:
    line = line_of(
        [run_started(at=0.0), *one_job("lint", 1.0, 3.5, "failed", exitcode=2, reason="step 1 failed")]
    )

    assert (1.0, 3.5, 2.5) == (line.started_after, line.ended_after, line.seconds)
    assert (JobState.FAILED, 2, None, 1, "step 1 failed") == (
        line.state,
        line.exitcode,
        line.signal,
        line.attempts,
        line.reason,
    )
    assert ("logs/lint.log", ("mprun", "run", "ci.yaml", "--job", "lint")) == (line.log, line.command)


def test_the_first_step_that_failed_is_named_and_those_of_lost_attempts_are_forgotten() -> None:
    line = line_of(
        [
            started("lint"),
            step_finished("lint", 1, "fetch", result="failed"),
            retried("lint"),
            started("lint", attempt=2),
            step_finished("lint", 1, "fetch"),
            event("step.started", job="lint", step=2, name="check"),
            step_finished("lint", 2, "check", result="failed"),
            step_finished("lint", 3, "clean up", result="failed"),
            finished("lint", 5.0, "failed", attempt=2),
        ]
    )

    assert "check" == line.failed_step
    assert ["passed", "failed", "failed"] == [step.result for step in line.steps]


def test_lost_attempts_are_kept_with_their_reasons_and_their_time_counts() -> None:
    line = line_of(
        [
            run_started(),
            started("lint", 1.0),
            retried("lint", 2.0, reason="attempt 1 exited with 75"),
            started("lint", 2.5, attempt=2),
            finished("lint", 4.0, attempt=2),
        ]
    )

    assert (2, ("attempt 1 exited with 75",), 3.0) == (line.attempts, line.lost, line.seconds)


def test_what_is_kept_of_lost_attempts_is_bounded() -> None:
    retries = [retried("lint", attempt=n, reason=f"attempt {n - 1} failed") for n in range(2, 100)]
    line = line_of([started("lint"), *retries])

    assert MOST_LOST_ATTEMPTS == len(line.lost)
    assert tuple(f"attempt {n} failed" for n in range(1, MOST_LOST_ATTEMPTS + 1)) == line.lost


def test_the_time_of_a_job_is_told_to_the_microsecond() -> None:
    line = line_of([started("lint", 1.0), finished("lint", 1.12345678)])

    assert 0.123457 == line.seconds


def test_a_job_that_was_silent_too_long_says_so() -> None:
    history = [
        started("lint"),
        event("job.silent", 9.0, job="lint", seconds=8.0),
        finished("lint", 10, "timed_out"),
    ]

    assert 8.0 == line_of(history).silent


def test_a_step_that_never_ended_is_still_running() -> None:
    history = [started("lint"), event("step.started", job="lint", step=1, name="pytest")]

    assert ["running"] == [step.result for step in line_of(history).steps]


@pytest.mark.parametrize(
    ("was_ready", "early", "blamed"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_a_service_that_fell_or_never_was_ready_may_be_to_blame(
    was_ready: bool, early: bool, blamed: bool
) -> None:
    ready = [event("service.ready", job="lint", service="db", seconds=0.1)] if was_ready else []
    line = line_of(
        [started("lint"), *ready, service_exited("lint", early=early), finished("lint", 2, "failed")]
    )

    assert blamed == (line.failed_service is not None)
    assert [("db", was_ready, 4)] == [(each.service, each.was_ready, each.exitcode) for each in line.services]


def test_services_of_a_lost_attempt_are_forgotten() -> None:
    history = [
        started("lint"),
        service_exited("lint"),
        retried("lint"),
        started("lint", attempt=2),
        finished("lint"),
    ]

    assert () == line_of(history).services


def test_the_critical_path_leads_through_needs() -> None:
    job_report = told(
        [
            run_started(),
            *one_job("build", 0.0, 3.0),
            *one_job("lint", 0.0, 4.0),
            *one_job("test", 3.0, 9.0, needs=["build"]),
        ]
    )

    assert (("build", "test"), 9.0) == (job_report.critical_path, job_report.critical_seconds)


def test_a_skipped_job_is_not_on_the_critical_path() -> None:
    jobs = [
        *one_job("build", 0.0, 3.0),
        skipped("lint", needs=["build"]),
        *one_job("test", 3.0, 9.0, needs=["lint"]),
    ]
    job_report = told([run_started(), *jobs])

    assert ("build", "test") == job_report.critical_path


@pytest.mark.slow
def test_the_report_holds_the_story_and_meets_its_schema() -> None:
    for history, *_ in HISTORIES.values():
        jsonschema.validate(json.loads(json.dumps(fold(history).as_dict())), report_schema())


VALIDATOR = jsonschema.Draft202012Validator(report_schema())
ALL_EVENTS = [each for history, *_ in HISTORIES.values() for each in history]


@given(st.lists(st.sampled_from(ALL_EVENTS)))
def test_any_order_of_events_folds_to_a_valid_job_report(history: list[Event]) -> None:
    VALIDATOR.validate(json.loads(json.dumps(fold([run_started(3), *history]).as_dict())))


def test_the_schema_says_what_each_field_means() -> None:
    schema = job_report_schema()
    line = schema["properties"]["jobs"]["items"]
    parts = [schema, line, line["properties"]["steps"]["items"]]

    assert all(field["description"] for part in parts for field in part["properties"].values())
    assert all("type" in field or "enum" in field for part in parts for field in part["properties"].values())
