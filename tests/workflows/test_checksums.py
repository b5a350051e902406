"""workflows/checksums.yaml: what `sha256sum` and a script of one's own write, byte for byte, whoever is killed."""

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

WORKFLOW = CHECKOUT / "workflows" / "checksums.yaml"
SCRIPT = CHECKOUT / "benchmarks" / "plain" / "checksums.py"
ODD = ["a b", "包子", "it's", "new\nline", "back\\slash", "--help", "$(id)", os.fsdecode(b"\xff\xfe")]


def folder_with(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        (folder / name).write_bytes(str(number).encode() * number)
    return folder


def by_sha256sum(pattern: str, cwd: Path) -> bytes:
    paths = sorted(str(path.relative_to(cwd)) for path in cwd.glob(pattern))
    return subprocess.run(["sha256sum", "--", *paths], cwd=cwd, capture_output=True, check=True).stdout


def test_the_sums_are_those_of_sha256sum_and_of_the_script(tmp_path: Path, run_mprun: RunMprun) -> None:
    folder_with(tmp_path / "files", [*ODD, *(f"{n:03}" for n in range(100))])

    done = run_mprun(WORKFLOW, "-q", "--param", "files=files/*", cwd=tmp_path)
    script = [sys.executable, SCRIPT, "--files", "files/*", "--sums", "by_script.txt"]
    subprocess.run(script, cwd=tmp_path, check=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    sums = (tmp_path / "checksums.txt").read_bytes()
    assert sums == by_sha256sum("files/*", tmp_path) == (tmp_path / "by_script.txt").read_bytes()
    subprocess.run(["sha256sum", "--check", "--quiet", "checksums.txt"], cwd=tmp_path, check=True, timeout=60)


def test_a_file_that_can_not_be_read_is_told_and_no_half_a_list_is_left(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    folder_with(tmp_path / "files", [f"{n:03}" for n in range(10)])
    (tmp_path / "files" / "005").unlink()
    (tmp_path / "files" / "005").symlink_to("/proc/self/mem")  # opens, and can't be read

    done = run_mprun(WORKFLOW, "-q", "--param", "files=files/*", cwd=tmp_path)

    assert done.returncode == 1
    assert "files/005" in done.stderr
    assert not (tmp_path / "checksums.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["files", "sum", "write"])
def test_whoever_is_killed_the_sums_are_all_there(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path / "files", [f"{n:04}" for n in range(600)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    storm = Storm(stage, [stage], most=10)
    bear = (
        f"stages.{stage}.restart.max=1000",
        "stages.sum.retry.attempts=100",
        "stages.write.retry.attempts=100",
    )

    with storm.blowing():
        report = run_file(WORKFLOW, params={"files": "files/*"}, overrides=bear, observers=[storm])

    assert (report.exit_code, storm.kills > 0) == (0, True), report.reason
    assert (tmp_path / "checksums.txt").read_bytes() == by_sha256sum("files/*", tmp_path)


def test_it_is_at_most_half_as_long_as_the_script() -> None:
    texts = [path.read_text(encoding="utf-8").partition("\ntests:")[0] for path in (WORKFLOW, SCRIPT)]
    lines = [len(written(text)) for text in texts]

    assert 2 * lines[0] <= lines[1]
