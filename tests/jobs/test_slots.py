"""Room to run, without the graph."""

from __future__ import annotations

from jobs_specs import job

from runner.jobs.slots import ConcurrencySlots
from runner.spec.jobs.model import ConcurrencySpec, GroupScope, JobSpec, LegSpec


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


def test_a_group_of_the_machine_is_asked_for_before_a_slot_is_taken_and_left_once() -> None:
    outside = ConcurrencySpec("g", scope=GroupScope.MACHINE)
    slots, legs = entered(job("a", concurrency=outside), job("b", concurrency=outside), job("c"), capacity=1)

    assert ["a", "b"] == [leg.id for leg in slots.asking()]
    assert ([], ["c"]) == (slots.asking(), got_slots(slots))
    slots.let_in(legs["b"])
    slots.withdraw(legs["a"])
    slots.let_in(legs["a"])
    assert ["a"] == [leg.id for leg in slots.leaving()]
    slots.release(legs["c"])
    assert ["b"] == got_slots(slots)
    slots.release(legs["b"])
    assert (["b"], []) == ([leg.id for leg in slots.leaving()], slots.leaving())


def test_one_that_is_withdrawn_before_anybody_was_asked_asks_nobody() -> None:
    slots, legs = entered(job("a", concurrency=ConcurrencySpec("g", scope=GroupScope.MACHINE)), capacity=1)
    slots.withdraw(legs["a"])

    assert ([], ["a"]) == (slots.asking(), [leg.id for leg in slots.leaving()])
