"""Whether a job has to run again: what it read, made and was, then and now.

    globs ──fingerprint──► Fingerprint ──compare──► up to date? ──► no: run; when it has passed, look again and save
                               ▲                                                                        │
                               └── load ────  <home>/fresh/<digest of the file>/<digest of the job>.json  ◄┘

`inputs` are looked at before the job runs, so that what it changes under its own feet counts as changed; `outputs`
when it has passed. A file is known by its content. Reading all of it each time would be slow, so one whose size and
times of change are as they were is not read again: `needs_reading` decides that.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path, PurePath
from typing import NamedTuple

from runner.facts import dataclass
from runner.text import and_more, write_atomically

_FOLDER = "fresh"
# Two changes within one tick of a file system's clock leave the same time behind; some tick every two seconds.
_TICK_NS = 2_000_000_000
UP_TO_DATE = "up to date: no input has changed since it last passed"


class FileFacts(NamedTuple):
    """What one file was when it was looked at."""

    digest: str
    size: int
    mtime_ns: int
    looked_at_ns: int
    """When; as the others, in nanoseconds since the epoch."""
    ctime_ns: int = 0
    """When the system last noted a change of it, which nobody can set back."""

    @property
    def is_settled(self) -> bool:
        """Say whether a later change would show in the time of change."""
        return max(self.mtime_ns, self.ctime_ns) < self.looked_at_ns - _TICK_NS


Files = Mapping[str, FileFacts]
"""By path, relative to where the job runs, with `/`."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All that tells one run of a job from another."""

    parts: Mapping[str, str] = field(default_factory=dict)
    """Digests of what the job is, by the word for it: `command`, `env`, …"""
    inputs: Files = field(default_factory=dict)
    outputs: Files = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    """What it handed on to others; of no weight in comparing."""
    unmatched: tuple[str, ...] = ()
    """Patterns that no file matches, with `input ` or `output ` before them."""


@dataclass(frozen=True, slots=True)
class UpToDate:
    """The decision: a job that is up to date is skipped with this reason, another runs with it."""

    holds: bool
    reason: str
    values: Mapping[str, str] = field(default_factory=dict)
    """Where it holds: what the job handed on when it last passed, which is good for those that need it now."""


@dataclass(frozen=True, slots=True)
class UpToDateCheck:
    """What decides whether one job is up to date, and where its fingerprint is kept. Plain, so that it pickles quickly.

    `inputs` and `outputs` are patterns, relative to `root`: `**` crosses folders, a folder stands for all in it,
    `!pattern` takes out what an earlier one took in. Names that begin with a dot are left out unless the pattern says
    the dot.
    """

    job: str
    root: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    definition: Mapping[str, object]
    """What the job is, by the word for it: `{"command": …, "env": …}`. A change of any makes it run."""
    home: str
    """The record's, under which fingerprints are kept: for the owner alone, one file a job."""
    workflow: str
    """The path of the file."""
    within: str | None = None
    """For a job whose tree is gone by then: where in that tree `root` was. What it made is in `kept`."""

    @property
    def kept(self) -> str:
        """The folder for what a job with a tree of its own made when it last passed, by its paths in that tree."""
        return str(self._path.with_suffix(".files"))

    def decide(self) -> tuple[UpToDate, Fingerprint]:
        """
        Say whether the job is up to date, with how things are now; `save` wants that when the job has passed.

        Reads the files that may have changed, all of each. Raises OSError for one that can't be read.
        """
        before = self.load()
        now = self.fingerprint(before)
        decision = compare_fingerprints(before, now)
        if before is not None and decision.holds and before != replace(now, values=before.values):
            # Files have settled since, and need not be read the next time. What others put beside them stays theirs.
            own = {path: facts for path, facts in now.outputs.items() if path in before.outputs}
            self._write(replace(now, outputs=own, values=before.values))
        return decision, now

    def fingerprint(self, known: Fingerprint | None) -> Fingerprint:
        """Return how things are now. A file that `known` has, and that looks the same, is not read."""
        known = known or Fingerprint()
        inputs, no_inputs = find_files(Path(self.root), self.inputs)
        made = Path(self.root) if self.within is None else Path(self.kept, self.within)
        outputs, no_outputs = find_files(made, self.outputs)
        return Fingerprint(
            parts=fingerprint_of(self.definition),
            inputs=_facts_of(Path(self.root), inputs, known.inputs),
            outputs=_facts_of(made, outputs, known.outputs),
            unmatched=(*(f"input {p}" for p in no_inputs), *(f"output {p}" for p in no_outputs)),
        )

    def save(self, before_it_ran: Fingerprint, values: Mapping[str, str] | None = None) -> None:
        """The job has passed: keep what it read then, what it has made and what it hands on. Raises OSError."""
        made = replace(self, inputs=()).fingerprint(before_it_ran)
        self._write(replace(before_it_ran, outputs=made.outputs, values=values or {}))

    def forget(self) -> None:
        """The job has passed, and nothing of that may be kept. Raises OSError."""
        self._path.unlink(missing_ok=True)

    def load(self) -> Fingerprint | None:
        """Return what was kept when the job last passed, if anything sensible was."""
        try:
            with self._path.open(encoding="utf-8", errors="surrogateescape") as stream:
                return from_data(json.load(stream))
        except (OSError, ValueError):
            return None

    def _write(self, fingerprint: Fingerprint) -> None:
        path = self._path
        self.make_folder()
        text = json.dumps(to_data(fingerprint))
        write_atomically(path, text.encode("utf-8", "surrogateescape"), 0o600)

    def make_folder(self) -> None:
        """Make the folder that it is kept in. Raises OSError."""
        for folder in reversed(self._path.parents[:3]):
            folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def _path(self) -> Path:
        workflow = _file_name(str(Path(self.workflow).absolute()))
        return Path(self.home) / _FOLDER / workflow / f"{_file_name(self.job)}.json"


def fingerprint_of(definition: Mapping[str, object]) -> dict[str, str]:
    """Return the `parts` of a fingerprint. Each value is plain data such as JSON has, or turns into text."""
    return {word: _digest(value) for word, value in definition.items()}


def compare_fingerprints(before: Fingerprint | None, now: Fingerprint) -> UpToDate:
    """Say whether what holds now is what held when the job last passed; `before` is None if it never has."""
    if before is None:
        return UpToDate(False, "it has not passed here before")
    reasons = list(_differences(before, now))
    if not reasons:
        return UpToDate(True, UP_TO_DATE, before.values)
    return UpToDate(False, ", ".join(filter(None, (reasons[0], and_more(len(reasons) - 1)))))


def needs_reading(known: FileFacts | None, size: int, mtime_ns: int, ctime_ns: int) -> bool:
    """Say whether a file that has this size and these times has to be read, or is as it was `known`."""
    seen = size, mtime_ns, ctime_ns
    return known is None or not known.is_settled or (known.size, known.mtime_ns, known.ctime_ns) != seen


def _differences(before: Fingerprint, now: Fingerprint) -> Iterator[str]:
    """Yield what is not as it was, the most telling first."""
    for word in sorted(before.parts.keys() | now.parts.keys()):
        if before.parts.get(word) != now.parts.get(word):
            yield f"{word} changed"
    yield from _changes("input", before.inputs, now.inputs)
    # What somebody else has put beside the outputs is none of this job's.
    made = {path: facts for path, facts in now.outputs.items() if path in before.outputs}
    yield from _changes("output", before.outputs, made)
    # A pattern that matches nothing is more likely a slip than a wish: it must not make a job up to date for ever.
    yield from (f"{pattern} matches nothing" for pattern in now.unmatched)


def _changes(kind: str, before: Files, now: Files) -> Iterator[str]:
    gone = "is missing" if kind == "output" else "is gone"
    for path in sorted(before.keys() | now.keys()):
        was, is_now = before.get(path), now.get(path)
        if is_now is None:
            yield f"{kind} {_printable(path)} {gone}"
        elif was is None:
            yield f"{kind} {_printable(path)} is new"
        elif was.digest != is_now.digest:
            yield f"{kind} {_printable(path)} changed"


def _printable(path: str) -> str:
    """A file name may be bytes that are no text, which no event could carry."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def _digest(value: object) -> str:
    written = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(written.encode(errors="surrogateescape")).hexdigest()


def to_data(fingerprint: Fingerprint) -> dict[str, object]:
    """Return a fingerprint as plain data, to be kept."""
    return {word: dict(getattr(fingerprint, word)) for word in ("parts", "inputs", "outputs", "values")}


def from_data(data: object) -> Fingerprint | None:
    """Return the fingerprint in plain data; None for what is none, such as that of another version."""
    match data:
        case {
            "parts": dict() as parts,
            "inputs": dict() as inputs,
            "outputs": dict() as outputs,
            "values": dict() as values,
        }:
            try:
                return Fingerprint(parts, _files_from(inputs), _files_from(outputs), values)
            except (TypeError, ValueError):
                return None
    return None


def _files_from(data: Mapping[str, Sequence[object]]) -> dict[str, FileFacts]:
    return {path: _facts(*entry) for path, entry in data.items()}


def _facts(digest: object, *numbers: object) -> FileFacts:
    match digest, numbers:
        case str(), (int() as size, int() as mtime_ns, int() as looked_at_ns, int() as ctime_ns):
            return FileFacts(digest, size, mtime_ns, looked_at_ns, ctime_ns)
    raise TypeError("no facts of a file")


def find_files(root: Path, patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files below `root` that the patterns mean, sorted, and the patterns that match none."""
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


def _facts_of(root: Path, paths: Sequence[str], known: Files) -> dict[str, FileFacts]:
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
        if known is not None and not needs_reading(
            known, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
        ):
            return known
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileFacts(digest, facts.st_size, facts.st_mtime_ns, now, facts.st_ctime_ns)


def _file_name(text: str) -> str:
    """Return a file name for any text, of which no two are alike."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
