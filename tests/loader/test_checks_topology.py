"""Queues and stages that do not fit together: small webs in, diagnostics out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import MprunInternalError
from runner.loader.checks.topology import check_topology
from runner.spec.diagnostics import Diagnostic, UnknownPaths
from runner.spec.model import HandlerRef, StageSpec
from runner.spec.plan import start_order
from runner.spec.resources import QueueSpec

RUN = HandlerRef("python", "m:f")


def stage(line: str, **more: object) -> StageSpec:
    """Read `in > name > out`, each end `-` where there is none."""
    receives, name, sends = (None if part == "-" else part for part in line.split(" > "))
    assert name is not None
    given = {"workers": (f"{name}-1",), **more}
    return StageSpec(name, RUN, receives=receives, sends=sends, **given)  # type: ignore[arg-type]


def check(*lines: str, declared: tuple[str, ...] = ()) -> list[tuple[tuple[str | int, ...], str, str | None]]:
    queues = [QueueSpec(name) for name in declared]
    return [(f.path, f.code, f.help) for f in check_topology([stage(line) for line in lines], queues)]


def at(name: str, key: str) -> tuple[str, str, str]:
    return ("stages", name, key)


GIVE_READER = "let a stage read it with `from: {}`"
GIVE_WRITER = "let a stage write to it with `to: {}`"

WEBS: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[tuple[tuple[str, ...], str, str | None]]]] = {
    "a line": (("- > a > q", "q > b > r", "r > c > -"), ("q",), []),
    "a fan": (("- > a > q", "- > b > q", "q > c > -", "q > d > -"), (), []),
    "plain stages only": (("- > a > -",), (), []),
    "nobody reads": (("- > a > q",), (), [(at("a", "to"), "queue-without-reader", GIVE_READER.format("q"))]),
    "nobody writes": (
        ("q > a > -",),
        (),
        [(at("a", "from"), "queue-without-writer", GIVE_WRITER.format("q"))],
    ),
    "neither name is declared, so each is shown": (
        ("- > a > steamer", "steamr > b > -"),
        (),
        [
            (at("a", "to"), "queue-without-reader", "did you mean 'steamr'?"),
            (at("b", "from"), "queue-without-writer", "did you mean 'steamer'?"),
        ],
    ),
    "the declared name is right": (
        ("- > a > steamer", "steamr > b > -"),
        ("steamer",),
        [(at("b", "from"), "queue-without-writer", "did you mean 'steamer'?")],
    ),
    "one of two writers slips": (
        ("- > a > steamer", "- > b > steamr", "steamer > c > -"),
        (),
        [(at("b", "to"), "queue-without-reader", "did you mean 'steamer'?")],
    ),
    "two slips at once": (
        ("- > a > steamr", "steamer > b > baskte", "basket > c > -"),
        ("steamer", "basket"),
        [
            (at("a", "to"), "queue-without-reader", "did you mean 'steamer'?"),
            (at("b", "to"), "queue-without-reader", "did you mean 'basket'?"),
        ],
    ),
    "nobody uses it": (
        ("- > a > steamer", "steamer > b > -"),
        ("steamre",),
        [(("queues", "steamre"), "unused-queue", "did you mean 'steamer'? Stages use that one")],
    ),
    "nobody uses it, and nothing is like it": (
        ("- > a > -",),
        ("q",),
        [(("queues", "q"), "unused-queue", "remove it, or let stages name it in `from` and `to`")],
    ),
}


@pytest.mark.parametrize(("lines", "declared", "expected"), WEBS.values(), ids=WEBS)
def test_queues_and_their_ends(
    lines: tuple[str, ...], declared: tuple[str, ...], expected: list[tuple[tuple[str, ...], str, str | None]]
) -> None:
    assert expected == check(*lines, declared=declared)


def test_a_circle_is_shown_with_its_path_from_its_first_stage() -> None:
    diagnostics = check_topology(
        [stage("- > p > q1"), stage("q1 > a > q2"), stage("q2 > b > q1"), stage("q2 > c > -")]
    )

    assert [(at("b", "to"), "cycle", "items would go round in a circle: a -> q2 -> b -> q1 -> a")] == [
        (f.path, f.code, f.message) for f in diagnostics
    ]


def test_a_stage_that_feeds_itself_is_a_circle() -> None:
    diagnostics = check_topology([stage("- > p > q"), stage("q > a > q"), stage("q > c > -")])

    assert ["items would go round in a circle: a -> q -> a"] == [f.message for f in diagnostics]


def test_two_circles_are_both_shown() -> None:
    found = check("q1 > a > q1", "q1 > b > q2", "q2 > c > q2", "q2 > d > -")

    assert [(at("a", "to"), "cycle"), (at("c", "to"), "cycle")] == [row[:2] for row in found]


def test_a_producer_that_feeds_only_a_circle_reaches_no_consumer() -> None:
    found = check("- > p > q1", "q1 > a > q2", "q2 > b > q1")

    assert [(at("b", "to"), "cycle"), (at("p", "to"), "no-consumer")] == [row[:2] for row in found]


def test_a_run_of_daemons_only_would_end_at_once() -> None:
    diagnostics = check_topology([stage("- > a > -", daemon=True), stage("- > b > -", daemon=True)])

    assert [(at("a", "daemon"), "all-daemons")] == [(f.path, f.code) for f in diagnostics]


def test_a_daemon_beside_real_work_is_fine() -> None:
    diagnostics = check_topology([stage("- > a > -", daemon=True), stage("- > b > -")])

    assert [] == diagnostics


def test_two_workers_of_one_name_are_refused_at_the_second() -> None:
    diagnostics = check_topology([stage("- > a > -"), stage("- > b > -", workers=("x", "a-1"))])

    assert [(("stages", "b", "names", 1), "duplicate-worker")] == [(f.path, f.code) for f in diagnostics]


@pytest.mark.parametrize(
    ("unknowns", "expected"),
    [
        (("stages",), []),
        (("stages", "b"), []),
        (("stages", "b", "from"), []),
        (("stages", "b", "count"), ["queue-without-reader"]),
        (("queues", "q"), ["queue-without-reader"]),
    ],
)
def test_what_is_not_known_may_be_the_missing_end(unknowns: tuple[str, ...], expected: list[str]) -> None:
    stages = [stage("- > a > q"), stage("- > b > -")]

    diagnostics = check_topology(stages, (), UnknownPaths(frozenset({unknowns})))

    assert expected == [f.code for f in diagnostics]


def test_ten_thousand_loose_ends_are_told_without_comparing_each_with_each() -> None:
    stages = [stage(f"in{n} > s{n} > out{n}") for n in range(5_000)]

    diagnostics = check_topology(stages)

    assert 10_000 == len(diagnostics)


ENDS = st.sampled_from([None, "q1", "q2", "q3", "q4"])
WEB = st.lists(st.tuples(ENDS, ENDS), max_size=7).map(
    lambda ends: [
        StageSpec(f"s{n}", RUN, workers=(f"s{n}-1",), receives=receives, sends=sends)
        for n, (receives, sends) in enumerate(ends)
    ]
)


@given(stages=WEB)
def test_circles_are_found_if_and_only_if_no_start_order_exists(stages: list[StageSpec]) -> None:
    try:
        start_order(stages)
        has_order = True
    except MprunInternalError:
        has_order = False

    diagnostics: list[Diagnostic] = check_topology(stages)

    assert has_order == ("cycle" not in {f.code for f in diagnostics})


def test_who_writes_to_one_queue_that_nobody_reads_is_told_of_together() -> None:
    lines = ("- > a > q", "- > b > q", "- > c > q", "r > d > -", "r > e > -")
    stages = [stage(line) for line in lines]

    found = [(each.path, each.message) for each in check_topology(stages)]

    assert [
        (at("a", "to"), "no stage reads the queue 'q', which stages 'a', 'b' and 'c' write to"),
        (at("d", "from"), "no stage writes to the queue 'r', which stages 'd' and 'e' read"),
    ] == found
