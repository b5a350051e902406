"""A folder with a workflow that is run by the command, one of whose workers is killed at a place."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runner.testing.failpoints import HOOK, HOOK_VARIABLE, MARK_VARIABLE, VARIABLE

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


class StruckFolder:
    """The folder: whoever inherits this writes the workflow, and looks at what its handlers have left there."""

    def __init__(self, path: Path, run_mprun: RunMprun, *, file: str, victim: str) -> None:
        self.path = path
        self._run_mprun = run_mprun
        self._file = file
        self._victim = victim

    def run(self, *more: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it."""
        options = ("-q", "--report", "report.json", *more)
        return self._run_mprun("run", self._file, *options, cwd=self.path, env=env)

    def strike(self, place: str, nth: int, *more: str) -> subprocess.CompletedProcess[str]:
        """Run it, and kill the victim at a place."""
        mark = self.path / "struck"
        failpoint = f"{place}:SIGKILL:{nth}:{self._victim}"
        done = self.run(*more, env={HOOK_VARIABLE: HOOK, VARIABLE: failpoint, MARK_VARIABLE: str(mark)})
        assert mark.exists(), f"nobody came to {place} {nth} times"
        mark.unlink()
        return done

    def done(self, queue: str = "q") -> int:
        """How many items of a queue count as done."""
        report: dict[str, Any] = json.loads((self.path / "report.json").read_text(encoding="utf-8"))
        return int(next(each["done"] for each in report["queues"] if each["name"] == queue))
