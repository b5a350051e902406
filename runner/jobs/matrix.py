"""`strategy.matrix`: one job becomes many legs, by GitHub's rules. Pure.

    python: [3.11, 3.12]                       test (3.11, linux)
    os: [linux, mac]              expand       test (3.12, linux)
    exclude: [{python: 3.11, os: mac}]  ──►    test (3.12, mac, slow)
    include: [{os: mac, speed: slow}]

1. Every value of each key with every value of the others; the first key changes slowest.
2. `exclude` takes out each combination that has all the values of one of its entries.
3. Each entry of `include`, in turn, adds its keys to every combination that it can be added to without changing
   a value of step 1; it may change what an earlier entry has added. One that can be added to none becomes a
   combination of its own, to which later entries add nothing.

So an entry that shares no key with the matrix is added to every combination, and a matrix of `include` alone has
a leg for each entry. Source: "Running variations of jobs in a workflow", GitHub Docs. Where GitHub says nothing
of an `exclude` that takes out nothing, or of two legs that look alike, this module does.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic, Severity
from runner.spec.source.reader import Written, lossy_numbers
from runner.spec.suggestions import did_you_mean
from runner.text import clip

MOST_LEGS = 1000
"""Legs of one job. GitHub allows 256; a laptop's scheduler does not mind some more."""
_MOST_COMBINATIONS = 10 * MOST_LEGS
"""Combinations before `exclude`, so that the check itself stays quick."""
_MOST_SHOWN = 60

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Leg:
    """One of the jobs that a job with a matrix becomes."""

    id: str
    """Unique in the workflow, such as `test (3.11, linux)`; the job's own name where there is no matrix."""
    label: str = ""
    """What stands in the brackets of the id: the key of this leg in a map of outputs."""
    values: Values = field(default_factory=dict)
    """What `matrix.…` is in this leg."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """The legs in a stable order, and what is wrong; legs only where no diagnostic is an error."""

    legs: tuple[Leg, ...]
    diagnostics: tuple[Diagnostic, ...] = ()


def expand(job: str, matrix: Mapping[str, Any] | None, path: DataPath, written: Written) -> Expansion:
    """
    Return the legs of `job`; without a matrix, itself.

    `matrix` stands at `path`, has the shape that the schema asks for, and its references are replaced.
    """
    if matrix is None:
        return Expansion((Leg(job),))
    table = _Table.of(matrix)
    diagnostics = [*_check_axes(table, path), *lossy_numbers(matrix, path, written)]
    if not diagnostics:
        combinations, diagnostics = _combine(table, path)
        legs = [_leg(job, values) for values in combinations]
        diagnostics += _check_legs(legs, path)
        if not any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics):
            return Expansion(tuple(legs), tuple(diagnostics))
    return Expansion((), tuple(diagnostics))


def matrix_keys(matrix: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return every key that any leg may have: what `matrix.…` may name."""
    if matrix is None:
        return ()
    table = _Table.of(matrix)
    return tuple(dict.fromkeys([*table.axes, *(key for entry in table.include for key in entry)]))


@dataclass(frozen=True, slots=True)
class _Table:
    """A matrix, taken apart."""

    axes: Mapping[str, Sequence[Any]]
    include: Sequence[Values]
    exclude: Sequence[Values]

    @classmethod
    def of(cls, matrix: Mapping[str, Any]) -> _Table:
        axes = {key: value for key, value in matrix.items() if key not in ("include", "exclude")}
        return cls(axes, matrix.get("include") or (), matrix.get("exclude") or ())

    @property
    def size(self) -> int:
        return math.prod(len(values) for values in self.axes.values()) if self.axes else 0


def _combine(table: _Table, path: DataPath) -> tuple[list[Values], list[Diagnostic]]:
    """Take the three steps; diagnostics are those that only the doing shows."""
    base: list[Values] = [dict(zip(table.axes, picked, strict=True)) for picked in _product(table)]
    kept = [values for values in base if not any(_matches(values, entry) for entry in table.exclude)]
    diagnostics = [
        _excludes_nothing((*path, "exclude", number), entry, table)
        for number, entry in enumerate(table.exclude)
        if not any(_matches(values, entry) for values in base)
    ]
    return _add_includes(table, kept), diagnostics


def _product(table: _Table) -> Iterator[tuple[Any, ...]]:
    return itertools.product(*table.axes.values()) if table.axes else iter(())


def _matches(values: Values, entry: Values) -> bool:
    return all(key in values and _same(values[key], value) for key, value in entry.items())


def _same(one: object, other: object) -> bool:
    """Equal and of one kind: to Python, 1 and true are equal."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _add_includes(table: _Table, base: Sequence[Values]) -> list[Values]:
    added: list[dict[str, Any]] = [{} for _ in base]
    alone: list[Values] = []
    for entry in table.include:
        own = {key: value for key, value in entry.items() if key in table.axes}
        fitting = [number for number, values in enumerate(base) if _matches(values, own)]
        for number in fitting:
            added[number].update(entry)
        if not fitting:
            alone.append(entry)
    return [*({**values, **more} for values, more in zip(base, added, strict=True)), *alone]


def _leg(job: str, values: Values) -> Leg:
    label = ", ".join(_format_value(value) for value in values.values())
    return Leg(f"{job} ({label})", label, values)


def _format_value(value: object) -> str:
    """Return a value as it stands in a name: one line, short."""
    if isinstance(value, str):
        text = " ".join(value.split())
    elif isinstance(value, Mapping):
        text = ", ".join(_format_value(below) for below in value.values())
    else:
        text = json.dumps(value, ensure_ascii=False)
    return clip(text, _MOST_SHOWN)


def _check_axes(table: _Table, path: DataPath) -> Iterator[Diagnostic]:
    for key, values in table.axes.items():
        if not values:
            message = f"'{key}' has no values, so the matrix has no legs"
            yield Diagnostic((*path, key), "matrix-empty", message, "key", "give it a value, or take it out")
        yield from _repeated((*path, key), values)
    if not table.axes and not table.include:
        message = "the matrix has no legs"
        yield Diagnostic(path, "matrix-empty", message, "key", "give it a key with a list of values")
    if table.size > _MOST_COMBINATIONS or len(table.include) > MOST_LEGS:
        yield _too_large(path, max(table.size, len(table.include)))
    for number, entry in enumerate(table.exclude):
        for key in entry:
            if key not in table.axes:
                place = (*path, "exclude", number, key)
                message = f"the matrix has no key '{key}' to exclude by"
                yield Diagnostic(place, "unknown-matrix-key", message, "key", did_you_mean(key, table.axes))


def _repeated(path: DataPath, values: Sequence[Any]) -> Iterator[Diagnostic]:
    """Find values that would give two legs one name: they are equal, or look alike, such as 1 and '1'."""
    seen: set[str] = set()
    for number, value in enumerate(values):
        if (shown := _format_value(value)) in seen:
            message = f"'{shown}' is there already, and two legs can't have one name"
            yield Diagnostic((*path, number), "duplicate-leg", message, help="take it out")
        seen.add(shown)


def _too_large(path: DataPath, size: int) -> Diagnostic:
    message = f"the matrix has {size:,} legs; a job has at most {MOST_LEGS:,}"
    return Diagnostic(
        path, "matrix-too-large", message, "key", "give a key fewer values, or split the job in two"
    )


def _excludes_nothing(path: DataPath, entry: Values, table: _Table) -> Diagnostic:
    """Name the value that no combination has; where each is there, GitHub's own rules leave nothing to say."""
    for key, value in entry.items():
        if not any(_same(value, known) for known in table.axes[key]):
            known = [_format_value(each) for each in table.axes[key]]
            message = f"this excludes nothing: '{key}' is never {_format_value(value)}"
            help_ = did_you_mean(_format_value(value), known)
            if _format_value(value) in known:  # alike on paper, as 2 and '2' are
                kinds = ("the text", "the number") if isinstance(value, str) else ("the number", "the text")
                message = f"this excludes nothing: '{key}' is never {kinds[0]} {_format_value(value)}"
                help_ = f"write it as the matrix does, where it is {kinds[1]}"
            return Diagnostic(
                (*path, key), "excludes-nothing", message, help=help_, severity=Severity.WARNING
            )
    message = "this excludes nothing"
    return Diagnostic(path, "excludes-nothing", message, help="take it out", severity=Severity.WARNING)


def _check_legs(legs: Sequence[Leg], path: DataPath) -> Iterator[Diagnostic]:
    if not legs:
        message = "'exclude' leaves no legs"
        yield Diagnostic(
            (*path, "exclude"), "matrix-empty", message, "key", "exclude less, or take the job out"
        )
    if len(legs) > MOST_LEGS:
        yield _too_large(path, len(legs))
    seen: set[str] = set()
    for leg in legs:
        if leg.id in seen:
            message = f"two legs would be called '{leg.id}'"
            help_ = "change a value, or add a key that tells them apart"
            yield Diagnostic(path, "duplicate-leg", message, "key", help_)
            return
        seen.add(leg.id)
