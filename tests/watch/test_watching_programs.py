"""Runs that a program starts are watched as well, where it has them recorded."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.record.reader import RecordDamaged
from runner.store.discovery import running_folders
from runner.watch.client import RunWatch, WatchSource

PROGRAM = """
import mprun
from pathlib import Path
import time

def lister():
    n = 0
    while not Path("enough").exists():
        yield n
        n += 1
        time.sleep(0.01)

stages = {"lister": {"run": lister, "to": "q"}, "eater": {"run": lambda n: None, "from": "q"}}
print(mprun.run({"name": "program", "stages": stages}, record=True).outcome)
"""


@pytest.mark.slow
def test_a_recorded_run_of_a_program_is_watched_from_elsewhere(
    tmp_path: Path, plain_env: dict[str, str]
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    env = {**plain_env, "MPRUN_HOME": str(tmp_path / "home")}
    program = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=env, stdout=subprocess.PIPE)
    try:
        watch = _watch(tmp_path / "home")
        with watch:
            while watch.state.stages()[1].passed < 10:
                watch.wait(1.0)
            (tmp_path / "enough").touch()
            while not watch.is_over:
                watch.wait(1.0)
            assert (WatchSource.LIVE, "done", "program") == (
                watch.source,
                watch.state.outcome,
                watch.state.workflow,
            )
        assert b"done" in program.communicate(timeout=30)[0]
    finally:
        program.kill()
        program.communicate()


def _watch(home: Path) -> RunWatch:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for run_folder in running_folders(home):
            try:
                watch = RunWatch(run_folder)
            except RecordDamaged:  # it has just begun
                continue
            if watch.source is WatchSource.LIVE and watch.state.started is not None:
                return watch
            watch.close()
        time.sleep(0.05)
    raise AssertionError("nobody tells of a run")
