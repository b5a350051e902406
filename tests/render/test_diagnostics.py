"""Problems as text, JSON, GitHub annotations and SARIF."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.render.diagnostics import FORMATS, SNIPPET_WIDTH, count_line, render_diagnostics
from runner.spec.diagnostics import LocatedDiagnostic, Severity, Span
from runner.text import cells, visible

MISSPELT = LocatedDiagnostic(
    file="workflows/baozi.yaml",
    span=Span(8, 13, 7),
    code="unknown-key",
    message="queue 'steamer' has no key 'maxsise'",
    help="did you mean 'maxsize'?",
    snippet="  steamer: {maxsise: 10}",
)
UNUSED = LocatedDiagnostic(
    "b.yaml", Span(2, 1, 3), "unused-param", "nothing uses 'x'", severity=Severity.WARNING
)


def test_text_shows_the_line_a_caret_and_the_fix() -> None:
    shown = render_diagnostics([MISSPELT], "text")

    assert shown == (
        "workflows/baozi.yaml:8:13: error[unknown-key]: queue 'steamer' has no key 'maxsise'\n"
        "  8 |   steamer: {maxsise: 10}\n"
        "    |             ^^^^^^^\n"
        "  help: did you mean 'maxsize'?\n"
    )


def test_text_separates_problems_by_a_blank_line() -> None:
    shown = render_diagnostics([MISSPELT, UNUSED], "text")

    assert shown.endswith("'maxsize'?\n\nb.yaml:2:1: warning[unused-param]: nothing uses 'x'\n")


@pytest.mark.parametrize(
    ("snippet", "column", "width", "line", "carets"),
    [
        ("\tkey: 1", 2, 3, "    key: 1", "    ^^^"),
        ("包子: {大: 1}", 6, 1, "包子: {大: 1}", "       ^^"),
        ("a\u3000b: 1", 3, 1, "a\\u3000b: 1", "       ^"),
        ("a", 2, 1, "a", " ^"),
        ("a: b", 4, 50, "a: b", "   ^"),
    ],
)
def test_carets_line_up_under_tabs_and_wide_characters(
    snippet: str, column: int, width: int, line: str, carets: str
) -> None:
    diagnostic = LocatedDiagnostic("f", Span(1, column, width), "c", "m", snippet=snippet)

    assert render_diagnostics([diagnostic], "text").splitlines()[1:] == [f"  1 | {line}", f"    | {carets}"]


def test_a_very_long_line_is_cut_to_what_surrounds_the_problem() -> None:
    snippet = "x" * 5000 + "here" + "y" * 5000
    diagnostic = LocatedDiagnostic("f", Span(1, 5001, 4), "c", "m", snippet=snippet)

    line, carets = (row[6:] for row in render_diagnostics([diagnostic], "text").splitlines()[1:])

    assert len(line) <= SNIPPET_WIDTH + 2
    assert line[carets.index("^") : carets.rindex("^") + 1] == "here"


@given(st.text(st.characters(blacklist_characters="\r\n")), st.integers(1, 300), st.integers(1, 300))
def test_carets_begin_where_the_text_before_them_ends(snippet: str, column: int, width: int) -> None:
    diagnostic = LocatedDiagnostic("f", Span(1, column, width), "c", "m", snippet=snippet or "-")

    line, carets = (row[6:] for row in render_diagnostics([diagnostic], "text").split("\n")[1:3])

    assert carets.strip(" ") == "^" * len(carets.strip(" "))
    assert cells(carets) <= cells(line) + 1 or width == 1
    if len(diagnostic.snippet) <= SNIPPET_WIDTH:
        assert carets.index("^") == cells(visible(diagnostic.snippet[: column - 1]))


@given(st.text(), st.text(min_size=1))
def test_text_never_lets_a_name_speak_to_the_terminal(message: str, file: str) -> None:
    diagnostic = LocatedDiagnostic(file, Span(1, 1), "c", message, help=message, snippet=message)

    shown = render_diagnostics([diagnostic], "text")

    assert [c for c in shown if not c.isprintable() and c not in "\n\u200c\u200d"] == []


def test_colour_changes_nothing_but_colour() -> None:
    import click

    colorize = render_diagnostics([MISSPELT], "text", colour=True)

    assert "\x1b[" in colorize
    assert click.unstyle(colorize) == render_diagnostics([MISSPELT], "text")


def test_json_is_a_list_of_objects() -> None:
    shown = json.loads(render_diagnostics([MISSPELT], "json"))

    assert shown == [
        {
            "file": "workflows/baozi.yaml",
            "line": 8,
            "column": 13,
            "width": 7,
            "code": "unknown-key",
            "severity": "error",
            "message": "queue 'steamer' has no key 'maxsise'",
            "help": "did you mean 'maxsize'?",
            "used": [],
        }
    ]


def test_github_pins_a_problem_to_its_line() -> None:
    assert render_diagnostics([MISSPELT], "github") == (
        "::error file=workflows/baozi.yaml,line=8,col=13,endColumn=20,title=unknown-key"
        "::queue 'steamer' has no key 'maxsise'%0Adid you mean 'maxsize'?\n"
    )


def test_github_escapes_what_would_end_a_property_or_a_line() -> None:
    diagnostic = LocatedDiagnostic("a,b:c%.yaml", Span(1, 1), "c", "50% of\nit, all: yes")

    assert render_diagnostics([diagnostic], "github") == (
        "::error file=a%2Cb%3Ac%25.yaml,line=1,col=1,endColumn=2,title=c::50%25 of%0Ait, all: yes\n"
    )


def test_sarif_names_its_rules_and_how_it_counts_columns() -> None:
    shown = json.loads(render_diagnostics([MISSPELT, UNUSED], "sarif"))

    (run,) = shown["runs"]
    assert shown["version"] == "2.1.0"
    assert run["columnKind"] == "unicodeCodePoints"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["unknown-key", "unused-param"]
    assert [(result["ruleId"], result["ruleIndex"], result["level"]) for result in run["results"]] == [
        ("unknown-key", 0, "error"),
        ("unused-param", 1, "warning"),
    ]


def test_sarif_points_at_the_place() -> None:
    (result,) = json.loads(render_diagnostics([MISSPELT], "sarif"))["runs"][0]["results"]

    assert result["message"] == {"text": "queue 'steamer' has no key 'maxsise'\ndid you mean 'maxsize'?"}
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "workflows/baozi.yaml"},
        "region": {
            "startLine": 8,
            "startColumn": 13,
            "endColumn": 20,
            "snippet": {"text": "  steamer: {maxsise: 10}"},
        },
    }


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("my flow.yaml", "my%20flow.yaml"),
        ("/a/包.yaml", "file:///a/%E5%8C%85.yaml"),
        ("a/../b.yaml", "a/../b.yaml"),
    ],
)
def test_sarif_places_are_uris(file: str, expected: str) -> None:
    shown = json.loads(render_diagnostics([LocatedDiagnostic(file, Span(1, 1), "c", "m")], "sarif"))

    place = shown["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == expected


@pytest.mark.parametrize(("form", "expected"), [("text", ""), ("github", ""), ("json", "[]\n")])
def test_no_problem_is_nothing_or_an_empty_list(form: str, expected: str) -> None:
    assert render_diagnostics([], form) == expected


@given(st.text(), st.text(min_size=1), st.sampled_from([*FORMATS]))
def test_every_format_takes_any_text(message: str, file: str, form: str) -> None:
    diagnostic = LocatedDiagnostic(file, Span(1, 1), "c", message, help=message, snippet=message)

    shown = render_diagnostics([diagnostic], form)

    assert shown.endswith("\n")


@pytest.mark.parametrize(
    ("diagnostics", "expected"),
    [
        ([MISSPELT], "1 error in workflows/baozi.yaml"),
        ([MISSPELT, MISSPELT], "2 errors in workflows/baozi.yaml"),
        ([MISSPELT, UNUSED], "1 error and 1 warning in 2 files"),
    ],
)
def test_the_count_line_sums_up(diagnostics: list[LocatedDiagnostic], expected: str) -> None:
    assert count_line(diagnostics) == expected
