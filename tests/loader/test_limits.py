"""What is out of all measure."""

from __future__ import annotations

from typing import Any

import pytest

from runner.handlers.registry import built_in_kinds
from runner.loader.limits import MOST_WORKERS_IN_ALL, check_limits
from runner.loader.schema.workflow import workflow_schema
from runner.spec.diagnostics import Diagnostic

SCHEMA = workflow_schema(built_in_kinds())


def check(data: Any) -> list[Diagnostic]:
    return check_limits(SCHEMA, data)


@pytest.mark.parametrize("text", ["0s", "0h0m", "999999999h", "9" * 400 + "s"])
def test_a_wait_of_no_time_or_a_lifetime_is_refused(text: str) -> None:
    found = check({"limits": {"stop_timeout": text}})

    assert [(("limits", "stop_timeout"), "out-of-range")] == [(f.path, f.code) for f in found]


@pytest.mark.parametrize(
    "path",
    [
        ("stages", "a", "timeout"),
        ("defaults", "stage", "timeout"),
        ("jobs", "a", "idle-timeout"),
        ("jobs", "timeout", "attempts", "timeout"),
        ("jobs", "a", "services", "db", "ready", "every"),
        ("stages", "a", "run", "serve", "idle_timeout"),
    ],
)
def test_a_wait_of_no_time_is_refused_wherever_it_stands(path: tuple[str, ...]) -> None:
    found = check(nested(path, "0s"))

    assert [(path, "out-of-range")] == [(f.path, f.code) for f in found]


@pytest.mark.parametrize(
    "path",
    [
        ("jobs", "a", "attempts", "backoff"),
        ("jobs", "a", "attempts", "max-backoff"),
        ("stages", "a", "retry", "backoff"),
        ("stages", "a", "restart", "within"),
    ],
)
def test_no_wait_between_attempts_is_fine_and_a_lifetime_is_not(path: tuple[str, ...]) -> None:

    assert [0, 1] == [len(check(nested(path, text))) for text in ("0s", "9" * 400 + "h")]


def test_a_step_that_never_gets_time_is_named() -> None:
    (diagnostic,) = check({"jobs": {"a": {"steps": [{"run": "x", "timeout": "0s"}]}}})

    expected = "'timeout' of step 1 of job 'a': expected a duration from 1ms to 30 years, got the text '0s'"
    assert (("jobs", "a", "steps", 0, "timeout"), expected) == (diagnostic.path, diagnostic.message)


@pytest.mark.parametrize("above", ["with", "env"])
def test_names_of_the_user_are_no_durations(above: str) -> None:
    assert [] == check(nested(("stages", "a", above, "timeout"), "0s"))


def nested(path: tuple[str, ...], value: object) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


@pytest.mark.parametrize("limits", [None, [], {}, {"timeout": "1ms"}, {"timeout": "300d"}, {"timeout": 5}])
def test_other_waits_are_left_to_the_check_of_the_shape(limits: Any) -> None:
    assert [] == check({"limits": limits})


TOO_MANY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "by count": ({f"s{n}": {"count": 10_000} for n in range(12)}, {}),
    "by default": ({f"s{n}": {} for n in range(12)}, {"stage": {"count": 10_000}}),
    "by names": ({f"s{n}": {"names": ["x"] * 10_000} for n in range(12)}, {}),
}


@pytest.mark.parametrize(("stages", "defaults"), TOO_MANY.values(), ids=TOO_MANY)
def test_the_stage_that_is_too_much_is_named_once(stages: dict[str, Any], defaults: dict[str, Any]) -> None:
    found = check({"stages": stages, "defaults": defaults})

    assert [(("stages", "s10", "count"), "too-many-workers")] == [(f.path, f.code) for f in found]


def test_as_many_workers_as_there_may_be_are_fine() -> None:
    stages = {f"s{n}": {"count": 10_000} for n in range(MOST_WORKERS_IN_ALL // 10_000)}

    assert [] == check({"stages": stages})


@pytest.mark.parametrize("stages", [None, [], {"a": None}, {"a": {"count": "x"}}, {"a": {"count": 10**30}}])
def test_counts_that_are_none_count_as_one(stages: Any) -> None:
    assert [] == check({"stages": stages})
