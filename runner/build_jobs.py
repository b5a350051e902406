"""Legs of the right shape -> JobSpecs: defaults applied, environments joined, short forms written out. Pure.

What it is given fits the schema, or had taken out of it what does not: a step may lack its `run`, and the rest can
still be checked.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.jobs.expansion import Expanded, JobData, LaidOut
from runner.jobs.matrix import Leg
from runner.jobs.scripts import read_as
from runner.references import texts_known
from runner.schema_words import as_written
from runner.spec_jobs import (
    SHELLS,
    AttemptsSpec,
    CommandSpec,
    ConcurrencySpec,
    JobSpec,
    LegSpec,
    Need,
    ReadySpec,
    ServiceSpec,
    StepSpec,
)
from runner.units import duration

_MOST_SHOWN = 60


Scopes = Mapping[str, Mapping[str, Any]]


def build_jobs(expanded: Expanded, env: Mapping[str, str], known: Scopes) -> tuple[JobSpec, ...]:
    """Return the jobs that were laid out; `env` is the workflow's, `known` what scripts may refer to in all jobs."""
    return tuple(_job(job, env, known) for job in expanded.jobs)


def _job(job: LaidOut, env: Mapping[str, str], known: Scopes) -> JobSpec:
    strategy = job.data.get("strategy", {})
    given = {"max_parallel": strategy["max-parallel"]} if "max-parallel" in strategy else {}
    if "fail-fast" in strategy:
        given["fail_fast"] = strategy["fail-fast"]
    return JobSpec(
        name=job.name,
        legs=tuple(_leg(leg, job.name, keys, env, known) for leg, keys in job.legs),
        needs=tuple(_need(need) for need in _listed(job.data.get("needs", ()))),
        values=_values(job.data.get("outputs", ())),
        has_matrix="matrix" in strategy,
        description=job.data.get("description", ""),
        **given,
    )


def _leg(leg: Leg, job: str, keys: JobData, env: Mapping[str, str], known: Scopes) -> LegSpec:
    usual = _Usual(_shell(keys.get("shell", "sh")), {**known, "matrix": leg.values})
    steps = [{"run": keys["run"]}] if "run" in keys else keys.get("steps", ())
    return LegSpec(
        id=leg.id,
        job=job,
        label=leg.label,
        matrix=leg.values,
        steps=_steps(steps, usual),
        ensure=_steps(keys.get("ensure", ()), usual),
        services=tuple(_service(name, own, usual) for name, own in keys.get("services", {}).items()),
        condition=_condition(keys.get("if")),
        env={**env, **_texts(keys.get("env", {}))},
        dotenv=_listed(keys.get("dotenv", ())),
        secrets=_listed(keys.get("secrets", ())),
        directory=keys.get("working-directory", "."),
        timeout=_seconds(keys.get("timeout")),
        idle_timeout=_seconds(keys.get("idle-timeout")),
        attempts=_attempts(keys.get("attempts", {})),
        may_fail=keys.get("continue-on-error", False),
        concurrency=_concurrency(keys.get("concurrency")),
        inputs=_listed(keys.get("inputs", ())),
        outputs=_files(keys.get("outputs", ())),
    )


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
        name=keys.get("name") or shown(read_as(command)),
        command=command,
        condition=_condition(keys.get("if")),
        timeout=_seconds(keys.get("timeout")),
        may_fail=keys.get("continue-on-error", False),
    )


def shown(run: str | Sequence[str]) -> str:
    """Return the first line of what is run, short enough to be a name."""
    text = run if isinstance(run, str) else shlex.join(run)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"


def _service(name: str, keys: Mapping[str, Any], usual: _Usual) -> ServiceSpec:
    return ServiceSpec(name, _command(keys, usual), _ready(keys["ready"], usual) if "ready" in keys else None)


def _ready(keys: Mapping[str, Any], usual: _Usual) -> ReadySpec:
    given: dict[str, Any] = {key: keys[key] for key in ("port", "host", "prints") if key in keys}
    given |= {key: duration(keys[key]) for key in ("every", "timeout") if key in keys}
    return ReadySpec(command=_command(keys, usual) if "run" in keys else None, **given)


def _command(keys: Mapping[str, Any], usual: _Usual) -> CommandSpec:
    run = keys.get("run", "")
    return CommandSpec(
        run=run if isinstance(run, str) else tuple(map(as_written, run)),
        shell=_shell(keys["shell"]) if "shell" in keys else usual.shell,
        env=_texts(keys.get("env", {})),
        directory=keys.get("working-directory"),
        values=texts_known(run, usual.known) if isinstance(run, str) and "${{" in run else {},
    )


def _shell(written: str) -> tuple[str, ...]:
    if written in SHELLS:
        return SHELLS[written]
    try:
        words = tuple(shlex.split(written))
    except ValueError:  # a quote is not closed; the checks say so
        words = (written,)
    return words if any("{0}" in word for word in words) else (*words, "{0}")


def _attempts(written: int | Mapping[str, Any]) -> AttemptsSpec:
    keys: Mapping[str, Any] = {"max": written} if isinstance(written, int) else written
    names = {"backoff": "backoff", "max-backoff": "max_backoff", "timeout": "timeout"}
    given: dict[str, Any] = {names[key]: duration(keys[key]) for key in names if key in keys}
    if "max" in keys:
        given["max"] = int(keys["max"])
    return AttemptsSpec(on=tuple(keys.get("on", ())), **given)


def _concurrency(written: str | Mapping[str, Any] | None) -> ConcurrencySpec | None:
    if not written:
        return None
    if isinstance(written, str):
        return ConcurrencySpec(written)
    limit = {"limit": written["limit"]} if "limit" in written else {}
    return ConcurrencySpec(written.get("group", ""), **limit)


def _need(written: str | Mapping[str, Any]) -> Need:
    if isinstance(written, str):
        return Need(written)
    return Need(written.get("job", ""), written.get("optional", False))


def _values(outputs: Any) -> tuple[str, ...]:
    return _listed(outputs.get("values", ())) if isinstance(outputs, dict) else ()


def _files(outputs: Any) -> tuple[str, ...]:
    return _listed(outputs.get("files", ()) if isinstance(outputs, dict) else outputs)


def _condition(written: object) -> str:
    if isinstance(written, bool):
        return str(written).lower()
    return str(written or "")


def _seconds(written: str | float | None) -> float | None:
    return None if written is None else duration(written)


def _texts(env: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_written(value) for name, value in env.items()}


def _listed(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
