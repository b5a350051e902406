"""Files looked at, and fingerprints kept: what `freshness` decides on, fetched and put away.

    globs ──look──► Fingerprint ──compare──► up to date? ──► no: run; when it has passed, look again and keep
                        ▲                                                                        │
                        └──── recall ────  <home>/fresh/<digest of the file>/<digest of the job>.json  ◄┘

`inputs` are looked at before the job runs, so that what it changes under its own feet counts as changed; `outputs`
when it has passed.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from runner.jobs.freshness import (
    FileFacts,
    Files,
    Fingerprint,
    Freshness,
    compare,
    fingerprint_of,
    from_data,
    needs_reading,
    to_data,
)

_FOLDER = "fresh"


@dataclass(frozen=True, slots=True)
class Watched:
    """One job as far as freshness goes. `inputs` and `outputs` are patterns, relative to `root`.

    `**` crosses folders, a folder stands for all in it, `!pattern` takes out what an earlier one took in. Names
    that begin with a dot are left out unless the pattern says the dot.
    """

    job: str
    root: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    definition: Mapping[str, object]
    """What the job is, by the word for it: `{"command": …, "env": …}`. A change of any makes it run."""


class FreshnessStore:
    """Where fingerprints are kept: under the record's home, for the owner alone, one file a job."""

    def __init__(self, home: Path, workflow: Path) -> None:
        self._home = home
        self._folder = home / _FOLDER / _name(str(workflow.absolute()))

    def judge(self, watched: Watched) -> tuple[Freshness, Fingerprint]:
        """
        Say whether a job is up to date, with how things are now; `keep` wants that when the job has passed.

        Reads the files that may have changed, all of each. Raises OSError for one that can't be read.
        """
        before = self.recall(watched.job)
        now = look(watched, before)
        freshness = compare(before, now)
        if before is not None and freshness.up_to_date and before != replace(now, values=before.values):
            # Files have settled since, and need not be read the next time. What others put beside them stays theirs.
            own = {path: facts for path, facts in now.outputs.items() if path in before.outputs}
            self._write(watched.job, replace(now, outputs=own, values=before.values))
        return freshness, now

    def keep(
        self, watched: Watched, before_it_ran: Fingerprint, values: Mapping[str, str] | None = None
    ) -> None:
        """The job has passed: keep what it read then, what it has made and what it hands on. Raises OSError."""
        made = look(replace(watched, inputs=()), before_it_ran)
        self._write(watched.job, replace(before_it_ran, outputs=made.outputs, values=values or {}))

    def _write(self, job: str, fingerprint: Fingerprint) -> None:
        for folder in (self._home, self._home / _FOLDER, self._folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(job)
        # Whole or not at all, and under a name of its own: two runs may do this at once.
        draft = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as out:
            json.dump(to_data(fingerprint), out)
        draft.replace(path)

    def recall(self, job: str) -> Fingerprint | None:
        """Return what was kept when the job last passed, if anything sensible was."""
        try:
            with self._path(job).open(encoding="utf-8", errors="surrogateescape") as stream:
                return from_data(json.load(stream))
        except (OSError, ValueError):
            return None

    def _path(self, job: str) -> Path:
        return self._folder / f"{_name(job)}.json"


def look(watched: Watched, known: Fingerprint | None) -> Fingerprint:
    """Return how things are now. A file that `known` has, and that looks the same, is not read."""
    known = known or Fingerprint()
    inputs, no_inputs = _find(watched.root, watched.inputs)
    outputs, no_outputs = _find(watched.root, watched.outputs)
    return Fingerprint(
        parts=fingerprint_of(watched.definition),
        inputs=_facts(watched.root, inputs, known.inputs),
        outputs=_facts(watched.root, outputs, known.outputs),
        unmatched=(*(f"input {p}" for p in no_inputs), *(f"output {p}" for p in no_outputs)),
    )


def _find(root: Path, patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files that the patterns mean, sorted, and the patterns that match none."""
    found: dict[str, None] = {}
    unmatched: list[str] = []
    for pattern in patterns:
        files = dict.fromkeys(_files(root, pattern.removeprefix("!")))
        if pattern.startswith("!"):
            found = {path: None for path in found if path not in files}
        else:
            found |= files
            unmatched += [] if files else [pattern]
    return sorted(found), unmatched


def _files(root: Path, pattern: str) -> Iterator[str]:
    for path in _glob(root, pattern):
        if (root / path).is_dir():
            inside = os.path.join(glob.escape(path), "**")  # noqa: PTH118  # a Path can't hold a pattern's slashes
            yield from (_as_path(below) for below in _glob(root, inside) if (root / below).is_file())
        elif (root / path).is_file():
            yield _as_path(path)


def _glob(root: Path, pattern: str) -> Iterator[str]:
    return glob.iglob(pattern, root_dir=root, recursive=True)  # noqa: PTH207  # Path.glob takes in dot files


def _as_path(found: str) -> str:
    return PurePath(found).as_posix()


def _facts(root: Path, paths: Sequence[str], known: Files) -> dict[str, FileFacts]:
    found = ((path, _fact(root / path, known.get(path))) for path in paths)
    return {path: facts for path, facts in found if facts is not None}


def _fact(path: Path, known: FileFacts | None) -> FileFacts | None:
    """Look at one file; None if it is gone since it was found."""
    # Before the file: if it changes meanwhile, it is younger than the look at it, and its time is not trusted.
    now = time.time_ns()
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return None
    with stream:
        facts = os.fstat(stream.fileno())
        if known is not None and not needs_reading(known, facts.st_size, facts.st_mtime_ns):
            return known
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileFacts(digest, facts.st_size, facts.st_mtime_ns, now)


def _name(text: str) -> str:
    """Return a file name for any text, of which no two are alike."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
