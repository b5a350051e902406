"""Findings: what is wrong at a place in the data, before it is known where in which file that place is.

The checks are pure functions from data to findings; `Source` alone knows lines and columns.

    data ──► check ──► Finding(path, …) ──at(source)──► Problem(file, line, column, …)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.problems import Problem, Severity
from runner.source_marks import DataPath, Part, Source


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the key or the value at one path."""

    path: DataPath
    code: str
    message: str
    part: Part = "value"
    help: str | None = None
    severity: Severity = Severity.ERROR
    meant: str | None = None
    """For an unknown key: the key that was meant, where that is clear and the key is not there as well."""
    stretch: tuple[int, int] | None = None
    """For a mistake inside a text: where it starts in the text at `path`, and how many characters it has."""

    def at(self, source: Source) -> Problem:
        """Return this finding as a problem with file, line and column."""
        if self.stretch is not None:
            where = source.within(self.path, *self.stretch)
            return where.problem(self.code, self.message, help=self.help, severity=self.severity)
        return source.problem(
            self.path, self.code, self.message, part=self.part, help=self.help, severity=self.severity
        )

    def is_within(self, path: DataPath) -> bool:
        """Say whether this is about `path` or something below it."""
        return self.path[: len(path)] == path


@dataclass(frozen=True, slots=True)
class Spoilt:
    """The places whose values are not known, because they were wrong and have been reported."""

    paths: frozenset[DataPath] = frozenset()

    def knows(self, *path: str | int) -> bool:
        """Say whether the value at `path`, there or left out, is what was meant."""
        return not any(path[:length] in self.paths for length in range(len(path) + 1))

    def knows_all(self, stages: Iterable[str], key: str) -> bool:
        """Say whether every one of `stages` has, or leaves out, `key` as was meant."""
        return not self.paths or all(self.knows("stages", stage, key) for stage in stages)


def located(findings: Iterable[Finding], source: Source) -> list[Problem]:
    """Return findings as problems."""
    return [finding.at(source) for finding in findings]
