"""The graph of what needs what, on the pages of a run of jobs."""

from __future__ import annotations

import re

import pytest

from runner.events.job_report import JobLine, JobState
from runner.render.page.markup import joined
from runner.render.page.needs_graph import MOST_BOXES, needs_graph

PASSED, FAILED, RUNNING, SKIPPED = JobState.PASSED, JobState.FAILED, JobState.RUNNING, JobState.SKIPPED


def line(job: str, state: JobState = PASSED, *needs: str) -> JobLine:
    return JobLine(job, state, "", needs=needs)


def drawn(*lines: JobLine) -> str:
    return joined(needs_graph(lines)).html


def boxes(text: str) -> dict[str, tuple[str, str]]:
    """Return the words and the colour of each box."""
    found = re.findall(
        r'<g><title>([^<]*)</title><rect [^>]*s-([a-z]+)"></rect>.*?<text.*?<text[^>]*>([^<]*)<', text
    )
    return {name: (words, tone) for name, tone, words in found}


def needs(text: str) -> list[str]:
    return re.findall(r"<title>([^<]* needs [^<]*)</title><path", text)


@pytest.mark.parametrize(
    ("states", "words", "tone"),
    [
        ([PASSED], "passed", "busy"),
        ([FAILED], "failed", "bad"),
        ([JobState.TIMED_OUT], "timed out", "bad"),
        ([JobState.ALLOWED], "allowed", "blocked"),
        ([RUNNING], "running", "accent"),
        ([JobState.RETRYING], "retrying", "accent"),
        ([SKIPPED], "skipped", "starved"),
        ([JobState.CANCELLED], "cancelled", "starved"),
        ([PASSED] * 2, "×2 · 2 passed", "busy"),
        ([PASSED, FAILED, PASSED, PASSED], "×4 · 1 failed, 3 passed", "bad"),
        ([PASSED, RUNNING], "×2 · 1 running, 1 passed", "accent"),
        ([SKIPPED, JobState.ALLOWED, PASSED], "×3 · 1 allowed, 1 passed, 1 skipped", "blocked"),
    ],
)
def test_a_box_has_the_colour_of_its_state_and_the_word_and_counts_legs(
    states: list[JobState], words: str, tone: str
) -> None:
    legs = [f"test ({n}, x)" for n in range(len(states))] if len(states) > 1 else ["test"]
    tests = [line(leg, state, "build") for leg, state in zip(legs, states, strict=True)]

    assert {"build": ("passed", "busy"), "test": (words, tone)} == boxes(drawn(line("build"), *tests))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([line("a"), line("b", PASSED, "a")], ["b needs a"]),
        ([line("a"), line("b"), line("c", PASSED, "a", "b")], ["c needs a, b"]),
        ([line("a"), line("b", PASSED, "a"), line("c", PASSED, "a", "b")], ["b needs a", "c needs a, b"]),
        (
            [
                line("t (1)"),
                line("t (2)"),
                line("u (1)", PASSED, "t (1)", "t (2)"),
                line("u (2)", PASSED, "t (1)"),
            ],
            ["u needs t"],
        ),
        ([line("a"), line("b", PASSED, "a", "gone")], ["b needs a"]),
        (
            [line("a", PASSED, "c"), line("b", PASSED, "a"), line("c", PASSED, "b")],
            ["b needs a", "c needs b"],
        ),
        ([line("a (x)"), line("b", PASSED, "a (x)")], ["b needs a (x)"]),
        ([line("a"), line("a (x)", PASSED, "a")], ["a (x) needs a"]),
    ],
    ids=["one", "two", "past one", "legs", "unknown", "in a circle", "brackets", "brackets beside it"],
)
def test_a_line_goes_from_what_is_needed_to_what_needs_it(lines: list[JobLine], expected: list[str]) -> None:
    text = drawn(*lines)

    assert expected == sorted(needs(text))
    assert sum(len(each.split(", ")) for each in expected) <= text.count("M")


def test_what_needs_nothing_and_is_not_needed_is_drawn_in_rows_below() -> None:
    text = drawn(line("a"), line("b", FAILED, "a"), *(line(f"alone {n}") for n in range(30)))

    assert 32 == len(boxes(text))
    assert 2 == text.count("<svg")
    assert all(int(width) < 1100 for width in re.findall(r'<svg width="(\d+)"', text))


def test_jobs_stand_below_each_other_in_the_order_in_which_they_became_known() -> None:
    names = [f"middle {n}" for n in range(5)]
    text = drawn(
        line("first"), *(line(name, PASSED, "first") for name in names), line("alone"), line("by itself")
    )

    assert ["first", *names, "alone", "by itself"] == list(boxes(text))
    tops = [float(y) for y in re.findall(r'<title>middle \d</title><rect [^>]*?y="([\d.]+)"', text)]
    assert sorted(tops) == tops


def test_jobs_of_which_none_needs_another_are_no_graph() -> None:
    assert needs_graph([]) is None
    assert needs_graph([line("a"), line("b (1)"), line("b (2)")]) is None


@pytest.mark.parametrize("number", [MOST_BOXES, MOST_BOXES + 1])
def test_beyond_a_number_of_boxes_there_is_a_sentence_instead(number: int) -> None:
    chain = [line("j0"), *(line(f"j{n}", PASSED, f"j{n - 1}") for n in range(1, number - 1))]
    legs = [line(f"leg ({n})", PASSED, "j0") for n in range(3 * MOST_BOXES)]
    text = drawn(*chain, *legs)

    assert (number if number == MOST_BOXES else 0) == len(boxes(text))
    assert ("61 jobs are too many for a picture" in text) is (number > MOST_BOXES)


def test_names_never_become_markup() -> None:
    text = drawn(line("<b>&'\""), line("<i> (1)", PASSED, "<b>&'\""), line("<i> (2)"))

    assert "<b>" not in text
    assert "<i>" not in text
    assert {"&lt;b&gt;&amp;&#x27;&quot;", "&lt;i&gt;"} == set(boxes(text))
