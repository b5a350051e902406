"""Where items go, checked before anything starts: conditions that can't be read, and what a route can't have. Pure.

to: {ok: "item.status < 500", errors: "item.stauts >= 500 &&"}   ──► Diagnostics, at the characters that are wrong
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runner.spec.diagnostics import DataPath, Diagnostic, UnknownPaths
from runner.spec.expressions.ast import Reference, walk
from runner.spec.expressions.check import check_condition
from runner.spec.expressions.evaluate import parse_condition
from runner.spec.expressions.predicate import names_for_items
from runner.spec.model import StageSpec, WorkflowSpec
from runner.spec.resources import QueueSpec
from runner.spec.routes import ELSE, RouteSpec

_REMEDY = "use `leased`, or `inline` for a test"


def check_routes(
    spec: WorkflowSpec,
    unknowns: UnknownPaths = UnknownPaths(),  # noqa: B008 - frozen
) -> list[Diagnostic]:
    """Return what is wrong with the ways of items."""
    found = [each for queue in spec.queues if spec.transport == "joinable" for each in _of_queue(queue)]
    found += [each for stage in spec.stages for each in (*_of_stage(stage, spec), *_of_failures(stage, spec))]
    return [each for each in found if unknowns.knows(*each.path[:3])]


def names_in_routes(stages: Any) -> set[tuple[str, ...]]:
    """Return the names that conditions under `to` refer to, such as `("params", "limit")`, in the data of a file."""
    conditions = (
        condition
        for keys in (stages.values() if isinstance(stages, Mapping) else ())
        if isinstance(keys, Mapping) and isinstance(keys.get("to"), Mapping)
        for name, condition in keys["to"].items()
        if name != ELSE
    )
    parsed = (parse_condition(condition, ())[0] for condition in conditions if isinstance(condition, str))
    nodes = (node for condition in parsed if condition is not None for node in walk(condition.tree))
    return {node.names for node in nodes if isinstance(node, Reference)}


def _of_stage(stage: StageSpec, spec: WorkflowSpec) -> Iterator[Diagnostic]:
    path: DataPath = ("stages", stage.name, "to")
    if not stage.routes:
        return
    read = {each.receives for each in spec.stages}
    slips = [
        r
        for r in stage.routes
        if isinstance(r.condition, str) and r.condition in read and r.queue not in read
    ]
    for route in slips:
        message = (
            f"stage '{stage.name}' sends to '{route.queue}' what has '{route.condition}', which is a queue"
        )
        help_ = f"did you mean `{ELSE}: {route.condition}`, for what no condition takes?"
        yield Diagnostic((*path, route.queue), "unknown-key", message, "key", help_)
    yield from _conditions((route for route in stage.routes if route not in slips), spec.params, path)
    if spec.transport == "joinable":
        message = (
            f"stage '{stage.name}': several queues under `to` need a ledger that counts for each of them"
        )
        yield Diagnostic(path, "transport-cannot", message, "key", _REMEDY)
    if stage.keeps_order and len(stage.targets) > 1:
        message = (
            f"stage '{stage.name}' has `order: keep` and several queues under `to`: what is held back until its "
            "turn is held for one queue"
        )
        help_ = "let it write to one queue, and the next stage choose"
        yield Diagnostic(("stages", stage.name, "order"), "conflicting-keys", message, "key", help_)


def _of_queue(queue: QueueSpec) -> Iterator[Diagnostic]:
    """What the standard library's queue can't do."""
    if queue.loop:
        message = (
            f"queue '{queue.name}': nobody could tell that nothing is on its way round, without a ledger"
        )
        yield Diagnostic(("queues", queue.name, "loop"), "transport-cannot", message, "key", _REMEDY)
    if queue.unique is not None:
        message = f"queue '{queue.name}': nobody could tell what was put before, without a ledger"
        yield Diagnostic(("queues", queue.name, "unique"), "transport-cannot", message, "key", _REMEDY)


def _of_failures(stage: StageSpec, spec: WorkflowSpec) -> Iterator[Diagnostic]:
    """What can't be had of a queue that failures go to: nobody opens the item on the way."""
    if stage.errors_to is None:
        return
    path: DataPath = ("stages", stage.name, "on_error")
    if spec.transport == "joinable":
        message = f"stage '{stage.name}': a failure becomes an item in the ledger, and `joinable` has none"
        yield Diagnostic(path, "transport-cannot", message, "key", "use `leased`; `skip` works everywhere")
    reader = next((s for s in spec.stages if s.receives == stage.errors_to and s.shard_by), None)
    why, help_ = "nobody opens the items of failures on their way", "let another stage read the failures"
    if reader is not None:
        message = (
            f"failures of stage '{stage.name}' go to '{stage.errors_to}', which '{reader.name}' shards: {why}"
        )
        yield Diagnostic(("stages", reader.name, "shard_by"), "conflicting-keys", message, "key", help_)
    queue = next((each for each in spec.queues if each.name == stage.errors_to), None)
    if queue is not None and queue.unique is not None:
        message = f"failures of stage '{stage.name}' go to '{queue.name}', which has `unique`: {why}"
        yield Diagnostic(("queues", queue.name, "unique"), "conflicting-keys", message, "key", help_)
    if queue is not None and queue.contract is not None:
        message = f"failures of stage '{stage.name}' go to '{queue.name}', which has a schema: {why}"
        yield Diagnostic(("queues", queue.name, "schema"), "conflicting-keys", message, "key", help_)


def _conditions(
    routes: Iterable[RouteSpec], params: Mapping[str, Any], path: DataPath
) -> Iterator[Diagnostic]:
    known = names_for_items(params)
    for route in routes:
        if isinstance(route.condition, str):
            at = (*path, route.queue)
            condition, mistakes = parse_condition(route.condition, at)
            yield from mistakes
            yield from () if condition is None else check_condition(condition, known, at)
