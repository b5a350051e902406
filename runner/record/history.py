"""The runs of a home, and which of them a word means.

runs/*/run.db ──► summarize ──► RunSummary ──► history, and the choice of a run for all that show one
      └── ended ──► index.db ──┘       of what has not changed since it was read, one row of one file
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from runner.errors import UsageError
from runner.events.run import RunOutcome
from runner.record.index import INDEX, read_index, update_index
from runner.record.schema import DATABASE
from runner.record.summary import KILLED, RUNNING, UNKNOWN, RunSummary, summarize_run
from runner.spec.suggestions import did_you_mean
from runner.store.run_folder import RunFolder, home, run_folders_in

LATEST = "latest"


def runs_in(place: Path | None = None) -> list[RunSummary]:
    """
    List the runs that have a record, oldest first.

    Raises:
        UsageError: others may have written what is there.
    """
    where = place or home()
    known = read_index(where / INDEX)
    found: list[RunSummary] = []
    fresh: dict[str, tuple[int, RunSummary]] = {}
    run_folders = run_folders_in(where)
    for run_folder in run_folders:
        stamp = _stamp(run_folder)
        seen = known.get(run_folder.run)
        if seen is not None and seen[0] == stamp:
            found.append(seen[1])
            continue
        summary = summarize_run(run_folder)
        if summary is not None:
            found.append(summary)
            if stamp and summary.outcome not in (RUNNING, KILLED, UNKNOWN):
                fresh[run_folder.run] = stamp, summary
    gone = known.keys() - {run_folder.run for run_folder in run_folders}
    if fresh or gone:
        update_index(where / INDEX, fresh, gone)
    return sorted(found, key=lambda run: (run.began, run.id))


def find_run(word: str, runs: Sequence[RunSummary]) -> RunSummary:
    """
    Return the run that a word means: `latest`, the beginning of an id, or a workflow's name, whose last run is meant.

    Raises:
        UsageError: there is none, or it is the beginning of several ids.
    """
    if not runs:
        raise UsageError(
            f"there is no record of a run '{word}', nor of any other here; MPRUN_HOME may name another folder"
        )
    if word == LATEST:
        return runs[-1]
    matching = [run for run in runs if run.id.startswith(word)] if word else []
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = ", ".join(run.id for run in matching[-8:])
        raise UsageError(f"several runs begin with '{word}': {ids}; write more of the id")
    named = [run for run in runs if run.workflow == word]
    if named:
        return named[-1]
    nearest = did_you_mean(
        word, dict.fromkeys([LATEST, *(r.workflow for r in runs), *(r.id for r in runs[::-1])])
    )
    raise UsageError(f"there is no run '{word}'; {nearest}")


def last_done_run(workflow: str, file: str, but: str, place: Path | None = None) -> RunSummary | None:
    """Return the last run of the same workflow in the same file that was done, `but` this one; None where none was."""
    try:
        runs = runs_in(place)
    except (OSError, UsageError):
        return None
    where = str(Path(file).absolute())
    alike = [run for run in runs if (run.workflow, run.file) == (workflow, where) and run.id != but]
    return next((run for run in reversed(alike) if run.outcome == RunOutcome.DONE), None)


def unique_prefixes(ids: Iterable[str]) -> dict[str, int]:
    """Return of each id how many of its first characters no other one begins with."""
    ordered = sorted(set(ids))
    lengths = {}
    for place, own in enumerate(ordered):
        beside = ordered[max(place - 1, 0) : place] + ordered[place + 1 : place + 2]
        shared = max((_alike(own, other) for other in beside), default=0)
        lengths[own] = min(shared + 1, len(own))
    return lengths


def _alike(one: str, other: str) -> int:
    """Count the characters that both begin with."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _stamp(run_folder: RunFolder) -> int:
    """Return what changes with the database of a run; 0 where there is none."""
    try:
        stamp = (run_folder.path / DATABASE).stat().st_mtime_ns
    except OSError:
        return 0
    with contextlib.suppress(OSError):
        # Where somebody looked on at its end, that stands in the log beside it.
        stamp += (run_folder.path / f"{DATABASE}-wal").stat().st_mtime_ns
    return stamp
