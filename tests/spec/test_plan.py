"""From a workflow to its plan: who is at which queue."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec

RUN = HandlerRef("python", "m:f")


def test_each_queue_knows_its_own_writers_and_readers() -> None:
    stages = (
        StageSpec("chef", RUN, workers=("chef-1", "chef-2"), sends="raw"),
        StageSpec("cook", RUN, workers=("cook-1",), receives="raw", sends="done"),
        StageSpec("eater", RUN, workers=("eater-1",), receives="done"),
        StageSpec("cleaner", RUN, workers=("cleaner-1",)),
    )

    plan = make_plan(WorkflowSpec("w", Path("w.yaml"), stages, (QueueSpec("raw"), QueueSpec("done"))))

    assert [
        ("raw", ("chef-1", "chef-2"), ("cook-1",)),
        ("done", ("cook-1",), ("eater-1",)),
    ] == [(queue.name, queue.writers, queue.readers) for queue in plan.queues]


@st.composite
def topologies(draw: st.DrawFn) -> tuple[StageSpec, ...]:
    """Stages of which none feeds one before it, by the number of each: queues lead from lower to higher ones."""
    queues = [f"q{number}" for number in range(draw(st.integers(0, 4)))]
    ends = st.tuples(st.integers(-1, len(queues) - 1), st.integers(-1, len(queues) - 1))
    drawn = draw(st.lists(ends.filter(lambda each: each[0] < each[1] or each[1] < 0), max_size=8))
    return tuple(
        StageSpec(
            f"s{number}",
            RUN,
            workers=(f"s{number}-1",),
            receives=queues[reads] if reads >= 0 else None,
            sends=queues[writes] if writes >= 0 else None,
        )
        for number, (reads, writes) in enumerate(drawn)
    )


@given(topologies())
def test_stages_are_shown_in_the_order_of_the_file_but_none_before_one_that_feeds_it(
    stages: tuple[StageSpec, ...],
) -> None:
    flow = [stage.spec for stage in make_plan(WorkflowSpec("w", Path("w.yaml"), stages)).flow]

    assert sorted(stages, key=lambda each: each.name) == sorted(flow, key=lambda each: each.name)
    for place, stage in enumerate(flow):
        writers = [each for each in flow[place:] if each.sends is not None and each.sends == stage.receives]
        assert [] == writers, stage
    again = make_plan(WorkflowSpec("w", Path("w.yaml"), tuple(flow))).flow
    assert flow == [stage.spec for stage in again]
