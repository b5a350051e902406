"""The page of the design: its packages are those that hold, and its journeys lead through code that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
JOURNEYS = DESIGN.partition("## Five journeys")[2].partition("\n## ")[0]
PLACE = re.compile(r"`([\w/]+\.py)`\s+`([A-Za-z_][\w.]*)`")
STEP = re.compile(r"^(\d+)\. (.*(?:\n   +.*)*)", re.MULTILINE)


def journeys() -> dict[str, list[str]]:
    """The steps of each journey, by its title."""
    parts = re.split(r"^### (.*)$", JOURNEYS, flags=re.MULTILINE)[1:]
    return {
        title: [step[2] for step in STEP.finditer(text)]
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def names_in(path: Path) -> set[str]:
    """What a module defines at its top, and the methods and fields of its classes as `Class.name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def test_there_are_five_journeys_of_numbered_steps() -> None:
    numbers = [int(step[1]) for step in STEP.finditer(JOURNEYS)]

    assert 5 == len(journeys())
    assert numbers == [n for steps in journeys().values() for n in range(1, len(steps) + 1)]


@pytest.mark.parametrize("title", journeys())
def test_each_step_of_a_journey_names_a_place_that_is_there(title: str) -> None:
    steps = journeys()[title]
    places = {step: PLACE.findall(step) for step in steps}

    assert [] == [step for step, found in places.items() if not found]
    assert [] == [
        f"{file} has no {name}"
        for found in places.values()
        for file, name in found
        if not (ROOT / "runner" / file).is_file() or name not in names_in(ROOT / "runner" / file)
    ]


def test_every_package_is_on_the_map() -> None:
    packages = {path.parent.name for path in (ROOT / "runner").glob("*/__init__.py")}
    packages |= {path.stem for path in (ROOT / "runner").glob("*.py") if path.stem != "__init__"}
    table = DESIGN.partition("## The packages")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]

    assert packages == {name for row in rows for name in re.findall(r"`(\w+)`", row)}
