"""What becomes of an item that failed: attempts, backoff, the exceptions that are worth another try."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import CommandFailed
from runner.ledger.retry import Final, Redeliver, after_death, after_failure, is_worth_it
from runner.spec.failures import RetryPolicy
from runner.units import backoff

THRICE = RetryPolicy(attempts=3, backoff=1.0, max_backoff=1.5)


def test_an_item_is_tried_again_until_its_attempts_are_used() -> None:
    verdicts = [after_failure(THRICE, attempt, worth_it=True) for attempt in (1, 2, 3, 4)]

    assert [Redeliver(1.0), Redeliver(1.5), Final(), Final()] == verdicts


def test_what_is_not_worth_it_fails_at_its_first_attempt() -> None:
    assert Final() == after_failure(THRICE, 1, worth_it=False)


def test_without_a_policy_a_failure_is_final() -> None:
    assert Final() == after_failure(RetryPolicy(), 1, worth_it=True)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        (1, [Redeliver(), Final()]),
        (2, [Redeliver(), Final()]),
        (4, [Redeliver(), Redeliver(), Redeliver(), Final()]),
    ],
)
def test_an_item_may_kill_two_workers_or_as_many_as_it_has_attempts(
    attempts: int, expected: list[Redeliver | Final]
) -> None:
    verdicts = [after_death(RetryPolicy(attempts=attempts), n) for n in range(1, len(expected) + 1)]

    assert expected == verdicts


def test_who_writes_how_many_attempts_there_are_counts_deaths_too() -> None:
    assert Final() == after_death(RetryPolicy(attempts=1, deaths=1), 1)


@given(st.integers(1, 10_000), st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_backoff_is_bounded_and_never_gets_shorter(attempt: int, first: float, most: float) -> None:
    assert backoff(first, attempt, most) <= backoff(first, attempt + 1, most) <= most


@pytest.mark.parametrize(
    ("names", "error", "expected"),
    [
        ((), ValueError(), True),
        ((), SystemExit(1), False),
        (("ValueError",), ValueError(), True),
        (("ValueError",), json.JSONDecodeError("", "", 0), True),
        (("json.JSONDecodeError",), json.JSONDecodeError("", "", 0), True),
        (("json.decoder.JSONDecodeError",), json.JSONDecodeError("", "", 0), True),
        (("builtins.OSError",), TimeoutError(), True),
        (("yaml.JSONDecodeError",), json.JSONDecodeError("", "", 0), False),
        (("js.JSONDecodeError",), json.JSONDecodeError("", "", 0), False),
        (("KeyError", "TypeError"), ValueError(), False),
        (("Exception",), SystemExit(1), False),
        (("SystemExit",), SystemExit(1), True),
    ],
)
def test_on_names_the_class_or_one_of_its_bases(
    names: tuple[str, ...], error: BaseException, expected: bool
) -> None:
    assert expected is is_worth_it(RetryPolicy(on=names), error)


@pytest.mark.parametrize(
    ("on", "code", "expected"),
    [
        ((75,), 75, True),
        ((1, 75), 1, True),
        ((75,), 1, False),
        (("SIGKILL",), -9, True),
        (("SIGKILL",), 9, False),
        ((9,), -9, False),
        (("CommandFailed",), 3, True),
        (("OSError", 3), 3, True),
        ((3,), None, False),
        ((), 3, True),
    ],
)
def test_on_names_how_a_command_has_ended(
    on: tuple[str | int, ...], code: int | None, expected: bool
) -> None:
    assert expected is is_worth_it(RetryPolicy(on=on), CommandFailed("no", code))
