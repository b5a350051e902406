"""Diagnostics: what is wrong with a file, why, and what would be right. Facts only; `render.diagnostics` prints them.

The checks are pure functions from data to diagnostics at paths; a `SourceDocument` alone knows lines and columns.

    data ──► check ──► Diagnostic(path, …) ──source.place──► LocatedDiagnostic(file, line, column, …)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Literal

from runner.facts import dataclass

DataPath = tuple[str | int, ...]
"""The keys, and the places in lists, that lead from the top of a file to a value."""
Part = Literal["key", "value"]


class Severity(StrEnum):
    """An error stops the run before it starts; a warning is shown and the run goes on."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong with the key or the value at one path."""

    path: DataPath
    code: str
    """Stable kebab-case name such as `unknown-key`; users grep for it and docs explain it."""
    message: str
    part: Part = "value"
    help: str | None = None
    severity: Severity = Severity.ERROR
    meant: str | None = None
    """For an unknown key: the key that was meant, where that is clear and the key is not there as well."""
    stretch: tuple[int, int] | None = None
    """For a mistake inside a text: where it starts in the text at `path`, and how many characters it has."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of one line. Lines and columns count from 1, in characters; `width` is at least 1."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, slots=True)
class UseSite:
    """Where a file uses another as a template, and by which name."""

    file: str
    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class LocatedDiagnostic:
    """One thing wrong in one place of a file."""

    file: str
    span: Span
    code: str
    message: str
    help: str | None = None
    snippet: str = ""
    """The text of the line that `span` is in, without its newline; empty if there is no such line."""
    severity: Severity = Severity.ERROR
    used: tuple[UseSite, ...] = ()
    """For what stands in a template: where that is used, the innermost first."""


@dataclass(frozen=True, slots=True)
class UnknownPaths:
    """The places whose values are not known, because they were wrong and have been reported."""

    paths: frozenset[DataPath] = frozenset()

    def knows(self, *path: str | int) -> bool:
        """Say whether the value at `path`, there or left out, is what was meant."""
        return not any(path[:length] in self.paths for length in range(len(path) + 1))

    def knows_whole(self, *path: str | int) -> bool:
        """Say whether the value at `path` is what was meant, and so is all that is in it."""
        return self.knows(*path) and not any(unknown[: len(path)] == path for unknown in self.paths)

    def knows_all(self, stages: Iterable[str], key: str) -> bool:
        """Say whether every one of `stages` has, or leaves out, `key` as was meant."""
        return not self.paths or all(self.knows("stages", stage, key) for stage in stages)


def in_file_order(diagnostics: Iterable[LocatedDiagnostic]) -> list[LocatedDiagnostic]:
    """Sort by file, line, column and code, and drop repeats; one that has several uses is one with all of them."""
    found: dict[LocatedDiagnostic, tuple[UseSite, ...]] = {}
    for each in diagnostics:
        alone = replace(each, used=()) if each.used else each
        found[alone] = tuple(dict.fromkeys((*found.get(alone, ()), *each.used)))
    merged = (replace(each, used=used) if used else each for each, used in found.items())
    return sorted(merged, key=lambda p: (p.file, p.span.line, p.span.column, p.code, p.message))


def errors_only(diagnostics: Iterable[LocatedDiagnostic]) -> list[LocatedDiagnostic]:
    """Keep the problems that must stop a run."""
    return [diagnostic for diagnostic in diagnostics if diagnostic.severity is Severity.ERROR]
