"""What a job with a tree of its own has made is there for those that need it, also where the job itself is kept."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = """\
name: artefacts
jobs:
  maker: {workspace: copy, outputs: {files: made.txt}, run: "echo made it > made.txt"}
  user: {needs: maker, workspace: copy, run: "cat made.txt; [ -e mended ]"}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "again", [("rerun", "artefacts", "--failed"), ("resume", "artefacts")], ids=lambda a: a[0]
)
def test_a_job_that_is_kept_hands_on_its_files(
    run_mprun: RunMprun, tmp_path: Path, again: tuple[str, ...]
) -> None:
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    env = {"MPRUN_HOME": str(tmp_path / ".mprun")}
    failed = run_mprun("w.yaml", "-q", cwd=tmp_path, env=env)
    (tmp_path / "mended").touch()

    done = run_mprun(*again, "--output", "stream", cwd=tmp_path, env=env)

    assert (1, 0) == (failed.returncode, done.returncode), done.stderr
    assert "maker is kept" in done.stdout
    assert "user | made it" in done.stdout
    assert not (tmp_path / "made.txt").exists()
