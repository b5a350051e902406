"""What will exist when a workflow runs: every worker by name, every queue, the order of start and stop. Pure.

    WorkflowSpec ──► make_plan ──► Plan      stages in start order, queues with who writes and who reads
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import MprunInternalError
from runner.spec import (
    HandlerRef,
    Limits,
    OnError,
    QueueSpec,
    RestartOn,
    RestartPolicy,
    RetryPolicy,
    Role,
    StageSpec,
    WorkflowSpec,
)


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One process to be. Holds names and plain data, so it pickles under any start method."""

    name: str
    stage: str
    role: Role
    handler: HandlerRef
    arguments: Mapping[str, Any]
    receives: str | None
    sends: str | None
    daemon: bool
    on_error: OnError
    start_method: str
    env: Mapping[str, str]
    cwd: str | None
    nice: int
    beside: str
    """The folder of the workflow file: handlers are looked up there first."""
    timeout: float | None = None
    """Seconds that one item may take."""
    memory_limit: int | None = None
    """Bytes of memory of its own that the worker may have."""
    retry: RetryPolicy = RetryPolicy()
    restart: RestartPolicy = RestartPolicy(on=RestartOn.NEVER)
    deterministic: bool = False


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage with its workers, in the order in which they start."""

    name: str
    role: Role
    daemon: bool
    receives: str | None
    sends: str | None
    needs: tuple[str, ...]
    workers: tuple[WorkerPlan, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """A queue with the names of the workers at its ends."""

    name: str
    maxsize: int | None
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will exist. Stages are in start order: readers before writers, so that no item waits for a reader."""

    name: str
    path: Path
    transport: str
    stages: tuple[StagePlan, ...]
    queues: tuple[QueuePlan, ...]
    limits: Limits
    description: str = ""

    @property
    def workers(self) -> tuple[WorkerPlan, ...]:
        """Every worker, in start order."""
        return tuple(worker for stage in self.stages for worker in stage.workers)

    @property
    def stop_order(self) -> tuple[StagePlan, ...]:
        """Producers first: consumers must see the end of the stream, not a broken one."""
        return tuple(reversed(self.stages))


def make_plan(spec: WorkflowSpec) -> Plan:
    """Lay out the processes and queues of a checked workflow. Starts nothing, reads no clock, opens no file."""
    stages = tuple(_stage_plan(spec, stage) for stage in start_order(spec.stages))
    return Plan(
        name=spec.name,
        path=spec.path,
        transport=spec.transport,
        stages=stages,
        queues=tuple(_queue_plan(queue, stages) for queue in spec.queues),
        limits=spec.limits,
        description=spec.description,
    )


def start_order(stages: Iterable[StageSpec]) -> list[StageSpec]:
    """Sort stages so that each comes after those that read what it writes; ties keep the order of the file."""
    waiting = list(stages)
    ordered: list[StageSpec] = []
    while waiting:
        unread = {stage.receives for stage in waiting}
        ready = [stage for stage in waiting if stage.sends is None or stage.sends not in unread]
        if not ready:
            raise MprunInternalError(f"a cycle passed the wiring check: {[stage.name for stage in waiting]}")
        ordered += ready
        waiting = [stage for stage in waiting if stage not in ready]
    return ordered


def _stage_plan(spec: WorkflowSpec, stage: StageSpec) -> StagePlan:
    return StagePlan(
        name=stage.name,
        role=stage.role,
        daemon=stage.daemon,
        receives=stage.receives,
        sends=stage.sends,
        needs=stage.needs,
        workers=tuple(_worker_plan(spec, stage, name) for name in stage.workers),
        description=stage.description,
    )


def _worker_plan(spec: WorkflowSpec, stage: StageSpec, name: str) -> WorkerPlan:
    return WorkerPlan(
        name=name,
        stage=stage.name,
        role=stage.role,
        handler=stage.handler,
        arguments=stage.arguments,
        receives=stage.receives,
        sends=stage.sends,
        daemon=stage.daemon,
        on_error=stage.on_error,
        start_method=stage.start_method,
        env={**spec.env, **stage.env},
        cwd=None if stage.cwd is None else str(stage.cwd),
        nice=stage.nice,
        beside=str(spec.path.parent.absolute()),  # with `cwd` a worker works elsewhere
        timeout=stage.timeout,
        memory_limit=stage.memory_limit,
        retry=stage.retry,
        restart=stage.restart or RestartPolicy.usual(stage.role, spec.transport),
        deterministic=stage.deterministic,
    )


def _queue_plan(queue: QueueSpec, stages: tuple[StagePlan, ...]) -> QueuePlan:
    return QueuePlan(
        name=queue.name,
        maxsize=queue.maxsize,
        writers=tuple(w.name for stage in stages if stage.sends == queue.name for w in stage.workers),
        readers=tuple(w.name for stage in stages if stage.receives == queue.name for w in stage.workers),
        description=queue.description,
    )
