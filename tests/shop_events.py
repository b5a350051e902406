"""The events of a small run, for whatever tells how a run stands: a lister, a queue of orders, and a chef."""

from __future__ import annotations

from typing import Any

from runner.events.base import Event
from runner.events.item_times import ItemTimes, bucket_of
from runner.events.run import (
    ItemDeadLettered,
    ItemFailed,
    ItemRetried,
    RunFinished,
    RunOutcome,
    RunProgress,
    RunStarted,
    StageTimed,
    WorkerExited,
)
from runner.spec.failures import OnError
from runner.watch.state import RunState

NEO: dict[str, Any] = {"worker": "neo", "stage": "chef"}
_ORDER: dict[str, Any] = {**NEO, "queue": "orders", "item": "41", "error": "ValueError: no"}


def watched(*events: Event) -> RunState:
    """What is known after these events, a second apart, of which the first was at 1000."""
    state = RunState()
    for place, event in enumerate(events):
        state.observe(event.stamped(1000.0 + place, "3f2a77aa"))
    return state


def started(workflow: str = "shop", **more: Any) -> RunStarted:
    common = {"workers": 2, "daemon": False}
    stages: list[Any] = [
        {"name": "lister", "role": "producer", "from": None, "to": "orders", "targets": ["orders"], **common},
        {"name": "chef", "role": "consumer", "from": "orders", "to": None, "targets": [], **common},
    ]
    queues: list[Any] = [{"name": "orders", "maxsize": 10}]
    return RunStarted(
        workflow=workflow, file="shop.yaml", transport="leased", pid=7, stages=stages, queues=queues, **more
    )


def progress(alive: int = 2, waiting: int = 0, **chef: float) -> RunProgress:
    """A snapshot with these counts of the chef."""
    stages: list[Any] = [_counts("lister", alive), {**_counts("chef", alive), **chef}]
    return RunProgress(elapsed=1.0, stages=stages, queues=[{**account(waiting), "size": waiting}])


def account(waiting: int = 0, done: int = 0) -> Any:
    nothing = dict.fromkeys(
        ("leased", "done_before", "dropped", "duplicates", "dead_lettered", "lost", "bytes", "peak_bytes"), 0
    )
    bounds = {"maxsize": 10, "max_bytes": None, "joined": False, "full_seconds": 0.5, "peak": waiting}
    return {"name": "orders", "put": waiting + done, "waiting": waiting, "done": done, **nothing, **bounds}


def _counts(name: str, alive: int) -> dict[str, Any]:
    counters = dict.fromkeys(("received", "sent", "done", "failed", "retried"), 0)
    times = dict.fromkeys(("busy", "starved", "blocked"), 0.0)
    return {"name": name, "workers": 2, "alive": alive, **counters, **times, "read": None, "to_read": None}


def timed(items: int, seconds: float = 0.02) -> StageTimed:
    return StageTimed.of("chef", ItemTimes({bucket_of(int(seconds * 1e9)): items}))


def item_failed(action: OnError) -> ItemFailed:
    return ItemFailed(**_ORDER, action=action)


def item_retried() -> ItemRetried:
    return ItemRetried(**_ORDER, attempt=1, delay=0.0)


def letter() -> ItemDeadLettered:
    return ItemDeadLettered(**_ORDER, attempts=2, letter="1")


def exited(**more: Any) -> WorkerExited:
    counters = dict.fromkeys(("received", "sent", "done", "failed", "retried"), 0)
    times = dict.fromkeys(("busy", "starved", "blocked"), 0.0)
    usual = {"outcome": "finished", "exitcode": 0, "signal": None, "reason": "nothing left to do"}
    return WorkerExited(**{**NEO, "pid": 9, "generation": 1, **usual, **counters, **times, **more})


def finished(**chef: Any) -> tuple[Event, ...]:
    """The chef ends with these counts, and the run with him."""
    done = chef.get("done", 0)
    end = RunFinished(
        outcome=RunOutcome.DONE, exitcode=0, reason=None, seconds=2.0, queues=[account(done=done)]
    )
    return exited(**chef), end
