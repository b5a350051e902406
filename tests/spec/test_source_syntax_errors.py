"""Slips in YAML: each is told in words that name the cause, at the place that has to change."""

from __future__ import annotations

import pytest
import yaml as library

from runner.errors import SpecError
from runner.spec.source.reader import read_text

SLIPS = [
    ("a: 1\nname:baozi\nb: 2", 2, 1, "no space after the colon"),
    ("a: 1\nbaozi\nb: 2", 2, 1, "has no ':'"),
    ("a: 1\nname\uff1a\nb: 2", 2, 1, "full-width one (U+FF1A)"),
    ("a: 1\nname:\xa0baozi\nb: 2", 2, 1, "space that YAML does not take for one"),
    ("a:\n  b:\xa0baozi\n  c: 2", 3, 4, "space that YAML does not take for one"),
    ("a:\n  b:\u3000baozi\n  c: 2", 3, 4, "space that YAML does not take for one"),
    ("a: 1\nname:\u3000baozi\nb: 2", 2, 1, "space that YAML does not take for one"),
    ("a: 1\n  b: 2\n", 2, 4, "below a line that already has a value"),
    ("a: b: c", 1, 5, "second ': '"),
    ("a: 'x\nb: 1\n", 1, 4, "never closed"),
    ('a: "x\nb: "y"\n', 2, 5, "after a closing quote"),
    ("a: 'x' y\n", 1, 8, "after a closing quote"),
    ("a: [x, y\nb: 1\n", 1, 4, "'[' is not closed"),
    ("a: {x: 1\nb: 2\n", 1, 4, "'{' is not closed"),
    ("a: ['x' y]\n", 1, 9, "comma"),
    ("a: 1\n: 2\n", 2, 1, "no key before"),
    ("a: {: 2}\n", 1, 5, "no key before"),
    ("a: [1,2", 1, 4, "'[' is not closed"),
    ("with: {buns: ${{ params.buns }}}", 1, 15, "braces of '${{'"),
    ("a: %x", 1, 4, "cannot start with '%'"),
    ("a: @x", 1, 4, "cannot start with '@'"),
    ("a: `x`", 1, 4, "cannot start with '`'"),
    ("a: ]", 1, 4, "cannot start with ']'"),
    ("a: *.py", 1, 4, "cannot start with '*'"),
    ("a: &.x", 1, 4, "cannot start with '&'"),
    ("a: !<x y", 1, 4, "cannot start with '!'"),
    ("a:\n  b: 1\n c: 2\n", 3, 2, "not indented like any line above"),
    ("a:\n  b: 1\n  - c\n", 3, 3, "not indented like any line above"),
    ("a: - b", 1, 4, "a list cannot start here"),
    ("- a\nb: 1", 2, 1, "no entry of the list"),
    ("a: | x\n  y", 1, 6, "starts on the next line"),
    ("[a]\nb: 1", 2, 1, "has ended"),
    ("%YAML 3.0\n---\na: 1", 1, 1, "no such version"),
    ("a: &默认 1", 1, 4, "name of an anchor"),
    ("a: &base.v1 1", 1, 4, "name of an anchor"),
    ("a: *é", 1, 4, "name of an anchor"),
    ("a: !<foo#bar> x", 1, 4, "no tag that YAML can read"),
    ("a: |0\n  x\n", 1, 5, "one digit"),
    ("a: |10\n  x\n", 1, 6, "one digit"),
    ("a: >-0\n  x\n", 1, 6, "one digit"),
    ("a: &x 1\nb: &y *x\n", 2, 7, "takes no anchor"),
    ("a: {b: 1}c\n", 1, 10, "after a closing bracket"),
    ("a: [1]c\n", 1, 7, "after a closing bracket"),
    ("- :", 1, 3, "no key before"),
    ('{"a"\n : 1}', 2, 2, "right behind its key"),
    ("a: {b: :c}", 1, 8, "cannot start with ':'"),
    ("a: [::c]", 1, 5, "cannot start with ':'"),
]


@pytest.mark.parametrize("in_c", [True, False], ids=["c", "python"])
@pytest.mark.parametrize(("text", "line", "column", "words"), SLIPS)
def test_a_slip_is_told_in_plain_words(
    text: str, line: int, column: int, words: str, in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_c:
        monkeypatch.delattr(library, "CSafeLoader", raising=False)

    with pytest.raises(SpecError) as caught:
        read_text(text, "w.yaml")

    (diagnostic,) = caught.value.diagnostics
    assert ("yaml-syntax", line, column) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)
    assert words in diagnostic.message
    assert diagnostic.help


def test_a_bad_escape_is_told_inside_the_quotes() -> None:
    with pytest.raises(SpecError) as caught:
        read_text('a: "\\d+"', "w.yaml")

    (diagnostic,) = caught.value.diagnostics
    assert "backslash" in diagnostic.message
    assert 5 == diagnostic.span.column


@pytest.mark.parametrize("in_c", [True, False], ids=["c", "python"])
@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a:\n\tb: 1", 2, 1), ("a:\n  \tb: 1", 2, 3), ("a:\n  b: 1\n\tc: 2\n", 3, 1), ("-\ta: 1", 1, 2)],
)
def test_a_tab_where_spaces_are_meant_is_told(
    text: str, line: int, column: int, in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_c:
        monkeypatch.delattr(library, "CSafeLoader", raising=False)

    with pytest.raises(SpecError) as caught:
        read_text(text, "w.yaml")

    (diagnostic,) = caught.value.diagnostics
    assert ("tab-indent", line, column) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


@pytest.mark.parametrize("text", ["a:\tb\n", "a: |\n  b\n  \tc\n", "a: [\n\t'b']\n", "a: 1\t# note\n"])
def test_tabs_that_do_no_harm_are_let_be(text: str) -> None:
    assert {"a"} == read_text(text, "w.yaml").data.keys()
