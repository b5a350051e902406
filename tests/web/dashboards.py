"""Real dashboards and runs under them, which end with the test that started them."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENOUGH = 60.0
"""Seconds for a start, on a machine whose cores are all busy."""


@dataclass
class StartedDashboard:
    """One that listens."""

    process: subprocess.Popen[str]
    link: str

    @property
    def base(self) -> str:
        return self.link.partition("/login")[0]

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def kill(self) -> None:
        with ended(self.process):
            pass


def start_dashboard(mprun: Path, env: Mapping[str, str], home: Path, *options: str) -> StartedDashboard:
    """Start one, and wait for its link."""
    command = [mprun, "dashboard", "--home", home, *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(env)
    )
    assert process.stdout is not None and process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ready = selector.select(ENOUGH)
    link = process.stdout.readline().strip() if ready else ""
    if not link:
        process.kill()
        raise AssertionError(f"no dashboard came up: {process.stderr.read()}")
    return StartedDashboard(process, link)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """See to it that a process is gone in the end."""
    try:
        yield
    finally:
        process.kill()
        process.wait(ENOUGH)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def start_run(mprun: Path, env: Mapping[str, str], file: Path, *options: str) -> subprocess.Popen[str]:
    """Start a run of a file, in its folder, and wait until it can be asked."""
    process = subprocess.Popen(
        [mprun, "run", file.name, "-q", *options],
        cwd=file.parent,
        env=dict(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    home = Path(env["MPRUN_HOME"])
    wait_until(lambda: bool(list(home.glob("runs/*/control.sock"))), "the run can be asked")
    return process


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that has to come."""
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to be that {what}"
        time.sleep(0.05)


def snapshot(mprun: Path, env: Mapping[str, str]) -> Any:
    """Return what `mprun ps` says of the one run under way."""
    done = subprocess.run(
        [mprun, "ps", "--format", "json"],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        check=True,
    )
    (run,) = json.loads(done.stdout)
    return run


def env_of(plain_env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of runs whose home is beside their file."""
    return {**plain_env, "MPRUN_HOME": str(folder / ".mprun"), "PATH": os.environ["PATH"]}
