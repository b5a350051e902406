"""`needs` that name nobody, and those that would wait for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.loader.checks.dependencies import check_needs
from runner.spec.model import HandlerRef, StageSpec

RUN = HandlerRef("python", "m:f")


def stage(line: str) -> StageSpec:
    """Read `in > name > out : need need`; `name!` is daemonic."""
    ends, _, needs = line.partition(" : ")
    receives, name, sends = (None if part == "-" else part for part in ends.split(" > "))
    assert name is not None
    return StageSpec(
        name.rstrip("!"),
        RUN,
        receives=receives,
        sends=sends,
        daemon=name.endswith("!"),
        needs=tuple(needs.split()),
    )


def check(
    *lines: str, unbounded: frozenset[str] = frozenset()
) -> list[tuple[tuple[str | int, ...], str, str]]:
    found = check_needs([stage(line) for line in lines], unbounded)
    return [(f.path, f.code, f.message) for f in found]


GOOD = {
    "nobody needs anybody": ("- > a > q", "q > b > -"),
    "one after the other": ("- > a > -", "- > b > - : a", "- > c > - : a b"),
    "after a whole pipeline": ("- > a > q", "q > b > -", "- > c > - : b"),
    "one reader is there to make room": ("- > a > q", "q > b > -", "q > c > - : a"),
    "one pipeline after another": ("- > a > q", "q > b > -", "- > c > r : b", "r > d > -"),
    "a daemonic producer may well end": ("- > a! > q", "q > b > -", "- > c > - : a"),
}


@pytest.mark.parametrize("lines", GOOD.values(), ids=GOOD)
def test_needs_that_will_be_met(lines: tuple[str, ...]) -> None:
    assert [] == check(*lines)


NEVER: dict[str, tuple[tuple[str, ...], tuple[str | int, ...], str, str]] = {
    "itself": (("- > a > - : a",), ("stages", "a", "needs"), "needs-cycle", "stage 'a' needs itself"),
    "each other": (
        ("- > a > - : c", "- > b > - : a", "- > c > - : b"),
        ("stages", "a", "needs"),
        "needs-cycle",
        "stages need each other in a circle: a -> c -> b -> a",
    ),
    "what feeds it": (
        ("- > a > q", "q > b > - : a"),
        ("stages", "b", "needs"),
        "needs-never",
        "stage 'b' can never start: 'b' needs 'a'; 'a' may have to wait until 'b' makes room in 'q'",
    ),
    "what it feeds": (
        ("- > a > q : b", "q > b > -"),
        ("stages", "a", "needs"),
        "needs-never",
        "stage 'a' can never start: 'a' needs 'b'; 'b' ends after 'a', which feeds it through 'q'",
    ),
    "a daemonic consumer": (
        ("- > a > q", "q > b! > -", "- > c > - : b"),
        ("stages", "c", "needs"),
        "needs-never",
        "stage 'c' can never start: 'c' needs 'b'; 'b' is daemonic and waits for items until the run ends",
    ),
}


@pytest.mark.parametrize(("lines", "path", "code", "message"), NEVER.values(), ids=NEVER)
def test_needs_that_would_wait_for_ever(
    lines: tuple[str, ...], path: tuple[str | int, ...], code: str, message: str
) -> None:
    assert [(path, code, message)] == check(*lines)


def test_a_queue_without_bound_takes_all_that_is_put() -> None:
    assert [] == check("- > a > q", "q > b > - : a", unbounded=frozenset({"q"}))


def test_a_stage_far_upstream_is_held_up_through_the_queues_between() -> None:
    found = check("- > a > q", "q > b > r", "r > c > - : x b", "- > x > -")

    assert [
        (
            ("stages", "c", "needs", 1),
            "needs-never",
            "stage 'c' can never start: 'c' needs 'b'; 'b' may have to wait until 'c' makes room in 'r'",
        )
    ] == found


def test_an_unknown_stage_is_named_with_the_nearest() -> None:
    [diagnostic] = check_needs([stage("- > fetch > -"), stage("- > b > - : fecth")])

    assert (("stages", "b", "needs"), "unknown-stage", "did you mean 'fetch'?") == (
        diagnostic.path,
        diagnostic.code,
        diagnostic.help,
    )


@pytest.mark.parametrize(
    ("until", "found"),
    [("fetch", []), ("fecth", ["did you mean 'fetch'?"]), ("b", ["known here: fetch"])],
)
def test_a_daemon_ends_with_another_stage_that_there_is(until: str, found: list[str]) -> None:
    diagnostics = check_needs([stage("- > fetch > -"), replace(stage("- > b > -"), until=until)])

    assert [(("stages", "b", "until"), "unknown-stage", help_) for help_ in found] == [
        (diagnostic.path, diagnostic.code, diagnostic.help) for diagnostic in diagnostics
    ]


def test_what_waits_behind_a_circle_is_not_told_again() -> None:
    found = check("- > a > - : b", "- > b > - : a", "- > c > - : a")

    assert ["stages need each other in a circle: a -> b -> a"] == [message for _, _, message in found]


def test_a_circle_of_queues_is_left_to_others() -> None:
    assert [] == check("- > p > q", "q > a > q", "- > b > - : a")


def test_each_stage_that_needs_an_endless_one_is_told() -> None:
    found = check("- > a > q", "q > b! > -", "- > c > - : b", "- > d > - : b", "- > e > - : d")

    assert [("stages", "c", "needs"), ("stages", "d", "needs")] == [path for path, _, _ in found]


@pytest.mark.slow
def test_ten_thousand_stages_in_one_circle_are_one_problem() -> None:
    stages = [stage(f"- > s{n} > - : s{(n + 1) % 10_000}") for n in range(10_000)]

    assert ["needs-cycle"] == [diagnostic.code for diagnostic in check_needs(stages)]
