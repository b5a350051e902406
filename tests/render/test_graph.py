"""Plans drawn for Markdown and Graphviz."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from graph_plans import plan, stage
from hypothesis import given
from hypothesis import strategies as st

from runner.render.graph import FORMATS, draw

BAOZI = plan(stage("chef", None, "steamer", count=3), stage("eater", "steamer", count=2, daemon=True))
SHARED = plan(
    stage("chef", None, "steamer"),
    stage("cook", None, "steamer"),
    stage("eater", "steamer"),
    stage("clean", needs=("chef",)),
)


def test_mermaid_shows_counts_in_boxes_and_sizes_on_arrows() -> None:
    drawn = draw(BAOZI, "mermaid")

    assert drawn == (
        'flowchart LR\n    s1["chef ×3"]\n    s2(["eater ×2 (daemon)"])\n    s1 -->|"steamer ≤10"| s2\n'
    )


def test_mermaid_makes_a_queue_with_several_writers_a_node() -> None:
    drawn = draw(SHARED, "mermaid")

    assert drawn.splitlines()[5:] == [
        '    q1{{"steamer ≤10"}}',
        "    s1 --> q1",
        "    s2 --> q1",
        "    q1 --> s3",
        "    s1 -. then .-> s4",
    ]


def test_dot_shows_counts_in_boxes_and_sizes_on_arrows() -> None:
    drawn = draw(BAOZI, "dot")

    assert drawn == (
        'digraph "baozi" {\n'
        "    rankdir=LR;\n"
        "    node [shape=box];\n"
        '    s1 [label="chef ×3"];\n'
        '    s2 [label="eater ×2 (daemon)", style=dashed];\n'
        '    s1 -> s2 [label="steamer ≤10"];\n'
        "}\n"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ('a"b', '["a#34;b ×1"]'),
        ("1. list", '["1#46; list ×1"]'),
        ("- list", '["#45; list ×1"]'),
        ("#1;", '["#35;1#59; ×1"]'),
        ("<b>", '["#60;b#62; ×1"]'),
        ("包子-铺", '["包子-铺 ×1"]'),
    ],
)
def test_mermaid_names_mean_nothing_but_themselves(name: str, expected: str) -> None:
    assert expected in draw(plan(stage(name)), "mermaid")


@pytest.mark.parametrize(
    ("name", "expected"), [('a"b', r'"a\"b ×1"'), ("a\\", r'"a\\ ×1"'), ("包子", '"包子 ×1"')]
)
def test_dot_names_mean_nothing_but_themselves(name: str, expected: str) -> None:
    assert f"[label={expected}]" in draw(plan(stage(name)), "dot")


def test_an_unbounded_queue_says_so() -> None:
    drawn = draw(plan(stage("a", None, "q"), stage("b", "q"), size=None), "dot")

    assert 's1 -> s2 [label="q unbounded"];' in drawn


@given(
    name=st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1),
    form=st.sampled_from([*FORMATS]),
)
def test_any_name_is_drawn_on_one_line_of_its_own(name: str, form: str) -> None:
    plain = draw(plan(stage("x", None, "q"), stage("b", "q")), form)
    drawn = draw(plan(stage(name, None, "q"), stage("b", "q")), form)

    assert drawn.count("\n") == plain.count("\n")


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_takes_what_is_drawn_for_it() -> None:
    done = subprocess.run(
        ["dot", "-Tsvg"], input=draw(SHARED, "dot"), text=True, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
