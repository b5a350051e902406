"""Kinds of failures: what went wrong in the same place in the same way, whatever the item. Pure.

ValueError: no price in 'row 17'   File "shop", line 12, in price ─┐
ValueError: no price in 'row 23'   File "shop", line 12, in price ─┴─► "shop.price: ValueError: no price in '…'"
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any, NamedTuple

from runner.facts import dataclass
from runner.record.series import Series

MOST_SAMPLES = 100
"""Items of a kind that are kept; the rest are counted."""
MOST_KINDS = 200
OTHERS = "others"
"""The error of the kind that takes what comes when there are `MOST_KINDS`."""
_LONGEST = 200
_MINUTE = 60.0
# What differs from item to item: quoted text, addresses, numbers. Compiled when something fails, by `re` itself.
_VARIABLE = (
    (r"'[^'\n]*'|\"[^\"\n]*\"", "'…'"),
    (r"(?i)\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b", "0"),
    (r"\d+(\.\d+)?", "0"),
)
_FRAME = r'File "([^"]+)", line \d+, in (\S+)'


def fingerprint(stage: str, error: str, traceback: str = "") -> str:
    """Say what makes failures one kind: the stage, the innermost frame, the error without what differs in it."""
    text = error.partition("\n")[0][: 2 * _LONGEST]
    for pattern, instead in _VARIABLE:
        text = re.sub(pattern, instead, text)
    frames = re.findall(_FRAME, traceback)
    place = ":".join((frames[-1][0].rpartition("/")[2], frames[-1][1])) if frames else ""
    return "\0".join((stage, place, text[:_LONGEST]))


@dataclass(slots=True)
class FailureKind:
    """Failures that are alike. `error` and `traceback` are those of the first."""

    id: int
    stage: str
    print: str
    error: str
    traceback: str
    first: float
    last: float
    minutes: Series
    n: int = 0
    sampled: int = 0

    def count(self, at: float) -> None:
        """One more of them."""
        self.n += 1
        self.last = at
        self.minutes.count(at)


class SampleItem(NamedTuple):
    """An item that failed so; `letter` says whether it is kept as a dead letter."""

    kind: int
    item: str
    at: float
    letter: bool = False


@dataclass(slots=True)
class FailureKinds:
    """The kinds of a run, as far as they go, and samples of each."""

    kinds: dict[str, FailureKind] = field(default_factory=dict)
    samples: list[SampleItem] = field(default_factory=list)
    """Those that nobody has taken yet."""
    changed: set[str] = field(default_factory=set)

    def note(self, at: float, fields: dict[str, Any], *, letter: bool = False) -> FailureKind:
        """Take note of a failure, told by the fields of its event, and return its kind."""
        stage, error = str(fields.get("stage", "")), str(fields.get("error") or fields.get("reason") or "")
        traceback = str(fields.get("traceback") or "")
        print_ = fingerprint(stage, error, traceback)
        if print_ not in self.kinds and len(self.kinds) >= MOST_KINDS:
            print_, stage, error, traceback = OTHERS, "", OTHERS, ""
        kind = self.kinds.get(print_)
        if kind is None:
            minutes = Series(at, _MINUTE)
            kind = FailureKind(len(self.kinds) + 1, stage, print_, error, traceback, at, at, minutes)
            self.kinds[print_] = kind
        kind.count(at)
        self.changed.add(print_)
        item = fields.get("item")
        if item is not None and kind.sampled < MOST_SAMPLES:
            kind.sampled += 1
            self.samples.append(SampleItem(kind.id, str(item), at, letter))
        return kind

    def rows(self) -> list[dict[str, Any]]:
        """Return the kinds, the most frequent first, each with its samples, as the record does."""
        rows = []
        for kind in sorted(self.kinds.values(), key=lambda kind: (-kind.n, kind.id)):
            samples = [
                {"item": each.item, "at": each.at, "letter": each.letter}
                for each in self.samples
                if each.kind == kind.id
            ]
            names = ("id", "stage", "print", "error", "traceback", "n", "first", "last")
            rows.append({**{name: getattr(kind, name) for name in names}, "samples": samples})
        return rows
