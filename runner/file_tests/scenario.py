"""What is run for a test: the plan of its workflow, or of one stage alone, with doubles at its ends. Pure.

stage: clean, items: […]        clean-items ──► rows ──► clean ──► good ──► clean-outputs
replace: {read: …, save: …}     read (items) ──► … the stages as they are … ──► save (collects)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.loader.checks.commits import with_done_when
from runner.loader.checks.resume import with_over_death
from runner.spec.failures import OnError
from runner.spec.file_tests.faults import FaultKind, PlannedFault
from runner.spec.file_tests.model import FileTest, Stand
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, StagePlan, WorkerPlan, make_plan
from runner.spec.resources import QueueSpec

_DOUBLES = "runner.handlers.doubles"
_STOP_TIMEOUT = 2.0
"""Seconds: nobody waits for a test that was stopped."""
_ANY_NUMBER = "100%"


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Where what came out of a test is kept, and what is known of it."""

    name: str
    """By which the test speaks of it: a stage, or of one stage that writes to several queues one of these."""
    queue: str
    path: Path
    ordered: bool
    why: str = ""
    """Why the order says nothing, where it does not."""
    alone: bool = False
    """Whether it is all that a test has for outputs: a list, and no mapping of lists."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A test, ready to be run."""

    test: FileTest
    plan: Plan
    outputs: tuple[OutputSpec, ...]
    folder: Path
    """Where its files are. It is there for this test alone."""

    @property
    def marks(self) -> list[str]:
        """What the files begin with that say that a fault was reached, fault by fault."""
        return [_marks(self.folder, number) for number in range(len(self.test.faults))]

    @property
    def restarts(self) -> int:
        """How often its runner is killed."""
        kills = (fault.times or 1 for fault in self.test.faults if fault.kind is FaultKind.RESTART)
        return sum(kills)


def scenario_of(test: FileTest, spec: WorkflowSpec, folder: Path, transport: str | None = None) -> Scenario:
    """
    Lay out what is run for a checked test, with its files in `folder`.

    On `transport`, if one is given, unless somebody is killed in it, which only its own is known to survive.
    """
    own = test.transport or spec.transport
    dies = any(fault.kind in (FaultKind.KILL, FaultKind.RESTART) for fault in test.faults)
    spec = replace(spec, path=spec.path.absolute(), transport=own if dies else transport or own)
    spec = replace(spec, stages=tuple(map(_with_whole_cwd, spec.stages)))
    stages, queues = _stages_of(test, spec, folder)
    limits = replace(
        spec.limits,
        timeout=min(test.timeout, spec.limits.timeout or test.timeout),
        stop_timeout=min(_STOP_TIMEOUT, spec.limits.stop_timeout),
        max_errors=spec.limits.max_errors if test.stage is None else _ANY_NUMBER,
    )
    whole = replace(
        spec,
        stages=stages,
        queues=tuple(_of_test(queue, test) for queue in spec.queues if queue.name in queues),
        limits=limits,
        resume=replace(spec.resume, required=False, keeps=spec.transport == "leased"),
    )
    plan = make_plan(with_over_death(with_done_when(whole)))
    outputs = tuple(_outputs(test, spec, whole, folder))
    return Scenario(test, _with_faults(plan, test, folder), outputs, folder)


def _of_test(queue: QueueSpec, test: FileTest) -> QueueSpec:
    """Return a queue as it is; where one stage is alone, nobody writes back to it."""
    return replace(queue, loop=False) if test.stage is not None and queue.loop else queue


def _with_whole_cwd(stage: StageSpec) -> StageSpec:
    return stage if stage.cwd is None else replace(stage, cwd=stage.cwd.absolute())


def _stages_of(test: FileTest, spec: WorkflowSpec, folder: Path) -> tuple[tuple[StageSpec, ...], set[str]]:
    """Return the stages that there are, and the names of their queues."""
    if test.stage is not None:
        stage = next(each for each in spec.stages if each.name == test.stage)
        stages = (*_source_of(test, stage), _alone(stage), *_sink_of(stage, folder))
    else:
        skipped = {name for name, stand in test.replace.items() if stand == Stand.SKIP}
        kept = (stage for stage in spec.stages if stage.name not in skipped)
        stages = tuple(_without_needs(_replaced(stage, test, folder), skipped) for stage in kept)
    ends = {end for stage in stages for end in (stage.receives, *stage.writes) if end is not None}
    return stages, ends


def _alone(stage: StageSpec) -> StageSpec:
    """Return a stage that nobody else is beside: it is asked about each item, so one that fails does not end it."""
    on_error = OnError.SKIP if stage.on_error is OnError.FAIL else stage.on_error
    return replace(stage, needs=(), until=None, daemon=False, on_error=on_error)


def _source_of(test: FileTest, stage: StageSpec) -> Iterator[StageSpec]:
    if stage.receives is not None:
        double = StageSpec(
            f"{stage.name}-items", _UNSET, workers=(f"{stage.name}-items",), sends=stage.receives
        )
        yield _giving(double, test.items)


def _sink_of(stage: StageSpec, folder: Path) -> Iterator[StageSpec]:
    for queue in stage.writes:
        name = f"{stage.name}-outputs" if len(stage.writes) == 1 else f"{stage.name}-outputs-{queue}"
        double = StageSpec(name, _UNSET, workers=(name,), receives=queue)
        yield _collecting(double, _file(folder, queue))


_UNSET = HandlerRef("unknown", "")


def _replaced(stage: StageSpec, test: FileTest, folder: Path) -> StageSpec:
    stand = test.replace.get(stage.name)
    if isinstance(stand, dict):
        return _giving(_bare(stage), stand["items"])
    if stand == Stand.COLLECT and stage.receives is not None:
        return _collecting(_bare(stage), _file(folder, stage.name))
    return stage


def _bare(stage: StageSpec) -> StageSpec:
    """Return a stage with one worker that has its place, and nothing of how it works."""
    return StageSpec(
        stage.name,
        _UNSET,
        workers=(f"{stage.name}-1",),
        receives=stage.receives,
        sends=stage.sends,
        routes=stage.routes,
        on_error=stage.on_error,
        errors_to=stage.errors_to,
        needs=stage.needs,
    )


def _giving(stage: StageSpec, items: Any) -> StageSpec:
    if isinstance(items, str):
        return replace(stage, handler=HandlerRef("python", items), deterministic=True)
    handler = HandlerRef("python", f"{_DOUBLES}:give")
    return replace(stage, handler=handler, arguments={"items": items})


def _collecting(stage: StageSpec, path: Path) -> StageSpec:
    handler = HandlerRef("python", f"{_DOUBLES}:collect")
    return replace(stage, handler=handler, arguments={"path": str(path)})


def _file(folder: Path, stage: str) -> Path:
    return folder / f"outputs-{stage.encode().hex()[:200]}"


def _without_needs(stage: StageSpec, gone: Iterable[str]) -> StageSpec:
    return replace(stage, needs=tuple(name for name in stage.needs if name not in gone))


# ── what comes out ──


def _outputs(test: FileTest, spec: WorkflowSpec, whole: WorkflowSpec, folder: Path) -> Iterator[OutputSpec]:
    by_name = {stage.name: stage for stage in spec.stages}
    collected = [name for name, stand in test.replace.items() if stand == Stand.COLLECT]
    wanted = [(name, by_name[name].receives or "", _file(folder, name)) for name in collected]
    if test.stage is not None:
        wanted = [(queue, queue, _file(folder, queue)) for queue in by_name[test.stage].writes]
    for name, queue, path in wanted:
        why = why_unordered(queue, whole.stages)
        yield OutputSpec(name, queue, path, not why, why, alone=test.stage is not None and len(wanted) == 1)


def why_unordered(queue: str, stages: Iterable[StageSpec]) -> str:
    """Say why the items of a queue may come in another order each time; nothing where they can't."""
    stages = [*stages]
    seen: set[str] = set()
    while queue not in seen:
        seen.add(queue)
        writers = [stage for stage in stages if queue in stage.writes]
        if len(writers) > 1:
            return f"{' and '.join(stage.name for stage in writers)} write to '{queue}'"
        if not writers:
            return ""
        (writer,) = writers
        if len(writer.workers) > 1 and not writer.keeps_order:
            return f"'{writer.name}' has {len(writer.workers)} workers"
        if writer.retry.attempts > 1 and not writer.keeps_order:
            return f"'{writer.name}' tries items again"
        if writer.receives is None:
            return ""
        queue = writer.receives
    return ""


# ── faults ──


def _with_faults(plan: Plan, test: FileTest, folder: Path) -> Plan:
    planned = [PlannedFault(fault, _marks(folder, number)) for number, fault in enumerate(test.faults)]
    if not planned:
        return plan

    def in_worker(stage: StagePlan, worker: WorkerPlan) -> WorkerPlan:
        own = tuple(each for each in planned if _is_for(each, stage, worker))
        return replace(worker, faults=own)

    stages = tuple(
        replace(stage, workers=tuple(in_worker(stage, worker) for worker in stage.workers))
        for stage in plan.stages
    )
    return replace(plan, stages=stages)


def _is_for(planned: PlannedFault, stage: StagePlan, worker: WorkerPlan) -> bool:
    fault = planned.fault
    if fault.stage != stage.name:
        return False
    named = stage.spec.workers[fault.worker - 1] if isinstance(fault.worker, int) else fault.worker
    return named in (None, worker.name)


def _marks(folder: Path, number: int) -> str:
    return str(folder / f"fault-{number}-")
