"""The sentence that names the bottleneck: which facts identify it, and when nothing is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.events.report import find_bottleneck
from runner.events.report_fields import QueueLine, StageLine


def chef(**changes: Any) -> StageLine:
    facts: dict[str, Any] = {"workers": 3, "sends": "steamer", "sent": 9, "busy_seconds": 7.2}
    return StageLine(name="chef", role="producer", **facts | changes)


def eater(**changes: Any) -> StageLine:
    facts: dict[str, Any] = {
        "workers": 2,
        "receives": "steamer",
        "received": 9,
        "done": 9,
        "busy_seconds": 9.0,
    }
    return StageLine(name="eater", role="consumer", **facts | changes)


def steamer(full_seconds: float = 0.0) -> QueueLine:
    return QueueLine(name="steamer", maxsize=10, put=9, done=9, full_seconds=full_seconds)


def test_a_slow_consumer_is_named_with_the_count_that_its_producer_can_feed() -> None:
    said = find_bottleneck([chef(), eater()], [steamer(2.9)], seconds=5.8, cores=16)

    assert said == (
        "eater is the bottleneck: its 2 workers were busy 78% of the time "
        "while 'steamer' was full 50% of it; more of them would help (count: 4 is what chef can feed)"
    )


def test_more_workers_than_cores_are_no_promise() -> None:
    said = find_bottleneck([chef(), eater()], [steamer()], seconds=5.8, cores=2)

    assert said == (
        "eater is the bottleneck: its 2 workers were busy 78% of the time; "
        "more of them would help, unless they compute: 7 workers would share 2 cores "
        "(count: 4 is what chef can feed)"
    )


def test_a_slow_producer_should_split_its_work_since_more_of_it_makes_more_items() -> None:
    stages = [
        chef(workers=1, busy_seconds=9.0),
        eater(busy_seconds=9.0, starved_seconds=10.0),
    ]

    said = find_bottleneck(stages, [steamer()], seconds=10.0, cores=4)

    assert said == (
        "chef is the bottleneck: its one worker was busy 90% of the time "
        "while eater waited for items 50% of it; "
        "make it quicker, or split its work among more workers (count: 2 is what eater can keep up with)"
    )


def test_blocked_writers_are_the_evidence_where_the_queue_itself_does_not_say() -> None:
    said = find_bottleneck([chef(blocked_seconds=9.0), eater()], [steamer()], seconds=5.8, cores=16)

    assert said is not None
    assert "while chef waited for room 52% of it" in said


def test_a_stage_on_another_branch_is_what_a_count_brings_level() -> None:
    left = [chef(busy_seconds=0.0), eater(busy_seconds=18.0, received=100)]
    other = StageLine(name="washer", role="plain", workers=1, busy_seconds=5.0)

    said = find_bottleneck([*left, other], [steamer()], seconds=10.0, cores=16)

    assert said is not None
    assert said.endswith("(count: 4 is what brings it level with washer)")


def test_a_count_beyond_belief_is_left_out() -> None:
    said = find_bottleneck([chef(busy_seconds=0.01), eater()], [steamer()], seconds=5.0, cores=4)

    assert said is not None
    assert "count:" not in said


@pytest.mark.parametrize(
    ("why", "stages", "seconds"),
    [
        ("too short to tell", [chef(busy_seconds=0.1), eater(busy_seconds=0.9)], 0.45),
        ("nobody was busy", [chef(busy_seconds=1.0), eater(busy_seconds=2.0)], 10.0),
        ("both were level", [chef(busy_seconds=28.0), eater(busy_seconds=19.0)], 10.0),
        ("one stage has nothing to be compared with", [eater(busy_seconds=20.0)], 10.0),
        ("three items cannot occupy more workers", [chef(), eater(busy_seconds=18.0, received=3)], 10.0),
        ("there was no stage", [], 10.0),
    ],
)
def test_nothing_is_said_where_nothing_stands_out(why: str, stages: list[StageLine], seconds: float) -> None:
    said = find_bottleneck(stages, [steamer()], seconds=seconds, cores=8)

    assert said is None, why


seconds_of = st.floats(min_value=0, max_value=1e6)


@given(
    busy=st.tuples(seconds_of, seconds_of),
    workers=st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)),
    full=seconds_of,
    seconds=seconds_of,
    cores=st.integers(1, 256),
)
def test_whatever_the_figures_the_sentence_names_a_stage_and_no_share_above_all(
    busy: tuple[float, float], workers: tuple[int, int], full: float, seconds: float, cores: int
) -> None:
    """A clock that jumps or a worker that was suspended can give sums that do not fit the run."""
    stages = [
        chef(busy_seconds=busy[0], workers=workers[0]),
        eater(busy_seconds=busy[1], workers=workers[1], received=100_000),
    ]

    said = find_bottleneck(stages, [steamer(full)], seconds=seconds, cores=cores)

    shares = [int(word.rstrip("%")) for word in (said or "").split() if word.endswith("%")]
    assert said is None or said.startswith(("chef is the bottleneck", "eater is the bottleneck"))
    assert all(0 <= share <= 100 for share in shares)


@pytest.mark.parametrize(
    ("cores", "words"), [(7, "more of them would help (count"), (6, "7 workers would share 6 cores")]
)
def test_more_workers_help_as_long_as_all_find_a_core(cores: int, words: str) -> None:
    said = find_bottleneck([chef(), eater()], [steamer()], seconds=5.8, cores=cores)

    assert said is not None
    assert words in said


def test_one_worker_more_is_counted_where_no_count_is_known() -> None:
    hungry = chef(busy_seconds=0.0)

    said = find_bottleneck([hungry, eater()], [steamer()], seconds=5.8, cores=5)

    assert said is not None
    assert "6 workers would share 5 cores" in said
