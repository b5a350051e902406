"""How jobs hang together, checked before anything starts.

check_jobs       needs exist, each once, and don't go round; `if` names what there is, and can come true; groups agree
                 on their limit, ids differ, matrices hold no misspelt key; of jobs in the background see background.py
check_keys       keys of a workflow that only stages could use
check_texts      `${{ needs.build.outputs.version }}`: `build` is needed, and declares it under `outputs.values`;
                 `${{ secrets.TOKEN }}`: it stands in the job's `secrets`
check_outside    dotenv files can be read, and a mistake in one is told at its line; secrets are set and can be masked

All but the last are pure. A secret that is not set is a warning: a job that runs only where it is set, say by its `if`,
must not keep the others from being checked and run elsewhere. The job itself fails for want of it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.jobs.files import read_dotenv
from runner.jobs.masking import unfit_secrets
from runner.jobs.matrix import matrix_keys
from runner.jobs.templates import KNOWN_EARLY
from runner.loader.checks.background import check_background
from runner.loader.checks.scripts import OF_JOBS, check_pipes, check_program, check_script, check_stdin
from runner.loader.checks.steps import OF_STEPS
from runner.loader.checks.tasks import check_arguments, check_interactive
from runner.loader.jobs import Expanded, LaidOut
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic, Severity, UnknownPaths
from runner.spec.expressions.check import OF_CONDITIONS, KnownNames, check_condition
from runner.spec.expressions.evaluate import parse_condition
from runner.spec.expressions.functions import FUNCTIONS
from runner.spec.graph import find_cycle
from runner.spec.jobs.commands import SHELLS, CommandSpec
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.model import USUAL_TRANSPORT, JobResult
from runner.spec.references import (
    ARGS,
    AT_RUN,
    JsonMapping,
    interpolate,
    names_used,
)
from runner.spec.source.positions import SourceDocument
from runner.spec.suggestions import did_you_mean, is_affordable, nearest

_STEPS = ("steps", "ensure")
_READS_TEXT = re.compile(r"-[a-z]*[ce]")
"""An option of shells and interpreters whose argument is a script itself."""
_MOST_SHOWN = 12
"""Jobs of a circle."""


@dataclass(frozen=True, slots=True)
class JobCheckContext:
    """What the checks must know beside the jobs."""

    params: Mapping[str, Any]
    transport: str = USUAL_TRANSPORT
    unknowns: UnknownPaths = UnknownPaths()
    contexts: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    """The names in contexts that are the same for all jobs; None where any may be."""


def check_jobs(expanded: Expanded, jobs: Sequence[JobSpec], around: JobCheckContext) -> list[Diagnostic]:
    """Return what is wrong with how `jobs`, built from `expanded`, hang together."""
    specs = {job.name: job for job in jobs}
    diagnostics = [*_transport(around.transport), *_duplicate_ids(jobs), *_cycles(specs), *_groups(jobs)]
    values = {job.name: job.values for job in jobs}
    unknown = sum(need.job not in specs for job in jobs for need in job.needs)
    for laid_out in expanded.jobs:
        one = _One(laid_out, specs, around, values, gives_hints=is_affordable(unknown, len(specs)))
        diagnostics += [*one.needs(), *one.conditions(), *one.matrix_slips(), *one.shells()]
    diagnostics += check_background(expanded, jobs)
    return diagnostics


@dataclass(frozen=True, slots=True)
class _One:
    """One job, and what it may refer to."""

    job: LaidOut
    specs: Mapping[str, JobSpec]
    around: JobCheckContext
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

    def needs(self) -> Iterator[Diagnostic]:
        """Find needs that don't exist, that are there twice, or that are the job itself."""
        seen: set[str] = set()
        for path, name in _needs_with_paths(self.job.data.get("needs", ()), (*self.path, "needs")):
            if name == self.job.name:
                yield Diagnostic(path, "needs-itself", f"job '{name}' needs itself", help="take it out")
            elif name not in self.specs:
                message = f"job '{self.job.name}' needs '{name}', and there is no such job"
                yield Diagnostic(path, "unknown-need", message, help=self._nearest_job(name))
            elif name in seen:
                message = f"job '{self.job.name}' needs '{name}' twice"
                yield Diagnostic(path, "duplicate-entry", message, help="each must be there once")
            seen.add(name)

    def _nearest_job(self, name: str) -> str | None:
        others = (other for other in self.specs if other != self.job.name)
        return did_you_mean(name, others) if self.gives_hints else None

    def conditions(self) -> Iterator[Diagnostic]:
        """Find conditions that can't be read, that name what there is not, or that can never come true."""
        yield from self._condition(self.job.data, self.path)
        for key in _STEPS:
            steps = self.job.data.get(key, ())
            for number, step in enumerate(steps if isinstance(steps, list) else ()):
                if isinstance(step, dict):
                    yield from self._condition(step, (*self.path, key, number))

    def _condition(self, data: Mapping[str, Any], above: DataPath) -> Iterator[Diagnostic]:
        if "if" not in data or not self.around.unknowns.knows(*above, "if"):
            return
        condition, diagnostics = parse_condition(data["if"], (*above, "if"))
        yield from diagnostics
        if condition is not None:
            yield from check_condition(condition, self._known(of_step=above != self.path), (*above, "if"))
            if above == self.path and condition.text == "failure()" and not self.spec.needs:
                message = f"job '{self.job.name}' never runs: failure() looks at what it needs, and it needs nothing"
                yield Diagnostic((*above, "if"), "never-runs", message, help="name the jobs in `needs`")

    def _known(self, *, of_step: bool) -> KnownNames:
        needed = {need.job for need in self.spec.needs}
        # One that does not exist is told of at the need: what it was meant for is not told again.
        is_sure = needed <= self.values.keys()
        declared = {name: self.values[name] for name in needed} if is_sure else self.values
        strategy = self.job.data.get("strategy", {})
        many = [name for name in needed if name in self.specs and self.specs[name].has_matrix]
        return KnownNames(
            declared,
            matrix_keys(strategy.get("matrix")),
            self.around.params,
            many,
            functions=tuple(FUNCTIONS) if of_step else OF_CONDITIONS,
            more={**self.around.contexts, **(OF_STEPS if of_step else {})},
        )

    def matrix_slips(self) -> Iterator[Diagnostic]:
        """Find keys of a matrix that are no values of its own, but `include` or `exclude` misspelt."""
        matrix = self.job.data.get("strategy", {}).get("matrix", {})
        for key, values in matrix.items():
            meant = nearest(key, ("include", "exclude")) if key not in ("include", "exclude") else None
            if meant is not None and isinstance(values, list) and all(isinstance(v, dict) for v in values):
                path = (*self.path, "strategy", "matrix", key)
                yield Diagnostic(
                    path, "unknown-key", f"a matrix has no key '{key}'", "key", f"did you mean '{meant}'?"
                )

    def shells(self) -> Iterator[Diagnostic]:
        """Find shells that can't be split into words, or are a known one misspelt."""
        for path, written in _shells(self.job.data, self.path):
            try:
                words = shlex.split(written)
            except ValueError:
                yield Diagnostic(path, "wrong-format", f"'{written}' has a quote that is not closed")
                continue
            if len(words) > 1 and "{0}" not in written and _READS_TEXT.fullmatch(words[-1]):
                message = f"'{written}' would run the path of a file that holds the script"
                help_ = f"leave out {words[-1]}: a shell gets that path, where {{0}} stands or at its end"
                yield Diagnostic(path, "wrong-format", message, help=help_)
                continue
            meant = nearest(words[0], SHELLS) if len(words) == 1 and words[0] not in SHELLS else None
            if meant is not None and words[0] not in _OTHER_SHELLS:
                message = f"there is no shell '{written}'"
                yield Diagnostic(path, "unknown-value", message, help=f"did you mean '{meant}'?")


_OTHER_SHELLS = ("zsh", "ash", "dash", "ksh", "csh", "fish", "python3", "rbash")
"""Shells that are near to one with a short name here, and exist."""


_FOR_STAGES = {
    ("queues",): "take it out: jobs hand on values and files",
    ("defaults", "stage"): "write defaults: {job: …} for what all jobs have in common",
    ("defaults", "queue"): "take it out: jobs hand on values and files",
    ("limits", "max_errors"): "say `continue-on-error` in the jobs that may fail",
    ("limits", "stall_timeout"): "say `idle-timeout` in the jobs",
    ("resume", "every"): "take it out: what a job came to is kept as it ends",
    ("tests",): "take it out: a job that tests others needs them",
}
"""Keys that only concern stages, each with what is there for jobs."""


def check_keys(data: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Find keys of a workflow that say nothing where there are jobs and no stages."""
    for path, help_ in _FOR_STAGES.items():
        here: Any = data
        for key in path:
            here = here.get(key) if isinstance(here, Mapping) else None
        if here is not None and "stages" not in data:
            message = f"'{'.'.join(path)}' is for stages, and this workflow has jobs"
            yield Diagnostic(path, "not-for-jobs", message, "key", help_)


def _transport(transport: str) -> Iterator[Diagnostic]:
    if transport != "leased":
        message = f"jobs need `leased`, and this workflow has `transport: {transport}`"
        yield Diagnostic(("transport",), "needs-leased", message, help="take 'transport' out")


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


def _cycles(specs: Mapping[str, JobSpec]) -> Iterator[Diagnostic]:
    """Tell of one circle at a time: with one mended, the next shows."""
    graph = {name: [n.job for n in job.needs if n.job != name] for name, job in specs.items()}
    circle = find_cycle(graph, {name: number for number, name in enumerate(specs)})
    if circle:
        first, *others = circle
        ordered = [first, *reversed(others), first]
        shown = ordered if len(ordered) <= _MOST_SHOWN else [*ordered[: _MOST_SHOWN - 2], "…", ordered[-1]]
        message = f"these jobs wait for each other: {' → '.join(shown)}"
        help_ = "an arrow means 'needs': take one of them out"
        yield Diagnostic(("jobs", first, "needs"), "cycle", message, "key", help_)


def _duplicate_ids(jobs: Sequence[JobSpec]) -> Iterator[Diagnostic]:
    names = {job.name for job in jobs}
    for job in jobs:
        clash = next((leg.id for leg in job.legs if job.has_matrix and leg.id in names), None)
        if clash is not None:
            message = f"a leg of job '{job.name}' has the name of job '{clash}'"
            yield Diagnostic(("jobs", clash), "duplicate-leg", message, "key", "give the job another name")


def _groups(jobs: Sequence[JobSpec]) -> Iterator[Diagnostic]:
    limits: dict[object, tuple[str, int]] = {}
    for job in jobs:
        for group in {leg.concurrency for leg in job.legs if leg.concurrency is not None}:
            other, limit = limits.setdefault((group.group, group.scope), (job.name, group.limit))
            if limit != group.limit:
                message = (
                    f"group '{group.group}' has the limit {group.limit} here, and {limit} in job '{other}'"
                )
                path = ("jobs", job.name, "concurrency")
                yield Diagnostic(
                    path, "conflicting-limits", message, severity=Severity.ERROR, help="say the same in both"
                )


_TOLD = KNOWN_EARLY | {"matrix", "strategy", ARGS}
"""The roots of references that others have looked at."""
_UNFILLED = ("if", "strategy", "needs", "secrets")
"""Keys whose texts nobody fills."""


def check_texts(
    source: SourceDocument, expanded: Expanded, jobs: Sequence[JobSpec]
) -> list[LocatedDiagnostic]:
    """Return a problem for each reference that leads nowhere, or stands where it can't be filled."""
    specs = {job.name: job for job in jobs}
    stand_ins = {job.name: _stand_in(job) for job in jobs}
    diagnostics: list[LocatedDiagnostic] = []
    for laid_out in expanded.jobs:
        roots = {names[0] for names in names_used(dict(laid_out.data))}
        if roots & AT_RUN:
            scopes = _scopes(specs[laid_out.name], stand_ins)
            for _, data in laid_out.legs[:1]:
                filled = {key: value for key, value in data.items() if key not in _UNFILLED}
                base = ("jobs", laid_out.name)
                diagnostics += interpolate(source, filled, scopes, base=base, runtime=_TOLD)[1]
        diagnostics += check_arguments(source, laid_out.name, laid_out.data)
        diagnostics += source.place_all(check_interactive(specs[laid_out.name], laid_out.data))
        diagnostics += _in_scripts(source, laid_out, specs[laid_out.name])
    return diagnostics


def _stand_in(job: JobSpec) -> Mapping[str, Any]:
    """Return a value of the shape of what those who need a job will know of it."""
    of_one = JsonMapping({leg.label: "" for leg in job.legs}) if job.has_matrix else ""
    return {"result": str(JobResult.PASSED), "outputs": dict.fromkeys(job.values, of_one)}


def _scopes(job: JobSpec, stand_ins: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what references in a job may lead to."""
    needed = {need.job for need in job.needs}
    # One that does not exist is told of at the need: what it was meant for is not told again.
    needs = {name: stand_ins[name] for name in needed} if needed <= stand_ins.keys() else stand_ins
    secrets = {name: "" for leg in job.legs[:1] for name in leg.secrets}
    return {"needs": needs, "secrets": secrets}


def _in_scripts(source: SourceDocument, laid_out: LaidOut, job: JobSpec) -> Iterator[LocatedDiagnostic]:
    """Find references in scripts that can't be filled, or had better not be."""
    seen: set[tuple[DataPath, str, str | tuple[str, ...]]] = set()
    for leg in job.legs:
        for path, command in _commands(leg, laid_out):
            case = (path, command.shell[0], command.run)
            if case in seen:
                continue
            seen.add(case)
            where = ("jobs", job.name, *path)
            yield from check_stdin(source, where, command.run, OF_JOBS)
            if isinstance(command.run, str):
                yield from check_script(source, where, command.shell[0], command.run)
                if path[0] not in ("services", "ready"):
                    yield from check_pipes(source, where, command.shell, command.run)
            else:
                yield from check_program(source, where, command.run)


def _commands(leg: LegSpec, laid_out: LaidOut) -> Iterator[tuple[DataPath, CommandSpec]]:
    """Yield the commands of a leg, each with where the text of it stands in the job."""
    for key, steps in (("steps", leg.steps), ("ensure", leg.ensure)):
        written = laid_out.data.get(key, ())
        for number, step in enumerate(steps):
            if key == "steps" and "run" in laid_out.data:
                yield ("run",), step.command
            else:
                is_short = isinstance(written[number], str)
                yield (key, number) if is_short else (key, number, "run"), step.command
    if leg.ready is not None and leg.ready.command is not None:
        yield ("ready", "run"), leg.ready.command
    for service in leg.services:
        yield ("services", service.name, "run"), service.command
        if service.ready is not None and service.ready.command is not None:
            yield ("services", service.name, "ready", "run"), service.ready.command


def check_outside(
    source: SourceDocument, jobs: Sequence[JobSpec], folder: Path, environ: Mapping[str, str]
) -> list[LocatedDiagnostic]:
    """Return what is wrong with the files and variables that `jobs` name. Files are read, each once."""
    diagnostics: dict[Path, list[LocatedDiagnostic] | Diagnostic] = {}
    found: list[LocatedDiagnostic] = []
    for job in jobs:
        for place, name in _names_with_paths(source, job, "dotenv"):
            path = folder / name
            if path not in diagnostics:
                diagnostics[path] = _read(path, name, Path(source.place(Diagnostic(place, "", "")).file))
            outcome = diagnostics[path]
            found += outcome if isinstance(outcome, list) else [source.place(_moved(outcome, place))]
        found += source.place_all(_secrets(source, job, environ))
        found += source.place_all(_folders(job, folder))
    return found


def _folders(job: JobSpec, folder: Path) -> Iterator[Diagnostic]:
    """Find working directories that no shell fills in, and such that are not there and nobody can make before."""
    for name in dict.fromkeys(leg.directory for leg in job.legs if "${{" not in leg.directory):
        path = ("jobs", job.name, "working-directory")
        if name.startswith("~"):
            message = f"'{name}' is the folder of that name: '~' is something to a shell alone"
            yield Diagnostic(path, "wrong-format", message, help="write the whole path, or ${{ env.HOME }}")
        elif not job.needs and not (folder / name).exists():
            message = f"there is no folder '{name}' yet, and job '{job.name}' needs no job that could make it"
            yield Diagnostic(path, "no-file", message, severity=Severity.WARNING)


def _names_with_paths(source: SourceDocument, job: JobSpec, key: str) -> Iterator[tuple[DataPath, str]]:
    """Yield what the legs of a job list under a key, with where that is written; what is known later is left out."""
    path = ("jobs", job.name, key)
    alone = source.scalar_text(path) is not None
    seen: dict[tuple[DataPath, str], None] = {}
    for leg in job.legs:
        for number, name in enumerate(leg.dotenv if key == "dotenv" else leg.secrets):
            if "${{" not in name:
                seen[(path if alone else (*path, number)), name] = None
    yield from seen


def _read(path: Path, name: str, written_in: Path) -> list[LocatedDiagnostic] | Diagnostic:
    try:
        return list(read_dotenv(path, name).diagnostics)
    except FileNotFoundError:
        if (beside := written_in.parent / name).is_file():
            where = os.path.relpath(beside, path.parent)
            message = f"there is no file '{name}' in the folder of the file that includes this one"
            return Diagnostic((), "no-file", message, help=f"paths of jobs start there: write '{where}'")
        best = nearest(path.name, _beside(path))
        help_ = f"did you mean '{Path(name).with_name(best)}'?" if best else None
        return Diagnostic((), "no-file", f"there is no file '{name}'", help=help_)
    except OSError as error:
        return Diagnostic((), "unreadable", f"'{name}' can't be read: {error.strerror}")


def _beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return []


def _moved(diagnostic: Diagnostic, path: DataPath) -> Diagnostic:
    return Diagnostic(path, diagnostic.code, diagnostic.message, help=diagnostic.help)


def _secrets(source: SourceDocument, job: JobSpec, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    for path, name in _names_with_paths(source, job, "secrets"):
        if not environ.get(name):
            message = f"the secret '{name}' is not set, so job '{job.name}' will fail if it runs"
            help_ = f"set the environment variable {name}"
            yield Diagnostic(path, "missing-secret", message, help=help_, severity=Severity.WARNING)
        elif why := unfit_secrets({name: environ[name]}).get(name):
            help_ = "take a longer one, or pass what is no secret by `env`"
            message = f"the secret '{name}' can't be used, so job '{job.name}' will fail if it runs: {why}"
            yield Diagnostic(path, "unfit-secret", message, help=help_, severity=Severity.WARNING)
