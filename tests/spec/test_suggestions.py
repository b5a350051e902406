"""The right word for a wrong one: which candidate is offered, and how many where none is near."""

from __future__ import annotations

import pytest

from runner.spec.suggestions import did_you_mean, is_affordable, nearest, one_slip_from

TWELVE = [f"{letter}{letter}{letter}" for letter in "abcdefghijkl"]


@pytest.mark.parametrize(
    ("word", "candidates", "expected"),
    [
        ("Steamer", ["steamer"], "steamer"),
        ("steamre", ["steamer", "streamer"], "steamer"),
        ("ot", ["to", "from"], "to"),
        ("t", ["to", "on"], "to"),
        ("a", ["b"], None),
        ("", ["b"], None),
        ("chef", ["eater"], None),
    ],
)
def test_the_nearest_word_is_one_slip_away_or_much_alike(
    word: str, candidates: list[str], expected: str | None
) -> None:
    assert expected == nearest(word, candidates)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("TO", "to"), ("tp", "to"), ("too", "to"), ("o", "to"), ("x", None), ("form", "from")],
)
def test_one_slip_is_a_letter_left_out_put_in_mistaken_or_swapped(word: str, expected: str | None) -> None:
    assert expected == one_slip_from(word, ["to", "from"])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("stat", "did you mean 'state' or 'start'?"),
        ("tat", "did you mean 'stat', 'tar' or 'tap'?"),
        ("start", "did you mean 'start'?"),
        ("stats", "did you mean 'state'?"),
    ],
)
def test_what_is_one_slip_from_several_words_is_told_of_each_up_to_three(word: str, expected: str) -> None:
    known = {"stat": ["start", "state"], "tat": ["tap", "stat", "tar", "bat"]}

    assert expected == did_you_mean(word, known.get(word, ["start", "state"]))


def test_where_nothing_is_near_the_first_twelve_are_listed() -> None:
    assert f"known here: {', '.join(TWELVE)}" == did_you_mean("zzz", TWELVE)
    assert f"known here: {', '.join(TWELVE)}, …" == did_you_mean("zzz", [*TWELVE, "mmm"])
    assert did_you_mean("zzz", []) is None


def test_fifty_thousand_comparisons_are_not_felt() -> None:
    assert is_affordable(50, 1000)
    assert not is_affordable(50, 1001)
