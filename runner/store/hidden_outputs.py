"""What a run hides beside what it writes, as its folder says: it goes with the record, and is not forgotten before.

    runs/<run id>/run.json.hidden ◄── note_hidden ── the runner, before anything is hidden
                              └────── hidden_of ──► whoever removes the record: all of it that nobody else needs

A folder that came from elsewhere says nothing: what it names is another's here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from runner.handlers.outputs import HiddenOutput
from runner.store.run_folder import FACTS, RunFolder, run_folders_in
from runner.text import write_atomically

_HIDDEN = f"{FACTS}.hidden"


def note_hidden(run_folder: RunFolder, hidden: Collection[HiddenOutput]) -> None:
    """Say what a run will hide, beside what it has said before. A full disk only costs the tidying up."""
    known = dict.fromkeys([*hidden_of(run_folder), *hidden])
    if known:
        text = json.dumps([asdict(each) for each in known])
        with contextlib.suppress(OSError):
            write_atomically(run_folder.path / _HIDDEN, text.encode(), mode=0o600)


def hidden_of(run_folder: RunFolder) -> list[HiddenOutput]:
    """Return what a run may have hidden; whether it is still there is another question."""
    path = run_folder.path / _HIDDEN
    if not path.exists() or not run_folder.is_from_here():
        return []
    try:
        return [
            HiddenOutput(**{key: str(value) for key, value in each.items()})
            for each in json.loads(path.read_bytes())
        ]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def hidden_by_runs(place: Path, runs: Sequence[str]) -> dict[str, list[HiddenOutput]]:
    """Return what is still there of what some runs of a home have hidden, by their ids, and no other run of it has."""
    from runner.handlers.sinks.abandoned import is_left  # only where records are removed

    found = {run: hidden_of(RunFolder(run, place)) for run in runs}
    if not any(found.values()):
        return {}
    others = (each for each in run_folders_in(place) if each.run not in found)
    needed = {hidden for each in others for hidden in hidden_of(each)}
    return {run: [each for each in own if each not in needed and is_left(each)] for run, own in found.items()}


def still_there(hidden: Iterable[HiddenOutput]) -> list[HiddenOutput]:
    """Return those that could not be taken away."""
    from runner.handlers.sinks.abandoned import is_left

    return [each for each in hidden if is_left(each)]
