"""The record: where a run leaves what others may want of it, and nobody else may read.

$MPRUN_HOME, or .mprun/ where the run was started      folders 0700, files 0600
└── runs/<run id>/
    ├── run.json          workflow, file, pid, when
    ├── control.sock      while it lives
    └── dead-letters/     a file for each stage that has any, and one for each big item
    └── jobs/             the logs of jobs, if it has some
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.errors import UsageError

HOME = "MPRUN_HOME"
_FACTS = "run.json"
_MOST_LISTED = 8


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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The folder of one run. It is made when the first thing is put there."""

    run: str
    home: Path

    @property
    def folder(self) -> Path:
        """Where it is, whether or not it exists yet."""
        return self.home / "runs" / self.run

    def make(self) -> Path:
        """Make the folder, for its owner alone, and return it. Raises OSError if the place can't be written."""
        for folder in (self.home, self.home / "runs", self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        return self.folder

    def folder_for(self, what: str) -> Path:
        """Make a folder in it, for its owner alone, and return it. Raises OSError."""
        folder = self.make() / what
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def write_facts(self, facts: RunFacts) -> None:
        """Say what run this is. Whole or not at all: a reader may come at any moment."""
        draft = self.make() / f".{_FACTS}"
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as out:
            json.dump(asdict(facts), out)  # escaped: an argument may hold bytes that are no text
        draft.replace(self.folder / _FACTS)

    def facts(self) -> RunFacts | None:
        """Read what run this is; None where nothing sensible is written."""
        try:
            known = json.loads((self.folder / _FACTS).read_text(encoding="utf-8"))
            given = {key: tuple(map(str, known.get(key, ()))) for key in ("params", "overrides")}
            return RunFacts(**{**known, **given})
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def tidy(self) -> None:
        """The run is over: keep its folder only if it holds what somebody may still want."""
        kept = {_FACTS, f".{_FACTS}"}
        if not self.folder.exists() or {each.name for each in self.folder.iterdir()} - kept:
            return
        for name in kept:
            (self.folder / name).unlink(missing_ok=True)
        for folder in (self.folder, self.home / "runs", self.home):
            try:
                folder.rmdir()
            except OSError:  # others' records are still in it
                return


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where records are: `$MPRUN_HOME`, or `.mprun` in the current folder."""
    return Path(environ.get(HOME) or ".mprun").absolute()


def all_records(where: Path | None = None) -> list[RunRecord]:
    """List the records there are, oldest first."""
    place = where or home()
    try:
        names = [entry.name for entry in (place / "runs").iterdir() if entry.is_dir()]
    except OSError:
        return []
    records = [RunRecord(name, place) for name in names]
    return sorted(records, key=lambda record: (facts.at if (facts := record.facts()) else 0.0, record.run))


def matching(run: str, records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the records that `run` may mean: by the beginning of their id, else by the name of their workflow."""
    known = list(records)
    return [record for record in known if record.run.startswith(run)] or [
        record for record in known if (facts := record.facts()) is not None and facts.workflow == run
    ]


def the_one(run: str, found: Sequence[RunRecord], what: str) -> RunRecord:
    """Return the only one of `found`, in which there is at least one. Raises `UsageError` if `run` means several."""
    if len(found) == 1:
        return found[0]
    raise UsageError(f"several {what} match '{run}': {listed(found)}; name one by its id")


def listed(records: Sequence[RunRecord]) -> str:
    """Name runs for a message, the last few if there are many."""
    earlier = f"{len(records) - _MOST_LISTED} older ones, " if len(records) > _MOST_LISTED else ""
    return earlier + (", ".join(record.run for record in records[-_MOST_LISTED:]) or "none")
