"""Runs as a page is drawn from them, made of events that never were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.events.base import Event
from runner.events.jobs import JobFinished, JobStarted
from runner.events.run import (
    ItemFailed,
    RunFinished,
    RunOutcome,
    RunProgress,
    RunStarted,
    StageTimed,
    WorkerExited,
    WorkerOutcome,
    WorkerSpawned,
)
from runner.render.page.model import RunPage
from runner.spec.failures import OnError
from runner.spec.model import JobResult
from runner.watch.state import RunState

BEGAN = 1_000_000.0
NOTHING: dict[str, Any] = dict.fromkeys(
    ("received", "sent", "done", "failed", "retried", "busy", "starved", "blocked"), 0
)
ACCOUNT = (
    *(
        "put",
        "waiting",
        "leased",
        "done",
        "done_before",
        "dropped",
        "duplicates",
        "dead_lettered",
        "lost",
        "peak",
    ),
    *("bytes", "peak_bytes", "full_seconds", "size"),
)


def chain(names: Sequence[str], workers: int = 1) -> list[Any]:
    """Declare stages one behind the other, with queues `to NAME` between them."""
    declared: list[Any] = []
    for place, name in enumerate(names):
        source = f"to {name}" if place else None
        to = f"to {names[place + 1]}" if place + 1 < len(names) else None
        role = "producer" if source is None else "consumer" if to is None else "pipe"
        ends = {"from": source, "to": to, "targets": [to] if to else []}
        declared.append({"name": name, "role": role, "workers": workers, "daemon": False, **ends})
    return declared


def started(stages: Sequence[Any], jobs: int | None = None, workflow: str = "shop") -> RunStarted:
    queues: list[Any] = [{"name": each["from"], "maxsize": 50} for each in stages if each["from"]]
    return RunStarted(
        workflow=workflow,
        file="shop.yaml",
        transport="leased",
        pid=7,
        stages=stages,
        queues=queues,
        jobs=jobs,
    )


def progress(stages: Sequence[Any], elapsed: float, passed: int) -> RunProgress:
    """Every stage has passed on so many items, and spent half of its time in its handler."""
    counts: list[Any] = []
    for each in stages:
        spent = {"busy": elapsed * each["workers"] / 2, "starved": elapsed / 4, "blocked": elapsed / 4}
        own = {"name": each["name"], "workers": each["workers"], "alive": each["workers"], **spent}
        moved = {"received": passed, "sent": passed, "done": passed}
        counts.append({**NOTHING, **own, **moved, "read": None, "to_read": None})
    return RunProgress(elapsed=elapsed, stages=counts, queues=accounts(stages, passed, elapsed / 2))


def accounts(stages: Sequence[Any], passed: int, full: float = 0.0) -> list[Any]:
    known = {"put": passed, "done": passed, "peak": 50, "full_seconds": full, "size": passed % 50}
    nothing = dict.fromkeys(ACCOUNT, 0)
    bound = {"maxsize": 50, "max_bytes": None, "joined": True}
    return [{**nothing, "name": each["from"], **bound, **known} for each in stages if each["from"]]


def spawned(stage: str, worker: str, generation: int = 1) -> WorkerSpawned:
    return WorkerSpawned(stage=stage, worker=worker, pid=100, ppid=7, generation=generation, daemon=False)


def exited(
    stage: str, worker: str, generation: int = 1, *, died: bool = False, passed: int = 0
) -> WorkerExited:
    moved = {"received": passed, "sent": passed, "done": passed}
    return WorkerExited(
        stage=stage,
        worker=worker,
        pid=100,
        generation=generation,
        exitcode=None if died else 0,
        signal="SIGKILL" if died else None,
        outcome=WorkerOutcome.DIED if died else WorkerOutcome.FINISHED,
        reason="SIGKILL" if died else "finished",
        restarting=died,
        **{**NOTHING, **moved, "busy": 5.0},
    )


def failed(stage: str, worker: str, item: str, error: str, traceback: str = "") -> ItemFailed:
    return ItemFailed(
        stage=stage,
        worker=worker,
        queue=f"to {stage}",
        item=item,
        error=error,
        traceback=traceback,
        action=OnError.DEAD_LETTER,
    )


def timed(stage: str, items: int = 100) -> StageTimed:
    buckets: list[Any] = [{"bucket": n, "least": 0.0, "items": items} for n in (90, 94, 100, 120)]
    return StageTimed(stage=stage, buckets=buckets, slowest=2.5, slowest_item="<i>slow</i>")


def finished(stages: Sequence[Any], seconds: float, passed: int, reason: str | None = None) -> RunFinished:
    return RunFinished(
        outcome=RunOutcome.DONE if reason is None else RunOutcome.FAILED,
        exitcode=0 if reason is None else 1,
        reason=reason,
        seconds=seconds,
        queues=accounts(stages, passed, seconds / 2),
    )


def job_began(job: str, worker: str = "w", needs: Sequence[str] = ()) -> JobStarted:
    return JobStarted(job=job, attempt=1, reason="all it needs is there", log="", worker=worker, needs=needs)


def job_ended(job: str, result: JobResult = JobResult.PASSED, reason: str = "exit code 0") -> JobFinished:
    return JobFinished(
        job=job,
        result=result,
        exitcode=0,
        signal=None,
        duration=1.0,
        attempt=1,
        reason=reason,
        log="",
        command=["mprun", "x.yaml", job],
    )


def page_of(
    happened: Sequence[tuple[float, Event]], outcome: str = "done", facts: dict[str, Any] | None = None
) -> RunPage:
    """Fold events, each with its second of the run, to what a page is drawn from."""
    state = RunState()
    for after, event in happened:
        state.observe(event.stamped(BEGAN + after, "3f2a91bc"))
    return RunPage(state=state, report=state.report(), outcome=outcome, facts=facts or {})


def pipeline(names: Sequence[str] = ("lister", "fetcher", "parser", "saver"), seconds: int = 40) -> RunPage:
    """A run of stages one behind the other, 100 items a second, with a death and failures of two kinds."""
    stages = chain(names)
    last = names[-1]
    happened: list[tuple[float, Event]] = [(0.0, started(stages))]
    happened += [(0.1, spawned(name, f"{name}-1")) for name in names]
    happened += [(n / 4, progress(stages, n / 4, n * 25)) for n in range(1, 4 * seconds)]
    happened += [(10.0, exited(last, f"{last}-1", died=True)), (10.2, spawned(last, f"{last}-1", 2))]
    for n in range(20):
        kind = "ValueError: bad status" if n % 2 else "ConnectionError: host"
        happened.append((12 + n / 10, failed(last, f"{last}-1", f"item {n}", f"{kind} {n}")))
    happened += [(seconds, timed(name)) for name in names]
    happened += [(seconds, exited(name, f"{name}-1", 2, passed=100 * seconds)) for name in names]
    happened.append((seconds, finished(stages, seconds, 100 * seconds)))
    happened.sort(key=lambda each: each[0])
    return page_of(happened)
