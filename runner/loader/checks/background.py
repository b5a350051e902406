"""What is said of jobs in the background, and of what is to be ready, checked before anything starts. Pure.

ready                  for a job in the background alone; its URL and its regular expression can be read
concurrency, inputs    not for such a job: others would wait for it that it is to wait for
sleep infinity, …      a job without end that others wait for: a warning
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.loader.checks.endless import endless
from runner.loader.jobs import Expanded, LaidOut
from runner.spec.diagnostics import DataPath, Diagnostic, Severity
from runner.spec.jobs.commands import ReadySpec
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.text import summarize

_MOST_NAMED = 3
_AGAINST: Mapping[tuple[str, ...], str] = {
    (
        "concurrency",
    ): "it would keep its place in the group for as long as others need it, who may wait for that place",
    (
        "strategy",
        "max-parallel",
    ): "all its legs go on at once, since those that need it wait for each of them",
    ("inputs",): "a job in the background is never up to date: it has to be there",
}
"""Keys that a job in the background can't have, each with why."""


def check_background(expanded: Expanded, jobs: Sequence[JobSpec]) -> Iterator[Diagnostic]:
    """Find what can't be, or can't be meant."""
    specs = {job.name: job for job in jobs}
    needed_by: dict[str, list[str]] = {}
    for job in jobs:
        for need in job.needs:
            needed_by.setdefault(need.job, []).append(job.name)
    for laid_out in expanded.jobs:
        job, path = specs[laid_out.name], ("jobs", laid_out.name)
        yield from _keys(laid_out, job, path)
        yield from _readiness(job, path)
        yield from _without_end(job, laid_out.data, path, needed_by.get(job.name, ()))


def _keys(laid_out: LaidOut, job: JobSpec, path: DataPath) -> Iterator[Diagnostic]:
    if not any(leg.background for leg in job.legs):
        if "ready" in laid_out.data and "background" not in laid_out.data:
            message = f"'ready' is for a job in the background, and job '{job.name}' is none"
            yield Diagnostic((*path, "ready"), "conflicting-keys", message, "key", "add `background: true`")
        return
    for keys, why in _AGAINST.items():
        here: Any = laid_out.data
        for key in keys:
            here = here.get(key) if isinstance(here, Mapping) else None
        if here is not None:
            message = f"'{keys[-1]}' is not for a job in the background: {why}"
            yield Diagnostic((*path, *keys), "conflicting-keys", message, "key", "take it out")


def _readiness(job: JobSpec, path: DataPath) -> Iterator[Diagnostic]:
    """Each leg of a matrix may have its own."""
    seen: set[tuple[DataPath, str | None, str | None]] = set()
    for leg in job.legs:
        for where, called, ready in _readies(leg):
            case = (where, ready.http, ready.prints)
            if case not in seen:
                seen.add(case)
                yield from _of_ready((*path, *where), called, ready)


def _readies(leg: LegSpec) -> Iterator[tuple[DataPath, str, ReadySpec]]:
    if leg.ready is not None:
        yield ("ready",), f"job '{leg.job}'", leg.ready
    for service in leg.services:
        if service.ready is not None:
            yield ("services", service.name, "ready"), f"service '{service.name}'", service.ready


def _of_ready(path: DataPath, called: str, ready: ReadySpec) -> Iterator[Diagnostic]:
    if ready.prints is not None and (why := unreadable(ready.prints)) is not None:
        message = f"'prints' of {called}: '{ready.prints}' is not a regular expression: {why}"
        yield Diagnostic((*path, "prints"), "wrong-format", message)
    if ready.http is not None and "${{" not in ready.http and (why := unaskable(ready.http)) is not None:
        message = f"'http' of {called}: '{ready.http}' {why}"
        yield Diagnostic(
            (*path, "http"), "wrong-format", message, help="such as http://127.0.0.1:8080/health"
        )


def unreadable(pattern: str) -> str | None:
    """Say why a text is no regular expression; None if it is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python may read in another way
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return None


def unaskable(url: str) -> str | None:
    """Say what of a text keeps it from being a URL that can be asked; None if it is one."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in ("http", "https") or "://" not in url:
        return "does not begin with http:// or https://"
    if not parts.hostname:
        return "names no host"
    if any(letter.isspace() for letter in url):
        return "has a blank in it"
    return "has port 0, which nobody listens at" if port == 0 else None


def _without_end(
    job: JobSpec, data: Mapping[str, Any], path: DataPath, needed_by: Sequence[str]
) -> Iterator[Diagnostic]:
    """Find a job that others wait for and that does not seem to end."""
    if not needed_by or any(leg.timeout is not None for leg in job.legs):
        return
    for leg in job.legs:
        if leg.background:
            continue
        for number, step in enumerate(leg.steps):
            sign = endless(step.command.run) if step.timeout is None else None
            if sign is None:
                continue
            waiting = summarize([f"'{name}'" for name in needed_by], _MOST_NAMED)
            verb = "waits" if len(needed_by) == 1 else "wait"
            message = f"job '{job.name}' does not seem to end ({sign}), and {waiting} {verb} for it"
            help_ = "`background: true` has others start when it is ready, and ends it when they are over"
            where = (*path, "run") if "run" in data else (*path, "steps", number)
            yield Diagnostic(where, "never-ends", message, severity=Severity.WARNING, help=help_)
            return
