"""From data to spec: defaults, worker names, queues by use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.loader.build import UNKNOWN_HANDLER, build_spec, env_texts
from runner.spec.failures import OnError
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.resources import QueueSpec

HOME = Path("flows/w.yaml")


def built(**data: Any) -> WorkflowSpec:
    return build_spec({"name": "w", **data}, HOME, {})


def stage(defaults: dict[str, Any] | None = None, **keys: Any) -> StageSpec:
    return built(stages={"a": {"run": "m:f", **keys}}, defaults={"stage": defaults or {}}).stages[0]


def test_what_is_left_out_is_the_default_of_the_spec() -> None:
    assert StageSpec("a", HandlerRef("python", "m:f", {}), {}, ("a-1",), env={}) == stage()


@pytest.mark.parametrize(
    ("keys", "workers"),
    [
        ({}, ("a-1",)),
        ({"count": 1}, ("a-1",)),
        ({"count": 3}, ("a-1", "a-2", "a-3")),
        ({"count": 2.0}, ("a-1", "a-2")),
        ({"names": ["neo", "alex"]}, ("neo", "alex")),
    ],
)
def test_workers_are_named(keys: dict[str, Any], workers: tuple[str, ...]) -> None:
    assert workers == stage(**keys).workers


def test_names_go_before_a_default_count() -> None:
    assert ("neo",) == stage({"count": 3}, names=["neo"]).workers


def test_a_stage_goes_before_the_defaults_and_env_is_joined() -> None:
    found = stage({"nice": 1, "on_error": "skip", "env": {"A": 1, "B": "x"}}, nice=2, env={"A": "2"})

    assert (2, OnError.SKIP, {"A": "2", "B": "x"}) == (found.nice, found.on_error, found.env)


def test_a_kind_keeps_its_options() -> None:
    assert HandlerRef("lines", "lines", {"path": "x"}) == stage(run={"lines": {"path": "x"}}).handler


def test_folders_are_beside_the_file_unless_absolute() -> None:
    assert (Path("flows/data"), Path("/data"), None) == (
        stage(cwd="data").cwd,
        stage(cwd="/data").cwd,
        stage().cwd,
    )


@pytest.mark.parametrize(("needs", "expected"), [("b", ("b",)), (["b", "c"], ("b", "c")), ([], ())])
def test_needs_may_be_one_or_many(needs: Any, expected: tuple[str, ...]) -> None:
    assert expected == stage(needs=needs).needs


def test_queues_are_declared_by_use_after_those_of_the_file() -> None:
    spec = built(
        queues={"q": {"maxsize": 5}},
        stages={"a": {"run": "m:f", "to": "r"}, "b": {"run": "m:f", "from": "r", "to": "q"}},
    )

    assert (QueueSpec("q", 5), QueueSpec("r", declared=False)) == spec.queues


@pytest.mark.parametrize(("maxsize", "expected"), [("unbounded", None), (7, 7)])
def test_queues_take_the_default_size(maxsize: Any, expected: int | None) -> None:
    spec = built(queues={"q": {}, "r": {"maxsize": 2}}, defaults={"queue": {"maxsize": maxsize}}, stages={})

    assert [expected, 2] == [queue.maxsize for queue in spec.queues]


def test_limits_are_seconds_and_a_budget() -> None:
    spec = built(stages={}, limits={"timeout": "1h30m", "stop_timeout": 0.5, "max_errors": 3.0})

    assert Limits(timeout=5400.0, stop_timeout=0.5, max_errors="3") == spec.limits


def test_a_share_stays_as_it_is_written() -> None:
    assert "1%" == built(stages={}, limits={"max_errors": "1%"}).limits.max_errors


def test_environment_variables_are_text() -> None:
    assert {"A": "3", "B": "true", "C": "x", "D": "0.5"} == env_texts({"A": 3, "B": True, "C": "x", "D": 0.5})


@pytest.mark.parametrize("keys", [None, 5, "m:f", {}, {"count": 2}])
def test_a_stage_that_has_no_handler_is_built_all_the_same(keys: Any) -> None:
    [found] = built(stages={"a": keys}).stages

    assert ("a", UNKNOWN_HANDLER) == (found.name, found.handler)
