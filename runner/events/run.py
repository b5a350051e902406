"""The events of a run: of its workers, its stages and queues, its items, and of the run itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Self, TypedDict

from runner.events.base import Event, carries
from runner.events.item_times import ItemTimes, begin_of
from runner.spec.failures import OnError


class RunOutcome(StrEnum):
    """What a run came to."""

    DONE = "done"
    FAILED = "failed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


class WorkerOutcome(StrEnum):
    """How a worker's process came to its end."""

    FINISHED = "finished"
    STOPPED = "stopped"
    DIED = "died"


# What lists in events hold is what their JSON holds.

StageDeclared = TypedDict(
    "StageDeclared",
    {
        "name": str,
        "role": str,
        "workers": int,
        "daemon": bool,
        "from": str | None,
        "to": str | None,
        "targets": list[str],
        "total": int | None,
    },
)


class QueueDeclared(TypedDict):
    """A queue that is about to exist."""

    name: str
    maxsize: int | None


class StageCounts(TypedDict):
    """
    A stage up to now: its workers, and the sums of what these have counted. Times in seconds.

    How far a source has come is `read` of `to_read`, bytes or items; null where the whole is not known.
    """

    name: str
    workers: int
    alive: int
    received: int
    sent: int
    done: int
    failed: int
    retried: int
    busy: float
    starved: float
    blocked: float
    read: int | None
    to_read: int | None


class QueueCounts(TypedDict):
    """The account of a queue, as the ledger has it. Times in seconds."""

    name: str
    maxsize: int | None
    put: int
    waiting: int
    leased: int
    done: int
    done_before: int
    dropped: int
    duplicates: int
    dead_lettered: int
    lost: int
    peak: int
    max_bytes: int | None
    bytes: int
    peak_bytes: int
    full_seconds: float
    joined: bool


class WorkerCounts(TypedDict):
    """
    A worker up to now, and what it is at. Times in seconds; they count what goes on up to the moment of the event.

    `state` is busy, starved, blocked or idle. `item` is what it has in hand since `since`, in seconds since 1970: null
    where it has none, or one without a name.
    """

    worker: str
    stage: str
    pid: int
    generation: int
    state: str
    waits_for: str | None
    received: int
    sent: int
    done: int
    failed: int
    retried: int
    busy: float
    starved: float
    blocked: float
    item: str | None
    since: float | None


class TimeBucket(TypedDict):
    """How many items took `least` seconds or more, and less than those of the next bucket, an eighth more or less."""

    bucket: int
    least: float
    items: int


class QueueProgress(QueueCounts):
    """The account of a queue up to now."""

    size: int


_WHY = "Why, in words."
_ITEM = "The item's repr, cut to a readable length."
_QUEUE = "The queue's name."
_POSITION = "Where a source has found what it could make no item of, such as `access.log:17`; null elsewhere."
_ERROR = "The exception, as `Type: message`."
_TRACEBACK = "The traceback, without mprun's own frames."
_GENERATION = "1 for the first process of this name; grows when the worker is restarted."
_EXITCODE = "The exit code; null if a signal ended it."


class Problem(TypedDict):
    """One thing that is wrong in a file, as `mprun validate --format json` has it."""

    file: str
    line: int
    column: int
    width: int
    code: str
    severity: str
    message: str
    help: str | None
    used: list[dict[str, Any]]
    """For what stands in a template: the `file`, `line` and `column` of each place of use, and its `name`."""


class RunRefused(Event, kind="run.refused", level="error"):
    """There is no run: the file does not check, or it could not be started, or broke off. `run` is empty."""

    error: str = carries(_WHY)
    exitcode: int = carries("What the shell will be told.")
    problems: Sequence[Problem] = carries(
        "What is wrong in the file, all of it; none where it is something else."
    )


class RunStarted(Event, kind="run.started"):
    """The file checked and its processes are about to start."""

    workflow: str = carries("The workflow's name.")
    file: str = carries("The workflow file.")
    transport: str = carries("How queues and workers exist.")
    pid: int = carries("The supervisor's process id.")
    stages: Sequence[StageDeclared] = carries("One object a stage.")
    queues: Sequence[QueueDeclared] = carries("One object a queue; `maxsize` null is unbounded.")
    jobs: int | None = carries("How many jobs there are; each leg of a matrix is one.", default=None)


class RunResumed(Event, kind="run.resumed"):
    """Another runner goes on with a run that was killed, or has ended before its end. Follows `run.started`."""

    incarnation: int = carries("Which of its runners this one is; the first was 1.")
    done: int = carries("Items that had come to the end of their way.")
    unfinished: int = carries(
        "Items that wait to be handed out, those that were in a worker's hands among them."
    )
    in_hand: int = carries("How many of them were in a worker's hands.")
    ended: Sequence[str] = carries("Workers that had come to their own end; they are not started again.")


class RunProgress(Event, kind="run.progress", level="debug"):
    """A snapshot while the run goes on, for whoever draws it."""

    elapsed: float = carries("Seconds since the start.")
    stages: Sequence[StageCounts] = carries("One object a stage, with the sums of its workers' counters.")
    queues: Sequence[QueueProgress] = carries("One object a queue: the ledger's counts, and its `size` now.")
    cut_at: float | None = carries(
        "When the last cut was taken from which `mprun resume` could go on, in seconds since 1970. Left out where this "
        "runner has kept none yet, or keeps none.",
        default=None,
    )
    record_trouble: str | None = carries(
        "What is missing in the record by now, and why. Left out where nothing is, or where no record is wanted.",
        default=None,
    )


class RunWorkers(Event, kind="run.workers", level="debug"):
    """What workers are at, while the run goes on: those of whom there is something new, and not all of many at once."""

    workers: Sequence[WorkerCounts] = carries("One object a worker.")


class RunStopping(Event, kind="run.stopping", level="warning"):
    """The run was asked to stop, or has to."""

    reason: str = carries(_WHY)
    signal: str | None = carries("The signal that asked; null if none did.")
    alive: Sequence[str] = carries("The names of the workers still running.")


class RunFinished(Event, kind="run.finished"):
    """Nothing of the run is left but this record."""

    outcome: RunOutcome = carries("What the run came to.")
    exitcode: int = carries("What the shell will be told.")
    reason: str | None = carries("The root cause where it is not done.")
    seconds: float = carries("From `run.started` to here.")
    queues: Sequence[QueueCounts] = carries("One object a queue: the ledger's counts.")
    resumable: bool = carries(
        "Whether `mprun resume` would go on with the run at once. False where it is done, or has no record.",
        default=False,
    )

    @property
    def level(self) -> str:
        """An error if the run failed, so that a log of nothing but errors says why."""
        return "error" if self.exitcode != 0 else self.usual_level


class EventsDropped(Event, kind="events.dropped", level="warning"):
    """Whoever should have shown events was too slow; these many are missing. The work itself did not wait."""

    count: int = carries("How many events are missing.")


class ServerListening(Event, kind="server.listening"):
    """A stage listens: clients may connect, and wait until its workers are there."""

    stage: str = carries("The stage's name.")
    host: str = carries("The address it listens on.")
    port: int = carries("The port; the one that the system chose, where the file says 0.")


class ManagerSpawned(Event, kind="manager.spawned"):
    """The process that holds the shared objects was started, before any worker."""

    pid: int = carries("Its process id.")
    ppid: int = carries("Its parent's process id: the supervisor's.")
    objects: Sequence[str] = carries("The names of the objects, as declared under `shared`.")


class ManagerExited(Event, kind="manager.exited"):
    """The process that held the shared objects has ended. If it did so before the workers, the run fails."""

    pid: int = carries("Its process id.")
    exitcode: int | None = carries(_EXITCODE)
    signal: str | None = carries("The signal that ended it; SIGKILL at the end of the run.")
    reason: str = carries(_WHY)


class WorkerEvent(Event):
    """Something that happened to a worker."""

    worker: str = carries("The worker's name.")
    stage: str = carries("The stage the worker belongs to.")


class WorkerRestarted(WorkerEvent, kind="worker.restarted", level="warning"):
    """A worker that died gets a successor of the same name; that it exists is `worker.spawned`."""

    generation: int = carries("The number of the process to come.")
    reason: str = carries("How the last one ended.")


class ProcessEvent(WorkerEvent):
    """Something that happened to the process of a worker."""

    pid: int = carries("The worker's process id.")


class WorkerSpawned(ProcessEvent, kind="worker.spawned"):
    """A process was started."""

    ppid: int = carries("Its parent's process id: the supervisor's.")
    generation: int = carries(_GENERATION)
    daemon: bool = carries("Whether the stage keeps the run alive (false) or not (true).")


class WorkerReady(ProcessEvent, kind="worker.ready", level="debug"):
    """The worker has its handler and begins."""


class WorkerLogged(ProcessEvent, kind="worker.logged"):
    """A handler said something through `worker.log`."""

    level: str = carries("How loud the handler said it.", default="info")
    message: str = carries("What it said.")
    fields: Mapping[str, Any] = carries("What it said it about.")


class WorkerStacks(ProcessEvent, kind="worker.stacks", level="warning"):
    """The Python stacks of a worker that overran its time: on an item, to stop, or with the run waiting for it."""

    stacks: str = carries("One stack a thread.")


class WorkerClosing(ProcessEvent, kind="worker.closing"):
    """The worker was asked to finish the item in its hand, to take no other, and to close."""

    reason: str = carries(_WHY)


class StateCheckpointed(ProcessEvent, kind="state.checkpointed", level="debug"):
    """The state of the worker's handler was kept. Told the first time, then every few seconds, and at the end."""

    count: int = carries("How often, since this was last told.")
    bytes: int = carries("How long the last one is, pickled.")


class StateHeld(ProcessEvent, kind="state.held", level="warning"):
    """The worker's handler was found to hold something of items that are done: its death would lose that."""

    what: str = carries("What it holds: the first that was found. Nobody looks any further.")


class WorkerTerminating(ProcessEvent, kind="worker.terminating"):
    """The worker was asked to end; that it has ended is `worker.exited`."""

    signal: str = carries("The signal sent, such as SIGTERM.")
    reason: str = carries(_WHY)


class WorkerExited(ProcessEvent, kind="worker.exited"):
    """The process has ended and was reaped."""

    generation: int = carries(_GENERATION)
    exitcode: int | None = carries(_EXITCODE)
    signal: str | None = carries("The signal that ended it, such as SIGKILL; else null.")
    outcome: WorkerOutcome = carries("How it came to its end; `stopped`: mprun asked for it.")
    reason: str = carries(_WHY)
    items: Sequence[str] = carries("Reprs of the items at stake: taken and not acknowledged.", default=())
    traceback: str = carries(_TRACEBACK, default="")
    restarting: bool = carries("Whether another takes its place.", default=False)
    received: int = carries("Items the worker took from its queue.")
    sent: int = carries("Items it put on its queue.")
    done: int = carries("Items it acknowledged.")
    failed: int = carries("Items that failed for good.")
    retried: int = carries("How often its handler raised on an item that is tried again.")
    busy: float = carries("Seconds inside the handler.")
    starved: float = carries("Seconds waiting for an item.")
    blocked: float = carries("Seconds waiting for room in the queue it writes to, or for a lock.")


class StageFinished(Event, kind="stage.finished"):
    """The last worker of a stage has ended."""

    stage: str = carries("The stage's name.")
    workers: int = carries("How many it had.")


class StageTimed(Event, kind="stage.timed", level="debug"):
    """How long the items of a stage took its handlers so far. Told every few seconds, and at the end."""

    stage: str = carries("The stage's name.")
    buckets: Sequence[TimeBucket] = carries(
        "Its items by how long they took: `items` of them `least` seconds or more, up to an eighth longer."
    )
    slowest: float | None = carries("Seconds of the slowest that was measured alone; null where none was.")
    slowest_item: str | None = carries("Its repr, cut to a readable length; null where it has no name.")

    @classmethod
    def of(cls, stage: str, times: ItemTimes) -> Self:
        """Make it of what was counted."""
        counts = sorted(times.counts.items())
        return cls(
            stage=stage,
            buckets=[{"bucket": n, "least": begin_of(n), "items": items} for n, items in counts],
            slowest=times.slowest or None,
            slowest_item=times.slowest_item or None,
        )

    def times(self) -> ItemTimes:
        """What was counted."""
        counts = {each["bucket"]: each["items"] for each in self.buckets}
        return ItemTimes(counts, self.slowest or 0.0, self.slowest_item or "")


class QueueJoined(Event, kind="queue.joined"):
    """Every writer has finished and every item of the queue is accounted for."""

    queue: str = carries(_QUEUE)
    put: int = carries("Items put.")
    done: int = carries("Items done.")


class ItemEvent(WorkerEvent):
    """Something that happened to an item in a worker's hand."""

    queue: str | None = carries("The queue the item came from; null for a producer.")
    item: str = carries(_ITEM)


class ItemFailed(ItemEvent, kind="item.failed", level="error"):
    """A handler raised on an item."""

    error: str = carries(_ERROR)
    traceback: str = carries(_TRACEBACK, default="")
    action: OnError = carries("What becomes of it.")
    position: str | None = carries(_POSITION, default=None)

    @property
    def level(self) -> str:
        """A failure that the stage bears is a warning."""
        return self.usual_level if self.action is OnError.FAIL else "warning"


class ItemRetried(ItemEvent, kind="item.retried", level="warning"):
    """A handler raised on an item, which will be handed out again."""

    queue: str = carries(_QUEUE)
    error: str = carries(_ERROR)
    traceback: str = carries(_TRACEBACK, default="")
    attempt: int = carries("The number of the hand-over, 1 first.")
    delay: float = carries("Seconds until then.")


class ItemRedelivered(ItemEvent, kind="item.redelivered", level="warning"):
    """A worker died with an item in hand, which is handed out again, alone."""

    worker: str = carries("The worker that died.")
    queue: str = carries(_QUEUE)
    attempt: int = carries("The number of the hand-over to come.")


class FailedBatch(WorkerEvent, kind="batch.failed", level="warning"):
    """A handler raised on a batch, and gets it again in halves; or a worker died with one, and its items come alone."""

    queue: str = carries("The queue the items came from.")
    items: int = carries("How many items the batch has.")
    error: str = carries("The exception, as `Type: message`, or how the worker died.")
    traceback: str = carries(_TRACEBACK, default="")
    died: bool = carries("Whether the worker died of it, or at least with it in hand.")


class ItemDeadLettered(ItemEvent, kind="item.dead_lettered", level="warning"):
    """An item failed for good and left its queue as a dead letter, which is kept by now, or could not be."""

    error: str = carries("The exception of the last attempt, or how its worker died.")
    attempts: int = carries("How often it was handed out.")
    letter: str | None = carries(
        "The file that keeps it; null if it could not be written, and the item is lost."
    )
    trouble: str | None = carries("Why it could not be written.", default=None)
    position: str | None = carries(_POSITION, default=None)

    @property
    def level(self) -> str:
        """A letter that is lost ends the run."""
        return self.usual_level if self.trouble is None else "error"


class FailuresRepeated(WorkerEvent, kind="failures.repeated", level="warning"):
    """More items failed as one did before, of which the log tells in full; it has this instead of a line for each."""

    worker: str = carries("The worker of the last of them.")
    error: str = carries("The exception of the first of their kind, which was told in full.")
    seconds: float = carries("The time in which they did.")
    failed: int = carries("How many failed for good.")
    dead_lettered: int = carries("How many became dead letters.")
    retried: int = carries("How often a handler raised on one that is handed out again.")
    redelivered: int = carries("How many were handed out again since their worker died.")
    item: str | None = carries("The last item's repr, cut to a readable length.")
    position: str | None = carries(_POSITION, default=None)
    level: str = carries("As loud as the loudest of them.", default="warning")


class ItemDropped(Event, kind="item.dropped", level="warning"):
    """Items left the run without being done: a handler failed on them, or their queue was full and drops items."""

    queue: str = carries(_QUEUE)
    count: int = carries("How many.")
    reason: str = carries(_WHY)
