"""Dead letters of a run put back from where somebody watches it: `mprun dlq replay`, in a process of its own.

It goes on whatever becomes of who has begun it, and runs in the folder in which its run was started, where the handlers
are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from runner.errors import UsageError
from runner.facts import dataclass
from runner.record.reader import RunView
from runner.store.run_folder import HOME, RunFolder


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay has come to."""

    exit_code: int
    last_words: str
    """The last line that it has said."""

    def __str__(self) -> str:
        """For whoever has begun it some time ago."""
        how = f"exit code {self.exit_code}" if self.exit_code else "success"
        return f"putting back ended with {how}" + (f": {self.last_words}" if self.last_words else "")


class Replay:
    """One that was begun. Whoever has begun it asks now and then whether it is over, or hands it on by `let_go`."""

    def __init__(self, run_folder: RunFolder, options: Sequence[str]) -> None:
        """
        Begin one of those letters that `options` of the command choose.

        Raises:
            UsageError: the folder in which the run was started is gone.
            OSError: there can be no further process.
        """
        with RunView(run_folder.path) as view:
            folder = Path(str(view.facts().get("cwd") or "."))
        if not folder.is_dir():
            raise UsageError(f"the run was started in '{folder}', which is not there any more")
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has ended
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mprun", "dlq", "replay", run_folder.run, *options, "--quiet"],
                cwd=folder,
                env={**os.environ, HOME: str(run_folder.home)},
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
                start_new_session=True,
            )
        except OSError:
            self._words.close()
            raise

    def result(self, seconds: float = 0.0) -> ReplayResult | None:
        """Say once what came of it; None if it goes on after so many seconds of waiting."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._words.seek(0)
        said = self._words.read().decode("utf-8", "replace").strip()
        self._words.close()
        return ReplayResult(code, said.splitlines()[-1].removeprefix("mprun: ") if said else "")

    def let_go(self) -> None:
        """Nobody will ask any more: it is buried when it ends."""
        self._words.close()
        threading.Thread(target=self._process.wait, daemon=True).start()
