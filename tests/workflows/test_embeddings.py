"""workflows/embeddings.yaml: byte for byte what processes and queues of one's own make, whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shipped import CHECKOUT, written
from storms import Storm

from runner.composition import run_file

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = CHECKOUT / "workflows" / "embeddings.yaml"
SCRIPT = CHECKOUT / "benchmarks" / "plain" / "embeddings_by_hand.py"


def by_script(folder: Path, arrays: int) -> dict[str, bytes]:
    script = [sys.executable, SCRIPT, "--arrays", str(arrays), "--folder", "plain"]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "workflows")}
    subprocess.run(script, cwd=folder, env=env, check=True, timeout=120)
    return files_in(folder / "plain")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("arrays", "files"), [(20, 1), pytest.param(140, 2, marks=pytest.mark.slow)])
def test_the_files_are_those_of_the_script(
    tmp_path: Path, run_mprun: RunMprun, arrays: int, files: int
) -> None:
    done = run_mprun(WORKFLOW, "-q", "--param", f"arrays={arrays}", cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = files_in(tmp_path / "vectors")
    assert sorted(made) == ["0000.npz", "0001.npz"][:files]
    assert made == by_script(tmp_path, arrays)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["load", "embed", "write"])
def test_whoever_is_killed_the_files_are_whole(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    storm = Storm(stage, [stage], most=6)
    bear = (
        f"stages.{stage}.restart={{max: 1000}}",
        "stages.embed.retry.attempts=100",
        "stages.write.retry.attempts=100",
    )

    with storm.blowing():
        report = run_file(WORKFLOW, params={"arrays": 300}, overrides=bear, observers=[storm])

    assert (report.exit_code, storm.kills > 0) == (0, True), report.reason
    assert files_in(tmp_path / "vectors") == by_script(tmp_path, 300)


def test_it_is_at_most_half_as_long_as_what_does_the_same_by_hand() -> None:
    lines = [len(written(path.read_text(encoding="utf-8"))) for path in (WORKFLOW, SCRIPT)]

    assert 2 * lines[0] <= lines[1]
