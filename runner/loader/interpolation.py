"""Every `${{ … }}` of a workflow replaced, section by section. What is above may be used below.

params ──► env ──► everything else            scopes: env, params; `item` waits for the worker
  env       env, params                       `matrix`, `needs` and `secrets` wait until a job is laid out, or runs
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any

from runner.facts import dataclass
from runner.handlers.command.options import with_script
from runner.loader.build import env_texts, script_in
from runner.loader.parameters import Params, resolve_params, unused_params
from runner.spec.diagnostics import DataPath, LocatedDiagnostic
from runner.spec.references import IN_JOBS, ITEM, interpolate, names_used
from runner.spec.routes import ELSE
from runner.spec.source.positions import SourceDocument

TESTS = "tests"
"""The section in which references stay as they are: it is data, and is written anew where it is wrong."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The data without references, and what became of them."""

    data: dict[str, Any]
    params: Params
    diagnostics: tuple[LocatedDiagnostic, ...]
    unread: frozenset[DataPath]
    """Paths of texts with a reference whose value is not known; that has been reported."""


@dataclass(frozen=True, slots=True)
class FromTemplates:
    """What has to be known of the templates that a source was put together from."""

    used: frozenset[tuple[str, ...]] = frozenset()
    """The names of references that gave them values, such as `("params", "size")`."""
    unsure: frozenset[str] = frozenset()
    """Params of theirs that have no value, which has been reported."""


NO_TEMPLATES = FromTemplates()
Contexts = Mapping[str, Mapping[str, Any]]
NO_CONTEXTS: Contexts = {}


def scopes_at_the_top(
    source: SourceDocument, given: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, Mapping[str, Any]]:
    """Return what references outside any stage stand for. What is wrong is not told: `replace_references` does so."""
    work, *_ = _with_params_and_env(source, given, environ, frozenset())
    return work.scopes


def _with_params_and_env(
    source: SourceDocument,
    given: Mapping[str, str],
    environ: Mapping[str, str],
    unsure: frozenset[str],
    contexts: Contexts = NO_CONTEXTS,
) -> tuple[_Replacing, Any, Params, Any]:
    """Return the walk with what the first two sections gave it: params as declared and resolved, and `env`."""
    work = _Replacing(source, {"env": environ}, [])
    declared = work.section("params", source.data)
    found = resolve_params(source, declared, given)
    params = replace(found, unsure=found.unsure | unsure)
    work.scopes["params"] = {**dict.fromkeys(params.unsure), **params.values}
    if isinstance(source.data, dict) and "jobs" in source.data:
        work.scopes |= {**contexts, "inputs": work.scopes["params"]}
    env = work.section("env", source.data)
    work.scopes["env"] = {**environ, **(env_texts(env) if isinstance(env, dict) else {})}
    return work, declared, params, env


def replace_references(
    source: SourceDocument,
    given: Mapping[str, str],
    environ: Mapping[str, str],
    templates: FromTemplates = NO_TEMPLATES,
    contexts: Contexts = NO_CONTEXTS,
) -> Replaced:
    """
    Return the data of `source` with its references replaced. `given` is the text of `--param` by name.

    `contexts` are what jobs may refer to beside it, such as `github`, as texts have them.
    """
    raw = {key: value for key, value in source.data.items() if not is_note(key)}
    referring = {key: value for key, value in raw.items() if key != TESTS}
    work, declared, params, env = _with_params_and_env(source, given, environ, templates.unsure, contexts)
    first = sorted(raw, key=lambda key: key != "defaults")  # stages have what stands there
    done = {key: work.section(key, raw) for key in first if key not in ("params", "env")}
    done |= {"params": declared, "env": env}
    data = {key: done[key] for key in raw}
    used = names_used({key: value for key, value in referring.items() if key != "params"}) | templates.used
    used -= {("params", name) for name in templates.unsure}
    if "jobs" in raw:
        from runner.jobs.templates import names_in_conditions  # only those who have jobs wait for it

        used |= names_in_conditions(raw["jobs"])
        used |= {("params", *names[1:]) for names in used if names[0] == "inputs"}
        used |= {("params", *names[3:]) for names in used if names[:3] == ("github", "event", "inputs")}
    if any(
        isinstance(each, dict) and isinstance(each.get("to"), dict) for each in _entries(raw.get("stages"))
    ):
        from runner.loader.checks.routes import names_in_routes  # few files have conditions

        used |= names_in_routes(raw["stages"])
    unused = (source.place(diagnostic) for diagnostic in unused_params(declared, used))
    diagnostics = (*work.diagnostics, *params.diagnostics, *unused)
    return Replaced(data, params, diagnostics, frozenset(work.failed) | _guesses(referring, params.unsure))


def _entries(section: Any) -> Iterable[Any]:
    return section.values() if isinstance(section, dict) else ()


def is_note(key: object) -> bool:
    """Say whether a top-level key is one of the user's own, which nobody reads."""
    return isinstance(key, str) and key.startswith("x-")


@dataclass(slots=True)
class _Replacing:
    """The walk over the sections. `scopes` grows from one to the next."""

    source: SourceDocument
    scopes: dict[str, Mapping[str, Any]]
    diagnostics: list[LocatedDiagnostic]
    waiting: frozenset[str] = frozenset()
    """Variables of the job or step that is walked whose values are not known yet: `env.X`."""
    usual_env: Mapping[str, str] = field(default_factory=dict)
    """What `defaults` gives every stage."""
    failed: set[DataPath] = field(default_factory=set)
    """Paths of texts in which a reference leads nowhere."""

    def section(self, name: str, raw: Mapping[str, Any]) -> Any:
        """Return one top-level section with its references replaced."""
        data, path = raw.get(name), (name,)
        if name == TESTS:
            return data
        if name == "stages" and isinstance(data, dict):
            return {stage: self._stage(keys, (name, stage)) for stage, keys in data.items()}
        if name == "jobs" and isinstance(data, dict):
            return {job: self._job(job, keys) for job, keys in data.items()}
        if name == "defaults" and isinstance(data, dict):
            return {key: self._of_defaults(keys, (name, key)) for key, keys in data.items()}
        return self._env(data, path) if name == "env" else self._replace(data, path)

    def _stage(self, keys: Any, path: DataPath) -> Any:
        """Replace what stands in a stage, or in its defaults: `env.X` is what its workers will see as X."""
        if not isinstance(keys, dict):
            return self._replace(keys, path)
        outer, env = self.scopes["env"], self._env(keys.get("env"), (*path, "env"))
        own = env_texts(env) if isinstance(env, dict) else {}
        if path == ("defaults", "stage"):
            self.usual_env = own
        self.scopes["env"] = {**outer, **(self.usual_env if path[0] == "stages" else {}), **own}
        done = {
            key: env if key == "env" else self._of_stage(key, value, (*path, key))
            for key, value in keys.items()
        }
        self.scopes["env"] = outer
        return done

    def _job(self, name: str, keys: Any) -> Any:
        """Replace what stands in a job, with the name of it as `github.job`."""
        if "github" not in self.scopes:
            return self._of_job(keys, ("jobs", name))
        outer = self.scopes["github"]
        self.scopes["github"] = {**outer, "job": name}
        done = self._of_job(keys, ("jobs", name))
        self.scopes["github"] = outer
        return done

    def _of_defaults(self, keys: Any, path: DataPath) -> Any:
        return self._of_job(keys, path) if path == ("defaults", "job") else self._stage(keys, path)

    def _of_stage(self, key: str, value: Any, path: DataPath) -> Any:
        if key == "to" and isinstance(value, dict):  # conditions stay: they are asked of each item
            return {
                name: self._replace(each, (*path, name)) if name == ELSE else each
                for name, each in value.items()
            }
        # The options of a kind become a template, filled for each item in the worker.
        template = key == "run" and isinstance(value, dict)
        filled = self._replace(value, path, frozenset({ITEM}) if template else frozenset())
        if not template:
            return filled
        return {kind: with_script(filled[kind], script_in(kind, written)) for kind, written in value.items()}

    def _of_job(self, data: Any, path: DataPath) -> Any:
        """Replace what is known now in a job, a step or a service; what is not stays, for later. An `if` stays."""
        if isinstance(data, dict) and _owns_env(path) and isinstance(data.get("env"), dict):
            return self._with_own_env(data, path)
        if isinstance(data, dict):
            return {key: self._of_job_key(key, value, (*path, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [self._of_job(value, (*path, number)) for number, value in enumerate(data)]
        if not isinstance(data, str) or "${{" not in data:
            return data
        from runner.jobs.templates import restore_scripts  # only those who have jobs wait for it

        return restore_scripts(data, self._replace(data, path, IN_JOBS | self.waiting), path)

    def _of_job_key(self, key: str, value: Any, path: DataPath) -> Any:
        if key == "if":
            return value
        return self._env(value, path, IN_JOBS | self.waiting) if key == "env" else self._of_job(value, path)

    def _with_own_env(self, data: dict[str, Any], path: DataPath) -> dict[str, Any]:
        """Replace what stands in a job, step or service: `env.X` is what its processes will see as X."""
        outer, waiting = self.scopes["env"], self.waiting
        done = {key: self._of_job_key(key, data[key], (*path, key)) for key in data if key in _BESIDE_OWN_ENV}
        own = env_texts(done["env"])
        self.scopes["env"] = {**outer, **own}
        self.waiting = (waiting - {f"env.{name}" for name in own}) | {
            f"env.{name}" for name, value in own.items() if "${{" in value
        }
        done |= {key: self._of_job_key(key, data[key], (*path, key)) for key in data if key not in done}
        self.scopes["env"], self.waiting = outer, waiting
        return {key: done[key] for key in data}

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
        replaced, diagnostics = interpolate(self.source, data, self.scopes, base=path, runtime=runtime)
        self.diagnostics += diagnostics
        if diagnostics:
            self.failed |= {
                at
                for at, text in _texts_with_references(data, path)
                if interpolate(self.source, text, self.scopes, base=at, runtime=runtime)[1]
            }
        return replaced


def _guesses(raw: Mapping[str, Any], unsure: frozenset[str]) -> frozenset[DataPath]:
    """Return the paths of texts with a param whose value is but a guess."""
    if not unsure:
        return frozenset()
    texts = (found for key, value in raw.items() for found in _texts_with_references(value, (key,)))
    return frozenset(
        path
        for path, text in texts
        if any(names[:1] == ("params",) and names[1:2] and names[1] in unsure for names in names_used(text))
    )


_BESIDE_OWN_ENV = ("env", "ready")
"""Keys that do not see the `env` beside them: itself, and what asks whether a service is ready."""


def _owns_env(path: DataPath) -> bool:
    """Say whether an `env` at this path is that of processes: of a job, or of a step or service of one."""
    return len(path) == 2 or (len(path) == 4 and path[2] in ("steps", "ensure", "services"))


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
