"""Which tool a file is for, by its name and by what stands in it; and who reads it.

path, text ──► kind ──► reader ──► ImportedFile
         └──► none of them: what it looks like, and what can be read
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import SpecError
from runner.importers.github.workflow import read_workflow
from runner.importers.gitlab.pipeline import read_pipeline
from runner.importers.model import ImportedFile
from runner.importers.nox import read_noxfile
from runner.importers.process_compose import read_process_compose
from runner.importers.procfile import read_procfile
from runner.importers.taskfile.taskfile import read_taskfile
from runner.importers.tox import read_tox
from runner.spec.source.positions import SourceDocument, Text
from runner.spec.source.reader import read_text

UNKNOWN = "unknown-kind"


class Kind(NamedTuple):
    """One kind of file that can be read."""

    title: str
    names: re.Pattern[str]
    """What its path ends with."""
    holds: Callable[[Mapping[str, Any]], bool]
    """Whether YAML of this content is of the kind."""
    read: Callable[[Text, Path], ImportedFile]


def _yaml(reader: Callable[[SourceDocument], ImportedFile]) -> Callable[[Text, Path], ImportedFile]:
    return lambda text, path: reader(read_text(text.text, text.file, path))


def _has(*keys: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda data: all(key in data for key in keys)


def _some_job(data: Mapping[str, Any], *keys: str) -> bool:
    jobs = data.get("jobs")
    return isinstance(jobs, dict) and any(
        isinstance(job, dict) and any(key in job for key in keys) for job in jobs.values()
    )


KINDS: Mapping[str, Kind] = {
    "github": Kind(
        "a workflow of GitHub Actions",
        re.compile(r"(?:^|/)\.(?:github|gitea|forgejo)/workflows/[^/]+\.ya?ml$"),
        lambda data: _some_job(data, "runs-on", "uses") or ("on" in data and "jobs" in data),
        _yaml(read_workflow),
    ),
    "taskfile": Kind(
        "a Taskfile",
        re.compile(r"(?:^|/)[Tt]askfile[\w.-]*\.ya?ml$"),
        _has("version", "tasks"),
        _yaml(read_taskfile),
    ),
    "gitlab": Kind(
        "a pipeline of GitLab CI",
        re.compile(r"(?:^|[/.])gitlab-ci[\w.-]*\.ya?ml$|(?:^|/)\.gitlab(?:-ci)?(?:\.d)?/[^\n]*\.ya?ml$"),
        lambda data: any(isinstance(each, dict) and "script" in each for each in data.values()),
        _yaml(read_pipeline),
    ),
    "process-compose": Kind(
        "a file of process-compose",
        re.compile(r"(?:^|/)process-compose[\w.-]*\.ya?ml$"),
        _has("processes"),
        _yaml(read_process_compose),
    ),
    "nox": Kind("a noxfile", re.compile(r"(?:^|/)noxfile[\w-]*\.py$"), lambda _: False, read_noxfile),
    "tox": Kind(
        "a file of tox",
        re.compile(r"(?:^|/)tox\.(?:ini|toml)$|(?:^|/)pyproject\.toml$"),
        lambda _: False,
        read_tox,
    ),
    "procfile": Kind(
        "a Procfile", re.compile(r"(?:^|/)Procfile[\w.-]*$|\.procfile$"), lambda _: False, read_procfile
    ),
}

_LOOKS_LIKE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)(?:^|/)(?:GNU)?Makefile$|\.mk$"), "a Makefile"),
    (re.compile(r"(?i)(?:^|/)\.?justfile$"), "a justfile"),
    (re.compile(r"(?:^|/)Jenkinsfile"), "a Jenkinsfile"),
    (re.compile(r"(?:^|/)package\.json$"), "a package.json"),
    (re.compile(r"(?:^|/)\.travis\.ya?ml$"), "a file of Travis CI"),
    (re.compile(r"(?:^|/)\.circleci/"), "a file of CircleCI"),
    (
        re.compile(r"(?:^|/)(?:\.?azure-pipelines[\w.-]*|\.?azure-pipelines/.*)\.ya?ml$"),
        "a file of Azure Pipelines",
    ),
    (re.compile(r"(?:^|/)bitbucket-pipelines\.ya?ml$"), "a file of Bitbucket Pipelines"),
    (re.compile(r"(?:^|/)(?:docker-)?compose[\w.-]*\.ya?ml$"), "a file of Docker Compose"),
    (re.compile(r"(?:^|/)action\.ya?ml$"), "an action of GitHub, not a workflow"),
)


def kind_of(path: Path, text: Text) -> str:
    """
    Return the kind of a file.

    Raises:
        SpecError: it is none that can be read, or its YAML is broken, so that nobody can say.
    """
    name = path.as_posix()
    for kind, about in KINDS.items():
        if about.names.search(name):
            return kind
    if path.suffix.lower() in (".yaml", ".yml"):
        data = read_text(text.text, text.file, path).data
        for kind, about in KINDS.items():
            if about.holds(data):
                return kind
        raise _unknown(text, _looks_like(name, data))
    raise _unknown(text, _looks_like(name, {}))


def _looks_like(name: str, data: Mapping[str, Any]) -> str:
    for pattern, what in _LOOKS_LIKE:
        if pattern.search(name):
            return what
    if "stages" in data and isinstance(data["stages"], dict):
        return "an mprun file already"
    if _some_job(data, "run", "steps"):
        return "an mprun file already"
    if isinstance(data.get("services"), dict):
        return "a file of Docker Compose"
    return ""


def _unknown(text: Text, looks_like: str) -> SpecError:
    message = f"this looks like {looks_like}" if looks_like else "nobody can say what kind of file this is"
    titles = ", ".join(about.title for about in KINDS.values())
    help_ = f"these can be read: {titles}; --from says which it is"
    if looks_like == "an mprun file already":
        help_ = "run it: there is nothing to import"
    return SpecError([text.location(0, 1).diagnostic(UNKNOWN, message, help=help_)])
