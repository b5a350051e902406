"""Findings become problems once a source says where their paths are written."""

from __future__ import annotations

import pytest

from runner.findings import Finding, Spoilt, located
from runner.problems import Severity
from runner.source import read_text


def test_a_finding_is_located_at_its_key_or_its_value() -> None:
    source = read_text("name: w\n", "w.yaml")

    problems = located([Finding(("name",), "a", "m"), Finding(("name",), "b", "n", "key", "h")], source)

    assert [("w.yaml", 7, "a", None), ("w.yaml", 1, "b", "h")] == [
        (p.file, p.span.column, p.code, p.help) for p in problems
    ]


def test_a_finding_inside_a_text_is_located_at_its_characters() -> None:
    source = read_text("if: 'a = b'\n", "w.yaml")

    problem = Finding(("if",), "a", "m", stretch=(2, 1)).at(source)

    assert (1, 8, 1) == (problem.span.line, problem.span.column, problem.span.width)


def test_a_warning_stays_one() -> None:
    finding = Finding(("name",), "a", "m", severity=Severity.WARNING)

    assert Severity.WARNING == finding.at(read_text("name: w\n", "w.yaml")).severity


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (("stages", "a", "to"), False),
        (("stages", "a", "to", "x"), False),
        (("stages", "a"), True),
        (("stages", "b", "to"), True),
    ],
)
def test_what_is_in_a_spoilt_place_is_not_known(path: tuple[str, ...], known: bool) -> None:
    assert known == Spoilt(frozenset({("stages", "a", "to")})).knows(*path)
