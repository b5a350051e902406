"""Run a workflow by a runner that is killed with all it has started, and go on with the run in another.

    python killed_runners.py flow.yaml cuts die        one runner: from the cut that is kept in `cuts`, if there is one

`die`: `cut 3` before its third cut is kept, `finishing` and `finished` before and after outputs are put in place,
`opening 3` and `putting 3` before the third thing that is done to a file as outputs are opened, and put in place;
`never`; `stop 3` is a Ctrl-C at its third cut. What is kept of a cut is a pickle, so that nothing but the cuts
themselves is between the two runners.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from runner import composition
from runner.jobs.plan import plan_for
from runner.loader.load import load
from runner.record.recorder import NoRecord
from runner.record.resumption import TakenRun
from runner.supervisor.outputs import RunOutputs
from runner.transports.cut import Cut

_EVERY = 0.03
_NOBODYS: Any = None
"""The lock of a run that has no record."""


class PickledCuts(NoRecord):
    """Keeps the last cut in a file."""

    keeps_cuts = True

    def __init__(self, path: Path, word: str, number: str, incarnation: int) -> None:
        """At the cut of this number do what the word says."""
        self._path, self._place, self._incarnation = path, (word, number), incarnation
        self._taken = 0
        self._due = 0.0
        self._run = ""

    def begin(self, folder: Path, *_about: Any, **_more: Any) -> None:
        """This run it is."""
        self._run = folder.name

    def cut_due(self, *_facts: Any, **_more: Any) -> float:
        """At once, and then every now and then."""
        return self._due

    def cut(self, cut: Cut, *_facts: Any, **_more: Any) -> None:
        """Keep it, as a whole."""
        self._taken += 1
        if ("cut", str(self._taken)) == self._place:
            die()
        if ("stop", str(self._taken)) == self._place:
            os.kill(os.getpid(), signal.SIGINT)
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(pickle.dumps((self._run, self._incarnation + 1, cut)))
        partial.replace(self._path)
        self.kept = cut.writers
        self._due = time.monotonic() + _EVERY


def die() -> None:
    """Kill this runner and its group, as nothing can be prepared for."""
    os.killpg(0, signal.SIGKILL)
    time.sleep(60)


def main(file: str, kept: str, place: str) -> int:
    """Be one runner."""
    path = Path(kept)
    resumed: TakenRun | None = None
    if path.exists():
        run_id, incarnation, cut = pickle.loads(path.read_bytes())
        resumed = TakenRun(run_id, incarnation, _NOBODYS, cut)
    word, _, number = place.partition(" ")
    if word in ("finishing", "finished"):
        _die_round_finish(word)
    if word in ("opening", "putting"):
        _die_within(word, int(number))
    recorder = PickledCuts(path, word, number, 1 if resumed is None else resumed.incarnation)
    report = composition.run(plan_for(load(Path(file))), recorder=recorder, resumed=resumed)
    if report.exit_code:
        print(report.as_dict()["reason"], file=sys.stderr)
    return report.exit_code


def _die_round_finish(word: str) -> None:
    finish: Callable[..., str | None] = RunOutputs.finish

    def deadly(outputs: RunOutputs, **facts: Any) -> str | None:
        if word == "finishing":
            die()
        found = finish(outputs, **facts)
        die()
        return found

    RunOutputs.finish = deadly  # type: ignore[method-assign]


_CHANGES = frozenset(
    {
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.link",
        "os.mkdir",
        "os.truncate",
        "shutil.rmtree",
        "sqlite3.connect",
    }
)


class _Changes:
    """Counts what is done to files while it is entered, and kills the runner before the last of them."""

    def __init__(self, left: int) -> None:
        self._left = left
        self._is_on = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> None:
        self._is_on = True

    def __exit__(self, *_error: object) -> None:
        self._is_on = False

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        is_written = event == "open" and isinstance(given[2], int) and given[2] & (os.O_CREAT | os.O_WRONLY)
        if self._is_on and (event in _CHANGES or is_written):
            self._left -= 1
            if not self._left:
                die()


def _die_within(word: str, number: int) -> None:
    changes, opened, finish = _Changes(number), composition.open_outputs, RunOutputs.finish

    @contextmanager
    def opening(*facts: Any, **more: Any) -> Iterator[Any]:
        with ExitStack() as outputs:
            with changes:
                found = outputs.enter_context(opened(*facts, **more))
            yield found

    def putting(outputs: RunOutputs, **facts: Any) -> str | None:
        with changes:
            return finish(outputs, **facts)

    if word == "opening":
        composition.open_outputs = opening
    else:
        RunOutputs.finish = putting  # type: ignore[method-assign]


def run_killed(folder: Path, place: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Have one runner at the workflow in a folder; it is killed at a place, unless it has come to its end before."""
    return subprocess.run(
        [sys.executable, __file__, "flow.yaml", "cuts", place],
        cwd=folder,
        env={**env, "MPRUN_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
