"""Who takes a dead worker's place, and when."""

from __future__ import annotations

import math

from runner.ipc.status_page import Counters
from runner.spec.failures import RestartPolicy
from runner.supervisor.restart import GiveUp, Restart, RestartBudget
from runner.supervisor.workers import WorkerExit

ONCE = RestartPolicy(max=1)


def death(worker: str, pid: int, at: float, *, received: int = 3, done: int = 2) -> WorkerExit:
    return WorkerExit(worker, pid, -9, at=at, counters=Counters(received=received, done=done))


def test_a_successor_is_due_once() -> None:
    budget = RestartBudget()

    decision = budget.exited("eater", ONCE, death("neo", 11, 1.0))

    assert Restart(0.0) == decision
    assert 1.0 == budget.soonest
    assert ["neo"] == budget.due(1.0)
    assert [] == budget.due(1.0)
    assert math.inf == budget.soonest


def test_a_successor_that_is_not_wanted_any_more_does_not_come() -> None:
    budget = RestartBudget()
    budget.exited("eater", ONCE, death("neo", 11, 1.0))
    budget.exited("taster", ONCE, death("alex", 12, 1.0))

    cancelled = budget.cancel(["eater"])

    assert ["neo"] == cancelled
    assert ["alex"] == budget.due(2.0)


def test_deaths_that_an_item_is_to_blame_for_leave_the_budget_whole() -> None:
    """The item's second victim is told of only after the item has been judged."""
    budget = RestartBudget()
    first = budget.exited("eater", ONCE, death("neo", 11, 1.0))
    budget.exempt([11, 12])
    second = budget.exited("eater", ONCE, death("alex", 12, 1.1))
    third = budget.exited("eater", ONCE, death("neo", 13, 1.2))

    assert [Restart(0.0)] * 3 == [first, second, third]


def test_a_death_with_an_item_in_hand_costs_the_stage_nothing_until_the_item_proves_innocent() -> None:
    budget = RestartBudget()
    for pid in (11, 12, 13):
        budget.mark_item_in_hand(pid)
    lives = [budget.exited("eater", ONCE, death("neo", pid, pid / 10)) for pid in (11, 12, 13)]

    charges = [budget.count_deaths([pid], now=2.0) for pid in (11, 12)]

    assert [Restart(0.0)] * 3 == lives
    assert [None, "the stage's workers ended 2 times within 1m, and restart.max allows 1"] == charges


def test_a_budget_without_a_pardon_is_used_up() -> None:
    budget = RestartBudget()
    budget.exited("eater", ONCE, death("neo", 11, 1.0))

    decision = budget.exited("eater", ONCE, death("alex", 12, 1.1))

    assert isinstance(decision, GiveUp)


def test_the_budgets_of_two_stages_are_apart() -> None:
    budget = RestartBudget()
    budget.exited("eater", ONCE, death("neo", 11, 1.0))

    decision = budget.exited("taster", ONCE, death("alex", 12, 1.1))

    assert Restart(0.0) == decision


def test_a_window_shorter_than_the_delay_does_not_make_a_worker_immortal() -> None:
    """Deaths leave the window before the next comes; how many lives in a row came to nothing is still known."""
    budget = RestartBudget()
    policy = RestartPolicy(max=1, within=0.001)

    decisions = [budget.exited("eater", policy, WorkerExit("neo", n, 1, at=float(n))) for n in range(3)]

    assert isinstance(decisions[1], GiveUp)


def test_deaths_are_forgotten_after_the_time_that_the_policy_counts() -> None:
    policy = RestartPolicy(max=1, within=60.0)
    budget = RestartBudget()
    ends = [budget.exited("eater", policy, death("neo", pid, at)) for pid, at in ((11, 0.0), (12, 60.5))]

    assert [Restart(0.0), Restart(0.0)] == ends
    assert isinstance(budget.exited("eater", policy, death("neo", 13, 120.0)), GiveUp)
