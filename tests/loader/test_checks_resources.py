"""What handlers ask for by name: names, contents and ends that do not do, as small specs in and diagnostics out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.loader.checks.resources import check_objects
from runner.spec.diagnostics import UnknownPaths
from runner.spec.failures import RestartOn, RestartPolicy
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.resources import LockSpec, PipeSpec, SharedSpec


def stage(name: str, **more: Any) -> StageSpec:
    return StageSpec(name, HandlerRef("python", f"m:{name}"), **{"workers": (f"{name}-1",), **more})


def workflow(*stages: StageSpec, **more: Any) -> WorkflowSpec:
    return WorkflowSpec("w", Path("w.yaml"), stages, **more)


def found(
    spec: WorkflowSpec, asks: bool | None = True, unknowns: UnknownPaths | None = None
) -> list[tuple[Any, ...]]:
    diagnostics = check_objects(spec, lambda _stage, _name: asks, unknowns or UnknownPaths())
    return [(".".join(map(str, diagnostic.path)), diagnostic.code) for diagnostic in diagnostics]


# ── names ──


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("board", None),
        ("公告板", None),
        ("worker", "reserved-name"),
        ("queue", "reserved-name"),
        ("my board", "reserved-name"),
        ("class", "reserved-name"),
        ("mutex", "defined-twice"),
    ],
)
def test_a_name_has_to_be_one_that_only_this_can_be_asked_for_by(name: str, code: str | None) -> None:
    spec = workflow(stage("a"), locks=(LockSpec("mutex"),), shared=(SharedSpec(name, "dict"),))

    assert ([] if code is None else [(f"shared.{name}", code)]) == found(spec)


def test_a_pipe_and_a_shared_object_can_t_have_one_name() -> None:
    spec = workflow(
        stage("a"), stage("b"), shared=(SharedSpec("x", "dict"),), pipes=(PipeSpec("x", ("a", "b")),)
    )

    assert [("pipes.x", "defined-twice")] == found(spec)


# ── contents ──


@pytest.mark.parametrize(
    ("shared", "message"),
    [
        (SharedSpec("x", "dict", {"a": 1}), None),
        (SharedSpec("x", "list", [1]), None),
        (SharedSpec("x", "Namespace", {"a": 1}), None),
        (SharedSpec("x", "Value", 3, "i"), None),
        (SharedSpec("x", "Value", "text"), None),
        (SharedSpec("x", "Array", [1, 2], "i"), None),
        (SharedSpec("x", "Event"), None),
        (SharedSpec("x", "dict", [1]), "the dict 'x' begins with a mapping, got [1]"),
        (SharedSpec("x", "list", {"a": 1}), "the list 'x' begins with a list, got {'a': 1}"),
        (
            SharedSpec("x", "Namespace", {"a b": 1}),
            "the Namespace 'x' has attributes, and none can be called 'a b'",
        ),
        (SharedSpec("x", "Array", [1]), "the Array 'x' needs a `type` for its numbers"),
        (SharedSpec("x", "Array", 3, "i"), "the Array 'x' begins with a list of numbers, got 3"),
        (
            SharedSpec("x", "Array", [1.5], "i"),
            "the Array 'x' can't hold [1.5] as 'i': 'float' object cannot be interpreted as an integer",
        ),
        (
            SharedSpec("x", "Value", 300, "b"),
            "the Value 'x' can't hold 300 as 'b': signed char is greater than maximum",
        ),
        (SharedSpec("x", "Event", True), "the Event 'x' begins as not set, got True"),
    ],
    ids=lambda value: f"{value.kind} {value.value}" if isinstance(value, SharedSpec) else "",
)
def test_an_object_begins_with_what_its_kind_can_hold(shared: SharedSpec, message: str | None) -> None:
    diagnostics = check_objects(workflow(stage("a"), shared=(shared,)), lambda *_: True, UnknownPaths())

    assert ([] if message is None else [message]) == [diagnostic.message for diagnostic in diagnostics]


@pytest.mark.parametrize(
    ("asks", "unknowns", "codes"),
    [
        (True, UnknownPaths(), []),
        (None, UnknownPaths(), []),
        (False, UnknownPaths(), ["unused-shared"]),
        (False, UnknownPaths(frozenset({("stages", "a", "run")})), []),
    ],
)
def test_an_object_that_surely_nobody_asks_for_is_told(
    asks: bool | None, unknowns: UnknownPaths, codes: list[str]
) -> None:
    spec = workflow(stage("a"), shared=(SharedSpec("x", "dict"),))

    assert codes == [code for _, code in found(spec, asks, unknowns)]


# ── pipes ──

A, B, C = stage("a"), stage("b"), stage("c")


@pytest.mark.parametrize(
    ("stages", "ends", "expected"),
    [
        ((A, B), ("a", "b"), []),
        ((A, B, C), ("a", "b", "c"), [("pipes.wire.ends", "pipe-ends")]),
        ((A, B), ("a", "bb"), [("pipes.wire.ends.1", "unknown-stage")]),
        ((A, B), ("a", "a"), [("pipes.wire.ends.1", "pipe-ends")]),
        ((A, replace(B, sends="q")), ("a", "b"), [("pipes.wire.ends.1", "pipe-ends")]),
        ((A, replace(B, workers=("b-1", "b-2"))), ("a", "b"), [("pipes.wire.ends.1", "pipe-ends")]),
        ((A, replace(B, restart=RestartPolicy())), ("a", "b"), [("pipes.wire.ends.1", "pipe-ends")]),
        ((A, replace(B, restart=RestartPolicy(on=RestartOn.NEVER))), ("a", "b"), []),
    ],
)
def test_a_pipe_joins_two_plain_stages_of_one_worker_that_is_not_replaced(
    stages: tuple[StageSpec, ...], ends: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    spec = workflow(*stages, pipes=(PipeSpec("wire", ends),))

    assert expected == found(spec, asks=None)


def test_a_pipe_that_has_lost_an_end_to_another_problem_is_not_judged() -> None:
    spec = workflow(A, B, pipes=(PipeSpec("wire", ("a",)),))

    assert [] == found(spec, unknowns=UnknownPaths(frozenset({("pipes", "wire", "ends", 1)})))


def test_an_end_for_a_handler_that_does_not_ask_for_it_is_a_slip() -> None:
    spec = workflow(A, B, pipes=(PipeSpec("wire", ("a", "b")),))

    diagnostics = check_objects(spec, lambda stage, _name: stage.name == "a", UnknownPaths())

    assert ["the handler of stage 'b' has no parameter 'wire', so it could not use its end"] == [
        diagnostic.message for diagnostic in diagnostics
    ]


def test_a_third_handler_that_asks_for_a_pipe_is_told_that_there_is_no_third_end() -> None:
    spec = workflow(A, B, C, pipes=(PipeSpec("wire", ("a", "b")),))

    assert [("stages.c.run", "pipe-ends")] == found(spec, asks=True)


# ── transports ──


def test_under_inline_nobody_can_wait_for_another() -> None:
    spec = workflow(
        A,
        B,
        shared=(SharedSpec("board", "dict"), SharedSpec("go", "Event")),
        pipes=(PipeSpec("wire", ("a", "b")),),
        transport="inline",
    )

    assert [("pipes.wire", "transport-cannot"), ("shared.go", "transport-cannot")] == found(spec)
