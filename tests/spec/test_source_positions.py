"""Where things are written: keys, values, parts of a text, and what stands nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.diagnostics import DataPath, LocatedDiagnostic, Part, Severity, Span
from runner.spec.source.positions import Text
from runner.spec.source.reader import read_text

FILE = """\
name: baozi
queues:
  steamer: {maxsize: 10}
stages:
  'chef':
    run: "baozi:steam"
    names: [neo, alex]
  eater:
    - from: steamer
    - [a, b]
    -
note: |
  first line
  second line
empty:
包子: 多 行
"""
SOURCE = read_text(FILE, "w.yaml")


@pytest.mark.parametrize(
    ("path", "part", "span"),
    [
        (("name",), "value", Span(1, 7, 5)),
        (("name",), "key", Span(1, 1, 4)),
        (("queues", "steamer", "maxsize"), "value", Span(3, 22, 2)),
        (("queues", "steamer", "maxsize"), "key", Span(3, 13, 7)),
        (("queues", "steamer"), "value", Span(3, 3, 7)),
        (("stages", "chef"), "key", Span(5, 3, 6)),
        (("stages", "chef", "run"), "value", Span(6, 10, 13)),
        (("stages", "chef", "names", 1), "value", Span(7, 18, 4)),
        (("stages", "chef", "names", 1), "key", Span(7, 18, 4)),
        (("stages", "eater", 0), "value", Span(9, 7, 1)),
        (("stages", "eater", 1), "value", Span(10, 7, 1)),
        (("note",), "value", Span(12, 7, 1)),
        (("empty",), "value", Span(15, 1, 5)),
        (("包子",), "value", Span(16, 5, 3)),
        ((), "value", Span(1, 1, 1)),
        (("nothing",), "value", Span(1, 1, 1)),
        (("queues", "steamer", "maxsise"), "value", Span(3, 3, 7)),
        (("stages", "chef", "names", 7), "value", Span(7, 5, 5)),
        (("name", "deeper", 3), "key", Span(1, 1, 4)),
        (("stages", "chef", 0), "value", Span(5, 3, 6)),
        (("stages", "eater", "x"), "value", Span(8, 3, 5)),
    ],
)
def test_everything_has_its_place(path: DataPath, part: Part, span: Span) -> None:
    location = SOURCE.locate(path, part)

    assert span == location.span
    assert FILE.split("\n")[span.line - 1] == location.snippet


def test_a_list_entry_left_out_is_found_on_its_line() -> None:
    assert 11 == SOURCE.locate(("stages", "eater", 2)).span.line


def test_a_problem_is_made_at_a_place() -> None:
    found = SOURCE.diagnostic(
        ("queues", "steamer", "maxsize"), "too-big", "no", part="key", help="yes", severity=Severity.WARNING
    )

    expected = LocatedDiagnostic(
        "w.yaml", Span(3, 13, 7), "too-big", "no", "yes", "  steamer: {maxsize: 10}", Severity.WARNING
    )
    assert expected == found


@pytest.mark.parametrize(
    ("yaml", "start", "width", "span"),
    [
        ("a: say params.x", 4, 8, Span(1, 8, 8)),
        ("a: 'say params.x'", 4, 8, Span(1, 9, 8)),
        ('a: &here "say params.x"', 4, 8, Span(1, 15, 8)),
        ("a: !!str say params.x", 4, 8, Span(1, 14, 8)),
        ("a: |\n  one\n  say params.x\n", 8, 8, Span(3, 7, 8)),
        ("a: >\n  say\n  params.x params.x\n", 13, 8, Span(3, 12, 8)),
        ("a: 'it''s params.x'", 5, 8, Span(1, 11, 8)),
        ('a: "\\u0070arams.x"', 0, 8, Span(1, 4, 15)),
        ("a: 'say\n  params.x y'", 4, 10, Span(2, 3, 10)),
        ("a: x\nb: [params.x]", 50, 3, Span(1, 4, 1)),
        ("a: 3.10", 0, 2, Span(1, 4, 4)),
    ],
)
def test_a_part_of_a_text_is_found_where_it_is_written(yaml: str, start: int, width: int, span: Span) -> None:
    assert span == read_text(yaml, "w.yaml").within(("a",), start, width).span


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("a: 3.10", "3.10"),
        ("a: '3.10'", "3.10"),
        ("a: 1e3", "1e3"),
        ("a: 0xff # hex", "0xff"),
        ("a: &v 3.10", "3.10"),
        ("a: !!float 3.10", "3.10"),
        ("b: &v 3.10\na: *v", "3.10"),
        ("a: ~", "~"),
        ("a:", ""),
        ("a: [3.10]", None),
        ("b: 1", None),
    ],
)
def test_a_scalar_is_known_as_it_was_typed(yaml: str, expected: str | None) -> None:
    assert expected == read_text(yaml, "w.yaml").scalar_text(("a",))


def test_an_alias_is_where_it_stands_and_what_is_in_it_where_it_is_written() -> None:
    source = read_text("a: &a\n  b: 1\nc: *a\nd: &d x\ne: *d\n", "w.yaml")

    spans = [source.locate(path).span for path in [("c",), ("c", "b"), ("e",)]]

    assert [Span(3, 1, 1), Span(2, 6, 1), Span(5, 4, 2)] == spans


def test_a_tree_put_together_from_two_texts_keeps_both_places() -> None:
    main, other = read_text("a: 1\nb: 2\n", "main"), read_text("\n\nb: 3\n", "other")

    joined = main.with_root(main.root.with_entries({**main.root.entries(), **other.root.entries()}))

    assert {"a": 1, "b": 3} == joined.data
    assert [("main", 1), ("other", 3)] == [
        (at.file, at.span.line) for at in map(joined.locate, [("a",), ("b",)])
    ]


def test_many_problems_on_one_long_line_share_its_text() -> None:
    text = Text("w", "x" * 100_000)

    assert text.location(5, 6).snippet is text.location(9, 10).snippet


@given(st.text(alphabet="ab\n\r\x85\u2028 "), st.integers(0, 40), st.integers(0, 40))
def test_no_offset_leads_out_of_the_text(text: str, start: int, width: int) -> None:
    location = Text("w", text).location(start, start + width)

    assert location.span.line >= 1
    assert location.span.column + location.span.width - 1 <= max(1, len(location.snippet))
    assert location.snippet in text
