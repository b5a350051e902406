"""What will exist when a workflow runs: every worker by name, every queue, the order of start and stop. Pure.

WorkflowSpec ──► make_plan ──► Plan      stages in start order, queues with who writes and who reads

The labels of stages and queues, the same in tables and pictures, are at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import MprunInternalError
from runner.facts import dataclass
from runner.spec.commits import BatchSpec, CheckpointPolicy, FlushPolicy, KeptState
from runner.spec.failures import OnError, RestartOn, RestartPolicy, RetryPolicy
from runner.spec.graph import LoopMap, find_loops
from runner.spec.limits import ASKED_CLOSE, Limits
from runner.spec.model import Given, HandlerRef, Role, StageSpec, StartMode, WorkflowSpec
from runner.spec.notify import NotifySpec
from runner.spec.pace import RatePolicy
from runner.spec.resources import PipeSpec, QueueSpec, Sentinel, SharedSpec, WhenFull
from runner.spec.resume import ResumePolicy
from runner.spec.routes import RoutePlan, RouteSpec

if TYPE_CHECKING:
    from runner.spec.expressions.ast import Node
    from runner.spec.file_tests.faults import PlannedFault
    from runner.spec.jobs.model import JobSpec


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a producer's input, as it was when the stage began."""

    path: str
    """As it is opened, and shown: relative to the worker's own folder where it was written so."""
    size: int | None
    """Bytes; None for what is read once and has no end that is known: a pipe, a terminal."""
    mtime: float = 0.0
    """When it was changed last: seconds since the epoch."""
    root: str = "."
    """The folder that the pattern which found it begins at."""


@dataclass(frozen=True, slots=True)
class InputShare:
    """Which worker of its stage one is, counted from 0, of how many: what of the input is its."""

    index: int = 0
    of: int = 1


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
    """The one queue that all that it makes goes to; None where there is none, or `routes` say where to."""
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
    threads: int = 1
    concurrency: int = 1
    """How many items it has in hand at once, where its handler is called in threads, and where it is `async`."""
    key_path: str | None = None
    """The way to an item's key where items with equal keys keep their order: one of each is in hand at a time."""
    rate: RatePolicy | None = None
    """How many items it may begin, with the others of its stage."""
    deterministic: bool = False
    lock: str | None = None
    """The lock that it holds while its handler is at work."""
    places: tuple[Any, ...] = ()
    """Arguments of its handler by place."""
    sentinel: Sentinel | None = None
    """What it gets at the end of the queue that it reads."""
    unputtable: Sentinel | None = None
    """What readers of the queue that it writes to get at the end, so that no item may equal it."""
    contract: Mapping[str, Any] | None = None
    """The schema that each item must keep that it puts."""
    kept: KeptState | None = None
    """What its handler keeps of its items, where the loss of it by a death is to fail the run."""
    flush: FlushPolicy | None = None
    """How often its handler's `flush()` is called; None where it has none, or its source can't be read."""
    checkpoint: CheckpointPolicy | None = None
    """How its handler's state is kept; None where it is not."""
    drives: bool = False
    """Whether its handler says itself when an item is done."""
    close_timeout: float = ASKED_CLOSE
    """Seconds that its process may take to end once it has nothing more to do."""
    misses_close: bool = False
    """Whether its death in `close()` fails the run: that may have been what makes its items safe."""
    batch: BatchSpec | None = None
    """How many items its handler gets at once."""
    share: InputShare = InputShare()
    """Which part of a producer's input is its."""
    inputs: tuple[InputFile, ...] | None = None
    """The files of that input, once they are listed; None where the handler has none."""
    state_lasts: bool = False
    """Whether its state is a place in what its kind of handler writes: it is for all who come later."""
    prepared: Any = None
    """What was made ready for the workers of its stage, where its kind writes."""
    fsync: bool = False
    """Whether what its sink writes is to be on the disk before its items are done."""
    renumbered: tuple[tuple[int, int], ...] = ()
    """From which place on items of its queue were put under a later runner, and under which; their ids say so. Else
    the id of an item that died with its runner, after the last cut, would be that of another."""
    committed: int | None = None
    """How many items of a producer are in a kept cut when it starts; None where none are kept of its run."""
    routes: tuple[RoutePlan, ...] = ()
    """The queues that what it makes goes to, where that is for each item to be found out."""

    errors_to: str | None = None
    """The queue that failures of its items go to."""
    faults: tuple[PlannedFault, ...] = ()
    """What is to go wrong in it, for a test."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The queues that it puts items on."""
        return tuple(route.queue for route in self.routes) if self.sends is None else (self.sends,)

    def item_id(self, origin: str, place: int) -> str:
        """The id of the item at a place of the queue that it reads, in the run of that origin."""
        later = [runner for start, runner in self.renumbered if place >= start]
        return f"{origin}{f'.{later[-1]}' if later else ''}/{self.receives}/{place}"

    @property
    def counted_in(self) -> str | None:
        """The queue that items are told of which fail in its hands, or in its making."""
        return self.receives or next(iter(self.targets), None)

    @property
    def at_once(self) -> int:
        """How many items its handler has in hand at once, each of which is done by itself."""
        return max(self.threads, self.concurrency)

    @property
    def commits(self) -> bool:
        """Whether its items need not be done when the handler goes on to others: the worker says when they are."""
        return any(each is not None for each in (self.batch, self.flush, self.checkpoint))


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage with its workers, in the order in which they start."""

    spec: StageSpec
    workers: tuple[WorkerPlan, ...]
    place: int = 0
    """Where it stands in the file."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def role(self) -> Role:
        return self.spec.role

    @property
    def receives(self) -> str | None:
        return self.spec.receives

    @property
    def targets(self) -> tuple[str, ...]:
        return self.spec.targets

    @property
    def writes(self) -> tuple[str, ...]:
        return self.spec.writes

    @property
    def serial(self) -> bool:
        """Whether its workers run one after the other."""
        return self.spec.start is StartMode.SERIAL


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """A queue with the names of the workers at its ends."""

    spec: QueueSpec
    writers: tuple[str, ...]
    readers: tuple[str, ...]
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
    read_singly: bool = False
    """Whether each item is handed out by itself, since readers have several in hand that end in any order."""
    read_in_batches: bool = False
    """A reader is given all that it may hold before the next one is: else none would have a whole batch."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def partitioned(self) -> bool:
        """Whether more than `maxsize` bounds it, or its items have an order: its ledger is a `PartitionedQueue`."""
        in_order = self.read_in_order or self.written_in_order or self.spec.loop
        bounded = self.spec.max_bytes is not None or self.spec.when_full is not WhenFull.BLOCK
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
    contexts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What else these may ask for: `github`, `vars`, …"""
    context_sources: Mapping[str, str] = field(default_factory=dict)
    """Of what is asked for in these, by dotted name: where it is from; nothing where nobody knows it."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The workflow's own; that of each worker and each job holds it already."""
    given: Given = Given()
    resume: ResumePolicy = ResumePolicy()
    """What is kept of the run, for another runner to go on with it."""
    notify: tuple[NotifySpec, ...] = ()
    """Who is told what becomes of the run."""
    origin: str = ""
    """The run that items have their ids of: the first that worked on them. Known once there is one."""
    keeps_trees: bool = False
    """Whether the own trees of jobs that fail stay."""

    @property
    def workers(self) -> tuple[WorkerPlan, ...]:
        """Every worker, in start order."""
        return tuple(worker for stage in self.stages for worker in stage.workers)

    @property
    def last_queues(self) -> frozenset[str]:
        """The queues at which the way of an item ends: whoever reads them sends nothing on."""
        passed_on = {stage.receives for stage in self.stages if stage.targets}
        return frozenset(queue.name for queue in self.queues if queue.name not in passed_on)

    @property
    def flow(self) -> tuple[StagePlan, ...]:
        """Every stage as tables show them: in the order of the file, but none before one that feeds it."""
        return _flow_of(self.stages, self.loops)

    @property
    def loops(self) -> LoopMap:
        """What goes round."""
        return find_loops(self.stages, [queue.name for queue in self.queues if queue.spec.loop])

    @property
    def stop_order(self) -> tuple[StagePlan, ...]:
        """Producers first: consumers must see the end of the stream, not a broken one."""
        return tuple(reversed(self.stages))


def make_plan(spec: WorkflowSpec) -> Plan:
    """Lay out the processes and queues of a checked workflow. Starts nothing, reads no clock, opens no file."""
    places = {stage.name: place for place, stage in enumerate(spec.stages)}
    stages = tuple(
        StagePlan(stage, tuple(_worker_plan(spec, stage, name) for name in stage.workers), places[stage.name])
        for stage in start_order(spec.stages, [queue.name for queue in spec.queues if queue.loop])
    )
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
        resume=spec.resume,
        notify=spec.notify,
    )


def start_order(stages: Iterable[StageSpec], looped: Collection[str] = ()) -> list[StageSpec]:
    """Sort stages so that each comes after those that read what it writes, unless it writes that back to a queue that
    is `looped`; ties keep the order of the file."""
    waiting = list(stages)
    loops = find_loops(waiting, looped)
    ordered: list[StageSpec] = []
    while waiting:
        unread = {stage.receives for stage in waiting}
        ready = [stage for stage in waiting if unread.isdisjoint(loops.forward(stage))]
        if not ready:
            raise MprunInternalError(
                f"a cycle passed the check of the topology: {[stage.name for stage in waiting]}"
            )
        ordered += ready
        waiting = [stage for stage in waiting if stage not in ready]
    return ordered


def _flow_of(stages: Iterable[StagePlan], loops: LoopMap) -> tuple[StagePlan, ...]:
    readers: dict[str | None, list[StagePlan]] = defaultdict(list)
    writers: Counter[str | None] = Counter()
    for stage in stages:
        readers[stage.receives].append(stage)
        writers.update(loops.forward(stage))
    heap = [(stage.place, stage.name, stage) for stage in stages if not writers[stage.receives]]
    heapify(heap)
    ordered = []
    while heap:
        *_, stage = heappop(heap)
        ordered.append(stage)
        for queue in loops.forward(stage):
            writers[queue] -= 1
            for reader in () if writers[queue] else readers[queue]:
                heappush(heap, (reader.place, reader.name, reader))
    return tuple(ordered)


def _worker_plan(spec: WorkflowSpec, stage: StageSpec, name: str) -> WorkerPlan:
    routed = _routed(spec, stage)
    return WorkerPlan(
        name=name,
        stage=stage.name,
        role=stage.role,
        handler=stage.handler,
        arguments=stage.arguments,
        receives=stage.receives,
        sends=None if routed else stage.sends,
        routes=tuple(_route_plan(spec, stage, route) for route in routed),
        daemon=stage.daemon,
        on_error=stage.on_error,
        errors_to=stage.errors_to,
        start_method=stage.start_method,
        env={**spec.env, **stage.env},
        cwd=None if stage.cwd is None else str(stage.cwd),
        nice=stage.nice,
        beside=str(spec.path.parent.absolute()),  # with `cwd` a worker works elsewhere
        timeout=stage.timeout,
        memory_limit=stage.memory_limit,
        retry=stage.retry,
        restart=stage.restart
        or RestartPolicy.usual(spec.transport, reads=stage.receives is not None, resumes=stage.resumes),
        threads=stage.threads,
        concurrency=stage.concurrency,
        key_path=stage.shard_by,
        rate=stage.rate,
        deterministic=stage.deterministic,
        lock=stage.lock,
        places=stage.places,
        sentinel=next((q.sentinel for q in spec.queues if q.name == stage.receives), None),
        unputtable=next((q.sentinel for q in spec.queues if q.name == stage.sends), None),
        contract=next((q.contract for q in spec.queues if q.name == stage.sends), None),
        kept=stage.kept if stage.misses_state else None,
        flush=stage.flush if stage.receives is not None else None,
        checkpoint=stage.checkpoint if stage.receives is not None else None,
        drives=stage.drives,
        close_timeout=spec.limits.asked_close,
        misses_close=stage.misses_state and not stage.is_safe_before_close,
        batch=stage.batch,
        share=InputShare(stage.workers.index(name), len(stage.workers))
        if name in stage.workers
        else InputShare(),
        state_lasts=stage.state is not None and stage.state.lasts,
        fsync=spec.resume.fsync and spec.resume.keeps,
    )


def _routed(spec: WorkflowSpec, stage: StageSpec) -> tuple[RouteSpec, ...]:
    """Return the ways of a stage's items, where each item has to be looked at for them."""
    knows_items = any(queue.name == stage.sends and queue.unique is not None for queue in spec.queues)
    return (RouteSpec(str(stage.sends)),) if knows_items else stage.routes


def _route_plan(spec: WorkflowSpec, stage: StageSpec, route: RouteSpec) -> RoutePlan:
    queue = next(each for each in spec.queues if each.name == route.queue)
    return RoutePlan(
        queue=route.queue,
        condition=_condition(route.condition),
        takes_rest=route.takes_rest,
        constants={"params": spec.params, "env": {**spec.env, **stage.env}},
        unputtable=queue.sentinel,
        contract=queue.contract,
        unique=None if queue.unique is None else queue.unique.by,
    )


def _condition(written: str | bool | None) -> Node | bool | None:
    if not isinstance(written, str):
        return written
    from runner.spec.expressions.evaluate import parse_condition  # few files have conditions

    condition, _ = parse_condition(written, ())
    assert condition is not None, "it was checked"
    return condition.tree


def _queue_plan(queue: QueueSpec, stages: tuple[StagePlan, ...]) -> QueuePlan:
    writing = [stage for stage in stages if queue.name in stage.writes]
    reading = [stage for stage in stages if stage.receives == queue.name]
    shard_by = next((stage.spec.shard_by for stage in reading if stage.spec.shard_by is not None), None)
    return QueuePlan(
        spec=queue,
        writers=tuple(worker.name for stage in writing for worker in stage.workers),
        readers=tuple(worker.name for stage in reading for worker in stage.workers),
        shard_by=shard_by,
        read_in_order=any(stage.spec.keeps_order for stage in reading),
        written_in_order=any(stage.spec.keeps_order for stage in writing),
        read_singly=any(w.at_once > 1 for stage in reading for w in stage.workers),
        read_in_batches=any(stage.spec.batch is not None for stage in reading),
        one_by_one=shard_by is not None
        and any(w.retry.attempts > 1 for stage in reading for w in stage.workers),
    )


def stage_label(stage: StagePlan) -> str:
    """Name a stage with its count: `chef ×3`, `eater ×2 (daemon)`."""
    return f"{stage.name} ×{len(stage.workers)}" + (" (daemon)" if stage.spec.daemon else "")


def done_label(worker: WorkerPlan) -> str:
    """Say when an item of a worker is done: `at return`, `batch of 32`, `flush 1s`, `checkpoint 1s`, `at task_done`."""
    if worker.receives is None:
        return "-"
    kept = None if worker.state_lasts else worker.checkpoint
    commits = [str(each) for each in (worker.batch, worker.flush, kept) if each is not None]
    return " + ".join(commits) or ("at task_done" if worker.drives else "at return")


def queue_label(queue: QueuePlan) -> str:
    """Name a queue with its size: `steamer ≤10`."""
    return f"{queue.name} {size_label(queue)}"


def size_label(queue: QueuePlan) -> str:
    """Say how many items a queue holds: `≤10`, `unbounded`."""
    return "unbounded" if queue.spec.maxsize is None else f"≤{queue.spec.maxsize}"
