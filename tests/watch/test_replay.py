"""Letters put back by whoever watches: from anywhere, as if one stood where their run was started."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.store.run_folder import RunFolder
from runner.watch.replay import Replay

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = """\
name: canteen
limits: {max_errors: 9}
stages:
  chef: {run: "canteen:bake", to: counter}
  eater: {run: "canteen:eat", from: counter, on_error: dead_letter}
"""
HANDLERS = """\
from pathlib import Path

def bake():
    yield from range(4)

def eat(bun):
    if bun == 2 and not Path("mended").exists():
        raise ValueError("dropped it")
    with open("eaten", "a") as eaten:
        print(bun, file=eaten)
"""


@pytest.fixture
def failed_run(tmp_path: Path, run_mprun: RunMprun, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with a letter, started in `place`; the test stands elsewhere."""
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    (place / "w.yaml").write_text(WORKFLOW)
    (place / "canteen.py").write_text(HANDLERS)
    home = tmp_path / "home"
    assert 0 == run_mprun("w.yaml", "-q", cwd=place, env={"MPRUN_HOME": str(home)}).returncode
    monkeypatch.chdir(elsewhere)
    (run,) = (home / "runs").iterdir()
    return RunFolder(run.name, home)


def test_letters_are_put_back_from_anywhere_by_a_run_where_theirs_was_started(
    failed_run: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "place" / "mended").touch()

    result = Replay(failed_run, ["--stage", "eater"]).result(60)

    assert result is not None and 0 == result.exit_code, result
    assert ["0", "1", "2", "3"] == sorted((tmp_path / "place" / "eaten").read_text().split())


def test_what_is_refused_is_told_in_its_own_words(failed_run: RunFolder) -> None:
    result = Replay(failed_run, ["--stage", "eter"]).result(60)

    assert result is not None
    assert "eater" in result.last_words
    assert str(result).startswith(f"putting back ended with exit code {result.exit_code}: ")


def test_where_the_folder_of_the_run_is_gone_nothing_is_begun(failed_run: RunFolder, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "place")

    with pytest.raises(UsageError, match="which is not there any more"):
        Replay(failed_run, [])
