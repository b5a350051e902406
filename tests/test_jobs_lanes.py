"""Room to run, without the DAG."""

from __future__ import annotations

from jobs_specs import job

from runner.jobs.lanes import Lanes
from runner.spec_jobs import ConcurrencySpec, JobSpec, LegSpec


def seated(lanes: Lanes) -> list[str]:
    """Everyone who gets a seat now."""
    found = []
    while (leg := lanes.next()) is not None:
        found.append(leg.id)
    return found


def entered(*jobs: JobSpec, capacity: int) -> tuple[Lanes, dict[str, LegSpec]]:
    lanes, legs = Lanes(jobs, capacity), {leg.id: leg for each in jobs for leg in each.legs}
    for leg in legs.values():
        lanes.enter(leg)
    return lanes, legs


def test_seats_go_to_whoever_came_first() -> None:
    lanes, legs = entered(job("a"), job("b"), job("c"), capacity=2)

    assert ["a", "b"] == seated(lanes)
    lanes.leave(legs["a"])
    assert ["c"] == seated(lanes)


def test_whoever_waits_at_a_gate_holds_up_nobody_behind() -> None:
    lanes, legs = entered(job("t", legs=3, max_parallel=1), job("b"), capacity=2)

    assert ["t (1)", "b"] == seated(lanes)
    lanes.leave(legs["t (1)"])
    assert ["t (2)"] == seated(lanes)


def test_the_smaller_of_two_limits_counts() -> None:
    lanes, _ = entered(
        job("a", concurrency=ConcurrencySpec("g", 3)),
        job("b", concurrency=ConcurrencySpec("g", 1)),
        capacity=9,
    )

    assert ["a"] == seated(lanes)


def test_a_gate_that_opens_lets_in_who_can_go_on_past_who_waits_at_another() -> None:
    """`t (2)` is the first at the group's gate, yet `max-parallel` keeps it; `b` goes."""
    group = ConcurrencySpec("g")
    a, t, b = job("a", concurrency=group), job("t", legs=2, max_parallel=1), job("b", concurrency=group)
    grouped = JobSpec(
        "t",
        (t.legs[0], LegSpec("t (2)", "t", t.legs[1].steps, concurrency=group)),
        max_parallel=1,
        has_matrix=True,
    )
    lanes, legs = entered(a, grouped, b, capacity=9)
    assert ["a", "t (1)"] == seated(lanes)

    lanes.leave(legs["a"])

    assert ["b"] == seated(lanes)


def test_one_that_is_withdrawn_gives_back_its_room() -> None:
    lanes, legs = entered(
        job("a"),
        job("b", concurrency=ConcurrencySpec("g")),
        job("c", concurrency=ConcurrencySpec("g")),
        capacity=1,
    )
    assert ["a"] == seated(lanes)

    lanes.withdraw(legs["b"])
    lanes.leave(legs["a"])

    assert ["c"] == seated(lanes)
