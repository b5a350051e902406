"""`mprun list`: what a file has to run, and the params it takes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

FILE = """
name: shop
description: What the team runs.
default: lint
params:
  version: {type: string, description: What to release.}
  level: {default: 3}
jobs:
  lint: {run: "true", description: Look for slips.}
  test: {needs: lint, strategy: {matrix: {v: [a, b]}}, run: "true"}
  release: {manual: true, needs: [test], run: 'echo "${{ params.version }} ${{ params.level }}"'}
"""


@pytest.fixture(autouse=True)
def a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(FILE, encoding="utf-8")


def test_each_job_is_listed_with_when_it_runs_and_what_it_is_for(run_mprun: RunMprun) -> None:
    done = run_mprun("list", "shop.yaml", cwd=Path.cwd())

    assert (0, "") == (done.returncode, done.stderr), done.stderr
    assert [line.split() for line in done.stdout.splitlines() if line] == [
        ["shop:", "3", "jobs"],
        ["What", "the", "team", "runs."],
        ["JOB", "RUNS", "NEEDS", "DESCRIPTION"],
        ["lint", "by", "default", "-", "Look", "for", "slips."],
        ["test", "when", "named", "lint", "2", "legs"],
        ["release", "when", "named", "test", "-"],
        ["PARAM", "TYPE", "DEFAULT", "DESCRIPTION"],
        ["version", "string", "none:", "give", "it", "What", "to", "release."],
        ["level", "integer", "3", "-"],
    ]


def test_a_program_gets_the_same_as_json(run_mprun: RunMprun) -> None:
    listed = json.loads(run_mprun("list", "shop.yaml", "--format", "json", cwd=Path.cwd()).stdout)

    assert {job["name"]: job["runs_by_default"] for job in listed["jobs"]} == {
        "lint": True,
        "test": False,
        "release": False,
    }
    assert [job["name"] for job in listed["jobs"] if job["manual"]] == ["release"]
    assert listed["jobs"][1]["legs"] == ["test (a)", "test (b)"]
    assert [(each["name"], each["default"]) for each in listed["params"]] == [("version", None), ("level", 3)]


def test_of_stages_these_are_listed(run_mprun: RunMprun) -> None:
    Path("s.yaml").write_text(
        "name: s\nstages:\n  a: {run: {command: [ls]}, description: Look around.}\n", encoding="utf-8"
    )

    assert run_mprun("list", "s.yaml", cwd=Path.cwd()).stdout.splitlines()[-1].split() == [
        "a",
        "-",
        "-",
        "Look",
        "around.",
    ]


def test_a_file_that_is_wrong_shows_its_problems(run_mprun: RunMprun) -> None:
    Path("shop.yaml").write_text(FILE.replace("needs: lint", "needs: lnit"), encoding="utf-8")

    done = run_mprun("list", "shop.yaml", cwd=Path.cwd())

    assert done.returncode == 3
    assert "did you mean 'lint'" in done.stderr
