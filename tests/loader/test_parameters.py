"""Params: from text to typed values, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from runner.loader.parameters import Params, resolve_params, unused_params
from runner.spec.diagnostics import Severity
from runner.spec.source.reader import read_text


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

    assert ({"p": value}, (), type(value)) == (
        params.values,
        params.diagnostics,
        type(params.values.get("p")),
    )


@pytest.mark.parametrize(
    ("block", "given", "expected"),
    [
        ("{default: 3.10}", None, [(2, 16, "write '3.10' if the text is meant, or 3.1 if the number is")]),
        ("{default: [3.9, 3.10]}", None, [(2, 22, "write '3.10' if the text is meant, or 3.1 if the number is")]),
        ("{type: string, enum: ['3.9', 3.10], default: '3.9'}", None, [(2, 35, None)]),
        ("{default: {v: 1e500}}", None, [(2, 20, "write '1e500' if the text is meant, or inf if the number is")]),
        ("{type: number, default: 3.10, enum: [3.10, 1e3]}", None, []),
        ("{type: integer, default: 0x1F}", None, []),
        ("{default: 3.9}", "3.10", [(1, 3, "give 3.1 if that is meant, or declare the param with `type: string` "
                                           "for it to stay as typed")]),
        ("{type: array}", "[a, 1.50]", [(1, 7, "write '1.50' if the text is meant, or 1.5 if the number is")]),
        ("{type: number}", "3.10", []),
        ("{default: x}", "3.10", []),
    ],
)  # fmt: skip
def test_a_number_that_loses_something_is_told_of_where_the_file_asks_for_none(
    block: str, given: str | None, expected: list[tuple[int, int, str | None]]
) -> None:
    params = resolve(block, **({} if given is None else {"p": given}))

    found = [(d.span.line, d.span.column, d.help) for d in params.diagnostics if d.code == "lossy-number"]
    assert [place[:2] for place in expected] == [place[:2] for place in found]
    assert all(help_ in (None, got) for (*_, help_), (*_, got) in zip(expected, found, strict=True))


@pytest.mark.parametrize("given", [{}, {"p": "a" * 48 + "!"}])
@pytest.mark.slow
def test_a_pattern_that_comes_to_no_end_is_a_problem_and_not_the_end(given: dict[str, str]) -> None:
    params = resolve(
        f"{{type: string, pattern: '^(a+)+$', default: '{'a' * 48}{'' if given else '!'}'}}", **given
    )

    [diagnostic] = params.diagnostics
    assert ("wrong-format", {}, {"p"}) == (diagnostic.code, params.values, set(params.unsure))
    assert "'pattern' of param 'p': it came to no end" in diagnostic.message


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
    [diagnostic] = resolve(block, p=text).diagnostics

    assert ("--param", f"p={text}", 1, column, "wrong-param", message, help_) == (
        diagnostic.file,
        diagnostic.snippet,
        diagnostic.span.line,
        diagnostic.span.column,
        diagnostic.code,
        diagnostic.message,
        diagnostic.help,
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
        [(p.span.line, p.span.column, p.code) for p in params.diagnostics],
        params.unsure,
    )


def test_text_that_is_no_yaml_is_a_problem() -> None:
    params = resolve("{type: array}", p="[1")

    assert (["--param"], frozenset({"p"})) == ([p.file for p in params.diagnostics], params.unsure)


def test_an_unknown_name_is_shown_with_the_nearest() -> None:
    [diagnostic] = resolve("{default: 1}", q="3").diagnostics

    assert ("--param", "q=3", 1, "unknown-param") == (
        diagnostic.file,
        diagnostic.snippet,
        diagnostic.span.column,
        diagnostic.code,
    )


@pytest.mark.parametrize("block", ["3", "{type: integr}", "{}", "[1]"])
def test_what_has_no_shape_is_left_to_the_check_of_the_shape(block: str) -> None:
    params = resolve(block)

    assert ((), frozenset({"p"})) == (params.diagnostics, params.unsure)


def test_a_param_that_nothing_uses_is_a_warning() -> None:
    [diagnostic] = unused_params({"salt": {}}, {("params", "buns"), ("env", "salt")})

    assert (("params", "salt"), "key", Severity.WARNING) == (
        diagnostic.path,
        diagnostic.part,
        diagnostic.severity,
    )


def test_a_param_that_is_misspelt_is_an_error_that_names_the_one_in_use() -> None:
    [diagnostic] = unused_params({"bnus": {}}, {("params", "buns")})

    assert (Severity.ERROR, "did you mean 'buns'? It is used, and not declared") == (
        diagnostic.severity,
        diagnostic.help,
    )


def test_a_param_that_is_used_is_fine() -> None:
    assert [] == unused_params({"buns": {}}, {("params", "buns", "0")})
