"""Can a stage be held to the `rate` that it asks for? From its handler's source alone: no user code runs.

plain stage              there are no items to hold to it
drives its queue         nobody can make it wait between its items
per, with `batch`        a list has items of many keys
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
        keys = ("run", "from", "to", "rate", "batch")
        if stage.rate is not None and all(unknowns.knows("stages", stage.name, key) for key in keys):
            yield from _check_rate(stage, spec)


def _check_rate(stage: StageSpec, spec: WorkflowSpec) -> Iterator[Diagnostic]:
    path = ("stages", stage.name, "rate")
    assert stage.rate is not None
    if stage.role is Role.PLAIN:
        message = f"stage '{stage.name}' has no queue, so there are no items to hold to a rate"
        yield Diagnostic(path, "no-effect", message, "key", "leave it out")
    elif stage.handler.kind == "python" and _drives(stage, spec):
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


def _drives(stage: StageSpec, spec: WorkflowSpec) -> bool:
    signature = read_signature(stage.handler.target, spec.path.parent)
    return isinstance(signature, Signature) and drives_queues(signature)
