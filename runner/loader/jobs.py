"""From what stands under `jobs` to JobSpecs: matrix expanded, each leg's shape judged, short forms written out. Pure.

    jobs.test, its params replaced ──► expand ──► test (3.11): {run: …} ──► build ──► JobSpec(legs=[LegSpec, LegSpec])
                                                  test (3.12): {run: …}    what waits for needs and secrets stays

A value that the matrix gives is judged leg by leg, since it may fit in one and not in another; one that only some legs
have is told once for each reference, by the names of the legs that lack it:

include: [{x: a, q: 1}, {x: b}]   `${{ matrix.q }}`  ──►  leg (b) has no 'q'

What is built fits the schema, or had taken out of it what does not: a step may lack its `run`, and the rest can still
be checked.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runner.facts import dataclass
from runner.jobs.contexts.of_leg import of_job, strategy_of
from runner.jobs.matrix import Leg, expand
from runner.jobs.templates import KNOWN_EARLY, display_command, restore_scripts
from runner.loader.build import env_texts
from runner.loader.limits import check_limits
from runner.loader.recovery import drop_paths, unusable_paths
from runner.loader.schema.validate import check_shape
from runner.loader.schema.wording import as_written
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic
from runner.spec.jobs.commands import SHELLS, USUAL_SHELL, CommandSpec, ReadySpec, ServiceSpec, StepSpec
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.keys import as_tuple, values_of
from runner.spec.references import (
    ARGS,
    AT_RUN,
    TextReference,
    as_template,
    interpolate,
    names_used,
    references,
    texts_known,
)
from runner.spec.source.positions import SourceDocument
from runner.text import clip, summarize

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class MissingValue:
    """A reference to a value that some legs have and these do not."""

    path: DataPath
    """Of the text that it stands in."""
    reference: TextReference
    legs: tuple[Leg, ...]

    def diagnostic(self, source: SourceDocument) -> LocatedDiagnostic:
        """Say which legs they are."""
        key = self.reference.names[1]
        named = summarize([f"({leg.label})" for leg in self.legs], _MOST_NAMED)
        subject = f"leg {named} has" if len(self.legs) == 1 else f"legs {named} have"
        help_ = f"give each leg a '{key}': a list of it in the matrix, or one in each entry of `include`"
        where = source.within(self.path, self.reference.start, self.reference.width)
        return where.diagnostic("unknown-reference", f"{subject} no '{key}'", help=help_)


def missing_values(texts: Iterable[tuple[DataPath, str]], legs: Sequence[Leg]) -> Iterator[MissingValue]:
    """Find, in the texts of a job, the references to keys of the matrix that only some of its legs have."""
    anywhere = {key for leg in legs for key in leg.values}
    for path, text in texts:
        for reference in references(text):
            root, *rest = reference.names
            if root == "matrix" and rest and rest[0] in anywhere:
                without = tuple(leg for leg in legs if rest[0] not in leg.values)
                if without:
                    yield MissingValue(path, reference, without)


JobData = Mapping[str, Any]

_OF_OTHERS = AT_RUN | KNOWN_EARLY | {ARGS}
"""The roots of references that are not filled here."""
_OF_A_LEG = ("matrix", "strategy")
"""The roots of references that are filled here."""
_ALIKE = (("strategy",), ("needs",), ("outputs", "values"))
"""Keys that all legs of a job share, and that no matrix can change."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One job with its legs."""

    name: str
    data: JobData
    """As it was before any matrix was put in."""
    legs: tuple[tuple[Leg, JobData], ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """All jobs in the order of the file, and what is wrong with them."""

    jobs: tuple[LaidOut, ...] = ()
    diagnostics: tuple[LocatedDiagnostic, ...] = ()


def waits_for_matrix(data: Any) -> frozenset[DataPath]:
    """Return the paths of texts in some workflow's jobs that can't be judged before the matrix is put in."""
    jobs = data.get("jobs") if isinstance(data, dict) else None
    named = jobs.items() if isinstance(jobs, dict) else ()
    defaults = data.get("defaults") if isinstance(data, dict) else None
    usual = defaults.get("job") if isinstance(defaults, dict) else None
    owners = [*((("jobs", name), job) for name, job in named), (("defaults", "job"), usual)]
    return frozenset(path for owner, job in owners for path, _ in _of_job(job, owner))


def expand_jobs(source: SourceDocument, jobs: Any, schema: Mapping[str, Any]) -> Expanded:
    """Lay out jobs whose own shape is right, or was corrected."""
    work = _JobExpander(source, schema)
    laid_out = tuple(work.lay_out(name, data) for name, data in jobs.items() if isinstance(data, dict))
    return Expanded(laid_out, tuple(dict.fromkeys(work.diagnostics)))


class _JobExpander:
    def __init__(self, source: SourceDocument, schema: Mapping[str, Any]) -> None:
        self._source = source
        self._schema = dict(schema)
        self.diagnostics: list[LocatedDiagnostic] = []

    def lay_out(self, name: str, data: JobData) -> LaidOut:
        """Return the legs of a job, each with its data filled in; what is wrong joins `diagnostics`."""
        strategy = data.get("strategy")
        matrix = strategy.get("matrix") if isinstance(strategy, dict) else None
        found = expand(name, matrix, ("jobs", name, "strategy", "matrix"), self._source.scalar_text)
        self.diagnostics += self._source.place_all(found.diagnostics)
        waiting = dict(_of_job(data, ("jobs", name)))
        if not waiting:
            return LaidOut(name, data, tuple((leg, data) for leg in found.legs))
        unmet = list(missing_values(waiting.items(), found.legs))
        self.diagnostics += [each.diagnostic(self._source) for each in unmet]
        stand_ins = {each.reference.names[1]: "" for each in unmet}
        legs = tuple(
            (leg, self._of_leg(leg, name, data, frozenset(waiting), stand_ins, (number, len(found.legs))))
            for number, leg in enumerate(found.legs)
        )
        return LaidOut(name, data, legs)

    def _of_leg(
        self,
        leg: Leg,
        name: str,
        data: JobData,
        waiting: frozenset[DataPath],
        stand_ins: Mapping[str, str],
        place: tuple[int, int],
    ) -> JobData:
        """`stand_ins` takes the place of values that it may lack, which has been told; `place`: which, of how many."""
        strategy = data.get("strategy")
        scopes = {
            "matrix": {**stand_ins, **leg.values},
            "strategy": strategy_of(strategy if isinstance(strategy, dict) else {}, *place),
        }
        own = {key: value for key, value in data.items() if key not in ("if", "strategy")}
        base = ("jobs", name)
        filled, problems = interpolate(self._source, own, scopes, base=base, runtime=_OF_OTHERS)
        replaced = restore_scripts(own, filled, base)
        self.diagnostics += problems
        diagnostics = [f for f in self._shape_of(name, replaced) if f.path in waiting]
        if not problems and stand_ins.keys() <= leg.values.keys():
            self.diagnostics += self._source.place_all(diagnostics)
        fitting = drop_paths({"jobs": {name: replaced}}, unusable_paths(diagnostics))["jobs"][name]
        return {**fitting, **{key: data[key] for key in ("if", "strategy") if key in data}}

    def _shape_of(self, name: str, data: JobData) -> list[Diagnostic]:
        whole = {"name": name, "jobs": {name: data}}
        return [*check_shape(self._schema, whole), *check_limits(self._schema, whole)]


def _of_job(job: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Yield the texts of a job with a reference to the matrix, each after its path."""
    return _of_matrix(job, path) if isinstance(job, dict) else iter(())


def _of_matrix(data: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Yield the texts with a reference to the matrix; an `if` is read by others."""
    if path[2:] in _ALIKE:
        return
    if isinstance(data, str):
        if "${{" in data and any(names[0] in _OF_A_LEG for names in names_used(data)):
            yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            if key != "if":
                yield from _of_matrix(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _of_matrix(value, (*path, number))


_MOST_SHOWN = 60

Scopes = Mapping[str, Mapping[str, Any]]


def build_jobs(expanded: Expanded, env: Mapping[str, str], known: Scopes) -> tuple[JobSpec, ...]:
    """Return the jobs that were laid out; `env` is the workflow's, `known` what scripts may refer to in all jobs."""
    return tuple(_job(job, env, known) for job in expanded.jobs)


def _job(job: LaidOut, env: Mapping[str, str], known: Scopes) -> JobSpec:
    strategy = job.data.get("strategy", {})
    return JobSpec(
        name=job.name,
        legs=tuple(
            _leg(
                leg, job.name, keys, env, {**known, "strategy": strategy_of(strategy, number, len(job.legs))}
            )
            for number, (leg, keys) in enumerate(job.legs)
        ),
        values=_values(job.data.get("outputs", ())),
        has_matrix="matrix" in strategy,
        **values_of(JobSpec, job.data),
        **values_of(JobSpec, {f"strategy.{key}": value for key, value in strategy.items()}),
    )


def _leg(leg: Leg, job: str, keys: JobData, env: Mapping[str, str], known: Scopes) -> LegSpec:
    known = {**known, **of_job(known, job)}
    own = env_texts(keys.get("env", {}))
    usual = _Usual(_shell(keys.get("shell", USUAL_SHELL)), _with_env({**known, "matrix": leg.values}, own))
    steps = [{"run": keys["run"]}] if "run" in keys else keys.get("steps", ())
    return LegSpec(
        id=leg.id,
        job=job,
        label=leg.label,
        matrix=leg.values,
        strategy=known["strategy"],
        steps=_steps(steps, usual),
        ensure=_steps(keys.get("ensure", ()), usual),
        services=tuple(_service(name, own, usual) for name, own in keys.get("services", {}).items()),
        ready=_ready(keys["ready"], usual) if "ready" in keys else None,
        env={**{name: as_template(value) for name, value in env.items()}, **own},
        outputs=_files(keys.get("outputs", ())),
        **values_of(LegSpec, keys),
    )


def _with_env(known: Scopes, own: Mapping[str, str]) -> Scopes:
    """Return what scripts may refer to where there are variables of one's own: those that wait for others hide too."""
    if not own:
        return known
    settled = {name: value for name, value in own.items() if "${{" not in value}
    around = {name: value for name, value in known.get("env", {}).items() if name not in own}
    return {**known, "env": {**around, **settled}}


@dataclass(frozen=True, slots=True)
class _Usual:
    """What the commands of a leg have in common."""

    shell: tuple[str, ...]
    known: Scopes


def _steps(steps: Iterable[Any], usual: _Usual) -> tuple[StepSpec, ...]:
    return tuple(_step(step if isinstance(step, dict) else {"run": step}, usual) for step in steps)


def _step(keys: Mapping[str, Any], usual: _Usual) -> StepSpec:
    command = _command(keys, usual)
    return StepSpec(
        name=keys.get("name") or step_name(display_command(command)),
        command=command,
        **values_of(StepSpec, keys),
    )


def step_name(run: str | Sequence[str]) -> str:
    """Return the first line of what is run, short enough to be a name."""
    text = run if isinstance(run, str) else shlex.join(run)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return clip(line, _MOST_SHOWN)


def _service(name: str, keys: Mapping[str, Any], usual: _Usual) -> ServiceSpec:
    return ServiceSpec(name, _command(keys, usual), _ready(keys["ready"], usual) if "ready" in keys else None)


def _ready(keys: Mapping[str, Any], usual: _Usual) -> ReadySpec:
    return ReadySpec(command=_command(keys, usual) if "run" in keys else None, **values_of(ReadySpec, keys))


def _command(keys: Mapping[str, Any], usual: _Usual) -> CommandSpec:
    run, env = keys.get("run", ""), env_texts(keys.get("env", {}))
    return CommandSpec(
        run=run if isinstance(run, str) else tuple(map(as_written, run)),
        shell=_shell(keys["shell"]) if "shell" in keys else usual.shell,
        env=env,
        directory=keys.get("working-directory"),
        values=texts_known(run, _with_env(usual.known, env)) if isinstance(run, str) and "${{" in run else {},
    )


def _shell(written: str) -> tuple[str, ...]:
    if written in SHELLS:
        return SHELLS[written]
    try:
        words = tuple(shlex.split(written))
    except ValueError:  # a quote is not closed; the checks say so
        words = (written,)
    return words if any("{0}" in word for word in words) else (*words, "{0}")


def _values(outputs: Any) -> tuple[str, ...]:
    return as_tuple(outputs.get("values", ())) if isinstance(outputs, dict) else ()


def _files(outputs: Any) -> tuple[str, ...]:
    return as_tuple(outputs.get("files", ()) if isinstance(outputs, dict) else outputs)
