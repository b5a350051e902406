"""How jobs hang together, checked before anything starts. Pure: jobs and their data in, findings out.

needs        exist, each once, and don't go round
if           names what there is, and can come true
references   `needs.x.outputs.y` and `secrets.X` are declared
the rest     groups agree on their limit, ids differ, durations can be waited for, matrices hold no misspelt key
"""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from runner.findings import Finding, Spoilt
from runner.jobs.conditions import Known, check_condition, parse_condition
from runner.jobs.expansion import Expanded, LaidOut
from runner.jobs.matrix import keys_of
from runner.problems import Severity, did_you_mean, nearest
from runner.source_marks import DataPath
from runner.spec_jobs import SHELLS, JobSpec

_STEPS = ("steps", "ensure")
# Comparing names costs some 10 µs a pair.
_MOST_COMPARISONS = 50_000
_MOST_SHOWN = 12
"""Jobs of a circle."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the checks must know beside the jobs."""

    params: Mapping[str, Any]
    transport: str = "leased"
    spoilt: Spoilt = Spoilt()  # noqa: RUF009 - frozen


def check_jobs(expanded: Expanded, jobs: Sequence[JobSpec], around: Surroundings) -> list[Finding]:
    """Return what is wrong with how `jobs`, built from `expanded`, hang together."""
    specs = {job.name: job for job in jobs}
    findings = [*_transport(around.transport), *_duplicate_ids(jobs), *_cycles(specs), *_groups(jobs)]
    values = {job.name: job.values for job in jobs}
    unknown = sum(need.job not in specs for job in jobs for need in job.needs)
    for laid_out in expanded.jobs:
        one = _One(laid_out, specs, around, values, gives_hints=unknown * len(specs) <= _MOST_COMPARISONS)
        findings += [*one.needs(), *one.conditions(), *one.matrix_slips(), *one.shells(), *one.patterns()]
    return findings


@dataclass(frozen=True, slots=True)
class _One:
    """One job, and what it may refer to."""

    job: LaidOut
    specs: Mapping[str, JobSpec]
    around: Surroundings
    values: Mapping[str, tuple[str, ...]]
    """By job, the names of the values that it hands on."""
    gives_hints: bool = True
    """Whether looking for the nearest name of each unknown need takes no time that would be felt."""

    @property
    def path(self) -> DataPath:
        return ("jobs", self.job.name)

    @property
    def spec(self) -> JobSpec:
        return self.specs[self.job.name]

    def needs(self) -> Iterator[Finding]:
        """Find needs that don't exist, that are there twice, or that are the job itself."""
        seen: set[str] = set()
        for path, name in _needs_with_paths(self.job.data.get("needs", ()), (*self.path, "needs")):
            if name == self.job.name:
                yield Finding(path, "needs-itself", f"job '{name}' needs itself", help="take it out")
            elif name not in self.specs:
                message = f"job '{self.job.name}' needs '{name}', and there is no such job"
                yield Finding(path, "unknown-need", message, help=self._nearest_job(name))
            elif name in seen:
                message = f"job '{self.job.name}' needs '{name}' twice"
                yield Finding(path, "duplicate-entry", message, help="each must be there once")
            seen.add(name)

    def _nearest_job(self, name: str) -> str | None:
        others = (other for other in self.specs if other != self.job.name)
        return did_you_mean(name, others) if self.gives_hints else None

    def conditions(self) -> Iterator[Finding]:
        """Find conditions that can't be read, that name what there is not, or that can never come true."""
        yield from self._condition(self.job.data, self.path)
        for key in _STEPS:
            steps = self.job.data.get(key, ())
            for number, step in enumerate(steps if isinstance(steps, list) else ()):
                if isinstance(step, dict):
                    yield from self._condition(step, (*self.path, key, number))

    def _condition(self, data: Mapping[str, Any], above: DataPath) -> Iterator[Finding]:
        if "if" not in data or not self.around.spoilt.knows(*above, "if"):
            return
        condition, findings = parse_condition(data["if"], (*above, "if"))
        yield from findings
        if condition is not None:
            yield from check_condition(condition, self._known(), (*above, "if"))
            if above == self.path and condition.text == "failure()" and not self.spec.needs:
                message = f"job '{self.job.name}' never runs: failure() looks at what it needs, and it needs nothing"
                yield Finding((*above, "if"), "never-runs", message, help="name the jobs in `needs`")

    def _known(self) -> Known:
        needed = {need.job for need in self.spec.needs}
        # One that does not exist is told of at the need: what it was meant for is not told again.
        is_sure = needed <= self.values.keys()
        declared = {name: self.values[name] for name in needed} if is_sure else self.values
        strategy = self.job.data.get("strategy", {})
        return Known(declared, keys_of(strategy.get("matrix")), self.around.params)

    def matrix_slips(self) -> Iterator[Finding]:
        """Find keys of a matrix that are no values of its own, but `include` or `exclude` misspelt."""
        matrix = self.job.data.get("strategy", {}).get("matrix", {})
        for key, values in matrix.items():
            meant = nearest(key, ("include", "exclude")) if key not in ("include", "exclude") else None
            if meant is not None and isinstance(values, list) and all(isinstance(v, dict) for v in values):
                path = (*self.path, "strategy", "matrix", key)
                yield Finding(
                    path, "unknown-key", f"a matrix has no key '{key}'", "key", f"did you mean '{meant}'?"
                )

    def shells(self) -> Iterator[Finding]:
        """Find shells that can't be split into words, or are a known one misspelt."""
        for path, written in _shells(self.job.data, self.path):
            try:
                words = shlex.split(written)
            except ValueError:
                yield Finding(path, "wrong-format", f"'{written}' has a quote that is not closed")
                continue
            meant = nearest(words[0], SHELLS) if len(words) == 1 and words[0] not in SHELLS else None
            if meant is not None and words[0] not in _OTHER_SHELLS:
                message = f"there is no shell '{written}'"
                yield Finding(path, "unknown-value", message, help=f"did you mean '{meant}'?")

    def patterns(self) -> Iterator[Finding]:
        """Find regular expressions of services that can't be read; each leg of a matrix may have its own."""
        asked = {
            (service.name, service.ready.prints): None
            for leg in self.spec.legs
            for service in leg.services
            if service.ready is not None and service.ready.prints is not None
        }
        for name, prints in asked:
            why = unreadable(prints)
            if why is not None:
                path = (*self.path, "services", name, "ready", "prints")
                message = f"'prints' of service '{name}': '{prints}' is not a regular expression: {why}"
                yield Finding(path, "wrong-format", message)


_OTHER_SHELLS = ("zsh", "ash", "dash", "ksh", "csh", "fish", "python3", "rbash")
"""Shells that are near to one with a short name here, and exist."""


_FOR_STAGES = {
    ("queues",): "take it out: jobs hand on values and files",
    ("defaults",): "take it out, and say it in each job",
    ("limits", "max_errors"): "say `continue-on-error` in the jobs that may fail",
    ("limits", "stall_timeout"): "say `idle-timeout` in the jobs",
}
"""Keys that only concern stages, each with what is there for jobs."""


def unreadable(pattern: str) -> str | None:
    """Say why a text is no regular expression; None if it is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python may read in another way
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return None


def check_keys(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Find keys of a workflow that say nothing where there are jobs and no stages."""
    for path, help_ in _FOR_STAGES.items():
        here: Any = data
        for key in path:
            here = here.get(key) if isinstance(here, Mapping) else None
        if here is not None and "stages" not in data:
            message = f"'{'.'.join(path)}' is for stages, and this workflow has jobs"
            yield Finding(path, "not-for-jobs", message, "key", help_)


def _transport(transport: str) -> Iterator[Finding]:
    if transport != "leased":
        message = f"jobs need `leased`, and this workflow has `transport: {transport}`"
        yield Finding(("transport",), "needs-leased", message, help="take 'transport' out")


def _needs_with_paths(needs: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    if isinstance(needs, str):
        yield path, needs
        return
    for number, need in enumerate(needs):
        if isinstance(need, str):
            yield (*path, number), need
        elif isinstance(need, dict) and isinstance(need.get("job"), str):
            yield (*path, number, "job"), need["job"]


def _shells(data: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "shell" and isinstance(value, str) and value.strip() and "${{" not in value:
                yield (*path, key), value
            elif key in (*_STEPS, "services") or path[2:3] in (("steps",), ("ensure",), ("services",)):
                yield from _shells(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _shells(value, (*path, number))


def _cycles(specs: Mapping[str, JobSpec]) -> Iterator[Finding]:
    """Tell of one circle at a time: with one mended, the next shows."""
    graph = {
        name: [n.job for n in job.needs if n.job in specs and n.job != name] for name, job in specs.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        rank = {name: number for number, name in enumerate(specs)}
        first = min(range(len(circle) - 1), key=lambda at: rank[circle[at]])
        ordered = [*circle[first:-1], *circle[:first], circle[first]]
        shown = ordered if len(ordered) <= _MOST_SHOWN else [*ordered[: _MOST_SHOWN - 2], "…", ordered[-1]]
        message = f"these jobs wait for each other: {' → '.join(shown)}"
        help_ = "an arrow means 'needs': take one of them out"
        yield Finding(("jobs", ordered[0], "needs"), "cycle", message, "key", help_)


def _duplicate_ids(jobs: Sequence[JobSpec]) -> Iterator[Finding]:
    names = {job.name for job in jobs}
    for job in jobs:
        clash = next((leg.id for leg in job.legs if job.has_matrix and leg.id in names), None)
        if clash is not None:
            message = f"a leg of job '{job.name}' has the name of job '{clash}'"
            yield Finding(("jobs", clash), "duplicate-leg", message, "key", "give the job another name")


def _groups(jobs: Sequence[JobSpec]) -> Iterator[Finding]:
    limits: dict[str, tuple[str, int]] = {}
    for job in jobs:
        for group in {leg.concurrency for leg in job.legs if leg.concurrency is not None}:
            other, limit = limits.setdefault(group.group, (job.name, group.limit))
            if limit != group.limit:
                message = (
                    f"group '{group.group}' has the limit {group.limit} here, and {limit} in job '{other}'"
                )
                path = ("jobs", job.name, "concurrency")
                yield Finding(
                    path, "conflicting-limits", message, severity=Severity.ERROR, help="say the same in both"
                )
