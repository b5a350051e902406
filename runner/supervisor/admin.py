"""The admin API of a run that is under way: what it can be asked and told, and its answers.

    request ──► AdminApi ──► RunController ──► snapshot          from the worker table and the metrics
                                               stop, end_worker  the supervisor's own ways of stopping, without loss
                                               resize            more workers, or some finish what they hold and end

{"do": "status"}                                     workers, queues, phase
{"do": "stop"}                                       as the first Ctrl-C
{"do": "stop", "worker": "c1"}                       a reader closes, others get SIGTERM; asked again, SIGKILL
{"do": "stop", "job": "test"}                        cancel one job, for a `reason` if there is one
{"do": "scale", "stage": "eater", "count": 4}        more workers, or fewer
{"do": "tap", "key": "1", "of": "pages"}             some of the items that pass there, since it was asked last
{"do": "stacks", "worker": "c1"}                     the Python stacks of its threads, now
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.errors import StartFailed, UsageError
from runner.facts import dataclass
from runner.handlers.registry import writes_of
from runner.ipc.status_page import Counters
from runner.spec.model import MOST_WORKERS, Role
from runner.spec.plan import Plan, StagePlan, WorkerPlan
from runner.spec.suggestions import did_you_mean
from runner.supervisor.feeder import NO_FEEDER, Feeder
from runner.supervisor.restart import WorkerSpawner
from runner.supervisor.shutdown import Phase
from runner.supervisor.taps import Taps
from runner.supervisor.workers import (
    FROM_OUTSIDE,
    SCALED_DOWN,
    RunMetrics,
    WorkerState,
    WorkerTable,
)
from runner.text import REPR_WIDTH, safe_repr
from runner.transports.base import Transport

_LONGEST_STACKS = 16 * 1024
"""Characters: an answer is to fit into the buffer of a socket."""


class AdminApi:
    """Turns requests into calls, and mistakes into answers."""

    def __init__(self, run: RunController) -> None:
        self._run = run
        self._handlers: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "status": self._status,
            "stop": self._stop,
            "scale": self._scale,
            "tap": self._tap,
            "stacks": self._stacks,
        }

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked and say what came of it; `{"error": why}` where it can't be done. Never raises."""
        try:
            return self._handlers[_known("a run can't be asked to", request.get("do"), list(self._handlers))](
                request
            )
        except UsageError as error:
            return {"error": str(error)}

    def _status(self, request: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - each answer gets the request
        return self._run.snapshot()

    def _stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if "job" in request:
            reason = str(request.get("reason") or "it was stopped by `mprun stop --job`")
            return {"cancelled": self._run.cancel_job(str(request["job"]), reason)}
        if "worker" not in request:
            self._run.stop_from_outside()
            return {"stopping": True}
        snapshot = self._run.snapshot()
        if snapshot.get("jobs"):
            raise UsageError(
                "this run has jobs, and its workers take them in turn; one job is stopped by --job"
            )
        worker = _living(snapshot, request["worker"])
        return {"terminating": worker, "signal": self._run.end_worker(worker)}

    def _stacks(self, request: Mapping[str, Any]) -> dict[str, Any]:
        worker = _living(self._run.snapshot(), request.get("worker"))
        return {"worker": worker, "stacks": self._run.stacks(worker)[:_LONGEST_STACKS]}

    def _scale(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stages = [each["name"] for each in self._run.snapshot()["stages"]]
        stage = _known("the run has no stage", request.get("stage"), stages)
        count = request.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_WORKERS:
            raise UsageError(f"a stage has 1 to {MOST_WORKERS} workers, got {safe_repr(count)}")
        self._run.resize(stage, count)
        return {"stage": stage, "count": count}

    def _tap(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._run.tap(request)


def _living(snapshot: Mapping[str, Any], name: object) -> str:
    """Return the worker that is named, if it lives."""
    states = {each["worker"]: each["state"] for each in snapshot["workers"]}
    worker = _known("the run has no worker", name, list(states))
    state = states[worker]
    if state not in ("alive", "terminating"):
        raise UsageError(
            f"worker '{worker}' {'has ended already' if state == 'ended' else 'has not begun yet'}"
        )
    return worker


def _known(otherwise: str, name: object, known: Sequence[str]) -> str:
    if isinstance(name, str) and name in known:
        return name
    shown = name if isinstance(name, str) and len(name) <= REPR_WIDTH else safe_repr(name)
    raise UsageError(f"{otherwise} '{shown}'; {did_you_mean(shown, known)}")


@dataclass(frozen=True, slots=True)
class ControlHooks:
    """What the supervisor lets others move."""

    phase: Callable[[], Phase]
    elapsed: Callable[[], float]
    interrupt: Callable[[], None]
    ask_to_end: Callable[[WorkerState, signal.Signals, str], None]
    dismiss: Callable[[WorkerState, str], None]
    """Have a reader close, and end it where it does not."""


class RunController:
    """One run, from its first worker to its last."""

    def __init__(
        self,
        run: str,
        plan: Plan,
        transport: Transport,
        workers: WorkerTable,
        metrics: RunMetrics,
        spawner: WorkerSpawner,
        hooks: ControlHooks,
        feeder: Feeder = NO_FEEDER,
        taps: Taps | None = None,
    ) -> None:
        self._run = run
        self._plan = plan
        self._transport = transport
        self._workers = workers
        self._metrics = metrics
        self._spawner = spawner
        self._hooks = hooks
        self._feeder = feeder
        self._taps = taps or Taps(plan, transport, workers)

    def tap(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Show some of the items that pass. Raises `UsageError` where nothing can be seen."""
        return self._taps.answer(request)

    def snapshot(self) -> dict[str, Any]:
        """Tell workers, queues and phase, as JSON can hold it."""
        return {
            "run": self._run,
            "workflow": self._plan.name,
            "file": str(self._plan.path),
            "transport": self._plan.transport,
            "pid": os.getpid(),
            "phase": self._hooks.phase().name.lower(),
            "elapsed": self._hooks.elapsed(),
            "stages": self._metrics.stage_lines(),
            "workers": [self._line(worker) for worker in self._metrics.worker_states()],
            "queues": [account.as_fields() for account in self._metrics.accounts()],
            "jobs": self._feeder.status(),
        }

    def stop_from_outside(self) -> None:
        """Begin to stop, as at the first Ctrl-C; asked again, kill."""
        self._hooks.interrupt()

    def cancel_job(self, name: str, reason: str) -> list[str]:
        """Cancel a job, or one leg of it, and return which legs these are.

        Raises:
            UsageError: there is none of that name, or it is over.
        """
        return self._feeder.cancel(name, reason)

    def end_worker(self, name: str) -> str:
        """
        Have one worker close that reads a queue, or send it SIGTERM; nobody takes its place. Asked again: SIGKILL.

        Returns the signal's name, if it is sent one now.

        Raises:
            UsageError: items would be lost, or left without a reader.
        """
        worker = self._workers[name]
        again = worker.asked_at is not None
        if not again:
            self._refuse_to_lose(worker)
            if worker.plan.receives is not None:
                worker.retired = True
                self._hooks.dismiss(worker, FROM_OUTSIDE)
                return ""
        number = signal.SIGKILL if again else signal.SIGTERM
        self._hooks.ask_to_end(worker, number, FROM_OUTSIDE)
        return number.name

    def stacks(self, name: str) -> str:
        """Ask a worker for its Python stacks; empty where it does not answer within a moment."""
        return self._transport.stacks([name]).get(name, "")

    def resize(self, stage: str, count: int) -> None:
        """Bring a stage to `count` workers.

        Raises:
            UsageError: the transport can't, the stage does not run, or the system has no more to give.
        """
        plan = next(each for each in self._plan.stages if each.name == stage)
        self._refuse_unscalable(plan)
        if (
            count > 1
            and (writes := writes_of(plan.spec.handler, plan.role)) is not None
            and writes.alone is not None
        ):
            raise UsageError(f"stage '{stage}' can't have {count} workers: {writes.alone[0]}")
        staying = [worker for worker in self._workers.alive(stage) if not worker.retired]
        if not staying:
            raise UsageError(f"stage '{stage}' has no worker: it has not begun, or has ended")
        for worker in staying[count:]:
            self._retire(worker)
        for _ in range(count - len(staying)):
            self._add(self._another(plan.workers[0]))

    def _refuse_to_lose(self, worker: WorkerState) -> None:
        name, queue = worker.plan.name, worker.plan.receives
        if not self._transport.outlives_workers and (queue or worker.plan.targets):
            raise UsageError(
                f"under `transport: {self._plan.transport}` worker '{name}' would take along what it holds, maybe a "
                "lock of its queue; the whole run can be stopped, without --worker"
            )
        if queue is None:
            return
        if any(each.name == queue and each.shard_by is not None for each in self._plan.queues):
            raise UsageError(f"no other worker may take the shard of '{name}'; kill it, and it is replaced")
        if not any(self._may_read(other, queue) for other in self._workers.all() if other is not worker):
            raise UsageError(
                f"worker '{name}' is the last that reads queue '{queue}'; kill it (pid {worker.pid}) and it is "
                "replaced, or stop the whole run, without --worker"
            )

    @staticmethod
    def _may_read(worker: WorkerState, queue: str) -> bool:
        leaving = worker.retired or worker.asked_to_end is not None
        return worker.plan.receives == queue and not leaving and (worker.alive or not worker.generation)

    def _refuse_unscalable(self, stage: StagePlan) -> None:
        if not self._transport.outlives_workers:
            raise UsageError(
                f"only a run under `transport: leased` can be scaled; this is '{self._plan.transport}'"
            )
        if self._hooks.phase() is not Phase.RUNNING:
            raise UsageError("the run is being stopped")
        if self._plan.jobs:
            raise UsageError("how many jobs run at once is said when the run is started: mprun run --jobs N")
        if stage.spec.shard_by is not None:
            raise UsageError(
                f"stage '{stage.name}' is sharded: with another count its keys would change workers"
            )
        if stage.serial:
            raise UsageError(f"the workers of stage '{stage.name}' run one after the other (`start: serial`)")
        if pipe := next((each for each in self._plan.pipes if stage.name in each.ends), None):
            raise UsageError(
                f"stage '{stage.name}' is one end of the pipe '{pipe.name}', which is one worker's"
            )
        from runner.handlers.listeners import address_of

        shares_work = stage.receives is not None or address_of(stage) is not None
        if not shares_work:
            what = "makes items" if stage.role is Role.PRODUCER else "reads no queue"
            raise UsageError(
                f"stage '{stage.name}' {what}: another worker would do its work once more, not share it"
            )

    def _retire(self, worker: WorkerState) -> None:
        """A reader ends where its stream would; a plain worker has none, and is asked."""
        worker.retired = True
        if worker.plan.role is Role.PLAIN:
            self._hooks.ask_to_end(worker, signal.SIGTERM, SCALED_DOWN)
        else:
            self._transport.retire(worker.plan.name)

    def _add(self, worker: WorkerPlan) -> None:
        try:
            self._spawner.spawn([self._workers.add(worker)])
        except StartFailed as error:
            raise UsageError(str(error)) from error

    def _another(self, like: WorkerPlan) -> WorkerPlan:
        taken = {worker.plan.name for worker in self._workers.all()}
        number = next(n for n in range(1, len(taken) + 2) if f"{like.stage}-{n}" not in taken)
        return replace(like, name=f"{like.stage}-{number}")

    def _line(self, worker: WorkerState) -> dict[str, Any]:
        state = "alive" if worker.alive else ("ended" if worker.generation else "to come")
        if worker.alive and worker.asked_at is not None:
            state = "terminating"
        done = self._metrics.counters(worker) if worker.generation else Counters()
        ended = None if worker.alive else worker.last_exit
        return {
            "worker": worker.plan.name,
            "stage": worker.plan.stage,
            "pid": worker.pid or None,
            "generation": worker.generation,
            "state": state,
            "received": done.received,
            "sent": done.sent,
            "failed": done.failed,
            "retried": done.retried,
            "asked_at": worker.asked_at,
            "ending": "" if ended is None else ended.reason,
            "exitcode": None if ended is None or ended.code < 0 else ended.code,
            "signal": None if ended is None else ended.signal_name,
            "ended_at": None if ended is None else worker.ended_at,
        }
