"""Data of the right shape -> WorkflowSpec: defaults applied, workers named, queues declared by use. Pure.

How the value of a key is read is declared with it, on the field of the spec; here is what one key alone does not say.

What it is given fits the schema, or had taken out of it what does not. A stage without a usable `run` is
built with `UNKNOWN_HANDLER`, one that is no mapping as if it were empty: the rest can still be checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from runner.handlers.command.options import script_of
from runner.loader.schema.wording import as_written
from runner.spec.failures import OnError
from runner.spec.keys import keys_of, usual_values_of, values_of
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.references import texts_known
from runner.spec.resources import LockSpec, PipeSpec, QueueSpec, SharedSpec
from runner.spec.routes import RouteSpec, routes_of

UNKNOWN_HANDLER: Final = HandlerRef(kind="unknown", target="")

_Model = TypeVar("_Model", LockSpec, SharedSpec, PipeSpec)


def build_spec(
    data: Mapping[str, Any],
    path: Path,
    params: Mapping[str, Any],
    environ: Mapping[str, str] = MappingProxyType({}),
) -> WorkflowSpec:
    """Return the workflow that `data`, its references replaced, describes; `path` is its file."""
    defaults = data.get("defaults", {})
    usual = defaults.get("stage", {})
    around = {"params": params, "env": {**environ, **env_texts(data.get("env", {}))}}
    stages = tuple(
        _stage(name, keys, usual, path.parent, around) for name, keys in data.get("stages", {}).items()
    )
    return WorkflowSpec(
        **{"name": "", **values_of(WorkflowSpec, data)},
        path=path,
        stages=stages,
        queues=_queues(data.get("queues", {}), stages, defaults.get("queue", {})),
        locks=_declared(LockSpec, data.get("locks", {})),
        shared=_declared(SharedSpec, data.get("shared", {})),
        pipes=_declared(PipeSpec, data.get("pipes", {})),
        params=dict(params),
        env=env_texts(data.get("env", {})),
    )


def env_texts(env: Mapping[str, Any]) -> dict[str, str]:
    """Return environment variables as the text that processes get: `true` for true, `3` for 3."""
    return {name: as_written(value) for name, value in env.items()}


def _stage(
    name: str,
    own: Any,
    defaults: Mapping[str, Any],
    beside: Path,
    around: Mapping[str, Mapping[str, Any]],
) -> StageSpec:
    """What a stage says goes before what `defaults` says; `env` alone is joined, not replaced."""
    keys = {**defaults, **(own if isinstance(own, dict) else {})}
    sends, routes = _outputs(keys.get("to"))
    usual_route = "on_error" not in (own if isinstance(own, dict) else {}) and _reads_failures(keys)
    env = env_texts({**defaults.get("env", {}), **keys.get("env", {})})
    return StageSpec(
        name=name,
        handler=_handler(keys.get("run"), {**around, "env": {**around["env"], **env}}),
        workers=_workers(name, keys),
        sends=sends,
        routes=routes,
        **_on_error(None if usual_route else keys.get("on_error")),
        env=env,
        cwd=beside / keys["cwd"] if "cwd" in keys else None,
        **values_of(StageSpec, keys),
    )


def _outputs(to: Any) -> tuple[str | None, tuple[RouteSpec, ...]]:
    """The one queue of a stage, or what there is to know where that is not all."""
    routes = routes_of(to) if to else ()
    alone = len(routes) == 1 and routes[0] == RouteSpec(routes[0].queue)
    return (routes[0].queue, ()) if alone else (None, routes)


def _reads_failures(keys: Mapping[str, Any]) -> bool:
    """Whether a stage would send its own failures to itself."""
    on_error = keys.get("on_error")
    return isinstance(on_error, Mapping) and on_error.get("to") == keys.get("from")


def _on_error(written: Any) -> dict[str, Any]:
    if isinstance(written, Mapping):
        return {"on_error": OnError.ROUTE, "errors_to": written["to"]} if "to" in written else {}
    return {} if written is None else {"on_error": OnError(written)}


def script_in(kind: str, options: object) -> str | None:
    """Return the script in the options of a kind: no value becomes part of it, but where it is nothing else."""
    return script_of(options) if kind == "command" else None


def _handler(run: Any, known: Mapping[str, Mapping[str, Any]]) -> HandlerRef:
    if isinstance(run, str):
        return HandlerRef("python", run, {})
    if not run:
        return UNKNOWN_HANDLER
    [(kind, options)] = run.items()
    script = script_in(kind, options)
    return HandlerRef(kind, kind, options, {} if script is None else texts_known(script, known))


def _workers(stage: str, keys: Mapping[str, Any]) -> tuple[str, ...]:
    if keys.get("names"):
        return tuple(keys["names"])
    return tuple(f"{stage}-{number}" for number in range(1, int(keys.get("count", 1)) + 1))


def _queues(
    declared: Mapping[str, Any], stages: Iterable[StageSpec], defaults: Mapping[str, Any]
) -> tuple[QueueSpec, ...]:
    """Return the declared queues in the order of the file, then those that stages name, in theirs."""
    used = dict.fromkeys(
        queue for stage in stages for queue in (stage.receives, *stage.writes) if queue is not None
    )
    usual = usual_values_of(QueueSpec, defaults)
    return tuple(
        QueueSpec(
            name=name, declared=name in declared, **{**usual, **values_of(QueueSpec, declared.get(name, {}))}
        )
        for name in {**declared, **used}
    )


def _declared(model: type[_Model], declared: Mapping[str, Any]) -> tuple[_Model, ...]:
    """Return what a section declares by name, less entries without what they must have: they have been reported."""
    needed = {name for name, each in keys_of(model).items() if each.is_required}
    return tuple(
        model(name, **values_of(model, keys or {}))
        for name, keys in declared.items()
        if needed <= (keys or {}).keys()
    )
