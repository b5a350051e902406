"""What a run comes to: causes, exit codes, the budget of errors, items nobody finished."""

from __future__ import annotations

import signal

import pytest

from runner.ledger.accounts import Account
from runner.supervisor import outcome
from runner.supervisor.outcome import Cause, Share


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (outcome.interrupted(signal.SIGINT), Cause("interrupted", 130, "stopped by SIGINT", "SIGINT")),
        (outcome.interrupted(signal.SIGTERM), Cause("interrupted", 143, "stopped by SIGTERM", "SIGTERM")),
        (outcome.failed("the oven is cold"), Cause("failed", 1, "the oven is cold")),
        (outcome.timed_out("2m"), Cause("timeout", 5, "the run took longer than limits.timeout, 2m")),
        (outcome.internal("1 ≠ 2"), Cause("internal", 70, "a bug in mprun, please report it: 1 ≠ 2")),
    ],
)
def test_each_cause_has_its_outcome_and_exit_code(cause: Cause, expected: Cause) -> None:
    assert expected == cause


@pytest.mark.parametrize(
    ("failed", "items", "max_errors"),
    [(0, 0, "0"), (0, 10, "0"), (3, 10, "3"), (0, 0, "0%"), (1, 100, "1%"), (1, 200, "0.5%"), (7, 7, "100%")],
)
def test_failures_within_the_budget_are_no_cause(failed: int, items: int, max_errors: str) -> None:
    assert outcome.over_budget([Share("q", failed, items)], max_errors) is None


@pytest.mark.parametrize(
    ("failed", "items", "max_errors", "reason"),
    [
        (1, 10, "0", "1 item failed; limits.max_errors allows 0"),
        (4, 10, "3", "4 items failed; limits.max_errors allows 3"),
        (2, 100, "1%", "2 of 100 items of queue 'q' failed; limits.max_errors allows 1%"),
        (1, 1, "1%", "1 of 1 item of queue 'q' failed; limits.max_errors allows 1%"),
        (2, 399, "0.5%", "2 of 399 items of queue 'q' failed; limits.max_errors allows 0.5%"),
    ],
)
def test_failures_beyond_the_budget_fail_the_run(
    failed: int, items: int, max_errors: str, reason: str
) -> None:
    assert Cause("failed", 1, reason) == outcome.over_budget([Share("q", failed, items)], max_errors)


def test_a_share_is_one_of_each_queue_however_many_more_there_are() -> None:
    """With 280 items in three queues, ten that fail of a hundred in one of them are ten percent and not four."""
    shares = [Share("a", 10, 100), Share("b", 0, 90), Share("c", 0, 90)]

    assert outcome.over_budget(shares, "10%") is None
    assert Cause("failed", 1, "10 of 100 items of queue 'a' failed; limits.max_errors allows 4%") == (
        outcome.over_budget(shares, "4%")
    )


def test_a_count_is_one_of_the_whole_run() -> None:
    shares = [Share("a", 2, 100), Share("b", 2, 90)]

    assert Cause("failed", 1, "4 items failed; limits.max_errors allows 3") == outcome.over_budget(
        shares, "3"
    )


def test_items_that_ended_in_any_way_are_accounted_for() -> None:
    accounts = [
        Account("a", None, put=6, done=3, dropped=2, dead_lettered=1),
        Account("b", 10),
    ]

    assert outcome.unaccounted(accounts) is None


def test_the_first_queue_that_was_not_emptied_is_named() -> None:
    accounts = [
        Account("a", None, put=3, done=3),
        Account("b", 10, put=9, waiting=2, leased=1, done=6),
        Account("c", 10, put=1, waiting=1),
    ]

    expected = Cause(
        "failed",
        1,
        "queue 'b' was not emptied: of 9 items 2 were not begun, 1 taken and never acknowledged",
    )
    assert expected == outcome.unaccounted(accounts)
