"""References in the texts of jobs that are filled when a job starts: does each lead somewhere? Pure.

`${{ needs.build.outputs.version }}`    `build` is needed, and declares `version` under `outputs.values`
`${{ secrets.TOKEN }}`                  `TOKEN` stands in the job's `secrets`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runner.jobs.expansion import Expanded, LaidOut
from runner.jobs.scripts import KNOWN_EARLY, POSIX
from runner.problems import Problem
from runner.quoting import unfillable
from runner.references import AT_RUN, interpolate, names_used, references
from runner.source_marks import DataPath, Source
from runner.spec_jobs import CommandSpec, JobSpec, LegSpec, Result

_TOLD = KNOWN_EARLY | {"matrix"}
"""The roots of references that others have looked at."""
_UNFILLED = ("if", "strategy", "needs", "secrets")
"""Keys whose texts nobody fills."""


def check_texts(source: Source, expanded: Expanded, jobs: Sequence[JobSpec]) -> list[Problem]:
    """Return a problem for each reference that leads nowhere, or stands where it can't be filled."""
    specs = {job.name: job for job in jobs}
    stand_ins = {job.name: _stand_in(job) for job in jobs}
    problems: list[Problem] = []
    for laid_out in expanded.jobs:
        roots = {names[0] for names in names_used(dict(laid_out.data))}
        if roots & AT_RUN:
            scopes = _scopes(specs[laid_out.name], stand_ins)
            for _, data in laid_out.legs[:1]:
                filled = {key: value for key, value in data.items() if key not in _UNFILLED}
                base = ("jobs", laid_out.name)
                problems += interpolate(source, filled, scopes, base=base, runtime=_TOLD)[1]
        if roots:
            problems += _in_scripts(source, laid_out, specs[laid_out.name])
    return problems


def _stand_in(job: JobSpec) -> Mapping[str, Any]:
    """Return a value of the shape of what those who need a job will know of it."""
    return {"result": str(Result.PASSED), "outputs": dict.fromkeys(job.values, "")}


def _scopes(job: JobSpec, stand_ins: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what references in a job may lead to."""
    needed = {need.job for need in job.needs}
    # One that does not exist is told of at the need: what it was meant for is not told again.
    needs = {name: stand_ins[name] for name in needed} if needed <= stand_ins.keys() else stand_ins
    secrets = {name: "" for leg in job.legs[:1] for name in leg.secrets}
    return {"needs": needs, "secrets": secrets}


def _in_scripts(source: Source, laid_out: LaidOut, job: JobSpec) -> Iterator[Problem]:
    """Find references in whose place no variable of the shell can be put."""
    seen: set[tuple[DataPath, str, str]] = set()
    for leg in job.legs:
        for path, command in _commands(leg, laid_out):
            text = command.run if isinstance(command.run, str) else ""
            case = (path, command.shell[0], text)
            found = _not_to_be_filled(command.shell[0], text) if "${{" in text and case not in seen else None
            seen.add(case)
            if found is not None:
                where = source.within(("jobs", job.name, *path), found.start, found.width)
                yield where.problem("reference-in-script", found.message, help=found.help)


class _Unfilled(NamedTuple):
    """A reference that can't be filled: where it is in its script, what is wrong, and what to do."""

    start: int
    width: int
    message: str
    help: str


def _not_to_be_filled(shell: str, text: str) -> _Unfilled | None:
    """Return the first reference that can't be filled in a script."""
    if shell.rpartition("/")[2] not in POSIX:
        first = next(references(text), None)
        if first is None:
            return None
        message = f"a script for {shell} can't hold `{first.raw}`"
        help_ = "put it into `env`, and read the variable in the script"
        return _Unfilled(first.at, len(first.raw), message, help_)
    start, raw = next(iter(unfillable(text)), (0, ""))
    if not raw:
        return None
    message = f"`{raw}` is in a here-document that fills nothing"
    return _Unfilled(start, len(raw), message, "take the quotes off the word after '<<'")


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
    for service in leg.services:
        yield ("services", service.name, "run"), service.command
        if service.ready is not None and service.ready.command is not None:
            yield ("services", service.name, "ready", "run"), service.ready.command
