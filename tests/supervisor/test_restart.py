"""Whether a worker that died gets a successor: histories in, decisions out; no process, no sleep."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.events.run import WorkerOutcome
from runner.ipc.status_page import Counters
from runner.spec.failures import FIRST_DELAY, LONGEST_DELAY, RestartOn, RestartPolicy
from runner.spec.model import Role
from runner.supervisor.restart import GiveUp, Restart, decide
from runner.supervisor.workers import WorkerExit

CRASH = RestartPolicy()
USUAL = RestartPolicy.usual("leased", reads=True)


def killed(at: float, worker: str = "neo", *, received: int = 5, done: int = 4) -> WorkerExit:
    """A worker that SIGKILL ended in the middle of its work."""
    return WorkerExit(worker, int(at * 1000), -9, at=at, counters=Counters(received=received, done=done))


def failed(at: float, worker: str = "neo") -> WorkerExit:
    """A worker that ended by its own fault before its first item."""
    return WorkerExit(worker, int(at * 1000), 1, at=at)


def left(at: float, *, done: int) -> WorkerExit:
    """A worker that ended by itself before the end of its stream."""
    counters = Counters(received=done, done=done)
    return WorkerExit("neo", int(at * 1000), 0, WorkerOutcome.FINISHED, at=at, counters=counters)


def test_a_crash_now_and_then_is_made_good_at_once() -> None:
    decision = decide(CRASH, [killed(1.0)])

    assert Restart(delay=0.0) == decision


def test_one_death_more_than_the_budget_is_given_up_and_says_so() -> None:
    deaths = [killed(float(at)) for at in range(6)]

    decision = decide(CRASH, deaths)

    assert GiveUp("the stage's workers ended 6 times within 1m, and restart.max allows 5") == decision


def test_the_budget_is_the_stages_not_the_workers() -> None:
    deaths = [killed(float(at), worker=f"eater-{at}") for at in range(6)]

    decision = decide(CRASH, deaths)

    assert isinstance(decision, GiveUp)


def test_a_death_that_is_long_past_does_not_count() -> None:
    deaths = [*[killed(float(at)) for at in range(5)], killed(65.0)]

    decision = decide(CRASH, deaths)

    assert Restart(delay=0.0) == decision


def test_a_worker_that_dies_twice_before_its_first_item_is_given_up_where_nothing_else_was_said() -> None:
    """It points at the handler: a third birth would end like the first two."""
    first = decide(USUAL, [failed(1.0)])
    second = decide(USUAL, [failed(1.0), failed(1.1)])

    assert Restart(delay=FIRST_DELAY) == first
    why = "it ended 2 times in a row before its first item, so the handler itself seems to be at fault"
    assert GiveUp(why) == second


def test_a_budget_of_the_users_own_is_kept_to_also_before_the_first_item_later_and_later() -> None:
    policy = RestartPolicy(max=3, within=0.1)
    lives = [failed(float(at)) for at in range(4)]

    decisions = [decide(policy, lives[: n + 1]) for n in range(4)]

    assert [Restart(0.1), Restart(0.2), Restart(0.4)] == decisions[:3]
    assert GiveUp("it ended 4 times in a row before its first item, and restart.max allows 3") == decisions[3]


def test_a_death_that_an_item_answers_for_costs_the_stage_nothing() -> None:
    deaths = [replace(killed(float(at)), on_item=True) for at in range(50)]

    decision = decide(CRASH, deaths)

    assert Restart() == decision


def test_who_allows_no_restart_gets_none_whoever_is_to_blame() -> None:
    decision = decide(RestartPolicy(max=0), [replace(killed(1.0), on_item=True)])

    assert GiveUp("the stage's workers ended once within 1m, and restart.max allows 0") == decision


def test_who_was_killed_from_outside_before_its_first_item_says_nothing_about_the_handler() -> None:
    deaths = [killed(1.0, received=0, done=0), killed(1.1, received=0, done=0)]

    decision = decide(CRASH, deaths)

    assert isinstance(decision, Restart)


def test_the_failed_starts_of_different_workers_are_not_in_a_row() -> None:
    decision = decide(CRASH, [failed(1.0, "neo"), failed(1.0, "alex")])

    assert isinstance(decision, Restart)


def test_lives_that_get_nothing_done_follow_each_other_more_and_more_slowly() -> None:
    policy = RestartPolicy(max=100)
    deaths = [killed(float(at), received=1, done=0) for at in range(12)]

    delays = [decide(policy, deaths[: n + 1]) for n in range(12)]

    assert [0.0, 0.1, 0.2, 0.4] == [each.delay for each in delays[:4] if isinstance(each, Restart)]
    assert Restart(LONGEST_DELAY) == delays[-1]


def test_who_is_killed_from_outside_before_its_first_item_is_made_good_at_once_each_time() -> None:
    deaths = [killed(float(at), received=0, done=0) for at in range(4)]

    decision = decide(CRASH, deaths)

    assert Restart(delay=0.0) == decision


def test_never_is_never() -> None:
    decision = decide(RestartPolicy(on=RestartOn.NEVER), [killed(1.0)])

    assert GiveUp() == decision


@pytest.mark.parametrize(("on", "expected"), [(RestartOn.CRASH, GiveUp()), (RestartOn.ALWAYS, Restart())])
def test_only_always_makes_good_an_end_that_was_no_death(on: RestartOn, expected: Restart | GiveUp) -> None:
    decision = decide(RestartPolicy(on=on), [left(1.0, done=9)])

    assert expected == decision


def test_always_does_not_charge_the_budget_for_ends_after_some_work() -> None:
    deaths = [left(float(at), done=100) for at in range(50)]

    decision = decide(RestartPolicy(on=RestartOn.ALWAYS), deaths)

    assert Restart() == decision


@pytest.mark.parametrize(
    ("role", "transport", "expected"),
    [
        (Role.CONSUMER, "leased", RestartOn.CRASH),
        (Role.PIPE, "leased", RestartOn.CRASH),
        (Role.PRODUCER, "leased", RestartOn.NEVER),
        (Role.PLAIN, "leased", RestartOn.NEVER),
        (Role.CONSUMER, "joinable", RestartOn.NEVER),
        (Role.CONSUMER, "inline", RestartOn.NEVER),
    ],
)
def test_what_is_usual_depends_on_the_role_and_on_what_the_transport_can_do(
    role: Role, transport: str, expected: RestartOn
) -> None:
    assert expected is RestartPolicy.usual(transport, reads=role in (Role.CONSUMER, Role.PIPE)).on


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(0, 100), st.integers(0, 3), st.booleans()), min_size=1
    ),
    st.integers(0, 5),
)
def test_no_history_is_restarted_beyond_its_budget(
    lives: list[tuple[str, float, int, bool]], most: int
) -> None:
    lives.sort(key=lambda life: life[1])
    deaths = [
        WorkerExit(name, 1, -9 if by_signal else 1, at=at, counters=Counters(received=n, done=n))
        for name, at, n, by_signal in lives
    ]
    policy, now = RestartPolicy(max=most, within=10.0), deaths[-1].at

    decision = decide(policy, deaths)

    within = sum(death.at > now - 10.0 for death in deaths)
    assert within <= most or isinstance(decision, GiveUp)
    assert isinstance(decision, GiveUp) or 0.0 <= decision.delay <= LONGEST_DELAY
