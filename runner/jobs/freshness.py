"""Whether a job has to run again: what it read, made and was, then and now. Pure.

    last time it passed    Fingerprint ─┐
    now                    Fingerprint ─┴─► compare ──► Freshness(up to date, or the reason why not)

A file is told by its content. Reading all of it each time would be slow, so one whose size and time of change are
as they were is not read again: `needs_reading` decides that, `freshness_store` does it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

# Two changes within one tick of a file system's clock leave the same time behind; some tick every two seconds.
_TICK_NS = 2_000_000_000
_UP_TO_DATE = "up to date: no input has changed since it last passed"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one file was when it was looked at."""

    digest: str
    size: int
    mtime_ns: int
    looked_at_ns: int
    """When; as the others, in nanoseconds since the epoch."""

    @property
    def is_settled(self) -> bool:
        """Say whether a later change would show in the time of change."""
        return self.mtime_ns < self.looked_at_ns - _TICK_NS


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
class Freshness:
    """The decision: a job that is up to date is skipped with this reason, another runs with it."""

    up_to_date: bool
    reason: str
    values: Mapping[str, str] = field(default_factory=dict)
    """Where it is up to date: what it handed on when it last passed, which is good for those that need it now."""


def fingerprint_of(definition: Mapping[str, object]) -> dict[str, str]:
    """Return the `parts` of a fingerprint. Each value is plain data such as JSON has, or turns into text."""
    return {word: _digest(value) for word, value in definition.items()}


def compare(before: Fingerprint | None, now: Fingerprint) -> Freshness:
    """Say whether what holds now is what held when the job last passed; `before` is None if it never has."""
    if before is None:
        return Freshness(False, "it has not passed here before")
    reasons = list(_differences(before, now))
    if not reasons:
        return Freshness(True, _UP_TO_DATE, before.values)
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return Freshness(False, reasons[0] + more)


def needs_reading(known: FileFacts | None, size: int, mtime_ns: int) -> bool:
    """Say whether a file that has this size and time has to be read, or is as it was `known`."""
    return known is None or not known.is_settled or (known.size, known.mtime_ns) != (size, mtime_ns)


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
    return {
        "parts": dict(fingerprint.parts),
        "inputs": _files_to_data(fingerprint.inputs),
        "outputs": _files_to_data(fingerprint.outputs),
        "values": dict(fingerprint.values),
    }


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


def _files_to_data(files: Files) -> dict[str, Sequence[object]]:
    return {
        path: (facts.digest, facts.size, facts.mtime_ns, facts.looked_at_ns) for path, facts in files.items()
    }


def _files_from(data: Mapping[str, Sequence[object]]) -> dict[str, FileFacts]:
    return {path: _facts(*entry) for path, entry in data.items()}


def _facts(digest: object, *numbers: object) -> FileFacts:
    match digest, numbers:
        case str(), (int() as size, int() as mtime_ns, int() as looked_at_ns):
            return FileFacts(digest, size, mtime_ns, looked_at_ns)
    raise TypeError("no facts of a file")
