"""`mprun import`, as it is typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = """name: checks
on: [push]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: echo tested
"""


def test_the_file_goes_to_stdout_and_its_story_to_stderr(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "ci.yml").write_text(WORKFLOW)

    done = run_mprun("import", "ci.yml", cwd=tmp_path)

    assert 0 == done.returncode
    assert "run: echo tested" in done.stdout
    assert "ci.yml:7  dropped  `uses: actions/checkout@v4`" in done.stderr
    assert "2 things as they are, 0 translated, 3 dropped, nothing left" in done.stderr


def test_what_it_writes_runs(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "ci.yml").write_text(WORKFLOW)
    run_mprun("import", "ci.yml", "-o", "ci.yaml", cwd=tmp_path)

    done = run_mprun("ci.yaml", cwd=tmp_path)

    assert 0 == done.returncode, done.stderr
    assert "tested" in done.stdout


def test_a_step_that_nobody_knows_fails_the_run_and_says_what_to_do(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    (tmp_path / "ci.yml").write_text(WORKFLOW.replace("actions/checkout@v4", "who/knows@v1"))
    run_mprun("import", "ci.yml", "-o", "ci.yaml", cwd=tmp_path)

    done = run_mprun("ci.yaml", cwd=tmp_path)

    assert 1 == done.returncode
    assert "mprun import: ci.yml:7: uses: who/knows@v1: write what it does here" in done.stdout
    assert "tested" not in done.stdout


def test_a_file_that_is_there_is_kept_unless_forced(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "ci.yml").write_text(WORKFLOW)
    (tmp_path / "ci.yaml").write_text("mine")

    refused = run_mprun("import", "ci.yml", "-o", "ci.yaml", cwd=tmp_path)
    kept = (tmp_path / "ci.yaml").read_text()
    forced = run_mprun("import", "ci.yml", "-o", "ci.yaml", "--force", cwd=tmp_path)

    assert (2, "mine", 0) == (refused.returncode, kept, forced.returncode)
    assert "'ci.yaml' is there already; --force overwrites it" in refused.stderr


def test_programs_get_file_and_story_in_one_document(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "ci.yml").write_text(WORKFLOW)

    told = json.loads(run_mprun("import", "ci.yml", "--format", "json", cwd=tmp_path).stdout)

    assert ("github", None, 3) == (told["kind"], told["out"], told["counts"]["dropped"])
    assert {"line": 7, "outcome": "dropped"}.items() <= told["notes"][3].items()
    assert "echo tested" in told["workflow"]


def test_what_is_not_understood_says_what_it_looks_like(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n\ttrue\n")
    (tmp_path / "mine.yaml").write_text("name: a\njobs: {b: {run: make}}\n")
    (tmp_path / "broken.yml").write_text("on: push\njobs: {a: {steps: [}\n")

    make = run_mprun("import", "Makefile", cwd=tmp_path)
    mine = run_mprun("import", "mine.yaml", cwd=tmp_path)
    broken = run_mprun("import", "broken.yml", cwd=tmp_path)

    assert [3, 3, 3] == [make.returncode, mine.returncode, broken.returncode]
    assert "this looks like a Makefile" in make.stderr
    assert "an mprun file already" in mine.stderr
    assert "broken.yml:2:" in broken.stderr


def test_what_is_refused_is_a_document_for_programs(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n\ttrue\n")

    done = run_mprun("import", "Makefile", "--format", "json", cwd=tmp_path)

    assert 3 == done.returncode
    assert ["unknown-kind"] == [each["code"] for each in json.loads(done.stdout)["problems"]]
