"""A watched run at one moment, as JSON: what `mprun top --once --format json` prints. Pure.

RunState, the moment ──► snapshot ──► {"run": …, "stages": […], …}, which meets `snapshot_schema()`

A field that `mprun ps --format json` has too means the same there. Each fact says what its fields mean; the schema is
made from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from runner.events.item_times import ItemTimes
from runner.events.job_report import JobState
from runner.events.report_fields import closed_schema, means
from runner.facts import dataclass
from runner.watch.eta import Eta
from runner.watch.jobs import WatchedJob
from runner.watch.stages import Shares, WatchedQueue, WatchedStage
from runner.watch.state import KindOfFailure, RunPhase, RunState
from runner.watch.workers import WatchedWorker, WorkerCondition

_NOW = "over the last seconds"
_EPOCH = "in seconds since 1970"


@dataclass(frozen=True, slots=True)
class WatchedStageFacts:
    """One stage."""

    name: str = means("The stage's name.")
    role: str = means("producer, consumer, pipe or plain.")
    workers: int = means("How many workers it has or will have.")
    alive: int = means("How many of them live.")
    received: int = means("Items they took.")
    sent: int = means("Items they put.")
    done: int = means("Items they are done with.")
    failed: int = means("Items that failed for good.")
    retried: int = means("How often an item was tried again.")
    busy: float = means("Seconds inside the handler, the item in hand among them, over all workers.")
    starved: float = means("Seconds waiting for an item.")
    blocked: float = means("Seconds waiting for room or a lock.")
    read: int | None = means("How far a source has come: bytes or items; null where the whole is not known.")
    to_read: int | None = means("Of how many.")
    busy_share: float = means(f"Share of its workers' time inside the handler, {_NOW}: 0 to 1.")
    starved_share: float = means(f"The same waiting for an item, {_NOW}.")
    blocked_share: float = means(f"The same waiting for room or a lock, {_NOW}.")
    per_second: float = means(f"Items sent (a producer) or done, {_NOW}.")
    mean_per_second: float = means("The same over the whole run.")
    p50_seconds: float | None = means("Half of its items took no longer; null if not measured.")
    p95_seconds: float | None = means("95 of 100 of its items took no longer.")
    p99_seconds: float | None = means("99 of 100 of its items took no longer.")
    slowest_seconds: float | None = means("Seconds of the slowest item that was measured alone.")
    slowest_item: str | None = means("Its repr.")


@dataclass(frozen=True, slots=True)
class WatchedQueueFacts:
    """One queue: its account, and how full it is."""

    name: str = means("The queue's name.")
    writers: tuple[str, ...] = means("The stages that write it.")
    readers: tuple[str, ...] = means("The stages that read it.")
    maxsize: int | None = means("Items it has room for; null is unbounded.")
    max_bytes: int | None = means("Bytes it has room for; null where it does not count them.")
    put: int = means("Items put.")
    waiting: int = means("Items not begun.")
    leased: int = means("Items in the hands of workers.")
    done: int = means("Items done.")
    dropped: int = means("Items that left without being done.")
    dead_lettered: int = means("Items kept as dead letters.")
    lost: int = means("Items that were to be kept as dead letters, and could not be written.")
    bytes: int = means("Bytes it holds; 0 where it does not count them.")
    full_seconds: float = means("Seconds without room.")
    size: int = means("Items that take up its room.")
    fill: float = means("How full it is, by the bound that is nearer: 0 to 1; 0 without a bound.")
    put_per_second: float = means(f"Items put, {_NOW}.")


@dataclass(frozen=True, slots=True)
class WatchedWorkerFacts:
    """One worker, over all of its processes."""

    worker: str = means("The worker's name.")
    stage: str = means("Its stage.")
    pid: int | None = means("Its process; null before there is one.")
    generation: int = means("1 for its first process.")
    state: str = means("alive, terminating, ended, or gone with a runner that was killed.")
    condition: str = means("In one word: " + ", ".join(WorkerCondition) + ".")
    waits_for: str | None = means("item, room, join, lock or rate while it waits.")
    received: int = means("Items it took.")
    sent: int = means("Items it put.")
    done: int = means("Items it is done with.")
    failed: int = means("Items that failed for good.")
    retried: int = means("How often an item was tried again.")
    busy_share: float = means(f"Share of its time inside the handler, {_NOW}: 0 to 1.")
    starved_share: float = means(f"The same waiting for an item, {_NOW}.")
    blocked_share: float = means(f"The same waiting for room or a lock, {_NOW}.")
    per_second: float = means(f"Items done, or sent where it takes none, {_NOW}.")
    item: str | None = means("The repr of what it has in hand.")
    since: float | None = means(f"Since when it has it, {_EPOCH}.")
    deaths: int = means("Of its processes that died.")


@dataclass(frozen=True, slots=True)
class WatchedJobFacts:
    """One job that was begun or decided on."""

    job: str = means("Its full id.")
    state: str = means("running, backoff before its next attempt, or what became of it.")
    attempt: int = means("The last that has begun; 0 for none.")
    step: str = means("The step it is at.")
    began: float | None = means(f"When its first attempt began, {_EPOCH}.")
    ended: float | None = means(f"When it ended, {_EPOCH}.")
    reason: str = means("Why it came to that.")


@dataclass(frozen=True, slots=True)
class WatchedFailureFacts:
    """Failures of one kind: in the same place, in the same way."""

    number: int = means("The number of the kind in the run, as `mprun dlq --kind` takes it.")
    stage: str = means("The stage.")
    error: str = means("What went wrong, in the words of the first.")
    count: int = means("How often.")
    first: float = means(f"When first, {_EPOCH}.")
    last: float = means(f"When last, {_EPOCH}.")


@dataclass(frozen=True, slots=True)
class WatchedEtaFacts:
    """When the run is going to be done, as far as that can be known."""

    share: float = means("How much of it is done: 0 to 1.")
    whole: int | None = means("Of how many items; null where only the size of a source is known.")
    remaining: float | None = means("Seconds, as it looks; null where nobody can know.")
    done_at: float | None = means(f"When that is, {_EPOCH}.")


@dataclass(frozen=True, slots=True)
class WatchedRunFacts:
    """A run as `mprun top` shows it, at one moment."""

    run: str = means("The run's id.")
    workflow: str = means("The workflow's name.")
    file: str = means("The workflow file.")
    transport: str = means("How queues and workers exist.")
    pid: int | None = means("The runner's process; null where it is not known.")
    status: str = means(", ".join(RunPhase) + ".")
    elapsed: float = means("Seconds that it has worked.")
    began: float = means(f"When it began, {_EPOCH}.")
    at: float = means(f"The moment of this snapshot, {_EPOCH}.")
    outcome: str | None = means("What it came to; null as long as it has not ended.")
    exit_code: int | None = means("What the shell was told.")
    reason: str | None = means("Why it stops or has failed.")
    bottleneck: str | None = means("What holds it back now, in words; null if nothing stands out.")
    missed: int = means("Events that did not reach whoever tells this.")
    eta: Mapping[str, Any] | None = means("When it is going to be done; null where nobody can know.")
    stages: tuple[WatchedStageFacts, ...] = means("The stages, in the order in which data flows.")
    queues: tuple[WatchedQueueFacts, ...] = means("The queues, in the same order.")
    workers: tuple[WatchedWorkerFacts, ...] = means("The workers, by stages.")
    jobs: tuple[WatchedJobFacts, ...] = means("The jobs, of a workflow of jobs.")
    failures: tuple[WatchedFailureFacts, ...] = means("Kinds of failures, the most frequent first.")


def snapshot(state: RunState, now: float) -> dict[str, Any]:
    """Return a run as it is at `now`."""
    eta = None if state.phase.is_over else state.eta()
    is_gone = state.phase is RunPhase.KILLED
    since = 0.0 if state.phase.is_over else max(now - state.told, 0.0)
    facts = WatchedRunFacts(
        run=state.run,
        workflow=state.workflow,
        file=state.file,
        transport=state.transport,
        pid=state.pid,
        status=state.phase.value,
        elapsed=state.elapsed + since,
        began=state.began,
        at=now,
        outcome=None if state.outcome is None else str(state.outcome),
        exit_code=state.exit_code,
        reason=state.reason or state.stop_reason,
        bottleneck=state.bottleneck(),
        missed=state.missed,
        eta=None if eta is None else asdict(_eta(eta)),
        stages=tuple(_stage(stage, is_gone=is_gone) for stage in state.stages()),
        queues=tuple(map(_queue, state.queues())),
        workers=tuple(_worker(worker, is_gone=is_gone) for worker in state.workers(now)),
        jobs=tuple(_job(job) for job in state.jobs()),
        failures=tuple(map(_failure, state.failures())),
    )
    return asdict(facts)


def _eta(eta: Eta) -> WatchedEtaFacts:
    return WatchedEtaFacts(eta.share, eta.whole, eta.remaining, eta.done_at)


def _stage(stage: WatchedStage, *, is_gone: bool) -> WatchedStageFacts:
    counts: dict[str, Any] = {**stage.counts, **({"alive": 0} if is_gone else {})}
    known = {field.name for field in fields(WatchedStageFacts)}
    return WatchedStageFacts(
        **{name: value for name, value in counts.items() if name in known},
        role=stage.role,
        **_shares(stage.now),
        per_second=stage.rate,
        mean_per_second=stage.mean_rate,
        **_seconds(stage.times),
        slowest_item=stage.times.slowest_item or None,
    )


def _seconds(times: ItemTimes) -> dict[str, Any]:
    shares = {"p50_seconds": 0.5, "p95_seconds": 0.95, "p99_seconds": 0.99}
    found = {name: times.percentile(share) for name, share in shares.items()}
    return {**found, "slowest_seconds": times.slowest or None}


def _shares(shares: Shares) -> dict[str, Any]:
    return {f"{name}_share": getattr(shares, name) for name in ("busy", "starved", "blocked")}


def _queue(queue: WatchedQueue) -> WatchedQueueFacts:
    names = ("put", "waiting", "leased", "done", "dropped", "dead_lettered", "lost", "bytes", "full_seconds")
    account: Mapping[str, Any] = queue.account or {}
    return WatchedQueueFacts(
        name=queue.name,
        writers=queue.writers,
        readers=queue.readers,
        maxsize=queue.maxsize,
        max_bytes=queue.max_bytes,
        **{name: account.get(name, 0) for name in names},
        size=queue.size,
        fill=queue.fill,
        put_per_second=queue.put_rate,
    )


def _worker(worker: WatchedWorker, *, is_gone: bool) -> WatchedWorkerFacts:
    names = (
        "stage",
        "generation",
        "waits_for",
        "received",
        "sent",
        "done",
        "failed",
        "retried",
        "item",
        "since",
    )
    return WatchedWorkerFacts(
        worker=worker.name,
        pid=worker.pid or None,
        state="gone" if is_gone and not worker.condition.is_over else _worker_state(worker),
        condition=worker.condition.value,
        **{name: getattr(worker, name) for name in names},
        **_shares(worker.now),
        per_second=worker.rate,
        deaths=worker.deaths,
    )


def _worker_state(worker: WatchedWorker) -> str:
    if worker.condition.is_over:
        return "ended"
    asked = worker.condition in (WorkerCondition.CLOSING, WorkerCondition.TERMINATING)
    return "terminating" if asked else "alive"


def _job(job: WatchedJob) -> WatchedJobFacts:
    return WatchedJobFacts(
        job=job.name,
        state="backoff" if job.state is JobState.RETRYING else str(job.state),
        attempt=job.attempts,
        step=job.step or "",
        began=job.began,
        ended=job.ended,
        reason=job.reason,
    )


def _failure(kind: KindOfFailure) -> WatchedFailureFacts:
    known = kind.kind
    return WatchedFailureFacts(known.id, known.stage, known.error, known.n, known.first, known.last)


def snapshot_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a snapshot."""
    schema = closed_schema(WatchedRunFacts)
    parts = {
        "stages": WatchedStageFacts,
        "queues": WatchedQueueFacts,
        "workers": WatchedWorkerFacts,
        "jobs": WatchedJobFacts,
        "failures": WatchedFailureFacts,
    }
    own: dict[str, Any] = {
        "status": {"enum": list(RunPhase)},
        "eta": {
            "type": ["object", "null"],
            **{k: v for k, v in closed_schema(WatchedEtaFacts).items() if k != "type"},
        },
        **{name: {"type": "array", "items": closed_schema(facts)} for name, facts in parts.items()},
    }
    for name, shape in own.items():
        schema["properties"][name] = {**shape, "description": schema["properties"][name]["description"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mprun top", **schema}
