"""Runs of jobs through the installed command, watched from outside: by their events, and by who is left of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs_workers import is_alive, wait_until


@dataclass
class Running:
    """One run under way, with all its events in a file."""

    process: subprocess.Popen[str]
    events_file: Path
    mark: str
    said: str = field(default="")
    before: frozenset[str] = frozenset()
    """Jobs that were over before it began."""

    @property
    def events(self) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            lines = self.events_file.read_text(encoding="utf-8").split("\n")[:-1]
            return [json.loads(line) for line in lines]
        return []

    def named(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == name and fields.items() <= e.items()]

    def wait_for(self, name: str, **fields: Any) -> dict[str, Any]:
        wait_until(lambda: self.named(name, **fields) or self.process.poll() is not None)
        assert self.named(name, **fields), f"{name} never came: {self.finish()} {self.said}"
        return self.named(name, **fields)[0]

    def finish(self) -> int:
        """Wait for its end and return the exit code; what it printed is in `said`."""
        self.said += self.process.communicate(timeout=60)[0]
        return self.process.returncode

    @property
    def results(self) -> dict[str, str]:
        told = {e["job"]: e["result"] for e in self.named("job.finished")}
        skipped = {e["job"]: "skipped" for e in self.named("job.skipped")}
        cancelled = {e["job"]: "cancelled" for e in self.named("job.cancelled")}
        return {**cancelled, **skipped, **told}

    def left_behind(self) -> list[int]:
        """Processes of this run that are alive: they carry its mark in their environment."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if self._is_ours(pid)]

    def kill_all(self, but: str = "") -> None:
        """End all of it at once: the runner, whoever watches over it and keeps its record, workers, steps.

        Programs that are called `but` are left.
        """
        while left := [pid for pid in self.left_behind() if _program(pid) != but]:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _is_ours(self, pid: int) -> bool:
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return self.mark.encode() in environ and is_alive(pid)


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


@dataclass
class Runs:
    """Starts runs in a folder. Whatever is left of them when it is closed is killed."""

    folder: Path
    mprun: Path
    env: Mapping[str, str]
    _all: list[Running] = field(default_factory=list)

    def start(self, text: str, *arguments: str, **env: str) -> Running:
        """Start a run of a workflow with this text."""
        (self.folder / "jobs.yaml").write_text(text, encoding="utf-8")
        return self.call("run", "jobs.yaml", *arguments, **env)

    def call(self, *arguments: str, **env: str) -> Running:
        """Start a command that runs jobs."""
        mark = f"{os.getpid()}.{time.monotonic_ns()}"
        events = self.folder / f"events-{len(self._all)}.jsonl"
        process = subprocess.Popen(
            [self.mprun, *arguments, "--events", events, "--output", "group"],
            cwd=self.folder,
            env={**self.env, "MPRUN_HOME": str(self.folder / "home"), "TEST_MARK": mark, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self._all.append(Running(process, events, f"TEST_MARK={mark}"))
        return self._all[-1]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call another command of mprun, about these runs."""
        env = {**self.env, "MPRUN_HOME": str(self.folder / "home")}
        return subprocess.run(
            [self.mprun, *arguments], env=env, capture_output=True, encoding="utf-8", timeout=60, check=False
        )

    def close(self) -> None:
        """End what a failed test has left."""
        for run in self._all:
            run.process.kill()
            run.process.wait()
            assert run.process.stdout is not None
            run.process.stdout.close()
            for pid in run.left_behind():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
