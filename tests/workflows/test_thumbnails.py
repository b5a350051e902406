"""workflows/thumbnails.yaml: what a script of one's own makes, broken photos kept, mended, replayed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shipped import CHECKOUT, written
from storms import Storm

from runner.composition import run_file

Image = pytest.importorskip("PIL.Image")

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = CHECKOUT / "workflows" / "thumbnails.yaml"
SCRIPT = CHECKOUT / "benchmarks" / "plain" / "thumbnails.py"


def photos_in(folder: Path, count: int) -> None:
    """Photos of one colour each, with a white corner."""
    (folder / "photos").mkdir()
    for number in range(count):
        photo = Image.new("RGB", (400 + number, 300), (number * 5 % 256, 80, 160))
        photo.paste("white", (0, 0, 100, 100))
        photo.save(folder / "photos" / f"{number:03}.jpg")


def by_script(folder: Path) -> dict[str, bytes]:
    subprocess.run([sys.executable, SCRIPT, "--folder", "plain"], cwd=folder, check=True, timeout=60)
    return files_in(folder / "plain")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.mark.slow
def test_broken_photos_are_kept_mended_and_replayed(tmp_path: Path, run_mprun: RunMprun) -> None:
    photos_in(tmp_path, 30)
    whole = {name: (tmp_path / "photos" / name).read_bytes() for name in ("003.jpg", "017.jpg")}
    (tmp_path / "photos" / "003.jpg").write_bytes(whole["003.jpg"][:700])
    (tmp_path / "photos" / "017.jpg").write_bytes(b"no photo")
    env = {"MPRUN_HOME": str(tmp_path / "home")}

    done = run_mprun(WORKFLOW, "-q", cwd=tmp_path, env=env)

    assert done.returncode == 0, done.stderr
    assert len(files_in(tmp_path / "thumbnails")) == 28
    (letters,) = json.loads(run_mprun("dlq", "ls", "--format", "json", cwd=tmp_path, env=env).stdout)
    assert (letters["stage"], letters["letters"]) == ("shrink", 2)

    for name, data in whole.items():
        (tmp_path / "photos" / name).write_bytes(data)
    again = run_mprun("dlq", "replay", letters["run"], "-q", cwd=tmp_path, env=env)

    assert again.returncode == 0, again.stderr
    assert files_in(tmp_path / "thumbnails") == by_script(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["photos", "shrink", "write"])
def test_whoever_is_killed_the_thumbnails_are_whole(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos_in(tmp_path, 200)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    storm = Storm(stage, [stage], most=8)
    tried = [f"stages.{each}.retry.attempts=100" for each in ("shrink", "write")]

    with storm.blowing():
        report = run_file(WORKFLOW, overrides=(f"stages.{stage}.restart.max=1000", *tried), observers=[storm])

    assert (report.exit_code, storm.kills > 0) == (0, True), report.reason
    assert files_in(tmp_path / "thumbnails") == by_script(tmp_path)


def test_its_python_is_at_most_half_as_long_as_the_script() -> None:
    lines = [len(written(path.read_text(encoding="utf-8"))) for path in (WORKFLOW.with_suffix(".py"), SCRIPT)]

    assert 2 * lines[0] <= lines[1]
