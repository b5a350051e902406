"""Every `${{ … }}` of a workflow replaced, section by section. What is above may be used below.

params ──► env ──► everything else            scopes: env, params; `item` waits for the worker
  env       env, params                       `matrix`, `needs` and `secrets` wait until a job is laid out, or runs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.build import env_texts
from runner.params import Params, resolve_params, unused_params
from runner.problems import Problem
from runner.references import IN_JOBS, ITEM, interpolate, names_used
from runner.source_marks import DataPath, Source

Scopes = dict[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Replaced:
    """The data without references, and what became of them."""

    data: dict[str, Any]
    params: Params
    problems: tuple[Problem, ...]
    unread: frozenset[DataPath]
    """Paths of texts with a reference whose value is not known; that has been reported."""


def replace_references(source: Source, given: Mapping[str, str], environ: Mapping[str, str]) -> Replaced:
    """Return the data of `source` with its references replaced. `given` is the text of `--param` by name."""
    raw = {key: value for key, value in source.data.items() if not is_note(key)}
    work = _Replacing(source, {"env": environ}, [])
    declared = work.section("params", raw)
    params = resolve_params(source, declared, given)
    work.scopes["params"] = {**dict.fromkeys(params.unsure), **params.values}
    env = work.section("env", raw)
    work.scopes["env"] = {**environ, **(env_texts(env) if isinstance(env, dict) else {})}
    done = {key: work.section(key, raw) for key in raw if key not in ("params", "env")}
    data = {key: {"params": declared, "env": env, **done}[key] for key in raw}
    used = names_used({key: value for key, value in raw.items() if key != "params"})
    if "jobs" in raw:
        from runner.jobs.texts import names_in_conditions  # only those who have jobs wait for it

        used |= names_in_conditions(raw["jobs"])
    unused = (finding.at(source) for finding in unused_params(declared, used))
    problems = (*work.problems, *params.problems, *unused)
    return Replaced(data, params, problems, work.unread(raw, params.unsure))


def is_note(key: object) -> bool:
    """Say whether a top-level key is one of the user's own, which nobody reads."""
    return isinstance(key, str) and key.startswith("x-")


@dataclass(slots=True)
class _Replacing:
    """The walk over the sections. `scopes` grows from one to the next."""

    source: Source
    scopes: Scopes
    problems: list[Problem]

    def section(self, name: str, raw: Mapping[str, Any]) -> Any:
        """Return one top-level section with its references replaced."""
        data, path = raw.get(name), (name,)
        if name == "stages" and isinstance(data, dict):
            return {stage: self._stage(keys, (name, stage)) for stage, keys in data.items()}
        if name == "jobs" and isinstance(data, dict):
            return {job: self._of_job(keys, (name, job)) for job, keys in data.items()}
        if name == "defaults" and isinstance(data, dict):
            return {key: self._stage(keys, (name, key)) for key, keys in data.items()}
        return self._env(data, path) if name == "env" else self._replace(data, path)

    def _stage(self, keys: Any, path: DataPath) -> Any:
        if not isinstance(keys, dict):
            return self._replace(keys, path)
        return {key: self._of_stage(key, value, (*path, key)) for key, value in keys.items()}

    def _of_stage(self, key: str, value: Any, path: DataPath) -> Any:
        if key == "env":
            return self._env(value, path)
        # The options of a kind become a template, filled for each item in the worker.
        template = key == "run" and isinstance(value, dict)
        return self._replace(value, path, frozenset({ITEM}) if template else frozenset())

    def _of_job(self, data: Any, path: DataPath) -> Any:
        """Replace what is known now in a job, a step or a service; what is not stays, for later. An `if` stays."""
        if isinstance(data, dict):
            return {
                key: self._of_job_key(key, value, (*path, key)) if key != "if" else value
                for key, value in data.items()
            }
        if isinstance(data, list):
            return [self._of_job(value, (*path, number)) for number, value in enumerate(data)]
        if not isinstance(data, str) or "${{" not in data:
            return data
        from runner.jobs.scripts import kept  # only those who have jobs wait for it

        return kept(data, self._replace(data, path, IN_JOBS), path)

    def _of_job_key(self, key: str, value: Any, path: DataPath) -> Any:
        return self._env(value, path, IN_JOBS) if key == "env" else self._of_job(value, path)

    def _env(self, data: Any, path: DataPath, runtime: frozenset[str] = frozenset()) -> Any:
        """Environment variables are text, so a number is taken as it is typed: 3.10 is no 3.1 there."""
        if not isinstance(data, dict):
            return self._replace(data, path, runtime)
        return {
            name: self._replace(self._as_typed(value, (*path, name)), (*path, name), runtime)
            for name, value in data.items()
        }

    def _as_typed(self, value: Any, path: DataPath) -> Any:
        is_scalar = isinstance(value, bool | int | float)
        return (self.source.scalar_text(path) if is_scalar else None) or value

    def _replace(self, data: Any, path: DataPath, runtime: frozenset[str] = frozenset()) -> Any:
        if isinstance(data, str) and "${{" not in data:
            return data
        replaced, problems = interpolate(self.source, data, self.scopes, base=path, runtime=runtime)
        self.problems += problems
        return replaced

    def unread(self, raw: Mapping[str, Any], unsure: frozenset[str]) -> frozenset[DataPath]:
        """Return the paths of texts that could not be replaced, or whose value is but a guess."""
        if not self.problems and not unsure:
            return frozenset()
        texts = (found for key, value in raw.items() for found in _texts_with_references(value, (key,)))
        return frozenset(path for path, text in texts if self._is_guess(text, path, unsure))

    def _is_guess(self, text: str, path: DataPath, unsure: frozenset[str]) -> bool:
        runtime = frozenset({ITEM}) if path[2:3] == ("run",) and len(path) > 3 else frozenset()
        if path[0] == "jobs":
            runtime = IN_JOBS
        names = names_used(text)
        if any(name[:1] == ("params",) and name[1:2] and name[1] in unsure for name in names):
            return True
        return bool(interpolate(self.source, text, self.scopes, base=path, runtime=runtime)[1])


def _texts_with_references(data: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    if isinstance(data, str):
        if "${{" in data:
            yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            if key != "if" or path[0] != "jobs":
                yield from _texts_with_references(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _texts_with_references(value, (*path, index))
