"""Room to run, without the graph."""

from __future__ import annotations

from jobs_specs import job

from runner.jobs.slots import ConcurrencySlots
from runner.spec.jobs.model import ConcurrencySpec, JobSpec, LegSpec


def got_slots(slots: ConcurrencySlots) -> list[str]:
    """Everyone who gets a slot now."""
    found = []
    while (leg := slots.next()) is not None:
        found.append(leg.id)
    return found


def entered(*jobs: JobSpec, capacity: int) -> tuple[ConcurrencySlots, dict[str, LegSpec]]:
    slots, legs = ConcurrencySlots(jobs, capacity), {leg.id: leg for each in jobs for leg in each.legs}
    for leg in legs.values():
        slots.enter(leg)
    return slots, legs


def test_slots_go_to_whoever_came_first() -> None:
    slots, legs = entered(job("a"), job("b"), job("c"), capacity=2)

    assert ["a", "b"] == got_slots(slots)
    slots.release(legs["a"])
    assert ["c"] == got_slots(slots)


def test_whoever_waits_for_a_semaphore_holds_up_nobody_behind() -> None:
    slots, legs = entered(job("t", legs=3, max_parallel=1), job("b"), capacity=2)

    assert ["t (1)", "b"] == got_slots(slots)
    slots.release(legs["t (1)"])
    assert ["t (2)"] == got_slots(slots)


def test_the_smaller_of_two_limits_counts() -> None:
    slots, _ = entered(
        job("a", concurrency=ConcurrencySpec("g", 3)),
        job("b", concurrency=ConcurrencySpec("g", 1)),
        capacity=9,
    )

    assert ["a"] == got_slots(slots)


def test_a_semaphore_that_opens_lets_in_who_can_go_on_past_who_waits_at_another() -> None:
    """`t (2)` is the first at the group's semaphore, yet `max-parallel` keeps it; `b` goes."""
    group = ConcurrencySpec("g")
    a, t, b = job("a", concurrency=group), job("t", legs=2, max_parallel=1), job("b", concurrency=group)
    grouped = JobSpec(
        "t",
        (t.legs[0], LegSpec("t (2)", "t", t.legs[1].steps, concurrency=group)),
        max_parallel=1,
        has_matrix=True,
    )
    slots, legs = entered(a, grouped, b, capacity=9)
    assert ["a", "t (1)"] == got_slots(slots)

    slots.release(legs["a"])

    assert ["b"] == got_slots(slots)


def test_one_that_is_withdrawn_gives_back_its_room() -> None:
    slots, legs = entered(
        job("a"),
        job("b", concurrency=ConcurrencySpec("g")),
        job("c", concurrency=ConcurrencySpec("g")),
        capacity=1,
    )
    assert ["a"] == got_slots(slots)

    slots.withdraw(legs["b"])
    slots.release(legs["a"])

    assert ["c"] == got_slots(slots)
