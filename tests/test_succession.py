"""Who takes a dead worker's place, and when."""

from __future__ import annotations

import math

from runner.restart import Death, GiveUp, Restart
from runner.spec import RestartPolicy
from runner.succession import Succession

ONCE = RestartPolicy(max=1)


def death(worker: str, pid: int, at: float, *, received: int = 3, done: int = 2) -> Death:
    return Death(worker, pid, at, received, done, "SIGKILL")


def test_a_successor_is_due_once() -> None:
    succession = Succession()

    decision = succession.died("eater", ONCE, death("neo", 11, 1.0))

    assert Restart(0.0) == decision
    assert 1.0 == succession.soonest
    assert ["neo"] == succession.due(1.0)
    assert [] == succession.due(1.0)
    assert math.inf == succession.soonest


def test_a_successor_that_is_not_wanted_any_more_does_not_come() -> None:
    succession = Succession()
    succession.died("eater", ONCE, death("neo", 11, 1.0))
    succession.died("taster", ONCE, death("alex", 12, 1.0))

    cancelled = succession.cancel(["eater"])

    assert ["neo"] == cancelled
    assert ["alex"] == succession.due(2.0)


def test_deaths_that_an_item_is_to_blame_for_leave_the_budget_whole() -> None:
    """The item's second victim is told of only after the item has been judged."""
    succession = Succession()
    first = succession.died("eater", ONCE, death("neo", 11, 1.0))
    succession.forgive([11, 12])
    second = succession.died("eater", ONCE, death("alex", 12, 1.1))
    third = succession.died("eater", ONCE, death("neo", 13, 1.2))

    assert [Restart(0.0)] * 3 == [first, second, third]


def test_a_death_with_an_item_in_hand_costs_the_stage_nothing_until_the_item_proves_innocent() -> None:
    succession = Succession()
    for pid in (11, 12, 13):
        succession.suspect(pid)
    lives = [succession.died("eater", ONCE, death("neo", pid, pid / 10)) for pid in (11, 12, 13)]

    charges = [succession.charge([pid], now=2.0) for pid in (11, 12)]

    assert [Restart(0.0)] * 3 == lives
    assert [None, "the stage's workers ended 2 times within 1m, and restart.max allows 1"] == charges


def test_a_budget_without_a_pardon_is_used_up() -> None:
    succession = Succession()
    succession.died("eater", ONCE, death("neo", 11, 1.0))

    decision = succession.died("eater", ONCE, death("alex", 12, 1.1))

    assert isinstance(decision, GiveUp)


def test_the_budgets_of_two_stages_are_apart() -> None:
    succession = Succession()
    succession.died("eater", ONCE, death("neo", 11, 1.0))

    decision = succession.died("taster", ONCE, death("alex", 12, 1.1))

    assert Restart(0.0) == decision


def test_a_window_shorter_than_the_delay_does_not_make_a_worker_immortal() -> None:
    """Deaths leave the window before the next comes; how many lives in a row came to nothing is still known."""
    succession = Succession()
    policy = RestartPolicy(max=1, within=0.001)

    decisions = [succession.died("eater", policy, Death("neo", n, float(n))) for n in range(3)]

    assert isinstance(decisions[1], GiveUp)
