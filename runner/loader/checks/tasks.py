"""What runs without being named: `default` and `manual`, checked before anything starts. Pure.

    default: [lint, "tets*"]    job test: {needs: build}    job build: {manual: true}

unknown-job           an entry of `default` that means no job
arguments-place       `${{ args }}`, which is a list of words, where no list can stand
conflicting-keys      an interactive job with what needs no terminal
secrets-at-a-terminal a warning of one with secrets, which can't be masked there
manual-all-the-same   a warning of a job that is `manual`, and that a run without names has all the same
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.errors import UsageError
from runner.jobs.selection import legs_meant, plain_run
from runner.jobs.templates import is_arguments, is_script
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic, Severity
from runner.spec.jobs.model import JobSpec
from runner.spec.references import ARGS, TextReference, references
from runner.spec.shell_quoting import parts_of_words
from runner.spec.source.positions import SourceDocument


def check_tasks(data: Mapping[str, Any], jobs: Sequence[JobSpec], default: Sequence[str]) -> list[Diagnostic]:
    """Return what is wrong with what a run without names would have."""
    found = list(_unknown(data.get("default"), jobs))
    unsure = found or (data.get("default") and not default)  # it is wrong, which has been told
    return found if unsure else list(_manual_all_the_same(jobs, default))


def _unknown(default: Any, jobs: Sequence[JobSpec]) -> Iterator[Diagnostic]:
    for path, name in _with_paths(default):
        try:
            legs_meant(jobs, [name])
        except UsageError as error:
            message, _, help_ = str(error).partition("; ")
            yield Diagnostic(path, "unknown-job", message, help=help_)


def _with_paths(default: Any) -> Iterator[tuple[DataPath, str]]:
    if isinstance(default, str):
        yield ("default",), default
    for number, name in enumerate(default if isinstance(default, list) else ()):
        if isinstance(name, str):
            yield ("default", number), name


def _manual_all_the_same(jobs: Sequence[JobSpec], default: Sequence[str]) -> Iterator[Diagnostic]:
    plain = plain_run(jobs, default)
    for job in jobs:
        if job.manual and job.name in plain:
            by = next(
                (j.name for j in jobs if j.name in plain and job.name in {n.job for n in j.needs}), None
            )
            why = "`default` names it" if by is None else f"job '{by}' needs it"
            message = f"job '{job.name}' is manual, and runs without being named all the same, since {why}"
            help_ = "take 'manual' out, or make what needs it manual too"
            yield Diagnostic(
                ("jobs", job.name, "manual"),
                "manual-all-the-same",
                message,
                help=help_,
                severity=Severity.WARNING,
            )


def check_interactive(job: JobSpec, data: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Find what does not go with a terminal, whose output nobody looks at."""
    if not any(leg.interactive for leg in job.legs):
        return
    path = ("jobs", job.name)
    for key, why in _NOT_INTERACTIVE.items():
        if data.get(key):
            message = f"job '{job.name}' is interactive, and has '{key}': {why}"
            yield Diagnostic((*path, key), "conflicting-keys", message, "key", "take one of them out")
    if any(leg.secrets for leg in job.legs):
        message = f"job '{job.name}' is interactive: what it prints at a terminal is not masked"
        help_ = "let a job that is not interactive have the secret, if it may print it"
        yield Diagnostic((*path, "secrets"), "secrets-at-a-terminal", message, "key", help_, Severity.WARNING)


_NOT_INTERACTIVE = {
    "background": "what goes on behind others can't have the terminal",
    "idle-timeout": "what it prints at a terminal is not looked at",
    "container": "the terminal is not passed into a container",
}


def check_arguments(
    source: SourceDocument, name: str, data: Mapping[str, Any]
) -> Iterator[LocatedDiagnostic]:
    """Find references to the arguments behind `--` in a job that are no words of a command."""
    for path, text in _texts(data, ("jobs", name)):
        found = [each for each in references(text) if each.names[0] == ARGS]
        parts = {at for at, _ in parts_of_words(text)} if found and is_script(path) else set()
        for each in found:
            is_word = each.at not in parts if is_script(path) else is_script(path[:-1]) and is_arguments(text)
            if each.names != (ARGS,) or each.functions:
                message = f"'{each.expression}': the arguments behind `--` are taken all together"
                yield _at(source, path, each, message, "write ${{ args }}")
            elif not is_word:
                message = "'args' is a list of words, and this is no place for one"
                help_ = (
                    "let it be a word of its own in a command: run: pytest ${{ args }}, or an entry of a list"
                )
                yield _at(source, path, each, message, help_)


def _at(
    source: SourceDocument, path: DataPath, each: TextReference, message: str, help_: str
) -> LocatedDiagnostic:
    return source.within(path, each.start, each.width).diagnostic("arguments-place", message, help=help_)


def _texts(data: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Yield the texts that refer to something, conditions apart, which have a language of their own."""
    if isinstance(data, str):
        if "${{" in data:
            yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            if key != "if":
                yield from _texts(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _texts(value, (*path, number))
