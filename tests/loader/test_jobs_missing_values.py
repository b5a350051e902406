"""Legs without a value that is referred to: each reference is told once, with the names of the legs."""

from __future__ import annotations

import pytest

from runner.jobs.matrix import Leg
from runner.loader.jobs import missing_values
from runner.spec.source.reader import read_text

TEXT = "go ${{ matrix.x }} ${{ matrix.q }} ${{ params.q }} ${{ matrix.never }}"
PATH = ("jobs", "t", "name")


def leg(label: str, **values: object) -> Leg:
    return Leg(f"t ({label})", label, {"x": label, **values})


@pytest.mark.parametrize(
    ("legs", "expected"),
    [
        ([leg("a", q=1), leg("b", q=2)], []),
        ([leg("a"), leg("b")], []),  # nobody has it: it is no key of the matrix at all
        ([leg("a", q=1), leg("b")], ["leg (b) has no 'q'"]),
        ([leg("a"), leg("b", q=1), leg("c")], ["legs (a), (c) have no 'q'"]),
        ([leg("z", q=1), *map(leg, "abcde")], ["legs (a), (b), (c) and 2 more have no 'q'"]),
    ],
)
def test_the_legs_that_lack_it_are_named_at_the_reference(legs: list[Leg], expected: list[str]) -> None:
    source = read_text(f"jobs: {{t: {{name: '{TEXT}'}}}}", "w.yaml")

    found = [each.diagnostic(source) for each in missing_values([(PATH, TEXT)], legs)]

    assert expected == [diagnostic.message for diagnostic in found]
    assert ["matrix.q"] * len(found) == [p.snippet[p.span.column - 1 :][: p.span.width] for p in found]
