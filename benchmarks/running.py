"""Rows, run: each contender in turn, round after round, and the median of what was read off.

Row × contenders ──► run_once, in rounds ──► Result ──► kept in a file, row by row
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contenders import CONTENDERS
from goals import Figures, Metric, Run, Verdict
from measure import ContenderError, run_once
from row import Row, Setting

TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class Result:
    """A row as it was measured: medians."""

    row: Row
    figures: Figures

    def verdicts(self) -> list[Verdict]:
        """What has become of the row's goals."""
        return [goal.verdict(self.figures) for goal in self.row.goals]


def measure(row: Row, setting: Setting, rounds: int) -> Result:
    """Run each contender in turn, in rounds; one that fails is left out from then on, with a word."""
    readings: dict[str, list[dict[str, float]]] = {name: [] for name in row.who if _present(name)}
    for _ in range(1 if row.once else rounds * row.repeat):
        for name in list(readings):
            try:
                readings[name].append(_read_off(row, run_row(row, name, setting)))
            except ContenderError as failure:
                print(f"{row.name}: {name}: {str(failure).splitlines()[-1]}", file=sys.stderr)
                del readings[name]
    return Result(row, {name: _medians(each) for name, each in readings.items()})


def _present(name: str) -> bool:
    return name not in CONTENDERS or CONTENDERS[name].installed


def run_row(row: Row, contender: str, setting: Setting) -> list[Run]:
    """Run one contender once: a process for each length."""
    return [
        (
            count,
            run_once(row.commands(contender, count, setting), timeout=TIMEOUT, watch=row.watch),
        )
        for count in row.counts(contender, setting)
    ]


def _read_off(row: Row, runs: Sequence[Run]) -> dict[str, float]:
    read = {metric.name: metric.of(runs) for metric in _metrics(row)}
    return {name: figure for name, figure in read.items() if figure is not None}


def _metrics(row: Row) -> list[Metric]:
    return [*row.metrics, *(goal.metric for goal in row.goals)]


def _medians(readings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = {name: None for reading in readings for name in reading}
    return {name: statistics.median(each[name] for each in readings if name in each) for name in names}


@dataclass(slots=True)
class Kept:
    """What has been measured, in a file or not: what of, and the figures by row."""

    path: Path | None
    about: str = ""
    figures: dict[str, Figures] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Kept:
        """Take what is there from before, if anything is."""
        if path is None or not path.exists():
            return cls(path)
        return cls(path, **json.loads(path.read_text(encoding="utf-8")))

    def add(self, result: Result) -> None:
        """Keep a row, in the place of what was measured of it before."""
        self.figures[result.row.name] = result.figures
        if self.path is not None:
            text = json.dumps({"about": self.about, "figures": self.figures}, indent=1, ensure_ascii=False)
            self.path.write_text(f"{text}\n", encoding="utf-8")

    def results(self, rows: Iterable[Row]) -> list[Result]:
        """What is known of rows, in their order; of some nothing."""
        return [Result(row, self.figures.get(row.name, {})) for row in rows]
