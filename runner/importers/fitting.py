"""What was imported, until it checks: whatever the loader refuses is left, with the loader's own words.

    ImportedFile ──► text ──► check ──► no error: done
                  ▲         └─► an error in a step          that step fails, and says why
                  │                       in a job's key    the key goes; if the job is another without it, it says so
                  └──────── once more ◄── in the whole      the key goes

So an import checks, whatever it met: keys and expressions that mprun does not have are its `LEFT`, not errors of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.errors import MprunInternalError
from runner.importers.model import TO_DO, ImportedFile, ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.written import WrittenJobs, written
from runner.loader.load import check
from runner.spec.diagnostics import DataPath, LocatedDiagnostic, errors_only
from runner.text import clip

_MOST_ROUNDS = 30
_LAST_ROUNDS = 5
"""In these whole jobs are left, so that it comes to an end."""
_SOFT_OF_STEPS = frozenset({"name", "id", "timeout", "working-directory"})
"""Keys without which a step does the same, or fails."""
_SOFT_OF_JOBS = frozenset(
    {"description", "timeout", "inputs", "outputs", "cache", "concurrency", "attempts", "background", "ready"}
    | {"continue-on-error", "dotenv", "interactive", "manual", "workspace", "secrets"}
)
"""Keys without which a job does the same, or fails, or does more than it had to."""
_LONGEST = 90
_MOST_LINES = 60
_DEEPEST_ABOVE = 3
"""As far down as `defaults.job.env` goes."""

Head = Callable[[ImportedFile], list[str]]


def fitting(imported: ImportedFile, path: Path, head: Head) -> str:
    """Return the text of the file, to be at `path`, which checks. What does not fit is taken out of `imported`."""
    for number in range(_MOST_ROUNDS):
        made = written(imported, head(imported))
        errors = errors_only(check(path, text=made.text).diagnostics)
        if not errors:
            return made.text
        _Leaving(imported, made, whole=number >= _MOST_ROUNDS - _LAST_ROUNDS).leave(errors)
    raise MprunInternalError(f"what was imported does not check: {errors[0].message}")


class _Leaving:
    """One round: takes out what is wrong."""

    def __init__(self, imported: ImportedFile, made: WrittenJobs, *, whole: bool) -> None:
        self._imported = imported
        self._made = made
        self._whole = whole
        self._seen: set[DataPath] = set()

    def leave(self, errors: list[LocatedDiagnostic]) -> None:
        """Take out what each error is about, each once."""
        places = self._made.paths()
        for error in errors:
            self._leave_one(places.at(error.span), error)

    def _leave_one(self, path: DataPath, error: LocatedDiagnostic) -> None:
        match path:
            case ("jobs", str(name), *below) if name in self._imported.jobs:
                self._of_job(self._imported.jobs[name], below, error)
            case (str(key), *_) if key in self._imported.keys and key != "name":
                self._of_file(path, error)
            case _:
                for job in self._imported.jobs.values():
                    self._as_a_whole(job, error)

    def _of_file(self, path: DataPath, error: LocatedDiagnostic) -> None:
        """Take out what stands at a path above the jobs, and what is empty without it."""
        around: list[tuple[dict[Any, Any], Any]] = []
        value: Any = self._imported.keys
        for key in path[:_DEEPEST_ABOVE]:
            if not isinstance(value, dict) or key not in value or (around and self._whole):
                break
            around.append((value, key))
            value = value[key]
        for inside, key in reversed(around):
            del inside[key]
            if inside:
                break
        shown = ".".join(str(key) for _, key in around)
        self._imported.notes.append(Note(1, Outcome.LEFT, f"{shown}: {_shown(value)}", _why(error)))

    def _of_job(self, job: ImportedJob, below: list[Any], error: LocatedDiagnostic) -> None:
        match below:
            case _ if self._whole:
                self._as_a_whole(job, error)
            case ["steps" | "ensure", int(), *_] | ["run"] if self._step(job, below) is not None:
                self._of_step(job, below, error)
            case ["env", str(name), *_] if name in job.keys.get("env", ()):
                self._of_variable(job, name, error)
            case [str(key), *_] if key in job.keys or ("jobs", job.name, key) in self._seen:
                self._of_key(job, key, error)
            case _:
                self._as_a_whole(job, error)

    def _step(self, job: ImportedJob, below: list[Any]) -> ImportedStep | None:
        return self._made.steps.get(("jobs", job.name, *below[: 1 if below[0] == "run" else 2]))

    def _of_step(self, job: ImportedJob, below: list[Any], error: LocatedDiagnostic) -> None:
        step = self._step(job, below)
        at: DataPath = ("jobs", job.name, *below[:2])
        if step is None or at in self._seen:
            return
        key = below[2] if len(below) > 2 else "run"
        is_to_do = str(step.keys.get("name", "")).startswith(TO_DO)
        if key in step.keys and (key in _SOFT_OF_STEPS or is_to_do):
            taken = step.keys.pop(key)
            step.notes.append(Note(step.line, Outcome.LEFT, f"{key}: {_shown(taken)}", _why(error)))
            return
        self._seen.add(at)
        shown = f"{key}: {_shown(step.keys.get(key))}"
        note = Note(step.line, Outcome.LEFT, shown, _why(error), _lines(step.keys))
        kept: dict[str, Any] = {
            k: step.keys[k] for k in ("if", "continue-on-error") if k in step.keys and k != key
        }
        step.notes[:] = [each for each in step.notes if each.outcome is not Outcome.KEPT] + [note]
        step.keys = {**to_do(self._imported.file, step.line, shown, _why(error)), **kept}

    def _of_variable(self, job: ImportedJob, name: str, error: LocatedDiagnostic) -> None:
        taken = job.keys["env"].pop(name)
        if not job.keys["env"]:
            del job.keys["env"]
        job.notes.append(Note(job.line, Outcome.LEFT, f"env: {name}: {_shown(taken)}", _why(error)))
        shown = f"variable {name} of job {job.name}"
        job.steps.insert(0, ImportedStep(job.line, to_do(self._imported.file, job.line, shown, _why(error))))

    def _of_key(self, job: ImportedJob, key: str, error: LocatedDiagnostic) -> None:
        at: DataPath = ("jobs", job.name, key)
        if at in self._seen:
            return
        self._seen.add(at)
        taken = job.keys.pop(key)
        job.notes.append(Note(job.line, Outcome.LEFT, f"{key}: {_shown(taken)}", _why(error)))
        if key not in _SOFT_OF_JOBS:
            shown = f"{key} of job {job.name}"
            job.steps.insert(
                0, ImportedStep(job.line, to_do(self._imported.file, job.line, shown, _why(error)))
            )

    def _as_a_whole(self, job: ImportedJob, error: LocatedDiagnostic) -> None:
        """Leave a job that fails and says why."""
        at: DataPath = ("jobs", job.name)
        if at in self._seen:
            return
        self._seen.add(at)
        job.notes.append(Note(job.line, Outcome.LEFT, f"job {job.name}", _why(error)))
        job.keys = {key: job.keys[key] for key in ("needs",) if key in job.keys and not self._whole}
        job.ensure = []
        job.steps = [
            ImportedStep(job.line, to_do(self._imported.file, job.line, f"job {job.name}", _why(error)))
        ]


def _why(error: LocatedDiagnostic) -> str:
    return f"{error.message}; {error.help}" if error.help else error.message


def _shown(value: Any) -> str:
    return clip(" ".join(str(value).split()), _LONGEST)


def _lines(keys: dict[str, Any]) -> tuple[str, ...]:
    """Return a script that is taken out, as lines of a comment."""
    run = keys.get("run", "")
    return tuple(run.rstrip().splitlines()[:_MOST_LINES]) if isinstance(run, str) else ()
