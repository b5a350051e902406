"""When a worker makes safe what it has handled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.commits import CheckpointPolicy, FlushPolicy
from runner.transports.commit_pace import CommitPace

FLUSH, CHECKPOINT = FlushPolicy(every=1.0, items=1000), CheckpointPolicy(every=1.0)


def paced(
    flush: FlushPolicy | None = None, checkpoint: CheckpointPolicy | None = None, cost: float = 0.0
) -> CommitPace:
    """A worker that committed at 100, which took `cost`, and handled an item at 103."""
    pace = CommitPace(flush, checkpoint, 0.0)
    pace.holds(99.0)
    pace.committed(100.0, cost)
    pace.holds(103.0)
    pace.holds(104.0)
    return pace


@pytest.mark.parametrize(
    ("pace", "busy", "idle", "pressed"),
    [
        (paced(FLUSH), 104, 100, 100),
        (paced(checkpoint=CHECKPOINT), 100, 100, 100),
        (paced(checkpoint=CHECKPOINT, cost=0.001), 100.099, 100.019, 100.001),
        (paced(checkpoint=CHECKPOINT, cost=0.02), 101, 100.38, 100.02),
        (paced(checkpoint=CHECKPOINT, cost=1.0), 119, 119, 101),
        (paced(FLUSH, CHECKPOINT, cost=0.001), 104, 100.019, 100.001),
        (paced(FLUSH, CHECKPOINT, cost=1.0), 119, 119, 101),
    ],
    ids=[
        "a flush waits for its time",
        "a state that costs nothing never waits",
        "a cheap one waits a little",
        "a dear one waits for its time",
        "a very dear one waits for longer",
        "both wait for the flush",
        "both wait for what the state costs",
    ],
)
def test_a_commit_is_due(pace: CommitPace, busy: float, idle: float, pressed: float) -> None:
    assert [busy, idle, pressed] == pytest.approx(
        [pace.due(), pace.due_when_idle(pressed=False), pace.due_when_idle(pressed=True)]
    )


def test_where_nothing_is_held_nothing_is_due() -> None:
    pace = paced(FLUSH)
    pace.committed(105.0, 0.0)

    assert (math.inf, math.inf) == (pace.due(), pace.due_when_idle(pressed=True))


@pytest.mark.parametrize(("pace", "most"), [(paced(FLUSH), 1000), (paced(checkpoint=CHECKPOINT), None)])
def test_so_many_items_may_wait(pace: CommitPace, most: int | None) -> None:
    assert most == pace.most


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 2.0), st.booleans()), max_size=200),
    st.booleans(),
)
def test_a_state_takes_a_twentieth_of_the_time_at_the_most(
    steps: list[tuple[float, float, bool]], flushes: bool
) -> None:
    pace, now, spent, last = CommitPace(FLUSH if flushes else None, CHECKPOINT, 0.0), 0.0, 0.0, 0.0
    for seconds, cost, idle in steps:
        now += seconds
        pace.holds(now)
        due = pace.due_when_idle(pressed=False) if idle else pace.due()
        if now >= due:
            now, spent, last = now + cost, spent + cost, cost
            pace.committed(now, cost)

    assert spent - last <= 0.05 * (now - last) + 1e-6


@given(st.lists(st.floats(0, 3.0), min_size=1, max_size=50))
def test_no_item_waits_for_a_flush_longer_than_it_may(pauses: list[float]) -> None:
    pace, now = CommitPace(FLUSH, None, 0.0), 0.0
    for pause in pauses:
        pace.holds(now)
        assert pace.due() <= now + FLUSH.every
        now += pause
        if now >= pace.due():
            pace.committed(now, 0.0)
