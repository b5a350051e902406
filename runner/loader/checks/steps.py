"""The ids of steps, and who asks for a step that is not before it. Pure.

    steps: [{id: build, run: …}, {if: "steps.build.outcome == 'success'", run: …}]

duplicate-id        two steps of a job have one id
unknown-reference   `steps.x` where the job has no such step, or only later: nobody can know what becomes of that
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic
from runner.spec.expressions.ast import Reference, walk
from runner.spec.expressions.evaluate import parse_condition
from runner.spec.references import references
from runner.spec.suggestions import near, which_one

CONTEXT = "steps"
OF_STEPS: Mapping[str, Sequence[str] | None] = {CONTEXT: None, "job": ("status",)}
"""What an `if` of a step may ask for beside what those of jobs may. Which steps there are is told of here."""
OF_A_STEP = ("outputs", "outcome", "conclusion")
_STEPS = ("steps", "ensure")
_AT_THE_END = ("outputs", "values")


def check_steps(name: str, job: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Find what is wrong with the ids of the steps of a job, and with how they are referred to."""
    path = ("jobs", name)
    ids = dict(_ids(job, path))
    yield from _duplicates(ids)
    before: list[str] = []
    every = list(dict.fromkeys(ids.values()))
    for at, part in _parts(job, path):
        is_step = at[2:3] in (("steps",), ("ensure",)) and len(at) == 4
        known = _Known(every, every if at[2:] == _AT_THE_END else before, is_step=is_step)
        for found in _asked(part, at):
            yield from known.mistakes(found)
        if (*at, "id") in ids:
            before.append(ids[(*at, "id")])


def _ids(job: Mapping[str, Any], path: DataPath) -> Iterator[tuple[DataPath, str]]:
    for at, part in _parts(job, path):
        if len(at) == 4 and isinstance(part, dict) and isinstance(part.get("id"), str):
            yield (*at, "id"), part["id"]


def _duplicates(ids: Mapping[DataPath, str]) -> Iterator[Diagnostic]:
    seen: dict[str, None] = {}
    for path, name in ids.items():
        if name in seen:
            message = f"two steps of this job have the id '{name}'"
            yield Diagnostic(path, "duplicate-id", message, help="give one of them another")
        seen[name] = None


def _parts(job: Mapping[str, Any], path: DataPath) -> Iterator[tuple[DataPath, Any]]:
    """
    Yield what may refer to something: what is not a step first, then the steps in their order, then outputs.

    The `if` of the job knows no steps, and that is told of where all its names are.
    """
    yield from (((*path, key), value) for key, value in job.items() if key not in (*_STEPS, "outputs", "if"))
    outputs = job.get("outputs")
    if isinstance(outputs, dict):
        yield (*path, "outputs"), {key: value for key, value in outputs.items() if key != "values"}
    else:
        yield (*path, "outputs"), outputs
    for key in _STEPS:
        steps = job.get(key)
        for number, step in enumerate(steps if isinstance(steps, list) else ()):
            yield (*path, key, number), step
    if isinstance(outputs, dict) and isinstance(outputs.get("values"), dict):
        yield (*path, *_AT_THE_END), outputs["values"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One reference to `steps`, with where each of its names stands in the text at `path`."""

    path: DataPath
    names: Sequence[str]
    places: Sequence[tuple[int, int]]


def _asked(data: Any, path: DataPath) -> Iterator[_Asked]:
    if isinstance(data, str):
        is_condition = path[-1] == "if"
        yield from _in_condition(data, path) if is_condition else _in_text(data, path)
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _asked(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _asked(value, (*path, number))


def _in_condition(text: str, path: DataPath) -> Iterator[_Asked]:
    condition, _ = parse_condition(text, path)
    for node in walk(condition.tree) if condition is not None and CONTEXT in text.casefold() else ():
        if isinstance(node, Reference) and node.names[0] == CONTEXT:
            yield _Asked(path, node.names, node.places)


def _in_text(text: str, path: DataPath) -> Iterator[_Asked]:
    for found in references(text) if "${{" in text else ():
        if found.names[0] == CONTEXT:
            whole = (found.start, found.start + found.width)
            yield _Asked(path, found.names, [whole] * len(found.names))


@dataclass(frozen=True, slots=True)
class _Known:
    """What may be asked for at one place."""

    every: Sequence[str]
    before: Sequence[str]
    is_step: bool

    def mistakes(self, asked: _Asked) -> Iterator[Diagnostic]:
        match asked.names:
            case [_] | [_, _]:
                help_ = "write steps.<id>.outputs.<name>, steps.<id>.outcome or steps.<id>.conclusion"
                if len(asked.names) == 1 or asked.names[1] in self.before:
                    yield _mistake(asked, 0, f"'{'.'.join(asked.names)}' alone says nothing", help_)
                    return
        if asked.names[1] not in self.before:
            yield self._unknown(asked)
        elif asked.names[2] not in OF_A_STEP:
            message = f"there is no '{'.'.join(asked.names[:3])}'"
            meant = which_one(near(asked.names[2], OF_A_STEP))
            yield _mistake(asked, 2, message, meant or f"known here: {', '.join(OF_A_STEP)}")
        elif asked.names[2] != "outputs" and len(asked.names) > 3:
            yield _mistake(asked, 3, f"'{'.'.join(asked.names[:3])}' is a text")

    def _unknown(self, asked: _Asked) -> Diagnostic:
        name = asked.names[1]
        if name in self.every:
            when = "comes later, or is this one" if self.is_step else "runs only after this is read"
            help_ = "only steps behind it, and `outputs.values`, can know what became of it"
            return _mistake(asked, 1, f"step '{name}' {when}", help_)
        message = f"there is no '{CONTEXT}.{name}'"
        meant = which_one(near(name, self.before))
        known = f"steps before it with an id: {', '.join(self.before)}" if self.before else None
        help_ = meant or known or ("no step of this job has an id" if not self.every else "none is before it")
        return _mistake(asked, 1, message, help_)


def _mistake(asked: _Asked, depth: int, message: str, help_: str | None = None) -> Diagnostic:
    start, end = asked.places[depth]
    return Diagnostic(
        asked.path, "unknown-reference", message, help=help_, stretch=(start, max(end - start, 1))
    )
