"""Where a worker works: its environment variables and its folder, put on for good by a process, for a turn by a strand.

WorkerPlan: env, cwd ──► put_on ──► os.environ, the current folder ──► take_off: as it was
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from runner.plan import WorkerPlan


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was there before; `take_off` brings it back."""

    environ: dict[str, str | None]
    folder: str | None

    def take_off(self) -> None:
        """Bring back what was there before. A folder that is gone meanwhile is not brought back."""
        for name, value in self.environ.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)


def put_on(plan: WorkerPlan) -> Surroundings:
    """Take on what a worker's plan asks for, and return what to take off again.

    Raises:
        OSError: the folder of `cwd` is gone. Nothing has changed then.
    """
    folder = None
    if plan.cwd is not None:
        folder = str(Path.cwd())
        os.chdir(plan.cwd)
    before = {name: os.environ.get(name) for name in plan.env}
    os.environ.update(plan.env)
    return Surroundings(before, folder)
