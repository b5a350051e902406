"""The folder of a run: where it leaves what others may want of it, and nobody else may read.

$MPRUN_HOME, or .mprun/ where the run was started      folders 0700, files 0600
├── .gitignore            so that git does not see it
├── index.db              a row for each run that has ended; made again where it is missing or damaged
└── runs/<run id>/
    ├── run.db            all that is kept of the run's past (`runner/record`)
    ├── lock              held while it lives; without one the run has no record, or could not be recorded to its end
    ├── ended.json        what it came to
    ├── run.json          workflow, file, pid, when
    ├── run.json.made     empty, and never touched again: when this folder was made, for the
    ├── run.json.seal     which shows that it was made here
    ├── run.json.seen     what `mprun ps` would have shown lately; gone with its end, but not by a kill
    ├── run.json.hidden   what its sinks hide beside what they write, which goes with the record
    ├── pinned            where somebody wants the record to stay
    ├── control.sock      while it lives
    ├── watch.sock        so too
    └── dead-letters/     a file for each stage that has any, and one for each big item
    └── jobs/             the logs of jobs, if it has some

What lies there is obeyed, letters are unpickled: so what is somebody else's, or may be written by others, is refused.
A folder that was copied, or came with a repository, belongs to whoever brought it here, and says anything; that it was
made in this place shows in its seal, which holds the moment at which the system says that `run.json.made` came to be.
No copy has that moment again, and nobody can set it. It is not that of `run.json`, which each runner of the run writes
anew: one that is killed in the middle of that would leave a run that nobody could go on with.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.errors import UsageError
from runner.events.base import Event
from runner.events.run import RunProgress
from runner.facts import dataclass
from runner.text import write_atomically

HOME = "MPRUN_HOME"
FACTS = "run.json"
_MADE = "run.json.made"
_SEAL = "run.json.seal"
_SEEN = "run.json.seen"
_PINNED = "pinned"
_IGNORES = ".gitignore"
_MOST_LISTED = 8
_SEEN_EVERY = 1.0
"""Seconds."""
_SEEN_SHARE = 100
"""Times that writing took, at the least, until it is written again."""
JOB_LOGS = "jobs"
"""The folder in that of a run with the logs of jobs."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run without asking it. `at` is seconds since the epoch, `pid` the supervisor's."""

    run: str
    workflow: str
    file: str
    pid: int
    at: float
    params: tuple[str, ...] = ()
    """What was given by `--param`, as it was written."""
    overrides: tuple[str, ...] = ()
    """What was given by `--set`, as it was written."""
    incarnation: int = 1
    """Which of its runners `pid` is."""

    @property
    def mark(self) -> str:
        """What its processes are known by: those that an earlier runner of the same run has left bear another."""
        return mark_of(self.run, self.incarnation)


def mark_of(run: str, incarnation: int) -> str:
    """Return what the processes of one runner of a run are known by; where that is killed, its watchdog ends these."""
    return run if incarnation == 1 else f"{run}.{incarnation}"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run. It is made when the first thing is put there."""

    run: str
    home: Path

    @property
    def path(self) -> Path:
        """Where it is, whether or not it exists yet."""
        return self.home / "runs" / self.run

    def make(self) -> Path:
        """Make the folder, for its owner alone, and return it.

        Raises:
            OSError: the place can't be written.
            UsageError: it is there, and others may change what is in it.
        """
        make_home(self.home)
        for folder in (self.home / "runs", self.path):
            folder.mkdir(mode=0o700, exist_ok=True)
            require_private(folder)
        return self.path

    def make_folder(self, what: str) -> Path:
        """Make a folder in it, for its owner alone, and return it. Raises OSError."""
        folder = self.make() / what
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def write_facts(self, facts: RunFacts) -> None:
        """Say what run this is. Whole or not at all: a reader may come at any moment."""
        # JSON escapes: an argument may hold bytes that are no text.
        write_atomically(self.make() / FACTS, json.dumps(asdict(facts)).encode(), mode=0o600)
        if not self.is_from_here():
            made = self.path / _MADE
            write_atomically(made, b"", mode=0o600)
            write_atomically(self.path / _SEAL, str(made.stat().st_ctime_ns).encode(), mode=0o600)

    def is_from_here(self) -> bool:
        """Say whether a run of this user's made it in this place, and nobody brought it."""
        try:
            sealed = (self.path / _SEAL).read_text(encoding="ascii")
            return sealed == str((self.path / _MADE).stat().st_ctime_ns)
        except (OSError, ValueError):
            return False

    def facts(self) -> RunFacts | None:
        """Read what run this is; None where nothing sensible is written."""
        try:
            known = json.loads((self.path / FACTS).read_text(encoding="utf-8"))
            given = {key: tuple(map(str, known.get(key, ()))) for key in ("params", "overrides")}
            return RunFacts(**{**known, **given})
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def pin(self, wanted: bool) -> None:
        """Say whether its record is to stay whatever its age. Raises OSError."""
        if wanted:
            (self.path / _PINNED).touch(mode=0o600)
        else:
            (self.path / _PINNED).unlink(missing_ok=True)

    @property
    def is_pinned(self) -> bool:
        """Whether somebody has said that its record is to stay."""
        return (self.path / _PINNED).exists()

    def size(self) -> int:
        """Add up the bytes of its files."""
        total = 0
        for where, _, names in os.walk(self.path):
            for name in names:
                with contextlib.suppress(OSError):
                    total += (Path(where) / name).stat().st_size
        return total

    def write_seen(self, snapshot: Mapping[str, Any]) -> None:
        """Keep what is known of the run, for the case that it is killed. Raises OSError."""
        write_atomically(self.path / _SEEN, json.dumps(snapshot).encode(), mode=0o600)

    def last_seen(self) -> tuple[dict[str, Any], float] | None:
        """Read what was known of the run last, and when, in seconds since the epoch; None where nothing is."""
        path = self.path / _SEEN
        try:
            snapshot = json.loads(path.read_text(encoding="utf-8"))
            return (snapshot, path.stat().st_mtime) if isinstance(snapshot, dict) else None
        except (OSError, ValueError):
            return None

    def remove_if_empty(self) -> None:
        """The run is over: keep its folder only if it has a record, or holds what somebody may still want."""
        left = list(self.path.iterdir()) if self.path.exists() else []
        # Also a draft of the facts, where their writer was killed.
        if not all(each.name.removeprefix(".").startswith(FACTS) for each in left):
            return
        for each in left:
            each.unlink(missing_ok=True)
        try:
            self.path.rmdir()
            (self.home / "runs").rmdir()
            if [each.name for each in self.home.iterdir()] == [_IGNORES]:
                (self.home / _IGNORES).unlink()
            self.home.rmdir()
        except OSError:  # others' folders are still in it, or another run makes it anew
            return


class LastSeen:
    """An observer that keeps in the folder of a run what it would tell of itself, every now and then."""

    def __init__(self, run_folder: RunFolder, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        self._run_folder = run_folder
        self._snapshot = snapshot
        self._next = 0.0

    def observe(self, event: Event) -> None:
        """Write at a snapshot, where the last was written long enough ago for what writing takes."""
        if not isinstance(event, RunProgress) or event.elapsed < self._next:
            return
        began = time.perf_counter()
        with contextlib.suppress(OSError):  # a full disk is no reason to end the run
            self._run_folder.write_seen(self._snapshot())
        took = time.perf_counter() - began
        self._next = event.elapsed + max(_SEEN_EVERY, _SEEN_SHARE * took)

    def close(self) -> None:
        """The run has come to an end: what was known of it is in its report."""
        with contextlib.suppress(OSError):
            (self._run_folder.path / _SEEN).unlink(missing_ok=True)


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """
    Where the folders of runs are: `$MPRUN_HOME`, or `.mprun` in the current folder.

    Raises:
        UsageError: that folder has been removed.
    """
    try:
        return Path(environ.get(HOME) or ".mprun").absolute()
    except FileNotFoundError:
        message = "the folder that mprun was started in has been removed: change to another"
        raise UsageError(message) from None


def make_home(place: Path) -> None:
    """
    Make the folder of the runs, for its owner alone, where it is not there.

    Raises:
        OSError: the place can't be written.
        UsageError: it is there, and others may change what is in it.
    """
    if not place.exists():
        place.mkdir(mode=0o700, exist_ok=True)
        (place / _IGNORES).write_text("*\n", encoding="ascii")
    require_private(place)


def require_private(place: Path) -> None:
    """Raise `UsageError` if somebody else owns a file or folder, or may write to it. What is not there is private."""
    try:
        found = place.stat()
    except OSError:
        return
    help_ = f"{HOME} may name another folder"
    if found.st_uid != os.geteuid():
        raise UsageError(f"'{place}' belongs to another user, who may change what is in it; {help_}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"'{place}' can be written by others; `chmod go-w` it, or {help_}")


def run_folders_in(place: Path) -> list[RunFolder]:
    """List the folders of runs there are, in any order. Raises `UsageError` where others may have written them."""
    require_private(place)
    try:
        with os.scandir(place / "runs") as entries:  # a home has hundreds, and each run that begins looks
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return [RunFolder(name, place) for name in names]


def all_run_folders(where: Path | None = None) -> list[RunFolder]:
    """List the folders of runs there are, oldest first. Raises `UsageError` where others may have written them."""
    return by_age(run_folders_in(where or home()))


def by_age(run_folders: Iterable[RunFolder]) -> list[RunFolder]:
    """Sort them by the age of their runs, the oldest first, which opens each."""
    return sorted(
        run_folders,
        key=lambda run_folder: (facts.at if (facts := run_folder.facts()) else 0.0, run_folder.run),
    )


def matching(run: str, run_folders: Iterable[RunFolder]) -> list[RunFolder]:
    """Return those that `run` may mean: by the beginning of their id, else by the name of their workflow."""
    known = list(run_folders)
    return [run_folder for run_folder in known if run_folder.run.startswith(run)] or [
        run_folder
        for run_folder in known
        if (facts := run_folder.facts()) is not None and facts.workflow == run
    ]


def only_match(run: str, found: Sequence[RunFolder], what: str) -> RunFolder:
    """Return the only one of `found`, in which there is at least one. Raises `UsageError` if `run` means several."""
    if len(found) == 1:
        return found[0]
    raise UsageError(f"several {what} match '{run}': {join_ids(found)}; name one by its id")


def join_ids(run_folders: Sequence[RunFolder]) -> str:
    """Name runs for a message, the last few if there are many."""
    earlier = f"{len(run_folders) - _MOST_LISTED} older ones, " if len(run_folders) > _MOST_LISTED else ""
    return earlier + (", ".join(run_folder.run for run_folder in run_folders[-_MOST_LISTED:]) or "none")
