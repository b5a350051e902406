"""From what stands under `jobs` to legs: matrix expanded, `${{ matrix.x }}` replaced, each leg's shape judged. Pure.

    jobs.test, its params replaced ──► expand ──► test (3.11): {run: …}      what waits for needs and secrets stays
                                                  test (3.12): {run: …}

A value that the matrix gives is judged leg by leg, since it may fit in one and not in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.findings import Finding, located
from runner.jobs.lacking import lacking
from runner.jobs.matrix import Leg, expand
from runner.jobs.scripts import KNOWN_EARLY, kept
from runner.problems import Problem
from runner.references import AT_RUN, interpolate, names_used
from runner.repair import unfit, without
from runner.schema_problems import shape_findings
from runner.sizes import check_sizes
from runner.source_marks import DataPath, Source

JobData = Mapping[str, Any]

_OF_OTHERS = AT_RUN | KNOWN_EARLY
"""The roots of references that are not filled here."""
_ALIKE = (("strategy",), ("needs",), ("outputs", "values"))
"""Keys that all legs of a job share, and that no matrix can change."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One job with its legs."""

    name: str
    data: JobData
    """As it was before any matrix was put in."""
    legs: tuple[tuple[Leg, JobData], ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """All jobs in the order of the file, and what is wrong with them."""

    jobs: tuple[LaidOut, ...] = ()
    problems: tuple[Problem, ...] = ()


def waits_for_matrix(data: Any) -> frozenset[DataPath]:
    """Return the paths of texts in some workflow's jobs that can't be judged before the matrix is put in."""
    jobs = data.get("jobs") if isinstance(data, dict) else None
    named = jobs.items() if isinstance(jobs, dict) else ()
    return frozenset(path for name, job in named for path, _ in _of_job(job, ("jobs", name)))


def expand_jobs(source: Source, jobs: Any, schema: Mapping[str, Any]) -> Expanded:
    """Lay out jobs whose own shape is right, or was put right."""
    work = _Expansion(source, schema)
    laid_out = tuple(work.lay_out(name, data) for name, data in jobs.items() if isinstance(data, dict))
    return Expanded(laid_out, tuple(dict.fromkeys(work.problems)))


class _Expansion:
    def __init__(self, source: Source, schema: Mapping[str, Any]) -> None:
        self._source = source
        self._schema = dict(schema)
        self.problems: list[Problem] = []

    def lay_out(self, name: str, data: JobData) -> LaidOut:
        strategy = data.get("strategy")
        matrix = strategy.get("matrix") if isinstance(strategy, dict) else None
        found = expand(name, matrix, ("jobs", name, "strategy", "matrix"), self._source.scalar_text)
        self.problems += located(found.findings, self._source)
        waiting = dict(_of_job(data, ("jobs", name)))
        if not waiting:
            return LaidOut(name, data, tuple((leg, data) for leg in found.legs))
        unmet = list(lacking(waiting.items(), found.legs))
        self.problems += [each.problem(self._source) for each in unmet]
        stand_ins = {each.reference.names[1]: "" for each in unmet}
        legs = tuple(
            (leg, self._of_leg(leg, name, data, frozenset(waiting), stand_ins)) for leg in found.legs
        )
        return LaidOut(name, data, legs)

    def _of_leg(
        self, leg: Leg, name: str, data: JobData, waiting: frozenset[DataPath], stand_ins: Mapping[str, str]
    ) -> JobData:
        """`stand_ins` takes the place of values that it may lack, which has been told."""
        scopes = {"matrix": {**stand_ins, **leg.values}}
        own = {key: value for key, value in data.items() if key not in ("if", "strategy")}
        base = ("jobs", name)
        filled, problems = interpolate(self._source, own, scopes, base=base, runtime=_OF_OTHERS)
        replaced = kept(own, filled, base)
        self.problems += problems
        findings = [f for f in self._shape_of(name, replaced) if f.path in waiting]
        if not problems and stand_ins.keys() <= leg.values.keys():
            self.problems += located(findings, self._source)
        fitting = without({"jobs": {name: replaced}}, unfit(findings))["jobs"][name]
        return {**fitting, **{key: data[key] for key in ("if", "strategy") if key in data}}

    def _shape_of(self, name: str, data: JobData) -> list[Finding]:
        whole = {"name": name, "jobs": {name: data}}
        return [*shape_findings(self._schema, whole), *check_sizes(whole)]


def _of_job(job: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Yield the texts of a job with a reference to the matrix, each after its path."""
    return _of_matrix(job, path) if isinstance(job, dict) else iter(())


def _of_matrix(data: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Yield the texts with a reference to the matrix; an `if` is read by others."""
    if path[2:] in _ALIKE:
        return
    if isinstance(data, str):
        if "${{" in data and any(names[0] == "matrix" for names in names_used(data)):
            yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            if key != "if":
                yield from _of_matrix(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _of_matrix(value, (*path, number))
