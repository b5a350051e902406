"""Events: one frozen record for each change in the life of a run, a worker, a queue or an item.

    supervisor ──publish──► Bus ──► report · logs · progress          equal subscribers; one that raises is dropped

`DECLARATIONS` says which events there are and what each carries: `event.schema.json`, the reference page and the
check in `Bus.publish` are made from it. Those of jobs are declared in `events_jobs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from runner.event_kinds import Declaration, EventField, carries
from runner.events_jobs import JOB_DECLARATIONS


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `at` is seconds since the epoch; `fields` are the event's own."""

    name: str
    at: float
    run: str
    fields: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Flatten to what a JSON line holds; the time is ISO 8601 in UTC with microseconds."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"event": self.name, "at": at, "run": self.run, **self.fields}


class Observer(Protocol):
    """Whoever wants to see events. Called in the supervisor's own loop, so it must not block."""

    def observe(self, event: Event) -> None:
        """Take note of one event."""

    def close(self) -> None:
        """The run is over: flush. Called once, also after a failure."""


_WORKER = EventField("string", "The worker's name.")
_STAGE = EventField("string", "The stage the worker belongs to.")
_QUEUE = EventField("string", "The queue's name.")
_PID = EventField("integer", "The worker's process id.")
_GENERATION = EventField(
    "integer", "1 for the first process of this name; grows when the worker is restarted."
)
_ITEM = EventField("string", "The item's repr, cut to a readable length.")
_REASON = EventField("string", "Why, in words.")
_ERROR = EventField("string", "The exception, as `Type: message`.")
_TRACEBACK = EventField("string", "The traceback, without mprun's own frames.", required=False)
_ATTEMPT = EventField("integer", "The number of the hand-over, 1 first.")
_ACCOUNTS = EventField("array", "One object a queue: the ledger's counts.")

# What a worker's counters are called in `worker.exited` and `run.progress`.
COUNTERS: Mapping[str, EventField] = carries(
    received=EventField("integer", "Items the worker took from its queue."),
    sent=EventField("integer", "Items it put on its queue."),
    done=EventField("integer", "Items it acknowledged."),
    failed=EventField("integer", "Items its handler raised on."),
    busy=EventField("number", "Seconds inside the handler."),
    starved=EventField("number", "Seconds waiting for an item."),
    blocked=EventField("number", "Seconds waiting for room in the queue it writes to, or for a lock."),
)

DECLARATIONS: Mapping[str, Declaration] = {
    "run.started": Declaration(
        "The file checked and its processes are about to start.",
        "info",
        carries(
            workflow=EventField("string", "The workflow's name."),
            file=EventField("string", "The workflow file."),
            transport=EventField("string", "How queues and workers exist."),
            pid=EventField("integer", "The supervisor's process id."),
            stages=EventField("array", "One object a stage: name, role, workers, daemon, from, to."),
            queues=EventField("array", "One object a queue: name and maxsize (null is unbounded)."),
            jobs=EventField(
                "integer", "How many jobs there are; each leg of a matrix is one.", required=False
            ),
        ),
    ),
    "server.listening": Declaration(
        "A stage listens: clients may connect, and wait until its workers are there.",
        "info",
        carries(
            stage=EventField("string", "The stage's name."),
            host=EventField("string", "The address it listens on."),
            port=EventField("integer", "The port; the one that the system chose, where the file says 0."),
        ),
    ),
    "keeper.spawned": Declaration(
        "The process that holds the shared objects was started, before any worker.",
        "info",
        carries(
            pid=EventField("integer", "Its process id."),
            ppid=EventField("integer", "Its parent's process id: the supervisor's."),
            objects=EventField("array", "The names of the objects, as declared under `shared`."),
        ),
    ),
    "keeper.exited": Declaration(
        "The process that held the shared objects has ended. If it did so before the workers, the run fails.",
        "info",
        carries(
            pid=EventField("integer", "Its process id."),
            exitcode=EventField(("integer", "null"), "The exit code; null if a signal ended it."),
            signal=EventField(("string", "null"), "The signal that ended it; SIGKILL at the end of the run."),
            reason=_REASON,
        ),
    ),
    "worker.spawned": Declaration(
        "A process was started.",
        "info",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            pid=_PID,
            ppid=EventField("integer", "Its parent's process id: the supervisor's."),
            generation=_GENERATION,
            daemon=EventField("boolean", "Whether the stage keeps the run alive (false) or not (true)."),
        ),
    ),
    "worker.ready": Declaration(
        "The worker has its handler and begins.", "debug", carries(worker=_WORKER, stage=_STAGE, pid=_PID)
    ),
    "worker.terminating": Declaration(
        "The worker was asked to end; that it has ended is `worker.exited`.",
        "info",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            pid=_PID,
            signal=EventField("string", "The signal sent, such as SIGTERM."),
            reason=_REASON,
        ),
    ),
    "worker.exited": Declaration(
        "The process has ended and was reaped.",
        "info",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            pid=_PID,
            generation=_GENERATION,
            exitcode=EventField(("integer", "null"), "The exit code; null if a signal ended it."),
            signal=EventField(("string", "null"), "The signal that ended it, such as SIGKILL; else null."),
            outcome=EventField("string", "finished, stopped (mprun asked for it) or died."),
            reason=_REASON,
            items=EventField(
                "array", "Reprs of the items at stake: taken and not acknowledged.", required=False
            ),
            traceback=_TRACEBACK,
            restarting=EventField("boolean", "Whether another takes its place.", required=False),
            **COUNTERS,
        ),
    ),
    "worker.restarted": Declaration(
        "A worker that died gets a successor of the same name; that it exists is `worker.spawned`.",
        "warning",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            generation=EventField("integer", "The number of the process to come."),
            reason=EventField("string", "How the last one ended."),
        ),
    ),
    "worker.logged": Declaration(
        "A handler said something through `worker.log`.",
        "info",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            pid=_PID,
            message=EventField("string", "What it said."),
            fields=EventField("object", "What it said it about."),
        ),
    ),
    "worker.stacks": Declaration(
        "The Python stacks of a worker that overran its time: on an item, to stop, or with the run waiting for it.",
        "warning",
        carries(worker=_WORKER, stage=_STAGE, pid=_PID, stacks=EventField("string", "One stack a thread.")),
    ),
    "stage.finished": Declaration(
        "The last worker of a stage has ended.",
        "info",
        carries(stage=_STAGE, workers=EventField("integer", "How many it had.")),
    ),
    "queue.joined": Declaration(
        "Every writer has finished and every item of the queue is accounted for.",
        "info",
        carries(
            queue=_QUEUE, put=EventField("integer", "Items put."), done=EventField("integer", "Items done.")
        ),
    ),
    "item.failed": Declaration(
        "A handler raised on an item.",
        "error",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            queue=EventField(("string", "null"), "The queue the item came from; null for a producer."),
            item=_ITEM,
            error=_ERROR,
            traceback=_TRACEBACK,
            action=EventField("string", "What becomes of it: fail, skip or dead_letter."),
        ),
    ),
    "item.retried": Declaration(
        "A handler raised on an item, which will be handed out again.",
        "warning",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            queue=_QUEUE,
            item=_ITEM,
            error=_ERROR,
            traceback=_TRACEBACK,
            attempt=_ATTEMPT,
            delay=EventField("number", "Seconds until then."),
        ),
    ),
    "item.redelivered": Declaration(
        "A worker died with an item in hand, which is handed out again, alone.",
        "warning",
        carries(
            worker=EventField("string", "The worker that died."),
            stage=_STAGE,
            queue=_QUEUE,
            item=_ITEM,
            attempt=EventField("integer", "The number of the hand-over to come."),
        ),
    ),
    "item.dead_lettered": Declaration(
        "An item failed for good and left its queue as a dead letter.",
        "error",
        carries(
            worker=_WORKER,
            stage=_STAGE,
            queue=EventField(("string", "null"), "The queue the item came from; null for a producer."),
            item=_ITEM,
            error=EventField("string", "The exception of the last attempt, or how its worker died."),
            attempts=EventField("integer", "How often it was handed out."),
            letter=EventField(
                ("string", "null"),
                "The file that keeps it, a big item once all of it is copied; null if it could not be written, or is "
                "kept nowhere.",
            ),
            trouble=EventField("string", "Why it could not be written.", required=False),
        ),
    ),
    "item.dropped": Declaration(
        "Items left the run without being done: a handler failed on them, or their queue was full and drops items.",
        "warning",
        carries(queue=_QUEUE, count=EventField("integer", "How many."), reason=_REASON),
    ),
    "run.progress": Declaration(
        "A snapshot while the run goes on, for whoever draws it.",
        "debug",
        carries(
            elapsed=EventField("number", "Seconds since the start."),
            stages=EventField(
                "array", "One object a stage: name, alive, and the sum of its workers' counters."
            ),
            queues=EventField("array", "One object a queue: the ledger's counts, `size` now, and `maxsize`."),
        ),
    ),
    "run.stopping": Declaration(
        "The run was asked to stop, or has to.",
        "warning",
        carries(
            reason=_REASON,
            signal=EventField(("string", "null"), "The signal that asked, if one did.", required=False),
            alive=EventField("array", "The names of the workers still running."),
        ),
    ),
    "run.finished": Declaration(
        "Nothing of the run is left but this record.",
        "info",
        carries(
            outcome=EventField("string", "done, failed, timeout, interrupted or internal."),
            exitcode=EventField("integer", "What the shell will be told."),
            reason=EventField(("string", "null"), "The root cause where it is not done."),
            seconds=EventField("number", "From `run.started` to here."),
            queues=_ACCOUNTS,
        ),
    ),
    "events.dropped": Declaration(
        "Whoever should have shown events was too slow; these many are missing. The work itself did not wait.",
        "warning",
        carries(count=EventField("integer", "How many events are missing.")),
    ),
    **JOB_DECLARATIONS,
}


@dataclass(slots=True)
class Bus:
    """Hands each event to every observer. An observer that raises is dropped, and the run goes on.

    `dropped` holds those observers with what they raised, so that the end of the run can say so.
    """

    run: str
    clock: Callable[[], float] = time.time
    observers: list[Observer] = field(default_factory=list)
    dropped: list[tuple[Observer, Exception]] = field(default_factory=list)

    def publish(self, name: str, /, **fields: Any) -> None:
        """Tell all observers that `name` happened now. `name` must be declared."""
        DECLARATIONS[
            name
        ]  # a name nobody declared is our bug: fail here, in the test that first publishes it
        self.forward(Event(name, self.clock(), self.run, fields))

    def forward(self, event: Event) -> None:
        """Tell all observers of an event that was made elsewhere, such as in the process that this one serves."""
        for observer in tuple(self.observers):
            self._hand(observer, lambda o: o.observe(event))

    def close(self) -> None:
        """Let every observer flush."""
        for observer in tuple(self.observers):
            self._hand(observer, lambda o: o.close())

    def _hand(self, observer: Observer, action: Callable[[Observer], None]) -> None:
        try:
            action(observer)
        except Exception as error:  # an observer is a guest: whatever it raises must not end the run
            self.observers.remove(observer)
            self.dropped.append((observer, error))


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event line."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mprun event",
        "description": "One line of `mprun`'s JSON log or of `--events FILE`.",
        "type": "object",
        "required": ["event"],
        "properties": {"event": {"enum": sorted(DECLARATIONS)}},
        "oneOf": [_one_event(name, declared) for name, declared in sorted(DECLARATIONS.items())],
    }


def _one_event(name: str, declared: Declaration) -> dict[str, Any]:
    common = {
        "event": {"const": name},
        "at": {"type": "string", "format": "date-time", "description": "When, ISO 8601 in UTC."},
        "run": {"type": "string", "description": "The run's id."},
        "level": {"enum": ["debug", "info", "warning", "error"], "description": "How loud the event is."},
    }
    own = {
        key: {"type": list(f.type) if isinstance(f.type, tuple) else f.type, "description": f.description}
        for key, f in declared.fields.items()
    }
    required = [key for key, f in declared.fields.items() if f.required]
    return {
        "title": name,
        "description": declared.summary,
        "properties": {**common, **own},
        "required": ["event", "at", "run", *required],
        "additionalProperties": False,
    }
