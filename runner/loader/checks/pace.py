"""Can a stage go as fast, or as slowly, as it asks for? From its handler's source alone: no user code runs.

check_rate      `rate` where there are no items to hold to it, or the handler drives its queue
check_at_once   `threads` and `concurrency` where a handler takes its items itself, or is done with several together
"""

from __future__ import annotations

from collections.abc import Iterator

from runner.handlers.arguments import Signature, drives_queues
from runner.handlers.inspection.signatures import read_signature
from runner.spec.diagnostics import Diagnostic, UnknownPaths
from runner.spec.model import Role, StageSpec, WorkflowSpec


def check_pace(spec: WorkflowSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    """Return what stages ask for in vain."""
    for stage in spec.stages:
        keys = ("run", "from", "to", "rate", "threads", "concurrency", "shard_by", "retry", *_DONE_TOGETHER)
        if all(unknowns.knows("stages", stage.name, key) for key in keys):
            yield from check_rate(stage, spec)
            yield from check_at_once(stage, spec)


def check_rate(stage: StageSpec, spec: WorkflowSpec) -> Iterator[Diagnostic]:
    """Refuse a rate that nobody can keep."""
    path = ("stages", stage.name, "rate")
    if stage.rate is None:
        return
    if stage.role is Role.PLAIN:
        message = f"stage '{stage.name}' has no queue, so there are no items to hold to a rate"
        yield Diagnostic(path, "no-effect", message, "key", "leave it out")
    elif (signature := _signature(stage, spec)) is not None and drives_queues(signature):
        name = stage.handler.target.partition(":")[2]
        message = f"{name}() drives its queue by itself, so nobody can make it wait between its items"
        help_ = (
            "give it a parameter for the item instead of the queue"
            if stage.receives is not None
            else "have it yield its items"
        )
        yield Diagnostic(path, "handler-role", message, "key", help_)
    if stage.rate.per is not None and stage.batch is not None:
        message = "`rate: per` beside `batch`: the items of a list may have many keys"
        yield Diagnostic((*path, "per"), "conflicting-keys", message, "key", "leave out one of the two")


def check_at_once(stage: StageSpec, spec: WorkflowSpec) -> Iterator[Diagnostic]:
    """Refuse to have several items in hand where they can't end one by one."""
    asked = [key for key in ("threads", "concurrency") if getattr(stage, key) > 1]
    for key in asked:
        path = ("stages", stage.name, key)
        if len(asked) > 1:
            message = "`threads` beside `concurrency`: a handler is either async or is not"
            yield Diagnostic(path, "conflicting-keys", message, "key", "leave out one of the two")
            return
        if stage.receives is None:
            message = f"stage '{stage.name}' takes no items, so it has none in hand"
            yield Diagnostic(path, "no-effect", message, "key", "leave it out")
        elif (misfit := _misfit(stage, spec, key)) is not None:
            message, help_ = misfit
            yield Diagnostic(path, "handler-role", message, "key", help_)
        elif (other := next((o for o in _DONE_TOGETHER if _has(stage, o)), None)) is not None:
            message = f"`{key}` beside `{other}`: {_DONE_TOGETHER[other]}"
            yield Diagnostic(path, "conflicting-keys", message, "key", "leave out one of the two")
        elif stage.shard_by is not None and stage.retry.attempts > 1:
            message = (
                f"`{key}` beside `shard_by` and `retry`: an item that is tried again holds up all those behind it, so "
                "that each worker has one in hand"
            )
            yield Diagnostic(path, "conflicting-keys", message, "key", "leave out one of the three")


_DONE_TOGETHER = {
    "batch": "the items of a list are in hand together, and are done together",
    "flush": "what a handler holds is made safe for all of its items at once, and others are at work meanwhile",
    "state": "what a handler keeps can't be pickled while others of its items change it",
    "lock": "whoever holds it keeps all others of its worker from theirs",
}
"""Keys of which only one thing can be in hand."""


def _has(stage: StageSpec, key: str) -> bool:
    return stage.checkpoint is not None if key == "state" else getattr(stage, key) is not None


def _misfit(stage: StageSpec, spec: WorkflowSpec, key: str) -> tuple[str, str] | None:
    if stage.handler.kind != "python":
        message = f"`{key}` is for handlers in Python: '{stage.handler.kind}' takes its items one by one"
        return message, "leave it out, and give the stage a higher `count`"
    signature, name = _signature(stage, spec), stage.handler.target.partition(":")[2]
    if signature is None:
        return None
    if drives_queues(signature):
        message = f"{name}() drives its queue by itself, and may take as many items as it likes"
        return message, "give it a parameter for the item instead of the queue"
    if signature.is_async and key == "threads":
        return f"{name} is async: its coroutines share one thread", f"write `concurrency: {stage.threads}`"
    if not signature.is_async and key == "concurrency":
        message = f"{name} is not async, so a call of it holds up all others in its thread"
        return message, f"write `threads: {stage.concurrency}`, or make it an `async def`"
    return None


def _signature(stage: StageSpec, spec: WorkflowSpec) -> Signature | None:
    if stage.handler.kind != "python" or not stage.handler.is_known:
        return None
    signature = read_signature(stage.handler.target, spec.path.parent)
    return signature if isinstance(signature, Signature) else None
