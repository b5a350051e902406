"""Logs that grow and what is shown of them, for tests of the ways to show jobs."""

from __future__ import annotations

from pathlib import Path

from job_histories import finished, retried, started

from runner.events.base import Event
from runner.render.job_output.base import OutputView


class Stage:
    """A way of showing, its logs and all that it has written so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[bytes] = []
        self.show: OutputView

    def log(self, job: str) -> Path:
        return self.folder / f"{job}.log"

    def starts(self, job: str, attempt: int = 1, *, background: bool = False) -> None:
        self.happens(started(job, attempt=attempt, log=str(self.log(job)), background=background))

    def prints(self, job: str, text: str | bytes) -> None:
        with self.log(job).open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def ends(self, job: str, result: str = "passed", attempt: int = 1) -> None:
        self.happens(finished(job, 1.0, result, attempt=attempt, log=str(self.log(job))))

    def is_retried(self, job: str, attempt: int = 2) -> None:
        self.happens(retried(job, attempt=attempt))

    def happens(self, event: Event) -> None:
        self.show.observe(event)

    def steps(self, most: int = 1000) -> None:
        """Show until there is nothing more at once."""
        for _ in range(most):
            if self.show.step() != 0:
                return

    @property
    def shown(self) -> list[str]:
        return b"".join(self.written).decode().splitlines()
