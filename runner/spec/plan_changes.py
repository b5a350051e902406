"""What is otherwise in a plan than when its run began, and what that means for going on with the run. Pure.

    plan of then, plan of now ──► changes_between ──► PlanChange ──┬─ NAMED       goes on: mending a handler is what for
                                                                   ├─ ASKED       goes on where that is asked for
                                                                   └─ IMPOSSIBLE  what is left of the run does not fit

Items that wait know their queue and their shard, a producer's worker how many items it has put, and a sink's how long
its file was: what these stand on can't be changed under them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.model import Role
from runner.spec.plan import Plan, QueuePlan, StagePlan


class Verdict(IntEnum):
    """What a change means for a run that is to be gone on with."""

    NAMED = 0
    """It goes on, and whoever goes on is told."""
    ASKED = 1
    """What comes may not fit what is done, so that it has to be asked for."""
    IMPOSSIBLE = 2
    """What was kept of the run has no place any more."""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """One thing that is not as it was."""

    where: str
    """Such as `stage 'eater'`."""
    what: str
    """Such as `count was 2, and is 3`."""
    verdict: Verdict

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


_SHOWN = {"workers": "count", "receives": "from", "sends": "to", "arguments": "with", "handler": "run"}
"""What fields are called in the file, where it calls them otherwise."""
_UNTOLD = frozenset({"description", "total", "kept", "drives", "resumes", "over_death", "declared"})
"""What is said for people alone, or follows from the handler's source."""


def changes_between(then: Plan, now: Plan) -> list[PlanChange]:
    """Return what is otherwise, the gravest first."""
    found = [*_of_run(then, now), *_of_queues(then, now), *_of_stages(then, now)]
    return sorted(found, key=lambda change: -change.verdict)


def _of_run(then: Plan, now: Plan) -> Iterator[PlanChange]:
    if then.transport != now.transport:
        yield PlanChange("the workflow", _was("transport", then.transport, now.transport), Verdict.IMPOSSIBLE)
    yield from _other_fields("`limits`", then.limits, now.limits)
    for name in ("env", "locks", "shared", "pipes"):
        if getattr(then, name) != getattr(now, name):
            yield PlanChange("the workflow", f"`{name}` has changed", Verdict.NAMED)


def _of_queues(then: Plan, now: Plan) -> Iterator[PlanChange]:
    before, after = ({queue.name: queue for queue in plan.queues} for plan in (then, now))
    for name in (name for name in before if name not in after):
        yield PlanChange(f"queue '{name}'", "it is gone, and items may be in it", Verdict.IMPOSSIBLE)
    for name in (name for name in after if name not in before):
        yield PlanChange(f"queue '{name}'", "it is new", Verdict.NAMED)
    for name in (name for name in before if name in after):
        yield from _of_queue(before[name], after[name])


def _of_queue(then: QueuePlan, now: QueuePlan) -> Iterator[PlanChange]:
    where = f"queue '{then.name}'"
    if (then.shard_by, _shards(then)) != (now.shard_by, _shards(now)):
        was, is_now = (_sharding(queue) for queue in (then, now))
        yield PlanChange(where, f"it was {was}, and is {is_now}", Verdict.IMPOSSIBLE)
    elif then.partitioned != now.partitioned or then.read_in_order != now.read_in_order:
        bounds = "how it is bounded, or the order of its items, has changed"
        yield PlanChange(where, bounds, Verdict.IMPOSSIBLE)
    else:
        yield from _other_fields(where, then.spec, now.spec)


def _shards(queue: QueuePlan) -> tuple[str, ...]:
    return queue.readers if queue.shard_by is not None else ()


def _sharding(queue: QueuePlan) -> str:
    if queue.shard_by is None:
        return "not sharded"
    return f"sharded by `{queue.shard_by}` among {len(queue.readers)}"


def _of_stages(then: Plan, now: Plan) -> Iterator[PlanChange]:
    before, after = ({stage.name: stage for stage in plan.stages} for plan in (then, now))
    for name in (name for name in before if name not in after):
        yield PlanChange(f"stage '{name}'", "it is gone", Verdict.IMPOSSIBLE)
    for name in (name for name in after if name not in before):
        yield PlanChange(f"stage '{name}'", "it is new", Verdict.NAMED)
    for name in (name for name in before if name in after):
        if before[name].spec != after[name].spec:
            yield from _of_stage(before[name], after[name])


def _of_stage(then: StagePlan, now: StagePlan) -> Iterator[PlanChange]:
    where, told = f"stage '{then.name}'", set[str]()
    for name, verdict in _weighed(then, now):
        told.add(name)
        yield PlanChange(where, _was(name, getattr(then.spec, name), getattr(now.spec, name)), verdict)
    yield from _other_fields(where, then.spec, now.spec, frozenset(told))


def _weighed(then: StagePlan, now: StagePlan) -> Iterator[tuple[str, Verdict]]:
    """Yield the fields of a stage whose change is more than to be named."""
    was, is_now = then.spec, now.spec
    for name in ("receives", "sends"):
        if getattr(was, name) != getattr(is_now, name):
            yield name, Verdict.IMPOSSIBLE
    if was.role is Role.PRODUCER:
        if was.workers != is_now.workers:
            yield "workers", Verdict.IMPOSSIBLE
        for name in ("handler", "arguments", "places"):
            if getattr(was, name) != getattr(is_now, name):
                yield name, Verdict.ASKED
        return
    if set(was.workers) - set(is_now.workers) and _keeps(then):
        yield "workers", Verdict.IMPOSSIBLE
    if was.handler != is_now.handler and (was.handler.kind, is_now.handler.kind) != ("python", "python"):
        yield "handler", Verdict.IMPOSSIBLE
    if _keeps(then) != _keeps(now):
        yield "state", Verdict.ASKED


def _keeps(stage: StagePlan) -> bool:
    """Whether its workers keep something that nobody else goes on with."""
    return any(worker.checkpoint is not None for worker in stage.workers)


def _other_fields(
    where: str, then: Any, now: Any, told: frozenset[str] = frozenset()
) -> Iterator[PlanChange]:
    for each in fields(then):
        was, is_now = getattr(then, each.name), getattr(now, each.name)
        if was != is_now and each.name not in told | _UNTOLD:
            yield PlanChange(where, _was(each.name, was, is_now), Verdict.NAMED)


def _was(name: str, then: Any, now: Any) -> str:
    """Say what a key was and is, where that is short enough to be read."""
    key = _SHOWN.get(name, name)
    if name == "workers":
        then, now = len(then), len(now)
        if then == now:
            return "the names of its workers have changed"
    if name == "handler":
        then, now = (each.target if each.kind == "python" else each.kind for each in (then, now))
        if then == now:
            return f"the options of `run.{then}` have changed"
    plain = isinstance(then, str | int | float | None) and isinstance(now, str | int | float | None)
    return f"`{key}` was {_shown(then)}, and is {_shown(now)}" if plain else f"`{key}` has changed"


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
