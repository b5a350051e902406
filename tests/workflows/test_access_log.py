"""workflows/access_log.yaml: row for row what a script of one's own makes of the log, whoever is killed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from shipped import CHECKOUT, written
from storms import Storm

from runner.composition import run_file

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = CHECKOUT / "workflows" / "access_log.yaml"
SCRIPT = CHECKOUT / "benchmarks" / "plain" / "access_log.py"


def by_script(folder: Path) -> Path:
    script = [sys.executable, SCRIPT, "--folder", "plain"]
    subprocess.run(script, cwd=folder, check=True, timeout=60)
    return folder / "plain"


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "access.db")) as database:
        return sorted(database.execute("SELECT kind, name, hits, bytes, errors FROM totals"))


def same(made: Path, expected: Path) -> bool:
    """Whether both made the same statistics of the log."""
    return (
        rows(made) == rows(expected)
        and (made / "paths.csv").read_bytes() == (expected / "paths.csv").read_bytes()
    )


@pytest.mark.slow
def test_the_statistics_are_those_of_the_script_and_what_is_no_line_is_kept(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    env = {"MPRUN_HOME": str(tmp_path / "home")}

    done = run_mprun(WORKFLOW, "-q", "--param", "lines=8000", cwd=tmp_path, env=env)
    again = run_mprun(WORKFLOW, "-q", cwd=tmp_path, env=env)
    plain = by_script(tmp_path)

    assert (done.returncode, again.returncode) == (0, 0), done.stderr
    assert same(tmp_path / "statistics", plain)
    run = run_mprun("dlq", "ls", "--format", "json", cwd=tmp_path, env=env)
    first = json.loads(run.stdout)[0]["run"]
    exported = run_mprun("dlq", "export", first, cwd=tmp_path, env=env).stdout.splitlines()
    rejected = (plain / "rejected.log").read_bytes().splitlines()
    assert len(exported) == len(rejected) > 0


@pytest.mark.slow
def test_the_sample_is_the_same_each_time(tmp_path: Path, run_mprun: RunMprun) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        done = run_mprun(WORKFLOW, "-q", "--param", "lines=500", cwd=tmp_path / folder)
        assert done.returncode in (0, 1), done.stderr

    one, other = (tmp_path / folder / "access.log.gz" for folder in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["read", "count", "total", "store", "rank", "write"])
def test_whoever_is_killed_the_statistics_are_whole(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    storm = Storm(stage, [stage], most=10)
    stages = ("count", "total", "store", "write")
    tried = [f"stages.{each}.retry.{key}" for each in stages for key in ("attempts=100", "on=MemoryError")]
    bear = (f"stages.{stage}.restart.max=1000", "stages.count.batch=500", *tried)

    with storm.blowing():
        report = run_file(WORKFLOW, params={"lines": 40_000}, overrides=bear, observers=[storm])

    assert (report.exit_code, storm.kills > 0) == (0, True), report.reason
    assert same(tmp_path / "statistics", by_script(tmp_path))


def test_its_python_is_at_most_half_as_long_as_the_script() -> None:
    handlers = (CHECKOUT / "workflows" / "access_log.py").read_text(encoding="utf-8")

    assert 2 * len(written(handlers)) <= len(written(SCRIPT.read_text(encoding="utf-8")))
