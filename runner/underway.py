"""A run under way, as its desk sees it: what can be told of it, and what can be changed while it goes on.

desk ──► snapshot          from the roster and the stock
         stop, end_worker  the supervisor's own ways of stopping, where nothing is lost by it
         resize            births, or workers that finish what they hold and end
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from runner.births import Births
from runner.errors import StartFailed, UsageError
from runner.listeners import address_of
from runner.losses import FROM_OUTSIDE
from runner.plan import Plan, StagePlan, WorkerPlan
from runner.roster import SCALED_DOWN, Departure, Record, Roster
from runner.spec import Role
from runner.stock import Stock
from runner.stopping import Phase
from runner.transports.base import Transport


@dataclass(frozen=True, slots=True)
class Levers:
    """What the supervisor lets others move."""

    phase: Callable[[], Phase]
    elapsed: Callable[[], float]
    interrupt: Callable[[], None]
    ask_to_end: Callable[[Record, signal.Signals, str], None]


class RunUnderway:
    """One run, from its first worker to its last."""

    def __init__(
        self,
        run: str,
        plan: Plan,
        transport: Transport,
        roster: Roster,
        stock: Stock,
        births: Births,
        levers: Levers,
    ) -> None:
        self._run = run
        self._plan = plan
        self._transport = transport
        self._roster = roster
        self._stock = stock
        self._births = births
        self._levers = levers

    def snapshot(self) -> dict[str, Any]:
        """Tell workers, queues and phase, as JSON can hold it."""
        return {
            "run": self._run,
            "workflow": self._plan.name,
            "file": str(self._plan.path),
            "transport": self._plan.transport,
            "pid": os.getpid(),
            "phase": self._levers.phase().name.lower(),
            "elapsed": self._levers.elapsed(),
            "stages": self._stock.stage_lines(),
            "workers": [self._line(record) for record in self._roster.all()],
            "queues": [account.as_fields() for account in self._stock.accounts()],
        }

    def stop_from_outside(self) -> None:
        """Begin to stop, as at the first Ctrl-C; asked again, kill."""
        self._levers.interrupt()

    def end_worker(self, worker: str) -> str:
        """
        Send SIGTERM to one worker that is alive, SIGKILL if it was asked before; nobody takes its place.

        Returns the signal's name.

        Raises:
            UsageError: items would be lost, or left without a reader.
        """
        record = self._roster[worker]
        again = record.asked_to_end is not None
        if not again:
            self._refuse_to_lose(record)
        number = signal.SIGKILL if again else signal.SIGTERM
        self._levers.ask_to_end(record, number, FROM_OUTSIDE)
        return number.name

    def resize(self, stage: str, count: int) -> None:
        """Bring a stage to `count` workers.

        Raises:
            UsageError: the transport can't, the stage does not run, or the system has no more to give.
        """
        plan = next(each for each in self._plan.stages if each.name == stage)
        self._refuse_unfit(plan)
        staying = [record for record in self._roster.alive(stage) if not record.retired]
        if not staying:
            raise UsageError(f"stage '{stage}' has no worker: it has not begun, or has ended")
        for record in staying[count:]:
            record.retired = True
            self._let_go(record)
        for _ in range(count - len(staying)):
            self._add(self._another(plan.workers[0]))

    def _refuse_to_lose(self, record: Record) -> None:
        name, queue = record.plan.name, record.plan.receives
        if not self._transport.outlives_workers and (queue or record.plan.sends):
            raise UsageError(
                f"under `transport: {self._plan.transport}` worker '{name}' would take along what it holds, maybe a "
                "lock of its queue; the whole run can be stopped, without --worker"
            )
        if queue is None:
            return
        if any(each.name == queue and each.shard_by is not None for each in self._plan.queues):
            raise UsageError(f"no other worker may take the shard of '{name}'; kill it, and it is replaced")
        if not any(self._may_read(other, queue) for other in self._roster.all() if other is not record):
            raise UsageError(
                f"worker '{name}' is the last that reads queue '{queue}'; kill it (pid {record.pid}) and it is "
                "replaced, or stop the whole run, without --worker"
            )

    @staticmethod
    def _may_read(record: Record, queue: str) -> bool:
        leaving = record.retired or record.asked_to_end is not None
        return record.plan.receives == queue and not leaving and (record.alive or not record.generation)

    def _refuse_unfit(self, stage: StagePlan) -> None:
        if not self._transport.outlives_workers:
            raise UsageError(
                f"only a run under `transport: leased` can be scaled; this is '{self._plan.transport}'"
            )
        if self._levers.phase() is not Phase.RUNNING:
            raise UsageError("the run is being stopped")
        if self._plan.jobs:
            raise UsageError("how many jobs run at once is said when the run is started: mprun run --jobs N")
        if stage.shard_by is not None:
            raise UsageError(
                f"stage '{stage.name}' is sharded: with another count its keys would change workers"
            )
        if stage.serial:
            raise UsageError(f"the workers of stage '{stage.name}' run one after the other (`start: serial`)")
        if pipe := next((each for each in self._plan.pipes if stage.name in each.ends), None):
            raise UsageError(
                f"stage '{stage.name}' is one end of the pipe '{pipe.name}', which is one worker's"
            )
        shares_work = stage.receives is not None or address_of(stage) is not None
        if not shares_work:
            what = "makes items" if stage.role is Role.PRODUCER else "reads no queue"
            raise UsageError(
                f"stage '{stage.name}' {what}: another worker would do its work once more, not share it"
            )

    def _let_go(self, record: Record) -> None:
        """A reader ends where its stream would; a plain worker has none, and is asked."""
        if record.plan.role is Role.PLAIN:
            self._levers.ask_to_end(record, signal.SIGTERM, SCALED_DOWN)
        else:
            self._transport.retire(record.plan.name)

    def _add(self, worker: WorkerPlan) -> None:
        try:
            self._births.give_birth(self._roster.admit(worker))
        except StartFailed as error:
            raise UsageError(str(error)) from error

    def _another(self, like: WorkerPlan) -> WorkerPlan:
        taken = {record.plan.name for record in self._roster.all()}
        number = next(n for n in range(1, len(taken) + 2) if f"{like.stage}-{n}" not in taken)
        return replace(like, name=f"{like.stage}-{number}")

    def _line(self, record: Record) -> dict[str, Any]:
        state = "alive" if record.alive else ("ended" if record.generation else "to come")
        if record.alive and record.asked_to_end is not None:
            state = "terminating"
        done = self._stock.counters(record) if record.generation else None
        return {
            "worker": record.plan.name,
            "stage": record.plan.stage,
            "pid": record.pid or None,
            "generation": record.generation,
            "state": state,
            "received": done.received if done else 0,
            "sent": done.sent if done else 0,
            "failed": done.failed if done else 0,
            "asked_at": record.asked_at,
            **_departure(None if record.alive else record.departure),
        }


def _departure(departure: Departure | None) -> dict[str, Any]:
    """Say how a worker ended, as JSON can hold it. Times in seconds since the epoch."""
    if departure is None:
        return {"ending": "", "exitcode": None, "signal": None, "ended_at": None}
    code = departure.exited.code
    return {
        "ending": departure.reason,
        "exitcode": code if code >= 0 else None,
        "signal": departure.exited.signal_name,
        "ended_at": departure.at,
    }
