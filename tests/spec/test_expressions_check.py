"""Names in an `if`: each unknown one is found at its characters, with the right one."""

from __future__ import annotations

import pytest

from runner.spec.diagnostics import Diagnostic, Severity
from runner.spec.expressions.ast import parse_expression
from runner.spec.expressions.check import KnownNames, check_condition
from runner.spec.expressions.evaluate import Condition

KNOWN = KnownNames(
    needs={"build": ("wheel", "version"), "lint": None},
    matrix=("python", "os"),
    params={"level": 3, "deep": {"in": "x"}, "empty": {}, "all": ["x"]},
)


def mistakes(text: str, known: KnownNames = KNOWN) -> list[Diagnostic]:
    return check_condition(Condition(text, parse_expression(text), asks_status=False), known, ())


def marked(text: str, mistake: Diagnostic) -> str:
    assert mistake.stretch is not None
    start, width = mistake.stretch
    return text[start : start + width]


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
        "needs.build.result == 'Passed'",
        "contains(params.all, matrix.os) && contains(params.deep, 'x')",
        "env.A == 'a${{b'",
        "env.ANYTHING == 'x'",
        "startsWith(env.A, 'b') || endsWith(env.A, 'c')",
    ],
)
def test_what_exists_is_fine(text: str) -> None:
    assert [] == mistakes(text)


@pytest.mark.parametrize(
    ("text", "code", "wrong", "words"),
    [
        ("needs.*.resutl == 'x'", "unknown-reference", "resutl", "did you mean 'result'?"),
        ("sucess()", "unknown-function", "sucess", "did you mean 'success'?"),
        ("hashFiles('x')", "unknown-function", "hashFiles", "in the `if` of a step"),
        ("contains('a')", "condition-syntax", "contains('a')", "write contains(text, part)"),
        ("always('x')", "condition-syntax", "always('x')", "write always()"),
        ("need.build.result", "unknown-reference", "need", "did you mean 'needs'?"),
        ("other.ref == 'x'", "unknown-reference", "other", "known here: needs, matrix, params, env"),
        (
            "github.ref_name == 'x'",
            "unknown-reference",
            "github",
            "write env.GITHUB_REF_NAME, which is set where GitHub",
        ),
        (
            "github.event.action == 'x'",
            "unknown-reference",
            "github",
            "read the file $GITHUB_EVENT_PATH in a step",
        ),
        (
            "inputs.level > 1",
            "unknown-reference",
            "inputs",
            "write params.level, and declare it under `params`",
        ),
        (
            "runner.os == 'Linux'",
            "unknown-reference",
            "runner",
            "write env.RUNNER_OS, which is set where GitHub",
        ),
        (
            "secrets.TOKEN != ''",
            "unknown-reference",
            "secrets",
            "write env.TOKEN, and `secrets: TOKEN` in the job",
        ),
        ("steps.a.outputs.b", "unknown-reference", "steps", "others get what is under `outputs.values`"),
        ("always", "unknown-reference", "always", "write always()"),
        ("matrix.os || failure", "unknown-reference", "failure", "write failure()"),
        ("yes", "unknown-reference", "yes", "write true"),
        ("off", "unknown-reference", "off", "write false"),
        ("True == matrix.os", "unknown-reference", "True", "write true"),
        ("params.empty.x", "unknown-reference", "x", "'params.empty' has no entries"),
        (
            "'${{ params.level }}' == '3'",
            "condition-syntax",
            "'${{ params.level }}'",
            "write params.level, without",
        ),
        (
            "contains('a ${{ matrix.os }}', 'b')",
            "condition-syntax",
            "'a ${{ matrix.os }}'",
            "write matrix.os, without",
        ),
        ("contains(matrix.os, params.all)", "wrong-type", "params.all", "write contains(params.all, …)"),
        ("contains(params.all, params.deep)", "wrong-type", "params.deep", "write contains(params.deep, …)"),
        ("startsWith(params.all, 'x')", "wrong-type", "params.all", ""),
        ("endsWith(matrix.os, params.deep)", "wrong-type", "params.deep", ""),
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
        ("needs.build.result == 'succeeded'", "unknown-value", "'succeeded'", "did you mean 'passed'?"),
        ("needs.build.result != 'failures'", "unknown-value", "'failures'", "did you mean 'failed'"),
        ("'canceled' == needs.build.result", "unknown-value", "'canceled'", "did you mean 'cancelled'?"),
        ("needs.build.result == true", "unknown-value", "true", ""),
    ],
)
def test_what_does_not_exist_is_found_with_the_right_word(
    text: str, code: str, wrong: str, words: str
) -> None:
    (mistake,) = mistakes(text)

    assert (code, wrong) == (mistake.code, marked(text, mistake))
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
    (mistake,) = mistakes(text, KnownNames())

    assert words == mistake.help


def test_all_mistakes_are_found_at_once_in_the_order_of_the_text() -> None:
    found = mistakes("sucess() && matrix.oz == 'x' || needs.nobody.result == 'passed'")

    assert ["unknown-function", "unknown-reference", "unknown-reference"] == [m.code for m in found]
    assert sorted(m.stretch or () for m in found) == [m.stretch for m in found]


TYPES = KnownNames(
    needs={"build": ("wheel",), "lint": None},
    params={"debug": True, "level": 3, "name": "x"},
    with_matrix=("build",),
)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("params.debug == 'true'", "wrong-type", "'params.debug' is true or false"),
        ("'false' != params.debug", "wrong-type", "write params.debug, or !params.debug"),
        ("needs.build.outputs.wheel == '1'", "wrong-type", "is a map of the legs of 'build'"),
        ("'params.name == nothing'", "constant-condition", "this is always true"),
        ("contains('abc', 'z')", "constant-condition", "this is always false"),
        ("1 == 2 || !true", "constant-condition", "this is always false"),
        ("contains(needs.build.result, 'succeeded')", "unknown-value", "did you mean 'passed'?"),
        ("contains('good bad', needs.build.result)", "unknown-value", "is never in"),
        ("contains(needs.*.result, 'fail')", "unknown-value", "never has 'fail' in it"),
        ("startsWith(needs.lint.result, 'x')", "unknown-value", "never has 'x' in it"),
    ],
)
def test_what_can_be_known_before_the_run_is_told(text: str, code: str, words: str) -> None:
    (mistake,) = mistakes(text, TYPES)

    assert code == mistake.code
    assert words in f"{mistake.message} {mistake.help}"
    assert ("unknown-value" == code) == (mistake.severity is Severity.ERROR)


@pytest.mark.parametrize(
    "text",
    [
        "params.debug == '1'",
        "params.debug == true",
        "params.level == '3'",
        "params.name == 'true'",
        "needs.build.outputs.wheel['3.11'] == '1'",
        "needs.lint.outputs.any == '1'",
        "contains(needs.build.result, 'pass')",
        "contains('passed allowed', needs.build.result)",
        "true",
        "false",
        "0",
        "always()",
        "env.A == 'x' || 'text'",
    ],
)
def test_what_may_be_either_is_not(text: str) -> None:
    assert [] == mistakes(text, TYPES)
