"""Params: from text to typed values, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from runner.params import Params, resolve_params, unused_params
from runner.problems import Severity
from runner.source import read_text


def resolve(block: str, **given: str) -> Params:
    source = read_text(f"params:\n  p: {block}\n", "w.yaml")
    return resolve_params(source, source.data["params"], given)


GOOD: list[tuple[str, str, Any]] = [
    ("{type: integer}", "3", 3),
    ("{type: integer}", "-3", -3),
    ("{type: number}", "0.5", 0.5),
    ("{type: number}", "2", 2),
    ("{type: boolean}", "true", True),
    ("{type: string}", "3", "3"),
    ("{type: string}", "true", "true"),
    ("{type: string}", "a: [b", "a: [b"),
    ("{type: string}", "", ""),
    ("{type: array}", "[1, a]", [1, "a"]),
    ("{type: array}", '[1, "a"]', [1, "a"]),
    ("{type: object}", "{a: 1}", {"a": 1}),
    ("{default: 3}", "4", 4),
    ("{default: x}", "4", "4"),
    ("{default: false}", "true", True),
    ("{default: [1]}", "[2]", [2]),
    ("{default: 0.5}", "1", 1),
    ("{type: string, enum: [ab, cd]}", "cd", "cd"),
]


@pytest.mark.parametrize(("block", "text", "value"), GOOD)
def test_text_becomes_the_declared_type(block: str, text: str, value: Any) -> None:
    params = resolve(block, p=text)

    assert ({"p": value}, (), type(value)) == (params.values, params.problems, type(params.values.get("p")))


WRONG_TEXT: list[tuple[str, str, int, str, str | None]] = [
    ("{type: integer}", "ten", 3, "param 'p': expected an integer, got the text 'ten'", None),
    ("{type: integer}", "1.5", 3, "param 'p': expected an integer, got the number 1.5", None),
    ("{type: integer}", "", 2, "param 'p': expected an integer, got nothing", None),
    (
        "{type: integer, minimum: 1}",
        "0",
        3,
        "param 'p': expected an integer of at least 1, got the number 0",
        None,
    ),
    ("{type: boolean}", "yes", 3, "param 'p': expected true or false, got the text 'yes'", None),
    ("{type: array}", "a,b", 3, "param 'p': expected a list, got the text 'a,b'", None),
    (
        "{type: string, enum: [fast, slow]}",
        "fsat",
        3,
        "param 'p': expected one of fast, slow, got the text 'fsat'",
        "did you mean 'fast'?",
    ),
    (
        "{type: string, maxLength: 2}",
        "abc",
        3,
        "param 'p': expected text with at most 2 characters, got the text 'abc'",
        None,
    ),
]


@pytest.mark.parametrize(("block", "text", "column", "message", "help_"), WRONG_TEXT)
def test_wrong_text_is_shown_in_the_option(
    block: str, text: str, column: int, message: str, help_: str | None
) -> None:
    [problem] = resolve(block, p=text).problems

    assert ("--param", f"p={text}", 1, column, "wrong-param", message, help_) == (
        problem.file,
        problem.snippet,
        problem.span.line,
        problem.span.column,
        problem.code,
        problem.message,
        problem.help,
    )


WRONG_BLOCK = {
    "a default of another type": ("{type: integer, default: x}", 2, 31, "wrong-param"),
    "a default below the least": ("{type: integer, minimum: 2, default: 1}", 2, 43, "wrong-param"),
    "no default and nothing given": ("{type: integer}", 2, 3, "missing-param"),
    "a pattern that is none": ("{type: string, pattern: '(', default: x}", 2, 30, "wrong-format"),
}


@pytest.mark.parametrize(("block", "line", "column", "code"), WRONG_BLOCK.values(), ids=WRONG_BLOCK)
def test_a_wrong_declaration_is_shown_in_the_file(block: str, line: int, column: int, code: str) -> None:
    params = resolve(block)

    assert ([(line, column, code)], frozenset({"p"})) == (
        [(p.span.line, p.span.column, p.code) for p in params.problems],
        params.unsure,
    )


def test_text_that_is_no_yaml_is_a_problem() -> None:
    params = resolve("{type: array}", p="[1")

    assert (["--param"], frozenset({"p"})) == ([p.file for p in params.problems], params.unsure)


def test_an_unknown_name_is_shown_with_the_nearest() -> None:
    [problem] = resolve("{default: 1}", q="3").problems

    assert ("--param", "q=3", 1, "unknown-param") == (
        problem.file,
        problem.snippet,
        problem.span.column,
        problem.code,
    )


@pytest.mark.parametrize("block", ["3", "{type: integr}", "{}", "[1]"])
def test_what_has_no_shape_is_left_to_the_check_of_the_shape(block: str) -> None:
    params = resolve(block)

    assert ((), frozenset({"p"})) == (params.problems, params.unsure)


def test_a_param_that_nothing_uses_is_a_warning() -> None:
    [finding] = unused_params({"salt": {}}, {("params", "buns"), ("env", "salt")})

    assert (("params", "salt"), "key", Severity.WARNING) == (finding.path, finding.part, finding.severity)


def test_a_param_that_is_misspelt_is_an_error_that_names_the_one_in_use() -> None:
    [finding] = unused_params({"bnus": {}}, {("params", "buns")})

    assert (Severity.ERROR, "did you mean 'buns'? It is used, and not declared") == (
        finding.severity,
        finding.help,
    )


def test_a_param_that_is_used_is_fine() -> None:
    assert [] == unused_params({"buns": {}}, {("params", "buns", "0")})
