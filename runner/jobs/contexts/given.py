"""`--context NAME=VALUE`: what of a context is said on the command line, before variables and git are asked.

    github.ref=refs/heads/main                       a text
    github.event.pull_request.draft=false            below `event` what is JSON, and else a text
    github.event=@event.json   github=@github.json   what is in the file, as JSON
    vars.REGION=eu

What comes later counts, and what is below something is put into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.jobs.contexts.github import JOB, PROPERTIES, TOKEN
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.source.positions import Text
from runner.spec.suggestions import did_you_mean

RUNNER = ("arch", "debug", "environment", "name", "os", "temp", "tool_cache")
"""The names below `runner`."""
SETTABLE = ("github", "vars", "runner")
"""The contexts that the command line may say something of."""
INSTEAD: Mapping[str, str] = {
    "inputs": "give it as a param: --param NAME=VALUE",
    "params": "give it as a param: --param NAME=VALUE",
    "env": "set the variable: NAME=VALUE mprun …",
    "secrets": "set the variable: a secret is read from the environment, and has no place on a command line",
    **dict.fromkeys(("matrix", "strategy"), "the file alone says it; --set changes a file"),
    **dict.fromkeys(("needs", "steps", "job"), "only the run itself can say it"),
}
"""What to do about a context that the command line may say nothing of."""
MOST_BYTES = 32 << 20
"""Of a file of an event: GitHub's own has at most 25 MB."""
_OPTION = "--context"
_CODE = "context-syntax"


@dataclass(frozen=True, slots=True)
class GivenContexts:
    """What is said, by context, and what is wrong with it."""

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diagnostics: tuple[LocatedDiagnostic, ...] = ()


def is_of_context(name: str) -> bool:
    """Say whether a name that was given a value is one of a context, and no param's."""
    return name.partition(".")[0] in SETTABLE


def read_given(settings: Mapping[str, str], folder: Path) -> GivenContexts:
    """Return what settings say, texts by dotted name; of files named by `@`, relative to `folder`, what is in them."""
    values: dict[str, dict[str, Any]] = {root: {} for root in SETTABLE}
    diagnostics: list[LocatedDiagnostic] = []
    for name, text in settings.items():
        try:
            _put(values, name.split("."), _value(name, text, folder))
        except _Mistake as error:
            where = Text(_OPTION, f"{name}={text}")
            start, end = (0, len(name)) if error.is_of_name else (len(name) + 1, len(where.text))
            diagnostics.append(where.location(start, end).diagnostic(_CODE, str(error), help=error.help))
    return GivenContexts(values, tuple(diagnostics))


def read_event(path: str, folder: Path) -> dict[str, Any]:
    """Return what is in a file of an event. Raises ValueError with the reason why that can't be had."""
    try:
        with (folder / path).open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"'{path}' can't be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"'{path}' is larger than {MOST_BYTES >> 20} MiB")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"'{path}' holds no JSON object")
    return found


class _Mistake(Exception):
    """A setting that can't be used. The text says why."""

    def __init__(self, message: str, help: str | None = None, *, is_of_name: bool = True) -> None:
        super().__init__(message)
        self.help, self.is_of_name = help, is_of_name


def _value(name: str, text: str, folder: Path) -> Any:
    root, *rest = names = name.split(".")
    if not all(names):
        raise _Mistake(f"'{name}' is not a name", "write names joined by single dots")
    known = {"github": PROPERTIES, "runner": RUNNER}.get(root)
    if rest and known is not None and rest[0] not in known:
        raise _Mistake(f"there is no '{root}.{rest[0]}'", did_you_mean(rest[0], known))
    if rest in ([TOKEN], [JOB], ["temp"]) and root != "vars":
        raise _Mistake(f"'{name}' can't be set", _NOT_SETTABLE[rest[0]])
    if len(rest) > 1 and rest[0] != "event":
        raise _Mistake(f"'{root}.{rest[0]}' is a text", "only github.event has names below it")
    if text.startswith("@") and rest[:1] in ([], ["event"]):
        try:
            return read_event(text[1:], folder)
        except ValueError as error:
            raise _Mistake(str(error), is_of_name=False) from None
    if not rest or rest == ["event"]:
        return _mapping(name, text)
    return _plain(text) if rest[0] == "event" else text


_NOT_SETTABLE: Mapping[str, str] = {
    TOKEN: "it is a secret: set the variable GITHUB_TOKEN, and say `secrets: GITHUB_TOKEN` in the job",
    JOB: "it is the name of the job",
    "temp": "it is a folder that each job gets anew",
}


def _mapping(name: str, text: str) -> Any:
    found = _plain(text)
    if not isinstance(found, dict):
        help_ = f"write {name}=@FILE, or one thing in it, as {name}.{'action' if '.' in name else 'ref'}=…"
        raise _Mistake("expected a JSON object, or @ and the file that holds one", help_, is_of_name=False)
    return found


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _put(values: dict[str, dict[str, Any]], names: list[str], value: Any) -> None:
    """Put a value where names lead; what is no mapping on the way makes room for one."""
    if len(names) == 1:
        known = {"github": set(PROPERTIES) - {TOKEN, JOB}, "runner": set(RUNNER) - {"temp"}}.get(names[0])
        values[names[0]] |= {key: one for key, one in value.items() if known is None or key in known}
        return
    here: dict[str, Any] = values[names[0]]
    for name in names[1:-1]:
        below = here.get(name)
        here[name] = here = dict(below) if isinstance(below, dict) else {}
    here[names[-1]] = value


def wrong_option(setting: str) -> str | None:
    """Say what is wrong with the form of one `--context`; what it says is judged with the file."""
    name, equals, _ = setting.partition("=")
    root = name.partition(".")[0]
    if not equals or not name.strip():
        return f"expected NAME=VALUE, got '{setting}'; write it like --context github.ref=refs/heads/main"
    if root in INSTEAD:
        return f"--context can't set '{name}': {INSTEAD[root]}"
    if root not in SETTABLE:
        return f"there is no context '{root}' to set; {did_you_mean(root, SETTABLE)}"
    return None
