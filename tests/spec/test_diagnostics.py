"""Diagnostics get file, line and column once a source says where their paths are written."""

from __future__ import annotations

import pytest

from runner.spec.diagnostics import Diagnostic, Severity, UnknownPaths
from runner.spec.source.reader import read_text


def test_a_diagnostic_is_located_at_its_key_or_its_value() -> None:
    source = read_text("name: w\n", "w.yaml")

    diagnostics = source.place_all(
        [Diagnostic(("name",), "a", "m"), Diagnostic(("name",), "b", "n", "key", "h")]
    )

    assert [("w.yaml", 7, "a", None), ("w.yaml", 1, "b", "h")] == [
        (p.file, p.span.column, p.code, p.help) for p in diagnostics
    ]


def test_a_diagnostic_inside_a_text_is_located_at_its_characters() -> None:
    source = read_text("if: 'a = b'\n", "w.yaml")

    (diagnostic,) = source.place_all([Diagnostic(("if",), "a", "m", stretch=(2, 1))])

    assert (1, 8, 1) == (diagnostic.span.line, diagnostic.span.column, diagnostic.span.width)


def test_a_warning_stays_one() -> None:
    source = read_text("name: w\n", "w.yaml")

    (diagnostic,) = source.place_all([Diagnostic(("name",), "a", "m", severity=Severity.WARNING)])

    assert Severity.WARNING == diagnostic.severity


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (("stages", "a", "to"), False),
        (("stages", "a", "to", "x"), False),
        (("stages", "a"), True),
        (("stages", "b", "to"), True),
    ],
)
def test_what_is_at_an_unknown_path_is_not_known(path: tuple[str, ...], known: bool) -> None:
    assert known == UnknownPaths(frozenset({("stages", "a", "to")})).knows(*path)
