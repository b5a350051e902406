"""Whether an attempt is made again: a table."""

from __future__ import annotations

import pytest

from runner.jobs.trying import Again, Ended, after_attempt
from runner.spec_jobs import AttemptsSpec, Result

FAILED = Ended(Result.FAILED, "it exited with code 75", 75)
KILLED = Ended(Result.FAILED, "its worker was killed by SIGKILL")
SHOT = Ended(Result.FAILED, "it was killed by SIGKILL", signal="SIGKILL")
STOPPED = Ended(Result.TIMED_OUT, "the attempt took too long", signal="SIGTERM")
TIMED_OUT = Ended(Result.TIMED_OUT, "the attempt took too long")


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
        pytest.param(AttemptsSpec(max=2, on=(75,)), 1, SHOT, None, id="and may not be worth it"),
        pytest.param(AttemptsSpec(max=2, on=(75,)), 1, STOPPED, 1.0, id="unless it was stopped, out of time"),
        pytest.param(AttemptsSpec(max=2), 1, TIMED_OUT, 1.0, id="out of the attempt's time"),
        pytest.param(
            AttemptsSpec(max=2),
            1,
            Ended(Result.TIMED_OUT, "out of time", for_good=True),
            None,
            id="out of the job's time",
        ),
        pytest.param(AttemptsSpec(max=2), 1, Ended(Result.PASSED, "fine"), None, id="passed"),
        pytest.param(AttemptsSpec(max=2), 1, Ended(Result.CANCELLED, "off"), None, id="called off"),
    ],
)
def test_an_attempt_is_made_again(
    policy: AttemptsSpec, attempt: int, ended: Ended, expected: float | None
) -> None:
    again = after_attempt(policy, attempt, ended, now=0.0)

    assert expected == (None if again is None else again.delay)


def test_the_reason_says_what_went_wrong_when_it_goes_on_and_how_often_yet() -> None:
    again = after_attempt(AttemptsSpec(max=3, backoff=0.5), 1, FAILED, now=0.0)

    assert Again(0.5, "it exited with code 75; it is tried again in 500ms, 2 attempts left") == again


@pytest.mark.parametrize(("deadline", "expected"), [(10.0, True), (1.0, False), (0.5, False)])
def test_an_attempt_that_could_only_begin_after_the_deadline_is_not_made(
    deadline: float, expected: bool
) -> None:
    again = after_attempt(AttemptsSpec(max=2), 1, FAILED, now=0.0, deadline=deadline)

    assert expected == (again is not None)
