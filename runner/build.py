"""Data of the right shape -> WorkflowSpec: defaults applied, workers named, queues declared by use. Pure.

What it is given fits the schema, or had taken out of it what does not. A stage without a usable `run` is
built with `UNKNOWN_HANDLER`, one that is no mapping as if it were empty: the rest can still be checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from runner.schema_words import as_written
from runner.spec import (
    HandlerRef,
    Limits,
    LockSpec,
    OnError,
    PipeSpec,
    QueueSpec,
    RestartOn,
    RestartPolicy,
    RetryPolicy,
    Sentinel,
    SharedSpec,
    StageSpec,
    Start,
    WhenFull,
    WorkflowSpec,
)
from runner.units import duration, size

UNKNOWN_HANDLER: Final = HandlerRef(kind="unknown", target="")

UNBOUNDED = "unbounded"


def build(data: Mapping[str, Any], path: Path, params: Mapping[str, Any]) -> WorkflowSpec:
    """Return the workflow that `data`, its references replaced, describes; `path` is its file."""
    defaults = data.get("defaults", {})
    usual = defaults.get("stage", {})
    stages = tuple(_stage(name, keys, usual, path.parent) for name, keys in data.get("stages", {}).items())
    return WorkflowSpec(
        name=data.get("name", ""),
        path=path,
        stages=stages,
        queues=_queues(data.get("queues", {}), stages, defaults.get("queue", {})),
        locks=_locks(data.get("locks", {})),
        shared=_shared(data.get("shared", {})),
        pipes=_pipes(data.get("pipes", {})),
        transport=data.get("transport", WorkflowSpec.__dataclass_fields__["transport"].default),
        limits=_limits(data.get("limits", {})),
        params=dict(params),
        env=env_texts(data.get("env", {})),
        description=data.get("description", ""),
        version=data.get("version", ""),
    )


def env_texts(env: Mapping[str, Any]) -> dict[str, str]:
    """Return environment variables as the text that processes get: `true` for true, `3` for 3."""
    return {name: as_written(value) for name, value in env.items()}


def _stage(name: str, own: Any, defaults: Mapping[str, Any], beside: Path) -> StageSpec:
    """What a stage says goes before what `defaults` says; `env` alone is joined, not replaced."""
    keys = {**defaults, **(own if isinstance(own, dict) else {})}
    given = {key: keys[key] for key in ("daemon", "start_method", "nice", "description") if key in keys}
    return StageSpec(
        name=name,
        handler=_handler(keys.get("run")),
        arguments=keys.get("with", {}),
        places=tuple(keys.get("args", ())),
        workers=_workers(name, keys),
        receives=keys.get("from"),
        sends=keys.get("to"),
        needs=_listed(keys.get("needs", ())),
        on_error=OnError(keys.get("on_error", OnError.FAIL)),
        env=env_texts({**defaults.get("env", {}), **keys.get("env", {})}),
        cwd=beside / keys["cwd"] if "cwd" in keys else None,
        timeout=duration(keys["timeout"]) if "timeout" in keys else None,
        memory_limit=size(keys["memory_limit"]) if "memory_limit" in keys else None,
        retry=_retry(keys.get("retry", {})),
        restart=_restart(keys["restart"]) if "restart" in keys else None,
        deterministic=keys.get("deterministic", False),
        shard_by=keys.get("shard_by"),
        keeps_order=keys.get("order") == "keep",
        start=Start(keys.get("start", Start.PARALLEL)),
        lock=keys.get("lock"),
        **given,
    )


def _retry(keys: Mapping[str, Any]) -> RetryPolicy:
    given: dict[str, Any] = {key: duration(keys[key]) for key in ("backoff", "max_backoff") if key in keys}
    if "attempts" in keys:
        given["attempts"] = given["deaths"] = int(keys["attempts"])
    if "backoff" in keys and "max_backoff" not in keys:  # the usual bound must not cut short the user's own
        given["max_backoff"] = max(given["backoff"], RetryPolicy().max_backoff)
    return RetryPolicy(on=_listed(keys.get("on", ())), **given)


def _restart(value: str | Mapping[str, Any]) -> RestartPolicy:
    keys = {"on": value} if isinstance(value, str) else value
    given: dict[str, Any] = {"on": RestartOn(keys["on"])} if "on" in keys else {}
    if "max" in keys:
        given["max"] = int(keys["max"])
    if "within" in keys:
        given["within"] = duration(keys["within"])
    return RestartPolicy(**given)


def _handler(run: Any) -> HandlerRef:
    if isinstance(run, str):
        return HandlerRef("python", run, {})
    if not run:
        return UNKNOWN_HANDLER
    [(kind, options)] = run.items()
    return HandlerRef(kind, kind, options)


def _workers(stage: str, keys: Mapping[str, Any]) -> tuple[str, ...]:
    if keys.get("names"):
        return tuple(keys["names"])
    return tuple(f"{stage}-{number}" for number in range(1, int(keys.get("count", 1)) + 1))


def _listed(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _queues(
    declared: Mapping[str, Any], stages: Iterable[StageSpec], defaults: Mapping[str, Any]
) -> tuple[QueueSpec, ...]:
    """Return the declared queues in the order of the file, then those that stages name, in theirs."""
    named = dict.fromkeys(
        queue for stage in stages for queue in (stage.receives, stage.sends) if queue is not None
    )
    return tuple(_queue(name, declared, defaults) for name in {**declared, **named})


def _queue(name: str, declared: Mapping[str, Any], defaults: Mapping[str, Any]) -> QueueSpec:
    keys = {**defaults, **declared.get(name, {})}
    bound: dict[str, Any] = {"maxsize": _maxsize(keys["maxsize"])} if "maxsize" in keys else {}
    if "max_bytes" in keys:
        bound["max_bytes"] = size(keys["max_bytes"])
    if "when_full" in keys:
        bound["when_full"] = WhenFull(keys["when_full"])
    if "sentinel" in keys:
        bound["sentinel"] = Sentinel(keys["sentinel"])
    return QueueSpec(name=name, description=keys.get("description", ""), declared=name in declared, **bound)


def _locks(declared: Mapping[str, Any]) -> tuple[LockSpec, ...]:
    return tuple(LockSpec(name, (keys or {}).get("description", "")) for name, keys in declared.items())


def _shared(declared: Mapping[str, Any]) -> tuple[SharedSpec, ...]:
    return tuple(
        SharedSpec(name, keys["kind"], keys.get("value"), keys.get("type", ""), keys.get("description", ""))
        for name, keys in declared.items()
        if "kind" in keys
    )


def _pipes(declared: Mapping[str, Any]) -> tuple[PipeSpec, ...]:
    return tuple(
        PipeSpec(name, tuple(keys["ends"]), keys.get("description", ""))
        for name, keys in declared.items()
        if "ends" in keys
    )


def _maxsize(value: str | int) -> int | None:
    return None if value == UNBOUNDED else int(value)


def _limits(keys: Mapping[str, Any]) -> Limits:
    bounds = ("timeout", "stall_timeout", "stop_timeout")
    given: dict[str, Any] = {key: duration(keys[key]) for key in bounds if key in keys}
    if "max_errors" in keys:
        most = keys["max_errors"]
        given["max_errors"] = most if isinstance(most, str) else str(int(most))
    return Limits(**given)
