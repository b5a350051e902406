"""What will exist when a workflow runs: every worker by name, every queue, the order of start and stop. Pure.

WorkflowSpec ──► make_plan ──► Plan      stages in start order, queues with who writes and who reads
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import MprunInternalError
from runner.spec import (
    Given,
    HandlerRef,
    Limits,
    OnError,
    PipeSpec,
    QueueSpec,
    RestartOn,
    RestartPolicy,
    RetryPolicy,
    Role,
    Sentinel,
    SharedSpec,
    StageSpec,
    Start,
    WhenFull,
    WorkflowSpec,
)

if TYPE_CHECKING:  # whoever has no jobs need not wait for them
    from runner.spec_jobs import JobSpec


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
    retry: RetryPolicy = RetryPolicy()  # noqa: RUF009 - frozen
    restart: RestartPolicy = RestartPolicy(on=RestartOn.NEVER)  # noqa: RUF009 - frozen
    deterministic: bool = False
    lock: str | None = None
    """The lock that it holds while its handler is at work."""
    places: tuple[Any, ...] = ()
    """Arguments of its handler by place."""
    sentinel: Sentinel | None = None
    """What it gets at the end of the queue that it reads."""
    unputtable: Sentinel | None = None
    """What readers of the queue that it writes to get at the end, so that no item may equal it."""


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
    shard_by: str | None = None
    keeps_order: bool = False
    serial: bool = False
    """Its workers run one after the other."""


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """A queue with the names of the workers at its ends."""

    name: str
    maxsize: int | None
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    description: str = ""
    max_bytes: int | None = None
    when_full: WhenFull = WhenFull.BLOCK
    shard_by: str | None = None
    """The way to the key by which its one reading stage shares it out among its workers."""
    read_in_order: bool = False
    """Its one reading stage keeps the order of its items."""
    written_in_order: bool = False
    """A stage that keeps the order of items writes to it."""
    fed: bool = False
    """Its items come from inside the supervisor; each reader holds one at a time."""
    one_by_one: bool = False
    """What fails holds up what is behind it: it is sharded, and its reader tries items again."""

    @property
    def gated(self) -> bool:
        """Whether it has rules of its own beside `maxsize`."""
        in_order = self.read_in_order or self.written_in_order
        bounded = self.max_bytes is not None or self.when_full is not WhenFull.BLOCK
        return in_order or bounded or self.shard_by is not None


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
    locks: tuple[str, ...] = ()
    shared: tuple[SharedSpec, ...] = ()
    pipes: tuple[PipeSpec, ...] = ()
    jobs: tuple[JobSpec, ...] = ()
    """What its one stage runs, where the workflow has jobs."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What conditions of jobs may ask for, and so they may for `env`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The workflow's own; that of each worker and each job holds it already."""
    given: Given = Given()  # noqa: RUF009 - frozen

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
        locks=tuple(lock.name for lock in spec.locks),
        shared=spec.shared,
        pipes=spec.pipes,
        given=spec.given,
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
        shard_by=stage.shard_by,
        keeps_order=stage.keeps_order,
        serial=stage.start is Start.SERIAL,
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
        lock=stage.lock,
        places=stage.places,
        sentinel=next((q.sentinel for q in spec.queues if q.name == stage.receives), None),
        unputtable=next((q.sentinel for q in spec.queues if q.name == stage.sends), None),
    )


def _queue_plan(queue: QueueSpec, stages: tuple[StagePlan, ...]) -> QueuePlan:
    writing = [stage for stage in stages if stage.sends == queue.name]
    reading = [stage for stage in stages if stage.receives == queue.name]
    shard_by = next((stage.shard_by for stage in reading if stage.shard_by is not None), None)
    return QueuePlan(
        name=queue.name,
        maxsize=queue.maxsize,
        writers=tuple(worker.name for stage in writing for worker in stage.workers),
        readers=tuple(worker.name for stage in reading for worker in stage.workers),
        description=queue.description,
        max_bytes=queue.max_bytes,
        when_full=queue.when_full,
        shard_by=shard_by,
        read_in_order=any(stage.keeps_order for stage in reading),
        written_in_order=any(stage.keeps_order for stage in writing),
        one_by_one=shard_by is not None
        and any(w.retry.attempts > 1 for stage in reading for w in stage.workers),
    )
