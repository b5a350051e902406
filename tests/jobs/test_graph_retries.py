"""Whether an attempt is made again: a table."""

from __future__ import annotations

import pytest
from jobs_specs import leg

from runner.jobs.graph import retry_after
from runner.jobs.outcomes import JobOutcome
from runner.spec.jobs.model import AttemptsSpec
from runner.spec.model import JobResult

FAILED = JobOutcome(JobResult.FAILED, "it exited with code 75", 75)
KILLED = JobOutcome(JobResult.FAILED, "its worker was killed by SIGKILL")
SHOT = JobOutcome(JobResult.FAILED, "it was killed by SIGKILL", signal="SIGKILL")
SHOT_IN_REAL_TIME = JobOutcome(JobResult.FAILED, "it was killed by signal 40", signal="signal 40")
STOPPED = JobOutcome(JobResult.TIMED_OUT, "the attempt took too long", signal="SIGTERM")
TIMED_OUT = JobOutcome(JobResult.TIMED_OUT, "the attempt took too long")


@pytest.mark.parametrize(
    ("policy", "attempt", "ended", "expected"),
    [
        pytest.param(AttemptsSpec(), 1, FAILED, None, id="one attempt is the rule"),
        pytest.param(AttemptsSpec(max=2), 1, FAILED, 1.0, id="one is left"),
        pytest.param(AttemptsSpec(max=2), 2, FAILED, None, id="none is left"),
        pytest.param(AttemptsSpec(max=9), 4, FAILED, 8.0, id="each wait is twice as long"),
        pytest.param(AttemptsSpec(max=99, max_backoff=5.0), 50, FAILED, 5.0, id="up to the longest"),
        pytest.param(AttemptsSpec(max=1000), 999, FAILED, 60.0, id="without an overflow"),
        pytest.param(AttemptsSpec(max=2, on=(75,)), 1, FAILED, 1.0, id="worth it"),
        pytest.param(AttemptsSpec(max=2, on=(1, 2)), 1, FAILED, None, id="not worth it"),
        pytest.param(AttemptsSpec(max=2, on=(1,)), 1, KILLED, 1.0, id="a lost attempt has no exit code"),
        pytest.param(AttemptsSpec(max=2, on=(137,)), 1, SHOT, 1.0, id="a signal has the code of a shell"),
        pytest.param(AttemptsSpec(max=2, on=(168,)), 1, SHOT_IN_REAL_TIME, 1.0, id="also one without a name"),
        pytest.param(AttemptsSpec(max=2, on=(75,)), 1, SHOT, None, id="and may not be worth it"),
        pytest.param(AttemptsSpec(max=2, on=(75,)), 1, STOPPED, 1.0, id="unless it was stopped, out of time"),
        pytest.param(AttemptsSpec(max=2), 1, TIMED_OUT, 1.0, id="out of the attempt's time"),
        pytest.param(
            AttemptsSpec(max=2),
            1,
            JobOutcome(JobResult.TIMED_OUT, "out of time", for_good=True),
            None,
            id="out of the job's time",
        ),
        pytest.param(AttemptsSpec(max=2), 1, JobOutcome(JobResult.PASSED, "fine"), None, id="passed"),
        pytest.param(AttemptsSpec(max=2), 1, JobOutcome(JobResult.CANCELLED, "off"), None, id="called off"),
    ],
)
def test_an_attempt_is_made_again(
    policy: AttemptsSpec, attempt: int, ended: JobOutcome, expected: float | None
) -> None:
    retry = retry_after(leg("a", attempts=policy), attempt, ended, now=0.0)

    assert expected == (None if retry is None else retry.delay)


def test_the_reason_says_what_went_wrong_when_it_goes_on_and_how_often_yet() -> None:
    retry = retry_after(leg("a", attempts=AttemptsSpec(max=3, backoff=0.5)), 1, FAILED, now=0.0)

    assert retry is not None
    assert "it exited with code 75; it is tried again in 500ms, 2 attempts left" == retry.reason


@pytest.mark.parametrize(("deadline", "expected"), [(10.0, True), (1.0, False), (0.5, False)])
def test_an_attempt_that_could_only_begin_after_the_deadline_is_not_made(
    deadline: float, expected: bool
) -> None:
    retry = retry_after(leg("a", attempts=AttemptsSpec(max=2)), 1, FAILED, now=0.0, deadline=deadline)

    assert expected == (retry is not None)
