"""Events of a run of two stages, `lister` that feeds `parser`, as a supervisor would publish them."""

from __future__ import annotations

from typing import Any

from runner.events.base import Event
from runner.events.run import (
    RunFinished,
    RunOutcome,
    RunProgress,
    RunStarted,
    WorkerExited,
    WorkerReady,
    WorkerSpawned,
)
from runner.watch.state import RunState

STAGES = [("lister", "producer", None, ["pages"]), ("parser", "consumer", "pages", [])]


def started(jobs: int | None = None) -> RunStarted:
    stages: list[Any] = [
        {
            "name": name,
            "role": role,
            "workers": 1,
            "daemon": False,
            "from": source,
            "to": targets[0] if targets else None,
            "targets": targets,
        }
        for name, role, source, targets in STAGES
    ]
    return RunStarted(
        workflow="shop",
        file="shop.yaml",
        transport="leased",
        pid=7,
        stages=stages,
        queues=[{"name": "pages", "maxsize": 50}],
        jobs=jobs,
    )


def progress(elapsed: float, sent: int = 0, done: int = 0, **times: float) -> RunProgress:
    """The parser's times are told, the lister is blocked for the rest."""
    nothing: dict[str, Any] = {"received": 0, "sent": 0, "done": 0, "failed": 0, "retried": 0}
    spent = {"busy": 0.0, "starved": 0.0, "blocked": 0.0}
    common: dict[str, Any] = {**nothing, **spent, "workers": 1, "alive": 1, "read": None, "to_read": None}
    queue: dict[str, Any] = dict.fromkeys(
        ("waiting", "leased", "done_before", "dropped", "duplicates", "dead_lettered", "lost", "peak"), 0
    )
    account = {
        **queue,
        "name": "pages",
        "maxsize": 50,
        "put": sent,
        "done": done,
        "max_bytes": None,
        "bytes": 0,
        "peak_bytes": 0,
        "full_seconds": elapsed / 2,
        "joined": False,
        "size": 25,
    }
    stages = [
        {**common, "name": "lister", "sent": sent, "blocked": elapsed},
        {**common, "name": "parser", "received": done, "done": done, **times},
    ]
    return RunProgress(elapsed=elapsed, stages=stages, queues=[account])  # type: ignore[list-item, arg-type]


def worker_counts(state: str = "busy", done: int = 0, **more: Any) -> Any:
    counts = {"received": done, "sent": 0, "done": done, "failed": 0, "retried": 0}
    times = {"busy": 0.0, "starved": 0.0, "blocked": 0.0}
    whose = {"worker": "parser", "stage": "parser", "pid": 9, "generation": 1}
    return {
        **whose,
        "state": state,
        "waits_for": None,
        "item": None,
        "since": None,
        **counts,
        **times,
        **more,
    }


def exited(outcome: str = "died", done: int = 0, **more: Any) -> WorkerExited:
    return WorkerExited(
        worker="parser",
        stage="parser",
        pid=9,
        exitcode=None,
        signal="SIGKILL",
        reason="killed by SIGKILL",
        received=done,
        sent=0,
        done=done,
        failed=0,
        retried=0,
        **{"generation": 1, "busy": 1.0, "starved": 0.0, "blocked": 0.0, "outcome": outcome, **more},
    )


def finished(outcome: RunOutcome = RunOutcome.DONE, seconds: float = 9.0) -> RunFinished:
    code = 0 if outcome is RunOutcome.DONE else 1
    reason = None if code == 0 else "boom"
    return RunFinished(outcome=outcome, exitcode=code, reason=reason, seconds=seconds, queues=[])


def state_after(*events: tuple[float, Event]) -> RunState:
    state = RunState()
    for at, event in events:
        state.observe(event.stamped(at, "d5fc"))
    return state


SPAWNED = WorkerSpawned(worker="parser", stage="parser", pid=9, ppid=7, generation=1, daemon=False)
READY = WorkerReady(worker="parser", stage="parser", pid=9)
