"""Turns that nobody could take: serial readers, locks that are missing, of no use, or named like something else."""

from __future__ import annotations

import pytest

from runner.loader.checks.stages import TAKEN, check_turns
from runner.spec.diagnostics import Diagnostic, UnknownPaths
from runner.spec.model import HandlerRef, StageSpec, StartMode
from runner.spec.resources import LockSpec


def stage(name: str = "wash", **more: object) -> StageSpec:
    return StageSpec(name, HandlerRef("python", "kitchen:wash"), **more)  # type: ignore[arg-type]


def found_in(
    *stages: StageSpec,
    locks: tuple[str, ...] = (),
    asked: tuple[str, ...] = (),
    unknowns: UnknownPaths | None = None,
) -> list[Diagnostic]:
    specs = [LockSpec(name) for name in locks]
    return check_turns(stages, specs, lambda _, lock: lock in asked, unknowns or UnknownPaths())


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({}, []),
        ({"sends": "q"}, []),
        ({"receives": "q"}, ["start"]),
        ({"receives": "q", "sends": "r"}, ["start"]),
    ],
)
def test_only_who_reads_no_queue_works_one_after_the_other(ends: dict[str, str], expected: list[str]) -> None:
    found = found_in(stage(start=StartMode.SERIAL, **ends))

    assert expected == [diagnostic.path[-1] for diagnostic in found]
    assert ["wrong-role"] * len(expected) == [diagnostic.code for diagnostic in found]


@pytest.mark.parametrize(
    ("stages", "locks", "asked", "expected"),
    [
        ([stage(lock="mutex")], ("mutex",), (), []),
        ([stage()], ("mutex",), ("mutex",), []),
        ([stage()], ("mutex",), (), [("unused-lock", ("locks", "mutex"))]),
        ([stage(lock="mutex")], (), (), [("unknown-lock", ("stages", "wash", "lock"))]),
        ([stage(lock="mutx")], ("mutex",), (), [("unknown-lock", ("stages", "wash", "lock"))]),
        (
            [stage(lock="stove")],
            ("mutex",),
            (),
            [("unknown-lock", ("stages", "wash", "lock")), ("unused-lock", ("locks", "mutex"))],
        ),
    ],
)
def test_what_is_named_is_declared_and_what_is_declared_is_used(
    stages: list[StageSpec],
    locks: tuple[str, ...],
    asked: tuple[str, ...],
    expected: list[tuple[str, object]],
) -> None:
    found = found_in(*stages, locks=locks, asked=asked)

    assert expected == [(diagnostic.code, diagnostic.path) for diagnostic in found]


def test_a_slip_in_a_name_is_met_with_the_right_one() -> None:
    (found,) = found_in(stage(lock="mutx"), locks=("mutex", "stove"), asked=("stove",))

    assert "did you mean 'mutex'?" == found.help


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_a_lock_can_not_have_the_name_of_a_parameter_that_means_something_else(name: str) -> None:
    (found,) = found_in(stage(lock=name), locks=(name,))

    assert ("reserved-name", ("locks", name)) == (found.code, found.path)


@pytest.mark.parametrize("place", [("locks",), ("stages", "wash"), ("stages", "wash", "run")])
def test_nothing_is_said_of_use_where_a_mistake_may_hide_it(place: tuple[str, ...]) -> None:
    assert [] == found_in(stage(), locks=("mutex",), unknowns=UnknownPaths(frozenset({place})))
