"""What is left of a run of which the runner and the watchdog were killed is named, and ended by the next command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., Any]

HANDLERS = """
import os, time

def job():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open("pid.tmp", "w") as file:
                file.write(str(os.getpid()))
            os.rename("pid.tmp", "pid")
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    time.sleep(600)
"""


def wait_until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def left(tmp_path: Path, mprun: Path, plain_env: dict[str, str]) -> Iterator[int]:
    """The process that a killed run has left: a daemon without an environment, in a session of its own."""
    (tmp_path / "h.py").write_text(HANDLERS)
    (tmp_path / "dead.yaml").write_text("name: dead\nstages: {a: {run: 'h:job'}}\n")
    (tmp_path / "other.yaml").write_text("name: other\nstages: {a: {run: {command: 'true'}}}\n")
    with subprocess.Popen([mprun, "dead.yaml", "-q"], cwd=tmp_path, env=plain_env) as runner:
        wait_until((tmp_path / "pid").exists)
        pid = int((tmp_path / "pid").read_text())
        runner.send_signal(signal.SIGSTOP)
        children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
        for child in [*({*map(int, children)} - {pid}), runner.pid]:
            os.kill(child, signal.SIGKILL)
    wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    yield pid
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def test_ps_names_it_and_stop_ends_it(left: int, tmp_path: Path, run_mprun: RunMprun) -> None:
    told = f"process {left} of it is still there; `mprun stop "  # alone: others are killed and may not be buried yet
    wait_until(lambda: told in run_mprun("ps", cwd=tmp_path).stdout)
    stopped = run_mprun("stop", "dead", cwd=tmp_path)

    assert (0, f"ended process {left}, which a killed run had left\n") == (stopped.returncode, stopped.stderr)
    assert not alive(left)
    assert "nothing of it runs any more" in run_mprun("ps", cwd=tmp_path).stdout


def test_the_next_run_there_ends_it(left: int, tmp_path: Path, run_mprun: RunMprun) -> None:
    done = run_mprun("run", "other.yaml", cwd=tmp_path)

    assert 0 == done.returncode, done.stderr
    assert not alive(left)
