"""What jobs take from outside the workflow file, looked at before anything starts: dotenv files and secrets.

    dotenv: ci.env     ──read──► a problem in ci.env, at the line that is wrong; or here, if it can't be read
    secrets: TOKEN     ──► is it set? could it be masked?

A secret that is not set is a warning: a job that runs only where it is set, say by its `if`, must not keep the others
from being checked and run elsewhere. The job itself fails for want of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from runner.findings import Finding, located
from runner.jobs.dotenv import read_dotenv
from runner.jobs.masking import unfit_secrets
from runner.problems import Problem, Severity, nearest
from runner.source_marks import DataPath, Source
from runner.spec_jobs import JobSpec


def check_outside(
    source: Source, jobs: Sequence[JobSpec], folder: Path, environ: Mapping[str, str]
) -> list[Problem]:
    """Return what is wrong with the files and variables that `jobs` name. Files are read, each once."""
    problems: dict[Path, list[Problem] | Finding] = {}
    found: list[Problem] = []
    for job in jobs:
        for place, name in _listed(source, job, "dotenv"):
            path = folder / name
            if path not in problems:
                problems[path] = _read(path, name)
            outcome = problems[path]
            found += outcome if isinstance(outcome, list) else [_moved(outcome, place).at(source)]
        found += located(_secrets(source, job, environ), source)
    return found


def _listed(source: Source, job: JobSpec, key: str) -> Iterator[tuple[DataPath, str]]:
    """Yield what the legs of a job list under a key, with where that is written; what is known later is left out."""
    path = ("jobs", job.name, key)
    alone = source.scalar_text(path) is not None
    seen: dict[tuple[DataPath, str], None] = {}
    for leg in job.legs:
        for number, name in enumerate(leg.dotenv if key == "dotenv" else leg.secrets):
            if "${{" not in name:
                seen[(path if alone else (*path, number)), name] = None
    yield from seen


def _read(path: Path, name: str) -> list[Problem] | Finding:
    try:
        return list(read_dotenv(path, name).problems)
    except FileNotFoundError:
        best = nearest(path.name, _beside(path))
        help_ = f"did you mean '{Path(name).with_name(best)}'?" if best else None
        return Finding((), "no-file", f"there is no file '{name}'", help=help_)
    except OSError as error:
        return Finding((), "unreadable", f"'{name}' can't be read: {error.strerror}")


def _beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return []


def _moved(finding: Finding, path: DataPath) -> Finding:
    return Finding(path, finding.code, finding.message, help=finding.help)


def _secrets(source: Source, job: JobSpec, environ: Mapping[str, str]) -> Iterator[Finding]:
    for path, name in _listed(source, job, "secrets"):
        if not environ.get(name):
            message = f"the secret '{name}' is not set, so job '{job.name}' will fail if it runs"
            help_ = f"set the environment variable {name}"
            yield Finding(path, "missing-secret", message, help=help_, severity=Severity.WARNING)
        elif why := unfit_secrets({name: environ[name]}).get(name):
            help_ = "take a longer one, or pass what is no secret by `env`"
            yield Finding(path, "unfit-secret", f"the secret '{name}' can't be used: {why}", help=help_)
