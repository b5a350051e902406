"""Conditions from the file's text to a verdict with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.expressions.check import KnownNames, check_condition
from runner.spec.expressions.evaluate import (
    Condition,
    ConditionResult,
    Context,
    NeedContext,
    StatusContext,
    evaluate,
    parse_condition,
)
from runner.spec.source.reader import read_text

FINE = StatusContext(success_reason="needs are done: build passed")
FAILED = StatusContext(failed=("need 'lint' failed",))
UNMET = StatusContext(unmet=("need 'lint' was cancelled",))
STOPPING = StatusContext(stopping="the run was interrupted")
STANDINGS = {"fine": FINE, "failed": FAILED, "unmet": UNMET, "stopping": STOPPING}


def condition(written: object) -> Condition:
    parsed, diagnostics = parse_condition(written, ("if",))
    assert [] == diagnostics
    assert parsed is not None
    return parsed


def verdict(written: object, context: Context | None = None) -> ConditionResult:
    return evaluate(condition(written), context or Context(FINE))


def test_braces_round_the_whole_may_have_braces_in_its_texts() -> None:
    whole, none = parse_condition("${{ contains(params.s, '}}') || 'it''s ${{' }}", ())
    beside, [mistake] = parse_condition("${{ 'a' }} && ${{ 'b' }}", ())

    assert ("contains(params.s, '}}') || 'it''s ${{'", []) == (whole and whole.text, none)
    assert (None, "condition-syntax") == (beside, mistake.code)


@pytest.mark.parametrize(
    ("written", "status", "runs"),
    [
        (None, "fine", True),
        (None, "failed", False),
        (None, "unmet", False),
        (None, "stopping", False),
        ("success()", "fine", True),
        ("success()", "failed", False),
        ("success()", "unmet", False),
        ("success()", "stopping", False),
        ("failure()", "fine", False),
        ("failure()", "failed", True),
        ("failure()", "unmet", False),
        ("failure()", "stopping", False),
        ("cancelled()", "fine", False),
        ("cancelled()", "failed", False),
        ("cancelled()", "unmet", False),
        ("cancelled()", "stopping", True),
        ("always()", "fine", True),
        ("always()", "failed", True),
        ("always()", "unmet", True),
        ("always()", "stopping", True),
        ("!cancelled()", "failed", True),
        ("true", "fine", True),
        ("true", "failed", False),
        (True, "fine", True),
        (False, "fine", False),
        ("failure() || success()", "unmet", False),
    ],
)
def test_the_status_functions_look_at_what_comes_before(written: object, status: str, runs: bool) -> None:
    parsed = None if written is None else condition(written)

    assert runs == evaluate(parsed, Context(STANDINGS[status])).runs


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("matrix.os == 'linux'", "if: matrix.os == 'linux' is false: matrix.os is 'mac'"),
        ("${{ matrix.os == 'mac' }}", "if: matrix.os == 'mac' is true: matrix.os is 'mac'"),
        ("params.full", "if: params.full is false"),
        ("params.text", "if: params.text is false: params.text is ''"),
        ("always()", "if: always() is true"),
        ("cancelled()", "if: cancelled() is false: the run is not being stopped"),
        ("failure()", "if: failure() is false: nothing before it failed"),
        ("success()", "if: success() is true: needs are done: build passed"),
        (
            "needs.build.result == 'failed'",
            "if: needs.build.result == 'failed' is false: needs.build.result is 'passed'",
        ),
        ("env.CI == 'true'", "if: env.CI == 'true' is false: env.CI is not set"),
        # What decides is the reason, not all there is.
        ("matrix.os == 'x' && env.CI", "if: matrix.os == 'x' && env.CI is false: matrix.os is 'mac'"),
        ("env.A || matrix.n > 9", "if: env.A || matrix.n > 9 is false: env.A is not set, matrix.n is 3"),
        (
            "!needs.build.outputs.ready",
            "if: !needs.build.outputs.ready is false: needs.build.outputs.ready is 'yes'",
        ),
        (
            "contains(params.list, 'c')",
            "if: contains(params.list, 'c') is false: params.list is a list of 2",
        ),
    ],
)
def test_a_verdict_says_what_decided(written: str, expected: str) -> None:
    context = Context(
        FINE,
        needs={"build": NeedContext(result="passed", outputs={"ready": "yes"})},
        matrix={"os": "mac", "n": 3},
        params={"list": ["a", "b"], "full": False, "text": ""},
    )

    assert expected == verdict(written, context).reason


def test_without_a_status_function_a_failure_before_it_is_the_reason() -> None:
    assert ConditionResult(False, "need 'lint' failed") == verdict("matrix.os == 'x'", Context(FAILED))


def test_without_a_condition_the_reason_is_how_things_stand() -> None:
    assert ConditionResult(True, "needs are done: build passed") == evaluate(None, Context(FINE))


@pytest.mark.parametrize(
    ("written", "runs"),
    [
        ("params.list[0] == 'a'", True),
        ("params.list[7] == null", True),
        ("needs.test.outputs.wheel['3.11, linux'] == 'w.whl'", True),
        ("contains(needs.test.outputs.wheel, 'w.whl')", True),
        ("needs.test.outputs.nothing.deeper == null", True),
        ("startsWith(env.REF, 'refs/tags/')", True),
        ("env.EMPTY", False),
        ("'false'", True),
        ("!'false'", False),
    ],
)
def test_values_are_looked_up_however_deep(written: str, runs: bool) -> None:
    context = Context(
        FINE,
        needs={"test": NeedContext(result="passed", outputs={"wheel": {"3.11, linux": "w.whl"}})},
        params={"list": ["a"]},
        env={"REF": "refs/tags/v1", "EMPTY": ""},
    )

    assert runs == verdict(written, context).runs


@pytest.mark.parametrize(
    ("yaml", "column", "width", "words"),
    [
        ("if: matrix.os = 'linux'", 15, 1, "write '=='"),
        ("if: ${{ sucess( }}", 15, 1, "add a ')'"),
        ("if: ${{ success() }} && x", 5, 3, "leave the braces out"),
        ("if: success() && ${{ x }}", 18, 3, "leave the braces out"),
        ("if: '  '", 6, 2, "take 'if' out"),
        ("if: ${{ }}", 5, 6, "take 'if' out"),
        ("if: \"matrix.os == 'linux' and x\"", 27, 3, "write '&&'"),
    ],
)
def test_what_is_no_condition_is_a_finding_at_its_column(
    yaml: str, column: int, width: int, words: str
) -> None:
    source = read_text(yaml, "w.yaml")

    parsed, (diagnostic,) = parse_condition(source.data["if"], ("if",))

    problem = source.place(diagnostic)
    assert (None, "condition-syntax", column, width) == (
        parsed,
        problem.code,
        problem.span.column,
        problem.span.width,
    )
    assert words in (problem.help or "")


def test_an_unknown_name_inside_braces_is_found_at_its_column() -> None:
    source = read_text("if: ${{ matrix.oz == 'x' }}", "w.yaml")

    (diagnostic,) = check_condition(condition(source.data["if"]), KnownNames(matrix=("os",)), ("if",))

    problem = source.place(diagnostic)
    assert (16, 2, "did you mean 'os'?") == (problem.span.column, problem.span.width, problem.help)


def test_a_condition_of_several_lines_is_shown_on_one() -> None:
    folded = condition("matrix.a\n  && matrix.b")

    assert "matrix.a && matrix.b" == folded.text


@given(st.booleans(), st.booleans(), st.booleans())
def test_and_or_and_not_are_those_of_python(a: bool, b: bool, c: bool) -> None:
    context = Context(FINE, matrix={"a": a, "b": b, "c": c})

    for text, expected in {
        "matrix.a && matrix.b || !matrix.c": (a and b) or not c,
        "matrix.a || matrix.b && matrix.c": a or (b and c),
        "!(matrix.a || matrix.b) == matrix.c": (not (a or b)) == c,
    }.items():
        assert expected == verdict(text, context).runs
