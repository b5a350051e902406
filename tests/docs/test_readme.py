"""README.md: what it asks a newcomer to type is there, in the form that the CI script reads, and stays short."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

README = Path(__file__).resolve().parent.parent.parent / "README.md"
# What the build needs takes its versions from the first of the two in old pips, and from the second in new ones.
VERSIONS = "PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt"
INSTALL = f"python3 -m venv .venv && {VERSIONS} .venv/bin/pip install --quiet"


def text() -> str:
    return README.read_text(encoding="utf-8")


def shell_lines(section: str) -> list[str]:
    """The lines of the `sh` blocks below a heading."""
    body = re.search(rf"^## {section}\n(.*?)(?=^## )", text(), re.MULTILINE | re.DOTALL)
    assert body is not None
    return [
        line for block in re.findall(r"```sh\n(.*?)```", body[1], re.DOTALL) for line in block.splitlines()
    ]


def test_one_line_runs_the_main_job_and_one_the_tests() -> None:
    expected = [
        f"{INSTALL} . && .venv/bin/mprun workflows/baozi.yaml",
        f"{INSTALL} '.[test]' && .venv/bin/pytest -n auto",
    ]

    assert expected == shell_lines("Quick start")


def test_the_line_of_the_tests_stands_alone_between_its_marks() -> None:
    """As `.ci/run` reads it: whatever else stood there, it would run too."""
    (between,) = re.findall(r"<!-- test:begin -->\n(.*?)<!-- test:end -->", text(), re.DOTALL)

    assert f"```sh\n{shell_lines('Quick start')[1]}\n```\n" == between


def test_the_lines_install_what_the_project_declares(checkout: Path) -> None:
    declared = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))

    assert declared["project"]["optional-dependencies"]["test"]
    assert (checkout / shlex.split(shell_lines("Quick start")[0])[-1]).is_file()


def test_what_people_ask_are_questions() -> None:
    body = text().partition("## What people ask first")[2].partition("\n## ")[0]
    asked = re.findall(r"^### (.*)$", body, re.MULTILINE)

    assert (13, []) == (len(asked), [heading for heading in asked if not heading.endswith("?")])


def test_it_is_short_enough_to_be_read() -> None:
    assert len(text().splitlines()) <= 250
