"""What is out of all measure."""

from __future__ import annotations

from typing import Any

import pytest

from runner.sizes import MOST_WORKERS_IN_ALL, check_sizes


@pytest.mark.parametrize("text", ["0s", "0h0m", "999999999h", "9" * 400 + "s"])
def test_a_wait_of_no_time_or_a_lifetime_is_refused(text: str) -> None:
    found = check_sizes({"limits": {"stop_timeout": text}})

    assert [(("limits", "stop_timeout"), "out-of-range")] == [(f.path, f.code) for f in found]


@pytest.mark.parametrize("limits", [None, [], {}, {"timeout": "1ms"}, {"timeout": "300d"}, {"timeout": 5}])
def test_other_waits_are_left_to_the_check_of_the_shape(limits: Any) -> None:
    assert [] == check_sizes({"limits": limits})


TOO_MANY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "by count": ({f"s{n}": {"count": 10_000} for n in range(12)}, {}),
    "by default": ({f"s{n}": {} for n in range(12)}, {"stage": {"count": 10_000}}),
    "by names": ({f"s{n}": {"names": ["x"] * 10_000} for n in range(12)}, {}),
}


@pytest.mark.parametrize(("stages", "defaults"), TOO_MANY.values(), ids=TOO_MANY)
def test_the_stage_that_is_too_much_is_named_once(stages: dict[str, Any], defaults: dict[str, Any]) -> None:
    found = check_sizes({"stages": stages, "defaults": defaults})

    assert [(("stages", "s10", "count"), "too-many-workers")] == [(f.path, f.code) for f in found]


def test_as_many_workers_as_there_may_be_are_fine() -> None:
    stages = {f"s{n}": {"count": 10_000} for n in range(MOST_WORKERS_IN_ALL // 10_000)}

    assert [] == check_sizes({"stages": stages})


@pytest.mark.parametrize("stages", [None, [], {"a": None}, {"a": {"count": "x"}}, {"a": {"count": 10**30}}])
def test_counts_that_are_none_count_as_one(stages: Any) -> None:
    assert [] == check_sizes({"stages": stages})
