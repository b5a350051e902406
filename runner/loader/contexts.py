"""The contexts that are known before a run, for a file that asks for them: `github`, `vars`, `inputs`, `runner`.

    params of the command line ──► those of contexts, such as github.ref ──┐
                              └──► those of the workflow                   ├──► KnownContexts: values, and where from
    environment, git, the file of an event ────────────────────────────────┘

Git and the file of an event are asked only where a job says `github`.
"""

from __future__ import annotations

import functools
import platform
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.jobs.contexts.git import ask_git
from runner.jobs.contexts.github import EVENT_PATH, PROPERTIES, build_github
from runner.jobs.contexts.given import RUNNER, is_of_context, read_event, read_given
from runner.jobs.contexts.of_leg import as_texts, strategy_of
from runner.jobs.templates import names_in_conditions
from runner.loader.build import env_texts
from runner.spec.diagnostics import LocatedDiagnostic, Severity
from runner.spec.references import EARLY, names_used
from runner.spec.source.positions import SourceDocument, Text

_ARCHITECTURES = {"x86_64": "X64", "aarch64": "ARM64", "arm64": "ARM64", "i686": "X86", "armv7l": "ARM"}
_SYSTEMS = {"Darwin": "macOS"}


@dataclass(frozen=True, slots=True)
class KnownContexts:
    """What is known before a run, for the jobs of one file."""

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By context; one that no job asks for is not here."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where those that jobs ask for are from, by dotted name; nothing for what nobody knows."""
    diagnostics: tuple[LocatedDiagnostic, ...] = ()

    @property
    def texts(self) -> dict[str, Mapping[str, Any]]:
        """As references in texts have them."""
        return as_texts(self.values)


NO_CONTEXTS = KnownContexts()


def split_given(source: SourceDocument, given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what was given for the params of the file, and what for contexts; a param of that name goes first."""
    declared = source.data.get("params") if isinstance(source.data, dict) else None
    names = declared if isinstance(declared, dict) else {}
    contexts = {name: text for name, text in given.items() if name not in names and is_of_context(name)}
    return {name: text for name, text in given.items() if name not in contexts}, contexts


def known_contexts(
    source: SourceDocument, path: Path, given: Mapping[str, str], environ: Mapping[str, str]
) -> KnownContexts:
    """Return what the jobs of a file may ask for. `inputs` are not here: they are the params, known later."""
    said = read_given(given, Path.cwd())
    asked = contexts_asked(source.data)
    roots = {names[0] for names in asked}
    values: dict[str, Mapping[str, Any]] = {}
    sources: dict[str, str] = {}
    diagnostics = list(said.diagnostics)
    if "github" in roots:
        event, wrong = _event(environ)
        diagnostics += wrong
        about = {"workflow": str(source.data.get("name", "")), "workspace": str(path.parent.absolute())}
        of_git = functools.cache(lambda: ask_git(path.parent.absolute(), environ))
        github = build_github(said.values.get("github", {}), environ, of_git, about, event)
        values["github"] = {**dict.fromkeys(PROPERTIES), **github.values}
        sources |= {f"github.{name}": where for name, where in github.sources.items()}
        sources |= {"github.job": "the job", "github.event.inputs": "the params"}
    if "vars" in roots:
        values["vars"] = said.values.get("vars", {})
        sources |= {f"vars.{name}": "--context" for name in values["vars"]}
    if "runner" in roots:
        values["runner"], own = _runner(said.values.get("runner", {}), environ)
        sources |= {f"runner.{name}": where for name, where in own.items()}
    shown = {join(names): _source_of(names, sources) for names in sorted(asked) if names[0] in values}
    return KnownContexts(values, shown, tuple(diagnostics))


def contexts_asked(data: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """Return the names below these contexts that the jobs of a file, and its `env`, refer to."""
    every = names_used([data.get(key) for key in ("env", "jobs")]) | names_in_conditions(data.get("jobs"))
    return {names for names in every if len(names) > 1 and names[0] in EARLY}


def with_inputs(contexts: KnownContexts, params: Mapping[str, Any]) -> KnownContexts:
    """Return them with the params, which are `inputs`, and as texts `github.event.inputs` where no event has any."""
    values = {**contexts.values, "inputs": params}
    if "github" in values:
        event = values["github"].get("event")
        if event is None or (isinstance(event, dict) and event.get("inputs") is None):
            inputs = {"inputs": env_texts(params)} if params else {}
            values["github"] = {**values["github"], "event": {**(event or {}), **inputs}}
    return replace(contexts, values=values)


def join(names: Iterable[str]) -> str:
    """Return names as `plan` shows them."""
    return ".".join(names)


def _source_of(names: tuple[str, ...], sources: Mapping[str, str]) -> str:
    return next((sources[key] for n in range(len(names), 1, -1) if (key := join(names[:n])) in sources), "")


def _event(
    environ: Mapping[str, str],
) -> tuple[tuple[dict[str, Any], str] | None, list[LocatedDiagnostic]]:
    """Return what is in the file of the event that GitHub names, and a warning where that can't be had."""
    path = environ.get(EVENT_PATH)
    if not path:
        return None, []
    try:
        found = read_event(path, Path.cwd())
    except ValueError as error:
        where = Text(EVENT_PATH, path).location(0, len(path))
        message = f"{error}, so `github.event` is not known"
        return None, [where.diagnostic("no-event", message, severity=Severity.WARNING)]
    return (found, EVENT_PATH), []


def _runner(said: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    machine = platform.machine()
    own: Mapping[str, Callable[[], str]] = {
        "os": lambda: _SYSTEMS.get(platform.system(), platform.system()),
        "arch": lambda: _ARCHITECTURES.get(machine, machine.upper()),
        "name": socket.gethostname,
        "environment": lambda: "self-hosted",
    }
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in RUNNER:
        variable = f"RUNNER_{name.upper()}"
        if name in said:
            values[name], sources[name] = said[name], "--context"
        elif variable in environ and name != "temp":
            values[name], sources[name] = environ[variable], variable
        else:
            values[name] = own[name]() if name in own else None
            sources |= {name: "this machine"} if name in own else {}
    return values, sources


def context_names(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that may stand below each context; None where anything may."""
    return {
        "github": PROPERTIES,
        "vars": None,
        "inputs": tuple(params),
        "runner": RUNNER,
        "strategy": tuple(strategy_of({}, 0, 1)),
    }
