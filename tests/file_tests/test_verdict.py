"""What passes, what is different, and what would be right: from facts, with no process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.file_tests.execution import FailedInTest, Observed
from runner.file_tests.scenario import OutputSpec, Scenario
from runner.file_tests.verdict import Mismatch, verdict_of
from runner.spec.file_tests.model import file_tests_of
from runner.spec.limits import Limits
from runner.spec.plan import Plan

WHY = "'a' has 2 workers"


def mismatches(expect: dict[str, Any], *, ordered: bool = True, **observed: Any) -> tuple[Mismatch, ...]:
    """Compare what a test of one stage expects with what came."""
    (test,) = file_tests_of({"tests": {"t": {"stage": "a", "items": [], "expect": expect}}})
    plan = Plan("w", Path("w.yaml"), "leased", (), (), Limits())
    output = OutputSpec("a", "q", Path("out"), ordered, "" if ordered else WHY, alone=True)
    came = observed.pop("outputs", [])
    found = Observed(**{"seconds": 0.1, "exit": 0, "outputs": {"a": came}, **observed})
    return verdict_of(Scenario(test, plan, (output,), Path()), found).mismatches


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        ([1, {"a": "x"}], [1, {"a": "x"}]),
        ([1, 2.5], [1.0, 2.5]),
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        ([], []),
    ],
)
def test_what_is_the_same_in_yaml_is_the_same(expected: list[Any], came: list[Any]) -> None:
    assert () == mismatches({"outputs": expected}, outputs=came)


@pytest.mark.parametrize(("expected", "came"), [([1], [True]), ([1], ["1"]), ([None], []), ([1, 2], [2, 1])])
def test_what_is_another_is_a_mismatch(expected: list[Any], came: list[Any]) -> None:
    (found,) = mismatches({"outputs": expected}, outputs=came)

    assert (("expect", "outputs"), came) == (found.where, found.right)


def test_the_order_counts_only_where_it_is_certain() -> None:
    assert () == mismatches({"outputs": [1, 2, 2]}, outputs=[2, 1, 2], ordered=False)
    (found,) = mismatches({"outputs": [1, 2, 2]}, outputs=[2, 1, 1], ordered=False)

    assert f"the outputs of 'a' are others, in any order, as {WHY}" == found.title
    assert [1, 2, 1] == found.right


def test_the_difference_is_shown_line_by_line() -> None:
    (found,) = mismatches({"outputs": [{"a": 1}, {"a": 5}, {"a": 3}]}, outputs=[{"a": 1}, {"a": 2}, {"a": 3}])

    assert ("  {a: 1}", "- {a: 5}", "+ {a: 2}", "  {a: 3}") == found.diff


def test_what_is_expected_in_other_words_stays_in_them() -> None:
    (found,) = mismatches({"outputs": [9, 19]}, outputs=[9.0, 18.0])

    assert [9, 18.0] == found.right
    assert isinstance(found.right[0], int)


BAD = FailedInTest("a", "{'a': 'x'}", "ValueError: no number: x")


@pytest.mark.parametrize(
    "expected",
    [
        {"item": {"a": "x"}, "error": "ValueError: no number: x"},
        {"item": {"a": "x"}, "error": "ValueError: …"},
        {"error": "…number…"},
        {"stage": "a", "item": {"a": "x"}},
        {},
    ],
)
def test_a_failure_is_met_by_what_it_says(expected: dict[str, Any]) -> None:
    assert () == mismatches({"failures": [expected]}, failures=(BAD,))


@pytest.mark.parametrize(
    "expected", [{"item": {"a": "y"}}, {"error": "TypeError: …"}, {"error": "ValueError"}, {"stage": "b"}]
)
def test_a_failure_is_not_met_by_another(expected: dict[str, Any]) -> None:
    (found,) = mismatches({"failures": [expected]}, failures=(BAD,))

    assert [{"item": {"a": "x"}, "error": "ValueError: no number: x"}] == found.right


def test_an_item_that_fails_unasked_is_told() -> None:
    (found,) = mismatches({"outputs": []}, failures=(BAD,))

    assert "an item failed that should not" == found.title
    assert ('+ {item: {a: x}, error: "ValueError: no number: x"}',) == found.diff


def test_who_says_most_is_met_first() -> None:
    other = FailedInTest("a", "1", "OSError: x")

    assert () == mismatches({"failures": [{}, {"item": 1, "error": "OSError: x"}]}, failures=(other, BAD))


def test_counts_that_are_named_are_compared() -> None:
    ledger = {"q": {"put": 3, "done": 2, "dropped": 1, "dead_lettered": 0}}

    assert () == mismatches({"ledger": {"q": {"put": 3, "dropped": 1}}}, ledger=ledger)
    (found,) = mismatches({"ledger": {"q": {"put": 3, "done": 3}}}, ledger=ledger)
    assert (("expect", "ledger", "q", "done"), 2) == (found.where, found.right)


def test_a_run_without_an_end_and_a_fault_out_of_reach_are_no_new_expectation() -> None:
    (late,) = mismatches({"outputs": [1]}, exit=None, seconds=61.0)
    (slow,) = mismatches({"outputs": [1]}, exit=5, reason="the run took longer than limits.timeout, 1m")

    assert "it came to no end within 1m" == late.title
    assert "it took longer than it may, 1m: the run took longer than limits.timeout, 1m" == slow.title
    assert not late.can_update
    assert not slow.can_update


def test_the_exit_code_is_zero_unless_it_is_said() -> None:
    (found,) = mismatches({"outputs": []}, exit=1, reason="stage 'a' has failed")

    assert "the exit code is 1: stage 'a' has failed" == found.title
    assert () == mismatches({"exit": 1}, exit=1)
