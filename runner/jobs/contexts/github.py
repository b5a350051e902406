"""`github.*`: what a run is about, under the names that GitHub documents. Pure.

    --context github.ref=…  ─┐
    GITHUB_REF, …            ├──► the first that says something, property by property ──► GithubContext
    git                      │    what follows from one: ref ──► ref_name, ref_type       with where each is from
    the file itself         ─┘    what nobody says is null

What follows from a property counts as much as that: with `--context github.ref=refs/heads/next` the name of the ref is
`next`, whatever GITHUB_REF_NAME says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from runner.facts import dataclass

PROPERTIES = (
    *(
        "action",
        "action_path",
        "action_ref",
        "action_repository",
        "action_status",
        "actor",
        "actor_id",
        "api_url",
    ),
    *(
        "base_ref",
        "env",
        "event",
        "event_name",
        "event_path",
        "graphql_url",
        "head_ref",
        "job",
        "path",
        "ref",
    ),
    *("ref_name", "ref_protected", "ref_type", "repository", "repository_id", "repository_owner"),
    *("repository_owner_id", "repositoryUrl", "retention_days", "run_attempt", "run_id", "run_number"),
    *("secret_source", "server_url", "sha", "token", "triggering_actor", "workflow", "workflow_ref"),
    *("workflow_sha", "workspace"),
)
"""The names below `github`, as GitHub documents them. `event` is open: it is what came in."""
TOKEN = "token"
"""The one that is a secret: it is to be had by `secrets` alone."""
EVENT_PATH = "GITHUB_EVENT_PATH"
"""The variable that names the file of the event."""
JOB = "job"
"""The one that is not the same for all jobs."""

_VARIABLES: Mapping[str, str] = {
    name: f"GITHUB_{name.upper()}"
    for name in PROPERTIES
    if name not in ("event", TOKEN, JOB, "repositoryUrl")
}
"""The variables that GitHub's runner sets for them."""
_BOOLEANS = ("ref_protected",)
_FROM_GIT = ("ref", "sha", "repository", "actor")
_KINDS = (("refs/heads/", "branch"), ("refs/tags/", "tag"), ("refs/pull/", "branch"))
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*)://(?:[^/]*@)?(?P<host>[^/:@]+)(?::[0-9]+)?/(?P<path>.+)")
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/@:]+):(?P<path>[^/].*)")
"""`git@host:owner/name`, which is no URL."""


@dataclass(frozen=True, slots=True)
class GitFacts:
    """What git says of the folder of a workflow; empty texts for what it does not know."""

    sha: str = ""
    branch: str = ""
    """The full name of the branch that is checked out: `refs/heads/main`."""
    tag: str = ""
    """The short name of a tag of the commit, which counts where no branch is checked out."""
    remote: str = ""
    """The URL of `origin`, as it is configured: there may be a password in it."""
    user: str = ""
    top: str = ""
    """The folder of the tree."""


@dataclass(frozen=True, slots=True)
class GithubContext:
    """The properties that are known, and of each where it is from."""

    values: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    """By property: `--context`, a variable such as `GITHUB_REF`, `git`, `the file`, or `github.ref`, which says it."""


def build_github(
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    ask_git: Callable[[], GitFacts],
    own: Mapping[str, Any],
    event: tuple[Mapping[str, Any], str] | None = None,
) -> GithubContext:
    """
    Return the context. `given` are the properties of `--context`, `own` what the file itself says.

    `event` is what happened, with where that is from; what `given` says of it is put into it. Git is asked only for
    what is still open.
    """
    taken = _Taken()
    if event is not None:
        said = "event" in given
        taken.values["event"] = _merged(event[0], given.get("event", {}))
        taken.sources["event"] = f"{event[1]} and --context" if said else event[1]
    taken.take(given, lambda _: "--context")
    taken.take(_of_variables(environ), _VARIABLES.__getitem__)
    if any(name not in taken.values for name in _FROM_GIT):
        taken.take(_of_git(ask_git()), lambda _: "git")
    taken.take(own, lambda _: "the file")
    known = {name: taken.values[name] for name in PROPERTIES if name in taken.values}
    return GithubContext(known, taken.sources)


@dataclass(slots=True)
class _Taken:
    """What has been said so far. Who comes first is right."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def take(self, said: Mapping[str, Any], source: Callable[[str], str]) -> None:
        for name, value in said.items():
            self._take(name, value, source(name))
        for name, (value, because) in _following(self.values).items():
            self._take(name, value, because)

    def _take(self, name: str, value: Any, source: str) -> None:
        if name not in self.values:
            self.values[name], self.sources[name] = value, source


def _of_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what GitHub's variables say. One that is set to nothing is nothing too: of a push `head_ref` is ''."""
    found = {name: environ[variable] for name, variable in _VARIABLES.items() if variable in environ}
    return {name: value == "true" if name in _BOOLEANS else value for name, value in found.items()}


def _of_git(git: GitFacts) -> dict[str, Any]:
    ref = git.branch or (git.tag and f"refs/tags/{git.tag}")
    host, repository = repository_of(git.remote)
    found = {
        "ref": ref,
        "sha": git.sha,
        "repository": repository,
        "repositoryUrl": repository and f"git://{host}/{repository}.git",
        "server_url": host and f"https://{host}",
        "actor": git.user,
        "workspace": git.top,
    }
    return {name: value for name, value in found.items() if value}


def _following(known: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return what follows from what is known, each with the property that says so."""
    found: dict[str, tuple[Any, str]] = {}
    ref, repository, actor = (known.get(name) for name in ("ref", "repository", "actor"))
    for beginning, kind in _KINDS:
        if isinstance(ref, str) and ref.startswith(beginning):
            found["ref_name"] = ref.removeprefix(beginning), "github.ref"
            found["ref_type"] = kind, "github.ref"
    if isinstance(repository, str) and "/" in repository:
        found["repository_owner"] = repository.partition("/")[0], "github.repository"
    if actor:
        found["triggering_actor"] = actor, "github.actor"
    return found


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return one mapping over another, entry by entry all the way down."""
    both = {
        name: _merged(below[name], value)
        if isinstance(value, dict) and isinstance(below.get(name), dict)
        else value
        for name, value in above.items()
    }
    return {**below, **both}


def repository_of(remote: str) -> tuple[str, str]:
    """Return the host and `owner/name` of a remote's URL; empty texts where it is a folder or says neither."""
    found = _URL.fullmatch(remote) or _SCP.fullmatch(remote)
    path = found["path"].strip("/").removesuffix(".git") if found else ""
    return (found["host"], path) if found and "/" in path else ("", "")
