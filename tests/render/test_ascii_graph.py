"""Plans drawn for a terminal: what they look like, and that every line leads where items go."""

from __future__ import annotations

import re

from graph_plans import plan, stage
from hypothesis import given
from hypothesis import strategies as st

from runner.render.ascii_graph import draw_ascii
from runner.spec.plan import Plan


def picture(text: str) -> str:
    """Cut the margin that the picture has in this file."""
    return "\n".join(line[4:].rstrip() for line in text.strip("\n").splitlines()) + "\n"


def test_a_linear_pipe_is_one_row() -> None:
    drawn = draw_ascii(
        plan(
            stage("list", None, "files"),
            stage("tokenize", "files", "counts", count=2),
            stage("merge", "counts"),
        )
    )

    assert drawn == picture(
        """
    +---------+                +-------------+                 +----------+
    | list ×1 |-- files ≤10 -->| tokenize ×2 |-- counts ≤10 -->| merge ×1 |
    +---------+                +-------------+                 +----------+
    """.rstrip(" ")
    )


def test_lines_gather_before_a_queue_and_split_after_it_with_wide_names() -> None:
    drawn = draw_ascii(
        plan(
            stage("chef", None, "steamer", count=3),
            stage("厨师", None, "steamer"),
            stage("eater", "steamer", count=2, daemon=True),
            stage("taster", "steamer"),
        )
    )

    assert drawn == picture(
        """
    +---------+                        +-------------------+
    | chef ×3 |--+                 +-->| eater ×2 (daemon) |
    +---------+  |                 |   +-------------------+
                 +-- steamer ≤10 --+
    +---------+  |                 |   +-------------------+
    | 厨师 ×1 |--+                 +-->| taster ×1         |
    +---------+                        +-------------------+
    """.rstrip(" ")
    )


def test_boxes_of_joined_emoji_are_as_wide_as_they_are_shown() -> None:
    drawn = draw_ascii(plan(stage("👩🏽\u200d🍳", None, "❤\ufe0f"), stage("eater", "❤\ufe0f")))

    assert drawn == picture(
        """
    +-------+             +----------+
    | 👩🏽\u200d🍳 ×1 |-- ❤\ufe0f ≤10 -->| eater ×1 |
    +-------+             +----------+
    """.rstrip(" ")
    )


def test_a_queue_that_skips_a_layer_passes_by() -> None:
    drawn = draw_ascii(
        plan(
            stage("src", None, "q"),
            stage("a", "q", "end"),
            stage("b", "q", "mid"),
            stage("c", "mid", "end"),
            stage("sink", "end"),
        )
    )

    assert drawn == picture(
        """
                             +------+
                         +-->| a ×1 |------------------------+
    +--------+           |   +------+                        |              +---------+
    | src ×1 |-- q ≤10 --+                                   +-- end ≤10 -->| sink ×1 |
    +--------+           |   +------+              +------+  |              +---------+
                         +-->| b ×1 |-- mid ≤10 -->| c ×1 |--+
                             +------+              +------+
    """.rstrip(" ")
    )


def test_plain_stages_stand_alone_and_say_what_they_wait_for() -> None:
    drawn = draw_ascii(plan(stage("prepare"), stage("report", needs=("prepare",))))

    assert drawn == picture(
        """
    +------------+
    | prepare ×1 |
    +------------+

    +-----------+
    | report ×1 |
    +-----------+

    report starts when prepare has ended
    """.rstrip(" ")
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any stages whose queues run one way: each sends to a queue of a higher number than the one it reads."""
    count = draw(st.integers(1, 5))
    stages = []
    for number in range(draw(st.integers(1, 9))):
        receives = draw(st.none() | st.integers(0, count - 1))
        first = 0 if receives is None else receives + 1
        sends = draw(st.none() | st.integers(first, count - 1)) if first < count else None
        ends = [None if end is None else f"q{end}" for end in (receives, sends)]
        stages.append(stage(f"s{number}", *ends))
    return plan(*stages)


@given(plans())
def test_every_line_leads_from_a_writer_to_all_readers_of_its_queue(a_plan: Plan) -> None:
    lines = draw_ascii(a_plan).splitlines()
    boxes = {
        found[1]: (row, found)
        for row, line in enumerate(lines)
        for found in re.finditer(r"\| (s\d) ×1 +\|", line)
    }
    arrivals = {(row, found.start() - 1): name for name, (row, found) in boxes.items()}

    for one in a_plan.stages:
        row, found = boxes[one.name]
        reached = {arrivals[end] for end in follow(lines, row, found.end())}
        readers = {other.name for other in a_plan.stages if other.receives in one.targets}
        assert reached == readers


def follow(lines: list[str], row: int, column: int) -> set[tuple[int, int]]:
    """Follow a line to the right, up and down, and return where its arrow heads are."""

    def at(row: int, column: int) -> str:
        return lines[row][column] if 0 <= row < len(lines) and 0 <= column < len(lines[row]) else " "

    heads: set[tuple[int, int]] = set()
    seen: set[tuple[int, int, int]] = set()
    ways = [(row, column, 0)] if at(row, column) != " " else []
    while ways:
        row, column, upright = way = ways.pop()
        if way in seen or column >= len(lines[row]):
            continue
        seen.add(way)
        here = at(row, column)
        if here == ">":
            heads.add((row, column))
        elif here == "+":
            ways += [(row + step, column, step) for step in (-1, 1) if at(row + step, column) in "|+"]
            ways += [(row, column + 1, 0)] if at(row, column + 1) == "-" else []
        else:
            ways.append((row + upright, column + (upright == 0), upright))
    return heads


@given(plans())
def test_no_line_ends_in_spaces(a_plan: Plan) -> None:
    lines = draw_ascii(a_plan).splitlines()

    assert [line for line in lines if line != line.rstrip()] == []
