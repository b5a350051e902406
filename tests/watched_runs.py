"""Runs that are watched, made up: a pipeline with any number of stages, seen at any moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from runner.events.base import Event
from runner.events.item_times import ItemTimes, bucket_of
from runner.events.run import (
    ItemFailed,
    RunFinished,
    RunOutcome,
    RunProgress,
    RunStarted,
    RunWorkers,
    StageTimed,
    WorkerExited,
    WorkerOutcome,
    WorkerReady,
    WorkerSpawned,
)
from runner.spec.failures import OnError
from runner.watch.state import RunState

BEGAN = 1_764_570_000.0
"""When they all began, in seconds since the epoch."""
RUN = "d5fc6a3c"


def run_started(
    stages: Sequence[str], queues: Sequence[str], workers: int = 1, maxsize: int | None = 50
) -> RunStarted:
    """A pipeline: the first stage makes items, each of the others takes them from the queue before it."""
    declared: list[Any] = []
    for place, name in enumerate(stages):
        source = queues[place - 1] if place else None
        targets = [queues[place]] if place < len(queues) else []
        declared.append(
            {
                "name": name,
                "role": "pipe" if source and targets else "consumer" if source else "producer",
                "workers": 1 if not place else workers,
                "daemon": False,
                "from": source,
                "to": targets[0] if targets else None,
                "targets": targets,
            }
        )
    return RunStarted(
        workflow="shop",
        file="shop.yaml",
        transport="leased",
        pid=7,
        stages=declared,
        queues=[{"name": name, "maxsize": maxsize} for name in queues],
    )


def progress(
    started: RunStarted, elapsed: float, counts: Sequence[dict[str, Any]] = (), **queue: Any
) -> RunProgress:
    """A snapshot: `counts` say by stage what is not 0, `queue` of all queues what is not usual."""
    nothing: dict[str, Any] = dict.fromkeys(("received", "sent", "done", "failed", "retried"), 0)
    nothing |= dict.fromkeys(("busy", "starved", "blocked"), 0.0)
    stages: list[Any] = []
    for place, stage in enumerate(started.stages):
        own = {"name": stage["name"], "workers": stage["workers"], "alive": stage["workers"], "read": None}
        told = counts[place] if place < len(counts) else {}
        stages.append({**nothing, **own, "to_read": None, **told})
    zero = (
        "waiting",
        "leased",
        "done_before",
        "dropped",
        "duplicates",
        "dead_lettered",
        "lost",
        "peak",
        "bytes",
    )
    queues: list[Any] = [
        {
            **dict.fromkeys((*zero, "peak_bytes", "put", "done", "size"), 0),
            "name": each["name"],
            "maxsize": each["maxsize"],
            "max_bytes": None,
            "full_seconds": 0.0,
            "joined": False,
            **queue,
        }
        for each in started.queues
    ]
    return RunProgress(elapsed=elapsed, stages=stages, queues=queues)


def worker_counts(stage: str, worker: str, state: str = "busy", done: int = 0, **more: Any) -> Any:
    """What is told of one worker."""
    return {
        **dict.fromkeys(("sent", "failed", "retried"), 0),
        **dict.fromkeys(("busy", "starved", "blocked"), 0.0),
        "worker": worker,
        "stage": stage,
        "pid": 26072,
        "generation": 1,
        "state": state,
        "waits_for": None,
        "received": done,
        "done": done,
        "item": None,
        "since": None,
        **more,
    }


def spawned(stage: str, worker: str, pid: int = 26072, generation: int = 1) -> WorkerSpawned:
    """The birth of a worker."""
    return WorkerSpawned(worker=worker, stage=stage, pid=pid, ppid=7, generation=generation, daemon=False)


def died(stage: str, worker: str, **more: Any) -> WorkerExited:
    """The death of a worker."""
    return WorkerExited(
        **{
            "worker": worker,
            "stage": stage,
            "pid": 26072,
            "generation": 1,
            "exitcode": None,
            "signal": "SIGKILL",
            "outcome": WorkerOutcome.DIED,
            "reason": "killed by SIGKILL",
            **dict.fromkeys(("received", "sent", "done", "failed", "retried"), 0),
            **dict.fromkeys(("busy", "starved", "blocked"), 0.0),
            **more,
        }
    )


def failed(stage: str, item: str, error: str, traceback: str = "") -> ItemFailed:
    """An item that failed for good."""
    return ItemFailed(
        worker=f"{stage}-1",
        stage=stage,
        queue="urls",
        item=item,
        error=error,
        traceback=traceback,
        action=OnError.DEAD_LETTER,
    )


def timed(stage: str, seconds: float, items: int = 1000) -> StageTimed:
    """All items of a stage took so long."""
    return StageTimed.of(stage, ItemTimes({bucket_of(int(seconds * 1e9)): items}, seconds, "81204"))


def finished(
    outcome: RunOutcome = RunOutcome.DONE, seconds: float = 10.0, reason: str | None = None
) -> RunFinished:
    """The end."""
    code = 0 if outcome is RunOutcome.DONE else 1
    return RunFinished(outcome=outcome, exitcode=code, reason=reason, seconds=seconds, queues=[])


def observed(events: Iterable[tuple[float, Event]], state: RunState | None = None) -> RunState:
    """The state after events, each with the seconds since the beginning."""
    state = state or RunState()
    for at, event in events:
        state.observe(event.stamped(BEGAN + at, RUN))
    return state


def shop(elapsed: float = 2832.0) -> RunState:
    """The run of which the page on watching has a picture: its parser is the one that is slow."""
    started = run_started(["lister", "fetcher", "parser", "saver"], ["urls", "pages", "rows"], workers=3)
    for stage, workers in zip(started.stages, (1, 3, 1, 2), strict=True):
        stage["workers"] = workers
    started.queues[0]["maxsize"] = 200
    events: list[tuple[float, Event]] = [(0.0, started)]
    events += [(0.1, spawned("fetcher", f"fetcher-{n}")) for n in (1, 2, 3)]
    events += [(0.2, WorkerReady(worker=f"fetcher-{n}", stage="fetcher", pid=26072)) for n in (1, 2, 3)]
    steps = 240
    for step in range(1, steps + 1):
        at = elapsed * step / steps if step < steps - 10 else elapsed - (steps - step)
        events.append((at, _shop_progress(started, at)))
    errors = [("ConnectionError: host 3 does not answer", 3514), ("ValueError: bad status 'x'", 1589)]
    for error, times in errors:
        frames = (
            '  File "shop.py", line 9, in fetch\n    raise ConnectionError(f"host {i % 5} does not answer")\n'
        )
        text = f"Traceback (most recent call last):\n{frames}{error}"
        events += [(elapsed - 4 + n / times, failed("fetcher", str(n), error, text)) for n in range(times)]
    events += [(elapsed - 2, timed("fetcher", 0.0044)), (elapsed - 2, timed("parser", 0.0062))]
    events += [(elapsed - 2, died("fetcher", "fetcher-2", restarting=True, items=["87113"]))]
    events += [(elapsed - 1, spawned("fetcher", "fetcher-2", pid=31877, generation=2))]
    rows = [
        worker_counts("fetcher", "fetcher-1", "blocked", 112_008, item="112391", since=BEGAN + elapsed - 0.3),
        worker_counts("fetcher", "fetcher-2", "busy", 111_990, item="112402", since=BEGAN + elapsed - 0.004),
        worker_counts("fetcher", "fetcher-3", "busy", 112_120, item="112388", since=BEGAN + elapsed - 41.2),
    ]
    rows[1]["pid"], rows[1]["generation"] = 31877, 2
    events.append((elapsed, RunWorkers(workers=rows)))
    return observed(events)


def _shop_progress(started: RunStarted, at: float) -> RunProgress:
    made = int(at * 119.2)
    counts: list[dict[str, Any]] = [
        {"sent": made + 2000, "busy": at * 0.01, "blocked": at * 0.95},
        {"received": made, "sent": made, "done": made, "failed": 5103, "busy": at * 0.6, "blocked": at * 2.4},
        {"received": made - 50, "sent": made - 50, "done": made - 50, "busy": at * 0.96},
        {"received": made - 51, "done": made - 51, "busy": at * 0.32, "starved": at * 1.68},
    ]
    shot = progress(started, at, counts)
    for queue, size, share in zip(shot.queues, (200, 50, 1), (0.93, 0.7, 0.0), strict=True):
        queue |= {"size": size, "put": made, "done": made - size, "full_seconds": share * at}  # type: ignore[typeddict-item]
    return shot
