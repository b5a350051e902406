"""Which legs of a run are affected by files that have changed: by their `inputs`, else by all in their folder.

    changed paths ──► of a job's inputs, now or when last looked ──────────► affected, and why
                 ├──► in the folder of a job without inputs, and no output, hidden or ignored by git ──► affected
                 └──► anything else ──► nobody

Files that some job has as its `outputs` affect nobody: what a job makes must not have it run again.
"""

from __future__ import annotations

import glob
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from runner.facts import dataclass
from runner.jobs.requests import RequestBuilder
from runner.jobs.up_to_date import find_files
from runner.spec.jobs.model import JobSpec
from runner.spec.plan import Plan

NEVER = frozenset({"__pycache__", "node_modules"})
"""Folders that affect nobody who has not named them; nor does what begins with a dot."""


@dataclass(slots=True)
class _Leg:
    id: str
    job: str
    root: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    files: set[str] = field(default_factory=set)
    """Its inputs when they were last looked at, absolute: one that is gone since is one of them."""

    def look(self) -> set[str]:
        """Return its inputs, those of now and those of the last look."""
        before = self.files
        self.files = set(_absolute(self.root, self.inputs))
        return before | self.files


class WatchedJobs:
    """The jobs of a plan, and the files that they depend on."""

    def __init__(self, plan: Plan, builder: RequestBuilder) -> None:
        self._legs = [
            _Leg(leg.id, job.name, check.root, check.inputs if leg.inputs else (), check.outputs)
            for job in plan.jobs
            for leg in job.legs
            for check in [builder.up_to_date_check(leg, {})]
        ]
        for leg in self._legs:
            leg.look()

    def folders(self) -> set[Path]:
        """Return the folders in which changes matter, as far as they are there."""
        found = {Path(leg.root) for leg in self._legs}
        found |= {Path(leg.root, _fixed(pattern)) for leg in self._legs for pattern in leg.inputs}
        return {_existing(Path(os.path.normpath(folder))) for folder in found}

    def affected(self, changed: Iterable[str]) -> dict[str, str]:
        """Return by leg the path, as one would name it from here, of a file whose change affects it."""
        made = {path for leg in self._legs for path in _absolute(leg.root, leg.outputs)}
        paths = [path for path in sorted(changed) if path not in made]
        unnamed = _not_ignored(paths) if any(not leg.inputs for leg in self._legs) else []
        found = {}
        for leg in self._legs:
            inputs = leg.look() if leg.inputs else set()
            own = (p for p in paths if p in inputs) if leg.inputs else _below(leg.root, unnamed)
            if (path := next(own, None)) is not None:
                found[leg.id] = _nearby(path)
        return found


def followers(jobs: Sequence[JobSpec], legs: Iterable[str]) -> set[str]:
    """Return the ids of these legs, and of all legs that need them."""
    wanted = set(legs)
    over = {job.name for job in jobs if any(leg.id in wanted for leg in job.legs)}
    grew = True
    while grew:
        new = {job.name for job in jobs if job.name not in over and any(n.job in over for n in job.needs)}
        wanted |= {leg.id for job in jobs if job.name in new for leg in job.legs}
        over |= new
        grew = bool(new)
    return wanted


def _absolute(root: str, patterns: Sequence[str]) -> Iterator[str]:
    return (os.path.normpath(os.path.join(root, each)) for each in find_files(Path(root), patterns)[0])  # noqa: PTH118


def _fixed(pattern: str) -> str:
    """Return the folders that a pattern begins with, before the first sign of a glob."""
    fixed = []
    for part in pattern.removeprefix("!").split("/")[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed)


def _existing(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _below(root: str, paths: Iterable[str]) -> Iterator[str]:
    """Yield the paths below a folder that are not hidden in it."""
    for path in paths:
        parts = Path(path).relative_to(root).parts if Path(path).is_relative_to(root) else ()
        if parts and not any(part.startswith(".") or part in NEVER for part in parts):
            yield path


def _not_ignored(paths: Sequence[str]) -> list[str]:
    """Leave out what git is told to ignore, where there is git."""
    ignored: set[str] = set()
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(str(_existing(Path(path).parent)), []).append(path)
    for folder, inside in by_folder.items():
        ignored |= _ignored_by_git(folder, inside)
    return [path for path in paths if path not in ignored]


def _ignored_by_git(folder: str, paths: Sequence[str]) -> set[str]:
    asked = "\0".join(paths).encode("utf-8", "surrogateescape")
    try:
        done = subprocess.run(
            ["git", "-C", folder, "check-ignore", "-z", "--stdin"],
            input=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(done.stdout.decode("utf-8", "surrogateescape").split("\0")) - {""}


def _nearby(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


Affected = Mapping[str, str]
"""By leg the path of a file whose change affects it."""
