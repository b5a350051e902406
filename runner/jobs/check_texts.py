"""References in the texts of jobs that are filled when a job starts: does each lead somewhere? Pure.

`${{ needs.build.outputs.version }}`    `build` is needed, and declares `version` under `outputs.values`
`${{ secrets.TOKEN }}`                  `TOKEN` stands in the job's `secrets`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from runner.findings import Finding
from runner.jobs.expansion import Expanded, LaidOut
from runner.problems import Problem
from runner.quoting import unfillable
from runner.references import AT_RUN, interpolate, names_used
from runner.source_marks import DataPath, Source
from runner.spec_jobs import CommandSpec, JobSpec, LegSpec, Result

_POSIX = ("sh", "bash", "dash", "ksh", "zsh", "ash")
_TOLD = frozenset({"matrix"})
"""The root of references that others have looked at."""
_UNFILLED = ("if", "strategy", "needs", "secrets")
"""Keys whose texts nobody fills."""


def check_texts(source: Source, expanded: Expanded, jobs: Sequence[JobSpec]) -> list[Problem]:
    """Return a problem for each reference that leads nowhere, or stands where it can't be filled."""
    specs = {job.name: job for job in jobs}
    stand_ins = {job.name: _stand_in(job) for job in jobs}
    problems: list[Problem] = []
    for laid_out in expanded.jobs:
        if any(names[0] in AT_RUN for names in names_used(dict(laid_out.data))):
            scopes = _scopes(specs[laid_out.name], stand_ins)
            for _, data in laid_out.legs[:1]:
                filled = {key: value for key, value in data.items() if key not in _UNFILLED}
                problems += interpolate(source, filled, scopes, base=("jobs", laid_out.name), runtime=_TOLD)[
                    1
                ]
            problems += [finding.at(source) for finding in _in_scripts(laid_out, specs[laid_out.name])]
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


def _in_scripts(laid_out: LaidOut, job: JobSpec) -> Iterator[Finding]:
    """Find references in whose place no variable of the shell can be put."""
    for leg in job.legs[:1]:
        for path, command in _commands(leg, laid_out):
            text = command.run if isinstance(command.run, str) else ""
            roots = {names[0] for names in names_used(text)} & AT_RUN
            found = _not_to_be_filled(command.shell[0], text, roots) if roots else None
            if found is not None:
                yield Finding(("jobs", job.name, *path), "reference-in-script", found[0], help=found[1])


def _not_to_be_filled(shell: str, text: str, roots: Set[str]) -> tuple[str, str] | None:
    """Say what is wrong with a script that has references to these roots, and what to do; None if nothing is."""
    if shell.rpartition("/")[2] not in _POSIX:
        message = f"a script for {shell} can't hold `${{{{ {min(roots)}.… }}}}`"
        return message, "put it into `env`, and read the variable in the script"
    lost = (raw for _, raw in unfillable(text) for names in names_used(raw) if names[0] in AT_RUN)
    raw = next(lost, None)
    if raw is None:
        return None
    return f"`{raw}` is in a here-document that fills nothing", "take the quotes off the word after '<<'"


def _commands(leg: LegSpec, laid_out: LaidOut) -> Iterator[tuple[DataPath, CommandSpec]]:
    for key, steps in (("steps", leg.steps), ("ensure", leg.ensure)):
        for number, step in enumerate(steps):
            short = key == "steps" and "run" in laid_out.data
            yield ("run",) if short else (key, number, "run"), step.command
    for service in leg.services:
        yield ("services", service.name, "run"), service.command
