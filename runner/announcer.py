"""How the supervisor's acts read as events: one method an event, so that the loop itself stays short."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from runner.events import Bus
from runner.facts import Exited, ItemFailed, ItemJudged, ItemRedelivered, ItemsDropped, Logged
from runner.ledger import Account
from runner.listeners import Listening
from runner.plan import Plan
from runner.roster import Ending, Record
from runner.spec import OnError
from runner.status import Counters
from runner.transports.base import Spawned
from runner.verdict import Cause


class Announcer:
    """Publishes what happens to a run."""

    def __init__(self, bus: Bus, plan: Plan) -> None:
        self._publish = bus.publish
        self._plan = plan
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self._began

    def run_started(self) -> None:
        """Say what is about to exist."""
        self._publish(
            "run.started",
            workflow=self._plan.name,
            file=str(self._plan.path),
            transport=self._plan.transport,
            pid=os.getpid(),
            stages=[
                {
                    "name": stage.name,
                    "role": stage.role.value,
                    "workers": len(stage.workers),
                    "daemon": stage.daemon,
                    "from": stage.receives,
                    "to": stage.sends,
                }
                for stage in self._plan.stages
            ],
            queues=[{"name": queue.name, "maxsize": queue.maxsize} for queue in self._plan.queues],
            **({"jobs": sum(len(job.legs) for job in self._plan.jobs)} if self._plan.jobs else {}),
        )

    def listening(self, where: Listening) -> None:
        """Say where a stage can be reached."""
        self._publish("server.listening", stage=where.stage, host=where.host, port=where.port)

    def keeper_spawned(self, pid: int) -> None:
        """Say that the process of the shared objects exists."""
        objects = [each.name for each in self._plan.shared]
        self._publish("keeper.spawned", pid=pid, ppid=os.getpid(), objects=objects)

    def keeper_exited(self, exited: Exited, reason: str) -> None:
        """Say that it is gone."""
        code = exited.code if exited.code >= 0 else None
        self._publish(
            "keeper.exited", pid=exited.pid, exitcode=code, signal=exited.signal_name, reason=reason
        )

    def spawned(self, record: Record, spawned: Spawned) -> None:
        """Say that a worker exists."""
        self._publish(
            "worker.spawned",
            **_who(record),
            ppid=spawned.ppid,
            generation=record.generation,
            daemon=record.plan.daemon,
        )

    def ready(self, record: Record) -> None:
        """Say that a worker begins."""
        self._publish("worker.ready", **_who(record))

    def logged(self, record: Record, said: Logged) -> None:
        """Pass on what a handler wants logged."""
        self._publish(
            "worker.logged", **_who(record), level=said.level, message=said.message, fields=dict(said.fields)
        )

    def item_failed(self, record: Record, failure: ItemFailed) -> None:
        """Say that a handler raised on an item, and that the item is gone if it was in a queue."""
        self._publish(
            "item.failed",
            worker=record.plan.name,
            stage=record.plan.stage,
            queue=record.plan.receives,
            item=failure.item,
            error=failure.error,
            traceback=failure.traceback,
            action=failure.action,
        )
        if record.plan.receives is not None and failure.action != OnError.DEAD_LETTER:
            self._publish("item.dropped", queue=record.plan.receives, count=1, reason=failure.error)

    def items_dropped(self, fact: ItemsDropped) -> None:
        """Say that a full queue has dropped items."""
        self._publish("item.dropped", queue=fact.queue, count=fact.count, reason=fact.reason)

    def item_retried(self, record: Record, judged: ItemJudged) -> None:
        """Say that a handler raised on an item that is going to be tried again."""
        self._publish(
            "item.retried",
            **_whose(record),
            item=judged.failure.item,
            error=judged.failure.error,
            traceback=judged.failure.traceback,
            attempt=judged.attempt,
            delay=judged.delay,
        )

    def item_redelivered(self, record: Record, fact: ItemRedelivered) -> None:
        """Say that a dead worker's item goes to another."""
        self._publish("item.redelivered", **_whose(record), item=fact.item, attempt=fact.attempt)

    def item_dead_lettered(
        self, record: Record, item: str, error: str, attempts: int, kept: str | None, trouble: str
    ) -> None:
        """Say that an item failed for good, and where it is kept."""
        said = {"trouble": trouble} if trouble else {}
        self._publish(
            "item.dead_lettered",
            **_whose(record),
            item=item,
            error=error,
            attempts=attempts,
            letter=kept,
            **said,
        )

    def terminating(self, record: Record, number: signal.Signals, reason: str) -> None:
        """Say that a worker was asked to end."""
        self._publish("worker.terminating", **_who(record), signal=number.name, reason=reason)

    def stacks(self, record: Record, stacks: str) -> None:
        """Show what a worker is doing that overran its time to stop."""
        self._publish("worker.stacks", **_who(record), stacks=stacks)

    def restarted(self, record: Record) -> None:
        """Say that a worker's next generation is about to be born."""
        self._publish(
            "worker.restarted",
            worker=record.plan.name,
            stage=record.plan.stage,
            generation=record.generation + 1,
            reason=record.departure.reason if record.departure is not None else "",
        )

    def exited(
        self,
        record: Record,
        exited: Exited,
        ending: Ending,
        at_stake: Sequence[str],
        counters: Counters,
        *,
        restarting: bool = False,
    ) -> None:
        """Say that a worker is gone, what it did and what it held."""
        self._publish(
            "worker.exited",
            **_who(record),
            generation=record.generation,
            exitcode=exited.code if exited.code >= 0 else None,
            signal=exited.signal_name,
            outcome=ending.outcome,
            reason=ending.reason,
            items=list(at_stake),
            traceback=record.traceback,
            restarting=restarting,
            **counters.as_fields(),
        )

    def stage_finished(self, stage: str, workers: int) -> None:
        """Say that a stage's last worker has ended."""
        self._publish("stage.finished", stage=stage, workers=workers)

    def queue_joined(self, account: Account) -> None:
        """Say that a queue is joined."""
        self._publish("queue.joined", queue=account.queue, put=account.put, done=account.done)

    def stopping(self, cause: Cause, alive: Sequence[Record]) -> None:
        """Say that the run is being stopped, and who is still at work."""
        self._publish(
            "run.stopping",
            reason=cause.reason,
            signal=cause.signal,
            alive=[record.plan.name for record in alive],
        )

    def progress(self, stages: list[dict[str, Any]], queues: Sequence[Account]) -> None:
        """Show a snapshot."""
        self._publish(
            "run.progress",
            elapsed=self.elapsed,
            stages=stages,
            queues=[{**account.as_fields(), "size": account.waiting} for account in queues],
        )

    def run_finished(self, cause: Cause | None, queues: Sequence[Account]) -> None:
        """Say what the run came to."""
        self._publish(
            "run.finished",
            outcome="done" if cause is None else cause.outcome,
            exitcode=0 if cause is None else int(cause.exit_code),
            reason=None if cause is None else cause.reason,
            seconds=self.elapsed,
            queues=[account.as_fields() for account in queues],
        )


def _whose(record: Record) -> dict[str, Any]:
    return {"worker": record.plan.name, "stage": record.plan.stage, "queue": record.plan.receives}


def _who(record: Record) -> dict[str, Any]:
    return {"worker": record.plan.name, "stage": record.plan.stage, "pid": record.pid}
