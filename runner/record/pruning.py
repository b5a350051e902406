"""Which records go, so that they stay within bounds: the oldest, and none that anybody may still need.

    runs ──► PruneCandidate ──► choose (pure) ──► removed, whole or not at all

Never: what runs, is pinned or was killed lately, what can be gone on with, of each workflow the last such run, and what
has dead letters that were not replayed. They count all the same, and others go for them.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runner.facts import dataclass
from runner.record.history import runs_in
from runner.record.summary import KILLED, RUNNING, RunSummary
from runner.store.dead_letters import letter_files, replayed
from runner.store.hidden_outputs import hidden_by_runs
from runner.store.run_folder import RunFolder

_DAY = 86400.0
_UNFINISHED_STAY = 14 * _DAY
"""Seconds for which somebody may want to go on with a run, or know more of a killed one, or that may live elsewhere."""
_REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class RecordBounds:
    """How much of the past is kept."""

    runs: int = 200
    bytes: int = 2_000_000_000
    age: float = 60 * _DAY
    """Seconds since the end of a run."""


BOUNDS = RecordBounds()


@dataclass(frozen=True, slots=True)
class PruneCandidate:
    """A run that might go. `ended` is in seconds since the epoch."""

    id: str
    ended: float
    bytes: int
    needed: str | None = None
    """Why it has to stay; None where it may go."""


def choose(runs: Iterable[PruneCandidate], now: float, bounds: RecordBounds = BOUNDS) -> list[PruneCandidate]:
    """Return the runs to remove, oldest first: those beyond their time, and as many more as bring the rest within."""
    ordered = sorted(runs, key=lambda run: (run.ended, run.id))
    count, size = len(ordered), sum(run.bytes for run in ordered)
    going = []
    for run in ordered:
        is_old = now - run.ended > bounds.age
        if run.needed is None and (is_old or count > bounds.runs or size > bounds.bytes):
            going.append(run)
            count, size = count - 1, size - run.bytes
    return going


def candidates(place: Path, now: float) -> list[PruneCandidate]:
    """Look at the runs of a home."""
    runs = runs_in(place)
    last = {run.workflow: run.id for run in runs if run.resumable is not None}
    return [
        PruneCandidate(run.id, _ended(run), run_folder.size(), _needed(run, run_folder, last, now))
        for run in runs
        for run_folder in [RunFolder(run.id, place)]
    ]


def _ended(run: RunSummary) -> float:
    return run.ended or run.began


def _needed(run: RunSummary, run_folder: RunFolder, last: Mapping[str, str], now: float) -> str | None:
    """Say why a run has to stay; `last` is the last of each workflow that can be gone on with."""
    if run.outcome == RUNNING:
        return "it runs"
    if run_folder.is_pinned:
        return "it is pinned"
    if now - _ended(run) < _UNFINISHED_STAY:
        if run.outcome == KILLED:
            return "it was killed lately"
        if last.get(run.workflow) == run.id:
            return "it can be gone on with"
    return _letters_left(run_folder)


def remove_runs(
    place: Path, runs: Sequence[PruneCandidate], until: float | None = None
) -> list[PruneCandidate]:
    """
    Remove runs, up to a moment of the monotonic clock; return those that are gone.

    With each goes what it has hidden beside what it wrote, as nobody can go on with it any more. Where that can't be
    taken away it stays, and the record goes. Raises `UsageError` where others may have written what is there.
    """
    from runner.handlers.sinks.abandoned import take_away  # the end of most runs removes nothing
    from runner.jobs.workspace.removal import sweep

    gone = []
    hidden = hidden_by_runs(place, [run.id for run in runs])
    trash = place / _REMOVED
    for run in runs:
        if until is not None and time.monotonic() > until:
            break
        for each in hidden.get(run.id, ()):
            with contextlib.suppress(OSError):
                take_away(each)
        with contextlib.suppress(OSError):  # before it is moved: a repository knows a worktree by its place
            sweep(RunFolder(run.id, place).path, all_of_it=True)
        with contextlib.suppress(OSError):
            trash.mkdir(mode=0o700, exist_ok=True)
            # At once out of sight: who is killed half-way through the files leaves no half of a record.
            RunFolder(run.id, place).path.rename(trash / run.id)
            gone.append(run)
            shutil.rmtree(trash / run.id, ignore_errors=True)
    if trash.exists():
        shutil.rmtree(trash, ignore_errors=True)
    return gone


def prune(place: Path, seconds: float) -> None:
    """Bring a home within bounds, or on the way there; take so long at most."""
    until, now = time.monotonic() + seconds, time.time()
    remove_runs(place, choose(candidates(place, now), now), until)


def _letters_left(run_folder: RunFolder) -> str | None:
    for file in letter_files(run_folder):
        with contextlib.suppress(OSError):
            if file.read_bytes().count(b"\n") > len(replayed(file)):
                return "it has dead letters that were not replayed"
    return None
