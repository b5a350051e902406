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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.findings import Finding
from runner.problems import Severity, did_you_mean
from runner.source_marks import DataPath
from runner.source_scalars import resolve

MOST_LEGS = 1000
"""Legs of one job. GitHub allows 256; a laptop's scheduler does not mind some more."""
_MOST_COMBINATIONS = 10 * MOST_LEGS
"""Combinations before `exclude`, so that the check itself stays quick."""
_MOST_SHOWN = 60

Written = Callable[[DataPath], str | None]
"""Returns the text of a scalar as the file has it: `Source.scalar_text`."""
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
    """The legs in a stable order, and what is wrong; legs only where no finding is an error."""

    legs: tuple[Leg, ...]
    findings: tuple[Finding, ...] = ()


def expand(job: str, matrix: Mapping[str, Any] | None, path: DataPath, written: Written) -> Expansion:
    """
    Return the legs of `job`; without a matrix, itself.

    `matrix` stands at `path`, has the shape that the schema asks for, and its references are replaced.
    """
    if matrix is None:
        return Expansion((Leg(job),))
    table = _Table.of(matrix)
    findings = [*_check_axes(table, path), *_check_numbers(matrix, path, written)]
    if not findings:
        combinations, findings = _combine(table, path)
        legs = [_leg(job, values) for values in combinations]
        findings += _check_legs(legs, path)
        if not any(finding.severity is Severity.ERROR for finding in findings):
            return Expansion(tuple(legs), tuple(findings))
    return Expansion((), tuple(findings))


def keys_of(matrix: Mapping[str, Any] | None) -> tuple[str, ...]:
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


def _combine(table: _Table, path: DataPath) -> tuple[list[Values], list[Finding]]:
    """Take the three steps; findings are those that only the doing shows."""
    base: list[Values] = [dict(zip(table.axes, picked, strict=True)) for picked in _product(table)]
    kept = [values for values in base if not any(_has(values, entry) for entry in table.exclude)]
    findings = [
        _excludes_nothing((*path, "exclude", number), entry, table)
        for number, entry in enumerate(table.exclude)
        if not any(_has(values, entry) for values in base)
    ]
    return _included(table, kept), findings


def _product(table: _Table) -> Iterator[tuple[Any, ...]]:
    return itertools.product(*table.axes.values()) if table.axes else iter(())


def _has(values: Values, entry: Values) -> bool:
    return all(key in values and _same(values[key], value) for key, value in entry.items())


def _same(one: object, other: object) -> bool:
    """Equal and of one kind: to Python, 1 and true are equal."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _included(table: _Table, base: Sequence[Values]) -> list[Values]:
    added: list[dict[str, Any]] = [{} for _ in base]
    alone: list[Values] = []
    for entry in table.include:
        own = {key: value for key, value in entry.items() if key in table.axes}
        fitting = [number for number, values in enumerate(base) if _has(values, own)]
        for number in fitting:
            added[number].update(entry)
        if not fitting:
            alone.append(entry)
    return [*({**values, **more} for values, more in zip(base, added, strict=True)), *alone]


def _leg(job: str, values: Values) -> Leg:
    label = ", ".join(_shown(value) for value in values.values())
    return Leg(f"{job} ({label})", label, values)


def _shown(value: object) -> str:
    """Return a value as it stands in a name: one line, short."""
    if isinstance(value, str):
        text = " ".join(value.split())
    elif isinstance(value, Mapping):
        text = ", ".join(_shown(below) for below in value.values())
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _check_axes(table: _Table, path: DataPath) -> Iterator[Finding]:
    for key, values in table.axes.items():
        if not values:
            message = f"'{key}' has no values, so the matrix has no legs"
            yield Finding((*path, key), "matrix-empty", message, "key", "give it a value, or take it out")
        yield from _repeated((*path, key), values)
    if not table.axes and not table.include:
        message = "the matrix has no legs"
        yield Finding(path, "matrix-empty", message, "key", "give it a key with a list of values")
    if table.size > _MOST_COMBINATIONS or len(table.include) > MOST_LEGS:
        yield _too_large(path, max(table.size, len(table.include)))
    for number, entry in enumerate(table.exclude):
        for key in entry:
            if key not in table.axes:
                place = (*path, "exclude", number, key)
                message = f"the matrix has no key '{key}' to exclude by"
                yield Finding(place, "unknown-matrix-key", message, "key", did_you_mean(key, table.axes))


def _repeated(path: DataPath, values: Sequence[Any]) -> Iterator[Finding]:
    """Find values that would give two legs one name: they are equal, or look alike, such as 1 and '1'."""
    seen: set[str] = set()
    for number, value in enumerate(values):
        if (shown := _shown(value)) in seen:
            message = f"'{shown}' is there already, and two legs can't have one name"
            yield Finding((*path, number), "duplicate-leg", message, help="take it out")
        seen.add(shown)


def _too_large(path: DataPath, size: int) -> Finding:
    message = f"the matrix has {size:,} legs; a job has at most {MOST_LEGS:,}"
    return Finding(
        path, "matrix-too-large", message, "key", "give a key fewer values, or split the job in two"
    )


def _excludes_nothing(path: DataPath, entry: Values, table: _Table) -> Finding:
    """Name the value that no combination has; where each is there, GitHub's own rules leave nothing to say."""
    for key, value in entry.items():
        if not any(_same(value, known) for known in table.axes[key]):
            known = [_shown(each) for each in table.axes[key]]
            message = f"this excludes nothing: '{key}' is never {_shown(value)}"
            help_ = did_you_mean(_shown(value), known)
            return Finding((*path, key), "excludes-nothing", message, help=help_, severity=Severity.WARNING)
    message = "this excludes nothing"
    return Finding(path, "excludes-nothing", message, help="take it out", severity=Severity.WARNING)


def _check_legs(legs: Sequence[Leg], path: DataPath) -> Iterator[Finding]:
    if not legs:
        message = "'exclude' leaves no legs"
        yield Finding((*path, "exclude"), "matrix-empty", message, "key", "exclude less, or take the job out")
    if len(legs) > MOST_LEGS:
        yield _too_large(path, len(legs))
    seen: set[str] = set()
    for leg in legs:
        if leg.id in seen:
            message = f"two legs would be called '{leg.id}'"
            help_ = "change a value, or add a key that tells them apart"
            yield Finding(path, "duplicate-leg", message, "key", help_)
            return
        seen.add(leg.id)


def _check_numbers(data: Any, path: DataPath, written: Written) -> Iterator[Finding]:
    """Find numbers that YAML reads as something else than was typed: 3.10 would silently become 3.1."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _check_numbers(value, (*path, key), written)
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from _check_numbers(value, (*path, number), written)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        typed = written(path)
        if typed is not None and typed != str(data) and _means(typed, data):
            message = f"{typed} is read as the number {data}"
            help_ = f"write '{typed}' if the text is meant, or {data} if the number is"
            yield Finding(path, "lossy-number", message, help=help_)


def _means(typed: str, value: object) -> bool:
    """Say whether `value` was read from what was typed, and did not come by a reference."""
    return "${{" not in typed and resolve(typed) == value
