"""Names in an `if`: each unknown one is found at its characters, with the right one."""

from __future__ import annotations

import pytest

from runner.jobs.condition_check import Known, Mistake, mistakes_in
from runner.jobs.condition_syntax import parse_expression

KNOWN = Known(
    needs={"build": ("wheel", "version"), "lint": None},
    matrix=("python", "os"),
    params={"level": 3, "deep": {"in": "x"}},
)


def mistakes(text: str, known: Known = KNOWN) -> list[Mistake]:
    return list(mistakes_in(parse_expression(text), known))


@pytest.mark.parametrize(
    "text",
    [
        "success() || failure() && !cancelled() || always()",
        "needs.build.result == 'passed'",
        "'timed_out' != needs.lint.result",
        "needs.build.outputs.wheel == 'w'",
        "needs.lint.outputs.anything",
        "contains(needs.build.outputs, 'x')",
        "matrix.os == 'linux' && matrix.python",
        "params.level > 2 && params.deep.in == 'x'",
        "params.level.below",
        "env.ANYTHING == 'x'",
        "startsWith(env.A, 'b') || endsWith(env.A, 'c')",
    ],
)
def test_what_exists_is_fine(text: str) -> None:
    assert [] == mistakes(text)


@pytest.mark.parametrize(
    ("text", "code", "wrong", "words"),
    [
        ("sucess()", "unknown-function", "sucess", "did you mean 'success'?"),
        ("Failure()", "unknown-function", "Failure", "did you mean 'failure'?"),
        ("hashFiles('x')", "unknown-function", "hashFiles", "known here: success"),
        ("contains('a')", "condition-syntax", "contains('a')", "write contains(text, part)"),
        ("always('x')", "condition-syntax", "always('x')", "write always()"),
        ("need.build.result", "unknown-reference", "need", "did you mean 'needs'?"),
        ("github.ref == 'x'", "unknown-reference", "github", "known here: needs, matrix, params, env"),
        ("matrix.os == linux", "unknown-reference", "linux", "write 'linux' in quotes"),
        ("needs.biuld.result == 'passed'", "unknown-reference", "biuld", "did you mean 'build'?"),
        ("needs.build.reslut == 'passed'", "unknown-reference", "reslut", "did you mean 'result'?"),
        ("needs.build.result.x", "unknown-reference", "x", "is a text"),
        ("needs.build.outputs.wheal", "unknown-reference", "wheal", "did you mean 'wheel'?"),
        ("needs.build", "condition-syntax", "needs.build", "write needs.build.result"),
        ("needs", "condition-syntax", "needs", "write needs.name"),
        ("matrix.pyton == 3", "unknown-reference", "pyton", "did you mean 'python'?"),
        ("params.levle > 1", "unknown-reference", "levle", "did you mean 'level'?"),
        ("params.deep.on", "unknown-reference", "on", "did you mean 'in'?"),
        ("needs.build.result == 'success'", "unknown-value", "'success'", "did you mean 'passed'?"),
        ("needs.build.result != 'failure'", "unknown-value", "'failure'", "did you mean 'failed'?"),
        ("'canceled' == needs.build.result", "unknown-value", "'canceled'", "did you mean 'cancelled'?"),
        ("needs.build.result == true", "unknown-value", "true", ""),
    ],
)
def test_what_does_not_exist_is_found_with_the_right_word(
    text: str, code: str, wrong: str, words: str
) -> None:
    (mistake,) = mistakes(text)

    assert (code, wrong) == (mistake.code, text[mistake.start : mistake.start + mistake.width])
    assert words in (mistake.help or "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("needs.a.result", "this job has no needs"),
        ("matrix.a", "this job has no matrix"),
        ("params.a", "the workflow declares no params"),
    ],
)
def test_where_there_is_nothing_to_name_that_is_said(text: str, words: str) -> None:
    (mistake,) = mistakes(text, Known())

    assert words == mistake.help


def test_all_mistakes_are_found_at_once_in_the_order_of_the_text() -> None:
    found = mistakes("sucess() && matrix.oz == 'x' || needs.nobody.result == 'passed'")

    assert ["unknown-function", "unknown-reference", "unknown-reference"] == [m.code for m in found]
    assert sorted(m.start for m in found) == [m.start for m in found]
