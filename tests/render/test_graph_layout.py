"""Where boxes and lines go: layers, rows, groups."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runner.render.graph_layout import Net, Node, groups, lay_out, layer_of, place_nets
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan, stage_label
from runner.spec.resources import QueueSpec


def plan(*ends: tuple[str, str | None, str | None]) -> Plan:
    stages = [
        StageSpec(name, HandlerRef("python", "m:f"), workers=(name,), receives=receives, sends=sends)
        for name, receives, sends in ends
    ]
    queues = dict.fromkeys(end for _, *both in ends for end in both if end)
    return make_plan(WorkflowSpec("x", Path("x.yaml"), tuple(stages), tuple(map(QueueSpec, queues))))


SKEWED = [("a", None, "q"), ("b", "q", "s"), ("c", "q", "r"), ("d", "r", "s"), ("e", "s", None)]
LATE = [("a", None, "q"), ("b", "q", "r"), ("late", None, "r"), ("c", "r", None)]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([("a", None, "q"), ("b", "q", None)], {"a": 0, "b": 1}),
        (LATE, {"a": 0, "b": 1, "late": 1, "c": 2}),
        (SKEWED, {"a": 0, "b": 1, "c": 1, "d": 2, "e": 3}),
    ],
)
def test_a_stage_is_one_layer_right_of_those_that_feed_it(
    ends: list[tuple[str, str | None, str | None]], expected: dict[str, int]
) -> None:
    assert layer_of(plan(*ends).stages) == expected


def test_stages_that_no_queue_joins_are_apart() -> None:
    split = groups(
        plan(("a", None, "q"), ("b", "q", None), ("c", None, "r"), ("d", "r", None), ("e", None, None)).stages
    )

    assert sorted(sorted(stage.name for stage in group) for group in split) == [["a", "b"], ["c", "d"]]


def test_a_single_reader_stands_in_the_middle_of_its_writers() -> None:
    a_plan = plan(("a", None, "q"), ("b", None, "q"), ("c", None, "q"), ("d", "q", None))

    layout = lay_out(a_plan.stages, stage_label, str)

    rows = [[node.row for node in layer] for layer in layout.layers]
    assert rows == [[0, 4, 8], [4]]


@pytest.mark.slow
def test_a_long_pipe_is_laid_out_without_recursion_and_in_time() -> None:
    ends = [(f"s{n}", f"q{n}" if n else None, f"q{n + 1}") for n in range(3000)]
    a_plan = plan(*ends, ("last", "q3000", None))
    started = time.perf_counter()

    layout = lay_out(a_plan.stages, stage_label, str)

    assert len(layout.layers) == 3001
    assert time.perf_counter() - started < 20


def test_no_queue_takes_a_row_where_a_line_of_another_one_begins() -> None:
    """The middle of the first is the row where the second begins: drawn there, both lines would be one."""
    around = Net(0, "z", [Node(0, "e", 0), Node(0, "g", 8)], [Node(1, "z1", 2), Node(1, "z2", 6)])
    between = Net(0, "y", [Node(0, "f", 4)], [Node(1, "y1", 10), Node(1, "y2", 14)])

    place_nets([around, between])

    assert (between.row, around.row) == (4, 3)
